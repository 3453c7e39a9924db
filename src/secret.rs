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

/// A credential together with the one origin (scheme, host, port) that may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSecret {
    secret: Secret,
    origin: Origin,
}

impl BoundSecret {
    /// Binds `secret` to the origin of `url`.
    #[must_use]
    pub fn new(secret: Secret, url: &Url) -> BoundSecret {
        BoundSecret {
            secret,
            origin: url.origin(),
        }
    }

    /// The value, if `url` has the origin that this credential was given for.
    #[must_use]
    pub fn for_url(&self, url: &Url) -> Option<&str> {
        (url.origin() == self.origin).then(|| self.secret.reveal())
    }
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

    #[test]
    fn a_bound_secret_reaches_one_origin_only() {
        let url = |text: &str| Url::parse(text).expect("a url");
        let bound = BoundSecret::new(
            Secret::new("t").expect("a value"),
            &url("https://registry.example/a/"),
        );
        assert_eq!(bound.for_url(&url("https://registry.example/b")), Some("t"));
        assert_eq!(bound.for_url(&url("http://registry.example/b")), None);
        assert_eq!(bound.for_url(&url("https://registry.example:444/b")), None);
        assert_eq!(bound.for_url(&url("https://registry.example.evil/b")), None);
        assert_eq!(bound.for_url(&url("https://registry.example@evil/b")), None);
    }
}
