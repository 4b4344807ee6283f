//! POST: of a resource, of a create-like subresource, of a resource without storage.
//!
//! upstream: endpoints/handlers/create.go

use std::sync::Arc;

use apimachinery::codec::json;
use apimachinery::field::Errors;
use apimachinery::patch::apply;
use apimachinery::schema;
use apimachinery::status::ApiError;
use apimachinery::value::{Cursor, Value};
use http::{Method, Request, Response, StatusCode};

use super::super::decode::{self, Expected};
use super::super::dispatch::{self, Scope};
use super::super::negotiation::{self, Endpoint};
use super::super::options::{self, Kind};
use super::super::query::Query;
use super::super::{body, encode, responses};
use super::admission::Admission;
use super::{managed_fields, metadata, respond};
use crate::body::Body;
use crate::registry::Virtual;
use crate::registry::admit::Operation;
use crate::registry::store::{Guard, ensure_namespace};
use crate::registry::strategy::{Creater, RequestContext};
use crate::request::Authorized;
use crate::state::AppState;

/// Answers a POST to a collection.
pub async fn create(scope: Scope, http: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = scope.output(false)?;
    let media = negotiation::input(&scope.headers)?;
    let bytes = body::read(http.into_body()).await?;
    let options = options::write(&scope.query, Kind::Create)?;
    let expected = Expected {
        api_version: &scope.served.api_version,
        kind: &scope.store.resource.kind,
        schema: &scope.served.schema,
        custom: scope.custom_schema(),
        emptied: Some(&scope.emptied),
    };
    let mut object = decode::object(&bytes, media, expected, options.field_validation, &scope.warnings)?;
    drop(bytes);
    scope.default(&mut object);
    scope.store.stored.to_hub(&mut object, &scope.served);
    metadata::wipe_system_fields(&mut object);
    let is_namespace = !scope.store.resource.namespaced;
    ensure_namespace(&scope.info.namespace, !is_namespace, &mut object)?;
    let cx = scope.context(Operation::Create, options.dry_run, &options.field_manager);
    let admission = Admission::new(&scope, &options.raw, options.dry_run);
    metadata::dedup_owners(&mut object, &scope.warnings, false);
    object = managed_fields::update(&scope, &cx, &Value::Null, object);
    admission.admit(Operation::Create, &mut object, &Value::Null).await?;
    metadata::dedup_owners(&mut object, &scope.warnings, true);
    let stored = scope.store.create(&scope.state, &cx, object, &admission).await?;
    respond::object(&scope, StatusCode::CREATED, stored, &output)
}

/// Evictions may come in the version that is served no more.
const OLD_EVICTION: &str = "policy/v1beta1";

/// Answers a POST to a create-like subresource.
pub async fn create_subresource(
    scope: Scope,
    creater: &dyn Creater,
    http: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    let output = scope.output(false)?;
    let media = negotiation::input(&scope.headers)?;
    let bytes = body::read(http.into_body()).await?;
    let options = options::write(&scope.query, Kind::Create)?;
    let (mut api_version, kind) = scope.store.resource.subresource_kind(&scope.info.subresource, &scope.served);
    if kind == "Eviction" && json::type_meta(&bytes).is_ok_and(|(version, _)| version == OLD_EVICTION) {
        OLD_EVICTION.clone_into(&mut api_version);
    }
    let Some(schema) = schema::kind(&api_version, &kind) else {
        return Err(ApiError::internal(format!("no type {kind} in {api_version}")));
    };
    let expected = Expected { api_version: &api_version, kind: &kind, schema, custom: None, emptied: None };
    let mut object = decode::object(&bytes, media, expected, options.field_validation, &scope.warnings)?;
    crate::registry::defaulting::apply_to_object(&mut object);
    if scope.info.subresource != "binding" {
        // a binding's UID and resourceVersion are preconditions
        metadata::wipe_system_fields(&mut object);
    }
    ensure_namespace(&scope.info.namespace, true, &mut object)?;
    let cx = scope.context(Operation::Create, options.dry_run, &options.field_manager);
    let admission = Admission::new(&scope, &options.raw, options.dry_run).of_kind(&api_version, &kind);
    managed_fields::created(&cx, schema, &api_version, &kind, &mut object);
    admission.admit(Operation::Create, &mut object, &Value::Null).await?;
    validate(creater, &cx, &object, &kind, &api_version)?;
    admission.on_create(&object).await?;
    let created = creater.create(&scope.state, &cx, object).await?;
    if created.get("kind").as_str() == Some("Status") {
        return Ok(responses::status_object(StatusCode::CREATED, &created, &output, &scope.headers));
    }
    if created.get("kind").as_str() == Some(&*scope.store.resource.kind) {
        return respond::object(&scope, StatusCode::CREATED, created, &output);
    }
    respond::other(&scope, StatusCode::CREATED, &created, &output)
}

fn validate(
    creater: &dyn Creater,
    cx: &RequestContext,
    object: &Value,
    kind: &str,
    api_version: &str,
) -> Result<(), ApiError> {
    let mut errs = Errors::new();
    creater.validate(cx, Cursor::root(object), &mut errs);
    if errs.is_empty() {
        return Ok(());
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    Err(ApiError::invalid(group, kind, object.path(&["metadata", "name"]).str_or_empty(), &errs))
}

/// Answers a POST to a resource without storage, such as `subjectaccessreviews`.
pub async fn create_virtual(
    state: Arc<AppState>,
    resource: Virtual,
    request: Authorized,
    http: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    if !dispatch::virtual_scope(&resource, &request.info) {
        return Err(dispatch::not_found());
    }
    if http.method() != Method::POST {
        return Err(dispatch::method_not_allowed());
    }
    let headers = http.headers().clone();
    let query = Query::parse(http.uri().query().unwrap_or_default());
    let endpoint = Endpoint { tables: false, list: false, protobuf: true, routed: true };
    let output = negotiation::output(&headers, &query, endpoint)?;
    let media = negotiation::input(&headers)?;
    let bytes = body::read(http.into_body()).await?;
    let options = options::write(&query, Kind::Create)?;
    let expected = Expected {
        api_version: &resource.api_version,
        kind: resource.kind,
        schema: resource.schema,
        custom: None,
        emptied: None,
    };
    let mut object = decode::object(&bytes, media, expected, options.field_validation, &request.warnings)?;
    crate::registry::defaulting::apply_to_object(&mut object);
    if resource.namespaced {
        ensure_namespace(&request.info.namespace, true, &mut object)?;
    }
    let mut cx = resource.context(&request, &headers, options.dry_run);
    cx.field_manager = apply::manager_or_user_agent(&options.field_manager, &cx.user_agent);
    managed_fields::created(&cx, resource.schema, &resource.api_version, resource.kind, &mut object);
    validate(resource.creater, &cx, &object, resource.kind, &resource.api_version)?;
    let created = resource.creater.create(&state, &cx, object).await?;
    let body = match created.get("kind").as_str() {
        Some("Status") => {
            return Ok(responses::status_object(StatusCode::CREATED, &created, &output, &headers));
        }
        _ => encode::render(&created, resource.schema, &output)?,
    };
    Ok(responses::bytes(StatusCode::CREATED, body, &output, &headers))
}
