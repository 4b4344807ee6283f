//! `/statusz`: what runs here, since when, and which paths tell more.
//!
//! upstream: staging/src/k8s.io/component-base/zpages/statusz

use component_base::version;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;

use crate::body::Body;

/// Paths that are worth a look.
const PATHS: [&str; 7] = ["/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"];
/// Versions of the structured answer; the first is current.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];
/// The Status of a refusal, in the order of fields that Go writes.
const REFUSAL: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"#,
    r#""only the following media types are accepted: application/json, application/yaml, text/plain","#,
    r#""reason":"NotAcceptable","code":406}"#,
    "\n",
);

/// The answer in the form that the client accepts; `started` is when the server was.
pub fn answer(headers: &HeaderMap, started: Timestamp) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    for range in accept.split(',').map(str::trim) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let params: Vec<&str> = parts.collect();
        let wanted = |param: &str| params.contains(&param);
        if media == "application/json" && wanted("as=Statusz") && wanted("g=config.k8s.io") {
            let version = VERSIONS.into_iter().find(|v| wanted(&format!("v={v}")));
            if let Some(version) = version {
                return structured(version, range, started);
            }
        }
        if matches!(media, "" | "*/*" | "text/*" | "text/plain") {
            return text(started);
        }
    }
    let mut response = Response::new(Body::full(REFUSAL));
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn uptime(started: Timestamp) -> i64 {
    Timestamp::now().as_second() - started.as_second()
}

fn structured(version: &str, media: &str, started: Timestamp) -> Response<Body> {
    let document = json!({
        "kind": "Statusz",
        "apiVersion": format!("config.k8s.io/{version}"),
        "metadata": { "name": "kube-apiserver" },
        "startTime": started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "uptimeSeconds": uptime(started),
        "goVersion": "none (Rust)",
        "binaryVersion": version::GIT_VERSION.trim_start_matches('v'),
        "emulationVersion": format!("{}.{}", version::MAJOR, version::MINOR),
        "paths": PATHS,
    });
    let mut response = Response::new(Body::full(document.to_string()));
    let headers = response.headers_mut();
    if let Ok(media) = HeaderValue::from_str(media) {
        headers.insert(header::CONTENT_TYPE, media);
    }
    if version != VERSIONS[0] {
        let warning = "299 - \"This version of the statusz endpoint is deprecated. Please use a newer version.\"";
        headers.insert(header::WARNING, HeaderValue::from_static(warning));
    }
    response
}

fn text(started: Timestamp) -> Response<Body> {
    let lines = [
        "kube-apiserver statusz".to_owned(),
        "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.".to_owned(),
        String::new(),
        format!("Started: {}", started.strftime("%a %b %e %H:%M:%S UTC %Y")),
        format!("Up: {} s", uptime(started)),
        format!("Binary version: {}", version::GIT_VERSION.trim_start_matches('v')),
        format!("Emulation version: {}.{}", version::MAJOR, version::MINOR),
        format!("Paths: {}", PATHS.join(" ")),
    ];
    let mut response = Response::new(Body::full(format!("{}\n", lines.join("\n"))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
