//! The resolver configuration of a pod.
//!
//! upstream: pkg/kubelet/network/dns/dns.go

use k8s_openapi::api::core::v1::Pod;

use super::view::PodView;
use crate::runtime::types::DnsConfig;

const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_BYTES_MAX: usize = 2048;
const DOMAIN_BYTES_MAX: usize = 253;

/// What the kubelet knows about names.
#[derive(Clone, Debug, Default)]
pub struct DnsSettings {
    /// Addresses of the cluster's DNS server.
    pub cluster_dns: Vec<String>,
    /// Domain of the cluster, may be empty.
    pub cluster_domain: String,
    /// The node's resolver file; empty means that pods shall not resolve through the node.
    pub resolver_config: String,
}

/// A remark for an event: reason and message.
pub type Remark = (&'static str, String);

/// The configuration of `pod`, and remarks about it. `host` is the content of the node's resolver file.
pub fn pod_dns(settings: &DnsSettings, pod: &Pod, host: &str) -> (DnsConfig, Vec<Remark>) {
    let mut remarks = Vec::new();
    let mut config = parse_resolv_conf(host);
    let policy = pod.spec().dns_policy.as_deref().unwrap_or("ClusterFirst");
    let wants_cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "Default" | "None" => false,
        _ => !pod.host_network(),
    };
    if policy == "None" {
        config = DnsConfig::default();
    } else if wants_cluster && !settings.cluster_dns.is_empty() {
        config.servers.clone_from(&settings.cluster_dns);
        config.searches = cluster_searches(settings, pod, config.searches);
        config.options = vec!["ndots:5".to_owned()];
    } else {
        if wants_cluster {
            let message = format!(
                "pod: {:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \
                 \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
                pod.display()
            );
            remarks.push(("MissingClusterDNS", message));
        }
        if settings.resolver_config.is_empty() {
            config.servers = vec!["127.0.0.1".to_owned()];
            config.searches = vec![".".to_owned()];
        }
    }
    append_pod_config(&mut config, pod);
    remarks.extend(fit_limits(&mut config));
    (config, remarks)
}

fn cluster_searches(settings: &DnsSettings, pod: &Pod, host: Vec<String>) -> Vec<String> {
    let domain = &settings.cluster_domain;
    if domain.is_empty() {
        return host;
    }
    let own = [format!("{}.svc.{domain}", pod.namespace()), format!("svc.{domain}"), domain.clone()];
    without_duplicates(own.into_iter().chain(host))
}

fn without_duplicates(list: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for item in list {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

fn append_pod_config(config: &mut DnsConfig, pod: &Pod) {
    let Some(own) = &pod.spec().dns_config else {
        return;
    };
    config.servers = without_duplicates(config.servers.drain(..).chain(own.nameservers.clone().unwrap_or_default()));
    config.searches = without_duplicates(config.searches.drain(..).chain(own.searches.clone().unwrap_or_default()));
    for option in own.options.iter().flatten() {
        let name = option.name.clone().unwrap_or_default();
        config.options.retain(|old| old.split(':').next() != Some(name.as_str()));
        config.options.push(match &option.value {
            Some(value) => format!("{name}:{value}"),
            None => name,
        });
    }
}

fn fit_limits(config: &mut DnsConfig) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if config.servers.len() > SERVERS_MAX {
        config.servers.truncate(SERVERS_MAX);
        let line = config.servers.join(" ");
        remarks.push((
            "DNSConfigForming",
            format!("Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {line}"),
        ));
    }
    let before = config.searches.len();
    config.searches.truncate(SEARCHES_MAX);
    config.searches.retain(|search| search.len() <= DOMAIN_BYTES_MAX);
    while config.searches.join(" ").len() > SEARCH_BYTES_MAX {
        config.searches.pop();
    }
    if config.searches.len() != before {
        let line = config.searches.join(" ");
        remarks.push((
            "DNSConfigForming",
            format!("Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {line}"),
        ));
    }
    remarks
}

fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                let domains = words.filter(|domain| *domain != ".");
                config.searches = domains.map(|domain| domain.strip_suffix('.').unwrap_or(domain).to_owned()).collect();
            }
            Some("options") => config.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# comment\nnameserver 192.0.2.53\nsearch example.com. lab\noptions timeout:1\n";

    fn check(spec: &str, cluster_dns: &[&str], want: &str, remarks: usize) {
        let settings = DnsSettings {
            cluster_dns: cluster_dns.iter().map(|ip| (*ip).to_owned()).collect(),
            cluster_domain: "cluster.local".to_owned(),
            resolver_config: "/etc/resolv.conf".to_owned(),
        };
        let pod: Pod =
            serde_json::from_str(&format!(r#"{{"metadata":{{"namespace":"ns"}},"spec":{spec}}}"#)).expect("valid");
        let (got, said) = pod_dns(&settings, &pod, HOST);
        let line = format!("{} | {} | {}", got.servers.join(" "), got.searches.join(" "), got.options.join(" "));
        assert_eq!(line, want, "{spec}");
        assert_eq!(said.len(), remarks, "{said:?}");
    }

    #[test]
    fn every_policy() {
        let cluster = "10.0.0.10 | ns.svc.cluster.local svc.cluster.local cluster.local example.com lab | ndots:5";
        let host = "192.0.2.53 | example.com lab | timeout:1";
        check(r#"{"containers":[]}"#, &["10.0.0.10"], cluster, 0);
        check(r#"{"containers":[]}"#, &[], host, 1);
        check(r#"{"containers":[],"hostNetwork":true}"#, &["10.0.0.10"], host, 0);
        check(
            r#"{"containers":[],"hostNetwork":true,"dnsPolicy":"ClusterFirstWithHostNet"}"#,
            &["10.0.0.10"],
            cluster,
            0,
        );
        check(r#"{"containers":[],"dnsPolicy":"Default"}"#, &["10.0.0.10"], host, 0);
        check(
            r#"{"containers":[],"dnsPolicy":"None","dnsConfig":{"nameservers":["1.1.1.1"],"searches":["x"],"options":[{"name":"ndots","value":"2"}]}}"#,
            &["10.0.0.10"],
            "1.1.1.1 | x | ndots:2",
            0,
        );
    }
}
