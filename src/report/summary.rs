//! The step summary and forge release bodies, in Markdown.

use std::fmt::Write as _;

use crate::plan::notes::{self, markdown::code};
use crate::plan::release::{Plan, PlannedPackage};
use crate::plan::render::phrase;
use crate::report::environments::{Points, headline};
use crate::report::release::{ReleaseReport, Released, ReleasedPackage};

/// GitHub drops a summary above 1 MiB whole.
const LONGEST: usize = 900 << 10;

/// The summary of a release.
pub fn of_release(report: &ReleaseReport) -> String {
    let mut text = format!("## {}\n\n", title(report));
    if let Some((plan, _)) = report
        .plan
        .as_ref()
        .filter(|(plan, _)| !plan.packages.is_empty())
    {
        text.push_str("| package | from | to | why |\n|---|---|---|---|\n");
        for package in &plan.packages {
            let why: Vec<String> = package
                .reasons
                .iter()
                .take(3)
                .map(|reason| cell(&phrase(plan, package, reason)))
                .collect();
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

/// The summary of a command about environments.
pub fn of_points(points: &Points) -> String {
    let mut text =
        "## Environments\n\n| app | environment | what was done |\n|---|---|---|\n".to_owned();
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
    text
}

fn title(report: &ReleaseReport) -> String {
    match (&report.release, report.ended.as_str()) {
        (Some(release), _) if release.is_snapshot() => {
            format!("Published the snapshot of {}", release.commit.short())
        }
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
