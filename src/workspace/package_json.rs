//! `package.json`: what it says, checked, and edits that keep every other byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::LONGEST_MANIFEST;
use super::json::{Document, Kind, Member, Node, path};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::PackageName;
use crate::settings::Access;
use crate::settings::provenance::Wanted;
use crate::version::Version;

/// What a `package.json` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PackageJson {
    /// `name`.
    pub name: Option<PackageName>,
    /// `version`.
    pub version: Option<Version>,
    /// `private`; false where it is absent.
    pub private: bool,
    /// `workspaces`: the array, or `packages` of the object form; `None` where it is absent.
    pub workspaces: Option<Vec<String>>,
    /// All dependency fields, in the order of [`DependencyField`], within a field as written.
    pub dependencies: Vec<Dependency>,
    /// The names that `peerDependenciesMeta` calls optional.
    pub optional_peers: BTreeSet<String>,
    /// The names that `bundleDependencies` (or `bundledDependencies`) lists, read as npm reads it: what of them is a dependency is packed
    /// with the package.
    pub bundled: BTreeSet<String>,
    /// `scripts`; a script that is no string is left out, as npm does.
    pub scripts: BTreeMap<String, String>,
    /// `files`; `None` where it is absent.
    pub files: Option<Vec<String>>,
    /// `bin` as command → path; a single string is the command of the package's own name.
    pub bin: BTreeMap<String, String>,
    /// `publishConfig`.
    pub publish_config: PublishConfig,
    /// `resolutions`, in which yarn reads what dependencies resolve to, as written; what is no string there is left out.
    pub resolutions: Vec<(String, String)>,
    /// `packageManager`, for example `npm@11.6.0`.
    pub package_manager: Option<String>,
    /// `repository`, or its `url`, as written; anything else there is nothing, as for npm.
    pub repository: Option<String>,
    /// The `pkgs` field: our own settings, as they are.
    pub pkgs: Option<Value>,
}

/// `publishConfig`: settings of npm that a package brings along.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PublishConfig {
    /// Who may install it.
    pub access: Option<Access>,
    /// Whether it gets a signed statement of where it was built.
    pub provenance: Wanted,
    /// The dist-tag.
    pub tag: Option<String>,
    /// The registry it is published to, as written.
    pub registry: Option<String>,
    /// `@scope:registry`, as written, by scope.
    pub registries: BTreeMap<String, String>,
}

/// The fields that name dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DependencyField {
    /// `dependencies`.
    Dependencies,
    /// `optionalDependencies`.
    OptionalDependencies,
    /// `peerDependencies`.
    PeerDependencies,
    /// `devDependencies`.
    DevDependencies,
}

impl DependencyField {
    /// All of them, in their order.
    pub const ALL: [DependencyField; 4] = [
        DependencyField::Dependencies,
        DependencyField::OptionalDependencies,
        DependencyField::PeerDependencies,
        DependencyField::DevDependencies,
    ];

    /// The field's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DependencyField::Dependencies => "dependencies",
            DependencyField::OptionalDependencies => "optionalDependencies",
            DependencyField::PeerDependencies => "peerDependencies",
            DependencyField::DevDependencies => "devDependencies",
        }
    }

    /// Whether npm bundles what the field names, where `bundleDependencies` asks for it, and with a bundled package in any case.
    #[must_use]
    pub fn is_bundled(self) -> bool {
        matches!(
            self,
            DependencyField::Dependencies | DependencyField::OptionalDependencies
        )
    }
}

impl fmt::Display for DependencyField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The field that lists what is bundled, and its other spelling, which counts where the first is absent.
const BUNDLED: [&str; 2] = ["bundleDependencies", "bundledDependencies"];

/// The code of a value that has another form.
const WRONG_TYPE: &str = "workspace::field";

/// One declared dependency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The field it stands in.
    pub field: DependencyField,
    /// The key as written; with an `npm:` spec it is an alias.
    pub name: String,
    /// The range, tag, address or `workspace:` form, as written.
    pub spec: String,
}

/// Which form the values of a `package.json` must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The one that is documented: what is released by it must be what its author believes.
    #[default]
    Documented,
    /// Any that npm packs: what has another form counts as absent, as
    /// [npm takes it](https://github.com/npm/package-json/blob/main/lib/normalize.js).
    Packed,
}

impl PackageJson {
    /// Reads a `package.json` that must have a `form`; `file` is what messages call it.
    ///
    /// # Errors
    /// Those of [`PackageJson::parse`].
    pub fn parse_in(form: Form, file: &str, text: &str) -> Result<PackageJson, Failure> {
        let (package, mut failures) = Self::read(file, text)?;
        failures.retain(|failure| form == Form::Documented || failure.code() != WRONG_TYPE);
        Failure::all(failures).map_or(Ok(package), Err)
    }

    /// Reads a `package.json`; `file` is what messages call it.
    ///
    /// # Errors
    /// All problems of the file at once, each with its place: those of [`Document::parse`] (alone), `workspace::field` for a value
    /// of a wrong type, `workspace::json_duplicate` for a second value where one decides what is released or whereto, and the
    /// grammars of names and versions.
    ///
    /// ```
    /// use pkgs_action::workspace::package_json::{DependencyField, PackageJson};
    /// let text = r#"{"name": "@x/web", "version": "1.2.3", "private": true, "dependencies": {"@x/api": "^1.0.0"}}"#;
    /// let package = PackageJson::parse("package.json", text).unwrap();
    /// assert!(package.private);
    /// assert_eq!(package.spec(DependencyField::Dependencies, "@x/api"), Some("^1.0.0"));
    ///
    /// let failure = PackageJson::parse("package.json", r#"{"name": "A", "version": 1}"#).unwrap_err();
    /// let places: Vec<String> = failure.each().map(|one| one.where_in().unwrap().to_string()).collect();
    /// assert_eq!(places, ["package.json:1:10", "package.json:1:26"]);
    /// ```
    pub fn parse(file: &str, text: &str) -> Result<PackageJson, Failure> {
        Self::parse_in(Form::Documented, file, text)
    }

    /// What a file says, and what is wrong with it.
    fn read(file: &str, text: &str) -> Result<(PackageJson, Vec<Failure>), Failure> {
        let document = Document::parse(file, text, LONGEST_MANIFEST)?;
        let root = document.root();
        let mut reader = Reader {
            file,
            failures: Vec::new(),
        };
        if root.kind() != Kind::Object {
            return Err(reader.wrong_type(root, "the file", "an object"));
        }
        reader.duplicates(root);
        let package = reader.package(root);
        reader
            .failures
            .sort_by_key(|failure| failure.where_in().and_then(|place| place.position));
        Ok((package, reader.failures))
    }

    /// What `field` says of `name`.
    #[must_use]
    pub fn spec(&self, field: DependencyField, name: &str) -> Option<&str> {
        self.dependencies
            .iter()
            .find(|dependency| dependency.field == field && dependency.name == name)
            .map(|dependency| dependency.spec.as_str())
    }
}

fn resolutions(root: Node<'_>) -> Vec<(String, String)> {
    let members = root.get("resolutions").into_iter().flat_map(Node::members);
    let read =
        |member: Member<'_>| Some((member.key.to_owned(), member.value.as_str()?.to_owned()));
    members.filter_map(read).collect()
}

/// Collects what a file says and everything that is wrong with it.
struct Reader<'f> {
    file: &'f str,
    failures: Vec<Failure>,
}

impl Reader<'_> {
    fn package(&mut self, root: Node<'_>) -> PackageJson {
        let name = self.checked(root, "name", PackageName::parse);
        let dependencies = self.dependencies(root);
        PackageJson {
            version: self.checked(root, "version", Version::parse),
            private: self.boolean(root, "", "private").unwrap_or(false),
            workspaces: self.workspaces(root),
            optional_peers: self.optional_peers(root),
            bundled: self.bundled(root, &dependencies),
            dependencies,
            scripts: self.scripts(root),
            files: self.strings(root, "", "files"),
            bin: self.bin(root, name.as_ref()),
            publish_config: self.publish_config(root),
            resolutions: resolutions(root),
            package_manager: self.string(root, "", "packageManager"),
            repository: root.get("repository").and_then(address),
            pkgs: self.value(root, "pkgs"),
            name,
        }
    }

    fn duplicates(&mut self, root: Node<'_>) {
        const DECIDING: [&str; 7] = [
            "name",
            "version",
            "private",
            "workspaces",
            "publishConfig",
            BUNDLED[0],
            BUNDLED[1],
        ];
        for member in root.duplicates() {
            let field = DependencyField::ALL
                .iter()
                .any(|field| field.as_str() == member.key);
            if field || DECIDING.contains(&member.key) {
                self.duplicate(&path("", member.key), member.place());
            }
        }
        for field in DependencyField::ALL.map(DependencyField::as_str) {
            for member in root.get(field).map(Node::duplicates).unwrap_or_default() {
                self.duplicate(&path(field, member.key), member.place());
            }
        }
    }

    fn duplicate(&mut self, name: &str, place: Place) {
        let failure = Failure::new(
            Exit::Refused,
            "workspace::json_duplicate",
            format!("{} holds {name} twice", self.file),
        )
        .because("Node takes the last value, other tools the first")
        .hint("remove one of them");
        self.failures.push(failure.place(place));
    }

    fn wrong_type(&self, node: Node<'_>, name: &str, wanted: &str) -> Failure {
        Failure::new(
            Exit::Refused,
            WRONG_TYPE,
            format!("{name} in {} is not {wanted}", self.file),
        )
        .because(format!("it is {}", node.kind().as_str()))
        .hint(format!("write {wanted}"))
        .place(node.place())
    }

    fn refuse_type(&mut self, node: Node<'_>, name: &str, wanted: &str) {
        let failure = self.wrong_type(node, name, wanted);
        self.failures.push(failure);
    }

    fn string(&mut self, parent: Node<'_>, parent_path: &str, key: &str) -> Option<String> {
        let node = parent.get(key)?;
        let text = node.as_str();
        if text.is_none() {
            self.refuse_type(node, &path(parent_path, key), "a string");
        }
        text.map(str::to_owned)
    }

    fn boolean(&mut self, parent: Node<'_>, parent_path: &str, key: &str) -> Option<bool> {
        let node = parent.get(key)?;
        let value = node.as_bool();
        if value.is_none() {
            self.refuse_type(node, &path(parent_path, key), "true or false");
        }
        value
    }

    fn object<'d>(&mut self, parent: Node<'d>, parent_path: &str, key: &str) -> Option<Node<'d>> {
        let node = parent.get(key)?;
        if node.kind() != Kind::Object {
            self.refuse_type(node, &path(parent_path, key), "an object");
            return None;
        }
        Some(node)
    }

    fn strings(&mut self, parent: Node<'_>, parent_path: &str, key: &str) -> Option<Vec<String>> {
        let node = parent.get(key)?;
        let name = path(parent_path, key);
        if node.kind() != Kind::Array {
            self.refuse_type(node, &name, "an array of strings");
            return None;
        }
        Some(self.items(node, &name))
    }

    fn items(&mut self, array: Node<'_>, name: &str) -> Vec<String> {
        let mut items = Vec::new();
        for (index, item) in array.items().enumerate() {
            match item.as_str() {
                Some(text) => items.push(text.to_owned()),
                None => self.refuse_type(item, &format!("{name}[{index}]"), "a string"),
            }
        }
        items
    }

    fn value(&mut self, parent: Node<'_>, key: &str) -> Option<Value> {
        parent.get(key)?.to_value().map_or_else(
            |failure| {
                self.failures.push(failure);
                None
            },
            Some,
        )
    }

    /// A string that follows a grammar; the grammar's own failure gets the place.
    fn checked<T>(
        &mut self,
        root: Node<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Failure>,
    ) -> Option<T> {
        let text = self.string(root, "", key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(failure) => {
                let place = root.get(key).map_or(Place::file(self.file), Node::place);
                self.failures.push(failure.place(place));
                None
            }
        }
    }

    fn dependencies(&mut self, root: Node<'_>) -> Vec<Dependency> {
        let mut dependencies: Vec<Dependency> = Vec::new();
        for field in DependencyField::ALL {
            let Some(object) = self.object(root, "", field.as_str()) else {
                continue;
            };
            for member in object.members() {
                match member.value.as_str() {
                    Some(spec) => dependencies.push(Dependency {
                        field,
                        name: member.key.to_owned(),
                        spec: spec.to_owned(),
                    }),
                    None => {
                        self.refuse_type(
                            member.value,
                            &path(field.as_str(), member.key),
                            "a string",
                        );
                    }
                }
            }
        }
        dependencies
    }

    fn workspaces(&mut self, root: Node<'_>) -> Option<Vec<String>> {
        let node = root.get("workspaces")?;
        match node.kind() {
            Kind::Array => Some(self.items(node, "workspaces")),
            Kind::Object => self.strings(node, "workspaces", "packages"),
            _ => {
                self.refuse_type(node, "workspaces", "an array of strings");
                None
            }
        }
    }

    fn optional_peers(&mut self, root: Node<'_>) -> BTreeSet<String> {
        const FIELD: &str = "peerDependenciesMeta";
        let mut optional = BTreeSet::new();
        let Some(object) = self.object(root, "", FIELD) else {
            return optional;
        };
        for name in object.members().map(|member| member.key) {
            let Some(peer) = self.object(object, FIELD, name) else {
                continue;
            };
            if self.boolean(peer, &path(FIELD, name), "optional") == Some(true) {
                optional.insert(name.to_owned());
            }
        }
        optional
    }

    /// A list, an object's names, or `true`: all of `dependencies`
    /// ([npm](https://github.com/npm/package-json/blob/main/lib/normalize.js), which passes over anything else).
    fn bundled(&mut self, root: Node<'_>, dependencies: &[Dependency]) -> BTreeSet<String> {
        let mut fields = BUNDLED.iter();
        let found = fields.find_map(|field| Some((*field, root.get(field)?)));
        let Some((field, node)) = found else {
            return BTreeSet::new();
        };
        match (node.as_bool(), node.kind()) {
            (Some(true), _) => {
                let all = dependencies.iter();
                let all = all.filter(|one| one.field == DependencyField::Dependencies);
                all.map(|dependency| dependency.name.clone()).collect()
            }
            (Some(false), _) | (None, Kind::Null) => BTreeSet::new(),
            (None, Kind::Array) => self.items(node, field).into_iter().collect(),
            (None, Kind::Object) => node.members().map(|member| member.key.to_owned()).collect(),
            (None, _) => {
                self.refuse_type(node, field, "an array of strings");
                BTreeSet::new()
            }
        }
    }

    fn scripts(&mut self, root: Node<'_>) -> BTreeMap<String, String> {
        let Some(object) = self.object(root, "", "scripts") else {
            return BTreeMap::new();
        };
        let mut scripts = BTreeMap::new();
        for member in object.members() {
            match member.value.as_str() {
                Some(script) => scripts.insert(member.key.to_owned(), script.to_owned()),
                None => scripts.remove(member.key),
            };
        }
        scripts
    }

    fn bin(&mut self, root: Node<'_>, package: Option<&PackageName>) -> BTreeMap<String, String> {
        let Some(node) = root.get("bin") else {
            return BTreeMap::new();
        };
        match (node.as_str(), node.kind()) {
            (Some(file), _) => package
                .map(|package| (package.without_scope().to_owned(), file.to_owned()))
                .into_iter()
                .collect(),
            (None, Kind::Object) => {
                let mut commands = BTreeMap::new();
                for member in node.members() {
                    match member.value.as_str() {
                        Some(file) => {
                            commands.insert(member.key.to_owned(), file.to_owned());
                        }
                        None => {
                            self.refuse_type(member.value, &path("bin", member.key), "a string");
                        }
                    }
                }
                commands
            }
            _ => {
                self.refuse_type(node, "bin", "a string or an object");
                BTreeMap::new()
            }
        }
    }

    fn publish_config(&mut self, root: Node<'_>) -> PublishConfig {
        const FIELD: &str = "publishConfig";
        let Some(object) = self.object(root, "", FIELD) else {
            return PublishConfig::default();
        };
        for member in object.duplicates() {
            self.duplicate(&path(FIELD, member.key), member.place());
        }
        PublishConfig {
            access: self.access(object),
            provenance: self.provenance(object),
            tag: self.string(object, FIELD, "tag"),
            registry: self.string(object, FIELD, "registry"),
            registries: self.registries(object),
        }
    }

    fn registries(&mut self, object: Node<'_>) -> BTreeMap<String, String> {
        let members: Vec<_> = object.members().collect();
        let of_scope = members.into_iter().filter_map(|member| {
            let scope = member.key.strip_suffix(":registry")?;
            let is_scope = scope.starts_with('@');
            let address = is_scope.then(|| self.string(object, "publishConfig", member.key));
            Some((scope.to_owned(), address??))
        });
        of_scope.collect()
    }

    /// `null` is what npm itself writes for "not set".
    fn provenance(&mut self, object: Node<'_>) -> Wanted {
        let Some(node) = object.get("provenance") else {
            return Wanted::ByNpmsRule;
        };
        match (node.as_bool(), node.as_str(), node.kind()) {
            (Some(wanted), _, _) => wanted.into(),
            (None, Some("true"), _) => Wanted::Yes,
            (None, Some("false"), _) => Wanted::No,
            (None, None, Kind::Null) => Wanted::ByNpmsRule,
            _ => {
                self.refuse_type(node, "publishConfig.provenance", "true or false");
                Wanted::ByNpmsRule
            }
        }
    }

    /// `null` is what npm itself writes for "not set".
    fn access(&mut self, object: Node<'_>) -> Option<Access> {
        let node = object.get("access")?;
        match (node.as_str(), node.kind()) {
            (Some("public"), _) => Some(Access::Public),
            (Some("restricted"), _) => Some(Access::Restricted),
            (None, Kind::Null) => None,
            (Some(other), _) => {
                let failure = Failure::new(
                    Exit::Refused,
                    "workspace::field",
                    format!("publishConfig.access in {} is {}", self.file, quoted(other)),
                )
                .hint("write \"public\" or \"restricted\"");
                self.failures.push(failure.place(node.place()));
                None
            }
            (None, _) => {
                self.refuse_type(node, "publishConfig.access", "a string");
                None
            }
        }
    }
}

/// One change of a `package.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new `version`.
    SetVersion(Version),
    /// A new spec for a declared dependency.
    SetSpec {
        /// The field it stands in.
        field: DependencyField,
        /// Its key.
        name: String,
        /// The new spec.
        spec: String,
    },
}

/// The text after the changes: the same bytes but for the values. Of duplicate keys the last is edited, the one that Node reads.
///
/// # Errors
/// Those of [`Document::parse`]; `workspace::field` where there is no string to change.
///
/// ```
/// use pkgs_action::version::Version;
/// use pkgs_action::workspace::package_json::{Change, edit};
/// let changes = [Change::SetVersion(Version::new(1, 1, 0))];
/// assert_eq!(edit("package.json", "{ \"version\":\t'1.0.0' }".replace('\'', "\"").as_str(), &changes).unwrap(),
///     "{ \"version\":\t\"1.1.0\" }");
/// ```
pub fn edit(file: &str, text: &str, changes: &[Change]) -> Result<String, Failure> {
    let document = Document::parse(file, text, LONGEST_MANIFEST)?;
    let root = document.root();
    let mut edits = document.edits();
    let mut failures = Vec::new();
    for change in changes {
        let (node, name, text) = match change {
            Change::SetVersion(version) => (
                root.get("version"),
                "version".to_owned(),
                version.to_string(),
            ),
            Change::SetSpec { field, name, spec } => (
                root.get(field.as_str()).and_then(|object| object.get(name)),
                path(field.as_str(), name),
                spec.clone(),
            ),
        };
        match node.filter(|node| node.kind() == Kind::String) {
            Some(node) => edits.set(node, &text),
            None => failures.push(
                Failure::new(
                    Exit::Refused,
                    "workspace::field",
                    format!("{file} has no string {name} to change"),
                )
                .place(node.map_or(Place::file(file), Node::place)),
            ),
        }
    }
    match Failure::all(failures) {
        None => Ok(edits.apply()),
        Some(failure) => Err(failure),
    }
}

/// The address that `repository` holds, alone or under `url`.
fn address(node: Node<'_>) -> Option<String> {
    let text = node.as_str().or_else(|| node.get("url")?.as_str());
    text.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::json::string;
    use proptest::prelude::*;

    fn parse(text: &str) -> PackageJson {
        PackageJson::parse("package.json", text).expect(text)
    }

    fn check(text: &str, problems: &[(&str, &str, (usize, usize))]) {
        let failure = PackageJson::parse("package.json", text).expect_err(text);
        let found: Vec<_> = failure
            .each()
            .map(|one| {
                assert_eq!(one.exit(), Exit::Refused);
                (
                    one.code(),
                    one.what(),
                    one.where_in().and_then(|place| place.position).unwrap(),
                )
            })
            .collect();
        assert_eq!(found, problems, "{text}");
    }

    #[test]
    fn everything_is_read() {
        let package = parse(
            r#"{
  "name": "@x/web", "version": "1.2.3-beta.1", "private": true, "description": "d",
  "workspaces": {"packages": ["packages/*"], "nohoist": []},
  "dependencies": {"koa": "^2.0.0", "a": "npm:@x/a@1"},
  "devDependencies": {"koa": "2"}, "optionalDependencies": {"fsevents": "*"},
  "peerDependencies": {"react": ">=18"}, "peerDependenciesMeta": {"react": {"optional": true}, "vue": {}},
  "bundledDependencies": true,
  "scripts": {"start": "node .", "comment": ["x"]},
  "files": ["dist"], "main": "a.js", "module": "a.mjs", "browser": {"a": false}, "typings": "a.d.ts",
  "exports": {".": "./a.js"}, "bin": "cli.js",
  "publishConfig": {"access": "public", "tag": "next", "registry": "https://r.example/", "provenance": true, "directory": "dist", "main": "b.js"},
  "packageManager": "npm@11.6.0", "engines": {"node": ">=20", "npm": "*"},
  "repository": {"type": "git", "url": "git+https://h.example/r.git", "directory": "packages/web"},
  "pkgs": {"mode": "diff"}
}"#,
        );
        assert_eq!(package.name.as_ref().unwrap().as_str(), "@x/web");
        assert_eq!(
            package.version.as_ref().unwrap().to_string(),
            "1.2.3-beta.1"
        );
        assert!(package.private);
        assert_eq!(package.workspaces.as_deref().unwrap(), ["packages/*"]);
        let dependencies: Vec<String> = package
            .dependencies
            .iter()
            .map(|one| format!("{} {} {}", one.field, one.name, one.spec))
            .collect();
        assert_eq!(
            dependencies,
            [
                "dependencies koa ^2.0.0",
                "dependencies a npm:@x/a@1",
                "optionalDependencies fsevents *",
                "peerDependencies react >=18",
                "devDependencies koa 2"
            ]
        );
        assert_eq!(package.optional_peers, BTreeSet::from(["react".to_owned()]));
        assert_eq!(
            package.bundled,
            BTreeSet::from(["a", "koa"].map(str::to_owned))
        );
        assert_eq!(package.scripts.len(), 1);
        assert_eq!(package.bin["web"], "cli.js");
        assert_eq!(package.publish_config.access, Some(Access::Public));
        assert_eq!(package.pkgs, Some(serde_json::json!({"mode": "diff"})));
        assert_eq!(parse("\u{feff}{}\n"), PackageJson::default());
    }

    #[test]
    fn all_problems_come_at_once() {
        check(
            "{\n  \"name\": null,\n  \"version\": {},\n  \"private\": \"false\"\n}",
            &[
                (
                    "workspace::field",
                    "name in package.json is not a string",
                    (2, 11),
                ),
                (
                    "workspace::field",
                    "version in package.json is not a string",
                    (3, 14),
                ),
                (
                    "workspace::field",
                    "private in package.json is not true or false",
                    (4, 14),
                ),
            ],
        );
        check(
            "[]",
            &[(
                "workspace::field",
                "the file in package.json is not an object",
                (1, 1),
            )],
        );
        check(
            r#"{"version": "1.0", "name": "A"}"#,
            &[
                (
                    "version::form",
                    "\"1.0\" is not a version: it does not follow semver 2.0",
                    (1, 13),
                ),
                (
                    "name::package",
                    "\"A\" is not a package name: each part starts with a lowercase letter or a digit",
                    (1, 28),
                ),
            ],
        );
        check(
            r#"{"dependencies": {"@x/a": 1}, "workspaces": ["a", 2], "bin": {"x": []}, "publishConfig": {"access": "all"}}"#,
            &[
                (
                    "workspace::field",
                    "dependencies[\"@x/a\"] in package.json is not a string",
                    (1, 27),
                ),
                (
                    "workspace::field",
                    "workspaces[1] in package.json is not a string",
                    (1, 51),
                ),
                (
                    "workspace::field",
                    "bin.x in package.json is not a string",
                    (1, 68),
                ),
                (
                    "workspace::field",
                    "publishConfig.access in package.json is \"all\"",
                    (1, 101),
                ),
            ],
        );
    }

    #[test]
    fn duplicates_that_decide_are_refused() {
        check(
            r#"{"name": "a", "name": "b", "dependencies": {"a": "1", "b": "1", "a": "2"}, "scripts": {"x": "1", "x": "2"}}"#,
            &[
                (
                    "workspace::json_duplicate",
                    "package.json holds name twice",
                    (1, 15),
                ),
                (
                    "workspace::json_duplicate",
                    "package.json holds dependencies.a twice",
                    (1, 65),
                ),
            ],
        );
        check(
            r#"{"publishConfig": {"registry": "a", "registry": "b"}}"#,
            &[(
                "workspace::json_duplicate",
                "package.json holds publishConfig.registry twice",
                (1, 37),
            )],
        );
    }

    #[test]
    fn bundled_dependencies_are_read_as_npm_reads_them() {
        for (fields, names) in [
            (r#""bundleDependencies": ["a"]"#, &["a"][..]),
            (r#""bundledDependencies": ["a", "x"]"#, &["a", "x"]),
            (
                r#""bundledDependencies": ["a"], "bundleDependencies": ["b"]"#,
                &["b"],
            ),
            (
                r#""bundledDependencies": ["a"], "bundleDependencies": null"#,
                &[],
            ),
            (
                r#""bundledDependencies": true, "bundleDependencies": false"#,
                &[],
            ),
            (r#""bundleDependencies": true"#, &["a", "b"]),
            (
                r#""bundleDependencies": {"b": "1", "c": false}"#,
                &["b", "c"],
            ),
            (r#""bundleDependencies": []"#, &[]),
        ] {
            let text = format!(
                r#"{{"dependencies": {{"a": "1", "b": "1"}}, "optionalDependencies": {{"c": "1"}}, {fields}}}"#
            );
            let bundled = parse(&text).bundled;
            assert!(
                bundled.iter().map(String::as_str).eq(names.iter().copied()),
                "{text}: {bundled:?}"
            );
        }
        check(
            r#"{"bundleDependencies": "a"}"#,
            &[(
                "workspace::field",
                "bundleDependencies in package.json is not an array of strings",
                (1, 24),
            )],
        );
        check(
            r#"{"bundledDependencies": ["a", 1]}"#,
            &[(
                "workspace::field",
                "bundledDependencies[1] in package.json is not a string",
                (1, 31),
            )],
        );
        check(
            r#"{"bundleDependencies": [], "bundleDependencies": ["a"]}"#,
            &[(
                "workspace::json_duplicate",
                "package.json holds bundleDependencies twice",
                (1, 28),
            )],
        );
    }

    #[test]
    fn too_large_a_file_is_refused() {
        let text = format!("{{}}{}", " ".repeat(LONGEST_MANIFEST));
        let failure = PackageJson::parse("package.json", &text).unwrap_err();
        assert_eq!(failure.code(), "workspace::file_size");
    }

    fn set(name: &str, spec: &str) -> Change {
        Change::SetSpec {
            field: DependencyField::Dependencies,
            name: name.to_owned(),
            spec: spec.to_owned(),
        }
    }

    #[test]
    fn edits_keep_every_other_byte() {
        let to = |text: &str| {
            edit(
                "package.json",
                text,
                &[
                    Change::SetVersion(Version::new(2, 0, 0)),
                    set("@x/a", "^2.0.0"),
                ],
            )
            .unwrap()
        };
        for (before, after) in [
            (
                "\u{feff}{\r\n\t\"version\" :\"1.0.0\",\r\n\t\"dependencies\":{\"\\u0040x/a\":\r\n\"^1\"}}",
                "\u{feff}{\r\n\t\"version\" :\"2.0.0\",\r\n\t\"dependencies\":{\"\\u0040x/a\":\r\n\"^2.0.0\"}}",
            ),
            (
                r#"{"version":"1.0.0","version":"1.0.1","dependencies":{},"dependencies":{"@x/a":"1","@x/a":"2"}}"#,
                r#"{"version":"1.0.0","version":"2.0.0","dependencies":{},"dependencies":{"@x/a":"1","@x/a":"^2.0.0"}}"#,
            ),
            (
                r#"{"x":{"version":"1"},"version":"\u0032.0.0","dependencies":{"@x/a":"1"}}"#,
                r#"{"x":{"version":"1"},"version":"\u0032.0.0","dependencies":{"@x/a":"^2.0.0"}}"#,
            ),
            (
                r#"{"version":"1.0.0","bundleDependencies":["@x/a", "b"],"bundledDependencies":true,"dependencies":{"@x/a":"1"}}"#,
                r#"{"version":"2.0.0","bundleDependencies":["@x/a", "b"],"bundledDependencies":true,"dependencies":{"@x/a":"^2.0.0"}}"#,
            ),
        ] {
            assert_eq!(to(before), after);
        }
    }

    #[test]
    fn what_is_not_there_cannot_be_edited() {
        let failure = edit(
            "package.json",
            r#"{"dependencies": []}"#,
            &[Change::SetVersion(Version::new(1, 0, 0)), set("a", "1")],
        )
        .unwrap_err();
        let whats: Vec<&str> = failure.each().map(Failure::what).collect();
        assert_eq!(
            whats,
            [
                "package.json has no string version to change",
                "package.json has no string dependencies.a to change"
            ]
        );
    }

    proptest! {
        #[test]
        fn an_edit_sets_the_value_and_nothing_else(
            names in prop::collection::btree_set("[a-z@/]{1,6}", 1..6),
            specs in prop::collection::vec(any::<String>(), 6),
            chosen in any::<prop::sample::Index>(), new in any::<String>(), space in r"[ \t\r\n]{0,4}",
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let chosen = chosen.index(names.len());
            let text = |changed: Option<&str>| {
                let members: Vec<String> = names.iter().zip(&specs).enumerate().map(|(index, (name, spec))| {
                    let spec = if index == chosen { changed.unwrap_or(spec) } else { spec };
                    format!("{}:{space}{}", string(name), string(spec))
                }).collect();
                format!("{{{space}\"dependencies\"{space}:{{{}}}{space}}}{space}", members.join(","))
            };
            prop_assert_eq!(edit("x", &text(None), &[set(&names[chosen], &new)]).unwrap(), text(Some(&new)));
        }
    }
}
