//! cronjob-controller: makes Jobs by a schedule (upstream: pkg/controller/cronjob).

mod plan;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DeleteParams, PostParams, PropagationPolicy};

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use crate::{api, events};
use schedule::Schedule;

const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("cronjob-controller", "cronjob-controller")?;
    let jobs = context.informers.reader::<Job>();
    jobs.add_index("owner", |job| {
        api::controller_of(&job.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
    });
    let controller =
        CronJobs { cron_jobs: context.informers.reader(), jobs, writes: Writes::default(), context: context.clone() };
    runner::start(controller, &context, shared.flags.int("concurrent-cron-job-syncs"));
    Ok(true)
}

struct CronJobs {
    context: Context,
    cron_jobs: Reader<CronJob>,
    jobs: Reader<Job>,
    writes: Writes,
}

#[async_trait]
impl Controller for CronJobs {
    const NAME: &'static str = "cronjob-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.cron_jobs, queue);
        runner::on_owned_change(&self.jobs, "CronJob", queue);
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(known) = self.cron_jobs.get_key(key) else { return Ok(Next::OnChange) };
        let now = self.context.clock.now();
        let children = self.jobs.by_index("owner", known.uid());
        let mut status = known.status.clone().unwrap_or_default();
        self.note_finished(&known, &children, &mut status);
        self.clean_up(&known, &children).await?;
        let next = if known.is_deleting() || known.spec.suspend.unwrap_or(false) {
            None
        } else {
            self.run_due(key, &known, &children, &mut status, now).await?
        };
        status.active = status.active.filter(|active| !active.is_empty());
        if known.status.clone().unwrap_or_default() != status {
            let mut fresh = (*known).clone();
            fresh.status = Some(status);
            let client: Api<CronJob> = Api::namespaced(self.context.client.clone(), &key.namespace);
            let written = client.replace_status(&key.name, &PostParams::default(), &fresh).await;
            let written = written.doing(|| "cannot update the status".to_owned())?;
            self.writes.wrote(key, &self.cron_jobs, &written);
        }
        Ok(next.map_or(Next::OnChange, |at| {
            Next::After(component_base::clock::since(at, now) + Duration::from_millis(100))
        }))
    }
}

fn has_succeeded(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Complete" && condition.status == "True")
}

impl CronJobs {
    fn note_finished(&self, cron_job: &CronJob, children: &[Arc<Job>], status: &mut CronJobStatus) {
        let active = status.active.get_or_insert_default();
        for job in children.iter().filter(|job| super::job::is_finished(job)) {
            if let Some(index) = active.iter().position(|reference| reference.uid.as_deref() == Some(job.uid())) {
                active.remove(index);
                let end = if has_succeeded(job) { "Complete" } else { "Failed" };
                let text = format!("Saw completed job: {}, condition: {end}", job.name());
                events::normal(&self.context.recorder, cron_job, "SawCompletedJob", text);
            }
            let completed =
                job.status.as_ref().and_then(|status| status.completion_time.clone()).filter(|_| has_succeeded(job));
            if completed.as_ref().map(|time| time.0) > status.last_successful_time.as_ref().map(|time| time.0) {
                status.last_successful_time = completed;
            }
        }
        // Jobs that were deleted while nobody looked.
        active.retain(|reference| {
            let exists = children.iter().any(|job| reference.uid.as_deref() == Some(job.uid()));
            if !exists {
                let text = format!("Active job went missing: {}", reference.name.clone().unwrap_or_default());
                events::normal(&self.context.recorder, cron_job, "MissingJob", text);
            }
            exists
        });
    }

    /// Deletes finished Jobs beyond the history limits, oldest first.
    async fn clean_up(&self, cron_job: &CronJob, children: &[Arc<Job>]) -> Result<(), ReconcileError> {
        let spec = &cron_job.spec;
        for (succeeded, limit) in [
            (true, spec.successful_jobs_history_limit.unwrap_or(3)),
            (false, spec.failed_jobs_history_limit.unwrap_or(1)),
        ] {
            let finished =
                children.iter().filter(|job| super::job::is_finished(job) && has_succeeded(job) == succeeded);
            let mut finished: Vec<&Arc<Job>> = finished.collect();
            finished.sort_by_key(|job| (api::created(&job.metadata), job.name().to_owned()));
            let excess = finished.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            for job in finished.into_iter().take(excess) {
                self.delete(cron_job, job).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, cron_job: &CronJob, job: &Job) -> Result<(), ReconcileError> {
        let client: Api<Job> = Api::namespaced(self.context.client.clone(), job.namespace());
        let params =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        match client.delete(job.name(), &params).await {
            Err(error) if api::has_code(&error, 404) => Ok(()),
            Err(error) => Err(error).doing(|| format!("cannot delete Job {:?}", job.name())),
            Ok(_) => {
                events::normal(
                    &self.context.recorder,
                    cron_job,
                    "SuccessfulDelete",
                    format!("Deleted job {}", job.name()),
                );
                Ok(())
            }
        }
    }

    /// Starts the run that is due, if any; returns when the next one is.
    async fn run_due(
        &self,
        key: &ObjectKey,
        cron_job: &CronJob,
        children: &[Arc<Job>],
        status: &mut CronJobStatus,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, ReconcileError> {
        let schedule = match Schedule::parse(&cron_job.spec.schedule, cron_job.spec.time_zone.as_deref()) {
            Ok(schedule) => schedule,
            Err(error) => {
                let text = format!("unparseable schedule: {:?} : {error}", cron_job.spec.schedule);
                events::warning(&self.context.recorder, cron_job, "UnparseableSchedule", text);
                return Ok(None);
            }
        };
        let next = schedule.next(now);
        let due = plan::due(cron_job, &schedule, now);
        if due.missed_many {
            let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            events::warning(&self.context.recorder, cron_job, "TooManyMissedTimes", text);
        }
        let Some(at) = due.at else { return Ok(next) };
        let active = status.active.get_or_insert_default();
        match cron_job.spec.concurrency_policy.as_deref() {
            Some("Forbid") if !active.is_empty() => {
                let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
                events::normal(&self.context.recorder, cron_job, "JobAlreadyActive", text);
                return Ok(next);
            }
            Some("Replace") => {
                for job in children
                    .iter()
                    .filter(|job| active.iter().any(|reference| reference.uid.as_deref() == Some(job.uid())))
                {
                    self.delete(cron_job, job).await?;
                }
                active.clear();
            }
            _ => {}
        }
        if let Some(job) = self.create(key, cron_job, at).await? {
            active.push(ObjectReference {
                api_version: Some("batch/v1".to_owned()),
                kind: Some("Job".to_owned()),
                name: job.metadata.name.clone(),
                namespace: job.metadata.namespace.clone(),
                uid: job.metadata.uid.clone(),
                resource_version: job.metadata.resource_version.clone(),
                field_path: None,
            });
        }
        status.last_schedule_time = Some(Time(at));
        Ok(next)
    }

    async fn create(&self, key: &ObjectKey, cron_job: &CronJob, at: Timestamp) -> Result<Option<Job>, ReconcileError> {
        let template = cron_job.spec.job_template.clone();
        let meta = template.metadata.unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.insert(SCHEDULED_AT.to_owned(), at.to_string());
        let job = Job {
            metadata: ObjectMeta {
                name: Some(plan::job_name(cron_job.name(), at)),
                namespace: cron_job.metadata.namespace.clone(),
                labels: meta.labels,
                annotations: Some(annotations),
                creation_timestamp: Some(Time(at)),
                owner_references: Some(vec![api::controller_reference(cron_job)]),
                ..ObjectMeta::default()
            },
            spec: template.spec,
            status: None,
        };
        let client: Api<Job> = Api::namespaced(self.context.client.clone(), cron_job.namespace());
        match client.create(&PostParams::default(), &job).await {
            Ok(made) => {
                self.writes.wrote(key, &self.jobs, &made);
                events::normal(
                    &self.context.recorder,
                    cron_job,
                    "SuccessfulCreate",
                    format!("Created job {}", made.name()),
                );
                Ok(Some(made))
            }
            // Made by an earlier try that did not get to write the status.
            Err(error) if api::has_code(&error, 409) => {
                let live = client.get_opt(job.name()).await.doing(|| "cannot get the Job of this run".to_owned())?;
                Ok(live.filter(|live| {
                    api::is_controlled_by(&live.metadata, cron_job.uid()) && !super::job::is_finished(live)
                }))
            }
            Err(error) if api::is_namespace_terminating(&error) => Ok(None),
            Err(error) => {
                events::warning(
                    &self.context.recorder,
                    cron_job,
                    "FailedCreate",
                    format!("Error creating job: {}", api::message_of(&error)),
                );
                Err(error).doing(|| "cannot create a Job".to_owned())
            }
        }
    }
}
