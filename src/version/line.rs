//! What a branch releases when it is not the one that `latest` follows: prereleases, or versions of an older line.

use std::fmt;

use crate::explain::{Exit, Failure, quoted};
use crate::version::Version;
use crate::version::range::Range;

/// The word that stands in a prerelease before its number, `beta` in `1.1.0-beta.0`; also the dist-tag that prereleases are published under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier(String);

impl Identifier {
    /// Checks an identifier: letters, digits and hyphens, at most 50, with a letter first, no word that npm reads as a range, and not
    /// `latest`, which prereleases never are.
    ///
    /// # Errors
    /// `version::identifier`, exit 2.
    ///
    /// ```
    /// use pkgs_action::version::line::Identifier;
    /// assert!(["beta", "rc", "next-2"].map(Identifier::parse).iter().all(Result::is_ok));
    /// assert!(["", "1", "be.ta", "latest", "x", "v2", "b_c", "-a"].map(Identifier::parse).iter().all(Result::is_err));
    /// ```
    pub fn parse(text: &str) -> Result<Identifier, Failure> {
        const LONGEST: usize = 50;
        let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '-';
        let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.len() <= LONGEST
            && text.chars().all(is_plain);
        if is_word && text != "latest" && Range::parse(text).is_err() {
            return Ok(Identifier(text.to_owned()));
        }
        let what = format!("{} is not a prerelease identifier", quoted(text));
        Err(Failure::new(Exit::Usage, "version::identifier", what)
            .because("it becomes a part of versions and a dist-tag, which must not read as a range or be latest")
            .hint("use a word such as beta or rc"))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An older line that still gets releases: `1.x` or `1.2.x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maintenance {
    major: u64,
    minor: Option<u64>,
}

impl Maintenance {
    fn parse(text: &str) -> Option<Maintenance> {
        let zero = text.strip_suffix(".x")?;
        let (major, minor) = match zero.split_once('.') {
            None => (zero, None),
            Some((major, minor)) => (major, Some(minor)),
        };
        let at = |minor: &str| Version::parse(&format!("{major}.{minor}.0")).ok();
        let first = at(minor.unwrap_or("0"))?;
        Some(Maintenance {
            major: first.major(),
            minor: minor.map(|_| first.minor()),
        })
    }

    /// Whether a version is on the line.
    #[must_use]
    pub fn holds(&self, version: &Version) -> bool {
        version.major() == self.major && self.minor.is_none_or(|minor| version.minor() == minor)
    }
}

impl fmt::Display for Maintenance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            None => write!(formatter, "{}.x", self.major),
            Some(minor) => write!(formatter, "{}.{minor}.x", self.major),
        }
    }
}

/// What a branch is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Prereleases with this identifier.
    Prerelease(Identifier),
    /// Versions of an older line.
    Maintenance(Maintenance),
}

impl Line {
    /// Reads what a branch is for.
    ///
    /// # Errors
    /// `version::identifier`, exit 2.
    ///
    /// ```
    /// use pkgs_action::version::line::Line;
    /// let is_maintenance = |text: &str| Line::parse(text).ok().map(|line| matches!(line, Line::Maintenance(_)));
    /// assert_eq!(["1.x", "1.2.x", "beta", "1", "x.x"].map(is_maintenance), [Some(true), Some(true), Some(false), None, None]);
    /// ```
    pub fn parse(text: &str) -> Result<Line, Failure> {
        match Maintenance::parse(text) {
            Some(line) => Ok(Line::Maintenance(line)),
            None => Identifier::parse(text)
                .map(Line::Prerelease)
                .map_err(|failure| {
                    failure.hint("write a word such as beta, or an older line such as 1.x or 1.2.x")
                }),
        }
    }

    /// The identifier, where the branch is for prereleases.
    #[must_use]
    pub fn identifier(&self) -> Option<&Identifier> {
        match self {
            Line::Prerelease(identifier) => Some(identifier),
            Line::Maintenance(_) => None,
        }
    }

    /// The older line, where the branch is for one.
    #[must_use]
    pub fn maintenance(&self) -> Option<&Maintenance> {
        match self {
            Line::Prerelease(_) => None,
            Line::Maintenance(line) => Some(line),
        }
    }
}
