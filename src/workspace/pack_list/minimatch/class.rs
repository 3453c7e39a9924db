//! `[…]` in a name, and which characters it has.

use std::sync::LazyLock;

use regex::Regex;

use super::Case;
use super::units::{Alphabet, same_but_case};

/// Characters by their number, or by what Unicode calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Range(u32, u32),
    Named(usize),
}

/// A `[…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    is_negated: bool,
    /// What is meant.
    items: Vec<Item>,
    /// The names of which every other character is meant.
    others: Vec<usize>,
}

/// What stands at a `[`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    /// Only the character `[`.
    Bracket,
    /// A class that is one character.
    Single(u16),
    /// A class.
    Class(Class, Alphabet),
    /// A class that nothing can be in; npm takes the whole rest of the name for part of it.
    Never,
}

/// The name of a POSIX class, as JavaScript's pattern of Unicode properties, whether that needs whole code points, and whether all but these are meant.
const NAMED: [(&str, &str, bool, bool); 14] = [
    ("[:alnum:]", r"\p{L}\p{Nl}\p{Nd}", true, false),
    ("[:alpha:]", r"\p{L}\p{Nl}", true, false),
    ("[:ascii:]", r"\x00-\x7f", false, false),
    ("[:blank:]", r"\p{Zs}\t", true, false),
    ("[:cntrl:]", r"\p{Cc}", true, false),
    ("[:digit:]", r"\p{Nd}", true, false),
    ("[:graph:]", r"\p{Z}\p{C}", true, true),
    ("[:lower:]", r"\p{Ll}", true, false),
    ("[:print:]", r"\p{C}", true, false),
    ("[:punct:]", r"\p{P}", true, false),
    ("[:space:]", r"\p{Z}\t\r\n\x0b\x0c", true, false),
    ("[:upper:]", r"\p{Lu}", true, false),
    ("[:word:]", r"\p{L}\p{Nl}\p{Nd}\p{Pc}", true, false),
    ("[:xdigit:]", "A-Fa-f0-9", false, false),
];

static SETS: LazyLock<Vec<Option<Regex>>> = LazyLock::new(|| {
    let set = |properties: &str| Regex::new(&format!("^[{properties}]$")).ok();
    NAMED
        .iter()
        .map(|(_, properties, ..)| set(properties))
        .collect()
});

fn is_named(name: usize, character: u32) -> bool {
    let Some(character) = char::from_u32(character) else {
        return false;
    };
    let mut bytes = [0; 4];
    let text = character.encode_utf8(&mut bytes);
    SETS.get(name)
        .and_then(Option::as_ref)
        .is_some_and(|set| set.is_match(text))
}

/// Reads what stands at the `[` at the front of `text`; the number says how many units it takes.
pub(super) fn read(text: &[u16]) -> (Read, usize) {
    let unit = |at: usize| text.get(at).copied().map(u32::from);
    let is = |at: usize, character: char| unit(at) == Some(u32::from(character));
    let is_negated = is(1, '!') || is(1, '^');
    let first = 1 + usize::from(is_negated);
    let mut class = Class {
        is_negated,
        items: Vec::new(),
        others: Vec::new(),
    };
    let mut alphabet = Alphabet::Units;
    let mut at = first;
    let mut range_start: Option<u32> = None;
    loop {
        if is(at, ']') && at > first {
            break;
        }
        if is(at, '[')
            && let Some(name) = name_at(&text[at..])
        {
            if range_start.is_some() {
                return (Read::Never, text.len());
            }
            let (spelled, _, needs_points, means_others) = NAMED[name];
            at += spelled.len();
            if needs_points {
                alphabet = Alphabet::Points;
            }
            if means_others {
                class.others.push(name);
            } else {
                class.items.push(Item::Named(name));
            }
            continue;
        }
        if is(at, '\\') {
            at += 1;
        }
        let Some(character) = unit(at) else {
            return (Read::Bracket, 1);
        };
        if let Some(start) = range_start.take() {
            if character >= start {
                class.items.push(Item::Range(start, character));
            }
            at += 1;
        } else if is(at + 1, '-') && is(at + 2, ']') {
            let dash = u32::from('-');
            class.items.push(Item::Range(character, character));
            class.items.push(Item::Range(dash, dash));
            at += 2;
        } else if is(at + 1, '-') {
            range_start = Some(character);
            at += 2;
        } else {
            class.items.push(Item::Range(character, character));
            at += 1;
        }
    }
    at += 1;
    let read = match &class.items[..] {
        [] if class.others.is_empty() => return (Read::Never, text.len()),
        [Item::Range(low, high)] if low == high && class.others.is_empty() && !is_negated => {
            u16::try_from(*low).map_or(Read::Never, Read::Single)
        }
        _ => Read::Class(class, alphabet),
    };
    (read, at)
}

fn name_at(text: &[u16]) -> Option<usize> {
    NAMED.iter().position(|(spelled, ..)| {
        text.iter()
            .copied()
            .take(spelled.len())
            .eq(spelled.encode_utf16())
    })
}

impl Class {
    /// The class over whole code points: two halves of one side by side are one.
    pub(super) fn in_points(mut self) -> Class {
        let mut items: Vec<Item> = Vec::new();
        for item in self.items {
            if let (Some(Item::Range(high, _)), Item::Range(low, _)) = (items.last(), &item)
                && let Some(whole) = super::units::joined(*high, *low)
            {
                items.pop();
                items.push(Item::Range(whole, whole));
            } else {
                items.push(item);
            }
        }
        self.items = items;
        self
    }

    pub(super) fn has(&self, character: u32, case: Case, alphabet: Alphabet) -> bool {
        let any = |test: &dyn Fn(u32) -> bool| same_but_case(character, case, alphabet).any(test);
        let is_item = any(&|character| {
            self.items.iter().any(|item| match item {
                Item::Range(low, high) => (*low..=*high).contains(&character),
                Item::Named(name) => is_named(*name, character),
            })
        });
        let is_other = any(&|character| self.others.iter().any(|name| is_named(*name, character)));
        match (self.items.is_empty(), self.others.is_empty()) {
            (false, true) => is_item != self.is_negated,
            (true, false) => is_other == self.is_negated,
            _ => is_item != self.is_negated || is_other == self.is_negated,
        }
    }
}
