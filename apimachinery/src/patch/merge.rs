//! JSON merge patches (RFC 7396). Corresponds to evanphx/json-patch v4.

use std::collections::BTreeMap;

use super::PatchError;
use super::node::{Ary, Doc, Node};
use crate::value::Value;

fn bad(text: &str) -> PatchError {
    PatchError::BadRequest(text.to_owned())
}

/// The JSON object `doc` with `patch` merged into it.
///
/// # Errors
/// If the patch is no JSON object.
pub fn apply(doc: &[u8], patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    let mut patch = Node::parse(patch).ok().flatten().ok_or_else(|| bad("Invalid JSON Patch"))?;
    let mut doc = Node::parse(doc).ok().flatten().ok_or_else(|| bad("Invalid JSON Document"))?;
    let changes = patch.doc_mut().map(std::mem::take);
    let result = match (doc.doc_mut(), changes) {
        (Some(members), Some(changes)) => {
            merge_docs(members, changes);
            doc
        }
        (None, Some(changes)) => {
            let mut result = Node::Doc(changes);
            prune_nulls(&mut result);
            result
        }
        (_, None) if patch.ary_mut().is_some() => {
            prune_nulls(&mut patch);
            patch
        }
        _ => return Err(bad("Invalid JSON Patch")),
    };
    let mut out = String::new();
    result.write(&mut out);
    Ok(out.into_bytes())
}

fn merge_docs(doc: &mut Doc, patch: Doc) {
    for (key, change) in patch {
        let Some(mut change) = change else {
            doc.remove(&key);
            continue;
        };
        if let Some(Some(current)) = doc.get_mut(&key) {
            merge(current, change);
        } else {
            prune_nulls(&mut change);
            doc.insert(key, Some(change));
        }
    }
}

fn merge(current: &mut Node, mut change: Node) {
    let Some(members) = current.doc_mut() else {
        prune_nulls(&mut change);
        *current = change;
        return;
    };
    match change.doc_mut() {
        Some(changes) => merge_docs(members, std::mem::take(changes)),
        None => *current = change,
    }
}

fn prune_nulls(node: &mut Node) {
    if let Some(doc) = node.doc_mut() {
        doc.retain(|_, v| v.is_some());
        doc.values_mut().flatten().for_each(prune_nulls);
    } else if let Some(ary) = node.ary_mut() {
        prune_elements(ary);
    }
}

fn prune_elements(ary: &mut Ary) {
    ary.iter_mut().flatten().for_each(prune_nulls);
}

/// `target` with `patch` merged into it, for values that are trees already.
pub fn apply_value(target: &Value, patch: &Value) -> Value {
    let Value::Map(changes) = patch else { return patch.clone() };
    let mut result = if target.as_map().is_some() { target.clone() } else { Value::map() };
    for (key, change) in changes.iter() {
        if change.is_null() {
            result.remove(key);
        } else {
            let merged = apply_value(result.get(key), change);
            result.set(key, merged);
        }
    }
    result
}

/// A merge patch that makes `modified` out of `original`; `None` if they are equal.
pub fn create(original: &Value, modified: &Value) -> Option<Value> {
    let (Value::Map(old), Value::Map(new)) = (original, modified) else {
        return (original != modified).then(|| modified.clone());
    };
    let mut changes = BTreeMap::new();
    for (key, value) in new.iter() {
        match old.get(key) {
            Some(before) => changes.extend(create(before, value).map(|v| (key, v))),
            None => {
                changes.insert(key, value.clone());
            }
        }
    }
    for key in old.keys().filter(|k| !new.contains_key(k)) {
        changes.insert(key, Value::Null);
    }
    let entries: Vec<_> = changes.into_iter().map(|(k, v)| (k.into(), v)).collect();
    (!entries.is_empty()).then(|| Value::Map(entries.into_iter().collect()))
}

/// True if two merge patches give different values to the same place.
pub fn have_conflicts(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Map(l), Value::Map(r)) => l.iter().any(|(k, v)| r.get(k).is_some_and(|w| have_conflicts(v, w))),
        (Value::List(l), Value::List(r)) => l.len() != r.len() || l.iter().zip(r).any(|(v, w)| have_conflicts(v, w)),
        _ => left != right,
    }
}

/// The merge patch of `kubectl apply` for kinds without a schema: what `modified` adds to `current`, and what it dropped since
/// `original`. Corresponds to upstream's apimachinery/pkg/util/jsonmergepatch.
pub fn create_three_way(original: &Value, modified: &Value, current: &Value) -> Value {
    let additions = create(current, modified).map_or_else(Value::map, |p| keep(p, true));
    let deletions = create(original, modified).map_or_else(Value::map, |p| keep(p, false));
    merge_patches(deletions, additions)
}

/// Of a merge patch either all but the nulls, or the nulls alone; maps that become empty go, unless they came empty.
fn keep(patch: Value, additions: bool) -> Value {
    let Value::Map(members) = patch else { return patch };
    let mut out = Vec::new();
    for (key, value) in members {
        match value {
            Value::Null if additions => {}
            Value::Null => out.push((key, Value::Null)),
            Value::Map(ref inner) if inner.is_empty() && additions => out.push((key, value)),
            Value::Map(_) => {
                let kept = keep(value, additions);
                if !kept.is_zero() {
                    out.push((key, kept));
                }
            }
            other if additions => out.push((key, other)),
            _ => {}
        }
    }
    Value::Map(out.into_iter().collect())
}

fn merge_patches(mut first: Value, second: Value) -> Value {
    let Value::Map(members) = second else { return second };
    for (key, value) in members {
        let merged = match (first.get(&key).as_map(), &value) {
            (Some(_), Value::Map(_)) => merge_patches(first.remove(&key).unwrap_or_default(), value),
            _ => value,
        };
        first.set(&key, merged);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn rfc_cases() {
        for (doc, patch, want) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (r#"{"z":{"b":1,"a": 2}}"#, r#"{"y":1}"#, r#"{"y":1,"z":{"b":1,"a":2}}"#),
        ] {
            assert_eq!(String::from_utf8(apply(doc.as_bytes(), patch.as_bytes()).unwrap()).unwrap(), want);
        }
        assert_eq!(apply(b"{}", b"1").unwrap_err().to_string(), "Invalid JSON Patch");
    }

    #[test]
    fn created_patches_lead_there() {
        let (old, new) = (value!({"a": 1, "b": {"c": 1, "d": 2}}), value!({"b": {"c": 2}, "e": [1]}));
        let patch = create(&old, &new).unwrap();
        assert_eq!(patch, value!({"a": null, "b": {"c": 2, "d": null}, "e": [1]}));
        assert_eq!(apply_value(&old, &patch), new);
        assert_eq!(create(&old, &old), None);
    }

    #[test]
    fn three_way() {
        let original = value!({"a": 1, "b": 2});
        let modified = value!({"a": 2});
        let current = value!({"a": 1, "b": 2, "c": 3});
        assert_eq!(create_three_way(&original, &modified, &current), value!({"a": 2, "b": null}));
    }
}
