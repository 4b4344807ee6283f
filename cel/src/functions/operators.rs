//! Arithmetic, comparison and membership. Upstream: cel-go common/types

use std::cmp::Ordering;

use crate::eval::{Result, fail};
use crate::value::{Text, Val};

/// Nanoseconds that a duration may have.
const MAX_DURATION: i128 = i64::MAX as i128;

fn or_overflow<'a>(value: Option<Val<'a>>, what: &str) -> Result<'a> {
    value.map_or_else(|| fail(what), Ok)
}

fn duration<'a>(nanos: i128) -> Result<'a> {
    or_overflow((nanos.abs() <= MAX_DURATION).then_some(Val::Duration(nanos)), "duration overflow")
}

fn timestamp<'a>(nanos: i128) -> Result<'a> {
    let seconds = nanos.div_euclid(1_000_000_000);
    let fits = (-62_135_596_800..=253_402_300_799).contains(&seconds);
    or_overflow(fits.then_some(Val::Timestamp(nanos)), "timestamp overflow")
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(match (name, args) {
        ("_==_", [a, b]) => Ok(Val::Bool(a.same(b))),
        ("_!=_", [a, b]) => Ok(Val::Bool(!a.same(b))),
        ("!_", [Val::Bool(b)]) => Ok(Val::Bool(!b)),
        ("!_", [_]) => fail("no such overload"),
        ("-_", [Val::Int(n)]) => or_overflow(n.checked_neg().map(Val::Int), "integer overflow"),
        ("-_", [Val::Double(f)]) => Ok(Val::Double(-f)),
        ("-_", [_]) => fail("no such overload"),
        ("_<_", [a, b]) => order(a, b, |o| o == Ordering::Less),
        ("_<=_", [a, b]) => order(a, b, |o| o != Ordering::Greater),
        ("_>_", [a, b]) => order(a, b, |o| o == Ordering::Greater),
        ("_>=_", [a, b]) => order(a, b, |o| o != Ordering::Less),
        ("@in", [item, Val::List(list)]) => Ok(Val::Bool(list.iter().any(|i| i.same(item)))),
        ("@in", [key, Val::Map(map)]) => Ok(Val::Bool(map.get(key).is_some())),
        ("@in", [..]) => fail("no such overload"),
        ("_+_", [a, b]) => add(a, b),
        ("_-_", [a, b]) => subtract(a, b),
        ("_*_", [a, b]) => match (a, b) {
            (Val::Int(a), Val::Int(b)) => or_overflow(a.checked_mul(*b).map(Val::Int), "integer overflow"),
            (Val::Uint(a), Val::Uint(b)) => or_overflow(a.checked_mul(*b).map(Val::Uint), "unsigned integer overflow"),
            (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a * b)),
            _ => fail("no such overload"),
        },
        ("_/_", [a, b]) => match (a, b) {
            (Val::Int(_), Val::Int(0)) | (Val::Uint(_), Val::Uint(0)) => fail("division by zero"),
            (Val::Int(a), Val::Int(b)) => or_overflow(a.checked_div(*b).map(Val::Int), "integer overflow"),
            (Val::Uint(a), Val::Uint(b)) => Ok(Val::Uint(a / b)),
            (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a / b)),
            _ => fail("no such overload"),
        },
        ("_%_", [a, b]) => match (a, b) {
            (Val::Int(_), Val::Int(0)) | (Val::Uint(_), Val::Uint(0)) => fail("modulus by zero"),
            (Val::Int(a), Val::Int(b)) => or_overflow(a.checked_rem(*b).map(Val::Int), "integer overflow"),
            (Val::Uint(a), Val::Uint(b)) => Ok(Val::Uint(a % b)),
            _ => fail("no such overload"),
        },
        _ => return None,
    })
}

fn order<'a>(a: &Val<'a>, b: &Val<'a>, test: fn(Ordering) -> bool) -> Result<'a> {
    if matches!((a, b), (Val::Double(f), _) | (_, Val::Double(f)) if f.is_nan()) {
        return fail("NaN values cannot be ordered");
    }
    a.order(b).map_or_else(|| fail("no such overload"), |o| Ok(Val::Bool(test(o))))
}

fn add<'a>(a: &Val<'a>, b: &Val<'a>) -> Result<'a> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => or_overflow(a.checked_add(*b).map(Val::Int), "integer overflow"),
        (Val::Uint(a), Val::Uint(b)) => or_overflow(a.checked_add(*b).map(Val::Uint), "unsigned integer overflow"),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a + b)),
        (Val::Str(a), Val::Str(b)) => Ok(Val::Str(Text::Shared(format!("{}{}", a.as_str(), b.as_str()).into()))),
        (Val::Bytes(a), Val::Bytes(b)) => Ok(Val::Bytes([&**a, &**b].concat().into())),
        (Val::List(a), Val::List(b)) => Ok(Val::List(a.joined(b))),
        (Val::Duration(a), Val::Duration(b)) => duration(a + b),
        (Val::Timestamp(a), Val::Duration(b)) | (Val::Duration(b), Val::Timestamp(a)) => timestamp(a + b),
        _ => fail("no such overload"),
    }
}

fn subtract<'a>(a: &Val<'a>, b: &Val<'a>) -> Result<'a> {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => or_overflow(a.checked_sub(*b).map(Val::Int), "integer overflow"),
        (Val::Uint(a), Val::Uint(b)) => or_overflow(a.checked_sub(*b).map(Val::Uint), "unsigned integer overflow"),
        (Val::Double(a), Val::Double(b)) => Ok(Val::Double(a - b)),
        (Val::Duration(a), Val::Duration(b)) => duration(a - b),
        (Val::Timestamp(a), Val::Timestamp(b)) => duration(a - b),
        (Val::Timestamp(a), Val::Duration(b)) => timestamp(a - b),
        _ => fail("no such overload"),
    }
}
