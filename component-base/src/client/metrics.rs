//! What clients of the API server do.
//!
//! Upstream: component-base/metrics/prometheus/restclient. Absent: sizes of answers, which are streams here.

use std::sync::LazyLock;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::{CounterVec, HistogramVec};

use crate::metrics::{counter, histogram};

struct Metrics {
    total: CounterVec,
    seconds: HistogramVec,
    size: HistogramVec,
    limited: HistogramVec,
    retries: CounterVec,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let seconds = || vec![0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
    let labels = ["verb", "host"];
    Metrics {
        total: counter(
            "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            &["code", "method", "host"],
        ),
        seconds: histogram(
            "rest_client_request_duration_seconds",
            "Request latency in seconds. Broken down by verb, and host.",
            &labels,
            seconds(),
        ),
        size: histogram(
            "rest_client_request_size_bytes",
            "Request size in bytes. Broken down by verb and host.",
            &labels,
            vec![
                64.0,
                256.0,
                512.0,
                1024.0,
                4096.0,
                16384.0,
                65536.0,
                262_144.0,
                1_048_576.0,
                4_194_304.0,
                16_777_216.0,
            ],
        ),
        limited: histogram(
            "rest_client_rate_limiter_duration_seconds",
            "Client side rate limiter latency in seconds. Broken down by verb, and host.",
            &labels,
            seconds(),
        ),
        retries: counter(
            "rest_client_request_retries_total",
            "Number of request retries, partitioned by status code, verb, and host.",
            &["code", "verb", "host"],
        ),
    }
});

/// A request waited for its turn.
pub(super) fn limited(method: &Method, host: &str, took: Duration) {
    METRICS.limited.with_label_values(&[method.as_str(), host]).observe(took.as_secs_f64());
}

/// A request of so many bytes was answered (with a status), or failed (without).
pub(super) fn sent(method: &Method, host: &str, size: usize, status: Option<StatusCode>, took: Duration) {
    let code = status.as_ref().map_or("<error>", StatusCode::as_str);
    METRICS.total.with_label_values(&[code, method.as_str(), host]).inc();
    METRICS.seconds.with_label_values(&[method.as_str(), host]).observe(took.as_secs_f64());
    METRICS.size.with_label_values(&[method.as_str(), host]).observe(size as f64);
}

/// A request is sent again because of its answer.
pub(super) fn again(method: &Method, host: &str, status: StatusCode) {
    METRICS.retries.with_label_values(&[status.as_str(), method.as_str(), host]).inc();
}
