//! Scalars of YAML.

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
