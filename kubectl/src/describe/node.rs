//! Nodes.

use apimachinery::value::Value;

use super::Subject;
use super::document::Document;
use super::pod_resources::{Amounts, add, amount, total};
use crate::printers::sprint;
use crate::time::rfc1123z;

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

pub(super) fn node(subject: &Subject, doc: &mut Document) -> bool {
    let node = &subject.object;
    let (meta, spec, status) = (node.get("metadata"), node.get("spec"), node.get("status"));
    doc.head(node, false);
    let roles = roles(meta.get("labels"));
    doc.field(0, "Roles", if roles.is_empty() { "<none>" } else { &roles });
    doc.labels_and_annotations(node);
    doc.field(0, "CreationTimestamp", &rfc1123z(meta.get("creationTimestamp").str_or_empty()));
    taints(spec.get("taints"), doc);
    doc.field(0, "Unschedulable", &spec.get("unschedulable").as_bool().unwrap_or(false).to_string());
    match &subject.lease {
        Some(Ok(lease)) => self::lease(lease.get("spec"), doc),
        Some(Err(error)) => doc.field(0, "Lease", &format!("Failed to get lease: {error}")),
        None => {}
    }
    conditions(status.get("conditions"), doc);
    doc.write(0, "Addresses:\n");
    for address in status.get("addresses").items() {
        doc.field(1, address.get("type").str_or_empty(), address.get("address").str_or_empty());
    }
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        if !status.get(field).is_zero() {
            doc.write(0, &format!("{title}:\n"));
            for (name, value) in status.get(field).entries() {
                doc.field(1, name, &sprint(value));
            }
        }
    }
    system_info(status.get("nodeInfo"), doc);
    if !spec.get("podCIDR").is_zero() {
        doc.field(0, "PodCIDR", spec.get("podCIDR").str_or_empty());
    }
    if !spec.get("podCIDRs").is_zero() {
        let all: Vec<&str> = spec.get("podCIDRs").items().iter().map(|c| c.str_or_empty()).collect();
        doc.field(0, "PodCIDRs", &all.join(","));
    }
    if !spec.get("providerID").is_zero() {
        doc.field(0, "ProviderID", spec.get("providerID").str_or_empty());
    }
    if subject.pods_forbidden {
        doc.field(0, "Pods", "not authorized");
    } else {
        pods(&subject.pods, status, doc);
    }
    true
}

fn roles(labels: &Value) -> String {
    let mut roles: Vec<&str> = labels
        .entries()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some("") => None,
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str().filter(|v| !v.is_empty()),
            None => None,
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles.join(",")
}

fn taints(taints: &Value, doc: &mut Document) {
    let mut list: Vec<&Value> = taints.items().iter().collect();
    let text = |taint: &Value, key: &str| taint.get(key).str_or_empty().to_owned();
    list.sort_by_key(|t| format!("{},{}", text(t, "effect"), text(t, "key")));
    doc.write(0, "Taints:\t");
    if list.is_empty() {
        doc.write(0, "<none>\n");
    }
    for (i, taint) in list.into_iter().enumerate() {
        let indent = if i == 0 { "" } else { "\t" };
        doc.write(0, &format!("{indent}{}\n", taint_text(taint)));
    }
}

/// `key=value:Effect`.
fn taint_text(taint: &Value) -> String {
    let text = |key: &str| taint.get(key).str_or_empty();
    match (text("key"), text("value"), text("effect")) {
        (key, "", "") => key.to_owned(),
        (key, value, "") => format!("{key}={value}:"),
        (key, "", effect) => format!("{key}:{effect}"),
        (key, value, effect) => format!("{key}={value}:{effect}"),
    }
}

fn lease(spec: &Value, doc: &mut Document) {
    doc.write(0, "Lease:\n");
    doc.field(1, "HolderIdentity", spec.get("holderIdentity").as_str().unwrap_or("<unset>"));
    for (title, field) in [("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")] {
        let time = spec.get(field).as_str().map_or("<unset>".to_owned(), rfc1123z);
        doc.field(1, title, &time);
    }
}

fn conditions(conditions: &Value, doc: &mut Document) {
    if conditions.items().is_empty() {
        return;
    }
    doc.write(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n");
    doc.write(1, "----\t------\t-----------------\t------------------\t------\t-------\n");
    for condition in conditions.items() {
        let text = |key: &str| condition.get(key).str_or_empty();
        let time = |key: &str| super::containers::time_or_zero(condition.get(key));
        doc.write(
            1,
            &format!(
                "{} \t{} \t{} \t{} \t{} \t{}\n",
                text("type"),
                text("status"),
                time("lastHeartbeatTime"),
                time("lastTransitionTime"),
                text("reason"),
                text("message")
            ),
        );
    }
}

fn system_info(info: &Value, doc: &mut Document) {
    doc.write(0, "System Info:\n");
    for (title, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ] {
        doc.field(1, title, info.get(field).str_or_empty());
    }
}

struct Share {
    amounts: Amounts,
}

impl Share {
    fn of(status: &Value) -> Self {
        let list = if status.get("allocatable").is_zero() { status.get("capacity") } else { status.get("allocatable") };
        let parse = |(name, value): (&str, &Value)| {
            Some((name.to_owned(), apimachinery::quantity::Quantity::parse(&sprint(value)).ok()?))
        };
        Self { amounts: list.entries().filter_map(parse).collect() }
    }

    /// `250m (12%)`.
    fn text(&self, amounts: &Amounts, name: &str) -> String {
        let (part, whole) = (amount(amounts, name), amount(&self.amounts, name));
        let (a, b) =
            if name == "cpu" { (part.milli_value(), whole.milli_value()) } else { (part.value(), whole.value()) };
        let percent = if b == 0 { 0.0 } else { a as f64 / b as f64 * 100.0 };
        format!("{part} ({}%)", percent as i64)
    }
}

fn pods(pods: &[Value], status: &Value, doc: &mut Document) {
    let share = Share::of(status);
    doc.write(0, &format!("Non-terminated Pods:\t({} in total)\n", pods.len()));
    doc.write(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge\n");
    doc.write(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---\n");
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for pod in pods {
        let meta = pod.get("metadata");
        let (request, limit) = (total(pod, "requests"), total(pod, "limits"));
        doc.write(
            1,
            &format!(
                "{}\t{}\t\t{}\t{}\t{}\t{}\t{}\n",
                meta.get("namespace").str_or_empty(),
                meta.get("name").str_or_empty(),
                share.text(&request, "cpu"),
                share.text(&limit, "cpu"),
                share.text(&request, "memory"),
                share.text(&limit, "memory"),
                crate::time::age(meta.get("creationTimestamp").str_or_empty())
            ),
        );
        add(&mut requests, &request);
        add(&mut limits, &limit);
    }
    doc.write(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)\n");
    doc.write(1, "Resource\tRequests\tLimits\n");
    doc.write(1, "--------\t--------\t------\n");
    let huge = share.amounts.keys().filter(|n| n.starts_with("hugepages-"));
    let names = ["cpu", "memory", "ephemeral-storage"].into_iter().map(str::to_owned).chain(huge.cloned());
    for name in names.collect::<Vec<_>>() {
        doc.write(1, &format!("{name}\t{}\t{}\n", share.text(&requests, &name), share.text(&limits, &name)));
    }
    let standard = ["cpu", "memory", "ephemeral-storage", "pods"];
    for name in share.amounts.keys().filter(|n| !standard.contains(&n.as_str()) && !n.starts_with("hugepages-")) {
        doc.write(1, &format!("{name}\t{}\t{}\n", amount(&requests, name), amount(&limits, name)));
    }
}
