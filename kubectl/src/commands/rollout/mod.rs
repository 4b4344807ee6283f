//! `kubectl rollout …`. Corresponds to kubectl/pkg/cmd/rollout and kubectl/pkg/polymorphichelpers.

mod change;
mod history;
mod status;
mod undo;

use crate::cli::{Command, FlagSet, Invocation};
use crate::options;
use crate::resource::{Builder, FilenameOptions, Found};

/// The group of commands.
pub static COMMAND: Command = Command {
    name: "rollout",
    args: "SUBCOMMAND",
    short: "Manage the rollout of a resource",
    long: "Manage the rollout of one or many resources.",
    example: "# Back to the previous deployment\nkubectl rollout undo deployment/abc\n\n# The state of a rollout\nkubectl rollout status daemonset/foo",
    subcommands: &[
        &history::COMMAND,
        &change::PAUSE,
        &change::RESUME,
        &undo::COMMAND,
        &status::COMMAND,
        &change::RESTART,
    ],
    ..Command::EMPTY
};

fn common_flags(flags: &mut FlagSet) {
    options::filename_flags(flags, "identifying the resource to get from a server.");
    options::selector_flag(flags);
}

fn require_resource(inv: &Invocation) -> anyhow::Result<()> {
    let files = FilenameOptions::from_flags(&inv.flags);
    anyhow::ensure!(!inv.args.is_empty() || !files.is_empty(), "required resource not specified");
    Ok(())
}

async fn collect(inv: &Invocation) -> anyhow::Result<Found> {
    let (namespace, explicit) = inv.ctx.namespace()?;
    Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .labels(inv.flags.str("selector"))
        .args(true, &inv.args)
        .await
        .continue_on_error()
        .latest()
        .flatten()
        .run()
        .await
}
