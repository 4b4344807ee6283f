//! Ingresses and their classes, endpoints, endpoint slices, service addresses.

use std::collections::BTreeSet;

use apimachinery::value::Value;

use super::Subject;
use super::containers::time_or_zero;
use super::document::Document;
use super::service::endpoints;
use crate::printers::sprint;

fn text_or<'v>(value: &'v Value, default: &'v str) -> &'v str {
    match value.str_or_empty() {
        "" => default,
        text => text,
    }
}

pub(super) fn ingress(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    let spec = object.get("spec");
    doc.head(object, false);
    doc.labels("Labels", object.path(&["metadata", "labels"]));
    doc.field(0, "Namespace", object.path(&["metadata", "namespace"]).str_or_empty());
    let balancers = object.path(&["status", "loadBalancer", "ingress"]).items().iter();
    let addresses: BTreeSet<&str> =
        balancers.map(|b| text_or(b.get("ip"), b.get("hostname").str_or_empty())).filter(|a| !a.is_empty()).collect();
    doc.field(0, "Address", &Vec::from_iter(addresses).join(","));
    doc.field(0, "Ingress Class", text_or(spec.get("ingressClassName"), "<none>"));
    let default = match spec.get("defaultBackend") {
        none if none.is_null() => "<default>".to_owned(),
        default => backend(subject, default),
    };
    doc.field(0, "Default backend", &default);
    if !spec.get("tls").is_zero() {
        doc.write(0, "TLS:\n");
    }
    for tls in spec.get("tls").items() {
        let hosts: Vec<&str> = tls.get("hosts").items().iter().map(Value::str_or_empty).collect();
        let line = match tls.get("secretName").str_or_empty() {
            "" => format!("SNI routes {}\n", hosts.join(",")),
            secret => format!("{secret} terminates {}\n", hosts.join(",")),
        };
        doc.write(1, &line);
    }
    doc.write(0, "Rules:\n  Host\tPath\tBackends\n");
    doc.write(1, "----\t----\t--------\n");
    let rules: Vec<&Value> = spec.get("rules").items().iter().filter(|r| !r.get("http").is_null()).collect();
    for rule in &rules {
        doc.write(1, &format!("{}\t\n", text_or(rule.get("host"), "*")));
        for path in rule.path(&["http", "paths"]).items() {
            let backend = backend(subject, path.get("backend"));
            doc.write(2, &format!("\t{} \t{backend}\n", path.get("path").str_or_empty()));
        }
    }
    if rules.is_empty() {
        doc.write(1, &format!("*\t*\t{default}\n"));
    }
    doc.annotations("Annotations", object.path(&["metadata", "annotations"]));
    true
}

fn backend(subject: &Subject, backend: &Value) -> String {
    let resource = backend.get("resource");
    if !resource.is_null() {
        let text = |key: &str| resource.get(key).str_or_empty();
        let group = text_or(resource.get("apiGroup"), "<none>");
        return format!("APIGroup: {group}, Kind: {}, Name: {}", text("kind"), text("name"));
    }
    let service = backend.get("service");
    if service.is_null() {
        return String::new();
    }
    let name = service.get("name").str_or_empty();
    let (number, port_name) = (service.path(&["port", "number"]), service.path(&["port", "name"]).str_or_empty());
    let port = if number.is_zero() { port_name.to_owned() } else { sprint(number) };
    let shown = format!("{name}:{port}");
    match subject.backends.get(name) {
        None => shown,
        Some(Err(error)) => format!("{shown} (<error: {error}>)"),
        Some(Ok((service, slices))) => {
            let fits = |p: &&Value| match number.is_zero() {
                true => !port_name.is_empty() && p.get("name").str_or_empty() == port_name,
                false => p.get("port") == number,
            };
            let found = service.path(&["spec", "ports"]).items().iter().find(fits);
            let port_name = found.map_or("", |p| p.get("name").str_or_empty());
            format!("{shown} ({})", endpoints(slices, port_name))
        }
    }
}

pub(super) fn endpoint_slice(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, true);
    doc.labels_and_annotations(object);
    doc.field(0, "AddressType", object.get("addressType").str_or_empty());
    let shown = |value: &Value| if value.is_null() { "<unset>".to_owned() } else { sprint(value) };
    if object.get("ports").is_zero() {
        doc.write(0, "Ports: <unset>\n");
    } else {
        doc.write(0, "Ports:\n");
        doc.write(1, "Name\tPort\tProtocol\n");
        doc.write(1, "----\t----\t--------\n");
    }
    for port in object.get("ports").items() {
        let name = text_or(port.get("name"), "<unset>");
        doc.write(1, &format!("{name}\t{}\t{}\n", shown(port.get("port")), port.get("protocol").str_or_empty()));
    }
    if object.get("endpoints").is_zero() {
        doc.write(0, "Endpoints: <none>\n");
        return true;
    }
    doc.write(0, "Endpoints:\n");
    for endpoint in object.get("endpoints").items() {
        let addresses: Vec<&str> = endpoint.get("addresses").items().iter().map(Value::str_or_empty).collect();
        let addresses = addresses.join(", ");
        let addresses = if addresses.is_empty() { "<none>" } else { &addresses };
        doc.write(1, &format!("- Addresses:\t{addresses}\n"));
        doc.write(2, "Conditions:\n");
        doc.field(3, "Ready", &shown(endpoint.path(&["conditions", "ready"])));
        doc.field(2, "Hostname", &shown(endpoint.get("hostname")));
        let target = endpoint.get("targetRef");
        if !target.is_null() {
            let text = |key: &str| target.get(key).str_or_empty();
            doc.field(2, "TargetRef", &format!("{}/{}", text("kind"), text("name")));
        }
        doc.field(2, "NodeName", &shown(endpoint.get("nodeName")));
        doc.field(2, "Zone", &shown(endpoint.get("zone")));
    }
    true
}

pub(super) fn endpoint_subsets(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, true);
    doc.labels_and_annotations(object);
    doc.write(0, "Subsets:\n");
    for subset in object.get("subsets").items() {
        for (title, key) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
            let addresses: Vec<&str> = subset.get(key).items().iter().map(|a| a.get("ip").str_or_empty()).collect();
            let addresses = addresses.join(",");
            doc.field(1, title, if addresses.is_empty() { "<none>" } else { &addresses });
        }
        let ports = subset.get("ports").items();
        if !ports.is_empty() {
            doc.write(1, "Ports:\n");
            doc.write(2, "Name\tPort\tProtocol\n");
            doc.write(2, "----\t----\t--------\n");
        }
        for port in ports {
            let (name, number) = (text_or(port.get("name"), "<unset>"), sprint(port.get("port")));
            doc.write(2, &format!("{name}\t{number}\t{}\n", port.get("protocol").str_or_empty()));
        }
        doc.write(0, "\n");
    }
    true
}

pub(super) fn ingress_class(object: &Value, doc: &mut Document) -> bool {
    let spec = object.get("spec");
    doc.head(object, false);
    doc.labels_and_annotations(object);
    doc.field(0, "Controller", spec.get("controller").str_or_empty());
    let parameters = spec.get("parameters");
    if !parameters.is_null() {
        doc.write(0, "Parameters:\n");
        if parameters.has("apiGroup") {
            doc.field(1, "APIGroup", parameters.get("apiGroup").str_or_empty());
        }
        doc.field(1, "Kind", parameters.get("kind").str_or_empty());
        doc.field(1, "Name", parameters.get("name").str_or_empty());
    }
    true
}

pub(super) fn service_cidr(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, false);
    doc.labels_and_annotations(object);
    let ranges: Vec<&str> = object.path(&["spec", "cidrs"]).items().iter().map(Value::str_or_empty).collect();
    doc.field(0, "CIDRs", &ranges.join(", "));
    let conditions = object.path(&["status", "conditions"]).items();
    if !conditions.is_empty() {
        doc.write(0, "Status:\n");
    }
    timed_conditions(conditions, doc);
    true
}

/// Conditions with the time of their last change, if there are any.
pub(super) fn timed_conditions(conditions: &[Value], doc: &mut Document) {
    if conditions.is_empty() {
        return;
    }
    doc.write(0, "Conditions:\n");
    doc.write(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage\n");
    doc.write(1, "----\t------\t------------------\t------\t-------\n");
    for condition in conditions {
        let text = |key: &str| condition.get(key).str_or_empty();
        let time = time_or_zero(condition.get("lastTransitionTime"));
        let (kind, status, reason, message) = (text("type"), text("status"), text("reason"), text("message"));
        doc.write(1, &format!("{kind}\t{status}\t{time}\t{reason}\t{message}\n"));
    }
}

pub(super) fn ip_address(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, false);
    doc.labels_and_annotations(object);
    let parent = object.path(&["spec", "parentRef"]);
    if !parent.is_null() {
        doc.write(0, "Parent Reference:\n");
        for (title, key) in [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")]
        {
            doc.field(1, title, parent.get(key).str_or_empty());
        }
    }
    true
}
