//! Which way versions grow: to releases, or to prereleases of one; and when a prerelease does not go on as it began.

use crate::explain::{Exit, Failure};
use crate::plan::release::{Base, Facts, PackageFacts, matches, tag_format};
use crate::settings::{BumpRequest, Settings};
use crate::version::line::{Identifier, Line};
use crate::version::{Bump, Version, ZeroMajor};
use crate::workspace::package::Package;

/// Which way a version grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To a release.
    Release,
    /// To the next prerelease of what the changes ask for together.
    Prerelease(Identifier),
    /// To the first prerelease of something higher.
    NewPrerelease(Identifier),
}

impl Way {
    /// The way of a package whose prereleases have this identifier, if it has some.
    pub(super) fn of(identifier: Option<&Identifier>) -> Way {
        identifier.map_or(Way::Release, |identifier| {
            Way::Prerelease(identifier.clone())
        })
    }

    /// The way of a package that grows by itself, as far as `bump` was asked for.
    ///
    /// # Errors
    /// `plan::no_identifier`, exit 2, where a prerelease was asked for and nothing names it.
    pub(super) fn asked(
        package: &Package,
        from: &Version,
        own: Option<&Identifier>,
        settings: &Settings,
    ) -> Result<Way, Failure> {
        let named = || {
            let at_hand = from
                .identifier()
                .and_then(|text| Identifier::parse(text).ok());
            own.cloned().or(at_hand).ok_or_else(|| {
                let what = format!(
                    "{} is at {from}, and nothing names its prereleases",
                    package.name
                );
                Failure::new(Exit::Usage, "plan::no_identifier", what)
                    .hint("set prerelease, for example: --prerelease beta")
            })
        };
        Ok(match settings.bump {
            BumpRequest::NewPrerelease(_) => Way::NewPrerelease(named()?),
            BumpRequest::Prerelease => Way::Prerelease(named()?),
            _ => Way::of(own),
        })
    }

    /// The version after `from`.
    pub(super) fn next(&self, from: &Version, bump: Bump, zero_major: ZeroMajor) -> Version {
        match self {
            Way::Release => from.next(bump, zero_major),
            Way::Prerelease(identifier) => from.next_prerelease(bump, identifier, zero_major),
            Way::NewPrerelease(identifier) => from.new_prerelease(bump, identifier, zero_major),
        }
    }

    /// The version after `from` where a person named the `target`: on the way to prereleases, a release is what they announce.
    pub(super) fn toward(&self, from: &Version, target: &Version) -> Version {
        match self {
            Way::Prerelease(identifier) | Way::NewPrerelease(identifier)
                if !target.is_prerelease() =>
            {
                from.toward(target, identifier)
            }
            _ => target.clone(),
        }
    }
}

/// The identifier of a package's prereleases; `None`: it gets releases.
pub(super) fn identifier<'a>(
    package: &Package,
    settings: &'a Settings,
    line: Option<&'a Line>,
) -> Option<&'a Identifier> {
    if settings.bump == BumpRequest::Graduate {
        return None;
    }
    let about = settings.prerelease.iter().rev().find(|entry| {
        let packages = entry.packages.as_deref();
        packages.is_none_or(|pattern| matches(package, pattern))
    });
    match about {
        Some(entry) => entry.identifier.as_ref(),
        None => line.and_then(Line::identifier),
    }
}

/// Whether a version is a prerelease that becomes something else here although nothing changed: `graduate` was asked for, or it is one of another
/// branch, which was merged.
pub(super) fn arrives(version: &Version, own: Option<&Identifier>, settings: &Settings) -> bool {
    if settings.bump == BumpRequest::Graduate {
        return version.is_prerelease();
    }
    let is_found = |identifier: &Identifier| version.identifier() == Some(identifier.as_str());
    let of_a_branch = || {
        settings
            .lines
            .values()
            .filter_map(Line::identifier)
            .any(is_found)
    };
    version.is_prerelease() && !own.is_some_and(is_found) && of_a_branch()
}

/// Whether a version that a manifest holds, above its package's last release, was released where this history does not lead: a branch was merged by
/// squashing or rebasing. What a person writes for the first time has no tag.
pub(super) fn was_released(
    facts: &Facts<'_>,
    settings: &Settings,
    package: &Package,
    version: &Version,
    own: Option<&Identifier>,
) -> bool {
    let format = tag_format(facts.mode, settings);
    (own.is_some() || version.is_prerelease())
        && crate::name::TagName::parse(&crate::changes::tag::format(
            format,
            package.name.as_str(),
            version,
        ))
        .is_ok_and(|tag| facts.tags.contains(&tag))
}

/// Whether a package whose last release is a prerelease gets a release now, so that its notes tell everything since the release before.
#[must_use]
pub fn graduates(
    package: &Package,
    known: &PackageFacts,
    settings: &Settings,
    line: Option<&Line>,
) -> bool {
    let own = identifier(package, settings, line);
    let Base::Tag { version, .. } = &known.base else {
        return false;
    };
    own.is_none()
        && version.is_prerelease()
        && (known.changed().is_some() || arrives(version, own, settings))
}
