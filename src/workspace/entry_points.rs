//! The ways into a package that its `package.json` names, and whether its tarball holds them.
//!
//! `main`, `module`, `browser`, `types`, `exports` and `bin` are looked up as [Node](https://nodejs.org/api/modules.html#all-together),
//! TypeScript, bundlers and npm do it, with every freedom that one of them takes: what works for somebody is never refused.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::workspace::javascript::is_true;
use crate::workspace::json::path;
use crate::workspace::pack_list::Bins;

/// What Node, bundlers and Metro add to a path that names no file.
const MODULES: [&str; 11] = [
    "js", "json", "node", "mjs", "cjs", "ts", "mts", "cts", "tsx", "jsx", "wasm",
];
/// What Metro puts before these, for one platform each.
const PLATFORMS: [&str; 4] = ["", "native.", "ios.", "android."];
/// What TypeScript adds to a path that names no file.
const TYPES: [&str; 7] = ["d.ts", "d.mts", "d.cts", "ts", "tsx", "mts", "cts"];
/// What TypeScript looks for beside a file of JavaScript.
const DECLARED: [(&str, &str); 4] = [
    (".js", ".d.ts"),
    (".jsx", ".d.ts"),
    (".mjs", ".d.mts"),
    (".cjs", ".d.cts"),
];
/// What makes a package more than types.
const RUN: [&str; 7] = ["js", "mjs", "cjs", "jsx", "node", "wasm", "tsx"];

/// A package as it is packed.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'p> {
    /// What messages call its `package.json`.
    pub file: &'p str,
    /// What that says in the tarball.
    pub manifest: &'p Value,
    /// The paths in the tarball.
    pub paths: &'p BTreeSet<&'p str>,
    /// Every path in the package's directory, packed or not.
    pub present: &'p BTreeSet<&'p str>,
}

/// The fields of a `package.json` that name files which the tarball does not hold.
///
/// * `main`: that file, with one of Node's extensions, as a directory, or else `index.js` at the top. Where there are `exports`, nothing that
///   reads those looks at `main`, and a package of types alone has nothing to run.
/// * `module`, and `browser` where it is a path: the same, without `index.js` at the top.
/// * `types`, `typings`: as TypeScript resolves them. Where `typesVersions` leads elsewhere, they are not looked at.
/// * `exports`: every target of every subpath and condition as it is written, as Node demands; one with `*` must be like one file at least.
///   A `null` is none. Not looked at are conditions that only the workspace itself sets: `source`, and names such as `@acme/source`.
/// * `bin`: exactly that file.
///
/// # Errors
/// Gives a `build::entry_point`, exit 3, for each.
#[must_use]
pub fn missing(package: Packed<'_>) -> Vec<Failure> {
    let mut search = Search {
        package,
        failures: Vec::new(),
    };
    search.main();
    for field in ["module", "browser"] {
        if let Some(text) = search.text(field)
            && !search.is_module(&cleaned(text))
        {
            search.refuse(field, text, Why::Absent);
        }
    }
    search.types();
    match package.manifest.get("exports") {
        None | Some(Value::Null) => {}
        Some(Value::Object(subpaths)) => search.subpaths(subpaths),
        Some(target) => search.target("exports", target, false, false),
    }
    search.bin();
    search.failures
}

/// What is wrong with a path.
#[derive(Clone, Copy)]
enum Why {
    /// There is no such file.
    Absent,
    /// No file is like it.
    NoneLike,
    /// It does not begin with `./`.
    NotRelative,
}

struct Search<'p> {
    package: Packed<'p>,
    failures: Vec<Failure>,
}

impl<'p> Search<'p> {
    fn text(&self, field: &str) -> Option<&'p str> {
        let text = self.package.manifest.get(field)?.as_str()?;
        (!text.is_empty()).then_some(text)
    }

    fn main(&mut self) {
        let Some(main) = self.text("main") else {
            return;
        };
        let has_exports = |exports: &Value| !exports.is_null();
        let is_read = !self
            .package
            .manifest
            .get("exports")
            .is_some_and(has_exports);
        if is_read
            && !self.is_module(&cleaned(main))
            && !self.has_any("", "index", &MODULES)
            && !self.is_types_alone()
        {
            self.refuse("main", main, Why::Absent);
        }
    }

    /// TypeScript takes `typings` where both are there, and falls back to `index.d.ts`.
    fn types(&mut self) {
        if self.package.manifest.get("typesVersions").is_some() {
            return;
        }
        let mut fields = ["typings", "types"].into_iter();
        let Some((field, types)) = fields.find_map(|field| Some((field, self.text(field)?))) else {
            return;
        };
        if !self.is_types(&cleaned(types)) && !self.has_any("", "index", &TYPES) {
            self.refuse(field, types, Why::Absent);
        }
    }

    fn bin(&mut self) {
        let Some(bin) = self.package.manifest.get("bin").filter(|bin| is_true(bin)) else {
            return;
        };
        for (name, target) in Bins::of(self.package.manifest, &[]).named() {
            if !self.has(target) {
                let field = match bin {
                    Value::Object(_) => path("bin", name),
                    _ => "bin".to_owned(),
                };
                self.refuse(&field, target, Why::Absent);
            }
        }
    }

    /// `exports` as an object: subpaths, which all begin with a dot, or conditions.
    fn subpaths(&mut self, exports: &Map<String, Value>) {
        for (key, target) in exports {
            let field = path("exports", key);
            if key.starts_with('.') {
                self.target(&field, target, key.contains('*'), false);
            } else {
                self.condition("exports", key, target, false, false);
            }
        }
    }

    fn condition(&mut self, parent: &str, key: &str, target: &Value, stars: bool, types: bool) {
        let is_own = key == "source" || key.starts_with('@');
        if !is_own {
            let types = types || key == "types" || key.starts_with("types@");
            self.target(&path(parent, key), target, stars, types);
        }
    }

    /// One target; with `stars`, a `*` in it stands for what the subpath's stands for. With `types`, TypeScript alone reads it.
    fn target(&mut self, field: &str, target: &Value, stars: bool, types: bool) {
        match target {
            Value::String(text) => self.file(field, text, stars, types),
            Value::Array(targets) => {
                // Node passes over those that it cannot read.
                let is_read =
                    |target: &Value| target.as_str().is_none_or(|text| text.starts_with("./"));
                for (at, target) in targets.iter().enumerate().filter(|(_, one)| is_read(one)) {
                    self.target(&format!("{field}[{at}]"), target, stars, types);
                }
            }
            Value::Object(conditions) => {
                for (key, target) in conditions {
                    self.condition(field, key, target, stars, types);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn file(&mut self, field: &str, text: &str, stars: bool, types: bool) {
        if !text.starts_with("./") {
            self.refuse(field, text, Why::NotRelative);
            return;
        }
        let path = cleaned(text);
        let is_like = |pattern: &str| self.package.paths.iter().any(|path| like(pattern, path));
        let (is_there, why) = if stars && path.contains('*') {
            let there = is_like(&path) || types && declared(&path).any(|path| is_like(&path));
            (there, Why::NoneLike)
        } else if text.ends_with('/') {
            (self.has_below(&path), Why::NoneLike)
        } else {
            (
                self.has(&path) || types && self.is_types(&path),
                Why::Absent,
            )
        };
        if !is_there {
            self.refuse(field, text, why);
        }
    }

    fn has(&self, path: &str) -> bool {
        self.package.paths.contains(path)
    }

    fn has_below(&self, directory: &str) -> bool {
        let directory = format!("{directory}/");
        let mut behind = self.package.paths.range(directory.as_str()..);
        behind
            .next()
            .is_some_and(|path| path.starts_with(&directory))
    }

    /// Whether `name` is in a directory with one of the extensions.
    fn has_any(&self, directory: &str, name: &str, extensions: &[&str]) -> bool {
        let slash = if directory.is_empty() { "" } else { "/" };
        self.has_one(&format!("{directory}{slash}{name}"), extensions)
    }

    fn has_one(&self, base: &str, extensions: &[&str]) -> bool {
        let mut each = extensions.iter();
        each.any(|extension| {
            let mut platforms = PLATFORMS.iter();
            platforms.any(|platform| self.has(&format!("{base}.{platform}{extension}")))
        })
    }

    /// Whether a path leads to a module: a file, one with an extension, or a directory with an index or a `package.json` of its own.
    fn is_module(&self, path: &str) -> bool {
        self.has(path)
            || self.has_one(path, &MODULES)
            || self.has_any(path, "index", &MODULES)
            || !path.is_empty() && self.has(&format!("{path}/package.json"))
    }

    fn is_types(&self, path: &str) -> bool {
        self.has(path)
            || self.has_one(path, &TYPES)
            || self.has_any(path, "index", &TYPES)
            || declared(path).any(|path| self.has(&path))
    }

    fn is_types_alone(&self) -> bool {
        let types = self.text("types").or_else(|| self.text("typings"));
        let is_run = |path: &&str| {
            let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
            RUN.contains(&extension)
        };
        types.is_some_and(|types| self.is_types(&cleaned(types)))
            && !self.package.paths.iter().any(is_run)
    }

    fn refuse(&mut self, field: &str, named: &str, why: Why) {
        let file = self.package.file;
        let (what, cause, hint) = match why {
            Why::NotRelative => (
                "which Node does not follow",
                "every path in `exports` must begin with ./",
                "write it with ./ before it",
            ),
            Why::Absent if self.package.present.contains(cleaned(named).as_str()) => (
                "and its tarball does not hold it",
                "the file is there, and is not packed: `files`, an ignore file or its being a link leaves it out",
                "name it in `files`, or take it out of .npmignore or .gitignore",
            ),
            Why::Absent => (
                "and its tarball does not hold it",
                "there is no such file after the build",
                "build it before it is packed (`build`, a step before, or the script prepack), or correct the field",
            ),
            Why::NoneLike => (
                "and no file in its tarball is like that",
                "`*` must stand for one file at least",
                "build what it stands for before it is packed, name that in `files`, or take the line out",
            ),
        };
        let failure = Failure::new(
            Exit::Refused,
            "build::entry_point",
            format!("{field} of {file} names {}, {what}", quoted(named)),
        );
        self.failures
            .push(failure.because(cause).hint(hint).place(Place::file(file)));
    }
}

/// A path as the file system takes it: no empty parts, no `.`, and no `..` that stays inside; empty is the package itself. What leads out
/// is no path in a tarball.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The declarations that TypeScript takes for a file of JavaScript.
fn declared(path: &str) -> impl Iterator<Item = String> {
    DECLARED.iter().filter_map(|(script, types)| {
        let base = path.strip_suffix(script)?;
        Some(format!("{base}{types}"))
    })
}

/// Whether a path is what a pattern becomes when one text, which is not empty, takes the place of all its `*`.
fn like(pattern: &str, path: &str) -> bool {
    let stars = pattern.matches('*').count();
    let Some(rest) = path.len().checked_sub(pattern.len() - stars) else {
        return false;
    };
    let first = pattern.find('*').unwrap_or(pattern.len());
    let (Some(length), true) = (rest.checked_div(stars), rest > 0) else {
        return false;
    };
    let text = path.get(first..first + length);
    text.is_some_and(|text| pattern.replace('*', text) == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected`: the field of each failure.
    fn check(manifest: &str, paths: &str, expected: &str) {
        let manifest: Value = serde_json::from_str(manifest).unwrap();
        let paths = format!("package.json {paths}");
        let paths: BTreeSet<&str> = paths.split_whitespace().collect();
        let failures = missing(Packed {
            file: "a/package.json",
            manifest: &manifest,
            paths: &paths,
            present: &paths,
        });
        let fields = failures.iter().map(|failure| {
            let (field, _) = failure.what().split_once(" of a/package.json").unwrap();
            field
        });
        let fields: Vec<&str> = fields.collect();
        assert_eq!(fields.join(" "), expected, "{manifest} {paths:?}");
    }

    #[test]
    fn what_node_finds_as_main_is_there() {
        for (main, paths) in [
            ("lib/a.js", "lib/a.js"),
            ("./lib/a.js", "lib/a.js"),
            ("/lib/a.js", "lib/a.js"),
            ("lib/../b.js", "b.js"),
            ("lib/a", "lib/a.js"),
            ("lib/a", "lib/a.json"),
            ("lib/a", "lib/a.node"),
            ("lib/a", "lib/a.cjs"),
            ("src/a", "src/a.native.ts"),
            ("lib", "lib/index.js"),
            ("lib/", "lib/index.json"),
            ("lib", "lib/package.json lib/x.js"),
            (".", "index.js"),
            ("", "a.css"),
            ("none.js", "index.js"),
            ("style.css", "style.css"),
        ] {
            check(&format!(r#"{{"main": "{main}"}}"#), paths, "");
        }
        for (main, paths) in [
            ("lib/a.js", "lib/b.js"),
            ("lib/a.js", "lib/a.js.map lib/a.d.ts"),
            ("lib/a", "lib/a.d.ts lib/a.test.js"),
            ("Lib/a.js", "lib/a.js"),
            ("lib", "lib/a.js"),
            ("../a.js", "a.js"),
            ("../a/lib/a.js", "lib/a.js"),
            ("index.js", "cli.js"),
            ("dist/index.js", "src/index.js dist/index.cjs"),
        ] {
            check(&format!(r#"{{"main": "{main}"}}"#), paths, "main");
        }
        check("{}", "", "");
        check(r#"{"main": 1}"#, "", "");
        check(r#"{"main": {"a": "b"}}"#, "", "");
    }

    #[test]
    fn main_is_not_read_beside_exports_nor_needed_by_types() {
        let exports = r#"{"main": "a.js", "exports": "./b.js"}"#;
        check(exports, "b.js", "");
        check(exports, "a.js", "exports");
        check(r#"{"main": "a.js", "exports": null}"#, "b.js", "main");
        let types = r#"{"main": "index.js", "types": "index.d.ts"}"#;
        check(types, "index.d.ts README.md", "");
        check(types, "index.d.ts lib.js", "main");
        check(types, "lib.js", "main types");
    }

    #[test]
    fn module_and_browser_are_paths() {
        check(
            r#"{"module": "es/a.mjs", "browser": "b"}"#,
            "es/a.mjs b.js",
            "",
        );
        check(
            r#"{"module": "es/a.mjs", "browser": "b.js"}"#,
            "index.js",
            "module browser",
        );
        check(r#"{"browser": {"./a.js": "./b.js", "fs": false}}"#, "", "");
    }

    #[test]
    fn types_are_found_as_typescript_finds_them() {
        for (types, paths) in [
            ("a.d.ts", "a.d.ts"),
            ("./a", "a.d.ts"),
            ("a", "a.ts"),
            ("lib", "lib/index.d.ts"),
            ("lib/a.js", "lib/a.d.ts"),
            ("lib/a.mjs", "lib/a.d.mts"),
            ("none.d.ts", "index.d.ts"),
        ] {
            check(&format!(r#"{{"types": "{types}"}}"#), paths, "");
            check(&format!(r#"{{"typings": "{types}"}}"#), paths, "");
        }
        check(r#"{"types": "a.d.ts"}"#, "a.js", "types");
        check(
            r#"{"typings": "a.d.ts", "types": "b.d.ts"}"#,
            "b.d.ts",
            "typings",
        );
        let versions = r#"{"types": "index.d.ts", "typesVersions": {"*": {"*": ["ts/*"]}}}"#;
        check(versions, "ts/index.d.ts", "");
    }

    #[test]
    fn every_target_of_exports_is_there() {
        let check_exports = |exports: &str, paths: &str, expected: &str| {
            check(&format!(r#"{{"exports": {exports}}}"#), paths, expected);
        };
        for (exports, paths, expected) in [
            (r#""./a.js""#, "a.js", ""),
            (r#""./a""#, "a.js", "exports"),
            (r#""a.js""#, "a.js", "exports"),
            (r#""./lib""#, "lib/index.js", "exports"),
            (
                r#"{"import": "./a.mjs", "require": "./a.cjs"}"#,
                "a.mjs",
                "exports.require",
            ),
            (
                r#"{".": {"node": {"import": "./a.mjs"}, "default": "./b.js"}, "./x": {"import": "./x.js"}}"#,
                "b.js",
                r#"exports["."].node.import exports["./x"].import"#,
            ),
            (r#"{"./x": null, "./y": false, ".": "./a.js"}"#, "a.js", ""),
            (r#"{"./package.json": "./package.json"}"#, "", ""),
            (r#"["a.js", "./a.js", "./b.js"]"#, "a.js", "exports[2]"),
            (
                r#"[{"import": "./a.mjs"}, "./a.js"]"#,
                "a.js",
                "exports[0].import",
            ),
            (
                r#"{"source": "./src/a.ts", "@acme/source": "./src/a.ts", "default": "./a.js"}"#,
                "a.js",
                "",
            ),
            (
                r#"{"development": "./src/a.ts", "default": "./a.js"}"#,
                "a.js",
                "exports.development",
            ),
            (
                r#"{"types": "./a.js", "default": "./a.js"}"#,
                "a.js a.d.ts",
                "",
            ),
            (
                r#"{"types": {"import": "./a.d.mts"}, "default": "./a.js"}"#,
                "a.js",
                "exports.types.import",
            ),
            (r#"{"types@<5": "./b.mjs"}"#, "b.d.mts", ""),
            (r#"{"./lib/": "./lib/"}"#, "lib/a.js", ""),
            (
                r#"{"./lib/": "./lib/"}"#,
                "libs/a.js",
                r#"exports["./lib/"]"#,
            ),
        ] {
            check_exports(exports, paths, expected);
        }
    }

    #[test]
    fn a_pattern_is_like_one_file_at_least() {
        let check_pattern = |target: &str, paths: &str, is_there: bool| {
            let manifest = format!(r#"{{"exports": {{"./x/*": "{target}"}}}}"#);
            let expected = if is_there { "" } else { r#"exports["./x/*"]"# };
            check(&manifest, paths, expected);
        };
        for (target, paths, is_there) in [
            ("./lib/*.js", "lib/a.js", true),
            ("./lib/*.js", "lib/a/b.js", true),
            ("./lib/*.js", "lib/.js", false),
            ("./lib/*.js", "lib/a.mjs", false),
            ("./lib/*.js", "lib.js", false),
            ("./lib/*", "lib/é", true),
            ("./lib/*/*.js", "lib/a/a.js", true),
            ("./lib/*/*.js", "lib/a/b.js", false),
            ("./lib/*é/*.js", "lib/éé/é.js", true),
            ("./*", "", true),
            ("./lib/a.js", "lib/a.js", true),
        ] {
            check_pattern(target, paths, is_there);
        }
        check(
            r#"{"exports": {"./x": "./*.js"}}"#,
            "a.js",
            r#"exports["./x"]"#,
        );
        check(r#"{"exports": {"./*": {"types": "./*.js"}}}"#, "a.d.ts", "");
    }

    #[test]
    fn a_program_is_exactly_that_file() {
        check(r#"{"name": "a", "bin": "./cli.js"}"#, "cli.js", "");
        check(r#"{"name": "a", "bin": "cli"}"#, "cli.js", "bin");
        check(
            r#"{"bin": {"a": "a.js", "b-c": "b.js"}}"#,
            "a.js",
            r#"bin["b-c"]"#,
        );
        check(r#"{"bin": {"a": ""}, "directories": {"bin": "x"}}"#, "", "");
        check(r#"{"directories": {"bin": "x"}}"#, "", "");
    }

    #[test]
    fn what_is_there_and_not_packed_is_told() {
        let manifest = serde_json::json!({"main": "./lib/a.js"});
        let advice = |present: &[&str]| {
            let failures = missing(Packed {
                file: "package.json",
                manifest: &manifest,
                paths: &BTreeSet::new(),
                present: &present.iter().copied().collect(),
            });
            assert_eq!(failures.len(), 1);
            failures[0].advice().unwrap().to_owned()
        };
        assert!(advice(&["lib/a.js"]).starts_with("name it in `files`"));
        assert!(advice(&["lib/b.js"]).starts_with("build it before"));
    }
}
