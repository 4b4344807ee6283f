//! Deployments, replica sets, daemon sets, stateful sets, jobs.

use apimachinery::selector::label;
use apimachinery::time::human_duration;
use apimachinery::value::Value;

use super::Subject;
use super::containers::pod_template;
use super::document::{Document, controller, number, selector};
use crate::printers::{format_labels, sprint};
use crate::time::{rfc1123z, seconds_between};

pub(super) fn deployment(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    let (spec, status) = (object.get("spec"), object.get("status"));
    doc.head(object, true);
    doc.field(0, "CreationTimestamp", &rfc1123z(object.path(&["metadata", "creationTimestamp"]).str_or_empty()));
    doc.labels_and_annotations(object);
    doc.field(0, "Selector", &selector(spec.get("selector")));
    doc.field(
        0,
        "Replicas",
        &format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number(spec, &["replicas"]),
            number(status, &["updatedReplicas"]),
            number(status, &["replicas"]),
            number(status, &["availableReplicas"]),
            number(status, &["unavailableReplicas"])
        ),
    );
    doc.field(0, "StrategyType", spec.path(&["strategy", "type"]).str_or_empty());
    doc.field(0, "MinReadySeconds", &number(spec, &["minReadySeconds"]).to_string());
    let rolling = spec.path(&["strategy", "rollingUpdate"]);
    if !rolling.is_null() {
        let text = |key: &str| sprint(rolling.get(key));
        let value = format!("{} max unavailable, {} max surge", text("maxUnavailable"), text("maxSurge"));
        doc.field(0, "RollingUpdateStrategy", &value);
    }
    pod_template(spec.get("template"), doc);
    conditions(status, doc);
    let (old, new) = split_replica_sets(object, &subject.replica_sets);
    if !old.is_empty() || !new.is_empty() {
        doc.field(0, "OldReplicaSets", &replica_sets(&old));
        doc.field(0, "NewReplicaSet", &replica_sets(&new));
    }
    true
}

fn conditions(status: &Value, doc: &mut Document) {
    let conditions = status.get("conditions").items();
    if conditions.is_empty() {
        return;
    }
    doc.write(0, "Conditions:\n  Type\tStatus\tReason\n");
    doc.write(1, "----\t------\t------\n");
    for condition in conditions {
        let text = |key: &str| condition.get(key).str_or_empty();
        doc.write(1, &format!("{} \t{}\t{}\n", text("type"), text("status"), text("reason")));
    }
}

/// The replica sets of old templates, and the one of the present template.
fn split_replica_sets<'a>(deployment: &Value, all: &'a [Value]) -> (Vec<&'a Value>, Vec<&'a Value>) {
    let bare = |template: &Value| {
        let mut template = template.clone();
        template.remove_path(&["metadata", "labels", "pod-template-hash"]);
        template
    };
    let wanted = bare(deployment.path(&["spec", "template"]));
    let mut sorted: Vec<&Value> = all.iter().collect();
    sorted.sort_by_key(|r| {
        let meta = r.get("metadata");
        (meta.get("creationTimestamp").str_or_empty().to_owned(), meta.get("name").str_or_empty().to_owned())
    });
    let new = sorted.iter().find(|r| bare(r.path(&["spec", "template"])) == wanted).copied();
    let old = sorted.into_iter().filter(|r| new.is_none_or(|n| !std::ptr::eq(*r, n))).collect();
    (old, new.into_iter().collect())
}

fn replica_sets(list: &[&Value]) -> String {
    if list.is_empty() {
        return "<none>".to_owned();
    }
    let one = |r: &&Value| {
        format!(
            "{} ({}/{} replicas created)",
            r.path(&["metadata", "name"]).str_or_empty(),
            number(r, &["status", "replicas"]),
            number(r, &["spec", "replicas"])
        )
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `1 Running / 0 Waiting / 0 Succeeded / 0 Failed`.
fn pod_counts(subject: &Subject) -> String {
    let uid = subject.object.path(&["metadata", "uid"]).str_or_empty();
    let owned = |pod: &&Value| {
        let owners = pod.path(&["metadata", "ownerReferences"]).items();
        owners.iter().any(|o| o.get("controller").as_bool() == Some(true) && o.get("uid").str_or_empty() == uid)
    };
    let mine: Vec<&Value> = subject.pods.iter().filter(owned).collect();
    let count = |phase: &str| mine.iter().filter(|p| p.path(&["status", "phase"]).str_or_empty() == phase).count();
    format!(
        "{} Running / {} Waiting / {} Succeeded / {} Failed",
        count("Running"),
        count("Pending"),
        count("Succeeded"),
        count("Failed")
    )
}

pub(super) fn replica_set(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    let (spec, status) = (object.get("spec"), object.get("status"));
    doc.head(object, true);
    let selector = if object.get("kind").str_or_empty() == "ReplicationController" {
        format_labels(spec.get("selector").as_map())
    } else {
        label::format(spec.get("selector"))
    };
    doc.field(0, "Selector", &selector);
    doc.labels_and_annotations(object);
    if let Some(owner) = controller(object) {
        doc.field(0, "Controlled By", &owner);
    }
    let (current, wanted) = (number(status, &["replicas"]), number(spec, &["replicas"]));
    doc.field(0, "Replicas", &format!("{current} current / {wanted} desired"));
    doc.field(0, "Pods Status", &pod_counts(subject));
    pod_template(spec.get("template"), doc);
    conditions(status, doc);
    true
}

pub(super) fn daemon_set(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    let (spec, status) = (object.get("spec"), object.get("status"));
    doc.head(object, true);
    doc.field(0, "Selector", &selector(spec.get("selector")));
    let nodes = spec.path(&["template", "spec", "nodeSelector"]);
    doc.field(0, "Node-Selector", &format_labels(nodes.as_map()));
    doc.labels_and_annotations(object);
    for (title, field) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        doc.write(0, &format!("{title}: {}\n", number(status, &[field])));
    }
    doc.field(0, "Pods Status", &pod_counts(subject));
    pod_template(spec.get("template"), doc);
    true
}

pub(super) fn stateful_set(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    let (spec, status) = (object.get("spec"), object.get("status"));
    doc.head(object, true);
    doc.field(0, "CreationTimestamp", &rfc1123z(object.path(&["metadata", "creationTimestamp"]).str_or_empty()));
    doc.field(0, "Selector", &selector(spec.get("selector")));
    doc.labels_and_annotations(object);
    let (wanted, total) = (number(spec, &["replicas"]), number(status, &["replicas"]));
    doc.field(0, "Replicas", &format!("{wanted} desired | {total} total"));
    doc.field(0, "Update Strategy", spec.path(&["updateStrategy", "type"]).str_or_empty());
    let rolling = spec.path(&["updateStrategy", "rollingUpdate"]);
    if let Some(partition) = rolling.get("partition").as_i64() {
        doc.field(1, "Partition", &partition.to_string());
        if rolling.has("maxUnavailable") {
            doc.field(1, "MaxUnavailable", &sprint(rolling.get("maxUnavailable")));
        }
    }
    doc.field(0, "Pods Status", &pod_counts(subject));
    pod_template(spec.get("template"), doc);
    claims(spec.get("volumeClaimTemplates"), doc);
    true
}

fn claims(claims: &Value, doc: &mut Document) {
    if claims.items().is_empty() {
        doc.field(0, "Volume Claims", "<none>");
        return;
    }
    doc.write(0, "Volume Claims:\n");
    for claim in claims.items() {
        let (meta, spec) = (claim.get("metadata"), claim.get("spec"));
        doc.field(1, "Name", meta.get("name").str_or_empty());
        doc.field(1, "StorageClass", spec.get("storageClassName").str_or_empty());
        doc.labels("  Labels", meta.get("labels"));
        doc.labels("  Annotations", meta.get("annotations"));
        let capacity = spec.path(&["resources", "requests", "storage"]);
        let capacity = if capacity.is_null() { "<default>".to_owned() } else { sprint(capacity) };
        doc.field(1, "Capacity", &capacity);
        let modes: Vec<&str> = spec.get("accessModes").items().iter().map(|m| m.str_or_empty()).collect();
        doc.field(1, "Access Modes", &format!("[{}]", modes.join(" ")));
    }
}

pub(super) fn job(object: &Value, doc: &mut Document) -> bool {
    let (spec, status) = (object.get("spec"), object.get("status"));
    doc.head(object, true);
    doc.field(0, "Selector", &selector(spec.get("selector")));
    doc.labels_and_annotations(object);
    if let Some(owner) = controller(object) {
        doc.field(0, "Controlled By", &owner);
    }
    if spec.has("parallelism") {
        doc.field(0, "Parallelism", &sprint(spec.get("parallelism")));
    }
    let completions = spec.get("completions");
    doc.field(0, "Completions", &if completions.is_null() { "<unset>".to_owned() } else { sprint(completions) });
    for (title, field) in [
        ("Completion Mode", "completionMode"),
        ("Suspend", "suspend"),
        ("Backoff Limit", "backoffLimit"),
        ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
    ] {
        if spec.has(field) {
            doc.field(0, title, &sprint(spec.get(field)));
        }
    }
    let (start, end) = (status.get("startTime").as_str(), status.get("completionTime").as_str());
    if let Some(start) = start {
        doc.field(0, "Start Time", &rfc1123z(start));
    }
    if let Some(end) = end {
        doc.field(0, "Completed At", &rfc1123z(end));
    }
    if let (Some(Ok(start)), Some(Ok(end))) = (start.map(str::parse), end.map(str::parse)) {
        doc.field(0, "Duration", &human_duration(seconds_between(start, end)));
    }
    if spec.has("activeDeadlineSeconds") {
        doc.field(0, "Active Deadline Seconds", &format!("{}s", sprint(spec.get("activeDeadlineSeconds"))));
    }
    let count = |field: &str| number(status, &[field]);
    let ready = match status.get("ready").as_i64() {
        Some(ready) => format!(" ({ready} Ready)"),
        None => String::new(),
    };
    let (active, succeeded, failed) = (count("active"), count("succeeded"), count("failed"));
    doc.field(0, "Pods Statuses", &format!("{active} Active{ready} / {succeeded} Succeeded / {failed} Failed"));
    if spec.get("completionMode").str_or_empty() == "Indexed" {
        let indexes = status.get("completedIndexes").str_or_empty();
        doc.field(0, "Completed Indexes", if indexes.is_empty() { "<none>" } else { indexes });
    }
    pod_template(spec.get("template"), doc);
    true
}

pub(super) fn cron_job(object: &Value, doc: &mut Document) -> bool {
    let (spec, status) = (object.get("spec"), object.get("status"));
    let shown = |value: &Value| if value.is_null() { "<unset>".to_owned() } else { sprint(value) };
    doc.head(object, true);
    doc.labels_and_annotations(object);
    doc.field(0, "Schedule", spec.get("schedule").str_or_empty());
    doc.field(0, "Concurrency Policy", spec.get("concurrencyPolicy").str_or_empty());
    doc.field(
        0,
        "Suspend",
        match spec.get("suspend").as_bool() {
            None => "<unset>",
            Some(true) => "True",
            Some(false) => "False",
        },
    );
    doc.field(0, "Time Zone", &shown(spec.get("timeZone")));
    doc.field(0, "Successful Job History Limit", &shown(spec.get("successfulJobsHistoryLimit")));
    doc.field(0, "Failed Job History Limit", &shown(spec.get("failedJobsHistoryLimit")));
    let deadline = spec.get("startingDeadlineSeconds");
    let deadline = if deadline.is_null() { "<unset>".to_owned() } else { format!("{}s", sprint(deadline)) };
    doc.field(0, "Starting Deadline Seconds", &deadline);
    let job = spec.path(&["jobTemplate", "spec"]);
    let chosen = if job.has("selector") { selector(job.get("selector")) } else { "<unset>".to_owned() };
    doc.field(0, "Selector", &chosen);
    doc.field(0, "Parallelism", &shown(job.get("parallelism")));
    doc.field(0, "Completions", &shown(job.get("completions")));
    if job.has("activeDeadlineSeconds") {
        doc.field(0, "Active Deadline Seconds", &format!("{}s", sprint(job.get("activeDeadlineSeconds"))));
    }
    pod_template(job.get("template"), doc);
    let last = status.get("lastScheduleTime").as_str().map_or_else(|| "<unset>".to_owned(), rfc1123z);
    doc.field(0, "Last Schedule Time", &last);
    let active: Vec<&str> = status.get("active").items().iter().map(|j| j.get("name").str_or_empty()).collect();
    doc.field(0, "Active Jobs", &if active.is_empty() { "<none>".to_owned() } else { active.join(", ") });
    true
}
