//! `kubectl delete`. Corresponds to kubectl/pkg/cmd/delete.

use std::collections::HashMap;
use std::io::BufRead as _;
use std::time::Duration;

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::failure::{Failure, aggregate, has_reason, is_not_found, with_source};
use crate::options::{self, DryRun};
use crate::resource::{Builder, FilenameOptions, Helper, Info, TIMED_OUT, Verdict, Watched};

/// The command.
pub static COMMAND: Command = Command {
    name: "delete",
    args: "([-f FILENAME] | [-k DIRECTORY] | TYPE [(NAME | -l label | --all)])",
    short: "Delete resources by file names, stdin, resources and names, or by resources and label selector",
    long: "Delete resources by file names, stdin, resources and names, or by resources and label selector.\n\nSome resources, such as pods, end gracefully: they have a default period before they are forcibly terminated, which --grace-period overrides and --now sets to 1.",
    example: "# What a file holds\nkubectl delete -f ./pod.yaml\n\n# By type and name\nkubectl delete pod,service baz foo\n\n# By label\nkubectl delete pods,services -l name=myLabel\n\n# At once\nkubectl delete pod foo --force",
    flags,
    suggest_for: &["rm"],
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

/// `--cascade`.
pub(crate) fn cascade_flag(flags: &mut FlagSet) {
    flags
        .string("cascade", "", "background", "Must be \"background\", \"orphan\", or \"foreground\". Selects the deletion cascading strategy for the dependents (e.g. Pods created by a ReplicationController).")
        .bare("background");
}

/// `--force`, `--grace-period`, `--timeout`, `--wait` of commands that may delete on the way.
pub(crate) fn deletion_flags(flags: &mut FlagSet, wait: bool) {
    cascade_flag(flags);
    flags.bool("force", "", false, "If true, immediately remove resources from API and bypass graceful deletion. Note that immediate deletion of some resources may result in inconsistency or data loss and requires confirmation.");
    flags.int("grace-period", 64, -1, "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative. Set to 1 for immediate shutdown. Can only be set to 0 when --force is true (force deletion).");
    flags.duration("timeout", "0s", "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object");
    flags.bool("wait", "", wait, "If true, wait for resources to be gone before returning. This waits for finalizers.");
}

fn flags(flags: &mut FlagSet) {
    options::filename_flags(flags, "containing the resource to delete.");
    options::selector_flag(flags);
    flags.string("field-selector", "", "", "Selector (field query) to filter on, supports '=', '==', and '!='. The server only supports a limited number of field queries per type.");
    flags.bool("all", "", false, "Delete all resources, in the namespace of the specified resource types.");
    flags.bool("all-namespaces", "A", false, "If present, list the requested objects across all namespaces. Namespace in current context is ignored even if specified with --namespace.");
    deletion_flags(flags, true);
    flags.bool("now", "", false, "If true, resources are signaled for immediate shutdown (same as --grace-period=1).");
    flags.bool(
        "ignore-not-found",
        "",
        false,
        "Treat \"resource not found\" as a successful delete. Defaults to \"true\" when --all is specified.",
    );
    flags.string("output", "o", "", "Output mode. Use \"-o name\" for shorter output (resource/name).");
    flags.string(
        "raw",
        "",
        "",
        "Raw URI to DELETE to the server. Uses the transport specified by the kubeconfig file.",
    );
    flags.bool("interactive", "i", false, "If true, delete resource only when user confirms.");
    options::dry_run_flag(flags);
}

/// How objects are deleted.
pub(crate) struct Deletion {
    pub(crate) grace_period: i64,
    pub(crate) cascade: &'static str,
    pub(crate) dry_run: DryRun,
    pub(crate) output: String,
    pub(crate) wait: bool,
    pub(crate) timeout: Duration,
    pub(crate) ignore_not_found: bool,
    pub(crate) quiet: bool,
}

/// The propagation policy that `--cascade` names.
pub(crate) fn cascade(flags: &FlagSet) -> anyhow::Result<&'static str> {
    let text = flags.str("cascade");
    match text {
        "orphan" => Ok("Orphan"),
        "foreground" => Ok("Foreground"),
        "background" | "" => Ok("Background"),
        _ => match crate::cli::parse_bool(text) {
            Some(on) => {
                let better = if on { "background" } else { "orphan" };
                eprintln!(
                    "warning: --cascade={text} is deprecated (boolean value) and can be replaced with --cascade={better}."
                );
                Ok(if on { "Background" } else { "Orphan" })
            }
            None => {
                anyhow::bail!("invalid cascade value ({text}). Must be \"background\", \"foreground\", or \"orphan\"")
            }
        },
    }
}

/// The deletion options for a grace period and policy.
pub(crate) fn delete_options(grace_period: i64, cascade: &str) -> Value {
    let mut options = Value::from([("propagationPolicy", cascade)]);
    if grace_period >= 0 {
        options.set("gracePeriodSeconds", grace_period);
    }
    options
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let selecting =
        flags.get_bool("all") || !flags.str("selector").is_empty() || !flags.str("field-selector").is_empty();
    let force = flags.get_bool("force");
    let mut grace_period = flags.get_int("grace-period");
    let cascade = cascade(flags)?;
    if flags.get_bool("now") {
        anyhow::ensure!(grace_period == -1, "--now and --grace-period cannot be specified together");
        grace_period = 1;
    }
    if grace_period == 0 && !force {
        grace_period = 1;
    }
    if force && grace_period < 0 {
        grace_period = 0;
    }
    let deletion = Deletion {
        grace_period,
        cascade,
        dry_run: DryRun::from_flags(flags)?,
        output: flags.str("output").to_owned(),
        wait: flags.get_bool("wait"),
        timeout: flags.get_duration("timeout").to_std(),
        ignore_not_found: if flags.changed("ignore-not-found") {
            flags.get_bool("ignore-not-found")
        } else {
            selecting
        },
        quiet: false,
    };
    let raw = flags.str("raw").to_owned();
    if !raw.is_empty() {
        return delete_raw(&inv, &raw).await;
    }
    let (namespace, explicit) = inv.ctx.namespace()?;
    let all_namespaces = flags.get_bool("all-namespaces");
    let found = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(flags))
        .labels(flags.str("selector"))
        .fields(flags.str("field-selector"))
        .select_all(flags.get_bool("all"))
        .all_namespaces(all_namespaces)
        .args(false, &inv.args)
        .await
        .continue_on_error()
        .require_object(false)
        .flatten()
        .run()
        .await?;
    validate(&inv, &deletion, force)?;
    let mut items = found.items;
    if flags.get_bool("interactive") && !confirm(&inv, &mut items) {
        return Ok(());
    }
    delete_all(&inv, items, &deletion, explicit && !all_namespaces).await
}

fn validate(inv: &Invocation, deletion: &Deletion, force: bool) -> anyhow::Result<()> {
    let flags = &inv.flags;
    anyhow::ensure!(
        deletion.output.is_empty() || deletion.output == "name",
        "unexpected -o output mode: {}. We only support '-o name'",
        deletion.output
    );
    let all = flags.get_bool("all");
    anyhow::ensure!(!all || flags.str("selector").is_empty(), "cannot set --all and --selector at the same time");
    anyhow::ensure!(
        !all || flags.str("field-selector").is_empty(),
        "cannot set --all and --field-selector at the same time"
    );
    if force && deletion.grace_period == 0 {
        inv.ctx.err("Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.\n");
    }
    anyhow::ensure!(
        !force || deletion.grace_period <= 0,
        "--force and --grace-period greater than 0 cannot be specified together"
    );
    Ok(())
}

async fn delete_raw(inv: &Invocation, raw: &str) -> anyhow::Result<()> {
    let files = FilenameOptions::from_flags(&inv.flags);
    anyhow::ensure!(!inv.flags.get_bool("interactive"), "--interactive can not be used with --raw");
    anyhow::ensure!(files.filenames.len() < 2, "--raw can only use a single local file or stdin");
    anyhow::ensure!(!files.recursive, "--raw and --recursive are mutually exclusive");
    anyhow::ensure!(inv.flags.str("output").is_empty(), "--raw and --output are mutually exclusive");
    let mut request = Request::new(http::Method::DELETE, raw);
    if let Some(file) = files.filenames.first() {
        let content = if file == "-" { crate::files::stdin()? } else { crate::files::read(file)? };
        request = request.body("application/json", content);
    }
    let answer = inv.ctx.rest().await?.bytes(request).await?;
    inv.ctx.out_bytes(&answer);
    Ok(())
}

fn kind_text(info: &Info) -> String {
    info.mapping.as_ref().map_or(String::new(), |m| m.group_kind().to_lowercase())
}

/// Asks; objects that were not shown are dropped.
fn confirm(inv: &Invocation, items: &mut Vec<anyhow::Result<Info>>) -> bool {
    items.retain(|i| !i.as_ref().is_err_and(is_not_found));
    let infos: Vec<&Info> = items.iter().filter_map(|i| i.as_ref().ok()).collect();
    if infos.is_empty() {
        inv.ctx.out("No resources found\n");
        return false;
    }
    inv.ctx.out(&format!("You are about to delete the following {} resource(s):\n", infos.len()));
    for info in infos {
        inv.ctx.out(&format!("{}/{}\n", kind_text(info), info.name));
    }
    inv.ctx.out("Do you want to continue? (y/N): ");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim().eq_ignore_ascii_case("y") {
        return true;
    }
    inv.ctx.out("deletion is cancelled\n");
    false
}

/// Deletes, prints and waits. `warn_cluster` warns once about objects outside the given namespace.
pub(crate) async fn delete_all(
    inv: &Invocation,
    items: Vec<anyhow::Result<Info>>,
    deletion: &Deletion,
    mut warn_cluster: bool,
) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    let mut deleted: Vec<Info> = Vec::new();
    let mut uids: HashMap<usize, String> = HashMap::new();
    for item in items {
        let info = match item {
            Ok(info) => info,
            Err(error) if deletion.ignore_not_found && is_not_found(&error) => continue,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        if warn_cluster && !info.namespaced() {
            inv.ctx.err("Warning: deleting cluster-scoped resources, not scoped to the provided namespace\n");
            warn_cluster = false;
        }
        match delete_one(inv, &info, deletion).await {
            Ok(uid) => {
                uids.extend(uid.map(|uid| (deleted.len(), uid)));
                deleted.push(info);
            }
            Err(error) if deletion.ignore_not_found && is_not_found(&error) => deleted.push(info),
            Err(error) => errors.push(error),
        }
    }
    aggregate(errors)?;
    if deleted.is_empty() {
        inv.ctx.out("No resources found\n");
        return Ok(());
    }
    if !deletion.wait || deletion.dry_run != DryRun::None {
        return Ok(());
    }
    let limit = if deletion.timeout.is_zero() { Duration::from_secs(168 * 3600) } else { deletion.timeout };
    let deadline = tokio::time::Instant::now() + limit;
    for (i, info) in deleted.iter().enumerate() {
        match wait_gone(inv, info, uids.get(&i).map(String::as_str), deadline).await {
            Err(error) if has_reason(&error, "Forbidden") || has_reason(&error, "MethodNotAllowed") => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Deletes one object; the result is its UID, if the server told.
async fn delete_one(inv: &Invocation, info: &Info, deletion: &Deletion) -> anyhow::Result<Option<String>> {
    let mut uid = None;
    if !deletion.dry_run.is_client() {
        let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone()).dry_run(deletion.dry_run.is_server());
        let options = delete_options(deletion.grace_period, deletion.cascade);
        let answer = helper.delete(&info.namespace, &info.name, &options).await;
        let answer = answer.map_err(|e| with_source("deleting", &info.source, e))?;
        let text = if answer.get("kind").str_or_empty() == "Status" {
            answer.path(&["details", "uid"])
        } else {
            answer.path(&["metadata", "uid"])
        };
        uid = text.as_str().map(str::to_owned);
    }
    if !deletion.quiet {
        inv.ctx.out(&deleted_line(info, deletion));
    }
    Ok(uid)
}

fn deleted_line(info: &Info, deletion: &Deletion) -> String {
    let kind = kind_text(info);
    if deletion.output == "name" {
        return format!("{kind}/{}\n", info.name);
    }
    let mut operation = if deletion.grace_period == 0 { "force deleted" } else { "deleted" }.to_owned();
    if info.namespaced() {
        operation = format!("{operation} from {} namespace", info.namespace);
    }
    format!("{kind} \"{}\" {}\n", info.name, deletion.dry_run.operation(&operation))
}

/// Waits until the object is gone or is another one.
pub(crate) async fn wait_gone(
    inv: &Invocation,
    info: &Info,
    uid: Option<&str>,
    deadline: tokio::time::Instant,
) -> anyhow::Result<()> {
    let rest = inv.ctx.rest().await?;
    let mapping = info.mapping()?;
    let same = |object: &Value| uid.is_none_or(|uid| object.path(&["metadata", "uid"]).str_or_empty() == uid);
    let helper = Helper::new(rest.clone(), mapping.clone());
    match helper.get(&info.namespace, &info.name).await {
        Ok(object) if same(&object) => {}
        Ok(_) => return Ok(()),
        Err(error) if is_not_found(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    let watched = Watched { rest: &rest, mapping, namespace: &info.namespace, name: &info.name };
    let waiting = watched.until(|object| Ok(if object.is_some_and(same) { Verdict::Wait } else { Verdict::Done }));
    match tokio::time::timeout_at(deadline, waiting).await {
        Ok(result) => result.map(|_| ()),
        Err(_) => Err(Failure::Coded(format!("error: {TIMED_OUT} on {}/{}", mapping.resource, info.name), 1).into()),
    }
}
