//! Defaults of apps, batch and autoscaling.
//! upstream: pkg/apis/{apps,batch,autoscaling}/*/defaults.go

use apimachinery::value::Value;

use super::{Entry, set, set_empty, with};

pub(super) const FUNCTIONS: &[Entry] = &[
    ("io.k8s.api.apps.v1.DaemonSet", daemon_set),
    ("io.k8s.api.apps.v1.Deployment", deployment),
    ("io.k8s.api.apps.v1.ReplicaSetSpec", |o| set(o, "replicas", 1)),
    ("io.k8s.api.apps.v1.StatefulSet", stateful_set),
    ("io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec", |o| set(o, "minReplicas", 1)),
    ("io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", horizontal_pod_autoscaler),
    ("io.k8s.api.batch.v1.CronJob", cron_job),
    ("io.k8s.api.batch.v1.Job", job),
    ("io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern", |o| set(o, "status", "True")),
];

fn deployment(deployment: &mut Value) {
    let spec = deployment.field_mut("spec");
    set(spec, "replicas", 1);
    let strategy = spec.field_mut("strategy");
    set(strategy, "type", "RollingUpdate");
    if strategy.get("type").as_str() == Some("RollingUpdate") {
        let rolling = strategy.field_mut("rollingUpdate");
        set(rolling, "maxUnavailable", "25%");
        set(rolling, "maxSurge", "25%");
    }
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
}

fn daemon_set(set_: &mut Value) {
    let spec = set_.field_mut("spec");
    let strategy = spec.field_mut("updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if strategy.get("type").as_str() == Some("RollingUpdate") {
        let rolling = strategy.field_mut("rollingUpdate");
        set(rolling, "maxUnavailable", 1);
        set(rolling, "maxSurge", 0);
    }
    set(spec, "revisionHistoryLimit", 10);
}

fn stateful_set(set_: &mut Value) {
    let spec = set_.field_mut("spec");
    set(spec, "podManagementPolicy", "OrderedReady");
    let strategy = spec.field_mut("updateStrategy");
    if strategy.get("type").is_zero() {
        strategy.set("type", "RollingUpdate");
        set(strategy, "rollingUpdate", Value::map());
    }
    if strategy.get("type").as_str() == Some("RollingUpdate") {
        with(strategy, "rollingUpdate", |rolling| {
            set(rolling, "partition", 0);
        });
    }
    let retention = spec.field_mut("persistentVolumeClaimRetentionPolicy");
    set(retention, "whenDeleted", "Retain");
    set(retention, "whenScaled", "Retain");
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
}

fn job(job: &mut Value) {
    let labels = job.path(&["spec", "template", "metadata", "labels"]).clone();
    let spec = job.field_mut("spec");
    if spec.get("completions").is_null() && spec.get("parallelism").is_null() {
        spec.set("completions", 1);
    }
    set(spec, "parallelism", 1);
    let per_index = !spec.get("backoffLimitPerIndex").is_null();
    set(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    let replacement = if spec.get("podFailurePolicy").is_null() { "TerminatingOrFailed" } else { "Failed" };
    set(spec, "podReplacementPolicy", replacement);
    set(spec, "manualSelector", false);
    if !labels.is_null() {
        set_empty(job.field_mut("metadata"), "labels", labels);
    }
}

fn cron_job(cron_job: &mut Value) {
    let spec = cron_job.field_mut("spec");
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
}

fn horizontal_pod_autoscaler(autoscaler: &mut Value) {
    /// The processor utilization in percent that is aimed at where no metric is given.
    const UTILIZATION: i64 = 80;
    let spec = autoscaler.field_mut("spec");
    set(spec, "minReplicas", 1);
    if spec.get("metrics").items().is_empty() {
        let mut metric = Value::map();
        metric.set("type", "Resource");
        metric.set_path(&["resource", "name"], Value::str("cpu"));
        metric.set_path(&["resource", "target", "type"], Value::str("Utilization"));
        metric.set_path(&["resource", "target", "averageUtilization"], Value::from(UTILIZATION));
        spec.set("metrics", Value::List(vec![metric]));
    }
    with(spec, "behavior", |behavior| {
        let up = behavior.field_mut("scaleUp");
        set(up, "stabilizationWindowSeconds", 0);
        scaling_rules(up, &[("Pods", 4), ("Percent", 100)]);
        scaling_rules(behavior.field_mut("scaleDown"), &[("Percent", 100)]);
    });
}

fn scaling_rules(rules: &mut Value, policies: &[(&str, i64)]) {
    /// The time in seconds over which a policy's value counts.
    const PERIOD: i64 = 15;
    set(rules, "selectPolicy", "Max");
    let policy = |&(kind, value): &(&str, i64)| {
        let mut policy = Value::map();
        policy.set("type", kind);
        policy.set("value", value);
        policy.set("periodSeconds", PERIOD);
        policy
    };
    set(rules, "policies", Value::List(policies.iter().map(policy).collect()));
}
