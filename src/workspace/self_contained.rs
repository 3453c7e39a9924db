//! Whether an archive can run by itself: every link leads to something in it, and every package finds in it what it asks for.

use std::collections::{BTreeMap, BTreeSet};

use crate::explain::{Exit, Failure, quoted};
use crate::workspace::lockfile::closure::on_disk::Manifest;
use crate::workspace::lockfile::npm::find;

/// How many links an archive's own link may lead by.
const MOST_LINKS: usize = 40;

/// A package in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where it lies: `node_modules/koa`; the app itself is at the empty path.
    pub at: String,
    /// Its `package.json`.
    pub manifest: Manifest,
    /// The names that the lockfile knows it to ask for, where it was installed: what a lockfile leaves out on purpose does not count.
    pub asks: Option<BTreeSet<String>>,
}

/// The files and links of an archive by path; a link with its target.
pub type Paths<'a> = BTreeMap<&'a str, Option<&'a str>>;

/// What an archive lacks.
#[derive(Debug, Clone, Default)]
pub struct Lacking {
    /// What it cannot do without.
    pub problems: Vec<Failure>,
    /// Peers that nothing is there for, as `peer of package`. The workspace does without them as well.
    pub peers: Vec<String>,
}

/// The links `node_modules/.bin/<name>` that package managers make of the programs of packages: path and target of each. Where two packages
/// have a program of one name, that of a dependency of the app comes first, then that of the first package by name.
#[must_use]
pub fn programs(paths: &Paths<'_>, packages: &[Held]) -> Vec<(String, String)> {
    let app = packages.iter().find(|one| one.at.is_empty());
    let is_direct = |at: &str| {
        let name = at.strip_prefix("node_modules/");
        let needs = app.map(|app| &app.manifest.needs);
        name.zip(needs)
            .is_some_and(|(name, needs)| needs.contains_key(name))
    };
    let mut ordered: Vec<&Held> = packages.iter().collect();
    ordered.sort_by_key(|one| (!is_direct(&one.at), &one.at));
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    for package in ordered {
        let Some((folder, name)) = split(&package.at) else {
            continue;
        };
        for (program, file) in &package.manifest.programs {
            if paths.contains_key(format!("{}/{file}", package.at).as_str()) {
                let link = links.entry(format!("{folder}/.bin/{program}"));
                link.or_insert_with(|| format!("../{name}/{file}"));
            }
        }
    }
    links.into_iter().collect()
}

/// `a/node_modules/@s/b` → `a/node_modules` and `@s/b`.
fn split(at: &str) -> Option<(&str, &str)> {
    let end = at.rfind("node_modules/")? + "node_modules".len();
    Some((&at[..end], &at[end + 1..]))
}

/// What an archive of `app` lacks.
///
/// ```
/// use pkgs_action::workspace::lockfile::closure::on_disk::Manifest;
/// use pkgs_action::workspace::self_contained::{Held, Paths, lacking};
/// let manifest = Manifest::read(br#"{"dependencies": {"koa": "^2.0.0"}}"#);
/// let app = Held { at: String::new(), manifest, asks: None };
/// assert_eq!(lacking("web", &Paths::new(), &[app]).problems[0].code(), "archive::unresolved");
/// ```
#[must_use]
pub fn lacking(app: &str, paths: &Paths<'_>, packages: &[Held]) -> Lacking {
    let places: BTreeSet<&str> = packages.iter().map(|one| one.at.as_str()).collect();
    let resolves =
        |from: &str, name: &str| find(from, name, |place| places.get(place).copied()).is_some();
    let mut lacking = Lacking {
        problems: dangling(app, paths),
        peers: Vec::new(),
    };
    for package in packages {
        let shown = if package.at.is_empty() {
            app
        } else {
            &package.at
        };
        let is_known = |name: &str| package.asks.as_ref().is_none_or(|asks| asks.contains(name));
        for (name, optional) in &package.manifest.needs {
            if !optional && is_known(name) && !resolves(&package.at, name) {
                lacking.problems.push(unresolved(app, shown, name));
            }
        }
        for (name, optional) in &package.manifest.peers {
            let is_needed = package.manifest.needs.contains_key(name);
            if !optional && !is_needed && !resolves(&package.at, name) {
                lacking.peers.push(format!("{} of {shown}", quoted(name)));
            }
        }
    }
    lacking
}

fn unresolved(app: &str, package: &str, name: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "archive::unresolved",
        format!("the archive of {app} would lack {} of {package}", quoted(name)),
    )
    .because("a host installs nothing: what is not in the archive is not there")
    .hint("install anew by the lockfile; what is needed only where it is installed belongs into `optionalDependencies`")
}

fn dangling(app: &str, paths: &Paths<'_>) -> Vec<Failure> {
    let links = paths
        .iter()
        .filter_map(|(path, target)| Some((*path, (*target)?)));
    let dangling = links.filter(|(path, _)| !leads_somewhere(paths, path));
    dangling
        .map(|(path, target)| {
            Failure::new(
                Exit::Refused,
                "archive::dangling",
                format!(
                    "in the archive of {app} the link {} would lead to nothing",
                    quoted(path)
                ),
            )
            .because(format!(
                "it points to {}, which is not in the archive",
                quoted(target)
            ))
        })
        .collect()
}

/// Whether a link leads to a file or a directory in the archive.
fn leads_somewhere(paths: &Paths<'_>, path: &str) -> bool {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Some(target) = paths.get(at.as_str()) else {
            let below = format!("{at}/");
            let next = paths.range(below.as_str()..).next();
            return next.is_some_and(|(path, _)| path.starts_with(&below));
        };
        let Some(target) = target else {
            return true;
        };
        let mut parts: Vec<&str> = at.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return false;
                    }
                }
                part => parts.push(part),
            }
        }
        at = parts.join("/");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages as `at {manifest}`; one with `~` before was installed, and the lockfile knows nothing that it asks for.
    fn held(lines: &[&str]) -> Vec<Held> {
        let line = |line: &&str| {
            let (at, manifest) = line.split_once('{').unwrap();
            let asks = at.starts_with('~').then(BTreeSet::new);
            Held {
                at: at.trim_start_matches('~').trim().to_owned(),
                manifest: Manifest::read(format!("{{{manifest}").as_bytes()),
                asks,
            }
        };
        lines.iter().map(line).collect()
    }

    fn check(paths: &[(&str, Option<&str>)], packages: &[&str], problems: &[&str], peers: &[&str]) {
        let paths: Paths<'_> = paths.iter().copied().collect();
        let found = lacking("web", &paths, &held(packages));
        let told: Vec<&str> = found.problems.iter().map(Failure::what).collect();
        assert_eq!(told, problems);
        assert_eq!(found.peers, peers);
        for problem in &found.problems {
            assert_eq!(problem.exit(), Exit::Refused);
        }
    }

    #[test]
    fn what_a_package_asks_for_is_found_or_told() {
        let koa = r#"node_modules/koa {"dependencies": {"inner": "1"}}"#;
        let app = r#" {"dependencies": {"koa": "1"}, "optionalDependencies": {"fast": "1"}, "devDependencies": {"tool": "1"}}"#;
        check(&[], &[app, koa, "node_modules/inner {}"], &[], &[]);
        check(
            &[],
            &[app, koa, "node_modules/koa/node_modules/inner {}"],
            &[],
            &[],
        );
        check(
            &[],
            &[app, koa, "node_modules/other/node_modules/inner {}"],
            &["the archive of web would lack \"inner\" of node_modules/koa"],
            &[],
        );
        check(
            &[],
            &[app],
            &["the archive of web would lack \"koa\" of web"],
            &[],
        );
        // A lockfile may take out what a package asks for.
        check(&[], &[app, &format!("~{koa}")], &[], &[]);
        // The last of two fields wins.
        check(
            &[],
            &[r#" {"dependencies": {"a": "1"}, "optionalDependencies": {"a": "1"}}"#],
            &[],
            &[],
        );
    }

    #[test]
    fn a_peer_that_is_not_there_is_told_unless_it_is_optional() {
        let plugin = r#"node_modules/plugin {"peerDependencies": {"host": "1", "other": "1"}, "peerDependenciesMeta": {"other": {"optional": true}}}"#;
        check(&[], &[plugin], &[], &["\"host\" of node_modules/plugin"]);
        check(&[], &[plugin, "node_modules/host {}"], &[], &[]);
    }

    #[test]
    fn a_link_leads_to_something_in_the_archive() {
        let link = |target: &'static str| [("a/link", Some(target)), ("a/b/c", None)];
        for target in ["b/c", "b", "./b/../b/c", "../a/b"] {
            check(&link(target), &[], &[], &[]);
        }
        for target in ["c", "../b", "../../a/b", "link", "/a/b"] {
            let told = "in the archive of web the link \"a/link\" would lead to nothing";
            check(&link(target), &[], &[told], &[]);
        }
    }

    #[test]
    fn programs_are_linked_beside_their_packages() {
        let paths: Paths<'_> = [
            "node_modules/a/cli.js",
            "node_modules/b/cli.js",
            "node_modules/b/node_modules/@s/c/bin/c.js",
        ]
        .into_iter()
        .map(|path| (path, None))
        .collect();
        let packages = held(&[
            r#" {"dependencies": {"b": "1"}}"#,
            r#"node_modules/a {"bin": {"tool": "cli.js", "a": "cli.js", "gone": "gone.js"}}"#,
            r#"node_modules/b {"bin": {"tool": "./cli.js"}}"#,
            r#"node_modules/b/node_modules/@s/c {"name": "@s/c", "bin": "bin/c.js"}"#,
        ]);
        let links = programs(&paths, &packages);
        let links: Vec<String> = links
            .iter()
            .map(|(path, target)| format!("{path} -> {target}"))
            .collect();
        assert_eq!(
            links,
            [
                "node_modules/.bin/a -> ../a/cli.js",
                "node_modules/.bin/tool -> ../b/cli.js",
                "node_modules/b/node_modules/.bin/c -> ../@s/c/bin/c.js",
            ]
        );
    }
}
