//! `kubectl rollout pause`, `resume` and `restart`.

use apimachinery::value::Value;

use super::{collect, common_flags, require_resource};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::mutate::difference;
use crate::failure::aggregate;
use crate::options;
use crate::printers::{self, PrintFlags, Printed};
use crate::resource::{Helper, Info};

pub(super) static PAUSE: Command = Command {
    name: "pause",
    args: "RESOURCE",
    short: "Mark the provided resource as paused",
    long: "Mark the provided resource as paused.\n\nPaused resources will not be reconciled by a controller. Use \"kubectl rollout resume\" to resume a paused resource. Currently only deployments support being paused.",
    example: "# Pause a deployment\nkubectl rollout pause deployment/nginx",
    flags,
    run: Some(|inv| Box::pin(run(inv, Kind::Pause))),
    ..Command::EMPTY
};

pub(super) static RESUME: Command = Command {
    name: "resume",
    args: "RESOURCE",
    short: "Resume a paused resource",
    long: "Resume a paused resource.\n\nPaused resources will not be reconciled by a controller. By resuming a resource, we allow it to be reconciled again. Currently only deployments support being resumed.",
    example: "# Resume a deployment\nkubectl rollout resume deployment/nginx",
    flags,
    run: Some(|inv| Box::pin(run(inv, Kind::Resume))),
    ..Command::EMPTY
};

pub(super) static RESTART: Command = Command {
    name: "restart",
    args: "RESOURCE",
    short: "Restart a resource",
    long: "Restart a resource.\n\nThe pods of the resource are replaced by a rollout.",
    example: "# Restart a deployment\nkubectl rollout restart deployment/nginx",
    flags,
    run: Some(|inv| Box::pin(run(inv, Kind::Restart))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    common_flags(flags);
    options::field_manager_flag(flags, "kubectl-rollout");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pause,
    Resume,
    Restart,
}

impl Kind {
    fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Restart => "restarted",
        }
    }

    fn change(self, object: &mut Value) -> anyhow::Result<()> {
        let kind = object.get("kind").str_or_empty().to_owned();
        let paused = object.path(&["spec", "paused"]).as_bool().unwrap_or(false);
        match self {
            Self::Pause => {
                anyhow::ensure!(kind == "Deployment", "pausing is not supported");
                anyhow::ensure!(!paused, "is already paused");
                object.set_path(&["spec", "paused"], Value::Bool(true));
            }
            Self::Resume => {
                anyhow::ensure!(kind == "Deployment", "resuming is not supported");
                anyhow::ensure!(paused, "is not paused");
                object.remove_path(&["spec", "paused"]);
            }
            Self::Restart => {
                anyhow::ensure!(
                    ["Deployment", "DaemonSet", "StatefulSet"].contains(&kind.as_str()),
                    "restarting is not supported"
                );
                anyhow::ensure!(
                    kind != "Deployment" || !paused,
                    "can't restart paused deployment (run rollout resume first)"
                );
                let path = ["spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"];
                object.set_path(&path, Value::from(crate::time::rfc3339_local()));
            }
        }
        Ok(())
    }
}

async fn run(inv: Invocation, kind: Kind) -> anyhow::Result<()> {
    require_resource(&inv)?;
    let (infos, mut errors) = collect(&inv).await?.split();
    if infos.is_empty() && errors.is_empty() {
        inv.ctx.err(&format!("No resources found in {} namespace.\n", inv.ctx.namespace()?.0));
        return Ok(());
    }
    for info in infos {
        errors.extend(one(&inv, info, kind).await.err());
    }
    aggregate(errors)
}

async fn one(inv: &Invocation, mut info: Info, kind: Kind) -> anyhow::Result<()> {
    let mapping = info.mapping()?.clone();
    let before = info.object.clone();
    kind.change(&mut info.object)
        .map_err(|e| anyhow::anyhow!("error: {} {} {e}", mapping.group_resource(), quote(&info.name)))?;
    let Some((media_type, patch)) = difference(&before, &info.object)? else {
        anyhow::bail!(
            "failed to create patch for {}: if restart has already been triggered within the past second, please wait before attempting to trigger another",
            info.name
        );
    };
    let helper = Helper::new(inv.ctx.rest().await?, mapping).field_manager(inv.flags.str("field-manager"));
    let patched = helper.patch(&info.namespace, &info.name, media_type, patch).await;
    info.refresh(patched.map_err(|e| anyhow::anyhow!("failed to patch: {e}"))?);
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(kind.done())?;
    inv.ctx.out(&printer.print_as(Printed { object: &info.object, typed: true })?);
    Ok(())
}
