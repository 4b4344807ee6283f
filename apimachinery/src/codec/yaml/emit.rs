//! Writes values as Go's yaml v2 library does: sorted keys, lists not indented under their key, strings quoted only where they would
//! read as something else.

use std::cmp::Ordering;

use super::resolve::{Resolved, is_base60, resolve};
use crate::codec::json::{decode_untyped, write_float};
use crate::value::{Map, Value};

/// A value as a YAML document, with a final newline.
pub fn encode(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Map(map) if !map.is_empty() => mapping(map, 0, false, &mut out),
        Value::List(items) if !items.is_empty() => sequence(items, 0, false, &mut out),
        value => inline(value, 0, &mut out),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn start_line(indent: usize, out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Block mapping; `on_line`: the first key continues the line.
fn mapping(map: &Map, indent: usize, on_line: bool, out: &mut String) {
    let mut entries: Vec<(&str, &Value)> = map.iter().collect();
    entries.sort_by(|a, b| natural(a.0, b.0));
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 || !on_line {
            start_line(indent, out);
        }
        let simple = key.len() <= 128 && !key.chars().any(is_break);
        if !simple {
            out.push_str("? ");
        }
        string(key, indent, simple, out);
        if simple {
            out.push(':');
        } else {
            start_line(indent, out);
            out.push(':');
        }
        match value {
            Value::Map(inner) if !inner.is_empty() => {
                if !simple {
                    out.push(' ');
                }
                mapping(inner, indent + 2, !simple, out);
            }
            Value::List(items) if !items.is_empty() => {
                if !simple {
                    out.push(' ');
                }
                sequence(items, if simple { indent } else { indent + 2 }, !simple, out);
            }
            value => {
                out.push(' ');
                inline(value, indent, out);
            }
        }
    }
}

/// Block sequence; `on_line`: the first dash continues the line.
fn sequence(items: &[Value], indent: usize, on_line: bool, out: &mut String) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 || !on_line {
            start_line(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Map(map) if !map.is_empty() => mapping(map, indent + 2, true, out),
            Value::List(inner) if !inner.is_empty() => sequence(inner, indent + 2, true, out),
            item => inline(item, indent, out),
        }
    }
}

/// A value that needs no lines of its own, except for literal text.
fn inline(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => out.push_str(itoa::Buffer::new().format(*n)),
        Value::Float(f) => float(*f, out),
        Value::Str(text) => string(text, indent, false, out),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
        Value::Raw(raw) => match decode_untyped(raw.as_bytes()).unwrap_or_default() {
            // Embedded values are trees here: they get the lines they need.
            Value::Map(map) if !map.is_empty() => mapping(&map, indent + 2, false, out),
            Value::List(items) if !items.is_empty() => sequence(&items, indent + 2, false, out),
            value => inline(&value, indent, out),
        },
    }
}

/// Whole numbers as JSON writes them are read back as integers; others in Go's %g form.
fn float(f: f64, out: &mut String) {
    let mut json = Vec::new();
    write_float(f, &mut json);
    let text = String::from_utf8_lossy(&json);
    if f.is_finite() && matches!(resolve(&text), Resolved::Int(_) | Resolved::Uint(_)) {
        out.push_str(&text);
        return;
    }
    if f.is_nan() {
        return out.push_str(".nan");
    }
    if f.is_infinite() {
        return out.push_str(if f > 0.0 { ".inf" } else { "-.inf" });
    }
    let scientific = format!("{f:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        out.push_str(&format!("{f}"));
        return;
    }
    out.push_str(mantissa);
    out.push_str(&format!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What the library takes for printable: no tabs, and nothing beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// Which styles a text allows.
struct Styles {
    plain: bool,
    single: bool,
    block: bool,
    multiline: bool,
}

fn styles(text: &str) -> Styles {
    let mut styles = Styles { plain: true, single: true, block: !text.is_empty(), multiline: false };
    let chars: Vec<char> = text.chars().collect();
    let (mut previous_space, mut previous_break) = (false, false);
    if text.starts_with("---") || text.starts_with("...") {
        styles.plain = false;
    }
    for (i, &c) in chars.iter().enumerate() {
        let (first, last) = (i == 0, i + 1 == chars.len());
        let blank_follows = last || matches!(chars[i + 1], ' ' | '\t');
        let blank_precedes = first || matches!(chars[i - 1], ' ' | '\t') || is_break(chars[i - 1]);
        let indicator = match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if first => {
                true
            }
            '?' | '-' if first => blank_follows,
            ':' => blank_follows,
            '#' => blank_precedes,
            _ => false,
        };
        if indicator || ((c == ' ' || is_break(c)) && (first || last)) {
            styles.plain = false;
        }
        if !is_printable(c) {
            (styles.plain, styles.single, styles.block) = (false, false, false);
        }
        if c == ' ' {
            if last {
                styles.block = false;
            }
            if previous_break {
                (styles.plain, styles.single) = (false, false);
            }
        } else if is_break(c) {
            styles.multiline = true;
            styles.plain = false;
            if previous_space {
                (styles.single, styles.block) = (false, false);
            }
        }
        previous_space = c == ' ';
        previous_break = is_break(c);
    }
    styles
}

fn string(text: &str, indent: usize, key: bool, out: &mut String) {
    let styles = styles(text);
    let wants_literal = text.contains('\n');
    if wants_literal && styles.block && !key {
        return literal(text, indent + 2, out);
    }
    let is_plain = resolve(text) == Resolved::Str && !is_base60(text);
    let line = Line::of(out, (!key).then_some(indent + 2));
    if wants_literal || !is_plain || (styles.multiline && key) || !(styles.plain || styles.single) {
        return double_quoted(text, line, out);
    }
    if styles.plain {
        return folded(text, line, false, out);
    }
    out.push('\'');
    // Line breaks in single quotes are doubled; such text always has a line feed and is never written this way.
    folded(text, Line { column: line.column + 1, ..line }, true, out);
    out.push('\'');
}

/// Lines longer than this are folded at the next single space.
const WIDTH: usize = 80;

/// Where a scalar is being written.
#[derive(Clone, Copy)]
struct Line {
    column: usize,
    /// Indentation of continuation lines; none where there must be none (keys).
    indent: Option<usize>,
}

impl Line {
    fn of(out: &str, indent: Option<usize>) -> Line {
        Line { column: out[out.rfind('\n').map_or(0, |i| i + 1)..].chars().count(), indent }
    }

    /// Writes a character.
    fn push(&mut self, c: char, out: &mut String) {
        out.push(c);
        self.column += 1;
    }

    /// Starts a new line if the current one is long enough.
    fn folds(&mut self, out: &mut String) -> bool {
        let Some(indent) = self.indent.filter(|_| self.column > WIDTH) else { return false };
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
        true
    }
}

/// Text as it is, folded at single spaces; `quoted`: inside single quotes.
fn folded(text: &str, mut line: Line, quoted: bool, out: &mut String) {
    let mut after_space = false;
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let foldable = c == ' ' && !after_space && next != Some(' ') && (!quoted || (i > 0 && next.is_some()));
        after_space = c == ' ';
        if foldable && line.folds(out) {
            continue;
        }
        if quoted && c == '\'' {
            line.push(c, out);
        }
        line.push(c, out);
    }
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !text.ends_with('\n') {
        out.push('-');
    } else if text == "\n" || text.ends_with("\n\n") {
        out.push('+');
    }
    out.push('\n');
    for line in text.split_inclusive('\n') {
        if line != "\n" {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(line);
    }
}

fn double_quoted(text: &str, mut line: Line, out: &mut String) {
    line.push('"', out);
    let mut after_space = false;
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        if c == ' ' && !after_space && i > 0 && next.is_some() && line.folds(out) {
            // A space at the start of the new line has to be marked, or it would be lost.
            if next == Some(' ') {
                line.push('\\', out);
            }
            after_space = true;
            continue;
        }
        after_space = c == ' ';
        if is_printable(c) && !is_break(c) && c != '"' && c != '\\' {
            line.push(c, out);
            continue;
        }
        let start = out.len();
        escape(c, out);
        line.column += out.len() - start;
    }
    out.push('"');
}

fn escape(c: char, out: &mut String) {
    out.push('\\');
    out.push(match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            let code = u32::from(c);
            return out.push_str(&match code {
                0..=0xff => format!("x{code:02X}"),
                0x100..=0xffff => format!("u{code:04X}"),
                _ => format!("U{code:08X}"),
            });
        }
    });
}

/// The library's order of keys: letters after other characters, numbers by value.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(i) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[i], b[i]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (false, true) => return Ordering::Less,
        (true, false) => return Ordering::Greater,
        (false, false) => {}
    }
    // A zero inside a number is no leading zero.
    let inside = (x == '0' || y == '0') && a[..i].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let number = |chars: &[char]| {
        let digits: Vec<i64> = chars[i..].iter().map_while(|c| c.to_digit(10)).map(i64::from).collect();
        let value = digits.iter().fold(i64::from(inside), |n, d| n.wrapping_mul(10).wrapping_add(*d));
        (value, digits.len())
    };
    number(&a).cmp(&number(&b)).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn document() {
        let v = value!({
            "b": ["x", {"k": 1, "a": [1, [2]]}, []],
            "a10": {}, "a9": null,
            "empty": "", "yes": "yes", "num": "12", "time": "2020-01-02T03:04:05Z",
            "text": "one\ntwo\n", "strip": "one\ntwo", "colon": "a: b", "hash": "a #b", "dash": "- a", "tab": "a\tb",
            "smile": "\u{1f600}", "quote": "it's", "star": "*a", "trail": "a ", "sixty": "1:30", "float": 0.5, "nested": {"x": {"y": "z"}}
        });
        let want = "a9: null\na10: {}\nb:\n- x\n- a:\n  - 1\n  - - 2\n  k: 1\n- []\ncolon: 'a: b'\ndash: '- a'\nempty: \"\"\nfloat: 0.5\n\
                    hash: 'a #b'\nnested:\n  x:\n    \"y\": z\nnum: \"12\"\nquote: it's\nsixty: \"1:30\"\nsmile: \"\\U0001F600\"\nstar: '*a'\n\
                    strip: |-\n  one\n  two\ntab: \"a\\tb\"\ntext: |\n  one\n  two\ntime: \"2020-01-02T03:04:05Z\"\ntrail: 'a '\n\"yes\": \"yes\"\n";
        assert_eq!(encode(&v), want);
    }

    #[test]
    fn floats() {
        let text = |f: f64| encode(&Value::Float(f)).trim().to_owned();
        for (f, want) in
            [(100.0, "100"), (0.1, "0.1"), (1e21, "1e+21"), (1e-5, "1e-05"), (1_000_000.5, "1.0000005e+06")]
        {
            assert_eq!(text(f), want);
        }
    }
}
