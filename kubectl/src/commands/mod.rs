//! The commands, one file or folder each; this is the list.

mod annotate;
mod apply;
mod attach;
mod config;
mod create;
mod delete;
mod describe;
mod edit;
mod exec;
mod get;
mod label;
mod logs;
mod metadata;
mod mutate;
mod patch;
pub(crate) mod plugin;
mod port_forward;
mod replace;
mod rollout;
mod scale;
mod set;
mod wait;

use crate::cli::Command;

pub(crate) use create::LAST_APPLIED;

/// `kubectl` itself.
pub static ROOT: Command = Command {
    name: "kubectl",
    short: "kubectl controls the Kubernetes cluster manager",
    long: "kubectl controls the Kubernetes cluster manager.\n\n Find more information at: https://kubernetes.io/docs/reference/kubectl/",
    subcommands: &[
        &create::COMMAND,
        &set::COMMAND,
        &get::COMMAND,
        &edit::COMMAND,
        &delete::COMMAND,
        &rollout::COMMAND,
        &scale::COMMAND,
        &describe::COMMAND,
        &logs::COMMAND,
        &attach::COMMAND,
        &exec::COMMAND,
        &port_forward::COMMAND,
        &apply::COMMAND,
        &patch::COMMAND,
        &replace::COMMAND,
        &wait::COMMAND,
        &label::COMMAND,
        &annotate::COMMAND,
        &config::COMMAND,
        &plugin::COMMAND,
    ],
    ..Command::EMPTY
};

/// The groups of the root's help.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("Basic Commands (Beginner):", &["create", "expose", "run", "set"]),
    ("Basic Commands (Intermediate):", &["explain", "get", "edit", "delete"]),
    ("Deploy Commands:", &["rollout", "scale", "autoscale"]),
    ("Cluster Management Commands:", &["certificate", "cluster-info", "top", "cordon", "uncordon", "drain", "taint"]),
    (
        "Troubleshooting and Debugging Commands:",
        &["describe", "logs", "attach", "exec", "port-forward", "proxy", "cp", "auth", "debug", "events"],
    ),
    ("Advanced Commands:", &["diff", "apply", "patch", "replace", "wait", "kustomize"]),
    ("Settings Commands:", &["label", "annotate", "completion"]),
];
