//! Regular expressions. Upstream: apiserver/pkg/cel/library/regex.go

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;

use crate::eval::{Result, fail};
use crate::value::Val;

/// How many compiled expressions are kept.
const KEPT: usize = 512;

static COMPILED: LazyLock<Mutex<HashMap<Box<str>, Regex>>> = LazyLock::new(Mutex::default);

/// A compiled expression, or what is wrong with it.
pub(crate) fn compile(text: &str) -> std::result::Result<Regex, String> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = compiled.get(text) {
        return Ok(found.clone());
    }
    let regex = Regex::new(text).map_err(|_| format!("error parsing regexp: invalid regular expression: `{text}`"))?;
    if compiled.len() >= KEPT {
        compiled.clear();
    }
    compiled.insert(text.into(), regex.clone());
    Ok(regex)
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    if !matches!(name, "matches" | "find" | "findAll") {
        return None;
    }
    let (text, pattern, limit) = match args {
        [Val::Str(text), Val::Str(pattern)] => (text.as_str(), pattern.as_str(), -1),
        [Val::Str(text), Val::Str(pattern), Val::Int(limit)] => (text.as_str(), pattern.as_str(), *limit),
        _ => return None,
    };
    let regex = match compile(pattern) {
        Ok(regex) => regex,
        Err(why) if name == "matches" => return Some(fail(why)),
        Err(why) => return Some(fail(format!("Illegal regex: {why}"))),
    };
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    Some(Ok(match name {
        "matches" => Val::Bool(regex.is_match(text)),
        "find" => Val::str(regex.find(text).map_or("", |m| m.as_str())),
        _ => Val::list(regex.find_iter(text).take(most).map(|m| Val::str(m.as_str())).collect()),
    }))
}
