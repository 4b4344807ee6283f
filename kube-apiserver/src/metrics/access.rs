//! Who asked and whether they were allowed to.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/filters/metrics.go

use std::sync::LazyLock;
use std::time::Duration;

use component_base::metrics::{counter, histogram};
use prometheus::{CounterVec, HistogramVec};

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

/// How often something came out how, and how long that took.
struct Outcomes {
    count: CounterVec,
    seconds: HistogramVec,
}

impl Outcomes {
    fn observe(&self, result: &str, took: Duration) {
        self.count.with_label_values(&[result]).inc();
        self.seconds.with_label_values(&[result]).observe(took.as_secs_f64());
    }
}

static AUTHENTICATION: LazyLock<Outcomes> = LazyLock::new(|| Outcomes {
    count: counter("authentication_attempts", "Attempts to authenticate, by result.", &["result"]),
    seconds: histogram(
        "authentication_duration_seconds",
        "Seconds of authentication, by result.",
        &["result"],
        doubling(),
    ),
});

static AUTHORIZATION: LazyLock<Outcomes> = LazyLock::new(|| Outcomes {
    count: counter("authorization_attempts_total", "Decisions of the authorizers, by result.", &["result"]),
    seconds: histogram(
        "authorization_duration_seconds",
        "Seconds of authorization, by result.",
        &["result"],
        doubling(),
    ),
});

static USERS: LazyLock<CounterVec> =
    LazyLock::new(|| counter("authenticated_user_requests", "Authenticated requests, by user.", &["username"]));

/// An attempt to authenticate ended.
pub fn authenticated(user: Option<&UserInfo>, took: Duration) {
    AUTHENTICATION.observe(if user.is_some() { "success" } else { "failure" }, took);
    if let Some(user) = user {
        let name = NAMED.into_iter().find(|name| *name == user.name).unwrap_or("other");
        USERS.with_label_values(&[name]).inc();
    }
}

/// A decision was made.
pub fn authorized(decision: &Decision, took: Duration) {
    let result = match decision {
        Decision::Allow(_) => "allowed",
        Decision::Deny(_) => "denied",
        Decision::NoOpinion(_) => "no-opinion",
    };
    AUTHORIZATION.observe(result, took);
}
