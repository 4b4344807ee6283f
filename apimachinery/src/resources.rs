//! The second table: what kube-apiserver serves. Groups, resources, verbs, names, storage keys, columns and field labels, made by
//! build.rs from `data/resources.txt` and `data/columns.txt`. Custom resources are not in it.

/// An API group.
#[derive(Debug)]
pub struct GroupInfo {
    /// Its name; "" for core.
    pub name: &'static str,
    /// The version clients should use.
    pub preferred_version: &'static str,
    /// All versions, in the order of discovery.
    pub versions: &'static [&'static str],
    /// Versions served without runtime-config and feature gates.
    pub default_versions: &'static [&'static str],
    /// Versions that can be decoded.
    pub codec_versions: &'static [&'static str],
    /// groupPriorityMinimum of its APIService; 0 if it has none.
    pub priority_minimum: i32,
    /// versionPriority of its APIServices.
    pub version_priority: &'static [(&'static str, i32)],
}

/// A resource.
#[derive(Debug)]
pub struct ResourceInfo {
    /// API group; "" for core.
    pub group: &'static str,
    /// Plural name, as in URLs.
    pub plural: &'static str,
    /// Singular name.
    pub singular: &'static str,
    /// Kind of its objects.
    pub kind: &'static str,
    /// True if its objects live in namespaces.
    pub namespaced: bool,
    /// The preferred version.
    pub version: &'static str,
    /// All versions, most preferred first.
    pub versions: &'static [&'static str],
    /// Versions served without runtime-config and feature gates; empty: off by default.
    pub default_versions: &'static [&'static str],
    /// Verbs as in discovery, sorted.
    pub verbs: &'static [&'static str],
    /// Short names.
    pub short_names: &'static [&'static str],
    /// Categories such as `all`.
    pub categories: &'static [&'static str],
    /// Minor release in which a version came.
    pub introduced: &'static [(&'static str, &'static str)],
    /// Minor release in which a version goes.
    pub removed: &'static [(&'static str, &'static str)],
    /// How it is stored; none if it is not.
    pub storage: Option<StorageInfo>,
    /// Subresources, sorted by name.
    pub subresources: &'static [SubresourceInfo],
    /// Labels that field selectors may name.
    pub field_labels: &'static [&'static str],
    /// Accepted label and the label it means.
    pub field_label_aliases: &'static [(&'static str, &'static str)],
    /// Columns of the Table form.
    pub columns: &'static [Column],
}

/// How a resource is stored.
#[derive(Debug)]
pub struct StorageInfo {
    /// Group/version it is written in.
    pub api_version: &'static str,
    /// Kind it is written as.
    pub kind: &'static str,
    /// Encoding of the etcd value.
    pub encoding: Encoding,
    /// Start of its keys, without a trailing slash.
    pub etcd_prefix: &'static str,
    /// As in discovery.
    pub storage_version_hash: &'static str,
    /// Pattern of its keys: `{prefix}/{namespace}/{name}`.
    pub key: &'static str,
}

/// Encoding of a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `k8s\0` and runtime.Unknown.
    Protobuf,
    /// JSON text.
    Json,
}

/// A subresource.
#[derive(Debug)]
pub struct SubresourceInfo {
    /// Last segment of its URL.
    pub name: &'static str,
    /// Kind of what it takes and gives.
    pub kind: &'static str,
    /// Verbs as in discovery, sorted.
    pub verbs: &'static [&'static str],
    /// Group of the kind, where `version` is not "".
    pub group: &'static str,
    /// Version of the kind where group/version differ from the resource's; else "".
    pub version: &'static str,
}

/// A column of the Table form.
#[derive(Debug)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// What the cells say; "" where it is not known.
    pub description: &'static str,
    /// OpenAPI type.
    pub ty: &'static str,
    /// OpenAPI format, or `name`.
    pub format: &'static str,
    /// 0 is always shown, more only in wide output.
    pub priority: i32,
}

include!(concat!(env!("OUT_DIR"), "/resources.rs"));
include!(concat!(env!("OUT_DIR"), "/columns.rs"));

/// The description of a column that is in no resource's list: of scales, of custom resources, of the default table.
pub fn column_text(name: &str) -> &'static str {
    COLUMN_TEXTS.iter().find(|(column, _)| *column == name).map_or("", |(_, text)| text)
}

/// All resources, grouped by group in the order of /apis.
pub fn all() -> &'static [ResourceInfo] {
    RESOURCES
}

/// All groups, in the order of /apis; the core group is first.
pub fn groups() -> &'static [GroupInfo] {
    GROUPS
}

/// The group of this name.
pub fn group(name: &str) -> Option<&'static GroupInfo> {
    GROUPS.iter().find(|g| g.name == name)
}

/// The resource with this plural name, if it has this version.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static ResourceInfo> {
    by_plural(group, plural).filter(|r| r.versions.contains(&version))
}

/// The resource with this plural name.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static ResourceInfo> {
    RESOURCES.iter().find(|r| r.plural == plural && r.group == group)
}

/// The resource whose objects have this kind.
pub fn by_kind(group: &str, kind: &str) -> Option<&'static ResourceInfo> {
    RESOURCES.iter().find(|r| r.kind == kind && r.group == group)
}

impl ResourceInfo {
    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&'static SubresourceInfo> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// `group/version`, or `version` for core, of one of its versions.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// `plural.group`, or `plural` for core: how messages name the resource.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods() {
        let pods = find("", "v1", "pods").expect("pods are served");
        assert_eq!((pods.kind, pods.namespaced, pods.short_names), ("Pod", true, &["po"][..]));
        assert_eq!(pods.subresource("eviction").map(|s| (s.group, s.version)), Some(("policy", "v1")));
        assert_eq!(pods.columns[7].name, "Nominated Node");
        assert_eq!(pods.storage.as_ref().map(|s| s.etcd_prefix), Some("/registry/pods"));
        assert!(find("", "v2", "pods").is_none());
        assert_eq!(by_kind("apps", "Deployment").map(|r| r.plural), Some("deployments"));
        assert_eq!(all().len(), 76);
        assert_eq!(groups().len(), 23);
    }
}
