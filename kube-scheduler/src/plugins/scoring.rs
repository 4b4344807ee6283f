//! Scoring by how full a node gets, shared by NodeResourcesFit and NodeResourcesBalancedAllocation.
//! upstream: plugins/noderesources/{resource_allocation,least_allocated,most_allocated,requested_to_capacity_ratio}.go

use crate::cache::NodeInfo;
use crate::config::ResourceSpec;
use crate::framework::MAX_NODE_SCORE;
use crate::model::{Pod, is_scalar_resource};

/// One resource on one node: what would be requested with the pod, is requested without it, and can be allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) requested: i64,
    pub(super) allocated: i64,
    pub(super) allocatable: i64,
    pub(super) weight: i64,
}

/// What the pod asks for of each resource; `nonzero` counts containers without requests with defaults.
pub(super) fn pod_requests(pod: &Pod, resources: &[ResourceSpec], nonzero: bool) -> Vec<i64> {
    let request = |name: &str| match name {
        "cpu" if nonzero => pod.nonzero_milli_cpu,
        "memory" if nonzero => pod.nonzero_memory,
        name => pod.requests.get(name),
    };
    resources.iter().map(|r| request(&r.name)).collect()
}

/// The shares of the resources that the node has and the pod may use.
pub(super) fn shares(node: &NodeInfo, resources: &[ResourceSpec], requests: &[i64], nonzero: bool) -> Vec<Share> {
    let share = |(spec, request): (&ResourceSpec, &i64)| {
        if *request == 0 && is_scalar_resource(&spec.name) {
            return None;
        }
        let allocatable = node.node.allocatable.get(&spec.name);
        let allocated = match spec.name.as_str() {
            "cpu" if nonzero => node.nonzero_milli_cpu,
            "memory" if nonzero => node.nonzero_memory,
            name => node.requested.get(name),
        };
        let requested = allocated + request;
        (allocatable != 0).then_some(Share { requested, allocated, allocatable, weight: spec.weight })
    };
    resources.iter().zip(requests).filter_map(share).collect()
}

/// More free, higher score.
pub(super) fn least_allocated(shares: &[Share]) -> i64 {
    weighted(shares, |s| {
        if s.requested > s.allocatable { 0 } else { (s.allocatable - s.requested) * MAX_NODE_SCORE / s.allocatable }
    })
}

/// Fuller, higher score.
pub(super) fn most_allocated(shares: &[Share]) -> i64 {
    weighted(shares, |s| s.requested.min(s.allocatable) * MAX_NODE_SCORE / s.allocatable)
}

fn weighted(shares: &[Share], score: impl Fn(&Share) -> i64) -> i64 {
    let weights: i64 = shares.iter().map(|s| s.weight).sum();
    if weights == 0 { 0 } else { shares.iter().map(|s| score(s) * s.weight).sum::<i64>() / weights }
}

/// A broken line from utilization (0 to 100) to score (0 to 100).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape(pub(super) Vec<(i64, i64)>);

impl Shape {
    fn at(&self, utilization: i64) -> i64 {
        let Some(next) = self.0.iter().position(|(x, _)| utilization <= *x) else {
            return self.0.last().map_or(0, |(_, y)| *y);
        };
        if next == 0 {
            return self.0[0].1;
        }
        let ((x0, y0), (x1, y1)) = (self.0[next - 1], self.0[next]);
        y0 + (y1 - y0) * (utilization - x0) / (x1 - x0)
    }

    /// The score of the shares; resources that score 0 do not count at all.
    pub(super) fn score(&self, shares: &[Share]) -> i64 {
        let score = |s: &Share| {
            let over = s.requested > s.allocatable;
            self.at(if over { 100 } else { s.requested * 100 / s.allocatable })
        };
        let scored: Vec<_> = shares.iter().map(|s| (score(s), s.weight)).filter(|(score, _)| *score > 0).collect();
        let weights: i64 = scored.iter().map(|(_, weight)| weight).sum();
        if weights == 0 {
            return 0;
        }
        let sum: i64 = scored.iter().map(|(score, weight)| score * weight).sum();
        // Rounded to nearest; both are non-negative.
        (2 * sum + weights) / (2 * weights)
    }
}
