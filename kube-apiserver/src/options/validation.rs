//! What upstream refuses in the command line, in its words and order.
//!
//! upstream: cmd/kube-apiserver/app/options/validation.go, pkg/controlplane/apiserver/options/validation.go, pkg/kubeapiserver/options,
//! staging/src/k8s.io/apiserver/pkg/server/options

use apimachinery::quote::quote_slice;
use component_base::Flags;
use ipnet::IpNet;

use crate::admission;
use crate::discovery::enabled::Enabled;
use crate::filters::cors::Cors;

/// Every complaint.
pub(super) fn problems(flags: &Flags, ranges: &[IpNet], node_ports: (u16, u16)) -> Vec<String> {
    let mut found = Vec::new();
    requests(flags, &mut found);
    storage(flags, &mut found);
    let port = flags.int("secure-port");
    if !(0..=65535).contains(&port) {
        found.push(format!(
            "--secure-port {port} must be between 1 and 65535, inclusive. It cannot be turned off with 0"
        ));
    }
    service_accounts(flags, &mut found);
    authorization(flags, &mut found);
    not_built(flags, &mut found);
    audit(flags, &mut found);
    found.extend(admission_plugins(flags));
    let pairs = flags.map("runtime-config");
    found.extend(Enabled::from_runtime_config(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))).err());
    token_requests(flags, &mut found);
    services(flags, ranges, node_ports, &mut found);
    if flags.int("apiserver-count") <= 0 {
        let count = flags.int("apiserver-count");
        found.push(format!("--apiserver-count should be a positive number, but value '{count}' provided"));
    }
    found
}

fn requests(flags: &Flags, found: &mut Vec<String>) {
    let mut not_negative = |flag: &str, value: i64| {
        if value < 0 {
            found.push(format!("--{flag} can not be negative value"));
        }
    };
    for flag in ["max-requests-inflight", "max-mutating-requests-inflight"] {
        not_negative(flag, flags.int(flag));
    }
    not_negative("request-timeout", flags.duration_nanos("request-timeout"));
    let chance = flags.float("goaway-chance");
    if !(0.0..=0.02).contains(&chance) {
        found.push("--goaway-chance can not be less than 0 or greater than 0.02".to_owned());
    }
    let mut not_negative = |flag: &str, value: i64| {
        if value < 0 {
            found.push(format!("--{flag} can not be negative value"));
        }
    };
    not_negative("min-request-timeout", flags.int("min-request-timeout"));
    for flag in ["storage-initialization-timeout", "shutdown-delay-duration"] {
        not_negative(flag, flags.duration_nanos(flag));
    }
    for directive in flags.list("strict-transport-security-directives") {
        let is_age = directive.strip_prefix("max-age=").is_some_and(|age| !age.contains('='));
        if directive.trim().is_empty() {
            found.push("empty value in strict-transport-security-directives".to_owned());
        } else if !is_age && !["includeSubDomains", "preload"].contains(&directive.as_str()) {
            found.push(
                "--strict-transport-security-directives invalid, allowed values: max-age=expireTime, includeSubDomains, preload. see https://tools.ietf.org/html/rfc6797#section-6.1 for more information".to_owned(),
            );
        }
    }
    found.extend(Cors::new(flags.list("cors-allowed-origins")).err());
}

fn storage(flags: &Flags, found: &mut Vec<String>) {
    if flags.list("etcd-servers").is_empty() {
        found.push("--etcd-servers must be specified".to_owned());
    }
    if !matches!(flags.str("storage-backend"), "" | "etcd3") {
        found.push(
            "--storage-backend invalid, allowed values: etcd3. If not specified, it will default to 'etcd3'".to_owned(),
        );
    }
    let media = flags.str("storage-media-type");
    if !matches!(media, "" | "application/json" | "application/yaml" | "application/vnd.kubernetes.protobuf") {
        found.push(format!(
            "--storage-media-type {media:?} invalid, allowed values: application/json, application/vnd.kubernetes.protobuf, application/yaml"
        ));
    }
}

fn service_accounts(flags: &Flags, found: &mut Vec<String>) {
    if flags.str("oidc-issuer-url").is_empty() != flags.str("oidc-client-id").is_empty() {
        found.push(
            "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set".to_owned(),
        );
    }
    let issuers = flags.list("service-account-issuer");
    for (index, issuer) in issuers.iter().enumerate() {
        if issuer.contains(':') && !issuer.contains("://") && issuer.starts_with(':') {
            found.push(format!(
                "service-account-issuer {issuer:?} contained a ':' but was not a valid URL: parse {issuer:?}: missing protocol scheme"
            ));
        } else if issuer.is_empty() {
            found.push("service-account-issuer should not be an empty string".to_owned());
        } else if issuers[..index].contains(issuer) {
            found.push(format!("service-account-issuer {issuer:?} is already specified"));
        }
    }
    if issuers.is_empty() {
        found.push("service-account-issuer is a required flag".to_owned());
    }
    let endpoint = !flags.str("service-account-signing-endpoint").is_empty();
    if flags.list("service-account-key-file").is_empty() && !endpoint {
        found
            .push("either `--service-account-key-file` or `--service-account-signing-endpoint` must be set".to_owned());
    }
    let jwks = flags.str("service-account-jwks-uri");
    if !jwks.is_empty() && !jwks.starts_with("https:") {
        found.push(format!("service-account-jwks-uri requires https scheme, parsed as: {jwks}"));
    }
}

/// Files that would decide who may do what, or how secrets are stored: a server that went on without them would be less safe
/// than the one that was asked for.
fn not_built(flags: &Flags, found: &mut Vec<String>) {
    const FILES: [&str; 4] = [
        "authentication-config",
        "authentication-token-webhook-config-file",
        "authorization-config",
        "encryption-provider-config",
    ];
    let given = FILES.iter().filter(|flag| !flags.str(flag).is_empty());
    found.extend(given.map(|flag| format!("--{flag} is not part of this build")));
}

fn authorization(flags: &Flags, found: &mut Vec<String>) {
    let modes = flags.list("authorization-mode");
    let (policy, webhook) = (flags.str("authorization-policy-file"), flags.str("authorization-webhook-config-file"));
    let has = |mode: &str| modes.iter().any(|given| given == mode);
    for mode in modes {
        match mode.as_str() {
            "AlwaysAllow" | "AlwaysDeny" | "RBAC" | "Node" => {}
            "ABAC" if policy.is_empty() => {
                found.push("authorization-mode ABAC's authorization policy file not passed".to_owned());
            }
            "Webhook" if webhook.is_empty() => {
                found.push("authorization-mode Webhook's authorization config file not passed".to_owned());
            }
            "ABAC" | "Webhook" => found.push(format!("authorization-mode {mode:?} is not part of this build")),
            _ => found.push(format!("authorization-mode {mode:?} is not a valid mode")),
        }
    }
    if !policy.is_empty() && !has("ABAC") {
        found.push("cannot specify --authorization-policy-file without mode ABAC".to_owned());
    }
    if !webhook.is_empty() && !has("Webhook") {
        found.push("cannot specify --authorization-webhook-config-file without mode Webhook".to_owned());
    }
    if modes.iter().enumerate().any(|(index, mode)| modes[..index].contains(mode)) {
        found.push(format!("authorization-mode {} has mode specified more than once", quote_slice(modes)));
    }
}

fn audit(flags: &Flags, found: &mut Vec<String>) {
    if flags.str("audit-log-path").is_empty() {
        return;
    }
    let mode = flags.str("audit-log-mode");
    if !["batch", "blocking", "blocking-strict"].contains(&mode) {
        found.push(format!("invalid audit log mode {mode}, allowed modes are \"batch,blocking,blocking-strict\""));
    }
    let format = flags.str("audit-log-format");
    if !["legacy", "json"].contains(&format) {
        found.push(format!("invalid audit log format {format}, allowed formats are \"legacy,json\""));
    }
    for flag in ["audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize"] {
        let value = flags.int(flag);
        if value < 0 {
            found.push(format!("--{flag} {value} can't be a negative number"));
        }
    }
}

fn admission_plugins(flags: &Flags) -> Vec<String> {
    let names = |flag: &'static str| admission::unknown_names(flag, flags.list(flag));
    let mut found: Vec<String> = ["admission-control", "enable-admission-plugins", "disable-admission-plugins"]
        .into_iter()
        .flat_map(names)
        .collect();
    let (enable, disable) = (flags.list("enable-admission-plugins"), flags.list("disable-admission-plugins"));
    found.extend(admission::overlap(enable, disable).map(|error| error.to_string()));
    found
}

fn token_requests(flags: &Flags, found: &mut Vec<String>) {
    if !flags.str("service-account-signing-endpoint").is_empty() {
        return;
    }
    let key = !flags.str("service-account-signing-key-file").is_empty();
    let issuer = flags.list("service-account-issuer").first().is_some_and(|issuer| !issuer.is_empty());
    if !key && !issuer && flags.list("api-audiences").is_empty() {
        found.push("--service-account-signing-key-file and --service-account-issuer are required flags".to_owned());
    } else if !key || !issuer {
        found.push(
            "--service-account-signing-key-file, --service-account-issuer, and --api-audiences should be specified together"
                .to_owned(),
        );
    }
}

fn services(flags: &Flags, ranges: &[IpNet], node_ports: (u16, u16), found: &mut Vec<String>) {
    if flags.str("service-cluster-ip-range").split(',').count() > 2 {
        found.push("--service-cluster-ip-range must not contain more than two entries".to_owned());
    }
    if let [first, second, ..] = ranges
        && first.addr().is_ipv4() == second.addr().is_ipv4()
    {
        found.push(
            "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family".to_owned(),
        );
    }
    let port = flags.int("kubernetes-service-node-port");
    if !(0..=65535).contains(&port) {
        found.push(format!(
            "--kubernetes-service-node-port {port} must be between 0 and 65535, inclusive. If 0, the Kubernetes master service will be of type ClusterIP"
        ));
    }
    let (low, high) = node_ports;
    if port > 0 && !(i64::from(low)..=i64::from(high)).contains(&port) {
        found.push(format!("kubernetes service node port range {low}-{high} doesn't contain {port}"));
    }
}
