//! The ways to change an object with a patch. Pure: bytes or values in, bytes or values out.

pub mod apply;
pub mod json_patch;
pub mod merge;
mod node;
pub mod strategic;

use crate::status::{ApiError, Reason};
use crate::value::Value;

/// Why a patch does not apply, by what the client is told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// The patch is malformed: 400.
    #[error("{0}")]
    BadRequest(String),
    /// The patch does not fit the object: 422, whose message the client is not shown.
    #[error("{0}")]
    Unprocessable(String),
    /// A `test` found another value: 422, as the other reasons why a patch does not fit.
    #[error("testing value {path} failed: test failed")]
    TestFailed {
        /// Where it looked.
        path: String,
    },
    /// The patch has too many steps: 413.
    #[error("{0}")]
    TooLarge(String),
    /// A field that must not change is part of the patch.
    #[error("{0}")]
    Precondition(String),
    /// The patch changes what was changed otherwise in the meantime.
    #[error("the patch conflicts with changes made in the meantime")]
    Conflict {
        /// The patch.
        patch: Box<Value>,
        /// The changes in the meantime, as a patch.
        changed: Box<Value>,
    },
    /// What upstream answers with a bare 500.
    #[error("{0}")]
    Unexpected(String),
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> ApiError {
        match error {
            PatchError::BadRequest(message) => ApiError::bad_request(message),
            PatchError::Unprocessable(_) | PatchError::TestFailed { .. } => {
                ApiError::generic(422, "", "", "", "", &error.to_string())
            }
            PatchError::TooLarge(message) => ApiError::too_large(&message),
            PatchError::Conflict { .. } => ApiError::new(409, Reason::Conflict, error.to_string()),
            PatchError::Precondition(message) | PatchError::Unexpected(message) => {
                ApiError::new(500, Reason::Unknown, message)
            }
        }
    }
}
