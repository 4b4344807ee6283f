//! Flags into configuration: a configuration file replaces all flags but a few. upstream: cmd/kube-proxy/app/options.go

use std::path::Path;

use component_base::Flags;
use component_base::config::ConfigError;

use crate::config::Config;

/// The flag table.
pub const FLAGS: &str = include_str!("flags.tsv");

/// Flags that act besides a configuration file.
const ALWAYS: &[&str] = &[
    "cleanup",
    "config",
    "feature-gates",
    "hostname-override",
    "init-only",
    "log-flush-frequency",
    "logging-format",
    "master",
    "v",
    "vmodule",
    "write-config-to",
];

/// Flags that the file replaces.
const WITHOUT_FILE: &[&str] = &[
    "bind-address",
    "bind-address-hard-fail",
    "cluster-cidr",
    "config-sync-period",
    "conntrack-max-per-core",
    "conntrack-min",
    "conntrack-tcp-be-liberal",
    "conntrack-tcp-timeout-close-wait",
    "conntrack-tcp-timeout-established",
    "conntrack-udp-timeout",
    "conntrack-udp-timeout-stream",
    "detect-local-mode",
    "healthz-bind-address",
    "healthz-port",
    "iptables-localhost-nodeports",
    "iptables-masquerade-bit",
    "iptables-min-sync-period",
    "iptables-sync-period",
    "kube-api-burst",
    "kube-api-content-type",
    "kube-api-qps",
    "kubeconfig",
    "masquerade-all",
    "metrics-bind-address",
    "metrics-port",
    "nodeport-addresses",
    "oom-score-adj",
    "pod-bridge-interface",
    "pod-interface-name-prefix",
    "profiling",
    "proxy-mode",
];

/// The configuration that the flags or the file make.
///
/// # Errors
/// When the file cannot be read or is not a KubeProxyConfiguration.
pub fn configuration(flags: &Flags) -> Result<Config, ConfigError> {
    let file = flags.str("config");
    let mut config = if file.is_empty() {
        flags.acts(&[ALWAYS, WITHOUT_FILE].concat());
        Config::from_flags(flags)
    } else {
        let ignored: Vec<_> =
            flags.all_changed().iter().filter(|f| WITHOUT_FILE.contains(&f.as_str())).cloned().collect();
        if !ignored.is_empty() {
            tracing::warn!(
                flags = ignored.join(","),
                "A configuration file is given, these flags are ignored as in upstream"
            );
        }
        flags.acts(&[ALWAYS, WITHOUT_FILE].concat());
        Config::load(Path::new(file))?
    };
    if flags.changed("hostname-override") {
        flags.str("hostname-override").clone_into(&mut config.hostname_override);
    }
    Ok(config)
}
