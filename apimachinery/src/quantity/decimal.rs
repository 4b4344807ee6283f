//! Exact decimal numbers of any length: just what quantities need. Not for arithmetic in a hurry.

use std::cmp::Ordering;

use smallvec::SmallVec;

type Digits = SmallVec<[u8; 24]>;

/// Numbers further apart than this many decimal places do not touch each other in a sum.
const MAX_SPREAD: i64 = 100_000;

/// `±0.d1d2d3… · 10^n`, held as digits and the exponent of the last one. No leading and no trailing zero digits; zero has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Digits,
    exponent: i32,
}

impl Decimal {
    /// A number of decimal digits (values 0 to 9) times a power of ten.
    pub(super) fn new(negative: bool, mut digits: Digits, mut exponent: i32) -> Decimal {
        while digits.last() == Some(&0) {
            digits.pop();
            exponent = exponent.saturating_add(1);
        }
        let leading = digits.iter().take_while(|d| **d == 0).count();
        digits.drain(..leading);
        if digits.is_empty() {
            return Decimal::default();
        }
        Decimal { negative, digits, exponent }
    }

    /// `value · 10^exponent`.
    pub(super) fn from_i64(value: i64, exponent: i32) -> Decimal {
        let digits = value.unsigned_abs().to_string().bytes().map(|b| b - b'0').collect();
        Decimal::new(value < 0, digits, exponent)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(super) fn negate(mut self) -> Decimal {
        self.negative = !self.negative && !self.is_zero();
        self
    }

    pub(super) fn abs(mut self) -> Decimal {
        self.negative = false;
        self
    }

    /// The digits and the exponent of the last one.
    pub(super) fn parts(&self) -> (&[u8], i32) {
        (&self.digits, self.exponent)
    }

    /// As Go prints a big decimal that was rounded to a multiple of `10^exponent`.
    pub(super) fn go_fields(&self, exponent: i32) -> String {
        let words = words(&self.aligned(exponent));
        let words: Vec<String> = words.iter().map(u64::to_string).collect();
        format!(
            "{{unscaled:(big.Int){{neg:(bool){} abs:(big.nat)[{}]}} scale:(inf.Scale){}}}",
            self.negative,
            words.join(" "),
            -exponent
        )
    }

    fn cmp_abs(&self, other: &Decimal) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let magnitude = |d: &Decimal| d.digits.len() as i64 + i64::from(d.exponent);
        magnitude(self).cmp(&magnitude(other)).then_with(|| self.digits.cmp(&other.digits))
    }

    pub(super) fn add(&self, other: &Decimal) -> Decimal {
        if self.is_zero() || other.is_zero() {
            return if self.is_zero() { other.clone() } else { self.clone() };
        }
        let (large, small) = if self.cmp_abs(other).is_lt() { (other, self) } else { (self, other) };
        if i64::from(large.exponent).abs_diff(i64::from(small.exponent)) as i64 > MAX_SPREAD {
            return large.clone();
        }
        let exponent = large.exponent.min(small.exponent);
        let a = large.aligned(exponent);
        let b = small.aligned(exponent);
        let digits = if large.negative == small.negative { add_digits(a, &b) } else { sub_digits(a, &b) };
        Decimal::new(large.negative, digits, exponent)
    }

    /// The digits with zeros appended so that the last one stands for `10^exponent`.
    fn aligned(&self, exponent: i32) -> Digits {
        let mut digits = self.digits.clone();
        digits.resize(digits.len() + self.exponent.abs_diff(exponent) as usize, 0);
        digits
    }

    pub(super) fn mul_u64(&self, factor: u64) -> Decimal {
        let mut carry: u128 = 0;
        let mut out: Digits = SmallVec::new();
        for d in self.digits.iter().rev() {
            carry += u128::from(*d) * u128::from(factor);
            out.push((carry % 10) as u8);
            carry /= 10;
        }
        while carry > 0 {
            out.push((carry % 10) as u8);
            carry /= 10;
        }
        out.reverse();
        Decimal::new(self.negative, out, self.exponent)
    }

    /// Moves the point: times `10^by`.
    pub(super) fn shift(mut self, by: i32) -> Decimal {
        if !self.is_zero() {
            self.exponent = self.exponent.saturating_add(by);
        }
        self
    }

    /// Rounded away from zero to a multiple of `10^exponent`, and whether that changed nothing.
    pub(super) fn round_up(&self, exponent: i32) -> (Decimal, bool) {
        if self.is_zero() || self.exponent >= exponent {
            return (self.clone(), true);
        }
        let dropped = exponent.abs_diff(self.exponent) as usize;
        let kept = self.digits.len().saturating_sub(dropped);
        let digits = add_digits(Digits::from_slice(&self.digits[..kept]), &[1]);
        (Decimal::new(self.negative, digits, exponent), false)
    }

    /// A whole number divided by `divisor`, if that leaves no rest.
    pub(super) fn div_exact(&self, divisor: u32) -> Option<Decimal> {
        let mut rest = 0u32;
        let mut out: Digits = SmallVec::new();
        for d in self.aligned(0) {
            rest = rest * 10 + u32::from(d);
            out.push((rest / divisor) as u8);
            rest %= divisor;
        }
        (rest == 0).then(|| Decimal::new(self.negative, out, 0))
    }

    /// As a whole number, rounded away from zero; held at the ends of the range.
    pub(super) fn to_i64(&self) -> i64 {
        let limit = if self.negative { i64::MIN } else { i64::MAX };
        let (rounded, _) = self.round_up(0);
        if rounded.digits.len() as i64 + i64::from(rounded.exponent) > 19 {
            return limit;
        }
        let magnitude = rounded.aligned(0).iter().fold(0i128, |n, d| n * 10 + i128::from(*d));
        let signed = if self.negative { -magnitude } else { magnitude };
        i64::try_from(signed).unwrap_or(limit)
    }

    pub(super) fn to_f64(&self) -> f64 {
        self.plain().parse().unwrap_or(0.0)
    }

    fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}e{}", digits_text(&self.digits), self.exponent)
    }
}

/// A whole number in words of 64 bits, the lowest first.
fn words(digits: &[u8]) -> Vec<u64> {
    let mut words: Vec<u64> = Vec::new();
    for digit in digits {
        let mut carry = u128::from(*digit);
        for word in &mut words {
            carry += u128::from(*word) * 10;
            #[expect(clippy::cast_possible_truncation, reason = "the rest is carried")]
            let low = carry as u64;
            *word = low;
            carry >>= 64;
        }
        if carry > 0 {
            #[expect(clippy::cast_possible_truncation, reason = "a digit's carry is below 10")]
            words.push(carry as u64);
        }
    }
    words
}

/// Digits as text; "0" if there are none.
pub(super) fn digits_text(digits: &[u8]) -> String {
    if digits.is_empty() { "0".to_owned() } else { digits.iter().map(|d| char::from(b'0' + d)).collect() }
}

fn add_digits(mut a: Digits, b: &[u8]) -> Digits {
    if a.len() < b.len() {
        a.insert_many(0, std::iter::repeat_n(0, b.len() - a.len()));
    }
    let mut carry = 0;
    let offset = a.len() - b.len();
    for i in (0..a.len()).rev() {
        let sum = a[i] + carry + if i >= offset { b[i - offset] } else { 0 };
        a[i] = sum % 10;
        carry = sum / 10;
    }
    if carry > 0 {
        a.insert(0, carry);
    }
    a
}

/// `a - b` where `a >= b`.
fn sub_digits(mut a: Digits, b: &[u8]) -> Digits {
    let offset = a.len().saturating_sub(b.len());
    let mut borrow = 0;
    for i in (0..a.len()).rev() {
        let take = borrow + if i >= offset { b[i - offset] } else { 0 };
        borrow = u8::from(a[i] < take);
        a[i] = a[i] + borrow * 10 - take;
    }
    a
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_abs(other),
            (true, true) => other.cmp_abs(self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
