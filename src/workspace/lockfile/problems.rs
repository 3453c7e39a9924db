//! What can be wrong with a lockfile, said in one way for every package manager.

use super::MOST_TOLD;
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::workspace::json::path;
use crate::workspace::package_json::DependencyField;

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

/// A lockfile in a version of its format that is not supported.
pub(super) fn version(file: &str, because: String, run: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::lockfile_version",
        format!("{file} has a version that is not supported"),
    )
    .because(because)
    .place(Place::file(file))
    .hint(format!("run `{run}` and commit the lockfile"))
}

/// A lockfile that disagrees with the `package.json` files.
pub(super) fn stale(file: &str, place: Option<Place>, what: String, run: &str) -> Failure {
    Failure::new(Exit::Refused, "workspace::lockfile_stale", what)
        .because(format!(
            "{file} does not say what the package.json files say"
        ))
        .place(place.unwrap_or_else(|| Place::file(file)))
        .hint(format!("run `{run}` and commit the lockfile"))
}

/// All disagreements as one failure, the first ones in full.
pub(super) fn all_stale(
    file: &str,
    mut found: Vec<(Option<Place>, String)>,
    run: &str,
) -> Result<(), Failure> {
    if found.len() > MOST_TOLD {
        found.truncate(MOST_TOLD);
        found.push((None, format!("{file} has further disagreements")));
    }
    let failures = found
        .into_iter()
        .map(|(place, what)| stale(file, place, what, run))
        .collect();
    Failure::all(failures).map_or(Ok(()), Err)
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

/// How a message names a declared dependency: `dependencies["@x/a"] of packages/web`.
pub(super) fn declared(directory: &RepoPath, field: DependencyField, name: &str) -> String {
    format!("{} of {}", path(field.as_str(), name), directory.display())
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
