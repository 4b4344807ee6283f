//! The kubelet's own metrics, under upstream's names.
//!
//! upstream: pkg/kubelet/metrics/metrics.go

use std::sync::LazyLock;

use component_base::metrics::{counter, exponential, gauge, histogram};
use prometheus::{CounterVec, GaugeVec, HistogramVec};

/// Name of this node, as a label.
pub static NODE_NAME: LazyLock<GaugeVec> =
    LazyLock::new(|| gauge("kubelet_node_name", "The node's name. The count is always 1.", &["node"]));

/// Pods that run.
pub static RUNNING_PODS: LazyLock<GaugeVec> =
    LazyLock::new(|| gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", &[]));

/// Containers by state.
pub static RUNNING_CONTAINERS: LazyLock<GaugeVec> = LazyLock::new(|| {
    gauge("kubelet_running_containers", "Number of containers currently running", &["container_state"])
});

/// How long a look at all containers takes.
pub static RELIST_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram(
        "kubelet_pleg_relist_duration_seconds",
        "Duration in seconds for relisting pods in PLEG.",
        &[],
        exponential(0.005, 2.0, 12),
    )
});

/// How long a step of a pod takes.
pub static WORKER_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram(
        "kubelet_pod_worker_duration_seconds",
        "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
        &["operation_type"],
        exponential(0.005, 2.0, 12),
    )
});

/// Sandboxes that were made.
pub static STARTED_PODS: LazyLock<CounterVec> =
    LazyLock::new(|| counter("kubelet_started_pods_total", "Cumulative number of pods started", &[]));

/// Sandboxes that could not be made.
pub static STARTED_PODS_ERRORS: LazyLock<CounterVec> = LazyLock::new(|| {
    counter("kubelet_started_pods_errors_total", "Cumulative number of errors when starting pods", &[])
});

/// Containers that were started.
pub static STARTED_CONTAINERS: LazyLock<CounterVec> = LazyLock::new(|| {
    counter("kubelet_started_containers_total", "Cumulative number of containers started", &["container_type"])
});

/// Containers that could not be started.
pub static STARTED_CONTAINERS_ERRORS: LazyLock<CounterVec> = LazyLock::new(|| {
    counter(
        "kubelet_started_containers_errors_total",
        "Cumulative number of errors when starting containers",
        &["code", "container_type"],
    )
});

/// Pods that were evicted.
pub static EVICTIONS: LazyLock<CounterVec> = LazyLock::new(|| {
    counter("kubelet_evictions", "Cumulative number of pod evictions by eviction signal", &["eviction_signal"])
});
