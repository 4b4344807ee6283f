//! Pods: what the server sets in status and generation, graceful deletion, and what each subresource may change. The rules
//! about pod specs are in `pod_spec`.
//! upstream: pkg/registry/core/pod/strategy.go

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::disabled::drop_disabled;
use crate::registry::core::pod_spec::{self, Rules};
use crate::registry::core::{pod_status, pod_updates};
use crate::registry::ordinary;
use crate::registry::pod_resources::qos_class;
use crate::registry::strategy::{DeleteOptions, RequestContext, Strategy};

/// The strategy of pods.
pub struct Pods;

impl Strategy for Pods {
    fn table_conditions(&self, obj: Cursor<'_>) -> Option<Value> {
        crate::registry::columns::pod_conditions(obj)
    }

    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        drop_disabled(&cx.resource, obj, &Value::Null);
        obj.set_path(&["metadata", "generation"], Value::Int(1));
        let mut status = Value::map();
        status.set("phase", "Pending");
        status.set("qosClass", qos_class(obj.get("spec")));
        if !obj.path(&["spec", "schedulingGates"]).items().is_empty() {
            status.set("conditions", Value::List(vec![gated_condition(cx)]));
        }
        obj.set("status", status);
        merge_label_keys(obj);
    }

    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        drop_disabled(&cx.resource, obj, old);
        obj.set("status", old.get("status").clone());
        bump_generation(obj, old);
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
        // behind a gate that is off
        obj.remove_path(&["status", "nodeAllocatableResourceClaimStatuses"]);
        obj.remove_path(&["metadata", "deletionTimestamp"]);
        restore(obj, old, &["metadata", "deletionTimestamp"]);
        restore(obj, old, &["metadata", "ownerReferences"]);
        if obj.path(&["status", "qosClass"]).is_zero() {
            restore(obj, old, &["status", "qosClass"]);
        }
        keep_observed_generations(obj, old);
    }

    fn prepare_subresource_update(&self, subresource: &str, cx: &RequestContext, obj: &mut Value, old: &Value) {
        match subresource {
            "ephemeralcontainers" => {
                let wanted = obj.path(&["spec", "ephemeralContainers"]).clone();
                keep_all_but_spec_field(obj, old, "ephemeralContainers", wanted);
                bump_generation(obj, old);
            }
            "resize" => {
                keep_all_but_resources(obj, old);
                bump_generation(obj, old);
            }
            _ => self.prepare_update(cx, obj, old),
        }
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        pod_spec::new_pod(obj, Rules::pod(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        pod_updates::update(obj, old, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        pod_status::change(obj, old, errs);
    }

    fn validate_subresource_update(
        &self,
        subresource: &str,
        cx: &RequestContext,
        obj: Cursor<'_>,
        old: Cursor<'_>,
        errs: &mut Errors,
    ) {
        match subresource {
            "ephemeralcontainers" => pod_updates::ephemeral_containers(obj, old, errs),
            "resize" => pod_updates::resize(obj, old, errs),
            _ => self.validate_update(cx, obj, old, errs),
        }
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let wrong = names::dns1123_label(obj.field("metadata").field("name").str());
        let mut warnings = Vec::new();
        if !wrong.is_empty() {
            warnings.push(format!("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]", wrong.join(" ")));
        }
        warnings.extend(pod_spec::warnings::of_pod(obj));
        warnings
    }

    fn grace_period(&self, obj: &Value, options: &DeleteOptions) -> Option<i64> {
        let own = || obj.path(&["spec", "terminationGracePeriodSeconds"]).as_i64().unwrap_or(0);
        let period = options.grace_period_seconds.unwrap_or_else(own);
        let unscheduled = obj.path(&["spec", "nodeName"]).is_zero();
        let ended = matches!(obj.path(&["status", "phase"]).str_or_empty(), "Failed" | "Succeeded");
        Some(match period {
            _ if unscheduled || ended => 0,
            // A kubelet must still see the deletion, so a negative period is the shortest there is.
            negative if negative < 0 => 1,
            period => period,
        })
    }

    fn field_value(&self, obj: &Value, label: &str) -> Option<String> {
        Some(match label {
            "spec.hostNetwork" => (obj.path(&["spec", "hostNetwork"]).as_bool() == Some(true)).to_string(),
            "status.podIP" => obj.path(&["status", "podIPs"]).index(0).get("ip").str_or_empty().to_owned(),
            _ => ordinary::field_value(obj, label),
        })
    }
}

fn restore(obj: &mut Value, old: &Value, path: &[&str]) {
    match old.path(path) {
        Value::Null => drop(obj.remove_path(path)),
        value => obj.set_path(path, value.clone()),
    }
}

fn bump_generation(obj: &mut Value, old: &Value) {
    let generation = old.path(&["metadata", "generation"]).as_i64().unwrap_or(0);
    let changed = obj.get("spec") != old.get("spec");
    let next = generation + i64::from(changed);
    if next > 0 {
        obj.set_path(&["metadata", "generation"], Value::Int(next));
    }
}

fn gated_condition(cx: &RequestContext) -> Value {
    let mut condition = Value::map();
    condition.set("lastTransitionTime", cx.now_text());
    condition.set("type", "PodScheduled");
    condition.set("status", "False");
    condition.set("reason", "SchedulingGated");
    condition.set("message", "Scheduling is blocked due to non-empty scheduling gates");
    condition
}

fn keep_all_but_spec_field(obj: &mut Value, old: &Value, field: &'static str, wanted: Value) {
    obj.set("spec", old.get("spec").clone());
    obj.set("status", old.get("status").clone());
    ordinary::reset_metadata(obj, old);
    match wanted {
        Value::Null => drop(obj.remove_path(&["spec", field])),
        wanted => obj.set_path(&["spec", field], wanted),
    }
}

/// Of a resize only the resources and resize policies of containers count. Where the containers are not the same ones,
/// everything is left for validation to refuse.
fn keep_all_but_resources(obj: &mut Value, old: &Value) {
    let merged = |list: &str| -> Option<Value> {
        let (new, before) = (obj.path(&["spec", list]).items(), old.path(&["spec", list]).items());
        let same = new.len() == before.len() && new.iter().zip(before).all(|(n, b)| n.get("name") == b.get("name"));
        same.then(|| {
            let merge = |(new, before): (&Value, &Value)| {
                let mut container = before.clone();
                for field in ["resources", "resizePolicy"] {
                    match new.get(field) {
                        Value::Null => drop(container.remove(field)),
                        value => container.set(field, value.clone()),
                    }
                }
                container
            };
            Value::List(new.iter().zip(before).map(merge).collect())
        })
    };
    let (Some(containers), Some(initial)) = (merged("containers"), merged("initContainers")) else { return };
    let resources = obj.path(&["spec", "resources"]).clone();
    keep_all_but_spec_field(obj, old, "containers", containers);
    if !initial.items().is_empty() {
        obj.set_path(&["spec", "initContainers"], initial);
    }
    match resources {
        Value::Null => drop(obj.remove_path(&["spec", "resources"])),
        resources => obj.set_path(&["spec", "resources"], resources),
    }
}

/// A kubelet that does not know observed generations must not lose those that another one wrote.
fn keep_observed_generations(obj: &mut Value, old: &Value) {
    if obj.path(&["status", "observedGeneration"]).is_zero() {
        restore(obj, old, &["status", "observedGeneration"]);
    }
    let before = old.path(&["status", "conditions"]).items();
    let Some(Value::List(conditions)) = obj.path_mut(&["status", "conditions"]) else { return };
    for condition in conditions.iter_mut().filter(|c| c.get("observedGeneration").is_zero()) {
        let same = before.iter().find(|b| b.get("type") == condition.get("type"));
        if let Some(generation) = same.map(|b| b.get("observedGeneration")).filter(|g| !g.is_zero()) {
            condition.set("observedGeneration", generation.clone());
        }
    }
}

/// `matchLabelKeys` and `mismatchLabelKeys` become expressions over the pod's own labels.
fn merge_label_keys(obj: &mut Value) {
    let labels = obj.path(&["metadata", "labels"]).clone();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = obj.path_mut(&["spec", "affinity", kind]) else { continue };
        if let Some(Value::List(terms)) = affinity.get_mut("requiredDuringSchedulingIgnoredDuringExecution") {
            terms.iter_mut().for_each(|term| merge_into_selector(term, &labels));
        }
        if let Some(Value::List(terms)) = affinity.get_mut("preferredDuringSchedulingIgnoredDuringExecution") {
            terms
                .iter_mut()
                .filter_map(|t| t.get_mut("podAffinityTerm"))
                .for_each(|term| merge_into_selector(term, &labels));
        }
    }
    if let Some(Value::List(constraints)) = obj.path_mut(&["spec", "topologySpreadConstraints"]) {
        constraints.iter_mut().for_each(|constraint| merge_into_selector(constraint, &labels));
    }
}

fn merge_into_selector(term: &mut Value, labels: &Value) {
    if term.get("labelSelector").is_null() {
        return;
    }
    let mut added = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term.get(list).items() {
            let value = labels.get(key.str_or_empty());
            if !value.is_null() {
                let mut expression = Value::map();
                expression.set("key", key.clone());
                expression.set("operator", operator);
                expression.set("values", Value::List(vec![value.clone()]));
                added.push(expression);
            }
        }
    }
    if !added.is_empty() {
        term.field_mut("labelSelector").field_mut("matchExpressions").list_mut().extend(added);
    }
}
