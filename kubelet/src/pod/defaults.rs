//! Defaults of a pod that did not come through the API.
//!
//! upstream: pkg/apis/core/v1/defaults.go

use k8s_openapi::api::core::v1::{Container, Pod, Probe, ResourceRequirements};

use crate::images::with_default_tag;

/// Fills in what the API would have filled in, as far as it matters on a node.
pub fn apply(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    spec.restart_policy.get_or_insert_with(|| "Always".to_owned());
    spec.dns_policy.get_or_insert_with(|| "ClusterFirst".to_owned());
    spec.scheduler_name.get_or_insert_with(|| "default-scheduler".to_owned());
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.enable_service_links.get_or_insert(true);
    spec.security_context.get_or_insert_default();
    let host_network = spec.host_network == Some(true);
    let init = spec.init_containers.iter_mut().flatten();
    for container in init.chain(&mut spec.containers) {
        apply_container(container, host_network);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        let has_source = serde_json::to_value(&*volume)
            .ok()
            .and_then(|value| value.as_object().map(|fields| fields.len() > 1))
            .unwrap_or(false);
        if !has_source {
            volume.empty_dir = Some(Default::default());
        }
        if let Some(host_path) = &mut volume.host_path {
            host_path.type_.get_or_insert_default();
        }
        if let Some(source) = &mut volume.downward_api {
            source.default_mode.get_or_insert(0o644);
        }
        if let Some(source) = &mut volume.projected {
            source.default_mode.get_or_insert(0o644);
        }
    }
}

fn apply_container(container: &mut Container, host_network: bool) {
    let image = container.image.clone().unwrap_or_default();
    let latest = with_default_tag(&image).ends_with(":latest");
    container.image_pull_policy.get_or_insert_with(|| if latest { "Always" } else { "IfNotPresent" }.to_owned());
    container.termination_message_path.get_or_insert_with(|| "/dev/termination-log".to_owned());
    container.termination_message_policy.get_or_insert_with(|| "File".to_owned());
    for port in container.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
        if host_network {
            port.host_port.get_or_insert(port.container_port);
        }
    }
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    for probe in probes.into_iter().flatten() {
        apply_probe(probe);
    }
    let resources = container.resources.get_or_insert_default();
    requests_from_limits(resources);
}

fn apply_probe(probe: &mut Probe) {
    probe.timeout_seconds.get_or_insert(1);
    probe.period_seconds.get_or_insert(10);
    probe.success_threshold.get_or_insert(1);
    probe.failure_threshold.get_or_insert(3);
    if let Some(http) = &mut probe.http_get {
        http.path.get_or_insert_with(|| "/".to_owned());
        http.scheme.get_or_insert_with(|| "HTTP".to_owned());
    }
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    let Some(limits) = resources.limits.clone() else {
        return;
    };
    let requests = resources.requests.get_or_insert_default();
    for (name, amount) in limits {
        requests.entry(name).or_insert(amount);
    }
}
