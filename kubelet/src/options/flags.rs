//! Flags that are fields of the configuration under another name.
//!
//! A flag is written into the configuration's JSON form, so a field has one type and one reader, whatever set it.
//!
//! upstream: cmd/kubelet/app/options/options.go: AddKubeletConfigFlags

use component_base::Flags;
use component_base::flags::{Kind, format_duration};
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};

use super::config::Configuration;

/// Flag → path of the field.
const FIELDS: [(&str, &str); 96] = [
    ("address", "address"),
    ("anonymous-auth", "authentication.anonymous.enabled"),
    ("authentication-token-webhook", "authentication.webhook.enabled"),
    ("authentication-token-webhook-cache-ttl", "authentication.webhook.cacheTTL"),
    ("authorization-mode", "authorization.mode"),
    ("authorization-webhook-cache-authorized-ttl", "authorization.webhook.cacheAuthorizedTTL"),
    ("authorization-webhook-cache-unauthorized-ttl", "authorization.webhook.cacheUnauthorizedTTL"),
    ("client-ca-file", "authentication.x509.clientCAFile"),
    ("cgroup-driver", "cgroupDriver"),
    ("cgroup-root", "cgroupRoot"),
    ("cgroups-per-qos", "cgroupsPerQOS"),
    ("cluster-dns", "clusterDNS"),
    ("cluster-domain", "clusterDomain"),
    ("container-log-max-files", "containerLogMaxFiles"),
    ("container-log-max-size", "containerLogMaxSize"),
    ("container-runtime-endpoint", "containerRuntimeEndpoint"),
    ("contention-profiling", "enableContentionProfiling"),
    ("cpu-cfs-quota", "cpuCFSQuota"),
    ("cpu-cfs-quota-period", "cpuCFSQuotaPeriod"),
    ("cpu-manager-policy", "cpuManagerPolicy"),
    ("cpu-manager-policy-options", "cpuManagerPolicyOptions"),
    ("cpu-manager-reconcile-period", "cpuManagerReconcilePeriod"),
    ("enable-controller-attach-detach", "enableControllerAttachDetach"),
    ("enable-debugging-handlers", "enableDebuggingHandlers"),
    ("enable-server", "enableServer"),
    ("enforce-node-allocatable", "enforceNodeAllocatable"),
    ("event-burst", "eventBurst"),
    ("event-qps", "eventRecordQPS"),
    ("eviction-hard", "evictionHard"),
    ("eviction-soft", "evictionSoft"),
    ("eviction-soft-grace-period", "evictionSoftGracePeriod"),
    ("eviction-max-pod-grace-period", "evictionMaxPodGracePeriod"),
    ("eviction-minimum-reclaim", "evictionMinimumReclaim"),
    ("eviction-pressure-transition-period", "evictionPressureTransitionPeriod"),
    ("fail-cgroupv1", "failCgroupV1"),
    ("fail-swap-on", "failSwapOn"),
    ("feature-gates", "featureGates"),
    ("file-check-frequency", "fileCheckFrequency"),
    ("hairpin-mode", "hairpinMode"),
    ("healthz-bind-address", "healthzBindAddress"),
    ("healthz-port", "healthzPort"),
    ("http-check-frequency", "httpCheckFrequency"),
    ("image-gc-high-threshold", "imageGCHighThresholdPercent"),
    ("image-gc-low-threshold", "imageGCLowThresholdPercent"),
    ("image-service-endpoint", "imageServiceEndpoint"),
    ("kernel-memcg-notification", "kernelMemcgNotification"),
    ("kube-api-burst", "kubeAPIBurst"),
    ("kube-api-content-type", "contentType"),
    ("kube-api-qps", "kubeAPIQPS"),
    ("kube-reserved", "kubeReserved"),
    ("kube-reserved-cgroup", "kubeReservedCgroup"),
    ("kubelet-cgroups", "kubeletCgroups"),
    ("local-storage-capacity-isolation", "localStorageCapacityIsolation"),
    ("make-iptables-util-chains", "makeIPTablesUtilChains"),
    ("manifest-url", "staticPodURL"),
    ("max-open-files", "maxOpenFiles"),
    ("max-pods", "maxPods"),
    ("memory-manager-policy", "memoryManagerPolicy"),
    ("minimum-image-ttl-duration", "imageMinimumGCAge"),
    ("node-status-max-images", "nodeStatusMaxImages"),
    ("node-status-update-frequency", "nodeStatusUpdateFrequency"),
    ("oom-score-adj", "oomScoreAdj"),
    ("pod-cidr", "podCIDR"),
    ("pod-manifest-path", "staticPodPath"),
    ("pod-max-pids", "podPidsLimit"),
    ("pods-per-core", "podsPerCore"),
    ("port", "port"),
    ("protect-kernel-defaults", "protectKernelDefaults"),
    ("provider-id", "providerID"),
    ("qos-reserved", "qosReserved"),
    ("read-only-port", "readOnlyPort"),
    ("register-node", "registerNode"),
    ("registry-burst", "registryBurst"),
    ("registry-qps", "registryPullQPS"),
    ("reserved-cpus", "reservedSystemCPUs"),
    ("resolv-conf", "resolvConf"),
    ("rotate-certificates", "rotateCertificates"),
    ("rotate-server-certificates", "serverTLSBootstrap"),
    ("runonce", "runOnce"),
    ("runtime-request-timeout", "runtimeRequestTimeout"),
    ("seccomp-default", "seccompDefault"),
    ("serialize-image-pulls", "serializeImagePulls"),
    ("streaming-connection-idle-timeout", "streamingConnectionIdleTimeout"),
    ("sync-frequency", "syncFrequency"),
    ("system-cgroups", "systemCgroups"),
    ("system-reserved", "systemReserved"),
    ("system-reserved-cgroup", "systemReservedCgroup"),
    ("tls-cert-file", "tlsCertFile"),
    ("tls-cipher-suites", "tlsCipherSuites"),
    ("tls-min-version", "tlsMinVersion"),
    ("tls-private-key-file", "tlsPrivateKeyFile"),
    ("topology-manager-policy", "topologyManagerPolicy"),
    ("topology-manager-policy-options", "topologyManagerPolicyOptions"),
    ("topology-manager-scope", "topologyManagerScope"),
    ("volume-plugin-dir", "volumePluginDir"),
    ("volume-stats-agg-period", "volumeStatsAggPeriod"),
];

/// Flags that act and are no fields of the configuration.
const OTHERS: [&str; 15] = [
    "bootstrap-kubeconfig",
    "cert-dir",
    "config",
    "hostname-override",
    "container-runtime",
    "kubeconfig",
    "logging-format",
    "log-flush-frequency",
    "node-ip",
    "node-labels",
    "register-with-taints",
    "root-dir",
    "v",
    "version",
    "vmodule",
];

/// A flag whose value does not fit its field.
#[derive(Debug, thiserror::Error)]
pub enum FlagValueError {
    /// The value is of the wrong kind.
    #[error("invalid argument for \"--{flag}\" flag")]
    Value {
        /// The flag.
        flag: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A taint is malformed.
    #[error("invalid argument {0:?} for \"--register-with-taints\" flag: invalid taint spec: {0}")]
    Taint(String),
    /// A runtime that is not reached over CRI.
    #[error("invalid argument {0:?} for \"--container-runtime\" flag: the only container runtime is \"remote\"")]
    Runtime(String),
}

/// Applies the flags that were given.
///
/// # Errors
/// A value does not fit.
pub fn apply(flags: &Flags, config: &mut Configuration) -> Result<(), FlagValueError> {
    let table = component_base::flags::Table::parse(super::FLAGS);
    for (flag, path) in FIELDS.iter().filter(|(flag, _)| flags.changed(flag)) {
        let Some(spec) = table.find(flag) else { continue };
        let value = read(flags, flag, spec.kind);
        let mut json = serde_json::to_value(&*config)
            .map_err(|source| FlagValueError::Value { flag: (*flag).to_owned(), source })?;
        put(&mut json, path, value);
        *config = serde_json::from_value(json)
            .map_err(|source| FlagValueError::Value { flag: (*flag).to_owned(), source })?;
    }
    if flags.changed("register-with-taints") {
        config.register_with_taints = taints(&flags.text("register-with-taints"))?;
    }
    // The flag is gone upstream; older command lines still give it, with the one value that means CRI.
    let runtime = flags.text("container-runtime");
    if flags.changed("container-runtime") && runtime != "remote" {
        return Err(FlagValueError::Runtime(runtime));
    }
    let acting: Vec<&str> = FIELDS.iter().map(|(flag, _)| *flag).chain(OTHERS).collect();
    flags.acts(&acting);
    Ok(())
}

fn put(json: &mut Value, path: &str, value: Value) {
    let mut place = json;
    for name in path.split('.') {
        place = &mut place[name];
    }
    *place = value;
}

fn read(flags: &Flags, flag: &str, kind: Kind) -> Value {
    match kind {
        Kind::Bool => json!(flags.bool(flag)),
        Kind::Int(_) | Kind::Uint(_) => json!(flags.int(flag)),
        Kind::Float => json!(flags.float(flag)),
        Kind::Duration => json!(format_duration(flags.duration_nanos(flag))),
        Kind::List | Kind::Array => json!(flags.list(flag)),
        Kind::Map => json!(flags.map(flag)),
        Kind::BoolMap => {
            let map = flags.map(flag);
            Value::Object(map.into_iter().map(|(gate, value)| (gate, Value::Bool(value == "true"))).collect())
        }
        Kind::Text | Kind::Ip | Kind::Version => json!(flags.str(flag)),
    }
}

/// `key=value:Effect`, separated by commas.
fn taints(text: &str) -> Result<Vec<Taint>, FlagValueError> {
    text.split(',')
        .filter(|one| !one.is_empty())
        .map(|one| {
            let (key, effect) = one.rsplit_once(':').ok_or_else(|| FlagValueError::Taint(one.to_owned()))?;
            let (key, value) = key.split_once('=').unwrap_or((key, ""));
            if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
                return Err(FlagValueError::Taint(one.to_owned()));
            }
            Ok(Taint {
                key: key.to_owned(),
                value: (!value.is_empty()).then(|| value.to_owned()),
                effect: effect.to_owned(),
                time_added: None,
            })
        })
        .collect()
}
