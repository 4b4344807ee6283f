//! `kubectl rollout history`, and the revisions that `undo` goes back to.

use std::collections::BTreeMap;

use apimachinery::patch::strategic;
use apimachinery::schema;
use apimachinery::selector::label::Selector;
use apimachinery::value::Value;

use super::{collect, common_flags, require_resource};
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::failure::aggregate;
use crate::printers::{self, PrintFlags, Printed, TabWriter};
use crate::resource::Info;

pub(super) static COMMAND: Command = Command {
    name: "history",
    args: "(TYPE NAME | TYPE/NAME) [flags]",
    short: "View rollout history",
    long: "View previous rollout revisions and configurations.",
    example: "# The revisions of a deployment\nkubectl rollout history deployment/abc\n\n# One of them\nkubectl rollout history daemonset/abc --revision=3",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    common_flags(flags);
    flags.int("revision", 64, 0, "See the details, including podTemplate of the revision specified");
}

const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A revision: the object that keeps it, and the pod template.
pub(super) struct Revision {
    pub(super) keeper: Value,
    pub(super) template: Value,
    /// The workload as it was, for daemon sets and stateful sets.
    pub(super) applied: Option<Value>,
}

/// The revisions of a workload by number.
pub(super) async fn revisions(inv: &Invocation, info: &Info) -> anyhow::Result<BTreeMap<i64, Revision>> {
    let kind = info.object.get("kind").str_or_empty();
    let (path, deployment) = match kind {
        "Deployment" => ("replicasets", true),
        "DaemonSet" | "StatefulSet" => ("controllerrevisions", false),
        _ => {
            let (group, kind) = (&info.mapping()?.group, &info.mapping()?.kind);
            let group_kind = crate::cli::quote::quote(&info.mapping()?.group_kind());
            anyhow::bail!("error retrieving history for {group_kind}, no visitor method exists for {{{group} {kind}}}");
        }
    };
    let selector = Selector::from_value(info.object.path(&["spec", "selector"]))?.to_string();
    let request =
        Request::get(format!("/apis/apps/v1/namespaces/{}/{path}", info.namespace)).query("labelSelector", selector);
    let list = inv.ctx.rest().await?.value(request).await?;
    let uid = info.object.path(&["metadata", "uid"]).str_or_empty();
    let mut found = BTreeMap::new();
    for keeper in crate::resource::list_items(&list) {
        let owners = keeper.path(&["metadata", "ownerReferences"]).items();
        if !owners.iter().any(|o| o.get("uid").str_or_empty() == uid && o.get("controller").as_bool() == Some(true)) {
            continue;
        }
        if deployment {
            let number = keeper.path(&["metadata", "annotations", REVISION]).str_or_empty().parse::<i64>();
            if let Ok(number) = number {
                let template = keeper.path(&["spec", "template"]).clone();
                found.insert(number, Revision { keeper, template, applied: None });
            }
        } else {
            let number = keeper.get("revision").as_i64().unwrap_or(0);
            let ty = schema::kind("apps/v1", kind).ok_or_else(|| anyhow::anyhow!("{kind} has no schema"))?;
            let applied = strategic::apply(&info.object, keeper.get("data"), ty)?;
            let template = applied.path(&["spec", "template"]).clone();
            found.insert(number, Revision { keeper, template, applied: Some(applied) });
        }
    }
    Ok(found)
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    require_resource(&inv)?;
    let wanted = inv.flags.get_int("revision");
    anyhow::ensure!(wanted >= 0, "revision must be a positive integer: {wanted}");
    let (infos, mut errors) = collect(&inv).await?.split();
    for info in infos {
        errors.extend(show(&inv, &info, wanted).await.err());
    }
    aggregate(errors)
}

async fn show(inv: &Invocation, info: &Info, wanted: i64) -> anyhow::Result<()> {
    let revisions = revisions(inv, info).await?;
    let print = PrintFlags::from_flags(&inv.flags);
    if inv.flags.changed("output") {
        let mut printer = print.printer("")?;
        let chosen: Vec<&Revision> = if wanted > 0 {
            let one = revisions.get(&wanted);
            vec![one.ok_or_else(|| anyhow::anyhow!("unable to find the specified revision"))?]
        } else {
            revisions.values().collect()
        };
        for revision in chosen {
            let object = revision.applied.as_ref().unwrap_or(&revision.keeper);
            inv.ctx.out(&printer.print_as(Printed { object, typed: true })?);
        }
        return Ok(());
    }
    let text = view(&revisions, wanted)?;
    let with = if wanted > 0 { format!("with revision #{wanted}") } else { String::new() };
    let mut printer = print.printer(&format!("{with}\n{text}"))?;
    inv.ctx.out(&printer.print(&info.object)?);
    Ok(())
}

fn view(revisions: &BTreeMap<i64, Revision>, wanted: i64) -> anyhow::Result<String> {
    if revisions.is_empty() {
        return Ok("No rollout history found.".to_owned());
    }
    if wanted > 0 {
        let Some(revision) = revisions.get(&wanted) else {
            anyhow::bail!("unable to find the specified revision");
        };
        let mut template = revision.template.clone();
        let cause = revision.keeper.path(&["metadata", "annotations", CHANGE_CAUSE]).str_or_empty();
        if !cause.is_empty() {
            template.set_path(&["metadata", "annotations", CHANGE_CAUSE], Value::from(cause));
        }
        return Ok(crate::describe::pod_template_text(&template));
    }
    let mut out = TabWriter::describe();
    out.write("REVISION\tCHANGE-CAUSE\n");
    for (number, revision) in revisions {
        let cause = revision.keeper.path(&["metadata", "annotations", CHANGE_CAUSE]).str_or_empty();
        out.write(&format!("{number}\t{}\n", if cause.is_empty() { "<none>" } else { cause }));
    }
    Ok(out.flush())
}
