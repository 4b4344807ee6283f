//! What the scheduler believes about the cluster: nodes and the pods on them, including pods it just placed itself.
//! Reads go to a snapshot; nothing here does IO. upstream: pkg/scheduler/backend/cache

mod node_info;
mod order;
mod snapshot;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{Node, Pod};

pub use node_info::{NodeInfo, PortsInUse};
pub use snapshot::Snapshot;

/// Sizes for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheSize {
    /// Nodes.
    pub nodes: usize,
    /// Pods on nodes.
    pub pods: usize,
    /// Of these, placed but not confirmed.
    pub assumed: usize,
}

/// A pod could not be assumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pod {uid}({key}) is in the cache, so can't be assumed")]
pub struct AssumeError {
    uid: Arc<str>,
    key: String,
}

struct Placed {
    pod: Arc<Pod>,
    node: Arc<str>,
    assumed: bool,
}

struct Entry {
    info: Arc<NodeInfo>,
    /// False while only pods of an unknown (deleted, or not yet seen) node are known.
    present: bool,
}

/// Nodes and placed pods.
#[derive(Default)]
pub struct Cache {
    nodes: HashMap<Arc<str>, Entry>,
    placed: HashMap<Arc<str>, Placed>,
    /// Names of nodes that changed since the last snapshot.
    dirty: HashSet<Arc<str>>,
    /// The set of nodes or their zones changed since the last snapshot.
    reorder: bool,
    assumed: usize,
    /// Nodes per image name, for image locality.
    images: Arc<HashMap<Box<str>, u32>>,
}

impl Cache {
    /// Adds or replaces a node.
    pub fn set_node(&mut self, node: &Arc<Node>) -> Arc<NodeInfo> {
        let name: Arc<str> = node.name.as_str().into();
        let old = self.nodes.get(&name).filter(|e| e.present).map(|e| Arc::clone(&e.info.node));
        if old.as_ref().is_none_or(|old| old.images != node.images) {
            self.count_images(old.as_deref(), -1);
            self.count_images(Some(node), 1);
        }
        self.reorder |= old.is_none_or(|old| old.zone() != node.zone());
        let entry = self.nodes.entry(Arc::clone(&name)).or_insert_with(Entry::unknown);
        Arc::make_mut(&mut entry.info).node = Arc::clone(node);
        entry.present = true;
        let info = Arc::clone(&entry.info);
        self.dirty.insert(name);
        info
    }

    /// Removes a node; pods on it stay known until they are deleted.
    pub fn remove_node(&mut self, name: &str) {
        let Some(entry) = self.nodes.get_mut(name) else { return };
        let node = Arc::clone(&entry.info.node);
        entry.present = false;
        if entry.info.pods.is_empty() {
            self.nodes.remove(name);
        }
        self.count_images(Some(&node), -1);
        self.dirty.insert(name.into());
        self.reorder = true;
    }

    /// Places a pod on a node before the API server knows.
    ///
    /// # Errors
    /// [`AssumeError`] when the pod is placed already.
    pub fn assume(&mut self, pod: &Arc<Pod>, node: &str) -> Result<(), AssumeError> {
        if self.placed.contains_key(&pod.uid) {
            return Err(AssumeError { uid: Arc::clone(&pod.uid), key: pod.key.to_string() });
        }
        self.place(pod, node, true);
        Ok(())
    }

    /// Takes back an assumption; does nothing when the pod was confirmed or is unknown.
    pub fn forget(&mut self, uid: &str) -> bool {
        if !self.is_assumed(uid) {
            return false;
        }
        self.displace(uid);
        true
    }

    /// Whether the pod is placed but not confirmed.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.placed.get(uid).is_some_and(|p| p.assumed)
    }

    /// The node of an assumed pod.
    pub fn assumed_node(&self, uid: &str) -> Option<Arc<str>> {
        self.placed.get(uid).filter(|p| p.assumed).map(|p| Arc::clone(&p.node))
    }

    /// The API server shows the pod on `pod.node_name`: confirms an assumption, or adds or replaces the pod.
    pub fn set_pod(&mut self, pod: &Arc<Pod>) {
        if let Some(placed) = self.placed.get(&pod.uid)
            && *placed.node == *pod.node_name
            && Arc::ptr_eq(&placed.pod, pod)
            && !placed.assumed
        {
            return;
        }
        self.displace(&pod.uid);
        self.place(pod, &pod.node_name, false);
    }

    /// The pod is gone.
    pub fn remove_pod(&mut self, uid: &str) {
        self.displace(uid);
    }

    /// Sizes for metrics.
    pub fn size(&self) -> CacheSize {
        let nodes = self.nodes.values().filter(|e| e.present).count();
        CacheSize { nodes, pods: self.placed.len(), assumed: self.assumed }
    }

    /// Brings a snapshot up to date; costs as much as changed since it was last brought up to date.
    pub fn update_snapshot(&mut self, snapshot: &mut Snapshot) {
        let present = |name: &Arc<str>| self.nodes.get(name).filter(|e| e.present).map(|e| &e.info);
        if std::mem::take(&mut self.reorder) {
            let nodes = self.nodes.values().filter(|e| e.present).map(|e| &e.info);
            snapshot.rebuild(order::interleave_zones(nodes));
        } else {
            for info in self.dirty.iter().filter_map(present) {
                snapshot.replace(info);
            }
        }
        snapshot.set_images(&self.images);
        self.dirty.clear();
    }

    fn place(&mut self, pod: &Arc<Pod>, node: &str, assumed: bool) {
        let name: Arc<str> = self.nodes.get_key_value(node).map_or_else(|| node.into(), |(name, _)| Arc::clone(name));
        let entry = self.nodes.entry(Arc::clone(&name)).or_insert_with(Entry::unknown);
        Arc::make_mut(&mut entry.info).add_pod(Arc::clone(pod));
        self.dirty.insert(Arc::clone(&name));
        self.assumed += usize::from(assumed);
        self.placed.insert(Arc::clone(&pod.uid), Placed { pod: Arc::clone(pod), node: name, assumed });
    }

    fn displace(&mut self, uid: &str) {
        let Some(placed) = self.placed.remove(uid) else { return };
        self.assumed -= usize::from(placed.assumed);
        let Some(entry) = self.nodes.get_mut(&placed.node) else { return };
        Arc::make_mut(&mut entry.info).remove_pod(uid);
        if !entry.present && entry.info.pods.is_empty() {
            self.nodes.remove(&placed.node);
        }
        self.dirty.insert(placed.node);
    }

    fn count_images(&mut self, node: Option<&Node>, by: i32) {
        let images = Arc::make_mut(&mut self.images);
        for name in node.into_iter().flat_map(|n| n.images.keys()) {
            let count = images.entry(name.clone()).or_default();
            *count = count.saturating_add_signed(by);
            if *count == 0 {
                images.remove(name);
            }
        }
    }
}

impl Entry {
    fn unknown() -> Self {
        Self { info: Arc::new(NodeInfo::default()), present: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    fn names(cache: &mut Cache, snapshot: &mut Snapshot) -> Vec<(String, usize)> {
        cache.update_snapshot(snapshot);
        snapshot.nodes().iter().map(|n| (n.node.name.clone(), n.pods.len())).collect()
    }

    #[test]
    fn a_snapshot_does_not_change_under_its_reader() {
        let mut cache = Cache::default();
        let mut snapshot = Snapshot::default();
        cache.set_node(&Arc::new(node("a: {}")));
        cache.update_snapshot(&mut snapshot);
        let held = Arc::clone(&snapshot.nodes()[0]);
        let p = Arc::new(pod("name: p\nrequests: {cpu: 500m}"));
        cache.assume(&p, "a").unwrap();
        assert_eq!(names(&mut cache, &mut snapshot), [("a".to_owned(), 1)]);
        assert_eq!((held.pods.len(), held.requested.milli_cpu), (0, 0));
        assert_eq!(snapshot.nodes()[0].requested.milli_cpu, 500);
        assert!(cache.assume(&p, "a").is_err());
        assert!(cache.forget(&p.uid));
        assert_eq!(names(&mut cache, &mut snapshot), [("a".to_owned(), 0)]);
        assert_eq!(snapshot.nodes()[0].requested.milli_cpu, 0);
    }

    #[test]
    fn confirming_moves_a_pod_that_went_elsewhere() {
        let mut cache = Cache::default();
        let mut snapshot = Snapshot::default();
        cache.set_node(&Arc::new(node("a: {}")));
        cache.set_node(&Arc::new(node("b: {}")));
        let p = Arc::new(pod("name: p"));
        cache.assume(&p, "a").unwrap();
        let bound = Arc::new(pod("name: p\nnodeName: b"));
        cache.set_pod(&bound);
        let mut found = names(&mut cache, &mut snapshot);
        found.sort();
        assert_eq!(found, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
        assert!(!cache.is_assumed(&p.uid) && !cache.forget(&p.uid));
    }

    #[test]
    fn pods_of_an_unknown_node_count_when_it_appears() {
        let mut cache = Cache::default();
        let mut snapshot = Snapshot::default();
        cache.set_pod(&Arc::new(pod("name: p\nnodeName: a")));
        assert!(names(&mut cache, &mut snapshot).is_empty());
        cache.set_node(&Arc::new(node("a: {}")));
        assert_eq!(names(&mut cache, &mut snapshot), [("a".to_owned(), 1)]);
        cache.remove_node("a");
        assert!(names(&mut cache, &mut snapshot).is_empty());
    }

    #[test]
    fn counts_nodes_that_have_an_image() {
        let mut cache = Cache::default();
        let mut snapshot = Snapshot::default();
        cache.set_node(&Arc::new(node("a: {images: {'x:1': 5}}")));
        cache.set_node(&Arc::new(node("b: {images: {'x:1': 5}}")));
        cache.update_snapshot(&mut snapshot);
        assert_eq!(snapshot.nodes_with_image("x:1"), 2);
        cache.set_node(&Arc::new(node("b: {}")));
        cache.update_snapshot(&mut snapshot);
        assert_eq!(snapshot.nodes_with_image("x:1"), 1);
    }
}
