//! The release board: one page that shows what `status` knows, for a browser. It asks nobody for anything, and is whole without its script.
//!
//! Everything that comes from the store or a checkout – names, versions, reasons, moments – is hostile text here: `askama` escapes it,
//! `words::shown` spells out what a browser would obey rather than show, and everything is bounded, so that a page stays one that a phone can open.
//! The same [`Status`] gives the same bytes.

mod environments;
mod sizes;
mod timeline;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use askama::Template;

use crate::name::Digest;
use crate::report::environments::{AppStatus, EnvironmentStatus, Past, Status, unfinished};
use environments::{Card, Other};
use sizes::{Plot, Weight};
use timeline::Picture;
use words::{LONGEST_NAME, LONGEST_WORDS, Moment, name, shown};

/// What a page of ours has at its beginning, and no other one.
pub const MARK: &str = "<meta name=\"generator\" content=\"pkgs-action board\">";

const STYLE: &str = include_str!("board/page.css");
const SCRIPT: &str = include_str!("board/page.js");

/// How many apps the overview lists, and how many have a part of their own: those that moved last.
const LISTED_APPS: usize = 300;
const TOLD_APPS: usize = 30;
/// Up to so many environments are columns of the overview; of more it tells how many run what.
const COLUMNS: usize = 6;
/// How many environments of one app are told in full, and how many of all apps; the others are rows of a table.
const TOLD_ENVIRONMENTS: usize = 12;
const TOLD_ENVIRONMENTS_IN_ALL: usize = 160;
/// How many rows these tables have, in all.
const LISTED_ENVIRONMENTS: usize = 600;
/// How many deeds of one app are told, and how many of all apps.
const TOLD_DEEDS: usize = 30;
const TOLD_DEEDS_IN_ALL: usize = 450;
/// How many packages are told.
const TOLD_PACKAGES: usize = 100;
/// How many things are pointed out at the top.
const TOLD_CONCERNS: usize = 12;
/// How long names and reasons are there; their own places have them whole.
const SHORT_NAME: usize = 60;
const SHORT_WORDS: usize = 160;
/// How many versions the overview tells of an app in many environments.
const TOLD_SPREAD: usize = 4;

/// The page.
///
/// # Panics
/// Never: what the template writes into grows as it needs.
#[must_use]
pub fn page(status: &Status) -> String {
    let page = Page::of(status)
        .render()
        .unwrap_or_else(|error| unreachable!("a page is written to memory: {error}"));
    // On stdout a workflow's runner would take this for a command, wherever it stands; a browser shows the same.
    page.replace("##[", "&#35;#[")
}

#[derive(Template)]
#[template(path = "page.html", config = "src/report/board/askama.toml")]
struct Page {
    style: &'static str,
    script: &'static str,
    policy: String,
    made: Moment,
    store: Option<String>,
    /// The environments that are columns of the overview; empty where there are too many.
    columns: Vec<String>,
    rows: Vec<Row>,
    more_rows: usize,
    concerns: Vec<Concern>,
    more_concerns: usize,
    apps: Vec<App>,
    more_apps: usize,
    packages: Vec<Package>,
    more_packages: usize,
    /// How many other packages have nothing new.
    settled: Option<String>,
    knows_packages: bool,
    next_unknown: Option<String>,
    in_short: String,
}

/// An app in the overview.
struct Row {
    name: String,
    /// Where its part begins, if it has one.
    anchor: Option<String>,
    cells: Vec<Option<Cell>>,
    spread: String,
}

/// What runs in one environment, in short.
struct Cell {
    environment: String,
    version: Option<String>,
    since: Option<String>,
    /// What is said where no version is live.
    without: &'static str,
    is_held: bool,
    is_bad: bool,
    is_behind: bool,
}

/// Something that a person should look at.
struct Concern {
    anchor: Option<String>,
    place: String,
    what: String,
}

/// The part of an app.
struct App {
    id: String,
    name: String,
    versions: String,
    wide: Option<Picture>,
    narrow: Option<Picture>,
    deeds: Vec<Deed>,
    cards: Vec<Card>,
    others: Vec<Other>,
    more_others: usize,
    plots: Vec<Plot>,
    weights: Vec<Weight>,
}

/// A line of the history.
struct Deed {
    at: Moment,
    environment: String,
    op: &'static str,
    version: Option<String>,
    actor: Option<String>,
    reason: Option<String>,
}

/// A package that is not released as it is.
struct Package {
    name: String,
    version: String,
    unreleased: String,
    next: String,
}

/// The policy of the page: its own style and script by their digests, pictures that it holds itself, and nothing else from anywhere.
fn policy() -> String {
    let sum = |text: &str| Digest::of(text.as_bytes()).base64();
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        sum(STYLE),
        sum(SCRIPT)
    )
}

impl Page {
    fn of(status: &Status) -> Page {
        let told = told(&status.apps);
        let columns = columns(status);
        let rows = status.apps.iter().take(LISTED_APPS).enumerate();
        let rows: Vec<Row> = rows
            .map(|(index, app)| Row::of(app, told.contains(&index).then_some(index), &columns))
            .collect();
        let mut budget = Budget::default();
        let apps: Vec<App> = told
            .iter()
            .map(|index| App::of(*index, &status.apps[*index], status, &mut budget))
            .collect();
        let mut concerns: Vec<Concern> = status
            .apps
            .iter()
            .enumerate()
            .flat_map(|(index, app)| concerns(app, told.contains(&index).then_some(index)))
            .collect();
        let in_short = in_short(status, concerns.len());
        let more_concerns = concerns.len().saturating_sub(TOLD_CONCERNS);
        concerns.truncate(TOLD_CONCERNS);
        let waiting: Vec<_> = status
            .packages
            .iter()
            .filter(|package| package.unreleased > 0 || package.next.is_some())
            .collect();
        let packages = waiting.iter().take(TOLD_PACKAGES).map(|package| Package {
            name: name(&package.name),
            version: package.version.as_deref().map_or_else(dash, name),
            unreleased: match package.unreleased {
                0 => "follows others".to_owned(),
                unreleased => unreleased.to_string(),
            },
            next: package.next.as_deref().map_or_else(dash, name),
        });
        Page {
            style: STYLE,
            script: SCRIPT,
            policy: policy(),
            made: Moment::read(&status.at),
            store: status
                .store
                .as_ref()
                .map(|store| shown(&store.address, LONGEST_WORDS)),
            more_rows: status.apps.len() - rows.len(),
            rows,
            columns: columns.iter().map(|column| name(column)).collect(),
            more_concerns,
            concerns,
            more_apps: status.apps.len() - apps.len(),
            apps,
            packages: packages.collect(),
            more_packages: waiting.len().saturating_sub(TOLD_PACKAGES),
            settled: settled(status.packages.len() - waiting.len()),
            knows_packages: !status.packages.is_empty(),
            next_unknown: status
                .next_unknown
                .as_ref()
                .map(|unknown| shown(&unknown.message, LONGEST_WORDS)),
            in_short,
        }
    }
}

fn settled(packages: usize) -> Option<String> {
    let verb = if packages == 1 { "has" } else { "have" };
    let packages = (packages > 0).then(|| counted(packages, "other package", "other packages"))?;
    Some(format!("{packages} {verb} nothing new."))
}

fn dash() -> String {
    "–".to_owned()
}

/// Which apps have a part of their own: all of them, else those that moved last; in their order.
fn told(apps: &[AppStatus]) -> BTreeSet<usize> {
    let mut by_age: Vec<(usize, Option<&str>)> = apps
        .iter()
        .enumerate()
        .map(|(index, app)| (index, app.environments.iter().filter_map(moved).max()))
        .collect();
    by_age.sort_by_key(|(index, moved)| (std::cmp::Reverse(*moved), *index));
    by_age.truncate(TOLD_APPS);
    by_age.into_iter().map(|(index, _)| index).collect()
}

/// When something was done last to an environment. Moments in RFC 3339 and UTC sort as text.
fn moved(environment: &EnvironmentStatus) -> Option<&str> {
    environment.history.first().map(|past| past.at.as_str())
}

/// The environments of the overview: those that an app was pointed at, in the order of the configuration.
fn columns(status: &Status) -> Vec<String> {
    let used: BTreeSet<&str> = status
        .apps
        .iter()
        .flat_map(|app| &app.environments)
        .map(|environment| environment.environment.as_str())
        .collect();
    if used.len() > COLUMNS {
        return Vec::new();
    }
    let known = status.environments.iter().map(String::as_str);
    let mut columns: Vec<&str> = known.filter(|name| used.contains(name)).collect();
    let unknown = used.iter().filter(|name| !columns.contains(name));
    let unknown: Vec<&str> = unknown.copied().collect();
    columns.extend(unknown);
    columns.into_iter().map(str::to_owned).collect()
}

/// The environments of an app, in the order in which all are told.
fn in_order<'s>(app: &'s AppStatus, order: &[String]) -> Vec<&'s EnvironmentStatus> {
    let place = |environment: &EnvironmentStatus| {
        let place = order
            .iter()
            .position(|name| *name == environment.environment);
        place.unwrap_or(order.len())
    };
    let mut environments: Vec<&EnvironmentStatus> = app.environments.iter().collect();
    environments.sort_by_key(|environment| place(environment));
    environments
}

fn in_short(status: &Status, concerns: usize) -> String {
    let live = |environment: &&EnvironmentStatus| environment.current.is_some();
    let environments = status.apps.iter().flat_map(|app| &app.environments);
    let running = environments.clone().filter(live).count();
    let held = environments.filter(|environment| environment.hold.is_some());
    let unreleased = status
        .packages
        .iter()
        .filter(|package| package.unreleased > 0)
        .count();
    let mut parts = vec![
        counted(status.apps.len(), "app", "apps"),
        format!("{} live", counted(running, "version", "versions")),
    ];
    let held = held.count();
    if held > 0 {
        parts.push(format!(
            "{} held",
            counted(held, "environment", "environments")
        ));
    }
    if unreleased > 0 {
        parts.push(format!(
            "{} unreleased",
            counted(unreleased, "package", "packages")
        ));
    }
    if concerns == 0 {
        parts.push("nothing to look at".to_owned());
    }
    parts.join(" · ")
}

/// `1 app`, `2 apps`.
fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl Row {
    fn of(app: &AppStatus, told: Option<usize>, columns: &[String]) -> Row {
        let cells = columns.iter().map(|column| {
            let environment = app
                .environments
                .iter()
                .find(|environment| environment.environment == *column)?;
            Some(Cell::of(environment))
        });
        Row {
            name: name(&app.name),
            anchor: told.map(anchor),
            cells: cells.collect(),
            spread: spread(app),
        }
    }
}

impl Cell {
    fn of(environment: &EnvironmentStatus) -> Cell {
        let since = environment.since.as_deref().map(Moment::read);
        Cell {
            environment: name(&environment.environment),
            version: environment.current.as_deref().map(name),
            since: since.map(|since| since.day()),
            without: without(environment),
            is_held: environment.hold.is_some(),
            is_bad: is_bad(environment),
            is_behind: environment.hosts.iter().any(|host| host.behind),
        }
    }
}

/// What runs where no version is known to be live.
fn without(environment: &EnvironmentStatus) -> &'static str {
    if environment.is_known() {
        "nothing"
    } else {
        "unknown"
    }
}

/// Whether what is live is marked bad.
fn is_bad(environment: &EnvironmentStatus) -> bool {
    let current = environment.current.as_ref();
    current.is_some_and(|current| environment.bad.contains(current))
}

/// How many environments run which version, the most first.
fn spread(app: &AppStatus) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for environment in &app.environments {
        let live = environment.current.as_deref();
        let live = live.unwrap_or_else(|| without(environment));
        match counts.iter_mut().find(|(version, _)| *version == live) {
            Some((_, count)) => *count += 1,
            None => counts.push((live, 1)),
        }
    }
    counts.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    let told: Vec<String> = counts
        .iter()
        .take(TOLD_SPREAD)
        .map(|(version, count)| format!("{} in {count}", name(version)))
        .collect();
    match counts.len().saturating_sub(TOLD_SPREAD) {
        0 => told.join(", "),
        more => format!("{}, {more} others", told.join(", ")),
    }
}

/// Where the part of an app begins. Numbers, because names are anything.
fn anchor(app: usize) -> String {
    format!("app-{}", app + 1)
}

/// What a person should look at, environment by environment, the worst first.
fn concerns(app: &AppStatus, told: Option<usize>) -> Vec<Concern> {
    let mut concerns = Vec::new();
    for environment in &app.environments {
        let mut whats = environments::unreadable(environment);
        for what in &mut whats {
            what.insert_str(0, "cannot be read: ");
        }
        if is_bad(environment) {
            let version = environment.current.as_deref().unwrap_or_default();
            whats.push(format!(
                "{} is live and marked bad",
                shown(version, SHORT_NAME)
            ));
        }
        let unfinished = unfinished(&app.name, environment);
        whats.extend(unfinished.map(|what| shown(&what, LONGEST_WORDS)));
        let troubled = environment.hosts.iter().filter(|host| host.error.is_some());
        match troubled.clone().count() {
            0 => {}
            count => whats.push(format!("{} in trouble", counted(count, "host", "hosts"))),
        }
        let behind = environment.hosts.iter().filter(|host| host.behind).count();
        if behind > 0 {
            whats.push(format!("{} behind", counted(behind, "host", "hosts")));
        }
        if let Some(hold) = &environment.hold {
            let why = hold.reason.as_deref();
            let why = why.map_or_else(String::new, |why| format!(": {}", shown(why, SHORT_WORDS)));
            whats.push(format!("held by {}{why}", shown(&hold.by, SHORT_NAME)));
        }
        if !whats.is_empty() {
            concerns.push(Concern {
                anchor: told.map(anchor),
                place: format!(
                    "{} in {}",
                    shown(&app.name, SHORT_NAME),
                    shown(&environment.environment, SHORT_NAME)
                ),
                what: whats.join("; "),
            });
        }
    }
    concerns
}

/// What all apps together may still tell.
struct Budget {
    cards: usize,
    others: usize,
    deeds: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            cards: TOLD_ENVIRONMENTS_IN_ALL,
            others: LISTED_ENVIRONMENTS,
            deeds: TOLD_DEEDS_IN_ALL,
        }
    }
}

/// As many as `budget` has left.
fn spend(budget: &mut usize, wanted: usize) -> usize {
    let spent = wanted.min(*budget);
    *budget -= spent;
    spent
}

impl App {
    fn of(index: usize, app: &AppStatus, status: &Status, budget: &mut Budget) -> App {
        let id = anchor(index);
        let environments = in_order(app, &status.environments);
        let cards = spend(&mut budget.cards, environments.len().min(TOLD_ENVIRONMENTS));
        let (in_full, in_rows) = environments::divide(&environments, cards);
        let others = spend(&mut budget.others, in_rows.len());
        let mut deeds = deeds(&environments);
        deeds.truncate(spend(&mut budget.deeds, deeds.len()));
        App {
            name: name(&app.name),
            versions: versions(app),
            wide: Picture::of(&environments, &timeline::WIDE, &status.at),
            narrow: Picture::of(&environments, &timeline::NARROW, &status.at),
            deeds,
            cards: in_full
                .iter()
                .enumerate()
                .map(|(number, environment)| Card::of(&id, number, &app.name, environment))
                .collect(),
            others: in_rows
                .iter()
                .take(others)
                .map(|one| Other::of(one))
                .collect(),
            more_others: in_rows.len() - others,
            plots: sizes::plots(app),
            weights: sizes::weights(app),
            id,
        }
    }
}

/// The versions that can be asked for, in words.
fn versions(app: &AppStatus) -> String {
    const TOLD: usize = 8;
    let told: Vec<String> = app
        .versions
        .iter()
        .take(TOLD)
        .map(|version| name(&version.version))
        .collect();
    match app.versions.len().saturating_sub(TOLD) {
        _ if told.is_empty() => "no build is recorded".to_owned(),
        0 => told.join(", "),
        older => format!("{} and {older} older", told.join(", ")),
    }
}

/// The newest deeds in all environments of an app, the newest first.
fn deeds(environments: &[&EnvironmentStatus]) -> Vec<Deed> {
    let mut deeds: Vec<(&EnvironmentStatus, &Past)> = environments
        .iter()
        .flat_map(|environment| {
            environment
                .history
                .iter()
                .map(move |past| (*environment, past))
        })
        .collect();
    deeds.sort_by(|(one_place, one), (other_place, other)| {
        let by_moment = words::seconds(&other.at).cmp(&words::seconds(&one.at));
        by_moment
            .then_with(|| one_place.environment.cmp(&other_place.environment))
            .then_with(|| other.seq.cmp(&one.seq))
    });
    deeds.truncate(TOLD_DEEDS);
    let told = deeds.into_iter().map(|(environment, past)| Deed {
        at: Moment::read(&past.at),
        environment: name(&environment.environment),
        op: past.op,
        version: past.version.as_deref().map(name),
        actor: past
            .actor
            .as_deref()
            .map(|actor| shown(actor, LONGEST_NAME)),
        reason: past
            .reason
            .as_deref()
            .map(|reason| shown(reason, LONGEST_WORDS)),
    });
    told.collect()
}
