//! Storage: volumes and claims, classes, and the drivers of a node.

use apimachinery::value::Value;

use super::Subject;
use super::containers::time_or_zero;
use super::document::{Document, selector_terms};
use super::volumes::persistent_source;
use crate::printers::{format_labels, sprint};
use crate::time::age;

/// Shown instead of the class in the spec, which came later.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// What makes a class the default: the annotation, and its old name.
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Access modes with their short forms, in the order of showing.
const ACCESS_MODES: [(&str, &str); 4] =
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];

fn class(object: &Value) -> &str {
    let annotated = object.path(&["metadata", "annotations", CLASS_ANNOTATION]);
    annotated.as_str().unwrap_or_else(|| object.path(&["spec", "storageClassName"]).str_or_empty())
}

fn access_modes(modes: &Value) -> String {
    let present = |mode: &str| modes.items().iter().any(|m| m.str_or_empty() == mode);
    let short: Vec<&str> = ACCESS_MODES.iter().filter(|(mode, _)| present(mode)).map(|(_, short)| *short).collect();
    short.join(",")
}

fn storage(resources: &Value) -> String {
    let storage = resources.get("storage");
    if storage.is_null() { "0".to_owned() } else { sprint(storage) }
}

fn status(object: &Value, doc: &mut Document) {
    match object.path(&["metadata", "deletionTimestamp"]).as_str() {
        Some(deleted) => doc.field(0, "Status", &format!("Terminating (lasts {})", age(deleted))),
        None => doc.field(0, "Status", object.path(&["status", "phase"]).str_or_empty()),
    }
}

fn finalizers(object: &Value, doc: &mut Document) {
    let all: Vec<&str> = object.path(&["metadata", "finalizers"]).items().iter().map(Value::str_or_empty).collect();
    doc.field(0, "Finalizers", &format!("[{}]", all.join(" ")));
}

pub(super) fn volume(object: &Value, doc: &mut Document) -> bool {
    let spec = object.get("spec");
    doc.head(object, false);
    doc.labels_and_annotations(object);
    finalizers(object, doc);
    doc.field(0, "StorageClass", class(object));
    status(object, doc);
    let claim = spec.get("claimRef");
    let text = |key: &str| claim.get(key).str_or_empty();
    let claim = if claim.is_null() { String::new() } else { format!("{}/{}", text("namespace"), text("name")) };
    doc.field(0, "Claim", &claim);
    doc.field(0, "Reclaim Policy", spec.get("persistentVolumeReclaimPolicy").str_or_empty());
    doc.field(0, "Access Modes", &access_modes(spec.get("accessModes")));
    if spec.has("volumeMode") {
        doc.field(0, "VolumeMode", spec.get("volumeMode").str_or_empty());
    }
    doc.field(0, "Capacity", &storage(spec.get("capacity")));
    node_affinity(spec.path(&["nodeAffinity", "required"]), doc);
    doc.field(0, "Message", object.path(&["status", "message"]).str_or_empty());
    doc.write(0, "Source:\n");
    persistent_source(spec, doc);
    true
}

fn node_affinity(required: &Value, doc: &mut Document) {
    doc.write(0, "Node Affinity:\t");
    if required.is_null() {
        doc.write(0, "<none>\n");
        return;
    }
    doc.write(0, "\n");
    doc.write(1, "Required Terms:\t");
    selector_terms(required.get("nodeSelectorTerms"), "matchExpressions", 2, doc);
}

pub(super) fn claim(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    claim_fields(object, true, doc);
    doc.write(0, "Used By:\t");
    let name = |pod: &Value| pod.path(&["metadata", "name"]).str_or_empty().to_owned();
    let mut users: Vec<String> = users(object, &subject.pods).into_iter().map(name).collect();
    users.sort();
    doc.values(0, users);
    let conditions = object.path(&["status", "conditions"]).items();
    if !conditions.is_empty() {
        doc.write(0, "Conditions:\n");
        doc.write(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage\n");
        doc.write(1, "----\t------\t-----------------\t------------------\t------\t-------\n");
    }
    for condition in conditions {
        let text = |key: &str| condition.get(key).str_or_empty();
        let time = |key: &str| time_or_zero(condition.get(key));
        let (probed, changed) = (time("lastProbeTime"), time("lastTransitionTime"));
        let (kind, status, reason, message) = (text("type"), text("status"), text("reason"), text("message"));
        doc.write(1, &format!("{kind} \t{status} \t{probed} \t{changed} \t{reason} \t{message}\n"));
    }
    true
}

/// The pods that mount a claim, and those that own it.
fn users<'v>(claim: &Value, pods: &'v [Value]) -> Vec<&'v Value> {
    let name = claim.path(&["metadata", "name"]);
    let mounts = |pod: &Value| {
        let volumes = pod.path(&["spec", "volumes"]).items();
        volumes.iter().filter(|v| v.path(&["persistentVolumeClaim", "claimName"]) == name).count()
    };
    let owners = claim.path(&["metadata", "ownerReferences"]).items();
    let owns = |pod: &Value| {
        let uid = pod.path(&["metadata", "uid"]);
        owners.iter().any(|owner| owner.get("kind").str_or_empty() == "Pod" && owner.get("uid") == uid)
    };
    let times = |pod: &Value| mounts(pod).max(usize::from(owns(pod)));
    pods.iter().flat_map(|pod| std::iter::repeat_n(pod, times(pod))).collect()
}

/// The fields of a claim; without those that the template of one does not have, unless it is `whole`.
pub(super) fn claim_fields(claim: &Value, whole: bool, doc: &mut Document) {
    let spec = claim.get("spec");
    if whole {
        doc.head(claim, true);
    }
    doc.field(0, "StorageClass", class(claim));
    if whole {
        status(claim, doc);
    }
    doc.field(0, "Volume", spec.get("volumeName").str_or_empty());
    doc.labels_and_annotations(claim);
    if whole {
        finalizers(claim, doc);
    }
    let bound = !spec.get("volumeName").is_zero();
    let status = claim.get("status");
    let (capacity, modes) = match bound {
        true => (storage(status.get("capacity")), access_modes(status.get("accessModes"))),
        false => (String::new(), String::new()),
    };
    doc.field(0, "Capacity", &capacity);
    doc.field(0, "Access Modes", &modes);
    if spec.has("volumeMode") {
        doc.field(0, "VolumeMode", spec.get("volumeMode").str_or_empty());
    }
    let source = spec.get("dataSource");
    if !source.is_null() {
        doc.write(0, "DataSource:\n");
        if source.has("apiGroup") {
            doc.field(1, "APIGroup", source.get("apiGroup").str_or_empty());
        }
        doc.field(1, "Kind", source.get("kind").str_or_empty());
        doc.field(1, "Name", source.get("name").str_or_empty());
    }
}

pub(super) fn class_of_storage(object: &Value, doc: &mut Document) -> bool {
    let annotations = object.path(&["metadata", "annotations"]);
    let default = DEFAULT_CLASS.iter().any(|key| annotations.get(key).str_or_empty() == "true");
    doc.head(object, false);
    doc.field(0, "IsDefaultClass", if default { "Yes" } else { "No" });
    doc.field(0, "Annotations", &format_labels(annotations.as_map()));
    doc.field(0, "Provisioner", object.get("provisioner").str_or_empty());
    doc.field(0, "Parameters", &format_labels(object.get("parameters").as_map()));
    let expansion = match object.get("allowVolumeExpansion").as_bool() {
        None => "<unset>",
        Some(allowed) => super::document::yes_no(allowed),
    };
    doc.field(0, "AllowVolumeExpansion", expansion);
    let options = object.get("mountOptions").items();
    doc.write(0, if options.is_empty() { "MountOptions:\t<none>\n" } else { "MountOptions:\n" });
    for option in options {
        doc.write(1, &format!("{}\n", option.str_or_empty()));
    }
    for (title, key) in [("ReclaimPolicy", "reclaimPolicy"), ("VolumeBindingMode", "volumeBindingMode")] {
        if object.has(key) {
            doc.field(0, title, object.get(key).str_or_empty());
        }
    }
    if object.has("allowedTopologies") {
        doc.write(0, "AllowedTopologies:\t");
        selector_terms(object.get("allowedTopologies"), "matchLabelExpressions", 1, doc);
    }
    true
}

pub(super) fn attributes_class(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, false);
    doc.field(0, "Annotations", &format_labels(object.path(&["metadata", "annotations"]).as_map()));
    doc.field(0, "DriverName", object.get("driverName").str_or_empty());
    doc.field(0, "Parameters", &format_labels(object.get("parameters").as_map()));
    true
}

pub(super) fn node_drivers(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, false);
    doc.labels_and_annotations(object);
    doc.field(0, "CreationTimestamp", &time_or_zero(object.path(&["metadata", "creationTimestamp"])));
    doc.write(0, "Spec:\n");
    let drivers = object.path(&["spec", "drivers"]);
    if !drivers.is_null() {
        doc.write(1, "Drivers:\n");
    }
    for driver in drivers.items() {
        doc.write(2, &format!("{}:\n", driver.get("name").str_or_empty()));
        doc.field(3, "Node ID", driver.get("nodeID").str_or_empty());
        if let Some(count) = driver.path(&["allocatable", "count"]).as_i64() {
            doc.write(3, "Allocatables:\n");
            doc.field(4, "Count", &count.to_string());
        }
        if driver.has("topologyKeys") {
            doc.field(3, "Topology Keys", &sprint(driver.get("topologyKeys")));
        }
    }
    true
}
