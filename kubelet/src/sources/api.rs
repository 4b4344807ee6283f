//! Pods of this node from the API.
//!
//! upstream: pkg/kubelet/config/apiserver.go

use std::sync::Arc;

use component_base::Reader;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc::Sender;

use super::{PodSet, SourceName};
use crate::pod::view::PodView;

/// Tells the whole set whenever it changed. Mirror pods are left out: they stand for pods of another source.
pub async fn run(reader: Reader<Pod>, sets: Sender<PodSet>) {
    let mut events = reader.events();
    reader.synced().await;
    loop {
        let pods: Vec<Arc<Pod>> = reader.list().into_iter().filter(|pod| !pod.is_mirror()).collect();
        if sets.send(PodSet { source: SourceName::Api, pods }).await.is_err() {
            return;
        }
        if events.next().await.is_none() {
            return;
        }
        // Events that are here already are part of the same set.
        while events.try_next().is_some() {}
    }
}
