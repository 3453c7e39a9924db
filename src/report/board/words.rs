//! Text and moments as the page shows them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use crate::explain::is_hostile;

/// The longest name, in characters: npm's own bound.
pub(super) const LONGEST_NAME: usize = 214;
/// The longest reason, in characters: as long as one may be recorded.
pub(super) const LONGEST_WORDS: usize = 500;

/// Untrusted text as a browser shall show it: what it would obey is spelled out, and no more than `longest` characters. Escaping it for HTML is
/// the template's.
pub(super) fn shown(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == longest {
            shown.push('…');
            break;
        }
        if is_hostile(character) || is_unseen(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A name or a version.
pub(super) fn name(text: &str) -> String {
    shown(text, LONGEST_NAME)
}

/// An address that a page may lead to, as a browser will show it; `None` where it leads to no website.
pub(super) fn link(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_site = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none();
    let address = String::from(url);
    (is_site && address.len() <= LONGEST_WORDS).then_some(address)
}

/// What a page shows as nothing at all, so that two names look like one; and what changes the direction of what stands beside it.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Seconds since 1970 of a moment in RFC 3339; `None` of anything else.
pub(super) fn seconds(text: &str) -> Option<i64> {
    Some(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp())
}

/// A moment as it is told. The browser's script tells it in local time, where there is a `machine` form.
pub(super) struct Moment {
    /// RFC 3339; `None`: what was recorded is no moment.
    pub(super) machine: Option<String>,
    /// For people, UTC.
    pub(super) shown: String,
    at: Option<OffsetDateTime>,
}

impl Moment {
    pub(super) fn read(text: &str) -> Moment {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok();
        let at = at.map(|at| at.to_offset(time::UtcOffset::UTC));
        Moment {
            machine: at.and_then(|at| at.format(&Rfc3339).ok()),
            shown: at.map_or_else(
                || shown(text, LONGEST_NAME),
                |at| format!("{}, {} UTC", day(at), hour(at)),
            ),
            at,
        }
    }

    /// Its day alone, UTC.
    pub(super) fn day(&self) -> String {
        self.at.map_or_else(|| self.shown.clone(), day)
    }
}

fn day(at: OffsetDateTime) -> String {
    format!("{} {} {}", at.day(), month(at), at.year())
}

fn month(at: OffsetDateTime) -> String {
    at.month().to_string().chars().take(3).collect()
}

fn hour(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}", at.hour(), at.minute())
}

/// A moment as an axis names it.
pub(super) struct Tick {
    pub(super) date: time::Date,
    pub(super) day: String,
    pub(super) hour: String,
}

impl Tick {
    /// The day is `20 Nov`, or `Nov 2025` where that is another year than `now`'s.
    pub(super) fn of(seconds: i64, now: Option<i64>) -> Tick {
        let at = utc(seconds);
        let is_this_year = now.is_none_or(|now| utc(now).year() == at.year());
        Tick {
            date: at.date(),
            day: if is_this_year {
                format!("{} {}", at.day(), month(at))
            } else {
                format!("{} {}", month(at), at.year())
            },
            hour: hour(at),
        }
    }
}

fn utc(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
