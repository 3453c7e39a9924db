//! npm's lockfile: `package-lock.json` and `npm-shrinkwrap.json`, versions 2 and 3.
//!
//! The edits give the bytes that `npm install --package-lock-only` gives after the same change of the `package.json` files, as long
//! as every changed range still leads to the workspace it led to before; whatever would need a resolution is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::problems::{self, Disagreements};
use super::{LIMIT, NewSpec};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::version::Version;
use crate::workspace::json::{Document, Edits, Kind, Node, path};
use crate::workspace::package_json::{Dependency, DependencyField, PackageJson};

const REFRESH: &str = "npm install --package-lock-only --ignore-scripts";

/// What a lockfile says: every package by its location, `""` for the root, `packages/web` for a workspace, `node_modules/koa` for
/// an installed one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// What messages call the file.
    pub file: String,
    /// The packages by location.
    pub packages: BTreeMap<String, LockPackage>,
}

/// One entry of a lockfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockPackage {
    /// `name`; npm writes it only where the location does not tell it.
    pub name: Option<String>,
    /// `version`.
    pub version: Option<String>,
    /// Where the package came from; of a link `None`.
    pub resolved: Option<String>,
    /// What a link points to: another location.
    pub link: Option<String>,
    /// `integrity`, as written.
    pub integrity: Option<String>,
    /// `dependencies`.
    pub dependencies: BTreeMap<String, String>,
    /// `optionalDependencies`.
    pub optional_dependencies: BTreeMap<String, String>,
    /// `peerDependencies`.
    pub peer_dependencies: BTreeMap<String, String>,
    /// `devDependencies`; only the root and workspaces have them.
    pub dev_dependencies: BTreeMap<String, String>,
    /// The peers that `peerDependenciesMeta` calls optional.
    pub optional_peers: BTreeSet<String>,
}

impl Lock {
    /// Reads a lockfile; `file` is what messages call it.
    ///
    /// # Errors
    /// Those of [`Document::parse`]; `workspace::lockfile_conflict` where a merge was not finished; `workspace::lockfile_version`
    /// for another version than 2 and 3; `workspace::field` for a value of a wrong type.
    ///
    /// ```
    /// use pkgs_action::workspace::lockfile::npm::Lock;
    /// let lock = Lock::parse("package-lock.json", r#"{"lockfileVersion": 3, "packages": {
    ///     "": {"name": "mono"}, "packages/a": {"version": "1.0.0"}, "node_modules/@x/a": {"resolved": "packages/a", "link": true}}}"#).unwrap();
    /// assert_eq!(lock.resolve("", "@x/a"), Some("packages/a"));
    /// ```
    pub fn parse(file: &str, text: &str) -> Result<Lock, Failure> {
        let document = read(file, text)?;
        Lockfile::new(&document)?.view()
    }

    /// The location that `name` leads to from the package at `from`, by Node's rules, links followed; `None` where it leads nowhere.
    #[must_use]
    pub fn resolve(&self, from: &str, name: &str) -> Option<&str> {
        let found = find(from, name, |location| self.packages.get_key_value(location));
        let (location, package) = found?;
        match &package.link {
            None => Some(location),
            Some(target) => self
                .packages
                .get_key_value(target)
                .map(|(target, _)| target.as_str()),
        }
    }

    /// The name of the package at a location: its own, not the alias it may be installed under.
    #[must_use]
    pub fn name_of<'l>(&'l self, location: &'l str) -> &'l str {
        let own = self
            .packages
            .get(location)
            .and_then(|package| package.name.as_deref());
        own.unwrap_or_else(|| installed_name(location))
    }
}

impl LockPackage {
    /// The names that it asks for in production, and whether it does without. The last of several fields wins, as in npm.
    #[must_use]
    pub fn asks(&self) -> BTreeMap<&str, bool> {
        let mut names = BTreeMap::new();
        for name in self.peer_dependencies.keys() {
            names.insert(name.as_str(), self.optional_peers.contains(name));
        }
        for name in self.dependencies.keys() {
            names.insert(name, false);
        }
        for name in self.optional_dependencies.keys() {
            names.insert(name, true);
        }
        names
    }
}

/// The name under which a location is installed: what follows the last `node_modules/`, else the last folder.
fn installed_name(location: &str) -> &str {
    match location.rsplit_once("node_modules/") {
        Some((_, name)) => name,
        None => location.rsplit('/').next().unwrap_or(location),
    }
}

/// Node's search: `node_modules/<name>` beside the package at `from`, then in each folder above that is not itself a `node_modules`.
pub(in crate::workspace) fn find<T>(
    from: &str,
    name: &str,
    mut there: impl FnMut(&str) -> Option<T>,
) -> Option<T> {
    let mut folder = from;
    let mut candidate = String::with_capacity(from.len() + "/node_modules/".len() + name.len());
    loop {
        let is_node_modules = folder == "node_modules" || folder.ends_with("/node_modules");
        if !is_node_modules {
            candidate.clear();
            if !folder.is_empty() {
                candidate.extend([folder, "/"]);
            }
            candidate.extend(["node_modules/", name]);
            if let Some(found) = there(&candidate) {
                return Some(found);
            }
        }
        if folder.is_empty() {
            return None;
        }
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

fn read<'a>(file: &str, text: &'a str) -> Result<Document<'a>, Failure> {
    // No JSON has the marks of a merge, so to look for them only gives the better reason.
    let better = |failure| match problems::refuse_conflict(file, text, REFRESH) {
        Err(conflict) => conflict,
        Ok(()) => failure,
    };
    Document::parse(file, text, LIMIT).map_err(better)
}

/// The parts of a lockfile that both reading and editing need.
struct Lockfile<'d> {
    document: &'d Document<'d>,
    version: u8,
    packages: BTreeMap<&'d str, Node<'d>>,
}

impl<'d> Lockfile<'d> {
    fn new(document: &'d Document<'d>) -> Result<Lockfile<'d>, Failure> {
        let root = document.root();
        let version_node = root.get("lockfileVersion");
        let version = match version_node.map(Node::raw) {
            Some("2") => 2,
            Some("3") => 3,
            other => {
                let shown = other.map_or("absent".to_owned(), quoted);
                let because = format!("its lockfileVersion is {shown}; 2 and 3 are supported");
                let place = version_node.unwrap_or(root).place();
                let run = format!("{REFRESH} --lockfile-version 3");
                return Err(problems::version(
                    document.file(),
                    Some(place),
                    because,
                    &run,
                ));
            }
        };
        let packages = root
            .get("packages")
            .ok_or_else(|| wrong_type(root, document.file(), "packages", "an object"))?;
        let members = members(packages, document.file(), "packages")?;
        Ok(Lockfile {
            document,
            version,
            packages: members,
        })
    }

    fn view(&self) -> Result<Lock, Failure> {
        let mut packages = BTreeMap::new();
        for (location, node) in &self.packages {
            packages.insert(
                (*location).to_owned(),
                lock_package(self.document.file(), location, *node)?,
            );
        }
        Ok(Lock {
            file: self.document.file().to_owned(),
            packages,
        })
    }

    fn stale(&self, place: Option<Place>, what: String) -> Failure {
        problems::stale(self.document.file(), place, what, REFRESH)
    }

    /// What version 2 says a second time; `None` of version 3.
    fn second(&self) -> Option<Second<'d>> {
        if self.version != 2 {
            return None;
        }
        let packages = self.document.root().get("dependencies");
        let packages = packages.into_iter().flat_map(Node::members);
        let mut links: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (location, node) in &self.packages {
            let name = location.strip_prefix("node_modules/");
            if let Some(name) = name.filter(|name| !name.contains("node_modules/"))
                && node.get("link").and_then(Node::as_bool) == Some(true)
                && let Some(target) = node.get("resolved").and_then(Node::as_str)
            {
                links.entry(target).or_default().push(name);
            }
        }
        Some(Second {
            packages: packages
                .map(|package| (package.key, package.value))
                .collect(),
            links,
        })
    }
}

/// The `dependencies` of version 2, in which older programs find the workspaces by the names of their links.
struct Second<'d> {
    packages: BTreeMap<&'d str, Node<'d>>,
    /// The names under which each workspace is linked into the root's `node_modules`, by its location.
    links: BTreeMap<&'d str, Vec<&'d str>>,
}

impl<'d> Second<'d> {
    /// Where each link of a workspace repeats the spec of a dependency.
    fn specs(&self, directory: &str, dependency: &str) -> impl Iterator<Item = Option<Node<'d>>> {
        let links = self.links.get(directory).into_iter().flatten();
        links.map(move |link| {
            let requires = self.packages.get(link)?.get("requires")?;
            let spec = requires.get(dependency)?;
            (spec.kind() == Kind::String).then_some(spec)
        })
    }
}

fn wrong_type(node: Node<'_>, file: &str, name: &str, wanted: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::field",
        format!("{name} in {file} is not {wanted}"),
    )
    .place(node.place())
    .hint(format!("run `{REFRESH}` and commit the lockfile"))
}

fn members<'d>(
    node: Node<'d>,
    file: &str,
    name: &str,
) -> Result<BTreeMap<&'d str, Node<'d>>, Failure> {
    if node.kind() != Kind::Object {
        return Err(wrong_type(node, file, name, "an object"));
    }
    Ok(node
        .members()
        .map(|member| (member.key, member.value))
        .collect())
}

fn lock_package(file: &str, location: &str, node: Node<'_>) -> Result<LockPackage, Failure> {
    let entry = Entry {
        file,
        location,
        node,
    };
    if node.kind() != Kind::Object {
        return Err(wrong_type(node, file, &entry.at(), "an object"));
    }
    let is_link = entry.flag("link")?;
    let resolved = entry.string("resolved")?;
    let (resolved, link) = if is_link {
        let target = resolved
            .ok_or_else(|| wrong_type(node, file, &path(&entry.at(), "resolved"), "a string"))?;
        (None, Some(target))
    } else {
        (resolved, None)
    };
    let specs = |field: DependencyField| entry.strings_by_name(field.as_str());
    Ok(LockPackage {
        name: entry.string("name")?,
        version: entry.string("version")?,
        resolved,
        link,
        integrity: entry.string("integrity")?,
        dependencies: specs(DependencyField::Dependencies)?,
        optional_dependencies: specs(DependencyField::OptionalDependencies)?,
        peer_dependencies: specs(DependencyField::PeerDependencies)?,
        dev_dependencies: specs(DependencyField::DevDependencies)?,
        optional_peers: entry.optional_peers()?,
    })
}

/// One entry of `packages` while it is read.
struct Entry<'d> {
    file: &'d str,
    location: &'d str,
    node: Node<'d>,
}

impl<'d> Entry<'d> {
    fn at(&self) -> String {
        path("packages", self.location)
    }

    /// What stands under a key, if anything does.
    fn field(&self, key: &str, kind: Kind, wanted: &str) -> Result<Option<Node<'d>>, Failure> {
        match self.node.get(key) {
            Some(node) if node.kind() != kind => {
                Err(wrong_type(node, self.file, &path(&self.at(), key), wanted))
            }
            found => Ok(found),
        }
    }

    fn string(&self, key: &str) -> Result<Option<String>, Failure> {
        let node = self.field(key, Kind::String, "a string")?;
        Ok(node.and_then(Node::as_str).map(str::to_owned))
    }

    fn flag(&self, key: &str) -> Result<bool, Failure> {
        let node = self.field(key, Kind::Boolean, "true or false")?;
        Ok(node.and_then(Node::as_bool) == Some(true))
    }

    fn strings_by_name(&self, key: &str) -> Result<BTreeMap<String, String>, Failure> {
        let mut strings = BTreeMap::new();
        let members = self.field(key, Kind::Object, "an object")?;
        for member in members.into_iter().flat_map(Node::members) {
            let (name, value) = (member.key, member.value);
            let text = value.as_str().ok_or_else(|| {
                let at = path(&path(&self.at(), key), name);
                wrong_type(value, self.file, &at, "a string")
            })?;
            strings.insert(name.to_owned(), text.to_owned());
        }
        Ok(strings)
    }

    fn optional_peers(&self) -> Result<BTreeSet<String>, Failure> {
        let peers = self.field("peerDependenciesMeta", Kind::Object, "an object")?;
        let peers = peers.into_iter().flat_map(Node::members);
        Ok(peers
            .filter(|peer| peer.value.get("optional").and_then(Node::as_bool) == Some(true))
            .map(|peer| peer.key.to_owned())
            .collect())
    }
}

/// Checks that a lockfile agrees with the `package.json` files as they are before a release.
///
/// `packages` are the root and all workspaces. Compared are the version and every declared spec; every workspace is linked, and
/// every dependency that is neither optional nor a peer leads somewhere.
///
/// # Errors
/// Those of [`Lock::parse`]; `workspace::lockfile_stale` for each of the first 20 disagreements, with its place in the lockfile.
///
/// ```
/// use pkgs_action::name::RepoPath;
/// use pkgs_action::workspace::{lockfile::npm::check, package_json::PackageJson};
/// let lock = r#"{"lockfileVersion": 3, "packages": {"": {"name": "a", "version": "1.0.0"}}}"#;
/// let package = PackageJson::parse("package.json", r#"{"name": "a", "version": "1.0.1"}"#).unwrap();
/// let failure = check("package-lock.json", lock, &[(RepoPath::root(), &package)]).unwrap_err();
/// assert_eq!(failure.what(), "package-lock.json has version 1.0.0 for ., its package.json has 1.0.1");
/// ```
pub fn check(file: &str, text: &str, packages: &[(RepoPath, &PackageJson)]) -> Result<(), Failure> {
    let document = read(file, text)?;
    let lockfile = Lockfile::new(&document)?;
    let lock = lockfile.view()?;
    let mut found = Disagreements::new(file, REFRESH);
    for (directory, package) in packages {
        if found.has_more() {
            break;
        }
        let node = lockfile.packages.get(directory.as_str());
        compare(&lock, (directory, package), &mut |what| {
            found.add(|| (node.map(|node| node.place()), what()));
        });
    }
    found.into_result()
}

/// Says where the lockfile and a `package.json` disagree.
fn compare(
    lock: &Lock,
    (directory, package): (&RepoPath, &PackageJson),
    say: &mut impl FnMut(&dyn Fn() -> String),
) {
    let file = &lock.file;
    let shown = directory.display();
    let Some(entry) = lock.packages.get(directory.as_str()) else {
        say(&|| format!("{file} does not know {shown}"));
        return;
    };
    let version = package.version.as_ref().map(ToString::to_string);
    if entry.version != version {
        let of =
            |version: &Option<String>| version.clone().unwrap_or_else(|| "no version".to_owned());
        say(&|| {
            let (locked, written) = (of(&entry.version), of(&version));
            format!("{file} has version {locked} for {shown}, its package.json has {written}")
        });
    }
    if let Some(name) = &package.name
        && !directory.is_root()
        && lock.resolve("", name.as_str()) != Some(directory.as_str())
    {
        say(&|| format!("{file} does not link {name} to {shown}"));
    }
    for field in DependencyField::ALL {
        compare_field(entry, field, package, &mut |name, locked, written| {
            say(&|| {
                let declared = problems::declared(directory, field.as_str(), name);
                problems::differs(file, &declared, locked, written)
            });
        });
    }
    for dependency in &package.dependencies {
        let needed = matches!(
            dependency.field,
            DependencyField::Dependencies | DependencyField::DevDependencies
        ) && package
            .spec(DependencyField::OptionalDependencies, &dependency.name)
            .is_none();
        if needed && lock.resolve(directory.as_str(), &dependency.name).is_none() {
            say(&|| {
                let Dependency { field, name, .. } = dependency;
                let declared = problems::declared(directory, field.as_str(), name);
                format!("{file} has no package for {declared}")
            });
        }
    }
}

/// Tells each name whose spec differs. npm drops from `dependencies` what `optionalDependencies` names too.
fn compare_field(
    entry: &LockPackage,
    field: DependencyField,
    package: &PackageJson,
    tell: &mut impl FnMut(&str, Option<&str>, Option<&str>),
) {
    let locked = match field {
        DependencyField::Dependencies => &entry.dependencies,
        DependencyField::OptionalDependencies => &entry.optional_dependencies,
        DependencyField::PeerDependencies => &entry.peer_dependencies,
        DependencyField::DevDependencies => &entry.dev_dependencies,
    };
    let written: BTreeMap<&str, &str> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.field == field)
        .filter(|dependency| {
            field != DependencyField::Dependencies
                || package
                    .spec(DependencyField::OptionalDependencies, &dependency.name)
                    .is_none()
        })
        .map(|dependency| (dependency.name.as_str(), dependency.spec.as_str()))
        .collect();
    let names: BTreeSet<&str> = locked
        .keys()
        .map(String::as_str)
        .chain(written.keys().copied())
        .collect();
    for name in names {
        let (in_lock, in_package) = (
            locked.get(name).map(String::as_str),
            written.get(name).copied(),
        );
        if in_lock != in_package {
            tell(name, in_lock, in_package);
        }
    }
}

/// The lockfile after a release: new versions by the package's directory, and new specs; every other byte as it was.
///
/// # Errors
/// Those of [`Lock::parse`]; `workspace::lockfile_stale` where the lockfile does not have what is to be changed;
/// `workspace::lockfile_resolution` where a spec changes that led to an installed package instead of a workspace, because only npm
/// can tell where the new one leads.
///
/// ```
/// use std::collections::BTreeMap;
/// use pkgs_action::{name::RepoPath, version::Version, workspace::lockfile::npm::edit};
/// let lock = r#"{"version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"version": "1.0.0"}}}"#;
/// let versions = BTreeMap::from([(RepoPath::root(), Version::new(1, 1, 0))]);
/// assert_eq!(edit("package-lock.json", lock, &versions, &[]).unwrap(),
///     r#"{"version": "1.1.0", "lockfileVersion": 3, "packages": {"": {"version": "1.1.0"}}}"#);
/// ```
pub fn edit(
    file: &str,
    text: &str,
    versions: &BTreeMap<RepoPath, Version>,
    specs: &[NewSpec],
) -> Result<String, Failure> {
    let document = read(file, text)?;
    let lockfile = Lockfile::new(&document)?;
    let second = lockfile.second();
    let mut edits = document.edits();
    let mut failures = Vec::new();
    for (directory, version) in versions {
        failures.extend(set_version(&lockfile, &mut edits, directory, version).err());
    }
    for new in specs {
        failures.extend(set_spec(&lockfile, second.as_ref(), &mut edits, new).err());
    }
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
    let entry = lockfile.packages.get(directory.as_str()).copied();
    let mut nodes = vec![entry.and_then(|entry| entry.get("version"))];
    if directory.is_root() {
        nodes.push(lockfile.document.root().get("version"));
    }
    for node in nodes {
        match node.filter(|node| node.kind() == Kind::String) {
            Some(node) => edits.set(node, &version.to_string()),
            None => {
                return Err(lockfile.stale(
                    entry.map(Node::place),
                    format!(
                        "{} has no version for {}",
                        lockfile.document.file(),
                        directory.display()
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn set_spec(
    lockfile: &Lockfile<'_>,
    second: Option<&Second<'_>>,
    edits: &mut Edits<'_>,
    new: &NewSpec,
) -> Result<(), Failure> {
    let (directory, field) = (&new.directory, new.field);
    let (name, spec) = (new.name.as_str(), new.spec.as_str());
    let file = lockfile.document.file();
    let stale = |place: Option<Place>| {
        let declared = problems::declared(directory, field.as_str(), name);
        lockfile.stale(place, format!("{file} has nothing for {declared}"))
    };
    let entry = *lockfile
        .packages
        .get(directory.as_str())
        .ok_or_else(|| stale(None))?;
    let declared = |field: DependencyField| {
        entry
            .get(field.as_str())
            .and_then(|object| object.get(name))
            .filter(|node| node.kind() == Kind::String)
    };
    let Some(node) = declared(field) else {
        // npm keeps only the optional one of the two, so there is nothing to change.
        let dropped = field == DependencyField::Dependencies
            && declared(DependencyField::OptionalDependencies).is_some();
        return if dropped {
            Ok(())
        } else {
            Err(stale(Some(entry.place())))
        };
    };
    if node.as_str() == Some(spec) {
        return Ok(());
    }
    refuse_installed(lockfile, directory, field, name)?;
    edits.set(node, spec);
    let second = second.filter(|_| !directory.is_root() && is_required(field, &declared));
    for required in second
        .into_iter()
        .flat_map(|second| second.specs(directory.as_str(), name))
    {
        edits.set(required.ok_or_else(|| stale(None))?, spec);
    }
    Ok(())
}

/// Whether version 2's `requires` repeats the spec of this field: peers are left out, and of several fields the one that arborist
/// loads last wins.
fn is_required<'d>(
    field: DependencyField,
    declared: &impl Fn(DependencyField) -> Option<Node<'d>>,
) -> bool {
    let stronger: &[DependencyField] = match field {
        DependencyField::PeerDependencies => return false,
        DependencyField::DevDependencies => &[],
        DependencyField::OptionalDependencies => &[DependencyField::DevDependencies],
        DependencyField::Dependencies => &[
            DependencyField::OptionalDependencies,
            DependencyField::DevDependencies,
        ],
    };
    stronger.iter().all(|field| declared(*field).is_none())
}

fn refuse_installed(
    lockfile: &Lockfile<'_>,
    directory: &RepoPath,
    field: DependencyField,
    name: &str,
) -> Result<(), Failure> {
    let found = find(directory.as_str(), name, |location| {
        lockfile.packages.get_key_value(location)
    });
    let Some((_, node)) = found else {
        return Ok(());
    };
    if node.get("link").and_then(Node::as_bool) == Some(true) {
        return Ok(());
    }
    let declared = problems::declared(directory, field.as_str(), name);
    let file = lockfile.document.file();
    Err(problems::range_leads_elsewhere(
        file,
        node.place(),
        &declared,
        REFRESH,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::json::string;
    use crate::workspace::lockfile::tests::new_spec;
    use proptest::prelude::*;

    /// What `npm install --package-lock-only --lockfile-version 3` (npm 11) wrote for three workspaces.
    const BEFORE: &str = r#"{
  "name": "mono",
  "version": "1.0.0",
  "lockfileVersion": 3,
  "requires": true,
  "packages": {
    "": {
      "name": "mono",
      "version": "1.0.0",
      "workspaces": [
        "packages/*",
        "apps/c"
      ],
      "devDependencies": {
        "@x/a": "^1.0.0"
      }
    },
    "apps/c": {
      "version": "2.0.0",
      "devDependencies": {
        "web": "1.2.3"
      },
      "peerDependencies": {
        "@x/a": ">=1.0.0"
      }
    },
    "node_modules/@x/a": {
      "resolved": "packages/a",
      "link": true
    },
    "node_modules/c": {
      "resolved": "apps/c",
      "link": true
    },
    "node_modules/web": {
      "resolved": "packages/web",
      "link": true
    },
    "packages/a": {
      "name": "@x/a",
      "version": "1.0.0",
      "license": "MIT",
      "bin": {
        "a": "x.js"
      }
    },
    "packages/web": {
      "version": "1.2.3",
      "dependencies": {
        "@x/a": "^1.0.0"
      },
      "optionalDependencies": {
        "c": "~2.0.0"
      }
    }
  }
}
"#;

    /// What npm made of it after the versions and ranges in the `package.json` files had been raised by hand.
    const AFTER: &str = r#"{
  "name": "mono",
  "version": "2.0.0",
  "lockfileVersion": 3,
  "requires": true,
  "packages": {
    "": {
      "name": "mono",
      "version": "2.0.0",
      "workspaces": [
        "packages/*",
        "apps/c"
      ],
      "devDependencies": {
        "@x/a": "^2.0.0"
      }
    },
    "apps/c": {
      "version": "2.0.1",
      "devDependencies": {
        "web": "1.3.0"
      },
      "peerDependencies": {
        "@x/a": ">=2.0.0"
      }
    },
    "node_modules/@x/a": {
      "resolved": "packages/a",
      "link": true
    },
    "node_modules/c": {
      "resolved": "apps/c",
      "link": true
    },
    "node_modules/web": {
      "resolved": "packages/web",
      "link": true
    },
    "packages/a": {
      "name": "@x/a",
      "version": "2.0.0",
      "license": "MIT",
      "bin": {
        "a": "x.js"
      }
    },
    "packages/web": {
      "version": "1.3.0",
      "dependencies": {
        "@x/a": "^2.0.0"
      },
      "optionalDependencies": {
        "c": "~2.0.1"
      }
    }
  }
}
"#;

    /// What stands in version 2 besides, before and after.
    const SECTION_BEFORE: &str = r#"  "dependencies": {
    "@x/a": {
      "version": "file:packages/a"
    },
    "c": {
      "version": "file:apps/c",
      "requires": {
        "web": "1.2.3"
      }
    },
    "web": {
      "version": "file:packages/web",
      "requires": {
        "@x/a": "^1.0.0",
        "c": "~2.0.0"
      }
    }
  }"#;
    const SECTION_AFTER: &str = r#"  "dependencies": {
    "@x/a": {
      "version": "file:packages/a"
    },
    "c": {
      "version": "file:apps/c",
      "requires": {
        "web": "1.3.0"
      }
    },
    "web": {
      "version": "file:packages/web",
      "requires": {
        "@x/a": "^2.0.0",
        "c": "~2.0.1"
      }
    }
  }"#;

    /// What npm writes with `--lockfile-version 2`: another number, and the section at the end.
    fn version_2(lock: &str, section: &str) -> String {
        lock.replace("\"lockfileVersion\": 3", "\"lockfileVersion\": 2")
            .replace("\n  }\n}\n", &format!("\n  }},\n{section}\n}}\n"))
    }

    fn at(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    fn raised_versions() -> BTreeMap<RepoPath, Version> {
        BTreeMap::from([
            (at(""), Version::new(2, 0, 0)),
            (at("packages/a"), Version::new(2, 0, 0)),
            (at("packages/web"), Version::new(1, 3, 0)),
            (at("apps/c"), Version::new(2, 0, 1)),
        ])
    }

    fn raised_specs() -> Vec<NewSpec> {
        use DependencyField::{
            Dependencies, DevDependencies, OptionalDependencies, PeerDependencies,
        };
        [
            ("", DevDependencies, "@x/a", "^2.0.0"),
            ("packages/web", Dependencies, "@x/a", "^2.0.0"),
            ("packages/web", OptionalDependencies, "c", "~2.0.1"),
            ("apps/c", PeerDependencies, "@x/a", ">=2.0.0"),
            ("apps/c", DevDependencies, "web", "1.3.0"),
        ]
        .map(|(directory, field, name, spec)| new_spec(directory, field, name, spec))
        .to_vec()
    }

    #[test]
    fn an_edit_gives_what_npm_gives() {
        let check = |before: &str, after: &str| {
            let edited = edit("lock", before, &raised_versions(), &raised_specs()).unwrap();
            assert_eq!(edited, after);
        };
        check(BEFORE, AFTER);
        check(
            &version_2(BEFORE, SECTION_BEFORE),
            &version_2(AFTER, SECTION_AFTER),
        );
        check(&BEFORE.replace('\n', "\r\n"), &AFTER.replace('\n', "\r\n"));
    }

    #[test]
    fn of_several_fields_the_strongest_is_required() {
        let lock = |optional: &str, dev: &str, required: &str| {
            format!(
                r#"{{"lockfileVersion":2,"packages":{{"":{{}},
"node_modules/a":{{"resolved":"a","link":true}},"a":{{"version":"1.0.0"}},
"node_modules/w":{{"resolved":"w","link":true}},
"w":{{"version":"1.0.0","optionalDependencies":{{"a":"{optional}"}},"devDependencies":{{"a":"{dev}"}},"peerDependencies":{{"a":"*"}}}}}},
"dependencies":{{"a":{{"version":"file:a"}},"w":{{"version":"file:w","requires":{{"a":"{required}"}}}}}}}}"#
            )
        };
        let changed = |field| {
            let specs = [new_spec("w", field, "a", "^2")];
            edit("lock", &lock("^1", "~1", "~1"), &BTreeMap::new(), &specs).unwrap()
        };
        assert_eq!(
            changed(DependencyField::OptionalDependencies),
            lock("^2", "~1", "~1")
        );
        assert_eq!(
            changed(DependencyField::DevDependencies),
            lock("^1", "^2", "^2")
        );
        assert_eq!(
            changed(DependencyField::Dependencies),
            lock("^1", "~1", "~1")
        );
        assert_eq!(
            changed(DependencyField::PeerDependencies),
            lock("^1", "~1", "~1").replace("\"*\"", "\"^2\"")
        );
    }

    fn refused(text: &str, specs: &[NewSpec]) -> Failure {
        let failure = edit("lock", text, &raised_versions(), specs).unwrap_err();
        assert_eq!(failure.exit(), Exit::Refused);
        assert!(failure.advice().is_some());
        failure
    }

    #[test]
    fn what_only_npm_can_do_is_refused() {
        let specs = raised_specs();
        assert_eq!(
            refused(r#"{"lockfileVersion": 1}"#, &[]).code(),
            "workspace::lockfile_version"
        );
        assert_eq!(refused("{}", &[]).code(), "workspace::lockfile_version");
        assert_eq!(
            refused(r#"{"lockfileVersion": 3}"#, &[]).code(),
            "workspace::field"
        );
        let conflict = refused("{\n<<<<<<< HEAD\n=======\n>>>>>>> x\n}", &[]);
        assert_eq!(conflict.code(), "workspace::lockfile_conflict");
        assert_eq!(conflict.where_in(), Some(&Place::at("lock", 2, 1)));
        let stale = refused(&BEFORE.replace("apps/c\": {", "apps/d\": {"), &specs);
        assert_eq!(stale.code(), "workspace::lockfile_stale");
        assert_eq!(stale.what(), "lock has no version for apps/c");
        assert_eq!(stale.each().count(), 3);
        let installed = BEFORE.replace(
            "    \"packages/web\": {",
            "    \"packages/web/node_modules/@x/a\": {\"version\": \"0.9.0\"},\n    \"packages/web\": {",
        );
        let resolution = refused(&installed, &specs);
        assert_eq!(resolution.code(), "workspace::lockfile_resolution");
        assert_eq!(resolution.each().count(), 1);
    }

    fn manifests(web: &str) -> Vec<(RepoPath, PackageJson)> {
        [
            ("", r#"{"name": "mono", "version": "1.0.0", "devDependencies": {"@x/a": "^1.0.0"}}"#),
            ("packages/a", r#"{"name": "@x/a", "version": "1.0.0", "bin": "x.js"}"#),
            ("packages/web", web),
            (
                "apps/c",
                r#"{"name": "c", "version": "2.0.0", "peerDependencies": {"@x/a": ">=1.0.0"}, "devDependencies": {"web": "1.2.3"}}"#,
            ),
        ]
        .map(|(directory, text)| (at(directory), PackageJson::parse("package.json", text).unwrap()))
        .to_vec()
    }

    fn checked(lock: &str, web: &str) -> Vec<String> {
        let manifests = manifests(web);
        let packages: Vec<(RepoPath, &PackageJson)> = manifests
            .iter()
            .map(|(directory, package)| (directory.clone(), package))
            .collect();
        match check("lock", lock, &packages) {
            Ok(()) => Vec::new(),
            Err(failure) => failure
                .each()
                .map(|one| {
                    assert_eq!(one.code(), "workspace::lockfile_stale");
                    one.what().to_owned()
                })
                .collect(),
        }
    }

    #[test]
    fn a_lockfile_that_disagrees_says_where() {
        let web = r#"{"name": "web", "version": "1.2.3", "dependencies": {"@x/a": "^1.0.0", "c": "^2.0.0"}, "optionalDependencies": {"c": "~2.0.0"}}"#;
        assert_eq!(checked(&version_2(BEFORE, SECTION_BEFORE), web), [""; 0]);
        assert_eq!(checked(BEFORE, web), [""; 0]);
        assert_eq!(
            checked(
                BEFORE,
                r#"{"name": "web", "version": "1.2.4", "dependencies": {"koa": "^2.0.0"}, "optionalDependencies": {"c": "*"}}"#
            ),
            [
                "lock has version 1.2.3 for packages/web, its package.json has 1.2.4",
                "lock has \"^1.0.0\" for dependencies[\"@x/a\"] of packages/web, its package.json has nothing",
                "lock has nothing for dependencies.koa of packages/web, its package.json has \"^2.0.0\"",
                "lock has \"~2.0.0\" for optionalDependencies.c of packages/web, its package.json has \"*\"",
                "lock has no package for dependencies.koa of packages/web",
            ]
        );
        assert_eq!(
            checked(
                &BEFORE.replace("\"resolved\": \"packages/a\"", "\"resolved\": \"apps/c\""),
                web
            ),
            ["lock does not link @x/a to packages/a"]
        );
    }

    #[test]
    fn the_view_has_everything() {
        let lock = Lock::parse(
            "lock",
            r#"{"lockfileVersion": 3, "packages": {
  "": {"name": "mono", "devDependencies": {"koa": "2"}},
  "packages/w": {"version": "1.0.0", "name": "@x/w", "dependencies": {"koa": "^2"}},
  "node_modules/@x/w": {"resolved": "packages/w", "link": true},
  "node_modules/koa": {"version": "2.0.0", "resolved": "tarball", "integrity": "sha512-x", "os": "linux", "cpu": ["x64", "!arm"],
    "hasInstallScript": true, "dev": true, "optional": true, "peerDependencies": {"a": "*"}, "peerDependenciesMeta": {"a": {"optional": true}}},
  "packages/w/node_modules/koa": {"version": "2.1.0", "name": "koa-fork"}}}"#,
        )
        .unwrap();
        let koa = &lock.packages["node_modules/koa"];
        assert!(koa.optional_peers.contains("a"));
        assert_eq!(
            lock.packages["node_modules/@x/w"].link.as_deref(),
            Some("packages/w")
        );
        assert_eq!(lock.resolve("", "koa"), Some("node_modules/koa"));
        assert_eq!(
            lock.resolve("packages/w", "koa"),
            Some("packages/w/node_modules/koa")
        );
        assert_eq!(lock.resolve("node_modules/koa", "@x/w"), Some("packages/w"));
        assert_eq!(lock.resolve("packages", "a"), None);
        assert_eq!(lock.name_of("packages/w/node_modules/koa"), "koa-fork");
        assert_eq!(lock.name_of("node_modules/koa"), "koa");
        assert_eq!(lock.name_of("packages/w"), "@x/w");
        let wrong = Lock::parse(
            "lock",
            r#"{"lockfileVersion": 3, "packages": {"a": {"version": 1}}}"#,
        );
        assert_eq!(
            wrong.unwrap_err().what(),
            "packages.a.version in lock is not a string"
        );
    }

    proptest! {
        #[test]
        fn an_edit_changes_only_what_it_names(
            directories in prop::collection::btree_set("[a-z]{1,4}", 1..6),
            chosen in any::<prop::sample::Index>(), spec in any::<String>(), noise in any::<String>(),
        ) {
            let directories: Vec<String> = directories.into_iter().collect();
            let chosen = chosen.index(directories.len());
            let text = |version: &str, spec: &str| {
                let entries: Vec<String> = directories.iter().enumerate().map(|(index, directory)| {
                    let (version, spec) = if index == chosen { (version, spec) } else { ("1.0.0", "^1.0.0") };
                    format!("\"p/{directory}\":{{\"x\":{},\"version\":\"{version}\",\"dependencies\":{{\"d\":{}}}}}", string(&noise), string(spec))
                }).collect();
                format!("{{\"lockfileVersion\":3,\"packages\":{{{}}}}}", entries.join(",\n\t"))
            };
            let directory = at(&format!("p/{}", directories[chosen]));
            let versions = BTreeMap::from([(directory.clone(), Version::new(9, 0, 0))]);
            let specs = [new_spec(directory.as_str(), DependencyField::Dependencies, "d", &spec)];
            prop_assert_eq!(edit("x", &text("1.0.0", "^1.0.0"), &versions, &specs).unwrap(), text("9.0.0", &spec));
        }
    }
}
