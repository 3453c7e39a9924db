//! `pnpm-workspace.yaml`: the patterns of members and the catalogs, and new ranges in the catalogs.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::workspace::catalogs::{Catalogs, NewEntry};
use crate::workspace::json::{path, splice};
use crate::workspace::yaml::encode;

/// The largest `pnpm-workspace.yaml`, in bytes.
const LARGEST: usize = 2 * 1024 * 1024;

/// What a `pnpm-workspace.yaml` says of packages and versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PnpmWorkspace {
    /// `packages`; empty where it is absent, which leaves only the root.
    pub packages: Vec<String>,
    /// The catalogs: name → package → range. `catalog` is the one called `default`.
    pub catalogs: Catalogs,
}

type Entries = BTreeMap<String, Spanned<String>>;

#[derive(Default, Deserialize)]
struct Yaml {
    packages: Option<Vec<Option<String>>>,
    catalog: Option<Entries>,
    catalogs: Option<BTreeMap<String, Entries>>,
}

impl Yaml {
    fn parse(file: &str, text: &str) -> Result<Yaml, Failure> {
        if text.len() > LARGEST {
            return Err(Failure::new(
                Exit::Refused,
                "workspace::file_size",
                format!("{file} is larger than {LARGEST} bytes"),
            )
            .hint(crate::workspace::json::UNUSUAL)
            .place(Place::file(file)));
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let yaml: Option<Yaml> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| unquoted(file, text).unwrap_or_else(|| syntax(file, &error)))?;
        Ok(yaml.unwrap_or_default())
    }

    /// The catalogs by name.
    fn catalogs(self, file: &str) -> Result<BTreeMap<String, Entries>, Failure> {
        let mut catalogs = self.catalogs.unwrap_or_default();
        if let Some(catalog) = self.catalog
            && catalogs.insert("default".to_owned(), catalog).is_some()
        {
            return Err(form(file, "it has both catalog and catalogs.default"));
        }
        Ok(catalogs)
    }
}

/// Reads a `pnpm-workspace.yaml`; `file` is what messages call it.
///
/// # Errors
/// `workspace::file_size` above 2 MiB; `workspace::yaml_syntax` for what is not YAML or has another form;
/// `workspace::yaml_quote` for a pattern that YAML takes for a tag, as in `- !packages/x`.
///
/// ```
/// use pkgs_action::workspace::pnpm_workspace::read;
/// let workspace = read("pnpm-workspace.yaml", "packages:\n  - 'packages/*'\ncatalog:\n  koa: ^2.0.0\n").unwrap();
/// assert_eq!(workspace.packages, ["packages/*"]);
/// assert_eq!(workspace.catalogs["default"]["koa"], "^2.0.0");
/// ```
pub fn read(file: &str, text: &str) -> Result<PnpmWorkspace, Failure> {
    let mut yaml = Yaml::parse(file, text)?;
    let packages = yaml.packages.take().unwrap_or_default();
    let packages: Option<Vec<String>> = packages.into_iter().collect();
    let ranges = |entries: Entries| {
        let entries = entries.into_iter();
        entries.map(|(name, range)| (name, range.value)).collect()
    };
    let catalogs = yaml.catalogs(file)?.into_iter();
    let catalogs = catalogs.map(|(name, entries)| (name, ranges(entries)));
    match packages {
        Some(packages) if packages.iter().all(|pattern| !pattern.is_empty()) => Ok(PnpmWorkspace {
            packages,
            catalogs: catalogs.collect(),
        }),
        _ => {
            Err(unquoted(file, text).unwrap_or_else(|| form(file, "an entry of packages is empty")))
        }
    }
}

/// The text of a `pnpm-workspace.yaml` with new ranges in its catalogs; comments, quotes and every other byte stay. `file` is what
/// messages call it.
///
/// # Errors
/// Those of [`read`]; `workspace::catalog_edit` where a range is not written where it is used, as with an anchor, or over several lines.
///
/// ```
/// use pkgs_action::workspace::{catalogs::NewEntry, pnpm_workspace::edit};
/// let new = [NewEntry { catalog: "default".to_owned(), name: "core".to_owned(), range: "^2.0.0".to_owned() }];
/// assert_eq!(edit("x", "catalog:\n  core: '^1.0.0' # ours\n", &new).unwrap(), "catalog:\n  core: '^2.0.0' # ours\n");
/// ```
pub fn edit(file: &str, text: &str, new: &[NewEntry]) -> Result<String, Failure> {
    let body = text.trim_start_matches('\u{feff}');
    let catalogs = Yaml::parse(file, body)?.catalogs(file)?;
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
    let mut expected = read(file, before)?.catalogs;
    for entry in new {
        let entries = expected.entry(entry.catalog.clone()).or_default();
        entries.insert(entry.name.clone(), entry.range.clone());
    }
    if read(file, after)?.catalogs == expected {
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

fn refuse(file: &str, what: &str, because: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::catalog_edit",
        format!("{what} in {file} cannot be changed"),
    )
    .because(because)
    .place(Place::file(file))
    .hint("write the range itself, without an anchor, after the package's name")
}

/// The failure for a `- !packages/x`, if the text has one: YAML gives nothing for it, and the directory meant to be left out would
/// be released.
fn unquoted(file: &str, text: &str) -> Option<Failure> {
    let (line, column, tag) = text.lines().enumerate().find_map(|(index, line)| {
        let item = line.trim_start().strip_prefix('-')?;
        let tag = item.trim_start_matches([' ', '\t']);
        let is_tag = item.len() > tag.len() && tag.starts_with('!');
        is_tag.then(|| (index + 1, line.len() - tag.len() + 1, tag.trim_end()))
    })?;
    Some(
        Failure::new(
            Exit::Refused,
            "workspace::yaml_quote",
            format!("{file} lists {} without quotes", quoted(tag)),
        )
        .because("YAML takes what follows an unquoted '!' for a tag and drops it")
        .place(Place::at(file, line, column))
        .hint(format!("write - '{tag}'")),
    )
}

fn form(file: &str, why: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::yaml_syntax",
        format!("{file} cannot be read"),
    )
    .because(why)
    .hint("write packages: and below it one pattern a line, for example - packages/*")
    .place(Place::file(file))
}

fn syntax(file: &str, error: &serde_saphyr::Error) -> Failure {
    let failure = form(
        file,
        &error.render_with_formatter(&serde_saphyr::UserMessageFormatter),
    );
    let position = error.location().and_then(|location| {
        Some((
            usize::try_from(location.line()).ok()?,
            usize::try_from(location.column()).ok()?,
        ))
    });
    match position {
        Some((line, column)) => failure.place(Place::at(file, line, column)),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn pnpm_workspace_files() {
        let read = |text: &str| read("pnpm-workspace.yaml", text);
        assert_eq!(read("").unwrap(), PnpmWorkspace::default());
        assert_eq!(read("# nothing\n").unwrap(), PnpmWorkspace::default());
        assert_eq!(
            read("onlyBuiltDependencies: [a]\n").unwrap(),
            PnpmWorkspace::default()
        );
        let full = read("\u{feff}packages:\r\n  - packages/*\r\n  - \"!packages/x\"\r\ncatalogs:\r\n  old: {react: 17}\r\ncatalog:\r\n  react: ^18.0.0\r\n").unwrap();
        assert_eq!(full.packages, ["packages/*", "!packages/x"]);
        assert_eq!(full.catalogs["old"]["react"], "17");
        assert_eq!(full.catalogs["default"]["react"], "^18.0.0");
        for (text, code, position) in [
            (
                "packages:\n  - packages/*\n  - !packages/x\n",
                "workspace::yaml_quote",
                Some((3, 5)),
            ),
            (
                "packages: {a: b}\n",
                "workspace::yaml_syntax",
                Some((1, 11)),
            ),
            ("packages:\n  - a\n  -\n", "workspace::yaml_syntax", None),
            ("packages: [a\n", "workspace::yaml_syntax", Some((1, 11))),
            (
                "packages: [a]\npackages: [b]\n",
                "workspace::yaml_syntax",
                Some((2, 1)),
            ),
            (
                "catalog: {a: '1'}\ncatalogs: {default: {a: '2'}}\n",
                "workspace::yaml_syntax",
                None,
            ),
        ] {
            let failure = read(text).expect_err(text);
            assert_eq!(failure.code(), code, "{text}");
            assert_eq!(failure.exit(), Exit::Refused);
            // What the parser tells programmers helps nobody here.
            let why = failure.causes().join(" ");
            assert!(!why.contains("Options"), "{why}");
            assert_eq!(
                failure.where_in().unwrap().position,
                position,
                "{text} {:?}",
                failure.causes()
            );
        }
    }

    proptest! {
        #[test]
        fn no_yaml_fails_badly(text in r"(packages|catalog|catalogs|[\[\]{}:&*!'#|> \n-]|a){0,20}") {
            let _ = read("x", &text);
        }
    }
}
