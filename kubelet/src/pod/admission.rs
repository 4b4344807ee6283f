//! Whether a pod that was assigned to this node may start here: the node's last word. Pure.
//!
//! The scheduler has counted already; this catches pods that went past it and races between two schedulers.
//!
//! upstream: pkg/kubelet/lifecycle/predicate.go

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::quantity::Quantity;
use component_base::placement::{selects, tolerates};
use k8s_openapi::api::core::v1::{Pod, Taint};

use super::resources::pod_amount;
use super::sysctls;
use super::view::{PodView, is_sidecar};

/// The node's labels or name do not suit the pod.
const NODE_AFFINITY: &str = "NodeAffinity";
/// The pod does not bear the node's taints.
const TAINTS: &str = "TaintToleration";

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Such as `OutOfcpu`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What the machine and its owner allow; fixed while the kubelet runs.
#[derive(Clone, Debug, Default)]
pub struct MachineRules {
    /// Name of the node.
    pub node: String,
    /// Kernel parameters beyond the safe ones.
    pub sysctls: Vec<String>,
    /// Version of the kernel.
    pub kernel: (u32, u32),
    /// The kernel confines processes with AppArmor.
    pub apparmor: bool,
}

/// The node as it is now.
#[derive(Clone, Copy, Debug)]
pub struct NodeNow<'a> {
    /// What pods may use.
    pub allocatable: &'a BTreeMap<String, String>,
    /// Its labels; `None` until they are known.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Its taints.
    pub taints: &'a [Taint],
    /// The runtime takes supplementary groups from the pod alone where it is told to.
    pub strict_groups: bool,
    /// What does not change.
    pub rules: &'a MachineRules,
}

impl Rejection {
    /// True when the node's labels or taints are the reason.
    pub fn is_about_place(&self) -> bool {
        matches!(self.reason.as_str(), NODE_AFFINITY | TAINTS)
    }
}

fn rejection(reason: &str, message: impl Into<String>) -> Rejection {
    Rejection { reason: reason.to_owned(), message: message.into() }
}

/// Checks what the node must be able to do for the pod, and whether it has room for it beside `others`.
///
/// # Errors
/// The pod may not start.
pub fn admit(pod: &Pod, others: &[Arc<Pod>], node: NodeNow<'_>) -> Result<(), Rejection> {
    check_abilities(pod, node)?;
    fits(pod, others, node.allocatable)?;
    let selected = node.labels.is_none_or(|labels| selects(pod.spec(), &node.rules.node, labels));
    if !selected && !pod.is_static() {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Err(rejection(NODE_AFFINITY, message));
    }
    check_ports(pod, others)?;
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    let tolerated = |taint: &Taint| tolerations.iter().any(|one| tolerates(one, taint));
    if !pod.is_static() && node.taints.iter().any(|taint| taint.effect == "NoExecute" && !tolerated(taint)) {
        let message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
        return Err(rejection(TAINTS, message));
    }
    Ok(())
}

/// What the node cannot do must be refused: a pod that runs with less protection than it asked for is worse than none.
fn check_abilities(pod: &Pod, node: NodeNow<'_>) -> Result<(), Rejection> {
    let spec = pod.spec();
    if pod.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/os")).is_some_and(|os| os != "linux") {
        let message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        return Err(rejection("PodOSSelectorNodeLabelDoesNotMatch", message));
    }
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        return Err(rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"));
    }
    let groups = spec.security_context.as_ref().and_then(|context| context.supplemental_groups_policy.as_deref());
    if groups == Some("Strict") && !node.strict_groups {
        let message = "SupplementalGroupsPolicy=Strict is not supported in this node";
        return Err(rejection("SupplementalGroupsPolicyNotSupported", message));
    }
    sysctls::check(pod, &node.rules.sysctls, node.rules.kernel)
        .map_err(|message| rejection("SysctlForbidden", message))?;
    if !node.rules.apparmor && wants_apparmor(pod) {
        return Err(rejection("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"));
    }
    Ok(())
}

fn wants_apparmor(pod: &Pod) -> bool {
    let of_pod = pod.spec().security_context.as_ref().and_then(|context| context.app_armor_profile.clone());
    let own = pod.all_containers().into_iter().filter_map(|(_, one)| one.security_context?.app_armor_profile);
    own.chain(of_pod).any(|profile| profile.type_ != "Unconfined")
}

/// Two pods cannot have one port of the node.
fn check_ports(pod: &Pod, others: &[Arc<Pod>]) -> Result<(), Rejection> {
    let taken: Vec<HostPort> =
        others.iter().filter(|other| other.uid() != pod.uid()).flat_map(|other| host_ports(other)).collect();
    if host_ports(pod).iter().any(|port| taken.iter().any(|other| port.conflicts(other))) {
        let message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Err(rejection("NodePorts", message));
    }
    Ok(())
}

struct HostPort {
    protocol: String,
    ip: String,
    port: i32,
}

impl HostPort {
    fn conflicts(&self, other: &Self) -> bool {
        let any = |ip: &str| ip == "0.0.0.0";
        let same_ip = self.ip == other.ip || any(&self.ip) || any(&other.ip);
        self.port == other.port && self.protocol == other.protocol && same_ip
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let sidecars = pod.init_containers().iter().filter(|container| is_sidecar(container));
    let containers = pod.spec().containers.iter().chain(sidecars);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let text = |text: &Option<String>, default: &str| {
        text.as_deref().filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
    };
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|port| *port > 0)?;
            Some(HostPort { protocol: text(&port.protocol, "TCP"), ip: text(&port.host_ip, "0.0.0.0"), port: number })
        })
        .collect()
}

/// Compares the pod's requests with what `others` leave of `allocatable`.
fn fits(pod: &Pod, others: &[Arc<Pod>], allocatable: &BTreeMap<String, String>) -> Result<(), Rejection> {
    let others: Vec<&Arc<Pod>> = others.iter().filter(|other| other.uid() != pod.uid()).collect();
    let amount = |name: &str| allocatable.get(name).and_then(|text| Quantity::parse(text).ok());
    if let Some(capacity) = amount("pods").map(|pods| pods.value()) {
        let used = i64::try_from(others.len()).unwrap_or(i64::MAX);
        if used + 1 > capacity {
            return Err(out_of("pods", 1, used, capacity));
        }
    }
    // In upstream's order; what the node does not count at all is somebody else's to give.
    const FIRST: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    let others_names = allocatable.keys().map(String::as_str).filter(|name| *name != "pods" && !FIRST.contains(name));
    for name in FIRST.into_iter().chain(others_names) {
        let Some(capacity) = amount(name) else { continue };
        let in_thousandths = name == "cpu";
        let unit = |milli: i64| if in_thousandths { milli } else { milli / 1000 };
        let requested = unit(pod_amount(pod, false, name).0);
        let used: i64 = others.iter().map(|other| unit(pod_amount(other, false, name).0)).sum();
        let capacity = if in_thousandths { capacity.milli_value() } else { capacity.value() };
        if requested > 0 && requested > capacity - used {
            return Err(out_of(name, requested, used, capacity));
        }
    }
    Ok(())
}

fn out_of(name: &str, requested: i64, used: i64, capacity: i64) -> Rejection {
    Rejection {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, spec: &str) -> Arc<Pod> {
        let json = format!(r#"{{"metadata":{{"uid":"{uid}"}},"spec":{spec}}}"#);
        Arc::new(serde_json::from_str(&json).expect("valid"))
    }

    #[test]
    fn counts_what_others_use() {
        let one = |uid, cpu: &str| {
            pod(uid, &format!(r#"{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}"#))
        };
        let allocatable: BTreeMap<String, String> =
            [("cpu", "2"), ("pods", "2")].map(|(name, amount)| (name.to_owned(), amount.to_owned())).into();
        let others = [one("a", "1500m")];
        assert_eq!(fits(&one("b", "500m"), &others, &allocatable), Ok(()));
        let refused = fits(&one("b", "501m"), &others, &allocatable).expect_err("too much");
        assert_eq!(refused.reason, "OutOfcpu");
        assert_eq!(
            refused.message,
            "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000"
        );
        let pages = pod("b", r#"{"containers":[{"name":"c","resources":{"requests":{"hugepages-2Mi":"4Mi"}}}]}"#);
        let none: BTreeMap<String, String> = [("hugepages-2Mi".to_owned(), "0".to_owned())].into();
        assert_eq!(fits(&pages, &[], &none).expect_err("none").reason, "OutOfhugepages-2Mi");
        let full = [one("a", "0"), one("c", "0")];
        assert_eq!(fits(&one("b", "0"), &full, &allocatable).expect_err("full").reason, "OutOfpods");
    }

    fn refusal(spec: &str, others: &[Arc<Pod>], taints: &[Taint]) -> String {
        let rules = MachineRules { node: "n".to_owned(), kernel: (6, 1), ..MachineRules::default() };
        let labels = [("disk".to_owned(), "ssd".to_owned())].into();
        let allocatable = BTreeMap::new();
        let node =
            NodeNow { allocatable: &allocatable, labels: Some(&labels), taints, strict_groups: false, rules: &rules };
        admit(&pod("a", spec), others, node).err().map(|rejection| rejection.reason).unwrap_or_default()
    }

    #[test]
    fn what_the_node_cannot_do_is_refused() {
        let port = |more: &str| {
            format!(r#"{{"containers":[{{"name":"c","ports":[{{"containerPort":1,"hostPort":80{more}}}]}}]}}"#)
        };
        let other = [pod("o", &port(""))];
        let taint = [Taint { key: "down".to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() }];
        for (spec, want) in [
            (r#"{"containers":[],"nodeSelector":{"disk":"ssd"}}"#, ""),
            (r#"{"containers":[],"nodeSelector":{"disk":"hdd"}}"#, "NodeAffinity"),
            (r#"{"containers":[],"os":{"name":"windows"}}"#, "PodOSNotSupported"),
            (
                r#"{"containers":[],"securityContext":{"supplementalGroupsPolicy":"Strict"}}"#,
                "SupplementalGroupsPolicyNotSupported",
            ),
            (
                r#"{"containers":[],"securityContext":{"sysctls":[{"name":"kernel.panic","value":"1"}]}}"#,
                "SysctlForbidden",
            ),
            (r#"{"containers":[],"securityContext":{"appArmorProfile":{"type":"RuntimeDefault"}}}"#, "AppArmor"),
            (port("").as_str(), "NodePorts"),
            (port(r#","protocol":"UDP""#).as_str(), ""),
        ] {
            assert_eq!(refusal(spec, &other, &[]), want, "{spec}");
        }
        let tolerant = r#"{"containers":[],"tolerations":[{"operator":"Exists"}]}"#;
        assert_eq!(refusal(r#"{"containers":[]}"#, &[], &taint), "TaintToleration");
        assert_eq!(refusal(tolerant, &[], &taint), "");
    }
}
