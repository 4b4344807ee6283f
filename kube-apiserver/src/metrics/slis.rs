//! `/metrics/slis`: how health checks went.
//!
//! upstream: staging/src/k8s.io/component-base/metrics/prometheus/slis

use std::sync::OnceLock;

use prometheus::{CounterVec, Encoder as _, Gauge, GaugeVec, Opts, Registry, TextEncoder};

struct Slis {
    registry: Registry,
    last: GaugeVec,
    total: CounterVec,
}

fn slis() -> &'static Slis {
    static SLIS: OnceLock<Slis> = OnceLock::new();
    SLIS.get_or_init(|| {
        const FINE: &str = "names and labels are constants that are fine";
        let registry = Registry::new();
        let last = Opts::new("kubernetes_healthcheck", "Result of a health check when it last ran.");
        let last = GaugeVec::new(last, &["name", "type"]).expect(FINE);
        let total = Opts::new("kubernetes_healthchecks_total", "Runs of a health check, by result.");
        let total = CounterVec::new(total, &["name", "status", "type"]).expect(FINE);
        let start = Gauge::new("process_start_time_seconds", "When the process started, in seconds since 1970.");
        let start = start.expect(FINE);
        start.set(component_base::metrics::process_start_seconds());
        registry.register(Box::new(last.clone())).expect(FINE);
        registry.register(Box::new(total.clone())).expect(FINE);
        registry.register(Box::new(start)).expect(FINE);
        Slis { registry, last, total }
    })
}

/// A check of an endpoint (`livez` …) ran.
pub fn checked(endpoint: &str, name: &str, passed: bool) {
    let slis = slis();
    slis.last.with_label_values(&[name, endpoint]).set(if passed { 1.0 } else { 0.0 });
    slis.total.with_label_values(&[name, if passed { "success" } else { "error" }, endpoint]).inc();
}

/// All of them in Prometheus' text form.
pub fn render() -> Vec<u8> {
    let mut out = Vec::new();
    if let Err(err) = TextEncoder::new().encode(&slis().registry.gather(), &mut out) {
        tracing::error!(%err, "failed to encode metrics");
    }
    out
}
