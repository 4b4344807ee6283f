//! Ingresses and endpoint slices.

use std::collections::BTreeSet;

use apimachinery::value::Value;

use super::Subject;
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
