//! `deployment.apps/web created`. Corresponds to cli-runtime/pkg/printers/name.go.

use apimachinery::value::Value;

/// One line for an object; `operation` empty for the bare name.
pub fn name_line(object: &Value, operation: &str) -> String {
    let kind = object.get("kind").str_or_empty().to_lowercase();
    let api_version = object.get("apiVersion").str_or_empty();
    let group = api_version.split_once('/').map_or("", |(g, _)| g);
    let name = object.path(&["metadata", "name"]).as_str().unwrap_or("<unknown>");
    let kind = if kind.is_empty() { "<unknown>".to_owned() } else { kind };
    let operation = if operation.is_empty() { String::new() } else { format!(" {operation}") };
    if group.is_empty() { format!("{kind}/{name}{operation}\n") } else { format!("{kind}.{group}/{name}{operation}\n") }
}
