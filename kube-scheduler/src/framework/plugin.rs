//! Extension points: one trait each. A plugin adds itself to the points it implements.
//! upstream: kube-scheduler/framework/interface.go

use jiff::Timestamp;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::model::Pod;
use crate::queue::QueuedPod;

use super::{Change, ClusterEvent, CycleState, Diagnosis, Nominations, Profile, Rejection, Verdict};

/// Highest score of a node.
pub const MAX_NODE_SCORE: i64 = 100;

/// A plugin: a name and its extension points.
pub trait Plugin: Send + Sync + 'static {
    /// The name in configuration, metrics and diagnoses.
    fn name(&self) -> &'static str;
    /// Adds the plugin to each point it implements.
    fn register(self: Arc<Self>, extensions: &mut Extensions);
}

/// The points that one plugin implements.
#[derive(Default, Clone)]
#[expect(missing_docs, reason = "each field is named as its trait")]
pub struct Extensions {
    pub queue_sort: Option<Arc<dyn QueueSort>>,
    pub pre_enqueue: Option<Arc<dyn PreEnqueue>>,
    pub enqueue: Option<Arc<dyn EnqueueExtensions>>,
    pub pre_filter: Option<Arc<dyn PreFilter>>,
    pub filter: Option<Arc<dyn Filter>>,
    pub post_filter: Option<Arc<dyn PostFilter>>,
    pub pre_score: Option<Arc<dyn PreScore>>,
    pub score: Option<Arc<dyn Score>>,
    pub reserve: Option<Arc<dyn Reserve>>,
    pub permit: Option<Arc<dyn Permit>>,
    pub pre_bind: Option<Arc<dyn PreBind>>,
    pub bind: Option<Arc<dyn BindPoint>>,
    pub post_bind: Option<Arc<dyn PostBind>>,
}

/// Order in the active queue: higher rank first, then earlier timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    /// Higher goes first.
    pub rank: i64,
    /// Earlier goes first.
    pub timestamp: Timestamp,
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.rank.cmp(&self.rank).then(self.timestamp.cmp(&other.timestamp))
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Orders the active queue. Exactly one is enabled, the same in all profiles.
pub trait QueueSort: Send + Sync {
    /// The pod's place.
    fn key(&self, pod: &QueuedPod) -> SortKey;
}

/// Asked before a pod may enter the active queue.
pub trait PreEnqueue: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// Whether the pod may be tried.
    fn pre_enqueue(&self, pod: &Pod) -> Verdict;
}

/// States which changes of the cluster may help pods that this plugin rejected.
pub trait EnqueueExtensions: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// The events of interest.
    fn events(&self) -> Vec<ClusterEvent>;
    /// Looks closer at one such event: may `pod` be schedulable now? Yes unless the plugin knows better.
    fn may_help(&self, pod: &Pod, event: &ClusterEvent, change: &Change) -> bool {
        let _ = (pod, event, change);
        true
    }
}

/// Result of PreFilter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreFilterOutcome {
    /// Filter all nodes.
    All,
    /// Only these nodes can fit.
    Only(BTreeSet<String>),
    /// The plugin's Filter has nothing to say about this pod.
    Skip,
}

/// Looks at the pod once before nodes are filtered.
pub trait PreFilter: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// Prepares state, may refuse the pod or narrow the nodes.
    ///
    /// # Errors
    /// The rejection.
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection>;
    /// A simulation puts `other` on `node` (`by` is 1) or takes it off (-1): what was counted changes by that.
    fn recount(&self, state: &mut CycleState, pod: &Pod, other: &Pod, node: &NodeInfo, by: i64) {
        let _ = (state, pod, other, node, by);
    }
}

/// Asks of one node whether the pod can run there.
pub trait Filter: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// The verdict.
    fn filter(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict;
}

/// What a PostFilter plugin may look at.
pub struct FilterScope<'a> {
    /// The profile, to run filters again in a simulation.
    pub profile: &'a Profile,
    /// The nodes of this attempt.
    pub snapshot: &'a Snapshot,
    /// Pods nominated for nodes.
    pub nominations: &'a Nominations,
}

/// Result of PostFilter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostFilterOutcome {
    /// The pod will fit on this node soon.
    Nominated(Arc<str>),
    /// No help. `clear` drops an earlier nomination; the message goes into the pod's condition.
    Unschedulable {
        /// Shown to the user.
        message: String,
        /// An earlier nomination is void.
        clear: bool,
    },
    /// The plugin failed.
    Failed(String),
}

/// Asked when no node fits.
pub trait PostFilter: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// Tries to make room.
    fn post_filter(
        &self,
        scope: &FilterScope<'_>,
        state: &CycleState,
        pod: &Arc<Pod>,
        diagnosis: &Diagnosis,
    ) -> PostFilterOutcome;
}

/// Result of PreScore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreScoreOutcome {
    /// Score the nodes.
    Score,
    /// The plugin's Score has nothing to say about this pod.
    Skip,
}

/// Looks at the pod once before nodes are scored.
pub trait PreScore: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// Prepares state. `feasible` are the nodes to be scored, `all` every node.
    ///
    /// # Errors
    /// The rejection.
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        feasible: &[Arc<NodeInfo>],
        all: &Snapshot,
    ) -> Result<PreScoreOutcome, Rejection>;
}

/// Scores nodes that fit.
pub trait Score: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// A raw score; after `normalize` 0 to 100, higher is better.
    ///
    /// # Errors
    /// The rejection.
    fn score(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection>;
    /// Brings the raw scores of all nodes into 0 to 100.
    fn normalize(&self, state: &CycleState, nodes: &[Arc<NodeInfo>], scores: &mut [i64]) {
        let _ = (state, nodes, scores);
    }
}

/// Sets things aside for the pod on the chosen node.
pub trait Reserve: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// Reserves.
    fn reserve(&self, state: &mut CycleState, pod: &Pod, node: &str) -> Verdict;
    /// Undoes [`Reserve::reserve`]; also called when it failed or never ran.
    fn unreserve(&self, state: &mut CycleState, pod: &Pod, node: &str);
}

/// May prevent binding. (Waiting for permission is not part of this build: no in-tree plugin of the default gates waits.)
pub trait Permit: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// The verdict.
    fn permit(&self, state: &CycleState, pod: &Pod, node: &str) -> Verdict;
}

/// A future of the points around binding.
pub type BindFuture<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Does what has to happen before a pod is bound.
pub trait PreBind: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// The work.
    fn pre_bind<'a>(&'a self, state: &'a CycleState, pod: &'a Pod, node: &'a str) -> BindFuture<'a>;
}

/// Binds a pod.
pub trait BindPoint: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// Binds.
    fn bind<'a>(&'a self, pod: &'a Pod, node: &'a str) -> BindFuture<'a>;
}

/// Told that a pod was bound.
pub trait PostBind: Send + Sync {
    /// Plugin name.
    fn name(&self) -> &'static str;
    /// The notice.
    fn post_bind(&self, pod: &Pod, node: &str);
}

/// What a plugin wants to be woken by.
#[derive(Clone)]
pub struct Interest {
    /// The events it registered.
    pub events: Vec<ClusterEvent>,
    /// The plugin.
    pub plugin: Arc<dyn EnqueueExtensions>,
}

/// Scales scores so that the highest is 100; reversed, the lowest raw score gets the most. upstream: DefaultNormalizeScore
pub fn default_normalize(reverse: bool, scores: &mut [i64]) {
    let max = scores.iter().copied().max().unwrap_or(0).max(0);
    for score in scores {
        let scaled = if max == 0 { 0 } else { MAX_NODE_SCORE * *score / max };
        *score = if reverse {
            MAX_NODE_SCORE - scaled
        } else if max == 0 {
            *score
        } else {
            scaled
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_like_upstream() {
        let cases = [
            (false, vec![1, 2, 3, 4], vec![25, 50, 75, 100]),
            (true, vec![1, 2, 3, 4], vec![75, 50, 25, 0]),
            (false, vec![0, 0], vec![0, 0]),
            (true, vec![0, 0], vec![100, 100]),
        ];
        for (reverse, mut scores, expected) in cases {
            default_normalize(reverse, &mut scores);
            assert_eq!(scores, expected);
        }
    }
}
