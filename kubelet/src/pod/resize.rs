//! What it takes to give a running container other resources: pure.
//!
//! Amounts are compared as the kernel counts them, so `1` and `1000m` are the same.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go: computePodResizeAction, IsPodResizeInProgress

use std::collections::BTreeMap;

use apimachinery::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::resources::{milli, whole};
use super::view::{PodView, is_sidecar};
use crate::allocation::PodResources;
use crate::runtime::{ContainerPhase, ObservedPod};

/// Processor and memory of one container; 0 where nothing is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub cpu_request: i64,
    /// Thousandths of a CPU.
    pub cpu_limit: i64,
    /// Bytes.
    pub memory_request: i64,
    /// Bytes.
    pub memory_limit: i64,
}

impl Amounts {
    /// Amounts of a container; a limit that it does not name is that of its pod.
    pub fn of(own: Option<&ResourceRequirements>, of_pod: Option<&ResourceRequirements>) -> Self {
        let named = |amount: &i64| *amount != 0;
        Self {
            cpu_request: milli(own, false, "cpu").unwrap_or(0),
            cpu_limit: milli(own, true, "cpu").filter(named).or_else(|| milli(of_pod, true, "cpu")).unwrap_or(0),
            memory_request: whole(own, false, "memory").unwrap_or(0),
            memory_limit: whole(own, true, "memory")
                .filter(named)
                .or_else(|| whole(of_pod, true, "memory"))
                .unwrap_or(0),
        }
    }

    /// These amounts of processor with the memory of `other`.
    pub fn with_memory_of(self, other: Self) -> Self {
        Self { memory_request: other.memory_request, memory_limit: other.memory_limit, ..self }
    }

    /// `resources` with these amounts of processor and memory in place of its own.
    pub fn into_requirements(self, resources: Option<&ResourceRequirements>) -> ResourceRequirements {
        let mut out = resources.cloned().unwrap_or_default();
        put(&mut out.requests, "cpu", self.cpu_request, Format::DecimalSi);
        put(&mut out.limits, "cpu", self.cpu_limit, Format::DecimalSi);
        let in_thousandths = |bytes: i64| bytes.saturating_mul(1000);
        put(&mut out.requests, "memory", in_thousandths(self.memory_request), Format::BinarySi);
        put(&mut out.limits, "memory", in_thousandths(self.memory_limit), Format::BinarySi);
        out
    }
}

fn put(list: &mut Option<BTreeMap<String, Text>>, name: &str, milli: i64, format: Format) {
    if milli == 0 {
        if let Some(list) = list {
            list.remove(name);
        }
        return;
    }
    let text = Text(Quantity::from_milli(milli, format).to_string());
    list.get_or_insert_default().insert(name.to_owned(), text);
}

/// A running container that gets other resources while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerResize {
    /// Id at the runtime.
    pub id: String,
    /// Name in the pod.
    pub name: String,
    /// What it has.
    pub current: Amounts,
    /// What it shall have.
    pub desired: Amounts,
}

impl ContainerResize {
    /// Its processor changes.
    pub fn cpu_changes(&self) -> bool {
        (self.current.cpu_request, self.current.cpu_limit) != (self.desired.cpu_request, self.desired.cpu_limit)
    }

    /// Its memory changes.
    pub fn memory_changes(&self) -> bool {
        (self.current.memory_request, self.current.memory_limit)
            != (self.desired.memory_request, self.desired.memory_limit)
    }
}

/// What becomes of a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has what it shall have.
    Keep,
    /// It must start anew with the other resources.
    Restart,
    /// It gets them as it runs.
    Update(ContainerResize),
}

/// Compares what a container shall have with what it was given last.
///
/// A container without a record was started by a kubelet that kept none; what it has is taken for what it shall have.
pub fn judge(pod: &Pod, container: &Container, id: &str, actuated: &PodResources) -> Verdict {
    let Some(given) = actuated.container_resources.get(&container.name) else {
        return Verdict::Keep;
    };
    let desired = Amounts::of(container.resources.as_ref(), pod.spec().resources.as_ref());
    let current = Amounts::of(Some(given), actuated.pod_level_resources.as_ref());
    if desired == current {
        return Verdict::Keep;
    }
    let resize = ContainerResize { id: id.to_owned(), name: container.name.clone(), current, desired };
    let restarts = |name: &str| {
        let policies = container.resize_policy.iter().flatten();
        policies.into_iter().any(|one| one.resource_name == name && one.restart_policy == "RestartContainer")
    };
    if (resize.cpu_changes() && restarts("cpu")) || (resize.memory_changes() && restarts("memory")) {
        return Verdict::Restart;
    }
    Verdict::Update(resize)
}

/// True when the pod as a whole was given other resources than it shall have.
pub fn pod_level_differs(pod: &Pod, actuated: &PodResources) -> bool {
    let wanted = pod.spec().resources.as_ref();
    // Without a record there is nothing to compare with.
    let Some(given) = actuated.pod_level_resources.as_ref() else { return false };
    Amounts::of(wanted, None) != Amounts::of(Some(given), None)
}

/// True while a running container, or the pod, does not have yet what it was granted.
pub fn in_progress(pod: &Pod, observed: &ObservedPod, actuated: &PodResources) -> bool {
    let sidecars = pod.init_containers().iter().filter(|container| is_sidecar(container));
    let any = sidecars.chain(&pod.spec().containers).any(|container| {
        let running = observed.container(&container.name).filter(|found| found.phase == ContainerPhase::Running);
        running.is_some_and(|found| judge(pod, container, &found.id, actuated) != Verdict::Keep)
    });
    any || pod_level_differs(pod, actuated)
}

/// Equal amounts of equal resources, however they are written.
pub fn same_resources(a: &ResourceRequirements, b: &ResourceRequirements) -> bool {
    let same = |a: &Option<BTreeMap<String, Text>>, b: &Option<BTreeMap<String, Text>>| {
        let read = |list: &Option<BTreeMap<String, Text>>| -> Vec<(String, Option<i64>)> {
            let amount = |text: &Text| Quantity::parse(&text.0).ok().map(|amount| amount.milli_value());
            list.iter().flatten().map(|(name, text)| (name.clone(), amount(text))).collect()
        };
        read(a) == read(b)
    };
    let claims = |one: &ResourceRequirements| one.claims.clone().unwrap_or_default();
    same(&a.limits, &b.limits) && same(&a.requests, &b.requests) && claims(a) == claims(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: &str) -> ResourceRequirements {
        serde_json::from_str(json).expect("valid")
    }

    fn verdict(policy: &str, given: &str, wanted: &str) -> Verdict {
        let container: Container =
            serde_json::from_str(&format!(r#"{{"name":"c","resizePolicy":{policy},"resources":{wanted}}}"#))
                .expect("valid");
        let actuated = PodResources {
            container_resources: [("c".to_owned(), resources(given))].into(),
            ..PodResources::default()
        };
        judge(&Pod::default(), &container, "id", &actuated)
    }

    #[test]
    fn the_policy_of_the_changed_resource_decides() {
        let policy = r#"[{"resourceName":"memory","restartPolicy":"RestartContainer"}]"#;
        let given = r#"{"requests":{"cpu":"1","memory":"1Gi"}}"#;
        assert_eq!(verdict(policy, given, r#"{"requests":{"cpu":"1000m","memory":"1024Mi"}}"#), Verdict::Keep);
        assert_eq!(verdict(policy, given, r#"{"requests":{"cpu":"1","memory":"2Gi"}}"#), Verdict::Restart);
        let Verdict::Update(update) = verdict(policy, given, r#"{"requests":{"cpu":"2","memory":"1Gi"}}"#) else {
            panic!("an update");
        };
        assert_eq!((update.current.cpu_request, update.desired.cpu_request), (1000, 2000));
    }

    #[test]
    fn a_container_without_a_record_is_left_alone() {
        let container: Container =
            serde_json::from_str(r#"{"name":"c","resources":{"requests":{"cpu":"1"}}}"#).expect("valid");
        assert_eq!(judge(&Pod::default(), &container, "id", &PodResources::default()), Verdict::Keep);
    }

    #[test]
    fn amounts_become_requirements_again() {
        let amounts = Amounts { cpu_request: 500, cpu_limit: 1000, memory_request: 0, memory_limit: 64 << 20 };
        let got = amounts.into_requirements(Some(&resources(r#"{"limits":{"hugepages-2Mi":"4Mi"}}"#)));
        let want = r#"{"limits":{"cpu":"1","hugepages-2Mi":"4Mi","memory":"64Mi"},"requests":{"cpu":"500m"}}"#;
        assert_eq!(got, resources(want));
    }
}
