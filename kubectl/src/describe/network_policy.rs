//! Network policies.

use apimachinery::value::Value;

use super::document::{Document, format_selector};
use crate::printers::sprint;
use crate::time::go_time;

/// One direction of traffic: the words for it.
struct Direction {
    /// `ingress` or `egress`: the field and the word.
    name: &'static str,
    /// The peers' field.
    peers: &'static str,
    /// The peers' title.
    title: &'static str,
    /// What is not restricted without peers.
    end: &'static str,
}

const DIRECTIONS: [(&str, Direction); 2] = [
    ("Ingress", Direction { name: "ingress", peers: "from", title: "From", end: "source" }),
    ("Egress", Direction { name: "egress", peers: "to", title: "To", end: "destination" }),
];

/// How deep the rules stand.
const INDENT: &str = "    ";

pub(super) fn policy(object: &Value, doc: &mut Document) -> bool {
    let spec = object.get("spec");
    doc.head(object, true);
    doc.field(0, "Created on", &go_time(object.path(&["metadata", "creationTimestamp"]).str_or_empty()));
    doc.labels_and_annotations(object);
    doc.write(0, "Spec:\n");
    doc.write(1, "PodSelector: ");
    let pods = spec.get("podSelector");
    if pods.get("matchLabels").is_zero() && pods.get("matchExpressions").is_zero() {
        doc.write(2, "<none> (Allowing the specific traffic to all pods in this namespace)\n");
    } else {
        doc.write(2, &format!("{}\n", format_selector(pods)));
    }
    let types: Vec<&str> = spec.get("policyTypes").items().iter().map(Value::str_or_empty).collect();
    for (kind, direction) in &DIRECTIONS {
        if types.contains(kind) {
            doc.write(1, &format!("Allowing {} traffic:\n", direction.name));
            rules(spec.get(direction.name).items(), direction, doc);
        } else {
            doc.write(1, &format!("Not affecting {} traffic\n", direction.name));
        }
    }
    let types = types.join(", ");
    doc.write(1, &format!("Policy Types: {}\n", if types.is_empty() { "<none>" } else { &types }));
    false
}

fn rules(rules: &[Value], direction: &Direction, doc: &mut Document) {
    let Direction { name, peers, title, end } = direction;
    if rules.is_empty() {
        doc.write(0, &format!("{INDENT}<none> (Selected pods are isolated for {name} connectivity)\n"));
    }
    for (index, rule) in rules.iter().enumerate() {
        if index > 0 {
            doc.write(0, &format!("{INDENT}----------\n"));
        }
        let ports = rule.get("ports").items();
        if ports.is_empty() {
            doc.write(0, &format!("{INDENT}To Port: <any> (traffic allowed to all ports)\n"));
        }
        ports.iter().for_each(|port| self::port(port, doc));
        let peers = rule.get(peers).items();
        if peers.is_empty() {
            doc.write(0, &format!("{INDENT}{title}: <any> (traffic not restricted by {end})\n"));
        }
        for peer in peers {
            doc.write(0, &format!("{INDENT}{title}:\n"));
            self::peer(peer, doc);
        }
    }
}

fn port(port: &Value, doc: &mut Document) {
    let protocol = port.get("protocol").as_str().unwrap_or("TCP");
    let first = match port.get("port") {
        none if none.is_null() => "<nil>".to_owned(),
        first => sprint(first),
    };
    match port.get("endPort").as_i64() {
        None => doc.write(0, &format!("{INDENT}To Port: {first}/{protocol}\n")),
        Some(last) => doc.write(0, &format!("{INDENT}To Port Range: {first}-{last}/{protocol}\n")),
    }
}

fn peer(peer: &Value, doc: &mut Document) {
    let (pods, namespaces, block) = (peer.get("podSelector"), peer.get("namespaceSelector"), peer.get("ipBlock"));
    for (title, selector) in [("NamespaceSelector", namespaces), ("PodSelector", pods)] {
        if !selector.is_null() {
            doc.write(1, &format!("{INDENT}{title}: {}\n", format_selector(selector)));
        }
    }
    if pods.is_null() && namespaces.is_null() && !block.is_null() {
        let except: Vec<&str> = block.get("except").items().iter().map(Value::str_or_empty).collect();
        doc.write(1, &format!("{INDENT}IPBlock:\n"));
        doc.write(2, &format!("{INDENT}CIDR: {}\n", block.get("cidr").str_or_empty()));
        doc.write(2, &format!("{INDENT}Except: {}\n", except.join(", ")));
    }
}
