//! Services.

use apimachinery::value::Value;

use super::Subject;
use super::document::Document;
use crate::printers::{format_labels, sprint};

pub(super) fn service(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    let spec = object.get("spec");
    let text = |key: &str| spec.get(key).str_or_empty();
    let joined = |key: &str| {
        let all: Vec<&str> = spec.get(key).items().iter().map(|v| v.str_or_empty()).collect();
        all.join(",")
    };
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    doc.head(object, true);
    doc.labels_and_annotations(object);
    doc.field(0, "Selector", &format_labels(spec.get("selector").as_map()));
    doc.field(0, "Type", text("type"));
    if spec.has("ipFamilyPolicy") {
        doc.field(0, "IP Family Policy", text("ipFamilyPolicy"));
    }
    doc.field(0, "IP Families", &or_none(joined("ipFamilies")));
    doc.field(0, "IP", text("clusterIP"));
    doc.field(0, "IPs", &or_none(joined("clusterIPs")));
    if !spec.get("externalIPs").is_zero() {
        doc.field(0, "External IPs", &joined("externalIPs"));
    }
    for (title, key) in [("Desired LoadBalancer IP", "loadBalancerIP"), ("External Name", "externalName")] {
        if !text(key).is_empty() {
            doc.field(0, title, text(key));
        }
    }
    let ingress = object.path(&["status", "loadBalancer", "ingress"]).items();
    if !ingress.is_empty() {
        let all: Vec<String> = ingress.iter().map(ingress_text).collect();
        doc.field(0, "LoadBalancer Ingress", &all.join(", "));
    }
    for port in spec.get("ports").items() {
        self::port(port, &subject.endpoint_slices, doc);
    }
    doc.field(0, "Session Affinity", text("sessionAffinity"));
    for (title, key) in
        [("External Traffic Policy", "externalTrafficPolicy"), ("Internal Traffic Policy", "internalTrafficPolicy")]
    {
        if !text(key).is_empty() {
            doc.field(0, title, text(key));
        }
    }
    if let Some(port) = spec.get("healthCheckNodePort").as_i64().filter(|p| *p != 0) {
        doc.field(0, "HealthCheck NodePort", &port.to_string());
    }
    if !spec.get("loadBalancerSourceRanges").is_zero() {
        doc.field(0, "LoadBalancer Source Ranges", &joined("loadBalancerSourceRanges"));
    }
    if spec.has("trafficDistribution") {
        doc.field(0, "Traffic Distribution", text("trafficDistribution"));
    }
    true
}

fn ingress_text(ingress: &Value) -> String {
    let text = |key: &str| ingress.get(key).str_or_empty();
    if text("ip").is_empty() {
        return text("hostname").to_owned();
    }
    match text("ipMode") {
        "" => text("ip").to_owned(),
        mode => format!("{} ({mode})", text("ip")),
    }
}

fn port(port: &Value, slices: &[Value], doc: &mut Document) {
    let name = port.get("name").str_or_empty();
    let shown = if name.is_empty() { "<unset>" } else { name };
    let protocol = port.get("protocol").str_or_empty();
    doc.field(0, "Port", &format!("{shown}\t{}/{protocol}", port.get("port").as_i64().unwrap_or(0)));
    doc.field(0, "TargetPort", &format!("{}/{protocol}", sprint(port.get("targetPort"))));
    if port.has("appProtocol") {
        doc.field(0, "AppProtocol", port.get("appProtocol").str_or_empty());
    }
    if let Some(node_port) = port.get("nodePort").as_i64().filter(|p| *p != 0) {
        doc.field(0, "NodePort", &format!("{shown}\t{node_port}/{protocol}"));
    }
    doc.field(0, "Endpoints", &endpoints(slices, name));
}

/// Up to three ready endpoints of a port.
pub(super) fn endpoints(slices: &[Value], port_name: &str) -> String {
    const SHOWN: usize = 3;
    if slices.is_empty() {
        return "<none>".to_owned();
    }
    let mut all: Vec<String> = Vec::new();
    for slice in slices {
        let ready =
            slice.get("endpoints").items().iter().filter(|e| e.path(&["conditions", "ready"]).as_bool() != Some(false));
        let addresses: Vec<&str> = ready.map(|e| e.get("addresses").index(0).str_or_empty()).collect();
        let ports = slice.get("ports").items();
        if ports.is_empty() {
            all.extend(addresses.iter().map(|a| (*a).to_owned()));
        }
        for port in ports.iter().filter(|p| p.get("name").str_or_empty() == port_name) {
            let number = port.get("port").as_i64().unwrap_or(0);
            let join = |a: &&str| if a.contains(':') { format!("[{a}]:{number}") } else { format!("{a}:{number}") };
            all.extend(addresses.iter().map(join));
        }
    }
    let shown = all[..all.len().min(SHOWN)].join(",");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}
