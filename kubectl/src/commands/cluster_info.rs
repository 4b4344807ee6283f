//! `kubectl cluster-info`. Corresponds to kubectl/pkg/cmd/clusterinfo.

use apimachinery::value::Value;

use super::cluster_info_dump;
use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Request;
use crate::resource::list_items;

/// The command.
pub static COMMAND: Command = Command {
    name: "cluster-info",
    short: "Display cluster information",
    long: "Display addresses of the control plane and services with label kubernetes.io/cluster-service=true. To further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.",
    example: "# The addresses\nkubectl cluster-info",
    flags,
    subcommands: &[&cluster_info_dump::COMMAND],
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(_: &mut FlagSet) {}

const ADVICE: &str = "\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.\n";

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let rest = inv.ctx.rest().await?;
    let (mut namespace, explicit) = inv.ctx.namespace()?;
    if !explicit {
        "kube-system".clone_into(&mut namespace);
    }
    let request = Request::get(format!("/api/v1/namespaces/{namespace}/services"))
        .query("labelSelector", "kubernetes.io/cluster-service=true");
    let services = match rest.value(request).await {
        Ok(services) => services,
        Err(error) => {
            inv.ctx.out(ADVICE);
            return Err(error);
        }
    };
    let server = rest.server().trim_end_matches('/').to_owned();
    print(&inv, "Kubernetes control plane", &server);
    for service in list_items(&services) {
        let label = service.path(&["metadata", "labels", "kubernetes.io/name"]).str_or_empty();
        let name = service.path(&["metadata", "name"]).str_or_empty();
        print(&inv, if label.is_empty() { name } else { label }, &link(&service, &server));
    }
    inv.ctx.out(ADVICE);
    Ok(())
}

/// Where a service answers.
fn link(service: &Value, server: &str) -> String {
    if let Some(ingress) = service.path(&["status", "loadBalancer", "ingress"]).items().first() {
        let address = match ingress.get("ip").str_or_empty() {
            "" => ingress.get("hostname").str_or_empty(),
            ip => ip,
        };
        let ports = service.path(&["spec", "ports"]).items();
        let one = |port: &Value| format!("http://{address}:{} ", port.get("port").as_i64().unwrap_or(0));
        return ports.iter().map(one).collect();
    }
    let meta = service.get("metadata");
    let (namespace, mut name) = (meta.get("namespace").str_or_empty(), meta.get("name").str_or_empty().to_owned());
    if let Some(port) = service.path(&["spec", "ports"]).items().first() {
        let scheme = match port.get("port").as_i64() {
            Some(443) => "https",
            _ if port.get("name").str_or_empty() == "https" => "https",
            _ => "",
        };
        let port = port.get("name").str_or_empty();
        name = match (scheme, port) {
            ("", "") => name,
            ("", port) => format!("{name}:{port}"),
            _ => format!("{scheme}:{name}:{port}"),
        };
    }
    format!("{server}/api/v1/namespaces/{namespace}/services/{name}/proxy")
}

fn print(inv: &Invocation, name: &str, link: &str) {
    inv.ctx.out(&format!("{name} is running at {link}\n"));
}
