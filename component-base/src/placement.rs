//! Whether a pod may be on a node: required node affinity, and taints. Pure; the scheduler has its own, compiled form of both.
//!
//! upstream: staging/src/k8s.io/component-helpers/scheduling/corev1

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration};

/// True when the node's name and labels meet the pod's selector and its required affinity.
pub fn selects(spec: &PodSpec, node: &str, labels: &BTreeMap<String, String>) -> bool {
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
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|one| holds(one, labels.get(&one.key).map(String::as_str)))
        && fields.iter().all(|one| one.key == "metadata.name" && holds(one, Some(node)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|other| other == value));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
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

/// True when the toleration covers the taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
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
                r#"{{"containers":[],"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":{terms}}}}}}}}}"#
            );
            let spec: PodSpec = serde_json::from_str(&json).expect("valid");
            assert_eq!(selects(&spec, "n", &labels), want, "{terms}");
        }
    }

    #[test]
    fn a_toleration_covers_what_it_does_not_leave_out() {
        let taint = Taint {
            key: "k".to_owned(),
            value: Some("v".to_owned()),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        for (toleration, want) in [
            (r#"{"operator":"Exists"}"#, true),
            (r#"{"key":"k","operator":"Exists"}"#, true),
            (r#"{"key":"k","value":"v"}"#, true),
            (r#"{"key":"k","operator":"Equal","value":"w"}"#, false),
            (r#"{"key":"other","operator":"Exists"}"#, false),
            (r#"{"key":"k","operator":"Exists","effect":"NoExecute"}"#, false),
            (r#"{"key":"k","operator":"Near","value":"v"}"#, false),
        ] {
            let parsed: Toleration = serde_json::from_str(toleration).expect("valid");
            assert_eq!(tolerates(&parsed, &taint), want, "{toleration}");
        }
    }
}
