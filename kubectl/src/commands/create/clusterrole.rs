//! `kubectl create role` and `clusterrole`.

use std::collections::BTreeMap;

use apimachinery::value::Value;

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// `clusterrole`.
pub static CLUSTER_ROLE: Command = Command {
    name: "clusterrole",
    args: "NAME --verb=verb --resource=resource.group [--resource-name=resourcename] [--dry-run=server|client|none]",
    short: "Create a cluster role",
    example: "# A cluster role that may read pods\nkubectl create clusterrole pod-reader --verb=get,list,watch --resource=pods\n\n# A cluster role for a path\nkubectl create clusterrole logs --verb=get --non-resource-url=/logs/*",
    flags: |flags| {
        rule_flags(flags);
        flags.slice("non-resource-url", "", "", "A partial url that user should have access to.");
        flags.slice("aggregation-rule", "", "", "An aggregation label selector for combining ClusterRoles.");
    },
    run: Some(|inv| Box::pin(cluster_role(inv))),
    ..Command::EMPTY
};

/// `role`.
pub static ROLE: Command = Command {
    name: "role",
    args: "NAME --verb=verb --resource=resource.group/subresource [--resource-name=resourcename] [--dry-run=server|client|none]",
    short: "Create a role with single rule",
    example: "# A role that may read pods\nkubectl create role pod-reader --verb=get --verb=list --verb=watch --resource=pods",
    flags: rule_flags,
    run: Some(|inv| Box::pin(role(inv))),
    ..Command::EMPTY
};

fn rule_flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.slice("verb", "", "", "Verb that applies to the resources contained in the rule");
    flags.slice("resource", "", "", "Resource that the rule applies to");
    flags.array(
        "resource-name",
        "",
        "Resource in the white list that the rule applies to, repeat this flag for multiple items",
    );
}

const VERBS: &[&str] = &[
    "*",
    "get",
    "delete",
    "list",
    "create",
    "update",
    "patch",
    "watch",
    "proxy",
    "deletecollection",
    "use",
    "bind",
    "approve",
    "sign",
    "escalate",
    "impersonate",
];
const NON_RESOURCE_VERBS: &[&str] = &["*", "get", "post", "put", "delete", "patch", "head", "options"];

/// Verbs that only some resources know.
const SPECIAL: &[(&str, &[(&str, &str)])] = &[
    ("use", &[("podsecuritypolicies", "policy"), ("podsecuritypolicies", "extensions")]),
    ("bind", &[("roles", "rbac.authorization.k8s.io"), ("clusterroles", "rbac.authorization.k8s.io")]),
    ("escalate", &[("roles", "rbac.authorization.k8s.io"), ("clusterroles", "rbac.authorization.k8s.io")]),
    ("impersonate", &[("users", ""), ("serviceaccounts", ""), ("groups", ""), ("userextras", "authentication.k8s.io")]),
    ("approve", &[("signers", "certificates.k8s.io")]),
    ("sign", &[("signers", "certificates.k8s.io")]),
];

struct Rule {
    verbs: Vec<String>,
    /// Resource, group, subresource.
    resources: Vec<(String, String, String)>,
    names: Vec<String>,
}

fn unique(list: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for item in list {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

fn rule(inv: &Invocation) -> Rule {
    let mut verbs = unique(inv.flags.list("verb"));
    if verbs.iter().any(|v| v == "*") {
        verbs = vec!["*".to_owned()];
    }
    let mut resources = Vec::new();
    for text in inv.flags.list("resource") {
        let (main, sub) = text.split_once('/').unwrap_or((&text, ""));
        let (resource, group) = main.split_once('.').unwrap_or((main, ""));
        let entry = (resource.to_owned(), group.to_owned(), sub.to_owned());
        if text == "*" {
            resources = vec![entry];
            break;
        }
        resources.push(entry);
    }
    Rule { verbs, resources, names: unique(inv.flags.list("resource-name")) }
}

impl Rule {
    /// Checks the rule and replaces resources by what the server calls them.
    async fn resolve(&mut self, inv: &Invocation) -> anyhow::Result<()> {
        for verb in self.verbs.iter().filter(|v| !VERBS.contains(&v.as_str())) {
            inv.ctx.err(&format!("Warning: '{verb}' is not a standard resource verb\n"));
        }
        for (resource, group, _) in &mut self.resources {
            anyhow::ensure!(!resource.is_empty(), "resource must be specified if apiGroup/subresource specified");
            if resource == "*" {
                return Ok(());
            }
            let word = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
            let mapper = inv.ctx.mapper_within(2).await?;
            let mut missing = match mapper.resource(&word) {
                Ok(mapping) => {
                    resource.clone_from(&mapping.resource);
                    group.clone_from(&mapping.group);
                    false
                }
                Err(_) => true,
            };
            for verb in &self.verbs {
                let Some((_, known)) = SPECIAL.iter().find(|(v, _)| v == verb) else {
                    continue;
                };
                anyhow::ensure!(
                    known.contains(&(resource.as_str(), group.as_str())),
                    "can not perform '{verb}' on '{resource}' in group '{group}'"
                );
                missing = false;
            }
            if missing {
                return Err(crate::failure::Failure::NoResource {
                    resource: resource.clone(),
                    group: group.clone(),
                    version: String::new(),
                }
                .into());
            }
        }
        Ok(())
    }

    fn policy_rules(&self) -> Vec<Value> {
        let mut by_group: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (resource, group, sub) in &self.resources {
            let full = if sub.is_empty() { resource.clone() } else { format!("{resource}/{sub}") };
            let list = by_group.entry(group).or_default();
            if !list.contains(&full) {
                list.push(full);
            }
        }
        let mut rules = Vec::new();
        for (group, resources) in by_group {
            let mut rule = Value::from([
                ("apiGroups", Value::from(vec![group])),
                ("resources", Value::from(resources)),
                ("verbs", Value::from(self.verbs.clone())),
            ]);
            if !self.names.is_empty() {
                rule.set("resourceNames", self.names.clone());
            }
            rules.push(rule);
        }
        rules
    }
}

async fn role(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let mut rule = rule(&inv);
    anyhow::ensure!(!rule.verbs.is_empty(), "at least one verb must be specified");
    anyhow::ensure!(!rule.resources.is_empty(), "at least one resource must be specified");
    rule.resolve(&inv).await?;
    let mut role = object(&inv, "rbac.authorization.k8s.io/v1", "Role", &name)?;
    role.set("rules", Value::List(rule.policy_rules()));
    finish(&inv, role, "").await
}

async fn cluster_role(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let mut rule = rule(&inv);
    let urls = unique(inv.flags.list("non-resource-url"));
    let aggregation = inv.flags.list("aggregation-rule");
    let mut role = object(&inv, "rbac.authorization.k8s.io/v1", "ClusterRole", &name)?;
    if !aggregation.is_empty() {
        anyhow::ensure!(
            urls.is_empty() && rule.verbs.is_empty() && rule.resources.is_empty() && rule.names.is_empty(),
            "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames"
        );
        let mut labels = Value::map();
        for pair in &aggregation {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                anyhow::anyhow!(
                    "invalid argument \"{pair}\" for \"--aggregation-rule\" flag: {pair} must be formatted as key=value"
                )
            })?;
            labels.set(key, value);
        }
        let selector = Value::from([("matchLabels", labels)]);
        role.set_path(&["aggregationRule", "clusterRoleSelectors"], Value::List(vec![selector]));
        return finish(&inv, role, "").await;
    }
    anyhow::ensure!(!rule.verbs.is_empty(), "at least one verb must be specified");
    anyhow::ensure!(
        !rule.resources.is_empty() || !urls.is_empty(),
        "one of resource or nonResourceURL must be specified"
    );
    if !rule.resources.is_empty() {
        rule.resolve(&inv).await?;
    }
    let mut rules = rule.policy_rules();
    if !urls.is_empty() {
        check_urls(&rule.verbs, &urls)?;
        rules.push(Value::from([("nonResourceURLs", Value::from(urls)), ("verbs", Value::from(rule.verbs.clone()))]));
    }
    role.set("rules", Value::List(rules));
    finish(&inv, role, "").await
}

fn check_urls(verbs: &[String], urls: &[String]) -> anyhow::Result<()> {
    for verb in verbs {
        anyhow::ensure!(NON_RESOURCE_VERBS.contains(&verb.as_str()), "invalid verb: '{verb}' for nonResourceURL");
    }
    for url in urls.iter().filter(|u| *u != "*") {
        anyhow::ensure!(url.starts_with('/'), "nonResourceURL should start with /");
        anyhow::ensure!(
            !url[..url.len() - 1].contains('*'),
            "nonResourceURL only supports wildcard matches when '*' is at the end"
        );
    }
    Ok(())
}
