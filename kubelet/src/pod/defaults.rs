//! Defaults of a pod that did not come through the API. All of them: the UID of such a pod is a hash of the result.
//!
//! upstream: pkg/apis/core/v1/defaults.go

use apimachinery::quantity::Quantity as Amount;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, HTTPGetAction, Lifecycle, ObjectFieldSelector, Pod, Probe, ResourceRequirements, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::resources::pod_amount;
use super::view::PodView;
use crate::images::with_default_tag;

/// Fills in what the API would have filled in.
pub fn apply(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    set_text(&mut spec.restart_policy, "Always");
    set_text(&mut spec.dns_policy, "ClusterFirst");
    set_text(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.enable_service_links.get_or_insert(true);
    spec.security_context.get_or_insert_default();
    let host_network = spec.host_network == Some(true);
    let init = spec.init_containers.iter_mut().flatten();
    for container in init.chain(&mut spec.containers) {
        apply_container(container, host_network);
    }
    spec.volumes.iter_mut().flatten().for_each(apply_volume);
    apply_pod_resources(pod);
}

fn set_text(field: &mut Option<String>, text: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(text.to_owned());
    }
}

fn set_number(field: &mut Option<i32>, number: i32) {
    if field.unwrap_or_default() == 0 {
        *field = Some(number);
    }
}

fn pull_policy(image: &str) -> &'static str {
    if with_default_tag(image).ends_with(":latest") { "Always" } else { "IfNotPresent" }
}

fn apply_container(container: &mut Container, host_network: bool) {
    set_text(&mut container.image_pull_policy, pull_policy(container.image.as_deref().unwrap_or_default()));
    set_text(&mut container.termination_message_path, "/dev/termination-log");
    set_text(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        set_text(&mut port.protocol, "TCP");
        if host_network {
            set_number(&mut port.host_port, port.container_port);
        }
    }
    container.env.iter_mut().flatten().for_each(apply_variable);
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(apply_probe);
    if let Some(Lifecycle { post_start, pre_stop, .. }) = &mut container.lifecycle {
        [post_start, pre_stop].into_iter().flatten().filter_map(|hook| hook.http_get.as_mut()).for_each(apply_http);
    }
    requests_from_limits(container.resources.get_or_insert_default());
}

fn apply_variable(variable: &mut EnvVar) {
    let Some(source) = &mut variable.value_from else { return };
    source.field_ref.iter_mut().for_each(apply_field);
    if let Some(reference) = &mut source.file_key_ref {
        reference.optional.get_or_insert(false);
    }
}

fn apply_field(selector: &mut ObjectFieldSelector) {
    set_text(&mut selector.api_version, "v1");
}

fn apply_probe(probe: &mut Probe) {
    set_number(&mut probe.timeout_seconds, 1);
    set_number(&mut probe.period_seconds, 10);
    set_number(&mut probe.success_threshold, 1);
    set_number(&mut probe.failure_threshold, 3);
    probe.http_get.iter_mut().for_each(apply_http);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn apply_http(http: &mut HTTPGetAction) {
    set_text(&mut http.path, "/");
    set_text(&mut http.scheme, "HTTP");
}

fn apply_volume(volume: &mut Volume) {
    if *volume == (Volume { name: volume.name.clone(), ..Volume::default() }) {
        volume.empty_dir = Some(Default::default());
    }
    if let Some(image) = &mut volume.image {
        let policy = pull_policy(image.reference.as_deref().unwrap_or_default());
        set_text(&mut image.pull_policy, policy);
    }
    if let Some(host_path) = &mut volume.host_path {
        host_path.type_.get_or_insert_default();
    }
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(0o644);
    }
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(0o644);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(0o644);
        source.items.iter_mut().flatten().filter_map(|item| item.field_ref.as_mut()).for_each(apply_field);
    }
    if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(0o644);
        for part in source.sources.iter_mut().flatten() {
            let items = part.downward_api.iter_mut().flat_map(|source| source.items.iter_mut().flatten());
            items.filter_map(|item| item.field_ref.as_mut()).for_each(apply_field);
            if let Some(token) = &mut part.service_account_token {
                token.expiration_seconds.get_or_insert(3600);
            }
        }
    }
    apply_storage(volume);
}

/// Kinds of volumes that this kubelet hands to nobody, but whose defaults are a part of the pod.
fn apply_storage(volume: &mut Volume) {
    if let Some(source) = &mut volume.iscsi {
        set_text(&mut source.iscsi_interface, "default");
    }
    if let Some(source) = &mut volume.rbd {
        set_text(&mut source.pool, "rbd");
        set_text(&mut source.user, "admin");
        set_text(&mut source.keyring, "/etc/ceph/keyring");
    }
    if let Some(source) = &mut volume.azure_disk {
        source.caching_mode.get_or_insert_with(|| "ReadWrite".to_owned());
        source.fs_type.get_or_insert_with(|| "ext4".to_owned());
        source.read_only.get_or_insert(false);
        source.kind.get_or_insert_with(|| "Shared".to_owned());
    }
    if let Some(source) = &mut volume.scale_io {
        set_text(&mut source.storage_mode, "ThinProvisioned");
        set_text(&mut source.fs_type, "xfs");
    }
    if let Some(template) = volume.ephemeral.as_mut().and_then(|source| source.volume_claim_template.as_mut()) {
        template.spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
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

/// What is asked for the pod as a whole, where it is limited as a whole: what its containers ask for, else the limits.
fn apply_pod_resources(pod: &mut Pod) {
    let containers = pod.clone();
    let Some(own) = pod.spec.as_mut().and_then(|spec| spec.resources.as_mut()) else { return };
    let Some(limits) = own.limits.clone().filter(|limits| !limits.is_empty()) else { return };
    let mut requests = own.requests.take().unwrap_or_default();
    for name in ["cpu", "memory"] {
        if let (false, Some(amount)) = (requests.contains_key(name), asked_by_containers(&containers, name)) {
            requests.insert(name.to_owned(), amount);
        }
    }
    let counted = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    for (name, limit) in limits.into_iter().filter(|(name, _)| counted(name)) {
        requests.entry(name).or_insert(limit);
    }
    own.requests = Some(requests).filter(|requests| !requests.is_empty());
}

/// The sum, written as the first container writes its part.
fn asked_by_containers(pod: &Pod, name: &str) -> Option<Quantity> {
    let mut pod = pod.clone();
    if let Some(spec) = &mut pod.spec {
        (spec.resources, spec.overhead) = (None, None);
    }
    let all = pod.all_containers();
    let first = all.iter().find_map(|(_, one)| one.resources.as_ref()?.requests.as_ref()?.get(name))?;
    let format = Amount::parse(&first.0).ok()?.format();
    Some(Quantity(Amount::from_milli(pod_amount(&pod, false, name).0, format).to_string()))
}
