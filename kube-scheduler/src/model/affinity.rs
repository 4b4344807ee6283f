//! Pod affinity and anti-affinity terms, compiled. upstream: kube-scheduler/framework/types.go (AffinityTerm)

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{
    labels::{LabelMatcher, Labels},
    pod::Pod,
};

static NO_LABELS: Labels = Labels::new();

/// One term: pods it speaks about and the topology that counts as "together".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffinityTerm {
    /// Namespaces by name; the owner's when the term names none and has no namespace selector.
    pub namespaces: BTreeSet<String>,
    /// Namespaces by their labels.
    pub namespace_selector: LabelMatcher,
    /// The pods.
    pub selector: LabelMatcher,
    /// Node label that makes nodes one place.
    pub topology_key: Box<str>,
}

impl AffinityTerm {
    fn compile(namespace: &str, labels: &Labels, raw: &api::PodAffinityTerm) -> Option<Self> {
        let selector = LabelMatcher::compile(merged(raw, labels).as_ref()).ok()?;
        let namespace_selector = LabelMatcher::compile(raw.namespace_selector.as_ref()).ok()?;
        let mut namespaces: BTreeSet<String> = raw.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && raw.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        Some(Self { namespaces, namespace_selector, selector, topology_key: raw.topology_key.as_str().into() })
    }

    /// Whether the term speaks about the pod; `namespace_labels` are those of the pod's namespace.
    pub fn matches(&self, pod: &Pod, namespace_labels: Option<&Labels>) -> bool {
        let in_namespace = self.namespaces.contains(pod.namespace())
            || self.namespace_selector.matches(namespace_labels.unwrap_or(&NO_LABELS));
        in_namespace && self.selector.matches(pod.labels())
    }
}

/// `matchLabelKeys` and `mismatchLabelKeys` are merged by the API server; done again for objects stored before that.
fn merged(raw: &api::PodAffinityTerm, labels: &Labels) -> Option<LabelSelector> {
    let mut selector = raw.label_selector.clone()?;
    let mut add = |keys: &Option<Vec<String>>, operator: &str| {
        for key in keys.iter().flatten() {
            let Some(value) = labels.get(key) else { continue };
            let list = selector.match_expressions.get_or_insert_default();
            let present = list.iter().any(|r| r.key == *key && r.operator == operator);
            if !present {
                let values = Some(vec![value.clone()]);
                list.push(LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values });
            }
        }
    };
    add(&raw.match_label_keys, "In");
    add(&raw.mismatch_label_keys, "NotIn");
    Some(selector)
}

/// A preferred term and its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedTerm {
    /// 1 to 100.
    pub weight: i32,
    /// The term.
    pub term: AffinityTerm,
}

/// All terms of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AffinityTerms {
    /// Must be near such pods.
    pub required: Vec<AffinityTerm>,
    /// Must be away from such pods.
    pub required_anti: Vec<AffinityTerm>,
    /// Prefers to be near.
    pub preferred: Vec<WeightedTerm>,
    /// Prefers to be away.
    pub preferred_anti: Vec<WeightedTerm>,
}

impl AffinityTerms {
    /// Compiles the pod (anti-)affinity of a pod; `None` when it has none. Terms that do not parse are left out.
    pub(super) fn compile(namespace: &str, labels: &Labels, affinity: &api::Affinity) -> Option<Box<Self>> {
        let one = |raw: &api::PodAffinityTerm| AffinityTerm::compile(namespace, labels, raw);
        let weighted = |raw: &api::WeightedPodAffinityTerm| {
            Some(WeightedTerm { weight: raw.weight, term: one(&raw.pod_affinity_term)? })
        };
        let mut terms = Self::default();
        if let Some(near) = &affinity.pod_affinity {
            terms.required =
                near.required_during_scheduling_ignored_during_execution.iter().flatten().filter_map(one).collect();
            terms.preferred = near
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .filter_map(weighted)
                .collect();
        }
        if let Some(away) = &affinity.pod_anti_affinity {
            terms.required_anti =
                away.required_during_scheduling_ignored_during_execution.iter().flatten().filter_map(one).collect();
            terms.preferred_anti = away
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .filter_map(weighted)
                .collect();
        }
        let empty = terms.required.is_empty()
            && terms.required_anti.is_empty()
            && terms.preferred.is_empty()
            && terms.preferred_anti.is_empty();
        (!empty).then(|| Box::new(terms))
    }
}
