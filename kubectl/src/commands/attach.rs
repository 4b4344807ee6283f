//! `kubectl attach`. Corresponds to kubectl/pkg/cmd/attach.

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::pods;
use crate::resource::Builder;
use crate::streaming::{Session, interact};

/// The command.
pub static COMMAND: Command = Command {
    name: "attach",
    args: "(POD | TYPE/NAME) -c CONTAINER",
    short: "Attach to a running container",
    long: "Attach to a process that is already running inside an existing container.",
    example: "# The first container of a pod\nkubectl attach mypod\n\n# With a terminal\nkubectl attach mypod -c ruby-container -i -t",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.duration(
        "pod-running-timeout",
        "1m0s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    );
    super::exec::stream_flags(flags);
    flags.string("detach-keys", "", "", "Override the key sequence for detaching a container.");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    anyhow::ensure!(!inv.args.is_empty(), "at least 1 argument is required for attach");
    anyhow::ensure!(
        inv.args.len() <= 2,
        "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {}: [{}]",
        inv.args.len(),
        inv.args.join(" ")
    );
    let timeout = flags.get_duration("pod-running-timeout");
    anyhow::ensure!(timeout.0 > 0, "--pod-running-timeout must be higher than zero");
    anyhow::ensure!(flags.str("detach-keys").is_empty(), "--detach-keys is not implemented in this kubectl");
    let (namespace, _) = inv.ctx.namespace()?;
    let builder = Builder::new(&inv.ctx).namespace(&namespace, false);
    let builder = match inv.args.as_slice() {
        [kind, name] => builder.resource_names(kind, std::slice::from_ref(name)),
        names => builder.resource_names("pods", names),
    };
    let mut infos = builder.run().await?.infos()?;
    anyhow::ensure!(infos.len() == 1, "expected a single resource");
    let rest = inv.ctx.rest().await?;
    let pod = pods::attachable(&rest, &infos.remove(0).object, timeout.to_std()).await?;
    let phase = pod.path(&["status", "phase"]).str_or_empty();
    anyhow::ensure!(
        phase != "Succeeded" && phase != "Failed",
        "cannot attach a container in a completed pod; current phase is {phase}"
    );
    let session = Session {
        stdin: flags.get_bool("stdin"),
        tty: flags.get_bool("tty"),
        quiet: flags.get_bool("quiet"),
        no_stderr: false,
    };
    attach(&inv, &pod, flags.str("container"), session).await
}

/// Attaches to a container of a pod.
pub(super) async fn attach(inv: &Invocation, pod: &Value, container: &str, mut session: Session) -> anyhow::Result<()> {
    let chosen = pods::choose_container(pod, container, session.quiet)
        .map_err(|e| anyhow::anyhow!("cannot attach to the container: {e}"))?;
    let name = chosen.get("name").str_or_empty();
    let has_tty = chosen.get("tty").as_bool().unwrap_or(false);
    if session.tty && !has_tty {
        session.tty = false;
        if !session.quiet {
            inv.ctx.err(&format!("error: Unable to use a TTY - container {name} did not allocate one\n"));
        }
    } else if !session.tty && has_tty {
        session.tty = true;
    }
    session.settle_tty();
    if !session.quiet {
        inv.ctx.err("All commands and output from this session will be recorded in container logs, including credentials and sensitive information passed through the command prompt.\nIf you don't see a command prompt, try pressing enter.\n");
    }
    let meta = pod.get("metadata");
    let (namespace, pod_name) = (meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty());
    let request =
        Request::get(format!("/api/v1/namespaces/{namespace}/pods/{pod_name}/attach")).query("container", name);
    let rest = inv.ctx.rest().await?;
    interact(&rest, request, &session).await?;
    if !session.quiet && session.stdin && session.tty {
        let path = inv.command_path();
        let path = if path.ends_with("attach") { path } else { "kubectl attach".to_owned() };
        let command = format!("'{path} {pod_name} -c {name} -n {namespace} -i -t'");
        let ephemeral = pod.path(&["spec", "ephemeralContainers"]).items();
        inv.ctx.out(&if ephemeral.iter().any(|container| container.get("name").str_or_empty() == name) {
            format!("Session ended, the ephemeral container will not be restarted but may be reattached using {command} if it is still running\n")
        } else {
            format!("Session ended, resume using {command} command\n")
        });
    }
    Ok(())
}
