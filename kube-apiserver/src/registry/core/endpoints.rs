//! Endpoints, the older form of EndpointSlices.
//! upstream: pkg/apis/core/validation/validation.go

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;

use super::services::endpoint_ip;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{legacy_ip, metadata, named, port, required_one_of};

/// The strategy of Endpoints.
pub struct Endpoints;

impl Strategy for Endpoints {
    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        subsets(obj.field("subsets"), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
        // What is wrong already and does not change may stay.
        if obj.field("subsets").value() != old.field("subsets").value() {
            subsets(obj.field("subsets"), errs);
        }
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }
}

fn addresses(subset: Cursor<'_>) -> impl Iterator<Item = Cursor<'_>> {
    subset.field("addresses").list().chain(subset.field("notReadyAddresses").list())
}

fn warnings(obj: Cursor<'_>) -> Vec<String> {
    let ips = obj.field("subsets").list().flat_map(|subset| addresses(subset).collect::<Vec<_>>());
    ips.map(|address| address.field("ip")).flat_map(|ip| names::ip_warnings(&ip.path(), ip.str())).collect()
}

fn subsets(list: Cursor<'_>, errs: &mut Errors) {
    for subset in list.list() {
        if subset.field("addresses").is_empty() && subset.field("notReadyAddresses").is_empty() {
            errs.required(subset, "must specify `addresses` or `notReadyAddresses`");
        }
        addresses(subset).for_each(|one| address(one, errs));
        let ports = subset.field("ports");
        for one in ports.list() {
            let name = one.field("name");
            if !name.is_empty() {
                named(name, names::dns1123_label, errs);
            } else if ports.len() > 1 {
                errs.required(name, "");
            }
            port(one.field("port"), errs);
            required_one_of(one.field("protocol"), &["SCTP", "TCP", "UDP"], errs);
            if one.field("appProtocol").exists() {
                named(one.field("appProtocol"), names::qualified_name, errs);
            }
        }
    }
}

fn address(place: Cursor<'_>, errs: &mut Errors) {
    legacy_ip(place.field("ip"), Cursor::default(), errs);
    if !place.field("hostname").is_empty() {
        named(place.field("hostname"), names::dns1123_label, errs);
    }
    if place.field("nodeName").exists() {
        named(place.field("nodeName"), names::dns1123_subdomain, errs);
    }
    endpoint_ip(place.field("ip"), errs);
}
