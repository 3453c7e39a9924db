//! Patterns as `minimatch` reads them, with the options that npm sets: `matchBase`, `dot`, `flipNegate`, `nocase`.
//!
//! Neither git's rules nor globset's: a pattern without `/` matches names at any depth, `(`…`)` groups and braces are known, and a
//! path may be matched in part.

use std::cell::Cell;

/// The longest pattern that minimatch takes, in bytes.
const LONGEST: usize = 64 << 10;

/// The most patterns that braces in one may unfold to.
const MOST_UNFOLDED: usize = 2_000;

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
    negated: bool,
    base_names: bool,
    case: Case,
    unfolded: Vec<Vec<Part>>,
}

/// One part of a pattern between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`: any number of directories.
    AnyDepth,
    /// Only this name.
    Name(String),
    /// Every name of this shape.
    Shape(Vec<Node>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Char(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[…]`
    Class {
        negated: bool,
        items: Vec<Item>,
    },
    /// `@(…)` and the like; the character says which.
    Group {
        kind: char,
        choices: Vec<Vec<Node>>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Range(char, char),
    Named(String),
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
        let negated = (text.len() - bare.len()) % 2 == 1;
        let unfolded = unfold(bare)?
            .iter()
            .map(|text| read_parts(without_doublings(split(text)), case))
            .collect::<Result<_, _>>()?;
        Ok(Pattern {
            negated,
            base_names: true,
            case,
            unfolded,
        })
    }

    /// Reads a glob that is looked for on disk: it names whole paths, and case counts.
    pub(super) fn glob(text: &str) -> Result<Pattern, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal("it is longer than 65,536 bytes"));
        }
        let unfolded = unfold(text)?
            .iter()
            .filter_map(|text| without_dots(split(text)))
            .map(|parts| read_parts(without_doublings(parts), Case::Kept))
            .collect::<Result<_, _>>()?;
        Ok(Pattern {
            negated: false,
            base_names: false,
            case: Case::Kept,
            unfolded,
        })
    }

    /// Whether it starts with an odd number of `!`: what it matches is brought back.
    pub(super) fn is_negated(&self) -> bool {
        self.negated
    }

    /// Whether it is a single name, with or without a slash behind.
    pub(super) fn is_relative(&self) -> bool {
        self.unfolded.iter().any(|parts| match parts.last() {
            Some(Part::Name(name)) if name.is_empty() => parts.len() <= 2,
            _ => parts.len() <= 1,
        })
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
            let ends_deep = parts.last() == Some(&Part::AnyDepth);
            matcher.path(&path, parts)
                || is_folder && ends_deep && matcher.path(&path, &parts[..parts.len() - 1])
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
        .map(|part| {
            if part == "**" {
                return Ok(Part::AnyDepth);
            }
            let characters: Vec<char> = part.chars().collect();
            let nodes = read_nodes(&characters, &mut 0, 0, case)?;
            let name: Option<String> = nodes
                .iter()
                .map(|node| match node {
                    Node::Char(character) => Some(*character),
                    _ => None,
                })
                .collect();
            Ok(name.map_or(Part::Shape(nodes), Part::Name))
        })
        .collect()
}

fn fold(character: char, case: Case) -> char {
    match case {
        Case::Kept => character,
        Case::Ignored => character.to_lowercase().next().unwrap_or(character),
    }
}

/// Reads until the end, or inside a group until its `|` or `)`.
fn read_nodes(
    text: &[char],
    at: &mut usize,
    depth: usize,
    case: Case,
) -> Result<Vec<Node>, Refusal> {
    if depth > DEEPEST {
        return Err(Refusal("its groups are nested too deep"));
    }
    let mut nodes = Vec::new();
    while let Some(&character) = text.get(*at) {
        if depth > 0 && matches!(character, '|' | ')') {
            break;
        }
        *at += 1;
        if text.get(*at) == Some(&'(')
            && matches!(character, '?' | '*' | '+' | '@' | '!')
            && is_closed(&text[*at..])
        {
            *at += 1;
            let mut choices = vec![read_nodes(text, at, depth + 1, case)?];
            while text.get(*at) == Some(&'|') {
                *at += 1;
                choices.push(read_nodes(text, at, depth + 1, case)?);
            }
            *at += 1;
            nodes.push(Node::Group {
                kind: character,
                choices,
            });
            continue;
        }
        nodes.push(match character {
            '?' => Node::Any,
            '*' => Node::Star,
            '\\' if *at < text.len() => {
                *at += 1;
                Node::Char(fold(text[*at - 1], case))
            }
            '[' => match read_class(&text[*at..], case) {
                Some((node, length)) => {
                    *at += length;
                    node
                }
                None => Node::Char('['),
            },
            other => Node::Char(fold(other, case)),
        });
    }
    Ok(nodes)
}

/// Whether the group that starts with the `(` at the front has its `)`.
fn is_closed(text: &[char]) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(character) = text.get(at) {
        match character {
            '\\' => at += 1,
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return true;
                }
            }
            '[' => at += read_class(&text[at + 1..], Case::Kept).map_or(0, |(_, length)| length),
            _ => {}
        }
        at += 1;
    }
    false
}

/// Reads a class behind its `[`; `None` when it is not closed. The number says how many characters it took.
fn read_class(text: &[char], case: Case) -> Option<(Node, usize)> {
    let negated = matches!(text.first(), Some('!' | '^'));
    let first = usize::from(negated);
    let mut at = first;
    let mut items = Vec::new();
    loop {
        let character = *text.get(at)?;
        if character == ']' && at > first {
            let node = Node::Class { negated, items };
            return Some((node, at + 1));
        }
        if character == '[' && text.get(at + 1) == Some(&':') {
            let rest: String = text[at + 2..].iter().take(16).collect();
            if let Some((name, _)) = rest.split_once(":]") {
                at += name.chars().count() + 4;
                items.push(Item::Named(name.to_owned()));
                continue;
            }
        }
        let (low, next) = class_character(text, at)?;
        at = next;
        if text.get(at) == Some(&'-') && !matches!(text.get(at + 1), None | Some(']')) {
            let (high, next) = class_character(text, at + 1)?;
            at = next;
            items.push(Item::Range(low, high));
        } else {
            items.push(Item::Range(fold(low, case), fold(low, case)));
        }
    }
}

fn class_character(text: &[char], at: usize) -> Option<(char, usize)> {
    match *text.get(at)? {
        '\\' => Some((*text.get(at + 1)?, at + 2)),
        character => Some((character, at + 1)),
    }
}

impl Item {
    fn has(&self, character: char, case: Case) -> bool {
        let within = |character: char| match self {
            Item::Range(low, high) => (*low..=*high).contains(&character),
            Item::Named(name) => is_named(name, character),
        };
        within(character)
            || case == Case::Ignored
                && (character.to_uppercase().any(within) || character.to_lowercase().any(within))
    }
}

fn is_named(name: &str, character: char) -> bool {
    match name {
        "alnum" => character.is_alphanumeric(),
        "alpha" => character.is_alphabetic(),
        "ascii" => character.is_ascii(),
        "blank" => character == ' ' || character == '\t',
        "cntrl" => character.is_control(),
        "digit" => character.is_numeric(),
        "graph" => !character.is_control() && !character.is_whitespace(),
        "lower" => character.is_lowercase(),
        "print" => !character.is_control(),
        "punct" => character.is_ascii_punctuation(),
        "space" => character.is_whitespace(),
        "upper" => character.is_uppercase(),
        "word" => character.is_alphanumeric() || character == '_',
        "xdigit" => character.is_ascii_hexdigit(),
        _ => false,
    }
}

struct Matcher<'a> {
    case: Case,
    partial: bool,
    budget: &'a Budget,
}

impl Matcher<'_> {
    /// Whether the parts match the whole path. Positions are kept as a set, so a pattern with many `**` costs no more than their product.
    fn path(&self, path: &[String], parts: &[Part]) -> bool {
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
            Part::Name(wanted) => {
                if self.case == Case::Kept || name.is_ascii() && wanted.is_ascii() {
                    self.case == Case::Kept && name == wanted
                        || self.case == Case::Ignored && name.eq_ignore_ascii_case(wanted)
                } else {
                    let mut folded = name.chars().map(|character| fold(character, self.case));
                    wanted.chars().eq(&mut folded)
                }
            }
            Part::Shape(nodes) => {
                let is_stars = || nodes.iter().all(|node| *node == Node::Star);
                if matches!(name, "." | "..") || name.is_empty() && is_stars() {
                    return false;
                }
                let text: Vec<char> = name
                    .chars()
                    .map(|character| fold(character, self.case))
                    .collect();
                let mut starts = vec![false; text.len() + 1];
                starts[0] = true;
                self.ends(nodes, &text, starts)[text.len()]
            }
        }
    }

    /// Where `nodes` may end when they start at one of `starts`.
    fn ends(&self, nodes: &[Node], text: &[char], starts: Vec<bool>) -> Vec<bool> {
        let mut here = starts;
        for (number, node) in nodes.iter().enumerate() {
            if !self.budget.spend(here.len() as u64) || !here.contains(&true) {
                return vec![false; here.len()];
            }
            here = match node {
                Node::Star => from_first(&here),
                Node::Group { kind: '!', choices } => {
                    let rest = &nodes[number + 1..];
                    self.ends_unless(choices, rest, text, &here)
                }
                Node::Group { kind, choices } => self.ends_of_group(*kind, choices, text, &here),
                single => {
                    let mut next = vec![false; here.len()];
                    for at in 0..text.len() {
                        next[at + 1] = here[at] && self.character(text[at], single);
                    }
                    next
                }
            };
        }
        here
    }

    fn character(&self, character: char, node: &Node) -> bool {
        match node {
            Node::Char(wanted) => character == *wanted,
            Node::Class { negated, items } => {
                items.iter().any(|item| item.has(character, self.case)) != *negated
            }
            _ => true,
        }
    }

    fn ends_of_group(
        &self,
        kind: char,
        choices: &[Vec<Node>],
        text: &[char],
        starts: &[bool],
    ) -> Vec<bool> {
        let once = |starts: &[bool]| {
            let mut ends = vec![false; starts.len()];
            for choice in choices {
                unite(&mut ends, &self.ends(choice, text, starts.to_vec()));
            }
            ends
        };
        let mut ends = once(starts);
        if matches!(kind, '*' | '+') {
            loop {
                let more = once(&ends);
                if !unite(&mut ends, &more) || self.budget.is_spent() {
                    break;
                }
            }
        }
        if matches!(kind, '?' | '*') {
            unite(&mut ends, starts);
        }
        ends
    }

    /// `!(…)`: anything, unless one of the choices followed by the rest of the pattern would match from there.
    fn ends_unless(
        &self,
        choices: &[Vec<Node>],
        rest: &[Node],
        text: &[char],
        starts: &[bool],
    ) -> Vec<bool> {
        let mut ends = vec![false; starts.len()];
        for at in (0..starts.len()).filter(|at| starts[*at]) {
            let mut only = vec![false; starts.len()];
            only[at] = true;
            let forbidden = choices.iter().any(|choice| {
                let behind = self.ends(choice, text, only.clone());
                self.ends(rest, text, behind)[text.len()]
            });
            if !forbidden {
                unite(&mut ends, &from_first(&only));
            }
        }
        ends
    }
}

/// Every position from the first that is set.
fn from_first(positions: &[bool]) -> Vec<bool> {
    let mut open = false;
    positions
        .iter()
        .map(|set| {
            open |= set;
            open
        })
        .collect()
}

/// Adds positions; answers whether that changed anything.
fn unite(positions: &mut [bool], more: &[bool]) -> bool {
    let mut changed = false;
    for (position, other) in positions.iter_mut().zip(more) {
        changed |= *other && !*position;
        *position |= other;
    }
    changed
}

/// Unfolds braces: `a{b,c}` is `ab` and `ac`, `{1..3}` is `1`, `2` and `3`. What is no such brace stays as it is.
fn unfold(text: &str) -> Result<Vec<String>, Refusal> {
    let characters: Vec<char> = text.chars().collect();
    let unfolded = unfold_braces(&characters, 0)?;
    Ok(unfolded.into_iter().map(String::from_iter).collect())
}

fn unfold_braces(text: &[char], depth: usize) -> Result<Vec<Vec<char>>, Refusal> {
    if depth > DEEPEST {
        return Err(Refusal("its braces are nested too deep"));
    }
    let mut done: Vec<Vec<char>> = vec![Vec::new()];
    let mut at = 0;
    while at < text.len() {
        let choices = match text[at] {
            '\\' if at + 1 < text.len() => {
                let choice = text[at..at + 2].to_vec();
                at += 2;
                vec![choice]
            }
            // `${` is no brace in minimatch.
            '$' if text.get(at + 1) == Some(&'{') => {
                at += 2;
                vec![vec!['$', '{']]
            }
            '{' => {
                let literal = || (vec![vec!['{']], 1);
                let (choices, length) = brace_choices(&text[at..], depth)?.unwrap_or_else(literal);
                at += length;
                choices
            }
            character => {
                at += 1;
                vec![vec![character]]
            }
        };
        if done.len() * choices.len() > MOST_UNFOLDED {
            return Err(Refusal("its braces unfold to more than 2,000 patterns"));
        }
        if let [choice] = &choices[..] {
            for text in &mut done {
                text.extend(choice);
            }
        } else {
            done = done
                .iter()
                .flat_map(|start| choices.iter().map(|choice| [&start[..], choice].concat()))
                .collect();
        }
    }
    Ok(done)
}

type Choices = Option<(Vec<Vec<char>>, usize)>;

/// What the brace at the front may be, and how many characters it takes; `None` when it is not one.
fn brace_choices(text: &[char], depth: usize) -> Result<Choices, Refusal> {
    let (mut level, mut at, mut commas) = (0_usize, 0, Vec::new());
    let end = loop {
        match text.get(at) {
            None => return Ok(None),
            Some('\\') => at += 1,
            Some('{') => level += 1,
            Some(',') if level == 1 => commas.push(at),
            Some('}') => {
                level -= 1;
                if level == 0 {
                    break at;
                }
            }
            _ => {}
        }
        at += 1;
    };
    if commas.is_empty() {
        return Ok(sequence(&text[1..end]).map(|choices| (choices, end + 1)));
    }
    commas.push(end);
    let mut choices = Vec::new();
    let mut start = 1;
    for comma in commas {
        choices.extend(unfold_braces(&text[start..comma], depth + 1)?);
        start = comma + 1;
    }
    Ok(Some((choices, end + 1)))
}

/// `1..3`, `a..c`, with a step or without.
fn sequence(text: &[char]) -> Option<Vec<Vec<char>>> {
    let text: String = text.iter().collect();
    let bounds: Vec<&str> = text.split("..").collect();
    let (low, high, step) = match bounds[..] {
        [low, high] => (low, high, "1"),
        [low, high, step] => (low, high, step),
        _ => return None,
    };
    let step = usize::try_from(step.parse::<i64>().ok()?.unsigned_abs())
        .ok()?
        .max(1);
    let single = |text: &str| {
        let mut characters = text.chars();
        let first = characters.next().filter(char::is_ascii_alphabetic)?;
        characters
            .next()
            .is_none()
            .then_some(i64::from(u32::from(first)))
    };
    let (from, to, is_letter) = match (low.parse::<i64>(), high.parse::<i64>()) {
        (Ok(from), Ok(to)) => (from, to, false),
        _ => (single(low)?, single(high)?, true),
    };
    let is_padded = |text: &str| {
        let digits = text.trim_start_matches('-');
        digits.len() > 1 && digits.starts_with('0')
    };
    let width = if !is_letter && (is_padded(low) || is_padded(high)) {
        low.len().max(high.len())
    } else {
        0
    };
    let spell = |value: i64| -> Vec<char> {
        if is_letter {
            u32::try_from(value)
                .ok()
                .and_then(char::from_u32)
                .into_iter()
                .collect()
        } else {
            format!("{value:0width$}").chars().collect()
        }
    };
    // One more than allowed is enough to be refused by the caller.
    let most = MOST_UNFOLDED + 1;
    let values: Vec<i64> = if from <= to {
        (from..=to).step_by(step).take(most).collect()
    } else {
        (to..=from).rev().step_by(step).take(most).collect()
    };
    Some(values.into_iter().map(spell).collect())
}
