//! GET of one object.
//!
//! upstream: endpoints/handlers/get.go

use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use http::{Response, StatusCode};

use super::super::dispatch::Scope;
use super::{respond, scale};
use crate::body::Body;
use crate::registry::store::parse_revision;

/// Answers a GET of an object or of a subresource that shows it.
pub async fn get(scope: Scope) -> Result<Response<Body>, ApiError> {
    let output = scope.output(false)?;
    refuse_export(&scope)?;
    let version = scope.query.text("resourceVersion");
    let about = scope.about();
    let existing = if version.is_empty() {
        scope.store.get_raw(about, scope.object_namespace(), &scope.info.name).await?
    } else {
        let revision = parse_revision(&version, "")?;
        scope.store.get_raw_since(about, scope.object_namespace(), &scope.info.name, revision).await?
    };
    if scope.info.subresource == "scale" {
        let object = scope.store.object(&existing.raw)?;
        return respond::other(&scope, StatusCode::OK, &scale::shown(&scope, &object)?, &output);
    }
    respond::cached(&scope, &existing.raw, &output)
}

fn refuse_export(scope: &Scope) -> Result<(), ApiError> {
    match scope.query.get("export") {
        Some(text) if !(text == "0" || text.eq_ignore_ascii_case("false")) => {
            let _ = quote(text);
            Err(ApiError::bad_request("the export parameter, deprecated since v1.14, is no longer supported"))
        }
        _ => Ok(()),
    }
}
