//! One object that a command is about. Corresponds to cli-runtime/pkg/resource/visitor.go (`Info`).

use std::rc::Rc;

use apimachinery::value::Value;

use crate::client::Mapping;

/// An object with its resource; the object is null until it has been fetched.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// The resource; `None` when working without a server.
    pub mapping: Option<Rc<Mapping>>,
    /// Namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Name; empty for a list.
    pub name: String,
    /// The file it came from; empty if from the server.
    pub source: String,
    /// The object.
    pub object: Value,
    /// Subresource to work on.
    pub subresource: String,
}

impl Info {
    /// The resource of an object of a server.
    ///
    /// # Errors
    /// When working without a server.
    pub fn mapping(&self) -> anyhow::Result<&Rc<Mapping>> {
        self.mapping.as_ref().ok_or_else(|| anyhow::anyhow!("local operation only"))
    }

    /// Whether the object lives in a namespace.
    pub fn namespaced(&self) -> bool {
        self.mapping.as_ref().map_or(!self.namespace.is_empty(), |m| m.namespaced)
    }

    /// `pods/x`, or `pod/x` without a server.
    pub fn object_name(&self) -> String {
        match &self.mapping {
            Some(mapping) => format!("{}/{}", mapping.resource, self.name),
            None => format!("{}/{}", group_kind_of(&self.object).1.to_lowercase(), self.name),
        }
    }

    /// Takes a newer state of the object.
    pub fn refresh(&mut self, object: Value) {
        let name = object.path(&["metadata", "name"]).str_or_empty();
        if !name.is_empty() {
            name.clone_into(&mut self.name);
        }
        let namespace = object.path(&["metadata", "namespace"]).str_or_empty();
        if !namespace.is_empty() {
            namespace.clone_into(&mut self.namespace);
        }
        self.object = object;
    }

    /// `metadata.resourceVersion` of the object.
    pub fn resource_version(&self) -> &str {
        self.object.path(&["metadata", "resourceVersion"]).str_or_empty()
    }
}

/// Group and kind of an object.
pub fn group_kind_of(object: &Value) -> (String, String) {
    let api_version = object.get("apiVersion").str_or_empty();
    let group = api_version.split_once('/').map_or("", |(g, _)| g);
    (group.to_owned(), object.get("kind").str_or_empty().to_owned())
}

/// Whether the object is a list.
pub fn is_list(object: &Value) -> bool {
    object.has("items") && object.get("items").as_list().is_some() || object.get("kind").str_or_empty() == "List"
}

/// The items of a list, with the kind and version that the list implies.
pub fn list_items(list: &Value) -> Vec<Value> {
    let kind = list.get("kind").str_or_empty();
    let item_kind = kind.strip_suffix("List").unwrap_or(kind);
    let api_version = list.get("apiVersion").str_or_empty();
    let mut items = list.get("items").items().to_vec();
    for item in &mut items {
        if item.get("kind").str_or_empty().is_empty() && item.get("apiVersion").str_or_empty().is_empty() {
            item.set("kind", item_kind);
            item.set("apiVersion", api_version);
        }
    }
    items
}
