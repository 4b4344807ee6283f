//! Fields that a write cannot change and therefore nobody owns through it: the status through the main resource, the rest
//! through the status.
//!
//! upstream: GetResetFields of the strategies under pkg/registry

use apimachinery::patch::apply::{FieldSet, Filter};

use crate::registry::resource::Resource;

/// What a write may own; `None` if it may own everything.
pub fn filter(resource: &Resource, subresource: &str) -> Option<Filter> {
    let (group, plural) = (&*resource.group, &*resource.plural);
    match (plural, subresource) {
        ("certificatesigningrequests", "") => exclude(&[&["spec"], &["status"]]),
        ("certificatesigningrequests", "status") => exclude(&[&["spec"], &["status", "conditions"]]),
        ("certificatesigningrequests", "approval") => exclude(&[&["spec"], &["status", "certificate"]]),
        ("pods", "status") => {
            exclude(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
        }
        // upstream has filters for these, but does not install them
        ("pods", "ephemeralcontainers" | "resize") => None,
        ("deployments", "status") => exclude(&[&["spec"], &["metadata", "labels"]]),
        ("namespaces", "finalize") => exclude(&[&["status"]]),
        ("volumeattachments", _) => None,
        _ if !resource.has_status => None,
        (_, "") => exclude(&[&["status"]]),
        (_, "status") if keeps_metadata(group, plural) || resource.info.is_none() => {
            exclude(&[&["metadata"], &["spec"]])
        }
        (_, "status") => exclude(&[&["spec"]]),
        _ => None,
    }
}

fn exclude(paths: &[&[&str]]) -> Option<Filter> {
    Some(Filter::Exclude(FieldSet::of(paths)))
}

/// Newer kinds: through the status no metadata can be changed either.
fn keeps_metadata(group: &str, plural: &str) -> bool {
    match group {
        "networking.k8s.io" => plural == "servicecidrs",
        "scheduling.k8s.io"
        | "storagemigration.k8s.io"
        | "resource.k8s.io"
        | "internal.apiserver.k8s.io"
        | "flowcontrol.apiserver.k8s.io"
        | "admissionregistration.k8s.io"
        | "apiregistration.k8s.io"
        | "apiextensions.k8s.io" => true,
        _ => false,
    }
}
