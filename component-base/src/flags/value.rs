//! Values of flags: parsing with Go's rules and error texts, printing as pflag does.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::duration::{format_duration, parse_duration};
use super::spec::{Kind, Spec};

/// Why a value is refused, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Duration(i64),
    Str(String),
    List(Vec<String>),
    Map(BTreeMap<String, String>),
}

impl Value {
    pub(super) fn default_of(spec: &Spec) -> Self {
        let text = spec.default.as_str();
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match spec.kind {
            Kind::Bool => Self::Bool(text == "true"),
            Kind::Version | Kind::Text => Self::Str(text.to_owned()),
            Kind::Ip => Self::Str(if text == "<nil>" { String::new() } else { text.to_owned() }),
            Kind::Int(_) | Kind::Uint(_) => Self::Int(text.parse().unwrap_or(0)),
            Kind::Float => Self::Float(text.parse().unwrap_or(0.0)),
            Kind::Duration => Self::Duration(parse_duration(text).unwrap_or(0)),
            Kind::List | Kind::Array => Self::List(split(inner)),
            Kind::Map | Kind::BoolMap => Self::Map(pairs(inner).unwrap_or_default()),
        }
    }

    /// Takes one more use of the flag; `first` says that no earlier use was made, so the default goes.
    pub(super) fn set(&mut self, kind: Kind, text: &str, first: bool) -> Result<(), ValueError> {
        match kind {
            Kind::List => self.append(csv(text)?, first),
            Kind::Array => self.append(vec![text.to_owned()], first),
            Kind::Map | Kind::BoolMap => self.merge(pairs(text)?, kind, first)?,
            _ => *self = single(kind, text)?,
        }
        Ok(())
    }

    fn append(&mut self, more: Vec<String>, first: bool) {
        match self {
            Self::List(list) if !first => list.extend(more),
            _ => *self = Self::List(more),
        }
    }

    fn merge(&mut self, more: BTreeMap<String, String>, kind: Kind, first: bool) -> Result<(), ValueError> {
        if kind == Kind::BoolMap {
            for (key, value) in &more {
                parse_bool(value)
                    .map_err(|error| ValueError(format!("invalid value of {key}: {value}, err: {error}")))?;
            }
        }
        match self {
            Self::Map(map) if !first => map.extend(more),
            _ => *self = Self::Map(more),
        }
        Ok(())
    }
}

fn single(kind: Kind, text: &str) -> Result<Value, ValueError> {
    Ok(match kind {
        Kind::Bool => Value::Bool(parse_bool(text)?),
        Kind::Int(bits) => Value::Int(parse_int(text, bits)?),
        Kind::Uint(bits) => Value::Int(parse_uint(text, bits)?),
        Kind::Float => Value::Float(text.parse().map_err(|_| syntax("ParseFloat", text))?),
        Kind::Duration => Value::Duration(parse_duration(text)?),
        Kind::Ip if text.trim().parse::<IpAddr>().is_err() && !text.is_empty() => {
            return Err(ValueError(format!("failed to parse IP: {text:?}")));
        }
        Kind::Ip => Value::Str(text.trim().to_owned()),
        _ => Value::Str(text.to_owned()),
    })
}

fn syntax(function: &str, text: &str) -> ValueError {
    ValueError(format!("strconv.{function}: parsing {text:?}: invalid syntax"))
}

fn range(function: &str, text: &str) -> ValueError {
    ValueError(format!("strconv.{function}: parsing {text:?}: value out of range"))
}

/// Go's strconv.ParseBool.
///
/// # Errors
/// In Go's words.
pub fn parse_bool(text: &str) -> Result<bool, ValueError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(syntax("ParseBool", text)),
    }
}

/// Digits and radix of Go's base-0 form: `0x`, `0o`, `0b`, leading zero, underscores between digits.
fn radix(text: &str) -> (String, u32) {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    (digits.replace('_', ""), radix)
}

fn parse_int(text: &str, bits: u32) -> Result<i64, ValueError> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = radix(body);
    if digits.starts_with(['+', '-']) {
        return Err(syntax("ParseInt", text));
    }
    let value = i128::from_str_radix(&digits, base).map_err(|_| syntax("ParseInt", text))?;
    let value = if negative { -value } else { value };
    let max = (1i128 << (bits - 1)) - 1;
    if value > max || value < -max - 1 {
        return Err(range("ParseInt", text));
    }
    i64::try_from(value).map_err(|_| range("ParseInt", text))
}

fn parse_uint(text: &str, bits: u32) -> Result<i64, ValueError> {
    let (digits, base) = radix(text);
    if digits.starts_with(['+', '-']) {
        return Err(syntax("ParseUint", text));
    }
    let value = u128::from_str_radix(&digits, base).map_err(|_| syntax("ParseUint", text))?;
    if value >= 1u128 << bits {
        return Err(range("ParseUint", text));
    }
    i64::try_from(value).map_err(|_| range("ParseUint", text))
}

fn split(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}

/// One line of comma-separated values, where a value may be quoted.
fn csv(text: &str) -> Result<Vec<String>, ValueError> {
    if !text.contains('"') {
        return Ok(split(text));
    }
    let mut values = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (value, after) = rest.split_once(',').map_or((rest, None), |(value, after)| (value, Some(after)));
            if value.contains('"') {
                return Err(ValueError(format!(
                    "parse error on line 1, column {}: bare \" in non-quoted-field",
                    text.len() - rest.len() + 1
                )));
            }
            values.push(value.to_owned());
            let Some(after) = after else { return Ok(values) };
            rest = after;
            continue;
        };
        let (value, after) = unquote(quoted).ok_or_else(|| {
            ValueError(format!(
                "parse error on line 1, column {}: extraneous or missing \" in quoted-field",
                text.len() + 1
            ))
        })?;
        values.push(value);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(values),
        }
    }
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => return (rest.is_empty() || rest.starts_with(',')).then_some((value, rest)),
        }
    }
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, ValueError> {
    let mut map = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| ValueError("malformed pair, expect string=string".to_owned()))?;
        map.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(map)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Duration(nanos) => f.write_str(&format_duration(*nanos)),
            Self::Str(text) => f.write_str(text),
            Self::List(list) => write!(f, "[{}]", list.join(",")),
            Self::Map(map) => {
                let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value}")).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}
