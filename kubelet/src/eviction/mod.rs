//! Ending pods when the node runs short of memory or disk, before the kernel ends something at random.
//!
//! Hard thresholds only: one pod at a time, without grace, and then a new look. Images and dead containers are collected by
//! others; what is evicted is only what the measurements of the runtime cover. A pod that exceeds its own limits of local
//! storage goes as well, however the node is.
//!
//! upstream: pkg/kubelet/eviction/eviction_manager.go, helpers.go

mod local_storage;
mod rank;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use component_base::Shutdown;
use parking_lot::Mutex;

use crate::node::Pressure;
use crate::pod::view::PodView;
use crate::pod::worker::{Ending, Verdict};
use crate::pod::workers::Workers;
use crate::runtime::labels;
use crate::runtime::types::ContainerStats;
use rank::{Candidate, Resource};

const INTERVAL: Duration = Duration::from_secs(10);
/// After an eviction the measurements need this time to tell its effect.
const SETTLE: Duration = Duration::from_secs(30);

/// A pod that exceeds a limit of its own gets this time to end.
const LIMIT_GRACE_SECONDS: i64 = 1;

/// Evicts.
pub struct Evictor {
    workers: Workers,
    pressure: Arc<Mutex<Pressure>>,
    local_limits: bool,
    evicted_at: Option<Instant>,
}

impl Evictor {
    /// Acts on `pressure`, which others measure; `local_limits` has pods keep to their limits of local storage.
    pub fn new(workers: Workers, pressure: Arc<Mutex<Pressure>>, local_limits: bool) -> Self {
        Self { workers, pressure, local_limits, evicted_at: None }
    }

    /// Evicts until `stop`.
    pub async fn run(mut self, stop: Shutdown) {
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if self.local_limits {
                self.enforce_limits().await;
            }
            let pressure = *self.pressure.lock();
            let resource = match (pressure.memory, pressure.disk) {
                (true, _) => Resource::Memory,
                (false, true) => Resource::Disk,
                (false, false) => continue,
            };
            if self.evicted_at.is_none_or(|at| at.elapsed() >= SETTLE) {
                self.evict_one(resource).await;
            }
        }
    }

    /// Evicts the pods that exceed a limit of their own.
    async fn enforce_limits(&self) {
        let pods = self.workers.active_pods();
        let limited: Vec<_> = pods.into_iter().filter(|pod| local_storage::has_limit(pod)).collect();
        if limited.is_empty() {
            return;
        }
        let cx = self.workers.machinery();
        let stats = cx.runtime.list_container_stats().await.unwrap_or_default();
        for pod in limited.into_iter().filter(|pod| !rank::is_critical(pod)) {
            let writable = writable_layers(&stats, pod.uid());
            let (paths, measured) = (cx.paths.clone(), Arc::clone(&pod));
            let usage = tokio::task::spawn_blocking(move || local_storage::measure(&measured, &paths, writable)).await;
            let Some(exceeded) = usage.ok().and_then(|usage| local_storage::exceeded(&pod, &usage)) else { continue };
            tracing::warn!(namespace = pod.namespace(), name = pod.name(), message = exceeded.message, "evicting pod");
            crate::metrics::EVICTIONS.with_label_values(&[exceeded.signal]).inc();
            cx.events.pod_warning(&pod, "Evicted", &exceeded.message);
            let verdict =
                Verdict { reason: "Evicted".to_owned(), message: exceeded.message, disruption: false, refused: false };
            self.workers.end(pod.uid(), Ending { grace_seconds: Some(LIMIT_GRACE_SECONDS), verdict: Some(verdict) });
        }
    }

    async fn evict_one(&mut self, resource: Resource) {
        let candidates = self.candidates(resource).await;
        let Some(chosen) = rank::first(candidates) else {
            tracing::warn!(resource = resource.name(), "node runs short and no pod can be evicted");
            return;
        };
        let pod = chosen.pod;
        let message = format!("The node was low on resource: {}. ", resource.name());
        tracing::warn!(namespace = pod.namespace(), name = pod.name(), resource = resource.name(), "evicting pod");
        crate::metrics::EVICTIONS.with_label_values(&[resource.name()]).inc();
        self.workers.machinery().events.pod_warning(&pod, "Evicted", &message);
        let verdict = Verdict { reason: "Evicted".to_owned(), message, disruption: true, refused: false };
        self.workers.end(pod.uid(), Ending { grace_seconds: Some(0), verdict: Some(verdict) });
        self.evicted_at = Some(Instant::now());
    }

    async fn candidates(&self, resource: Resource) -> Vec<Candidate> {
        let runtime = &self.workers.machinery().runtime;
        let stats = runtime.list_container_stats().await.unwrap_or_default();
        let of_pod = |uid: &str| -> u64 {
            let own = stats.iter().filter(|one| {
                one.attributes.as_ref().is_some_and(|a| a.labels.get(labels::POD_UID).is_some_and(|label| label == uid))
            });
            own.filter_map(|one| match resource {
                Resource::Memory => one.memory.as_ref()?.working_set_bytes.as_ref().map(|value| value.value),
                Resource::Disk => one.writable_layer.as_ref()?.used_bytes.as_ref().map(|value| value.value),
            })
            .sum()
        };
        let pods = self.workers.active_pods();
        pods.into_iter().map(|pod| Candidate { used_bytes: of_pod(pod.uid()), pod, resource }).collect()
    }
}

/// Bytes of the writable layers of a pod's containers, by name.
fn writable_layers(stats: &[ContainerStats], uid: &str) -> BTreeMap<String, u64> {
    let label = |one: &ContainerStats, key: &str| one.attributes.as_ref()?.labels.get(key).cloned();
    let own = stats.iter().filter(|one| label(one, labels::POD_UID).is_some_and(|of| of == uid));
    own.filter_map(|one| {
        let used = one.writable_layer.as_ref()?.used_bytes.as_ref()?.value;
        Some((label(one, labels::CONTAINER_NAME)?, used))
    })
    .collect()
}
