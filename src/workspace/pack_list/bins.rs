//! The programs of a package, as npm normalises `bin` and `directories.bin`, and the modes that its files get by them.

use serde_json::{Map, Value};

use crate::workspace::javascript::is_true;

/// The programs of a package: their names and files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bins(Vec<(String, String)>);

impl Bins {
    /// Those of a manifest; `tree` is every path of the package and whether it is a directory.
    pub fn of(manifest: &Value, tree: &[(String, bool)]) -> Bins {
        let is_given = |value: &&Value| is_true(value);
        let Some(bin) = manifest.get("bin").filter(is_given) else {
            let directory = manifest.get("directories").and_then(|all| all.get("bin"));
            let directory = directory
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty());
            return directory.map_or_else(Bins::default, |text| Bins::in_directory(text, tree));
        };
        let named = match bin {
            Value::String(path) => match manifest.get("name").and_then(Value::as_str) {
                Some(name) if !name.is_empty() => vec![(name.to_owned(), Some(path.to_owned()))],
                _ => Vec::new(),
            },
            Value::Array(paths) => {
                let paths = paths.iter().filter_map(Value::as_str);
                once_each(paths.map(|path| (base(path).to_owned(), Some(path.to_owned()))))
            }
            Value::Object(named) => pairs(named),
            _ => Vec::new(),
        };
        Bins(normalised(named))
    }

    /// Every file below a directory, by its name; of several with one name, one.
    fn in_directory(directory: &str, tree: &[(String, bool)]) -> Bins {
        let cleaned = inside(directory);
        let within = cleaned.trim_end_matches('/');
        let below = |path: &str| -> Option<String> {
            if within.is_empty() {
                return Some(path.to_owned());
            }
            Some(path.strip_prefix(within)?.strip_prefix('/')?.to_owned())
        };
        let is_hidden = |path: &str| path.split('/').any(|part| part.starts_with('.'));
        let found = tree.iter().filter_map(|(path, _)| {
            let path = below(path)?;
            let target = format!("{cleaned}/{}", inside(&path));
            (!is_hidden(&path)).then(|| (base(&path).to_owned(), Some(target)))
        });
        let named = once_each(found);
        Bins(
            named
                .into_iter()
                .filter_map(|(name, path)| Some((name, path?)))
                .collect(),
        )
    }

    /// Names and files.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_str()))
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, path)| path.as_str())
    }

    /// `bin` as it is published; `None` where nothing is left of it.
    pub fn published(&self) -> Option<Value> {
        let pairs = self.0.iter();
        let map: Map<String, Value> = pairs
            .map(|(name, path)| (name.clone(), Value::String(path.clone())))
            .collect();
        (!map.is_empty()).then_some(Value::Object(map))
    }

    /// Whether npm takes a path for one of the files. It leaves out the first folder of the path before it compares.
    fn names(&self, path: &str) -> bool {
        let inside = match path.split_once('/') {
            Some((first, rest)) if !first.contains('\\') && !path.starts_with('@') => rest,
            _ => path,
        };
        self.paths().any(|bin| bin == inside)
    }
}

/// The permission bits of a file in npm's tarball: its owner may read and write it, nobody else may write, and a program may be run.
///
/// ```
/// use pkgs_action::workspace::pack_list::{Bins, packed_mode};
/// let manifest = serde_json::json!({ "name": "a", "bin": "./cli.js" });
/// let bins = Bins::of(&manifest, &[]);
/// assert_eq!(packed_mode(&bins, "cli.js", 0o664), 0o755);
/// assert_eq!(packed_mode(&bins, "lib/index.js", 0o666), 0o644);
/// assert_eq!(packed_mode(&bins, "lib/index.js", 0o440), 0o640);
/// ```
pub fn packed_mode(bins: &Bins, path: &str, mode: u32) -> u32 {
    let run = if bins.names(path) { 0o111 } else { 0 };
    (mode & 0o7777 | run | 0o600) & !0o022
}

fn pairs(named: &Map<String, Value>) -> Vec<(String, Option<String>)> {
    let named = named.iter();
    named
        .map(|(name, path)| (name.clone(), path.as_str().map(str::to_owned)))
        .collect()
}

/// As properties of an object: a later value takes the place of an earlier one of the same name.
fn once_each<T>(all: impl Iterator<Item = (String, T)>) -> Vec<(String, T)> {
    let mut kept: Vec<(String, T)> = Vec::new();
    for (name, value) in all {
        match kept.iter_mut().find(|(other, _)| *other == name) {
            Some((_, present)) => *present = value,
            None => kept.push((name, value)),
        }
    }
    kept
}

/// Names without folders, paths that stay inside; what has neither is no program. Step by step as npm changes the object.
fn normalised(named: Vec<(String, Option<String>)>) -> Vec<(String, String)> {
    let written: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let mut kept = named;
    for name in written {
        let Some(at) = kept.iter().position(|(other, _)| *other == name) else {
            continue;
        };
        let own = base(&inside(&name)).to_owned();
        let target = kept[at].1.as_deref().map(inside).unwrap_or_default();
        if own != name || target.is_empty() {
            kept.remove(at);
        }
        if !own.is_empty() && !target.is_empty() {
            match kept.iter_mut().find(|(other, _)| *other == own) {
                Some((_, path)) => *path = Some(target),
                None => kept.push((own, Some(target))),
            }
        }
    }
    let kept = kept.into_iter();
    kept.filter_map(|(name, path)| Some((name, path?)))
        .collect()
}

fn base(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

/// A path as npm cleans it: backslashes and colons are slashes, no `.`, and `..` ends at the package.
pub(crate) fn inside(path: &str) -> String {
    let mut parts = Vec::new();
    let unified = path.replace(['\\', ':'], "/");
    for part in unified.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut cleaned = parts.join("/");
    if unified.ends_with('/') && !cleaned.is_empty() {
        cleaned.push('/');
    }
    cleaned
}
