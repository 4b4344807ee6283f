//! `kubectl auth`. Corresponds to kubectl/pkg/cmd/auth.

mod can_i;
mod reconcile;
mod whoami;

use crate::cli::Command;

/// The command.
pub static COMMAND: Command = Command {
    name: "auth",
    short: "Inspect authorization",
    long: "Inspect authorization.",
    subcommands: &[&can_i::COMMAND, &reconcile::COMMAND, &whoami::COMMAND],
    ..Command::EMPTY
};
