//! Files that hold keys, tokens and other secrets, told by their names and by how they begin. A package takes them along unseen, and what is
//! published stays.

use crate::workspace::javascript::trimmed;

/// How much of most files is looked at, in bytes: a key says at once that it is one.
const BEGINNING: u64 = 128;
/// How much of a file is looked at that may hold a key behind other things.
const WHOLE: u64 = 256 << 10;

/// Programs' own names for files with secrets.
const NAMES: [(&str, &str); 8] = [
    ("id_rsa", KEY),
    ("id_dsa", KEY),
    ("id_ecdsa", KEY),
    ("id_ecdsa_sk", KEY),
    ("id_ed25519", KEY),
    ("id_ed25519_sk", KEY),
    (".netrc", "it holds passwords"),
    (".git-credentials", "it holds passwords"),
];
/// Extensions of files that always hold a private key.
const EXTENSIONS: [&str; 3] = ["p12", "pfx", "ppk"];
/// Extensions of files in which certificates and keys follow each other.
const SERIES: [&str; 5] = ["pem", "key", "crt", "cer", "asc"];
/// Parts of a name that say of a file of variables that it holds none that count.
const SAMPLES: [&str; 9] = [
    "example", "sample", "template", "tpl", "dist", "default", "defaults", "schema", "vault",
];
const KEY: &str = "it is a private key";
const TOKEN: &str = "it holds a token or password";

/// How many bytes of a file's beginning [`secret`] wants to see.
#[must_use]
pub fn read_of(path: &str) -> u64 {
    let name = base(path);
    let in_whole = matches!(name, ".npmrc" | ".yarnrc.yml" | ".yarnrc");
    if in_whole || SERIES.contains(&extension(name)) {
        WHOLE
    } else {
        BEGINNING
    }
}

/// Why a file must not be published, told by its path and its beginning, of which [`read_of`] says how much there must be.
///
/// Keys by name (`id_rsa`, `*.p12`, …) and by what stands in them (`-----BEGIN … PRIVATE KEY-----`), `.env` and `.env.*` but samples, and
/// `.npmrc` or `.yarnrc.yml` with a token that is no reference to a variable.
///
/// ```
/// use pkgs_action::workspace::key_files::secret;
/// assert!(secret("lib/.env.production", b"A=1").is_some());
/// assert!(secret("lib/.env.example", b"A=1").is_none());
/// ```
#[must_use]
pub fn secret(path: &str, beginning: &[u8]) -> Option<&'static str> {
    let name = base(path);
    let text = String::from_utf8_lossy(beginning);
    if let Some((_, why)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(why);
    }
    if EXTENSIONS.contains(&extension(name)) {
        return Some("it is a store of private keys");
    }
    if is_variables(name) {
        return Some("it is a file of environment variables");
    }
    if matches!(name, ".npmrc" | ".yarnrc.yml" | ".yarnrc") && text.lines().any(is_token) {
        return Some(TOKEN);
    }
    let mut lines = trimmed(&text).lines();
    let is_key = if SERIES.contains(&extension(name)) {
        lines.any(is_key)
    } else {
        lines.next().is_some_and(is_key)
    };
    is_key.then_some(KEY)
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_variables(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(".env") else {
        return false;
    };
    let is_code = matches!(
        extension(rest),
        "js" | "mjs" | "cjs" | "ts" | "mts" | "cts" | "md"
    );
    let is_sample = rest
        .split(['.', '-', '_'])
        .any(|part| SAMPLES.contains(&part));
    rest.is_empty() || rest.starts_with('.') && !is_code && !is_sample
}

/// A line that a private key of OpenSSL, OpenSSH, PGP or `PuTTY` begins with.
fn is_key(line: &str) -> bool {
    let line = line.trim_end();
    let is_pem = line.strip_prefix("-----BEGIN ").is_some_and(|rest| {
        ["PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"]
            .iter()
            .any(|end| rest.ends_with(end))
    });
    is_pem || line.starts_with("PuTTY-User-Key-File-")
}

/// A line that gives a token or password itself, and not the variable that holds it.
fn is_token(line: &str) -> bool {
    const KEYS: [&str; 5] = [
        "_authToken",
        "_auth",
        "_password",
        "npmAuthToken",
        "npmAuthIdent",
    ];
    let line = line.trim();
    // An .npmrc divides by `=`, a .yarnrc.yml by `: `.
    [line.split_once('='), line.split_once(": ")]
        .into_iter()
        .flatten()
        .any(|(key, value)| {
            let key = key.trim().trim_matches('"').rsplit(':').next();
            let value = value.trim().trim_matches(['"', '\'']);
            let is_given = !value.is_empty() && !value.starts_with("${");
            key.is_some_and(|key| KEYS.contains(&key)) && is_given
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_variables_are_told_by_their_names() {
        for path in [
            ".env",
            "lib/.env",
            ".env.local",
            ".env.production",
            ".env.production.local",
            ".env.keys",
            "id_rsa",
            "test/keys/id_ed25519",
            "cert.p12",
            "cert.pfx",
            "a.ppk",
            ".netrc",
            "x/.git-credentials",
        ] {
            assert!(secret(path, b"").is_some(), "{path}");
        }
        for path in [
            ".env.example",
            ".env.sample",
            ".env.local.example",
            ".env.development-sample",
            ".env.template",
            ".env.d.ts",
            ".environment",
            ".envelope.js",
            "env",
            "a.env",
            "id_rsa.pub",
            "id_rsa.js",
            "src/netrc.js",
            "p12",
            ".npmrc",
            "key.pem",
        ] {
            assert!(secret(path, b"").is_none(), "{path}");
        }
    }

    #[test]
    fn keys_and_tokens_are_told_by_what_stands_in_them() {
        for (path, text) in [
            ("a.txt", "-----BEGIN PRIVATE KEY-----\nMII"),
            ("a", "\u{feff}\n-----BEGIN RSA PRIVATE KEY-----\r\nMII"),
            ("a", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
            ("a", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
            ("a", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"),
            ("a", "PuTTY-User-Key-File-3: ssh-rsa"),
            (
                "a.pem",
                "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n",
            ),
            (".npmrc", "a=b\n//registry.example/:_authToken=npm_x\n"),
            ("x/.npmrc", "_auth = \"abc\""),
            (".yarnrc.yml", "npmAuthToken: abc"),
            (".yarnrc.yml", "npmAuthIdent: \"dXNlcjpwYXNz==\""),
        ] {
            assert!(secret(path, text.as_bytes()).is_some(), "{path} {text}");
        }
        for (path, text) in [
            ("a.pem", "-----BEGIN CERTIFICATE-----\nMII"),
            ("a.pem", "-----BEGIN PUBLIC KEY-----\nMII"),
            ("a.js", "x = '-----BEGIN PRIVATE KEY-----'"),
            ("a.md", "# Keys\n-----BEGIN PRIVATE KEY-----"),
            (
                ".npmrc",
                "//registry.example/:_authToken=${NPM_TOKEN}\nsave-exact=true",
            ),
            (".npmrc", "; nothing"),
            (".yarnrc.yml", "npmAuthToken: \"${NPM_TOKEN:-}\""),
            ("a.js", "_authToken=abc"),
        ] {
            assert!(secret(path, text.as_bytes()).is_none(), "{path} {text}");
        }
    }

    #[test]
    fn enough_is_read() {
        assert!(read_of("a/b.pem") > read_of("a/b.js"));
        assert!(read_of("a/.npmrc") > 1000 && read_of("a/.env") > 0);
    }
}
