//! EndpointSlices.
//! upstream: pkg/registry/discovery/endpointslice/strategy.go, pkg/apis/discovery/validation/validation.go

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label;
use apimachinery::value::{Cursor, Value};

use super::core::services::endpoint_ip;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{given_one_of, immutable_text, named, required_one_of};

/// The strategy of EndpointSlices.
pub struct EndpointSlices;

const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;
const MOST_LABELS: usize = 16;
const MOST_HINTS: usize = 8;

impl Strategy for EndpointSlices {
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        obj.set_path(&["metadata", "generation"], Value::Int(1));
        drop_topology(obj, &Value::Null);
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        // Labels count, since the service that a slice is of is a label.
        let parts = ["addressType", "endpoints", "ports"];
        let changed = parts.iter().any(|part| obj.get(part) != old.get(part))
            || obj.path(&["metadata", "labels"]) != old.path(&["metadata", "labels"]);
        let generation = old.path(&["metadata", "generation"]).as_i64().unwrap_or(0);
        obj.set_path(&["metadata", "generation"], Value::Int(generation + i64::from(changed)));
        if obj.get("endpoints") != old.get("endpoints") {
            drop_topology(obj, old);
        }
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        slice(obj, Cursor::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        slice(obj, old, errs);
        immutable_text(obj.field("addressType"), old.field("addressType"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let mut all = Vec::new();
        if obj.field("addressType").str() == "FQDN" {
            all.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        all.extend(address_warnings(obj));
        all
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        address_warnings(obj)
    }
}

/// v1 does not take topologies any more; the name of the node that one held already is kept.
/// upstream: dropTopologyOnV1
fn drop_topology(obj: &mut Value, old: &Value) {
    const HOST: &str = "kubernetes.io/hostname";
    let host = |endpoint: &Value| endpoint.path(&["deprecatedTopology", HOST]).clone();
    let known: Vec<Value> = old.get("endpoints").items().iter().map(host).filter(|h| !h.is_zero()).collect();
    let Some(Value::List(endpoints)) = obj.get_mut("endpoints") else { return };
    for endpoint in endpoints {
        let name = host(endpoint);
        let valid = names::dns1123_subdomain(name.str_or_empty()).is_empty();
        if endpoint.get("nodeName").is_null() && known.contains(&name) && valid {
            endpoint.set("nodeName", name);
        }
        endpoint.remove("deprecatedTopology");
    }
}

fn address_warnings(obj: Cursor<'_>) -> Vec<String> {
    const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
    const OWN: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    if OWN.contains(&obj.field("metadata").field("labels").field(MANAGED_BY).str()) {
        return Vec::new();
    }
    let addresses = obj.field("endpoints").list().flat_map(|e| e.field("addresses").list());
    addresses.flat_map(|address| names::ip_warnings(&address.path(), address.str())).collect()
}

fn slice(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    required_one_of(obj.field("addressType"), &["FQDN", "IPv4", "IPv6"], errs);
    ports(obj.field("ports"), errs);
    // What is wrong already and does not change may stay.
    if !old.exists() || obj.field("endpoints").value() != old.field("endpoints").value() {
        endpoints(obj, errs);
    }
}

fn ports(list: Cursor<'_>, errs: &mut Errors) {
    if list.len() > MOST_PORTS {
        errs.too_many(list, list.len(), MOST_PORTS);
        return;
    }
    let mut seen = BTreeSet::new();
    for port in list.list() {
        let name = port.field("name");
        if !name.is_empty() {
            named(name, names::dns1123_label, errs);
        }
        if !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
        given_one_of(port.field("protocol"), &["SCTP", "TCP", "UDP"], errs);
        if port.field("appProtocol").exists() {
            named(port.field("appProtocol"), names::qualified_name, errs);
        }
    }
}

fn endpoints(obj: Cursor<'_>, errs: &mut Errors) {
    let list = obj.field("endpoints");
    if list.len() > MOST_ENDPOINTS {
        errs.too_many(list, list.len(), MOST_ENDPOINTS);
        return;
    }
    for endpoint in list.list() {
        let addresses = endpoint.field("addresses");
        match addresses.len() {
            0 => errs.required(addresses, "must contain at least 1 address"),
            n if n > MOST_ADDRESSES => errs.too_many(addresses, n, MOST_ADDRESSES),
            _ => {}
        }
        addresses.list().for_each(|one| address(one, addresses, obj.field("addressType").str(), errs));
        if endpoint.field("nodeName").exists() {
            named(endpoint.field("nodeName"), names::dns1123_subdomain, errs);
        }
        let topology = endpoint.field("deprecatedTopology");
        if topology.len() > MOST_LABELS {
            errs.too_many(topology, topology.len(), MOST_LABELS);
        }
        label::validate_labels(topology, errs);
        if endpoint.field("hostname").exists() {
            named(endpoint.field("hostname"), names::dns1123_label, errs);
        }
        hints(endpoint.field("hints"), errs);
    }
}

fn address(place: Cursor<'_>, list: Cursor<'_>, family: &str, errs: &mut Errors) {
    let before = errs.len();
    let (wrong_family, text) = match family {
        "IPv4" => {
            errs.invalid_each(place, place.str(), names::ip_sloppy(place.str()));
            (place.str().contains(':'), "must be an IPv4 address")
        }
        "IPv6" => {
            errs.invalid_each(place, place.str(), names::ip(place.str()));
            (!place.str().contains(':'), "must be an IPv6 address")
        }
        "FQDN" => {
            errs.extend(names::fully_qualified_domain_name(&place.path(), place.str()));
            return;
        }
        _ => return,
    };
    if errs.len() == before {
        if wrong_family {
            errs.invalid(list, place.str(), text);
        }
        endpoint_ip(place, errs);
    }
}

fn hints(hints: Cursor<'_>, errs: &mut Errors) {
    for name in ["forZones", "forNodes"] {
        let list = hints.field(name);
        if list.len() > MOST_HINTS {
            errs.too_many(list, list.len(), MOST_HINTS);
            return;
        }
        let mut seen = BTreeSet::new();
        for hint in list.list().map(|hint| hint.field("name")) {
            if !seen.insert(hint.str()) {
                errs.duplicate(hint, hint.str());
            }
            let rule = if name == "forZones" { names::label_value } else { names::dns1123_subdomain };
            named(hint, rule, errs);
        }
    }
}
