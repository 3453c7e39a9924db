//! The order of files in npm's tarballs.

use std::cmp::Ordering;
use std::sync::LazyLock;

use icu_collator::CollatorBorrowed;
use icu_collator::CollatorPreferences;
use icu_collator::options::CollatorOptions;

/// English, as `localeCompare` orders it.
static ENGLISH: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    CollatorBorrowed::try_new(CollatorPreferences::default(), CollatorOptions::default())
        .unwrap_or_else(|error| unreachable!("its data is part of the program: {error}"))
});

/// What a path is ordered by.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    extension: String,
    base: String,
    path: String,
}

impl Key {
    fn of(path: &str) -> Key {
        let base = path.rsplit('/').next().unwrap_or(path);
        Key {
            extension: extension(base).to_lowercase(),
            base: base.to_lowercase(),
            // npm writes `./` before a path that starts with `@`, and orders it so.
            path: if path.starts_with('@') {
                format!("./{path}")
            } else {
                path.to_owned()
            },
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        let compared = |one: &str, other: &str| ENGLISH.compare(one, other);
        compared(&self.extension, &other.extension)
            .then_with(|| compared(&self.base, &other.base))
            .then_with(|| compared(&self.path, &other.path))
            .then_with(|| self.path.cmp(&other.path))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Node's `extname`: what starts with the last dot, unless nothing is before it.
fn extension(name: &str) -> &str {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name != ".." => &name[dot..],
        _ => "",
    }
}

/// Sorts files as they stand in npm's tarballs: by extension, then by name, both without regard to case, then by path; each as
/// JavaScript's `localeCompare` orders English. Of names that are equal for it, npm keeps the order in which the disk gives them; here
/// they are in order of their bytes.
///
/// ```
/// use pkgs_action::workspace::pack_list::sort_as_npm;
/// let mut paths = ["b.js", "a.ts", "lib/a.js", "Éa.js", "ea.js", "LICENSE"];
/// sort_as_npm(&mut paths, |path| path);
/// assert_eq!(paths, ["LICENSE", "lib/a.js", "b.js", "ea.js", "Éa.js", "a.ts"]);
/// ```
pub fn sort_as_npm<T>(files: &mut [T], path: impl Fn(&T) -> &str) {
    files.sort_by_cached_key(|file| Key::of(path(file)));
}
