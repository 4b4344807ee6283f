//! Empty lists and maps of fields that are left out if empty. Normal form has none of them, as what is stored has none; but Go
//! has them between reading and writing, so defaulting takes them for something given, and messages show them.

use super::decode::shown_empty;
use crate::field::Path;
use crate::schema::{Form, Shape, Type};
use crate::value::Value;

/// Brings a value that was decoded with `keep_empty` into normal form. Returns what it had: the paths, and `{}` or `[]`.
pub fn drop_empty(value: &mut Value, ty: &Type) -> Vec<(Path, &'static str)> {
    let mut dropped = Vec::new();
    structure(value, ty, None, &mut dropped);
    dropped
}

fn structure(value: &mut Value, ty: &Type, path: Option<&Path>, dropped: &mut Vec<(Path, &'static str)>) {
    let (Form::Struct, Value::Map(map)) = (&ty.form, value) else { return };
    for field in ty.fields.iter() {
        let Some(member) = map.get_mut(&field.json_name) else { continue };
        let here = path.map_or_else(|| Path::root(&field.json_name), |path| path.child(&field.json_name));
        if let Some(text) = shown_empty(field, member) {
            map.remove(&field.json_name);
            dropped.push((here, text));
        } else {
            within(member, &field.shape, &here, dropped);
        }
    }
}

fn within(value: &mut Value, shape: &Shape, path: &Path, dropped: &mut Vec<(Path, &'static str)>) {
    match (shape, value) {
        (Shape::Struct(ty), value) => structure(value, ty, Some(path), dropped),
        (Shape::Nullable(element), value) => within(value, element, path, dropped),
        (Shape::List(element), Value::List(items)) => {
            items.iter_mut().enumerate().for_each(|(i, item)| within(item, element, &path.index(i), dropped));
        }
        (Shape::Map(element), Value::Map(map)) => {
            map.iter_mut().for_each(|(key, item)| within(item, element, &path.key(key), dropped));
        }
        (Shape::SchemaOrBool(ty) | Shape::SchemaOrArray(ty) | Shape::SchemaOrStrings(ty), value) => match value {
            Value::List(items) => {
                items.iter_mut().enumerate().for_each(|(i, item)| structure(item, ty, Some(&path.index(i)), dropped));
            }
            value => structure(value, ty, Some(path), dropped),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::drop_empty;
    use crate::codec::json::{DecodeOptions, decode};
    use crate::schema;

    #[test]
    fn empty_lists_are_kept_for_as_long_as_wanted() {
        let ty = schema::type_by_name("io.k8s.api.core.v1.Pod").unwrap();
        let text = br#"{"metadata": {"labels": {}}, "spec": {"volumes": [], "containers": [{"name": "c", "env": [], "resources": {"limits": {}}}]}}"#;
        let options = DecodeOptions { keep_empty: true, ..DecodeOptions::default() };
        let mut kept = decode(text, ty, &options).unwrap();
        assert!(kept.kept_empty);
        let plain = decode(text, ty, &DecodeOptions::default()).unwrap();
        assert!(!plain.kept_empty && kept.value != plain.value);
        let dropped = drop_empty(&mut kept.value, ty);
        let dropped: Vec<String> = dropped.iter().map(|(path, text)| format!("{path} {text}")).collect();
        let paths = [
            "metadata.labels {}",
            "spec.containers[0].env []",
            "spec.containers[0].resources.limits {}",
            "spec.volumes []",
        ];
        let mut sorted = dropped;
        sorted.sort_unstable();
        assert_eq!(sorted, paths);
        assert!(kept.value.path(&["spec", "volumes"]).is_null());
    }
}
