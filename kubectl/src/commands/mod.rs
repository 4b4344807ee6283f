//! The commands, one file or folder each; this is the list.

mod absent;
mod annotate;
mod api_resources;
mod api_versions;
mod apply;
mod attach;
mod auth;
mod autoscale;
mod certificate;
mod cluster_info;
mod cluster_info_dump;
mod completion;
mod config;
mod cp;
mod create;
mod delete;
mod describe;
mod diff;
mod drain;
mod edit;
mod events;
mod exec;
mod explain;
mod expose;
mod get;
mod help;
mod label;
mod logs;
mod metadata;
mod mutate;
mod options_command;
mod overrides;
mod patch;
pub(crate) mod plugin;
mod port_forward;
mod proxy;
mod replace;
mod rollout;
mod run_pod;
mod scale;
mod set;
mod taint;
mod top;
mod version;
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
        &expose::COMMAND,
        &run_pod::COMMAND,
        &set::COMMAND,
        &explain::COMMAND,
        &get::COMMAND,
        &help::COMMAND,
        &edit::COMMAND,
        &delete::COMMAND,
        &rollout::COMMAND,
        &scale::COMMAND,
        &autoscale::COMMAND,
        &certificate::COMMAND,
        &cluster_info::COMMAND,
        &top::COMMAND,
        &drain::CORDON,
        &drain::UNCORDON,
        &drain::COMMAND,
        &taint::COMMAND,
        &describe::COMMAND,
        &logs::COMMAND,
        &attach::COMMAND,
        &exec::COMMAND,
        &port_forward::COMMAND,
        &proxy::COMMAND,
        &cp::COMMAND,
        &auth::COMMAND,
        &absent::DEBUG,
        &events::COMMAND,
        &diff::COMMAND,
        &apply::COMMAND,
        &patch::COMMAND,
        &replace::COMMAND,
        &wait::COMMAND,
        &absent::KUSTOMIZE,
        &label::COMMAND,
        &annotate::COMMAND,
        &completion::COMMAND,
        &absent::ALPHA,
        &config::COMMAND,
        &plugin::COMMAND,
        &version::COMMAND,
        &api_versions::COMMAND,
        &api_resources::COMMAND,
        &options_command::COMMAND,
        &absent::KUBERC,
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
