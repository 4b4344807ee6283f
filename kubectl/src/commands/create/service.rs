//! `kubectl create service …`.

use apimachinery::names;
use apimachinery::value::Value;
use serde_json::json;

use super::generate::{finish, generator_flags, name, object};
use crate::cli::{Command, FlagSet, Invocation};

/// The group of commands.
pub static COMMAND: Command = Command {
    name: "service",
    aliases: &["svc"],
    short: "Create a service using a specified subcommand",
    subcommands: &[&CLUSTER_IP, &EXTERNAL_NAME, &LOAD_BALANCER, &NODE_PORT],
    ..Command::EMPTY
};

static CLUSTER_IP: Command = Command {
    name: "clusterip",
    args: "NAME [--tcp=<port>:<targetPort>] [--dry-run=server|client|none]",
    short: "Create a ClusterIP service",
    example: "# A ClusterIP service\nkubectl create service clusterip my-cs --tcp=5678:8080\n\n# A headless one\nkubectl create service clusterip my-cs --clusterip=\"None\"",
    flags: |flags| {
        service_flags(flags);
        flags.string(
            "clusterip",
            "",
            "",
            "Assign your own ClusterIP or set to 'None' for a 'headless' service (no loadbalancing).",
        );
    },
    run: Some(|inv| Box::pin(run(inv, "ClusterIP"))),
    ..Command::EMPTY
};

static NODE_PORT: Command = Command {
    name: "nodeport",
    args: "NAME [--tcp=port:targetPort] [--dry-run=server|client|none]",
    short: "Create a NodePort service",
    example: "# A NodePort service\nkubectl create service nodeport my-ns --tcp=5678:8080",
    flags: |flags| {
        service_flags(flags);
        flags.int("node-port", 64, 0, "Port used to expose the service on each node in a cluster.");
    },
    run: Some(|inv| Box::pin(run(inv, "NodePort"))),
    ..Command::EMPTY
};

static LOAD_BALANCER: Command = Command {
    name: "loadbalancer",
    args: "NAME [--tcp=port:targetPort] [--dry-run=server|client|none]",
    short: "Create a LoadBalancer service",
    example: "# A LoadBalancer service\nkubectl create service loadbalancer my-lbs --tcp=5678:8080",
    flags: service_flags,
    run: Some(|inv| Box::pin(run(inv, "LoadBalancer"))),
    ..Command::EMPTY
};

static EXTERNAL_NAME: Command = Command {
    name: "externalname",
    args: "NAME --external-name external.name [--dry-run=server|client|none]",
    short: "Create an ExternalName service",
    example: "# An ExternalName service\nkubectl create service externalname my-ns --external-name bar.com",
    flags: |flags| {
        service_flags(flags);
        flags.string("external-name", "", "", "External name of service").require();
    },
    run: Some(|inv| Box::pin(run(inv, "ExternalName"))),
    ..Command::EMPTY
};

fn service_flags(flags: &mut FlagSet) {
    generator_flags(flags);
    flags.slice("tcp", "", "", "Port pairs can be specified as '<port>:<targetPort>'.");
}

async fn run(inv: Invocation, kind: &'static str) -> anyhow::Result<()> {
    let name = name(&inv)?;
    let cluster_ip = inv.flags.str("clusterip");
    let external = inv.flags.str("external-name");
    let tcp = inv.flags.list("tcp");
    anyhow::ensure!(
        cluster_ip == "None" || !tcp.is_empty() || kind == "ExternalName",
        "at least one tcp port specifier must be provided"
    );
    anyhow::ensure!(
        kind != "ExternalName" || names::dns1123_subdomain(external).is_empty(),
        "invalid service external name {external}"
    );
    let mut service = object(&inv, "v1", "Service", &name)?;
    service.set_path(&["metadata", "labels", "app"], Value::from(name.as_str()));
    service.set_path(&["spec", "type"], Value::from(kind));
    service.set_path(&["spec", "selector", "app"], Value::from(name.as_str()));
    let node_port = inv.flags.get_int("node-port");
    let mut ports = Vec::new();
    for pair in &tcp {
        let (port, target) = parse_ports(pair)?;
        let mut entry = json!({"name": pair.replace(':', "-"), "port": port, "protocol": "TCP", "targetPort": target});
        if node_port != 0 {
            entry["nodePort"] = json!(node_port);
        }
        ports.push(Value::from(entry));
    }
    if !ports.is_empty() {
        service.set_path(&["spec", "ports"], Value::List(ports));
    }
    if !external.is_empty() {
        service.set_path(&["spec", "externalName"], Value::from(external));
    }
    if !cluster_ip.is_empty() {
        service.set_path(&["spec", "clusterIP"], Value::from(cluster_ip));
    }
    finish(&inv, service, &format!("failed to create {kind} service: ")).await
}

/// `port` or `port:target`, the target a number or a name.
fn parse_ports(text: &str) -> anyhow::Result<(i64, serde_json::Value)> {
    let (port_text, target) = match text.split_once(':') {
        Some((port, target)) => (port, Some(target.split(':').next().unwrap_or_default())),
        None => (text, None),
    };
    let port: u16 = port_text.parse().map_err(|_| {
        let reason = if port_text.parse::<u64>().is_ok() { "value out of range" } else { "invalid syntax" };
        anyhow::anyhow!("strconv.ParseUint: parsing {}: {reason}", crate::cli::quote::quote(port_text))
    })?;
    let Some(target) = target else {
        return Ok((i64::from(port), json!(port)));
    };
    let (value, errors) = match target.parse::<i64>() {
        Ok(number) => (json!(number), names::port_number(number)),
        Err(_) => (json!(target), names::port_name(target)),
    };
    anyhow::ensure!(errors.is_empty(), "{}", errors.join(","));
    Ok((i64::from(port), value))
}
