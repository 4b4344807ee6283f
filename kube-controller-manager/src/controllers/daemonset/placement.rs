//! Pure: whether a daemon's pod belongs on a node (upstream: pkg/controller/daemon).

use std::collections::BTreeMap;

use component_base::informer::Object as _;
use component_base::placement::{selects, tolerates};
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint,
    Toleration,
};

/// Taints that no daemon minds.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NETWORK_UNAVAILABLE: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// Adds the tolerations of every daemon.
pub(super) fn tolerate(spec: &mut PodSpec) {
    let network = spec.host_network.unwrap_or(false).then_some(NETWORK_UNAVAILABLE);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let known = tolerations.iter().any(|known| {
            known.key.as_deref() == Some(key)
                && known.effect.as_deref() == Some(effect)
                && known.operator.as_deref() == Some("Exists")
        });
        if !known {
            tolerations.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some(effect.to_owned()),
                ..Toleration::default()
            });
        }
    }
}

/// Ties a pod to a node by its name, for the scheduler to carry out.
pub(super) fn pin(spec: &mut PodSpec, node: &str) {
    let requirement = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let affinity: &mut NodeAffinity =
        spec.affinity.get_or_insert_with(Affinity::default).node_affinity.get_or_insert_default();
    let required =
        affinity.required_during_scheduling_ignored_during_execution.get_or_insert_with(NodeSelector::default);
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![requirement.clone()]);
    }
}

/// The node that a daemon's pod is on or tied to.
pub(super) fn node_of(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.clone().filter(|node| !node.is_empty()) {
        return Some(node);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let mut named = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
    named.find_map(|field| field.values.as_ref()?.first().cloned())
}

/// Whether a pod is to be made on the node, and whether one that is there may stay.
pub(super) fn fits(spec: &PodSpec, node: &Node) -> (bool, bool) {
    let labels = node.metadata.labels.as_ref();
    let selected = selects(spec, node.name(), labels.unwrap_or(&BTreeMap::new()));
    if spec.node_name.as_deref().is_some_and(|name| !name.is_empty() && name != node.name()) || !selected {
        return (false, false);
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let bothering: Vec<&Taint> = taints
        .filter(|taint| {
            taint.effect != "PreferNoSchedule" && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
        })
        .collect();
    (bothering.is_empty(), !bothering.iter().any(|taint| taint.effect == "NoExecute"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::NodeSpec;

    fn node(name: &str, taints: &[(&str, &str)]) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some(name.into());
        node.metadata.labels = Some([("zone".to_owned(), "a".to_owned())].into());
        let taint =
            |(key, effect): &(&str, &str)| Taint { key: (*key).into(), effect: (*effect).into(), ..Taint::default() };
        node.spec = Some(NodeSpec { taints: Some(taints.iter().map(taint).collect()), ..NodeSpec::default() });
        node
    }

    #[test]
    fn nodes() {
        let mut spec = PodSpec::default();
        assert_eq!(fits(&spec, &node("n", &[])), (true, true));
        assert_eq!(fits(&spec, &node("n", &[("x", "NoSchedule")])), (false, true));
        assert_eq!(fits(&spec, &node("n", &[("x", "NoExecute")])), (false, false));
        assert_eq!(fits(&spec, &node("n", &[("x", "PreferNoSchedule")])), (true, true));
        let sick = node(
            "n",
            &[("node.kubernetes.io/not-ready", "NoExecute"), ("node.kubernetes.io/unschedulable", "NoSchedule")],
        );
        assert_eq!(fits(&spec, &sick), (false, false));
        tolerate(&mut spec);
        assert_eq!(fits(&spec, &sick), (true, true));
        spec.node_selector = Some([("zone".to_owned(), "b".to_owned())].into());
        assert_eq!(fits(&spec, &node("n", &[])), (false, false));
    }

    #[test]
    fn a_pinned_pod_knows_its_node() {
        let mut spec = PodSpec::default();
        pin(&mut spec, "n1");
        assert_eq!(fits(&spec, &node("n1", &[])), (true, true));
        assert_eq!(fits(&spec, &node("n2", &[])), (false, false));
        let pod = Pod { spec: Some(spec), ..Pod::default() };
        assert_eq!(node_of(&pod).as_deref(), Some("n1"));
    }
}
