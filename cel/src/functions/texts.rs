//! Functions of strings. Upstream: cel-go ext/strings.go (version 2)

use super::format_text;
use crate::eval::{EvalError, Result, fail};
use crate::value::Val;

fn out_of_range<'a>(index: i64) -> Result<'a> {
    fail(format!("index out of range: {index}"))
}

fn at(index: i64, length: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|i| *i <= length)
}

fn slice(chars: &[char]) -> String {
    chars.iter().collect()
}

fn strings<'a>(parts: impl Iterator<Item = String>) -> Val<'a> {
    Val::list(parts.map(Val::str).collect())
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    if name == "join" {
        return join(args);
    }
    let (text, rest) = match args {
        [Val::Str(text), rest @ ..] => (text.as_str(), rest),
        _ => return None,
    };
    let chars = || text.chars().collect::<Vec<char>>();
    Some(Ok(match (name, rest) {
        ("contains", [Val::Str(part)]) => Val::Bool(text.contains(part.as_str())),
        ("startsWith", [Val::Str(part)]) => Val::Bool(text.starts_with(part.as_str())),
        ("endsWith", [Val::Str(part)]) => Val::Bool(text.ends_with(part.as_str())),
        ("lowerAscii", []) => Val::str(text.to_ascii_lowercase()),
        ("upperAscii", []) => Val::str(text.to_ascii_uppercase()),
        ("trim", []) => Val::str(text.trim()),
        ("strings.quote", []) => Val::str(quoted(text)),
        ("format", [Val::List(args)]) => return Some(format_text::format(text, args)),
        ("charAt", [Val::Int(index)]) => {
            let chars = chars();
            match at(*index, chars.len()) {
                Some(i) => Val::str(chars.get(i).map(char::to_string).unwrap_or_default()),
                None => return Some(out_of_range(*index)),
            }
        }
        ("substring", [Val::Int(start)]) => {
            let chars = chars();
            match at(*start, chars.len()) {
                Some(start) => Val::str(slice(&chars[start..])),
                None => return Some(out_of_range(*start)),
            }
        }
        ("substring", [Val::Int(start), Val::Int(end)]) => {
            let chars = chars();
            if start > end {
                return Some(fail(format!("invalid substring range. start: {start}, end: {end}")));
            }
            match (at(*start, chars.len()), at(*end, chars.len())) {
                (Some(start), Some(end)) => Val::str(slice(&chars[start..end])),
                (None, _) => return Some(out_of_range(*start)),
                _ => return Some(out_of_range(*end)),
            }
        }
        ("indexOf", [Val::Str(part)]) => return Some(index_of(text, part.as_str(), 0)),
        ("indexOf", [Val::Str(part), Val::Int(from)]) => return Some(index_of(text, part.as_str(), *from)),
        ("lastIndexOf", [Val::Str(part)]) => {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            match part.as_str() {
                "" => Val::Int(length),
                part if text.len() < part.len() => Val::Int(-1),
                part => return Some(last_index_of(text, part, length - 1)),
            }
        }
        ("lastIndexOf", [Val::Str(part), Val::Int(from)]) => return Some(last_index_of(text, part.as_str(), *from)),
        ("replace", [Val::Str(old), Val::Str(new)]) => Val::str(text.replace(old.as_str(), new.as_str())),
        ("replace", [Val::Str(old), Val::Str(new), Val::Int(count)]) => match usize::try_from(*count) {
            Ok(count) => Val::str(text.replacen(old.as_str(), new.as_str(), count)),
            Err(_) => Val::str(text.replace(old.as_str(), new.as_str())),
        },
        ("split", [Val::Str(by)]) => strings(split(text, by.as_str(), -1)),
        ("split", [Val::Str(by), Val::Int(count)]) => strings(split(text, by.as_str(), *count)),
        _ => return None,
    }))
}

/// As Go's `SplitN`.
fn split(text: &str, by: &str, count: i64) -> std::vec::IntoIter<String> {
    if count == 0 {
        return Vec::new().into_iter();
    }
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let parts: Vec<String> = if by.is_empty() {
        let chars: Vec<char> = text.chars().collect();
        let single = chars.len().min(most.saturating_sub(1));
        let mut parts: Vec<String> = chars[..single].iter().map(char::to_string).collect();
        if single < chars.len() {
            parts.push(slice(&chars[single..]));
        }
        parts
    } else {
        text.splitn(most, by).map(str::to_owned).collect()
    };
    parts.into_iter()
}

fn found<'a>(index: Option<usize>) -> Result<'a> {
    Ok(Val::Int(index.and_then(|i| i64::try_from(i).ok()).unwrap_or(-1)))
}

fn index_of<'a>(text: &str, part: &str, from: i64) -> Result<'a> {
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let Ok(from_at) = usize::try_from(from) else { return out_of_range(from) };
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let last = text.len().checked_sub(part.len());
    found(last.and_then(|last| (from_at..=last).find(|i| text[*i..].starts_with(&part))))
}

fn last_index_of<'a>(text: &str, part: &str, from: i64) -> Result<'a> {
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let Ok(from_at) = usize::try_from(from) else { return out_of_range(from) };
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    if from_at >= text.len() {
        return Ok(Val::Int(-1));
    }
    let last = text.len().checked_sub(part.len()).map(|l| l.min(from_at));
    found(last.and_then(|last| (0..=last).rev().find(|i| text[*i..].starts_with(&part))))
}

fn join<'a>(args: &[Val<'a>]) -> Option<Result<'a>> {
    let (list, by) = match args {
        [Val::List(list)] => (list, ""),
        [Val::List(list), Val::Str(by)] => (list, by.as_str()),
        _ => return None,
    };
    let mut parts = Vec::with_capacity(list.len());
    for item in list.iter() {
        match item.as_str() {
            Some(text) => parts.push(text.to_owned()),
            None => return Some(Err(EvalError::new(format!("join: invalid input: {item}")))),
        }
    }
    Some(Ok(Val::str(parts.join(by))))
}

/// In quotes, with escapes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
