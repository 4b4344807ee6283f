//! deployment-controller: rolls a Deployment's template out through ReplicaSets (upstream: pkg/controller/deployment).

mod annotations;
mod plan;
mod rollout;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use component_base::informer::Object;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use crate::{api, events, pods, selector};
use plan::{Action, Observed, Plan};

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("deployment-controller", "deployment-controller")?;
    let workers = shared.flags.int("concurrent-deployment-syncs");
    runner::start(Deployments::new(&context), &context, workers);
    Ok(true)
}

struct Deployments {
    context: Context,
    deployments: Reader<Deployment>,
    sets: Reader<ReplicaSet>,
    pods: Reader<Pod>,
    writes: Writes,
}

impl Deployments {
    fn new(context: &Context) -> Self {
        let sets = context.informers.reader::<ReplicaSet>();
        Self {
            context: context.clone(),
            deployments: context.informers.reader(),
            sets,
            pods: crate::pods::slim::reader(&context.informers),
            writes: Writes::default(),
        }
    }

    fn sets_api(&self, namespace: &str) -> Api<ReplicaSet> {
        Api::namespaced(self.context.client.clone(), namespace)
    }
}

#[async_trait]
impl Controller for Deployments {
    const NAME: &'static str = "deployment-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.deployments, queue);
        runner::on_owned_change(&self.sets, "Deployment", queue);
        // Recreate waits for the last old pod to go; only deletions matter.
        let (queue, sets) = (queue.clone(), self.sets.clone());
        self.pods.on_event(move |event| {
            if event.new_state().is_some() {
                return;
            }
            let pod = event.object();
            let owner = api::controller_of(&pod.metadata).filter(|owner| owner.kind == "ReplicaSet");
            let set = owner.and_then(|owner| sets.get(pod.namespace(), &owner.name));
            if let Some(owner) = set
                .as_ref()
                .and_then(|set| api::controller_of(&set.metadata))
                .filter(|owner| owner.kind == "Deployment")
            {
                queue.add(ObjectKey::new(pod.namespace(), &owner.name));
            }
        });
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(deployment) = self.deployments.get_key(key) else { return Ok(Next::OnChange) };
        let selects_all = deployment.spec.as_ref().is_none_or(|spec| selector::is_empty(&spec.selector));
        if selects_all {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            events::warning(&self.context.recorder, &*deployment, "SelectingAll", message);
            return Ok(Next::OnChange);
        }
        let sets = self.claim(key, &deployment).await?;
        let observed = Observed {
            deployment: &deployment,
            old_pods_run: self.old_pods_run(&deployment, &sets),
            sets,
            now: self.context.clock.now(),
        };
        let plan = plan::plan(&observed);
        for action in &plan.actions {
            if !self.act(key, &deployment, action).await? {
                return Ok(Next::OnChange);
            }
        }
        self.update_status(key, &deployment, &plan).await?;
        let seconds = plan.recheck_after.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(seconds.map_or(Next::OnChange, |seconds| Next::After(Duration::from_secs(seconds))))
    }
}

impl Deployments {
    /// ReplicaSets of the Deployment; orphans that its selector matches are adopted, others that it owns released.
    async fn claim(&self, key: &ObjectKey, deployment: &Deployment) -> Result<Vec<ReplicaSet>, ReconcileError> {
        let selector = deployment.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
        let mut claimed = Vec::new();
        for set in self.sets.list_ns(deployment.namespace()) {
            let matches = selector::matches(&selector, set.metadata.labels.as_ref());
            let owner = api::controller_of(&set.metadata);
            match owner {
                Some(owner) if owner.uid == deployment.uid() && (matches || deployment.is_deleting()) => {
                    claimed.push((*set).clone())
                }
                Some(owner) if owner.uid == deployment.uid() => {
                    let patch = json!({ "metadata": { "uid": set.uid(), "ownerReferences": [{ "$patch": "delete", "uid": owner.uid }] } });
                    self.patch_owner(key, &set, &patch).await?;
                }
                None if matches && !set.is_deleting() && !deployment.is_deleting() => {
                    let patch = json!({ "metadata": { "uid": set.uid(), "ownerReferences": [api::controller_reference(deployment)] } });
                    claimed.extend(self.patch_owner(key, &set, &patch).await?);
                }
                _ => {}
            }
        }
        Ok(claimed)
    }

    async fn patch_owner(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        patch: &serde_json::Value,
    ) -> Result<Option<ReplicaSet>, ReconcileError> {
        match self.sets_api(set.namespace()).patch(set.name(), &PatchParams::default(), &Patch::Strategic(patch)).await
        {
            Ok(written) => {
                self.writes.wrote(key, &self.sets, &written);
                Ok(Some(written))
            }
            Err(error) if api::has_code(&error, 404) || api::has_code(&error, 422) => Ok(None),
            Err(error) => Err(error).doing(|| format!("cannot change the owner of ReplicaSet {:?}", set.name())),
        }
    }

    fn old_pods_run(&self, deployment: &Deployment, sets: &[ReplicaSet]) -> bool {
        let Some(spec) = deployment.spec.as_ref().filter(|_| !rollout::is_rolling(deployment)) else { return false };
        let template = plan::normalized(&spec.template);
        let is_new = |set: &ReplicaSet| {
            set.spec
                .as_ref()
                .and_then(|spec| spec.template.as_ref())
                .is_some_and(|other| plan::normalized(other) == template)
        };
        let old: Vec<&str> = sets.iter().filter(|set| !is_new(set)).map(Object::uid).collect();
        self.pods.list_ns(deployment.namespace()).iter().any(|pod| {
            let owner = api::controller_of(&pod.metadata);
            !pods::is_terminal(pod) && owner.is_some_and(|owner| old.contains(&owner.uid.as_str()))
        })
    }

    /// False if the rest of the plan has lost its ground and is to be made anew.
    async fn act(&self, key: &ObjectKey, deployment: &Deployment, action: &Action) -> Result<bool, ReconcileError> {
        let sets = self.sets_api(deployment.namespace());
        match action {
            Action::Create(set) => return self.create(key, deployment, set).await,
            Action::Update(set) | Action::Scale { set, .. } => {
                let written = sets.replace(set.name(), &PostParams::default(), set).await;
                let written = written.doing(|| format!("cannot update ReplicaSet {:?}", set.name()))?;
                self.writes.wrote(key, &self.sets, &written);
                if let Action::Scale { set, from } = action {
                    self.tell_scaled(deployment, set, *from);
                }
            }
            Action::Delete(set) => match sets.delete(set.name(), &api::delete_exactly(&set.metadata)).await {
                Ok(_) => self.writes.deleted(key, &self.sets, &**set),
                Err(error) if api::has_code(&error, 404) => {}
                Err(error) => return Err(error).doing(|| format!("cannot delete ReplicaSet {:?}", set.name())),
            },
        }
        Ok(true)
    }

    fn tell_scaled(&self, deployment: &Deployment, set: &ReplicaSet, from: i32) {
        let size = rollout::wanted(set);
        let direction = if size > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {} from {from} to {size}", set.name());
        events::normal(&self.context.recorder, deployment, "ScalingReplicaSet", message);
    }

    async fn create(&self, key: &ObjectKey, deployment: &Deployment, set: &ReplicaSet) -> Result<bool, ReconcileError> {
        let sets = self.sets_api(deployment.namespace());
        match sets.create(&PostParams::default(), set).await {
            Ok(written) => {
                self.writes.wrote(key, &self.sets, &written);
                if rollout::wanted(set) > 0 {
                    self.tell_scaled(deployment, set, 0);
                }
                Ok(true)
            }
            Err(error) if api::has_code(&error, 409) => {
                let existing =
                    sets.get(set.name()).await.doing(|| "cannot get the ReplicaSet of the same name".to_owned())?;
                let template =
                    |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.template.as_ref()).map(plan::normalized);
                if api::is_controlled_by(&existing.metadata, deployment.uid()) && template(&existing) == template(set) {
                    self.writes.wrote(key, &self.sets, &existing);
                    return Ok(false);
                }
                self.count_collision(key, deployment).await?;
                Ok(false)
            }
            Err(error) if api::is_namespace_terminating(&error) => Ok(false),
            Err(error) => {
                self.tell_create_failure(key, deployment, set, &error).await?;
                Err(error).doing(|| format!("cannot create ReplicaSet {:?}", set.name()))
            }
        }
    }

    /// Another ReplicaSet has the name: the next try makes another one.
    async fn count_collision(&self, key: &ObjectKey, deployment: &Deployment) -> Result<(), ReconcileError> {
        let mut fresh = deployment.clone();
        let status = fresh.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.write_status(key, &fresh).await
    }

    async fn tell_create_failure(
        &self,
        key: &ObjectKey,
        deployment: &Deployment,
        set: &ReplicaSet,
        error: &kube::Error,
    ) -> Result<(), ReconcileError> {
        let message = format!("Failed to create new replica set {:?}: {}", set.name(), api::message_of(error));
        events::warning(&self.context.recorder, deployment, "ReplicaSetCreateError", message.clone());
        if status::deadline(deployment).is_none() {
            return Ok(());
        }
        let mut fresh = deployment.clone();
        let now = self.context.clock.now();
        status::set(
            fresh.status.get_or_insert_default(),
            status::PROGRESSING,
            "False",
            "ReplicaSetCreateError",
            message,
            now,
        );
        self.write_status(key, &fresh).await
    }

    async fn update_status(&self, key: &ObjectKey, deployment: &Deployment, plan: &Plan) -> Result<(), ReconcileError> {
        if deployment.status.as_ref() == Some(&plan.status) && plan.revision.is_none() {
            return Ok(());
        }
        let mut fresh = deployment.clone();
        fresh.status = Some(plan.status.clone());
        if let Some(revision) = &plan.revision {
            annotations::put(&mut fresh.metadata, annotations::REVISION, revision.clone());
        }
        self.write_status(key, &fresh).await
    }

    async fn write_status(&self, key: &ObjectKey, deployment: &Deployment) -> Result<(), ReconcileError> {
        let api: Api<Deployment> = Api::namespaced(self.context.client.clone(), deployment.namespace());
        let written = api.replace_status(deployment.name(), &PostParams::default(), deployment).await;
        let written = written.doing(|| "cannot update the status".to_owned())?;
        self.writes.wrote(key, &self.deployments, &written);
        Ok(())
    }
}
