//! Go's `%#v` of decoded JSON, which the JSONPath printer shows when a template fails.

use apimachinery::value::Value;

use crate::cli::quote::quote;

/// The value in Go's syntax.
pub(crate) fn go_syntax(value: &Value) -> String {
    match value {
        Value::Map(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{}:{}", quote(k), go_syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Str(text) => quote(text),
        Value::Null => "interface {}(nil)".to_owned(),
        other => super::sprint(other),
    }
}
