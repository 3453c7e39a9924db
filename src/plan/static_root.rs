//! Where static files are served from: the static root with its placeholders, and whether settings and record agree on it.

use crate::environment::entry::{CdnName, StaticPlace};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{EnvironmentName, PackageName};
use crate::settings::address::StoreAddress;
use crate::settings::{CdnSettings, Choice};

/// The root of one app in one environment: `{app}` becomes the full npm name, `{environment}` the environment.
///
/// ```
/// use pkgs_action::name::{EnvironmentName, PackageName};
/// use pkgs_action::plan::static_root;
/// let app = PackageName::parse("@org/web").unwrap();
/// let prod = EnvironmentName::parse("prod").unwrap();
/// assert_eq!(static_root::resolve("s3://cdn/{environment}/{app}", &app, &prod).unwrap(), "s3://cdn/prod/@org/web");
/// assert!(static_root::resolve("s3://cdn/{version}", &app, &prod).is_err());
/// ```
///
/// # Errors
/// `static::placeholder`, exit 2, for any other placeholder.
pub fn resolve(
    root: &str,
    app: &PackageName,
    environment: &EnvironmentName,
) -> Result<String, Failure> {
    let resolved = root
        .replace("{app}", app.as_str())
        .replace("{environment}", environment.as_str());
    if resolved.contains(['{', '}']) {
        return Err(Failure::new(
            Exit::Usage,
            "static::placeholder",
            format!(
                "the static root {} has an unknown placeholder",
                quoted(root)
            ),
        )
        .hint("it may hold {app} and {environment}"));
    }
    Ok(resolved)
}

/// Whether `root` is the same place in every environment.
#[must_use]
pub fn is_shared(root: &str) -> bool {
    !root.contains("{environment}")
}

/// Which root the static files of a build go to: `recorded` is the root in its manifest (or in the entry that made it live), `setting`
/// what was asked for now. `None` when nothing is laid out.
///
/// # Errors
/// `static::root_unknown` and `static::root_differs`, exit 2.
pub fn choose(
    setting: &Choice<String>,
    recorded: Option<&str>,
    app: &PackageName,
) -> Result<Option<String>, Failure> {
    let known = recorded.filter(|root| !root.is_empty() && *root != "none");
    let root = match (setting, known) {
        (Choice::Off, _) => return Ok(None),
        (Choice::On(root), Some(known)) if root == known => root.as_str(),
        (Choice::On(root), Some(known)) => {
            return Err(Failure::new(
                Exit::Usage,
                "static::root_differs",
                format!(
                    "the static files of {app} belong to {}, not to {}",
                    quoted(known),
                    quoted(root)
                ),
            )
            .hint("leave 'static' unset to use the recorded root, or say 'static: none' to lay out no files"));
        }
        (Choice::On(root), None) => root.as_str(),
        (Choice::Unset, Some(known)) => known,
        (Choice::Unset, None) => {
            return Err(Failure::new(
                Exit::Usage,
                "static::root_unknown",
                format!("{app} has static files, but nothing says where they are served from"),
            )
            .hint("set 'static', or say 'static: none' to lay out no files"));
        }
    };
    Ok(Some(root.to_owned()))
}

/// The CDN that is set for an environment: its distribution; where it has none, the command.
#[must_use]
pub fn set(settings: &CdnSettings, environment: &EnvironmentName) -> Choice<CdnName> {
    let distributions = &settings.distributions;
    let own = distributions.get(&Some(environment.clone()));
    let distribution = own.or_else(|| distributions.get(&None));
    match (distribution, &settings.command) {
        (Some(Some(id)), _) => Choice::On(CdnName::Distribution(id.clone())),
        (_, Choice::On(_)) => Choice::On(CdnName::Command),
        (Some(None), _) | (_, Choice::Off) => Choice::Off,
        (None, Choice::Unset) => Choice::Unset,
    }
}

/// What is known about a static root besides its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Front {
    /// The CDN in front of it.
    pub cdn: Option<CdnName>,
    /// Its public address.
    pub url: Option<String>,
}

/// What stands in front of `root`: what is set now; else what the newest entry with that root says, `newest`; else `before`, the entry
/// that made the version live when it was served from there. So a rollback tells the CDN of today, and needs no setting.
#[must_use]
pub fn in_front(
    root: &str,
    cdn: &Choice<CdnName>,
    url: Option<&str>,
    newest: Option<&StaticPlace>,
    before: Option<&StaticPlace>,
) -> Front {
    let same = |place: &&StaticPlace| place.root == root;
    let known = newest.filter(same).or_else(|| before.filter(same));
    Front {
        cdn: match cdn {
            Choice::On(cdn) => Some(cdn.clone()),
            Choice::Off => None,
            Choice::Unset => known.and_then(StaticPlace::in_front),
        },
        url: url
            .map(str::to_owned)
            .or_else(|| known.and_then(|place| place.url.clone())),
    }
}

/// Refuses a second environment at a root that serves one: `served` are the other environments whose live version is served from
/// the same root. `mutable` counts the files that are not immutable; immutable ones may be shared.
///
/// # Errors
/// `static::shared_root`, exit 3.
pub fn refuse_second_environment(
    root: &str,
    mutable: u64,
    app: &PackageName,
    environment: &EnvironmentName,
    served: &[EnvironmentName],
) -> Result<(), Failure> {
    match served.first() {
        Some(other) if is_shared(root) && mutable > 0 => Err(Failure::new(
            Exit::Refused,
            "static::shared_root",
            format!(
                "{environment} of {app} would overwrite the static files of {other} at {}",
                quoted(root)
            ),
        )
        .because("the static root has no {environment}, so it serves one environment")
        .hint("put {environment} into 'static' and release again, or say 'static: none' for this environment")),
        _ => Ok(()),
    }
}

/// Refuses a static root and a store that lie in one another: what is served is public, what the store holds is not.
///
/// # Errors
/// `static::in_store`, exit 2.
pub fn refuse_overlap(store: &StoreAddress, root: &StoreAddress) -> Result<(), Failure> {
    if !store.overlaps(root) {
        return Ok(());
    }
    let what = format!("the store {store} and the static root {root} lie in one another");
    Err(Failure::new(Exit::Usage, "static::in_store", what)
        .because("static files are served to everybody; archives, seals and pointer logs are not")
        .hint("give each a bucket of its own, or prefixes side by side: s3://bucket/store and s3://bucket/static"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_record_must_agree() {
        let app = PackageName::parse("web").unwrap();
        let root = |text: &str| Choice::On(text.to_owned());
        for (setting, recorded, expected) in [
            (Choice::Unset, Some("s3://a"), "s3://a"),
            (Choice::Unset, None, "static::root_unknown"),
            (Choice::Unset, Some("none"), "static::root_unknown"),
            (Choice::Off, Some("s3://a"), "-"),
            (Choice::Off, None, "-"),
            (root("s3://a"), Some("s3://a"), "s3://a"),
            (root("s3://a"), None, "s3://a"),
            (root("s3://b"), Some("s3://a"), "static::root_differs"),
        ] {
            let chosen = match choose(&setting, recorded, &app) {
                Ok(Some(root)) => root,
                Ok(None) => "-".to_owned(),
                Err(failure) => failure.code().to_owned(),
            };
            assert_eq!(chosen, expected, "{setting:?} {recorded:?}");
        }
    }

    #[test]
    fn what_is_set_comes_before_the_newest_entry_and_that_before_an_older_one() {
        let place = |root: &str, cdn: Option<&str>, url: Option<&str>| StaticPlace {
            root: root.to_owned(),
            cdn: cdn.map(str::to_owned),
            url: url.map(str::to_owned),
        };
        let check = |set: Choice<CdnName>, newest: Option<StaticPlace>, expected: Option<&str>| {
            let before = place("s3://a", Some("E1"), Some("https://a/"));
            let front = in_front("s3://a", &set, None, newest.as_ref(), Some(&before));
            assert_eq!(
                front.cdn.as_ref().map(CdnName::recorded),
                expected,
                "{set:?} {newest:?}"
            );
        };
        let newest = || Some(place("s3://a", Some("E2"), None));
        check(Choice::Unset, None, Some("E1"));
        check(Choice::Unset, newest(), Some("E2"));
        check(
            Choice::Unset,
            Some(place("s3://b", Some("E2"), None)),
            Some("E1"),
        );
        check(Choice::Unset, Some(place("s3://a", None, None)), None);
        check(
            Choice::Unset,
            Some(place("s3://a", Some("command"), None)),
            Some("command"),
        );
        check(Choice::Off, newest(), None);
        check(Choice::On(CdnName::Command), newest(), Some("command"));
        let url = |set, newest: &StaticPlace| {
            in_front("s3://a", &Choice::Unset, set, Some(newest), None).url
        };
        let known = place("s3://a", None, Some("https://a/"));
        assert_eq!(url(None, &known).as_deref(), Some("https://a/"));
        assert_eq!(
            url(Some("https://b/"), &known).as_deref(),
            Some("https://b/")
        );
        assert_eq!(url(None, &place("s3://b", None, Some("https://b/"))), None);
    }

    #[test]
    fn a_distribution_is_told_before_a_command() {
        let environment = |text: &str| EnvironmentName::parse(text).unwrap();
        let check = |distributions: &[(&str, &str)], command, expected: &str| {
            let distribution = |(name, id): &(&str, &str)| {
                let name = (!name.is_empty()).then(|| environment(name));
                (name, (*id != "none").then(|| (*id).to_owned()))
            };
            let settings = CdnSettings {
                distributions: distributions.iter().map(distribution).collect(),
                command,
                ..CdnSettings::default()
            };
            let found = match set(&settings, &environment("prod")) {
                Choice::On(cdn) => cdn.recorded().to_owned(),
                Choice::Off => "off".to_owned(),
                Choice::Unset => "unset".to_owned(),
            };
            assert_eq!(found, expected, "{distributions:?}");
        };
        let command = || Choice::On("purge".to_owned());
        check(&[], Choice::Unset, "unset");
        check(&[], Choice::Off, "off");
        check(&[], command(), "command");
        check(&[("", "none")], Choice::Unset, "off");
        check(&[("", "E1")], Choice::Unset, "E1");
        check(&[("", "E1")], command(), "E1");
        check(&[("", "E1"), ("prod", "E2")], command(), "E2");
        check(&[("", "E1"), ("prod", "none")], Choice::Unset, "off");
        check(&[("sit", "E1")], command(), "command");
        check(&[("sit", "E1")], Choice::Unset, "unset");
    }

    #[test]
    fn a_root_without_environment_serves_one() {
        let app = PackageName::parse("web").unwrap();
        let environment = |text| EnvironmentName::parse(text).unwrap();
        let prod = environment("prod");
        let refused = |root, mutable, served: &[EnvironmentName]| {
            refuse_second_environment(root, mutable, &app, &prod, served).is_err()
        };
        assert!(refused("s3://a", 1, &[environment("pre")]));
        assert!(!refused("s3://a", 0, &[environment("pre")]));
        assert!(!refused("s3://a/{environment}", 1, &[environment("pre")]));
        assert!(!refused("s3://a", 1, &[]));
    }
}
