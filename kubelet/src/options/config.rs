//! The configuration file: `KubeletConfiguration` of `kubelet.config.k8s.io/v1beta1`, read strictly, with upstream's defaults.
//!
//! Fields of type [`Value`] are known by name but have no meaning here yet; setting one is reported at start.
//!
//! upstream: staging/src/k8s.io/kubelet/config/v1beta1/types.go, pkg/kubelet/apis/config/v1beta1/defaults.go

use std::collections::BTreeMap;
use std::time::Duration;

use component_base::config::GoDuration;
use k8s_openapi::api::core::v1::Taint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

type Strings = BTreeMap<String, String>;

/// The configuration. Names are the file's; what a field means is in upstream's reference.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.KubeletConfiguration", rename_all = "camelCase", default)]
pub struct Configuration {
    pub enable_server: bool,
    pub static_pod_path: String,
    pub pod_logs_dir: String,
    pub sync_frequency: GoDuration,
    pub file_check_frequency: GoDuration,
    pub http_check_frequency: GoDuration,
    #[serde(rename = "staticPodURL")]
    pub static_pod_url: String,
    #[serde(rename = "staticPodURLHeader")]
    pub static_pod_url_header: BTreeMap<String, Vec<String>>,
    pub address: String,
    pub port: i32,
    pub read_only_port: i32,
    pub tls_cert_file: String,
    pub tls_private_key_file: String,
    pub tls_cipher_suites: Vec<String>,
    pub tls_curve_preferences: Vec<i32>,
    pub tls_min_version: String,
    pub rotate_certificates: bool,
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: bool,
    pub authentication: Authentication,
    pub authorization: Authorization,
    #[serde(rename = "registryPullQPS")]
    pub registry_pull_qps: i32,
    pub registry_burst: i32,
    pub image_pull_credentials_verification_policy: String,
    pub preloaded_images_verification_allowlist: Vec<String>,
    #[serde(rename = "eventRecordQPS")]
    pub event_record_qps: i32,
    pub event_burst: i32,
    pub enable_debugging_handlers: bool,
    pub enable_contention_profiling: bool,
    pub healthz_port: i32,
    pub healthz_bind_address: String,
    pub oom_score_adj: i32,
    pub cluster_domain: String,
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    pub streaming_connection_idle_timeout: GoDuration,
    pub node_status_update_frequency: GoDuration,
    pub node_status_report_frequency: GoDuration,
    pub node_lease_duration_seconds: i32,
    #[serde(rename = "imageMinimumGCAge")]
    pub image_minimum_gc_age: GoDuration,
    #[serde(rename = "imageMaximumGCAge")]
    pub image_maximum_gc_age: GoDuration,
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub image_gc_high_threshold_percent: i32,
    #[serde(rename = "imageGCLowThresholdPercent")]
    pub image_gc_low_threshold_percent: i32,
    pub volume_stats_agg_period: GoDuration,
    pub kubelet_cgroups: String,
    pub system_cgroups: String,
    pub cgroup_root: String,
    #[serde(rename = "cgroupsPerQOS")]
    pub cgroups_per_qos: bool,
    pub cgroup_driver: String,
    pub cpu_manager_policy: String,
    #[serde(rename = "singleProcessOOMKill")]
    pub single_process_oom_kill: Option<bool>,
    pub cpu_manager_policy_options: Strings,
    pub cpu_manager_reconcile_period: GoDuration,
    pub memory_manager_policy: String,
    pub topology_manager_policy: String,
    pub topology_manager_scope: String,
    pub topology_manager_policy_options: Strings,
    pub qos_reserved: Strings,
    pub runtime_request_timeout: GoDuration,
    pub hairpin_mode: String,
    pub max_pods: i32,
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    pub pod_pids_limit: i64,
    pub resolv_conf: String,
    pub run_once: bool,
    #[serde(rename = "cpuCFSQuota")]
    pub cpu_cfs_quota: bool,
    #[serde(rename = "cpuCFSQuotaPeriod")]
    pub cpu_cfs_quota_period: GoDuration,
    pub node_status_max_images: i32,
    pub max_open_files: i64,
    pub content_type: String,
    #[serde(rename = "kubeAPIQPS")]
    pub kube_api_qps: i32,
    #[serde(rename = "kubeAPIBurst")]
    pub kube_api_burst: i32,
    pub serialize_image_pulls: Option<bool>,
    pub max_parallel_image_pulls: Option<i32>,
    pub eviction_hard: Option<Strings>,
    pub eviction_soft: Strings,
    pub eviction_soft_grace_period: Strings,
    pub eviction_pressure_transition_period: GoDuration,
    pub eviction_max_pod_grace_period: i32,
    pub eviction_minimum_reclaim: Strings,
    pub merge_default_eviction_settings: bool,
    pub pods_per_core: i32,
    pub enable_controller_attach_detach: bool,
    pub protect_kernel_defaults: bool,
    #[serde(rename = "makeIPTablesUtilChains")]
    pub make_iptables_util_chains: bool,
    pub iptables_masquerade_bit: i32,
    pub iptables_drop_bit: i32,
    pub feature_gates: BTreeMap<String, bool>,
    pub fail_swap_on: bool,
    pub memory_swap: Value,
    pub container_log_max_size: String,
    pub container_log_max_files: i32,
    pub container_log_max_workers: i32,
    pub container_log_monitor_interval: GoDuration,
    pub config_map_and_secret_change_detection_strategy: String,
    pub system_reserved: Strings,
    pub kube_reserved: Strings,
    #[serde(rename = "reservedSystemCPUs")]
    pub reserved_system_cpus: String,
    pub show_hidden_metrics_for_version: String,
    pub system_reserved_cgroup: String,
    pub kube_reserved_cgroup: String,
    pub enforce_node_allocatable: Option<Vec<String>>,
    pub allowed_unsafe_sysctls: Vec<String>,
    pub volume_plugin_dir: String,
    #[serde(rename = "providerID")]
    pub provider_id: String,
    pub kernel_memcg_notification: bool,
    pub logging: Value,
    pub enable_system_log_handler: bool,
    pub enable_system_log_query: bool,
    pub shutdown_grace_period: GoDuration,
    pub shutdown_grace_period_critical_pods: GoDuration,
    pub shutdown_grace_period_by_pod_priority: Value,
    pub crash_loop_back_off: CrashLoopBackOff,
    pub reserved_memory: Value,
    pub enable_profiling_handler: bool,
    pub enable_debug_flags_handler: bool,
    pub seccomp_default: bool,
    pub memory_throttling_factor: f64,
    pub memory_reservation_policy: String,
    pub register_with_taints: Vec<Taint>,
    pub register_node: bool,
    pub tracing: Value,
    pub local_storage_capacity_isolation: bool,
    pub container_runtime_endpoint: String,
    pub image_service_endpoint: String,
    pub fail_cgroup_v1: bool,
    pub user_namespaces: Value,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            enable_server: true,
            static_pod_path: String::new(),
            pod_logs_dir: "/var/log/pods".to_owned(),
            sync_frequency: GoDuration::from_secs(60),
            file_check_frequency: GoDuration::from_secs(20),
            http_check_frequency: GoDuration::from_secs(20),
            static_pod_url: String::new(),
            static_pod_url_header: Default::default(),
            address: "0.0.0.0".to_owned(),
            port: 10250,
            read_only_port: 0,
            tls_cert_file: String::new(),
            tls_private_key_file: String::new(),
            tls_cipher_suites: Default::default(),
            tls_curve_preferences: Default::default(),
            tls_min_version: String::new(),
            rotate_certificates: false,
            server_tls_bootstrap: false,
            authentication: Default::default(),
            authorization: Default::default(),
            registry_pull_qps: 5,
            registry_burst: 10,
            image_pull_credentials_verification_policy: "NeverVerifyPreloadedImages".to_owned(),
            preloaded_images_verification_allowlist: Default::default(),
            event_record_qps: 50,
            event_burst: 100,
            enable_debugging_handlers: true,
            enable_contention_profiling: false,
            healthz_port: 10248,
            healthz_bind_address: "127.0.0.1".to_owned(),
            oom_score_adj: -999,
            cluster_domain: String::new(),
            cluster_dns: Default::default(),
            streaming_connection_idle_timeout: GoDuration::from_secs(14400),
            node_status_update_frequency: GoDuration::from_secs(10),
            node_status_report_frequency: GoDuration::from_secs(300),
            node_lease_duration_seconds: 40,
            image_minimum_gc_age: GoDuration::from_secs(120),
            image_maximum_gc_age: GoDuration::from_secs(0),
            image_gc_high_threshold_percent: 85,
            image_gc_low_threshold_percent: 80,
            volume_stats_agg_period: GoDuration::from_secs(60),
            kubelet_cgroups: String::new(),
            system_cgroups: String::new(),
            cgroup_root: String::new(),
            cgroups_per_qos: true,
            cgroup_driver: "cgroupfs".to_owned(),
            cpu_manager_policy: "none".to_owned(),
            single_process_oom_kill: None,
            cpu_manager_policy_options: Default::default(),
            cpu_manager_reconcile_period: GoDuration::from_secs(10),
            memory_manager_policy: "None".to_owned(),
            topology_manager_policy: "none".to_owned(),
            topology_manager_scope: "container".to_owned(),
            topology_manager_policy_options: Default::default(),
            qos_reserved: Default::default(),
            runtime_request_timeout: GoDuration::from_secs(120),
            hairpin_mode: "promiscuous-bridge".to_owned(),
            max_pods: 110,
            pod_cidr: String::new(),
            pod_pids_limit: -1,
            resolv_conf: "/etc/resolv.conf".to_owned(),
            run_once: false,
            cpu_cfs_quota: true,
            cpu_cfs_quota_period: GoDuration::from(Duration::from_millis(100)),
            node_status_max_images: 50,
            max_open_files: 1_000_000,
            content_type: "application/vnd.kubernetes.protobuf".to_owned(),
            kube_api_qps: 50,
            kube_api_burst: 100,
            serialize_image_pulls: None,
            max_parallel_image_pulls: None,
            eviction_hard: None,
            eviction_soft: Default::default(),
            eviction_soft_grace_period: Default::default(),
            eviction_pressure_transition_period: GoDuration::from_secs(300),
            eviction_max_pod_grace_period: 0,
            eviction_minimum_reclaim: Default::default(),
            merge_default_eviction_settings: false,
            pods_per_core: 0,
            enable_controller_attach_detach: true,
            protect_kernel_defaults: false,
            make_iptables_util_chains: true,
            iptables_masquerade_bit: 14,
            iptables_drop_bit: 15,
            feature_gates: Default::default(),
            fail_swap_on: true,
            memory_swap: Default::default(),
            container_log_max_size: "10Mi".to_owned(),
            container_log_max_files: 5,
            container_log_max_workers: 1,
            container_log_monitor_interval: GoDuration::from_secs(10),
            config_map_and_secret_change_detection_strategy: "Watch".to_owned(),
            system_reserved: Default::default(),
            kube_reserved: Default::default(),
            reserved_system_cpus: String::new(),
            show_hidden_metrics_for_version: String::new(),
            system_reserved_cgroup: String::new(),
            kube_reserved_cgroup: String::new(),
            enforce_node_allocatable: None,
            allowed_unsafe_sysctls: Default::default(),
            volume_plugin_dir: "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/".to_owned(),
            provider_id: String::new(),
            kernel_memcg_notification: false,
            logging: Default::default(),
            enable_system_log_handler: true,
            enable_system_log_query: false,
            shutdown_grace_period: GoDuration::from_secs(0),
            shutdown_grace_period_critical_pods: GoDuration::from_secs(0),
            shutdown_grace_period_by_pod_priority: Default::default(),
            crash_loop_back_off: Default::default(),
            reserved_memory: Default::default(),
            enable_profiling_handler: true,
            enable_debug_flags_handler: true,
            seccomp_default: false,
            memory_throttling_factor: 0.9,
            memory_reservation_policy: "None".to_owned(),
            register_with_taints: Default::default(),
            register_node: true,
            tracing: Default::default(),
            local_storage_capacity_isolation: true,
            container_runtime_endpoint: "unix:///run/containerd/containerd.sock".to_owned(),
            image_service_endpoint: String::new(),
            fail_cgroup_v1: true,
            user_namespaces: Default::default(),
        }
    }
}

/// Who may talk to the server.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.KubeletAuthentication", rename_all = "camelCase", default)]
pub struct Authentication {
    /// Client certificates.
    pub x509: X509,
    /// Tokens, checked by the API.
    pub webhook: WebhookAuthentication,
    /// Requests without any identity.
    pub anonymous: Anonymous,
}

/// Client certificates.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.KubeletX509Authentication", default)]
pub struct X509 {
    /// Bundle of authorities; empty for none.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: String,
}

/// Tokens.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.KubeletWebhookAuthentication", default)]
pub struct WebhookAuthentication {
    /// Ask the API.
    pub enabled: bool,
    /// How long an answer holds.
    #[serde(rename = "cacheTTL")]
    pub cache_ttl: GoDuration,
}

impl Default for WebhookAuthentication {
    fn default() -> Self {
        Self { enabled: true, cache_ttl: GoDuration::from_secs(120) }
    }
}

/// Anonymous requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.KubeletAnonymousAuthentication", default)]
pub struct Anonymous {
    /// Let them in as `system:anonymous`.
    pub enabled: bool,
}

/// What a caller may do.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.KubeletAuthorization", default)]
pub struct Authorization {
    /// `AlwaysAllow` or `Webhook`.
    pub mode: String,
    /// For the mode `Webhook`.
    pub webhook: WebhookAuthorization,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { mode: "Webhook".to_owned(), webhook: WebhookAuthorization::default() }
    }
}

/// How long answers of the API hold.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.KubeletWebhookAuthorization", default)]
pub struct WebhookAuthorization {
    /// A yes.
    #[serde(rename = "cacheAuthorizedTTL")]
    pub cache_authorized_ttl: GoDuration,
    /// A no.
    #[serde(rename = "cacheUnauthorizedTTL")]
    pub cache_unauthorized_ttl: GoDuration,
}

impl Default for WebhookAuthorization {
    fn default() -> Self {
        Self { cache_authorized_ttl: GoDuration::from_secs(300), cache_unauthorized_ttl: GoDuration::from_secs(30) }
    }
}

/// Limits of the delay between restarts.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename = "v1beta1.CrashLoopBackOffConfig", rename_all = "camelCase", default)]
pub struct CrashLoopBackOff {
    /// The longest delay.
    pub max_container_restart_period: GoDuration,
}

impl Default for CrashLoopBackOff {
    fn default() -> Self {
        Self { max_container_restart_period: GoDuration::from_secs(300) }
    }
}

impl Configuration {
    /// The defaults of a kubelet that is configured by flags alone.
    pub fn legacy() -> Self {
        let mut config = Self { read_only_port: 10255, ..Self::default() };
        config.authentication.anonymous.enabled = true;
        config.authentication.webhook.enabled = false;
        "AlwaysAllow".clone_into(&mut config.authorization.mode);
        config
    }

    /// Fills in what depends on other fields.
    pub fn complete(&mut self) {
        self.serialize_image_pulls.get_or_insert(self.max_parallel_image_pulls.is_none());
        self.enforce_node_allocatable.get_or_insert_with(|| vec!["pods".to_owned()]);
        let defaults = [
            ("memory.available", "100Mi"),
            ("nodefs.available", "10%"),
            ("nodefs.inodesFree", "5%"),
            ("imagefs.available", "15%"),
            ("imagefs.inodesFree", "5%"),
        ];
        let hard = self.eviction_hard.get_or_insert_with(|| {
            defaults.iter().map(|(signal, value)| ((*signal).to_owned(), (*value).to_owned())).collect()
        });
        if self.merge_default_eviction_settings {
            for (signal, value) in defaults {
                hard.entry(signal.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
    }

    /// The root of control groups, where none is named.
    pub fn fill_cgroup_root(&mut self) {
        if self.cgroup_root.is_empty() && self.cgroups_per_qos {
            "/".clone_into(&mut self.cgroup_root);
        }
    }

    /// Pulls at a time.
    pub fn parallel_pulls(&self) -> usize {
        match (self.serialize_image_pulls, self.max_parallel_image_pulls) {
            (Some(true), _) => 1,
            (_, Some(limit)) => usize::try_from(limit).unwrap_or(1),
            _ => 1024,
        }
    }

    /// Names of fields that were set but have no meaning here yet.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let known = [
            ("memorySwap", &self.memory_swap),
            ("shutdownGracePeriodByPodPriority", &self.shutdown_grace_period_by_pod_priority),
            ("reservedMemory", &self.reserved_memory),
            ("tracing", &self.tracing),
            ("userNamespaces", &self.user_namespaces),
        ];
        let empty = |value: &Value| {
            value.is_null()
                || value.as_object().is_some_and(|map| map.is_empty() || map.values().all(|v| v == "NoSwap"))
        };
        let mut names: Vec<&str> = known.iter().filter(|(_, value)| !empty(value)).map(|(name, _)| *name).collect();
        for (name, value, default) in [
            ("cpuManagerPolicy", &self.cpu_manager_policy, "none"),
            ("memoryManagerPolicy", &self.memory_manager_policy, "None"),
            ("topologyManagerPolicy", &self.topology_manager_policy, "none"),
            ("staticPodURL", &self.static_pod_url, ""),
            ("tlsMinVersion", &self.tls_min_version, "VersionTLS13"),
        ] {
            if value != default && !value.is_empty() {
                names.push(name);
            }
        }
        if !self.eviction_soft.is_empty() {
            names.push("evictionSoft");
        }
        if !self.shutdown_grace_period.0.is_zero() {
            names.push("shutdownGracePeriod");
        }
        if !self.tls_cipher_suites.is_empty() {
            names.push("tlsCipherSuites");
        }
        names
    }
}
