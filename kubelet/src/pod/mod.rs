//! Pods: the pure parts (plan, status, configurations) and the workers that carry them out.
//!
//! upstream: pkg/kubelet/kubelet.go, kubelet_pods.go, pod_workers.go, kuberuntime

pub mod actuate;
pub mod admission;
pub mod backoff;
pub mod cgroup;
pub mod classes;
pub mod conditions;
pub mod container;
pub mod defaults;
pub mod dns;
pub mod env;
pub mod env_file;
pub mod expansion;
pub mod fields;
pub mod hooks;
pub mod hosts;
pub mod kill;
pub mod machinery;
pub mod mounts;
pub mod phase;
pub mod plan;
pub mod qos;
pub mod resize;
pub mod resources;
pub mod restart;
pub mod sandbox;
pub mod security;
pub mod start;
pub mod status;
pub mod sync;
pub mod sysctls;
pub mod view;
pub mod worker;
pub mod workers;
