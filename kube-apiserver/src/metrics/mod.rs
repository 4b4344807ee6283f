//! The server's own metrics, under upstream's names.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/metrics/metrics.go

pub mod access;
pub mod slis;
pub mod storage;

use std::sync::LazyLock;
use std::time::Instant;

use component_base::metrics::{counter, gauge, histogram};
use http::{Method, StatusCode};
use prometheus::{Counter, CounterVec, Gauge, HistogramVec};

use crate::filters::request_info::param;
use crate::request::RequestInfo;

/// Counters without labels; all of them show from the start.
pub struct Counters {
    /// Audit events that were written.
    pub audit_events: Counter,
    /// Tokens of service accounts, neither past their refresh time nor of those that have none.
    pub valid_tokens: Counter,
    /// Tokens of service accounts past their refresh time.
    pub stale_tokens: Counter,
    /// Tokens out of secrets.
    pub legacy_tokens: Counter,
    /// Of these, those out of secrets made by the control plane.
    pub legacy_auto_tokens: Counter,
    /// Of these, those out of secrets made by users.
    pub legacy_manual_tokens: Counter,
    /// Tokens out of secrets that are marked invalid.
    pub invalid_legacy_auto_tokens: Counter,
}

/// The counters without labels.
pub static COUNTERS: LazyLock<Counters> = LazyLock::new(|| Counters {
    audit_events: plain_counter("apiserver_audit_event_total", "Audit events that were written."),
    valid_tokens: plain_counter("serviceaccount_valid_tokens_total", "Tokens of service accounts that were valid."),
    stale_tokens: plain_counter(
        "serviceaccount_stale_tokens_total",
        "Tokens of service accounts that were valid and past their refresh time.",
    ),
    legacy_tokens: plain_counter("serviceaccount_legacy_tokens_total", "Tokens out of secrets that were used."),
    legacy_auto_tokens: plain_counter(
        "serviceaccount_legacy_auto_token_uses_total",
        "Tokens out of secrets made by the control plane that were used.",
    ),
    legacy_manual_tokens: plain_counter(
        "serviceaccount_legacy_manual_token_uses_total",
        "Tokens out of secrets made by users that were used.",
    ),
    invalid_legacy_auto_tokens: plain_counter(
        "serviceaccount_invalid_legacy_auto_token_uses_total",
        "Tokens out of secrets marked invalid that were used.",
    ),
});

/// Makes the metrics that say something before anything happened.
pub fn register() {
    LazyLock::force(&COUNTERS);
    // Nothing is refused for want of an audit log: this stays 0.
    plain_counter("apiserver_audit_requests_rejected_total", "Requests refused because they could not be audited.");
}

/// Requests that find no place are refused at once.
pub fn nobody_waits() {
    for kind in ["mutating", "readOnly"] {
        gauge("apiserver_current_inqueue_requests", "Requests that wait for a place, by kind.", &["request_kind"])
            .with_label_values(&[kind])
            .set(0.0);
    }
}

/// A counter without labels.
fn plain_counter(name: &str, help: &str) -> Counter {
    let none: &[&str] = &[];
    counter(name, help, none).with_label_values(none)
}

/// Upstream's buckets of waits that begin with a millisecond.
fn doubling() -> Vec<f64> {
    component_base::metrics::exponential(0.001, 2.0, 15)
}

/// The metrics of requests in general.
struct Requests {
    total: CounterVec,
    duration: HistogramVec,
    /// Of writes, by how they want their fields checked.
    field_validation: HistogramVec,
    reading: Gauge,
    mutating: Gauge,
}

static REQUESTS: LazyLock<Requests> = LazyLock::new(|| {
    let inflight = gauge(
        "apiserver_current_inflight_requests",
        "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
        &["request_kind"],
    );
    Requests {
        total: counter(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
            &["code", "component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
        ),
        duration: histogram(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
            &["component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
            DURATION_BUCKETS.to_vec(),
        ),
        field_validation: histogram(
            "field_validation_request_duration_seconds",
            "Seconds that writes took, by field validation.",
            &["field_validation"],
            DURATION_BUCKETS.to_vec(),
        ),
        reading: inflight.with_label_values(&["readOnly"]),
        mutating: inflight.with_label_values(&["mutating"]),
    }
});

const DURATION_BUCKETS: [f64; 24] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0, 120.0,
];

/// Counts one request from its start to the moment its answer is ready.
#[derive(Debug)]
pub struct RequestMetrics {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    long_running: bool,
    only_reads: bool,
    /// Of writes: how their fields are checked.
    field_validation: Option<&'static str>,
    begun: Instant,
}

impl RequestMetrics {
    /// Starts the count.
    pub fn begin(info: &RequestInfo, method: &Method, query: &str) -> Self {
        // Labels are names that the table has: what clients make up would be without bound.
        let known =
            apimachinery::resources::by_plural(&info.api_group, &info.resource).filter(|_| info.is_resource_request);
        let subresource = known.and_then(|known| known.subresource(&info.subresource));
        let version = known.and_then(|known| known.versions.iter().find(|version| **version == info.api_version));
        let out = Self {
            verb: verb(info, method),
            group: known.map_or("", |known| known.group),
            version: version.copied().unwrap_or_default(),
            resource: known.map_or("", |known| known.plural),
            subresource: subresource.map_or("", |subresource| subresource.name),
            scope: scope(info),
            long_running: info.is_long_running(),
            only_reads: info.only_reads(),
            field_validation: matches!(info.verb.as_str(), "create" | "update" | "patch").then(|| directive(query)),
            begun: Instant::now(),
        };
        out.inflight().inc();
        out
    }

    /// The answer's head is ready.
    pub fn end(self, status: StatusCode) {
        self.inflight().dec();
        let labels = [
            status.as_str(),
            "apiserver",
            "",
            self.group,
            self.resource,
            self.scope,
            self.subresource,
            self.verb,
            self.version,
        ];
        REQUESTS.total.with_label_values(&labels).inc();
        if self.long_running {
            return;
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        REQUESTS.duration.with_label_values(&labels[1..]).observe(seconds);
        if let Some(directive) = self.field_validation {
            REQUESTS.field_validation.with_label_values(&[directive]).observe(seconds);
        }
    }

    fn inflight(&self) -> &'static Gauge {
        if self.only_reads { &REQUESTS.reading } else { &REQUESTS.mutating }
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
