//! Scalars that have a canonical text of their own in values: what makes that text out of what came in.

use crate::quantity;
use crate::time::{Duration, Timestamp};

/// The value's text for a time: RFC 3339 seconds; none for Go's zero time. A fraction of the zero second is kept, since without it the time would be no time.
pub(crate) fn time_text(t: Timestamp) -> Option<String> {
    if t.is_zero() {
        return None;
    }
    let mut text = t.to_seconds_text();
    if t.seconds == Timestamp::ZERO.seconds {
        text.insert_str(19, ".1");
    }
    Some(text)
}

/// The value's text for a time with microseconds.
pub(crate) fn micro_text(t: Timestamp) -> Option<String> {
    (!t.is_zero()).then(|| t.to_micro_text())
}

/// The canonical text of a quantity; the error is what clients see.
pub(crate) fn quantity_text(text: &str) -> Result<Box<str>, String> {
    if plain_quantity(text.as_bytes()) {
        return Ok(text.into());
    }
    quantity::canonical(text.trim()).map(Into::into).map_err(|e| e.to_string())
}

/// Texts that are canonical as they are and common: up to 15 digits without a leading zero or trailing `000`, then nothing, `m`, `k`, `M` or `G`.
fn plain_quantity(text: &[u8]) -> bool {
    let digits = match text.last() {
        Some(b'm' | b'k' | b'M' | b'G') => &text[..text.len() - 1],
        _ => text,
    };
    let good = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    good && (digits[0] != b'0') && !digits.ends_with(b"000")
}

/// The canonical text of a duration; the error is what clients see.
pub(crate) fn duration_text(text: &str) -> Result<Box<str>, String> {
    Duration::parse(text).map(|d| d.to_string().into()).map_err(|e| e.to_string())
}
