//! Which versions were released before this tool came: their tags are the bases that changes are measured from.

use std::collections::{BTreeMap, BTreeSet};

use crate::changes::tag;
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, PackageName, TagName};
use crate::plan::release::{Base, check_filter, root_version, selected, tag_format};
use crate::settings::{Mode, Settings};
use crate::version::Version;
use crate::workspace::Workspace;
use crate::workspace::package::{Kind, Package};

/// A package whose version no tag that leads here marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmarked {
    /// Its name.
    pub name: PackageName,
    /// What it becomes.
    pub kind: Kind,
    /// Its version: that of all where they share one.
    pub version: Version,
    /// The tag that would mark it.
    pub tag: TagName,
}

/// A tag to make, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The tag.
    pub tag: TagName,
    /// The commit that it names.
    pub commit: CommitId,
    /// The version that it marks.
    pub version: Version,
    /// The packages whose version that is.
    pub packages: Vec<PackageName>,
    /// Whether the registry says that the version was built from this commit; else it is the one checked out.
    pub built_there: bool,
}

/// The packages that the settings select and whose version no base marks. A manifest below its base waits for a release of another tool that
/// keeps versions elsewhere: the base counts. `bases` are in the workspace's order.
///
/// # Errors
/// `plan::filter` as in a plan.
pub fn unmarked(
    workspace: &Workspace,
    mode: Mode,
    bases: &[Base],
    settings: &Settings,
) -> Result<Vec<Unmarked>, Failure> {
    check_filter(workspace, mode, settings)?;
    let format = tag_format(mode, settings);
    let held = |package: &Package| package.version.clone();
    let highest = workspace
        .packages
        .iter()
        .filter_map(held)
        .chain(root_version(workspace).map(|(_, version)| version.clone()))
        .max();
    let members = workspace.packages.iter().zip(bases);
    let open = members.filter(|(package, _)| selected(package, &settings.filter));
    open.filter_map(|(package, base)| {
        let own = held(package)?;
        let version = match mode {
            Mode::Sync => highest.clone()?,
            Mode::Diff => own,
        };
        let is_marked = base.version().is_some_and(|marked| *marked >= version);
        (!is_marked).then_some((package, version))
    })
    .map(|(package, version)| {
        let tag = TagName::parse(&tag::format(format, package.name.as_str(), &version))?;
        Ok(Unmarked {
            name: package.name.clone(),
            kind: package.kind,
            version,
            tag,
        })
    })
    .collect()
}

/// The tags of these packages. `built` are the commits that their versions were built from, with how far each lies back: of several packages
/// with one tag the one that lies back the furthest counts, so that no change is lost.
///
/// # Errors
/// `plan::tag_exists` for a tag that is in `taken`: it does not lead here, or it would be a base.
pub fn marks(
    unmarked: Vec<Unmarked>,
    head: &CommitId,
    built: &BTreeMap<PackageName, (usize, CommitId)>,
    taken: &BTreeSet<TagName>,
) -> Result<Vec<Mark>, Failure> {
    let mut marks: BTreeMap<TagName, Mark> = BTreeMap::new();
    let mut ages: BTreeMap<TagName, usize> = BTreeMap::new();
    for package in unmarked {
        if taken.contains(&package.tag) {
            let what = format!(
                "tag {} exists already, and not on a commit that leads here",
                package.tag
            );
            return Err(Failure::new(Exit::Refused, "plan::tag_exists", what)
                .because("a tag that exists is never moved")
                .hint("if it marks this version, merge its commit here; else delete it there and here, or leave the package out with filter"));
        }
        let mark = marks.entry(package.tag.clone()).or_insert_with(|| Mark {
            tag: package.tag.clone(),
            commit: head.clone(),
            version: package.version,
            packages: Vec::new(),
            built_there: false,
        });
        if let Some((age, commit)) = built.get(&package.name) {
            let furthest = ages.entry(package.tag).or_default();
            if !mark.built_there || *age > *furthest {
                *furthest = *age;
                mark.commit = commit.clone();
                mark.built_there = true;
            }
        }
        mark.packages.push(package.name);
    }
    Ok(marks.into_values().collect())
}

/// The message of such a tag. It has none of the lines by which a tag decides a release of ours.
///
/// ```
/// use pkgs_action::name::TagName;
/// use pkgs_action::plan::{baseline, next};
/// let tag = TagName::parse("a@1.0.0").unwrap();
/// assert!(next::tag_lines(&baseline::message(&tag)).is_none());
/// ```
pub fn message(tag: &TagName) -> String {
    format!("{tag}\n\nReleased before: changes are measured from here.\n")
}
