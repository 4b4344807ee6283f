//! NodeResourcesFit: the pod's requests must fit; scores by the configured strategy. upstream: plugins/noderesources/fit.go

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::config::{NodeResourcesFitArgs, ResourceSpec};
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Plugin,
    PreFilter, PreFilterOutcome, PreScore, PreScoreOutcome, Reasons, Rejection, Score, Verdict,
};
use crate::model::{Node, Pod, Resources, is_extended_resource};

use super::scoring::{Shape, least_allocated, most_allocated, pod_requests, shares};

pub(super) const NAME: &str = "NodeResourcesFit";

enum Strategy {
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio(Shape),
}

pub(super) struct NodeResourcesFit {
    ignored: BTreeSet<String>,
    ignored_groups: BTreeSet<String>,
    resources: Vec<ResourceSpec>,
    strategy: Strategy,
}

/// What the pod asks for of the scored resources.
#[derive(Clone)]
struct Scored(Vec<i64>);

impl NodeResourcesFit {
    pub(super) fn new(args: &NodeResourcesFitArgs) -> Self {
        let scoring = &args.scoring_strategy;
        let strategy = match scoring.type_.as_str() {
            "MostAllocated" => Strategy::MostAllocated,
            "RequestedToCapacityRatio" => {
                let points = scoring.requested_to_capacity_ratio.iter().flat_map(|r| &r.shape);
                // Points score 0 to 10 in configuration.
                Strategy::RequestedToCapacityRatio(Shape(points.map(|p| (p.utilization, p.score * 10)).collect()))
            }
            _ => Strategy::LeastAllocated,
        };
        Self {
            ignored: args.ignored_resources.iter().cloned().collect(),
            ignored_groups: args.ignored_resource_groups.iter().cloned().collect(),
            resources: scoring.resources.clone(),
            strategy,
        }
    }

    fn is_ignored(&self, name: &str) -> bool {
        let group = name.split('/').next().unwrap_or_default();
        is_extended_resource(name) && (self.ignored.contains(name) || self.ignored_groups.contains(group))
    }

    /// The shortages, and whether one of them could not be cured even on the empty node.
    fn shortages(&self, pod: &Pod, node: &Node, requested: &Resources, pods: usize) -> (Reasons, bool) {
        let mut reasons = Reasons::new();
        let mut hopeless = false;
        if i64::try_from(pods).unwrap_or(i64::MAX) + 1 > node.allowed_pods {
            reasons.push("Too many pods".into());
        }
        let wants = &pod.requests;
        if wants.is_zero() {
            return (reasons, hopeless);
        }
        let mut check = |name: &str, wanted: i64, text: &dyn Fn() -> std::borrow::Cow<'static, str>| {
            let allocatable = node.allocatable.get(name);
            if wanted > 0 && wanted > allocatable - requested.get(name) {
                reasons.push(text());
                hopeless |= wanted > allocatable;
            }
        };
        check("cpu", wants.milli_cpu, &|| "Insufficient cpu".into());
        check("memory", wants.memory, &|| "Insufficient memory".into());
        check("ephemeral-storage", wants.ephemeral_storage, &|| "Insufficient ephemeral-storage".into());
        for (name, wanted) in &wants.scalar {
            if !self.is_ignored(name) {
                check(name, *wanted, &|| format!("Insufficient {name}").into());
            }
        }
        (reasons, hopeless)
    }
}

impl Plugin for NodeResourcesFit {
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

impl PreFilter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(
        &self,
        _state: &mut CycleState,
        _pod: &Pod,
        _nodes: &Snapshot,
    ) -> Result<PreFilterOutcome, Rejection> {
        Ok(PreFilterOutcome::All)
    }
}

impl Filter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, _state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        let (reasons, hopeless) = self.shortages(pod, &node.node, &node.requested, node.pods.len());
        match (reasons.is_empty(), hopeless) {
            (true, _) => FITS,
            (false, false) => Err(Rejection::Unschedulable(reasons)),
            (false, true) => Err(Rejection::Unresolvable(reasons)),
        }
    }
}

impl PreScore for NodeResourcesFit {
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
        state.insert(Scored(pod_requests(pod, &self.resources, true)));
        Ok(PreScoreOutcome::Score)
    }
}

impl Score for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }
    fn score(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection> {
        let own;
        let requests = match state.get::<Scored>() {
            Some(Scored(requests)) => requests,
            None => {
                own = pod_requests(pod, &self.resources, true);
                &own
            }
        };
        let shares = shares(node, &self.resources, requests, true);
        Ok(match &self.strategy {
            Strategy::LeastAllocated => least_allocated(&shares),
            Strategy::MostAllocated => most_allocated(&shares),
            Strategy::RequestedToCapacityRatio(shape) => shape.score(&shares),
        })
    }
}

impl EnqueueExtensions for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::DELETE.or(ActionType::POD_SCALE_DOWN)),
            ClusterEvent::new(EventResource::Node, ActionType::ADD.or(ActionType::NODE_ALLOCATABLE)),
        ]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        match change {
            Change::Pod { old: Some(deleted), new: None } => deleted.has_place(),
            Change::Pod { old: Some(old), new: Some(new) } => {
                new.uid == pod.uid || (new.is_assigned() && shrank_usefully(pod, &old.requests, &new.requests))
            }
            Change::Node { old, new: Some(new) } => {
                let fits = self.shortages(pod, new, &Resources::default(), 0).0.is_empty();
                fits && old.as_ref().is_none_or(|old| grew_usefully(pod, old, new))
            }
            _ => false,
        }
    }
}

fn wanted(pod: &Pod) -> impl Iterator<Item = &str> {
    let named = [
        ("cpu", pod.requests.milli_cpu),
        ("memory", pod.requests.memory),
        ("ephemeral-storage", pod.requests.ephemeral_storage),
    ];
    let scalar = pod.requests.scalar.iter().map(|(name, amount)| (&**name, *amount));
    named.into_iter().chain(scalar).filter(|(_, amount)| *amount > 0).map(|(name, _)| name)
}

fn shrank_usefully(pod: &Pod, old: &Resources, new: &Resources) -> bool {
    wanted(pod).any(|name| old.get(name) > new.get(name))
}

fn grew_usefully(pod: &Pod, old: &Node, new: &Node) -> bool {
    new.allowed_pods > old.allowed_pods || wanted(pod).any(|name| new.allocatable.get(name) > old.allocatable.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_info, pod};

    fn fit() -> NodeResourcesFit {
        NodeResourcesFit::new(&NodeResourcesFitArgs::default())
    }

    #[test]
    fn says_what_is_missing() {
        let cases = [
            (
                "requests: {cpu: '2'}",
                "a: {allocatable: {cpu: '4'}}",
                vec!["requests: {cpu: '3'}"],
                "Unschedulable: Insufficient cpu",
            ),
            (
                "requests: {cpu: '5'}",
                "a: {allocatable: {cpu: '4'}}",
                vec![],
                "UnschedulableAndUnresolvable: Insufficient cpu",
            ),
            (
                "requests: {cpu: '1', memory: 1Gi}",
                "a: {allocatable: {cpu: '4', memory: 1Gi}}",
                vec!["requests: {memory: 1Mi}"],
                "Unschedulable: Insufficient memory",
            ),
            ("name: p", "a: {allocatable: {pods: '1'}}", vec!["name: q"], "Unschedulable: Too many pods"),
            (
                "requests: {example.com/gpu: '1'}",
                "a: {}",
                vec![],
                "UnschedulableAndUnresolvable: Insufficient example.com/gpu",
            ),
            ("requests: {cpu: '1'}", "a: {allocatable: {cpu: '4'}}", vec!["requests: {cpu: '3'}"], "ok"),
            ("requests: {storage: '1'}", "a: {}", vec![], "ok"),
        ];
        for (p, node, pods, expected) in cases {
            let verdict = fit().filter(&CycleState::default(), &pod(p), &node_info(node, &pods));
            let text = verdict.map_or_else(|r| format!("{}: {}", r.code(), r.message()), |()| "ok".into());
            assert_eq!(text, expected, "{p} on {node}");
        }
    }

    #[test]
    fn init_containers_sidecars_and_overhead_count() {
        let p = pod("initContainers: [{name: i, resources: {requests: {cpu: '3'}}}, \
                     {name: s, restartPolicy: Always, resources: {requests: {cpu: '1'}}}]\n\
                     containers: [{name: c, resources: {requests: {cpu: '1'}}}]\noverhead: {cpu: 100m}");
        assert_eq!(p.requests.milli_cpu, 3100);
        let p = pod(
            "resources: {requests: {cpu: '4'}}\ncontainers: [{name: c, resources: {requests: {cpu: '1', memory: 1Gi}}}]",
        );
        assert_eq!((p.requests.milli_cpu, p.requests.memory), (4000, 1 << 30));
    }

    #[test]
    fn least_allocated_scores_like_upstream() {
        // Two containers of 3000m / 5000 on nodes 4000m/10000 and 6000m/10000: upstream's own example gives 37 and 50.
        let p = pod(
            "containers: [{name: a, resources: {requests: {cpu: 1000m, memory: '2000'}}}, {name: b, resources: {requests: {cpu: 2000m, memory: '3000'}}}]",
        );
        let nodes =
            ["a: {allocatable: {cpu: 4000m, memory: '10000'}}", "b: {allocatable: {cpu: 6000m, memory: '10000'}}"];
        let scores: Vec<_> =
            nodes.iter().map(|n| fit().score(&CycleState::default(), &p, &node_info(n, &[])).unwrap()).collect();
        assert_eq!(scores, [37, 50]);
    }

    #[test]
    fn ratio_strategy_interpolates() {
        let shape = Shape(vec![(0, 0), (50, 50), (100, 100)]);
        let share =
            |requested, allocatable| super::super::scoring::Share { requested, allocated: 0, allocatable, weight: 1 };
        assert_eq!(shape.score(&[share(25, 100)]), 25);
        assert_eq!(shape.score(&[share(200, 100)]), 100);
        assert_eq!(shape.score(&[share(25, 100), share(50, 100)]), 38);
    }
}
