//! Names that nobody knows, answered with those there are.

use crate::explain::{Exit, Failure};
use crate::name::{EnvironmentName, PackageName};
use crate::settings::given::nearest;

pub(super) fn usage(code: &'static str, what: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, code, what)
}

pub(super) fn which_app(op: &str, known: &[PackageName]) -> Failure {
    let names: Vec<&str> = known.iter().map(PackageName::as_str).collect();
    usage(
        "environment::which_app",
        format!(
            "{op} was not told which app; there are {}",
            names.join(", ")
        ),
    )
    .hint("name it, or several, with --app, PKGS_APP or the input app; `all` means all of them")
}

/// Refuses an environment that is not among the known ones, where there is anything to compare with.
pub(in crate::commands) fn check_environment(
    environment: &EnvironmentName,
    mut known: Vec<EnvironmentName>,
) -> Result<(), Failure> {
    known.sort();
    known.dedup();
    if known.is_empty() || known.contains(environment) {
        return Ok(());
    }
    let names: Vec<&str> = known.iter().map(EnvironmentName::as_str).collect();
    Err(usage(
        "environment::unknown",
        format!(
            "{environment} is neither configured nor was it ever used; there are {}",
            names.join(", ")
        ),
    )
    .hint(did_you_mean(environment.as_str(), &names)))
}

pub(in crate::commands) fn unknown_app(app: &PackageName, known: &[PackageName]) -> Failure {
    let names: Vec<&str> = known.iter().map(PackageName::as_str).collect();
    let failure = usage(
        "environment::unknown_app",
        format!("the store knows no app {app}"),
    );
    if names.is_empty() {
        return failure.hint("check 'store'; 'release' records apps");
    }
    failure
        .because(format!("it knows {}", names.join(", ")))
        .hint(did_you_mean(app.as_str(), &names))
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("one of {}", known.join(", ")),
    }
}
