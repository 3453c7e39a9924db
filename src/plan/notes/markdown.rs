//! Untrusted text in Markdown. Whoever may open a pull request writes commit messages, and changelogs and release pages show them.
//! Intents are files that were reviewed with the code: their Markdown stays, but within its entry.
//!
//! What stands in a line stays in it, and is shown as it was written: no heading, list, quote, HTML, link, image or emphasis, and
//! nobody is notified. A backslash in front of punctuation is enough against Markdown itself, but not against what forges do with the
//! finished text (`@name`, `owner/name#1`, bare addresses, `$math$`): a word with any of that stands in a code span, where they leave
//! it alone. Code spans of the writer's own stay what they are.

use super::file::fence_of;
use crate::explain::safe_line;

/// Text as a code span that cannot end early.
///
/// ```
/// use pkgs_action::plan::notes::markdown::code;
/// assert_eq!(code("@x/a"), "`@x/a`");
/// assert_eq!(code("a`b"), "`` a`b ``");
/// ```
#[must_use]
pub fn code(text: &str) -> String {
    let text = safe_line(text);
    let longest = text
        .split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 {
        format!("{fence}{text}{fence}")
    } else {
        format!("{fence} {text} {fence}")
    }
}

/// Text as a part of a line that begins with words of our own; of a very long text its beginning.
///
/// ```
/// use pkgs_action::plan::notes::markdown::inline;
/// assert_eq!(inline("take `null` from @koa/router, *not* <b>"), r"take `null` from `@koa/router,` \*not\* \<b\>");
/// ```
#[must_use]
pub fn inline(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = safe_line(text.trim());
    let cut = line.char_indices().nth(LONGEST).map(|(at, _)| &line[..at]);
    let words = words(cut.unwrap_or(&line));
    let mut words: Vec<String> = words.iter().map(|word| one_word(word)).collect();
    words.extend(cut.map(|_| "…".to_owned()));
    words.join(" ")
}

/// Markdown as an entry of a list, behind the names that it is about. Nothing ends the entry or begins a section: headings become bold,
/// and what is opened (a block of code, a comment) is closed.
///
/// ```
/// use pkgs_action::plan::notes::markdown::entry;
/// assert_eq!(entry(None, "Count *words*.\n\n## How\n- `count`"), "Count *words*.\n\n  **How**\n  - `count`");
/// assert_eq!(entry(Some("`core`"), "Count words."), "`core`: Count words.");
/// ```
#[must_use]
pub fn entry(names: Option<&str>, text: &str) -> String {
    let mut lines = contained(text).into_iter().peekable();
    let mut entry = names.map_or_else(String::new, |names| format!("{names}:"));
    if let Some(first) = lines.next_if(|first| !begins_block(first)) {
        let space = if entry.is_empty() { "" } else { " " };
        entry = format!("{entry}{space}{first}");
    }
    for line in lines {
        entry.push('\n');
        if !line.is_empty() {
            entry.push_str("  ");
            entry.push_str(&line);
        }
    }
    entry
}

/// Whether a line begins a block that cannot stand behind other words.
fn begins_block(line: &str) -> bool {
    let number = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let is_numbered = number.len() < line.len() && number.starts_with(['.', ')']);
    let is_item = ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark));
    fence_of(line).is_some() || is_numbered || is_item || line.starts_with(['>', '|', '<', ' '])
}

/// The lines of a text, made so that they stay in one entry.
fn contained(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // The fence of an open block of code, and how many spaces are taken from its lines.
    let mut fence: Option<(String, usize)> = None;
    for line in text.lines() {
        let line = safe_line(line.replace('\t', "    ").trim_end());
        let start = line.trim_start();
        let indent = line.len() - line.trim_start_matches(' ').len();
        if let Some((open, taken)) = &fence {
            let closes =
                start.starts_with(open.as_str()) && start.trim_start_matches(&open[..1]).is_empty();
            lines.push(line[indent.min(*taken)..].to_owned());
            fence = fence.filter(|_| !closes);
            continue;
        }
        if let Some(open) = fence_of(start) {
            // Inside the entry it would be indented so far that it is a fence to some readers and none to others.
            let taken = if indent < 2 { 0 } else { indent };
            lines.push(line[taken..].to_owned());
            fence = Some((open.to_owned(), taken));
            continue;
        }
        let heading = start.trim_start_matches('#');
        let level = start.len() - heading.len();
        let is_heading = (1..=6).contains(&level) && heading.starts_with(' ');
        let is_only = |of: char| !start.is_empty() && start.chars().all(|next| next == of);
        lines.push(if is_heading {
            format!("**{}**", heading.trim().trim_end_matches('#').trim_end())
        } else if is_only('=') || is_only('-') || is_only('#') {
            format!("\\{start}")
        } else {
            line.replace("<!--", "\\<!--")
        });
    }
    lines.extend(fence.map(|(open, _)| open));
    lines
}

/// A piece of a word.
#[derive(Debug, Clone, Copy)]
enum Piece<'a> {
    /// A code span with its backticks, which may hold spaces.
    Code(&'a str),
    /// Anything else.
    Text(&'a str),
}

/// The words of a line, in pieces; the spaces of a code span part no words.
fn words(line: &str) -> Vec<Vec<Piece<'_>>> {
    let mut words = vec![Vec::new()];
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (taken, piece) = if first == '`' {
            let ticks = rest.len() - rest.trim_start_matches('`').len();
            match end_of_span(rest, ticks) {
                Some(end) => (end, Some(Piece::Code(&rest[..end]))),
                None => (ticks, Some(Piece::Text(&rest[..ticks]))),
            }
        } else if first.is_whitespace() {
            (first.len_utf8(), None)
        } else {
            let end = rest.find(|next: char| next == '`' || next.is_whitespace());
            let end = end.unwrap_or(rest.len());
            (end, Some(Piece::Text(&rest[..end])))
        };
        match (piece, words.last_mut()) {
            (Some(piece), Some(word)) => word.push(piece),
            _ => words.push(Vec::new()),
        }
        rest = &rest[taken..];
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Where a code span that `ticks` backticks open ends: after the next run of exactly as many.
fn end_of_span(text: &str, ticks: usize) -> Option<usize> {
    let mut at = ticks;
    loop {
        at += text[at..].find('`')?;
        let run = text[at..].len() - text[at..].trim_start_matches('`').len();
        at += run;
        if run == ticks {
            return Some(at);
        }
    }
}

fn one_word(pieces: &[Piece<'_>]) -> String {
    let is_active = |piece: &Piece<'_>| matches!(piece, Piece::Text(text) if is_active(text));
    if pieces.iter().any(is_active) {
        let whole: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Code(text) | Piece::Text(text) => *text,
            })
            .collect();
        return code(&whole);
    }
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Code(text) => (*text).to_owned(),
            Piece::Text(text) => escaped(text),
        })
        .collect()
}

/// Whether a forge makes something of this text that a backslash does not prevent: a mention, a link, a formula.
fn is_active(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let other_repository = text.match_indices('#').any(|(at, _)| {
        text[..at].ends_with(|before: char| before.is_alphanumeric() || "._-".contains(before))
    });
    text.contains(['@', '$']) || lower.contains("//") || lower.contains("www.") || other_repository
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\`*_[]<>&~|".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_line() {
        fn check(text: &str, expected: &str) {
            assert_eq!(inline(text), expected, "{text:?}");
        }
        check("plain words (#12)", "plain words (#12)");
        check("  spaces \t\u{a0} between  ", r"spaces \\t between");
        check("a\n## heading", r"`a\n##` heading");
        check("## heading", "## heading");
        check("a\r\n\r\n- item", r"a\\r\\n\\r\\n- item");
        check(
            "<script>alert(1)</script>",
            r"\<script\>alert(1)\</script\>",
        );
        check("<!-- open", r"\<!-- open");
        check("&lt;b&gt;", r"\&lt;b\&gt;");
        check("[a](javascript:b)", r"\[a\](javascript:b)");
        check("![a](b)", r"!\[a\](b)");
        check("[^1]: note", r"\[^1\]: note");
        check("**a** __b__ ~~c~~", r"\*\*a\*\* \_\_b\_\_ \~\~c\~\~");
        check(r"a \* b \", r"a \\\* b \\");
        check("a | b", r"a \| b");
        check("thanks @ada!", "thanks `@ada!`");
        check("mail a@b.example", "mail `a@b.example`");
        check("see https://evil.example/a", "see `https://evil.example/a`");
        check("see //evil.example", "see `//evil.example`");
        check("see <HTTPS://evil.example>", "see `<HTTPS://evil.example>`");
        check("see WWW.evil.example", "see `WWW.evil.example`");
        check("like evil/repo#1", "like `evil/repo#1`");
        check("costs $5 or $x$", "costs `$5` or `$x$`");
        check("a\u{202e}b", r"a\\u{202e}b");
        check(&"a".repeat(400), &format!("{} …", "a".repeat(300)));
    }

    #[test]
    fn code_spans_stay_code_spans() {
        fn check(text: &str, expected: &str) {
            assert_eq!(inline(text), expected, "{text:?}");
        }
        check("take `null`", "take `null`");
        check("take `a b` and ``c`d``", "take `a b` and ``c`d``");
        check("`<b> @x`, *y*", r"`<b> @x`, \*y\*");
        check("one ` only", r"one \` only");
        check("``two ` runs", r"\`\`two \` runs");
        check(r"\`a`", r"\\`a`");
        check("`a`@ada", "`` `a`@ada ``");
        check("@`a b`", "`` @`a b` ``");
        check("`a @ada", r"\`a `@ada`");
        check("```", r"\`\`\`");
    }

    #[test]
    fn markdown_stays_in_its_entry() {
        fn check(text: &str, expected: &str) {
            assert_eq!(entry(None, text), expected, "{text:?}");
        }
        check("plain [words](x) @ada", "plain [words](x) @ada");
        check("a\n## b ##\n#c\n###", "a\n  **b**\n  #c\n  \\###");
        check("a\n---\nb\n==\n-", "a\n  \\---\n  b\n  \\==\n  \\-");
        check("- a\n  - b", "\n  - a\n    - b");
        check("1. a", "\n  1. a");
        check("```\n# a\n", "\n  ```\n  # a\n  ```");
        check(
            "a\n~~~~ js\n~~~\n~~~~\n# b",
            "a\n  ~~~~ js\n  ~~~\n  ~~~~\n  **b**",
        );
        check("  ```\n", "\n  ```\n  ```");
        check(
            "    ```\n\u{3000}\u{3000}a\n  b",
            "\n  ```\n  \u{3000}\u{3000}a\n  b\n  ```",
        );
        check(
            "1. a\n   ```js\n   if\n     b\n   ```\n2. c",
            "\n  1. a\n  ```js\n  if\n    b\n  ```\n  2. c",
        );
        check("a <!-- b", "a \\<!-- b");
        check(
            "a\n\tb \n\n\u{1b}[2J\u{202e}",
            "a\n      b\n\n  \\u{1b}[2J\\u{202e}",
        );
    }

    proptest::proptest! {
        /// Every line but the first is indented or empty, and a new section is found above it as above any other.
        #[test]
        fn an_entry_hides_no_section(text in "([#=`~<!\\- a1.]{0,6}\n){0,6}") {
            let shown = entry(None, &text);
            proptest::prop_assert!(shown.lines().skip(1).all(|line| line.is_empty() || line.starts_with("  ")));
            let before = format!("## 3.0.0\n\n- {shown}\n");
            let after = "\n## 2.0.0\n\n- begin\n";
            let version = crate::version::Version::parse("2.0.0").unwrap();
            let whole = format!("{before}{after}");
            proptest::prop_assert!(super::super::file::with_section(&whole, "## 4.0.0\n", Some(&version)).is_none(), "{}", whole);
        }

        /// A small reading of what CommonMark says of backslashes and backticks finds nothing active outside of code spans.
        #[test]
        fn nothing_active_is_left(text in r"[`\\*@a#$<\[ /:]{0,24}") {
            let shown = inline(&text);
            let mut rest = shown.as_str();
            let mut before = ' ';
            while let Some(first) = rest.chars().next() {
                let taken = match first {
                    '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                    '`' => {
                        let ticks = rest.len() - rest.trim_start_matches('`').len();
                        let end = end_of_span(rest, ticks);
                        proptest::prop_assert!(end.is_some(), "{} has an open span", shown);
                        end.unwrap_or(1)
                    }
                    other => {
                        proptest::prop_assert!(!"*@$<[".contains(other), "{} holds {}", shown, other);
                        proptest::prop_assert!(other != '#' || before != 'a', "{} holds a reference", shown);
                        proptest::prop_assert!(!rest.starts_with("//"), "{} holds an address", shown);
                        other.len_utf8()
                    }
                };
                before = first;
                rest = &rest[taken..];
            }
        }
    }
}
