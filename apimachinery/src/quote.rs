//! Text in double quotes as Go's `%q` writes it. Many messages of the API are defined by it. Corresponds to Go's strconv.Quote.

use std::fmt::{self, Write};
use std::sync::LazyLock;

use regex::Regex;

use crate::value::Value;

static PRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]$").expect("a constant pattern"));

/// `text` in double quotes, with everything unprintable escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_quoted(&mut out, text).expect("writing to a string does not fail");
    out
}

/// Each of `texts` quoted, joined by ", ".
pub fn quote_all<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    texts.into_iter().map(|t| quote(t.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `texts` as Go's `%q` writes a slice: `["a" "b"]`.
pub fn quote_slice<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    format!("[{}]", texts.into_iter().map(|t| quote(t.as_ref())).collect::<Vec<_>>().join(" "))
}

fn write_quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\x07' => out.write_str("\\a")?,
            '\x08' => out.write_str("\\b")?,
            '\x0c' => out.write_str("\\f")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\x0b' => out.write_str("\\v")?,
            c if is_printable(c) => out.write_char(c)?,
            c if c.is_ascii() => write!(out, "\\x{:02x}", c as u32)?,
            c if (c as u32) < 0x10000 => write!(out, "\\u{:04x}", c as u32)?,
            c => write!(out, "\\U{:08x}", c as u32)?,
        }
    }
    out.write_char('"')
}

/// `text` as a JSON string, escaped as Go's encoding/json does it (`<`, `>`, `&`, U+2028 and U+2029 too).
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                write!(out, "\\u{:04x}", c as u32).expect("writing to a string does not fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `value` as JSON without spaces, map keys sorted.
pub fn json_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::Str(s) => json_string(s),
        Value::List(l) => format!("[{}]", l.iter().map(json_value).collect::<Vec<_>>().join(",")),
        Value::Map(m) => {
            let entry = |(k, v)| format!("{}:{}", json_string(k), json_value(v));
            format!("{{{}}}", m.iter().map(entry).collect::<Vec<_>>().join(","))
        }
        Value::Raw(json) => json.to_string(),
    }
}

/// `value` as Go prints it with `%v`: `map[a:1 b:[x y]]`.
pub fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Str(s) => s.to_string(),
        Value::Float(n) => go_float(*n),
        Value::List(l) => format!("[{}]", l.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Map(m) => {
            format!("map[{}]", m.iter().map(|(k, v)| format!("{k}:{}", go_value(v))).collect::<Vec<_>>().join(" "))
        }
        other => json_value(other),
    }
}

/// A float as Go's `%v` prints it: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
fn go_float(n: f64) -> String {
    if n == 0.0 || (1e-4..1e6).contains(&n.abs()) {
        return n.to_string();
    }
    let text = format!("{n:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// True if Go would print `c` as it is.
pub fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        c if c.is_ascii() => false,
        c => PRINTABLE.is_match(c.encode_utf8(&mut [0; 4])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_quotes() {
        for (text, want) in [
            ("a b", r#""a b""#),
            ("é\u{0301}", "\"é\u{0301}\""),
            ("a\u{200b}\u{a0}", r#""a\u200b\u00a0""#),
            ("\0\n\"\\", r#""\x00\n\"\\""#),
            ("\u{10ffff}", r#""\U0010ffff""#),
        ] {
            assert_eq!(quote(text), want);
        }
        assert_eq!(quote_all(["a", "b"]), r#""a", "b""#);
        assert_eq!(json_string("a<b\u{1}"), r#""a\u003cb\u0001""#);
    }
}
