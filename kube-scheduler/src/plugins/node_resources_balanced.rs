//! NodeResourcesBalancedAllocation: prefers nodes whose resources fill evenly. upstream: plugins/noderesources/balanced_allocation.go

use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::config::{BalancedAllocationArgs, ResourceSpec};
use crate::framework::{CycleState, Extensions, MAX_NODE_SCORE, Plugin, PreScore, PreScoreOutcome, Rejection, Score};
use crate::model::Pod;

use super::scoring::{Share, pod_requests, shares};

pub(super) const NAME: &str = "NodeResourcesBalancedAllocation";

pub(super) struct BalancedAllocation {
    resources: Vec<ResourceSpec>,
}

#[derive(Clone)]
struct Scored(Vec<i64>);

impl BalancedAllocation {
    pub(super) fn new(args: &BalancedAllocationArgs) -> Self {
        Self { resources: args.resources.clone() }
    }
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_score = Some(self.clone());
        extensions.score = Some(self);
    }
}

impl PreScore for BalancedAllocation {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        _feasible: &[Arc<NodeInfo>],
        _all: &Snapshot,
    ) -> Result<PreScoreOutcome, Rejection> {
        let requests = pod_requests(pod, &self.resources, false);
        if requests.iter().all(|r| *r == 0) {
            return Ok(PreScoreOutcome::Skip);
        }
        state.insert(Scored(requests));
        Ok(PreScoreOutcome::Score)
    }
}

impl Score for BalancedAllocation {
    fn name(&self) -> &'static str {
        NAME
    }
    fn score(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection> {
        let requests = match state.get::<Scored>() {
            Some(Scored(requests)) => requests.clone(),
            None => pod_requests(pod, &self.resources, false),
        };
        let shares = shares(node, &self.resources, &requests, false);
        let with = balance(&shares, |s| s.requested);
        let without = balance(&shares, |s| s.allocated);
        Ok(MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + with - without) / 2)
    }
}

/// 100 when all resources are equally full, less the more they differ (standard deviation of the fractions).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the score is defined in floating point"
)]
fn balance(shares: &[Share], used: impl Fn(&Share) -> i64) -> i64 {
    let fractions: Vec<f64> = shares.iter().map(|s| (used(s) as f64 / s.allocatable as f64).min(1.0)).collect();
    let deviation = match fractions.as_slice() {
        [] | [_] => 0.0,
        [a, b] => ((a - b) / 2.0).abs(),
        many => {
            let count = many.len() as f64;
            let mean = many.iter().sum::<f64>() / count;
            (many.iter().map(|f| (f - mean) * (f - mean)).sum::<f64>() / count).sqrt()
        }
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_info, pod};

    #[test]
    fn prefers_the_node_that_stays_balanced() {
        let plugin = BalancedAllocation::new(&BalancedAllocationArgs::default());
        let p = pod("requests: {cpu: '2', memory: '4000'}");
        let score =
            |node: &str, pods: &[&str]| plugin.score(&CycleState::default(), &p, &node_info(node, pods)).unwrap();
        let even = score("a: {allocatable: {cpu: '4', memory: '8000'}}", &[]);
        let uneven = score("b: {allocatable: {cpu: '4', memory: '80000'}}", &[]);
        assert_eq!(even, 75);
        assert!(uneven < even, "{uneven}");
    }
}
