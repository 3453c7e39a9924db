//! yarn since yarn 2: an entry for each package, also for workspaces, whose production and development dependencies it puts together;
//! which are which stands in their `package.json` files.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;

use super::{Content, Graph, Package};
use crate::explain::Failure;
use crate::name::RepoPath;
use crate::workspace::javascript::uri_component;
use crate::workspace::lockfile::Manifests;
use crate::workspace::lockfile::yarn_berry::{Entry, Lockfile};
use crate::workspace::package_json::DependencyField;

pub(super) fn graph(file: &str, text: &str, manifests: &Manifests<'_>) -> Result<Graph, Failure> {
    let lockfile = Lockfile::read(file, text)?;
    let cache_key = lockfile.cache_key();
    let mut graph = Graph::default();
    for entry in &lockfile.entries {
        graph.add(installed(entry, cache_key));
    }
    let found = Found::new(&lockfile, manifests, &mut graph);
    let mut workspaces = BTreeSet::new();
    for (directory, manifest) in manifests {
        let Some(from) = lockfile.workspace(directory) else {
            continue;
        };
        workspaces.insert(from);
        graph.workspaces.insert(directory.as_str().to_owned(), from);
        let entry = &lockfile.entries[from];
        for needs in &manifest.dependencies {
            let optional = needs.field == DependencyField::OptionalDependencies;
            if optional || needs.field == DependencyField::Dependencies {
                let locked = entry.dependencies.get(&needs.name);
                let range = locked.map_or(needs.spec.as_str(), |locked| &locked.text);
                let to = found.leads_to(entry, &needs.name, range);
                let optional = optional || lockfile.is_for_some_machines(&to);
                graph.need(from, &needs.name, &to, optional);
            }
        }
    }
    for (from, entry) in lockfile.entries.iter().enumerate() {
        if workspaces.contains(&from) {
            continue;
        }
        // Of a workspace without its package.json nothing tells what it needs in production.
        graph.nodes[from].is_incomplete = entry.directory().is_some();
        for (name, range) in &entry.dependencies {
            let to = found.leads_to(entry, name, &range.text);
            let optional = entry.optional.contains(name) || lockfile.is_for_some_machines(&to);
            graph.need(from, name, &to, optional);
        }
    }
    Ok(graph)
}

/// A name, and a range or place.
type Specifier<'l> = (&'l str, Option<&'l str>);

/// What `resolutions` of the root say of a dependency: `a@npm:1.0.0/b@npm:^2.0.0`, of which only `b` must be there.
struct Resolution<'l> {
    from: Option<Specifier<'l>>,
    name: &'l str,
    range: Option<&'l str>,
    reference: &'l str,
}

/// Where a dependency leads.
struct Found<'l> {
    lockfile: &'l Lockfile<'l>,
    resolutions: BTreeMap<&'l str, Vec<Resolution<'l>>>,
    /// For a descriptor a node that leads to yarn's own patches of it, which it applies by itself.
    patches: BTreeMap<String, usize>,
    /// For a name a node that leads to all its entries.
    by_name: BTreeMap<&'l str, usize>,
    /// What is bound to the root: how yarn calls it.
    root: &'l str,
}

impl<'l> Found<'l> {
    fn new(
        lockfile: &'l Lockfile<'l>,
        manifests: &'l Manifests<'_>,
        graph: &mut Graph,
    ) -> Found<'l> {
        let root = lockfile.workspace(&RepoPath::root());
        let root = root.map_or("", |root| lockfile.entries[root].resolution.as_str());
        let mut found = Found {
            lockfile,
            resolutions: BTreeMap::new(),
            patches: BTreeMap::new(),
            by_name: BTreeMap::new(),
            root,
        };
        for (index, entry) in lockfile.entries.iter().enumerate() {
            for descriptor in entry.descriptors() {
                let Some((name, range)) = parts(descriptor) else {
                    continue;
                };
                let named = found.by_name.entry(name);
                let named = *named.or_insert_with(|| graph.add_choice());
                graph.lead(named, &[index], true);
                if let Some(patched) = patched_by_yarn(range) {
                    let patches = found.patches.entry(patched);
                    let patches = *patches.or_insert_with(|| graph.add_choice());
                    graph.lead(patches, &[index], true);
                }
            }
        }
        for (directory, manifest) in manifests {
            for (pattern, reference) in manifest.resolutions.iter().filter(|_| directory.is_root())
            {
                let resolution = Resolution::parse(pattern, reference);
                let of_name = found.resolutions.entry(resolution.name);
                of_name.or_default().push(resolution);
            }
        }
        found
    }

    /// Everything that a dependency of `parent` leads to: its entry, with yarn's own patch of it. Where a catalog says what its range is, the
    /// lockfile does not tell which entry it is, and all of its name count.
    fn leads_to(&self, parent: &Entry, name: &str, range: &str) -> Vec<usize> {
        let resolutions = self.resolutions.get(name).into_iter().flatten();
        let resolution = { resolutions }.find(|one| one.applies(parent, range));
        let (range, bound_to) = match resolution {
            Some(resolution) => (resolution.reference, self.root),
            None => (range, parent.resolution.as_str()),
        };
        let normal = format!("{name}@{}", normal(range));
        let written = format!("{name}@{range}");
        let entries = &self.lockfile.leads_to;
        let entry = entries.get(&normal).or_else(|| entries.get(&written));
        let entry = entry.or_else(|| {
            let binding = uri_component(bound_to);
            let separator = if range.contains("::") { "&" } else { "::" };
            entries.get(&format!("{written}{separator}locator={binding}"))
        });
        match entry {
            Some(entry) => self
                .patches
                .get(&normal)
                .into_iter()
                .chain([entry])
                .copied()
                .collect(),
            None => self.by_name.get(name).copied().into_iter().collect(),
        }
    }
}

impl<'l> Resolution<'l> {
    /// As yarn reads a pattern: one package or two, in whose ranges no slash stands.
    fn parse(pattern: &'l str, reference: &'l str) -> Resolution<'l> {
        let (first, rest) = specifier(pattern.trim_start_matches("**/"));
        let (from, (name, range)) = match rest.strip_prefix('/') {
            Some(rest) => (Some(first), specifier(rest).0),
            None => (None, first),
        };
        Resolution {
            from,
            name,
            range,
            reference,
        }
    }

    fn applies(&self, parent: &Entry, range: &str) -> bool {
        let is_range = self.range.is_none_or(|own| normal(own) == normal(range));
        let is_from = self.from.is_none_or(|(name, reference)| {
            let own = parts(&parent.resolution);
            own.is_some_and(|(own, at)| {
                own == name && reference.is_none_or(|reference| normal(reference) == at)
            })
        });
        is_range && is_from
    }
}

/// The package at the start of a pattern of `resolutions`, and what follows it.
fn specifier(pattern: &str) -> (Specifier<'_>, &str) {
    let scope = pattern.find('/').filter(|_| pattern.starts_with('@'));
    let name = scope.map_or(0, |scope| scope + 1);
    let ends = pattern[name..].find(['@', '/']);
    let (name, rest) = pattern.split_at(ends.map_or(pattern.len(), |ends| name + ends));
    match rest.strip_prefix('@') {
        Some(range) => {
            let (range, rest) = range.split_at(range.find('/').unwrap_or(range.len()));
            ((name, Some(range)), rest)
        }
        None => ((name, None), rest),
    }
}

/// Name, and range or place, of `@x/a@npm:^1.0.0`.
fn parts(text: &str) -> Option<(&str, &str)> {
    let at = text.get(1..)?.find('@')? + 1;
    Some((&text[..at], &text[at + 1..]))
}

/// A range as yarn 4 writes it, with its protocol.
fn normal(range: &str) -> String {
    let protocol = range.split(':').next().unwrap_or(range);
    let has_protocol = range.contains(':')
        && protocol
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || one == '+');
    if has_protocol || range.contains('/') {
        range.to_owned()
    } else {
        format!("npm:{range}")
    }
}

/// The descriptor that a patch of yarn's own is for: `patch:resolve@npm%3A^1.20.0#optional!builtin<compat/resolve>`.
fn patched_by_yarn(range: &str) -> Option<String> {
    let (patched, patch) = range.strip_prefix("patch:")?.split_once('#')?;
    let patched = percent_decode_str(patched).decode_utf8().ok()?;
    let (name, range) = parts(&patched).filter(|_| patch.contains("builtin<"))?;
    Some(format!("{name}@{}", normal(range)))
}

/// What an entry is. Workspaces and other directories of the repository do not come from elsewhere.
fn installed(entry: &Entry, cache_key: &str) -> Option<Package> {
    let (name, reference) = parts(&entry.resolution)?;
    let reference = match reference.strip_prefix("virtual:") {
        Some(inside) => inside.split_once('#').map_or(inside, |(_, inside)| inside),
        None => reference,
    };
    let is_directory = reference.starts_with("file:") && {
        let path = reference.split("::").next().unwrap_or(reference);
        let ends = [".tgz", ".tar.gz"];
        !path
            .split('#')
            .any(|path| ends.iter().any(|end| path.ends_with(end)))
    };
    let beside = ["workspace:", "link:", "portal:"];
    if is_directory
        || beside
            .iter()
            .any(|protocol| reference.starts_with(protocol))
    {
        return None;
    }
    let content = if reference.starts_with("npm:") {
        of_checksum(&entry.checksum, cache_key)
    } else {
        Content::Address(reference.to_owned())
    };
    Some(Package {
        name: name.to_owned(),
        version: entry.version.clone(),
        content,
    })
}

/// yarn 4 writes the version of its cache before each checksum, yarn 3 once for all.
fn of_checksum(checksum: &str, cache_key: &str) -> Content {
    if checksum.is_empty() {
        return Content::Untold;
    }
    let (form, value) = checksum.split_once('/').unwrap_or((cache_key, checksum));
    Content::Digest {
        form: format!("yarn {form}"),
        value: value.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::workspace::lockfile::closure::tests::{Files, check, moved};

    /// As yarn 4 writes it.
    pub(in crate::workspace::lockfile::closure) const LOCK: &str = r#"__metadata:
  version: 8
  cacheKey: 10c0

"alias@npm:ms@2.0.0":
  version: 2.0.0
  resolution: "ms@npm:2.0.0"
  checksum: 10c0/alias
  languageName: node
  linkType: hard

"bytes@npm:^3.1.0":
  version: 3.1.2
  resolution: "bytes@npm:3.1.2"
  checksum: 10c0/bytes

"debug@npm:4.3.4":
  version: 4.3.4
  resolution: "debug@npm:4.3.4"
  dependencies:
    ms: "npm:2.1.2"
  peerDependenciesMeta:
    supports-color:
      optional: true
  checksum: 10c0/debug

"fsevents@npm:2.3.2":
  version: 2.3.2
  resolution: "fsevents@npm:2.3.2"
  checksum: 10c0/fsevents
  conditions: os=darwin

"fsevents@patch:fsevents@npm%3A2.3.2#optional!builtin<compat/fsevents>":
  version: 2.3.2
  resolution: "fsevents@patch:fsevents@npm%3A2.3.2#optional!builtin<compat/fsevents>::version=2.3.2&hash=df0bf1"
  conditions: os=darwin

"is-number@npm:^6.0.0":
  version: 6.0.0
  resolution: "is-number@npm:6.0.0"
  checksum: 10c0/six

"is-number@npm:^7.0.0":
  version: 7.0.0
  resolution: "is-number@npm:7.0.0"
  checksum: 10c0/seven

"left-pad@npm:1.3.0":
  version: 1.3.0
  resolution: "left-pad@npm:1.3.0"
  checksum: 10c0/unpatched

"left-pad@patch:left-pad@npm%3A1.3.0#../../p.patch::locator=web%40workspace%3Apackages%2Fweb":
  version: 1.3.0
  resolution: "left-pad@patch:left-pad@npm%3A1.3.0#../../p.patch::version=1.3.0&hash=b035f7&locator=web%40workspace%3Apackages%2Fweb"
  checksum: 10c0/patched

"lib@npm:^1.0.0, lib@workspace:^, lib@workspace:packages/lib":
  version: 0.0.0-use.local
  resolution: "lib@workspace:packages/lib"
  dependencies:
    fsevents: "npm:2.3.2"
    is-odd: "npm:^3.0.0"
    to-regex-range: "npm:5.0.1"
  peerDependencies:
    bytes: "*"
  languageName: unknown
  linkType: soft

"is-odd@npm:^3.0.0":
  version: 3.0.1
  resolution: "is-odd@npm:3.0.1"
  dependencies:
    is-number: "npm:^6.0.0"
  checksum: 10c0/odd

"mono@workspace:.":
  version: 0.0.0-use.local
  resolution: "mono@workspace:."
  dependencies:
    is-number: "npm:^7.0.0"
  languageName: unknown
  linkType: soft

"ms@npm:2.1.3, ms@npm:^2.1.0":
  version: 2.1.3
  resolution: "ms@npm:2.1.3"
  checksum: 10c0/ms

"other@workspace:packages/other":
  version: 0.0.0-use.local
  resolution: "other@workspace:packages/other"
  dependencies:
    third: "file:../../third"
  languageName: unknown
  linkType: soft

"third@file:../../third::locator=other%40workspace%3Apackages%2Fother":
  version: 1.0.0
  resolution: "third@file:../../third#../../third::hash=bab626&locator=other%40workspace%3Apackages%2Fother"
  dependencies:
    ms: "npm:^2.1.0"
  checksum: 10c0/third

"to-regex-range@npm:5.0.1":
  version: 5.0.1
  resolution: "to-regex-range@npm:5.0.1"
  dependencies:
    is-number: "npm:^7.0.0"
  checksum: 10c0/range

"to-regex-range@patch:to-regex-range@npm%3A5.0.1#~/p.patch":
  version: 5.0.1
  resolution: "to-regex-range@patch:to-regex-range@npm%3A5.0.1#~/p.patch::version=5.0.1&hash=b035f7"
  dependencies:
    is-number: "npm:^7.0.0"
  checksum: 10c0/range-patched

"tool@npm:^1.0.0":
  version: 1.0.0
  resolution: "tool@npm:1.0.0"
  checksum: 10c0/tool

"web@workspace:packages/web":
  version: 0.0.0-use.local
  resolution: "web@workspace:packages/web"
  dependencies:
    alias: "npm:ms@2.0.0"
    bytes: "catalog:"
    debug: "npm:4.3.4"
    left-pad: "patch:left-pad@npm%3A1.3.0#../../p.patch"
    lib: "npm:^1.0.0"
    tool: "npm:^1.0.0"
  languageName: unknown
  linkType: soft
"#;
    pub(in crate::workspace::lockfile::closure) const FILES: [(&str, &str); 4] = [
        (
            "",
            r#"{"name": "mono", "devDependencies": {"is-number": "^7.0.0"},
                "resolutions": {"debug/ms": "2.1.3", "is-odd@npm:^3.0.0/is-number": "^7.0.0", "to-regex-range@npm:5.0.1": "patch:to-regex-range@npm%3A5.0.1#~/p.patch"}}"#,
        ),
        (
            "packages/web",
            r#"{"name": "web", "dependencies": {"lib": "^1.0.0", "alias": "npm:ms@2.0.0", "debug": "4.3.4", "bytes": "catalog:", "left-pad": "patch:left-pad@npm%3A1.3.0#../../p.patch"},
                "devDependencies": {"tool": "^1.0.0"}}"#,
        ),
        (
            "packages/lib",
            r#"{"name": "lib", "version": "1.0.0", "dependencies": {"is-odd": "^3.0.0", "to-regex-range": "5.0.1"}, "optionalDependencies": {"fsevents": "2.3.2"}, "peerDependencies": {"bytes": "*"}}"#,
        ),
        (
            "packages/other",
            r#"{"name": "other", "dependencies": {"third": "file:../../third"}}"#,
        ),
    ];

    const LIB: [&str; 5] = [
        "fsevents@2.3.2",
        "is-number@6.0.0",
        "is-number@7.0.0",
        "is-odd@3.0.1",
        "to-regex-range@5.0.1",
    ];

    #[test]
    fn the_manifests_tell_what_is_for_production() {
        let lock = ("yarn.lock", LOCK);
        let files: &Files<'_> = &FILES;
        check(lock, files, "packages/lib", Some(&LIB));
        let web = [
            "bytes@3.1.2",
            "debug@4.3.4",
            LIB[0],
            LIB[1],
            LIB[2],
            LIB[3],
            "left-pad@1.3.0",
            "ms@2.0.0",
            "ms@2.1.3",
            LIB[4],
        ];
        check(lock, files, "packages/web", Some(&web));
        check(lock, files, "packages/other", Some(&["ms@2.1.3"]));
        check(lock, files, "", Some(&[]));
        check(lock, files, "packages/none", None);
        // The manifest of lib is missing.
        check(lock, &[files[0], files[1]], "packages/web", None);
        let bare = LOCK
            .replace(": \"npm:", ": \"")
            .replace("lib@npm:^", "lib@^");
        check(("yarn.lock", &bare), files, "packages/web", Some(&web));
    }

    #[test]
    fn what_moves_in_production_is_named() {
        for (from, to, expected) in [
            ("10c0/six", "10c0/other", &["is-number"][..]),
            ("hash=df0bf1", "hash=df0bf2", &["fsevents"]),
            ("hash=b035f7&", "hash=b035f8&", &["left-pad"]),
            ("10c0/range-patched", "10c0/other", &[]),
            (
                "::version=5.0.1&hash=b035f7",
                "::version=5.0.1&hash=b035f8",
                &["to-regex-range"],
            ),
            ("10c0/tool", "10c0/other", &[]),
            ("10c0/unpatched", "10c0/other", &[]),
            // Another version of yarn's cache.
            ("10c0", "11c0", &[]),
            ("10c0/alias", "11c0/other", &[]),
            ("version: 3.1.2", "version: 3.1.3", &["bytes"]),
            ("ms@npm:2.1.3\"", "ms@virtual:0a1b#npm:2.1.3\"", &[]),
        ] {
            let found = moved(("yarn.lock", LOCK), &FILES, "packages/web", (from, to));
            assert_eq!(found, expected, "{from}");
        }
    }

    #[test]
    fn resolutions_are_read_as_yarn_reads_them() {
        for (pattern, from, name, range) in [
            ("ms", None, "ms", None),
            ("**/ms", None, "ms", None),
            ("@x/ms@npm:^2.0.0", None, "@x/ms", Some("npm:^2.0.0")),
            ("a/ms", Some(("a", None)), "ms", None),
            (
                "@x/a@npm:1.0.0/@x/ms@2",
                Some(("@x/a", Some("npm:1.0.0"))),
                "@x/ms",
                Some("2"),
            ),
            ("", None, "", None),
        ] {
            let found = Resolution::parse(pattern, "1");
            assert_eq!(
                (found.from, found.name, found.range),
                (from, name, range),
                "{pattern}"
            );
        }
    }
}
