//! Rust source as far as tests must read it: where comments, strings and test modules are.

use std::path::{Path, PathBuf};

/// A source file. `code` and `bare` have the same length and line breaks as `text`, so that positions hold in all three.
#[derive(Debug)]
pub struct Source {
    /// Its path below the repository.
    pub path: PathBuf,
    /// The file as it is.
    pub text: String,
    /// Comments blanked.
    pub code: String,
    /// Comments and the contents of strings blanked.
    pub bare: String,
    only_tests: bool,
    tests: Vec<std::ops::Range<usize>>,
}

impl Source {
    /// Reads `text`, the content of the file at `path`.
    pub fn new(path: impl Into<PathBuf>, text: &str) -> Source {
        let path = path.into();
        let (code, bare) = blank(text);
        // A module declared by `#[cfg(test)] mod tests;` is a file of its own.
        let only_tests = path
            .components()
            .any(|part| part.as_os_str() == "tests.rs" || part.as_os_str() == "tests");
        let tests = test_modules(&bare);
        Source {
            path,
            text: text.to_owned(),
            code,
            bare,
            only_tests,
            tests,
        }
    }

    /// Every file of `directory` (below `root`), in order of path.
    pub fn all(root: &Path, directory: &str) -> Vec<Source> {
        walkdir::WalkDir::new(root.join(directory))
            .sort_by_file_name()
            .into_iter()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|name| name == "rs"))
            .map(|entry| {
                let text = std::fs::read_to_string(entry.path()).expect("source is text");
                let path = entry.path().strip_prefix(root).expect("below the root");
                Source::new(path, &text)
            })
            .collect()
    }

    /// `path:line` of the byte at `position`.
    pub fn place(&self, position: usize) -> String {
        let line = 1 + self.text[..position].matches('\n').count();
        format!("{}:{line}", self.path.display())
    }

    /// Whether the byte at `position` belongs to something that only tests compile.
    pub fn in_tests(&self, position: usize) -> bool {
        self.only_tests || self.in_inner_tests(position)
    }

    /// Whether the byte at `position` belongs to a test module inside the file, one module deeper than the file.
    pub fn in_inner_tests(&self, position: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&position))
    }

    /// Every plain string literal outside comments with the position of its first character.
    pub fn strings(&self) -> Vec<(usize, &str)> {
        let mut strings = Vec::new();
        let mut open = None;
        for (position, _) in self.bare.match_indices('"') {
            open = match open {
                None => Some(position + 1),
                Some(start) => {
                    strings.push((start, &self.text[start..position]));
                    None
                }
            };
        }
        strings
    }
}

/// The text without comments, and that without the contents of strings and without characters. A string's quotes stay.
fn blank(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let (mut code, mut bare) = (bytes.to_vec(), bytes.to_vec());
    let erase = |target: &mut Vec<u8>, from: usize, to: usize| {
        for byte in &mut target[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            let end = at + find(rest, b"\n").unwrap_or(rest.len());
            erase(&mut code, at, end);
            erase(&mut bare, at, end);
            end
        } else if rest.starts_with(b"/*") {
            let end = at + block_comment(rest);
            erase(&mut code, at, end);
            erase(&mut bare, at, end);
            end
        } else if let Some((open, close)) = raw_string(bytes, at) {
            let end = find(&bytes[open..], &close).map_or(bytes.len(), |found| open + found);
            erase(&mut bare, open, end);
            (end + close.len()).min(bytes.len())
        } else if rest[0] == b'"' {
            let end = at + quoted(rest, b'"');
            erase(&mut bare, at + 1, end - 1);
            end
        } else if let Some(length) = character(rest) {
            // A quote in it must not look like a string's.
            erase(&mut bare, at, at + length);
            at + length
        } else {
            at + 1
        };
        at = end;
    }
    let text = |bytes| String::from_utf8(bytes).expect("whole characters were blanked");
    (text(code), text(bare))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The length of the block comment at the start; they nest.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of the literal at the start that ends with the same `quote`.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the content of a raw string that begins at `at` starts, and what closes it.
fn raw_string(bytes: &[u8], at: usize) -> Option<(usize, Vec<u8>)> {
    let continues_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let continues_word = continues_word && bytes[at - 1] != b'b';
    if bytes[at] != b'r' || continues_word {
        return None;
    }
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let quote = at + 1 + hashes;
    (bytes.get(quote) == Some(&b'"'))
        .then(|| (quote + 1, [b"\"".to_vec(), vec![b'#'; hashes]].concat()))
}

/// The length of the character literal at the start; a lifetime is none.
fn character(bytes: &[u8]) -> Option<usize> {
    if bytes[0] != b'\'' {
        return None;
    }
    if bytes.get(1) == Some(&b'\\') {
        return Some(quoted(bytes, b'\''));
    }
    // One character of up to four bytes, then the quote.
    let width = match bytes.get(1)? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (bytes.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

/// The items under `#[cfg(test)]`, up to their closing brace or semicolon.
fn test_modules(bare: &str) -> Vec<std::ops::Range<usize>> {
    bare.match_indices("#[cfg(test)]")
        .map(|(start, _)| {
            let mut depth = 0_usize;
            let mut end = bare.len();
            for (offset, byte) in bare[start..].bytes().enumerate() {
                match byte {
                    b'{' => depth += 1,
                    b'}' if depth <= 1 => {
                        end = start + offset + 1;
                        break;
                    }
                    b'}' => depth -= 1,
                    b';' if depth == 0 => {
                        end = start + offset + 1;
                        break;
                    }
                    _ => {}
                }
            }
            start..end
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_tests_are_told_apart() {
        let text = r##"
//! std::fs in a comment
fn a<'a>(x: &'a str) -> char { let _ = "a // \" b"; /* c /* d */ e */ '"' }
const R: &str = r#"raw " // x"#;
#[cfg(test)]
mod tests { fn b() { c("t") } }
fn after() {}
"##;
        let source = Source::new("a.rs", text);
        assert_eq!(source.code.len(), text.len());
        assert!(!source.code.contains("/*") && source.code.contains("a // "));
        assert!(!source.bare.contains("//") && source.bare.contains("fn after"));
        let strings: Vec<&str> = source.strings().into_iter().map(|(_, text)| text).collect();
        assert_eq!(strings, [r#"a // \" b"#, r#"raw " // x"#, "t"]);
        assert!(source.in_tests(text.find("fn b").unwrap()));
        assert!(!source.in_tests(text.find("fn after").unwrap()));
        assert!(Source::new("src/plan/tests.rs", "fn a() {}").in_tests(0));
        assert_eq!(source.place(text.find("const R").unwrap()), "a.rs:4");
    }
}
