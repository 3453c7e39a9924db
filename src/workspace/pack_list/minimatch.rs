//! Patterns as `minimatch` reads them, with the options that npm sets: `matchBase`, `dot`, `flipNegate`, `nocase`.
//!
//! Neither git's rules nor globset's: a pattern without `/` matches names at any depth, `(`…`)` groups and braces are known, and a
//! path may be matched in part.

mod braces;
mod class;
mod groups;
mod name;
mod units;

use std::cell::Cell;

use name::Name;

/// The longest pattern that minimatch takes, in bytes.
const LONGEST: usize = 64 << 10;

/// The deepest that braces and groups are nested.
const DEEPEST: usize = 32;

/// The most steps that matching may take in all, so that no pattern makes a release hang.
const MOST_STEPS: u64 = 2_000_000_000;

/// Why a pattern cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) &'static str);

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Default for Budget {
    fn default() -> Budget {
        Budget(Cell::new(MOST_STEPS))
    }
}

impl Budget {
    /// Fewer steps than [`MOST_STEPS`], to see what happens at their end.
    #[cfg(test)]
    pub(super) fn of(steps: u64) -> Budget {
        Budget(Cell::new(steps))
    }

    fn spend(&self, steps: u64) -> bool {
        self.0.set(self.0.get().saturating_sub(steps));
        !self.is_spent()
    }

    /// Whether matching was given up; its answers are then worth nothing.
    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// Whether case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// `A` is `a`.
    Ignored,
    /// `A` is not `a`.
    Kept,
}

/// A pattern, read.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    is_negated: bool,
    is_relative: bool,
    base_names: bool,
    case: Case,
    unfolded: Vec<Vec<Part>>,
}

/// One part of a pattern between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`: any number of directories.
    AnyDepth,
    /// One name.
    Name(Name),
}

/// A path in its parts. A slash at the start or the end gives an empty part there; several slashes are one.
pub(super) fn split(path: &str) -> Vec<String> {
    let last = path.split('/').count() - 1;
    path.split('/')
        .enumerate()
        .filter(|(at, part)| !part.is_empty() || *at == 0 || *at == last)
        .map(|(_, part)| part.to_owned())
        .collect()
}

impl Pattern {
    /// Reads a rule of an ignore file.
    pub(super) fn parse(text: &str, case: Case) -> Result<Pattern, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal("it is longer than 65,536 bytes"));
        }
        let bare = text.trim_start_matches('!');
        let unfolded: Vec<Vec<String>> = braces::unfold(bare)?
            .iter()
            .map(|text| without_doublings(split(text)))
            .collect();
        let is_name = |parts: &Vec<String>| match parts.last() {
            Some(last) if last.is_empty() => parts.len() <= 2,
            _ => parts.len() <= 1,
        };
        Ok(Pattern {
            is_negated: (text.len() - bare.len()) % 2 == 1,
            is_relative: unfolded.iter().any(is_name),
            base_names: true,
            case,
            unfolded: unfolded
                .into_iter()
                .map(|parts| read_parts(parts, case))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Reads a glob that is looked for on disk: it names whole paths, and case counts.
    pub(super) fn glob(text: &str) -> Result<Pattern, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal("it is longer than 65,536 bytes"));
        }
        let unfolded = braces::unfold(text)?
            .iter()
            .filter_map(|text| without_dots(split(text)))
            .map(|parts| read_parts(without_doublings(parts), Case::Kept))
            .collect::<Result<_, _>>()?;
        Ok(Pattern {
            is_negated: false,
            is_relative: false,
            base_names: false,
            case: Case::Kept,
            unfolded,
        })
    }

    /// Whether it starts with an odd number of `!`: what it matches is brought back.
    pub(super) fn is_negated(&self) -> bool {
        self.is_negated
    }

    /// Whether it is a single name, with or without a slash behind.
    pub(super) fn is_relative(&self) -> bool {
        self.is_relative
    }

    /// Whether it matches a path; `partial` asks whether it could match something below the path.
    pub(super) fn matches(&self, path: &[String], partial: bool, budget: &Budget) -> bool {
        if partial && path.iter().all(String::is_empty) {
            return true;
        }
        let matcher = Matcher {
            case: self.case,
            partial,
            budget,
        };
        self.unfolded.iter().any(|parts| {
            if self.base_names && parts.len() == 1 {
                let base = path.iter().rposition(|part| !part.is_empty());
                let base = base.unwrap_or(path.len().saturating_sub(1));
                matcher.path(path.get(base..=base).unwrap_or_default(), parts)
            } else {
                matcher.path(path, parts)
            }
        })
    }

    /// Whether a walk over the disk would find this path for the glob.
    pub(super) fn finds(&self, path: &str, is_folder: bool, budget: &Budget) -> bool {
        let path = split(path);
        let matcher = Matcher {
            case: self.case,
            partial: false,
            budget,
        };
        self.unfolded.iter().any(|parts| {
            let parts = &parts[..];
            let is_itself = match parts {
                [.., Part::AnyDepth] if is_folder => true,
                // What follows a name that is looked up, and not met in a directory, is not asked whether it is one.
                [Part::Name(Name::Exact(_)), Part::AnyDepth] => true,
                [.., before, Part::Name(Name::Exact(_)), Part::AnyDepth] => {
                    *before != Part::AnyDepth
                }
                _ => false,
            };
            matcher.path(&path, parts)
                || is_itself && matcher.path(&path, &parts[..parts.len() - 1])
        })
    }
}

/// Takes out what minimatch takes out of rules: doubled `**`, and `name/..`.
fn without_doublings(parts: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for part in parts {
        let last = kept.last().map(String::as_str);
        if part == "**" && last == Some("**") {
            continue;
        }
        if part == ".." && last.is_some_and(|last| !matches!(last, "" | "." | ".." | "**")) {
            kept.pop();
            continue;
        }
        kept.push(part);
    }
    if kept.is_empty() {
        kept.push(String::new());
    }
    kept
}

/// Takes the `.` and `..` out of a glob; `None` when it is absolute or leads outside.
fn without_dots(parts: Vec<String>) -> Option<Vec<String>> {
    if parts.len() > 1 && parts.first().is_some_and(String::is_empty) {
        return None;
    }
    let mut kept: Vec<String> = Vec::new();
    for part in parts {
        match part.as_str() {
            "." | "" => {}
            ".." => {
                kept.pop()?;
            }
            _ => kept.push(part),
        }
    }
    (!kept.is_empty()).then_some(kept)
}

fn read_parts(parts: Vec<String>, case: Case) -> Result<Vec<Part>, Refusal> {
    parts
        .into_iter()
        .map(|part| match part.as_str() {
            "**" => Ok(Part::AnyDepth),
            part => Name::read(part, case).map(Part::Name),
        })
        .collect()
}

struct Matcher<'a> {
    case: Case,
    partial: bool,
    budget: &'a Budget,
}

impl Matcher<'_> {
    /// Whether the parts match the whole path. Positions are kept as a set, so a pattern with many `**` costs no more than their product.
    fn path(&self, path: &[String], parts: &[Part]) -> bool {
        if let ([first, ..], [part @ Part::Name(_), others @ ..]) = (path, parts) {
            // Most paths are none of a rule's: they are told apart by their first name.
            if !self.budget.spend(1) || !self.name(first, part) {
                return false;
            }
            if path.len() == 1 && others.is_empty() {
                return true;
            }
        }
        let mut here = vec![false; path.len() + 1];
        here[0] = true;
        for (number, part) in parts.iter().enumerate() {
            if !self.budget.spend(1 + path.len() as u64) {
                return false;
            }
            if self.partial && here[path.len()] {
                return true;
            }
            let mut next = vec![false; path.len() + 1];
            if *part == Part::AnyDepth {
                let is_last = number + 1 == parts.len();
                let mut open = false;
                for at in 0..=path.len() {
                    // Behind a final `**` there must be something; before another part there may be nothing.
                    next[at] = open || here[at] && !is_last;
                    let may_pass = path.get(at).is_some_and(|name| name != "." && name != "..");
                    open = (open || here[at]) && may_pass;
                }
                if is_last && self.partial && here.contains(&true) {
                    return true;
                }
            } else {
                for at in 0..path.len() {
                    next[at + 1] = here[at] && self.name(&path[at], part);
                }
            }
            if !next.contains(&true) {
                return false;
            }
            here = next;
        }
        let trailing_slash = path.last().is_some_and(String::is_empty) && path.len() > 1;
        here[path.len()] || trailing_slash && here[path.len() - 1]
    }

    fn name(&self, name: &str, part: &Part) -> bool {
        match part {
            Part::AnyDepth => false,
            Part::Name(wanted) => wanted.matches(name, self.case, self.budget),
        }
    }
}
