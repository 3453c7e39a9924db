//! One part of a pattern between slashes: which names it matches.

use super::class::{self, Class};
use super::groups::{Piece, Tree};
use super::units::{Alphabet, canonical, spelled};
use super::{Budget, Case, Refusal};

/// Which names a part of a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// This one.
    Exact(String),
    /// Those that end so, whatever comes before: what `*` and `*.js` are for. The text is in small letters where case is ignored.
    Ending(String),
    /// Those of so many UTF-16 units that end so: what `?` and `??.js` are for.
    Units(usize, String),
    /// Those with a `.` in them.
    Dotted,
    /// Those that start with a `.`.
    Hidden,
    /// Those of this shape.
    Shape(Vec<Node>, Alphabet),
}

/// A piece of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A character, as it is compared.
    Char(u32),
    /// `?`
    Any,
    /// `*`; one that is alone matches no empty name.
    Star { takes_some: bool },
    /// `[…]`
    Class(Class),
    /// A class that nothing is in.
    Never,
    /// `@(…)`, `?(…)`, `+(…)`, `*(…)`.
    Group { kind: char, choices: Vec<Vec<Node>> },
    /// What `!(…)` may not start: one of the choices, to the end of the name.
    Unless(Vec<Vec<Node>>),
    /// The end of the name.
    End,
}

impl Name {
    /// Reads a part of a pattern.
    pub(super) fn read(text: &str, case: Case) -> Result<Name, Refusal> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let tree = Tree::read(&units)?;
        let mut reader = Reader {
            tree: &tree,
            alphabet: Alphabet::Units,
            is_magic: false,
            spells_doubtfully: false,
            nothing: None,
        };
        let nodes = reader.branch(0)?;
        let has_case = case == Case::Ignored && text.to_uppercase() != text.to_lowercase();
        if !reader.is_magic && !has_case {
            return Ok(Name::Exact(match reader.nothing {
                Some(nothing) => nothing,
                None => literal(&nodes),
            }));
        }
        let unreadable = Refusal("npm cannot read it");
        if reader.alphabet == Alphabet::Points && reader.spells_doubtfully {
            return Err(unreadable);
        }
        if reader
            .nothing
            .is_some_and(|nothing| !nothing.starts_with('@'))
        {
            return Err(unreadable);
        }
        if let Some(quick) = quick(text, case) {
            return Ok(quick);
        }
        Ok(Name::Shape(
            compared(nodes, case, reader.alphabet),
            reader.alphabet,
        ))
    }

    /// Whether it matches a name; it never does a name that is `.` or `..`, unless that is exactly what it says.
    pub(super) fn matches(&self, name: &str, case: Case, budget: &Budget) -> bool {
        let ends = |name: &str, end: &str| match case {
            Case::Kept => name.ends_with(end),
            Case::Ignored => {
                let is_plain = name.is_ascii() && end.is_ascii();
                let tail = name
                    .len()
                    .checked_sub(end.len())
                    .and_then(|at| name.get(at..));
                tail.is_some_and(|tail| is_plain && tail.eq_ignore_ascii_case(end))
                    || !is_plain && name.to_lowercase().ends_with(end)
            }
        };
        match self {
            Name::Exact(wanted) => name == wanted,
            Name::Ending(end) if end.is_empty() => !name.is_empty(),
            Name::Ending(end) => ends(name, end),
            Name::Units(count, end) => name.encode_utf16().count() == *count && ends(name, end),
            Name::Dotted => name.contains('.'),
            Name::Hidden => name.starts_with('.'),
            Name::Shape(nodes, alphabet) => {
                if !begins(nodes, name, case, *alphabet) {
                    return false;
                }
                let text: Vec<u32> = spelled(name, *alphabet);
                let compared: Vec<u32> = text
                    .iter()
                    .map(|character| canonical(*character, case, *alphabet))
                    .collect();
                let matcher = Matcher {
                    text: &text,
                    compared: &compared,
                    alphabet: *alphabet,
                    case,
                    budget,
                };
                let mut starts = vec![false; text.len() + 1];
                starts[0] = true;
                matcher.ends(nodes, starts)[text.len()]
            }
        }
    }
}

/// Whether a name begins with the characters that a shape begins with: few names do, and nothing is made for the others.
fn begins(nodes: &[Node], name: &str, case: Case, alphabet: Alphabet) -> bool {
    let mut units = name.encode_utf16().map(u32::from);
    let mut points = name.chars().map(u32::from);
    let mut next = || match alphabet {
        Alphabet::Units => units.next(),
        Alphabet::Points => points.next(),
    };
    let characters = nodes.iter().map_while(|node| match node {
        Node::Char(wanted) => Some(*wanted),
        _ => None,
    });
    for wanted in characters {
        let found = next().map(|found| canonical(found, case, alphabet));
        if found != Some(wanted) {
            return false;
        }
    }
    true
}

/// The forms that minimatch tests without a regular expression. They take the text as it is written, backslashes too.
fn quick(text: &str, case: Case) -> Option<Name> {
    let lower = |text: &str| match case {
        Case::Ignored => text.to_lowercase(),
        Case::Kept => text.to_owned(),
    };
    let is_plain = |rest: &str| !rest.contains(['+', '@', '!', '?', '*', '[', '(']);
    let behind_stars = text.trim_start_matches('*');
    if behind_stars.len() < text.len() && is_plain(behind_stars) {
        return Some(Name::Ending(lower(behind_stars)));
    }
    let behind_marks = text.trim_start_matches('?');
    if behind_marks.len() < text.len() && is_plain(behind_marks) {
        let count = text.encode_utf16().count();
        return Some(Name::Units(count, lower(behind_marks)));
    }
    if !text.ends_with('*') {
        return None;
    }
    match text.trim_matches('*') {
        "." if text.starts_with('*') => Some(Name::Dotted),
        "." => Some(Name::Hidden),
        _ => None,
    }
}

/// What nodes spell that are all characters.
fn literal(nodes: &[Node]) -> String {
    let units = nodes.iter().filter_map(|node| match node {
        Node::Char(unit) => u16::try_from(*unit).ok(),
        _ => None,
    });
    String::from_utf16_lossy(&units.collect::<Vec<_>>())
}

/// The nodes over an alphabet, their characters as they are compared.
fn compared(nodes: Vec<Node>, case: Case, alphabet: Alphabet) -> Vec<Node> {
    let all = |choices: Vec<Vec<Node>>| {
        let choices = choices.into_iter();
        choices
            .map(|choice| compared(choice, case, alphabet))
            .collect()
    };
    let mut result: Vec<Node> = Vec::new();
    for node in nodes {
        let node = match node {
            Node::Char(unit) => match result.last() {
                Some(Node::Char(high)) if alphabet == Alphabet::Points => {
                    match super::units::joined(*high, unit) {
                        Some(whole) => {
                            result.pop();
                            Node::Char(canonical(whole, case, alphabet))
                        }
                        None => Node::Char(canonical(unit, case, alphabet)),
                    }
                }
                _ => Node::Char(canonical(unit, case, alphabet)),
            },
            Node::Class(class) if alphabet == Alphabet::Points => Node::Class(class.in_points()),
            Node::Group { kind, choices } => Node::Group {
                kind,
                choices: all(choices),
            },
            Node::Unless(choices) => Node::Unless(all(choices)),
            other => other,
        };
        result.push(node);
    }
    result
}

/// Makes nodes of a tree.
struct Reader<'t> {
    tree: &'t Tree,
    alphabet: Alphabet,
    /// Whether more than one name can match.
    is_magic: bool,
    /// Whether a character occurs that JavaScript does not take with a backslash where properties are asked for.
    spells_doubtfully: bool,
    /// A group without any choice that would be the whole name: it stands for itself.
    nothing: Option<String>,
}

impl Reader<'_> {
    fn branch(&mut self, number: usize) -> Result<Vec<Node>, Refusal> {
        let tree = self.tree;
        let branch = &tree.branches[number];
        let Some(kind) = branch.kind else {
            return self.sequence(number);
        };
        let is_whole = tree.is_start(number) && tree.is_end(number);
        let (was_magic, was_doubtful) = (self.is_magic, self.spells_doubtfully);
        let mut choices = Vec::new();
        for piece in &branch.pieces {
            if let Piece::Branch(choice) = piece {
                let nodes = self.branch(*choice)?;
                if !(is_whole && nodes.is_empty()) {
                    choices.push(nodes);
                }
            }
        }
        if is_whole && kind != '!' && choices.iter().all(Vec::is_empty) {
            let nothing = String::from_utf16_lossy(&tree.text(number));
            self.is_magic = was_magic;
            self.nothing = Some(nothing);
            return Ok(vec![Node::Char(u32::from('@'))]);
        }
        self.is_magic = true;
        Ok(match kind {
            '!' if branch.is_empty => {
                self.spells_doubtfully = was_doubtful;
                vec![Node::Star { takes_some: true }]
            }
            '!' => vec![Node::Unless(choices), Node::Star { takes_some: false }],
            kind => vec![Node::Group { kind, choices }],
        })
    }

    fn sequence(&mut self, number: usize) -> Result<Vec<Node>, Refusal> {
        let tree = self.tree;
        let pieces = &tree.branches[number].pieces;
        let is_text = |piece: &Piece| matches!(piece, Piece::Text(_));
        let is_whole = tree.is_start(number) && tree.is_end(number);
        let takes_some = is_whole && pieces.iter().all(is_text);
        let mut nodes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.text(text, takes_some, &mut nodes),
                Piece::Branch(branch) => nodes.extend(self.branch(*branch)?),
            }
        }
        if tree.is_choice_of_negation(number) {
            nodes.push(Node::End);
        }
        Ok(nodes)
    }

    fn text(&mut self, text: &[u16], takes_some: bool, nodes: &mut Vec<Node>) {
        let is = |unit: u16, character: char| u32::from(unit) == u32::from(character);
        let is_stars = !text.is_empty() && text.iter().all(|unit| is(*unit, '*'));
        let mut at = 0;
        let mut in_star = false;
        while let Some(unit) = text.get(at).copied() {
            at += 1;
            let was_star = std::mem::replace(&mut in_star, is(unit, '*'));
            match unit {
                unit if is(unit, '*') => {
                    self.is_magic = true;
                    if !was_star {
                        let takes_some = takes_some && is_stars;
                        nodes.push(Node::Star { takes_some });
                    }
                }
                unit if is(unit, '\\') && at < text.len() => {
                    self.spells_doubtfully |= is(text[at], '!');
                    nodes.push(Node::Char(u32::from(text[at])));
                    at += 1;
                }
                unit if is(unit, '[') => {
                    let (read, length) = class::read(&text[at - 1..]);
                    at += length - 1;
                    nodes.push(self.class(read));
                }
                unit if is(unit, '?') => {
                    self.is_magic = true;
                    nodes.push(Node::Any);
                }
                unit => {
                    let is_space = char::from_u32(u32::from(unit)).is_some_and(char::is_whitespace);
                    self.spells_doubtfully |=
                        is_space || ['-', ',', '#'].iter().any(|other| is(unit, *other));
                    nodes.push(Node::Char(u32::from(unit)));
                }
            }
        }
    }

    fn class(&mut self, read: class::Read) -> Node {
        match read {
            class::Read::Bracket => Node::Char(u32::from('[')),
            class::Read::Single(unit) => Node::Char(u32::from(unit)),
            class::Read::Never => {
                self.is_magic = true;
                Node::Never
            }
            class::Read::Class(class, alphabet) => {
                self.is_magic = true;
                if alphabet == Alphabet::Points {
                    self.alphabet = alphabet;
                }
                Node::Class(class)
            }
        }
    }
}

/// Positions are kept as sets, so no pattern takes more time than their number for each of its nodes.
struct Matcher<'a> {
    text: &'a [u32],
    compared: &'a [u32],
    alphabet: Alphabet,
    case: Case,
    budget: &'a Budget,
}

impl Matcher<'_> {
    /// Where `nodes` may end when they start at one of `starts`.
    fn ends(&self, nodes: &[Node], starts: Vec<bool>) -> Vec<bool> {
        let mut here = starts;
        for node in nodes {
            if !self.budget.spend(here.len() as u64) || !here.contains(&true) {
                return vec![false; here.len()];
            }
            here = match node {
                Node::Star { takes_some } => from_first(&here, *takes_some),
                Node::Group { kind, choices } => self.ends_of_group(*kind, choices, &here),
                Node::Unless(choices) => self.unless(choices, &here),
                Node::Never => vec![false; here.len()],
                Node::End => {
                    let last = here.len() - 1;
                    (0..=last).map(|at| at == last && here[at]).collect()
                }
                single => {
                    let mut next = vec![false; here.len()];
                    for at in 0..self.text.len() {
                        next[at + 1] = here[at] && self.character(at, single);
                    }
                    next
                }
            };
        }
        here
    }

    fn character(&self, at: usize, node: &Node) -> bool {
        match node {
            Node::Char(wanted) => self.compared[at] == *wanted,
            Node::Class(class) => class.has(self.text[at], self.case, self.alphabet),
            _ => true,
        }
    }

    fn ends_of_group(&self, kind: char, choices: &[Vec<Node>], starts: &[bool]) -> Vec<bool> {
        let once = |starts: &[bool]| {
            let mut ends = vec![false; starts.len()];
            for choice in choices {
                unite(&mut ends, &self.ends(choice, starts.to_vec()));
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

    /// The starts from which none of the choices matches.
    fn unless(&self, choices: &[Vec<Node>], starts: &[bool]) -> Vec<bool> {
        let mut left = vec![false; starts.len()];
        for at in (0..starts.len()).filter(|at| starts[*at]) {
            let mut only = vec![false; starts.len()];
            only[at] = true;
            left[at] = !choices
                .iter()
                .any(|choice| self.ends(choice, only.clone()).contains(&true));
        }
        left
    }
}

/// Every position from the first that is set, or behind it.
fn from_first(positions: &[bool], takes_some: bool) -> Vec<bool> {
    let mut open = false;
    positions
        .iter()
        .map(|set| {
            let before = open;
            open |= set;
            if takes_some { before } else { open }
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
