//! Whether rules are up to date, and whether load balancers should send traffic to this node.
//! upstream: pkg/proxy/healthcheck/proxy_health.go

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use component_base::clock;
use component_base::serving::{HealthChecks, ResponseBody, Router, full};
use http::{HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use crate::metrics;
use crate::model::Family;

#[derive(Default)]
struct State {
    updated: BTreeMap<&'static str, Timestamp>,
    /// When the oldest change came that is not in the rules yet.
    pending: BTreeMap<&'static str, Timestamp>,
    /// None while the node was not seen.
    node_eligible: Option<bool>,
}

/// The proxy's own health.
pub struct ProxyHealth {
    /// So long may a change wait.
    timeout: Duration,
    state: Mutex<State>,
}

/// The answer of /healthz and /livez.
#[derive(Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Report {
    last_updated: Timestamp,
    current_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<&'static str, FamilyReport>,
}

#[derive(Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct FamilyReport {
    last_updated: Timestamp,
    healthy: bool,
}

impl ProxyHealth {
    /// Healthy while no change waits longer than `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, state: Mutex::default() }
    }

    /// The rules of a family agree with what is known.
    pub fn updated(&self, family: Family, now: Timestamp) {
        let mut state = self.state.lock();
        state.pending.remove(family.as_str());
        state.updated.insert(family.as_str(), now);
    }

    /// A change came that is not in the rules yet.
    pub fn queued(&self, family: Family, now: Timestamp) {
        self.state.lock().pending.entry(family.as_str()).or_insert(now);
    }

    /// Whether the node takes traffic: it is neither deleted nor about to be.
    pub fn set_node_eligible(&self, eligible: bool) {
        self.state.lock().node_eligible = Some(eligible);
    }

    /// Whether the rules are up to date.
    pub fn is_healthy(&self, now: Timestamp) -> bool {
        self.report(now, false).healthy
    }

    fn report(&self, now: Timestamp, with_node: bool) -> Report {
        let state = self.state.lock();
        let late =
            |family: &str| state.pending.get(family).is_some_and(|since| clock::since(now, *since) >= self.timeout);
        let of = |(family, at): (&&'static str, &Timestamp)| {
            (*family, FamilyReport { last_updated: *at, healthy: !late(family) })
        };
        let status: BTreeMap<_, _> = state.updated.iter().map(of).collect();
        let node_eligible = with_node.then(|| state.node_eligible.unwrap_or(false));
        let healthy = status.values().all(|s| s.healthy);
        let newest = state.updated.values().max().copied().unwrap_or(Timestamp::UNIX_EPOCH);
        let fine = healthy && node_eligible.unwrap_or(true);
        Report { last_updated: if fine { now } else { newest }, current_time: now, node_eligible, healthy, status }
    }
}

fn answer(report: &Report) -> (StatusCode, Response<ResponseBody>) {
    let fine = report.healthy && report.node_eligible.unwrap_or(true);
    let code = if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_vec(report).unwrap_or_default();
    let mut response = full(code, "application/json", body);
    response.headers_mut().insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    (code, response)
}

/// The routes of the health server.
pub fn router(health: &Arc<ProxyHealth>) -> Router {
    let (ready, alive) = (Arc::clone(health), Arc::clone(health));
    Router::new(HealthChecks::new())
        .route("/healthz", move |_, _| {
            let (code, response) = answer(&ready.report(clock::now(), true));
            metrics::get().healthz.with_label_values(&[code.as_str()]).inc();
            async move { response }
        })
        .route("/livez", move |_, _| {
            let (code, response) = answer(&alive.report(clock::now(), false));
            metrics::get().livez.with_label_values(&[code.as_str()]).inc();
            async move { response }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_waits_too_long_is_unhealthy() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let health = ProxyHealth::new(Duration::from_secs(60));
        assert!(health.is_healthy(at(0)));
        health.updated(Family::V4, at(10));
        health.queued(Family::V4, at(20));
        health.queued(Family::V4, at(70));
        assert!(health.is_healthy(at(79)) && !health.is_healthy(at(80)));
        assert_eq!(health.report(at(80), false).last_updated, at(10));
        health.updated(Family::V4, at(81));
        assert_eq!(health.report(at(90), true).node_eligible, Some(false));
        health.set_node_eligible(true);
        let text = serde_json::to_string(&health.report(at(90), true)).unwrap();
        assert_eq!(
            text,
            r#"{"lastUpdated":"1970-01-01T00:01:30Z","currentTime":"1970-01-01T00:01:30Z","nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":"1970-01-01T00:01:21Z","healthy":true}}}"#
        );
    }
}
