//! `kubectl logs`. Corresponds to kubectl/pkg/cmd/logs.

use std::rc::Rc;
use std::time::Duration;

use apimachinery::value::Value;
use tokio::io::AsyncBufReadExt as _;

use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Request, Rest};
use crate::context::Context;
use crate::failure::{is_not_found, status_of};
use crate::options;
use crate::pods;
use crate::resource::{Builder, list_items};

/// The command.
pub static COMMAND: Command = Command {
    name: "logs",
    args: "[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
    short: "Print the logs for a container in a pod",
    long: "Print the logs for a container in a pod or specified resource. If the pod has only one container, the container name is optional.",
    example: "# A pod with one container\nkubectl logs nginx\n\n# All containers\nkubectl logs nginx --all-containers=true\n\n# The container before it was restarted\nkubectl logs -p -c ruby web-1\n\n# Follow\nkubectl logs -f -c ruby web-1",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.bool("all-pods", "", false, "Get logs from all pod(s). Sets prefix to true.");
    flags.bool("all-containers", "", false, "Get all containers' logs in the pod(s).");
    flags.bool("follow", "f", false, "Specify if the logs should be streamed.");
    flags.bool("timestamps", "", false, "Include timestamps on each line in the log output.");
    flags.int("limit-bytes", 64, 0, "Maximum bytes of logs to return. Defaults to no limit.");
    flags.bool(
        "previous",
        "p",
        false,
        "If true, print the logs for the previous instance of the container in a pod if it exists.",
    );
    flags.int("tail", 64, -1, "Lines of recent log file to display. Defaults to -1 with no selector, showing all log lines otherwise 10, if a selector is provided.");
    flags.string("since-time", "", "", "Only return logs after a specific date (RFC3339). Defaults to all logs. Only one of since-time / since may be used.");
    flags.duration("since", "0s", "Only return logs newer than a relative duration like 5s, 2m, or 3h. Defaults to all logs. Only one of since-time / since may be used.");
    flags.string("container", "c", "", "Print the logs of this container");
    flags.bool("insecure-skip-tls-verify-backend", "", false, "Skip verifying the identity of the kubelet that logs are requested from. In theory, an attacker could provide invalid log content back.");
    flags.duration(
        "pod-running-timeout",
        "20s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    );
    options::selector_flag(flags);
    flags.int(
        "max-log-requests",
        64,
        5,
        "Specify maximum number of concurrent logs to follow when using by a selector. Defaults to 5.",
    );
    flags.bool("prefix", "", false, "Prefix each log line with the log source (pod name and container name)");
    flags.bool(
        "ignore-errors",
        "",
        false,
        "If watching / following pod logs, allow for any errors that occur to be non-fatal",
    );
}

const USAGE: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command";

/// One container's log.
struct Source {
    request: Request,
    prefix: String,
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let selector = flags.str("selector");
    match inv.args.len() {
        0 if selector.is_empty() => return Err(inv.usage_error(USAGE)),
        1 if !selector.is_empty() => {
            return Err(inv.usage_error("only a selector (-l) or a POD name is allowed"));
        }
        0..=2 => {}
        _ => return Err(inv.usage_error(USAGE)),
    }
    let timeout = flags.get_duration("pod-running-timeout");
    anyhow::ensure!(timeout.0 > 0, "--pod-running-timeout must be higher than zero");
    validate(&inv)?;
    let container = inv.args.get(1).map_or(flags.str("container"), String::as_str).to_owned();
    let rest = inv.ctx.rest().await?;
    let pods = pods_of(&inv, &rest, timeout.to_std()).await?;
    let mut sources = Vec::new();
    for pod in &pods {
        sources.extend(sources_of(&inv, pod, &container)?);
    }
    let follow = flags.get_bool("follow");
    let most = usize::try_from(flags.get_int("max-log-requests")).unwrap_or(0);
    anyhow::ensure!(
        !follow || sources.len() < 2 || sources.len() <= most,
        "you are attempting to follow {} log streams, but maximum allowed concurrency is {most}, use --max-log-requests to increase the limit",
        sources.len()
    );
    let options = Options { follow, ignore: flags.get_bool("ignore-errors"), timeout: timeout.to_std() };
    if follow && sources.len() > 1 {
        let tasks: Vec<_> = sources
            .into_iter()
            .map(|s| tokio::task::spawn_local(consume(Rc::clone(&inv.ctx), Rc::clone(&rest), s, options)))
            .collect();
        for task in tasks {
            task.await??;
        }
        return Ok(());
    }
    for source in sources {
        consume(Rc::clone(&inv.ctx), Rc::clone(&rest), source, options).await?;
    }
    Ok(())
}

fn validate(inv: &Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    anyhow::ensure!(
        flags.str("since-time").is_empty() || flags.get_duration("since").0 == 0,
        "at most one of `sinceTime` or `sinceSeconds` may be specified"
    );
    let named = inv.args.get(1).map_or(flags.str("container"), String::as_str);
    anyhow::ensure!(
        !flags.get_bool("all-containers") || named.is_empty(),
        "--all-containers=true should not be specified with container name {named}"
    );
    anyhow::ensure!(
        !flags.changed("container") || inv.args.len() < 2,
        "only one of -c or an inline [CONTAINER] arg is allowed"
    );
    anyhow::ensure!(flags.get_int("limit-bytes") >= 0, "--limit-bytes must be greater than 0");
    if !flags.str("since-time").is_empty() {
        crate::time::check_rfc3339(flags.str("since-time")).map_err(anyhow::Error::msg)?;
    }
    anyhow::ensure!(flags.get_duration("since").0 >= 0, "--since must be greater than 0");
    anyhow::ensure!(flags.get_int("tail") >= -1, "--tail must be greater than or equal to -1");
    Ok(())
}

async fn pods_of(inv: &Invocation, rest: &Rest, timeout: Duration) -> anyhow::Result<Vec<Value>> {
    let flags = &inv.flags;
    let (namespace, _) = inv.ctx.namespace()?;
    let selector = flags.str("selector");
    if !selector.is_empty() {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let list = rest.value(Request::get(path).query("labelSelector", selector)).await?;
        let pods = list_items(&list);
        if pods.is_empty() {
            inv.ctx.err(&format!("No resources found in {namespace} namespace.\n"));
        }
        return Ok(pods);
    }
    let found = Builder::new(&inv.ctx)
        .namespace(&namespace, false)
        .single_type()
        .resource_names("pods", &inv.args[..1])
        .run()
        .await?
        .infos();
    let infos = found.map_err(|error| match is_not_found(&error) {
        true => anyhow::anyhow!("error from server (NotFound): {error} in namespace {}", quote(&namespace)),
        false => error,
    })?;
    let [info] = infos.as_slice() else {
        anyhow::bail!("expected a resource");
    };
    if info.object.get("kind").str_or_empty() == "Pod" {
        return Ok(vec![info.object.clone()]);
    }
    let (namespace, selector) = pods::selector_of(&info.object).map_err(|e| {
        let version = info.object.get("apiVersion").str_or_empty().rsplit('/').next().unwrap_or_default();
        anyhow::anyhow!("cannot get the logs from *{version}.{}: {e}", info.object.get("kind").str_or_empty())
    })?;
    let mut pods = pods::find(rest, &namespace, &selector, timeout).await?;
    if pods.len() > 1 && !flags.get_bool("all-pods") {
        let name = pods[0].path(&["metadata", "name"]).str_or_empty();
        inv.ctx.err(&format!("Found {} pods, using pod/{name}\n", pods.len()));
        pods.truncate(1);
    }
    Ok(pods)
}

fn sources_of(inv: &Invocation, pod: &Value, container: &str) -> anyhow::Result<Vec<Source>> {
    let flags = &inv.flags;
    let meta = pod.get("metadata");
    let name = meta.get("name").str_or_empty();
    let mut names: Vec<String> = Vec::new();
    if flags.get_bool("all-containers") {
        for field in ["initContainers", "containers", "ephemeralContainers"] {
            names.extend(pod.path(&["spec", field]).items().iter().map(|c| c.get("name").str_or_empty().to_owned()));
        }
    } else {
        let chosen = pods::choose_container(pod, container, flags.get_bool("all-pods"))?;
        names.push(chosen.get("name").str_or_empty().to_owned());
    }
    let prefixed = flags.get_bool("prefix") || flags.get_bool("all-pods");
    let one = |container: String| {
        let path = format!("/api/v1/namespaces/{}/pods/{name}/log", meta.get("namespace").str_or_empty());
        Source {
            prefix: if prefixed { format!("[pod/{name}/{container}] ") } else { String::new() },
            request: log_request(flags, path, &container),
        }
    };
    Ok(names.into_iter().map(one).collect())
}

fn log_request(flags: &FlagSet, path: String, container: &str) -> Request {
    let mut request = Request::get(path).accept("application/json, */*").query("container", container);
    for (flag, name) in [
        ("follow", "follow"),
        ("previous", "previous"),
        ("timestamps", "timestamps"),
        ("insecure-skip-tls-verify-backend", "insecureSkipTLSVerifyBackend"),
    ] {
        if flags.get_bool(flag) {
            request = request.query(name, "true");
        }
    }
    let since = (flags.get_duration("since").0 + 500_000_000) / 1_000_000_000;
    if flags.get_duration("since").0 > 0 {
        request = request.query("sinceSeconds", since.to_string());
    }
    request = request.maybe("sinceTime", flags.str("since-time"));
    let tail = flags.get_int("tail");
    if tail == -1 && !flags.changed("tail") && !flags.str("selector").is_empty() {
        request = request.query("tailLines", "10");
    } else if tail != -1 {
        request = request.query("tailLines", tail.to_string());
    }
    match flags.get_int("limit-bytes") {
        0 => request,
        limit => request.query("limitBytes", limit.to_string()),
    }
}

#[derive(Clone, Copy)]
struct Options {
    follow: bool,
    ignore: bool,
    timeout: Duration,
}

/// Prints a log. When following, an answer of refusal is asked again until the timeout.
async fn consume(ctx: Rc<Context>, rest: Rc<Rest>, source: Source, options: Options) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + options.timeout;
    loop {
        let Err(error) = copy(&ctx, &rest, &source).await else {
            return Ok(());
        };
        if options.ignore {
            ctx.out(&format!("error: {error}\n"));
            return Ok(());
        }
        if !options.follow {
            return Err(error);
        }
        ctx.err(&format!("{error}\n"));
        if status_of(&error).is_none() {
            return Err(error);
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, crate::resource::TIMED_OUT);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn copy(ctx: &Context, rest: &Rest, source: &Source) -> anyhow::Result<()> {
    let mut stream = rest.stream(source.request.clone()).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        if source.prefix.is_empty() {
            ctx.out_bytes(&line);
        } else {
            ctx.out_bytes(&[source.prefix.as_bytes(), &line].concat());
        }
    }
}
