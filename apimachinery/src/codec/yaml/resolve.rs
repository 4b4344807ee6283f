//! What a plain scalar means under the rules of Go's yaml v2, which are those of YAML 1.1 with exceptions.

/// The meaning of a plain scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number above i64.
    Uint(u64),
    Float(f64),
    /// A time: read as a string, but quoted when written.
    Timestamp,
    Str,
}

pub(super) fn resolve(text: &str) -> Resolved {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => float(text).map_or(Resolved::Str, Resolved::Float),
        b'0'..=b'9' | b'+' | b'-' => number(text),
        _ => Resolved::Str,
    }
}

fn float(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'));
    text.parse().ok().filter(|f: &f64| plain && f.is_finite())
}

fn number(text: &str) -> Resolved {
    if is_timestamp(text) {
        return Resolved::Timestamp;
    }
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first() {
        Some(b'-') => (true, &plain[1..]),
        Some(b'+') => (false, &plain[1..]),
        _ => (false, &plain[..]),
    };
    let signed = plain.len() > digits.len();
    if let Some(n) = integer(digits) {
        match (negative, i64::try_from(n)) {
            (false, Ok(n)) => return Resolved::Int(n),
            (true, Ok(n)) => return Resolved::Int(-n),
            (true, Err(_)) if n == 1 << 63 => return Resolved::Int(i64::MIN),
            (false, Err(_)) if !signed => return Resolved::Uint(n),
            _ => {}
        }
    }
    if is_float(digits)
        && let Some(f) = float(&plain)
    {
        return Resolved::Float(f);
    }
    Resolved::Str
}

/// A whole number with the prefixes of Go: 0x, 0o, 0b, and 0 for octal.
fn integer(digits: &str) -> Option<u64> {
    let (radix, rest) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !rest.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    u64::from_str_radix(rest, radix).ok()
}

/// `\.[0-9]+|[0-9]+(\.[0-9]*)?` and an exponent.
fn is_float(digits: &str) -> bool {
    let run = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = run(digits);
    let mut rest = &digits[whole..];
    if let Some(after) = rest.strip_prefix('.') {
        let fraction = run(after);
        if whole == 0 && fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    } else if whole == 0 {
        return false;
    }
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else { return rest.is_empty() };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    !exponent.is_empty() && run(exponent) == exponent.len()
}

/// Reads a number of one or two digits up to `max` off the front.
fn small(text: &str, low: u32, max: u32) -> Option<&str> {
    let count = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let n: u32 = text[..count].parse().ok()?;
    (low..=max).contains(&n).then_some(&text[count..])
}

/// The forms of times that Go's library knows: a date, a date and time separated by a blank, or RFC 3339 with short fields.
fn is_timestamp(text: &str) -> bool {
    if text.bytes().take_while(u8::is_ascii_digit).count() != 4 || !text[4..].starts_with('-') {
        return false;
    }
    timestamp_end(text).is_some_and(str::is_empty)
}

fn timestamp_end(text: &str) -> Option<&str> {
    let rest = small(&text[5..], 1, 12)?.strip_prefix('-')?;
    let day: u32 = rest[..rest.bytes().take(2).take_while(u8::is_ascii_digit).count()].parse().ok()?;
    let rest = small(rest, 1, 31)?;
    if day > days_in(text) {
        return None;
    }
    let Some(clock) = rest.strip_prefix(['T', 't', ' ']) else { return Some(rest) };
    let after = small(small(small(clock, 0, 23)?.strip_prefix(':')?, 0, 59)?.strip_prefix(':')?, 0, 59)?;
    let after = match after.strip_prefix(['.', ',']) {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            fraction.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => after,
    };
    if rest.starts_with(' ') {
        return Some(after);
    }
    if let Some(end) = after.strip_prefix('Z') {
        return Some(end);
    }
    let bytes = after.as_bytes();
    let zone = bytes.len() == 6 && matches!(bytes[0], b'+' | b'-') && bytes[3] == b':';
    let digits = [1, 2, 4, 5].iter().all(|&i| bytes.get(i).is_some_and(u8::is_ascii_digit));
    (zone && digits).then_some("")
}

fn days_in(text: &str) -> u32 {
    let mut parts = text.split('-').map(|p| p.parse::<u32>().unwrap_or(0));
    let (year, month) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Base 60 numbers, which nothing reads any more but which are quoted for the sake of old readers.
pub(super) fn is_base60(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or("");
    let digits = |p: &str| p.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    let sixty = |p: &str| match p.as_bytes() {
        [c] => c.is_ascii_digit(),
        [a, c] => (b'0'..=b'5').contains(a) && c.is_ascii_digit(),
        _ => false,
    };
    let mut count = 0;
    digits(first)
        && parts.all(|p| {
            count += 1;
            sixty(p)
        })
        && count > 0
        && digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go() {
        for (text, want) in [
            ("0644", Resolved::Int(420)),
            ("0o14", Resolved::Int(12)),
            ("0x1F", Resolved::Int(31)),
            ("0b11", Resolved::Int(3)),
            ("-0b11", Resolved::Int(-3)),
            ("1_000", Resolved::Int(1000)),
            ("08", Resolved::Float(8.0)),
            ("+1", Resolved::Int(1)),
            ("1e3", Resolved::Float(1000.0)),
            ("1.", Resolved::Float(1.0)),
            (".5", Resolved::Float(0.5)),
            ("18446744073709551615", Resolved::Uint(u64::MAX)),
            ("99999999999999999999", Resolved::Float(1e20)),
            ("-9223372036854775808", Resolved::Int(i64::MIN)),
            ("yes", Resolved::Bool(true)),
            ("yEs", Resolved::Str),
            ("~", Resolved::Null),
            ("2020-01-02", Resolved::Timestamp),
            ("2020-1-2T3:4:5Z", Resolved::Timestamp),
            ("2020-01-02 03:04:05.6", Resolved::Timestamp),
            ("2020-02-30", Resolved::Str),
            ("1.2.3", Resolved::Str),
            ("1:30", Resolved::Str),
            ("0x", Resolved::Str),
            ("-", Resolved::Str),
            (".", Resolved::Str),
            ("12m", Resolved::Str),
        ] {
            assert_eq!(resolve(text), want, "{text}");
        }
        assert!(
            is_base60("1:30") && is_base60("-1:20:30.5") && !is_base60("1:80") && !is_base60("a:1") && !is_base60("1")
        );
    }
}
