//! Replication controllers, and pod templates on their own.
//! upstream: pkg/registry/core/{replicationcontroller,podtemplate}

use apimachinery::field::{Error, Errors};
use apimachinery::selector::label::Selector;
use apimachinery::value::{Cursor, Value};

use super::apps::replica_status;
use super::{
    changed, creation_warnings, keep_spec, matching_labels, runs_for_ever, template_warnings, update_warnings,
};
use crate::registry::core::pod_spec::{self, Rules};
use crate::registry::strategy::{DefaultPropagation, RequestContext, Strategy};
use crate::registry::validation::{not_negative, required, shown};

/// The strategy of PodTemplates.
pub struct PodTemplates;
/// The strategy of ReplicationControllers.
pub struct ReplicationControllers;

impl Strategy for PodTemplates {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        pod_spec::template(obj.field("template"), Rules::template(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        pod_spec::template(obj.field("template"), Rules::template().since(old.field("template")), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        template_warnings(obj.field("template"), Cursor::default())
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        match changed(obj, old) {
            true => template_warnings(obj.field("template"), old.field("template")),
            false => Vec::new(),
        }
    }
}

impl Strategy for ReplicationControllers {
    fn default_propagation(&self) -> DefaultPropagation {
        DefaultPropagation::Orphan
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        keep_spec(obj, old);
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        controller(obj.field("spec"), Rules::template(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let (spec, old_spec) = (obj.field("spec"), old.field("spec"));
        controller(spec, Rules::template().since(old_spec.field("template")), errs);
        for (key, value) in old.field("metadata").field("annotations").map() {
            let Some(field) = key.strip_prefix("non-convertible.kubernetes.io/") else { continue };
            let selector = spec.field("selector");
            if !field.contains("selector") {
                let mut error = Error::not_found(field, value.str());
                error.detail = "unknown non-convertible field".to_owned();
                errs.push(error);
            } else if selector.value() != old_spec.field("selector").value() {
                errs.invalid(selector, shown(selector.value()), "cannot update non-convertible selector");
            }
        }
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        replica_status(obj.field("status"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        creation_warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        // Upstream passes them the wrong way round.
        update_warnings(old, obj)
    }
}

/// upstream: ValidateReplicationControllerSpec
fn controller(spec: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    not_negative(spec.field("minReadySeconds"), errs);
    required(selector, errs);
    match spec.field("replicas").exists() {
        true => not_negative(spec.field("replicas"), errs),
        false => errs.required(spec.field("replicas"), ""),
    }
    if !template.exists() {
        return errs.required(template, "");
    }
    if !selector.is_empty() {
        let labels = selector.map().map(|(key, value)| (key.to_owned(), value.str().to_owned()));
        matching_labels(template, &Selector::from_set(labels), errs);
    }
    pod_spec::template(template, rules, errs);
    runs_for_ever(template, "ReplicationController", errs);
}
