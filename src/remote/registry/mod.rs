//! Where packages are published: one contract, two registries, and several of them as one.
//!
//! The contract test in `tests/it/registry_contract.rs` runs against both.

pub mod by_package;
pub mod directory;
mod document;
pub mod npm;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::explain::{Exit, Failure};
use crate::name::{CommitId, Integrity, PackageName};
use crate::settings::Access;
use crate::settings::identity::Trust;
use crate::version::Version;

/// A registry. Reads are retried inside; writes are sent once, and the caller owns what follows.
#[async_trait]
pub trait Registry: Send + Sync {
    /// What the registry knows of a package, past all caches; `None` when it says that there is none (404), which is the only answer that means so.
    async fn package(&self, name: &PackageName) -> Result<Option<PublishedPackage>, RegistryError>;

    /// Publishes one version under one dist-tag. Published is for ever: whatever the answer, look before sending it again.
    async fn publish(&self, publication: &Publication) -> Result<(), RegistryError>;

    /// Asks whether the credential is one that the registry knows, before anything depends on it. A registry that does not say passes.
    ///
    /// # Errors
    /// `npm::unauthorized`, exit 5, when it is refused.
    async fn check_credential(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    /// Whether this process can write where it publishes, found out by a write that leaves no file. A registry behind a network passes: there
    /// the credential decides.
    async fn check_writable(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    /// Whether the credential may publish `name`, which is there, as far as the registry says so without a write. Asked after
    /// [`Registry::check_credential`].
    async fn publish_right(&self, _name: &PackageName) -> PublishRight {
        PublishRight::Unknown
    }

    /// Whether the registry takes the job's own identity for the right to publish `name`, or to stage it, found out by an exchange that writes
    /// nothing. `None`: the identity is not what it is published with.
    async fn trusts(
        &self,
        name: &PackageName,
        stages: bool,
    ) -> Result<Option<Trust>, RegistryError>;

    /// Whether the registry shows a package to everybody, as far as it says so; one that it does not know it shows to nobody.
    async fn is_public(&self, _name: &PackageName) -> Result<bool, RegistryError> {
        Ok(false)
    }

    /// Stages one version: a person's approval publishes it. Gives the id under which it waits, where the registry tells it.
    ///
    /// # Errors
    /// As [`Registry::publish`]; [`RegistryError::Waiting`] where it waits already, which npm also says of one that is published.
    async fn stage(&self, publication: &Publication) -> Result<Option<StageId>, RegistryError>;

    /// What waits for approval of a package, by version, as far as the credential may see it; `None` where it may not.
    async fn staged(&self, name: &PackageName) -> Option<BTreeMap<String, Staged>>;

    /// Points a dist-tag at a version. May be repeated.
    async fn set_dist_tag(
        &self,
        name: &PackageName,
        tag: &str,
        version: &str,
    ) -> Result<(), RegistryError>;

    /// Deprecates versions, each with the message that whoever installs it is told; `None` takes that back. May be repeated: it sends what
    /// the registry has, changed in nothing else.
    async fn deprecate(
        &self,
        name: &PackageName,
        messages: &BTreeMap<String, Option<String>>,
    ) -> Result<(), RegistryError>;

    /// The registry as a person wrote it, without credentials.
    fn describe(&self) -> String;
}

/// The id under which a version waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageId(String);

impl StageId {
    /// Takes an id as npm makes them, a UUID; `None` for anything else: it becomes part of a command.
    ///
    /// ```
    /// use pkgs_action::remote::registry::StageId;
    /// assert!(StageId::parse("0e1b6d6c-6f6d-4d9e-9f0e-2b8f4f4f3a10").is_some());
    /// assert!(StageId::parse("0e1b6d6c; rm -rf ~").is_none());
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<StageId> {
        const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
        let groups: Vec<&str> = text.split('-').collect();
        let is_id = groups.len() == GROUPS.len()
            && groups.iter().zip(GROUPS).all(|(group, length)| {
                group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        is_id.then(|| StageId(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A version that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Its id.
    pub id: StageId,
    /// The sha1 of its tarball, where the registry says it.
    pub shasum: Option<String>,
}

/// What a registry says of the right to publish, before anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishRight {
    /// The user may.
    Granted,
    /// The user may read the package, and no more.
    ReadOnly,
    /// Others may, and the user is not among them.
    NotListed,
    /// It does not say.
    Unknown,
}

/// What a registry knows of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedPackage {
    /// Its versions, by their text as the registry holds it.
    pub versions: BTreeMap<String, PublishedVersion>,
    /// Its dist-tags and the versions they point at.
    pub dist_tags: BTreeMap<String, String>,
}

/// What a registry knows of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedVersion {
    /// `sha512-…`; versions from before 2017 may have none.
    pub integrity: Option<String>,
    /// The sha1 of the tarball, in hexadecimal digits.
    pub shasum: Option<String>,
    /// The commit it was published from, where its publisher said so.
    pub git_head: Option<String>,
    /// What whoever installs it is told, where it is deprecated; empty where only that is said.
    pub deprecated: Option<String>,
}

/// One version to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The dist-tag that will point at it.
    pub dist_tag: String,
    /// Who may read it; `None` leaves it to the registry.
    pub access: Option<Access>,
    /// The tarball's bytes.
    pub tarball: Vec<u8>,
    /// Its integrity.
    pub integrity: Integrity,
    /// Its sha1, in hexadecimal digits.
    pub shasum: String,
    /// What the registry is told of it: `package.json` as npm sends it, with the text of the README.
    pub manifest: serde_json::Map<String, serde_json::Value>,
    /// The release commit.
    pub git_head: CommitId,
    /// The signed statement of where it was built, where it gets one.
    pub attestation: Option<Attestation>,
}

/// A signed statement about a package, with what verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// What form it has.
    pub media_type: &'static str,
    /// Its JSON.
    pub text: String,
}

/// What can go wrong, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It may have happened: timeout, broken connection, 5xx. Look and compare before deciding anything.
    #[error("{0}")]
    Uncertain(Failure),
    /// 409: another write of this name was going on, and ours may have happened all the same. Look, and give it time.
    #[error("{0}")]
    Contended(Failure),
    /// This version is there already. Whether its bytes are ours only a look can tell.
    #[error("{0}")]
    AlreadyThere(Failure),
    /// This version is staged, or taken and not visible yet: nothing else can take its place.
    #[error("{0}")]
    Waiting(Failure),
    /// Too many requests; nothing happened.
    #[error("{failure}")]
    Busy {
        /// How long the registry asks to wait, where it says so. It may be half an hour.
        retry_after: Option<Duration>,
        /// What to tell when there is no time left.
        failure: Failure,
    },
    /// Trying again will not help. It did not happen, unless the answer lies: registries under load refuse what they took.
    #[error("{0}")]
    Failed(Failure),
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        match error {
            RegistryError::Uncertain(failure)
            | RegistryError::Contended(failure)
            | RegistryError::AlreadyThere(failure)
            | RegistryError::Waiting(failure)
            | RegistryError::Busy { failure, .. }
            | RegistryError::Failed(failure) => failure,
        }
    }
}

/// That a registry has nothing but versions for everybody.
pub fn no_stages(registry: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        "registry::no_stages",
        format!("{registry} is a directory, which cannot stage packages"),
    )
    .hint("set npm-publish to direct")
}

/// Refuses a publication whose tarball does not have the integrity that was sealed: published is for ever.
fn proven(publication: &Publication) -> Result<(), RegistryError> {
    let found = Integrity::of(&publication.tarball);
    if found == publication.integrity {
        return Ok(());
    }
    Err(RegistryError::Failed(
        Failure::new(
            Exit::Integrity,
            "registry::integrity",
            format!(
                "the tarball of {} {} does not have its integrity",
                publication.name, publication.version
            ),
        )
        .because(format!(
            "it has {found} instead of {}",
            publication.integrity
        )),
    ))
}
