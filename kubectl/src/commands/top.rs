//! `kubectl top`: needs the metrics API, which an extension of the cluster serves.
//! Corresponds to kubectl/pkg/cmd/top.

use apimachinery::quantity::Quantity;
use apimachinery::value::Value;

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::{Request, Rest};
use crate::options;
use crate::printers::TabWriter;

/// The command.
pub static COMMAND: Command = Command {
    name: "top",
    short: "Display resource (CPU/memory) usage",
    long: "Display resource (CPU/memory) usage of nodes or pods, as the metrics server reports it.",
    suggest_for: &["stats"],
    subcommands: &[&NODE, &POD],
    ..Command::EMPTY
};

static NODE: Command = Command {
    name: "node",
    args: "[NAME | -l label]",
    aliases: &["nodes", "no"],
    short: "Display resource (CPU/memory) usage of nodes",
    example: "# All nodes\nkubectl top node",
    flags: node_flags,
    run: Some(|inv| Box::pin(nodes(inv))),
    ..Command::EMPTY
};

static POD: Command = Command {
    name: "pod",
    args: "[NAME | -l label]",
    aliases: &["pods", "po"],
    short: "Display resource (CPU/memory) usage of pods",
    example: "# The pods of the namespace\nkubectl top pod\n\n# A pod's containers\nkubectl top pod POD_NAME --containers",
    flags: pod_flags,
    run: Some(|inv| Box::pin(pods(inv))),
    ..Command::EMPTY
};

fn node_flags(flags: &mut FlagSet) {
    options::selector_flag(flags);
    flags.string(
        "sort-by",
        "",
        "",
        "If non-empty, sort nodes list using specified field. The field can be either 'cpu' or 'memory'.",
    );
    flags.bool("no-headers", "", false, "If present, print output without headers");
    flags.bool("use-protocol-buffers", "", true, "Enables using protocol-buffers to access Metrics API.");
    flags.bool(
        "show-capacity",
        "",
        false,
        "Print node resources based on Capacity instead of Allocatable(default) of the nodes.",
    );
    flags.bool("show-swap", "", false, "Print node resources related to swap memory.");
}

fn pod_flags(flags: &mut FlagSet) {
    options::selector_flag(flags);
    flags.string("field-selector", "", "", "Selector (field query) to filter on, supports '=', '==', and '!='.(e.g. --field-selector key1=value1,key2=value2). The server only supports a limited number of field queries per type.");
    flags.string(
        "sort-by",
        "",
        "",
        "If non-empty, sort pods list using specified field. The field can be either 'cpu' or 'memory'.",
    );
    flags.bool("containers", "", false, "If present, print usage of containers within a pod.");
    flags.bool("all-namespaces", "A", false, "If present, list the requested object(s) across all namespaces. Namespace in current context is ignored even if specified with --namespace.");
    flags.bool("no-headers", "", false, "If present, print output without headers.");
    flags.bool("use-protocol-buffers", "", true, "Enables using protocol-buffers to access Metrics API.");
    flags.bool("sum", "", false, "Print the sum of the resource usage");
    flags.bool("show-swap", "", false, "Print pod resources related to swap memory.");
}

async fn check(inv: &Invocation) -> anyhow::Result<()> {
    if inv.args.len() > 1 {
        let usage = inv.path.last().map(|c| format!("{} {}", c.name, c.args)).unwrap_or_default();
        return Err(inv.usage_error(usage));
    }
    anyhow::ensure!(matches!(inv.flags.str("sort-by"), "" | "cpu" | "memory"), "--sort-by accepts only cpu or memory");
    let mapper = inv.ctx.mapper().await?;
    let metrics =
        |g: &crate::client::ApiGroup| g.name == "metrics.k8s.io" && g.versions.iter().any(|v| v.version == "v1beta1");
    anyhow::ensure!(mapper.discovery().groups.iter().any(metrics), "Metrics API not available");
    Ok(())
}

/// The metrics of one object or of all that the selectors find.
async fn metrics(inv: &Invocation, rest: &Rest, path: &str) -> anyhow::Result<Vec<Value>> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/{path}");
    if let Some(name) = inv.args.first() {
        return Ok(vec![rest.value(Request::get(format!("{path}/{name}"))).await?]);
    }
    let fields = inv.flags.lookup("field-selector").map_or("", |_| inv.flags.str("field-selector"));
    let request = Request::get(path).maybe("labelSelector", inv.flags.str("selector")).maybe("fieldSelector", fields);
    Ok(rest.value(request).await?.get("items").items().to_vec())
}

/// An amount in thousandths of cores or in bytes.
fn amount(resource: &str, value: &Value) -> i64 {
    let Ok(quantity) = value.str_or_empty().parse::<Quantity>() else {
        return 0;
    };
    if resource == "cpu" { quantity.milli_value() } else { quantity.value() }
}

fn shown(resource: &str, amount: i64) -> String {
    if resource == "cpu" { format!("{amount}m") } else { format!("{}Mi", amount / (1024 * 1024)) }
}

const MEASURED: &[&str] = &["cpu", "memory"];

fn name_of(object: &Value) -> String {
    object.path(&["metadata", "name"]).str_or_empty().to_owned()
}

async fn nodes(inv: Invocation) -> anyhow::Result<()> {
    let selector = inv.flags.str("selector");
    anyhow::ensure!(inv.args.is_empty() || selector.is_empty(), "only one of NAME or --selector can be provided");
    check(&inv).await?;
    let rest = inv.ctx.rest().await?;
    let mut metrics = metrics(&inv, &rest, "nodes").await?;
    anyhow::ensure!(!metrics.is_empty(), "metrics not available yet");
    let nodes = rest.value(Request::get("/api/v1/nodes").maybe("labelSelector", selector)).await?;
    let sort = inv.flags.str("sort-by");
    metrics.sort_by_key(|m| match sort {
        "" => (0, name_of(m)),
        field => (-amount(field, m.path(&["usage", field])), String::new()),
    });
    let field = if inv.flags.get_bool("show-capacity") { "capacity" } else { "allocatable" };
    let mut out = TabWriter::table();
    if !inv.flags.get_bool("no-headers") {
        out.write("NAME\tCPU(cores)\tCPU(%)\tMEMORY(bytes)\tMEMORY(%)\t\n");
    }
    let available = |name: &str| nodes.get("items").items().iter().find(|n| name_of(n) == name);
    for metric in &metrics {
        let name = name_of(metric);
        out.write(&format!("{name}\t"));
        for resource in MEASURED {
            let used = amount(resource, metric.path(&["usage", resource]));
            out.write(&format!("{}\t", shown(resource, used)));
            let total = available(&name).map(|n| amount(resource, n.path(&["status", field, resource])));
            if let Some(total) = total {
                let percent = if total == 0 { 0 } else { used.saturating_mul(100) / total };
                out.write(&format!("{percent}%\t"));
            }
        }
        out.write("\n");
    }
    let missing = nodes.get("items").items().iter().filter(|n| !metrics.iter().any(|m| name_of(m) == name_of(n)));
    for node in missing {
        out.write(&format!("{}\t<unknown>\t<unknown>\t<unknown>\t<unknown>\t\n", name_of(node)));
    }
    inv.ctx.out(&out.flush());
    Ok(())
}

/// The usage of all containers.
fn total(pod: &Value, resource: &str) -> i64 {
    pod.get("containers").items().iter().map(|c| amount(resource, c.path(&["usage", resource]))).sum()
}

async fn pods(inv: Invocation) -> anyhow::Result<()> {
    anyhow::ensure!(
        inv.args.is_empty() || (inv.flags.str("selector").is_empty() && inv.flags.str("field-selector").is_empty()),
        "only one of NAME or selector can be provided"
    );
    check(&inv).await?;
    let rest = inv.ctx.rest().await?;
    let all = inv.flags.get_bool("all-namespaces");
    let (namespace, _) = inv.ctx.namespace()?;
    let path = if all { "pods".to_owned() } else { format!("namespaces/{namespace}/pods") };
    let mut metrics = metrics(&inv, &rest, &path).await?;
    if metrics.is_empty() {
        let place = if all { String::new() } else { format!(" in {namespace} namespace.") };
        inv.ctx.err(&format!("No resources found{place}\n"));
        return Ok(());
    }
    let sort = inv.flags.str("sort-by");
    metrics.sort_by_key(|m| match sort {
        "" => (0, m.path(&["metadata", "namespace"]).str_or_empty().to_owned(), name_of(m)),
        field => (-total(m, field), String::new(), String::new()),
    });
    inv.ctx.out(&pod_table(&metrics, &inv.flags));
    Ok(())
}

fn pod_table(metrics: &[Value], flags: &FlagSet) -> String {
    let (all, containers) = (flags.get_bool("all-namespaces"), flags.get_bool("containers"));
    let mut out = TabWriter::table();
    if !flags.get_bool("no-headers") {
        out.write(if all { "NAMESPACE\t" } else { "" });
        out.write(if containers { "POD\t" } else { "" });
        out.write("NAME\tCPU(cores)\tMEMORY(bytes)\t\n");
    }
    for pod in metrics {
        let namespace = pod.path(&["metadata", "namespace"]).str_or_empty();
        let prefix = if all { format!("{namespace}\t") } else { String::new() };
        if !containers {
            let usage: Vec<String> = MEASURED.iter().map(|r| shown(r, total(pod, r))).collect();
            out.write(&format!("{prefix}{}\t{}\t\n", name_of(pod), usage.join("\t")));
            continue;
        }
        for container in pod.get("containers").items() {
            let usage: Vec<String> =
                MEASURED.iter().map(|r| shown(r, amount(r, container.path(&["usage", r])))).collect();
            let name = container.get("name").str_or_empty();
            out.write(&format!("{prefix}{}\t{name}\t{}\t\n", name_of(pod), usage.join("\t")));
        }
    }
    if flags.get_bool("sum") {
        let columns = 3 + usize::from(all) + usize::from(containers && !flags.get_bool("no-headers"));
        let sum = |r: &str| shown(r, metrics.iter().map(|m| total(m, r)).sum());
        out.write(&format!("{}________\t________\t\n", "\t".repeat(columns - 2)));
        out.write(&format!("{}\t{}\t{}\t\n", "\t".repeat(columns - 3), sum("cpu"), sum("memory")));
    }
    out.flush()
}
