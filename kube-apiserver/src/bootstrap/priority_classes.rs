//! The two system priority classes.
//!
//! upstream: pkg/registry/scheduling/rest/storage_scheduling.go

use apimachinery::status::ApiError;

use super::{created, data};
use crate::loopback::{Loopback, Options};
use crate::objects::PRIORITY_CLASSES;

/// Makes those that are missing; existing ones are left alone.
///
/// # Errors
/// What storage says.
pub async fn ensure(api: &Loopback) -> Result<(), ApiError> {
    for class in data::objects(data::PRIORITY_CLASSES) {
        let name = class.path(&["metadata", "name"]).str_or_empty();
        if api.cached(PRIORITY_CLASSES, "", name).is_none() {
            created(api.create(PRIORITY_CLASSES, "", &class, Options::default()).await)?;
        }
    }
    Ok(())
}
