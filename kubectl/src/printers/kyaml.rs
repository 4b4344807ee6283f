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
        Value::Str(text) => out.push_str(&quote(text)),
        Value::Null => out.push_str("null"),
        other => out.push_str(&super::sprint(other)),
    }
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
