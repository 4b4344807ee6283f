//! Pods that are expected on a node soon, because room is being made for them. upstream: backend/queue/nominator.go

use std::collections::HashMap;
use std::sync::Arc;

use crate::framework::Nominations;
use crate::model::Pod;

/// Which node a pod is nominated for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nominate {
    /// What the pod's status says.
    AsStated,
    /// This node, whatever the status says.
    Node(Arc<str>),
    /// None, whatever the status says.
    Nothing,
}

/// Nominated pods by node.
#[derive(Default)]
pub struct Nominator {
    nominations: Nominations,
    nodes: HashMap<Arc<str>, Box<str>>,
}

impl Nominator {
    /// Nominates a pod, or takes its nomination away.
    pub fn add(&mut self, pod: &Arc<Pod>, nominate: Nominate) {
        self.delete(&pod.uid);
        let node: Box<str> = match nominate {
            Nominate::AsStated => pod.nominated_node.clone(),
            Nominate::Node(node) => (*node).into(),
            Nominate::Nothing => return,
        };
        if node.is_empty() {
            return;
        }
        self.nodes.insert(Arc::clone(&pod.uid), node.clone());
        self.nominations.by_node.entry(node).or_default().push(Arc::clone(pod));
    }

    /// A nominated pod changed. A nomination known only here survives an update that does not speak about nominations.
    pub fn update(&mut self, old: &Pod, new: &Arc<Pod>) {
        let silent = old.nominated_node.is_empty() && new.nominated_node.is_empty();
        let known = self.nodes.get(&old.uid).filter(|_| silent).map(|node| Nominate::Node((**node).into()));
        self.delete(&old.uid);
        self.add(new, known.unwrap_or(Nominate::AsStated));
    }

    /// The pod is no longer nominated.
    pub fn delete(&mut self, uid: &str) {
        let Some(node) = self.nodes.remove(uid) else { return };
        if let Some(pods) = self.nominations.by_node.get_mut(&node) {
            pods.retain(|pod| *pod.uid != *uid);
            if pods.is_empty() {
                self.nominations.by_node.remove(&node);
            }
        }
    }

    /// The nominations now.
    pub fn snapshot(&self) -> Nominations {
        self.nominations.clone()
    }
}
