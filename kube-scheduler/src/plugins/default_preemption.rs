//! DefaultPreemption: evicts pods of lower priority where that makes room, as few and as unimportant as possible, with
//! respect for disruption budgets. The choice is pure; the eviction runs in the background.
//! upstream: plugins/defaultpreemption/default_preemption.go, framework/preemption/{preemption,executor}.go

use std::cmp::Reverse;
use std::sync::Arc;

use crate::actions::Actions;
use crate::cache::NodeInfo;
use crate::config::DefaultPreemptionArgs;
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, Diagnosis, EnqueueExtensions, EventResource, Extensions, FilterScope,
    FitError, Handle, Listers, Plugin, PostFilter, PostFilterOutcome, PreEnqueue, Rejection, Verdict,
};
use crate::model::{DisruptionBudget, Pod};

pub(super) const NAME: &str = "DefaultPreemption";

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";

pub(super) struct DefaultPreemption {
    min_percentage: i64,
    min_absolute: i64,
    listers: Arc<dyn Listers>,
    actions: Option<Arc<dyn Actions>>,
}

/// Pods to evict from a node.
struct Candidate {
    node: Arc<str>,
    /// Most important first.
    victims: Vec<Arc<Pod>>,
    budget_violations: usize,
}

impl DefaultPreemption {
    pub(super) fn new(args: &DefaultPreemptionArgs, handle: &Handle) -> Self {
        Self {
            min_percentage: i64::from(args.min_candidate_nodes_percentage),
            min_absolute: i64::from(args.min_candidate_nodes_absolute),
            listers: Arc::clone(&handle.listers),
            actions: handle.actions.clone(),
        }
    }

    fn candidates_wanted(&self, nodes: usize) -> usize {
        let nodes = i64::try_from(nodes).unwrap_or(i64::MAX);
        let wanted = (nodes * self.min_percentage / 100).max(self.min_absolute).min(nodes);
        usize::try_from(wanted).unwrap_or(1)
    }

    fn find(
        &self,
        scope: &FilterScope<'_>,
        state: &CycleState,
        pod: &Pod,
        diagnosis: &Diagnosis,
    ) -> Result<Vec<Candidate>, Box<FitError>> {
        let curable =
            |info: &&Arc<NodeInfo>| matches!(diagnosis.verdict(&info.node.name), Some(Rejection::Unschedulable(_)));
        let potential: Vec<_> = scope.snapshot.nodes().iter().filter(curable).collect();
        let budgets = self.listers.disruption_budgets();
        let wanted = self.candidates_wanted(potential.len());
        let offset = if potential.is_empty() { 0 } else { rand::random_range(0..potential.len()) };
        let mut refusals = Diagnosis { absent: Some(Rejection::unresolvable(NOT_HELPFUL)), ..Diagnosis::default() };
        let mut found: Vec<Candidate> = Vec::new();
        for turn in 0..potential.len() {
            let info = potential[(offset + turn) % potential.len()];
            match select_victims(scope, state.clone(), pod, info, &budgets) {
                Ok(candidate) => found.push(candidate),
                Err(rejection) => refusals.refuse(info.node.name.as_str().into(), NAME, rejection),
            }
            if found.len() >= wanted && found.iter().any(|c| c.budget_violations == 0) {
                break;
            }
        }
        if found.is_empty() {
            return Err(Box::new(FitError { all_nodes: scope.snapshot.nodes().len(), diagnosis: refusals }));
        }
        Ok(found)
    }
}

/// Why the pod may not evict others now.
fn ineligible(scope: &FilterScope<'_>, pod: &Pod, diagnosis: &Diagnosis) -> Option<&'static str> {
    if !pod.may_preempt {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    if pod.nominated_node.is_empty()
        || matches!(diagnosis.verdict(&pod.nominated_node), Some(Rejection::Unresolvable(_)))
    {
        return None;
    }
    let leaving = |victim: &Arc<Pod>| victim.priority < pod.priority && victim.is_deleting() && victim.preempted;
    let nominated = scope.snapshot.get(&pod.nominated_node)?;
    nominated.pods.iter().any(leaving).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The fewest, least important pods whose removal lets the pod fit on the node.
fn select_victims(
    scope: &FilterScope<'_>,
    mut state: CycleState,
    pod: &Pod,
    info: &Arc<NodeInfo>,
    budgets: &[Arc<DisruptionBudget>],
) -> Result<Candidate, Rejection> {
    let mut node = NodeInfo::clone(info);
    let mut potential: Vec<_> = node.pods.iter().filter(|p| p.priority < pod.priority).cloned().collect();
    if potential.is_empty() {
        return Err(Rejection::unresolvable("No preemption victims found for incoming pod"));
    }
    for victim in &potential {
        node.remove_pod(&victim.uid);
        scope.profile.simulate_remove(&mut state, pod, victim, &node);
    }
    let fits = |state: &CycleState, node: &NodeInfo| {
        scope.profile.run_filter_with_nominations(state, pod, node, scope.nominations)
    };
    fits(&state, &node).map_err(|(_, rejection)| rejection)?;
    sort_by_importance(&mut potential);
    let (violating, others) = split_by_budget(potential, budgets);
    let mut victims = Vec::new();
    let mut budget_violations = 0;
    for (victim, violates) in violating.into_iter().map(|v| (v, true)).chain(others.into_iter().map(|v| (v, false))) {
        node.add_pod(Arc::clone(&victim));
        scope.profile.simulate_add(&mut state, pod, &victim, &node);
        if fits(&state, &node).is_err() {
            node.remove_pod(&victim.uid);
            scope.profile.simulate_remove(&mut state, pod, &victim, &node);
            budget_violations += usize::from(violates);
            victims.push(victim);
        }
    }
    if victims.is_empty() {
        return Err(Rejection::error(format!("expected at least one victim pod on node {:?}", info.node.name)));
    }
    sort_by_importance(&mut victims);
    Ok(Candidate { node: info.node.name.as_str().into(), victims, budget_violations })
}

/// Higher priority first, then longer running. upstream: util.MoreImportantPod
fn sort_by_importance(pods: &mut [Arc<Pod>]) {
    pods.sort_by_key(|p| (Reverse(p.priority), started(p)));
}

/// When a pod started; one that has not counts as starting last.
fn started(pod: &Pod) -> jiff::Timestamp {
    pod.started.as_ref().map_or(jiff::Timestamp::MAX, |t| t.0)
}

/// Pods whose eviction would break a budget, and the rest. Each eviction uses up one disruption of every budget it falls under.
fn split_by_budget(pods: Vec<Arc<Pod>>, budgets: &[Arc<DisruptionBudget>]) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut allowed: Vec<i32> = budgets.iter().map(|b| b.allowed).collect();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            let protects = budget.metadata.namespace.as_deref() == Some(pod.namespace())
                && !pod.labels().is_empty()
                && budget.selector.as_ref().is_some_and(|s| !s.is_empty() && s.matches(pod.labels()))
                && !budget.disrupted.contains(pod.name());
            if protects {
                *allowed -= 1;
                violates |= *allowed < 0;
            }
        }
        violates
    })
}

/// Fewest budget violations, then lowest highest priority, lowest sum of priorities, fewest victims, latest start.
/// upstream: pickOneNodeForPreemption
fn best(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|c| {
        let highest = c.victims.first().map_or(i32::MIN, |p| p.priority);
        let sum: i64 = c.victims.iter().map(|p| i64::from(p.priority) + i64::from(i32::MAX) + 1).sum();
        let earliest = c.victims.iter().filter(|p| p.priority == highest).map(|p| started(p)).min();
        (c.budget_violations, highest, sum, c.victims.len(), Reverse(earliest))
    })
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_enqueue = Some(self.clone());
        extensions.post_filter = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PostFilter for DefaultPreemption {
    fn name(&self) -> &'static str {
        NAME
    }
    fn post_filter(
        &self,
        scope: &FilterScope<'_>,
        state: &CycleState,
        pod: &Arc<Pod>,
        diagnosis: &Diagnosis,
    ) -> PostFilterOutcome {
        crate::metrics::get().preemption_attempts.with_label_values::<&str>(&[]).inc();
        // The status of the pod may have changed since it was queued.
        let current = self.listers.pod(pod.namespace(), pod.name()).filter(|p| p.uid == pod.uid);
        let pod = current.as_ref().unwrap_or(pod);
        if let Some(reason) = ineligible(scope, pod, diagnosis) {
            return PostFilterOutcome::Unschedulable { message: format!("preemption: {reason}"), clear: false };
        }
        let candidates = match self.find(scope, state, pod, diagnosis) {
            Ok(candidates) => candidates,
            Err(error) => {
                return PostFilterOutcome::Unschedulable { message: format!("preemption: {error}"), clear: true };
            }
        };
        let Some(chosen) = best(candidates) else {
            return PostFilterOutcome::Failed("preemption: no candidate node for preemption".into());
        };
        let lower = |other: &&Arc<Pod>| other.priority < pod.priority;
        let outranked = scope.nominations.on(&chosen.node).iter().filter(lower).cloned().collect();
        if let Some(actions) = &self.actions {
            actions.preempt(Arc::clone(pod), Arc::clone(&chosen.node), chosen.victims, outranked);
        }
        PostFilterOutcome::Nominated(chosen.node)
    }
}

impl PreEnqueue for DefaultPreemption {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_enqueue(&self, pod: &Pod) -> Verdict {
        if self.actions.as_ref().is_some_and(|actions| actions.is_preempting(&pod.uid)) {
            return Err(Rejection::unresolvable("waiting for the preemption for this pod to be finished"));
        }
        Ok(())
    }
}

impl EnqueueExtensions for DefaultPreemption {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![ClusterEvent::new(EventResource::Pod, ActionType::DELETE)]
    }
    fn may_help(&self, _pod: &Pod, _event: &ClusterEvent, _change: &Change) -> bool {
        // Registering the event lets the queue look at pods that wait for their victims; whether a deletion helps is
        // for the plugins to say that rejected the pod.
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Snapshot;
    use crate::config::{KubeSchedulerConfiguration, build_profiles};
    use crate::framework::{Nominations, Profile};
    use crate::testing::{FixedListers, handle, node_info, pod, snapshot};

    fn profile(listers: FixedListers) -> Profile {
        build_profiles(&KubeSchedulerConfiguration::default(), &handle(listers)).unwrap().remove(0)
    }

    fn diagnose(profile: &Profile, p: &Pod, nodes: &Snapshot) -> (CycleState, Diagnosis) {
        let mut state = CycleState::default();
        profile.run_pre_filter(&mut state, p, nodes).unwrap();
        let mut diagnosis = Diagnosis::default();
        for node in nodes.nodes() {
            if let Err((plugin, rejection)) = profile.run_filter(&state, p, node) {
                diagnosis.refuse(node.node.name.as_str().into(), plugin, rejection);
            }
        }
        (state, diagnosis)
    }

    fn run(p: &str, nodes: &[Arc<NodeInfo>], listers: FixedListers) -> PostFilterOutcome {
        let profile = profile(listers);
        let snapshot = snapshot(nodes);
        let p = Arc::new(pod(p));
        let (state, diagnosis) = diagnose(&profile, &p, &snapshot);
        let nominations = Nominations::default();
        let scope = FilterScope { profile: &profile, snapshot: &snapshot, nominations: &nominations };
        profile.post_filter.iter().find(|p| p.name() == NAME).unwrap().post_filter(&scope, &state, &p, &diagnosis)
    }

    const SMALL: &str = "{allocatable: {cpu: '2'}}";

    #[test]
    fn prefers_victims_of_low_priority() {
        let nodes = [
            node_info(&format!("a: {SMALL}"), &["name: x\npriority: 10\nrequests: {cpu: '2'}"]),
            node_info(&format!("b: {SMALL}"), &["name: other\npriority: 5\nrequests: {cpu: '2'}"]),
        ];
        let outcome = run("priority: 100\nrequests: {cpu: '1'}", &nodes, FixedListers::default());
        assert_eq!(outcome, PostFilterOutcome::Nominated("b".into()));
    }

    #[test]
    fn respects_budgets_when_it_can() {
        let budget = serde_json::from_str(
            r#"{"metadata":{"name":"b","namespace":"default"},"spec":{"selector":{"matchLabels":{"app":"guarded"}}},"status":{"disruptionsAllowed":0}}"#,
        );
        let listers = FixedListers { budgets: vec![Arc::new(budget.unwrap())], ..FixedListers::default() };
        let nodes = [
            node_info(&format!("a: {SMALL}"), &["name: x\npriority: 1\nlabels: {app: guarded}\nrequests: {cpu: '2'}"]),
            node_info(&format!("b: {SMALL}"), &["name: other\npriority: 50\nrequests: {cpu: '2'}"]),
        ];
        assert_eq!(
            run("priority: 100\nrequests: {cpu: '1'}", &nodes, listers),
            PostFilterOutcome::Nominated("b".into())
        );
    }

    #[test]
    fn says_why_it_does_not_help() {
        let nodes = [
            node_info(&format!("a: {SMALL}"), &["name: x\npriority: 10\nrequests: {cpu: '2'}"]),
            node_info("b: {taints: [{key: k, effect: NoSchedule}]}", &[]),
            node_info("c: {taints: [{key: k, effect: NoSchedule}]}", &[]),
        ];
        let message = "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, \
                       2 Preemption is not helpful for scheduling.";
        assert_eq!(
            run("requests: {cpu: '1'}", &nodes, FixedListers::default()),
            PostFilterOutcome::Unschedulable { message: message.into(), clear: true }
        );
        assert_eq!(
            run("requests: {cpu: '1'}\npreemptionPolicy: Never", &nodes, FixedListers::default()),
            PostFilterOutcome::Unschedulable {
                message: "preemption: not eligible due to preemptionPolicy=Never.".into(),
                clear: false
            }
        );
    }

    #[test]
    fn reprieves_pods_that_can_stay() {
        let node = node_info(
            "a: {allocatable: {cpu: '4'}}",
            &["name: big\npriority: 1\nrequests: {cpu: '2'}", "name: kept\npriority: 9\nrequests: {cpu: '2'}"],
        );
        let profile = profile(FixedListers::default());
        let p = pod("priority: 100\nrequests: {cpu: '2'}");
        let nodes = snapshot(&[Arc::clone(&node)]);
        let (state, _) = diagnose(&profile, &p, &nodes);
        let nominations = Nominations::default();
        let scope = FilterScope { profile: &profile, snapshot: &nodes, nominations: &nominations };
        let candidate = select_victims(&scope, state, &p, &node, &[]).ok().unwrap();
        assert_eq!(candidate.victims.iter().map(|v| v.name()).collect::<Vec<_>>(), ["big"]);
    }
}
