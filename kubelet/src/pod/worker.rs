//! The life of one pod on this node: Running → Terminating → Terminated, each a struct that only turns into the next.
//!
//! A worker reads its mailbox, which holds one letter: the newest desired state. It never asks anybody what to do, and
//! nobody else touches its containers.
//!
//! upstream: pkg/kubelet/pod_workers.go

use std::sync::Arc;
use std::time::Duration;

use component_base::{Chain, clock};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::conditions::condition;
use super::kill::kill_pod;
use super::machinery::Machinery;
use super::sync::{Memory, Synced, api_status, sync};
use super::view::PodView;
use crate::metrics;
use crate::runtime::observe;

/// A settled pod is looked at again after this time, plus up to a half, so that pods spread out.
const RESYNC: Duration = Duration::from_secs(60);
/// How long a failed termination waits.
const KILL_RETRY: Duration = Duration::from_secs(2);

/// Why a pod ends before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Seconds between the signals, where they are not the pod's own.
    pub grace_seconds: Option<i64>,
    /// Phase, reason and message that the status shall have, such as those of an eviction.
    pub verdict: Option<Verdict>,
}

/// How the status of a pod that was ended shall read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Reason, such as `Evicted`.
    pub reason: String,
    /// Message for people.
    pub message: String,
    /// The pod was disrupted, which a condition tells.
    pub disruption: bool,
    /// The pod was never let in, so there is nothing to tell about its containers.
    pub refused: bool,
}

/// The newest desired state.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The definition.
    pub pod: Arc<Pod>,
    /// Set when the pod must end although its definition does not say so.
    pub ending: Option<Ending>,
}

impl Letter {
    fn must_end(&self) -> bool {
        self.ending.is_some() || self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Seconds that replace the container's own choice.
    fn grace_override(&self) -> Option<i64> {
        self.ending.as_ref().and_then(|ending| ending.grace_seconds)
    }

    /// Seconds that the end may take.
    fn grace_seconds(&self) -> i64 {
        self.grace_override()
            .or(self.pod.metadata.deletion_grace_period_seconds)
            .or(self.pod.spec().termination_grace_period_seconds)
            .unwrap_or(30)
    }
}

/// Where a worker's letters arrive.
#[derive(Debug)]
pub struct Mailbox {
    letter: Mutex<Letter>,
    stage: Mutex<Stage>,
    arrived: Notify,
}

/// How far a pod's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It is meant to run.
    Running,
    /// Its containers are stopped.
    Terminating,
    /// Nothing runs; what it left is cleared away.
    Terminated,
    /// Nothing is left.
    Finished,
}

impl Mailbox {
    /// A mailbox with its first letter.
    pub fn new(letter: Letter) -> Self {
        Self { letter: Mutex::new(letter), stage: Mutex::new(Stage::Running), arrived: Notify::new() }
    }

    /// Puts a newer definition in, and keeps an ending that was asked for.
    pub fn post(&self, pod: Arc<Pod>) {
        self.letter.lock().pod = pod;
        self.arrived.notify_one();
    }

    /// Puts a newer form of the same definition in, without waking anybody.
    pub fn refresh(&self, pod: Arc<Pod>) {
        self.letter.lock().pod = pod;
    }

    /// Asks for the end. A later request may only shorten the grace period.
    pub fn end(&self, ending: Ending) {
        {
            let mut letter = self.letter.lock();
            match &mut letter.ending {
                Some(before) => {
                    let shorter = [before.grace_seconds, ending.grace_seconds].into_iter().flatten().min();
                    before.grace_seconds = shorter;
                }
                None => letter.ending = Some(ending),
            }
        }
        self.arrived.notify_one();
    }

    /// Makes the worker look again.
    pub fn wake(&self) {
        self.arrived.notify_one();
    }

    /// How far the pod's life has come.
    pub fn stage(&self) -> Stage {
        *self.stage.lock()
    }

    /// The newest definition.
    pub fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.letter.lock().pod)
    }

    fn read(&self) -> Letter {
        self.letter.lock().clone()
    }

    fn enter(&self, stage: Stage) {
        *self.stage.lock() = stage;
    }
}

/// True while another pod of the same name still ends, so this one must wait.
pub type Blocked = Box<dyn Fn(&Pod) -> bool + Send + Sync>;

/// A pod that is meant to run.
pub struct Running {
    cx: Arc<Machinery>,
    mailbox: Arc<Mailbox>,
    blocked: Blocked,
    memory: Memory,
}

impl Running {
    /// The beginning of a pod's life.
    pub fn new(cx: Arc<Machinery>, mailbox: Arc<Mailbox>, blocked: Blocked) -> Self {
        Self { cx, mailbox, blocked, memory: Memory::default() }
    }

    /// Keeps the pod as desired until it must end or has ended.
    pub async fn run(mut self) -> Terminating {
        loop {
            let letter = self.mailbox.read();
            if letter.must_end() {
                break;
            }
            // Everything is done with the resources that were granted, whatever is asked for by now.
            let pod = self.cx.allocations.allotted(&letter.pod);
            let wait = if (self.blocked)(&pod) { Duration::from_secs(1) } else { self.step(&pod).await };
            if wait.is_zero() {
                break;
            }
            let limit = deadline(&letter.pod).unwrap_or(Duration::MAX);
            tokio::select! {
                () = self.mailbox.arrived.notified() => {}
                () = tokio::time::sleep(wait.min(limit)) => {}
            }
        }
        Terminating { cx: self.cx, mailbox: self.mailbox, memory: self.memory }
    }

    /// One step; answers when the next is due, zero when the pod has ended.
    async fn step(&mut self, pod: &Arc<Pod>) -> Duration {
        if deadline_passed(&self.cx, pod) {
            self.mailbox.end(Ending {
                grace_seconds: None,
                verdict: Some(Verdict {
                    reason: "DeadlineExceeded".to_owned(),
                    message: "Pod was active on the node longer than the specified deadline".to_owned(),
                    disruption: false,
                    refused: false,
                }),
            });
            self.cx.events.pod(
                pod,
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
            );
            return Duration::ZERO;
        }
        let timer = metrics::WORKER_SECONDS.with_label_values(&["sync"]).start_timer();
        let result = sync(&self.cx, pod, &mut self.memory).await;
        drop(timer);
        match result {
            Ok(Synced::Settled) => resync(),
            Ok(Synced::RetryAfter(wait)) => {
                self.publish(pod).await;
                wait
            }
            Ok(Synced::Terminal) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(
                    namespace = pod.namespace(), name = pod.name(), uid = pod.uid(), error = %Chain(&error),
                    "pod step failed, will be tried again"
                );
                error.retry_after(&self.memory)
            }
        }
    }

    /// Shows new failures at once and not only with the next step.
    async fn publish(&self, pod: &Pod) {
        if let Ok(observed) = observe(self.cx.runtime.as_ref(), pod.uid()).await {
            self.cx.statuses.set(pod, api_status(&self.cx, pod, &observed, &self.memory, false));
        }
    }
}

fn resync() -> Duration {
    RESYNC + RESYNC.mul_f64(rand::random::<f64>() / 2.0)
}

/// Time until `activeDeadlineSeconds` are over.
fn deadline(pod: &Pod) -> Option<Duration> {
    let seconds = pod.spec().active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok())?;
    Some(Duration::from_secs(seconds.max(1)))
}

fn deadline_passed(cx: &Machinery, pod: &Pod) -> bool {
    let started = cx.statuses.get(pod.uid()).and_then(|status| status.start_time);
    match (pod.spec().active_deadline_seconds, started) {
        (Some(seconds), Some(started)) => clock::now().duration_since(started.0).as_secs() >= seconds,
        _ => false,
    }
}

/// A pod whose containers are being stopped.
pub struct Terminating {
    cx: Arc<Machinery>,
    mailbox: Arc<Mailbox>,
    memory: Memory,
}

impl Terminating {
    /// Stops everything, and again when the grace period is shortened meanwhile.
    pub async fn run(self) -> Terminated {
        self.mailbox.enter(Stage::Terminating);
        loop {
            let mut letter = self.mailbox.read();
            letter.pod = self.cx.allocations.allotted(&letter.pod);
            match self.stop(&letter).await {
                Stopped::Yes => break,
                Stopped::Interrupted => {}
                Stopped::No => tokio::time::sleep(KILL_RETRY).await,
            }
        }
        Terminated { cx: self.cx, mailbox: self.mailbox, memory: self.memory }
    }

    async fn stop(&self, letter: &Letter) -> Stopped {
        let (cx, pod) = (&self.cx, &letter.pod);
        let observed = match observe(cx.runtime.as_ref(), pod.uid()).await {
            Ok(observed) => observed,
            Err(error) => {
                tracing::warn!(namespace = pod.namespace(), name = pod.name(), %error, "ending pod was not observed");
                return Stopped::No;
            }
        };
        self.publish(letter, &observed, false);
        cx.probes.stop_liveness_and_startup(pod.uid());
        let kill = kill_pod(cx, pod, &observed, letter.grace_override());
        let result = tokio::select! {
            result = kill => result,
            () = self.shortened(letter.grace_seconds()) => return Stopped::Interrupted,
        };
        if let Err(error) = result {
            let chain = Chain(&error).to_string();
            tracing::warn!(namespace = pod.namespace(), name = pod.name(), error = chain, "pod was not stopped");
            cx.events.pod_warning(pod, "FailedKillPod", format!("error killing pod: {chain}"));
            return Stopped::No;
        }
        cx.probes.remove(pod.uid());
        match observe(cx.runtime.as_ref(), pod.uid()).await {
            Ok(observed) if observed.alive().next().is_none() => {
                self.publish(letter, &observed, true);
                Stopped::Yes
            }
            _ => Stopped::No,
        }
    }

    fn publish(&self, letter: &Letter, observed: &crate::runtime::ObservedPod, terminal: bool) {
        let mut status = api_status(&self.cx, &letter.pod, observed, &self.memory, terminal);
        if let Some(verdict) = letter.ending.as_ref().and_then(|ending| ending.verdict.clone()) {
            if verdict.disruption {
                let condition = condition("DisruptionTarget", true, "TerminationByKubelet", &verdict.message);
                let all = status.conditions.get_or_insert_default();
                all.retain(|other| other.type_ != condition.type_);
                all.push(condition);
            }
            if verdict.refused {
                status = PodStatus { qos_class: status.qos_class, ..PodStatus::default() };
            }
            status.phase = Some("Failed".to_owned());
            status.reason = Some(verdict.reason);
            status.message = Some(verdict.message);
        }
        self.cx.statuses.set(&letter.pod, status);
    }

    /// Returns when the newest letter gives less time than `seconds`.
    async fn shortened(&self, seconds: i64) {
        loop {
            self.mailbox.arrived.notified().await;
            if self.mailbox.read().grace_seconds() < seconds {
                return;
            }
        }
    }
}

enum Stopped {
    Yes,
    Interrupted,
    No,
}

/// A pod of which nothing runs any more.
pub struct Terminated {
    cx: Arc<Machinery>,
    mailbox: Arc<Mailbox>,
    memory: Memory,
}

impl Terminated {
    /// Clears away volumes and control groups, then says so to the API.
    pub async fn run(self) {
        self.mailbox.enter(Stage::Terminated);
        let started_at = Instant::now();
        loop {
            let pod = self.mailbox.pod();
            match self.clean(&pod) {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(
                        namespace = pod.namespace(), name = pod.name(), uid = pod.uid(), error = %Chain(&*error),
                        waited_s = started_at.elapsed().as_secs(), "ended pod was not cleared away"
                    );
                    tokio::time::sleep(KILL_RETRY).await;
                }
            }
        }
        let pod = self.mailbox.pod();
        let uid = pod.uid();
        self.cx.images.forget_pod(uid);
        self.cx.crash_loops.lock().forget_prefix(&format!("{uid}_"));
        if !self.memory.failures.is_empty() {
            tracing::debug!(uid, failures = ?self.memory.failures, "pod ended with failures");
        }
        self.cx.statuses.finish(&self.cx.allocations.allotted(&pod));
        self.cx.allocations.resources_were_freed();
        self.mailbox.enter(Stage::Finished);
    }

    fn clean(&self, pod: &Pod) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.cx.volumes.tear_down(pod.uid())?;
        if self.cx.cgroups.per_pod() {
            self.cx.kernel.remove_cgroup(&self.cx.cgroups.of(pod))?;
        }
        Ok(())
    }
}
