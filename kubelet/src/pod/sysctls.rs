//! Which kernel parameters a pod may set here. Pure.
//!
//! upstream: pkg/kubelet/sysctl/allowlist.go, safe_sysctls.go, staging/src/k8s.io/component-helpers/node/util/sysctl

use k8s_openapi::api::core::v1::Pod;

use super::view::PodView;

/// Parameters that touch nobody but the pod, with the kernel version from which that holds.
const SAFE: [(&str, (u32, u32)); 12] = [
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
];

/// Parameters of the IPC namespace.
const IPC: [&str; 2] = ["kernel.shm", "kernel.msg"];

/// Checks the parameters of a pod; `allowed` is what the node's owner allows beyond the safe ones, `x.*` for all below.
///
/// # Errors
/// The first one that is not allowed, in upstream's words.
pub fn check(pod: &Pod, allowed: &[String], kernel: (u32, u32)) -> Result<(), String> {
    let spec = pod.spec();
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    for sysctl in sysctls {
        let name = sysctl.name.replace('/', ".");
        let (host_network, host_ipc) = (spec.host_network == Some(true), spec.host_ipc == Some(true));
        if host_network && name.starts_with("net.") {
            return Err(namespace_error(&name, "net"));
        }
        let of_ipc =
            IPC.iter().any(|prefix| name.starts_with(prefix)) || name == "kernel.sem" || name.starts_with("fs.mqueue.");
        if host_ipc && of_ipc {
            return Err(namespace_error(&name, "ipc"));
        }
        let safe = SAFE.iter().any(|(safe, since)| *safe == name && kernel >= *since);
        let named =
            allowed.iter().map(|pattern| pattern.replace('/', ".")).any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => pattern == name,
            });
        if !safe && !named {
            return Err(format!("forbidden sysctl: {name:?} not allowlisted"));
        }
    }
    Ok(())
}

fn namespace_error(name: &str, namespace: &str) -> String {
    format!("forbidden sysctl: {name:?} not allowed with host {namespace} enabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_ones_and_those_that_are_allowed() {
        let pod = |name: &str, more: &str| -> Pod {
            let json = format!(
                r#"{{"spec":{{"containers":[],"securityContext":{{"sysctls":[{{"name":"{name}","value":"1"}}]}}{more}}}}}"#
            );
            serde_json::from_str(&json).expect("valid")
        };
        let check = |name, more, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|&text| text.to_owned()).collect();
            check(&pod(name, more), &allowed, (4, 4)).err().unwrap_or_default()
        };
        assert_eq!(check("net.ipv4.tcp_syncookies", "", &[]), "");
        assert_eq!(check("net/ipv4/tcp_syncookies", "", &[]), "");
        assert_eq!(check("net.ipv4.tcp_rmem", "", &[]), "forbidden sysctl: \"net.ipv4.tcp_rmem\" not allowlisted");
        assert_eq!(check("net.core.somaxconn", "", &["net.core.*"]), "");
        assert_eq!(
            check("net.ipv4.tcp_syncookies", r#","hostNetwork":true"#, &[]),
            "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled"
        );
    }
}
