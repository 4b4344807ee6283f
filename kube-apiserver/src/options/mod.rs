//! The command line: which flags act, what they mean, which combinations are refused.
//!
//! All flags of upstream parse (`flags.tsv`); those without effect here are warned about once at start.
//! upstream: cmd/kube-apiserver/app/options, staging/src/k8s.io/apiserver/pkg/server/options

mod validation;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use component_base::Flags;
use ipnet::IpNet;

use crate::discovery::enabled::Enabled;

/// The table of all flags.
pub const FLAGS: &str = include_str!("../../flags.tsv");

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
        // What upstream reads before it validates ends the start alone.
        let first = |error: String| vec![error];
        flags.feature_gates().map_err(|error| first(error.to_string()))?;
        let ports = node_ports(flags.str("service-node-port-range")).map_err(|error| {
            let range = flags.str("service-node-port-range");
            first(format!("invalid argument {range:?} for \"--service-node-port-range\" flag: {error}"))
        })?;
        let ranges = service_ranges(flags.str("service-cluster-ip-range")).map_err(first)?;
        let errors = validation::problems(&flags, &ranges, ports);
        let enabled = {
            let pairs = flags.map("runtime-config");
            Enabled::from_runtime_config(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        };
        let (Ok(enabled), true) = (enabled, errors.is_empty()) else { return Err(errors) };
        let out = Self::assemble(flags, ranges, ports, enabled);
        out.check_families().map_err(first)?;
        let version = out.flags.str("tls-min-version");
        if !["", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"].contains(&version) {
            return Err(first(format!("unknown tls version {version:?}")));
        }
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

fn service_ranges(text: &str) -> Result<Vec<IpNet>, String> {
    let text = if text.is_empty() { "10.0.0.0/24" } else { text };
    let range = |(index, part): (usize, &str)| {
        let what = if index == 0 { "is not a valid cidr" } else { "is not an ip net" };
        let net: IpNet = part.trim().parse().map_err(|_| format!("service-cluster-ip-range[{index}] {what}"))?;
        Ok(net.trunc())
    };
    // Upstream reads two; that there are more is found by validation.
    text.split(',').take(2).enumerate().map(range).collect()
}

/// `A-B`, `A+N` or a single port.
/// upstream: staging/src/k8s.io/apimachinery/pkg/util/net/port_range.go
fn node_ports(text: &str) -> Result<(u16, u16), String> {
    let text = text.trim();
    let number =
        |part: &str| part.parse::<i64>().map_err(|_| format!("strconv.Atoi: parsing {part:?}: invalid syntax"));
    let (low, high) = match (text.split_once('-'), text.split_once('+')) {
        (Some(_), Some(_)) => return Err(format!("unable to parse port range: {text}")),
        (Some((low, high)), None) => (number(low)?, number(high)?),
        (None, Some((base, count))) => {
            let base = number(base)?;
            (base, base + number(count)?)
        }
        (None, None) => (number(text)?, number(text)?),
    };
    let port =
        |number: i64| u16::try_from(number).map_err(|_| format!("the port range cannot be greater than 65535: {text}"));
    let (low, high) = (port(low)?, port(high)?);
    if high < low {
        return Err(format!("end port cannot be less than start port: {text}"));
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
            (&["--service-cluster-ip-range=foo"][..], &["service-cluster-ip-range[0] is not a valid cidr"][..]),
            (&["--service-cluster-ip-range=10.0.0.0/24,foo"], &["service-cluster-ip-range[1] is not an ip net"]),
            (
                &["--service-cluster-ip-range=10.0.0.0/24,10.1.0.0/24"],
                &["--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of different IP family"],
            ),
            (
                &["--service-cluster-ip-range=1::/112"],
                &["service IP family \"1::/112\" must match public address family \"127.0.0.1\""],
            ),
            (&["--authorization-mode=Nope"], &["authorization-mode \"Nope\" is not a valid mode"]),
            (
                &["--authorization-mode=RBAC,RBAC"],
                &["authorization-mode [\"RBAC\" \"RBAC\"] has mode specified more than once"],
            ),
            (
                &["--authorization-mode=ABAC,Webhook"],
                &[
                    "authorization-mode ABAC's authorization policy file not passed",
                    "authorization-mode Webhook's authorization config file not passed",
                ],
            ),
            (
                &["--authorization-config=a", "--encryption-provider-config=e", "--authentication-config="],
                &[
                    "--authorization-config is not part of this build",
                    "--encryption-provider-config is not part of this build",
                ],
            ),
            (
                &["--disable-admission-plugins=Foo,Bar"],
                &[
                    "disable-admission-plugins plugin \"Foo\" is unknown",
                    "disable-admission-plugins plugin \"Bar\" is unknown",
                ],
            ),
            (
                &["--enable-admission-plugins=NodeRestriction", "--disable-admission-plugins=NodeRestriction"],
                &["[NodeRestriction] in enable-admission-plugins and disable-admission-plugins overlapped"],
            ),
            (&["--feature-gates=APIServerTracing"], &["missing bool value for APIServerTracing"]),
            (&["--runtime-config=foo/v1=true,bar/v1=true"], &["unknown api groups bar/v1,foo/v1"]),
            (&["--tls-min-version=VersionTLS99"], &["unknown tls version \"VersionTLS99\""]),
            (
                &["--request-timeout=-1s", "--min-request-timeout=-1", "--goaway-chance=0.5"],
                &[
                    "--request-timeout can not be negative value",
                    "--goaway-chance can not be less than 0 or greater than 0.02",
                    "--min-request-timeout can not be negative value",
                ],
            ),
            (
                &["--storage-backend=etcd2"],
                &["--storage-backend invalid, allowed values: etcd3. If not specified, it will default to 'etcd3'"],
            ),
            (
                &["--service-node-port-range=5-1"],
                &[
                    "invalid argument \"5-1\" for \"--service-node-port-range\" flag: end port cannot be less than start port: 5-1",
                ],
            ),
            (
                &["--kubernetes-service-node-port=70000"],
                &[
                    "--kubernetes-service-node-port 70000 must be between 0 and 65535, inclusive. If 0, the Kubernetes master service will be of type ClusterIP",
                    "kubernetes service node port range 30000-32767 doesn't contain 70000",
                ],
            ),
            (&["--apiserver-count=0"], &["--apiserver-count should be a positive number, but value '0' provided"]),
            (
                &["--audit-log-path=x", "--audit-log-format=foo"],
                &["invalid audit log format foo, allowed formats are \"legacy,json\""],
            ),
            (
                &["--service-account-jwks-uri=http://x"],
                &["service-account-jwks-uri requires https scheme, parsed as: http://x"],
            ),
        ] {
            assert_eq!(parse(args).map(|_| ()).expect_err("must be refused"), want, "{args:?}");
        }
        let errors = parse(&["--cors-allowed-origins=/127.0.0.1(:[0-9]+)?$"]).map(|_| ()).expect_err("not pinned");
        assert!(errors[0].contains("does not pin to start/end"), "{errors:?}");
    }

    #[test]
    fn required_flags_are_told_together() {
        let args = ["kube-apiserver", "--advertise-address=127.0.0.1"].map(Into::into);
        let Ok(Request::Run(flags)) = Flags::parse("kube-apiserver", FLAGS, args) else { panic!("flags parse") };
        assert_eq!(
            Options::new(*flags).map(|_| ()).expect_err("required flags"),
            [
                "--etcd-servers must be specified",
                "service-account-issuer is a required flag",
                "either `--service-account-key-file` or `--service-account-signing-endpoint` must be set",
                "--service-account-signing-key-file and --service-account-issuer are required flags",
            ]
        );
    }

    #[test]
    fn reads_ranges() {
        let options = parse(&["--service-cluster-ip-range=10.0.0.0/24"]).expect("valid");
        assert_eq!(options.kubernetes_service_ip().to_string(), "10.0.0.1");
        assert_eq!(options.node_ports, (30000, 32767));
        assert_eq!(node_ports("30000+10"), Ok((30000, 30010)));
    }
}
