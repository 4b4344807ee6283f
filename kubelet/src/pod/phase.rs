//! The phase of a pod out of the states of its containers.
//!
//! upstream: pkg/kubelet/kubelet_pods.go: getPhase

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::restart::should_restart;
use super::view::{PodView, is_sidecar};

#[derive(Default)]
struct Counts {
    pending_init: usize,
    failed_for_good: usize,
    pending_sidecars: usize,
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
}

/// `Pending`, `Running`, `Succeeded` or `Failed`.
///
/// `statuses` are those of init and app containers; `terminal` says that nothing of the pod will run again;
/// `initialized` says that an app container was made in the present sandbox.
pub fn phase(pod: &Pod, statuses: &[ContainerStatus], terminal: bool, initialized: bool) -> &'static str {
    let counts = count(pod, statuses);
    if counts.failed_for_good > 0 {
        return "Failed";
    }
    if counts.pending_init > 0 || (counts.pending_sidecars > 0 && !initialized) || counts.waiting > 0 {
        return "Pending";
    }
    if counts.running > 0 && counts.unknown == 0 {
        return "Running";
    }
    if counts.running == 0 && counts.stopped > 0 && counts.unknown == 0 {
        let finished = (terminal && !pod.is_static()) || counts.stopped == counts.stopped_for_good;
        return match (finished, counts.stopped == counts.succeeded) {
            (true, true) => "Succeeded",
            (true, false) => "Failed",
            (false, _) => "Running",
        };
    }
    "Pending"
}

fn count(pod: &Pod, statuses: &[ContainerStatus]) -> Counts {
    let mut counts = Counts::default();
    let policy = pod.spec().restart_policy.as_deref();
    let find = |name: &str| statuses.iter().find(|status| status.name == name);
    for container in pod.init_containers() {
        let status = find(&container.name);
        if is_sidecar(container) {
            count_sidecar(status, &mut counts);
            continue;
        }
        let state = status.and_then(|status| status.state.as_ref());
        let last = status.and_then(|status| status.last_state.as_ref());
        let ended = match state {
            Some(state) if state.terminated.is_some() => state.terminated.as_ref(),
            Some(state) if state.waiting.is_some() => last.and_then(|last| last.terminated.as_ref()),
            _ => None,
        };
        match ended {
            None => counts.pending_init += 1,
            Some(ended) if ended.exit_code != 0 && !should_restart(container, policy, ended.exit_code) => {
                counts.failed_for_good += 1;
            }
            Some(_) => {}
        }
    }
    for container in &pod.spec().containers {
        let Some(status) = find(&container.name) else {
            counts.unknown += 1;
            continue;
        };
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        if state.running.is_some() {
            counts.running += 1;
        } else if let Some(ended) = &state.terminated {
            counts.stopped += 1;
            counts.stopped_for_good += usize::from(!should_restart(container, policy, ended.exit_code));
            counts.succeeded += usize::from(ended.exit_code == 0);
        } else if state.waiting.is_some() {
            match last {
                Some(ended) => {
                    counts.stopped += 1;
                    counts.stopped_for_good += usize::from(!should_restart(container, policy, ended.exit_code));
                }
                None => counts.waiting += 1,
            }
        } else {
            counts.unknown += 1;
        }
    }
    counts
}

/// Ended sidecars have no say in the phase.
fn count_sidecar(status: Option<&ContainerStatus>, counts: &mut Counts) {
    let Some(status) = status else {
        counts.unknown += 1;
        return;
    };
    let state = status.state.clone().unwrap_or_default();
    let ended_before = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if state.running.is_some() {
        counts.pending_sidecars += usize::from(status.started != Some(true));
        counts.running += 1;
    } else if state.waiting.is_some() && !ended_before {
        counts.pending_sidecars += 1;
        counts.waiting += 1;
    } else if state.terminated.is_none() && state.waiting.is_none() {
        counts.pending_sidecars += 1;
        counts.unknown += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: &str, statuses: &str, terminal: bool, want: &str) {
        let pod: Pod = serde_json::from_str(&format!(r#"{{"spec":{pod}}}"#)).expect("valid pod");
        let statuses: Vec<ContainerStatus> = serde_json::from_str(statuses).expect("valid statuses");
        assert_eq!(phase(&pod, &statuses, terminal, false), want, "{statuses:?}");
    }

    fn status(name: &str, state: &str) -> String {
        format!(r#"{{"name":"{name}","image":"","imageID":"","ready":false,"restartCount":0,"state":{state}}}"#)
    }

    #[test]
    fn follows_the_containers() {
        let one = r#"{"restartPolicy":"Always","containers":[{"name":"a"}]}"#;
        let never = r#"{"restartPolicy":"Never","containers":[{"name":"a"}]}"#;
        let running = r#"{"running":{}}"#;
        let good = r#"{"terminated":{"exitCode":0}}"#;
        let bad = r#"{"terminated":{"exitCode":1}}"#;
        let waiting = r#"{"waiting":{"reason":"ContainerCreating"}}"#;
        for (pod, state, terminal, want) in [
            (one, running, false, "Running"),
            (one, waiting, false, "Pending"),
            (one, good, false, "Running"),
            (one, good, true, "Succeeded"),
            (one, bad, true, "Failed"),
            (never, good, false, "Succeeded"),
            (never, bad, false, "Failed"),
        ] {
            check(pod, &format!("[{}]", status("a", state)), terminal, want);
        }
        check(one, "[]", false, "Pending");
    }

    #[test]
    fn a_failed_init_container_fails_the_pod_that_is_never_restarted() {
        let pod = r#"{"restartPolicy":"Never","initContainers":[{"name":"i"}],"containers":[{"name":"a"}]}"#;
        let statuses = format!(
            "[{},{}]",
            status("i", r#"{"terminated":{"exitCode":1}}"#),
            status("a", r#"{"waiting":{"reason":"PodInitializing"}}"#)
        );
        check(pod, &statuses, false, "Failed");
    }
}
