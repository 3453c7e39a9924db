//! Catalogs: ranges that a workspace keeps in `pnpm-workspace.yaml`, and packages name as `catalog:`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::workspace::json::path;

/// Catalogs by name, and in each of them ranges by package; `catalog` is the one called `default`.
pub type Catalogs = BTreeMap<String, BTreeMap<String, String>>;

/// A file with catalogs as it stands at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its text.
    pub text: String,
    /// What it says.
    pub catalogs: Catalogs,
}

/// A new range in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The catalog.
    pub catalog: String,
    /// The package.
    pub name: String,
    /// What is written now.
    pub range: String,
}

/// The name of the catalog that a spec speaks of; `None` where it is no `catalog:`.
///
/// ```
/// use pkgs_action::workspace::catalogs::named;
/// assert_eq!(named("catalog:"), Some("default"));
/// assert_eq!(named("catalog:old"), Some("old"));
/// assert_eq!(named("^1.0.0"), None);
/// ```
#[must_use]
pub fn named(spec: &str) -> Option<&str> {
    match spec.strip_prefix("catalog:")?.trim() {
        "" => Some("default"),
        name => Some(name),
    }
}

/// What a `catalog:` spec of the package `name` stands for.
#[must_use]
pub fn entry<'c>(catalogs: &'c Catalogs, name: &str, spec: &str) -> Option<&'c str> {
    let catalog = catalogs.get(named(spec)?)?;
    catalog.get(name).map(String::as_str)
}

type Entries = BTreeMap<String, Spanned<String>>;

#[derive(Deserialize)]
struct Yaml {
    catalog: Option<Entries>,
    catalogs: Option<BTreeMap<String, Entries>>,
}

/// The text of a `pnpm-workspace.yaml` with new ranges in its catalogs; comments, quotes and every other byte stay. `file` is what
/// messages call it.
///
/// # Errors
/// `workspace::catalog_edit` where a range is not written where it is used, as with an anchor, or over several lines.
///
/// ```
/// use pkgs_action::workspace::catalogs::{NewEntry, edit};
/// let new = [NewEntry { catalog: "default".to_owned(), name: "core".to_owned(), range: "^2.0.0".to_owned() }];
/// assert_eq!(edit("x", "catalog:\n  core: '^1.0.0' # ours\n", &new).unwrap(), "catalog:\n  core: '^2.0.0' # ours\n");
/// ```
pub fn edit(file: &str, text: &str, new: &[NewEntry]) -> Result<String, Failure> {
    let body = text.trim_start_matches('\u{feff}');
    let options = serde_saphyr::options! { with_snippet: false };
    let yaml: Yaml = serde_saphyr::from_str_with_options(body, options)
        .map_err(|error| refuse(file, "its catalogs").because(error.without_snippet()))?;
    let mut catalogs = yaml.catalogs.unwrap_or_default();
    catalogs.extend(yaml.catalog.map(|entries| ("default".to_owned(), entries)));
    let mut edits = BTreeMap::new();
    for NewEntry {
        catalog,
        name,
        range,
    } in new
    {
        let what = path(&path("catalogs", catalog), name);
        let found = catalogs.get(catalog).and_then(|entries| entries.get(name));
        let place = found.and_then(|entry| written(body, entry));
        let Some((start, raw)) = place else {
            return Err(refuse(file, &what));
        };
        edits.insert(start, (raw.len(), in_the_style_of(raw, range)));
    }
    let mut result = text[..text.len() - body.len()].to_owned();
    let mut done = 0;
    for (start, (length, new)) in edits {
        result.push_str(&body[done..start]);
        result.push_str(&new);
        done = start + length;
    }
    result.push_str(&body[done..]);
    Ok(result)
}

/// Where a value is written, if its text there is the value and nothing else.
fn written<'t>(text: &'t str, entry: &Spanned<String>) -> Option<(usize, &'t str)> {
    let span = entry.referenced.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let raw = text.get(start..start.checked_add(length)?)?;
    let is_value = [
        entry.value.clone(),
        format!("'{}'", entry.value),
        format!("\"{}\"", entry.value),
    ]
    .iter()
    .any(|form| form == raw);
    is_value.then_some((start, raw))
}

fn in_the_style_of(raw: &str, text: &str) -> String {
    match raw.chars().next() {
        Some(quote @ ('\'' | '"')) => format!("{quote}{text}{quote}"),
        _ => crate::workspace::lockfile::pnpm::encode(text),
    }
}

fn refuse(file: &str, what: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::catalog_edit",
        format!("{what} in {file} cannot be changed"),
    )
    .because("the range is left, and its text is not written there on one line")
    .place(Place::file(file))
    .hint("write the range itself, without an anchor, after the package's name")
}

/// The failure of a `catalog:` that no catalog answers.
pub(crate) fn unknown(spec: &str, name: &str, place: Place) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::catalog",
        format!(
            "no catalog has an entry for {} as {}",
            quoted(name),
            quoted(spec)
        ),
    )
    .because("`catalog` and `catalogs` of pnpm-workspace.yaml are read")
    .place(place)
    .hint(format!(
        "add {} to the catalog, or write a range",
        quoted(name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let new = [("default", "core", ">=2.0.0"), ("old", "@x/core", "^2.0.0")].map(
            |(catalog, name, range)| NewEntry {
                catalog: catalog.to_owned(),
                name: name.to_owned(),
                range: range.to_owned(),
            },
        );
        assert_eq!(edit("file", text, &new).ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn only_the_ranges_change() {
        check(
            "\u{feff}# ours\r\ncatalog: {core: \">=1.0.0\", koa: 1}\r\ncatalogs:\r\n  old:\r\n    \"@x/core\":   ^1.0.0  # comment\r\n    koa: ^1.0.0\r\n",
            Some(
                "\u{feff}# ours\r\ncatalog: {core: \">=2.0.0\", koa: 1}\r\ncatalogs:\r\n  old:\r\n    \"@x/core\":   ^2.0.0  # comment\r\n    koa: ^1.0.0\r\n",
            ),
        );
        check(
            "catalogs:\n  default:\n    core: ~1.0.0 # \u{e4}\n  old:\n    '@x/core': '^1'\n",
            Some(
                "catalogs:\n  default:\n    core: '>=2.0.0' # \u{e4}\n  old:\n    '@x/core': '^2.0.0'\n",
            ),
        );
        check(
            "catalog:\n  core: &a ^1.0.0\ncatalogs:\n  old:\n    '@x/core': *a\n",
            None,
        );
        check("catalog:\n  core: 1\n", None);
    }
}
