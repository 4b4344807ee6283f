//! `kubectl set serviceaccount`.

use super::{change_all, common_flags, objects, with_pod_spec};
use crate::cli::{Command, Invocation};
use crate::options::DryRun;

/// The command.
pub static COMMAND: Command = Command {
    name: "serviceaccount",
    args: "(-f FILENAME | TYPE NAME) SERVICE_ACCOUNT",
    aliases: &["sa"],
    short: "Update the service account of a resource",
    long: "Update the service account of pod template resources.",
    example: "# A deployment's service account\nkubectl set serviceaccount deployment nginx-deployment serviceaccount1",
    flags: |flags| common_flags(flags, "identifying the resource to get from a server."),
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    anyhow::ensure!(
        !inv.flags.get_bool("local") || !DryRun::from_flags(&inv.flags)?.is_server(),
        "cannot specify --local and --dry-run=server - did you mean --dry-run=client?"
    );
    let Some((account, resources)) = inv.args.split_last() else {
        anyhow::bail!("serviceaccount is required");
    };
    let infos = objects(&inv, resources).await?;
    change_all(&inv, infos, "serviceaccount updated", "failed to patch ServiceAccountName ", |object, _| {
        with_pod_spec(object, |spec| spec.set("serviceAccountName", account.as_str()))?;
        Ok(true)
    })
    .await
}
