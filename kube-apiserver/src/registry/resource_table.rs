//! Resources out of apimachinery's table.

use apimachinery::resources::{self, ResourceInfo};
use apimachinery::schema::{self, Ref};

use super::resource::{Encoding, Resource, Served};

/// Resources whose metadata.generation the server keeps. `pods` and most kinds with a controller; not those
/// that predate it.
const WITH_GENERATION: &[&str] = &[
    "cronjobs",
    "customresourcedefinitions",
    "daemonsets",
    "deployments",
    "deviceclasses",
    "endpointslices",
    "flowschemas",
    "ingressclasses",
    "ingresses",
    "jobs",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "networkpolicies",
    "poddisruptionbudgets",
    "pods",
    "podtemplates",
    "priorityclasses",
    "prioritylevelconfigurations",
    "replicasets",
    "replicationcontrollers",
    "resourceslices",
    "statefulsets",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// Kinds that can only be overwritten by who names their resourceVersion.
/// upstream: AllowUnconditionalUpdate in the strategies
const CONDITIONAL_UPDATE: &[&str] = &[
    "apiservices",
    "clustertrustbundles",
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "customresourcedefinitions",
    "leasecandidates",
    "leases",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "podcertificaterequests",
    "poddisruptionbudgets",
    "resourcepoolstatusrequests",
    "runtimeclasses",
    "storageversionmigrations",
    "storageversions",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
    "volumeattachments",
];

/// upstream: AllowCreateOnUpdate in the strategies
const CREATE_ON_UPDATE: &[&str] = &[
    "clusterrolebindings",
    "clusterroles",
    "endpoints",
    "events",
    "leasecandidates",
    "leases",
    "limitranges",
    "rolebindings",
    "roles",
    "runtimeclasses",
    "services",
];

/// upstream: ReturnDeletedObject in the storages
const RETURNS_DELETED: &[&str] = &[
    "csidrivers",
    "csinodes",
    "deviceclasses",
    "devicetaintrules",
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourceclaims",
    "resourceclaimtemplates",
    "resourcepoolstatusrequests",
    "resourcequotas",
    "resourceslices",
    "serviceaccounts",
    "services",
    "storageclasses",
    "volumeattachments",
    "volumeattributesclasses",
];

/// upstream: DefaultGarbageCollectionPolicy in the strategies
const ORPHANS_BY_DEFAULT: &[&str] = &["jobs", "replicationcontrollers"];

/// Groups that serve what another group stores.
const ALIASES: &[(&str, &str, &str)] = &[("events.k8s.io", "events", "")];

fn served(group: &str, version: &str, kind: &str) -> Option<Served> {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let schema = schema::kind(&api_version, kind).map(Ref::Static)?;
    Some(Served { group: group.into(), version: version.into(), api_version: api_version.into(), schema })
}

/// The resource that is served but stored under another group, if this is one.
fn is_alias(info: &ResourceInfo) -> bool {
    ALIASES.iter().any(|(group, plural, _)| *group == info.group && *plural == info.plural)
}

/// All resources with storage whose versions are enabled. `enabled(group, version)`.
pub fn stored(enabled: impl Fn(&ResourceInfo, &str) -> bool, prefix: &str) -> Vec<Resource> {
    let all = resources::all().iter().filter(|info| info.storage.is_some() && !is_alias(info));
    all.filter_map(|info| resource(info, &enabled, prefix)).collect()
}

fn resource(
    info: &'static ResourceInfo,
    enabled: &impl Fn(&ResourceInfo, &str) -> bool,
    prefix: &str,
) -> Option<Resource> {
    let storage = info.storage.as_ref()?;
    let hub = served(info.group, info.versions.first()?, info.kind)?;
    let mut all: Vec<Served> =
        info.versions.iter().filter(|v| enabled(info, v)).filter_map(|v| served(info.group, v, info.kind)).collect();
    for (group, plural, of) in ALIASES {
        if *plural == info.plural
            && *of == info.group
            && let Some(alias) = resources::by_plural(group, plural)
        {
            all.extend(
                alias.versions.iter().filter(|v| enabled(alias, v)).filter_map(|v| served(group, v, alias.kind)),
            );
        }
    }
    if all.is_empty() {
        return None;
    }
    let (group, version) = storage.api_version.rsplit_once('/').unwrap_or(("", storage.api_version));
    let stored = served(group, version, storage.kind)?;
    let key = storage.etcd_prefix.strip_prefix("/registry").unwrap_or(storage.etcd_prefix);
    Some(Resource {
        group: info.group.into(),
        plural: info.plural.into(),
        singular: info.singular.into(),
        kind: info.kind.into(),
        namespaced: info.namespaced,
        hub,
        served: all,
        storage: stored,
        encoding: match storage.encoding {
            resources::Encoding::Protobuf => Encoding::Protobuf,
            resources::Encoding::Json => Encoding::Json,
        },
        key_prefix: format!("{prefix}{key}/").into(),
        has_status: info.subresource("status").is_some(),
        has_generation: WITH_GENERATION.contains(&info.plural),
        unconditional_update: !CONDITIONAL_UPDATE.contains(&info.plural),
        create_on_update: CREATE_ON_UPDATE.contains(&info.plural),
        returns_deleted: RETURNS_DELETED.contains(&info.plural),
        ttl_seconds: None,
        orphans_by_default: ORPHANS_BY_DEFAULT.contains(&info.plural),
        info: Some(info),
        selectable_fields: Vec::new(),
        subresources: Vec::new(),
        custom: None,
    })
}

/// A stand-in for a resource without storage.
pub fn without_storage(info: &'static ResourceInfo, version: &str) -> Option<Resource> {
    let hub = served(info.group, version, info.kind)?;
    Some(Resource {
        group: info.group.into(),
        plural: info.plural.into(),
        singular: info.singular.into(),
        kind: info.kind.into(),
        namespaced: info.namespaced,
        served: vec![hub.clone()],
        storage: hub.clone(),
        hub,
        encoding: Encoding::Json,
        key_prefix: "".into(),
        has_status: false,
        has_generation: false,
        unconditional_update: false,
        create_on_update: false,
        returns_deleted: false,
        orphans_by_default: false,
        ttl_seconds: None,
        info: Some(info),
        selectable_fields: Vec::new(),
        subresources: Vec::new(),
        custom: None,
    })
}
