//! Defaults of the remaining groups.
//! upstream: pkg/apis/{admissionregistration,discovery,flowcontrol,networking,rbac,resource,scheduling,storage}/v1/defaults.go,
//! apiextensions/v1/defaults.go, apiregistration/v1/defaults.go

use apimachinery::value::Value;

use super::{Entry, set, with};

pub(super) const FUNCTIONS: &[Entry] = &[
    ("io.k8s.api.admissionregistration.v1.MatchResources", match_resources),
    ("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec", failure_policy),
    ("io.k8s.api.admissionregistration.v1.MutatingWebhook", mutating_webhook),
    ("io.k8s.api.admissionregistration.v1.RuleWithOperations", |o| set(o, "scope", "*")),
    ("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", |o| set(o, "scope", "*")),
    ("io.k8s.api.admissionregistration.v1.ServiceReference", service_port),
    ("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", failure_policy),
    ("io.k8s.api.admissionregistration.v1.ValidatingWebhook", webhook),
    ("io.k8s.api.authentication.v1.TokenRequestSpec", |o| set(o, "expirationSeconds", 3600)),
    ("io.k8s.api.discovery.v1.EndpointPort", endpoint_port),
    ("io.k8s.api.flowcontrol.v1.ExemptPriorityLevelConfiguration", |o| concurrency(o, 0)),
    ("io.k8s.api.flowcontrol.v1.FlowSchemaSpec", |o| set(o, "matchingPrecedence", 1000)),
    ("io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration", |o| concurrency(o, 30)),
    ("io.k8s.api.flowcontrol.v1.QueuingConfiguration", queuing),
    ("io.k8s.api.networking.v1.IngressClassSpec", ingress_class),
    ("io.k8s.api.networking.v1.NetworkPolicy", network_policy),
    ("io.k8s.api.networking.v1.NetworkPolicyPort", |o| set(o, "protocol", "TCP")),
    ("io.k8s.api.rbac.v1.ClusterRoleBinding", role_ref),
    ("io.k8s.api.rbac.v1.RoleBinding", role_ref),
    ("io.k8s.api.rbac.v1.Subject", subject),
    ("io.k8s.api.resource.v1.DeviceSubRequest", device_request),
    ("io.k8s.api.resource.v1.ExactDeviceRequest", device_request),
    ("io.k8s.api.scheduling.v1.PriorityClass", |o| set(o, "preemptionPolicy", "PreemptLowerPriority")),
    ("io.k8s.api.storage.v1.CSIDriverSpec", csi_driver),
    ("io.k8s.api.storage.v1.StorageClass", storage_class),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition", custom_resource_definition),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference", service_port),
    ("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference", service_port),
];

fn failure_policy(spec: &mut Value) {
    set(spec, "failurePolicy", "Fail");
}

fn match_resources(resources: &mut Value) {
    set(resources, "matchPolicy", "Equivalent");
    set(resources, "namespaceSelector", Value::map());
    set(resources, "objectSelector", Value::map());
}

fn webhook(webhook: &mut Value) {
    failure_policy(webhook);
    match_resources(webhook);
    set(webhook, "timeoutSeconds", 10);
}

fn mutating_webhook(hook: &mut Value) {
    webhook(hook);
    set(hook, "reinvocationPolicy", "Never");
}

fn service_port(reference: &mut Value) {
    set(reference, "port", 443);
}

fn endpoint_port(port: &mut Value) {
    set(port, "name", "");
    set(port, "protocol", "TCP");
}

fn concurrency(level: &mut Value, shares: i64) {
    set(level, "nominalConcurrencyShares", shares);
    set(level, "lendablePercent", 0);
}

fn queuing(queuing: &mut Value) {
    set(queuing, "handSize", 8);
    set(queuing, "queues", 64);
    set(queuing, "queueLengthLimit", 50);
}

fn ingress_class(spec: &mut Value) {
    with(spec, "parameters", |parameters| set(parameters, "scope", "Cluster"));
}

fn network_policy(policy: &mut Value) {
    let spec = policy.field_mut("spec");
    if spec.get("policyTypes").items().is_empty() {
        let mut types = vec![Value::str("Ingress")];
        if !spec.get("egress").items().is_empty() {
            types.push(Value::str("Egress"));
        }
        spec.set("policyTypes", Value::List(types));
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

fn role_ref(binding: &mut Value) {
    set(binding.field_mut("roleRef"), "apiGroup", RBAC);
}

fn subject(subject: &mut Value) {
    if matches!(subject.get("kind").str_or_empty(), "User" | "Group") {
        set(subject, "apiGroup", RBAC);
    }
}

fn device_request(request: &mut Value) {
    set(request, "allocationMode", "ExactCount");
    if request.get("allocationMode").as_str() == Some("ExactCount") {
        set(request, "count", 1);
    }
}

fn csi_driver(spec: &mut Value) {
    set(spec, "attachRequired", true);
    for name in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        set(spec, name, false);
    }
    set(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.get("volumeLifecycleModes").items().is_empty() {
        spec.set("volumeLifecycleModes", Value::List(vec![Value::str("Persistent")]));
    }
}

fn storage_class(class: &mut Value) {
    set(class, "reclaimPolicy", "Delete");
    set(class, "volumeBindingMode", "Immediate");
}

fn custom_resource_definition(definition: &mut Value) {
    let spec = definition.field_mut("spec");
    let kind = spec.path(&["names", "kind"]).str_or_empty().to_owned();
    if !kind.is_empty() {
        let names = spec.field_mut("names");
        set(names, "singular", kind.to_lowercase().as_str());
        set(names, "listKind", format!("{kind}List").as_str());
    }
    if spec.get("conversion").is_null() {
        spec.set_path(&["conversion", "strategy"], Value::str("None"));
    }
    let stored = spec.get("versions").items().iter().find(|v| v.get("storage").as_bool() == Some(true));
    if let Some(name) = stored.map(|version| version.get("name").clone()) {
        let status = definition.field_mut("status");
        if status.get("storedVersions").items().is_empty() {
            status.set("storedVersions", Value::List(vec![name]));
        }
    }
}
