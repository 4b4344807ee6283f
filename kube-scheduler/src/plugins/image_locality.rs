//! ImageLocality: prefers nodes that have the pod's images already, weighted by size and by how widespread an image is.
//! upstream: plugins/imagelocality/image_locality.go

use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::framework::{CycleState, Extensions, MAX_NODE_SCORE, Plugin, PreScore, PreScoreOutcome, Rejection, Score};
use crate::model::Pod;

pub(super) const NAME: &str = "ImageLocality";

const MEBI: i64 = 1024 * 1024;
const MIN_THRESHOLD: i64 = 23 * MEBI;
const MAX_CONTAINER_THRESHOLD: i64 = 1000 * MEBI;

pub(super) struct ImageLocality;

/// On how many nodes each image of the pod is, and how many nodes there are.
#[derive(Clone)]
struct Spread {
    nodes_with: Vec<u32>,
    nodes: usize,
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_score = Some(self.clone());
        extensions.score = Some(self);
    }
}

impl PreScore for ImageLocality {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        _feasible: &[Arc<NodeInfo>],
        all: &Snapshot,
    ) -> Result<PreScoreOutcome, Rejection> {
        let nodes_with = pod.images.iter().map(|image| all.nodes_with_image(image)).collect();
        state.insert(Spread { nodes_with, nodes: all.nodes().len() });
        Ok(PreScoreOutcome::Score)
    }
}

impl Score for ImageLocality {
    fn name(&self) -> &'static str {
        NAME
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the score is defined in floating point"
    )]
    fn score(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection> {
        let spread = state.get::<Spread>().ok_or_else(|| Rejection::error("no state from PreScore"))?;
        let sum: i64 = pod
            .images
            .iter()
            .zip(&spread.nodes_with)
            .filter_map(|(image, nodes)| node.node.images.get(image).map(|found| (found.size, nodes)))
            .map(|(size, nodes)| (size as f64 * (f64::from(*nodes) / spread.nodes as f64)) as i64)
            .sum();
        let max = (MAX_CONTAINER_THRESHOLD * i64::from(pod.containers)).max(MIN_THRESHOLD + 1);
        Ok(MAX_NODE_SCORE * (sum.clamp(MIN_THRESHOLD, max) - MIN_THRESHOLD) / (max - MIN_THRESHOLD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node_info, pod, snapshot};

    #[test]
    fn scores_like_upstream() {
        // upstream's example: images of 40 MB and 250 MB, each on one of two nodes.
        let nodes = [
            node_info("a: {images: {'gcr.io/40:latest': 41943040, 'gcr.io/300:latest': 314572800}}", &[]),
            node_info("b: {images: {'gcr.io/250:latest': 262144000}}", &[]),
        ];
        let p = pod("containers: [{name: a, image: gcr.io/40}, {name: b, image: gcr.io/250}]");
        let mut state = CycleState::default();
        ImageLocality.pre_score(&mut state, &p, &nodes, &snapshot(&nodes)).unwrap();
        let scores: Vec<_> = nodes.iter().map(|n| ImageLocality.score(&state, &p, n).unwrap()).collect();
        assert_eq!(scores, [0, 5]);
    }
}
