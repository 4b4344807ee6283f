//! The order in which nodes are tried: round robin over zones, so that a cut-off search still spreads.
//! upstream: pkg/scheduler/backend/cache/node_tree.go

use std::collections::BTreeMap;
use std::sync::Arc;

use super::NodeInfo;

/// Takes one node of each zone in turn; zones and nodes are in the order of their names.
pub(super) fn interleave_zones<'a>(nodes: impl Iterator<Item = &'a Arc<NodeInfo>>) -> Vec<Arc<NodeInfo>> {
    let mut zones: BTreeMap<String, Vec<&Arc<NodeInfo>>> = BTreeMap::new();
    let mut count = 0;
    for info in nodes {
        zones.entry(info.node.zone()).or_default().push(info);
        count += 1;
    }
    for nodes in zones.values_mut() {
        nodes.sort_by(|a, b| a.node.name.cmp(&b.node.name));
    }
    let mut ordered = Vec::with_capacity(count);
    for turn in 0.. {
        if ordered.len() == count {
            break;
        }
        ordered.extend(zones.values().filter_map(|nodes| nodes.get(turn)).map(|info| Arc::clone(info)));
    }
    ordered
}
