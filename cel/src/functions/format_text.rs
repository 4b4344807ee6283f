//! `"%s".format([…])`. Upstream: cel-go ext/formatting.go

use super::{convert, time};
use crate::eval::{EvalError, Result};
use crate::value::{List, Val};

type Text = std::result::Result<String, EvalError>;

fn bad(text: impl Into<String>) -> Text {
    Err(EvalError::new(text))
}

/// Fills in the clauses.
pub(super) fn format<'a>(text: &str, args: &List<'a>) -> Result<'a> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(d) = chars.next_if(char::is_ascii_digit) {
                digits.push(d);
            }
            match digits.parse::<usize>() {
                Ok(n) => precision = Some(n.min(1000)),
                Err(_) => {
                    return Err(EvalError::new(
                        "error while parsing precision: could not find end of precision specifier",
                    ));
                }
            }
        }
        let Some(verb) = chars.next() else { return Err(EvalError::new("unexpected end of string")) };
        let Some(arg) = args.get(next) else { return Err(EvalError::new(format!("index {next} out of range"))) };
        next += 1;
        out.push_str(&clause(verb, precision, &arg)?);
    }
    Ok(Val::str(out))
}

fn clause(verb: char, precision: Option<usize>, arg: &Val<'_>) -> Text {
    let double = || match arg {
        Val::Double(f) => Ok(*f),
        Val::Int(n) => Ok(*n as f64),
        Val::Uint(n) => Ok(*n as f64),
        _ => Err(EvalError::new(format!(
            "error during formatting: fixed-point clause can only be used on doubles, was given {}",
            arg.type_name()
        ))),
    };
    match verb {
        's' => shown(arg, false),
        'd' => match arg {
            Val::Int(n) => Ok(n.to_string()),
            Val::Uint(n) => Ok(n.to_string()),
            Val::Double(f) if !f.is_finite() => Ok(convert::double_text(*f)),
            _ => bad(format!(
                "error during formatting: decimal clause can only be used on integers, was given {}",
                arg.type_name()
            )),
        },
        'f' => {
            let f = double()?;
            Ok(if f.is_finite() { format!("{f:.*}", precision.unwrap_or(6)) } else { convert::double_text(f) })
        }
        'e' => {
            let f = double()?;
            if !f.is_finite() {
                return Ok(convert::double_text(f));
            }
            let text = format!("{f:.*e}", precision.unwrap_or(6));
            let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, digits) = power.strip_prefix('-').map_or(("+", power), |d| ("-", d));
            Ok(format!("{mantissa}e{sign}{digits:0>2}"))
        }
        'b' => match arg {
            Val::Bool(b) => Ok(u8::from(*b).to_string()),
            Val::Int(n) => Ok(signed(*n, |m| format!("{m:b}"))),
            Val::Uint(n) => Ok(format!("{n:b}")),
            _ => bad(format!(
                "error during formatting: only integers and bools can be formatted as binary, was given {}",
                arg.type_name()
            )),
        },
        'o' => match arg {
            Val::Int(n) => Ok(signed(*n, |m| format!("{m:o}"))),
            Val::Uint(n) => Ok(format!("{n:o}")),
            _ => bad(format!(
                "error during formatting: octal clause can only be used on integers, was given {}",
                arg.type_name()
            )),
        },
        'x' | 'X' => {
            let text = hex(arg)?;
            Ok(if verb == 'X' { text.to_uppercase() } else { text })
        }
        other => bad(format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"")),
    }
}

fn signed(n: i64, digits: impl Fn(u64) -> String) -> String {
    format!("{}{}", if n < 0 { "-" } else { "" }, digits(n.unsigned_abs()))
}

fn hex(arg: &Val<'_>) -> Text {
    let bytes = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect();
    match arg {
        Val::Int(n) => Ok(signed(*n, |m| format!("{m:x}"))),
        Val::Uint(n) => Ok(format!("{n:x}")),
        Val::Str(text) => Ok(bytes(text.as_str().as_bytes())),
        Val::Bytes(b) => Ok(bytes(b)),
        _ => bad(format!(
            "error during formatting: only integers, byte buffers, and strings can be formatted as hex, was given {}",
            arg.type_name()
        )),
    }
}

/// A value as `%s` shows it.
fn shown(arg: &Val<'_>, inside: bool) -> Text {
    Ok(match arg {
        Val::Null => "null".to_owned(),
        Val::Bool(b) => b.to_string(),
        Val::Int(n) => n.to_string(),
        Val::Uint(n) => n.to_string(),
        Val::Double(f) => convert::double_text(*f),
        Val::Str(text) if inside => format!("\"{}\"", text.as_str()),
        Val::Str(text) => text.as_str().to_owned(),
        Val::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
        Val::Duration(n) if inside => format!("duration(\"{}\")", time::seconds_text(*n)),
        Val::Duration(n) => time::seconds_text(*n),
        Val::Timestamp(n) if inside => format!("timestamp(\"{}\")", time::format_timestamp(*n)),
        Val::Timestamp(n) => time::format_timestamp(*n),
        Val::Type(name) => name.to_string(),
        Val::List(list) => {
            let parts: Vec<String> = list.iter().map(|v| shown(&v, true)).collect::<std::result::Result<_, _>>()?;
            format!("[{}]", parts.join(", "))
        }
        Val::Map(map) => {
            let mut parts = Vec::new();
            for (key, value) in map.iter() {
                parts.push(format!("{}:{}", shown(&key, true)?, shown(&value, true)?));
            }
            parts.sort();
            format!("{{{}}}", parts.join(", "))
        }
        other => {
            return bad(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
                other.type_name()
            ));
        }
    })
}
