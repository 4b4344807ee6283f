//! Pure: one step of a DaemonSet: which nodes get a pod, which pods go, and the status.
//!
//! Upstream: pkg/controller/daemon/{daemon_controller.go,update.go}.

use std::collections::BTreeMap;
use std::sync::Arc;

use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};

use super::placement;
use crate::history::HASH_LABEL;
use crate::{api, pods};

/// One step.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Nodes that get a pod.
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<Arc<Pod>>,
    /// Pods that ended and are replaced: reason and message of the event.
    pub(super) ended: Vec<(&'static str, String)>,
    pub(super) status: DaemonSetStatus,
}

/// What is there.
pub(super) struct Observed<'a> {
    pub(super) set: &'a DaemonSet,
    pub(super) nodes: &'a [Arc<Node>],
    pub(super) owned: &'a [Arc<Pod>],
    /// Hash of the current template.
    pub(super) hash: &'a str,
    pub(super) now: Timestamp,
}

impl Observed<'_> {
    fn template(&self) -> PodSpec {
        let spec = self.set.spec.as_ref().and_then(|spec| spec.template.spec.clone());
        let mut spec = spec.unwrap_or_default();
        placement::tolerate(&mut spec);
        spec
    }

    fn min_ready(&self) -> i32 {
        self.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    fn is_current(&self, pod: &Pod) -> bool {
        pod.label(HASH_LABEL) == Some(self.hash)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        !pod.is_deleting() && pods::is_available(pod, self.min_ready(), self.now)
    }
}

/// Plans one step.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let template = observed.template();
    let mut by_node: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in observed.owned {
        if let Some(node) = placement::node_of(pod) {
            by_node.entry(node).or_default().push(Arc::clone(pod));
        }
    }
    let mut plan = Plan::default();
    let mut wanted: Vec<(&Arc<Node>, Vec<Arc<Pod>>)> = Vec::new();
    for node in observed.nodes {
        let mut here = by_node.remove(node.name()).unwrap_or_default();
        // The oldest one stays; one that is bound is older than one that waits.
        here.sort_by_key(|pod| (pods::node(pod).is_empty(), api::created(&pod.metadata), pod.name().to_owned()));
        let (should_run, may_stay) = placement::fits(&template, node);
        plan.count(observed, should_run, &here);
        if !may_stay {
            plan.delete.extend(here.into_iter().filter(|pod| !pod.is_deleting()));
        } else if should_run {
            plan.tend(observed, node, &here);
            wanted.push((node, here));
        }
    }
    if observed
        .set
        .spec
        .as_ref()
        .and_then(|spec| spec.update_strategy.as_ref())
        .and_then(|strategy| strategy.type_.as_deref())
        != Some("OnDelete")
    {
        plan.update(observed, &wanted);
    }
    plan.finish_status(observed);
    plan
}

impl Plan {
    fn count(&mut self, observed: &Observed<'_>, should_run: bool, here: &[Arc<Pod>]) {
        let status = &mut self.status;
        if !should_run {
            status.number_misscheduled += i32::from(!here.is_empty());
            return;
        }
        status.desired_number_scheduled += 1;
        let Some(first) = here.first() else { return };
        status.current_number_scheduled += 1;
        // With a surge the newer pod may be the one that is ready.
        let best = here.iter().find(|pod| pods::is_ready(pod)).unwrap_or(first);
        status.number_ready += i32::from(pods::is_ready(best));
        if observed.is_available(best) {
            status.number_available = Some(status.number_available.unwrap_or(0) + 1);
        }
        if here.iter().any(|pod| observed.is_current(pod)) {
            status.updated_number_scheduled = Some(status.updated_number_scheduled.unwrap_or(0) + 1);
        }
    }

    /// Makes the missing pod of a node, replaces ended ones, takes superfluous ones away.
    fn tend(&mut self, observed: &Observed<'_>, node: &Node, here: &[Arc<Pod>]) {
        let mut running: Vec<&Arc<Pod>> = Vec::new();
        for pod in here.iter().filter(|pod| !pod.is_deleting()) {
            let (reason, what) = match pods::phase(pod) {
                "Failed" => ("FailedDaemonPod", "failed"),
                "Succeeded" => ("SucceededDaemonPod", "succeeded"),
                _ => {
                    running.push(pod);
                    continue;
                }
            };
            let text = format!(
                "Found {what} daemon pod {} on node {}, will try to {} it",
                observed_name(pod),
                node.name(),
                if what == "failed" { "kill" } else { "delete" }
            );
            self.ended.push((reason, text));
            self.delete.push(Arc::clone(pod));
        }
        let gone = here.iter().any(|pod| pod.is_deleting());
        if running.is_empty()
            && !gone
            && !here.iter().any(|pod| self.delete.iter().any(|deleted| deleted.uid() == pod.uid()))
        {
            self.create.push(node.name().to_owned());
            return;
        }
        let surge = max_surge(observed, 1) > 0;
        let (current, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) =
            running.into_iter().partition(|pod| observed.is_current(pod));
        // Old and new side by side only while the new one comes up.
        let keep_old = if surge { !current.iter().any(|pod| observed.is_available(pod)) } else { current.is_empty() };
        let spare_old = if keep_old { 1 } else { 0 };
        self.delete.extend(current.into_iter().skip(1).chain(old.into_iter().skip(spare_old)).cloned());
    }

    /// Takes old pods away, as many as may be missing at once; with a surge, makes new ones beside them.
    fn update(&mut self, observed: &Observed<'_>, wanted: &[(&Arc<Node>, Vec<Arc<Pod>>)]) {
        let total = i32::try_from(wanted.len()).unwrap_or(0);
        let surge = max_surge(observed, total);
        let mut may_miss = max_unavailable(observed, total);
        let mut candidates = Vec::new();
        let mut surging = 0;
        for (node, here) in wanted {
            let alive: Vec<&Arc<Pod>> =
                here.iter().filter(|pod| !pod.is_deleting() && !pods::is_terminal(pod)).collect();
            let current = alive.iter().any(|pod| observed.is_current(pod));
            let old = alive.iter().find(|pod| !observed.is_current(pod));
            let available = alive.iter().any(|pod| observed.is_available(pod));
            may_miss -= i32::from(!available);
            match old {
                Some(_) if current => surging += 1,
                Some(old) => candidates.push((node.name().to_owned(), Arc::clone(old), observed.is_available(old))),
                None => {}
            }
        }
        if surge > 0 {
            let room = usize::try_from(surge - surging).unwrap_or(0);
            self.create.extend(candidates.into_iter().take(room).map(|(node, _, _)| node));
            return;
        }
        // Pods that do not work anyway cost nothing.
        let (working, broken): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|(_, _, available)| *available);
        self.delete.extend(broken.into_iter().map(|(_, pod, _)| pod));
        let room = usize::try_from(may_miss).unwrap_or(0);
        self.delete.extend(working.into_iter().take(room).map(|(_, pod, _)| pod));
    }

    fn finish_status(&mut self, observed: &Observed<'_>) {
        let old = observed.set.status.clone().unwrap_or_default();
        let status = &mut self.status;
        let missing = status.desired_number_scheduled - status.number_available.unwrap_or(0);
        status.number_unavailable = (missing != 0).then_some(missing);
        status.observed_generation = observed.set.metadata.generation;
        status.collision_count = old.collision_count;
        status.conditions = old.conditions;
    }
}

fn observed_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace(), pod.name())
}

fn max_surge(observed: &Observed<'_>, total: i32) -> i32 {
    let strategy = observed.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    api::scaled(strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_surge.as_ref()), total, true)
}

fn max_unavailable(observed: &Observed<'_>, total: i32) -> i32 {
    let strategy = observed.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let configured = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_unavailable.as_ref());
    configured.map_or(1, |configured| api::scaled(Some(configured), total, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::DaemonSetSpec;
    use k8s_openapi::api::core::v1::{PodCondition, PodStatus};

    fn nodes(count: usize) -> Vec<Arc<Node>> {
        let node = |number: usize| {
            let mut node = Node::default();
            node.metadata.name = Some(format!("n{number}"));
            Arc::new(node)
        };
        (0..count).map(node).collect()
    }

    fn pod(node: &str, hash: &str, phase: &str, ready: bool) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(format!("{node}-{hash}"));
        pod.metadata.uid = pod.metadata.name.clone();
        pod.metadata.labels = Some([(HASH_LABEL.to_owned(), hash.to_owned())].into());
        pod.spec = Some(PodSpec { node_name: Some(node.into()), ..PodSpec::default() });
        let condition = PodCondition {
            type_: "Ready".into(),
            status: if ready { "True" } else { "False" }.into(),
            ..PodCondition::default()
        };
        pod.status =
            Some(PodStatus { phase: Some(phase.into()), conditions: Some(vec![condition]), ..PodStatus::default() });
        Arc::new(pod)
    }

    fn run(nodes: &[Arc<Node>], owned: &[Arc<Pod>]) -> Plan {
        let set = DaemonSet { spec: Some(DaemonSetSpec::default()), ..DaemonSet::default() };
        plan(&Observed { set: &set, nodes, owned, hash: "new", now: Timestamp::UNIX_EPOCH })
    }

    fn gone(plan: &Plan) -> Vec<&str> {
        plan.delete.iter().map(|pod| pod.name()).collect()
    }

    #[test]
    fn every_node_gets_one() {
        let plan = run(&nodes(3), &[pod("n1", "new", "Running", true)]);
        assert_eq!(plan.create, ["n0", "n2"]);
        let status = plan.status;
        assert_eq!((status.desired_number_scheduled, status.current_number_scheduled, status.number_ready), (3, 1, 1));
        assert_eq!(status.number_unavailable, Some(2));
    }

    #[test]
    fn ended_pods_are_replaced() {
        let plan = run(&nodes(1), &[pod("n0", "new", "Failed", false)]);
        assert_eq!((gone(&plan), plan.create.len()), (vec!["n0-new"], 0));
        assert_eq!(plan.ended[0].0, "FailedDaemonPod");
    }

    #[test]
    fn an_update_takes_one_at_a_time() {
        let old = |node: &str| pod(node, "old", "Running", true);
        let plan = run(&nodes(3), &[old("n0"), old("n1"), old("n2")]);
        assert_eq!(gone(&plan), ["n0-old"]);
        // One is missing already.
        let plan = run(&nodes(3), &[old("n1"), old("n2")]);
        assert!(gone(&plan).is_empty());
        // A broken old one goes at once.
        let plan = run(&nodes(2), &[pod("n0", "old", "Running", false), pod("n1", "new", "Running", false)]);
        assert_eq!(gone(&plan), ["n0-old"]);
    }
}
