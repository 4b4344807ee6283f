//! `kubectl autoscale`. Corresponds to kubectl/pkg/cmd/autoscale.

use apimachinery::quantity;
use apimachinery::value::Value;
use serde_json::json;

use super::create::{LAST_APPLIED, applied_annotation, create_typed};
use crate::cli::{Command, FlagSet, Invocation};
use crate::options::{self, DryRun};
use crate::printers::{self, PrintFlags, Printed};
use crate::resource::{Builder, FilenameOptions, Info};

/// The command.
pub static COMMAND: Command = Command {
    name: "autoscale",
    args: "(-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu=CPU] [--memory=MEMORY]",
    short: "Auto-scale a deployment, replica set, stateful set, or replication controller",
    long: "Creates an autoscaler that automatically chooses and sets the number of pods that run in a Kubernetes cluster.",
    example: "# Between 2 and 10 pods\nkubectl autoscale deployment foo --min=2 --max=10\n\n# At most 5 pods, at 80% of the requested CPU\nkubectl autoscale rc foo --max=5 --cpu=80%",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    options::record_flag(flags);
    printers::print_flags(flags);
    flags.int("min", 32, -1, "The lower limit for the number of pods that can be set by the autoscaler. If it's not specified or negative, the server will apply a default value.");
    flags
        .int("max", 32, -1, "The upper limit for the number of pods that can be set by the autoscaler. Required.")
        .require();
    flags.int("cpu-percent", 32, -1, "The target average CPU utilization (represented as a percent of requested CPU) over all the pods. If it's not specified or negative, a default autoscaling policy will be used.").hide();
    flags.string("cpu", "", "", "Target CPU utilization over all the pods: a percentage of the requested CPU, or a quantity per pod. A number without a unit is in thousandths.");
    flags.string("memory", "", "", "Target memory utilization over all the pods: a percentage of the requested memory, or a quantity per pod. A number without a unit is in mebibytes.");
    flags.string(
        "name",
        "",
        "",
        "The name for the newly created object. If not specified, the name of the input resource will be used.",
    );
    options::dry_run_flag(flags);
    options::filename_flags(flags, "identifying the resource to autoscale.");
    options::save_config_flag(flags);
    options::field_manager_flag(flags, "kubectl-autoscale");
}

/// The target of one resource's metric.
fn target(text: &str, resource: &str) -> anyhow::Result<serde_json::Value> {
    if let Some(percent) = text.strip_suffix('%') {
        let value = percent.parse::<i32>().ok().filter(|value| *value >= 0);
        let value = value.ok_or_else(|| anyhow::anyhow!("invalid percentage value: {percent}"))?;
        return Ok(json!({"type": "Utilization", "averageUtilization": value}));
    }
    let text = match text.parse::<i64>() {
        Ok(_) if resource == "cpu" => format!("{text}m"),
        Ok(_) => format!("{text}Mi"),
        Err(_) => text.to_owned(),
    };
    let quantity =
        quantity::canonical(&text).map_err(|_| anyhow::anyhow!("invalid resource {resource} value: {text}"))?;
    Ok(json!({"type": "AverageValue", "averageValue": quantity}))
}

fn metrics(flags: &FlagSet) -> anyhow::Result<Vec<serde_json::Value>> {
    let metric = |name: &str, target: serde_json::Value| json!({"type": "Resource", "resource": {"name": name, "target": target}});
    let mut out = Vec::new();
    let percent = flags.get_int("cpu-percent");
    anyhow::ensure!(percent <= 0 || flags.str("cpu").is_empty(), "--cpu-percent and --cpu are mutually exclusive");
    if percent > 0 {
        out.push(metric("cpu", json!({"type": "Utilization", "averageUtilization": percent})));
    }
    for name in ["cpu", "memory"] {
        if !flags.str(name).is_empty() {
            out.push(metric(name, target(flags.str(name), name)?));
        }
    }
    Ok(out)
}

/// Upstream tries a refused object once more as autoscaling/v1, which has room for a percentage of the CPU only.
fn refused(flags: &FlagSet, error: anyhow::Error) -> anyhow::Error {
    let (cpu, memory) = (flags.str("cpu"), flags.str("memory"));
    let why = match cpu {
        "" => "empty input",
        cpu if memory.is_empty() && cpu.ends_with('%') => return error,
        _ => "%!w(<nil>)",
    };
    anyhow::anyhow!(
        "failed to create autoscaling/v2 HPA and the configuration is incompatible with autoscaling/v1: {why}"
    )
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    if inv.flags.changed("cpu-percent") {
        inv.ctx.err("Flag --cpu-percent has been deprecated, Use --cpu with percentage or resource quantity format (e.g., '70%' for utilization or '500m' for milliCPU).\n");
    }
    let dry_run = DryRun::from_flags(&inv.flags)?;
    let (min, max) = (inv.flags.get_int("min"), inv.flags.get_int("max"));
    anyhow::ensure!(max >= 1, "--max=MAXPODS is required and must be at least 1, max: {max}");
    anyhow::ensure!(max >= min, "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {min}");
    let metrics = metrics(&inv.flags)?;
    let operation = dry_run.operation(if dry_run.is_client() { "created" } else { "autoscaled" });
    let mut printer = PrintFlags::from_flags(&inv.flags).printer(&operation)?;
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
    anyhow::ensure!(!infos.is_empty(), "no objects passed to autoscale");
    for info in infos {
        let mut autoscaler = autoscaler(&inv, &info, &metrics).await?;
        if explicit {
            autoscaler.set_path(&["metadata", "namespace"], Value::from(namespace.as_str()));
        }
        if !dry_run.is_client() {
            if inv.flags.get_bool("save-config")
                || autoscaler.path(&["metadata", "annotations", LAST_APPLIED]).as_str().is_some()
            {
                applied_annotation(&mut autoscaler, true);
            }
            let created = create_typed(&inv, &autoscaler, dry_run, inv.flags.str("field-manager"), "").await;
            autoscaler = created.map_err(|error| refused(&inv.flags, error))?;
        }
        inv.ctx.out(&printer.print_as(Printed { object: &autoscaler, typed: true })?);
    }
    Ok(())
}

async fn autoscaler(inv: &Invocation, info: &Info, metrics: &[serde_json::Value]) -> anyhow::Result<Value> {
    let mapping = info.mapping()?;
    let mapper = inv.ctx.mapper().await?;
    anyhow::ensure!(
        mapper.has_subresource(mapping, "scale"),
        "cannot autoscale a {}: could not find scale subresource for {}, Resource={} in discovery information",
        mapping.kind,
        if mapping.group.is_empty() { format!("/{}", mapping.version) } else { mapping.api_version() },
        mapping.resource
    );
    let name = match inv.flags.str("name") {
        "" => info.name.as_str(),
        name => name,
    };
    let mut spec = json!({
        "scaleTargetRef": {"apiVersion": mapping.api_version(), "kind": mapping.kind, "name": info.name},
        "maxReplicas": inv.flags.get_int("max"),
    });
    if inv.flags.get_int("min") > 0 {
        spec["minReplicas"] = json!(inv.flags.get_int("min"));
    }
    if !metrics.is_empty() {
        spec["metrics"] = json!(metrics);
    }
    Ok(Value::from(json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": spec,
    })))
}
