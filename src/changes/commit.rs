//! What commit messages ask for: [Conventional Commits](https://www.conventionalcommits.org/en/v1.0.0/), read with lenience.
//!
//! Whoever may open a pull request writes messages, and history cannot be corrected: nothing in a message is an error, and of each
//! subject and body only the first 64 KiB are read.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::explain::Failure;
use crate::name::{CommitId, RepoPath};
use crate::version::{Bump, Version};

/// How much of a subject or a body is read, in bytes.
const LONGEST_TEXT: usize = 64 * 1024;

/// A commit as far as a release needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// The rest of its message, without the empty line after the subject.
    pub body: String,
    /// How many parents it has: a merge has more than one.
    pub parents: usize,
    /// The files that differ from its parent, both sides of a rename; of a merge those that differ from all its parents: what it changed itself.
    pub paths: Vec<RepoPath>,
}

/// A subject in the conventional form, `kind(scope)!: description`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// `feat`, `fix` and so on, in the case in which it was written.
    pub kind: &'a str,
    /// What the parentheses hold.
    pub scope: Option<&'a str>,
    /// Whether a `!` says that it breaks.
    pub breaking: bool,
    /// What follows the colon, trimmed.
    pub description: &'a str,
}

/// Reads a subject; `None` when it is not conventional. The space after the colon may be missing.
///
/// ```
/// use pkgs_action::changes::commit::header;
/// let header = header("feat(api)!: answer 404").unwrap();
/// assert_eq!((header.kind, header.scope, header.breaking, header.description), ("feat", Some("api"), true, "answer 404"));
/// ```
#[must_use]
pub fn header(subject: &str) -> Option<Header<'_>> {
    let subject = within_limit(subject).trim();
    let kind_length = subject
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        .count();
    if kind_length == 0 {
        return None;
    }
    let (kind, rest) = subject.split_at(kind_length);
    let (scope, rest) = match rest.strip_prefix('(') {
        None => (None, rest),
        Some(scoped) => {
            // A scope may hold parentheses, so it ends where a colon or `!:` follows.
            let end = scoped.match_indices(')').find_map(|(end, _)| {
                let after = &scoped[end + 1..];
                (after.starts_with(':') || after.starts_with("!:")).then_some(end)
            })?;
            (Some(&scoped[..end]), &scoped[end + 1..])
        }
    };
    let (breaking, rest) = match rest.strip_prefix('!') {
        None => (false, rest),
        Some(rest) => (true, rest),
    };
    Some(Header {
        kind,
        scope,
        breaking,
        description: rest.strip_prefix(':')?.trim(),
    })
}

/// How far the version of what a commit touches must grow; `None` if not at all.
///
/// `!` before the colon or a line that starts with `BREAKING CHANGE:` or `BREAKING-CHANGE:` is major, `feat` is minor, `docs`, `test`,
/// `ci` and `style` are nothing, and anything else is patch: a message that is not conventional too. Kinds are read in any case,
/// `BREAKING CHANGE` in capitals only, as the convention has it.
///
/// ```
/// use pkgs_action::{changes::commit::bump, version::Bump};
/// assert_eq!(bump("feat(api): answer 404", ""), Some(Bump::Minor));
/// assert_eq!(bump("Fix the clock", ""), Some(Bump::Patch));
/// assert_eq!(bump("docs: explain", ""), None);
/// assert_eq!(bump("docs: explain", "BREAKING CHANGE: the API is gone"), Some(Bump::Major));
/// ```
#[must_use]
pub fn bump(subject: &str, body: &str) -> Option<Bump> {
    let header = header(subject);
    let breaking = header.is_some_and(|header| header.breaking)
        || announced(within_limit(subject)).is_some()
        || lines(body).any(|line| announced(line).is_some());
    if breaking {
        return Some(Bump::Major);
    }
    let kind = header.map(|header| header.kind.to_ascii_lowercase());
    match kind.as_deref() {
        Some("feat") => Some(Bump::Minor),
        Some("docs" | "test" | "ci" | "style") => None,
        _ => Some(Bump::Patch),
    }
}

/// Whether a message says how far versions grow: by a kind that the convention knows, whatever that kind does, or by saying that something
/// breaks. Of any other message it is a guess.
///
/// ```
/// use pkgs_action::changes::commit::says_how;
/// assert!(says_how("docs: explain", ""));
/// assert!(!says_how("Fix the clock", ""));
/// assert!(!says_how("clock: run again", ""));
/// ```
#[must_use]
pub fn says_how(subject: &str, body: &str) -> bool {
    const KINDS: [&str; 11] = [
        "build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style",
        "test",
    ];
    let kind = header(subject).map(|header| header.kind.to_ascii_lowercase());
    kind.is_some_and(|kind| KINDS.contains(&kind.as_str()))
        || bump(subject, body) == Some(Bump::Major)
}

/// What a message says that breaks: the text behind each `BREAKING CHANGE:` as one line. It ends where the next footer begins
/// (`Token: text`, `Token #12`), or the next of several commits that were squashed (`* fix: text`).
///
/// ```
/// use pkgs_action::changes::commit::breaking;
/// let body = "BREAKING CHANGE: `get` answers 404\n where it gave null.\n\nReviewed-by: Ada";
/// assert_eq!(breaking("feat: x", body), ["`get` answers 404 where it gave null."]);
/// ```
#[must_use]
pub fn breaking(subject: &str, body: &str) -> Vec<String> {
    let mut texts: Vec<Vec<&str>> = Vec::new();
    let mut is_open = false;
    for line in std::iter::once(within_limit(subject)).chain(lines(body)) {
        if let Some(text) = announced(line) {
            texts.push(vec![text]);
            is_open = true;
        } else if is_footer(line) || line.strip_prefix("* ").and_then(header).is_some() {
            is_open = false;
        } else if let Some(text) = texts.last_mut().filter(|_| is_open) {
            text.push(line);
        }
    }
    let words = |text: Vec<&str>| -> Vec<String> {
        let words = text.into_iter().flat_map(str::split_whitespace);
        words.map(str::to_owned).collect()
    };
    let texts = texts.into_iter().map(|text| words(text).join(" "));
    texts.filter(|text| !text.is_empty()).collect()
}

/// Whether a line is a footer: `Token: text` or `Token #12`, the token one word, its parts divided by hyphens.
fn is_footer(line: &str) -> bool {
    let end = line
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        .count();
    end > 0 && (line[end..].starts_with(": ") || line[end..].starts_with(" #"))
}

/// The version that a `Release-As: <version>` line asks for; the last one counts, and its key may be written in any case.
///
/// ```
/// use pkgs_action::changes::commit::release_as;
/// assert_eq!(release_as("Release-As: 2.0.0").unwrap().unwrap().to_string(), "2.0.0");
/// assert!(release_as("").is_none());
/// ```
///
/// # Errors
/// The inner result is `version::form` when what stands there is no version. The commit cannot be corrected any more, so this is
/// something to warn of rather than to stop for.
#[must_use]
pub fn release_as(body: &str) -> Option<Result<Version, Failure>> {
    lines(body)
        .filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case("release-as").then(|| value.trim())
        })
        .last()
        .map(Version::parse)
}

/// The commits that a message says it reverts, in its order, each once: lines that start with `This reverts commit <40 digits>`, as
/// `git revert` writes them (also `…, reversing changes made to …` for a merge).
///
/// ```
/// use pkgs_action::changes::commit::reverts;
/// let id = "0123456789abcdef0123456789abcdef01234567";
/// assert_eq!(reverts(&format!("This reverts commit {id}."))[0].as_str(), id);
/// ```
#[must_use]
pub fn reverts(body: &str) -> Vec<CommitId> {
    const DIGITS: usize = 40;
    let mut named = HashSet::new();
    lines(body)
        .filter_map(|line| {
            let rest = line.trim_start().strip_prefix("This reverts commit ")?;
            let (id, after) = rest.split_at_checked(DIGITS)?;
            if after.starts_with(|next: char| next.is_alphanumeric()) {
                return None;
            }
            CommitId::parse(id).ok()
        })
        .filter(|id| named.insert(id.clone()))
        .collect()
}

/// The commits that cancel out: those that a revert undoes, and that revert itself. The order of `commits` does not matter.
///
/// A revert that was reverted undoes nothing. Nothing is left out that may have left a trace: a commit is undone only by a revert
/// that touches all its files, and a revert stays when it touches other files too or when something that it names is not among
/// `commits` or not undone.
#[must_use]
pub fn cancelled(commits: &[Commit]) -> BTreeMap<CommitId, Cancelled> {
    let reverts = Reverts::of(commits);
    let fates = reverts.fates();
    let mut cancelled = BTreeMap::new();
    for (index, revert) in commits.iter().enumerate() {
        if fates[index] != Fate::Stands {
            continue;
        }
        for undone in reverts.undoes(index) {
            let by = Cancelled::RevertedBy(revert.id.clone());
            cancelled.insert(commits[undone].id.clone(), by);
        }
        if reverts.leaves_no_trace(index, &fates) {
            cancelled.insert(revert.id.clone(), Cancelled::OnlyReverts);
        }
    }
    cancelled
}

/// Why a commit cancels out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// This commit undoes it.
    RevertedBy(CommitId),
    /// It does nothing but undo others.
    OnlyReverts,
}

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not known yet, and never known for commits that revert each other in a ring, which only a forgery can.
    Open,
    Stands,
    Undone,
}

/// Which of a list of commits reverts which, by index.
struct Reverts<'a> {
    commits: &'a [Commit],
    paths: Vec<HashSet<&'a RepoPath>>,
    /// What each commit names; `None` for what is not in the list.
    named: Vec<Vec<Option<usize>>>,
}

impl<'a> Reverts<'a> {
    fn of(commits: &'a [Commit]) -> Reverts<'a> {
        let index_of: HashMap<&CommitId, usize> = commits
            .iter()
            .enumerate()
            .map(|(index, commit)| (&commit.id, index))
            .collect();
        let named = |commit: &Commit| -> Vec<Option<usize>> {
            reverts(&commit.body)
                .iter()
                .map(|id| index_of.get(id).copied())
                .collect()
        };
        Reverts {
            commits,
            paths: commits
                .iter()
                .map(|commit| commit.paths.iter().collect())
                .collect(),
            named: commits.iter().map(named).collect(),
        }
    }

    /// What `revert` would undo wholly: what it names and whose files it all touches.
    fn undoes(&self, revert: usize) -> impl Iterator<Item = usize> {
        self.named[revert]
            .iter()
            .flatten()
            .copied()
            .filter(move |&undone| self.paths[undone].is_subset(&self.paths[revert]))
    }

    /// Decides from those that nobody reverts down to those that they revert.
    fn fates(&self) -> Vec<Fate> {
        let count = self.named.len();
        let mut undecided_reverts = vec![0_usize; count];
        for undone in (0..count).flat_map(|revert| self.undoes(revert)) {
            undecided_reverts[undone] += 1;
        }
        let mut fates = vec![Fate::Open; count];
        let mut ready: Vec<usize> = (0..count)
            .filter(|&index| undecided_reverts[index] == 0)
            .collect();
        while let Some(revert) = ready.pop() {
            let stands = fates[revert] != Fate::Undone;
            if stands {
                fates[revert] = Fate::Stands;
            }
            for undone in self.undoes(revert) {
                if stands {
                    fates[undone] = Fate::Undone;
                }
                undecided_reverts[undone] -= 1;
                if undecided_reverts[undone] == 0 {
                    ready.push(undone);
                }
            }
        }
        fates
    }

    /// Whether `commit` is a revert that does nothing but undo commits of the list. What a merge changed itself is not all that undoing it
    /// changes: a revert of one always leaves a trace.
    fn leaves_no_trace(&self, commit: usize, fates: &[Fate]) -> bool {
        let named = &self.named[commit];
        let all_undone = named
            .iter()
            .all(|named| named.is_some_and(|named| fates[named] == Fate::Undone));
        let nothing_else = || {
            self.paths[commit].iter().all(|path| {
                named
                    .iter()
                    .flatten()
                    .filter(|&&undone| self.commits[undone].parents < 2)
                    .any(|&undone| self.paths[undone].contains(path))
            })
        };
        !named.is_empty() && all_undone && nothing_else()
    }
}

fn within_limit(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

fn lines(body: &str) -> impl Iterator<Item = &str> {
    within_limit(body).lines()
}

/// What a line that starts a `BREAKING CHANGE` footer says; indented and as an item of a list too, where squashed commits end up.
fn announced(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '\t', '*', '-']);
    let rest = line
        .strip_prefix("BREAKING CHANGE")
        .or_else(|| line.strip_prefix("BREAKING-CHANGE"))?;
    rest.strip_prefix(':')
        .or_else(|| rest.starts_with(" #").then(|| &rest[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bumps() {
        fn check(subject: &str, body: &str, expected: Option<Bump>) {
            assert_eq!(bump(subject, body), expected, "{subject:?} {body:?}");
        }
        let (major, minor, patch) = (Some(Bump::Major), Some(Bump::Minor), Some(Bump::Patch));
        for (subject, expected) in [
            ("feat: x", minor),
            ("Feat: x", minor),
            ("FEAT(a): x", minor),
            ("feat(a)!: x", major),
            ("feat!: x", major),
            ("fix!: x", major),
            ("docs!: x", major),
            ("CI(release)!: x", major),
            ("feat(): x", minor),
            ("feat(a/b, c): x", minor),
            ("feat(a (b)): x", minor),
            ("feat(a): b (c): d", minor),
            ("feat:x", minor),
            ("feat:", minor),
            ("  feat: x  ", minor),
            ("feat(a) x: y", patch),
            ("feat(a: y", patch),
            ("feat (a): x", patch),
            ("feat : x", patch),
            ("feat x", patch),
            ("feat !: x", patch),
            ("feature: x", patch),
            ("feat-x: y", patch),
            ("feat/x: y", patch),
            (": x", patch),
            ("(a): x", patch),
            ("!: x", patch),
            ("", patch),
            ("fix: x", patch),
            ("perf: x", patch),
            ("refactor: x", patch),
            ("chore(deps): x", patch),
            ("build(deps-dev): x", patch),
            ("revert: feat: x", patch),
            ("Revert \"feat!: x\"", patch),
            ("fixup! feat: x", patch),
            ("docs: x", None),
            ("Docs(readme): x", None),
            ("test: x", None),
            ("tests: x", patch),
            ("ci: x", None),
            ("style: x", None),
            ("docs x", patch),
            ("BREAKING CHANGE: x", major),
            ("BREAKING-CHANGE: x", major),
            ("✨ feat: x", patch),
            ("сделано: x", patch),
        ] {
            check(subject, "", expected);
        }
        for (body, expected) in [
            ("", minor),
            ("BREAKING CHANGE: x", major),
            ("BREAKING-CHANGE: x", major),
            ("text\n\nBREAKING CHANGE: x\nRefs: #1", major),
            ("text\r\n\r\nBREAKING CHANGE: x\r\n", major),
            ("* feat: y\n\n  BREAKING CHANGE: x", major),
            ("* BREAKING CHANGE: x", major),
            ("BREAKING CHANGE:\nx", major),
            ("BREAKING CHANGE #12", major),
            ("breaking change: x", minor),
            ("Breaking-Change: x", minor),
            ("BREAKING CHANGE", minor),
            ("BREAKING CHANGES: x", minor),
            ("no BREAKING CHANGE: x", minor),
            ("fix!: y", minor),
        ] {
            check("feat: x", body, expected);
        }
    }

    #[test]
    fn who_says_how() {
        fn check(subject: &str, body: &str, expected: bool) {
            assert_eq!(says_how(subject, body), expected, "{subject:?} {body:?}");
        }
        check("fix: x", "", true);
        check("Fix(a): x", "", true);
        check("chore(deps): x", "", true);
        check("ci: x", "", true);
        check("", "", false);
        check("fix x", "", false);
        check("tests: x", "", false);
        check("core: x", "", false);
        check("core!: x", "", true);
        check("x", "BREAKING CHANGE: y", true);
        check("Revert \"feat: x\"", "", false);
        check("Merge branch 'x'", "* feat: y", false);
    }

    #[test]
    fn only_the_first_64_kib_are_read() {
        let filler = "я\n".repeat(LONGEST_TEXT / 3);
        assert_eq!(
            bump("feat: x", &format!("{filler}BREAKING CHANGE: x")),
            Some(Bump::Minor)
        );
        assert_eq!(bump(&"я".repeat(LONGEST_TEXT), ""), Some(Bump::Patch));
        assert_eq!(
            bump(&format!("feat({}", ")".repeat(LONGEST_TEXT)), ""),
            Some(Bump::Patch)
        );
        assert!(reverts(&"This reverts commit ".repeat(LONGEST_TEXT)).is_empty());
    }

    #[test]
    fn what_breaks() {
        fn check(subject: &str, body: &str, expected: &[&str]) {
            assert_eq!(breaking(subject, body), expected, "{subject:?} {body:?}");
        }
        check("feat!: x", "why\n\nCloses #1", &[]);
        check("BREAKING CHANGE: x", "y", &["x y"]);
        check("fix: x", "BREAKING CHANGE:", &[]);
        check("fix: x", "BREAKING CHANGE: a\r\n  b\r\n\r\nc", &["a b c"]);
        check("fix: x", "BREAKING-CHANGE: a\nSigned-off-by: b\nc", &["a"]);
        check("fix: x", "BREAKING CHANGE: a\nFixes #12\nc", &["a"]);
        check("fix: x", "BREAKING CHANGE #12", &["#12"]);
        check(
            "fix: x",
            "BREAKING CHANGE: a\nBREAKING CHANGE: b",
            &["a", "b"],
        );
        check(
            "fix: x",
            "BREAKING CHANGE: see https://x/y\n- one: two",
            &["see https://x/y - one: two"],
        );
        check(
            "x",
            "* feat: x\n\n  BREAKING CHANGE: a\n\n* fix(b): y\n* z",
            &["a"],
        );
    }

    #[test]
    fn asked_versions() {
        fn check(body: &str, expected: &str) {
            let found = match release_as(body) {
                None => "none".to_owned(),
                Some(Ok(version)) => version.to_string(),
                Some(Err(failure)) => failure.code().to_owned(),
            };
            assert_eq!(found, expected, "{body:?}");
        }
        check("", "none");
        check("Release-As: 2.0.0", "2.0.0");
        check("text\n\nrelease-as:2.0.0-beta.1  \r\n", "2.0.0-beta.1");
        check("Release-As: 2.0.0\nRELEASE-AS: 3.0.0", "3.0.0");
        check("Release-As: v2.0.0", "version::form");
        check("Release-As:", "version::form");
        check("Release-As: 2.0.0; rm -rf /", "version::form");
        check("Please Release-As: 2.0.0", "none");
        check("Release As: 2.0.0", "none");
    }

    fn id(letter: char) -> CommitId {
        CommitId::parse(&letter.to_string().repeat(40)).unwrap()
    }

    #[test]
    fn named_reverts() {
        fn check(body: &str, expected: &[char]) {
            let expected: Vec<CommitId> = expected.iter().copied().map(id).collect();
            assert_eq!(reverts(body), expected, "{body:?}");
        }
        let (a, b) = (id('a'), id('b'));
        check("", &[]);
        check(&format!("This reverts commit {a}."), &['a']);
        check(&format!("This reverts commit {a}"), &['a']);
        check(
            &format!("This reverts commit {a}, reversing\nchanges made to {b}."),
            &['a'],
        );
        check(
            &format!(
                "why\n\nThis reverts commit {b}.\r\nThis reverts commit {a}.\nThis reverts commit {b}."
            ),
            &['b', 'a'],
        );
        check("This reverts commit abc1234.", &[]);
        check(&format!("This reverts commit {a}0."), &[]);
        check(&format!("This reverts commit {a}g"), &[]);
        check(&format!("This reverts commit {}.", "A".repeat(40)), &[]);
        check(&format!("This reverts commit {}я.", "a".repeat(39)), &[]);
        check(&format!("Unlike \"This reverts commit {a}.\""), &[]);
        check(&format!("(cherry picked from commit {a})"), &[]);
    }

    #[test]
    fn what_cancels_out_says_why() {
        let commit = |letter: char, reverted: Option<char>| Commit {
            id: id(letter),
            subject: String::new(),
            body: reverted.map_or_else(String::new, |reverted| {
                format!("This reverts commit {}.", id(reverted))
            }),
            parents: 1,
            paths: vec![RepoPath::parse("x").unwrap()],
        };
        let found = cancelled(&[commit('b', Some('a')), commit('a', None)]);
        assert_eq!(found[&id('a')], Cancelled::RevertedBy(id('b')));
        assert_eq!(found[&id('b')], Cancelled::OnlyReverts);
    }

    /// Each commit is written `letter:paths:letters that it reverts`; the answer is the letters that are left out.
    #[test]
    fn reverts_cancel_what_they_revert() {
        use std::fmt::Write as _;
        fn commit(text: &str) -> Commit {
            let fields: Vec<&str> = text.split(':').collect();
            let mut body = String::new();
            for letter in fields[2].chars() {
                let _ = writeln!(body, "This reverts commit {}.", id(letter));
            }
            Commit {
                id: id(text.chars().next().unwrap()),
                subject: String::new(),
                body,
                parents: 1,
                paths: fields[1]
                    .chars()
                    .map(|path| RepoPath::parse(&path.to_string()).unwrap())
                    .collect(),
            }
        }
        fn check(list: &str, expected: &str) {
            let expected: Vec<CommitId> = expected.chars().map(id).collect();
            let mut commits: Vec<Commit> = list.split_whitespace().map(commit).collect();
            let out: Vec<CommitId> = cancelled(&commits).into_keys().collect();
            assert_eq!(out, expected, "{list}");
            commits.reverse();
            let out: Vec<CommitId> = cancelled(&commits).into_keys().collect();
            assert_eq!(out, expected, "{list}, reversed");
        }
        check("", "");
        check("a:x: b:x:", "");
        check("a:x: b:x:a", "ab");
        check("a:x: b:y: c:x:a", "ac");
        // What was released before stays reverted.
        check("b:x:a", "");
        check("c:x: b:xy:ca", "c");
        // A revert of a revert brings the commit back; one more takes it away again.
        check("a:x: b:x:a c:x:b", "bc");
        check("a:x: b:x:a c:x:b d:x:c", "abcd");
        check("a:x: b:x:a c:x:b d:x:a", "abcd");
        // Twice reverted, and several in one.
        check("a:x: b:x:a c:x:a", "abc");
        check("a:x: b:y: c:xy:ab", "abc");
        check("a:x: b:x:a c:y: d:xy:bc", "bcd");
        // Only part of it was reverted, or something else changed too.
        check("a:xy: b:x:a", "");
        check("a:x: b:xy:a", "a");
        check("a:xy: b:z: c:xz:ab", "b");
        check("a:: b::a", "ab");
        // Rings cannot come from git.
        check("a:x:a", "");
        check("a:x:b b:x:a", "");
        check("a:x:b b:x:a c:x:a", "ac");
    }
}
