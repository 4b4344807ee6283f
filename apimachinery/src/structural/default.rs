//! Sets defaults, and removes nulls that mean nothing.

use super::{Additional, Structural};
use crate::value::Value;

fn is_bad_null(value: &Value, schema: &Structural) -> bool {
    value.is_null() && !schema.nullable
}

/// Sets the defaults of the schema where nothing is given, or null where null is not allowed.
pub fn default(value: &mut Value, schema: &Structural) {
    match value {
        Value::Map(map) => {
            for (key, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                if map.get(key).is_none_or(|v| is_bad_null(v, property)) {
                    map.insert(&**key, default.clone());
                }
            }
            for (key, member) in map.iter_mut() {
                if let Some(property) = schema.properties.get(key) {
                    default(member, property);
                } else if let Additional::Schema(inner) = &schema.additional {
                    replace_null(member, inner);
                    default(member, inner);
                }
            }
        }
        Value::List(items) => {
            let Some(inner) = schema.items.as_deref() else { return };
            for item in items {
                replace_null(item, inner);
                default(item, inner);
            }
        }
        _ => {}
    }
}

fn replace_null(value: &mut Value, schema: &Structural) {
    if is_bad_null(value, schema)
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
}

/// Removes nulls where null is not allowed and no default would take their place.
pub fn prune_nulls(value: &mut Value, schema: Option<&Structural>) {
    match value {
        Value::Map(map) => map.retain(|key, member| {
            let inner = schema.and_then(|s| s.member(key));
            if inner.is_some_and(|s| is_bad_null(member, s) && s.default.is_none()) {
                return false;
            }
            prune_nulls(member, inner);
            true
        }),
        Value::List(items) => {
            let inner = schema.and_then(|s| s.items.as_deref());
            items.iter_mut().for_each(|item| prune_nulls(item, inner));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn defaults() {
        let schema = Structural::parse(&value!({"type": "object", "properties": {
            "a": {"type": "integer", "default": 1},
            "b": {"type": "object", "default": {}, "properties": {"c": {"type": "string", "default": "x"}}},
            "n": {"type": "string", "nullable": true, "default": "y"},
            "l": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string", "default": "z"}}}},
            "plain": {"type": "string"}
        }}));
        let mut object = value!({"a": null, "n": null, "l": [{}, {"k": "own"}], "plain": null});
        prune_nulls(&mut object, Some(&schema));
        default(&mut object, &schema);
        assert_eq!(object, value!({"a": 1, "b": {"c": "x"}, "n": null, "l": [{"k": "z"}, {"k": "own"}]}));
    }
}
