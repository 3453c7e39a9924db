//! What form the value of a single setting has.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::name::{EnvironmentName, PackageName, TagName};
use crate::secret::Secret;
use crate::settings::address;
use crate::settings::command::Apps;
use crate::settings::given::{Given, list};
use crate::settings::table::Kind;
use crate::settings::variables;
use crate::settings::{BumpRequest, MostBytes, OnPrerelease};
use crate::version::line::{Identifier, Line};
use crate::version::range::Range;
use crate::version::{Bump, Version};

/// A failure about a value, under the name the person used.
pub(super) fn named(given: &Given, setting: &str, failure: &Failure) -> Failure {
    let renamed = Failure::new(
        Exit::Usage,
        failure.code(),
        format!("{}: {}", given.name(setting), failure.what()),
    );
    let renamed = failure.causes().iter().fold(renamed, Failure::because);
    match failure.advice() {
        Some(hint) => renamed.hint(hint),
        None => renamed,
    }
}

/// That a value is `what`, under the name the person used.
fn refused(given: &Given, setting: &str, code: &'static str, what: &str) -> Failure {
    let name = given.name(setting);
    Failure::new(
        Exit::Usage,
        code,
        format!("{name} is {}{what}", quoted(&given.value)),
    )
}

/// A number within `range`, for example `default`.
pub(super) fn number(
    given: &Given,
    setting: &str,
    range: &RangeInclusive<usize>,
    default: usize,
) -> Result<usize, Failure> {
    let number = given.value.parse().ok();
    let number = number.filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        let what = format!(", not a number from {least} to {most}");
        refused(given, setting, "settings::number", &what)
            .hint(format!("write a number, for example {default}"))
    })
}

/// Refuses control characters, but for the line breaks and tabs that belong into lists, commands and messages.
pub(super) fn plain(given: &Given, setting: &str, kind: Kind) -> Result<(), Failure> {
    let allowed: &[char] = match kind {
        Kind::List | Kind::Groups | Kind::Map | Kind::Objects => &['\n', '\r', '\t'],
        Kind::Lines => &['\n', '\t'],
        // What a credential may hold, `Secret` knows.
        Kind::Secret => return Ok(()),
        Kind::Text | Kind::Boolean => &[],
    };
    let is_wrong = |character: &char| character.is_control() && !allowed.contains(character);
    match given.value.chars().find(is_wrong) {
        None => Ok(()),
        Some(character) => Err(Failure::new(
            Exit::Usage,
            "settings::control_character",
            format!(
                "{} holds the control character U+{:04X}",
                given.name(setting),
                u32::from(character)
            ),
        )
        .because(quoted(&given.value))
        .hint("take it out")),
    }
}

/// A name of an environment.
pub(super) fn environment(given: &Given, setting: &str) -> Result<EnvironmentName, Failure> {
    EnvironmentName::parse(&given.value).map_err(|failure| named(given, setting, &failure))
}

/// Names of apps, or `all`.
pub(super) fn apps(given: &Given) -> Result<Apps, Failure> {
    match list(&given.value).as_slice() {
        [] => Ok(Apps::Default),
        [all] if all == "all" => Ok(Apps::All),
        names => names
            .iter()
            .map(|name| {
                PackageName::parse(name).map_err(|failure| {
                    let what = format!("{}: {}", given.name("app"), failure.what());
                    Failure::new(Exit::Usage, "settings::app", what)
                        .hint("write the name of the package as its package.json has it, or all")
                })
            })
            .collect::<Result<_, _>>()
            .map(Apps::Named),
    }
}

/// A version without the `v` that tags put before it, as npm takes it; any other text as it is.
///
/// ```
/// use pkgs_action::settings::form::without_v;
/// assert_eq!(["v1.4.2", "1.4.2", "previous", "v1", "41"].map(without_v), ["1.4.2", "1.4.2", "previous", "v1", "41"]);
/// ```
pub fn without_v(text: &str) -> &str {
    text.strip_prefix('v')
        .filter(|version| Version::parse(version).is_ok())
        .unwrap_or(text)
}

/// How far versions grow.
pub(super) fn bump(given: &Given) -> Result<BumpRequest, Failure> {
    match given.value.as_str() {
        "auto" => Ok(BumpRequest::Auto),
        "patch" => Ok(BumpRequest::By(Bump::Patch)),
        "minor" => Ok(BumpRequest::By(Bump::Minor)),
        "major" => Ok(BumpRequest::By(Bump::Major)),
        "prepatch" => Ok(BumpRequest::NewPrerelease(Bump::Patch)),
        "preminor" => Ok(BumpRequest::NewPrerelease(Bump::Minor)),
        "premajor" => Ok(BumpRequest::NewPrerelease(Bump::Major)),
        "prerelease" => Ok(BumpRequest::Prerelease),
        "graduate" => Ok(BumpRequest::Graduate),
        text => Version::parse(without_v(text))
            .map(BumpRequest::To)
            .map_err(|_| {
                let what = ", not auto, patch, minor, major, prepatch, preminor, premajor, prerelease, graduate or a version";
                refused(given, "bump", "settings::choice", what)
                    .hint("write for example minor or 1.4.2")
            }),
    }
}

/// What to do about a name that stands there twice.
const TWICE: &str = "leave one of them: nothing says which counts";

/// The entries of a map; without a name where only a value stands.
fn entries(given: &Given) -> impl Iterator<Item = (Option<String>, String)> {
    list(&given.value).into_iter().map(|entry| {
        let named = entry.rsplit_once('=');
        match named.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())) {
            Some((name, value)) => (Some(name), value),
            None => (None, entry),
        }
    })
}

/// Which packages get prereleases.
pub(super) fn prerelease(given: &Given) -> Result<Vec<OnPrerelease>, Failure> {
    let each = entries(given).map(|(packages, value)| {
        let identifier = (value != "none")
            .then(|| Identifier::parse(&value))
            .transpose()
            .map_err(|failure| named(given, "prerelease", &failure))?;
        Ok(OnPrerelease {
            packages,
            identifier,
        })
    });
    each.collect()
}

/// How long tarballs may be.
pub(super) fn max_package_size(given: &Given) -> Result<Vec<MostBytes>, Failure> {
    let each = entries(given).map(|(packages, value)| {
        let bytes = bytes(&value).ok_or_else(|| {
            let name = given.name("max-package-size");
            let what = format!("{name} says {}, which is no size", quoted(&value));
            Failure::new(Exit::Usage, "settings::size", what)
                .hint("write a whole number of bytes, kB, MB, GB, KiB, MiB or GiB, for example 5MB")
        })?;
        Ok(MostBytes { packages, bytes })
    });
    each.collect()
}

/// A number of bytes: `500`, `20kB`, `5 MB`, `1GiB`; the unit in any case.
///
/// ```
/// use pkgs_action::settings::form::bytes;
/// assert_eq!(["20", "5 MB", "1gib", "1.5MB", "-1"].map(bytes), [Some(20), Some(5_000_000), Some(1 << 30), None, None]);
/// ```
pub fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
    ];
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(known, _)| *known == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The name of a snapshot; `None`: there is none.
pub(super) fn snapshot(given: &Given) -> Result<Option<Identifier>, Failure> {
    let name = match given.value.as_str() {
        "false" => return Ok(None),
        "true" => "snapshot",
        name => name,
    };
    Identifier::parse(name)
        .map(Some)
        .map_err(|failure| named(given, "snapshot", &failure))
}

/// What branches are for.
pub(super) fn branches(given: &Given) -> Result<BTreeMap<String, Line>, Failure> {
    let mut lines = BTreeMap::new();
    for (branch, value) in entries(given) {
        let Some(branch) = branch.filter(|branch| !branch.is_empty()) else {
            let name = given.name("branches");
            let what = format!("{name} says {} and not of which branch", quoted(&value));
            return Err(Failure::new(Exit::Usage, "settings::branches", what)
                .hint("write for example next=beta or 1.x=1.x"));
        };
        let line = Line::parse(&value).map_err(|failure| named(given, "branches", &failure))?;
        if lines.contains_key(&branch) {
            let what = format!("{} names {branch} twice", given.name("branches"));
            return Err(Failure::new(Exit::Usage, "settings::branches", what).hint(TWICE));
        }
        lines.insert(branch, line);
    }
    Ok(lines)
}

/// A commit message, without space around it.
pub(super) fn message(given: &Given) -> Result<String, Failure> {
    let text = given.value.trim();
    if text.is_empty() {
        let what = ", which is no commit message";
        return Err(refused(given, "commit-message", "settings::message", what)
            .hint("for example: chore: version {version}"));
    }
    if let Some(unknown) = unknown_placeholder(text) {
        let what = format!(": {} is no placeholder", quoted(unknown));
        return Err(refused(given, "commit-message", "settings::message", &what)
            .hint("write {version}, {tags} or {count}"));
    }
    Ok(text.to_owned())
}

/// The first word in braces of a commit message that nothing takes the place of.
fn unknown_placeholder(message: &str) -> Option<&str> {
    const KNOWN: [&str; 3] = ["{version}", "{tags}", "{count}"];
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    let opened = message.match_indices('{').map(|(at, _)| &message[at..]);
    let words = opened.filter_map(|rest| Some(&rest[..=rest.find('}')?]));
    let mut named =
        words.filter(|word| word.len() > 2 && word[1..word.len() - 1].chars().all(is_part));
    named.find(|word| !KNOWN.contains(word))
}

/// A form of tags: it makes one for every version, and git allows it.
pub(super) fn tag_format(given: &Given) -> Result<String, Failure> {
    let refuse = |why: &str| {
        Err(refused(
            given,
            "tag-format",
            "settings::tag_format",
            &format!(": {why}"),
        )
        .hint("for example {name}@{version} or v{version}"))
    };
    if !given.value.contains("{version}") {
        return refuse("it must hold {version}");
    }
    let sample = given
        .value
        .replace("{name}", "@a/b")
        .replace("{version}", "1.0.0");
    if sample.contains(['{', '}']) || TagName::parse(&sample).is_err() {
        return refuse("it does not make a tag that git allows");
    }
    Ok(given.value.clone())
}

/// npm refuses dist-tags that read as a range, so that `npm install a@tag` stays unambiguous.
pub(super) fn dist_tag(given: &Given) -> Result<String, Failure> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let text = &given.value;
    if text.chars().all(is_plain) && Range::parse(text).is_err() {
        return Ok(text.clone());
    }
    let what = ", which npm does not take as a dist-tag";
    Err(refused(given, "npm-tag", "settings::dist_tag", what)
        .hint("use a word such as next or beta"))
}

/// An http(s) address without credentials in it, ending in `/`; plain http only on loopback.
pub(super) fn url(given: &Given, setting: &str) -> Result<Url, Failure> {
    let refuse = |why: &str, hint: &str| {
        let what = format!("{} is not an address: {why}", given.name(setting));
        Failure::new(Exit::Usage, "settings::url", what).hint(hint)
    };
    if setting == "registry" && given.value.starts_with('/') {
        let hint = "a directory as registry is written file:///absolute/directory";
        return Err(refuse("it is a path", hint));
    }
    address::http(&given.value).map_err(|no| refuse(&no.why, no.hint))
}

/// The name of a role of AWS.
pub(super) fn role(given: &Given) -> Result<String, Failure> {
    const LONGEST: usize = 2048;
    let arn = &given.value;
    let mut parts = arn.splitn(6, ':');
    let mut part = || parts.next().unwrap_or_default();
    let is_role = part() == "arn"
        && part().starts_with("aws")
        && part() == "iam"
        && part().is_empty()
        && is_account(part())
        && part().strip_prefix("role/").is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
        });
    if is_role && arn.len() <= LONGEST {
        return Ok(arn.clone());
    }
    let what = ", which names no role of AWS";
    Err(refused(given, "role-to-assume", "settings::role", what)
        .hint("write arn:aws:iam::123456789012:role/release, as IAM shows it"))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The public address of static files, with its placeholders.
pub(super) fn static_url(given: &Given) -> Result<String, Failure> {
    let setting = "static-url";
    let sample = given
        .value
        .replace("{app}", "app")
        .replace("{environment}", "prod");
    if sample.contains(['{', '}']) {
        let what = format!("{} has an unknown placeholder", given.name(setting));
        return Err(Failure::new(Exit::Usage, "static::placeholder", what)
            .because(quoted(&given.value))
            .hint("it may hold {app} and {environment}"));
    }
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    // Browsers, and so the crate, take `http:x`, `https:///x` and `\` for what was meant; nobody else does.
    let is_whole = sample
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.starts_with(['/', '\\']) && !rest.contains('\\'));
    match Url::parse(&sample) {
        Ok(url) if is_whole && is_plain(&url) => Ok(given.value.clone()),
        _ => {
            let what = format!("{} is no address that people can open", given.name(setting));
            Err(Failure::new(Exit::Usage, "settings::url", what)
                .hint("write it like https://static.example/{environment}, without user, password, '?' and '#'"))
        }
    }
}

/// The ids of `CloudFront` distributions.
pub(super) fn cdn_distribution(
    given: &Given,
) -> Result<BTreeMap<Option<EnvironmentName>, Option<String>>, Failure> {
    let setting = "cdn-distribution";
    if given.value == "none" {
        return Ok(BTreeMap::from([(None, None)]));
    }
    let is_id = |id: &str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    let mut distributions = BTreeMap::new();
    for (environment, id) in entries(given) {
        let environment = environment
            .map(|name| EnvironmentName::parse(&name))
            .transpose()
            .map_err(|failure| named(given, setting, &failure))?;
        if id != "none" && !is_id(&id) {
            let what = format!(
                "{} says {}, which is no id of a distribution",
                given.name(setting),
                quoted(&id)
            );
            return Err(
                Failure::new(Exit::Usage, "settings::cdn_distribution", what).hint(
                    "write the id that CloudFront shows, such as E2EXAMPLE1, or prod=E2EXAMPLE1",
                ),
            );
        }
        if distributions.contains_key(&environment) {
            let whom = environment.map_or_else(
                || "gives every environment".to_owned(),
                |environment| format!("names {environment}"),
            );
            let what = format!("{} {whom} twice", given.name(setting));
            return Err(Failure::new(Exit::Usage, "settings::cdn_distribution", what).hint(TWICE));
        }
        distributions.insert(environment, (id != "none").then_some(id));
    }
    Ok(distributions)
}

/// Names of variables for the command that tells a CDN.
pub(super) fn cdn_environment(given: &Given) -> Result<Vec<String>, Failure> {
    let setting = "cdn-environment";
    let is_name = |name: &str| {
        !name.starts_with(|letter: char| letter.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let names = list(&given.value);
    for name in &names {
        let refuse = |why: &str| {
            let what = format!("{} names {}: {why}", given.name(setting), quoted(name));
            Failure::new(Exit::Usage, "settings::cdn_environment", what)
        };
        if !is_name(name) {
            return Err(refuse("that is no name of a variable")
                .hint("write names, one a line: CLOUDFLARE_API_TOKEN; their values stay in the environment"));
        }
        if variables::is_our_own(name) {
            return Err(refuse("it is a credential or a setting of this tool's own")
                .hint("give the command a credential of its own, which may do nothing but tell the CDN"));
        }
    }
    Ok(names)
}

/// Which registry the packages of each scope go to.
pub(super) fn registries(given: &Given) -> Result<BTreeMap<String, Url>, Failure> {
    let setting = "registries";
    let refuse = |entry: &str, why: &str, hint: &str| {
        let what = format!("{} says {}: {why}", given.name(setting), quoted(entry));
        Failure::new(Exit::Usage, "settings::registries", what).hint(hint)
    };
    let mut registries = BTreeMap::new();
    for entry in list(&given.value) {
        let form = "write for example @acme=https://npm.pkg.github.com/";
        let Some((scope, address)) = entry.split_once('=') else {
            return Err(refuse(
                &entry,
                "it has no `=` between scope and address",
                form,
            ));
        };
        let (scope, address) = (scope.trim(), address.trim());
        let is_scope = scope.starts_with('@') && PackageName::parse(&format!("{scope}/a")).is_ok();
        if !is_scope || scope.contains('/') {
            return Err(refuse(&entry, "what stands before `=` is no scope", form));
        }
        let url = address::http(address).map_err(|no| {
            // What stands before an @ may be a credential.
            let shown = if address.contains('@') { scope } else { &entry };
            refuse(shown, &format!("its address is none, {}", no.why), no.hint)
        })?;
        if registries.insert(scope.to_owned(), url).is_some() {
            return Err(refuse(scope, "it stands there twice", "leave one of them"));
        }
    }
    Ok(registries)
}

/// The tokens of registries, by their addresses. No message holds a value.
pub(super) fn registry_tokens(given: &Given) -> Result<Vec<(Url, Secret)>, Failure> {
    let mut tokens = Vec::new();
    if given.value == "none" {
        return Ok(tokens);
    }
    for (index, line) in given.value.lines().enumerate() {
        let refuse = |why: &str| {
            let name = given.name("registry-tokens");
            let what = format!("line {} of {name} gives no token: {why}", index + 1);
            Failure::new(Exit::Usage, "settings::registries", what).hint(
                "write on each line an address and its token: https://npm.pkg.github.com/=<token>",
            )
        };
        if line.trim().is_empty() {
            continue;
        }
        let Some((address, token)) = line.split_once('=') else {
            return Err(refuse("it has no `=` between address and token"));
        };
        let url = address::http(address.trim())
            .map_err(|_| refuse("what stands before `=` is no https address"))?;
        if token.trim().is_empty() {
            // A secret that does not exist is empty in a workflow.
            continue;
        }
        let token = Secret::new(token.trim())
            .ok_or_else(|| refuse("the token contains control characters"))?;
        tokens.push((url, token));
    }
    Ok(tokens)
}

/// A directory that is written as an address.
pub(super) fn directory(given: &Given, setting: &str) -> Result<PathBuf, Failure> {
    address::directory(&given.value).map_err(|why| {
        let what = ", which is no address of a directory";
        refused(given, setting, "settings::url", what)
            .because(why)
            .hint("write file:///absolute/directory")
    })
}

/// A name that a variable can have.
///
/// ```
/// use pkgs_action::settings::form::is_variable_name;
/// assert!(is_variable_name("SERVER_ENV") && is_variable_name("_x1"));
/// assert!(!is_variable_name("") && !is_variable_name("1X") && !is_variable_name("A-B") && !is_variable_name("A=B"));
/// ```
pub fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// The variable that tells an app its environment: none by which the loader, the shell or Node would behave differently.
pub(super) fn environment_variable(given: &Given) -> Result<String, Failure> {
    const TAKEN: [&str; 5] = ["PATH", "HOME", "NODE_OPTIONS", "RELEASE_ID", "PORT"];
    let name = &given.value;
    if is_variable_name(name) && !name.starts_with("LD_") && !TAKEN.contains(&name.as_str()) {
        return Ok(name.clone());
    }
    let what = ", which cannot tell an app its environment";
    Err(refused(given, "environment-variable", "settings::variable", what)
        .hint("use letters, digits and '_', and no name that programs give a meaning of their own: SERVER_ENV"))
}

/// The address that answers when a service is healthy.
pub(super) fn health(given: &Given) -> Result<String, Failure> {
    address::health(&given.value)
        .map(|_| given.value.clone())
        .map_err(|why| {
            refused(
                given,
                "health",
                "settings::health",
                ", which is no health address",
            )
            .because(why)
            .hint("write it like http://127.0.0.1:8080/health")
        })
}
