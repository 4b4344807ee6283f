//! The decision: PreFilter, Filter, PostFilter, Score. Pure but for the random choice among equals, which is seeded.
//! One thread filters all nodes: plugins are cheap (tens of nanoseconds), handing nodes to other threads is not.
//! upstream: schedule_one.go (schedulePod, findNodesThatFitPod, prioritizeNodes)

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::{
    CycleState, Diagnosis, FilterScope, FitError, NodeScore, Nominations, PostFilterOutcome, PreFilterOutcome, Profile,
    Rejection,
};
use crate::model::Pod;
use crate::queue::Nominate;

/// So many nodes are always looked for.
const MIN_FEASIBLE_NODES: usize = 100;
/// The adaptive share never falls below this.
const MIN_FEASIBLE_PERCENTAGE: usize = 5;

/// What outlives an attempt: where the next search starts, and the source of random choices.
pub struct Selector {
    start: usize,
    random: SmallRng,
}

impl Selector {
    /// A selector whose choices are determined by the seed.
    pub fn new(seed: u64) -> Self {
        Self { start: 0, random: SmallRng::seed_from_u64(seed) }
    }
}

/// The outcome of an attempt.
#[derive(Debug)]
pub enum Decision {
    /// A node was found.
    Node {
        /// It.
        node: Arc<str>,
        /// Nodes looked at.
        evaluated: usize,
        /// Nodes that fit.
        feasible: usize,
        /// Nodes that fit, with their scores unless only one did.
        scores: Vec<(Arc<str>, Option<NodeScore>)>,
        /// Nodes that do not fit.
        refused: Vec<(Arc<str>, &'static str, Rejection)>,
    },
    /// There are no nodes at all.
    NoNodes,
    /// No node fits.
    NoFit {
        /// Why.
        error: Box<FitError>,
        /// What becomes of the pod's nomination; `None` leaves it.
        nominate: Option<Nominate>,
    },
    /// A plugin failed.
    Failed(String),
}

/// After how many fitting nodes the search stops. upstream: numFeasibleNodesToFind
fn nodes_wanted(percentage: i32, nodes: usize) -> usize {
    if nodes < MIN_FEASIBLE_NODES {
        return nodes;
    }
    let percentage = match usize::try_from(percentage).unwrap_or(0) {
        0 => 50_usize.saturating_sub(nodes / 125).max(MIN_FEASIBLE_PERCENTAGE),
        given => given,
    };
    (nodes * percentage / 100).max(MIN_FEASIBLE_NODES)
}

/// Decides where a pod goes.
pub fn select(
    profile: &Profile,
    state: &mut CycleState,
    pod: &Arc<Pod>,
    snapshot: &Snapshot,
    nominations: &Nominations,
    selector: &mut Selector,
    percentage: i32,
) -> Decision {
    if snapshot.nodes().is_empty() {
        return Decision::NoNodes;
    }
    let mut search = Search { profile, pod, snapshot, nominations, diagnosis: Diagnosis::default() };
    let feasible = match search.feasible(state, selector, percentage) {
        Ok(feasible) => feasible,
        Err(text) => return Decision::Failed(text),
    };
    let mut diagnosis = search.diagnosis;
    if feasible.is_empty() {
        let nominate = post_filter(profile, state, pod, snapshot, nominations, &mut diagnosis);
        let error = Box::new(FitError { all_nodes: snapshot.nodes().len(), diagnosis });
        return Decision::NoFit { error, nominate };
    }
    let evaluated = feasible.len() + diagnosis.nodes.len();
    let scores = if feasible.len() == 1 {
        vec![None]
    } else {
        match profile.run_score(state, pod, &feasible, snapshot) {
            Ok(scores) => scores.into_iter().map(Some).collect(),
            Err((plugin, rejection)) => {
                return Decision::Failed(format!("running plugin {plugin:?}: {}", rejection.message()));
            }
        }
    };
    let best = pick(&scores, &mut selector.random);
    let name = |info: &Arc<NodeInfo>| -> Arc<str> { info.node.name.as_str().into() };
    Decision::Node {
        node: name(&feasible[best]),
        evaluated,
        feasible: feasible.len(),
        scores: feasible.iter().map(name).zip(scores).collect(),
        refused: diagnosis.nodes,
    }
}

/// The index of the highest score; one of the highest at random.
fn pick(scores: &[Option<NodeScore>], random: &mut SmallRng) -> usize {
    let total = |score: &Option<NodeScore>| score.as_ref().map_or(0, |s| s.total);
    let highest = scores.iter().map(total).max().unwrap_or(0);
    let best: Vec<usize> = (0..scores.len()).filter(|i| total(&scores[*i]) == highest).collect();
    best[random.random_range(0..best.len())]
}

struct Search<'a> {
    profile: &'a Profile,
    pod: &'a Arc<Pod>,
    snapshot: &'a Snapshot,
    nominations: &'a Nominations,
    diagnosis: Diagnosis,
}

impl Search<'_> {
    /// The nodes that fit, up to as many as wanted; an error text when a plugin failed.
    fn feasible(
        &mut self,
        state: &mut CycleState,
        selector: &mut Selector,
        percentage: i32,
    ) -> Result<Vec<Arc<NodeInfo>>, String> {
        let all = self.snapshot.nodes();
        let (narrowed, narrowing) = match self.profile.run_pre_filter(state, self.pod, self.snapshot) {
            Ok(result) => result,
            Err((plugin, Rejection::Error(error))) => {
                return Err(format!("running PreFilter plugin {plugin:?}: {error}"));
            }
            Err((plugin, rejection)) => {
                self.diagnosis.blame(plugin, &rejection);
                self.diagnosis.pre_filter_message = rejection.message();
                self.diagnosis.absent = Some(rejection);
                return Ok(Vec::new());
            }
        };
        if let Some(nominated) = self.snapshot.get(&self.pod.nominated_node)
            && self.fits(state, nominated)?
        {
            return Ok(vec![Arc::clone(nominated)]);
        }
        self.diagnosis.nodes.clear();
        let chosen: Vec<Arc<NodeInfo>>;
        let nodes = match narrowed {
            PreFilterOutcome::Only(names) => {
                chosen = names.iter().filter_map(|name| self.snapshot.get(name)).cloned().collect();
                self.diagnosis.unschedulable_plugins.extend(&narrowing);
                let text = format!("node(s) didn't satisfy plugin(s) [{}]", narrowing.join(" "));
                self.diagnosis.absent = Some(Rejection::unresolvable(text));
                &chosen[..]
            }
            PreFilterOutcome::All | PreFilterOutcome::Skip => all,
        };
        let wanted = if self.profile.score.is_empty() { 1 } else { nodes_wanted(percentage, nodes.len()) };
        let mut feasible = Vec::with_capacity(wanted.min(nodes.len()));
        for turn in 0..nodes.len() {
            let node = &nodes[(selector.start + turn) % nodes.len()];
            if self.fits(state, node)? {
                feasible.push(Arc::clone(node));
                if feasible.len() == wanted {
                    break;
                }
            }
        }
        selector.start = (selector.start + feasible.len() + self.diagnosis.nodes.len()) % all.len();
        Ok(feasible)
    }

    fn fits(&mut self, state: &CycleState, node: &NodeInfo) -> Result<bool, String> {
        match self.profile.run_filter_with_nominations(state, self.pod, node, self.nominations) {
            Ok(()) => Ok(true),
            Err((plugin, Rejection::Error(error))) => Err(format!("running {plugin:?} filter plugin: {error}")),
            Err((plugin, rejection)) => {
                self.diagnosis.refuse(node.node.name.as_str().into(), plugin, rejection);
                Ok(false)
            }
        }
    }
}

fn post_filter(
    profile: &Profile,
    state: &CycleState,
    pod: &Arc<Pod>,
    snapshot: &Snapshot,
    nominations: &Nominations,
    diagnosis: &mut Diagnosis,
) -> Option<Nominate> {
    if profile.post_filter.is_empty() {
        return Some(Nominate::Nothing);
    }
    let scope = FilterScope { profile, snapshot, nominations };
    let mut messages = Vec::new();
    let mut nominate = None;
    for plugin in &profile.post_filter {
        match plugin.post_filter(&scope, state, pod, diagnosis) {
            PostFilterOutcome::Nominated(node) => {
                nominate = Some(Nominate::Node(node));
                messages.clear();
                break;
            }
            PostFilterOutcome::Unschedulable { message, clear } => {
                messages.push(message);
                if clear {
                    nominate = Some(Nominate::Nothing);
                }
            }
            PostFilterOutcome::Failed(message) => messages.push(message),
        }
    }
    diagnosis.post_filter_message = messages.join(", ");
    nominate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KubeSchedulerConfiguration, build_profiles};
    use crate::testing::{FixedListers, handle, node_info, pod, snapshot};

    fn decide(p: &str, nodes: &[Arc<NodeInfo>]) -> Decision {
        let profile =
            build_profiles(&KubeSchedulerConfiguration::default(), &handle(FixedListers::default())).unwrap().remove(0);
        let nominations = Nominations::default();
        let pod = Arc::new(pod(p));
        select(&profile, &mut CycleState::default(), &pod, &snapshot(nodes), &nominations, &mut Selector::new(1), 0)
    }

    fn chosen(decision: &Decision) -> &str {
        match decision {
            Decision::Node { node, .. } => node,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wants_as_many_nodes_as_upstream() {
        let cases = [
            (0, 10, 10),
            (0, 99, 99),
            (0, 1000, 420),
            (0, 6000, 300),
            (40, 1000, 400),
            (100, 5000, 5000),
            (0, 150, 100),
        ];
        for (percentage, nodes, wanted) in cases {
            assert_eq!(nodes_wanted(percentage, nodes), wanted, "{percentage}% of {nodes}");
        }
    }

    #[test]
    fn prefers_the_emptier_node() {
        let nodes = [
            node_info("a: {allocatable: {cpu: '4'}}", &["requests: {cpu: '2'}"]),
            node_info("b: {allocatable: {cpu: '4'}}", &[]),
        ];
        assert_eq!(chosen(&decide("name: new\nrequests: {cpu: '1'}", &nodes)), "b");
    }

    #[test]
    fn explains_a_failure_as_upstream() {
        let nodes = [
            node_info("a: {allocatable: {cpu: '1'}}", &["requests: {cpu: '1'}"]),
            node_info("b: {taints: [{key: k, effect: NoSchedule}]}", &[]),
            node_info("c: {taints: [{key: k, effect: NoSchedule}]}", &[]),
        ];
        let Decision::NoFit { error, nominate } = decide("name: new\nrequests: {cpu: '1'}", &nodes) else { panic!() };
        assert_eq!(
            error.to_string(),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/3 nodes are available: \
             1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
        );
        assert_eq!(nominate, Some(Nominate::Nothing));
    }

    #[test]
    fn a_named_node_is_the_only_one_looked_at() {
        let nodes = [node_info("a: {}", &[]), node_info("b: {unschedulable: true}", &[])];
        let terms = "[{matchFields: [{key: metadata.name, operator: In, values: [b]}]}]";
        let text = format!(
            "affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: {terms}}}}}}}"
        );
        let Decision::NoFit { error, .. } = decide(&text, &nodes) else { panic!() };
        assert_eq!(
            error.to_string(),
            "0/2 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) were unschedulable. no new claims to deallocate, preemption: \
             0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        );
    }

    #[test]
    fn equal_nodes_are_chosen_by_the_seed() {
        let nodes: Vec<_> = (0..20).map(|n| node_info(&format!("n{n}: {{}}"), &[])).collect();
        let first = decide("name: p", &nodes);
        assert_eq!(chosen(&first), chosen(&decide("name: p", &nodes)));
    }
}
