//! Reading the repository into facts: the workspace at a commit, each package's base, and what touched it since. Writes nothing.

mod held_back;
mod locked;
mod touched;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::changes::Reason;
use crate::changes::component::{self, Components};
use crate::changes::intent::{self, Intent};
use crate::changes::{Verdict, tag};
use crate::commands::{monorepo, session};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::local::git::{History, Repo, Tags, joined};
use crate::name::{CommitId, PackageName, RepoPath, TagName};
use crate::plan::intents;
use crate::plan::mode::{self, LastRelease};
use crate::plan::next::{ABANDONED, tag_lines};
use crate::plan::notes::forge::Forge;
use crate::plan::release::{Base, Facts, GivenUp, PackageFacts};
use crate::plan::way::{graduates, is_overtaken};
use crate::plan::why::{OtherBases, PassedOver};
use crate::settings::adopted::RELEASE_PLEASE;
use crate::settings::{BumpFrom, Mode, Settings};
use crate::version::Version;
use crate::version::line::Line;
use crate::workspace::catalogs::{self, Catalogs};
use crate::workspace::package::{Kind, Package};
use crate::workspace::package_json::{DependencyField, PackageJson};
use crate::workspace::{Edge, Workspace};

/// Everything about a commit that a plan is made from, but for what only the registry knows.
pub struct Observed {
    /// The packages.
    pub workspace: Workspace,
    /// How they depend on each other.
    pub edges: Vec<Edge>,
    /// Where the lockfile disagrees with the manifests.
    lockfile_stale: Option<Failure>,
    /// One version for all, or each its own.
    pub mode: Mode,
    /// Why that mode.
    pub mode_reason: String,
    /// What each package's changes are measured from, in the workspace's order.
    pub bases: Vec<Base>,
    /// The last releases before those of the bases that are prereleases.
    releases: Vec<Option<Base>>,
    /// The releases since the bases that were given up.
    given_up: Vec<Option<GivenUp>>,
    /// What the branch is for, where it has a line of its own.
    line: Option<Line>,
    /// Which tags were no base, and why.
    pub other_bases: OtherBases,
    /// What people said about the next release.
    pub intents: Vec<Intent>,
    /// Every tag's name.
    pub tags: BTreeSet<TagName>,
    history: History,
    head: CommitId,
}

/// Reads everything about `head`.
pub fn observe(repo: &Repo, head: &CommitId, settings: &Settings) -> Result<Observed, Failure> {
    let (root, refs) = (repo.root(), repo.common_directory());
    let (workspace, tags, history) = std::thread::scope(|scope| {
        let workspace = scope.spawn(|| {
            let workspace = monorepo::workspace_at(&Repo::open(root)?, head, settings)?;
            let edges = workspace.edges()?;
            // It costs no time: the history is read meanwhile.
            let lockfile_stale = workspace.check_lockfile().err();
            Ok::<_, Failure>((edges, lockfile_stale, workspace))
        });
        // Both are read while the other thread reads the workspace.
        let tags = Tags::of(refs);
        let history = repo.history(head);
        (joined(workspace), tags, history)
    });
    let ((mut edges, lockfile_stale, workspace), tags, history) = (workspace?, tags?, history?);
    let intents = intents(repo, head, &workspace, settings)?;
    let components = components(repo, &workspace, head)?;
    let sorted = ReleaseTags::read(&tags, components.as_ref(), settings);
    let marks = Marks::read(repo, &tags, &history)?;
    let released = Released::read(&workspace.packages, &sorted, &marks)?;
    let (mode, mode_reason) = mode(repo, &workspace.packages, &released, &history, settings)?;
    let measured = match &settings.base {
        Some(base) => {
            let commit = repo.resolve(base)?;
            if !history.contains(&commit) {
                return Err(Failure::new(
                    Exit::Usage,
                    "git::base",
                    format!(
                        "{} is not part of the history of {}",
                        quoted(base),
                        head.short()
                    ),
                )
                .hint("name a commit that leads here"));
            }
            let count = workspace.packages.len();
            Measured {
                bases: vec![Base::Asked(commit); count],
                releases: vec![None; count],
                given_up: vec![None; count],
                others: OtherBases::none(count),
            }
        }
        None => bases(
            repo,
            &workspace,
            mode,
            (&sorted, released),
            &marks,
            &history,
        )?,
    };
    edges.extend(workspace.edges_left(&raised(&workspace.packages, &measured))?);
    Ok(Observed {
        workspace,
        edges,
        lockfile_stale,
        mode,
        mode_reason,
        bases: measured.bases,
        releases: measured.releases,
        given_up: measured.given_up,
        line: session::line(settings, repo).cloned(),
        other_bases: measured.others,
        intents,
        tags: tags.into_names(),
        history,
        head: head.clone(),
    })
}

/// The release tags of a repository, with the versions that they mark.
struct ReleaseTags<'t> {
    /// By the name of the package, the highest version first.
    own: HashMap<&'t str, Vec<(Version, &'t TagName)>>,
    /// Those of all packages, the highest version first.
    shared: Vec<(Version, &'t TagName)>,
}

impl<'t> ReleaseTags<'t> {
    fn read(
        tags: &'t Tags,
        components: Option<&'t Components>,
        settings: &Settings,
    ) -> ReleaseTags<'t> {
        let mut own: HashMap<&str, Vec<(Version, &TagName)>> = HashMap::new();
        let mut shared: Vec<(Version, &TagName)> = Vec::new();
        for name in tags.names() {
            match tag::read_with(name, settings.tag_format.as_deref()) {
                Some((Some(package), version)) => {
                    own.entry(package).or_default().push((version, name));
                }
                Some((None, version)) => shared.push((version, name)),
                None => {
                    let found = components.and_then(|known| known.of(name));
                    if let Some((package, version)) = found {
                        own.entry(package.as_str())
                            .or_default()
                            .push((version, name));
                    }
                }
            }
        }
        for tags in own.values_mut().chain([&mut shared]) {
            tags.sort_by(|left, right| right.0.cmp(&left.0));
        }
        ReleaseTags { own, shared }
    }

    /// Those of a package, the highest version first.
    fn of(&self, package: &Package) -> &[(Version, &'t TagName)] {
        let own = self.own.get(package.name.as_str());
        own.map(Vec::as_slice).unwrap_or_default()
    }
}

/// What the release tags say of what was released.
struct Released {
    /// Of each package alone, in the workspace's order.
    each: Vec<Found>,
    /// Of all packages at once.
    all: Found,
}

impl Released {
    fn read(
        packages: &[Package],
        sorted: &ReleaseTags<'_>,
        marks: &Marks<'_>,
    ) -> Result<Released, Failure> {
        let each = packages.iter();
        let each = each.map(|package| marks.newest_reachable(sorted.of(package)));
        Ok(Released {
            each: each.collect::<Result<_, _>>()?,
            all: marks.newest_reachable(&sorted.shared)?,
        })
    }

    /// The last release, of whichever kind; one that is marked in both ways is one of all packages.
    fn last(&self, history: &History) -> LastRelease<'_> {
        let age = |base: &&Base| base.commit().and_then(|commit| history.age(commit));
        let of_one = self.each.iter().filter_map(|found| found.base.as_ref());
        let of_one = of_one.min_by_key(|base| age(base).unwrap_or(usize::MAX));
        match (of_one, &self.all.base) {
            (Some(Base::Tag { name, .. }), None) => LastRelease::OfOne(name),
            (Some(one @ Base::Tag { name, .. }), Some(all)) if age(&one) < age(&all) => {
                LastRelease::OfOne(name)
            }
            (of_one, Some(Base::Tag { name, version, .. })) => {
                // The manifests hold the version of one that was given up.
                let given_up = self.all.given_up.as_ref();
                let given_up = given_up.filter(|given_up| given_up.version > *version);
                LastRelease::OfAll {
                    tag: name,
                    version: given_up.map_or(version, |given_up| &given_up.version),
                    others: of_one.is_some(),
                }
            }
            _ => LastRelease::Never,
        }
    }
}

/// One version for all packages, or each its own, and why.
fn mode(
    repo: &Repo,
    packages: &[Package],
    released: &Released,
    history: &History,
    settings: &Settings,
) -> Result<(Mode, String), Failure> {
    mode::mode(settings, packages, released.last(history), |package| {
        let Some(commit) = released.all.base.as_ref().and_then(Base::commit) else {
            return Ok(false);
        };
        Ok(repo.object_at(commit, &package.file())?.is_none())
    })
}

/// The packages whose manifests hold a higher version than was released, as far as a person wrote it there, and what was released.
fn raised(packages: &[Package], measured: &Measured) -> BTreeMap<usize, Version> {
    let known = packages.iter().zip(&measured.bases).enumerate();
    let known = known.zip(&measured.given_up);
    let raised = known.filter_map(|((index, (package, base)), given_up)| {
        let released = base.version().filter(|_| given_up.is_none())?;
        (package.version.as_ref()? > released).then(|| (index, released.clone()))
    });
    raised.collect()
}

/// The intents that lie in the workspace at a commit; none where commits alone decide.
fn intents(
    repo: &Repo,
    head: &CommitId,
    workspace: &Workspace,
    settings: &Settings,
) -> Result<Vec<Intent>, Failure> {
    if settings.bump_from == BumpFrom::Commits {
        return Ok(Vec::new());
    }
    let directory = workspace.directory.join(intent::DIRECTORY)?;
    let wanted = |name: &str| name == intent::PRE_MODE || intent::is_intent(name);
    let found = repo.files_in(head, &directory, wanted)?;
    let pre_mode = directory.join(intent::PRE_MODE)?;
    if found.iter().any(|(path, _)| *path == pre_mode) {
        let what = format!("{pre_mode} says that changesets makes prereleases of everything");
        return Err(Failure::new(Exit::Refused, "intent::pre_mode", what)
            .because("its intents are released already, in part, and kept until it ends")
            .place(Place::file(pre_mode.as_str()))
            .hint("end it first: npx changeset pre exit && npx changeset version; or set bump-from to commits"));
    }
    intents::read(&found, workspace, settings)
}

/// What changes are measured from, in the workspace's order.
struct Measured {
    bases: Vec<Base>,
    /// The last releases before those of the bases that are prereleases.
    releases: Vec<Option<Base>>,
    /// The releases since the bases that were given up.
    given_up: Vec<Option<GivenUp>>,
    others: OtherBases,
}

/// For each package, its last reachable release tag. Where all packages share their version, or there is only one, tags of the whole
/// repository count, and of both kinds the newer. Where each has its own, such a tag counts for the packages that had its version there:
/// anybody may call a commit `v1.5.0`.
fn bases(
    repo: &Repo,
    workspace: &Workspace,
    mode: Mode,
    (sorted, by_tags): (&ReleaseTags<'_>, Released),
    tags: &Marks<'_>,
    history: &History,
) -> Result<Measured, Failure> {
    let shared = &sorted.shared;
    let packages = &workspace.packages;
    let all_at_once = mode == Mode::Sync || packages.len() == 1;
    let found_of_all = if all_at_once {
        by_tags.all
    } else {
        Found::default()
    };
    let of_all = found_of_all.base;
    let age = |base: &Base| {
        let age = base.commit().and_then(|commit| history.age(commit));
        age.unwrap_or(usize::MAX)
    };
    let last_release = |candidates: &[(Version, &TagName)]| {
        let releases = candidates
            .iter()
            .filter(|(version, _)| !version.is_prerelease());
        let releases: Vec<_> = releases.cloned().collect();
        Ok::<_, Failure>(tags.newest_reachable(&releases)?.base)
    };
    let is_prerelease = |base: &Base| base.version().is_some_and(Version::is_prerelease);
    let release_of_all = match &of_all {
        Some(base) if is_prerelease(base) => last_release(shared)?,
        _ => None,
    };
    let mut bases = Vec::with_capacity(packages.len());
    let mut releases = Vec::with_capacity(packages.len());
    let mut given_up = Vec::with_capacity(packages.len());
    let mut others = OtherBases {
        unreachable_shared: found_of_all.unreachable,
        of_package: Vec::with_capacity(packages.len()),
    };
    for (package, found) in packages.iter().zip(by_tags.each) {
        let (newest, unreachable) = (found.base, found.unreachable);
        let release = match &newest {
            Some(base) if is_prerelease(base) => last_release(sorted.of(package))?,
            _ => None,
        };
        let shared = if all_at_once {
            of_all.clone()
        } else {
            let since = newest.as_ref().and_then(Base::version);
            let between =
                |version| Some(version) > since && Some(version) <= package.version.as_ref();
            let mut marks = shared.iter().filter(|(version, _)| between(version));
            let found = marks.find_map(|mark| marked_by(repo, tags, package, mark).transpose());
            found.transpose()?
        };
        // Where tags of the whole repository came later, the release before them may have one of its own.
        let own_release = || newest.clone().filter(|own| !is_prerelease(own));
        releases.push(
            release
                .or_else(|| release_of_all.clone())
                .or_else(own_release),
        );
        let (base, older) = match (newest, shared) {
            (Some(own), Some(shared)) if age(&shared) < age(&own) => (shared, Some(own)),
            (Some(own), shared) => (own, shared),
            (None, Some(shared)) => (shared, None),
            (None, None) => (Base::First, None),
        };
        let since = base.version();
        let taken = [&found.given_up, &found_of_all.given_up];
        let taken = taken.into_iter().flatten();
        let taken = taken.filter(|given_up| Some(&given_up.version) > since);
        given_up.push(taken.max_by_key(|given_up| &given_up.version).cloned());
        bases.push(base);
        others.of_package.push(PassedOver { unreachable, older });
    }
    Ok(Measured {
        bases,
        releases,
        given_up,
        others,
    })
}

/// Whose the tags of release-please are, where a repository comes from there.
fn components(
    repo: &Repo,
    workspace: &Workspace,
    head: &CommitId,
) -> Result<Option<Components>, Failure> {
    let at_root = |file| workspace.directory.join(file);
    if repo.object_at(head, &at_root(RELEASE_PLEASE)?)?.is_none() {
        return Ok(None);
    }
    let config = repo.text(head, &at_root(component::CONFIG)?)?;
    let packages: Vec<(RepoPath, &PackageName)> = workspace
        .packages
        .iter()
        .map(|package| (workspace.inside(&package.directory), &package.name))
        .collect();
    let packages = packages.iter().map(|(directory, name)| (directory, *name));
    Components::read(config.as_deref(), packages).map(Some)
}

/// The tags of a repository, as far as they lead to a commit.
struct Marks<'a> {
    repo: &'a Repo,
    tags: &'a Tags,
    history: &'a History,
    /// The commits of releases that were given up.
    given_up: BTreeSet<CommitId>,
}

/// What the tags of a package say of its releases.
#[derive(Default)]
struct Found {
    /// The newest that leads here.
    base: Option<Base>,
    /// Newer ones that do not lead here.
    unreachable: Vec<TagName>,
    /// The newest of those that lead here and were given up, where it is newer than the base.
    given_up: Option<GivenUp>,
}

impl<'a> Marks<'a> {
    fn read(repo: &'a Repo, tags: &'a Tags, history: &'a History) -> Result<Marks<'a>, Failure> {
        let marks = tags
            .names()
            .filter(|name| name.as_str().starts_with(ABANDONED));
        let commits = marks.map(|name| repo.tag_target(tags, name));
        let given_up = commits
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        Ok(Marks {
            repo,
            tags,
            history,
            given_up,
        })
    }

    /// The first of `candidates` that names a commit of the history and was not given up.
    fn newest_reachable(&self, candidates: &[(Version, &TagName)]) -> Result<Found, Failure> {
        let mut found = Found::default();
        for (version, name) in candidates {
            let target = self.repo.tag_target(self.tags, name)?;
            let reachable = target.filter(|commit| self.history.contains(commit));
            let (name, version) = ((*name).clone(), version.clone());
            let Some(commit) = reachable else {
                found.unreachable.push(name);
                continue;
            };
            if self.given_up.contains(&commit) && self.is_ours(&name) {
                let given_up = GivenUp { tag: name, version };
                found.given_up.get_or_insert(given_up);
                continue;
            }
            found.base = Some(Base::Tag {
                name,
                commit,
                version,
            });
            break;
        }
        Ok(found)
    }

    /// Whether a tag decided a release of ours: one of another tool on the same commit marks another release.
    fn is_ours(&self, name: &TagName) -> bool {
        let object = self.repo.resolve_tag(name);
        let message = object.and_then(|object| self.repo.tag_message(&object));
        message.is_some_and(|message| tag_lines(&message.message).is_some())
    }
}

/// A tag of the whole repository as a package's base: where it names a commit of `history` at which the package had its version.
fn marked_by(
    repo: &Repo,
    tags: &Marks<'_>,
    package: &Package,
    mark: &(Version, &TagName),
) -> Result<Option<Base>, Failure> {
    let base = tags.newest_reachable(std::slice::from_ref(mark))?.base;
    let Some(commit) = base.as_ref().and_then(Base::commit) else {
        return Ok(None);
    };
    let file = package.file();
    let then = repo.text(commit, &file)?;
    let then = then.and_then(|text| PackageJson::parse(file.as_str(), &text).ok());
    let version = then.and_then(|then| then.version);
    Ok(base.filter(|_| version.as_ref() == Some(&mark.0)))
}

impl Observed {
    /// Whether a tag is that of a release that was given up.
    pub fn was_given_up(&self, tag: &TagName) -> bool {
        let mut given_up = self.given_up.iter().flatten();
        given_up.any(|given_up| given_up.tag == *tag)
    }

    /// How far a commit lies back; `None`: it does not lead here.
    pub fn age(&self, commit: &CommitId) -> Option<usize> {
        self.history.age(commit)
    }

    /// The libraries that have no tag of their own: what the registry must be asked about.
    pub fn untagged(&self) -> Vec<(usize, &PackageName)> {
        let packages = self.workspace.packages.iter().zip(&self.bases).enumerate();
        packages
            .filter(|(index, (package, base))| {
                **base == Base::First
                    && package.kind == Kind::Library
                    && package.version.is_some()
                    && self.given_up[*index].is_none()
            })
            .map(|(index, (package, _))| (index, &package.name))
            .collect()
    }

    /// Takes what the registry says of a library without a tag: its highest version and the commit that was built from.
    pub fn was_published(
        &mut self,
        index: usize,
        version: Version,
        git_head: Option<&str>,
    ) -> Result<(), Failure> {
        let name = &self.workspace.packages[index].name;
        let commit = git_head
            .and_then(|id| CommitId::parse(id).ok())
            .filter(|commit| self.history.contains(commit));
        let Some(commit) = commit else {
            return Err(Failure::new(Exit::Refused, "plan::no_base", format!("{name} {version} is on the registry, but no tag or commit here marks it"))
                .because("without a base every file would count as changed")
                .hint(format!("`tag` marks what was released before at the commit checked out; or tag the commit it was built from: git tag {name}@{version} <commit>, then push the tag")));
        };
        self.bases[index] = Base::Published { commit, version };
        Ok(())
    }

    /// The facts of a plan. Traced, they also hold what counts for nothing, and why.
    pub fn facts<'a>(
        &'a self,
        repo: &Repo,
        settings: &Settings,
        traced: bool,
    ) -> Result<Facts<'a>, Failure> {
        let mut packages = self.packages(repo, settings, &self.bases, traced)?;
        intents::decide(
            &self.intents,
            &self.workspace.packages,
            settings.bump_from,
            &mut packages,
        );
        self.since_releases(repo, settings, &mut packages)?;
        let base = self
            .bases
            .iter()
            .filter_map(Base::commit)
            .max_by_key(|commit| self.history.age(commit))
            .cloned();
        Ok(Facts {
            workspace: &self.workspace,
            edges: &self.edges,
            lockfile_stale: self.lockfile_stale.as_ref(),
            mode: self.mode,
            mode_reason: self.mode_reason.clone(),
            head: self.head.clone(),
            packages,
            intents: &self.intents,
            tags: &self.tags,
            line: self.line.as_ref(),
            base,
            day: crate::report::moment(repo.committed_at(&self.head)?)
                .chars()
                .take("yyyy-mm-dd".len())
                .collect(),
            forge: self.forge(repo, settings),
        })
    }

    /// Where people look at the repository: as its manifests say, else as its remote does.
    fn forge(&self, repo: &Repo, settings: &Settings) -> Option<Forge> {
        let root = self.workspace.root.iter().map(|root| &root.manifest);
        let members = self.workspace.packages.iter().map(|one| &one.manifest);
        let mut declared = root
            .chain(members)
            .filter_map(|manifest| manifest.repository.as_deref());
        match declared.next() {
            Some(declared) => Forge::of_manifest(declared),
            None => Forge::of_remote(&repo.remote_address(&settings.remote)?),
        }
    }

    /// What is known of each package, measured from these bases.
    fn packages(
        &self,
        repo: &Repo,
        settings: &Settings,
        bases: &[Base],
        traced: bool,
    ) -> Result<Vec<PackageFacts>, Failure> {
        let touched = touched::touched(self, bases, repo, settings, traced)?;
        let lockfiles = locked::changes(self, bases, repo, settings)?;
        let catalogs = self.catalog_changes(repo, bases)?;
        let held_back = held_back::held_back(self, bases, &touched, repo, settings)?;
        let known = bases.iter().zip(&self.given_up).zip(touched);
        let ranges = lockfiles.into_iter().zip(catalogs).zip(held_back);
        let facts = known.zip(ranges).map(
            |(((base, given_up), touched), ((lockfile, catalogs), held_back))| PackageFacts {
                base: base.clone(),
                touched,
                lockfile,
                catalogs,
                held_back,
                since_release: None,
                given_up: given_up.clone(),
                undecided: Vec::new(),
                answer: None,
            },
        );
        Ok(facts.collect())
    }

    /// Whether a package that changed leaves the prereleases that it had, because what they announced was released elsewhere.
    fn begins_anew(&self, package: &Package, known: &PackageFacts, settings: &Settings) -> bool {
        let tags = (self.mode, &self.tags);
        let line = self.line.as_ref();
        let version = known.base.version();
        known.changed().is_some()
            && version.is_some_and(|version| is_overtaken(package, version, settings, tags, line))
    }

    /// Adds to the packages whose prereleases end now, or begin anew because what they announced was released elsewhere, what counts since the
    /// release before them: their versions announce and their notes tell all of it.
    fn since_releases(
        &self,
        repo: &Repo,
        settings: &Settings,
        packages: &mut [PackageFacts],
    ) -> Result<(), Failure> {
        let members = self.workspace.packages.iter().zip(packages.iter());
        let bases: Vec<Base> = members
            .zip(&self.releases)
            .map(|((package, known), release)| {
                let ends = graduates(package, known, settings, self.line.as_ref());
                let asked = ends || self.begins_anew(package, known, settings);
                release.clone().filter(|_| asked).unwrap_or(Base::First)
            })
            .collect();
        if bases.iter().all(|base| *base == Base::First) {
            return Ok(());
        }
        let since = self.packages(repo, settings, &bases, true)?;
        let mut released = BTreeMap::new();
        for ((index, known), mut since) in packages.iter_mut().enumerate().zip(since) {
            if since.base == Base::First {
                continue;
            }
            let intents = self.intents_since(repo, settings, &since, &mut released)?;
            let package = &self.workspace.packages[index..=index];
            let of_package = std::slice::from_mut(&mut since);
            intents::decide(&intents, package, settings.bump_from, of_package);
            if self.begins_anew(&package[0], known, settings) {
                known.touched.bump = known.touched.bump.max(since.touched.bump);
                if since.undecided.is_empty() {
                    known.undecided.clear();
                }
            }
            known.since_release = Some((since.base, since.touched.reasons));
        }
        Ok(())
    }

    /// The intents that lie here, and those that the releases of a package since its base consumed. `released` is what is known of releases.
    fn intents_since(
        &self,
        repo: &Repo,
        settings: &Settings,
        since: &PackageFacts,
        released: &mut BTreeMap<CommitId, Vec<Intent>>,
    ) -> Result<Vec<Intent>, Failure> {
        let mut intents = self.intents.clone();
        if settings.bump_from == BumpFrom::Commits {
            return Ok(intents);
        }
        // What that release told is not told again by a prerelease of another branch.
        let told = match since.base.commit() {
            Some(base) => self.consumed_by(repo, base)?,
            None => Vec::new(),
        };
        let traced = since.touched.traced.iter();
        let own = traced.filter(|commit| commit.verdict == Verdict::OwnRelease);
        for release in own.map(|commit| &commit.id) {
            if !released.contains_key(release) {
                released.insert(release.clone(), self.consumed_by(repo, release)?);
            }
            let of_release = released.get(release).into_iter().flatten();
            intents.extend(of_release.filter(|intent| !told.contains(intent)).cloned());
        }
        Ok(intents)
    }

    /// The intents that a release of ours consumed. What could not be read then decided nothing.
    fn consumed_by(&self, repo: &Repo, release: &CommitId) -> Result<Vec<Intent>, Failure> {
        let Some(base) = repo.parent(release)? else {
            return Ok(Vec::new());
        };
        let directory = self.workspace.directory.join(intent::DIRECTORY)?;
        let at = |commit: &CommitId| -> Result<Vec<Intent>, Failure> {
            let found = repo.files_in(commit, &directory, intent::is_intent)?;
            let parse =
                |(file, content): (_, Option<Vec<u8>>)| Intent::parse(&file, &content?).ok();
            Ok(found.into_iter().filter_map(parse).collect())
        };
        Ok(intents::released(at(&base)?, &at(release)?))
    }

    /// For each package the ranges that a catalog gives its dependencies and did not give them at its base; packages of the workspace and
    /// devDependencies have rules of their own.
    fn catalog_changes(&self, repo: &Repo, bases: &[Base]) -> Result<Vec<Vec<Reason>>, Failure> {
        let members = &self.workspace.packages;
        let mut changed = vec![Vec::new(); members.len()];
        let Some(file) = &self.workspace.catalogs else {
            return Ok(changed);
        };
        let own: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let now = repo.object_at(&self.head, &file.path)?;
        let mut then: BTreeMap<&CommitId, Catalogs> = BTreeMap::new();
        for (index, package) in members.iter().enumerate() {
            let Some(base) = bases[index].commit() else {
                continue;
            };
            if let Entry::Vacant(place) = then.entry(base) {
                let text = if repo.object_at(base, &file.path)? == now {
                    None
                } else {
                    repo.text(base, &file.path)?
                };
                // What could not be read then gave nobody a range.
                let read = |text: String| file.catalogs_in(&text).ok();
                place.insert(text.and_then(read).unwrap_or_default());
            }
            let declared = package.manifest.dependencies.iter();
            changed[index].extend(declared.filter_map(|dependency| {
                let name = dependency.name.as_str();
                let counts = dependency.field != DependencyField::DevDependencies;
                let from = catalogs::entry(&then[base], name, &dependency.spec)?;
                let to = catalogs::entry(&file.catalogs, name, &dependency.spec)?;
                (counts && !own.contains(name) && from != to).then(|| Reason::Catalog {
                    on: name.to_owned(),
                    from: from.to_owned(),
                    to: to.to_owned(),
                })
            }));
        }
        Ok(changed)
    }
}
