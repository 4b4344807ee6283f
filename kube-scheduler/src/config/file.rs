//! The configuration file, read strictly. Absent fields take upstream's defaults.

use std::path::Path;

use serde::{Deserialize, Serialize};

use component_base::config::{ConfigError, DecodeError};
use component_base::daemon::Configuration;

use super::args::PluginArgs;

/// How to reach the API server.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1alpha1.ClientConnectionConfiguration", rename_all = "camelCase", default)]
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
#[serde(rename = "v1alpha1.LeaderElectionConfiguration", rename_all = "camelCase", default)]
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
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename = "v1.Plugin", default)]
pub struct PluginRef {
    /// Its name; `*` in `disabled` means all.
    pub name: String,
    /// Weight of its score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// Plugins switched on and off at a point.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename = "v1.PluginSet", default)]
pub struct PluginSet {
    /// Switched on, in this order, after the defaults.
    pub enabled: Vec<PluginRef>,
    /// Defaults switched off.
    pub disabled: Vec<PluginRef>,
}

/// Plugin sets per extension point.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename = "v1.Plugins", rename_all = "camelCase", default)]
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
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1.PluginConfig", default)]
pub struct PluginConfig {
    /// The plugin.
    pub name: String,
    /// Its `…Args` object.
    #[serde(default)]
    pub args: serde_json::Value,
}

/// A profile.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1.KubeSchedulerProfile", rename_all = "camelCase", default)]
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

/// An HTTP extender, which this build does not call.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1.Extender", rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "read for its validation alone")]
pub struct Extender {
    #[serde(rename = "urlPrefix")]
    pub url_prefix: String,
    pub filter_verb: String,
    pub preempt_verb: String,
    pub prioritize_verb: String,
    pub weight: i64,
    pub bind_verb: String,
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    #[serde(rename = "tlsConfig")]
    pub tls_config: serde_json::Value,
    #[serde(rename = "httpTimeout")]
    pub http_timeout: serde_json::Value,
    pub node_cache_capable: bool,
    pub managed_resources: Vec<ManagedResource>,
    pub ignorable: bool,
}

/// A resource that an extender looks after.
#[derive(Debug, Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename = "v1.ExtenderManagedResource", rename_all = "camelCase", default)]
pub struct ManagedResource {
    /// Its name.
    pub name: String,
    /// Whether the scheduler passes over it.
    pub ignored_by_scheduler: bool,
}

/// The file.
#[derive(Debug, Clone, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1.KubeSchedulerConfiguration", rename_all = "camelCase", default)]
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
    pub extenders: Vec<Extender>,
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

impl Plugins {
    /// Sets by the name of their point.
    pub(super) fn by_point(&self) -> [(&'static str, &PluginSet); 12] {
        [
            ("preEnqueue", &self.pre_enqueue),
            ("queueSort", &self.queue_sort),
            ("preFilter", &self.pre_filter),
            ("filter", &self.filter),
            ("postFilter", &self.post_filter),
            ("preScore", &self.pre_score),
            ("score", &self.score),
            ("reserve", &self.reserve),
            ("permit", &self.permit),
            ("preBind", &self.pre_bind),
            ("bind", &self.bind),
            ("postBind", &self.post_bind),
        ]
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
    parse(&component_base::error::read_file(path)?)
}

pub(super) fn parse(text: &[u8]) -> Result<KubeSchedulerConfiguration, ConfigError> {
    component_base::config::parse_and(text, &super::FORMAT, strict_arguments).map(KubeSchedulerConfiguration::defaulted)
}

/// Unknown fields in arguments of plugins.
fn strict_arguments(config: &KubeSchedulerConfiguration) -> Result<Vec<String>, DecodeError> {
    let mut found = Vec::new();
    for (profile, given) in config.profiles.iter().enumerate() {
        for (index, plugin) in given.plugin_config.iter().enumerate() {
            let unknown = PluginArgs::default().set(&plugin.name, &plugin.args)?;
            if !unknown.is_empty() {
                found.push(format!(
                    "decoding .profiles[{profile}].pluginConfig[{index}]: strict decoding error: decoding args for plugin {}: strict decoding error: {}",
                    plugin.name,
                    unknown.join(", ")
                ));
            }
        }
    }
    Ok(found)
}

impl Configuration for KubeSchedulerConfiguration {
    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = super::validation::validate(self).iter().map(ToString::to_string).collect();
        if !self.extenders.is_empty() && problems.is_empty() {
            problems.push(
                "extenders: Forbidden: this build of kube-scheduler does not call HTTP extenders; remove them from the configuration".to_owned(),
            );
        }
        problems
    }

    fn to_value(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["apiVersion"] = super::FORMAT.versions[0].into();
        value["kind"] = super::FORMAT.kind.into();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<KubeSchedulerConfiguration, ConfigError> {
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        super::parse(format!("{head}{text}").as_bytes())
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
}
