//! The nodes as one scheduling attempt sees them. upstream: pkg/scheduler/backend/cache/snapshot.go

use std::collections::HashMap;
use std::sync::Arc;

use super::NodeInfo;

/// Nodes in search order. Holding it never blocks the cache: changed nodes are copied on write.
#[derive(Default, Clone)]
pub struct Snapshot {
    nodes: Vec<Arc<NodeInfo>>,
    positions: HashMap<String, usize>,
    images: Arc<HashMap<Box<str>, u32>>,
    with_affinity: usize,
    with_required_anti_affinity: usize,
}

impl Snapshot {
    /// A snapshot of exactly these nodes.
    pub fn of(nodes: Vec<Arc<NodeInfo>>) -> Self {
        let mut snapshot = Self::default();
        let mut images: HashMap<Box<str>, u32> = HashMap::new();
        for name in nodes.iter().flat_map(|n| n.node.images.keys()) {
            *images.entry(name.clone()).or_default() += 1;
        }
        snapshot.images = Arc::new(images);
        snapshot.rebuild(nodes);
        snapshot
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Arc<NodeInfo>] {
        &self.nodes
    }

    /// A node by name.
    pub fn get(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.positions.get(name).map(|position| &self.nodes[*position])
    }

    /// Nodes with pods that have (anti-)affinity terms.
    pub fn with_affinity(&self) -> impl Iterator<Item = &Arc<NodeInfo>> {
        let any = self.with_affinity > 0;
        self.nodes.iter().filter(move |n| any && n.with_affinity > 0)
    }

    /// Nodes with pods that have required anti-affinity terms.
    pub fn with_required_anti_affinity(&self) -> impl Iterator<Item = &Arc<NodeInfo>> {
        let any = self.with_required_anti_affinity > 0;
        self.nodes.iter().take(if any { usize::MAX } else { 0 }).filter(|n| n.with_required_anti_affinity > 0)
    }

    /// On how many nodes an image is.
    pub fn nodes_with_image(&self, name: &str) -> u32 {
        self.images.get(name).copied().unwrap_or(0)
    }

    pub(super) fn rebuild(&mut self, nodes: Vec<Arc<NodeInfo>>) {
        self.positions = nodes.iter().enumerate().map(|(position, info)| (info.node.name.clone(), position)).collect();
        self.with_affinity = nodes.iter().filter(|n| n.with_affinity > 0).count();
        self.with_required_anti_affinity = nodes.iter().filter(|n| n.with_required_anti_affinity > 0).count();
        self.nodes = nodes;
    }

    pub(super) fn replace(&mut self, info: &Arc<NodeInfo>) {
        let Some(position) = self.positions.get(info.node.name.as_str()) else { return };
        let old = std::mem::replace(&mut self.nodes[*position], Arc::clone(info));
        let moved = |count: usize, old: u32, new: u32| count + usize::from(new > 0) - usize::from(old > 0);
        self.with_affinity = moved(self.with_affinity, old.with_affinity, info.with_affinity);
        self.with_required_anti_affinity =
            moved(self.with_required_anti_affinity, old.with_required_anti_affinity, info.with_required_anti_affinity);
    }

    pub(super) fn set_images(&mut self, images: &Arc<HashMap<Box<str>, u32>>) {
        self.images = Arc::clone(images);
    }
}
