//! A failure as a person reads it, and as a workflow annotation.

use std::fmt::Write as _;

use crate::explain::{Failure, safe_line, without};

/// The failure for stderr: code, what, where, why, what to do; several found at once one after the other.
///
/// ```
/// use pkgs_action::explain::{Exit, Failure};
/// use pkgs_action::report::failure::text;
/// let failure = Failure::new(Exit::Usage, "settings::missing", "`rollback` needs an environment").hint("name it with --environment");
/// assert_eq!(text(&failure), "error[settings::missing]: `rollback` needs an environment\nhint: name it with --environment\n");
/// ```
pub fn text(failure: &Failure) -> String {
    let mut text = String::new();
    for failure in failure.each() {
        let _ = writeln!(
            text,
            "error[{}]: {}",
            failure.code(),
            safe_line(failure.what())
        );
        if let Some(place) = failure.where_in() {
            let _ = writeln!(text, "  at {}", safe_line(&place.to_string()));
        }
        for cause in failure.causes() {
            let mut lines = cause.lines();
            let _ = writeln!(
                text,
                "  because {}",
                safe_line(lines.next().unwrap_or_default())
            );
            for line in lines {
                let _ = writeln!(text, "    | {}", safe_line(line));
            }
        }
        if let Some(hint) = failure.advice() {
            let _ = writeln!(text, "hint: {}", safe_line(hint));
        }
    }
    text
}

/// The failure as `::error` commands of a workflow: at most ten, as GitHub shows no more, then a line that counts the rest.
pub fn annotations(failure: &Failure) -> String {
    const SHOWN: usize = 10;
    let mut text = String::new();
    let all: Vec<&Failure> = failure.each().collect();
    let shown = if all.len() > SHOWN {
        SHOWN - 1
    } else {
        all.len()
    };
    for failure in &all[..shown] {
        let mut properties = Vec::new();
        if let Some(place) = failure.where_in() {
            properties.push(format!("file={}", property(&place.file)));
            if let Some((line, column)) = place.position {
                properties.push(format!("line={line}"));
                properties.push(format!("col={column}"));
            }
        }
        properties.push(format!("title={}", property(failure.code())));
        let mut message = failure.what().to_owned();
        for cause in failure.causes() {
            let _ = write!(message, "\nbecause {cause}");
        }
        if let Some(hint) = failure.advice() {
            let _ = write!(message, "\nhint: {hint}");
        }
        let _ = writeln!(text, "::error {}::{}", properties.join(","), data(&message));
    }
    if shown < all.len() {
        let _ = writeln!(
            text,
            "::error title=more::and {} more errors; the log lists them all",
            all.len() - shown
        );
    }
    text
}

/// The text without these secrets, and without what looks like a token of npm or a forge: a secret that was put into a wrong setting
/// arrives in an error about that setting.
///
/// ```
/// use pkgs_action::report::failure::redacted;
/// let token = format!("npm_{}", "x".repeat(36));
/// assert_eq!(redacted(&format!("mode is {token}, hunter2"), &["hunter2".to_owned()]), "mode is ***, ***");
/// ```
pub fn redacted(text: &str, secrets: &[String]) -> String {
    let text = without(text, secrets);
    match regex::Regex::new(r"(npm_|gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{20,}") {
        Ok(tokens) => tokens.replace_all(&text, "***").into_owned(),
        Err(error) => unreachable!("the form of tokens is a regular expression: {error}"),
    }
}

/// Escapes the message of a workflow command, as actions/toolkit does.
pub fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
