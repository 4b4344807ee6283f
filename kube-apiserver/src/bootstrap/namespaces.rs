//! The namespaces that always exist.
//!
//! upstream: pkg/controlplane/controller/systemnamespaces

use apimachinery::status::ApiError;
use apimachinery::value::Value;

use super::created;
use crate::loopback::{Loopback, Options};
use crate::objects::NAMESPACES;

const NAMES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "default"];

/// Makes those that are missing.
///
/// # Errors
/// What storage says.
pub async fn ensure(api: &Loopback) -> Result<(), ApiError> {
    for name in NAMES {
        if api.cached(NAMESPACES, "", name).is_some() {
            continue;
        }
        let meta: Value = [("name", name)].into();
        let namespace: Value =
            [("apiVersion", Value::from("v1")), ("kind", "Namespace".into()), ("metadata", meta)].into();
        created(api.create(NAMESPACES, "", &namespace, Options::default()).await)?;
    }
    Ok(())
}
