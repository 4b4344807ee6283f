//! One implementation of all verbs for all resources, in upstream's order of steps.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go

mod counts;
mod create;
mod delete;
mod list;
#[cfg(test)]
mod tests;
mod two_steps;
mod update;
mod watch;

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use bytes::Bytes;

use super::errors::About;
use super::resource::Resource;
use super::stored::Stored;
use super::strategy::{RequestContext, Strategy};
use crate::storage::etcd::Written;
use crate::storage::lease::Leases;
use crate::storage::{Cache, Etcd, Feed, Kv, StorageError};

pub use counts::{Counts, Watches};
pub use create::{ensure_namespace, generate_name};
pub use list::{List, ListOptions, Match, Selection, parse_revision};
pub use two_steps::CLEANUP_FINALIZER;
pub use update::Updater;
pub use watch::{ObjectEvent, ObjectEventKind, ObjectWatch, WatchOptions, expired};

/// Rounds of an update that keeps losing races before it gives up.
const MAX_ROUNDS: usize = 1000;

/// The request's admission and checks that run between validation and storing.
#[async_trait]
pub trait Guard: Send + Sync {
    /// May this object be created?
    ///
    /// # Errors
    /// What the client gets if not.
    async fn on_create(&self, _object: &Value) -> Result<(), ApiError> {
        Ok(())
    }

    /// May the object change so?
    ///
    /// # Errors
    /// What the client gets if not.
    async fn on_update(&self, _object: &Value, _old: &Value) -> Result<(), ApiError> {
        Ok(())
    }

    /// May this object be deleted?
    ///
    /// # Errors
    /// What the client gets if not.
    async fn on_delete(&self, _old: &Value) -> Result<(), ApiError> {
        Ok(())
    }
}

/// The server's own writes are not subject to admission.
#[derive(Clone, Copy, Debug)]
pub struct Unguarded;

impl Guard for Unguarded {}

/// An object as it is in etcd or in the cache.
#[derive(Clone, Debug)]
pub struct Existing {
    /// In the cache's form, with resourceVersion.
    pub raw: Bytes,
    /// mod revision.
    pub revision: i64,
}

/// What a change starts from.
struct Basis {
    existing: Option<Existing>,
    /// It was read from etcd, not from a cache that may lag behind.
    fresh: bool,
}

impl Basis {
    /// 0 if there is no object.
    fn revision(&self) -> i64 {
        self.existing.as_ref().map_or(0, |existing| existing.revision)
    }
}

/// What must hold for an object to be changed or deleted.
#[derive(Clone, Debug, Default)]
pub struct Preconditions {
    /// Its UID.
    pub uid: Option<String>,
    /// Its resourceVersion.
    pub resource_version: Option<String>,
}

impl Preconditions {
    fn check(&self, key: &str, object: &Value) -> Result<(), StorageError> {
        match self.unmet(object) {
            Some(message) => Err(StorageError::Precondition { key: key.to_owned(), message }),
            None => Ok(()),
        }
    }

    /// What does not hold for an object.
    fn unmet(&self, object: &Value) -> Option<String> {
        let meta = object.get("metadata");
        [(&self.uid, "uid", "UID"), (&self.resource_version, "resourceVersion", "ResourceVersion")]
            .into_iter()
            .find_map(|(wanted, field, what)| {
                let (wanted, has) = (wanted.as_ref()?, meta.get(field).str_or_empty());
                let differs =
                    || format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {has}");
                (wanted != has).then(differs)
            })
    }
}

/// The storage of one resource.
pub struct Store {
    /// What it is.
    pub resource: Arc<Resource>,
    /// What it does differently.
    pub strategy: &'static dyn Strategy,
    /// Its codec.
    pub stored: Stored,
    /// Its watch cache.
    pub cache: Arc<Cache>,
    /// What it did.
    pub counts: Counts,
    /// Who watches.
    pub watches: Watches,
    etcd: Etcd,
    feed: Arc<Feed>,
    leases: Arc<Leases>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.resource.group_resource())
    }
}

impl Store {
    /// The store of a resource whose cache is fed by `feed`.
    pub fn new(
        resource: Arc<Resource>,
        strategy: &'static dyn Strategy,
        cache: Arc<Cache>,
        etcd: Etcd,
        feed: Arc<Feed>,
        leases: Arc<Leases>,
    ) -> Self {
        let stored = Stored::new(Arc::clone(&resource), strategy);
        let (counts, watches) = Default::default();
        Self { resource, strategy, stored, cache, counts, watches, etcd, feed, leases }
    }

    /// Key below the resource's prefix.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.resource.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.cache.prefix())
    }

    pub(crate) fn about<'a>(&'a self, cx: &'a RequestContext, name: &'a str) -> About<'a> {
        About { group: &cx.group, resource: &self.resource.plural, name }
    }

    fn own<'a>(&'a self, name: &'a str) -> About<'a> {
        About { group: &self.resource.group, resource: &self.resource.plural, name }
    }

    /// The feed of the cache, for consistent reads.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The object as etcd has it now; 404 if it is not there.
    ///
    /// # Errors
    /// 404; if etcd cannot be reached.
    pub async fn get_raw(&self, about: About<'_>, namespace: &str, name: &str) -> Result<Existing, ApiError> {
        let key = self.key(namespace, name);
        self.fetch(&key).await.map_err(|e| about.error(e))?.ok_or_else(|| about.not_found())
    }

    /// The object, at least as new as a revision, from the cache (`0`: whatever is there).
    ///
    /// # Errors
    /// 404; 504 if the revision is in the future.
    pub async fn get_raw_since(
        &self,
        about: About<'_>,
        namespace: &str,
        name: &str,
        revision: u64,
    ) -> Result<Existing, ApiError> {
        self.wait_for(revision).await.map_err(|e| about.error(e))?;
        match self.cache.get(&self.key(namespace, name)) {
            Some(entry) => Ok(Existing { raw: entry.raw.clone(), revision: entry.rv.cast_signed() }),
            None => Err(about.not_found()),
        }
    }

    /// The object as etcd has it now, as a tree.
    ///
    /// # Errors
    /// 404; if etcd cannot be reached.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Value, ApiError> {
        let existing = self.get_raw(self.own(name), namespace, name).await?;
        self.object(&existing.raw)
    }

    /// The object out of the cache, which may lag a little.
    pub fn cached(&self, namespace: &str, name: &str) -> Option<Value> {
        let entry = self.cache.get(&self.key(namespace, name))?;
        self.object(&entry.raw).ok()
    }

    /// The revision of the newest change in the cache, once it is filled.
    pub fn cached_revision(&self) -> Option<u64> {
        self.cache.snapshot().map(|(_, revision)| revision)
    }

    /// All objects of the cache, of one namespace or (empty) of all.
    pub fn cached_list(&self, namespace: &str) -> Vec<Value> {
        let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let Some((tree, _)) = self.cache.snapshot() else { return Vec::new() };
        tree.range(&prefix, "").filter_map(|e| self.object(&e.raw).ok()).collect()
    }

    pub(crate) fn object(&self, raw: &[u8]) -> Result<Value, ApiError> {
        let mut object = self.stored.to_object(raw).map_err(ApiError::internal)?;
        if let Some(custom) = &self.resource.custom {
            custom.complete(&self.resource.hub.api_version, &mut object);
        }
        Ok(object)
    }

    async fn fetch(&self, key: &str) -> Result<Option<Existing>, StorageError> {
        let (kv, _) = self.etcd.get(&self.full_key(key)).await?;
        kv.map(|kv| self.existing(&kv)).transpose()
    }

    fn existing(&self, kv: &Kv) -> Result<Existing, StorageError> {
        let raw = self.stored.to_cached(&kv.value, kv.mod_revision.cast_unsigned()).map_err(|e| {
            StorageError::Corrupt { key: String::from_utf8_lossy(&kv.key).into_owned(), source: Box::new(e) }
        })?;
        Ok(Existing { raw, revision: kv.mod_revision })
    }

    /// Bytes that were just written, in the cache's form.
    fn as_written(&self, full_key: &str, data: &[u8], revision: i64) -> Result<Bytes, StorageError> {
        self.stored
            .to_cached(data, revision.cast_unsigned())
            .map_err(|e| StorageError::Corrupt { key: full_key.to_owned(), source: Box::new(e) })
    }

    fn cached_existing(&self, key: &str) -> Option<Existing> {
        let entry = self.cache.get(key)?;
        Some(Existing { raw: entry.raw.clone(), revision: entry.rv.cast_signed() })
    }

    async fn lease(&self, cx: &RequestContext) -> Result<i64, StorageError> {
        match self.strategy.ttl_seconds(cx).or(self.resource.ttl_seconds) {
            Some(ttl) => self.leases.get(ttl).await,
            None => Ok(0),
        }
    }

    /// Changes an object by a function, without strategy and validation: for subresources that know what they do.
    /// `change` is called again when somebody else was faster.
    ///
    /// # Errors
    /// 404, a failed precondition, what `change` returns; if etcd cannot be reached.
    pub async fn modify<F>(
        &self,
        cx: &RequestContext,
        name: &str,
        preconditions: &Preconditions,
        change: F,
    ) -> Result<Value, ApiError>
    where
        F: Fn(&mut Value) -> Result<(), ApiError> + Send + Sync,
    {
        let about = self.about(cx, name);
        let mut modify = Modify { change, absent: about.not_found() };
        let key = self.key(&cx.namespace, name);
        match self.guaranteed_update(cx, about, &key, preconditions, &mut modify).await {
            Ok(object) => Ok(object),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::DeleteNow | Stop::AlreadyDeleting | Stop::Finalized(_)) => Err(about.stale()),
        }
    }

    /// Reads, changes and writes an object until no one else wrote in between. `Err` of `change` ends it.
    async fn guaranteed_update<C: Change + ?Sized>(
        &self,
        cx: &RequestContext,
        about: About<'_>,
        key: &str,
        preconditions: &Preconditions,
        change: &mut C,
    ) -> Result<Value, Stop> {
        let full_key = self.full_key(key);
        let api = |e| Stop::Error(about.error(e));
        let mut basis = match self.cached_existing(key) {
            Some(existing) => Basis { existing: Some(existing), fresh: false },
            None => self.basis(key).await.map_err(api)?,
        };
        for _ in 0..MAX_ROUNDS {
            let old = match &basis.existing {
                Some(existing) => self.object(&existing.raw).map_err(Stop::Error)?,
                None => Value::Null,
            };
            // an object that would be made has no UID yet
            let missing = old.is_null() && !self.strategy.allow_create_on_update();
            let checked = if missing { Ok(()) } else { preconditions.check(&full_key, &old).map_err(api) };
            let changed = match checked {
                Ok(()) => change.change(&old).await,
                Err(stop) => Err(stop),
            };
            let new = match changed {
                Ok(new) => new,
                Err(stop) => match self.newer(key, &basis).await.map_err(api)? {
                    Some(newer) => {
                        basis = newer;
                        continue;
                    }
                    None => return Err(stop),
                },
            };
            let data = self.stored.encode(&new);
            if self.is_unchanged(&basis, &data) {
                match self.newer(key, &basis).await.map_err(api)? {
                    Some(newer) => basis = newer,
                    None => return Ok(old),
                }
                continue;
            }
            if cx.dry_run {
                return Ok(self.rehearsed(new));
            }
            let lease = self.lease(cx).await.map_err(api)?;
            let written = match self.etcd.update(&full_key, data.clone(), basis.revision(), lease).await {
                Err(StorageError::LeaseGone) => {
                    self.leases.forget(lease).await;
                    continue;
                }
                written => written.map_err(api)?,
            };
            match written {
                Written::Done(revision) => {
                    let raw = self.as_written(&full_key, &data, revision).map_err(api)?;
                    return self.object(&raw).map_err(Stop::Error);
                }
                Written::Stale(now) => {
                    let existing = now.map(|kv| self.existing(&kv)).transpose().map_err(api)?;
                    basis = Basis { existing, fresh: true };
                }
            }
        }
        Err(Stop::Error(about.stale()))
    }

    async fn basis(&self, key: &str) -> Result<Basis, StorageError> {
        Ok(Basis { existing: self.fetch(key).await?, fresh: true })
    }

    /// What is in etcd, if it may be newer than what a change started from, and is.
    async fn newer(&self, key: &str, basis: &Basis) -> Result<Option<Basis>, StorageError> {
        if basis.fresh {
            return Ok(None);
        }
        let now = self.basis(key).await?;
        Ok((now.revision() != basis.revision()).then_some(now))
    }

    fn is_unchanged(&self, basis: &Basis, data: &[u8]) -> bool {
        basis.existing.as_ref().is_some_and(|same| {
            self.stored.to_cached(data, same.revision.cast_unsigned()).is_ok_and(|bytes| bytes == same.raw)
        })
    }

    /// An object as it would be read back from storage, which knows no empty lists; its resourceVersion stays as it is.
    fn rehearsed(&self, object: Value) -> Value {
        if self.resource.encoding == crate::registry::resource::Encoding::Json {
            return object; // at rest, null and empty lists stand for themselves
        }
        let revision = object.path(&["metadata", "resourceVersion"]).clone();
        let read = self.stored.to_cached(&self.stored.encode(&object), 0).and_then(|raw| self.stored.to_object(&raw));
        let Ok(mut read) = read else { return object };
        match revision {
            Value::Null => drop(read.remove_path(&["metadata", "resourceVersion"])),
            revision => read.set_path(&["metadata", "resourceVersion"], revision),
        }
        read
    }
}

/// Sets metadata.resourceVersion.
fn with_revision(mut object: Value, revision: i64) -> Value {
    object.set_path(&["metadata", "resourceVersion"], revision.to_string().into());
    object
}

/// Why `guaranteed_update` stopped without writing.
#[derive(Debug)]
enum Stop {
    /// An error for the client.
    Error(ApiError),
    /// The object is to be deleted at once.
    DeleteNow,
    /// The object is being deleted already; nothing to change.
    AlreadyDeleting,
    /// The last finalizer went: the object (given) is to be deleted.
    Finalized(Box<Value>),
}

impl From<ApiError> for Stop {
    fn from(e: ApiError) -> Self {
        Self::Error(e)
    }
}

/// One change in a `guaranteed_update`; called again when somebody else was faster.
#[async_trait]
trait Change: Send {
    /// The new object for an old one (null if there is none).
    async fn change(&mut self, old: &Value) -> Result<Value, Stop>;
}

/// A change that only a function makes.
struct Modify<F> {
    change: F,
    absent: ApiError,
}

#[async_trait]
impl<F> Change for Modify<F>
where
    F: Fn(&mut Value) -> Result<(), ApiError> + Send + Sync,
{
    async fn change(&mut self, old: &Value) -> Result<Value, Stop> {
        if old.is_null() {
            return Err(self.absent.clone().into());
        }
        let mut object = old.clone();
        (self.change)(&mut object)?;
        Ok(object)
    }
}
