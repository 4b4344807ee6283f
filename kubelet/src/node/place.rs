//! What the API says about the node: the labels and taints that decide which pods it may run.
//!
//! They are followed; and read at once before a pod is refused because of them, since the scheduler may have seen a change
//! sooner than this kubelet.
//!
//! upstream: pkg/kubelet/kubelet_nodecache.go

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Node, Taint};
use parking_lot::Mutex;

/// A pod does not wait longer than this for the API.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the node from the API; `None` when it cannot be read.
pub type ReadNode = Box<dyn Fn() -> BoxFuture<'static, Option<Node>> + Send + Sync>;

/// Labels and taints of the node.
#[derive(Default)]
pub struct NodePlace {
    known: Mutex<Known>,
    read: OnceLock<ReadNode>,
}

#[derive(Default)]
struct Known {
    version: u64,
    labels: Option<BTreeMap<String, String>>,
    taints: Vec<Taint>,
}

impl NodePlace {
    /// How the node is read. The first call counts.
    pub fn set_reader(&self, read: ReadNode) {
        let _first_counts = self.read.set(read);
    }

    /// Takes over what `node` says, unless something newer is known.
    pub fn tell(&self, node: &Node) {
        let version = node.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0);
        let mut known = self.known.lock();
        if version < known.version {
            return;
        }
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        *known = Known { version, labels: Some(node.metadata.labels.clone().unwrap_or_default()), taints };
    }

    /// Reads the node now. Where that fails, what is known goes on to hold.
    pub async fn refresh(&self) {
        let Some(read) = self.read.get() else { return };
        if let Ok(Some(node)) = tokio::time::timeout(READ_TIMEOUT, read()).await {
            self.tell(&node);
        }
    }

    /// Labels, `None` until they are known, and taints.
    pub fn get(&self) -> (Option<BTreeMap<String, String>>, Vec<Taint>) {
        let known = self.known.lock();
        (known.labels.clone(), known.taints.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(version: &str, label: &str) -> Node {
        let mut node = Node::default();
        node.metadata.resource_version = Some(version.to_owned());
        node.metadata.labels = Some([("disk".to_owned(), label.to_owned())].into());
        node
    }

    #[tokio::test]
    async fn the_newest_holds_wherever_it_came_from() {
        let place = NodePlace::default();
        let label = || place.get().0.map(|labels| labels["disk"].clone());
        place.refresh().await;
        assert_eq!(label(), None);
        place.tell(&node("9", "ssd"));
        place.set_reader(Box::new(|| Box::pin(async { Some(node("10", "hdd")) })));
        place.refresh().await;
        assert_eq!(label().as_deref(), Some("hdd"));
        place.tell(&node("9", "ssd"));
        assert_eq!(label().as_deref(), Some("hdd"));
    }
}
