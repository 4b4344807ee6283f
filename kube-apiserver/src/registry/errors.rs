//! Storage errors as the API answers them.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/registry/generic/registry and pkg/api/errors/storage

use apimachinery::status::{ApiError, Cause, Details};

use crate::storage::StorageError;

/// What was asked of storage, for messages.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// API group of the request.
    pub group: &'a str,
    /// Plural name of the resource.
    pub resource: &'a str,
    /// Name of the object.
    pub name: &'a str,
}

impl About<'_> {
    /// 404.
    pub fn not_found(&self) -> ApiError {
        ApiError::not_found(self.group, self.resource, self.name)
    }

    /// 409 of an optimistic lock that failed.
    pub fn stale(&self) -> ApiError {
        ApiError::conflict(
            self.group,
            self.resource,
            self.name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// Any storage error.
    pub fn error(&self, error: StorageError) -> ApiError {
        match error {
            StorageError::NotFound { .. } => self.not_found(),
            StorageError::Exists { .. } => ApiError::already_exists(self.group, self.resource, self.name),
            StorageError::Precondition { .. } => ApiError::conflict(self.group, self.resource, self.name, error),
            StorageError::Compacted => ApiError::expired("The resourceVersion for the provided watch is too old."),
            StorageError::FutureRevision { wanted, current } => too_large_revision(wanted, current),
            StorageError::NotReady => ApiError::too_many_requests("storage is (re)initializing", 1),
            StorageError::TooLarge | StorageError::LeaseGone | StorageError::Refused(_) => {
                ApiError::new(500, "".into(), error.to_string())
            }
            StorageError::Timeout => ran_out_of_time(),
            StorageError::Corrupt { .. } => ApiError::internal(error),
            StorageError::Etcd(ref cause) => {
                tracing::warn!(error = %cause, resource = self.resource, "etcd request failed");
                ApiError::new(500, "".into(), format!("rpc error: code = Unavailable desc = {cause}"))
            }
        }
    }
}

/// 504 of a write that etcd did not answer in time.
pub fn ran_out_of_time() -> ApiError {
    ApiError::timeout("request did not complete within requested timeout - context deadline exceeded", 0)
}

/// 410 of a continue token that is too old, with a token that continues at the newest revision.
pub fn expired_continue(token: &str) -> ApiError {
    ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .with_continue(token)
}

/// 504 of a revision that is not there yet.
pub fn too_large_revision(wanted: u64, current: u64) -> ApiError {
    let cause = Cause {
        type_: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    ApiError::timeout(&format!("Too large resource version: {wanted}, current: {current}"), 1).with_details(Details {
        causes: vec![cause],
        retry_after_seconds: 1,
        ..Details::default()
    })
}
