//! Merging a patch into an object, or a patch into a patch.

use super::super::PatchError;
use super::lists::{self, Elements};
use super::lookup::{PatchMeta, Schema};
use super::{
    DELETE, DELETE_FROM_PRIMITIVES, DIRECTIVE, MERGE, MergeOptions, REPLACE, RETAIN_KEYS, SET_ELEMENT_ORDER, as_list,
    as_map, bad_element_order, bad_primitive_list, bad_retain_keys, no_merge_key, parallel_key, same_type, unexpected,
};
use crate::quote::go_value;
use crate::value::{Map, Value};

/// `original` with `patch` merged into it.
pub(super) fn maps(
    mut original: Map,
    mut patch: Map,
    schema: Schema<'_>,
    options: MergeOptions,
) -> Result<Map, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some(REPLACE) => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some(DELETE) => Ok(Map::new()),
            _ => Err(unknown_directive(&patch)),
        };
    }
    apply_retain_keys(&mut original, &mut patch, options)?;
    apply_element_orders(&mut original, &mut patch, schema, options)?;
    for (key, change) in patch {
        merge_entry(&mut original, &key, change, schema, options)?;
    }
    Ok(original)
}

fn unknown_directive(map: &Map) -> PatchError {
    let directive = map.get(DIRECTIVE).map(go_value).unwrap_or_default();
    unexpected(format!("unknown patch type: {directive} in map: {}", go_value(&Value::Map(map.clone()))))
}

fn merge_entry(
    original: &mut Map,
    key: &str,
    change: Value,
    schema: Schema<'_>,
    options: MergeOptions,
) -> Result<(), PatchError> {
    let deletes = key.starts_with(DELETE_FROM_PRIMITIVES);
    if deletes && !options.carry_out {
        original.insert(key, change);
        return Ok(());
    }
    let key = if deletes { parallel_key(key, DELETE_FROM_PRIMITIVES, bad_primitive_list)? } else { key };
    if change.is_null() {
        original.remove(key);
        if options.drop_nulls {
            return Ok(());
        }
    }
    let fits = original.get(key).is_some_and(|old| same_type(old, &change));
    if !fits {
        if !deletes {
            take_over(original, key, change, options);
        }
        return Ok(());
    }
    let old = original.remove(key).unwrap_or_default();
    let merged = match (old, change) {
        (Value::Map(old), Value::Map(change)) => {
            let (subschema, meta) = schema.map(key)?;
            Value::Map(if meta.replaces() { change } else { maps(old, change, subschema, options)? })
        }
        (Value::List(old), Value::List(change)) => {
            let (subschema, meta) = schema.list(key)?;
            Value::List(merge_lists(old, change, subschema, meta, deletes, options)?)
        }
        (_, change) => change,
    };
    original.insert(key, merged);
    Ok(())
}

/// Sets a value that there is nothing to merge with.
fn take_over(original: &mut Map, key: &str, mut change: Value, options: MergeOptions) {
    if options.drop_nulls {
        discard_nulls(&mut change);
    }
    match remove_directives(change) {
        Some(value) => {
            original.insert(key, value);
        }
        None => {
            original.remove(key);
        }
    }
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.retain(|_, v| !v.is_null());
            map.iter_mut().for_each(|(_, v)| discard_nulls(v));
        }
        Value::List(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// The value without maps that are directives; `None` if it is one itself.
pub(super) fn remove_directives(value: Value) -> Option<Value> {
    match value {
        Value::Map(map) if map.contains_key(DIRECTIVE) => None,
        Value::Map(map) => {
            Some(Value::Map(map.into_iter().filter_map(|(k, v)| Some((k, remove_directives(v)?))).collect()))
        }
        Value::List(list) => Some(Value::List(list.into_iter().filter_map(remove_directives).collect())),
        other => Some(other),
    }
}

/// Carries out `$retainKeys`, or moves it over if patches are merged.
fn apply_retain_keys(original: &mut Map, patch: &mut Map, options: MergeOptions) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    if !options.carry_out {
        return match original.get(RETAIN_KEYS) {
            Some(there) if *there != keys => Err(unexpected(format!(
                "{} and {} are not deep equal: this may happen when calculating the 3-way diff patch",
                go_value(there),
                go_value(&keys)
            ))),
            _ => {
                original.insert(RETAIN_KEYS, keys);
                Ok(())
            }
        };
    }
    let keys = keys.as_list().ok_or_else(bad_retain_keys)?;
    let retained = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let parallel = |key: &str| key.starts_with(DELETE_FROM_PRIMITIVES) || key.starts_with(SET_ELEMENT_ORDER);
    if patch.iter().any(|(k, v)| !v.is_null() && !parallel(k) && !retained(k)) {
        return Err(bad_retain_keys());
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

/// Carries out every `$setElementOrder/…` together with the list it is about.
fn apply_element_orders(
    original: &mut Map,
    patch: &mut Map,
    schema: Schema<'_>,
    options: MergeOptions,
) -> Result<(), PatchError> {
    let directives: Vec<String> =
        patch.keys().filter(|k| k.starts_with(SET_ELEMENT_ORDER)).map(str::to_owned).collect();
    for directive in directives {
        let order = patch.remove(&directive).unwrap_or_default();
        if !options.carry_out {
            match original.get(&directive) {
                Some(there) if *there != order => return Err(bad_element_order()),
                _ => {
                    original.insert(directive.as_str(), order.clone());
                }
            }
        }
        let order = as_list(&order)?;
        let key = parallel_key(&directive, SET_ELEMENT_ORDER, bad_element_order)?;
        if let Some(list) = ordered_list(original, patch, key, order, schema, options)? {
            original.insert(key, Value::List(list));
            patch.remove(key);
        }
    }
    Ok(())
}

/// The list under `key` merged and put in order; nothing if neither side has it.
fn ordered_list(
    original: &Map,
    patch: &Map,
    key: &str,
    order: &[Value],
    schema: Schema<'_>,
    options: MergeOptions,
) -> Result<Option<Vec<Value>>, PatchError> {
    let old = original.get(key).map(as_list).transpose()?;
    let new = patch.get(key).map(as_list).transpose()?;
    let (subschema, meta) = schema.list(key)?;
    check_order(new.unwrap_or(&[]), order, meta.merge_key)?;
    let merged = match (old, new) {
        (None, None) => return Ok(None),
        (Some(old), None) => old.to_vec(),
        (None, Some(new)) => new.iter().cloned().filter_map(remove_directives).collect(),
        (Some(old), Some(new)) => merge_lists(old.to_vec(), new.to_vec(), subschema, meta, false, options)?,
    };
    let (in_patch, server_only) = lists::partition(merged, order, meta.merge_key)?;
    let (old, new) = (old.unwrap_or(&[]), new.unwrap_or(&[]));
    let elements = lists::element_type(&[old, new])?;
    lists::weave(in_patch, server_only, order, old, meta.merge_key, elements).map(Some)
}

/// The elements of the patch must be part of the order, in that order.
fn check_order(list: &[Value], order: &[Value], merge_key: &str) -> Result<(), PatchError> {
    if list.is_empty() || order.is_empty() {
        return Ok(());
    }
    let kept = if merge_key.is_empty() { list.to_vec() } else { lists::split_deletions(list.to_vec())?.0 };
    let (mut i, mut at) = (0, 0);
    while i < kept.len() && at < order.len() {
        if kept[i].has(DIRECTIVE) {
            i += 1;
            continue;
        }
        if same_element(&kept[i], &order[at], merge_key)? {
            i += 1;
        }
        at += 1;
    }
    if i < kept.len() && at >= order.len() {
        return Err(unexpected(format!(
            "The order in patch list:\n{}\n doesn't match {SET_ELEMENT_ORDER} list:\n{}\n",
            go_value(&Value::List(list.to_vec())),
            go_value(&Value::List(order.to_vec()))
        )));
    }
    Ok(())
}

/// True if both elements have the same merge key; without a merge key, if they are equal.
pub(super) fn same_element(a: &Value, b: &Value, merge_key: &str) -> Result<bool, PatchError> {
    if merge_key.is_empty() {
        return Ok(a == b);
    }
    let (a, b) = (as_map(a)?, as_map(b)?);
    let left = a.get(merge_key).ok_or_else(|| no_merge_key(a, merge_key))?;
    let right = b.get(merge_key).ok_or_else(|| no_merge_key(b, merge_key))?;
    Ok(left == right)
}

fn merge_lists(
    original: Vec<Value>,
    patch: Vec<Value>,
    schema: Schema<'_>,
    meta: PatchMeta<'_>,
    deletes: bool,
    options: MergeOptions,
) -> Result<Vec<Value>, PatchError> {
    if !meta.merges() && !deletes {
        return Ok(patch);
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let elements = lists::element_type(&[&original, &patch])?;
    if elements == Elements::Scalars {
        return merge_scalars(original, patch, meta.merge_key, deletes && options.carry_out);
    }
    if meta.merge_key.is_empty() {
        return Err(unexpected(format!("cannot merge lists without merge key for {}", schema.name())));
    }
    let (original, patch) = carry_out_elements(original, patch, meta.merge_key)?;
    let merged = merge_elements(original.clone(), &patch, schema, meta.merge_key, options)?;
    let (in_patch, server_only) = lists::partition(merged, &patch, meta.merge_key)?;
    lists::weave(in_patch, server_only, &patch, &original, meta.merge_key, elements)
}

fn merge_scalars(
    original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    if deletes {
        return Ok(original.into_iter().filter(|v| !patch.contains(v)).collect());
    }
    let merged = lists::deduplicate(original.iter().chain(&patch).cloned().collect());
    let (in_patch, server_only) = lists::partition(merged, &patch, merge_key)?;
    lists::weave(in_patch, server_only, &patch, &original, merge_key, Elements::Scalars)
}

/// Carries out the elements of the patch that are directives; returns the rest of both lists.
fn carry_out_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut rest = Vec::new();
    let mut replace = false;
    for element in patch {
        let map = as_map(&element)?;
        match map.get(DIRECTIVE).map(|d| d.as_str().unwrap_or("")) {
            None => rest.push(element),
            Some(DELETE) => {
                let key = map.get(merge_key).ok_or_else(|| no_merge_key(map, merge_key))?;
                original.retain(|v| v.get(merge_key) != key || !v.has(merge_key));
            }
            Some(REPLACE) => replace = true,
            Some(MERGE) => return Err(unexpected("merging lists cannot yet be specified in the patch")),
            Some(_) => return Err(unknown_directive(map)),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
}

fn merge_elements(
    mut original: Vec<Value>,
    patch: &[Value],
    schema: Schema<'_>,
    merge_key: &str,
    options: MergeOptions,
) -> Result<Vec<Value>, PatchError> {
    for element in patch {
        let map = as_map(element)?;
        let key = map.get(merge_key).ok_or_else(|| no_merge_key(map, merge_key))?;
        match lists::find(&original, merge_key, key)? {
            Some(at) => {
                let old = as_map(&original[at])?.clone();
                original[at] = Value::Map(maps(old, map.clone(), schema, options)?);
            }
            None => original.push(element.clone()),
        }
    }
    Ok(original)
}
