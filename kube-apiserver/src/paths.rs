//! What is served besides resources: discovery, version, health, metrics, OpenAPI, token issuer documents.
//!
//! One match over the path; everything unknown below `/apis/GROUP` or elsewhere is a plain 404.
//! upstream: staging/src/k8s.io/apiserver/pkg/server/routes, pkg/endpoints/discovery

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::authentication::service_account::discovery::IssuerDocuments;
use crate::body::Body;
use crate::discovery::{self, Enabled};
use crate::endpoints::negotiation::{self, Accepted};
use crate::endpoints::responses;
use crate::extensions::discovery as custom;
use crate::health::{self, Health};
use crate::openapi::OpenApi;
use crate::registry::Registry;
use crate::statusz;

/// Everything the non-resource paths need.
#[derive(Debug)]
pub struct Paths {
    /// Served API versions.
    pub enabled: Arc<Enabled>,
    /// Custom resources are in here.
    pub registry: Arc<Registry>,
    /// Health checks.
    pub health: Arc<Health>,
    /// Documents of the token issuer.
    pub issuer: Option<IssuerDocuments>,
    /// When the server started.
    pub started: jiff::Timestamp,
    /// OpenAPI documents.
    pub openapi: OpenApi,
    /// `host:port` that clients of the core group are told.
    pub public_address: String,
}

impl Paths {
    /// Answers a request for a non-resource path.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let uri = request.uri().clone();
        match self.health.answer(uri.path(), uri.query().unwrap_or_default()).await {
            Some(response) => response,
            None => self.answer_now(&request),
        }
    }

    fn answer_now(&self, request: &Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        match path {
            "/" | "/index.html" => self.root(),
            "/version" | "/version/" => get_only(request, || match negotiation::json_only(request.headers()) {
                Ok(()) => json_text(&component_base::version::info()),
                Err(error) => responses::error(&error, request.headers()),
            }),
            _ if path.starts_with("/version/") => responses::error(&resource_not_found(), request.headers()),
            "/statusz" => statusz::answer(request.headers(), self.started),
            "/metrics" => metrics(component_base::metrics::render(), request.headers()),
            "/metrics/slis" => metrics(crate::metrics::slis::render(), request.headers()),
            "/.well-known/openid-configuration" => self.issuer(|d| &d.configuration, "application/json"),
            "/openid/v1/jwks" => self.issuer(|d| &d.jwks, "application/jwk-set+json"),
            _ if path.starts_with("/openapi/") => self.openapi.answer(request).unwrap_or_else(health::not_found),
            _ if path == "/api" || path.starts_with("/api/") || path == "/apis" || path.starts_with("/apis/") => {
                self.discovery(request)
            }
            _ => health::not_found(),
        }
    }

    fn discovery(&self, request: &Request<Body>) -> Response<Body> {
        let trimmed = request.uri().path().trim_matches('/');
        let parts: Vec<&str> = trimmed.split('/').collect();
        let known = match parts.as_slice() {
            ["api"] | ["apis"] | ["api", "v1"] => true,
            ["apis", group, ..] => {
                self.enabled.groups().any(|g| g.name == *group) || custom::group(&self.registry, group).is_some()
            }
            _ => true,
        };
        if !known {
            return health::not_found();
        }
        let document = match parts.as_slice() {
            ["api"] | ["apis"] => return self.group_discovery(request, parts[0] == "api"),
            ["api", version] => discovery::resource_list("", version, &self.enabled),
            ["apis", group] => discovery::group(group, &self.enabled).or_else(|| custom::group(&self.registry, group)),
            ["apis", group, version] => discovery::resource_list(group, version, &self.enabled)
                .or_else(|| custom::resource_list(&self.registry, group, version)),
            _ => None,
        };
        let Some(document) = document else {
            return responses::error(&resource_not_found(), request.headers());
        };
        if request.method() != Method::GET {
            return responses::error(&method_not_allowed(), request.headers());
        }
        self.document(request, &document)
    }

    /// `/api` and `/apis`: the legacy list, or the aggregated document if the client asks for it.
    fn group_discovery(&self, request: &Request<Body>, core: bool) -> Response<Body> {
        if request.method() != Method::GET {
            return responses::error(&method_not_allowed(), request.headers());
        }
        match negotiation::discovery(request.headers()) {
            Ok(Accepted::Aggregated(media)) => {
                let mut document = discovery::aggregated(core, &self.enabled);
                if !core {
                    custom::extend_aggregated(&self.registry, &mut document);
                }
                responses::discovery(request, &document, &media)
            }
            Ok(Accepted::Plain(_)) if core => self.document(request, &discovery::core_versions(&self.public_address)),
            Ok(Accepted::Plain(_)) => {
                let mut document = discovery::group_list(&self.enabled);
                custom::extend_groups(&self.registry, &mut document);
                self.document(request, &document)
            }
            Err(error) => responses::error(&error, request.headers()),
        }
    }

    fn document(&self, request: &Request<Body>, document: &Value) -> Response<Body> {
        responses::meta_object(request, document)
    }

    fn root(&self) -> Response<Body> {
        let mut paths = discovery::paths(&self.enabled);
        paths.extend(Health::paths());
        let fixed = [
            "/flagz",
            "/metrics",
            "/metrics/slis",
            "/openapi/v2",
            "/openapi/v3",
            "/openapi/v3/",
            "/statusz",
            "/version",
        ];
        paths.extend(fixed.iter().map(|p| (*p).to_owned()));
        if self.issuer.is_some() {
            paths.extend(["/.well-known/openid-configuration".to_owned(), "/openid/v1/jwks".to_owned()]);
        }
        paths.sort();
        json_text(&serde_json::json!({ "paths": paths }))
    }

    fn issuer(&self, pick: impl Fn(&IssuerDocuments) -> &Vec<u8>, media: &'static str) -> Response<Body> {
        let Some(documents) = &self.issuer else { return health::not_found() };
        let mut response = Response::new(Body::from(pick(documents).clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        response
    }
}

fn get_only(request: &Request<Body>, answer: impl FnOnce() -> Response<Body>) -> Response<Body> {
    if request.method() == Method::GET { answer() } else { responses::error(&method_not_allowed(), request.headers()) }
}

/// Indented JSON, as upstream writes documents for people.
fn json_text(value: &serde_json::Value) -> Response<Body> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn metrics(text: Vec<u8>, headers: &http::HeaderMap) -> Response<Body> {
    let mut response = responses::compressed(text, headers);
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// The 404 of paths that no resource has.
pub fn resource_not_found() -> ApiError {
    ApiError::generic(404, "get", "", "", "", "")
}

/// The 405 of paths that exist.
pub fn method_not_allowed() -> ApiError {
    ApiError::generic(405, "get", "", "", "", "")
}
