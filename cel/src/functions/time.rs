//! Durations and times. Upstream: cel-go common/types/{duration,timestamp}.go

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::eval::{Result, fail};
use crate::value::Val;

const SECOND: i128 = 1_000_000_000;

pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Nanoseconds of a Go duration.
pub(crate) fn parse_duration(text: &str) -> Option<i128> {
    apimachinery::time::Duration::parse(text).ok().map(|d| i128::from(d.nanos()))
}

/// A duration as Go prints it.
pub(crate) fn format_duration(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let fraction = |value: u128, unit: u128, suffix: &str| {
        let rest = format!("{:0width$}", value % unit, width = unit.to_string().len() - 1);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        format!("{}{point}{rest}{suffix}", value / unit)
    };
    let text = match n {
        0 => return "0s".into(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => fraction(n, 1_000, "µs"),
        n if n < 1_000_000_000 => fraction(n, 1_000_000, "ms"),
        n => {
            let minutes = n / 60_000_000_000;
            let seconds = fraction(n % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, m) => format!("{m}m{seconds}"),
                (h, m) => format!("{h}h{m}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

/// A duration as `string()` shows it: seconds.
pub(crate) fn seconds_text(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let rest = format!("{:09}", n % 1_000_000_000);
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{rest}s", n / 1_000_000_000)
}

/// Nanoseconds since 1970 of an RFC 3339 time.
pub(crate) fn parse_timestamp(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[10] != b'T' {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_nanosecond)
}

/// RFC 3339 with as many digits as needed.
pub(crate) fn format_timestamp(nanos: i128) -> String {
    Timestamp::from_nanosecond(nanos).map(|t| t.to_string()).unwrap_or_default()
}

/// `UTC`, `+02:00` or a name.
fn zone(text: &str) -> Option<TimeZone> {
    let Some((hours, minutes)) = text.split_once(':') else { return TimeZone::get(text).ok() };
    let sign = if hours.starts_with('-') { -1 } else { 1 };
    let hours: i32 = hours.trim_start_matches(['+', '-']).parse().ok()?;
    let minutes: i32 = minutes.parse().ok()?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok().map(TimeZone::fixed)
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    if !name.starts_with("get") {
        return None;
    }
    if let [Val::Duration(n)] = args {
        let unit = match name {
            "getHours" => 3600 * SECOND,
            "getMinutes" => 60 * SECOND,
            "getSeconds" => SECOND,
            "getMilliseconds" => 1_000_000,
            _ => return None,
        };
        return Some(Ok(Val::Int(i64::try_from(n / unit).unwrap_or(i64::MAX))));
    }
    let (nanos, zone) = match args {
        [Val::Timestamp(n)] => (*n, Some(TimeZone::UTC)),
        [Val::Timestamp(n), Val::Str(name)] => (*n, zone(name.as_str())),
        _ => return None,
    };
    let (Some(zone), Ok(time)) = (zone, Timestamp::from_nanosecond(nanos)) else {
        let name = args.get(1).and_then(Val::as_str).unwrap_or("");
        return Some(fail(format!("unknown time zone {name}")));
    };
    let time = time.to_zoned(zone);
    Some(Ok(Val::Int(match name {
        "getFullYear" => i64::from(time.year()),
        "getMonth" => i64::from(time.month()) - 1,
        "getDayOfYear" => i64::from(time.day_of_year()) - 1,
        "getDayOfMonth" => i64::from(time.day()) - 1,
        "getDate" => i64::from(time.day()),
        "getDayOfWeek" => i64::from(time.weekday().to_sunday_zero_offset()),
        "getHours" => i64::from(time.hour()),
        "getMinutes" => i64::from(time.minute()),
        "getSeconds" => i64::from(time.second()),
        "getMilliseconds" => i64::from(time.millisecond()),
        _ => return None,
    })))
}
