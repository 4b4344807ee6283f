//! The server's own metrics, under upstream's names.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/metrics/metrics.go

pub mod access;
pub mod slis;

use std::time::Instant;

use component_base::metrics::{counter, gauge, histogram};
use http::{Method, StatusCode};

use crate::filters::request_info::param;
use crate::request::RequestInfo;

/// Makes the metrics that say something before anything happened.
pub fn register() {
    for (name, help) in [
        ("apiserver_audit_event_total", "Audit events that were written."),
        ("apiserver_audit_requests_rejected_total", "Requests refused because they could not be audited."),
        ("serviceaccount_valid_tokens_total", "Tokens of service accounts that were valid."),
        (
            "serviceaccount_stale_tokens_total",
            "Tokens of service accounts that were valid and past their refresh time.",
        ),
        ("serviceaccount_legacy_tokens_total", "Tokens out of secrets that were used."),
        (
            "serviceaccount_legacy_auto_token_uses_total",
            "Tokens out of secrets made by the control plane that were used.",
        ),
        ("serviceaccount_legacy_manual_token_uses_total", "Tokens out of secrets made by users that were used."),
        ("serviceaccount_invalid_legacy_auto_token_uses_total", "Tokens out of secrets marked invalid that were used."),
    ] {
        plain_counter(name, help).inc_by(0.0);
    }
    for kind in ["mutating", "readOnly"] {
        gauge("apiserver_current_inqueue_requests", "Requests that wait for a place, by kind.", &["request_kind"])
            .with_label_values(&[kind])
            .set(0.0);
    }
}

/// A counter without labels.
pub fn plain_counter(name: &str, help: &str) -> prometheus::Counter {
    let none: &[&str] = &[];
    counter(name, help, none).with_label_values(none)
}

/// Upstream's buckets of waits that begin with a millisecond.
fn doubling() -> Vec<f64> {
    component_base::metrics::exponential(0.001, 2.0, 15)
}

/// How long a write took, by how it wanted its fields checked.
fn field_validation(directive: &str, seconds: f64) {
    histogram(
        "field_validation_request_duration_seconds",
        "Seconds that writes took, by field validation.",
        &["field_validation"],
        DURATION_BUCKETS.to_vec(),
    )
    .with_label_values(&[directive])
    .observe(seconds);
}

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
    /// Of writes: how their fields are checked.
    field_validation: Option<&'static str>,
    begun: Instant,
}

impl RequestMetrics {
    /// Starts the count.
    pub fn begin(info: &RequestInfo, method: &Method, query: &str) -> Self {
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
            field_validation: matches!(info.verb.as_str(), "create" | "update" | "patch").then(|| directive(query)),
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
            if let Some(directive) = self.field_validation {
                field_validation(directive, seconds);
            }
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

fn directive(query: &str) -> &'static str {
    match param(query, "fieldValidation").as_deref() {
        Some("Strict") => "Strict",
        Some("Ignore") => "Ignore",
        _ => "Warn",
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
