//! The table form: columns out of the resource table, cells out of the strategy.
//!
//! upstream: registry/rest/table.go; endpoints/handlers/response.go: asTable

use apimachinery::codec::json;
use apimachinery::resources;
use apimachinery::schema;
use apimachinery::status::ApiError;
use apimachinery::value;
use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

use super::dispatch::Scope;
use super::encode::{self, Part, View};
use super::negotiation::Output;
use crate::registry::store::List;

/// What of the object a row carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

/// Reads `includeObject`.
///
/// # Errors
/// 400.
pub fn include(scope: &Scope) -> Result<Include, ApiError> {
    match scope.query.get("includeObject").unwrap_or_default() {
        "" | "Metadata" => Ok(Include::Metadata),
        "Object" => Ok(Include::Object),
        "None" => Ok(Include::None),
        other => Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
            apimachinery::quote::quote(other)
        ))),
    }
}

/// A table of one object in the hub version.
///
/// # Errors
/// 400 for bad options.
pub fn of_object(scope: &Scope, object: Value, version: &str, output: &Output) -> Result<Vec<u8>, ApiError> {
    let include = include(scope)?;
    let revision = object.path(&["metadata", "resourceVersion"]).clone();
    let mut table = empty(version, columns(scope));
    if !revision.is_null() {
        table.set_path(&["metadata", "resourceVersion"], revision);
    }
    table.set("rows", Value::List(vec![row(scope, object, include, version)]));
    render(&table, version, output)
}

/// A table of a list.
///
/// # Errors
/// 400 for bad options; 500 if an object does not decode.
pub fn of_list(scope: &Scope, list: &List, version: &str, output: &Output) -> Result<Vec<u8>, ApiError> {
    let include = include(scope)?;
    let mut rows = Vec::with_capacity(list.entries.len());
    for entry in &list.entries {
        rows.push(row(scope, scope.store.object(&entry.raw)?, include, version));
    }
    let mut table = empty(version, columns(scope));
    let meta = table.field_mut("metadata");
    if list.revision != 0 {
        meta.set("resourceVersion", list.revision.to_string());
    }
    if !list.continue_token.is_empty() {
        meta.set("continue", list.continue_token.as_str());
    }
    if let Some(remaining) = list.remaining {
        meta.set("remainingItemCount", remaining);
    }
    // upstream's table of kinds without columns of their own appends to rows that it never makes
    let columns = scope.store.resource.info.map_or(&[][..], |info| info.columns);
    let none = rows.is_empty() && matches!(columns, [_, created] if created.name == "Created At");
    table.set("rows", if none { Value::Null } else { Value::List(rows) });
    render(&table, version, output)
}

/// A table of a scale.
///
/// # Errors
/// 400 for bad options.
pub fn of_scale(scope: &Scope, scale: &Value, version: &str, output: &Output) -> Result<Vec<u8>, ApiError> {
    let include = include(scope)?;
    let columns = [("Name", "string"), ("Desired", "integer"), ("Available", "integer"), ("Age", "string")];
    let columns: Vec<Value> = columns.iter().map(|(name, ty)| plain(name, ty, "")).collect();
    let mut table = empty(version, columns);
    let meta = scale.get("metadata");
    table.set_path(&["metadata", "resourceVersion"], meta.get("resourceVersion").clone());
    let count = |part: &str| Value::Int(scale.path(&[part, "replicas"]).as_i64().unwrap_or(0));
    let cells = vec![
        meta.get("name").clone(),
        count("spec"),
        count("status"),
        Value::from(crate::registry::columns::age_of(scale, Timestamp::now())),
    ];
    let mut row = value!({"cells": Value::List(cells)});
    let shown = match include {
        Include::None => Value::Null,
        Include::Object => scale.clone(),
        Include::Metadata => value!({
            "apiVersion": format!("meta.k8s.io/{version}"),
            "kind": "PartialObjectMetadata",
            "metadata": meta.clone(),
        }),
    };
    if !shown.is_null() {
        let (api_version, kind) = match include {
            Include::Object => ("autoscaling/v1", "Scale"),
            _ => ("meta.k8s.io/v1", "PartialObjectMetadata"),
        };
        row.set("object", raw_json(&shown, schema::kind(api_version, kind).expect("the type is in the table")));
    }
    table.set("rows", Value::List(vec![row]));
    render(&table, version, output)
}

/// A table of one event of a watch, as compact JSON; only the first has headers.
///
/// # Errors
/// 500 if the object does not decode.
pub fn of_event(
    scope: &Scope,
    raw: &[u8],
    include: Include,
    version: &str,
    headers: bool,
    out: &mut Vec<u8>,
) -> Result<(), ApiError> {
    let object = scope.store.object(raw)?;
    let mut table = empty(version, columns(scope));
    if !headers {
        table.set("columnDefinitions", Value::Null);
    }
    table.set_path(&["metadata", "resourceVersion"], object.path(&["metadata", "resourceVersion"]).clone());
    table.set("rows", Value::List(vec![row(scope, object, include, version)]));
    let api_version = format!("meta.k8s.io/{version}");
    let ty = schema::kind(&api_version, "Table").expect("the type is in the table");
    json::encode(&table, ty, out);
    Ok(())
}

fn render(table: &Value, version: &str, output: &Output) -> Result<Vec<u8>, ApiError> {
    let api_version = format!("meta.k8s.io/{version}");
    let ty = schema::kind(&api_version, "Table").expect("the type is in the table");
    encode::render(table, ty, output)
}

fn column(name: &str, ty: &str, format: &str, description: &str, priority: i32) -> Value {
    value!({"name": name, "type": ty, "format": format, "description": description, "priority": priority})
}

/// A column that is described by its name alone.
fn plain(name: &str, ty: &str, format: &str) -> Value {
    column(name, ty, format, resources::column_text(name), 0)
}

/// An object as JSON that is part of another document.
fn raw_json(object: &Value, ty: &schema::Type) -> Value {
    let mut text = Vec::new();
    json::encode(object, ty, &mut text);
    Value::Raw(String::from_utf8(text).expect("JSON is UTF-8").into())
}

fn empty(version: &str, columns: Vec<Value>) -> Value {
    value!({
        "apiVersion": format!("meta.k8s.io/{version}"),
        "kind": "Table",
        "metadata": {},
        "columnDefinitions": Value::List(columns),
        "rows": [],
    })
}

fn columns(scope: &Scope) -> Vec<Value> {
    match scope.store.resource.info {
        Some(info) if !info.columns.is_empty() => {
            info.columns.iter().map(|c| column(c.name, c.ty, c.format, c.description, c.priority)).collect()
        }
        _ => match &scope.store.resource.custom {
            Some(custom) => {
                let own = custom.columns(&scope.served.api_version);
                let own = own.iter().map(|c| column(&c.name, &c.ty, &c.format, &c.description, c.priority));
                std::iter::once(plain("Name", "string", "name")).chain(own).collect()
            }
            None => vec![plain("Name", "string", "name"), plain("Created At", "date", "")],
        },
    }
}

fn row(scope: &Scope, object: Value, include: Include, version: &str) -> Value {
    let custom = scope.store.resource.custom.as_ref();
    let custom = custom.map(|c| c.cells(&scope.served.api_version, &object, Timestamp::now()));
    let cells = custom
        .or_else(|| scope.store.strategy.table_cells(Cursor::root(&object), Timestamp::now()))
        .unwrap_or_else(|| {
            let meta = object.get("metadata");
            vec![meta.get("name").clone(), meta.get("creationTimestamp").clone()]
        });
    let mut row = value!({"cells": Value::List(cells)});
    if let Some(conditions) = scope.store.strategy.table_conditions(Cursor::root(&object)) {
        row.set("conditions", conditions);
    }
    let whole = View::whole(&scope.store, &scope.served);
    let shown = match include {
        Include::None => return row,
        Include::Object => whole.shown(object),
        Include::Metadata => View { part: Part::Metadata(format!("meta.k8s.io/{version}")), ..whole }.shown(object),
    };
    let schema = match include {
        Include::Object => &*scope.served.schema,
        _ => schema::kind("meta.k8s.io/v1", "PartialObjectMetadata").expect("the type is in the table"),
    };
    row.set("object", raw_json(&shown, schema));
    row
}
