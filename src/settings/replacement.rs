//! `replacements`: what a release replaces in files beside those that it edits anyway.

use globset::{GlobBuilder, GlobMatcher};
use regex::{Captures, Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::explain::{Exit, Failure, quoted, size};
use crate::name::{PackageName, RepoPath};
use crate::settings::config::Unambiguous;
use crate::settings::given::{Given, Source, nearest};

/// The most entries.
const MOST: usize = 500;
/// The longest text of an entry, in bytes.
const LONGEST: usize = 16 << 10;
/// The keys of an entry.
const KEYS: [&str; 4] = ["file", "package", "search", "replace"];
/// What an entry looks like.
const EXAMPLE: &str = r#"write for example [{"file": "README.md", "search": "acme@[^/]+", "replace": "acme@{version}"}]"#;

/// What is replaced in some files when a package is released.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The files.
    pub files: Files,
    /// The package whose release it belongs to; `None`: the one that has the file.
    pub package: Option<PackageName>,
    /// The configuration file that says it.
    pub declared_in: Option<String>,
    place: usize,
    given: Given,
    search: Regex,
    replace: Vec<Piece>,
}

/// Files, by their path below the workspace's root.
#[derive(Debug, Clone)]
pub enum Files {
    /// One file.
    One(RepoPath),
    /// All regular files that a glob means.
    Like(GlobMatcher),
}

/// A part of what is written instead of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
    Value(Placeholder),
}

/// What a release writes into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// The package's new version.
    Version,
    /// Its name.
    Name,
    /// Its tag.
    Tag,
    /// The day of the release, `yyyy-mm-dd`.
    Date,
}

impl Placeholder {
    const ALL: [(&str, Placeholder); 4] = [
        ("{version}", Placeholder::Version),
        ("{name}", Placeholder::Name),
        ("{tag}", Placeholder::Tag),
        ("{date}", Placeholder::Date),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        let mut all = Placeholder::ALL.iter();
        let found = all.find(|(_, placeholder)| *placeholder == self);
        found.map_or("", |(text, _)| text)
    }
}

/// What stands for the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct Values<'v> {
    /// The package's new version.
    pub version: &'v str,
    /// Its name.
    pub name: &'v str,
    /// Its tag.
    pub tag: &'v str,
    /// The day of the release.
    pub date: &'v str,
}

impl Replacement {
    /// What a part of the entry is called where it was set: `replacements[0].search in pkgs.json`.
    pub fn called(&self, key: &str) -> String {
        self.given
            .part("replacements", &format!("[{}].{key}", self.place))
    }

    /// Whether something stands for a placeholder in what is written.
    pub fn holds(&self, placeholder: Placeholder) -> bool {
        self.replace.contains(&Piece::Value(placeholder))
    }

    /// A text with everything replaced that the search matches, and how often it matched; every other byte stays. A byte order mark is
    /// none of the text.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn apply(
        &self,
        text: &str,
        values: Values<'_>,
        longest: usize,
        effort: &mut Effort,
    ) -> Result<(String, usize), Unapplied> {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut replaced = String::with_capacity(text.len());
        replaced.push_str(&text[..text.len() - body.len()]);
        let (mut end, mut count) = (0, 0);
        let mut matches = self.search.captures_iter(body);
        loop {
            effort.look_at(&body[end..])?;
            let Some(found) = matches.next() else {
                break;
            };
            let whole = found.get_match();
            replaced.push_str(&body[end..whole.start()]);
            for piece in &self.replace {
                replaced.push_str(piece.text(&found, values));
                // A group may hold nearly all of the file, and stand there many times.
                if replaced.len() > longest {
                    return Err(Unapplied::TooLong);
                }
            }
            (end, count) = (whole.end(), count + 1);
        }
        replaced.push_str(&body[end..]);
        if replaced.len() > longest {
            return Err(Unapplied::TooLong);
        }
        Ok((replaced, count))
    }
}

/// Why nothing could be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unapplied {
    /// The text would become too long.
    TooLong,
    /// The search takes more effort than there was.
    TooMuchWork,
}

/// How much text searches may still look at, in bytes. One match takes time in proportion to the rest of its text, in which a search may look far
/// ahead and take little; so each counts all of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort(u64);

impl Effort {
    /// So many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Effort {
        Effort(bytes)
    }

    fn look_at(&mut self, rest: &str) -> Result<(), Unapplied> {
        let bytes = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or_default();
        left.map(drop).ok_or(Unapplied::TooMuchWork)
    }
}

impl Piece {
    /// What stands there instead of a match.
    fn text<'t>(&'t self, found: &Captures<'t>, values: Values<'t>) -> &'t str {
        match self {
            Piece::Text(text) => text,
            Piece::Group(group) => found.get(*group).map_or("", |found| found.as_str()),
            Piece::Value(Placeholder::Version) => values.version,
            Piece::Value(Placeholder::Name) => values.name,
            Piece::Value(Placeholder::Tag) => values.tag,
            Piece::Value(Placeholder::Date) => values.date,
        }
    }
}

/// Reads the value of the setting: a list of objects in JSON, or `none`.
///
/// # Errors
/// `settings::replacement` and `settings::control_character`, exit 2: one for each entry that is wrong, with its place.
pub(super) fn read(given: &Given) -> Result<Vec<Replacement>, Failure> {
    if given.value == "none" {
        return Ok(Vec::new());
    }
    let name = given.name("replacements");
    let Unambiguous(value) = serde_json::from_str(&given.value).map_err(|error| {
        refused(format!("{name} is not a list of objects in JSON"))
            .because(error)
            .hint(EXAMPLE)
    })?;
    let Value::Array(entries) = value else {
        return Err(refused(format!("{name} is not a list of objects")).hint(EXAMPLE));
    };
    if entries.len() > MOST {
        let what = format!("{name} has {} entries, more than {MOST}", entries.len());
        return Err(refused(what).hint("a glob in file means many files at once"));
    }
    let mut replacements = Vec::new();
    let mut problems = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        match (Entry { given, place }).read(entry) {
            Ok(replacement) => replacements.push(replacement),
            Err(failure) => problems.push(failure),
        }
    }
    Failure::all(problems).map_or(Ok(replacements), Err)
}

fn refused(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, "settings::replacement", what)
}

/// An entry that is being read.
#[derive(Clone, Copy)]
struct Entry<'g> {
    given: &'g Given,
    place: usize,
}

impl Entry<'_> {
    fn called(self, key: &str) -> String {
        let dot = if key.is_empty() { "" } else { "." };
        let part = format!("[{}]{dot}{key}", self.place);
        self.given.part("replacements", &part)
    }

    fn read(self, value: &Value) -> Result<Replacement, Failure> {
        let Value::Object(object) = value else {
            return Err(refused(format!("{} is not an object", self.called(""))).hint(EXAMPLE));
        };
        if let Some(unknown) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let what = format!("{}: {} is no key of it", self.called(""), quoted(unknown));
            return Err(match nearest(unknown, KEYS.into_iter()) {
                Some(near) => refused(what).hint(format!("did you mean {near}?")),
                None => refused(what).hint(format!("an entry has {}", KEYS.join(", "))),
            });
        }
        let search = self.search(&self.needed(object, "search")?)?;
        let package = self.text(object, "package")?.map(|name| {
            PackageName::parse(&name).map_err(|failure| {
                refused(format!("{}: {}", self.called("package"), failure.what()))
                    .hint("write the name of the package as its package.json has it")
            })
        });
        Ok(Replacement {
            files: self.files(&self.needed(object, "file")?)?,
            package: package.transpose()?,
            declared_in: match &self.given.source {
                Source::File { file, .. } => Some(file.clone()),
                _ => None,
            },
            place: self.place,
            given: Given {
                value: String::new(),
                source: self.given.source.clone(),
            },
            replace: self.replace(&self.needed(object, "replace")?, &search)?,
            search,
        })
    }

    fn needed(self, object: &Map<String, Value>, key: &str) -> Result<String, Failure> {
        let text = self.text(object, key)?;
        text.ok_or_else(|| refused(format!("{} is missing", self.called(key))).hint(EXAMPLE))
    }

    fn text(self, object: &Map<String, Value>, key: &str) -> Result<Option<String>, Failure> {
        let text = match object.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(_) => {
                return Err(refused(format!("{} is not a string", self.called(key))).hint(EXAMPLE));
            }
        };
        if text.len() > LONGEST {
            let what = format!(
                "{} is longer than {}",
                self.called(key),
                size(LONGEST as u64)
            );
            return Err(refused(what).hint("match less of the file"));
        }
        let is_wrong = |letter: &char| letter.is_control() && !"\n\r\t".contains(*letter);
        match text.chars().find(is_wrong) {
            None => Ok(Some(text.clone())),
            Some(letter) => {
                let number = u32::from(letter);
                let called = self.called(key);
                let what = format!("{called} holds the control character U+{number:04X}");
                let code = "settings::control_character";
                Err(Failure::new(Exit::Usage, code, what).hint("take it out"))
            }
        }
    }

    fn files(self, text: &str) -> Result<Files, Failure> {
        const LONGEST_GLOB: usize = 1024;
        const HINT: &str = "write a path or a glob below the workspace, for example docs/*.md, with / and without ..";
        let refuse = |why: &str| {
            let what = format!("{} {} {why}", self.called("file"), quoted(text));
            refused(what).hint(HINT)
        };
        let plain = text.strip_prefix("./").unwrap_or(text);
        let is_glob = plain.contains(['*', '?', '[', '{', '\\']);
        let wrong = ["", ".", ".."];
        if plain.split('/').any(|part| wrong.contains(&part)) || plain.len() > LONGEST_GLOB {
            return Err(refuse("is no path below the workspace"));
        }
        if !is_glob {
            return RepoPath::parse(plain).map(Files::One).map_err(|failure| {
                refuse("is no path below the workspace").because(failure.what())
            });
        }
        if plain.starts_with('!') {
            return Err(refuse("leaves files out instead of naming some"));
        }
        let glob = GlobBuilder::new(plain).literal_separator(true).build();
        match glob {
            Ok(glob) => Ok(Files::Like(glob.compile_matcher())),
            Err(error) => Err(refuse("is not a glob").because(error.kind())),
        }
    }

    /// Lines begin and end where the file's lines do, whatever its line ends are.
    fn search(self, text: &str) -> Result<Regex, Failure> {
        let built = RegexBuilder::new(text).multi_line(true).crlf(true).build();
        let search = built.map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim();
            let why = why.strip_prefix("error: ").unwrap_or(why).to_owned();
            let what = format!(
                "{} {} is no regular expression",
                self.called("search"),
                quoted(text)
            );
            refused(what)
                .because(why)
                .hint("it is one of the Rust crate regex: https://docs.rs/regex/#syntax")
        })?;
        if search.is_match("") {
            let what = format!(
                "{} {} matches where nothing stands",
                self.called("search"),
                quoted(text)
            );
            return Err(refused(what).hint("match the text that is to be replaced"));
        }
        Ok(search)
    }

    fn replace(self, text: &str, search: &Regex) -> Result<Vec<Piece>, Failure> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['$', '{']) {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let taken = if rest.starts_with('$') {
                self.group(rest, search)?
            } else {
                self.placeholder(rest)?
            };
            match taken {
                (Piece::Text(text), length) => {
                    plain.push_str(&text);
                    rest = &rest[length..];
                }
                (piece, length) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(piece);
                    rest = &rest[length..];
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(pieces)
    }

    /// What begins with `$` as the [crate](https://docs.rs/regex/latest/regex/struct.Regex.html#replacement-string-syntax) reads it – `$1`,
    /// `${name}`, `$$` – but that a group must be there. With its length.
    fn group(self, rest: &str, search: &Regex) -> Result<(Piece, usize), Failure> {
        let behind = &rest[1..];
        if behind.starts_with('$') {
            return Ok((Piece::Text("$".to_owned()), 2));
        }
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let (name, around) = if let Some(inside) = behind.strip_prefix('{') {
            (inside.find('}').map_or("", |end| &inside[..end]), 3)
        } else {
            let end = behind.find(|letter| !is_part(letter));
            (&behind[..end.unwrap_or(behind.len())], 1)
        };
        if name.is_empty() && around == 1 {
            return Ok((Piece::Text("$".to_owned()), 1));
        }
        let length = name.len() + around;
        let by_number = name.parse().ok();
        let by_number = by_number.filter(|number| *number < search.captures_len());
        let mut names = search.capture_names();
        let group = by_number.or_else(|| names.position(|known| known == Some(name)));
        group
            .map(|group| (Piece::Group(group), length))
            .ok_or_else(|| {
                let shown = quoted(rest.get(..length).unwrap_or(rest));
                let what = format!("{}: {shown} is no group of search", self.called("replace"));
                refused(what)
                    .hint("$1 is the first group, ${1} the same before a letter, $$ a dollar sign")
            })
    }

    /// A word in braces must be a placeholder; other braces are text. With its length.
    fn placeholder(self, rest: &str) -> Result<(Piece, usize), Failure> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let end = rest.find('}').filter(|end| {
            let inside = &rest[1..*end];
            !inside.is_empty() && inside.chars().all(is_part)
        });
        let Some(end) = end else {
            return Ok((Piece::Text("{".to_owned()), 1));
        };
        let word = &rest[..=end];
        let mut known = Placeholder::ALL.iter();
        known
            .find(|(text, _)| *text == word)
            .map(|(text, placeholder)| (Piece::Value(*placeholder), text.len()))
            .ok_or_else(|| {
                let called = self.called("replace");
                let names = Placeholder::ALL.map(|(text, _)| text);
                refused(format!("{called}: {} is no placeholder", quoted(word)))
                    .hint(format!("write {}", names.join(", ")))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'_> = Values {
        version: "1.2.3",
        name: "@acme/text",
        tag: "@acme/text@1.2.3",
        date: "2026-01-31",
    };

    fn given(value: &str) -> Given {
        Given {
            value: value.to_owned(),
            source: Source::File {
                file: "pkgs.json".to_owned(),
                key: "replacements".to_owned(),
            },
        }
    }

    fn entry(search: &str, replace: &str) -> Value {
        serde_json::json!({"file": "a.md", "search": search, "replace": replace})
    }

    fn one(search: &str, replace: &str) -> Result<Replacement, Failure> {
        let read = read(&given(
            &Value::from(vec![entry(search, replace)]).to_string(),
        ))?;
        Ok(read.into_iter().next().expect("one"))
    }

    #[test]
    fn exactly_the_matches_change() {
        for (search, replace, text, expected, count) in [
            (
                "1\\.0\\.0",
                "{version}",
                "a 1.0.0 b 1.0.0\n",
                "a 1.2.3 b 1.2.3\n",
                2,
            ),
            ("x", "{version}", "a 1.0.0\n", "a 1.0.0\n", 0),
            // Lines begin and end at every line, and their ends stay.
            (
                "^v: .*$",
                "v: {version}",
                "v: 1\r\nw: 1\r\nv: 2",
                "v: 1.2.3\r\nw: 1\r\nv: 1.2.3",
                2,
            ),
            (
                "^v: .*$",
                "v: {version}",
                "v: 1\n\nv: 2\n",
                "v: 1.2.3\n\nv: 1.2.3\n",
                2,
            ),
            (
                "(acme@)[0-9.]+",
                "$1{version}",
                "acme@1.0.0/",
                "acme@1.2.3/",
                1,
            ),
            (
                "(?<before>acme@)[0-9.]+",
                "${before}{version}$$1",
                "acme@1",
                "acme@1.2.3$1",
                1,
            ),
            ("(a)|b", "<$1>", "ab", "<a><>", 2),
            ("a", "$", "a", "$", 1),
            (
                "a",
                "{name} {tag} {date}",
                "é a\u{0}",
                "é @acme/text @acme/text@1.2.3 2026-01-31\u{0}",
                1,
            ),
            (
                "a",
                "{ a: {version} } {} {{version}}",
                "a",
                "{ a: 1.2.3 } {} {1.2.3}",
                1,
            ),
            ("a\nb", "{version}", "a\nb\n", "1.2.3\n", 1),
            // A byte order mark is none of the first line.
            (
                "^v: .*$",
                "v: {version}",
                "\u{feff}v: 1\n",
                "\u{feff}v: 1.2.3\n",
                1,
            ),
            (r"\A(?s:.)", "{version}", "\u{feff}a", "\u{feff}1.2.3", 1),
            ("(?i)Ä", "{version}", "ä", "1.2.3", 1),
        ] {
            let replacement = one(search, replace).expect(search);
            let applied = replacement.apply(text, VALUES, 1000, &mut Effort::new(10_000));
            assert_eq!(
                applied,
                Ok((expected.to_owned(), count)),
                "{search} {replace}"
            );
        }
        let replacement = one("a", "{version}").unwrap();
        let mut effort = Effort::new(1 << 30);
        let mut apply = |replacement: &Replacement, text: &str, longest| {
            let applied = replacement.apply(text, VALUES, longest, &mut effort);
            applied.map(|(_, count)| count)
        };
        assert_eq!(apply(&replacement, "aaaa", 19), Err(Unapplied::TooLong));
        assert_eq!(apply(&replacement, "aaaa", 20), Ok(4));
        let many = one("(?s).+", &"$0".repeat(LONGEST / 2)).unwrap();
        let long = "x".repeat(1 << 20);
        assert_eq!(apply(&many, &long, 1 << 20), Err(Unapplied::TooLong));
        let none = replacement.apply("b", VALUES, 1, &mut Effort::new(0));
        assert_eq!(none, Err(Unapplied::TooMuchWork));
        // Each match counts the rest of its text, and so does the look behind the last one.
        for (bytes, expected) in [(10, Ok(4)), (9, Err(Unapplied::TooMuchWork))] {
            let applied = replacement.apply("aaaa", VALUES, 99, &mut Effort::new(bytes));
            assert_eq!(applied.map(|(_, count)| count), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |key: &str, value: Value| {
            let mut entry = entry("a", "b");
            entry[key] = value;
            Value::from(vec![self::entry("a", "b"), entry]).to_string()
        };
        let text = |key: &str, text: &str| with(key, text.into());
        for (value, expected) in [
            (
                "{".to_owned(),
                "replacements in pkgs.json is not a list of objects in JSON",
            ),
            (
                "{}".to_owned(),
                "replacements in pkgs.json is not a list of objects",
            ),
            (
                "[1]".to_owned(),
                "replacements[0] in pkgs.json is not an object",
            ),
            (
                "[{}]".to_owned(),
                "replacements[0].search in pkgs.json is missing",
            ),
            (
                with("file", Value::Null),
                "replacements[1].file in pkgs.json is missing",
            ),
            (
                with("file", 1.into()),
                "replacements[1].file in pkgs.json is not a string",
            ),
            (
                text("flie", "a"),
                "replacements[1] in pkgs.json: \"flie\" is no key of it",
            ),
            (
                text("file", ""),
                "replacements[1].file in pkgs.json \"\" is no path below the workspace",
            ),
            (
                text("file", "/a"),
                "replacements[1].file in pkgs.json \"/a\" is no path below the workspace",
            ),
            (
                text("file", "../a"),
                "replacements[1].file in pkgs.json \"../a\" is no path below the workspace",
            ),
            (
                text("file", "a/../*"),
                "replacements[1].file in pkgs.json \"a/../*\" is no path below the workspace",
            ),
            (
                text("file", ".git/config"),
                "replacements[1].file in pkgs.json \".git/config\" is no path below the workspace",
            ),
            (
                text("file", "a["),
                "replacements[1].file in pkgs.json \"a[\" is not a glob",
            ),
            (
                text("file", "!a*"),
                "replacements[1].file in pkgs.json \"!a*\" leaves files out instead of naming some",
            ),
            (
                text("package", "A b"),
                "replacements[1].package in pkgs.json: \"A b\" is not a package name: each part starts with a lowercase letter or a digit",
            ),
            (
                text("search", "("),
                "replacements[1].search in pkgs.json \"(\" is no regular expression",
            ),
            (
                text("search", "x*"),
                "replacements[1].search in pkgs.json \"x*\" matches where nothing stands",
            ),
            (
                text("search", ""),
                "replacements[1].search in pkgs.json \"\" matches where nothing stands",
            ),
            (
                text("replace", "{verison}"),
                "replacements[1].replace in pkgs.json: \"{verison}\" is no placeholder",
            ),
            (
                text("replace", "$1"),
                "replacements[1].replace in pkgs.json: \"$1\" is no group of search",
            ),
            (
                text("replace", "${x"),
                "replacements[1].replace in pkgs.json: \"${x\" is no group of search",
            ),
            (
                text("replace", &"x".repeat(LONGEST + 1)),
                "replacements[1].replace in pkgs.json is longer than 16 KiB",
            ),
            (
                Value::from(vec![entry("a", "b"); MOST + 1]).to_string(),
                "replacements in pkgs.json has 501 entries, more than 500",
            ),
        ] {
            let failure = read(&given(&value)).expect_err(expected);
            assert_eq!(
                (failure.code(), failure.what()),
                ("settings::replacement", expected)
            );
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.advice().is_some(), "{expected}");
        }
        let held = read(&given(&text("replace", "\u{0}"))).unwrap_err();
        assert_eq!(held.code(), "settings::control_character");
        let both = r#"[{"search": "("}, {"file": "a", "search": "a", "replace": "{a}"}]"#;
        assert_eq!(read(&given(both)).unwrap_err().each().count(), 2);
        let twice = r#"[{"file": "a", "file": "b", "search": "a", "replace": "b"}]"#;
        assert!(read(&given(twice)).is_err());
    }
}
