//! Arguments of plugins. upstream: kube-scheduler/config/v1/types_pluginargs.go, pkg/scheduler/apis/config/validation

use k8s_openapi::api::core::v1 as api;
use serde::Deserialize;

use crate::model::{LabelMatcher, SpreadConstraint, Unsatisfiable};

/// Arguments of every plugin that takes some, at their defaults unless configured.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is named as its plugin")]
pub struct PluginArgs {
    pub preemption: DefaultPreemptionArgs,
    pub inter_pod_affinity: InterPodAffinityArgs,
    pub fit: NodeResourcesFitArgs,
    pub balanced: BalancedAllocationArgs,
    pub spread: PodTopologySpreadArgs,
    pub node_affinity: NodeAffinityArgs,
    pub volume_binding: VolumeBindingArgs,
}

impl PluginArgs {
    /// Takes the arguments of one plugin.
    ///
    /// # Errors
    /// A text naming the field that is unknown or wrong.
    pub fn set(&mut self, plugin: &str, args: &serde_json::Value) -> Result<(), String> {
        let mut args = args.clone();
        if let Some(object) = args.as_object_mut() {
            object.remove("apiVersion");
            let kind = object.remove("kind");
            let expected = format!("{plugin}Args");
            if kind.as_ref().is_some_and(|k| k.as_str() != Some(&expected)) {
                return Err(format!("want args to be of type {expected}"));
            }
        }
        if args.is_null() {
            return Ok(());
        }
        fn read<T: for<'de> Deserialize<'de>>(slot: &mut T, args: serde_json::Value) -> Result<(), String> {
            *slot = serde_json::from_value(args).map_err(|e| e.to_string())?;
            Ok(())
        }
        match plugin {
            "DefaultPreemption" => read(&mut self.preemption, args)?,
            "InterPodAffinity" => read(&mut self.inter_pod_affinity, args)?,
            "NodeResourcesFit" => read(&mut self.fit, args)?,
            "NodeResourcesBalancedAllocation" => read(&mut self.balanced, args)?,
            "PodTopologySpread" => read(&mut self.spread, args)?,
            "NodeAffinity" => read(&mut self.node_affinity, args)?,
            "VolumeBinding" => read(&mut self.volume_binding, args)?,
            other => return Err(format!("plugin {other:?} takes no arguments")),
        }
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |bad: bool, text: String| {
            if bad {
                problems.push(text);
            }
        };
        let (share, number) =
            (self.preemption.min_candidate_nodes_percentage, self.preemption.min_candidate_nodes_absolute);
        check(
            !(0..=100).contains(&share),
            format!("minCandidateNodesPercentage: Invalid value: {share}: not in valid range [0, 100]"),
        );
        check(number < 0, format!("minCandidateNodesAbsolute: Invalid value: {number}: not in valid range [0, inf)"));
        check(
            share == 0 && number == 0,
            "minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute".into(),
        );
        let weight = self.inter_pod_affinity.hard_pod_affinity_weight;
        check(
            !(0..=100).contains(&weight),
            format!("hardPodAffinityWeight: Invalid value: {weight}: not in valid range [0, 100]"),
        );
        let scoring = &self.fit.scoring_strategy;
        for spec in scoring.resources.iter().chain(&self.balanced.resources) {
            check(
                !(1..=100).contains(&spec.weight),
                format!("resource weight of {} not in valid range (0, 100]", spec.name),
            );
        }
        check(self.balanced.resources.iter().any(|r| r.weight != 1), "resources: weight: must be 1".into());
        if scoring.type_ == ScoringStrategyType::RequestedToCapacityRatio {
            let shape = scoring.requested_to_capacity_ratio.as_ref().map_or(&[][..], |r| &r.shape);
            check(
                shape.is_empty(),
                "scoringStrategy.requestedToCapacityRatio.shape: Required value: at least one point must be specified"
                    .into(),
            );
            let ascending = shape.windows(2).all(|pair| pair[0].utilization < pair[1].utilization);
            check(!ascending, "shape: utilization values must be sorted in increasing order".into());
            let ranges = shape.iter().all(|p| (0..=100).contains(&p.utilization) && (0..=10).contains(&p.score));
            check(!ranges, "shape: utilization not in valid range [0-100] or score not in valid range [0-10]".into());
        }
        let defaults = self.spread.default_constraints.as_deref().unwrap_or_default();
        let system = self.spread.system_defaults();
        check(
            system && !defaults.is_empty(),
            "defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty".into(),
        );
        check(defaults.iter().any(|c| c.label_selector.is_some()), "defaultConstraints.labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod".into());
        problems
    }
}

/// Arguments of DefaultPreemption.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DefaultPreemptionArgs {
    /// Stop the search after this share of the nodes.
    pub min_candidate_nodes_percentage: i32,
    /// But not before so many.
    pub min_candidate_nodes_absolute: i32,
}
impl Default for DefaultPreemptionArgs {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// Arguments of InterPodAffinity.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct InterPodAffinityArgs {
    /// What a required term of an existing pod is worth to a pod that it matches.
    pub hard_pod_affinity_weight: i32,
    /// Do not look at existing pods' wishes when the new pod has none.
    pub ignore_preferred_terms_of_existing_pods: bool,
}
impl Default for InterPodAffinityArgs {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

/// A resource to score and its weight.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ResourceSpec {
    /// Its name.
    pub name: String,
    /// 1 to 100.
    #[serde(default = "one")]
    pub weight: i64,
}
fn one() -> i64 {
    1
}
fn cpu_and_memory() -> Vec<ResourceSpec> {
    ["cpu", "memory"].map(|name| ResourceSpec { name: name.into(), weight: 1 }).into()
}

/// How NodeResourcesFit scores.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "upstream's names")]
pub enum ScoringStrategyType {
    #[default]
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

/// A point of the ratio function.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapePoint {
    /// 0 to 100.
    pub utilization: i64,
    /// 0 to 10.
    pub score: i64,
}

/// The ratio function.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RatioParam {
    /// Points in order of utilization.
    pub shape: Vec<ShapePoint>,
}

/// How NodeResourcesFit scores, and what.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ScoringStrategy {
    /// The strategy.
    #[serde(rename = "type")]
    pub type_: ScoringStrategyType,
    /// The resources.
    pub resources: Vec<ResourceSpec>,
    /// The function of RequestedToCapacityRatio.
    pub requested_to_capacity_ratio: Option<RatioParam>,
}
impl Default for ScoringStrategy {
    fn default() -> Self {
        Self { type_: ScoringStrategyType::default(), resources: cpu_and_memory(), requested_to_capacity_ratio: None }
    }
}

/// Arguments of NodeResourcesFit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeResourcesFitArgs {
    /// Extended resources that somebody else looks after.
    pub ignored_resources: Vec<String>,
    /// Likewise, by the part before the slash.
    pub ignored_resource_groups: Vec<String>,
    /// Scoring.
    pub scoring_strategy: ScoringStrategy,
}

/// Arguments of NodeResourcesBalancedAllocation.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalancedAllocationArgs {
    /// The resources.
    pub resources: Vec<ResourceSpec>,
}
impl Default for BalancedAllocationArgs {
    fn default() -> Self {
        Self { resources: cpu_and_memory() }
    }
}

/// Arguments of PodTopologySpread.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodTopologySpreadArgs {
    /// Constraints of pods that have none.
    pub default_constraints: Option<Vec<api::TopologySpreadConstraint>>,
    /// `System` (built-in constraints) or `List`.
    pub defaulting_type: Option<String>,
}

impl PodTopologySpreadArgs {
    /// Whether the built-in constraints apply.
    pub fn system_defaults(&self) -> bool {
        self.defaulting_type.as_deref().is_none_or(|t| t.is_empty() || t == "System")
    }

    /// The configured constraints; their selectors come from each pod.
    pub fn constraints(&self) -> Vec<SpreadConstraint> {
        let compile = |c: &api::TopologySpreadConstraint| SpreadConstraint {
            max_skew: c.max_skew,
            topology_key: c.topology_key.as_str().into(),
            unsatisfiable: match c.when_unsatisfiable.as_str() {
                "ScheduleAnyway" => Unsatisfiable::ScheduleAnyway,
                _ => Unsatisfiable::DoNotSchedule,
            },
            selector: LabelMatcher::nothing(),
            min_domains: c.min_domains.unwrap_or(1),
            honor_affinity: c.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: c.node_taints_policy.as_deref() == Some("Honor"),
        };
        self.default_constraints.iter().flatten().map(compile).collect()
    }
}

/// Arguments of NodeAffinity.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeAffinityArgs {
    /// Affinity added to every pod.
    pub added_affinity: Option<api::NodeAffinity>,
}

/// Arguments of VolumeBinding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct VolumeBindingArgs {
    /// How long to wait for volumes to be bound.
    pub bind_timeout_seconds: i64,
    /// Accepted; scoring by capacity is off, as upstream with its gate off.
    pub shape: Vec<ShapePoint>,
}
impl Default for VolumeBindingArgs {
    fn default() -> Self {
        Self { bind_timeout_seconds: 600, shape: Vec::new() }
    }
}
