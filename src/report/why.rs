//! Why a package is released, or is not, as text for people.

use std::fmt::Write as _;

use crate::explain::safe_line;
use crate::plan::render::ReasonDocument;
use crate::plan::why::{
    BaseStory, CommitStory, DependencyEffect, DependencyStory, Link, LinkReason, Why,
};

/// How many files of a commit, tags that are no base and packages that are only a cause are shown; `--format json` has all.
const SHOWN: usize = 5;
/// How many digits of a commit's id are shown, as elsewhere.
const DIGITS: usize = 7;

/// The whole story.
pub fn text(why: &Why) -> String {
    let mut text = String::new();
    headline(&mut text, why);
    let _ = writeln!(text, "  {}", why.rule.text);
    base(&mut text, why);
    commits(&mut text, why);
    if let Some((own, causes)) = why.chain.split_first() {
        for reason in own
            .reasons
            .iter()
            .filter(|reason| is_untold(&reason.reason))
        {
            let _ = writeln!(text, "{}", phrase(reason));
        }
        for cause in causes.iter().take(SHOWN) {
            let _ = writeln!(text, "{} {} → {}:", cause.name, cause.from, cause.to);
            reasons(&mut text, cause);
        }
        more(&mut text, "", causes.len(), "packages are behind it");
    }
    for dependency in &why.dependencies {
        held(&mut text, dependency);
    }
    for warning in &why.warnings {
        let _ = writeln!(text, "warning[{}]: {}", warning.code, warning.message);
    }
    text
}

fn headline(text: &mut String, why: &Why) {
    let Why {
        name,
        kind,
        from,
        to,
        bump,
        ..
    } = why;
    let from = from.as_deref().unwrap_or("without a version");
    let _ = match (to, bump) {
        (Some(to), Some(bump)) => writeln!(text, "{name} {from} → {to} ({bump}) [{kind}]"),
        (Some(to), None) if to == from => writeln!(text, "{name} {to} [{kind}]"),
        (Some(to), None) => writeln!(text, "{name} {from} → {to} [{kind}]"),
        (None, _) => writeln!(text, "{name} {from} is not released [{kind}]"),
    };
}

fn base(text: &mut String, why: &Why) {
    let BaseStory {
        kind,
        tag,
        commit,
        version,
        unreachable,
        older,
        ..
    } = &why.base;
    let commit = commit.as_deref().map(short).unwrap_or_default();
    let tag = tag.as_deref().unwrap_or_default();
    let version = version.as_deref().unwrap_or_default();
    let _ = match *kind {
        "tag" => writeln!(
            text,
            "base: {tag} ({commit}), its own last release tag that leads here"
        ),
        "shared-tag" => writeln!(
            text,
            "base: {tag} ({commit}), the last release tag of the repository that leads here"
        ),
        "published" => writeln!(
            text,
            "base: {commit}, from which {version} on the registry was built; no tag leads here"
        ),
        "asked" => writeln!(text, "base: {commit}, as it is asked for"),
        _ => writeln!(text, "base: none, no release tag leads here"),
    };
    if let Some(older) = older {
        let _ = writeln!(text, "  {older} leads here, too, and is older");
    }
    for tag in unreachable.iter().take(SHOWN) {
        let _ = writeln!(text, "  {tag} is no base: its commit does not lead here");
    }
    more(text, "  ", unreachable.len(), "tags do not lead here");
}

fn commits(text: &mut String, why: &Why) {
    if why.base.commit.is_none() {
        return;
    }
    if !why.base.differs {
        let _ = writeln!(text, "files: none differs from the base");
        return;
    }
    let _ = writeln!(text, "commits since the base:");
    for commit in &why.commits {
        let _ = writeln!(
            text,
            "  {} {}: {}",
            short(&commit.commit),
            safe_line(&commit.subject),
            verdict(commit)
        );
        let mut files = String::new();
        for file in commit.files.iter().take(SHOWN) {
            let ignored = if file.ignored { " (ignored)" } else { "" };
            let _ = writeln!(files, "    {}{ignored}", safe_line(&file.path));
        }
        text.push_str(&files);
        more(text, "    ", commit.files.len(), "files");
    }
    match why.merges {
        0 => {}
        1 => text.push_str("  1 merge: nothing, what it brings counts by itself\n"),
        count => {
            let _ = writeln!(
                text,
                "  {count} merges: nothing, what they bring counts by itself"
            );
        }
    }
}

/// What became of a commit.
fn verdict(commit: &CommitStory) -> String {
    match commit.verdict {
        "counts" => commit.bump.unwrap_or_default().to_owned(),
        "silent" => "nothing, as docs, test, ci and style are".to_owned(),
        "ignored" => "nothing, all its files here are ignored".to_owned(),
        "own-release" => "nothing, it is a release".to_owned(),
        "reverted" => {
            let by = commit.by.as_deref().map(short).unwrap_or_default();
            format!("nothing, {by} reverts it")
        }
        "outweighed" => "nothing, intents decide here".to_owned(),
        _ => "nothing, it only reverts others".to_owned(),
    }
}

/// Whether neither the rule nor the list of commits has told a reason.
fn is_untold(reason: &ReasonDocument) -> bool {
    matches!(
        reason,
        ReasonDocument::Dependency { .. }
            | ReasonDocument::Bundled { .. }
            | ReasonDocument::Intent { .. }
            | ReasonDocument::Lockfile { .. }
            | ReasonDocument::Catalog { .. }
            | ReasonDocument::ReleaseAs { .. }
            | ReasonDocument::Group { group: Some(_), .. }
    )
}

fn reasons(text: &mut String, link: &Link) {
    for reason in link.reasons.iter().take(SHOWN) {
        let _ = writeln!(text, "  {}", phrase(reason));
        for file in reason.files.iter().take(SHOWN) {
            let _ = writeln!(text, "    {}", safe_line(file));
        }
        more(text, "    ", reason.files.len(), "files");
    }
    if link.reasons.len() > SHOWN {
        let _ = writeln!(
            text,
            "  and {} more: `why {}`",
            link.reasons.len() - SHOWN,
            link.name
        );
    }
}

/// A reason, with the way to what is depended on.
fn phrase(reason: &LinkReason) -> String {
    if reason.through.is_empty() {
        return reason.phrase.clone();
    }
    format!("{}, through {}", reason.phrase, reason.through.join(", "))
}

/// A dependency that grows and does not release the package.
fn held(text: &mut String, dependency: &DependencyStory) {
    let DependencyStory {
        on,
        range,
        from,
        to,
        effect,
        ..
    } = dependency;
    let effect = match effect {
        DependencyEffect::Left | DependencyEffect::Uses | DependencyEffect::Bundled => return,
        DependencyEffect::Holds => format!("its range {range} still holds"),
        DependencyEffect::OnlyDevelopment => "a devDependency, which releases nothing".to_owned(),
        DependencyEffect::PeerNever => format!("leaves the peer range {range}, and peer is never"),
        DependencyEffect::Filtered => "would release it, but filter keeps it out".to_owned(),
    };
    let _ = writeln!(text, "{on} {from} → {to}: {effect}");
}

/// How many were not shown.
fn more(text: &mut String, indent: &str, count: usize, what: &str) {
    if count > SHOWN {
        let _ = writeln!(text, "{indent}and {} more {what}", count - SHOWN);
    }
}

fn short(commit: &str) -> &str {
    commit.get(..DIGITS).unwrap_or(commit)
}
