//! Rows of the remaining groups.

use apimachinery::time::human_duration;
use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

use super::core::load_balancer;
use super::{Entry, NONE, UNSET, age, condition, join, name, number, or, selector, some_of, text, unless_given};

pub(super) const FUNCTIONS: &[Entry] = &[
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", |o, now| admission_policy(o, "mutations", now)),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", policy_binding),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", webhooks),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", |o, now| admission_policy(o, "validations", now)),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", policy_binding),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", webhooks),
    ("apiregistration.k8s.io", "APIService", api_service),
    ("certificates.k8s.io", "CertificateSigningRequest", signing_request),
    ("coordination.k8s.io", "Lease", |o, now| {
        vec![name(o), text(o.field("spec").field("holderIdentity").str()), age(o, now)]
    }),
    ("discovery.k8s.io", "EndpointSlice", endpoint_slice),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", flow_schema),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", priority_level),
    ("networking.k8s.io", "Ingress", ingress),
    ("networking.k8s.io", "IngressClass", ingress_class),
    ("networking.k8s.io", "IPAddress", ip_address),
    ("networking.k8s.io", "NetworkPolicy", |o, now| {
        vec![name(o), selector(o.field("spec").field("podSelector")), age(o, now)]
    }),
    ("networking.k8s.io", "ServiceCIDR", |o, now| {
        vec![name(o), text(join(o.field("spec").field("cidrs"), ",")), age(o, now)]
    }),
    ("node.k8s.io", "RuntimeClass", |o, now| vec![name(o), text(o.field("handler").str()), age(o, now)]),
    ("policy", "PodDisruptionBudget", disruption_budget),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", role_binding),
    ("rbac.authorization.k8s.io", "RoleBinding", role_binding),
    ("resource.k8s.io", "DeviceClass", |o, now| vec![name(o), age(o, now)]),
    ("resource.k8s.io", "ResourceClaim", resource_claim),
    ("resource.k8s.io", "ResourceClaimTemplate", |o, now| vec![name(o), age(o, now)]),
    ("resource.k8s.io", "ResourceSlice", resource_slice),
    ("scheduling.k8s.io", "PriorityClass", priority_class),
    ("storage.k8s.io", "CSIDriver", csi_driver),
    ("storage.k8s.io", "CSINode", |o, now| vec![name(o), count(o.field("spec").field("drivers")), age(o, now)]),
    ("storage.k8s.io", "StorageClass", storage_class),
    ("storage.k8s.io", "VolumeAttachment", volume_attachment),
    ("storage.k8s.io", "VolumeAttributesClass", |o, now| vec![name(o), text(o.field("driverName").str()), age(o, now)]),
];

fn count(list: Cursor<'_>) -> Value {
    number(i64::try_from(list.len()).unwrap_or(i64::MAX))
}

fn webhooks(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    vec![name(object), count(object.field("webhooks")), age(object, now)]
}

fn admission_policy(object: Cursor<'_>, list: &'static str, now: Timestamp) -> Vec<Value> {
    let kind = object.field("spec").field("paramKind");
    let parameters = match kind.exists() {
        true => format!("{}/{}", kind.field("apiVersion").str(), kind.field("kind").str()),
        false => UNSET.to_owned(),
    };
    vec![name(object), count(object.field("spec").field(list)), text(parameters), age(object, now)]
}

fn policy_binding(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let reference = object.field("spec").field("paramRef");
    let parameters = match (reference.field("name").str(), reference.field("namespace").str()) {
        ("", _) if reference.field("selector").exists() => selector(reference.field("selector")),
        ("", _) => text(UNSET),
        (name, "") => text(format!("*/{name}")),
        (name, namespace) => text(format!("{namespace}/{name}")),
    };
    vec![name(object), text(object.field("spec").field("policyName").str()), parameters, age(object, now)]
}

fn api_service(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let service = object.field("spec").field("service");
    let service = match service.exists() {
        true => format!("{}/{}", service.field("namespace").str(), service.field("name").str()),
        false => "Local".to_owned(),
    };
    let available = condition(object, "Available").map_or("Unknown".to_owned(), |c| {
        match (c.field("status").str(), c.field("reason").str()) {
            ("True", _) | (_, "") => c.field("status").str().to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        }
    });
    vec![name(object), text(service), text(available), age(object, now)]
}

fn signing_request(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let has = |kind: &str| condition(object, kind).is_some();
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !status.field("certificate").is_empty() {
        state.push_str(",Issued");
    }
    let duration = spec.field("expirationSeconds").opt_i64().map_or(NONE.to_owned(), human_duration);
    vec![
        name(object),
        age(object, now),
        or(spec.field("signerName"), NONE),
        text(spec.field("username").str()),
        text(duration),
        text(state),
    ]
}

fn endpoint_slice(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let port = |port: Cursor<'_>| match (port.field("port").opt_i64(), port.field("name").opt_str()) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    };
    let ports: Vec<String> = object.field("ports").list().map(port).collect();
    let addresses = object.field("endpoints").list().flat_map(|e| e.field("addresses").list());
    let addresses: Vec<String> = addresses.map(|address| address.str().to_owned()).collect();
    let shown = |list: &[String]| {
        let shown = some_of(list, 3, UNSET);
        text(if shown.is_empty() { UNSET.to_owned() } else { shown })
    };
    vec![name(object), text(object.field("addressType").str()), shown(&ports), shown(&addresses), age(object, now)]
}

fn flow_schema(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    vec![
        name(object),
        text(spec.field("priorityLevelConfiguration").field("name").str()),
        number(spec.field("matchingPrecedence").i64()),
        or(spec.field("distinguisherMethod").field("type"), NONE),
        age(object, now),
        text(condition(object, "Dangling").map_or("?", |c| c.field("status").str())),
    ]
}

fn priority_level(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let limited = object.field("spec").field("limited");
    let queuing = limited.field("limitResponse").field("queuing");
    let of = |place: Cursor<'_>, field: &'static str| match place.exists() {
        true => number(place.field(field).i64()),
        false => text(NONE),
    };
    vec![
        name(object),
        text(object.field("spec").field("type").str()),
        of(limited, "nominalConcurrencyShares"),
        of(queuing, "queues"),
        of(queuing, "handSize"),
        of(queuing, "queueLengthLimit"),
        age(object, now),
    ]
}

fn ingress(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    vec![
        name(object),
        or(spec.field("ingressClassName"), NONE),
        text(hosts(spec.field("rules"))),
        text(load_balancer(object.field("status").field("loadBalancer"))),
        text(if !spec.field("tls").is_empty() { "80, 443" } else { "80" }),
        age(object, now),
    ]
}

/// The first hosts; how many more there are is counted in rules, as upstream does.
fn hosts(rules: Cursor<'_>) -> String {
    const SHOWN: usize = 3;
    let named: Vec<&str> =
        rules.list().map(|rule| rule.field("host").str()).filter(|host| !host.is_empty()).take(SHOWN).collect();
    if named.is_empty() {
        return "*".to_owned();
    }
    let mut seen = 0;
    let more = rules.list().any(|rule| {
        let full = seen == SHOWN;
        seen += usize::from(!rule.field("host").is_empty());
        full
    });
    match more {
        true => format!("{} + {} more...", named.join(","), rules.len() - SHOWN),
        false => named.join(","),
    }
}

/// The name, marked if an annotation makes it the default.
fn name_or_default(object: Cursor<'_>, annotations: &[&'static str]) -> Value {
    let set = |annotation: &&str| {
        object.field("metadata").field("annotations").value().get(annotation).as_str() == Some("true")
    };
    let name = object.field("metadata").field("name").str();
    text(if annotations.iter().any(set) { format!("{name} (default)") } else { name.to_owned() })
}

fn ingress_class(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    let parameters = spec.field("parameters");
    let shown = match parameters.exists() {
        true => {
            let group = parameters.field("apiGroup").opt_str().map_or(String::new(), |group| format!(".{group}"));
            format!("{}{group}/{}", parameters.field("kind").str(), parameters.field("name").str())
        }
        false => NONE.to_owned(),
    };
    let name = name_or_default(object, &["ingressclass.kubernetes.io/is-default-class"]);
    vec![name, text(spec.field("controller").str()), text(shown), age(object, now)]
}

fn ip_address(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let parent = object.field("spec").field("parentRef");
    let mut shown = NONE.to_owned();
    if parent.exists() {
        shown = parent.field("resource").str().to_lowercase();
        for (separator, field) in [(".", "group"), ("/", "namespace"), ("/", "name")] {
            let part = parent.field(field).str();
            if !part.is_empty() {
                shown = format!("{shown}{separator}{part}");
            }
        }
    }
    vec![name(object), text(shown), age(object, now)]
}

fn disruption_budget(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let amount = |field| match object.field("spec").field(field).value() {
        Value::Int(n) => text(n.to_string()),
        Value::Str(percent) => text(percent.clone()),
        _ => text("N/A"),
    };
    let allowed = object.field("status").field("disruptionsAllowed").i64();
    vec![name(object), amount("minAvailable"), amount("maxUnavailable"), number(allowed), age(object, now)]
}

fn role_binding(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let role = object.field("roleRef");
    let subjects = |kind: &str| {
        let of_kind = object.field("subjects").list().filter(|s| s.field("kind").str() == kind);
        let shown = |s: Cursor<'_>| match kind {
            "ServiceAccount" => format!("{}/{}", s.field("namespace").str(), s.field("name").str()),
            _ => s.field("name").str().to_owned(),
        };
        text(of_kind.map(shown).collect::<Vec<_>>().join(", "))
    };
    vec![
        name(object),
        text(format!("{}/{}", role.field("kind").str(), role.field("name").str())),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

fn resource_claim(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let status = object.field("status");
    let deleted = object.field("metadata").field("deletionTimestamp").exists();
    let allocated = status.field("allocation").exists();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (allocated && !status.field("reservedFor").is_empty(), "reserved"),
    ];
    let states: Vec<&str> = states.into_iter().filter(|(holds, _)| *holds).map(|(_, state)| state).collect();
    vec![name(object), text(states.join(",")), age(object, now)]
}

fn resource_slice(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    let part = |place: Cursor<'_>| text(place.str());
    vec![
        name(object),
        part(spec.field("nodeName")),
        part(spec.field("driver")),
        part(spec.field("pool").field("name")),
        age(object, now),
    ]
}

fn priority_class(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(object.field("value").i64()),
        Value::Bool(object.field("globalDefault").bool()),
        age(object, now),
        text(object.field("preemptionPolicy").str()),
    ]
}

fn csi_driver(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    let flag = |field, absent| Value::Bool(spec.field(field).opt_bool().unwrap_or(absent));
    let requests = spec.field("tokenRequests");
    let audiences: Vec<&str> = requests.list().map(|request| request.field("audience").str()).collect();
    let modes = join(spec.field("volumeLifecycleModes"), ",");
    vec![
        name(object),
        flag("attachRequired", true),
        flag("podInfoOnMount", false),
        flag("storageCapacity", false),
        text(if requests.exists() { audiences.join(",") } else { UNSET.to_owned() }),
        flag("requiresRepublish", false),
        text(if modes.is_empty() { NONE.to_owned() } else { modes }),
        age(object, now),
    ]
}

fn storage_class(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    const DEFAULT: [&str; 2] =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    vec![
        name_or_default(object, &DEFAULT),
        text(object.field("provisioner").str()),
        unless_given(object.field("reclaimPolicy"), "Delete"),
        unless_given(object.field("volumeBindingMode"), "Immediate"),
        Value::Bool(object.field("allowVolumeExpansion").bool()),
        age(object, now),
    ]
}

fn volume_attachment(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    vec![
        name(object),
        text(spec.field("attacher").str()),
        text(spec.field("source").field("persistentVolumeName").str()),
        text(spec.field("nodeName").str()),
        Value::Bool(object.field("status").field("attached").bool()),
        age(object, now),
    ]
}
