//! Catalogs in the root's `package.json`, as bun reads them: `catalog` and `catalogs` inside `workspaces`, else beside it.

use std::collections::BTreeMap;

use super::{Catalogs, NewEntry, refuse};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::workspace::LONGEST_MANIFEST;
use crate::workspace::json::{Document, Kind, Node, path};

type Entries<'d> = BTreeMap<&'d str, Node<'d>>;

/// The catalogs by name. Where `workspaces` has any, bun reads none beside it.
fn parse<'d>(document: &'d Document<'d>) -> Result<BTreeMap<&'d str, Entries<'d>>, Failure> {
    let root = document.root();
    let has_some = |node: &Node<'d>| {
        ["catalog", "catalogs"]
            .iter()
            .any(|key| node.get(key).is_some())
    };
    let inside = root.get("workspaces").filter(has_some);
    let (holder, prefix) = inside.map_or((root, ""), |inside| (inside, "workspaces"));
    let mut repeated = holder.duplicates().into_iter();
    if let Some(one) = repeated.find(|one| ["catalog", "catalogs"].contains(&one.key)) {
        return Err(repeats(document, one.place(), &path(prefix, one.key)));
    }
    let mut found: Vec<(&str, String, Node<'d>)> = Vec::new();
    let named = holder.get("catalogs");
    if let Some(named) = named {
        let shown = path(prefix, "catalogs");
        if let Some(one) = named.duplicates().into_iter().next() {
            return Err(repeats(document, one.place(), &path(&shown, one.key)));
        }
        for member in object(document, named, &shown)? {
            found.push((member.0, path(&shown, member.0), member.1));
        }
    }
    if let Some(catalog) = holder.get("catalog") {
        found.push(("default", path(prefix, "catalog"), catalog));
    }
    let mut catalogs: BTreeMap<&str, Entries<'d>> = BTreeMap::new();
    for (name, shown, node) in found {
        let catalog = catalogs.entry(name).or_default();
        for (package, range) in object(document, node, &shown)? {
            if range.as_str().is_none() {
                return Err(wrong_type(
                    document,
                    range,
                    &path(&shown, package),
                    "a string",
                ));
            }
            if catalog.insert(package, range).is_some() {
                return Err(twice(document, range, &path(&shown, package)));
            }
        }
    }
    Ok(catalogs)
}

/// The members of what must be an object.
fn object<'d>(
    document: &Document<'_>,
    node: Node<'d>,
    shown: &str,
) -> Result<Vec<(&'d str, Node<'d>)>, Failure> {
    if node.kind() != Kind::Object {
        return Err(wrong_type(document, node, shown, "an object"));
    }
    Ok(node.members().map(|one| (one.key, one.value)).collect())
}

fn wrong_type(document: &Document<'_>, node: Node<'_>, shown: &str, wanted: &str) -> Failure {
    let what = format!("{shown} in {} is not {wanted}", document.file());
    Failure::new(Exit::Refused, "workspace::field", what)
        .because(format!("it is {}", node.kind().as_str()))
        .hint(format!("write {wanted}"))
        .place(node.place())
}

fn twice(document: &Document<'_>, node: Node<'_>, shown: &str) -> Failure {
    let what = format!("{} holds {} twice", document.file(), quoted(shown));
    Failure::new(Exit::Refused, "workspace::json_duplicate", what)
        .because("a package has one range in a catalog; `catalog` is the one called default")
        .hint("remove one of them")
        .place(node.place())
}

/// bun takes the first and tells so, or refuses the file; other tools take the last.
fn repeats(document: &Document<'_>, place: Place, shown: &str) -> Failure {
    let what = format!("{} holds {} twice", document.file(), quoted(shown));
    Failure::new(Exit::Refused, "workspace::json_duplicate", what)
        .because("bun reads the first alone, other tools the last")
        .hint("make one of both")
        .place(place)
}

/// Reads the catalogs of a `package.json`; `file` is what messages call it.
///
/// # Errors
/// Those of [`Document::parse`]; `workspace::field` for a value of a wrong type; `workspace::json_duplicate` for two ranges of one package, and
/// for two lists of catalogs.
///
/// ```
/// use pkgs_action::workspace::catalogs::package_json::read;
/// let text = r#"{"workspaces": {"packages": ["packages/*"], "catalog": {"koa": "^2.0.0"}}, "catalog": {"koa": "1"}}"#;
/// assert_eq!(read("package.json", text).unwrap()["default"]["koa"], "^2.0.0");
/// ```
pub fn read(file: &str, text: &str) -> Result<Catalogs, Failure> {
    let document = Document::parse(file, text, LONGEST_MANIFEST)?;
    let owned = |entries: Entries<'_>| {
        let entries = entries.into_iter();
        entries
            .filter_map(|(name, range)| Some((name.to_owned(), range.as_str()?.to_owned())))
            .collect()
    };
    let catalogs = parse(&document)?.into_iter();
    Ok(catalogs
        .map(|(name, entries)| (name.to_owned(), owned(entries)))
        .collect())
}

/// The text of a `package.json` with new ranges in its catalogs; every other byte stays. `file` is what messages call it.
///
/// # Errors
/// Those of [`read`]; `workspace::catalog_edit` for an entry that is not there.
///
/// ```
/// use pkgs_action::workspace::catalogs::{NewEntry, package_json::edit};
/// let new = [NewEntry { catalog: "default".to_owned(), name: "core".to_owned(), range: "^2.0.0".to_owned() }];
/// let text = edit("x", r#"{"catalog":  {"core": "^1.0.0"}}"#, &new).unwrap();
/// assert_eq!(text, r#"{"catalog":  {"core": "^2.0.0"}}"#);
/// ```
pub fn edit(file: &str, text: &str, new: &[NewEntry]) -> Result<String, Failure> {
    let document = Document::parse(file, text, LONGEST_MANIFEST)?;
    let catalogs = parse(&document)?;
    let mut edits = document.edits();
    for entry in new {
        let catalog = catalogs.get(entry.catalog.as_str());
        let Some(node) = catalog.and_then(|entries| entries.get(entry.name.as_str())) else {
            let what = path(&path("catalogs", &entry.catalog), &entry.name);
            return Err(refuse(
                file,
                &what,
                "the range is left, and has no place there",
            ));
        };
        edits.set(*node, &entry.range);
    }
    Ok(edits.apply())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match read("package.json", text) {
            Ok(catalogs) => format!("{catalogs:?}"),
            Err(failure) => {
                assert!(failure.advice().is_some());
                let place = failure.where_in().expect("a place").to_string();
                format!("{} {place}: {}", failure.code(), failure.what())
            }
        };
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn catalogs_are_where_bun_finds_them() {
        // As bun 1.4 reads them.
        check(r#"{"workspaces": ["a"]}"#, "{}");
        check(
            r#"{"workspaces": ["a"], "catalog": {"a": "1"}, "catalogs": {"b": {"a": "2"}}}"#,
            r#"{"b": {"a": "2"}, "default": {"a": "1"}}"#,
        );
        check(
            r#"{"workspaces": {"catalogs": {"b": {"a": "2"}}}, "catalog": {"a": "1"}}"#,
            r#"{"b": {"a": "2"}}"#,
        );
        check(
            r#"{"workspaces": {"packages": []}, "catalogs": {"default": {"a": "1"}}}"#,
            r#"{"default": {"a": "1"}}"#,
        );
        check(
            r#"{"catalog": {"b": "1"}, "catalogs": {"default": {"a": "1"}}}"#,
            r#"{"default": {"a": "1", "b": "1"}}"#,
        );
    }

    #[test]
    fn what_is_no_catalog_says_where() {
        check(
            r#"{"catalog": []}"#,
            "workspace::field package.json:1:13: catalog in package.json is not an object",
        );
        check(
            r#"{"workspaces": {"catalogs": {"b": {"@x/a": 2}}}}"#,
            "workspace::field package.json:1:44: workspaces.catalogs.b[\"@x/a\"] in package.json is not a string",
        );
        check(
            r#"{"catalog": {"a": "1"}, "catalogs": {"default": {"a": "1"}}}"#,
            "workspace::json_duplicate package.json:1:19: package.json holds \"catalog.a\" twice",
        );
        check(
            r#"{"catalog": {"a": "1", "a": "2"}}"#,
            "workspace::json_duplicate package.json:1:29: package.json holds \"catalog.a\" twice",
        );
        check(
            r#"{"catalog": {"a": "1"}, "catalog": {"b": "1"}}"#,
            "workspace::json_duplicate package.json:1:25: package.json holds \"catalog\" twice",
        );
        check(
            r#"{"workspaces": {"catalogs": {}, "catalogs": {}}}"#,
            "workspace::json_duplicate package.json:1:33: package.json holds \"workspaces.catalogs\" twice",
        );
        check(
            r#"{"catalogs": {"x": {"a": "1"}, "x": {"b": "1"}}}"#,
            "workspace::json_duplicate package.json:1:32: package.json holds \"catalogs.x\" twice",
        );
    }

    #[test]
    fn an_entry_that_is_not_there_is_not_made() {
        let new = NewEntry {
            catalog: "b".to_owned(),
            name: "a".to_owned(),
            range: "2".to_owned(),
        };
        let failure = edit("package.json", r#"{"catalog": {"a": "1"}}"#, &[new]).unwrap_err();
        assert_eq!(failure.code(), "workspace::catalog_edit");
    }
}
