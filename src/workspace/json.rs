//! Strict JSON that remembers where each value stands, and edits that keep every other byte.
//!
//! Re-serialising a person's `package.json` would change its indentation, line ends and escapes; so a value is replaced where it
//! stands. Reading follows Node: one byte order mark is skipped, and of two members with one key the last counts.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use crate::explain::{Exit, Failure, Place, quoted, size};

/// How deep arrays and objects may lie in one another.
const DEEPEST: usize = 128;

/// How many values one document may hold: bounds the memory of a hostile file far above any real lockfile.
const MOST_VALUES: usize = 4_000_000;

/// What to do about a file beyond every measure.
pub(super) const UNUSUAL: &str =
    "no such file is written by hand or by a package manager: look at what it is";

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A JSON text and its parsed tree.
///
/// ```
/// use pkgs_action::workspace::json::Document;
/// let document = Document::parse("package.json", r#"{ "name": "a", "name": "b" }"#, 1000).unwrap();
/// let name = document.root().get("name").unwrap();
/// assert_eq!(name.as_str(), Some("b"));
/// assert_eq!(name.position(), (1, 24));
/// assert_eq!(document.root().duplicates().len(), 1);
/// ```
#[derive(Debug)]
pub struct Document<'a> {
    file: String,
    text: &'a str,
    root: Value<'a>,
}

#[derive(Debug)]
struct Value<'a> {
    start: usize,
    end: usize,
    shape: Shape<'a>,
}

#[derive(Debug)]
enum Shape<'a> {
    Null,
    Boolean(bool),
    Number,
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Vec<(Key<'a>, Value<'a>)>),
}

#[derive(Debug)]
struct Key<'a> {
    text: Cow<'a, str>,
    start: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// As a message names it, with its article.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

impl<'a> Document<'a> {
    /// Parses `text`, which messages call `file`, of at most `limit` bytes.
    ///
    /// # Errors
    /// `workspace::file_size` above the limit; `workspace::json_syntax` for anything but strict JSON, lone surrogates and numbers
    /// that no double can hold included; `workspace::json_depth` for more than 128 nested arrays and objects.
    pub fn parse(file: &str, text: &'a str, limit: usize) -> Result<Document<'a>, Failure> {
        Document::read(file, text, limit, false)
    }

    /// Parses like [`Document::parse`], but the last element of an array or object may be followed by a comma: bun writes such lockfiles.
    ///
    /// # Errors
    /// Those of [`Document::parse`], but for such commas.
    ///
    /// ```
    /// use pkgs_action::workspace::json::Document;
    /// let text = r#"{"a": [1, 2,],}"#;
    /// assert!(Document::parse("bun.lock", text, 1000).is_err());
    /// assert!(Document::parse_with_trailing_commas("bun.lock", text, 1000).is_ok());
    /// assert!(Document::parse_with_trailing_commas("bun.lock", "[,]", 1000).is_err());
    /// ```
    pub fn parse_with_trailing_commas(
        file: &str,
        text: &'a str,
        limit: usize,
    ) -> Result<Document<'a>, Failure> {
        Document::read(file, text, limit, true)
    }

    fn read(
        file: &str,
        text: &'a str,
        limit: usize,
        trailing_commas: bool,
    ) -> Result<Document<'a>, Failure> {
        if text.len() > limit {
            return Err(Failure::new(
                Exit::Refused,
                "workspace::file_size",
                format!("{file} is larger than {}", size(limit as u64)),
            )
            .hint(UNUSUAL)
            .place(Place::file(file)));
        }
        let mut scanner = Scanner {
            text,
            at: if text.starts_with(BYTE_ORDER_MARK) {
                BYTE_ORDER_MARK.len_utf8()
            } else {
                0
            },
            values: 0,
            trailing_commas,
        };
        match scanner.document() {
            Ok(root) => Ok(Document {
                file: file.to_owned(),
                text,
                root,
            }),
            Err(problem) => Err(problem.explain(file, text)),
        }
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_> {
        Node {
            document: self,
            value: &self.root,
        }
    }

    /// What messages call the file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A set of edits to this document, empty at first.
    pub fn edits(&self) -> Edits<'_> {
        Edits {
            document: self,
            replaced: BTreeMap::new(),
        }
    }
}

/// A value in a [`Document`].
#[derive(Debug, Clone, Copy)]
pub struct Node<'d> {
    document: &'d Document<'d>,
    value: &'d Value<'d>,
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub struct Member<'d> {
    /// The key, unescaped.
    pub key: &'d str,
    /// The value.
    pub value: Node<'d>,
    key_start: usize,
}

impl Member<'_> {
    /// Where the key stands.
    #[must_use]
    pub fn place(&self) -> Place {
        place_of(self.value.document, self.key_start)
    }
}

impl<'d> Node<'d> {
    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.value.shape {
            Shape::Null => Kind::Null,
            Shape::Boolean(_) => Kind::Boolean,
            Shape::Number => Kind::Number,
            Shape::String(_) => Kind::String,
            Shape::Array(_) => Kind::Array,
            Shape::Object(_) => Kind::Object,
        }
    }

    /// Its bytes in the text: of a string with the quotes.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        self.value.start..self.value.end
    }

    /// Its line and its column in characters, both from 1; a byte order mark does not count.
    #[must_use]
    pub fn position(self) -> (usize, usize) {
        position(self.document.text, self.value.start)
    }

    /// Its position together with the file.
    #[must_use]
    pub fn place(self) -> Place {
        place_of(self.document, self.value.start)
    }

    /// Its text as it is written.
    #[must_use]
    pub fn raw(self) -> &'d str {
        &self.document.text[self.span()]
    }

    /// The string, unescaped; `None` if it is none.
    #[must_use]
    pub fn as_str(self) -> Option<&'d str> {
        match &self.value.shape {
            Shape::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean; `None` if it is none.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.value.shape {
            Shape::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    pub fn items(self) -> impl Iterator<Item = Node<'d>> {
        let items: &'d [Value<'d>] = match &self.value.shape {
            Shape::Array(items) => items,
            _ => &[],
        };
        let document = self.document;
        items.iter().map(move |value| Node { document, value })
    }

    /// The members of an object as they are written, duplicates included; none for anything else.
    pub fn members(self) -> impl DoubleEndedIterator<Item = Member<'d>> {
        let members: &'d [(Key<'d>, Value<'d>)] = match &self.value.shape {
            Shape::Object(members) => members,
            _ => &[],
        };
        let document = self.document;
        members.iter().map(move |(key, value)| Member {
            key: &key.text,
            value: Node { document, value },
            key_start: key.start,
        })
    }

    /// The member that counts for `key`: the last, as in Node.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Node<'d>> {
        self.members()
            .rev()
            .find(|member| member.key == key)
            .map(|member| member.value)
    }

    /// The members whose key an earlier member has already.
    #[must_use]
    pub fn duplicates(self) -> Vec<Member<'d>> {
        let mut seen = HashSet::new();
        self.members()
            .filter(|member| !seen.insert(member.key))
            .collect()
    }

    /// The value without its places; of duplicate keys the last.
    pub fn to_value(self) -> Result<serde_json::Value, Failure> {
        serde_json::from_str(self.raw()).map_err(|error| {
            Failure::new(
                Exit::Refused,
                "workspace::json_syntax",
                format!("{} holds a value that cannot be read", self.document.file),
            )
            .because(error)
            .place(self.place())
        })
    }
}

/// Replacements of strings in one document.
///
/// ```
/// use pkgs_action::workspace::json::Document;
/// let document = Document::parse("package.json", "{\r\n\t\"version\" : \"1.0.0\" }", 1000).unwrap();
/// let mut edits = document.edits();
/// edits.set(document.root().get("version").unwrap(), "1.1.0");
/// assert_eq!(edits.apply(), "{\r\n\t\"version\" : \"1.1.0\" }");
/// ```
#[derive(Debug)]
pub struct Edits<'d> {
    document: &'d Document<'d>,
    replaced: BTreeMap<usize, (usize, String)>,
}

impl Edits<'_> {
    /// Makes `node`, a string of this document, say `text`; set again, the last counts. What says it already stays as it is written.
    pub fn set(&mut self, node: Node<'_>, text: &str) {
        debug_assert_eq!(node.kind(), Kind::String, "only strings are edited");
        let span = node.span();
        if node.as_str() == Some(text) {
            self.replaced.remove(&span.start);
        } else {
            self.replaced.insert(span.start, (span.end, string(text)));
        }
    }

    /// The text with the replacements, every other byte as it was.
    #[must_use]
    pub fn apply(self) -> String {
        let edits = self
            .replaced
            .into_iter()
            .map(|(start, (end, text))| (start..end, text))
            .collect();
        splice(self.document.text, edits)
    }
}

/// `text` with each range replaced; the ranges lie on character boundaries and apart from one another, in any order.
///
/// ```
/// use pkgs_action::workspace::json::splice;
/// assert_eq!(splice("a-b-c", vec![(4..5, "z".into()), (0..1, "xy".into())]), "xy-b-z");
/// ```
#[must_use]
pub fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut result = String::with_capacity(text.len() + 16 * edits.len());
    let mut done = 0;
    for (range, replacement) in edits {
        result.push_str(&text[done..range.start]);
        result.push_str(&replacement);
        done = range.end;
    }
    result.push_str(&text[done..]);
    result
}

/// `text` as a JSON string, quotes included, escaped as `JSON.stringify` does.
#[must_use]
pub fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How a message names a member of `parent`: `files[0]`, `scripts.start`, `dependencies["@x/a"]`.
#[must_use]
pub fn path(parent: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key.chars().all(|character| {
            character.is_ascii_alphanumeric() || character == '_' || character == '$'
        });
    match (parent, plain) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[{}]", quoted(key)),
    }
}

fn place_of(document: &Document<'_>, offset: usize) -> Place {
    let (line, column) = position(document.text, offset);
    Place::at(document.file.clone(), line, column)
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before[line_start..]
        .chars()
        .filter(|character| *character != BYTE_ORDER_MARK)
        .count()
        + 1;
    (line, column)
}

/// What is wrong, and at which byte.
enum Problem {
    Syntax(usize, Cow<'static, str>),
    Depth(usize),
    TooMany(usize),
}

impl Problem {
    fn explain(self, file: &str, text: &str) -> Failure {
        let place = |at| {
            let (line, column) = position(text, at);
            Place::at(file, line, column)
        };
        match self {
            Problem::Syntax(at, why) => Failure::new(
                Exit::Refused,
                "workspace::json_syntax",
                format!("{file} is not JSON"),
            )
            .because(why)
            .hint("correct it there: npm reads strict JSON, without comments")
            .place(place(at)),
            Problem::Depth(at) => Failure::new(
                Exit::Refused,
                "workspace::json_depth",
                format!("{file} nests arrays and objects more than {DEEPEST} deep"),
            )
            .hint(UNUSUAL)
            .place(place(at)),
            Problem::TooMany(at) => Failure::new(
                Exit::Refused,
                "workspace::file_size",
                format!("{file} holds more than {MOST_VALUES} values"),
            )
            .hint(UNUSUAL)
            .place(place(at)),
        }
    }
}

type Scanned<T> = Result<T, Problem>;

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    trailing_commas: bool,
}

impl<'a> Scanner<'a> {
    fn document(&mut self) -> Scanned<Value<'a>> {
        self.skip_space();
        if self.peek().is_none() {
            return self.refuse("the file is empty");
        }
        let root = self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(root),
            Some(_) => self.refuse_here("text after the end of the value"),
        }
    }

    fn value(&mut self, depth: usize) -> Scanned<Value<'a>> {
        let start = self.at;
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(Problem::TooMany(start));
        }
        let shape = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Shape::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Value {
            start,
            end: self.at,
            shape,
        })
    }

    fn object(&mut self, depth: usize) -> Scanned<Shape<'a>> {
        self.enter(depth)?;
        let mut members = Vec::new();
        if self.closes(b'}') {
            return Ok(Shape::Object(members));
        }
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.refuse_key();
            }
            let text = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.refuse_here("a ':' is missing after the key");
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            members.push((Key { text, start }, value));
            if self.ends_or_continues(b'}', "a ',' or '}' is missing")? {
                return Ok(Shape::Object(members));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Scanned<Shape<'a>> {
        self.enter(depth)?;
        let mut items = Vec::new();
        if self.closes(b']') {
            return Ok(Shape::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.ends_or_continues(b']', "a ',' or ']' is missing")? {
                return Ok(Shape::Array(items));
            }
        }
    }

    fn enter(&mut self, depth: usize) -> Scanned<()> {
        if depth >= DEEPEST {
            return Err(Problem::Depth(self.at));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// After a value: whether the bracket closes; otherwise a comma was there and the next value follows.
    fn ends_or_continues(&mut self, bracket: u8, missing: &'static str) -> Scanned<bool> {
        self.skip_space();
        if self.closes(bracket) {
            return Ok(true);
        }
        let comma = self.at;
        if self.peek() != Some(b',') {
            return self.refuse_here(missing);
        }
        self.at += 1;
        self.skip_space();
        if self.trailing_commas && self.closes(bracket) {
            return Ok(true);
        }
        match self.peek() {
            Some(b'}' | b']') => Err(Problem::Syntax(comma, "trailing comma".into())),
            _ => Ok(false),
        }
    }

    fn word(&mut self) -> Scanned<Shape<'a>> {
        let rest = &self.text[self.at..];
        let length = rest
            .find(|character: char| !character.is_alphanumeric() && character != '_')
            .unwrap_or(rest.len());
        let shape = match &rest[..length] {
            "null" => Shape::Null,
            "true" => Shape::Boolean(true),
            "false" => Shape::Boolean(false),
            "NaN" | "Infinity" | "undefined" => {
                return self.refuse("NaN, Infinity and undefined are not JSON");
            }
            _ => return self.refuse_here("a value is missing"),
        };
        self.at += length;
        Ok(shape)
    }

    fn number(&mut self) -> Scanned<Shape<'a>> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let integer = self.digits();
        if integer == 0 {
            return self.refuse("a digit is missing");
        }
        if integer > 1 && self.text.as_bytes()[self.at - integer] == b'0' {
            self.at = start;
            return self.refuse("a number may not start with 0");
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return self.refuse("a digit is missing after '.'");
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return self.refuse("a digit is missing in the exponent");
            }
        }
        let finite = self.text[start..self.at]
            .parse::<f64>()
            .is_ok_and(f64::is_finite);
        if !finite {
            self.at = start;
            return self.refuse("the number is too large");
        }
        Ok(Shape::Number)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Scanned<Cow<'a, str>> {
        let opening = self.at;
        self.at += 1;
        let start = self.at;
        let mut unescaped: Option<String> = None;
        let mut plain = start;
        loop {
            match self.peek() {
                None => {
                    return Err(Problem::Syntax(opening, "the string is not closed".into()));
                }
                Some(b'"') => {
                    let rest = &self.text[plain..self.at];
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(rest),
                        Some(before) => Cow::Owned(before + rest),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[plain..self.at]);
                    let character = self.escape()?;
                    unescaped.get_or_insert_default().push(character);
                    plain = self.at;
                }
                Some(b'\n' | b'\r') => return self.refuse("the string is not closed on its line"),
                Some(0..=0x1f) => return self.refuse("a control character in a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Scanned<char> {
        let start = self.at;
        self.at += 1;
        let Some(letter) = self.peek() else {
            return self.refuse("the string is not closed");
        };
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(start),
            _ => {
                self.at = start;
                return self.refuse("unknown escape in a string");
            }
        })
    }

    /// What `\uXXXX` means, the second half of a surrogate pair included; `start` is its backslash.
    fn unicode(&mut self, start: usize) -> Scanned<char> {
        let first = self.four_digits(start)?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            units.push(self.four_digits(start)?);
        }
        let mut decoded = char::decode_utf16(units);
        match (decoded.next(), decoded.next()) {
            (Some(Ok(character)), None) => Ok(character),
            _ => Err(Problem::Syntax(start, "half of a surrogate pair".into())),
        }
    }

    fn four_digits(&mut self, start: usize) -> Scanned<u16> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else {
            self.at = start;
            return self.refuse("\\u needs four hexadecimal digits");
        };
        self.at += 4;
        Ok(digits.iter().fold(0, |sum, digit| {
            sum << 4
                | match digit {
                    b'0'..=b'9' => u16::from(digit - b'0'),
                    _ => u16::from((digit | 0x20) - b'a') + 10,
                }
        }))
    }

    fn refuse_key<T>(&self) -> Scanned<T> {
        match self.peek() {
            Some(byte) if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' => {
                self.refuse("a key stands without double quotes")
            }
            _ => self.refuse_here("a key is missing"),
        }
    }

    /// Refuses what stands here, with a better reason than `otherwise` where there is one.
    fn refuse_here<T>(&self, otherwise: &'static str) -> Scanned<T> {
        const MARKERS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
        let rest = &self.text[self.at..];
        if MARKERS.iter().any(|marker| rest.starts_with(marker)) {
            return self.refuse("a merge conflict marker");
        }
        if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#') {
            return self.refuse("comments are not JSON");
        }
        match rest.chars().next() {
            None => self.refuse("the file ends too early"),
            Some('\'') => self.refuse("a text stands in single quotes, not in double quotes"),
            Some('+' | '.') => self.refuse("a number starts with a digit or '-'"),
            Some(BYTE_ORDER_MARK) => self.refuse("a second byte order mark"),
            Some(character) if character.is_whitespace() => {
                self.refuse("only space, tab and line ends may stand between values")
            }
            Some(_) => self.refuse(otherwise),
        }
    }

    fn refuse<T>(&self, why: &'static str) -> Scanned<T> {
        Err(Problem::Syntax(self.at, why.into()))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, why: &str, line: usize, column: usize) {
        let failure = Document::parse("x.json", text, 10_000).expect_err(text);
        assert_eq!(failure.code(), "workspace::json_syntax", "{text}");
        assert_eq!(failure.exit(), Exit::Refused);
        assert_eq!(failure.causes(), [why], "{text}");
        assert_eq!(
            failure.where_in(),
            Some(&Place::at("x.json", line, column)),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        check("", "the file is empty", 1, 1);
        check("{\n  \"a\": 1,\n}", "trailing comma", 2, 9);
        check("[1,]", "trailing comma", 1, 3);
        check("{ // x\n}", "comments are not JSON", 1, 3);
        check("{\"a\": /* x */ 1}", "comments are not JSON", 1, 7);
        check(
            "{'a': 1}",
            "a text stands in single quotes, not in double quotes",
            1,
            2,
        );
        check("{a: 1}", "a key stands without double quotes", 1, 2);
        check(
            "{\"a\": NaN}",
            "NaN, Infinity and undefined are not JSON",
            1,
            7,
        );
        check("{\"a\": 1e400}", "the number is too large", 1, 7);
        check("[01]", "a number may not start with 0", 1, 2);
        check("[+1]", "a number starts with a digit or '-'", 1, 2);
        check("[1.]", "a digit is missing after '.'", 1, 4);
        check("[0x10]", "a ',' or ']' is missing", 1, 3);
        check("[\"\\ud800\"]", "half of a surrogate pair", 1, 3);
        check("[\"\\ud800\\u0041\"]", "half of a surrogate pair", 1, 3);
        check("[\"\\x\"]", "unknown escape in a string", 1, 3);
        check("[\"\\u12\"]", "\\u needs four hexadecimal digits", 1, 3);
        check("[\"a\nb\"]", "the string is not closed on its line", 1, 4);
        check("[\"\u{1}\"]", "a control character in a string", 1, 3);
        check("[\"a", "the string is not closed", 1, 2);
        check("{\"a\" 1}", "a ':' is missing after the key", 1, 6);
        check("{\"a\": 1 \"b\": 2}", "a ',' or '}' is missing", 1, 9);
        check("{} {}", "text after the end of the value", 1, 4);
        check("{", "the file ends too early", 1, 2);
        check("{\"a\":}", "a value is missing", 1, 6);
        check("{,}", "a key is missing", 1, 2);
        check("\u{feff}\u{feff}{}", "a second byte order mark", 1, 1);
        check(
            "{\u{a0}}",
            "only space, tab and line ends may stand between values",
            1,
            2,
        );
        check("{\n<<<<<<< HEAD\n", "a merge conflict marker", 2, 1);
        check("é", "a value is missing", 1, 1);
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Document::parse("x", &nested(128), 1000).is_ok());
        let deep = Document::parse("x", &nested(129), 1000).unwrap_err();
        assert_eq!(deep.code(), "workspace::json_depth");
        let hostile = "[".repeat(1_000_000);
        assert!(Document::parse("x", &hostile, hostile.len()).is_err());
        let large = Document::parse("x", "[1,2]", 4).unwrap_err();
        assert_eq!(large.code(), "workspace::file_size");
    }

    #[test]
    fn values_keep_their_places() {
        let text =
            "\u{feff}{\r\n  \"\\u0061\": \"\\ud83d\\ude00\",\r\n  \"ü\": [true, null, -1.5e3]\r\n}";
        let document = Document::parse("x", text, 1000).unwrap();
        let root = document.root();
        let a = root.get("a").unwrap();
        assert_eq!(a.as_str(), Some("😀"));
        assert_eq!(a.position(), (2, 13));
        assert_eq!(a.raw(), "\"\\ud83d\\ude00\"");
        let list: Vec<Node<'_>> = root.get("ü").unwrap().items().collect();
        assert_eq!(list[0].as_bool(), Some(true));
        assert_eq!(list[1].kind(), Kind::Null);
        assert_eq!(list[2].position(), (3, 21));
        assert_eq!(root.position(), (1, 1));
        assert_eq!(
            root.get("ü").unwrap().to_value().unwrap(),
            serde_json::json!([true, null, -1500.0])
        );
    }

    #[test]
    fn of_duplicates_the_last_counts() {
        let document = Document::parse("x", r#"{"a":"1","b":"2","\u0061":"3"}"#, 1000).unwrap();
        assert_eq!(document.root().get("a").and_then(Node::as_str), Some("3"));
        let duplicates = document.root().duplicates();
        assert_eq!(duplicates.len(), 1);
        assert_eq!(duplicates[0].place(), Place::at("x", 1, 18));
    }

    #[test]
    fn paths_are_written_as_in_javascript() {
        assert_eq!(path("", "name"), "name");
        assert_eq!(path("scripts", "start"), "scripts.start");
        assert_eq!(path("dependencies", "@x/a"), "dependencies[\"@x/a\"]");
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e300..1e300).prop_map(|number: f64| number.into()),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_whatever_is_json(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let document = Document::parse("x", &text, usize::MAX).unwrap();
            prop_assert_eq!(document.root().to_value().unwrap(), serde_json::from_str::<serde_json::Value>(&text).unwrap());
        }

        #[test]
        fn accepts_nothing_that_serde_json_refuses(text in r#"[\[\]{}:,"\\a1e.\-+ \n/'u0-9]{0,24}"#) {
            let ours = Document::parse("x", &text, usize::MAX).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }

        #[test]
        fn never_fails_on_hostile_text(text in any::<String>()) {
            let _ = Document::parse("x", &text, usize::MAX);
        }

        #[test]
        fn an_edit_changes_nothing_else(
            before in any::<String>(), after in any::<String>(),
            space in r"[ \t\r\n]{0,5}", other in any_json(), mark in any::<bool>(),
        ) {
            let other = serde_json::to_string(&other).unwrap();
            let head = format!("{}{{{space}\"x\":{other},{space}\"version\"{space}:{space}", if mark { "\u{feff}" } else { "" });
            let tail = format!("{space},\"y\":{other}{space}}}{space}");
            let text = format!("{head}{}{tail}", string(&before));
            let document = Document::parse("x", &text, usize::MAX).unwrap();
            let mut edits = document.edits();
            edits.set(document.root().get("version").unwrap(), &after);
            prop_assert_eq!(edits.apply(), format!("{head}{}{tail}", string(&after)));
        }
    }
}
