//! Pods.

use apimachinery::value::Value;

use super::containers::{containers, resources, spread};
use super::document::{Document, controller};
use super::{pod_resources, volumes};
use crate::time::rfc1123z;

pub(super) fn pod(pod: &Value, doc: &mut Document) -> bool {
    let (meta, spec, status) = (pod.get("metadata"), pod.get("spec"), pod.get("status"));
    doc.head(pod, true);
    if let Some(priority) = spec.get("priority").as_i64() {
        doc.field(0, "Priority", &priority.to_string());
    }
    for (title, field) in [
        ("Priority Class Name", "priorityClassName"),
        ("Runtime Class Name", "runtimeClassName"),
        ("Service Account", "serviceAccountName"),
    ] {
        optional(doc, title, spec.get(field));
    }
    match spec.get("nodeName").str_or_empty() {
        "" => doc.field(0, "Node", "<none>"),
        node => doc.field(0, "Node", &format!("{node}/{}", status.get("hostIP").str_or_empty())),
    }
    if let Some(time) = status.get("startTime").as_str() {
        doc.field(0, "Start Time", &rfc1123z(time));
    }
    doc.labels_and_annotations(pod);
    phase(meta, status, doc);
    optional(doc, "Reason", status.get("reason"));
    optional(doc, "Message", status.get("message"));
    let profile = spec.path(&["securityContext", "seccompProfile"]);
    if !profile.is_null() {
        let kind = profile.get("type").str_or_empty();
        doc.field(0, "SeccompProfile", kind);
        if kind == "Localhost" {
            doc.field(0, "LocalhostProfile", profile.get("localhostProfile").str_or_empty());
        }
    }
    doc.field(0, "IP", status.get("podIP").str_or_empty());
    let ips = status.get("podIPs").items();
    doc.write(0, if ips.is_empty() { "IPs:\t<none>\n" } else { "IPs:\n" });
    for ip in ips {
        doc.field(1, "IP", ip.get("ip").str_or_empty());
    }
    if let Some(owner) = controller(pod) {
        doc.field(0, "Controlled By", &owner);
    }
    optional(doc, "NominatedNodeName", status.get("nominatedNodeName"));
    if spec.has("resources") {
        doc.write(0, "Resources:\n");
        resources(spec.get("resources"), doc, 1);
    }
    for (title, field, states, always) in [
        ("Init Containers", "initContainers", "initContainerStatuses", false),
        ("Containers", "containers", "containerStatuses", true),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses", false),
    ] {
        if always || !spec.get(field).is_zero() {
            containers(title, spec.get(field), status.get(states), Some(pod), doc, "");
        }
    }
    conditions(spec, status, doc);
    volumes::volumes(spec.get("volumes"), doc, "");
    doc.field(0, "QoS Class", &pod_resources::qos(pod));
    doc.labels("Node-Selectors", spec.get("nodeSelector"));
    doc.tolerations("Tolerations", spec.get("tolerations"));
    spread(spec.get("topologySpreadConstraints"), doc, "");
    true
}

fn optional(doc: &mut Document, title: &str, value: &Value) {
    let text = value.str_or_empty();
    if !text.is_empty() {
        doc.field(0, title, text);
    }
}

fn phase(meta: &Value, status: &Value, doc: &mut Document) {
    let phase = status.get("phase").str_or_empty();
    match meta.get("deletionTimestamp").as_str() {
        Some(time) if phase != "Failed" && phase != "Succeeded" => {
            doc.field(0, "Status", &format!("Terminating (lasts {})", crate::time::age(time)));
            let seconds = meta.get("deletionGracePeriodSeconds").as_i64().unwrap_or(0);
            doc.field(0, "Termination Grace Period", &format!("{seconds}s"));
        }
        _ => doc.field(0, "Status", phase),
    }
}

fn conditions(spec: &Value, status: &Value, doc: &mut Document) {
    let conditions = status.get("conditions").items();
    let gates = spec.get("readinessGates").items();
    if !gates.is_empty() {
        doc.write(0, "Readiness Gates:\n  Type\tStatus\n");
        for gate in gates {
            let kind = gate.get("conditionType").str_or_empty();
            let found = conditions.iter().find(|c| c.get("type").str_or_empty() == kind);
            let state = found.map_or("<none>", |c| c.get("status").str_or_empty());
            doc.write(1, &format!("{kind} \t{state} \n"));
        }
    }
    if !conditions.is_empty() {
        doc.write(0, "Conditions:\n  Type\tStatus\n");
        for condition in conditions {
            let text = |key: &str| condition.get(key).str_or_empty();
            doc.write(1, &format!("{} \t{} \n", text("type"), text("status")));
        }
    }
}
