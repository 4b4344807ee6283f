//! Flags into configuration: a configuration file wins over the deprecated flags, leader election flags win over the file.
//! upstream: cmd/kube-scheduler/app/options

use std::path::Path;

use component_base::Flags;
use component_base::config::ConfigError;
use component_base::flags::format_duration;
use component_base::serving::SECURE_SERVING_FLAGS;

use crate::config::{self, KubeSchedulerConfiguration};

/// The flag table.
pub const FLAGS: &str = include_str!("flags.tsv");

/// Flags that act in this build, besides those of serving.
const ACTING: &[&str] = &[
    "authentication-tolerate-lookup-failure",
    "config",
    "contention-profiling",
    "emulated-version",
    "feature-gates",
    "kube-api-burst",
    "kube-api-content-type",
    "kube-api-qps",
    "kubeconfig",
    "leader-elect",
    "leader-elect-lease-duration",
    "leader-elect-renew-deadline",
    "leader-elect-resource-lock",
    "leader-elect-resource-name",
    "leader-elect-resource-namespace",
    "leader-elect-retry-period",
    "log-flush-frequency",
    "logging-format",
    "master",
    "pod-max-in-unschedulable-pods-duration",
    "profiling",
    "v",
    "vmodule",
    "write-config-to",
];

/// The configuration that the flags and the file make together.
///
/// # Errors
/// When the file cannot be read or is not a KubeSchedulerConfiguration.
pub fn configuration(flags: &Flags) -> Result<KubeSchedulerConfiguration, ConfigError> {
    flags.acts(&[ACTING, SECURE_SERVING_FLAGS].concat());
    let file = flags.str("config");
    let mut configuration = if file.is_empty() {
        let mut configuration = KubeSchedulerConfiguration::default();
        apply_deprecated(flags, &mut configuration);
        configuration
    } else {
        config::load(Path::new(file))?
    };
    apply_leader_election(flags, &mut configuration);
    Ok(configuration)
}

#[expect(clippy::cast_possible_truncation, reason = "the client takes single precision, as upstream's flag does")]
fn apply_deprecated(flags: &Flags, configuration: &mut KubeSchedulerConfiguration) {
    let connection = &mut configuration.client_connection;
    if flags.changed("kubeconfig") {
        connection.kubeconfig = flags.str("kubeconfig").to_owned();
    }
    if flags.changed("kube-api-qps") {
        connection.qps = flags.float("kube-api-qps") as f32;
    }
    if flags.changed("kube-api-burst") {
        connection.burst = i32::try_from(flags.int("kube-api-burst")).unwrap_or(i32::MAX);
    }
    if flags.changed("kube-api-content-type") {
        connection.content_type = flags.str("kube-api-content-type").to_owned();
    }
    if flags.changed("profiling") {
        configuration.enable_profiling = flags.bool("profiling");
    }
    if flags.changed("contention-profiling") {
        configuration.enable_contention_profiling = flags.bool("contention-profiling");
    }
}

fn apply_leader_election(flags: &Flags, configuration: &mut KubeSchedulerConfiguration) {
    let election = &mut configuration.leader_election;
    if flags.changed("leader-elect") {
        election.leader_elect = flags.bool("leader-elect");
    }
    let durations = [
        ("leader-elect-lease-duration", &mut election.lease_duration),
        ("leader-elect-renew-deadline", &mut election.renew_deadline),
        ("leader-elect-retry-period", &mut election.retry_period),
    ];
    for (flag, slot) in durations {
        if flags.changed(flag) {
            *slot = format_duration(flags.duration_nanos(flag));
        }
    }
    let texts = [
        ("leader-elect-resource-lock", &mut election.resource_lock),
        ("leader-elect-resource-name", &mut election.resource_name),
        ("leader-elect-resource-namespace", &mut election.resource_namespace),
    ];
    for (flag, slot) in texts {
        if flags.changed(flag) {
            flags.str(flag).clone_into(slot);
        }
    }
}
