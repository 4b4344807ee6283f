//! Ages and timestamps in the forms that kubectl shows. The only reader of the clock in this crate.

use apimachinery::time::human_duration;
use jiff::Timestamp;

use crate::cli::quote::quote;

/// Now.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// How long ago an RFC 3339 time was, in short form; `<unknown>` if absent.
pub fn age(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => human_duration(seconds_between(then, now())),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Whole seconds from `from` to `to`.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    let nanos = to.as_nanosecond() - from.as_nanosecond();
    i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(0)
}

/// Now, in Go's RFC3339 form with the local offset.
pub fn rfc3339_local() -> String {
    let text = now().to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    text.strip_suffix("+00:00").map_or(text.clone(), |t| format!("{t}Z"))
}

/// Go's RFC1123Z form in the local time zone, as describe shows times.
pub fn rfc1123z(time: &str) -> String {
    let Ok(then) = time.parse::<Timestamp>() else {
        return time.to_owned();
    };
    let zoned = then.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// Go's own text of a time, in the local time zone.
pub fn go_time(time: &str) -> String {
    let Ok(then) = time.parse::<Timestamp>() else {
        return time.to_owned();
    };
    let zoned = then.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// Whether a text is an RFC 3339 time; Go's text of why not.
pub fn check_rfc3339(text: &str) -> Result<(), String> {
    const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
    let mut rest = text;
    for element in ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"] {
        let digits = element.starts_with(|c: char| c.is_ascii_digit());
        let fits = rest.get(..element.len()).is_some_and(|part| match digits {
            true => part.bytes().all(|b| b.is_ascii_digit()),
            false => part == element,
        });
        if !fits {
            return Err(format!(
                "parsing time {0} as \"{LAYOUT}\": cannot parse {1} as \"{element}\"",
                quote(text),
                quote(rest)
            ));
        }
        rest = &rest[element.len()..];
    }
    match text.parse::<Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(format!("parsing time {0} as \"{LAYOUT}\": cannot parse {1} as \"Z07:00\"", quote(text), quote(rest)))
        }
    }
}
