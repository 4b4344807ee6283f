//! Services: rules between type, addresses and ports; what a change of the type drops; warnings. Addresses and node ports
//! are allocated by hooks (service_ip), not here.
//! upstream: pkg/registry/core/service/strategy.go, pkg/apis/core/validation/validation.go, pkg/api/service/warnings.go

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::selector::label;
use apimachinery::value::{Cursor, Value};

use crate::registry::ordinary;
use crate::registry::strategy::{Hooks, NameRule, RequestContext, Strategy};
use crate::registry::validation::{legacy_ip, named, one_of, port, port_or_name, required_one_of, shown};
use crate::service_ip::{self, normalize};

/// The strategy of services.
pub struct Services;

const LOAD_BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const ONCE: &str = "may not change once set";

impl Strategy for Services {
    fn name_rule(&self) -> NameRule {
        NameRule::Dns1123Label
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        ordinary::prepare_create(cx, obj);
        normalize::on_create(obj);
    }

    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        ordinary::prepare_update(cx, obj, old);
        drop_type_dependent_fields(obj, old);
        normalize::on_update(obj, old);
    }

    /// Services that are only names have no policy, even if a client gives one.
    fn canonicalize(&self, obj: &mut Value) {
        if obj.path(&["spec", "type"]).as_str() == Some("ExternalName") {
            obj.remove_path(&["spec", "internalTrafficPolicy"]);
        }
    }

    fn hooks(&self) -> Option<&dyn Hooks> {
        Some(&service_ip::HOOKS)
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        validate(obj, Cursor::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let (new_spec, old_spec) = (obj.field("spec"), old.field("spec"));
        if kind(new_spec) != "ExternalName" && kind(old_spec) != "ExternalName" {
            cluster_ips_change(new_spec, old_spec, errs);
            families_change(new_spec, old_spec, errs);
        }
        let both_balanced = kind(new_spec) == "LoadBalancer" && kind(old_spec) == "LoadBalancer";
        let (class, old_class) = (new_spec.field("loadBalancerClass"), old_spec.field("loadBalancerClass"));
        if both_balanced && class.value() != old_class.value() {
            errs.invalid(class, shown(class.value()), ONCE);
        }
        load_balancer_class(new_spec, errs);
        let (check, old_check) = (new_spec.field("healthCheckNodePort"), old_spec.field("healthCheckNodePort"));
        if needs_health_check(new_spec) && needs_health_check(old_spec) && check.value() != old_check.value() {
            errs.forbidden(check, apimachinery::object_meta::IMMUTABLE);
        }
        validate(obj, old, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let ingress = obj.field("status").field("loadBalancer").field("ingress");
        if kind(obj.field("spec")) != "LoadBalancer" && !ingress.is_empty() {
            errs.forbidden(ingress, "may only be used when `spec.type` is 'LoadBalancer'");
            return;
        }
        let known = old.field("status").field("loadBalancer").field("ingress");
        for one in ingress.list() {
            load_balancer_ingress(one, known, errs);
        }
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }
}

fn kind(spec: Cursor<'_>) -> &str {
    spec.field("type").str()
}

fn is_headless(spec: Cursor<'_>) -> bool {
    spec.field("clusterIPs").len() == 1 && spec.field("clusterIPs").index(0).str() == "None"
}

/// Reached from outside of the cluster, through a node port, a load balancer or an external address.
fn is_external(spec: Cursor<'_>) -> bool {
    match kind(spec) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.field("externalIPs").is_empty(),
        _ => false,
    }
}

fn needs_health_check(spec: Cursor<'_>) -> bool {
    kind(spec) == "LoadBalancer" && spec.field("externalTrafficPolicy").str() == "Local"
}

fn validate(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let (spec, old_spec) = (obj.field("spec"), old.field("spec"));
    topology_annotations(obj, errs);
    if spec.field("ports").is_empty() && !is_headless(spec) && kind(spec) != "ExternalName" {
        errs.required(spec.field("ports"), "");
    }
    type_rules(spec, errs);
    let mut port_names = BTreeSet::new();
    for one in spec.field("ports").list() {
        service_port(one, spec.field("ports").len() > 1, &mut port_names, errs);
    }
    label::validate_labels(spec.field("selector"), errs);
    session_affinity(spec, errs);
    cluster_ips(spec, old_spec, errs);
    external_ips(spec, old_spec, errs);
    required_one_of(spec.field("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], errs);
    port_conflicts(spec, errs);
    source_ranges(obj, old, errs);
    let allocate = spec.field("allocateLoadBalancerNodePorts");
    if allocate.exists() && kind(spec) != "LoadBalancer" {
        errs.forbidden(allocate, LOAD_BALANCER_ONLY);
    }
    if !allocate.exists() && kind(spec) == "LoadBalancer" {
        errs.required("allocateLoadBalancerNodePorts", "");
    }
    load_balancer_class(spec, errs);
    external_traffic(spec, errs);
    internal_traffic(spec, errs);
    let distribution = spec.field("trafficDistribution");
    if distribution.exists() {
        one_of(distribution, &["PreferClose", "PreferSameZone", "PreferSameNode"], errs);
    }
}

fn topology_annotations(obj: Cursor<'_>, errs: &mut Errors) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let annotations = obj.field("metadata").field("annotations");
    let (mode, hints) = (annotations.key("service.kubernetes.io/topology-mode"), annotations.key(HINTS));
    if mode.exists() && hints.exists() && mode.str() != hints.str() {
        errs.invalid(mode, mode.str(), format!("must match annotations[{HINTS}] when both are specified"));
    }
}

fn type_rules(spec: Cursor<'_>, errs: &mut Errors) {
    match kind(spec) {
        service_type @ ("LoadBalancer" | "NodePort") if is_headless(spec) => {
            let first = spec.field("clusterIPs").index(0);
            errs.invalid(first, first.str(), format!("may not be set to 'None' for {service_type} services"));
        }
        "ExternalName" => {
            let policy = spec.field("ipFamilyPolicy");
            let lists = ["clusterIPs", "ipFamilies"].map(|name| spec.field(name)).into_iter().filter(|l| !l.is_empty());
            for place in lists.chain(policy.exists().then_some(policy)) {
                errs.forbidden(place, "may not be set for ExternalName services");
            }
            let name = spec.field("externalName");
            match name.str().strip_suffix('.').unwrap_or(name.str()) {
                "" => errs.required(name, ""),
                canonical => errs.invalid_each(name, canonical, names::dns1123_subdomain(canonical)),
            }
        }
        _ => {}
    }
}

fn service_port<'a>(place: Cursor<'a>, name_required: bool, seen: &mut BTreeSet<&'a str>, errs: &mut Errors) {
    let name = place.field("name");
    if !name.is_empty() {
        named(name, names::dns1123_label, errs);
        if !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
    } else if name_required {
        errs.required(name, "");
    }
    port(place.field("port"), errs);
    required_one_of(place.field("protocol"), &["SCTP", "TCP", "UDP"], errs);
    port_or_name(place.field("targetPort"), errs);
    if place.field("appProtocol").exists() {
        named(place.field("appProtocol"), names::qualified_name, errs);
    }
}

fn session_affinity(spec: Cursor<'_>, errs: &mut Errors) {
    /// A day, in seconds.
    const LONGEST: i64 = 86_400;
    required_one_of(spec.field("sessionAffinity"), &["ClientIP", "None"], errs);
    let config = spec.field("sessionAffinityConfig");
    match spec.field("sessionAffinity").str() {
        "ClientIP" => {
            let client = config.field("clientIP");
            let timeout = client.field("timeoutSeconds");
            if !config.exists() {
                errs.required(config, "when session affinity type is ClientIP");
            } else if !client.exists() {
                errs.required(client, "when session affinity type is ClientIP");
            } else if !timeout.exists() {
                errs.required(timeout, "when session affinity type is ClientIP");
            } else if !(1..=LONGEST).contains(&timeout.i64()) {
                errs.invalid(timeout, timeout.i64(), format!("must be greater than 0 and less than {LONGEST}"));
            }
        }
        "None" if config.exists() => errs.forbidden(config, "must not be set when session affinity is None"),
        _ => {}
    }
}

/// Addresses and families of a service.
/// upstream: ValidateServiceClusterIPsRelatedFields
pub fn cluster_ips(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if kind(spec) == "ExternalName" {
        return;
    }
    let (one, all) = (spec.field("clusterIP"), spec.field("clusterIPs"));
    match (one.is_empty(), all.is_empty()) {
        (false, true) => errs.required(all, ""),
        (false, false) if all.index(0).str() != one.str() => {
            errs.invalid(all, all, "first value must match `clusterIP`");
        }
        (true, false) => errs.invalid(all, all, "must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    families(spec, errs);
    let before = errs.len();
    for (index, ip) in all.list().enumerate() {
        if index > 0 || ip.str() != "None" {
            legacy_ip(ip, old.field("clusterIPs"), errs);
        } else if all.len() > 1 {
            errs.invalid(all, all, "'None' must be the first and only value");
        }
    }
    let has_invalid = errs.len() > before;
    if all.len() > 2 {
        errs.invalid(all, all, "may only hold up to 2 values");
    }
    if has_invalid {
        return;
    }
    let is_v6 = |ip: Cursor<'_>| ip.str().contains(':');
    if all.len() > 1 && !(all.list().any(is_v6) && all.list().any(|ip| !is_v6(ip))) {
        errs.invalid(all, all, "may specify no more than one IP for each IP family");
    }
    if is_headless(spec) {
        return;
    }
    for (index, (ip, family)) in all.list().zip(spec.field("ipFamilies").list()).enumerate() {
        if matches!((family.str(), is_v6(ip)), ("IPv4", true) | ("IPv6", false)) {
            let expected = family.str();
            errs.invalid(ip, ip.str(), format!("expected an {expected} value as indicated by `ipFamilies[{index}]`"));
        }
    }
}

fn families(spec: Cursor<'_>, errs: &mut Errors) {
    let mut seen = BTreeSet::new();
    for family in spec.field("ipFamilies").list() {
        one_of(family, &["IPv4", "IPv6"], errs);
        if !seen.insert(family.str()) {
            errs.duplicate(family, family.str());
        }
    }
    let policy = spec.field("ipFamilyPolicy");
    if policy.exists() {
        one_of(policy, &["PreferDualStack", "RequireDualStack", "SingleStack"], errs);
    }
}

fn external_ips(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    for ip in spec.field("externalIPs").list() {
        let before = errs.len();
        legacy_ip(ip, old.field("externalIPs"), errs);
        if errs.len() == before {
            endpoint_ip(ip, errs);
        }
    }
}

/// An address that traffic can be sent to: not unspecified, loopback or link-local.
pub fn endpoint_ip(place: Cursor<'_>, errs: &mut Errors) {
    let Some(ip) = names::parse_ip_sloppy(place.str()) else {
        errs.invalid(place, place.str(), "must be a valid IP address");
        return;
    };
    let (link_local, multicast) = match ip {
        std::net::IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        std::net::IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        errs.invalid(place, place.str(), format!("may not be unspecified ({})", place.str()));
    }
    let loopback = ip.is_loopback();
    for (holds, text) in [
        (loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        if holds {
            errs.invalid(place, place.str(), text);
        }
    }
}

fn port_conflicts(spec: Cursor<'_>, errs: &mut Errors) {
    let ports = spec.field("ports");
    if kind(spec) == "ClusterIP" {
        for one in ports.list().filter(|p| p.field("nodePort").i64() != 0) {
            errs.forbidden(one.field("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut node_ports = BTreeSet::new();
    for one in ports.list() {
        let node_port = one.field("nodePort");
        if node_port.i64() != 0 && !node_ports.insert((one.field("protocol").str(), node_port.i64())) {
            errs.duplicate(node_port, node_port.i64());
        }
    }
    let mut numbers = BTreeSet::new();
    for one in ports.list() {
        let (protocol, number) = (one.field("protocol").str(), one.field("port").i64());
        if !numbers.insert((protocol, number)) {
            // Upstream shows the key of its map, a port with nothing but these two.
            let key = format!(
                r#"{{"Name":"","Protocol":"{protocol}","AppProtocol":null,"Port":{number},"TargetPort":0,"NodePort":0}}"#
            );
            errs.duplicate(one, BadValue::json(key));
        }
    }
}

fn source_ranges(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let spec = obj.field("spec");
    let ranges = spec.field("loadBalancerSourceRanges");
    let annotated = obj.field("metadata").field("annotations").key(ANNOTATION);
    if !ranges.is_empty() {
        // The path is upstream's, with its capital letter.
        let path = spec.path().child("LoadBalancerSourceRanges");
        if kind(spec) != "LoadBalancer" {
            errs.forbidden(&path, LOAD_BALANCER_ONLY);
        }
        let known = old.field("spec").field("loadBalancerSourceRanges");
        for (index, range) in ranges.list().enumerate() {
            let text = range.str().trim();
            if !known.list().any(|k| k.str().trim() == text) {
                errs.invalid_each(path.index(index), text, names::cidr_sloppy(text));
            }
        }
    } else if annotated.exists() {
        if kind(spec) != "LoadBalancer" {
            errs.forbidden(annotated, LOAD_BALANCER_ONLY);
        }
        let unchanged = old.field("metadata").field("annotations").key(ANNOTATION).opt_str() == annotated.opt_str();
        let text = annotated.str().trim();
        if !unchanged && !text.is_empty() {
            for range in text.split(',').map(str::trim) {
                errs.invalid_each(annotated, range, names::cidr_sloppy(range));
            }
        }
    }
}

fn load_balancer_class(spec: Cursor<'_>, errs: &mut Errors) {
    let class = spec.field("loadBalancerClass");
    if class.exists() && kind(spec) == "LoadBalancer" {
        named(class, names::qualified_name, errs);
    } else if class.exists() {
        errs.forbidden(class, LOAD_BALANCER_ONLY);
    }
}

fn external_traffic(spec: Cursor<'_>, errs: &mut Errors) {
    let policy = spec.field("externalTrafficPolicy");
    if is_external(spec) {
        required_one_of(policy, &["Cluster", "Local"], errs);
    } else if !policy.is_empty() {
        errs.invalid(policy, policy.str(), "may only be set for externally-accessible services");
    }
    let check = spec.field("healthCheckNodePort");
    if needs_health_check(spec) {
        if check.i64() == 0 { errs.required(check, "") } else { port(check, errs) }
    } else if check.i64() != 0 {
        let only = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errs.invalid(check, check.i64(), only);
    }
}

fn internal_traffic(spec: Cursor<'_>, errs: &mut Errors) {
    let policy = spec.field("internalTrafficPolicy");
    if policy.exists() {
        one_of(policy, &["Cluster", "Local"], errs);
    } else if matches!(kind(spec), "NodePort" | "LoadBalancer" | "ClusterIP") {
        errs.required(policy, "");
    }
}

fn cluster_ips_change(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if is_headless(new) && is_headless(old) {
        return;
    }
    let (ips, old_ips) = (new.field("clusterIPs"), old.field("clusterIPs"));
    let first_differs = !old_ips.is_empty() && !ips.is_empty() && ips.index(0).str() != old_ips.index(0).str();
    let all = || shown(ips.value());
    if ips.len() == old_ips.len() {
        for (ip, old) in ips.list().zip(old_ips.list()) {
            if ip.str() != old.str() {
                errs.invalid(ip, all(), ONCE);
            }
        }
        return;
    }
    if old_ips.len() > ips.len() && ips.is_empty() {
        errs.invalid(ips.index(0), all(), "primary clusterIP can not be unset");
    }
    if first_differs {
        errs.invalid(ips.index(0), all(), ONCE);
    }
    let policy = new.field("ipFamilyPolicy");
    if old_ips.len() > ips.len() && ips.len() == 1 && policy.str() != "SingleStack" {
        errs.invalid(
            policy,
            shown(policy.value()),
            "must be set to 'SingleStack' when releasing the secondary clusterIP",
        );
    }
}

fn families_change(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if is_headless(new) || is_headless(old) {
        return;
    }
    let (families, old_families) = (new.field("ipFamilies"), old.field("ipFamilies"));
    let first_differs =
        !old_families.is_empty() && !families.is_empty() && families.index(0).str() != old_families.index(0).str();
    if families.len() == old_families.len() {
        for (family, old) in families.list().zip(old_families.list()) {
            if family.str() != old.str() {
                errs.invalid(families.index(0), shown(families.value()), ONCE);
            }
        }
        return;
    }
    if old_families.len() > families.len() && new.field("clusterIPs").is_empty() {
        errs.invalid(families.index(0), shown(families.value()), "primary ipFamily can not be unset");
    }
    if first_differs {
        // Upstream shows the addresses here.
        errs.invalid(families.index(0), shown(new.field("clusterIPs").value()), ONCE);
    }
    let policy = new.field("ipFamilyPolicy");
    if old_families.len() > families.len() && families.len() == 1 && policy.str() != "SingleStack" {
        errs.invalid(
            policy,
            shown(policy.value()),
            "must be set to 'SingleStack' when releasing the secondary ipFamily",
        );
    }
}

fn load_balancer_ingress(one: Cursor<'_>, known: Cursor<'_>, errs: &mut Errors) {
    let (ip, mode, host) = (one.field("ip"), one.field("ipMode"), one.field("hostname"));
    if !ip.is_empty() && !known.list().any(|k| k.field("ip").str() == ip.str()) {
        errs.invalid_each(ip, ip.str(), names::ip_sloppy(ip.str()));
    }
    match (mode.exists(), ip.is_empty()) {
        (false, false) => errs.required(mode, "must be specified when `ip` is set"),
        (true, true) => errs.forbidden(mode, "may not be specified when `ip` is not set"),
        (true, false) => one_of(mode, &["Proxy", "VIP"], errs),
        (false, true) => {}
    }
    if !host.is_empty() {
        named(host, names::dns1123_subdomain, errs);
        if names::parse_ip_sloppy(host.str()).is_some() {
            errs.invalid(host, host.str(), "must be a DNS name, not an IP address");
        }
    }
}

/// What the old type needed and the new one does not goes, unless the client sets it to something else.
fn drop_type_dependent_fields(obj: &mut Value, old: &Value) {
    let (new_root, old_root) = (obj.clone(), old);
    let (new, before) = (Cursor::root(&new_root).field("spec"), Cursor::root(old_root).field("spec"));
    let same = |name: &'static str| new.field(name).value() == before.field(name).value();
    let spec = obj.field_mut("spec");
    if kind(before) != "ExternalName" && kind(new) == "ExternalName" {
        if same("clusterIP") && same("clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for name in ["ipFamilies", "ipFamilyPolicy"].into_iter().filter(|name| same(name)) {
            spec.remove(name);
        }
    }
    let needs_node_port = |spec: Cursor<'_>| matches!(kind(spec), "NodePort" | "LoadBalancer");
    let node_ports = |spec: Cursor<'_>| -> BTreeSet<i64> {
        spec.field("ports").list().map(|p| p.field("nodePort").i64()).filter(|p| *p != 0).collect()
    };
    if needs_node_port(before) && !needs_node_port(new) && node_ports(before).is_superset(&node_ports(new)) {
        for one in spec.field_mut("ports").list_mut() {
            one.remove("nodePort");
        }
    }
    if needs_health_check(before) && !needs_health_check(new) && same("healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    if kind(before) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        for name in ["allocateLoadBalancerNodePorts", "loadBalancerClass"].into_iter().filter(|name| same(name)) {
            spec.remove(name);
        }
    }
    if is_external(before) && !is_external(new) && same("externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
    if kind(new) != "LoadBalancer" {
        obj.set_path(&["status", "loadBalancer"], Value::map());
    }
}

fn warnings(obj: Cursor<'_>) -> Vec<String> {
    let spec = obj.field("spec");
    let mut all = Vec::new();
    if obj.field("metadata").field("annotations").field("service.kubernetes.io/topology-aware-hints").exists() {
        all.push(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
             service.kubernetes.io/topology-mode instead"
                .to_owned(),
        );
    }
    let headless = kind(spec) == "ClusterIP" && spec.field("clusterIP").str() == "None";
    if !headless {
        all.extend(spec.field("clusterIPs").list().flat_map(|ip| names::ip_warnings(&ip.path(), ip.str())));
    }
    if headless {
        for (name, ignored) in [
            ("loadBalancerIP", !spec.field("loadBalancerIP").is_empty()),
            ("externalIPs", !spec.field("externalIPs").is_empty()),
            ("SessionAffinity", spec.field("sessionAffinity").str() != "None"),
        ] {
            if ignored {
                all.push(format!("spec.{name} is ignored for headless services"));
            }
        }
    }
    all.extend(spec.field("externalIPs").list().flat_map(|ip| names::ip_warnings(&ip.path(), ip.str())));
    let has_external = !spec.field("externalIPs").is_empty();
    if has_external && !headless && kind(spec) != "ExternalName" {
        all.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    let balancer = spec.field("loadBalancerIP");
    if !balancer.is_empty() {
        all.extend(names::ip_warnings(&balancer.path(), balancer.str()));
    }
    let ranges = spec.field("loadBalancerSourceRanges").list();
    all.extend(ranges.flat_map(|range| names::cidr_warnings(&range.path(), range.str())));
    if kind(spec) == "ExternalName" && has_external {
        all.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind(spec) != "ExternalName" && !spec.field("externalName").is_empty() {
        all.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.field("trafficDistribution").str() == "PreferClose" {
        all.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    all
}
