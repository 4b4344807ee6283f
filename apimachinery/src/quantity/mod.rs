//! Resource quantities such as `1500m` or `2Gi`: exact numbers that keep the form they were written in as far as upstream keeps
//! it. Corresponds to upstream's apimachinery/pkg/api/resource.

mod decimal;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use decimal::{Decimal, digits_text};

/// The family of suffixes that a quantity is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `12M`
    #[default]
    DecimalSi,
    /// `12Mi`
    BinarySi,
    /// `12e6`
    DecimalExponent,
}

/// Why text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It does not look like one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The digits make no number.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i32 = -9;
const MILLI: i32 = -3;
const MAX_FAST_DIGITS: i32 = 18;

const DECIMAL_SUFFIXES: &[(&str, i32)] =
    &[("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: &[(&str, i32)] = &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// An amount of a resource. Compares by value, whatever the form.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    amount: Decimal,
    format: Format,
    /// The text it was read from, where upstream writes that back.
    text: Option<Box<str>>,
}

/// The canonical text of the quantity written as `text`.
///
/// # Errors
/// If `text` is no quantity.
pub fn canonical(text: &str) -> Result<Cow<'_, str>, QuantityError> {
    let quantity = Quantity::parse(text)?;
    Ok(match &quantity.text {
        Some(kept) if **kept == *text => Cow::Borrowed(text),
        _ => Cow::Owned(quantity.to_string()),
    })
}

struct Scanned<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

/// Takes `text` apart; whether the suffix means anything is not looked at.
fn scan(text: &str) -> Result<Scanned<'_>, QuantityError> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let rest = rest.trim_start_matches('0');
    let (integer, rest) = split_digits(rest);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    let tail = rest.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let tail = match tail.as_bytes().first() {
        Some(b'+' | b'-') => &tail[1..],
        _ => tail,
    };
    if !split_digits(tail).1.is_empty() {
        return Err(QuantityError::Format);
    }
    Ok(Scanned { negative, integer: if integer.is_empty() { "0" } else { integer }, fraction, suffix: rest })
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Exponent (of ten, or of two for binary) and format that a suffix stands for.
fn interpret(suffix: &str) -> Option<(i32, Format)> {
    let find = |table: &[(&str, i32)]| table.iter().find(|(s, _)| *s == suffix).map(|(_, e)| *e);
    if let Some(exponent) = find(DECIMAL_SUFFIXES) {
        return Some((exponent, Format::DecimalSi));
    }
    if let Some(exponent) = find(BINARY_SUFFIXES) {
        return Some((exponent, Format::BinarySi));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "upstream cuts it to 32 bits too")]
    Some((exponent as i32, Format::DecimalExponent))
}

/// Digits and exponent small enough for upstream's 64-bit arithmetic: only those keep their text and more than nine decimals.
fn is_fast(parts: &Scanned<'_>, exponent: i32, format: Format) -> bool {
    let (integer, fraction) = (parts.integer.len() as i32, parts.fraction.len() as i32);
    match format {
        #[expect(clippy::cast_possible_truncation, reason = "upstream's own rounding, of a number below 20")]
        Format::BinarySi => fraction == 0 && 15 - integer - ((exponent as f32) * 3.0 / 10.0) as i32 > 0,
        _ => integer.saturating_add(fraction) <= MAX_FAST_DIGITS && exponent.saturating_sub(fraction) >= NANO,
    }
}

/// The digits and the power of ten by which upstream holds a number, if 64 bits are enough for it.
fn fast_parts(text: &str) -> Option<(i64, i32)> {
    let parts = scan(text).ok()?;
    let (exponent, format) = interpret(parts.suffix)?;
    if text == "0" {
        return Some((0, 0));
    }
    if !is_fast(&parts, exponent, format) {
        return None;
    }
    let (factor, scale) = match format {
        Format::BinarySi => (1i64 << exponent, 0),
        _ => (1, exponent - parts.fraction.len() as i32),
    };
    let value = format!("{}{}", parts.integer, parts.fraction).parse::<i64>().ok()?.checked_mul(factor)?;
    Some((if parts.negative { -value } else { value }, scale))
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// If `text` is no quantity.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = scan(text)?;
        let (exponent, format) = interpret(parts.suffix).ok_or(QuantityError::Suffix)?;
        let digits = parts.integer.bytes().chain(parts.fraction.bytes()).map(|b| b - b'0').collect();
        let point = -(parts.fraction.len() as i32);
        let amount = match format {
            Format::BinarySi => Decimal::new(parts.negative, digits, point).mul_u64(1 << exponent),
            _ => Decimal::new(parts.negative, digits, exponent.saturating_add(point)),
        };
        if is_fast(&parts, exponent, format) {
            let keeps = keeps_text(text, &parts, exponent, format);
            return Ok(Quantity { amount, format, text: keeps.then(|| text.into()) });
        }
        Ok(Quantity::bounded(amount, format))
    }

    /// What is left of a number that upstream reads with its slow arithmetic: nine decimals, at most 2^63-1 if binary.
    fn bounded(amount: Decimal, mut format: Format) -> Quantity {
        let negative = amount.is_negative();
        let (mut amount, _) = amount.abs().round_up(NANO);
        if format == Format::BinarySi {
            amount = amount.min(Decimal::from_i64(i64::MAX, 0));
            if !amount.is_zero() && amount < Decimal::from_i64(1, 0) {
                format = Format::DecimalSi;
            }
        }
        Quantity { amount: if negative { amount.negate() } else { amount }, format, text: None }
    }

    /// The fields of the number that upstream reads from `text`, as Go prints them (see [`crate::dump`]): what is small enough is
    /// held in 64 bits. `in_milli` rounds it up to thousandths, as defaulting does, which forgets the text where it may change
    /// something. Text that is no quantity gives the fields of zero.
    pub(crate) fn go_fields(text: &str, in_milli: bool) -> String {
        let quantity = Quantity::parse(text).unwrap_or_default();
        let mut kept = quantity.text.as_deref().unwrap_or_default();
        let format = match quantity.format {
            Format::DecimalSi => "DecimalSI",
            Format::BinarySi => "BinarySI",
            Format::DecimalExponent => "DecimalExponent",
        };
        let (small, big) = match fast_parts(text) {
            Some((value, scale)) if in_milli && scale < MILLI => {
                kept = "";
                let divisor = 10i64.saturating_pow(scale.abs_diff(MILLI));
                let rounded = value / divisor + if value % divisor == 0 { 0 } else { value.signum() };
                ((rounded, MILLI), None)
            }
            Some(parts) => (parts, None),
            None if in_milli => ((0, 0), Some(quantity.amount.round_up(MILLI).0.go_fields(MILLI))),
            None => ((0, 0), Some(quantity.amount.go_fields(NANO))),
        };
        let big = big.map_or_else(|| "(*inf.Dec)<nil>".to_owned(), |fields| format!("(*inf.Dec){fields}"));
        format!(
            "{{i:(resource.int64Amount){{value:(int64){} scale:(resource.Scale){}}} d:(resource.infDecAmount){{Dec:{big}}} \
             s:(string){kept} Format:(resource.Format){format}}}",
            small.0, small.1
        )
    }

    /// `value` units.
    pub fn new(value: i64, format: Format) -> Quantity {
        Quantity::scaled(value, 0, format)
    }

    /// `value` thousandths.
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity::scaled(value, -3, format)
    }

    /// `value · 10^scale`.
    pub fn scaled(value: i64, scale: i32, format: Format) -> Quantity {
        Quantity { amount: Decimal::from_i64(value, scale), format, text: None }
    }

    /// How it is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// True for 0.
    pub fn is_zero(&self) -> bool {
        self.amount.is_zero()
    }

    /// True below 0.
    pub fn is_negative(&self) -> bool {
        self.amount.is_negative()
    }

    /// Whole units, rounded away from zero; held at the ends of the range.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// Thousandths, rounded away from zero; held at the ends of the range.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// In units of `10^scale`, rounded away from zero; held at the ends of the range.
    pub fn scaled_value(&self, scale: i32) -> i64 {
        self.amount.clone().shift(-scale).to_i64()
    }

    /// As the nearest float.
    pub fn to_f64(&self) -> f64 {
        self.amount.to_f64()
    }

    /// Whole units, if it is a whole number that fits.
    pub fn as_i64(&self) -> Option<i64> {
        let value = self.value();
        (Decimal::from_i64(value, 0) == self.amount).then_some(value)
    }

    /// Adds `other`; zero takes over the format of `other`.
    pub fn add(&mut self, other: &Quantity) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.text = None;
        self.amount = self.amount.add(&other.amount);
    }

    /// Subtracts `other`; zero takes over the format of `other`.
    pub fn sub(&mut self, other: &Quantity) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.text = None;
        self.amount = self.amount.add(&other.amount.clone().negate());
    }

    /// Multiplies by a whole number.
    pub fn mul(&mut self, factor: i64) {
        self.text = None;
        let product = self.amount.mul_u64(factor.unsigned_abs());
        self.amount = if factor < 0 { product.negate() } else { product };
    }

    /// The same amount below zero, or above.
    #[must_use]
    pub fn negated(&self) -> Quantity {
        Quantity { amount: self.amount.clone().negate(), format: self.format, text: None }
    }

    /// Rounds away from zero to a multiple of `10^scale`; tells whether nothing was lost.
    pub fn round_up(&mut self, scale: i32) -> bool {
        let (rounded, exact) = self.amount.round_up(scale);
        if !exact {
            self.text = None;
            self.amount = rounded;
        }
        exact
    }

    fn write_decimal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, exponent) = self.amount.parts();
        let zeros = exponent.rem_euclid(3);
        let exponent = exponent - zeros;
        write!(f, "{}{}{}", self.sign(), digits_text(digits), &"00"[..zeros as usize])?;
        match self.format {
            Format::DecimalExponent if exponent == 0 => Ok(()),
            Format::DecimalExponent => write!(f, "e{exponent}"),
            _ => f.write_str(suffix_of(DECIMAL_SUFFIXES, exponent)),
        }
    }

    fn write_binary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.amount.clone();
        let mut exponent = 0;
        while let Some(quotient) = amount.div_exact(1024) {
            amount = quotient;
            exponent += 10;
        }
        let (digits, zeros) = amount.parts();
        write!(f, "{}{}{}", self.sign(), digits_text(digits), "0".repeat(zeros.unsigned_abs() as usize))?;
        f.write_str(suffix_of(BINARY_SUFFIXES, exponent))
    }

    fn sign(&self) -> &'static str {
        if self.is_negative() { "-" } else { "" }
    }
}

fn suffix_of(table: &[(&'static str, i32)], exponent: i32) -> &'static str {
    table.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| s)
}

/// True if upstream writes such a number back as it came.
fn keeps_text(text: &str, parts: &Scanned<'_>, exponent: i32, format: Format) -> bool {
    if text == "0" {
        return true;
    }
    match format {
        Format::BinarySi => parts.integer.parse::<i64>().is_ok_and(|n| n & 7 != 0),
        _ => {
            let digits = || parts.integer.bytes().chain(parts.fraction.bytes());
            (exponent - parts.fraction.len() as i32) % 3 == 0
                && !(digits().count() >= 3 && digits().rev().take(3).all(|d| d == b'0'))
                && digits().next() != Some(b'0')
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.is_zero() {
            return f.write_str("0");
        }
        let small = self.amount.clone().abs() < Decimal::from_i64(1024, 0);
        if self.format == Format::BinarySi && !small && self.amount.parts().1 >= 0 {
            self.write_binary(f)
        } else {
            self.write_decimal(f)
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.amount == other.amount
    }
}

impl Eq for Quantity {}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.amount.cmp(&other.amount)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        Quantity::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (text, want) in [
            ("0", "0"),
            ("1.5", "1500m"),
            ("0.5", "500m"),
            ("1.0", "1"),
            ("1.50", "1500m"),
            ("1500m", "1500m"),
            ("100000", "100k"),
            ("1000k", "1M"),
            ("1.5Gi", "1536Mi"),
            ("1024Ki", "1Mi"),
            ("1000Ki", "1000Ki"),
            ("8Gi", "8Gi"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("1.5e3", "1500"),
            ("1500e0", "1500e0"),
            ("0.1Gi", "107374182400m"),
            ("0.5n", "1n"),
            ("-0.5n", "-1n"),
            ("+5", "+5"),
            ("005", "005"),
            ("5.", "5."),
            ("100Ei", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775808"),
            ("1000E", "1"),
            ("-", "0"),
            ("0Ki", "0"),
            ("12345678901234567890123456789.0001", "12345678901234567890123456789000100u"),
            ("-0.5Gi", "-512Mi"),
            ("100", "100"),
            ("10Mi", "10Mi"),
        ] {
            assert_eq!(canonical(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn refused() {
        for (text, want) in [
            ("", QuantityError::Format),
            ("1KB", QuantityError::Format),
            ("1Kx", QuantityError::Format),
            ("1ki", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
            (" 5", QuantityError::Format),
            ("1.5.5", QuantityError::Format),
        ] {
            assert_eq!(Quantity::parse(text).unwrap_err(), want, "{text}");
        }
    }

    #[test]
    fn arithmetic() {
        let q = |s: &str| Quantity::parse(s).unwrap();
        let mut sum = q("0");
        sum.add(&q("1Gi"));
        sum.add(&q("512Mi"));
        assert_eq!(sum.to_string(), "1536Mi");
        sum.sub(&q("2Gi"));
        assert_eq!(sum.to_string(), "-512Mi");
        assert_eq!(q("1.1").value(), 2);
        assert_eq!(q("-1.1").value(), -2);
        assert_eq!(q("100m").milli_value(), 100);
        assert_eq!(q("1n").milli_value(), 1);
        assert_eq!(q("1Ki").value(), 1024);
        assert_eq!(q("100E").value(), i64::MAX);
        assert_eq!(q("1k"), q("1000"));
        assert!(q("1Ki") > q("1k") && q("-1") < q("0") && q("-2") < q("-1"));
        let mut a = q("999m");
        a.add(&q("1m"));
        assert_eq!((a.to_string(), a.as_i64()), ("1".to_owned(), Some(1)));
        a.mul(-3);
        assert_eq!(a.to_string(), "-3");
        assert!((q("1500m").to_f64() - 1.5).abs() < f64::EPSILON);
    }
}
