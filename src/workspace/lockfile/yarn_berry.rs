//! yarn's lockfile since yarn 2: `yarn.lock` with `__metadata`, versions 6 (yarn 3) to 10.
//!
//! An entry of a workspace has no version. What it has are the declared dependencies and, at its left, every descriptor that leads to
//! it. The edits give the bytes that `yarn install --mode=update-lockfile` gives after the same change of the `package.json` files, as
//! long as every changed range still leads to the workspace it led to before; whatever would need a resolution is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range as Span;

use super::problems::{self, Disagreements};
use super::{Changes, Manifests, NewSpec};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::version::Version;
use crate::version::range::Range;
use crate::workspace::catalogs::{self, Catalogs, NewEntry};
use crate::workspace::json::{path, splice, string};
use crate::workspace::package_json::{DependencyField, PackageJson};

const REFRESH: &str = "yarn install --mode=update-lockfile";

/// What the resolution of a workspace has after its name, before its directory.
const WORKSPACE: &str = "@workspace:";

/// A lockfile cut into its entries.
#[derive(Debug)]
pub(super) struct Lockfile<'a> {
    file: &'a str,
    text: &'a str,
    pub(super) entries: Vec<Entry>,
    /// Entries of workspaces by directory, `.` for the root.
    workspaces: BTreeMap<String, usize>,
    /// The entry that a descriptor leads to.
    pub(super) leads_to: BTreeMap<String, usize>,
}

/// One entry: a package and what leads to it.
#[derive(Debug, Default)]
pub(super) struct Entry {
    line: usize,
    /// From its first byte to the end of its last line.
    span: Span<usize>,
    /// Its left side up to the colon.
    key_span: Span<usize>,
    key: String,
    pub(super) resolution: String,
    pub(super) dependencies: BTreeMap<String, Scalar>,
    peers: BTreeMap<String, Scalar>,
    /// The dependencies that `dependenciesMeta` calls optional.
    pub(super) optional: BTreeSet<String>,
    /// Whether it is for some machines only.
    has_conditions: bool,
    /// `version`, also of `__metadata`.
    pub(super) version: String,
    pub(super) checksum: String,
    /// `cacheKey` of `__metadata`.
    cache_key: String,
}

#[derive(Debug, Default)]
pub(super) struct Scalar {
    line: usize,
    span: Span<usize>,
    pub(super) text: String,
}

impl Entry {
    pub(super) fn descriptors(&self) -> Vec<&str> {
        self.key.split(',').map(str::trim).collect()
    }

    pub(super) fn directory(&self) -> Option<&str> {
        let name_end = self.resolution.get(1..)?.find(WORKSPACE)? + 1;
        Some(&self.resolution[name_end + WORKSPACE.len()..])
    }
}

/// Reads the lines of a lockfile: entries at the left, their fields two spaces in, dependencies four.
struct Reader<'a> {
    file: &'a str,
    entries: Vec<Entry>,
    section: String,
    /// What the lines of `dependenciesMeta` speak of.
    described: String,
    /// Whether the last line was `? <key>`, as yarn writes keys above 1,024 characters; their colon follows alone.
    long_key: bool,
    line: usize,
}

impl<'a> Reader<'a> {
    fn read(file: &'a str, text: &str) -> Result<Vec<Entry>, Failure> {
        let mut reader = Reader {
            file,
            entries: Vec::new(),
            section: String::new(),
            described: String::new(),
            long_key: false,
            line: 0,
        };
        let mut start = 0;
        for whole in text.split_inclusive('\n') {
            reader.line += 1;
            let line = whole.trim_end_matches(['\n', '\r']);
            let marked = line.trim_start_matches('\u{feff}');
            if !marked.trim().is_empty() && !marked.starts_with('#') {
                reader.line(line, start)?;
                if let Some(entry) = reader.entries.last_mut() {
                    entry.span.end = start + line.len();
                }
            }
            start += whole.len();
        }
        if reader.long_key {
            return Err(reader.refuse("its key has no colon"));
        }
        Ok(reader.entries)
    }

    fn line(&mut self, line: &str, start: usize) -> Result<(), Failure> {
        let content = line.trim_start_matches(' ');
        let indent = line.len() - content.len();
        if self.long_key {
            return self.end_of_long_key(line, start);
        }
        if indent == 0 {
            return self.entry(line, start);
        }
        if self.entries.is_empty() {
            return Err(self.refuse("nothing stands above this line"));
        }
        match indent {
            2 => self.field(content, start + indent),
            4 => self.dependency(content, start + indent),
            6 => {
                self.dependency_meta(content);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn entry(&mut self, line: &str, start: usize) -> Result<(), Failure> {
        self.section.clear();
        let (long, scalar) = match line.strip_prefix("? ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (key, rest) = self.scalar(scalar)?;
        if rest != if long { "" } else { ":" } {
            return Err(self.refuse("a key and its colon are expected"));
        }
        self.long_key = long;
        let end = start + line.len();
        self.entries.push(Entry {
            line: self.line,
            span: start..end,
            key_span: start..end,
            key,
            ..Entry::default()
        });
        Ok(())
    }

    fn end_of_long_key(&mut self, line: &str, start: usize) -> Result<(), Failure> {
        self.long_key = false;
        if line != ":" {
            return Err(self.refuse("the colon of the key above is expected"));
        }
        if let Some(entry) = self.entries.last_mut() {
            entry.key_span.end = start + 1;
        }
        Ok(())
    }

    fn field(&mut self, content: &str, start: usize) -> Result<(), Failure> {
        let (key, scalar) = self.pair(content, start)?;
        if let Some(entry) = self.entries.last_mut() {
            match key.as_str() {
                "resolution" => entry.resolution = scalar.text,
                "version" => entry.version = scalar.text,
                "checksum" => entry.checksum = scalar.text,
                "cacheKey" => entry.cache_key = scalar.text,
                "conditions" => entry.has_conditions = true,
                _ => {}
            }
        }
        self.section = key;
        Ok(())
    }

    fn dependency(&mut self, content: &str, start: usize) -> Result<(), Failure> {
        if self.section == "dependenciesMeta" {
            self.described = self.pair(content, start)?.0;
            return Ok(());
        }
        let of_interest = matches!(self.section.as_str(), "dependencies" | "peerDependencies");
        if !of_interest {
            return Ok(());
        }
        let (name, scalar) = self.pair(content, start)?;
        if let Some(entry) = self.entries.last_mut() {
            if self.section == "dependencies" {
                entry.dependencies.insert(name, scalar);
            } else {
                entry.peers.insert(name, scalar);
            }
        }
        Ok(())
    }

    /// What `dependenciesMeta` says of the dependency above.
    fn dependency_meta(&mut self, content: &str) {
        if self.section == "dependenciesMeta"
            && content == "optional: true"
            && let Some(entry) = self.entries.last_mut()
        {
            entry.optional.insert(self.described.clone());
        }
    }

    /// `key: value` or `key:`.
    fn pair(&self, content: &str, start: usize) -> Result<(String, Scalar), Failure> {
        let (key, rest) = self.scalar(content)?;
        let Some(value) = rest.strip_prefix(':') else {
            return Err(self.refuse("a key and its colon are expected"));
        };
        let value = value.trim_start_matches(' ');
        let span = start + content.len() - value.len()..start + content.len();
        let text = if value.starts_with('"') {
            let (text, rest) = self.scalar(value)?;
            if !rest.is_empty() {
                return Err(self.refuse("something follows the value"));
            }
            text
        } else {
            value.to_owned()
        };
        let line = self.line;
        Ok((key, Scalar { line, span, text }))
    }

    /// A key or a quoted value, and what follows it. Keys without quotes hold no colon.
    fn scalar<'t>(&self, text: &'t str) -> Result<(String, &'t str), Failure> {
        if !text.starts_with('"') {
            let end = text.find(':').unwrap_or(text.len());
            return Ok((text[..end].to_owned(), &text[end..]));
        }
        let mut escaped = false;
        let end = text[1..].find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        let Some(end) = end.map(|end| end + 2) else {
            return Err(self.refuse("a quote is not closed"));
        };
        match serde_json::from_str(&text[..end]) {
            Ok(unescaped) => Ok((unescaped, &text[end..])),
            Err(_) => Err(self.refuse("a quoted text cannot be read")),
        }
    }

    fn refuse(&self, why: &str) -> Failure {
        Failure::new(
            Exit::Refused,
            "workspace::lockfile_form",
            format!("{} is not as yarn writes it", self.file),
        )
        .because(why)
        .place(Place::at(self.file, self.line, 1))
        .hint(format!("run `{REFRESH}` and commit the lockfile"))
    }
}

impl<'a> Lockfile<'a> {
    pub(super) fn read(file: &'a str, text: &'a str) -> Result<Lockfile<'a>, Failure> {
        problems::refuse_size(file, text)?;
        problems::refuse_conflict(file, text, REFRESH)?;
        let entries = Reader::read(file, text)?;
        let metadata = entries.iter().find(|entry| entry.key == "__metadata");
        let version = metadata.map_or("", |entry| entry.version.as_str());
        if !matches!(version.parse(), Ok(6..=10_u8)) {
            let because = format!("its version is {}; 6 to 10 are supported", quoted(version));
            return Err(problems::version(file, None, because, REFRESH));
        }
        let mut workspaces = BTreeMap::new();
        let mut leads_to = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(directory) = entry.directory() {
                workspaces.insert(directory.to_owned(), index);
            }
            for descriptor in entry.descriptors() {
                leads_to.insert(descriptor.to_owned(), index);
            }
        }
        Ok(Lockfile {
            file,
            text,
            entries,
            workspaces,
            leads_to,
        })
    }

    /// What the checksums of all entries are made of: yarn's own archives, which differ between versions of its cache.
    pub(super) fn cache_key(&self) -> &str {
        let metadata = self.entries.iter().find(|entry| entry.key == "__metadata");
        metadata.map_or("", |entry| entry.cache_key.as_str())
    }

    /// Whether an entry among some is for some machines only.
    pub(super) fn is_for_some_machines(&self, entries: &[usize]) -> bool {
        let mut known = entries.iter().filter_map(|index| self.entries.get(*index));
        known.any(|entry| entry.has_conditions)
    }

    pub(super) fn workspace(&self, directory: &RepoPath) -> Option<usize> {
        self.workspaces.get(directory.display()).copied()
    }

    /// Where a spec leads that is written without what yarn puts before ranges: that, and the entry.
    fn descriptor(&self, name: &str, spec: &str) -> Option<(&'static str, usize)> {
        ["npm:", ""].into_iter().find_map(|before| {
            let descriptor = format!("{name}@{before}{spec}");
            Some((before, *self.leads_to.get(&descriptor)?))
        })
    }

    /// Whether any descriptor of a package leads somewhere.
    fn leads_from(&self, name: &str) -> bool {
        let start = format!("{name}@");
        let mut after = self.leads_to.range(start.clone()..);
        after
            .next()
            .is_some_and(|(descriptor, _)| descriptor.starts_with(&start))
    }

    fn place(&self, line: usize) -> Place {
        Place::at(self.file, line, 1)
    }
}

/// The field whose spec yarn installs, of all that name a dependency: the one that its manifest reads last.
fn installing_field(package: &PackageJson, name: &str) -> Option<DependencyField> {
    [
        DependencyField::DevDependencies,
        DependencyField::OptionalDependencies,
        DependencyField::Dependencies,
    ]
    .into_iter()
    .find(|field| package.spec(*field, name).is_some())
}

/// What a lockfile puts before a spec: yarn 4 writes `npm:` before ranges and tags. `None` where it has another spec.
fn protocol<'s>(locked: &'s str, spec: &str) -> Option<&'s str> {
    let before = locked.strip_suffix(spec)?;
    let is_protocol = before.strip_suffix(':').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|one| one.is_ascii_alphanumeric())
    });
    (before.is_empty() || is_protocol).then_some(before)
}

/// Whether yarn may write such a spec otherwise than `package.json` does: places get a locator, patches a checksum.
fn is_place(spec: &str) -> bool {
    let protocols = ["npm:", "workspace:", "catalog:"];
    !protocols.iter().any(|protocol| spec.starts_with(protocol)) && spec.contains([':', '/'])
}

/// Whether yarn takes a peer's spec for any version: it reads no `catalog:` there.
fn is_any_peer(locked: &str, spec: &str) -> bool {
    locked == "*" && catalogs::named(spec).is_some()
}

/// Checks that a lockfile agrees with the `package.json` files and catalogs as they are before a release.
///
/// # Errors
/// `workspace::file_size` above 64 MiB; `workspace::lockfile_conflict` where a merge was not finished; `workspace::lockfile_form`
/// for what yarn does not write; `workspace::lockfile_version`; `workspace::lockfile_stale` for each of the first 20 disagreements.
pub fn check(
    file: &str,
    text: &str,
    manifests: &Manifests<'_>,
    catalogs: Option<&Catalogs>,
) -> Result<(), Failure> {
    let lockfile = Lockfile::read(file, text)?;
    let mut found = Disagreements::new(file, REFRESH);
    let resolved = manifests
        .iter()
        .any(|(directory, package)| directory.is_root() && !package.resolutions.is_empty());
    for (directory, package) in manifests {
        if found.has_more() {
            break;
        }
        match lockfile.workspace(directory) {
            Some(entry) => {
                compare(&lockfile, entry, (directory, package), &mut found);
                compare_catalogs(&lockfile, entry, (catalogs, resolved), &mut found);
            }
            None => found.add(|| {
                let what = format!("{file} does not know {}", directory.display());
                (None, what)
            }),
        }
    }
    found.into_result()
}

fn compare(
    lockfile: &Lockfile<'_>,
    entry: usize,
    (directory, package): (&RepoPath, &PackageJson),
    found: &mut Disagreements<'_>,
) {
    let (file, entry) = (lockfile.file, &lockfile.entries[entry]);
    let name = entry
        .resolution
        .get(1..)
        .and_then(|rest| rest.find(WORKSPACE));
    let name = name.map_or("", |at| &entry.resolution[..=at]);
    if package
        .name
        .as_ref()
        .is_some_and(|own| own.as_str() != name)
    {
        let shown = directory.display();
        let what = format!("{file} calls {shown} {}", quoted(name));
        found.add(|| (Some(lockfile.place(entry.line)), what));
    }
    let names: BTreeSet<&str> = package
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str())
        .chain(entry.dependencies.keys().map(String::as_str))
        .chain(entry.peers.keys().map(String::as_str))
        .collect();
    for name in names {
        let field = installing_field(package, name);
        let peer = DependencyField::PeerDependencies;
        let rows = [
            (
                field.unwrap_or(DependencyField::Dependencies),
                entry.dependencies.get(name),
                field,
            ),
            (peer, entry.peers.get(name), Some(peer)),
        ];
        for (shown, locked, field) in rows {
            let written = field.and_then(|field| package.spec(field, name));
            let agrees = match (locked, written) {
                (None, None) => true,
                (Some(locked), Some(written)) => {
                    is_place(written)
                        || protocol(&locked.text, written).is_some()
                        || shown == peer && is_any_peer(&locked.text, written)
                }
                _ => false,
            };
            if !agrees {
                found.add(|| {
                    let line = locked.map_or(entry.line, |locked| locked.line);
                    let declared = problems::declared(directory, shown.as_str(), name);
                    let locked = locked.map(|locked| locked.text.as_str());
                    let what = problems::differs(file, &declared, locked, written);
                    (Some(lockfile.place(line)), what)
                });
            }
        }
    }
}

/// Compares what catalogs say of a workspace's dependencies with the descriptors that lead somewhere. Where the root has `resolutions`,
/// a descriptor of the same name is enough: they say what its range is.
fn compare_catalogs(
    lockfile: &Lockfile<'_>,
    entry: usize,
    (catalogs, resolved): (Option<&Catalogs>, bool),
    found: &mut Disagreements<'_>,
) {
    for (name, scalar) in &lockfile.entries[entry].dependencies {
        let Some(catalog) = catalogs::named(&scalar.text) else {
            continue;
        };
        let range = catalogs.and_then(|catalogs| catalogs::entry(catalogs, name, &scalar.text));
        let leads = range.is_some_and(|range| {
            is_place(range)
                || lockfile.descriptor(name, range).is_some()
                || resolved && lockfile.leads_from(name)
        });
        if !leads {
            found.add(|| {
                let what = format!(
                    "{} has nothing for {}, .yarnrc.yml has {}",
                    lockfile.file,
                    path(&path("catalogs", catalog), name),
                    range.map_or("nothing".to_owned(), quoted)
                );
                (Some(lockfile.place(scalar.line)), what)
            });
        }
    }
}

/// The lockfile after a release; every other byte as it was. Manifests and catalogs are those before it.
///
/// # Errors
/// Those of [`check`] for reading; `workspace::lockfile_stale` where the lockfile does not have what is to be changed;
/// `workspace::lockfile_resolution` where a descriptor would have to lead elsewhere than to the workspace: only yarn can tell where.
pub fn edit(
    file: &str,
    text: &str,
    (manifests, catalogs): (&Manifests<'_>, Option<&Catalogs>),
    changes: &Changes,
) -> Result<String, Failure> {
    let lockfile = Lockfile::read(file, text)?;
    let manifests: BTreeMap<&RepoPath, &PackageJson> = manifests
        .iter()
        .map(|(directory, package)| (directory, *package))
        .collect();
    let mut editing = Editing {
        lockfile: &lockfile,
        edits: Vec::new(),
        moves: Vec::new(),
        new_specs: BTreeMap::new(),
        catalogs: catalogs.cloned().unwrap_or_default(),
    };
    let mut failures = Vec::new();
    for new in &changes.specs {
        let package = manifests.get(&new.directory).copied();
        failures.extend(editing.set_spec(new, package).err());
    }
    for new in &changes.catalogs {
        failures.extend(editing.set_catalog(new).err());
    }
    let keys = editing.keys(&changes.versions, &mut failures);
    match Failure::all(failures) {
        None => Ok(editing.apply(&keys)),
        Some(failure) => Err(failure),
    }
}

/// Collects what changes.
struct Editing<'l> {
    lockfile: &'l Lockfile<'l>,
    edits: Vec<(Span<usize>, String)>,
    /// The entry whose key loses the first descriptor, if nobody else needs it, and gets the second.
    moves: Vec<(usize, String, String)>,
    /// New specs by entry and name.
    new_specs: BTreeMap<(usize, String), String>,
    /// The catalogs, with their new ranges as they are set.
    catalogs: Catalogs,
}

impl Editing<'_> {
    fn set_spec(&mut self, new: &NewSpec, package: Option<&PackageJson>) -> Result<(), Failure> {
        let (directory, field) = (&new.directory, new.field);
        let (name, spec) = (new.name.as_str(), new.spec.as_str());
        let file = self.lockfile.file;
        let declared = problems::declared(directory, field.as_str(), name);
        let stale = |line: Option<usize>| {
            let place = line.map(|line| self.lockfile.place(line));
            let what = format!("{file} has nothing for {declared}");
            problems::stale(file, place, what, REFRESH)
        };
        let index = self
            .lockfile
            .workspace(directory)
            .ok_or_else(|| stale(None))?;
        let entry = &self.lockfile.entries[index];
        let nothing = || stale(Some(entry.line));
        if field == DependencyField::PeerDependencies {
            let scalar = entry.peers.get(name).ok_or_else(nothing)?;
            self.edits.push((scalar.span.clone(), written(spec)));
            return Ok(());
        }
        let package = package.ok_or_else(nothing)?;
        if installing_field(package, name) != Some(field) {
            return Ok(());
        }
        let scalar = entry.dependencies.get(name).ok_or_else(nothing)?;
        let before = package
            .spec(field, name)
            .and_then(|old| protocol(&scalar.text, old))
            .ok_or_else(nothing)?;
        let value = format!("{before}{spec}");
        let old = format!("{name}@{}", scalar.text);
        let target = *self.lockfile.leads_to.get(&old).ok_or_else(nothing)?;
        if self.lockfile.entries[target].directory().is_none() {
            let place = self.lockfile.place(self.lockfile.entries[target].line);
            return Err(problems::range_leads_elsewhere(
                file, place, &declared, REFRESH,
            ));
        }
        self.edits.push((scalar.span.clone(), written(&value)));
        self.moves.push((target, old, format!("{name}@{value}")));
        self.new_specs.insert((index, name.to_owned()), value);
        Ok(())
    }

    /// yarn writes what a `catalog:` stands for in descriptors alone; of peers it does not read it.
    fn set_catalog(&mut self, new: &NewEntry) -> Result<(), Failure> {
        let NewEntry {
            catalog,
            name,
            range,
        } = new;
        let entries = self.catalogs.entry(catalog.clone()).or_default();
        let old = entries
            .insert(name.clone(), range.clone())
            .unwrap_or_default();
        let user = self.lockfile.entries.iter().find_map(|entry| {
            let scalar = entry.dependencies.get(name)?;
            (catalogs::named(&scalar.text) == Some(catalog)).then_some(scalar)
        });
        let Some(user) = user else {
            return Ok(());
        };
        let file = self.lockfile.file;
        let shown = path(&path("catalogs", catalog), name);
        let Some((before, target)) = self.lockfile.descriptor(name, &old) else {
            let what = format!("{file} has nothing for {shown}");
            let place = self.lockfile.place(user.line);
            return Err(problems::stale(file, Some(place), what, REFRESH));
        };
        if self.lockfile.entries[target].directory().is_none() {
            let place = self.lockfile.place(self.lockfile.entries[target].line);
            return Err(problems::range_leads_elsewhere(
                file, place, &shown, REFRESH,
            ));
        }
        let descriptor = |range: &str| format!("{name}@{before}{range}");
        self.moves
            .push((target, descriptor(&old), descriptor(range)));
        Ok(())
    }

    /// The new keys of the entries whose descriptors change; tells the descriptors that would lead elsewhere.
    fn keys(
        &self,
        versions: &BTreeMap<RepoPath, Version>,
        failures: &mut Vec<Failure>,
    ) -> BTreeMap<usize, String> {
        let needed = self.needed();
        let mut descriptors: BTreeMap<usize, Vec<&str>> = self
            .moves
            .iter()
            .map(|(target, _, _)| *target)
            .chain(
                versions
                    .keys()
                    .filter_map(|directory| self.lockfile.workspace(directory)),
            )
            .map(|index| (index, self.lockfile.entries[index].descriptors()))
            .collect();
        for (target, old, new) in &self.moves {
            let of_target = descriptors.entry(*target).or_default();
            of_target.retain(|one| one != old || needed.contains(*one));
            if let Some(other) = self.lockfile.leads_to.get(new).filter(|one| *one != target) {
                failures.push(self.elsewhere(*other, new));
            } else if !of_target.contains(&new.as_str()) {
                of_target.push(new);
            }
        }
        for (directory, version) in versions {
            let index = self.lockfile.workspace(directory);
            let left = index.and_then(|index| Some((index, descriptors.get(&index)?)));
            let Some((index, left)) = left else { continue };
            let refused = left.iter().filter(|one| refuses(one, version));
            failures.extend(refused.map(|one| self.left(index, one, version)));
        }
        let mut keys = BTreeMap::new();
        for (index, mut descriptors) in descriptors {
            descriptors.sort_by(|one, other| one.encode_utf16().cmp(other.encode_utf16()));
            let key = descriptors.join(", ");
            if key != self.lockfile.entries[index].key {
                keys.insert(index, key);
            }
        }
        keys
    }

    /// Every descriptor that something depends on after the release; before yarn 4 entries leave out the `npm:` of their keys.
    fn needed(&self) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for (index, entry) in self.lockfile.entries.iter().enumerate() {
            for (name, scalar) in &entry.dependencies {
                let new = self.new_specs.get(&(index, name.clone()));
                let spec = new.unwrap_or(&scalar.text);
                let spec = catalogs::entry(&self.catalogs, name, spec).unwrap_or(spec);
                needed.insert(format!("{name}@{spec}"));
                needed.insert(format!("{name}@npm:{spec}"));
            }
        }
        needed
    }

    fn elsewhere(&self, other: usize, descriptor: &str) -> Failure {
        let entry = &self.lockfile.entries[other];
        problems::resolution(
            self.lockfile.file,
            Some(self.lockfile.place(entry.line)),
            format!(
                "{} would lead to the workspace, but leads to an installed package",
                quoted(descriptor)
            ),
            format!(
                "yarn keeps what {} has: {}",
                self.lockfile.file,
                quoted(&entry.resolution)
            ),
            format!("remove that entry, run `{REFRESH}` and commit the lockfile"),
        )
    }

    fn left(&self, index: usize, descriptor: &str, version: &Version) -> Failure {
        let entry = &self.lockfile.entries[index];
        problems::resolution(
            self.lockfile.file,
            Some(self.lockfile.place(entry.line)),
            format!(
                "{} leads to the workspace, which is {version} after the release",
                quoted(descriptor)
            ),
            "only a registry can tell where it leads then".to_owned(),
            format!("update what depends on it, run `{REFRESH}` and commit the lockfile"),
        )
    }

    /// The text with all edits; entries stand in the order of their keys.
    fn apply(mut self, keys: &BTreeMap<usize, String>) -> String {
        let Lockfile { text, entries, .. } = self.lockfile;
        for (index, key) in keys {
            let key = written(key);
            let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
            // The length that JavaScript counts.
            let left = if key.encode_utf16().count() > 1024 {
                format!("? {key}{line_end}:")
            } else {
                format!("{key}:")
            };
            self.edits.push((entries[*index].key_span.clone(), left));
        }
        let order = |keys: &dyn Fn(usize) -> Vec<u16>| {
            let mut order: Vec<usize> = (0..entries.len()).collect();
            order.sort_by_cached_key(|index| (entries[*index].key != "__metadata", keys(*index)));
            order
        };
        let utf16 = |key: &str| key.encode_utf16().collect::<Vec<u16>>();
        let before = order(&|index| utf16(&entries[index].key));
        let after = order(&|index| utf16(keys.get(&index).unwrap_or(&entries[index].key)));
        if before == after || !before.is_sorted() {
            return splice(text, self.edits);
        }
        let mut blocks = self.blocks();
        let mut result = text[..entries[0].span.start].to_owned();
        for (slot, index) in after.into_iter().enumerate() {
            result.push_str(&std::mem::take(&mut blocks[index]));
            let next = entries
                .get(slot + 1)
                .map_or(text.len(), |next| next.span.start);
            result.push_str(&text[entries[slot].span.end..next]);
        }
        result
    }

    /// The edited text of each entry.
    fn blocks(&self) -> Vec<String> {
        let Lockfile { text, entries, .. } = self.lockfile;
        let block = |entry: &Entry| {
            let own = self
                .edits
                .iter()
                .filter(|(span, _)| entry.span.contains(&span.start))
                .map(|(span, new)| {
                    let start = entry.span.start;
                    (span.start - start..span.end - start, new.clone())
                })
                .collect();
            splice(&text[entry.span.clone()], own)
        };
        entries.iter().map(block).collect()
    }
}

/// Whether a descriptor with a range cannot lead to a workspace of that version.
fn refuses(descriptor: &str, version: &Version) -> bool {
    let Some(at) = descriptor.get(1..).and_then(|rest| rest.find('@')) else {
        return false;
    };
    let range = &descriptor[at + 2..];
    let range = match range.strip_prefix("npm:") {
        // An alias has the name of what it means, too.
        Some(range) => range
            .get(1..)
            .and_then(|rest| rest.rfind('@'))
            .map_or(range, |at| &range[at + 2..]),
        None => range.strip_prefix("workspace:").unwrap_or(range),
    };
    let form = matches!(range, "^" | "~");
    !form && Range::parse_with_prereleases(range).is_ok_and(|range| !range.contains(version))
}

/// A scalar as yarn writes it: bare where nothing in it means something to YAML, else as JSON.
fn written(text: &str) -> String {
    const AT_START: &str = "-?:,][{}#&*!|>'\"%@` \t\r\n";
    const INSIDE: &str = ",][{}:# \t\r\n";
    let mut characters = text.chars();
    let bare = characters
        .next()
        .is_some_and(|first| !AT_START.contains(first))
        && bare_rest(characters.as_str(), INSIDE);
    if bare { text.to_owned() } else { string(text) }
}

/// Whether what follows the first character may be bare: blanks may stand inside, before something else that may.
fn bare_rest(rest: &str, special: &str) -> bool {
    !rest.ends_with([' ', '\t'])
        && rest
            .chars()
            .all(|one| matches!(one, ' ' | '\t') || !special.contains(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::lockfile::tests::new_spec;
    use proptest::prelude::*;

    /// As yarn 4.18 writes it, of a workspace with an installed package that depends on another.
    const BEFORE: &str = r#"# This file is generated by running "yarn install" inside your project.
# Manual changes might be lost - proceed with caution!

__metadata:
  version: 10
  cacheKey: 10c0

"@x/a@npm:^1.0.0, @x/a@workspace:packages/a":
  version: 0.0.0-use.local
  resolution: "@x/a@workspace:packages/a"
  languageName: unknown
  linkType: soft

"alias@npm:d@^1.0.0, d@npm:1.0.0, d@npm:>=1.0.0, d@workspace:packages/d":
  version: 0.0.0-use.local
  resolution: "d@workspace:packages/d"
  languageName: unknown
  linkType: soft

"d@npm:1.9.0":
  version: 1.9.0
  resolution: "d@npm:1.9.0"
  dependencies:
    "@x/a": "npm:^1.0.0"
  languageName: node
  linkType: hard

"mono@workspace:.":
  version: 0.0.0-use.local
  resolution: "mono@workspace:."
  dependencies:
    "@x/a": "npm:^1.0.0"
    alias: "npm:d@^1.0.0"
    d: "npm:>=1.0.0"
  peerDependencies:
    "@x/a": ">=1.0.0"
    p: ^0.1.0
  peerDependenciesMeta:
    p:
      optional: true
  languageName: unknown
  linkType: soft

"web@workspace:packages/web":
  version: 0.0.0-use.local
  resolution: "web@workspace:packages/web"
  dependencies:
    d: "npm:1.0.0"
  languageName: unknown
  linkType: soft
"#;

    const MONO: &str = r#"{"name": "mono", "devDependencies": {"@x/a": "^1.0.0", "alias": "npm:d@^1.0.0", "d": ">=1.0.0"},
        "dependencies": {"d": "1.0.0"}, "peerDependencies": {"@x/a": ">=1.0.0", "p": "^0.1.0"}}"#;
    const WEB: &str = r#"{"name": "web", "optionalDependencies": {"d": "1.0.0"}}"#;

    fn at(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    fn with_manifests<T>(mono: &str, web: &str, run: impl FnOnce(&Manifests<'_>) -> T) -> T {
        let manifests = [
            ("", mono),
            ("packages/a", r#"{"name": "@x/a"}"#),
            ("packages/d", r#"{"name": "d"}"#),
            ("packages/web", web),
        ]
        .map(|(directory, text)| (at(directory), PackageJson::parse("p", text).unwrap()));
        let manifests: Vec<(RepoPath, &PackageJson)> = manifests
            .iter()
            .map(|(directory, package)| (directory.clone(), package))
            .collect();
        run(&manifests)
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

    fn edited(text: &str, changes: &Changes) -> Result<String, Failure> {
        with_manifests(MONO, WEB, |manifests| {
            edit("yarn.lock", text, (manifests, None), changes)
        })
    }

    use DependencyField::{Dependencies, DevDependencies, OptionalDependencies, PeerDependencies};

    #[test]
    fn a_range_leads_to_every_prerelease_within_its_bounds() {
        let refuses = |range: &str, version: &str| {
            refuses(&format!("@x/a@{range}"), &Version::parse(version).unwrap())
        };
        for range in [
            "npm:^1.0.0",
            "npm:*",
            "workspace:1.x",
            "npm:@y/b@>=1.0.0",
            "workspace:^",
        ] {
            assert!(!refuses(range, "1.1.0-beta.1"), "{range}");
        }
        assert!(refuses("npm:^1.1.0", "1.1.0-beta.1"));
        assert!(refuses("npm:^1.0.0", "2.0.0-beta.1"));
    }

    #[test]
    fn specs_and_what_leads_to_a_workspace_change_together() {
        let all = changes(
            &[("packages/d", "1.1.0-beta.1")],
            &[
                ("", DevDependencies, "alias", "npm:d@^1.1.0-beta.1"),
                ("", DevDependencies, "d", ">=1.1.0-beta.1"),
                // What the development dependency hides, yarn does not write.
                ("", Dependencies, "d", "1.1.0-beta.1"),
                ("", PeerDependencies, "p", ">=0.2.0"),
                ("packages/web", OptionalDependencies, "d", "1.1.0-beta.1"),
            ],
        );
        let after = BEFORE
            .replace(
                "alias@npm:d@^1.0.0, d@npm:1.0.0, d@npm:>=1.0.0",
                "alias@npm:d@^1.1.0-beta.1, d@npm:1.1.0-beta.1, d@npm:>=1.1.0-beta.1",
            )
            .replace("alias: \"npm:d@^1.0.0\"", "alias: \"npm:d@^1.1.0-beta.1\"")
            .replace("d: \"npm:>=1.0.0\"", "d: \"npm:>=1.1.0-beta.1\"")
            .replace("p: ^0.1.0", "p: \">=0.2.0\"")
            .replace("d: \"npm:1.0.0\"", "d: \"npm:1.1.0-beta.1\"");
        assert_eq!(edited(BEFORE, &all).unwrap(), after);
        let windows = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(edited(&windows(BEFORE), &all).unwrap(), windows(&after));
    }

    #[test]
    fn a_descriptor_that_others_need_stays() {
        let one = changes(
            &[("packages/a", "1.1.0")],
            &[("", DevDependencies, "@x/a", "^1.1.0")],
        );
        let after = BEFORE
            .replace(
                "@x/a@npm:^1.0.0, @x/a@w",
                "@x/a@npm:^1.0.0, @x/a@npm:^1.1.0, @x/a@w",
            )
            .replacen(
                "    \"@x/a\": \"npm:^1.0.0\"\n    alias",
                "    \"@x/a\": \"npm:^1.1.0\"\n    alias",
                1,
            );
        assert_eq!(edited(BEFORE, &one).unwrap(), after);
    }

    #[test]
    fn entries_stay_in_order_and_long_keys_get_a_question_mark() {
        let lock = "__metadata:\n  version: 8\n\n\"d@npm:1.0.0, d@workspace:packages/d\":\n  resolution: \"d@workspace:packages/d\"\n\n\"d@npm:1.5.0\":\n  resolution: \"d@npm:1.5.0\"\n\n\"web@workspace:packages/web\":\n  resolution: \"web@workspace:packages/web\"\n  dependencies:\n    d: \"npm:1.0.0\"\n";
        let one = |spec: &str| {
            changes(
                &[("packages/d", "1.6.0")],
                &[("packages/web", OptionalDependencies, "d", spec)],
            )
        };
        assert_eq!(
            edited(lock, &one("1.6.0")).unwrap(),
            "__metadata:\n  version: 8\n\n\"d@npm:1.5.0\":\n  resolution: \"d@npm:1.5.0\"\n\n\"d@npm:1.6.0, d@workspace:packages/d\":\n  resolution: \"d@workspace:packages/d\"\n\n\"web@workspace:packages/web\":\n  resolution: \"web@workspace:packages/web\"\n  dependencies:\n    d: \"npm:1.6.0\"\n"
        );
        let long = vec!["^1.6.0"; 200].join(" || ");
        let with_long_key = edited(lock, &one(&long)).unwrap();
        let key = format!("? \"d@npm:{long}, d@workspace:packages/d\"\n:\n  resolution");
        assert!(with_long_key.contains(&key), "{with_long_key}");
    }

    fn refused(text: &str, changes: &Changes) -> Vec<String> {
        let failure = edited(text, changes).unwrap_err();
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
    fn what_only_yarn_can_do_is_refused() {
        let major = changes(
            &[("packages/a", "2.0.0")],
            &[("", DevDependencies, "@x/a", "^2.0.0")],
        );
        assert_eq!(
            refused(BEFORE, &major),
            [
                "workspace::lockfile_resolution: \"@x/a@npm:^1.0.0\" leads to the workspace, which is 2.0.0 after the release"
            ]
        );
        let known = changes(&[], &[("packages/web", OptionalDependencies, "d", "1.9.0")]);
        assert_eq!(
            refused(BEFORE, &known),
            [
                "workspace::lockfile_resolution: \"d@npm:1.9.0\" would lead to the workspace, but leads to an installed package"
            ]
        );
        let unknown = changes(
            &[],
            &[
                ("packages/x", Dependencies, "d", "1"),
                ("", PeerDependencies, "q", "1"),
            ],
        );
        assert_eq!(
            refused(BEFORE, &unknown),
            [
                "workspace::lockfile_stale: yarn.lock has nothing for dependencies.d of packages/x",
                "workspace::lockfile_stale: yarn.lock has nothing for peerDependencies.q of .",
            ]
        );
        let nothing = Changes::default();
        for (text, said) in [
            (
                "a:\n<<<<<<< HEAD\n",
                "workspace::lockfile_conflict: yarn.lock holds an unfinished merge",
            ),
            (
                "__metadata:\n  version: 11\n",
                "workspace::lockfile_version: yarn.lock has a version that is not supported",
            ),
            (
                "",
                "workspace::lockfile_version: yarn.lock has a version that is not supported",
            ),
            (
                "  version: 8\n",
                "workspace::lockfile_form: yarn.lock is not as yarn writes it",
            ),
            (
                "\"a:\n",
                "workspace::lockfile_form: yarn.lock is not as yarn writes it",
            ),
            (
                "? a\n",
                "workspace::lockfile_form: yarn.lock is not as yarn writes it",
            ),
            (
                "a\n",
                "workspace::lockfile_form: yarn.lock is not as yarn writes it",
            ),
        ] {
            assert_eq!(refused(text, &nothing), [said], "{text:?}");
        }
    }

    #[test]
    fn a_lockfile_that_disagrees_says_where() {
        let checked = |mono: &str, web: &str| {
            with_manifests(mono, web, |manifests| {
                match check("yarn.lock", BEFORE, manifests, None) {
                    Ok(()) => Vec::new(),
                    Err(failure) => failure
                        .each()
                        .map(|one| format!("{} {}", one.where_in().unwrap(), one.what()))
                        .collect(),
                }
            })
        };
        assert_eq!(checked(MONO, WEB), [""; 0]);
        let mono = MONO
            .replace("\">=1.0.0\"", "\">=1.0.1\"")
            .replace("\"p\": \"^0.1.0\"", "\"q\": \"1\"");
        assert_eq!(
            checked(
                &mono,
                r#"{"name": "website", "dependencies": {"d": "1.0.0", "koa": "2"}}"#
            ),
            [
                "yarn.lock:36:1 yarn.lock has \">=1.0.0\" for peerDependencies[\"@x/a\"] of ., its package.json has \">=1.0.1\"",
                "yarn.lock:34:1 yarn.lock has \"npm:>=1.0.0\" for devDependencies.d of ., its package.json has \">=1.0.1\"",
                "yarn.lock:37:1 yarn.lock has \"^0.1.0\" for peerDependencies.p of ., its package.json has nothing",
                "yarn.lock:28:1 yarn.lock has nothing for peerDependencies.q of ., its package.json has \"1\"",
                "yarn.lock:44:1 yarn.lock calls packages/web \"web\"",
                "yarn.lock:44:1 yarn.lock has nothing for dependencies.koa of packages/web, its package.json has \"2\"",
            ]
        );
    }

    /// As yarn 4.18 writes it: what a catalog says stands in descriptors alone, and a peer is any version.
    const CATALOGS: &str = r#"__metadata:
  version: 10
  cacheKey: 10c0

"d@npm:^1.0.0, d@npm:~1.0.0, d@workspace:packages/d":
  version: 0.0.0-use.local
  resolution: "d@workspace:packages/d"
  languageName: unknown
  linkType: soft

"mono@workspace:.":
  version: 0.0.0-use.local
  resolution: "mono@workspace:."
  dependencies:
    "@x/a": "catalog:"
    d: "catalog:"
  peerDependencies:
    d: "*"
  languageName: unknown
  linkType: soft

"@x/a@workspace:^, @x/a@workspace:packages/a":
  version: 0.0.0-use.local
  resolution: "@x/a@workspace:packages/a"
  languageName: unknown
  linkType: soft

"web@workspace:packages/web":
  version: 0.0.0-use.local
  resolution: "web@workspace:packages/web"
  dependencies:
    d: "catalog:old"
  languageName: unknown
  linkType: soft
"#;

    fn catalogs(old: &str) -> Catalogs {
        let entries = |entries: &[(&str, &str)]| {
            let entries = entries.iter();
            entries
                .map(|(name, range)| ((*name).to_owned(), (*range).to_owned()))
                .collect()
        };
        let default = entries(&[("d", "^1.0.0"), ("@x/a", "workspace:^"), ("unused", "1")]);
        let old = entries(&[("d", old)]);
        Catalogs::from([("default".to_owned(), default), ("old".to_owned(), old)])
    }

    const MONO_OF_CATALOGS: &str = r#"{"name": "mono", "devDependencies": {"@x/a": "catalog:", "d": "catalog:"}, "peerDependencies": {"d": "catalog:old"}}"#;
    const WEB_OF_CATALOGS: &str = r#"{"name": "web", "dependencies": {"d": "catalog:old"}}"#;

    fn checked_with(catalogs: Option<&Catalogs>) -> Vec<String> {
        with_manifests(MONO_OF_CATALOGS, WEB_OF_CATALOGS, |manifests| {
            match check("yarn.lock", CATALOGS, manifests, catalogs) {
                Ok(()) => Vec::new(),
                Err(failure) => failure
                    .each()
                    .map(|one| format!("{} {}", one.where_in().unwrap(), one.what()))
                    .collect(),
            }
        })
    }

    #[test]
    fn what_catalogs_say_is_what_descriptors_lead_from() {
        assert_eq!(checked_with(Some(&catalogs("~1.0.0"))), [""; 0]);
        assert_eq!(
            checked_with(Some(&catalogs("~1.0.1"))),
            ["yarn.lock:32:1 yarn.lock has nothing for catalogs.old.d, .yarnrc.yml has \"~1.0.1\""]
        );
        assert_eq!(
            checked_with(None)[2],
            "yarn.lock:32:1 yarn.lock has nothing for catalogs.old.d, .yarnrc.yml has nothing"
        );
    }

    #[test]
    fn a_new_range_in_a_catalog_moves_its_descriptor() {
        let edited = |new: &[(&str, &str, &str)], versions: &[(&str, &str)]| {
            let mut all = changes(versions, &[]);
            all.catalogs = new
                .iter()
                .map(|(catalog, name, range)| NewEntry {
                    catalog: (*catalog).to_owned(),
                    name: (*name).to_owned(),
                    range: (*range).to_owned(),
                })
                .collect();
            let before = catalogs("~1.0.0");
            with_manifests(MONO_OF_CATALOGS, WEB_OF_CATALOGS, |manifests| {
                let edited = edit("yarn.lock", CATALOGS, (manifests, Some(&before)), &all);
                edited.map_err(|failure| format!("{}: {}", failure.code(), failure.what()))
            })
        };
        let of = |left: &str| Ok(CATALOGS.replace("d@npm:^1.0.0, d@npm:~1.0.0", left));
        let both = [("default", "d", "^2.0.0"), ("old", "d", "~2.0.0")];
        let grown = [("packages/d", "2.0.0")];
        assert_eq!(edited(&both, &grown), of("d@npm:^2.0.0, d@npm:~2.0.0"));
        let patch = [("packages/d", "1.1.0")];
        assert_eq!(
            edited(&[("old", "d", "~1.1.0")], &patch),
            of("d@npm:^1.0.0, d@npm:~1.1.0")
        );
        // Nobody asks for it, or nobody that yarn listens to.
        assert_eq!(
            edited(&[("default", "unused", "2")], &[]),
            Ok(CATALOGS.to_owned())
        );
        assert_eq!(
            edited(&both[..1], &grown),
            Err("workspace::lockfile_resolution: \"d@npm:~1.0.0\" leads to the workspace, which is 2.0.0 after the release".to_owned())
        );
    }

    #[test]
    fn scalars_are_written_as_yarn_does() {
        for (text, expected) in [
            ("^1.0.0", "^1.0.0"),
            ("~1", "~1"),
            (">=1", "\">=1\""),
            ("*", "\"*\""),
            ("", "\"\""),
            ("npm:1", "\"npm:1\""),
            ("1.0.0 || 2", "1.0.0 || 2"),
            ("1 ", "\"1 \""),
            ("a, b", "\"a, b\""),
            ("1 #a", "\"1 #a\""),
            ("a\"b", "a\"b"),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    proptest! {
        #[test]
        fn an_edit_changes_only_what_it_names(minor in 1_u64..99, caret in any::<bool>(), noise in "[ -~]{0,30}") {
            let sign = if caret { "^" } else { "~" };
            let lock = |spec: &str| format!(
                "# {noise}\n__metadata:\n  version: 8\n\n\"c@npm:1\":\n  resolution: \"c@npm:1\"\n  bin:\n    x: {}\n\n\"d@npm:{spec}, d@workspace:packages/d\":\n  resolution: \"d@workspace:packages/d\"\n\n\"web@workspace:packages/web\":\n  resolution: \"web@workspace:packages/web\"\n  dependencies:\n    d: \"npm:{spec}\"\n",
                written(&noise)
            );
            let new = format!("{sign}1.{minor}.0");
            let all = changes(
                &[("packages/d", &format!("1.{minor}.0"))],
                &[("packages/web", OptionalDependencies, "d", &new)],
            );
            prop_assert_eq!(edited(&lock("1.0.0"), &all).unwrap(), lock(&new));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(__metadata:\n  version: 8\n)?[ -~\n:\"?]{0,200}") {
            let _ = edited(&text, &changes(&[("packages/d", "2.0.0")], &[("packages/web", OptionalDependencies, "d", "2")]));
            let _ = with_manifests(MONO, WEB, |manifests| check("yarn.lock", &text, manifests, None));
        }
    }
}
