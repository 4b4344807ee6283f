//! `kubectl rollout undo`.

use apimachinery::value::Value;

use super::history::{Revision, revisions};
use super::{collect, common_flags, require_resource};
use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::create::LAST_APPLIED;
use crate::failure::aggregate;
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, typed_value};
use crate::resource::{Helper, Info};

pub(super) static COMMAND: Command = Command {
    name: "undo",
    args: "(TYPE NAME | TYPE/NAME) [flags]",
    short: "Undo a previous rollout",
    long: "Roll back to a previous rollout.",
    example: "# To the previous revision\nkubectl rollout undo deployment/abc\n\n# To a revision\nkubectl rollout undo daemonset/abc --to-revision=3",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    common_flags(flags);
    options::dry_run_flag(flags);
    flags.int("to-revision", 64, 0, "The revision to rollback to. Default to 0 (last revision).");
}

/// Annotations of the deployment that a rollback keeps.
const KEPT: &[&str] = &[
    LAST_APPLIED,
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

async fn run(inv: Invocation) -> anyhow::Result<()> {
    require_resource(&inv)?;
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let (infos, mut errors) = collect(&inv).await?.split();
    for info in infos {
        errors.extend(one(&inv, &info, dry_run).await.err());
    }
    aggregate(errors)
}

async fn one(inv: &Invocation, info: &Info, dry_run: DryRun) -> anyhow::Result<()> {
    if info.object.path(&["metadata", "annotations", LAST_APPLIED]).as_str().is_some() {
        inv.ctx.err(&format!(
            "Warning: resource {} was previously managed with 'kubectl apply'. Rolling back will not update the {LAST_APPLIED} annotation, which may cause unexpected behavior on future 'kubectl apply' operations. Consider using 'kubectl apply' with your previous configuration file instead.\n",
            info.object_name()
        ));
    }
    let done = roll_back(inv, info, dry_run).await?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation(&done))?;
    inv.ctx.out(&printer.print(&info.object)?);
    Ok(())
}

async fn roll_back(inv: &Invocation, info: &Info, dry_run: DryRun) -> anyhow::Result<String> {
    let wanted = inv.flags.get_int("to-revision");
    let mapping = info.mapping()?;
    anyhow::ensure!(
        ["Deployment", "DaemonSet", "StatefulSet"].contains(&mapping.kind.as_str()),
        "no rollbacker has been implemented for {}",
        crate::cli::quote::quote(&mapping.group_kind())
    );
    let not_found = || anyhow::anyhow!("unable to find specified revision {wanted} in history");
    anyhow::ensure!(wanted >= 0, not_found());
    let deployment = mapping.kind == "Deployment";
    let all = revisions(inv, info).await?;
    let target = if wanted > 0 {
        all.get(&wanted).ok_or_else(not_found)?
    } else {
        all.values().rev().nth(1).ok_or_else(|| {
            if deployment {
                anyhow::anyhow!("no rollout history found for deployment {}", crate::cli::quote::quote(&info.name))
            } else {
                anyhow::anyhow!("no last revision to roll back to")
            }
        })?
    };
    if dry_run.is_client() {
        let text = crate::describe::pod_template_text(&target.template);
        return Ok(if deployment { text } else { format!("will roll back to {text}") });
    }
    anyhow::ensure!(
        !deployment || info.object.path(&["spec", "paused"]).as_bool() != Some(true),
        "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again"
    );
    let current = info.object.path(&["spec", "template"]);
    if without_hash(&target.template) == without_hash(current) {
        return Ok(format!("skipped rollback (current template already matches revision {wanted})"));
    }
    let helper = Helper::new(inv.ctx.rest().await?, mapping.clone()).dry_run(dry_run.is_server());
    let (media_type, patch) = if deployment {
        ("application/json-patch+json", deployment_patch(info, target))
    } else {
        ("application/strategic-merge-patch+json", target.keeper.get("data").clone())
    };
    let bytes = crate::codec::encode_json(&patch);
    let sent = helper.patch(&info.namespace, &info.name, media_type, bytes).await;
    sent.map_err(|e| anyhow::anyhow!("failed restoring revision {wanted}: {e}"))?;
    Ok("rolled back".to_owned())
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    template.remove_path(&["metadata", "labels", "pod-template-hash"]);
    template
}

fn deployment_patch(info: &Info, target: &Revision) -> Value {
    let mut annotations = Value::map();
    for key in KEPT {
        if let Some(value) = info.object.path(&["metadata", "annotations", key]).as_str() {
            annotations.set(key, value);
        }
    }
    for (key, value) in target.keeper.path(&["metadata", "annotations"]).entries() {
        if !KEPT.contains(&key) {
            annotations.set(key, value.clone());
        }
    }
    let operation = |path: &str, value: Value| {
        Value::from([("op", Value::from("replace")), ("path", Value::from(path)), ("value", value)])
    };
    Value::List(vec![
        operation("/spec/template", without_hash(&typed_value(&target.template))),
        operation("/metadata/annotations", annotations),
    ])
}
