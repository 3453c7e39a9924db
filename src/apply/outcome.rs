//! How each deed ended. When work stops half-way, the list says what is done and what is not.

use crate::explain::Failure;

/// How a deed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done now.
    Done,
    /// It was there already, and it is what it should be.
    AlreadyDone,
    /// It failed.
    Failed(Failure),
    /// Something before it failed.
    NotStarted,
    /// A dry run left it out.
    Planned,
    /// It was left as it is, for the reason that stands beside it.
    Skipped,
    /// It is staged: a person's approval does it.
    Pending,
}

impl Outcome {
    /// As a word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::AlreadyDone => "already there",
            Outcome::Failed(_) => "failed",
            Outcome::NotStarted => "not started",
            Outcome::Planned => "planned",
            Outcome::Skipped => "skipped",
            Outcome::Pending => "waits for approval",
        }
    }
}

/// One deed: the stage it belongs to, what it is about, how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// The stage, as protocol and log name it.
    pub stage: Stage,
    /// What it is about: a package, an app, a key.
    pub about: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// The stages of a release, in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Bytes and seal into the store.
    Seal,
    /// Commit and tags in one push.
    Decide,
    /// Packages to the registry.
    Publish,
    /// Until everyone can see them.
    Verify,
    /// Manifests.
    Record,
    /// Environments.
    Point,
    /// The forge.
    Tell,
}

impl Stage {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Seal => "seal",
            Stage::Decide => "decide",
            Stage::Publish => "publish",
            Stage::Verify => "verify",
            Stage::Record => "record",
            Stage::Point => "point",
            Stage::Tell => "tell",
        }
    }
}

/// All deeds of a run, in the order in which they ended.
#[derive(Debug, Clone, Default)]
pub struct Deeds(Vec<Deed>);

impl Deeds {
    /// Notes a deed, and tells it in the log; what a dry run leaves out is told by its result.
    pub fn note(&mut self, stage: Stage, about: impl Into<String>, outcome: Outcome) {
        let deed = Deed {
            stage,
            about: about.into(),
            outcome,
        };
        let (stage, about) = (deed.stage.as_str(), &deed.about);
        match &deed.outcome {
            Outcome::Planned => {}
            Outcome::Failed(failure) => tracing::warn!("{stage} {about}: failed: {failure}"),
            outcome => tracing::info!("{stage} {about}: {}", outcome.as_str()),
        }
        self.0.push(deed);
    }

    /// The deeds.
    pub fn iter(&self) -> impl Iterator<Item = &Deed> {
        self.0.iter()
    }

    /// Whether nothing was done yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first environment that could not be moved: the release stands, and is not where it should be. Of a release that a newer one
    /// of the same run follows, nothing is left to say.
    pub fn unmoved(&self) -> Option<&Failure> {
        let newest = self.0.iter().rposition(|deed| deed.stage == Stage::Decide);
        self.0[newest.unwrap_or(0)..]
            .iter()
            .find_map(|deed| match &deed.outcome {
                Outcome::Failed(failure) if deed.stage == Stage::Point => Some(failure),
                _ => None,
            })
    }
}
