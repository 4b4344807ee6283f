//! The configuration file, read strictly. Absent fields take upstream's defaults.

use std::path::Path;

use serde::{Deserialize, Serialize};

use component_base::config::ConfigError;
use component_base::daemon::Configuration;

/// How to reach the API server.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClientConnection {
    /// Path of a kubeconfig; empty means in-cluster.
    pub kubeconfig: String,
    /// Media types asked for; empty means the content type.
    pub accept_content_types: String,
    /// Media type of bodies sent.
    pub content_type: String,
    /// Requests per second.
    pub qps: f32,
    /// Requests at once above that.
    pub burst: i32,
}

impl Default for ClientConnection {
    fn default() -> Self {
        Self {
            kubeconfig: String::new(),
            accept_content_types: String::new(),
            content_type: "application/vnd.kubernetes.protobuf".into(),
            qps: 50.0,
            burst: 100,
        }
    }
}

/// Leader election. Durations are Go duration strings.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LeaderElection {
    /// Elect at all.
    pub leader_elect: bool,
    /// How long a lease holds.
    pub lease_duration: String,
    /// How long the leader tries to renew.
    pub renew_deadline: String,
    /// How long to wait between tries.
    pub retry_period: String,
    /// Only `leases`.
    pub resource_lock: String,
    /// Name of the lease.
    pub resource_name: String,
    /// Namespace of the lease.
    pub resource_namespace: String,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            leader_elect: true,
            lease_duration: "15s".into(),
            renew_deadline: "10s".into(),
            retry_period: "2s".into(),
            resource_lock: "leases".into(),
            resource_name: "kube-scheduler".into(),
            resource_namespace: "kube-system".into(),
        }
    }
}

/// A plugin in a set.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PluginRef {
    /// Its name; `*` in `disabled` means all.
    pub name: String,
    /// Weight of its score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// Plugins switched on and off at a point.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct PluginSet {
    /// Switched on, in this order, after the defaults.
    pub enabled: Vec<PluginRef>,
    /// Defaults switched off.
    pub disabled: Vec<PluginRef>,
}

/// Plugin sets per extension point.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each set is named as its extension point")]
pub struct Plugins {
    pub pre_enqueue: PluginSet,
    pub queue_sort: PluginSet,
    pub pre_filter: PluginSet,
    pub filter: PluginSet,
    pub post_filter: PluginSet,
    pub pre_score: PluginSet,
    pub score: PluginSet,
    pub reserve: PluginSet,
    pub permit: PluginSet,
    pub pre_bind: PluginSet,
    pub bind: PluginSet,
    pub post_bind: PluginSet,
    /// Plugins for all points that they implement.
    pub multi_point: PluginSet,
    pub placement_generate: PluginSet,
    pub placement_score: PluginSet,
}

/// Arguments of a plugin.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// The plugin.
    pub name: String,
    /// Its `…Args` object.
    #[serde(default)]
    pub args: serde_json::Value,
}

/// A profile.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProfileConfig {
    /// `spec.schedulerName` of the pods it serves.
    pub scheduler_name: Option<String>,
    /// Overrides the global value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Plugins switched on and off.
    pub plugins: Plugins,
    /// Arguments of plugins.
    pub plugin_config: Vec<PluginConfig>,
}

/// The file.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KubeSchedulerConfiguration {
    /// Accepted for upstream's sake; one attempt filters nodes on one thread.
    pub parallelism: i32,
    /// Leader election.
    pub leader_election: LeaderElection,
    /// The way to the API server.
    pub client_connection: ClientConnection,
    /// Serve /debug/pprof (which this build does not have).
    pub enable_profiling: bool,
    /// Likewise.
    pub enable_contention_profiling: bool,
    /// Share of the nodes after which the search for more stops; 0 means adaptive.
    pub percentage_of_nodes_to_score: i32,
    /// First backoff.
    pub pod_initial_backoff_seconds: i64,
    /// Longest backoff.
    pub pod_max_backoff_seconds: i64,
    /// The profiles.
    pub profiles: Vec<ProfileConfig>,
    /// HTTP extenders.
    pub extenders: Vec<serde_json::Value>,
    /// Fill caches only when leading.
    pub delay_cache_until_active: bool,
}

impl Default for KubeSchedulerConfiguration {
    fn default() -> Self {
        let profile = ProfileConfig { scheduler_name: Some("default-scheduler".into()), ..ProfileConfig::default() };
        Self {
            parallelism: 16,
            leader_election: LeaderElection::default(),
            client_connection: ClientConnection::default(),
            enable_profiling: true,
            enable_contention_profiling: true,
            percentage_of_nodes_to_score: 0,
            pod_initial_backoff_seconds: 1,
            pod_max_backoff_seconds: 10,
            profiles: vec![profile],
            extenders: Vec::new(),
            delay_cache_until_active: false,
        }
    }
}

impl KubeSchedulerConfiguration {
    /// Fills what the file may leave open and upstream's defaulting fills.
    #[must_use]
    pub fn defaulted(mut self) -> Self {
        if self.profiles.is_empty() {
            self.profiles.push(ProfileConfig::default());
        }
        if let [only] = self.profiles.as_mut_slice() {
            only.scheduler_name.get_or_insert_with(|| "default-scheduler".into());
        }
        if self.client_connection.qps == 0.0 {
            self.client_connection.qps = 50.0;
        }
        if self.client_connection.burst == 0 {
            self.client_connection.burst = 100;
        }
        self
    }
}

/// Reads the file.
///
/// # Errors
/// Unreadable, of another kind, or with unknown fields.
pub fn load(path: &Path) -> Result<KubeSchedulerConfiguration, ConfigError> {
    component_base::config::load::<KubeSchedulerConfiguration>(path, super::API_VERSIONS, super::KIND)
        .map(KubeSchedulerConfiguration::defaulted)
}

impl Configuration for KubeSchedulerConfiguration {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |bad: bool, text: String| {
            if bad {
                problems.push(text);
            }
        };
        let percentage = |value: i32| !(0..=100).contains(&value);
        check(
            self.parallelism <= 0,
            format!("parallelism: Invalid value: {}: should be an integer value greater than zero", self.parallelism),
        );
        let value = self.percentage_of_nodes_to_score;
        check(
            percentage(value),
            format!("percentageOfNodesToScore: Invalid value: {value}: not in valid range [0-100]"),
        );
        let (first, longest) = (self.pod_initial_backoff_seconds, self.pod_max_backoff_seconds);
        check(first <= 0, format!("podInitialBackoffSeconds: Invalid value: {first}: must be greater than 0"));
        check(
            longest < first,
            format!(
                "podMaxBackoffSeconds: Invalid value: {longest}: must be greater than or equal to PodInitialBackoffSeconds"
            ),
        );
        let lock = &self.leader_election.resource_lock;
        let elects = self.leader_election.leader_elect;
        check(
            elects && lock != "leases",
            format!("leaderElection.resourceLock: Invalid value: {lock:?}: resourceLock value must be \"leases\""),
        );
        for (index, profile) in self.profiles.iter().enumerate() {
            let name = profile.scheduler_name.as_deref().unwrap_or_default();
            check(name.is_empty(), format!("profiles[{index}].schedulerName: Required value"));
            let earlier = self.profiles[..index].iter().any(|p| p.scheduler_name.as_deref() == Some(name));
            check(earlier && !name.is_empty(), format!("profiles[{index}].schedulerName: Duplicate value: {name:?}"));
            let value = profile.percentage_of_nodes_to_score.unwrap_or(0);
            check(
                percentage(value),
                format!(
                    "profiles[{index}].percentageOfNodesToScore: Invalid value: {value}: not in valid range [0-100]"
                ),
            );
        }
        check(
            !self.extenders.is_empty(),
            "extenders: Forbidden: this build of kube-scheduler does not call HTTP extenders; remove them from the configuration".into(),
        );
        problems
    }

    fn to_value(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["apiVersion"] = super::API_VERSIONS[0].into();
        value["kind"] = super::KIND.into();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<KubeSchedulerConfiguration, ConfigError> {
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        component_base::config::parse(&format!("{head}{text}"), "test", super::super::API_VERSIONS, super::super::KIND)
            .map(KubeSchedulerConfiguration::defaulted)
    }

    #[test]
    fn reads_the_seed_file() {
        let config = parse(
            "clientConnection:\n  kubeconfig: /tmp/scheduler.kubeconfig\nleaderElection:\n  leaderElect: false\n",
        )
        .unwrap();
        assert_eq!(config.client_connection.kubeconfig, "/tmp/scheduler.kubeconfig");
        assert_eq!(config.client_connection.qps, 50.0);
        assert!(!config.leader_election.leader_elect);
        assert_eq!(config.problems(), Vec::<String>::new());
        assert_eq!(config.profiles[0].scheduler_name.as_deref(), Some("default-scheduler"));
    }

    #[test]
    fn unknown_fields_are_errors() {
        assert!(parse("leaderElection: {leaderElected: true}").is_err());
        assert!(parse("profiles: [{plugins: {score: {enabled: [{nam: x}]}}}]").is_err());
    }

    #[test]
    fn says_what_is_wrong() {
        let config =
            parse("percentageOfNodesToScore: 101\nprofiles: [{schedulerName: a}, {schedulerName: a}]").unwrap();
        assert_eq!(
            config.problems(),
            [
                "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
                "profiles[1].schedulerName: Duplicate value: \"a\""
            ]
        );
    }
}
