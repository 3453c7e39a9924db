//! bun: what is installed at a place, found from the inside out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Content, Graph, Package, is_no_place};
use crate::explain::Failure;
use crate::workspace::json::{Kind, Node};
use crate::workspace::lockfile::bun::{Lockfile, read};
use crate::workspace::package_json::DependencyField;

pub(super) fn graph(file: &str, text: &str) -> Result<Graph, Failure> {
    let document = read(file, text)?;
    let lockfile = Lockfile::new(&document)?;
    let patches = document.root().get("patchedDependencies");
    let mut graph = Graph::default();
    for directory in lockfile.workspaces.keys() {
        let node = graph.add(None);
        graph.workspaces.insert((*directory).to_owned(), node);
    }
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, entry) in &lockfile.packages {
        let workspace = Lockfile::workspace_of(*entry);
        let node = match workspace.and_then(|directory| graph.workspaces.get(directory)) {
            Some(node) => *node,
            None => graph.add(installed(*entry, patches)),
        };
        index.insert(place, node);
    }
    for (directory, entry) in &lockfile.workspaces {
        let name = entry.get("name").and_then(Node::as_str);
        let place = name.filter(|_| !directory.is_empty()).unwrap_or_default();
        let from = graph.workspaces[*directory];
        lead(&mut graph, &lockfile, &index, (from, place), *entry);
    }
    for (place, entry) in &lockfile.packages {
        let of_workspace = Lockfile::workspace_of(*entry).is_some();
        let mut items = entry.items().filter(|item| item.kind() == Kind::Object);
        if let Some(needs) = items.next().filter(|_| !of_workspace) {
            lead(&mut graph, &lockfile, &index, (index[place], place), needs);
        }
    }
    Ok(graph)
}

/// Adds what a package needs, as bun installs it: the last of several fields wins.
fn lead(
    graph: &mut Graph,
    lockfile: &Lockfile<'_>,
    index: &BTreeMap<&str, usize>,
    (from, place): (usize, &str),
    needs: Node<'_>,
) {
    if is_no_place(place) {
        graph.nodes[from].is_incomplete = true;
        return;
    }
    let names = |field: DependencyField| {
        let members = needs
            .get(field.as_str())
            .into_iter()
            .flat_map(Node::members);
        members.map(|member| member.key).collect::<BTreeSet<&str>>()
    };
    let optional = names(DependencyField::OptionalDependencies);
    let required = names(DependencyField::Dependencies);
    let peers = names(DependencyField::PeerDependencies);
    let all: BTreeSet<&str> = [&optional, &required, &peers]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    for name in all {
        let to = lockfile.place_of(place, name).and_then(|to| index.get(to));
        let may_lack = optional.contains(name) || !required.contains(name);
        let to = to.map_or(&[][..], std::slice::from_ref);
        graph.need(from, name, to, may_lack);
    }
    graph.nodes[from].tells_peers = true;
}

/// What an entry of `packages` is: `["koa@2.0.0", registry, needs, integrity]`; from elsewhere than a registry it has no registry.
fn installed(entry: Node<'_>, patches: Option<Node<'_>>) -> Option<Package> {
    let identity = entry.items().next()?.as_str()?;
    let at = identity.get(1..)?.find('@')? + 1;
    let (name, reference) = (&identity[..at], &identity[at + 1..]);
    let is_archive = [".tgz", ".tar.gz", ".tar"]
        .iter()
        .any(|end| reference.ends_with(end));
    let local = ["workspace:", "file:", "link:", "root:"];
    if local.iter().any(|protocol| reference.starts_with(protocol)) && !is_archive {
        return None;
    }
    let last = entry.items().last().and_then(Node::as_str);
    let integrity = last.filter(|last| last.starts_with("sha") && last.contains('-'));
    let from_registry = !reference.contains([':', '/', '#']);
    let content = match integrity {
        Some(integrity) if from_registry || is_archive => Content::of_integrity(integrity),
        _ if from_registry => Content::Untold,
        _ => Content::Address(reference.to_owned()),
    };
    let patch = patches.and_then(|patches| patches.get(identity)?.as_str());
    Some(Package {
        name: name.to_owned(),
        version: match patch {
            Some(patch) => format!("{reference} with {patch}"),
            None => reference.to_owned(),
        },
        content,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use crate::workspace::lockfile::closure::tests::{check, moved};

    /// As bun 1.4 writes it.
    pub(in crate::workspace::lockfile::closure) const LOCK: &str = r#"{
  "lockfileVersion": 2,
  "configVersion": 1,
  "workspaces": {
    "": {
      "name": "mono",
      "devDependencies": {
        "is-number": "^7.0.0",
        "is-odd": "^3.0.0",
      },
    },
    "packages/broken": {
      "name": "broken",
      "dependencies": {
        "absent": "1",
      },
    },
    "packages/lib": {
      "name": "@s/lib",
      "version": "1.0.0",
      "dependencies": {
        "is-odd": "^3.0.0",
        "to-regex-range": "5.0.1",
      },
      "optionalDependencies": {
        "fsevents": "2.3.2",
      },
      "peerDependencies": {
        "react": "^18.0.0",
      },
    },
    "packages/other": {
      "name": "other",
      "dependencies": {
        "third": "file:../../third",
      },
    },
    "packages/web": {
      "name": "web",
      "version": "1.0.0",
      "dependencies": {
        "@s/lib": "^1.0.0",
        "alias": "npm:ms@2.0.0",
        "debug": "4.3.4",
        "is-number": "^6.0.0",
        "slash": "github:x/slash",
        "tar": "https://registry.example/left-pad-1.3.0.tgz",
      },
      "devDependencies": {
        "ms": "2.1.1",
      },
    },
  },
  "patchedDependencies": {
    "is-odd@3.0.1": "patches/is-odd.patch",
  },
  "packages": {
    "@s/lib": ["@s/lib@workspace:packages/lib"],

    "alias": ["ms@2.0.0", "", {}, "sha512-alias"],

    "debug": ["debug@4.3.4", "", { "dependencies": { "ms": "2.1.2" }, "peerDependencies": { "supports-color": "*" }, "optionalPeers": ["supports-color"] }, "sha512-debug"],

    "fsevents": ["fsevents@2.3.2", "", { "os": "darwin" }, "sha512-fsevents"],

    "is-number": ["is-number@7.0.0", "", {}, "sha512-seven"],

    "is-odd": ["is-odd@3.0.1", "", { "dependencies": { "is-number": "^6.0.0" } }, "sha512-odd"],

    "ms": ["ms@2.1.1", "", {}, "sha512-tool"],

    "react": ["react@18.3.1", "", {}, "sha512-react"],

    "slash": ["slash@github:x/slash#98b618f", {}, "x-slash-98b618f", "sha512-slash"],

    "tar": ["left-pad@https://registry.example/left-pad-1.3.0.tgz", {}, "sha512-tar"],

    "to-regex-range": ["to-regex-range@5.0.1", "", { "dependencies": { "is-number": "^7.0.0" } }, "sha512-range"],

    "web": ["web@workspace:packages/web"],

    "debug/ms": ["ms@2.1.2", "", {}, "sha512-deep"],

    "is-odd/is-number": ["is-number@6.0.0", "", {}, "sha512-six"],

    "other/third": ["third@file:third", { "dependencies": { "ms": "^2.1.0" } }],

    "web/is-number": ["is-number@6.0.0", "", {}, "sha512-six"],
  }
}
"#;
    const ODD: &str = "is-odd@3.0.1 with patches/is-odd.patch";

    #[test]
    fn what_is_installed_from_the_inside_out_is_followed() {
        let lock = ("bun.lock", LOCK);
        let lib = [
            "fsevents@2.3.2",
            "is-number@6.0.0",
            "is-number@7.0.0",
            ODD,
            "react@18.3.1",
            "to-regex-range@5.0.1",
        ];
        check(lock, &[], "packages/lib", Some(&lib));
        let web = [
            "debug@4.3.4",
            "fsevents@2.3.2",
            "is-number@6.0.0",
            "is-number@7.0.0",
            ODD,
            "left-pad@https://registry.example/left-pad-1.3.0.tgz",
            "ms@2.0.0",
            "ms@2.1.2",
            "react@18.3.1",
            "slash@github:x/slash#98b618f",
            "to-regex-range@5.0.1",
        ];
        check(lock, &[], "packages/web", Some(&web));
        check(lock, &[], "packages/other", Some(&["ms@2.1.1"]));
        check(lock, &[], "", Some(&[]));
        check(lock, &[], "packages/broken", None);
        check(lock, &[], "packages/none", None);
    }

    #[test]
    fn what_moves_in_production_is_named() {
        for (from, to, expected) in [
            ("sha512-deep", "sha512-other", &["ms"][..]),
            (
                "ms@2.1.1\", \"\", {}, \"sha512-tool",
                "ms@2.1.9\", \"\", {}, \"sha512-new",
                &[],
            ),
            ("98b618f", "98b6190", &["slash"]),
            ("sha512-tar", "sha512-other", &["left-pad"]),
            ("sha512-slash", "sha512-other", &[]),
            ("patches/is-odd.patch", "patches/new.patch", &["is-odd"]),
            (
                "to-regex-range@5.0.1",
                "to-regex-range@5.0.2",
                &["to-regex-range"],
            ),
            ("\"version\": \"1.0.0\"", "\"version\": \"1.1.0\"", &[]),
        ] {
            let found = moved(("bun.lock", LOCK), &[], "packages/web", (from, to));
            assert_eq!(found, expected, "{from}");
        }
    }
}
