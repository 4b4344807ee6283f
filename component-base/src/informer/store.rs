//! The local copy of one kind's objects: lookups, indexes and the fan-out of changes.
//!
//! Only the watch task writes. Handlers run on that task, in order, after the store shows the change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{Object, ObjectKey, Subscription};

/// A change of one object.
#[derive(Debug)]
pub enum Event<K> {
    /// The object is new to this reader.
    Added(Arc<K>),
    /// The object changed.
    Updated {
        /// As it was.
        old: Arc<K>,
        /// As it is.
        new: Arc<K>,
    },
    /// The object is gone; its last known state.
    Deleted(Arc<K>),
}

impl<K> Clone for Event<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Added(object) => Self::Added(Arc::clone(object)),
            Self::Updated { old, new } => Self::Updated { old: Arc::clone(old), new: Arc::clone(new) },
            Self::Deleted(object) => Self::Deleted(Arc::clone(object)),
        }
    }
}

impl<K> Event<K> {
    /// The newest known state of the object.
    #[must_use]
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Added(object) | Self::Deleted(object) | Self::Updated { new: object, .. } => object,
        }
    }

    /// The state before, if there was one.
    #[must_use]
    pub fn old(&self) -> Option<&Arc<K>> {
        match self {
            Self::Added(_) => None,
            Self::Updated { old, .. } | Self::Deleted(old) => Some(old),
        }
    }

    /// The state after, unless the object is gone.
    #[must_use]
    pub fn new_state(&self) -> Option<&Arc<K>> {
        match self {
            Self::Added(new) | Self::Updated { new, .. } => Some(new),
            Self::Deleted(_) => None,
        }
    }
}

/// Returns false when it wants to be called no more.
type Handler<K> = Box<dyn Fn(&Event<K>) -> bool + Send + Sync>;
type Extract<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

struct Index<K> {
    name: &'static str,
    extract: Extract<K>,
    keys: HashMap<String, BTreeSet<ObjectKey>>,
}

struct Objects<K> {
    by_key: BTreeMap<ObjectKey, Arc<K>>,
    indexes: Vec<Index<K>>,
}

pub(super) struct Store<K> {
    pub(super) kind: &'static str,
    keep_managed_fields: bool,
    transform: Option<fn(&mut K)>,
    objects: RwLock<Objects<K>>,
    /// Also the lock that orders changes and registrations.
    handlers: Mutex<Vec<Handler<K>>>,
    /// Highest resource version delivered by the watch.
    seen: watch::Sender<u64>,
    synced: watch::Sender<bool>,
}

impl<K: Object> Store<K> {
    pub(super) fn new(kind: &'static str, keep_managed_fields: bool, transform: Option<fn(&mut K)>) -> Self {
        Self {
            kind,
            keep_managed_fields,
            transform,
            objects: RwLock::new(Objects { by_key: BTreeMap::new(), indexes: Vec::new() }),
            handlers: Mutex::default(),
            seen: watch::Sender::new(0),
            synced: watch::Sender::new(false),
        }
    }

    pub(super) fn synced_receiver(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    pub(super) fn prepare(&self, mut object: K) -> K {
        if !self.keep_managed_fields {
            object.meta_mut().managed_fields = None;
        }
        if let Some(transform) = self.transform {
            transform(&mut object);
        }
        object
    }

    /// Notes that the watch has delivered everything up to this resource version.
    pub(super) fn saw(&self, resource_version: &str) {
        if let Ok(version) = resource_version.parse::<u64>() {
            self.seen.send_if_modified(|seen| {
                let newer = version > *seen;
                *seen = (*seen).max(version);
                newer
            });
        }
    }

    pub(super) fn upsert(&self, object: K) {
        let object = Arc::new(object);
        let mut handlers = self.handlers.lock();
        let old = self.objects.write().insert(&object);
        self.saw(object.resource_version());
        dispatch_change(&mut handlers, old, Some(object));
    }

    pub(super) fn remove(&self, last: K) {
        let mut handlers = self.handlers.lock();
        let old = self.objects.write().remove(&ObjectKey::of(&last));
        self.saw(last.resource_version());
        if old.is_some() {
            dispatch_change(&mut handlers, Some(Arc::new(last)), None);
        }
    }

    /// Puts a full list in place of what is stored; only differences become events.
    pub(super) fn replace(&self, list: Vec<K>, resource_version: &str) {
        let mut handlers = self.handlers.lock();
        let mut fresh: BTreeSet<ObjectKey> = BTreeSet::new();
        for object in list {
            let object = Arc::new(object);
            fresh.insert(ObjectKey::of(&*object));
            let old = self.objects.write().insert(&object);
            dispatch_change(&mut handlers, old, Some(object));
        }
        let gone: Vec<ObjectKey> =
            self.objects.read().by_key.keys().filter(|key| !fresh.contains(*key)).cloned().collect();
        for key in gone {
            let old = self.objects.write().remove(&key);
            dispatch_change(&mut handlers, old, None);
        }
        self.saw(resource_version);
        drop(handlers);
        self.synced.send_replace(true);
    }
}

impl<K: Object> Objects<K> {
    fn insert(&mut self, object: &Arc<K>) -> Option<Arc<K>> {
        let key = ObjectKey::of(&**object);
        let old = self.by_key.insert(key.clone(), Arc::clone(object));
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.forget(&key, old);
            }
            index.note(&key, object);
        }
        old
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Arc<K>> {
        let old = self.by_key.remove(key)?;
        for index in &mut self.indexes {
            index.forget(key, &old);
        }
        Some(old)
    }
}

impl<K> Index<K> {
    fn note(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.extract)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn forget(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.extract)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

fn dispatch_change<K: Object>(handlers: &mut Vec<Handler<K>>, old: Option<Arc<K>>, new: Option<Arc<K>>) {
    let events: [Option<Event<K>>; 2] = match (old, new) {
        (None, Some(new)) => [Some(Event::Added(new)), None],
        (Some(old), None) => [Some(Event::Deleted(old)), None],
        // Deleted and created anew under the same name while the watch was down.
        (Some(old), Some(new)) if old.uid() != new.uid() => [Some(Event::Deleted(old)), Some(Event::Added(new))],
        (Some(old), Some(new)) if old.resource_version() == new.resource_version() => return,
        (Some(old), Some(new)) => [Some(Event::Updated { old, new }), None],
        (None, None) => return,
    };
    for event in events.into_iter().flatten() {
        handlers.retain(|handler| handler(&event));
    }
}

/// A view of one kind's objects, kept current by a watch. Clones share it.
pub struct Reader<K> {
    store: Arc<Store<K>>,
}

impl<K> Clone for Reader<K> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store) }
    }
}

impl<K: Object> Reader<K> {
    pub(super) fn new(store: Arc<Store<K>>) -> Self {
        Self { store }
    }

    /// A reader that holds exactly these objects and is synced: the neighbour in unit tests.
    #[must_use]
    pub fn fixed(objects: Vec<K>) -> Self {
        let store = Store::new("fixed", true, None);
        store.replace(objects, "0");
        Self::new(Arc::new(store))
    }

    /// One object; an empty namespace for cluster-scoped kinds.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get_key(&ObjectKey::new(namespace, name))
    }

    /// One object by its key.
    #[must_use]
    pub fn get_key(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.store.objects.read().by_key.get(key).cloned()
    }

    /// All objects, ordered by namespace and name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        self.store.objects.read().by_key.values().cloned().collect()
    }

    /// All objects of a namespace, ordered by name.
    #[must_use]
    pub fn list_ns(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.store.objects.read();
        let from = ObjectKey::new(namespace, "");
        objects
            .by_key
            .range(from..)
            .take_while(|(key, _)| &*key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.objects.read().by_key.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an index: objects by the values that `extract` returns. An index of that name that exists already is kept.
    pub fn add_index(&self, name: &'static str, extract: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) {
        let mut objects = self.store.objects.write();
        if objects.indexes.iter().any(|index| index.name == name) {
            return;
        }
        let mut index = Index { name, extract: Box::new(extract), keys: HashMap::new() };
        for (key, object) in &objects.by_key {
            index.note(key, object);
        }
        objects.indexes.push(index);
    }

    /// Objects that an index holds under a value; none if there is no such index.
    #[must_use]
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let objects = self.store.objects.read();
        let Some(keys) =
            objects.indexes.iter().find(|index| index.name == name).and_then(|index| index.keys.get(value))
        else {
            return Vec::new();
        };
        keys.iter().filter_map(|key| objects.by_key.get(key).cloned()).collect()
    }

    /// Calls `handler` for every change, on the watch task and in order; at once for every object already known.
    /// It must be quick, may read this store and must not register handlers.
    pub fn on_event(&self, handler: impl Fn(&Event<K>) + Send + Sync + 'static) {
        self.on_event_while(move |event| {
            handler(event);
            true
        });
    }

    pub(super) fn on_event_while(&self, handler: impl Fn(&Event<K>) -> bool + Send + Sync + 'static) {
        let mut handlers = self.store.handlers.lock();
        for object in self.list() {
            if !handler(&Event::Added(object)) {
                return;
            }
        }
        handlers.push(Box::new(handler));
    }

    /// A stream of changes that starts with everything known. A slow reader loses no object: changes of one object that
    /// it has not read yet are merged, so memory is bounded by the number of objects.
    #[must_use]
    pub fn events(&self) -> Subscription<K> {
        Subscription::new(self)
    }

    /// Whether the first full list has arrived.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.store.synced.borrow()
    }

    /// Waits for the first full list.
    pub async fn synced(&self) {
        let mut synced = self.store.synced.subscribe();
        // The sender lives in the store that we hold, so this cannot fail.
        let _ = synced.wait_for(|done| *done).await;
    }

    /// Whether the watch has delivered everything up to this resource version (of an object of this kind).
    /// A version that is not a number counts as seen.
    #[must_use]
    pub fn has_seen(&self, resource_version: &str) -> bool {
        resource_version.parse::<u64>().map_or(true, |version| *self.store.seen.borrow() >= version)
    }

    /// Waits for [`Reader::has_seen`]; false if the time ran out.
    pub async fn wait_seen(&self, resource_version: &str, limit: Duration) -> bool {
        let Ok(version) = resource_version.parse::<u64>() else { return true };
        let mut seen = self.store.seen.subscribe();
        tokio::time::timeout(limit, seen.wait_for(|seen| *seen >= version)).await.is_ok()
    }

    /// The kind's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.store.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn map(namespace: &str, name: &str, uid: &str, version: &str, label: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.namespace = Some(namespace.into());
        map.metadata.name = Some(name.into());
        map.metadata.uid = Some(uid.into());
        map.metadata.resource_version = Some(version.into());
        map.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
        map
    }

    fn store() -> (Arc<Store<ConfigMap>>, Reader<ConfigMap>) {
        let store = Arc::new(Store::new("ConfigMap", false, None));
        (Arc::clone(&store), Reader::new(store))
    }

    fn label(map: &ConfigMap) -> Vec<String> {
        map.label("l").map(str::to_owned).into_iter().collect()
    }

    fn describe(event: &Event<ConfigMap>) -> String {
        match event {
            Event::Added(new) => format!("+{}@{}", new.name(), new.resource_version()),
            Event::Updated { old, new } => {
                format!("~{}@{}>{}", new.name(), old.resource_version(), new.resource_version())
            }
            Event::Deleted(old) => format!("-{}@{}", old.name(), old.resource_version()),
        }
    }

    #[test]
    fn indexes_and_namespaces_follow_changes() {
        let (store, reader) = store();
        store.replace(vec![map("a", "x", "1", "1", "red"), map("b", "y", "2", "2", "red")], "5");
        reader.add_index("label", label);
        assert_eq!(reader.by_index("label", "red").len(), 2);
        store.upsert(map("a", "x", "1", "6", "blue"));
        assert_eq!(reader.by_index("label", "red").len(), 1);
        assert_eq!(reader.by_index("label", "blue")[0].name(), "x");
        assert_eq!(reader.list_ns("a").len(), 1);
        assert_eq!(reader.list_ns("").len(), 0);
        store.remove(map("a", "x", "1", "7", "blue"));
        assert!(reader.by_index("label", "blue").is_empty());
        assert!(reader.has_seen("7") && !reader.has_seen("8"));
    }

    #[tokio::test]
    async fn a_slow_subscriber_loses_nothing() {
        let (store, reader) = store();
        let mut events = reader.events();
        store.replace(vec![map("a", "x", "1", "1", ""), map("a", "y", "2", "2", "")], "2");
        store.upsert(map("a", "x", "1", "3", ""));
        store.upsert(map("a", "z", "3", "4", ""));
        store.remove(map("a", "z", "3", "5", ""));
        assert_eq!(describe(&events.next().await.expect("event")), "+x@3");
        assert_eq!(describe(&events.next().await.expect("event")), "+y@2");
        store.upsert(map("a", "x", "1", "6", ""));
        store.upsert(map("a", "x", "1", "7", ""));
        // A new object of the same name while nobody looked.
        store.remove(map("a", "y", "2", "8", ""));
        store.upsert(map("a", "y", "9", "9", ""));
        assert_eq!(describe(&events.next().await.expect("event")), "~x@3>7");
        assert_eq!(describe(&events.next().await.expect("event")), "-y@8");
        assert_eq!(describe(&events.next().await.expect("event")), "+y@9");
    }

    #[test]
    fn a_relist_reports_only_differences() {
        let (store, reader) = store();
        store.replace(vec![map("a", "x", "1", "1", ""), map("a", "y", "2", "2", "")], "2");
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        reader.on_event(move |event| sink.lock().push(describe(event)));
        store.replace(vec![map("a", "x", "1", "1", ""), map("a", "z", "3", "9", "")], "9");
        assert_eq!(*log.lock(), ["+x@1", "+y@2", "+z@9", "-y@2"]);
    }
}
