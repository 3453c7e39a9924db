//! bun's lockfile: `bun.lock`, versions 1 and 2: JSON with commas before closing brackets.
//!
//! The edits give the bytes that `bun install --lockfile-only` gives after the same change of the `package.json` files, as long as
//! every changed range still leads to the workspace it led to before; whatever would need a resolution is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::problems::{self, Disagreements};
use super::{Changes, LIMIT, Manifests, NewSpec};
use crate::explain::{Failure, Place, quoted};
use crate::name::RepoPath;
use crate::version::Version;
use crate::version::range::Range;
use crate::workspace::catalogs::{self, Catalogs, NewEntry};
use crate::workspace::json::{Document, Edits, Kind, Node, path};
use crate::workspace::package_json::{DependencyField, PackageJson};

const REFRESH: &str = "bun install --lockfile-only";

/// What both checking and editing need of a lockfile.
pub(super) struct Lockfile<'d> {
    file: &'d str,
    /// The entries of `workspaces` by directory, `""` for the root.
    pub(super) workspaces: BTreeMap<&'d str, Node<'d>>,
    /// The entries of `packages` by where they are installed: `koa`, or `web/koa` below another.
    pub(super) packages: BTreeMap<&'d str, Node<'d>>,
    /// The ranges of catalogs by catalog and package.
    catalogs: BTreeMap<(&'d str, &'d str), Node<'d>>,
}

pub(super) fn read<'a>(file: &str, text: &'a str) -> Result<Document<'a>, Failure> {
    problems::refuse_conflict(file, text, REFRESH)?;
    Document::parse_with_trailing_commas(file, text, LIMIT)
}

impl<'d> Lockfile<'d> {
    pub(super) fn new(document: &'d Document<'d>) -> Result<Lockfile<'d>, Failure> {
        let root = document.root();
        let file = document.file();
        let version = root.get("lockfileVersion").map(Node::raw);
        if !matches!(version, Some("1" | "2")) {
            let shown = version.map_or("absent".to_owned(), quoted);
            let because = format!("its lockfileVersion is {shown}; 1 and 2 are supported");
            return Err(problems::version(file, None, because, REFRESH));
        }
        let members = |key: &str| {
            let members = root.get(key).into_iter().flat_map(Node::members);
            members.map(|member| (member.key, member.value)).collect()
        };
        let named = root.get("catalogs").into_iter().flat_map(Node::members);
        let named = named.map(|member| (member.key, member.value));
        let unnamed = root.get("catalog").map(|node| ("default", node));
        let catalogs = named.chain(unnamed).flat_map(|(catalog, node)| {
            let members = node.members();
            members.map(move |member| ((catalog, member.key), member.value))
        });
        Ok(Lockfile {
            file,
            workspaces: members("workspaces"),
            packages: members("packages"),
            catalogs: catalogs.collect(),
        })
    }

    /// What the package in a workspace finds under `name`.
    fn found_by(&self, directory: &str, entry: Node<'d>, name: &str) -> Option<Node<'d>> {
        let own_name = entry.get("name").and_then(Node::as_str);
        let from = own_name.filter(|_| !directory.is_empty());
        self.resolve(from.unwrap_or_default(), name)
    }

    fn stale(&self, place: Option<Place>, what: String) -> Failure {
        problems::stale(self.file, place, what, REFRESH)
    }

    /// What `name` leads to from what is installed at `from`.
    fn resolve(&self, from: &str, name: &str) -> Option<Node<'d>> {
        self.packages.get(self.place_of(from, name)?).copied()
    }

    /// Where what `name` leads to from `from` is installed: bun's search from the innermost outwards.
    pub(super) fn place_of(&self, from: &str, name: &str) -> Option<&'d str> {
        let found = |place: &str| self.packages.get_key_value(place).map(|(place, _)| *place);
        let mut place = from;
        while !place.is_empty() {
            if let Some(found) = found(&format!("{place}/{name}")) {
                return Some(found);
            }
            place = outer(place);
        }
        found(name)
    }

    /// The directory of the workspace that an entry of `packages` is.
    pub(super) fn workspace_of(entry: Node<'d>) -> Option<&'d str> {
        let identity = entry.items().next()?.as_str()?;
        identity
            .rsplit_once("@workspace:")
            .map(|(_, directory)| directory)
    }
}

/// The place that the package at `place` is installed below; empty at the top.
fn outer(place: &str) -> &str {
    let outside = place.rsplit_once('/').map_or("", |(outside, _)| outside);
    let scope = outside.rsplit('/').next().unwrap_or(outside);
    if scope.starts_with('@') {
        outside[..outside.len() - scope.len()].trim_end_matches('/')
    } else {
        outside
    }
}

/// Checks that a lockfile agrees with the `package.json` files, and the catalogs in the root's, as they are before a release.
///
/// # Errors
/// Those of [`Document::parse`] but for commas before closing brackets; `workspace::lockfile_conflict`,
/// `workspace::lockfile_version`; `workspace::lockfile_stale` for each of the first 20 disagreements.
pub fn check(
    file: &str,
    text: &str,
    manifests: &Manifests<'_>,
    catalogs: Option<&Catalogs>,
) -> Result<(), Failure> {
    let document = read(file, text)?;
    let lockfile = Lockfile::new(&document)?;
    let mut found = Disagreements::new(file, REFRESH);
    compare_catalogs(&lockfile, catalogs, &mut found);
    for (directory, package) in manifests {
        if found.has_more() {
            break;
        }
        match lockfile.workspaces.get(directory.as_str()) {
            Some(entry) => compare(file, *entry, (directory, package), &mut found),
            None => found.add(|| {
                let what = format!("{file} does not know {}", directory.display());
                (None, what)
            }),
        }
    }
    found.into_result()
}

/// What the lockfile and a catalog say of one package.
type Sides<'l> = (Option<Node<'l>>, Option<&'l str>);

fn compare_catalogs(
    lockfile: &Lockfile<'_>,
    catalogs: Option<&Catalogs>,
    found: &mut Disagreements<'_>,
) {
    let mut ranges: BTreeMap<(&str, &str), Sides<'_>> = BTreeMap::new();
    for (key, node) in &lockfile.catalogs {
        ranges.entry(*key).or_default().0 = Some(*node);
    }
    for (catalog, entries) in catalogs.into_iter().flatten() {
        for (name, range) in entries {
            ranges.entry((catalog, name)).or_default().1 = Some(range);
        }
    }
    for ((catalog, name), (node, written)) in ranges {
        let locked = node.and_then(Node::as_str);
        if locked != written {
            found.add(|| {
                let shown = path(&path("catalogs", catalog), name);
                let what = problems::differs(lockfile.file, &shown, locked, written);
                (node.map(Node::place), what)
            });
        }
    }
}

fn compare(
    file: &str,
    entry: Node<'_>,
    (directory, package): (&RepoPath, &PackageJson),
    found: &mut Disagreements<'_>,
) {
    let locked = entry.get("version").and_then(Node::as_str);
    let written = package.version.as_ref().map(ToString::to_string);
    // bun writes no version of the root.
    if !directory.is_root() && locked != written.as_deref() {
        let of = |version: Option<&str>| version.map_or("no version".to_owned(), quoted);
        let what = format!(
            "{file} has {} for the version of {}, its package.json has {}",
            of(locked),
            directory.display(),
            of(written.as_deref())
        );
        found.add(|| (Some(entry.place()), what));
    }
    for field in DependencyField::ALL {
        let object = entry.get(field.as_str());
        let locked: BTreeMap<&str, &str> = object
            .into_iter()
            .flat_map(Node::members)
            .filter_map(|member| Some((member.key, member.value.as_str()?)))
            .collect();
        let names: BTreeSet<&str> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.field == field)
            .map(|dependency| dependency.name.as_str())
            .chain(locked.keys().copied())
            .collect();
        for name in names {
            let (in_lock, in_package) = (locked.get(name).copied(), package.spec(field, name));
            if in_lock != in_package {
                found.add(|| {
                    let declared = problems::declared(directory, field.as_str(), name);
                    let what = problems::differs(file, &declared, in_lock, in_package);
                    (Some(entry.place()), what)
                });
            }
        }
    }
}

/// The lockfile after a release; every other byte as it was.
///
/// # Errors
/// Those of [`check`] for reading; `workspace::lockfile_stale` where the lockfile does not have what is to be changed;
/// `workspace::lockfile_resolution` where a changed spec led to an installed package instead of a workspace, or where an installed
/// package needs the old version of a workspace: only bun can tell where they lead afterwards.
///
/// ```
/// use std::collections::BTreeMap;
/// use pkgs_action::{name::RepoPath, version::Version, workspace::lockfile::{Changes, bun::edit}};
/// let lock = r#"{"lockfileVersion": 2, "workspaces": {"": {}, "a": {"name": "a", "version": "1.0.0",},},}"#;
/// let versions = BTreeMap::from([(RepoPath::parse("a").unwrap(), Version::new(1, 1, 0))]);
/// let changes = Changes { versions, ..Changes::default() };
/// assert_eq!(edit("bun.lock", lock, &changes).unwrap(),
///     r#"{"lockfileVersion": 2, "workspaces": {"": {}, "a": {"name": "a", "version": "1.1.0",},},}"#);
/// ```
pub fn edit(file: &str, text: &str, changes: &Changes) -> Result<String, Failure> {
    let Changes {
        versions, specs, ..
    } = changes;
    let document = read(file, text)?;
    let lockfile = Lockfile::new(&document)?;
    let mut edits = document.edits();
    let mut failures = Vec::new();
    // bun writes no version of the root.
    for (directory, version) in versions
        .iter()
        .filter(|(directory, _)| !directory.is_root())
    {
        failures.extend(set_version(&lockfile, &mut edits, directory, version).err());
    }
    for new in specs {
        failures.extend(set_spec(&lockfile, &mut edits, new).err());
    }
    for new in &changes.catalogs {
        failures.extend(set_catalog(&lockfile, &mut edits, new).err());
    }
    failures.extend(still_needed(&lockfile, versions));
    match Failure::all(failures) {
        None => Ok(edits.apply()),
        Some(failure) => Err(failure),
    }
}

fn set_version(
    lockfile: &Lockfile<'_>,
    edits: &mut Edits<'_>,
    directory: &RepoPath,
    version: &Version,
) -> Result<(), Failure> {
    let entry = lockfile.workspaces.get(directory.as_str()).copied();
    let node = entry
        .and_then(|entry| entry.get("version"))
        .filter(|node| node.kind() == Kind::String);
    let Some(node) = node else {
        let what = format!(
            "{} has no version for {}",
            lockfile.file,
            directory.display()
        );
        return Err(lockfile.stale(entry.map(Node::place), what));
    };
    edits.set(node, &version.to_string());
    Ok(())
}

fn set_spec(lockfile: &Lockfile<'_>, edits: &mut Edits<'_>, new: &NewSpec) -> Result<(), Failure> {
    let NewSpec {
        directory,
        field,
        name,
        spec,
    } = new;
    let declared = problems::declared(directory, field.as_str(), name);
    let entry = lockfile.workspaces.get(directory.as_str()).copied();
    let node = entry
        .and_then(|entry| entry.get(field.as_str())?.get(name))
        .filter(|node| node.kind() == Kind::String);
    let Some(node) = node else {
        let what = format!("{} has nothing for {declared}", lockfile.file);
        return Err(lockfile.stale(entry.map(Node::place), what));
    };
    let found = entry.and_then(|entry| lockfile.found_by(directory.as_str(), entry, name));
    if let Some(found) = found.filter(|found| Lockfile::workspace_of(*found).is_none()) {
        return Err(problems::range_leads_elsewhere(
            lockfile.file,
            found.place(),
            &declared,
            REFRESH,
        ));
    }
    edits.set(node, spec);
    Ok(())
}

fn set_catalog(
    lockfile: &Lockfile<'_>,
    edits: &mut Edits<'_>,
    new: &NewEntry,
) -> Result<(), Failure> {
    let NewEntry {
        catalog,
        name,
        range,
    } = new;
    let shown = path(&path("catalogs", catalog), name);
    let key = (catalog.as_str(), name.as_str());
    let node = lockfile.catalogs.get(&key).copied();
    let Some(node) = node.filter(|node| node.kind() == Kind::String) else {
        let what = format!("{} has nothing for {shown}", lockfile.file);
        return Err(lockfile.stale(node.map(Node::place), what));
    };
    for (directory, entry) in &lockfile.workspaces {
        let uses = DependencyField::ALL.into_iter().any(|field| {
            let spec = entry.get(field.as_str()).and_then(|specs| specs.get(name));
            let spec = spec.and_then(Node::as_str);
            spec.and_then(catalogs::named) == Some(catalog)
        });
        let found = lockfile.found_by(directory, *entry, name);
        let installed = found.filter(|found| Lockfile::workspace_of(*found).is_none());
        if let Some(installed) = installed.filter(|_| uses) {
            let place = installed.place();
            return Err(problems::range_leads_elsewhere(
                lockfile.file,
                place,
                &shown,
                REFRESH,
            ));
        }
    }
    edits.set(node, range);
    Ok(())
}

/// The installed packages that need a workspace in a version that it leaves.
fn still_needed(lockfile: &Lockfile<'_>, versions: &BTreeMap<RepoPath, Version>) -> Vec<Failure> {
    let mut failures = Vec::new();
    let installed = lockfile
        .packages
        .iter()
        .filter(|(_, entry)| Lockfile::workspace_of(**entry).is_none());
    for (place, entry) in installed {
        let needs = entry
            .items()
            .filter(|item| item.kind() == Kind::Object)
            .flat_map(|item| {
                ["dependencies", "optionalDependencies"]
                    .into_iter()
                    .filter_map(move |field| item.get(field))
            })
            .flat_map(Node::members);
        for need in needs {
            let leads_to = lockfile
                .resolve(place, need.key)
                .and_then(Lockfile::workspace_of)
                .and_then(|directory| versions.get(&RepoPath::parse(directory).ok()?));
            let range = need.value.as_str().unwrap_or_default();
            let Some(version) = leads_to else { continue };
            if Range::parse(range).is_ok_and(|range| !range.contains(version)) {
                failures.push(problems::resolution(
                    lockfile.file,
                    Some(need.place()),
                    format!(
                        "{} needs {} {}, which the workspace no longer is at {version}",
                        quoted(place),
                        quoted(need.key),
                        quoted(range)
                    ),
                    "only a registry can tell what it gets instead".to_owned(),
                    format!(
                        "update {} or pin what it needs, run `{REFRESH}` and commit the lockfile",
                        quoted(place)
                    ),
                ));
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Exit;
    use crate::workspace::json::string;
    use crate::workspace::lockfile::tests::new_spec;
    use proptest::prelude::*;

    /// As bun 1.4 writes it, of a workspace with an installed package that depends on another.
    const BEFORE: &str = r#"{
  "lockfileVersion": 2,
  "configVersion": 1,
  "workspaces": {
    "": {
      "name": "mono",
      "devDependencies": {
        "@x/a": "^1.0.0",
      },
    },
    "packages/a": {
      "name": "@x/a",
      "version": "1.0.0",
    },
    "packages/web": {
      "name": "web",
      "version": "1.2.3",
      "dependencies": {
        "@x/a": "^1.0.0",
      },
      "devDependencies": {
        "@x/a": "workspace:^1.0.0",
        "d": "0.9.0",
      },
      "peerDependencies": {
        "@x/a": ">=1.0.0",
      },
      "optionalPeers": [
        "@x/a",
      ],
    },
  },
  "packages": {
    "@x/a": ["@x/a@workspace:packages/a"],

    "d": ["d@2.0.0", "", { "dependencies": { "@x/a": "^1.0.0" } }, "sha512-x"],

    "web": ["web@workspace:packages/web"],

    "web/d": ["d@0.9.0", "", {}, "sha512-y"],
  }
}
"#;
    const WEB: &str = r#"{"name": "web", "version": "1.2.3", "dependencies": {"@x/a": "^1.0.0"},
        "devDependencies": {"@x/a": "workspace:^1.0.0", "d": "0.9.0"}, "peerDependencies": {"@x/a": ">=1.0.0"}}"#;

    use DependencyField::{Dependencies, DevDependencies, PeerDependencies};

    fn at(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    fn changes(
        versions: &[(&str, &str)],
        specs: &[(&str, DependencyField, &str, &str)],
    ) -> Changes {
        let mut changes = Changes::default();
        for (directory, version) in versions {
            let version = Version::parse(version).unwrap();
            changes.versions.insert(at(directory), version);
        }
        for (directory, field, name, spec) in specs {
            changes.specs.push(new_spec(directory, *field, name, spec));
        }
        changes
    }

    #[test]
    fn versions_and_specs_change_and_nothing_else() {
        let all = changes(
            &[
                ("", "9.0.0"),
                ("packages/a", "1.1.0"),
                ("packages/web", "2.0.0"),
            ],
            &[
                ("", DevDependencies, "@x/a", "^1.1.0"),
                ("packages/web", Dependencies, "@x/a", "~1.1.0"),
                ("packages/web", DevDependencies, "@x/a", "workspace:^1.1.0"),
                ("packages/web", PeerDependencies, "@x/a", ">=1.1.0"),
            ],
        );
        let after = BEFORE
            .replacen("\"@x/a\": \"^1.0.0\"", "\"@x/a\": \"^1.1.0\"", 1)
            .replacen(
                "\"@x/a\": \"^1.0.0\",\n      },\n      \"dev",
                "\"@x/a\": \"~1.1.0\",\n      },\n      \"dev",
                1,
            )
            .replace("workspace:^1.0.0", "workspace:^1.1.0")
            .replace(">=1.0.0", ">=1.1.0")
            .replace("\"version\": \"1.0.0\"", "\"version\": \"1.1.0\"")
            .replace("\"version\": \"1.2.3\"", "\"version\": \"2.0.0\"");
        assert_eq!(edit("bun.lock", BEFORE, &all).unwrap(), after);
    }

    fn refused(text: &str, changes: &Changes) -> Vec<String> {
        let failure = edit("bun.lock", text, changes).unwrap_err();
        failure
            .each()
            .map(|one| {
                assert_eq!(one.exit(), Exit::Refused);
                assert!(one.advice().is_some());
                format!("{}: {}", one.code(), one.what())
            })
            .collect()
    }

    #[test]
    fn what_only_bun_can_do_is_refused() {
        let all = changes(
            &[("packages/a", "2.0.0"), ("packages/x", "1.0.0")],
            &[
                ("packages/web", DevDependencies, "d", "1.0.0"),
                ("packages/web", PeerDependencies, "d", "1.0.0"),
            ],
        );
        assert_eq!(
            refused(BEFORE, &all),
            [
                "workspace::lockfile_stale: bun.lock has no version for packages/x",
                "workspace::lockfile_resolution: devDependencies.d of packages/web would change, but leads to an installed package",
                "workspace::lockfile_stale: bun.lock has nothing for peerDependencies.d of packages/web",
                "workspace::lockfile_resolution: \"d\" needs \"@x/a\" \"^1.0.0\", which the workspace no longer is at 2.0.0",
            ]
        );
        let nothing = Changes::default();
        for (text, said) in [
            (
                "{\n<<<<<<< HEAD\n}",
                "workspace::lockfile_conflict: bun.lock holds an unfinished merge",
            ),
            (
                "{\"lockfileVersion\": 3}",
                "workspace::lockfile_version: bun.lock has a version that is not supported",
            ),
            (
                "{}",
                "workspace::lockfile_version: bun.lock has a version that is not supported",
            ),
            ("[1,,]", "workspace::json_syntax: bun.lock is not JSON"),
        ] {
            assert_eq!(refused(text, &nothing), [said], "{text}");
        }
    }

    #[test]
    fn a_lockfile_that_disagrees_says_where() {
        let checked = |web: &str| {
            let web = PackageJson::parse("p", web).unwrap();
            match check("bun.lock", BEFORE, &[(at("packages/web"), &web)], None) {
                Ok(()) => Vec::new(),
                Err(failure) => failure.each().map(|one| one.what().to_owned()).collect(),
            }
        };
        assert_eq!(checked(WEB), [""; 0]);
        assert_eq!(
            checked(
                &WEB.replace("\"d\": \"0.9.0\"", "\"e\": \"1\"")
                    .replace("1.2.3", "1.2.4")
            ),
            [
                "bun.lock has \"1.2.3\" for the version of packages/web, its package.json has \"1.2.4\"",
                "bun.lock has \"0.9.0\" for devDependencies.d of packages/web, its package.json has nothing",
                "bun.lock has nothing for devDependencies.e of packages/web, its package.json has \"1\"",
            ]
        );
        let unknown = PackageJson::parse("p", "{}").unwrap();
        let failure = check("bun.lock", BEFORE, &[(at("packages/x"), &unknown)], None).unwrap_err();
        assert_eq!(failure.what(), "bun.lock does not know packages/x");
    }

    #[test]
    fn installed_packages_are_found_from_the_inside_out() {
        for (place, expected) in [
            ("a/b", "a"),
            ("@x/a/b", "@x/a"),
            ("a/@x/b", "a"),
            ("@x/b", ""),
            ("a", ""),
        ] {
            assert_eq!(outer(place), expected, "{place}");
        }
    }

    /// As bun 1.4 writes it.
    const CATALOGS: &str = r#"{
  "lockfileVersion": 2,
  "workspaces": {
    "": {
      "name": "mono",
      "devDependencies": {
        "a": "catalog:",
        "koa": "catalog:old",
      },
    },
    "packages/a": {
      "name": "a",
      "version": "1.0.0",
    },
  },
  "catalog": {
    "a": "^1.0.0",
  },
  "catalogs": {
    "old": {
      "a": "~1.0.0",
      "koa": "2",
    },
  },
  "packages": {
    "a": ["a@workspace:packages/a"],

    "koa": ["koa@2.0.0", "", {}, "sha512-x"],
  }
}
"#;

    #[test]
    fn catalogs_are_kept_as_the_package_json_has_them() {
        let catalogs = |text: &str| catalogs::package_json::read("package.json", text).unwrap();
        let checked = |text: &str| {
            let root =
                r#"{"name": "mono", "devDependencies": {"a": "catalog:", "koa": "catalog:old"}}"#;
            let root = PackageJson::parse("package.json", root).unwrap();
            let found = check(
                "bun.lock",
                CATALOGS,
                &[(at(""), &root)],
                Some(&catalogs(text)),
            );
            let failure = found.err();
            let each = failure.iter().flat_map(Failure::each);
            each.map(|one| format!("{} {}", one.where_in().unwrap(), one.what()))
                .collect::<Vec<String>>()
        };
        let agreeing =
            r#"{"catalog": {"a": "^1.0.0"}, "catalogs": {"old": {"a": "~1.0.0", "koa": "2"}}}"#;
        assert_eq!(checked(agreeing), [""; 0]);
        let drifted = agreeing
            .replace("^1.0.0", "^1.0.1")
            .replace("\"koa\"", "\"b\"");
        assert_eq!(
            checked(&drifted),
            [
                "bun.lock:17:10 bun.lock has \"^1.0.0\" for catalogs.default.a, its package.json has \"^1.0.1\"",
                "bun.lock bun.lock has nothing for catalogs.old.b, its package.json has \"2\"",
                "bun.lock:22:14 bun.lock has \"2\" for catalogs.old.koa, its package.json has nothing",
            ]
        );
        let edited = |catalog: &str, name: &str| {
            let entry = NewEntry {
                catalog: catalog.to_owned(),
                name: name.to_owned(),
                range: "^3".to_owned(),
            };
            let catalogs = vec![entry];
            let changes = Changes {
                catalogs,
                ..Changes::default()
            };
            edit("bun.lock", CATALOGS, &changes).map_err(|failure| failure.code())
        };
        assert_eq!(
            edited("default", "a").unwrap(),
            CATALOGS.replace("^1.0.0", "^3")
        );
        assert_eq!(
            edited("old", "a").unwrap(),
            CATALOGS.replace("~1.0.0", "^3")
        );
        assert_eq!(edited("old", "koa"), Err("workspace::lockfile_resolution"));
        assert_eq!(edited("old", "b"), Err("workspace::lockfile_stale"));
    }

    proptest! {
        #[test]
        fn an_edit_changes_only_what_it_names(spec in any::<String>(), noise in any::<String>()) {
            let lock = |version: &str, spec: &str| format!(
                "{{\"x\":{noise},\"lockfileVersion\": 1, \"workspaces\": {{\"w\":{{\"version\":\"{version}\",\"dependencies\":{{\"d\": {},}},\"x\":[{noise},],}},}},}}",
                string(spec), noise = string(&noise)
            );
            let all = changes(&[("w", "9.0.0")], &[("w", Dependencies, "d", &spec)]);
            prop_assert_eq!(edit("bun.lock", &lock("1.0.0", "^1.0.0"), &all).unwrap(), lock("9.0.0", &spec));
        }
    }
}
