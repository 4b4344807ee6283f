//! Answers of the filters themselves: an API error before any resource code has run.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go

use apimachinery::status::ApiError;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::body::Body;
use crate::endpoints::responses;

/// The error as a Status in the media type the client accepts.
pub fn status(error: &ApiError, headers: &HeaderMap) -> Response<Body> {
    responses::error(error, headers)
}

/// The same with `X-Content-Type-Options: nosniff`, as upstream sends refusals.
pub fn refusal(error: &ApiError, headers: &HeaderMap) -> Response<Body> {
    let mut response = status(error, headers);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
