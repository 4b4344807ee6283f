//! replicaset-controller: keeps the number of a ReplicaSet's pods (upstream: pkg/controller/replicaset).

pub(crate) mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use component_base::informer::Object;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};

use super::StartError;
use crate::api;
use crate::context::{Context, Shared};
use crate::pods::{self, control::PodControl};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::selector;
use crate::writes::Writes;
use plan::Scale;

/// Status updates are tried again at once this often, against a fresh object.
const STATUS_TRIES: u32 = 2;

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("replicaset-controller", "replicaset-controller")?;
    let workers = shared.flags.int("concurrent-replicaset-syncs");
    runner::start(ReplicaSets::new(&context), &context, workers);
    Ok(true)
}

struct ReplicaSets {
    context: Context,
    sets: Reader<ReplicaSet>,
    pods: PodControl,
    writes: Arc<Writes>,
}

impl ReplicaSets {
    fn new(context: &Context) -> Self {
        let writes = Arc::new(Writes::default());
        let pods = PodControl::new(context, Arc::clone(&writes));
        let sets = context.informers.reader::<ReplicaSet>();
        sets.add_index("owner", |set| {
            api::controller_of(&set.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
        });
        Self { context: context.clone(), sets, pods, writes }
    }
}

#[async_trait]
impl Controller for ReplicaSets {
    const NAME: &'static str = "replicaset-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.sets, queue);
        runner::on_owned_change(self.pods.reader(), "ReplicaSet", queue);
        let (sets, orphans) = (self.sets.clone(), queue.clone());
        self.pods.reader().on_event(move |event| {
            let Some(pod) =
                event.new_state().filter(|pod| api::controller_of(&pod.metadata).is_none() && !pod.is_deleting())
            else {
                return;
            };
            for set in sets.list_ns(pod.namespace()) {
                let chosen = set.spec.as_ref().map(|spec| &spec.selector);
                if chosen.is_some_and(|selector| {
                    !selector::is_empty(selector) && selector::matches(selector, pod.metadata.labels.as_ref())
                }) {
                    orphans.add(ObjectKey::of(&*set));
                }
            }
        });
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(set) = self.sets.get_key(key) else { return Ok(Next::OnChange) };
        let spec = set.spec.clone().unwrap_or_default();
        if selector::is_empty(&spec.selector) {
            return Ok(Next::OnChange);
        }
        let owned = self.pods.claim(key, &*set, |labels| selector::matches(&spec.selector, labels)).await?;
        let now = self.context.clock.now();
        let result = if set.is_deleting() { Ok(()) } else { self.manage(key, &set, &owned).await };
        let failure = result.as_ref().err().map(ToString::to_string);
        let wanted = status_of(&set, &owned, failure.as_deref(), now);
        self.update_status(key, &set, wanted).await?;
        result?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let soonest = owned.iter().filter_map(|pod| pods::available_in(pod, min_ready, now)).min();
        Ok(soonest.map_or(Next::OnChange, Next::After))
    }
}

impl ReplicaSets {
    async fn manage(&self, key: &ObjectKey, set: &ReplicaSet, owned: &[Arc<Pod>]) -> Result<(), ReconcileError> {
        let spec = set.spec.clone().unwrap_or_default();
        let active: Vec<Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let related = self.related(set);
        match plan::scale(spec.replicas.unwrap_or(1), &active, &related, self.context.clock.now()) {
            Scale::Enough => Ok(()),
            Scale::Create(count) => {
                let template = spec.template.unwrap_or_default();
                self.pods.create_many(key, set, &template, count).await
            }
            Scale::Delete(victims) => self.pods.delete_all(key, set, &victims).await,
        }
    }

    /// Pods of all ReplicaSets with the same owner.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let sets = match api::controller_of(&set.metadata) {
            Some(owner) => self.sets.by_index("owner", &owner.uid),
            None => Vec::new(),
        };
        let uids = sets.iter().map(|set| set.uid()).chain([set.uid()]).collect::<std::collections::BTreeSet<_>>();
        uids.into_iter().flat_map(|uid| self.pods.owned_by(uid)).collect()
    }

    async fn update_status(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        wanted: ReplicaSetStatus,
    ) -> Result<(), ReconcileError> {
        if set.status.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let client: Api<ReplicaSet> = Api::namespaced(self.context.client.clone(), set.namespace());
        let mut fresh = set.clone();
        for attempt in 0.. {
            fresh.status = Some(wanted.clone());
            match client.replace_status(set.name(), &PostParams::default(), &fresh).await {
                Ok(written) => {
                    self.writes.wrote(key, &self.sets, &written);
                    return Ok(());
                }
                Err(error) if component_base::client::is_not_found(&error) => return Ok(()),
                Err(error) if attempt + 1 >= STATUS_TRIES => {
                    return Err(error).doing(|| "cannot update the status".to_owned());
                }
                Err(_) => fresh = client.get(set.name()).await.doing(|| "cannot get the ReplicaSet".to_owned())?,
            }
        }
        Ok(())
    }
}

fn status_of(set: &ReplicaSet, owned: &[Arc<Pod>], failure: Option<&str>, now: jiff::Timestamp) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let template_labels =
        spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels).unwrap_or_default();
    let is_full = |pod: &Pod| selector::matches_map(&template_labels, pod.metadata.labels.as_ref());
    let counts = plan::count(owned, spec.min_ready_seconds.unwrap_or(0), is_full, now);
    let old = set.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let known = conditions.iter().any(|condition| condition.type_ == "ReplicaFailure");
    match failure {
        Some(message) if !known => {
            let missing = counts.replicas < spec.replicas.unwrap_or(1);
            conditions.push(ReplicaSetCondition {
                type_: "ReplicaFailure".to_owned(),
                status: "True".to_owned(),
                reason: Some(if missing { "FailedCreate" } else { "FailedDelete" }.to_owned()),
                message: Some(message.to_owned()),
                last_transition_time: Some(api::time(now)),
            });
        }
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some(_) => {}
    }
    let some = |number: i32| (number != 0).then_some(number);
    ReplicaSetStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: some(counts.fully_labeled),
        ready_replicas: some(counts.ready),
        available_replicas: some(counts.available),
        terminating_replicas: Some(counts.terminating),
        observed_generation: set.metadata.generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
    }
}
