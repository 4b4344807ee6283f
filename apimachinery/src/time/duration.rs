//! Durations in Go's notation: `1h0m30s`, `1.5ms`.

use std::fmt;

use super::TimeError;
use crate::quote::quote;

/// A duration in nanoseconds, as Go's time.Duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

impl Duration {
    /// Parses Go's notation: a sign, then numbers with units; or `0`.
    pub fn parse(text: &str) -> Result<Duration, TimeError> {
        let invalid = || TimeError(format!("time: invalid duration {}", quote(text)));
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Duration(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (part, after) = part(rest, text).map_err(|e| e.unwrap_or_else(invalid))?;
            total = total.checked_add(part).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
            rest = after;
        }
        if negative {
            return Ok(Duration(0i64.wrapping_sub_unsigned(total)));
        }
        i64::try_from(total).map(Duration).map_err(|_| invalid())
    }

    /// Whole nanoseconds.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// As a duration of the standard library; negative ones are zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

/// One number and unit in front of `rest`: its nanoseconds and what follows. No error value stands for the plain "invalid".
fn part<'a>(rest: &'a str, whole: &str) -> Result<(u64, &'a str), Option<TimeError>> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let integer = rest[..digits].parse::<u64>().ok().filter(|n| *n <= 1 << 63);
    let (fraction, after) = match rest[digits..].strip_prefix('.') {
        Some(after) => {
            let count = after.bytes().take_while(u8::is_ascii_digit).count();
            (&after[..count], &after[count..])
        }
        None => ("", &rest[digits..]),
    };
    if digits == 0 && fraction.is_empty() {
        return Err(None);
    }
    let integer = if digits == 0 { 0 } else { integer.ok_or(None)? };
    let unit_length = after.bytes().take_while(|c| *c != b'.' && !c.is_ascii_digit()).count();
    let (unit, after) = after.split_at(unit_length);
    if unit.is_empty() {
        return Err(Some(TimeError(format!("time: missing unit in duration {}", quote(whole)))));
    }
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(Some(TimeError(format!("time: unknown unit {} in duration {}", quote(unit), quote(whole))))),
    };
    let scaled = integer.checked_mul(unit).filter(|n| *n <= 1 << 63).ok_or(None)?;
    Ok((scaled.checked_add(scale_fraction(fraction, unit)).filter(|n| *n <= 1 << 63).ok_or(None)?, after))
}

/// `0.fraction` of `unit`, cut to whole nanoseconds with Go's float arithmetic.
fn scale_fraction(fraction: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for c in fraction.bytes() {
        match value.checked_mul(10).and_then(|v| v.checked_add(u64::from(c - b'0'))).filter(|v| *v < 1 << 63) {
            Some(next) => value = next,
            None => break,
        }
        scale *= 10.0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Go's conversion; the result is below unit"
    )]
    let cut = (value as f64 * (unit as f64 / scale)) as u64;
    cut
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if nanos < 1_000_000_000 {
            let (unit, name) = match nanos {
                0..1_000 => (1, "ns"),
                1_000..1_000_000 => (1_000, "µs"),
                _ => (1_000_000, "ms"),
            };
            return write!(f, "{}{}{name}", nanos / unit, Fraction(nanos % unit, unit));
        }
        let seconds = nanos / 1_000_000_000;
        if seconds >= 3600 {
            write!(f, "{}h", seconds / 3600)?;
        }
        if seconds >= 60 {
            write!(f, "{}m", seconds / 60 % 60)?;
        }
        write!(f, "{}{}s", seconds % 60, Fraction(nanos % 1_000_000_000, 1_000_000_000))
    }
}

/// `.5` of 5 in 10, nothing of 0.
struct Fraction(u64, u64);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fraction(mut rest, mut unit) = *self;
        if rest > 0 {
            f.write_str(".")?;
        }
        while rest > 0 {
            unit /= 10;
            write!(f, "{}", rest / unit)?;
            rest %= unit;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go() {
        for (text, nanos, out) in [
            ("1s", 1_000_000_000, "1s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("0", 0, "0s"),
            ("1.5ms", 1_500_000, "1.5ms"),
            ("2us", 2_000, "2µs"),
            ("-1m", -60_000_000_000, "-1m0s"),
            ("100h0.5s", 360_000_500_000_000, "100h0m0.5s"),
            (".5s", 500_000_000, "500ms"),
            ("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(Duration::parse(text), Ok(Duration(nanos)), "{text}");
            assert_eq!(Duration(nanos).to_string(), out);
        }
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("x", "time: invalid duration \"x\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
        ] {
            assert_eq!(Duration::parse(text).map_err(|e| e.to_string()), Err(error.to_owned()));
        }
    }
}
