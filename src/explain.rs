//! How every failure explains itself: what failed and on what, why, what to do, and a stable code.
//!
//! A room returns its own error enum where its callers branch on the error, and a [`Failure`] where they only pass it on.
//! Whatever leaves a command is a [`Failure`].

use std::fmt;

/// The exit codes that the interface promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, nothing to do, or (in automation) held or superseded.
    Done,
    /// The project's own command failed (install, build, script, health) with nothing decided.
    CommandFailed,
    /// Usage or configuration.
    Usage,
    /// Input refused; nothing changed.
    Refused,
    /// Someone else changed what this `promote` or `rollback` was asked about.
    Overtaken,
    /// Refused by a remote: permission or policy.
    RemoteRefused,
    /// Integrity violation: a person must look.
    Integrity,
    /// Temporary: run again.
    Temporary,
    /// SIGINT arrived.
    Interrupted,
    /// SIGTERM arrived.
    Terminated,
}

impl Exit {
    /// The number that the process exits with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::CommandFailed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Overtaken => 4,
            Exit::RemoteRefused => 5,
            Exit::Integrity => 6,
            Exit::Temporary => 75,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}

/// Where in a file a failure lies: lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path as a person would type it.
    pub file: String,
    /// Line and column, where they are known.
    pub position: Option<(usize, usize)>,
}

impl Place {
    /// A place that is a whole file.
    pub fn file(file: impl Into<String>) -> Place {
        Place {
            file: file.into(),
            position: None,
        }
    }

    /// A place in a file; `line` and `column` count from 1.
    pub fn at(file: impl Into<String>, line: usize, column: usize) -> Place {
        Place {
            file: file.into(),
            position: Some((line, column)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(formatter, "{}:{line}:{column}", self.file),
            None => formatter.write_str(&self.file),
        }
    }
}

/// What went wrong, in the four parts that a person at 3 a.m. needs.
///
/// `Display` gives `what` alone; `report/failure.rs` renders the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    code: &'static str,
    exit: Exit,
    what: String,
    place: Option<Place>,
    causes: Vec<String>,
    hint: Option<String>,
    also: Vec<Failure>,
}

impl Failure {
    /// A failure with a stable `room::code`, the exit code it leads to, and a lowercase sentence that names what failed and on what.
    pub fn new(exit: Exit, code: &'static str, what: impl Into<String>) -> Failure {
        Failure(Box::new(Parts {
            code,
            exit,
            what: what.into(),
            place: None,
            causes: Vec::new(),
            hint: None,
            also: Vec::new(),
        }))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds why it happened; called again, the reason behind the reason.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Failure {
        self.0.causes.push(cause.to_string());
        self
    }

    /// Adds another failure and its reasons as why it happened.
    #[must_use]
    pub fn because_of(self, other: &Failure) -> Failure {
        let failure = self.because(other.what());
        other.causes().iter().fold(failure, Failure::because)
    }

    /// Adds where it lies.
    #[must_use]
    pub fn place(mut self, place: Place) -> Failure {
        self.0.place = Some(place);
        self
    }

    /// One failure for several found at once; the first speaks for all. `None` when there is none.
    #[must_use]
    pub fn all(failures: Vec<Failure>) -> Option<Failure> {
        let mut failures = failures.into_iter().flat_map(|mut failure| {
            let also = std::mem::take(&mut failure.0.also);
            std::iter::once(failure).chain(also)
        });
        let mut first = failures.next()?;
        first.0.also.extend(failures);
        Some(first)
    }

    /// The same failure with another exit code: what it means may hang on what was done before it.
    #[must_use]
    pub fn ending_in(mut self, exit: Exit) -> Failure {
        self.0.exit = exit;
        self
    }

    /// The stable code, `room::name`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The exit code it leads to; of several, the first one's.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What failed and on what.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Where, if in a file.
    #[must_use]
    pub fn where_in(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// Why, outermost first.
    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.0.causes
    }

    /// What to do.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// This failure and those found beside it.
    pub fn each(&self) -> impl Iterator<Item = &Failure> {
        std::iter::once(self).chain(self.0.also.iter())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.what)
    }
}

impl std::error::Error for Failure {}

/// Whether a terminal or a log would do something else with this character than show it: control characters, line breaks of any kind, changes of
/// direction.
#[must_use]
pub fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Text with every hostile character, and those that `also` names, escaped.
fn escaped(characters: impl Iterator<Item = char>, also: &[char]) -> String {
    characters
        .flat_map(|character| {
            if is_hostile(character) || also.contains(&character) {
                character.escape_default().collect::<Vec<_>>()
            } else {
                vec![character]
            }
        })
        .collect()
}

/// Untrusted text made safe to print: hostile characters escaped, cut after 80 characters.
///
/// ```
/// use pkgs_action::explain::quoted;
/// assert_eq!(quoted("a\u{1b}[2J"), r#""a\u{1b}[2J""#);
/// ```
#[must_use]
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown = escaped(text.chars().take(LONGEST), &['"']);
    if text.chars().count() > LONGEST {
        format!("\"{shown}…\"")
    } else {
        format!("\"{shown}\"")
    }
}

/// A number of bytes as people read it, everywhere: in the units that limits are set in, with a digit behind the point where it says something.
///
/// ```
/// use pkgs_action::explain::size;
/// assert_eq!([0, 1, 1023].map(size), ["0 bytes", "1 byte", "1023 bytes"]);
/// assert_eq!([1536, 812 << 10, 3 << 20, 1_500_000].map(size), ["1.5 KiB", "812 KiB", "3 MiB", "1.4 MiB"]);
/// assert_eq!(size(u64::MAX), "16383 PiB");
/// ```
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["PiB", "TiB", "GiB", "MiB", "KiB"];
    let units = (1..=5_u32).rev().map(|power| 1_u64 << (10 * power));
    let unit = units.zip(UNITS).find(|(unit, _)| bytes >= *unit);
    let Some((unit, name)) = unit else {
        return format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" });
    };
    let (whole, tenth) = (bytes / unit, bytes % unit * 10 / unit);
    if tenth == 0 || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenth} {name}")
    }
}

/// [`size`] beside another that may be nearly the same: with the exact number.
///
/// ```
/// use pkgs_action::explain::exact_size;
/// assert_eq!([12, (512 << 20) + 1].map(exact_size), ["12 bytes", "512 MiB (536870913 bytes)"]);
/// ```
#[must_use]
pub fn exact_size(bytes: u64) -> String {
    let told = size(bytes);
    if bytes < 1 << 10 {
        return told;
    }
    format!("{told} ({bytes} bytes)")
}

/// Untrusted text made safe for a terminal, whole.
///
/// ```
/// use pkgs_action::explain::plain;
/// assert_eq!(plain("ada\u{202e}\u{1b}"), r"ada\u{202e}\u{1b}");
/// ```
#[must_use]
pub fn plain(text: &str) -> String {
    escaped(text.chars(), &[])
}

/// The text with `***` for each line of these secrets; those of fewer than 6 bytes stay, since they occur in words by chance.
///
/// ```
/// use pkgs_action::explain::without;
/// assert_eq!(without("key hunter2", &["hunter2".to_owned()]), "key ***");
/// ```
#[must_use]
pub fn without(text: &str, secrets: &[String]) -> String {
    const SHORTEST: usize = 6;
    let lines = secrets.iter().flat_map(|secret| secret.lines());
    let lines = lines.filter(|line| line.len() >= SHORTEST);
    lines.fold(text.to_owned(), |text, line| text.replace(line, "***"))
}

/// One line of untrusted text made safe for a log: hostile characters escaped, and nothing that a workflow runner takes for a command
/// (`##[` anywhere, `::` at the start).
///
/// ```
/// use pkgs_action::explain::safe_line;
/// assert_eq!(safe_line("fix: ##[error]x\r::warning::y"), r"fix: # #[error]x\r::warning::y");
/// assert_eq!(safe_line("::add-mask::e"), ": :add-mask::e");
/// ```
#[must_use]
pub fn safe_line(text: &str) -> String {
    let escaped = plain(text).replace("##[", "# #[");
    match escaped.trim_start().strip_prefix("::") {
        Some(rest) => format!(": :{rest}"),
        None => escaped,
    }
}
