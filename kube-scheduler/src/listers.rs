//! Cached objects from informers. upstream: plugins/helper/spread.go (DefaultSelector)

use std::sync::Arc;

use component_base::informer::{Informers, Options, Reader};

use crate::framework::Listers;
use crate::model::{
    Claim, CsiNode, DisruptionBudget, LabelMatcher, Labels, Namespace, Node, PersistentVolume, Pod, ReplicaSet,
    ReplicationController, Service, StatefulSet, StorageClass,
};

/// All watches of the scheduler.
pub struct InformerListers {
    /// Pods that are not finished.
    pub pods: Reader<Pod>,
    /// Nodes.
    pub nodes: Reader<Node>,
    /// Claims.
    pub claims: Reader<Claim>,
    /// Volumes.
    pub volumes: Reader<PersistentVolume>,
    /// Storage classes.
    pub classes: Reader<StorageClass>,
    /// CSINodes.
    pub csi_nodes: Reader<CsiNode>,
    namespaces: Reader<Namespace>,
    services: Reader<Service>,
    controllers: Reader<ReplicationController>,
    replica_sets: Reader<ReplicaSet>,
    stateful_sets: Reader<StatefulSet>,
    budgets: Reader<DisruptionBudget>,
}

impl InformerListers {
    /// Starts the watches.
    pub fn start(informers: &Informers) -> Self {
        Self {
            pods: informers.reader_with(Options::fields("status.phase!=Succeeded,status.phase!=Failed")),
            nodes: informers.reader(),
            claims: informers.reader(),
            volumes: informers.reader(),
            classes: informers.reader(),
            csi_nodes: informers.reader(),
            namespaces: informers.reader(),
            services: informers.reader(),
            controllers: informers.reader(),
            replica_sets: informers.reader(),
            stateful_sets: informers.reader(),
            budgets: informers.reader(),
        }
    }

    fn controller_selector(&self, pod: &Pod) -> Option<LabelMatcher> {
        let owners = pod.metadata.owner_references.as_ref()?;
        let owner = owners.iter().find(|o| o.controller == Some(true))?;
        let (namespace, name) = (pod.namespace(), owner.name.as_str());
        match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("v1", "ReplicationController") => self.controllers.get(namespace, name)?.selector.clone(),
            ("apps/v1", "ReplicaSet") => self.replica_sets.get(namespace, name)?.selector.clone(),
            ("apps/v1", "StatefulSet") => self.stateful_sets.get(namespace, name)?.selector.clone(),
            _ => None,
        }
    }
}

impl Listers for InformerListers {
    fn namespace_labels(&self, name: &str) -> Option<Labels> {
        self.namespaces.get("", name).map(|n| n.metadata.labels.clone().unwrap_or_default())
    }
    fn namespaces(&self) -> Vec<Arc<Namespace>> {
        self.namespaces.list()
    }
    fn default_selector(&self, pod: &Pod) -> Option<LabelMatcher> {
        let mut selector = LabelMatcher::default();
        for service in self.services.list_ns(pod.namespace()) {
            if let Some(own) = service.selector.as_ref().filter(|s| !s.is_empty() && s.matches(pod.labels())) {
                selector.require_all(own);
            }
        }
        if let Some(own) = self.controller_selector(pod) {
            selector.require_all(&own);
        }
        Some(selector).filter(|s| !s.is_empty())
    }
    fn disruption_budgets(&self) -> Vec<Arc<DisruptionBudget>> {
        self.budgets.list()
    }
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.pods.get(namespace, name)
    }
    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<Claim>> {
        self.claims.get(namespace, name)
    }
    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.volumes.get("", name)
    }
    fn volumes(&self) -> Vec<Arc<PersistentVolume>> {
        self.volumes.list()
    }
    fn class(&self, name: &str) -> Option<Arc<StorageClass>> {
        self.classes.get("", name)
    }
    fn csi_node(&self, name: &str) -> Option<Arc<CsiNode>> {
        self.csi_nodes.get("", name)
    }
}
