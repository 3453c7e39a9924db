//! YAML: files that are read, and scalars that are written.

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::explain::{Exit, Failure, Place, size};

/// The largest file, in bytes.
const LARGEST: usize = 2 * 1024 * 1024;

/// Reads a file, an empty one as nothing at all; `hint` tells how to write what is read of it, where that is what is wrong.
///
/// # Errors
/// `workspace::file_size` above 2 MiB; `workspace::yaml_syntax` for what is not YAML or has another form.
pub(super) fn parse<T: DeserializeOwned + Default>(
    file: &str,
    text: &str,
    hint: &str,
) -> Result<T, Failure> {
    if text.len() > LARGEST {
        return Err(Failure::new(
            Exit::Refused,
            "workspace::file_size",
            format!("{file} is larger than {}", size(LARGEST as u64)),
        )
        .hint(crate::workspace::json::UNUSUAL)
        .place(Place::file(file)));
    }
    let options = serde_saphyr::options! { with_snippet: false };
    let read: Result<Option<T>, _> = serde_saphyr::from_str_with_options(text, options.clone());
    read.map(Option::unwrap_or_default).map_err(|error| {
        // How to write what is read helps nobody where something else is no YAML.
        let other = serde_saphyr::from_str_with_options::<Option<IgnoredAny>>(text, options).err();
        let (error, hint) = match &other {
            Some(other) => (other, "correct the YAML there"),
            None => (&error, hint),
        };
        syntax(file, error, hint)
    })
}

/// The failure of a file that is not as `hint` tells to write it.
pub(super) fn form(file: &str, why: &str, hint: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::yaml_syntax",
        format!("{file} cannot be read"),
    )
    .because(why)
    .hint(hint)
    .place(Place::file(file))
}

fn syntax(file: &str, error: &serde_saphyr::Error, hint: &str) -> Failure {
    let why = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let failure = form(file, &why, hint);
    let position = error.location().and_then(|location| {
        Some((
            usize::try_from(location.line()).ok()?,
            usize::try_from(location.column()).ok()?,
        ))
    });
    match position {
        Some((line, column)) => failure.place(Place::at(file, line, column)),
        None => failure,
    }
}

/// A text as pnpm writes it: plain where YAML reads the same text back, else in single quotes.
#[must_use]
pub fn encode(text: &str) -> String {
    const SPECIAL: &str = "-?:,[]{}#&*!|=>'\"%@`";
    let special = text.starts_with(|first| SPECIAL.contains(first));
    let plain = !text.is_empty()
        && !special
        && !text.ends_with(':')
        && text.trim() == text
        && !text.contains(": ")
        && !text.contains(" #")
        && !reads_as_something_else(text);
    if plain {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Whether YAML would read a number, a boolean or nothing.
fn reads_as_something_else(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    matches!(
        lower.as_str(),
        "~" | "null" | "true" | "false" | ".inf" | ".nan" | "<<"
    ) || lower.starts_with("0x")
        || lower.starts_with("0o")
        || lower.starts_with("0b")
        || unsigned.replace('_', "").parse::<f64>().is_ok()
            && unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_pnpm_quotes_them() {
        for (text, expected) in [
            ("^1.0.0", "^1.0.0"),
            ("1.0.0", "1.0.0"),
            ("1.0", "'1.0'"),
            ("1", "'1'"),
            ("*", "'*'"),
            ("", "''"),
            (">=1.0.0", "'>=1.0.0'"),
            ("~1.0.0", "~1.0.0"),
            ("catalog:", "'catalog:'"),
            ("catalog:old", "catalog:old"),
            ("workspace:*", "workspace:*"),
            ("npm:@x/a@^1.0.0", "npm:@x/a@^1.0.0"),
            ("1.x || ^2.0.0", "1.x || ^2.0.0"),
            ("it's", "it's"),
            ("true", "'true'"),
        ] {
            assert_eq!(encode(text), expected);
        }
    }
}
