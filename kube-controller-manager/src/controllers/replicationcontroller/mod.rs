//! replicationcontroller-controller: the old form of a ReplicaSet (upstream: pkg/controller/replication).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Pod, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use kube::api::{Api, PostParams};

use super::StartError;
use super::replicaset::plan::{self, Scale};
use crate::context::{Context, Shared};
use crate::pods::{self, control::PodControl};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use crate::{api, selector};

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("replication-controller", "replication-controller")?;
    let writes = Arc::new(Writes::default());
    let controller = ReplicationControllers {
        sets: context.informers.reader(),
        pods: PodControl::new(&context, Arc::clone(&writes)),
        writes,
        context: context.clone(),
    };
    runner::start(controller, &context, shared.flags.int("concurrent-rc-syncs"));
    Ok(true)
}

struct ReplicationControllers {
    context: Context,
    sets: Reader<ReplicationController>,
    pods: PodControl,
    writes: Arc<Writes>,
}

#[async_trait]
impl Controller for ReplicationControllers {
    const NAME: &'static str = "replicationcontroller-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.sets, queue);
        runner::on_owned_change(self.pods.reader(), "ReplicationController", queue);
        let (sets, orphans) = (self.sets.clone(), queue.clone());
        self.pods.reader().on_event(move |event| {
            let orphan =
                event.new_state().filter(|pod| api::controller_of(&pod.metadata).is_none() && !pod.is_deleting());
            let Some(pod) = orphan else { return };
            let chosen = sets.list_ns(pod.namespace()).into_iter().filter(|set| {
                let wanted = selector_of(set);
                !wanted.is_empty() && selector::matches_map(&wanted, pod.metadata.labels.as_ref())
            });
            chosen.for_each(|set| orphans.add(ObjectKey::of(&*set)));
        });
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(set) = self.sets.get_key(key) else { return Ok(Next::OnChange) };
        let wanted = selector_of(&set);
        if wanted.is_empty() {
            return Ok(Next::OnChange);
        }
        let owned = self.pods.claim(key, &*set, |labels| selector::matches_map(&wanted, labels)).await?;
        let now = self.context.clock.now();
        let result = if set.is_deleting() { Ok(()) } else { self.manage(key, &set, &owned, now).await };
        let failure = result.as_ref().err().map(ToString::to_string);
        let status = status_of(&set, &owned, failure, now);
        if set.status.as_ref() != Some(&status) {
            let fresh = ReplicationController { status: Some(status), ..(*set).clone() };
            let client: Api<ReplicationController> = Api::namespaced(self.context.client.clone(), set.namespace());
            let written = client.replace_status(set.name(), &PostParams::default(), &fresh).await;
            let written = written.doing(|| "cannot update the status".to_owned())?;
            self.writes.wrote(key, &self.sets, &written);
        }
        result?;
        let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let soonest = owned.iter().filter_map(|pod| pods::available_in(pod, min_ready, now)).min();
        Ok(soonest.map_or(Next::OnChange, Next::After))
    }
}

fn selector_of(set: &ReplicationController) -> BTreeMap<String, String> {
    set.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default()
}

impl ReplicationControllers {
    async fn manage(
        &self,
        key: &ObjectKey,
        set: &ReplicationController,
        owned: &[Arc<Pod>],
        now: Timestamp,
    ) -> Result<(), ReconcileError> {
        let spec = set.spec.clone().unwrap_or_default();
        let active: Vec<Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        match plan::scale(spec.replicas.unwrap_or(1), &active, &active, now) {
            Scale::Enough => Ok(()),
            Scale::Create(count) => self.pods.create_many(key, set, &spec.template.unwrap_or_default(), count).await,
            Scale::Delete(victims) => self.pods.delete_all(key, set, &victims).await,
        }
    }
}

fn status_of(
    set: &ReplicationController,
    owned: &[Arc<Pod>],
    failure: Option<String>,
    now: Timestamp,
) -> ReplicationControllerStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let template_labels =
        spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels).unwrap_or_default();
    let is_full = |pod: &Pod| selector::matches_map(&template_labels, pod.metadata.labels.as_ref());
    let counts = plan::count(owned, spec.min_ready_seconds.unwrap_or(0), is_full, now);
    let mut conditions = set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let known = conditions.iter().any(|condition| condition.type_ == "ReplicaFailure");
    match failure {
        Some(message) if !known => {
            let missing = counts.replicas < spec.replicas.unwrap_or(1);
            conditions.push(ReplicationControllerCondition {
                type_: "ReplicaFailure".to_owned(),
                status: "True".to_owned(),
                reason: Some(if missing { "FailedCreate" } else { "FailedDelete" }.to_owned()),
                message: Some(message),
                last_transition_time: Some(api::time(now)),
            });
        }
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some(_) => {}
    }
    let some = |number: i32| (number != 0).then_some(number);
    ReplicationControllerStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: some(counts.fully_labeled),
        ready_replicas: some(counts.ready),
        available_replicas: some(counts.available),
        observed_generation: set.metadata.generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
    }
}
