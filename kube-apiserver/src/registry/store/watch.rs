//! Watch: the state first where asked for, then events, seen through a selection.
//!
//! Encodes nothing: that is for whoever writes the events out.
//! upstream: storage/cacher/{cacher,cache_watcher}.go

use std::sync::Arc;

use apimachinery::status::ApiError;

use super::counts::{Watches, Watching};
use super::{Selection, Store};
use crate::registry::errors::About;
use crate::storage::{Entry, Event, EventKind, StorageError, WatchEnd, Watcher};

/// Room for so many events is kept from one time to the next.
const KEPT_EVENTS: usize = 8;

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Which objects.
    pub selection: Selection,
    /// Start revision, 0 if none was given or `0` was.
    pub revision: u64,
    /// The state comes first. With a revision: at least as new as that.
    pub initial_events: bool,
    /// The state must be the newest (no resourceVersion given).
    pub consistent: bool,
}

/// What a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectEventKind {
    /// The object is new to the selection.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone, from storage or from the selection.
    Deleted,
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct ObjectEvent {
    /// What happened.
    pub kind: ObjectEventKind,
    /// The object to show.
    pub entry: Arc<Entry>,
    /// Where its encoded forms are shared with other watchers, if they may be.
    pub shared: Option<Arc<Event>>,
}

/// A running watch.
pub struct ObjectWatch {
    store: Arc<Store>,
    selection: Selection,
    namespace: String,
    name: Option<String>,
    initial: std::vec::IntoIter<Arc<Entry>>,
    /// Revision of the state that comes first.
    state: u64,
    /// Events up to this revision are not shown.
    after: u64,
    watcher: Watcher,
    /// Events that were read; kept for its room, unless that is large.
    batch: Vec<Arc<Event>>,
    _watching: Option<Watching>,
}

impl Store {
    /// Starts a watch on a namespace (empty: all).
    ///
    /// # Errors
    /// 410 if the revision is too old, 504 if the state must be newer than there is. Upstream sends these as
    /// events of type ERROR.
    pub async fn watch(
        self: &Arc<Self>,
        about: About<'_>,
        namespace: &str,
        options: WatchOptions,
    ) -> Result<ObjectWatch, ApiError> {
        if options.initial_events && options.consistent {
            self.wait_fresh().await.map_err(|e| about.error(e))?;
        } else if options.initial_events {
            self.wait_for(options.revision).await.map_err(|e| about.error(e))?;
        }
        let field = &options.selection.field;
        let namespace = match namespace {
            _ if !self.resource.namespaced => String::new(),
            "" => field.exact("metadata.namespace").unwrap_or_default().to_owned(),
            given => given.to_owned(),
        };
        let name = field.exact("metadata.name").map(str::to_owned);
        let complete = self.feed().revision();
        let not_ready = || about.error(StorageError::NotReady);
        let (initial, state, after, watcher) = if options.initial_events {
            let (tree, newest, watcher) = self.cache.watch_from_now().ok_or_else(not_ready)?;
            let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            let all: Vec<_> = tree.range(&prefix, "").cloned().collect();
            (all, complete.max(newest), 0, watcher)
        } else if options.revision == 0 {
            let (_, newest, watcher) = self.cache.watch_from_now().ok_or_else(not_ready)?;
            (Vec::new(), complete.max(newest), 0, watcher)
        } else if self.feed().is_abandoned(options.revision) {
            return Err(expired());
        } else {
            let watcher = self.cache.watch_since(options.revision).map_err(too_old)?;
            (Vec::new(), options.revision, options.revision, watcher)
        };
        // Pods of one node: nobody but its kubelet is told, so it does not count.
        let everywhere = field.exact("spec.nodeName").is_none();
        let watching = everywhere.then(|| Watches::begin(self, &namespace, name.as_deref().unwrap_or_default()));
        Ok(ObjectWatch {
            _watching: watching,
            store: Arc::clone(self),
            selection: options.selection,
            namespace,
            name,
            initial: initial.into_iter(),
            state,
            after,
            watcher,
            batch: Vec::new(),
        })
    }
}

fn too_old(end: WatchEnd) -> ApiError {
    match end {
        WatchEnd::TooOld { wanted, oldest } => {
            ApiError::expired(format!("too old resource version: {wanted} ({oldest})"))
        }
        WatchEnd::Dropped | WatchEnd::Expired => expired(),
    }
}

/// 410 of a watch whose events are not known any more.
pub fn expired() -> ApiError {
    ApiError::expired("The resourceVersion for the provided watch is too old.")
}

impl ObjectWatch {
    /// The next object of the initial state.
    pub fn next_initial(&mut self) -> Option<ObjectEvent> {
        loop {
            let entry = self.initial.next()?;
            if self.in_scope(&entry) && self.store.selects(&self.selection, &entry) {
                self.store.counts.initial_events.one();
                return Some(ObjectEvent { kind: ObjectEventKind::Added, entry, shared: None });
            }
        }
    }

    /// Revision of the initial state.
    pub fn state_revision(&self) -> u64 {
        self.state
    }

    /// Adds events that are there already to `out`; the revision up to which that is all there was.
    ///
    /// # Errors
    /// If this watch fell behind or the cache was refilled; it is over.
    pub fn take_ready(&mut self, out: &mut Vec<ObjectEvent>) -> Result<u64, WatchEnd> {
        let complete = self.store.feed().revision();
        let mut batch = std::mem::take(&mut self.batch);
        let revision = loop {
            batch.clear();
            self.watcher.take_ready(&mut batch)?;
            let Some(last) = batch.last().map(|event| event.rv) else { break complete };
            out.extend(batch.iter().filter(|event| event.rv > self.after).filter_map(|event| self.seen(event)));
            if !out.is_empty() {
                break last;
            }
        };
        if batch.capacity() <= KEPT_EVENTS {
            batch.clear();
            self.batch = batch;
        }
        Ok(revision.max(self.state))
    }

    /// Waits for news.
    pub async fn changed(&mut self) {
        self.watcher.changed().await;
    }

    fn in_scope(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || entry.namespace() == self.namespace)
            && self.name.as_deref().is_none_or(|name| entry.name() == name)
    }

    /// The event as this watch sees it.
    fn seen(&self, event: &Arc<Event>) -> Option<ObjectEvent> {
        if !self.in_scope(&event.entry) {
            return None;
        }
        let everything = self.selection.is_empty();
        let takes = |entry: &Entry| everything || self.store.selects(&self.selection, entry);
        let is = event.kind != EventKind::Deleted && takes(&event.entry);
        let was = event.prev.as_ref().is_some_and(|p| takes(p));
        let shared = Some(Arc::clone(event));
        let entry = Arc::clone(&event.entry);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(ObjectEvent { kind: ObjectEventKind::Added, entry, shared }),
            (true, true) => Some(ObjectEvent { kind: ObjectEventKind::Modified, entry, shared }),
            (true, false) if event.kind == EventKind::Deleted => {
                Some(ObjectEvent { kind: ObjectEventKind::Deleted, entry, shared })
            }
            (true, false) => {
                let prev = event.prev.as_ref()?;
                let raw = self.store.cache.decoder().with_revision(&prev.raw, event.rv);
                let entry = Arc::new(Entry { key: prev.key.clone(), rv: event.rv, raw });
                Some(ObjectEvent { kind: ObjectEventKind::Deleted, entry, shared: None })
            }
        }
    }
}
