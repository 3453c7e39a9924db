//! What we tell. Everything here returns text; nothing prints.

pub mod abandoned;
pub mod asked;
pub mod board;
pub mod doctor;
pub mod environments;
pub mod failure;
pub mod gc;
pub mod npm_rollback;
pub mod outputs;
pub mod pack;
pub mod pull;
pub mod rehearsal;
pub mod release;
pub mod summary;
pub mod tagged;
pub mod why;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment (seconds since 1970, UTC) in RFC 3339.
///
/// ```
/// assert_eq!(pkgs_action::report::moment(0), "1970-01-01T00:00:00Z");
/// ```
pub fn moment(seconds: i64) -> String {
    at(seconds)
        .format(&Rfc3339)
        .unwrap_or_else(|_| "1970-01-01T00:00:00Z".to_owned())
}

/// A moment's day as `yyyymmdd`, UTC.
///
/// ```
/// assert_eq!(pkgs_action::report::day(86_400), "19700102");
/// ```
pub fn day(seconds: i64) -> String {
    let date = at(seconds).date();
    format!(
        "{:04}{:02}{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds.clamp(0, 253_402_300_799))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
