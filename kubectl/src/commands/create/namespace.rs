//! `kubectl create namespace`.

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "namespace",
    args: "NAME [--dry-run=server|client|none]",
    aliases: &["ns"],
    short: "Create a namespace with the specified name",
    example: "# A namespace named my-namespace\nkubectl create namespace my-namespace",
    flags: generator_flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let namespace = object(&inv, "v1", "Namespace", &name)?;
    finish(&inv, namespace, "").await
}
