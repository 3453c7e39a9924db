//! pnpm: `importers` lead to `snapshots`, which lead to one another, also to the peers of each; what they are stands in `packages`.

use std::collections::BTreeMap;

use super::{Content, Graph, Package};
use crate::explain::Failure;
use crate::workspace::lockfile::pnpm::{Lock, decode, last_document, pair, quoted_end, unreadable};

/// A package as `packages` describes it.
#[derive(Debug, Default)]
struct Described {
    version: Option<String>,
    /// `resolution`.
    resolution: BTreeMap<String, String>,
}

/// The sections that speak of installed packages.
#[derive(Debug, Default)]
struct Sections {
    packages: BTreeMap<String, Described>,
    /// What each snapshot needs: name, reference, and whether it does without.
    snapshots: BTreeMap<String, Vec<(String, String, bool)>>,
}

pub(super) fn graph(file: &str, text: &str) -> Result<Graph, Failure> {
    let lock = Lock::parse(file, text)?;
    let sections = Sections::read(file, text)?;
    let mut graph = Graph::default();
    for importer in &lock.importers {
        let node = graph.add(None);
        graph
            .workspaces
            .insert(directory(importer).to_owned(), node);
    }
    let mut snapshots: BTreeMap<&str, usize> = BTreeMap::new();
    for path in sections.snapshots.keys() {
        let node = graph.add(sections.installed(path));
        graph.nodes[node].tells_peers = true;
        graph.nodes[node].copy_of = sections.directory(path).map(str::to_owned);
        snapshots.insert(path, node);
    }
    for (path, needs) in &sections.snapshots {
        let from = (snapshots[path.as_str()], "");
        for (name, reference, optional) in needs {
            lead(&mut graph, &snapshots, from, (name, reference), *optional);
        }
    }
    for (keys, reference) in lock.below(&["importers"]) {
        let [_, importer, field, name, what] = keys.as_slice() else {
            continue;
        };
        let optional = field == "optionalDependencies";
        if what == "version" && (optional || field == "dependencies") {
            let from = (graph.workspaces[directory(importer)], directory(importer));
            lead(
                &mut graph,
                &snapshots,
                from,
                (name, &reference.value),
                optional,
            );
        }
    }
    Ok(graph)
}

/// The directory of an importer, below the workspace's root.
fn directory(importer: &str) -> &str {
    if importer == "." { "" } else { importer }
}

/// Adds what a reference leads to. A link leads to a package of the workspace; another directory needs nothing that is known.
fn lead(
    graph: &mut Graph,
    snapshots: &BTreeMap<&str, usize>,
    (from, directory): (usize, &str),
    (name, reference): (&str, &str),
    optional: bool,
) {
    let to = match reference.strip_prefix("link:") {
        Some(path) => linked(directory, path).and_then(|path| graph.workspaces.get(&path)),
        None if is_whole(reference) => snapshots.get(reference),
        None => snapshots.get(format!("{name}@{reference}").as_str()),
    };
    let to: Vec<usize> = to.copied().into_iter().collect();
    graph.need(from, name, &to, optional || reference.starts_with("link:"));
}

/// The directory that a link in `directory` leads to; `None` outside the workspace.
fn linked(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether a reference names the package itself, as that of an alias does: it has an `@` before any `(` and `:`.
fn is_whole(reference: &str) -> bool {
    let before = |end: char| {
        let at = reference.find('@');
        at.is_some_and(|at| reference.find(end).is_none_or(|end| at < end))
    };
    reference.starts_with('@') || before('(') && before(':')
}

/// A snapshot's path without what stands in brackets behind it, and the hash of its patch where one is named there.
fn without_suffix(path: &str) -> (&str, Option<&str>) {
    const PATCH: &str = "(patch_hash=";
    let mut start = path.len();
    let mut depth = 0_usize;
    for (at, byte) in path.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' if depth == 1 => (depth, start) = (0, at),
            b'(' if depth > 1 => depth -= 1,
            _ if depth == 0 => break,
            _ => {}
        }
    }
    let (path, suffix) = path.split_at(start);
    let hash = suffix.strip_prefix(PATCH);
    (path, hash.and_then(|hash| hash.split(')').next()))
}

impl Sections {
    fn read(file: &str, text: &str) -> Result<Sections, Failure> {
        let mut sections = Sections::default();
        let mut keys: Vec<(usize, String)> = Vec::new();
        for (number, _, line) in last_document(text) {
            let content = line.trim_start_matches(' ');
            let mut indent = line.len() - content.len();
            let mut content = content.trim_end();
            if content.is_empty() {
                continue;
            }
            while keys.last().is_some_and(|(above, _)| *above >= indent)
                && !content.starts_with(": ")
            {
                keys.pop();
            }
            if !is_wanted(&keys, indent, content) {
                continue;
            }
            let unread = || unreadable(file, number);
            // Keys above 1,024 characters stand alone; their colon and what follows it come in the next line.
            if let Some(key) = content.strip_prefix("? ") {
                keys.push((indent, decode(key).ok_or_else(unread)?.into_owned()));
                sections.begin(&keys);
                continue;
            }
            if let Some(rest) = content.strip_prefix(": ") {
                (indent, content) = (indent + 2, rest);
                if content.starts_with('{') {
                    continue;
                }
            }
            let pair = pair(content).ok_or_else(unread)?;
            keys.push((indent, pair.key));
            sections.begin(&keys);
            sections.take(&keys, pair.value).ok_or_else(unread)?;
        }
        Ok(sections)
    }

    /// Notes that a package or a snapshot is there, also where nothing stands below it.
    fn begin(&mut self, keys: &[(usize, String)]) {
        match keys {
            [(_, section), (_, path)] if section == "packages" => {
                self.packages.entry(path.clone()).or_default();
            }
            [(_, section), (_, path)] if section == "snapshots" => {
                self.snapshots.entry(path.clone()).or_default();
            }
            _ => {}
        }
    }

    /// Takes what a line says; `None` for a form that pnpm does not write.
    fn take(&mut self, keys: &[(usize, String)], value: &str) -> Option<()> {
        let mut below = keys.iter().skip(1).map(|(_, key)| key.as_str());
        let (Some(path), Some(field)) = (below.next(), below.next()) else {
            return Some(());
        };
        let (name, None) = (below.next(), below.next()) else {
            return Some(());
        };
        if let Some(package) = self
            .packages
            .get_mut(path)
            .filter(|_| keys[0].1 == "packages")
        {
            match (field, name) {
                ("version", None) => package.version = Some(decode(value)?.into_owned()),
                ("resolution", None) => package.resolution = flow(value)?,
                ("resolution", Some(name)) if !value.is_empty() => {
                    let value = decode(value).unwrap_or_default().into_owned();
                    package.resolution.insert(name.to_owned(), value);
                }
                _ => {}
            }
        } else if let (Some(needs), Some(name)) = (self.snapshots.get_mut(path), name) {
            let optional = field == "optionalDependencies";
            if optional || field == "dependencies" {
                needs.push((name.to_owned(), decode(value)?.into_owned(), optional));
            }
        }
        Some(())
    }

    /// The directory that a snapshot is a copy of.
    fn directory(&self, path: &str) -> Option<&str> {
        let (key, _) = without_suffix(path);
        let resolution = &self.packages.get(key)?.resolution;
        let is_directory = resolution
            .get("type")
            .is_some_and(|kind| kind == "directory");
        resolution
            .get("directory")
            .filter(|_| is_directory)
            .map(String::as_str)
    }

    /// What a snapshot is; a directory does not come from elsewhere.
    fn installed(&self, path: &str) -> Option<Package> {
        let (key, hash) = without_suffix(path);
        let at = key.get(1..)?.find('@')? + 1;
        let (name, reference) = (&key[..at], &key[at + 1..]);
        let described = self.packages.get(key);
        let of = |key: &str| described.and_then(|one| one.resolution.get(key));
        if of("type").is_some_and(|kind| kind == "directory") {
            return None;
        }
        let content = match (of("integrity"), of("tarball"), of("commit")) {
            (Some(integrity), _, _) => Content::of_integrity(integrity),
            (None, Some(address), _) => Content::Address(address.clone()),
            (None, None, Some(commit)) => Content::Address(commit.clone()),
            (None, None, None) => Content::Untold,
        };
        let version = described.and_then(|one| one.version.as_deref());
        let version = version.unwrap_or(reference);
        Some(Package {
            name: name.to_owned(),
            version: match hash {
                Some(hash) => format!("{version} with {hash}"),
                None => version.to_owned(),
            },
            content,
        })
    }
}

/// Whether a line says what a package is or needs; `keys` lead to the block it stands in. Some of the others hold any text.
fn is_wanted(keys: &[(usize, String)], indent: usize, content: &str) -> bool {
    let mut keys = keys.iter().map(|(_, key)| key.as_str());
    let Some(section) = keys.next().filter(|_| indent > 0) else {
        return !content.starts_with('-');
    };
    let field = keys.nth(1);
    match section {
        "packages" => field.is_none_or(|field| field == "resolution"),
        "snapshots" => {
            let needs = ["dependencies", "optionalDependencies"];
            field.is_none_or(|field| needs.contains(&field))
        }
        _ => false,
    }
}

/// What stands in braces on one line: `{integrity: sha512-…, tarball: …}`; nothing where a block follows.
fn flow(value: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    if value.is_empty() {
        return Some(found);
    }
    let mut rest = value.strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(": ")?;
        let end = match after.chars().next()? {
            quote @ ('\'' | '"') => quoted_end(after, quote)?,
            _ => after.find(", ").unwrap_or(after.len()),
        };
        let (value, after) = after.split_at(end);
        found.insert(key.to_owned(), decode(value)?.into_owned());
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(found)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::workspace::lockfile::closure::tests::{check, moved, read};

    /// As pnpm 10 writes it.
    pub(in crate::workspace::lockfile::closure) const LOCK: &str = "lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

catalogs:
  default:
    bytes:
      specifier: ^3.1.0
      version: 3.1.2

overrides:
  kind-of: 6.0.2

patchedDependencies:
  is-odd@3.0.1:
    hash: abc
    path: patches/is-odd.patch

importers:

  .:
    devDependencies:
      is-number:
        specifier: ^7.0.0
        version: 7.0.0

  packages/lib:
    dependencies:
      is-odd:
        specifier: ^3.0.0
        version: 3.0.1(patch_hash=abc)
      kind-of:
        specifier: 6.0.2
        version: 6.0.2
    optionalDependencies:
      fsevents:
        specifier: 2.3.2
        version: 2.3.2

  packages/other:
    dependencies:
      '@s/lib':
        specifier: workspace:^
        version: file:packages/lib(react@18.3.1)
      outside:
        specifier: link:../../../outside
        version: link:../../../outside
      third:
        specifier: file:../../third
        version: file:third

  packages/broken:
    dependencies:
      absent:
        specifier: '1'
        version: 1.0.0

  packages/web:
    dependencies:
      '@s/lib':
        specifier: ^1.0.0
        version: link:../lib
      alias:
        specifier: npm:ms@2.0.0
        version: ms@2.0.0
      bytes:
        specifier: 'catalog:'
        version: 3.1.2
      slash:
        specifier: github:x/slash
        version: https://codeload.example/x/slash/tar.gz/98b618f
      use-store:
        specifier: 1.2.0
        version: 1.2.0(react@18.3.1(supports@1.0.0))
    devDependencies:
      react:
        specifier: ^18.0.0
        version: 18.3.1
      tool:
        specifier: ^1.0.0
        version: 1.0.0

packages:

  '@s/lib@file:packages/lib':
    resolution: {directory: packages/lib, type: directory}

  bytes@3.1.2:
    resolution: {integrity: sha512-bytes}
    engines: {node: '>= 0.8'}
    deprecated: |-
      Do not use
      this - at all

  fsevents@2.3.2:
    resolution: {integrity: sha512-fsevents}
    os: [darwin]

  is-number@6.0.0:
    resolution: {integrity: sha512-six}

  is-number@7.0.0:
    resolution: {integrity: sha512-seven}

  is-odd@3.0.1:
    resolution: {integrity: sha512-odd}

  kind-of@6.0.2:
    resolution: {integrity: sha512-kind}

  ms@2.0.0:
    resolution: {integrity: sha512-alias}

  ms@2.1.1:
    resolution: {integrity: sha512-ms}

  react@18.3.1:
    resolution:
      integrity: sha512-react

  slash@https://codeload.example/x/slash/tar.gz/98b618f:
    resolution: {tarball: https://codeload.example/x/slash/tar.gz/98b618f}
    version: 3.0.0

  third@file:third:
    resolution: {directory: third, type: directory}

  tool@1.0.0:
    resolution: {integrity: sha512-tool}

  use-store@1.2.0:
    resolution: {integrity: sha512-store}
    peerDependencies:
      react: ^16.8.0 || ^17.0.0 || ^18.0.0

snapshots:

  '@s/lib@file:packages/lib(react@18.3.1)':
    dependencies:
      kind-of: 6.0.2

  bytes@3.1.2: {}

  fsevents@2.3.2:
    optional: true

  is-number@6.0.0: {}

  is-number@7.0.0: {}

  is-odd@3.0.1(patch_hash=abc):
    dependencies:
      is-number: 6.0.0

  kind-of@6.0.2: {}

  ms@2.0.0: {}

  ms@2.1.1: {}

  react@18.3.1(supports@1.0.0):
    dependencies:
      lib: link:packages/lib
    transitivePeerDependencies:
      - supports

  slash@https://codeload.example/x/slash/tar.gz/98b618f: {}

  third@file:third:
    dependencies:
      ms: 2.1.1

  tool@1.0.0: {}

  use-store@1.2.0(react@18.3.1(supports@1.0.0)):
    dependencies:
      react: 18.3.1(supports@1.0.0)
";

    const LIB: [&str; 4] = [
        "fsevents@2.3.2",
        "is-number@6.0.0",
        "is-odd@3.0.1 with abc",
        "kind-of@6.0.2",
    ];

    #[test]
    fn importers_lead_to_snapshots() {
        let lock = ("pnpm-lock.yaml", LOCK);
        check(lock, &[], "packages/lib", Some(&LIB));
        let web = [
            "bytes@3.1.2",
            LIB[0],
            LIB[1],
            LIB[2],
            LIB[3],
            "ms@2.0.0",
            "react@18.3.1",
            "slash@3.0.0",
            "use-store@1.2.0",
        ];
        check(lock, &[], "packages/web", Some(&web));
        check(
            lock,
            &[],
            "packages/other",
            Some(&["kind-of@6.0.2", "ms@2.1.1"]),
        );
        check(lock, &[], "", Some(&[]));
        check(lock, &[], "packages/broken", None);
        check(lock, &[], "packages/none", None);
        let windows = LOCK.replace('\n', "\r\n");
        check(
            ("pnpm-lock.yaml", &windows),
            &[],
            "packages/web",
            Some(&web),
        );
        let behind = format!("---\nlockfileVersion: '9.0'\nimporters:\n  .: {{}}\n---\n{LOCK}");
        check(("pnpm-lock.yaml", &behind), &[], "packages/web", Some(&web));
    }

    #[test]
    fn what_moves_in_production_is_named() {
        for (from, to, expected) in [
            ("sha512-six", "sha512-other", &["is-number"][..]),
            ("(patch_hash=abc)", "(patch_hash=def)", &["is-odd"]),
            ("98b618f", "98b6190", &["slash"]),
            ("sha512-react", "sha512-other", &["react"]),
            ("sha512-tool", "sha512-other", &[]),
            ("sha512-seven", "sha512-other", &[]),
            ("bytes@3.1.2", "bytes@3.1.2(x@1.0.0)", &[]),
        ] {
            let lock = LOCK.replace(
                "        version: 3.1.2\n      slash",
                "        version: bytes@3.1.2\n      slash",
            );
            let found = moved(("pnpm-lock.yaml", &lock), &[], "packages/web", (from, to));
            assert_eq!(found, expected, "{from}");
        }
    }

    #[test]
    fn a_long_key_stands_before_its_colon() {
        let long = format!(
            "use-store@1.2.0(react@18.3.1(supports@1.0.0){})",
            "(y@1)".repeat(250)
        );
        let lock = LOCK
            .replace(
                "        version: 1.2.0(react@18.3.1(supports@1.0.0))",
                &format!("        version: {long}"),
            )
            .replace(
                "  use-store@1.2.0(react@18.3.1(supports@1.0.0)):\n    dependencies:",
                &format!("  ? {long}\n  : dependencies:"),
            );
        let lib_and = |name: &str| {
            let found = crate::workspace::lockfile::closure::tests::installed(
                ("pnpm-lock.yaml", &lock),
                &[],
                name,
            );
            found
                .unwrap()
                .0
                .into_keys()
                .map(|(name, _)| name)
                .collect::<Vec<String>>()
        };
        let web = lib_and("packages/web");
        assert!(web.contains(&"react".to_owned()) && web.contains(&"use-store".to_owned()));
    }

    #[test]
    fn a_line_that_pnpm_does_not_write_is_told() {
        for (from, to) in [
            (
                "    resolution: {integrity: sha512-six}",
                "    resolution: [x]",
            ),
            ("      is-number: 6.0.0", "      is-number 6.0.0"),
            ("      is-number: 6.0.0", "      is-number: *six"),
        ] {
            let failure = read("pnpm-lock.yaml", &LOCK.replace(from, to), &[]).unwrap_err();
            assert_eq!(failure.code(), "workspace::lockfile_form", "{to}");
        }
    }

    #[test]
    fn what_stands_in_brackets_at_the_end_is_no_part_of_a_package() {
        for (path, expected) in [
            ("koa@2.0.0", ("koa@2.0.0", None)),
            ("koa@2.0.0(a@1(b@2))(c@3)", ("koa@2.0.0", None)),
            ("koa@2.0.0(patch_hash=x)(c@3)", ("koa@2.0.0", Some("x"))),
            ("koa@file:a(b)/c(d@1)", ("koa@file:a(b)/c", None)),
            ("koa)", ("koa)", None)),
            ("(", ("(", None)),
            ("()", ("", None)),
            ("", ("", None)),
        ] {
            assert_eq!(without_suffix(path), expected, "{path}");
        }
    }

    #[test]
    fn a_reference_may_be_the_whole_path() {
        for (reference, expected) in [
            ("1.0.0", false),
            ("ms@2.0.0", true),
            ("@x/a@2.0.0", true),
            ("1.0.0(react@18.0.0)", false),
            ("https://example.com/@x/a", false),
            ("file:a@b", false),
            ("a@https://example.com/x", true),
        ] {
            assert_eq!(is_whole(reference), expected, "{reference}");
        }
    }
}
