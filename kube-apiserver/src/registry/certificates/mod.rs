//! Certificate signing requests: who asks is what authentication says; approval and status keep what was decided.
//! upstream: pkg/registry/certificates/certificates/strategy.go

mod request;
mod rules;

use apimachinery::field::Errors;
use apimachinery::value::{Cursor, Value};

use crate::registry::strategy::{NameRule, RequestContext, Strategy};
use crate::registry::validation::metadata_again;
use rules::Path;

pub use request::is_certificate_bundle;

/// The strategy of CertificateSigningRequests.
pub struct SigningRequests;

impl Strategy for SigningRequests {
    fn name_rule(&self) -> NameRule {
        // any name will do
        NameRule::Custom(|_| Vec::new())
    }

    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        obj.remove("status");
        let spec = obj.field_mut("spec");
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        let user = &cx.user;
        if !user.name.is_empty() {
            spec.set("username", user.name.as_str());
        }
        if !user.uid.is_empty() {
            spec.set("uid", user.uid.as_str());
        }
        let strings = |list: &[String]| Value::List(list.iter().map(|text| Value::str(text.as_str())).collect());
        if !user.groups.is_empty() {
            spec.set("groups", strings(&user.groups));
        }
        for (key, values) in &user.extra {
            spec.field_mut("extra").set(key, strings(values));
        }
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
        restore(obj, old, &["status"]);
    }

    fn prepare_status_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
        ["Approved", "Denied"].into_iter().for_each(|kind| keep_conditions(obj, old, kind));
        stamp_conditions(cx, obj, old);
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        rules::create(obj, errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, |_| Vec::new(), errs);
        rules::update(obj, old, Path::Object, errs);
    }

    fn validate_status_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, |_| Vec::new(), errs);
        rules::update(obj, old, Path::Status, errs);
    }

    fn validate_subresource_update(
        &self,
        subresource: &str,
        cx: &RequestContext,
        obj: Cursor<'_>,
        old: Cursor<'_>,
        errs: &mut Errors,
    ) {
        metadata_again(cx, obj, |_| Vec::new(), errs);
        let path = if subresource == "approval" { Path::Approval } else { Path::Object };
        rules::update(obj, old, path, errs);
    }

    fn prepare_subresource_update(&self, subresource: &str, cx: &RequestContext, obj: &mut Value, old: &Value) {
        if subresource != "approval" {
            return self.prepare_update(cx, obj, old);
        }
        stamp_conditions(cx, obj, old);
        let conditions = obj.path(&["status", "conditions"]).clone();
        obj.set("spec", old.get("spec").clone());
        restore(obj, old, &["status"]);
        if conditions.is_null() {
            obj.remove_path(&["status", "conditions"]);
        } else {
            obj.set_path(&["status", "conditions"], conditions);
        }
    }
}

fn restore(obj: &mut Value, old: &Value, path: &[&str]) {
    match old.path(path) {
        Value::Null => drop(obj.remove_path(path)),
        value => obj.set_path(path, value.clone()),
    }
}

/// The status may not touch what approval decided: those conditions stay as they were. More or fewer of them are left
/// for validation to refuse.
fn keep_conditions(obj: &mut Value, old: &Value, kind: &str) {
    let decided = |condition: &&Value| condition.get("type").as_str() == Some(kind);
    let before: Vec<Value> = old.path(&["status", "conditions"]).items().iter().filter(decided).cloned().collect();
    let Some(Value::List(conditions)) = obj.path_mut(&["status", "conditions"]) else { return };
    if conditions.iter().filter(decided).count() != before.len() {
        return;
    }
    let slots = conditions.iter_mut().filter(|c| c.get("type").as_str() == Some(kind));
    slots.zip(before).for_each(|(slot, condition)| *slot = condition);
}

/// Times of conditions that the client left out: the transition is as old as the state.
fn stamp_conditions(cx: &RequestContext, obj: &mut Value, old: &Value) {
    let now = Value::str(cx.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let before = old.path(&["status", "conditions"]).items();
    let Some(Value::List(conditions)) = obj.path_mut(&["status", "conditions"]) else { return };
    for condition in conditions {
        if condition.get("lastUpdateTime").is_null() {
            condition.set("lastUpdateTime", now.clone());
        }
        if !condition.get("lastTransitionTime").is_null() {
            continue;
        }
        let same = |b: &&Value| b.get("type") == condition.get("type") && b.get("status") == condition.get("status");
        let time = before.iter().find(same).map(|b| b.get("lastTransitionTime")).filter(|t| !t.is_null());
        let time = time.cloned().unwrap_or_else(|| now.clone());
        condition.set("lastTransitionTime", time);
    }
}
