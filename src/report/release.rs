//! What a release did, as text, as `pkgs.released/1`, as outputs and as a summary.

use std::fmt::Write as _;

use crate::apply::outcome::{Deed, Deeds, Outcome, Stage};
use crate::apply::publish::Pending;
use crate::explain::Failure;
use crate::name::{CommitId, PackageName, ReleaseId, RepoPath, TagName, Variant};
use crate::plan::provenance::Foreseen;
use crate::plan::release::Plan;
use crate::plan::render::{self, PlanDocument};
use crate::remote::registry::StageId;
use crate::report::environments::{Point, activation};
use crate::version::{Bump, Version};
use crate::workspace::package::Kind;

/// How a run of `release` ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// A release stands at this commit, made now or by an earlier attempt.
    Released,
    /// Versions are decided at this commit, and nothing is delivered.
    Decided,
    /// Versions wait on the registry for a person's approval.
    Pending,
    /// A dry run: this would be done.
    Planned,
    /// No package changed.
    Nothing,
    /// Others have pushed since; a later run releases.
    Superseded {
        /// The branch's tip.
        tip: CommitId,
        /// The file because of which the two could not be merged, where that was asked for.
        conflict: Option<String>,
    },
    /// It stopped half-way; the deeds say where.
    Failed(Failure),
}

impl Ended {
    /// As the output `outcome` says it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Ended::Released => "released",
            Ended::Decided => "decided",
            Ended::Pending => "pending",
            Ended::Planned => "planned",
            Ended::Nothing => "nothing",
            Ended::Superseded { .. } => "superseded",
            Ended::Failed(_) => "failed",
        }
    }
}

/// The whole story of a run.
#[derive(Debug)]
pub struct ReleaseReport {
    /// How it ended.
    pub ended: Ended,
    /// What was planned, if it came to that.
    pub plan: Option<(Plan, PlanDocument)>,
    /// What is released at this commit.
    pub release: Option<Released>,
    /// Every deed.
    pub deeds: Deeds,
}

/// A release that stands.
#[derive(Debug, Clone)]
pub struct Released {
    /// Its id.
    pub id: ReleaseId,
    /// Its commit.
    pub commit: CommitId,
    /// The commit it was planned on.
    pub base: CommitId,
    /// Its tags.
    pub tags: Vec<TagName>,
    /// Its one version, if it has one.
    pub version: Option<Version>,
    /// Its packages.
    pub packages: Vec<ReleasedPackage>,
    /// Its builds.
    pub apps: Vec<ReleasedApp>,
    /// The key of its manifest.
    pub manifest: Option<String>,
    /// Environments that it moved.
    pub pointers: Vec<Point>,
    /// Its versions that wait on the registry for approval, in the order in which they may be approved.
    pub pending: Vec<Pending>,
}

/// A package of a release.
#[derive(Debug, Clone)]
pub struct ReleasedPackage {
    /// Its name.
    pub name: PackageName,
    /// Its directory.
    pub directory: RepoPath,
    /// What it became.
    pub kind: Kind,
    /// Its version before.
    pub from: Version,
    /// Its version.
    pub to: Version,
    /// How far it grew.
    pub bump: Option<Bump>,
    /// Its tag.
    pub tag: TagName,
    /// Its dist-tag, on npm.
    pub dist_tag: Option<String>,
    /// Whether it is on npm.
    pub published: bool,
    /// Its address on the registry.
    pub url: Option<String>,
    /// Its integrity, on npm.
    pub integrity: Option<String>,
}

/// A build of an app.
#[derive(Debug, Clone)]
pub struct ReleasedApp {
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// Its variant.
    pub variant: Variant,
    /// The archive's key and digest.
    pub archive: Option<(String, String)>,
    /// The key of its manifest.
    pub manifest: String,
}

impl ReleaseReport {
    /// A run that ended like this, before anything is known of plan, release and deeds.
    pub fn new(ended: Ended) -> ReleaseReport {
        ReleaseReport {
            ended,
            plan: None,
            release: None,
            deeds: Deeds::default(),
        }
    }

    /// With what was planned.
    #[must_use]
    pub fn planned(self, plan: Plan, document: PlanDocument) -> ReleaseReport {
        ReleaseReport {
            plan: Some((plan, document)),
            ..self
        }
    }

    /// With what is released at this commit.
    #[must_use]
    pub fn released(self, release: Option<Released>) -> ReleaseReport {
        ReleaseReport { release, ..self }
    }

    /// With every deed of the run.
    #[must_use]
    pub fn with(self, deeds: Deeds) -> ReleaseReport {
        ReleaseReport { deeds, ..self }
    }

    /// How it ended, for a person. What was to be released stands before it, and what was done is in the log, deed by deed.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match (&self.ended, &self.release) {
            (Ended::Superseded { tip, conflict }, _) => {
                let why = conflict.as_ref().map_or_else(String::new, |path| {
                    format!(
                        " and changed {} as the release would",
                        crate::explain::quoted(path)
                    )
                });
                let _ = writeln!(
                    text,
                    "superseded: others pushed meanwhile{why}, the branch is at {}; the run for that commit releases everything",
                    tip.short()
                );
            }
            (Ended::Nothing, _) => match &self.plan {
                Some((plan, _)) => text.push_str(&render::text(plan, &[], &Foreseen::default())),
                None => text.push_str("nothing to publish: no version is decided\n"),
            },
            (Ended::Planned, _) => {
                for deed in self.deeds.iter() {
                    let _ = writeln!(text, "  {:8} {}", deed.stage.as_str(), deed.about);
                }
                text.push_str("dry run: nothing was written\n");
            }
            (Ended::Decided, Some(release)) => {
                let is_new = self.deeds.iter().any(|deed| deed.outcome == Outcome::Done);
                text.push_str(if is_new {
                    "decided"
                } else {
                    "already decided:"
                });
                release.tell(&mut text);
            }
            (Ended::Pending, Some(release)) => {
                let _ = writeln!(
                    text,
                    "{} waits for approval: whoever may publish these approves them with two factors, here or at {STAGED_PAGE}",
                    release.id
                );
                for pending in &release.pending {
                    let Pending { name, version, .. } = pending;
                    let _ = writeln!(text, "  {name} {version}  {}", approval(pending));
                }
                text.push_str("then run the same command again: it goes on there\n");
            }
            (Ended::Released, Some(release)) => {
                let is_new = self.deeds.iter().any(|deed| deed.outcome == Outcome::Done);
                text.push_str(match (is_new, release.is_snapshot()) {
                    (true, false) => "released",
                    (false, false) => "already released:",
                    (true, true) => "published the snapshot",
                    (false, true) => "already published: the snapshot",
                });
                release.tell(&mut text);
            }
            (Ended::Failed(_), _) if self.is_unfinished() => {
                text.push_str("decided, but not finished: run the same command again, it goes on where this stopped\n");
            }
            (Ended::Released | Ended::Decided | Ended::Pending | Ended::Failed(_), _) => {}
        }
        text
    }

    /// Whether this run failed after its decision.
    pub(super) fn is_unfinished(&self) -> bool {
        let decided = |deed: &Deed| deed.stage == Stage::Decide && deed.outcome == Outcome::Done;
        matches!(self.ended, Ended::Failed(_)) && self.deeds.iter().any(decided)
    }

    /// Whether this run failed of a release that stands: one that it decided, or went on with.
    pub fn stands_decided(&self) -> bool {
        let is_tried = |deed: &Deed| matches!(deed.outcome, Outcome::Done | Outcome::Failed(_));
        let mut later = self.deeds.iter().filter(|deed| deed.stage >= Stage::Decide);
        matches!(self.ended, Ended::Failed(_)) && later.any(is_tried)
    }

    /// The report as `pkgs.released/1`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema": "pkgs.released/1",
            "outcome": self.ended.as_str(),
            "conflict": match &self.ended { Ended::Superseded { conflict, .. } => conflict.as_deref(), _ => None },
            "release": self.release.as_ref().map(Released::json),
            "plan": self.plan.as_ref().map(|(_, document)| document),
            "deeds": self.deeds.iter().map(|deed| serde_json::json!({"stage": deed.stage.as_str(), "about": deed.about, "outcome": deed.outcome.as_str()})).collect::<Vec<_>>(),
        })
    }
}

/// Where npm shows people what waits for their approval.
pub(super) const STAGED_PAGE: &str = "https://www.npmjs.com/settings/~/staged-packages";

/// The command that approves a version.
///
/// ```
/// use pkgs_action::apply::publish::Pending;
/// use pkgs_action::name::PackageName;
/// use pkgs_action::report::release::approval;
/// use pkgs_action::version::Version;
/// let (name, version) = (PackageName::parse("@x/a").unwrap(), Version::parse("1.0.0").unwrap());
/// let unknown = Pending { name, version, dist_tag: "latest".to_owned(), stage: None };
/// assert_eq!(approval(&unknown), "npm stage list @x/a");
/// ```
pub fn approval(pending: &Pending) -> String {
    match &pending.stage {
        Some(stage) => format!("npm stage approve {}", stage.as_str()),
        None => format!("npm stage list {}", pending.name),
    }
}

impl Released {
    /// The same, of which `pending` waits for approval.
    #[must_use]
    pub fn waiting_for(mut self, pending: Vec<Pending>) -> Released {
        for package in &mut self.packages {
            if pending.iter().any(|one| one.name == package.name) {
                package.published = false;
                package.url = None;
            }
        }
        self.pending = pending;
        self
    }

    /// Whether something of it waits for approval.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What of it waits, as the output `pending` lists it.
    pub fn pending_json(&self) -> serde_json::Value {
        self.pending
            .iter()
            .map(|one| {
                serde_json::json!({
                    "name": one.name.as_str(), "version": one.version.to_string(), "distTag": one.dist_tag,
                    "stageId": one.stage.as_ref().map(StageId::as_str), "approve": approval(one), "url": STAGED_PAGE,
                })
            })
            .collect()
    }

    /// Whether it is a snapshot, which no tag marks.
    pub fn is_snapshot(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether this is the release of `commit`: made of it, or on it.
    pub fn stands_at(&self, commit: &CommitId) -> bool {
        self.commit == *commit || self.base == *commit
    }

    /// What it consists of, after the word that says how it came about.
    fn tell(&self, text: &mut String) {
        if self.is_snapshot() {
            let _ = writeln!(text, " of {}", self.commit.short());
        } else {
            let _ = writeln!(text, " {} at {}", self.id, self.commit.short());
        }
        for package in &self.packages {
            let is_built = self.apps.iter().any(|app| app.name == package.name);
            let place = match (package.published, is_built) {
                (true, _) => " on the registry",
                (false, true) => " in the store",
                (false, false) => "",
            };
            let _ = writeln!(text, "  {} {}{place}", package.name, package.to);
        }
        for point in &self.pointers {
            let _ = writeln!(text, "  {}", activation(point));
        }
    }

    /// The release as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "id": (!self.is_snapshot()).then(|| self.id.as_str()),
            "commit": self.commit.as_str(),
            "base": self.base.as_str(),
            "version": self.version.as_ref().map(ToString::to_string),
            "tags": self.tags.iter().map(TagName::as_str).collect::<Vec<_>>(),
            "packages": self.packages_json(),
            "apps": self.apps_json(),
            "manifest": self.manifest,
            "pointers": self.pointers,
            "pending": self.pending_json(),
        })
    }

    /// Its packages, as the output `packages` lists them.
    pub fn packages_json(&self) -> serde_json::Value {
        self.packages.iter().map(|package| serde_json::json!({
            "name": package.name.as_str(), "dir": package.directory.display(), "kind": package.kind.as_str(),
            "from": package.from.to_string(), "to": package.to.to_string(), "bump": package.bump.map(Bump::as_str),
            "tag": (!self.is_snapshot()).then(|| package.tag.as_str()), "distTag": package.dist_tag, "published": package.published, "url": package.url, "integrity": package.integrity,
        })).collect()
    }

    /// Its apps, as the output `apps` lists them.
    pub fn apps_json(&self) -> serde_json::Value {
        self.apps.iter().map(|app| serde_json::json!({
            "name": app.name.as_str(), "version": app.version.to_string(), "variants": [app.variant.as_str()],
            "archive": app.archive.as_ref().map(|(key, _)| key), "digest": app.archive.as_ref().map(|(_, digest)| digest), "manifest": app.manifest,
        })).collect()
    }
}
