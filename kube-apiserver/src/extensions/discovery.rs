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
type Groups = BTreeMap<String, BTreeMap<Priority, Vec<Arc<Resource>>>>;

/// A version as Kubernetes orders them: `v10`, `v2`, `v1beta2`, `v1alpha1`, then anything else by name.
/// upstream: apimachinery/pkg/version/helpers.go
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Priority {
    class: u8,
    major: std::cmp::Reverse<u32>,
    minor: std::cmp::Reverse<u32>,
    name: String,
}

impl Priority {
    fn of(name: &str) -> Self {
        let odd = (3, 0, 0);
        let read = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0);
        let parts = name.strip_prefix('v').map_or(odd, |rest| {
            for (class, word) in [(1, "beta"), (2, "alpha")] {
                if let Some((major, minor)) = rest.split_once(word) {
                    return read(major).zip(read(minor)).map_or(odd, |(major, minor)| (class, major, minor));
                }
            }
            read(rest).map_or(odd, |major| (0, major, 0))
        });
        let (class, major, minor) = parts;
        Self { class, major: std::cmp::Reverse(major), minor: std::cmp::Reverse(minor), name: name.to_owned() }
    }
}

fn groups(registry: &Registry) -> Groups {
    let mut groups = Groups::new();
    for store in registry.stores().iter().filter(|s| s.resource.custom.is_some()) {
        for served in &store.resource.served {
            let versions = groups.entry(served.group.to_string()).or_default();
            versions.entry(Priority::of(&served.version)).or_default().push(Arc::clone(&store.resource));
        }
    }
    groups
}

fn entry(group: &str, versions: &BTreeMap<Priority, Vec<Arc<Resource>>>) -> Value {
    let one = |v: &Priority| value!({"groupVersion": format!("{group}/{}", v.name), "version": &v.name});
    let all: Vec<Value> = versions.keys().map(one).collect();
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
    let resources = groups.get(group)?.get(&Priority::of(version))?;
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
        main.set("storageVersionHash", storage_hash(resource));
        entries.push(main);
        for (sub, verbs) in &resource.subresources {
            let mut entry = value!({
                "name": format!("{}/{sub}", resource.plural),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": &*resource.kind,
                "verbs": verbs.to_vec(),
            });
            if &**sub == "scale" {
                entry.set("group", "autoscaling");
                entry.set("version", "v1");
                entry.set("kind", "Scale");
            }
            entries.push(entry);
        }
    }
    Some(value!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{group}/{version}"),
        "resources": Value::List(entries),
    }))
}

/// The first eight bytes of the hash of the storage version's group, version and kind.
fn storage_hash(resource: &Resource) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let text = format!("{}/{}/{}", resource.group, resource.storage.version, resource.kind);
    base64::engine::general_purpose::STANDARD.encode(&Sha256::digest(text)[..8])
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
            versions.iter().map(|(version, resources)| aggregated(&group, &version.name, resources)).collect();
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
                    let scale = value!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
                    let kind = if &**sub == "scale" { scale } else { kind.clone() };
                    value!({"subresource": &**sub, "responseKind": kind, "verbs": verbs.to_vec()})
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
