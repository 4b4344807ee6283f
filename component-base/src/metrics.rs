//! Prometheus metrics of a daemon: one registry for the process, upstream's names.
//!
//! A metric is registered on first use; registering the same name again returns the metric that exists.

use std::collections::HashMap;
use std::sync::OnceLock;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{
    CounterVec, Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry, TextEncoder,
};

/// The process-wide registry.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

/// All metrics in Prometheus' text form.
#[must_use]
pub fn render() -> Vec<u8> {
    process::refresh();
    let mut out = Vec::with_capacity(16 * 1024);
    if let Err(err) = TextEncoder::new().encode(&registry().gather(), &mut out) {
        tracing::error!(%err, "Failed to encode metrics");
    }
    out
}

fn register<T: Collector + Clone + Send + Sync + 'static>(made: T, name: &str) -> T {
    static KNOWN: OnceLock<Mutex<HashMap<String, Box<dyn std::any::Any + Send>>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock();
    if let Some(existing) = known.get(name).and_then(|metric| metric.downcast_ref::<T>()) {
        return existing.clone();
    }
    if let Err(err) = registry().register(Box::new(made.clone())) {
        tracing::error!(%err, metric = name, "Failed to register a metric");
    }
    known.insert(name.to_owned(), Box::new(made.clone()));
    made
}

/// A counter with labels.
#[must_use]
pub fn counter(name: &str, help: &str, labels: &[&str]) -> CounterVec {
    let made = CounterVec::new(Opts::new(name, help), labels).expect("metric names are constants checked by tests");
    register(made, name)
}

/// A gauge with labels.
#[must_use]
pub fn gauge(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    let made = GaugeVec::new(Opts::new(name, help), labels).expect("metric names are constants checked by tests");
    register(made, name)
}

/// A histogram with labels and bucket bounds (in the unit that the name says).
#[must_use]
pub fn histogram(name: &str, help: &str, labels: &[&str], buckets: Vec<f64>) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets);
    let made = HistogramVec::new(opts, labels).expect("metric names are constants checked by tests");
    register(made, name)
}

/// `count` bucket bounds, each `factor` times the one before.
#[must_use]
pub fn exponential(start: f64, factor: f64, count: usize) -> Vec<f64> {
    prometheus::exponential_buckets(start, factor, count).unwrap_or_else(|_| vec![start])
}

/// The metrics of one work queue (upstream: component-base/metrics/prometheus/workqueue).
#[derive(Clone)]
pub struct QueueMetrics {
    /// Keys waiting.
    pub depth: Gauge,
    /// Keys added.
    pub adds: prometheus::Counter,
    /// Seconds a key waited before it was processed.
    pub queue_duration: Histogram,
    /// Seconds processing took.
    pub work_duration: Histogram,
    /// Keys added with a delay.
    pub retries: prometheus::Counter,
}

impl QueueMetrics {
    /// The metrics under the queue's name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let buckets = || exponential(1e-8, 10.0, 12);
        Self {
            depth: gauge("workqueue_depth", "Current depth of workqueue", &["name"]).with_label_values(&[name]),
            adds: counter("workqueue_adds_total", "Total number of adds handled by workqueue", &["name"])
                .with_label_values(&[name]),
            queue_duration: histogram(
                "workqueue_queue_duration_seconds",
                "How long in seconds an item stays in workqueue before being requested.",
                &["name"],
                buckets(),
            )
            .with_label_values(&[name]),
            work_duration: histogram(
                "workqueue_work_duration_seconds",
                "How long in seconds processing an item from workqueue takes.",
                &["name"],
                buckets(),
            )
            .with_label_values(&[name]),
            retries: counter("workqueue_retries_total", "Total number of retries handled by workqueue", &["name"])
                .with_label_values(&[name]),
        }
    }
}

mod process {
    //! The `process_*` metrics, read from /proc when they are asked for.

    use super::gauge;

    pub(super) fn refresh() {
        let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
        // The command may hold spaces: fields are counted after the closing parenthesis.
        let Some((_, rest)) = stat.rsplit_once(") ") else { return };
        let fields: Vec<f64> = rest.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
        let at = |index: usize| fields.get(index).copied().unwrap_or(0.0);
        let ticks = 100.0;
        let set = |name: &str, help: &str, value: f64| {
            let none: &[&str] = &[];
            gauge(name, help, none).with_label_values(none).set(value);
        };
        set("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", (at(11) + at(12)) / ticks);
        set("process_virtual_memory_bytes", "Virtual memory size in bytes.", at(20));
        set("process_resident_memory_bytes", "Resident memory size in bytes.", at(21) * 4096.0);
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        set("process_open_fds", "Number of open file descriptors.", descriptors as f64);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_metric_registered_twice_is_one() {
        super::counter("test_total", "help", &["a"]).with_label_values(&["x"]).inc();
        super::counter("test_total", "help", &["a"]).with_label_values(&["x"]).inc();
        let text = String::from_utf8(super::render()).expect("metrics are text");
        assert!(text.contains("test_total{a=\"x\"} 2"), "{text}");
    }
}
