//! `--sort-by`. Corresponds to kubectl/pkg/cmd/get/sorter.go.

use apimachinery::quantity::Quantity;
use apimachinery::value::Value;

use super::jsonpath::{JsonPath, relaxed_expression};
use crate::cli::pdqsort;
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
    let keys = keyed.iter().filter_map(|(key, _)| key.as_ref());
    if let Some(kind) = keys.filter(|_| keyed.len() > 1).find_map(unsortable) {
        // The type that upstream names is the one of its parsed rows.
        anyhow::bail!(
            "Field {expression} in [][][]reflect.Value is an unsortable type: interface, err: unsortable type: {kind}"
        );
    }
    pdqsort::sort(&mut keyed, |(a, _), (b, _)| match (a, b) {
        (None, _) => true,
        (_, None) => false,
        (Some(a), Some(b)) => less(a, b),
    });
    items.extend(keyed.into_iter().map(|(_, item)| item));
    Ok(())
}

/// The name of the Go type of a value that has no order.
fn unsortable(value: &Value) -> Option<&'static str> {
    match value {
        Value::Map(_) => Some("map[string]interface {}"),
        Value::List(_) => Some("[]interface {}"),
        Value::Bool(_) => Some("bool"),
        _ => None,
    }
}

/// Upstream's order of two values. It is not total: "9" is less than "10" as a quantity, "10" than "1x" and "1x" than
/// "9" as words.
fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, other) => !other.is_null(),
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Float(_) | Value::Int(_), Value::Float(_) | Value::Int(_)) => a.as_f64() < b.as_f64(),
        (Value::Str(a), Value::Str(b)) => match (Quantity::parse(a), Quantity::parse(b)) {
            (Ok(x), Ok(y)) => x < y,
            _ => a < b,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[Value]) -> Vec<Value> {
        values.iter().map(|v| Value::from([("key", v.clone())])).collect()
    }

    fn sorted(values: &[Value]) -> Vec<Value> {
        let mut objects = rows(values);
        sort_objects(&mut objects, ".key").unwrap();
        objects.iter().map(|o| o.get("key").clone()).collect()
    }

    /// Rows of events: those with an eventTime have no lastTimestamp. An order that calls null equal to everything
    /// made the standard library's sort panic from about 20 rows on.
    #[test]
    fn null_comes_first_among_many_rows() {
        let values: Vec<Value> = (0..60_u32)
            .map(|i| if i % 3 == 0 { Value::Null } else { Value::from(format!("2026-11-25T09:{:02}:00Z", i * 7 % 60)) })
            .collect();
        let result = sorted(&values);
        assert!(result[..20].iter().all(Value::is_null));
        assert!(result[20..].windows(2).all(|w| w[0].as_str().unwrap() <= w[1].as_str().unwrap()));
    }

    #[test]
    fn an_order_that_is_not_total_does_not_panic() {
        let words = ["9", "10", "1x", "1k", "a", "7Mi", "0x", "3e2", "1", "z9"];
        let values: Vec<Value> = (0..300).map(|i| Value::from(words[i * i % words.len()].to_owned())).collect();
        assert_eq!(sorted(&values).len(), 300);
    }

    #[test]
    fn what_has_no_order_is_refused() {
        let error = sort_objects(&mut rows(&[Value::map(), Value::map()]), ".key").unwrap_err().to_string();
        assert_eq!(
            error,
            "Field {.key} in [][][]reflect.Value is an unsortable type: interface, err: unsortable type: \
             map[string]interface {}"
        );
    }
}
