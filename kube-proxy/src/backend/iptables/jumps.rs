//! Rules in the kernel's own chains that lead into ours. upstream: iptablesJumpChains

/// A jump from a built-in chain.
pub(super) struct Jump {
    pub(super) table: &'static str,
    pub(super) to: &'static str,
    pub(super) from: &'static str,
    pub(super) comment: &'static str,
    /// Only packets of new connections.
    pub(super) new_only: bool,
}

impl Jump {
    /// The rule without its chain.
    pub(super) fn args(&self) -> Vec<&'static str> {
        let mut args = Vec::new();
        if self.new_only {
            args.extend(["-m", "conntrack", "--ctstate", "NEW"]);
        }
        if !self.comment.is_empty() {
            args.extend(["-m", "comment", "--comment", self.comment]);
        }
        args.extend(["-j", self.to]);
        args
    }
}

pub(super) const SERVICES: &str = "KUBE-SERVICES";
pub(super) const EXTERNAL_SERVICES: &str = "KUBE-EXTERNAL-SERVICES";
pub(super) const NODE_PORTS: &str = "KUBE-NODEPORTS";
pub(super) const POSTROUTING: &str = "KUBE-POSTROUTING";
pub(super) const MARK_MASQ: &str = "KUBE-MARK-MASQ";
pub(super) const FORWARD: &str = "KUBE-FORWARD";
pub(super) const PROXY_FIREWALL: &str = "KUBE-PROXY-FIREWALL";
pub(super) const CANARY: &str = "KUBE-PROXY-CANARY";
/// Shared with the kubelet.
pub(super) const KUBELET_FIREWALL: &str = "KUBE-FIREWALL";

const fn jump(
    table: &'static str,
    to: &'static str,
    from: &'static str,
    comment: &'static str,
    new_only: bool,
) -> Jump {
    Jump { table, to, from, comment, new_only }
}

/// In upstream's order; each is inserted at the front of its chain, so the last ends up first.
pub(super) const JUMPS: &[Jump] = &[
    jump("filter", EXTERNAL_SERVICES, "INPUT", "kubernetes externally-visible service portals", true),
    jump("filter", EXTERNAL_SERVICES, "FORWARD", "kubernetes externally-visible service portals", true),
    jump("filter", NODE_PORTS, "INPUT", "kubernetes health check service ports", false),
    jump("filter", SERVICES, "FORWARD", "kubernetes service portals", true),
    jump("filter", SERVICES, "OUTPUT", "kubernetes service portals", true),
    jump("filter", FORWARD, "FORWARD", "kubernetes forwarding rules", false),
    jump("filter", PROXY_FIREWALL, "INPUT", "kubernetes load balancer firewall", true),
    jump("filter", PROXY_FIREWALL, "OUTPUT", "kubernetes load balancer firewall", true),
    jump("filter", PROXY_FIREWALL, "FORWARD", "kubernetes load balancer firewall", true),
    jump("nat", SERVICES, "OUTPUT", "kubernetes service portals", false),
    jump("nat", SERVICES, "PREROUTING", "kubernetes service portals", false),
    jump("nat", POSTROUTING, "POSTROUTING", "kubernetes postrouting rules", false),
];

/// Jumps that the kubelet makes as well; they are not removed by a clean-up.
pub(super) const KUBELET_JUMPS: &[Jump] =
    &[jump("filter", KUBELET_FIREWALL, "INPUT", "", false), jump("filter", KUBELET_FIREWALL, "OUTPUT", "", false)];

/// Chains of the table nat that a clean-up removes, besides those of services.
pub(super) const CLEANUP_NAT: &[&str] = &[SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ, CANARY];

/// Likewise of the table filter.
pub(super) const CLEANUP_FILTER: &[&str] = &[SERVICES, EXTERNAL_SERVICES, FORWARD, NODE_PORTS, PROXY_FIREWALL, CANARY];
