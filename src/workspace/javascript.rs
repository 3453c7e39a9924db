//! JSON values as JavaScript takes and writes them: npm's rules are made of it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::{Map, Number, Value};

/// The most characters of an indent that `JSON.stringify` writes.
const WIDEST_INDENT: usize = 10;

/// What JavaScript's `encodeURIComponent` leaves alone.
const KEPT_IN_URI: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A text as JavaScript's `encodeURIComponent` writes it.
pub(crate) fn uri_component(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, KEPT_IN_URI)
}

/// What JavaScript's `trim` leaves: without Unicode's spaces and the byte order mark.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| {
        character.is_whitespace() && character != '\u{85}' || character == '\u{feff}'
    })
}

/// Whether JavaScript takes a value for true.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// A value as JavaScript writes it into a text.
pub(crate) fn spelled(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values = values.iter().map(|value| match value {
                Value::Null => String::new(),
                value => spelled(value),
            });
            values.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
        Value::Number(number) => written(number),
        Value::Bool(is_true) => is_true.to_string(),
    }
}

/// The keys of an object in JavaScript's order: those that are numbers first, by their size.
pub(crate) fn in_order(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let number = |key: &str| {
        let number: u32 = key.parse().ok().filter(|number| *number < u32::MAX)?;
        (number.to_string() == key).then_some(number)
    };
    let mut all: Vec<(&String, &Value)> = object.iter().collect();
    all.sort_by_key(|(key, _)| number(key).map_or((1, 0), |number| (0, number)));
    all
}

/// What `JSON.stringify(value, null, indent)` writes.
pub(crate) fn stringified(value: &Value, indent: &str) -> String {
    let indent: String = indent.chars().take(WIDEST_INDENT).collect();
    let mut text = String::new();
    write(value, &indent, "\n", &mut text);
    text
}

fn write(value: &Value, indent: &str, line: &str, text: &mut String) {
    let inner = format!("{line}{indent}");
    let (break_in, break_out, colon) = if indent.is_empty() {
        ("", "", ":")
    } else {
        (inner.as_str(), line, ": ")
    };
    match value {
        Value::Array(values) if values.is_empty() => text.push_str("[]"),
        Value::Object(object) if object.is_empty() => text.push_str("{}"),
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                text.push(if at == 0 { '[' } else { ',' });
                text.push_str(break_in);
                write(value, indent, &inner, text);
            }
            text.push_str(break_out);
            text.push(']');
        }
        Value::Object(object) => {
            for (at, (key, value)) in in_order(object).into_iter().enumerate() {
                text.push(if at == 0 { '{' } else { ',' });
                text.push_str(break_in);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push_str(colon);
                write(value, indent, &inner, text);
            }
            text.push_str(break_out);
            text.push('}');
        }
        Value::Number(number) => text.push_str(&written(number)),
        other => text.push_str(&other.to_string()),
    }
}

/// A number as JavaScript writes it.
fn written(number: &Number) -> String {
    match number.as_f64() {
        Some(0.0) => "0".to_owned(),
        Some(value) if (1e-6..1e21).contains(&value.abs()) => value.to_string(),
        Some(value) => {
            let text = format!("{value:e}");
            match text.split_once('e') {
                Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
                _ => text,
            }
        }
        None => "null".to_owned(),
    }
}

/// A value as JavaScript writes it, with the line breaks and the indent of `text`, as npm writes a `package.json` anew.
pub(crate) fn written_like(text: &str, value: &Value) -> String {
    let (newline, indent) = layout(text);
    let written = stringified(value, indent) + "\n";
    written.replace('\n', newline)
}

/// What follows the first brace: line breaks and the indent behind them.
fn layout(text: &str) -> (&str, &str) {
    let behind = text.trim_start().get(1..).unwrap_or_default();
    let breaks = |text: &str| {
        let mut length = 0;
        while let Some(more) = ["\n", "\r\n"]
            .iter()
            .find(|one| text[length..].starts_with(**one))
        {
            length += more.len();
        }
        length
    };
    let (newline, rest) = behind.split_at(breaks(behind));
    if newline.is_empty() {
        return ("", "");
    }
    let indent = rest.len() - rest.trim_start().len();
    (newline, &rest[..indent])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_node_writes_it() {
        let check = |text: &str, indent: &str, expected: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(stringified(&value, indent), expected);
        };
        check(
            r#"{"b":1,"2":[],"a":{},"1":"é\u0001"}"#,
            "",
            r#"{"1":"é\u0001","2":[],"b":1,"a":{}}"#,
        );
        check(
            r#"{"a":[1.0,1e21,2.50,-0.0,1e-7]}"#,
            "  ",
            "{\n  \"a\": [\n    1,\n    1e+21,\n    2.5,\n    0,\n    1e-7\n  ]\n}",
        );
    }

    #[test]
    fn values_are_true_and_become_text_as_in_javascript() {
        let check = |text: &str, is: bool, expected: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!((is_true(&value), spelled(&value).as_str()), (is, expected));
        };
        check("0", false, "0");
        check("[]", true, "");
        check("[1,null,[\"a\",2]]", true, "1,,a,2");
        check("{}", true, "[object Object]");
        check("\"\"", false, "");
    }
}
