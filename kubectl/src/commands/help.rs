//! `kubectl help`: the help of any command. Corresponds to cobra's own help command.

use super::{GROUPS, ROOT};
use crate::cli::{Command, FlagSet, Invocation, help_text, resolve, usage_text};
use crate::context::global_flags;

/// The command.
pub static COMMAND: Command = Command {
    name: "help",
    args: "[command]",
    short: "Help about any command",
    long: "Show the help of a command: kubectl help [path to command].",
    run: Some(|inv| Box::pin(run(inv))),
    hidden: true,
    ..Command::EMPTY
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let mut globals = FlagSet::default();
    global_flags(&mut globals);
    match resolve(&ROOT, &globals, &inv.args) {
        Ok(resolved) => inv.ctx.out(&help_text(&resolved.path, GROUPS)),
        Err(_) => {
            let topics: Vec<String> = inv.args.iter().map(|word| format!("`{word}`")).collect();
            let usage = usage_text(&[&ROOT], GROUPS);
            inv.ctx.err(&format!("Unknown help topic [{}]\n\n\n{usage}", topics.join(" ")));
        }
    }
    Ok(())
}
