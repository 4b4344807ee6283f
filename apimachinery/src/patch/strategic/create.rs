//! Making patches: from two trees, or from three as `kubectl apply` does.

use super::super::PatchError;
use super::lists::{self, Elements};
use super::lookup::Schema;
use super::merge;
use super::{
    DELETE, DELETE_FROM_PRIMITIVES, DIRECTIVE, MergeOptions, RETAIN_KEYS, SET_ELEMENT_ORDER, as_map, bad_document,
    conflicts, no_merge_key, same_type, unexpected,
};
use crate::quote::go_value;
use crate::schema::Type;
use crate::value::{Map, Value};

/// Which differences go into a patch.
#[derive(Clone, Copy, Default)]
struct Diff {
    set_element_order: bool,
    ignore_changes: bool,
    ignore_deletions: bool,
    retain_keys: bool,
}

/// A patch that makes `modified` out of `original`; an empty map if there is nothing to change.
///
/// # Errors
/// If the trees do not fit the schema.
pub fn create_two_way(original: &Value, modified: &Value, ty: &Type) -> Result<Value, PatchError> {
    let options = Diff { set_element_order: true, ..Diff::default() };
    diff_maps(map_of(original)?, map_of(modified)?, Schema::Type(ty), options).map(Value::Map)
}

/// A patch that brings `current` to `modified` and takes away what `modified` dropped since `original`. None of the paths in
/// `unchanged` may be part of it. Without `overwrite` it must not change what was changed in `current` since `original`.
///
/// # Errors
/// If the trees do not fit the schema, a path of `unchanged` is part of the patch, or there is a conflict.
pub fn create_three_way(
    original: &Value,
    modified: &Value,
    current: &Value,
    ty: &Type,
    overwrite: bool,
    unchanged: &[&[&str]],
) -> Result<Value, PatchError> {
    let (original, modified, current) = (map_of(original)?, map_of(modified)?, map_of(current)?);
    let schema = Schema::Type(ty);
    let additions = Diff { set_element_order: true, ignore_deletions: true, ..Diff::default() };
    let deletions = Diff { set_element_order: true, ignore_changes: true, ..Diff::default() };
    let delta = diff_maps(current, modified, schema, additions)?;
    let dropped = diff_maps(original, modified, schema, deletions)?;
    let patch = merge::maps(dropped, delta, schema, MergeOptions { carry_out: false, drop_nulls: false })?;
    let patch = Value::Map(patch);
    if unchanged.iter().any(|path| has_path(&patch, path)) {
        return Err(PatchError::Precondition(format!("precondition failed for: {}", go_value(&patch))));
    }
    if !overwrite {
        let changed = Value::Map(diff_maps(original, current, schema, Diff::default())?);
        if conflicts::between(&patch, &changed, schema)? {
            return Err(PatchError::Conflict { patch: Box::new(patch), changed: Box::new(changed) });
        }
    }
    Ok(patch)
}

fn has_path(value: &Value, path: &[&str]) -> bool {
    path.split_last().is_some_and(|(last, parents)| value.path(parents).has(last))
}

fn map_of(value: &Value) -> Result<&Map, PatchError> {
    static EMPTY: Map = Map::new();
    match value {
        Value::Map(map) => Ok(map),
        Value::Null => Ok(&EMPTY),
        _ => Err(bad_document()),
    }
}

fn diff_maps(original: &Map, modified: &Map, schema: Schema<'_>, options: Diff) -> Result<Map, PatchError> {
    let mut patch = Map::new();
    for (key, new) in modified.iter() {
        match original.get(key) {
            None if options.ignore_changes => {}
            None => {
                patch.insert(key, new.clone());
            }
            Some(old) if key == DIRECTIVE => {
                let (Some(before), Some(after)) = (old.as_str(), new.as_str()) else {
                    return Err(unexpected(format!("invalid value for special key: {DIRECTIVE}")));
                };
                if before != after {
                    patch.insert(key, after);
                }
            }
            Some(old) => diff_entry(key, old, new, &mut patch, schema, options)?,
        }
    }
    if !options.ignore_deletions {
        for key in original.keys().filter(|k| !modified.contains_key(k)) {
            patch.insert(key, Value::Null);
        }
    }
    if options.retain_keys {
        add_retain_keys(original, modified, &mut patch);
    }
    Ok(patch)
}

fn add_retain_keys(original: &Map, modified: &Map, patch: &mut Map) {
    let keys: Vec<Value> = modified.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| Value::from(k)).collect();
    let dropped = original.iter().any(|(k, v)| !v.is_null() && !modified.contains_key(k));
    if !keys.is_empty() && (!patch.is_empty() || dropped) {
        patch.insert(RETAIN_KEYS, Value::List(lists::sort_scalars(keys)));
    }
}

fn diff_entry(
    key: &str,
    old: &Value,
    new: &Value,
    patch: &mut Map,
    schema: Schema<'_>,
    options: Diff,
) -> Result<(), PatchError> {
    let replace = |patch: &mut Map| {
        if !options.ignore_changes && old != new {
            patch.insert(key, new.clone());
        }
    };
    match (old, new) {
        _ if !same_type(old, new) => replace(patch),
        (Value::Map(before), Value::Map(after)) => {
            let (subschema, meta) = match schema.map(key) {
                Err(_) if old == new => return Ok(()),
                other => other?,
            };
            if meta.replaces() {
                if !options.ignore_changes {
                    patch.insert(key, new.clone());
                }
                return Ok(());
            }
            let inner = diff_maps(before, after, subschema, Diff { retain_keys: meta.retain_keys, ..options })?;
            if !inner.is_empty() {
                patch.insert(key, Value::Map(inner));
            }
        }
        (Value::List(before), Value::List(after)) => {
            let (subschema, meta) = match schema.list(key) {
                Err(_) if old == new => return Ok(()),
                other => other?,
            };
            if !meta.merges() {
                replace(patch);
                return Ok(());
            }
            let options = Diff { retain_keys: meta.retain_keys, ..options };
            let lists = diff_lists(before, after, subschema, meta.merge_key, options)?;
            lists.put(key, patch);
        }
        _ => replace(patch),
    }
    Ok(())
}

/// What a patch says about one list.
#[derive(Default)]
struct ListDiff {
    changes: Vec<Value>,
    deletions: Vec<Value>,
    order: Vec<Value>,
}

impl ListDiff {
    fn put(self, key: &str, patch: &mut Map) {
        let mut insert = |key: String, list: Vec<Value>| {
            if !list.is_empty() {
                patch.insert(key, Value::List(list));
            }
        };
        insert(key.to_owned(), self.changes);
        insert(format!("{DELETE_FROM_PRIMITIVES}/{key}"), self.deletions);
        insert(format!("{SET_ELEMENT_ORDER}/{key}"), self.order);
    }
}

fn diff_lists(
    original: &[Value],
    modified: &[Value],
    schema: Schema<'_>,
    merge_key: &str,
    options: Diff,
) -> Result<ListDiff, PatchError> {
    if original.is_empty() {
        let changes = if options.ignore_changes { Vec::new() } else { modified.to_vec() };
        return Ok(ListDiff { changes, ..ListDiff::default() });
    }
    match lists::element_type(&[original, modified])? {
        Elements::Maps => diff_lists_of_maps(original, modified, schema, merge_key, options),
        Elements::Scalars => diff_lists_of_scalars(original, modified, options),
    }
}

fn same_order(original: &[Value], modified: &[Value], merge_key: &str) -> Result<bool, PatchError> {
    if original.len() != modified.len() {
        return Ok(false);
    }
    for (old, new) in original.iter().zip(modified) {
        if !merge::same_element(old, new, merge_key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn diff_lists_of_maps(
    original: &[Value],
    modified: &[Value],
    schema: Schema<'_>,
    merge_key: &str,
    options: Diff,
) -> Result<ListDiff, PatchError> {
    let (changes, deletions) = diff_elements(original, modified, schema, merge_key, options)?;
    let mut changes = lists::sort_by_order(changes, modified, merge_key, Elements::Maps)?;
    let same_order = same_order(original, modified, merge_key)?;
    changes.extend(deletions);
    let touched = !changes.is_empty();
    let wanted = (!options.ignore_changes && (touched || !same_order)) || (!options.ignore_deletions && touched);
    let mut order = Vec::new();
    if options.set_element_order && wanted {
        for value in modified {
            let key = as_map(value)?.get(merge_key).cloned().unwrap_or_default();
            order.push(Value::Map([(merge_key.into(), key)].into_iter().collect()));
        }
    }
    Ok(ListDiff { changes, deletions: Vec::new(), order })
}

/// An element with its merge key's value, and how Go prints that.
struct Element<'a> {
    map: &'a Map,
    key: &'a Value,
    text: String,
}

fn sorted_elements<'a>(list: &'a [Value], merge_key: &str) -> Result<Vec<Element<'a>>, PatchError> {
    let mut out = Vec::new();
    for value in list {
        let map = as_map(value)?;
        let key = map.get(merge_key).ok_or_else(|| no_merge_key(map, merge_key))?;
        out.push(Element { map, key, text: go_value(key) });
    }
    out.sort_by(|a, b| a.text.cmp(&b.text));
    Ok(out)
}

/// Changed and added elements, and directives to delete those that are gone.
fn diff_elements(
    original: &[Value],
    modified: &[Value],
    schema: Schema<'_>,
    merge_key: &str,
    options: Diff,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (old, new) = (sorted_elements(original, merge_key)?, sorted_elements(modified, merge_key)?);
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let (mut changes, mut deletions) = (Vec::new(), Vec::new());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok((changes, deletions)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(o), Some(n)) => o.text.cmp(&n.text),
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        match (before, after) {
            (Some(before), Some(after)) => {
                let mut inner = diff_maps(before.map, after.map, schema, options)?;
                if !inner.is_empty() {
                    inner.insert(merge_key, after.key.clone());
                    changes.push(Value::Map(inner));
                }
            }
            (None, Some(after)) if !options.ignore_changes => changes.push(Value::Map(after.map.clone())),
            (Some(before), None) if !options.ignore_deletions => {
                let entries = [(merge_key.into(), before.key.clone()), (DIRECTIVE.into(), DELETE.into())];
                deletions.push(Value::Map(entries.into_iter().collect()));
            }
            _ => {}
        }
    }
}

fn diff_lists_of_scalars(original: &[Value], modified: &[Value], options: Diff) -> Result<ListDiff, PatchError> {
    let old = lists::sort_scalars(original.to_vec());
    let new = lists::sort_scalars(modified.to_vec());
    let (mut additions, mut deletions) = (Vec::new(), Vec::new());
    let (mut o, mut n) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (o.peek(), n.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => go_value(a).cmp(&go_value(b)),
        };
        let gone = if order.is_le() { o.next() } else { None };
        let added = if order.is_ge() { n.next() } else { None };
        match (gone, added) {
            (Some(value), None) if !options.ignore_deletions => deletions.push(value.clone()),
            (None, Some(value)) if !options.ignore_changes => additions.push(value.clone()),
            _ => {}
        }
    }
    let deletions = lists::deduplicate(deletions);
    let changes = lists::sort_by_order(additions, modified, "", Elements::Scalars)?;
    // Upstream compares with the original after sorting it in place.
    let wanted = (!options.ignore_deletions && !deletions.is_empty()) || (!options.ignore_changes && old != modified);
    let order = if options.set_element_order && wanted { modified.to_vec() } else { Vec::new() };
    Ok(ListDiff { changes, deletions, order })
}
