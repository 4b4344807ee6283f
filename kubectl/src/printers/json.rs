//! JSON text as kubectl prints it. Corresponds to cli-runtime/pkg/printers/json.go.

use apimachinery::schema;
use apimachinery::value::Value;

/// Go's `MarshalIndent` with four spaces, of compact JSON text.
pub fn indent4(compact: &[u8]) -> String {
    let mut out = String::with_capacity(compact.len() * 2);
    let text = String::from_utf8_lossy(compact);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = text.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    };
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                if chars.peek().is_some_and(|n| matches!(n, '}' | ']')) {
                    out.extend(chars.next());
                    continue;
                }
                depth += 1;
                newline(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// An object as its Go type writes it: with the fields that Go always writes, in Go's order.
pub fn typed_json(object: &Value) -> Vec<u8> {
    let kind = schema::kind(object.get("apiVersion").str_or_empty(), object.get("kind").str_or_empty());
    match kind {
        Some(kind) => crate::codec::encode_typed(object, kind),
        None => crate::codec::encode_json(object),
    }
}

/// The value of [`typed_json`].
pub fn typed_value(object: &Value) -> Value {
    crate::codec::decode_json(&typed_json(object)).unwrap_or_else(|_| object.clone())
}

#[cfg(test)]
mod tests {
    use super::indent4;

    #[test]
    fn as_go() {
        let text = indent4(br#"{"a":[1,{"b":"x:,\"{"}],"c":{},"d":[]}"#);
        assert_eq!(
            text,
            "{\n    \"a\": [\n        1,\n        {\n            \"b\": \"x:,\\\"{\"\n        }\n    ],\n    \"c\": {},\n    \"d\": []\n}"
        );
    }
}
