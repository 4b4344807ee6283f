//! `kubectl port-forward`. Corresponds to kubectl/pkg/cmd/portforward.

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::pods;
use crate::resource::Builder;
use crate::streaming::{ForwardedPort, forward};

/// The command.
pub static COMMAND: Command = Command {
    name: "port-forward",
    args: "TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
    short: "Forward one or more local ports to a pod",
    long: "Forward one or more local ports to a pod.\n\nA type/name such as deployment/mydeployment selects one of its pods; the forwarding ends when that pod ends.",
    example: "# Ports 5000 and 6000\nkubectl port-forward pod/mypod 5000 6000\n\n# Local 8443 to the service's https port\nkubectl port-forward service/myservice 8443:https",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.slice(
        "address",
        "",
        "localhost",
        "Addresses to listen on (comma separated). Only accepts IP addresses or localhost as a value.",
    );
    flags.duration(
        "pod-running-timeout",
        "1m0s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    );
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    if inv.args.len() < 2 {
        return Err(inv.usage_error("TYPE/NAME and list of ports are required for port-forward"));
    }
    let timeout = inv.flags.get_duration("pod-running-timeout");
    if timeout.0 <= 0 {
        return Err(inv.usage_error("--pod-running-timeout must be higher than zero"));
    }
    let (namespace, _) = inv.ctx.namespace()?;
    let mut infos = Builder::new(&inv.ctx)
        .namespace(&namespace, false)
        .resource_names("pods", &inv.args[..1])
        .run()
        .await?
        .infos()?;
    let object = infos.remove(0).object;
    let rest = inv.ctx.rest().await?;
    let pod = pods::attachable(&rest, &object, timeout.to_std()).await?;
    let service = (object.get("kind").str_or_empty() == "Service").then_some(&object);
    let mut ports = Vec::new();
    for text in &inv.args[1..] {
        ports.push(ForwardedPort::parse(&translate(text, service, &pod)?)?);
    }
    let name = pod.path(&["metadata", "name"]).str_or_empty().to_owned();
    let namespace = pod.path(&["metadata", "namespace"]).str_or_empty().to_owned();
    let phase = pod.path(&["status", "phase"]).str_or_empty();
    anyhow::ensure!(phase == "Running", "unable to forward port because pod is not running. Current status={phase}");
    let request = Request::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/portforward"));
    forward(&inv.ctx, request, &inv.flags.list("address"), &ports).await
}

/// Replaces port names, and a service's ports, by the pod's port numbers.
fn translate(text: &str, service: Option<&Value>, pod: &Value) -> anyhow::Result<String> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    anyhow::ensure!(!remote.is_empty(), "remote port cannot be empty");
    let mut local = local.to_owned();
    let number = match (service, remote.parse::<i64>()) {
        (None, Ok(number)) => number,
        (None, Err(_)) => pod_port(pod, remote)?,
        (Some(service), parsed) => {
            let port = match parsed {
                Ok(number) => number,
                Err(_) => {
                    let number = named_service_port(service, remote)?;
                    if local == remote {
                        local = number.to_string();
                    }
                    number
                }
            };
            target_port(service, pod, port)?
        }
    };
    if service.is_none() && local == remote {
        return Ok(number.to_string());
    }
    Ok(format!("{local}:{number}"))
}

fn pod_port(pod: &Value, name: &str) -> anyhow::Result<i64> {
    let containers = pod.path(&["spec", "containers"]).items();
    let ports = containers.iter().flat_map(|c| c.get("ports").items());
    let found = ports.filter(|p| p.get("name").str_or_empty() == name).find_map(|p| p.get("containerPort").as_i64());
    let shown = pod.path(&["metadata", "name"]).str_or_empty();
    found.ok_or_else(|| anyhow::anyhow!("Pod '{shown}' does not have a named port '{name}'"))
}

fn named_service_port(service: &Value, name: &str) -> anyhow::Result<i64> {
    let ports = service.path(&["spec", "ports"]).items();
    let found = ports.iter().find(|p| p.get("name").str_or_empty() == name).and_then(|p| p.get("port").as_i64());
    let shown = service.path(&["metadata", "name"]).str_or_empty();
    found.ok_or_else(|| anyhow::anyhow!("Service '{shown}' does not have a named port '{name}'"))
}

fn target_port(service: &Value, pod: &Value, port: i64) -> anyhow::Result<i64> {
    let ports = service.path(&["spec", "ports"]).items();
    let Some(entry) = ports.iter().find(|p| p.get("port").as_i64() == Some(port)) else {
        let shown = service.path(&["metadata", "name"]).str_or_empty();
        anyhow::bail!("Service {shown} does not have a service port {port}");
    };
    if service.path(&["spec", "clusterIP"]).str_or_empty() == "None" {
        return Ok(port);
    }
    match entry.get("targetPort") {
        Value::Int(0) | Value::Null => Ok(port),
        Value::Int(number) => Ok(*number),
        name => pod_port(pod, name.str_or_empty()),
    }
}
