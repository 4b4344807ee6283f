//! Answers of the filters themselves: an API error before any resource code has run.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go

use apimachinery::status::ApiError;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::endpoints::responses;
use crate::health;

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

/// The 504 of a request whose time is up. Upstream negotiates nothing here, and leaves kind and apiVersion out.
/// upstream: staging/src/k8s.io/apiserver/pkg/server/filters/timeout.go
pub fn timed_out() -> Response<Body> {
    const STATUS: &str = r#"{"metadata":{},"status":"Failure","message":"Timeout: request did not complete within the allotted timeout","reason":"Timeout","details":{},"code":504}"#;
    health::text(StatusCode::GATEWAY_TIMEOUT, format!("{STATUS}\n"), false)
}

/// The 429 of a server that is full.
/// upstream: staging/src/k8s.io/apiserver/pkg/server/filters/priority-and-fairness.go
pub fn too_many_requests() -> Response<Body> {
    let text = "Too many requests, please try again later.\n".to_owned();
    let mut response = health::text(StatusCode::TOO_MANY_REQUESTS, text, true);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
