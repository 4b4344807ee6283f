//! Order, search and removal in lists, as both making and merging patches need it.

use super::super::PatchError;
use super::{DELETE, DIRECTIVE, as_map, no_list_of_lists, no_merge_key, unexpected};
use crate::quote::go_value;
use crate::value::Value;

/// What all elements of some lists are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Elements {
    Maps,
    Scalars,
}

/// What the elements are; an error if they differ, are lists, or there are none.
pub(super) fn element_type(lists: &[&[Value]]) -> Result<Elements, PatchError> {
    let mut all = lists.iter().flat_map(|l| l.iter());
    let first = all.next().ok_or_else(|| unexpected("no elements in any of the given slices"))?;
    if first.as_list().is_some() {
        return Err(no_list_of_lists());
    }
    if all.any(|v| !super::same_type(first, v)) {
        let shown: Vec<String> = lists.iter().map(|l| go_value(&Value::List(l.to_vec()))).collect();
        return Err(unexpected(format!("list element types are not identical: [{}]", shown.join(" "))));
    }
    Ok(if first.as_map().is_some() { Elements::Maps } else { Elements::Scalars })
}

/// What identifies an element: the value of its merge key, or itself.
fn identity<'a>(value: &'a Value, merge_key: &str, elements: Elements) -> &'a Value {
    if elements == Elements::Maps { value.get(merge_key) } else { value }
}

fn position(order: &[Value], value: &Value, merge_key: &str, elements: Elements) -> Option<usize> {
    let wanted = identity(value, merge_key, elements);
    order.iter().position(|v| identity(v, merge_key, elements) == wanted)
}

/// The index of the map whose merge key has this value.
pub(super) fn find(list: &[Value], merge_key: &str, value: &Value) -> Result<Option<usize>, PatchError> {
    for (i, element) in list.iter().enumerate() {
        let Some(map) = element.as_map() else {
            return Err(unexpected(format!("value for key {i} is not a map")));
        };
        if map.get(merge_key) == Some(value) {
            return Ok(Some(i));
        }
    }
    Ok(None)
}

/// Elements in `by` and elements not in it, both in the order of `list`.
pub(super) fn partition(
    list: Vec<Value>,
    by: &[Value],
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for value in list {
        let found = if merge_key.is_empty() {
            by.contains(&value)
        } else {
            let map = as_map(&value)?;
            let key = map.get(merge_key).ok_or_else(|| no_merge_key(map, merge_key))?;
            find(by, merge_key, key)?.is_some()
        };
        if found { inside.push(value) } else { outside.push(value) }
    }
    Ok((inside, outside))
}

/// Elements to keep, and elements that say they are to be deleted.
pub(super) fn split_deletions(list: Vec<Value>) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut kept, mut deleted) = (Vec::new(), Vec::new());
    for value in list {
        let directive = as_map(&value)?.get(DIRECTIVE).and_then(Value::as_str);
        if directive == Some(DELETE) { deleted.push(value) } else { kept.push(value) }
    }
    Ok((kept, deleted))
}

/// `list` in the order of `order`; deletions last.
pub(super) fn sort_by_order(
    list: Vec<Value>,
    order: &[Value],
    merge_key: &str,
    elements: Elements,
) -> Result<Vec<Value>, PatchError> {
    let (list, deletions) = if elements == Elements::Maps {
        for value in list.iter().chain(order) {
            let map = as_map(value)?;
            map.get(merge_key).ok_or_else(|| no_merge_key(map, merge_key))?;
        }
        split_deletions(list)?
    } else {
        (list, Vec::new())
    };
    let mut placed: Vec<(Option<usize>, Value)> =
        list.into_iter().map(|v| (position(order, &v, merge_key, elements), v)).collect();
    if placed.iter().all(|(at, _)| at.is_some()) {
        placed.sort_by_key(|(at, _)| *at);
    } else {
        insertion_sort(&mut placed);
    }
    Ok(placed.into_iter().map(|(_, v)| v).chain(deletions).collect())
}

/// Upstream sorts elements without a place with a comparison that is always true; what comes of it depends on the algorithm.
fn insertion_sort(items: &mut [(Option<usize>, Value)]) {
    let less = |a: &Option<usize>, b: &Option<usize>| match (a, b) {
        (Some(a), Some(b)) => a < b,
        _ => true,
    };
    for i in 1..items.len() {
        let mut j = i;
        while j > 0 && less(&items[j].0, &items[j - 1].0) {
            items.swap(j, j - 1);
            j -= 1;
        }
    }
}

/// Elements of the patch and elements that only the server has, each in its own order, woven together by the server's order.
pub(super) fn weave(
    patch: Vec<Value>,
    server_only: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    merge_key: &str,
    elements: Elements,
) -> Result<Vec<Value>, PatchError> {
    let patch = sort_by_order(patch, patch_order, merge_key, elements)?;
    let server_only = sort_by_order(server_only, server_order, merge_key, elements)?;
    let place = |v: &Value| position(server_order, v, merge_key, elements);
    let mut right = patch.into_iter().map(|v| (place(&v), v)).peekable();
    let mut left = server_only.into_iter().map(|v| (place(&v), v)).peekable();
    let mut out = Vec::new();
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((l, _)), Some((r, _))) => matches!((l, r), (Some(l), Some(r)) if l < r),
        };
        let next = if take_left { left.next() } else { right.next() };
        out.extend(next.map(|(_, v)| v));
    }
}

/// Drops later duplicates; the last element takes the place of one that goes, as upstream does it.
pub(super) fn deduplicate(mut list: Vec<Value>) -> Vec<Value> {
    let mut i = 0;
    while i < list.len() {
        let mut j = i + 1;
        while j < list.len() {
            if list[i] == list[j] {
                list.swap_remove(j);
            } else {
                j += 1;
            }
        }
        i += 1;
    }
    list
}

/// Sorted by how Go prints them.
pub(super) fn sort_scalars(mut list: Vec<Value>) -> Vec<Value> {
    list.sort_by_cached_key(go_value);
    list
}
