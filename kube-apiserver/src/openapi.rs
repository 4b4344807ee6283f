//! `/openapi/v3`, its documents, and `/openapi/v2`: made of the tables when somebody asks.
//!
//! Only hashes are kept; documents are made anew for each request, so they cost no memory. Custom resources are taken
//! from their definitions as they are at that moment.
//! upstream: k8s.io/kube-openapi/pkg/{handler,handler3}, apiextensions-apiserver/pkg/controller/{openapi,openapiv3}

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use apimachinery::codec::json;
use apimachinery::openapi::{CustomResource, custom_document, gnostic, gnostic_v3, v2, v3};
use apimachinery::value::Value;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest, Sha512};

use crate::body::Body;
use crate::discovery::Enabled;
use crate::endpoints::responses;
use crate::extensions;
use crate::filters::request_info::param;
use crate::registry::Registry;

/// Prefix of the v3 documents.
const V3: &str = "/openapi/v3/";
/// Documents beside those of groups and versions.
const OTHERS: [&str; 4] = [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks"];

/// The OpenAPI endpoints.
#[derive(Debug)]
pub struct OpenApi {
    enabled: Enabled,
    registry: Arc<Registry>,
    started: String,
    hashes: OnceLock<BTreeMap<String, String>>,
    /// Hashes of custom documents by path, each with the versions of the definitions behind it.
    custom_hashes: Mutex<BTreeMap<String, (Vec<String>, String)>>,
}

impl OpenApi {
    /// Documents of these versions, and of the custom resources that the registry serves.
    pub fn new(enabled: Enabled, registry: Arc<Registry>) -> Self {
        let started = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Self { enabled, registry, started, hashes: OnceLock::new(), custom_hashes: Mutex::default() }
    }

    /// Answers a path below `/openapi`, or `None` if there is nothing.
    pub fn answer(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let path = request.uri().path();
        if path == "/openapi/v2" {
            return Some(self.v2(request.headers()));
        }
        if path.trim_end_matches('/') == "/openapi/v3" {
            return Some(self.index());
        }
        let document = path.strip_prefix(V3)?;
        Some(self.v3(document, request))
    }

    fn paths(&self) -> Vec<String> {
        let mut out: Vec<String> = OTHERS.iter().map(|p| (*p).to_owned()).collect();
        out.extend(["version".to_owned(), "api/v1".to_owned()]);
        for group in self.enabled.groups().filter(|g| !g.name.is_empty()) {
            out.push(format!("apis/{}", group.name));
            out.extend(self.enabled.versions(group).map(|v| format!("apis/{}/{v}", group.name)));
        }
        out.retain(|path| self.document(path).is_some());
        out
    }

    fn hashes(&self) -> &BTreeMap<String, String> {
        self.hashes.get_or_init(|| {
            let hash = |path: &String| {
                let bytes = encode(&self.document(path).unwrap_or_default());
                (path.clone(), digest(&bytes))
            };
            self.paths().iter().map(hash).collect()
        })
    }

    fn document(&self, path: &str) -> Option<Value> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["api", version] if self.enabled.has_version("", version) => Some(v3::document("", version)),
            ["apis", group] if self.enabled.groups().any(|g| g.name == *group) => Some(v3::group_document(group)),
            ["apis", group, version] if self.enabled.has_version(group, version) => Some(v3::document(group, version)),
            ["apis", group, version] => {
                let definitions = extensions::served_definitions(&self.registry);
                let resources = extensions::published(&definitions);
                let wanted: Vec<CustomResource<'_>> =
                    resources.into_iter().filter(|r| r.group == *group && r.version == *version).collect();
                (!wanted.is_empty()).then(|| custom_document(&wanted))
            }
            _ => v3::other_document(path),
        }
    }

    /// The hashes of the documents of custom resources. A document is made only if a definition behind it changed.
    fn custom_hashes(&self) -> BTreeMap<String, String> {
        let definitions = extensions::served_definitions(&self.registry);
        let mut documents: BTreeMap<String, Vec<CustomResource<'_>>> = BTreeMap::new();
        for resource in extensions::published(&definitions) {
            documents.entry(format!("apis/{}/{}", resource.group, resource.version)).or_default().push(resource);
        }
        let mut known = self.custom_hashes.lock();
        known.retain(|path, _| documents.contains_key(path));
        let hash = |(path, resources): (String, Vec<CustomResource<'_>>)| {
            let made_of: Vec<String> = resources.iter().map(|r| r.revision.to_owned()).collect();
            let entry = known.entry(path.clone()).or_default();
            if entry.0 != made_of {
                *entry = (made_of, digest(&encode(&custom_document(&resources))));
            }
            (path, entry.1.clone())
        };
        documents.into_iter().map(hash).collect()
    }

    fn index(&self) -> Response<Body> {
        let mut hashes = self.custom_hashes();
        hashes.extend(self.hashes().iter().map(|(path, hash)| (path.clone(), hash.clone())));
        let document =
            v3::index(hashes.keys().map(String::as_str), |path| hashes.get(path).cloned().unwrap_or_default());
        let mut response = Response::new(Body::from(encode(&document)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        self.mark_modified(headers);
        response
    }

    fn v3(&self, path: &str, request: &Request<Body>) -> Response<Body> {
        let Some(document) = self.document(path) else { return empty(StatusCode::NOT_FOUND) };
        let protobuf = first_media(request.headers()).find(|media| *media == PROTOBUF_V3);
        if protobuf.is_none() && !accepts_json(request.headers()) {
            return not_acceptable();
        }
        let bytes = match protobuf {
            None => encode(&document),
            Some(_) => {
                let mut out = Vec::new();
                gnostic_v3::encode_v3(&document, &mut out);
                out
            }
        };
        let hash = digest(&bytes);
        let asked = param(request.uri().query().unwrap_or_default(), "hash");
        if asked.as_ref().is_some_and(|asked| *asked != hash) {
            let mut response = empty(StatusCode::MOVED_PERMANENTLY);
            if let Ok(place) = HeaderValue::from_str(&format!("{V3}{path}?hash={hash}")) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            return response;
        }
        let plain = |bytes, _: &HeaderMap| Response::new(Body::full(bytes));
        let mut response = self.body(bytes, &hash, request.headers(), plain);
        if protobuf.is_some() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF_V3));
        }
        if asked.is_some() {
            let expires =
                Timestamp::now().checked_add(jiff::SignedDuration::from_hours(24 * 365)).unwrap_or(Timestamp::MAX);
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            if let Ok(value) = HeaderValue::from_str(&expires.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
                headers.insert(header::EXPIRES, value);
            }
        }
        response
    }

    fn v2(&self, headers: &HeaderMap) -> Response<Body> {
        let protobuf = first_media(headers).find(|media| PROTOBUF.contains(media));
        if protobuf.is_none() && !accepts_json(headers) {
            return not_acceptable();
        }
        let served: Vec<(&str, &str)> = self
            .enabled
            .groups()
            .flat_map(|group| self.enabled.versions(group).map(|v| (group.name, v)).collect::<Vec<_>>())
            .collect();
        let definitions = extensions::served_definitions(&self.registry);
        let document = v2::document(&served, &extensions::published(&definitions));
        let bytes = match protobuf {
            None => encode(&document),
            Some(_) => {
                let mut out = Vec::new();
                gnostic::encode_v2(&document, &mut out);
                out
            }
        };
        let hash = digest(&bytes);
        let mut response = self.body(bytes, &hash, headers, responses::compressed);
        // the compressing handler is the outer one
        response.headers_mut().remove(header::VARY);
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept"));
        if protobuf.is_some() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF[0]));
        }
        response
    }

    fn body(
        &self,
        bytes: Vec<u8>,
        hash: &str,
        request: &HeaderMap,
        answer: impl FnOnce(Vec<u8>, &HeaderMap) -> Response<Body>,
    ) -> Response<Body> {
        let tag = format!("\"{hash}\"");
        let same = request.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
        let mut response = if same { empty(StatusCode::NOT_MODIFIED) } else { answer(bytes, request) };
        let headers = response.headers_mut();
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        headers.append(header::VARY, HeaderValue::from_static("Accept"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        self.mark_modified(headers);
        response
    }

    fn mark_modified(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.started) {
            headers.insert(header::LAST_MODIFIED, value);
        }
    }
}

/// The protobuf form of v2, by its two names.
const PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

/// The media types of an Accept header, in its order.
fn first_media(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim())
}

/// The protobuf form of v3.
const PROTOBUF_V3: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

fn accepts_json(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()) else { return true };
    accept.trim().is_empty()
        || accept.split(',').any(|range| {
            let media = range.split(';').next().unwrap_or_default().trim();
            matches!(media, "application/json" | "application/*" | "*/*")
        })
}

fn not_acceptable() -> Response<Body> {
    let mut response = empty(StatusCode::NOT_ACCEPTABLE);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    json::encode_untyped(document, &mut out);
    out
}

fn digest(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}
