//! What kubectl adds to JSONPath: results as JSON, and expressions without braces.
//! Corresponds to kubectl/pkg/cmd/get/jsonpath.go, kubectl/pkg/cmd/get/customcolumn.go.

pub use apimachinery::jsonpath::{JsonPath, JsonPathError};
use apimachinery::value::Value;

/// The results as one indented JSON list per top-level part.
pub fn execute_json(path: &JsonPath, data: &Value) -> Result<String, JsonPathError> {
    let mut out = String::new();
    for group in path.find(data)? {
        let list = Value::List(group.into_iter().map(std::borrow::Cow::into_owned).collect());
        out.push_str(&super::json::indent4(&crate::codec::encode_json(&list)));
        out.push('\n');
    }
    Ok(out)
}

/// Adds the braces and dot that people leave out: `metadata.name` becomes `{.metadata.name}`.
pub fn relaxed_expression(text: &str) -> anyhow::Result<String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let mut inner = text;
    if let Some(stripped) = text.strip_prefix('{') {
        match stripped.strip_suffix('}') {
            Some(body) => inner = body,
            None => anyhow::bail!(
                "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}'"
            ),
        }
    } else if text.ends_with('}') || text.contains('{') {
        anyhow::bail!(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}'"
        );
    }
    let inner = inner.strip_prefix('.').unwrap_or(inner);
    Ok(format!("{{.{inner}}}"))
}
