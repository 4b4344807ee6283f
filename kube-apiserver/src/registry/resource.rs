//! What the generic code knows of a resource: its names, versions, types, and where it is stored.
//!
//! Built-in resources come from apimachinery's table; custom ones are made at run time in the same form.

use apimachinery::resources::ResourceInfo;
use apimachinery::schema::TypeRef;

/// One served version of a resource.
#[derive(Clone, Debug)]
pub struct Served {
    /// API group it is served in: `events` is stored once and served in two groups.
    pub group: Box<str>,
    /// Version name.
    pub version: Box<str>,
    /// `group/version`, or the version alone in the core group.
    pub api_version: Box<str>,
    /// Type of the objects in this version.
    pub schema: TypeRef,
}

/// How objects are encoded at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `k8s\0` and a protobuf envelope.
    Protobuf,
    /// Plain JSON: custom resources, their definitions, API services.
    Json,
}

/// A resource with storage.
#[derive(Clone, Debug)]
pub struct Resource {
    /// API group (of the main registration).
    pub group: Box<str>,
    /// Plural name.
    pub plural: Box<str>,
    /// Singular name.
    pub singular: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// The version in which strategies see objects; its `schema` is their type.
    pub hub: Served,
    /// All served versions, the hub first.
    pub served: Vec<Served>,
    /// Version of the objects at rest.
    pub storage: Served,
    /// Encoding of the objects at rest.
    pub encoding: Encoding,
    /// Key prefix below `--etcd-prefix`, with a leading slash: `/pods`.
    pub key_prefix: Box<str>,
    /// There is a status subresource.
    pub has_status: bool,
    /// metadata.generation is kept by the server.
    pub has_generation: bool,
    /// The table row it came from, if built in.
    pub info: Option<&'static ResourceInfo>,
}

impl Resource {
    /// The served version by group and name.
    pub fn version(&self, group: &str, version: &str) -> Option<&Served> {
        self.served.iter().find(|s| &*s.group == group && &*s.version == version)
    }

    /// `plural.group`, as error messages name it.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_string() } else { format!("{}.{}", self.plural, self.group) }
    }
}
