//! Which environment variables are whose: credentials, ours, and what others may see.

use std::collections::BTreeMap;

use crate::settings::table::{self, Kind};

/// Variables that hold a credential and are not ours.
const CREDENTIALS: [&str; 10] = [
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "NODE_AUTH_TOKEN",
    "NPM_TOKEN",
    "NPM_ID_TOKEN",
    "SIGSTORE_ID_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// Whether a variable carries a credential of npm's own settings: `npm_config_//host/:_authToken`.
fn is_npm_credential(name: &str) -> bool {
    const FIELDS: [&str; 3] = ["_authtoken", "_auth", "_password"];
    let name = name.to_ascii_lowercase();
    name.strip_prefix("npm_config_")
        .is_some_and(|key| FIELDS.iter().any(|field| key.ends_with(field)))
}

/// Whether a variable is a setting of ours, or holds a credential that we publish, tag or prove ourselves with.
pub fn is_our_own(name: &str) -> bool {
    let is_of_aws = name.starts_with("AWS_");
    name.starts_with("INPUT_")
        || name.starts_with("PKGS_")
        || name.starts_with("ACTIONS_")
        || is_npm_credential(name)
        || (CREDENTIALS.contains(&name) && !is_of_aws)
}

/// The values of all credentials that the environment holds: what nothing that is printed may show.
pub fn secret_values(environment: &BTreeMap<String, String>) -> Vec<String> {
    let is_secret = |name: &str| {
        let own = name
            .strip_prefix("INPUT_")
            .or_else(|| name.strip_prefix("PKGS_"))
            .map(|name| name.to_lowercase().replace('_', "-"));
        CREDENTIALS.contains(&name)
            || is_npm_credential(name)
            || own
                .and_then(|own| table::find(&own))
                .is_some_and(|setting| setting.kind == Kind::Secret)
    };
    environment
        .iter()
        .filter(|(name, _)| is_secret(name))
        .flat_map(|(name, value)| {
            let lines = value.lines().filter(|_| names_several(name));
            let tokens = lines.filter_map(|line| Some(line.split_once('=')?.1.trim().to_owned()));
            std::iter::once(value.trim().to_owned()).chain(tokens)
        })
        .collect()
}

/// Whether a variable holds a credential on each of its lines, behind what it is for.
fn names_several(name: &str) -> bool {
    name.to_ascii_lowercase()
        .replace('_', "-")
        .ends_with("registry-tokens")
}

/// Everything but our own variables and what is known to be a credential.
pub fn of_person(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_ours = |name: &str| {
        name.starts_with("INPUT_") || name.starts_with("PKGS_") || name.starts_with("AWS_")
    };
    environment
        .iter()
        .filter(|(name, _)| {
            !is_ours(name) && !CREDENTIALS.contains(&name.as_str()) && !is_npm_credential(name)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The variables that the project's own commands may see: those of the person, without the runner's.
pub fn of_children(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut kept = of_person(environment);
    kept.retain(|name, _| !name.starts_with("GITHUB_") && !name.starts_with("ACTIONS_"));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_from_what_others_may_see() {
        let environment = [
            ("NPM_TOKEN", "one-secret"),
            ("npm_config_//npm.example/:_authToken", "two-secret"),
            ("NPM_CONFIG__AUTH", "three-secret"),
            (
                "INPUT_REGISTRY-TOKENS",
                "https://a.example/=four-secret\n\nhttps://b.example/=five=secret\n",
            ),
            ("npm_config_registry", "https://npm.example/"),
            ("PATH", "/bin"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = environment.into();
        let children = of_children(&environment);
        let seen: Vec<&str> = children.keys().map(String::as_str).collect();
        assert_eq!(seen, ["PATH", "npm_config_registry"]);
        let secrets = secret_values(&environment);
        for secret in [
            "one-secret",
            "two-secret",
            "three-secret",
            "four-secret",
            "five=secret",
        ] {
            assert!(secrets.iter().any(|one| one == secret), "{secret}");
        }
    }
}
