//! What is there: the packages of the workspace and how they depend on each other.

pub mod catalogs;
pub mod entry_points;
pub mod graph;
pub(crate) mod javascript;
pub mod json;
pub mod key_files;
pub mod lerna;
pub mod lockfile;
pub mod manager;
pub mod members;
pub mod native;
pub mod npm_manifest;
pub mod pack_list;
pub mod package;
pub mod package_json;
pub mod pnpm_workspace;
pub mod production;
pub mod publish_config;
pub mod publishable;
pub mod script_environment;
pub mod self_contained;
pub mod yaml;

use std::collections::{BTreeMap, HashMap};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::{PackageName, RepoPath};
use crate::settings::{AppKind, AppSettings};
use crate::version::Version;
use crate::version::range::Range;
use crate::workspace::catalogs::{CatalogFile, Catalogs};
use crate::workspace::lerna::LernaFile;
use crate::workspace::lockfile::Lockfile;
use crate::workspace::manager::{Manager, Told};
use crate::workspace::package::{Kind, ManifestFile, Package, Root};
use crate::workspace::package_json::{Dependency, DependencyField, Form, PackageJson};

/// The longest `package.json`, in bytes.
pub const LONGEST_MANIFEST: usize = 2 << 20;
/// The most packages of a workspace.
pub const MOST_PACKAGES: usize = 5_000;

/// The text of everything that describes a workspace.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The workspace's directory in the repository.
    pub root: RepoPath,
    /// Which form every `package.json` must have.
    pub form: Form,
    /// `package.json` of the root.
    pub root_manifest: String,
    /// `package.json` of each member, by its directory.
    pub members: BTreeMap<RepoPath, String>,
    /// Whether members were declared at all; without, the root is the only package.
    pub has_members: bool,
    /// The package manager.
    pub manager: Told,
    /// The file with the catalogs.
    pub catalogs: Option<CatalogFile>,
    /// `lerna.json`.
    pub lerna: Option<LernaFile>,
    /// The lockfile.
    pub lockfile: Option<Lockfile>,
}

/// The packages of a repository.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The members, in order of directory; a repository without workspaces has one.
    pub packages: Vec<Package>,
    /// The root of a workspace with members, whether or not it has a name.
    pub root: Option<Root>,
    /// The workspace's directory in the repository.
    pub directory: RepoPath,
    /// The package manager.
    pub manager: Told,
    /// The file with the catalogs.
    pub catalogs: Option<CatalogFile>,
    /// `lerna.json`.
    pub lerna: Option<LernaFile>,
    /// The lockfile.
    pub lockfile: Option<Lockfile>,
    by_name: BTreeMap<PackageName, usize>,
}

/// A dependency of one workspace package on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The package that declares it, by its place in [`Workspace::packages`]; `None`: the root.
    pub from: Option<usize>,
    /// The package it is on, by its place.
    pub to: usize,
    /// Where it is declared.
    pub field: DependencyField,
    /// The key under which it is declared; an alias differs from the package's name.
    pub key: String,
    /// The catalog that holds the range; `None` where the `package.json` itself does.
    pub catalog: Option<String>,
    /// What is declared.
    pub spec: Spec,
    /// Whether the declaring package carries the other one in its own tarball.
    pub bundled: bool,
}

/// What a dependency on a workspace package declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// `workspace:*`: exactly the version beside it.
    WorkspaceExact,
    /// `workspace:^`.
    WorkspaceCaret,
    /// `workspace:~`.
    WorkspaceTilde,
    /// A range, `workspace:<range>`, `npm:<name>@<range>` or `workspace:<name>@<range>`: the text before the range and the range's own.
    Range(Range, String, String),
}

impl Spec {
    /// The range that a published package declares, while the dependency is at `version`.
    pub fn effective(&self, version: &Version) -> String {
        match self {
            Spec::WorkspaceExact => version.to_string(),
            Spec::WorkspaceCaret => format!("^{version}"),
            Spec::WorkspaceTilde => format!("~{version}"),
            Spec::Range(_, _, text) => text.clone(),
        }
    }

    /// Whether a package that was published while the dependency was at `from` accepts `to`.
    pub fn accepts(&self, from: &Version, to: &Version) -> bool {
        match self {
            Spec::Range(range, _, _) => range.contains(to),
            _ => Range::parse(&self.effective(from)).is_ok_and(|range| range.contains(to)),
        }
    }

    /// The text that accepts exactly `version`; `None` where the text already follows by itself.
    pub fn pinned(&self, version: &Version) -> Option<String> {
        match self {
            Spec::WorkspaceExact => None,
            Spec::WorkspaceCaret | Spec::WorkspaceTilde => Some(format!("workspace:{version}")),
            Spec::Range(_, prefix, _) => Some(format!("{prefix}{version}")),
        }
    }

    /// The text to write where `to` has left the range; `None` where the text follows by itself.
    pub fn rewritten(&self, to: &Version) -> Option<String> {
        match self {
            Spec::Range(_, prefix, text) => Some(format!(
                "{prefix}{}",
                crate::version::range::rewrite(text, to)
            )),
            _ => None,
        }
    }
}

impl Workspace {
    /// Reads a workspace. `apps` are the packages that the configuration declares to be apps; `has_service` tells whether a directory holds `service/`.
    /// Problems of all manifests are reported together.
    pub fn parse(
        sources: Sources,
        apps: &BTreeMap<PackageName, AppSettings>,
        has_service: impl Fn(&RepoPath) -> bool,
    ) -> Result<Workspace, Failure> {
        let directory = sources.root;
        let form = sources.form;
        let mut problems = Vec::new();
        let mut packages = Vec::new();
        let kind = |manifest: &PackageJson, directory: &RepoPath| {
            kind_of(manifest, apps, || has_service(directory))
        };
        let mut root = None;
        if sources.has_members {
            let text = sources.root_manifest;
            root = read(form, &directory, &text, &mut problems).map(|manifest| Root {
                directory: directory.clone(),
                kind: kind(&manifest, &directory),
                manifest,
                text,
            });
        } else {
            packages.extend(read_package(
                form,
                &directory,
                &sources.root_manifest,
                kind,
                &mut problems,
            ));
        }
        if sources.members.len() > MOST_PACKAGES {
            return Err(Failure::new(
                Exit::Refused,
                "workspace::too_many",
                format!(
                    "the workspace has {} packages, more than {MOST_PACKAGES}",
                    sources.members.len()
                ),
            ));
        }
        for (member, text) in &sources.members {
            packages.extend(read_package(form, member, text, kind, &mut problems));
        }
        let mut by_name: BTreeMap<PackageName, usize> = BTreeMap::new();
        for (index, package) in packages.iter().enumerate() {
            if let Some(other) = by_name.insert(package.name.clone(), index) {
                problems.push(
                    Failure::new(
                        Exit::Refused,
                        "workspace::duplicate_name",
                        format!("two packages are called {}", package.name),
                    )
                    .because(format!(
                        "{} and {}",
                        packages[other].directory.display(),
                        package.directory.display()
                    ))
                    .place(Place::file(package.file().as_str()))
                    .hint("rename one of them"),
                );
            }
        }
        let root_name = root.as_ref().and_then(|root| root.manifest.name.as_ref());
        for (app, settings) in apps {
            match by_name.get(app) {
                Some(index) => problems.extend(public_app(&packages[*index], settings)),
                None if root_name == Some(app) => {}
                None => problems.push(unknown_app(app, settings, by_name.keys())),
            }
        }
        if let Some(failure) = Failure::all(problems) {
            return Err(failure);
        }
        if packages.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "workspace::empty",
                "the workspace has no packages",
            )
            .hint("check `workspaces` in package.json, or `packages` in pnpm-workspace.yaml"));
        }
        Ok(Workspace {
            packages,
            root,
            directory,
            manager: sources.manager,
            catalogs: sources.catalogs,
            lerna: sources.lerna,
            lockfile: sources.lockfile,
            by_name,
        })
    }

    /// A repository path as one below the workspace's root; the root itself where the path is not below it.
    #[must_use]
    pub fn inside(&self, path: &RepoPath) -> RepoPath {
        below(&self.directory, path).unwrap_or_else(RepoPath::root)
    }

    /// The place of the package called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        PackageName::parse(name)
            .ok()
            .and_then(|name| self.by_name.get(&name).copied())
    }

    /// The package called `name`.
    pub fn package(&self, name: &PackageName) -> Option<&Package> {
        self.by_name.get(name).map(|index| &self.packages[*index])
    }

    /// The `package.json` of every package, and the root's.
    pub fn manifests(&self) -> impl Iterator<Item = ManifestFile<'_>> {
        let packages = self.packages.iter().enumerate();
        let packages = packages.map(|(index, package)| ManifestFile {
            index: Some(index),
            directory: &package.directory,
            manifest: &package.manifest,
            text: &package.text,
        });
        let root = self.root.iter().map(|root| ManifestFile {
            index: None,
            directory: &root.directory,
            manifest: &root.manifest,
            text: &root.text,
        });
        packages.chain(root)
    }

    /// Every dependency of a workspace package (or the root) on another, where the dependency's version is inside the declared range: npm links
    /// exactly these, the others come from the registry.
    pub fn edges(&self) -> Result<Vec<Edge>, Failure> {
        self.edges_at(|index| self.packages[index].version.as_ref())
    }

    /// The dependencies whose ranges hold what was released of packages, `raised`, and no more what their manifests hold now: a person wrote
    /// higher versions there.
    ///
    /// # Errors
    /// Those of [`Workspace::edges`].
    pub fn edges_left(&self, raised: &BTreeMap<usize, Version>) -> Result<Vec<Edge>, Failure> {
        if raised.is_empty() {
            return Ok(Vec::new());
        }
        let mut edges = self.edges_at(|index| raised.get(&index))?;
        edges.retain(|edge| match &edge.spec {
            // The others count whatever they hold.
            Spec::Range(range, prefix, _) if !prefix.starts_with("workspace:") => {
                let now = self.packages[edge.to].version.as_ref();
                now.is_some_and(|now| !range.contains(now))
            }
            _ => false,
        });
        Ok(edges)
    }

    /// The dependencies on packages that hold, or are taken to hold, the versions that `held` tells.
    fn edges_at<'v>(
        &self,
        held: impl Fn(usize) -> Option<&'v Version>,
    ) -> Result<Vec<Edge>, Failure> {
        let mut edges = Vec::new();
        let mut problems = Vec::new();
        let mut ranges = Ranges::default();
        for declaring in self.manifests() {
            for dependency in &declaring.manifest.dependencies {
                match self.edge(declaring, dependency, &mut ranges, &held) {
                    Ok(edge) => edges.extend(edge),
                    Err(failure) => problems.push(failure),
                }
            }
        }
        match Failure::all(problems) {
            Some(failure) => Err(failure),
            None => Ok(edges),
        }
    }

    /// Checks that the lockfile, where there is one, agrees with the manifests.
    ///
    /// # Errors
    /// Those of [`Lockfile::check`].
    pub fn check_lockfile(&self) -> Result<(), Failure> {
        match &self.lockfile {
            Some(lockfile) => lockfile.check(&self.manifests_below(), self.catalogs()),
            None => Ok(()),
        }
    }

    /// Every `package.json`, by its directory below the workspace's own.
    #[must_use]
    pub fn manifests_below(&self) -> Vec<(RepoPath, &PackageJson)> {
        let all = self.manifests();
        all.map(|one| (self.inside(one.directory), one.manifest))
            .collect()
    }

    /// The catalogs, where a file has some.
    #[must_use]
    pub fn catalogs(&self) -> Option<&Catalogs> {
        self.catalogs.as_ref().map(|file| &file.catalogs)
    }

    fn edge<'a, 'v>(
        &'a self,
        declaring: ManifestFile<'a>,
        dependency: &'a Dependency,
        ranges: &mut Ranges<'a>,
        held: &impl Fn(usize) -> Option<&'v Version>,
    ) -> Result<Option<Edge>, Failure> {
        let Dependency {
            name: key,
            spec: declared,
            field,
        } = dependency;
        let catalog = catalogs::named(declared);
        let spec = match (catalog, &self.catalogs) {
            (Some(_), Some(file)) => {
                catalogs::entry(&file.catalogs, key, declared).ok_or_else(|| {
                    let place = Place::file(declaring.file().as_str());
                    catalogs::unknown(file, declared, key, place)
                })?
            }
            // Were it let pass, who depends on the package would not be released with it.
            (Some(_), None) if self.position(key).is_some() => {
                let place = Place::file(declaring.file().as_str());
                return Err(catalogs::absent(self.manager.manager, declared, key, place));
            }
            _ => declared,
        };
        let Some((name, prefix, text)) = parts(key, spec) else {
            return Ok(None);
        };
        let is_workspace = prefix.starts_with("workspace:");
        let from = declaring.index;
        // Its own tests may ask for a package by its name: whoever installs it never sees that field.
        let may_be_own = is_workspace && *field == DependencyField::DevDependencies;
        let to = self.position(name);
        let Some(to) = to.filter(|to| may_be_own || Some(*to) != from) else {
            return if is_workspace {
                Err(self.not_here(declaring, name, spec))
            } else {
                Ok(None)
            };
        };
        let Some(version) = held(to) else {
            return Ok(None);
        };
        let refuse = || {
            Failure::new(
                Exit::Refused,
                "workspace::range",
                format!("{} is not a range of {name}", quoted(spec)),
            )
            .because(format!(
                "{} of {} declares it",
                field.as_str(),
                declaring.shown()
            ))
            .place(Place::file(declaring.file().as_str()))
            .hint(format!("write for example ^{version}"))
        };
        let spec = match text {
            "*" | "" if is_workspace => Spec::WorkspaceExact,
            "^" if is_workspace => Spec::WorkspaceCaret,
            "~" if is_workspace => Spec::WorkspaceTilde,
            _ => match ranges.parse(text) {
                Some(range) if is_workspace || range.contains(version) => {
                    Spec::Range(range, prefix, text.to_owned())
                }
                Some(_) => return Ok(None),
                None if !is_workspace && comes_from_elsewhere(text) => return Ok(None),
                None => return Err(refuse()),
            },
        };
        Ok(Some(Edge {
            from,
            to,
            field: *field,
            key: key.clone(),
            catalog: catalog.map(str::to_owned),
            spec,
            bundled: field.is_bundled() && declaring.manifest.bundled.contains(key),
        }))
    }

    fn not_here(&self, declaring: ManifestFile<'_>, key: &str, spec: &str) -> Failure {
        let failure = Failure::new(
            Exit::Refused,
            "workspace::not_here",
            format!(
                "{} depends on {} as {}, but the workspace has no such package",
                declaring.shown(),
                quoted(key),
                quoted(spec)
            ),
        )
        .place(Place::file(declaring.file().as_str()));
        match crate::settings::given::nearest(key, self.by_name.keys().map(PackageName::as_str)) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint(format!(
                "its packages are those that {} names: add the package there, or write a range",
                self.listed_in()
            )),
        }
    }

    /// What lists the packages.
    fn listed_in(&self) -> &'static str {
        let lists = |file: &LernaFile| {
            lerna::packages("lerna.json", &file.text).is_ok_and(|list| list.is_some())
        };
        match self.manager.manager {
            Manager::Pnpm => "`packages` of pnpm-workspace.yaml",
            _ if self.lerna.as_ref().is_some_and(lists) => "`packages` of lerna.json",
            _ => "`workspaces` of package.json",
        }
    }
}

/// A repository path as one below the workspace's root; `None` where it is not below it.
pub fn below(root: &RepoPath, path: &RepoPath) -> Option<RepoPath> {
    if root.is_root() {
        return (!path.is_root()).then(|| path.clone());
    }
    let inside = path.as_str().strip_prefix(root.as_str())?;
    RepoPath::parse(inside.strip_prefix('/')?).ok()
}

/// The name, what stands before the range, and the range of a dependency; `None` for an alias without a range.
pub(crate) fn parts<'a>(key: &'a str, spec: &'a str) -> Option<(&'a str, String, &'a str)> {
    let named = |inside: &'a str| inside.rsplit_once('@').filter(|(name, _)| !name.is_empty());
    if let Some(inside) = spec.strip_prefix("npm:") {
        let (name, range) = named(inside)?;
        return Some((name, format!("npm:{name}@"), range));
    }
    let Some(inside) = spec.strip_prefix("workspace:") else {
        return Some((key, String::new(), spec));
    };
    Some(match named(inside) {
        Some((name, range)) => (name, format!("workspace:{name}@"), range),
        None => (key, "workspace:".to_owned(), inside),
    })
}

/// The range that a dependency declares by itself; `None` for what names a place, a dist-tag or what stands elsewhere.
#[must_use]
pub fn range_in(key: &str, spec: &str) -> Option<Range> {
    let (_, _, text) = parts(key, spec)?;
    Range::parse(text).ok()
}

/// Ranges by their text: a workspace declares few different ones, many times.
#[derive(Default)]
struct Ranges<'a>(HashMap<&'a str, Option<Range>>);

impl<'a> Ranges<'a> {
    fn parse(&mut self, text: &'a str) -> Option<Range> {
        let parsed = self
            .0
            .entry(text)
            .or_insert_with(|| Range::parse(text).ok());
        parsed.clone()
    }
}

/// Whether a dependency's text names a place or a dist-tag instead of a range.
fn comes_from_elsewhere(text: &str) -> bool {
    let protocol = text.contains(':') || text.contains('/');
    let tag = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "._-".contains(character));
    protocol || tag
}

/// Reads a `package.json`, with or without a name.
fn read(
    form: Form,
    directory: &RepoPath,
    text: &str,
    problems: &mut Vec<Failure>,
) -> Option<PackageJson> {
    let file = package::manifest_in(directory).to_string();
    if text.len() > LONGEST_MANIFEST {
        problems.push(
            Failure::new(
                Exit::Refused,
                "workspace::large_manifest",
                format!("{file} is longer than 2 MiB"),
            )
            .hint(json::UNUSUAL),
        );
        return None;
    }
    match PackageJson::parse_in(form, &file, text) {
        Ok(manifest) => Some(manifest),
        Err(failure) => {
            problems.extend(failure.each().cloned());
            None
        }
    }
}

/// Reads the `package.json` of a package, which must have a name.
fn read_package(
    form: Form,
    directory: &RepoPath,
    text: &str,
    kind: impl Fn(&PackageJson, &RepoPath) -> Kind,
    problems: &mut Vec<Failure>,
) -> Option<Package> {
    let manifest = read(form, directory, text, problems)?;
    let Some(name) = manifest.name.clone() else {
        let file = package::manifest_in(directory).to_string();
        problems.push(
            Failure::new(
                Exit::Refused,
                "workspace::nameless",
                format!("{file} has no name"),
            )
            .place(Place::file(file))
            .hint("add \"name\""),
        );
        return None;
    };
    Some(Package {
        name,
        directory: directory.clone(),
        version: manifest.version.clone(),
        kind: kind(&manifest, directory),
        manifest,
        text: text.to_owned(),
    })
}

/// An entry of `apps` for a package that there is not.
fn unknown_app<'n>(
    app: &PackageName,
    settings: &AppSettings,
    names: impl Iterator<Item = &'n PackageName> + Clone,
) -> Failure {
    let names = names.map(PackageName::as_str);
    let unscoped = names.clone().find(|name| {
        let own = name.rsplit_once('/');
        own.is_some_and(|(_, own)| own == app.as_str())
    });
    let near = unscoped.or_else(|| crate::settings::given::nearest(app.as_str(), names));
    let file = settings.file();
    let what = format!("apps.{app} in {file} names no package of the workspace");
    let failure = Failure::new(Exit::Usage, "workspace::unknown_app", what);
    match near {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint(format!(
            "write the name that its package.json has, or take the entry out of {file}"
        )),
    }
}

/// Refuses to make an app of a package that goes to npm: it would never be published again.
fn public_app(package: &Package, settings: &AppSettings) -> Option<Failure> {
    let kind = match settings.kind? {
        AppKind::Service => "service",
        AppKind::Static => "static",
    };
    let name = &package.name;
    let what = format!(
        "apps.{name}.type in {} is {kind}, but {name} is not private",
        settings.file()
    );
    (!package.manifest.private).then(|| {
        Failure::new(Exit::Usage, "workspace::public_app", what)
            .because("a package that is not private is a library, which is published to npm")
            .place(Place::file(package.file().as_str()))
            .hint(format!(
                "add \"private\": true to {}, or take its entry out of apps",
                package.file()
            ))
    })
}

fn kind_of(
    manifest: &PackageJson,
    apps: &BTreeMap<PackageName, AppSettings>,
    has_service: impl Fn() -> bool,
) -> Kind {
    let declared = manifest.name.as_ref().and_then(|name| apps.get(name));
    match declared.and_then(|app| app.kind) {
        Some(AppKind::Static) => Kind::Static,
        Some(AppKind::Service) => Kind::Service,
        None if !manifest.private => Kind::Library,
        None if declared.is_some() || has_service() => Kind::Service,
        None => Kind::Private,
    }
}
