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
    let failure = usage(
        "environment::unknown",
        format!(
            "{environment} is neither configured nor was it ever used; there are {}",
            names.join(", ")
        ),
    );
    Err(failure.hint(match meant(environment, &known) {
        Some(near) => format!("did you mean {near}?"),
        None => "name one of these; 'environments' in pkgs.json adds another".to_owned(),
    }))
}

/// Refuses an environment that is not among those that are configured for `app`.
pub(super) fn check_configured(
    app: &PackageName,
    environment: &EnvironmentName,
    configured: &[EnvironmentName],
) -> Result<(), Failure> {
    if configured.contains(environment) {
        return Ok(());
    }
    let names: Vec<&str> = configured.iter().map(EnvironmentName::as_str).collect();
    let what = format!(
        "{app} is not to run in {environment}: its environments are {}",
        names.join(", ")
    );
    Err(
        usage("environment::unknown", what).hint(match meant(environment, configured) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("name one of these; 'environments' of {app} in pkgs.json adds another"),
        }),
    )
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
        .hint(match nearest(app.as_str(), names.into_iter()) {
            Some(near) => format!("did you mean {near}?"),
            None => "'release' records apps; 'status' lists those that are recorded".to_owned(),
        })
}

/// The environment that is meant by a name that none has: the most similar one, or the one of which it is the long form.
pub(in crate::commands) fn meant<'a>(
    name: &EnvironmentName,
    known: &'a [EnvironmentName],
) -> Option<&'a str> {
    let known = || known.iter().map(EnvironmentName::as_str);
    nearest(name.as_str(), known()).or_else(|| {
        let slips = |short: &str| {
            let beginning: String = name.as_str().chars().take(short.len()).collect();
            strsim::damerau_levenshtein(&beginning, short)
        };
        known()
            .filter(|short| short.len() > 2 && slips(short) <= 1)
            .min_by_key(|short| (slips(short), std::cmp::Reverse(short.len())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_by_its_long_form_and_behind_a_slip() {
        let known = ["pre", "prod", "sit", "stable"]
            .map(|name| EnvironmentName::parse(name).expect("a name"));
        for (name, expected) in [
            ("prdo", Some("prod")),
            ("st", Some("sit")),
            ("production", Some("prod")),
            ("porduction", Some("prod")),
            ("preview", Some("pre")),
            ("live", None),
        ] {
            let name = EnvironmentName::parse(name).expect("a name");
            assert_eq!(meant(&name, &known), expected, "{name}");
            let failure = check_environment(&name, known.to_vec()).expect_err("a refusal");
            let whole = crate::report::failure::text(&failure);
            assert_eq!(whole.matches("stable").count(), 1, "{whole}");
        }
    }
}
