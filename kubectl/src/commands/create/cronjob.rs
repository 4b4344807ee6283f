//! `kubectl create cronjob`.

use apimachinery::value::Value;
use serde_json::json;

use super::generate::{command, finish, generator_flags, name, object};
use super::job::pod_template;
use crate::cli::{Command, FlagSet, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "cronjob",
    args: "NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...] [flags]",
    aliases: &["cj"],
    short: "Create a cron job with the specified name",
    example: "# A cron job\nkubectl create cronjob my-job --image=busybox --schedule=\"*/1 * * * *\"",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.string("image", "", "", "Image name to run.").require();
    flags.string("schedule", "", "", "A schedule in the Cron format the job should be run with.").require();
    flags.string("restart", "", "", "job's restart policy. supported values: OnFailure, Never");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let restart = match inv.flags.str("restart") {
        "" => "OnFailure",
        other => other,
    };
    let mut cron = object(&inv, "batch/v1", "CronJob", &name)?;
    let template = pod_template(&name, inv.flags.str("image"), &command(&inv), restart);
    let spec = json!({
        "schedule": inv.flags.str("schedule"),
        "jobTemplate": {"metadata": {"name": name}, "spec": {"template": template}},
    });
    cron.set("spec", Value::from(spec));
    finish(&inv, cron, "failed to create cronjob: ").await
}
