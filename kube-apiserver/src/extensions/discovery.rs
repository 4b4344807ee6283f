//! Discovery entries of custom resources, in the forms of `crate::discovery`.
//!
//! upstream: apiextensions-apiserver/pkg/apiserver/customresource_discovery_controller.go

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::value;
use apimachinery::value::Value;

use crate::registry::{Registry, Resource};

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// Groups of custom resources: group, version, resources.
type Groups = BTreeMap<String, BTreeMap<String, Vec<Arc<Resource>>>>;

fn groups(registry: &Registry) -> Groups {
    let mut groups = Groups::new();
    for store in registry.stores().iter().filter(|s| s.resource.custom.is_some()) {
        for served in &store.resource.served {
            let versions = groups.entry(served.group.to_string()).or_default();
            versions.entry(served.version.to_string()).or_default().push(Arc::clone(&store.resource));
        }
    }
    groups
}

fn entry(group: &str, versions: &BTreeMap<String, Vec<Arc<Resource>>>) -> Value {
    let one = |version: &String| value!({"groupVersion": format!("{group}/{version}"), "version": version});
    let all: Vec<Value> = versions.keys().rev().map(one).collect();
    let preferred = all.first().cloned().unwrap_or_default();
    value!({"name": group, "versions": all, "preferredVersion": preferred})
}

/// Adds the groups to an `APIGroupList`.
pub fn extend_groups(registry: &Registry, list: &mut Value) {
    let entries = list.field_mut("groups").list_mut();
    entries.extend(groups(registry).iter().map(|(group, versions)| entry(group, versions)));
}

/// The `APIGroup` of a group that is not built in.
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    let groups = groups(registry);
    let mut value = entry(name, groups.get(name)?);
    value.set("kind", "APIGroup");
    value.set("apiVersion", "v1");
    Some(value)
}

/// The `APIResourceList` of a group version that is not built in.
pub fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let groups = groups(registry);
    let resources = groups.get(group)?.get(version)?;
    let mut entries = Vec::new();
    for resource in resources {
        let mut main = value!({
            "name": &*resource.plural,
            "singularName": &*resource.singular,
            "namespaced": resource.namespaced,
            "kind": &*resource.kind,
            "verbs": VERBS.to_vec(),
        });
        names(resource, &mut main);
        entries.push(main);
        for (sub, verbs) in &resource.subresources {
            entries.push(value!({
                "name": format!("{}/{sub}", resource.plural),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": &*resource.kind,
                "verbs": verbs.to_vec(),
            }));
        }
    }
    Some(value!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{group}/{version}"),
        "resources": Value::List(entries),
    }))
}

fn names(resource: &Resource, out: &mut Value) {
    let Some(custom) = &resource.custom else { return };
    if !custom.short_names.is_empty() {
        out.set("shortNames", custom.short_names.clone());
    }
    if !custom.categories.is_empty() {
        out.set("categories", custom.categories.clone());
    }
}

/// Adds the groups to an `APIGroupDiscoveryList`.
pub fn extend_aggregated(registry: &Registry, list: &mut Value) {
    let items = list.field_mut("items").list_mut();
    for (group, versions) in groups(registry) {
        let versions: Vec<Value> =
            versions.iter().rev().map(|(version, resources)| aggregated(&group, version, resources)).collect();
        items.push(value!({"metadata": {"name": group}, "versions": versions}));
    }
}

fn aggregated(group: &str, version: &str, resources: &[Arc<Resource>]) -> Value {
    let entries: Vec<Value> = resources
        .iter()
        .map(|resource| {
            let kind = value!({"group": group, "version": version, "kind": &*resource.kind});
            let mut out = value!({
                "resource": &*resource.plural,
                "responseKind": kind.clone(),
                "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": &*resource.singular,
                "verbs": VERBS.to_vec(),
            });
            names(resource, &mut out);
            let subs: Vec<Value> = resource
                .subresources
                .iter()
                .map(|(sub, verbs)| {
                    value!({"subresource": &**sub, "responseKind": kind.clone(), "verbs": verbs.to_vec()})
                })
                .collect();
            if !subs.is_empty() {
                out.set("subresources", subs);
            }
            out
        })
        .collect();
    value!({"version": version, "resources": entries, "freshness": "Current"})
}
