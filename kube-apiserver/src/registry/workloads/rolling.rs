//! Rolling updates: how many pods may be missing or too many, as numbers or in percent.

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use crate::registry::validation::not_negative;

/// upstream: ValidatePositiveIntOrPercent
pub(super) fn int_or_percent(place: Cursor<'_>, errs: &mut Errors) {
    match place.value() {
        Value::Str(text) => errs.invalid_each(place, &**text, names::percent(text)),
        _ => not_negative(place, errs),
    }
}

fn percent(place: Cursor<'_>) -> Option<i64> {
    let text = place.opt_str().filter(|text| names::percent(text).is_empty())?;
    Some(text.trim_end_matches('%').parse().unwrap_or(i64::MAX))
}

/// The number, whether it is one of pods or of percent.
pub(super) fn amount(place: Cursor<'_>) -> i64 {
    percent(place).unwrap_or_else(|| place.opt_str().map_or(place.i64(), |text| text.parse().unwrap_or(0)))
}

/// upstream: IsNotMoreThan100Percent
pub(super) fn not_all(place: Cursor<'_>, errs: &mut Errors) {
    if percent(place).is_some_and(|percent| percent > 100) {
        errs.invalid(place, place, "must not be greater than 100%");
    }
}
