//! Checks of the status: what ran, what runs, what the API then shows.

use super::*;
use crate::runtime::SandboxObserved;
use crate::runtime::labels::{ContainerNotes, container_hash};

struct NoProbes;

impl ProbeVerdicts for NoProbes {
    fn startup(&self, _id: &str) -> Option<bool> {
        None
    }

    fn readiness(&self, _id: &str) -> Option<bool> {
        None
    }
}

fn pod(json: &str) -> Pod {
    serde_json::from_str(json).expect("valid pod")
}

fn container(name: &str, id: &str, phase: ContainerPhase, exit_code: i32, restarts: i32) -> ContainerObserved {
    ContainerObserved {
        id: id.to_owned(),
        name: name.to_owned(),
        image: "image".to_owned(),
        image_id: "sha256:1".to_owned(),
        phase,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        exit_code,
        reason: String::new(),
        message: String::new(),
        notes: ContainerNotes { hash: container_hash(name, "image"), restart_count: restarts, ..Default::default() },
        user: None,
        resources: None,
        log_path: String::new(),
        sandbox_id: "s".to_owned(),
    }
}

fn observed(containers: Vec<ContainerObserved>) -> ObservedPod {
    let sandbox = SandboxObserved {
        id: "s".to_owned(),
        attempt: 0,
        ready: true,
        created_at_ns: 1,
        ips: vec!["10.0.0.9".to_owned()],
        host_network: false,
        has_network_status: true,
    };
    ObservedPod { sandboxes: vec![sandbox], containers, ..ObservedPod::default() }
}

fn status(pod: &Pod, observed: &ObservedPod, previous: &PodStatus, failures: &[(&str, &str)]) -> PodStatus {
    let failures = failures
        .iter()
        .map(|(name, reason)| {
            ((*name).to_owned(), StartFailure { reason: (*reason).to_owned(), message: "m".to_owned() })
        })
        .collect();
    generate(&Inputs {
        pod,
        observed,
        previous,
        terminal: false,
        failures: &failures,
        probes: &NoProbes,
        host_ips: &["192.0.2.1".to_owned()],
        runtime_name: "containerd",
        actuated: &PodResources::default(),
        resize: &[],
    })
}

fn condition(status: &PodStatus, kind: &str) -> String {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    found.map(|condition| condition.status.clone()).unwrap_or_default()
}

#[test]
fn a_running_pod_is_ready_and_has_its_address() {
    let pod = pod(r#"{"spec":{"containers":[{"name":"a","image":"image"}]}}"#);
    let got =
        status(&pod, &observed(vec![container("a", "1", ContainerPhase::Running, 0, 0)]), &PodStatus::default(), &[]);
    assert_eq!(got.phase.as_deref(), Some("Running"));
    assert_eq!(got.pod_ip.as_deref(), Some("10.0.0.9"));
    assert_eq!(got.host_ip.as_deref(), Some("192.0.2.1"));
    assert_eq!(condition(&got, "Ready"), "True");
    assert_eq!(condition(&got, "PodReadyToStartContainers"), "True");
}

#[test]
fn a_crashing_container_waits_and_shows_its_last_end() {
    let pod = pod(r#"{"spec":{"containers":[{"name":"a","image":"image"}]}}"#);
    let runs =
        vec![container("a", "2", ContainerPhase::Exited, 3, 1), container("a", "1", ContainerPhase::Exited, 2, 0)];
    let got = status(&pod, &observed(runs), &PodStatus::default(), &[("a", "CrashLoopBackOff")]);
    let one = &got.container_statuses.as_ref().expect("one")[0];
    assert_eq!(
        one.state.as_ref().and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.as_deref()),
        Some("CrashLoopBackOff")
    );
    assert_eq!(one.last_state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code), Some(3));
    assert_eq!(one.restart_count, 1);
    assert_eq!(got.phase.as_deref(), Some("Running"));
}

#[test]
fn readiness_survives_a_restart_of_the_kubelet() {
    let pod = pod(r#"{"spec":{"containers":[{"name":"a","image":"image","readinessProbe":{"exec":{}}}]}}"#);
    let running = observed(vec![container("a", "1", ContainerPhase::Running, 0, 0)]);
    assert_eq!(condition(&status(&pod, &running, &PodStatus::default(), &[]), "Ready"), "False");
    let mut before = status(&pod, &running, &PodStatus::default(), &[]);
    before.container_statuses.as_mut().expect("one")[0].ready = true;
    assert_eq!(condition(&status(&pod, &running, &before, &[]), "Ready"), "True");
    let another = observed(vec![container("a", "2", ContainerPhase::Running, 0, 1)]);
    assert_eq!(condition(&status(&pod, &another, &before, &[]), "Ready"), "False");
}

#[test]
fn a_terminal_phase_is_never_left() {
    let pod =
        pod(r#"{"spec":{"containers":[{"name":"a","image":"image"}]},"status":{"phase":"Failed","reason":"Evicted"}}"#);
    let running = observed(vec![container("a", "1", ContainerPhase::Running, 0, 0)]);
    let got = status(&pod, &running, pod.status(), &[]);
    assert_eq!((got.phase.as_deref(), got.reason.as_deref()), (Some("Failed"), Some("Evicted")));
}
