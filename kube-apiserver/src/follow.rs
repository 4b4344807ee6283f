//! Following a resource's watch cache from inside the server: every object once, then every change.
//!
//! For indexes that the server keeps in memory (RBAC, node authorizer). Never ends; a cache that is
//! refilled starts it over, and what is gone by then is reported as removed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::value::Value;

use crate::registry::store::Store;
use crate::storage::cache::{Entry, EventKind, Watcher};

/// Pause before an unfilled cache is looked at again.
const RETRY: Duration = Duration::from_millis(5);

/// Receives objects: namespace, name, and the object or `None` when it is gone.
pub trait Sink: Send + 'static {
    /// One object appeared, changed or went.
    fn apply(&mut self, namespace: &str, name: &str, object: Option<&Value>);

    /// Everything that was there at the start has been applied.
    fn synced(&mut self) {}
}

/// Feeds `sink` from the cache of `store`, for ever.
pub async fn run(store: Arc<Store>, mut sink: impl Sink) {
    let mut known: HashSet<Box<str>> = HashSet::new();
    loop {
        let Some((tree, _, watcher)) = store.cache.watch_from_now() else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let mut present = HashSet::new();
        for entry in tree.range("", "") {
            deliver(&store, entry, &mut sink);
            present.insert(entry.key.clone());
        }
        for gone in known.difference(&present) {
            let (namespace, name) = split(gone);
            sink.apply(namespace, name, None);
        }
        known = present;
        drop(tree);
        sink.synced();
        changes(&store, watcher, &mut known, &mut sink).await;
    }
}

/// Delivers changes until the watcher is dropped.
async fn changes(store: &Store, mut watcher: Watcher, known: &mut HashSet<Box<str>>, sink: &mut impl Sink) {
    loop {
        let Ok(events) = watcher.ready() else { return };
        if events.is_empty() {
            watcher.changed().await;
            continue;
        }
        for event in events {
            if event.kind == EventKind::Deleted {
                known.remove(&event.entry.key);
                sink.apply(event.entry.namespace(), event.entry.name(), None);
            } else {
                known.insert(event.entry.key.clone());
                deliver(store, &event.entry, sink);
            }
        }
    }
}

fn deliver(store: &Store, entry: &Entry, sink: &mut impl Sink) {
    match store.object(&entry.raw) {
        Ok(object) => sink.apply(entry.namespace(), entry.name(), Some(&object)),
        Err(error) => tracing::error!(key = &*entry.key, error = error.message(), "stored object cannot be read"),
    }
}

fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}
