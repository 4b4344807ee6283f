//! The conditions of a pod that the kubelet owns, with upstream's reasons and messages.
//!
//! upstream: pkg/kubelet/status/generate.go

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::view::{PodView, is_sidecar};

/// Condition types that only the kubelet writes.
pub const OWNED: [&str; 8] = [
    "PodScheduled",
    "Ready",
    "Initialized",
    "ContainersReady",
    "PodResizeInProgress",
    "PodResizePending",
    "PodReadyToStartContainers",
    "AllContainersRestarting",
];

/// A condition without times.
pub fn condition(kind: &str, status: bool, reason: &str, message: &str) -> PodCondition {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PodCondition {
        type_: kind.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: text(reason),
        message: text(message),
        ..PodCondition::default()
    }
}

fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|status| status.name == name)
}

/// Names as Go prints a list of strings.
fn listed(names: &[&str]) -> String {
    format!("[{}]", names.join(" "))
}

fn joined(unknown: &[&str], known: &[&str], what: &str) -> String {
    let mut parts = Vec::new();
    if !unknown.is_empty() {
        parts.push(format!("containers with unknown status: {}", listed(unknown)));
    }
    if !known.is_empty() {
        parts.push(format!("containers with {what} status: {}", listed(known)));
    }
    parts.join(", ")
}

/// `ContainersReady`: every app container and sidecar is ready.
pub fn containers_ready(pod: &Pod, statuses: &[ContainerStatus], phase: &str) -> PodCondition {
    const KIND: &str = "ContainersReady";
    if statuses.is_empty() {
        return condition(KIND, false, "UnknownContainerStatuses", "");
    }
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    let sidecars = pod.init_containers().iter().filter(|container| is_sidecar(container));
    for container in sidecars.chain(&pod.spec().containers) {
        match find(statuses, &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) if !status.ready => unready.push(container.name.as_str()),
            Some(_) => {}
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return condition(KIND, false, "PodCompleted", "");
    }
    if phase == "Failed" {
        return condition(KIND, false, "PodFailed", "");
    }
    let message = joined(&unknown, &unready, "unready");
    if message.is_empty() {
        return condition(KIND, true, "", "");
    }
    condition(KIND, false, "ContainersNotReady", &message)
}

/// `Ready`: the containers are, and every readiness gate is true among `others`.
pub fn ready(pod: &Pod, statuses: &[ContainerStatus], phase: &str, others: &[PodCondition]) -> PodCondition {
    let mut out = containers_ready(pod, statuses, phase);
    out.type_ = "Ready".to_owned();
    if out.status != "True" {
        return out;
    }
    let mut missing = Vec::new();
    for gate in pod.spec().readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match others.iter().find(|condition| &condition.type_ == kind) {
            None => missing.push(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
            Some(found) if found.status != "True" => {
                missing.push(format!("the status of pod readiness gate {kind:?} is not \"True\", but {}", found.status))
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return out;
    }
    condition("Ready", false, "ReadinessGatesNotReady", &missing.join(", "))
}

/// `Initialized`: all init containers ended well and all sidecars started.
pub fn initialized(pod: &Pod, statuses: &[ContainerStatus], phase: &str) -> PodCondition {
    const KIND: &str = "Initialized";
    if statuses.is_empty() && !pod.init_containers().is_empty() {
        return condition(KIND, false, "UnknownContainerStatuses", "");
    }
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for container in pod.init_containers() {
        let Some(status) = find(statuses, &container.name) else {
            unknown.push(container.name.as_str());
            continue;
        };
        let done = if is_sidecar(container) { status.started == Some(true) } else { status.ready };
        if !done {
            incomplete.push(container.name.as_str());
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return condition(KIND, true, "PodCompleted", "");
    }
    let app_started = pod.spec().containers.iter().any(|container| {
        find(statuses, &container.name).is_some_and(|status| {
            let was = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
                state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
            };
            was(&status.state) || was(&status.last_state)
        })
    });
    let message = joined(&unknown, &incomplete, "incomplete");
    if app_started || message.is_empty() {
        return condition(KIND, true, "", "");
    }
    condition(KIND, false, "ContainersNotInitialized", &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_containers_that_are_not_ready() {
        let pod: Pod =
            serde_json::from_str(r#"{"spec":{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}}"#).expect("valid");
        let status = |name: &str, ready| ContainerStatus { name: name.to_owned(), ready, ..ContainerStatus::default() };
        let got = containers_ready(&pod, &[status("a", true), status("b", false)], "Running");
        assert_eq!(got.reason.as_deref(), Some("ContainersNotReady"));
        assert_eq!(
            got.message.as_deref(),
            Some("containers with unknown status: [c], containers with unready status: [b]")
        );
        let all = [status("a", true), status("b", true), status("c", true)];
        assert_eq!(containers_ready(&pod, &all, "Running").status, "True");
        assert_eq!(ready(&pod, &all, "Failed", &[]).reason.as_deref(), Some("PodFailed"));
    }
}
