//! Talking to a git remote, through git itself: what it holds, fetching what is missing, and the one atomic push.
//!
//! libgit2 is not used here: its push can report success for refused refs, moves existing tags and knows no atomic push.
//! Every call runs in a git directory of its own that borrows the repository's objects, so no hook of the repository runs, and in a
//! workflow nothing in `.git/config` can redirect a push or see the token.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::explain::{Exit, Failure, quoted};
use crate::local::git::{Repo, Tag};
use crate::local::git_program;
use crate::local::scratch::Scratch;
use crate::name::{CommitId, TagName};
use crate::secret::Secret;

/// How to reach the remote that decides.
#[derive(Debug, Clone)]
pub enum Address {
    /// On a person's machine: a remote as git is configured, with the credentials git is configured with.
    Configured {
        /// Its name.
        remote: String,
        /// The person's environment without our own variables and secrets.
        environment: BTreeMap<String, String>,
    },
    /// In a workflow: an address and a token, and no configuration but ours.
    Isolated {
        /// The repository's address.
        url: String,
        /// The forge's token.
        token: Option<Secret>,
        /// `PATH` and what TLS and proxies need.
        environment: BTreeMap<String, String>,
    },
}

/// What a remote holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The tip of the branch; `None` when there is no such branch.
    pub tip: Option<CommitId>,
    /// Its tags, in order of name.
    pub tags: Vec<Tag>,
}

/// One ref to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// Its full name.
    pub name: String,
    /// What it must hold now; `None`: it must not exist.
    pub expected: Option<String>,
    /// What it shall hold.
    pub new: String,
}

/// Why a push did not happen, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// A ref does not hold what was expected: judge again.
    #[error("{0}")]
    Moved(Failure),
    /// The remote refuses; trying again will not help.
    #[error("{0}")]
    Refused(Failure),
    /// It may have happened; read the refs.
    #[error("{0}")]
    Uncertain(Failure),
}

/// Where git is to look for a repository, from `git rev-parse --local-env-vars` and git(1): whoever calls us from a hook has set them for
/// a repository that may be another one.
const LOCATES: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Where refs that a push creates lie in the git directory of a connection; what follows is their name on the remote, without `refs/`.
const CREATED: &str = "refs/created/";

/// A tag that exists is never overwritten by a push without force; a branch would be.
fn is_tag(update: &RefUpdate) -> bool {
    update.name.starts_with("refs/tags/")
}

/// A connection to a remote.
pub struct Remote<'a> {
    repo: &'a Repo,
    address: Address,
    directory: Scratch,
}

struct Ran {
    success: bool,
    stdout: String,
    stderr: String,
}

impl<'a> Remote<'a> {
    /// Prepares a connection; nothing is sent yet.
    pub fn open(repo: &'a Repo, address: Address) -> Result<Remote<'a>, Failure> {
        let directory = Scratch::new()?;
        let remote = Remote {
            repo,
            address,
            directory,
        };
        remote
            .prepare()
            .map_err(|error| io("a temporary git directory could not be made", &error))?;
        Ok(remote)
    }

    fn prepare(&self) -> std::io::Result<()> {
        let directory = self.directory.path();
        for sub in ["refs", "objects/info", "hooks"] {
            std::fs::create_dir_all(directory.join(sub))?;
        }
        std::fs::write(directory.join("HEAD"), "ref: refs/heads/none\n")?;
        let own = match self.address {
            Address::Configured { .. } => format!(
                "[include]\n\tpath = {}\n",
                serde_json::Value::from(
                    self.repo
                        .common_directory()
                        .join("config")
                        .to_string_lossy()
                        .as_ref()
                )
            ),
            Address::Isolated { .. } => String::new(),
        };
        std::fs::write(
            directory.join("config"),
            format!("{own}[core]\n\trepositoryformatversion = 0\n\tbare = true\n"),
        )?;
        std::fs::write(
            directory.join("objects/info/alternates"),
            format!("{}\n", self.objects().display()),
        )?;
        let shallow = self.repo.common_directory().join("shallow");
        if shallow.exists() {
            std::fs::copy(shallow, directory.join("shallow"))?;
        }
        self.write_refs(&[])
    }

    /// Writes the refs of the git directory: what is here, for telling the remote, and those that are about to be created there.
    fn write_refs(&self, created: &[&RefUpdate]) -> std::io::Result<()> {
        use std::fmt::Write as _;
        let mut packed = String::from("# pack-refs with: \n");
        for (index, object) in self.repo.tips().into_iter().enumerate() {
            let _ = writeln!(packed, "{object} refs/have/{index:06}");
        }
        for update in created {
            let name = update.name.trim_start_matches("refs/");
            let _ = writeln!(packed, "{} {CREATED}{name}", update.new);
        }
        std::fs::write(self.directory.path().join("packed-refs"), packed)
    }

    fn objects(&self) -> PathBuf {
        self.repo.common_directory().join("objects")
    }

    fn target(&self) -> &str {
        match &self.address {
            Address::Configured { remote, .. } => remote,
            Address::Isolated { url, .. } => url,
        }
    }

    fn run(
        &self,
        arguments: &[OsString],
        input: &str,
        into_repository: bool,
    ) -> Result<Ran, Failure> {
        let mut command = Command::new("git");
        let (Address::Configured { environment, .. } | Address::Isolated { environment, .. }) =
            &self.address;
        let located = |name: &&String| LOCATES.contains(&name.as_str());
        command
            .env_clear()
            .envs(environment.iter().filter(|(name, _)| !located(name)))
            .env("GIT_DIR", self.directory.path())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env("GIT_NO_REPLACE_OBJECTS", "1");
        if into_repository {
            command.env("GIT_OBJECT_DIRECTORY", self.objects());
        }
        let mut settings: Vec<(String, String)> = vec![
            ("core.hooksPath".into(), "/dev/null".into()),
            ("gc.auto".into(), "0".into()),
            ("maintenance.auto".into(), "false".into()),
            ("http.lowSpeedLimit".into(), "1000".into()),
            ("http.lowSpeedTime".into(), "60".into()),
        ];
        if let Address::Isolated { token, url, .. } = &self.address {
            command
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null");
            settings.push(("http.followRedirects".into(), "false".into()));
            settings.push(("credential.helper".into(), String::new()));
            if let Some(token) = token {
                settings.push((
                    format!("http.{url}.extraheader"),
                    format!("Authorization: Basic {}", basic(token)),
                ));
            }
        }
        settings.push(("safe.directory".into(), "*".into()));
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command
            .args(arguments)
            .current_dir(self.repo.root())
            .process_group(0);
        let output = git_program::run(&mut command, input)?
            .map_err(|error| io("git did not answer", &error))?;
        Ok(Ran {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: self.redacted(&String::from_utf8_lossy(&output.stderr)),
        })
    }

    /// What git said, without the token in any form we sent.
    fn redacted(&self, text: &str) -> String {
        match &self.address {
            Address::Isolated {
                token: Some(token), ..
            } => redacted(text, token),
            _ => text.to_owned(),
        }
    }

    /// What the remote holds now: the branch's tip and all tags. Writes nothing.
    pub fn look(&self, branch: &str) -> Result<Seen, Failure> {
        let ran = self.run(
            &words(&[
                "ls-remote",
                "--",
                self.target(),
                &format!("refs/heads/{branch}"),
                "refs/tags/*",
            ]),
            "",
            false,
        )?;
        if !ran.success {
            return Err(self.unreachable("the remote could not be read", &ran.stderr));
        }
        let mut seen = Seen::default();
        for line in ran.stdout.lines() {
            let Some((object, name)) = line.split_once('\t') else {
                continue;
            };
            if name == format!("refs/heads/{branch}") {
                seen.tip = Some(CommitId::parse(object)?);
            } else if let Some(tag) = name
                .strip_prefix("refs/tags/")
                .filter(|tag| !tag.ends_with("^{}"))
                && let Ok(name) = TagName::parse(tag)
            {
                seen.tags.push(Tag {
                    name,
                    object: CommitId::parse(object)?.to_string(),
                });
            }
        }
        seen.tags.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(seen)
    }

    /// The branch that the remote calls its default.
    pub fn default_branch(&self) -> Result<Option<String>, Failure> {
        let ran = self.run(
            &words(&["ls-remote", "--symref", "--", self.target(), "HEAD"]),
            "",
            false,
        )?;
        if !ran.success {
            return Err(self.unreachable("the remote could not be read", &ran.stderr));
        }
        Ok(ran.stdout.lines().find_map(|line| {
            line.strip_prefix("ref: refs/heads/")?
                .split('\t')
                .next()
                .map(str::to_owned)
        }))
    }

    /// Brings the objects of what was seen into the repository; no ref of the person's own moves.
    pub fn fetch(&self, branch: &str, seen: &Seen) -> Result<(), Failure> {
        let mut wanted: Vec<String> = seen
            .tags
            .iter()
            .filter(|tag| !self.repo.has_object(&tag.object))
            .map(|tag| tag.name.as_ref_name())
            .collect();
        if seen
            .tip
            .as_ref()
            .is_some_and(|tip| !self.repo.has_commit(tip))
        {
            wanted.push(format!("refs/heads/{branch}"));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let ran = self.run(
            &words(&[
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--stdin",
                "--",
                self.target(),
            ]),
            &(wanted.join("\n") + "\n"),
            true,
        )?;
        if ran.success {
            Ok(())
        } else {
            Err(self.unreachable("the remote's commits could not be fetched", &ran.stderr))
        }
    }

    /// Brings the whole history of the branch into a shallow repository.
    pub fn deepen(&self, branch: &str) -> Result<(), Failure> {
        let cut = |why: &str| {
            Failure::new(
                Exit::Usage,
                "git::cut_history",
                "the history here is cut, and the rest could not be fetched",
            )
            .because(why)
            .hint("fetch it all: actions/checkout with fetch-depth: 0, or `git fetch --unshallow`")
        };
        let reference = format!("refs/heads/{branch}");
        let ran = self.run(
            &words(&[
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                "--unshallow",
                "--",
                self.target(),
                &reference,
            ]),
            "",
            true,
        )?;
        if !ran.success {
            return Err(cut(first_words(&ran.stderr)));
        }
        let theirs = self.directory.path().join("shallow");
        let ours = self.repo.common_directory().join("shallow");
        let copied = if theirs.exists() {
            std::fs::copy(&theirs, &ours).map(|_| ())
        } else {
            std::fs::remove_file(&ours).or_else(|error| {
                if error.kind() == std::io::ErrorKind::NotFound {
                    Ok(())
                } else {
                    Err(error)
                }
            })
        };
        copied.map_err(|error| cut(&error.to_string()))
    }

    /// Moves all refs or none, each only from what is expected. With `dry_run` only asks whether we may.
    ///
    /// Refs that must not exist are told by one pattern, however many they are: a line of arguments holds two megabytes. git creates a ref
    /// only where the server has none, which the server checks again in its transaction; one that holds the same object is up to date.
    pub fn push(&self, updates: &[RefUpdate], dry_run: bool) -> Result<(), PushError> {
        let (moved, created): (Vec<&RefUpdate>, Vec<&RefUpdate>) = updates
            .iter()
            .partition(|update| update.expected.is_some() || !is_tag(update));
        self.write_refs(&created).map_err(|error| {
            let what = "the refs to push could not be written";
            PushError::Refused(io(what, &error))
        })?;
        let mut arguments = words(&[
            "push",
            "--porcelain",
            "--atomic",
            "--no-verify",
            "--no-follow-tags",
        ]);
        if dry_run {
            arguments.push("--dry-run".into());
        }
        for update in &moved {
            let expected = update.expected.as_deref().unwrap_or_default();
            arguments.push(format!("--force-with-lease={}:{expected}", update.name).into());
        }
        arguments.extend(words(&["--", self.target()]));
        let refs = moved
            .iter()
            .map(|update| format!("{}:{}", update.new, update.name));
        let pattern = (!created.is_empty()).then(|| format!("{CREATED}*:refs/*"));
        arguments.extend(refs.chain(pattern).map(OsString::from));
        let ran = self
            .run(&arguments, "", false)
            .map_err(PushError::Refused)?;
        if ran.success {
            return Ok(());
        }
        Err(Self::classify(&ran))
    }

    fn classify(ran: &Ran) -> PushError {
        let lines: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| line.starts_with('!'))
            .collect();
        let said = if lines.is_empty() {
            first_words(&ran.stderr).to_owned()
        } else {
            lines.join("; ").replace('\t', " ")
        };
        let failure = |exit, code, what: &str| {
            Failure::new(exit, code, what)
                .because(quoted(&said))
                .because(quoted(remote_words(&ran.stderr).as_str()))
        };
        let refused = lines.iter().any(|line| {
            line.contains("[remote rejected]")
                && !line.contains("failed to update ref")
                && !line.contains("cannot lock ref")
                && !line.contains("reference already exists")
                && !line.contains("atomic")
                && !line.contains("incorrect old value")
        });
        if refused && is_full(&ran.stderr) {
            return PushError::Uncertain(
                failure(
                    Exit::Temporary,
                    "git::remote_full",
                    "the remote could not store the release commit and its tags",
                )
                .hint("make room on the disk of the git server, then run again: it continues where this run stopped"),
            );
        }
        if refused {
            return PushError::Refused(failure(Exit::RemoteRefused, "git::push_refused", "the remote refuses the release commit or its tags").hint("let the workflow's token write to the branch and its tags: `permissions: contents: write`, and an exception in the branch or tag protection"));
        }
        if !lines.is_empty() {
            return PushError::Moved(failure(
                Exit::Temporary,
                "git::moved",
                "the remote's branch or a tag moved meanwhile",
            ));
        }
        if is_denied(&ran.stderr) || ran.stderr.contains("not permitted") {
            return PushError::Refused(
                failure(
                    Exit::RemoteRefused,
                    "git::push_denied",
                    "the remote does not let us push",
                )
                .hint("give the token `contents: write`"),
            );
        }
        if ran.stderr.contains("does not support --atomic") || ran.stderr.contains("atomic push") {
            return PushError::Refused(
                failure(
                    Exit::RemoteRefused,
                    "git::no_atomic",
                    "the remote cannot move several refs at once",
                )
                .hint("use a git server with atomic pushes; there is no other way that is safe"),
            );
        }
        PushError::Uncertain(
            failure(
                Exit::Temporary,
                "git::push_unanswered",
                "the push was not answered",
            )
            .hint("run again: it continues where this run stopped"),
        )
    }

    fn unreachable(&self, what: &str, stderr: &str) -> Failure {
        let unknown = stderr.contains("does not appear to be a git repository")
            || stderr.contains("No such remote")
            || stderr.contains("strange pathname")
            || stderr.contains("is not a git command")
            || (stderr.contains("transport '") && stderr.contains("not allowed"))
            || stderr.contains("not found");
        let failure = if is_denied(stderr) {
            Failure::new(Exit::RemoteRefused, "git::denied", what)
                .hint("check the token and its permissions")
        } else if unknown {
            self.no_remote(what)
        } else {
            Failure::new(Exit::Temporary, "git::unreachable", what).hint("run again")
        };
        failure.because(quoted(first_words(stderr)))
    }

    /// There is no repository where the remote should be: what is there instead, and what to do.
    fn no_remote(&self, what: &str) -> Failure {
        let failure = Failure::new(Exit::Usage, "git::no_remote", what);
        let remote = match &self.address {
            Address::Isolated { url, .. } => {
                return failure
                    .because(format!(
                        "there is no repository at {}, or the token may not see it",
                        quoted(url)
                    ))
                    .hint("check that the token is of this repository and may read its contents");
            }
            Address::Configured { remote, .. } => remote,
        };
        let there = self.repo.remotes();
        if there.contains(remote) {
            return failure
                .because(format!("the address of the remote {} holds no git repository", quoted(remote)))
                .hint(format!(
                    "`git remote get-url {remote}` shows the address; `git remote set-url {remote} <address>` corrects it"
                ));
        }
        let add =
            format!("`git remote add {remote} <address>` says where commits and tags are pushed");
        if there.is_empty() {
            return failure.because("this repository has no remote").hint(add);
        }
        failure
            .because(format!(
                "this repository has no remote {}; it has {}",
                quoted(remote),
                there.join(", ")
            ))
            .hint(format!("name one of them with `remote`, or {add}"))
    }
}

/// The credentials of HTTP's `Basic`, as git's servers take a token.
fn basic(token: &Secret) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{}", token.reveal()))
}

/// A text without a token, as it is and as `Basic` carries it.
fn redacted(text: &str, token: &Secret) -> String {
    text.replace(&basic(token), "***")
        .replace(token.reveal(), "***")
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn io(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Temporary, "git::disk", what)
        .because(error)
        .hint("check the disk and run again")
}

/// Whether git says that the credentials do not suffice. The status counts only in its sentence: ports and object ids hold the same digits.
fn is_denied(stderr: &str) -> bool {
    [
        "returned error: 401",
        "returned error: 403",
        "Authentication failed",
        "Permission denied",
        "could not read Username",
    ]
    .iter()
    .any(|sign| stderr.contains(sign))
}

/// Why git failed: its first line, which names the cause; those that follow are general advice.
fn first_words(text: &str) -> &str {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("warning:"))
        .unwrap_or("git gave no reason")
}

/// Whether the server lacks the room to store what it was sent. What its checks refuse ends as "unpack failed" too, and says so.
fn is_full(stderr: &str) -> bool {
    stderr.contains("No space left")
        || (stderr.contains("unpack failed") && !stderr.contains("fsck"))
}

/// What the server itself said, joined.
fn remote_words(stderr: &str) -> String {
    stderr
        .lines()
        .filter_map(|line| line.strip_prefix("remote:"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_a_status_elsewhere_are_no_refusal() {
        for (stderr, denied) in [
            (
                "fatal: unable to access 'https://git.example/a/': The requested URL returned error: 403",
                true,
            ),
            (
                "fatal: Authentication failed for 'https://git.example/a/'",
                true,
            ),
            ("git@git.example: Permission denied (publickey).", true),
            (
                "fatal: unable to access 'http://127.0.0.1:40312/a/': Failed to connect",
                false,
            ),
            (
                "fatal: unable to access 'https://git.example/a/': The requested URL returned error: 502",
                false,
            ),
            ("error: bad object 4035401a", false),
        ] {
            assert_eq!(is_denied(stderr), denied, "{stderr}");
        }
    }

    #[test]
    fn the_first_line_of_git_says_why() {
        for (text, expected) in [
            ("", "git gave no reason"),
            (
                "\nfatal: a\nPlease make sure\nand the repository exists.\n",
                "fatal: a",
            ),
            ("Warning: Permanently added 'x'\nfatal: b\n", "fatal: b"),
        ] {
            assert_eq!(first_words(text), expected);
        }
    }

    #[test]
    fn a_token_is_not_shown_in_any_form_that_was_sent() {
        let token = Secret::new("hunter2").unwrap();
        let said = format!("> Authorization: Basic {}; hunter2!", basic(&token));
        assert!(said.contains("eC1hY2Nlc3MtdG9rZW46aHVudGVyMg=="));
        assert_eq!(redacted(&said, &token), "> Authorization: Basic ***; ***!");
    }

    #[test]
    fn another_repository_that_the_environment_names_is_not_asked() {
        let directory = tempfile::tempdir().unwrap();
        let [theirs, ours, other] = ["theirs", "ours", "other"].map(|name| {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("file"), name).unwrap();
            path
        });
        let tip = Repo::create(&theirs, "main", 0).unwrap().head().unwrap();
        let repo = Repo::create(&ours, "main", 0).unwrap();
        Repo::create(&other, "main", 0).unwrap();
        let config = ours.join(".git/config");
        let text = std::fs::read_to_string(&config).unwrap();
        let origin = format!("[remote \"origin\"]\n\turl = {}\n", theirs.display());
        std::fs::write(config, text + &origin).unwrap();
        let path = ("PATH".to_owned(), env!("PATH").to_owned());
        let mut environment = BTreeMap::from([path]);
        for name in LOCATES {
            let value = other.join(".git").display().to_string();
            environment.insert((*name).to_owned(), value);
        }
        let address = Address::Configured {
            remote: "origin".to_owned(),
            environment,
        };
        let remote = Remote::open(&repo, address).unwrap();
        let seen = remote.look("main").unwrap();
        assert_eq!(seen.tip.as_ref(), Some(&tip));
        remote.fetch("main", &seen).unwrap();
        assert!(repo.has_commit(&tip));
    }

    #[test]
    fn twelve_thousand_tags_and_their_commit_are_one_push_and_a_tag_that_exists_stops_all() {
        let directory = tempfile::tempdir().unwrap();
        let work = directory.path().join("work");
        std::fs::create_dir(&work).unwrap();
        std::fs::write(work.join("file"), "1").unwrap();
        let repo = Repo::create(&work, "main", 0).unwrap();
        let tip = repo.head().unwrap();
        let bare = directory.path().join("bare");
        git2::Repository::init_bare(&bare).unwrap();
        let config = work.join(".git/config");
        let text = std::fs::read_to_string(&config).unwrap();
        let origin = format!("[remote \"origin\"]\n\turl = {}\n", bare.display());
        std::fs::write(config, text + &origin).unwrap();
        let address = Address::Configured {
            remote: "origin".to_owned(),
            environment: BTreeMap::from([("PATH".to_owned(), env!("PATH").to_owned())]),
        };
        let remote = Remote::open(&repo, address).unwrap();
        let branch = |expected: Option<&CommitId>, new: &CommitId| RefUpdate {
            name: "refs/heads/main".to_owned(),
            expected: Some(expected.map(ToString::to_string).unwrap_or_default()),
            new: new.to_string(),
        };
        remote.push(&[branch(None, &tip)], false).unwrap();
        let edit = (crate::name::RepoPath::parse("file").unwrap(), None);
        let release = repo.make_commit(&tip, &[edit], "chore: release").unwrap();
        let tag = |number: usize| RefUpdate {
            // Beside their objects, names alone are longer than a line of arguments may be.
            name: format!(
                "refs/tags/@an-organisation-with-a-name/a-package-with-a-long-name-{number}@10.20.30"
            ),
            expected: None,
            new: release.to_string(),
        };
        let mut updates: Vec<RefUpdate> = (0..12_000).map(tag).collect();
        updates.push(branch(Some(&tip), &release));
        remote.push(&updates, false).unwrap();
        let seen = remote.look("main").unwrap();
        assert_eq!((seen.tip, seen.tags.len()), (Some(release.clone()), 12_000));
        // Again, it is all there; and of two new tags none comes where one that exists should become another.
        remote.push(&updates, false).unwrap();
        let other = RefUpdate {
            new: tip.to_string(),
            ..tag(7)
        };
        let refused = remote.push(&[branch(Some(&release), &tip), tag(12_000), other], false);
        assert!(matches!(refused, Err(PushError::Moved(_))), "{refused:?}");
        let seen = remote.look("main").unwrap();
        assert_eq!((seen.tip, seen.tags.len()), (Some(release), 12_000));
    }

    #[test]
    fn a_server_without_room_is_asked_again_and_one_that_refuses_is_not() {
        let code = |stderr: &str| {
            let ran = Ran {
                success: false,
                stdout: "!\trefs/heads/main:refs/heads/main\t[remote rejected] (unpacker error)"
                    .into(),
                stderr: stderr.to_owned(),
            };
            match Remote::classify(&ran) {
                PushError::Moved(failure) => ("moved", failure.exit().code()),
                PushError::Refused(failure) => ("refused", failure.exit().code()),
                PushError::Uncertain(failure) => (failure.code(), failure.exit().code()),
            }
        };
        let full = "remote: fatal: write error: No space left on device\nerror: remote unpack failed: unpack-objects abnormal exit";
        assert_eq!(code(full), ("git::remote_full", 75));
        assert_eq!(
            code("error: remote unpack failed: index-pack failed"),
            ("git::remote_full", 75)
        );
        let refused = "remote: error: object 1: missingEmail\nremote: fatal: fsck error in packed object\nerror: remote unpack failed: index-pack failed";
        assert_eq!(code(refused), ("refused", 5));
    }
}
