//! The production `node_modules` of one app, taken out of the installed tree of a whole repository.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::workspace::lockfile::npm::Lock;

/// How deep `node_modules` may lie in one another in an app's archive.
const DEEPEST: usize = 40;

/// How many packages an app's archive may hold.
const MOST_PLACEMENTS: usize = 100_000;

/// Where one package of an app's own `node_modules` comes from.
///
/// Only the package itself is meant, without the `node_modules` that may lie directly in it: what it needs has placements of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placement {
    /// Where it goes, from the app's root: `node_modules/koa`, `node_modules/a/node_modules/b`.
    pub to: String,
    /// Where it lies.
    pub from: Source,
    /// Whether it may be missing on the disk, because only optional edges lead to it.
    pub optional: bool,
    /// The names that the lockfile gives it something for.
    pub asks: BTreeSet<String>,
}

/// Where a package lies in the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An installed package, by its location from the repository's root: `node_modules/koa`, `packages/web/node_modules/koa`.
    Installed {
        /// The location.
        location: String,
    },
    /// A package of the repository itself, linked in the tree and copied into the archive.
    Workspace {
        /// Its directory.
        dir: RepoPath,
    },
}

/// The production closure of the app in directory `app`: what its archive needs below `node_modules`, in the order of placing,
/// so that a package always comes after the one it is nested in.
///
/// Followed are `dependencies`, `optionalDependencies`, and those `peerDependencies` that are installed, never
/// `devDependencies`; a missing optional dependency or peer is skipped, as npm does. In the result every edge leads, by Node's
/// rules, to the very package that it leads to in the repository (an edge that leads nowhere there may find something here). A package
/// goes to the top where its name is vacant, else below the one that needs it; so one package may be placed more than once.
/// The same lock always gives the same result.
///
/// # Errors
/// `workspace::lockfile_incomplete` where the app or something that it needs is not in the lockfile; `workspace::production_name` for
/// a name or location that is not a path inside the repository; `workspace::production_layout` where links make a tree that
/// cannot be laid out without them, or one that is too large.
///
/// ```
/// use pkgs_action::name::RepoPath;
/// use pkgs_action::workspace::{lockfile::npm::Lock, production::closure};
/// let lock = Lock::parse("package-lock.json", r#"{"lockfileVersion": 3, "packages": {"": {},
///     "packages/web": {"dependencies": {"api": "^1.0.0"}, "devDependencies": {"mocha": "*"}},
///     "packages/api": {"dependencies": {"koa": "^2.0.0"}},
///     "node_modules/web": {"resolved": "packages/web", "link": true}, "node_modules/api": {"resolved": "packages/api", "link": true},
///     "node_modules/koa": {"version": "2.0.0"}, "node_modules/mocha": {"version": "1.0.0"}}}"#).unwrap();
/// let placements = closure(&lock, &RepoPath::parse("packages/web").unwrap()).unwrap();
/// let to: Vec<&str> = placements.iter().map(|one| one.to.as_str()).collect();
/// assert_eq!(to, ["node_modules/api", "node_modules/koa"]);
/// ```
pub fn closure(lock: &Lock, app: &RepoPath) -> Result<Vec<Placement>, Failure> {
    if !lock.packages.contains_key(app.as_str()) {
        return Err(incomplete(
            lock,
            format!("{} does not know {}", lock.file, app.display()),
        ));
    }
    let mut instances: BTreeMap<String, Instance> = BTreeMap::new();
    let mut waiting = vec![app.as_str()];
    while let Some(location) = waiting.pop() {
        if instances.contains_key(location) {
            continue;
        }
        let mut instance = Instance::new(Source::of(&lock.file, location)?);
        for edge in edges(lock, location)? {
            if let Some((leads_to, _)) = lock.packages.get_key_value(edge.leads_to.as_str()) {
                waiting.push(leads_to);
            }
            instance.lead(edge);
        }
        instances.insert(location.to_owned(), instance);
    }
    lay_out(&lock.file, &instances, app)
}

/// A package that an app needs in production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    source: Source,
    edges: BTreeMap<String, Edge>,
}

/// What a package asks for, and the location of what it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The name it asks by.
    pub name: String,
    /// What it gets, by location.
    pub leads_to: String,
    /// Whether it does without.
    pub optional: bool,
}

impl Instance {
    /// One that asks for nothing yet.
    #[must_use]
    pub fn new(source: Source) -> Instance {
        Instance {
            source,
            edges: BTreeMap::new(),
        }
    }

    /// Adds what it asks for; what it asks for twice it needs.
    pub fn lead(&mut self, edge: Edge) {
        let optional = edge.optional;
        let known = self.edges.entry(edge.name.clone()).or_insert(edge);
        known.optional &= optional;
    }
}

/// Lays out what the app in directory `app` needs, as [`closure`] describes; `file` is what messages call the lockfile, `instances` are
/// all packages by location, the app among them.
///
/// # Errors
/// `workspace::production_layout`.
pub fn lay_out(
    file: &str,
    instances: &BTreeMap<String, Instance>,
    app: &RepoPath,
) -> Result<Vec<Placement>, Failure> {
    let mut tree = Tree {
        file,
        placed: Vec::new(),
        occupied: BTreeMap::new(),
    };
    let mut waiting = VecDeque::from([(String::new(), app.as_str())]);
    while let Some((path, location)) = waiting.pop_front() {
        for edge in edges_of(instances, location) {
            if let Some(new) = tree.lead(&path, edge)? {
                waiting.push_back((new, &edge.leads_to));
            }
        }
    }
    let required = required(instances, app.as_str());
    let placed = tree.placed.into_iter();
    let placements = placed.filter_map(|(to, location)| {
        let instance = instances.get(location)?;
        Some(Placement {
            to,
            from: instance.source.clone(),
            optional: !required.contains(location),
            asks: instance.edges.keys().cloned().collect(),
        })
    });
    Ok(placements.collect())
}

fn edges_of<'i>(
    instances: &'i BTreeMap<String, Instance>,
    location: &str,
) -> impl Iterator<Item = &'i Edge> + use<'i> {
    let instance = instances.get(location);
    instance.into_iter().flat_map(|one| one.edges.values())
}

/// The production edges of the package at `location` that lead somewhere, by name.
fn edges(lock: &Lock, location: &str) -> Result<Vec<Edge>, Failure> {
    let Some(package) = lock.packages.get(location) else {
        return Ok(Vec::new());
    };
    let mut edges = Vec::new();
    for (name, optional) in package.asks() {
        let leads_to = lock.resolve(location, name);
        match leads_to {
            Some(leads_to) => edges.push(Edge {
                name: checked_name(&lock.file, name)?.to_owned(),
                leads_to: leads_to.to_owned(),
                optional,
            }),
            None if optional || !package.dependencies.contains_key(name) => {}
            None => {
                return Err(incomplete(
                    lock,
                    format!(
                        "{} has no package for {} of {}",
                        lock.file,
                        quoted(name),
                        if location.is_empty() { "." } else { location }
                    ),
                ));
            }
        }
    }
    Ok(edges)
}

/// The locations that edges which are not optional lead to from the app.
fn required<'i>(instances: &'i BTreeMap<String, Instance>, app: &str) -> BTreeSet<&'i str> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&'i Edge> = edges_of(instances, app).collect();
    while let Some(edge) = waiting.pop() {
        if !edge.optional && reached.insert(edge.leads_to.as_str()) {
            waiting.extend(edges_of(instances, &edge.leads_to));
        }
    }
    reached
}

/// The app's own `node_modules` while it grows.
struct Tree<'l> {
    file: &'l str,
    placed: Vec<(String, &'l str)>,
    occupied: BTreeMap<String, &'l str>,
}

impl<'l> Tree<'l> {
    /// Makes `edge` of the package placed at `path` lead where it should; the path of the new placement, if one was needed.
    ///
    /// Packages are taken in the order of placing. So when one asks, all that is nested above it is settled, and only the top may
    /// still grow, by names that were vacant: what once leads somewhere is never taken over.
    fn lead(&mut self, path: &str, edge: &'l Edge) -> Result<Option<String>, Failure> {
        match self.found(path, &edge.name) {
            Some(location) if location == edge.leads_to => Ok(None),
            Some(_) => self.place(format!("{path}/node_modules/{}", edge.name), edge),
            None => self.place(format!("node_modules/{}", edge.name), edge),
        }
    }

    fn found(&self, path: &str, name: &str) -> Option<&'l str> {
        let mut folder = path;
        loop {
            let candidate = if folder.is_empty() {
                format!("node_modules/{name}")
            } else {
                format!("{folder}/node_modules/{name}")
            };
            if let Some(location) = self.occupied.get(&candidate) {
                return Some(location);
            }
            if folder.is_empty() {
                return None;
            }
            folder = parent_package(folder);
        }
    }

    fn place(&mut self, to: String, edge: &'l Edge) -> Result<Option<String>, Failure> {
        let depth = to.matches("node_modules/").count();
        if depth > DEEPEST || self.placed.len() >= MOST_PLACEMENTS {
            return Err(Failure::new(
                Exit::Refused,
                "workspace::production_layout",
                format!(
                    "the production dependencies around {} cannot be laid out without links",
                    quoted(&edge.name)
                ),
            )
            .because("several versions of a few packages need one another in turn")
            .place(Place::file(self.file))
            .hint("let the packages agree on one version: `npm dedupe`, `pnpm dedupe` and `yarn dedupe` look for one"));
        }
        self.occupied.insert(to.clone(), &edge.leads_to);
        self.placed.push((to.clone(), &edge.leads_to));
        Ok(Some(to))
    }
}

/// `node_modules/a/node_modules/b` → `node_modules/a`; `node_modules/a` → the app itself.
fn parent_package(path: &str) -> &str {
    path.rsplit_once("/node_modules/")
        .map_or("", |(above, _)| above)
}

impl Source {
    /// What lies at a location below the workspace's root.
    ///
    /// # Errors
    /// `workspace::production_name` for a location outside.
    pub fn of(file: &str, location: &str) -> Result<Source, Failure> {
        let inside = RepoPath::parse(location).map_err(|failure| {
            Failure::new(
                Exit::Refused,
                "workspace::production_name",
                format!("{file} links a package outside the repository"),
            )
            .because(failure)
            .place(Place::file(file))
            .hint("move the package into the repository, or install it from a registry")
        })?;
        let installed =
            location.starts_with("node_modules/") || location.contains("/node_modules/");
        Ok(if installed {
            Source::Installed {
                location: location.to_owned(),
            }
        } else {
            Source::Workspace { dir: inside }
        })
    }
}

/// The name becomes part of a path, and it comes from whoever published the package.
pub(super) fn checked_name<'l>(file: &str, name: &'l str) -> Result<&'l str, Failure> {
    let parts: Vec<&str> = name.split('/').collect();
    let form = match parts.as_slice() {
        [name] => !name.starts_with('@'),
        [scope, _] => scope.len() > 1 && scope.starts_with('@'),
        _ => false,
    };
    let safe = parts
        .iter()
        .all(|part| !part.is_empty() && !part.starts_with('.') && *part != "node_modules")
        && !name
            .chars()
            .any(|character| character.is_control() || "\\:".contains(character));
    if form && safe {
        return Ok(name);
    }
    Err(Failure::new(
        Exit::Refused,
        "workspace::production_name",
        format!("{} is not the name of a dependency", quoted(name)),
    )
    .because("it would lead out of node_modules")
    .place(Place::file(file))
    .hint("find out which package declares it, and do without that package"))
}

fn incomplete(lock: &Lock, what: String) -> Failure {
    Failure::new(Exit::Refused, "workspace::lockfile_incomplete", what)
        .place(Place::file(lock.file.clone()))
        .hint("run `npm install --package-lock-only --ignore-scripts` and commit the lockfile")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::lockfile::npm::LockPackage;
    use proptest::prelude::*;

    /// A lock from lines `<location> [= <link target>] [: <dependency> …]`; a dependency may have the prefix `?` (optional),
    /// `^` (peer) or `~` (optional peer).
    fn lock(lines: &[&str]) -> Lock {
        let mut lock = Lock {
            file: "package-lock.json".to_owned(),
            ..Lock::default()
        };
        for line in lines {
            let (head, dependencies) = line.split_once(':').unwrap_or((line, ""));
            let (location, target) = head
                .split_once('=')
                .map_or((head, None), |(location, target)| {
                    (location, Some(target.trim().to_owned()))
                });
            let mut package = LockPackage {
                version: Some("1.0.0".to_owned()),
                link: target,
                ..LockPackage::default()
            };
            for dependency in dependencies.split_whitespace() {
                let name = dependency.trim_start_matches(['?', '^', '~']);
                let field = match dependency.as_bytes()[0] {
                    b'?' => &mut package.optional_dependencies,
                    b'^' | b'~' => &mut package.peer_dependencies,
                    _ => &mut package.dependencies,
                };
                field.insert(name.to_owned(), "*".to_owned());
                if dependency.starts_with('~') {
                    package.optional_peers.insert(name.to_owned());
                }
            }
            lock.packages.insert(location.trim().to_owned(), package);
        }
        lock
    }

    fn app(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    fn check(lines: &[&str], of: &str, expected: &[&str]) {
        let lock = lock(lines);
        let placements = closure(&lock, &app(of)).unwrap();
        let shown: Vec<String> = placements
            .iter()
            .map(|one| {
                let (kind, from) = match &one.from {
                    Source::Installed { location } => ("", location.as_str()),
                    Source::Workspace { dir } => ("workspace ", dir.as_str()),
                };
                let optional = if one.optional { " optional" } else { "" };
                format!("{} <- {kind}{from}{optional}", one.to)
            })
            .collect();
        assert_eq!(shown, expected);
        holds(&lock, &app(of), &placements);
    }

    /// The law: every edge of the app and of every placement leads to the same package as in the repository.
    fn holds(lock: &Lock, app: &RepoPath, placements: &[Placement]) {
        let location = |placement: &Placement| match &placement.from {
            Source::Installed { location } => location.clone(),
            Source::Workspace { dir } => dir.as_str().to_owned(),
        };
        // The result as a tree of its own, searched by the same rules as the repository.
        let laid_out = Lock {
            packages: placements
                .iter()
                .map(|one| (one.to.clone(), LockPackage::default()))
                .collect(),
            ..Lock::default()
        };
        let at: BTreeMap<String, String> = placements
            .iter()
            .map(|one| (one.to.clone(), location(one)))
            .collect();
        assert_eq!(at.len(), placements.len(), "two packages at one place");
        let everything = at
            .iter()
            .map(|(to, from)| (to.as_str(), from.as_str()))
            .chain([("", app.as_str())]);
        for (to, from) in everything {
            for edge in edges(lock, from).unwrap() {
                let found = laid_out
                    .resolve(to, &edge.name)
                    .map(|found| at[found].as_str());
                assert_eq!(
                    found,
                    Some(edge.leads_to.as_str()),
                    "{} of {to} ({from})",
                    edge.name
                );
            }
        }
        for one in placements {
            let parent = parent_package(&one.to);
            assert!(parent.is_empty() || at.contains_key(parent), "{}", one.to);
        }
    }

    #[test]
    fn the_tree_of_one_app() {
        check(
            &[
                "",
                "packages/web: api koa",
                "packages/api: koa log ?fast",
                "packages/other: unused",
                "node_modules/web = packages/web",
                "node_modules/api = packages/api",
                "node_modules/koa: @x/parse",
                "node_modules/@x/parse",
                "node_modules/log",
                "node_modules/unused",
                "packages/api/node_modules/koa: @x/parse",
            ],
            "packages/web",
            &[
                "node_modules/api <- workspace packages/api",
                "node_modules/koa <- node_modules/koa",
                "node_modules/api/node_modules/koa <- packages/api/node_modules/koa",
                "node_modules/log <- node_modules/log",
                "node_modules/@x/parse <- node_modules/@x/parse",
            ],
        );
    }

    #[test]
    fn a_repository_of_one_package() {
        check(
            &[
                ": a ?b",
                "node_modules/a: c",
                "node_modules/a/node_modules/c",
                "node_modules/b: c d",
                "node_modules/c",
                "node_modules/d",
            ],
            "",
            &[
                "node_modules/a <- node_modules/a",
                "node_modules/b <- node_modules/b optional",
                "node_modules/c <- node_modules/a/node_modules/c",
                "node_modules/b/node_modules/c <- node_modules/c optional",
                "node_modules/d <- node_modules/d optional",
            ],
        );
    }

    #[test]
    fn peers_come_along_where_they_are_installed() {
        check(
            &[
                "web: plugin",
                "node_modules/plugin: ^host ~extra ~absent ^missing",
                "node_modules/host",
                "node_modules/extra",
            ],
            "web",
            &[
                "node_modules/plugin <- node_modules/plugin",
                "node_modules/extra <- node_modules/extra optional",
                "node_modules/host <- node_modules/host",
            ],
        );
    }

    #[test]
    fn cycles_end() {
        check(
            &[
                "web: a",
                "a: b web",
                "node_modules/a = a",
                "node_modules/web = web",
                "node_modules/b: c",
                "node_modules/c: b",
            ],
            "web",
            &[
                "node_modules/a <- workspace a",
                "node_modules/b <- node_modules/b",
                "node_modules/web <- workspace web",
                "node_modules/c <- node_modules/c",
            ],
        );
    }

    fn refused(lines: &[&str]) -> Failure {
        let failure = closure(&lock(lines), &app("web")).unwrap_err();
        assert_eq!(failure.exit(), Exit::Refused);
        failure
    }

    #[test]
    fn what_is_missing_is_refused() {
        let absent = refused(&[""]);
        assert_eq!(absent.what(), "package-lock.json does not know web");
        let missing = refused(&["web: a", "node_modules/a: b"]);
        assert_eq!(missing.code(), "workspace::lockfile_incomplete");
        assert_eq!(
            missing.what(),
            "package-lock.json has no package for \"b\" of node_modules/a"
        );
        let dangling = refused(&["web: a", "node_modules/a = gone"]);
        assert_eq!(dangling.code(), "workspace::lockfile_incomplete");
    }

    #[test]
    fn nothing_leaves_the_archive_or_the_repository() {
        for lines in [
            ["web: ..", "node_modules/.."],
            ["web: a/../../b", "node_modules/a/../../b"],
            ["web: .bin", "node_modules/.bin"],
            ["web: a/b/c", "node_modules/a/b/c"],
            ["web: a/b", "node_modules/a/b"],
        ] {
            assert_eq!(
                refused(&lines).code(),
                "workspace::production_name",
                "{lines:?}"
            );
        }
        let outside = refused(&["web: a", "node_modules/a = ../a", "../a"]);
        assert_eq!(outside.code(), "workspace::production_name");
    }

    #[test]
    fn links_that_need_one_another_in_turn_are_refused() {
        let failure = refused(&[
            "web: a b",
            "node_modules/a: b",
            "node_modules/b = b",
            "b: a",
            "b/node_modules/a: b",
            "b/node_modules/b = c",
            "b/node_modules/a/node_modules/b = c",
            "c: a",
            "node_modules/c = c",
        ]);
        assert_eq!(failure.code(), "workspace::production_layout");
    }

    /// Random trees: packages installed at random places of the tree, asking for random names.
    fn any_lock(links: bool) -> impl Strategy<Value = Lock> {
        const NAMES: [&str; 5] = ["a", "b", "c", "@s/d", "e"];
        const WORKSPACES: [&str; 3] = ["web", "packages/b", "packages/x"];
        let name = || prop::sample::select(&NAMES[..]);
        let location = (
            prop::sample::select(&["", "web", "packages/b", "packages/x"][..]),
            prop::collection::vec(name(), 1..4),
        )
            .prop_map(|(base, names)| {
                names.iter().fold(base.to_owned(), |path, name| {
                    let separator = if path.is_empty() { "" } else { "/" };
                    format!("{path}{separator}node_modules/{name}")
                })
            });
        let asks = || prop::collection::vec((name(), 0..5_u8), 0..4);
        let link = prop::option::weighted(0.2, prop::sample::select(&WORKSPACES[..]))
            .prop_map(move |target| target.filter(|_| links));
        (
            prop::collection::vec((location, asks(), link), 0..25),
            prop::collection::vec(asks(), 3),
        )
            .prop_map(|(installed, workspaces)| {
                let mut lock = Lock::default();
                let entries = installed.into_iter().chain(
                    WORKSPACES
                        .iter()
                        .zip(workspaces)
                        .map(|(directory, asks)| ((*directory).to_owned(), asks, None)),
                );
                for (location, asks, link) in entries {
                    let mut package = LockPackage {
                        link: link.map(str::to_owned),
                        ..LockPackage::default()
                    };
                    for (name, field) in asks {
                        let field = match field {
                            0 => &mut package.optional_dependencies,
                            1 => &mut package.peer_dependencies,
                            _ => &mut package.dependencies,
                        };
                        field.insert(name.to_owned(), "*".to_owned());
                    }
                    lock.packages.insert(location, package);
                }
                drop_what_leads_nowhere(&mut lock);
                lock
            })
    }

    fn drop_what_leads_nowhere(lock: &mut Lock) {
        let complete: Vec<(String, Vec<String>)> = lock
            .packages
            .iter()
            .map(|(location, package)| {
                let names = package.dependencies.keys();
                let missing = names.filter(|name| lock.resolve(location, name).is_none());
                (location.clone(), missing.cloned().collect())
            })
            .collect();
        for (location, missing) in complete {
            for name in missing {
                lock.packages
                    .get_mut(&location)
                    .unwrap()
                    .dependencies
                    .remove(&name);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn every_edge_leads_where_it_led(lock in any_lock(false)) {
            let placements = closure(&lock, &app("web")).unwrap();
            holds(&lock, &app("web"), &placements);
            prop_assert_eq!(closure(&lock, &app("web")).unwrap(), placements);
        }

        #[test]
        fn with_links_every_edge_leads_where_it_led_or_it_is_refused(lock in any_lock(true)) {
            match closure(&lock, &app("web")) {
                Ok(placements) => holds(&lock, &app("web"), &placements),
                Err(failure) => prop_assert_eq!(failure.code(), "workspace::production_layout"),
            }
        }
    }
}
