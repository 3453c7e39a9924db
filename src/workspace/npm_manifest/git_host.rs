//! Addresses of repositories on the hosts that npm knows, as `hosted-git-info` reads and writes them.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::workspace::javascript::uri_component;

/// A host, and how its addresses look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Host {
    name: &'static str,
    domain: &'static str,
    schemes: &'static [&'static str],
    tree: &'static str,
}

const HOSTS: [Host; 5] = [
    Host {
        name: "github",
        domain: "github.com",
        schemes: &["git", "http", "git+ssh", "git+https", "ssh", "https"],
        tree: "tree",
    },
    Host {
        name: "bitbucket",
        domain: "bitbucket.org",
        schemes: &["git+ssh", "git+https", "ssh", "https"],
        tree: "src",
    },
    Host {
        name: "gitlab",
        domain: "gitlab.com",
        schemes: &["git+ssh", "git+https", "ssh", "https"],
        tree: "tree",
    },
    Host {
        name: "gist",
        domain: "gist.github.com",
        schemes: &["git", "git+ssh", "git+https", "ssh", "https"],
        tree: "",
    },
    Host {
        name: "sourcehut",
        domain: "git.sr.ht",
        schemes: &["git+ssh", "https"],
        tree: "tree",
    },
];

/// A repository on one of the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hosted {
    host: Host,
    user: Option<String>,
    auth: Option<String>,
    project: String,
    committish: String,
    /// How it was written: `shortcut`, or the scheme.
    written: String,
}

impl Hosted {
    /// Reads an address; `None` for one that is on no such host.
    pub(super) fn read(text: &str) -> Option<Hosted> {
        if text.is_empty() {
            return None;
        }
        let corrected = if is_shorthand(text) {
            format!("github:{text}")
        } else {
            text.to_owned()
        };
        let url = parsed(&corrected)?;
        if let Some(host) = HOSTS.into_iter().find(|host| host.name == url.scheme()) {
            return Hosted::of_shortcut(host, &url);
        }
        let domain = url.host_str()?;
        let domain = domain.strip_prefix("www.").unwrap_or(domain);
        let host = HOSTS.into_iter().find(|host| host.domain == domain)?;
        if !host.schemes.contains(&url.scheme()) {
            return None;
        }
        let (user, project, committish) = extracted(host, &url)?;
        let auth = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) => Some(format!("{user}:{password}")),
            (user, None) => Some(user.to_owned()),
        };
        Some(Hosted {
            host,
            user: match user {
                Some(user) => Some(decoded(&user)?),
                None => None,
            },
            auth: auth.filter(|_| url.scheme() != "ssh" && url.scheme() != "git+ssh"),
            project: decoded(&project)?,
            committish: decoded(&committish)?,
            written: match url.scheme() {
                "git+ssh" | "ssh" => "sshurl",
                "git+https" => "https",
                other => other,
            }
            .to_owned(),
        })
    }

    fn of_shortcut(host: Host, url: &Url) -> Option<Hosted> {
        let path = url.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.split_once('@').map_or(path, |(_, behind)| behind);
        let (user, project) = match path.rsplit_once('/') {
            Some((user, project)) => (Some(decoded(user)?), decoded(project)?),
            None => (None, decoded(path)?),
        };
        Some(Hosted {
            host,
            user: user.filter(|user| !user.is_empty()),
            auth: None,
            project: without_git(&project).to_owned(),
            committish: decoded(url.fragment().unwrap_or_default())?,
            written: "shortcut".to_owned(),
        })
    }

    /// Whether it was written as `github:owner/name` or the like.
    fn is_shortcut(&self) -> bool {
        self.written == "shortcut"
    }

    /// `owner/name`.
    pub(super) fn place(&self) -> String {
        if self.host.name == "gist" {
            return self.project.clone();
        }
        format!(
            "{}/{}",
            self.user.as_deref().unwrap_or("null"),
            self.project
        )
    }

    fn hash(&self) -> String {
        if self.committish.is_empty() {
            String::new()
        } else {
            format!("#{}", self.committish)
        }
    }

    fn https(&self) -> String {
        let (domain, place, hash) = (self.host.domain, self.place(), self.hash());
        let auth = match &self.auth {
            Some(auth) if self.host.name != "gist" => format!("{auth}@"),
            _ => String::new(),
        };
        match self.host.name {
            "sourcehut" => format!("https://{domain}/{place}{hash}"),
            _ => format!("git+https://{auth}{domain}/{place}.git{hash}"),
        }
    }

    /// The address as npm writes it for dependencies.
    pub(super) fn text(&self) -> String {
        let (domain, place, hash) = (self.host.domain, self.place(), self.hash());
        match self.written.as_str() {
            "shortcut" => format!("{}:{place}{hash}", self.host.name),
            "https" => self.https(),
            "git" => match &self.auth {
                Some(auth) if self.host.name == "github" => {
                    format!("git://{auth}@{domain}/{place}.git{hash}")
                }
                _ => format!("git://{domain}/{place}.git{hash}"),
            },
            _ => format!("git+ssh://git@{domain}/{place}.git{hash}"),
        }
    }

    /// The address as npm writes it for the repository of a package.
    pub(super) fn repository(&self) -> String {
        if self.is_shortcut() {
            self.https()
        } else {
            self.text()
        }
    }

    /// Where problems are told.
    pub(super) fn bugs(&self) -> Option<String> {
        let (domain, place) = (self.host.domain, self.place());
        match self.host.name {
            "sourcehut" => None,
            "gist" => Some(format!("https://{domain}/{place}")),
            _ => Some(format!("https://{domain}/{place}/issues")),
        }
    }

    /// Where it is described.
    pub(super) fn docs(&self) -> String {
        let (domain, place, tree) = (self.host.domain, self.place(), self.host.tree);
        let committish = uri_component(&self.committish);
        match (self.host.name, self.committish.is_empty()) {
            ("gist", true) => format!("https://{domain}/{place}"),
            ("gist", false) => format!("https://{domain}/{place}/{committish}"),
            (_, true) => format!("https://{domain}/{place}#readme"),
            (_, false) => format!("https://{domain}/{place}/{tree}/{committish}#readme"),
        }
    }
}

/// User, project and commit of a path.
fn extracted(host: Host, url: &Url) -> Option<(Option<String>, String, String)> {
    let path = url.path();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let part = |at: usize| parts.get(at).copied().filter(|part| !part.is_empty());
    let hash = url.fragment().unwrap_or_default().to_owned();
    if host.name == "gitlab" {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.contains("/-/") || path.contains("/archive.tar.gz") {
            return None;
        }
        let (user, project) = path.rsplit_once('/')?;
        let project = without_git(project);
        let is_whole = !user.is_empty() && !project.is_empty();
        return is_whole.then(|| (Some(user.to_owned()), project.to_owned(), hash));
    }
    let more = part(2);
    let committish = match (host.name, more) {
        ("github", Some("tree")) => parts.get(3).map_or("undefined", |part| part).to_owned(),
        ("github", Some(_))
        | ("bitbucket", Some("get"))
        | ("gist", Some("raw"))
        | ("sourcehut", Some("archive")) => return None,
        _ => hash,
    };
    let (user, project) = match (part(0), part(1)) {
        (Some(project), None) if host.name == "gist" => (None, project),
        (user, Some(project)) if user.is_some() || host.name == "gist" => (user, project),
        _ => return None,
    };
    let project = without_git(project);
    if project.is_empty() && host.name != "gist" {
        return None;
    }
    Some((user.map(str::to_owned), project.to_owned(), committish))
}

fn without_git(project: &str) -> &str {
    project.strip_suffix(".git").unwrap_or(project)
}

/// `decodeURIComponent`; `None` for what it refuses.
fn decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let is_whole = text.match_indices('%').all(|(at, _)| is_escape(at));
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    is_whole.then(|| decoded.into_owned())
}

/// `owner/name`, also with `#` and a commit.
fn is_shorthand(text: &str) -> bool {
    let (before, has_hash) = match text.split_once('#') {
        Some((before, _)) => (before, true),
        None => (text, false),
    };
    let first_slash = text.find('/');
    let has_one_slash = before.matches('/').count() == 1 || has_hash && before.is_empty();
    has_one_slash
        && first_slash.is_some_and(|at| at > 0)
        && !before.ends_with('/')
        && !text.starts_with('.')
        && !before.contains(['@', ':'])
        && !before.contains(char::is_whitespace)
}

fn parsed(text: &str) -> Option<Url> {
    let text = with_protocol(text);
    Url::parse(&text)
        .or_else(|_| Url::parse(&with_path(&text)))
        .ok()
}

/// Writes `//` behind the scheme where it is missing.
fn with_protocol(text: &str) -> String {
    const KNOWN: [&str; 7] = [
        "git+ssh",
        "ssh",
        "git+https",
        "git",
        "http",
        "https",
        "git+http",
    ];
    let Some(colon) = text.find(':') else {
        return match text.find('@') {
            Some(_) => format!("git+ssh://{text}"),
            None => format!("//{text}"),
        };
    };
    let scheme = &text[..colon];
    let is_known = KNOWN.contains(&scheme) || HOSTS.iter().any(|host| host.name == scheme);
    if is_known || text[colon..].starts_with("://") {
        return text.to_owned();
    }
    match text.find('@') {
        Some(at) if at > colon => format!("git+ssh://{text}"),
        Some(_) => text.to_owned(),
        None => format!("{}//{}", &text[..=colon], &text[colon + 1..]),
    }
}

/// `git@host:path` as an address with a scheme.
fn with_path(text: &str) -> String {
    let hash = text.find('#').unwrap_or(text.len());
    let last = |character: char| text[..hash].rfind(character);
    let mut text = text.to_owned();
    if let Some(colon) = last(':')
        && last('@').is_none_or(|at| colon > at)
    {
        text.replace_range(colon..=colon, "/");
    }
    let before = text.split('#').next().unwrap_or_default();
    if !before.contains(':') && !text.contains("//") {
        text.insert_str(0, "git+ssh://");
    }
    text
}
