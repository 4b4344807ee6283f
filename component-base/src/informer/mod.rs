//! Informers: one shared watch per kind and daemon, a local store with indexes, and change events.
//!
//! Reads return `Arc`s of what the watch delivered; nothing is copied per reader. managedFields are stripped unless asked
//! for. An informer never writes to the API. Upstream: client-go/tools/cache (reflector, shared informer).

mod key;
mod object;
mod store;
mod subscription;
mod watch;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use key::{ObjectKey, ParseKeyError};
pub use object::{Object, Partial, PartialOwner, collection_path};
pub use store::{Event, Reader};
pub use subscription::Subscription;

use crate::shutdown::Shutdown;
use store::Store;
use watch::{Accept, Source};

const OBJECTS: Accept = Accept { watch: "application/json", list: "application/json" };
const METADATA: Accept = Accept {
    watch: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    list: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
};

/// What an informer watches and what it keeps.
pub struct Options<K> {
    /// Only this namespace; all namespaces if None.
    pub namespace: Option<String>,
    /// Field selector, empty for none.
    pub field_selector: String,
    /// Label selector, empty for none.
    pub label_selector: String,
    /// Keep `metadata.managedFields` (they are a third of an object's bytes).
    pub keep_managed_fields: bool,
    /// Drops what the daemon never reads, before the object is stored.
    pub transform: Option<fn(&mut K)>,
}

impl<K> Default for Options<K> {
    fn default() -> Self {
        Self {
            namespace: None,
            field_selector: String::new(),
            label_selector: String::new(),
            keep_managed_fields: false,
            transform: None,
        }
    }
}

impl<K> Options<K> {
    /// Everything in one namespace.
    #[must_use]
    pub fn in_namespace(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::default() }
    }

    /// Objects whose fields match, for example `spec.nodeName=n1`.
    #[must_use]
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { field_selector: selector.into(), ..Self::default() }
    }

    /// Objects whose labels match.
    #[must_use]
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { label_selector: selector.into(), ..Self::default() }
    }
}

/// The hub: hands out one shared [`Reader`] per kind and selector, starting its watch on first use. Clones share the hub.
#[derive(Clone)]
pub struct Informers {
    hub: Arc<Hub>,
}

struct Hub {
    client: kube::Client,
    shutdown: Shutdown,
    readers: Mutex<HashMap<(TypeId, String), Entry>>,
}

struct Entry {
    reader: Box<dyn Any + Send + Sync>,
    synced: tokio::sync::watch::Receiver<bool>,
    stop: Shutdown,
}

impl Informers {
    /// A hub that watches through `client` until `shutdown`.
    #[must_use]
    pub fn new(client: kube::Client, shutdown: Shutdown) -> Self {
        Self { hub: Arc::new(Hub { client, shutdown, readers: Mutex::default() }) }
    }

    /// The client that the hub watches with.
    #[must_use]
    pub fn client(&self) -> &kube::Client {
        &self.hub.client
    }

    /// The shared reader of all objects of a kind.
    #[must_use]
    pub fn reader<K>(&self) -> Reader<K>
    where
        K: Object + k8s_openapi::Resource,
    {
        self.reader_with(Options::default())
    }

    /// The shared reader of the objects of a kind that the options select. Two calls with equal selectors share a watch;
    /// the transform of the first call counts.
    #[must_use]
    pub fn reader_with<K>(&self, options: Options<K>) -> Reader<K>
    where
        K: Object + k8s_openapi::Resource,
    {
        let path = collection_path(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT, options.namespace.as_deref());
        self.start(path, OBJECTS, K::KIND, options)
    }

    /// The shared reader of the metadata of the resource at a collection path such as `/apis/apps/v1/deployments`. Labels
    /// and annotations are not kept: it is made for watching every resource, for names and owners.
    #[must_use]
    pub fn metadata_reader(&self, path: &str) -> Reader<Partial> {
        let options = Options { transform: Some(Partial::forget_labels), ..Options::default() };
        self.start(path.to_owned(), METADATA, "PartialObjectMetadata", options)
    }

    /// Ends the metadata watch of a collection path, for a resource that is served no longer.
    pub fn stop_metadata_reader(&self, path: &str) {
        let key = (TypeId::of::<Partial>(), watch_key::<Partial>(path, &Options::default()));
        if let Some(entry) = self.hub.readers.lock().remove(&key) {
            entry.stop.trigger();
        }
    }

    /// Waits until every informer started so far has its first full list.
    pub async fn synced(&self) {
        let all: Vec<_> = self.hub.readers.lock().values().map(|entry| entry.synced.clone()).collect();
        for mut synced in all {
            // An error means that the informer was stopped: there is nothing to wait for.
            let _ = synced.wait_for(|done| *done).await;
        }
    }

    /// As [`Informers::synced`], giving up after a time; tells whether all are synced.
    pub async fn synced_within(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.synced()).await.is_ok()
    }

    fn start<K: Object>(&self, path: String, accept: Accept, kind: &'static str, options: Options<K>) -> Reader<K> {
        let key = (TypeId::of::<K>(), watch_key(&path, &options));
        let mut readers = self.hub.readers.lock();
        if let Some(reader) = readers.get(&key).and_then(|entry| entry.reader.downcast_ref::<Reader<K>>()) {
            return reader.clone();
        }
        let stop = self.hub.shutdown.child();
        let store = Arc::new(Store::new(kind, options.keep_managed_fields, options.transform));
        let source = Source {
            client: self.hub.client.clone(),
            path,
            accept,
            kind,
            field_selector: options.field_selector,
            label_selector: options.label_selector,
        };
        let reader = Reader::new(Arc::clone(&store));
        readers.insert(
            key,
            Entry { reader: Box::new(reader.clone()), synced: store.synced_receiver(), stop: stop.clone() },
        );
        crate::task::spawn("informer", watch::run(source, store, stop));
        reader
    }
}

fn watch_key<K>(path: &str, options: &Options<K>) -> String {
    format!("{path}?{}&{}&{}", options.field_selector, options.label_selector, options.keep_managed_fields)
}
