//! GET of `componentstatuses`, which are asked for and not stored.
//!
//! upstream: pkg/registry/core/componentstatus/rest.go

use std::sync::Arc;

use apimachinery::codec::protobuf;
use apimachinery::status::ApiError;
use http::Response;

use super::super::dispatch::{Scope, method_not_allowed};
use super::super::list_options;
use super::{list, respond};
use crate::body::Body;
use crate::connect::components;
use crate::registry::store::List;
use crate::storage::Entry;

/// Answers a GET of one or of all.
pub async fn components(scope: Scope, method: &http::Method) -> Result<Response<Body>, ApiError> {
    if method != http::Method::GET {
        return Err(method_not_allowed());
    }
    let name = scope.info.name.clone();
    let one = scope.info.parts.len() > 1;
    let output = scope.output(!one)?;
    let entries = components::all(scope.state.registry.etcd()).await.into_iter().map(|object| {
        let mut raw = Vec::new();
        protobuf::encode(&object, &scope.served.schema, &mut raw);
        let key = object.path(&["metadata", "name"]).str_or_empty().into();
        Arc::new(Entry { key, rv: 0, raw: raw.into() })
    });
    if one {
        // upstream names the resource in the singular here
        let missing = || ApiError::not_found("", "componentstatus", &name);
        let entry = entries.into_iter().find(|entry| *entry.key == *name).ok_or_else(missing)?;
        return respond::cached(&scope, &entry.raw, &output);
    }
    let listing = list_options::parse(&scope.query, &scope.store.resource, "", "v1", "")?;
    if listing.watch {
        return Err(ApiError::method_not_supported("", "componentstatuses", "watch"));
    }
    let entries = entries.filter(|entry| scope.store.selects(&listing.list.selection, entry)).collect();
    list::render(&scope, List { entries, revision: 0, continue_token: String::new(), remaining: None }, &output)
}
