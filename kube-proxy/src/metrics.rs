//! Metrics under upstream's names. upstream: pkg/proxy/metrics/metrics.go

use std::sync::OnceLock;

use component_base::metrics::{counter, exponential, gauge, histogram};
use prometheus::{CounterVec, GaugeVec, HistogramVec};

/// All metrics of the proxy.
#[expect(missing_docs, reason = "each field is named as its metric, less the prefix kubeproxy_")]
pub struct Metrics {
    pub sync_duration: HistogramVec,
    pub full_sync_duration: HistogramVec,
    pub partial_sync_duration: HistogramVec,
    pub last_sync: GaugeVec,
    pub last_queued: GaugeVec,
    pub endpoint_changes: CounterVec,
    pub service_changes: CounterVec,
    pub restore_failures: CounterVec,
    pub partial_restore_failures: CounterVec,
    pub iptables_rules: GaugeVec,
    pub iptables_rules_last: GaugeVec,
    pub nftables_sync_failures: CounterVec,
    pub nftables_cleanup_failures: CounterVec,
    pub healthz: CounterVec,
    pub livez: CounterVec,
    pub no_local_endpoints: GaugeVec,
    pub conntrack_duration: HistogramVec,
    pub conntrack_deleted: CounterVec,
}

/// The metrics, registered on first use.
pub fn get() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    let family = &["ip_family"];
    let durations = || exponential(0.001, 2.0, 15);
    METRICS.get_or_init(|| Metrics {
        sync_duration: histogram(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "SyncProxyRules latency in seconds",
            family,
            durations(),
        ),
        full_sync_duration: histogram(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "SyncProxyRules latency in seconds for full resyncs",
            family,
            durations(),
        ),
        partial_sync_duration: histogram(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "SyncProxyRules latency in seconds for partial resyncs",
            family,
            durations(),
        ),
        last_sync: gauge(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "The last time proxy rules were successfully synced",
            family,
        ),
        last_queued: gauge(
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "The last time a sync of proxy rules was queued",
            family,
        ),
        endpoint_changes: counter(
            "kubeproxy_sync_proxy_rules_endpoint_changes_total",
            "Cumulative proxy rules Endpoint changes",
            &[],
        ),
        service_changes: counter(
            "kubeproxy_sync_proxy_rules_service_changes_total",
            "Cumulative proxy rules Service changes",
            &[],
        ),
        restore_failures: counter(
            "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
            "Cumulative proxy iptables restore failures",
            family,
        ),
        partial_restore_failures: counter(
            "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
            "Cumulative proxy iptables partial restore failures",
            family,
        ),
        iptables_rules: gauge(
            "kubeproxy_sync_proxy_rules_iptables_total",
            "Total number of iptables rules owned by kube-proxy",
            &["table", "ip_family"],
        ),
        iptables_rules_last: gauge(
            "kubeproxy_sync_proxy_rules_iptables_last",
            "Number of iptables rules written by kube-proxy in last sync",
            &["table", "ip_family"],
        ),
        nftables_sync_failures: counter(
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
            "Cumulative proxy nftables sync failures",
            family,
        ),
        nftables_cleanup_failures: counter(
            "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
            "Cumulative proxy nftables cleanup failures",
            family,
        ),
        healthz: counter("kubeproxy_proxy_healthz_total", "Cumulative proxy healthz HTTP status", &["code"]),
        livez: counter("kubeproxy_proxy_livez_total", "Cumulative proxy livez HTTP status", &["code"]),
        no_local_endpoints: gauge(
            "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
            "Number of services with a Local traffic policy and no endpoints",
            &["traffic_policy", "ip_family"],
        ),
        conntrack_duration: histogram(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "ReconcileConntrackFlowsLatency latency in seconds",
            family,
            durations(),
        ),
        conntrack_deleted: counter(
            "kubeproxy_conntrack_reconciler_deleted_entries_total",
            "Cumulative conntrack flows deleted by conntrack reconciler",
            family,
        ),
    })
}

/// A count as a metric value.
#[expect(clippy::cast_precision_loss, reason = "metric values are floating point")]
pub fn count(n: usize) -> f64 {
    n as f64
}

/// Seconds since the epoch as a metric value.
#[expect(clippy::cast_precision_loss, reason = "metric values are floating point")]
pub fn now() -> f64 {
    component_base::clock::now().as_millisecond() as f64 / 1000.0
}
