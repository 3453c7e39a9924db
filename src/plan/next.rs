//! Facts → what to do next. The facts (tags, seals, registry, manifests) are the journal; whoever starts, after any crash or beside any other run, continues from what is true.

use std::collections::HashMap;

use crate::explain::Failure;
use crate::name::{CommitId, Digest, Integrity, PackageName, ReleaseId, TagName};
use crate::version::Version;

/// The line of a tag's message that names the seal: its key and digest, or `none`.
pub const SEAL_LINE: &str = "Pkgs-Seal:";
/// The line of a tag's message that holds the integrity of a library's tarball.
pub const INTEGRITY_LINE: &str = "Pkgs-Integrity:";

/// Where the commit checked out stands, compared with the branch's tip on the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The tip itself.
    Tip,
    /// Only our own release commits lie between: planning goes on at the tip.
    BehindReleases,
    /// Others have pushed since: nothing new is decided.
    Superseded,
    /// Not part of the branch.
    Elsewhere,
}

/// Judges where `head` stands. `between` are the commits from `head` to the tip; `None` when the tip does not lead back to `head`.
///
/// ```
/// # use pkgs_action::plan::next::{position, Position};
/// # use pkgs_action::name::CommitId;
/// let id = |digit: char| CommitId::parse(&digit.to_string().repeat(40)).unwrap();
/// assert_eq!(position(Some(&[]), |_| false), Position::Tip);
/// assert_eq!(position(Some(&[id('a')]), |_| true), Position::BehindReleases);
/// assert_eq!(position(Some(&[id('a'), id('b')]), |commit| *commit == id('a')), Position::Superseded);
/// assert_eq!(position(None, |_| true), Position::Elsewhere);
/// ```
pub fn position(between: Option<&[CommitId]>, is_release: impl Fn(&CommitId) -> bool) -> Position {
    match between {
        None => Position::Elsewhere,
        Some([]) => Position::Tip,
        Some(commits) if commits.iter().all(is_release) => Position::BehindReleases,
        Some(_) => Position::Superseded,
    }
}

/// What a tag of ours says about its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagLines {
    /// The seal; `None` where the tag says `none`.
    pub seal: Option<SealName>,
    /// The integrity of each library's tarball; without a name it is that of the package the tag names.
    pub integrities: Vec<(Option<PackageName>, Integrity)>,
}

/// How a tag names a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealName {
    /// Its key in the store.
    pub key: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

impl SealName {
    /// The seal for a person: the start of its plan's digest.
    pub fn short(&self) -> String {
        let name = self.key.rsplit('/').next().unwrap_or(&self.key);
        name.chars().take(12).collect()
    }
}

/// How the names of tags begin that say of a release that it was given up; what follows is its id.
pub const ABANDONED: &str = "pkgs/abandoned/";

/// The tag that says of a release that it was given up.
pub fn abandoned_tag(release: &ReleaseId) -> Result<TagName, Failure> {
    TagName::parse(&format!("{ABANDONED}{release}"))
}

/// The message of that tag. Nothing in it makes it a decision, whatever the reason says.
///
/// ```
/// use pkgs_action::name::TagName;
/// use pkgs_action::plan::next::{abandoned_message, tag_lines};
/// let tag = TagName::parse("pkgs/abandoned/20260102-0123456789ab").unwrap();
/// assert!(tag_lines(&abandoned_message(&tag, Some("Pkgs-Seal: none"))).is_none());
/// ```
pub fn abandoned_message(tag: &TagName, reason: Option<&str>) -> String {
    let reason = reason.map(crate::explain::quoted).unwrap_or_default();
    format!("{tag}\n\nGiven up: its tags keep their versions and are no base. {reason}\n")
}

/// Reads the lines that make a tag one of ours. `None`: it is not ours.
///
/// ```
/// use pkgs_action::plan::next::tag_lines;
/// assert_eq!(tag_lines("v1.0.0\n"), None);
/// assert_eq!(tag_lines("v1.0.0\n\nPkgs-Seal: none\n").unwrap().seal, None);
/// ```
pub fn tag_lines(message: &str) -> Option<TagLines> {
    let seal = message
        .lines()
        .find_map(|line| line.strip_prefix(SEAL_LINE))?
        .trim();
    let seal = match seal {
        "none" => None,
        named => {
            let (key, digest) = named.split_once(' ')?;
            Some(SealName {
                key: key.to_owned(),
                digest: Digest::parse(digest.trim()).ok()?,
            })
        }
    };
    let integrities = message
        .lines()
        .filter_map(|line| line.strip_prefix(INTEGRITY_LINE))
        .filter_map(|line| match line.trim().split_once(' ') {
            Some((name, integrity)) => Some((
                Some(PackageName::parse(name).ok()?),
                Integrity::parse(integrity).ok()?,
            )),
            None => Some((None, Integrity::parse(line.trim()).ok()?)),
        })
        .collect();
    Some(TagLines { seal, integrities })
}

/// The message of a tag. `libraries` are the libraries that the tag marks, with their tarballs; a library's name stands beside its integrity
/// wherever the tag's own name does not say it.
///
/// ```
/// use pkgs_action::name::{Integrity, PackageName, TagName};
/// use pkgs_action::plan::next::{tag_lines, tag_message};
/// let name = PackageName::parse("a").unwrap();
/// let sum = Integrity::of(b"");
/// let named = |tag: &str| tag_lines(&tag_message(&TagName::parse(tag).unwrap(), None, &[(&name, &sum)])).unwrap().integrities[0].0.is_some();
/// assert!(!named("a@1.0.0"));
/// assert!(named("v1.0.0"));
/// assert!(named("a/v1.0.0"));
/// ```
pub fn tag_message(
    tag: &TagName,
    seal: Option<&SealName>,
    libraries: &[(&PackageName, &Integrity)],
) -> String {
    use std::fmt::Write as _;
    let seal = seal.map_or_else(
        || "none".to_owned(),
        |seal| format!("{} {}", seal.key, seal.digest),
    );
    let mut message = format!("{tag}\n\n{SEAL_LINE} {seal}\n");
    for (name, integrity) in libraries {
        let says_it =
            crate::changes::tag::read(tag).is_some_and(|(marked, _)| marked == Some(name.as_str()));
        let _ = if says_it {
            writeln!(message, "{INTEGRITY_LINE} {integrity}")
        } else {
            writeln!(message, "{INTEGRITY_LINE} {name} {integrity}")
        };
    }
    message
}

/// The one of `tags` that marks `version` of the package `name`: its own, or that of all. `format` is the repository's own form of tags.
///
/// ```
/// use pkgs_action::name::TagName;
/// use pkgs_action::plan::next::tag_of;
/// use pkgs_action::version::Version;
/// let tags = ["a/v1.0.0", "b/v1.0.0"].map(|tag| TagName::parse(tag).unwrap());
/// let version = Version::parse("1.0.0").unwrap();
/// assert_eq!(tag_of(&tags, Some("{name}/v{version}"), "b", &version), Some(&tags[1]));
/// assert_eq!(tag_of(&tags, None, "b", &version), None);
/// ```
pub fn tag_of<'a>(
    tags: &'a [TagName],
    format: Option<&str>,
    name: &str,
    version: &Version,
) -> Option<&'a TagName> {
    Marked::read(tags, format).tag(name, version)
}

/// Tags by what they mark.
pub struct Marked<'a>(HashMap<(Option<&'a str>, String), &'a TagName>);

impl<'a> Marked<'a> {
    /// Reads tags, once for many packages. `format` is as in [`tag_of`].
    pub fn read(tags: &'a [TagName], format: Option<&str>) -> Marked<'a> {
        let read = |tag: &'a TagName| {
            let (name, version) = crate::changes::tag::read_with(tag, format)?;
            Some(((name, version.to_string()), tag))
        };
        Marked(tags.iter().filter_map(read).collect())
    }

    /// The tag that marks `version` of the package `name`: its own, or that of all.
    pub fn tag(&self, name: &str, version: &Version) -> Option<&'a TagName> {
        let of = |name| self.0.get(&(name, version.to_string()));
        of(Some(name)).or_else(|| of(None)).copied()
    }
}

/// What the registry holds under a version of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Not there.
    Absent,
    /// The bytes that were decided.
    Same,
    /// Other bytes, built from our commit: another attempt of this release made them.
    SameCommit,
    /// Somebody else's bytes.
    Foreign,
}

/// Judges what the registry holds. `published` is its integrity and `gitHead`, `None` when the version is not there; a release without a seal may have been
/// built again by another attempt, which `gitHead` tells.
pub fn delivery(
    published: Option<(Option<&str>, Option<&str>)>,
    decided: &Integrity,
    commit: &CommitId,
    sealed: bool,
) -> Delivery {
    match published {
        None => Delivery::Absent,
        Some((Some(integrity), _)) if integrity == decided.as_str() => Delivery::Same,
        Some((_, Some(git_head))) if !sealed && git_head == commit.as_str() => Delivery::SameCommit,
        Some(_) => Delivery::Foreign,
    }
}

/// A library of a decided release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedPackage {
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The dist-tag it is published under.
    pub dist_tag: String,
    /// The integrity of its tarball.
    pub integrity: Integrity,
}
