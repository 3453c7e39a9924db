//! A directory as npm packs it: what is there, what of it is packed, and with which modes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::explain::{Exit, Failure, quoted};
use crate::local::archive::{EntrySource, NpmFile};
use crate::local::files::{self, Surroundings};
use crate::settings::NpmRules;
use crate::workspace::LONGEST_MANIFEST;
use crate::workspace::npm_manifest::Beside;
use crate::workspace::pack_list::{
    self, Bins, BundledPackage, PackageTree, bundled_names, packed_mode,
};
use crate::workspace::publishable::without_patches;

/// The longest README and `AUTHORS`, in bytes.
const LONGEST_TEXT: u64 = 16 << 20;

/// What npm would pack of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmPackage {
    /// Its files, in npm's order.
    pub files: Vec<NpmFile>,
    /// The links and special files that npm leaves out.
    pub dropped: Vec<String>,
    /// What `package.json` says as it is packed.
    pub manifest: Value,
    /// What npm reads beside `package.json` for the manifest that it publishes.
    pub beside: Beside,
}

impl NpmPackage {
    /// Lets everybody run the files at these paths.
    pub fn make_executable(&mut self, paths: &[String]) {
        for file in &mut self.files {
            if paths.contains(&file.path) {
                file.mode |= 0o111;
            }
        }
    }
}

/// The files that npm packs of the package in `directory`, whose `package.json` reads `manifest` when it is published, by `rules`.
///
/// # Errors
/// `build::manifest`, exit 3, when `manifest` is no JSON; `build::bundled`, exit 3, for a bundled dependency that is
/// installed outside the package; those of [`files::read_package`] and [`pack_list::pack_list`].
pub fn read(
    directory: &Path,
    surroundings: Surroundings<'_>,
    manifest: &str,
    rules: NpmRules,
) -> Result<NpmPackage, Failure> {
    let broken = |error: serde_json::Error| {
        Failure::new(
            Exit::Refused,
            "build::manifest",
            format!(
                "package.json in {} is not valid JSON",
                quoted(&directory.display().to_string())
            ),
        )
        .because(error)
    };
    let plain = manifest.trim_start_matches('\u{feff}');
    let parsed: Value = serde_json::from_str(plain).map_err(broken)?;
    let packed = match rules {
        NpmRules::Npm12 => without_patches(manifest).map_err(broken)?,
        NpmRules::Npm11 => None,
    };
    let packed = packed.as_deref().unwrap_or(manifest);
    let mut tree = files::read_package(directory, surroundings)?;
    tree.bundled = bundled(directory, &parsed)?;
    let modes: BTreeMap<String, u32> = tree.modes().collect();
    let bins = Bins::of(&parsed, &paths(tree.files.iter().map(|file| &file.path)));
    let list = pack_list::pack_list(&parsed, &tree, rules)?;
    let files = list.into_iter().map(|path| {
        let source = if path == "package.json" {
            EntrySource::Bytes(packed.as_bytes().to_vec())
        } else {
            EntrySource::File(directory.join(&path))
        };
        let mode = modes.get(&path).copied().unwrap_or(0o644);
        NpmFile {
            mode: packed_mode(&bins, &path, mode),
            path,
            source,
        }
    });
    Ok(NpmPackage {
        files: files.collect(),
        dropped: pack_list::dropped(&parsed, &tree, rules)?,
        beside: beside(directory, &tree)?,
        manifest: parsed,
    })
}

fn beside(directory: &Path, tree: &PackageTree) -> Result<Beside, Failure> {
    let read = |name: &str| -> Result<String, Failure> {
        let bytes = files::read_bounded(&directory.join(name), LONGEST_TEXT)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let files = tree.files.iter().map(|file| file.path.as_str());
    let linked = tree.links.iter().map(String::as_str);
    let is_file = |name: &&str| !name.contains('/') && directory.join(name).is_file();
    let names: Vec<&str> = files.chain(linked).filter(is_file).collect();
    let readme = Beside::readme_of(&names);
    let authors = names.iter().find(|name| **name == "AUTHORS");
    let leads_nowhere = |path: &&String| !directory.join(path).exists();
    let dangling = tree.links.iter().filter(leads_nowhere);
    Ok(Beside {
        dangling: dangling.cloned().collect(),
        paths: paths(tree.files.iter().map(|file| &file.path).chain(&tree.links)),
        readme: match readme {
            Some(name) => Some((name.to_owned(), read(name)?)),
            None => None,
        },
        authors: match authors {
            Some(name) => Some(read(name)?),
            None => None,
        },
    })
}

/// Every path and every directory on the way there, and whether it is a directory.
fn paths<'p>(files: impl Iterator<Item = &'p String>) -> Vec<(String, bool)> {
    let mut all: BTreeMap<&str, bool> = BTreeMap::new();
    for path in files {
        all.insert(path, false);
        for (slash, _) in path.match_indices('/') {
            all.insert(&path[..slash], true);
        }
    }
    all.into_iter()
        .map(|(path, is_folder)| (path.to_owned(), is_folder))
        .collect()
}

/// A package whose dependencies are looked for.
struct Needing {
    /// Where it really lies.
    directory: PathBuf,
    names: Vec<String>,
}

/// The installed packages that npm packs with the package in `directory`, with all that they need.
fn bundled(directory: &Path, manifest: &Value) -> Result<Vec<BundledPackage>, Failure> {
    let names = bundled_names(manifest, true);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let root = files::physical(directory)?;
    let mut found: BTreeMap<String, BundledPackage> = BTreeMap::new();
    let mut seen = BTreeSet::from([root.clone()]);
    let mut open = VecDeque::from([Needing {
        directory: root.clone(),
        names,
    }]);
    while let Some(needing) = open.pop_front() {
        for name in &needing.names {
            let Some(at) = installed(&root, &needing.directory, name) else {
                continue;
            };
            let Some(inside) = at.strip_prefix(&root).ok().and_then(Path::to_str) else {
                return Err(outside(name, &at));
            };
            let real = files::physical(&at)?;
            if !found.contains_key(inside) {
                let package = bundled_package(&at, inside, real != at)?;
                found.insert(inside.to_owned(), package);
            }
            let manifest = found
                .get(inside)
                .and_then(|package| package.manifest.as_ref());
            if let Some(manifest) = manifest
                && seen.insert(real.clone())
            {
                open.push_back(Needing {
                    names: bundled_names(manifest, false),
                    directory: real,
                });
            }
        }
    }
    Ok(found.into_values().collect())
}

fn bundled_package(at: &Path, inside: &str, is_link: bool) -> Result<BundledPackage, Failure> {
    let file = at.join("package.json");
    let manifest = if file.exists() {
        let text = files::read_bounded(&file, LONGEST_MANIFEST as u64)?;
        let text = String::from_utf8_lossy(&text);
        serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()
    } else {
        None
    };
    Ok(BundledPackage {
        path: inside.to_owned(),
        manifest,
        is_link,
        tree: files::read_package(at, Surroundings::default())?,
    })
}

/// Where the dependency of a package is installed: in its own `node_modules`, or in that of a directory above, up to the package that is
/// packed, or to where both have their common directory.
fn installed(root: &Path, directory: &Path, name: &str) -> Option<PathBuf> {
    let parts = name.split('/').count();
    let is_plain = parts == 1 && !name.starts_with(['.', '@'])
        || parts == 2 && name.starts_with('@') && !name.contains("/.");
    if !is_plain || name.is_empty() || name.ends_with('/') {
        return None;
    }
    for above in directory.ancestors() {
        let at = above.join("node_modules").join(name);
        if at.symlink_metadata().is_ok() {
            return Some(at);
        }
        if root.starts_with(above) {
            return None;
        }
    }
    None
}

fn outside(name: &str, at: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        "build::bundled",
        format!(
            "{} is to be packed with the package, and is installed outside of it",
            quoted(name)
        ),
    )
    .because(format!("it lies in {}", quoted(&at.display().to_string())))
    .hint("install what \"bundleDependencies\" names into the package's own node_modules, without links: npm install --install-strategy=nested")
}
