//! statefulset-controller: pods with a stable name, order and volumes (upstream: pkg/controller/statefulset).
//!
//! Claims are never deleted: a retention policy of Delete is answered with a warning event.

mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use kube::api::{Api, PostParams};

use super::StartError;
use crate::context::{Context, Shared};
use crate::history::{self, HASH_LABEL, History, Keeper};
use crate::pods::{
    self,
    control::{PodControl, Tell},
};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use crate::{api, events, selector};
use plan::{Action, Observed};

const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("statefulset-controller", "statefulset-controller")?;
    let writes = Arc::new(Writes::default());
    let controller = StatefulSets {
        sets: context.informers.reader(),
        claims: context.informers.reader(),
        pods: PodControl::new(&context, Arc::clone(&writes)).telling(Tell::WithSet),
        history: History::new(&context, Keeper::StatefulSet, Arc::clone(&writes)),
        writes,
        context: context.clone(),
    };
    runner::start(controller, &context, shared.flags.int("concurrent-statefulset-syncs"));
    Ok(true)
}

struct StatefulSets {
    context: Context,
    sets: Reader<StatefulSet>,
    claims: Reader<PersistentVolumeClaim>,
    pods: PodControl,
    history: History,
    writes: Arc<Writes>,
}

#[async_trait]
impl Controller for StatefulSets {
    const NAME: &'static str = "statefulset-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.sets, queue);
        runner::on_owned_change(self.pods.reader(), "StatefulSet", queue);
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
        let owned: Vec<Arc<Pod>> =
            owned.into_iter().filter(|pod| plan::ordinal_of(set.name(), pod.name()).is_some()).collect();
        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count);
        let update = self.history.current(key, &*set, &spec.template, &mut collisions).await?;
        let current = self.current_revision(&set, &update);
        let now = self.context.clock.now();
        let observed = Observed { set: &set, owned: &owned, current: current.name(), update: update.name(), now };
        let mut plan = plan::plan(&observed);
        plan.status.collision_count = collisions.or(Some(0));
        for action in &plan.actions {
            self.act(key, &set, action, &current, &update).await?;
        }
        self.update_status(key, &set, &plan.status).await?;
        let in_use = |revision: &ControllerRevision| {
            let name = revision.name();
            name == update.name()
                || name == current.name()
                || owned.iter().any(|pod| pod.label(HASH_LABEL) == Some(name))
        };
        self.history.clean_up(key, set.uid(), spec.revision_history_limit.unwrap_or(10), in_use).await?;
        Ok(plan::recheck(&set, &owned, now).map_or(Next::OnChange, Next::After))
    }
}

impl StatefulSets {
    /// The revision that is rolled out: the one that the status names, as long as it is kept.
    fn current_revision(&self, set: &StatefulSet, update: &Arc<ControllerRevision>) -> Arc<ControllerRevision> {
        let named = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
        let kept =
            named.and_then(|name| self.history.of(set.uid()).into_iter().find(|revision| revision.name() == name));
        kept.unwrap_or_else(|| Arc::clone(update))
    }

    async fn act(
        &self,
        key: &ObjectKey,
        set: &StatefulSet,
        action: &Action,
        current: &ControllerRevision,
        update: &ControllerRevision,
    ) -> Result<(), ReconcileError> {
        match action {
            Action::Create { ordinal, update: is_update } => {
                let revision = if *is_update { update } else { current };
                self.make_claims(key, set, *ordinal).await?;
                self.pods.create(key, set, &pod_of(set, *ordinal, revision)).await
            }
            Action::Delete { pod, failed } => {
                if *failed {
                    let text = format!(
                        "StatefulSet {}/{} is recreating failed Pod {}",
                        set.namespace(),
                        set.name(),
                        pod.name()
                    );
                    events::warning(&self.context.recorder, set, "RecreatingFailedPod", text);
                }
                self.pods.delete(key, set, pod).await
            }
        }
    }

    /// The claims of an ordinal come before its pod, and stay when it goes.
    async fn make_claims(&self, key: &ObjectKey, set: &StatefulSet, ordinal: i32) -> Result<(), ReconcileError> {
        let spec = set.spec.clone().unwrap_or_default();
        let client: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), set.namespace());
        for mut claim in spec.volume_claim_templates.unwrap_or_default() {
            let name = plan::claim_name(claim.name(), set.name(), ordinal);
            if self.claims.get(set.namespace(), &name).is_some() {
                continue;
            }
            if plan::deletes_claims(set) {
                let text = "persistentVolumeClaimRetentionPolicy Delete is not supported by this controller manager: claims are kept";
                events::warning(&self.context.recorder, set, "Unsupported", text);
            }
            claim.metadata.name = Some(name.clone());
            claim.metadata.namespace = set.metadata.namespace.clone();
            claim
                .metadata
                .labels
                .get_or_insert_default()
                .extend(spec.selector.match_labels.clone().unwrap_or_default());
            claim.status = None;
            match client.create(&PostParams::default(), &claim).await {
                Ok(written) => {
                    self.writes.wrote(key, &self.claims, &written);
                    let text = format!(
                        "create Claim {name} Pod {}-{ordinal} in StatefulSet {} success",
                        set.name(),
                        set.name()
                    );
                    events::normal(&self.context.recorder, set, "SuccessfulCreate", text);
                }
                Err(error) if api::has_code(&error, 409) => {}
                Err(error) => return Err(error).doing(|| format!("cannot create claim {name:?}")),
            }
        }
        Ok(())
    }

    async fn update_status(
        &self,
        key: &ObjectKey,
        set: &StatefulSet,
        status: &StatefulSetStatus,
    ) -> Result<(), ReconcileError> {
        if set.status.as_ref() == Some(status) {
            return Ok(());
        }
        let mut fresh = set.clone();
        fresh.status = Some(status.clone());
        let client: Api<StatefulSet> = Api::namespaced(self.context.client.clone(), set.namespace());
        let written = client.replace_status(set.name(), &PostParams::default(), &fresh).await;
        let written = written.doing(|| "cannot update the status".to_owned())?;
        self.writes.wrote(key, &self.sets, &written);
        Ok(())
    }
}

/// The pod of an ordinal, of a revision's template.
fn pod_of(set: &StatefulSet, ordinal: i32, revision: &ControllerRevision) -> Pod {
    let spec = set.spec.clone().unwrap_or_default();
    let template = history::template_of(revision).unwrap_or(spec.template);
    let mut pod = pods::from_template(&template, set.namespace(), &api::controller_reference(set));
    let name = format!("{}-{ordinal}", set.name());
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME_LABEL.to_owned(), name.clone());
    labels.insert(INDEX_LABEL.to_owned(), ordinal.to_string());
    labels.insert(HASH_LABEL.to_owned(), revision.name().to_owned());
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(name);
    pod_spec.subdomain = spec.service_name.filter(|name| !name.is_empty());
    let volumes = pod_spec.volumes.get_or_insert_default();
    for claim in spec.volume_claim_templates.unwrap_or_default() {
        let claim_name = plan::claim_name(claim.name(), set.name(), ordinal);
        volumes.retain(|volume| volume.name != claim.name());
        volumes.push(Volume {
            name: claim.name().to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name, read_only: None }),
            ..Volume::default()
        });
    }
    if volumes.is_empty() {
        pod_spec.volumes = None;
    }
    pod
}
