//! What is told of one environment: a card, or where there are many, a row.

use super::words::{LONGEST_NAME, LONGEST_WORDS, Moment, link, name, shown};
use super::{SHORT_WORDS, counted, is_bad, moved};
use crate::explain::is_hostile;
use crate::report::environments::{EnvironmentStatus, HostStatus, unfinished};

/// How many hosts of one environment are told, and how many versions marked bad.
const TOLD_HOSTS: usize = 20;
const TOLD_VERSIONS: usize = 12;
/// How much that could not be read of one environment is told.
const TOLD_UNREADABLE: usize = 4;

/// An environment in full.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) app: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// Whether anything of it could be read.
    pub(super) is_known: bool,
    pub(super) is_bad: bool,
    /// The address of its static files.
    pub(super) site: Option<String>,
    pub(super) since: Option<Moment>,
    pub(super) by: Option<String>,
    pub(super) op: Option<&'static str>,
    pub(super) held: Option<String>,
    pub(super) bad: Option<String>,
    pub(super) pinned: Option<String>,
    pub(super) unfinished: Option<String>,
    /// What could not be read.
    pub(super) unreadable: Vec<String>,
    pub(super) hosts: Vec<Host>,
    pub(super) more_hosts: usize,
    pub(super) rollback_to: Option<String>,
    /// Word by word, so that a line ends between two of them.
    pub(super) command: Vec<Word>,
}

/// A word of a command.
pub(super) struct Word {
    pub(super) text: String,
    pub(super) is_flag: bool,
}

/// The words of a command; none where it would not be what is shown.
fn words_of(command: Option<&str>) -> Vec<Word> {
    let command = command.filter(|command| !command.chars().any(is_hostile));
    let words = command.into_iter().flat_map(|command| command.split(' '));
    words
        .map(|word| Word {
            text: word.to_owned(),
            is_flag: word.starts_with("--"),
        })
        .collect()
}

/// What a host reported last.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) state: String,
    pub(super) at: Moment,
    pub(super) is_behind: bool,
    pub(super) error: Option<String>,
}

/// An environment as a row.
pub(super) struct Other {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) since: Option<Moment>,
    pub(super) by: String,
    pub(super) notes: String,
}

/// Which environments are told in full, at most `cards`: those that need a look, then those that moved last. Both parts keep their order.
pub(super) fn divide<'s>(
    environments: &[&'s EnvironmentStatus],
    cards: usize,
) -> (Vec<&'s EnvironmentStatus>, Vec<&'s EnvironmentStatus>) {
    let mut by_need: Vec<usize> = (0..environments.len()).collect();
    by_need.sort_by_key(|index| {
        let environment = environments[*index];
        let needs_a_look = environment.hold.is_some()
            || is_bad(environment)
            || environment.static_applied == Some(false)
            || environment.awaits_cdn == Some(true)
            || !environment.unreadable.is_empty()
            || environment.hosts.iter().any(|host| host.error.is_some());
        (!needs_a_look, std::cmp::Reverse(moved(environment)), *index)
    });
    let chosen: std::collections::BTreeSet<usize> = by_need.into_iter().take(cards).collect();
    let (full, rows): (Vec<_>, Vec<_>) = environments
        .iter()
        .copied()
        .enumerate()
        .partition(|(index, _)| chosen.contains(index));
    let environments = |part: Vec<(usize, &'s EnvironmentStatus)>| {
        part.into_iter()
            .map(|(_, environment)| environment)
            .collect()
    };
    (environments(full), environments(rows))
}

impl Card {
    pub(super) fn of(part: &str, number: usize, app: &str, status: &EnvironmentStatus) -> Card {
        Card {
            id: format!("{part}-{}", number + 1),
            app: name(app),
            name: name(&status.environment),
            version: status.current.as_deref().map(name),
            is_known: status.is_known(),
            is_bad: is_bad(status),
            site: status.url.as_deref().and_then(link),
            since: status.since.as_deref().map(Moment::read),
            by: status.by.as_deref().map(|by| shown(by, LONGEST_NAME)),
            op: status.op,
            held: held(status),
            bad: listed(&status.bad),
            pinned: listed(&status.pinned),
            unfinished: unfinished(app, status).map(|what| shown(&what, LONGEST_WORDS)),
            unreadable: unreadable(status),
            hosts: status.hosts.iter().take(TOLD_HOSTS).map(Host::of).collect(),
            more_hosts: status.hosts.len().saturating_sub(TOLD_HOSTS),
            rollback_to: status.rollback_to.as_deref().map(name),
            command: words_of(status.rollback_command.as_deref()),
        }
    }
}

/// What could not be read of an environment.
pub(super) fn unreadable(status: &EnvironmentStatus) -> Vec<String> {
    let told = status.unreadable.iter().take(TOLD_UNREADABLE);
    told.map(|unknown| shown(&unknown.message, SHORT_WORDS))
        .collect()
}

/// Who holds it and why.
fn held(status: &EnvironmentStatus) -> Option<String> {
    let hold = status.hold.as_ref()?;
    let by = shown(&hold.by, LONGEST_NAME);
    Some(match hold.reason.as_deref() {
        Some(reason) => format!("by {by}: {}", shown(reason, LONGEST_WORDS)),
        None => format!("by {by}"),
    })
}

/// Versions, the newest judgement last, as they are recorded.
fn listed(versions: &[String]) -> Option<String> {
    let told: Vec<String> = versions
        .iter()
        .rev()
        .take(TOLD_VERSIONS)
        .map(|version| name(version))
        .collect();
    match versions.len().saturating_sub(TOLD_VERSIONS) {
        _ if told.is_empty() => None,
        0 => Some(told.join(", ")),
        more => Some(format!("{} and {more} more", told.join(", "))),
    }
}

impl Host {
    fn of(host: &HostStatus) -> Host {
        Host {
            name: name(&host.host),
            version: host
                .version
                .as_deref()
                .map_or_else(|| "nothing".to_owned(), name),
            state: name(&host.state),
            at: Moment::read(&host.at),
            is_behind: host.behind,
            error: host
                .error
                .as_deref()
                .map(|error| shown(error, LONGEST_WORDS)),
        }
    }
}

impl Other {
    pub(super) fn of(status: &EnvironmentStatus) -> Other {
        let mut notes = Vec::new();
        if !status.unreadable.is_empty() {
            notes.push("cannot be read".to_owned());
        }
        if is_bad(status) {
            notes.push("bad".to_owned());
        }
        if status.hold.is_some() {
            notes.push("held".to_owned());
        }
        if !status.hosts.is_empty() {
            notes.push(counted(status.hosts.len(), "host", "hosts"));
        }
        let behind = status.hosts.iter().filter(|host| host.behind).count();
        if behind > 0 {
            notes.push(format!("{behind} behind"));
        }
        Other {
            name: name(&status.environment),
            version: status.current.as_deref().map_or_else(super::dash, name),
            since: status.since.as_deref().map(Moment::read),
            by: status.by.as_deref().map_or_else(super::dash, name),
            notes: notes.join(", "),
        }
    }
}
