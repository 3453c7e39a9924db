//! Where the packages of a production closure lie on a machine: a lockfile says what each asks for and which version that is, and what is
//! installed says where Node finds it. So one way serves every layout: hoisted, or linked from a store of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::{Content, Graph, Need, Node};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::workspace::lockfile::npm::find;
use crate::workspace::production::{Edge, Instance, Source, checked_name};

/// The longest name of a program, in bytes: longer ones no system can hold.
const LONGEST_PROGRAM: usize = 255;

/// A package as it lies on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Where it is, links followed, below the workspace's root: `node_modules/.pnpm/koa@2.0.0/node_modules/koa`, `packages/lib`.
    pub location: String,
    /// What its `package.json` says.
    pub manifest: Manifest,
}

/// What counts of the `package.json` of an installed package. Whoever published it may have written anything, so what has another form
/// than a package manager reads counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    name: String,
    version: String,
    /// `dependencies` and `optionalDependencies`, and whether it does without; the last of both counts.
    pub needs: BTreeMap<String, bool>,
    /// `peerDependencies`, and whether it does without.
    pub peers: BTreeMap<String, bool>,
    bundled: BTreeSet<String>,
    /// The programs it has, by name, each with the path of its file.
    pub programs: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads one.
    ///
    /// ```
    /// use pkgs_action::workspace::lockfile::closure::on_disk::Manifest;
    /// let manifest = Manifest::read(br#"{"name": "@x/tool", "bin": "./cli.js"}"#);
    /// assert_eq!(manifest.programs["tool"], "cli.js");
    /// ```
    #[must_use]
    pub fn read(text: &[u8]) -> Manifest {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let Ok(Value::Object(manifest)) = serde_json::from_slice(text) else {
            return Manifest::default();
        };
        let text = |key: &str| manifest.get(key).and_then(Value::as_str).unwrap_or("");
        let names = |key: &str| {
            let members = manifest.get(key).and_then(Value::as_object);
            members.into_iter().flat_map(Map::keys).cloned()
        };
        let mut needs: BTreeMap<String, bool> =
            names("dependencies").map(|name| (name, false)).collect();
        needs.extend(names("optionalDependencies").map(|name| (name, true)));
        let is_optional = |name: &String| {
            let described = manifest.get("peerDependenciesMeta");
            let described = described.and_then(|all| all.get(name)?.get("optional"));
            described.and_then(Value::as_bool) == Some(true)
        };
        let peers = names("peerDependencies").map(|name| {
            let optional = is_optional(&name);
            (name, optional)
        });
        Manifest {
            name: text("name").to_owned(),
            version: text("version").to_owned(),
            bundled: bundled(&manifest),
            programs: programs(&manifest, text("name")),
            peers: peers.collect(),
            needs,
        }
    }
}

/// The packages that one carries in its own `node_modules`.
fn bundled(manifest: &Map<String, Value>) -> BTreeSet<String> {
    let mut keys = ["bundleDependencies", "bundledDependencies"].into_iter();
    match keys.find_map(|key| manifest.get(key)) {
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Some(Value::Bool(true)) => {
            let members = manifest.get("dependencies").and_then(Value::as_object);
            members.into_iter().flat_map(Map::keys).cloned().collect()
        }
        _ => BTreeSet::new(),
    }
}

/// As npm reads `bin`: names without a folder, paths inside the package.
fn programs(manifest: &Map<String, Value>, name: &str) -> BTreeMap<String, String> {
    let own = [(name.to_owned(), manifest.get("bin"))];
    let named: Vec<(String, Option<&Value>)> = match manifest.get("bin") {
        Some(Value::Object(named)) => named
            .iter()
            .map(|(name, path)| (name.clone(), Some(path)))
            .collect(),
        _ => own.into(),
    };
    named
        .into_iter()
        .filter_map(|(name, path)| {
            let path = path?.as_str()?;
            let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
            let path = RepoPath::parse(path.trim_start_matches("./")).ok()?;
            // What no archive may hold is no name: `.` and `..` are among that.
            let is_name = !base.is_empty()
                && base.len() <= LONGEST_PROGRAM
                && !base.ends_with(['.', ' '])
                && !base.chars().any(char::is_control);
            let is_program = is_name && !path.is_root();
            is_program.then(|| (base.to_owned(), path.as_str().to_owned()))
        })
        .collect()
}

/// What the app in directory `app` needs in production, by location, with what each package finds; the app itself stands under its directory.
///
/// `look` tells what lies at a location below the workspace's root, if anything does. What is followed is what the lockfile names: an
/// optional package that is not there is skipped, and so is a peer that the lockfile does not know. A package that carries others in its own
/// `node_modules` brings them along as they are.
///
/// # Errors
/// `workspace::lockfile_incomplete` where the lockfile lacks the app or what it needs; `workspace::not_installed` where a package is
/// missing, `workspace::installed_differs` where another is there than the lockfile says; `workspace::production_name`; those of `look`.
pub fn instances(
    graph: &Graph,
    app: &RepoPath,
    install: &str,
    look: &mut dyn FnMut(&str) -> Result<Option<Found>, Failure>,
) -> Result<BTreeMap<String, Instance>, Failure> {
    let incomplete = |what: String| {
        Failure::new(Exit::Refused, "workspace::lockfile_incomplete", what)
            .place(Place::file(graph.file.clone()))
            .hint("let the package manager write the lockfile anew, and commit it")
    };
    let Some(node) = graph.workspaces.get(app.as_str()) else {
        let what = format!("{} does not know {}", graph.file, app.display());
        return Err(incomplete(what));
    };
    let mut walk = Walk {
        graph,
        install,
        look,
        known: BTreeMap::new(),
        by_version: by_version(graph),
        directories: { graph.workspaces.iter() }
            .map(|(directory, node)| (*node, directory.as_str()))
            .collect(),
        instances: BTreeMap::new(),
    };
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([(app.as_str().to_owned(), Some(*node))]);
    while let Some((location, node)) = open.pop_front() {
        if !seen.insert((location.clone(), node)) {
            continue;
        }
        if node.is_some_and(|node| graph.nodes[node].is_incomplete) {
            let shown = if location.is_empty() { "." } else { &location };
            let what = format!("{} lacks what {shown} needs", graph.file);
            return Err(incomplete(what));
        }
        open.extend(walk.follow(&location, node)?);
    }
    Ok(walk.instances)
}

/// The packages from elsewhere by name and version.
fn by_version(graph: &Graph) -> BTreeMap<(&str, &str), Vec<usize>> {
    let mut by_version: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if let Some(package) = &node.installed {
            let version = bare(&package.version);
            let same = by_version.entry((&package.name, version)).or_default();
            same.push(index);
        }
    }
    by_version
}

/// A version without what was patched and how it was built, which a `package.json` does not tell in the same way.
fn bare(version: &str) -> &str {
    let version = version.split(" with ").next().unwrap_or(version);
    let version = version.split('+').next().unwrap_or(version);
    version.trim_start_matches(['v', '='])
}

struct Walk<'g, 'l> {
    graph: &'g Graph,
    install: &'g str,
    look: &'l mut dyn FnMut(&str) -> Result<Option<Found>, Failure>,
    known: BTreeMap<String, Option<Found>>,
    by_version: BTreeMap<(&'g str, &'g str), Vec<usize>>,
    directories: BTreeMap<usize, &'g str>,
    instances: BTreeMap<String, Instance>,
}

/// A package, and what the lockfile knows it as.
type Step = (String, Option<usize>);

impl Walk<'_, '_> {
    /// Notes what the package at `location` finds, and gives where that leads.
    fn follow(&mut self, location: &str, node: Option<usize>) -> Result<Vec<Step>, Failure> {
        let node = node.map(|node| &self.graph.nodes[node]);
        let source = source(self.graph, location, node)?;
        self.instances
            .entry(location.to_owned())
            .or_insert_with(|| Instance::new(source));
        let mut steps = Vec::new();
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for need in node.into_iter().flat_map(|node| &node.needs) {
            told.insert(&need.name);
            steps.extend(self.told(location, need)?);
        }
        steps.extend(self.untold(location, node, &told)?);
        Ok(steps)
    }

    /// What the lockfile tells that a package asks for.
    fn told(&mut self, location: &str, need: &Need) -> Result<Vec<Step>, Failure> {
        let leaves = self.leaves(&need.leads_to);
        if leaves.is_empty() {
            return Ok(Vec::new());
        }
        let Some(found) = self.found(location, &need.name)? else {
            if need.optional {
                return Ok(Vec::new());
            }
            return Err(self.missing(location, &need.name));
        };
        let fits = { leaves.iter().copied() }.filter(|leaf| self.is_at(*leaf, &found));
        let fits: Vec<Option<usize>> = fits.map(Some).collect();
        if fits.is_empty() {
            return Err(self.differs(location, &need.name, &found, &leaves));
        }
        self.lead(location, &need.name, need.optional, &found, fits)
    }

    /// What the package itself says that it asks for, beside what was told: what it carries, and peers; where no lockfile knows the package,
    /// because another carries it, everything.
    fn untold(
        &mut self,
        location: &str,
        node: Option<&Node>,
        told: &BTreeSet<&str>,
    ) -> Result<Vec<Step>, Failure> {
        let here = self.at(location)?.unwrap_or_default().manifest;
        let is_untold = |name: &String| !told.contains(name.as_str());
        let mut steps = Vec::new();
        for name in here.bundled.iter().filter(|name| is_untold(name)) {
            let name = checked_name(&self.graph.file, name)?;
            if let Some(found) = self.at(&format!("{location}/node_modules/{name}"))? {
                steps.extend(self.lead(location, name, false, &found, vec![None])?);
            }
        }
        let peers = here.peers.iter();
        let peers = peers.filter(|_| node.is_none_or(|node| !node.tells_peers));
        let own = here.needs.iter().filter(|_| node.is_none());
        for (name, optional) in own.chain(peers).filter(|(name, _)| is_untold(name)) {
            let Some(found) = self.found(location, name)? else {
                continue;
            };
            let mut nodes: Vec<Option<usize>> =
                self.nodes_of(&found).into_iter().map(Some).collect();
            if nodes.is_empty() && node.is_none() {
                nodes.push(None);
            }
            if !nodes.is_empty() {
                steps.extend(self.lead(location, name, *optional, &found, nodes)?);
            }
        }
        Ok(steps)
    }

    fn lead(
        &mut self,
        location: &str,
        name: &str,
        optional: bool,
        found: &Found,
        nodes: Vec<Option<usize>>,
    ) -> Result<Vec<Step>, Failure> {
        let edge = Edge {
            name: checked_name(&self.graph.file, name)?.to_owned(),
            leads_to: found.location.clone(),
            optional,
        };
        if let Some(instance) = self.instances.get_mut(location) {
            instance.lead(edge);
        }
        let steps = nodes.into_iter();
        Ok(steps.map(|node| (found.location.clone(), node)).collect())
    }

    /// What Node finds under `name` from the package at `location`.
    fn found(&mut self, location: &str, name: &str) -> Result<Option<Found>, Failure> {
        checked_name(&self.graph.file, name)?;
        let found = find(location, name, |candidate| self.at(candidate).transpose());
        found.transpose()
    }

    fn at(&mut self, location: &str) -> Result<Option<Found>, Failure> {
        if let Some(known) = self.known.get(location) {
            return Ok(known.clone());
        }
        let found = (self.look)(location)?;
        self.known.insert(location.to_owned(), found.clone());
        Ok(found)
    }

    /// The packages that some nodes mean.
    fn leaves(&self, nodes: &[usize]) -> BTreeSet<usize> {
        let mut leaves = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = nodes.to_vec();
        while let Some(index) = open.pop() {
            let node = &self.graph.nodes[index];
            if !node.is_choice {
                leaves.insert(index);
            } else if seen.insert(index) {
                open.extend(&node.leads_to);
            }
        }
        leaves
    }

    /// Whether what was found is what the lockfile means.
    fn is_at(&self, index: usize, found: &Found) -> bool {
        if let Some(directory) = self.directories.get(&index) {
            return found.location == *directory;
        }
        let Some(package) = &self.graph.nodes[index].installed else {
            // A directory that is no package of the workspace; of a copy nothing more is known.
            return true;
        };
        // What comes from elsewhere than a registry may call itself otherwise, and a commit is no version.
        if matches!(package.content, Content::Address(_)) {
            return true;
        }
        let is_version = semver::Version::parse(bare(&package.version)).is_ok();
        !is_version
            || package.name == found.manifest.name
                && bare(&package.version) == bare(&found.manifest.version)
    }

    /// What the lockfile knows a package as that it was not asked for.
    fn nodes_of(&self, found: &Found) -> Vec<usize> {
        if let Some(node) = self.graph.workspaces.get(&found.location) {
            return vec![*node];
        }
        let key = (found.manifest.name.as_str(), bare(&found.manifest.version));
        self.by_version.get(&key).cloned().unwrap_or_default()
    }

    fn missing(&self, location: &str, name: &str) -> Failure {
        Failure::new(
            Exit::Refused,
            "workspace::not_installed",
            format!(
                "{} of {} is in {}, but not installed",
                quoted(name),
                shown(location),
                self.graph.file
            ),
        )
        .hint(format!(
            "run `{}` before, or let `install: auto` do it",
            self.install
        ))
    }

    fn differs(
        &self,
        location: &str,
        name: &str,
        found: &Found,
        leaves: &BTreeSet<usize>,
    ) -> Failure {
        let said = leaves
            .iter()
            .map(|leaf| match &self.graph.nodes[*leaf].installed {
                Some(package) => format!("{}@{}", package.name, package.version),
                None => (self.directories.get(leaf))
                    .map_or("a directory".to_owned(), |directory| {
                        shown(directory).to_owned()
                    }),
            });
        let said: Vec<String> = said.collect();
        let there = match found.manifest.version.as_str() {
            "" => shown(&found.location).to_owned(),
            version => format!("{}@{version}", found.manifest.name),
        };
        Failure::new(
            Exit::Refused,
            "workspace::installed_differs",
            format!(
                "{} of {} is installed as {there}, and {} says {}",
                quoted(name),
                shown(location),
                self.graph.file,
                said.join(" or ")
            ),
        )
        .because("what an archive holds is what the lockfile says, so that machines do not differ")
        .hint(format!("run `{}` before", self.install))
    }
}

fn shown(location: &str) -> &str {
    if location.is_empty() { "." } else { location }
}

/// Where the files of a package come from: what a manager copied of a package of the workspace was copied before the build.
fn source(graph: &Graph, location: &str, node: Option<&Node>) -> Result<Source, Failure> {
    let copied = node.and_then(|node| node.copy_of.as_deref());
    match copied.filter(|directory| graph.workspaces.contains_key(*directory)) {
        Some(directory) => Source::of(&graph.file, directory),
        None => Source::of(&graph.file, location),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::lockfile::closure::tests::read;
    use crate::workspace::production::lay_out;

    const LOCK: &str = "lockfileVersion: '9.0'

importers:

  packages/web:
    dependencies:
      alias:
        specifier: npm:ms@2.0.0
        version: ms@2.0.0
      koa:
        specifier: ^2.0.0
        version: 2.0.0(peer@1.0.0)
      lib:
        specifier: workspace:*
        version: link:../lib
    optionalDependencies:
      fast:
        specifier: ^1.0.0
        version: 1.0.0

  packages/lib:
    dependencies:
      koa:
        specifier: ^1.0.0
        version: 1.0.0

packages:

  fast@1.0.0:
    resolution: {integrity: sha512-fast}

  from-git@https://codeload.example/x/tar.gz/98b618f:
    resolution: {tarball: https://codeload.example/x/tar.gz/98b618f}
    version: 3.0.0

  koa@1.0.0:
    resolution: {integrity: sha512-one}

  koa@2.0.0:
    resolution: {integrity: sha512-two}

  ms@2.0.0:
    resolution: {integrity: sha512-ms}

  peer@1.0.0:
    resolution: {integrity: sha512-peer}

snapshots:

  fast@1.0.0:
    optional: true

  from-git@https://codeload.example/x/tar.gz/98b618f: {}

  koa@1.0.0: {}

  koa@2.0.0(peer@1.0.0):
    dependencies:
      from-git: https://codeload.example/x/tar.gz/98b618f
      peer: 1.0.0

  ms@2.0.0: {}

  peer@1.0.0: {}
";

    /// What pnpm makes of it: `place [-> where it is] name@version [:bundled …] [^peer …]`.
    const INSTALLED: [&str; 14] = [
        "packages/web web@0.0.0",
        "packages/lib lib@0.0.0 ^host",
        "packages/web/node_modules/alias -> node_modules/.pnpm/ms@2.0.0/node_modules/ms",
        "packages/web/node_modules/koa -> node_modules/.pnpm/koa@2.0.0_peer@1.0.0/node_modules/koa",
        "packages/web/node_modules/lib -> packages/lib",
        "packages/lib/node_modules/koa -> node_modules/.pnpm/koa@1.0.0/node_modules/koa",
        "node_modules/.pnpm/ms@2.0.0/node_modules/ms ms@2.0.0 :inside",
        "node_modules/.pnpm/ms@2.0.0/node_modules/ms/node_modules/inside inside@1.0.0",
        "node_modules/.pnpm/koa@1.0.0/node_modules/koa koa@1.0.0",
        "node_modules/.pnpm/koa@2.0.0_peer@1.0.0/node_modules/koa koa@2.0.0 ^extraneous",
        "node_modules/.pnpm/koa@2.0.0_peer@1.0.0/node_modules/peer -> node_modules/.pnpm/peer@1.0.0/node_modules/peer",
        "node_modules/.pnpm/koa@2.0.0_peer@1.0.0/node_modules/from-git -> node_modules/.pnpm/g/node_modules/from-git",
        "node_modules/.pnpm/peer@1.0.0/node_modules/peer peer@1.0.0",
        "node_modules/.pnpm/g/node_modules/from-git called-otherwise@9.9.9",
    ];

    fn disk(lines: &[&str]) -> BTreeMap<String, Found> {
        let mut packages: BTreeMap<String, Found> = BTreeMap::new();
        for line in lines.iter().filter(|line| !line.contains("->")) {
            let mut words = line.split(' ');
            let (place, package) = (words.next().unwrap(), words.next().unwrap());
            let (name, version) = package.rsplit_once('@').unwrap();
            let mut manifest = Manifest {
                name: name.to_owned(),
                version: version.to_owned(),
                ..Manifest::default()
            };
            for word in words {
                match word.split_at(1) {
                    (":", name) => drop(manifest.bundled.insert(name.to_owned())),
                    (_, name) => drop(manifest.peers.insert(name.to_owned(), false)),
                }
            }
            let location = place.to_owned();
            packages.insert(location.clone(), Found { location, manifest });
        }
        let targets = lines.iter().filter_map(|line| line.split_once(" -> "));
        let targets: Vec<(String, Found)> = targets
            .filter_map(|(place, to)| Some((place.to_owned(), packages.get(to)?.clone())))
            .collect();
        packages.extend(targets);
        packages
    }

    fn laid_out(lines: &[&str]) -> Result<Vec<String>, Failure> {
        let graph = read("pnpm-lock.yaml", LOCK, &[]).unwrap();
        let app = RepoPath::parse("packages/web").unwrap();
        let disk = disk(lines);
        let mut look = |location: &str| Ok(disk.get(location).cloned());
        let instances = instances(&graph, &app, "pnpm install", &mut look)?;
        let placements = lay_out("pnpm-lock.yaml", &instances, &app)?;
        let shown = placements.into_iter().map(|one| match one.from {
            Source::Installed { location } => format!("{} <- {location}", one.to),
            Source::Workspace { dir } => format!("{} <- workspace {dir}", one.to),
        });
        Ok(shown.collect())
    }

    fn check(lines: &[&str], expected: &[&str]) {
        assert_eq!(laid_out(lines).unwrap(), expected);
    }

    const EXPECTED: [&str; 7] = [
        "node_modules/alias <- node_modules/.pnpm/ms@2.0.0/node_modules/ms",
        "node_modules/koa <- node_modules/.pnpm/koa@2.0.0_peer@1.0.0/node_modules/koa",
        "node_modules/lib <- workspace packages/lib",
        "node_modules/inside <- node_modules/.pnpm/ms@2.0.0/node_modules/ms/node_modules/inside",
        "node_modules/from-git <- node_modules/.pnpm/g/node_modules/from-git",
        "node_modules/peer <- node_modules/.pnpm/peer@1.0.0/node_modules/peer",
        "node_modules/lib/node_modules/koa <- node_modules/.pnpm/koa@1.0.0/node_modules/koa",
    ];

    #[test]
    fn what_the_lockfile_names_is_taken_from_where_node_finds_it() {
        check(&INSTALLED, &EXPECTED);
        // What is in no lockfile is not followed, though a peer would find it.
        let mut more = INSTALLED.to_vec();
        more.push("node_modules/extraneous extraneous@1.0.0");
        more.push("packages/lib/node_modules/host host@1.0.0");
        check(&more, &EXPECTED);
    }

    fn with(place: &str, line: &'static str) -> Vec<&'static str> {
        let mut lines = INSTALLED.to_vec();
        lines.retain(|line| !line.starts_with(place));
        lines.push(line);
        lines
    }

    #[test]
    fn what_is_not_as_the_lockfile_says_is_refused() {
        let peer = "node_modules/.pnpm/peer@1.0.0/node_modules/peer ";
        let lib = "packages/web/node_modules/lib ";
        for (lines, code, what) in [
            (
                with(
                    peer,
                    "node_modules/.pnpm/peer@1.0.0/node_modules/peer peer@1.0.1",
                ),
                "workspace::installed_differs",
                "\"peer\" of node_modules/.pnpm/koa@2.0.0_peer@1.0.0/node_modules/koa is installed as peer@1.0.1, and pnpm-lock.yaml says peer@1.0.0",
            ),
            (
                with(peer, "unused unused@1.0.0"),
                "workspace::not_installed",
                "\"peer\" of node_modules/.pnpm/koa@2.0.0_peer@1.0.0/node_modules/koa is in pnpm-lock.yaml, but not installed",
            ),
            (
                with(lib, "packages/web/node_modules/lib lib@0.0.0"),
                "workspace::installed_differs",
                "\"lib\" of packages/web is installed as lib@0.0.0, and pnpm-lock.yaml says packages/lib",
            ),
        ] {
            let failure = laid_out(&lines).unwrap_err();
            assert_eq!((failure.code(), failure.what()), (code, what));
            assert_eq!(failure.exit(), Exit::Refused);
        }
        let graph = read("pnpm-lock.yaml", LOCK, &[]).unwrap();
        let other = RepoPath::parse("packages/other").unwrap();
        let unknown = instances(&graph, &other, "", &mut |_| Ok(None)).unwrap_err();
        assert_eq!(
            unknown.what(),
            "pnpm-lock.yaml does not know packages/other"
        );
    }

    #[test]
    fn no_name_leads_outside() {
        let koa = "node_modules/.pnpm/koa@1.0.0/node_modules/koa ";
        let at = "node_modules/.pnpm/koa@1.0.0/node_modules/koa koa@1.0.0";
        for name in [":../../x", ":..", ":a/../b", ":.bin"] {
            let mut lines = INSTALLED.to_vec();
            lines.retain(|line| !line.starts_with(koa));
            let line = format!("{at} {name}");
            lines.push(&line);
            let failure = laid_out(&lines).unwrap_err();
            assert_eq!(failure.code(), "workspace::production_name", "{name}");
        }
        let hostile = LOCK.replace("      peer: 1.0.0", "      ../../peer: peer@1.0.0");
        let graph = read("pnpm-lock.yaml", &hostile, &[]).unwrap();
        let app = RepoPath::parse("packages/web").unwrap();
        let disk = disk(&INSTALLED);
        let mut look = |location: &str| Ok(disk.get(location).cloned());
        let failure = instances(&graph, &app, "", &mut look).unwrap_err();
        assert_eq!(failure.code(), "workspace::production_name");
    }

    #[test]
    fn a_manifest_is_read_whatever_stands_in_it() {
        for (text, programs, bundled) in [
            (
                r#"{"name": "@x/a", "bin": "cli.js"}"#,
                &[("a", "cli.js")][..],
                &[][..],
            ),
            (
                r#"{"name": "a", "bin": {"b": "./x/cli.js", "@s/c": "c.js", "..": "d.js", "e": "../e.js", "f": 1, "g": "/g"}}"#,
                &[("b", "x/cli.js"), ("c", "c.js")],
                &[],
            ),
            (
                r#"{"dependencies": {"b": "1"}, "bundledDependencies": true}"#,
                &[],
                &["b"],
            ),
            (r#"{"bundleDependencies": ["b", 1], "bin": 5}"#, &[], &["b"]),
            (
                "{\"name\": 1, \"dependencies\": [], \"peerDependencies\": \"x\"}",
                &[],
                &[],
            ),
            ("[]", &[], &[]),
            ("{", &[], &[]),
        ] {
            let manifest = Manifest::read(text.as_bytes());
            let found: Vec<(&str, &str)> = manifest
                .programs
                .iter()
                .map(|(name, path)| (name.as_str(), path.as_str()))
                .collect();
            assert_eq!(found, programs, "{text}");
            assert_eq!(Vec::from_iter(&manifest.bundled), bundled, "{text}");
        }
        assert_eq!(
            Manifest::read("\u{feff}{\"name\": \"a\"}".as_bytes()).name,
            "a"
        );
    }
}
