//! Whether a node is one of those that a pod requires. Pure.
//!
//! upstream: staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod};

use super::view::PodView;

/// True when the node's labels and name meet the pod's selector and its required affinity.
pub fn matches(pod: &Pod, node: &str, labels: &BTreeMap<String, String>) -> bool {
    let spec = pod.spec();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|one| one.required_during_scheduling_ignored_during_execution.as_ref());
    selected
        && required
            .is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term_holds(term, node, labels)))
}

/// A term without any requirement matches nothing.
fn term_holds(term: &NodeSelectorTerm, node: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let field = |key: &str| (key == "metadata.name").then_some(node);
    expressions.iter().all(|one| holds(one, labels.get(&one.key).map(String::as_str)))
        && fields.iter().all(|one| holds(one, field(&one.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|other| other == value));
    let numbers = || {
        let own: i64 = value?.parse().ok()?;
        let bound: i64 = values.first()?.parse().ok()?;
        Some((own, bound))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(own, bound)| own > bound),
        "Lt" => numbers().is_some_and(|(own, bound)| own < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_alternatives_and_requirements_add_up() {
        let labels = [("disk", "ssd"), ("cores", "8")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        for (terms, want) in [
            (r#"[{"matchExpressions":[{"key":"disk","operator":"In","values":["ssd"]}]}]"#, true),
            (r#"[{"matchExpressions":[{"key":"disk","operator":"NotIn","values":["ssd"]}]}]"#, false),
            (
                r#"[{"matchExpressions":[{"key":"cores","operator":"Gt","values":["4"]},{"key":"gpu","operator":"DoesNotExist"}]}]"#,
                true,
            ),
            (
                r#"[{"matchExpressions":[{"key":"gpu","operator":"Exists"}]},{"matchFields":[{"key":"metadata.name","operator":"In","values":["n"]}]}]"#,
                true,
            ),
            (r#"[{}]"#, false),
        ] {
            let json = format!(
                r#"{{"spec":{{"containers":[],"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":{terms}}}}}}}}}}}"#
            );
            let pod: Pod = serde_json::from_str(&json).expect("valid");
            assert_eq!(matches(&pod, "n", &labels), want, "{terms}");
        }
    }
}
