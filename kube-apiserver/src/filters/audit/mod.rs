//! The audit log: one JSON line per stage of a request, as the policy says.
//!
//! Events go to a file through one writer task behind a bounded queue; a full queue makes requests wait,
//! which is upstream's blocking mode.
//! upstream: staging/src/k8s.io/apiserver/pkg/{audit,endpoints/filters/audit.go}

pub mod log;
pub mod policy;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::body::Body;
use crate::metrics::COUNTERS;
use crate::request::{RequestInfo, UserInfo};
use log::Log;
use policy::{Level, Policy, Stage, Verdict};

/// Bodies longer than this are not logged, in bytes.
const MAX_LOGGED_BODY: usize = 3 * 1024 * 1024;

/// The auditor: a policy and where events go.
#[derive(Debug)]
pub struct Auditor {
    /// Which requests.
    pub policy: Policy,
    /// Where to.
    pub log: Log,
}

/// The audit event of one request, written once per stage.
#[derive(Debug)]
pub struct Event {
    auditor: Arc<Auditor>,
    verdict: Verdict,
    fields: Map<String, Json>,
}

impl Event {
    /// The event of a request, or `None` if the policy does not want it.
    pub fn begin(
        auditor: &Arc<Auditor>,
        id: &str,
        uri: &str,
        user: &UserInfo,
        info: &RequestInfo,
        headers: &HeaderMap,
        peer: &str,
    ) -> Option<Self> {
        let verdict = auditor.policy.evaluate(user, info);
        if verdict.level == Level::None {
            return None;
        }
        let mut fields = Map::new();
        let mut put = |key: &str, value: Json| fields.insert(key.to_owned(), value);
        put("kind", json!("Event"));
        put("apiVersion", json!("audit.k8s.io/v1"));
        put("level", json!(verdict.level.name()));
        put("auditID", json!(id));
        put("requestURI", json!(uri));
        put("verb", json!(info.verb));
        put("user", user_json(user));
        put("sourceIPs", json!([peer]));
        let text = |name| headers.get(name).and_then(|v: &http::HeaderValue| v.to_str().ok());
        if let Some(agent) = text(header::USER_AGENT) {
            put("userAgent", json!(agent));
        }
        if info.is_resource_request {
            put("objectRef", object_ref(info));
        }
        put("requestReceivedTimestamp", json!(micro(Timestamp::now())));
        Some(Self { auditor: auditor.clone(), verdict, fields })
    }

    /// Notes who the request acts as.
    pub fn impersonated(&mut self, user: &UserInfo) {
        self.fields.insert("impersonatedUser".to_owned(), user_json(user));
    }

    /// Notes why it was allowed or not.
    pub fn authorization(&mut self, decision: &str, reason: &str) {
        let annotations = json!({
            "authorization.k8s.io/decision": decision,
            "authorization.k8s.io/reason": reason,
        });
        self.fields.insert("annotations".to_owned(), annotations);
    }

    /// Notes what else is known of it.
    pub fn annotate(&mut self, more: impl IntoIterator<Item = (String, String)>) {
        let annotations = self.fields.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.extend(more.into_iter().map(|(key, value)| (key, Json::from(value))));
        }
    }

    /// Reads the request's body into the event if the level wants it, and hands the body back.
    pub async fn read_request(&mut self, body: Body) -> Body {
        if self.verdict.level < Level::Request {
            return body;
        }
        let (bytes, body) = peek(body).await;
        self.put_object("requestObject", bytes);
        body
    }

    /// Reads the answer's body into the event if the level wants it, and hands the answer back.
    pub async fn read_response(&mut self, response: Response<Body>) -> Response<Body> {
        if self.verdict.level < Level::RequestResponse || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response;
        }
        let (parts, body) = response.into_parts();
        let (bytes, body) = peek(body).await;
        self.put_object("responseObject", bytes);
        Response::from_parts(parts, body)
    }

    /// Notes the answer's code.
    pub fn status(&mut self, code: StatusCode) {
        self.fields.insert("responseStatus".to_owned(), json!({ "metadata": {}, "code": code.as_u16() }));
    }

    /// Writes the event for a stage, unless the policy leaves that stage out.
    pub async fn write(&mut self, stage: Stage) {
        if self.verdict.omit.contains(&stage) {
            return;
        }
        self.fields.insert("stage".to_owned(), json!(stage.name()));
        self.fields.insert("stageTimestamp".to_owned(), json!(micro(Timestamp::now())));
        let mut line = String::new();
        ordered(&self.fields, &mut line);
        COUNTERS.audit_events.inc();
        self.auditor.log.write(line).await;
    }

    fn put_object(&mut self, key: &str, bytes: Option<Bytes>) {
        let Some(mut object) = bytes.and_then(|b| serde_json::from_slice::<Json>(&b).ok()) else { return };
        if self.verdict.omit_managed_fields
            && let Some(meta) = object.get_mut("metadata").and_then(Json::as_object_mut)
        {
            meta.remove("managedFields");
        }
        self.fields.insert(key.to_owned(), object);
    }
}

/// Order of the members in upstream's events.
const ORDER: [&str; 17] = [
    "kind",
    "apiVersion",
    "level",
    "auditID",
    "stage",
    "requestURI",
    "verb",
    "user",
    "impersonatedUser",
    "sourceIPs",
    "userAgent",
    "objectRef",
    "responseStatus",
    "requestObject",
    "responseObject",
    "requestReceivedTimestamp",
    "stageTimestamp",
];

fn ordered(fields: &Map<String, Json>, out: &mut String) {
    out.push('{');
    for key in ORDER.into_iter().chain(["annotations"]) {
        let Some(value) = fields.get(key) else { continue };
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&format!("\"{key}\":{value}"));
    }
    out.push_str("}\n");
}

async fn peek(body: Body) -> (Option<Bytes>, Body) {
    let known = http_body::Body::size_hint(&body).exact();
    if known.is_none_or(|n| n > MAX_LOGGED_BODY as u64) {
        return (None, body);
    }
    match body.collect().await {
        Ok(collected) => {
            let bytes = collected.to_bytes();
            (Some(bytes.clone()), Body::full(bytes))
        }
        Err(error) => (None, Body::stream(futures::stream::iter([Err(error)]))),
    }
}

fn user_json(user: &UserInfo) -> Json {
    let mut out = Map::new();
    let mut put = |key: &str, value: Json| out.insert(key.to_owned(), value);
    put("username", json!(user.name));
    if !user.uid.is_empty() {
        put("uid", json!(user.uid));
    }
    if !user.groups.is_empty() {
        put("groups", json!(user.groups));
    }
    if !user.extra.is_empty() {
        put("extra", json!(user.extra));
    }
    out.into()
}

fn object_ref(info: &RequestInfo) -> Json {
    let mut out = Map::new();
    for (key, value) in [
        ("resource", &info.resource),
        ("namespace", &info.namespace),
        ("name", &info.name),
        ("apiGroup", &info.api_group),
        ("apiVersion", &info.api_version),
        ("subresource", &info.subresource),
    ] {
        if !value.is_empty() {
            out.insert(key.to_owned(), json!(value));
        }
    }
    out.into()
}

fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
