//! The step summary and forge release bodies, in Markdown.

use std::fmt::Write as _;

use crate::explain::Failure;
use crate::plan::notes::{self, markdown::code};
use crate::plan::release::{Plan, PlannedPackage};
use crate::plan::render::phrase;
use crate::report::environments::{Points, headline};
use crate::report::failure;
use crate::report::release::{ReleaseReport, Released, ReleasedPackage, STAGED_PAGE, approval};

/// GitHub drops a summary above 1 MiB whole.
const LONGEST: usize = 900 << 10;

/// The summary of a release, and of what it failed of.
pub fn of_release(report: &ReleaseReport, failure: Option<&Failure>) -> String {
    let mut text = format!("## {}\n\n", title(report, failure));
    if let Some(failure) = failure {
        text.push_str(&told(failure));
    }
    if report.is_unfinished() {
        text.push_str(
            "Decided, but not finished: run it again, it goes on where this stopped.\n\n",
        );
    }
    if let Some(release) = report
        .release
        .as_ref()
        .filter(|release| release.is_pending())
    {
        text.push_str(&waiting(release));
    }
    if let Some((plan, _)) = report
        .plan
        .as_ref()
        .filter(|(plan, _)| !plan.packages.is_empty())
    {
        text.push_str("| package | from | to | why |\n|---|---|---|---|\n");
        for package in &plan.packages {
            let reasons = package.reasons.iter().take(3);
            let reasons = reasons.map(|reason| cell(&phrase(plan, package, reason)));
            let registry = package.registry.iter();
            let registry = registry.map(|registry| cell(&format!("goes to {registry}")));
            let why: Vec<String> = reasons.chain(registry).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                cell(package.name.as_str()),
                package.from,
                package.to,
                why.join("<br>")
            );
        }
        text.push('\n');
    }
    if report.deeds.iter().next().is_some() {
        text.push_str("| stage | what | outcome |\n|---|---|---|\n");
        for deed in report.deeds.iter() {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                deed.stage.as_str(),
                cell(&deed.about),
                deed.outcome.as_str()
            );
        }
        text.push('\n');
    }
    if report
        .release
        .as_ref()
        .is_some_and(|release| !release.apps.is_empty())
    {
        text.push_str("To roll back: run the rollback workflow, or `pkgs-action rollback --environment <environment>`.\n");
    }
    if text.len() > LONGEST {
        let cut = text
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= LONGEST)
            .last()
            .unwrap_or(0);
        text.truncate(cut);
        text.push_str("\n\n… cut; the log has it all.\n");
    }
    text
}

/// What waits for approval, and how it is given.
fn waiting(release: &Released) -> String {
    let mut text = format!(
        "Nobody can install these versions before a person approves them, here or on [npm]({STAGED_PAGE}). Then run this workflow again: it goes on there, and only then anything else is released.\n\n| package | version | approve |\n|---|---|---|\n"
    );
    for pending in &release.pending {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            cell(pending.name.as_str()),
            pending.version,
            cell(&approval(pending))
        );
    }
    text.push('\n');
    text
}

/// The summary of what (`Release`, `Promote`) failed before it could do anything.
///
/// ```
/// use pkgs_action::explain::{Exit, Failure};
/// use pkgs_action::report::summary::of_failure;
/// let failure = Failure::new(Exit::Refused, "environment::held", "prod of web was not pointed at 1.1.0");
/// assert_eq!(of_failure("Promote", &failure), "## Promote failed\n\n```text\nerror[environment::held]: prod of web was not pointed at 1.1.0\n```\n\n");
/// ```
pub fn of_failure(what: &str, failure: &Failure) -> String {
    format!("## {what} failed\n\n{}", told(failure))
}

/// A failure as on stderr, in a block that its text cannot end.
fn told(failure: &Failure) -> String {
    const LONGEST: usize = 60 << 10;
    let mut text = failure::text(failure);
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str("\n… cut; the log has it all.\n");
    }
    let runs = text.split(|character| character != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    format!("{fence}text\n{text}{fence}\n\n")
}

/// The summary of a command about environments, of which `what` is the name.
pub fn of_points(what: &str, points: &Points) -> String {
    let mut text = match &points.failure {
        Some(failure) => of_failure(what, failure),
        None => "## Environments\n\n".to_owned(),
    };
    text.push_str("| app | environment | what was done |\n|---|---|---|\n");
    for point in &points.apps {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            code(&point.app),
            code(&point.environment),
            code(&headline(point))
        );
    }
    text.push('\n');
    let served = points
        .apps
        .iter()
        .filter_map(|point| Some((point, point.url.as_ref()?)));
    for (point, url) in served {
        let (app, environment) = (code(&point.app), code(&point.environment));
        let _ = writeln!(text, "{app} in {environment} is served at {}\n", code(url));
    }
    text
}

fn title(report: &ReleaseReport, failure: Option<&Failure>) -> String {
    match (&report.release, report.ended.as_str()) {
        (Some(release), "released") if failure.is_some() && !release.is_snapshot() => {
            format!("Released {}, but not everywhere", release.id)
        }
        (_, "failed") => "Release failed".to_owned(),
        (Some(release), _) if release.is_snapshot() => {
            format!("Published the snapshot of {}", release.commit.short())
        }
        (Some(release), "pending") => format!("{} waits for approval", release.id),
        (Some(release), "decided") => format!("Decided {}, nothing is published yet", release.id),
        (Some(release), _) => format!("Released {}", release.id),
        (None, "superseded") => "Superseded by a newer commit".to_owned(),
        (None, "planned") => "Release plan, nothing is released".to_owned(),
        (None, _) => "Nothing to release".to_owned(),
    }
}

/// Untrusted text as a code span in a table.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// The body of a forge release for one tag, in the forge's limits. `plan` is what was released, where it is known.
pub fn forge_body(
    released: &Released,
    packages: &[&ReleasedPackage],
    plan: Option<&Plan>,
) -> String {
    /// [GitHub](https://docs.github.com/rest/releases/releases) takes 125,000 characters.
    const LONGEST: usize = 125_000;
    let end = format!(
        "\nRelease {} of {}\n",
        code(released.id.as_str()),
        code(released.commit.as_str())
    );
    let listed: Vec<String> = packages
        .iter()
        .map(|package| {
            let name = code(package.name.as_str());
            format!("{name} {} → {}", package.from, package.to)
        })
        .collect();
    let planned = plan.map_or_else(Vec::new, |plan| {
        let is_released = |planned: &&PlannedPackage| {
            packages
                .iter()
                .any(|package| package.name == planned.name && package.to == planned.to)
        };
        plan.packages.iter().filter(is_released).collect()
    });
    notes::release_page(plan, &planned, &listed, LONGEST - end.len()) + &end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::outcome::{Deeds, Outcome, Stage};
    use crate::explain::Exit;
    use crate::report::release::Ended;

    #[test]
    fn a_release_that_failed_says_of_what_and_how_far_it_came() {
        let failure = Failure::new(Exit::RemoteRefused, "npm::refused", "core was refused")
            .because("two\n```\nlines")
            .hint("log in again");
        let report = |decided: Outcome| {
            let mut deeds = Deeds::default();
            deeds.note(Stage::Decide, "core@1.1.0", decided);
            ReleaseReport::new(Ended::Failed(failure.clone())).with(deeds)
        };
        let told = of_release(&report(Outcome::Done), Some(&failure));
        insta::assert_snapshot!(told, @r"
        ## Release failed

        ````text
        error[npm::refused]: core was refused
          because two
            | ```
            | lines
        hint: log in again
        ````

        Decided, but not finished: run it again, it goes on where this stopped.

        | stage | what | outcome |
        |---|---|---|
        | decide | `core@1.1.0` | done |
        ");
        let before = of_release(&report(Outcome::Failed(failure.clone())), Some(&failure));
        assert!(!before.contains("Decided"), "{before}");
    }
}
