//! `kubectl config …`: reading and changing kubeconfig files. Corresponds to kubectl/pkg/cmd/config.

mod contexts;
mod credentials;
mod entries;
mod property;
mod view;

use crate::cli::{Command, Invocation};

/// The group of commands.
pub static COMMAND: Command = Command {
    name: "config",
    args: "SUBCOMMAND",
    short: "Modify kubeconfig files",
    long: "Modify kubeconfig files using subcommands like \"kubectl config set current-context my-context\".\n\n The file is that of --kubeconfig, else those of the KUBECONFIG environment variable, else ${HOME}/.kube/config.",
    subcommands: &[
        &view::COMMAND,
        &entries::SET_CLUSTER,
        &credentials::COMMAND,
        &contexts::SET_CONTEXT,
        &property::SET,
        &property::UNSET,
        &contexts::CURRENT,
        &contexts::USE,
        &contexts::GET,
        &entries::GET_CLUSTERS,
        &credentials::GET_USERS,
        &entries::DELETE_CLUSTER,
        &contexts::DELETE,
        &credentials::DELETE,
        &contexts::RENAME,
    ],
    ..Command::EMPTY
};

/// Shows the help on standard output and fails, as upstream does for wrong arguments.
fn help_error(inv: &Invocation, text: &str) -> anyhow::Error {
    inv.ctx.out(&crate::cli::help_text(&inv.path, &[]));
    anyhow::anyhow!("{text}")
}

fn unexpected(inv: &Invocation) -> anyhow::Error {
    help_error(inv, &format!("Unexpected args: [{}]", inv.args.join(" ")))
}
