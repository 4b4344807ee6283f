//! Label selectors compiled for matching. Never fails at match time: what cannot be parsed is refused when compiled.
//! upstream: apimachinery/pkg/labels/selector.go, metav1.LabelSelectorAsSelector

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A selector that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The operator is none of In, NotIn, Exists, DoesNotExist (and Gt, Lt for nodes).
    #[error("{0:?} is not a valid label selector operator")]
    Operator(String),
    /// The operator needs another number of values.
    #[error("operator {operator} of key {key:?} does not take {count} value(s)")]
    Values {
        /// The key the requirement is about.
        key: String,
        /// The operator.
        operator: String,
        /// The number of values given.
        count: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equals(Box<str>),
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    test: Test,
}

/// A compiled label selector: matches everything, nothing, or what fulfils all its requirements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelMatcher {
    nothing: bool,
    requirements: Vec<Requirement>,
}

impl LabelMatcher {
    /// The selector that matches no labels (what a missing selector means).
    pub fn nothing() -> Self {
        Self { nothing: true, requirements: Vec::new() }
    }

    /// Compiles an API selector; `None` matches nothing, an empty one everything.
    ///
    /// # Errors
    /// [`SelectorError`] for an unknown operator or a wrong number of values.
    pub fn compile(selector: Option<&LabelSelector>) -> Result<Self, SelectorError> {
        let Some(selector) = selector else { return Ok(Self::nothing()) };
        let mut matcher = Self::default();
        for (key, value) in selector.match_labels.iter().flatten() {
            matcher.require_value(key, value);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            let test = match (expression.operator.as_str(), values.len()) {
                ("In", 1..) => Test::In(values.into_iter().collect()),
                ("NotIn", 1..) => Test::NotIn(values.into_iter().collect()),
                ("Exists", 0) => Test::Exists,
                ("DoesNotExist", 0) => Test::Absent,
                ("In" | "NotIn" | "Exists" | "DoesNotExist", count) => {
                    return Err(SelectorError::Values {
                        key: expression.key.clone(),
                        operator: expression.operator.clone(),
                        count,
                    });
                }
                (other, _) => return Err(SelectorError::Operator(other.to_owned())),
            };
            matcher.requirements.push(Requirement { key: expression.key.as_str().into(), test });
        }
        Ok(matcher)
    }

    /// A selector of exact values, as Services and ReplicationControllers have it; an empty set matches everything.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut matcher = Self::default();
        for (key, value) in labels {
            matcher.require_value(key, value);
        }
        matcher
    }

    /// Adds "label `key` has `value`".
    pub fn require_value(&mut self, key: &str, value: &str) {
        self.requirements.push(Requirement { key: key.into(), test: Test::Equals(value.into()) });
    }

    /// Adds all requirements of `other`; a selector that matches nothing makes this one match nothing.
    pub fn require_all(&mut self, other: &Self) {
        self.nothing |= other.nothing;
        self.requirements.extend(other.requirements.iter().cloned());
    }

    /// True when the selector has no requirement and so matches everything.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// True when the selector can match nothing at all.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Whether the labels fulfil every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        !self.nothing
            && self.requirements.iter().all(|requirement| {
                let value = labels.get(&*requirement.key);
                match &requirement.test {
                    Test::Equals(wanted) => value.is_some_and(|v| **wanted == **v),
                    Test::In(set) => value.is_some_and(|v| set.contains(v)),
                    Test::NotIn(set) => value.is_none_or(|v| !set.contains(v)),
                    Test::Exists => value.is_some(),
                    Test::Absent => value.is_none(),
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(',')
            .filter(|s| !s.is_empty())
            .filter_map(|s| s.split_once('='))
            .map(|(k, v)| (k.into(), v.into()))
            .collect()
    }

    #[test]
    fn matches_like_upstream() {
        let cases = [
            (r#"{}"#, "a=1", true),
            (r#"{"matchLabels":{"a":"1"}}"#, "a=1,b=2", true),
            (r#"{"matchLabels":{"a":"1"}}"#, "a=2", false),
            (r#"{"matchExpressions":[{"key":"a","operator":"In","values":["1","2"]}]}"#, "a=2", true),
            (r#"{"matchExpressions":[{"key":"a","operator":"NotIn","values":["1"]}]}"#, "", true),
            (r#"{"matchExpressions":[{"key":"a","operator":"NotIn","values":["1"]}]}"#, "a=1", false),
            (r#"{"matchExpressions":[{"key":"a","operator":"Exists"}]}"#, "b=1", false),
            (r#"{"matchExpressions":[{"key":"a","operator":"DoesNotExist"}]}"#, "b=1", true),
        ];
        for (selector, given, expected) in cases {
            let parsed: LabelSelector = serde_json::from_str(selector).unwrap();
            let matcher = LabelMatcher::compile(Some(&parsed)).unwrap();
            assert_eq!(matcher.matches(&labels(given)), expected, "{selector} on {given}");
        }
        assert!(!LabelMatcher::compile(None).unwrap().matches(&labels("a=1")));
    }

    #[test]
    fn refuses_bad_requirements() {
        let parsed: LabelSelector =
            serde_json::from_str(r#"{"matchExpressions":[{"key":"a","operator":"Is","values":["1"]}]}"#).unwrap();
        assert_eq!(LabelMatcher::compile(Some(&parsed)), Err(SelectorError::Operator("Is".into())));
        let parsed: LabelSelector =
            serde_json::from_str(r#"{"matchExpressions":[{"key":"a","operator":"In","values":[]}]}"#).unwrap();
        assert!(LabelMatcher::compile(Some(&parsed)).is_err());
    }
}
