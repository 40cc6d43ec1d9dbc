//! The moment at which a token expires, in the forms that servers write. The platform documents none, so we read what
//! JavaScript's `Date` reads of dates and times in figures, and HTTP dates.

use std::time::UNIX_EPOCH;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::core::connection::EpochMillis;

/// From this on, a number counts milliseconds, not seconds: as seconds, it is the year 5138.
const MILLIS_FROM: f64 = 1e11;
/// The same moment in milliseconds, from which on a number counts microseconds.
const MICROS_FROM: f64 = 1e14;
/// The same in microseconds, from which on it counts nanoseconds.
const NANOS_FROM: f64 = 1e17;

/// Reads a moment. `None` for an unknown form, which is no reason to refuse the token.
pub fn read(text: &str) -> Option<EpochMillis> {
    let text = text.trim();
    number(text).or_else(|| date_and_time(text)).or_else(|| http_date(text))
}

/// The size tells the unit, without doubt from the year 1973 to 5138.
fn number(text: &str) -> Option<EpochMillis> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    Some(match number.abs() {
        size if size < MILLIS_FROM => number * 1e3,
        size if size < MICROS_FROM => number,
        size if size < NANOS_FROM => number / 1e3,
        _ => number / 1e6,
    })
}

/// RFC 3339 and what comes close to it: no time, no seconds, no zone (which means UTC), `UTC`, `+0000`, `+00`.
fn date_and_time(text: &str) -> Option<EpochMillis> {
    let (date, rest) = text.split_at_checked("2006-01-02".len())?;
    let (time, zone) = match rest.strip_prefix(['T', 't', ' ']) {
        Some(rest) => split_zone(rest)?,
        None if rest.is_empty() => ("00:00", "Z".to_owned()),
        None => return None,
    };
    let seconds = if time.len() == "15:04".len() { ":00" } else { "" };
    let moment = OffsetDateTime::parse(&format!("{date}T{time}{seconds}{zone}"), &Rfc3339).ok()?;
    Some((moment.unix_timestamp_nanos() / 1_000_000) as EpochMillis)
}

/// The time, and the zone as RFC 3339 writes it.
fn split_zone(text: &str) -> Option<(&str, String)> {
    for utc in ["Z", "z", "UTC", "GMT"] {
        if let Some(time) = text.strip_suffix(utc) {
            return Some((time.trim_end(), "Z".to_owned()));
        }
    }
    let Some(start) = text.rfind(['+', '-']) else { return Some((text, "Z".to_owned())) };
    let (time, zone) = text.split_at(start);
    let (hours, minutes) = zone.split_at_checked("+07".len())?;
    let minutes = match minutes.strip_prefix(':').unwrap_or(minutes) {
        "" => "00",
        minutes => minutes,
    };
    Some((time.trim_end(), format!("{hours}:{minutes}")))
}

/// In any of the three forms of RFC 9110, section 5.6.7.
fn http_date(text: &str) -> Option<EpochMillis> {
    let moment = httpdate::parse_http_date(text).ok()?;
    Some(moment.duration_since(UNIX_EPOCH).ok()?.as_millis() as EpochMillis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: EpochMillis = 1_893_459_723_000.0; // 2030-01-01T01:02:03Z

    #[test]
    fn forms_of_one_moment() {
        for text in [
            "2030-01-01T01:02:03Z",
            "2030-01-01t01:02:03z",
            "2030-01-01T01:02:03.000Z",
            "2030-01-01T01:02:03.000000000+00:00",
            "2030-01-01T03:02:03+02:00",
            "2030-01-01T03:02:03+0200",
            "2030-01-01T03:02:03+02",
            "2029-12-31T20:32:03-0430",
            "2030-01-01T01:02:03+0000",
            "2030-01-01T01:02:03+00",
            "2030-01-01 01:02:03 +0000",
            "2030-01-01 01:02:03 UTC",
            "2030-01-01 01:02:03 GMT",
            "2030-01-01T01:02:03",
            "2030-01-01 01:02:03",
            " 2030-01-01 01:02:03.000 ",
            "Tue, 01 Jan 2030 01:02:03 GMT",
            "Tuesday, 01-Jan-30 01:02:03 GMT",
            "Tue Jan  1 01:02:03 2030",
            "1893459723",
            "1893459723000",
            "1893459723000000",
            "1893459723000000000",
            "1.893459723e9",
        ] {
            assert_eq!(read(text), Some(MOMENT), "{text}");
        }
    }

    #[test]
    fn a_date_alone_and_a_time_without_seconds_are_read_as_utc() {
        for (text, millis) in [
            ("2030-01-01", 1_893_456_000_000.0),
            ("2030-01-01T00:00Z", 1_893_456_000_000.0),
            ("2030-01-01T00:00", 1_893_456_000_000.0),
            ("2030-01-01 01:00+01", 1_893_456_000_000.0),
            ("2030-01-01T00:00:00.1239Z", 1_893_456_000_123.0),
        ] {
            assert_eq!(read(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn a_number_has_the_unit_that_its_size_tells() {
        for (text, millis) in [
            ("0", 0.0),
            ("-1", -1e3),
            ("99999999999", 99_999_999_999e3),
            ("100000000000", 1e11),
            ("99999999999999", 99_999_999_999_999.0),
            ("100000000000000", 1e11),
            ("100000000000000000", 1e11),
            ("1700000000.5", 1_700_000_000_500.0),
        ] {
            assert_eq!(read(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_unknown() {
        for text in [
            "",
            "soon",
            "NaN",
            "inf",
            "T",
            "2030-13-01",
            "2030-01-01T",
            "2030-01-01T1",
            "2030-01-01T01:02:03+",
            "2030-01-01T01:02:03+1",
            "2030-01-01T25:00Z",
            "2030-01-01X01:02:03Z",
            "2030-01-01T01:02:03 PST",
            "2030-01-0\u{e9}",
            "2030-01-01T01:02:03+0\u{e9}",
            "01/02/2030",
            "Tue, 01 Jan 2030",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
