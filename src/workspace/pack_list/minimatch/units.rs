//! Characters as JavaScript counts and compares them: in UTF-16 units, or in code points where a pattern asks for properties of those.

use super::Case;

/// What a name is made of for a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// UTF-16 units.
    Units,
    /// Code points.
    Points,
}

/// The characters of a name.
pub(super) fn spelled(name: &str, alphabet: Alphabet) -> Vec<u32> {
    match alphabet {
        Alphabet::Units => name.encode_utf16().map(u32::from).collect(),
        Alphabet::Points => name.chars().map(u32::from).collect(),
    }
}

/// The code point that two UTF-16 units are together, where they are the halves of one.
pub(super) fn joined(high: u32, low: u32) -> Option<u32> {
    let are_halves = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
    are_halves.then(|| 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}

fn single(mut characters: impl Iterator<Item = char>) -> Option<u32> {
    let first = characters.next()?;
    characters.next().is_none().then_some(u32::from(first))
}

/// A character as it is compared.
pub(super) fn canonical(character: u32, case: Case, alphabet: Alphabet) -> u32 {
    let Some(real) = char::from_u32(character).filter(|_| case == Case::Ignored) else {
        return character;
    };
    if real.is_ascii() {
        return u32::from(real.to_ascii_uppercase());
    }
    let upper = single(real.to_uppercase()).unwrap_or(character);
    match alphabet {
        // A character beyond ASCII never becomes one of ASCII, and none becomes two.
        Alphabet::Units if upper < 0x80 => character,
        Alphabet::Units | Alphabet::Points => upper_of_points(upper, alphabet),
    }
}

/// Where only Unicode's folding takes characters together that have capitals of their own.
fn upper_of_points(character: u32, alphabet: Alphabet) -> u32 {
    match (alphabet, character) {
        (Alphabet::Points, 0x1e9e) => 0xdf,
        (Alphabet::Points, 0x2126) => 0x3a9,
        (Alphabet::Points, 0x212a) => u32::from('K'),
        (Alphabet::Points, 0x212b) => 0xc5,
        _ => character,
    }
}

/// Every character that counts as the same.
pub(super) fn same_but_case(
    character: u32,
    case: Case,
    alphabet: Alphabet,
) -> impl Iterator<Item = u32> {
    const APART: [u32; 6] = [0x17f, 0x1e9e, 0xdf, 0x2126, 0x212a, 0x212b];
    let canon = canonical(character, case, alphabet);
    let mut all = vec![character];
    if case == Case::Ignored {
        let real = char::from_u32(character);
        let upper = real.and_then(|real| single(real.to_uppercase()));
        let lower = real.and_then(|real| single(real.to_lowercase()));
        let capital = char::from_u32(canon);
        let small = capital.and_then(|capital| single(capital.to_lowercase()));
        let candidates = [upper, lower, Some(canon), small].into_iter().flatten();
        all.extend(
            candidates
                .chain(APART)
                .filter(|other| canonical(*other, case, alphabet) == canon),
        );
    }
    all.into_iter()
}
