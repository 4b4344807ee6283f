//! The command line: which flags act, what they mean, which combinations are refused.
//!
//! All flags of upstream parse (`flags.tsv`); those without effect here are warned about once at start.
//! upstream: cmd/kube-apiserver/app/options, staging/src/k8s.io/apiserver/pkg/server/options

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use component_base::Flags;
use ipnet::IpNet;

use crate::discovery::enabled::Enabled;

/// The table of all flags.
pub const FLAGS: &str = include_str!("../flags.tsv");

/// Flags that do something here.
const ACTING: [&str; 86] = [
    "admission-control",
    "advertise-address",
    "allow-privileged",
    "anonymous-auth",
    "api-audiences",
    "apiserver-count",
    "audit-log-format",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-mode",
    "audit-log-path",
    "audit-log-version",
    "audit-policy-file",
    "authorization-mode",
    "bind-address",
    "cert-dir",
    "client-ca-file",
    "cors-allowed-origins",
    "default-not-ready-toleration-seconds",
    "default-unreachable-toleration-seconds",
    "disable-admission-plugins",
    "disable-http2-serving",
    "enable-admission-plugins",
    "enable-bootstrap-token-auth",
    "enable-garbage-collector",
    "enable-priority-and-fairness",
    "endpoint-reconciler-type",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-compaction-interval",
    "etcd-healthcheck-timeout",
    "etcd-keyfile",
    "etcd-prefix",
    "etcd-readycheck-timeout",
    "etcd-servers",
    "event-ttl",
    "external-hostname",
    "feature-gates",
    "goaway-chance",
    "http2-max-streams-per-connection",
    "kubelet-certificate-authority",
    "kubelet-client-certificate",
    "kubelet-client-key",
    "kubelet-port",
    "kubelet-preferred-address-types",
    "kubelet-timeout",
    "kubernetes-service-node-port",
    "log-flush-frequency",
    "logging-format",
    "max-mutating-requests-inflight",
    "max-requests-inflight",
    "min-request-timeout",
    "proxy-client-cert-file",
    "proxy-client-key-file",
    "request-timeout",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-uid-headers",
    "requestheader-username-headers",
    "runtime-config",
    "secure-port",
    "service-account-extend-token-expiration",
    "service-account-issuer",
    "service-account-jwks-uri",
    "service-account-key-file",
    "service-account-lookup",
    "service-account-max-token-expiration",
    "service-account-signing-key-file",
    "service-cluster-ip-range",
    "service-node-port-range",
    "shutdown-delay-duration",
    "storage-backend",
    "storage-initialization-timeout",
    "storage-media-type",
    "strict-transport-security-directives",
    "tls-cert-file",
    "tls-min-version",
    "tls-private-key-file",
    "tls-sni-cert-key",
    "token-auth-file",
    "v",
    "vmodule",
    "watch-cache",
    "watch-cache-sizes",
];

/// What the command line says, in types.
#[derive(Clone, Debug)]
pub struct Options {
    /// The flags themselves, for everything that is read once.
    pub flags: Flags,
    /// Address to listen on.
    pub bind_address: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub secure_port: u16,
    /// Address that is published in the service `kubernetes`.
    pub advertise_address: IpAddr,
    /// Ranges of cluster IPs: one, or one of each family.
    pub service_ranges: Vec<IpNet>,
    /// Ports of NodePort services, both ends included.
    pub node_ports: (u16, u16),
    /// Served API versions.
    pub enabled: Enabled,
    /// Authorization modes in order.
    pub authorization_modes: Vec<String>,
    /// Issuers of service account tokens; the first one signs.
    pub issuers: Vec<String>,
    /// Audiences of this server.
    pub api_audiences: Vec<String>,
}

impl Options {
    /// Reads and checks the flags; warns about those without effect.
    ///
    /// # Errors
    /// Every complaint, in upstream's words.
    pub fn new(flags: Flags) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let mut note = |result: Result<(), String>| {
            if let Err(error) = result {
                errors.push(error);
            }
        };
        note(check_required(&flags));
        note(check_numbers(&flags));
        note(check_modes(&flags));
        note(crate::filters::cors::Cors::new(flags.list("cors-allowed-origins")).map(|_| ()));
        let ranges = service_ranges(flags.str("service-cluster-ip-range"));
        let ports = node_ports(flags.str("service-node-port-range"));
        let enabled = {
            let pairs = flags.map("runtime-config");
            Enabled::from_runtime_config(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        };
        note(ranges.clone().map(|_| ()));
        note(ports.clone().map(|_| ()));
        note(enabled.clone().map(|_| ()));
        note(flags.feature_gates().map(|_| ()).map_err(|e| e.to_string()));
        let (Ok(ranges), Ok(ports), Ok(enabled), true) = (ranges, ports, enabled, errors.is_empty()) else {
            return Err(errors);
        };
        let out = Self::assemble(flags, ranges, ports, enabled);
        out.check_families().map_err(|error| vec![error])?;
        out.flags.acts(&ACTING);
        Ok(out)
    }

    fn assemble(flags: Flags, service_ranges: Vec<IpNet>, node_ports: (u16, u16), enabled: Enabled) -> Self {
        let bind_address = flags.ip("bind-address").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let issuers: Vec<String> = flags.list("service-account-issuer").to_vec();
        let mut api_audiences = flags.list("api-audiences").to_vec();
        if api_audiences.is_empty() {
            api_audiences.clone_from(&issuers);
        }
        let mut authorization_modes = flags.list("authorization-mode").to_vec();
        if authorization_modes.is_empty() {
            authorization_modes.push("AlwaysAllow".to_owned());
        }
        Self {
            bind_address,
            secure_port: u16::try_from(flags.int("secure-port")).unwrap_or(6443),
            advertise_address: advertise_address(&flags, bind_address),
            service_ranges,
            node_ports,
            enabled,
            authorization_modes,
            issuers,
            api_audiences,
            flags,
        }
    }

    /// The first address of the first service range: the service `kubernetes`.
    pub fn kubernetes_service_ip(&self) -> IpAddr {
        match self.service_ranges[0] {
            IpNet::V4(net) => IpAddr::V4(Ipv4Addr::from_bits(net.network().to_bits().saturating_add(1))),
            IpNet::V6(net) => IpAddr::V6(std::net::Ipv6Addr::from_bits(net.network().to_bits().saturating_add(1))),
        }
    }

    /// A path flag, `None` if empty.
    pub fn path(&self, flag: &str) -> Option<PathBuf> {
        let text = self.flags.str(flag);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    /// A duration flag.
    pub fn duration(&self, flag: &str) -> Duration {
        self.flags.duration(flag)
    }

    /// `Strict-Transport-Security`, if set.
    pub fn hsts(&self) -> Option<http::HeaderValue> {
        let directives = self.flags.list("strict-transport-security-directives");
        if directives.is_empty() {
            return None;
        }
        http::HeaderValue::from_str(&directives.join("; ")).ok()
    }

    fn check_families(&self) -> Result<(), String> {
        if self.flags.str("endpoint-reconciler-type") == "none" {
            return Ok(());
        }
        if self.service_ranges[0].addr().is_ipv4() != self.advertise_address.is_ipv4() {
            return Err(format!(
                "service IP family {:?} must match public address family {:?}",
                self.service_ranges[0].to_string(),
                self.advertise_address.to_string()
            ));
        }
        Ok(())
    }
}

/// The flag, else the bind address, else the address that leads to the outside.
fn advertise_address(flags: &Flags, bind: IpAddr) -> IpAddr {
    if let Some(address) = flags.ip("advertise-address").filter(|a| !a.is_unspecified()) {
        return address;
    }
    if !bind.is_unspecified() && !bind.is_loopback() {
        return bind;
    }
    // connecting a datagram socket sends nothing; it only asks the kernel which address it would use
    let routed = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).map(|()| socket))
        .and_then(|socket| socket.local_addr());
    routed.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

fn check_required(flags: &Flags) -> Result<(), String> {
    if flags.list("etcd-servers").is_empty() {
        return Err("--etcd-servers must be specified".to_owned());
    }
    if !matches!(flags.str("storage-backend"), "" | "etcd3") {
        return Err(
            "--storage-backend invalid, allowed values: etcd3. If not specified, it will default to 'etcd3'".to_owned()
        );
    }
    let media = flags.str("storage-media-type");
    if !matches!(media, "application/json" | "application/yaml" | "application/vnd.kubernetes.protobuf") {
        return Err(format!(
            "--storage-media-type {media:?} invalid, allowed values: application/json, application/vnd.kubernetes.protobuf, application/yaml"
        ));
    }
    check_service_accounts(flags)
}

fn check_service_accounts(flags: &Flags) -> Result<(), String> {
    let issuers = flags.list("service-account-issuer");
    if issuers.is_empty() {
        return Err("service-account-issuer is a required flag".to_owned());
    }
    let mut seen: Vec<&String> = Vec::new();
    for issuer in issuers {
        if issuer.is_empty() {
            return Err("service-account-issuer should not be an empty string".to_owned());
        }
        if issuer.contains(':')
            && let Err(error) = url::Url::parse(issuer)
        {
            return Err(format!("service-account-issuer {issuer:?} contained a ':' but was not a valid URL: {error}"));
        }
        if seen.contains(&issuer) {
            return Err(format!("service-account-issuer {issuer:?} is already specified"));
        }
        seen.push(issuer);
    }
    let keys = !flags.list("service-account-key-file").is_empty();
    let endpoint = !flags.str("service-account-signing-endpoint").is_empty();
    if flags.str("service-account-signing-key-file").is_empty() && !endpoint {
        return Err("--service-account-signing-key-file and --service-account-issuer are required flags".to_owned());
    }
    if !keys && !endpoint && flags.str("service-account-signing-key-file").is_empty() {
        return Err(
            "either `--service-account-key-file` or `--service-account-signing-endpoint` must be set".to_owned()
        );
    }
    let jwks = flags.str("service-account-jwks-uri");
    if !jwks.is_empty() {
        let url = url::Url::parse(jwks).map_err(|e| format!("service-account-jwks-uri must be a valid URL: {e}"))?;
        if url.scheme() != "https" {
            return Err(format!("service-account-jwks-uri requires https scheme, parsed as: {url}"));
        }
    }
    Ok(())
}

fn check_numbers(flags: &Flags) -> Result<(), String> {
    let port = flags.int("secure-port");
    if !(0..=65535).contains(&port) {
        return Err(format!(
            "--secure-port {port} must be between 1 and 65535, inclusive. It cannot be turned off with 0"
        ));
    }
    for flag in ["max-requests-inflight", "max-mutating-requests-inflight", "min-request-timeout"] {
        if flags.int(flag) < 0 {
            return Err(format!("--{flag} can not be negative value"));
        }
    }
    for flag in ["request-timeout", "storage-initialization-timeout", "shutdown-delay-duration"] {
        if flags.duration_nanos(flag) < 0 {
            return Err(format!("--{flag} can not be negative value"));
        }
    }
    let chance = flags.float("goaway-chance");
    if !(0.0..=0.02).contains(&chance) {
        return Err("--goaway-chance can not be less than 0 or greater than 0.02".to_owned());
    }
    for (flag, max) in
        [("audit-log-maxage", i64::MAX), ("audit-log-maxbackup", i64::MAX), ("audit-log-maxsize", i64::MAX)]
    {
        let value = flags.int(flag);
        if !(0..=max).contains(&value) {
            return Err(format!("--{flag} {value} can't be a negative number"));
        }
    }
    if flags.changed("apiserver-count") && flags.int("apiserver-count") <= 0 {
        let count = flags.int("apiserver-count");
        return Err(format!("--apiserver-count should be a positive number, but value '{count}' provided"));
    }
    let node_port = flags.int("kubernetes-service-node-port");
    if !(0..=65535).contains(&node_port) {
        return Err(format!(
            "--kubernetes-service-node-port {node_port} must be between 0 and 65535, inclusive. If 0, the Kubernetes master service will be of type ClusterIP"
        ));
    }
    Ok(())
}

fn check_modes(flags: &Flags) -> Result<(), String> {
    let modes = flags.list("authorization-mode");
    for (index, mode) in modes.iter().enumerate() {
        if !matches!(mode.as_str(), "AlwaysAllow" | "AlwaysDeny" | "ABAC" | "Webhook" | "RBAC" | "Node") {
            return Err(format!("authorization-mode {mode:?} is not a valid mode"));
        }
        if matches!(mode.as_str(), "ABAC" | "Webhook") {
            return Err(format!("authorization-mode {mode:?} is not implemented"));
        }
        if modes[..index].contains(mode) {
            return Err(format!("authorization-mode {:?} has mode specified more than once", modes));
        }
    }
    if !flags.str("authorization-policy-file").is_empty() {
        return Err("cannot specify --authorization-policy-file without mode ABAC".to_owned());
    }
    if !flags.str("authorization-webhook-config-file").is_empty() {
        return Err("cannot specify --authorization-webhook-config-file without mode Webhook".to_owned());
    }
    Ok(())
}

fn service_ranges(text: &str) -> Result<Vec<IpNet>, String> {
    let text = if text.is_empty() { "10.0.0.0/24" } else { text };
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > 2 {
        return Err("--service-cluster-ip-range must not contain more than two entries".to_owned());
    }
    let mut out = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let net: IpNet = part.trim().parse().map_err(|_| {
            if index == 0 {
                "service-cluster-ip-range is not a valid cidr".to_owned()
            } else {
                "service-cluster-ip-range[1] is not an ip net".to_owned()
            }
        })?;
        let bits = if net.addr().is_ipv4() { 32 } else { 128 };
        if bits - net.prefix_len() > 20 {
            let shown = if index == 0 {
                "--service-cluster-ip-range".to_owned()
            } else {
                format!("--service-cluster-ip-range[{index}]")
            };
            return Err(format!(
                "specified {shown} is too large; for {bits}-bit addresses, the mask must be >= {}",
                bits - 20
            ));
        }
        out.push(net.trunc());
    }
    if let [first, second] = out.as_slice()
        && first.addr().is_ipv4() == second.addr().is_ipv4()
    {
        return Err(
            "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family".to_owned()
        );
    }
    Ok(out)
}

/// `A-B`, `A+N` or a single port.
/// upstream: staging/src/k8s.io/apimachinery/pkg/util/net/port_range.go
fn node_ports(text: &str) -> Result<(u16, u16), String> {
    let bad = || format!("unable to parse port range: {text}: expected pattern <min>-<max>");
    let number = |s: &str| s.trim().parse::<u16>().map_err(|_| bad());
    let (low, high) = if let Some((low, high)) = text.split_once('-') {
        (number(low)?, number(high)?)
    } else if let Some((base, count)) = text.split_once('+') {
        let base = number(base)?;
        (base, base.saturating_add(number(count)?))
    } else {
        (number(text)?, number(text)?)
    };
    if high < low {
        return Err(format!("the port range start must be less than or equal to the port range end: {low} > {high}"));
    }
    Ok((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use component_base::flags::Request;

    fn parse(args: &[&str]) -> Result<Options, Vec<String>> {
        let base = [
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-signing-key-file=k",
            "--service-account-key-file=k",
            "--advertise-address=127.0.0.1",
        ];
        let args = base.iter().chain(args).map(|s| (*s).into());
        match Flags::parse("kube-apiserver", FLAGS, args) {
            Ok(Request::Run(flags)) => Options::new(*flags),
            other => Err(vec![format!("{other:?}")]),
        }
    }

    #[test]
    fn every_acting_flag_exists() {
        for flag in ACTING {
            assert!(FLAGS.lines().any(|l| l.split('\t').next() == Some(flag)), "{flag}");
        }
    }

    #[test]
    fn refuses_what_upstream_refuses() {
        for (args, want) in [
            (&["--cors-allowed-origins=/127.0.0.1(:[0-9]+)?$"][..], "does not pin to start/end"),
            (&["--service-cluster-ip-range=10.0.0.0/8"], "is too large"),
            (&["--authorization-mode=Nope"], "is not a valid mode"),
            (&["--goaway-chance=0.5"], "--goaway-chance"),
            (&["--service-cluster-ip-range=10.0.0.0/24,10.1.0.0/24"], "different IP family"),
            (&["--storage-backend=etcd2"], "--storage-backend invalid"),
        ] {
            let errors = parse(args).map(|_| ()).expect_err("must be refused");
            assert!(errors[0].contains(want), "{errors:?}");
        }
    }

    #[test]
    fn reads_ranges() {
        let options = parse(&["--service-cluster-ip-range=10.0.0.0/24"]).expect("valid");
        assert_eq!(options.kubernetes_service_ip().to_string(), "10.0.0.1");
        assert_eq!(options.node_ports, (30000, 32767));
        assert_eq!(node_ports("30000+10"), Ok((30000, 30010)));
    }
}
