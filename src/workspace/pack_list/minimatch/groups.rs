//! Groups in a name, `@(a|b)` and the like, as `minimatch` reads, flattens and closes them.
//!
//! It flattens groups within groups where it holds both for the same, and copies what stands behind a `!(…)` into its choices; what a
//! pattern means depends on where it does, so the same is done here, step by step.

use super::{DEEPEST, Refusal};

/// How deep groups are read; those further inside are characters.
const MOST_NESTED: usize = 2;

/// The most nodes of one name's tree: what stands behind each `!(…)` is copied into it.
const MOST_NODES: usize = 20_000;

/// A piece of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Vec<u16>),
    Branch(usize),
}

/// A sequence of pieces, or a group whose pieces are its choices.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    /// The group's sign; `None` for a sequence.
    pub(super) kind: Option<char>,
    pub(super) pieces: Vec<Piece>,
    /// Whether it was written as `!()`.
    pub(super) is_empty: bool,
    parent: Option<usize>,
    place: usize,
}

/// The groups of a name. The first branch is the whole.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) branches: Vec<Branch>,
    negations: Vec<usize>,
    is_filled: bool,
}

/// Where a reader stands: outside or inside `\` and `[…]`.
#[derive(Default)]
struct Quoting {
    escapes: bool,
    class_from: Option<usize>,
    is_negated: bool,
}

impl Quoting {
    /// Whether the unit before `at` is quoted, or begins to quote.
    fn takes(&mut self, unit: u16, at: usize) -> bool {
        let is = |character: char| u32::from(unit) == u32::from(character);
        if self.escapes || is('\\') {
            self.escapes = !self.escapes;
        } else if let Some(from) = self.class_from {
            if at == from + 1 {
                self.is_negated |= is('^') || is('!');
            } else if is(']') && !(at == from + 2 && self.is_negated) {
                self.class_from = None;
            }
        } else if is('[') {
            self.class_from = Some(at);
            self.is_negated = false;
        } else {
            return false;
        }
        true
    }
}

fn kind_of(unit: u16) -> Option<char> {
    let character = char::from_u32(u32::from(unit))?;
    matches!(character, '!' | '?' | '+' | '*' | '@').then_some(character)
}

/// Whether a group takes the choices of a group inside for its own; with `blank`, together with nothing as one more choice.
fn adopts(outer: char, inner: char, blank: bool) -> bool {
    let (plainly, with_blank) = match outer {
        '!' | '@' => ("@", "?"),
        '?' => ("?@", ""),
        '*' => ("*+?@", ""),
        '+' => ("+@", "?*"),
        _ => ("", ""),
    };
    if blank { with_blank } else { plainly }.contains(inner)
}

/// What a group becomes whose only choice is another group.
fn usurped(outer: char, inner: char) -> Option<char> {
    match (outer, inner) {
        ('!', '!') => Some('@'),
        ('?', '*' | '+') | ('+', '?' | '*') => Some('*'),
        ('@', inner) => Some(inner),
        _ => None,
    }
}

impl Tree {
    /// Reads a name.
    pub(super) fn read(text: &[u16]) -> Result<Tree, Refusal> {
        let mut tree = Tree {
            branches: Vec::new(),
            negations: Vec::new(),
            is_filled: false,
        };
        let root = tree.branch(None, None)?;
        tree.sequence(text, root)?;
        tree.flatten(root);
        tree.fill_negations()?;
        Ok(tree)
    }

    fn branch(&mut self, kind: Option<char>, parent: Option<usize>) -> Result<usize, Refusal> {
        if self.branches.len() == MOST_NODES {
            return Err(Refusal("it has too many groups"));
        }
        let number = self.branches.len();
        let place = parent.map_or(0, |parent| self.branches[parent].pieces.len());
        self.branches.push(Branch {
            kind,
            pieces: Vec::new(),
            is_empty: false,
            parent,
            place,
        });
        if kind == Some('!') && !self.is_filled {
            self.negations.push(number);
        }
        Ok(number)
    }

    fn push_text(&mut self, branch: usize, text: &mut Vec<u16>) {
        if !text.is_empty() {
            let text = Piece::Text(std::mem::take(text));
            self.branches[branch].pieces.push(text);
        }
    }

    fn sequence(&mut self, text: &[u16], branch: usize) -> Result<(), Refusal> {
        let (mut at, mut plain, mut quoting) = (0, Vec::new(), Quoting::default());
        while let Some(unit) = text.get(at).copied() {
            at += 1;
            if !quoting.takes(unit, at)
                && let Some(kind) = group_at(unit, text, at)
            {
                self.push_text(branch, &mut plain);
                let group = self.branch(Some(kind), Some(branch))?;
                at = self.group(text, group, at, 1, 1)?;
                self.branches[branch].pieces.push(Piece::Branch(group));
                continue;
            }
            plain.push(unit);
        }
        self.push_text(branch, &mut plain);
        Ok(())
    }

    /// Reads the group whose `(` is at `open`, to behind its `)`. `depth` is as minimatch counts it, `within` how deep it is.
    fn group(
        &mut self,
        text: &[u16],
        group: usize,
        open: usize,
        depth: usize,
        within: usize,
    ) -> Result<usize, Refusal> {
        if within > DEEPEST {
            return Err(Refusal("its groups are nested too deep"));
        }
        let own = self.branches[group].kind.unwrap_or_default();
        let (mut at, mut plain, mut quoting) = (open + 1, Vec::new(), Quoting::default());
        let mut choice = self.branch(None, Some(group))?;
        let mut choices = Vec::new();
        while let Some(unit) = text.get(at).copied() {
            at += 1;
            if quoting.takes(unit, at) {
                plain.push(unit);
                continue;
            }
            let inner = group_at(unit, text, at);
            let is_adopted =
                inner.is_some_and(|kind| adopts(own, kind, false) || adopts(own, kind, true));
            if let Some(kind) = inner.filter(|_| depth <= MOST_NESTED || is_adopted) {
                self.push_text(choice, &mut plain);
                let inner = self.branch(Some(kind), Some(choice))?;
                self.branches[choice].pieces.push(Piece::Branch(inner));
                let depth = depth + usize::from(!is_adopted);
                at = self.group(text, inner, at, depth, within + 1)?;
            } else if unit == u16::from(b'|') {
                self.push_text(choice, &mut plain);
                choices.push(Piece::Branch(choice));
                choice = self.branch(None, Some(group))?;
            } else if unit == u16::from(b')') {
                let branch = &mut self.branches[group];
                branch.is_empty = plain.is_empty() && branch.pieces.is_empty();
                self.push_text(choice, &mut plain);
                choices.push(Piece::Branch(choice));
                self.branches[group].pieces.extend(choices);
                return Ok(at);
            } else {
                plain.push(unit);
            }
        }
        let branch = &mut self.branches[group];
        branch.kind = None;
        branch.pieces = vec![Piece::Text(text[open - 1..].to_vec())];
        Ok(at)
    }

    /// The only piece of a sequence, when it is a group.
    fn only_group(&self, piece: &Piece) -> Option<(usize, char)> {
        let Piece::Branch(child) = piece else {
            return None;
        };
        let child = &self.branches[*child];
        match (child.kind, &child.pieces[..]) {
            (None, [Piece::Branch(inner)]) => Some((*inner, self.branches[*inner].kind?)),
            _ => None,
        }
    }

    fn flatten(&mut self, branch: usize) {
        const PASSES: usize = 10;
        let Some(_) = self.branches[branch].kind else {
            for piece in self.branches[branch].pieces.clone() {
                if let Piece::Branch(child) = piece {
                    self.flatten(child);
                }
            }
            return;
        };
        for _ in 0..PASSES {
            if !self.flatten_once(branch) {
                return;
            }
        }
    }

    fn flatten_once(&mut self, branch: usize) -> bool {
        let mut has_changed = false;
        let mut at = 0;
        while let Some(piece) = self.branches[branch].pieces.get(at).cloned() {
            if let Piece::Branch(child) = piece {
                self.flatten(child);
            }
            let own = self.branches[branch].kind.unwrap_or_default();
            if let Some((inner, kind)) = self.only_group(&piece) {
                if adopts(own, kind, false) {
                    self.adopt(branch, at, inner);
                    has_changed = true;
                } else if adopts(own, kind, true) {
                    let place = self.branches[inner].pieces.len();
                    self.branches.push(Branch {
                        kind: None,
                        pieces: vec![Piece::Text(Vec::new())],
                        is_empty: false,
                        parent: Some(inner),
                        place,
                    });
                    let blank = Piece::Branch(self.branches.len() - 1);
                    self.branches[inner].pieces.push(blank);
                    self.adopt(branch, at, inner);
                    has_changed = true;
                } else if let Some(kind) = usurped(own, kind)
                    && self.branches[branch].pieces.len() == 1
                {
                    self.adopt(branch, at, inner);
                    self.branches[branch].kind = Some(kind);
                    self.branches[branch].is_empty = false;
                    has_changed = true;
                }
            }
            at += 1;
        }
        has_changed
    }

    fn adopt(&mut self, branch: usize, at: usize, inner: usize) {
        let pieces = self.branches[inner].pieces.clone();
        for piece in &pieces {
            if let Piece::Branch(child) = piece {
                self.branches[*child].parent = Some(branch);
            }
        }
        self.branches[branch].pieces.splice(at..=at, pieces);
    }

    /// Copies what stands behind each `!(…)` into its choices: what is excluded is excluded as a whole.
    fn fill_negations(&mut self) -> Result<(), Refusal> {
        self.is_filled = true;
        while let Some(negation) = self.negations.pop() {
            if self.branches[negation].kind != Some('!') {
                continue;
            }
            let mut here = negation;
            while let Some(parent) = self.branches[here].parent {
                if self.branches[parent].kind.is_none() {
                    let from = self.branches[here].place + 1;
                    let behind = self.branches[parent]
                        .pieces
                        .get(from..)
                        .unwrap_or_default()
                        .to_vec();
                    self.fill(negation, &behind)?;
                }
                here = parent;
            }
        }
        Ok(())
    }

    fn fill(&mut self, negation: usize, behind: &[Piece]) -> Result<(), Refusal> {
        for piece in behind {
            for choice in self.branches[negation].pieces.clone() {
                if let Piece::Branch(choice) = choice {
                    self.copy_in(choice, piece)?;
                }
            }
        }
        Ok(())
    }

    fn copy_in(&mut self, branch: usize, piece: &Piece) -> Result<(), Refusal> {
        match piece {
            Piece::Text(text) => self.push_text(branch, &mut text.clone()),
            Piece::Branch(original) => {
                let kind = self.branches[*original].kind;
                let copy = self.branch(kind, Some(branch))?;
                for piece in self.branches[*original].pieces.clone() {
                    self.copy_in(copy, &piece)?;
                }
                self.branches[branch].pieces.push(Piece::Branch(copy));
            }
        }
        Ok(())
    }

    /// Whether a branch is where the name starts.
    pub(super) fn is_start(&self, branch: usize) -> bool {
        let Some(parent) = self.branches[branch].parent else {
            return true;
        };
        let before = self.branches[parent].pieces.iter();
        let is_negation = |piece: &Piece| matches!(piece, Piece::Branch(branch) if self.branches[*branch].kind == Some('!'));
        self.is_start(parent) && before.take(self.branches[branch].place).all(is_negation)
    }

    /// Whether a branch is where the name ends.
    pub(super) fn is_end(&self, branch: usize) -> bool {
        let Some(parent) = self.branches[branch].parent else {
            return true;
        };
        if self.is_choice_of_negation(branch) {
            return true;
        }
        let is_last = self.branches[branch].kind.is_none()
            || self.branches[branch].place + 1 == self.branches[parent].pieces.len();
        is_last && self.is_end(parent)
    }

    /// Whether a branch is in a `!(…)` itself.
    pub(super) fn is_choice_of_negation(&self, branch: usize) -> bool {
        let parent = self.branches[branch].parent;
        parent.is_some_and(|parent| self.branches[parent].kind == Some('!'))
    }

    /// A branch as it would be written.
    pub(super) fn text(&self, branch: usize) -> Vec<u16> {
        let branch = &self.branches[branch];
        let pieces = branch.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Branch(branch) => self.text(*branch),
        });
        match branch.kind {
            None => pieces.collect::<Vec<_>>().concat(),
            Some(kind) => {
                let mut text: Vec<u16> = kind.to_string().encode_utf16().collect();
                text.push(u16::from(b'('));
                text.extend(pieces.collect::<Vec<_>>().join(&u16::from(b'|')));
                text.push(u16::from(b')'));
                text
            }
        }
    }
}

fn group_at(unit: u16, text: &[u16], next: usize) -> Option<char> {
    kind_of(unit).filter(|_| text.get(next) == Some(&u16::from(b'(')))
}
