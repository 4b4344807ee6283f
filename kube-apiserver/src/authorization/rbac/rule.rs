//! RBAC policy rules: matching a request, and covering another rule.
//!
//! upstream: pkg/apis/rbac/v1/evaluation_helpers.go and
//! staging/src/k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go

use std::collections::BTreeMap;

use serde::Deserialize;

use apimachinery::quote::quote_slice;

use crate::authorization::attributes::Attributes;

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyRule {
    /// Verbs, `*` for all.
    pub verbs: Vec<String>,
    /// API groups, `*` for all.
    pub api_groups: Vec<String>,
    /// `resource`, `resource/sub`, `*/sub` or `*`.
    pub resources: Vec<String>,
    /// Object names; empty means any.
    pub resource_names: Vec<String>,
    /// Paths, a trailing `*` matches any rest.
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

impl PolicyRule {
    /// True if this rule alone allows the request.
    pub fn allows(&self, a: &Attributes) -> bool {
        if !any_or(&self.verbs, "*", &a.verb) {
            return false;
        }
        if !a.resource_request {
            return self.non_resource_urls.iter().any(|own| url_covers(own, &a.path));
        }
        any_or(&self.api_groups, "*", &a.group)
            && self.resource_matches(a)
            && (self.resource_names.is_empty() || self.resource_names.contains(&a.name))
    }

    fn resource_matches(&self, a: &Attributes) -> bool {
        self.resources.iter().any(|own| {
            if own == "*" {
                return true;
            }
            if a.subresource.is_empty() {
                return *own == a.resource;
            }
            match own.split_once('/') {
                Some((resource, sub)) => sub == a.subresource && (resource == "*" || resource == a.resource),
                None => false,
            }
        })
    }

    /// This rule as many rules of one group, resource, name and verb each.
    fn break_down(&self) -> Vec<Self> {
        let mut out = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let one = Self {
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        verbs: vec![verb.clone()],
                        ..Self::default()
                    };
                    if self.resource_names.is_empty() {
                        out.push(one);
                        continue;
                    }
                    out.extend(
                        self.resource_names
                            .iter()
                            .map(|name| Self { resource_names: vec![name.clone()], ..one.clone() }),
                    );
                }
            }
        }
        for url in &self.non_resource_urls {
            out.extend(self.verbs.iter().map(|verb| Self {
                non_resource_urls: vec![url.clone()],
                verbs: vec![verb.clone()],
                ..Self::default()
            }));
        }
        out
    }

    fn covers(&self, sub: &Self) -> bool {
        let names = self.resource_names.is_empty()
            || (!sub.resource_names.is_empty() && contains_all(&self.resource_names, &sub.resource_names));
        all_or(&self.verbs, "*", &sub.verbs)
            && all_or(&self.api_groups, "*", &sub.api_groups)
            && self.covers_resources(&sub.resources)
            && names
            && sub.non_resource_urls.iter().all(|path| self.non_resource_urls.iter().any(|own| url_covers(own, path)))
    }

    fn covers_resources(&self, others: &[String]) -> bool {
        if all_or(&self.resources, "*", others) {
            return true;
        }
        others.iter().all(|path| {
            self.resources.contains(path)
                || path.split_once('/').is_some_and(|(_, sub)| self.resources.contains(&format!("*/{sub}")))
        })
    }

    /// A rule of one group and one resource and at most one name: the kind that messages merge by verbs.
    fn simple_key(&self) -> Option<(String, String, Option<String>)> {
        let simple = self.resource_names.len() <= 1
            && self.non_resource_urls.is_empty()
            && self.api_groups.len() == 1
            && self.resources.len() == 1;
        simple.then(|| (self.api_groups[0].clone(), self.resources[0].clone(), self.resource_names.first().cloned()))
    }
}

impl std::fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quote_slice(list)))
        .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// The parts of `wanted` that `owned` does not cover, broken down to single permissions.
pub fn uncovered(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    wanted.iter().flat_map(PolicyRule::break_down).filter(|sub| !owned.iter().any(|own| own.covers(sub))).collect()
}

/// Merges rules that differ by their verbs only.
/// upstream: pkg/registry/rbac/validation/policy_compact.go
pub fn compact(rules: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut out = Vec::new();
    let mut simple: BTreeMap<_, PolicyRule> = BTreeMap::new();
    for rule in rules {
        match rule.simple_key() {
            None => out.push(rule.clone()),
            Some(key) => match simple.get_mut(&key) {
                Some(known) => known.verbs.extend(rule.verbs.iter().cloned()),
                None => {
                    simple.insert(key, rule.clone());
                }
            },
        }
    }
    out.extend(simple.into_values());
    out
}

fn any_or(list: &[String], all: &str, wanted: &str) -> bool {
    list.iter().any(|own| own == all || own == wanted)
}

fn all_or(list: &[String], all: &str, wanted: &[String]) -> bool {
    list.iter().any(|own| own == all) || contains_all(list, wanted)
}

fn contains_all(list: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|w| list.contains(w))
}

fn url_covers(own: &str, path: &str) -> bool {
    own == path || own.ends_with('*') && path.starts_with(own.trim_end_matches('*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]) -> PolicyRule {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        PolicyRule {
            verbs: own(verbs),
            api_groups: own(groups),
            resources: own(resources),
            resource_names: own(names),
            non_resource_urls: Vec::new(),
        }
    }

    fn ask(verb: &str, resource: &str, sub: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource_request: true,
            resource: resource.into(),
            subresource: sub.into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn matches_resources_subresources_and_names() {
        let pods = rule(&["get"], &[""], &["pods"], &[]);
        assert!(pods.allows(&ask("get", "pods", "", "x")));
        assert!(!pods.allows(&ask("get", "pods", "log", "x")));
        assert!(!pods.allows(&ask("list", "pods", "", "")));
        assert!(rule(&["*"], &["*"], &["*/log"], &[]).allows(&ask("get", "pods", "log", "x")));
        assert!(rule(&["*"], &["*"], &["*"], &[]).allows(&ask("get", "pods", "log", "x")));
        let named = rule(&["get"], &[""], &["pods"], &["a"]);
        assert!(named.allows(&ask("get", "pods", "", "a")));
        assert!(!named.allows(&ask("get", "pods", "", "b")));
    }

    #[test]
    fn reports_what_is_not_covered_merged_by_verb() {
        let owned = [rule(&["get"], &[""], &["pods"], &[])];
        let wanted = [rule(&["get", "list", "watch"], &[""], &["pods"], &[])];
        let missing = compact(&uncovered(&owned, &wanted));
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].to_string(), r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#);
        assert!(uncovered(&[rule(&["*"], &["*"], &["*"], &[])], &wanted).is_empty());
    }
}
