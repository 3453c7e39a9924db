//! Release tags that name a component instead of a package, as release-please writes them: `text-v1.2.3` marks `@acme/text`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::explain::{Exit, Failure, Place};
use crate::name::{PackageName, RepoPath, TagName};
use crate::version::Version;

/// The configuration of release-please.
pub const CONFIG: &str = "release-please-config.json";

/// What components are called, and how tags are made of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components {
    /// What stands between component and version.
    separator: String,
    packages: BTreeMap<String, PackageName>,
}

impl Components {
    /// Reads the configuration, whose text may be absent. A package's component is what its entry says, else its name without the scope; of
    /// two with one component neither is known by it.
    ///
    /// # Errors
    /// `settings::json` where the configuration is no JSON.
    pub fn read<'a>(
        config: Option<&str>,
        packages: impl Iterator<Item = (&'a RepoPath, &'a PackageName)>,
    ) -> Result<Components, Failure> {
        let config: Value = match config {
            None => Value::Null,
            Some(text) => {
                serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
                    Failure::new(
                        Exit::Usage,
                        "settings::json",
                        format!("{CONFIG} is not valid JSON"),
                    )
                    .because(&error)
                    .place(Place::at(CONFIG, error.line(), error.column().max(1)))
                    .hint("correct it there: its components say whose the tags are")
                })?
            }
        };
        let separator = config["tag-separator"].as_str().unwrap_or("-").to_owned();
        let mut known: BTreeMap<String, Option<PackageName>> = BTreeMap::new();
        for (directory, name) in packages {
            let place = if directory.is_root() {
                "."
            } else {
                directory.as_str()
            };
            let entry = &config["packages"][place];
            let said = entry["component"]
                .as_str()
                .or_else(|| entry["package-name"].as_str());
            let component = said.unwrap_or(name.as_str());
            let component = component.rsplit('/').next().unwrap_or(component);
            let is_new = !known.contains_key(component);
            known.insert(component.to_owned(), is_new.then(|| name.clone()));
        }
        let packages = known.into_iter();
        Ok(Components {
            separator,
            packages: packages
                .filter_map(|(component, name)| Some((component, name?)))
                .collect(),
        })
    }

    /// Which version of which package a tag marks.
    ///
    /// ```
    /// use pkgs_action::changes::component::Components;
    /// use pkgs_action::name::{PackageName, RepoPath, TagName};
    /// let (directory, name) = (RepoPath::parse("packages/rich-text").unwrap(), PackageName::parse("@acme/rich-text").unwrap());
    /// let components = Components::read(None, [(&directory, &name)].into_iter()).unwrap();
    /// let read = |tag: &str| components.of(&TagName::parse(tag).unwrap()).map(|(_, version)| version.to_string());
    /// assert_eq!(read("rich-text-v1.2.3-beta.1").as_deref(), Some("1.2.3-beta.1"));
    /// assert_eq!(read("rich-text-1.2.3").as_deref(), Some("1.2.3"));
    /// assert_eq!(read("text-v1.2.3"), None);
    /// assert_eq!(read("v1.2.3"), None);
    /// ```
    pub fn of(&self, tag: &TagName) -> Option<(&PackageName, Version)> {
        let text = tag.as_str();
        let separator = if self.separator.is_empty() {
            "-"
        } else {
            &self.separator
        };
        text.match_indices(separator).find_map(|(at, found)| {
            let name = self.packages.get(&text[..at])?;
            let version = &text[at + found.len()..];
            let version = version.strip_prefix('v').unwrap_or(version);
            Some((name, Version::parse(version).ok()?))
        })
    }
}
