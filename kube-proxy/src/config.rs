//! KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1): file form, defaults, validation, and the flags that stand in
//! for a file. upstream: staging/src/k8s.io/kube-proxy/config/v1alpha1, cmd/kube-proxy/app/options.go

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use component_base::Flags;
use component_base::config::{ConfigError, Format, GoDuration};
use component_base::daemon::Configuration;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

const FORMAT: Format = Format {
    versions: &["kubeproxy.config.k8s.io/v1alpha1"],
    kind: "KubeProxyConfiguration",
    scheme: "pkg/proxy/apis/config/scheme/scheme.go:29",
    lenient: true,
};

/// How to reach the API server.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename = "v1alpha1.ClientConnectionConfiguration", default)]
pub struct ClientConnection {
    /// Path of a kubeconfig; empty means in-cluster.
    pub kubeconfig: String,
    /// Accepted.
    pub accept_content_types: String,
    /// Accepted.
    pub content_type: String,
    /// Requests per second; 0 means 5.
    pub qps: f32,
    /// Requests at once; 0 means 10.
    pub burst: i32,
}

/// Settings of the iptables backend.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename = "v1alpha1.KubeProxyIPTablesConfiguration", default)]
pub struct IptablesSettings {
    /// Bit of the packet mark for masquerading; 14 unless given.
    pub masquerade_bit: Option<i32>,
    /// Masquerade everything.
    #[serde(rename = "masqueradeAll")]
    pub masquerade_all: bool,
    /// Node ports answer on 127.0.0.1; true unless given.
    pub localhost_node_ports: Option<bool>,
    /// Interval of checks and of retries; 0 means 30 s.
    pub sync_period: GoDuration,
    /// Least time between two syncs; 0 means 1 s.
    pub min_sync_period: GoDuration,
}

/// Settings of the ipvs backend, which this build does not have.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename = "v1alpha1.KubeProxyIPVSConfiguration", default)]
#[expect(missing_docs, reason = "accepted for upstream's sake, read by nobody")]
pub struct IpvsSettings {
    pub sync_period: GoDuration,
    pub min_sync_period: GoDuration,
    pub scheduler: String,
    #[serde(rename = "excludeCIDRs")]
    pub exclude_cidrs: Option<Vec<String>>,
    #[serde(rename = "strictARP")]
    pub strict_arp: bool,
    pub tcp_timeout: GoDuration,
    pub tcp_fin_timeout: GoDuration,
    pub udp_timeout: GoDuration,
}

/// Settings of the nftables backend.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename = "v1alpha1.KubeProxyNFTablesConfiguration", default)]
pub struct NftablesSettings {
    /// Bit of the packet mark for masquerading; 14 unless given.
    pub masquerade_bit: Option<i32>,
    /// Masquerade everything.
    pub masquerade_all: bool,
    /// Interval of checks and of retries; 0 means 30 s.
    pub sync_period: GoDuration,
    /// Least time between two syncs; 0 means 1 s.
    pub min_sync_period: GoDuration,
}

/// How to recognize traffic of local pods, for the modes that need a name.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename = "v1alpha1.DetectLocalConfiguration", default)]
pub struct DetectLocal {
    /// The bridge that pods are on.
    pub bridge_interface: String,
    /// How names of pods' interfaces start.
    pub interface_name_prefix: String,
}

/// Kernel settings of connection tracking.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename = "v1alpha1.KubeProxyConntrackConfiguration", default)]
pub struct Conntrack {
    /// Entries per CPU; 0 leaves the kernel's limit, absent means 32768.
    pub max_per_core: Option<i32>,
    /// At least so many entries; absent means 131072.
    pub min: Option<i32>,
    /// Of idle established connections; absent means a day, 0 leaves it.
    pub tcp_established_timeout: Option<GoDuration>,
    /// Of half-closed connections; absent means an hour, 0 leaves it.
    pub tcp_close_wait_timeout: Option<GoDuration>,
    /// Let odd packets pass.
    pub tcp_be_liberal: bool,
    /// Of UDP; 0 leaves it.
    pub udp_timeout: GoDuration,
    /// Of UDP streams; 0 leaves it.
    pub udp_stream_timeout: GoDuration,
}

/// The file.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename = "v1alpha1.KubeProxyConfiguration", default)]
pub struct Config {
    /// Feature gates.
    pub feature_gates: Option<BTreeMap<String, bool>>,
    /// The way to the API server.
    pub client_connection: ClientConnection,
    /// Logging; flags set it up before this file is read.
    pub logging: serde_json::Value,
    /// The node's name; the host's unless given.
    pub hostname_override: String,
    /// The node's address when it is not unspecified.
    pub bind_address: String,
    /// Where health is served; empty means port 10256.
    pub healthz_bind_address: String,
    /// Where metrics are served; empty means port 10249 of the loopback address.
    pub metrics_bind_address: String,
    /// End the process when one of these cannot be had.
    pub bind_address_hard_fail: bool,
    /// Accepted.
    pub enable_profiling: bool,
    /// Accepted.
    pub show_hidden_metrics_for_version: String,
    /// iptables (also when empty), nftables or ipvs.
    pub mode: String,
    /// iptables.
    pub iptables: IptablesSettings,
    /// ipvs.
    pub ipvs: IpvsSettings,
    /// nftables.
    pub nftables: NftablesSettings,
    /// Accepted; Windows only.
    pub winkernel: serde_json::Value,
    /// ClusterCIDR (also when empty), NodeCIDR, BridgeInterface or InterfaceNamePrefix.
    pub detect_local_mode: String,
    /// Names for the latter two.
    pub detect_local: DetectLocal,
    /// Networks of pods, separated by commas.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// Networks on whose addresses node ports answer, or `primary`.
    pub node_port_addresses: Option<Vec<String>>,
    /// The process' OOM score adjustment; -999 unless given.
    pub oom_score_adj: Option<i32>,
    /// Connection tracking.
    pub conntrack: Conntrack,
    /// Accepted.
    pub config_sync_period: GoDuration,
    /// Accepted.
    pub port_range: String,
    /// Accepted.
    pub windows_run_as_service: bool,
}

impl Config {
    /// Reads a file and fills what it leaves open.
    ///
    /// # Errors
    /// Unreadable, of another kind, or with unknown fields.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        component_base::config::load::<Self>(path, &FORMAT).map(Self::defaulted)
    }

    #[cfg(test)]
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        component_base::config::parse::<Self>(text, &FORMAT).map(Self::defaulted)
    }

    /// What the flags say, where there is no file.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the client takes single precision, as upstream's flag does")]
    pub fn from_flags(flags: &Flags) -> Self {
        let duration = |name| GoDuration::from_nanos(flags.duration_nanos(name));
        let list = |name: &str| Some(flags.list(name).to_vec());
        let number = |name| i32::try_from(flags.int(name)).ok();
        let bit = number("iptables-masquerade-bit");
        let masquerade_all = flags.bool("masquerade-all");
        let (sync_period, min_sync_period) = (duration("iptables-sync-period"), duration("iptables-min-sync-period"));
        let config = Self {
            client_connection: ClientConnection {
                kubeconfig: flags.str("kubeconfig").to_owned(),
                qps: flags.float("kube-api-qps") as f32,
                burst: i32::try_from(flags.int("kube-api-burst")).unwrap_or(0),
                ..ClientConnection::default()
            },
            bind_address: flags.str("bind-address").to_owned(),
            healthz_bind_address: flags.str("healthz-bind-address").to_owned(),
            metrics_bind_address: flags.str("metrics-bind-address").to_owned(),
            bind_address_hard_fail: flags.bool("bind-address-hard-fail"),
            mode: flags.str("proxy-mode").to_owned(),
            iptables: IptablesSettings {
                masquerade_bit: bit,
                masquerade_all,
                localhost_node_ports: Some(flags.bool("iptables-localhost-nodeports")),
                sync_period,
                min_sync_period,
            },
            nftables: NftablesSettings { masquerade_bit: bit, masquerade_all, sync_period, min_sync_period },
            detect_local_mode: flags.str("detect-local-mode").to_owned(),
            detect_local: DetectLocal {
                bridge_interface: flags.str("pod-bridge-interface").to_owned(),
                interface_name_prefix: flags.str("pod-interface-name-prefix").to_owned(),
            },
            cluster_cidr: flags.str("cluster-cidr").to_owned(),
            node_port_addresses: list("nodeport-addresses"),
            oom_score_adj: number("oom-score-adj"),
            conntrack: Conntrack {
                max_per_core: number("conntrack-max-per-core"),
                min: number("conntrack-min"),
                tcp_established_timeout: Some(duration("conntrack-tcp-timeout-established")),
                tcp_close_wait_timeout: Some(duration("conntrack-tcp-timeout-close-wait")),
                tcp_be_liberal: flags.bool("conntrack-tcp-be-liberal"),
                udp_timeout: duration("conntrack-udp-timeout"),
                udp_stream_timeout: duration("conntrack-udp-timeout-stream"),
            },
            config_sync_period: duration("config-sync-period"),
            ipvs: IpvsSettings {
                sync_period: duration("ipvs-sync-period"),
                min_sync_period: duration("ipvs-min-sync-period"),
                scheduler: flags.str("ipvs-scheduler").to_owned(),
                exclude_cidrs: list("ipvs-exclude-cidrs"),
                strict_arp: flags.bool("ipvs-strict-arp"),
                tcp_timeout: duration("ipvs-tcp-timeout"),
                tcp_fin_timeout: duration("ipvs-tcpfin-timeout"),
                udp_timeout: duration("ipvs-udp-timeout"),
            },
            ..Self::default()
        };
        config.or_by_port(flags)
    }

    /// The old port flags: zero switches a server off, others stand for a port that the address does not give.
    fn or_by_port(mut self, flags: &Flags) -> Self {
        let (sync_period, min_sync_period) = (self.iptables.sync_period, self.iptables.min_sync_period);
        for (address, flag) in
            [(&mut self.healthz_bind_address, "healthz-port"), (&mut self.metrics_bind_address, "metrics-port")]
        {
            if let Ok(ip) = address.parse::<IpAddr>() {
                *address = match ip {
                    IpAddr::V4(ip) => format!("{ip}:{}", flags.int(flag)),
                    IpAddr::V6(ip) => format!("[{ip}]:{}", flags.int(flag)),
                };
            }
        }
        let off = ["healthz-port", "metrics-port"].map(|flag| flags.int(flag) == 0);
        let mut config = self.defaulted();
        if off[0] {
            config.healthz_bind_address.clear();
        }
        if off[1] {
            config.metrics_bind_address.clear();
        }
        // A flag's zero is meant, where a file's is only left open.
        for (flag, slot, value) in [
            ("iptables-sync-period", &mut config.iptables.sync_period, sync_period),
            ("iptables-min-sync-period", &mut config.iptables.min_sync_period, min_sync_period),
        ] {
            if flags.changed(flag) {
                *slot = value;
            }
        }
        config.nftables.sync_period = config.iptables.sync_period;
        config.nftables.min_sync_period = config.iptables.min_sync_period;
        config
    }

    fn defaulted(mut self) -> Self {
        fn or<T: Default + PartialEq>(slot: &mut T, default: T) {
            if *slot == T::default() {
                *slot = default;
            }
        }
        or(&mut self.bind_address, "0.0.0.0".into());
        let v6 = self.bind_address.contains(':');
        let with_port = |address: &str, host: &str, port: u16| match address {
            "" => format!("{host}:{port}"),
            text => match text.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, port).to_string(),
                Err(_) => text.to_owned(),
            },
        };
        self.healthz_bind_address = with_port(&self.healthz_bind_address, if v6 { "[::]" } else { "0.0.0.0" }, 10256);
        self.metrics_bind_address =
            with_port(&self.metrics_bind_address, if v6 { "[::1]" } else { "127.0.0.1" }, 10249);
        or(&mut self.iptables.sync_period, GoDuration::from_secs(30));
        or(&mut self.iptables.min_sync_period, GoDuration::from_secs(1));
        or(&mut self.nftables.sync_period, GoDuration::from_secs(30));
        or(&mut self.nftables.min_sync_period, GoDuration::from_secs(1));
        or(&mut self.ipvs.sync_period, GoDuration::from_secs(30));
        or(&mut self.config_sync_period, GoDuration::from_secs(15 * 60));
        or(&mut self.client_connection.qps, 5.0);
        or(&mut self.client_connection.burst, 10);
        or(&mut self.mode, "iptables".into());
        or(&mut self.detect_local_mode, "ClusterCIDR".into());
        self.iptables.masquerade_bit.get_or_insert(14);
        self.nftables.masquerade_bit.get_or_insert(14);
        self.iptables.localhost_node_ports.get_or_insert(true);
        self.oom_score_adj.get_or_insert(-999);
        self.conntrack.max_per_core.get_or_insert(32 * 1024);
        self.conntrack.min.get_or_insert(128 * 1024);
        self.conntrack.tcp_established_timeout.get_or_insert(GoDuration::from_secs(86400));
        self.conntrack.tcp_close_wait_timeout.get_or_insert(GoDuration::from_secs(3600));
        let addresses = self.node_port_addresses.get_or_insert_default();
        if self.mode == "nftables" && addresses.is_empty() {
            addresses.push("primary".into());
        }
        self
    }

    /// Intervals of the chosen mode: (sync, least).
    pub fn periods(&self) -> (Duration, Duration) {
        let (sync, least) = self.written_periods();
        (sync.0, least.0)
    }

    /// The same with their signs.
    pub(crate) fn written_periods(&self) -> (GoDuration, GoDuration) {
        match self.mode.as_str() {
            "ipvs" => (self.ipvs.sync_period, self.ipvs.min_sync_period),
            "nftables" => (self.nftables.sync_period, self.nftables.min_sync_period),
            _ => (self.iptables.sync_period, self.iptables.min_sync_period),
        }
    }

    /// Networks of pods.
    pub fn cluster_cidrs(&self) -> Vec<IpNet> {
        self.cluster_cidr.split(',').filter_map(|net| net.trim().parse().ok()).collect()
    }
}

impl Configuration for Config {
    const UNREADABLE: &'static str = "failed complete: ";
    const UNDECODABLE: &'static str = "failed complete: failed to decode: ";
    const INVALID: &'static str = "failed validate: ";

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = crate::validation::validate(self).iter().map(ToString::to_string).collect();
        if self.mode == "ipvs" && problems.is_empty() {
            problems.push("the ipvs mode is not part of this build; use iptables or nftables".to_owned());
        }
        problems
    }

    fn to_value(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["apiVersion"] = FORMAT.versions[0].into();
        value["kind"] = FORMAT.kind.into();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
        Config::parse(format!("{head}{text}").as_bytes())
    }

    #[test]
    fn reads_the_seed_file() {
        let config = parse(
            "clientConnection:\n  kubeconfig: /x\nhostnameOverride: 127.0.0.1\nmode: \"\"\nconntrack:\n  maxPerCore: 0\n  \
             tcpEstablishedTimeout: 0s\n  tcpCloseWaitTimeout: 0s\n",
        )
        .unwrap();
        assert_eq!((config.mode.as_str(), config.conntrack.max_per_core), ("iptables", Some(0)));
        assert_eq!(config.conntrack.tcp_established_timeout, Some(GoDuration::default()));
        assert_eq!(
            (config.healthz_bind_address.as_str(), config.metrics_bind_address.as_str()),
            ("0.0.0.0:10256", "127.0.0.1:10249")
        );
        assert_eq!(config.problems(), Vec::<String>::new());
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        assert!(parse("iptables: {masqueradeBit: a}").is_err());
        assert_eq!(
            parse("mode: ipvs").unwrap().problems(),
            ["the ipvs mode is not part of this build; use iptables or nftables"]
        );
        assert_eq!(parse("clusterCIDR: 10.0.0.0/8,x").unwrap().problems().len(), 1);
        assert_eq!(parse("mode: nftables").unwrap().node_port_addresses, Some(vec!["primary".to_owned()]));
    }
}
