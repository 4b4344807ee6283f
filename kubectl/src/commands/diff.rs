//! `kubectl diff`. Corresponds to kubectl/pkg/cmd/diff.

use std::path::Path;
use std::process::Stdio;

use apimachinery::value::Value;

use super::apply::{Patcher, is_conflict};
use super::create::bare_configuration;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::{Failure, is_not_found, report};
use crate::options;
use crate::resource::{Builder, FilenameOptions, Helper, Info};

/// How often an object is looked at again when it changes in between.
const ATTEMPTS: usize = 4;

/// The command.
pub static COMMAND: Command = Command {
    name: "diff",
    args: "-f FILENAME",
    short: "Diff the live version against a would-be applied version",
    long: "Diff configurations specified by file name or stdin between the current online configuration, and the configuration as it would be if applied.\n\nThe environment variable KUBECTL_EXTERNAL_DIFF can name another program than \"diff -u -N\".\n\nExit status: 0 when nothing differs, 1 when something does, more when kubectl or diff failed.",
    example: "# What a file holds\nkubectl diff -f pod.json\n\n# What standard input holds\ncat service.yaml | kubectl diff -f -",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.array("prune-allowlist", "", "Overwrite the default allowlist with <group/version/kind> for --prune");
    flags.bool("prune", "", false, "Include resources that would be deleted by pruning. Can be used with -l and default shows all resources would be pruned");
    flags.bool("show-managed-fields", "", false, "If true, include managed fields in the diff.");
    flags.bool("show-secrets", "", false, "If true, do not mask secret values in the diff.");
    flags.int("concurrency", 64, 1, "Number of objects to process in parallel when diffing against the live version. Larger number = faster, but more memory, I/O and CPU over that shorter period of time.");
    options::filename_flags(flags, "contains the configuration to diff");
    flags.bool("server-side", "", false, "If true, apply runs in the server instead of the client.");
    flags.bool("force-conflicts", "", false, "If true, server-side apply will force the changes against conflicts.");
    options::field_manager_flag(flags, "kubectl-client-side-apply");
    options::selector_flag(flags);
}

/// Exit code 1 means differences, so that errors end with one more.
async fn run(inv: Invocation) -> anyhow::Result<()> {
    match compare(&inv).await {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::Exit(code).into()),
        Err(error) => {
            let (text, code) = report(&error);
            Err(Failure::Coded(text, code + 1).into())
        }
    }
}

async fn compare(inv: &Invocation) -> anyhow::Result<i32> {
    if !inv.args.is_empty() {
        return Err(inv.usage_error(format!("Unexpected args: [{}]", inv.args.join(" "))));
    }
    let files = FilenameOptions::from_flags(&inv.flags);
    files.require()?;
    let server_side = inv.flags.get_bool("server-side");
    anyhow::ensure!(
        server_side || !inv.flags.get_bool("force-conflicts"),
        "--force-conflicts only works with --server-side"
    );
    anyhow::ensure!(!inv.flags.get_bool("prune"), "--prune is not implemented for diff in this kubectl");
    let live = tempfile::Builder::new().prefix("LIVE-").tempdir()?;
    let merged = tempfile::Builder::new().prefix("MERGED-").tempdir()?;
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&files)
        .labels(inv.flags.str("selector"))
        .flatten()
        .run()
        .await?
        .infos()?;
    for info in infos {
        write_both(inv, info, live.path(), merged.path()).await?;
    }
    run_program(live.path(), merged.path())
}

async fn write_both(inv: &Invocation, mut info: Info, live: &Path, merged: &Path) -> anyhow::Result<()> {
    let manager = match inv.flags.str("field-manager") {
        "kubectl-client-side-apply" if inv.flags.get_bool("server-side") => "kubectl",
        manager => manager,
    };
    let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone()).dry_run(true).field_manager(manager);
    let local = info.object.clone();
    let mut attempt = 1;
    let (from, to) = loop {
        let present = match helper.get(&info.namespace, &info.name).await {
            Ok(present) => Some(present),
            Err(error) if is_not_found(&error) => None,
            Err(error) => return Err(error),
        };
        info.object = present.clone().unwrap_or(Value::Null);
        match would_be(inv, &helper, &info, &local, present.is_some()).await {
            Err(error) if is_conflict(&error) && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
            Ok(to) => break (present, to),
        }
    };
    let (mut from, mut to) = (from, to);
    for object in from.iter_mut().chain(std::iter::once(&mut to)) {
        if !inv.flags.get_bool("show-managed-fields") {
            object.remove_path(&["metadata", "managedFields"]);
        }
    }
    if to.get("kind").str_or_empty() == "Secret" && !inv.flags.get_bool("show-secrets") {
        mask(from.as_mut(), &mut to);
    }
    let mapping = info.mapping()?;
    let group = if mapping.group.is_empty() { String::new() } else { format!("{}.", mapping.group) };
    let name = format!("{group}{}.{}.{}.{}", mapping.version, mapping.kind, info.namespace, info.name);
    let text = from.as_ref().map(crate::codec::encode_yaml).unwrap_or_default();
    std::fs::write(live.join(&name), text)?;
    std::fs::write(merged.join(&name), crate::codec::encode_yaml(&to))?;
    Ok(())
}

/// The object as it would be after apply.
async fn would_be(
    inv: &Invocation,
    helper: &Helper,
    info: &Info,
    local: &Value,
    exists: bool,
) -> anyhow::Result<Value> {
    if inv.flags.get_bool("server-side") {
        let force = inv.flags.get_bool("force-conflicts");
        return helper.apply(&info.namespace, &info.name, local, force).await;
    }
    if !exists {
        return helper.create(&info.namespace, local).await;
    }
    let modified = bare_configuration(local);
    let patcher = Patcher { mapping: info.mapping()?, helper, overwrite: true, force: None };
    let patched = patcher.patch(info, &mut local.clone(), &modified).await;
    patched.map(|(_, object)| object).map_err(|failed| failed.error)
}

/// Hides the values of secrets but not that they differ.
fn mask(from: Option<&mut Value>, to: &mut Value) {
    let mut none = Value::Null;
    let from = from.unwrap_or(&mut none);
    let keys = |object: &Value| -> Vec<String> { object.get("data").entries().map(|(k, _)| k.to_owned()).collect() };
    let (old, new) = (keys(from), keys(to));
    for key in &old {
        let path = ["data", key.as_str()];
        let (before, after) = match new.contains(key) {
            true if from.path(&path) != to.path(&path) => ("*** (before)", Some("*** (after)")),
            true => ("***", Some("***")),
            false => ("***", None),
        };
        from.set_path(&path, Value::from(before));
        if let Some(after) = after {
            to.set_path(&path, Value::from(after));
        }
    }
    for key in new.iter().filter(|k| !old.contains(k)) {
        to.set_path(&["data", key.as_str()], Value::from("***"));
    }
}

/// Runs the program that compares the two folders; its exit code.
fn run_program(live: &Path, merged: &Path) -> anyhow::Result<i32> {
    let external = std::env::var("KUBECTL_EXTERNAL_DIFF").unwrap_or_default();
    let mut words = external.split(' ').filter(|w| !w.is_empty());
    let plain = |w: &&str| w.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '=');
    let (program, arguments): (&str, Vec<&str>) = match words.next() {
        Some(program) => (program, words.filter(plain).collect()),
        None => ("diff", vec!["-u", "-N"]),
    };
    let failed = |why: &dyn std::fmt::Display| anyhow::anyhow!("failed to run \"{program}\": {why}");
    let status = std::process::Command::new(program)
        .args(arguments)
        .args([live, merged])
        .stdin(Stdio::null())
        .status()
        .map_err(|e| failed(&e))?;
    match status.code() {
        Some(code @ (0 | 1)) => Ok(code),
        Some(code) => Err(failed(&format!("exit status {code}"))),
        None => Err(failed(&"killed by a signal")),
    }
}
