//! Data-driven checks of the plan: a pod, what runs, and the steps that must follow.

use std::collections::HashMap;

use jiff::Timestamp;

use super::*;
use crate::runtime::SandboxObserved;
use crate::runtime::labels::ContainerNotes;

#[derive(Default)]
struct Table {
    liveness: HashMap<String, bool>,
    startup: HashMap<String, bool>,
}

impl Verdicts for Table {
    fn liveness(&self, id: &str) -> Option<bool> {
        self.liveness.get(id).copied()
    }

    fn startup(&self, id: &str) -> Option<bool> {
        self.startup.get(id).copied()
    }
}

fn pod(policy: &str, init: &[&str], app: &[&str]) -> Pod {
    let containers = |names: &[&str]| -> Vec<Container> {
        names
            .iter()
            .map(|name| {
                let (name, sidecar) = name.strip_suffix('*').map_or((*name, false), |name| (name, true));
                Container {
                    name: name.to_owned(),
                    image: Some("image".to_owned()),
                    restart_policy: sidecar.then(|| "Always".to_owned()),
                    ..Container::default()
                }
            })
            .collect()
    };
    let spec = k8s_openapi::api::core::v1::PodSpec {
        restart_policy: Some(policy.to_owned()),
        init_containers: Some(containers(init)),
        containers: containers(app),
        ..Default::default()
    };
    Pod { spec: Some(spec), ..Pod::default() }
}

/// `states`: `name=running`, `name=exited:1`, `name=created`, `name=unknown`; the newest first.
fn observed(sandbox: Option<bool>, states: &[&str]) -> ObservedPod {
    let sandboxes = sandbox
        .map(|ready| SandboxObserved {
            id: "s".to_owned(),
            attempt: 0,
            ready,
            created_at_ns: 1,
            ips: vec!["10.0.0.1".to_owned()],
            host_network: false,
            has_network_status: true,
        })
        .into_iter()
        .collect();
    let containers = states
        .iter()
        .map(|state| {
            let (name, state) = state.split_once('=').expect("name=state");
            let (phase, code) = match state.split_once(':') {
                Some(("exited", code)) => (ContainerPhase::Exited, code.parse().expect("code")),
                _ if state == "running" => (ContainerPhase::Running, 0),
                _ if state == "created" => (ContainerPhase::Created, 0),
                _ => (ContainerPhase::Unknown, 0),
            };
            ContainerObserved {
                id: format!("id-{name}"),
                name: name.to_owned(),
                image: "image".to_owned(),
                image_id: String::new(),
                phase,
                created_at: Timestamp::UNIX_EPOCH,
                started_at: Timestamp::UNIX_EPOCH,
                finished_at: Timestamp::UNIX_EPOCH,
                exit_code: code,
                reason: String::new(),
                message: String::new(),
                notes: ContainerNotes { hash: container_hash(name, "image"), ..ContainerNotes::default() },
                user: None,
                resources: None,
                log_path: String::new(),
                sandbox_id: "s".to_owned(),
            }
        })
        .collect();
    ObservedPod { sandboxes, containers, ..ObservedPod::default() }
}

/// A plan in one line: `pod` (kill all), `sandbox`, `kill:x`, `init:0`, `app:0`.
fn line(plan: &Plan) -> String {
    let mut words = Vec::new();
    if plan.kill_pod {
        words.push("pod".to_owned());
    }
    if plan.create_sandbox {
        words.push("sandbox".to_owned());
    }
    words.extend(plan.kill.iter().map(|kill| format!("kill:{}", kill.name)));
    words.extend(plan.init.iter().map(|index| format!("init:{index}")));
    words.extend(plan.app.iter().map(|index| format!("app:{index}")));
    words.join(" ")
}

fn check(pod: &Pod, observed: &ObservedPod, want: &str) {
    assert_eq!(line(&plan(pod, observed, &Table::default(), &PodResources::default())), want, "{observed:?}");
}

#[test]
fn a_new_pod_gets_a_sandbox_and_its_first_containers() {
    check(&pod("Always", &[], &["a", "b"]), &observed(None, &[]), "pod sandbox app:0 app:1");
    check(&pod("Always", &["i", "j"], &["a"]), &observed(None, &[]), "pod sandbox init:0");
}

#[test]
fn a_running_pod_needs_nothing() {
    check(&pod("Always", &[], &["a"]), &observed(Some(true), &["a=running"]), "");
    check(&pod("Always", &["i"], &["a"]), &observed(Some(true), &["a=running", "i=exited:0"]), "");
}

#[test]
fn restart_policies_decide_about_ended_containers() {
    for (policy, state, want) in [
        ("Always", "a=exited:0", "app:0"),
        ("Always", "a=exited:1", "app:0"),
        ("OnFailure", "a=exited:1", "app:0"),
        ("OnFailure", "a=exited:0", "pod"),
        ("Never", "a=exited:1", "pod"),
        ("Never", "a=unknown", "kill:a app:0"),
    ] {
        check(&pod(policy, &[], &["a"]), &observed(Some(true), &[state]), want);
    }
}

#[test]
fn a_dead_sandbox_starts_the_pod_over_unless_its_one_run_is_done() {
    check(&pod("Always", &["i"], &["a"]), &observed(Some(false), &["a=exited:0", "i=exited:0"]), "pod sandbox init:0");
    check(&pod("Never", &[], &["a"]), &observed(Some(false), &["a=exited:0"]), "pod");
    check(&pod("OnFailure", &[], &["a"]), &observed(Some(false), &["a=exited:0"]), "pod");
    check(
        &pod("OnFailure", &[], &["a", "b"]),
        &observed(Some(false), &["a=exited:0", "b=exited:2"]),
        "pod sandbox app:1",
    );
}

#[test]
fn init_containers_run_one_after_the_other() {
    let two = pod("Always", &["i", "j"], &["a"]);
    check(&two, &observed(Some(true), &[]), "init:0");
    check(&two, &observed(Some(true), &["i=running"]), "");
    check(&two, &observed(Some(true), &["i=exited:0"]), "init:1");
    check(&two, &observed(Some(true), &["i=exited:3"]), "init:0");
    check(&two, &observed(Some(true), &["j=exited:0", "i=exited:0"]), "app:0");
    check(&pod("Never", &["i"], &["a"]), &observed(Some(true), &["i=exited:3"]), "pod");
}

#[test]
fn sidecars_start_before_the_next_and_are_kept_running() {
    let sidecar = pod("Always", &["s*", "i"], &["a"]);
    check(&sidecar, &observed(Some(true), &["s=running"]), "init:1");
    check(&sidecar, &observed(Some(true), &["i=exited:0", "s=running"]), "app:0");
    check(&sidecar, &observed(Some(true), &["a=running", "i=exited:0", "s=exited:1"]), "init:0");
    check(&pod("Never", &["s*"], &["a"]), &observed(Some(true), &["a=exited:0", "s=running"]), "pod");
}

#[test]
fn failed_probes_and_changed_definitions_kill() {
    let one = pod("Never", &[], &["a", "b"]);
    let running = observed(Some(true), &["a=running", "b=running"]);
    let failed = Table { liveness: [("id-a".to_owned(), false)].into(), ..Table::default() };
    let got = plan(&one, &running, &failed, &PodResources::default());
    assert_eq!(line(&got), "kill:a");
    assert_eq!(got.kill[0].message, "Container a failed liveness probe");
    let always = pod("Always", &[], &["a", "b"]);
    let got = plan(&always, &running, &failed, &PodResources::default());
    assert_eq!(line(&got), "kill:a app:0");
    assert_eq!(got.kill[0].message, "Container a failed liveness probe, will be restarted");
    let mut stale = running.clone();
    stale.containers[1].notes.hash = 7;
    assert_eq!(line(&plan(&one, &stale, &Table::default(), &PodResources::default())), "kill:b app:1");
}
