//! What of the environment a project's command sees: nothing that signs anyone in.

use super::Variables;

/// Names that children see. Paths, language, terminal and the tuning of Node and npm; nothing that signs anyone in.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "CI",
    "NODE_ENV",
    "NODE_OPTIONS",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "COREPACK_HOME",
    "PNPM_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// Names that children see in either case, as curl and npm read them.
const ALLOWED_IN_ANY_CASE: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "npm_config_cache",
    "npm_config_registry",
    "npm_config_offline",
    "npm_config_prefer_offline",
    "npm_config_cafile",
    "npm_config_audit",
    "npm_config_fund",
    "npm_config_loglevel",
    "npm_config_update_notifier",
    "npm_config_maxsockets",
    "npm_config_fetch_retries",
    "npm_config_fetch_timeout",
];

/// The part of `base` that a project's command may see.
///
/// A value with user information in an address (`https://user:password@proxy`) is left out whatever its name, and so is a value with a NUL.
///
/// ```
/// use pkgs_action::local::process::allowed;
/// let base = [("PATH", "/bin"), ("LC_ALL", "C"), ("NPM_TOKEN", "t"), ("INPUT_TOKEN", "t"), ("AWS_REGION", "x"), ("HTTPS_PROXY", "http://u:p@proxy")];
/// let base = base.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
/// assert_eq!(allowed(&base).into_keys().collect::<Vec<_>>(), ["LC_ALL", "PATH"]);
/// ```
#[must_use]
pub fn allowed(base: &Variables) -> Variables {
    base.iter()
        .filter(|(name, value)| {
            (ALLOWED.contains(&name.as_str())
                || name.starts_with("LC_")
                || ALLOWED_IN_ANY_CASE.contains(&name.to_ascii_lowercase().as_str()))
                && !carries_credentials(value)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn carries_credentials(value: &str) -> bool {
    value.contains('\0')
        || value.split_whitespace().any(|word| {
            word.split_once("://").is_some_and(|(_, rest)| {
                rest.split(['/', '?', '#'])
                    .next()
                    .is_some_and(|authority| authority.contains('@'))
            })
        })
        || value.contains("_authToken")
}
