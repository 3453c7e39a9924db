//! Intents: files in which people say how far packages grow and what users are told about it, in the form that changesets users know.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::settings::given::nearest;
use crate::version::Bump;

/// The directory of a workspace in which intents lie.
pub const DIRECTORY: &str = ".changeset";
/// The file there that says that changesets makes prereleases.
pub const PRE_MODE: &str = "pre.json";
/// The longest intent that is read, in bytes.
const LONGEST: usize = 256 * 1024;
/// The words that an intent may say of a package.
const WORDS: [(&str, Option<Bump>); 4] = [
    ("patch", Some(Bump::Patch)),
    ("minor", Some(Bump::Minor)),
    ("major", Some(Bump::Major)),
    ("none", None),
];

/// An intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its file.
    pub file: RepoPath,
    /// What it says of packages, in its order.
    pub entries: Vec<Entry>,
    /// What users are told: Markdown, its lines divided by `\n`, without empty lines around it.
    pub text: String,
    /// The whole file.
    source: String,
}

/// What an intent says of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The package's name, as it is written.
    pub package: String,
    /// How far it grows; `None`: the intent says `none`, which counts for nothing.
    pub bump: Option<Bump>,
    /// The line in which that stands, from 1.
    pub line: usize,
}

/// Whether a file of the directory is an intent: `*.md`, but for hidden files and what explains the directory to people and programs.
///
/// ```
/// use pkgs_action::changes::intent::is_intent;
/// assert!(is_intent("brave-dogs-sing.md"));
/// assert!(!is_intent("README.md") && !is_intent("config.json") && !is_intent(".draft.md"));
/// ```
#[must_use]
pub fn is_intent(name: &str) -> bool {
    const OTHERS: [&str; 3] = ["AGENTS.md", "CLAUDE.md", "GEMINI.md"];
    let is_markdown = name.strip_suffix(".md").is_some();
    let is_readme = name.eq_ignore_ascii_case("README.md");
    is_markdown && !name.starts_with('.') && !is_readme && !OTHERS.contains(&name)
}

impl Intent {
    /// Reads the content of `file`: a line `---`, lines `"<package>": patch|minor|major|none`, a line `---`, then the text. Quotes may be
    /// missing, lines may be empty or begin with `#`, and there may be no package at all.
    ///
    /// ```
    /// use pkgs_action::changes::intent::Intent;
    /// use pkgs_action::name::RepoPath;
    /// let file = RepoPath::parse(".changeset/x.md").unwrap();
    /// let intent = Intent::parse(&file, b"---\n\"@x/a\": minor\nb: patch\n---\n\nCount words.\n").unwrap();
    /// assert_eq!((intent.entries.len(), intent.entries[1].line, intent.text.as_str()), (2, 3, "Count words."));
    /// ```
    ///
    /// # Errors
    /// `intent::form`, `intent::bump` and `intent::twice`, exit 3, all that are found.
    pub fn parse(file: &RepoPath, content: &[u8]) -> Result<Intent, Failure> {
        if content.len() > LONGEST {
            let why = format!("it is longer than {} KiB", LONGEST / 1024);
            return Err(malformed(file, None, why));
        }
        let Ok(source) = std::str::from_utf8(content) else {
            return Err(malformed(file, None, "it is not UTF-8 text"));
        };
        let text = source.strip_prefix('\u{feff}').unwrap_or(source);
        let mut lines = text.lines().enumerate();
        let first = lines.find(|(_, line)| !line.trim().is_empty());
        let Some((begin, _)) = first.filter(|(_, line)| line.trim() == "---") else {
            let line = first.map(|(index, _)| index + 1);
            return Err(malformed(file, line, "it does not begin with a line ---"));
        };
        let Some((end, _)) = lines.find(|(_, line)| line.trim() == "---") else {
            let why = "no second line --- ends what it says of packages";
            return Err(malformed(file, Some(begin + 1), why));
        };
        let said = text.lines().enumerate().take(end).skip(begin + 1);
        let rest: Vec<&str> = text.lines().skip(end + 1).map(str::trim_end).collect();
        Ok(Intent {
            file: file.clone(),
            entries: entries(file, said)?,
            text: rest.join("\n").trim_matches('\n').to_owned(),
            source: source.to_owned(),
        })
    }

    /// What users are told first, for a list.
    pub fn title(&self) -> &str {
        title(&self.text)
    }

    /// The file without what it says of some packages; every other byte stays.
    pub fn without(&self, is_left_out: impl Fn(&Entry) -> bool) -> String {
        let left_out = |index: usize| {
            let mut entries = self.entries.iter();
            entries.any(|entry| entry.line == index + 1 && is_left_out(entry))
        };
        let lines = self.source.split_inclusive('\n').enumerate();
        lines
            .filter(|(index, _)| !left_out(*index))
            .map(|(_, line)| line)
            .collect()
    }
}

/// The first line of a text that says something.
pub fn title(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// That a file is no intent, and why.
pub fn malformed(file: &RepoPath, line: Option<usize>, why: impl std::fmt::Display) -> Failure {
    let place = match line {
        Some(line) => Place::at(file.as_str(), line, 1),
        None => Place::file(file.as_str()),
    };
    Failure::new(
        Exit::Refused,
        "intent::form",
        format!("{file} is no intent"),
    )
    .because(why)
    .place(place)
    .hint("write a line ---, lines such as \"name\": minor, a line ---, then what users should know; other files belong elsewhere")
}

fn entries<'t>(
    file: &RepoPath,
    lines: impl Iterator<Item = (usize, &'t str)>,
) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for (index, line) in lines {
        let number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((package, word)) = named(line) else {
            let why = format!("{} is not of the form \"name\": minor", quoted(line));
            problems.push(malformed(file, Some(number), why));
            continue;
        };
        let place = Place::at(file.as_str(), number, 1);
        if let Some(before) = seen.insert(package, number) {
            let what = format!("{file} names {} twice", quoted(package));
            let twice = Failure::new(Exit::Refused, "intent::twice", what);
            problems.push(
                twice
                    .because(format!("line {before} names it, too"))
                    .place(place)
                    .hint("keep the line that is meant"),
            );
            continue;
        }
        match WORDS.iter().find(|(known, _)| *known == word) {
            Some((_, bump)) => entries.push(Entry {
                package: package.to_owned(),
                bump: *bump,
                line: number,
            }),
            None => problems.push(unknown_word(file, package, word).place(place)),
        }
    }
    Failure::all(problems).map_or(Ok(entries), Err)
}

fn unknown_word(file: &RepoPath, package: &str, word: &str) -> Failure {
    let what = format!(
        "{file} asks for {} of {}, which is none of patch, minor, major and none",
        quoted(word),
        quoted(package)
    );
    let failure = Failure::new(Exit::Refused, "intent::bump", what);
    match nearest(word, WORDS.iter().map(|(known, _)| *known)) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint("write patch, minor, major or none"),
    }
}

/// Name and word of a line such as `"@x/a": minor`, with or without quotes, and with a comment behind it.
fn named(line: &str) -> Option<(&str, &str)> {
    let (package, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => line[1..].split_once(quote)?,
        _ => line.split_at_checked(line.find(':')?)?,
    };
    let word = rest.trim_start().strip_prefix(':')?;
    let word = word.split_once(" #").map_or(word, |(word, _)| word);
    let divided = word.starts_with(char::is_whitespace);
    let word = word.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = word.strip_prefix(quote)?;
        inner.strip_suffix(quote)
    });
    let package = package.trim();
    let is_said = divided && !package.is_empty() && !word.is_empty();
    is_said.then_some((package, unquoted.unwrap_or(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Intent, Failure> {
        Intent::parse(
            &RepoPath::parse(".changeset/x.md").unwrap(),
            text.as_bytes(),
        )
    }

    #[test]
    fn what_intents_say() {
        fn check(text: &str, entries: &[(&str, Option<Bump>, usize)], told: &str) {
            let intent = parse(text).unwrap();
            let found: Vec<(&str, Option<Bump>, usize)> = intent
                .entries
                .iter()
                .map(|entry| (entry.package.as_str(), entry.bump, entry.line))
                .collect();
            assert_eq!(found, entries, "{text:?}");
            assert_eq!(intent.text, told, "{text:?}");
        }
        let (patch, minor, major) = (Some(Bump::Patch), Some(Bump::Minor), Some(Bump::Major));
        check("---\n\"a\": patch\n---\n\nx\n", &[("a", patch, 2)], "x");
        check(
            "---\n'@x/a': \"minor\"\n@x/b: major\n\"c\" :  none\n---\nx\n\n  y  \n\n",
            &[("@x/a", minor, 2), ("@x/b", major, 3), ("c", None, 4)],
            "x\n\n  y",
        );
        check(
            "\u{feff}\r\n--- \r\n# why\r\n\r\n a: patch # so\r\n---\r\n\r\nx\r\n\r\n- y\r\n",
            &[("a", patch, 5)],
            "x\n\n- y",
        );
        check("---\n---\n", &[], "");
        check("---\n---", &[], "");
        check(
            "---\na: patch\n---\nx\n---\ny\n",
            &[("a", patch, 2)],
            "x\n---\ny",
        );
    }

    #[test]
    fn what_is_no_intent_is_refused_with_its_line() {
        fn check(text: &str, code: &str, places: &[Option<usize>]) {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Refused);
            assert_eq!(failure.code(), code, "{text:?}");
            let found: Vec<Option<usize>> = failure
                .each()
                .map(|failure| {
                    let place = failure.where_in().expect("a place");
                    assert_eq!(place.file, ".changeset/x.md");
                    place.position.map(|(line, _)| line)
                })
                .collect();
            assert_eq!(found, places, "{text:?}");
        }
        check("", "intent::form", &[None]);
        check("\n  \n", "intent::form", &[None]);
        check("\nwords\n", "intent::form", &[Some(2)]);
        check("--\na: patch\n---\n", "intent::form", &[Some(1)]);
        check("---\na: patch\n", "intent::form", &[Some(1)]);
        check("---\na: patch\n----\nx\n", "intent::form", &[Some(1)]);
        check("---\na\n---\n", "intent::form", &[Some(2)]);
        check("---\na:patch\n---\n", "intent::form", &[Some(2)]);
        check("---\na:\n---\n", "intent::form", &[Some(2)]);
        check("---\n\"a: patch\n---\n", "intent::form", &[Some(2)]);
        check("---\n\"\": patch\n---\n", "intent::form", &[Some(2)]);
        check("---\n{a: patch}\n---\n", "intent::bump", &[Some(2)]);
        check("---\n- a: patch\nb\n---\n", "intent::form", &[Some(3)]);
        check("---\na: path\n---\n", "intent::bump", &[Some(2)]);
        check(
            "---\na: Patch\nb: huge\n---\n",
            "intent::bump",
            &[Some(2), Some(3)],
        );
        check(
            "---\na: patch\n\"a\": minor\n---\n",
            "intent::twice",
            &[Some(3)],
        );
        check(
            &format!("---\n---\n{}", "x".repeat(LONGEST)),
            "intent::form",
            &[None],
        );
        let latin = Intent::parse(&RepoPath::parse("x.md").unwrap(), b"---\n---\n\xe9");
        assert_eq!(latin.unwrap_err().code(), "intent::form");
        let near = parse("---\na: mnior\n---\n").unwrap_err();
        assert_eq!(near.advice(), Some("did you mean minor?"));
    }

    #[test]
    fn a_part_of_an_intent_is_taken_out_and_every_other_byte_stays() {
        let text = "\u{feff}---\r\n\"a\": patch\r\n# b\r\nb: minor\n---\r\n\r\nx\r\ny";
        let rest = parse(text).unwrap().without(|entry| entry.package == "a");
        assert_eq!(rest, text.replace("\"a\": patch\r\n", ""));
    }

    #[test]
    fn which_files_are_intents() {
        for (name, expected) in [
            ("a.md", true),
            ("a b.md", true),
            ("a.MD", false),
            ("readme.md", false),
            ("CLAUDE.md", false),
            ("config.json", false),
            (".md", false),
            ("md", false),
        ] {
            assert_eq!(is_intent(name), expected, "{name}");
        }
    }
}
