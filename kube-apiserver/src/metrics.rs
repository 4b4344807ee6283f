//! The server's own metrics, under upstream's names.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/metrics/metrics.go

use std::time::Instant;

use component_base::metrics::{counter, gauge, histogram};
use http::{Method, StatusCode};

use crate::request::RequestInfo;

const DURATION_BUCKETS: [f64; 24] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0, 120.0,
];

/// Counts one request from its start to the moment its answer is ready.
#[derive(Debug)]
pub struct RequestMetrics {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    long_running: bool,
    kind: &'static str,
    begun: Instant,
}

impl RequestMetrics {
    /// Starts the count.
    pub fn begin(info: &RequestInfo, method: &Method) -> Self {
        let reads = matches!(info.verb.as_str(), "get" | "list" | "watch" | "head" | "options");
        let known =
            info.is_resource_request && apimachinery::resources::by_plural(&info.api_group, &info.resource).is_some();
        let name = |s: &str| if known { s.to_owned() } else { String::new() };
        let out = Self {
            verb: verb(info, method),
            group: name(&info.api_group),
            version: name(&info.api_version),
            resource: name(&info.resource),
            subresource: name(&info.subresource),
            scope: scope(info),
            long_running: info.is_long_running(),
            kind: if reads { "readOnly" } else { "mutating" },
            begun: Instant::now(),
        };
        out.inflight().inc();
        out
    }

    /// The answer's head is ready.
    pub fn end(self, status: StatusCode) {
        self.inflight().dec();
        counter(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
            &["code", "component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
        )
        .with_label_values(&[
            status.as_str(),
            "apiserver",
            "",
            &self.group,
            &self.resource,
            self.scope,
            &self.subresource,
            self.verb,
            &self.version,
        ])
        .inc();
        if !self.long_running {
            let labels = [
                "apiserver",
                "",
                self.group.as_str(),
                &self.resource,
                self.scope,
                &self.subresource,
                self.verb,
                &self.version,
            ];
            let seconds = self.begun.elapsed().as_secs_f64();
            histogram(
                "apiserver_request_duration_seconds",
                "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
                &["component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
                DURATION_BUCKETS.to_vec(),
            )
            .with_label_values(&labels)
            .observe(seconds);
        }
    }

    fn inflight(&self) -> prometheus::Gauge {
        gauge(
            "apiserver_current_inflight_requests",
            "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
            &["request_kind"],
        )
        .with_label_values(&[self.kind])
    }
}

fn verb(info: &RequestInfo, method: &Method) -> &'static str {
    match info.verb.as_str() {
        "list" => "LIST",
        "watch" => "WATCH",
        "create" if info.is_long_running() => "CONNECT",
        "get" if info.is_long_running() => "CONNECT",
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::PATCH => "PATCH",
            _ => "other",
        },
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    if !info.is_resource_request {
        ""
    } else if !info.name.is_empty() || info.verb == "create" {
        "resource"
    } else if info.namespace.is_empty() {
        "cluster"
    } else {
        "namespace"
    }
}
