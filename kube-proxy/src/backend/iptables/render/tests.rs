//! Snapshots of rendered rules. The expected text of the overall case is that of upstream's TestOverallIPTablesRules, ordered
//! by service name.

use super::*;
use crate::backend::{LocalTraffic, NodePortAddresses};
use crate::plan::plan;
use crate::testing::{node_view, tracker};
use crate::tracker::{Changes, Tracker};

fn settings() -> Settings {
    Settings {
        family: Family::V4,
        masquerade_all: false,
        masquerade_bit: 14,
        local: LocalTraffic::Cidr("10.0.0.0/8".parse().unwrap()),
        localhost_node_ports: true,
        node_ports: NodePortAddresses::new(Family::V4, &[]),
        node_ip: "192.168.0.1".parse().unwrap(),
        conntrack_liberal: false,
    }
}

fn text(tracker: &Tracker, scope: Scope<'_>, existing: &[&str]) -> String {
    let existing = existing.iter().map(|c| (*c).to_owned()).collect();
    render(&plan(tracker, &node_view()), &settings(), scope, &existing, &[]).text
}

const ONE: &str = "[{addresses: [10.180.0.1]}]";

fn overall() -> Tracker {
    tracker(&[
        ("ns1/svc1", "172.30.0.41", "ports: [{name: p80, port: 80}]", ONE),
        (
            "ns2/svc2",
            "172.30.0.42",
            "type: LoadBalancer\nexternalTrafficPolicy: Local\nhealthCheckNodePort: 30000\nexternalIPs: [192.168.99.22]\ningress: 1.2.3.4\n\
             ports: [{name: p80, port: 80, nodePort: 3001}]",
            "[{addresses: [10.180.0.2], nodeName: n2}]",
        ),
        (
            "ns3/svc3",
            "172.30.0.43",
            "type: NodePort\nsessionAffinity: ClientIP\nports: [{name: p80, port: 80, nodePort: 3003}]",
            "[{addresses: [10.180.0.3]}, {addresses: [10.180.0.4]}]",
        ),
        (
            "ns5/svc5",
            "172.30.0.45",
            "type: LoadBalancer\nloadBalancerSourceRanges: [203.0.113.0/25]\ningress: 5.6.7.8\nports: [{name: p80, port: 80, nodePort: 3002}]",
            ONE,
        ),
        ("ns6/svc6", "172.30.0.46", "ports: [{name: p80, port: 80}]", "[]"),
    ])
}

#[test]
fn renders_every_kind_of_service() {
    insta::assert_snapshot!("overall", text(&overall(), Scope::Full, &["KUBE-SVC-OLD", "KUBE-SVC-XPGD46QRK7WJZT7O"]));
}

#[test]
fn a_partial_sync_leaves_unchanged_services_alone() {
    let changes = Changes { services: [component_base::ObjectKey::new("ns3", "svc3")].into(), udp: false };
    let text = text(&overall(), Scope::Partial(&changes), &["KUBE-SVC-XPGD46QRK7WJZT7O"]);
    assert!(!text.contains(":KUBE-SVC-XPGD46QRK7WJZT7O"), "the chain of svc1 is neither flushed nor removed");
    assert!(text.contains("-A KUBE-SERVICES -m comment --comment \"ns1/svc1:p80 cluster IP\""));
    assert_eq!(text.matches("--set -m tcp").count(), 2, "the endpoints of svc3 are written");
}

#[test]
fn probabilities_are_upstreams() {
    assert_eq!([2, 3, 7].map(probability), ["0.5000000000", "0.3333333333", "0.1428571429"]);
}

#[test]
fn node_ports_on_chosen_addresses() {
    let mut settings = settings();
    settings.node_ports = NodePortAddresses::new(Family::V4, &["192.168.0.0/24".parse().unwrap()]);
    let plan = plan(&tracker(&[]), &node_view());
    let text = render(&plan, &settings, Scope::Full, &BTreeSet::new(), &["192.168.0.1".parse().unwrap()]).text;
    assert!(
        text.contains("NOTE: this must be the last rule in this chain\" -d 192.168.0.1 -j KUBE-NODEPORTS\n"),
        "{text}"
    );
}
