//! Removes what the schema does not know.

use super::{Additional, Structural, is_meta, joined};
use crate::value::{Map, Value};

/// Removes unknown fields and returns their paths, sorted. `root`: the value is the object itself, whose apiVersion, kind and metadata stay.
pub fn prune(value: &mut Value, schema: &Structural, root: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    if root && !schema.embedded_resource {
        walk(value, Some(&schema.as_resource()), "", &mut unknown);
    } else {
        walk(value, Some(schema), "", &mut unknown);
    }
    unknown.sort_unstable();
    unknown
}

fn walk(value: &mut Value, schema: Option<&Structural>, path: &str, unknown: &mut Vec<String>) {
    match (value, schema) {
        (value, Some(schema)) if schema.preserve_unknown => known_only(value, schema, path, unknown),
        (Value::Map(map), None) => {
            unknown.extend(map.keys().map(|k| joined(path, k)));
            *map = Map::new();
        }
        (Value::Map(map), Some(schema)) => map.retain(|key, member| {
            if schema.embedded_resource && is_meta(key) {
                return true;
            }
            let inner = match (schema.properties.get(key), &schema.additional) {
                (Some(property), _) => Some(Some(property)),
                (None, Additional::Schema(schema)) => Some(Some(&**schema)),
                (None, Additional::Allowed(_)) => Some(None),
                (None, Additional::Unset) => None,
            };
            match inner {
                Some(inner) => walk(member, inner, &joined(path, key), unknown),
                None if !is_meta(key) || !path.is_empty() => unknown.push(joined(path, key)),
                None => {}
            }
            inner.is_some()
        }),
        (Value::List(items), schema) => {
            let inner = schema.and_then(|s| s.items.as_deref());
            for (i, item) in items.iter_mut().enumerate() {
                walk(item, inner, &format!("{path}[{i}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Under preserved unknown fields only those with a schema are pruned inside.
fn known_only(value: &mut Value, schema: &Structural, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Map(map) => {
            for (key, member) in map.iter_mut() {
                if schema.embedded_resource && is_meta(key) {
                    continue;
                }
                if let Some(inner) = schema.member(key) {
                    walk(member, Some(inner), &joined(path, key), unknown);
                }
            }
        }
        Value::List(items) => {
            let Some(inner) = schema.items.as_deref() else { return };
            for (i, item) in items.iter_mut().enumerate() {
                known_only(item, inner, &format!("{path}[{i}]"), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn prunes() {
        let schema = Structural::parse(
            &value!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "a": {"type": "integer"},
                "l": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
                "p": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"in": {"type": "object"}}},
                "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"k": {"type": "string"}}}}
            }}}}),
        );
        let mut object = value!({"apiVersion": "x/v1", "kind": "W", "metadata": {"name": "x"}, "top": 1, "spec": {
            "a": 1, "z": 2, "l": [{"k": "x", "y": 1}], "p": {"any": 1, "in": {"gone": 1}}, "m": {"x": {"k": "v", "w": 1}}
        }});
        let unknown = prune(&mut object, &schema, true);
        assert_eq!(unknown, ["spec.l[0].y", "spec.m.x.w", "spec.p.in.gone", "spec.z", "top"]);
        assert_eq!(
            object.get("spec"),
            &value!({"a": 1, "l": [{"k": "x"}], "p": {"any": 1, "in": {}}, "m": {"x": {"k": "v"}}})
        );
        assert!(object.has("metadata"));
    }
}
