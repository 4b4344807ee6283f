//! The metrics of work queues.
//!
//! Upstream: component-base/metrics/prometheus/workqueue.

use prometheus::{Counter, Gauge, Histogram};

use super::{counter, exponential, gauge, histogram};

/// The metrics of one work queue.
#[derive(Clone)]
pub struct QueueMetrics {
    /// Keys waiting.
    pub depth: Gauge,
    /// Keys added.
    pub adds: Counter,
    /// Seconds a key waited before it was processed.
    pub queue_duration: Histogram,
    /// Seconds processing took.
    pub work_duration: Histogram,
    /// Keys added with a delay.
    pub retries: Counter,
    /// Seconds that all keys that are processed now took so far.
    pub unfinished_work: Gauge,
    /// Seconds that the key that is processed for the longest time took so far.
    pub longest_running: Gauge,
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
            unfinished_work: gauge(
                "workqueue_unfinished_work_seconds",
                "Seconds that keys took so far whose processing is not done; much of it means that workers are stuck.",
                &["name"],
            )
            .with_label_values(&[name]),
            longest_running: gauge(
                "workqueue_longest_running_processor_seconds",
                "Seconds that the longest running processor of workqueue has been running.",
                &["name"],
            )
            .with_label_values(&[name]),
        }
    }
}
