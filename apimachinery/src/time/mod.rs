//! Times and durations as Go's encoding of them in the API: RFC 3339 with seconds or microseconds, and duration strings. Error texts are
//! those of Go's time package, which clients see. Reads no clock.

mod duration;
mod human;

use std::fmt;

use crate::quote::quote;

pub use duration::Duration;
pub use human::human_duration;

/// Seconds of 0001-01-01T00:00:00Z, Go's zero time, which the API takes for "no time".
pub const ZERO_SECONDS: i64 = -62_135_596_800;
/// The zero time in text.
pub const ZERO_TEXT: &str = "0001-01-01T00:00:00Z";
/// The zero time in text, with microseconds.
pub const ZERO_MICRO_TEXT: &str = "0001-01-01T00:00:00.000000Z";

/// A point in time, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds, below 1e9.
    pub nanos: u32,
}

/// Why a text is no time or duration, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimeError(String);

const SECONDS_LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
const NANO_LAYOUT: &str = "2006-01-02T15:04:05.999999999Z07:00";

impl Timestamp {
    /// Go's zero time.
    pub const ZERO: Timestamp = Timestamp { seconds: ZERO_SECONDS, nanos: 0 };

    /// True for Go's zero time.
    pub fn is_zero(self) -> bool {
        self == Timestamp::ZERO
    }

    /// Parses RFC 3339 with any fraction and offset.
    pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
        fast(text.as_bytes()).map_or_else(|| Parser::new(text, SECONDS_LAYOUT).run(false), Ok)
    }

    /// Parses RFC 3339 with exactly six digits of fraction.
    pub fn parse_micro(text: &str) -> Result<Timestamp, TimeError> {
        Parser::new(text, MICRO_LAYOUT).run(true)
    }

    /// Parses as the nano layout does: as [`Timestamp::parse`], with another layout in error texts.
    pub fn parse_nano(text: &str) -> Result<Timestamp, TimeError> {
        Parser::new(text, NANO_LAYOUT).run(false)
    }

    /// `2006-01-02T15:04:05Z`
    pub fn to_seconds_text(self) -> String {
        let mut out = String::with_capacity(20);
        self.write_seconds(&mut out);
        out.push('Z');
        out
    }

    /// `2006-01-02T15:04:05.000000Z`
    pub fn to_micro_text(self) -> String {
        let mut out = String::with_capacity(27);
        self.write_seconds(&mut out);
        out.push('.');
        push_digits(&mut out, u64::from(self.nanos / 1000), 6);
        out.push('Z');
        out
    }

    /// Appends the text with or without microseconds.
    pub(crate) fn push_text(self, micro: bool, out: &mut Vec<u8>) {
        let text = if micro { self.to_micro_text() } else { self.to_seconds_text() };
        out.extend_from_slice(text.as_bytes());
    }

    fn write_seconds(self, out: &mut String) {
        let (days, second) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        if year < 0 {
            out.push('-');
        }
        push_digits(out, year.unsigned_abs(), 4);
        let second = u64::try_from(second).unwrap_or(0);
        for (separator, n) in
            [('-', month), ('-', day), ('T', second / 3600), (':', second / 60 % 60), (':', second % 60)]
        {
            out.push(separator);
            push_digits(out, n, 2);
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_seconds_text())
    }
}

fn push_digits(out: &mut String, n: u64, width: u32) {
    let mut unit = 10u64.pow(width - 1);
    while n / unit >= 10 {
        unit *= 10;
    }
    while unit > 0 {
        out.push(char::from(b'0' + u8::try_from(n / unit % 10).unwrap_or(0)));
        unit /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = u64::try_from(shifted.rem_euclid(146_097)).unwrap_or(0);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = i64::try_from(year_of_era).unwrap_or(0) + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days from 1970-01-01 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The form that nearly every time has: `2006-01-02T15:04:05Z`.
fn fast(text: &[u8]) -> Option<Timestamp> {
    let &[_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _, b'Z'] = text else { return None };
    let number = |from: usize, to: usize| {
        text[from..to].iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let good = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    (good && hour < 24 && minute < 60 && second < 60)
        .then(|| Timestamp { seconds: days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second, nanos: 0 })
}

/// Walks a text along a layout, as Go's time.Parse does.
struct Parser<'a> {
    text: &'a str,
    layout: &'static str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, layout: &'static str) -> Parser<'a> {
        Parser { text, layout, rest: text }
    }

    fn bad(&self, rest: &str, element: &str) -> TimeError {
        TimeError(format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(self.text),
            quote(self.layout),
            quote(rest),
            quote(element)
        ))
    }

    fn message(&self, message: &str) -> TimeError {
        TimeError(format!("parsing time {}: {message}", quote(self.text)))
    }

    fn literal(&mut self, literal: &'static str) -> Result<(), TimeError> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.bad(self.rest, literal))?;
        Ok(())
    }

    /// A number of one or two digits (`fixed`: exactly two).
    fn number(&mut self, fixed: bool, element: &str) -> Result<i64, TimeError> {
        let digits = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits == 0 || (fixed && digits < 2) {
            return Err(self.bad(self.rest, element));
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        Ok(number.bytes().fold(0, |n, c| n * 10 + i64::from(c - b'0')))
    }

    fn ranged(&mut self, fixed: bool, element: &str, low: i64, high: i64, name: &str) -> Result<i64, TimeError> {
        let n = self.number(fixed, element)?;
        if (low..=high).contains(&n) { Ok(n) } else { Err(self.message(&format!("{name} out of range"))) }
    }

    fn year(&mut self) -> Result<i64, TimeError> {
        let digits = self.rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
        if digits < 4 {
            return Err(self.bad(self.rest, "2006"));
        }
        let (year, rest) = self.rest.split_at(4);
        self.rest = rest;
        Ok(year.bytes().fold(0, |n, c| n * 10 + i64::from(c - b'0')))
    }

    fn any_fraction(&mut self) -> u32 {
        let Some(digits) = self.rest.strip_prefix(['.', ',']) else { return 0 };
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return 0;
        }
        let (fraction, rest) = digits.split_at(count);
        self.rest = rest;
        (0..9).fold(0, |n, i| n * 10 + u32::from(fraction.as_bytes().get(i).map_or(0, |c| c - b'0')))
    }

    fn micro_fraction(&mut self) -> Result<u32, TimeError> {
        let bytes = self.rest.as_bytes();
        let good = bytes.len() >= 7 && matches!(bytes[0], b'.' | b',') && bytes[1..7].iter().all(u8::is_ascii_digit);
        if !good {
            return Err(self.bad(self.rest, ".000000"));
        }
        let (fraction, rest) = self.rest.split_at(7);
        self.rest = rest;
        Ok(fraction.bytes().skip(1).fold(0, |n, c| n * 10 + u32::from(c - b'0')) * 1000)
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Result<i64, TimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let good = bytes.len() >= 6 && matches!(bytes[0], b'+' | b'-') && bytes[3] == b':';
        if !good || ![1, 2, 4, 5].iter().all(|&i: &usize| bytes[i].is_ascii_digit()) {
            return Err(self.bad(self.rest, "Z07:00"));
        }
        let two = |i: usize| i64::from(bytes[i] - b'0') * 10 + i64::from(bytes[i + 1] - b'0');
        let (sign, hours, minutes) = (if bytes[0] == b'-' { -1 } else { 1 }, two(1), two(4));
        if hours > 24 {
            return Err(self.message("time zone offset hour out of range"));
        }
        if minutes > 60 {
            return Err(self.message("time zone offset minute out of range"));
        }
        self.rest = &self.rest[6..];
        Ok(sign * (hours * 3600 + minutes * 60))
    }

    fn run(mut self, micro: bool) -> Result<Timestamp, TimeError> {
        let year = self.year()?;
        self.literal("-")?;
        let month = self.ranged(true, "01", 1, 12, "month")?;
        self.literal("-")?;
        let day = self.number(true, "02")?;
        self.literal("T")?;
        let hour = self.ranged(false, "15", 0, 23, "hour")?;
        self.literal(":")?;
        let minute = self.ranged(true, "04", 0, 59, "minute")?;
        self.literal(":")?;
        let second = self.ranged(true, "05", 0, 59, "second")?;
        let nanos = if micro { self.micro_fraction()? } else { self.any_fraction() };
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(self.message(&format!("extra text: {}", quote(self.rest))));
        }
        if day < 1 || day > days_in(year, month) {
            return Err(self.message("day out of range"));
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Ok(Timestamp { seconds, nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_as_go() {
        let seconds = |t: &str| Timestamp::parse(t).map(|t| t.to_seconds_text()).map_err(|e| e.to_string());
        for (text, want) in [
            ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
            ("2020-01-02T05:04:05.5+02:00", "2020-01-02T03:04:05Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
            ("2024-02-29T5:04:05Z", "2024-02-29T05:04:05Z"),
            ("0001-01-01T00:00:00Z", ZERO_TEXT),
        ] {
            assert_eq!(seconds(text).as_deref(), Ok(want));
        }
        let layout = "2006-01-02T15:04:05Z07:00";
        for (text, want) in [
            ("x", format!("parsing time \"x\" as \"{layout}\": cannot parse \"x\" as \"2006\"")),
            ("2020-13-02T03:04:05Z", "parsing time \"2020-13-02T03:04:05Z\": month out of range".to_owned()),
            ("2021-02-29T03:04:05Z", "parsing time \"2021-02-29T03:04:05Z\": day out of range".to_owned()),
            ("2021-02-28T03:04:05Zx", "parsing time \"2021-02-28T03:04:05Zx\": extra text: \"x\"".to_owned()),
            ("2021-02-28", format!("parsing time \"2021-02-28\" as \"{layout}\": cannot parse \"\" as \"T\"")),
        ] {
            assert_eq!(seconds(text), Err(want));
        }
    }

    #[test]
    fn micro() {
        let micro = |t: &str| Timestamp::parse_micro(t).map(|t| t.to_micro_text()).map_err(|e| e.to_string());
        assert_eq!(micro("2020-01-02T05:04:05.123456+02:00").as_deref(), Ok("2020-01-02T03:04:05.123456Z"));
        assert_eq!(
            micro("2020-01-02T03:04:05Z"),
            Err("parsing time \"2020-01-02T03:04:05Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\"".into())
        );
        assert!(micro("2020-01-02T03:04:05.123456789Z").is_err());
    }

    #[test]
    fn calendar_is_its_own_inverse() {
        for day in (-1_000_000..1_000_000).step_by(97) {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, i64::try_from(m).unwrap(), i64::try_from(d).unwrap()), day);
        }
    }
}
