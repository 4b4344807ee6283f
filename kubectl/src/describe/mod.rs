//! Objects as `kubectl describe` shows them. Pure: from objects and what belongs to them to text.
//! Corresponds to kubectl/pkg/describe/describe.go.

mod certificate;
mod containers;
mod document;
mod generic;
mod network;
mod network_policy;
mod node;
mod pod;
mod pod_resources;
mod policy;
pub(crate) mod rbac;
mod service;
mod simple;
mod storage;
mod volumes;
mod workloads;

use std::collections::BTreeMap;

use apimachinery::value::Value;

use document::Document;
pub(crate) use pod_resources::field as resource_field;

/// An object and what is needed to describe it. What was not asked for is empty.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The object.
    pub object: Value,
    /// Its events; `None` to leave the section out.
    pub events: Option<Vec<Value>>,
    /// Pods of a controller or node; the error if they could not be read.
    pub pods: Vec<Value>,
    /// Whether pods could not be read.
    pub pods_forbidden: bool,
    /// Replica sets of a deployment.
    pub replica_sets: Vec<Value>,
    /// Endpoint slices of a service.
    pub endpoint_slices: Vec<Value>,
    /// Services of an ingress with their endpoint slices, or why they could not be read.
    pub backends: BTreeMap<String, Result<(Value, Vec<Value>), String>>,
    /// Lease of a node, or why there is none.
    pub lease: Option<Result<Value, String>>,
    /// Quotas of a namespace.
    pub quotas: Option<Vec<Value>>,
    /// Limit ranges of a namespace.
    pub limit_ranges: Option<Vec<Value>>,
}

/// The text for an object.
///
/// # Errors
/// When what the object holds cannot be read: the certificate request of one.
pub fn describe(subject: &Subject) -> Result<String, String> {
    let mut doc = Document::default();
    let object = &subject.object;
    let (group, kind) = crate::resource::group_kind_of(object);
    let with_events = match (group.as_str(), kind.as_str()) {
        ("", "Pod") => pod::pod(object, &mut doc),
        ("", "Node") => node::node(subject, &mut doc),
        ("", "Service") => service::service(subject, &mut doc),
        ("", "Namespace") => simple::namespace(subject, &mut doc),
        ("", "ConfigMap") => simple::config_map(object, &mut doc),
        ("", "Secret") => simple::secret(object, &mut doc),
        ("", "ServiceAccount") => simple::service_account(object, &mut doc),
        ("", "LimitRange") => simple::limit_range(object, &mut doc),
        ("", "PersistentVolume") => storage::volume(object, &mut doc),
        ("", "PersistentVolumeClaim") => storage::claim(subject, &mut doc),
        ("", "Endpoints") => network::endpoint_subsets(object, &mut doc),
        ("", "ResourceQuota") => simple::quota(object, &mut doc),
        ("apps", "Deployment") => workloads::deployment(subject, &mut doc),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workloads::replica_set(subject, &mut doc),
        ("apps", "DaemonSet") => workloads::daemon_set(subject, &mut doc),
        ("apps", "StatefulSet") => workloads::stateful_set(subject, &mut doc),
        ("batch", "CronJob") => workloads::cron_job(object, &mut doc),
        ("networking.k8s.io", "Ingress") => network::ingress(subject, &mut doc),
        ("networking.k8s.io", "IngressClass") => network::ingress_class(object, &mut doc),
        ("networking.k8s.io", "ServiceCIDR") => network::service_cidr(object, &mut doc),
        ("networking.k8s.io", "IPAddress") => network::ip_address(object, &mut doc),
        ("networking.k8s.io", "NetworkPolicy") => network_policy::policy(object, &mut doc),
        ("storage.k8s.io", "StorageClass") => storage::class_of_storage(object, &mut doc),
        ("storage.k8s.io", "CSINode") => storage::node_drivers(object, &mut doc),
        ("storage.k8s.io", "VolumeAttributesClass") => storage::attributes_class(object, &mut doc),
        ("certificates.k8s.io", "CertificateSigningRequest") => certificate::request(object, &mut doc)?,
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(object, &mut doc),
        ("policy", "PodDisruptionBudget") => policy::disruption_budget(object, &mut doc),
        ("scheduling.k8s.io", "PriorityClass") => policy::priority_class(object, &mut doc),
        ("autoscaling", "HorizontalPodAutoscaler") => policy::autoscaler(object, &mut doc),
        ("batch", "Job") => workloads::job(object, &mut doc),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => rbac::binding(object, &mut doc),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => rbac::role(object, &mut doc),
        _ => generic::object(object, &mut doc),
    };
    if with_events && let Some(events) = &subject.events {
        doc.events(events);
    }
    Ok(doc.finish())
}

/// A pod template, with tabs not yet aligned.
pub fn pod_template_text(template: &Value) -> String {
    let mut doc = Document::default();
    containers::pod_template(template, &mut doc);
    doc.raw()
}
