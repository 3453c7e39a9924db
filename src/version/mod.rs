//! Versions and how they grow; npm's ranges are in [`range`], what a branch is for in [`mod@line`].

pub mod line;
pub mod range;

use std::fmt;

use crate::explain::{Exit, Failure, quoted};
use crate::version::line::Identifier;

/// A version as npm and git both can hold it: semver 2.0 without build metadata, numbers below 2^53, at most 256 characters,
/// no identifier that ends in `.lock` (git refuses such a tag).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// Checks a version.
    ///
    /// ```
    /// use pkgs_action::version::Version;
    /// assert!(Version::parse("1.2.3-beta.1").is_ok());
    /// for bad in ["v1.2.3", "1.2", "01.2.3", "1.2.3+a", "1.2.3-a.lock", "9007199254740992.0.0", " 1.2.3"] {
    ///     assert!(Version::parse(bad).is_err(), "{bad}");
    /// }
    /// ```
    pub fn parse(text: &str) -> Result<Version, Failure> {
        const LARGEST: u64 = (1 << 53) - 1;
        let refuse = |rule: &str| {
            Err(Failure::new(
                Exit::Refused,
                "version::form",
                format!("{} is not a version: {rule}", quoted(text)),
            )
            .hint("write it as major.minor.patch, for example 1.2.3 or 1.2.3-beta.1"))
        };
        if text.len() > 256 {
            return refuse("it is longer than 256 characters");
        }
        let Ok(version) = semver::Version::parse(text) else {
            return refuse("it does not follow semver 2.0");
        };
        if !version.build.is_empty() {
            return refuse("npm drops build metadata, so two versions would be one");
        }
        let numeric_identifiers = version
            .pre
            .split('.')
            .filter_map(|identifier| identifier.parse::<u128>().ok());
        if [version.major, version.minor, version.patch]
            .into_iter()
            .map(u128::from)
            .chain(numeric_identifiers)
            .any(|number| number > u128::from(LARGEST))
        {
            return refuse("npm cannot hold a number above 9007199254740991");
        }
        if version.pre.ends_with(".lock") || version.pre.as_str() == "lock" {
            return refuse("git cannot hold a tag that ends in .lock");
        }
        Ok(Version(version))
    }

    /// `major.minor.patch` without a prerelease.
    #[must_use]
    pub fn new(major: u64, minor: u64, patch: u64) -> Version {
        Version(semver::Version::new(major, minor, patch))
    }

    /// The major number.
    #[must_use]
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// The minor number.
    #[must_use]
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    /// The patch number.
    #[must_use]
    pub fn patch(&self) -> u64 {
        self.0.patch
    }

    /// The prerelease part without its `-`; empty for a release.
    #[must_use]
    pub fn prerelease(&self) -> &str {
        self.0.pre.as_str()
    }

    /// Whether this is a prerelease.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// How far a later version is from this one: the first of its numbers that differs.
    ///
    /// ```
    /// use pkgs_action::version::{Bump, Version};
    /// let distance = |to: &str| Version::new(1, 2, 3).distance(&Version::parse(to).unwrap());
    /// assert_eq!([distance("2.0.0"), distance("1.3.0"), distance("1.2.4")], [Bump::Major, Bump::Minor, Bump::Patch]);
    /// ```
    #[must_use]
    pub fn distance(&self, to: &Version) -> Bump {
        if self.major() != to.major() {
            Bump::Major
        } else if self.minor() != to.minor() {
            Bump::Minor
        } else {
            Bump::Patch
        }
    }

    /// The next version after this one.
    ///
    /// A prerelease grows to the release it announces when that is high enough, as npm's `semver inc` does. Below 1.0.0, with
    /// [`ZeroMajor::Shift`], a breaking change raises the minor number, and everything else the patch number.
    ///
    /// ```
    /// use pkgs_action::version::{Bump, Version, ZeroMajor};
    /// let next = |from: &str, bump| Version::parse(from).unwrap().next(bump, ZeroMajor::Shift).to_string();
    /// assert_eq!(next("1.2.3", Bump::Patch), "1.2.4");
    /// assert_eq!(next("1.2.3", Bump::Minor), "1.3.0");
    /// assert_eq!(next("1.2.3", Bump::Major), "2.0.0");
    /// assert_eq!(next("0.2.3", Bump::Major), "0.3.0");
    /// assert_eq!(next("0.2.3", Bump::Minor), "0.2.4");
    /// assert_eq!(next("2.0.0-beta.1", Bump::Patch), "2.0.0");
    /// assert_eq!(next("2.0.1-beta.1", Bump::Minor), "2.1.0");
    /// ```
    #[must_use]
    pub fn next(&self, bump: Bump, zero_major: ZeroMajor) -> Version {
        let semver::Version {
            major,
            minor,
            patch,
            ref pre,
            ..
        } = self.0;
        let bump = bump.of(self, zero_major);
        let announced = !pre.is_empty();
        match bump {
            Bump::Patch if announced => Version::new(major, minor, patch),
            Bump::Patch => Version::new(major, minor, patch + 1),
            Bump::Minor if announced && patch == 0 => Version::new(major, minor, 0),
            Bump::Minor => Version::new(major, minor + 1, 0),
            Bump::Major if announced && patch == 0 && minor == 0 => Version::new(major, 0, 0),
            Bump::Major => Version::new(major + 1, 0, 0),
        }
    }

    /// The release that a prerelease announces; a release itself.
    ///
    /// ```
    /// use pkgs_action::version::Version;
    /// assert_eq!(Version::parse("1.1.0-beta.3").unwrap().announced(), Version::new(1, 1, 0));
    /// ```
    #[must_use]
    pub fn announced(&self) -> Version {
        Version::new(self.major(), self.minor(), self.patch())
    }

    /// The next prerelease on the way to what all changes since the last release ask for together: the number counts up while the target
    /// holds, and starts again at 0 where the target or the identifier is another.
    ///
    /// ```
    /// use pkgs_action::version::{Bump, Version, ZeroMajor, line::Identifier};
    /// let beta = Identifier::parse("beta").unwrap();
    /// let next = |from: &str, bump| Version::parse(from).unwrap().next_prerelease(bump, &beta, ZeroMajor::Shift).to_string();
    /// assert_eq!(next("1.0.0", Bump::Minor), "1.1.0-beta.0");
    /// assert_eq!(next("1.1.0-beta.0", Bump::Minor), "1.1.0-beta.1");
    /// assert_eq!(next("1.1.0-beta.1", Bump::Major), "2.0.0-beta.0");
    /// assert_eq!(next("1.1.0-alpha.4", Bump::Patch), "1.1.0-beta.0");
    /// ```
    #[must_use]
    pub fn next_prerelease(
        &self,
        bump: Bump,
        identifier: &Identifier,
        zero_major: ZeroMajor,
    ) -> Version {
        self.toward(&self.next(bump, zero_major), identifier)
    }

    /// The next prerelease on the way to `target`, a release.
    #[must_use]
    pub fn toward(&self, target: &Version, identifier: &Identifier) -> Version {
        let goes_on = self.is_prerelease() && self.announced() == *target;
        let counted = goes_on.then(|| self.counted(identifier)).flatten();
        counted.unwrap_or_else(|| target.with_prerelease(&format!("{identifier}.0")))
    }

    /// The first prerelease of a release above what this announces, as npm's `prepatch`, `preminor` and `premajor` make it.
    ///
    /// ```
    /// use pkgs_action::version::{Bump, Version, ZeroMajor, line::Identifier};
    /// let beta = Identifier::parse("beta").unwrap();
    /// let new = |from: &str, bump| Version::parse(from).unwrap().new_prerelease(bump, &beta, ZeroMajor::Shift).to_string();
    /// assert_eq!(new("1.0.0", Bump::Minor), "1.1.0-beta.0");
    /// assert_eq!(new("1.1.0-beta.0", Bump::Minor), "1.2.0-beta.0");
    /// ```
    #[must_use]
    pub fn new_prerelease(
        &self,
        bump: Bump,
        identifier: &Identifier,
        zero_major: ZeroMajor,
    ) -> Version {
        let target = self.announced().next(bump, zero_major);
        target.with_prerelease(&format!("{identifier}.0"))
    }

    /// The version of a snapshot of `commit`, its id in hexadecimal digits: below every release, and the same whenever it is asked for.
    ///
    /// ```
    /// use pkgs_action::version::{Version, line::Identifier};
    /// let snapshot = Version::snapshot(&Identifier::parse("pr-12").unwrap(), "0123456789abcdef0123");
    /// assert_eq!(snapshot.to_string(), "0.0.0-pr-12-0123456789ab");
    /// ```
    #[must_use]
    pub fn snapshot(name: &Identifier, commit: &str) -> Version {
        const DIGITS: usize = 12;
        let digits: String = commit.chars().take(DIGITS).collect();
        // One identifier: digits alone must not begin with 0.
        Version::new(0, 0, 0).with_prerelease(&format!("{name}-{digits}"))
    }

    /// Whether it only says which commit it was made of, as [`Version::snapshot`] and those of other tools do: all are prereleases of 0.0.0,
    /// which nothing is measured from.
    ///
    /// ```
    /// use pkgs_action::version::Version;
    /// let is_snapshot = |text| Version::parse(text).unwrap().is_snapshot();
    /// assert!(is_snapshot("0.0.0-pr-12-0123456789ab") && is_snapshot("0.0.0-canary-20260102030405"));
    /// assert!(!is_snapshot("0.0.0") && !is_snapshot("0.0.1-beta.0"));
    /// ```
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.is_prerelease() && self.announced() == Version::new(0, 0, 0)
    }

    /// This prerelease with its last number one higher; `None` where it has another identifier or counts nothing.
    fn counted(&self, identifier: &Identifier) -> Option<Version> {
        let mut parts: Vec<String> = self.prerelease().split('.').map(str::to_owned).collect();
        let counts = parts
            .first()
            .is_some_and(|first| first == identifier.as_str())
            && parts
                .get(1)
                .is_some_and(|second| second.parse::<u64>().is_ok());
        let last = parts.iter_mut().rev().find_map(|part| {
            let number: u64 = part.parse().ok()?;
            Some((part, number))
        });
        let (part, number) = last.filter(|_| counts)?;
        *part = (number + 1).to_string();
        Some(self.announced().with_prerelease(&parts.join(".")))
    }

    fn with_prerelease(&self, text: &str) -> Version {
        let mut version = self.0.clone();
        version.pre = semver::Prerelease::new(text)
            .unwrap_or_else(|error| unreachable!("identifiers are checked: {error}"));
        Version(version)
    }

    /// The word before the number of a prerelease; `None` for a release, and for a prerelease that begins with a number.
    ///
    /// ```
    /// use pkgs_action::version::Version;
    /// let identifier = |text: &str| Version::parse(text).unwrap().identifier().map(str::to_owned);
    /// assert_eq!(identifier("1.1.0-beta.3").as_deref(), Some("beta"));
    /// assert_eq!([identifier("1.1.0-0"), identifier("1.1.0")], [None, None]);
    /// ```
    #[must_use]
    pub fn identifier(&self) -> Option<&str> {
        let first = self.prerelease().split('.').next();
        first.filter(|first| first.starts_with(|letter: char| letter.is_ascii_alphabetic()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How far a version grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bump {
    /// Nothing that a user must know.
    Patch,
    /// Something new.
    Minor,
    /// Something that breaks.
    Major,
}

impl Bump {
    /// What this comes to for a version: below 1.0.0, with [`ZeroMajor::Shift`], less than it says.
    ///
    /// ```
    /// use pkgs_action::version::{Bump, Version, ZeroMajor};
    /// let of = |bump: Bump, from: &str| bump.of(&Version::parse(from).unwrap(), ZeroMajor::Shift);
    /// assert_eq!(of(Bump::Major, "1.2.3"), Bump::Major);
    /// assert_eq!(of(Bump::Major, "0.2.3"), Bump::Minor);
    /// assert_eq!(of(Bump::Minor, "0.2.3"), Bump::Patch);
    /// ```
    #[must_use]
    pub fn of(self, from: &Version, zero_major: ZeroMajor) -> Bump {
        match (zero_major, from.major(), self) {
            (ZeroMajor::Shift, 0, Bump::Major) => Bump::Minor,
            (ZeroMajor::Shift, 0, _) => Bump::Patch,
            (_, _, bump) => bump,
        }
    }

    /// As it is written in settings, intents and plans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Bump::Patch => "patch",
            Bump::Minor => "minor",
            Bump::Major => "major",
        }
    }
}

impl fmt::Display for Bump {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a breaking change does to a version below 1.0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZeroMajor {
    /// 0.x: breaking is minor, everything else is patch.
    #[default]
    Shift,
    /// 0.x is treated like any other.
    Strict,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prereleases_count_up_while_their_target_holds() {
        use Bump::{Major, Minor, Patch};
        let check = |from: &str, bump, identifier: &str, expected: &str| {
            let identifier = Identifier::parse(identifier).unwrap();
            let from = Version::parse(from).unwrap();
            let next = from.next_prerelease(bump, &identifier, ZeroMajor::Shift);
            assert_eq!(next.to_string(), expected, "{bump} of {from}");
        };
        for (from, bump, expected) in [
            ("1.0.0", Patch, "1.0.1-beta.0"),
            ("1.0.0", Major, "2.0.0-beta.0"),
            ("1.0.1-beta.0", Patch, "1.0.1-beta.1"),
            ("1.0.1-beta.1", Minor, "1.1.0-beta.0"),
            ("1.1.0-beta.9", Patch, "1.1.0-beta.10"),
            ("2.0.0-beta.0", Major, "2.0.0-beta.1"),
            ("2.0.0-beta.0", Minor, "2.0.0-beta.1"),
            ("2.1.0-beta.0", Major, "3.0.0-beta.0"),
            ("0.2.3", Major, "0.3.0-beta.0"),
            ("0.2.3", Minor, "0.2.4-beta.0"),
            ("0.2.4-beta.0", Major, "0.3.0-beta.0"),
            ("0.3.0-beta.0", Major, "0.3.0-beta.1"),
            ("1.1.0-beta", Patch, "1.1.0-beta.0"),
            ("1.1.0-beta.1.2", Patch, "1.1.0-beta.1.3"),
            ("1.1.0-beta.x.2", Patch, "1.1.0-beta.0"),
            ("1.1.0-0", Patch, "1.1.0-beta.0"),
        ] {
            check(from, bump, "beta", expected);
        }
        check("1.1.0-beta.3", Patch, "rc", "1.1.0-rc.0");
        check("1.1.0-rc.3", Patch, "beta", "1.1.0-beta.0");
    }

    #[test]
    fn prereleases_announce_what_all_changes_together_ask_for() {
        const BUMPS: [Bump; 3] = [Bump::Patch, Bump::Minor, Bump::Major];
        let beta = Identifier::parse("beta").unwrap();
        for from in [
            "1.0.0", "1.2.0", "1.2.3", "0.0.0", "0.0.3", "0.2.0", "0.2.3",
        ] {
            let from = Version::parse(from).unwrap();
            for (sequence, zero_major) in (0..81).flat_map(|number| {
                let bumps = [27, 9, 3, 1].map(|place| BUMPS[number / place % 3]);
                [(bumps, ZeroMajor::Shift), (bumps, ZeroMajor::Strict)]
            }) {
                let last = sequence.into_iter().fold(from.clone(), |version, bump| {
                    version.next_prerelease(bump, &beta, zero_major)
                });
                let together = sequence.into_iter().max().unwrap();
                let release = from.next(together, zero_major);
                assert_eq!(last.announced(), release, "{from} {sequence:?}");
            }
        }
    }

    #[test]
    fn a_prerelease_never_overtakes_what_it_announces() {
        let rc = Identifier::parse("rc").unwrap();
        for from in [
            "1.0.0",
            "1.2.3",
            "1.3.0-rc.4",
            "2.0.0-beta.1",
            "0.1.0",
            "0.1.1-rc.0",
        ] {
            let from = Version::parse(from).unwrap();
            for bump in [Bump::Patch, Bump::Minor, Bump::Major] {
                for zero_major in [ZeroMajor::Shift, ZeroMajor::Strict] {
                    let next = from.next_prerelease(bump, &rc, zero_major);
                    let release = from.next(bump, zero_major);
                    assert!(from < next && next < release, "{from} {bump}: {next}");
                    assert_eq!(next.announced(), release);
                    assert_eq!(next.next(Bump::Patch, zero_major), release);
                }
            }
        }
    }
}
