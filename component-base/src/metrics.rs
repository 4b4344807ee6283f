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
    registered();
    let mut out = Vec::with_capacity(16 * 1024);
    if let Err(err) = TextEncoder::new().encode(&registry().gather(), &mut out) {
        tracing::error!(%err, "Failed to encode metrics");
    }
    out
}

/// How many metrics there are. None is hidden or disabled: every metric that is made is shown.
fn registered() {
    let none: &[&str] = &[];
    for (name, help) in [
        ("disabled_metrics_total", "Metrics that are turned off."),
        ("hidden_metrics_total", "Metrics that are hidden."),
    ] {
        counter(name, help, none).with_label_values(none).inc_by(0.0);
    }
    let labels = ["deprecated_version", "stability_level"];
    let known = labelled("registered_metrics_total", "Metrics by stability level.", &labels, &["", "STABLE"]);
    let now = known_metrics().lock().len() as f64;
    known.inc_by((now - known.get()).max(0.0));
}

fn labelled(name: &str, help: &str, labels: &[&str], values: &[&str]) -> prometheus::Counter {
    counter(name, help, labels).with_label_values(values)
}

/// When the process started, in seconds since 1970.
#[must_use]
pub fn process_start_seconds() -> f64 {
    process::start_seconds()
}

type Known = HashMap<String, Box<dyn std::any::Any + Send>>;

/// Every metric by its name.
fn known_metrics() -> &'static Mutex<Known> {
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    KNOWN.get_or_init(Mutex::default)
}

fn register<T: Collector + Clone + Send + Sync + 'static>(made: T, name: &str) -> T {
    let mut known = known_metrics().lock();
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

    use super::{counter, gauge};

    const TICKS: f64 = 100.0;

    /// The fields of /proc/self/stat after the command.
    fn stat() -> Option<Vec<f64>> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The command may hold spaces: fields are counted after the closing parenthesis.
        let (_, rest) = stat.rsplit_once(") ")?;
        Some(rest.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect())
    }

    pub(super) fn start_seconds() -> f64 {
        let since_boot = stat().and_then(|fields| fields.get(19).copied()).unwrap_or(0.0) / TICKS;
        let boot = std::fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok());
        boot.unwrap_or(0.0) + since_boot
    }

    /// The soft limit of a row of /proc/self/limits.
    fn limit(row: &str) -> f64 {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let found = limits.lines().find_map(|line| line.strip_prefix(row)?.split_whitespace().next()?.parse().ok());
        // unlimited
        found.unwrap_or(u64::MAX as f64)
    }

    /// Bytes received and sent over all interfaces.
    fn network() -> (f64, f64) {
        let text = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
        let rows = text.lines().filter_map(|line| line.split_once(':')).map(|(_, rest)| {
            let numbers: Vec<f64> = rest.split_whitespace().map(|n| n.parse().unwrap_or(0.0)).collect();
            (numbers.first().copied().unwrap_or(0.0), numbers.get(8).copied().unwrap_or(0.0))
        });
        rows.fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
    }

    pub(super) fn refresh() {
        let Some(fields) = stat() else { return };
        let at = |index: usize| fields.get(index).copied().unwrap_or(0.0);
        let count = |name: &str, help: &str, value: f64| {
            let none: &[&str] = &[];
            let counter = counter(name, help, none).with_label_values(none);
            counter.inc_by((value - counter.get()).max(0.0));
        };
        let set = |name: &str, help: &str, value: f64| {
            let none: &[&str] = &[];
            gauge(name, help, none).with_label_values(none).set(value);
        };
        count(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            (at(11) + at(12)) / TICKS,
        );
        let (received, sent) = network();
        count("process_network_receive_bytes_total", "Bytes received over the network.", received);
        count("process_network_transmit_bytes_total", "Bytes sent over the network.", sent);
        set("process_start_time_seconds", "When the process started, in seconds since 1970.", start_seconds());
        set("process_max_fds", "Maximum number of open file descriptors.", limit("Max open files"));
        set("process_virtual_memory_max_bytes", "Maximum of virtual memory in bytes.", limit("Max address space"));
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
