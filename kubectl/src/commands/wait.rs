//! `kubectl wait`. Corresponds to kubectl/pkg/cmd/wait.

use std::time::Duration;

use apimachinery::value::Value;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::{aggregate, is_not_found};
use crate::options;
use crate::printers::{self, GenericPrinter, JsonPath, PrintFlags, relaxed_expression, sprint};
use crate::resource::{Builder, FilenameOptions, Found, Helper, Info, TIMED_OUT, Verdict, Watched};

/// The command.
pub static COMMAND: Command = Command {
    name: "wait",
    args: "([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) [--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]]",
    short: "Wait for a specific condition on one or many resources",
    long: "Wait for a specific condition on one or many resources.\n\nThe command watches the resources until the condition shows in their status, until they exist or until they are gone.",
    example: "# Until a pod is ready\nkubectl wait --for=condition=Ready pod/busybox1\n\n# Until a pod runs\nkubectl wait --for=jsonpath='{.status.phase}'=Running pod/busybox1\n\n# Until it is gone\nkubectl wait --for=delete pod/busybox1 --timeout=60s",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    flags.bool("all", "", false, "Select all resources in the namespace of the specified resource types");
    flags.bool("all-namespaces", "A", false, "If present, list the requested objects across all namespaces. Namespace in current context is ignored even if specified with --namespace.");
    flags.string("field-selector", "", "", "Selector (field query) to filter on, supports '=', '==', and '!='. The server only supports a limited number of field queries per type.");
    flags.slice("filename", "f", "", "identifying the resource.");
    flags.array("for", "", "The condition to wait on: [create|delete|condition=condition-name[=condition-value]|jsonpath='{JSONPath expression}'=[JSONPath value]]. The default condition-value is true. Several conditions are waited for one after the other.");
    flags.bool("local", "", false, "If true, will NOT contact api-server but run locally.");
    flags.bool("recursive", "R", true, "Process the directory used in -f, --filename recursively.");
    options::selector_flag(flags);
    flags.duration("timeout", "30s", "The length of time to wait before giving up. Zero means check once and don't wait, negative means wait for a week.");
}

enum Condition {
    Delete,
    Create,
    Status { name: String, value: String },
    Path { path: JsonPath, value: String },
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let mut printer = PrintFlags::from_flags(&inv.flags).printer("condition met")?;
    let wanted = inv.flags.list("for");
    let conditions = wanted.iter().map(|w| parse(w)).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!conditions.is_empty(), "unrecognized condition: []");
    let timeout = inv.flags.get_duration("timeout");
    let limit = if timeout.0 < 0 { Duration::from_secs(168 * 3600) } else { timeout.to_std() };
    let deadline = tokio::time::Instant::now() + limit;
    if conditions.iter().any(|c| matches!(c, Condition::Create)) {
        wait_created(&inv, deadline).await?;
    }
    let deleting = conditions.iter().any(|c| matches!(c, Condition::Delete));
    let found = collect(&inv).await?;
    let mut errors = Vec::new();
    let mut count = 0;
    for item in found.items {
        let info = match item {
            Ok(info) => info,
            Err(error) if deleting && is_not_found(&error) => continue,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        count += 1;
        if let Err(error) = wait_one(&inv, &info, &conditions, limit, deadline, &mut printer).await {
            errors.push(error);
        }
    }
    aggregate(errors)?;
    anyhow::ensure!(count > 0 || deleting, "no matching resources found");
    Ok(())
}

async fn collect(inv: &Invocation) -> anyhow::Result<Found> {
    let (namespace, explicit) = inv.ctx.namespace()?;
    let flags = &inv.flags;
    Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .all_namespaces(flags.get_bool("all-namespaces"))
        .filenames(&FilenameOptions::from_flags(flags))
        .labels(flags.str("selector"))
        .fields(flags.str("field-selector"))
        .select_all(flags.get_bool("all"))
        .args(false, &inv.args)
        .await
        .continue_on_error()
        .latest()
        .flatten()
        .run()
        .await
}

fn parse(text: &str) -> anyhow::Result<Condition> {
    match text.to_lowercase().as_str() {
        "delete" => return Ok(Condition::Delete),
        "create" => return Ok(Condition::Create),
        _ => {}
    }
    if let Some(rest) = text.strip_prefix("condition=") {
        let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
        return Ok(Condition::Status { name: name.to_owned(), value: value.to_owned() });
    }
    let Some(rest) = text.strip_prefix("jsonpath=") else {
        anyhow::bail!("unrecognized condition: {}", quote(text));
    };
    let parts = split_path(rest);
    let expression = relaxed_expression(&parts[0])?;
    anyhow::ensure!(
        parts.len() <= 2,
        "jsonpath wait format must be --for=jsonpath='{{.status.readyReplicas}}'=3 or --for=jsonpath='{{.status.readyReplicas}}'"
    );
    anyhow::ensure!(!expression.is_empty(), "jsonpath expression cannot be empty");
    let path = JsonPath::parse(&expression)?.allow_missing(true);
    let value = match parts.get(1) {
        None => String::new(),
        Some(value) => {
            let value = value.trim_matches(['\'', '"']).to_owned();
            anyhow::ensure!(
                !value.is_empty(),
                "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{{.status.readyReplicas}}'=3"
            );
            value
        }
    };
    Ok(Condition::Path { path, value })
}

/// Splits at single equal signs.
fn split_path(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().expect("starts with one");
        if c != '=' {
            last.push(c);
        } else if chars.peek() == Some(&'=') {
            chars.next();
            last.push_str("==");
        } else {
            parts.push(String::new());
        }
    }
    parts
}

async fn wait_created(inv: &Invocation, deadline: tokio::time::Instant) -> anyhow::Result<()> {
    loop {
        let found = collect(inv).await;
        let failure = match found {
            Err(error) => Some(error),
            Ok(found) => {
                let (infos, errors) = found.split();
                if !infos.is_empty() {
                    return Ok(());
                }
                errors.into_iter().next()
            }
        };
        if let Some(error) = failure.filter(|e| !is_not_found(e)) {
            return Err(error);
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{TIMED_OUT}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn wait_one(
    inv: &Invocation,
    info: &Info,
    conditions: &[Condition],
    limit: Duration,
    deadline: tokio::time::Instant,
    printer: &mut GenericPrinter,
) -> anyhow::Result<()> {
    for condition in conditions {
        let object = match condition {
            Condition::Create => info.object.clone(),
            Condition::Delete => {
                if limit.is_zero() {
                    let helper = Helper::new(inv.ctx.rest().await?, info.mapping()?.clone());
                    match helper.get(&info.namespace, &info.name).await {
                        Err(error) if is_not_found(&error) => {}
                        Err(error) => return Err(error),
                        Ok(_) => anyhow::bail!("condition not met for {}", info.object_name()),
                    }
                } else {
                    super::delete::wait_gone(inv, info, None, deadline).await?;
                }
                info.object.clone()
            }
            other => wait_state(inv, info, other, limit, deadline).await?,
        };
        inv.ctx.out(&printer.print(&object)?);
    }
    Ok(())
}

async fn wait_state(
    inv: &Invocation,
    info: &Info,
    condition: &Condition,
    limit: Duration,
    deadline: tokio::time::Instant,
) -> anyhow::Result<Value> {
    let rest = inv.ctx.rest().await?;
    let mapping = info.mapping()?;
    if limit.is_zero() {
        let object = Helper::new(rest, mapping.clone()).get(&info.namespace, &info.name).await?;
        anyhow::ensure!(holds(condition, &object)?, "condition not met for {}", info.object_name());
        return Ok(object);
    }
    let watched = Watched { rest: &rest, mapping, namespace: &info.namespace, name: &info.name };
    let mut seen = false;
    let not_found = || {
        let status = crate::failure::ApiStatus {
            code: 404,
            reason: "NotFound".to_owned(),
            message: format!("{} {} not found", mapping.group_resource(), quote(&info.name)),
            ..Default::default()
        };
        anyhow::Error::from(crate::failure::Failure::Status(Box::new(status)))
    };
    let waiting = watched.until(|object| match object {
        None if !seen => Err(not_found()),
        None => Ok(Verdict::Wait),
        Some(object) => {
            seen = true;
            Ok(if holds(condition, object)? { Verdict::Done } else { Verdict::Wait })
        }
    });
    match tokio::time::timeout_at(deadline, waiting).await {
        Ok(result) => Ok(result?.unwrap_or_default()),
        Err(_) => anyhow::bail!("{TIMED_OUT} on {}/{}", mapping.resource, info.name),
    }
}

fn holds(condition: &Condition, object: &Value) -> anyhow::Result<bool> {
    match condition {
        Condition::Status { name, value } => Ok(status_holds(object, name, value)),
        Condition::Path { path, value } => path_holds(object, path, value),
        Condition::Create | Condition::Delete => Ok(false),
    }
}

fn status_holds(object: &Value, name: &str, value: &str) -> bool {
    let conditions = object.path(&["status", "conditions"]).items();
    let Some(condition) = conditions.iter().find(|c| c.get("type").str_or_empty().eq_ignore_ascii_case(name)) else {
        return false;
    };
    if let Some(generation) = object.path(&["metadata", "generation"]).as_i64() {
        let observed = condition.get("observedGeneration").as_i64();
        let observed = observed.or(object.path(&["status", "observedGeneration"]).as_i64());
        if observed.is_some_and(|o| o < generation) {
            return false;
        }
    }
    condition.get("status").str_or_empty().eq_ignore_ascii_case(value)
}

fn path_holds(object: &Value, path: &JsonPath, value: &str) -> anyhow::Result<bool> {
    let found = path.find(object)?;
    let Some(first) = found.first().and_then(|g| g.first()) else {
        return Ok(false);
    };
    anyhow::ensure!(found.len() == 1, "given jsonpath expression matches more than one list");
    anyhow::ensure!(found[0].len() == 1, "given jsonpath expression matches more than one value");
    if value.is_empty() {
        return Ok(true);
    }
    anyhow::ensure!(
        first.as_map().is_none() && first.as_list().is_none(),
        "jsonpath leads to a nested object or list which is not supported"
    );
    Ok(sprint(first).trim() == value.trim())
}
