//! Walks over one value: what it owns, whether it fits the schema, what is left without some fields.

use super::schema::{Kind, ListAtom, MapAtom, Node, Scalar, element_of};
use super::set::{FieldPath, FieldSet, PathElement};
use crate::quote::quote;
use crate::value::{Map, Value};

/// Everything that `value` mentions.
pub(super) fn field_set(value: &Value, node: Node<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    collect(value, node, &mut Vec::new(), &mut set);
    set
}

fn collect(value: &Value, node: Node<'_>, path: &mut FieldPath, set: &mut FieldSet) {
    match node.resolve().deduce(Some(value)).kind() {
        Kind::Scalar(_) => set.insert(path),
        Kind::List(list) if !list.associative => set.insert(path),
        Kind::Map(map) if map.atomic => set.insert(path),
        Kind::List(list) => collect_items(value, &list, path, set),
        Kind::Map(map) => {
            for (key, item) in value.entries() {
                path.push(PathElement::field(key));
                if let Some(node) = map.member(key) {
                    collect(item, node, path, set);
                }
                let empty = item.is_null() || item.as_map().is_some_and(Map::is_empty);
                if empty || map.field(key).is_none() {
                    set.insert(path);
                }
                path.pop();
            }
        }
    }
}

fn collect_items(value: &Value, list: &ListAtom<'_>, path: &mut FieldPath, set: &mut FieldSet) {
    let items = index(value.items(), list);
    for (element, found) in &items {
        path.push(element.clone());
        if let [item] = found[..] {
            collect(item, list.element, path, set);
        }
        set.insert(path);
        path.pop();
    }
}

/// The elements of an associative list in order of first appearance, each with all values it has. Those that cannot be told
/// apart are left out.
pub(super) fn index<'v>(items: &'v [Value], list: &ListAtom<'_>) -> Vec<(PathElement, Vec<&'v Value>)> {
    let mut order: Vec<(PathElement, Vec<&Value>)> = Vec::with_capacity(items.len());
    let mut known: std::collections::BTreeMap<PathElement, usize> = std::collections::BTreeMap::new();
    for item in items {
        let Ok(element) = element_of(list, item) else { continue };
        match known.get(&element) {
            Some(at) => order[*at].1.push(item),
            None => {
                known.insert(element.clone(), order.len());
                order.push((element, vec![item]));
            }
        }
    }
    order
}

/// What is wrong with `value`, each with its path.
pub(super) fn validate(value: &Value, node: Node<'_>, duplicates: bool) -> Result<(), String> {
    let mut errors = Vec::new();
    check(value, node, duplicates, &mut Vec::new(), &mut errors);
    match &errors[..] {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n{}", many.iter().map(|e| format!("  {e}")).collect::<Vec<_>>().join("\n"))),
    }
}

fn complain(path: &[PathElement], message: impl std::fmt::Display, errors: &mut Vec<String>) {
    let path = super::set::path_text(path);
    errors.push(if path.is_empty() { message.to_string() } else { format!("{path}: {message}") });
}

fn check(value: &Value, node: Node<'_>, duplicates: bool, path: &mut FieldPath, errors: &mut Vec<String>) {
    match node.resolve().deduce(Some(value)).kind() {
        _ if value.is_null() => {}
        Kind::Scalar(scalar) => {
            if let Err(message) = check_scalar(scalar, value) {
                complain(path, message, errors);
            }
        }
        Kind::List(list) => match value.as_list() {
            Some(items) => check_items(items, &list, duplicates, path, errors),
            None => complain(path, format!("expected list, got {}", shown(value)), errors),
        },
        Kind::Map(map) => match value.as_map() {
            Some(entries) => check_entries(entries, &map, duplicates, path, errors),
            None => complain(path, format!("expected map, got {}", shown(value)), errors),
        },
    }
}

/// A wrapped value as Go prints it.
fn shown(value: &Value) -> String {
    format!("&{{{}}}", crate::quote::go_value(value))
}

/// Whether a scalar fits; null always does.
pub(super) fn check_scalar(scalar: Scalar, value: &Value) -> Result<(), String> {
    let fits = match scalar {
        _ if value.is_null() => true,
        Scalar::Numeric => matches!(value, Value::Int(_) | Value::Float(_)),
        Scalar::String => matches!(value, Value::Str(_)),
        Scalar::Boolean => matches!(value, Value::Bool(_)),
        Scalar::Untyped => matches!(value, Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Bool(_)),
    };
    if fits {
        return Ok(());
    }
    Err(match scalar {
        Scalar::Numeric => format!("expected numeric (int or float), got {}", go_type(value)),
        Scalar::String => format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)),
        Scalar::Boolean => format!("expected boolean, got {}", shown(value)),
        Scalar::Untyped => format!("expected any scalar, got {}", shown(value)),
    })
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
        _ => "string",
    }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Str(s) => quote(s),
        Value::List(l) => format!("[]interface {{}}{{{}}}", l.iter().map(go_syntax).collect::<Vec<_>>().join(", ")),
        Value::Map(m) => {
            let entries: Vec<String> = m.iter().map(|(k, v)| format!("{}:{}", quote(k), go_syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        other => crate::quote::go_value(other),
    }
}

fn check_items(items: &[Value], list: &ListAtom<'_>, duplicates: bool, path: &mut FieldPath, errors: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        let element = if list.associative {
            match element_of(list, item) {
                Ok(element) => element,
                Err(message) => return complain(path, format!("element {i}: {message}"), errors),
            }
        } else {
            PathElement::Index(i64::try_from(i).unwrap_or(i64::MAX))
        };
        if list.associative && !seen.insert(element.clone()) && !duplicates {
            complain(path, format!("duplicate entries for key {element}"), errors);
        }
        path.push(element);
        check(item, list.element, duplicates, path, errors);
        path.pop();
    }
}

fn check_entries(entries: &Map, map: &MapAtom<'_>, duplicates: bool, path: &mut FieldPath, errors: &mut Vec<String>) {
    for (key, item) in entries.iter() {
        path.push(PathElement::field(key));
        match map.member(key) {
            Some(node) => check(item, node, duplicates, path, errors),
            None => {
                complain(path, "field not declared in schema", errors);
                path.pop();
                return;
            }
        }
        path.pop();
    }
}

/// `value` without `gone`. Containers that lose everything stay as empty ones, unless they are the root.
pub(super) fn remove(value: &Value, gone: &FieldSet, node: Node<'_>) -> Value {
    match node.resolve().deduce(Some(value)).kind() {
        Kind::Scalar(_) => value.clone(),
        Kind::List(list) if list.associative => remove_items(value.items(), gone, &list),
        Kind::Map(map) if !map.atomic => remove_entries(value, gone, &map),
        _ => Value::Null,
    }
}

fn remove_below(item: &Value, below: &FieldSet, node: Node<'_>) -> Value {
    match (remove(item, below, node), item) {
        (Value::Null, Value::Map(_)) => Value::map(),
        (Value::Null, Value::List(_)) => Value::List(Vec::new()),
        (rest, _) => rest,
    }
}

fn remove_items(items: &[Value], gone: &FieldSet, list: &ListAtom<'_>) -> Value {
    let mut touched = false;
    let mut rest = Vec::new();
    for item in items {
        let element = element_of(list, item).ok();
        if element.as_ref().is_some_and(|e| gone.has_member(e)) {
            continue;
        }
        match element.and_then(|e| gone.child(&e)).filter(|s| !s.is_empty()) {
            Some(below) => {
                touched = true;
                rest.push(remove_below(item, below, list.element));
            }
            None => rest.push(item.clone()),
        }
    }
    if rest.is_empty() && !touched { Value::Null } else { Value::List(rest) }
}

fn remove_entries(value: &Value, gone: &FieldSet, map: &MapAtom<'_>) -> Value {
    let mut touched = false;
    let mut rest = Vec::new();
    for (key, item) in value.entries() {
        let element = PathElement::field(key);
        if gone.has_member(&element) {
            continue;
        }
        let below = gone.child(&element).filter(|s| !s.is_empty());
        let kept = match (below, map.member(key)) {
            (Some(below), Some(node)) => {
                touched = true;
                remove_below(item, below, node)
            }
            _ => item.clone(),
        };
        rest.push((key.into(), kept));
    }
    if rest.is_empty() && !touched { Value::Null } else { Value::Map(rest.into_iter().collect()) }
}

/// A field set made to fit a schema in which parts became atomic since; nothing if it fits.
pub(super) fn reconcile(set: &FieldSet, node: Node<'_>) -> Option<FieldSet> {
    let mut changed = FieldSet::default();
    find_atomic(Some(set), node, false, &mut Vec::new(), &mut changed);
    (!changed.is_empty()).then(|| set.recursive_difference(&changed).union(&changed))
}

fn find_atomic(set: Option<&FieldSet>, node: Node<'_>, owned: bool, path: &mut FieldPath, changed: &mut FieldSet) {
    let kind = node.resolve().kind();
    let (atomic, map) = match kind {
        Kind::Scalar(_) => return,
        Kind::List(list) => (!list.associative, None),
        Kind::Map(map) if map.ty.is_none_or(|t| t.fields.is_empty()) && matches!(map.element, Some(Node::Deduced)) => {
            return;
        }
        Kind::Map(map) => (map.atomic, Some(map)),
    };
    if !owned && atomic {
        if map.is_none() || set.is_some_and(|s| !s.is_empty()) {
            changed.insert(path);
        }
        return;
    }
    let Some(set) = set else { return };
    let only_children = set.children.iter().map(|c| &c.0).filter(|e| !set.has_member(e)).map(|e| (e, false));
    for (element, is_member) in only_children.chain(set.members.iter().map(|e| (e, true))) {
        let below = match (kind, element) {
            (Kind::List(list), _) => Some(list.element),
            (Kind::Map(map), PathElement::Field(name)) => map.member(name),
            (Kind::Map(map), _) => map.element,
            (Kind::Scalar(_), _) => None,
        };
        let Some(below) = below else { continue };
        let children = set.child(element);
        path.push(element.clone());
        find_atomic(children, below, is_member && children.is_none(), path, changed);
        path.pop();
    }
}
