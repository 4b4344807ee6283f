//! What a configuration must not say, in upstream's words. Pure.
//!
//! upstream: pkg/kubelet/apis/config/validation/validation.go

use super::Configuration;

/// Everything that cannot be; empty when the configuration can be used.
pub fn problems(config: &Configuration) -> Vec<String> {
    let mut problems = Problems::default();
    numbers(config, &mut problems);
    choices(config, &mut problems);
    problems.check(
        config.container_runtime_endpoint.is_empty(),
        "the containerRuntimeEndpoint was not specified or empty".to_owned(),
    );
    problems.check(
        config.server_tls_bootstrap && !config.tls_cert_file.is_empty(),
        "serverTLSBootstrap and tlsCertFile exclude each other".to_owned(),
    );
    problems.check(
        config.container_log_max_workers < 1,
        "containerLogMaxWorkers must be greater than or equal to 1".to_owned(),
    );
    problems.check(
        config.container_log_monitor_interval.0.as_secs() < 3,
        "containerLogMonitorInterval must be a positive time duration greater than or equal to 3s".to_owned(),
    );
    problems.check(config.container_log_max_files <= 1, "containerLogMaxFiles must be greater than 1".to_owned());
    problems.0
}

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn check(&mut self, is_wrong: bool, what: String) {
        if is_wrong {
            self.0.push(format!("invalid configuration: {what}"));
        }
    }
}

fn numbers(config: &Configuration, problems: &mut Problems) {
    problems
        .check(config.node_lease_duration_seconds <= 0, "nodeLeaseDurationSeconds must be greater than 0".to_owned());
    let (low, high) = (config.image_gc_low_threshold_percent, config.image_gc_high_threshold_percent);
    let negative = |name: &str, number: i64| (number < 0, format!("{name} {number} must not be a negative number"));
    let percent =
        |name: &str, number: u8| (number > 100, format!("{name} {number} must be between 0 and 100, inclusive"));
    let bit = |name: &str, number: i32| {
        (!(0..=31).contains(&number), format!("{name} {number} must be between 0 and 31, inclusive"))
    };
    for (is_wrong, what) in [
        negative("eventBurst (--event-burst)", config.event_burst.into()),
        negative("eventRecordQPS (--event-qps)", config.event_record_qps.into()),
        percent("imageGCHighThresholdPercent (--image-gc-high-threshold)", high),
        percent("imageGCLowThresholdPercent (--image-gc-low-threshold)", low),
        (
            low >= high,
            format!(
                "imageGCLowThresholdPercent (--image-gc-low-threshold) {low} must be less than imageGCHighThresholdPercent \
                 (--image-gc-high-threshold) {high}"
            ),
        ),
        bit("iptablesDropBit (--iptables-drop-bit)", config.iptables_drop_bit),
        bit("iptablesMasqueradeBit (--iptables-masquerade-bit)", config.iptables_masquerade_bit),
        negative("kubeAPIBurst (--kube-api-burst)", config.kube_api_burst.into()),
        negative("kubeAPIQPS (--kube-api-qps)", config.kube_api_qps.into()),
        (
            config.node_status_max_images < -1,
            format!(
                "nodeStatusMaxImages (--node-status-max-images) {} must be -1 or greater",
                config.node_status_max_images
            ),
        ),
        negative("maxOpenFiles (--max-open-files)", config.max_open_files),
        negative("maxPods (--max-pods)", config.max_pods.into()),
        (
            !(-1000..=1000).contains(&config.oom_score_adj),
            format!("oomScoreAdj (--oom-score-adj) {} must be between -1000 and 1000, inclusive", config.oom_score_adj),
        ),
        negative("podsPerCore (--pods-per-core)", config.pods_per_core.into()),
        (config.port == 0, format!("port (--port) {} must be between 1 and 65535, inclusive", config.port)),
        negative("registryBurst (--registry-burst)", config.registry_burst.into()),
        negative("registryPullQPS (--registry-qps)", config.registry_pull_qps.into()),
    ] {
        problems.check(is_wrong, what);
    }
    if let Some(pulls) = config.max_parallel_image_pulls {
        problems.check(pulls < 1, format!("maxParallelImagePulls {pulls} must be a positive number"));
        problems.check(
            pulls > 1 && config.serialize_image_pulls == Some(true),
            "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false"
                .to_owned(),
        );
    }
}

fn choices(config: &Configuration, problems: &mut Problems) {
    let run_once = "runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set";
    problems.check(config.run_once, run_once.to_owned());
    let policy = config.topology_manager_policy.as_str();
    let is_known = ["none", "best-effort", "restricted", "single-numa-node"].contains(&policy);
    problems.check(
        !is_known,
        format!(
            "topologyManagerPolicy (--topology-manager-policy) {policy:?} must be one of: [\"none\" \"best-effort\" \
             \"restricted\" \"single-numa-node\"]"
        ),
    );
    let scope = config.topology_manager_scope.as_str();
    problems.check(
        !["container", "pod"].contains(&scope),
        format!("topologyManagerScope (--topology-manager-scope) {scope:?} must be one of: \"container\", or \"pod\""),
    );
    let hairpin = config.hairpin_mode.as_str();
    problems.check(
        !["none", "hairpin-veth", "promiscuous-bridge"].contains(&hairpin),
        format!(
            "option {hairpin:?} specified for hairpinMode (--hairpin-mode). Valid options are \"none\", \"hairpin-veth\" or \
             \"promiscuous-bridge\""
        ),
    );
    // Upstream finds these two only when it makes use of them.
    for (field, value, allowed) in [
        ("cgroupDriver", config.cgroup_driver.as_str(), ["cgroupfs", "systemd"]),
        ("authorization.mode", config.authorization.mode.as_str(), ["AlwaysAllow", "Webhook"]),
    ] {
        problems.check(!allowed.contains(&value), format!("{field} {value:?} is not one of {allowed:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_told() {
        let mut config = Configuration::default();
        config.complete();
        assert_eq!(problems(&config), Vec::<String>::new());
        let mut legacy = Configuration::legacy();
        legacy.complete();
        assert_eq!(problems(&legacy), Vec::<String>::new());
        config.event_record_qps = -5;
        config.image_gc_high_threshold_percent = 101;
        config.container_log_max_files = 1;
        config.topology_manager_policy = "nope".to_owned();
        assert_eq!(
            problems(&config),
            [
                "invalid configuration: eventRecordQPS (--event-qps) -5 must not be a negative number",
                "invalid configuration: imageGCHighThresholdPercent (--image-gc-high-threshold) 101 must be between 0 and 100, inclusive",
                "invalid configuration: topologyManagerPolicy (--topology-manager-policy) \"nope\" must be one of: [\"none\" \"best-effort\" \"restricted\" \"single-numa-node\"]",
                "invalid configuration: containerLogMaxFiles must be greater than 1",
            ]
        );
    }
}
