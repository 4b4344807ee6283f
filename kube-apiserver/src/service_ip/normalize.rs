//! `clusterIP` and `clusterIPs` say the same, and an update that leaves allocated values out keeps them. Pure.
//!
//! upstream: pkg/registry/core/service/storage/storage.go: normalizeClusterIPs, patchAllocatedValues

use apimachinery::value::Value;

/// For a new service.
pub fn on_create(service: &mut Value) {
    let ip = text(service, "clusterIP").to_owned();
    if !ip.is_empty() && service.path(&["spec", "clusterIPs"]).items().is_empty() {
        service.field_mut("spec").set("clusterIPs", vec![ip]);
    }
}

/// For a change.
pub fn on_update(service: &mut Value, old: &Value) {
    keep_allocated(service, old);
    let old_ip = text(old, "clusterIP").to_owned();
    let new_ip = text(service, "clusterIP").to_owned();
    let old_ips = old.path(&["spec", "clusterIPs"]);
    if !old_ips.items().is_empty() && service.path(&["spec", "clusterIPs"]).items().is_empty() && old_ip == new_ip {
        service.field_mut("spec").set("clusterIPs", old_ips.clone());
    }
    if old_ip == new_ip || service.path(&["spec", "clusterIPs"]).items() != old_ips.items() {
        return;
    }
    if !old_ip.is_empty() && new_ip.is_empty() {
        service.field_mut("spec").remove("clusterIPs");
    } else {
        service.field_mut("spec").set("clusterIPs", vec![new_ip]);
    }
}

fn keep_allocated(service: &mut Value, old: &Value) {
    let needs_ip = |s: &Value| matches!(text(s, "type"), "ClusterIP" | "NodePort" | "LoadBalancer");
    if needs_ip(old) && needs_ip(service) {
        if text(service, "clusterIP").is_empty() {
            copy(service, old, "clusterIP");
        }
        if service.path(&["spec", "clusterIPs"]).items().is_empty() {
            copy(service, old, "clusterIPs");
        }
    }
    let needs_port = |s: &Value| matches!(text(s, "type"), "NodePort" | "LoadBalancer");
    if needs_port(old) && needs_port(service) {
        keep_node_ports(service, old);
    }
    let needs_check = |s: &Value| text(s, "type") == "LoadBalancer" && text(s, "externalTrafficPolicy") == "Local";
    if needs_check(old)
        && needs_check(service)
        && service.path(&["spec", "healthCheckNodePort"]).as_i64().unwrap_or(0) == 0
    {
        copy(service, old, "healthCheckNodePort");
    }
}

/// A port without node port gets the one its namesake had, unless that is used by another port now.
fn keep_node_ports(service: &mut Value, old: &Value) {
    let node_ports = |s: &Value| -> Vec<i64> {
        s.path(&["spec", "ports"])
            .items()
            .iter()
            .filter_map(|p| p.get("nodePort").as_i64())
            .filter(|n| *n != 0)
            .collect()
    };
    let (old_ports, new_ports) = (node_ports(old), node_ports(service));
    let by_name: Vec<(String, i64)> = old
        .path(&["spec", "ports"])
        .items()
        .iter()
        .map(|p| (p.get("name").str_or_empty().to_owned(), p.get("nodePort").as_i64().unwrap_or(0)))
        .collect();
    let Some(ports) = service.field_mut("spec").get_mut("ports").and_then(Value::as_list_mut) else { return };
    for port in ports {
        if port.get("nodePort").as_i64().unwrap_or(0) != 0 {
            continue;
        }
        let name = port.get("name").str_or_empty().to_owned();
        let known = by_name.iter().find(|(n, _)| *n == name).map_or(0, |(_, p)| *p);
        let reused = old_ports.contains(&known) && new_ports.contains(&known);
        if known != 0 && !reused {
            port.set("nodePort", known);
        }
    }
}

fn text<'a>(service: &'a Value, field: &str) -> &'a str {
    service.path(&["spec", field]).str_or_empty()
}

fn copy(service: &mut Value, old: &Value, field: &str) {
    let value = old.path(&["spec", field]);
    if !value.is_null() {
        service.field_mut("spec").set(field, value.clone());
    }
}
