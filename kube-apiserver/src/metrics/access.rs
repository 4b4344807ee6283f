//! Who asked and whether they were allowed to.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/filters/metrics.go

use std::time::Duration;

use component_base::metrics::{counter, histogram};

use super::doubling;
use crate::authorization::Decision;
use crate::request::UserInfo;

/// Users that are counted by name: others would be without bound.
const NAMED: [&str; 6] = [
    "admin",
    "system",
    "system:kube-proxy",
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
];

/// An attempt to authenticate ended.
pub fn authenticated(user: Option<&UserInfo>, took: Duration) {
    let result = if user.is_some() { "success" } else { "failure" };
    counter("authentication_attempts", "Attempts to authenticate, by result.", &["result"])
        .with_label_values(&[result])
        .inc();
    histogram("authentication_duration_seconds", "Seconds of authentication, by result.", &["result"], doubling())
        .with_label_values(&[result])
        .observe(took.as_secs_f64());
    if let Some(user) = user {
        let name = NAMED.into_iter().find(|name| *name == user.name).unwrap_or("other");
        counter("authenticated_user_requests", "Authenticated requests, by user.", &["username"])
            .with_label_values(&[name])
            .inc();
    }
}

/// A decision was made.
pub fn authorized(decision: &Decision, took: Duration) {
    let result = match decision {
        Decision::Allow(_) => "allowed",
        Decision::Deny(_) => "denied",
        Decision::NoOpinion(_) => "no-opinion",
    };
    counter("authorization_attempts_total", "Decisions of the authorizers, by result.", &["result"])
        .with_label_values(&[result])
        .inc();
    histogram("authorization_duration_seconds", "Seconds of authorization, by result.", &["result"], doubling())
        .with_label_values(&[result])
        .observe(took.as_secs_f64());
}
