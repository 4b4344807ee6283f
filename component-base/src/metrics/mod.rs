//! Prometheus metrics of a daemon: one registry for the process, upstream's names.
//!
//! A metric is registered on first use; registering the same name again returns the metric that exists. What is known
//! elsewhere anyway is made into metrics when they are asked for: see [`source`].

mod families;
mod process;
mod queue;

use std::collections::HashMap;
use std::sync::OnceLock;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{CounterVec, Encoder as _, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry, TextEncoder};

pub use families::Families;
pub use queue::QueueMetrics;

/// The process-wide registry.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

/// All metrics in Prometheus' text form.
#[must_use]
pub fn render() -> Vec<u8> {
    process::refresh();
    let mut families = Families::default();
    sources().lock().retain(|source| source(&mut families));
    registered(families.len());
    let mut all = registry().gather();
    all.extend(families.into_sorted());
    all.sort_by(|a, b| a.name().cmp(b.name()));
    let mut out = Vec::with_capacity(16 * 1024);
    if let Err(err) = TextEncoder::new().encode(&all, &mut out) {
        tracing::error!(%err, "Failed to encode metrics");
    }
    out
}

/// How many metrics there are, with so many that were made just now. None is hidden or disabled: every metric that is
/// made is shown.
fn registered(made: usize) {
    let none: &[&str] = &[];
    for (name, help) in [
        ("disabled_metrics_total", "Metrics that are turned off."),
        ("hidden_metrics_total", "Metrics that are hidden."),
    ] {
        counter(name, help, none).with_label_values(none).inc_by(0.0);
    }
    let labels = ["deprecated_version", "stability_level"];
    let known = labelled("registered_metrics_total", "Metrics by stability level.", &labels, &["", "STABLE"]);
    let now = (known_metrics().lock().len() + made) as f64;
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

type Source = Box<dyn Fn(&mut Families) -> bool + Send>;

fn sources() -> &'static Mutex<Vec<Source>> {
    static SOURCES: OnceLock<Mutex<Vec<Source>>> = OnceLock::new();
    SOURCES.get_or_init(Mutex::default)
}

/// Calls `source` whenever metrics are asked for, until it answers false. It adds metrics or sets those there are; names
/// must be its own.
pub fn source(source: impl Fn(&mut Families) -> bool + Send + 'static) {
    sources().lock().push(Box::new(source));
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
