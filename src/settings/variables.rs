//! Which environment variables are whose: credentials, ours, and what others may see.

use std::collections::BTreeMap;

use crate::settings::table::{self, Kind};

/// Variables that hold a credential and are not ours.
const CREDENTIALS: [&str; 8] = [
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "NODE_AUTH_TOKEN",
    "NPM_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// The values of all credentials that the environment holds: what nothing that is printed may show.
pub fn secret_values(environment: &BTreeMap<String, String>) -> Vec<String> {
    let is_secret = |name: &str| {
        let own = name
            .strip_prefix("INPUT_")
            .or_else(|| name.strip_prefix("PKGS_"))
            .map(|name| name.to_lowercase().replace('_', "-"));
        CREDENTIALS.contains(&name)
            || own
                .and_then(|own| table::find(&own))
                .is_some_and(|setting| setting.kind == Kind::Secret)
    };
    environment
        .iter()
        .filter(|(name, _)| is_secret(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

/// Everything but our own variables and what is known to be a credential.
pub fn of_person(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_ours = |name: &str| {
        name.starts_with("INPUT_") || name.starts_with("PKGS_") || name.starts_with("AWS_")
    };
    environment
        .iter()
        .filter(|(name, _)| !is_ours(name) && !CREDENTIALS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The variables that the project's own commands may see: those of the person, without the runner's.
pub fn of_children(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut kept = of_person(environment);
    kept.retain(|name, _| !name.starts_with("GITHUB_") && !name.starts_with("ACTIONS_"));
    kept
}
