//! `kubectl exec`. Corresponds to kubectl/pkg/cmd/exec.

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::pods;
use crate::resource::{Builder, FilenameOptions};
use crate::streaming::{Session, interact};

/// The command.
pub static COMMAND: Command = Command {
    name: "exec",
    args: "(POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...]",
    short: "Execute a command in a container",
    example: "# A command in the first container of a pod\nkubectl exec mypod -- date\n\n# A shell\nkubectl exec mypod -c ruby-container -i -t -- bash -il\n\n# In the first pod of a deployment\nkubectl exec deploy/mydeployment -- date",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

/// `-c`, `-i`, `-t`, `-q` of commands that connect to a container.
pub(super) fn stream_flags(flags: &mut FlagSet) {
    flags.string("container", "c", "", "Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the container to be attached or the first container in the pod will be chosen");
    flags.bool("stdin", "i", false, "Pass stdin to the container");
    flags.bool("tty", "t", false, "Stdin is a TTY");
    flags.bool("quiet", "q", false, "Only print output from the remote session");
}

fn flags(flags: &mut FlagSet) {
    flags.duration(
        "pod-running-timeout",
        "1m0s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    );
    flags.slice("filename", "f", "", "to use to exec into the resource");
    stream_flags(flags);
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let files = FilenameOptions::from_flags(flags);
    let dash = inv.args_before_dash();
    let resource = inv.args.first().filter(|_| dash != Some(0)).cloned();
    let command: Vec<String> = match dash {
        Some(at) => inv.args[at..].to_vec(),
        None if inv.args.len() > 1 || (!inv.args.is_empty() && !files.filenames.is_empty()) => {
            return Err(
                inv.usage_error("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
            );
        }
        None => Vec::new(),
    };
    let timeout = flags.get_duration("pod-running-timeout");
    if timeout.0 <= 0 {
        return Err(inv.usage_error("--pod-running-timeout must be higher than zero"));
    }
    anyhow::ensure!(
        resource.is_some() || !files.filenames.is_empty(),
        "pod, type/name or --filename must be specified"
    );
    anyhow::ensure!(!command.is_empty(), "you must specify at least one command for the container");
    let (namespace, explicit) = inv.ctx.namespace()?;
    let mut infos = Builder::new(&inv.ctx)
        .namespace(&namespace, explicit)
        .filenames(&files)
        .resource_names("pods", resource.as_slice())
        .run()
        .await?
        .infos()?;
    anyhow::ensure!(infos.len() == 1, "cannot exec into multiple objects at a time");
    let rest = inv.ctx.rest().await?;
    let pod = pods::attachable(&rest, &infos.remove(0).object, timeout.to_std()).await?;
    let phase = pod.path(&["status", "phase"]).str_or_empty();
    anyhow::ensure!(
        phase != "Succeeded" && phase != "Failed",
        "cannot exec into a container in a completed pod; current phase is {phase}"
    );
    let container = pods::choose_container(&pod, flags.str("container"), flags.get_bool("quiet"))?;
    let mut session = Session {
        stdin: flags.get_bool("stdin"),
        tty: flags.get_bool("tty"),
        quiet: flags.get_bool("quiet"),
        no_stderr: false,
    };
    session.settle_tty();
    interact(&rest, exec_request(&pod, container.get("name").str_or_empty(), &command), &session).await
}

/// The request to run a command in a container.
pub(super) fn exec_request(pod: &apimachinery::value::Value, container: &str, command: &[String]) -> Request {
    let meta = pod.get("metadata");
    let text = |key: &str| meta.get(key).str_or_empty();
    let path = format!("/api/v1/namespaces/{}/pods/{}/exec", text("namespace"), text("name"));
    let mut request = Request::get(path);
    for word in command {
        request = request.query("command", word.as_str());
    }
    request.query("container", container)
}
