//! `kubectl run`. Corresponds to kubectl/pkg/cmd/run.

use std::collections::BTreeMap;
use std::time::Duration;

use apimachinery::value::Value;
use http::Method;
use serde_json::json;

use super::create::{LAST_APPLIED, applied_annotation, create_typed};
use super::delete::deletion_flags;
use super::expose::{parse_labels, service_ports};
use super::overrides::{overridden, override_flags};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Mapping, Request, Rest};
use crate::failure::{ApiStatus, Failure, aggregate, is_not_found};
use crate::options::{self, DryRun};
use crate::pods;
use crate::printers::{self, GenericPrinter, PrintFlags, Printed};
use crate::resource::{TIMED_OUT, Verdict, Watched};
use crate::streaming::Session;

/// The command.
pub static COMMAND: Command = Command {
    name: "run",
    args: "NAME --image=image [--env=\"key=value\"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...]",
    short: "Run a particular image on the cluster",
    long: "Create and run a particular image in a pod.",
    example: "# A pod with nginx\nkubectl run nginx --image=nginx\n\n# A shell that is removed when it ends\nkubectl run -i -t busybox --image=busybox --restart=Never --rm\n\n# Other arguments\nkubectl run nginx --image=nginx -- <arg1> <arg2> ... <argN>",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    deletion_flags(flags, false);
    options::filename_flags(flags, "to use to replace the resource.");
    printers::print_flags(flags);
    options::record_flag(flags);
    options::dry_run_flag(flags);
    flags.array("annotations", "", "Annotations to apply to the pod.");
    flags.string("image", "", "", "The image for the container to run.").require();
    flags.string("image-pull-policy", "", "", "The image pull policy for the container.  If left empty, this value will not be specified by the client and defaulted by the server.");
    flags.bool("rm", "", false, "If true, delete the pod after it exits.  Only valid when attaching to the container, e.g. with '--attach' or with '-i/--stdin'.");
    flags.array("env", "", "Environment variables to set in the container.");
    flags.string("port", "", "", "The port that this container exposes.");
    flags.string("labels", "l", "", "Comma separated labels to apply to the pod. Will override previous values.");
    flags.bool("stdin", "i", false, "Keep stdin open on the container in the pod, even if nothing is attached.");
    flags.bool("tty", "t", false, "Allocate a TTY for the container in the pod.");
    flags.bool("attach", "", false, "If true, wait for the Pod to start running, and then attach to the Pod as if 'kubectl attach ...' were called.  Default false, unless '-i/--stdin' is set, in which case the default is true. With '--restart=Never' the exit code of the container process is returned.");
    flags.bool("leave-stdin-open", "", false, "If the pod is started in interactive mode or with stdin, leave stdin open after the first attach completes. By default, stdin will be closed after the first attach completes.");
    flags.string("restart", "", "Always", "The restart policy for this Pod.  Legal values [Always, OnFailure, Never].");
    flags.bool("command", "", false, "If true and extra arguments are present, use them as the 'command' field in the container, rather than the 'args' field which is the default.");
    flags.bool("expose", "", false, "If true, create a ClusterIP service associated with the pod.  Requires `--port`.");
    flags.bool("quiet", "q", false, "If true, suppress prompt messages.");
    flags.bool("privileged", "", false, "If true, run the container in privileged mode.");
    flags.string("detach-keys", "", "", "Override the key sequence for detaching a container.");
    options::field_manager_flag(flags, "kubectl-run");
    override_flags(flags);
    options::save_config_flag(flags);
    flags.duration(
        "pod-running-timeout",
        "1m0s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    );
}

/// Whether the text can be the name of an image: lowercase path, tag, digest.
fn is_reference(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    let (name, tag) = match name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((name, tag)) => (name, Some(tag)),
        None => (name, None),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let tag_ok =
        tag.is_none_or(|t| t.starts_with(word) && t.len() <= 128 && t.chars().all(|c| word(c) || c == '.' || c == '-'));
    let digest_ok = digest.is_none_or(|d| {
        d.split_once(':').is_some_and(|(kind, hex)| {
            kind.starts_with(|c: char| c.is_ascii_alphabetic())
                && hex.len() >= 32
                && hex.chars().all(|c| c.is_ascii_hexdigit())
        })
    });
    let mut parts = name.split('/').peekable();
    let first = parts.peek().copied().unwrap_or_default();
    let is_host = name.contains('/')
        && (first.contains(['.', ':']) || first.chars().any(char::is_uppercase) || first == "localhost");
    if is_host {
        parts.next();
    }
    let component = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(plain)
            && part.ends_with(plain)
            && part.chars().all(|c| plain(c) || matches!(c, '.' | '_' | '-'))
            && !part.contains("..")
            && !part.contains("___")
    };
    tag_ok && digest_ok && parts.clone().next().is_some() && parts.all(component)
}

/// Checks the flags against each other; the result is whether to attach.
fn check(inv: &Invocation, dry_run: DryRun) -> anyhow::Result<bool> {
    let flags = &inv.flags;
    let usage = |text: &str| inv.usage_error(text);
    if inv.args.is_empty() || inv.args_before_dash() == Some(0) {
        return Err(usage("NAME is required for run"));
    }
    if flags.get_duration("pod-running-timeout").0 <= 0 {
        return Err(usage("--pod-running-timeout must be higher than zero"));
    }
    let image = flags.str("image");
    anyhow::ensure!(!image.is_empty(), "--image is required");
    anyhow::ensure!(is_reference(image), "Invalid image name {}: invalid reference format", quote(image));
    let stdin = flags.get_bool("stdin");
    if flags.get_bool("tty") && !stdin {
        return Err(usage("-i/--stdin is required for containers with -t/--tty=true"));
    }
    if flags.get_bool("expose") && flags.str("port").is_empty() {
        return Err(usage("--port must be set when exposing a service"));
    }
    let restart = flags.str("restart");
    if !matches!(restart, "" | "Always" | "OnFailure" | "Never") {
        return Err(usage(&format!("invalid restart policy: {restart}")));
    }
    let attach = flags.get_bool("attach") || (!flags.changed("attach") && stdin);
    if !attach && flags.get_bool("rm") {
        return Err(usage("--rm should only be used for attached containers"));
    }
    if attach && dry_run != DryRun::None {
        return Err(usage(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
        ));
    }
    let pull = flags.str("image-pull-policy");
    if !matches!(pull, "" | "Always" | "IfNotPresent" | "Never") {
        return Err(usage(&format!("invalid image pull policy: {pull}")));
    }
    Ok(attach)
}

fn restart_policy(flags: &FlagSet) -> &str {
    match flags.str("restart") {
        "" if flags.get_bool("stdin") => "OnFailure",
        "" => "Always",
        policy => policy,
    }
}

fn environment(flags: &FlagSet) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut out = Vec::new();
    for pair in flags.list("env") {
        let parts = pair.split_once('=').filter(|(name, _)| apimachinery::names::env_var_name(name).is_empty());
        let (name, value) = parts.ok_or_else(|| anyhow::anyhow!("invalid env: {pair}"))?;
        let mut variable = json!({"name": name});
        if !value.is_empty() {
            variable["value"] = json!(value);
        }
        out.push(variable);
    }
    Ok(out)
}

fn port(flags: &FlagSet) -> anyhow::Result<i32> {
    let text = flags.str("port");
    text.parse().map_err(|_| anyhow::anyhow!("strconv.Atoi: parsing {}: invalid syntax", quote(text)))
}

fn container(inv: &Invocation, name: &str) -> anyhow::Result<serde_json::Value> {
    let flags = &inv.flags;
    let mut container = json!({"name": name, "image": flags.str("image")});
    let arguments = &inv.args[1..];
    if !arguments.is_empty() {
        container[if flags.get_bool("command") { "command" } else { "args" }] = json!(arguments);
    }
    let environment = environment(flags)?;
    if !environment.is_empty() {
        container["env"] = json!(environment);
    }
    if !flags.str("image-pull-policy").is_empty() {
        container["imagePullPolicy"] = json!(flags.str("image-pull-policy"));
    }
    if !flags.str("port").is_empty() {
        container["ports"] = json!([{"containerPort": port(flags)?}]);
    }
    if flags.get_bool("stdin") {
        container["stdin"] = json!(true);
        if !flags.get_bool("leave-stdin-open") {
            container["stdinOnce"] = json!(true);
        }
    }
    if flags.get_bool("tty") {
        container["tty"] = json!(true);
    }
    if flags.get_bool("privileged") {
        container["securityContext"] = json!({"privileged": true});
    }
    Ok(container)
}

fn pod(inv: &Invocation, name: &str) -> anyhow::Result<Value> {
    let flags = &inv.flags;
    let (annotations, _) = options::parse_pairs(&flags.list("annotations"), "annotations", false)?;
    let mut pod = Value::from(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [container(inv, name)?],
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": restart_policy(flags),
        },
    }));
    let labels = match flags.str("labels") {
        "" => Value::from([("run", name)]),
        text => parse_labels(text)?,
    };
    pod.set_path(&["metadata", "labels"], labels);
    for (key, value) in annotations {
        pod.set_path(&["metadata", "annotations", &key], Value::from(value));
    }
    Ok(pod)
}

fn service(flags: &FlagSet, name: &str) -> anyhow::Result<Value> {
    let selector = match flags.str("labels") {
        "" => format!("run={name}"),
        text => text.to_owned(),
    };
    let mut service = Value::from([("apiVersion", "v1"), ("kind", "Service")]);
    service.set_path(&["metadata", "name"], Value::from(name));
    if !flags.str("labels").is_empty() {
        service.set_path(&["metadata", "labels"], parse_labels(flags.str("labels"))?);
    }
    service.set_path(&["spec", "selector"], parse_labels(&selector)?);
    let ports = service_ports(flags.str("port"), "", "", &BTreeMap::new())?;
    service.set_path(&["spec", "ports"], Value::List(ports));
    Ok(service)
}

/// Creates an object unless it is a client dry run.
async fn make(inv: &Invocation, mut object: Value, dry_run: DryRun) -> anyhow::Result<Value> {
    if dry_run.is_client() {
        let (namespace, explicit) = inv.ctx.namespace()?;
        if explicit {
            object.set_path(&["metadata", "namespace"], Value::from(namespace));
        }
        return Ok(object);
    }
    let annotated = object.path(&["metadata", "annotations", LAST_APPLIED]).as_str().is_some();
    if inv.flags.get_bool("save-config") || annotated {
        applied_annotation(&mut object, true);
    }
    create_typed(inv, &object, dry_run, inv.flags.str("field-manager"), "").await
}

async fn expose(inv: &Invocation, name: &str, dry_run: DryRun, printer: &mut GenericPrinter) -> anyhow::Result<Value> {
    let service = make(inv, service(&inv.flags, name)?, dry_run).await?;
    inv.ctx.out(&printer.print_as(Printed { object: &service, typed: true })?);
    if inv.flags.str("output") == "yaml" {
        inv.ctx.out("---\n");
    }
    Ok(service)
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("created"))?;
    let attach = check(&inv, dry_run)?;
    let name = inv.args[0].clone();
    let created = make(&inv, overridden(&inv.flags, pod(&inv, &name)?)?, dry_run).await?;
    let mut all = vec![created.clone()];
    let mut errors = Vec::new();
    if inv.flags.get_bool("expose") {
        match expose(&inv, &name, dry_run, &mut printer).await {
            Ok(service) => all.push(service),
            Err(error) => errors.push(error),
        }
    }
    if attach {
        let result = follow(&inv, &created).await;
        if inv.flags.get_bool("rm") {
            remove(&inv, &all).await?;
        }
        return result;
    }
    inv.ctx.out(&printer.print_as(Printed { object: &created, typed: true })?);
    aggregate(errors)
}

/// Deletes what was created, without waiting.
async fn remove(inv: &Invocation, objects: &[Value]) -> anyhow::Result<()> {
    let rest = inv.ctx.rest().await?;
    for object in objects {
        let mapping = super::create::static_mapping(object)?;
        let meta = object.get("metadata");
        let (namespace, name) = (meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty());
        let options = Value::from([("propagationPolicy", "Background")]);
        match rest.value(Request::to(Method::DELETE, &mapping, namespace, name).json(&options)).await {
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => {}
        }
        if !inv.flags.get_bool("quiet") {
            let kind = mapping.kind.to_lowercase();
            inv.ctx.out(&format!("{kind} {} deleted from {namespace} namespace\n", quote(name)));
        }
    }
    Ok(())
}

fn phase(pod: &Value) -> &str {
    pod.path(&["status", "phase"]).str_or_empty()
}

fn running(pod: &Value) -> bool {
    let ready = |c: &Value| c.get("type").str_or_empty() == "Ready" && c.get("status").str_or_empty() == "True";
    phase(pod) == "Running" && pod.path(&["status", "conditions"]).items().iter().any(ready)
}

/// Waits for a state of the pod.
async fn wait_for(
    rest: &Rest,
    pod: &Value,
    timeout: Duration,
    reached: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let meta = pod.get("metadata");
    let mapping = Mapping {
        group: String::new(),
        version: "v1".to_owned(),
        resource: "pods".to_owned(),
        kind: "Pod".to_owned(),
        namespaced: true,
    };
    let watched = Watched {
        rest,
        mapping: &mapping,
        namespace: meta.get("namespace").str_or_empty(),
        name: meta.get("name").str_or_empty(),
    };
    let gone = || {
        let message = "pods \"\" not found".to_owned();
        let status = ApiStatus { code: 404, reason: "NotFound".to_owned(), message, ..ApiStatus::default() };
        anyhow::Error::from(Failure::Status(Box::new(status)))
    };
    let judged = watched.until(|state| match state {
        None => Err(gone()),
        Some(pod) if reached(pod) => Ok(Verdict::Done),
        Some(_) => Ok(Verdict::Wait),
    });
    let found = tokio::time::timeout(timeout, judged).await.map_err(|_| anyhow::anyhow!(TIMED_OUT))??;
    found.ok_or_else(gone)
}

async fn print_logs(inv: &Invocation, rest: &Rest, pod: &Value) -> anyhow::Result<()> {
    let meta = pod.get("metadata");
    let (namespace, name) = (meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty());
    let container = pods::choose_container(pod, "", true)?.get("name").str_or_empty().to_owned();
    let request = Request::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/log")).query("container", container);
    inv.ctx.out_bytes(&rest.bytes(request).await?);
    Ok(())
}

/// Attaches to the pod's container and returns its exit code if the pod does not start it again.
async fn follow(inv: &Invocation, created: &Value) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let rest = inv.ctx.rest().await?;
    let timeout = flags.get_duration("pod-running-timeout").to_std();
    let ended = |pod: &Value| matches!(phase(pod), "Succeeded" | "Failed");
    let pod = wait_for(&rest, created, timeout, |p| running(p) || ended(p)).await?;
    if ended(&pod) {
        print_logs(inv, &rest, &pod).await?;
    } else {
        if let Err(error) = print_logs(inv, &rest, &pod).await {
            inv.ctx.err(&format!("warning: couldn't fetch pre-attach logs: {error}\n"));
        }
        let session = Session {
            stdin: flags.get_bool("stdin"),
            tty: flags.get_bool("tty"),
            quiet: flags.get_bool("quiet"),
            no_stderr: false,
        };
        if let Err(error) = super::attach::attach(inv, &pod, "", session).await {
            let name = pod.path(&["metadata", "name"]).str_or_empty();
            inv.ctx.err(&format!("warning: couldn't attach to pod/{name}, falling back to streaming logs: {error}\n"));
            print_logs(inv, &rest, &pod).await?;
        }
    }
    let policy = restart_policy(flags);
    if flags.get_bool("leave-stdin-open") || policy == "Always" {
        return Ok(());
    }
    let only_success = policy == "OnFailure";
    let pod = wait_for(&rest, created, timeout, |p| phase(p) == "Succeeded" || (!only_success && phase(p) == "Failed"))
        .await?;
    exit_code(&pod)
}

fn exit_code(pod: &Value) -> anyhow::Result<()> {
    if phase(pod) == "Succeeded" {
        return Ok(());
    }
    let meta = pod.get("metadata");
    let name = format!("{}/{}", meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty());
    let statuses = pod.path(&["status", "containerStatuses"]).items();
    let ended = statuses.first().map_or(&Value::Null, |s| s.path(&["state", "terminated"]));
    let code = ended.get("exitCode").as_i64().and_then(|c| i32::try_from(c).ok()).unwrap_or(0);
    anyhow::ensure!(code != 0, "pod {name} failed with unknown exit code");
    let (reason, message) = (ended.get("reason").str_or_empty(), ended.get("message").str_or_empty());
    Err(Failure::Coded(format!("pod {name} terminated ({reason})\n{message}"), code).into())
}

#[cfg(test)]
mod tests {
    use super::is_reference;

    #[test]
    fn image_names() {
        for good in [
            "nginx",
            "nginx:1.2",
            "localhost:5000/a/b:x",
            "k8s.gcr.io/pause@sha256:0123456789012345678901234567890123456789012345678901234567890123",
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in ["", "InvalidImage", "a//b", "a:b:c", "-x"] {
            assert!(!is_reference(bad), "{bad}");
        }
    }
}
