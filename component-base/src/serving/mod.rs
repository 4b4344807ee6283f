//! The HTTP(S) server of a daemon: health, metrics, configuration, with delegated authentication and authorization.
//!
//! Handlers run only after the request was authenticated and authorized. Upstream: apiserver/pkg/server (the parts that
//! kube-controller-manager, kube-scheduler, kubelet and kube-proxy use).

mod delegated;
mod front_proxy;
mod health;
mod listen;
mod responses;
mod secure;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use parking_lot::RwLock;

pub use delegated::{Attributes, AuthCacheTtl, Delegated, DelegatedOptions, LookupError, User};
pub use front_proxy::{FrontProxy, HeaderNames, extra_values};
pub use health::{Check, HealthChecks};
pub use listen::{PeerCertificates, RemoteAddr, bind, serve};
pub use responses::{full, json, status, text};
pub use secure::{FLAGS as SECURE_SERVING_FLAGS, SecureServing, ServingError, named_certificates};

/// A response body.
pub type ResponseBody = UnsyncBoxBody<Bytes, tower::BoxError>;
type Answer = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>, User) -> Answer + Send + Sync>;
type Describe = Arc<dyn Fn(&http::request::Parts) -> Vec<Attributes> + Send + Sync>;

/// Paths and what answers them. Clones share the checks and the configuration.
#[derive(Clone)]
pub struct Router {
    exact: BTreeMap<String, Handler>,
    prefixes: Vec<(String, Handler)>,
    health: Arc<HealthChecks>,
    config: Arc<RwLock<serde_json::Map<String, serde_json::Value>>>,
    auth: Option<Arc<Delegated>>,
    describe: Describe,
}

impl Router {
    /// `/healthz`, `/livez`, `/readyz`, `/metrics`, `/configz`, `/version`, `/debug/flags/v`, open to everybody until
    /// [`Router::delegate`].
    #[must_use]
    pub fn new(health: Arc<HealthChecks>) -> Self {
        let config: Arc<RwLock<serde_json::Map<_, _>>> = Arc::default();
        let shown = Arc::clone(&config);
        Self {
            exact: BTreeMap::new(),
            prefixes: Vec::new(),
            health,
            config,
            auth: None,
            describe: Arc::new(|parts| vec![Attributes::path(parts)]),
        }
        .route("/metrics", |_, _| async {
            responses::full(StatusCode::OK, "text/plain; version=0.0.4", crate::metrics::render())
        })
        .route("/version", |_, _| async { responses::json(StatusCode::OK, &crate::version::info()) })
        .route("/configz", move |_, _| {
            let config = serde_json::Value::Object(shown.read().clone());
            async move { responses::json(StatusCode::OK, &config) }
        })
        .route("/debug/flags/v", |request, _| set_verbosity(request))
    }

    /// Answers one path.
    #[must_use]
    pub fn route<F, R>(mut self, path: &str, handler: F) -> Self
    where
        F: Fn(Request<Incoming>, User) -> R + Send + Sync + 'static,
        R: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        self.exact.insert(path.to_owned(), Arc::new(move |request, user| Box::pin(handler(request, user))));
        self
    }

    /// Answers all paths that start so and have no route of their own; the longest prefix wins. `/` answers all others.
    #[must_use]
    pub fn prefix<F, R>(mut self, prefix: &str, handler: F) -> Self
    where
        F: Fn(Request<Incoming>, User) -> R + Send + Sync + 'static,
        R: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        self.prefixes.push((prefix.to_owned(), Arc::new(move |request, user| Box::pin(handler(request, user)))));
        self.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    /// Asks `auth` who sends a request and whether it may.
    #[must_use]
    pub fn delegate(mut self, auth: Arc<Delegated>) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Says what a request asks for, instead of its path; it is permitted if any of the answers is (the kubelet's
    /// fine-grained subresources).
    #[must_use]
    pub fn attributes(
        mut self,
        describe: impl Fn(&http::request::Parts) -> Vec<Attributes> + Send + Sync + 'static,
    ) -> Self {
        self.describe = Arc::new(describe);
        self
    }

    /// Shows a component's configuration under `/configz`.
    pub fn show_config(&self, name: &str, config: serde_json::Value) {
        self.config.write().insert(name.to_owned(), config);
    }

    /// The checks behind the health paths.
    #[must_use]
    pub fn health(&self) -> &Arc<HealthChecks> {
        &self.health
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let user = match self.permit(&parts).await {
            Ok(user) => user,
            Err(refusal) => return refusal,
        };
        let path = parts.uri.path().to_owned();
        // A daemon may answer a health path in its own form.
        if let Some(handler) = self.exact.get(&path) {
            return handler(Request::from_parts(parts, body), user).await;
        }
        if let Some(answer) = self.health.answer(&path, parts.uri.query().unwrap_or_default()) {
            return answer;
        }
        match self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())) {
            Some((_, handler)) => handler(Request::from_parts(parts, body), user).await,
            None => responses::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    async fn permit(&self, parts: &http::request::Parts) -> Result<User, Response<ResponseBody>> {
        let Some(auth) = &self.auth else { return Ok(User::anonymous()) };
        if auth.always_allows(parts.uri.path()) {
            return Ok(User::anonymous());
        }
        let Some(user) = auth.authenticate(parts).await else {
            return Err(responses::status(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"));
        };
        let mut refusal = None;
        for attributes in (self.describe)(parts) {
            match auth.authorize(&user, &attributes).await {
                Ok(true) => return Ok(user),
                Ok(false) => refusal.get_or_insert(attributes.refusal(&user)),
                Err(message) => refusal.insert(message),
            };
        }
        let message = refusal.unwrap_or_else(|| "forbidden".to_owned());
        Err(responses::status(StatusCode::FORBIDDEN, "Forbidden", &message))
    }
}

async fn set_verbosity(request: Request<Incoming>) -> Response<ResponseBody> {
    if request.method() != Method::PUT {
        return responses::text(StatusCode::NOT_ACCEPTABLE, "unrecognized method\n");
    }
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let level = std::str::from_utf8(&body).ok().and_then(|text| text.trim().parse().ok());
    match level {
        Some(level) => {
            crate::logs::set_verbosity(level);
            responses::text(StatusCode::OK, &format!("successfully set klog.logging.verbosity to {level}"))
        }
        None => responses::text(StatusCode::BAD_REQUEST, "failed to set klog.logging.verbosity: invalid syntax\n"),
    }
}
