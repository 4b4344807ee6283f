//! KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): file form, defaults, validation, and profiles made of it.
//! upstream: staging/src/k8s.io/kube-scheduler/config/v1, pkg/scheduler/apis/config

mod args;
mod file;
mod profiles;

pub use args::{
    BalancedAllocationArgs, DefaultPreemptionArgs, InterPodAffinityArgs, NodeAffinityArgs, NodeResourcesFitArgs,
    PluginArgs, PodTopologySpreadArgs, RatioParam, ResourceSpec, ScoringStrategy, ScoringStrategyType, ShapePoint,
    VolumeBindingArgs,
};
pub use file::{
    ClientConnection, KubeSchedulerConfiguration, LeaderElection, PluginConfig, PluginRef, PluginSet, Plugins,
    ProfileConfig, load,
};
pub use profiles::{ProfileError, build_profiles};

/// API versions of the configuration file.
pub const API_VERSIONS: &[&str] = &["kubescheduler.config.k8s.io/v1"];
/// Kind of the configuration file.
pub const KIND: &str = "KubeSchedulerConfiguration";
