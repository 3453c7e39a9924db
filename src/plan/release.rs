//! Which packages a release takes, to which versions, and why. Pure: the same facts give the same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use url::Url;

use crate::changes::intent::Intent;
use crate::changes::owner::Ignored;
use crate::changes::{Reason, Touched, tag};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{CommitId, PackageName, RepoPath, TagName, Variant};
use crate::plan::asking::Answer;
use crate::plan::groups::Groups;
use crate::plan::intents;
use crate::plan::notes::forge::Forge;
use crate::plan::way::{self, Way};
use crate::plan::{adopted, registry, replacements};
use crate::settings::adopted::Adopted;
use crate::settings::given::similar;
use crate::settings::{Access, BumpRequest, Choice, Command, Mode, PeerPolicy, Settings};
use crate::version::line::Line;
use crate::version::{Bump, Version, ZeroMajor};
use crate::workspace::graph::Reached;
use crate::workspace::package::{Kind, Package};
use crate::workspace::package_json::DependencyField;
use crate::workspace::{Edge, Spec, Workspace};

/// What a package's changes are measured from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// It was never released.
    First,
    /// Its last reachable release tag.
    Tag {
        /// The tag.
        name: TagName,
        /// The commit it names.
        commit: CommitId,
        /// The version it marks.
        version: Version,
    },
    /// The commit that the registry says its last version was built from.
    Published {
        /// The commit.
        commit: CommitId,
        /// That version.
        version: Version,
    },
    /// A commit that a person named.
    Asked(CommitId),
}

impl Base {
    /// The commit, where there is one.
    pub fn commit(&self) -> Option<&CommitId> {
        match self {
            Base::First => None,
            Base::Tag { commit, .. } | Base::Published { commit, .. } | Base::Asked(commit) => {
                Some(commit)
            }
        }
    }

    /// The version that was released there, where one is known.
    pub fn version(&self) -> Option<&Version> {
        match self {
            Base::Tag { version, .. } | Base::Published { version, .. } => Some(version),
            Base::First | Base::Asked(_) => None,
        }
    }
}

/// What is known of one package.
#[derive(Debug, Clone)]
pub struct PackageFacts {
    /// What its changes are measured from.
    pub base: Base,
    /// The commits that count for it since then.
    pub touched: Touched,
    /// What changed since then of its production closure in the lockfile; only apps have this.
    pub lockfile: BTreeSet<String>,
    /// What a catalog gives another range than it had then, as reasons.
    pub catalogs: Vec<Reason>,
    /// The packages of the workspace that were released without it, though that left the ranges of what is published of it, and how far each lets
    /// it grow.
    pub held_back: Vec<(Bump, Reason)>,
    /// The release before the prereleases that end now, and why it grew since then.
    pub since_release: Option<(Base, Vec<Reason>)>,
    /// Its newest release since the base, where that was given up: it takes the version, and is no base.
    pub given_up: Option<GivenUp>,
    /// Why it changed, where nothing says how far it grows; empty where something does, or nothing changed.
    pub undecided: Vec<Reason>,
    /// What a person answered when asked how far it grows.
    pub answer: Option<Answer>,
}

/// A release of a package that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its tag.
    pub tag: TagName,
    /// Its version.
    pub version: Version,
}

impl GivenUp {
    /// Why the package is released again.
    fn reason(&self) -> Reason {
        Reason::Abandoned {
            tag: self.tag.to_string(),
        }
    }
}

impl PackageFacts {
    /// How far its own changes ask it to grow.
    pub fn changed(&self) -> Option<Bump> {
        let runs_with = !self.lockfile.is_empty() || !self.catalogs.is_empty();
        let also = runs_with || self.given_up.is_some();
        let own = self.touched.bump.or(also.then_some(Bump::Patch));
        own.max(self.held_back.iter().map(|(bump, _)| *bump).max())
    }

    /// The bump that is asked for: by a person's answer, else by a setting.
    fn request<'a>(&'a self, settings: &'a Settings) -> &'a BumpRequest {
        match &self.answer {
            Some(Answer::Grow(request)) => request,
            _ => &settings.bump,
        }
    }

    /// Whether a person answered that it is not released now.
    fn is_put_off(&self) -> bool {
        self.answer == Some(Answer::NotNow)
    }

    /// Whether a version that a manifest holds was never a release of ours, also none that was given up.
    fn is_new(&self, version: &Version) -> bool {
        let given_up = self.given_up.as_ref();
        given_up.is_none_or(|given_up| *version > given_up.version)
    }
}

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The packages.
    pub workspace: &'a Workspace,
    /// How they depend on each other.
    pub edges: &'a [Edge],
    /// Where the lockfile disagrees with the manifests: then none of it can be edited.
    pub lockfile_stale: Option<&'a Failure>,
    /// One version for all, or each its own.
    pub mode: Mode,
    /// Why that mode.
    pub mode_reason: String,
    /// The commit that is planned on.
    pub head: CommitId,
    /// What is known of each package, in the workspace's order.
    pub packages: Vec<PackageFacts>,
    /// What people said about the next release, in order of file; it decides already, see [`intents::decide`].
    pub intents: &'a [Intent],
    /// Every tag there is, reachable or not.
    pub tags: &'a BTreeSet<TagName>,
    /// What the branch is for, where it has a line of its own.
    pub line: Option<&'a Line>,
    /// The commit before everything that is in the release, for people.
    pub base: Option<CommitId>,
    /// The day of the commit that is planned on, `yyyy-mm-dd`, UTC.
    pub day: String,
    /// Where people look at the repository.
    pub forge: Option<Forge>,
}

/// A file that the release commit changes, and its new text; `None` deletes it.
pub type Edit = (RepoPath, Option<String>);

/// What shall be released.
#[derive(Debug, Clone)]
pub struct Plan {
    /// One version for all, or each its own.
    pub mode: Mode,
    /// Why that mode.
    pub mode_reason: String,
    /// What files of other release tools decided.
    pub adopted: Vec<Adopted>,
    /// What a breaking change does below 1.0.0.
    pub zero_major: ZeroMajor,
    /// The commit before everything that is in the release.
    pub base: Option<CommitId>,
    /// The commit that is planned on.
    pub head: CommitId,
    /// What is released, in the workspace's order.
    pub packages: Vec<PlannedPackage>,
    /// What is not.
    pub unchanged: Vec<PackageName>,
    /// Those of them that a person put off.
    pub put_off: Vec<PackageName>,
    /// In which order packages are published.
    pub waves: Vec<Vec<PackageName>>,
    /// The apps that are built.
    pub apps: Vec<PlannedApp>,
    /// The tags, in order of name.
    pub tags: Vec<TagName>,
    /// The one version, in sync mode or of a single package.
    pub version: Option<Version>,
    /// New texts of manifests, lockfile and changelogs, and the intents that are consumed, in order of path.
    pub edits: Vec<Edit>,
    /// Message of the release commit.
    pub message: String,
    /// What a person should know.
    pub warnings: Vec<Notice>,
    /// The day of the commit that is planned on, `yyyy-mm-dd`, UTC: the release's own.
    pub day: String,
    /// Where people look at the repository.
    pub forge: Option<Forge>,
    /// Whether it is a snapshot: published once, without commit and tags.
    pub is_snapshot: bool,
}

/// Something a person should know, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `room::name`.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
}

/// A package that is released.
#[derive(Debug, Clone)]
pub struct PlannedPackage {
    /// Its place in the workspace; `None`: the root.
    pub index: Option<usize>,
    /// Its name.
    pub name: PackageName,
    /// Its directory.
    pub directory: RepoPath,
    /// What it becomes.
    pub kind: Kind,
    /// Whether it is private.
    pub private: bool,
    /// The version it grows from.
    pub from: Version,
    /// The version it gets.
    pub to: Version,
    /// How far it grows; `None`: the version in its manifest is released as it stands.
    pub bump: Option<Bump>,
    /// The tag that marks it.
    pub tag: TagName,
    /// The npm dist-tag; only libraries have one.
    pub dist_tag: Option<String>,
    /// Who may see it; `None`: what the name already has.
    pub access: Option<Access>,
    /// The registry it goes to; `None`: where all go.
    pub registry: Option<Url>,
    /// Why, most important first.
    pub reasons: Vec<Reason>,
    /// What its changes are measured from.
    pub base: Base,
    /// Whether the release writes its version: its manifest does not hold it yet.
    pub is_written: bool,
}

/// An app that is built.
#[derive(Debug, Clone)]
pub struct PlannedApp {
    /// Its place in the workspace.
    pub index: usize,
    /// Its name.
    pub name: PackageName,
    /// The version it grows from.
    pub from: Version,
    /// The version it gets.
    pub to: Version,
    /// Its builds.
    pub variants: Vec<Variant>,
}

/// A package on its way into the plan.
#[derive(Debug, Clone)]
pub(super) struct Growing {
    pub(super) from: Version,
    /// Set where the version is given, not grown.
    pub(super) fixed: Option<Version>,
    pub(super) bump: Option<Bump>,
    /// To releases, or to prereleases.
    pub(super) way: Way,
    /// What its group gives it.
    pub(super) together: Option<Together>,
    pub(super) reasons: Vec<Reason>,
}

/// What the packages of a group get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Together {
    pub(super) to: Version,
    /// How far the group grows; `None`: the version was given.
    pub(super) bump: Option<Bump>,
}

impl Growing {
    /// A package that is released only because others of its group are.
    pub(super) fn following(from: Version, way: Way) -> Growing {
        Growing {
            from,
            fixed: None,
            bump: None,
            way,
            together: None,
            reasons: Vec::new(),
        }
    }

    pub(super) fn to(&self, settings: &Settings) -> Version {
        match &self.together {
            Some(together) => together.to.clone(),
            None => self.alone(settings),
        }
    }

    /// The version it would get without its group.
    pub(super) fn alone(&self, settings: &Settings) -> Version {
        match (&self.fixed, self.bump) {
            (Some(fixed), _) => fixed.clone(),
            (None, Some(bump)) => self.way.next(&self.from, bump, settings.zero_major),
            (None, None) => self.from.clone(),
        }
    }
}

/// Plans a release.
///
/// # Errors
/// `plan::tag_exists` when a tag of the plan exists already; `plan::bump` when an asked version is not above what is there; `plan::line` and
/// `plan::max_bump` when a version grows further than it may.
pub fn plan(facts: &Facts<'_>, settings: &Settings) -> Result<Plan, Failure> {
    let plan = unbounded(facts, settings)?;
    check_line(&plan, facts.line)?;
    refuse_taken(&plan, facts.tags)?;
    check_max_bump(&plan, settings)?;
    Ok(plan)
}

/// Plans a release in which versions grow as far as they must, to tell why: what would refuse it is among its warnings. A `Release-As` that
/// cannot be counts for nothing in it.
///
/// # Errors
/// Those of [`plan`] but for those that are warnings here.
pub fn explained(facts: &Facts<'_>, settings: &Settings) -> Result<Plan, Failure> {
    let mut refused = Vec::new();
    let mut plan = match unbounded(facts, settings) {
        Err(failure) if failure.code() == NOT_ABOVE => {
            let Some(possible) = without_impossible(facts, settings) else {
                return Err(failure);
            };
            refused.push(failure);
            unbounded(&possible, settings)?
        }
        planned => planned?,
    };
    refused.extend(check_line(&plan, facts.line).err());
    refused.extend(refuse_taken(&plan, facts.tags).err());
    refused.extend(check_max_bump(&plan, settings).err());
    plan.warnings
        .extend(refused.into_iter().map(|refused| Notice {
            code: refused.code(),
            message: refused.what().to_owned(),
        }));
    Ok(plan)
}

/// The facts without each `Release-As` that is not above what is there; `None` where there is none.
fn without_impossible<'a>(facts: &Facts<'a>, settings: &Settings) -> Option<Facts<'a>> {
    let versions: Vec<Option<Version>> = (0..facts.packages.len())
        .map(|index| grown_from(facts, settings, index))
        .collect();
    let shared = versions.iter().flatten().max();
    let mut possible = facts.clone();
    for (known, own) in possible.packages.iter_mut().zip(&versions) {
        let from = match facts.mode {
            Mode::Sync => shared,
            Mode::Diff => own.as_ref(),
        };
        let said = &mut known.touched.release_as;
        said.take_if(|(version, _)| from.is_some_and(|from| *version <= *from));
    }
    let said = |facts: &Facts<'_>| {
        let packages = facts.packages.iter();
        packages
            .filter(|known| known.touched.release_as.is_some())
            .count()
    };
    (said(&possible) < said(facts)).then_some(possible)
}

fn unbounded(facts: &Facts<'_>, settings: &Settings) -> Result<Plan, Failure> {
    check_filter(facts.workspace, facts.mode, settings)?;
    check_groups(facts.mode, settings)?;
    check_prerelease(facts, settings)?;
    check_files(facts, settings)?;
    replacements::check(facts.workspace, facts.mode, settings)?;
    let mut growing = match facts.mode {
        Mode::Diff => grow_each(facts, settings)?,
        Mode::Sync => grow_together(facts, settings)?,
    };
    if settings.snapshot.is_some() {
        check_snapshot(settings)?;
        let packages = &facts.workspace.packages;
        growing.retain(|index, _| packages[*index].kind == Kind::Library);
    }
    let mut plan = assemble(facts, settings, &growing)?;
    registry::assign(facts.workspace, &mut plan, settings)?;
    plan.warnings
        .extend(registry::private_names(&plan, settings));
    plan.warnings
        .extend(registry::scripts_not_run(facts.workspace, &plan).filter(|_| settings.scripts));
    plan.warnings
        .extend(adopted::without_effect(facts.mode, settings));
    Ok(plan)
}

/// Refuses a bump of a snapshot, whose version only says which commit it is of.
fn check_snapshot(settings: &Settings) -> Result<(), Failure> {
    if settings.bump == BumpRequest::Auto {
        return Ok(());
    }
    let what = "bump and snapshot cannot both be asked for";
    Err(Failure::new(Exit::Usage, "plan::snapshot", what)
        .because("the version of a snapshot is the commit it is made of")
        .hint("leave one of them away"))
}

/// Refuses names of `max-package-size` that mean no package, and globs of `key-files` that are none.
fn check_files(facts: &Facts<'_>, settings: &Settings) -> Result<(), Failure> {
    const SETTING: &str = "max-package-size";
    Ignored::of("key-files", &settings.key_files)?;
    let entries = settings.max_package_size.iter();
    entries
        .filter_map(|entry| entry.packages.as_deref())
        .try_for_each(|pattern| {
            check_pattern(facts.workspace, SETTING, "plan::max_package_size", pattern)
        })
}

/// Refuses names of `prerelease` that mean no package, and different ones where all packages share one version.
fn check_prerelease(facts: &Facts<'_>, settings: &Settings) -> Result<(), Failure> {
    let patterns = settings.prerelease.iter();
    for pattern in patterns.filter_map(|entry| entry.packages.as_deref()) {
        check_pattern(facts.workspace, "prerelease", "plan::prerelease", pattern)?;
    }
    let versioned = facts.workspace.packages.iter();
    let mut versioned = versioned.filter(|package| package.version.is_some());
    let first = versioned
        .next()
        .map(|package| way::identifier(package, settings, facts.line));
    let differs = |package: &&Package| {
        first.is_some_and(|first| way::identifier(package, settings, facts.line) != first)
    };
    match versioned.find(|package| facts.mode == Mode::Sync && differs(package)) {
        None => Ok(()),
        Some(package) => {
            let what = format!(
                "prerelease says of {} what it does not say of others",
                package.name
            );
            Err(Failure::new(Exit::Usage, "plan::prerelease", what)
                .because("in sync mode all packages share one version")
                .hint("name one identifier for all, or set mode to diff"))
        }
    }
}

/// Refuses a release that would leave the older line that its branch is for.
fn check_line(plan: &Plan, line: Option<&Line>) -> Result<(), Failure> {
    let line = line.filter(|_| !plan.is_snapshot);
    let Some(line) = line.and_then(Line::maintenance) else {
        return Ok(());
    };
    let leaves = |package: &&PlannedPackage| !line.holds(&package.to);
    let Some(package) = plan.packages.iter().find(leaves) else {
        return Ok(());
    };
    let PlannedPackage { name, from, to, .. } = package;
    let what = format!("{name} would go from {from} to {to}, but this branch is for {line}");
    let hint = if line.holds(from) {
        "release such a change from the main branch, or revert it here; smaller bumps would hide what users must know"
    } else {
        "keep packages of other lines out with filter"
    };
    Err(Failure::new(Exit::Refused, "plan::line", what)
        .because(format!("`why {name}` tells what asks for it"))
        .hint(hint))
}

/// Refuses a release in which a version grows further than it may. What counts is how far the versions are apart, whatever raised them.
///
/// # Errors
/// `plan::max_bump`, exit 3.
fn check_max_bump(plan: &Plan, settings: &Settings) -> Result<(), Failure> {
    let too_far = |package: &&PlannedPackage| {
        !plan.is_snapshot
            && package.base != Base::First
            && package.from != package.to
            && package.from.distance(&package.to) > settings.max_bump
    };
    let Some(package) = plan.packages.iter().find(too_far) else {
        return Ok(());
    };
    let PlannedPackage { name, from, to, .. } = package;
    let most = settings.max_bump;
    let count = plan.packages.iter().filter(too_far).count();
    let others = match count - 1 {
        0 => String::new(),
        others => format!(", and {others} more grow too far"),
    };
    let what = format!("{name} would go from {from} to {to}, but max-bump is {most}{others}");
    Err(Failure::new(Exit::Refused, "plan::max_bump", what)
        .because(format!("`why {name}` tells what asks for it"))
        .hint("revert what asks for it, or raise max-bump; a smaller bump would hide a change that users must know"))
}

/// The version a package grows from: the higher of its manifest's and its last release's.
pub(super) fn grown_from(facts: &Facts<'_>, settings: &Settings, index: usize) -> Option<Version> {
    let (package, known) = (&facts.workspace.packages[index], &facts.packages[index]);
    let manifest = package.version.clone()?;
    let given_up = known.given_up.as_ref().map(|given_up| &given_up.version);
    let released = known.base.version().max(given_up);
    let highest = released.map_or(manifest.clone(), |released| manifest.max(released.clone()));
    Some(way::overtaken(facts, settings, package, highest))
}

/// Refuses a filter that is no glob or names no package: a typo would release nothing, or too much, and look like success.
pub fn check_filter(workspace: &Workspace, mode: Mode, settings: &Settings) -> Result<(), Failure> {
    let filter = settings.spelled("filter");
    if mode == Mode::Sync && !settings.filter.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "plan::filter",
            format!("{filter} cannot leave packages out in sync mode"),
        )
        .because("all packages share one version")
        .hint(match settings.adopted_from("filter") {
            Some(_) => "set filter to none, or mode to diff",
            None => "leave filter away, or set mode to diff",
        }));
    }
    for pattern in &settings.filter {
        // In a list of what is left out nobody wrote the sign.
        let written = match settings.adopted_from("filter") {
            Some(_) => pattern.strip_prefix('!').unwrap_or(pattern),
            None => pattern,
        };
        check_pattern(workspace, &filter, "plan::filter", written)?;
    }
    Ok(())
}

/// Refuses groups in sync mode, where they could do nothing; those of another tool's file give way to a mode that somebody set.
fn check_groups(mode: Mode, settings: &Settings) -> Result<(), Failure> {
    let groups = [("fixed", &settings.fixed), ("linked", &settings.linked)];
    let set = |(name, groups): &(&str, &Vec<Vec<String>>)| {
        !groups.is_empty() && settings.adopted_from(name).is_none()
    };
    match groups.iter().find(|group| mode == Mode::Sync && set(group)) {
        Some((name, _)) => Err(Failure::new(
            Exit::Usage,
            "plan::group",
            format!("{name} cannot make groups in sync mode"),
        )
        .because("all packages share one version")
        .hint(format!("leave {name} away, or set mode to diff"))),
        None => Ok(()),
    }
}

/// Refuses a pattern of a setting that is no glob, or names no package: neither to take it in nor to leave it out.
pub(super) fn check_pattern(
    workspace: &Workspace,
    setting: &str,
    code: &'static str,
    pattern: &str,
) -> Result<(), Failure> {
    const EXAMPLE: &str = "name packages, or directories by a glob such as packages/*";
    let (sign, meant) = match pattern.strip_prefix('!') {
        Some(meant) => ("!", meant),
        None => ("", pattern),
    };
    let refuse = |what: String| Failure::new(Exit::Usage, code, what);
    if let Err(error) = globset::Glob::new(meant) {
        return Err(
            refuse(format!("{setting} {} is not a glob", quoted(pattern)))
                .because(error)
                .hint(EXAMPLE),
        );
    }
    let packages = &workspace.packages;
    if !packages.iter().any(|package| matches(package, meant)) {
        let near = near(meant, packages.iter());
        let near = near.first();
        let failure = refuse(format!("{setting} {} names no package", quoted(pattern)));
        return Err(match near {
            Some(near) => failure.hint(format!("did you mean {sign}{near}?")),
            None => failure.hint(EXAMPLE),
        });
    }
    Ok(())
}

/// The names of packages that may be meant by one that there is not, the most similar first: those that differ by their scope alone lead.
pub(super) fn near<'p>(asked: &str, packages: impl Iterator<Item = &'p Package>) -> Vec<&'p str> {
    const MOST: usize = 3;
    let names: Vec<&str> = packages.map(|package| package.name.as_str()).collect();
    let all = || names.iter().copied();
    let unscoped = all().filter(|name| name.rsplit_once('/').is_some_and(|(_, own)| own == asked));
    let mut near: Vec<&str> = unscoped.collect();
    for name in similar(asked, all()) {
        if !near.contains(&name) {
            near.push(name);
        }
    }
    near.truncate(MOST);
    near
}

/// Whether one pattern of a filter, without its `!`, means a package.
pub fn matches(package: &Package, pattern: &str) -> bool {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    let is_plain = !pattern.contains(['*', '?', '[', '{', '\\']);
    if is_plain {
        return package.name.as_str() == pattern || package.directory.as_str() == pattern;
    }
    package.name.as_str() == pattern
        || globset::GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .is_ok_and(|glob| {
                let matcher = glob.compile_matcher();
                matcher.is_match(package.directory.as_str())
                    || matcher.is_match(package.name.as_str())
            })
}

/// Whether a filter lets a package in: names or directory globs, `!` excludes.
pub fn selected(package: &Package, filter: &[String]) -> bool {
    let (excluding, including): (Vec<&String>, Vec<&String>) =
        filter.iter().partition(|pattern| pattern.starts_with('!'));
    (including.is_empty() || including.iter().any(|pattern| matches(package, pattern)))
        && !excluding
            .iter()
            .any(|pattern| matches(package, &pattern[1..]))
}

fn grow_each(facts: &Facts<'_>, settings: &Settings) -> Result<BTreeMap<usize, Growing>, Failure> {
    let mut growing = BTreeMap::new();
    for (index, package) in facts.workspace.packages.iter().enumerate() {
        if !selected(package, &settings.filter) {
            continue;
        }
        if let Some(started) = start(facts, index, settings)? {
            growing.insert(index, started);
        }
    }
    let groups = Groups::of(facts, settings)?;
    follow(facts, settings, &groups, &mut growing)?;
    groups.tell(facts, settings, &mut growing);
    tell_put_off(facts, &mut growing);
    Ok(growing)
}

/// Adds to the packages that a person put off, and that must follow others all the same, the changes that they are released with.
fn tell_put_off(facts: &Facts<'_>, growing: &mut BTreeMap<usize, Growing>) {
    for (index, package) in growing {
        let known = &facts.packages[*index];
        if known.is_put_off() {
            package.reasons.extend(known.undecided.iter().cloned());
        }
    }
}

/// Why a package would be released by itself; `None`: it would not.
fn start(facts: &Facts<'_>, index: usize, settings: &Settings) -> Result<Option<Growing>, Failure> {
    let (package, known) = (&facts.workspace.packages[index], &facts.packages[index]);
    let from = grown_from(facts, settings, index);
    let Some((from, manifest)) = from.zip(package.version.as_ref()) else {
        return Ok(None);
    };
    if known.is_put_off() {
        return Ok(None);
    }
    let own = way::identifier(package, settings, facts.line);
    let given = |from: Version, reasons| {
        let way = Way::of(package, facts, settings);
        let stands = as_it_stands(&package.name, &from, manifest, &way, settings)?;
        Ok(Some(Growing {
            fixed: Some(stands),
            from,
            bump: None,
            way,
            together: None,
            reasons,
        }))
    };
    let is_new = known.is_new(manifest);
    if known.base == Base::First && is_new {
        return given(from, first_reasons(known));
    }
    if let Some(released) = written_by_hand(facts, index, settings).filter(|_| is_new) {
        let commits = known.touched.reasons.iter().cloned();
        return given(
            released,
            std::iter::once(Reason::Written).chain(commits).collect(),
        );
    }
    let arrives = way::arrives(&from, own, settings);
    let Some(changed) = known.changed().or(arrives.then_some(Bump::Patch)) else {
        return Ok(None);
    };
    let request = known.request(settings);
    let way = Way::asked(package, &from, request, facts, settings)?;
    let fixed = match request {
        BumpRequest::To(version) => Some(version.clone()),
        BumpRequest::Auto | BumpRequest::Graduate => {
            let release_as = known.touched.release_as.as_ref();
            release_as.map(|(version, _)| way.toward(&from, version))
        }
        _ => None,
    };
    let is_below = |version: &&Version| **version <= from && way.climbs();
    if let Some(version) = fixed.as_ref().filter(is_below) {
        let said = said_by_commit(request, [known].into_iter());
        return Err(not_above_as_said(&package.name, version, &from, said));
    }
    Ok(Some(Growing {
        bump: request.of(changed),
        reasons: own_reasons(known, &from, &way, arrives, settings),
        from,
        fixed,
        way,
        together: None,
    }))
}

/// The version that a manifest brings along, on the package's way; where a higher one is asked for, that.
fn as_it_stands(
    name: &PackageName,
    from: &Version,
    held: &Version,
    way: &Way,
    settings: &Settings,
) -> Result<Version, Failure> {
    match &settings.bump {
        BumpRequest::To(asked) if asked < held => Err(not_above(name, asked, held)),
        BumpRequest::To(asked) => Ok(asked.clone()),
        _ => Ok(way.toward(from, held)),
    }
}

/// The last release of a package whose manifest holds a higher version that a person wrote there.
fn written_by_hand(facts: &Facts<'_>, index: usize, settings: &Settings) -> Option<Version> {
    let (package, known) = (&facts.workspace.packages[index], &facts.packages[index]);
    let own = way::identifier(package, settings, facts.line);
    let (released, manifest) = known.base.version().zip(package.version.as_ref())?;
    let by_hand =
        manifest > released && !way::was_released(facts, settings, package, manifest, own);
    by_hand.then(|| released.clone())
}

/// Why a package grows by itself: what was asked, the prerelease that ends, and the changes since what was released before.
fn own_reasons(
    known: &PackageFacts,
    from: &Version,
    way: &Way,
    arrives: bool,
    settings: &Settings,
) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = known.given_up.iter().map(GivenUp::reason).collect();
    reasons.extend(match known.request(settings) {
        BumpRequest::Auto | BumpRequest::Graduate => {
            let release_as = known.touched.release_as.clone();
            release_as.map(|(version, id)| Reason::ReleaseAs { id, version })
        }
        _ => Some(Reason::Asked),
    });
    let ends = arrives || *way == Way::Release;
    if from.is_prerelease() && ends {
        reasons.push(Reason::Graduate { from: from.clone() });
    }
    let since = known.since_release.as_ref();
    let commits = since.map_or(&known.touched.reasons, |(_, reasons)| reasons);
    reasons.extend(commits.iter().cloned());
    reasons.extend(dependency_reasons(known));
    reasons
}

/// The code of a version that is not above what is there.
const NOT_ABOVE: &str = "plan::bump";

/// The commit with the highest `Release-As`, and its subject, where such a commit decides.
fn said_by_commit<'k>(
    request: &BumpRequest,
    known: impl Iterator<Item = &'k PackageFacts> + Clone,
) -> Option<(CommitId, String)> {
    if !matches!(request, BumpRequest::Auto | BumpRequest::Graduate) {
        return None;
    }
    let said = known
        .clone()
        .filter_map(|known| known.touched.release_as.as_ref());
    let (_, commit) = said.max()?;
    let mut reasons = known.flat_map(|known| &known.touched.reasons);
    let subject = reasons.find_map(|reason| match reason {
        Reason::Commit { id, subject, .. } if id == commit => Some(subject.clone()),
        _ => None,
    });
    Some((commit.clone(), subject.unwrap_or_default()))
}

/// That a version is not above what is there, with the commit that asks for it.
fn not_above_as_said(
    name: &PackageName,
    version: &Version,
    from: &Version,
    said: Option<(CommitId, String)>,
) -> Failure {
    let Some((commit, subject)) = said else {
        return not_above(name, version, from);
    };
    let what = format!(
        "{name} cannot become {version}, as {} {} says by Release-As: it is at {from} already",
        commit.short(),
        quoted(&subject)
    );
    Failure::new(Exit::Refused, NOT_ABOVE, what).hint(format!(
        "history stays, so commit a later change of the package with a higher Release-As, or release once with bump; `why {name}` tells the rest"
    ))
}

pub(super) fn not_above(name: &PackageName, version: &Version, from: &Version) -> Failure {
    Failure::new(
        Exit::Refused,
        NOT_ABOVE,
        format!("{name} cannot become {version}: it is at {from} already"),
    )
    .hint("ask for a higher version")
}

/// Adds everything that must follow, until nothing more does. The result does not depend on the order of packages: versions only grow,
/// and each round judges every edge.
fn follow(
    facts: &Facts<'_>,
    settings: &Settings,
    groups: &Groups,
    growing: &mut BTreeMap<usize, Growing>,
) -> Result<(), Failure> {
    let packages = &facts.workspace.packages;
    let uses = app_uses(facts, settings);
    let bundles = bundles(facts);
    loop {
        let mut grown = groups.apply(facts, settings, growing)?;
        for edge in facts.edges {
            let Some(from) = edge.from else { continue };
            let Some(dependency) = growing.get(&edge.to) else {
                continue;
            };
            if packages[from].kind.is_app() {
                continue;
            }
            let to = dependency.to(settings);
            let Effect::Grows(bump) = effect(edge, &dependency.from, &to, settings) else {
                continue;
            };
            let reason = Reason::Dependency {
                on: packages[edge.to].name.to_string(),
                from: dependency.from.clone(),
                range: Some(edge.spec.effective(&dependency.from)),
                to,
            };
            grown |= join(facts, settings, growing, from, bump, reason);
        }
        for (from, carried) in &bundles {
            for index in carried {
                let Some(dependency) = growing.get(index) else {
                    continue;
                };
                let reason = Reason::Bundled {
                    on: packages[*index].name.to_string(),
                    from: dependency.from.clone(),
                    to: dependency.to(settings),
                };
                grown |= join(facts, settings, growing, *from, Bump::Patch, reason);
            }
        }
        for (app, used) in &uses {
            for index in used {
                let Some(dependency) = growing.get(index) else {
                    continue;
                };
                let reason = Reason::Dependency {
                    on: packages[*index].name.to_string(),
                    from: dependency.from.clone(),
                    to: dependency.to(settings),
                    range: None,
                };
                grown |= join(facts, settings, growing, *app, Bump::Patch, reason);
            }
        }
        if !grown {
            tell_outlived(facts, settings, growing);
            return Ok(());
        }
    }
}

/// Adds to the reasons of a package whose prereleases end the dependencies that it needed as prereleases.
fn tell_outlived(facts: &Facts<'_>, settings: &Settings, growing: &mut BTreeMap<usize, Growing>) {
    for edge in facts.edges {
        let dependency = growing.get(&edge.to);
        let grown = dependency.map(|found| (found.from.clone(), found.to(settings)));
        let (Some((from, to)), Some(index)) = (grown, edge.from) else {
            continue;
        };
        let counts = edge.field != DependencyField::DevDependencies;
        if !counts || !outlives(&edge.spec, &from, &to) {
            continue;
        }
        let on = facts.workspace.packages[edge.to].name.to_string();
        let reason = Reason::Dependency {
            on,
            from,
            to,
            range: None,
        };
        if let Some(present) = growing.get_mut(&index)
            && !present
                .reasons
                .iter()
                .any(|known| is_about_the_same(known, &reason))
        {
            present.reasons.push(reason);
        }
    }
}

/// What the growth of a dependency does to the library or private package that declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The declared range still holds.
    Holds,
    /// The range is left, but only where the package itself is built: it is rewritten and releases nothing.
    OnlyDevelopment,
    /// The range of a peer is left, and `peer` is `never`.
    PeerNever,
    /// The range is left: the package grows this much.
    Grows(Bump),
}

/// The rule by which a package follows a dependency that goes `from` one version `to` another.
pub fn effect(edge: &Edge, from: &Version, to: &Version, settings: &Settings) -> Effect {
    if edge.spec.accepts(from, to) {
        return Effect::Holds;
    }
    effect_of_leaving(edge.field, settings)
}

/// What it does to a package that a range in this field is left.
pub fn effect_of_leaving(field: DependencyField, settings: &Settings) -> Effect {
    match (field, settings.peer) {
        (DependencyField::DevDependencies, _) => Effect::OnlyDevelopment,
        (DependencyField::PeerDependencies, PeerPolicy::Never) => Effect::PeerNever,
        (DependencyField::PeerDependencies, PeerPolicy::Bump(bump)) => Effect::Grows(bump),
        _ => Effect::Grows(Bump::Patch),
    }
}

/// Adds a package, or one more reason and a higher bump to one that is there. Tells whether anything grew.
fn join(
    facts: &Facts<'_>,
    settings: &Settings,
    growing: &mut BTreeMap<usize, Growing>,
    index: usize,
    bump: Bump,
    reason: Reason,
) -> bool {
    let package = &facts.workspace.packages[index];
    if let Some(present) = growing.get_mut(&index) {
        let higher = present.fixed.is_none() && present.bump.is_none_or(|present| present < bump);
        match present
            .reasons
            .iter_mut()
            .find(|known| is_about_the_same(known, &reason))
        {
            Some(known) => *known = reason,
            None => present.reasons.push(reason),
        }
        if higher {
            present.bump = Some(bump);
        }
        return higher;
    }
    let Some(from) =
        grown_from(facts, settings, index).filter(|_| selected(package, &settings.filter))
    else {
        return false;
    };
    let way = Way::of(package, facts, settings);
    growing.insert(
        index,
        Growing {
            bump: Some(bump),
            reasons: vec![reason],
            ..Growing::following(from, way)
        },
    );
    true
}

/// Whether two reasons speak of the same dependency; the later one knows how far that grows.
fn is_about_the_same(left: &Reason, right: &Reason) -> bool {
    match (left, right) {
        (Reason::Dependency { on: left, .. }, Reason::Dependency { on: right, .. })
        | (Reason::Bundled { on: left, .. }, Reason::Bundled { on: right, .. }) => left == right,
        _ => false,
    }
}

/// The edges of each package, in the workspace's order.
pub(super) fn outgoing<'e>(facts: &Facts<'e>) -> Vec<Vec<&'e Edge>> {
    let mut outgoing = vec![Vec::new(); facts.workspace.packages.len()];
    for edge in facts.edges {
        if let Some(from) = edge.from {
            outgoing[from].push(edge);
        }
    }
    outgoing
}

/// For each library or private package, every workspace package that its tarball carries: what it bundles, and what that needs to run. npm packs
/// both from the workspace ([npm-packlist](https://github.com/npm/npm-packlist/blob/main/lib/index.js)).
fn bundles(facts: &Facts<'_>) -> Vec<(usize, BTreeSet<usize>)> {
    if facts.edges.iter().all(|edge| !edge.bundled) {
        return Vec::new();
    }
    let packages = facts.workspace.packages.iter().enumerate();
    let outgoing = outgoing(facts);
    packages
        .filter(|(_, package)| !package.kind.is_app())
        .map(|(index, _)| {
            let carried = Reached::from(index, |from| carried(&outgoing[from], from == index));
            (index, carried.numbers().collect())
        })
        .filter(|(_, carried): &(usize, BTreeSet<usize>)| !carried.is_empty())
        .collect()
}

/// What a tarball carries that carries the package with these edges. Of the package itself, `is_own`, it carries what that bundles; of what is
/// bundled, all that it needs to run.
pub(super) fn carried<'e>(
    edges: &'e [&Edge],
    is_own: bool,
) -> impl Iterator<Item = usize> + use<'e> {
    let counting = edges.iter().filter(move |edge| {
        if is_own {
            edge.bundled
        } else {
            edge.field.is_bundled()
        }
    });
    counting.map(|edge| edge.to)
}

/// For each app, every workspace package it uses, near or far; devDependencies count where the app has a build.
fn app_uses(facts: &Facts<'_>, settings: &Settings) -> Vec<(usize, BTreeSet<usize>)> {
    let packages = facts.workspace.packages.iter().enumerate();
    let outgoing = outgoing(facts);
    let apps = packages.filter(|(_, package)| package.kind.is_app() && package.version.is_some());
    apps.map(|(app, package)| {
        let builds =
            settings.build.is_some() || settings.app_settings(&package.name).build.is_some();
        let used = Reached::from(app, |from| used(&outgoing[from], from == app && builds));
        (app, used.numbers().collect())
    })
    .collect()
}

/// What is released is installed by its lockfile, whether the release edits that or not.
fn require_fresh_lockfile(facts: &Facts<'_>, plan: &Plan) -> Result<(), Failure> {
    match facts.lockfile_stale {
        Some(failure) if !plan.packages.is_empty() => Err(failure.clone()),
        _ => Ok(()),
    }
}

/// What a package with these edges runs with, and where `builds`, what it is built with.
pub(super) fn used<'e>(edges: &'e [&Edge], builds: bool) -> impl Iterator<Item = usize> + use<'e> {
    let counting = edges
        .iter()
        .filter(move |edge| builds || edge.field != DependencyField::DevDependencies);
    counting.map(|edge| edge.to)
}

/// The root's name and version, where it has both: only then it shares the version of its packages.
pub(super) fn root_version(workspace: &Workspace) -> Option<(&PackageName, &Version)> {
    let manifest = &workspace.root.as_ref()?.manifest;
    Some((manifest.name.as_ref()?, manifest.version.as_ref()?))
}

fn grow_together(
    facts: &Facts<'_>,
    settings: &Settings,
) -> Result<BTreeMap<usize, Growing>, Failure> {
    let versioned: Vec<(usize, &Package, &PackageFacts)> = facts
        .workspace
        .packages
        .iter()
        .zip(&facts.packages)
        .enumerate()
        .filter(|(_, (package, _))| package.version.is_some())
        .map(|(index, (package, known))| (index, package, known))
        .collect();
    let released = versioned
        .iter()
        .filter_map(|(_, _, known)| known.base.version())
        .max();
    let manifests = versioned
        .iter()
        .filter_map(|(_, package, _)| package.version.as_ref())
        .chain(root_version(facts.workspace).map(|(_, version)| version))
        .max();
    let (Some(highest), Some((_, first, of_first))) = (manifests.cloned(), versioned.first())
    else {
        return Ok(BTreeMap::new());
    };
    // Who answers does so for all packages.
    let request = of_first.request(settings);
    if of_first.is_put_off() {
        return Ok(BTreeMap::new());
    }
    let own = versioned
        .first()
        .and_then(|(_, package, _)| way::identifier(package, settings, facts.line));
    let is_new = versioned.iter().all(|(_, _, known)| known.is_new(&highest));
    let is_first = is_new
        && versioned
            .iter()
            .all(|(_, _, known)| known.base == Base::First);
    let written_by_hand = is_new
        && released.is_some_and(|released| {
            let is_marked = versioned
                .iter()
                .any(|(_, package, _)| way::was_released(facts, settings, package, &highest, own));
            highest > *released && !is_marked
        });
    let from = released
        .cloned()
        .map_or(highest.clone(), |released| released.max(highest.clone()));
    let given_up = versioned
        .iter()
        .filter_map(|(_, _, known)| Some(&known.given_up.as_ref()?.version))
        .max();
    let from = given_up
        .cloned()
        .map_or(from.clone(), |given_up| given_up.max(from));
    let from = match versioned.first() {
        Some((_, package, _)) => way::overtaken(facts, settings, package, from),
        None => from,
    };
    let arrives = way::arrives(&from, own, settings);
    let changed = versioned.iter().filter_map(|(_, _, known)| known.changed());
    let changed = changed.max().or(arrives.then_some(Bump::Patch));
    let way = match versioned.first() {
        Some((_, package, _)) if changed.is_some() && !is_first && !written_by_hand => {
            Way::asked(package, &from, request, facts, settings)?
        }
        Some((_, package, _)) => Way::of(package, facts, settings),
        None => Way::Release,
    };
    let (to, bump) = if is_first || written_by_hand {
        let from = released.unwrap_or(&highest);
        let stands = as_it_stands(&first.name, from, &highest, &way, settings)?;
        (stands, None)
    } else {
        let Some(changed) = changed else {
            return Ok(BTreeMap::new());
        };
        let release_as = versioned
            .iter()
            .filter_map(|(_, _, known)| known.touched.release_as.as_ref())
            .map(|(version, _)| version.clone())
            .max();
        match (request, release_as) {
            (BumpRequest::To(version), _) => (version.clone(), None),
            (BumpRequest::Auto | BumpRequest::Graduate, Some(version)) => {
                (way.toward(&from, &version), None)
            }
            (asked, _) => {
                let bump = asked.of(changed).unwrap_or(changed);
                (way.next(&from, bump, settings.zero_major), Some(bump))
            }
        }
    };
    if !is_first && !written_by_hand && to <= from && way.climbs() {
        let said = said_by_commit(request, versioned.iter().map(|(_, _, known)| *known));
        return Err(not_above_as_said(&first.name, &to, &from, said));
    }
    let uses: BTreeMap<usize, BTreeSet<usize>> = app_uses(facts, settings).into_iter().collect();
    Ok(versioned
        .iter()
        .map(|(index, package, known)| {
            let mut reasons = own_reasons(known, &from, &way, arrives, settings);
            if written_by_hand && !is_first {
                reasons.retain(|reason| !matches!(reason, Reason::Asked | Reason::Graduate { .. }));
                reasons.insert(0, Reason::Written);
            }
            if known.base == Base::First {
                reasons.retain(|reason| matches!(reason, Reason::Abandoned { .. }));
                reasons.extend(first_reasons(known));
                reasons.extend(dependency_reasons(known));
            }
            let changed_uses = uses
                .get(index)
                .into_iter()
                .flatten()
                .filter(|used| is_changed(&facts.packages[**used]));
            reasons.extend(changed_uses.map(|index| {
                let dependency = &facts.workspace.packages[*index];
                Reason::Dependency {
                    on: dependency.name.to_string(),
                    from: dependency.version.clone().unwrap_or_else(|| from.clone()),
                    to: to.clone(),
                    range: None,
                }
            }));
            if reasons.is_empty() {
                reasons.push(Reason::Group);
            }
            let own = package.version.clone().unwrap_or_else(|| from.clone());
            (
                *index,
                Growing {
                    from: own,
                    fixed: Some(to.clone()),
                    bump: bump.map(|bump| bump.of(&from, settings.zero_major)),
                    way: way.clone(),
                    together: None,
                    reasons,
                },
            )
        })
        .collect())
}

/// Nothing counts for a package before its first release, but what intents tell about it.
fn first_reasons(known: &PackageFacts) -> Vec<Reason> {
    let told = known.touched.reasons.iter().cloned();
    std::iter::once(Reason::First).chain(told).collect()
}

pub(super) fn dependency_reasons(known: &PackageFacts) -> impl Iterator<Item = Reason> {
    let changed = known.lockfile.iter().cloned();
    let locked = changed.map(|on| Reason::Lockfile { on });
    let held_back = known.held_back.iter().map(|(_, reason)| reason.clone());
    known
        .catalogs
        .iter()
        .cloned()
        .chain(locked)
        .chain(held_back)
}

fn is_changed(known: &PackageFacts) -> bool {
    known.base == Base::First || known.changed().is_some()
}

/// The tags must tell packages with versions of their own apart.
fn check_tag_format(facts: &Facts<'_>, tag_format: &str) -> Result<(), Failure> {
    let packages = facts.workspace.packages.iter();
    let versioned = packages.filter(|package| package.version.is_some());
    if facts.mode == Mode::Sync || versioned.count() <= 1 || tag_format.contains("{name}") {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "plan::tag_format",
        format!("tag-format {} names no package", quoted(tag_format)),
    )
    .because("in mode diff each package has a version of its own, so its tag must say whose it is")
    .hint("put {name} into tag-format"))
}

/// A release never moves a tag.
fn refuse_taken(plan: &Plan, present: &BTreeSet<TagName>) -> Result<(), Failure> {
    let Some(tag) = plan.tags.iter().find(|tag| present.contains(*tag)) else {
        return Ok(());
    };
    Err(Failure::new(
        Exit::Refused,
        "plan::tag_exists",
        format!("tag {tag} exists already, and not on a commit that leads here"),
    )
    .because("a release never moves a tag")
    .hint(
        "if it was released meanwhile, pull first; else raise the version in package.json above it",
    ))
}

/// The package at `index` as it is released.
fn planned(
    facts: &Facts<'_>,
    settings: &Settings,
    index: usize,
    package: &Growing,
) -> Result<PlannedPackage, Failure> {
    let of = &facts.workspace.packages[index];
    let to = Version::parse(&package.to(settings).to_string())
        .map_err(|failure| failure.because(format!("{} would get it", of.name)))?;
    let tag_format = tag_format(facts.mode, settings);
    let tag = TagName::parse(&tag::format(tag_format, of.name.as_str(), &to))?;
    let known = &facts.packages[index];
    let grows = facts.mode == Mode::Diff && known.base != Base::First;
    let is_new = matches!(package.way, Way::Prerelease(_) | Way::NewPrerelease(_));
    if grows && is_new && to <= package.from {
        return Err(not_above(&of.name, &to, &package.from));
    }
    let before = known.since_release.as_ref().map(|(base, _)| base);
    Ok(PlannedPackage {
        index: Some(index),
        name: of.name.clone(),
        directory: of.directory.clone(),
        kind: of.kind,
        private: of.manifest.private,
        from: package.from.clone(),
        dist_tag: (of.kind == Kind::Library).then(|| dist_tag(&to, of, settings, facts.line)),
        access: (of.kind == Kind::Library)
            .then(|| access(of, settings))
            .flatten(),
        bump: match (&package.together, &package.fixed) {
            (Some(together), _) => together.bump,
            (None, Some(_)) => package.bump,
            (None, None) => package
                .bump
                .map(|bump| bump.of(&package.from, settings.zero_major)),
        },
        registry: None,
        reasons: package.reasons.clone(),
        base: before.unwrap_or(&known.base).clone(),
        is_written: of.version.as_ref() != Some(&to),
        tag,
        to,
    })
}

/// The root, which in sync mode gets the version of all.
fn planned_root(
    facts: &Facts<'_>,
    settings: &Settings,
    shared: Option<&Version>,
    bump: Option<Bump>,
) -> Result<Option<PlannedPackage>, Failure> {
    let root = root_version(facts.workspace);
    let root = root.filter(|_| facts.mode == Mode::Sync && settings.snapshot.is_none());
    let (Some((name, from)), Some(version)) = (root, shared) else {
        return Ok(None);
    };
    let tag_format = tag_format(facts.mode, settings);
    Ok(Some(PlannedPackage {
        index: None,
        name: name.clone(),
        directory: facts.workspace.directory.clone(),
        kind: Kind::Private,
        private: true,
        from: from.clone(),
        to: version.clone(),
        bump,
        tag: TagName::parse(&tag::format(tag_format, name.as_str(), version))?,
        dist_tag: None,
        access: None,
        registry: None,
        reasons: vec![Reason::Group],
        base: Base::First,
        is_written: from != version,
    }))
}

fn assemble(
    facts: &Facts<'_>,
    settings: &Settings,
    growing: &BTreeMap<usize, Growing>,
) -> Result<Plan, Failure> {
    let packages = &facts.workspace.packages;
    let mut versions = growing.values().map(|package| package.to(settings));
    let shared_version = versions.next();
    let shared_version = shared_version.filter(|first| versions.all(|version| version == *first));
    check_tag_format(facts, tag_format(facts.mode, settings))?;
    let planned: Result<Vec<PlannedPackage>, Failure> = growing
        .iter()
        .map(|(index, package)| planned(facts, settings, *index, package))
        .collect();
    let mut planned = planned?;
    let bump = planned.first().and_then(|first| first.bump);
    planned.extend(planned_root(
        facts,
        settings,
        shared_version.as_ref(),
        bump,
    )?);
    let is_snapshot = settings.snapshot.is_some();
    let line = facts.line.filter(|_| !is_snapshot);
    let marked = planned.iter().filter(|_| !is_snapshot);
    let tags: BTreeSet<TagName> = marked.map(|package| package.tag.clone()).collect();
    let unchanged = packages
        .iter()
        .enumerate()
        .filter(|(index, _)| !growing.contains_key(index))
        .map(|(_, package)| package.name.clone())
        .collect();
    let put_off = packages.iter().enumerate().filter(|(index, _)| {
        let known = &facts.packages[*index];
        known.is_put_off() && !known.undecided.is_empty() && !growing.contains_key(index)
    });
    let put_off = put_off.map(|(_, package)| package.name.clone()).collect();
    let mut plan = Plan {
        mode: facts.mode,
        mode_reason: facts.mode_reason.clone(),
        adopted: settings.adopted.clone(),
        zero_major: settings.zero_major,
        base: facts.base.clone(),
        head: facts.head.clone(),
        waves: waves(facts, growing),
        apps: apps(facts, settings, &planned)?,
        unchanged,
        put_off,
        tags: tags.into_iter().collect(),
        version: shared_version.filter(|_| facts.mode == Mode::Sync || growing.len() == 1),
        edits: Vec::new(),
        message: String::new(),
        warnings: [
            left_behind(facts, settings, growing),
            prereleases_pulled(facts, settings, growing),
            older_line(&planned, settings, line),
        ]
        .concat(),
        day: facts.day.clone(),
        forge: facts.forge.clone(),
        is_snapshot,
        packages: planned,
    };
    plan.warnings.extend(misread(facts));
    match kept_out(facts, settings, growing).filter(|_| plan.put_off.is_empty()) {
        Some(kept_out) => plan.warnings.push(kept_out),
        None => plan.warnings.extend(unused_bump(&plan, settings)),
    }
    plan.warnings.extend(overruled_bump(&plan, settings));
    plan.warnings
        .extend(intents::unnamed(&plan, facts, settings));
    plan.message = message(&plan, settings);
    require_fresh_lockfile(facts, &plan)?;
    plan.edits = crate::plan::edits::edits(facts, &plan)?;
    // A snapshot makes no commit: what it publishes is released later.
    if !plan.packages.is_empty() && !is_snapshot {
        let consumed = intents::consumed(facts.intents, facts.workspace, settings);
        plan.edits.extend(consumed);
        plan.edits.sort();
    }
    Ok(plan)
}

/// The form of tags.
pub(super) fn tag_format(mode: Mode, settings: &Settings) -> &str {
    settings.tag_format.as_deref().unwrap_or(match mode {
        Mode::Sync => "v{version}",
        Mode::Diff => "{name}@{version}",
    })
}

/// The dist-tag: what was asked for, else the name of a snapshot, else what the manifest says, else the prerelease's identifier, else `latest`, which an older line never
/// touches.
pub fn dist_tag(
    version: &Version,
    package: &Package,
    settings: &Settings,
    line: Option<&Line>,
) -> String {
    if let Some(asked) = &settings.npm_tag {
        return asked.clone();
    }
    if let Some(name) = &settings.snapshot {
        return name.to_string();
    }
    let is_older = line.and_then(Line::maintenance).is_some();
    let declared = package.manifest.publish_config.tag.as_deref();
    if let Some(declared) = declared.filter(|tag| !is_older || *tag != LATEST) {
        return declared.to_owned();
    }
    match version.identifier() {
        Some(identifier) => identifier.to_owned(),
        None if version.is_prerelease() => "next".to_owned(),
        None if is_older => format!("{LATEST}-{}", version.major()),
        None => LATEST.to_owned(),
    }
}

/// The dist-tag that npm installs where none is named.
const LATEST: &str = "latest";

/// The dist-tag instead of one that names something higher than `to`, which it never leaves for something lower: `latest-1`, and where that
/// is higher too, `latest-1.2`. `present` are the dist-tags of the registry. `None`: nothing is in the way.
///
/// ```
/// use pkgs_action::plan::release::dist_tag_beside;
/// use pkgs_action::version::Version;
/// let present = [("latest", "2.0.0"), ("latest-1", "1.4.0")];
/// let present = present.into_iter().map(|(tag, version)| (tag.to_owned(), version.to_owned())).collect();
/// let beside = |tag: &str, to| dist_tag_beside(tag, &Version::parse(to).unwrap(), &present);
/// assert_eq!(beside("latest", "2.0.1"), None);
/// assert_eq!(beside("latest", "1.4.1").as_deref(), Some("latest-1"));
/// assert_eq!(beside("latest-1", "1.2.4").as_deref(), Some("latest-1.2"));
/// ```
pub fn dist_tag_beside(
    tag: &str,
    to: &Version,
    present: &BTreeMap<String, String>,
) -> Option<String> {
    let is_higher = |tag: &str| {
        let version = present.get(tag).map(|version| Version::parse(version));
        version.is_some_and(|version| version.is_ok_and(|version| version > *to))
    };
    let of_major = format!("-{}", to.major());
    let plain = tag.strip_suffix(&of_major).unwrap_or(tag);
    let beside = [
        format!("{plain}{of_major}"),
        format!("{plain}{of_major}.{}", to.minor()),
    ];
    let [first, second] = beside;
    is_higher(tag).then(|| if is_higher(&first) { second } else { first })
}

fn access(package: &Package, settings: &Settings) -> Option<Access> {
    settings.access_of(&package.name, package.manifest.publish_config.access)
}

/// Packages in the order in which they are published; only libraries are.
fn waves(facts: &Facts<'_>, growing: &BTreeMap<usize, Growing>) -> Vec<Vec<PackageName>> {
    let packages = &facts.workspace.packages;
    let members: Vec<usize> = growing
        .keys()
        .copied()
        .filter(|index| packages[*index].kind == Kind::Library)
        .collect();
    let place: BTreeMap<usize, usize> = members
        .iter()
        .enumerate()
        .map(|(place, index)| (*index, place))
        .collect();
    let dependencies: Vec<(usize, usize)> = facts
        .edges
        .iter()
        .filter(|edge| edge.field != DependencyField::DevDependencies)
        .filter_map(|edge| Some((*place.get(&edge.from?)?, *place.get(&edge.to)?)))
        .collect();
    crate::workspace::graph::waves(members.len(), &dependencies)
        .into_iter()
        .map(|wave| {
            wave.into_iter()
                .map(|place| packages[members[place]].name.clone())
                .collect()
        })
        .filter(|wave: &Vec<PackageName>| !wave.is_empty())
        .collect()
}

fn apps(
    facts: &Facts<'_>,
    settings: &Settings,
    planned: &[PlannedPackage],
) -> Result<Vec<PlannedApp>, Failure> {
    let mut apps = Vec::new();
    let wanted = settings.store != Choice::Off;
    for package in planned
        .iter()
        .filter(|package| wanted && package.kind.is_app())
    {
        let Some(index) = package.index else { continue };
        let is_new = package
            .reasons
            .iter()
            .any(|reason| *reason != Reason::Group);
        if facts.mode == Mode::Sync && !is_new {
            continue;
        }
        let own = settings.app_settings(&package.name);
        let by_environment = own
            .build
            .as_deref()
            .or(settings.build.as_deref())
            .is_some_and(|build| build.contains("{environment}"));
        let variants = if by_environment {
            own.build_for
                .iter()
                .cloned()
                .map(Variant::Environment)
                .collect()
        } else {
            vec![Variant::Any]
        };
        apps.push(PlannedApp {
            index,
            name: package.name.clone(),
            from: package.from.clone(),
            to: package.to.clone(),
            variants,
        });
    }
    let first = apps.first().map(|app| app.name.clone());
    match (first, &settings.store) {
        (Some(name), Choice::Unset) if settings.command == Command::Release => Err(Failure::new(
            Exit::Usage,
            "plan::no_store",
            format!("{name} is an app, but no store is set"),
        )
        .because("an app's archive and manifest live in a store")
        .hint(
            "set store to s3://bucket/prefix or file:///dir; `store: none` releases versions only",
        )),
        _ => Ok(apps),
    }
}

/// Packages that a filter keeps out of the release, though their declared range is left or what they bundle is released.
fn left_behind(
    facts: &Facts<'_>,
    settings: &Settings,
    growing: &BTreeMap<usize, Growing>,
) -> Vec<Notice> {
    let packages = &facts.workspace.packages;
    let is_behind = |index: usize| {
        !growing.contains_key(&index)
            && packages[index].version.is_some()
            && !selected(&packages[index], &settings.filter)
    };
    let mut messages = BTreeSet::new();
    for edge in facts.edges {
        let (Some(from), Some(dependency)) = (edge.from, growing.get(&edge.to)) else {
            continue;
        };
        let effect = effect(edge, &dependency.from, &dependency.to(settings), settings);
        if matches!(effect, Effect::Grows(_)) && is_behind(from) {
            messages.insert(format!(
                "{} is kept out by filter, though its range of {} no longer holds",
                packages[from].name, packages[edge.to].name
            ));
        }
    }
    for (from, carried) in bundles(facts) {
        let released = carried.iter().filter(|index| growing.contains_key(index));
        let released = released.filter(|_| is_behind(from));
        messages.extend(released.map(|index| {
            format!(
                "{} is kept out by filter, though it bundles {}",
                packages[from].name, packages[*index].name
            )
        }));
    }
    let code = "plan::filtered";
    let notice = |message| Notice { code, message };
    messages.into_iter().map(notice).collect()
}

/// The commits whose `Release-As` says no version: history cannot be corrected, so they are told.
fn misread(facts: &Facts<'_>) -> Vec<Notice> {
    let packages = facts.packages.iter();
    let commits: BTreeMap<&CommitId, &String> =
        packages.flat_map(|known| &known.touched.misread).collect();
    let notice = |(commit, why): (&CommitId, &String)| Notice {
        code: "plan::release_as",
        message: format!(
            "{} says Release-As, which counts for nothing: {why}",
            commit.short()
        ),
    };
    commits.into_iter().map(notice).collect()
}

/// Libraries that get a release which needs a prerelease of another: who installs them gets that too.
fn prereleases_pulled(
    facts: &Facts<'_>,
    settings: &Settings,
    growing: &BTreeMap<usize, Growing>,
) -> Vec<Notice> {
    let packages = &facts.workspace.packages;
    let mut notices = Vec::new();
    for edge in facts.edges {
        let Some((from, own)) = edge.from.and_then(|from| Some((from, growing.get(&from)?))) else {
            continue;
        };
        let to = growing
            .get(&edge.to)
            .map(|dependency| dependency.to(settings));
        let Some(to) = to.or_else(|| packages[edge.to].version.clone()) else {
            continue;
        };
        let is_release = packages[from].kind == Kind::Library && !own.to(settings).is_prerelease();
        let needs = to.is_prerelease() && edge.field != DependencyField::DevDependencies;
        if is_release && needs {
            let message = format!(
                "{} {} is no prerelease, and needs the prerelease {to} of {}",
                packages[from].name,
                own.to(settings),
                packages[edge.to].name
            );
            let code = "plan::prerelease_needed";
            notices.push(Notice { code, message });
        }
    }
    notices
}

/// That an older line leaves `latest` alone.
fn older_line(planned: &[PlannedPackage], settings: &Settings, line: Option<&Line>) -> Vec<Notice> {
    let is_published = planned.iter().any(|package| package.dist_tag.is_some());
    let Some(line) = line.and_then(Line::maintenance) else {
        return Vec::new();
    };
    if !is_published || settings.npm_tag.is_some() {
        return Vec::new();
    }
    let tags: BTreeSet<&str> = planned
        .iter()
        .filter_map(|package| package.dist_tag.as_deref())
        .collect();
    let tags: Vec<&str> = tags.into_iter().collect();
    vec![Notice {
        code: "plan::older_line",
        message: format!(
            "this branch is for {line}: latest stays, and {} follows",
            tags.join(", ")
        ),
    }]
}

/// That packages changed, and a filter keeps all of them out.
fn kept_out(
    facts: &Facts<'_>,
    settings: &Settings,
    growing: &BTreeMap<usize, Growing>,
) -> Option<Notice> {
    let is_higher = |package: &Package, known: &PackageFacts| {
        let released = known.base.version();
        released.is_some_and(|released| package.version.as_ref() > Some(released))
    };
    let members = facts.workspace.packages.iter().zip(&facts.packages);
    let names: Vec<&str> = members
        .filter(|(package, _)| package.version.is_some() && !selected(package, &settings.filter))
        .filter(|(package, known)| is_changed(known) || is_higher(package, known))
        .map(|(package, _)| package.name.as_str())
        .collect();
    (growing.is_empty() && !names.is_empty()).then(|| Notice {
        code: "plan::filtered",
        message: format!(
            "{} keeps out every package that changed: {}",
            settings.spelled("filter"),
            few(&names)
        ),
    })
}

/// The first of many names.
fn few(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let mut shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    if let Some(others @ 1..) = names.len().checked_sub(SHOWN) {
        let _ = write!(shown, " and {others} more");
    }
    shown
}

/// That a bump was asked for and nothing grows: it says how far, not what.
fn unused_bump(plan: &Plan, settings: &Settings) -> Option<Notice> {
    let asked = match &settings.bump {
        _ if !plan.packages.is_empty() => return None,
        BumpRequest::Auto | BumpRequest::Graduate => return None,
        BumpRequest::By(bump) => bump.to_string(),
        BumpRequest::NewPrerelease(bump) => format!("pre{bump}"),
        BumpRequest::Prerelease => "prerelease".to_owned(),
        BumpRequest::To(version) => version.to_string(),
    };
    Some(Notice {
        code: "plan::bump_unused",
        message: format!(
            "bump {asked} was asked for, but it says how far changed packages grow, and none changed (docs, test, ci and style count for nothing); \
             to release one without a change, commit a higher version in its package.json"
        ),
    })
}

/// That a bump was asked for, and packages are released at the version that their manifest brings along.
fn overruled_bump(plan: &Plan, settings: &Settings) -> Option<Notice> {
    let BumpRequest::By(bump) = &settings.bump else {
        return None;
    };
    let stands = |package: &&PlannedPackage| {
        matches!(
            package.reasons.first(),
            Some(Reason::First | Reason::Written)
        )
    };
    let names: Vec<&str> = plan
        .packages
        .iter()
        .filter(stands)
        .map(|package| package.name.as_str())
        .collect();
    let shown = few(&names);
    (!names.is_empty()).then(|| Notice {
        code: "plan::bump_unused",
        message: format!("bump {bump} was asked for, but the manifest decides the version of {shown}: never released, or raised by hand"),
    })
}

fn message(plan: &Plan, settings: &Settings) -> String {
    let tags: Vec<&str> = plan.tags.iter().map(TagName::as_str).collect();
    let version = plan.version.as_ref().map_or_else(
        || match tags.as_slice() {
            [first, second, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second} and {} more", rest.len())
            }
            few => few.join(", "),
        },
        ToString::to_string,
    );
    let subject = settings
        .commit_message
        .replace("{version}", &version)
        .replace("%s", &version)
        .replace("{tags}", &tags.join(", "))
        .replace("{count}", &plan.packages.len().to_string());
    let body: String = plan
        .packages
        .iter()
        .fold(String::new(), |mut body, package| {
            let _ = writeln!(body, "{} {} -> {}", package.name, package.from, package.to);
            body
        });
    format!("{subject}\n\n{body}")
}

/// The text a range must get because its package leaves it; with `released`, its declaring package is released too, also because the
/// prerelease that it needs has become a release. `None`: it stays.
pub fn new_spec(spec: &Spec, from: &Version, to: &Version, released: bool) -> Option<String> {
    if spec.accepts(from, to) && !(released && outlives(spec, from, to)) {
        None
    } else {
        spec.rewritten(to)
    }
}

/// Whether a range needs a prerelease that has become a release: it holds, and would still let the prerelease in.
fn outlives(spec: &Spec, from: &Version, to: &Version) -> bool {
    let prerelease = format!("{}-", from.announced());
    from.is_prerelease() && !to.is_prerelease() && spec.effective(from).contains(&prerelease)
}
