//! ttl-after-finished-controller: deletes finished Jobs after `ttlSecondsAfterFinished`
//! (upstream: pkg/controller/ttlafterfinished).

use std::time::Duration;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Preconditions, PropagationPolicy};

use super::StartError;
use crate::api;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("ttl-after-finished-controller", "ttl-after-finished-controller")?;
    let controller = Ttl { jobs: context.informers.reader(), context: context.clone() };
    runner::start(controller, &context, shared.flags.int("concurrent-ttl-after-finished-syncs"));
    Ok(true)
}

struct Ttl {
    context: Context,
    jobs: Reader<Job>,
}

#[async_trait]
impl Controller for Ttl {
    const NAME: &'static str = "ttl-after-finished-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.jobs, queue);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let now = self.context.clock.now();
        let Some(known) = self.jobs.get_key(key) else { return Ok(Next::OnChange) };
        match left(&known, now) {
            None => return Ok(Next::OnChange),
            Some(left) if !left.is_zero() => return Ok(Next::After(left)),
            Some(_) => {}
        }
        // The time may have been changed a moment ago: the live object decides.
        let client: Api<Job> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let live = client.get_opt(&key.name).await.doing(|| "cannot get the Job".to_owned())?;
        let Some(job) = live.filter(|job| left(job, now) == Some(Duration::ZERO)) else { return Ok(Next::OnChange) };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions { uid: job.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match client.delete(&key.name, &params).await {
            Err(error) if api::has_code(&error, 404) => Ok(Next::OnChange),
            other => other.map(|_| Next::OnChange).doing(|| "cannot delete the Job".to_owned()),
        }
    }
}

/// Time left; None if the Job is not to be deleted.
fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    let seconds = u64::try_from(job.spec.as_ref()?.ttl_seconds_after_finished?).ok()?;
    if job.is_deleting() || !super::job::is_finished(job) {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ended = conditions
        .iter()
        .find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")?;
    let ended = ended.last_transition_time.as_ref()?.0;
    Some(Duration::from_secs(seconds).saturating_sub(component_base::clock::since(now, ended)))
}
