//! The sources of npm's settings, those that npm follows first.

use std::collections::BTreeMap;

use crate::explain::{Failure, Place};
use crate::settings::address;
use crate::settings::npmrc::{self, NpmrcFile, Whose};

/// What yarn 1 puts into `npm_config_registry` of every script: a read-only face of the public registry, which nobody chose
/// ([lerna](https://github.com/lerna/lerna/issues/896) passes over it too).
const YARNS_OWN: &str = "https://registry.yarnpkg.com/";

/// What one source of npm's settings says.
pub(in crate::settings) struct Layer {
    pub(in crate::settings) whose: Whose,
    /// What it is called.
    pub(in crate::settings) shown: String,
    pub(in crate::settings) entries: Vec<Line>,
}

/// One thing that it says.
pub(in crate::settings) struct Line {
    pub(in crate::settings) key: String,
    pub(in crate::settings) value: String,
    /// What says it: the key, or the variable.
    pub(in crate::settings) said: String,
    /// Where that stands; a variable stands in no file.
    pub(in crate::settings) place: Option<Place>,
}

/// npm's settings: variables, then the repository's file, then the user's.
pub(in crate::settings) fn layers(
    files: &[NpmrcFile],
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Layer>, Failure> {
    // A package manager that runs a script repeats in variables what the repository's files say.
    let in_script = environment.contains_key("npm_lifecycle_event");
    let (whose, shown) = if in_script {
        (
            Whose::Repository,
            "the variables of the script that runs this",
        )
    } else {
        (Whose::User, "the environment")
    };
    let variables = npmrc::from_environment(environment).into_iter();
    let variables = variables.filter(|(_, key, value)| key != "registry" || !is_yarns_own(value));
    let mut all = vec![Layer {
        whose,
        shown: shown.to_owned(),
        entries: variables
            .map(|(name, key, value)| Line {
                key,
                value,
                said: name,
                place: None,
            })
            .collect(),
    }];
    for whose in [Whose::Repository, Whose::User] {
        for file in files.iter().filter(|file| file.whose == whose) {
            let entries = npmrc::entries(&file.shown, &file.text)?;
            all.push(Layer {
                whose,
                shown: file.shown.clone(),
                entries: entries
                    .into_iter()
                    .map(|entry| Line {
                        said: entry.key.clone(),
                        key: entry.key,
                        value: entry.value,
                        place: Some(Place::at(&file.shown, entry.line, 1)),
                    })
                    .collect(),
            });
        }
    }
    Ok(all)
}

fn is_yarns_own(address: &str) -> bool {
    address::http(address).is_ok_and(|url| url.as_str() == YARNS_OWN)
}
