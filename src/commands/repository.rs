//! What a repository is called, however its address is written: what a store belongs to.

use std::path::Path;

/// The last two parts of the path in `address`, without `.git`, users, hosts and ports: `owner/name` on a forge, and a path on disk agrees with
/// the ssh address of the same directory. A path is read as git reads it, from the repository's `directory`.
///
/// Hosts are left out, because one repository is reached by several; so repositories that differ only before
/// the last two parts need different prefixes in a store.
///
/// ```
/// use pkgs_action::commands::repository::name;
/// let name = |address| name(address, "/home/ann/mono".as_ref());
/// assert_eq!(name("https://git.example/org/mono.git"), "org/mono");
/// assert_eq!(name("git@git.example:org/mono.git"), "org/mono");
/// assert_eq!(name("../git/mono.git"), "git/mono");
/// ```
#[must_use]
pub fn name(address: &str, directory: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let path = path_of(address);
    let base = directory.to_str().filter(|_| path.is_relative);
    for part in base
        .into_iter()
        .chain([path.text])
        .flat_map(|path| path.split('/'))
    {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    // The directory of a repository with a working tree.
    if parts.len() > 1 && parts.last() == Some(&".git") {
        parts.pop();
    }
    let start = parts.len().saturating_sub(2);
    let name = parts[start..].join("/");
    name.strip_suffix(".git").unwrap_or(&name).to_owned()
}

struct PathOf<'a> {
    text: &'a str,
    /// Whether it starts at the repository's directory.
    is_relative: bool,
}

fn path_of(address: &str) -> PathOf<'_> {
    let elsewhere = |text| PathOf {
        text,
        is_relative: false,
    };
    if let Some((_, rest)) = address.split_once("://") {
        return elsewhere(rest.split_once('/').map_or("", |(_, path)| path));
    }
    // `host:path`, unless a `/` comes before the colon: then it is a path with a colon in it.
    match address.split_once(':') {
        Some((host, path)) if !host.contains('/') => elsewhere(path),
        _ => PathOf {
            text: address,
            is_relative: !address.starts_with('/'),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_name_however_it_is_reached() {
        let check = |address: &str, expected: &str| {
            assert_eq!(
                name(address, Path::new("/srv/git/acme/clone")),
                expected,
                "{address}"
            );
        };
        for address in [
            "https://git.example/acme/mono",
            "https://git.example/acme/mono.git",
            "https://git.example/acme/mono.git/",
            "https://ann:secret@git.example:8443/acme/mono.git",
            "ssh://git@git.example/acme/mono.git",
            "ssh://git@git.example:2222/acme/mono.git",
            "ssh://git@git.example/srv/git/acme/mono.git",
            "git://git.example/acme/mono.git",
            "git@git.example:acme/mono.git",
            "git@git.example:/srv/git/acme/mono.git",
            "git.example:acme/mono",
            "file:///srv/git/acme/mono.git",
            "file://host/srv/git/acme/mono.git",
            "/srv/git/acme/mono.git",
            "/srv/git/acme/mono.git/",
            "/srv/git//acme/./mono.git",
            "/srv/git/acme/mono/.git",
            "../mono.git",
            "./../mono.git",
            "../../acme/mono.git",
            "../clone/../mono",
        ] {
            check(address, "acme/mono");
        }
        check("git@git.example:mono.git", "mono");
        check("https://git.example/mono.git", "mono");
        check("sub/mono", "sub/mono");
        check("/srv/a:b/mono.git", "a:b/mono");
        check("", "acme/clone");
        check("../../../../../../mono.git", "mono");
    }
}
