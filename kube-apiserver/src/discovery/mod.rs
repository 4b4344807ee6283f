//! Discovery documents, legacy and aggregated, made of the resource table.
//!
//! Makes values only; encoding and negotiation are the caller's.
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/discovery

pub mod enabled;

use apimachinery::resources::{GroupInfo, ResourceInfo, SubresourceInfo};
use apimachinery::value::{Map, Value};

pub use enabled::Enabled;

/// `/api`: versions of the core group. `host` is the server's address as the client sees it.
pub fn core_versions(host: &str) -> Value {
    let address = object([("clientCIDR", "0.0.0.0/0".into()), ("serverAddress", host.into())]);
    object([
        ("kind", "APIVersions".into()),
        ("versions", vec!["v1"].into()),
        ("serverAddressByClientCIDRs", Value::List(vec![address])),
    ])
}

/// `/apis`: all groups but the core one; `extra` are groups of custom resources and aggregated servers.
pub fn group_list(enabled: &Enabled) -> Value {
    let groups = enabled.groups().filter(|g| !g.name.is_empty()).map(|g| group_entry(g, enabled)).collect();
    object([("kind", "APIGroupList".into()), ("apiVersion", "v1".into()), ("groups", Value::List(groups))])
}

/// `/apis/GROUP`.
pub fn group(name: &str, enabled: &Enabled) -> Option<Value> {
    let info = enabled.groups().find(|g| g.name == name && !name.is_empty())?;
    let mut value = group_entry(info, enabled);
    value.set("kind", "APIGroup");
    value.set("apiVersion", "v1");
    Some(value)
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resource_list(group: &str, version: &str, enabled: &Enabled) -> Option<Value> {
    if !enabled.has_version(group, version) {
        return None;
    }
    let mut entries: Vec<(String, Value)> = Vec::new();
    for info in enabled.resources(group, version) {
        entries.push((info.plural.to_owned(), legacy_resource(info)));
        for sub in info.subresources {
            let name = format!("{}/{}", info.plural, sub.name);
            entries.push((name.clone(), legacy_subresource(info, sub, name)));
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let list = entries.into_iter().map(|(_, v)| v).collect();
    let mut out = object([
        ("kind", "APIResourceList".into()),
        ("groupVersion", group_version(group, version).into()),
        ("resources", Value::List(list)),
    ]);
    if !group.is_empty() {
        out.set("apiVersion", "v1");
    }
    Some(out)
}

/// The aggregated document of `/api` (`core`) or `/apis`.
pub fn aggregated(core: bool, enabled: &Enabled) -> Value {
    let items = enabled.groups().filter(|g| g.name.is_empty() == core).map(|g| aggregated_group(g, enabled)).collect();
    object([
        ("kind", "APIGroupDiscoveryList".into()),
        ("apiVersion", "apidiscovery.k8s.io/v2".into()),
        ("metadata", Value::map()),
        ("items", Value::List(items)),
    ])
}

fn group_entry(info: &GroupInfo, enabled: &Enabled) -> Value {
    let entry = |version: &str| {
        object([("groupVersion", group_version(info.name, version).into()), ("version", version.into())])
    };
    let versions: Vec<&str> = enabled.versions(info).collect();
    let preferred = versions.iter().copied().find(|v| *v == info.preferred_version).or(versions.first().copied());
    object([
        ("name", info.name.into()),
        ("versions", Value::List(versions.iter().map(|v| entry(v)).collect())),
        ("preferredVersion", entry(preferred.unwrap_or(info.preferred_version))),
    ])
}

fn legacy_resource(info: &ResourceInfo) -> Value {
    let mut out = object([
        ("name", info.plural.into()),
        ("singularName", info.singular.into()),
        ("namespaced", info.namespaced.into()),
        ("kind", info.kind.into()),
        ("verbs", list(info.verbs)),
    ]);
    put_names(&mut out, info);
    if let Some(storage) = &info.storage
        && !storage.storage_version_hash.is_empty()
    {
        out.set("storageVersionHash", storage.storage_version_hash);
    }
    out
}

fn legacy_subresource(info: &ResourceInfo, sub: &SubresourceInfo, name: String) -> Value {
    let mut out = object([
        ("name", name.into()),
        ("singularName", "".into()),
        ("namespaced", info.namespaced.into()),
        ("kind", sub.kind.into()),
        ("verbs", list(sub.verbs)),
    ]);
    if !sub.version.is_empty() {
        out.set("group", sub.group);
        out.set("version", sub.version);
    }
    out
}

fn aggregated_group(info: &GroupInfo, enabled: &Enabled) -> Value {
    let versions = enabled
        .versions(info)
        .map(|version| {
            let mut resources: Vec<&ResourceInfo> = enabled.resources(info.name, version).collect();
            resources.sort_by_key(|r| r.plural);
            object([
                ("version", version.into()),
                ("resources", Value::List(resources.into_iter().map(aggregated_resource).collect())),
                ("freshness", "Current".into()),
            ])
        })
        .collect();
    let metadata = if info.name.is_empty() { Value::map() } else { object([("name", info.name.into())]) };
    object([("metadata", metadata), ("versions", Value::List(versions))])
}

fn aggregated_resource(info: &ResourceInfo) -> Value {
    let mut out = object([
        ("resource", info.plural.into()),
        ("responseKind", response_kind("", "", info.kind)),
        ("scope", if info.namespaced { "Namespaced" } else { "Cluster" }.into()),
        ("singularResource", info.singular.into()),
        ("verbs", list(info.verbs)),
    ]);
    put_names(&mut out, info);
    if !info.subresources.is_empty() {
        let subs = info.subresources.iter().map(|sub| {
            object([
                ("subresource", sub.name.into()),
                ("responseKind", response_kind(sub.group, sub.version, sub.kind)),
                ("verbs", list(sub.verbs)),
            ])
        });
        out.set("subresources", Value::List(subs.collect()));
    }
    out
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    let (group, version) = if version.is_empty() { ("", "") } else { (group, version) };
    object([("group", group.into()), ("version", version.into()), ("kind", kind.into())])
}

fn put_names(out: &mut Value, info: &ResourceInfo) {
    if !info.short_names.is_empty() {
        out.set("shortNames", list(info.short_names));
    }
    if !info.categories.is_empty() {
        out.set("categories", list(info.categories));
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(|s| Value::from(*s)).collect())
}

fn object<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    let mut map = Map::default();
    for (key, value) in entries {
        map.insert(key, value);
    }
    Value::Map(map)
}

/// Every path of discovery, for the root document.
pub fn paths(enabled: &Enabled) -> Vec<String> {
    let mut out = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned(), "/apis/".to_owned()];
    for info in enabled.groups().filter(|g| !g.name.is_empty()) {
        out.push(format!("/apis/{}", info.name));
        out.extend(enabled.versions(info).map(|v| format!("/apis/{}/{v}", info.name)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_subresources_after_their_resource() {
        let enabled = Enabled::default();
        let list = resource_list("apps", "v1", &enabled).unwrap();
        let names: Vec<&str> = list.get("resources").items().iter().map(|r| r.get("name").str_or_empty()).collect();
        assert_eq!(&names[..4], ["controllerrevisions", "daemonsets", "daemonsets/status", "deployments"]);
        assert!(resource_list("apps", "v2", &enabled).is_none());
    }
}
