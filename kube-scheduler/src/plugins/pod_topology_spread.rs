//! PodTopologySpread: spreads pods over the values of a node label, as a rule or as a wish.
//! upstream: plugins/podtopologyspread/{plugin,filtering,scoring,common}.go

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::config::PodTopologySpreadArgs;
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Handle,
    Listers, MAX_NODE_SCORE, Plugin, PreFilter, PreFilterOutcome, PreScore, PreScoreOutcome, Rejection, Score, Verdict,
};
use crate::model::{LabelMatcher, Labels, Node, Pod, SpreadConstraint, Unsatisfiable, first_untolerated};

pub(super) const NAME: &str = "PodTopologySpread";

const HOSTNAME: &str = "kubernetes.io/hostname";

pub(super) struct PodTopologySpread {
    /// Constraints of pods that have none; their selector comes from the pod's services and controller.
    defaults: Vec<SpreadConstraint>,
    /// The defaults are the built-in ones, which do not require nodes to have all topology labels.
    system_defaults: bool,
    listers: Arc<dyn Listers>,
}

/// Matching pods per topology value, per constraint.
#[derive(Clone)]
struct Counted {
    constraints: Vec<SpreadConstraint>,
    per_value: Vec<HashMap<String, i64>>,
}

/// As [`Counted`], for the wishes, with what scoring needs besides.
#[derive(Clone)]
struct Wishes {
    constraints: Vec<SpreadConstraint>,
    per_value: Vec<HashMap<String, i64>>,
    ignored: HashSet<String>,
    weights: Vec<f64>,
}

impl PodTopologySpread {
    pub(super) fn new(args: &PodTopologySpreadArgs, handle: &Handle) -> Self {
        let built_in = |key: &str, max_skew| SpreadConstraint {
            max_skew,
            topology_key: key.into(),
            unsatisfiable: Unsatisfiable::ScheduleAnyway,
            selector: LabelMatcher::nothing(),
            min_domains: 1,
            honor_affinity: true,
            honor_taints: false,
        };
        let defaults = if args.system_defaults() {
            vec![built_in(HOSTNAME, 3), built_in("topology.kubernetes.io/zone", 5)]
        } else {
            args.constraints()
        };
        Self { defaults, system_defaults: args.system_defaults(), listers: Arc::clone(&handle.listers) }
    }

    fn constraints(&self, pod: &Pod, kind: Unsatisfiable) -> Vec<SpreadConstraint> {
        let of =
            |list: &[SpreadConstraint]| list.iter().filter(|c| c.unsatisfiable == kind).cloned().collect::<Vec<_>>();
        if !pod.spread.is_empty() {
            return of(&pod.spread);
        }
        let mut defaults = of(&self.defaults);
        if defaults.is_empty() {
            return defaults;
        }
        let Some(selector) = self.listers.default_selector(pod).filter(|s| !s.is_empty()) else { return Vec::new() };
        for constraint in &mut defaults {
            constraint.selector = selector.clone();
        }
        defaults
    }
}

fn has_all_keys(labels: &Labels, constraints: &[SpreadConstraint]) -> bool {
    constraints.iter().all(|c| labels.contains_key(&*c.topology_key))
}

fn counts_node(constraint: &SpreadConstraint, pod: &Pod, node: &Node) -> bool {
    let affinity = !constraint.honor_affinity || pod.node_affinity.as_ref().is_none_or(|a| a.matches(node));
    affinity && (!constraint.honor_taints || first_untolerated(&node.taints, &pod.tolerations).is_none())
}

fn matching_pods(node: &NodeInfo, selector: &LabelMatcher, namespace: &str) -> i64 {
    if selector.is_empty() {
        return 0;
    }
    let matching = |p: &&Arc<Pod>| !p.is_deleting() && p.namespace() == namespace && selector.matches(p.labels());
    i64::try_from(node.pods.iter().filter(matching).count()).unwrap_or(i64::MAX)
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.pre_score = Some(self.clone());
        extensions.score = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl Counted {
    fn take(constraints: Vec<SpreadConstraint>, pod: &Pod, nodes: &Snapshot) -> Self {
        let mut per_value = vec![HashMap::new(); constraints.len()];
        for info in nodes.nodes().iter().filter(|n| has_all_keys(&n.node.labels, &constraints)) {
            for (constraint, counts) in constraints.iter().zip(&mut per_value) {
                if counts_node(constraint, pod, &info.node) {
                    let value = info.node.labels[&*constraint.topology_key].clone();
                    *counts.entry(value).or_default() += matching_pods(info, &constraint.selector, pod.namespace());
                }
            }
        }
        Self { constraints, per_value }
    }

    fn fewest(&self, index: usize) -> i64 {
        let counts = &self.per_value[index];
        let enough = i64::try_from(counts.len()).unwrap_or(i64::MAX) >= i64::from(self.constraints[index].min_domains);
        // Without any domain upstream's minimum stays at its largest value, so nothing is skewed.
        if enough { counts.values().copied().min().unwrap_or(i64::from(i32::MAX)) } else { 0 }
    }

    fn update(&mut self, pod: &Pod, moved: &Pod, node: &Node, by: i64) {
        if moved.namespace() != pod.namespace() || !has_all_keys(&node.labels, &self.constraints) {
            return;
        }
        for (constraint, counts) in self.constraints.iter().zip(&mut self.per_value) {
            if constraint.selector.matches(moved.labels()) && counts_node(constraint, pod, node) {
                *counts.entry(node.labels[&*constraint.topology_key].clone()).or_default() += by;
            }
        }
    }
}

impl PreFilter for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        let constraints = self.constraints(pod, Unsatisfiable::DoNotSchedule);
        if constraints.is_empty() {
            return Ok(PreFilterOutcome::Skip);
        }
        state.insert(Counted::take(constraints, pod, nodes));
        Ok(PreFilterOutcome::All)
    }
    fn recount(&self, state: &mut CycleState, pod: &Pod, other: &Pod, node: &NodeInfo, by: i64) {
        if let Some(counted) = state.get_mut::<Counted>() {
            counted.update(pod, other, &node.node, by);
        }
    }
}

impl Filter for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        let Some(counted) = state.get::<Counted>() else { return FITS };
        for (index, constraint) in counted.constraints.iter().enumerate() {
            let Some(value) = node.node.labels.get(&*constraint.topology_key) else {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Rejection::unresolvable(reason));
            };
            let itself = i64::from(constraint.selector.matches(pod.labels()));
            let there = counted.per_value[index].get(value).copied().unwrap_or(0);
            if there + itself - counted.fewest(index) > i64::from(constraint.max_skew) {
                return Err(Rejection::unschedulable("node(s) didn't match pod topology spread constraints"));
            }
        }
        FITS
    }
}

impl PreScore for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        feasible: &[Arc<NodeInfo>],
        all: &Snapshot,
    ) -> Result<PreScoreOutcome, Rejection> {
        let constraints = self.constraints(pod, Unsatisfiable::ScheduleAnyway);
        if constraints.is_empty() {
            return Ok(PreScoreOutcome::Skip);
        }
        let require_all = !pod.spread.is_empty() || !self.system_defaults;
        state.insert(Wishes::take(constraints, pod, feasible, all, require_all));
        Ok(PreScoreOutcome::Score)
    }
}

impl Wishes {
    fn take(
        constraints: Vec<SpreadConstraint>,
        pod: &Pod,
        feasible: &[Arc<NodeInfo>],
        all: &Snapshot,
        require_all: bool,
    ) -> Self {
        let mut per_value = vec![HashMap::new(); constraints.len()];
        let mut ignored = HashSet::new();
        for info in feasible {
            if require_all && !has_all_keys(&info.node.labels, &constraints) {
                ignored.insert(info.node.name.clone());
                continue;
            }
            for (constraint, counts) in
                constraints.iter().zip(&mut per_value).filter(|(c, _)| &*c.topology_key != HOSTNAME)
            {
                let value = info.node.labels.get(&*constraint.topology_key).cloned().unwrap_or_default();
                counts.entry(value).or_insert(0);
            }
        }
        let hosts = feasible.len() - ignored.len();
        let size = |(c, counts): (&SpreadConstraint, &HashMap<_, _>)| {
            if &*c.topology_key == HOSTNAME { hosts } else { counts.len() }
        };
        let weights = constraints.iter().zip(&per_value).map(size).map(log_weight).collect();
        for info in all.nodes() {
            if require_all && !has_all_keys(&info.node.labels, &constraints) {
                continue;
            }
            for (constraint, counts) in constraints.iter().zip(&mut per_value) {
                let value = info.node.labels.get(&*constraint.topology_key).map_or("", String::as_str);
                if let Some(count) = counts.get_mut(value).filter(|_| counts_node(constraint, pod, &info.node)) {
                    *count += matching_pods(info, &constraint.selector, pod.namespace());
                }
            }
        }
        Self { constraints, per_value, ignored, weights }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the score is defined in floating point")]
fn log_weight(size: usize) -> f64 {
    ((size + 2) as f64).ln()
}

impl Score for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the score is defined in floating point"
    )]
    fn score(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection> {
        let wishes = state.get::<Wishes>().ok_or_else(|| Rejection::error("no state from PreScore"))?;
        if wishes.ignored.contains(&node.node.name) {
            return Ok(0);
        }
        let mut score = 0.0;
        for (index, constraint) in wishes.constraints.iter().enumerate() {
            let Some(value) = node.node.labels.get(&*constraint.topology_key) else { continue };
            let count = if &*constraint.topology_key == HOSTNAME {
                matching_pods(node, &constraint.selector, pod.namespace())
            } else {
                wishes.per_value[index].get(value).copied().unwrap_or(0)
            };
            score += count as f64 * wishes.weights[index] + f64::from(constraint.max_skew - 1);
        }
        Ok(score.round() as i64)
    }
    fn normalize(&self, state: &CycleState, nodes: &[Arc<NodeInfo>], scores: &mut [i64]) {
        let Some(wishes) = state.get::<Wishes>() else { return };
        let counts = |index: usize| !wishes.ignored.contains(&nodes[index].node.name);
        let considered: Vec<i64> = scores.iter().enumerate().filter(|(i, _)| counts(*i)).map(|(_, s)| *s).collect();
        let min = considered.iter().copied().min().unwrap_or(0);
        let max = considered.iter().copied().max().unwrap_or(0).max(0);
        for (index, score) in scores.iter_mut().enumerate() {
            *score = match (counts(index), max) {
                (false, _) => 0,
                (true, 0) => MAX_NODE_SCORE,
                (true, max) => MAX_NODE_SCORE * (max + min - *score) / max,
            };
        }
    }
}

impl EnqueueExtensions for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        let pod = ActionType::ADD.or(ActionType::POD_LABEL).or(ActionType::POD_TOLERATION).or(ActionType::DELETE);
        let node = ActionType::ADD.or(ActionType::DELETE).or(ActionType::NODE_LABEL).or(ActionType::NODE_TAINT);
        vec![ClusterEvent::new(EventResource::Pod, pod), ClusterEvent::new(EventResource::Node, node)]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        let constraints = self.constraints(pod, Unsatisfiable::DoNotSchedule);
        match change {
            Change::Pod { old, new } => pod_change_may_help(pod, &constraints, old.as_deref(), new.as_deref()),
            Change::Node { old, new } => {
                let matching =
                    |node: &Option<Arc<Node>>| node.as_ref().is_some_and(|n| has_all_keys(&n.labels, &constraints));
                match (old, new) {
                    (Some(before), Some(after)) => {
                        let moved = constraints
                            .iter()
                            .any(|c| before.labels.get(&*c.topology_key) != after.labels.get(&*c.topology_key));
                        let taints = constraints.iter().any(|c| c.honor_taints) && before.taints != after.taints;
                        matching(old) != matching(new) || (matching(new) && (moved || taints))
                    }
                    _ => matching(old) || matching(new),
                }
            }
            Change::Other => true,
        }
    }
}

fn pod_change_may_help(pod: &Pod, constraints: &[SpreadConstraint], old: Option<&Pod>, new: Option<&Pod>) -> bool {
    let involved = |other: &Pod| other.uid == pod.uid || (other.has_place() && other.namespace() == pod.namespace());
    if [old, new].into_iter().flatten().any(|other| !involved(other)) {
        return false;
    }
    let matched = |other: &Pod| constraints.iter().any(|c| c.selector.matches(other.labels()));
    match (old, new) {
        (Some(old), Some(new)) => {
            let tolerates =
                new.uid == pod.uid && new.tolerations != old.tolerations && constraints.iter().any(|c| c.honor_taints);
            tolerates
                || constraints.iter().any(|c| c.selector.matches(old.labels()) != c.selector.matches(new.labels()))
        }
        (Some(one), None) | (None, Some(one)) => matched(one),
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedListers, handle, node_info, pod, snapshot};

    fn plugin() -> PodTopologySpread {
        PodTopologySpread::new(&PodTopologySpreadArgs::default(), &handle(FixedListers::default()))
    }

    fn spread(extra: &str) -> Pod {
        pod(&format!(
            "name: new\nlabels: {{app: x}}\ntopologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, \
             whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: x}}}}{extra}}}]"
        ))
    }

    fn verdicts(p: &Pod, nodes: &[Arc<NodeInfo>]) -> Vec<bool> {
        let mut state = CycleState::default();
        plugin().pre_filter(&mut state, p, &snapshot(nodes)).unwrap();
        nodes.iter().map(|n| plugin().filter(&state, p, n).is_ok()).collect()
    }

    #[test]
    fn keeps_the_skew() {
        let x = |name: &str| format!("name: {name}\nlabels: {{app: x}}");
        let a = node_info("a: {labels: {zone: z1}}", &[&x("1")]);
        let b = node_info("b: {labels: {zone: z1}}", &[]);
        let c = node_info("c: {labels: {zone: z2}}", &[]);
        let unlabelled = node_info("d: {}", &[]);
        assert_eq!(verdicts(&spread(""), &[a.clone(), b.clone(), c.clone(), unlabelled]), [false, false, true, false]);
        assert_eq!(verdicts(&spread(", minDomains: 3"), &[a, b, c]), [false, false, true]);
    }

    #[test]
    fn simulated_pods_count() {
        let nodes = [
            node_info("a: {labels: {zone: z1}}", &["name: 1\nlabels: {app: x}"]),
            node_info("c: {labels: {zone: z2}}", &[]),
        ];
        let p = spread("");
        let mut state = CycleState::default();
        plugin().pre_filter(&mut state, &p, &snapshot(&nodes)).unwrap();
        assert!(plugin().filter(&state, &p, &nodes[0]).is_err());
        let victim = Arc::clone(&nodes[0].pods[0]);
        plugin().recount(&mut state, &p, &victim, &nodes[0], -1);
        assert!(plugin().filter(&state, &p, &nodes[0]).is_ok());
    }

    #[test]
    fn system_defaults_prefer_the_emptier_host() {
        let listers = FixedListers {
            selector: Some(LabelMatcher::from_labels(&Labels::from([("app".into(), "x".into())]))),
            ..FixedListers::default()
        };
        let plugin = PodTopologySpread::new(&PodTopologySpreadArgs::default(), &handle(listers));
        let nodes = [
            node_info("a: {labels: {kubernetes.io/hostname: a}}", &["name: 1\nlabels: {app: x}"]),
            node_info("b: {labels: {kubernetes.io/hostname: b}}", &[]),
        ];
        let p = pod("name: new\nlabels: {app: x}");
        let mut state = CycleState::default();
        assert_eq!(plugin.pre_score(&mut state, &p, &nodes, &snapshot(&nodes)), Ok(PreScoreOutcome::Score));
        let mut scores: Vec<_> = nodes.iter().map(|n| plugin.score(&state, &p, n).unwrap()).collect();
        plugin.normalize(&state, &nodes, &mut scores);
        assert!(scores[1] > scores[0], "{scores:?}");
        assert_eq!(scores[1], 100);
    }
}
