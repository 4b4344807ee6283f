//! Answers: status, headers, bodies, compression; errors as `Status`.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters

use std::io::Write;

use apimachinery::schema;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::Stream;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use super::encode;
use super::negotiation::{self, Aggregated, Media, Output};
use super::query::Query;
use crate::body::{Body, BodyError};

/// Answers larger than this are compressed for clients that take gzip.
const GZIP_THRESHOLD: usize = 128 * 1024;

/// An error in the form that the client accepts.
pub fn error(error: &ApiError, headers: &HeaderMap) -> Response<Body> {
    let output = negotiation::error_output(headers);
    let status = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = status_object(status, &error.to_status_value(), &output, headers);
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A `Status`, of success or failure.
pub fn status_object(code: StatusCode, status: &Value, output: &Output, headers: &HeaderMap) -> Response<Body> {
    let output = Output { convert: None, ..output.clone() };
    let ty = schema::kind("v1", "Status").expect("the type is in the table");
    match encode::render(status, ty, &output) {
        Ok(body) => bytes(code, body, &output, headers),
        Err(_) => bytes(code, Vec::new(), &output, headers),
    }
}

/// A whole body, compressed if it is large and the client takes gzip.
pub fn bytes(code: StatusCode, body: Vec<u8>, output: &Output, headers: &HeaderMap) -> Response<Body> {
    let zip = body.len() > GZIP_THRESHOLD && takes_gzip(headers);
    let body = if zip { gzip(&body) } else { body };
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(output.media.as_str()));
    if zip {
        mark_gzip(response.headers_mut());
    }
    response
}

/// A body made piece by piece. `first` are its first bytes: more than the threshold means it is worth compressing.
pub fn stream<S>(first: Vec<u8>, rest: S, output: &Output, headers: &HeaderMap) -> Response<Body>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
{
    use futures::StreamExt;
    let zip = first.len() > GZIP_THRESHOLD && takes_gzip(headers);
    let all = futures::stream::once(async move { Ok(Bytes::from(first)) }).chain(rest);
    let body = if zip { Body::stream(gzip_stream(all)) } else { Body::stream(all) };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(output.media.as_str()));
    if zip {
        mark_gzip(response.headers_mut());
    }
    response
}

/// Bytes of a streamed body that are gathered before it is sent.
pub fn threshold() -> usize {
    GZIP_THRESHOLD
}

fn mark_gzip(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|token| token.trim() == "gzip")
}

/// Documents beside the API (metrics, OpenAPI v2) are compressed by other code upstream: it knows qualities.
fn prefers_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|token| {
        let (coding, params) = token.split_once(';').unwrap_or((token, ""));
        let quality = params.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f64>().ok());
        coding.trim().eq_ignore_ascii_case("gzip") && quality.is_some_and(|q| q > 0.0)
    })
}

/// Text that is no answer of the API, compressed whenever the client takes gzip.
pub fn compressed(body: Vec<u8>, headers: &HeaderMap) -> Response<Body> {
    if !prefers_gzip(headers) {
        return Response::new(Body::full(body));
    }
    let mut response = Response::new(Body::full(gzip(&body)));
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to a vector does not fail")
}

fn gzip_stream<S>(chunks: S) -> impl Stream<Item = Result<Bytes, BodyError>> + Send
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
{
    use futures::StreamExt;
    let state = (Box::pin(chunks), Some(GzEncoder::new(Vec::new(), Compression::fast())));
    futures::stream::unfold(state, |(mut chunks, mut encoder)| async move {
        loop {
            let mut gz = encoder.take()?;
            match chunks.next().await {
                Some(Ok(chunk)) => {
                    gz.write_all(&chunk).expect("writing to a vector does not fail");
                    let done = std::mem::take(gz.get_mut());
                    encoder = Some(gz);
                    if !done.is_empty() {
                        return Some((Ok(Bytes::from(done)), (chunks, encoder)));
                    }
                }
                Some(Err(e)) => return Some((Err(e), (chunks, None))),
                None => {
                    let rest = gz.finish().expect("writing to a vector does not fail");
                    return Some((Ok(Bytes::from(rest)), (chunks, None)));
                }
            }
        }
    })
}

/// A document that is no resource (`APIGroupList` …), in the form that the client accepts.
pub fn meta_object(request: &Request<Body>, document: &Value) -> Response<Body> {
    let headers = request.headers();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let output = match negotiation::document(headers, &query) {
        Ok(output) => output,
        Err(e) => return error(&e, headers),
    };
    let api_version = document.get("apiVersion").as_str().unwrap_or("v1");
    let kind = document.get("kind").str_or_empty();
    let Some(ty) = schema::kind(api_version, kind).or_else(|| schema::kind("v1", kind)) else {
        return error(&ApiError::internal(format!("no type {api_version} {kind}")), headers);
    };
    match encode::render(document, ty, &output) {
        Ok(body) => bytes(StatusCode::OK, body, &output, headers),
        Err(e) => error(&e, headers),
    }
}

/// The aggregated discovery document, with an ETag over its content.
pub fn discovery(request: &Request<Body>, document: &Value, media: &Aggregated) -> Response<Body> {
    use sha2::{Digest, Sha512};
    let headers = request.headers();
    let ty = schema::kind("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList").expect("the type is in the table");
    let output = Output { media: media.media, pretty: false, convert: None };
    let body = match encode::render(document, ty, &output) {
        Ok(body) => body,
        Err(e) => return error(&e, headers),
    };
    let hash = Sha512::digest(&body).iter().fold(String::new(), |text, byte| format!("{text}{byte:02X}"));
    let tag = format!("\"{hash}\"");
    let unchanged = headers.get(http::header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let mut response = if unchanged {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        bytes(StatusCode::OK, body, &output, headers)
    };
    let out = response.headers_mut();
    let media = format!("{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", media.media.as_str());
    if !unchanged && let Ok(media) = HeaderValue::from_str(&media) {
        out.insert(CONTENT_TYPE, media);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(ETAG, tag);
    }
    out.insert(VARY, HeaderValue::from_static("Accept"));
    out.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}

/// Plain text.
pub fn text(code: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// What Go's mux says of a path it does not know.
pub fn page_not_found() -> Response<Body> {
    let mut response = text(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The media type of an output as a header value.
pub fn content_type(output: &Output, stream: bool) -> HeaderValue {
    HeaderValue::from_static(match (output.media, stream) {
        (Media::Protobuf, true) => "application/vnd.kubernetes.protobuf;stream=watch",
        (media, _) => media.as_str(),
    })
}
