//! Tar headers, written by hand: npm's own layout of the fields is part of what a tarball's digest depends on.

/// Tar's unit of length.
pub(super) const BLOCK: usize = 512;

/// What ends a tar: two blocks of zeros.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The largest size that eleven octal digits hold: one byte less than 8 GiB.
pub(super) const LARGEST: u64 = 0o777_7777_7777;

const NAME: usize = 100;
const PREFIX: usize = 155;

/// Whose habits a header follows where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Owner 0:0; an extension header only where a name does not fit.
    Plain,
    /// As node-tar writes in npm: no owner at all; an extension header also for names beyond ASCII.
    Npm,
}

/// One entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    /// Its path, `/`-separated.
    pub(super) path: &'a str,
    /// Its permission bits.
    pub(super) mode: u32,
    /// The length of its contents.
    pub(super) size: u64,
    /// Its time of change, in seconds since 1970, at least 0.
    pub(super) moment: u64,
    /// `0` for a file, `2` for a symbolic link.
    pub(super) kind: u8,
    /// Where a link points.
    pub(super) target: &'a str,
}

impl Header<'_> {
    /// The header's blocks, those of an extension header first where one is needed.
    pub(super) fn encode(&self, style: Style) -> Vec<u8> {
        let name = split(self.path, style);
        let beyond_ascii = style == Style::Npm && !(self.path.is_ascii() && self.target.is_ascii());
        let mut blocks = Vec::with_capacity(BLOCK);
        if name.is_cut || self.target.len() > NAME || beyond_ascii {
            blocks.extend(self.extension(style));
        }
        blocks.extend(self.block(style, &name));
        blocks
    }

    fn extension(&self, style: Style) -> Vec<u8> {
        let mut records = record("path", self.path);
        if self.kind == b'2' {
            records.extend(record("linkpath", self.target));
        }
        if style == Style::Npm {
            records.extend(record("mtime", &self.moment.to_string()));
            records.extend(record("size", &self.size.to_string()));
        }
        let base = self.path.rsplit('/').next().unwrap_or(self.path);
        let path = format!("PaxHeader/{base}");
        let cut = first_units(&path, NAME - 1);
        let header = Header {
            path: &cut,
            mode: 0o644,
            size: records.len() as u64,
            moment: self.moment,
            kind: b'x',
            target: "",
        };
        let name = split(header.path, style);
        let mut blocks = header.block(style, &name).to_vec();
        blocks.extend_from_slice(&records);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        blocks
    }

    fn block(&self, style: Style, name: &Name<'_>) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        text(&mut block[..100], &name.end);
        number(&mut block[100..108], u64::from(self.mode));
        if style == Style::Plain {
            number(&mut block[108..116], 0);
            number(&mut block[116..124], 0);
        }
        number(&mut block[124..136], self.size);
        number(&mut block[136..148], self.moment);
        block[156] = self.kind;
        text(&mut block[157..257], self.target);
        block[257..265].copy_from_slice(b"ustar\x0000");
        number(&mut block[329..337], 0);
        number(&mut block[337..345], 0);
        text(&mut block[345..500], name.prefix);
        let sum = checksum(&block);
        number(&mut block[148..156], sum);
        block
    }
}

/// The sum of a header's bytes, its checksum field counted as spaces.
pub(super) fn checksum(block: &[u8; BLOCK]) -> u64 {
    let all: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let field: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    all - field + 8 * u64::from(b' ')
}

/// A path as the two fields hold it: `prefix`, a slash, `end`.
struct Name<'a> {
    end: String,
    prefix: &'a str,
    is_cut: bool,
}

/// Divides a path into the two fields it may take; cut where it does not fit.
fn split(path: &str, style: Style) -> Name<'_> {
    // node-tar never fills the name field to its last byte unless the prefix is used too.
    let whole = if style == Style::Npm { NAME - 1 } else { NAME };
    if path.len() <= whole {
        return Name {
            end: path.to_owned(),
            prefix: "",
            is_cut: false,
        };
    }
    for (slash, _) in path.rmatch_indices('/') {
        let (prefix, name) = (&path[..slash], &path[slash + 1..]);
        if prefix.len() > PREFIX {
            continue;
        }
        return if name.len() <= NAME {
            Name {
                end: name.to_owned(),
                prefix,
                is_cut: false,
            }
        } else {
            Name {
                end: first_units(name, NAME - 1),
                prefix,
                is_cut: true,
            }
        };
    }
    Name {
        end: first_units(path, NAME - 1),
        prefix: "",
        is_cut: true,
    }
}

/// The start of `text` of at most `units` UTF-16 units, which is how JavaScript counts; half a character is written as U+FFFD.
fn first_units(text: &str, units: usize) -> String {
    let units: Vec<u16> = text.encode_utf16().take(units).collect();
    String::from_utf16_lossy(&units)
}

/// Fills a field with as many whole characters as fit.
fn text(field: &mut [u8], text: &str) {
    let mut end = text.len().min(field.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
}

/// Fills a field with octal digits as node-tar does: a space and a NUL behind them where there is room for both.
fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let short = format!("{value:0width$o} ", width = digits - 1);
    let written = if short.len() == digits {
        short
    } else {
        format!("{value:0digits$o}")
    };
    field[..digits].copy_from_slice(&written.as_bytes()[..digits]);
}

/// An extension record: its own length, a key, a value.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for length in [0, 1, 80, 90, 91, 92, 93, 990, 991, 992, 1000] {
            let written = record("path", &"x".repeat(length));
            let text = String::from_utf8(written.clone()).unwrap();
            let said: usize = text.split_once(' ').unwrap().0.parse().unwrap();
            assert_eq!(said, written.len());
        }
    }

    #[test]
    fn a_path_takes_both_fields_before_it_is_cut() {
        let check = |path: &str, name: &str, prefix: &str, is_cut: bool| {
            let found = split(path, Style::Plain);
            assert_eq!(
                (found.end.as_str(), found.prefix, found.is_cut),
                (name, prefix, is_cut)
            );
        };
        let (hundred, long) = ("n".repeat(100), "p".repeat(150));
        check("a/b", "a/b", "", false);
        check(&hundred, &hundred, "", false);
        check(&format!("{long}/{hundred}"), &hundred, &long, false);
        check(&format!("{long}/{hundred}n"), &hundred[..99], &long, true);
        check(&"n".repeat(101), &hundred[..99], "", true);
    }

    #[test]
    fn numbers_fill_their_field() {
        let mut field = [b'?'; 8];
        number(&mut field, 0o644);
        assert_eq!(&field, b"000644 ?");
        let mut field = [0; 12];
        number(&mut field, LARGEST);
        assert_eq!(&field, b"77777777777\0");
    }
}
