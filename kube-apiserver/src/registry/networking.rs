//! Ingresses, network policies, service CIDRs and IP addresses.
//! upstream: pkg/apis/networking/validation/validation.go, pkg/registry/networking

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::object_meta::IMMUTABLE;
use apimachinery::selector::label::{self, SelectorRules};
use apimachinery::value::{Cursor, Value};

use crate::registry::internal_json::immutable_struct;
use crate::registry::strategy::{NameRule, RequestContext, Strategy};
use crate::registry::validation::{
    given_one_of, immutable_text, legacy_ip, metadata_again, metadata_update, named, one_of, port, port_or_name,
    required_named, shown,
};

/// The strategy of IngressClasses.
pub struct IngressClasses;
/// The strategy of Ingresses.
pub struct Ingresses;
/// The strategy of IPAddresses.
pub struct IpAddresses;
/// The strategy of NetworkPolicies.
pub struct NetworkPolicies;
/// The strategy of ServiceCIDRs.
pub struct ServiceCidrs;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

impl Strategy for Ingresses {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        ingress(obj.field("spec"), Cursor::default(), errs);
        let annotated = obj.field("metadata").field("annotations").field(CLASS_ANNOTATION);
        let class = obj.field("spec").field("ingressClassName");
        if annotated.exists() && class.exists() && annotated.str() != class.str() {
            let path = format!("annotations.{CLASS_ANNOTATION}");
            errs.invalid(path, annotated.str(), "must match `ingressClassName` when both are specified");
        }
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        ingress(obj.field("spec"), old.field("spec"), errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let balancer =
            |object: Cursor<'_>| object.field("status").field("loadBalancer").field("ingress").value().clone();
        let known: Vec<Value> = balancer(old).items().iter().map(|i| i.get("ip").clone()).collect();
        let known = Value::List(known);
        for one in obj.field("status").field("loadBalancer").field("ingress").list() {
            let (ip, host) = (one.field("ip"), one.field("hostname"));
            if !ip.is_empty() {
                legacy_ip(ip, Cursor::root(&known), errs);
            }
            if !host.is_empty() {
                named(host, names::dns1123_subdomain, errs);
                no_address(host, errs);
            }
        }
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let annotated = obj.field("metadata").field("annotations").field(CLASS_ANNOTATION).exists();
        if annotated && !obj.field("spec").field("ingressClassName").exists() {
            vec![format!("annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead")]
        } else {
            Vec::new()
        }
    }
}

fn no_address(host: Cursor<'_>, errs: &mut Errors) {
    if names::parse_ip_sloppy(host.str()).is_some() {
        errs.invalid(host, host.str(), "must be a DNS name, not an IP address");
    }
}

fn host_name(host: Cursor<'_>, errs: &mut Errors) {
    let rule = if host.str().contains('*') { names::wildcard_dns1123_subdomain } else { names::dns1123_subdomain };
    named(host, rule, errs);
}

fn ingress(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let (rules, backend) = (spec.field("rules"), spec.field("defaultBackend"));
    if rules.is_empty() && !backend.exists() {
        errs.invalid(spec, shown(rules.value()), "either `defaultBackend` or `rules` must be specified");
    }
    if backend.exists() {
        ingress_backend(backend, errs);
    }
    // What older servers let in may stay: paths that are wrong under a wildcard host, and names of secrets.
    let wildcard_was_invalid = old.field("rules").list().any(|rule| {
        let mut found = Errors::new();
        ingress_paths(rule, &mut found);
        rule.field("host").str().contains('*') && !found.is_empty()
    });
    for rule in rules.list() {
        let host = rule.field("host");
        if !host.is_empty() {
            no_address(host, errs);
            host_name(host, errs);
        }
        if !(host.str().contains('*') && wildcard_was_invalid) {
            ingress_paths(rule, errs);
        }
    }
    let secret_is_wrong = |tls: Cursor<'_>| {
        let name = tls.field("secretName");
        !name.is_empty() && !names::dns1123_subdomain(name.str()).is_empty()
    };
    let secret_was_wrong = old.field("tls").list().any(secret_is_wrong);
    for tls in spec.field("tls").list() {
        tls.field("hosts").list().for_each(|host| host_name(host, errs));
        if !secret_was_wrong && secret_is_wrong(tls) {
            named(tls.field("secretName"), names::dns1123_subdomain, errs);
        }
    }
    if spec.field("ingressClassName").exists() {
        named(spec.field("ingressClassName"), names::dns1123_subdomain, errs);
    }
}

fn ingress_paths(rule: Cursor<'_>, errs: &mut Errors) {
    let http = rule.field("http");
    if !http.exists() {
        return;
    }
    let paths = http.field("paths");
    if paths.is_empty() {
        errs.required(paths, "");
    }
    for path in paths.list() {
        let kind = path.field("pathType");
        if !kind.exists() {
            errs.required(kind, "pathType must be specified");
            continue;
        }
        let place = path.field("path");
        match kind.str() {
            "Exact" | "Prefix" => plain_path(place, errs),
            "ImplementationSpecific" if !place.is_empty() && !place.str().starts_with('/') => {
                errs.invalid(place, place.str(), "must be an absolute path");
            }
            "ImplementationSpecific" => {}
            _ => one_of(kind, &["Exact", "ImplementationSpecific", "Prefix"], errs),
        }
        ingress_backend(path.field("backend"), errs);
    }
}

fn plain_path(place: Cursor<'_>, errs: &mut Errors) {
    let path = place.str();
    if !path.starts_with('/') {
        errs.invalid(place, path, "must be an absolute path");
    }
    for sequence in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|s| path.contains(s)) {
        errs.invalid(place, path, format!("must not contain '{sequence}'"));
    }
    for suffix in ["/..", "/."].into_iter().filter(|s| path.ends_with(s)) {
        errs.invalid(place, path, format!("cannot end with '{suffix}'"));
    }
}

fn ingress_backend(backend: Cursor<'_>, errs: &mut Errors) {
    let (resource, service) = (backend.field("resource"), backend.field("service"));
    match (resource.exists(), service.exists()) {
        (true, true) => errs.invalid(backend, "", "cannot set both resource and service backends"),
        (true, false) => typed_reference(resource, errs),
        (false, false) => errs.invalid(backend, "", "resource or service backend is required"),
        (false, true) => {
            required_named(service.field("name"), names::dns1123_label, errs);
            let (name, number) = (service.field("port").field("name"), service.field("port").field("number"));
            match (!name.is_empty(), number.i64() != 0) {
                (true, true) => errs.invalid(backend, "", "cannot set both port name & port number"),
                (true, false) => named(name, names::port_name, errs),
                (false, true) => port(number, errs),
                (false, false) => errs.required(backend, "port name or number is required"),
            }
        }
    }
}

fn typed_reference(reference: Cursor<'_>, errs: &mut Errors) {
    if reference.field("apiGroup").exists() {
        named(reference.field("apiGroup"), names::dns1123_subdomain, errs);
    }
    for name in ["kind", "name"] {
        required_named(reference.field(name), names::path_segment_name, errs);
    }
}

impl Strategy for IngressClasses {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        ingress_class(obj.field("spec"), errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        immutable_text(obj.field("spec").field("controller"), old.field("spec").field("controller"), errs);
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        ingress_class(obj.field("spec"), errs);
    }
}

fn ingress_class(spec: Cursor<'_>, errs: &mut Errors) {
    const LONGEST: usize = 250;
    let controller = spec.field("controller");
    if controller.str().len() > LONGEST {
        errs.too_long(controller, LONGEST);
    }
    errs.extend(names::domain_prefixed_path(&controller.path(), controller.str()));
    let parameters = spec.field("parameters");
    if !parameters.exists() {
        return;
    }
    typed_reference(parameters, errs);
    let (scope, namespace) = (parameters.field("scope"), parameters.field("namespace"));
    given_one_of(scope, &["Cluster", "Namespace"], errs);
    match (scope.str(), namespace.exists()) {
        ("Namespace", false) => errs.required(namespace, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", true) => named(namespace, names::dns1123_label, errs),
        ("Cluster", true) => errs.forbidden(namespace, "`parameters.scope` is set to 'Cluster'"),
        _ => {}
    }
}

impl Strategy for NetworkPolicies {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        network_policy(obj.field("spec"), Cursor::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        network_policy(obj.field("spec"), old.field("spec"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        policy_warnings(obj.field("spec"))
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        policy_warnings(obj.field("spec"))
    }
}

/// Both directions of a policy: the list of rules and the name of the list of peers in each.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

fn blocks(spec: Cursor<'_>) -> impl Iterator<Item = Cursor<'_>> {
    let peers = DIRECTIONS
        .into_iter()
        .flat_map(move |(rules, peers)| spec.field(rules).list().flat_map(move |rule| rule.field(peers).list()));
    peers.map(|peer| peer.field("ipBlock")).filter(|block| block.exists())
}

fn block_cidrs(block: Cursor<'_>) -> impl Iterator<Item = Cursor<'_>> {
    std::iter::once(block.field("cidr")).chain(block.field("except").list())
}

fn policy_warnings(spec: Cursor<'_>) -> Vec<String> {
    let cidrs = blocks(spec).flat_map(|block| block_cidrs(block).collect::<Vec<_>>());
    cidrs.flat_map(|cidr| names::cidr_warnings(&cidr.path(), cidr.str())).collect()
}

fn network_policy(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let known: Vec<Value> =
        blocks(old).flat_map(|b| block_cidrs(b).map(|c| c.value().clone()).collect::<Vec<_>>()).collect();
    let known = Value::List(known);
    let rules = SelectorRules {
        allow_invalid_values: label::has_invalid_values(old.field("podSelector").value()),
        ..SelectorRules::default()
    };
    label::validate(spec.field("podSelector"), rules, errs);
    for (list, peers) in DIRECTIONS {
        for rule in spec.field(list).list() {
            rule.field("ports").list().for_each(|port| policy_port(port, errs));
            rule.field(peers).list().for_each(|peer| policy_peer(peer, Cursor::root(&known), rules, errs));
        }
    }
    let types = spec.field("policyTypes");
    if types.len() > 2 {
        errs.invalid(types, types, "may not specify more than two policyTypes");
        return;
    }
    types.list().for_each(|one| one_of(one, &["Ingress", "Egress"], errs));
}

fn policy_port(place: Cursor<'_>, errs: &mut Errors) {
    if place.field("protocol").exists() {
        one_of(place.field("protocol"), &["TCP", "UDP", "SCTP"], errs);
    }
    let (number, end) = (place.field("port"), place.field("endPort"));
    match number.value() {
        Value::Int(first) => {
            port(number, errs);
            if end.exists() {
                if end.i64() < *first {
                    // Upstream shows the first port here.
                    errs.invalid(end, *first, "must be greater than or equal to `port`");
                }
                port(end, errs);
            }
        }
        Value::Null if end.exists() => errs.invalid(end, end, "may not be specified when `port` is not specified"),
        Value::Null => {}
        _ => {
            if end.exists() {
                errs.invalid(end, end, "may not be specified when `port` is non-numeric");
            }
            port_or_name(number, errs);
        }
    }
}

fn policy_peer(peer: Cursor<'_>, known: Cursor<'_>, rules: SelectorRules, errs: &mut Errors) {
    let mut peers = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if peer.field(name).exists() {
            peers += 1;
            label::validate(peer.field(name), rules, errs);
        }
    }
    let block = peer.field("ipBlock");
    if block.exists() {
        ip_block(block, known, errs);
        if peers > 0 {
            errs.forbidden(peer, "may not specify both ipBlock and another peer");
        }
    } else if peers == 0 {
        errs.required(peer, "must specify a peer");
    }
}

fn ip_block(block: Cursor<'_>, known: Cursor<'_>, errs: &mut Errors) {
    let cidr = block.field("cidr");
    if cidr.is_empty() {
        errs.required(cidr, "");
        return;
    }
    let mut check = |place: Cursor<'_>| {
        if !known.list().any(|k| k.str() == place.str()) {
            errs.invalid_each(place, place.str(), names::cidr_sloppy(place.str()));
        }
        names::parse_cidr_sloppy(place.str())
    };
    let Some((net, length)) = check(cidr) else { return };
    let excepts: Vec<_> = block.field("except").list().map(|except| (except, check(except))).collect();
    for (except, parsed) in excepts {
        if let Some((address, inner)) = parsed
            && (inner <= length || !contains(net, length, address))
        {
            errs.invalid(except, except.str(), "must be a strict subset of `cidr`");
        }
    }
}

/// True if the address is in the network.
fn contains(net: std::net::IpAddr, length: u8, address: std::net::IpAddr) -> bool {
    use std::net::IpAddr::{V4, V6};
    let shifted = |bits: u128, width: u32| bits.checked_shr(width - u32::from(length)).unwrap_or(0);
    match (net, address) {
        (V4(net), V4(address)) => shifted(net.to_bits().into(), 32) == shifted(address.to_bits().into(), 32),
        (V6(net), V6(address)) => shifted(net.to_bits(), 128) == shifted(address.to_bits(), 128),
        _ => false,
    }
}

impl Strategy for IpAddresses {
    fn name_rule(&self) -> NameRule {
        NameRule::Custom(names::ip)
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        let parent = obj.field("spec").field("parentRef");
        if !parent.exists() {
            errs.required(parent, "");
            return;
        }
        if !parent.field("group").is_empty() {
            named(parent.field("group"), names::dns1123_subdomain, errs);
        }
        for name in ["resource", "name"] {
            required_named(parent.field(name), names::path_segment_name, errs);
        }
        named(parent.field("namespace"), names::path_segment_name, errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::ip, errs);
        self.validate_create(cx, obj, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        let (new, old) = (obj.field("spec").field("parentRef"), old.field("spec").field("parentRef"));
        immutable_struct(new, old, "io.k8s.api.networking.v1.ParentReference", errs);
    }
}

impl Strategy for ServiceCidrs {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        service_cidr(obj.field("spec"), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let (cidrs, before) = (obj.field("spec").field("cidrs"), old.field("spec").field("cidrs"));
        match (before.len(), cidrs.len()) {
            (b, n) if b == n || (b, n) == (1, 2) => {
                for (cidr, old) in cidrs.list().zip(before.list()) {
                    if cidr.str() != old.str() {
                        errs.invalid(cidr, cidr.str(), IMMUTABLE);
                    }
                }
                if b != n {
                    service_cidr(obj.field("spec"), errs);
                }
            }
            _ => errs.invalid(cidrs, shown(cidrs.value()), IMMUTABLE),
        }
    }
}

fn service_cidr(spec: Cursor<'_>, errs: &mut Errors) {
    let cidrs = spec.field("cidrs");
    match cidrs.len() {
        0 => errs.required(cidrs, "at least one CIDR required"),
        1 | 2 => {
            cidrs.list().for_each(|cidr| named(cidr, names::cidr, errs));
            let parsed: Vec<_> = cidrs.list().filter_map(|c| names::parse_cidr_sloppy(c.str())).collect();
            if let [(first, _), (second, _)] = parsed[..]
                && first.is_ipv4() == second.is_ipv4()
            {
                let one = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
                errs.invalid(cidrs, cidrs, one);
            }
        }
        _ => {
            let spec = format!(r#"{{"CIDRs":{}}}"#, BadValue::from(cidrs));
            errs.invalid(cidrs, BadValue::json(spec), "may only hold up to 2 values");
        }
    }
}
