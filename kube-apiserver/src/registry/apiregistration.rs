//! API services: named VERSION.GROUP, which the core group's `v1.` makes no subdomain.
//!
//! upstream: staging/src/k8s.io/kube-aggregator/pkg/registry/apiservice, pkg/apis/apiregistration/validation

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value;
use apimachinery::value::{Cursor, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::strategy::{NameRule, RequestContext, Strategy};
use super::validation::{named, one_of, required};

/// The strategy of `apiservices`.
pub struct ApiServices;

impl Strategy for ApiServices {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    /// What this server serves itself is available at once.
    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        obj.remove("status");
        if obj.path(&["spec", "service"]).is_null() {
            let available = value!({
                "type": "Available",
                "status": "True",
                "lastTransitionTime": cx.now_text(),
                "reason": "Local",
                "message": "Local APIServices are always available",
            });
            obj.set_path(&["status", "conditions"], Value::List(vec![available]));
        }
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        service(obj, errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        let rule = names::path_segment_name;
        apimachinery::object_meta::validate(obj.field("metadata"), cx.resource.namespaced, rule, errs);
        service(obj, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>, errs: &mut Errors) {
        for condition in obj.field("status").field("conditions").list() {
            one_of(condition.field("status"), &["True", "False", "Unknown"], errs);
        }
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

/// upstream: ValidateAPIService
fn service(obj: Cursor<'_>, errs: &mut Errors) {
    let (spec, name) = (obj.field("spec"), obj.field("metadata").field("name"));
    let (group, version) = (spec.field("group"), spec.field("version"));
    let wanted = format!("{}.{}", version.str(), group.str());
    if !name.is_empty() && names::path_segment_name(name.str()).is_empty() && name.str() != wanted {
        errs.invalid(name, name.str(), format!("must be `spec.version+\".\"+spec.group`: {wanted:?}"));
    }
    if group.is_empty() && version.str() != "v1" {
        errs.required(group, "only v1 may have an empty group and it better be legacy kube");
    }
    if !group.is_empty() {
        named(group, names::dns1123_subdomain, errs);
    }
    named(version, names::dns1035_label, errs);
    for (field, highest) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let priority = spec.field(field);
        if !(1..=highest).contains(&priority.i64()) {
            errs.invalid(priority, priority.i64(), format!("must be positive and less than {highest}"));
        }
    }
    let (bundle, insecure, target) =
        (spec.field("caBundle"), spec.field("insecureSkipTLSVerify"), spec.field("service"));
    if !target.exists() {
        let length = STANDARD.decode(bundle.str()).map_or(0, |bytes| bytes.len());
        if length != 0 {
            errs.invalid(bundle, format!("{length} bytes"), "local APIServices may not have a caBundle");
        }
        if insecure.bool() {
            errs.invalid(insecure, true, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    required(target.field("namespace"), errs);
    required(target.field("name"), errs);
    let port = target.field("port");
    let wrong = names::port_number(port.i64());
    if !wrong.is_empty() {
        errs.invalid(port, port.i64(), format!("port is not valid: {}", wrong.join(", ")));
    }
    if insecure.bool() && !bundle.is_empty() {
        errs.invalid(insecure, true, "may not be true if caBundle is present");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services() {
        let local = r#""groupPriorityMinimum": 1, "versionPriority": 1"#;
        let cases = [
            (format!(r#"{{"group": "g.x", "version": "v1", {local}}}"#), vec![]),
            (
                format!(r#"{{"group": "h", "version": "v1", {local}}}"#),
                vec![r#"metadata.name: Invalid value: "v1.g.x": must be `spec.version+"."+spec.group`: "v1.h""#],
            ),
            (
                r#"{"group": "g.x", "version": "v1", "groupPriorityMinimum": 20001, "versionPriority": 0,
                    "insecureSkipTLSVerify": true}"#
                    .to_owned(),
                vec![
                    "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
                    "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
                    "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
                ],
            ),
        ];
        for (spec, expected) in cases {
            let text = format!(r#"{{"metadata": {{"name": "v1.g.x"}}, "spec": {spec}}}"#);
            let object: Value = serde_json::from_str(&text).expect("JSON");
            let mut errs = Errors::new();
            service(Cursor::root(&object), &mut errs);
            assert_eq!(errs.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{spec}");
        }
    }
}
