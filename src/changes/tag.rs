//! Release tags: how they are written, and every form of them that is understood when reading.

use crate::name::TagName;
use crate::version::Version;

/// What a tag says: of which package (`None`: of the whole repository) it marks which version.
///
/// Understood are `name@1.2.3`, `name@v1.2.3`, `v1.2.3`, `1.2.3`, and `v1.2.3-version-pkg` of the older tool this one follows.
///
/// ```
/// use pkgs_action::changes::tag::read;
/// use pkgs_action::name::TagName;
/// let read = |text: &str| read(&TagName::parse(text).unwrap()).map(|(name, version)| (name.map(str::to_owned), version.to_string()));
/// assert_eq!(read("@x/a@1.2.3"), Some((Some("@x/a".into()), "1.2.3".into())));
/// assert_eq!(read("a@v1.2.3"), Some((Some("a".into()), "1.2.3".into())));
/// assert_eq!(read("v1.2.3-beta.1"), Some((None, "1.2.3-beta.1".into())));
/// assert_eq!(read("v1.2.3-version-pkg"), Some((None, "1.2.3".into())));
/// assert_eq!(read("latest"), None);
/// ```
pub fn read(tag: &TagName) -> Option<(Option<&str>, Version)> {
    let text = tag.as_str();
    let (name, version) = match text.rfind('@').filter(|at| *at > 0) {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    };
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.strip_suffix("-version-pkg").unwrap_or(version);
    Version::parse(version).ok().map(|version| (name, version))
}

/// A tag's name by its format, with `{name}` and `{version}` replaced.
pub fn format(format: &str, name: &str, version: &Version) -> String {
    format
        .replace("{name}", name)
        .replace("{version}", &version.to_string())
}

/// As [`read`], and the tags of a format of the repository's own first.
///
/// ```
/// use pkgs_action::changes::tag::read_with;
/// use pkgs_action::name::TagName;
/// let tag = TagName::parse("@x/a/v1.2.3").unwrap();
/// assert_eq!(read_with(&tag, Some("{name}/v{version}")).map(|(name, _)| name), Some(Some("@x/a")));
/// ```
pub fn read_with<'a>(tag: &'a TagName, format: Option<&str>) -> Option<(Option<&'a str>, Version)> {
    let own = format.and_then(|format| {
        let (before, after) = format.split_once("{version}")?;
        let (start, between) = match before.split_once("{name}") {
            Some((start, between)) => (start, Some(between)),
            None => (before, None),
        };
        let middle = tag.as_str().strip_prefix(start)?.strip_suffix(after)?;
        match between {
            None => Version::parse(middle).ok().map(|version| (None, version)),
            Some(between) => middle
                .match_indices(if between.is_empty() { "@" } else { between })
                .find_map(|(at, found)| {
                    Some((
                        Some(&middle[..at]),
                        Version::parse(&middle[at + found.len()..]).ok()?,
                    ))
                }),
        }
    });
    own.or_else(|| read(tag))
}
