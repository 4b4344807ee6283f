//! `kubectl cordon` and `uncordon`.

use http::Method;

use super::nodes;
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::options::{self, DryRun};
use crate::printers::name_line;
use crate::resource::Info;

/// `cordon`.
pub static CORDON: Command = Command {
    name: "cordon",
    args: "NODE",
    short: "Mark node as unschedulable",
    example: "# One node\nkubectl cordon foo",
    flags,
    run: Some(|inv| Box::pin(run(inv, true))),
    ..Command::EMPTY
};

/// `uncordon`.
pub static UNCORDON: Command = Command {
    name: "uncordon",
    args: "NODE",
    short: "Mark node as schedulable",
    example: "# One node\nkubectl uncordon foo",
    flags,
    run: Some(|inv| Box::pin(run(inv, false))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    options::selector_flag(flags);
    options::dry_run_flag(flags);
}

async fn run(inv: Invocation, wanted: bool) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let nodes = nodes(&inv).await?;
    set_unschedulable(&inv, &nodes, wanted, dry_run).await
}

/// Marks nodes; errors are told and do not stop the others.
pub(super) async fn set_unschedulable(
    inv: &Invocation,
    nodes: &[Info],
    wanted: bool,
    dry_run: DryRun,
) -> anyhow::Result<()> {
    let (verb, done) = if wanted { ("cordon", "cordoned") } else { ("uncordon", "uncordoned") };
    let rest = inv.ctx.rest().await?;
    for node in nodes {
        let now = node.object.path(&["spec", "unschedulable"]).as_bool().unwrap_or(false);
        if now == wanted {
            let already = format!("already {done}");
            inv.ctx.out(&name_line(&node.object, &dry_run.operation(&already)));
            continue;
        }
        if !dry_run.is_client() {
            let value = if wanted { "true" } else { "null" };
            let patch = format!("{{\"spec\":{{\"unschedulable\":{value}}}}}").into_bytes();
            let request = Request::new(Method::PATCH, format!("/api/v1/nodes/{}", node.name))
                .maybe("dryRun", if dry_run.is_server() { "All" } else { "" })
                .body("application/strategic-merge-patch+json", patch);
            if let Err(error) = rest.value(request).await {
                inv.ctx.err(&format!("error: unable to {verb} node {}: {error}\n", quote(&node.name)));
                continue;
            }
        }
        inv.ctx.out(&name_line(&node.object, &dry_run.operation(done)));
    }
    Ok(())
}
