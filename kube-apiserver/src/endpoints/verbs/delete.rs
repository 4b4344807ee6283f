//! DELETE of an object or a collection.
//!
//! upstream: endpoints/handlers/delete.go

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use http::{Request, Response, StatusCode};

use super::super::dispatch::Scope;
use super::super::{body, decode, list_options, negotiation, options};
use super::admission::Admission;
use super::list;
use super::respond;
use crate::body::Body;
use crate::registry::DeleteOptions;
use crate::registry::admit::Operation;

/// Answers a DELETE of one object.
pub async fn delete(scope: Scope, http: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = scope.output(false)?;
    let options = read_options(&scope, http).await?;
    let cx = scope.context(Operation::Delete, options.dry_run, "");
    let admission = Admission::new(&scope, &options.raw, options.dry_run);
    let (answer, gone) = scope.store.delete(&scope.state, &cx, &options, &admission).await?;
    let accepted = !gone && options.orphan_dependents == Some(false);
    let code = if accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
    respond::object(&scope, code, answer, &output)
}

/// Answers a DELETE of a collection with the list of what was found.
pub async fn delete_collection(scope: Scope, http: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = scope.output(false)?;
    let info = &scope.info;
    let listing = list_options::parse(&scope.query, &scope.store.resource, &info.api_group, &info.api_version, "")?;
    let options = read_options(&scope, http).await?;
    let cx = scope.context(Operation::Delete, options.dry_run, "");
    let admission = Admission::new(&scope, &options.raw, options.dry_run);
    let found = scope.store.delete_collection(&scope.state, &cx, &listing.list, &options, &admission).await?;
    list::render(&scope, found, &output)
}

async fn read_options(scope: &Scope, http: Request<Body>) -> Result<DeleteOptions, ApiError> {
    let bytes = body::read(http.into_body()).await?;
    let raw: Value = if bytes.is_empty() {
        options::delete_from_query(&scope.query)?
    } else {
        let media = negotiation::input(&scope.headers)?;
        decode::delete_options(&bytes, media, &scope.served.api_version)?
    };
    options::delete(raw)
}
