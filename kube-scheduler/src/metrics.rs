//! Metrics under upstream's names. upstream: pkg/scheduler/metrics/metrics.go

use std::sync::OnceLock;

use component_base::metrics::{counter, exponential, gauge, histogram};
use prometheus::{CounterVec, GaugeVec, HistogramVec};

/// All metrics of the scheduler.
#[expect(missing_docs, reason = "each field is named as its metric, less the prefix scheduler_")]
pub struct Metrics {
    pub schedule_attempts: CounterVec,
    pub attempt_duration: HistogramVec,
    pub algorithm_duration: HistogramVec,
    pub preemption_victims: HistogramVec,
    pub preemption_attempts: CounterVec,
    pub pending_pods: GaugeVec,
    pub inflight_events: GaugeVec,
    pub sli_duration: HistogramVec,
    pub scheduling_attempts: HistogramVec,
    pub extension_point_duration: HistogramVec,
    pub queue_incoming_pods: CounterVec,
    pub cache_size: GaugeVec,
    pub unschedulable_pods: GaugeVec,
    pub event_handling_duration: HistogramVec,
    pub goroutines: GaugeVec,
}

/// The metrics, registered on first use.
pub fn get() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics {
        schedule_attempts: counter(
            "scheduler_schedule_attempts_total",
            "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
            &["result", "profile"],
        ),
        attempt_duration: histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
            &["result", "profile"],
            exponential(0.001, 2.0, 15),
        ),
        algorithm_duration: histogram(
            "scheduler_scheduling_algorithm_duration_seconds",
            "Scheduling algorithm latency in seconds",
            &[],
            exponential(0.001, 2.0, 15),
        ),
        preemption_victims: histogram(
            "scheduler_preemption_victims",
            "Number of selected preemption victims",
            &[],
            exponential(1.0, 2.0, 7),
        ),
        preemption_attempts: counter(
            "scheduler_preemption_attempts_total",
            "Total preemption attempts in the cluster till now",
            &[],
        ),
        pending_pods: gauge(
            "scheduler_pending_pods",
            "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
            &["queue"],
        ),
        inflight_events: gauge(
            "scheduler_inflight_events",
            "Number of events currently tracked in the scheduling queue.",
            &["event"],
        ),
        sli_duration: histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
            &["attempts"],
            exponential(0.01, 2.0, 20),
        ),
        scheduling_attempts: histogram(
            "scheduler_pod_scheduling_attempts",
            "Number of attempts to successfully schedule a pod.",
            &[],
            exponential(1.0, 2.0, 5),
        ),
        extension_point_duration: histogram(
            "scheduler_framework_extension_point_duration_seconds",
            "Latency for running all plugins of a specific extension point.",
            &["extension_point", "status", "profile"],
            exponential(0.0001, 2.0, 12),
        ),
        queue_incoming_pods: counter(
            "scheduler_queue_incoming_pods_total",
            "Number of pods added to scheduling queues by event and queue type.",
            &["queue", "event"],
        ),
        cache_size: gauge(
            "scheduler_cache_size",
            "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
            &["type"],
        ),
        unschedulable_pods: gauge(
            "scheduler_unschedulable_pods",
            "The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.",
            &["plugin", "profile"],
        ),
        event_handling_duration: histogram(
            "scheduler_event_handling_duration_seconds",
            "Event handling latency in seconds.",
            &["event"],
            exponential(0.0001, 2.0, 12),
        ),
        goroutines: gauge(
            "scheduler_goroutines",
            "Number of running goroutines split by the work they do such as binding.",
            &["operation"],
        ),
    })
}

/// A count as a metric value.
#[expect(clippy::cast_precision_loss, reason = "metric values are floating point")]
pub fn count(n: usize) -> f64 {
    n as f64
}
