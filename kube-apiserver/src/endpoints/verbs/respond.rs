//! One object as the answer: whole, as metadata, or as a table.
//!
//! upstream: endpoints/handlers/response.go: transformResponseObject

use apimachinery::schema;
use apimachinery::status::{ApiError, Reason};
use apimachinery::value::Value;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::super::dispatch::Scope;
use super::super::encode::{self, Part, View};
use super::super::negotiation::Output;
use super::super::{responses, table};
use crate::body::Body;

/// Answers with an object in cached form.
pub fn cached(scope: &Scope, raw: &Bytes, output: &Output) -> Result<Response<Body>, ApiError> {
    let Some(convert) = &output.convert else {
        let body = View::whole(&scope.store, &scope.served).render(raw, output)?;
        return Ok(responses::bytes(StatusCode::OK, body, output, &scope.headers));
    };
    let _ = convert;
    object(scope, StatusCode::OK, scope.store.object(raw)?, output)
}

/// Answers with an object in the hub version, or with a Status.
pub fn object(scope: &Scope, code: StatusCode, object: Value, output: &Output) -> Result<Response<Body>, ApiError> {
    if object.get("kind").as_str() == Some("Status") && object.get("apiVersion").as_str() == Some("v1") {
        return Ok(responses::status_object(code, &object, output, &scope.headers));
    }
    let view = View::whole(&scope.store, &scope.served);
    let body = match &output.convert {
        None => view.render_object(object, output)?,
        Some(convert) => match convert.kind.as_str() {
            "PartialObjectMetadata" => {
                View { part: Part::Metadata(convert.api_version()), ..view }.render_object(object, output)?
            }
            "Table" => table::of_object(scope, object, &convert.version, output)?,
            other => return Err(not_a_list(scope, other)),
        },
    };
    Ok(responses::bytes(code, body, output, &scope.headers))
}

/// Answers with a tree of any static type, with apiVersion and kind. Of these only scales have a table form.
pub fn other(scope: &Scope, code: StatusCode, value: &Value, output: &Output) -> Result<Response<Body>, ApiError> {
    if let Some(convert) = output.convert.as_ref().filter(|c| c.kind == "Table") {
        if value.get("kind").as_str() != Some("Scale") {
            return Err(ApiError::not_acceptable(&["application/json", "application/yaml"]));
        }
        let body = table::of_scale(scope, value, &convert.version, output)?;
        return Ok(responses::bytes(code, body, output, &scope.headers));
    }
    let (api_version, kind) = (value.get("apiVersion").str_or_empty(), value.get("kind").str_or_empty());
    let ty = schema::kind(api_version, kind)
        .ok_or_else(|| ApiError::internal(format!("no type {kind} in {api_version}")))?;
    let body = encode::render(value, ty, output)?;
    Ok(responses::bytes(code, body, output, &scope.headers))
}

/// The internal Go type of an object, which some messages show.
pub fn go_type(scope: &Scope, suffix: &str) -> String {
    let group = scope.store.resource.group.split('.').next().unwrap_or_default();
    let package = if group.is_empty() { "core" } else { group };
    format!("*{package}.{}{suffix}", scope.store.resource.kind)
}

fn not_a_list(scope: &Scope, kind: &str) -> ApiError {
    let go = go_type(scope, "");
    not_acceptable(format!("you requested {kind}, but the requested object is not a list ({go})"))
}

/// 406 with a message of its own.
pub fn not_acceptable(message: String) -> ApiError {
    ApiError::new(406, Reason::NotAcceptable, message)
}
