//! apiVersion, kind and metadata of custom resources and of the resources embedded in them: metadata is that of every object, whatever the schema says.

use super::{Additional, Structural, joined};
use crate::codec::json::{self, DecodeError, DecodeOptions, encode_untyped};
use crate::field::{Errors, Path};
use crate::meta::GroupVersion;
use crate::names;
use crate::object_meta;
use crate::schema::{Type, type_by_name};
use crate::value::{Cursor, Map, Value};

fn object_meta_type() -> &'static Type {
    type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").expect("it is in the table")
}

/// Reads metadata without a schema as ObjectMeta: the value in normal form, and the paths of unknown fields.
/// With `drop_invalid`, fields of a wrong type are left out instead of being an error.
pub fn decode_metadata(metadata: &Value, drop_invalid: bool) -> Result<(Value, Vec<String>), DecodeError> {
    match decode(metadata) {
        Err(_) if drop_invalid && metadata.as_map().is_some() => {
            let fields = metadata.entries().map(|(k, v)| Value::Map(Map::from_entries(vec![(k.into(), v.clone())])));
            let good = fields.filter_map(|field| decode(&field).ok());
            let (mut merged, mut unknown) = (Map::new(), Vec::new());
            for (value, paths) in good {
                if let Value::Map(map) = value {
                    map.into_iter().for_each(|(k, v)| drop(merged.insert(k, v)));
                }
                unknown.extend(paths);
            }
            Ok((Value::Map(merged), unknown))
        }
        result => result,
    }
}

fn decode(metadata: &Value) -> Result<(Value, Vec<String>), DecodeError> {
    let mut text = Vec::new();
    encode_untyped(metadata, &mut text);
    let decoded = json::decode(&text, object_meta_type(), &DecodeOptions::STRICT)?;
    let path = |error: &String| error.split('"').nth(1).map(str::to_owned);
    Ok((decoded.value, decoded.strict_errors.iter().filter_map(path).collect()))
}

/// Brings the metadata of embedded resources into form and returns the paths of unknown fields in it, sorted. `root`: that of the object itself too.
pub fn coerce(
    value: &mut Value,
    schema: &Structural,
    root: bool,
    drop_invalid: bool,
) -> Result<Vec<String>, crate::field::Error> {
    let mut unknown = Vec::new();
    if root && !schema.embedded_resource {
        walk(value, &schema.as_resource(), "", drop_invalid, &mut unknown)?;
    } else {
        walk(value, schema, "", drop_invalid, &mut unknown)?;
    }
    unknown.sort_unstable();
    Ok(unknown)
}

fn walk(
    value: &mut Value,
    schema: &Structural,
    path: &str,
    drop_invalid: bool,
    unknown: &mut Vec<String>,
) -> Result<(), crate::field::Error> {
    match value {
        Value::Map(map) => {
            if schema.embedded_resource {
                coerce_embedded(map, path, drop_invalid, unknown)?;
            }
            for (key, member) in map.iter_mut() {
                let inner_path = match (schema.properties.get(key), &schema.additional) {
                    (None, Additional::Schema(_)) => format!("{path}[{key}]"),
                    _ => joined(path, key),
                };
                if let Some(inner) = schema.member(key) {
                    walk(member, inner, &inner_path, drop_invalid, unknown)?;
                }
            }
        }
        Value::List(items) => {
            let Some(inner) = schema.items.as_deref() else { return Ok(()) };
            for (i, item) in items.iter_mut().enumerate() {
                walk(item, inner, &format!("{path}[{i}]"), drop_invalid, unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn coerce_embedded(
    map: &mut Map,
    path: &str,
    drop_invalid: bool,
    unknown: &mut Vec<String>,
) -> Result<(), crate::field::Error> {
    for key in ["apiVersion", "kind"] {
        let Some(bad) = map.get(key).filter(|v| v.as_str().is_none()) else { continue };
        if !drop_invalid {
            return Err(crate::field::Error::invalid(joined(path, key), bad, "must be a string"));
        }
        map.remove(key);
    }
    let Some(metadata) = map.get("metadata") else { return Ok(()) };
    let here = joined(path, "metadata");
    match decode_metadata(metadata, drop_invalid) {
        Ok((value, paths)) => {
            unknown.extend(paths.into_iter().map(|p| format!("{here}.{p}")));
            map.insert("metadata", value);
            Ok(())
        }
        Err(_) if drop_invalid => Ok(()),
        Err(error) => Err(crate::field::Error::invalid(here, metadata, error.to_string())),
    }
}

/// Checks apiVersion, kind and metadata of embedded resources. `path` is that of the value; empty at the root.
pub fn validate_metadata(value: &Value, schema: &Structural, path: &Path, errs: &mut Errors) {
    match value {
        Value::Map(map) => {
            if schema.embedded_resource {
                validate_embedded(value, path, errs);
            }
            for (key, member) in map.iter() {
                if let Some(property) = schema.properties.get(key) {
                    validate_metadata(member, property, &path.child(key), errs);
                } else if let Additional::Schema(inner) = &schema.additional {
                    validate_metadata(member, inner, &path.key(key), errs);
                }
            }
        }
        Value::List(items) => {
            let Some(inner) = schema.items.as_deref() else { return };
            items.iter().enumerate().for_each(|(i, item)| validate_metadata(item, inner, &path.index(i), errs));
        }
        _ => {}
    }
}

fn validate_embedded(value: &Value, path: &Path, errs: &mut Errors) {
    for key in ["apiVersion", "kind"] {
        if !value.has(key) {
            errs.required(path.child(key), "");
        }
    }
    for (key, member) in value.entries().filter(|(k, _)| matches!(*k, "apiVersion" | "kind")) {
        let here = path.child(key);
        match member.as_str() {
            None => errs.invalid(&here, member, "must be a string"),
            Some("") => errs.invalid(&here, "", "must not be empty"),
            Some(text) if key == "apiVersion" => {
                if let Err(error) = GroupVersion::parse(text) {
                    errs.invalid(&here, text, error.to_string());
                }
            }
            Some(text) => {
                let messages = names::dns1035_label(&text.to_lowercase());
                if !messages.is_empty() {
                    let message = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
                    errs.invalid(&here, text, message);
                }
            }
        }
    }
    let metadata = value.get("metadata");
    if metadata.is_null() {
        return;
    }
    let here = path.child("metadata");
    match decode_metadata(metadata, false) {
        Err(error) => errs.invalid(&here, metadata, error.to_string()),
        Ok((mut metadata, _)) => {
            if metadata.get("name").is_null() {
                // A name is not needed, but what validates it asks for one.
                metadata.set("name", "fakename");
            }
            let namespaced = !metadata.get("namespace").is_null();
            object_meta::validate(Cursor::with_base(&metadata, &here), namespaced, names::path_segment_name, errs);
        }
    }
}
