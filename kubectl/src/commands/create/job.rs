//! `kubectl create job`.

use apimachinery::value::Value;
use serde_json::json;

use super::generate::{command, finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};
use crate::resource::Builder;

/// The command.
pub static COMMAND: Command = Command {
    name: "job",
    args: "NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...]",
    short: "Create a job with the specified name",
    example: "# A job\nkubectl create job my-job --image=busybox -- date\n\n# A job out of a cron job\nkubectl create job test-job --from=cronjob/a-cronjob",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.string("image", "", "", "Image name to run.");
    flags.string("from", "", "", "The name of the resource to create a Job from (only CronJob is supported).");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let (image, from) = (inv.flags.str("image"), inv.flags.str("from"));
    anyhow::ensure!(image.is_empty() != from.is_empty(), "either --image or --from must be specified");
    let command = command(&inv);
    anyhow::ensure!(command.is_empty() || from.is_empty(), "cannot specify --from and command");
    let mut job = object(&inv, "batch/v1", "Job", &name)?;
    if from.is_empty() {
        job.set("spec", Value::from(json!({"template": pod_template(&name, image, &command, "Never")})));
    } else {
        let from = from.to_owned();
        from_cron_job(&inv, &from, &mut job).await?;
    }
    finish(&inv, job, "failed to create job: ").await
}

/// A pod template of one container.
pub(super) fn pod_template(name: &str, image: &str, command: &[String], restart: &str) -> serde_json::Value {
    let mut container = json!({"name": name, "image": image});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    json!({"spec": {"containers": [container], "restartPolicy": restart}})
}

async fn from_cron_job(inv: &Invocation, from: &str, job: &mut Value) -> anyhow::Result<()> {
    let (namespace, _) = inv.ctx.namespace()?;
    let found = Builder::new(&inv.ctx)
        .namespace(&namespace, false)
        .args(false, &[from.to_owned()])
        .await
        .flatten()
        .latest()
        .run()
        .await?;
    let infos = found.infos()?;
    let [info] = infos.as_slice() else {
        anyhow::bail!("from must be an existing cronjob");
    };
    let cron = &info.object;
    let kind = cron.get("kind").str_or_empty();
    anyhow::ensure!(kind == "CronJob", "unknown object type *v1.{kind}");
    let template = cron.path(&["spec", "jobTemplate"]);
    let mut annotations = template.path(&["metadata", "annotations"]).clone();
    if !annotations.has("cronjob.kubernetes.io/instantiate") {
        annotations.map_mut();
        annotations.set("cronjob.kubernetes.io/instantiate", "manual");
    }
    job.set_path(&["metadata", "annotations"], annotations);
    let labels = template.path(&["metadata", "labels"]);
    if !labels.is_null() {
        job.set_path(&["metadata", "labels"], labels.clone());
    }
    let owner = json!([{
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": info.name,
        "uid": cron.path(&["metadata", "uid"]).str_or_empty(),
        "controller": true,
    }]);
    job.set_path(&["metadata", "ownerReferences"], Value::from(owner));
    job.set("spec", template.get("spec").clone());
    Ok(())
}
