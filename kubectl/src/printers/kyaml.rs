//! KYAML: YAML in flow style with quoted strings, trailing commas and a document marker.
//! Corresponds to sigs.k8s.io/yaml/kyaml.

use apimachinery::value::Value;

use crate::cli::quote::quote;

/// The object as a KYAML document.
pub(crate) fn encode(value: &Value) -> String {
    let mut out = String::from("---\n");
    write(value, 0, &mut out);
    out.push('\n');
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Map(map) if map.is_empty() => out.push_str("{}"),
        Value::Map(map) => {
            out.push_str("{\n");
            for (key, member) in map.iter() {
                out.push_str(&"  ".repeat(depth + 1));
                out.push_str(&key_text(key));
                out.push_str(": ");
                write(member, depth + 1, out);
                out.push_str(",\n");
            }
            out.push_str(&"  ".repeat(depth));
            out.push('}');
        }
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) => list(items, depth, out),
        Value::Str(text) if text.contains('\n') => lines(text, depth, out),
        Value::Str(text) => out.push_str(&quote(text)),
        Value::Null => out.push_str("null"),
        other => out.push_str(&super::sprint(other)),
    }
}

/// A text of several lines: each on one of its own, folded by a backslash, with one column for the blank of those
/// that begin with one.
fn lines(text: &str, depth: usize, out: &mut String) {
    let margin = "  ".repeat(depth + 1);
    out.push_str("\"\\\n");
    for line in text.split_inclusive('\n') {
        let (line, ended) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        let mark = if line.starts_with(char::is_whitespace) { '\\' } else { ' ' };
        let quoted = quote(line);
        let body = quoted.trim_start_matches('"').replace("\\t", "\t");
        out.push_str(&format!("{margin}{mark}{}", body.strip_suffix('"').unwrap_or(&body)));
        out.push_str(if ended { "\\n\\\n" } else { "\\\n" });
    }
    out.push_str(&format!("{margin}\""));
}

/// Structures cuddle with the brackets; plain values stand on lines of their own.
fn list(items: &[Value], depth: usize, out: &mut String) {
    let structured = items.iter().all(|i| matches!(i, Value::Map(_) | Value::List(_)));
    if structured {
        out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write(item, depth, out);
        }
        out.push(']');
        return;
    }
    out.push_str("[\n");
    for item in items {
        out.push_str(&"  ".repeat(depth + 1));
        write(item, depth + 1, out);
        out.push_str(",\n");
    }
    out.push_str(&"  ".repeat(depth));
    out.push(']');
}

fn key_text(key: &str) -> String {
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
    let reserved = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"];
    if plain && !reserved.contains(&key.to_lowercase().as_str()) { key.to_owned() } else { quote(key) }
}
