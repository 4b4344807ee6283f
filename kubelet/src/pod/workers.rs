//! All pod workers of this node: one task per UID, started with the first letter, forgotten when the pod is gone.
//!
//! upstream: pkg/kubelet/pod_workers.go, kubelet_pods.go: HandlePodCleanups

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use component_base::{Chain, task};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use super::admission::{NodeNow, Rejection, admit};
use super::kill::kill_pod;
use super::machinery::Machinery;
use super::qos::qos_class;
use super::resources::pod_amount;
use super::view::PodView;
use super::worker::{Ending, Letter, Mailbox, Running, Stage, Verdict};
use crate::allocation::{DEFERRED, PENDING, resize_message};
use crate::runtime::relist::Snapshot;
use crate::runtime::{ObservedPod, observe};

/// The workers.
#[derive(Clone)]
pub struct Workers {
    cx: Arc<Machinery>,
    mailboxes: Arc<Mutex<HashMap<String, Arc<Mailbox>>>>,
    orphans: Arc<Mutex<BTreeSet<String>>>,
}

impl Workers {
    /// No workers yet.
    pub fn new(cx: Arc<Machinery>) -> Self {
        Self { cx, mailboxes: Arc::default(), orphans: Arc::default() }
    }

    /// What the workers work with.
    pub fn machinery(&self) -> &Arc<Machinery> {
        &self.cx
    }

    /// Hands the newest definition of a pod to its worker; a pod without one gets it.
    pub fn update(&self, pod: Arc<Pod>) {
        let mut mailboxes = self.mailboxes.lock();
        if let Some(mailbox) = mailboxes.get(pod.uid()) {
            self.cx.objects.refresh_for(&pod);
            if self.cx.allocations.wants_resize(&pod) {
                self.cx.allocations.push(pod.uid());
            } else {
                self.cx.allocations.clear_pending(pod.uid());
            }
            mailbox.post(pod);
            return;
        }
        self.cx.objects.refresh_for(&pod);
        let uid = pod.uid().to_owned();
        let others = self.allotted(active(&mailboxes));
        let ending = self.refusal(&pod, &others);
        if ending.is_none() {
            self.grant(&pod);
        }
        let mailbox = Arc::new(Mailbox::new(Letter { pod, ending }));
        mailboxes.insert(uid, Arc::clone(&mailbox));
        drop(mailboxes);
        let others = Arc::clone(&self.mailboxes);
        let blocked = Box::new(move |pod: &Pod| is_blocked(&others.lock(), pod));
        let running = Running::new(Arc::clone(&self.cx), mailbox, blocked);
        task::spawn("pod-worker", async move { running.run().await.run().await.run().await });
    }

    /// A pod that was admitted before keeps what it was granted then, and may wait for a resize.
    fn grant(&self, pod: &Arc<Pod>) {
        if self.cx.allocations.wants_resize(pod) {
            self.cx.allocations.backfill(pod);
            self.cx.allocations.push(pod.uid());
        } else {
            self.cx.allocations.backfill(pod);
            self.cx.allocations.allot(pod);
        }
    }

    fn allotted(&self, pods: Vec<Arc<Pod>>) -> Vec<Arc<Pod>> {
        pods.iter().map(|pod| self.cx.allocations.allotted(pod)).collect()
    }

    /// Decides about every resize that waits, in upstream's order.
    pub fn decide_resizes(&self) {
        let waiting = self.cx.allocations.waiting();
        if waiting.is_empty() {
            return;
        }
        let find = |uid: &String| self.mailboxes.lock().get(uid).map(|mailbox| mailbox.pod());
        let mut pods: Vec<Arc<Pod>> = waiting.iter().filter_map(find).collect();
        pods.sort_by_key(|pod| resize_order(pod, &self.cx.allocations.allotted(pod)));
        for pod in pods {
            self.decide_resize(&pod);
        }
    }

    fn decide_resize(&self, pod: &Arc<Pod>) {
        let (allocations, events) = (&self.cx.allocations, &self.cx.events);
        let uid = pod.uid();
        if !allocations.wants_resize(pod) {
            allocations.decided(uid);
            allocations.clear_pending(uid);
            return;
        }
        let generation = pod.metadata.generation.unwrap_or(0);
        match self.admission(pod, &self.active_pods()) {
            Ok(()) => {
                allocations.allot(pod);
                allocations.decided(uid);
                allocations.clear_pending(uid);
                allocations.clear_in_progress(uid);
                allocations.set_in_progress(pod, None);
                events.pod(pod, "ResizeStarted", resize_message("Pod resize started", pod, generation, ""));
                self.wake(uid);
            }
            Err(rejection) => {
                let message = rejection.message;
                if allocations.set_pending(pod, DEFERRED, &message) {
                    let text = resize_message("Pod resize Deferred", pod, generation, &message);
                    events.pod_warning(pod, "ResizeDeferred", text);
                    self.wake(uid);
                }
            }
        }
    }

    fn admission(&self, pod: &Pod, others: &[Arc<Pod>]) -> Result<(), Rejection> {
        let now = &self.cx.node;
        let allocatable = now.allocatable.lock().clone();
        // Labels of a node that was not read yet say nothing; the scheduler has looked at them.
        let (labels, taints) = now.place.get();
        let rules = &self.cx.settings.machine;
        let strict_groups = now.abilities.lock().supplemental_groups_policy;
        let (labels, taints) = (labels.as_ref(), taints.as_slice());
        let node = NodeNow { allocatable: &allocatable, labels, taints, strict_groups, rules };
        admit(pod, others, node)
    }

    /// True when a new pod would be refused for what the node's labels or taints were when they were last heard of.
    pub fn is_out_of_place(&self, pod: &Pod) -> bool {
        let mailboxes = self.mailboxes.lock();
        if mailboxes.contains_key(pod.uid()) || !awaits_admission(pod) {
            return false;
        }
        let others = self.allotted(active(&mailboxes));
        self.admission(pod, &others).is_err_and(|rejection| rejection.is_about_place())
    }

    /// The end of a pod that this node cannot take. What runs already was taken before.
    fn refusal(&self, pod: &Pod, others: &[Arc<Pod>]) -> Option<Ending> {
        if !awaits_admission(pod) {
            return None;
        }
        let rejection = self.admission(pod, others).err()?;
        tracing::info!(
            namespace = pod.namespace(),
            name = pod.name(),
            reason = rejection.reason,
            message = rejection.message,
            "pod is refused"
        );
        self.cx.events.pod_warning(pod, &rejection.reason, &rejection.message);
        let message = format!("Pod was rejected: {}", rejection.message);
        Some(Ending {
            grace_seconds: None,
            verdict: Some(Verdict { reason: rejection.reason, message, disruption: false, refused: true }),
        })
    }

    /// Hands over a pod of which only the status changed: nothing has to be done about it.
    pub fn refresh(&self, pod: Arc<Pod>) {
        if let Some(mailbox) = self.mailboxes.lock().get(pod.uid()) {
            mailbox.refresh(pod);
        }
    }

    /// Ends a pod that no source has any more; forgets it once nothing is left.
    pub fn remove(&self, uid: &str) {
        let mut mailboxes = self.mailboxes.lock();
        let Some(mailbox) = mailboxes.get(uid) else {
            return;
        };
        if mailbox.stage() == Stage::Finished {
            mailboxes.remove(uid);
            drop(mailboxes);
            self.cx.statuses.remove(uid);
            return;
        }
        if mailbox.stage() == Stage::Running {
            mailbox.end(Ending { grace_seconds: None, verdict: None });
        }
    }

    /// Ends a pod for a reason of the node's.
    pub fn end(&self, uid: &str, ending: Ending) {
        if let Some(mailbox) = self.mailboxes.lock().get(uid) {
            mailbox.end(ending);
        }
    }

    /// Makes a pod's worker look again.
    pub fn wake(&self, uid: &str) {
        if let Some(mailbox) = self.mailboxes.lock().get(uid) {
            mailbox.wake();
        }
    }

    /// Wakes all workers, such as when the network came up.
    pub fn wake_all(&self) {
        for mailbox in self.mailboxes.lock().values() {
            mailbox.wake();
        }
    }

    /// UIDs of all pods that have a worker.
    pub fn uids(&self) -> Vec<String> {
        self.mailboxes.lock().keys().cloned().collect()
    }

    /// All pods that have a worker.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.mailboxes.lock().values().map(|mailbox| mailbox.pod()).collect()
    }

    /// The pod of that name, the one that runs before one that ends.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let mailboxes = self.mailboxes.lock();
        let named = mailboxes.values().map(|mailbox| (mailbox.stage(), mailbox.pod()));
        let mut named: Vec<_> = named.filter(|(_, pod)| pod.namespace() == namespace && pod.name() == name).collect();
        named.sort_by_key(|(stage, _)| *stage);
        named.into_iter().next().map(|(_, pod)| pod)
    }

    /// The pods that may still use resources, with those that they were granted.
    pub fn active_pods(&self) -> Vec<Arc<Pod>> {
        let pods = active(&self.mailboxes.lock());
        self.allotted(pods)
    }

    /// How far a pod's life has come; `None` when it has no worker.
    pub fn stage(&self, uid: &str) -> Option<Stage> {
        self.mailboxes.lock().get(uid).map(|mailbox| mailbox.stage())
    }

    /// True while containers of the pod may run.
    pub fn could_have_running_containers(&self, uid: &str) -> bool {
        self.stage(uid).is_some_and(|stage| stage < Stage::Terminated)
    }

    /// Ends what runs of pods that nobody knows, such as those that were deleted while the kubelet was down.
    pub fn end_orphans(&self, snapshot: &Snapshot) {
        let known = self.mailboxes.lock();
        let unknown: Vec<String> = snapshot.uids().filter(|uid| !known.contains_key(*uid)).cloned().collect();
        drop(known);
        for uid in unknown {
            if self.orphans.lock().insert(uid.clone()) {
                let (cx, orphans) = (Arc::clone(&self.cx), Arc::clone(&self.orphans));
                task::spawn("orphan", async move {
                    end_orphan(&cx, &uid).await;
                    orphans.lock().remove(&uid);
                });
            }
        }
    }
}

/// Pods that run already, and those that are about to go, are not judged.
fn awaits_admission(pod: &Pod) -> bool {
    matches!(pod.status().phase.as_deref(), None | Some("" | "Pending")) && pod.metadata.deletion_timestamp.is_none()
}

fn active(mailboxes: &HashMap<String, Arc<Mailbox>>) -> Vec<Arc<Pod>> {
    mailboxes.values().filter(|mailbox| mailbox.stage() < Stage::Terminated).map(|mailbox| mailbox.pod()).collect()
}

/// What asks for no more comes first, then important pods, then guaranteed ones, then those that wait longest.
fn resize_order(wanted: &Pod, granted: &Pod) -> impl Ord + use<> {
    let more =
        ["cpu", "memory"].iter().any(|name| pod_amount(wanted, false, name).0 > pod_amount(granted, false, name).0);
    let since = wanted.status().conditions.iter().flatten().find(|one| one.type_ == PENDING);
    let since = since.and_then(|one| one.last_transition_time.as_ref()).map(|time| time.0);
    let priority = std::cmp::Reverse(wanted.spec().priority.unwrap_or(0));
    (more, priority, qos_class(wanted) != "Guaranteed", since.is_none(), since)
}

/// Static pods keep their name when their file changes; the new one waits until the old one is gone.
fn is_blocked(mailboxes: &HashMap<String, Arc<Mailbox>>, pod: &Pod) -> bool {
    let same_name =
        |other: &Pod| other.uid() != pod.uid() && other.name() == pod.name() && other.namespace() == pod.namespace();
    mailboxes.values().any(|mailbox| {
        let stage = mailbox.stage();
        same_name(&mailbox.pod()) && (stage == Stage::Terminating || stage == Stage::Terminated)
    })
}

async fn end_orphan(cx: &Machinery, uid: &str) {
    let observed = match observe(cx.runtime.as_ref(), uid).await {
        Ok(observed) => observed,
        Err(error) => {
            tracing::warn!(uid, %error, "orphaned pod was not observed");
            return;
        }
    };
    if observed.is_running() {
        tracing::info!(namespace = observed.namespace, name = observed.name, uid, "ending a pod that no source knows");
        if let Err(error) = kill_pod(cx, &stand_in(&observed), &observed, Some(1)).await {
            tracing::warn!(uid, error = %Chain(&error), "orphaned pod was not stopped");
        }
    }
}

/// A definition that says no more than what the runtime knows.
fn stand_in(observed: &ObservedPod) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(observed.name.clone());
    pod.metadata.namespace = Some(observed.namespace.clone());
    pod.metadata.uid = Some(observed.uid.clone());
    pod
}
