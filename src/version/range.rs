//! npm's ranges: which versions a dependency's text allows.
//!
//! A direct implementation of what `node-semver` 7 does with `new Range(text)` in its strict form. npm defines a range by a row of
//! rewritings of its text (hyphen ranges, spaces after operators, `~`, `^`, partial versions, `*`), and oddities such as `1*.2.3`
//! being `1.2.3` follow from their order. The same order is kept here, so that we accept, refuse and match what npm does.

use crate::explain::{Exit, Failure, quoted};

use super::Version;

/// The largest number that npm holds in a version: 2^53 - 1.
const LARGEST_NUMBER: u64 = (1 << 53) - 1;
/// npm refuses a longer version, also one inside a range.
const LONGEST_VERSION: usize = 256;
/// Ours: a longer range is a mistake or an attack.
const LONGEST_RANGE: usize = 2048;
/// Ours: more alternatives than this are a mistake or an attack.
const MOST_ALTERNATIVES: usize = 200;

/// A parsed range. Two ranges are equal when they come down to the same comparators in the same order.
///
/// ```
/// use pkgs_action::version::{Version, range::Range};
/// let contains = |range: &str, version: &str| Range::parse(range).unwrap().contains(&Version::parse(version).unwrap());
/// assert!(contains("^1.2.3", "1.9.0"));
/// assert!(contains("1.x || >=2.5.0 <3", "2.6.0"));
/// assert!(contains("1.2.3 - 2.3", "2.3.9"));
/// assert!(!contains("*", "1.0.0-beta.1"));
/// assert!(contains("^1.0.0-beta.1", "1.0.0-beta.2"));
/// assert!(!contains("^1.0.0-beta.1", "1.1.0-beta.2"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    alternatives: Vec<Alternative>,
    prereleases: Prereleases,
}

/// Which prereleases a range contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prereleases {
    /// Those whose `major.minor.patch` a prerelease in the range names.
    Named,
    /// All within its bounds.
    All,
}

impl Prereleases {
    /// The prerelease of a lower bound that was written without its last numbers.
    fn lowest(self) -> &'static str {
        match self {
            Prereleases::Named => "",
            Prereleases::All => "0",
        }
    }
}

/// Comparators that must all hold; without any, everything holds.
type Alternative = Vec<Comparator>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    version: semver::Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Range {
    /// Reads a range as npm does, strictly.
    ///
    /// # Errors
    /// `version::range`, exit 3, when npm would refuse the text, when it has more than 2048 characters or more than 200
    /// alternatives.
    pub fn parse(text: &str) -> Result<Range, Failure> {
        Range::read(text, Prereleases::Named)
    }

    /// Reads a range that contains every prerelease within its bounds: npm's `includePrerelease`, by which yarn links workspaces.
    ///
    /// ```
    /// use pkgs_action::version::{Version, range::Range};
    /// let contains = |range: &str, version: &str| Range::parse_with_prereleases(range).unwrap().contains(&Version::parse(version).unwrap());
    /// assert!(contains("^1.0.0", "1.1.0-beta.1"));
    /// assert!(contains("1.x", "1.0.0-beta.1"));
    /// assert!(!contains("^1.0.0", "1.0.0-beta.1"));
    /// assert!(!contains("^1.0.0", "2.0.0-beta.1"));
    /// ```
    ///
    /// # Errors
    /// As [`Range::parse`].
    pub fn parse_with_prereleases(text: &str) -> Result<Range, Failure> {
        Range::read(text, Prereleases::All)
    }

    fn read(text: &str, prereleases: Prereleases) -> Result<Range, Failure> {
        if text.chars().nth(LONGEST_RANGE).is_some() {
            return Err(refused(text, "it is longer than 2048 characters"));
        }
        let squeezed = squeeze(text);
        if squeezed.split("||").count() > MOST_ALTERNATIVES {
            return Err(refused(text, "it has more than 200 alternatives"));
        }
        let alternatives = alternatives(&squeezed, prereleases)
            .map_err(|part| refused(text, &format!("npm cannot read {}", quoted(&part))))?;
        Ok(Range {
            alternatives,
            prereleases,
        })
    }

    /// Whether npm would take `version` for this range: of [`Range::parse`] a prerelease only if the range names one of the same
    /// `major.minor.patch`.
    #[must_use]
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| {
            holds(alternative, version)
                && (!version.is_prerelease()
                    || self.prereleases == Prereleases::All
                    || alternative
                        .iter()
                        .any(|comparator| comparator.names_prerelease_of(version)))
        })
    }
}

fn refused(text: &str, rule: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "version::range",
        format!("{} is not a range: {rule}", quoted(text)),
    )
    .hint("write it as npm does, for example ^1.2.3, ~1.2.3, 1.x or >=1.2.3 <2.0.0")
}

fn holds(alternative: &[Comparator], version: &Version) -> bool {
    alternative
        .iter()
        .all(|comparator| comparator.allows(version))
}

impl Comparator {
    /// `None` if npm cannot hold such a version. A number that did not fit into 64 bits comes as the largest that does.
    fn new(operator: Operator, numbers: [u64; 3], prerelease: &str) -> Option<Comparator> {
        let [major, minor, patch] = numbers;
        if numbers.into_iter().any(|number| number > LARGEST_NUMBER) {
            return None;
        }
        let mut version = semver::Version::new(major, minor, patch);
        version.pre = semver::Prerelease::new(prerelease).ok()?;
        (version.to_string().len() <= LONGEST_VERSION).then_some(Comparator { operator, version })
    }

    fn allows(&self, version: &Version) -> bool {
        let version = &version.0;
        match self.operator {
            Operator::Equal => *version == self.version,
            Operator::Less => *version < self.version,
            Operator::LessOrEqual => *version <= self.version,
            Operator::Greater => *version > self.version,
            Operator::GreaterOrEqual => *version >= self.version,
        }
    }

    fn names_prerelease_of(&self, version: &Version) -> bool {
        !self.version.pre.is_empty()
            && (self.version.major, self.version.minor, self.version.patch)
                == (version.major(), version.minor(), version.patch())
    }

    /// Whether nothing can satisfy it: `<0.0.0-0`.
    fn is_empty(&self) -> bool {
        self.operator == Operator::Less
            && (self.version.major, self.version.minor, self.version.patch) == (0, 0, 0)
            && self.version.pre.as_str() == "0"
    }
}

/// All alternatives of a squeezed text; the error is the part that cannot be read.
fn alternatives(squeezed: &str, prereleases: Prereleases) -> Result<Vec<Alternative>, String> {
    let mut all = squeezed
        .split("||")
        .map(|part| alternative(part.trim_matches(' '), prereleases))
        .collect::<Result<Vec<_>, _>>()?;
    let impossible =
        |alternative: &Alternative| alternative.first().is_some_and(Comparator::is_empty);
    if all.iter().all(impossible) {
        all.truncate(1);
    } else {
        all.retain(|alternative| !impossible(alternative));
    }
    // npm lets "anything" swallow its neighbours, with the prereleases that they name: `* || 1.0.0-a` does not contain `1.0.0-a`.
    if all.iter().any(Vec::is_empty) {
        return Ok(vec![Alternative::new()]);
    }
    Ok(all)
}

fn alternative(text: &str, prereleases: Prereleases) -> Result<Alternative, String> {
    let text = prepared(text, prereleases);
    let mut comparators = Alternative::new();
    for word in text.split(' ') {
        for comparator in expanded(word, prereleases).ok_or_else(|| word.to_owned())? {
            if !comparators.contains(&comparator) {
                comparators.push(comparator);
            }
        }
    }
    if let Some(empty) = comparators.iter().position(Comparator::is_empty) {
        return Ok(vec![comparators.swap_remove(empty)]);
    }
    Ok(comparators)
}

/// The text of an alternative with every comparator in one word: no build metadata, no hyphen range, no space after an operator.
fn prepared(text: &str, prereleases: Prereleases) -> String {
    let text = without_build(text);
    let text = hyphen(&text, prereleases).unwrap_or(text);
    without_space_after_caret(&without_space_after_tilde(&without_space_after_operators(
        &text,
    )))
}

/// What JavaScript's `\s` and `trim` take for white space; Rust's own notion has U+0085 and lacks U+FEFF.
fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t'..='\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{feff}'
    )
}

/// The text trimmed, each run of white space one space.
fn squeeze(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !squeezed.is_empty() {
            squeezed.push(' ');
        }
        squeezed.push_str(word);
    }
    squeezed
}

/// How many bytes of `text` from its start consist of letters, digits and `-`.
fn word_length(text: &str) -> usize {
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        .count()
}

/// How many bytes the build metadata takes that `text`, which starts with `+`, starts with; 0 if it is none.
fn build_length(text: &str) -> usize {
    let mut end = 0;
    loop {
        // The `+` or the `.` before the word is one byte.
        let word = text.get(end + 1..).map_or(0, word_length);
        if word == 0 {
            return end;
        }
        end += 1 + word;
        if !text[end..].starts_with('.') {
            return end;
        }
    }
}

fn without_build(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(plus) = rest.find('+') {
        let build = build_length(&rest[plus..]);
        // A `+` without metadata stays, and is refused later.
        let kept_until = if build == 0 { plus + 1 } else { plus };
        kept.push_str(&rest[..kept_until]);
        rest = &rest[kept_until + build..];
    }
    kept.push_str(rest);
    kept
}

/// `a - b` as two comparators; `None` if the text is no hyphen range.
fn hyphen(text: &str, prereleases: Prereleases) -> Option<String> {
    let (from, to) = text.split_once(" - ")?;
    let from = from.strip_prefix(' ').unwrap_or(from);
    let to = to.strip_suffix(' ').unwrap_or(to);
    let (first, last) = (Partial::parse(from)?, Partial::parse(to)?);
    let lowest = match prereleases {
        Prereleases::Named => "",
        Prereleases::All => "-0",
    };
    let lower = match (first.major, first.minor, first.patch) {
        (None, _, _) => String::new(),
        (Some(major), None, _) => format!(">={major}.0.0{lowest}"),
        (Some(major), Some(minor), None) => format!(">={major}.{minor}.0{lowest}"),
        // As written, so that what a full version may not carry is refused later.
        _ if first.prerelease.is_empty() => format!(">={from}{lowest}"),
        _ => format!(">={from}"),
    };
    let upper = match (last.major, last.minor, last.patch) {
        (None, _, _) => String::new(),
        (Some(major), None, _) => format!("<{}.0.0-0", major.saturating_add(1)),
        (Some(major), Some(minor), None) => format!("<{major}.{}.0-0", minor.saturating_add(1)),
        (Some(major), Some(minor), Some(patch)) if !last.prerelease.is_empty() => {
            format!("<={major}.{minor}.{patch}-{}", last.prerelease)
        }
        (Some(major), Some(minor), Some(patch)) if prereleases == Prereleases::All => {
            format!("<{major}.{minor}.{}-0", patch.saturating_add(1))
        }
        _ => format!("<={to}"),
    };
    Some(format!("{lower} {upper}").trim_matches(' ').to_owned())
}

/// `> 1.2.3` as `>1.2.3`: drops one space between an operator and the version that follows it.
fn without_space_after_operators(text: &str) -> String {
    let bytes = text.as_bytes();
    let skip = |at: usize, set: &[u8]| {
        at + usize::from(bytes.get(at).is_some_and(|byte| set.contains(byte)))
    };
    let mut joined = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let operator_end = skip(skip(skip(at, b" "), b"<>"), b"=");
        let prefix = skip(operator_end, b" ");
        let version = text.len() - text[prefix..].trim_start_matches(['v', '=', ' ']).len();
        if bytes
            .get(version)
            .is_some_and(|byte| byte.is_ascii_digit() || b"xX*".contains(byte))
        {
            let length = text[version..]
                .bytes()
                .take_while(|byte| byte.is_ascii_alphanumeric() || b"-.*".contains(byte))
                .count();
            joined.push_str(&text[at..operator_end]);
            joined.push_str(&text[prefix..version + length]);
            at = version + length;
        } else {
            joined.push(character);
            at += character.len_utf8();
        }
    }
    joined
}

/// `~ 1.2.3` and `~> 1.2.3` as `~1.2.3`.
fn without_space_after_tilde(text: &str) -> String {
    let mut pieces = text.split('~');
    let mut joined = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        joined.push('~');
        joined.push_str(
            piece
                .strip_prefix("> ")
                .or_else(|| piece.strip_prefix(' '))
                .unwrap_or(piece),
        );
    }
    joined
}

/// `^ 1.2.3` as `^1.2.3`.
fn without_space_after_caret(text: &str) -> String {
    text.replace("^ ", "^")
}

/// A version of which parts may be missing or `x`. A number that does not fit into 64 bits is the largest that does.
struct Partial<'a> {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    prerelease: &'a str,
}

impl<'a> Partial<'a> {
    /// Reads the whole of `text`, before which any number of `v`, `=` and spaces may stand.
    fn parse(text: &'a str) -> Option<Partial<'a>> {
        let text = text.trim_start_matches(['v', '=', ' ']);
        let (numbers, prerelease) = match text.split_once('-') {
            Some((numbers, prerelease)) => (numbers, Some(prerelease)),
            None => (text, None),
        };
        let fields: Vec<&str> = numbers.split('.').take(4).collect();
        let [major, minor, patch] = match fields[..] {
            [major] => [major, "x", "x"],
            [major, minor] => [major, minor, "x"],
            [major, minor, patch] => [major, minor, patch],
            _ => return None,
        };
        if let Some(prerelease) = prerelease
            && (fields.len() < 3 || !prerelease.split('.').all(is_identifier))
        {
            return None;
        }
        let is_readable = |field| is_any(field) || is_number(field);
        if ![major, minor, patch].into_iter().all(is_readable) {
            return None;
        }
        // A number too large for 64 bits is far above what npm holds.
        let number = |field: &str| (!is_any(field)).then(|| field.parse().unwrap_or(u64::MAX));
        Some(Partial {
            major: number(major),
            minor: number(minor),
            patch: number(patch),
            prerelease: prerelease.unwrap_or_default(),
        })
    }

    /// The numbers, when none is missing.
    fn full(&self) -> Option<[u64; 3]> {
        Some([self.major?, self.minor?, self.patch?])
    }

    /// Whether a number follows an `x`. A missing part counts as `x`.
    fn is_out_of_order(&self) -> bool {
        (self.major.is_none() && self.minor.is_some())
            || (self.minor.is_none() && self.patch.is_some())
    }
}

fn is_any(field: &str) -> bool {
    matches!(field, "x" | "X" | "*")
}

/// Whether npm reads `text` as a number; its limit on digits is one of its guards against slow regular expressions.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || (!text.is_empty() && !text.starts_with('0') && text.len() <= 257))
}

/// Whether `text` is one identifier of a prerelease, within the lengths that npm's guards allow.
fn is_identifier(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    is_number(text)
        || (word_length(text) == text.len()
            && digits < text.len()
            && digits <= 256
            && text.len() - digits <= 251)
}

/// The operator at the start of a word, and what follows it.
fn operator(word: &str) -> (Operator, &str) {
    const OPERATORS: [(&str, Operator); 5] = [
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("=", Operator::Equal),
    ];
    OPERATORS
        .into_iter()
        .find_map(|(text, operator)| Some((operator, word.strip_prefix(text)?)))
        .unwrap_or((Operator::Equal, word))
}

/// What one word comes down to; `None` if npm cannot read it.
fn expanded(word: &str, prereleases: Prereleases) -> Option<Alternative> {
    let lowest = prereleases.lowest();
    if let Some(partial) = word.strip_prefix('^').and_then(Partial::parse) {
        return caret(&partial, lowest);
    }
    if let Some(partial) = word
        .strip_prefix('~')
        .map(|rest| rest.strip_prefix('>').unwrap_or(rest))
        .and_then(Partial::parse)
    {
        return tilde(&partial, lowest);
    }
    let (operator, rest) = operator(word);
    match Partial::parse(rest) {
        Some(partial) if partial.full().is_none() && !partial.is_out_of_order() => {
            partial_version(operator, &partial, lowest)
        }
        _ => plain(&without_star(word), lowest),
    }
}

/// `from` and the upper bound `below`, which nothing of `below` itself satisfies, not even its prereleases.
fn between(from: [u64; 3], prerelease: &str, below: [u64; 3], lowest: &str) -> Option<Alternative> {
    let mut comparators = from_on(from, prerelease, lowest)?;
    comparators.push(Comparator::new(Operator::Less, below, "0")?);
    Some(comparators)
}

/// The lower bound alone, left out where it says nothing.
fn from_on(from: [u64; 3], prerelease: &str, lowest: &str) -> Option<Alternative> {
    let lower = Comparator::new(Operator::GreaterOrEqual, from, prerelease)?;
    let says_nothing = from == [0, 0, 0] && prerelease == lowest;
    Some(if says_nothing {
        Alternative::new()
    } else {
        vec![lower]
    })
}

/// The first version after all that start with these numbers.
fn after_major(major: u64) -> [u64; 3] {
    [major.saturating_add(1), 0, 0]
}

fn after_minor(major: u64, minor: u64) -> [u64; 3] {
    [major, minor.saturating_add(1), 0]
}

fn caret(partial: &Partial, lowest: &str) -> Option<Alternative> {
    let Some(major) = partial.major else {
        return Some(Alternative::new());
    };
    match (partial.minor, partial.patch) {
        (None, _) => between([major, 0, 0], lowest, after_major(major), lowest),
        (Some(minor), None) => {
            let below = if major == 0 {
                after_minor(major, minor)
            } else {
                after_major(major)
            };
            between([major, minor, 0], lowest, below, lowest)
        }
        (Some(minor), Some(patch)) => {
            let below = match (major, minor) {
                (0, 0) => [0, 0, patch.saturating_add(1)],
                (0, _) => after_minor(major, minor),
                _ => after_major(major),
            };
            between([major, minor, patch], partial.prerelease, below, lowest)
        }
    }
}

fn tilde(partial: &Partial, lowest: &str) -> Option<Alternative> {
    let Some(major) = partial.major else {
        return Some(Alternative::new());
    };
    let Some(minor) = partial.minor else {
        return between([major, 0, 0], lowest, after_major(major), lowest);
    };
    let below = after_minor(major, minor);
    match partial.patch {
        None => between([major, minor, 0], lowest, below, lowest),
        Some(patch) => between([major, minor, patch], partial.prerelease, below, lowest),
    }
}

/// A comparator whose version misses parts: `1`, `1.2`, `>=1.x`, `*`.
fn partial_version(operator: Operator, partial: &Partial, lowest: &str) -> Option<Alternative> {
    let Some(major) = partial.major else {
        return match operator {
            Operator::Less | Operator::Greater => {
                Some(vec![Comparator::new(Operator::Less, [0, 0, 0], "0")?])
            }
            _ => Some(Alternative::new()),
        };
    };
    let first = [major, partial.minor.unwrap_or(0), 0];
    let after = partial
        .minor
        .map_or_else(|| after_major(major), |minor| after_minor(major, minor));
    match operator {
        Operator::Equal => between(first, lowest, after, lowest),
        Operator::GreaterOrEqual => from_on(first, lowest, lowest),
        Operator::Greater => from_on(after, lowest, lowest),
        Operator::Less => Some(vec![Comparator::new(Operator::Less, first, "0")?]),
        Operator::LessOrEqual => Some(vec![Comparator::new(Operator::Less, after, "0")?]),
    }
}

/// The word without its first `*` and the operator before that: npm takes a star away wherever it stands.
fn without_star(word: &str) -> String {
    match word.split_once('*') {
        None => word.to_owned(),
        Some((before, after)) => {
            let before = before.strip_suffix('=').unwrap_or(before);
            let before = before.strip_suffix(['<', '>']).unwrap_or(before);
            format!("{before}{after}")
        }
    }
}

/// A comparator with a full version, or the empty word, which allows anything.
fn plain(word: &str, lowest: &str) -> Option<Alternative> {
    let says_nothing = if lowest.is_empty() {
        ">=0.0.0"
    } else {
        ">=0.0.0-0"
    };
    if word.is_empty() || word == says_nothing {
        return Some(Alternative::new());
    }
    let (operator, written) = operator(word);
    let version = written.strip_prefix('v').unwrap_or(written);
    if written.len() > LONGEST_VERSION || version.starts_with(['v', '=', ' ']) {
        return None;
    }
    // Only where a star stood before the metadata is there still some.
    let plus = version.find('+').unwrap_or(version.len());
    if plus < version.len() && build_length(&version[plus..]) < version.len() - plus {
        return None;
    }
    let partial = Partial::parse(&version[..plus])?;
    Some(vec![Comparator::new(
        operator,
        partial.full()?,
        partial.prerelease,
    )?])
}

/// The range to write where `text` stood, when the package that it speaks of moves to `new`. The kind of range is kept:
///
/// | before | after |
/// | --- | --- |
/// | `^1.0.0`, `~1.0.0`, `1.0.0`, `>=1.0.0`, `<=1.0.0` | the same operator and `new` |
/// | `1`, `1.2`, `1.x`, `^1` | as many numbers of `new`; if `new` is a prerelease, `^new` (`~new` for `1.2`) |
/// | `<2.0.0` | below the next version that may break |
/// | `>=1.0.0 <2.0.0` | `>=new`, and below the next version that may break |
/// | `1.0.0 - 2.0.0` | `^new` |
/// | `*`, `x`, empty | kept; if `new` is a prerelease, `^new`, for `*` means no prereleases |
/// | `^1 \|\| ^2` | the last alternative as above |
///
/// Where that would not contain `new`, the result is `^new`. `text` is the range alone, without `workspace:` or `npm:name@`; what
/// is no range comes back as it was.
///
/// ```
/// use pkgs_action::version::{Version, range::rewrite};
/// let to = |text: &str, new: &str| rewrite(text, &Version::parse(new).unwrap());
/// assert_eq!(to("~1.0.0", "2.1.0"), "~2.1.0");
/// assert_eq!(to("1.x", "2.1.0"), "2.x");
/// assert_eq!(to("^1.0.0 || ^2.0.0", "3.0.0"), "^1.0.0 || ^3.0.0");
/// assert_eq!(to(">=1.0.0 <2.0.0", "2.1.0"), ">=2.1.0 <3.0.0");
/// assert_eq!(to("*", "2.1.0"), "*");
/// assert_eq!(to("*", "2.1.0-beta.1"), "^2.1.0-beta.1");
/// ```
#[must_use]
pub fn rewrite(text: &str, new: &Version) -> String {
    if Range::parse(text).is_err() {
        return text.to_owned();
    }
    let last = text.rfind("||").map_or(0, |bars| bars + "||".len());
    let (before, alternative) = text.split_at(last);
    let indent = &alternative[..alternative.len() - alternative.trim_start_matches(is_space).len()];
    let kept = if alternative.trim_matches(is_space).is_empty() {
        text.to_owned()
    } else {
        format!("{before}{indent}{}", moved(alternative, new))
    };
    [kept, format!("^{new}")]
        .into_iter()
        .find(|candidate| Range::parse(candidate).is_ok_and(|range| range.contains(new)))
        // Only at the largest number that npm can hold is there nothing above.
        .unwrap_or_else(|| new.to_string())
}

/// One alternative, not empty, moved to `new`; it may not contain `new` if the alternative is an odd one.
fn moved(alternative: &str, new: &Version) -> String {
    let squeezed = without_build(&squeeze(alternative));
    if hyphen(&squeezed, Prereleases::Named).is_some() {
        return format!("^{new}");
    }
    let text = prepared(&squeezed, Prereleases::Named);
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let starts_with = |operator: char| words.iter().any(|word| word.starts_with(operator));
    match words[..] {
        [word] => moved_word(word, new),
        [first, ..] if !(starts_with('<') && starts_with('>')) => moved_word(first, new),
        _ => format!(">={new} <{}", next_breaking(new)),
    }
}

/// The first release after `new` that may break who uses it: the next major, below 1.0.0 the next minor.
fn next_breaking(new: &Version) -> Version {
    if new.major() == 0 {
        Version::new(0, new.minor() + 1, 0)
    } else {
        Version::new(new.major() + 1, 0, 0)
    }
}

fn moved_word(word: &str, new: &Version) -> String {
    let version = word.trim_start_matches(['<', '>', '=', '~', '^', 'v']);
    let prefix = &word[..word.len() - version.len()];
    let Some(partial) = Partial::parse(version) else {
        return format!("^{new}");
    };
    if partial.major.is_none() {
        return word.to_owned();
    }
    match prefix.trim_end_matches('v') {
        "<" => format!("<{}", next_breaking(new)),
        ">" => format!(">={new}"),
        _ if partial.full().is_some() => format!("{prefix}{new}"),
        "" | "=" if new.is_prerelease() && partial.minor.is_some() => format!("~{new}"),
        "" | "=" if new.is_prerelease() => format!("^{new}"),
        _ if new.is_prerelease() => format!("{prefix}{new}"),
        _ => format!("{prefix}{}", moved_numbers(version, new)),
    }
}

/// The numbers of a partial version replaced by those of `new`, up to its first `x`; what follows stays.
fn moved_numbers(version: &str, new: &Version) -> String {
    let mut known = true;
    let fields: Vec<String> = version
        .split('.')
        .zip([new.major(), new.minor(), new.patch()])
        .map(|(field, number)| {
            known &= is_number(field);
            if known {
                number.to_string()
            } else {
                field.to_owned()
            }
        })
        .collect();
    fields.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    /// What npm's own implementation answers: a range, versions that it contains, prereleases within its bounds that it does not name and
    /// so does not contain, and what lies outside.
    #[rustfmt::skip]
    const ANSWERS: &[(&str, &str, &str, &str)] = &[
        // plain
        ("1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("=1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("v1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("=v1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3-beta.1", "1.2.3-beta.1", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        ("1.2.3+build.5", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("=1.2.3-beta+a", "1.2.3-beta", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        (">1.2.3", "1.2.4 2.0.0 1.3.0 2.3.4", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3 1.2.3-0 1.2.3-zz 1.2.2"),
        (">=1.2.3", "1.2.3 1.2.4 2.0.0 1.3.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-0 1.2.3-zz 1.2.2 0.0.0"),
        ("<1.2.3", "1.2.2 0.0.0 0.0.1 0.1.0", "1.2.3-0 1.2.3-zz 0.0.0-0", "1.2.3 1.2.4 1.2.4-a 2.0.0"),
        ("<=1.2.3", "1.2.3 1.2.2 0.0.0 0.0.1", "1.2.3-0 1.2.3-zz 0.0.0-0", "1.2.4 1.2.4-a 2.0.0 1.2.4-beta"),
        (">v1.2.3", "1.2.4 2.0.0 1.3.0 2.3.4", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3 1.2.3-0 1.2.3-zz 1.2.2"),
        (">=1.2.3-beta.2", "1.2.3-beta.2 1.2.3 1.2.3-zz 1.2.4", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-0 1.2.2 0.0.0 0.0.0-0"),
        ("<1.2.3-beta.2", "1.2.3-0 1.2.2 0.0.0 0.0.1", "0.0.0-0", "1.2.3-beta.2 1.2.3 1.2.3-zz 1.2.4"),
        ("<=1.2.3-beta.2", "1.2.3-beta.2 1.2.3-0 1.2.2 0.0.0", "0.0.0-0", "1.2.3 1.2.3-zz 1.2.4 1.2.4-a"),
        (">1.2.3-beta.2", "1.2.3 1.2.3-zz 1.2.4 2.0.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-beta.2 1.2.3-0 1.2.2 0.0.0"),
        (">=0.0.0", "0.0.0 0.0.1 1.0.0 0.1.0", "0.0.1-a 1.2.3-beta 1.2.4-beta", "0.0.0-0 0.0.0-zz"),
        (">=v0.0.0", "0.0.0 0.0.1 1.0.0 0.1.0", "0.0.1-a 1.2.3-beta 1.2.4-beta", "0.0.0-0 0.0.0-zz"),
        (">=0.0.0-0", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1", "0.0.1-a 1.2.3-beta 1.2.4-beta", ""),
        ("<0.0.0-0", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        ("<0.0.0", "", "0.0.0-0 0.0.0-zz", "0.0.0 0.0.1 0.0.1-a 1.0.0"),
        (">0.0.0", "0.0.1 1.0.0 0.1.0 1.2.2", "0.0.1-a 1.2.3-beta 1.2.4-beta", "0.0.0 0.0.0-0 0.0.0-zz"),
        ("9007199254740991.0.0", "9007199254740991.0.0", "", "9007199254740991.0.0-0 9007199254740991.0.0-zz 9007199254740991.0.1 9007199254740991.0.1-a"),
        ("<=9007199254740991.9007199254740991.9007199254740991", "9007199254740991.9007199254740991.9007199254740991 9007199254740991.9007199254740991.9007199254740990 0.0.0 0.0.1", "9007199254740991.9007199254740991.9007199254740991-0 9007199254740991.9007199254740991.9007199254740991-zz 0.0.0-0", ""),
        ("1.2.3-9007199254740992", "", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        (">1.2.3-1", "1.2.3 1.2.3-zz 1.2.4 2.0.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-1 1.2.3-0 1.2.2 0.0.0"),
        (">1.2.3-a", "1.2.3 1.2.3-zz 1.2.4 2.0.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-a 1.2.3-0 1.2.2 0.0.0"),
        ("<1.2.3-a.b.c", "1.2.3-0 1.2.2 0.0.0 0.0.1", "0.0.0-0", "1.2.3-a.b.c 1.2.3 1.2.3-zz 1.2.4"),
        (">1.2.3-alpha.99999999999999999999", "1.2.3 1.2.3-zz 1.2.4 2.0.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-0 1.2.2 0.0.0 0.0.0-0"),
        // partial
        ("", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("x", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("X", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("x.x", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("*.*.*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("x.X.*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("x.x.x-beta", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("1.x", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("1.*", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("1.x.x", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("1.2", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("1.2.x", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("1.2.X", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("1.2.*", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("1.2.x-beta", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("v1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("v1.2", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("=1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("=1.2", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("v=1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("==1.2", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("vv1.x", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("0", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        ("0.x", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        ("0.0", "0.0.9 0.0.0 0.0.1", "0.0.0-0", "0.1.0-0 0.1.0 0.1.0-zz 0.1.1"),
        ("0.0.x", "0.0.9 0.0.0 0.0.1", "0.0.0-0", "0.1.0-0 0.1.0 0.1.0-zz 0.1.1"),
        ("0.1", "0.1.0 0.1.1 0.1.9", "0.1.0-0 0.1.0-zz 0.1.1-a", "0.0.9 1.0.0 0.2.0-0 0.2.0"),
        (">1", "2.0.0 2.0.1 3.0.0 2.3.4", "2.0.0-0 2.0.0-zz 2.0.1-a", "1.9.9 0.0.0 0.0.0-0 0.0.1"),
        (">1.2", "1.3.0 1.3.1 2.0.0 2.3.4", "1.3.0-0 1.3.0-zz 1.3.1-a", "1.2.9 0.0.0 0.0.0-0 0.0.1"),
        (">1.x", "2.0.0 2.0.1 3.0.0 2.3.4", "2.0.0-0 2.0.0-zz 2.0.1-a", "1.9.9 0.0.0 0.0.0-0 0.0.1"),
        (">1.2.x", "1.3.0 1.3.1 2.0.0 2.3.4", "1.3.0-0 1.3.0-zz 1.3.1-a", "1.2.9 0.0.0 0.0.0-0 0.0.1"),
        (">=1", "1.0.0 1.0.1 2.0.0 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 0.0.0 0.0.0-0 0.0.1"),
        (">=1.2", "1.2.0 1.2.1 2.0.0 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 0.0.0 0.0.0-0 0.0.1"),
        (">=1.2.x", "1.2.0 1.2.1 2.0.0 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 0.0.0 0.0.0-0 0.0.1"),
        ("<1", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        ("<1.2", "1.1.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.2.0-0 1.2.0 1.2.0-zz 1.2.1"),
        ("<1.x.x", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        ("<=1", "1.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", "2.0.0-0 2.0.0 2.0.0-zz 2.0.1"),
        ("<=1.2", "1.2.9 0.0.0 0.0.1 0.1.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", "1.3.0-0 1.3.0 1.3.0-zz 1.3.1"),
        ("<=0.7.x", "0.7.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "0.8.0-0 0.8.0 0.8.0-zz 0.8.1"),
        (">=0", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        (">=0.x", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        (">0", "1.0.0 1.0.1 2.0.0 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 0.0.0 0.0.0-0 0.0.1"),
        ("<0", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        ("<=0", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        (">0.0", "0.1.0 0.1.1 1.0.0 1.2.2", "0.1.0-0 0.1.0-zz 0.1.1-a", "0.0.9 0.0.0 0.0.0-0 0.0.1"),
        ("<0.0.x", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        (">=*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("<=*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("=*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        (">*", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        ("<*", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        (">x.x", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        ("<X", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        (">=x.x.x", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("9007199254740990", "9007199254740990.0.0 9007199254740990.0.1 9007199254740990.9.9", "9007199254740990.0.0-0 9007199254740990.0.0-zz 9007199254740990.0.1-a", "9007199254740989.9.9 9007199254740991.0.0 9007199254740991.0.0-0 9007199254740991.0.0-zz"),
        ("9007199254740990.9007199254740990", "9007199254740990.9007199254740990.0 9007199254740990.9007199254740990.1 9007199254740990.9007199254740990.9", "9007199254740990.9007199254740990.0-0 9007199254740990.9007199254740990.0-zz 9007199254740990.9007199254740990.1-a", "9007199254740990.9007199254740989.9 9007199254740991.0.0 9007199254740990.9007199254740991.0-0 9007199254740990.9007199254740991.0"),
        // tilde
        ("~1.2.3", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("~1.2", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("~1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("~1.x", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("~1.2.x", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("~1.x.x", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("~0", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        ("~0.0", "0.0.9 0.0.0 0.0.1", "0.0.0-0", "0.1.0-0 0.1.0 0.1.0-zz 0.1.1"),
        ("~0.0.1", "0.0.1 0.0.2 0.0.9", "0.0.2-a", "0.0.1-0 0.0.1-zz 0.0.0 1.0.0"),
        ("~0.1.2", "0.1.2 0.1.3 0.1.9", "0.1.3-a", "0.1.2-0 0.1.2-zz 0.1.1 1.0.0"),
        ("~x", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("~*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("~>1.2.3", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("~>1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("~ 1.2.3", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("~> 1.2.3", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("~v1.2.3", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("~=1.2.3", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("~>=1.2.3", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("~1.2.3-beta.2", "1.2.3-beta.2 1.2.3 1.2.3-zz 1.2.4", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.2 2.0.0 1.3.0-0"),
        ("~0.0.1-beta", "0.0.1-beta 0.0.1 0.0.1-zz 0.0.2", "0.0.2-a", "0.0.1-0 0.0.0 1.0.0 0.1.0-0"),
        ("~1.2.0-0", "1.2.0-0 1.2.0 1.2.0-zz 1.2.1", "1.2.1-a 1.2.3-beta 1.2.4-beta", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("~1.x.3", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("~1.x.3-beta", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("~x.2.3", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("~1.2.3+a", "1.2.3 1.2.4 1.2.9", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        // caret
        ("^1.2.3", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("^1.2", "1.2.0 1.2.1 1.9.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("^1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("^1.x", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("^1.2.x", "1.2.0 1.2.1 1.9.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("^0", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        ("^0.x", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.0-0", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        ("^0.0", "0.0.9 0.0.0 0.0.1", "0.0.0-0", "0.1.0-0 0.1.0 0.1.0-zz 0.1.1"),
        ("^0.0.x", "0.0.9 0.0.0 0.0.1", "0.0.0-0", "0.1.0-0 0.1.0 0.1.0-zz 0.1.1"),
        ("^0.1", "0.1.0 0.1.1 0.1.9", "0.1.0-0 0.1.0-zz 0.1.1-a", "0.0.9 1.0.0 0.2.0-0 0.2.0"),
        ("^0.1.x", "0.1.0 0.1.1 0.1.9", "0.1.0-0 0.1.0-zz 0.1.1-a", "0.0.9 1.0.0 0.2.0-0 0.2.0"),
        ("^0.1.2", "0.1.2 0.1.3 0.1.9", "0.1.3-a", "0.1.2-0 0.1.2-zz 0.1.1 1.0.0"),
        ("^0.0.1", "0.0.1", "", "0.0.1-0 0.0.1-zz 0.0.2 0.0.2-a"),
        ("^0.0.0", "0.0.0", "", "0.0.1-0 0.0.1 0.0.1-zz 0.0.2"),
        ("^x", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("^*", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("^ 1.2.3", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("^v1.2.3", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("^=1.2.3", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("^1.2.3-beta.2", "1.2.3-beta.2 1.2.3 1.2.3-zz 1.2.4", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.2 2.0.0 2.0.0-0"),
        ("^0.1.2-beta", "0.1.2-beta 0.1.2 0.1.2-zz 0.1.3", "0.1.3-a", "0.1.2-0 0.1.1 1.0.0 0.2.0-0"),
        ("^0.0.1-beta", "0.0.1-beta 0.0.1 0.0.1-zz 0.0.1-beta.0", "", "0.0.1-0 0.0.2 0.0.2-a 0.0.0"),
        ("^0.0.0-0", "0.0.0-0 0.0.0 0.0.0-zz 0.0.0-0.0", "", "0.0.1 0.0.1-a 1.0.0 0.0.1-0"),
        ("^1.x.3", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("^*.2.3", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("^1.2.3+a", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("^1.2.0-alpha.0", "1.2.0-alpha.0 1.2.0 1.2.0-zz 1.2.1", "1.2.1-a 1.2.3-beta 1.2.4-beta", "1.2.0-0 1.1.9 2.0.0 2.0.0-0"),
        // hyphen
        ("1.2.3 - 2.3.4", "1.2.3 1.2.4 2.0.0 2.3.4", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.3.5 2.3.5-a 3.0.0"),
        ("1.2 - 2.3.4", "1.2.0 1.2.1 2.0.0 2.3.4", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.3.5 2.3.5-a 3.0.0"),
        ("1 - 2.3.4", "1.0.0 1.0.1 2.0.0 2.3.4", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.3.5 2.3.5-a 3.0.0"),
        ("1.2.3 - 2.3", "1.2.3 1.2.4 2.0.0 2.3.9", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.4.0-0 2.4.0 2.4.0-zz"),
        ("1.2.3 - 2", "1.2.3 1.2.4 2.0.0 2.9.9", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 3.0.0-0 3.0.0 3.0.0-zz"),
        ("1.2 - 2", "1.2.0 1.2.1 2.0.0 2.9.9", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 3.0.0-0 3.0.0 3.0.0-zz"),
        ("1.x - 2.x", "1.0.0 1.0.1 2.0.0 2.9.9", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 3.0.0-0 3.0.0 3.0.0-zz"),
        ("* - 2.3.4", "2.3.4 2.3.3 0.0.0 0.0.1", "2.3.4-0 2.3.4-zz 0.0.0-0", "2.3.5 2.3.5-a 3.0.0 2.3.5-0"),
        ("1.2.3 - *", "1.2.3 1.2.4 2.0.0 1.3.0", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 0.0.0 0.0.0-0 0.0.1"),
        ("x - x", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("0.0.0 - 1.0.0", "1.0.0 0.9.9 0.0.0 0.0.1", "1.0.0-0 1.0.0-zz 0.0.0-0", "1.0.1 1.0.1-a 2.0.0 1.0.1-0"),
        ("1.2.3-beta - 2.3.4", "1.2.3-beta 1.2.3 1.2.3-zz 1.2.4", "1.2.4-a 2.3.4-0 2.3.4-zz", "1.2.3-0 1.2.2 2.3.5 2.3.5-a"),
        ("1.2.3 - 2.3.4-beta", "1.2.3 1.2.4 2.0.0 2.3.4-beta", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.3.4 2.3.4-zz 2.3.5"),
        ("1.2.3-beta.2 - 1.2.3-beta.4", "1.2.3-beta.2 1.2.3-beta.2.0 1.2.3-beta.4", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        ("v1.2.3 - v2.3.4", "1.2.3 1.2.4 2.0.0 2.3.4", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.3.5 2.3.5-a 3.0.0"),
        ("v1.2.3 - v2.3.4-beta", "1.2.3 1.2.4 2.0.0 2.3.4-beta", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.3.4 2.3.4-zz 2.3.5"),
        ("1.2.3+a - 2.3.4+b", "1.2.3 1.2.4 2.0.0 2.3.4", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.3.5 2.3.5-a 3.0.0"),
        ("  1.2.3   -   2.3.4  ", "1.2.3 1.2.4 2.0.0 2.3.4", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.3.5 2.3.5-a 3.0.0"),
        ("1.2.3\t-\n2.3.4", "1.2.3 1.2.4 2.0.0 2.3.4", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 2.3.5 2.3.5-a 3.0.0"),
        ("1 - 2 || 4", "1.0.0 1.0.1 2.0.0 2.9.9", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 3.0.0-0 3.0.0 3.0.0-zz"),
        ("1.x.9 - 2.x.9", "1.0.0 1.0.1 2.0.0 2.9.9", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 3.0.0-0 3.0.0 3.0.0-zz"),
        ("2.3.4 - 1.2.3", "", "", "2.3.4 2.3.4-0 2.3.4-zz 2.3.5"),
        ("1.2.3 -  2.x", "1.2.3 1.2.4 2.0.0 2.9.9", "1.2.3-0 1.2.3-zz 1.2.4-a", "1.2.2 3.0.0-0 3.0.0 3.0.0-zz"),
        ("v0.0.0 - x", "0.0.0 0.0.1 1.0.0 0.1.0", "0.0.0-0 0.0.0-zz 0.0.1-a", ""),
        // several
        (">=1.2.3 <2.0.0", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 2.0.0-0 2.0.0-zz", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        (">1.0.0 <=1.5", "1.0.1 1.5.9 1.2.2 1.2.3", "1.0.1-a 1.2.3-beta 1.2.4-beta", "1.0.0 1.0.0-0 1.0.0-zz 0.9.9"),
        ("> 1.2.3", "1.2.4 2.0.0 1.3.0 2.3.4", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3 1.2.3-0 1.2.3-zz 1.2.2"),
        (">= 1.2.3   < 2", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("<2 >=1", "1.9.9 1.0.0 1.0.1 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "2.0.0-0 2.0.0 2.0.0-zz 2.0.1"),
        (">=1.2.3 >=1.2.3", "1.2.3 1.2.4 2.0.0 1.3.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-0 1.2.3-zz 1.2.2 0.0.0"),
        (">1 <1", "", "", "2.0.0 2.0.0-0 2.0.0-zz 2.0.1"),
        ("^1.2.3 ^1.4.0", "1.9.9 1.4.0 1.4.1", "1.4.1-a", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        ("~1.2 >1.2.5", "1.2.9 1.2.6", "1.2.6-a", "1.2.0 1.2.0-0 1.2.0-zz 1.2.1"),
        ("^1 <1.5", "1.0.0 1.0.1 1.4.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("* ^1.2.3", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        (">=0.0.0 <1", "0.9.9 0.0.0 0.0.1 0.1.0", "0.0.1-a", "1.0.0-0 1.0.0 1.0.0-zz 1.0.1"),
        (">=1.2.3-beta.1 <1.2.3", "1.2.3-beta.1 1.2.3-zz 1.2.3-beta.1.0", "", "1.2.3 1.2.3-0 1.2.4 1.2.4-a"),
        (">=1.2.3-0 <2.0.0-0", "1.2.3-0 1.2.3 1.2.3-zz 1.2.4", "1.2.4-a 1.2.4-beta", "1.2.2 2.0.0 2.0.0-0 2.0.0-zz"),
        ("<1.0.0 <0.0.0-0", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        (">=1.0.0-a >=2.0.0", "2.0.0 2.0.1 3.0.0 2.3.4", "2.0.1-a", "1.0.0-a 1.0.0 1.0.0-0 1.0.0-zz"),
        ("1.2.3 1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("^1.2.3 ~1.3", "1.3.0 1.3.1 1.3.9", "1.3.0-0 1.3.0-zz 1.3.1-a", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        (">=1.2.3-a <1.3.0-b", "1.2.3-a 1.2.3 1.2.3-zz 1.2.4", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.2 2.0.0 1.3.0-b"),
        // alternatives
        ("1 || 2", "1.0.0 1.0.1 2.0.0 2.0.1", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 3.0.0 3.0.0-0 3.0.0-zz"),
        ("1.2.3 || 2.x", "1.2.3 2.0.0 2.0.1 2.9.9", "2.0.0-0 2.0.0-zz 2.0.1-a", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("^1 || ^3.0.0", "1.0.0 1.0.1 1.9.9 3.0.0", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("||", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("|| 1", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("1 ||", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("1.2.3||", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("^1||>=2.5 <3", "1.0.0 1.0.1 1.9.9 2.5.0", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("1 || * || 3", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("* || 1.2.3-beta", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        (">=0.0.0 || 1.2.3-beta", "0.0.0 0.0.1 1.0.0 1.2.3", "0.0.1-a 1.2.3-beta 1.2.3-0", "0.0.0-0 0.0.0-zz"),
        (">=v0.0.0 || 1.2.3-beta", "0.0.0 0.0.1 1.0.0 1.2.3-beta", "0.0.1-a 1.2.3-0 1.2.3-zz", "0.0.0-0 0.0.0-zz"),
        ("v0.0.0 - x || 1.2.3-beta", "0.0.0 0.0.1 1.0.0 1.2.3-beta", "0.0.0-0 0.0.0-zz 0.0.1-a", ""),
        ("<0.0.0-0 || 1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("<* || >*", "", "", "0.0.0-0 0.0.0 0.0.0-zz 0.0.1"),
        ("<* || 1.2.3-beta", "1.2.3-beta", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        ("1.2.3-a || 1.2.4", "1.2.3-a 1.2.4", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4-a"),
        ("~1.2.3||^2.0.0-beta", "1.2.3 1.2.4 2.0.0 1.2.9", "1.2.4-a 2.0.1-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 1.3.0-0"),
        ("1 - 2||3 - 4", "1.0.0 1.0.1 2.0.0 3.0.0", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 5.0.0-0 5.0.0 5.0.0-zz"),
        ("||||", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("<1.0.0 || >=2.3.1 <2.4.5 || >=2.5.2 <3", "0.9.9 2.3.1 2.3.2 2.4.4", "1.0.0-0 1.0.0-zz 2.3.2-a", "1.0.0 1.0.1 1.0.1-a 2.0.0"),
        // spaces
        (" 1.2.3 ", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("\t^1.2.3\n", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
        ("\u{a0}1.2.3\u{feff}", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3\u{2003}||\u{3000}2", "1.2.3 2.0.0 2.0.1 2.9.9", "2.0.0-0 2.0.0-zz 2.0.1-a", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        (">\u{a0}1.2.3", "1.2.4 2.0.0 1.3.0 2.3.4", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3 1.2.3-0 1.2.3-zz 1.2.2"),
        ("> =1.2.3", "1.2.3 1.2.4 2.0.0 1.3.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-0 1.2.3-zz 1.2.2 0.0.0"),
        (">=  1.2.3", "1.2.3 1.2.4 2.0.0 1.3.0", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3-0 1.2.3-zz 1.2.2 0.0.0"),
        ("~\t1.2", "1.2.0 1.2.1 1.2.9 1.2.2", "1.2.0-0 1.2.0-zz 1.2.1-a", "1.1.9 2.0.0 1.3.0-0 1.3.0"),
        ("1.2.3 +a", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("+a 1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3 +a 1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("+a", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        ("~  +a 1", "1.0.0 1.0.1 1.9.9 1.2.2", "1.0.0-0 1.0.0-zz 1.0.1-a", "0.9.9 2.0.0 2.0.0-0 2.0.0-zz"),
        ("+1.2.3-", "0.0.0 0.0.1 0.1.0 1.0.0", "0.0.0-0 1.2.3-beta 1.2.4-beta", ""),
        // stars
        ("*1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1*.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3*", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3-a*", "1.2.3-a", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        ("1.2.3=*", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3>*", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3<=*", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        (">=*1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        (">1.2.3 *", "1.2.4 2.0.0 1.3.0 2.3.4", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3 1.2.3-0 1.2.3-zz 1.2.2"),
        ("*= 1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("*> 1.2.3", "1.2.4 2.0.0 1.3.0 2.3.4", "1.2.4-a 1.2.4-beta 2.0.0-0", "1.2.3 1.2.3-0 1.2.3-zz 1.2.2"),
        ("1.2.3= *", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("1.2.3-v= *", "1.2.3-v", "", "1.2.3 1.2.3-0 1.2.3-zz 1.2.4"),
        ("1.2.3+*a", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        (">=0.0.0+*a || 1.2.3-beta", "0.0.0 0.0.1 1.0.0 1.2.3-beta", "0.0.1-a 1.2.3-0 1.2.3-zz", "0.0.0-0 0.0.0-zz"),
        ("*v1.2.3", "1.2.3", "", "1.2.3-0 1.2.3-zz 1.2.4 1.2.4-a"),
        ("^1.2.3 *", "1.2.3 1.2.4 1.9.9 1.3.0", "1.2.4-a 1.2.4-beta", "1.2.3-0 1.2.3-zz 1.2.2 2.0.0"),
    ];

    #[test]
    fn answers_are_those_of_npm() {
        fn check(range: &str, versions: &str, expected: bool) {
            let parsed = Range::parse(range).unwrap();
            for text in versions.split_whitespace() {
                let version = version(text);
                assert_eq!(parsed.contains(&version), expected, "{range:?} {text}");
            }
        }
        for (range, inside, unnamed, outside) in ANSWERS {
            check(range, inside, true);
            check(range, unnamed, false);
            check(range, outside, false);
        }
    }

    #[test]
    fn with_prereleases_all_within_the_bounds_are_in() {
        fn check(range: &str, inside: &str, outside: &str) {
            let parsed = Range::parse_with_prereleases(range).unwrap();
            for (versions, expected) in [(inside, true), (outside, false)] {
                for text in versions.split_whitespace() {
                    assert_eq!(
                        parsed.contains(&version(text)),
                        expected,
                        "{range:?} {text}"
                    );
                }
            }
        }
        check("*", "0.0.0-0 1.2.3-a 1.2.3", "");
        check("^1.2.3", "1.2.3 1.2.4-a 1.9.0-0", "1.2.3-a 2.0.0-0");
        check("^1.2", "1.2.0-0 1.9.0-a", "1.1.9 2.0.0-0");
        check("~1", "1.0.0-0 1.9.0-a", "2.0.0-0");
        check("~1.2.3", "1.2.4-a", "1.2.3-a 1.3.0-0");
        check("1.x", "1.0.0-0 1.9.9-a", "0.9.9 2.0.0-0");
        check(">1.2", "1.3.0-0 2.0.0-a", "1.2.9");
        check(">=1", "1.0.0-0", "0.9.9");
        check("<1", "0.9.9 0.9.9-a", "1.0.0-0");
        check(">=0", "0.0.0-0", "");
        check("0 - 1.2.3", "0.0.0-0 1.2.3-a 1.2.3", "1.2.4-0");
        check("1.2.3 - 2", "1.2.3-0 2.9.9-a", "1.2.2 3.0.0-0");
        check(">=0.0.0", "0.0.0 1.0.0-a", "0.0.0-0");
        check("1.2.3-b", "1.2.3-b", "1.2.3-a 1.2.3");
        check(">*", "", "0.0.0-0 1.2.3");
    }

    #[rustfmt::skip]
    const REFUSED: &[&str] = &[
        "a", "latest", "1.2.3.4", "01.2.3", "1.02.3", "1.2.03", "1.2.3-01", "1.2.3-", "1.2.3-a..b", "1.2.3-a.", "1.2.3beta",
        "~1.2.3beta", "1.2-beta", "1-beta", "1.", "1..2", ".1", "1.2.", ">", "<", ">=", "=", "~", "^", "~>", "^ ", ">1.2.3.4",
        ">>1.2.3", "=>1.2.3", "=<1", "<>1", "!1.2.3", "!=1.2.3", "==1.2.3", "vv1.2.3", "v=1.2.3", ">==1.2.3", "^^1", "^~1",
        "~^1", "^>1", "^>=1.2.3", "> = 1.2.3", "^ ^ 1", "1.x.5", "1.x.3-beta", "x.1", "x.x.1", "*.1", "*.1.2", ">x.1",
        "1.2.3 - 2.3.4 - 3", "1.2.3 -2.3.4", "1.2.3- 2.3.4", "1.2.3 - 1.2.3beta", "- 1.2.3", "1.2.3 -", "1 - 2 3", "^1 - 2",
        "=1.2.3 - 2.0.0", "1 - =2.0.0", "1.2.3 || a", "a || 1.2.3", "|", "1.2.3 | 2", "|||", "1 &&2", "1,2", ">=1.2.3,<2",
        "1.2.3;", "1.2.3\u{85}2", "9007199254740992.0.0", "1.9007199254740992", "99999999999999999999", "^9007199254740991",
        ">9007199254740991", "1.2.3-\u{e9}", "\u{ff11}.2.3", "1.2.3++a", "1.2.3+", "<*>", "*1.2.3*", "1.2.3**", "^*1.2.3",
        "1.2.3v", "1.2v= *", "X1", "x1.2.3", "workspace:^1.0.0", "npm:a@1", "file:../a", "git+https://example.com/a.git",
        "http://example.com/a.tgz", "1.2.3-a b", "0x1", "1e3", "-1", "1.2.3 +a - 2.0.0", "\u{85}", "\u{200b}1.2.3",
    ];

    #[test]
    fn refusals_are_those_of_npm() {
        fn check(text: &str) {
            let failure = Range::parse(text).expect_err(text);
            assert_eq!(
                (failure.code(), failure.exit()),
                ("version::range", Exit::Refused)
            );
        }
        for text in REFUSED {
            check(text);
        }
        // npm's limits on the length of a version, of an identifier and of a number.
        assert!(Range::parse(&format!("1.2.3-{}", "a".repeat(250))).is_ok());
        check(&format!("1.2.3-{}", "a".repeat(251)));
        assert!(Range::parse(&format!("~1.x.3-{}", "a".repeat(251))).is_ok());
        check(&format!("~1.x.3-{}", "a".repeat(252)));
        assert!(Range::parse(&format!("^x.{}", "1".repeat(257))).is_ok());
        check(&format!("^x.{}", "1".repeat(258)));
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let alternatives = |count: usize| vec!["1"; count].join("||");
        assert!(Range::parse(&alternatives(200)).is_ok());
        assert!(Range::parse(&alternatives(201)).is_err());
        assert!(Range::parse(&" ".repeat(2048)).is_ok());
        assert!(Range::parse(&" ".repeat(2049)).is_err());
        assert!(Range::parse(&"v".repeat(2048)).is_err());
    }

    #[test]
    fn equal_ranges() {
        fn check(left: &str, right: &str, expected: bool) {
            let (left_range, right_range) =
                (Range::parse(left).unwrap(), Range::parse(right).unwrap());
            assert_eq!(left_range == right_range, expected, "{left:?} {right:?}");
        }
        check("^1.2.3", "  ^ v1.2.3", true);
        check("1.x", "1", true);
        check("~1", "^1", true);
        check("*", "", true);
        check("1 || *", "x", true);
        check("1.2.3 1.2.3", "=1.2.3", true);
        check("^1.2.3", "^1.2.4", false);
        check("1 || 2", "2 || 1", false);
    }

    #[test]
    fn rewritten_ranges() {
        fn check(text: &str, new: &str, expected: &str) {
            assert_eq!(rewrite(text, &version(new)), expected, "{text:?} to {new}");
        }
        for (text, release, prerelease) in [
            ("^1.0.0", "^2.3.4", "^2.3.4-beta.1"),
            ("~1.0.0", "~2.3.4", "~2.3.4-beta.1"),
            ("~>1.0.0", "~>2.3.4", "~>2.3.4-beta.1"),
            ("1.0.0", "2.3.4", "2.3.4-beta.1"),
            ("=1.0.0", "=2.3.4", "=2.3.4-beta.1"),
            ("v1.0.0", "v2.3.4", "v2.3.4-beta.1"),
            ("1.0.0-alpha", "2.3.4", "2.3.4-beta.1"),
            ("^1.0.0-alpha.1", "^2.3.4", "^2.3.4-beta.1"),
            ("1.0.0+build", "2.3.4", "2.3.4-beta.1"),
            ("^ 1.0.0", "^2.3.4", "^2.3.4-beta.1"),
            (" ^1.0.0 ", " ^2.3.4", " ^2.3.4-beta.1"),
            (">=1.0.0", ">=2.3.4", ">=2.3.4-beta.1"),
            (">= 3", ">=2", ">=2.3.4-beta.1"),
            ("<=1.0.0", "<=2.3.4", "<=2.3.4-beta.1"),
            ("<=1", "<=2", "<=2.3.4-beta.1"),
            (">3.0.0", ">=2.3.4", ">=2.3.4-beta.1"),
            (">3", ">=2.3.4", ">=2.3.4-beta.1"),
            ("<2.0.0", "<3.0.0", "^2.3.4-beta.1"),
            ("<2", "<3.0.0", "^2.3.4-beta.1"),
            ("1", "2", "^2.3.4-beta.1"),
            ("1.2", "2.3", "~2.3.4-beta.1"),
            ("1.x", "2.x", "^2.3.4-beta.1"),
            ("1.*", "2.*", "^2.3.4-beta.1"),
            ("1.x.x", "2.x.x", "^2.3.4-beta.1"),
            ("1.2.x", "2.3.x", "~2.3.4-beta.1"),
            ("=1.x", "=2.x", "^2.3.4-beta.1"),
            ("v1", "v2", "^2.3.4-beta.1"),
            ("^1", "^2", "^2.3.4-beta.1"),
            ("^1.2", "^2.3", "^2.3.4-beta.1"),
            ("^1.x", "^2.x", "^2.3.4-beta.1"),
            ("~1.2", "~2.3", "~2.3.4-beta.1"),
            ("~1", "~2", "~2.3.4-beta.1"),
            ("*", "*", "^2.3.4-beta.1"),
            ("", "", "^2.3.4-beta.1"),
            ("  ", "  ", "^2.3.4-beta.1"),
            ("x", "x", "^2.3.4-beta.1"),
            ("X.x", "X.x", "^2.3.4-beta.1"),
            ("^*", "^*", "^2.3.4-beta.1"),
            (">*", "^2.3.4", "^2.3.4-beta.1"),
            ("1 || 2.0.0", "1 || 2.3.4", "1 || 2.3.4-beta.1"),
            ("^1.0.0||^1.5.0", "^1.0.0||^2.3.4", "^1.0.0||^2.3.4-beta.1"),
            (
                "^0.1.0 || 1 - 2.0.0",
                "^0.1.0 || ^2.3.4",
                "^0.1.0 || ^2.3.4-beta.1",
            ),
            ("1 || *", "1 || *", "^2.3.4-beta.1"),
            ("1 ||", "1 ||", "^2.3.4-beta.1"),
            ("* || 1", "* || 2", "^2.3.4-beta.1"),
            (">=1.0.0 <2.0.0", ">=2.3.4 <3.0.0", ">=2.3.4-beta.1 <3.0.0"),
            ("<2 >=1", ">=2.3.4 <3.0.0", ">=2.3.4-beta.1 <3.0.0"),
            ("> 1 <= 2.0", ">=2.3.4 <3.0.0", ">=2.3.4-beta.1 <3.0.0"),
            ("^1.0.0 <1.5.0", "^2.3.4", "^2.3.4-beta.1"),
            ("1.0.0 - 2.0.0", "^2.3.4", "^2.3.4-beta.1"),
            ("1 - 2.0.0", "^2.3.4", "^2.3.4-beta.1"),
            ("1*.0.0", "^2.3.4", "^2.3.4-beta.1"),
        ] {
            check(text, "2.3.4", release);
            check(text, "2.3.4-beta.1", prerelease);
        }
        check(">=0.1.0 <0.2.0", "0.2.0", ">=0.2.0 <0.3.0");
        check("<0.2.0", "0.2.0", "<0.3.0");
        check("^0.1.0", "1.0.0", "^1.0.0");
        check("^1", "9007199254740991.0.0", "9007199254740991.0.0");
        for text in [
            "latest",
            "workspace:^",
            "file:../a",
            "git+ssh://git@example.com/a.git",
            "npm:a@^1",
        ] {
            check(text, "2.3.4", text);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_rewritten_range_contains_the_new_version(
            index in 0..ANSWERS.len(),
            numbers in proptest::array::uniform3(0_u64..4),
            prerelease in "(-(alpha|[0-9])(\\.[1-9])?)?",
        ) {
            let [major, minor, patch] = numbers;
            let new = version(&format!("{major}.{minor}.{patch}{prerelease}"));
            let text = rewrite(ANSWERS[index].0, &new);
            let contains = Range::parse(&text).is_ok_and(|range| range.contains(&new));
            proptest::prop_assert!(contains, "{:?} to {new}: {text:?}", ANSWERS[index].0);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-3xX*.\\-+~^<>=|v aé ]{0,24}", number in 0_u64..4) {
            let new = Version::new(number, 0, 0);
            let rewritten = rewrite(&text, &new);
            if Range::parse(&text).is_ok() {
                let contains = Range::parse(&rewritten).is_ok_and(|range| range.contains(&new));
                proptest::prop_assert!(contains, "{:?}", rewritten);
            } else {
                proptest::prop_assert_eq!(rewritten, text);
            }
        }
    }
}
