//! A new section in a changelog that people, or other tools, have written before: every other byte stays.

use crate::version::Version;

/// A file that begins with a section: what is written where there is none.
#[must_use]
pub fn begun_with(section: &str) -> String {
    format!("# Changelog\n\n{section}")
}

/// `text` with `section` (lines that end with `\n`) above the newest one: below front matter, the title, what introduces it, and what is not
/// released yet; an empty file gets a title. The file's line ends, its byte order mark and a missing line end at its end are kept. `None` where
/// a heading is about `version` already: somebody wrote that section by hand.
///
/// ```
/// use pkgs_action::plan::notes::file::with_section;
/// let text = "# Changes\n\n## 1.0.0\n\n- begin\n";
/// assert_eq!(with_section(text, "## 1.1.0\n\n- more\n", None).unwrap(), "# Changes\n\n## 1.1.0\n\n- more\n\n## 1.0.0\n\n- begin\n");
/// ```
#[must_use]
pub fn with_section(text: &str, section: &str, version: Option<&Version>) -> Option<String> {
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let start = mark + front_matter(&text[mark..]);
    let headings = headings(&text[start..]);
    if version.is_some_and(|version| headings.iter().any(|heading| is_about(heading, version))) {
        return None;
    }
    let (before, after) = text.split_at(start + place(&text[start..], &headings));
    let is_dos = text
        .find('\n')
        .is_some_and(|end| text[..end].ends_with('\r'));
    let line_end = if is_dos { "\r\n" } else { "\n" };
    let mut whole = before.to_owned();
    if before.len() > mark {
        if !before.ends_with('\n') {
            whole.push_str(line_end);
        }
        let last = before.strip_suffix('\n').unwrap_or(before);
        if !last.trim_end_matches('\r').ends_with('\n') {
            whole.push_str(line_end);
        }
    }
    let section = if text[mark..].trim().is_empty() {
        begun_with(section)
    } else {
        section.to_owned()
    };
    whole.push_str(&section.trim_end().replace('\n', line_end));
    let ends_in_line = after.is_empty() && before.len() > mark && !before.ends_with('\n');
    if !ends_in_line {
        whole.push_str(line_end);
    }
    if !after.trim().is_empty() {
        whole.push_str(line_end);
    }
    whole.push_str(after);
    Some(whole)
}

/// How long the front matter is that a text begins with: lines of YAML between two lines `---`.
fn front_matter(text: &str) -> usize {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else {
        return 0;
    };
    let mut end = first.len();
    for (number, line) in lines.enumerate() {
        end += line.len();
        match line.trim_end() {
            "---" => return end,
            // A rule across the page stands alone.
            "" if number == 0 => return 0,
            _ => {}
        }
    }
    0
}

/// A heading of one of the first four levels.
#[derive(Debug, Clone, Copy)]
struct Heading<'a> {
    at: usize,
    level: usize,
    text: &'a str,
}

/// The headings of a text, those in code and in comments left out.
fn headings(text: &str) -> Vec<Heading<'_>> {
    let mut headings = Vec::new();
    let mut fence: Option<&str> = None;
    let mut in_comment = false;
    let mut before: Option<(usize, &str)> = None;
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end();
        let start = line.trim_start();
        let is_indented = line.len() - start.len() > 3;
        let paragraph = before.take();
        let is_commented = in_comment;
        if fence.is_none() {
            in_comment = leaves_comment_open(line, in_comment, &text[at + whole.len()..]);
        }
        if is_commented {
            // Nothing in it is a heading.
        } else if let Some(open) = fence {
            let closes = start.starts_with(open) && start.trim_start_matches(&open[..1]).is_empty();
            fence = fence.filter(|_| !closes);
        } else if let Some(open) = fence_of(start).filter(|_| !is_indented) {
            fence = Some(open);
        } else if let Some((level, text)) = titled(start).filter(|_| !is_indented) {
            headings.push(Heading { at, level, text });
        } else if let Some(level) = underlined(start)
            && let Some((at, text)) = paragraph
        {
            headings.push(Heading { at, level, text });
        } else if !start.is_empty()
            && !is_indented
            && !start.starts_with(['-', '*', '+', '>', '|'])
            && !start.starts_with("<!--")
        {
            before = Some((at, start));
        }
        at += whole.len();
    }
    headings
}

/// Whether a line that begins in a comment, or does not, ends in one; `below` is what stands below it, where the comment must end.
fn leaves_comment_open(line: &str, begins_in_comment: bool, below: &str) -> bool {
    let mut is_open = begins_in_comment;
    let mut at = 0;
    while let Some(found) = line[at..].find(if is_open { "-->" } else { "<!--" }) {
        let in_code = !is_open && line[..at + found].matches('`').count() % 2 == 1;
        at += found + 3;
        is_open ^= !in_code;
    }
    is_open && below.contains("-->")
}

/// The backticks or tildes that open a block of code.
pub(super) fn fence_of(line: &str) -> Option<&str> {
    ['`', '~'].into_iter().find_map(|tick| {
        let length = line.len() - line.trim_start_matches(tick).len();
        (length >= 3).then(|| &line[..length])
    })
}

/// Level and text of a heading that `#` begins, of the first four levels.
fn titled(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let is_heading = (1..=4).contains(&level) && (text.is_empty() || text.starts_with([' ', '\t']));
    is_heading.then_some((level, text))
}

/// The level of the heading that a line of `=` or `-` makes of the line above it.
fn underlined(line: &str) -> Option<usize> {
    let is_only = |of: char| line.len() >= 2 && line.chars().all(|character| character == of);
    match (is_only('='), is_only('-')) {
        (true, _) => Some(1),
        (_, true) => Some(2),
        _ => None,
    }
}

/// Where the newest section begins. Tools set patch releases a level deeper than others, so a deep heading counts where it begins with a
/// version or a day; of the first two levels one counts that holds any.
fn place(text: &str, headings: &[Heading<'_>]) -> usize {
    let Some(first) = headings.first() else {
        return 0;
    };
    let is_title = first.level == 1 && subject(first.text).is_none();
    let sections = || headings.iter().skip(usize::from(is_title));
    let is_release = |heading: &&Heading<'_>| {
        subject(heading.text).is_some() || (heading.level <= 2 && is_dated(heading.text))
    };
    if let Some(newest) = sections().find(is_release) {
        return newest.at;
    }
    let mut others =
        sections().filter(|heading| heading.level <= 2 && !is_unreleased(heading.text));
    others.next().map_or(text.len(), |heading| heading.at)
}

fn is_unreleased(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    heading.contains("unreleased") || heading.contains("not released")
}

/// Whether a heading holds a version or a day: three numbers with the same sign between them.
fn is_dated(heading: &str) -> bool {
    ['.', '-'].into_iter().any(|sign| {
        let parts: Vec<&str> = heading.split(sign).collect();
        parts.windows(3).any(|parts| {
            let digit = |character: char| character.is_ascii_digit();
            parts[0].ends_with(digit)
                && !parts[1].is_empty()
                && parts[1].chars().all(digit)
                && parts[2].starts_with(digit)
        })
    })
}

/// What a heading is about: the version or the day that it begins with, past brackets, a word for it, a package's name with `@`, and `v`.
fn subject(heading: &str) -> Option<&str> {
    const BEFORE: [char; 7] = ['[', '(', '*', '_', '`', ' ', '\t'];
    let mut text = heading.trim_start_matches(BEFORE);
    for word in ["version", "release"] {
        let begins = |start: &str| start.eq_ignore_ascii_case(word);
        if text.get(..word.len()).is_some_and(begins) {
            text = text[word.len()..].trim_start_matches(BEFORE);
        }
    }
    let word = text.split([' ', '\t', ']', ')']).next()?;
    let word = word.rsplit_once('@').map_or(word, |(_, version)| version);
    let word = word.strip_prefix(['v', 'V']).unwrap_or(word);
    let is_part = |character: char| character.is_ascii_alphanumeric() || "-+.".contains(character);
    let end = word.find(|character| !is_part(character));
    let word = word[..end.unwrap_or(word.len())].trim_end_matches('.');
    (Version::parse(word).is_ok() || is_day(word)).then_some(word)
}

/// Whether a text is `yyyy-mm-dd`.
fn is_day(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let is_plain = |character: char| character.is_ascii_digit() || character == '-';
    lengths == [4, 2, 2] && text.chars().all(is_plain)
}

fn is_about(heading: &Heading<'_>, version: &Version) -> bool {
    subject(heading.text) == Some(version.to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "## 1.1.0\n\n- more\n";

    /// The section is found where `|` stands, and nothing else changes.
    fn check(marked: &str, section: &str) {
        let (before, after) = marked.split_once('|').expect("a mark");
        let text = format!("{before}{after}");
        let whole = with_section(&text, SECTION, None).expect("a new text");
        assert_eq!(whole, format!("{before}{section}{after}"), "{text:?}");
    }

    #[test]
    fn a_section_goes_above_the_newest_one() {
        let usual = "## 1.1.0\n\n- more\n\n";
        check("|## 1.0.0\n\n- begin\n", usual);
        check("# Changelog\n\n|## 1.0.0\n\n- begin\n", usual);
        check(
            "# Changelog\n\nAll of it.\n\n|## [1.0.0] - 2026-01-31\n",
            usual,
        );
        check(
            "# Change Log\n\n|# [1.0.0](x) (2026-01-31)\n\n## 0.9.1\n",
            usual,
        );
        check("# @x/a\n\n|## 1.0.0\n\n### Patch Changes\n", usual);
        check("Changelog\n=========\n\n|1.0.0\n-----\n\n- begin\n", usual);
        check("|1.0.0 / 2026-01-31\n===\n\n- begin\n", usual);
        check("# Changes\n\n## Unreleased\n\n- soon\n\n|## 1.0.0\n", usual);
        check("# Changes\n\n## About\n\ntext\n\n|## 2026-01-31\n", usual);
        check("# Changes\n\n```\n## 1.0.0\n```\n\n|## 0.9.0\n", usual);
        check("# Changes\n\n<!--\n## 1.0.0\n-->\n\n|## 0.9.0\n", usual);
        check("# Changes\n\n    ## 1.0.0\n\n|## 0.9.0\n", usual);
        check("# Changes\n\n|## About\n", usual);
        check("|only words\n", usual);
        check("- a list\n---\n\n|## 1.0.0\n", usual);
    }

    #[test]
    fn a_deeper_heading_is_a_section_where_it_begins_with_a_version() {
        let usual = "## 1.1.0\n\n- more\n\n";
        check(
            "# Changelog\n\nAll of it.\n\n|### [1.0.1](x/v1.0.0...v1.0.1) (2021-01-02)\n\n\n### Bug Fixes\n\n* y\n\n## 1.0.0 (2021-01-01)\n",
            usual,
        );
        check("# Changelog\n\n|#### v1.0.1\n\n### 1.0.0\n", usual);
        check(
            "# Changes\n\n## Unreleased\n\n### Added\n\n|### 1.0.0\n",
            usual,
        );
        check(
            "# Changes\n\n## Unreleased\n\n### Moving from 0.9.0\n\n- soon\n|",
            "\n## 1.1.0\n\n- more\n",
        );
    }

    #[test]
    fn front_matter_and_titles_stay_above() {
        let usual = "## 1.1.0\n\n- more\n\n";
        let front = "---\ntitle: Changes\n# 0.1.0\nposition: 3\n---\n";
        check(
            &format!("{front}\n# Changelog\n\nWhat changed.\n|"),
            "\n## 1.1.0\n\n- more\n",
        );
        check(&format!("{front}\n# Changelog\n\n|## 1.0.0\n"), usual);
        check(&format!("{front}|"), "\n## 1.1.0\n\n- more\n");
        check(
            &format!("\u{feff}{front}\n|## 1.0.0\n").replace('\n', "\r\n"),
            &usual.replace('\n', "\r\n"),
        );
        check("---\n\n# Changes\n\n|## 1.0.0\n\n---\n", usual);
        check("|---\nno end\n", usual);
        check("# Changelog for API 1.1.0\n\n|## 1.0.0\n", usual);
        check("# Changes since 2021-01-01\n\nAll.\n\n|## 1.0.0\n", usual);
    }

    #[test]
    fn nothing_is_put_into_a_comment() {
        let usual = "## 1.1.0\n\n- more\n\n";
        check("# Changes\n\nx <!--\n## 9.9.9\n-->\n\n|## 1.0.0\n", usual);
        check("<!-- a --> <!--\n## 9.9.9\n-->\n\n|## 1.0.0\n", usual);
        check("<!--\na --> b <!--\n## 9.9.9\n-->\n\n|## 1.0.0\n", usual);
        check("# Changes <!-- by\n## 9.9.9\n-->\n\n|## 1.0.0\n", usual);
        check("# Changes\n\nNo `<!--` here.\n\n|## 1.0.0 -->\n", usual);
    }

    #[test]
    fn every_other_byte_stays() {
        check("# Changes\n|## 1.0.0\n", "\n## 1.1.0\n\n- more\n\n");
        check("# Changes\n|", "\n## 1.1.0\n\n- more\n");
        check("# Changes\n\n|", "## 1.1.0\n\n- more\n");
        check("# Changes|", "\n\n## 1.1.0\n\n- more");
        check(
            "# Changes\n\n## Unreleased\n\n- soon|",
            "\n\n## 1.1.0\n\n- more",
        );
        check(
            "# Changes\n\n|## 1.0.0\n\n- no end",
            "## 1.1.0\n\n- more\n\n",
        );
        check("\u{feff}|## 1.0.0\n", "## 1.1.0\n\n- more\n\n");
        check(
            "\u{feff}# Changes\r\n\r\n|## 1.0.0\r\n",
            "## 1.1.0\r\n\r\n- more\r\n\r\n",
        );
        check(
            "# Changes\r\n|## 1.0.0\n",
            "\r\n## 1.1.0\r\n\r\n- more\r\n\r\n",
        );
        check("|", "# Changelog\n\n## 1.1.0\n\n- more\n");
        check("\u{feff}|", "# Changelog\n\n## 1.1.0\n\n- more\n");
        check("|\n", "# Changelog\n\n## 1.1.0\n\n- more\n");
        assert_eq!(begun_with(SECTION), "# Changelog\n\n## 1.1.0\n\n- more\n");
    }

    #[test]
    fn a_section_that_is_there_already_is_left_alone() {
        fn check(heading: &str, expected: bool) {
            let version = Version::parse("1.1.0").unwrap();
            let text = format!("# Changes\n\n{heading}\n\n- by hand\n");
            let left = with_section(&text, SECTION, Some(&version)).is_none();
            assert_eq!(left, expected, "{heading}");
        }
        for heading in [
            "## 1.1.0",
            "## v1.1.0",
            "## [1.1.0]",
            "## a@1.1.0 (x)",
            "# 1.1.0:",
            "1.1.0\n---",
            "## Version 1.1.0.",
            "### [1.1.0](https://example.org/v1.0.0...v1.1.0) (2026-01-31)",
            "#### @x/a@1.1.0",
            "## [v1.1.0] - 2026-01-31",
            "## **1.1.0**",
        ] {
            check(heading, true);
        }
        for heading in [
            "## 1.1.01",
            "## 11.1.0",
            "## 1.1.0-beta",
            "## 1.1.0.1",
            "## 2.1.1.0",
            "##### 1.1.0",
            "# Changelog for API 1.1.0",
            "### Moving to 1.1.0",
            "1.1.0",
        ] {
            check(heading, false);
        }
    }

    proptest::proptest! {
        /// What was there is still there, in one piece before and one after the section.
        #[test]
        fn nothing_is_lost(text in "(\u{feff})?([#=`<!\\-a1. ]{0,6}(\r)?\n){0,8}[#a1.]{0,4}") {
            let whole = with_section(&text, SECTION, None).unwrap();
            let kept = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| {
                whole.starts_with(&text[..at]) && whole.ends_with(&text[at..]) && whole.len() > text.len()
            });
            proptest::prop_assert!(kept, "{:?} became {:?}", text, whole);
        }
    }
}
