//! What touched each package since its base: the commits of one walk, sorted to packages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Observed;
use crate::changes::commit::Commit;
use crate::changes::owner::Ignored;
use crate::changes::{OwnedFile, Sorter, Touched, Traced, TracedFile, Verdict, intent, tag};
use crate::explain::Failure;
use crate::local::git::{Repo, WalkedCommit};
use crate::name::{CommitId, RepoPath, TagName};
use crate::plan::next::tag_lines;
use crate::plan::release::Base;
use crate::settings::Settings;
use crate::version::Version;
use crate::workspace::graph::Reached;
use crate::workspace::package::Package;

/// What the commits since their bases did to packages, in the workspace's order.
struct Since<'o> {
    observed: &'o Observed,
    /// What each package is measured from.
    bases: &'o [Base],
    /// For each package without a version, the apps and the bundling packages that its changes release.
    also: Vec<Vec<usize>>,
    /// Whether a package, or one that is released with it, differs from what it was at its base.
    differing: Vec<bool>,
    /// Each package's base by its number among those that the walk started from; `None`: nothing of it differs.
    places: Vec<Option<usize>>,
    walked: Vec<WalkedCommit>,
}

/// Counts for each package what touched it since its base, one of `bases`. Traced, it also tells what counts for nothing, and why.
pub(super) fn touched(
    observed: &Observed,
    bases: &[Base],
    repo: &Repo,
    settings: &Settings,
    traced: bool,
) -> Result<Vec<Touched>, Failure> {
    let ignored = ignored(observed, settings)?;
    let since = Since::read(observed, bases, repo)?;
    let commits: Vec<Commit> = since
        .walked
        .iter()
        .map(|walked| walked.commit.clone())
        .collect();
    let own_releases = commits
        .iter()
        .filter(|commit| {
            observed.is_own_release(repo, commit, settings) || is_own_merge(repo, commit)
        })
        .map(|commit| commit.id.clone())
        .collect();
    let members = &observed.workspace.packages;
    let sorter = Sorter::new(
        members.iter().map(|package| package.directory.clone()),
        &ignored,
        &commits,
        &own_releases,
    );
    let mut touched = since.count(&sorter, traced);
    since.count_taken(repo, &sorter, &mut touched, traced)?;
    Ok(touched)
}

/// The files that do not count. Where a package lies in the workspace's directory, intents lie in the package; they are no part of it.
fn ignored(observed: &Observed, settings: &Settings) -> Result<Ignored, Failure> {
    let workspace = &observed.workspace;
    let mut globs = settings.ignore.clone();
    let mut packages = workspace.packages.iter();
    if packages.any(|package| package.directory == workspace.directory) {
        globs.push(format!("{}/**", intent::DIRECTORY));
    }
    Ignored::parse(&globs)
}

impl<'o> Since<'o> {
    fn read(observed: &'o Observed, bases: &'o [Base], repo: &Repo) -> Result<Since<'o>, Failure> {
        let members = &observed.workspace.packages;
        let also = observed.unversioned_uses();
        let differing = observed.differing(repo, &also, bases)?;
        let since: BTreeSet<&CommitId> = bases
            .iter()
            .zip(&differing)
            .filter_map(|(base, differs)| base.commit().filter(|_| *differs))
            .collect();
        let since: Vec<CommitId> = since.into_iter().cloned().collect();
        let places: Vec<Option<usize>> = bases
            .iter()
            .map(|base| since.binary_search(base.commit()?).ok())
            .collect();
        let is_asked = |index: &usize| {
            let mut concerned = std::iter::once(index).chain(&also[*index]);
            concerned.any(|index| places[*index].is_some())
        };
        let counting: Vec<&RepoPath> = members
            .iter()
            .enumerate()
            .filter(|(index, _)| is_asked(index))
            .map(|(_, package)| &package.directory)
            .collect();
        let walked = if since.is_empty() {
            Vec::new()
        } else {
            repo.commits_since(&observed.history, &since, &counting)?
        };
        Ok(Since {
            observed,
            bases,
            also,
            differing,
            places,
            walked,
        })
    }

    /// Whether a commit came after a package's base, and the package differs.
    fn is_later(&self, index: usize, walked: &WalkedCommit) -> bool {
        self.differing[index] && self.places[index].is_some_and(|bit| !walked.inside.has(bit))
    }

    fn count(&self, sorter: &Sorter<'_>, traced: bool) -> Vec<Touched> {
        let members = &self.observed.workspace.packages;
        let mut touched: Vec<Touched> = self
            .differing
            .iter()
            .map(|differs| Touched {
                differs: *differs,
                ..Touched::default()
            })
            .collect();
        let by_directory: HashMap<&RepoPath, usize> = members
            .iter()
            .enumerate()
            .map(|(index, package)| (&package.directory, index))
            .collect();
        for walked in &self.walked {
            let concerned = |directory: &RepoPath| {
                let owner = by_directory.get(directory).copied();
                let users = owner.map(|owner| self.also[owner].iter().copied());
                let packages = owner.into_iter().chain(users.into_iter().flatten());
                packages.filter(|index| self.is_later(*index, walked))
            };
            if traced && walked.commit.parents > 1 && walked.commit.paths.is_empty() {
                let later = (0..members.len()).filter(|index| self.is_later(*index, walked));
                later.for_each(|index| touched[index].merges += 1);
            }
            count(sorter, &walked.commit, concerned, &mut touched, traced);
        }
        touched
    }

    /// A package may differ from its base in files that no commit since then changed: a merge took them from a side that the base was never
    /// on, by which it undid what the base had. Where nothing else counts, these merges do.
    fn count_taken(
        &self,
        repo: &Repo,
        sorter: &Sorter<'_>,
        touched: &mut [Touched],
        traced: bool,
    ) -> Result<(), Failure> {
        let members = &self.observed.workspace.packages;
        for (index, touched) in touched.iter_mut().enumerate() {
            let later = || self.walked.iter().filter(|one| self.is_later(index, one));
            let merged = later().any(|walked| walked.commit.parents > 1);
            let Some(base) = self.bases[index].commit().filter(|_| merged) else {
                continue;
            };
            if touched.bump.is_some() {
                continue;
            }
            let together = |other: &usize| *other == index || self.also[*other].contains(&index);
            let own = (0..members.len()).filter(together);
            let own: Vec<&RepoPath> = own.map(|index| &members[index].directory).collect();
            let history = &self.observed.history;
            let mut unexplained = repo.differing_files(history, base, &own)?;
            for path in later().flat_map(|walked| &walked.commit.paths) {
                unexplained.remove(path);
            }
            if unexplained.is_empty() {
                continue;
            }
            for mut merge in repo.merges_since(history, base, &own)? {
                merge.paths.retain(|path| unexplained.contains(path));
                let concerned = |owner: &RepoPath| own.contains(&owner).then_some(0).into_iter();
                count(
                    sorter,
                    &merge,
                    concerned,
                    std::slice::from_mut(touched),
                    traced,
                );
                let told = |traced: &Traced| traced.id == merge.id;
                let changed_nothing = |walked: &WalkedCommit| walked.commit.paths.is_empty();
                if touched.traced.last().is_some_and(told)
                    && later().any(|one| one.commit.id == merge.id && changed_nothing(one))
                {
                    touched.merges -= 1;
                }
            }
        }
        Ok(())
    }
}

impl Observed {
    /// Which packages' directories differ between base and head, or those of packages `also` released with them; equal objects mean that nothing can have changed.
    fn differing(
        &self,
        repo: &Repo,
        also: &[Vec<usize>],
        bases: &[Base],
    ) -> Result<Vec<bool>, Failure> {
        let members = &self.workspace.packages;
        let directories: Vec<&RepoPath> = members.iter().map(|member| &member.directory).collect();
        let now = repo.directories_at(&self.head, &directories)?;
        // Newest first: git stores an old tree as its difference from a newer one.
        let mut measured: BTreeMap<_, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, users) in also.iter().enumerate() {
            for user in std::iter::once(&index).chain(users) {
                if let Some(base) = bases[*user].commit() {
                    let pairs = measured.entry((self.history.age(base), base)).or_default();
                    pairs.push((*user, index));
                }
            }
        }
        let measured: Vec<_> = measured.into_iter().collect();
        let found = repo.side_by_side(&measured, |repo, ((_, base), pairs)| {
            let asked: Vec<&RepoPath> =
                pairs.iter().map(|(_, index)| directories[*index]).collect();
            repo.directories_at(base, &asked)
        })?;
        let mut differing = vec![false; bases.len()];
        for ((_, pairs), found) in measured.iter().zip(found) {
            for ((user, index), then) in pairs.iter().zip(found) {
                differing[*user] |= then != now[*index];
            }
        }
        Ok(differing)
    }

    /// For each package without a version, the apps that use it, directly or through others without one, and the packages whose tarballs
    /// carry it: its changes release them.
    fn unversioned_uses(&self) -> Vec<Vec<usize>> {
        let members = &self.workspace.packages;
        let mut users = vec![Vec::new(); members.len()];
        if members.iter().all(|package| package.version.is_some()) {
            return users;
        }
        let plain: BTreeMap<&str, usize> = members
            .iter()
            .enumerate()
            .filter(|(_, package)| package.version.is_none())
            .map(|(index, package)| (package.name.as_str(), index))
            .collect();
        let apps = members
            .iter()
            .enumerate()
            .filter(|(_, package)| package.kind.is_app());
        for (app, _) in apps {
            let used = Reached::from(app, |index| {
                let dependencies = members[index].manifest.dependencies.iter();
                dependencies.filter_map(|one| plain.get(one.name.as_str()).copied())
            });
            for index in used.numbers() {
                users[index].push(app);
            }
        }
        for (index, carried) in self.unversioned_bundles() {
            for carried in carried {
                users[carried].push(index);
            }
        }
        users
    }

    /// For each package that is no app, the packages without a version that it bundles, itself or with what it bundles.
    fn unversioned_bundles(&self) -> Vec<(usize, BTreeSet<usize>)> {
        let members = &self.workspace.packages;
        let bundled = |index: usize| {
            let manifest = &members[index].manifest;
            let dependencies = manifest.dependencies.iter();
            dependencies.filter(|dependency| dependency.field.is_bundled())
        };
        let carried = |(start, package): (usize, &Package)| {
            let own = &package.manifest.bundled;
            let carried = Reached::from(start, |index| {
                let counting =
                    bundled(index).filter(move |one| index != start || own.contains(&one.name));
                counting.filter_map(|one| self.workspace.position(&one.name))
            });
            let unversioned = carried
                .numbers()
                .filter(|index| members[*index].version.is_none());
            (start, unversioned.collect())
        };
        let bundling = members
            .iter()
            .enumerate()
            .filter(|(_, package)| !package.manifest.bundled.is_empty() && !package.kind.is_app());
        bundling.map(carried).collect()
    }

    /// Whether a commit is a release commit of ours: its message lists packages, and a tag of ours for one of them names it.
    fn is_own_release(&self, repo: &Repo, commit: &Commit, settings: &Settings) -> bool {
        commit
            .body
            .lines()
            .filter_map(listed_package)
            .any(|(name, version)| {
                let formats = [
                    settings.tag_format.as_deref().unwrap_or("{name}@{version}"),
                    "{name}@{version}",
                    "v{version}",
                ];
                formats
                    .iter()
                    .filter_map(|format| TagName::parse(&tag::format(format, name, &version)).ok())
                    .any(|tag| {
                        self.tags.contains(&tag)
                            && repo
                                .resolve_tag(&tag)
                                .and_then(|object| repo.tag_message(&object))
                                .is_some_and(|message| {
                                    message.commit == commit.id
                                        && tag_lines(&message.message).is_some()
                                })
                    })
            })
    }
}

/// Whether a commit is exactly what a release commit of ours and what others pushed meanwhile make together.
fn is_own_merge(repo: &Repo, commit: &Commit) -> bool {
    let is_release = |release: &CommitId| repo.is_made_by_us(release);
    commit.parents == 2 && repo.is_merge_of_release(&commit.id, is_release)
}

/// Counts a commit for the packages that are `concerned` by a change in the directory of one.
fn count<I: Iterator<Item = usize>>(
    sorter: &Sorter<'_>,
    commit: &Commit,
    concerned: impl Fn(&RepoPath) -> I,
    touched: &mut [Touched],
    traced: bool,
) {
    let passed_over = sorter.passed_over(commit);
    if passed_over.is_some() && !traced {
        return;
    }
    let mut files: BTreeMap<usize, Vec<OwnedFile<'_>>> = BTreeMap::new();
    for file in sorter.files(commit) {
        for index in concerned(file.owner) {
            files.entry(index).or_default().push(file);
        }
    }
    for (index, files) in files {
        let touched = &mut touched[index];
        let verdict = match &passed_over {
            Some(verdict) => verdict.clone(),
            None if files.iter().all(|file| file.ignored) => Verdict::Ignored,
            None => touched.count(commit),
        };
        if traced {
            let file = |file: &OwnedFile<'_>| TracedFile {
                path: file.path.clone(),
                ignored: file.ignored,
            };
            touched.traced.push(Traced {
                id: commit.id.clone(),
                subject: commit.subject.clone(),
                files: files.iter().map(file).collect(),
                verdict,
            });
        }
    }
}

/// Reads a line `name 1.0.0 -> 1.1.0` of a release commit's message.
fn listed_package(line: &str) -> Option<(&str, Version)> {
    let mut words = line.split(' ');
    let (name, _, arrow, to) = (words.next()?, words.next()?, words.next()?, words.next()?);
    (arrow == "->").then(|| Version::parse(to).ok().map(|to| (name, to)))?
}
