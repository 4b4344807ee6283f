//! What may not stand in a KubeletConfiguration, in upstream's words and order.
//!
//! upstream: pkg/kubelet/apis/config/validation/validation.go

use std::collections::HashSet;
use std::fmt::Display;

use apimachinery::names::{label_value, qualified_name};
use apimachinery::quote::{quote, quote_slice};
use component_base::flags::{FeatureGates, GateError};
use k8s_openapi::api::core::v1::Taint;

use super::config::Configuration;

const CGROUP_V1: &str = "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported \
                         and will be removed in a future release";
const RESERVED: [&str; 6] =
    ["pods", "system-reserved", "system-reserved-compressible", "kube-reserved", "kube-reserved-compressible", "none"];

/// All problems; `cgroup_v1` says which version this machine has.
///
/// # Errors
/// Gates that cannot be set: nothing else can be judged then.
pub fn problems(config: &Configuration, cgroup_v1: bool) -> Result<Vec<String>, GateError> {
    let mut gates = FeatureGates::defaults();
    gates.set(config.feature_gates.iter().map(|(gate, on)| (gate.as_str(), if *on { "true" } else { "false" })))?;
    let mut check = Check { config, gates, found: Vec::new() };
    check.rates_and_ports();
    check.images();
    check.numbers();
    check.pulls();
    check.taints();
    check.topology();
    check.shutdown();
    check.swap_and_crash_loops();
    check.enforcement();
    check.image_credentials();
    check.reserved_cpus();
    check.machine(cgroup_v1);
    check.tracing();
    check.memory();
    check.runtime_and_logs();
    Ok(check.found)
}

struct Check<'a> {
    config: &'a Configuration,
    gates: FeatureGates,
    found: Vec<String>,
}

impl Check<'_> {
    fn require(&mut self, good: bool, problem: impl FnOnce() -> String) {
        if !good {
            self.found.push(format!("invalid configuration: {}", problem()));
        }
    }

    fn not_negative(&mut self, field: &str, flag: &str, value: i64) {
        self.require(value >= 0, || format!("{field} (--{flag}) {value} must not be a negative number"));
    }

    fn within<T: PartialOrd + Display>(&mut self, field: &str, flag: &str, value: T, (low, high): (T, T)) {
        self.require(low <= value && value <= high, || {
            format!("{field} (--{flag}) {value} must be between {low} and {high}, inclusive")
        });
    }

    fn rates_and_ports(&mut self) {
        let config = self.config;
        self.require(config.node_lease_duration_seconds > 0, || {
            "nodeLeaseDurationSeconds must be greater than 0".to_owned()
        });
        self.require(config.system_cgroups.is_empty() || !config.cgroup_root.is_empty(), || {
            "systemCgroups (--system-cgroups) was specified and cgroupRoot (--cgroup-root) was not specified".to_owned()
        });
        self.not_negative("eventBurst", "event-burst", config.event_burst.into());
        self.not_negative("eventRecordQPS", "event-qps", config.event_record_qps.into());
        if config.healthz_port != 0 {
            self.within("healthzPort", "healthz-port", config.healthz_port, (1, 65535));
        }
        let (period, on) = (config.cpu_cfs_quota_period, self.gates.enabled("CustomCPUCFSQuotaPeriod"));
        self.require(on || period.nanos() == 100_000_000, || {
            format!(
                "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {{{period}}} requires feature gate CustomCPUCFSQuotaPeriod"
            )
        });
        self.require(!on || (1_000_000..=1_000_000_000).contains(&period.nanos()), || {
            format!("cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {{{period}}} must be between 1ms and 1sec, inclusive")
        });
    }

    fn images(&mut self) {
        let config = self.config;
        let (high, low) = (config.image_gc_high_threshold_percent, config.image_gc_low_threshold_percent);
        self.within("imageGCHighThresholdPercent", "image-gc-high-threshold", high, (0, 100));
        self.within("imageGCLowThresholdPercent", "image-gc-low-threshold", low, (0, 100));
        self.require(low < high, || {
            format!(
                "imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) {high}"
            )
        });
        let (least, most) = (config.image_minimum_gc_age, config.image_maximum_gc_age);
        self.require(least.nanos() >= 0, || format!("imageMinimumGCAge {least} must not be negative"));
        self.require(most.nanos() >= 0, || format!("imageMaximumGCAge {most} must not be negative"));
        self.require(most.nanos() <= 0 || most > least, || {
            format!("imageMaximumGCAge {most} must be greater than imageMinimumGCAge {least}")
        });
    }

    fn numbers(&mut self) {
        let config = self.config;
        self.within("iptablesDropBit", "iptables-drop-bit", config.iptables_drop_bit, (0, 31));
        self.within("iptablesMasqueradeBit", "iptables-masquerade-bit", config.iptables_masquerade_bit, (0, 31));
        self.not_negative("kubeAPIBurst", "kube-api-burst", config.kube_api_burst.into());
        self.not_negative("kubeAPIQPS", "kube-api-qps", config.kube_api_qps.into());
        let images = config.node_status_max_images;
        self.require(images >= -1, || {
            format!("nodeStatusMaxImages (--node-status-max-images) {images} must be -1 or greater")
        });
        self.not_negative("maxOpenFiles", "max-open-files", config.max_open_files);
        self.not_negative("maxPods", "max-pods", config.max_pods.into());
        self.within("oomScoreAdj", "oom-score-adj", config.oom_score_adj, (-1000, 1000));
        self.not_negative("podsPerCore", "pods-per-core", config.pods_per_core.into());
        self.within("port", "port", config.port, (1, 65535));
        self.within("readOnlyPort", "read-only-port", config.read_only_port, (0, 65535));
        self.not_negative("registryBurst", "registry-burst", config.registry_burst.into());
        self.not_negative("registryPullQPS", "registry-qps", config.registry_pull_qps.into());
    }

    fn pulls(&mut self) {
        let config = self.config;
        if let Some(limit) = config.max_parallel_image_pulls {
            self.require(limit >= 1, || format!("maxParallelImagePulls {limit} must be a positive number"));
            self.require(limit <= 1 || config.serialize_image_pulls != Some(true), || {
                "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false".to_owned()
            });
        }
        let rotates = self.gates.enabled("RotateKubeletServerCertificate");
        self.require(!config.server_tls_bootstrap || rotates, || {
            "serverTLSBootstrap true requires feature gate RotateKubeletServerCertificate".to_owned()
        });
        self.require(!config.run_once, || {
            "runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set".to_owned()
        });
    }

    fn taints(&mut self) {
        for taint in &self.config.register_with_taints {
            if !is_valid(taint) {
                let value = taint.value.as_deref().unwrap_or_default();
                self.found.push(format!("invalid taint: {{{} {value} {} <nil>}}", taint.key, taint.effect));
            }
            self.require(taint.time_added.is_none(), || "taint.TimeAdded is not nil".to_owned());
        }
    }

    fn topology(&mut self) {
        let policies = ["none", "best-effort", "restricted", "single-numa-node"];
        let (policy, scope) = (&self.config.topology_manager_policy, &self.config.topology_manager_scope);
        self.require(policies.contains(&policy.as_str()), || {
            let allowed = quote_slice(policies);
            format!("topologyManagerPolicy (--topology-manager-policy) {} must be one of: {allowed}", quote(policy))
        });
        self.require(["container", "pod"].contains(&scope.as_str()), || {
            let scope = quote(scope);
            format!("topologyManagerScope (--topology-manager-scope) {scope} must be one of: \"container\", or \"pod\"")
        });
    }

    fn shutdown(&mut self) {
        const SECOND: i64 = 1_000_000_000;
        let (all, critical) = (self.config.shutdown_grace_period, self.config.shutdown_grace_period_critical_pods);
        let graceful = self.gates.enabled("GracefulNodeShutdown");
        if graceful {
            self.require(critical.nanos() <= all.nanos(), || {
                format!("shutdownGracePeriodCriticalPods {{{critical}}} must be <= shutdownGracePeriod {{{all}}}")
            });
            for (name, period) in [("shutdownGracePeriod", all), ("shutdownGracePeriodCriticalPods", critical)] {
                self.require(period.nanos() == 0 || period.nanos() >= SECOND, || {
                    format!("{name} {{{period}}} must be either zero or otherwise >= 1 sec")
                });
            }
        }
        let set = all.nanos() > 0 || critical.nanos() > 0;
        self.require(graceful || !set, || {
            "specifying shutdownGracePeriod or shutdownGracePeriodCriticalPods requires feature gate GracefulNodeShutdown"
                .to_owned()
        });
        let by_priority = self.config.shutdown_grace_period_by_pod_priority.as_array().is_some_and(|l| !l.is_empty());
        let gate = self.gates.enabled("GracefulNodeShutdownBasedOnPodPriority");
        self.require(!(gate && by_priority && set), || {
            "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time".to_owned()
        });
        self.require(gate || !by_priority, || {
            "Specifying shutdownGracePeriodByPodPriority requires feature gate GracefulNodeShutdownBasedOnPodPriority"
                .to_owned()
        });
    }

    fn swap_and_crash_loops(&mut self) {
        let swap = self.config.memory_swap["swapBehavior"].as_str().unwrap_or_default();
        self.require(["", "NoSwap", "LimitedSwap"].contains(&swap), || {
            let swap = quote(swap);
            format!("memorySwap.swapBehavior {swap} must be one of: \"\", \"LimitedSwap\" or \"NoSwap\"")
        });
        let longest = self.config.crash_loop_back_off.max_container_restart_period.nanos();
        self.require((1_000..=300_000).contains(&(longest / 1_000_000)), || {
            let seconds = longest / 1_000_000_000;
            format!(
                "CrashLoopBackOff.MaxContainerRestartPeriod (got: {seconds} seconds) must be set between 1s and 300s"
            )
        });
    }

    fn enforcement(&mut self) {
        let given = self.config.enforce_node_allocatable.as_deref().unwrap_or_default();
        for [plain, compressible] in
            [["system-reserved", "system-reserved-compressible"], ["kube-reserved", "kube-reserved-compressible"]]
        {
            self.require(![plain, compressible].iter().all(|key| given.iter().any(|g| g == key)), || {
                format!(
                    "both {plain:?} and {compressible:?} cannot be specified together in enforceNodeAllocatable (--enforce-node-allocatable)"
                )
            });
        }
        let mut seen = HashSet::new();
        for key in given {
            if !seen.insert(key) {
                self.require(false, || {
                    let key = quote(key);
                    format!("duplicated enforcements {key} in enforceNodeAllocatable (--enforce-node-allocatable)")
                });
                continue;
            }
            self.enforced(key, given.len());
        }
        let mode = &self.config.hairpin_mode;
        self.require(["none", "hairpin-veth", "promiscuous-bridge"].contains(&mode.as_str()), || {
            let mode = quote(mode);
            format!(
                "option {mode} specified for hairpinMode (--hairpin-mode). Valid options are \"none\", \"hairpin-veth\" or \"promiscuous-bridge\""
            )
        });
    }

    fn enforced(&mut self, key: &str, given: usize) {
        let config = self.config;
        let needs_cgroup = |who: &str, field: &str, flag: &str| {
            format!(
                "{field} (--{flag}) must be specified when \"{who}\" or \"{who}-compressible\" included in enforceNodeAllocatable (--enforce-node-allocatable)"
            )
        };
        match key {
            "pods" => {}
            "system-reserved" | "system-reserved-compressible" => {
                self.require(!config.system_reserved_cgroup.is_empty(), || {
                    needs_cgroup("system-reserved", "systemReservedCgroup", "system-reserved-cgroup")
                });
            }
            "kube-reserved" | "kube-reserved-compressible" => {
                self.require(!config.kube_reserved_cgroup.is_empty(), || {
                    needs_cgroup("kube-reserved", "kubeReservedCgroup", "kube-reserved-cgroup")
                });
            }
            "none" => {
                return self.require(given == 1, || {
                    "enforceNodeAllocatable (--enforce-node-allocatable) may not contain additional enforcements when \"none\" is specified".to_owned()
                });
            }
            other => {
                let [first @ .., last] = RESERVED.map(quote);
                let (other, first) = (quote(other), first.join(", "));
                return self.require(false, || {
                    format!(
                        "option {other} specified for enforceNodeAllocatable (--enforce-node-allocatable). Valid options are {first} or {last}"
                    )
                });
            }
        }
        self.require(config.cgroups_per_qos, || {
            let key = quote(key);
            format!(
                "cgroupsPerQOS (--cgroups-per-qos) must be set to true when {key} contained in enforceNodeAllocatable (--enforce-node-allocatable)"
            )
        });
    }

    fn image_credentials(&mut self) {
        let config = self.config;
        let (policy, listed) = (
            &config.image_pull_credentials_verification_policy,
            !config.preloaded_images_verification_allowlist.is_empty(),
        );
        if !self.gates.enabled("KubeletEnsureSecretPulledImages") {
            return;
        }
        let policies = ["NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify"];
        self.require(policies.contains(&policy.as_str()), || {
            let [first @ .., last] = policies.map(quote);
            let (policy, first) = (quote(policy), first.join(", "));
            format!(
                "option {policy} specified for imagePullCredentialsVerificationPolicy. Valid options are {first} or {last}"
            )
        });
        self.require(!listed || policy == "NeverVerifyAllowlistedImages", || {
            "can't set `preloadedImagesVerificationAllowlist` if `imagePullCredentialsVertificationPolicy` is not \"NeverVerifyAllowlistedImages\"".to_owned()
        });
    }

    fn reserved_cpus(&mut self) {
        let config = self.config;
        let cpus = &config.reserved_system_cpus;
        if cpus.is_empty() {
            return;
        }
        let cgroup = !config.system_reserved_cgroup.is_empty() || !config.kube_reserved_cgroup.is_empty();
        self.require(!cgroup, || {
            "can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup (--system-reserved-cgroup) or kubeReservedCgroup (--kube-reserved-cgroup)".to_owned()
        });
        if let Some(error) = cpu_set_error(cpus) {
            self.require(false, || {
                format!("unable to parse reservedSystemCPUs (--reserved-cpus) {cpus}, error: {error}")
            });
        }
    }

    fn machine(&mut self, cgroup_v1: bool) {
        if self.config.fail_cgroup_v1 && cgroup_v1 {
            self.found.push(CGROUP_V1.to_owned());
            return;
        }
        self.require(!cgroup_v1 || self.config.single_process_oom_kill != Some(false), || {
            "singleProcessOOMKill must not be explicitly set to false when using cgroup v1".to_owned()
        });
    }

    fn tracing(&mut self) {
        if let Some(rate) = self.config.tracing["samplingRatePerMillion"].as_i64().filter(|rate| *rate < 0) {
            self.found
                .push(format!("tracing.samplingRatePerMillion: Invalid value: {rate}: sampling rate must be positive"));
        }
    }

    fn memory(&mut self) {
        let (factor, policy) = (self.config.memory_throttling_factor, &self.config.memory_reservation_policy);
        self.require(factor > 0.0 && factor <= 1.0, || {
            format!("memoryThrottlingFactor {factor} must be greater than 0 and less than or equal to 1.0")
        });
        let qos = self.gates.enabled("MemoryQoS");
        self.require(qos || policy != "TieredReservation", || {
            "memoryReservationPolicy \"TieredReservation\" requires MemoryQoS feature gate to be enabled".to_owned()
        });
        self.require(["None", "TieredReservation"].contains(&policy.as_str()), || {
            let policy = quote(policy);
            format!(
                "option {policy} specified for memoryReservationPolicy. Valid options are \"None\" or \"TieredReservation\""
            )
        });
    }

    fn runtime_and_logs(&mut self) {
        let config = self.config;
        self.require(!config.container_runtime_endpoint.is_empty(), || {
            "the containerRuntimeEndpoint was not specified or empty".to_owned()
        });
        self.require(!config.enable_system_log_query || config.enable_system_log_handler, || {
            "enableSystemLogHandler is required for enableSystemLogQuery".to_owned()
        });
        self.require(config.container_log_max_workers >= 1, || {
            "containerLogMaxWorkers must be greater than or equal to 1".to_owned()
        });
        self.require(config.container_log_monitor_interval.0.as_secs() >= 3, || {
            "containerLogMonitorInterval must be a positive time duration greater than or equal to 3s".to_owned()
        });
        self.require(config.container_log_max_files > 1, || "containerLogMaxFiles must be greater than 1".to_owned());
        let folder = &config.pod_logs_dir;
        self.require(!folder.is_empty(), || "podLogsDir was not specified".to_owned());
        let shown = quote(folder);
        self.require(folder.starts_with('/'), || format!("pod logs path {shown} must be absolute path"));
        self.require(is_clean(folder), || format!("pod logs path {shown} must be normalized"));
        self.require(folder.is_ascii(), || format!("pod logs path {shown} mut contains ASCII characters only"));
    }
}

fn is_valid(taint: &Taint) -> bool {
    qualified_name(&taint.key).is_empty()
        && label_value(taint.value.as_deref().unwrap_or_default()).is_empty()
        && ["", "NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&taint.effect.as_str())
}

/// No empty parts, `.` or `..`, and no slash at the end.
fn is_clean(path: &str) -> bool {
    path == "/" || (!path.is_empty() && path.trim_start_matches('/').split('/').all(|p| !["", ".", ".."].contains(&p)))
}

/// Why a list such as `0-3,8` is none, in the words of Go's cpuset.
fn cpu_set_error(text: &str) -> Option<String> {
    let number =
        |part: &str| part.parse::<i64>().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", quote(part)));
    let check = |part: &str| match part.split_once('-') {
        None => number(part).map(|_| ()),
        Some((low, high)) => {
            let (low, high) = (number(low)?, number(high)?);
            if low > high { Err(format!("invalid range {} ({low} > {high})", quote(part))) } else { Ok(()) }
        }
    };
    text.split(',').find_map(|part| check(part).err())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let text = format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{text}");
        let mut config: Configuration = component_base::config::parse(text.as_bytes(), &super::super::FORMAT).unwrap();
        config.complete();
        problems(&config, false).unwrap()
    }

    #[test]
    fn texts_are_upstreams() {
        for (text, expected) in [
            ("nodeLeaseDurationSeconds: -1", "nodeLeaseDurationSeconds must be greater than 0"),
            ("eventBurst: -1", "eventBurst (--event-burst) -1 must not be a negative number"),
            ("healthzPort: 70000", "healthzPort (--healthz-port) 70000 must be between 1 and 65535, inclusive"),
            (
                "cpuCFSQuotaPeriod: 5s",
                "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) {5s} must be between 1ms and 1sec, inclusive",
            ),
            (
                "imageGCHighThresholdPercent: 120",
                "imageGCHighThresholdPercent (--image-gc-high-threshold) 120 must be between 0 and 100, inclusive",
            ),
            ("imageMinimumGCAge: -1s", "imageMinimumGCAge -1s must not be negative"),
            ("maxPods: -1", "maxPods (--max-pods) -1 must not be a negative number"),
            ("port: 70000", "port (--port) 70000 must be between 1 and 65535, inclusive"),
            ("nodeStatusMaxImages: -2", "nodeStatusMaxImages (--node-status-max-images) -2 must be -1 or greater"),
            ("maxParallelImagePulls: 0", "maxParallelImagePulls 0 must be a positive number"),
            (
                "topologyManagerPolicy: foo",
                "topologyManagerPolicy (--topology-manager-policy) \"foo\" must be one of: [\"none\" \"best-effort\" \"restricted\" \"single-numa-node\"]",
            ),
            (
                "shutdownGracePeriod: 5s\nshutdownGracePeriodCriticalPods: 10s",
                "shutdownGracePeriodCriticalPods {10s} must be <= shutdownGracePeriod {5s}",
            ),
            (
                "enforceNodeAllocatable: [pods, foo]",
                "option \"foo\" specified for enforceNodeAllocatable (--enforce-node-allocatable). Valid options are \"pods\", \"system-reserved\", \"system-reserved-compressible\", \"kube-reserved\", \"kube-reserved-compressible\" or \"none\"",
            ),
            (
                "hairpinMode: foo",
                "option \"foo\" specified for hairpinMode (--hairpin-mode). Valid options are \"none\", \"hairpin-veth\" or \"promiscuous-bridge\"",
            ),
            (
                "reservedSystemCPUs: a-b",
                "unable to parse reservedSystemCPUs (--reserved-cpus) a-b, error: strconv.Atoi: parsing \"a\": invalid syntax",
            ),
            (
                "memoryThrottlingFactor: 2",
                "memoryThrottlingFactor 2 must be greater than 0 and less than or equal to 1.0",
            ),
            ("containerRuntimeEndpoint: x\ncontainerLogMaxFiles: 1", "containerLogMaxFiles must be greater than 1"),
            ("podLogsDir: /a/../b", "pod logs path \"/a/../b\" must be normalized"),
        ] {
            assert_eq!(found(text), [format!("invalid configuration: {expected}")], "{text}");
        }
        assert_eq!(found("registerWithTaints: [{key: a, effect: Foo}]"), ["invalid taint: {a  Foo <nil>}"]);
        assert_eq!(found(""), Vec::<String>::new());
    }

    #[test]
    fn cgroup_v1_is_refused_unless_allowed() {
        let config = Configuration::legacy();
        assert_eq!(problems(&config, true), Ok(vec![CGROUP_V1.to_owned()]));
        let config = Configuration { fail_cgroup_v1: false, ..config };
        assert_eq!(problems(&config, true), Ok(Vec::new()));
    }
}
