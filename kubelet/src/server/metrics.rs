//! Usage of containers as Prometheus metrics.
//!
//! `/metrics/resource` has upstream's families; of cadvisor's only those that the runtime can answer are there.
//!
//! upstream: pkg/kubelet/metrics/collectors/resource_metrics.go, vendor/github.com/google/cadvisor/metrics/prometheus.go

use std::fmt::Write as _;

use component_base::serving::{ResponseBody, full};
use http::{Response, StatusCode};

use super::Context;
use crate::runtime::labels;
use crate::runtime::types::ContainerStats;

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    read: fn(&ContainerStats) -> Option<f64>,
}

fn cpu_seconds(stats: &ContainerStats) -> Option<f64> {
    stats.cpu.as_ref()?.usage_core_nano_seconds.as_ref().map(|value| as_f64(value.value) / 1e9)
}

fn working_set(stats: &ContainerStats) -> Option<f64> {
    stats.memory.as_ref()?.working_set_bytes.as_ref().map(|value| as_f64(value.value))
}

fn usage(stats: &ContainerStats) -> Option<f64> {
    stats.memory.as_ref()?.usage_bytes.as_ref().map(|value| as_f64(value.value))
}

fn layer_bytes(stats: &ContainerStats) -> Option<f64> {
    stats.writable_layer.as_ref()?.used_bytes.as_ref().map(|value| as_f64(value.value))
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

const RESOURCE: [Family; 2] = [
    Family {
        name: "container_cpu_usage_seconds_total",
        kind: "counter",
        help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        read: cpu_seconds,
    },
    Family {
        name: "container_memory_working_set_bytes",
        kind: "gauge",
        help: "[STABLE] Current working set of the container in bytes",
        read: working_set,
    },
];

const CONTAINERS: [Family; 4] = [
    Family {
        name: "container_cpu_usage_seconds_total",
        kind: "counter",
        help: "Cumulative cpu time consumed in seconds.",
        read: cpu_seconds,
    },
    Family {
        name: "container_memory_working_set_bytes",
        kind: "gauge",
        help: "Current working set in bytes.",
        read: working_set,
    },
    Family {
        name: "container_memory_usage_bytes",
        kind: "gauge",
        help: "Current memory usage in bytes, including all memory regardless of when it was accessed",
        read: usage,
    },
    Family {
        name: "container_fs_usage_bytes",
        kind: "gauge",
        help: "Number of bytes that are consumed by the container on this filesystem.",
        read: layer_bytes,
    },
];

/// Answers `/metrics/resource`.
pub async fn resource(cx: Context) -> Response<ResponseBody> {
    render(cx, &RESOURCE).await
}

/// Answers `/metrics/cadvisor`.
pub async fn containers(cx: Context) -> Response<ResponseBody> {
    render(cx, &CONTAINERS).await
}

async fn render(cx: Context, families: &[Family]) -> Response<ResponseBody> {
    let stats = cx.workers.machinery().runtime.list_container_stats().await.unwrap_or_default();
    let mut out = String::new();
    for family in families {
        let _infallible = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {2}", family.name, family.help, family.kind);
        for one in &stats {
            if let (Some(labels), Some(value)) = (label_text(one), (family.read)(one)) {
                let _infallible = writeln!(out, "{}{{{labels}}} {value}", family.name);
            }
        }
    }
    full(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", out)
}

fn label_text(stats: &ContainerStats) -> Option<String> {
    let own = &stats.attributes.as_ref()?.labels;
    let label = |key: &str| own.get(key).map(String::as_str).unwrap_or_default();
    Some(format!(
        "container=\"{}\",namespace=\"{}\",pod=\"{}\"",
        label(labels::CONTAINER_NAME),
        label(labels::POD_NAMESPACE),
        label(labels::POD_NAME)
    ))
}
