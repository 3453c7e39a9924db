//! The order of files in npm's tarballs.

use std::cmp::Ordering;
use std::sync::LazyLock;

use icu_collator::CollatorBorrowed;
use icu_collator::CollatorPreferences;
use icu_collator::options::CollatorOptions;

/// English, as `localeCompare` orders it. Its data is part of the program.
static ENGLISH: LazyLock<Option<CollatorBorrowed<'static>>> = LazyLock::new(|| {
    CollatorBorrowed::try_new(CollatorPreferences::default(), CollatorOptions::default()).ok()
});

fn compared(one: &str, other: &str) -> Ordering {
    match &*ENGLISH {
        Some(english) => english.compare(one, other),
        None => one.cmp(other),
    }
}

/// What a path is ordered by.
#[derive(Debug)]
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

    fn order(&self, other: &Key) -> Ordering {
        compared(&self.extension, &other.extension)
            .then_with(|| compared(&self.base, &other.base))
            .then_with(|| compared(&self.path, &other.path))
            .then_with(|| self.path.cmp(&other.path))
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
    let mut keyed: Vec<(Key, usize)> = files
        .iter()
        .enumerate()
        .map(|(at, file)| (Key::of(path(file)), at))
        .collect();
    keyed.sort_by(|(one, _), (other, _)| one.order(other));
    let mut places = vec![0; files.len()];
    for (place, (_, at)) in keyed.iter().enumerate() {
        places[*at] = place;
    }
    for at in 0..files.len() {
        while places[at] != at {
            let to = places[at];
            files.swap(at, to);
            places.swap(at, to);
        }
    }
}
