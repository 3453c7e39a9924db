//! What an app runs with, told from a lockfile: the packages from elsewhere in its production closure.
//!
//! For every manager this means the same: followed are `dependencies` and `optionalDependencies`, and the peers that its production
//! install brings along, never `devDependencies`; what the packages of the workspace need belongs to it, they themselves do not, nor do
//! other directories of the repository. Each kind has a reader of its own that makes a [`Graph`]; all the rest is common.

mod bun;
mod npm;
pub mod on_disk;
mod pnpm;
mod yarn_berry;
mod yarn_classic;

use std::collections::{BTreeMap, BTreeSet};

use super::{Lockfile, LockfileKind, Manifests};
use crate::explain::Failure;
use crate::name::RepoPath;

/// The longest place that a package is looked for from, in bytes: longer ones no system can install at.
const LONGEST_PLACE: usize = 4096;

/// How deep in one another places may lie.
const DEEPEST_PLACE: usize = 200;

/// Whether nothing can be installed at a place. To look from there would take time that grows with its depth and its length.
fn is_no_place(place: &str) -> bool {
    place.len() > LONGEST_PLACE || place.matches('/').count() > DEEPEST_PLACE
}

/// A lockfile as a graph of packages.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// What messages call the lockfile.
    file: String,
    nodes: Vec<Node>,
    /// The packages of the workspace, by directory below its root.
    workspaces: BTreeMap<String, usize>,
}

/// A package, and what it needs in production.
#[derive(Debug, Clone, Default)]
struct Node {
    /// What is known of it, where it comes from elsewhere.
    installed: Option<Package>,
    leads_to: Vec<usize>,
    /// The same by the names it asks for; only of what the packages of npm's lockfile find, their locations tell.
    needs: Vec<Need>,
    /// Whether it is no package, but leads to all that a name may mean.
    is_choice: bool,
    /// Whether `needs` holds its peers, too.
    tells_peers: bool,
    /// The directory that a copy was made of, below the workspace's root.
    copy_of: Option<String>,
    /// Whether the lockfile lacks something that it needs.
    is_incomplete: bool,
}

/// What a package asks for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    name: String,
    leads_to: Vec<usize>,
    /// Whether it may be missing on a machine.
    optional: bool,
}

/// A package from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    /// Its own name, not an alias.
    name: String,
    /// Its version, with what was patched where the lockfile tells that.
    version: String,
    content: Content,
}

/// What a lockfile tells of the content of a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    /// A digest.
    Digest {
        /// Its algorithm, and of what it is: digests of another form tell nothing of one another.
        form: String,
        value: String,
    },
    /// Where it comes from, if that is no registry: a commit of a git repository, an address.
    Address(String),
    /// Nothing: what a registry has under a version does not change.
    Untold,
}

impl Content {
    /// Of a text such as `sha512-…`, as in `integrity`.
    fn of_integrity(integrity: &str) -> Content {
        let (form, value) = integrity.split_once('-').unwrap_or(("", integrity));
        Content::Digest {
            form: form.to_owned(),
            value: value.to_owned(),
        }
    }

    fn differs(&self, other: &Content) -> bool {
        use Content::{Address, Digest};
        match (self, other) {
            (Digest { form, value }, Digest { form: f, value: v }) => form == f && value != v,
            (Address(address), Address(other)) => address != other,
            (Address(_), _) | (_, Address(_)) => true,
            _ => false,
        }
    }
}

/// The packages from elsewhere that an app runs with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed(BTreeMap<(String, String), BTreeSet<Content>>);

impl Installed {
    /// Name and version of each, in order.
    pub fn packages(&self) -> impl Iterator<Item = (&str, &str)> {
        let packages = self.0.keys();
        packages.map(|(name, version)| (name.as_str(), version.as_str()))
    }
}

impl LockfileKind {
    /// Whether such a lockfile tells what its workspaces need in production only together with their `package.json` files.
    #[must_use]
    pub fn needs_manifests(self) -> bool {
        matches!(self, LockfileKind::YarnClassic | LockfileKind::YarnBerry)
    }
}

impl Graph {
    /// Reads a lockfile; `manifests` are the `package.json` files of its workspace at the same commit, and may be empty where its kind
    /// needs none.
    ///
    /// # Errors
    /// Those of the kind's own reader: a size, version or form that is not supported, an unfinished merge.
    ///
    /// ```
    /// use pkgs_action::name::RepoPath;
    /// use pkgs_action::workspace::lockfile::{Lockfile, LockfileKind, closure::{Graph, changed}};
    /// let read = |koa: &str| {
    ///     let text = format!(r#"{{"lockfileVersion": 1, "workspaces": {{"": {{"dependencies": {{"koa": "^2.0.0"}}}}}},
    ///         "packages": {{"koa": ["koa@{koa}", "", {{}}, "sha512-{koa}"]}}}}"#);
    ///     Graph::read(&Lockfile { kind: LockfileKind::Bun, path: RepoPath::parse("bun.lock").unwrap(), text }, &[]).unwrap()
    /// };
    /// let of = |koa| read(koa).installed(&RepoPath::root()).unwrap();
    /// assert!(changed(&of("2.0.0"), &of("2.0.0")).is_empty());
    /// assert_eq!(Vec::from_iter(changed(&of("2.0.0"), &of("2.1.0"))), ["koa"]);
    /// ```
    pub fn read(lockfile: &Lockfile, manifests: &Manifests<'_>) -> Result<Graph, Failure> {
        let (file, text) = (lockfile.path.as_str(), lockfile.text.as_str());
        let graph = match lockfile.kind {
            LockfileKind::Npm | LockfileKind::Shrinkwrap => npm::graph(file, text),
            LockfileKind::Pnpm => pnpm::graph(file, text),
            LockfileKind::YarnClassic => yarn_classic::graph(file, text, manifests),
            LockfileKind::YarnBerry => yarn_berry::graph(file, text, manifests),
            LockfileKind::Bun => bun::graph(file, text),
        }?;
        Ok(Graph {
            file: file.to_owned(),
            ..graph
        })
    }

    /// What the app in directory `app`, below the workspace's root, runs with; `None` where the lockfile does not know the app, or lacks
    /// something that it needs.
    #[must_use]
    pub fn installed(&self, app: &RepoPath) -> Option<Installed> {
        let mut installed = Installed::default();
        let mut reached = BTreeSet::new();
        let mut open = vec![*self.workspaces.get(app.as_str())?];
        while let Some(index) = open.pop() {
            if !reached.insert(index) {
                continue;
            }
            let node = self.nodes.get(index).filter(|node| !node.is_incomplete)?;
            if let Some(package) = node.installed.clone() {
                let key = (package.name, package.version);
                installed.0.entry(key).or_default().insert(package.content);
            }
            open.extend(&node.leads_to);
        }
        Some(installed)
    }

    /// Adds a package without edges.
    fn add(&mut self, installed: Option<Package>) -> usize {
        self.nodes.push(Node {
            installed,
            ..Node::default()
        });
        self.nodes.len() - 1
    }

    /// Adds what leads to all that a name may mean.
    fn add_choice(&mut self) -> usize {
        let index = self.add(None);
        self.nodes[index].is_choice = true;
        index
    }

    /// Adds what a package asks for by name, as [`Graph::lead`] does.
    fn need(&mut self, from: usize, name: &str, to: &[usize], optional: bool) {
        self.lead(from, to, optional);
        self.nodes[from].needs.push(Need {
            name: name.to_owned(),
            leads_to: to.to_vec(),
            optional,
        });
    }

    /// Adds an edge; `to` is empty where the lockfile has nothing for it.
    fn lead(&mut self, from: usize, to: &[usize], optional: bool) {
        let node = &mut self.nodes[from];
        node.leads_to.extend(to);
        node.is_incomplete |= to.is_empty() && !optional;
    }
}

/// The names of the packages in which two production closures differ, by version or content. Digests of different kinds are
/// not compared, so that the lockfiles of two managers can be; an address differs from everything but itself.
#[must_use]
pub fn changed(then: &Installed, now: &Installed) -> BTreeSet<String> {
    let differs = |contents: &BTreeSet<Content>, others: &BTreeSet<Content>| {
        let known = |one: &Content| others.iter().any(|other| !one.differs(other));
        !contents.iter().all(known)
    };
    let of = |installed: &Installed, other: &Installed| -> Vec<String> {
        let packages = installed.0.iter();
        let changed = packages.filter(|(key, contents)| {
            let others = other.0.get(key);
            others.is_none_or(|others| differs(contents, others))
        });
        changed.map(|((name, _), _)| name.clone()).collect()
    };
    of(then, now).into_iter().chain(of(now, then)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::package_json::PackageJson;
    use proptest::prelude::*;

    /// What a package is made of, as the table of [`check`] shows it.
    pub(super) type Files<'a> = [(&'a str, &'a str)];

    pub(super) fn read(name: &str, text: &str, manifests: &Files<'_>) -> Result<Graph, Failure> {
        let lockfile = Lockfile {
            kind: LockfileKind::of(name, text).unwrap(),
            path: RepoPath::parse(name).unwrap(),
            text: text.to_owned(),
        };
        let manifests: Vec<(RepoPath, PackageJson)> = manifests
            .iter()
            .map(|(directory, text)| {
                let manifest = PackageJson::parse("package.json", text).unwrap();
                (RepoPath::parse(directory).unwrap(), manifest)
            })
            .collect();
        let manifests: Vec<(RepoPath, &PackageJson)> = manifests
            .iter()
            .map(|(directory, manifest)| (directory.clone(), manifest))
            .collect();
        Graph::read(&lockfile, &manifests)
    }

    pub(super) fn installed(
        (name, text): (&str, &str),
        manifests: &Files<'_>,
        app: &str,
    ) -> Option<Installed> {
        let graph = read(name, text, manifests).unwrap();
        graph.installed(&RepoPath::parse(app).unwrap())
    }

    /// The packages that an app runs with, as `name@version`.
    pub(super) fn check(
        lockfile: (&str, &str),
        manifests: &Files<'_>,
        app: &str,
        expected: Option<&[&str]>,
    ) {
        let found = installed(lockfile, manifests, app);
        let found = found.map(|found| {
            let packages = found.0.keys();
            packages
                .map(|(name, version)| format!("{name}@{version}"))
                .collect::<Vec<String>>()
        });
        let expected = expected.map(|all| all.iter().map(ToString::to_string).collect());
        assert_eq!(found, expected, "{app:?}");
    }

    /// The names that change when `from` becomes `to` in a lockfile.
    pub(super) fn moved(
        (name, text): (&str, &str),
        manifests: &Files<'_>,
        app: &str,
        (from, to): (&str, &str),
    ) -> Vec<String> {
        assert!(text.contains(from), "{from}");
        let then = installed((name, text), manifests, app).unwrap();
        let now = installed((name, &text.replace(from, to)), manifests, app).unwrap();
        let found = changed(&then, &now);
        assert_eq!(changed(&now, &then), found);
        found.into_iter().collect()
    }

    fn set(packages: &[(&str, &str, Content)]) -> Installed {
        let mut installed = Installed::default();
        for (name, version, content) in packages {
            let key = ((*name).to_owned(), (*version).to_owned());
            installed.0.entry(key).or_default().insert(content.clone());
        }
        installed
    }

    #[test]
    fn what_differs_is_named() {
        let digest = Content::of_integrity;
        let address = |text: &str| Content::Address(text.to_owned());
        let koa = |version, content| set(&[("koa", version, content)]);
        let cases: [(Installed, Installed, bool); 9] = [
            (
                koa("1.0.0", digest("sha512-a")),
                koa("1.0.0", digest("sha512-a")),
                false,
            ),
            (
                koa("1.0.0", digest("sha512-a")),
                koa("1.0.1", digest("sha512-a")),
                true,
            ),
            (
                koa("1.0.0", digest("sha512-a")),
                koa("1.0.0", digest("sha512-b")),
                true,
            ),
            (
                koa("1.0.0", digest("sha512-a")),
                koa("1.0.0", digest("sha1-b")),
                false,
            ),
            (
                koa("1.0.0", digest("sha512-a")),
                koa("1.0.0", Content::Untold),
                false,
            ),
            (
                koa("1.0.0", digest("sha512-a")),
                koa("1.0.0", address("git#1")),
                true,
            ),
            (
                koa("1.0.0", address("git#1")),
                koa("1.0.0", address("git#2")),
                true,
            ),
            (koa("1.0.0", Content::Untold), set(&[]), true),
            (
                set(&[
                    ("koa", "1.0.0", digest("sha512-a")),
                    ("koa", "2.0.0", digest("sha512-b")),
                ]),
                koa("1.0.0", digest("sha512-a")),
                true,
            ),
        ];
        for (then, now, differs) in cases {
            let expected: &[&str] = if differs { &["koa"] } else { &[] };
            assert_eq!(
                Vec::from_iter(changed(&then, &now)),
                expected,
                "{then:?} {now:?}"
            );
            assert_eq!(
                Vec::from_iter(changed(&now, &then)),
                expected,
                "{now:?} {then:?}"
            );
        }
    }

    #[test]
    fn the_lockfiles_of_two_managers_tell_the_same() {
        let app = r#"{"name": "web", "dependencies": {"koa": "^2.0.0"}}"#;
        let lockfiles = [
            (
                "package-lock.json",
                r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"koa": "^2.0.0"}},
                    "node_modules/koa": {"version": "2.0.0", "resolved": "https://registry.example/koa.tgz", "integrity": "sha512-koa"}}}"#,
            ),
            (
                "pnpm-lock.yaml",
                "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n      koa:\n        specifier: ^2.0.0\n        version: 2.0.0\n\npackages:\n\n  koa@2.0.0:\n    resolution: {integrity: sha512-koa}\n\nsnapshots:\n\n  koa@2.0.0: {}\n",
            ),
            (
                "yarn.lock",
                "# yarn lockfile v1\n\n\nkoa@^2.0.0:\n  version \"2.0.0\"\n  resolved \"https://registry.example/koa.tgz#0123456789012345678901234567890123456789\"\n  integrity sha512-koa\n",
            ),
            (
                "yarn.lock",
                "__metadata:\n  version: 8\n  cacheKey: 10c0\n\n\"koa@npm:^2.0.0\":\n  version: 2.0.0\n  resolution: \"koa@npm:2.0.0\"\n  checksum: 10c0/zip\n\n\"web@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"web@workspace:.\"\n  dependencies:\n    koa: \"npm:^2.0.0\"\n",
            ),
            (
                "bun.lock",
                r#"{"lockfileVersion": 1, "workspaces": {"": {"dependencies": {"koa": "^2.0.0"},},},
                    "packages": {"koa": ["koa@2.0.0", "", {}, "sha512-koa"],},}"#,
            ),
        ];
        let all = lockfiles.map(|lockfile| installed(lockfile, &[("", app)], "").unwrap());
        for then in &all {
            assert_eq!(then.0.len(), 1);
            for now in &all {
                assert!(changed(then, now).is_empty(), "{then:?} {now:?}");
            }
        }
    }

    #[test]
    fn a_cycle_ends_and_a_long_chain_is_no_danger() {
        let package = |number: usize| {
            let next = (number + 1) % 50_000;
            format!(
                "\"p{number}\": [\"p{number}@1.0.0\", \"\", {{\"dependencies\": {{\"p{next}\": \"*\"}}}}, \"sha512-x\"]"
            )
        };
        let packages = (0..50_000).map(package).collect::<Vec<String>>();
        let packages = packages.join(",");
        let text = format!(
            "{{\"lockfileVersion\": 1, \"workspaces\": {{\"\": {{\"dependencies\": {{\"p7\": \"*\"}}}}}}, \"packages\": {{{packages}}}}}"
        );
        let found = installed(("bun.lock", &text), &[], "").unwrap();
        assert_eq!(found.0.len(), 50_000);
    }

    #[test]
    fn nothing_is_looked_for_from_a_place_that_cannot_be() {
        let deep = "a/".repeat(1_000_000) + "a";
        let needs: Vec<String> = (0..10_000)
            .map(|number| format!("\"p{number}\": \"*\""))
            .collect();
        let needs = needs.join(", ");
        let bun = format!(
            "{{\"lockfileVersion\": 1, \"workspaces\": {{\"\": {{\"dependencies\": {{\"b\": \"*\"}}}}}}, \"packages\": {{\"b\": [\"b@1.0.0\", \"\", {{}}, \"\"],
                \"{deep}\": [\"a@1.0.0\", \"\", {{\"optionalDependencies\": {{{needs}}}}}, \"\"]}}}}"
        );
        check(("bun.lock", &bun), &[], "", Some(&["b@1.0.0"]));
        let npm = format!(
            "{{\"lockfileVersion\": 3, \"packages\": {{\"\": {{\"dependencies\": {{\"b\": \"*\"}}}}, \"node_modules/b\": {{\"version\": \"1.0.0\"}},
                \"{deep}\": {{\"optionalDependencies\": {{{needs}}}}}}}}}"
        );
        check(("package-lock.json", &npm), &[], "", Some(&["b@1.0.0"]));
        check(("package-lock.json", &npm), &[], &deep[..999], None);
    }

    /// A lockfile of each kind with all that its reader knows, and an app in it.
    fn samples() -> [(&'static str, &'static str, &'static Files<'static>); 5] {
        [
            ("package-lock.json", npm::tests::LOCK, &[]),
            ("pnpm-lock.yaml", pnpm::tests::LOCK, &[]),
            (
                "yarn.lock",
                yarn_classic::tests::LOCK,
                &yarn_classic::tests::FILES,
            ),
            (
                "yarn.lock",
                yarn_berry::tests::LOCK,
                &yarn_berry::tests::FILES,
            ),
            ("bun.lock", bun::tests::LOCK, &[]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_change_of_a_lockfile_makes_a_reader_panic(
            sample in 0..5_usize,
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[ -~\n\u{e9}]{0,6}"), 1..8),
        ) {
            let (name, text, manifests) = samples()[sample];
            let mut text = text.to_owned();
            for (at, length, new) in edits {
                let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                let Some(at) = starts.get(at.index(starts.len().max(1))).copied() else { continue };
                let end = starts.iter().copied().find(|end| *end >= at + length).unwrap_or(text.len());
                text.replace_range(at..end, &new);
            }
            if LockfileKind::of(name, &text).is_some()
                && let Ok(graph) = read(name, &text, manifests)
            {
                for app in ["", "packages/web", "packages/lib"] {
                    let _ = graph.installed(&RepoPath::parse(app).unwrap());
                }
            }
        }
    }
}
