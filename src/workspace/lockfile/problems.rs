//! What can be wrong with a lockfile, said in one way for every package manager.

use super::LIMIT;
use crate::explain::{Exit, Failure, Place, quoted, size};
use crate::name::RepoPath;
use crate::workspace::json::path;

/// How many disagreements are told one by one.
const MOST_TOLD: usize = 20;

/// Refuses a text with the markers of an unfinished merge; `run` is the command that mends the lockfile.
pub(super) fn refuse_conflict(file: &str, text: &str, run: &str) -> Result<(), Failure> {
    let marker = text
        .lines()
        .position(|line| line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>"));
    let Some(index) = marker else {
        return Ok(());
    };
    Err(Failure::new(
        Exit::Refused,
        "workspace::lockfile_conflict",
        format!("{file} holds an unfinished merge"),
    )
    .place(Place::at(file, index + 1, 1))
    .hint(format!(
        "take one side of the conflict as a whole, then run `{run}` and commit the lockfile"
    )))
}

/// Refuses a text above [`LIMIT`].
pub(super) fn refuse_size(file: &str, text: &str) -> Result<(), Failure> {
    if text.len() <= LIMIT {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "workspace::file_size",
        format!("{file} is larger than {}", size(LIMIT as u64)),
    )
    .hint(crate::workspace::json::UNUSUAL)
    .place(Place::file(file)))
}

/// A lockfile in a version of its format that is not supported.
pub(super) fn version(file: &str, place: Option<Place>, because: String, run: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::lockfile_version",
        format!("{file} has a version that is not supported"),
    )
    .because(because)
    .place(place.unwrap_or_else(|| Place::file(file)))
    .hint(format!("run `{run}` and commit the lockfile"))
}

/// A lockfile that disagrees with the `package.json` files.
pub(super) fn stale(file: &str, place: Option<Place>, what: String, run: &str) -> Failure {
    Failure::new(Exit::Refused, "workspace::lockfile_stale", what)
        .because(format!(
            "{file} does not say what the files of the workspace say"
        ))
        .place(place.unwrap_or_else(|| Place::file(file)))
        .hint(format!("run `{run}` and commit the lockfile"))
}

/// Where a lockfile disagrees with the workspace: the first places in full, and whether there are more.
pub(super) struct Disagreements<'f> {
    file: &'f str,
    run: &'f str,
    told: Vec<Failure>,
    has_more: bool,
}

impl<'f> Disagreements<'f> {
    /// None yet; `run` is the command that mends them.
    pub(super) fn new(file: &'f str, run: &'f str) -> Disagreements<'f> {
        Disagreements {
            file,
            run,
            told: Vec::new(),
            has_more: false,
        }
    }

    /// Whether there are more than are told: further ones need not be looked for.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Adds one. To find its place a long file may have to be read, so `tell` is only asked for what is told.
    pub(super) fn add(&mut self, tell: impl FnOnce() -> (Option<Place>, String)) {
        if self.told.len() == MOST_TOLD {
            self.has_more = true;
            return;
        }
        let (place, what) = tell();
        self.told.push(stale(self.file, place, what, self.run));
    }

    /// All of them as one failure.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        let mut failures = self.told;
        if self.has_more {
            let what = format!("{} has further disagreements", self.file);
            failures.push(stale(self.file, None, what, self.run));
        }
        Failure::all(failures).map_or(Ok(()), Err)
    }
}

/// A change that only the package manager can make, because something would have to come from a registry.
pub(super) fn resolution(
    file: &str,
    place: Option<Place>,
    what: String,
    because: String,
    hint: String,
) -> Failure {
    Failure::new(Exit::Refused, "workspace::lockfile_resolution", what)
        .because(because)
        .place(place.unwrap_or_else(|| Place::file(file)))
        .hint(hint)
}

/// A spec that would change although a package from a registry answers it, and not the workspace.
pub(super) fn leads_elsewhere(
    file: &str,
    place: Place,
    declared: &str,
    because: String,
    hint: String,
) -> Failure {
    let what = format!("{declared} would change, but leads to an installed package");
    resolution(file, Some(place), what, because, hint)
}

/// The same, where the range shut the workspace's version out.
pub(super) fn range_leads_elsewhere(
    file: &str,
    place: Place,
    declared: &str,
    run: &str,
) -> Failure {
    let because = "the range does not admit the workspace's version".to_owned();
    let hint = format!("let {declared} admit the workspace's version, run `{run}` and commit both");
    leads_elsewhere(file, place, declared, because, hint)
}

/// How a message names a declared dependency: `dependencies["@x/a"] of packages/web`.
pub(super) fn declared(directory: &RepoPath, field: &str, name: &str) -> String {
    format!("{} of {}", path(field, name), directory.display())
}

/// What a lockfile and a `package.json` say of one dependency, where they differ.
pub(super) fn differs(
    file: &str,
    declared: &str,
    locked: Option<&str>,
    written: Option<&str>,
) -> String {
    let of = |spec: Option<&str>| spec.map_or("nothing".to_owned(), quoted);
    format!(
        "{file} has {} for {declared}, its package.json has {}",
        of(locked),
        of(written)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_told_is_looked_up() {
        let mut asked = 0;
        let mut found = Disagreements::new("lock", "mend");
        for index in 0..1000 {
            assert_eq!(found.has_more(), index > MOST_TOLD);
            found.add(|| {
                asked += 1;
                (None, index.to_string())
            });
        }
        let failure = found.into_result().unwrap_err();
        let told: Vec<&str> = failure.each().map(Failure::what).collect();
        assert_eq!((asked, told.len()), (MOST_TOLD, MOST_TOLD + 1));
        assert_eq!(
            (told[19], told[20]),
            ("19", "lock has further disagreements")
        );
    }
}
