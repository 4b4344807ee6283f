//! Data-driven tests of Job steps, driven to the end with simulated pods.

use std::sync::Arc;

use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{INDEX, Plan, TRACKING, is_true, plan};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).expect("in range")
}

struct World {
    job: Job,
    pods: Vec<Pod>,
    seconds: i64,
    made: usize,
    events: Vec<&'static str>,
}

impl World {
    fn new(spec: JobSpec) -> Self {
        let mut job = Job { spec: Some(spec), ..Job::default() };
        job.metadata.name = Some("j".into());
        Self { job, pods: Vec::new(), seconds: 0, made: 0, events: Vec::new() }
    }

    fn step(&mut self) -> Plan {
        let pods: Vec<Arc<Pod>> = self.pods.iter().cloned().map(Arc::new).collect();
        let plan = plan(&self.job, &pods, at(self.seconds));
        if let Some(status) = &plan.status {
            self.job.status = Some(status.clone());
        }
        for pod in &plan.release {
            let known = self.pods.iter_mut().find(|known| known.uid() == pod.uid()).expect("pod");
            known.metadata.finalizers = None;
        }
        self.pods.retain(|pod| !plan.delete.iter().any(|gone| gone.uid() == pod.uid()));
        for index in &plan.create {
            let mut pod = Pod::default();
            pod.metadata.uid = Some(format!("u{}", self.made));
            pod.metadata.finalizers = Some(vec![TRACKING.into()]);
            pod.metadata.annotations = index.map(|index| [(INDEX.to_owned(), index.to_string())].into());
            pod.status = Some(PodStatus { phase: Some("Running".into()), ..PodStatus::default() });
            self.made += 1;
            self.pods.push(pod);
        }
        self.events.extend(plan.events.iter().map(|(reason, _, _)| *reason));
        plan
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            let plan = self.step();
            if plan.status.is_none() && plan.create.is_empty() && plan.delete.is_empty() && plan.release.is_empty() {
                return;
            }
        }
        panic!("does not settle");
    }

    fn end(&mut self, phase: &str, code: i32, count: usize) {
        let running = self
            .pods
            .iter_mut()
            .filter(|pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running"));
        for pod in running.take(count) {
            let terminated = ContainerStateTerminated {
                exit_code: code,
                finished_at: Some(Time(at(self.seconds))),
                ..ContainerStateTerminated::default()
            };
            let state = ContainerState { terminated: Some(terminated), ..ContainerState::default() };
            let container = ContainerStatus { state: Some(state), ..ContainerStatus::default() };
            pod.status = Some(PodStatus {
                phase: Some(phase.into()),
                container_statuses: Some(vec![container]),
                ..PodStatus::default()
            });
        }
    }

    fn counts(&self) -> (i32, i32, i32) {
        let status = self.job.status.clone().unwrap_or_default();
        (status.active.unwrap_or(0), status.succeeded.unwrap_or(0), status.failed.unwrap_or(0))
    }

    fn has(&self, kind: &str) -> bool {
        is_true(self.job.status.as_ref(), kind)
    }
}

fn spec(completions: i32, parallelism: i32) -> JobSpec {
    JobSpec {
        completions: Some(completions),
        parallelism: Some(parallelism),
        backoff_limit: Some(1),
        ..JobSpec::default()
    }
}

#[test]
fn a_job_completes() {
    let mut world = World::new(spec(3, 2));
    world.settle();
    assert_eq!(world.counts(), (2, 0, 0));
    world.end("Succeeded", 0, 2);
    world.settle();
    assert_eq!(world.counts(), (1, 2, 0));
    world.end("Succeeded", 0, 1);
    world.settle();
    assert_eq!(world.counts(), (0, 3, 0));
    assert!(world.has("SuccessCriteriaMet") && world.has("Complete"));
    assert_eq!(world.events, ["Completed"]);
}

#[test]
fn failures_are_tried_again_with_backoff_up_to_the_limit() {
    let mut world = World::new(spec(1, 1));
    world.settle();
    world.end("Failed", 1, 1);
    world.settle();
    assert_eq!(world.counts(), (0, 0, 1));
    world.seconds += 10;
    world.settle();
    assert_eq!(world.counts(), (1, 0, 1));
    world.end("Failed", 1, 1);
    world.settle();
    assert_eq!(world.counts(), (0, 0, 2));
    assert!(world.has("FailureTarget") && world.has("Failed"));
    assert_eq!(world.events, ["BackoffLimitExceeded"]);
}

#[test]
fn an_indexed_job_runs_every_index_once() {
    let mut world = World::new(JobSpec { completion_mode: Some("Indexed".into()), ..spec(4, 2) });
    world.settle();
    world.end("Succeeded", 0, 2);
    world.settle();
    assert_eq!(world.job.status.as_ref().and_then(|status| status.completed_indexes.as_deref()), Some("0,1"));
    world.end("Succeeded", 0, 2);
    world.settle();
    assert_eq!(world.job.status.as_ref().and_then(|status| status.completed_indexes.as_deref()), Some("0-3"));
    assert_eq!(world.counts(), (0, 4, 0));
    assert!(world.has("Complete"));
}

#[test]
fn a_suspended_job_has_no_pods() {
    let mut world = World::new(spec(2, 2));
    world.settle();
    world.job.spec.get_or_insert_default().suspend = Some(true);
    world.settle();
    assert!(world.pods.is_empty() && world.has("Suspended"));
    world.job.spec.get_or_insert_default().suspend = Some(false);
    world.settle();
    assert_eq!(world.counts().0, 2);
    assert_eq!(world.events, ["Suspended", "Resumed"]);
}

#[test]
fn a_deadline_ends_it() {
    let mut world = World::new(JobSpec { active_deadline_seconds: Some(30), ..spec(1, 1) });
    assert_eq!(world.step().recheck_after.map(|wait| wait.as_secs()), Some(31));
    world.seconds = 31;
    world.settle();
    assert!(world.has("Failed") && world.pods.is_empty());
    assert_eq!(world.events, ["DeadlineExceeded"]);
}

#[test]
fn a_pod_failure_policy_ends_it_at_once() {
    let codes =
        PodFailurePolicyOnExitCodesRequirement { container_name: None, operator: "In".into(), values: vec![42] };
    let rule = PodFailurePolicyRule { action: "FailJob".into(), on_exit_codes: Some(codes), on_pod_conditions: None };
    let mut world =
        World::new(JobSpec { pod_failure_policy: Some(PodFailurePolicy { rules: vec![rule] }), ..spec(2, 2) });
    world.settle();
    world.end("Failed", 42, 1);
    world.settle();
    assert!(world.has("Failed"));
    assert_eq!(world.events, ["PodFailurePolicy"]);
}
