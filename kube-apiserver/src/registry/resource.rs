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
    /// Full prefix of its keys, with a slash at the end: `/registry/pods/`.
    pub key_prefix: Box<str>,
    /// There is a status subresource.
    pub has_status: bool,
    /// metadata.generation is kept by the server.
    pub has_generation: bool,
    /// The table row it came from, if built in.
    pub info: Option<&'static ResourceInfo>,
    /// A PUT without resourceVersion may overwrite.
    pub unconditional_update: bool,
    /// A PUT to a name that does not exist creates it.
    pub create_on_update: bool,
    /// DELETE answers with the object, not with a Status.
    pub returns_deleted: bool,
    /// Dependents stay when the client does not say what happens to them.
    pub orphans_by_default: bool,
    /// Seconds after which objects vanish by themselves.
    pub ttl_seconds: Option<u64>,
    /// Fields that selectors may name besides name and namespace (custom resources).
    pub selectable_fields: Vec<Box<str>>,
    /// Subresources of a custom resource and their verbs.
    pub subresources: Vec<(Box<str>, &'static [&'static str])>,
    /// What a definition says, if it is a custom resource.
    pub custom: Option<std::sync::Arc<crate::extensions::Custom>>,
}

impl Resource {
    /// The served version by group and name.
    pub fn version(&self, group: &str, version: &str) -> Option<&Served> {
        self.served.iter().find(|s| &*s.group == group && &*s.version == version)
    }

    /// The verbs of a subresource.
    pub fn subresource(&self, name: &str) -> Option<&'static [&'static str]> {
        match self.info {
            Some(info) => info.subresource(name).map(|s| s.verbs),
            None => self.subresources.iter().find(|(n, _)| &**n == name).map(|(_, verbs)| *verbs),
        }
    }

    /// apiVersion and kind of the body of a create-like subresource.
    pub fn subresource_kind(&self, name: &str, served: &Served) -> (String, String) {
        match self.info.and_then(|i| i.subresource(name)) {
            Some(sub) if sub.version.is_empty() => (served.api_version.to_string(), sub.kind.to_owned()),
            Some(sub) if sub.group.is_empty() => (sub.version.to_owned(), sub.kind.to_owned()),
            Some(sub) => (format!("{}/{}", sub.group, sub.version), sub.kind.to_owned()),
            None => (served.api_version.to_string(), self.kind.to_string()),
        }
    }

    /// True if a field selector may name the field.
    pub fn selectable(&self, field: &str) -> bool {
        matches!(field, "metadata.name" | "metadata.namespace")
            || self.selectable_fields.iter().any(|f| f.strip_prefix('.').unwrap_or(f) == field)
    }

    /// The name of the scheme that upstream registers the kind in; some messages show it.
    pub fn scheme(&self) -> &'static str {
        scheme_of(&self.hub.api_version)
    }

    /// True for namespaces themselves.
    pub fn is_namespaces(&self) -> bool {
        self.group.is_empty() && &*self.plural == "namespaces"
    }

    /// `plural.group`, as error messages name it.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_string() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// The name of the scheme that upstream registers a group version in; some messages show it.
pub fn scheme_of(api_version: &str) -> &'static str {
    match api_version.split('/').next() {
        Some("apiregistration.k8s.io") => "k8s.io/kube-aggregator/pkg/apiserver/scheme/scheme.go:28",
        Some("apiextensions.k8s.io") => "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55",
        _ => "pkg/api/legacyscheme/scheme.go:30",
    }
}
