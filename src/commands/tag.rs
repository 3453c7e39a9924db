//! `tag`: the tags of what was released before this tool came. They decide nothing: they are what changes are measured from.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::decide::{self, Decided, Draft};
use crate::apply::outcome::Deeds;
use crate::commands::observe::{self, Observed};
use crate::commands::scene::Scene;
use crate::commands::{Session, mirror};
use crate::explain::Failure;
use crate::local::git::{Repo, Tag};
use crate::name::{CommitId, PackageName, TagName};
use crate::plan::baseline::{self, Mark, Unmarked};
use crate::plan::release::Notice;
use crate::remote::registry::PublishedPackage;
use crate::report::tagged::Tagged;
use crate::version::Version;
use crate::workspace::package::Kind;

/// Tags every version that no tag marks yet: where the registry says that it was built, else at the commit checked out. All tags are one push.
///
/// # Errors
/// `plan::tag_exists`, exit 3, where a tag of that name does not lead here; those of the registry and of a push.
pub async fn tag(session: &Session<'_>) -> Result<Tagged, Failure> {
    let scene = Scene::read(session)?;
    let settings = session.settings;
    let observed = observe::observe(session.repo, &scene.head, settings)?;
    session.look_at(&observed.workspace);
    let mut unmarked = baseline::unmarked(
        &observed.workspace,
        observed.mode,
        &observed.bases,
        settings,
    )?;
    unmarked.retain(|package| !observed.was_given_up(&package.tag));
    let libraries = unmarked
        .iter()
        .filter(|package| package.kind == Kind::Library);
    let published = session
        .published(libraries.map(|package| &package.name))
        .await?;
    let (built, notices) = built(&observed, &unmarked, &published);
    let there = scene.tags().iter().map(|tag| &tag.name);
    let taken: BTreeSet<TagName> = observed.tags.iter().chain(there).cloned().collect();
    let marks = baseline::marks(unmarked, &scene.head, &built, &taken)?;
    if !settings.dry_run && !marks.is_empty() {
        push(session, &scene, &marks)?;
    }
    let head = scene.head.as_str();
    Ok(Tagged::new(head, settings.dry_run, &marks, notices))
}

/// Where versions were built, as the registry says, and what a person should know of those of which it does not.
fn built(
    observed: &Observed,
    unmarked: &[Unmarked],
    published: &BTreeMap<PackageName, PublishedPackage>,
) -> (BTreeMap<PackageName, (usize, CommitId)>, Vec<Notice>) {
    let (mut built, mut notices) = (BTreeMap::new(), Vec::new());
    let libraries = unmarked
        .iter()
        .filter(|package| package.kind == Kind::Library);
    for package in libraries {
        let (name, version) = (&package.name, &package.version);
        let known = published.get(name);
        let highest = known
            .into_iter()
            .flat_map(|known| known.versions.keys())
            .filter_map(|version| Version::parse(version).ok())
            .max();
        if let Some(highest) = highest.filter(|highest| highest > version) {
            notices.push(Notice {
                code: "tag::behind",
                message: format!("the registry holds {name} {highest}, which is above {version} here: raise the version in package.json before the next release"),
            });
        }
        let Some(held) = known.and_then(|known| known.versions.get(&version.to_string())) else {
            notices.push(Notice {
                code: "tag::unpublished",
                message: format!("{name} {version} is not on the registry: with its tag it counts as released, and the next change releases a higher one; `filter` leaves it out"),
            });
            continue;
        };
        let commit = held.git_head.as_deref().map(CommitId::parse);
        let commit = commit.and_then(Result::ok);
        let Some(place) = commit.and_then(|commit| Some((observed.age(&commit)?, commit))) else {
            notices.push(Notice {
                code: "tag::elsewhere",
                message: format!("the registry names no commit here that {name} {version} was built from: what changed between that and the commit checked out counts as released"),
            });
            continue;
        };
        built.insert(name.clone(), place);
    }
    (built, notices)
}

/// Pushes all tags at once, each from nothing.
fn push(session: &Session<'_>, scene: &Scene<'_>, marks: &[Mark]) -> Result<(), Failure> {
    let draft = Draft {
        commit: scene.head.clone(),
        tip: scene.tip.clone(),
        new_tip: scene.tip.clone(),
        tags: objects(session.repo, marks)?,
    };
    if let Decided::Moved(why) = decide::decide(&scene.remote, &scene.branch, &draft, session.stop)?
    {
        return Err(why.hint("run again: it looks at what is there first"));
    }
    let tags: Vec<Tag> = draft
        .tags
        .into_iter()
        .map(|(name, object)| Tag { name, object })
        .collect();
    for mark in marks {
        tracing::info!("tagged {} at {}", mark.tag, mark.commit.short());
    }
    let remote = &session.settings.remote;
    session
        .repo
        .note_remote(remote, &scene.branch, &scene.tip, &tags)?;
    mirror::follow(session, &scene.branch, &mut Deeds::default());
    Ok(())
}

fn objects(repo: &Repo, marks: &[Mark]) -> Result<Vec<(TagName, String)>, Failure> {
    let object = |mark: &Mark| {
        let message = baseline::message(&mark.tag);
        let object = repo.make_tag(&mark.tag, &mark.commit, &message)?;
        Ok((mark.tag.clone(), object))
    };
    marks.iter().map(object).collect()
}
