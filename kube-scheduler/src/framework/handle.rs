//! What plugins get from the outside when they are built: cached objects and the means to act.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{
    Claim, CsiNode, DisruptionBudget, LabelMatcher, Labels, Namespace, PersistentVolume, Pod, StorageClass,
};

/// Cached objects, read without waiting.
pub trait Listers: Send + Sync {
    /// Labels of a namespace; `None` when it is unknown.
    fn namespace_labels(&self, name: &str) -> Option<Labels>;
    /// Namespaces that a selector matches.
    fn namespaces(&self) -> Vec<Arc<Namespace>>;
    /// The selector that the services and the controller of a pod imply together; `None` when there is none.
    fn default_selector(&self, pod: &Pod) -> Option<LabelMatcher>;
    /// All pod disruption budgets.
    fn disruption_budgets(&self) -> Vec<Arc<DisruptionBudget>>;
    /// A pod as the API server last showed it.
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>>;
    /// A claim.
    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<Claim>>;
    /// A volume.
    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>>;
    /// All volumes.
    fn volumes(&self) -> Vec<Arc<PersistentVolume>>;
    /// A storage class.
    fn class(&self, name: &str) -> Option<Arc<StorageClass>>;
    /// A CSINode.
    fn csi_node(&self, name: &str) -> Option<Arc<CsiNode>>;
}

/// Given to plugins when they are built.
#[derive(Clone)]
pub struct Handle {
    /// Cached objects.
    pub listers: Arc<dyn Listers>,
    /// The way to the API server; `None` in tests and benchmarks of pure code.
    pub actions: Option<Arc<dyn crate::actions::Actions>>,
}

/// Pods nominated for nodes but not there yet, as of one attempt.
#[derive(Debug, Clone, Default)]
pub struct Nominations {
    /// By node name.
    pub by_node: HashMap<Box<str>, Vec<Arc<Pod>>>,
}

impl Nominations {
    /// Pods nominated for a node.
    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }
}
