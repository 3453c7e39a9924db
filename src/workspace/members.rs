//! Which directories are packages of the workspace: the patterns of `workspaces`, `pnpm-workspace.yaml` and `lerna.json`.
//!
//! The rules are those of `@npmcli/map-workspaces` and of pnpm's project search, tried against both. A pattern names directories, one
//! part between slashes at a time: `*`, `?` and `[a-z]` within a part, `**` for any number of parts, `{a,b}` and `@(a|b)` for
//! alternatives. Parts that start with a dot must be named with it; nothing in a `node_modules` is ever a member.

use std::rc::Rc;

use globset::{GlobBuilder, GlobMatcher};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::workspace::manager::{Manager, Told};

/// How many patterns there may be, alternatives counted apart.
const MOST_PATTERNS: usize = 1000;

/// The longest pattern, in bytes.
const LONGEST_PATTERN: usize = 1000;

/// Whose rules the patterns follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// npm: the root is no member; order matters for `!`.
    Npm,
    /// pnpm: the root is always a member; `!` wins wherever it stands.
    Pnpm,
    /// yarn 1: `!` means nothing.
    YarnClassic,
    /// yarn 2 and newer, and lerna: `!` wins wherever it stands.
    YarnBerry,
    /// bun: `!` wins wherever it stands, but not over a directory that is listed as it is.
    Bun,
}

impl Rules {
    /// The rules for `workspaces` of a `package.json`.
    #[must_use]
    pub fn of(manager: Manager) -> Rules {
        match manager {
            Manager::Npm => Rules::Npm,
            Manager::Pnpm => Rules::Pnpm,
            Manager::YarnClassic => Rules::YarnClassic,
            Manager::YarnBerry => Rules::YarnBerry,
            Manager::Bun => Rules::Bun,
        }
    }
}

/// Where a repository may list its packages.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// `packages` of `pnpm-workspace.yaml`.
    pub pnpm: Option<Vec<String>>,
    /// `packages` of `lerna.json`.
    pub lerna: Option<Vec<String>>,
    /// `workspaces` of the root's `package.json`.
    pub workspaces: Option<Vec<String>>,
}

impl Declared {
    /// The list that counts, with its rules; `None` where the root is the only package. pnpm reads its own file alone; lerna's list
    /// goes before `workspaces`.
    ///
    /// # Errors
    /// `workspace::manager_conflict` where pnpm would not see the packages that `workspaces` lists.
    pub fn patterns(self, told: &Told) -> Result<Option<(Rules, Vec<String>)>, Failure> {
        if told.manager != Manager::Pnpm {
            let rules = Rules::of(told.manager);
            return Ok(match (self.lerna, self.workspaces) {
                (Some(list), _) => Some((Rules::YarnBerry, list)),
                (None, list) => list.map(|list| (rules, list)),
            });
        }
        match (self.pnpm, self.workspaces) {
            (None, Some(_)) => Err(Failure::new(
                Exit::Refused,
                "workspace::manager_conflict",
                "package.json lists workspaces, which pnpm does not read",
            )
            .because(format!("{} says pnpm", told.by))
            .place(Place::file("package.json"))
            .hint("list them as packages in pnpm-workspace.yaml")),
            (list, _) => {
                let below =
                    list.filter(|list| list.iter().any(|one| !matches!(one.as_str(), "." | "./")));
                Ok(below.map(|list| (Rules::Pnpm, list)))
            }
        }
    }
}

/// A list of patterns.
///
/// ```
/// use pkgs_action::name::RepoPath;
/// use pkgs_action::workspace::members::{Rules, Patterns};
/// let patterns = Patterns::parse(Rules::Npm, &["packages/*".into(), "!packages/old".into()]).unwrap();
/// let path = |text| RepoPath::parse(text).unwrap();
/// assert!(patterns.matches(&path("packages/a")));
/// assert!(!patterns.matches(&path("packages/old")));
/// assert!(patterns.may_contain(&path("packages")));
/// assert!(!patterns.may_contain(&path("packages/a")));
/// ```
#[derive(Debug, Clone)]
pub struct Patterns {
    rules: Rules,
    included: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

impl Patterns {
    /// Reads the patterns as they are listed.
    ///
    /// # Errors
    /// `workspace::glob_escape` for a pattern with `..`; `workspace::glob` for one that cannot be read: an unknown form, too long, or
    /// too many of them.
    pub fn parse(rules: Rules, list: &[String]) -> Result<Patterns, Failure> {
        if list.len() > MOST_PATTERNS {
            return Err(too_many());
        }
        let written: Vec<Written> = list
            .iter()
            .map(|text| Written::parse(rules, text))
            .collect::<Result<_, _>>()?;
        let (included, excluded) = match rules {
            Rules::Npm => npm_order(written),
            Rules::Pnpm | Rules::YarnClassic | Rules::YarnBerry | Rules::Bun => {
                let (mut excluded, included): (Vec<_>, Vec<_>) = written
                    .into_iter()
                    // They compare with paths that never start with a slash.
                    .filter(|one| !one.text.starts_with('/'))
                    .partition(|one| one.negated);
                if rules == Rules::YarnClassic {
                    excluded.clear();
                }
                (included, excluded)
            }
        };
        let patterns = |written: Vec<Written>| -> Vec<Pattern> {
            written.into_iter().flat_map(|one| one.patterns).collect()
        };
        let parsed = Patterns {
            rules,
            included: patterns(included),
            excluded: patterns(excluded),
        };
        if parsed.included.len() + parsed.excluded.len() > MOST_PATTERNS {
            return Err(too_many());
        }
        Ok(parsed)
    }

    /// Whether a directory that holds a `package.json` is a member.
    #[must_use]
    pub fn matches(&self, directory: &RepoPath) -> bool {
        if directory.is_root() {
            return self.rules == Rules::Pnpm;
        }
        let dots = match self.rules {
            Rules::Npm => Dots::NamedBeforeAny,
            _ => Dots::Named,
        };
        let parts = parts(directory.as_str());
        if self.rules == Rules::Bun && self.included.iter().any(|one| one.is_literally(&parts)) {
            return !self.is_never(&parts);
        }
        !self.is_never(&parts)
            && self.included.iter().any(|one| one.accepts(&parts, dots))
            && !self
                .excluded
                .iter()
                .any(|one| one.accepts(&parts, Dots::Any))
    }

    /// Whether a directory somewhere below this one could be a member; where not, a walk need not enter.
    #[must_use]
    pub fn may_contain(&self, directory: &RepoPath) -> bool {
        let parts = parts(directory.as_str());
        !self.is_never(&parts)
            && self.included.iter().any(|one| one.goes_on(&parts))
            && (self.rules == Rules::Bun || !self.excluded.iter().any(|one| one.swallows(&parts)))
    }

    fn is_never(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| {
            *part == "node_modules" || self.rules == Rules::Pnpm && *part == "bower_components"
        })
    }
}

/// How far the patterns of a list are used up on the way down to a directory. It tells of that what [`Patterns::matches`] and
/// [`Patterns::may_contain`] tell of its path by the rules of yarn 2 and newer, and takes the time of a part for each part.
///
/// ```
/// use std::rc::Rc;
/// use pkgs_action::workspace::members::{Patterns, Progress, Rules};
/// let patterns = Patterns::parse(Rules::YarnBerry, &["packages/*".into()]).unwrap();
/// let packages = Progress::begin(Rc::new(patterns)).enter("packages");
/// assert!(packages.may_contain() && !packages.is_member());
/// assert!(packages.enter("a").is_member());
/// ```
#[derive(Debug, Clone)]
pub struct Progress {
    patterns: Rc<Patterns>,
    included: Vec<Vec<bool>>,
    excluded: Vec<Vec<bool>>,
    is_never: bool,
    is_base: bool,
}

impl Progress {
    /// In the directory that has the list.
    #[must_use]
    pub fn begin(patterns: Rc<Patterns>) -> Progress {
        let begin = |list: &[Pattern]| list.iter().map(|one| begin(&one.parts)).collect();
        Progress {
            included: begin(&patterns.included),
            excluded: begin(&patterns.excluded),
            patterns,
            is_never: false,
            is_base: true,
        }
    }

    /// In a directory of this one.
    #[must_use]
    pub fn enter(&self, name: &str) -> Progress {
        let step = |list: &[Pattern], states: &[Vec<bool>], dots| {
            let each = list.iter().zip(states);
            each.map(|(one, states)| step(&one.parts, states, name, dots))
                .collect()
        };
        let patterns = &self.patterns;
        Progress {
            included: step(&patterns.included, &self.included, Dots::Named),
            excluded: step(&patterns.excluded, &self.excluded, Dots::Any),
            patterns: Rc::clone(patterns),
            is_never: self.is_never || patterns.is_never(&[name]),
            is_base: false,
        }
    }

    /// Whether the directory is a member, if it holds a `package.json`.
    #[must_use]
    pub fn is_member(&self) -> bool {
        let at_end = |states: &Vec<bool>| states.last() == Some(&true);
        !self.is_base
            && !self.is_never
            && self.included.iter().any(at_end)
            && !self.excluded.iter().any(at_end)
    }

    /// Whether a directory somewhere below could be a member.
    #[must_use]
    pub fn may_contain(&self) -> bool {
        let goes_on = |states: &Vec<bool>| states[..states.len() - 1].contains(&true);
        let excluded = self.patterns.excluded.iter().zip(&self.excluded);
        let swallowed = |(one, states): (&Pattern, &Vec<bool>)| {
            one.ends_with_any() && states.last() == Some(&true)
        };
        !self.is_never && self.included.iter().any(goes_on) && !{ excluded }.any(swallowed)
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

fn too_many() -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::glob",
        format!("the workspace has more than {MOST_PATTERNS} patterns"),
    )
    .hint("name the directories by fewer patterns, for example packages/*")
}

/// One listed pattern.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    negated: bool,
    /// Its alternatives.
    patterns: Vec<Pattern>,
}

impl Written {
    fn parse(rules: Rules, listed: &str) -> Result<Written, Failure> {
        let refuse = |why: &str, hint: &str| {
            Err(Failure::new(
                Exit::Refused,
                "workspace::glob",
                format!("the workspace pattern {} cannot be read", quoted(listed)),
            )
            .because(why)
            .hint(hint))
        };
        if listed.len() > LONGEST_PATTERN {
            return refuse(
                "it is longer than 1000 bytes",
                "name the directories by a shorter pattern",
            );
        }
        let unmarked = listed.trim_start_matches('!');
        let marks = listed.len() - unmarked.len();
        let negated = match rules {
            Rules::Npm => marks % 2 == 1,
            _ => marks > 0,
        };
        let text = match rules {
            Rules::Npm => without_root(&unmarked.replace('\\', "/")).to_owned(),
            _ => unmarked.to_owned(),
        };
        if text.contains('\\') {
            return refuse("it holds a backslash", "separate directories with '/'");
        }
        let mut alternatives = Vec::new();
        if let Err(why) = expand(&text, &mut alternatives) {
            return refuse(
                why,
                "list the directories one by one, or as packages/* or packages/{a,b}",
            );
        }
        let mut patterns = Vec::new();
        for alternative in &alternatives {
            let Some(pattern) = Pattern::parse(alternative) else {
                return refuse(
                    "one of its parts is not a pattern",
                    "list the directories one by one, or as packages/* or packages/{a,b}",
                );
            };
            patterns.push(pattern);
        }
        if alternatives
            .iter()
            .any(|text| text.split('/').any(|part| part == ".."))
        {
            return Err(Failure::new(
                Exit::Refused,
                "workspace::glob_escape",
                format!("the workspace pattern {} holds '..'", quoted(listed)),
            )
            .because("packages outside the repository cannot be released with it")
            .hint("write the path from the repository's root, without '..'"));
        }
        Ok(Written {
            text,
            negated,
            patterns,
        })
    }

    /// Whether this pattern matches the text of another one, as `minimatch(other, this)` tells.
    fn matches_text(&self, other: &str) -> bool {
        let closed = other.ends_with('/');
        if self.text.ends_with('/') && !closed {
            return false;
        }
        let parts = parts(other);
        self.patterns.iter().any(|pattern| {
            // `a/**` matches `a/`, but not `a`.
            if !closed && pattern.parts.len() > 1 && pattern.ends_with_any() {
                pattern.accepts_below(&parts)
            } else {
                pattern.accepts(&parts, Dots::Named)
            }
        })
    }
}

/// `^\.?\/+` removed, as npm does.
fn without_root(text: &str) -> &str {
    let rooted = text.strip_prefix('.').unwrap_or(text);
    if rooted.starts_with('/') {
        rooted.trim_start_matches('/')
    } else {
        text
    }
}

/// npm's order: a later pattern whose text a `!` pattern matches removes that `!` pattern (and the search then skips the one after
/// it); what `!` patterns are left remove the patterns whose text they match.
fn npm_order(written: Vec<Written>) -> (Vec<Written>, Vec<Written>) {
    let mut included: Vec<Written> = Vec::new();
    let mut excluded: Vec<Written> = Vec::new();
    for one in written {
        if one.negated {
            excluded.push(one);
            continue;
        }
        let mut index = 0;
        while index < excluded.len() {
            if excluded[index].matches_text(&one.text) {
                excluded.remove(index);
            }
            index += 1;
        }
        included.push(one);
    }
    for no in &excluded {
        included.retain(|yes| !no.matches_text(&yes.text));
    }
    (included, excluded)
}

/// Writes out `{a,b}` and `@(a|b)`; the reason where the text cannot be read.
fn expand(text: &str, result: &mut Vec<String>) -> Result<(), &'static str> {
    let Some(group) = Group::first(text)? else {
        result.push(text.to_owned());
        return if result.len() > MOST_PATTERNS {
            Err("it has too many alternatives")
        } else {
            Ok(())
        };
    };
    for alternative in group.alternatives {
        expand(
            &format!("{}{alternative}{}", group.before, group.after),
            result,
        )?;
    }
    Ok(())
}

/// The first group of alternatives in a pattern.
struct Group<'t> {
    before: &'t str,
    alternatives: Vec<&'t str>,
    after: &'t str,
}

impl<'t> Group<'t> {
    fn first(text: &'t str) -> Result<Option<Group<'t>>, &'static str> {
        for other in ["+(", "*(", "?(", "!("] {
            if text.contains(other) {
                return Err("of the extended globs only @(a|b) is supported");
            }
        }
        let opening = match (text.find('{'), text.find("@(")) {
            (None, None) => None,
            (brace, extended) if brace.unwrap_or(usize::MAX) < extended.unwrap_or(usize::MAX) => {
                brace.map(|at| (at, 1, '{', '}', ','))
            }
            (_, extended) => extended.map(|at| (at, 2, '(', ')', '|')),
        };
        let Some((start, width, open, close, separator)) = opening else {
            return if text.contains('}') {
                Err("a '{' is missing")
            } else {
                Ok(None)
            };
        };
        let mut depth = 0_usize;
        let mut alternatives = Vec::new();
        let mut from = start + width;
        for (offset, character) in text[start + width..].char_indices() {
            let at = start + width + offset;
            if character == open {
                depth += 1;
            } else if character == separator && depth == 0 {
                alternatives.push(&text[from..at]);
                from = at + 1;
            } else if character == close && depth > 0 {
                depth -= 1;
            } else if character == close {
                alternatives.push(&text[from..at]);
                if open == '{' && alternatives.len() == 1 {
                    return Err("a '{' needs at least two alternatives; ranges are not supported");
                }
                return Ok(Some(Group {
                    before: &text[..start],
                    alternatives,
                    after: &text[at + 1..],
                }));
            }
        }
        Err("a '}' or ')' is missing")
    }
}

/// Whether `*` and `**` see parts that start with a dot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dots {
    /// Only where the pattern writes the dot.
    Named,
    /// As `Named`, but not right after a `**`, where npm does not look for them even by name.
    NamedBeforeAny,
    /// Everywhere.
    Any,
}

/// A pattern without alternatives, part by part.
#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// `**`
    Any,
    Literal(String),
    Glob {
        matcher: GlobMatcher,
        dot: bool,
    },
}

impl Part {
    fn parse(text: &str) -> Option<Part> {
        if text == "**" {
            return Some(Part::Any);
        }
        if !text.contains(['*', '?', '[']) {
            return Some(Part::Literal(text.to_owned()));
        }
        if text.contains("[:") {
            return None;
        }
        // Within a part, several stars are one.
        let mut single = text.to_owned();
        while single.contains("**") {
            single = single.replace("**", "*");
        }
        let glob = GlobBuilder::new(&single)
            .literal_separator(true)
            .backslash_escape(false)
            .build()
            .ok()?;
        Some(Part::Glob {
            matcher: glob.compile_matcher(),
            dot: text.starts_with('.'),
        })
    }

    fn accepts(&self, part: &str, dots: Dots) -> bool {
        let hidden = dots != Dots::Any && part.starts_with('.');
        match self {
            Part::Any => !hidden,
            Part::Literal(text) => text == part,
            Part::Glob { matcher, dot } => (*dot || !hidden) && matcher.is_match(part),
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Pattern> {
        let mut parts: Vec<Part> = Vec::new();
        for part in text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
        {
            let part = Part::parse(part)?;
            if !(matches!(part, Part::Any) && matches!(parts.last(), Some(Part::Any))) {
                parts.push(part);
            }
        }
        Some(Pattern { parts })
    }

    /// Whether the pattern names this very directory.
    fn is_literally(&self, path: &[&str]) -> bool {
        let literal =
            |(part, name): (&Part, &&str)| matches!(part, Part::Literal(text) if text == name);
        self.parts.len() == path.len() && self.parts.iter().zip(path).all(literal)
    }

    fn ends_with_any(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Any))
    }

    fn accepts(&self, path: &[&str], dots: Dots) -> bool {
        reached(&self.parts, path, dots)[self.parts.len()]
    }

    /// Whether the path matches with at least one part for a final `**`.
    fn accepts_below(&self, path: &[&str]) -> bool {
        path.split_last().is_some_and(|(last, above)| {
            let states = reached(&self.parts, above, Dots::Named);
            let any = self.parts.len() - 1;
            states[any] && self.parts[any].accepts(last, Dots::Named)
        })
    }

    /// Whether something below the path could match.
    fn goes_on(&self, path: &[&str]) -> bool {
        let states = reached(&self.parts, path, Dots::Named);
        states[..self.parts.len()].iter().any(|state| *state)
    }

    /// Whether everything below the path matches.
    fn swallows(&self, path: &[&str]) -> bool {
        self.ends_with_any() && self.accepts(path, Dots::Any)
    }
}

/// How many parts of the pattern may be used up after the whole path: one flag for each number. Takes time in proportion to both
/// lengths, however many `**` there are.
fn reached(pattern: &[Part], path: &[&str], dots: Dots) -> Vec<bool> {
    let all = path.iter();
    all.fold(begin(pattern), |states, part| {
        step(pattern, &states, part, dots)
    })
}

/// What is used up before the path begins.
fn begin(pattern: &[Part]) -> Vec<bool> {
    let mut states = vec![false; pattern.len() + 1];
    states[0] = true;
    skip_any(pattern, &mut states);
    states
}

/// What is used up after one more part of the path.
fn step(pattern: &[Part], states: &[bool], part: &str, dots: Dots) -> Vec<bool> {
    let mut next = vec![false; pattern.len() + 1];
    for (index, matcher) in pattern.iter().enumerate() {
        let after_any = index > 0 && matches!(pattern[index - 1], Part::Any);
        let unseen = dots == Dots::NamedBeforeAny && after_any && part.starts_with('.');
        if states[index] && !unseen && matcher.accepts(part, dots) {
            let stays = usize::from(!matches!(matcher, Part::Any));
            next[index + stays] = true;
        }
    }
    skip_any(pattern, &mut next);
    next
}

/// `**` also stands for nothing.
fn skip_any(pattern: &[Part], states: &mut [bool]) {
    for (index, part) in pattern.iter().enumerate() {
        if states[index] && matches!(part, Part::Any) {
            states[index + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patterns(rules: Rules, list: &[&str]) -> Result<Patterns, Failure> {
        let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
        Patterns::parse(rules, &list)
    }

    const DIRECTORIES: [&str; 16] = [
        "",
        "apps/c",
        "packages",
        "packages/a",
        "packages/b",
        "packages/.hidden",
        "packages/group",
        "packages/group/c",
        "packages/group/d",
        "packages/group/c/deep",
        "packages/a/node_modules/x",
        "node_modules/y",
        ".github/tool",
        "bower_components/z",
        "lib-1",
        "Packages/a",
    ];

    fn check(rules: Rules, list: &[&str], expected: &[&str]) {
        let patterns = patterns(rules, list).unwrap();
        let found: Vec<&str> = DIRECTORIES
            .into_iter()
            .filter(|directory| patterns.matches(&RepoPath::parse(directory).unwrap()))
            .collect();
        assert_eq!(found, expected, "{rules:?} {list:?}");
    }

    #[test]
    fn the_list_that_counts() {
        let list = |text: &str| Some(vec![text.to_owned()]);
        let found = |manager, pnpm, lerna, workspaces| {
            let told = Told {
                manager,
                by: "a lockfile".to_owned(),
            };
            let declared = Declared {
                pnpm,
                lerna,
                workspaces,
            };
            match declared.patterns(&told) {
                Ok(found) => found.map_or("the root".to_owned(), |(rules, list)| {
                    format!("{rules:?} {}", list.join(" "))
                }),
                Err(failure) => failure.code().to_owned(),
            }
        };
        assert_eq!(found(Manager::Npm, None, None, None), "the root");
        assert_eq!(found(Manager::Bun, None, None, list("a")), "Bun a");
        assert_eq!(
            found(Manager::Npm, None, list("b"), list("a")),
            "YarnBerry b"
        );
        assert_eq!(
            found(Manager::Pnpm, list("c"), list("b"), list("a")),
            "Pnpm c"
        );
        assert_eq!(found(Manager::Pnpm, list("."), None, None), "the root");
        assert_eq!(
            found(Manager::Pnpm, Some(Vec::new()), None, None),
            "the root"
        );
        assert_eq!(
            found(Manager::Pnpm, None, None, list("a")),
            "workspace::manager_conflict"
        );
    }

    const TWO: [&str; 2] = ["packages/a", "packages/b"];
    const ALL_PACKAGES: [&str; 7] = [
        "packages",
        "packages/a",
        "packages/b",
        "packages/group",
        "packages/group/c",
        "packages/group/d",
        "packages/group/c/deep",
    ];

    #[test]
    fn npm() {
        let check = |list: &[&str], expected: &[&str]| check(Rules::Npm, list, expected);
        check(&[], &[]);
        check(&["."], &[]);
        check(
            &["packages/*"],
            &["packages/a", "packages/b", "packages/group"],
        );
        check(
            &["./packages/*/"],
            &["packages/a", "packages/b", "packages/group"],
        );
        check(&["/packages/?"], &TWO);
        check(&["packages\\?"], &TWO);
        check(&["packages/[a-b]"], &TWO);
        check(&["packages/{a,b}"], &TWO);
        check(&["packages/@(a|b)"], &TWO);
        check(
            &["{packages/{a,b},apps/*}"],
            &["apps/c", "packages/a", "packages/b"],
        );
        check(&["packages/**"], &ALL_PACKAGES);
        check(&["**/c"], &["apps/c", "packages/group/c"]);
        check(&[".github/*"], &[".github/tool"]);
        check(&["packages/.*"], &["packages/.hidden"]);
        check(&["**/.hidden"], &[]);
        check(&["bower_components/*"], &["bower_components/z"]);
        check(&["node_modules/*", "packages/a/node_modules/*"], &[]);
        check(&["lib-*"], &["lib-1"]);
        check(&["packages/*", "!packages/group"], &TWO);
        check(&["packages/**", "!packages/group/**", "!packages"], &TWO);
        check(&["!packages/group", "packages/*"], &TWO);
        check(&["!!packages/a"], &["packages/a"]);
        // A later pattern in the negated directory brings all of it back.
        check(
            &["packages/**", "!packages/group/**", "packages/group/c"],
            &ALL_PACKAGES,
        );
        // The text of the first pattern matches the second.
        check(&["packages/**", "!packages/*"], &[]);
    }

    #[test]
    fn pnpm() {
        let check = |list: &[&str], expected: &[&str]| check(Rules::Pnpm, list, expected);
        check(&[], &[""]);
        check(&["."], &[""]);
        check(&["packages/?", "."], &["", "packages/a", "packages/b"]);
        check(&["/packages/*"], &[""]);
        check(&["bower_components/*"], &[""]);
        check(&["**/.hidden"], &["", "packages/.hidden"]);
        check(
            &["!packages/group/**", "packages/*"],
            &["", "packages/a", "packages/b"],
        );
        check(
            &["packages/**", "!packages/group/**", "packages/group/c"],
            &["", "packages", "packages/a", "packages/b"],
        );
        check(&["packages/*/*", "!**/d"], &["", "packages/group/c"]);
    }

    #[test]
    fn yarn_and_bun() {
        let all = ["packages/a", "packages/b", "packages/group"];
        for rules in [Rules::YarnClassic, Rules::YarnBerry, Rules::Bun] {
            check(rules, &["./packages/*"], &all);
            check(rules, &["/packages/*"], &[]);
            check(rules, &["packages/.hidden"], &["packages/.hidden"]);
            check(rules, &["bower_components/*"], &["bower_components/z"]);
            check(rules, &["packages/@(a|b)"], &TWO);
            check(rules, &["packages/{a,b}"], &TWO);
        }
        check(Rules::YarnClassic, &["packages/*", "!packages/group"], &all);
        let literal: &[&str] = &["!packages/**", "packages/*", "packages/a"];
        check(Rules::YarnClassic, literal, &all);
        check(Rules::YarnBerry, literal, &[]);
        check(Rules::Bun, literal, &["packages/a"]);
        for rules in [Rules::YarnBerry, Rules::Bun] {
            check(rules, &["!packages/group", "packages/*"], &TWO);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (list, code) in [
            (&["../x"][..], "workspace::glob_escape"),
            (&["packages/../x"], "workspace::glob_escape"),
            (&["packages/{a,..}"], "workspace::glob_escape"),
            (&["!../x"], "workspace::glob_escape"),
            (&["packages/+(a|b)"], "workspace::glob"),
            (&["packages/{a"], "workspace::glob"),
            (&["packages/a}"], "workspace::glob"),
            (&["packages/{1..3}"], "workspace::glob"),
            (&["packages/[a"], "workspace::glob"),
            (&["packages/[[:alpha:]]"], "workspace::glob"),
            (
                &["{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"],
                "workspace::glob",
            ),
        ] {
            for rules in [Rules::Npm, Rules::Pnpm] {
                let failure = patterns(rules, list).expect_err(list[0]);
                assert_eq!(failure.code(), code, "{list:?}");
                assert!(failure.advice().is_some());
            }
        }
        assert!(patterns(Rules::Npm, &[&"a".repeat(2000)]).is_err());
        assert!(patterns(Rules::Npm, &["a"; 1001]).is_err());
    }

    #[test]
    fn a_walk_enters_only_where_something_may_be() {
        let enters = |list: &[&str], directory: &str| {
            let patterns = patterns(Rules::Npm, list).unwrap();
            patterns.may_contain(&RepoPath::parse(directory).unwrap())
        };
        assert!(enters(&["packages/*"], ""));
        assert!(enters(&["packages/*"], "packages"));
        assert!(!enters(&["packages/*"], "packages/a"));
        assert!(!enters(&["packages/*"], "apps"));
        assert!(enters(&["packages/**"], "packages/a/b"));
        assert!(!enters(&["**"], "a/node_modules"));
        assert!(!enters(&["**"], ".cache"));
        assert!(!enters(
            &["packages/**", "!packages/group/**"],
            "packages/group"
        ));
        assert!(enters(
            &["packages/**", "!packages/group"],
            "packages/group"
        ));
        assert!(!enters(&[], ""));
    }

    proptest! {
        /// Part by part the same is found as by whole paths.
        #[test]
        fn a_walk_finds_what_paths_say(
            list in proptest::collection::vec(r"!?(\*\*|\*|a|\.b|a\*|node_modules)(/(\*\*|\*|a|\.b|\{a,c\})){0,3}", 1..4),
            path in r"(a|\.b|c|ab|node_modules)(/(a|\.b|c|node_modules)){0,4}",
        ) {
            let patterns = Patterns::parse(Rules::YarnBerry, &list).expect("patterns");
            let mut progress = Progress::begin(Rc::new(patterns.clone()));
            prop_assert!(!progress.is_member());
            for (index, part) in path.split('/').enumerate() {
                progress = progress.enter(part);
                let so_far: Vec<&str> = path.split('/').take(index + 1).collect();
                let directory = RepoPath::parse(&so_far.join("/")).expect("a path");
                let told = (progress.is_member(), progress.may_contain());
                prop_assert_eq!(told, (patterns.matches(&directory), patterns.may_contain(&directory)));
            }
        }

        #[test]
        fn a_walk_misses_no_member(
            list in prop::collection::vec(r"!?(a|b|\*|\*\*|\?|\.a)(/(a|b|\*|\*\*|a\*)){0,3}", 0..5),
            path in prop::collection::vec("a|b|ab|\\.a|node_modules", 1..5),
            pnpm in any::<bool>(),
        ) {
            let rules = if pnpm { Rules::Pnpm } else { Rules::Npm };
            let patterns = Patterns::parse(rules, &list).unwrap();
            let directory = RepoPath::parse(&path.join("/")).unwrap();
            if patterns.matches(&directory) {
                for length in 0..path.len() {
                    let above = RepoPath::parse(&path[..length].join("/")).unwrap();
                    prop_assert!(patterns.may_contain(&above), "{} hides {}", above.display(), directory);
                }
            }
        }

        #[test]
        fn no_pattern_fails_badly(list in prop::collection::vec(any::<String>(), 0..4), path in "[a-z./]{0,12}") {
            if let (Ok(patterns), Ok(path)) = (Patterns::parse(Rules::Npm, &list), RepoPath::parse(&path)) {
                let _ = (patterns.matches(&path), patterns.may_contain(&path));
            }
        }
    }
}
