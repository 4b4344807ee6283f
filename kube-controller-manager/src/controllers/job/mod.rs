//! job-controller: runs pods to completion (upstream: pkg/controller/job).

mod indexes;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodTemplateSpec};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::StartError;
use crate::context::{Context, Shared};
use crate::pods::{self, control::PodControl};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use crate::{api, events, selector};

pub(super) use plan::is_finished;
use plan::{INDEX, Plan, TRACKING};

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("job-controller", "job-controller")?;
    let writes = Arc::new(Writes::default());
    let controller = Jobs {
        jobs: context.informers.reader(),
        pods: PodControl::new(&context, Arc::clone(&writes)),
        writes,
        context: context.clone(),
    };
    runner::start(controller, &context, shared.flags.int("concurrent-job-syncs"));
    Ok(true)
}

struct Jobs {
    context: Context,
    jobs: Reader<Job>,
    pods: PodControl,
    writes: Arc<Writes>,
}

#[async_trait]
impl Controller for Jobs {
    const NAME: &'static str = "job-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.jobs, queue);
        runner::on_owned_change(self.pods.reader(), "Job", queue);
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(job) = self.jobs.get_key(key) else { return Ok(Next::OnChange) };
        let spec = job.spec.clone().unwrap_or_default();
        let ours = spec.managed_by.as_deref().is_none_or(|manager| manager == "kubernetes.io/job-controller");
        let Some(chosen) = spec.selector.as_ref().filter(|_| ours) else { return Ok(Next::OnChange) };
        if let Some(field) = plan::unsupported(&job) {
            let text = format!("{field} is not supported by this controller manager");
            events::warning(&self.context.recorder, &*job, "Unsupported", text);
            return Ok(Next::OnChange);
        }
        let owned = self.pods.claim(key, &*job, |labels| selector::matches(chosen, labels)).await?;
        if job.is_deleting() {
            for pod in &owned {
                self.release(key, pod).await?;
            }
            return Ok(Next::OnChange);
        }
        let plan = plan::plan(&job, &owned, self.context.clock.now());
        self.apply(key, &job, &plan, &spec.template).await?;
        Ok(plan.recheck_after.map_or(Next::OnChange, Next::After))
    }
}

impl Jobs {
    async fn apply(
        &self,
        key: &ObjectKey,
        job: &Job,
        plan: &Plan,
        template: &PodTemplateSpec,
    ) -> Result<(), ReconcileError> {
        // The status is first: a pod may lose its finalizer only once it is noted.
        if let Some(status) = &plan.status {
            let mut fresh = job.clone();
            fresh.status = Some(status.clone());
            let client: Api<Job> = Api::namespaced(self.context.client.clone(), job.namespace());
            let written = client.replace_status(job.name(), &PostParams::default(), &fresh).await;
            let written = written.doing(|| "cannot update the status".to_owned())?;
            self.writes.wrote(key, &self.jobs, &written);
        }
        for (reason, message, is_warning) in &plan.events {
            let tell = if *is_warning { events::warning } else { events::normal };
            tell(&self.context.recorder, job, reason, message.clone());
        }
        for pod in &plan.release {
            self.release(key, pod).await?;
        }
        self.pods.delete_all(key, job, &plan.delete).await?;
        let made = plan.create.iter().map(|index| {
            let pod = pod_of(job, template, *index);
            async move { self.pods.create(key, job, &pod).await }
        });
        futures::future::join_all(made).await.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    async fn release(&self, key: &ObjectKey, pod: &Pod) -> Result<(), ReconcileError> {
        let finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == TRACKING) {
            return Ok(());
        }
        let patch = json!({ "metadata": { "uid": pod.uid(), "$deleteFromPrimitiveList/finalizers": [TRACKING] } });
        let client: Api<Pod> = Api::namespaced(self.context.client.clone(), pod.namespace());
        match client.patch(pod.name(), &PatchParams::default(), &Patch::Strategic(&patch)).await {
            Ok(written) => {
                self.writes.wrote(key, self.pods.reader(), &written);
                Ok(())
            }
            Err(error) if api::has_code(&error, 404) => Ok(()),
            Err(error) => Err(error).doing(|| format!("cannot take the finalizer off pod {:?}", pod.name())),
        }
    }
}

/// A pod of the Job, tracked by a finalizer; with its index in name, annotation, label, host name and environment.
fn pod_of(job: &Job, template: &PodTemplateSpec, index: Option<i32>) -> Pod {
    let mut pod = pods::from_template(template, job.namespace(), &api::controller_reference(job));
    pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
    let Some(index) = index else { return pod };
    let name = format!("{}-{index}", job.name());
    pod.metadata.generate_name = Some(format!("{name}-"));
    pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    let variable = EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let environment = container.env.get_or_insert_default();
        if !environment.iter().any(|known| known.name == variable.name) {
            environment.push(variable.clone());
        }
    }
    pod
}
