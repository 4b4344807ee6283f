//! `kubectl set …`: changing one aspect of objects. Corresponds to kubectl/pkg/cmd/set.

mod env;
mod image;
mod resources;
mod selector;
mod serviceaccount;
mod subject;

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::commands::mutate::{Sender, pod_spec_mut};
use crate::failure::aggregate;
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags};
use crate::resource::{Builder, FilenameOptions, Info};

/// The group of commands.
pub static COMMAND: Command = Command {
    name: "set",
    args: "SUBCOMMAND",
    short: "Set specific features on objects",
    long: "Configure application resources.\n\n These commands help you make changes to existing application resources.",
    subcommands: &[
        &image::COMMAND,
        &resources::COMMAND,
        &selector::COMMAND,
        &subject::COMMAND,
        &serviceaccount::COMMAND,
        &env::COMMAND,
    ],
    ..Command::EMPTY
};

/// The flags that all of them have.
fn common_flags(flags: &mut FlagSet, usage: &'static str) {
    printers::print_flags(flags);
    options::record_flag(flags);
    options::filename_flags(flags, usage);
    flags.bool("all", "", false, "Select all resources, in the namespace of the specified resource types");
    flags.bool("local", "", false, "If true, the change will NOT contact api-server but run locally.");
    options::dry_run_flag(flags);
    options::field_manager_flag(flags, "kubectl-set");
}

const LOCAL_ONLY: &str = "error: you must specify resources by --filename when --local is set.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'";

/// The objects to change, fetched or read.
async fn objects(inv: &Invocation, resources: &[String]) -> anyhow::Result<Vec<Info>> {
    let local = inv.flags.get_bool("local");
    let (namespace, explicit) = inv.ctx.namespace()?;
    let builder = Builder::new(&inv.ctx)
        .local(local)
        .continue_on_error()
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .flatten();
    let builder = if local {
        anyhow::ensure!(resources.is_empty(), LOCAL_ONLY);
        builder
    } else {
        builder.labels(inv.flags.str("selector")).args(inv.flags.get_bool("all"), resources).await.latest()
    };
    builder.run().await?.infos()
}

/// Changes every object with `change`, sends and prints. A `false` of `change` skips the object.
async fn change_all(
    inv: &Invocation,
    infos: Vec<Info>,
    done: &str,
    failed: &'static str,
    mut change: impl FnMut(&mut Value, &mut Vec<anyhow::Error>) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation(done))?;
    let mut sender = Sender { inv, dry_run, local: inv.flags.get_bool("local"), printer, failed };
    let mut errors = Vec::new();
    let mut changed = Vec::new();
    for mut info in infos {
        let before = info.object.clone();
        match change(&mut info.object, &mut errors) {
            Ok(true) => changed.push((before, info)),
            Ok(false) => {}
            Err(error) => errors.push(anyhow::anyhow!("error: {} {error}\n", info.object_name())),
        }
    }
    for (before, info) in changed {
        errors.extend(sender.send(&before, &info).await.err());
    }
    aggregate(errors)
}

/// Applies `change` to the pod spec of an object.
fn with_pod_spec(object: &mut Value, change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
    let kind = object.get("kind").str_or_empty().to_owned();
    let api_version = object.get("apiVersion").str_or_empty().rsplit('/').next().unwrap_or_default().to_owned();
    match pod_spec_mut(object) {
        Some(spec) => {
            change(spec);
            Ok(())
        }
        None => anyhow::bail!("the object is not a pod or does not have a pod template: *{api_version}.{kind}"),
    }
}

/// Whether a container's name fits a pattern with `*`.
fn fits(name: &str, pattern: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('*') {
        None => name == pattern,
        Some((prefix, rest)) => {
            let suffix = rest.rsplit('*').next().unwrap_or_default();
            name.len() >= prefix.len() + suffix.len() && name.starts_with(prefix) && name.ends_with(suffix)
        }
    }
}

/// Calls `change` with every container (then init container) that fits; the result is how many there were.
fn each_container(spec: &mut Value, pattern: &str, mut change: impl FnMut(&mut Value)) -> usize {
    let mut count = 0;
    for field in ["containers", "initContainers"] {
        for container in spec.get_mut(field).and_then(Value::as_list_mut).into_iter().flatten() {
            if fits(container.get("name").str_or_empty(), pattern) {
                count += 1;
                change(container);
            }
        }
    }
    count
}
