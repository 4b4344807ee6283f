//! One HTTPS call of a webhook: finding the place, the review sent, and the answer understood.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/{request,generic}, pkg/util/webhook

use std::sync::Arc;
use std::time::Duration;

use apimachinery::codec::json;
use apimachinery::quote::quote;
use apimachinery::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use component_base::tls::{TrustRoots, parse_certs, system_roots};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use rustls::ClientConfig;

use crate::admission::Attributes;
use crate::body::Body;
use crate::connect::upstream::{Target, forward};
use crate::objects::{Objects, SERVICES};

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 << 20;
/// Seconds a webhook has if its configuration does not say.
const DEFAULT_TIMEOUT: i64 = 10;

/// What a webhook said.
#[derive(Debug, Default)]
pub struct Answer {
    /// It agrees.
    pub allowed: bool,
    /// Its Status, or null.
    pub status: Value,
    /// A JSON patch, empty if none.
    pub patch: Vec<u8>,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

/// Asks the webhook; an error is the reason why it could not be asked.
pub async fn call(
    objects: &Arc<dyn Objects>,
    hook: &Value,
    a: &Attributes<'_>,
    object: &Value,
) -> Result<Answer, String> {
    let config = hook.get("clientConfig");
    let seconds = hook.get("timeoutSeconds").as_i64().unwrap_or(DEFAULT_TIMEOUT);
    let place = Place::of(config, seconds)?;
    let failed = |why: String| format!("failed to call webhook: Post {}: {why}", quote(&place.url));
    let target = place.target(objects, config).map_err(failed)?;
    let uid = uuid::Uuid::new_v4().to_string();
    let review = json::to_string(&review(&uid, a, object));
    let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
    let answer = match tokio::time::timeout(limit, post(&target, &place.path, review)).await {
        Err(_) => return Err(failed("context deadline exceeded".to_owned())),
        Ok(Err(Failure::Connection(why))) => return Err(failed(why)),
        Ok(Err(Failure::Answer(why))) => return Err(format!("failed to call webhook: {why}")),
        Ok(Ok(answer)) => answer,
    };
    understand(&answer, &uid)
}

/// Where a webhook is.
struct Place {
    url: String,
    host: String,
    port: u16,
    path: String,
    service: Option<(String, String)>,
}

impl Place {
    fn of(config: &Value, seconds: i64) -> Result<Self, String> {
        let timeout = format!("timeout={seconds}s");
        let service = config.get("service");
        if !service.is_null() {
            let text = |key| service.get(key).str_or_empty().to_owned();
            let (namespace, name) = (text("namespace"), text("name"));
            let port = service.get("port").as_i64().and_then(|p| u16::try_from(p).ok()).unwrap_or(443);
            let host = format!("{name}.{namespace}.svc");
            let path = format!("/{}?{timeout}", text("path").trim_start_matches('/'));
            return Ok(Self {
                url: format!("https://{host}:{port}{path}"),
                host,
                port,
                path,
                service: Some((namespace, name)),
            });
        }
        let url = config.get("url").str_or_empty();
        let uri: Uri = url.parse().map_err(|error| format!("could not get REST client: {error}"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let joint = if uri.query().is_some() { '&' } else { '?' };
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        Ok(Self {
            url: format!("{url}{joint}{timeout}"),
            host,
            port: uri.port_u16().unwrap_or(443),
            path: format!("{path}{joint}{timeout}"),
            service: None,
        })
    }

    /// The address: of a service its cluster IP, as kube-proxy balances it.
    fn target(&self, objects: &Arc<dyn Objects>, config: &Value) -> Result<Target, String> {
        let host = match &self.service {
            None => self.host.clone(),
            Some((namespace, name)) => {
                let service = objects
                    .cached(SERVICES, namespace, name)
                    .ok_or_else(|| format!("service {} not found", quote(name)))?;
                let spec = service.get("spec");
                match (spec.get("type").str_or_empty(), spec.get("clusterIP").str_or_empty()) {
                    ("ExternalName", _) => spec.get("externalName").str_or_empty().to_owned(),
                    (_, "" | "None") => return Err(format!("service {} has no cluster IP", quote(name))),
                    (_, ip) => ip.to_owned(),
                }
            }
        };
        let roots = match config.get("caBundle").as_str().filter(|b| !b.is_empty()) {
            None => system_roots(),
            Some(bundle) => {
                let pem = STANDARD.decode(bundle).map_err(|error| error.to_string())?;
                parse_certs(&pem).map_err(|error| error.to_string())?
            }
        };
        let trust = TrustRoots::new(roots).map_err(|error| error.to_string())?;
        let tls =
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(trust)).with_no_client_auth();
        Ok(Target { hosts: vec![host], port: self.port, tls: Some(Arc::new(tls)), name: Some(self.host.clone()) })
    }
}

enum Failure {
    Connection(String),
    Answer(String),
}

async fn post(target: &Target, path: &str, review: String) -> Result<Vec<u8>, Failure> {
    let mut request = Request::new(Body::full(review));
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, */*"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("kube-apiserver-admission"));
    let answer = forward(target, path, request).await.map_err(|error| Failure::Connection(error.to_string()))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| Failure::Connection(error.to_string()))?.to_bytes();
    if status.is_success() {
        return Ok(body.to_vec());
    }
    Err(Failure::Answer(match status {
        StatusCode::NOT_FOUND => "the server could not find the requested resource".to_owned(),
        StatusCode::UNAUTHORIZED => "the server has asked for the client to provide credentials".to_owned(),
        StatusCode::BAD_REQUEST => "the server rejected our request for an unknown reason".to_owned(),
        _ if status.is_server_error() => {
            let text = quote(String::from_utf8_lossy(&body).trim());
            format!("an error on the server ({text}) has prevented the request from succeeding")
        }
        _ => {
            format!("the server responded with the status code {} but did not return more information", status.as_u16())
        }
    }))
}

fn understand(answer: &[u8], uid: &str) -> Result<Answer, String> {
    let review = json::decode_untyped(answer).map_err(|error| format!("received invalid webhook response: {error}"))?;
    let text = |key| review.get(key).str_or_empty();
    let (kind, version) = (text("kind"), text("apiVersion"));
    if (version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
        return Err(format!(
            "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}, Kind={kind}",
            if version.is_empty() { "/" } else { version }
        ));
    }
    let response = review.get("response");
    if response.is_null() {
        return Err("received invalid webhook response: webhook response was absent".to_owned());
    }
    let got = response.get("uid").str_or_empty();
    if got != uid {
        return Err(format!(
            "received invalid webhook response: expected response.uid={}, got {}",
            quote(uid),
            quote(got)
        ));
    }
    let patch = STANDARD.decode(response.get("patch").str_or_empty());
    let patch = patch.map_err(|error| format!("received invalid webhook response: {error}"))?;
    let kind = response.get("patchType").str_or_empty();
    if !patch.is_empty() && kind != "JSONPatch" {
        return Err(format!("received invalid webhook response: invalid response.patchType {}", quote(kind)));
    }
    let warnings = response.get("warnings").items().iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let allowed = response.get("allowed").as_bool() == Some(true);
    Ok(Answer { allowed, status: response.get("status").clone(), patch, warnings })
}

/// The AdmissionReview that is sent.
fn review(uid: &str, a: &Attributes<'_>, object: &Value) -> Value {
    let mut request = request_of(uid, a, object);
    request.set("object", object.clone());
    request.set("oldObject", a.old.clone());
    Value::from([
        ("kind", Value::from("AdmissionReview")),
        ("apiVersion", "admission.k8s.io/v1".into()),
        ("request", request),
    ])
}

/// The request as a review tells it, without the objects.
pub(crate) fn request_of(uid: &str, a: &Attributes<'_>, object: &Value) -> Value {
    let (group, version) = a.api_version.rsplit_once('/').unwrap_or(("", a.api_version));
    let gvk = |group: &str, version: &str| {
        Value::from([("group", Value::from(group)), ("version", version.into()), ("kind", a.kind.into())])
    };
    let resource = |version: &str| {
        Value::from([
            ("group", Value::from(&*a.resource.group)),
            ("version", version.into()),
            ("resource", (&*a.resource.plural).into()),
        ])
    };
    // objects are in the hub version here; for almost every kind that is the version of the request
    let sent = if object.is_null() { a.old } else { object };
    let sent = if a.subresource.is_empty() { sent.get("apiVersion").as_str() } else { None }.unwrap_or(a.api_version);
    let (sent_group, sent_version) = sent.rsplit_once('/').unwrap_or(("", sent));
    let mut request = Value::from([
        ("uid", Value::from(uid)),
        ("kind", gvk(sent_group, sent_version)),
        ("resource", resource(if a.subresource.is_empty() { sent_version } else { a.version })),
        ("requestKind", gvk(group, version)),
        ("requestResource", resource(a.version)),
        ("operation", a.operation.as_str().into()),
        ("userInfo", user(a)),
        ("dryRun", a.dry_run.into()),
        ("options", options(a)),
    ]);
    let optional = [
        ("subResource", a.subresource),
        ("requestSubResource", a.subresource),
        ("name", a.name),
        ("namespace", a.namespace),
    ];
    for (key, text) in optional {
        if !text.is_empty() {
            request.set(key, text);
        }
    }
    request
}

fn user(a: &Attributes<'_>) -> Value {
    let list = |items: &[String]| Value::from(items.iter().map(String::as_str).collect::<Vec<_>>());
    let mut out = Value::from([("username", Value::from(a.user.name.as_str()))]);
    if !a.user.uid.is_empty() {
        out.set("uid", a.user.uid.as_str());
    }
    if !a.user.groups.is_empty() {
        out.set("groups", list(&a.user.groups));
    }
    for (key, values) in &a.user.extra {
        out.set_path(&["extra", key], list(values));
    }
    out
}

fn options(a: &Attributes<'_>) -> Value {
    let mut options = a.options.clone();
    if options.is_null() {
        return options;
    }
    let kind = match a.operation.as_str() {
        "CREATE" => "CreateOptions",
        "UPDATE" => "UpdateOptions",
        "DELETE" => "DeleteOptions",
        _ => return options,
    };
    if !options.has("kind") {
        options.set("kind", kind);
        options.set("apiVersion", "meta.k8s.io/v1");
    }
    options
}
