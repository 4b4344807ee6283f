//! The watch cache of one resource: every object as encoded bytes, and the recent events.
//!
//! No trees are kept. Reads take a snapshot (one pointer); watchers read events from a bounded ring by
//! position, so a slow watcher costs nothing and is ended when its position falls out of the ring.
//! upstream: staging/src/k8s.io/apiserver/pkg/storage/cacher

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::counts::Count;
use super::tree::Tree;

/// Events kept, at most.
const RING_EVENTS: usize = 10_000;
/// Bytes of objects that only the ring keeps alive, at most; the newest 256 events are kept regardless.
const RING_BYTES: usize = 8 << 20;
const RING_MIN: usize = 256;
/// Encoded forms are kept for this many of the newest events.
const ENCODED_EVENTS: usize = 128;
/// Events handed to a watcher at once.
const BATCH: usize = 64;

/// One object at one revision.
#[derive(Debug)]
pub struct Entry {
    /// Key below the resource's prefix: `NAMESPACE/NAME` or `NAME`.
    pub key: Box<str>,
    /// Revision of the last write.
    pub rv: u64,
    /// The object's bytes (protobuf message, or JSON where the resource is stored so) with metadata.resourceVersion set.
    pub raw: Bytes,
}

impl Entry {
    /// Namespace, empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Name.
    pub fn name(&self) -> &str {
        self.key.rsplit_once('/').map_or(&*self.key, |(_, name)| name)
    }

    #[cfg(test)]
    pub(crate) fn for_test(key: &str, rv: u64) -> Self {
        Self { key: key.into(), rv, raw: Bytes::new() }
    }
}

/// What happened to an object in storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is new.
    Added,
    /// It was there before.
    Modified,
    /// It is gone.
    Deleted,
}

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    /// Revision of the change.
    pub rv: u64,
    /// What happened.
    pub kind: EventKind,
    /// The object after the change; for a deletion its last state with the revision of the deletion.
    pub entry: Arc<Entry>,
    /// The object before the change.
    pub prev: Option<Arc<Entry>>,
    encoded: Mutex<Vec<(u64, Bytes)>>,
}

impl Event {
    /// The event in an output form, encoded by the first watcher that needs it and shared with the others.
    /// `form` tells forms apart: media type, version, transformation and event type.
    ///
    /// # Errors
    /// What `encode` returns.
    pub fn encoded<E>(&self, form: u64, encode: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        let mut forms = self.encoded.lock();
        if let Some((_, bytes)) = forms.iter().find(|(f, _)| *f == form) {
            return Ok(bytes.clone());
        }
        let bytes = encode()?;
        forms.push((form, bytes.clone()));
        Ok(bytes)
    }

    /// Bytes that only the ring keeps alive.
    fn weight(&self) -> usize {
        let gone = if self.kind == EventKind::Deleted { self.entry.raw.len() } else { 0 };
        256 + gone + self.prev.as_ref().map_or(0, |p| p.raw.len())
    }
}

/// Reads a stored value.
pub trait Decode: Send + Sync + 'static {
    /// The bytes to keep for a stored value: without envelope, with the resourceVersion set.
    ///
    /// # Errors
    /// If the value is not what this resource stores.
    fn decode(&self, value: Vec<u8>, rv: u64) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    /// The same object with another resourceVersion.
    fn with_revision(&self, raw: &Bytes, rv: u64) -> Bytes;
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// The start revision is older than the oldest event.
    TooOld {
        /// What the client asked for.
        wanted: u64,
        /// The oldest revision it could have asked for.
        oldest: u64,
    },
    /// The watcher fell behind; the client resumes from where it is.
    Dropped,
    /// The cache was refilled, and what happened in between is not known: the client lists again.
    Expired,
}

/// What happened in a cache.
#[derive(Debug, Default)]
pub struct Counts {
    /// Events that came from etcd.
    pub received: Count,
    /// Those that watchers can see.
    pub dispatched: Count,
    /// Objects that could not be decoded.
    pub decode_errors: Count,
    /// How often it was filled.
    pub fills: Count,
    /// How often it got room for more events.
    pub capacity_increases: Count,
    /// Watchers that fell behind.
    pub ended_watchers: Count,
}

struct Inner {
    tree: Tree,
    /// Bytes of all objects in the tree.
    bytes: usize,
    /// Revision of the last event or of the list that filled the tree.
    rv: u64,
    ring: VecDeque<Arc<Event>>,
    /// Sequence number of the ring's first event.
    first_seq: u64,
    ring_bytes: usize,
    /// All events after this revision are in the ring.
    complete_after: u64,
    /// Revision of the list that filled the tree; events up to it are in the tree already.
    filled_at: u64,
    /// Bumped when the tree is replaced.
    generation: u64,
    ready: bool,
}

/// The watch cache of one resource.
pub struct Cache {
    prefix: String,
    decode: Box<dyn Decode>,
    inner: RwLock<Inner>,
    /// Sequence number after the newest event, bumped with every change.
    tick: watch::Sender<u64>,
    /// What happened here.
    pub counts: Counts,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({})", self.prefix)
    }
}

impl Cache {
    /// An empty cache for the keys below `prefix`, which ends with a slash.
    pub fn new(prefix: String, decode: Box<dyn Decode>) -> Self {
        Self {
            prefix,
            decode,
            inner: RwLock::new(Inner {
                tree: Tree::default(),
                bytes: 0,
                rv: 0,
                ring: VecDeque::new(),
                first_seq: 0,
                ring_bytes: 0,
                complete_after: 0,
                filled_at: 0,
                generation: 0,
                ready: false,
            }),
            tick: watch::Sender::new(0),
            counts: Counts::default(),
        }
    }

    /// Full prefix of the keys, with the slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The decoder of stored values.
    pub fn decoder(&self) -> &dyn Decode {
        &*self.decode
    }

    /// True once filled.
    pub fn is_ready(&self) -> bool {
        self.inner.read().ready
    }

    /// All objects now, and the revision of the newest change among them.
    pub fn snapshot(&self) -> Option<(Tree, u64)> {
        let inner = self.inner.read();
        inner.ready.then(|| (inner.tree.clone(), inner.rv))
    }

    /// How many objects there are, and their bytes.
    pub fn stock(&self) -> (u64, u64) {
        let inner = self.inner.read();
        (inner.tree.len() as u64, inner.bytes as u64)
    }

    /// How many events there is room for now, and the revision of the newest change.
    pub fn extent(&self) -> (usize, u64) {
        let inner = self.inner.read();
        (inner.ring.capacity(), inner.rv)
    }

    /// The object of a key (relative to the prefix).
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.inner.read().tree.get(key).cloned()
    }

    /// All objects as of a revision that is not newer than the cache; `None` if the events since are gone.
    pub fn snapshot_at(&self, rv: u64) -> Option<Tree> {
        let (mut tree, undo) = {
            let inner = self.inner.read();
            if !inner.ready || rv < inner.complete_after {
                return None;
            }
            let from = inner.ring.partition_point(|e| e.rv <= rv);
            (inner.tree.clone(), inner.ring.range(from..).cloned().collect::<Vec<_>>())
        };
        for event in undo.iter().rev() {
            match &event.prev {
                Some(prev) => drop(tree.insert(Arc::clone(prev))),
                None => drop(tree.remove(&event.entry.key)),
            }
        }
        Some(tree)
    }

    /// Fills the cache with all objects as of a revision; watchers end.
    pub(super) fn replace(&self, entries: Vec<Arc<Entry>>, rv: u64) {
        self.counts.fills.one();
        let mut inner = self.inner.write();
        inner.bytes = entries.iter().map(|entry| entry.raw.len()).sum();
        inner.tree = Tree::from_sorted(entries);
        inner.rv = rv;
        inner.first_seq += inner.ring.len() as u64;
        inner.ring.clear();
        inner.ring_bytes = 0;
        inner.complete_after = rv;
        inner.filled_at = rv;
        inner.generation += 1;
        inner.ready = true;
        let seq = inner.first_seq;
        drop(inner);
        self.tick.send_replace(seq);
    }

    /// Forgets everything until the next `replace`; watchers end.
    pub(super) fn reset(&self) {
        self.replace(Vec::new(), 0);
        self.inner.write().ready = false;
    }

    /// Makes an entry of a stored value, or logs that it cannot be read.
    pub(super) fn entry(&self, key: &str, value: Vec<u8>, rv: u64) -> Option<Arc<Entry>> {
        match self.decode.decode(value, rv) {
            Ok(raw) => Some(Arc::new(Entry { key: key.into(), rv, raw })),
            Err(error) => {
                self.counts.decode_errors.one();
                tracing::error!(key = format!("{}{key}", self.prefix), %error, "cannot decode a stored object");
                None
            }
        }
    }

    /// Takes in a write (`value`) or a deletion (`None`). Watchers are told by `publish`.
    pub(super) fn apply(&self, key: &str, value: Option<Vec<u8>>, rv: u64) {
        self.counts.received.one();
        let entry = match value {
            Some(value) => match self.entry(key, value, rv) {
                Some(entry) => Some(entry),
                None => return,
            },
            None => None,
        };
        let mut inner = self.inner.write();
        if !inner.ready || rv <= inner.filled_at {
            return;
        }
        let event = match entry {
            Some(entry) => {
                let prev = inner.tree.insert(Arc::clone(&entry));
                inner.bytes = inner.bytes + entry.raw.len() - prev.as_ref().map_or(0, |prev| prev.raw.len());
                let kind = if prev.is_some() { EventKind::Modified } else { EventKind::Added };
                Event { rv, kind, entry, prev, encoded: Mutex::default() }
            }
            None => {
                let Some(prev) = inner.tree.remove(key) else { return };
                inner.bytes -= prev.raw.len();
                let entry =
                    Arc::new(Entry { key: prev.key.clone(), rv, raw: self.decode.with_revision(&prev.raw, rv) });
                Event { rv, kind: EventKind::Deleted, entry, prev: Some(prev), encoded: Mutex::default() }
            }
        };
        inner.rv = rv;
        let capacity = inner.ring.capacity();
        inner.push(Arc::new(event));
        if inner.ring.capacity() > capacity {
            self.counts.capacity_increases.one();
        }
        self.counts.dispatched.one();
    }

    /// Wakes the watchers, if there is something new for them.
    pub(super) fn publish(&self) {
        let inner = self.inner.read();
        let seq = inner.first_seq + inner.ring.len() as u64;
        drop(inner);
        self.tick.send_if_modified(|known| std::mem::replace(known, seq) != seq);
    }

    /// Watches from the revision `since` (exclusive).
    ///
    /// # Errors
    /// `TooOld` if events since then are gone.
    pub fn watch_since(self: &Arc<Self>, since: u64) -> Result<Watcher, WatchEnd> {
        let rx = self.tick.subscribe();
        let inner = self.inner.read();
        if since < inner.complete_after {
            return Err(WatchEnd::TooOld { wanted: since, oldest: inner.complete_after });
        }
        let next = inner.first_seq + inner.ring.partition_point(|e| e.rv <= since) as u64;
        Ok(Watcher { cache: Arc::clone(self), rx, next, generation: inner.generation })
    }

    /// All objects now, their revision, and a watch that continues from there.
    pub fn watch_from_now(self: &Arc<Self>) -> Option<(Tree, u64, Watcher)> {
        let rx = self.tick.subscribe();
        let inner = self.inner.read();
        if !inner.ready {
            return None;
        }
        let watcher = Watcher {
            cache: Arc::clone(self),
            rx,
            next: inner.first_seq + inner.ring.len() as u64,
            generation: inner.generation,
        };
        Some((inner.tree.clone(), inner.rv, watcher))
    }
}

impl Inner {
    fn push(&mut self, event: Arc<Event>) {
        self.ring_bytes += event.weight();
        self.ring.push_back(event);
        if let Some(at) = self.ring.len().checked_sub(ENCODED_EVENTS + 1) {
            *self.ring[at].encoded.lock() = Vec::new();
        }
        while self.ring.len() > RING_EVENTS || (self.ring_bytes > RING_BYTES && self.ring.len() > RING_MIN) {
            let Some(old) = self.ring.pop_front() else { break };
            self.ring_bytes -= old.weight();
            self.first_seq += 1;
            self.complete_after = old.rv;
        }
    }
}

/// A position in a cache's events.
#[derive(Debug)]
pub struct Watcher {
    cache: Arc<Cache>,
    rx: watch::Receiver<u64>,
    next: u64,
    generation: u64,
}

impl Watcher {
    /// Events that are there already; empty if there are none.
    ///
    /// # Errors
    /// As `take_ready`.
    pub fn ready(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        let mut events = Vec::new();
        self.take_ready(&mut events)?;
        Ok(events)
    }

    /// Adds events that are there already to `events`.
    ///
    /// # Errors
    /// `Dropped` if this watcher fell behind, `Expired` if the cache was refilled.
    pub fn take_ready(&mut self, events: &mut Vec<Arc<Event>>) -> Result<(), WatchEnd> {
        self.rx.borrow_and_update();
        let inner = self.cache.inner.read();
        if inner.generation != self.generation {
            return Err(WatchEnd::Expired);
        }
        if self.next < inner.first_seq {
            self.cache.counts.ended_watchers.one();
            return Err(WatchEnd::Dropped);
        }
        let at = usize::try_from(self.next - inner.first_seq).unwrap_or(usize::MAX);
        let end = inner.ring.len().min(at.saturating_add(BATCH));
        let batch = inner.ring.range(at.min(end)..end);
        self.next += batch.len() as u64;
        events.extend(batch.cloned());
        Ok(())
    }

    /// Waits until something happened after the last `ready`.
    pub async fn changed(&mut self) {
        if self.next < *self.rx.borrow() {
            return;
        }
        if self.rx.changed().await.is_err() {
            // the cache is gone with the server
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;
    impl Decode for Plain {
        fn decode(&self, value: Vec<u8>, _: u64) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
            Ok(value.into())
        }
        fn with_revision(&self, raw: &Bytes, _: u64) -> Bytes {
            raw.clone()
        }
    }

    fn cache() -> Arc<Cache> {
        let cache = Arc::new(Cache::new("/registry/x/".into(), Box::new(Plain)));
        cache.replace(Vec::new(), 10);
        cache
    }

    fn keys(tree: &Tree) -> Vec<(String, u64)> {
        tree.range("", "").map(|e| (e.key.to_string(), e.rv)).collect()
    }

    #[test]
    fn snapshots_go_back_in_time() {
        let cache = cache();
        cache.apply("a", Some(b"1".to_vec()), 11);
        cache.apply("b", Some(b"1".to_vec()), 12);
        cache.apply("a", Some(b"2".to_vec()), 13);
        cache.apply("b", None, 14);
        assert_eq!(cache.stock(), (1, 1));
        assert_eq!(keys(&cache.snapshot_at(14).unwrap()), [("a".into(), 13)]);
        assert_eq!(keys(&cache.snapshot_at(12).unwrap()), [("a".into(), 11), ("b".into(), 12)]);
        assert_eq!(keys(&cache.snapshot_at(10).unwrap()), []);
        assert!(cache.snapshot_at(9).is_none());
    }

    #[test]
    fn watchers_see_every_event_once_and_slow_ones_are_dropped() {
        let cache = cache();
        let mut fast = cache.watch_since(10).unwrap();
        let mut slow = cache.watch_since(10).unwrap();
        let mut seen = Vec::new();
        for i in 0..(RING_EVENTS as u64 + 10) {
            cache.apply("a", Some(Vec::new()), 11 + i);
            seen.extend(fast.ready().unwrap().iter().map(|e| e.rv));
        }
        assert_eq!(seen, (11..(11 + RING_EVENTS as u64 + 10)).collect::<Vec<_>>());
        assert_eq!(slow.ready().unwrap_err(), WatchEnd::Dropped);
        assert!(matches!(cache.watch_since(10).unwrap_err(), WatchEnd::TooOld { wanted: 10, oldest: 20 }));
        cache.replace(Vec::new(), 20_000);
        assert_eq!(fast.ready().unwrap_err(), WatchEnd::Expired);
        let mut last = cache.watch_since(20_000).unwrap();
        cache.reset();
        assert_eq!(last.ready().unwrap_err(), WatchEnd::Expired);
        assert!(cache.snapshot().is_none());
    }
}
