//! What an informer needs to know of an object: its metadata.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Anything with metadata that can be read from JSON: every top-level type of k8s-openapi, and [`Partial`].
pub trait Object: DeserializeOwned + Send + Sync + 'static {
    /// The object's metadata.
    fn meta(&self) -> &ObjectMeta;
    /// The object's metadata, to be changed.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// Name, empty if unset.
    fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }
    /// Namespace, empty if unset.
    fn namespace(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }
    /// UID, empty if unset.
    fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }
    /// Resource version, empty if unset.
    fn resource_version(&self) -> &str {
        self.meta().resource_version.as_deref().unwrap_or_default()
    }
    /// Whether deletion was asked for.
    fn is_deleting(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }
    /// A label's value.
    fn label(&self, key: &str) -> Option<&str> {
        self.meta().labels.as_ref()?.get(key).map(String::as_str)
    }
    /// An annotation's value.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.meta().annotations.as_ref()?.get(key).map(String::as_str)
    }
}

impl<T> Object for T
where
    T: k8s_openapi::Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + Sync + 'static,
{
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }
}

/// Metadata of an object of any kind (meta.k8s.io/v1 PartialObjectMetadata).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partial {
    /// The object's metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
}

impl Partial {
    /// Drops labels and annotations, which cost more than all the rest.
    pub(super) fn forget_labels(&mut self) {
        self.metadata.labels = None;
        self.metadata.annotations = None;
        self.metadata.owner_references.iter_mut().for_each(Vec::shrink_to_fit);
    }
}

/// The controlling owner of an object, if there is one.
pub type PartialOwner = k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

impl Object for Partial {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The URL path of a collection, for example `/apis/apps/v1/namespaces/default/deployments`.
#[must_use]
pub fn collection_path(group: &str, version: &str, plural: &str, namespace: Option<&str>) -> String {
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    match namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}
