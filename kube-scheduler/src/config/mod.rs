//! KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): file form, defaults, validation, and profiles made of it.
//! upstream: staging/src/k8s.io/kube-scheduler/config/v1, pkg/scheduler/apis/config

mod args;
mod file;
mod profiles;
mod validation;

use component_base::config::Format;

pub use args::{
    BalancedAllocationArgs, DefaultPreemptionArgs, InterPodAffinityArgs, NodeAffinityArgs, NodeResourcesFitArgs,
    PluginArgs, PodTopologySpreadArgs, RatioParam, ResourceSpec, ScoringStrategy, ShapePoint, VolumeBindingArgs,
};
pub use file::{
    ClientConnection, Extender, KubeSchedulerConfiguration, LeaderElection, PluginConfig, PluginRef, PluginSet,
    Plugins, ProfileConfig, load,
};
pub use profiles::{ProfileError, build_profiles};

/// The configuration file.
pub(crate) const FORMAT: Format = Format {
    versions: &["kubescheduler.config.k8s.io/v1"],
    kind: "KubeSchedulerConfiguration",
    scheme: "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme/scheme.go:29",
    lenient: false,
};
