//! Pure: one step of a StatefulSet: which ordinals get a pod, of which revision, which pods go, and the status.
//!
//! Upstream: pkg/controller/statefulset/stateful_set_control.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use component_base::informer::Object as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;

use crate::history::HASH_LABEL;
use crate::pods;

/// What to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Make the pod of an ordinal, of the update revision or of the current one.
    Create { ordinal: i32, update: bool },
    /// Delete a pod; `failed` says that it ended and is made anew.
    Delete { pod: Arc<Pod>, failed: bool },
}

/// One step.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) status: StatefulSetStatus,
}

/// What is there.
pub(super) struct Observed<'a> {
    pub(super) set: &'a StatefulSet,
    pub(super) owned: &'a [Arc<Pod>],
    /// Names of the revisions: the one that is rolled out and the one being rolled out.
    pub(super) current: &'a str,
    pub(super) update: &'a str,
    pub(super) now: Timestamp,
}

/// The ordinal at the end of a pod's name, if the name is one of the set's.
pub(super) fn ordinal_of(set: &str, pod: &str) -> Option<i32> {
    let number = pod.strip_prefix(set)?.strip_prefix('-')?;
    let is_plain = number == "0" || !number.starts_with('0');
    number.parse().ok().filter(|ordinal: &i32| *ordinal >= 0 && is_plain)
}

struct Step<'a> {
    observed: &'a Observed<'a>,
    actions: Vec<Action>,
    one_at_a_time: bool,
    first: i32,
    end: i32,
    partition: i32,
    by_ordinal: BTreeMap<i32, Arc<Pod>>,
}

/// Plans one step.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let spec = observed.set.spec.clone().unwrap_or_default();
    let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let by_ordinal =
        observed.owned.iter().filter_map(|pod| Some((ordinal_of(observed.set.name(), pod.name())?, Arc::clone(pod))));
    let mut step = Step {
        observed,
        actions: Vec::new(),
        one_at_a_time: spec.pod_management_policy.as_deref() != Some("Parallel"),
        first,
        end: first + spec.replicas.unwrap_or(1),
        partition: rolling.and_then(|rolling| rolling.partition).unwrap_or(0),
        by_ordinal: by_ordinal.collect(),
    };
    let on_delete = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
    if !observed.set.is_deleting() && step.fill() && step.shrink() && !on_delete {
        step.update();
    }
    let status = step.status(!on_delete);
    Plan { actions: step.actions, status }
}

impl Step<'_> {
    fn is_update(&self, pod: &Pod) -> bool {
        pod.label(HASH_LABEL) == Some(self.observed.update)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        let min_ready = self.observed.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        pods::phase(pod) == "Running" && !pod.is_deleting() && pods::is_available(pod, min_ready, self.observed.now)
    }

    /// Whether the ordinal's pod is to be of the update revision when it is made.
    fn wants_update(&self, ordinal: i32) -> bool {
        let status = self.observed.set.status.as_ref();
        let current = status.and_then(|status| status.current_replicas).unwrap_or(0);
        let fresh = status.and_then(|status| status.current_revision.as_deref()).is_none_or(str::is_empty);
        // Without a partition, ordinals below those still of the current revision keep it until the update reaches them.
        let keeps = if self.partition > 0 { ordinal < self.partition } else { ordinal < self.first + current };
        fresh || self.observed.current == self.observed.update || !keeps
    }

    /// Makes missing pods from the lowest ordinal; false if the rest has to wait.
    fn fill(&mut self) -> bool {
        for ordinal in self.first..self.end {
            let Some(pod) = self.by_ordinal.get(&ordinal).cloned() else {
                let update = self.wants_update(ordinal);
                self.actions.push(Action::Create { ordinal, update });
                if self.one_at_a_time {
                    return false;
                }
                continue;
            };
            if pods::is_terminal(&pod) && !pod.is_deleting() {
                self.actions.push(Action::Delete { pod, failed: true });
                return false;
            }
            if self.one_at_a_time && !self.is_healthy(&pod) {
                return false;
            }
        }
        true
    }

    /// Deletes pods beyond the range from the highest ordinal; false if the rest has to wait.
    fn shrink(&mut self) -> bool {
        let beyond =
            self.by_ordinal.iter().rev().filter(|(ordinal, _)| **ordinal < self.first || **ordinal >= self.end);
        let beyond: Vec<Arc<Pod>> = beyond.map(|(_, pod)| Arc::clone(pod)).collect();
        let has_beyond = !beyond.is_empty();
        for pod in beyond {
            if !pod.is_deleting() {
                self.actions.push(Action::Delete { pod, failed: false });
            }
            if self.one_at_a_time {
                return false;
            }
        }
        !has_beyond
    }

    /// Deletes the highest pod of another revision, if all above it are healthy.
    fn update(&mut self) {
        if !self.actions.is_empty() {
            return;
        }
        for ordinal in (self.first.max(self.partition)..self.end).rev() {
            let Some(pod) = self.by_ordinal.get(&ordinal).cloned() else { return };
            if !self.is_update(&pod) && !pod.is_deleting() {
                self.actions.push(Action::Delete { pod, failed: false });
                return;
            }
            if !self.is_healthy(&pod) {
                return;
            }
        }
    }

    fn status(&self, rolling: bool) -> StatefulSetStatus {
        let set = self.observed.set;
        let old = set.status.clone().unwrap_or_default();
        let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let mut status = StatefulSetStatus {
            observed_generation: set.metadata.generation,
            current_revision: Some(self.observed.current.to_owned()),
            update_revision: Some(self.observed.update.to_owned()),
            collision_count: old.collision_count.or(Some(0)),
            conditions: old.conditions,
            ..StatefulSetStatus::default()
        };
        let count = |test: &dyn Fn(&Pod) -> bool| {
            let number = self.observed.owned.iter().filter(|pod| test(pod)).count();
            i32::try_from(number).unwrap_or(i32::MAX)
        };
        let some = |number: i32| (number != 0).then_some(number);
        // A pod that this step deletes counts no more: the next one in its place is made by these numbers.
        let goes = |pod: &Pod| {
            self.actions
                .iter()
                .any(|action| matches!(action, Action::Delete { pod: gone, .. } if gone.uid() == pod.uid()))
        };
        let counts = |pod: &Pod| !pod.is_deleting() && !pods::phase(pod).is_empty() && !goes(pod);
        status.replicas = count(&|_| true);
        let ready = count(&|pod| pods::phase(pod) == "Running" && pods::is_ready(pod));
        status.ready_replicas = some(ready);
        status.available_replicas =
            Some(count(&|pod| pods::phase(pod) == "Running" && pods::is_available(pod, min_ready, self.observed.now)));
        let updated = count(&|pod| counts(pod) && self.is_update(pod));
        status.updated_replicas = some(updated);
        status.current_replicas =
            some(count(&|pod| counts(pod) && pod.label(HASH_LABEL) == Some(self.observed.current)));
        let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        if rolling && updated == wanted && ready == wanted && status.replicas == wanted {
            status.current_replicas = status.updated_replicas;
            status.current_revision.clone_from(&status.update_revision);
        }
        status
    }
}

/// When the next pod becomes available by the passing of time alone.
pub(super) fn recheck(set: &StatefulSet, owned: &[Arc<Pod>], now: Timestamp) -> Option<std::time::Duration> {
    let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    owned.iter().filter_map(|pod| pods::available_in(pod, min_ready, now)).min()
}

/// The claim of a volume template for an ordinal.
pub(super) fn claim_name(template: &str, set: &str, ordinal: i32) -> String {
    format!("{template}-{set}-{ordinal}")
}

/// Whether volumes are to be deleted with the set or with its pods.
pub(super) fn deletes_claims(set: &StatefulSet) -> bool {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    policy.is_some_and(|policy| {
        policy.when_deleted.as_deref() == Some("Delete") || policy.when_scaled.as_deref() == Some("Delete")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSetSpec, StatefulSetUpdateStrategy};
    use k8s_openapi::api::core::v1::{PodCondition, PodStatus};

    struct World {
        set: StatefulSet,
        pods: Vec<Arc<Pod>>,
        update: &'static str,
        log: Vec<String>,
    }

    fn pod(ordinal: i32, hash: &str, ready: bool) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some(format!("db-{ordinal}"));
        pod.metadata.uid = Some(format!("{ordinal}{hash}"));
        pod.metadata.labels = Some([(HASH_LABEL.to_owned(), hash.to_owned())].into());
        let condition = PodCondition {
            type_: "Ready".into(),
            status: if ready { "True" } else { "False" }.into(),
            ..PodCondition::default()
        };
        pod.status = Some(PodStatus {
            phase: Some("Running".into()),
            conditions: Some(vec![condition]),
            ..PodStatus::default()
        });
        Arc::new(pod)
    }

    impl World {
        fn new(replicas: i32, partition: i32) -> Self {
            let mut set = StatefulSet::default();
            set.metadata.name = Some("db".into());
            let rolling_update =
                Some(RollingUpdateStatefulSetStrategy { partition: Some(partition), max_unavailable: None });
            set.spec = Some(StatefulSetSpec {
                replicas: Some(replicas),
                update_strategy: Some(StatefulSetUpdateStrategy {
                    type_: Some("RollingUpdate".into()),
                    rolling_update,
                }),
                ..StatefulSetSpec::default()
            });
            Self { set, pods: Vec::new(), update: "a", log: Vec::new() }
        }

        fn step(&mut self, ready: bool) -> bool {
            let current = self
                .set
                .status
                .as_ref()
                .and_then(|status| status.current_revision.clone())
                .unwrap_or_else(|| self.update.to_owned());
            let observed = Observed {
                set: &self.set,
                owned: &self.pods,
                current: &current,
                update: self.update,
                now: Timestamp::UNIX_EPOCH,
            };
            let plan = plan(&observed);
            for action in &plan.actions {
                match action {
                    Action::Create { ordinal, update } => {
                        let hash = if *update { self.update } else { current.as_str() };
                        self.log.push(format!("+{ordinal}{hash}"));
                        self.pods.push(pod(*ordinal, hash, ready));
                    }
                    Action::Delete { pod, .. } => {
                        self.log.push(format!("-{}", pod.uid()));
                        self.pods.retain(|known| known.uid() != pod.uid());
                    }
                }
            }
            let done = plan.actions.is_empty() && self.set.status.as_ref() == Some(&plan.status);
            self.set.status = Some(plan.status);
            done
        }

        fn settle(&mut self) -> Vec<String> {
            self.log.clear();
            for _ in 0..40 {
                if self.step(true) {
                    return self.log.clone();
                }
            }
            panic!("does not settle: {:?}", self.log);
        }
    }

    #[test]
    fn pods_come_in_order_and_go_in_reverse() {
        let mut world = World::new(3, 0);
        assert_eq!(world.settle(), ["+0a", "+1a", "+2a"]);
        world.set.spec.get_or_insert_default().replicas = Some(1);
        assert_eq!(world.settle(), ["-2a", "-1a"]);
        assert_eq!(world.set.status.as_ref().map(|status| status.replicas), Some(1));
    }

    #[test]
    fn an_unready_pod_holds_the_rest_back() {
        let mut world = World::new(3, 0);
        world.step(false);
        world.step(false);
        assert_eq!(world.log, ["+0a"]);
        world.set.spec.get_or_insert_default().pod_management_policy = Some("Parallel".into());
        world.step(false);
        assert_eq!(world.log, ["+0a", "+1a", "+2a"]);
    }

    #[test]
    fn an_update_goes_from_the_top() {
        let mut world = World::new(3, 0);
        world.settle();
        world.update = "b";
        assert_eq!(world.settle(), ["-2a", "+2b", "-1a", "+1b", "-0a", "+0b"]);
        let status = world.set.status.clone().unwrap_or_default();
        assert_eq!((status.current_revision.as_deref(), status.updated_replicas), (Some("b"), Some(3)));
    }

    #[test]
    fn a_partition_keeps_the_lower_ones() {
        let mut world = World::new(3, 2);
        world.settle();
        world.update = "b";
        assert_eq!(world.settle(), ["-2a", "+2b"]);
        // One below the partition that goes comes back as it was.
        world.pods.retain(|pod| pod.name() != "db-0");
        assert_eq!(world.settle(), ["+0a"]);
    }

    #[test]
    fn names() {
        assert_eq!(ordinal_of("db", "db-12"), Some(12));
        for wrong in ["db", "db-", "db-01", "db-x", "other-1", "db--1"] {
            assert_eq!(ordinal_of("db", wrong), None, "{wrong}");
        }
        assert_eq!(claim_name("data", "db", 2), "data-db-2");
    }
}
