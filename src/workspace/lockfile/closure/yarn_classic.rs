//! yarn classic: an entry for each declared range, and nothing of workspaces; what these need stands in their `package.json` files.

use std::collections::BTreeMap;

use super::{Content, Graph, Package};
use crate::explain::Failure;
use crate::name::RepoPath;
use crate::version::Version;
use crate::workspace::lockfile::Manifests;
use crate::workspace::lockfile::yarn_classic::{
    descriptor, from_root, is_workspace, name_of, readable,
};
use crate::workspace::package_json::{Dependency, DependencyField, PackageJson};

/// One entry: a package and the descriptors that lead to it.
#[derive(Debug, Default)]
struct Entry {
    descriptors: Vec<String>,
    version: String,
    resolved: Option<String>,
    integrity: Option<String>,
    /// What it needs: name, range, and whether it does without.
    needs: Vec<(String, String, bool)>,
}

pub(super) fn graph(file: &str, text: &str, manifests: &Manifests<'_>) -> Result<Graph, Failure> {
    readable(file, text)?;
    let entries = entries(text);
    let mut graph = Graph::default();
    for entry in &entries {
        graph.add(installed(entry));
    }
    for (directory, _) in manifests {
        let node = graph.add(None);
        graph.workspaces.insert(directory.as_str().to_owned(), node);
    }
    let found = Found::new(&entries, manifests, &mut graph);
    for (from, entry) in entries.iter().enumerate() {
        for (name, range, optional) in &entry.needs {
            let needs = Dependency {
                field: DependencyField::Dependencies,
                name: name.clone(),
                spec: range.clone(),
            };
            graph.need(from, name, &found.leads_to(&needs, None), *optional);
        }
    }
    for (directory, manifest) in manifests {
        let from = graph.workspaces[directory.as_str()];
        for needs in production(manifest) {
            let optional = needs.field == DependencyField::OptionalDependencies;
            let may_lack = optional || needs.spec.starts_with("link:");
            let to = found.leads_to(needs, Some(directory));
            graph.need(from, &needs.name, &to, may_lack);
        }
    }
    Ok(graph)
}

/// What a workspace needs in production. Its peers are whatever else is installed: the lockfile does not tell.
fn production(manifest: &PackageJson) -> impl Iterator<Item = &Dependency> {
    let is_optional = |name: &str| {
        let field = DependencyField::OptionalDependencies;
        manifest.spec(field, name).is_some()
    };
    let needs = manifest.dependencies.iter();
    needs.filter(move |one| match one.field {
        DependencyField::OptionalDependencies => true,
        DependencyField::Dependencies => !is_optional(&one.name),
        _ => false,
    })
}

/// Where a dependency leads.
struct Found<'l> {
    by_descriptor: BTreeMap<&'l str, usize>,
    /// For a name a node that leads to all its entries.
    by_name: BTreeMap<&'l str, usize>,
    /// For a name a node that leads to what `resolutions` of the root write for it; a pattern such as `a/**/b` speaks of `b`.
    resolved: BTreeMap<&'l str, usize>,
    versions: BTreeMap<&'l str, Option<&'l Version>>,
    workspaces: BTreeMap<&'l str, usize>,
    directories: BTreeMap<String, usize>,
}

impl<'l> Found<'l> {
    fn new(entries: &'l [Entry], manifests: &'l Manifests<'_>, graph: &mut Graph) -> Found<'l> {
        let mut found = Found {
            by_descriptor: BTreeMap::new(),
            by_name: BTreeMap::new(),
            resolved: BTreeMap::new(),
            versions: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            directories: graph.workspaces.clone(),
        };
        for (index, entry) in entries.iter().enumerate() {
            for descriptor in &entry.descriptors {
                found.by_descriptor.insert(descriptor, index);
                if let Some(name) = name_of(descriptor) {
                    let named = found.by_name.entry(name);
                    let named = *named.or_insert_with(|| graph.add_choice());
                    graph.lead(named, &[index], true);
                }
            }
        }
        for (directory, manifest) in manifests {
            if let Some(name) = &manifest.name {
                let index = graph.workspaces[directory.as_str()];
                found
                    .versions
                    .insert(name.as_str(), manifest.version.as_ref());
                found.workspaces.insert(name.as_str(), index);
            }
            for (pattern, range) in manifest.resolutions.iter().filter(|_| directory.is_root()) {
                let name = resolved_name(pattern);
                let descriptor = format!("{name}@{range}");
                if let Some(index) = found.by_descriptor.get(descriptor.as_str()) {
                    let resolved = found.resolved.entry(name);
                    let resolved = *resolved.or_insert_with(|| graph.add_choice());
                    graph.lead(resolved, &[*index], true);
                }
            }
        }
        found
    }

    /// Everything that a dependency may lead to. It is one package but where `resolutions` apply to a name in one place and not in
    /// another: yarn writes no more of that than their ranges.
    fn leads_to(&self, needs: &Dependency, directory: Option<&RepoPath>) -> Vec<usize> {
        let Dependency { name, spec, .. } = needs;
        let root = RepoPath::root();
        let directory = directory.unwrap_or(&root);
        if is_workspace(needs, &self.versions) {
            return self
                .workspaces
                .get(name.as_str())
                .copied()
                .into_iter()
                .collect();
        }
        let written = descriptor(directory, needs);
        let written = written.and_then(|written| self.by_descriptor.get(written.as_str()));
        let resolved = self.resolved.get(name.as_str());
        let found: Vec<usize> = written.into_iter().chain(resolved).copied().collect();
        if !found.is_empty() {
            return found;
        }
        if let Some(path) = spec.strip_prefix("link:") {
            let path = from_root(directory, path).unwrap_or_default();
            let path = path.trim_start_matches("./");
            return self.directories.get(path).copied().into_iter().collect();
        }
        self.by_name
            .get(name.as_str())
            .copied()
            .into_iter()
            .collect()
    }
}

/// The name that a pattern of `resolutions` ends in: `@x/b` of `a/**/@x/b`.
fn resolved_name(pattern: &str) -> &str {
    let Some((above, name)) = pattern.rsplit_once('/') else {
        return pattern;
    };
    let scope = above.rsplit('/').next().unwrap_or(above);
    if scope.starts_with('@') {
        &pattern[pattern.len() - scope.len() - 1 - name.len()..]
    } else {
        name
    }
}

/// Reads the lines of a lockfile: descriptors at the left, fields two spaces in, what is needed four.
fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut optional = None;
    for line in text.lines() {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        let content = content.trim_end();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let Some(entry) = entries.last_mut().filter(|_| indent > 0) else {
            entries.push(Entry {
                descriptors: descriptors(content),
                ..Entry::default()
            });
            continue;
        };
        let (key, rest) = token(content);
        let (value, _) = token(rest.trim_start());
        match (indent, key.as_str()) {
            (2, "version") => entry.version = value,
            (2, "resolved") => entry.resolved = Some(value),
            (2, "integrity") => entry.integrity = Some(value),
            (2, "dependencies:") => optional = Some(false),
            (2, "optionalDependencies:") => optional = Some(true),
            (2, _) => optional = None,
            (4, _) => entry
                .needs
                .extend(optional.map(|optional| (key, value, optional))),
            _ => {}
        }
    }
    entries
}

/// The descriptors at the left of an entry: `"@y/koa@^2.0.0", koa@1:`.
fn descriptors(line: &str) -> Vec<String> {
    let mut rest = line.strip_suffix(':').unwrap_or(line);
    let mut descriptors = Vec::new();
    while !rest.is_empty() {
        let (descriptor, after) = if rest.starts_with('"') {
            token(rest)
        } else {
            let end = rest.find(", ").unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        descriptors.push(descriptor);
        rest = after.trim_start_matches([',', ' ']);
    }
    descriptors
}

/// The first word, which may stand in quotes, and what follows it.
fn token(text: &str) -> (String, &str) {
    if !text.starts_with('"') {
        let end = text.find(' ').unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    }
    let mut escaped = false;
    let end = text[1..].find(|character| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    let (quoted, rest) = text.split_at(end.map_or(text.len(), |end| end + 2));
    let unquoted = serde_json::from_str(quoted);
    (
        unquoted.unwrap_or_else(|_| quoted.trim_matches('"').to_owned()),
        rest,
    )
}

/// What an entry is; a directory, which has no address, does not come from elsewhere.
fn installed(entry: &Entry) -> Option<Package> {
    let descriptor = entry.descriptors.first()?;
    let own = name_of(descriptor)?;
    let range = &descriptor[own.len() + 1..];
    let alias = range
        .strip_prefix("npm:")
        .map(|inside| name_of(inside).unwrap_or(inside));
    let content = match (&entry.integrity, &entry.resolved) {
        (Some(integrity), _) => Content::of_integrity(integrity),
        (None, Some(address)) => of_address(address),
        (None, None) => return None,
    };
    Some(Package {
        name: alias.unwrap_or(own).to_owned(),
        version: entry.version.clone(),
        content,
    })
}

/// An archive's address may end in its SHA-1, which is what older lockfiles have.
fn of_address(address: &str) -> Content {
    match address.rsplit_once('#') {
        Some((before, digest)) if before.strip_suffix(".tgz").is_some() && digest.len() == 40 => {
            Content::Digest {
                form: "sha1".to_owned(),
                value: digest.to_owned(),
            }
        }
        _ => Content::Address(address.to_owned()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::workspace::lockfile::closure::tests::{Files, check, moved};

    /// As yarn 1.22 writes it.
    pub(in crate::workspace::lockfile::closure) const LOCK: &str = r#"# THIS IS AN AUTOGENERATED FILE. DO NOT EDIT THIS FILE DIRECTLY.
# yarn lockfile v1


"@y/koa@^2.0.0", "@y/koa@>=2":
  version "2.1.0"
  resolved "https://registry.example/@y/koa/-/koa-2.1.0.tgz#1234567890123456789012345678901234567890"
  integrity sha512-koa
  dependencies:
    debug "4.3.4"
  optionalDependencies:
    fsevents "~2.3.2"
    gone "*"

"alias@npm:ms@2.0.0":
  version "2.0.0"
  resolved "https://registry.example/ms/-/ms-2.0.0.tgz#5608aeadfc00be6c2901df5f9861788de0d597c8"

debug@4.3.4:
  version "4.3.4"
  resolved "https://registry.example/debug/-/debug-4.3.4.tgz#1319f6579357f2338d3337d2cdd4914bb5dcc865"
  integrity sha512-debug
  dependencies:
    ms "2.1.2"

fsevents@~2.3.2:
  version "2.3.3"
  resolved "https://registry.example/fsevents/-/fsevents-2.3.3.tgz#cac6407785d03675a2a5e1a5305c697b347d90d6"
  integrity sha512-fsevents

lib@^0.1.0:
  version "0.1.1"
  resolved "https://registry.example/lib/-/lib-0.1.1.tgz#dca7aca7d1a044ecb77b4a842a06042772247098"
  integrity sha512-lib

ms@2.1.2, ms@2.1.3:
  version "2.1.3"
  resolved "https://registry.example/ms/-/ms-2.1.3.tgz#574c8138ce1d2b5861f0b44579dbadd60c6615b2"
  integrity sha512-ms

"slash@git+https://git.example/x/slash.git":
  version "3.0.0"
  resolved "git+https://git.example/x/slash.git#98b618f5a3bfcb5dd374b204868818845b87bb2f"

"third@file:third":
  version "1.0.0"
  dependencies:
    debug "4.3.4"

tool@^1.0.0:
  version "1.0.0"
  resolved "https://registry.example/tool/-/tool-1.0.0.tgz#0000000000000000000000000000000000000000"
  integrity sha512-tool
"#;
    pub(in crate::workspace::lockfile::closure) const FILES: [(&str, &str); 6] = [
        (
            "",
            r#"{"private": true, "devDependencies": {"tool": "^1.0.0"}, "resolutions": {"**/debug/ms": "2.1.3"}}"#,
        ),
        (
            "packages/web",
            r#"{"name": "web", "version": "1.0.0", "dependencies": {"lib": "^1.0.0", "alias": "npm:ms@2.0.0", "slash": "git+https://git.example/x/slash.git"},
                "devDependencies": {"tool": "^1.0.0"}, "peerDependencies": {"react": "*"}}"#,
        ),
        (
            "packages/lib",
            r#"{"name": "lib", "version": "1.0.0", "dependencies": {"@y/koa": ">=2", "web": "*"}, "optionalDependencies": {"absent": "1"}}"#,
        ),
        (
            "packages/other",
            r#"{"name": "other", "dependencies": {"lib": "^0.1.0", "third": "file:../../third", "w": "link:../web"}}"#,
        ),
        (
            "packages/pinned",
            r#"{"name": "pinned", "dependencies": {"ms": "^9.0.0"}}"#,
        ),
        (
            "packages/broken",
            r#"{"name": "broken", "dependencies": {"absent": "^9.0.0"}}"#,
        ),
    ];
    const FILES_REF: &Files<'static> = &FILES;

    const LIB: [&str; 6] = [
        "@y/koa@2.1.0",
        "debug@4.3.4",
        "fsevents@2.3.3",
        "ms@2.0.0",
        "ms@2.1.3",
        "slash@3.0.0",
    ];

    #[test]
    fn what_the_manifests_declare_is_followed() {
        let lock = ("yarn.lock", LOCK);
        check(lock, FILES_REF, "packages/web", Some(&LIB));
        check(lock, FILES_REF, "packages/lib", Some(&LIB));
        let [koa, debug, fsevents, alias, ms, slash] = LIB;
        let other = [koa, debug, fsevents, "lib@0.1.1", alias, ms, slash];
        check(lock, FILES_REF, "packages/other", Some(&other));
        check(lock, FILES_REF, "packages/pinned", Some(&[alias, ms][1..]));
        check(lock, FILES_REF, "", Some(&[]));
        check(lock, FILES_REF, "packages/broken", None);
        check(lock, FILES_REF, "packages/none", None);
        let windows = LOCK.replace('\n', "\r\n");
        check(
            ("yarn.lock", &windows),
            FILES_REF,
            "packages/web",
            Some(&LIB),
        );
    }

    #[test]
    fn what_moves_in_production_is_named() {
        for (from, to, expected) in [
            ("sha512-ms", "sha512-other", &["ms"][..]),
            ("#98b618f5", "#98b618f6", &["slash"]),
            ("ms-2.0.0.tgz#5608", "ms-2.0.0.tgz#5609", &["ms"]),
            ("  integrity sha512-koa\n", "", &[]),
            ("sha512-tool", "sha512-other", &[]),
            ("sha512-lib", "sha512-other", &[]),
            ("version \"2.3.3\"", "version \"2.3.4\"", &["fsevents"]),
        ] {
            let found = moved(("yarn.lock", LOCK), FILES_REF, "packages/web", (from, to));
            assert_eq!(found, expected, "{from}");
        }
    }

    #[test]
    fn a_pattern_speaks_of_the_package_it_ends_in() {
        for (pattern, name) in [
            ("ms", "ms"),
            ("**/ms", "ms"),
            ("a/**/@x/b", "@x/b"),
            ("@x/b", "@x/b"),
            ("@x/a/b", "b"),
        ] {
            assert_eq!(resolved_name(pattern), name);
        }
    }
}
