//! Commands whose names are known and whose work is not done here.

use crate::cli::{Command, Invocation};

const fn absent(name: &'static str, short: &'static str) -> Command {
    Command { name, short, long: short, run: Some(|inv| Box::pin(refuse(inv))), ..Command::EMPTY }
}

/// `kubectl kustomize`.
pub static KUSTOMIZE: Command = absent("kustomize", "Build a kustomization target from a directory or URL");
/// `kubectl debug`.
pub static DEBUG: Command = absent("debug", "Create debugging sessions for troubleshooting workloads and nodes");
/// `kubectl alpha`.
pub static ALPHA: Command = absent("alpha", "Commands for features in alpha");
/// `kubectl kuberc`.
pub static KUBERC: Command = absent("kuberc", "Manage kuberc configuration files");

async fn refuse(inv: Invocation) -> anyhow::Result<()> {
    anyhow::bail!("{} is not implemented in this kubectl", inv.command_path())
}
