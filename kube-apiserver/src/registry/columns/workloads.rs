//! Rows of apps, batch and replication controllers.

use apimachinery::time::human_duration;
use apimachinery::value::{Cursor, Value};
use jiff::Timestamp;

use super::{Entry, NONE, age, containers, is_true, labels, name, number, or, selector, since, text, truth};

pub(super) const FUNCTIONS: &[Entry] = &[
    ("", "ReplicationController", replication_controller),
    ("apps", "ControllerRevision", controller_revision),
    ("apps", "DaemonSet", daemon_set),
    ("apps", "Deployment", deployment),
    ("apps", "ReplicaSet", replica_set),
    ("apps", "StatefulSet", stateful_set),
    ("batch", "CronJob", cron_job),
    ("batch", "Job", job),
];

fn replicas(object: Cursor<'_>, now: Timestamp, selector: Value) -> Vec<Value> {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let [names, images] = containers(spec.field("template"));
    vec![
        name(object),
        number(spec.field("replicas").i64()),
        number(status.field("replicas").i64()),
        number(status.field("readyReplicas").i64()),
        age(object, now),
        names,
        images,
        selector,
    ]
}

fn replication_controller(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    replicas(object, now, labels(object.field("spec").field("selector")))
}

fn replica_set(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    replicas(object, now, selector(object.field("spec").field("selector")))
}

fn ready_of(object: Cursor<'_>) -> Value {
    let ready = object.field("status").field("readyReplicas").i64();
    text(format!("{ready}/{}", object.field("spec").field("replicas").i64()))
}

fn deployment(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let [names, images] = containers(spec.field("template"));
    vec![
        name(object),
        ready_of(object),
        number(status.field("updatedReplicas").i64()),
        number(status.field("availableReplicas").i64()),
        age(object, now),
        names,
        images,
        selector(spec.field("selector")),
    ]
}

fn stateful_set(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object.field("spec").field("template"));
    vec![name(object), ready_of(object), age(object, now), names, images]
}

fn daemon_set(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let [names, images] = containers(spec.field("template"));
    let mut cells = vec![name(object)];
    let counts = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    cells.extend(counts.map(|count| number(status.field(count).i64())));
    cells.push(labels(spec.field("template").field("spec").field("nodeSelector")));
    cells.extend([age(object, now), names, images, selector(spec.field("selector"))]);
    cells
}

fn controller_revision(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let mut owners = object.field("metadata").field("ownerReferences").list();
    let controller = owners.find(|owner| owner.field("controller").bool()).map_or(NONE.to_owned(), |owner| {
        let kind = owner.field("kind").str().to_lowercase();
        let group =
            owner.field("apiVersion").str().split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
        format!("{kind}{group}/{}", owner.field("name").str())
    });
    vec![name(object), text(controller), number(object.field("revision").i64()), age(object, now)]
}

fn job(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let spec = object.field("spec");
    let [names, images] = containers(spec.field("template"));
    vec![
        name(object),
        text(job_status(object)),
        text(completions(object)),
        text(job_duration(object, now)),
        age(object, now),
        names,
        images,
        selector(spec.field("selector")),
    ]
}

fn job_status(object: Cursor<'_>) -> &'static str {
    if is_true(object, "Complete") {
        "Complete"
    } else if is_true(object, "Failed") {
        "Failed"
    } else if object.field("metadata").field("deletionTimestamp").exists() {
        "Terminating"
    } else {
        let rest = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
        rest.into_iter().find(|kind| is_true(object, kind)).unwrap_or("Running")
    }
}

fn completions(object: Cursor<'_>) -> String {
    let succeeded = object.field("status").field("succeeded").i64();
    let spec = object.field("spec");
    match (spec.field("completions").opt_i64(), spec.field("parallelism").i64()) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    }
}

fn job_duration(object: Cursor<'_>, now: Timestamp) -> String {
    let time = |field| object.field("status").field(field).str().parse::<Timestamp>().ok();
    match (time("startTime"), time("completionTime")) {
        (None, _) => String::new(),
        (Some(start), end) => human_duration(end.unwrap_or(now).as_second() - start.as_second()),
    }
}

fn cron_job(object: Cursor<'_>, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (object.field("spec"), object.field("status"));
    let job = spec.field("jobTemplate").field("spec");
    let [names, images] = containers(job.field("template"));
    let last = status.field("lastScheduleTime").opt_str().map_or(NONE.to_owned(), |time| since(time, now));
    vec![
        name(object),
        text(spec.field("schedule").str()),
        or(spec.field("timeZone"), NONE),
        truth(spec.field("suspend")),
        number(i64::try_from(status.field("active").len()).unwrap_or(i64::MAX)),
        text(last),
        age(object, now),
        names,
        images,
        selector(job.field("selector")),
    ]
}
