//! Who owns which field: the hook of writes into the field-set engine. Converts between the hub version, in which objects are
//! handled, and the request's version, in which their managers speak of them.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/managedfields/fieldmanager.go

mod reset;

use apimachinery::codec::{json, yaml};
use apimachinery::patch::apply::{self, ScaleFields, Write};
use apimachinery::schema::{self, Type, TypeRef};
use apimachinery::status::ApiError;
use apimachinery::structural;
use apimachinery::value::Value;
use bytes::Bytes;

use super::super::dispatch::Scope;
use super::super::encode::View;
use super::super::options::{FieldValidation, WriteOptions};
use super::scale;
use crate::registry::strategy::RequestContext;

const FIELDS: [&str; 2] = ["metadata", "managedFields"];

/// Records what an update (in the hub version) changed. `old` is null on create.
pub fn update(scope: &Scope, cx: &RequestContext, old: &Value, mut new: Value) -> Value {
    let view = View::whole(&scope.store, &scope.served);
    let live = if old.is_null() { Value::Null } else { view.shown(old.clone()) };
    let mut versioned = view.shown(new.clone());
    with_write(scope, cx, |write| apply::update(write, &live, &mut versioned, &cx.field_manager));
    take_fields(&mut new, &mut versioned);
    new
}

/// Records who set what in the body of a create-like endpoint.
pub fn created(cx: &RequestContext, ty: &Type, api_version: &str, kind: &str, object: &mut Value) {
    let now = cx.now_text();
    let write = Write { ty, api_version, kind, subresource: &cx.subresource, filter: None, now: &now, convert: None };
    apply::update(&write, &Value::Null, object, &cx.field_manager);
}

fn take_fields(to: &mut Value, from: &mut Value) {
    match from.remove_path(&FIELDS) {
        Some(fields) => to.set_path(&FIELDS, fields),
        None => drop(to.remove_path(&FIELDS)),
    }
}

/// Calls `act` with what the engine must know of the request.
fn with_write<T>(scope: &Scope, cx: &RequestContext, act: impl FnOnce(&Write<'_>) -> T) -> T {
    let filter = reset::filter(&cx.resource, &cx.subresource);
    let now = cx.now_text();
    let convert = |tree: &Value, version: &str| convert(scope, tree, version);
    act(&Write {
        ty: &scope.served.schema,
        api_version: &scope.served.api_version,
        kind: &scope.store.resource.kind,
        subresource: &cx.subresource,
        filter: filter.as_ref(),
        now: &now,
        convert: Some(&convert),
    })
}

/// A tree of the request's version as one of another served version.
fn convert(scope: &Scope, tree: &Value, version: &str) -> Option<(Value, TypeRef)> {
    let target = scope.store.resource.served.iter().find(|s| &*s.api_version == version)?;
    let mut object = retyped(tree, &scope.served.schema)?;
    scope.store.stored.to_hub(&mut object, &scope.served);
    scope.store.stored.from_hub(&mut object, target);
    let mut text = Vec::new();
    json::encode(&object, &target.schema, &mut text);
    Some((json::decode_untyped(&text).ok()?, target.schema.clone()))
}

fn retyped(tree: &Value, ty: &Type) -> Option<Value> {
    let mut text = Vec::new();
    json::encode_untyped(tree, &mut text);
    json::decode(&text, ty, &json::DecodeOptions::default()).ok().map(|d| d.value)
}

/// Merges an apply configuration into the object; `old` is null if there is none. The result is in the hub version.
///
/// # Errors
/// 400 for a bad configuration, 409 for fields that others own.
pub fn apply(
    scope: &Scope,
    cx: &RequestContext,
    old: &Value,
    configuration: &Bytes,
    options: &WriteOptions,
) -> Result<Value, ApiError> {
    let config = parse(configuration)?;
    let live = if old.is_null() { Value::Null } else { View::whole(&scope.store, &scope.served).shown(old.clone()) };
    let applied =
        with_write(scope, cx, |write| apply::apply(write, &live, &config, &options.field_manager, options.force));
    let mut object = applied?;
    check_duplicates(scope, configuration, options)?;
    if let Some(schema) = scope.custom_schema() {
        structural::prune(&mut object, schema, true);
    }
    scope.default(&mut object);
    scope.store.stored.to_hub(&mut object, &scope.served);
    Ok(object)
}

fn parse(configuration: &Bytes) -> Result<Value, ApiError> {
    let parsed = yaml::parse(configuration)
        .map_err(|e| ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {e}")))?;
    match parsed.value {
        Value::Null => Ok(Value::map()),
        value @ Value::Map(_) => Ok(value),
        other => Err(ApiError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            other.type_name()
        ))),
    }
}

/// Keys that are given twice: a warning or an error, after the configuration proved to be good otherwise.
fn check_duplicates(scope: &Scope, configuration: &Bytes, options: &WriteOptions) -> Result<(), ApiError> {
    if options.field_validation == FieldValidation::Ignore {
        return Ok(());
    }
    let Some(duplicates) = yaml::parse(configuration).ok().and_then(|p| p.duplicates()) else { return Ok(()) };
    let duplicates = format!("error converting YAML to JSON: {duplicates}");
    if options.field_validation == FieldValidation::Strict {
        return Err(ApiError::bad_request(format!("error strict decoding YAML: {duplicates}")));
    }
    scope.warnings.add(duplicates);
    Ok(())
}

/// What is written as a scale, and who owns its replicas.
pub struct ScaleOwners<'a> {
    cx: &'a RequestContext,
    api_version: String,
    fields: Value,
    replicas: Vec<String>,
}

impl<'a> ScaleOwners<'a> {
    /// The owners of the replicas of `object`, a workload.
    pub fn new(scope: &Scope, cx: &'a RequestContext, object: &Value) -> Self {
        Self {
            cx,
            api_version: scope.served.api_version.to_string(),
            fields: object.path(&FIELDS).clone(),
            replicas: scale::Places::of(scope).spec,
        }
    }

    fn between<T>(&self, act: impl FnOnce(&ScaleFields<'_>) -> Result<T, String>) -> Result<T, String> {
        let replicas: Vec<&str> = self.replicas.iter().map(String::as_str).collect();
        let path = Some(replicas.as_slice());
        let paths = [(self.api_version.as_str(), path), ("apps/v1beta1", path), ("apps/v1beta2", path)];
        act(&ScaleFields { entries: &self.fields, api_version: &self.api_version, paths: &paths })
    }

    /// Puts the owners into the scale.
    pub fn show(&self, scale: &mut Value) {
        if let Ok(fields @ Value::List(_)) = self.between(|f| f.to_scale()) {
            scale.set_path(&FIELDS, fields);
        }
    }

    /// The managed fields of the workload after the scale was written.
    pub fn of_object(&self, scale: &Value) -> Value {
        self.between(|f| f.to_object(scale.path(&FIELDS))).unwrap_or_else(|_| self.fields.clone())
    }

    fn with_write<T>(&self, act: impl FnOnce(&Write<'_>) -> T) -> T {
        let now = self.cx.now_text();
        act(&Write {
            ty: schema::kind(scale::API_VERSION, scale::KIND).expect("the type is in the table"),
            api_version: scale::API_VERSION,
            kind: scale::KIND,
            subresource: "scale",
            filter: None,
            now: &now,
            convert: None,
        })
    }

    /// Records what a write of the scale changed.
    pub fn update(&self, old: &Value, mut new: Value) -> Value {
        self.with_write(|write| apply::update(write, old, &mut new, &self.cx.field_manager));
        new
    }

    /// Merges an apply configuration into the scale.
    ///
    /// # Errors
    /// As [`apply`].
    pub fn apply(&self, old: &Value, configuration: &Bytes, options: &WriteOptions) -> Result<Value, ApiError> {
        let config = parse(configuration)?;
        self.with_write(|write| apply::apply(write, old, &config, &options.field_manager, options.force))
    }
}
