//! Deployments, replica sets, and the revisions that controllers keep.
//! upstream: pkg/apis/apps/validation/validation.go, pkg/registry/apps/{deployment,replicaset,controllerrevision}

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use super::rolling::{amount, int_or_percent, not_all};
use super::{
    at_most, collisions, counters, creation_warnings, keep_spec, required_selector, selected_template, update_warnings,
};
use crate::registry::core::pod_spec::Rules;
use crate::registry::internal_json::{LABEL_SELECTOR, immutable_struct, shown_raw, shown_struct};
use crate::registry::ordinary;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{metadata, not_negative};

/// The strategy of ControllerRevisions.
pub struct ControllerRevisions;
/// The strategy of Deployments.
pub struct Deployments;
/// The strategy of ReplicaSets.
pub struct ReplicaSets;

impl Strategy for Deployments {
    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        ordinary::prepare_update(cx, obj, old);
        // Replica sets get the annotations, so a change of those counts too.
        let annotations = |object: &Value| object.path(&["metadata", "annotations"]).clone();
        let (new_annotations, old_annotations) = (annotations(obj), annotations(old));
        let generation = old.path(&["metadata", "generation"]).clone();
        let differ = new_annotations != old_annotations && !(new_annotations.is_zero() && old_annotations.is_zero());
        if differ && *obj.path(&["metadata", "generation"]) == generation {
            obj.set_path(&["metadata", "generation"], Value::Int(generation.as_i64().unwrap_or(0) + 1));
        }
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        keep_spec(obj, old);
        match old.path(&["metadata", "labels"]) {
            Value::Null => drop(obj.remove_path(&["metadata", "labels"])),
            labels => obj.set_path(&["metadata", "labels"], labels.clone()),
        }
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        deployment(obj.field("spec"), Rules::template(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let (spec, old) = (obj.field("spec"), old.field("spec"));
        deployment(spec, Rules::template().since(old.field("template")), errs);
        immutable_struct(spec.field("selector"), old.field("selector"), LABEL_SELECTOR, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let status = obj.field("status");
        counters(
            status,
            &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            errs,
        );
        let limited = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        at_most(status, &limited, "replicas", "status.replicas", errs);
        at_most(status, &["availableReplicas"], "readyReplicas", "readyReplicas", errs);
        collisions(status, old.field("status"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        creation_warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        update_warnings(obj, old)
    }
}

/// upstream: ValidateDeploymentSpec
fn deployment(spec: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    not_negative(spec.field("replicas"), errs);
    required_selector(spec.field("selector"), "deployment", errs);
    selected_template(spec, rules, errs);
    let strategy = spec.field("strategy");
    let rolling = strategy.field("rollingUpdate");
    match strategy.field("type").str() {
        "Recreate" if rolling.exists() => {
            errs.forbidden(rolling, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if !rolling.exists() => {
            errs.required(rolling, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => {
            let (missing, more) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
            int_or_percent(missing, errs);
            int_or_percent(more, errs);
            if amount(missing) == 0 && amount(more) == 0 {
                errs.invalid(missing, missing, "may not be 0 when `maxSurge` is 0");
            }
            not_all(missing, errs);
        }
        _ => errs.not_supported(
            strategy,
            shown_struct(strategy, "io.k8s.api.apps.v1.DeploymentStrategy"),
            ["Recreate", "RollingUpdate"],
        ),
    }
    not_negative(spec.field("minReadySeconds"), errs);
    not_negative(spec.field("revisionHistoryLimit"), errs);
    let deadline = spec.field("progressDeadlineSeconds");
    if deadline.exists() {
        not_negative(deadline, errs);
        if deadline.i64() <= spec.field("minReadySeconds").i64() {
            errs.invalid(deadline, deadline.i64(), "must be greater than minReadySeconds");
        }
    }
}

impl Strategy for ReplicaSets {
    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        keep_spec(obj, old);
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        replica_set(obj.field("spec"), Rules::template(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let (spec, old) = (obj.field("spec"), old.field("spec"));
        replica_set(spec, Rules::template().since(old.field("template")), errs);
        immutable_struct(spec.field("selector"), old.field("selector"), LABEL_SELECTOR, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        replica_status(obj.field("status"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        creation_warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        update_warnings(obj, old)
    }
}

/// The status of replica sets and replication controllers.
/// upstream: ValidateReplicaSetStatus
pub(super) fn replica_status(status: Cursor<'_>, errs: &mut Errors) {
    counters(
        status,
        &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
            "terminatingReplicas",
        ],
        errs,
    );
    let limited = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    at_most(status, &limited, "replicas", "status.replicas", errs);
    at_most(status, &["availableReplicas"], "readyReplicas", "readyReplicas", errs);
}

/// upstream: ValidateReplicaSetSpec
fn replica_set(spec: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    not_negative(spec.field("replicas"), errs);
    not_negative(spec.field("minReadySeconds"), errs);
    required_selector(spec.field("selector"), "deployment", errs);
    selected_template(spec, rules, errs);
}

impl Strategy for ControllerRevisions {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        not_negative(obj.field("revision"), errs);
        let data = obj.field("data");
        let mut parsed = data.value().clone();
        parsed.expand_raw();
        match parsed {
            Value::Null => errs.required(data, "data is mandatory"),
            Value::Map(_) => {}
            _ => errs.required(data, "data must be a valid JSON object"),
        }
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
        not_negative(obj.field("revision"), errs);
        let data = obj.field("data");
        if data.value() != old.field("data").value() {
            errs.invalid(data, shown_raw(data.value()), apimachinery::object_meta::IMMUTABLE);
        }
    }
}
