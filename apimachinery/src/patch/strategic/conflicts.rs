//! Whether two patches give different values to the same place.

use super::super::PatchError;
use super::lists::{self, Elements};
use super::lookup::{PatchMeta, Schema};
use super::{DIRECTIVE, RETAIN_KEYS, unexpected};
use crate::quote::go_value;
use crate::value::{Map, Value};

/// True if `left` and `right` contradict each other.
pub(super) fn between(left: &Value, right: &Value, schema: Schema<'_>) -> Result<bool, PatchError> {
    values(left, right, Some(schema), PatchMeta::default())
}

fn values(left: &Value, right: &Value, schema: Option<Schema<'_>>, meta: PatchMeta<'_>) -> Result<bool, PatchError> {
    match (left, right) {
        (Value::Map(l), Value::Map(r)) => {
            if l.get(DIRECTIVE) != r.get(DIRECTIVE) {
                return Ok(true);
            }
            if meta.replaces() {
                return Ok(false);
            }
            maps(l, r, schema)
        }
        (Value::List(l), Value::List(r)) => slices(l, r, schema, meta),
        (Value::Map(_) | Value::List(_), _) => Ok(true),
        _ => Ok(left != right),
    }
}

fn maps(left: &Map, right: &Map, schema: Option<Schema<'_>>) -> Result<bool, PatchError> {
    for (key, l) in left.iter().filter(|(k, _)| *k != DIRECTIVE && *k != RETAIN_KEYS) {
        let Some(r) = right.get(key) else { continue };
        let (subschema, meta) = match (l, schema) {
            (Value::List(_), Some(s)) => s.list(key).map(|(s, m)| (Some(s), m))?,
            (Value::Map(_), Some(s)) => s.map(key).map(|(s, m)| (Some(s), m))?,
            _ => (None, PatchMeta::default()),
        };
        if values(l, r, subschema, meta)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn slices(
    left: &[Value],
    right: &[Value],
    schema: Option<Schema<'_>>,
    meta: PatchMeta<'_>,
) -> Result<bool, PatchError> {
    let elements = lists::element_type(&[left, right])?;
    if meta.merges() {
        if elements == Elements::Scalars {
            return Ok(false);
        }
        let (l, r) = (by_key(left, meta.merge_key)?, by_key(right, meta.merge_key)?);
        for (key, value) in &l {
            if let Some((_, other)) = r.iter().find(|(k, _)| k == key)
                && values(value, other, schema, PatchMeta::default())?
            {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if left.len() != right.len() {
        return Ok(true);
    }
    let sorted = |list: &[Value]| match elements {
        Elements::Maps => list.to_vec(),
        Elements::Scalars => lists::sort_scalars(lists::deduplicate(list.to_vec())),
    };
    for (l, r) in sorted(left).iter().zip(&sorted(right)) {
        if values(l, r, schema, PatchMeta::default())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn by_key<'a>(list: &'a [Value], merge_key: &str) -> Result<Vec<(String, &'a Value)>, PatchError> {
    let mut out = Vec::new();
    for value in list {
        let key = value.as_map().and_then(|m| m.get(merge_key)).ok_or_else(|| {
            unexpected(format!("cannot find merge key `{merge_key}` in merging list element:{}", go_value(value)))
        })?;
        out.push((go_value(key), value));
    }
    Ok(out)
}
