//! Which files npm packs: the rules of `npm-packlist` 11 (npm 12) or, where they are asked for, of `npm-packlist` 10 (npm 11), on a tree
//! that was read beforehand.
//!
//! Rules come in levels, one for each directory on the way to a file. A level runs all its rules in order and the last that
//! matches wins; what an outer level drops, an inner one cannot bring back. These are not git's rules.

mod bins;
mod bundle;
mod minimatch;
mod npm_11;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::explain::{Exit, Failure, quoted};
use crate::settings::NpmRules;
use crate::workspace::javascript::{is_true, spelled, trimmed};
use minimatch::{Budget, Case, Pattern, Refusal};

pub(crate) use bins::inside;
pub use bins::{Bins, packed_mode};
pub use bundle::bundled_names;
pub use order::sort_as_npm;

/// The regular files of a package, as far as npm may look at them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageTree {
    /// Every regular file, without `node_modules` at the top and without any `.git`.
    pub files: Vec<TreeFile>,
    /// Every symbolic link and special file there; npm packs none of them.
    pub links: Vec<String>,
    /// The ignore files by directory, relative to the package; the package itself is empty.
    pub ignore_files: BTreeMap<String, IgnoreFiles>,
    /// The contents of the ignore file of each folder above the package, from the workspace's root down.
    pub outer_ignores: Vec<String>,
    /// The folders of workspace members inside this package, relative to it; npm does not pack them with it.
    pub members: Vec<String>,
    /// The installed packages that are packed with it.
    pub bundled: Vec<BundledPackage>,
}

/// The contents of what decides in a directory what is ignored there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoreFiles {
    /// `.npmignore`, which counts instead of `.gitignore`.
    pub npmignore: Option<String>,
    /// `.gitignore`.
    pub gitignore: Option<String>,
    /// `package.json`, where the package is the root of a workspace: below it, npm takes its lines for patterns.
    pub manifest: Option<String>,
}

/// A regular file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path inside the package, `/`-separated.
    pub path: String,
    /// Its permission bits, the lowest twelve of its mode.
    pub mode: u32,
}

/// An installed package that is packed with the one that bundles it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledPackage {
    /// Where it is packed, relative to the package that bundles it.
    pub path: String,
    /// Its `package.json`, where it has one.
    pub manifest: Option<Value>,
    /// Whether a link leads there: then its ignore files count.
    pub is_link: bool,
    /// What it holds.
    pub tree: PackageTree,
}

impl PackageTree {
    /// Every file with its permission bits, those of bundled packages too.
    pub fn modes(&self) -> impl Iterator<Item = (String, u32)> {
        let own = self.files.iter().map(|file| (file.path.clone(), file.mode));
        let bundled = self.bundled.iter().flat_map(|package| {
            let files = package.tree.files.iter();
            files.map(|file| (join(&package.path, &file.path), file.mode))
        });
        own.chain(bundled)
    }
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

/// What of [`STRICT`] npm 11 does not know: there, `files` and ignore files decide.
const STRICT_SINCE_12: [&str; 4] = [
    "/npm-shrinkwrap.json",
    "/bun.lock",
    "/.npm-extension.mjs",
    "/.npm-extension.cjs",
];

fn strict(rules: NpmRules) -> Result<Vec<Pattern>, Failure> {
    let is_known = |line: &&str| rules == NpmRules::Npm12 || !STRICT_SINCE_12.contains(line);
    patterns(STRICT.into_iter().filter(is_known))
}

/// The files that npm packs from `tree` by `rules`, in the order of its tarball ([`sort_as_npm`]).
///
/// `package.json`, `README`, `COPYING`, `LICENSE` and `LICENCE` at the top and what `main`, `browser` and `bin` name are always in;
/// `node_modules`, lockfiles and `.npmrc` at the top never are. Names are compared without regard to case, but for the globs that `files`
/// are for npm 12, as npm does on Linux. Of a bundled package its own `files` count, and its ignore files where it is a link.
///
/// # Errors
/// Exit 3: `pack_list::files` when `files` is neither a list of strings nor a text, which npm takes for a list of its characters;
/// `pack_list::pattern` for a pattern that is too long, takes too long or that npm fails on.
///
/// ```
/// use pkgs_action::settings::NpmRules;
/// use pkgs_action::workspace::pack_list::{PackageTree, TreeFile, pack_list};
/// let files = ["package.json", "README.md", "lib/index.js", "test/a.js", "package-lock.json"];
/// let tree = PackageTree {
///     files: files.map(|path| TreeFile { path: path.to_owned(), mode: 0o644 }).to_vec(),
///     ..PackageTree::default()
/// };
/// let manifest = serde_json::json!({ "name": "a", "version": "1.0.0", "files": ["lib"] });
/// let files = pack_list(&manifest, &tree, NpmRules::Npm12).unwrap();
/// assert_eq!(files, ["lib/index.js", "package.json", "README.md"]);
/// ```
pub fn pack_list(
    manifest: &Value,
    tree: &PackageTree,
    rules: NpmRules,
) -> Result<Vec<String>, Failure> {
    let budget = Budget::default();
    let root = Folder::of(&tree.files);
    let top = root_level(manifest, tree, &root, rules, &budget)?;
    let mut result = walked(tree, &root, top, &budget)?;
    for package in &tree.bundled {
        let root = Folder::of(&package.tree.files);
        let top = bundled_level(package, &root, rules, &budget)?;
        let inside = walked(&package.tree, &root, top, &budget)?;
        result.extend(inside.iter().map(|path| join(&package.path, path)));
    }
    if budget.is_spent() {
        return Err(refused(
            "pack_list::pattern",
            "the patterns in \"files\" and the ignore files take too long to match",
        )
        .hint("use fewer '**' and fewer patterns of the form !(…)"));
    }
    sort_as_npm(&mut result, |path| path);
    result.dedup();
    Ok(result)
}

fn walked(
    tree: &PackageTree,
    root: &Folder<'_>,
    top: Top,
    budget: &Budget,
) -> Result<Vec<String>, Failure> {
    let mut walk = Walk {
        tree,
        budget,
        inherited: patterns(DEFAULTS)?,
        strict: patterns(["/.git"])?,
        required: top.required,
        levels: vec![top.level],
        result: Vec::new(),
    };
    walk.folder(root, "")?;
    Ok(walk.result)
}

/// The symbolic links and special files that npm would pack by `rules` if they were regular files, in the order of its tarball.
///
/// # Errors
/// Those of [`pack_list`].
///
/// ```
/// use pkgs_action::settings::NpmRules;
/// use pkgs_action::workspace::pack_list::{PackageTree, TreeFile, dropped};
/// let tree = PackageTree {
///     files: vec![TreeFile { path: "package.json".to_owned(), mode: 0o644 }],
///     links: ["lib/new.js", "test/new.js"].map(str::to_owned).to_vec(),
///     ..PackageTree::default()
/// };
/// let manifest = serde_json::json!({ "files": ["lib"] });
/// assert_eq!(dropped(&manifest, &tree, NpmRules::Npm12).unwrap(), ["lib/new.js"]);
/// ```
pub fn dropped(
    manifest: &Value,
    tree: &PackageTree,
    rules: NpmRules,
) -> Result<Vec<String>, Failure> {
    if tree.links.is_empty() {
        return Ok(Vec::new());
    }
    let mut as_files = tree.clone();
    let links = std::mem::take(&mut as_files.links);
    as_files.files.extend(links.iter().map(|path| TreeFile {
        path: path.clone(),
        mode: 0o644,
    }));
    let links: BTreeSet<&String> = links.iter().collect();
    let mut listed = pack_list(manifest, &as_files, rules)?;
    listed.retain(|path| links.contains(path));
    Ok(listed)
}

fn refused(code: &'static str, what: impl Into<String>) -> Failure {
    Failure::new(Exit::Refused, code, what)
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

    /// Every path below, and whether it is a directory, in no order.
    fn paths(&self) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        self.each("", &mut |path, is_folder| {
            all.push((path.to_owned(), is_folder));
        });
        all
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
        .map(trimmed)
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

/// The rules of one directory.
struct Level {
    /// The directory's own name; empty for the package.
    name: String,
    rules: Vec<Pattern>,
    /// Whether a rule above meant exactly this directory: then a file in it may be in although the level above says no.
    exact: bool,
}

/// The rules at the top of a package.
struct Top {
    level: Level,
    /// Rules that count in a directory right below, too, by the directory's name; npm 12 has none.
    required: BTreeMap<String, Vec<Pattern>>,
}

fn root_level(
    manifest: &Value,
    tree: &PackageTree,
    root: &Folder<'_>,
    rules: NpmRules,
    budget: &Budget,
) -> Result<Top, Failure> {
    let mut lines = patterns(DEFAULTS)?;
    for outer in &tree.outer_ignores {
        lines.extend(patterns(outer.lines())?);
    }
    lines.extend(patterns(tree.members.iter().map(String::as_str))?);
    let files = files_rules(manifest, root, &tree.links, rules, budget)?;
    match files.as_ref() {
        Some(files) => lines.extend(files.rules()?),
        None => lines.extend(ignore_rules(tree, "")?),
    }
    let files = files.unwrap_or_default();
    lines.extend(files.strict_rules()?);
    lines.extend(strict(rules)?);
    let always = named_by_manifest(manifest, root);
    lines.extend(patterns(always.iter().map(String::as_str))?);
    if rules == NpmRules::Npm12 {
        lines.extend(patterns(patch_files(manifest).iter().map(String::as_str))?);
    }
    Ok(Top {
        level: Level {
            name: String::new(),
            rules: lines,
            exact: false,
        },
        required: files.required_rules()?,
    })
}

/// A bundled package obeys its `package.json`; as a link, it is looked at like any other package.
fn bundled_level(
    package: &BundledPackage,
    root: &Folder<'_>,
    rules: NpmRules,
    budget: &Budget,
) -> Result<Top, Failure> {
    let mut lines = Vec::new();
    if package.is_link {
        lines.extend(patterns(DEFAULTS)?);
    }
    let manifest = package.manifest.as_ref();
    let files = match manifest {
        Some(manifest) => files_rules(manifest, root, &package.tree.links, rules, budget)?,
        None => None,
    };
    match files.as_ref() {
        Some(files) => lines.extend(files.rules()?),
        None if package.is_link => lines.extend(ignore_rules(&package.tree, "")?),
        None => {}
    }
    let files = files.unwrap_or_default();
    if let Some(manifest) = manifest {
        lines.extend(files.strict_rules()?);
        lines.extend(strict(rules)?);
        let always = named_by_manifest(manifest, root);
        lines.extend(patterns(always.iter().map(String::as_str))?);
    }
    Ok(Top {
        level: Level {
            name: String::new(),
            rules: lines,
            exact: false,
        },
        required: files.required_rules()?,
    })
}

/// What the `files` of package.json become.
#[derive(Debug, Default)]
struct FilesRules {
    /// In the place of ignore files.
    lines: Vec<String>,
    /// Before all that is strict; npm 12 has none.
    strict: Vec<String>,
    /// The files that are strictly in, and the directory right below the top that each lies in; npm 12 has none.
    required: Vec<(String, String)>,
}

impl FilesRules {
    fn rules(&self) -> Result<Vec<Pattern>, Failure> {
        patterns(self.lines.iter().map(String::as_str))
    }

    fn strict_rules(&self) -> Result<Vec<Pattern>, Failure> {
        patterns(self.strict.iter().map(String::as_str))
    }

    fn required_rules(&self) -> Result<BTreeMap<String, Vec<Pattern>>, Failure> {
        let mut all: BTreeMap<String, Vec<Pattern>> = BTreeMap::new();
        for (directory, name) in &self.required {
            let rules = patterns([format!("!{name}").as_str()])?;
            all.entry(directory.clone()).or_default().extend(rules);
        }
        Ok(all)
    }
}

/// The rules of a directory's own ignore file: `.npmignore`, even an empty one, counts instead of `.gitignore`, and a `package.json`
/// that is taken for one instead of both.
fn ignore_rules(tree: &PackageTree, directory: &str) -> Result<Vec<Pattern>, Failure> {
    let text = tree.ignore_files.get(directory).and_then(|files| {
        let manifest = files.manifest.as_ref().filter(|_| !directory.is_empty());
        manifest
            .or(files.npmignore.as_ref())
            .or(files.gitignore.as_ref())
    });
    text.map_or_else(|| Ok(Vec::new()), |text| patterns(text.lines()))
}

/// The rules that the `files` of package.json become; `None` where it has none.
fn files_rules(
    manifest: &Value,
    root: &Folder<'_>,
    links: &[String],
    rules: NpmRules,
    budget: &Budget,
) -> Result<Option<FilesRules>, Failure> {
    let not_a_list = || {
        refused(
            "pack_list::files",
            "\"files\" in package.json is not a list of strings",
        )
        .hint("write it as \"files\": [\"lib\"]")
    };
    let entries: Vec<String> = match manifest.get("files") {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.chars().map(String::from).collect(),
        Some(Value::Array(entries)) => entries
            .iter()
            .map(|entry| entry.as_str().map(str::to_owned).ok_or_else(not_a_list))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(not_a_list()),
    };
    Ok(Some(match rules {
        NpmRules::Npm12 => FilesRules {
            lines: globbed(&entries, root, budget),
            ..FilesRules::default()
        },
        NpmRules::Npm11 => npm_11::files_rules(&entries, root, links),
    }))
}

/// Each entry of `files` as npm 12 takes it: as a glob, whose finds are the rules.
fn globbed(entries: &[String], root: &Folder<'_>, budget: &Budget) -> Vec<String> {
    let mut rules = vec!["*".to_owned()];
    for entry in entries {
        let (mark, glob) = if entry.starts_with('!') {
            ("", entry.trim_start_matches('!'))
        } else {
            ("!", entry.as_str())
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
    rules
}

/// What package.json says is there: it is packed whatever the ignore files say.
fn named_by_manifest(manifest: &Value, root: &Folder<'_>) -> Vec<String> {
    let mut paths: Vec<String> = [manifest.get("browser"), manifest.get("main")]
        .into_iter()
        .flatten()
        .filter(|value| is_true(value))
        .map(spelled)
        .collect();
    let bins = Bins::of(manifest, &root.paths());
    paths.extend(bins.paths().map(str::to_owned));
    paths.into_iter().map(|path| format!("!/{path}")).collect()
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
    /// What is strict in a directory right below the top, besides.
    required: BTreeMap<String, Vec<Pattern>>,
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
            if at.is_empty()
                && let Some(required) = self.required.get(*name)
            {
                rules.extend(required.iter().cloned());
            }
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

#[cfg(test)]
mod tests;
