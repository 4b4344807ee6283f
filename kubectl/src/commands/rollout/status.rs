//! `kubectl rollout status`. The judging is pure.

use apimachinery::value::Value;

use super::{collect, common_flags, require_resource};
use crate::cli::quote::quote;
use crate::cli::{Command, FlagSet, Invocation};
use crate::failure::aggregate;
use crate::resource::{Info, TIMED_OUT, Verdict, Watched};

pub(super) static COMMAND: Command = Command {
    name: "status",
    args: "(TYPE NAME | TYPE/NAME) [flags]",
    short: "Show the status of the rollout",
    long: "Show the status of the rollout.\n\nBy default the newest rollout is watched until it is done; --watch=false shows the present state only.",
    example: "# Watch the rollout of a deployment\nkubectl rollout status deployment/nginx",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    common_flags(flags);
    flags.bool("watch", "w", true, "Watch the status of the rollout until it's done.");
    flags.int("revision", 64, 0, "Pin to a specific revision for showing its status. Defaults to 0 (last revision).");
    flags.duration("timeout", "0s", "The length of time to wait before ending watch, zero means never. Any other values should contain a corresponding time unit (e.g. 1s, 2m, 3h).");
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    require_resource(&inv)?;
    let revision = inv.flags.get_int("revision");
    anyhow::ensure!(revision >= 0, "revision must be a positive integer: {revision}");
    let (infos, mut errors) = collect(&inv).await?.split();
    if infos.is_empty() && errors.is_empty() {
        inv.ctx.err(&format!("No resources found in {} namespace.\n", inv.ctx.namespace()?.0));
        return Ok(());
    }
    for info in infos {
        errors.extend(watch(&inv, &info, revision).await.err());
    }
    aggregate(errors)
}

async fn watch(inv: &Invocation, info: &Info, revision: i64) -> anyhow::Result<()> {
    let mapping = info.mapping()?;
    anyhow::ensure!(
        ["Deployment", "DaemonSet", "StatefulSet"].contains(&mapping.kind.as_str()),
        "no status viewer has been implemented for {}",
        mapping.group_kind()
    );
    let rest = inv.ctx.rest().await?;
    let watched = Watched { rest: &rest, mapping, namespace: &info.namespace, name: &info.name };
    let follow = inv.flags.get_bool("watch");
    let mut seen = String::new();
    let waiting = watched.until(|object| {
        let Some(object) = object else {
            anyhow::bail!("object has been deleted");
        };
        let version = object.path(&["metadata", "resourceVersion"]).str_or_empty();
        if version == seen {
            return Ok(Verdict::Wait);
        }
        version.clone_into(&mut seen);
        let (text, done) = judge(object, revision)?;
        inv.ctx.out(&text);
        Ok(if done || !follow { Verdict::Done } else { Verdict::Wait })
    });
    let timeout = inv.flags.get_duration("timeout").to_std();
    if timeout.is_zero() {
        return waiting.await.map(|_| ());
    }
    match tokio::time::timeout(timeout, waiting).await {
        Ok(result) => result.map(|_| ()),
        Err(_) => anyhow::bail!("{TIMED_OUT}"),
    }
}

/// What to say about the state of a rollout, and whether it is over.
fn judge(object: &Value, revision: i64) -> anyhow::Result<(String, bool)> {
    match object.get("kind").str_or_empty() {
        "Deployment" => deployment(object, revision),
        "DaemonSet" => daemon_set(object),
        _ => stateful_set(object),
    }
}

fn number(object: &Value, path: &[&str]) -> i64 {
    object.path(path).as_i64().unwrap_or(0)
}

fn observed(object: &Value) -> bool {
    number(object, &["metadata", "generation"]) <= number(object, &["status", "observedGeneration"])
}

fn deployment(object: &Value, revision: i64) -> anyhow::Result<(String, bool)> {
    let name = quote(object.path(&["metadata", "name"]).str_or_empty());
    if revision > 0 {
        let text = object.path(&["metadata", "annotations", "deployment.kubernetes.io/revision"]).str_or_empty();
        let running: i64 = text.parse().map_err(|_| {
            anyhow::anyhow!(
                "cannot get the revision of deployment {name}: strconv.ParseInt: parsing {}: invalid syntax",
                quote(text)
            )
        })?;
        anyhow::ensure!(
            running == revision,
            "desired revision ({revision}) is different from the running revision ({running})"
        );
    }
    if !observed(object) {
        return Ok(("Waiting for deployment spec update to be observed...\n".to_owned(), false));
    }
    let conditions = object.path(&["status", "conditions"]).items();
    let progressing = conditions.iter().find(|c| c.get("type").str_or_empty() == "Progressing");
    anyhow::ensure!(
        progressing.is_none_or(|c| c.get("reason").str_or_empty() != "ProgressDeadlineExceeded"),
        "deployment {name} exceeded its progress deadline"
    );
    let status = |field: &str| number(object, &["status", field]);
    let (updated, total, available) = (status("updatedReplicas"), status("replicas"), status("availableReplicas"));
    let waiting = format!("Waiting for deployment {name} rollout to finish:");
    if let Some(wanted) = object.path(&["spec", "replicas"]).as_i64()
        && updated < wanted
    {
        return Ok((format!("{waiting} {updated} out of {wanted} new replicas have been updated...\n"), false));
    }
    if total > updated {
        return Ok((format!("{waiting} {} old replicas are pending termination...\n", total - updated), false));
    }
    if available < updated {
        return Ok((format!("{waiting} {available} of {updated} updated replicas are available...\n"), false));
    }
    Ok((format!("deployment {name} successfully rolled out\n"), true))
}

const ONLY_ROLLING: &str = "rollout status is only available for RollingUpdate strategy type";

fn daemon_set(object: &Value) -> anyhow::Result<(String, bool)> {
    let name = quote(object.path(&["metadata", "name"]).str_or_empty());
    let strategy = object.path(&["spec", "updateStrategy", "type"]).str_or_empty();
    anyhow::ensure!(strategy == "RollingUpdate", ONLY_ROLLING);
    if !observed(object) {
        return Ok(("Waiting for daemon set spec update to be observed...\n".to_owned(), false));
    }
    let status = |field: &str| number(object, &["status", field]);
    let (updated, wanted, available) =
        (status("updatedNumberScheduled"), status("desiredNumberScheduled"), status("numberAvailable"));
    let waiting = format!("Waiting for daemon set {name} rollout to finish:");
    if updated < wanted {
        return Ok((format!("{waiting} {updated} out of {wanted} new pods have been updated...\n"), false));
    }
    if available < wanted {
        return Ok((format!("{waiting} {available} of {wanted} updated pods are available...\n"), false));
    }
    Ok((format!("daemon set {name} successfully rolled out\n"), true))
}

fn stateful_set(object: &Value) -> anyhow::Result<(String, bool)> {
    let strategy = object.path(&["spec", "updateStrategy"]);
    anyhow::ensure!(strategy.get("type").str_or_empty() == "RollingUpdate", ONLY_ROLLING);
    if number(object, &["status", "observedGeneration"]) == 0 || !observed(object) {
        return Ok(("Waiting for statefulset spec update to be observed...\n".to_owned(), false));
    }
    let status = |field: &str| number(object, &["status", field]);
    let wanted = object.path(&["spec", "replicas"]).as_i64();
    if let Some(wanted) = wanted
        && status("readyReplicas") < wanted
    {
        return Ok((format!("Waiting for {} pods to be ready...\n", wanted - status("readyReplicas")), false));
    }
    let updated = status("updatedReplicas");
    if strategy.has("rollingUpdate") {
        let partition = strategy.path(&["rollingUpdate", "partition"]).as_i64();
        if let (Some(wanted), Some(partition)) = (wanted, partition)
            && updated < wanted - partition
        {
            let goal = wanted - partition;
            return Ok((
                format!(
                    "Waiting for partitioned roll out to finish: {updated} out of {goal} new pods have been updated...\n"
                ),
                false,
            ));
        }
        return Ok((format!("partitioned roll out complete: {updated} new pods have been updated...\n"), true));
    }
    let text = |field: &str| object.path(&["status", field]).str_or_empty();
    if text("updateRevision") != text("currentRevision") {
        let revision = text("updateRevision");
        return Ok((
            format!("waiting for statefulset rolling update to complete {updated} pods at revision {revision}...\n"),
            false,
        ));
    }
    let (current, revision) = (status("currentReplicas"), text("currentRevision"));
    Ok((format!("statefulset rolling update complete {current} pods at revision {revision}...\n"), true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::judge;

    #[test]
    fn deployments() {
        let object = |status: serde_json::Value| {
            apimachinery::value::Value::from(json!({
                "kind": "Deployment",
                "metadata": {"name": "web", "generation": 2},
                "spec": {"replicas": 3},
                "status": status,
            }))
        };
        for (status, text, done) in [
            (json!({"observedGeneration": 1}), "Waiting for deployment spec update to be observed...\n", false),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 1}),
                "Waiting for deployment \"web\" rollout to finish: 1 out of 3 new replicas have been updated...\n",
                false,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4}),
                "Waiting for deployment \"web\" rollout to finish: 1 old replicas are pending termination...\n",
                false,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}),
                "Waiting for deployment \"web\" rollout to finish: 2 of 3 updated replicas are available...\n",
                false,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}),
                "deployment \"web\" successfully rolled out\n",
                true,
            ),
        ] {
            assert_eq!(judge(&object(status), 0).expect("judged"), (text.to_owned(), done));
        }
    }
}
