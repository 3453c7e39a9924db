//! What a person is shown who is asked how far something grows.

use std::fmt::Write as _;

use crate::changes::Reason;
use crate::explain::safe_line;
use crate::plan::asking::{Answer, Question};
use crate::settings::BumpRequest;
use crate::version::Bump;

/// How many changes are shown at most.
const SHOWN: usize = 10;

/// What happened to the thing that is asked about, above the question.
pub fn story(question: &Question) -> String {
    let subject = match &question.package {
        Some(package) => package.as_str(),
        None => "all packages",
    };
    let mut story = format!(
        "\nnothing says how far {subject} grow{}; since {}:\n",
        if question.package.is_some() { "s" } else { "" },
        question.since
    );
    for reason in question.reasons.iter().take(SHOWN) {
        let _ = writeln!(story, "  {}", phrase(reason));
    }
    if let Some(others @ 1..) = question.reasons.len().checked_sub(SHOWN) {
        let _ = writeln!(story, "  and {others} more");
    }
    story
}

/// The question.
pub fn title(question: &Question) -> String {
    match &question.package {
        Some(package) => format!("{package} {} becomes", question.from),
        None => format!("all packages, {}, become", question.from),
    }
}

/// That an answer was in vain.
pub fn dropped(question: &Question) -> String {
    let of = match &question.package {
        Some(package) => package.as_str(),
        None => "all packages",
    };
    format!(
        "the answer for {of}, {}, counts for nothing: another run was faster, and that is not asked any more",
        question.from
    )
}

/// What can be chosen, in the order of the choices; what comes after them is a version that is typed.
pub fn labels(question: &Question) -> Vec<String> {
    let choices = question.choices.iter();
    let widest = choices.clone().map(|choice| name(&choice.answer).len());
    let width = widest.max().unwrap_or(0);
    let label = |choice: &crate::plan::asking::Choice| match &choice.to {
        Some(to) => format!("{:width$}  {to}", name(&choice.answer)),
        None => name(&choice.answer).to_owned(),
    };
    let mut labels: Vec<String> = choices.map(label).collect();
    labels.push("another version".to_owned());
    labels
}

fn name(answer: &Answer) -> &'static str {
    let Answer::Grow(request) = answer else {
        return "not now";
    };
    match request {
        BumpRequest::By(bump) => bump.as_str(),
        BumpRequest::Prerelease => "prerelease",
        BumpRequest::NewPrerelease(Bump::Patch) => "prepatch",
        BumpRequest::NewPrerelease(Bump::Minor) => "preminor",
        BumpRequest::NewPrerelease(Bump::Major) => "premajor",
        BumpRequest::Auto | BumpRequest::Graduate | BumpRequest::To(_) => "version",
    }
}

fn phrase(reason: &Reason) -> String {
    match reason {
        Reason::Commit { id, subject, .. } => format!("{} {}", id.short(), safe_line(subject)),
        Reason::Catalog { on, .. } | Reason::Lockfile { on } => {
            format!("what it gets of {}", safe_line(on))
        }
        _ => "it changed".to_owned(),
    }
}
