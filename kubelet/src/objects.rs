//! ConfigMaps, Secrets and Services that pods refer to.
//!
//! Objects are read one by one, never listed, because that is all that a node may do. They are kept for a while, and
//! forgotten when a pod that uses them is new or changed, so a pod never starts with what was before.
//!
//! upstream: pkg/kubelet/configmap, pkg/kubelet/secret, pkg/kubelet/util/manager/cache_based_manager.go

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::pod::view::PodView;

/// How long an object is good for when no pod asks for a fresh one.
const TTL: Duration = Duration::from_secs(50);
/// Most objects that are kept of one kind.
const ENTRIES_MAX: usize = 4096;

/// An object that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The API answered with an error, whose words are for people.
    #[error("{message}")]
    Api {
        /// HTTP status.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// There is no API in a standalone kubelet.
    #[error("couldn't get {kind} {namespace}/{name}, no kubeClient defined")]
    NoClient {
        /// `configMap` or `secret`.
        kind: &'static str,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The API did not answer.
    #[error("failed to fetch {kind} {namespace}/{name}: {source}")]
    Transport {
        /// `configMap` or `secret`.
        kind: &'static str,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

impl ObjectError {
    /// True when the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { code: 404, .. })
    }
}

/// Answers all services once they were read.
pub type ServiceSource = Box<dyn Fn() -> Option<Vec<Arc<Service>>> + Send + Sync>;

/// Reader of the objects that pods refer to.
pub struct Objects {
    client: Option<Client>,
    config_maps: Mutex<HashMap<String, Kept<ConfigMap>>>,
    secrets: Mutex<HashMap<String, Kept<Secret>>>,
    services: OnceLock<ServiceSource>,
}

struct Kept<K> {
    object: Arc<K>,
    read_at: Instant,
}

impl Objects {
    /// Reads through `client`; without one every object is an error.
    pub fn new(client: Option<Client>) -> Self {
        Self { client, config_maps: Mutex::default(), secrets: Mutex::default(), services: OnceLock::new() }
    }

    /// Where services come from. The first call counts.
    pub fn set_services(&self, source: ServiceSource) {
        let _first_counts = self.services.set(source);
    }

    /// True when there is an API.
    pub fn has_client(&self) -> bool {
        self.client.is_some()
    }

    /// All services, `None` until they were read.
    pub fn services(&self) -> Option<Vec<Arc<Service>>> {
        self.services.get().and_then(|source| source())
    }

    /// One ConfigMap.
    ///
    /// # Errors
    /// It does not exist or cannot be read.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Arc<ConfigMap>, ObjectError> {
        self.read(&self.config_maps, "configMap", namespace, name).await
    }

    /// One Secret.
    ///
    /// # Errors
    /// It does not exist or cannot be read.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Arc<Secret>, ObjectError> {
        self.read(&self.secrets, "secret", namespace, name).await
    }

    /// Forgets everything that `pod` refers to, so that the next reads are fresh.
    pub fn refresh_for(&self, pod: &Pod) {
        let (config_maps, secrets) = references(pod);
        let key = |name: &String| format!("{}/{name}", pod.namespace());
        self.config_maps.lock().retain(|kept, _| !config_maps.iter().any(|name| *kept == key(name)));
        self.secrets.lock().retain(|kept, _| !secrets.iter().any(|name| *kept == key(name)));
    }

    async fn read<K>(
        &self,
        cache: &Mutex<HashMap<String, Kept<K>>>,
        kind: &'static str,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<K>, ObjectError>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let (namespace_owned, name_owned) = (namespace.to_owned(), name.to_owned());
        let Some(client) = self.client.clone() else {
            return Err(ObjectError::NoClient { kind, namespace: namespace_owned, name: name_owned });
        };
        let key = format!("{namespace}/{name}");
        if let Some(kept) = cache.lock().get(&key).filter(|kept| kept.read_at.elapsed() < TTL) {
            return Ok(Arc::clone(&kept.object));
        }
        match Api::<K>::namespaced(client, namespace).get(name).await {
            Ok(object) => {
                let object = Arc::new(object);
                let mut cache = cache.lock();
                if cache.len() >= ENTRIES_MAX {
                    cache.retain(|_, kept| kept.read_at.elapsed() < TTL);
                }
                cache.insert(key, Kept { object: Arc::clone(&object), read_at: Instant::now() });
                Ok(object)
            }
            // In the words of upstream, which looks into its own cache.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let message = format!("{} {name:?} not found", kind.to_lowercase());
                Err(ObjectError::Api { code: status.code, message })
            }
            Err(kube::Error::Api(status)) => {
                Err(ObjectError::Api { code: status.code, message: status.message.clone() })
            }
            Err(source) => Err(ObjectError::Transport {
                kind,
                namespace: namespace_owned,
                name: name_owned,
                source: Box::new(source),
            }),
        }
    }
}

/// Names of the ConfigMaps and Secrets that a pod refers to.
fn references(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let (mut config_maps, mut secrets) = (Vec::new(), Vec::new());
    secrets.extend(pod.spec().image_pull_secrets.iter().flatten().map(|reference| reference.name.clone()));
    for (_, container) in pod.all_containers() {
        for source in container.env_from.iter().flatten() {
            config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
            secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            config_maps.extend(source.config_map_key_ref.iter().map(|reference| reference.name.clone()));
            secrets.extend(source.secret_key_ref.iter().map(|reference| reference.name.clone()));
        }
    }
    for volume in pod.spec().volumes.iter().flatten() {
        config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            secrets.extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
    (config_maps, secrets)
}
