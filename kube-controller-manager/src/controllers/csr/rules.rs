//! Pure: which requests each signer of Kubernetes takes, and for how long it signs.
//!
//! Upstream: pkg/apis/certificates/helpers.go, pkg/controller/certificates/signer/signer.go.

use std::collections::BTreeSet;
use std::time::Duration;

use component_base::pki::CertRequest;

pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

const NODES_GROUP: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const MIN_DURATION: Duration = Duration::from_secs(600);

fn usages_are(usages: &[String], purpose: &str) -> Result<(), String> {
    let have: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let without_rsa: BTreeSet<&str> = ["digital signature", purpose].into();
    let with_rsa: BTreeSet<&str> = ["digital signature", "key encipherment", purpose].into();
    if have == without_rsa || have == with_rsa {
        return Ok(());
    }
    let mut listed: Vec<&str> = with_rsa.into_iter().collect();
    listed.sort_unstable();
    Err(format!("usages did not match [{}]", listed.join(" ")))
}

fn require(is_so: bool, message: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(message.to_owned()) }
}

fn is_node_subject(request: &CertRequest) -> Result<(), String> {
    require(request.organizations == [NODES_GROUP], "subject organization is not system:nodes")
}

/// Whether this is a kubelet's request for a client certificate.
pub(super) fn kubelet_client(request: &CertRequest, usages: &[String]) -> Result<(), String> {
    is_node_subject(request)?;
    require(request.dns_names.is_empty(), "DNS subjectAltNames are not allowed")?;
    require(request.emails.is_empty(), "Email subjectAltNames are not allowed")?;
    require(request.addresses.is_empty(), "IP subjectAltNames are not allowed")?;
    require(request.uris.is_empty(), "URI subjectAltNames are not allowed")?;
    require(request.common_name.starts_with(NODE_PREFIX), "subject common name does not begin with system:node:")?;
    usages_are(usages, "client auth")
}

fn kubelet_serving(request: &CertRequest, usages: &[String]) -> Result<(), String> {
    is_node_subject(request)?;
    let named = !request.dns_names.is_empty() || !request.addresses.is_empty();
    require(named, "DNS or IP subjectAltName is required")?;
    require(request.emails.is_empty(), "Email subjectAltNames are not allowed")?;
    require(request.uris.is_empty(), "URI subjectAltNames are not allowed")?;
    usages_are(usages, "server auth")?;
    require(request.common_name.starts_with(NODE_PREFIX), "subject common name does not begin with system:node:")
}

fn client(usages: &[String]) -> Result<(), String> {
    let known = ["client auth", "digital signature", "key encipherment"];
    if let Some(wrong) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {wrong}"));
    }
    require(
        usages.iter().any(|usage| usage == "client auth"),
        "missing required usage for client certificate: client auth",
    )
}

/// Whether the signer may sign the request; the message of the condition Failed if not.
pub(super) fn check(signer: &str, request: &CertRequest, usages: &[String]) -> Result<(), String> {
    match signer {
        KUBELET_CLIENT => kubelet_client(request, usages),
        KUBELET_SERVING => kubelet_serving(request, usages),
        CLIENT => client(usages),
        _ => Ok(()),
    }
}

/// For how long to sign: what was asked for, within ten minutes and the signer's own limit.
pub(super) fn duration(asked_seconds: Option<i32>, limit: Duration) -> Duration {
    match asked_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        None => limit,
        Some(seconds) => Duration::from_secs(seconds).max(MIN_DURATION).min(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(common_name: &str, organization: &str) -> CertRequest {
        let mut request = CertRequest::default();
        request.common_name = common_name.into();
        request.organizations = vec![organization.into()];
        request
    }

    fn usages(list: &[&str]) -> Vec<String> {
        list.iter().map(|usage| (*usage).to_owned()).collect()
    }

    #[test]
    fn signers_check_what_they_sign() {
        let node = request("system:node:n1", "system:nodes");
        let good = usages(&["digital signature", "client auth"]);
        assert_eq!(check(KUBELET_CLIENT, &node, &good), Ok(()));
        assert_eq!(
            check(KUBELET_CLIENT, &node, &usages(&["key encipherment", "digital signature", "client auth"])),
            Ok(())
        );
        for (signer, request, usages, message) in [
            (KUBELET_CLIENT, request("system:node:n1", "admins"), &good, "subject organization is not system:nodes"),
            (
                KUBELET_CLIENT,
                request("jane", "system:nodes"),
                &good,
                "subject common name does not begin with system:node:",
            ),
            (
                KUBELET_CLIENT,
                node.clone(),
                &usages(&["server auth"]),
                "usages did not match [client auth digital signature key encipherment]",
            ),
            (
                KUBELET_SERVING,
                node.clone(),
                &usages(&["server auth", "digital signature"]),
                "DNS or IP subjectAltName is required",
            ),
            (CLIENT, node.clone(), &usages(&["server auth"]), "invalid usage for client certificate: server auth"),
            (CLIENT, node.clone(), &usages(&[]), "missing required usage for client certificate: client auth"),
        ] {
            assert_eq!(check(signer, &request, usages), Err(message.to_owned()));
        }
        let mut serving = node;
        serving.dns_names = vec!["n1".into()];
        assert_eq!(check(KUBELET_SERVING, &serving, &usages(&["server auth", "digital signature"])), Ok(()));
    }

    #[test]
    fn durations() {
        let year = Duration::from_secs(31_536_000);
        assert_eq!(duration(None, year), year);
        assert_eq!(duration(Some(3600), year), Duration::from_secs(3600));
        assert_eq!(duration(Some(60), year), MIN_DURATION);
        assert_eq!(duration(Some(i32::MAX), year), year);
    }
}
