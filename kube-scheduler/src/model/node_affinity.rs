//! Node selectors and node affinity, compiled. A term that cannot be parsed matches no node.
//! upstream: component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as api;

use super::{labels::Labels, node::Node};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
    /// The requirement could not be parsed: its term never matches.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    test: Test,
}

impl Requirement {
    fn compile(raw: &api::NodeSelectorRequirement) -> Self {
        let values = raw.values.clone().unwrap_or_default();
        let number = || if values.len() == 1 { values[0].parse().ok() } else { None };
        let test = match raw.operator.as_str() {
            "In" if !values.is_empty() => Test::In(values.into_iter().collect()),
            "NotIn" if !values.is_empty() => Test::NotIn(values.into_iter().collect()),
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::Absent,
            "Gt" => number().map_or(Test::Never, Test::Greater),
            "Lt" => number().map_or(Test::Never, Test::Less),
            _ => Test::Never,
        };
        Self { key: raw.key.as_str().into(), test }
    }

    fn matches(&self, value: Option<&String>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match &self.test {
            Test::In(set) => value.is_some_and(|v| set.contains(v)),
            Test::NotIn(set) => value.is_none_or(|v| !set.contains(v)),
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::Greater(bound) => number().is_some_and(|n| n > *bound),
            Test::Less(bound) => number().is_some_and(|n| n < *bound),
            Test::Never => false,
        }
    }
}

/// One term: all its requirements hold. A term without requirements matches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

impl NodeTerm {
    /// Compiles an API term.
    pub fn compile(raw: &api::NodeSelectorTerm) -> Self {
        let all = |list: &Option<Vec<_>>| list.iter().flatten().map(Requirement::compile).collect();
        Self { labels: all(&raw.match_expressions), fields: all(&raw.match_fields) }
    }

    /// Whether the node fulfils the term.
    pub fn matches(&self, node: &Node) -> bool {
        if self.labels.is_empty() && self.fields.is_empty() {
            return false;
        }
        let field = |requirement: &Requirement| match &*requirement.key {
            "metadata.name" => requirement.matches(Some(&node.name)),
            _ => false,
        };
        self.labels.iter().all(|r| r.matches(node.labels.get(&*r.key))) && self.fields.iter().all(field)
    }

    /// The node names the term is restricted to by `metadata.name In (…)`; `None` when it is not restricted.
    pub fn node_names(&self) -> Option<BTreeSet<String>> {
        let mut names: Option<BTreeSet<String>> = None;
        for requirement in &self.fields {
            let Test::In(set) = &requirement.test else { continue };
            if &*requirement.key == "metadata.name" {
                names = Some(names.map_or_else(|| set.clone(), |known| known.intersection(set).cloned().collect()));
            }
        }
        names
    }
}

/// Terms of which one must match. No terms match nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSelector {
    /// The alternatives.
    pub terms: Vec<NodeTerm>,
}

impl NodeSelector {
    /// Compiles an API selector.
    pub fn compile(raw: &api::NodeSelector) -> Self {
        Self { terms: raw.node_selector_terms.iter().map(NodeTerm::compile).collect() }
    }

    /// Whether any term matches the node.
    pub fn matches(&self, node: &Node) -> bool {
        self.terms.iter().any(|term| term.matches(node))
    }
}

/// A preferred term and what a match is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferredTerm {
    /// 1 to 100.
    pub weight: i32,
    /// What to match.
    pub term: NodeTerm,
}

impl PreferredTerm {
    /// Compiles API terms; those of weight 0 and those without requirements are left out, they never score.
    pub fn compile_all(raw: &[api::PreferredSchedulingTerm]) -> Vec<Self> {
        let compiled = raw.iter().map(|t| Self { weight: t.weight, term: NodeTerm::compile(&t.preference) });
        compiled.filter(|t| t.weight != 0 && !(t.term.labels.is_empty() && t.term.fields.is_empty())).collect()
    }

    /// The sum of the weights of the terms that match the node.
    pub fn score(terms: &[Self], node: &Node) -> i64 {
        terms.iter().filter(|t| t.term.matches(node)).map(|t| i64::from(t.weight)).sum()
    }
}

/// A pod's wishes about nodes: `spec.nodeSelector` and `spec.affinity.nodeAffinity`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodNodeAffinity {
    /// `spec.nodeSelector`.
    pub selector: Labels,
    /// The required part of the affinity.
    pub required: Option<NodeSelector>,
    /// The preferred part.
    pub preferred: Vec<PreferredTerm>,
}

impl PodNodeAffinity {
    /// Whether the node fulfils the selector and the required affinity.
    pub fn matches(&self, node: &Node) -> bool {
        self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|required| required.matches(node))
    }
}
