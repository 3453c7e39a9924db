//! npm's own settings files: lines of `key = value`, in which `${VAR}` stands for a variable. Only read, and only as far as they say
//! where packages go and with which credentials.
//!
//! The form is that of npm's [ini](https://github.com/npm/ini) and of
//! [env-replace](https://github.com/npm/cli/blob/latest/workspaces/config/lib/env-replace.js).

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, Place};

/// The longest file that is read, in bytes.
pub const LONGEST: u64 = 256 << 10;
/// The most lines that may say something.
const MOST_ENTRIES: usize = 4_000;

/// Who decides what a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Whoever may commit to the repository.
    Repository,
    /// Whoever runs us: it lies outside the repository.
    User,
}

/// An `.npmrc` as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmrcFile {
    /// Its name, as people know it.
    pub shown: String,
    /// Its text.
    pub text: String,
    /// Who decides what it says.
    pub whose: Whose,
}

/// A line that says something, as it stands there: variables are not replaced yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What stands before the first `=`.
    pub key: String,
    /// What stands behind it; `true` where there is no `=`.
    pub value: String,
    /// The line, from 1.
    pub line: usize,
}

/// The entries of a file, in its order; of one key the last counts. Lists (`key[]`) and sections hold nothing that is read here.
///
/// # Errors
/// `settings::npmrc`, exit 2, of a file that says more than anybody writes.
pub fn entries(file: &str, text: &str) -> Result<Vec<Entry>, Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') {
            break;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (unquoted(key), unquoted(value)),
            None => (unquoted(line), "true".to_owned()),
        };
        if key.is_empty() || key.ends_with("[]") {
            continue;
        }
        if entries.len() == MOST_ENTRIES {
            let what = format!("{file} has more than {MOST_ENTRIES} entries");
            return Err(Failure::new(Exit::Usage, "settings::npmrc", what)
                .place(Place::file(file))
                .hint("take out what is not needed"));
        }
        entries.push(Entry {
            key,
            value,
            line: index + 1,
        });
    }
    Ok(entries)
}

/// A key or value without its quotes, or up to the first `;` or `#` that no `\` stands before.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    let between = |quote: char| {
        let inner = text.strip_prefix(quote)?;
        Some(inner.strip_suffix(quote).unwrap_or_default())
    };
    let is_quoted = |quote: char| text.starts_with(quote) && text.ends_with(quote);
    if is_quoted('"') {
        // What is no JSON stays as it stands there, as in npm.
        return serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
    }
    if is_quoted('\'') {
        let inner = between('\'').unwrap_or_default();
        return serde_json::from_str::<String>(inner).unwrap_or_else(|_| inner.to_owned());
    }
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ';' | '#' => break,
            '\\' => match letters.next() {
                Some(escaped @ ('\\' | ';' | '#')) => plain.push(escaped),
                Some(other) => plain.extend(['\\', other]),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain.trim().to_owned()
}

/// A text with its variables replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text; what is not set stands there as npm leaves it, `${VAR}`.
    pub text: String,
    /// The variables that stand in it.
    pub variables: Vec<String>,
    /// Those of them that are not set and have no `?`.
    pub unset: Vec<String>,
}

/// Replaces `${VAR}` by the variable, `${VAR?}` by the variable or nothing; `\${VAR}` stays `${VAR}`.
pub fn expand(text: &str, environment: &BTreeMap<String, String>) -> Expanded {
    let mut expanded = Expanded::default();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        let Some((name, is_optional, length)) = reference(&rest[start..]) else {
            expanded.text.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
            continue;
        };
        let escapes = before.len() - before.trim_end_matches('\\').len();
        let kept = &before[..before.len() - escapes];
        expanded.text.push_str(kept);
        expanded.text.push_str(&"\\".repeat(escapes / 2));
        let whole = &rest[start..start + length];
        rest = &rest[start + length..];
        if escapes % 2 == 1 {
            expanded.text.push_str(whole);
            continue;
        }
        expanded.variables.push(name.to_owned());
        match environment.get(name) {
            Some(value) => expanded.text.push_str(value),
            None if is_optional => {}
            None => {
                expanded.text.push_str(whole);
                expanded.unset.push(name.to_owned());
            }
        }
    }
    expanded.text.push_str(rest);
    expanded
}

/// The variable that a text begins with, whether it may be unset, and how long that is.
fn reference(text: &str) -> Option<(&str, bool, usize)> {
    let inner = text.strip_prefix("${")?;
    let end = inner.find(['$', '{', '}', '?'])?;
    let (name, rest) = inner.split_at(end);
    let is_optional = rest.starts_with("?}");
    let closed = is_optional || rest.starts_with('}');
    let length = 2 + name.len() + 1 + usize::from(is_optional);
    (closed && !name.is_empty()).then_some((name, is_optional, length))
}

/// npm's settings among the variables: `npm_config_<key>` in any case, `_` for `-`. Keys that begin with `//` stay as they are.
pub fn from_environment(environment: &BTreeMap<String, String>) -> Vec<(String, String, String)> {
    const PREFIX: &str = "npm_config_";
    let ours = |(name, value): (&String, &String)| {
        let prefix = name.get(..PREFIX.len())?;
        if !prefix.eq_ignore_ascii_case(PREFIX) || value.is_empty() {
            return None;
        }
        let key = &name[PREFIX.len()..];
        let key = if key.starts_with("//") {
            key.to_owned()
        } else {
            let first = key.chars().next()?.len_utf8();
            let (first, rest) = key.split_at(first);
            format!("{first}{}", rest.replace('_', "-")).to_lowercase()
        };
        Some((name.clone(), key, value.trim().to_owned()))
    };
    environment.iter().filter_map(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_npm_reads_them() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let entries = entries(".npmrc", text).expect("entries");
            let found: Vec<(&str, &str)> = entries
                .iter()
                .map(|entry| (entry.key.as_str(), entry.value.as_str()))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("a=b", &[("a", "b")]);
        check("\u{feff} a = b \r\n", &[("a", "b")]);
        check("; a=b\n # c=d\n\n", &[]);
        check("a=b=c==", &[("a", "b=c==")]);
        check("a", &[("a", "true")]);
        check("a=", &[("a", "")]);
        check("a=b ; said\nc=d#e", &[("a", "b"), ("c", "d")]);
        check("a=b\\;c\\#d\\\\e\\f", &[("a", "b;c#d\\e\\f")]);
        check("\"a\" = \"b;c\"", &[("a", "b;c")]);
        check("a='b;c'", &[("a", "b;c")]);
        check("a=\"b\\\"c\"", &[("a", "b\"c")]);
        check("a=\"b\\c\"", &[("a", "\"b\\c\"")]);
        check("a='", &[("a", "")]);
        check("a[]=b", &[]);
        check("a=1\n[section]\nb=2", &[("a", "1")]);
        check(
            "@x:registry=https://npm.example/",
            &[("@x:registry", "https://npm.example/")],
        );
        check("a=\\${X}", &[("a", "\\${X}")]);
        check("=b", &[]);
    }

    #[test]
    fn a_line_is_known_by_its_number() {
        let entries = entries(".npmrc", "\n# x\na=b\r\n\r\nc=d").expect("entries");
        let lines: Vec<usize> = entries.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [3, 5]);
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let text = "a=b\n".repeat(MOST_ENTRIES);
        assert!(entries(".npmrc", &text).is_ok());
        let failure = entries(".npmrc", &(text + "c=d")).expect_err("too many");
        assert_eq!(failure.code(), "settings::npmrc");
    }

    #[test]
    fn variables_are_replaced_as_npm_replaces_them() {
        let environment = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("E".to_owned(), String::new()),
        ]);
        let check = |text: &str, expected: &str, unset: &[&str]| {
            let expanded = expand(text, &environment);
            assert_eq!(expanded.text, expected, "{text}");
            assert_eq!(expanded.unset, unset, "{text}");
        };
        check("x", "x", &[]);
        check("${A}", "1", &[]);
        check("x${A}y${A}", "x1y1", &[]);
        check("${E}", "", &[]);
        check("${B}", "${B}", &["B"]);
        check("${B?}", "", &[]);
        check("${A?}", "1", &[]);
        check("\\${A}", "${A}", &[]);
        check("\\\\${A}", "\\1", &[]);
        check("\\\\\\${A}", "\\${A}", &[]);
        check("$A", "$A", &[]);
        check("${}", "${}", &[]);
        check("${A", "${A", &[]);
        check("${A-x}", "${A-x}", &["A-x"]);
        check("${${A}}", "${1}", &[]);
        check("${A?x}", "${A?x}", &[]);
    }

    #[test]
    fn npm_takes_settings_from_variables() {
        let environment = [
            ("npm_config_registry", "https://a.example/"),
            ("NPM_CONFIG_@X:REGISTRY", "https://b.example/"),
            ("npm_config_//c.example/:_authToken", "t"),
            ("npm_config__authToken", "t"),
            ("npm_config_always_auth", "true"),
            ("npm_config_empty", ""),
            ("npm_config_", "x"),
            ("npm_lifecycle_event", "x"),
            ("ñpm_config_x", "x"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = from_environment(&environment.into());
        let keys: Vec<&str> = found.iter().map(|(_, key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "@x:registry",
                "//c.example/:_authToken",
                "_authtoken",
                "always-auth",
                "registry"
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in "([a-z@:/=;#'\"\\\\$\\{\\}? \n]|\\PC){0,60}") {
            for entry in entries(".npmrc", &text).expect("few entries") {
                let _ = expand(&entry.value, &BTreeMap::new());
                proptest::prop_assert!(!entry.key.is_empty() && entry.line > 0);
            }
        }

        #[test]
        fn a_text_without_variables_stays_as_it_is(text in "[^$]{0,40}") {
            let expanded = expand(&text, &BTreeMap::new());
            proptest::prop_assert_eq!(expanded.text, text);
            proptest::prop_assert!(expanded.variables.is_empty());
        }
    }
}
