//! How the server's own parts (admission, authorizers, token checks, bootstrap) read and write objects.
//!
//! Reads are of the watch cache or, where freshness matters, of etcd; writes go through the same verbs as
//! everybody's, as the user `system:apiserver`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use crate::authentication::service_account::Lookup;
use crate::loopback::Loopback;
use crate::registry::Registry;
use crate::registry::store::Store;

/// A plural resource of a group: what `Objects` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// API group, empty for core.
    pub group: &'static str,
    /// Plural name.
    pub plural: &'static str,
}

impl Kind {
    /// Names a resource.
    pub const fn new(group: &'static str, plural: &'static str) -> Self {
        Self { group, plural }
    }
}

/// Namespaces.
pub const NAMESPACES: Kind = Kind::new("", "namespaces");
/// Pods.
pub const PODS: Kind = Kind::new("", "pods");
/// Nodes.
pub const NODES: Kind = Kind::new("", "nodes");
/// Secrets.
pub const SECRETS: Kind = Kind::new("", "secrets");
/// Service accounts.
pub const SERVICE_ACCOUNTS: Kind = Kind::new("", "serviceaccounts");
/// Services.
pub const SERVICES: Kind = Kind::new("", "services");
/// Limit ranges.
pub const LIMIT_RANGES: Kind = Kind::new("", "limitranges");
/// Resource quotas.
pub const RESOURCE_QUOTAS: Kind = Kind::new("", "resourcequotas");
/// Persistent volumes.
pub const VOLUMES: Kind = Kind::new("", "persistentvolumes");
/// Priority classes.
pub const PRIORITY_CLASSES: Kind = Kind::new("scheduling.k8s.io", "priorityclasses");
/// Storage classes.
pub const STORAGE_CLASSES: Kind = Kind::new("storage.k8s.io", "storageclasses");
/// Ingress classes.
pub const INGRESS_CLASSES: Kind = Kind::new("networking.k8s.io", "ingressclasses");
/// Runtime classes.
pub const RUNTIME_CLASSES: Kind = Kind::new("node.k8s.io", "runtimeclasses");

/// Access to objects, in their hub version.
#[async_trait]
pub trait Objects: Send + Sync + std::fmt::Debug {
    /// The object as the watch cache has it.
    fn cached(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value>;

    /// All objects of a namespace (of all, if empty) as the watch cache has them, by name.
    fn list(&self, kind: Kind, namespace: &str) -> Vec<Value>;

    /// All objects of a kind by name, decoded once for all who ask until one of them changes: for the few that every
    /// write has to look at.
    fn shared(&self, kind: Kind) -> Arc<Vec<Value>>;

    /// Objects of a kind, also of a custom one, as the watch cache has them: that of the name, or all of the namespace (of all,
    /// if empty). Nothing if the kind is not served in the version.
    fn of_kind(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Vec<Value>;

    /// Whether objects of a kind have a namespace; `None` if the kind is not served in the version.
    fn is_namespaced(&self, api_version: &str, kind: &str) -> Option<bool>;

    /// The object as etcd has it.
    ///
    /// # Errors
    /// 404, or what storage says.
    async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError>;

    /// Creates an object.
    ///
    /// # Errors
    /// What a client would get.
    async fn create(&self, kind: Kind, namespace: &str, object: Value) -> Result<Value, ApiError>;

    /// Replaces an object; a resourceVersion in it is a precondition. `subresource` is `status` or empty.
    ///
    /// # Errors
    /// What a client would get.
    async fn update(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: Value,
    ) -> Result<Value, ApiError>;

    /// Deletes an object.
    ///
    /// # Errors
    /// What a client would get.
    async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError>;
}

/// Objects of a kind, with the revision of the cache that they are of.
type Decoded = (u64, Arc<Vec<Value>>);

/// Objects out of the registry; writes go through the loopback once it is there.
#[derive(Debug)]
pub struct RegistryObjects {
    registry: Arc<Registry>,
    loopback: OnceLock<Loopback>,
    /// What `shared` gave last, with the revision of the cache.
    shared: Mutex<HashMap<Kind, Decoded>>,
}

impl RegistryObjects {
    /// Reads work at once; writes need `connect`.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, loopback: OnceLock::new(), shared: Mutex::default() }
    }

    /// Hands over the loopback, which cannot exist before the admission plugins that use this.
    pub fn connect(&self, loopback: Loopback) {
        // a second call would be the same loopback
        let _ = self.loopback.set(loopback);
    }

    fn store_of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Store>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let serves =
            |store: &Arc<Store>| &*store.resource.kind == kind && store.resource.version(group, version).is_some();
        self.registry.stores().into_iter().find(serves)
    }

    fn loopback(&self) -> Result<&Loopback, ApiError> {
        self.loopback.get().ok_or_else(|| ApiError::service_unavailable("the server is starting"))
    }
}

#[async_trait]
impl Objects for RegistryObjects {
    fn cached(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        self.registry.store(kind.group, kind.plural)?.cached(namespace, name)
    }

    fn list(&self, kind: Kind, namespace: &str) -> Vec<Value> {
        let store = self.registry.store(kind.group, kind.plural);
        store.map(|s| s.cached_list(namespace)).unwrap_or_default()
    }

    fn shared(&self, kind: Kind) -> Arc<Vec<Value>> {
        let Some(store) = self.registry.store(kind.group, kind.plural) else { return Arc::default() };
        let revision = store.cached_revision();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, list)) = shared.get(&kind)
            && Some(*known) == revision
        {
            return list.clone();
        }
        let list = Arc::new(store.cached_list(""));
        if let Some(revision) = revision {
            shared.insert(kind, (revision, list.clone()));
        }
        list
    }

    fn of_kind(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Vec<Value> {
        let Some(store) = self.store_of_kind(api_version, kind) else { return Vec::new() };
        let mut found = match name {
            "" => store.cached_list(namespace),
            name => store.cached(namespace, name).into_iter().collect(),
        };
        if store.resource.custom.is_some() {
            found.iter_mut().for_each(|object| object.set("apiVersion", api_version));
        }
        found
    }

    fn is_namespaced(&self, api_version: &str, kind: &str) -> Option<bool> {
        self.store_of_kind(api_version, kind).map(|store| store.resource.namespaced)
    }

    async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError> {
        match self.registry.store(kind.group, kind.plural) {
            Some(store) => store.get(namespace, name).await,
            None => Err(ApiError::not_found(kind.group, kind.plural, name)),
        }
    }

    async fn create(&self, kind: Kind, namespace: &str, object: Value) -> Result<Value, ApiError> {
        self.loopback()?.create(kind, namespace, &object, Default::default()).await
    }

    async fn update(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: Value,
    ) -> Result<Value, ApiError> {
        self.loopback()?.update(kind, namespace, name, subresource, &object, Default::default()).await
    }

    async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError> {
        self.loopback()?.delete(kind, namespace, name).await
    }
}

#[async_trait]
impl Lookup for RegistryObjects {
    async fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let store = self.registry.store("", resource)?;
        match store.cached(namespace, name) {
            Some(object) => Some(object),
            None => store.get(namespace, name).await.ok(),
        }
    }
}
