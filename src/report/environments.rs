//! What promote, rollback, hold, unhold, mark-bad, pin, unpin and status tell: `pkgs.point/1`, `pkgs.status/1`, and the same for people.

use std::fmt::Write as _;

use serde::Serialize;

use crate::environment::entry::Hold;
use crate::environment::target::Skipped;
use crate::explain::{Failure, plain, quoted, safe_line};
use crate::plan::promote::while_held;
use crate::report::npm_rollback::OnNpm;
use crate::settings::StoreSettings;

/// The schema of [`Points`].
pub const POINT_SCHEMA: &str = "pkgs.point/1";
/// The schema of [`Status`].
pub const STATUS_SCHEMA: &str = "pkgs.status/1";

/// How many entries of the log `status` shows to people.
const SHOWN_ENTRIES: usize = 8;
/// How many versions `status` shows to people.
const SHOWN_VERSIONS: usize = 8;

/// What became of a request about environments, app by app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Points {
    /// [`POINT_SCHEMA`].
    pub schema: &'static str,
    /// The apps.
    pub apps: Vec<Point>,
    /// What was done on npm, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npm: Option<OnNpm>,
    /// The failure of the app that was not finished; those after it were not started.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// What became of a request about one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The number of its entry; of the newest entry when nothing was written; `null` when there is none.
    pub seq: Option<u64>,
    /// What was asked for.
    pub op: &'static str,
    /// The version that was live before.
    pub from: Option<String>,
    /// The version it is about.
    pub to: Option<String>,
    /// Whether automation is held once it is done.
    pub held: bool,
    /// What laying out static files came to.
    #[serde(rename = "static")]
    pub static_files: StaticCounts,
    /// The public address of its static files, where it is known.
    pub url: Option<String>,
    /// Whether nothing was written because that was asked for.
    pub dry_run: bool,
    /// What became of it.
    pub outcome: PointOutcome,
    /// Why.
    pub reasons: Vec<String>,
    /// The versions that a rollback passed over, and why.
    pub skipped: Vec<SkippedVersion>,
    /// After `unhold`: the newest version that could be promoted.
    pub waiting: Option<String>,
    /// What is true in the environment now; a dry run changes nothing of it. `null` where nobody looked.
    pub now: Option<Now>,
}

/// What is true in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Now {
    /// The version that is live.
    pub current: Option<String>,
    /// The number of the newest entry.
    pub seq: Option<u64>,
    /// Whether automation is held.
    pub held: bool,
}

impl Point {
    /// Whether it is a move that was made before, and another version became live since.
    #[must_use]
    pub fn is_past(&self) -> bool {
        let live = self.now.as_ref().map(|now| &now.current);
        matches!(self.op, "promote" | "rollback")
            && self.outcome == PointOutcome::AlreadyDone
            && live.is_some_and(|live| *live != self.to)
    }
}

/// What became of a request about one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointOutcome {
    /// It is in the log now; with a dry run, it would be.
    Done,
    /// It was true, or was done, already.
    AlreadyDone,
    /// Automation is held: nothing changed.
    Held,
    /// Automation met a version marked bad: nothing changed.
    Bad,
    /// Automation only goes forward: nothing changed.
    NotDescendant,
    /// It is in the log; what follows that, its static files and the CDN in front of them, is not finished.
    Unfinished,
    /// It failed, and nothing was written.
    Failed,
    /// Another app failed before.
    NotStarted,
}

/// What laying out static files came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticCounts {
    /// Files written.
    pub changed: u64,
    /// Files that were there already.
    pub unchanged: u64,
    /// The paths of which the CDN in front of them was told; `null` where there is none, a later activation tells it, or none was laid out.
    pub cdn_paths: Option<u64>,
}

/// A version that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedVersion {
    /// The version.
    pub version: String,
    /// Why.
    pub why: String,
}

impl From<&Skipped> for SkippedVersion {
    fn from(skipped: &Skipped) -> SkippedVersion {
        SkippedVersion {
            version: skipped.version.clone(),
            why: skipped.why.to_string(),
        }
    }
}

/// What runs where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`STATUS_SCHEMA`].
    pub schema: &'static str,
    /// When this was looked at, RFC 3339.
    pub at: String,
    /// Where the environments are recorded; `null` where no store was looked into.
    pub store: Option<StoreStatus>,
    /// The environments, first those that are configured, in their order, then the others that an app was pointed at.
    pub environments: Vec<String>,
    /// The packages of the repository; empty outside of one.
    pub packages: Vec<PackageStatus>,
    /// Why nobody can say what would be released next.
    pub next_unknown: Option<Unknown>,
    /// The apps in the store.
    pub apps: Vec<AppStatus>,
    /// The environment that was asked for, if only one was.
    #[serde(skip)]
    pub asked: Option<String>,
    /// What could not be read; everything else is told.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// The store that was looked into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// Its address, as it is set.
    pub address: String,
    /// The S3-compatible server.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
}

impl From<&StoreSettings> for StoreStatus {
    fn from(settings: &StoreSettings) -> StoreStatus {
        StoreStatus {
            address: settings.address.written(),
            endpoint: settings.endpoint.as_ref().map(ToString::to_string),
            region: settings.region.clone(),
        }
    }
}

/// A rollback as a person may copy it.
#[derive(Debug, Clone, Copy)]
pub struct WayBack<'a> {
    /// The app.
    pub app: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The version that is left.
    pub leaves: &'a str,
    /// The version to which it goes.
    pub to: &'a str,
    /// Whether a command tells the CDN: it is never recorded, so who copies this must have it.
    pub needs_cdn_command: bool,
}

/// What a shell puts before a command that needs `cdn-command`: the variable as it is set there, or a refusal that says what is missing.
const WITH_CDN_COMMAND: &str = "PKGS_CDN_COMMAND=\"${PKGS_CDN_COMMAND:?set it to the command that tells the CDN, as where this was promoted}\" ";

/// The command that goes back, for a shell. It names the version, so that it does what is told beside it or, where that happened meanwhile, nothing;
/// and a reason, so that whoever reads the log finds one.
#[must_use]
pub fn rollback_command(store: &StoreStatus, way: &WayBack<'_>) -> String {
    let WayBack {
        app,
        environment,
        leaves,
        to,
        needs_cdn_command,
    } = *way;
    let reason = format!("back from {leaves} to {to}");
    let mut words = vec!["pkgs-action", "rollback", "--environment", environment];
    words.extend(["--app", app, "--to", to, "--reason", &reason]);
    words.extend(["--store", &store.address]);
    for (flag, value) in [
        ("--store-endpoint", &store.endpoint),
        ("--store-region", &store.region),
    ] {
        words.extend(value.iter().flat_map(|value| [flag, value]));
    }
    let before = if needs_cdn_command {
        WITH_CDN_COMMAND
    } else {
        ""
    };
    before.to_owned() + &shell_words::join(words)
}

/// Why something is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The code of the error that stands in the way.
    pub code: &'static str,
    /// What it says.
    pub message: String,
}

impl From<&Failure> for Unknown {
    fn from(failure: &Failure) -> Unknown {
        Unknown {
            code: failure.code(),
            message: failure.what().to_owned(),
        }
    }
}

/// A package and what of it is unreleased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageStatus {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub dir: String,
    /// The version in its manifest.
    pub version: Option<String>,
    /// Its newest release tag.
    pub tag: Option<String>,
    /// The version on its registry; `null` when it was not asked or has none.
    pub published: Option<String>,
    /// How many commits count for it since its release.
    pub unreleased: u64,
    /// The version it would be released at; `null` where it would not be, or nobody can say.
    pub next: Option<String>,
}

/// An app and its environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// The versions of which builds are recorded, the newest first.
    pub versions: Vec<VersionStatus>,
    /// Its environments.
    pub environments: Vec<EnvironmentStatus>,
}

/// A version that is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionStatus {
    /// The version.
    pub version: String,
    /// What it was built for: `any`, or environments.
    pub variants: Vec<String>,
    /// What its builds weigh; told of the newest versions, and only where that was asked for.
    pub builds: Vec<BuildStatus>,
}

/// One build of a version, as its manifest tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildStatus {
    /// `any` or an environment.
    pub variant: String,
    /// The release it belongs to.
    pub release: String,
    /// The date of the release commit, RFC 3339.
    pub committed_at: String,
    /// The length of its archive in bytes; a static app has none.
    pub archive_bytes: Option<u64>,
    /// The bytes of its static files.
    pub static_bytes: Option<u64>,
}

/// What runs in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// The environment.
    pub environment: String,
    /// The version that is live.
    pub current: Option<String>,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// The number of the newest entry; 0 where it cannot be read.
    pub seq: u64,
    /// Who made it live.
    pub by: Option<String>,
    /// How: `promote` or `rollback`.
    pub op: Option<&'static str>,
    /// Set while automation is held.
    pub hold: Option<Hold>,
    /// Versions marked bad.
    pub bad: Vec<String>,
    /// Versions that are kept.
    pub pinned: Vec<String>,
    /// Where a rollback would go now.
    pub rollback_to: Option<String>,
    /// The command that goes there.
    pub rollback_command: Option<String>,
    /// Whether the static files of the live version are fully laid out; `null` when it has none.
    pub static_applied: Option<bool>,
    /// Whether the CDN in front of them must still be told of them; `null` where they are not fully laid out.
    pub awaits_cdn: Option<bool>,
    /// The public address of the static files, where it is known.
    pub url: Option<String>,
    /// What its hosts reported, by name.
    pub hosts: Vec<HostStatus>,
    /// What was done to it, the newest first.
    pub history: Vec<Past>,
    /// What of it could not be read, and is not told.
    pub unreadable: Vec<Unknown>,
}

impl EnvironmentStatus {
    /// An environment of which not even the newest entry can be read.
    #[must_use]
    pub fn unknown(environment: &str) -> EnvironmentStatus {
        EnvironmentStatus {
            environment: environment.to_owned(),
            current: None,
            since: None,
            seq: 0,
            by: None,
            op: None,
            hold: None,
            bad: Vec::new(),
            pinned: Vec::new(),
            rollback_to: None,
            rollback_command: None,
            static_applied: None,
            awaits_cdn: None,
            url: None,
            hosts: Vec::new(),
            history: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Whether its newest entry could be read. Without it nothing of the environment is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.seq > 0
    }
}

/// What a host reported last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostStatus {
    /// The host's name.
    pub host: String,
    /// The version that runs there.
    pub version: Option<String>,
    /// `installed`, `went-back`, `failed-before` or `failed`.
    pub state: String,
    /// The number of the entry that it reports about.
    pub seq: u64,
    /// Whether another version became live after that entry.
    pub behind: bool,
    /// Why the entry does not run there.
    pub error: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

/// One entry of the log. Beyond the newest entries only moves are told, without their words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Past {
    /// Its number.
    pub seq: u64,
    /// What was done.
    pub op: &'static str,
    /// The version it was about; `hold` and `unhold` have none.
    pub version: Option<String>,
    /// The id of the deed.
    pub operation: String,
    /// When, RFC 3339.
    pub at: String,
    /// Who; `null` where only the move is told.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What became of a request, for people.
#[must_use]
pub fn points(points: &Points) -> String {
    let mut text = String::new();
    for point in &points.apps {
        one_point(&mut text, point);
    }
    if let Some(npm) = &points.npm {
        text.push_str(&npm.text());
    }
    text
}

fn one_point(text: &mut String, point: &Point) {
    let line = headline(point);
    let _ = writeln!(text, "{} in {}: {line}", point.app, point.environment);
    for reason in &point.reasons {
        let _ = writeln!(text, "  {}", plain(reason));
    }
    for skipped in &point.skipped {
        let _ = writeln!(text, "  passed over {}: {}", skipped.version, skipped.why);
    }
    let StaticCounts {
        changed,
        unchanged,
        cdn_paths,
    } = point.static_files;
    if changed + unchanged > 0 {
        let verb = if point.dry_run {
            "would change"
        } else {
            "changed"
        };
        let _ = writeln!(
            text,
            "  static files: {changed} {verb}, {unchanged} there already"
        );
    }
    if let Some(paths) = cdn_paths {
        let verb = if point.dry_run {
            "would be told"
        } else {
            "was told"
        };
        let paths = match paths {
            0 => "nothing: it has no old copies".to_owned(),
            1 => "1 path".to_owned(),
            paths => format!("{paths} paths"),
        };
        let _ = writeln!(text, "  the CDN {verb} of {paths}");
    }
    if let Some(url) = &point.url {
        let _ = writeln!(text, "  served at {}", plain(url));
    }
    if let Some(waiting) = &point.waiting {
        let _ = writeln!(
            text,
            "  {waiting} waits: 'promote --environment {} --app {} --to {waiting}' activates it",
            point.environment, point.app
        );
    }
}

/// What is not done yet of the static files that are live, and how it is finished.
#[must_use]
pub fn unfinished(app: &str, status: &EnvironmentStatus) -> Option<String> {
    let what = match (status.static_applied, status.awaits_cdn) {
        (Some(false), _) => "static files are not all laid out",
        (_, Some(true)) => "the CDN was not told of the static files",
        _ => return None,
    };
    let live = status.current.as_deref()?;
    let held = if status.hold.is_some() {
        ", also while it is held"
    } else {
        ""
    };
    let environment = &status.environment;
    Some(format!(
        "{what}: 'promote --environment {environment} --app {app} --to {live}' finishes it{held}"
    ))
}

/// What a deed did to one environment, in a line.
#[must_use]
pub fn headline(point: &Point) -> String {
    let entry = point
        .seq
        .map_or_else(String::new, |seq| format!(" (entry {seq})"));
    let to = point.to.as_deref().unwrap_or("nothing");
    let would = if point.dry_run { "would " } else { "" };
    match point.outcome {
        PointOutcome::Unfinished if point.from == point.to => {
            format!("{to} is live, and not finished{entry}")
        }
        PointOutcome::Unfinished => {
            let from = point.from.as_deref().unwrap_or("nothing");
            format!("{} {from} → {to}{entry}, not finished", point.op)
        }
        PointOutcome::Done => match (point.op, point.from.as_deref()) {
            ("promote" | "rollback", Some(from)) => {
                format!("{would}{} {from} → {to}{entry}", point.op)
            }
            ("promote" | "rollback", None) => format!("{would}{} → {to}{entry}", point.op),
            (op, _) => match &point.to {
                Some(version) => format!("{would}{op} {version}{entry}"),
                None => format!("{would}{op}{entry}"),
            },
        },
        PointOutcome::AlreadyDone => format!("nothing to do{entry}"),
        PointOutcome::Held => format!("held, {to} waits{entry}"),
        PointOutcome::Bad => format!("{to} is marked bad, nothing changed{entry}"),
        PointOutcome::NotDescendant => format!("{to} is not newer, nothing changed{entry}"),
        PointOutcome::Failed => format!("{} failed{entry}", point.op),
        PointOutcome::NotStarted => format!("{} was not started", point.op),
    }
}

/// What became of an environment that a release was to point at its version, in one line.
#[must_use]
pub fn activation(point: &Point) -> String {
    let Point {
        app, environment, ..
    } = point;
    let to = point.to.as_deref().unwrap_or("nothing");
    let (live, is_held) = match &point.now {
        Some(now) => (now.current.as_deref(), now.held),
        None => (point.from.as_deref(), point.held),
    };
    let live = live.unwrap_or("nothing");
    match point.outcome {
        PointOutcome::Held => {
            format!("{app} in {environment}: {live} is held, {to} is not activated")
        }
        PointOutcome::Bad => {
            format!("{app} in {environment}: {to} is marked bad, it is not activated")
        }
        PointOutcome::NotDescendant => {
            format!("{app} in {environment}: something newer is live, {to} is not activated")
        }
        _ if point.is_past() => {
            let is_held = if is_held { " and held" } else { "" };
            let entry = point
                .seq
                .map_or_else(String::new, |seq| format!(" by entry {seq}"));
            format!(
                "{app} in {environment}: {live} is live{is_held}, {to} was activated before{entry}"
            )
        }
        _ if is_held => format!("{app} {to} in {environment}, which is held"),
        _ => format!("{app} {to} in {environment}"),
    }
}

/// What runs where, for people.
#[must_use]
pub fn status(status: &Status) -> String {
    let mut text = String::new();
    if !status.packages.is_empty() {
        text.push_str("packages\n");
    }
    for package in &status.packages {
        one_package(&mut text, package, status.next_unknown.is_some());
    }
    if let Some(Unknown { code, message }) = &status.next_unknown {
        let message = safe_line(message);
        let _ = writeln!(
            text,
            "  nothing can be planned: {message} ({code}), 'plan' says more"
        );
    }
    if !status.apps.is_empty() {
        text.push_str("apps\n");
    }
    for app in &status.apps {
        let _ = writeln!(text, "  {}", app.name);
        if app.environments.is_empty() {
            let asked = status.asked.as_deref().unwrap_or("no environment");
            let never = if status.asked.is_some() {
                "never"
            } else {
                "ever"
            };
            let _ = writeln!(text, "    {asked} was {never} pointed at a version");
        }
        for environment in &app.environments {
            one_environment(&mut text, &app.name, environment);
        }
        recorded(&mut text, &app.versions);
    }
    if status.packages.is_empty() && status.apps.is_empty() {
        text.push_str("nothing is recorded yet\n");
    }
    text
}

fn one_package(text: &mut String, package: &PackageStatus, is_next_unknown: bool) {
    let version = package.version.as_deref().unwrap_or("no version");
    let _ = write!(text, "  {} {version}", package.name);
    if package.unreleased > 0 {
        let _ = write!(text, ", {} unreleased", package.unreleased);
    }
    match &package.next {
        Some(next) => {
            let _ = write!(text, ", next {next}");
        }
        None if is_next_unknown && package.unreleased > 0 => text.push_str(", next unknown"),
        None => {}
    }
    text.push('\n');
}

/// The versions that can be asked for.
fn recorded(text: &mut String, versions: &[VersionStatus]) {
    let shown: Vec<String> = versions
        .iter()
        .take(SHOWN_VERSIONS)
        .map(|version| match version.variants.as_slice() {
            [any] if any == "any" => version.version.clone(),
            variants => format!("{} ({})", version.version, variants.join(", ")),
        })
        .collect();
    let older = match versions.len() - shown.len() {
        0 => String::new(),
        older => format!(" and {older} older"),
    };
    if !shown.is_empty() {
        let _ = writeln!(text, "    versions: {}{older}", shown.join(", "));
    }
}

fn one_environment(text: &mut String, app: &str, status: &EnvironmentStatus) {
    let live = match (&status.current, &status.since, &status.by, status.op) {
        (Some(version), Some(since), Some(by), Some(op)) => {
            format!("{version} since {} by {} ({op})", plain(since), plain(by))
        }
        (Some(version), ..) => version.clone(),
        (None, ..) => "nothing is live".to_owned(),
    };
    let _ = if status.is_known() {
        writeln!(
            text,
            "    {}: {live}, entry {}",
            status.environment, status.seq
        )
    } else {
        writeln!(
            text,
            "    {}: what is live is not known",
            status.environment
        )
    };
    for Unknown { code, message } in &status.unreadable {
        let _ = writeln!(
            text,
            "      cannot be read: {} ({code})",
            safe_line(message)
        );
    }
    if let Some(hold) = &status.hold {
        let reason = hold
            .reason
            .as_deref()
            .map_or_else(String::new, |reason| format!(": {}", quoted(reason)));
        let _ = writeln!(
            text,
            "      held by {} since entry {}{reason}",
            plain(&hold.by),
            hold.seq
        );
        let _ = writeln!(
            text,
            "      {}",
            plain(&while_held(app, &status.environment))
        );
    }
    for (name, versions) in [("bad", &status.bad), ("pinned", &status.pinned)] {
        if !versions.is_empty() {
            let _ = writeln!(text, "      {name}: {}", versions.join(", "));
        }
    }
    if let Some(url) = &status.url {
        let _ = writeln!(text, "      served at {}", plain(url));
    }
    if let Some(words) = unfinished(app, status) {
        let _ = writeln!(text, "      {}", plain(&words));
    }
    if status.current.is_some() {
        let _ = match &status.rollback_to {
            Some(version) => writeln!(text, "      rollback would go to {version}"),
            None if !status.unreadable.is_empty() => {
                writeln!(text, "      where a rollback goes is not known")
            }
            None => writeln!(text, "      rollback has nowhere to go"),
        };
    }
    for host in &status.hosts {
        one_host(text, host);
    }
    for past in status.history.iter().take(SHOWN_ENTRIES) {
        one_entry(text, past);
    }
}

fn one_host(text: &mut String, host: &HostStatus) {
    let version = host.version.as_deref().unwrap_or("nothing");
    let behind = if host.behind { ", behind" } else { "" };
    let error = host
        .error
        .as_deref()
        .map_or_else(String::new, |error| format!(": {}", quoted(error)));
    let _ = writeln!(
        text,
        "      host {}: {} runs, {} at entry {}, {}{behind}{error}",
        plain(&host.host),
        plain(version),
        plain(&host.state),
        host.seq,
        plain(&host.at)
    );
}

fn one_entry(text: &mut String, past: &Past) {
    let version = past
        .version
        .as_deref()
        .map_or_else(String::new, |version| format!(" {version}"));
    let actor = past
        .actor
        .as_deref()
        .map_or_else(String::new, |actor| format!(" by {}", plain(actor)));
    let reason = past
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {}", quoted(reason)));
    let _ = writeln!(
        text,
        "      {:>5}  {}  {}{version}{actor}{reason}",
        past.seq,
        plain(&past.at),
        past.op
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point() -> Point {
        Point {
            app: "web".to_owned(),
            environment: "prod".to_owned(),
            seq: Some(3),
            op: "rollback",
            from: Some("1.1.0".to_owned()),
            to: Some("1.0.0".to_owned()),
            held: true,
            static_files: StaticCounts {
                changed: 2,
                unchanged: 5,
                cdn_paths: Some(3),
            },
            url: Some("https://static.example/prod/".to_owned()),
            dry_run: false,
            outcome: PointOutcome::Done,
            reasons: vec!["leaves 1.1.0 and marks it bad".to_owned()],
            skipped: vec![],
            waiting: None,
            now: None,
        }
    }

    #[test]
    fn a_rollback_for_people() {
        let text = points(&Points {
            schema: POINT_SCHEMA,
            apps: vec![point()],
            npm: None,
            failure: None,
        });
        insta::assert_snapshot!(text, @r"
        web in prod: rollback 1.1.0 → 1.0.0 (entry 3)
          leaves 1.1.0 and marks it bad
          static files: 2 changed, 5 there already
          the CDN was told of 3 paths
          served at https://static.example/prod/
        ");
    }

    #[test]
    fn what_waits_is_told_with_the_command_that_activates_it() {
        let text = points(&Points {
            schema: POINT_SCHEMA,
            apps: vec![Point {
                op: "unhold",
                waiting: Some("1.2.0".to_owned()),
                ..point()
            }],
            npm: None,
            failure: None,
        });
        let line =
            "  1.2.0 waits: 'promote --environment prod --app web --to 1.2.0' activates it\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn a_release_tells_what_is_live_and_held_where_it_points() {
        let check = |outcome, live: &str, held, expected: &str| {
            let point = Point {
                op: "promote",
                outcome,
                to: Some("1.1.0".to_owned()),
                now: Some(Now {
                    current: Some(live.to_owned()),
                    seq: Some(4),
                    held,
                }),
                ..point()
            };
            assert_eq!(activation(&point), expected);
        };
        let (done, already) = (PointOutcome::Done, PointOutcome::AlreadyDone);
        check(done, "1.1.0", false, "web 1.1.0 in prod");
        check(already, "1.1.0", false, "web 1.1.0 in prod");
        check(already, "1.1.0", true, "web 1.1.0 in prod, which is held");
        check(
            already,
            "1.0.0",
            true,
            "web in prod: 1.0.0 is live and held, 1.1.0 was activated before by entry 3",
        );
        check(
            already,
            "1.2.0",
            false,
            "web in prod: 1.2.0 is live, 1.1.0 was activated before by entry 3",
        );
        check(
            PointOutcome::Held,
            "1.0.0",
            true,
            "web in prod: 1.0.0 is held, 1.1.0 is not activated",
        );
    }

    #[test]
    fn the_promised_fields() {
        let json = serde_json::to_value(point()).unwrap();
        for name in [
            "app",
            "environment",
            "seq",
            "op",
            "from",
            "to",
            "held",
            "static",
            "dryRun",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(json["static"]["changed"], 2);
        assert_eq!(json["outcome"], "done");
    }

    #[test]
    fn status_for_people_shows_hostile_text_harmlessly() {
        let text = status(&Status {
            schema: STATUS_SCHEMA,
            at: "2026-01-03T00:00:00Z".to_owned(),
            store: None,
            environments: vec!["prod".to_owned()],
            packages: vec![],
            next_unknown: None,
            apps: vec![AppStatus {
                name: "web".to_owned(),
                environments: vec![EnvironmentStatus {
                    environment: "prod".to_owned(),
                    current: Some("1.0.0".to_owned()),
                    since: Some("2026-01-02T00:00:00Z".to_owned()),
                    seq: 3,
                    by: Some("ada".to_owned()),
                    op: Some("rollback"),
                    hold: Some(Hold {
                        by: "ada".to_owned(),
                        reason: Some("\u{1b}[2J\u{202e}x".to_owned()),
                        seq: 3,
                    }),
                    bad: vec!["1.1.0".to_owned()],
                    pinned: vec![],
                    rollback_to: None,
                    rollback_command: None,
                    static_applied: Some(true),
                    awaits_cdn: Some(false),
                    url: None,
                    hosts: vec![HostStatus {
                        host: "web\u{1b}1".to_owned(),
                        version: Some("1.1.0".to_owned()),
                        state: "failed".to_owned(),
                        seq: 2,
                        behind: true,
                        error: Some("no\nway".to_owned()),
                        at: "2026-01-01T00:00:00Z".to_owned(),
                    }],
                    history: vec![
                        Past {
                            seq: 3,
                            op: "rollback",
                            version: Some("1.0.0".to_owned()),
                            operation: "x".to_owned(),
                            at: "2026-01-02T00:00:00Z".to_owned(),
                            actor: Some("a\u{202e}da".to_owned()),
                            reason: Some("slow".to_owned()),
                        },
                        Past {
                            seq: 2,
                            op: "promote",
                            version: Some("1.1.0".to_owned()),
                            operation: "y".to_owned(),
                            at: "2026-01-01T00:00:00Z".to_owned(),
                            actor: None,
                            reason: None,
                        },
                    ],
                    unreadable: vec![],
                }],
                versions: vec![
                    VersionStatus {
                        version: "1.1.0".to_owned(),
                        variants: vec!["prod".to_owned(), "sit".to_owned()],
                        builds: vec![],
                    },
                    VersionStatus {
                        version: "1.0.0".to_owned(),
                        variants: vec!["any".to_owned()],
                        builds: vec![],
                    },
                ],
            }],
            asked: None,
            failure: None,
        });
        insta::assert_snapshot!(text, @r#"
        apps
          web
            prod: 1.0.0 since 2026-01-02T00:00:00Z by ada (rollback), entry 3
              held by ada since entry 3: "\u{1b}[2J\u{202e}x"
              until 'unhold --environment prod --app web', releases leave it as it is and 'promote' needs '--force'; 'rollback' still works
              bad: 1.1.0
              rollback has nowhere to go
              host web\u{1b}1: 1.1.0 runs, failed at entry 2, 2026-01-01T00:00:00Z, behind: "no\nway"
                  3  2026-01-02T00:00:00Z  rollback 1.0.0 by a\u{202e}da: "slow"
                  2  2026-01-01T00:00:00Z  promote 1.1.0
            versions: 1.1.0 (prod, sit), 1.0.0
        "#);
    }
}
