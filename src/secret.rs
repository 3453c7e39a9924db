//! A value that cannot be printed, and that is bound to the origin it may be sent to.

use std::fmt;

use url::{Origin, Url};

/// A credential. It has no `Display` and no `Serialize`; `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a credential as it arrived; one final line break is not part of it. `None` for an empty value, or one that holds
    /// control characters (it could end a header early).
    #[must_use]
    pub fn new(value: &str) -> Option<Secret> {
        let value = value.strip_suffix('\n').unwrap_or(value);
        let value = value.strip_suffix('\r').unwrap_or(value);
        (!value.is_empty() && !value.chars().any(char::is_control))
            .then(|| Secret(value.to_owned()))
    }

    /// The value itself, for the one line that puts it into a request.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// How a credential stands in the header `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A token.
    Bearer,
    /// The base64 of `user:password`.
    Basic,
}

/// A credential together with the addresses that may see it: one origin (scheme, host, port), and there those below one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSecret {
    secret: Secret,
    scheme: Scheme,
    origin: Origin,
    /// Starts and ends with `/`.
    below: String,
}

impl BoundSecret {
    /// Binds a token to the origin of `url`.
    #[must_use]
    pub fn new(secret: Secret, url: &Url) -> BoundSecret {
        BoundSecret {
            secret,
            scheme: Scheme::Bearer,
            origin: url.origin(),
            below: "/".to_owned(),
        }
    }

    /// Binds a credential to the origin of `url`, and there to what lies below `path`.
    #[must_use]
    pub fn below(secret: Secret, scheme: Scheme, url: &Url, path: &str) -> BoundSecret {
        let path = path.trim_matches('/');
        BoundSecret {
            scheme,
            below: if path.is_empty() {
                "/".to_owned()
            } else {
                format!("/{path}/")
            },
            ..BoundSecret::new(secret, url)
        }
    }

    /// Whether `url` is one of those that this credential was given for.
    #[must_use]
    pub fn is_for(&self, url: &Url) -> bool {
        url.origin() == self.origin
            && format!("{}/", url.path()).starts_with(&self.below)
            && !leads_out(url.path(), &self.below)
    }

    /// The header `Authorization` of a request to `url`, if this credential was given for it.
    #[must_use]
    pub fn authorization(&self, url: &Url) -> Option<String> {
        let scheme = match self.scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Basic => "Basic",
        };
        self.is_for(url)
            .then(|| format!("{scheme} {}", self.secret.reveal()))
    }

    /// A text that came from outside, with `***` wherever it holds the credential.
    #[must_use]
    pub fn hidden_in(&self, text: &str) -> String {
        text.replace(self.secret.reveal(), "***")
    }

    /// The credential itself, for what keeps it out of everything that is printed.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// Whether what follows `below` may lead out of it for a server that reads `%2f` as `/`: npm escapes the one in a scoped name, and nothing else.
fn leads_out(path: &str, below: &str) -> bool {
    let rest = path
        .get(below.len()..)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let rest = rest
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace('\\', "/")
        .replace("%2e", ".");
    rest.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2\n").expect("a value");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(Secret::new("a\nb"), None);
        assert_eq!(Secret::new("\n"), None);
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a url")
    }

    fn secret() -> Secret {
        Secret::new("t").expect("a value")
    }

    #[test]
    fn a_bound_secret_reaches_one_origin_only() {
        let bound = BoundSecret::new(secret(), &url("https://registry.example/a/"));
        let shown = |text: &str| bound.authorization(&url(text));
        let bearer = Some("Bearer t".to_owned());
        assert_eq!(shown("https://registry.example/b"), bearer);
        assert_eq!(shown("http://registry.example/b"), None);
        assert_eq!(shown("https://registry.example:444/b"), None);
        assert_eq!(shown("https://registry.example.evil/b"), None);
        assert_eq!(shown("https://registry.example@evil/b"), None);
    }

    #[test]
    fn a_secret_for_a_path_reaches_nothing_beside_it() {
        let base = url("https://registry.example/");
        for path in ["npm/a", "/npm/a", "/npm/a/"] {
            let bound = BoundSecret::below(secret(), Scheme::Basic, &base, path);
            for (address, reached) in [
                ("https://registry.example/npm/a", true),
                ("https://registry.example/npm/a/@x%2fy?write=true", true),
                ("https://registry.example/npm/ab/x", false),
                ("https://registry.example/npm/", false),
                ("https://registry.example/npm/a/../b/x", false),
                ("https://registry.example/npm/a/%2e%2e/b/x", false),
                ("https://registry.example/npm/a/..%2fb/x", false),
                ("https://registry.example/npm/a/%2E%2e%5Cb/x", false),
                ("http://registry.example/npm/a/x", false),
            ] {
                let shown = bound.authorization(&url(address));
                assert_eq!(shown.as_deref(), reached.then_some("Basic t"), "{address}");
            }
        }
    }
}
