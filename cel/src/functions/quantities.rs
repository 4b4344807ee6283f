//! Quantities. Upstream: apiserver/pkg/cel/library/quantity.go

use std::cmp::Ordering;
use std::sync::Arc;

use apimachinery::quantity::{Format, Quantity};

use crate::eval::{Result, fail};
use crate::value::Val;

fn sign(quantity: &Quantity) -> i64 {
    match (quantity.is_zero(), quantity.is_negative()) {
        (true, _) => 0,
        (_, true) => -1,
        _ => 1,
    }
}

fn order(order: Ordering) -> i64 {
    order as i64
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(Ok(match (name, args) {
        ("quantity", [Val::Str(text)]) => match Quantity::parse(text.as_str()) {
            Ok(quantity) => Val::Quantity(Arc::new(quantity)),
            Err(error) => return Some(fail(error.to_string())),
        },
        ("isQuantity", [Val::Str(text)]) => Val::Bool(Quantity::parse(text.as_str()).is_ok()),
        ("sign", [Val::Quantity(q)]) => Val::Int(sign(q)),
        ("isInteger", [Val::Quantity(q)]) => Val::Bool(q.as_i64().is_some()),
        ("asInteger", [Val::Quantity(q)]) => match q.as_i64() {
            Some(n) => Val::Int(n),
            None => return Some(fail("cannot convert value to integer")),
        },
        ("asApproximateFloat", [Val::Quantity(q)]) => Val::Double(q.to_f64()),
        ("isGreaterThan", [Val::Quantity(a), Val::Quantity(b)]) => Val::Bool(a.cmp(b) == Ordering::Greater),
        ("isLessThan", [Val::Quantity(a), Val::Quantity(b)]) => Val::Bool(a.cmp(b) == Ordering::Less),
        ("compareTo", [Val::Quantity(a), Val::Quantity(b)]) => Val::Int(order(a.cmp(b))),
        ("add" | "sub", [Val::Quantity(a), other @ (Val::Quantity(_) | Val::Int(_))]) => {
            let other = match other {
                Val::Quantity(b) => (**b).clone(),
                Val::Int(n) => Quantity::new(*n, Format::DecimalSi),
                _ => return None,
            };
            let mut out = (**a).clone();
            if name == "add" {
                out.add(&other)
            } else {
                out.sub(&other)
            }
            Val::Quantity(Arc::new(out))
        }
        _ => return None,
    }))
}
