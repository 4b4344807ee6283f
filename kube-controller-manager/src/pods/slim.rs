//! Pure: what controllers keep of a pod. Ten thousand pods as the server sends them are 200 MB of typed objects.
//!
//! No controller writes a pod back as a whole (they patch), so what none of them reads is dropped before a pod is stored:
//! how containers are run, all volumes but claims, and images. Whoever needs one more field keeps it here.

use component_base::Informers;
use component_base::informer::{Options, Reader};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, EphemeralVolumeSource, Pod, PodSpec, PodStatus};

/// The watch of pods that all controllers share.
pub(crate) fn reader(informers: &Informers) -> Reader<Pod> {
    informers.reader_with(Options { transform: Some(slim), ..Options::default() })
}

fn slim(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        slim_spec(spec);
    }
    if let Some(status) = &mut pod.status {
        slim_status(status);
    }
    pod.metadata.owner_references.iter_mut().for_each(Vec::shrink_to_fit);
    pod.metadata.finalizers.iter_mut().for_each(Vec::shrink_to_fit);
}

fn slim_spec(spec: &mut PodSpec) {
    for containers in [Some(&mut spec.containers), spec.init_containers.as_mut()].into_iter().flatten() {
        containers.iter_mut().for_each(slim_container);
        containers.shrink_to_fit();
    }
    spec.ephemeral_containers = None;
    spec.security_context = None;
    spec.topology_spread_constraints = None;
    spec.tolerations.iter_mut().for_each(Vec::shrink_to_fit);
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(|volume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some());
        for volume in volumes.iter_mut().filter(|volume| volume.ephemeral.is_some()) {
            // That there is one names the claim; its template is not read.
            volume.ephemeral = Some(EphemeralVolumeSource::default());
        }
        volumes.shrink_to_fit();
    }
}

/// Names, ports (Services point at them), resources (quotas) and whether it is a sidecar.
fn slim_container(container: &mut Container) {
    let full = std::mem::take(container);
    *container = Container {
        name: full.name,
        ports: full.ports,
        resources: full.resources,
        restart_policy: full.restart_policy,
        ..Container::default()
    };
    container.ports.iter_mut().for_each(Vec::shrink_to_fit);
}

fn slim_status(status: &mut PodStatus) {
    for containers in [&mut status.container_statuses, &mut status.init_container_statuses].into_iter().flatten() {
        containers.iter_mut().for_each(slim_container_status);
        containers.shrink_to_fit();
    }
    status.ephemeral_container_statuses = None;
    status.conditions.iter_mut().for_each(Vec::shrink_to_fit);
    status.pod_ips.iter_mut().for_each(Vec::shrink_to_fit);
    status.host_ips = None;
}

/// How it fares: exit codes and restarts are what Jobs and ReplicaSets go by.
fn slim_container_status(container: &mut ContainerStatus) {
    let full = std::mem::take(container);
    *container = ContainerStatus {
        name: full.name,
        ready: full.ready,
        restart_count: full.restart_count,
        state: full.state,
        ..ContainerStatus::default()
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_what_controllers_read_and_nothing_else() {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "p", "labels": { "app": "web" }, "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true }] },
            "spec": {
                "nodeName": "n",
                "priorityClassName": "high",
                "containers": [{
                    "name": "c", "image": "i", "command": ["x"], "env": [{ "name": "A", "value": "b" }],
                    "ports": [{ "name": "http", "containerPort": 80 }],
                    "resources": { "requests": { "cpu": "1" } },
                    "livenessProbe": { "exec": { "command": ["y"] } },
                }],
                "initContainers": [{ "name": "s", "image": "i", "restartPolicy": "Always" }],
                "volumes": [
                    { "name": "secret", "secret": { "secretName": "s" } },
                    { "name": "data", "persistentVolumeClaim": { "claimName": "claim" } },
                    { "name": "scratch", "ephemeral": { "volumeClaimTemplate": { "spec": {} } } },
                ],
            },
            "status": {
                "phase": "Failed",
                "conditions": [{ "type": "Ready", "status": "False" }],
                "podIPs": [{ "ip": "10.0.0.1" }],
                "containerStatuses": [{
                    "name": "c", "image": "i", "imageID": "sha", "ready": false, "restartCount": 3,
                    "state": { "terminated": { "exitCode": 7 } },
                    "lastState": { "terminated": { "exitCode": 8 } },
                }],
            },
        }))
        .expect("a pod");
        slim(&mut pod);
        assert_eq!(
            serde_json::to_value(&pod).expect("JSON"),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "p", "labels": { "app": "web" }, "ownerReferences": [
                    { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true }] },
                "spec": {
                    "nodeName": "n",
                    "priorityClassName": "high",
                    "containers": [{
                        "name": "c",
                        "ports": [{ "name": "http", "containerPort": 80 }],
                        "resources": { "requests": { "cpu": "1" } },
                    }],
                    "initContainers": [{ "name": "s", "restartPolicy": "Always" }],
                    "volumes": [
                        { "name": "data", "persistentVolumeClaim": { "claimName": "claim" } },
                        { "name": "scratch", "ephemeral": {} },
                    ],
                },
                "status": {
                    "phase": "Failed",
                    "conditions": [{ "type": "Ready", "status": "False" }],
                    "podIPs": [{ "ip": "10.0.0.1" }],
                    "containerStatuses": [{
                        "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 3,
                        "state": { "terminated": { "exitCode": 7 } },
                    }],
                },
            })
        );
    }
}
