//! Ending pods when the node runs short of memory or disk, before the kernel ends something at random.
//!
//! Hard thresholds only: one pod at a time, without grace, and then a new look. Images and dead containers are collected by
//! others; what is evicted is only what the measurements of the runtime cover.
//!
//! upstream: pkg/kubelet/eviction/eviction_manager.go, helpers.go

mod rank;

use std::sync::Arc;
use std::time::{Duration, Instant};

use component_base::Shutdown;
use parking_lot::Mutex;

use crate::node::Pressure;
use crate::pod::view::PodView;
use crate::pod::worker::{Ending, Verdict};
use crate::pod::workers::Workers;
use crate::runtime::labels;
use rank::{Candidate, Resource};

const INTERVAL: Duration = Duration::from_secs(10);
/// After an eviction the measurements need this time to tell its effect.
const SETTLE: Duration = Duration::from_secs(30);

/// Evicts.
pub struct Evictor {
    workers: Workers,
    pressure: Arc<Mutex<Pressure>>,
    evicted_at: Option<Instant>,
}

impl Evictor {
    /// Acts on `pressure`, which others measure.
    pub fn new(workers: Workers, pressure: Arc<Mutex<Pressure>>) -> Self {
        Self { workers, pressure, evicted_at: None }
    }

    /// Evicts until `stop`.
    pub async fn run(mut self, stop: Shutdown) {
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(INTERVAL) => {}
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
        let verdict = Verdict { reason: "Evicted".to_owned(), message, disruption: true };
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
