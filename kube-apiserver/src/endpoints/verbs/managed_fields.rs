//! Who owns which field: the hook of writes into the field-set engine.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/managedfields/fieldmanager.go

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use bytes::Bytes;

use super::super::dispatch::Scope;
use super::super::options::WriteOptions;
use crate::registry::strategy::RequestContext;

/// Records what an update (in the hub version) changed. `old` is null on create.
pub fn update(_scope: &Scope, _cx: &RequestContext, _old: &Value, new: Value) -> Value {
    new
}

/// Merges an apply configuration into the object; `old` is null if there is none.
///
/// # Errors
/// 400 for a bad configuration, 409 for fields that others own.
pub fn apply(
    _scope: &Scope,
    _cx: &RequestContext,
    _old: &Value,
    _configuration: &Bytes,
    _options: &WriteOptions,
) -> Result<Value, ApiError> {
    Err(ApiError::new(501, "".into(), "server-side apply is not there yet"))
}

/// Merges an apply configuration into a scale.
///
/// # Errors
/// As `apply`.
pub fn apply_scale(_scope: &Scope, _old: &Value, _configuration: &Bytes) -> Result<Value, ApiError> {
    Err(ApiError::new(501, "".into(), "server-side apply is not there yet"))
}
