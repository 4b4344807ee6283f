//! Host name of a pod and its `/etc/hosts`.
//!
//! upstream: pkg/kubelet/kubelet_pods.go: GeneratePodHostNameAndDomain, ensureHostsFile

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{HostAlias, Pod};

use super::view::PodView;

/// Longest host name, in bytes.
const HOSTNAME_BYTES_MAX: usize = 63;

/// A pod's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames {
    /// Short name.
    pub hostname: String,
    /// Domain under the cluster's, empty without a subdomain.
    pub domain: String,
}

/// The host name and domain of a pod.
pub fn host_names(pod: &Pod, cluster_domain: &str) -> HostNames {
    let spec = pod.spec();
    if let Some(name) = &spec.hostname_override {
        return HostNames { hostname: truncated(name), domain: String::new() };
    }
    let hostname = truncated(spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(pod.name()));
    let domain = match spec.subdomain.as_deref().filter(|name| !name.is_empty()) {
        Some(subdomain) => format!("{subdomain}.{}.svc.{cluster_domain}", pod.namespace()),
        None => String::new(),
    };
    HostNames { hostname, domain }
}

/// What the kernel is told: the full name where the pod asks for it.
pub fn kernel_hostname(pod: &Pod, names: &HostNames) -> String {
    if pod.spec().set_hostname_as_fqdn == Some(true) && !names.domain.is_empty() {
        return format!("{}.{}", names.hostname, names.domain);
    }
    names.hostname.clone()
}

fn truncated(name: &str) -> String {
    match name.get(..HOSTNAME_BYTES_MAX) {
        Some(short) if name.len() > HOSTNAME_BYTES_MAX => short.trim_end_matches(['-', '.']).to_owned(),
        _ => name.to_owned(),
    }
}

/// The content of the hosts file of a pod with its own network.
pub fn managed_hosts(ips: &[String], names: &HostNames, aliases: &[HostAlias]) -> String {
    let mut out = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    let HostNames { hostname, domain } = names;
    for ip in ips {
        let full = if domain.is_empty() { String::new() } else { format!("{hostname}.{domain}\t") };
        let _infallible = writeln!(out, "{ip}\t{full}{hostname}");
    }
    out + &alias_lines(aliases)
}

/// The content of the hosts file of a pod in the node's network, out of the node's own.
pub fn host_network_hosts(node_hosts: &str, aliases: &[HostAlias]) -> String {
    format!("# Kubernetes-managed hosts file (host network).\n{node_hosts}{}", alias_lines(aliases))
}

fn alias_lines(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        let _infallible = writeln!(out, "{}\t{names}", alias.ip);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_file_has_the_pods_names_and_aliases() {
        let names = HostNames { hostname: "web-0".into(), domain: "web.default.svc.cluster.local".into() };
        let aliases = [HostAlias { ip: "1.2.3.4".into(), hostnames: Some(vec!["a".into(), "b".into()]) }];
        let got = managed_hosts(&["10.0.0.1".into()], &names, &aliases);
        assert!(got.ends_with(
            "fe00::2\tip6-allrouters\n10.0.0.1\tweb-0.web.default.svc.cluster.local\tweb-0\n\n\
             # Entries added by HostAliases.\n1.2.3.4\ta\tb\n"
        ));
    }

    #[test]
    fn long_names_are_cut_at_a_letter() {
        let long = format!("{}-tail", "a".repeat(62));
        assert_eq!(truncated(&long), "a".repeat(62));
        assert_eq!(truncated("short"), "short");
    }
}
