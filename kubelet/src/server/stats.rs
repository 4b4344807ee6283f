//! Usage of node and pods, in the form that metrics-server and the eviction of clusters read.
//!
//! What the runtime does not tell is left out.
//!
//! upstream: pkg/kubelet/server/stats/summary.go, staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1

use std::collections::BTreeMap;
use std::path::Path;

use component_base::clock;
use component_base::serving::{ResponseBody, json as respond};
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Context;
use crate::pod::view::PodView;
use crate::runtime::labels;
use crate::runtime::types::{ContainerStats, CpuUsage, FilesystemUsage, MemoryUsage};
use crate::sys::{FilesystemSpace, memory_available_bytes};

/// Answers `/stats/summary`.
pub async fn summary(cx: Context) -> Response<ResponseBody> {
    let machinery = cx.workers.machinery();
    let containers = machinery.runtime.list_container_stats().await.unwrap_or_default();
    let sandboxes = machinery.runtime.list_sandbox_stats().await.unwrap_or_default();
    let mut by_pod: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for stats in &containers {
        if let Some(uid) = label(stats, labels::POD_UID) {
            by_pod.entry(uid).or_default().push(container(stats));
        }
    }
    let pods: Vec<Value> = cx
        .workers
        .pods()
        .into_iter()
        .filter_map(|pod| {
            let containers = by_pod.remove(pod.uid())?;
            let mut out = json!({
                "podRef": { "name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid() },
                "startTime": pod.status().start_time,
                "containers": containers,
            });
            let sandbox = sandboxes.iter().find(|sandbox| {
                sandbox.attributes.as_ref().and_then(|a| a.metadata.as_ref()).is_some_and(|meta| meta.uid == pod.uid())
            });
            if let Some(linux) = sandbox.and_then(|sandbox| sandbox.linux.as_ref()) {
                out["cpu"] = linux.cpu.as_ref().map(cpu).unwrap_or_default();
                out["memory"] = linux.memory.as_ref().map(memory).unwrap_or_default();
            } else {
                out["cpu"] = sum(&out["containers"], "cpu", &["usageNanoCores", "usageCoreNanoSeconds"]);
                out["memory"] = sum(&out["containers"], "memory", &["workingSetBytes", "usageBytes"]);
            }
            Some(out)
        })
        .collect();
    respond(StatusCode::OK, &json!({ "node": node(&cx).await, "pods": pods }))
}

async fn node(cx: &Context) -> Value {
    let machinery = cx.workers.machinery();
    let machine = crate::sys::Machine::read();
    let now = clock::now().to_string();
    let available = memory_available_bytes();
    let working_set = machine.memory_bytes.saturating_sub(available);
    let space =
        |path: &Path| machinery.kernel.filesystem_space(path).map(|space| filesystem(&space, &now)).unwrap_or_default();
    let images = machinery.runtime.image_filesystems().await.unwrap_or_default();
    let image_path = images.into_iter().find_map(|usage| usage.fs_id.map(|id| id.mountpoint));
    let mut out = json!({
        "nodeName": cx.node,
        "memory": { "time": now, "availableBytes": available, "workingSetBytes": working_set, "usageBytes": working_set },
        "fs": space(machinery.paths.root()),
        "runtime": {},
    });
    if let Some(seconds) = cpu_seconds() {
        out["cpu"] = json!({ "time": now, "usageCoreNanoSeconds": seconds });
    }
    if let Some(path) = image_path {
        out["runtime"]["imageFs"] = space(Path::new(&path));
    }
    out
}

/// Processor time of the whole machine since its start, in nanoseconds.
fn cpu_seconds() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal: ticks of 10 ms
    let busy: u64 =
        fields.iter().enumerate().filter(|(index, _)| *index != 3 && *index != 4).take(6).map(|(_, ticks)| ticks).sum();
    Some(busy * 10_000_000)
}

fn label(stats: &ContainerStats, key: &str) -> Option<String> {
    stats.attributes.as_ref()?.labels.get(key).cloned()
}

fn container(stats: &ContainerStats) -> Value {
    json!({
        "name": label(stats, labels::CONTAINER_NAME),
        "cpu": stats.cpu.as_ref().map(cpu),
        "memory": stats.memory.as_ref().map(memory),
        "rootfs": stats.writable_layer.as_ref().map(writable_layer),
    })
}

fn time(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

fn cpu(usage: &CpuUsage) -> Value {
    let mut out = Map::new();
    out.insert("time".to_owned(), json!(time(usage.timestamp)));
    put(&mut out, "usageNanoCores", usage.usage_nano_cores.as_ref().map(|value| value.value));
    put(&mut out, "usageCoreNanoSeconds", usage.usage_core_nano_seconds.as_ref().map(|value| value.value));
    Value::Object(out)
}

fn memory(usage: &MemoryUsage) -> Value {
    let mut out = Map::new();
    out.insert("time".to_owned(), json!(time(usage.timestamp)));
    put(&mut out, "availableBytes", usage.available_bytes.as_ref().map(|value| value.value));
    put(&mut out, "usageBytes", usage.usage_bytes.as_ref().map(|value| value.value));
    put(&mut out, "workingSetBytes", usage.working_set_bytes.as_ref().map(|value| value.value));
    put(&mut out, "rssBytes", usage.rss_bytes.as_ref().map(|value| value.value));
    put(&mut out, "pageFaults", usage.page_faults.as_ref().map(|value| value.value));
    put(&mut out, "majorPageFaults", usage.major_page_faults.as_ref().map(|value| value.value));
    Value::Object(out)
}

fn writable_layer(usage: &FilesystemUsage) -> Value {
    let mut out = Map::new();
    out.insert("time".to_owned(), json!(time(usage.timestamp)));
    put(&mut out, "usedBytes", usage.used_bytes.as_ref().map(|value| value.value));
    put(&mut out, "inodesUsed", usage.inodes_used.as_ref().map(|value| value.value));
    Value::Object(out)
}

fn put(out: &mut Map<String, Value>, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        out.insert(name.to_owned(), json!(value));
    }
}

fn filesystem(space: &FilesystemSpace, now: &str) -> Value {
    json!({
        "time": now,
        "availableBytes": space.available_bytes,
        "capacityBytes": space.capacity_bytes,
        "usedBytes": space.capacity_bytes.saturating_sub(space.available_bytes),
        "inodes": space.inodes,
        "inodesFree": space.inodes_free,
        "inodesUsed": space.inodes.saturating_sub(space.inodes_free),
    })
}

/// A runtime that does not measure pods: their containers together.
fn sum(containers: &Value, group: &str, fields: &[&str]) -> Value {
    let mut out = Map::new();
    for container in containers.as_array().into_iter().flatten() {
        for field in fields {
            if let Some(value) = container[group][*field].as_u64() {
                let before = out.get(*field).and_then(Value::as_u64).unwrap_or(0);
                out.insert((*field).to_owned(), json!(before + value));
            }
        }
        if let Some(time) = container[group]["time"].as_str() {
            out.insert("time".to_owned(), json!(time));
        }
    }
    Value::Object(out)
}
