//! What functions do. Which exist, and with which types, is told by [`crate::overloads`].

pub(crate) mod authorizer;
mod convert;
pub(crate) mod costs;
mod format_text;
mod formats;
mod lists;
pub(crate) mod net;
mod operators;
mod quantities;
pub(crate) mod regexes;
pub(crate) mod semver;
mod texts;
pub(crate) mod time;
pub(crate) mod urls;

use crate::eval::{Evaluator, Result, fail, no_overload};
use crate::value::{Mapping, Val};

/// Calls a function; the receiver of a method is the first argument.
pub(crate) fn call<'a>(run: &Evaluator<'_, 'a>, name: &str, args: &[Val<'a>]) -> Result<'a> {
    let answer = operators::call(name, args)
        .or_else(|| general(name, args))
        .or_else(|| convert::call(name, args))
        .or_else(|| texts::call(name, args))
        .or_else(|| lists::call(name, args))
        .or_else(|| regexes::call(name, args))
        .or_else(|| time::call(name, args))
        .or_else(|| quantities::call(name, args))
        .or_else(|| semver::call(name, args))
        .or_else(|| net::call(name, args))
        .or_else(|| urls::call(name, args))
        .or_else(|| formats::call(name, args))
        .or_else(|| authorizer::call(run, name, args));
    answer.unwrap_or_else(|| no_overload(name, args))
}

/// Sizes, types, optionals and entries of maps.
fn general<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    Some(match (name, args) {
        ("size", [value @ (Val::Str(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_))]) => {
            Ok(Val::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        ("type", [value]) => Ok(Val::Type(value.type_name().into())),
        ("dyn", [value]) => Ok(value.clone()),
        ("optional.of", [value]) => Ok(Val::some(value.clone())),
        ("optional.ofNonZeroValue", [value]) => {
            Ok(if value.is_zero() { Val::Optional(None) } else { Val::some(value.clone()) })
        }
        ("optional.none", []) => Ok(Val::Optional(None)),
        ("value", [Val::Optional(Some(inner))]) => Ok((**inner).clone()),
        ("value", [Val::Optional(None)]) => fail("optional.none() dereference"),
        ("hasValue", [Val::Optional(inner)]) => Ok(Val::Bool(inner.is_some())),
        ("optional.unwrap" | "unwrapOpt", [Val::List(list)]) => {
            let mut out = Vec::new();
            for item in list.iter() {
                match item {
                    Val::Optional(Some(inner)) => out.push((*inner).clone()),
                    Val::Optional(None) => {}
                    other => return Some(fail(format!("value {other} is not optional"))),
                }
            }
            Ok(Val::list(out))
        }
        ("cel.@mapInsert", [Val::Map(map), key, value]) => insert(map, [(key.clone(), value.clone())]),
        ("cel.@mapInsert", [Val::Map(map), Val::Map(more)]) => insert(map, more.iter()),
        ("jsonpatch.escapeKey", [key]) => Ok(Val::str(key.as_str()?.replace('~', "~0").replace('/', "~1"))),
        _ => return None,
    })
}

fn insert<'a>(map: &Mapping<'a>, more: impl IntoIterator<Item = (Val<'a>, Val<'a>)>) -> Result<'a> {
    let mut entries: Vec<_> = map.iter().collect();
    for (key, value) in more {
        if entries.iter().any(|(k, _)| k.same(&key)) {
            return fail(format!("insert failed: key {key} already exists"));
        }
        entries.push((key, value));
    }
    Ok(Val::Map(Mapping::Made(entries.into())))
}
