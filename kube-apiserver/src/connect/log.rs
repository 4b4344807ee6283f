//! `pods/log`: asks the kubelet and passes its text on as it comes.
//!
//! upstream: pkg/registry/core/pod/rest/log.go, pkg/registry/core/pod/strategy.go: LogLocation

use std::sync::Arc;

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::quote::quote;
use apimachinery::status::{ApiError, Reason};
use async_trait::async_trait;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use super::{kubelet, pod, upstream};
use crate::body::Body;
use crate::endpoints::{dispatch, responses};
use crate::registry::Subresource;
use crate::request::{Authorized, RequestInfo};
use crate::state::AppState;

/// Bytes of a kubelet's error that are passed on.
const MAX_ERROR: usize = 10 * 1024;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Log;

#[async_trait]
impl Subresource for Log {
    async fn connect(&self, state: &Arc<AppState>, cx: Authorized, req: Request<Body>) -> Response<Body> {
        let headers = req.headers().clone();
        match serve(state, &cx.info, req).await {
            Ok(response) => response,
            Err(error) => responses::error(&error, &headers),
        }
    }
}

async fn serve(state: &AppState, info: &RequestInfo, req: Request<Body>) -> Result<Response<Body>, ApiError> {
    if !matches!(*req.method(), Method::GET | Method::HEAD) {
        return Err(dispatch::method_not_allowed());
    }
    let options = Options::parse(req.uri().query().unwrap_or_default())?;
    options.check(&info.name)?;
    drop(req);
    let found = pod::get(state, &info.namespace, &info.name).await?;
    let container = pod::container(&found, &options.container)?;
    let node = found.path(&["spec", "nodeName"]).str_or_empty();
    if node.is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let target = kubelet::of_node(state, node).await?;
    let path = format!("/containerLogs/{}/{}/{container}?{}", info.namespace, info.name, options.query());
    let request = Request::new(Body::empty());
    let answer = upstream::forward(&target, &path, request).await.map_err(|error| {
        let shown = format!("https://{}:{}{path}", target.hosts.first().map_or("", String::as_str), target.port);
        ApiError::internal(format!("Get {}: {error}", quote(&shown)))
    })?;
    if !answer.status().is_success() {
        return Err(refused(answer, &info.name).await);
    }
    let mut response = Response::new(answer.into_body());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The kubelet's error as ours.
/// upstream: staging/src/k8s.io/apiserver/pkg/registry/generic/rest/response_checker.go
async fn refused(answer: Response<Body>, name: &str) -> ApiError {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ERROR).collect().await;
    let text = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
    match status {
        StatusCode::INTERNAL_SERVER_ERROR => ApiError::internal(text),
        StatusCode::BAD_REQUEST => ApiError::bad_request(text),
        status => ApiError::generic(status.as_u16(), "GET", "", "pods/log", name, &text),
    }
}

/// PodLogOptions of the query.
#[derive(Debug, Default)]
struct Options {
    container: String,
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    since_time: Option<String>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<String>,
}

impl Options {
    fn parse(query: &str) -> Result<Self, ApiError> {
        let mut out = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "container" => out.container = value.into_owned(),
                "follow" => out.follow = truth(&value),
                "previous" => out.previous = truth(&value),
                "timestamps" => out.timestamps = truth(&value),
                "sinceSeconds" => out.since_seconds = Some(number(&value)?),
                "sinceTime" => out.since_time = Some(value.into_owned()).filter(|t| !t.is_empty()),
                "tailLines" => out.tail_lines = Some(number(&value)?),
                "limitBytes" => out.limit_bytes = Some(number(&value)?),
                "stream" => out.stream = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(out)
    }

    fn check(&self, name: &str) -> Result<(), ApiError> {
        let mut errs = Errors::new();
        let mut at_least = |field: &str, value: Option<i64>, least: i64, detail: &str| {
            if let Some(value) = value.filter(|v| *v < least) {
                errs.invalid(Path::root(field), BadValue::Literal(value.to_string()), detail);
            }
        };
        at_least("tailLines", self.tail_lines, 0, "must be greater than or equal to 0");
        at_least("limitBytes", self.limit_bytes, 1, "must be greater than 0");
        if self.since_time.is_none() {
            at_least("sinceSeconds", self.since_seconds, 1, "must be greater than 0");
        } else if self.since_seconds.is_some() {
            errs.forbidden(Path::root("[]"), "at most one of `sinceTime` or `sinceSeconds` may be specified");
        }
        if errs.is_empty() { Ok(()) } else { Err(ApiError::invalid("", "PodLogOptions", name, &errs)) }
    }

    fn query(&self) -> String {
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        for (name, on) in [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)] {
            if on {
                out.append_pair(name, "true");
            }
        }
        let numbers =
            [("sinceSeconds", self.since_seconds), ("tailLines", self.tail_lines), ("limitBytes", self.limit_bytes)];
        for (name, value) in numbers {
            if let Some(value) = value {
                out.append_pair(name, &value.to_string());
            }
        }
        for (name, value) in [("sinceTime", &self.since_time), ("stream", &self.stream)] {
            if let Some(value) = value {
                out.append_pair(name, value);
            }
        }
        out.finish()
    }
}

/// Booleans in queries: everything but nothing, `0` and `false` is true.
pub fn truth(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "false" | "0")
}

fn number(value: &str) -> Result<i64, ApiError> {
    value.parse().map_err(|_| {
        let text = format!("strconv.ParseInt: parsing {}: invalid syntax", quote(value));
        ApiError::new(400, Reason::BadRequest, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_to_the_kubelet() {
        let options = Options::parse("follow=1&tailLines=5&container=c&timestamps=false").unwrap();
        assert_eq!(options.query(), "follow=true&tailLines=5");
        assert!(Options::parse("tailLines=x").is_err());
        assert!(Options::parse("limitBytes=0").unwrap().check("p").is_err());
    }
}
