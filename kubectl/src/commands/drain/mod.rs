//! `kubectl drain`, `cordon` and `uncordon`. Corresponds to kubectl/pkg/cmd/drain and kubectl/pkg/drain.

mod cordon;
mod evict;
mod filter;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::aggregate;
use crate::options::{self, DryRun};
use crate::printers::name_line;
use crate::resource::{Builder, Info};

pub(super) use cordon::{CORDON, UNCORDON};

/// The command.
pub static COMMAND: Command = Command {
    name: "drain",
    args: "NODE",
    short: "Drain node in preparation for maintenance",
    long: "Drain node in preparation for maintenance.\n\nThe node is marked unschedulable, then its pods are evicted, or deleted if the server knows no eviction. Mirror pods stay. Pods of daemon sets stop the command unless --ignore-daemonsets is given, pods without a controller unless --force is given. The command waits until all pods are gone.",
    example: "# Even if there are pods that nothing manages\nkubectl drain foo --force\n\n# With 15 minutes for each pod\nkubectl drain foo --grace-period=900",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.bool("force", "", false, "Continue even if there are pods that do not declare a controller.");
    flags.bool("ignore-daemonsets", "", false, "Ignore DaemonSet-managed pods.");
    flags.bool(
        "delete-emptydir-data",
        "",
        false,
        "Continue even if there are pods using emptyDir (local data that will be deleted when the node is drained).",
    );
    flags.int("grace-period", 64, -1, "Period of time in seconds given to each pod to terminate gracefully. If negative, the default value specified in the pod will be used.");
    flags.duration("timeout", "0s", "The length of time to wait before giving up, zero means infinite");
    flags.string("pod-selector", "", "", "Label selector to filter pods on the node");
    flags.bool("disable-eviction", "", false, "Force drain to use delete, even if eviction is supported. This will bypass checking PodDisruptionBudgets, use with caution.");
    flags.int("skip-wait-for-delete-timeout", 64, 0, "If pod DeletionTimestamp older than N seconds, skip waiting for the pod.  Seconds must be greater than 0 to skip.");
    options::chunk_size_flag(flags);
    options::dry_run_flag(flags);
    options::selector_flag(flags);
}

/// The nodes that the arguments or the selector name.
async fn nodes(inv: &Invocation) -> anyhow::Result<Vec<Info>> {
    let selector = inv.flags.str("selector");
    if inv.args.is_empty() && !inv.flags.changed("selector") {
        let name = inv.path.last().map_or("", |c| c.name);
        return Err(inv.usage_error(format!("USAGE: {name} NODE [flags]")));
    }
    if !inv.args.is_empty() && !selector.is_empty() {
        return Err(inv.usage_error("error: cannot specify both a node name and a --selector option"));
    }
    let (namespace, _) = inv.ctx.namespace()?;
    let mut builder =
        Builder::new(&inv.ctx).namespace(&namespace, false).resource_names("nodes", &inv.args).single_type().flatten();
    if !selector.is_empty() {
        builder = builder.labels(selector).resource_types(&["nodes".to_owned()]);
    }
    builder.run().await?.infos()
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let selector = inv.flags.str("pod-selector");
    anyhow::ensure!(
        selector.is_empty() || apimachinery::selector::label::parse(selector).is_ok(),
        "--pod-selector=<pod_selector> must be a valid label selector"
    );
    let nodes = nodes(&inv).await?;
    cordon::set_unschedulable(&inv, &nodes, true, dry_run).await?;
    let mut errors = Vec::new();
    let mut remaining = Vec::new();
    for node in &nodes {
        match evict::drain(&inv, &node.name, dry_run).await {
            Ok(()) => inv.ctx.out(&name_line(&node.object, &dry_run.operation("drained"))),
            Err(error) => {
                let name = quote(&node.name);
                inv.ctx
                    .err(&format!("error: unable to drain node {name} due to error: {error}, continuing command...\n"));
                remaining.push(node.name.as_str());
                errors.push(error);
            }
        }
    }
    if !remaining.is_empty() {
        inv.ctx.err("There are pending nodes to be drained:\n");
        for name in remaining {
            inv.ctx.err(&format!(" {name}\n"));
        }
    }
    aggregate(errors)
}
