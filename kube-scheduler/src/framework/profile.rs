//! A profile: the plugins of one scheduler name, per extension point, in order. upstream: framework/runtime/framework.go

use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::model::Pod;

use super::{
    BindPoint, CycleState, Diagnosis, Filter, Interest, MAX_NODE_SCORE, Nominations, Permit, PostBind, PostFilter,
    PreBind, PreEnqueue, PreFilter, PreFilterOutcome, PreScore, PreScoreOutcome, QueueSort, Rejection, Reserve, Score,
    Verdict,
};

/// The extension points that configuration can address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is named as its point")]
pub enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

/// A score plugin and the weight of its score.
#[derive(Clone)]
pub struct Weighted {
    /// The plugin.
    pub plugin: Arc<dyn Score>,
    /// At least 1.
    pub weight: i64,
}

/// The plugins of a scheduler name.
#[derive(Clone, Default)]
#[expect(missing_docs, reason = "each list is named as its extension point")]
pub struct Profile {
    /// `spec.schedulerName` that this profile serves.
    pub name: String,
    /// Overrides the global percentageOfNodesToScore.
    pub percentage_of_nodes_to_score: Option<i32>,
    pub queue_sort: Option<Arc<dyn QueueSort>>,
    pub pre_enqueue: Vec<Arc<dyn PreEnqueue>>,
    pub interests: Vec<Interest>,
    pub pre_filter: Vec<Arc<dyn PreFilter>>,
    pub filter: Vec<Arc<dyn Filter>>,
    pub post_filter: Vec<Arc<dyn PostFilter>>,
    pub pre_score: Vec<Arc<dyn PreScore>>,
    pub score: Vec<Weighted>,
    pub reserve: Vec<Arc<dyn Reserve>>,
    pub permit: Vec<Arc<dyn Permit>>,
    pub pre_bind: Vec<Arc<dyn PreBind>>,
    pub bind: Vec<Arc<dyn BindPoint>>,
    pub post_bind: Vec<Arc<dyn PostBind>>,
}

/// Total and per-plugin scores of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeScore {
    /// Weighted sum.
    pub total: i64,
    /// Weighted score of each plugin.
    pub plugins: Vec<(&'static str, i64)>,
}

impl Profile {
    /// Runs PreFilter; notes skips in the state. `Err` names the refusing plugin and is final for all nodes.
    ///
    /// # Errors
    /// The plugin and its rejection.
    pub fn run_pre_filter(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        nodes: &Snapshot,
    ) -> Result<(PreFilterOutcome, Vec<&'static str>), (&'static str, Rejection)> {
        let mut narrowed = PreFilterOutcome::All;
        let mut narrowing = Vec::new();
        for plugin in &self.pre_filter {
            match plugin.pre_filter(state, pod, nodes).map_err(|rejection| (plugin.name(), rejection))? {
                PreFilterOutcome::All => {}
                PreFilterOutcome::Skip => state.skip_filter.push(plugin.name()),
                PreFilterOutcome::Only(names) => {
                    narrowing.push(plugin.name());
                    let names = match narrowed {
                        PreFilterOutcome::Only(known) => known.intersection(&names).cloned().collect(),
                        _ => names,
                    };
                    if names.is_empty() {
                        narrowing.sort_unstable();
                        let message = match narrowing.as_slice() {
                            [_] => format!("node(s) didn't satisfy plugin {}", narrowing[0]),
                            all => format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", all.join(" ")),
                        };
                        return Err((plugin.name(), Rejection::unresolvable(message)));
                    }
                    narrowed = PreFilterOutcome::Only(names);
                }
            }
        }
        Ok((narrowed, narrowing))
    }

    /// Runs Filter on one node.
    ///
    /// # Errors
    /// The first refusing plugin and its rejection.
    pub fn run_filter(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<(), (&'static str, Rejection)> {
        for plugin in &self.filter {
            let name = plugin.name();
            if state.skip_filter.contains(&name) {
                continue;
            }
            plugin.filter(state, pod, node).map_err(|rejection| (name, rejection))?;
        }
        Ok(())
    }

    /// Runs Filter with the pods nominated for the node in place, and again without them: the pod must fit either way,
    /// since nominated pods may never come.
    ///
    /// # Errors
    /// As [`Profile::run_filter`].
    pub fn run_filter_with_nominations(
        &self,
        state: &CycleState,
        pod: &Pod,
        node: &NodeInfo,
        nominations: &Nominations,
    ) -> Result<(), (&'static str, Rejection)> {
        let nominated = nominations.on(&node.node.name);
        let ahead = |other: &&Arc<Pod>| other.priority >= pod.priority && other.uid != pod.uid;
        if nominated.iter().any(|other| ahead(&other)) {
            let mut crowded = node.clone();
            let mut simulated = state.clone();
            for other in nominated.iter().filter(ahead) {
                crowded.add_pod(Arc::clone(other));
                self.simulate_add(&mut simulated, pod, other, &crowded);
            }
            self.run_filter(&simulated, pod, &crowded)?;
        }
        self.run_filter(state, pod, node)
    }

    /// Tells PreFilter plugins that a simulation put a pod on a node.
    pub fn simulate_add(&self, state: &mut CycleState, pod: &Pod, added: &Pod, node: &NodeInfo) {
        for plugin in &self.pre_filter {
            if !state.skip_filter.contains(&plugin.name()) {
                plugin.recount(state, pod, added, node, 1);
            }
        }
    }

    /// Tells PreFilter plugins that a simulation took a pod off a node.
    pub fn simulate_remove(&self, state: &mut CycleState, pod: &Pod, removed: &Pod, node: &NodeInfo) {
        for plugin in &self.pre_filter {
            if !state.skip_filter.contains(&plugin.name()) {
                plugin.recount(state, pod, removed, node, -1);
            }
        }
    }

    /// Runs PreScore and Score: the score of each node, in the order of `nodes`.
    ///
    /// # Errors
    /// The failing plugin and its rejection.
    pub fn run_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        nodes: &[Arc<NodeInfo>],
        all: &Snapshot,
    ) -> Result<Vec<NodeScore>, (&'static str, Rejection)> {
        for plugin in &self.pre_score {
            let outcome = plugin.pre_score(state, pod, nodes, all).map_err(|rejection| (plugin.name(), rejection))?;
            if outcome == PreScoreOutcome::Skip {
                state.skip_score.push(plugin.name());
            }
        }
        let mut result = vec![NodeScore { total: 0, plugins: Vec::with_capacity(self.score.len()) }; nodes.len()];
        for Weighted { plugin, weight } in &self.score {
            let name = plugin.name();
            if state.skip_score.contains(&name) {
                continue;
            }
            let scores: Result<Vec<_>, _> = nodes.iter().map(|node| plugin.score(state, pod, node)).collect();
            let mut scores = scores.map_err(|rejection| (name, rejection))?;
            plugin.normalize(state, nodes, &mut scores);
            for (node, score) in result.iter_mut().zip(scores) {
                if !(0..=MAX_NODE_SCORE).contains(&score) {
                    let text = format!(
                        "plugin {name:?} returns an invalid score {score}, it should in the range of [0, 100] after normalizing"
                    );
                    return Err((name, Rejection::error(text)));
                }
                node.total += score * weight;
                node.plugins.push((name, score * weight));
            }
        }
        Ok(result)
    }

    /// Runs Reserve; on failure everything is unreserved.
    ///
    /// # Errors
    /// The failing plugin and its rejection.
    pub fn run_reserve(&self, state: &mut CycleState, pod: &Pod, node: &str) -> Result<(), (&'static str, Rejection)> {
        for plugin in &self.reserve {
            if let Err(rejection) = plugin.reserve(state, pod, node) {
                self.run_unreserve(state, pod, node);
                return Err((plugin.name(), rejection));
            }
        }
        Ok(())
    }

    /// Undoes all reservations, last first.
    pub fn run_unreserve(&self, state: &mut CycleState, pod: &Pod, node: &str) {
        for plugin in self.reserve.iter().rev() {
            plugin.unreserve(state, pod, node);
        }
    }

    /// Whether the pod may enter the active queue.
    ///
    /// # Errors
    /// The gating plugin and its rejection.
    pub fn run_pre_enqueue(&self, pod: &Pod) -> Result<(), (&'static str, Rejection)> {
        self.pre_enqueue.iter().try_for_each(|p| p.pre_enqueue(pod).map_err(|rejection| (p.name(), rejection)))
    }

    /// A diagnosis for a verdict that holds for one node only (Reserve, Permit).
    pub fn single_node_diagnosis(node: &str, plugin: &'static str, rejection: Rejection) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        diagnosis.refuse(node.into(), plugin, rejection);
        diagnosis
    }
}

/// Nothing to say on success.
pub(crate) const FITS: Verdict = Ok(());
