//! `kubectl cluster-info dump`. Corresponds to kubectl/pkg/cmd/clusterinfo/clusterinfo_dump.go.

use std::path::Path;

use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Request, Rest};
use crate::printers::{self, GenericPrinter, PrintFlags, Printed};

/// The command.
pub static COMMAND: Command = Command {
    name: "dump",
    short: "Dump relevant information for debugging and diagnosis",
    long: "Dump cluster information for debugging and diagnosing cluster problems: the nodes, and of each namespace the events, controllers, services, pods and their logs. Without --output-directory everything goes to stdout.",
    example: "# To stdout\nkubectl cluster-info dump\n\n# To a folder, of all namespaces\nkubectl cluster-info dump --all-namespaces --output-directory=/path/to/cluster-state",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    printers::print_flags(flags);
    flags.string("output-directory", "", "", "Where to output the files.  If empty or '-' uses stdout, otherwise creates a directory hierarchy in that directory");
    flags.slice("namespaces", "", "", "A comma separated list of namespaces to dump.");
    flags.bool("all-namespaces", "A", false, "If true, dump all namespaces.  If true, --namespaces is ignored.");
    flags.duration(
        "pod-running-timeout",
        "20s",
        "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    );
}

/// What is dumped of each namespace: file, path of the list, kind of the list.
const LISTS: &[(&str, &str, &str)] = &[
    ("events", "/api/v1", "EventList"),
    ("replication-controllers", "/api/v1", "ReplicationControllerList"),
    ("services", "/api/v1", "ServiceList"),
    ("daemonsets", "/apis/apps/v1", "DaemonSetList"),
    ("deployments", "/apis/apps/v1", "DeploymentList"),
    ("replicasets", "/apis/apps/v1", "ReplicaSetList"),
    ("pods", "/api/v1", "PodList"),
];

/// Where the parts go.
struct Dump<'a> {
    inv: &'a Invocation,
    directory: String,
    extension: &'static str,
    printer: GenericPrinter,
}

impl Dump<'_> {
    fn write(&self, name: &str, extension: &str, text: &str) -> anyhow::Result<()> {
        if self.directory.is_empty() || self.directory == "-" {
            self.inv.ctx.out(text);
            return Ok(());
        }
        let path = Path::new(&self.directory).join(format!("{name}{extension}"));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, text)?)
    }

    fn list(&mut self, name: &str, mut list: Value, kind: &str) -> anyhow::Result<()> {
        let group = list.get("apiVersion").str_or_empty().to_owned();
        list.set("kind", kind);
        list.set("apiVersion", group);
        if list.get("items").items().is_empty() {
            list.set("items", Value::Null);
        }
        let text = self.printer.print_as(Printed { object: &list, typed: true })?;
        self.write(name, self.extension, &text)
    }

    async fn logs(&self, rest: &Rest, namespace: &str, pods: &Value) -> anyhow::Result<()> {
        for pod in pods.get("items").items() {
            let name = pod.path(&["metadata", "name"]).str_or_empty();
            let mut text = String::new();
            let spec = pod.get("spec");
            for container in spec.get("initContainers").items().iter().chain(spec.get("containers").items()) {
                let container = container.get("name").str_or_empty();
                text.push_str(&format!("==== START logs for container {container} of pod {namespace}/{name} ====\n"));
                let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log");
                match rest.bytes(Request::get(path).query("container", container)).await {
                    Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(error) => text.push_str(&format!("Request log error: {error}\n")),
                }
                text.push_str(&format!("==== END logs for container {container} of pod {namespace}/{name} ====\n"));
            }
            self.write(&format!("{namespace}/{name}/logs"), ".txt", &text)?;
        }
        Ok(())
    }
}

async fn run(mut inv: Invocation) -> anyhow::Result<()> {
    if inv.flags.str("output").is_empty() {
        inv.flags.set("output", "json").map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    let printer = PrintFlags::from_flags(&inv.flags).printer("")?;
    let extension = match inv.flags.str("output") {
        "json" => ".json",
        "yaml" => ".yaml",
        _ => ".txt",
    };
    let rest = inv.ctx.rest().await?;
    let directory = inv.flags.str("output-directory").to_owned();
    let mut dump = Dump { inv: &inv, directory, extension, printer };
    dump.list("nodes", rest.value(Request::get("/api/v1/nodes")).await?, "NodeList")?;
    let mut namespaces = inv.flags.list("namespaces");
    if inv.flags.get_bool("all-namespaces") {
        let list = rest.value(Request::get("/api/v1/namespaces")).await?;
        let name = |n: &Value| n.path(&["metadata", "name"]).str_or_empty().to_owned();
        namespaces = list.get("items").items().iter().map(name).collect();
    } else if namespaces.is_empty() {
        namespaces = vec!["kube-system".to_owned(), inv.ctx.namespace()?.0];
    }
    for namespace in namespaces {
        for (file, prefix, kind) in LISTS {
            let resource = file.replace('-', "");
            let list = rest.value(Request::get(format!("{prefix}/namespaces/{namespace}/{resource}"))).await?;
            let pods = (*file == "pods").then(|| list.clone());
            dump.list(&format!("{namespace}/{file}"), list, kind)?;
            if let Some(pods) = pods {
                dump.logs(&rest, &namespace, &pods).await?;
            }
        }
    }
    if !dump.directory.is_empty() && dump.directory != "-" {
        inv.ctx.out(&format!("Cluster info dumped to {}\n", dump.directory));
    }
    Ok(())
}
