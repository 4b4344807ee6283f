//! `/healthz`, `/livez` and `/readyz`: the named checks, their order and their texts.
//!
//! A check is a flag that the work of that name sets when it is done, or a question to etcd. Checks never
//! start work themselves.
//! upstream: staging/src/k8s.io/apiserver/pkg/server/{healthz/healthz.go, hooks.go}

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::metrics::slis;
use apimachinery::quote::quote_all;

/// The health endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`
    Healthz,
    /// `/livez`
    Livez,
    /// `/readyz`
    Readyz,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Healthz, Self::Livez, Self::Readyz];

    /// The path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Healthz => "/healthz",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
        }
    }
}

/// Work after start that has a check of its own, in upstream's order. The names are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is named after the check in NAMES")]
pub enum Hook {
    AdmissionInitializer,
    StartInformers,
    FlowControlConsumer,
    FlowControlFilter,
    ObjectCountTracker,
    ExtensionInformers,
    ExtensionControllers,
    CrdInformerSynced,
    SystemNamespaces,
    PeerEndpointReconciler,
    ClusterAuthenticationInfo,
    IdentityLease,
    IdentityLeaseCollector,
    StorageReadiness,
    LegacyTokenTracking,
    ServiceIpRepair,
    RbacBootstrapRoles,
    PriorityClasses,
    FlowControlProducer,
    BootstrapController,
    ServiceCidr,
    ReloadProxyClientCert,
    AggregatorInformers,
    ApiServiceLocalAvailable,
    ApiServiceRemoteAvailable,
    ApiServiceRegistration,
    ApiServiceFirstSync,
    ApiServiceDiscovery,
    Autoregistration,
    AutoregisterCompletion,
    ApiServiceOpenApi,
    ApiServiceOpenApiV3,
}

const NAMES: [(Hook, &str); 32] = [
    (Hook::AdmissionInitializer, "poststarthook/start-apiserver-admission-initializer"),
    (Hook::StartInformers, "poststarthook/generic-apiserver-start-informers"),
    (Hook::FlowControlConsumer, "poststarthook/priority-and-fairness-config-consumer"),
    (Hook::FlowControlFilter, "poststarthook/priority-and-fairness-filter"),
    (Hook::ObjectCountTracker, "poststarthook/storage-object-count-tracker-hook"),
    (Hook::ExtensionInformers, "poststarthook/start-apiextensions-informers"),
    (Hook::ExtensionControllers, "poststarthook/start-apiextensions-controllers"),
    (Hook::CrdInformerSynced, "poststarthook/crd-informer-synced"),
    (Hook::SystemNamespaces, "poststarthook/start-system-namespaces-controller"),
    (Hook::PeerEndpointReconciler, "poststarthook/peer-endpoint-reconciler-controller"),
    (Hook::ClusterAuthenticationInfo, "poststarthook/start-cluster-authentication-info-controller"),
    (Hook::IdentityLease, "poststarthook/start-kube-apiserver-identity-lease-controller"),
    (Hook::IdentityLeaseCollector, "poststarthook/start-kube-apiserver-identity-lease-garbage-collector"),
    (Hook::StorageReadiness, "poststarthook/storage-readiness"),
    (Hook::LegacyTokenTracking, "poststarthook/start-legacy-token-tracking-controller"),
    (Hook::ServiceIpRepair, "poststarthook/start-service-ip-repair-controllers"),
    (Hook::RbacBootstrapRoles, "poststarthook/rbac/bootstrap-roles"),
    (Hook::PriorityClasses, "poststarthook/scheduling/bootstrap-system-priority-classes"),
    (Hook::FlowControlProducer, "poststarthook/priority-and-fairness-config-producer"),
    (Hook::BootstrapController, "poststarthook/bootstrap-controller"),
    (Hook::ServiceCidr, "poststarthook/start-kubernetes-service-cidr-controller"),
    (Hook::ReloadProxyClientCert, "poststarthook/aggregator-reload-proxy-client-cert"),
    (Hook::AggregatorInformers, "poststarthook/start-kube-aggregator-informers"),
    (Hook::ApiServiceLocalAvailable, "poststarthook/apiservice-status-local-available-controller"),
    (Hook::ApiServiceRemoteAvailable, "poststarthook/apiservice-status-remote-available-controller"),
    (Hook::ApiServiceRegistration, "poststarthook/apiservice-registration-controller"),
    (Hook::ApiServiceFirstSync, "poststarthook/apiservice-wait-for-first-sync"),
    (Hook::ApiServiceDiscovery, "poststarthook/apiservice-discovery-controller"),
    (Hook::Autoregistration, "poststarthook/kube-apiserver-autoregistration"),
    (Hook::AutoregisterCompletion, "autoregister-completion"),
    (Hook::ApiServiceOpenApi, "poststarthook/apiservice-openapi-controller"),
    (Hook::ApiServiceOpenApiV3, "poststarthook/apiservice-openapiv3-controller"),
];

/// Asks whether etcd answers.
pub type EtcdProbe = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// State of all checks.
pub struct Health {
    hooks: [AtomicBool; NAMES.len()],
    informers_synced: AtomicBool,
    shutting_down: AtomicBool,
    etcd: EtcdProbe,
    etcd_timeout: Duration,
}

#[derive(Clone, Copy)]
enum Check {
    Always(&'static str),
    Etcd(&'static str),
    Informers,
    Hook(usize),
    Shutdown,
}

impl Health {
    /// Nothing is done yet; `etcd` is asked on every request.
    pub fn new(etcd: EtcdProbe, etcd_timeout: Duration) -> Self {
        Self {
            hooks: std::array::from_fn(|_| AtomicBool::new(false)),
            informers_synced: AtomicBool::new(false),
            shutting_down: AtomicBool::new(false),
            etcd,
            etcd_timeout,
        }
    }

    /// Says that work is done.
    pub fn done(&self, hook: Hook) {
        self.hooks[hook as usize].store(true, Ordering::Release);
    }

    /// Says that the caches the server itself reads are filled.
    pub fn informers_synced(&self) {
        self.informers_synced.store(true, Ordering::Release);
    }

    /// Makes the server unready: shutdown has begun.
    pub fn shutdown(&self) {
        self.shutting_down.store(true, Ordering::Release);
    }

    /// Paths of every endpoint and every check.
    pub fn paths() -> Vec<String> {
        let mut out = Vec::new();
        for endpoint in Endpoint::ALL {
            out.push(endpoint.path().to_owned());
            out.extend(checks(endpoint).iter().map(|c| format!("{}/{}", endpoint.path(), c.name())));
        }
        out
    }

    /// Answers a health path, or `None` if there is no such check.
    pub async fn answer(&self, path: &str, query: &str) -> Option<Response<Body>> {
        let endpoint = Endpoint::ALL
            .into_iter()
            .find(|e| path.strip_prefix(e.path()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))?;
        let rest = &path[endpoint.path().len()..];
        if rest.is_empty() {
            return Some(self.summary(endpoint, query).await);
        }
        let check = checks(endpoint).into_iter().find(|c| rest[1..] == *c.name())?;
        Some(match self.checked(endpoint, check).await {
            Ok(()) => text(StatusCode::OK, "ok".to_owned(), false),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {error}\n"), true),
        })
    }

    async fn summary(&self, endpoint: Endpoint, query: &str) -> Response<Body> {
        let mut excluded = excluded(query);
        let mut lines = String::new();
        let mut failed = Vec::new();
        for check in checks(endpoint) {
            let name = check.name();
            let before = excluded.len();
            excluded.retain(|e| e != name);
            if excluded.len() < before {
                lines.push_str(&format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match self.checked(endpoint, check).await {
                Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
                Err(error) => {
                    tracing::debug!(check = name, error, "health check failed");
                    lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                    failed.push(name);
                }
            }
        }
        if !excluded.is_empty() {
            lines.push_str(&format!(
                "warn: some health checks cannot be excluded: no matches for {}\n",
                quote_all(&excluded)
            ));
        }
        let name = &endpoint.path()[1..];
        if !failed.is_empty() {
            lines.push_str(&format!("{name} check failed\n"));
            return text(StatusCode::INTERNAL_SERVER_ERROR, lines, true);
        }
        let verbose = url::form_urlencoded::parse(query.as_bytes()).any(|(k, _)| k == "verbose");
        if !verbose {
            return text(StatusCode::OK, "ok".to_owned(), true);
        }
        lines.push_str(&format!("{name} check passed\n"));
        text(StatusCode::OK, lines, true)
    }

    async fn checked(&self, endpoint: Endpoint, check: Check) -> Result<(), String> {
        let result = self.run(check).await;
        slis::checked(&endpoint.path()[1..], check.name(), result.is_ok());
        result
    }

    async fn run(&self, check: Check) -> Result<(), String> {
        let done = |flag: &AtomicBool, why: &str| {
            if flag.load(Ordering::Acquire) { Ok(()) } else { Err(why.to_owned()) }
        };
        match check {
            Check::Always(_) => Ok(()),
            Check::Etcd(_) => match tokio::time::timeout(self.etcd_timeout, (self.etcd)()).await {
                Ok(result) => result,
                Err(_) => Err("error getting data from etcd: context deadline exceeded".to_owned()),
            },
            Check::Informers => done(&self.informers_synced, "informers not started yet"),
            Check::Hook(index) => done(&self.hooks[index], "not finished"),
            Check::Shutdown if self.shutting_down.load(Ordering::Acquire) => Err("process is shutting down".to_owned()),
            Check::Shutdown => Ok(()),
        }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}

impl Check {
    fn name(&self) -> &'static str {
        match self {
            Self::Always(name) | Self::Etcd(name) => name,
            Self::Informers => "informer-sync",
            Self::Hook(index) => NAMES[*index].1,
            Self::Shutdown => "shutdown",
        }
    }
}

fn checks(endpoint: Endpoint) -> Vec<Check> {
    let mut out = vec![Check::Always("ping"), Check::Always("log")];
    if endpoint == Endpoint::Readyz {
        out.extend([Check::Etcd("etcd"), Check::Etcd("etcd-readiness"), Check::Informers]);
    } else {
        out.extend([Check::Always("loopback-serving-certificate"), Check::Etcd("etcd")]);
    }
    out.extend((0..NAMES.len()).map(Check::Hook));
    if endpoint == Endpoint::Readyz {
        out.push(Check::Shutdown);
    }
    out
}

fn excluded(query: &str) -> Vec<String> {
    url::form_urlencoded::parse(query.as_bytes()).filter(|(k, _)| k == "exclude").map(|(_, v)| v.into_owned()).collect()
}

/// A plain text answer.
pub fn text(status: StatusCode, body: String, nosniff: bool) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if nosniff {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// What is answered for paths that lead nowhere.
pub fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_enum() {
        for (index, (hook, _)) in NAMES.iter().enumerate() {
            assert_eq!(*hook as usize, index);
        }
    }

    #[test]
    fn exclusions_are_repeatable() {
        assert_eq!(excluded("verbose&exclude=a&exclude=b"), ["a", "b"]);
    }
}
