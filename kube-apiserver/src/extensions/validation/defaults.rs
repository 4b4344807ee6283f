//! Defaults in schemas: they must be valid themselves, and have no fields that would be pruned.
//! upstream: apiextensions-apiserver/pkg/apiserver/schema/defaulting/validation.go

use apimachinery::field::{BadValue, Error, Errors, Path};
use apimachinery::structural::{self, Structural};
use apimachinery::value::Value;

use super::schema::has_unknown_type;

/// Checks the defaults of a structural schema, which is the root of a resource.
pub(super) fn validate(schema: &Value, path: &Path, must_be_pruned: bool, errs: &mut Errors) {
    let mut root = Structural::parse(schema);
    root.embedded_resource = true;
    walk(&root, schema, path, false, must_be_pruned, errs);
}

/// True if a default has fields that the schema does not know.
pub(super) fn has_unpruned(schema: &Value) -> bool {
    fn check(schema: &Structural) -> bool {
        let unpruned = schema.default.as_ref().is_some_and(|default| is_unpruned(default, schema));
        unpruned || schema.items.as_deref().is_some_and(check) || schema.properties.values().any(check)
    }
    !schema.is_null() && check(&Structural::parse(schema))
}

fn is_unpruned(default: &Value, schema: &Structural) -> bool {
    let mut pruned = default.clone();
    structural::prune(&mut pruned, schema, schema.embedded_resource);
    pruned != *default
}

/// `raw` is what `schema` was read from.
fn walk(schema: &Structural, raw: &Value, path: &Path, in_meta: bool, must_be_pruned: bool, errs: &mut Errors) {
    let in_meta = in_meta && !schema.embedded_resource;
    if let Some(default) = &schema.default
        && !in_meta
    {
        let path = path.child("default");
        check(default, schema, &path, must_be_pruned, errs);
        unknown_type(default, raw, path, errs);
    }
    if let Some(items) = &schema.items {
        walk(items, raw.get("items"), &path.child("items"), in_meta, must_be_pruned, errs);
    }
    for (name, property) in &schema.properties {
        let in_meta = in_meta || schema.embedded_resource && matches!(&**name, "metadata" | "apiVersion" | "kind");
        let path = path.child("properties").key(name);
        walk(property, raw.path(&["properties", name]), &path, in_meta, must_be_pruned, errs);
    }
}

/// No text is of a type that there is not.
fn unknown_type(default: &Value, raw: &Value, path: Path, errs: &mut Errors) {
    if has_unknown_type(raw) && default.as_str().is_some() {
        let ty = raw.get("type").str_or_empty();
        errs.type_invalid(path, "string", format!(" in body must be of type {ty}: \"string\""));
    }
}

fn check(default: &Value, schema: &Structural, path: &Path, must_be_pruned: bool, errs: &mut Errors) {
    if must_be_pruned && is_unpruned(default, schema) {
        errs.invalid(path, BadValue::from(default), "must not have unknown fields");
    }
    let mut value = default.clone();
    if let Err(error) = structural::coerce(&mut value, schema, schema.embedded_resource, false) {
        return errs.push(below(path, error));
    }
    let mut wrong = Errors::new();
    structural::validate_metadata(&value, schema, path, &mut wrong);
    if wrong.is_empty() {
        wrong.extend(structural::validate(&value, schema).iter().cloned().map(|error| below(path, error)));
    }
    errs.extend(wrong.iter().cloned());
}

/// An error of a value, told at its place in the schema.
fn below(path: &Path, mut error: Error) -> Error {
    let field = error.field.as_str();
    error.field = match field {
        "" | "<nil>" => path.clone(),
        _ => Path::from(format!("{path}.{field}")),
    };
    error
}
