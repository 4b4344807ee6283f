//! The configuration of a pod's sandbox.
//!
//! upstream: pkg/kubelet/kuberuntime/kuberuntime_sandbox.go: generatePodSandboxConfig

use k8s_openapi::api::core::v1::Pod;

use super::hosts::{HostNames, kernel_hostname};
use super::resources::{CpuSettings, sandbox_resources};
use super::security::sandbox_context;
use super::view::PodView;
use crate::runtime::labels::sandbox_labels;
use crate::runtime::types::{
    DnsConfig, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping, Protocol,
};

/// What the pod's definition does not tell.
#[derive(Clone, Debug)]
pub struct SandboxInputs {
    /// Which try this is.
    pub attempt: u32,
    /// Resolver configuration.
    pub dns: DnsConfig,
    /// Host names.
    pub names: HostNames,
    /// Folder of the pod's logs.
    pub log_directory: String,
    /// Cgroup of the pod.
    pub cgroup_parent: String,
    /// What the node decides about CPU.
    pub cpu: CpuSettings,
}

/// Builds the configuration.
pub fn sandbox_config(pod: &Pod, inputs: SandboxInputs) -> PodSandboxConfig {
    let sysctls = pod.spec().security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    let (resources, overhead) = sandbox_resources(pod, inputs.cpu);
    let linux = LinuxPodSandboxConfig {
        cgroup_parent: inputs.cgroup_parent,
        security_context: Some(sandbox_context(pod)),
        // The runtime knows names with dots only.
        sysctls: sysctls.map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value.clone())).collect(),
        resources: Some(resources),
        overhead,
    };
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            namespace: pod.namespace().to_owned(),
            attempt: inputs.attempt,
        }),
        hostname: if pod.host_network() { String::new() } else { kernel_hostname(pod, &inputs.names) },
        log_directory: inputs.log_directory,
        dns_config: Some(inputs.dns),
        port_mappings: port_mappings(pod),
        labels: sandbox_labels(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        linux: Some(linux),
    }
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let ports = pod.spec().containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports
        .map(|port| PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            }
            .into(),
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}
