//! npm: what is installed at a location, and what Node finds from there.

use std::collections::BTreeMap;

use super::{Content, Graph, Package, is_no_place};
use crate::explain::Failure;
use crate::workspace::lockfile::npm::{Lock, LockPackage};

pub(super) fn graph(file: &str, text: &str) -> Result<Graph, Failure> {
    let lock = Lock::parse(file, text)?;
    let mut graph = Graph::default();
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    for (location, package) in &lock.packages {
        let is_installed =
            location.starts_with("node_modules/") || location.contains("/node_modules/");
        let installed = is_installed.then(|| installed(&lock, location, package));
        let node = graph.add(installed);
        index.insert(location, node);
        if !is_installed {
            graph.workspaces.insert(location.clone(), node);
        }
    }
    for (location, package) in &lock.packages {
        if is_no_place(location) {
            graph.nodes[index[location.as_str()]].is_incomplete = true;
            continue;
        }
        for (name, optional) in package.asks() {
            let to = lock.resolve(location, name).and_then(|to| index.get(to));
            let to = to.map_or(&[][..], std::slice::from_ref);
            let may_lack = optional || !package.dependencies.contains_key(name);
            graph.lead(index[location.as_str()], to, may_lack);
        }
    }
    Ok(graph)
}

fn installed(lock: &Lock, location: &str, package: &LockPackage) -> Package {
    let content = match (&package.integrity, &package.resolved) {
        (Some(integrity), _) => Content::of_integrity(integrity),
        // A package from git has no integrity; then its address tells the same.
        (None, Some(address)) => Content::Address(address.clone()),
        (None, None) => Content::Untold,
    };
    Package {
        name: lock.name_of(location).to_owned(),
        version: package.version.clone().unwrap_or_default(),
        content,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::workspace::lockfile::closure::tests::{check, moved};

    pub(in crate::workspace::lockfile::closure) const LOCK: &str = r#"{"lockfileVersion": 3, "packages": {
        "": {"devDependencies": {"tool": "*"}},
        "packages/web": {"version": "1.0.0", "dependencies": {"lib": "^1.0.0", "alias": "npm:ms@2.0.0"}, "devDependencies": {"tool": "*"}},
        "packages/lib": {"version": "1.0.0", "dependencies": {"koa": "^2.0.0"}, "optionalDependencies": {"fast": "*", "gone": "*"}},
        "packages/broken": {"dependencies": {"absent": "*"}},
        "node_modules/web": {"resolved": "packages/web", "link": true},
        "node_modules/lib": {"resolved": "packages/lib", "link": true},
        "node_modules/alias": {"name": "ms", "version": "2.0.0", "integrity": "sha512-ms"},
        "node_modules/koa": {"version": "2.0.0", "integrity": "sha512-koa", "dependencies": {"ms": "^2.1.0"}, "peerDependencies": {"host": "*", "nowhere": "*"}},
        "node_modules/koa/node_modules/ms": {"version": "2.1.0", "integrity": "sha512-deep"},
        "node_modules/host": {"version": "1.0.0", "resolved": "git+ssh://git@example.com/host.git#abc", "dependencies": {"koa": "*"}},
        "node_modules/fast": {"version": "1.0.0", "integrity": "sha512-fast", "optional": true},
        "node_modules/tool": {"version": "1.0.0", "integrity": "sha512-tool", "dev": true}
    }}"#;

    #[test]
    fn what_node_finds_is_followed() {
        let lock = ("package-lock.json", LOCK);
        let lib = ["fast@1.0.0", "host@1.0.0", "koa@2.0.0", "ms@2.1.0"];
        check(lock, &[], "packages/lib", Some(&lib));
        let web = [
            "fast@1.0.0",
            "host@1.0.0",
            "koa@2.0.0",
            "ms@2.0.0",
            "ms@2.1.0",
        ];
        check(lock, &[], "packages/web", Some(&web));
        check(lock, &[], "", Some(&[]));
        check(lock, &[], "packages/broken", None);
        check(lock, &[], "packages/none", None);
    }

    #[test]
    fn what_moves_in_production_is_named() {
        for (from, to, expected) in [
            ("sha512-deep", "sha512-other", &["ms"][..]),
            ("host.git#abc", "host.git#def", &["host"]),
            (
                "\"version\": \"2.0.0\", \"integrity\": \"sha512-koa\"",
                "\"version\": \"2.0.1\"",
                &["koa"],
            ),
            ("sha512-tool", "sha512-other", &[]),
            (
                "packages/lib\": {\"version\": \"1.0.0\"",
                "packages/lib\": {\"version\": \"1.1.0\"",
                &[],
            ),
            ("node_modules/koa/node_modules/ms", "node_modules/ms", &[]),
        ] {
            let found = moved(("package-lock.json", LOCK), &[], "packages/web", (from, to));
            assert_eq!(found, expected, "{from}");
        }
    }
}
