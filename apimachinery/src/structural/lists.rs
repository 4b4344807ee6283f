//! Sets have no element twice, and no two elements of a map list have the same keys.

use std::collections::HashMap;

use super::{Additional, Structural};
use crate::codec::json::to_string;
use crate::field::{BadValue, Errors, Path};
use crate::schema::ListType;
use crate::value::{Map, Value};

/// Checks all lists of an object. `path` is that of the object; empty at the root.
pub fn validate_lists(value: &Value, schema: &Structural, path: &Path, errs: &mut Errors) {
    match value {
        Value::Map(map) => {
            if let Additional::Schema(inner) = &schema.additional {
                map.iter().for_each(|(k, v)| validate_lists(v, inner, &path.key(k), errs));
            }
            for (key, member) in map.iter() {
                if let Some(property) = schema.properties.get(key) {
                    validate_lists(member, property, &path.child(key), errs);
                }
            }
        }
        Value::List(items) => {
            match schema.list_type {
                ListType::Set => {
                    for i in repeated(items.iter()) {
                        errs.duplicate(path.index(i), &items[i]);
                    }
                }
                ListType::Map => map_list(items, schema, path, errs),
                _ => {}
            }
            if let Some(inner) = &schema.items {
                items.iter().enumerate().for_each(|(i, item)| validate_lists(item, inner, &path.index(i), errs));
            }
        }
        _ => {}
    }
}

fn map_list(items: &[Value], schema: &Structural, path: &Path, errs: &mut Errors) {
    if let Some(i) = items.iter().position(|item| !matches!(item, Value::Map(_) | Value::Null)) {
        return errs.invalid(path.index(i), &items[i], "must be an object for an array of list-type map");
    }
    let key_of = |item: &Value| {
        let keys = schema.list_map_keys.iter().filter(|k| item.has(k));
        Value::Map(keys.map(|k| (k.into(), item.get(k).clone())).collect::<Map>())
    };
    let keys: Vec<Value> = items.iter().map(key_of).collect();
    for i in repeated(keys.iter()) {
        errs.duplicate(path.index(i), BadValue::json(to_string(&keys[i])));
    }
}

/// Indexes of the second occurrences of values.
fn repeated<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (i, value) in values.enumerate() {
        let times = seen.entry(to_string(value)).or_default();
        *times += 1;
        if *times == 2 {
            found.push(i);
        }
    }
    found
}
