//! Which files npm packs: the rules of `npm-packlist` 11 (npm 12), on a tree that was read beforehand.
//!
//! Rules come in levels, one for each directory on the way to a file. A level runs all its rules in order and the last that
//! matches wins; what an outer level drops, an inner one cannot bring back. These are not git's rules.

mod minimatch;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::explain::{Exit, Failure, quoted};
use minimatch::{Budget, Case, Pattern, Refusal};

/// The regular files of a package, as far as npm may look at them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageTree {
    /// Every regular file, without `node_modules` at the top and without any `.git`.
    pub files: Vec<TreeFile>,
    /// Every symbolic link and special file there; npm packs none of them.
    pub links: Vec<String>,
    /// The contents of `.npmignore` and `.gitignore` by directory, relative to the package; the package itself is empty.
    pub ignore_files: BTreeMap<String, IgnoreFiles>,
    /// The contents of the ignore file of each folder above the package, from the workspace's root down.
    pub outer_ignores: Vec<String>,
    /// The folders of workspace members inside this package, relative to it; npm does not pack them with it.
    pub members: Vec<String>,
}

/// The contents of a directory's `.npmignore` and `.gitignore`.
pub type IgnoreFiles = (Option<String>, Option<String>);

/// A regular file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path inside the package, `/`-separated.
    pub path: String,
    /// Whether its owner may run it.
    pub executable: bool,
}

/// What npm drops unless a later rule says otherwise.
const DEFAULTS: [&str; 22] = [
    ".npmignore",
    ".gitignore",
    "**/.git",
    "**/.svn",
    "**/.hg",
    "**/CVS",
    "**/.git/**",
    "**/.svn/**",
    "**/.hg/**",
    "**/CVS/**",
    "/.lock-wscript",
    "/.wafpickle-*",
    "/build/config.gypi",
    "npm-debug.log",
    "**/.npmrc",
    ".*.swp",
    ".DS_Store",
    "**/.DS_Store/**",
    "._*",
    "**/._*/**",
    "*.orig",
    "/archived-packages/**",
];

/// What no `files` and no ignore file can change.
const STRICT: [&str; 17] = [
    "/.git",
    "!/package.json",
    "!/readme{,.*[^~$]}",
    "!/copying{,.*[^~$]}",
    "!/license{,.*[^~$]}",
    "!/licence{,.*[^~$]}",
    "/.git",
    "/node_modules",
    ".npmrc",
    "/package-lock.json",
    "/npm-shrinkwrap.json",
    "/yarn.lock",
    "/pnpm-lock.yaml",
    "/bun.lockb",
    "/bun.lock",
    "/.npm-extension.mjs",
    "/.npm-extension.cjs",
];

/// The files that npm 12 packs from `tree`, in the order of its tarball ([`npm_order`]).
///
/// `package.json`, `README`, `COPYING`, `LICENSE` and `LICENCE` at the top and what `main`, `browser` and `bin` name are always in;
/// `node_modules`, lockfiles and `.npmrc` at the top never are. Names are compared without regard to case, but for the globs in
/// `files`, as npm does on Linux. Bundled dependencies are not known yet, so a package that has some is refused.
///
/// # Errors
/// Exit 3: `pack_list::files` when `files` is not a list of strings; `pack_list::bundled`; `pack_list::pattern` for a pattern that
/// is too long or takes too long.
///
/// ```
/// use pkgs_action::workspace::pack_list::{PackageTree, TreeFile, pack_list};
/// let files = ["package.json", "README.md", "lib/index.js", "test/a.js", "package-lock.json"];
/// let tree = PackageTree {
///     files: files.map(|path| TreeFile { path: path.to_owned(), executable: false }).to_vec(),
///     ..PackageTree::default()
/// };
/// let manifest = serde_json::json!({ "name": "a", "version": "1.0.0", "files": ["lib"] });
/// assert_eq!(pack_list(&manifest, &tree).unwrap(), ["lib/index.js", "package.json", "README.md"]);
/// ```
pub fn pack_list(manifest: &Value, tree: &PackageTree) -> Result<Vec<String>, Failure> {
    refuse_bundled(manifest)?;
    let budget = Budget::default();
    let root = Folder::of(&tree.files);
    let mut walk = Walk {
        tree,
        budget: &budget,
        inherited: patterns(DEFAULTS)?,
        strict: patterns(["/.git"])?,
        levels: vec![root_level(manifest, tree, &root, &budget)?],
        result: Vec::new(),
    };
    walk.folder(&root, "")?;
    let mut result = walk.result;
    if budget.is_spent() {
        return Err(refused(
            "pack_list::pattern",
            "the patterns in \"files\" and the ignore files take too long to match",
        )
        .hint("use fewer '**' and fewer patterns of the form !(…)"));
    }
    result.sort_by(|one, other| npm_order(one, other));
    Ok(result)
}

/// The symbolic links and special files that npm 12 would pack if they were regular files, in the order of its tarball.
///
/// # Errors
/// Those of [`pack_list`].
///
/// ```
/// use pkgs_action::workspace::pack_list::{PackageTree, TreeFile, dropped};
/// let tree = PackageTree {
///     files: vec![TreeFile { path: "package.json".to_owned(), executable: false }],
///     links: ["lib/new.js", "test/new.js"].map(str::to_owned).to_vec(),
///     ..PackageTree::default()
/// };
/// assert_eq!(dropped(&serde_json::json!({ "files": ["lib"] }), &tree).unwrap(), ["lib/new.js"]);
/// ```
pub fn dropped(manifest: &Value, tree: &PackageTree) -> Result<Vec<String>, Failure> {
    if tree.links.is_empty() {
        return Ok(Vec::new());
    }
    let mut as_files = tree.clone();
    let links = std::mem::take(&mut as_files.links);
    as_files.files.extend(links.iter().map(|path| TreeFile {
        path: path.clone(),
        executable: false,
    }));
    let links: BTreeSet<&String> = links.iter().collect();
    let mut listed = pack_list(manifest, &as_files)?;
    listed.retain(|path| links.contains(path));
    Ok(listed)
}

fn refused(code: &'static str, what: impl Into<String>) -> Failure {
    Failure::new(Exit::Refused, code, what)
}

fn refuse_bundled(manifest: &Value) -> Result<(), Failure> {
    let bundled = manifest
        .get("bundleDependencies")
        .or_else(|| manifest.get("bundledDependencies"));
    let depends_on = |name: &str| {
        ["dependencies", "optionalDependencies"]
            .iter()
            .any(|field| manifest.get(field).and_then(|all| all.get(name)).is_some())
    };
    let has_some = match bundled {
        Some(Value::Bool(true)) => manifest
            .get("dependencies")
            .and_then(Value::as_object)
            .is_some_and(|all| !all.is_empty()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(depends_on),
        Some(Value::Object(names)) => names.keys().any(|name| depends_on(name)),
        _ => false,
    };
    if has_some {
        return Err(refused(
            "pack_list::bundled",
            "the package bundles dependencies, which cannot be packed yet",
        )
        .hint("remove \"bundleDependencies\" from package.json"));
    }
    Ok(())
}

/// A directory of the tree.
#[derive(Debug, Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    files: Vec<&'a str>,
}

impl<'a> Folder<'a> {
    fn of(files: &'a [TreeFile]) -> Folder<'a> {
        let mut root = Folder::default();
        for file in files {
            let mut folder = &mut root;
            let mut parts = file.path.split('/').peekable();
            while let Some(part) = parts.next() {
                if parts.peek().is_some() {
                    folder = folder.folders.entry(part).or_default();
                } else {
                    folder.files.push(part);
                }
            }
        }
        root
    }

    /// Every path below, and whether it is a directory.
    fn each(&self, at: &str, found: &mut dyn FnMut(&str, bool)) {
        for file in &self.files {
            found(&join(at, file), false);
        }
        for (name, folder) in &self.folders {
            let path = join(at, name);
            found(&path, true);
            folder.each(&path, found);
        }
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}/{name}")
    }
}

fn patterns<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Pattern>, Failure> {
    lines
        .into_iter()
        .map(|line| line.trim_matches(is_space))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            Pattern::parse(line, Case::Ignored).map_err(|Refusal(why)| {
                refused(
                    "pack_list::pattern",
                    format!("cannot use the pattern {}: {why}", quoted(line)),
                )
            })
        })
        .collect()
}

/// What JavaScript's `trim` takes for space: Unicode's, and the byte order mark.
fn is_space(character: char) -> bool {
    character.is_whitespace() && character != '\u{85}' || character == '\u{feff}'
}

/// The rules of one directory.
struct Level {
    /// The directory's own name; empty for the package.
    name: String,
    rules: Vec<Pattern>,
    /// Whether a rule above meant exactly this directory: then a file in it may be in although the level above says no.
    exact: bool,
}

fn root_level(
    manifest: &Value,
    tree: &PackageTree,
    root: &Folder<'_>,
    budget: &Budget,
) -> Result<Level, Failure> {
    let mut rules = patterns(DEFAULTS)?;
    for outer in &tree.outer_ignores {
        rules.extend(patterns(outer.lines())?);
    }
    rules.extend(patterns(tree.members.iter().map(String::as_str))?);
    match files_rules(manifest, root, budget)? {
        Some(lines) => rules.extend(patterns(lines.iter().map(String::as_str))?),
        None => rules.extend(ignore_rules(tree, "")?),
    }
    rules.extend(patterns(STRICT)?);
    let always = named_by_manifest(manifest, root);
    rules.extend(patterns(always.iter().map(String::as_str))?);
    rules.extend(patterns(patch_files(manifest).iter().map(String::as_str))?);
    Ok(Level {
        name: String::new(),
        rules,
        exact: false,
    })
}

/// The rules of a directory's own ignore file: `.npmignore`, even an empty one, counts instead of `.gitignore`.
fn ignore_rules(tree: &PackageTree, directory: &str) -> Result<Vec<Pattern>, Failure> {
    match tree.ignore_files.get(directory) {
        Some((Some(text), _) | (None, Some(text))) => patterns(text.lines()),
        _ => Ok(Vec::new()),
    }
}

/// The rules that the `files` of package.json become; `None` where it has none.
fn files_rules(
    manifest: &Value,
    root: &Folder<'_>,
    budget: &Budget,
) -> Result<Option<Vec<String>>, Failure> {
    let not_a_list = || {
        refused(
            "pack_list::files",
            "\"files\" in package.json is not a list of strings",
        )
        .hint("write it as \"files\": [\"lib\"]")
    };
    let entries = match manifest.get("files") {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(not_a_list()),
    };
    let mut rules = vec!["*".to_owned()];
    for entry in entries {
        let entry = entry.as_str().ok_or_else(not_a_list)?;
        let (mark, glob) = if entry.starts_with('!') {
            ("", entry.trim_start_matches('!'))
        } else {
            ("!", entry)
        };
        let glob = glob
            .strip_prefix("./")
            .or_else(|| glob.strip_prefix('/'))
            .unwrap_or(glob)
            .trim_end_matches('/');
        // npm drops a glob that it cannot read, too: it finds nothing.
        let Ok(glob) = Pattern::glob(glob) else {
            continue;
        };
        root.each("", &mut |path, is_folder| {
            if glob.finds(path, is_folder, budget) {
                rules.push(format!("{mark}/{path}"));
                if is_folder {
                    rules.push(format!("{mark}/{path}/**"));
                }
            }
        });
    }
    Ok(Some(rules))
}

/// What package.json says is there: it is packed whatever the ignore files say.
fn named_by_manifest(manifest: &Value, root: &Folder<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    match manifest.get("browser") {
        Some(Value::String(path)) if !path.is_empty() => paths.push(path.clone()),
        // npm writes an object into its pattern as JavaScript spells it; it then reads as a set of letters.
        Some(Value::Object(_)) => paths.push("[object Object]".to_owned()),
        _ => {}
    }
    if let Some(Value::String(path)) = manifest.get("main")
        && !path.is_empty()
    {
        paths.push(path.clone());
    }
    paths.extend(bins(manifest, root));
    paths.into_iter().map(|path| format!("!/{path}")).collect()
}

/// The files that `bin` or `directories.bin` name, as npm normalises them.
fn bins(manifest: &Value, root: &Folder<'_>) -> Vec<String> {
    let is_given =
        |value: &&Value| !matches!(value, Value::Null | Value::Bool(false)) && **value != "";
    let texts = |values: &mut dyn Iterator<Item = &Value>| -> Vec<String> {
        values
            .filter_map(Value::as_str)
            .map(plain_path)
            .filter(|path| !path.is_empty())
            .collect()
    };
    match manifest.get("bin").filter(is_given) {
        Some(Value::Object(bins)) => texts(&mut bins.values()),
        Some(Value::Array(bins)) => texts(&mut bins.iter()),
        Some(bin) => texts(&mut std::iter::once(bin)),
        None => {
            let directory = manifest.get("directories").and_then(|all| all.get("bin"));
            let Some(directory) = directory.and_then(Value::as_str).map(plain_path) else {
                return Vec::new();
            };
            let mut found = Vec::new();
            root.each("", &mut |path, is_folder| {
                let inside = if directory.is_empty() {
                    Some(path)
                } else {
                    path.strip_prefix(&directory)
                        .and_then(|rest| rest.strip_prefix('/'))
                };
                let is_hidden = |inside: &str| inside.split('/').any(|part| part.starts_with('.'));
                if !is_folder && inside.is_some_and(|inside| !is_hidden(inside)) {
                    found.push(path.to_owned());
                }
            });
            found
        }
    }
}

/// A path as npm cleans it: backslashes and colons are slashes, no `.`, and `..` ends at the package.
fn plain_path(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split(['/', '\\', ':']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The patches that `patchedDependencies` names: they never leave the repository.
fn patch_files(manifest: &Value) -> Vec<String> {
    let Some(Value::Object(patches)) = manifest.get("patchedDependencies") else {
        return Vec::new();
    };
    patches
        .values()
        .filter_map(Value::as_str)
        .map(|path| path.replace('\\', "/"))
        .map(|path| {
            let path = path
                .strip_prefix("./")
                .or_else(|| path.strip_prefix('/'))
                .unwrap_or(&path);
            path.trim_end_matches('/').to_owned()
        })
        .filter(|path| {
            !path.is_empty() && !path.starts_with('/') && !path.split('/').any(|part| part == "..")
        })
        .map(|path| format!("/{path}"))
        .collect()
}

/// The walk down the tree.
struct Walk<'a> {
    tree: &'a PackageTree,
    budget: &'a Budget,
    /// The defaults, which every level has anew.
    inherited: Vec<Pattern>,
    /// What is strict below the package's own level.
    strict: Vec<Pattern>,
    levels: Vec<Level>,
    result: Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Folder<'_>, at: &str) -> Result<(), Failure> {
        for name in &folder.files {
            // npm packs no name with a star, because Windows could not unpack it.
            if !name.contains('*') && self.admits(name, false) {
                self.result.push(join(at, name));
            }
        }
        for (name, inner) in &folder.folders {
            let as_file = self.admits(name, false);
            if name.contains('*') || !self.admits(name, true) {
                continue;
            }
            let path = join(at, name);
            let mut rules = self.inherited.clone();
            rules.extend(ignore_rules(self.tree, &path)?);
            rules.extend(self.strict.iter().cloned());
            let exact = as_file || self.admits(&format!("{name}/"), false);
            self.levels.push(Level {
                name: (*name).to_owned(),
                rules,
                exact,
            });
            self.folder(inner, &path)?;
            self.levels.pop();
        }
        Ok(())
    }

    fn admits(&self, entry: &str, as_folder: bool) -> bool {
        admits(&self.levels, entry, as_folder, None, self.budget)
    }
}

/// Whether the innermost of `levels` and all around it let an entry in; `base` is the entry's name when `entry` is a longer path.
fn admits(
    levels: &[Level],
    entry: &str,
    as_folder: bool,
    base: Option<&str>,
    budget: &Budget,
) -> bool {
    let Some((level, outer)) = levels.split_last() else {
        return true;
    };
    let mut included = true;
    if !outer.is_empty() {
        let longer = format!("{}/{entry}", level.name);
        included = admits(
            outer,
            &longer,
            as_folder,
            Some(base.unwrap_or(entry)),
            budget,
        );
        if !included && !level.exact {
            return false;
        }
    }
    let spellings = Spellings::of(entry, base);
    for rule in &level.rules {
        if rule.is_negated() != included && spellings.match_rule(rule, as_folder, budget) {
            included = rule.is_negated();
        }
    }
    included
}

/// The ways in which a rule may mean an entry.
struct Spellings {
    file: [Vec<String>; 2],
    folder: [Vec<String>; 2],
    base: Option<[Vec<String>; 4]>,
}

impl Spellings {
    fn of(entry: &str, base: Option<&str>) -> Spellings {
        let split = minimatch::split;
        let four = |text: &str| {
            [
                split(&format!("/{text}/")),
                split(&format!("{text}/")),
                split(&format!("/{text}")),
                split(text),
            ]
        };
        let [folder_rooted, folder, file_rooted, file] = four(entry);
        Spellings {
            file: [file_rooted, file],
            folder: [folder_rooted, folder],
            base: base.map(four),
        }
    }

    fn match_rule(&self, rule: &Pattern, as_folder: bool, budget: &Budget) -> bool {
        let whole = |path: &Vec<String>| rule.matches(path, false, budget);
        let part = |path: &Vec<String>| rule.is_negated() && rule.matches(path, true, budget);
        self.file.iter().any(whole)
            || as_folder
                && (self.folder.iter().any(whole)
                    || self.file.iter().any(part)
                    || self.base.as_ref().is_some_and(|base| {
                        rule.is_relative()
                            && (base[..2].iter().any(whole) || base[2..].iter().any(part))
                    }))
    }
}

/// The order of files in npm's tarballs: by extension, then by name, both without regard to case, then by path; each as `localeCompare` orders English.
///
/// Names beyond ASCII follow those within, by code point, which is not always npm's order.
#[must_use]
pub fn npm_order(one: &str, other: &str) -> Ordering {
    let by = |key: &dyn Fn(&str) -> String| locale_order(&key(one), &key(other));
    by(&|path| extension(base(path)).to_lowercase())
        .then_with(|| by(&|path| base(path).to_lowercase()))
        .then_with(|| by(&scope_marked))
        .then_with(|| one.cmp(other))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// npm writes `./` before a path that starts with `@`, and orders it so.
fn scope_marked(path: &str) -> String {
    if path.starts_with('@') {
        format!("./{path}")
    } else {
        path.to_owned()
    }
}

/// Node's `extname`: what starts with the last dot, unless nothing but dots is before it.
fn extension(name: &str) -> &str {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name != ".." => &name[dot..],
        _ => "",
    }
}

/// The order of the Unicode collation algorithm's root, for ASCII.
fn locale_order(one: &str, other: &str) -> Ordering {
    const BEFORE_LETTERS: &str = "\t\n\u{b}\u{c}\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789";
    let primary = |character: char| -> (u8, u32) {
        let lower = character.to_ascii_lowercase();
        match BEFORE_LETTERS.find(lower) {
            Some(place) => (0, u32::try_from(place).unwrap_or(0)),
            None => (1, u32::from(lower)),
        }
    };
    one.chars()
        .map(primary)
        .cmp(other.chars().map(primary))
        .then_with(|| {
            // Small letters come before capitals, once all else is equal.
            let is_capital = |character: char| character.is_ascii_uppercase();
            one.chars()
                .map(is_capital)
                .cmp(other.chars().map(is_capital))
        })
}

#[cfg(test)]
mod tests;
