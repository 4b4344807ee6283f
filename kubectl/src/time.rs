//! Ages and timestamps in the forms that kubectl shows. The only reader of the clock in this crate.

use apimachinery::time::human_duration;
use jiff::Timestamp;

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
