//! Functions of lists and sets. Upstream: cel-go ext/{lists,sets}.go, apiserver/pkg/cel/library/lists.go

use std::cmp::Ordering;

use super::operators;
use crate::eval::{EvalError, Result, fail};
use crate::value::{List, Val};

/// How long a list made by `lists.range` may be.
const MAX_RANGE: i64 = 1_000_000;

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    if let ("lists.range", [Val::Int(end)]) = (name, args) {
        return Some(if *end > MAX_RANGE {
            Err(EvalError::CostExceeded)
        } else {
            Ok(Val::list((0..(*end).max(0)).map(Val::Int).collect()))
        });
    }
    let (list, rest) = match args {
        [Val::List(list), rest @ ..] => (list, rest),
        _ => return None,
    };
    let covers = |a: &List<'a>, b: &List<'a>| b.iter().all(|x| a.iter().any(|y| x.same(&y)));
    Some(match (name, rest) {
        ("sets.contains", [Val::List(other)]) => Ok(Val::Bool(covers(list, other))),
        ("sets.equivalent", [Val::List(other)]) => Ok(Val::Bool(covers(list, other) && covers(other, list))),
        ("sets.intersects", [Val::List(other)]) => Ok(Val::Bool(list.iter().any(|x| other.iter().any(|y| x.same(&y))))),
        ("first", []) => Ok(Val::Optional(list.get(0).map(Into::into))),
        ("last", []) => Ok(Val::Optional(list.len().checked_sub(1).and_then(|i| list.get(i)).map(Into::into))),
        ("reverse", []) => Ok(Val::list(list.iter().collect::<Vec<_>>().into_iter().rev().collect())),
        ("distinct", []) => {
            let mut out: Vec<Val<'a>> = Vec::new();
            for item in list.iter() {
                if !out.iter().any(|o| o.same(&item)) {
                    out.push(item);
                }
            }
            Ok(Val::list(out))
        }
        ("sort", []) => sorted(list, list),
        ("@sortByAssociatedKeys", [Val::List(keys)]) => sorted(list, keys),
        ("slice", [Val::Int(start), Val::Int(end)]) => slice(list, *start, *end),
        ("flatten", []) => Ok(Val::list(flat(list, 1))),
        ("flatten", [Val::Int(depth)]) if *depth < 0 => fail("level must be non-negative"),
        ("flatten", [Val::Int(depth)]) => Ok(Val::list(flat(list, *depth))),
        ("indexOf", [item]) => Ok(Val::Int(place(list.iter().position(|i| i.same(item))))),
        ("lastIndexOf", [item]) => {
            Ok(Val::Int(place((0..list.len()).rev().find(|i| list.get(*i).is_some_and(|v| v.same(item))))))
        }
        ("isSorted", []) => {
            let items: Vec<_> = list.iter().collect();
            Ok(Val::Bool(items.windows(2).all(|w| w[0].order(&w[1]).is_some_and(|o| o != Ordering::Greater))))
        }
        ("min", []) => extreme(list, "min", Ordering::Less),
        ("max", []) => extreme(list, "max", Ordering::Greater),
        ("sum", []) => sum(list),
        _ => return None,
    })
}

/// The members in the order of their keys.
fn sorted<'a>(list: &List<'a>, keys: &List<'a>) -> Result<'a> {
    let mut pairs: Vec<(Val<'a>, Val<'a>)> = keys.iter().zip(list.iter()).collect();
    if pairs.windows(2).any(|w| w[0].0.order(&w[1].0).is_none()) {
        return fail("list elements must have the same type");
    }
    pairs.sort_by(|a, b| a.0.order(&b.0).unwrap_or(Ordering::Equal));
    Ok(Val::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

fn place(index: Option<usize>) -> i64 {
    index.and_then(|i| i64::try_from(i).ok()).unwrap_or(-1)
}

fn slice<'a>(list: &List<'a>, start: i64, end: i64) -> Result<'a> {
    let length = list.len();
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return fail(format!("cannot slice({start}, {end}), negative indexes not supported"));
    };
    if from > to {
        return fail(format!("cannot slice({start}, {end}), start index must be less than or equal to end index"));
    }
    if length < to {
        return fail(format!("cannot slice({start}, {end}), list is length {length}"));
    }
    Ok(Val::list((from..to).filter_map(|i| list.get(i)).collect()))
}

fn flat<'a>(list: &List<'a>, depth: i64) -> Vec<Val<'a>> {
    let mut out = Vec::new();
    for item in list.iter() {
        match item {
            Val::List(inner) if depth > 0 => out.extend(flat(&inner, depth - 1)),
            other => out.push(other),
        }
    }
    out
}

fn extreme<'a>(list: &List<'a>, name: &str, want: Ordering) -> Result<'a> {
    let mut items = list.iter();
    let Some(mut best) = items.next() else { return fail(format!("{name} called on empty list")) };
    for item in items {
        match item.order(&best) {
            Some(order) if order == want => best = item,
            Some(_) => {}
            None => return fail("no such overload"),
        }
    }
    Ok(best)
}

fn sum<'a>(list: &List<'a>) -> Result<'a> {
    let mut items = list.iter();
    let Some(mut total) = items.next() else { return Ok(Val::Int(0)) };
    for item in items {
        total = operators::call("_+_", &[total, item]).unwrap_or_else(|| fail("no such overload"))?;
    }
    Ok(total)
}
