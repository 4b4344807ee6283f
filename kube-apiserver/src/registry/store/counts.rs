//! What a store did, and who watches it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

use component_base::metrics::histogram;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramVec};

use super::Store;
use crate::storage::StorageError;
use crate::storage::counts::Count;

static READ_WAIT: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram(
        "apiserver_watch_cache_read_wait_seconds",
        "Seconds that reads waited for a watch cache to be new enough.",
        &["group", "resource"],
        vec![0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0],
    )
});

/// What a store did.
#[derive(Default)]
pub struct Counts {
    /// Lists out of the cache.
    pub cache_lists: Count,
    /// Objects they looked at.
    pub cache_fetched: Count,
    /// Objects in them.
    pub cache_returned: Count,
    /// Lists out of etcd.
    pub etcd_lists: Count,
    /// Objects that were read for them.
    pub etcd_fetched: Count,
    /// Objects they looked at.
    pub etcd_evaluated: Count,
    /// Objects in them.
    pub etcd_returned: Count,
    /// Reads of the newest state out of the cache.
    pub consistent_reads: Count,
    /// Those that failed.
    pub consistent_reads_failed: Count,
    /// Objects that watchers were told at the start.
    pub initial_events: Count,
    read_wait: OnceLock<Histogram>,
}

impl Counts {
    /// Notes a list: the objects that were read from etcd for it (none: it is out of the cache), that it looked at, and
    /// that are in it.
    pub(super) fn listed(&self, read: Option<usize>, seen: usize, returned: usize) {
        match read {
            None => {
                self.cache_lists.one();
                self.cache_fetched.add(seen);
                self.cache_returned.add(returned);
            }
            Some(read) => {
                self.etcd_lists.one();
                self.etcd_fetched.add(read);
                self.etcd_evaluated.add(seen);
                self.etcd_returned.add(returned);
            }
        }
    }
}

impl Store {
    /// Waits until the cache has all that etcd had when this was called.
    ///
    /// # Errors
    /// If etcd cannot be reached or the cache does not catch up.
    pub(super) async fn wait_fresh(&self) -> Result<(), StorageError> {
        let begun = Instant::now();
        let fresh = self.feed.fresh().await;
        let count = if fresh.is_ok() { &self.counts.consistent_reads } else { &self.counts.consistent_reads_failed };
        count.one();
        self.waited_since(begun);
        fresh.map(|_| ())
    }

    /// Waits until the cache has a revision.
    ///
    /// # Errors
    /// If it does not come.
    pub(super) async fn wait_for(&self, revision: u64) -> Result<(), StorageError> {
        if self.feed.revision() >= revision {
            return Ok(());
        }
        let begun = Instant::now();
        let waited = self.feed.wait_for(revision).await;
        self.waited_since(begun);
        waited
    }

    fn waited_since(&self, begun: Instant) {
        let labels = [&*self.resource.group, &*self.resource.plural];
        let histogram = self.counts.read_wait.get_or_init(|| READ_WAIT.with_label_values(&labels));
        histogram.observe(begun.elapsed().as_secs_f64());
    }
}

type Scope = (Box<str>, Box<str>);

/// How many watch which scope: a namespace or all (empty), a name or all.
#[derive(Debug, Default)]
pub struct Watches(Mutex<HashMap<Scope, usize>>);

impl Watches {
    /// Another one watches, until what is returned is dropped.
    pub(super) fn begin(store: &Arc<Store>, namespace: &str, name: &str) -> Watching {
        let scope = (Box::from(namespace), Box::from(name));
        *store.watches.0.lock().entry(scope.clone()).or_default() += 1;
        Watching { store: Arc::clone(store), scope }
    }

    /// How many are told of a change of an object.
    pub fn interested(&self, namespace: &str, name: &str) -> usize {
        let known = self.0.lock();
        if known.is_empty() {
            return 0;
        }
        let namespaces = [Some(""), Some(namespace).filter(|namespace| !namespace.is_empty())];
        let names = [Some(""), Some(name).filter(|name| !name.is_empty())];
        let scopes = namespaces.into_iter().flatten().flat_map(|ns| names.into_iter().flatten().map(move |n| (ns, n)));
        scopes.filter_map(|(namespace, name)| known.get(&(namespace.into(), name.into()))).sum()
    }
}

/// Somebody watches.
pub(super) struct Watching {
    store: Arc<Store>,
    scope: Scope,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut known = self.store.watches.0.lock();
        if let Some(count) = known.get_mut(&self.scope) {
            *count -= 1;
            if *count == 0 {
                known.remove(&self.scope);
            }
        }
    }
}
