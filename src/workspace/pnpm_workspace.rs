//! `pnpm-workspace.yaml`: the patterns of members.

use serde::Deserialize;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::workspace::yaml;

const HINT: &str = "write packages: and below it one pattern a line, for example - packages/*";

#[derive(Default, Deserialize)]
struct Yaml {
    packages: Option<Vec<Option<String>>>,
}

/// The patterns of a `pnpm-workspace.yaml`, empty where it has none, which leaves only the root; `file` is what messages call it.
///
/// # Errors
/// `workspace::file_size` above 2 MiB; `workspace::yaml_syntax` for what is not YAML or has another form;
/// `workspace::yaml_quote` for a pattern that YAML takes for a tag, as in `- !packages/x`.
///
/// ```
/// use pkgs_action::workspace::pnpm_workspace::packages;
/// assert_eq!(packages("pnpm-workspace.yaml", "packages:\n  - 'packages/*'\n").unwrap(), ["packages/*"]);
/// ```
pub fn packages(file: &str, text: &str) -> Result<Vec<String>, Failure> {
    let otherwise = |failure| unquoted(file, text).unwrap_or(failure);
    let yaml: Yaml = yaml::parse(file, text, HINT).map_err(|failure| {
        if failure.code() == "workspace::yaml_syntax" {
            otherwise(failure)
        } else {
            failure
        }
    })?;
    let packages: Option<Vec<String>> = yaml.packages.unwrap_or_default().into_iter().collect();
    match packages {
        Some(packages) if packages.iter().all(|pattern| !pattern.is_empty()) => Ok(packages),
        _ => Err(otherwise(yaml::form(
            file,
            "an entry of packages is empty",
            HINT,
        ))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pnpm_workspace_files() {
        let read = |text: &str| packages("pnpm-workspace.yaml", text);
        assert_eq!(read("").unwrap(), [""; 0]);
        assert_eq!(read("# nothing\n").unwrap(), [""; 0]);
        assert_eq!(read("onlyBuiltDependencies: [a]\n").unwrap(), [""; 0]);
        let full = read("\u{feff}packages:\r\n  - packages/*\r\n  - \"!packages/x\"\r\ncatalogs:\r\n  old: {react: 17}\r\ncatalog:\r\n  react: ^18.0.0\r\n").unwrap();
        assert_eq!(full, ["packages/*", "!packages/x"]);
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
        fn no_yaml_fails_badly(text in r"(packages|[\[\]{}:&*!'#|> \n-]|a){0,20}") {
            let _ = packages("x", &text);
        }
    }
}
