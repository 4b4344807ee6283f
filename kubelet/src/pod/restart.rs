//! Whether a container that ended is started again.
//!
//! upstream: pkg/api/v1/pod/util.go: ContainerShouldRestart, pkg/kubelet/container/helpers.go: ShouldContainerBeRestarted

use k8s_openapi::api::core::v1::{Container, Pod};

use super::view::PodView;
use crate::runtime::{ContainerPhase, ObservedPod};

/// True when the restart rules and policies want a container that ended with `exit_code` to run again.
pub fn should_restart(container: &Container, pod_policy: Option<&str>, exit_code: i32) -> bool {
    if let Some(policy) = container.restart_policy.as_deref() {
        if let Some(action) = matching_rule(container, exit_code)
            && matches!(action, "Restart" | "RestartAllContainers")
        {
            return true;
        }
        if let Some(answer) = by_policy(policy, exit_code) {
            return answer;
        }
    }
    by_policy(pod_policy.unwrap_or("Always"), exit_code).unwrap_or(true)
}

/// True when the rules want every container of the pod to start over, which is more than restarting this one.
pub fn wants_all_restarted(container: &Container, exit_code: i32) -> bool {
    container.restart_policy.is_some() && matching_rule(container, exit_code) == Some("RestartAllContainers")
}

fn by_policy(policy: &str, exit_code: i32) -> Option<bool> {
    match policy {
        "Always" => Some(true),
        "OnFailure" => Some(exit_code != 0),
        "Never" => Some(false),
        _ => None,
    }
}

fn matching_rule(container: &Container, exit_code: i32) -> Option<&str> {
    container.restart_policy_rules.iter().flatten().find_map(|rule| {
        let codes = rule.exit_codes.as_ref()?;
        let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        let matches = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        matches.then_some(rule.action.as_str())
    })
}

/// True when the container of this pod, as observed, must be started.
pub fn needs_start(container: &Container, pod: &Pod, observed: &ObservedPod) -> bool {
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    match observed.container(&container.name) {
        None => true,
        Some(found) => match found.phase {
            ContainerPhase::Running => false,
            ContainerPhase::Created | ContainerPhase::Unknown => true,
            ContainerPhase::Exited => should_restart(container, pod.spec().restart_policy.as_deref(), found.exit_code),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(json: &str) -> Container {
        serde_json::from_str(json).expect("valid")
    }

    #[test]
    fn rules_come_before_the_container_policy_and_that_before_the_pods() {
        let plain = container(r#"{"name":"c"}"#);
        let never = container(r#"{"name":"c","restartPolicy":"Never"}"#);
        let ruled = container(
            r#"{"name":"c","restartPolicy":"Never",
                "restartPolicyRules":[{"action":"Restart","exitCodes":{"operator":"In","values":[42]}}]}"#,
        );
        for (container, policy, code, want) in [
            (&plain, "Always", 0, true),
            (&plain, "OnFailure", 0, false),
            (&plain, "OnFailure", 1, true),
            (&plain, "Never", 1, false),
            (&never, "Always", 1, false),
            (&ruled, "Never", 42, true),
            (&ruled, "Always", 41, false),
        ] {
            assert_eq!(should_restart(container, Some(policy), code), want, "{policy} {code}");
        }
    }
}
