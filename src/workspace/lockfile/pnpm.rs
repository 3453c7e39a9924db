//! pnpm's lockfile: `pnpm-lock.yaml`, version 9.
//!
//! pnpm writes no versions of workspace packages, only what their `package.json` files ask for: `importers`, `catalogs`, and the peers
//! of injected packages. The file is read line by line in the one form that pnpm writes; only the values that change are replaced.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::problems::{self, Disagreements};
use super::{Changes, Manifests, NewSpec};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::workspace::catalogs::{self, Catalogs, NewEntry};
use crate::workspace::json::path;
use crate::workspace::package_json::{DependencyField, PackageJson};
use crate::workspace::yaml::encode;

const REFRESH: &str = "pnpm install --lockfile-only";

/// The sections that speak of the workspace.
const READ: [&str; 4] = ["settings", "catalogs", "overrides", "importers"];

/// A value as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Scalar<'t> {
    /// Where its text begins, in bytes.
    start: usize,
    /// Its text, quotes included.
    raw: &'t str,
    line: usize,
    pub(super) value: Cow<'t, str>,
}

/// What the file says of the workspace.
#[derive(Debug)]
pub(super) struct Lock<'t> {
    file: &'t str,
    text: &'t str,
    /// Values by the keys that lead to them, as in `importers`, `packages/a`, `dependencies`, `koa`, `specifier`.
    values: BTreeMap<Vec<String>, Scalar<'t>>,
    pub(super) importers: BTreeSet<String>,
    /// Whether a `.pnpmfile.cjs` may have changed what the `package.json` files ask for.
    has_hooks: bool,
}

/// A line `key: value`; the value is absent where a block follows.
pub(super) struct Pair<'t> {
    pub(super) key: String,
    pub(super) value: &'t str,
}

impl<'t> Lock<'t> {
    pub(super) fn parse(file: &'t str, text: &'t str) -> Result<Lock<'t>, Failure> {
        problems::refuse_size(file, text)?;
        problems::refuse_conflict(file, text, REFRESH)?;
        let mut lock = Lock {
            file,
            text,
            values: BTreeMap::new(),
            importers: BTreeSet::new(),
            has_hooks: false,
        };
        let mut version = None;
        let mut keys: Vec<(usize, String)> = Vec::new();
        for (number, start, line) in last_document(text) {
            let mark = line.len() - line.trim_start_matches('\u{feff}').len();
            let (start, line) = (start + mark, &line[mark..]);
            let content = line.trim_start_matches(' ');
            let indent = line.len() - content.len();
            if content.is_empty() {
                continue;
            }
            while keys.last().is_some_and(|(above, _)| *above >= indent) {
                keys.pop();
            }
            if !wanted(&keys, indent, content) {
                continue;
            }
            let unread = || unreadable(file, number);
            let pair = pair(content).ok_or_else(unread)?;
            keys.push((indent, pair.key));
            if let [(_, section), (_, importer)] = keys.as_slice()
                && section == "importers"
            {
                lock.importers.insert(importer.clone());
            }
            if pair.value.is_empty() || pair.value.starts_with(['{', '[']) {
                continue;
            }
            let value = decode(pair.value).ok_or_else(unread)?;
            match keys.as_slice() {
                [(_, key)] if key == "lockfileVersion" => version = Some(value),
                [(_, key)] => lock.has_hooks |= key == "pnpmfileChecksum",
                _ => {
                    let scalar = Scalar {
                        start: start + line.len() - pair.value.len(),
                        raw: pair.value,
                        line: number,
                        value,
                    };
                    let path = keys.iter().map(|(_, key)| key.clone()).collect();
                    lock.values.insert(path, scalar);
                }
            }
        }
        match version {
            Some(version) if version.starts_with("9.") => Ok(lock),
            other => {
                let shown = other.map_or("absent".to_owned(), |version| quoted(&version));
                let because = format!(
                    "its lockfileVersion is {shown}; 9.0 is supported, which pnpm 9 and newer write"
                );
                Err(problems::version(file, None, because, REFRESH))
            }
        }
    }

    fn get(&self, keys: &[&str]) -> Option<&Scalar<'t>> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.values.get(&keys)
    }

    /// The values below `keys`.
    pub(super) fn below(&self, keys: &[&str]) -> impl Iterator<Item = (&Vec<String>, &Scalar<'t>)> {
        let above: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.values
            .range(above.clone()..)
            .take_while(move |(keys, _)| keys.starts_with(&above))
    }

    fn setting(&self, name: &str) -> bool {
        self.get(&["settings", name])
            .is_some_and(|scalar| scalar.value == "true")
    }

    fn place(&self, scalar: &Scalar<'_>) -> Place {
        Place::at(self.file, scalar.line, 1)
    }

    fn stale(&self, scalar: Option<&Scalar<'_>>, what: String) -> Failure {
        let place = scalar.map(|scalar| self.place(scalar));
        problems::stale(self.file, place, what, REFRESH)
    }

    /// The names whose specs `overrides` may have replaced.
    fn overridden(&self) -> BTreeSet<&str> {
        let selectors = self.below(&["overrides"]);
        selectors
            .filter_map(|(keys, _)| Some(overridden_name(keys.get(1)?)))
            .collect()
    }

    /// What pnpm writes of a `package.json`: by name the field it stands in here, the field it comes from, and its spec.
    fn declared<'p>(&self, package: &'p PackageJson) -> BTreeMap<&'p str, Declared<'p>> {
        let mut declared = BTreeMap::new();
        for (from, field) in [
            (
                DependencyField::PeerDependencies,
                DependencyField::Dependencies,
            ),
            (
                DependencyField::DevDependencies,
                DependencyField::DevDependencies,
            ),
            (DependencyField::Dependencies, DependencyField::Dependencies),
            (
                DependencyField::OptionalDependencies,
                DependencyField::OptionalDependencies,
            ),
        ] {
            if from == DependencyField::PeerDependencies && !self.setting("autoInstallPeers") {
                continue;
            }
            for dependency in package.dependencies.iter().filter(|one| one.field == from) {
                let spec = dependency.spec.as_str();
                if !(self.setting("excludeLinksFromLockfile") && spec.starts_with("link:")) {
                    declared.insert(dependency.name.as_str(), Declared { from, field, spec });
                }
            }
        }
        declared
    }
}

struct Declared<'p> {
    from: DependencyField,
    field: DependencyField,
    spec: &'p str,
}

/// Number, first byte and text of each line of the last document: pnpm may put one about itself before it.
pub(super) fn last_document(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut start = 0;
    let lines = text
        .split_inclusive('\n')
        .enumerate()
        .map(move |(index, line)| {
            let at = start;
            start += line.len();
            (index + 1, at, line.trim_end_matches(['\n', '\r']))
        });
    let begin = text
        .match_indices("\n---")
        .filter(|(at, _)| text[at + 4..].starts_with(['\n', '\r']))
        .last()
        .map_or(0, |(at, _)| at + 4);
    lines
        .skip_while(move |(_, at, _)| *at < begin)
        .filter(|(_, _, line)| *line != "---")
}

/// Whether a line says something of the workspace; `keys` lead to the block it stands in.
fn wanted(keys: &[(usize, String)], indent: usize, content: &str) -> bool {
    let Some((_, section)) = keys.first().filter(|_| indent > 0) else {
        return !content.starts_with('-');
    };
    if section == "packages" {
        let injected = |key: &str| key.contains("@file:");
        return injected(content) && indent == 2
            || indent > 2 && keys.get(1).is_some_and(|(_, key)| injected(key));
    }
    READ.contains(&section.as_str())
}

pub(super) fn pair(content: &str) -> Option<Pair<'_>> {
    let end = match content.chars().next()? {
        quote @ ('\'' | '"') => quoted_end(content, quote)?,
        _ => content
            .find(": ")
            .or_else(|| content.strip_suffix(':').map(str::len))?,
    };
    let value = content[end..].strip_prefix(':')?;
    Some(Pair {
        key: decode(&content[..end])?.into_owned(),
        value: value.trim(),
    })
}

/// Where a quoted text at the beginning ends.
pub(super) fn quoted_end(content: &str, quote: char) -> Option<usize> {
    let bytes = content.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        let is_quote = bytes[at] == quote as u8;
        if quote == '"' && bytes[at] == b'\\'
            || is_quote && quote == '\'' && bytes.get(at + 1) == Some(&b'\'')
        {
            at += 2;
        } else if is_quote {
            return Some(at + 1);
        } else {
            at += 1;
        }
    }
    None
}

/// The text that a scalar means; `None` for a form that pnpm does not write.
pub(super) fn decode(raw: &str) -> Option<Cow<'_, str>> {
    match raw.chars().next()? {
        '\'' if quoted_end(raw, '\'') == Some(raw.len()) => {
            let inside = &raw[1..raw.len() - 1];
            Some(if inside.contains('\'') {
                Cow::Owned(inside.replace("''", "'"))
            } else {
                Cow::Borrowed(inside)
            })
        }
        '"' => serde_json::from_str(raw).ok().map(Cow::Owned),
        '\'' | '|' | '>' | '&' | '*' | '!' | '?' | '-' | '%' | '@' | '`' => None,
        _ if raw.contains(" #") || raw.contains(": ") => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// The package that a selector such as `a>b@1` speaks of.
fn overridden_name(selector: &str) -> &str {
    let name = selector.rsplit_once('>').map_or(selector, |(_, name)| name);
    match name.rfind('@').filter(|at| *at > 0) {
        Some(at) => &name[..at],
        None => name,
    }
}

pub(super) fn unreadable(file: &str, line: usize) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::lockfile_form",
        format!("{file} has a line in a form that pnpm does not write"),
    )
    .place(Place::at(file, line, 1))
    .hint(format!("run `{REFRESH}` and commit the lockfile"))
}

/// How the file calls a workspace's directory.
fn importer(directory: &RepoPath) -> &str {
    if directory.is_root() {
        "."
    } else {
        directory.as_str()
    }
}

/// Checks that a lockfile agrees with the `package.json` files and catalogs before a release, as `pnpm install --frozen-lockfile` does.
///
/// # Errors
/// `workspace::lockfile_stale` for each of the first 20 disagreements; `workspace::lockfile_conflict`, `workspace::lockfile_version`,
/// `workspace::lockfile_form` where it cannot be read.
pub fn check(
    file: &str,
    text: &str,
    manifests: &Manifests<'_>,
    catalogs: Option<&Catalogs>,
) -> Result<(), Failure> {
    let lock = Lock::parse(file, text)?;
    let mut found = Disagreements::new(file, REFRESH);
    compare_catalogs(&lock, catalogs, &mut found);
    for (directory, package) in manifests {
        if found.has_more() {
            break;
        }
        compare(&lock, directory, package, &mut found);
    }
    found.into_result()
}

fn compare_catalogs(lock: &Lock<'_>, catalogs: Option<&Catalogs>, found: &mut Disagreements<'_>) {
    for (keys, scalar) in lock.below(&["catalogs"]) {
        let [_, catalog, name, key] = keys.as_slice() else {
            continue;
        };
        if key != "specifier" {
            continue;
        }
        let written = catalogs
            .and_then(|catalogs| catalogs.get(catalog))
            .and_then(|entries| entries.get(name));
        if written.map(String::as_str) != Some(scalar.value.as_ref()) {
            found.add(|| {
                let what = format!(
                    "{} has {} for {}, pnpm-workspace.yaml has {}",
                    lock.file,
                    quoted(&scalar.value),
                    path(&path("catalogs", catalog), name),
                    written.map_or("nothing".to_owned(), |text| quoted(text)),
                );
                (Some(lock.place(scalar)), what)
            });
        }
    }
}

/// What the lockfile and a `package.json` say of one dependency.
type Sides<'l> = (Option<&'l Scalar<'l>>, Option<&'l str>);

fn compare(
    lock: &Lock<'_>,
    directory: &RepoPath,
    package: &PackageJson,
    found: &mut Disagreements<'_>,
) {
    let (file, key) = (lock.file, importer(directory));
    if !lock.importers.contains(key) {
        found.add(|| {
            let what = format!("{file} does not know {}", directory.display());
            (None, what)
        });
        return;
    }
    if lock.has_hooks {
        return;
    }
    let overridden = lock.overridden();
    let mut specs: BTreeMap<(&str, &str), Sides<'_>> = BTreeMap::new();
    for (keys, scalar) in lock.below(&["importers", key]) {
        if let [_, _, field, name, what] = keys.as_slice()
            && what == "specifier"
        {
            specs.entry((field, name)).or_default().0 = Some(scalar);
        }
    }
    for (name, declared) in lock.declared(package) {
        specs.entry((declared.field.as_str(), name)).or_default().1 = Some(declared.spec);
    }
    for ((field, name), (scalar, written)) in specs {
        let locked = scalar.map(|scalar| scalar.value.as_ref());
        if locked != written && !overridden.contains(name) {
            found.add(|| {
                let declared = problems::declared(directory, field, name);
                let what = problems::differs(file, &declared, locked, written);
                (scalar.map(|scalar| lock.place(scalar)), what)
            });
        }
    }
}

/// The lockfile after a release, byte for byte as pnpm writes it.
///
/// # Errors
/// Those of [`check`] but for what does not change; `workspace::lockfile_resolution` where a spec changes that led to an installed
/// package instead of a workspace, because only pnpm can tell where the new one leads.
pub fn edit(
    file: &str,
    text: &str,
    manifests: &Manifests<'_>,
    changes: &Changes,
) -> Result<String, Failure> {
    let lock = Lock::parse(file, text)?;
    let mut edits = Edits::default();
    let mut failures = Vec::new();
    let by_directory: BTreeMap<&RepoPath, &PackageJson> = manifests
        .iter()
        .map(|(directory, package)| (directory, *package))
        .collect();
    for new in &changes.specs {
        if let Some(package) = by_directory.get(&new.directory) {
            failures.extend(set_spec(&lock, &mut edits, package, new).err());
        }
    }
    let uses = catalog_uses(&lock);
    for new in &changes.catalogs {
        failures.extend(set_catalog(&lock, &uses, &mut edits, new).err());
    }
    let grown = changes.versions.iter().filter_map(|(directory, new)| {
        let package = by_directory.get(directory)?;
        let (name, old) = (package.name.as_ref()?, package.version.as_ref()?);
        Some((name.as_str(), (old.to_string(), new.to_string())))
    });
    set_catalog_versions(&lock, &uses, &mut edits, &grown.collect());
    match Failure::all(failures) {
        None => Ok(edits.apply(lock.text)),
        Some(failure) => Err(failure),
    }
}

/// New texts by the first byte they replace.
#[derive(Default)]
struct Edits(BTreeMap<usize, (usize, String)>);

impl Edits {
    fn set(&mut self, scalar: &Scalar<'_>, text: &str) {
        self.0
            .insert(scalar.start, (scalar.raw.len(), encode(text)));
    }

    fn apply(self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut done = 0;
        for (start, (length, new)) in self.0 {
            result.push_str(&text[done..start]);
            result.push_str(&new);
            done = start + length;
        }
        result.push_str(&text[done..]);
        result
    }
}

fn set_spec(
    lock: &Lock<'_>,
    edits: &mut Edits,
    package: &PackageJson,
    new: &NewSpec,
) -> Result<(), Failure> {
    let (directory, from) = (&new.directory, new.field);
    let (name, spec) = (new.name.as_str(), new.spec.as_str());
    if from == DependencyField::PeerDependencies
        && let Some(own) = &package.name
    {
        let injected = format!("{own}@file:{}", directory.as_str());
        if let Some(scalar) = lock.get(&["packages", &injected, from.as_str(), name]) {
            edits.set(scalar, spec);
        }
    }
    let declared = lock.declared(package);
    let Some(declared) = declared.get(name).filter(|declared| declared.from == from) else {
        return Ok(());
    };
    if lock.overridden().contains(name) {
        return Ok(());
    }
    let field = declared.field.as_str();
    let at = |key| lock.get(&["importers", importer(directory), field, name, key]);
    let what = || problems::declared(directory, field, name);
    match (at("specifier"), at("version")) {
        (Some(specifier), Some(version)) if specifier.value == declared.spec => {
            if !is_linked(version) {
                return Err(leads_elsewhere(lock, version, &what()));
            }
            edits.set(specifier, spec);
            Ok(())
        }
        (found, _) => {
            let locked = found.map(|scalar| scalar.value.as_ref());
            let what = problems::differs(lock.file, &what(), locked, Some(declared.spec));
            Err(lock.stale(found, what))
        }
    }
}

/// Whether a resolved version is the workspace's package.
fn is_linked(version: &Scalar<'_>) -> bool {
    version.value.starts_with("link:") || version.value.starts_with("file:")
}

fn leads_elsewhere(lock: &Lock<'_>, version: &Scalar<'_>, what: &str) -> Failure {
    let version_there = quoted(&version.value);
    problems::leads_elsewhere(
        lock.file,
        lock.place(version),
        what,
        format!(
            "{} has it at {version_there}, not linked to the workspace",
            lock.file
        ),
        format!(
            "write it with workspace:, or say `linkWorkspacePackages: true` in pnpm-workspace.yaml; then run `{REFRESH}` and commit"
        ),
    )
}

fn set_catalog(
    lock: &Lock<'_>,
    uses: &CatalogUses<'_>,
    edits: &mut Edits,
    new: &NewEntry,
) -> Result<(), Failure> {
    let NewEntry {
        catalog,
        name,
        range,
    } = new;
    let at = |key| lock.get(&["catalogs", catalog, name, key]);
    let what = path(&path("catalogs", catalog), name);
    let (Some(specifier), Some(version)) = (at("specifier"), at("version")) else {
        return Err(lock.stale(None, format!("{} has nothing for {what}", lock.file)));
    };
    let led_to = uses.get(&(catalog.as_str(), name.as_str()));
    let mut versions = led_to.into_iter().flatten();
    if let Some(installed) = versions.find(|version| !is_linked(version)) {
        return Err(leads_elsewhere(lock, installed, &what));
    }
    // pnpm 12 repeats the range, older ones the version that it led to.
    if version.value == specifier.value {
        edits.set(version, range);
    }
    edits.set(specifier, range);
    Ok(())
}

/// Sets the versions that the catalogs' entries lead to; `grown` are the old and the new version by the package's name.
fn set_catalog_versions(
    lock: &Lock<'_>,
    uses: &CatalogUses<'_>,
    edits: &mut Edits,
    grown: &BTreeMap<&str, (String, String)>,
) {
    for (keys, scalar) in lock.below(&["catalogs"]) {
        if let [_, catalog, name, key] = keys.as_slice()
            && key == "version"
            && let Some((old, new)) = grown.get(name.as_str())
            && scalar.value == *old
            && lock
                .get(&["catalogs", catalog, name, "specifier"])
                .is_some_and(|specifier| specifier.value != *old)
            && let Some(led_to) = uses.get(&(catalog.as_str(), name.as_str()))
            && led_to.iter().any(|version| is_linked(version))
        {
            edits.set(scalar, new);
        }
    }
}

/// Where the uses of each entry lead, by catalog and name.
type CatalogUses<'l> = BTreeMap<(&'l str, &'l str), Vec<&'l Scalar<'l>>>;

fn catalog_uses<'l>(lock: &'l Lock<'_>) -> CatalogUses<'l> {
    let mut uses = CatalogUses::new();
    for (keys, scalar) in lock.below(&["importers"]) {
        if let [_, importer, field, name, key] = keys.as_slice()
            && key == "specifier"
            && let Some(catalog) = catalogs::named(&scalar.value)
            && let Some(version) = lock.get(&["importers", importer, field, name, "version"])
        {
            uses.entry((catalog, name)).or_default().push(version);
        }
    }
    uses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;
    use crate::workspace::lockfile::tests::new_spec;

    /// What pnpm 10 writes.
    const LOCK: &str = "lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

catalogs:
  default:
    core:
      specifier: ^1.0.0
      version: 1.0.0

overrides:
  koa@1: ^2.0.0

importers:

  .: {}

  packages/core: {}

  packages/web:
    dependencies:
      '@x/peer':
        specifier: workspace:^1.0.0
        version: file:packages/peer(core@packages+core)
      core:
        specifier: 'catalog:'
        version: link:../core
      koa:
        specifier: ^2.0.0
        version: 2.0.0
    devDependencies:
      other:
        specifier: '>=1.0.0'
        version: 1.0.0

  packages/peer:
    dependencies:
      core:
        specifier: '>=1.0.0'
        version: link:../core

packages:

  '@x/peer@file:packages/peer':
    resolution: {directory: packages/peer, type: directory}
    peerDependencies:
      core: '>=1.0.0'

  koa@2.0.0:
    resolution: {integrity: sha512-x}
    deprecated: |-
      use another
";

    fn at(directory: &str) -> RepoPath {
        RepoPath::parse(directory).unwrap()
    }

    fn manifests(web: &str) -> Vec<(RepoPath, PackageJson)> {
        [
            ("", "{}"),
            ("packages/core", r#"{"name": "core", "version": "1.0.0"}"#),
            ("packages/peer", r#"{"name": "@x/peer", "version": "1.0.0", "peerDependencies": {"core": ">=1.0.0"}}"#),
            ("packages/web", web),
        ]
        .map(|(directory, text)| (at(directory), PackageJson::parse("package.json", text).unwrap()))
        .to_vec()
    }

    const WEB: &str = r#"{"name": "web", "version": "1.0.0", "dependencies": {"@x/peer": "workspace:^1.0.0", "core": "catalog:", "koa": "^1.0.0"},
        "devDependencies": {"other": ">=1.0.0", "core": "*"}}"#;

    fn borrowed(all: &[(RepoPath, PackageJson)]) -> Vec<(RepoPath, &PackageJson)> {
        all.iter()
            .map(|(directory, package)| (directory.clone(), package))
            .collect()
    }

    fn checked(lock: &str, web: &str, core: &str) -> Vec<String> {
        let catalog = BTreeMap::from([("core".to_owned(), core.to_owned())]);
        let catalogs = Catalogs::from([("default".to_owned(), catalog)]);
        let all = manifests(web);
        match check("lock", lock, &borrowed(&all), Some(&catalogs)) {
            Ok(()) => Vec::new(),
            Err(failure) => failure
                .each()
                .map(|one| {
                    assert!(
                        one.advice()
                            .is_some_and(|hint| hint.contains("pnpm install"))
                    );
                    format!("{} {}", one.code(), one.what())
                })
                .collect(),
        }
    }

    #[test]
    fn a_lockfile_that_disagrees_says_where() {
        assert_eq!(checked(LOCK, WEB, "^1.0.0"), [""; 0]);
        assert_eq!(
            checked(
                &format!("---\nlockfileVersion: '9.0'\n\n---\n{LOCK}").replace('\n', "\r\n"),
                WEB,
                "^1.0.0"
            ),
            [""; 0]
        );
        let changed = WEB
            .replace("workspace:^1.0.0", "workspace:*")
            .replace("\"other\"", "\"third\"");
        assert_eq!(
            checked(
                &LOCK.replace("  packages/core: {}\n", ""),
                &changed,
                "^1.1.0"
            ),
            [
                "workspace::lockfile_stale lock has \"^1.0.0\" for catalogs.default.core, pnpm-workspace.yaml has \"^1.1.0\"",
                "workspace::lockfile_stale lock does not know packages/core",
                "workspace::lockfile_stale lock has \"workspace:^1.0.0\" for dependencies[\"@x/peer\"] of packages/web, its package.json has \"workspace:*\"",
                "workspace::lockfile_stale lock has \">=1.0.0\" for devDependencies.other of packages/web, its package.json has nothing",
                "workspace::lockfile_stale lock has nothing for devDependencies.third of packages/web, its package.json has \">=1.0.0\"",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let code = |text: &str| {
            let found = checked(text, WEB, "^1.0.0");
            found[0].split(' ').next().unwrap_or_default().to_owned()
        };
        assert_eq!(
            code("lockfileVersion: '6.0'\n"),
            "workspace::lockfile_version"
        );
        assert_eq!(code(""), "workspace::lockfile_version");
        assert_eq!(
            code(&LOCK.replace("importers:\n", "importers:\n<<<<<<< HEAD\n")),
            "workspace::lockfile_conflict"
        );
        assert_eq!(
            code(&LOCK.replace("specifier: ^2.0.0", "specifier: &a ^2.0.0")),
            "workspace::lockfile_form"
        );
    }

    #[test]
    fn an_edit_changes_only_what_the_workspace_says() {
        use DependencyField::{Dependencies, DevDependencies, PeerDependencies};
        let all = manifests(WEB);
        let changes = Changes {
            versions: BTreeMap::from([(at("packages/core"), Version::new(2, 0, 0))]),
            specs: vec![
                new_spec("packages/web", Dependencies, "@x/peer", ">=2"),
                new_spec("packages/web", DevDependencies, "core", "^2"),
                new_spec("packages/peer", PeerDependencies, "core", "2.0"),
            ],
            catalogs: vec![NewEntry {
                catalog: "default".to_owned(),
                name: "core".to_owned(),
                range: "^2.0.0".to_owned(),
            }],
        };
        let edited = edit("lock", LOCK, &borrowed(&all), &changes).unwrap();
        let marked = format!("\u{feff}{LOCK}");
        let with_mark = edit("lock", &marked, &borrowed(&all), &changes).unwrap();
        assert_eq!(with_mark, format!("\u{feff}{edited}"));
        let expected = LOCK
            .replace(
                "      specifier: ^1.0.0\n      version: 1.0.0\n",
                "      specifier: ^2.0.0\n      version: 2.0.0\n",
            )
            .replace("workspace:^1.0.0", "'>=2'")
            .replace(
                "        specifier: '>=1.0.0'\n        version: link:",
                "        specifier: '2.0'\n        version: link:",
            )
            .replace("      core: '>=1.0.0'", "      core: '2.0'");
        assert_eq!(edited, expected);
        let other = Changes {
            specs: vec![new_spec("packages/web", DevDependencies, "other", "^2")],
            ..Changes::default()
        };
        let failure = edit("lock", LOCK, &borrowed(&all), &other).unwrap_err();
        assert_eq!(failure.code(), "workspace::lockfile_resolution");
    }
}
