//! What the OpenAPI documents say of custom resources: the served versions of established definitions.
//!
//! upstream: apiextensions-apiserver/pkg/controller/{openapi,openapiv3}/controller.go

use apimachinery::openapi::CustomResource;
use apimachinery::value::Value;

use super::names;
use crate::registry::Registry;

/// The definitions whose resources are served, ordered by name.
pub fn served_definitions(registry: &Registry) -> Vec<Value> {
    let Some(store) = registry.store("apiextensions.k8s.io", "customresourcedefinitions") else { return Vec::new() };
    let mut definitions = store.cached_list("");
    definitions.retain(|definition| {
        let spec = definition.get("spec");
        let plural = definition.path(&["status", "acceptedNames", "plural"]).str_or_empty();
        names::has(definition, "Established") && registry.store(spec.get("group").str_or_empty(), plural).is_some()
    });
    definitions
}

/// The resources of definitions in each of their served versions.
pub fn published(definitions: &[Value]) -> Vec<CustomResource<'_>> {
    definitions.iter().flat_map(of_definition).collect()
}

fn of_definition(definition: &Value) -> impl Iterator<Item = CustomResource<'_>> {
    let spec = definition.get("spec");
    let names = definition.path(&["status", "acceptedNames"]);
    let served = spec.get("versions").items().iter().filter(|v| v.get("served").as_bool() == Some(true));
    served.map(move |version| CustomResource {
        group: spec.get("group").str_or_empty(),
        version: version.get("name").str_or_empty(),
        plural: names.get("plural").str_or_empty(),
        kind: names.get("kind").str_or_empty(),
        list_kind: names.get("listKind").str_or_empty(),
        namespaced: spec.get("scope").str_or_empty() == "Namespaced",
        schema: version.path(&["schema", "openAPIV3Schema"]),
        revision: definition.path(&["metadata", "resourceVersion"]).str_or_empty(),
        status: version.path(&["subresources", "status"]).as_map().is_some(),
        scale: version.path(&["subresources", "scale"]).as_map().is_some(),
    })
}
