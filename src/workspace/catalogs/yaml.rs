//! Catalogs in YAML: `catalog` and `catalogs` of `pnpm-workspace.yaml` and `.yarnrc.yml`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Catalogs, NewEntry, refuse};
use crate::explain::Failure;
use crate::workspace::json::{path, splice};
use crate::workspace::yaml::{self, encode};

const HINT: &str =
    "write catalog: and below it one package a line with its range, for example koa: ^2.0.0";

type Entries = BTreeMap<String, Spanned<String>>;

#[derive(Default, Deserialize)]
struct Yaml {
    catalog: Option<Entries>,
    catalogs: Option<BTreeMap<String, Entries>>,
}

/// The catalogs by name.
fn parse(file: &str, text: &str) -> Result<BTreeMap<String, Entries>, Failure> {
    let yaml: Yaml = yaml::parse(file, text, HINT)?;
    let mut catalogs = yaml.catalogs.unwrap_or_default();
    if let Some(catalog) = yaml.catalog
        && catalogs.insert("default".to_owned(), catalog).is_some()
    {
        let why = "it has both catalog and catalogs.default";
        return Err(yaml::form(file, why, "keep one of them"));
    }
    Ok(catalogs)
}

/// Reads the catalogs of a YAML file, which may say anything else beside them; `file` is what messages call it.
///
/// # Errors
/// `workspace::file_size` above 2 MiB; `workspace::yaml_syntax` for what is not YAML or has another form.
///
/// ```
/// use pkgs_action::workspace::catalogs::yaml::read;
/// let catalogs = read(".yarnrc.yml", "nodeLinker: pnp\ncatalog:\n  koa: ^2.0.0\n").unwrap();
/// assert_eq!(catalogs["default"]["koa"], "^2.0.0");
/// ```
pub fn read(file: &str, text: &str) -> Result<Catalogs, Failure> {
    let ranges = |entries: Entries| {
        let entries = entries.into_iter();
        entries.map(|(name, range)| (name, range.value)).collect()
    };
    let catalogs = parse(file, text)?.into_iter();
    Ok(catalogs
        .map(|(name, entries)| (name, ranges(entries)))
        .collect())
}

/// The text of a YAML file with new ranges in its catalogs; comments, quotes and every other byte stay. `file` is what messages call it.
///
/// # Errors
/// Those of [`read`]; `workspace::catalog_edit` where a range is not written where it is used, as with an anchor, or over several lines.
///
/// ```
/// use pkgs_action::workspace::catalogs::{NewEntry, yaml::edit};
/// let new = [NewEntry { catalog: "default".to_owned(), name: "core".to_owned(), range: "^2.0.0".to_owned() }];
/// assert_eq!(edit("x", "catalog:\n  core: '^1.0.0' # ours\n", &new).unwrap(), "catalog:\n  core: '^2.0.0' # ours\n");
/// ```
pub fn edit(file: &str, text: &str, new: &[NewEntry]) -> Result<String, Failure> {
    let body = text.trim_start_matches('\u{feff}');
    let catalogs = parse(file, body)?;
    let mut edits = Vec::new();
    for entry in new {
        let catalog = catalogs.get(&entry.catalog);
        let range = catalog.and_then(|entries| entries.get(&entry.name));
        let Some(span) = range.and_then(|range| written(body, range)) else {
            let what = path(&path("catalogs", &entry.catalog), &entry.name);
            let because = "the range is left, and its text is not written there on one line";
            return Err(refuse(file, &what, because));
        };
        let new = in_the_style_of(&body[span.clone()], &entry.range);
        edits.push((span, new));
    }
    let mark = &text[..text.len() - body.len()];
    let edited = format!("{mark}{}", splice(body, edits));
    refuse_other_changes(file, (text, &edited), new)?;
    Ok(edited)
}

/// Refuses an edit that reaches further, as where an alias repeats a range.
fn refuse_other_changes(
    file: &str,
    (before, after): (&str, &str),
    new: &[NewEntry],
) -> Result<(), Failure> {
    let mut expected = read(file, before)?;
    for entry in new {
        let entries = expected.entry(entry.catalog.clone()).or_default();
        entries.insert(entry.name.clone(), entry.range.clone());
    }
    if read(file, after)? == expected {
        return Ok(());
    }
    let names = new
        .iter()
        .map(|entry| path(&path("catalogs", &entry.catalog), &entry.name));
    let names: Vec<String> = names.collect();
    let because = "other ranges would change with it";
    Err(refuse(file, &names.join(", "), because))
}

/// Where a value is written, if its text there is the value and nothing else.
fn written(text: &str, entry: &Spanned<String>) -> Option<Range<usize>> {
    let span = entry.referenced.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let place = start..start.checked_add(length)?;
    let raw = text.get(place.clone())?;
    let is_value = [
        entry.value.clone(),
        format!("'{}'", entry.value),
        format!("\"{}\"", entry.value),
    ]
    .iter()
    .any(|form| form == raw);
    is_value.then_some(place)
}

fn in_the_style_of(raw: &str, text: &str) -> String {
    match raw.chars().next() {
        Some(quote @ ('\'' | '"')) => format!("{quote}{text}{quote}"),
        _ => encode(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Exit;
    use proptest::prelude::*;

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

    #[test]
    fn what_cannot_be_edited_says_why() {
        let new = [NewEntry {
            catalog: "default".to_owned(),
            name: "core".to_owned(),
            range: "2".to_owned(),
        }];
        let refused = |text: &str| edit("file", text, &new).expect_err(text);
        let broken = refused("catalog: [core\n");
        assert_eq!(broken.code(), "workspace::yaml_syntax");
        assert!(!broken.causes().is_empty());
        let anchored = refused("catalog:\n  other: &a ^1.0.0\n  core: *a\n");
        assert_eq!(anchored.code(), "workspace::catalog_edit");
        let repeated = refused("catalog:\n  core: &a ^1.0.0\n  other: *a\n");
        assert_eq!(repeated.code(), "workspace::catalog_edit");
    }

    #[test]
    fn files_with_catalogs() {
        let read = |text: &str| read("file", text);
        assert_eq!(read("").unwrap(), Catalogs::new());
        assert_eq!(read("nodeLinker: pnp\n").unwrap(), Catalogs::new());
        let full = read("\u{feff}packages:\r\n  - packages/*\r\ncatalogs:\r\n  old: {react: 17}\r\ncatalog:\r\n  react: ^18.0.0\r\n").unwrap();
        assert_eq!(full["old"]["react"], "17");
        assert_eq!(full["default"]["react"], "^18.0.0");
        for (text, position) in [
            ("catalog: {a: '1'}\ncatalogs: {default: {a: '2'}}\n", None),
            ("catalog: [a]\n", Some((1, 10))),
            ("catalogs:\n  old:\n    react: [1]\n", Some((3, 12))),
            ("catalog: {a: '1'}\ncatalog: {b: '1'}\n", Some((2, 1))),
        ] {
            let failure = read(text).expect_err(text);
            assert_eq!(failure.code(), "workspace::yaml_syntax", "{text}");
            assert_eq!(failure.exit(), Exit::Refused);
            assert!(failure.advice().is_some());
            assert_eq!(failure.where_in().unwrap().position, position, "{text}");
        }
    }

    #[test]
    fn only_what_is_wrong_with_catalogs_is_advised_on() {
        for (text, expected) in [
            ("catalog: [a]\n", HINT),
            ("catalogs: 1\n", HINT),
            (
                "npmScopes:\n  x: [a\ncatalog:\n  a: '1'\n",
                "correct the YAML there",
            ),
            ("npmScopes:\n  x: 1\n  x: 2\n", "correct the YAML there"),
            ("plugins:\n  - a: *b\n", "correct the YAML there"),
        ] {
            let failure = read(".yarnrc.yml", text).expect_err(text);
            assert_eq!(failure.advice(), Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_yaml_fails_badly(text in r"(catalog|catalogs|[\[\]{}:&*!'#|> \n-]|a){0,20}") {
            let _ = read("x", &text);
            let new = NewEntry { catalog: "default".to_owned(), name: "a".to_owned(), range: "2".to_owned() };
            let _ = edit("x", &text, &[new]);
        }
    }
}
