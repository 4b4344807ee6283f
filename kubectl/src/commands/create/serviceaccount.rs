//! `kubectl create serviceaccount`.

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, Invocation};

/// The command.
pub static COMMAND: Command = Command {
    name: "serviceaccount",
    args: "NAME [--dry-run=server|client|none]",
    aliases: &["sa"],
    short: "Create a service account with the specified name",
    example: "# A service account named my-service-account\nkubectl create serviceaccount my-service-account",
    flags: generator_flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let account = object(&inv, "v1", "ServiceAccount", &name)?;
    finish(&inv, account, "failed to create serviceaccount: ").await
}
