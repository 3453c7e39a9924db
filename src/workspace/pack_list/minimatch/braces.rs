//! Braces, as `brace-expansion` unfolds them: `a{b,c}` is `ab` and `ac`, `{1..3}` is `1`, `2` and `3`. What is no such brace stays.

use super::{DEEPEST, Refusal};

/// The most patterns that braces in one may unfold to.
const MOST_UNFOLDED: usize = 2_000;

/// The most characters of all that one pattern unfolds to.
const MOST_CHARACTERS: usize = 1 << 20;

/// A character of a pattern, and whether a backslash before it kept it from meaning anything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sign {
    character: char,
    is_kept: bool,
}

/// All that a pattern unfolds to, each once.
pub(super) fn unfold(text: &str) -> Result<Vec<String>, Refusal> {
    if !has_brace(text) {
        return Ok(vec![text.to_owned()]);
    }
    let mut signs = signs(text);
    if text.starts_with("{}") {
        for sign in &mut signs[..2] {
            sign.is_kept = true;
        }
    }
    let mut unfolded: Vec<String> = Vec::new();
    for one in expand(&signs, true, 0)? {
        let text: String = one.iter().map(|sign| sign.character).collect();
        if !unfolded.contains(&text) {
            unfolded.push(text);
        }
    }
    Ok(unfolded)
}

/// Whether a `{` has a `}` somewhere behind it; without one, backslashes are not looked at either.
fn has_brace(text: &str) -> bool {
    match (text.find('{'), text.rfind('}')) {
        (Some(open), Some(close)) => open < close,
        _ => false,
    }
}

fn signs(text: &str) -> Vec<Sign> {
    let mut signs = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        match next.filter(|next| character == '\\' && matches!(next, '\\' | '{' | '}' | ',' | '.'))
        {
            Some(next) => {
                characters.next();
                signs.push(Sign {
                    character: next,
                    is_kept: true,
                });
            }
            None => signs.push(Sign {
                character,
                is_kept: false,
            }),
        }
    }
    signs
}

fn is(sign: Sign, character: char) -> bool {
    sign.character == character && !sign.is_kept
}

/// The outermost pair of braces that comes first: `{` and its `}`.
fn balanced(text: &[Sign]) -> Option<(usize, usize)> {
    let mut open = Vec::new();
    let mut widest: Option<(usize, usize)> = None;
    for (at, sign) in text.iter().enumerate() {
        if is(*sign, '{') {
            open.push(at);
        } else if is(*sign, '}')
            && let Some(start) = open.pop()
        {
            if open.is_empty() {
                return Some((start, at));
            }
            if widest.is_none_or(|(left, _)| start < left) {
                widest = Some((start, at));
            }
        }
    }
    widest
}

/// Every start with every end behind it; empty results go where bash drops them.
fn combined(
    starts: &[Vec<Sign>],
    between: &[Sign],
    ends: &[Vec<Sign>],
    drops_empty: bool,
) -> Result<Vec<Vec<Sign>>, Refusal> {
    let mut all = Vec::new();
    let mut characters = 0;
    for start in starts {
        for end in ends {
            let one = [&start[..], between, end].concat();
            if drops_empty && one.is_empty() {
                continue;
            }
            characters += one.len();
            if all.len() == MOST_UNFOLDED || characters > MOST_CHARACTERS {
                return Err(Refusal("its braces unfold to more than 2,000 patterns"));
            }
            all.push(one);
        }
    }
    Ok(all)
}

fn expand(text: &[Sign], is_top: bool, depth: usize) -> Result<Vec<Vec<Sign>>, Refusal> {
    if depth > DEEPEST {
        return Err(Refusal("its braces are nested too deep"));
    }
    let nothing = [Vec::new()];
    let mut text = text.to_vec();
    let mut is_top = is_top;
    let mut done = vec![Vec::new()];
    let mut drops_empty = false;
    let mut is_first = true;
    loop {
        let Some((open, close)) = balanced(&text) else {
            return combined(&done, &text, &nothing, drops_empty);
        };
        let (before, body, behind) = (&text[..open], &text[open + 1..close], &text[close + 1..]);
        let is_last = behind.is_empty();
        if before.last().is_some_and(|sign| sign.character == '$') {
            done = combined(&done, &text[..=close], &nothing, drops_empty && is_last)?;
            is_first = false;
        } else {
            let sequence = sequence(body)?;
            if sequence.is_none() && !body.iter().any(|sign| is(*sign, ',')) {
                if means_set_behind(behind) {
                    text[close].is_kept = true;
                    is_top = true;
                    continue;
                }
                return combined(&done, &text, &nothing, drops_empty);
            }
            if is_first {
                drops_empty = is_top && sequence.is_none();
                is_first = false;
            }
            let values = match sequence {
                Some(values) => values,
                None => set(body, depth)?,
            };
            done = combined(&done, before, &values, drops_empty && is_last)?;
        }
        if is_last {
            return Ok(done);
        }
        text.drain(..=close);
    }
}

/// `{a},b}`: what looks like the end of a brace is none, because a comma and another end follow.
fn means_set_behind(behind: &[Sign]) -> bool {
    let comma = (0..behind.len())
        .find(|at| is(behind[*at], ',') && behind.get(at + 1).is_some_and(|next| !is(*next, ',')));
    comma.is_some_and(|comma| behind[comma + 1..].iter().any(|sign| is(*sign, '}')))
}

/// The choices of `{a,b}`; a single one that holds braces itself keeps its own: `{{a,b}}` is `{a}` and `{b}`.
fn set(body: &[Sign], depth: usize) -> Result<Vec<Vec<Sign>>, Refusal> {
    let parts = comma_parts(body);
    if let [only] = &parts[..] {
        let brace = |character| Sign {
            character,
            is_kept: false,
        };
        let embraced = expand(only, false, depth + 1)?.into_iter();
        return Ok(embraced
            .map(|one| [&[brace('{')], &one[..], &[brace('}')]].concat())
            .collect());
    }
    let mut values = Vec::new();
    for part in parts {
        values.extend(expand(&part, false, depth + 1)?);
        if values.len() > MOST_UNFOLDED {
            return Err(Refusal("its braces unfold to more than 2,000 patterns"));
        }
    }
    Ok(values)
}

/// Divides at the commas that stand in no inner brace.
fn comma_parts(text: &[Sign]) -> Vec<Vec<Sign>> {
    let mut parts: Vec<Vec<Sign>> = vec![Vec::new()];
    let mut rest = text;
    loop {
        let pair = balanced(rest);
        let outside = pair.map_or(rest, |(open, _)| &rest[..open]);
        for sign in outside {
            if is(*sign, ',') {
                parts.push(Vec::new());
            } else if let Some(last) = parts.last_mut() {
                last.push(*sign);
            }
        }
        let Some((open, close)) = pair else {
            return parts;
        };
        if let Some(last) = parts.last_mut() {
            last.extend(&rest[open..=close]);
        }
        rest = &rest[close + 1..];
        if rest.is_empty() {
            return parts;
        }
    }
}

/// `1..3`, `a..c`, with a step or without; `None` for anything else.
fn sequence(body: &[Sign]) -> Result<Option<Vec<Vec<Sign>>>, Refusal> {
    if body.iter().any(|sign| sign.is_kept) {
        return Ok(None);
    }
    let text: String = body.iter().map(|sign| sign.character).collect();
    let bounds: Vec<&str> = text.split("..").collect();
    let (low, high, step) = match bounds[..] {
        [low, high] => (low, high, "1"),
        [low, high, step] => (low, high, step),
        _ => return Ok(None),
    };
    let is_number = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_letter =
        |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let are_letters = is_letter(low) && is_letter(high);
    if !(is_number(step) && (are_letters || is_number(low) && is_number(high))) {
        return Ok(None);
    }
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|_| Refusal("a number in its braces is too large"))
    };
    let bound = |text: &str| match text.bytes().next() {
        Some(letter) if are_letters => Ok(i64::from(letter)),
        _ => number(text),
    };
    let step = usize::try_from(number(step)?.unsigned_abs().max(1))
        .map_err(|_| Refusal("a number in its braces is too large"))?;
    let (from, to) = (bound(low)?, bound(high)?);
    // One more than allowed is enough to be refused by the caller.
    let most = MOST_UNFOLDED + 1;
    let values: Vec<i64> = if from <= to {
        (from..=to).step_by(step).take(most).collect()
    } else {
        (to..=from).rev().step_by(step).take(most).collect()
    };
    let is_padded = bounds.iter().any(|text| {
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit()
    });
    let width = if is_padded {
        low.len().max(high.len())
    } else {
        0
    };
    Ok(Some(
        values
            .into_iter()
            .map(|value| spelled(value, width, are_letters))
            .collect(),
    ))
}

fn spelled(value: i64, width: usize, is_letter: bool) -> Vec<Sign> {
    let text = match u32::try_from(value).ok().and_then(char::from_u32) {
        // A range of letters of both cases passes the backslash, which stands for nothing.
        Some('\\') if is_letter => String::new(),
        Some(letter) if is_letter => letter.to_string(),
        _ => format!("{value:0width$}"),
    };
    text.chars()
        .map(|character| Sign {
            character,
            is_kept: false,
        })
        .collect()
}
