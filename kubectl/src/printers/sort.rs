//! `--sort-by`. Corresponds to kubectl/pkg/cmd/get/sorter.go.

use std::cmp::Ordering;

use apimachinery::quantity::Quantity;
use apimachinery::value::Value;

use super::jsonpath::{JsonPath, relaxed_expression};
use crate::cli::quote::quote;

/// Sorts the rows of a table by a field of their objects.
pub fn sort_table(table: &mut Value, field: &str) -> anyhow::Result<()> {
    let expression = relaxed_expression(field).unwrap_or_else(|_| field.to_owned());
    let path = JsonPath::parse(&expression).map_err(|e| anyhow::anyhow!("sorting error: {e}"))?.allow_missing(true);
    let Some(rows) = table.get_mut("rows").and_then(Value::as_list_mut) else {
        return Ok(());
    };
    sort_by(rows, |row| row.get("object"), &path, &expression)
}

/// Sorts objects by a field.
pub fn sort_objects(objects: &mut Vec<Value>, field: &str) -> anyhow::Result<()> {
    let expression = relaxed_expression(field)?;
    let path = JsonPath::parse(&expression)?.allow_missing(true);
    sort_by(objects, |object| object, &path, &expression)
}

fn sort_by(
    items: &mut Vec<Value>,
    object: impl Fn(&Value) -> &Value,
    path: &JsonPath,
    expression: &str,
) -> anyhow::Result<()> {
    let mut keyed: Vec<(Option<Value>, Value)> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let found = path.find(object(&item))?;
        let key = found.first().and_then(|g| g.first()).map(|v| v.clone().into_owned());
        keyed.push((key, item));
    }
    let any = keyed.is_empty() || keyed.iter().any(|(key, _)| key.is_some());
    anyhow::ensure!(any, "couldn't find any field with path {} in the list of objects", quote(expression));
    keyed.sort_by(|(a, _), (b, _)| match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => compare(a, b),
    });
    items.extend(keyed.into_iter().map(|(_, item)| item));
    Ok(())
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(_) | Value::Int(_), Value::Float(_) | Value::Int(_)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::Str(a), Value::Str(b)) => match (Quantity::parse(a), Quantity::parse(b)) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => a.cmp(b),
        },
        _ => Ordering::Equal,
    }
}
