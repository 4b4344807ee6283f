//! Pure: one step of a Job: (Job, its pods, now) → pods to make and delete, finalizers to take off, the status.
//!
//! A pod that has ended is first noted in the status (`uncountedTerminatedPods`), then loses its finalizer, then is
//! counted: so every pod counts exactly once, whatever dies in between. Pod failure policies act on exit codes and pod
//! conditions; success policies and per-index backoff are not built (see [`unsupported`]).
//! Upstream: pkg/controller/job/job_controller.go, indexed_job_utils.go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use component_base::clock::since;
use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus, PodFailurePolicyRule, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;

use super::indexes;
use crate::{api, pods};

pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const BACKOFF: Duration = Duration::from_secs(10);
const BACKOFF_MAX: Duration = Duration::from_secs(600);
/// Most pods noted as uncounted at once.
const UNCOUNTED_MAX: usize = 500;
const CREATE_MAX: usize = 500;

/// One step.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Status to write before finalizers come off; None if it stands.
    pub(super) status: Option<JobStatus>,
    /// Pods whose finalizer comes off, after the status is written.
    pub(super) release: Vec<Arc<Pod>>,
    pub(super) delete: Vec<Arc<Pod>>,
    /// Pods to make; with an index each for indexed Jobs.
    pub(super) create: Vec<Option<i32>>,
    /// What to tell: reason, message, whether it is a warning.
    pub(super) events: Vec<(&'static str, String, bool)>,
    pub(super) recheck_after: Option<Duration>,
}

/// Fields of a Job that this build does not act on.
pub(super) fn unsupported(job: &Job) -> Option<&'static str> {
    let spec = job.spec.as_ref()?;
    if spec.success_policy.is_some() {
        return Some("spec.successPolicy");
    }
    spec.backoff_limit_per_index.is_some().then_some("spec.backoffLimitPerIndex")
}

pub(super) fn is_true(status: Option<&JobStatus>, kind: &str) -> bool {
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Complete or Failed.
pub(in crate::controllers) fn is_finished(job: &Job) -> bool {
    is_true(job.status.as_ref(), "Complete") || is_true(job.status.as_ref(), "Failed")
}

pub(super) fn is_indexed(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.completion_mode.as_deref()) == Some("Indexed")
}

pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    pod.annotation(INDEX)?.parse().ok()
}

/// How a Job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Success,
    Failure { reason: &'static str, message: String },
}

struct Counts {
    succeeded: i32,
    failed: i32,
    active: Vec<Arc<Pod>>,
    terminating: i32,
    ready: i32,
    done_indexes: BTreeSet<i32>,
}

/// Plans one step.
pub(super) fn plan(job: &Job, owned: &[Arc<Pod>], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut status = job.status.clone().unwrap_or_default();
    if is_finished(job) {
        plan.release = owned.iter().filter(|pod| tracked(pod)).cloned().collect();
        return plan;
    }
    let spec = job.spec.clone().unwrap_or_default();
    let suspended = spec.suspend.unwrap_or(false);
    if status.start_time.is_none() && !suspended {
        status.start_time = Some(api::time(now));
    }
    note_ended(job, owned, &mut status, &mut plan);
    let counts = count(job, owned, &status);
    let end = target(&status).or_else(|| end_of(job, owned, &counts, &status, now));
    match &end {
        Some(end) => finish(end, &counts, &mut status, &mut plan, now),
        None if suspended => plan.delete.clone_from(&counts.active),
        None => scale(job, owned, &counts, &mut plan, now),
    }
    note_suspension(suspended && end.is_none(), &mut status, &mut plan, now);
    let expected = i32::try_from(plan.create.len()).unwrap_or(0) - i32::try_from(plan.delete.len()).unwrap_or(0);
    let active = i32::try_from(counts.active.len()).unwrap_or(i32::MAX);
    status.active = some((active + expected).max(0));
    status.ready = Some(counts.ready);
    status.terminating = Some(counts.terminating + i32::try_from(plan.delete.len()).unwrap_or(0));
    if let (Some(seconds), Some(start), None) = (spec.active_deadline_seconds, &status.start_time, &end) {
        let left = seconds - (now.as_second() - start.0.as_second());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1);
        plan.recheck_after = Some(plan.recheck_after.map_or(left, |known| known.min(left)));
    }
    plan.status = (job.status.as_ref() != Some(&status)).then_some(status);
    plan
}

fn some(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}

fn tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

fn has_failed(job: &Job, pod: &Pod) -> bool {
    let only_ended = job.spec.as_ref().and_then(|spec| spec.pod_replacement_policy.as_deref()) == Some("Failed");
    pods::phase(pod) == "Failed" || (pod.is_deleting() && !only_ended && pods::phase(pod) != "Succeeded")
}

/// Moves ended pods: those already noted and without finalizer are counted, those with a finalizer are noted.
fn note_ended(job: &Job, owned: &[Arc<Pod>], status: &mut JobStatus, plan: &mut Plan) {
    let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
    let still = |uid: &String| owned.iter().any(|pod| pod.uid() == uid && tracked(pod));
    let (kept, counted): (Vec<String>, Vec<String>) =
        uncounted.succeeded.unwrap_or_default().into_iter().partition(still);
    status.succeeded = some(status.succeeded.unwrap_or(0) + i32::try_from(counted.len()).unwrap_or(0));
    uncounted.succeeded = Some(kept);
    let (kept, counted): (Vec<String>, Vec<String>) = uncounted.failed.unwrap_or_default().into_iter().partition(still);
    status.failed = some(status.failed.unwrap_or(0) + i32::try_from(counted.len()).unwrap_or(0));
    uncounted.failed = Some(kept);
    let mut done = indexes::parse(status.completed_indexes.as_deref().unwrap_or_default());
    for pod in owned.iter().filter(|pod| tracked(pod)) {
        let uid = pod.uid().to_owned();
        let (succeeded, failed) =
            (uncounted.succeeded.get_or_insert_default(), uncounted.failed.get_or_insert_default());
        let room = succeeded.len() + failed.len() < UNCOUNTED_MAX;
        if succeeded.contains(&uid) || failed.contains(&uid) {
            plan.release.push(Arc::clone(pod));
        } else if pods::phase(pod) == "Succeeded" && room {
            if is_indexed(job) {
                // Only the first success of an index counts.
                if index_of(pod).is_some_and(|index| done.insert(index)) {
                    status.succeeded = some(status.succeeded.unwrap_or(0) + 1);
                }
            } else {
                succeeded.push(uid);
            }
            plan.release.push(Arc::clone(pod));
        } else if has_failed(job, pod) && room {
            if ignored(job, pod) {
                // Replaced without being counted.
            } else {
                failed.push(uid);
            }
            plan.release.push(Arc::clone(pod));
        }
    }
    if is_indexed(job) {
        status.succeeded = some(i32::try_from(done.len()).unwrap_or(i32::MAX));
        status.completed_indexes = Some(indexes::format(&done)).filter(|text| !text.is_empty());
    }
    let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    uncounted.succeeded = uncounted.succeeded.filter(|list| !list.is_empty());
    uncounted.failed = uncounted.failed.filter(|list| !list.is_empty());
    let nothing = empty(&uncounted.succeeded) && empty(&uncounted.failed);
    status.uncounted_terminated_pods = Some(if nothing { UncountedTerminatedPods::default() } else { uncounted });
}

fn count(job: &Job, owned: &[Arc<Pod>], status: &JobStatus) -> Counts {
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let more = |list: Option<Vec<String>>| i32::try_from(list.map_or(0, |list| list.len())).unwrap_or(0);
    let active: Vec<Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    Counts {
        succeeded: status.succeeded.unwrap_or(0) + if is_indexed(job) { 0 } else { more(uncounted.succeeded) },
        failed: status.failed.unwrap_or(0) + more(uncounted.failed),
        terminating: i32::try_from(owned.iter().filter(|pod| pods::is_terminating(pod)).count()).unwrap_or(0),
        ready: i32::try_from(active.iter().filter(|pod| pods::is_ready(pod)).count()).unwrap_or(0),
        active,
        done_indexes: indexes::parse(status.completed_indexes.as_deref().unwrap_or_default()),
    }
}

/// An end that was decided before.
fn target(status: &JobStatus) -> Option<End> {
    if is_true(Some(status), "SuccessCriteriaMet") {
        return Some(End::Success);
    }
    let failure = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "FailureTarget" && condition.status == "True")?;
    let reason = match failure.reason.as_deref() {
        Some("DeadlineExceeded") => "DeadlineExceeded",
        Some("PodFailurePolicy") => "PodFailurePolicy",
        _ => "BackoffLimitExceeded",
    };
    Some(End::Failure { reason, message: failure.message.clone().unwrap_or_default() })
}

fn end_of(job: &Job, owned: &[Arc<Pod>], counts: &Counts, status: &JobStatus, now: Timestamp) -> Option<End> {
    let spec = job.spec.as_ref()?;
    if let Some(message) = policy_failure(job, owned) {
        return Some(End::Failure { reason: "PodFailurePolicy", message });
    }
    let limit = spec.backoff_limit.unwrap_or(6);
    if counts.failed > limit || restarts_exceed(job, counts, limit) {
        let message = "Job has reached the specified backoff limit".to_owned();
        return Some(End::Failure { reason: "BackoffLimitExceeded", message });
    }
    let elapsed = status.start_time.as_ref().map_or(0, |start| now.as_second() - start.0.as_second());
    if !spec.suspend.unwrap_or(false) && spec.active_deadline_seconds.is_some_and(|seconds| elapsed >= seconds) {
        let message = "Job was active longer than specified deadline".to_owned();
        return Some(End::Failure { reason: "DeadlineExceeded", message });
    }
    let complete = match spec.completions {
        Some(completions) => counts.succeeded >= completions,
        None => counts.succeeded > 0 && counts.active.is_empty(),
    };
    complete.then_some(End::Success)
}

/// Pods that restart in place count by their containers' restarts.
fn restarts_exceed(job: &Job, counts: &Counts, limit: i32) -> bool {
    let template = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let restarts: i32 = counts
        .active
        .iter()
        .filter_map(|pod| pod.status.as_ref())
        .flat_map(|status| {
            status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
        })
        .map(|container| container.restart_count)
        .sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn rules(job: &Job) -> impl Iterator<Item = &PodFailurePolicyRule> {
    job.spec.iter().filter_map(|spec| spec.pod_failure_policy.as_ref()).flat_map(|policy| &policy.rules)
}

fn first_rule<'a>(job: &'a Job, pod: &Pod) -> Option<(usize, &'a PodFailurePolicyRule)> {
    rules(job).enumerate().find(|(_, rule)| rule_matches(rule, pod))
}

fn rule_matches(rule: &PodFailurePolicyRule, pod: &Pod) -> bool {
    if let Some(codes) = &rule.on_exit_codes {
        let status = pod.status.as_ref();
        let containers = status.into_iter().flat_map(|status| {
            status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
        });
        let named =
            containers.filter(|container| codes.container_name.as_ref().is_none_or(|name| *name == container.name));
        let exits = named.filter_map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.exit_code));
        return exits.filter(|code| *code != 0).any(|code| codes.values.contains(&code) == (codes.operator == "In"));
    }
    rule.on_pod_conditions.iter().flatten().any(|pattern| {
        pods::condition(pod, &pattern.type_)
            .is_some_and(|condition| condition.status == pattern.status.as_deref().unwrap_or("True"))
    })
}

fn ignored(job: &Job, pod: &Pod) -> bool {
    first_rule(job, pod).is_some_and(|(_, rule)| rule.action == "Ignore")
}

fn policy_failure(job: &Job, owned: &[Arc<Pod>]) -> Option<String> {
    owned.iter().filter(|pod| pods::phase(pod) == "Failed").find_map(|pod| {
        let (number, rule) = first_rule(job, pod)?;
        let what = if rule.on_exit_codes.is_some() { "exit code" } else { "condition" };
        (rule.action == "FailJob").then(|| {
            format!("Pod {}/{} has {what} matching FailJob rule at index {number}", pod.namespace(), pod.name())
        })
    })
}

fn set(status: &mut JobStatus, kind: &str, value: &str, reason: &str, message: &str, now: Timestamp) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    if conditions.iter().any(|known| known.type_ == kind && known.status == value) {
        return false;
    }
    conditions.retain(|known| known.type_ != kind);
    conditions.push(JobCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(api::time(now)),
        last_transition_time: Some(api::time(now)),
    });
    true
}

/// First the decision is written and running pods are stopped; when the last one has gone the end is announced.
fn finish(end: &End, counts: &Counts, status: &mut JobStatus, plan: &mut Plan, now: Timestamp) {
    plan.delete.clone_from(&counts.active);
    let (target, kind, reason, message) = match end {
        End::Success => (
            "SuccessCriteriaMet",
            "Complete",
            "CompletionsReached",
            "Reached expected number of succeeded pods".to_owned(),
        ),
        End::Failure { reason, message } => ("FailureTarget", "Failed", *reason, message.clone()),
    };
    set(status, target, "True", reason, &message, now);
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let all_counted = uncounted.failed.is_none() && uncounted.succeeded.is_none();
    if !counts.active.is_empty() || counts.terminating > 0 || !all_counted || !plan.release.is_empty() {
        return;
    }
    set(status, kind, "True", reason, &message, now);
    match end {
        End::Success => {
            status.completion_time = Some(api::time(now));
            plan.events.push(("Completed", "Job completed".to_owned(), false));
        }
        End::Failure { reason, message } => plan.events.push((reason, message.clone(), true)),
    }
}

fn note_suspension(suspended: bool, status: &mut JobStatus, plan: &mut Plan, now: Timestamp) {
    if suspended {
        if set(status, "Suspended", "True", "JobSuspended", "Job suspended", now) {
            plan.events.push(("Suspended", "Job suspended".to_owned(), false));
        }
        status.start_time = None;
    } else if is_true(Some(status), "Suspended") && set(status, "Suspended", "False", "JobResumed", "Job resumed", now)
    {
        status.start_time = Some(api::time(now));
        plan.events.push(("Resumed", "Job resumed".to_owned(), false));
    }
}

fn scale(job: &Job, owned: &[Arc<Pod>], counts: &Counts, plan: &mut Plan, now: Timestamp) {
    let Some(spec) = &job.spec else { return };
    let active = i32::try_from(counts.active.len()).unwrap_or(i32::MAX);
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = match spec.completions {
        None if counts.succeeded > 0 => active,
        None => parallelism,
        Some(completions) => (completions - counts.succeeded).clamp(0, parallelism),
    };
    if active > wanted {
        let excess = usize::try_from(active - wanted).unwrap_or(0);
        let mut ranked = counts.active.clone();
        ranked.sort_by_key(|pod| {
            (pods::is_ready(pod), pods::phase(pod) == "Running", std::cmp::Reverse(api::created(&pod.metadata)))
        });
        plan.delete.extend(ranked.into_iter().take(excess));
        return;
    }
    let only_ended = spec.pod_replacement_policy.as_deref() == Some("Failed");
    let missing = wanted - active - if only_ended { counts.terminating } else { 0 };
    if missing <= 0 {
        return;
    }
    if let Some(wait) = backoff(job, owned, counts.failed, now) {
        plan.recheck_after = Some(wait);
        return;
    }
    let missing = usize::try_from(missing).unwrap_or(0).min(CREATE_MAX);
    if !is_indexed(job) {
        plan.create = vec![None; missing];
        return;
    }
    let used: BTreeSet<i32> = counts.active.iter().filter_map(|pod| index_of(pod)).collect();
    let free = (0..spec.completions.unwrap_or(0))
        .filter(|index| !counts.done_indexes.contains(index) && !used.contains(index));
    plan.create = free.take(missing).map(Some).collect();
}

/// How long to wait after failures: 10 s, doubling, from the end of the last one; a success ends it.
fn backoff(job: &Job, owned: &[Arc<Pod>], failed: i32, now: Timestamp) -> Option<Duration> {
    let last_failure =
        owned.iter().filter(|pod| has_failed(job, pod) && !ignored(job, pod)).filter_map(|pod| ended_at(pod)).max()?;
    let last_success = owned.iter().filter(|pod| pods::phase(pod) == "Succeeded").filter_map(|pod| ended_at(pod)).max();
    if failed <= 0 || last_success.is_some_and(|success| success > last_failure) {
        return None;
    }
    let exponent = u32::try_from(failed - 1).unwrap_or(0).min(16);
    let wait = (BACKOFF * 2u32.pow(exponent)).min(BACKOFF_MAX);
    wait.checked_sub(since(now, last_failure)).filter(|left| !left.is_zero())
}

fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.iter().flatten();
    let ends = statuses.filter_map(|status| Some(status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0));
    ends.max().or_else(|| pod.metadata.deletion_timestamp.as_ref().map(|time| time.0))
}
