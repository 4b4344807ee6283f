//! daemonset-controller: one pod on every node that fits (upstream: pkg/controller/daemon).

mod placement;
mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PostParams};

use super::StartError;
use crate::context::{Context, Shared};
use crate::history::{self, HASH_LABEL, History, Keeper};
use crate::pods::{self, control::PodControl};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use crate::{api, events, selector};
use plan::{Observed, Plan};

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("daemon-set-controller", "daemonset-controller")?;
    let writes = Arc::new(Writes::default());
    let controller = DaemonSets {
        sets: context.informers.reader(),
        nodes: context.informers.reader(),
        pods: PodControl::new(&context, Arc::clone(&writes)),
        history: History::new(&context, Keeper::DaemonSet, Arc::clone(&writes)),
        writes,
        context: context.clone(),
    };
    runner::start(controller, &context, shared.flags.int("concurrent-daemonset-syncs"));
    Ok(true)
}

struct DaemonSets {
    context: Context,
    sets: Reader<DaemonSet>,
    nodes: Reader<Node>,
    pods: PodControl,
    history: History,
    writes: Arc<Writes>,
}

#[async_trait]
impl Controller for DaemonSets {
    const NAME: &'static str = "daemonset-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.sets, queue);
        runner::on_owned_change(self.pods.reader(), "DaemonSet", queue);
        runner::on_owned_change(self.history.reader(), "DaemonSet", queue);
        let (sets, queue) = (self.sets.clone(), queue.clone());
        self.nodes.on_event(move |event| {
            let about = |node: &Arc<Node>| {
                (node.metadata.labels.clone(), node.spec.as_ref().map(|spec| (spec.taints.clone(), spec.unschedulable)))
            };
            // Heartbeats change nodes all the time; only labels and taints matter here.
            if event.old().map(about) != event.new_state().map(about) {
                sets.list().iter().for_each(|set| queue.add(ObjectKey::of(&**set)));
            }
        });
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(set) = self.sets.get_key(key).filter(|set| !set.is_deleting()) else { return Ok(Next::OnChange) };
        let spec = set.spec.clone().unwrap_or_default();
        if selector::is_empty(&spec.selector) {
            let text = "This daemon set is selecting all pods. A non-empty selector is required.";
            events::warning(&self.context.recorder, &*set, "SelectingAll", text);
            return Ok(Next::OnChange);
        }
        let owned = self.pods.claim(key, &*set, |labels| selector::matches(&spec.selector, labels)).await?;
        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let revision = self.history.current(key, &*set, &spec.template, &mut collisions).await?;
        let hash = history::hash_of(&revision);
        let nodes = self.nodes.list();
        let now = self.context.clock.now();
        let mut plan = plan::plan(&Observed { set: &set, nodes: &nodes, owned: &owned, hash, now });
        plan.status.collision_count = collisions;
        self.apply(key, &set, &plan, hash).await?;
        self.update_status(key, &set, &plan.status).await?;
        let in_use = |revision: &_| {
            let revision_hash = history::hash_of(revision);
            revision_hash == hash || owned.iter().any(|pod| pod.label(HASH_LABEL) == Some(revision_hash))
        };
        self.history.clean_up(key, set.uid(), spec.revision_history_limit.unwrap_or(10), in_use).await?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let soonest = owned.iter().filter_map(|pod| pods::available_in(pod, min_ready, now)).min();
        Ok(soonest.map_or(Next::OnChange, Next::After))
    }
}

impl DaemonSets {
    async fn apply(&self, key: &ObjectKey, set: &DaemonSet, plan: &Plan, hash: &str) -> Result<(), ReconcileError> {
        for (reason, message) in &plan.ended {
            events::warning(&self.context.recorder, set, reason, message.clone());
        }
        self.pods.delete_all(key, set, &plan.delete).await?;
        let made = plan.create.iter().map(|node| {
            let pod = pod_of(set, node, hash);
            async move { self.pods.create(key, set, &pod).await }
        });
        futures::future::join_all(made).await.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    async fn update_status(
        &self,
        key: &ObjectKey,
        set: &DaemonSet,
        status: &DaemonSetStatus,
    ) -> Result<(), ReconcileError> {
        if set.status.as_ref() == Some(status) {
            return Ok(());
        }
        let mut fresh = set.clone();
        fresh.status = Some(status.clone());
        let client: Api<DaemonSet> = Api::namespaced(self.context.client.clone(), set.namespace());
        let written = client.replace_status(set.name(), &PostParams::default(), &fresh).await;
        let written = written.doing(|| "cannot update the status".to_owned())?;
        self.writes.wrote(key, &self.sets, &written);
        Ok(())
    }
}

fn pod_of(set: &DaemonSet, node: &str, hash: &str) -> Pod {
    let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = pods::from_template(&template, set.namespace(), &api::controller_reference(set));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    if let Some(generation) = set.annotation(TEMPLATE_GENERATION) {
        labels.insert(GENERATION_LABEL.to_owned(), generation.to_owned());
    }
    let spec = pod.spec.get_or_insert_default();
    placement::tolerate(spec);
    placement::pin(spec, node);
    pod
}
