//! What every object has: apiVersion, kind and metadata, read and written in values; and the names of kinds and resources.

use std::fmt;

use crate::time::{TimeError, Timestamp};
use crate::value::{Map, Value};

/// An API group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersion {
    /// "" is the core group.
    pub group: String,
    /// The version; "" is unknown.
    pub version: String,
}

/// A text that is no group/version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected GroupVersion string: {0}")]
pub struct GroupVersionError(pub String);

impl GroupVersion {
    /// Of its parts.
    pub fn new(group: &str, version: &str) -> GroupVersion {
        GroupVersion { group: group.to_owned(), version: version.to_owned() }
    }

    /// Parses `group/version` or `version`; "" and "/" are the empty one.
    pub fn parse(text: &str) -> Result<GroupVersion, GroupVersionError> {
        match text.matches('/').count() {
            _ if text.is_empty() || text == "/" => Ok(GroupVersion::default()),
            0 => Ok(GroupVersion::new("", text)),
            1 => {
                let (group, version) = text.split_once('/').unwrap_or(("", text));
                Ok(GroupVersion::new(group, version))
            }
            _ => Err(GroupVersionError(text.to_owned())),
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.version) } else { write!(f, "{}/{}", self.group, self.version) }
    }
}

/// `group` and `version` of an apiVersion; a text with two slashes is all version.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').filter(|(_, v)| !v.contains('/')).unwrap_or(("", api_version))
}

/// The apiVersion of a group and version.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// A kind of a group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// "" is the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
}

impl Gvk {
    /// Of its parts.
    pub fn new(group: &str, version: &str, kind: &str) -> Gvk {
        Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Of an apiVersion and a kind.
    pub fn from_api_version(api_version: &str, kind: &str) -> Gvk {
        let (group, version) = split_api_version(api_version);
        Gvk::new(group, version, kind)
    }

    /// Of an object.
    pub fn of(object: &Value) -> Gvk {
        Gvk::from_api_version(api_version_of(object), kind_of(object))
    }

    /// `group/version` or `version`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `Kind.group`, or `Kind` for core: how messages name the kind.
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }
}

/// As upstream prints it: `apps/v1, Kind=Deployment`.
impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

/// A resource of a group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvr {
    /// "" is the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural name.
    pub resource: String,
}

impl Gvr {
    /// Of its parts.
    pub fn new(group: &str, version: &str, resource: &str) -> Gvr {
        Gvr { group: group.to_owned(), version: version.to_owned(), resource: resource.to_owned() }
    }

    /// `group/version` or `version`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `resource.group`, or `resource` for core: how messages name the resource.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }
}

/// As upstream prints it: `apps/v1, Resource=deployments`.
impl fmt::Display for Gvr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Resource={}", self.group, self.version, self.resource)
    }
}

/// apiVersion of an object, or "".
pub fn api_version_of(object: &Value) -> &str {
    object.get("apiVersion").str_or_empty()
}

/// kind of an object, or "".
pub fn kind_of(object: &Value) -> &str {
    object.get("kind").str_or_empty()
}

/// Sets apiVersion and kind.
pub fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    object.set("apiVersion", api_version);
    object.set("kind", kind);
}

/// The metadata of an object; null if it has none.
pub fn metadata(object: &Value) -> &Value {
    object.get("metadata")
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    metadata(object).get(key).str_or_empty()
}

/// metadata.name, or "".
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// metadata.generateName, or "".
pub fn generate_name(object: &Value) -> &str {
    text(object, "generateName")
}

/// metadata.namespace, or "".
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// metadata.uid, or "".
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// metadata.resourceVersion, or "". Of lists too.
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// metadata.continue of a list, or "".
pub fn continue_token(object: &Value) -> &str {
    text(object, "continue")
}

/// metadata.generation, or 0.
pub fn generation(object: &Value) -> i64 {
    metadata(object).get("generation").as_i64().unwrap_or(0)
}

/// metadata.creationTimestamp, if set.
pub fn creation_timestamp(object: &Value) -> Option<Timestamp> {
    timestamp(metadata(object).get("creationTimestamp")).ok().flatten()
}

/// metadata.deletionTimestamp, if set.
pub fn deletion_timestamp(object: &Value) -> Option<Timestamp> {
    timestamp(metadata(object).get("deletionTimestamp")).ok().flatten()
}

/// metadata.deletionGracePeriodSeconds, if set.
pub fn deletion_grace_period_seconds(object: &Value) -> Option<i64> {
    metadata(object).get("deletionGracePeriodSeconds").as_i64()
}

/// A time field; none if absent or Go's zero time.
pub fn timestamp(value: &Value) -> Result<Option<Timestamp>, TimeError> {
    match value.as_str() {
        Some(text) => Timestamp::parse(text).map(|t| Some(t).filter(|t| !t.is_zero())),
        None => Ok(None),
    }
}

/// True if deletion of the object has begun.
pub fn is_being_deleted(object: &Value) -> bool {
    !metadata(object).get("deletionTimestamp").is_null()
}

/// metadata.labels, in key order.
pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    strings(metadata(object).get("labels"))
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    metadata(object).get("labels").get(key).as_str()
}

/// metadata.annotations, in key order.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    strings(metadata(object).get("annotations"))
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    metadata(object).get("annotations").get(key).as_str()
}

/// A map of strings.
pub fn strings(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    value.entries().map(|(k, v)| (k, v.str_or_empty()))
}

/// metadata.finalizers
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    metadata(object).get("finalizers").items().iter().map(Value::str_or_empty)
}

/// metadata.ownerReferences
pub fn owner_references(object: &Value) -> impl Iterator<Item = OwnerReference<'_>> {
    metadata(object).get("ownerReferences").items().iter().map(OwnerReference)
}

/// The owner with `controller: true`, if there is one.
pub fn controller_of(object: &Value) -> Option<OwnerReference<'_>> {
    owner_references(object).find(|o| o.controller())
}

/// One of metadata.ownerReferences.
#[derive(Clone, Copy, Debug)]
pub struct OwnerReference<'a>(pub &'a Value);

impl<'a> OwnerReference<'a> {
    /// apiVersion of the owner.
    pub fn api_version(self) -> &'a str {
        self.0.get("apiVersion").str_or_empty()
    }
    /// Kind of the owner.
    pub fn kind(self) -> &'a str {
        self.0.get("kind").str_or_empty()
    }
    /// Name of the owner.
    pub fn name(self) -> &'a str {
        self.0.get("name").str_or_empty()
    }
    /// UID of the owner.
    pub fn uid(self) -> &'a str {
        self.0.get("uid").str_or_empty()
    }
    /// True if the owner manages the object.
    pub fn controller(self) -> bool {
        self.0.get("controller").as_bool().unwrap_or(false)
    }
    /// True if foreground deletion of the owner waits for the object.
    pub fn block_owner_deletion(self) -> bool {
        self.0.get("blockOwnerDeletion").as_bool().unwrap_or(false)
    }
}

/// The metadata of an object as a map, made if there is none.
pub fn metadata_mut(object: &mut Value) -> &mut Map {
    object.field_mut("metadata").map_mut()
}

/// Sets or, with an empty text, removes a string of the metadata.
pub fn set_text(object: &mut Value, key: &str, text: &str) {
    let metadata = metadata_mut(object);
    if text.is_empty() {
        metadata.remove(key);
    } else {
        metadata.insert(key, text);
    }
}

/// Sets metadata.name.
pub fn set_name(object: &mut Value, name: &str) {
    set_text(object, "name", name);
}

/// Sets metadata.namespace.
pub fn set_namespace(object: &mut Value, namespace: &str) {
    set_text(object, "namespace", namespace);
}

/// Sets metadata.uid.
pub fn set_uid(object: &mut Value, uid: &str) {
    set_text(object, "uid", uid);
}

/// Sets metadata.resourceVersion.
pub fn set_resource_version(object: &mut Value, version: &str) {
    set_text(object, "resourceVersion", version);
}

/// Sets metadata.generation; 0 removes it.
pub fn set_generation(object: &mut Value, generation: i64) {
    let metadata = metadata_mut(object);
    if generation == 0 {
        metadata.remove("generation");
    } else {
        metadata.insert("generation", generation);
    }
}

/// Sets metadata.creationTimestamp.
pub fn set_creation_timestamp(object: &mut Value, time: Option<Timestamp>) {
    set_text(object, "creationTimestamp", &time.map(Timestamp::to_seconds_text).unwrap_or_default());
}

/// Sets metadata.deletionTimestamp.
pub fn set_deletion_timestamp(object: &mut Value, time: Option<Timestamp>) {
    set_text(object, "deletionTimestamp", &time.map(Timestamp::to_seconds_text).unwrap_or_default());
}

/// Sets a label.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    object.field_mut("metadata").field_mut("labels").set(key, value);
}

/// Sets an annotation.
pub fn set_annotation(object: &mut Value, key: &str, value: &str) {
    object.field_mut("metadata").field_mut("annotations").set(key, value);
}

/// Removes an annotation, and the map if it was the last one.
pub fn remove_annotation(object: &mut Value, key: &str) -> Option<Value> {
    let annotations = object.path_mut(&["metadata", "annotations"])?;
    let removed = annotations.remove(key);
    if annotations.is_zero() {
        object.remove_path(&["metadata", "annotations"]);
    }
    removed
}

/// Sets metadata.finalizers; none removes them.
pub fn set_finalizers(object: &mut Value, finalizers: Vec<String>) {
    if finalizers.is_empty() {
        metadata_mut(object).remove("finalizers");
    } else {
        metadata_mut(object).insert("finalizers", finalizers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn group_versions() {
        for (text, group, version) in [("v1", "", "v1"), ("apps/v1", "apps", "v1"), ("", "", ""), ("/", "", "")] {
            assert_eq!(GroupVersion::parse(text), Ok(GroupVersion::new(group, version)));
        }
        assert_eq!(GroupVersion::parse("a/b/c").unwrap_err().to_string(), "unexpected GroupVersion string: a/b/c");
        assert_eq!(Gvk::new("apps", "v1", "Deployment").to_string(), "apps/v1, Kind=Deployment");
        assert_eq!(Gvk::new("", "v1", "Pod").to_string(), "/v1, Kind=Pod");
    }

    #[test]
    fn accessors() {
        let mut o = value!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "labels": {"a": "b"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": true}]}});
        assert_eq!((name(&o), label(&o, "a"), kind_of(&o)), ("x", Some("b"), "Pod"));
        assert_eq!(controller_of(&o).map(OwnerReference::name), Some("r"));
        set_annotation(&mut o, "k", "v");
        assert_eq!(annotation(&o, "k"), Some("v"));
        remove_annotation(&mut o, "k");
        assert!(metadata(&o).get("annotations").is_null());
    }
}
