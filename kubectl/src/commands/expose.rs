//! `kubectl expose`. Corresponds to kubectl/pkg/cmd/expose.

use std::collections::BTreeMap;

use apimachinery::value::Value;

use super::create::{LAST_APPLIED, create_typed, int_or_string};
use super::overrides::{overridden, override_flags};
use crate::cli::{Command, FlagSet, Invocation};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, Printed};
use crate::resource::{Builder, FilenameOptions, Info, group_kind_of};

/// The longest name of a service.
const LONGEST_NAME: usize = 63;

/// The command.
pub static COMMAND: Command = Command {
    name: "expose",
    args: "(-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] [--target-port=number-or-name] [--name=name] [--external-ip=external-ip-of-service] [--type=type]",
    short: "Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service",
    long: "Expose a resource as a new Kubernetes service.\n\nThe pods of the service are those of the deployment, service, replica set, replication controller or pod with the given name. Without --port the ports are those of the resource's containers.\n\nPossible resources: pod (po), service (svc), replicationcontroller (rc), deployment (deploy), replicaset (rs)",
    example: "# A service on port 80 for a deployment that listens on 8000\nkubectl expose deployment nginx --port=80 --target-port=8000\n\n# A second service for the pods of a service\nkubectl expose service nginx --port=443 --target-port=8443 --name=nginx-https",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    options::record_flag(flags);
    flags.string("protocol", "", "", "The network protocol for the service to be created. Default is 'TCP'.");
    flags.string(
        "port",
        "",
        "",
        "The port that the service should serve on. Copied from the resource being exposed, if unspecified",
    );
    flags.string(
        "type",
        "",
        "",
        "Type for this service: ClusterIP, NodePort, LoadBalancer, or ExternalName. Default is 'ClusterIP'.",
    );
    flags.string("load-balancer-ip", "", "", "IP to assign to the LoadBalancer. If empty, an ephemeral IP will be created and used (cloud-provider specific).");
    flags.string("selector", "", "", "A label selector to use for this service. Only equality-based selector requirements are supported. If empty (the default) infer the selector from the resource being exposed.");
    flags.string("labels", "l", "", "Labels to apply to the service created by this call.");
    flags.string(
        "target-port",
        "",
        "",
        "Name or number for the port on the container that the service should direct traffic to. Optional.",
    );
    flags.string("external-ip", "", "", "Additional external IP address (not managed by Kubernetes) to accept for the service. If this IP is routed to a node, the service can be accessed by this IP in addition to its generated service IP.");
    flags.string("name", "", "", "The name for the newly created object.");
    flags.string(
        "session-affinity",
        "",
        "",
        "If non-empty, set the session affinity for the service to this; legal values: 'None', 'ClientIP'",
    );
    flags.string("cluster-ip", "", "", "ClusterIP to be assigned to the service. Leave empty to auto-allocate, or set to 'None' to create a headless service.");
    options::field_manager_flag(flags, "kubectl-expose");
    override_flags(flags);
    options::dry_run_flag(flags);
    options::save_config_flag(flags);
    options::filename_flags(flags, "identifying the resource to expose a service");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&dry_run.operation("exposed"))?;
    let (namespace, explicit) = inv.ctx.namespace()?;
    let infos = Builder::new(&inv.ctx)
        .continue_on_error()
        .namespace(&namespace, explicit)
        .filenames(&FilenameOptions::from_flags(&inv.flags))
        .args(false, &inv.args)
        .await
        .flatten()
        .run()
        .await?
        .infos()?;
    for info in infos {
        let mut service = overridden(&inv.flags, service_for(&inv.flags, &info)?)?;
        if dry_run.is_client() {
            if explicit {
                service.set_path(&["metadata", "namespace"], Value::from(namespace.as_str()));
            }
        } else {
            if inv.flags.get_bool("save-config")
                || service.path(&["metadata", "annotations", LAST_APPLIED]).as_str().is_some()
            {
                super::create::applied_annotation(&mut service, true);
            }
            service = create_typed(&inv, &service, dry_run, inv.flags.str("field-manager"), "").await?;
        }
        inv.ctx.out(&printer.print_as(Printed { object: &service, typed: true })?);
    }
    Ok(())
}

/// Ports of an object, each with its protocols.
#[derive(Default)]
struct Ports {
    order: Vec<String>,
    protocols: BTreeMap<String, Vec<String>>,
}

impl Ports {
    fn of(object: &Value) -> Self {
        let mut ports = Self::default();
        let kind = object.get("kind").str_or_empty();
        if kind == "Service" {
            ports.add(object.path(&["spec", "ports"]), "port");
            return ports;
        }
        let spec = if kind == "Pod" { object.get("spec") } else { object.path(&["spec", "template", "spec"]) };
        for container in spec.get("containers").items() {
            ports.add(container.get("ports"), "containerPort");
        }
        ports
    }

    fn add(&mut self, list: &Value, field: &str) {
        for port in list.items() {
            let number = port.get(field).as_i64().unwrap_or(0).to_string();
            let protocol = match port.get("protocol").str_or_empty() {
                "" => "TCP",
                protocol => protocol,
            };
            let protocols = self.protocols.entry(number.clone()).or_default();
            if !protocols.iter().any(|p| p == protocol) {
                protocols.push(protocol.to_owned());
            }
            if !self.order.contains(&number) {
                self.order.push(number);
            }
        }
    }
}

fn pairs(map: &Value) -> String {
    let pairs: Vec<String> = map.entries().map(|(k, v)| format!("{k}={}", v.str_or_empty())).collect();
    pairs.join(",")
}

/// The selector of an object's pods as pairs.
fn selector(object: &Value) -> anyhow::Result<String> {
    let kind = object.get("kind").str_or_empty();
    let selector = object.path(&["spec", "selector"]);
    match kind {
        "ReplicationController" => Ok(pairs(selector)),
        "Pod" => {
            let labels = object.path(&["metadata", "labels"]);
            anyhow::ensure!(!labels.is_zero(), "the pod has no labels and cannot be exposed");
            Ok(pairs(labels))
        }
        "Service" => {
            anyhow::ensure!(!selector.is_zero(), "the service has no pod selector set");
            Ok(pairs(selector))
        }
        _ => {
            anyhow::ensure!(
                !selector.get("matchLabels").is_zero(),
                "invalid {}: no selectors, therefore cannot be exposed",
                kind.to_lowercase()
            );
            anyhow::ensure!(
                selector.get("matchExpressions").is_zero(),
                "couldn't convert expressions - {} to map-based selector format",
                crate::cli::quote::quote(&printers::sprint(selector.get("matchExpressions")))
            );
            Ok(pairs(selector.get("matchLabels")))
        }
    }
}

/// The service that exposes an object.
fn service_for(flags: &FlagSet, info: &Info) -> anyhow::Result<Value> {
    let object = &info.object;
    let (group, kind) = group_kind_of(object);
    let exposable = matches!(
        (group.as_str(), kind.as_str()),
        ("", "ReplicationController" | "Service" | "Pod") | ("apps", "Deployment" | "ReplicaSet")
    );
    let group_kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
    anyhow::ensure!(exposable, "cannot expose a {group_kind}");
    let selector = match flags.str("selector") {
        "" => selector(object)
            .map_err(|e| anyhow::anyhow!("couldn't retrieve selectors via --selector flag or introspection: {e}"))?,
        text => text.to_owned(),
    };
    let known = Ports::of(object);
    let mut ports = flags.str("port").to_owned();
    if ports.is_empty() {
        ports = known.order.join(",");
        anyhow::ensure!(
            !ports.is_empty() || flags.str("cluster-ip") == "None",
            "couldn't find port via --port flag or introspection"
        );
    }
    let labels = match flags.str("labels") {
        "" => pairs(object.path(&["metadata", "labels"])),
        text => text.to_owned(),
    };
    anyhow::ensure!(!selector.is_empty(), "selector must be specified");
    let selector = parse_labels(&selector)?;
    let labels = if labels.is_empty() { Value::Null } else { parse_labels(&labels)? };
    let name = match flags.str("name") {
        "" => info.name.get(..LONGEST_NAME).unwrap_or(&info.name),
        name => name,
    };
    let ports = service_ports(&ports, flags.str("protocol"), flags.str("target-port"), &known.protocols)?;
    let mut service = Value::from([("apiVersion", "v1"), ("kind", "Service")]);
    service.set_path(&["metadata", "name"], Value::from(name));
    if !labels.is_null() {
        service.set_path(&["metadata", "labels"], labels);
    }
    service.set_path(&["spec", "selector"], selector);
    if !ports.is_empty() {
        service.set_path(&["spec", "ports"], Value::List(ports));
    }
    settle(flags, &mut service)?;
    Ok(service)
}

/// What the remaining flags ask of the service.
fn settle(flags: &FlagSet, service: &mut Value) -> anyhow::Result<()> {
    let mut set = |field: &str, value: Value| service.set_path(&["spec", field], value);
    if !flags.str("external-ip").is_empty() {
        set("externalIPs", Value::from(vec![flags.str("external-ip")]));
    }
    if !flags.str("type").is_empty() {
        set("type", Value::from(flags.str("type")));
    }
    if flags.str("type") == "LoadBalancer" && !flags.str("load-balancer-ip").is_empty() {
        set("loadBalancerIP", Value::from(flags.str("load-balancer-ip")));
    }
    match flags.str("session-affinity") {
        "" => {}
        affinity @ ("None" | "ClientIP") => set("sessionAffinity", Value::from(affinity)),
        other => anyhow::bail!("unknown session affinity: {other}"),
    }
    if !flags.str("cluster-ip").is_empty() {
        set("clusterIP", Value::from(flags.str("cluster-ip")));
    }
    Ok(())
}

/// The service's ports; a protocol of the flag wins over those of the object.
pub(super) fn service_ports(
    text: &str,
    protocol: &str,
    target: &str,
    known: &BTreeMap<String, Vec<String>>,
) -> anyhow::Result<Vec<Value>> {
    let mut out = Vec::new();
    if text.is_empty() {
        return Ok(out);
    }
    let words: Vec<&str> = text.split(',').collect();
    for (index, word) in words.iter().enumerate() {
        let quoted = crate::cli::quote::quote(word);
        let number: i32 =
            word.parse().map_err(|_| anyhow::anyhow!("strconv.Atoi: parsing {quoted}: invalid syntax"))?;
        let target = if target.is_empty() { Value::from(number) } else { int_or_string(target) };
        let mut add = |name: String, protocol: &str| {
            let mut port = Value::map();
            if !name.is_empty() {
                port.set("name", name);
            }
            port.set("port", number);
            port.set("protocol", protocol);
            port.set("targetPort", target.clone());
            out.push(port);
        };
        let name = if words.len() > 1 { format!("port-{}", index + 1) } else { String::new() };
        let of_object = known.get(*word).filter(|_| protocol.is_empty());
        match of_object.map(Vec::as_slice) {
            None | Some([]) => add(name, if protocol.is_empty() { "TCP" } else { protocol }),
            Some([one]) => add(name, one),
            Some(many) => many.iter().for_each(|p| add(format!("port-{}-{}", index + 1, p.to_lowercase()), p)),
        }
    }
    Ok(out)
}

/// `a=b,c=d` as a map.
pub(super) fn parse_labels(text: &str) -> anyhow::Result<Value> {
    let mut out = Value::map();
    for pair in text.split(',') {
        let parts: Vec<&str> = pair.split('=').collect();
        let [key, value] = parts.as_slice() else {
            anyhow::bail!("unexpected label spec: {pair}");
        };
        anyhow::ensure!(!key.is_empty(), "unexpected empty label key");
        out.set(key, *value);
    }
    Ok(out)
}
