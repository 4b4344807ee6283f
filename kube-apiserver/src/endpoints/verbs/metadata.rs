//! What happens to metadata of bodies before the store sees them.
//!
//! upstream: registry/rest/meta.go; endpoints/handlers/rest.go: checkName, dedupOwnerReferences

use apimachinery::status::ApiError;
use apimachinery::value::Value;

use crate::request::Warnings;

/// Erases what only the server sets.
pub fn wipe_system_fields(object: &mut Value) {
    let meta = object.field_mut("metadata");
    for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        meta.remove(field);
    }
}

/// The object's name must be the one in the URL.
///
/// # Errors
/// 400.
pub fn check_name(object: &Value, name: &str, namespace: &str) -> Result<(), ApiError> {
    let meta = object.get("metadata");
    let has = meta.get("name").str_or_empty();
    if has.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if has != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({has}) does not match the name on the URL ({name})"
        )));
    }
    let in_namespace = meta.get("namespace").str_or_empty();
    if !namespace.is_empty() && !in_namespace.is_empty() && in_namespace != namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the object ({in_namespace}) does not match the namespace on the request ({namespace})"
        )));
    }
    Ok(())
}

/// Removes owner references that occur twice, with a warning.
pub fn dedup_owners(object: &mut Value, warnings: &Warnings, after_admission: bool) {
    let Some(owners) = object.path_mut(&["metadata", "ownerReferences"]).and_then(Value::as_list_mut) else { return };
    let mut kept: Vec<Value> = Vec::with_capacity(owners.len());
    let mut twice = Vec::new();
    for owner in owners.drain(..) {
        if kept.contains(&owner) {
            twice.push(owner.get("uid").str_or_empty().to_owned());
        } else {
            kept.push(owner);
        }
    }
    *owners = kept;
    if twice.is_empty() {
        return;
    }
    let when = if after_admission { " after mutating admission happens" } else { "" };
    warnings.add(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and \
         may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        twice.join(", ")
    ));
}
