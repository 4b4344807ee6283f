//! The resources: one generic store for all, and per resource what it does differently.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/registry and pkg/registry

pub mod admission_registration;
pub mod admit;
pub mod apiregistration;
pub mod autoscaling;
pub mod certificates;
pub mod columns;
pub mod core;
pub mod defaulting;
pub mod discovery_slices;
pub mod dynamic_resources;
pub mod errors;
pub mod expressions;
pub mod flow_control_group;
pub mod go_url;
pub mod internal_json;
pub mod networking;
pub mod ordinary;
pub mod pod_resources;
pub mod rbac;
pub mod resource;
mod resource_table;
pub mod small_groups;
pub mod storage_group;
pub mod store;
pub mod stored;
pub mod strategy;
pub mod validation;
pub mod webhook_target;
pub mod workloads;

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::resources::ResourceInfo;
use apimachinery::schema::Type;
use http::HeaderMap;
use parking_lot::RwLock;

use crate::request::{Authorized, Emptied};
use crate::storage::lease::Leases;
use crate::storage::{Cache, Etcd, Feed};

pub use admission_registration::{Policies, PolicyBindings, PolicyKind};
pub use admit::{AdmissionChain, Admitted, Attributes, Operation};
pub use ordinary::Ordinary;
pub use resource::{Resource, Served};
pub use store::Store;
pub use strategy::{Creater, DeleteOptions, Hooks, NameRule, RequestContext, Strategy, Subresource};

/// Who answers for a resource without storage: one line for each.
pub fn virtual_resource(info: &'static ResourceInfo) -> Option<&'static dyn Creater> {
    use crate::authentication::reviews::{SelfSubjectReview, TokenReview};
    use crate::authorization::reviews::Review;
    match (info.group, info.plural) {
        ("", "bindings") => Some(&crate::connect::binding::Binding),
        ("authentication.k8s.io", "selfsubjectreviews") => Some(&SelfSubjectReview),
        ("authentication.k8s.io", "tokenreviews") => Some(&TokenReview),
        ("authorization.k8s.io", "localsubjectaccessreviews") => Some(&Review::Local),
        ("authorization.k8s.io", "selfsubjectaccessreviews") => Some(&Review::SelfSubject),
        ("authorization.k8s.io", "selfsubjectrulesreviews") => Some(&Review::SelfRules),
        ("authorization.k8s.io", "subjectaccessreviews") => Some(&Review::Subject),
        _ => None,
    }
}

/// The strategy of a resource: one line for each that does something special.
pub fn strategy(info: &'static ResourceInfo) -> &'static dyn Strategy {
    match (info.group, info.plural) {
        ("", "configmaps") => &core::data::ConfigMaps,
        ("", "endpoints") => &core::endpoints::Endpoints,
        ("", "events") | ("events.k8s.io", "events") => &core::events::Events,
        ("", "limitranges") => &core::limit_ranges::LimitRanges,
        ("", "namespaces") => &core::namespaces::Namespaces,
        ("", "nodes") => &core::nodes::Nodes,
        ("", "persistentvolumeclaims") => &core::claims::PersistentVolumeClaims,
        ("", "persistentvolumes") => &core::persistent_volumes::PersistentVolumes,
        ("", "pods") => &core::pods::Pods,
        ("", "podtemplates") => &workloads::controllers::PodTemplates,
        ("", "replicationcontrollers") => &workloads::controllers::ReplicationControllers,
        ("", "resourcequotas") => &core::quotas::ResourceQuotas,
        ("", "secrets") => &core::data::Secrets,
        ("", "serviceaccounts") => &core::service_accounts::ServiceAccounts,
        ("apps", "controllerrevisions") => &workloads::apps::ControllerRevisions,
        ("apps", "daemonsets") => &workloads::daemon_sets::DaemonSets,
        ("apps", "deployments") => &workloads::apps::Deployments,
        ("apps", "replicasets") => &workloads::apps::ReplicaSets,
        ("apps", "statefulsets") => &workloads::stateful_sets::StatefulSets,
        ("autoscaling", "horizontalpodautoscalers") => &autoscaling::Autoscalers,
        ("batch", "cronjobs") => &workloads::cron_jobs::CronJobs,
        ("batch", "jobs") => &workloads::jobs::Jobs,
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            &admission_registration::WebhookConfigurations
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => &Policies(PolicyKind::Validating),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => &Policies(PolicyKind::Mutating),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            &PolicyBindings(PolicyKind::Validating)
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings") => &PolicyBindings(PolicyKind::Mutating),
        ("certificates.k8s.io", "certificatesigningrequests") => &certificates::SigningRequests,
        ("apiregistration.k8s.io", "apiservices") => &apiregistration::ApiServices,
        ("apiextensions.k8s.io", "customresourcedefinitions") => &crate::extensions::definitions::Definitions,
        ("", "services") => &core::services::Services,
        ("coordination.k8s.io", "leases") => &small_groups::Leases,
        ("discovery.k8s.io", "endpointslices") => &discovery_slices::EndpointSlices,
        ("node.k8s.io", "runtimeclasses") => &small_groups::RuntimeClasses,
        ("policy", "poddisruptionbudgets") => &small_groups::DisruptionBudgets,
        ("resource.k8s.io", "deviceclasses") => &dynamic_resources::DeviceClasses,
        ("resource.k8s.io", "resourceclaims") => &dynamic_resources::Claims,
        ("resource.k8s.io", "resourceclaimtemplates") => &dynamic_resources::ClaimTemplates,
        ("resource.k8s.io", "resourceslices") => &dynamic_resources::Slices,
        ("scheduling.k8s.io", "priorityclasses") => &small_groups::PriorityClasses,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => &flow_control_group::FlowSchemas,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => &flow_control_group::PriorityLevels,
        ("storage.k8s.io", "csidrivers") => &storage_group::CsiDrivers,
        ("storage.k8s.io", "csinodes") => &storage_group::CsiNodes,
        ("storage.k8s.io", "csistoragecapacities") => &storage_group::StorageCapacities,
        ("storage.k8s.io", "storageclasses") => &storage_group::StorageClasses,
        ("storage.k8s.io", "volumeattachments") => &storage_group::VolumeAttachments,
        ("storage.k8s.io", "volumeattributesclasses") => &storage_group::VolumeAttributesClasses,
        ("networking.k8s.io", "ingressclasses") => &networking::IngressClasses,
        ("networking.k8s.io", "ingresses") => &networking::Ingresses,
        ("networking.k8s.io", "ipaddresses") => &networking::IpAddresses,
        ("networking.k8s.io", "networkpolicies") => &networking::NetworkPolicies,
        ("networking.k8s.io", "servicecidrs") => &networking::ServiceCidrs,
        ("rbac.authorization.k8s.io", "clusterroles" | "roles") => &rbac::Roles,
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => &rbac::Bindings,
        _ => &Ordinary,
    }
}

/// A resource without storage: a question that is answered at once (`subjectaccessreviews` …).
#[derive(Clone)]
pub struct Virtual {
    /// The version asked for.
    pub api_version: Box<str>,
    /// Kind of the question.
    pub kind: &'static str,
    /// Its type.
    pub schema: &'static Type,
    /// It is asked in a namespace.
    pub namespaced: bool,
    /// Who answers.
    pub creater: &'static dyn Creater,
    /// A stand-in for contexts.
    pub resource: Arc<Resource>,
}

impl Virtual {
    /// The circumstances of a request.
    pub fn context(&self, request: &Authorized, headers: &HeaderMap, dry_run: bool) -> RequestContext {
        let user_agent = headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        RequestContext {
            user: Arc::clone(&request.user),
            operation: Operation::Create,
            resource: Arc::clone(&self.resource),
            group: request.info.api_group.clone(),
            version: request.info.api_version.clone(),
            subresource: String::new(),
            namespace: request.info.namespace.clone(),
            name: request.info.name.clone(),
            now: jiff::Timestamp::now(),
            dry_run,
            field_manager: String::new(),
            user_agent: user_agent.to_owned(),
            warnings: request.warnings.clone(),
            emptied: Emptied::default(),
        }
    }
}

/// What answers for a resource name.
#[derive(Clone)]
pub enum Found {
    /// A resource with storage, in the version asked for.
    Stored(Arc<Store>, Served),
    /// A resource without: a question.
    Virtual(Virtual),
    /// A resource whose objects are found out when they are read (`componentstatuses`). The store holds nothing.
    Asked(Arc<Store>, Served),
}

type Stores = HashMap<(Box<str>, Box<str>), Arc<Store>>;

/// All resources with their stores.
pub struct Registry {
    stores: RwLock<Stores>,
    /// See [`Found::Asked`].
    components: Option<Arc<Store>>,
    etcd: Etcd,
    feed: Arc<Feed>,
    leases: Arc<Leases>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// The registry of all built-in resources; their caches fill in the background.
    /// `event_ttl`: seconds that events live, 0 for ever.
    pub fn start(etcd: Etcd, enabled: impl Fn(&ResourceInfo, &str) -> bool, event_ttl: u64) -> Arc<Self> {
        let mut resources = resource_table::stored(enabled, etcd.prefix());
        for events in resources.iter_mut().filter(|r| r.group.is_empty() && &*r.plural == "events") {
            events.ttl_seconds = (event_ttl > 0).then_some(event_ttl);
        }
        let prepared: Vec<_> = resources
            .into_iter()
            .map(|resource| {
                let info = resource.info.expect("built-in resources have a table row");
                prepare(Arc::new(resource), strategy(info))
            })
            .collect();
        let feed = Feed::start(etcd.clone(), prepared.iter().map(|p| Arc::clone(&p.2)).collect());
        let leases = Arc::new(Leases::new(etcd.clone()));
        let mut registry = Self { stores: RwLock::default(), components: None, etcd, feed, leases };
        registry.components = registry.components_store();
        for (resource, strategy, cache) in prepared {
            registry.insert(resource, strategy, cache);
        }
        Arc::new(registry)
    }

    fn insert(&self, resource: Arc<Resource>, strategy: &'static dyn Strategy, cache: Arc<Cache>) -> Arc<Store> {
        let store = Arc::new(self.new_store((Arc::clone(&resource), strategy, cache)));
        let mut stores = self.stores.write();
        for served in &resource.served {
            stores.insert((served.group.clone(), resource.plural.clone()), Arc::clone(&store));
        }
        store
    }

    fn components_store(&self) -> Option<Arc<Store>> {
        let info = apimachinery::resources::find("", "v1", "componentstatuses")?;
        let resource = resource_table::without_storage(info, "v1")?;
        Some(Arc::new(self.new_store(prepare(Arc::new(resource), strategy(info)))))
    }

    fn new_store(&self, (resource, strategy, cache): Prepared) -> Store {
        let etcd = self.etcd.for_resource(&resource.group, &resource.plural);
        Store::new(resource, strategy, cache, etcd, Arc::clone(&self.feed), Arc::clone(&self.leases))
    }

    /// Adds a resource while running (custom resources); returns when it can be read.
    ///
    /// # Errors
    /// If storage does not answer.
    pub async fn add(
        &self,
        resource: Resource,
        strategy: &'static dyn Strategy,
    ) -> Result<Arc<Store>, crate::storage::StorageError> {
        let (resource, strategy, cache) = prepare(Arc::new(resource), strategy);
        self.feed.add(Arc::clone(&cache)).await?;
        Ok(self.insert(resource, strategy, cache))
    }

    /// Removes a resource that was added.
    pub fn remove(&self, group: &str, plural: &str) {
        if let Some(store) = self.stores.write().remove(&(group.into(), plural.into())) {
            self.feed.remove(store.cache.prefix());
        }
    }

    /// The store of a resource.
    pub fn store(&self, group: &str, plural: &str) -> Option<Arc<Store>> {
        self.stores.read().get(&(group.into(), plural.into())).cloned()
    }

    /// All stores, each once.
    pub fn stores(&self) -> Vec<Arc<Store>> {
        let mut all: Vec<_> = self.stores.read().values().cloned().collect();
        all.sort_by_key(|s| Arc::as_ptr(s).addr());
        all.dedup_by(|a, b| Arc::ptr_eq(a, b));
        all
    }

    /// What answers for a resource name in a group version.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Found> {
        if let Some(store) = self.store(group, plural) {
            let served = store.resource.version(group, version)?.clone();
            return Some(Found::Stored(store, served));
        }
        let info = apimachinery::resources::find(group, version, plural)?;
        if (group, plural) == ("", "componentstatuses") {
            let store = Arc::clone(self.components.as_ref()?);
            let served = store.resource.hub.clone();
            return Some(Found::Asked(store, served));
        }
        let creater = virtual_resource(info)?;
        let api_version = info.api_version(version);
        let schema = apimachinery::schema::kind(&api_version, info.kind)?;
        Some(Found::Virtual(Virtual {
            resource: Arc::new(resource_table::without_storage(info, version)?),
            api_version: api_version.into(),
            kind: info.kind,
            schema,
            namespaced: info.namespaced,
            creater,
        }))
    }

    /// True if anything is served in a group version.
    pub fn serves(&self, group: &str, version: &str) -> bool {
        self.stores
            .read()
            .values()
            .any(|s| s.resource.served.iter().any(|v| &*v.group == group && &*v.version == version))
            || apimachinery::resources::all()
                .iter()
                .any(|info| info.group == group && info.storage.is_none() && info.default_versions.contains(&version))
    }

    /// The feed of all caches.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The connection to etcd, for what is no resource (allocators, peer leases).
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }
}

type Prepared = (Arc<Resource>, &'static dyn Strategy, Arc<Cache>);

fn prepare(resource: Arc<Resource>, strategy: &'static dyn Strategy) -> Prepared {
    let stored = stored::Stored::new(Arc::clone(&resource), strategy);
    let cache = Arc::new(Cache::new(resource.key_prefix.to_string(), Box::new(stored)));
    (resource, strategy, cache)
}
