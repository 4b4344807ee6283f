//! `kubectl options`.

use crate::cli::{Command, FlagSet, Invocation, flag_usages};
use crate::context::global_flags;

/// The command.
pub static COMMAND: Command = Command {
    name: "options",
    short: "Print the list of flags inherited by all commands",
    example: "# The flags\nkubectl options",
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let mut globals = FlagSet::default();
    global_flags(&mut globals);
    inv.ctx.out("The following options can be passed to any command:\n\n");
    inv.ctx.out(&flag_usages(&globals));
    Ok(())
}
