//! Probes: whether a container has started, lives and is ready.
//!
//! One task per container and kind of probe. It writes verdicts and wakes the pod's worker; it never kills anything.
//!
//! upstream: pkg/kubelet/prober

mod check;
mod grpc;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::events::Events;
use crate::pod::plan::Verdicts;
use crate::pod::status::ProbeVerdicts;
use crate::pod::view::{ContainerKind, PodView, is_sidecar};
use crate::runtime::Runtime;
use crate::status::Statuses;

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// May the container get traffic?
    Readiness,
    /// Must the container be restarted?
    Liveness,
    /// Is the container up, so that the other probes make sense?
    Startup,
}

impl ProbeKind {
    const ALL: [Self; 3] = [Self::Readiness, Self::Liveness, Self::Startup];

    fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Startup => container.startup_probe.as_ref(),
        }
    }
}

impl std::fmt::Display for ProbeKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
            Self::Startup => "Startup",
        })
    }
}

/// The last verdicts by container id, shared with plans and statuses.
#[derive(Debug, Default)]
pub struct VerdictTable(Mutex<HashMap<(ProbeKind, String), bool>>);

impl VerdictTable {
    fn get(&self, kind: ProbeKind, id: &str) -> Option<bool> {
        self.0.lock().get(&(kind, id.to_owned())).copied()
    }

    /// Notes a verdict; true when it is news.
    fn set(&self, kind: ProbeKind, id: &str, good: bool) -> bool {
        self.0.lock().insert((kind, id.to_owned()), good) != Some(good)
    }

    fn forget(&self, kind: ProbeKind, id: &str) {
        self.0.lock().remove(&(kind, id.to_owned()));
    }
}

impl Verdicts for VerdictTable {
    fn liveness(&self, container_id: &str) -> Option<bool> {
        self.get(ProbeKind::Liveness, container_id)
    }

    fn startup(&self, container_id: &str) -> Option<bool> {
        self.get(ProbeKind::Startup, container_id)
    }
}

impl ProbeVerdicts for VerdictTable {
    fn startup(&self, container_id: &str) -> Option<bool> {
        self.get(ProbeKind::Startup, container_id)
    }

    fn readiness(&self, container_id: &str) -> Option<bool> {
        self.get(ProbeKind::Readiness, container_id)
    }
}

/// Called with a pod's UID when a verdict changed.
pub type Wake = Box<dyn Fn(&str) + Send + Sync>;

/// What every probe needs.
struct Shared {
    runtime: Arc<dyn Runtime>,
    statuses: Arc<Statuses>,
    events: Events,
    verdicts: Arc<VerdictTable>,
    wake: OnceLock<Wake>,
}

/// All probes of this node.
pub struct Probes {
    shared: Arc<Shared>,
    workers: Mutex<HashMap<Key, Handle>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    uid: String,
    container: String,
    kind: ProbeKind,
}

struct Handle {
    task: JoinHandle<()>,
    now: Arc<Notify>,
}

impl Probes {
    /// No probes yet.
    pub fn new(runtime: Arc<dyn Runtime>, statuses: Arc<Statuses>, events: Events) -> Self {
        let shared = Shared { runtime, statuses, events, verdicts: Arc::default(), wake: OnceLock::new() };
        Self { shared: Arc::new(shared), workers: Mutex::default() }
    }

    /// Whom to wake on news. The first call counts.
    pub fn set_wake(&self, wake: Wake) {
        let _first_counts = self.shared.wake.set(wake);
    }

    /// The verdicts.
    pub fn verdicts(&self) -> Arc<VerdictTable> {
        Arc::clone(&self.shared.verdicts)
    }

    /// Starts the probes of `pod` that do not run yet.
    pub fn add(&self, pod: &Arc<Pod>) {
        for (kind_of_container, container) in pod.all_containers() {
            let probed = match kind_of_container {
                ContainerKind::App => true,
                ContainerKind::Init => is_sidecar(&container),
                ContainerKind::Ephemeral => false,
            };
            for kind in ProbeKind::ALL.into_iter().filter(|_| probed) {
                if let Some(probe) = kind.of(&container) {
                    self.start(pod, &container, kind, probe);
                }
            }
        }
    }

    fn start(&self, pod: &Arc<Pod>, container: &Container, kind: ProbeKind, probe: &Probe) {
        let key = Key { uid: pod.uid().to_owned(), container: container.name.clone(), kind };
        let mut workers = self.workers.lock();
        if workers.contains_key(&key) {
            return;
        }
        let now = Arc::new(Notify::new());
        let worker =
            worker::Worker::new(Arc::clone(&self.shared), Arc::clone(pod), container.clone(), kind, probe.clone());
        let task = component_base::task::spawn("probe", worker.run(Arc::clone(&now)));
        workers.insert(key, Handle { task, now });
    }

    /// Lets the readiness probes of a pod run at once, such as after its start.
    pub fn hurry(&self, uid: &str) {
        for (key, handle) in self.workers.lock().iter() {
            if key.uid == uid && key.kind == ProbeKind::Readiness {
                handle.now.notify_one();
            }
        }
    }

    /// Ends the probes that could restart a container of a pod that ends.
    pub fn stop_liveness_and_startup(&self, uid: &str) {
        self.stop(uid, |kind| kind != ProbeKind::Readiness);
    }

    /// Ends all probes of a pod.
    pub fn remove(&self, uid: &str) {
        self.stop(uid, |_| true);
    }

    fn stop(&self, uid: &str, which: impl Fn(ProbeKind) -> bool) {
        self.workers.lock().retain(|key, handle| {
            let ends = key.uid == uid && which(key.kind);
            if ends {
                handle.task.abort();
            }
            !ends
        });
    }
}
