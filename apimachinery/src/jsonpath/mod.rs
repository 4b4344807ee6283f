//! JSONPath templates: `{.items[*].metadata.name}`, ranges, filters, unions, text between braces.
//! Corresponds to client-go/util/jsonpath.

mod parse;
mod run;

use std::borrow::Cow;

use parse::Parser;
use run::Run;

use crate::codec::json;
use crate::gofmt::format_float;
use crate::value::Value;

/// Why a template is refused or fails; the text is upstream's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(String);

fn fail<T>(text: impl Into<String>) -> Result<T, JsonPathError> {
    Err(JsonPathError(text.into()))
}

#[derive(Clone, Debug)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Field(String),
    Identifier(String),
    Array([Param; 3]),
    Filter(Vec<Node>, Vec<Node>, String),
    Literal(Value),
    Wildcard,
    Recursive,
    Union(Vec<Vec<Node>>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Param {
    value: i64,
    known: bool,
    derived: bool,
}

/// A parsed template.
#[derive(Clone, Debug)]
pub struct JsonPath {
    nodes: Vec<Node>,
    allow_missing: bool,
}

/// What one part of a template finds.
pub type Found<'v> = Vec<Cow<'v, Value>>;

impl JsonPath {
    /// Parses a template.
    pub fn parse(template: &str) -> Result<Self, JsonPathError> {
        let nodes = Parser::new(template).template()?;
        Ok(Self { nodes, allow_missing: false })
    }

    /// Whether a missing field is no error.
    #[must_use]
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.allow_missing = allow;
        self
    }

    /// The results, grouped by the template's top-level parts.
    pub fn find<'v>(&self, data: &'v Value) -> Result<Vec<Found<'v>>, JsonPathError> {
        Run::new(&self.nodes, self.allow_missing).find(Some(Cow::Borrowed(data)), 0)
    }

    /// The text of the template for `data`.
    pub fn execute(&self, data: &Value) -> Result<String, JsonPathError> {
        let mut out = String::new();
        for group in self.find(data)? {
            let texts: Vec<String> = group.iter().map(|v| text_of(v)).collect();
            out.push_str(&texts.join(" "));
        }
        Ok(out)
    }
}

/// Text of one result.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Str(s) => s.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format_float(*f),
        other => {
            let mut text = Vec::new();
            json::encode_untyped(other, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::JsonPath;

    fn data() -> crate::value::Value {
        serde_json::json!({
            "kind": "List",
            "items": [
                {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
                 "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
                {"kind": "None", "metadata": {"name": "127.0.0.2"},
                 "status": {"capacity": {"cpu": "8"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}}
            ],
            "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin", "password": "secret"}}],
            "n": 3, "f": 1.5, "z": null
        })
        .into()
    }

    #[test]
    fn templates() {
        for (template, want) in [
            ("kind is {.kind}", "kind is List"),
            ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
            ("{.items[*]['metadata.name', 'status.capacity']}", "127.0.0.1 127.0.0.2 {\"cpu\":\"4\"} {\"cpu\":\"8\"}"),
            ("{.users[?(@.name==\"e2e\")].user.password}", "secret"),
            ("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1"),
            (
                "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
                "[127.0.0.1, {\"cpu\":\"4\"}] [127.0.0.2, {\"cpu\":\"8\"}] ",
            ),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{end}{.n}", "127.0.0.1\t127.0.0.2\t3"),
            ("{..address}", "127.0.0.1 127.0.0.2 127.0.0.3"),
            ("{.items[-1:].metadata.name}", "127.0.0.2"),
            ("{.items[-1].metadata.name}", "127.0.0.2"),
            ("{.f} {.z}", "1.5 null"),
            (
                "{range .items[*]}{range .status.addresses[*]}{.address},{end}; {end}",
                "127.0.0.1,; 127.0.0.2,127.0.0.3,; ",
            ),
        ] {
            let got = JsonPath::parse(template).and_then(|p| p.execute(&data())).map_err(|e| e.to_string());
            assert_eq!(got.as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn errors() {
        for (template, want) in [
            ("{.nope}", "nope is not found"),
            ("{.items[5]}", "array index out of bounds: index 5, length 2"),
            ("{.a", "unclosed action"),
            ("{.items[a]}", "invalid array index a"),
            ("{foo}", "unrecognized identifier foo"),
        ] {
            let got = JsonPath::parse(template).and_then(|p| p.execute(&data())).map_err(|e| e.to_string());
            assert_eq!(got, Err(want.to_owned()), "{template}");
        }
    }
}
