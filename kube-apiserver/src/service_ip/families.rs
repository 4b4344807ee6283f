//! IP families of a service: what is filled in, what is refused, which addresses must be allocated. Pure.
//!
//! upstream: pkg/registry/core/service/storage/alloc.go: initIPFamilyFields, updateClusterIPs

use std::net::IpAddr;

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::value::{Cursor, Value};

use crate::registry::core::services::cluster_ips;

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `IPv4`
    V4,
    /// `IPv6`
    V6,
}

impl Family {
    /// Name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }

    /// Of an address.
    pub fn of(ip: &str) -> Option<Self> {
        ip.parse::<IpAddr>().ok().map(|ip| if ip.is_ipv4() { Self::V4 } else { Self::V6 })
    }

    fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// Fills in `ipFamilyPolicy` and `ipFamilies`. `configured` are the families of the cluster, the default first.
///
/// # Errors
/// Upstream's complaints.
pub fn complete(service: &mut Value, old: &Value, configured: &[Family]) -> Result<(), Errors> {
    if text(service, "type") == "ExternalName" || unchanged_dual(service, old) {
        return Ok(());
    }
    let headless = text(service, "clusterIP") == "None";
    let selectorless = service.path(&["spec", "selector"]).entries().next().is_none();
    if service.path(&["spec", "ipFamilyPolicy"]).is_null() {
        let kept = text(old, "ipFamilyPolicy").to_owned();
        let policy = match kept.as_str() {
            "" if headless && selectorless => REQUIRE,
            "" => SINGLE,
            kept => kept,
        };
        service.field_mut("spec").set("ipFamilyPolicy", policy);
    }
    let policy = text(service, "ipFamilyPolicy").to_owned();
    let mut errs = Errors::new();
    let spec = |service| Cursor::root(service).field("spec");
    cluster_ips(spec(service), spec(old), &mut errs);
    finish(errs)?;
    let mut errs = Errors::new();
    if !old.is_null() {
        reduce(service, old, &policy, &mut errs);
    }
    check_counts(service, &policy, &mut errs);
    add_families_of_ips(service, configured, &mut errs);
    finish(errs)?;
    if headless && selectorless {
        complete_headless(service, &policy, configured);
        return Ok(());
    }
    let mut errs = Errors::new();
    if policy == REQUIRE && configured.len() < 2 {
        errs.invalid(
            spec_path("ipFamilyPolicy"),
            policy.as_str(),
            "this cluster is not configured for dual-stack services",
        );
    }
    for (index, family) in families(service).iter().enumerate() {
        if !configured.contains(family) {
            errs.invalid(spec_path("ipFamilies").index(index), family.name(), "not configured on this cluster");
        }
    }
    finish(errs)?;
    let mut list = families(service);
    if list.is_empty() {
        list.extend(configured.first());
    }
    if policy != SINGLE && list.len() == 1 && configured.len() == 2 {
        list.push(list[0].other());
    }
    set_families(service, &list);
    Ok(())
}

/// Addresses to allocate: position in `clusterIPs`, family, and the address if the client fixed it.
pub fn wanted(service: &Value, old: &Value) -> Vec<(usize, Family, Option<String>)> {
    let kind = text(service, "type");
    let ips = strings(service, "clusterIPs");
    if kind == "ExternalName" || ips.first().is_some_and(|ip| ip == "None") {
        return Vec::new();
    }
    let list = families(service);
    let fixed = |index: usize| ips.get(index).filter(|ip| !ip.is_empty()).cloned();
    let had = if text(old, "type") == "ExternalName" { 0 } else { strings(old, "clusterIPs").len() };
    if !old.is_null() && strings(old, "clusterIPs").first().is_some_and(|ip| ip == "None") {
        return Vec::new();
    }
    (had..list.len()).map(|index| (index, list[index], fixed(index))).collect()
}

/// An update of a PreferDualStack service that leaves addresses and families as they are changes nothing here.
fn unchanged_dual(service: &Value, old: &Value) -> bool {
    if old.is_null() || text(service, "ipFamilyPolicy").is_empty() {
        return false;
    }
    let same_type = text(service, "type") == text(old, "type");
    let ordinary = matches!(text(service, "type"), "ClusterIP" | "NodePort" | "LoadBalancer");
    let old_policy = text(old, "ipFamilyPolicy");
    same_type
        && ordinary
        && text(service, "ipFamilyPolicy") == PREFER
        && (old_policy.is_empty() || old_policy == PREFER)
        && strings(service, "clusterIPs") == strings(old, "clusterIPs")
        && families(service) == families(old)
}

fn reduce(service: &mut Value, old: &Value, policy: &str, errs: &mut Errors) {
    let (ips, old_ips) = (strings(service, "clusterIPs"), strings(old, "clusterIPs"));
    let (list, old_list) = (families(service), families(old));
    if policy == SINGLE {
        if ips == old_ips && ips.len() > 1 {
            service.field_mut("spec").set("clusterIPs", vec![ips[0].as_str()]);
        }
        if list == old_list && list.len() > 1 {
            set_families(service, &list[..1]);
        }
        return;
    }
    if !ips.is_empty() && ips.len() < old_ips.len() {
        errs.invalid(spec_path("ipFamilyPolicy"), policy, "must be 'SingleStack' to release the secondary cluster IP");
    }
    if !list.is_empty() && list.len() < old_list.len() {
        errs.invalid(spec_path("ipFamilyPolicy"), policy, "must be 'SingleStack' to release the secondary IP family");
    }
}

fn check_counts(service: &Value, policy: &str, errs: &mut Errors) {
    if policy != SINGLE {
        return;
    }
    if strings(service, "clusterIPs").len() == 2 {
        errs.invalid(
            spec_path("ipFamilyPolicy"),
            policy,
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
        );
    }
    if families(service).len() == 2 {
        errs.invalid(
            spec_path("ipFamilyPolicy"),
            policy,
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
        );
    }
}

/// Addresses without a family get theirs.
fn add_families_of_ips(service: &mut Value, configured: &[Family], errs: &mut Errors) {
    let ips = strings(service, "clusterIPs");
    let mut list = families(service);
    let before = list.len();
    for (index, ip) in ips.iter().enumerate() {
        if ip == "None" {
            break;
        }
        if index < list.len() {
            continue;
        }
        let family = Family::of(ip);
        match family.filter(|f| configured.contains(f)) {
            Some(family) => list.push(family),
            None => {
                let shown: Vec<String> = ips.iter().map(|ip| format!("{ip:?}")).collect();
                let name = family.map_or("unknown", Family::name);
                errs.invalid(
                    spec_path("clusterIPs").index(index),
                    BadValue::json(format!("[{}]", shown.join(","))),
                    format!("{name} is not configured on this cluster"),
                );
            }
        }
    }
    if list.len() != before {
        set_families(service, &list);
    }
}

fn complete_headless(service: &mut Value, policy: &str, configured: &[Family]) {
    let mut list = families(service);
    if list.is_empty() {
        list.extend(configured.first());
    }
    if list.len() == 1 && policy != SINGLE {
        list.push(list[0].other());
    }
    set_families(service, &list);
}

fn finish(errs: Errors) -> Result<(), Errors> {
    if errs.is_empty() { Ok(()) } else { Err(errs) }
}

fn spec_path(field: &str) -> Path {
    Path::root("spec").child(field)
}

fn text<'a>(service: &'a Value, field: &str) -> &'a str {
    service.path(&["spec", field]).str_or_empty()
}

fn strings(service: &Value, field: &str) -> Vec<String> {
    service.path(&["spec", field]).items().iter().map(|v| v.str_or_empty().to_owned()).collect()
}

fn families(service: &Value) -> Vec<Family> {
    strings(service, "ipFamilies").iter().filter_map(|f| Family::parse(f)).collect()
}

fn set_families(service: &mut Value, list: &[Family]) {
    let names: Vec<&str> = list.iter().map(|f| f.name()).collect();
    service.field_mut("spec").set("ipFamilies", names);
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::codec::json::decode_untyped;

    fn service(spec: &str) -> Value {
        decode_untyped(format!(r#"{{"metadata":{{"name":"s"}},"spec":{spec}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn single_stack_is_the_default() {
        let mut s = service(r#"{"type":"ClusterIP"}"#);
        complete(&mut s, &Value::Null, &[Family::V4]).unwrap();
        assert_eq!(text(&s, "ipFamilyPolicy"), SINGLE);
        assert_eq!(families(&s), [Family::V4]);
        assert_eq!(wanted(&s, &Value::Null), [(0, Family::V4, None)]);
    }

    #[test]
    fn headless_without_selector_is_dual() {
        let mut s = service(r#"{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"]}"#);
        complete(&mut s, &Value::Null, &[Family::V4]).unwrap();
        assert_eq!(text(&s, "ipFamilyPolicy"), REQUIRE);
        assert_eq!(families(&s), [Family::V4, Family::V6]);
        assert!(wanted(&s, &Value::Null).is_empty());
    }

    #[test]
    fn refuses_what_the_cluster_has_not() {
        let mut s = service(r#"{"type":"ClusterIP","ipFamilyPolicy":"RequireDualStack"}"#);
        assert!(complete(&mut s, &Value::Null, &[Family::V4]).is_err());
        let mut s = service(r#"{"type":"ClusterIP","ipFamilies":["IPv6"]}"#);
        assert!(complete(&mut s, &Value::Null, &[Family::V4]).is_err());
    }

    #[test]
    fn leaving_external_name_allocates() {
        let old = service(r#"{"type":"ExternalName","externalName":"a.b"}"#);
        let mut s = service(r#"{"type":"ClusterIP","clusterIP":"10.0.0.9","clusterIPs":["10.0.0.9"]}"#);
        complete(&mut s, &old, &[Family::V4]).unwrap();
        assert_eq!(wanted(&s, &old), [(0, Family::V4, Some("10.0.0.9".to_owned()))]);
    }
}
