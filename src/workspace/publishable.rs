//! What may leave the workspace: ranges that only mean something inside it are replaced, and what no installer outside could follow is refused.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::PackageName;
use crate::version::Version;
use crate::workspace::catalogs::{self, Catalogs};
use crate::workspace::package_json::{self, Change, DependencyField, PackageJson};

/// The text of a `package.json` as it is published or shipped: `workspace:` forms become ranges of the versions in `versions`, as pnpm does it
/// (`*` exact, `^` and `~` with the version, a range as it stands, `workspace:name@range` an alias).
///
/// `catalog:` becomes what `catalogs` say of it.
///
/// With `strict`, as for npm, dependencies that an installer outside cannot follow (`catalog:` without an entry, `link:`, `portal:`, `file:`) are refused; devDependencies are
/// never installed from a registry and may stay.
///
/// # Errors
/// `workspace::unpublishable`, exit 3, naming every such dependency.
pub fn publishable(
    file: &str,
    text: &str,
    versions: &BTreeMap<PackageName, Version>,
    catalogs: &Catalogs,
    strict: bool,
) -> Result<String, Failure> {
    let manifest = PackageJson::parse(file, text)?;
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    for dependency in &manifest.dependencies {
        let listed = catalogs::entry(catalogs, &dependency.name, &dependency.spec);
        let spec = listed.unwrap_or(&dependency.spec);
        if let Some(inside) = spec.strip_prefix("workspace:") {
            match resolved(&dependency.name, inside, versions) {
                Some(spec) => changes.push(Change::SetSpec {
                    field: dependency.field,
                    name: dependency.name.clone(),
                    spec,
                }),
                None => problems.push(
                    unpublishable(file, dependency.field, &dependency.name, &dependency.spec)
                        .hint("the workspace has no such package"),
                ),
            }
            continue;
        }
        if let Some(range) = listed {
            changes.push(Change::SetSpec {
                field: dependency.field,
                name: dependency.name.clone(),
                spec: range.to_owned(),
            });
        }
        let stays_here = ["catalog:", "link:", "portal:", "file:"]
            .iter()
            .any(|protocol| spec.starts_with(protocol));
        if strict && stays_here && dependency.field != DependencyField::DevDependencies {
            let hint = if spec.starts_with("catalog:") {
                "add an entry to the catalog, write the range itself, or make the package private"
            } else {
                "depend on a published range, or make the package private"
            };
            problems.push(
                unpublishable(file, dependency.field, &dependency.name, &dependency.spec)
                    .hint(hint),
            );
        }
    }
    match Failure::all(problems) {
        Some(failure) => Err(failure),
        None if changes.is_empty() => Ok(text.to_owned()),
        None => package_json::edit(file, text, &changes),
    }
}

fn resolved(key: &str, inside: &str, versions: &BTreeMap<PackageName, Version>) -> Option<String> {
    let version = |name: &str| {
        PackageName::parse(name)
            .ok()
            .and_then(|name| versions.get(&name))
    };
    if let Some((name, range)) = inside.rsplit_once('@').filter(|(name, _)| !name.is_empty()) {
        let version = version(name)?;
        return Some(format!("npm:{name}@{}", ranged(range, version)));
    }
    Some(ranged(inside, version(key)?))
}

fn ranged(range: &str, version: &Version) -> String {
    match range {
        "*" | "" => version.to_string(),
        "^" | "~" => format!("{range}{version}"),
        range => range.to_owned(),
    }
}

fn unpublishable(file: &str, field: DependencyField, name: &str, spec: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::unpublishable",
        format!(
            "{} in {} of {file} means nothing outside the workspace: {}",
            quoted(name),
            field.as_str(),
            quoted(spec)
        ),
    )
    .place(Place::file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, expected: Option<&str>) {
        let versions = BTreeMap::from([(PackageName::parse("b").unwrap(), Version::new(1, 2, 3))]);
        let catalogs = [("default", "^1.1.0"), ("old", "workspace:^")].map(|(name, range)| {
            let entries = BTreeMap::from([("b".to_owned(), range.to_owned())]);
            (name.to_owned(), entries)
        });
        let catalogs = Catalogs::from(catalogs);
        let text = format!(
            "{{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":{{\"b\":\"{spec}\"}}}}"
        );
        let published = publishable("package.json", &text, &versions, &catalogs, true).ok();
        assert_eq!(
            published,
            expected.map(|expected| text.replace(spec, expected)),
            "{spec}"
        );
    }

    #[test]
    fn a_catalog_without_an_entry_is_named() {
        let text = r#"{"name":"a","version":"1.0.0","dependencies":{"koa":"catalog:"}}"#;
        let failure = publishable("x", text, &BTreeMap::new(), &Catalogs::new(), true).unwrap_err();
        assert_eq!(failure.code(), "workspace::unpublishable");
        assert!(
            failure
                .advice()
                .unwrap()
                .contains("add an entry to the catalog")
        );
    }

    #[test]
    fn ranges_that_only_mean_something_inside_are_replaced() {
        check("workspace:*", Some("1.2.3"));
        check("workspace:^", Some("^1.2.3"));
        check("workspace:~", Some("~1.2.3"));
        check("workspace:^1.0.0", Some("^1.0.0"));
        check("workspace:b@^", Some("npm:b@^1.2.3"));
        check("workspace:c@^", None);
        check("^1.0.0", Some("^1.0.0"));
        check("file:../b", None);
        check("catalog:", Some("^1.1.0"));
        check("catalog:default", Some("^1.1.0"));
        check("catalog:old", Some("^1.2.3"));
        check("catalog:none", None);
    }
}
