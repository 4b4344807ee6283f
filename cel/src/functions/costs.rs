//! What a call has cost. Upstream: cel-go interpreter/runtimecost.go, apiserver/pkg/cel/library/cost.go

use super::formats;
use crate::value::Val;

/// What one check of the authorizer costs: two are allowed per expression.
pub(crate) const CHECK: u64 = 350_000;

fn times(size: u64, factor: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    {
        (size as f64 * factor).ceil() as u64
    }
}

fn traversal(value: &Val<'_>) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    match value {
        Val::Str(text) => (text.as_str().len() as f64 * 0.1) as u64,
        Val::Bytes(bytes) => (bytes.len() as f64 * 0.1) as u64,
        Val::List(list) => list.iter().map(|v| traversal(&v)).sum(),
        Val::Map(map) => map.iter().map(|(k, v)| traversal(&k) + traversal(&v)).sum(),
        _ => 1,
    }
}

/// A call that makes a list.
fn made(size: u64, factor: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    {
        (size as f64 * factor) as u64 + 11
    }
}

/// A call that compares all members of a list with each other.
fn compared(list: Option<&Val<'_>>) -> u64 {
    let Some(Val::List(list)) = list else { return 11 };
    let text = matches!(list.get(0), Some(Val::Str(_) | Val::Bytes(_)));
    let size = list.len() as u64;
    made(size.saturating_mul(size), if text { 2.1 } else { 2.0 })
}

/// The cost of a call with these arguments; the receiver of a method is the first.
pub(crate) fn of_call(name: &str, member: bool, args: &[Val<'_>], result: &Val<'_>) -> u64 {
    let size = |i: usize| args.get(i).map_or(1, Val::size);
    let text = |i: usize| matches!(args.get(i), Some(Val::Str(_) | Val::Bytes(_)));
    let regex = |pattern: u64| times(1 + size(0), 0.1) * times(pattern, 0.25);
    match name {
        "check" => CHECK,
        "fieldSelector" | "labelSelector" => 10 + times(size(1), 0.1) + times(times(size(1), 0.5), 50.0),
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => args.first().map_or(0, traversal),
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "jsonpatch.escapeKey"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver" => times(size(0), 0.1),
        "ip" if matches!(args.first(), Some(Val::Cidr(_))) => 1,
        "ip" => times(size(0), 0.1),
        "ip.isCanonical" | "replace" | "split" => times(size(0), 0.2),
        "join" => times(result.size(), 0.2),
        "find" | "findAll" => regex(size(1)),
        "matches" if member => regex(size(1)),
        "containsIP" => times(2 * size(0), 0.1) + if text(1) { times(size(1), 0.1) } else { 0 },
        "containsCIDR" => {
            times(2 * size(0), 0.1) + times(size(0), 0.1) + 1 + if text(1) { times(size(1), 0.1) } else { 0 }
        }
        "validate" => match args.first() {
            Some(Val::Format(format)) => times(1 + size(1), 0.1) * times(formats::regex_size(*format), 0.25),
            _ => 1,
        },
        "slice" | "lists.range" | "reverse" => made(result.size(), 1.0),
        "flatten" => {
            let depth = if let Some(Val::Int(depth)) = args.get(1) { *depth as f64 } else { 1.0 };
            made(size(0), depth)
        }
        "distinct" | "sort" => compared(args.first()),
        "@sortByAssociatedKeys" => compared(args.get(1)),
        "startsWith" | "endsWith" | "strings.quote" | "format" => times(size(0), 0.1),
        "bytes" | "string" if text(0) && result.type_name() != args[0].type_name() => times(size(0), 0.1),
        "@in" if matches!(args.get(1), Some(Val::List(_))) => size(1),
        "_==_" if matches!(args.first(), Some(Val::Quantity(_) | Val::Ip(_) | Val::Cidr(_) | Val::Url(_))) => 1,
        "_==_" | "_!=_" => times(size(0).min(size(1)), 0.1),
        "_<_" | "_<=_" | "_>_" | "_>=_" if text(0) => times(size(0).min(size(1)), 0.1),
        "_+_" if text(0) => times(size(0) + size(1), 0.1),
        "contains" => times(size(0), 0.1) * times(size(1), 0.1),
        _ => 1,
    }
}
