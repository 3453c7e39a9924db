//! A new section in a changelog that people, or other tools, have written before: every other byte stays.

use crate::version::Version;

/// A file that begins with a section: what is written where there is none.
#[must_use]
pub fn begun_with(section: &str) -> String {
    format!("# Changelog\n\n{section}")
}

/// `text` with `section` (lines that end with `\n`) above the newest one: below the title, what introduces it, and what is not released yet.
/// The file's line ends, its byte order mark and a missing line end at its end are kept. `None` where a heading names `version` already:
/// somebody wrote that section by hand.
///
/// ```
/// use pkgs_action::plan::notes::file::with_section;
/// let text = "# Changes\n\n## 1.0.0\n\n- begin\n";
/// assert_eq!(with_section(text, "## 1.1.0\n\n- more\n", None).unwrap(), "# Changes\n\n## 1.1.0\n\n- more\n\n## 1.0.0\n\n- begin\n");
/// ```
#[must_use]
pub fn with_section(text: &str, section: &str, version: Option<&Version>) -> Option<String> {
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let headings = headings(&text[mark..]);
    if let Some(version) = version.map(ToString::to_string)
        && headings.iter().any(|heading| names(heading.text, &version))
    {
        return None;
    }
    let (before, after) = text.split_at(mark + place(&text[mark..], &headings));
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

/// A heading of the first or second level.
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
        if in_comment {
            in_comment = !line.contains("-->");
        } else if let Some(open) = fence {
            let closes = start.starts_with(open) && start.trim_start_matches(&open[..1]).is_empty();
            fence = fence.filter(|_| !closes);
        } else if let Some(open) = fence_of(start).filter(|_| !is_indented) {
            fence = Some(open);
        } else if start.starts_with("<!--") {
            in_comment = !line.contains("-->");
        } else if let Some((level, text)) = titled(start).filter(|_| !is_indented) {
            headings.push(Heading { at, level, text });
        } else if let Some(level) = underlined(start)
            && let Some((at, text)) = paragraph
        {
            headings.push(Heading { at, level, text });
        } else if !start.is_empty() && !is_indented && !start.starts_with(['-', '*', '+', '>', '|'])
        {
            before = Some((at, start));
        }
        at += whole.len();
    }
    headings
}

/// The backticks or tildes that open a block of code.
pub(super) fn fence_of(line: &str) -> Option<&str> {
    ['`', '~'].into_iter().find_map(|tick| {
        let length = line.len() - line.trim_start_matches(tick).len();
        (length >= 3).then(|| &line[..length])
    })
}

/// Level and text of a heading that `#` begins, of the first two levels.
fn titled(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let is_heading = (1..=2).contains(&level) && (text.is_empty() || text.starts_with([' ', '\t']));
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

/// Where the newest section begins.
fn place(text: &str, headings: &[Heading<'_>]) -> usize {
    let Some(first) = headings.first() else {
        return 0;
    };
    if let Some(newest) = headings.iter().find(|heading| is_dated(heading.text)) {
        return newest.at;
    }
    let is_title = first.level == 1;
    let sections = headings.iter().skip(usize::from(is_title));
    let mut released = sections.filter(|heading| !is_unreleased(heading.text));
    released.next().map_or(text.len(), |heading| heading.at)
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

/// Whether a heading names exactly this version.
fn names(heading: &str, version: &str) -> bool {
    heading.match_indices(version).any(|(at, _)| {
        let (before, after) = (&heading[..at], &heading[at + version.len()..]);
        let before = before.strip_suffix('v').unwrap_or(before);
        let goes_on =
            |character: char| character.is_ascii_alphanumeric() || "-+".contains(character);
        let next = after.strip_prefix('.').unwrap_or(after);
        !before.ends_with(|character: char| goes_on(character) || character == '.')
            && !next.starts_with(goes_on)
    })
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
        check("|", "## 1.1.0\n\n- more\n");
        check("\u{feff}|", "## 1.1.0\n\n- more\n");
        check("|\n", "## 1.1.0\n\n- more\n");
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
        ] {
            check(heading, true);
        }
        for heading in [
            "## 1.1.01",
            "## 11.1.0",
            "## 1.1.0-beta",
            "## 1.1.0.1",
            "## 2.1.1.0",
            "### 1.1.0",
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
