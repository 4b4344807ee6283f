//! `kubectl scale`. Corresponds to kubectl/pkg/cmd/scale and kubectl/pkg/scale.

use std::time::Duration;

use apimachinery::value::Value;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::{aggregate, has_reason};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags};
use crate::resource::{Builder, FilenameOptions, Helper, Info, TIMED_OUT};

/// The command.
pub static COMMAND: Command = Command {
    name: "scale",
    args: "[--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME)",
    short: "Set a new size for a deployment, replica set, or replication controller",
    long: "Set a new size for a deployment, replica set, replication controller, or stateful set.\n\nPreconditions can be given: the present size or resource version, which are checked before the change.",
    example: "# Three replicas\nkubectl scale --replicas=3 rs/foo\n\n# If there are two\nkubectl scale --current-replicas=2 --replicas=3 deployment/mysql",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::record_flag(flags);
    flags.bool("all", "", false, "Select all resources in the namespace of the specified resource types");
    flags.string("resource-version", "", "", "Precondition for resource version. Requires that the current resource version match this value in order to scale.");
    flags.int("current-replicas", 64, -1, "Precondition for current size. Requires that the current size of the resource match this value in order to scale. -1 (default) for no condition.");
    flags.int("replicas", 64, 0, "The new desired number of replicas. Required.").require();
    flags.duration("timeout", "0s", "The length of time to wait before giving up on a scale operation, zero means don't wait. Any other values should contain a corresponding time unit (e.g. 1s, 2m, 3h).");
    options::filename_flags(flags, "identifying the resource to set a new size");
    options::dry_run_flag(flags);
    options::selector_flag(flags);
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("scaled"))?;
    let replicas = inv.flags.get_int("replicas");
    anyhow::ensure!(
        replicas >= 0,
        "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"
    );
    anyhow::ensure!(
        inv.flags.get_int("current-replicas") >= -1,
        "The --current-replicas must specify an integer of -1 or greater"
    );
    let (namespace, explicit) = inv.ctx.namespace()?;
    let found = Builder::new(&inv.ctx)
        .continue_on_error()
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .labels(inv.flags.str("selector"))
        .select_all(inv.flags.get_bool("all") && inv.flags.str("selector").is_empty())
        .args(inv.flags.get_bool("all"), &inv.args)
        .await
        .flatten()
        .run()
        .await?;
    let (infos, errors) = found.split();
    anyhow::ensure!(
        inv.flags.str("resource-version").is_empty() || infos.len() < 2,
        "cannot use --resource-version with multiple resources"
    );
    if infos.is_empty() {
        aggregate(errors)?;
        anyhow::bail!("no objects passed to scale");
    }
    for mut info in infos {
        let size = if dry_run.is_client() { replicas } else { scale(&inv, &info, replicas, dry_run).await? };
        let (group, _) = crate::resource::group_kind_of(&info.object);
        if group == "apps" || group.is_empty() {
            info.object.set_path(&["spec", "replicas"], Value::Int(size));
        }
        inv.ctx.out(&printer.print(&info.object)?);
    }
    aggregate(errors)
}

/// Sets the size through the scale subresource, trying again on conflicts for five minutes.
async fn scale(inv: &Invocation, info: &Info, replicas: i64, dry_run: DryRun) -> anyhow::Result<i64> {
    let mapping = info.mapping()?.clone();
    let helper = Helper::new(inv.ctx.rest().await?, mapping).subresource("scale").dry_run(dry_run.is_server());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
    let size = loop {
        match scale_once(inv, &helper, info, replicas).await {
            Err(error) if has_reason(&error, "Conflict") => {
                anyhow::ensure!(tokio::time::Instant::now() < deadline, TIMED_OUT);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            other => break other?,
        }
    };
    let timeout = inv.flags.get_duration("timeout").to_std();
    if !timeout.is_zero() && dry_run == DryRun::None {
        wait_scaled(&helper, info, replicas, timeout).await?;
    }
    Ok(size)
}

async fn scale_once(inv: &Invocation, helper: &Helper, info: &Info, replicas: i64) -> anyhow::Result<i64> {
    let (current, version) = (inv.flags.get_int("current-replicas"), inv.flags.str("resource-version"));
    let answer = if current == -1 && version.is_empty() {
        let patch = format!("{{\"spec\":{{\"replicas\":{replicas}}}}}").into_bytes();
        helper.patch(&info.namespace, &info.name, "application/merge-patch+json", patch).await?
    } else {
        let mut scale = helper.get(&info.namespace, &info.name).await?;
        let size = scale.path(&["spec", "replicas"]).as_i64().unwrap_or(0);
        anyhow::ensure!(current == -1 || size == current, "Expected replicas to be {current}, was {size}");
        let there = scale.path(&["metadata", "resourceVersion"]).str_or_empty();
        anyhow::ensure!(
            version.is_empty() || there == version,
            "Expected resource version to be {version}, was {there}"
        );
        scale.set_path(&["spec", "replicas"], Value::Int(replicas));
        helper.replace(&info.namespace, &info.name, &scale).await?
    };
    Ok(answer.path(&["spec", "replicas"]).as_i64().unwrap_or(0))
}

async fn wait_scaled(helper: &Helper, info: &Info, replicas: i64, timeout: Duration) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        let scale = helper.get(&info.namespace, &info.name).await?;
        let wanted = scale.path(&["spec", "replicas"]).as_i64().unwrap_or(0);
        if wanted != replicas || scale.path(&["status", "replicas"]).as_i64().unwrap_or(0) == replicas {
            return Ok(());
        }
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "timed out waiting for {} to be synced",
            quote(&info.name)
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
