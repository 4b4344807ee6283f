//! Ready-made responses.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;

use super::ResponseBody;

/// A response with all its bytes at once.
#[must_use]
pub fn full(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Plain text.
#[must_use]
pub fn text(code: StatusCode, body: &str) -> Response<ResponseBody> {
    full(code, "text/plain; charset=utf-8", body.to_owned())
}

/// JSON.
#[must_use]
pub fn json(code: StatusCode, body: &serde_json::Value) -> Response<ResponseBody> {
    full(code, "application/json", body.to_string())
}

/// A metav1.Status that says why a request failed.
#[must_use]
pub fn status(code: StatusCode, reason: &str, message: &str) -> Response<ResponseBody> {
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    self::json(code, &body)
}
