//! Arguments of plugins. upstream: kube-scheduler/config/v1/types_pluginargs.go, pkg/scheduler/apis/config/validation

use apimachinery::field::{Errors, Path};
use component_base::config::DecodeError;
use k8s_openapi::api::core::v1 as api;
use serde::Deserialize;
use serde::de::DeserializeOwned;

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
    /// Takes the arguments of one plugin; the unknown fields in them. Plugins without arguments take anything.
    ///
    /// # Errors
    /// A field of a wrong type.
    pub fn set(&mut self, plugin: &str, args: &serde_json::Value) -> Result<Vec<String>, DecodeError> {
        let mut args = args.clone();
        if let Some(object) = args.as_object_mut() {
            object.remove("apiVersion");
            object.remove("kind");
        }
        if args.is_null() {
            return Ok(Vec::new());
        }
        fn read<T: DeserializeOwned>(slot: &mut T, args: &serde_json::Value) -> Result<Vec<String>, DecodeError> {
            let (value, unknown) = component_base::config::decode(args)?;
            *slot = value;
            Ok(unknown)
        }
        match plugin {
            "DefaultPreemption" => read(&mut self.preemption, &args),
            "InterPodAffinity" => read(&mut self.inter_pod_affinity, &args),
            "NodeResourcesFit" => read(&mut self.fit, &args),
            "NodeResourcesBalancedAllocation" => read(&mut self.balanced, &args),
            "PodTopologySpread" => read(&mut self.spread, &args),
            "NodeAffinity" => read(&mut self.node_affinity, &args),
            "VolumeBinding" => read(&mut self.volume_binding, &args),
            _ => Ok(Vec::new()),
        }
    }

    /// What is wrong with the arguments of one plugin.
    pub fn problems(&self, plugin: &str, path: &Path) -> Errors {
        let mut errors = Errors::new();
        match plugin {
            "DefaultPreemption" => self.preemption.check(path, &mut errors),
            "InterPodAffinity" => {
                let weight = self.inter_pod_affinity.hard_pod_affinity_weight;
                if !(0..=100).contains(&weight) {
                    let path = path.child("hardPodAffinityWeight");
                    errors.invalid(path, i64::from(weight), "not in valid range [0, 100]");
                }
            }
            "NodeResourcesFit" => self.fit.scoring_strategy.check(&path.child("scoringStrategy"), &mut errors),
            "NodeResourcesBalancedAllocation" => {
                for (index, spec) in self.balanced.resources.iter().enumerate() {
                    let path = path.child("resources").index(index);
                    if self.balanced.resources[..index].iter().any(|earlier| earlier.name == spec.name) {
                        errors.duplicate(path.child("name"), spec.name.as_str());
                    }
                    if spec.weight != 1 {
                        errors.invalid(path.child("weight"), spec.weight, "must be 1");
                    }
                }
            }
            "PodTopologySpread" => self.spread.check(path, &mut errors),
            "VolumeBinding" => {
                let seconds = self.volume_binding.bind_timeout_seconds;
                if seconds < 0 {
                    let detail = "invalid BindTimeoutSeconds, should not be a negative value";
                    errors.invalid(path.child("bindTimeoutSeconds"), seconds, detail);
                }
            }
            _ => {}
        }
        errors
    }
}

impl DefaultPreemptionArgs {
    fn check(&self, path: &Path, errors: &mut Errors) {
        let (share, number) =
            (i64::from(self.min_candidate_nodes_percentage), i64::from(self.min_candidate_nodes_absolute));
        let [percentage, absolute] =
            ["minCandidateNodesPercentage", "minCandidateNodesAbsolute"].map(|n| path.child(n));
        if !(0..=100).contains(&share) {
            errors.invalid(&percentage, share, "not in valid range [0, 100]");
        }
        if number < 0 {
            errors.invalid(&absolute, number, "not in valid range [0, inf)");
        }
        if share == 0 && number == 0 {
            errors.invalid(&percentage, share, "cannot be zero at the same time as minCandidateNodesAbsolute");
            errors.invalid(&absolute, number, "cannot be zero at the same time as minCandidateNodesPercentage");
        }
    }
}

impl ScoringStrategy {
    fn check(&self, path: &Path, errors: &mut Errors) {
        let types = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
        if !types.contains(&self.type_.as_str()) {
            errors.not_supported(path.child("type"), self.type_.as_str(), types);
        }
        for (index, spec) in self.resources.iter().enumerate().filter(|(_, spec)| !(1..=100).contains(&spec.weight)) {
            let detail = format!("resource weight of {} not in valid range (0, 100]", spec.name);
            errors.invalid(path.child("resources").index(index).child("weight"), spec.weight, detail);
        }
        let ratio = path.child("requestedToCapacityRatio");
        match (&self.requested_to_capacity_ratio, self.type_ == "RequestedToCapacityRatio") {
            (None, true) => errors.required(ratio, "must be specified when type is RequestedToCapacityRatio"),
            (Some(_), false) => errors.forbidden(ratio, "must be nil when type is not RequestedToCapacityRatio"),
            (Some(given), true) => check_shape(&given.shape, &ratio.child("shape"), errors),
            (None, false) => {}
        }
    }
}

fn check_shape(shape: &[ShapePoint], path: &Path, errors: &mut Errors) {
    if shape.is_empty() {
        return errors.required(path, "at least one point must be specified");
    }
    if let Some(at) = shape.windows(2).position(|pair| pair[0].utilization >= pair[1].utilization) {
        let path = path.index(at + 1).child("utilization");
        errors.invalid(path, shape[at + 1].utilization, "values must be sorted in increasing order");
    }
    for (index, point) in shape.iter().enumerate() {
        if !(0..=100).contains(&point.utilization) {
            let path = path.index(index).child("utilization");
            errors.invalid(path, point.utilization, "not in valid range [0, 100]");
        }
        if !(0..=10).contains(&point.score) {
            errors.invalid(path.index(index).child("score"), point.score, "not in valid range [0, 10]");
        }
    }
}

impl PodTopologySpreadArgs {
    fn check(&self, path: &Path, errors: &mut Errors) {
        let constraints = self.default_constraints.as_deref().unwrap_or_default();
        let kind = self.defaulting_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("System");
        let kinds = ["System", "List"];
        if !kinds.contains(&kind) {
            errors.not_supported(path.child("defaultingType"), kind, kinds);
        } else if kind == "System" && !constraints.is_empty() {
            errors.invalid(path.child("defaultingType"), kind, "when .defaultConstraints are not empty");
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        for (index, constraint) in constraints.iter().enumerate() {
            let list = path.child("defaultConstraints");
            let path = list.index(index);
            if constraint.max_skew <= 0 {
                errors.invalid(path.child("maxSkew"), i64::from(constraint.max_skew), "not in valid range (0, inf)");
            }
            let key = constraint.topology_key.as_str();
            if key.is_empty() {
                errors.required(path.child("topologyKey"), "can not be empty");
            }
            let action = constraint.when_unsatisfiable.as_str();
            if action.is_empty() {
                errors.required(path.child("whenUnsatisfiable"), "can not be empty");
            } else if !actions.contains(&action) {
                errors.not_supported(path.child("whenUnsatisfiable"), action, actions);
            }
            if constraint.label_selector.is_some() {
                let detail = "constraint must not define a selector, as they deduced for each pod";
                errors.forbidden(path.child("labelSelector"), detail);
            }
            let repeats = |earlier: &api::TopologySpreadConstraint| {
                earlier.topology_key == key && earlier.when_unsatisfiable == action
            };
            if constraints[..index].iter().any(repeats) {
                errors.duplicate(list.index(index), format!("{{{key}, {action}}}"));
            }
        }
    }
}

/// Arguments of DefaultPreemption.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
#[serde(rename_all = "camelCase", default)]
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

/// A point of the ratio function.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ShapePoint {
    /// 0 to 100.
    pub utilization: i64,
    /// 0 to 10.
    pub score: i64,
}

/// The ratio function.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RatioParam {
    /// Points in order of utilization.
    pub shape: Vec<ShapePoint>,
}

/// How NodeResourcesFit scores, and what.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScoringStrategy {
    /// The strategy.
    #[serde(rename = "type")]
    pub type_: String,
    /// The resources.
    pub resources: Vec<ResourceSpec>,
    /// The function of RequestedToCapacityRatio.
    pub requested_to_capacity_ratio: Option<RatioParam>,
}
impl Default for ScoringStrategy {
    fn default() -> Self {
        Self { type_: "LeastAllocated".to_owned(), resources: cpu_and_memory(), requested_to_capacity_ratio: None }
    }
}

/// Arguments of NodeResourcesFit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
#[serde(default)]
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
#[serde(rename_all = "camelCase", default)]
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
#[serde(rename_all = "camelCase", default)]
pub struct NodeAffinityArgs {
    /// Affinity added to every pod.
    pub added_affinity: Option<api::NodeAffinity>,
}

/// Arguments of VolumeBinding.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
