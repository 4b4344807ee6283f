//! Label selectors of typed objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

type Labels = BTreeMap<String, String>;

/// Whether the selector selects nothing in particular (an empty one, which controllers treat as selecting nothing).
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether the labels satisfy all of the selector.
pub(crate) fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let get = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    let pairs = selector.match_labels.iter().flatten().all(|(key, value)| get(key) == Some(value));
    pairs
        && selector.match_expressions.iter().flatten().all(|requirement| satisfies(requirement, get(&requirement.key)))
}

fn satisfies(requirement: &LabelSelectorRequirement, value: Option<&str>) -> bool {
    let listed = |value: &str| requirement.values.iter().flatten().any(|wanted| wanted == value);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// Whether the labels have all pairs of a plain map (selectors of Services and ReplicationControllers).
pub(crate) fn matches_map(selector: &Labels, labels: Option<&Labels>) -> bool {
    selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let labels: Labels = [("a".to_owned(), "1".to_owned())].into();
        for (key, operator, values, expected) in [
            ("a", "In", vec!["1", "2"], true),
            ("a", "In", vec!["2"], false),
            ("b", "In", vec!["2"], false),
            ("b", "NotIn", vec!["2"], true),
            ("a", "NotIn", vec!["1"], false),
            ("a", "Exists", vec![], true),
            ("b", "DoesNotExist", vec![], true),
            ("a", "DoesNotExist", vec![], false),
        ] {
            let requirement = LabelSelectorRequirement {
                key: key.into(),
                operator: operator.into(),
                values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            };
            let selector = LabelSelector { match_expressions: Some(vec![requirement]), match_labels: None };
            assert_eq!(matches(&selector, Some(&labels)), expected, "{key} {operator} {values:?}");
        }
    }
}
