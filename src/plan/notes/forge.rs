//! Addresses of pages of the repository on its forge, made of its own address alone.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::name::{CommitId, RepoPath, TagName};

/// What stays as it is in a part of an address; parentheses and spaces would end a link in Markdown.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'@')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'+');

/// Where people look at the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forge {
    address: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// GitHub, and what has its paths: Gitea, Forgejo, Gogs.
    GitHub,
    GitLab,
    Bitbucket,
}

impl Forge {
    /// The forge that the `repository` of a `package.json` names, in any form that npm understands: an address, `owner/name`,
    /// `github:owner/name`, `gitlab:…` or `bitbucket:…`.
    ///
    /// ```
    /// use pkgs_action::plan::notes::forge::Forge;
    /// assert_eq!(Forge::of_manifest("acme/mono"), Forge::of_remote("git@github.com:acme/mono.git"));
    /// ```
    #[must_use]
    pub fn of_manifest(repository: &str) -> Option<Forge> {
        let (host, path) = match repository.split_once(':') {
            Some(("github", path)) => ("github.com", path),
            Some(("gitlab", path)) => ("gitlab.com", path),
            Some(("bitbucket", path)) => ("bitbucket.org", path),
            None => ("github.com", repository),
            Some(_) => return Forge::of_remote(repository),
        };
        Forge::at(&format!("https://{host}"), host, path)
    }

    /// The forge of a remote, by the address that git has for it. `None` where that leads to no web page: a directory, a machine
    /// of the local network. Users, passwords and the port of ssh are left out, so every address of one repository gives one forge.
    #[must_use]
    pub fn of_remote(address: &str) -> Option<Forge> {
        let address = address.trim();
        let address = address.strip_prefix("git+").unwrap_or(address);
        if !address.contains("://") {
            let (host, path) = address.split_once(':')?;
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            return Forge::of_remote(&format!("ssh://{host}/{}", path.trim_start_matches('/')));
        }
        let url = Url::parse(address).ok()?;
        let host = match Host::parse(url.host_str()?).ok()? {
            Host::Domain(host) if host.contains('.') => host,
            _ => return None,
        };
        let origin = match (url.scheme(), url.port()) {
            (scheme @ ("http" | "https"), Some(port)) => format!("{scheme}://{host}:{port}"),
            (scheme @ ("http" | "https"), None) => format!("{scheme}://{host}"),
            ("ssh" | "git", _) => format!("https://{host}"),
            _ => return None,
        };
        Forge::at(&origin, &host, url.path())
    }

    fn at(origin: &str, host: &str, path: &str) -> Option<Forge> {
        let kind = match host {
            "bitbucket.org" => Kind::Bitbucket,
            host if host.contains("gitlab") => Kind::GitLab,
            _ => Kind::GitHub,
        };
        let path = path.split(['#', '?']).next().unwrap_or_default();
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if matches!(host, "github.com" | "bitbucket.org") {
            // What follows is a page of the repository.
            parts.truncate(2);
        }
        if let Some(end) = parts.iter().position(|part| *part == "-") {
            parts.truncate(end);
        }
        if let Some(name) = parts.last_mut() {
            *name = name.strip_suffix(".git").unwrap_or(name);
        }
        // Only GitLab has groups in groups; elsewhere a longer path is one on a disk.
        let fits = parts.len() == 2 || (kind == Kind::GitLab && parts.len() > 2);
        let is_plain = |part: &&str| {
            !matches!(*part, "" | "." | "..")
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte))
        };
        (fits && parts.iter().all(is_plain)).then(|| Forge {
            address: format!("{origin}/{}", parts.join("/")),
            kind,
        })
    }

    /// The page of a commit.
    #[must_use]
    pub fn commit(&self, commit: &CommitId) -> String {
        let page = match self.kind {
            Kind::GitHub => "commit",
            Kind::GitLab => "-/commit",
            Kind::Bitbucket => "commits",
        };
        format!("{}/{page}/{commit}", self.address)
    }

    /// The page that shows what changed between two revisions; `None` where a forge has none that their names alone lead to.
    #[must_use]
    pub fn compare(&self, from: &str, to: &TagName) -> Option<String> {
        let page = match self.kind {
            Kind::GitHub => "compare",
            Kind::GitLab => "-/compare",
            Kind::Bitbucket => return None,
        };
        let (from, to) = (encoded(from), encoded(to.as_str()));
        Some(format!("{}/{page}/{from}...{to}", self.address))
    }

    /// The page of a file as it is at a tag.
    #[must_use]
    pub fn file(&self, tag: &TagName, path: &RepoPath) -> String {
        let page = match self.kind {
            Kind::GitHub => "blob",
            Kind::GitLab => "-/blob",
            Kind::Bitbucket => "src",
        };
        let mut address = format!("{}/{page}/", self.address);
        let _ = write!(
            address,
            "{}/{}",
            encoded(tag.as_str()),
            encoded(path.as_str())
        );
        address
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_address_however_it_is_reached() {
        fn check(address: &str, expected: Option<&str>) {
            let forge = Forge::of_remote(address);
            assert_eq!(
                forge.as_ref().map(|forge| forge.address.as_str()),
                expected,
                "{address}"
            );
        }
        let mono = Some("https://git.example.com/acme/mono");
        for address in [
            "https://git.example.com/acme/mono",
            "https://git.example.com/acme/mono.git",
            "https://git.example.com/acme/mono.git/",
            "https://x-access-token:ghs_secret@git.example.com/acme/mono.git",
            "git+https://git.example.com/acme/mono.git",
            "ssh://git@git.example.com/acme/mono.git",
            "ssh://git@git.example.com:2222/acme/mono.git",
            "git+ssh://git@GIT.example.com/acme/mono.git",
            "git://git.example.com/acme/mono.git",
            "git@git.example.com:acme/mono.git",
            "git.example.com:/acme/mono",
        ] {
            check(address, mono);
        }
        check(
            "https://git.example.com:8443/acme/mono",
            Some("https://git.example.com:8443/acme/mono"),
        );
        check(
            "git@gitlab.example.com:acme/team/mono.git",
            Some("https://gitlab.example.com/acme/team/mono"),
        );
        for address in [
            "",
            "mono",
            "acme/mono",
            "../mono.git",
            "/srv/git/acme/mono.git",
            "file:///srv/git/acme/mono.git",
            "ssh://git@git.example.com/srv/git/acme/mono.git",
            "https://git.example.com/mono",
            "http://127.0.0.1:8080/acme/mono",
            "http://[::1]/acme/mono",
            "http://localhost/acme/mono",
            "git@work:acme/mono.git",
            "https://git.example.com/acme/mo(no",
            "https://git.example.com/acme/%2e%2e",
            "javascript:alert(1)",
        ] {
            check(address, None);
        }
    }

    #[test]
    fn manifests_name_forges_as_npm_reads_them() {
        fn check(repository: &str, expected: Option<&str>) {
            let forge = Forge::of_manifest(repository);
            let address = forge.as_ref().map(|forge| forge.address.as_str());
            assert_eq!(address, expected, "{repository}");
        }
        let mono = Some("https://github.com/acme/mono");
        check("acme/mono", mono);
        check("github:acme/mono", mono);
        check("git+https://github.com/acme/mono.git", mono);
        check("https://github.com/acme/mono/tree/main/packages/a", mono);
        check("https://github.com/acme/mono#readme", mono);
        check("gitlab:acme/mono", Some("https://gitlab.com/acme/mono"));
        check(
            "bitbucket:acme/mono",
            Some("https://bitbucket.org/acme/mono"),
        );
        check("gist:11081aaa281", None);
        check("./mono", None);
        check("mono", None);
        check("", None);
    }

    #[test]
    fn every_forge_has_its_own_pages() {
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let tag = TagName::parse("@x/a@1.1.0").unwrap();
        let path = RepoPath::parse("packages/a (b)/CHANGELOG.md").unwrap();
        let pages = |repository: &str| {
            let forge = Forge::of_manifest(repository).unwrap();
            let compare = forge.compare("@x/a@1.0.0", &tag).unwrap_or_default();
            let pages = [forge.commit(&commit), compare, forge.file(&tag, &path)];
            pages.join("\n").replace(commit.as_str(), "<id>")
        };
        insta::assert_snapshot!(pages("acme/mono"), @r"
        https://github.com/acme/mono/commit/<id>
        https://github.com/acme/mono/compare/@x/a@1.0.0...@x/a@1.1.0
        https://github.com/acme/mono/blob/@x/a@1.1.0/packages/a%20%28b%29/CHANGELOG.md
        ");
        insta::assert_snapshot!(pages("gitlab:acme/mono"), @r"
        https://gitlab.com/acme/mono/-/commit/<id>
        https://gitlab.com/acme/mono/-/compare/@x/a@1.0.0...@x/a@1.1.0
        https://gitlab.com/acme/mono/-/blob/@x/a@1.1.0/packages/a%20%28b%29/CHANGELOG.md
        ");
        insta::assert_snapshot!(pages("bitbucket:acme/mono"), @r"
        https://bitbucket.org/acme/mono/commits/<id>

        https://bitbucket.org/acme/mono/src/@x/a@1.1.0/packages/a%20%28b%29/CHANGELOG.md
        ");
    }
}
