//! ResourceClaims, their templates, and DeviceClasses.

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label::validate_label_name;
use apimachinery::status::ApiError;
use apimachinery::value::{Cursor, Value};
use async_trait::async_trait;

use super::{
    TAINT_EFFECTS, attribute_name, configuration, each, each_unique, label_value, request_names, request_reference,
    status,
};
use crate::registry::core::pod_spec::is_extended;
use crate::registry::expressions::device_mistake;
use crate::registry::internal_json::immutable_spec;
use crate::registry::strategy::{Hooks, RequestContext, Strategy};
use crate::registry::validation::{
    metadata_again, metadata_update, named, one_of, required_named, required_one_of, template_metadata,
};
use crate::state::AppState;

const MOST_REQUESTS: usize = 32;
const MOST_SELECTORS: usize = 32;
const MOST_CONFIGURATIONS: usize = 32;

/// The strategy of ResourceClaims.
pub struct Claims;
/// The strategy of ResourceClaimTemplates.
pub struct ClaimTemplates;
/// The strategy of DeviceClasses.
pub struct DeviceClasses;

impl Strategy for Claims {
    fn prepare_status_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        crate::registry::ordinary::prepare_status_update(cx, obj, old);
        status::drop_deallocated(obj, old);
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        claim_spec(obj.field("spec"), errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        immutable_spec(obj, old, "io.k8s.api.resource.v1.ResourceClaimSpec", errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        status::validate(obj, old, errs);
    }

    fn hooks(&self) -> Option<&dyn Hooks> {
        Some(&AdminAccess)
    }
}

/// Devices that others use may be looked at from some namespaces only.
/// upstream: pkg/registry/resource/utils.go: AuthorizedForAdmin
struct AdminAccess;

#[async_trait]
impl Hooks for AdminAccess {
    async fn before_create(&self, state: &AppState, cx: &RequestContext, obj: &mut Value) -> Result<(), ApiError> {
        const LABEL: &str = "resource.kubernetes.io/admin-access";
        let root = Cursor::root(obj);
        let requests = root.fields(&["spec", "devices", "requests"]);
        let Some(request) = requests.list().find(|r| r.fields(&["exactly", "adminAccess"]).bool()) else {
            return Ok(());
        };
        let allowed = match state.registry.store("", "namespaces") {
            Some(namespaces) => {
                let namespace = namespaces.cached("", &cx.namespace).unwrap_or_default();
                namespace.path(&["metadata", "labels", LABEL]).as_str() == Some("true")
            }
            None => false,
        };
        if allowed {
            return Ok(());
        }
        let mut errs = Errors::new();
        let detail = format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        errs.forbidden(request.field("adminAccess"), detail);
        claim_spec(root.field("spec"), &mut errs);
        let name = obj.path(&["metadata", "name"]).str_or_empty();
        Err(ApiError::invalid("resource.k8s.io", "ResourceClaim", name, &errs))
    }
}

impl Strategy for ClaimTemplates {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        let spec = obj.field("spec");
        template_metadata(spec.field("metadata"), errs);
        claim_spec(spec.field("spec"), errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        self.validate_create(cx, obj, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        immutable_spec(obj, old, "io.k8s.api.resource.v1.ResourceClaimTemplateSpec", errs);
    }
}

/// upstream: validateDeviceClaim
pub(super) fn claim_spec(spec: Cursor<'_>, errs: &mut Errors) {
    let devices = spec.field("devices");
    let known = request_names(devices);
    each_unique(devices.field("requests"), MOST_REQUESTS, name_of, request, errs);
    each(devices.field("constraints"), 32, |one, errs| constraint(one, &known, errs), errs);
    let check = |config: Cursor<'_>, errs: &mut Errors| {
        references(config.field("requests"), &known, errs);
        configuration(config, false, errs);
    };
    each(devices.field("config"), MOST_CONFIGURATIONS, check, errs);
}

fn name_of(item: Cursor<'_>) -> String {
    item.field("name").str().to_owned()
}

/// A list of names of requests.
pub(super) fn references(list: Cursor<'_>, known: &BTreeSet<String>, errs: &mut Errors) {
    let key = |name: Cursor<'_>| name.str().to_owned();
    each_unique(list, MOST_REQUESTS, key, |name, errs| request_reference(name, known, errs), errs);
}

/// upstream: validateDeviceRequest
fn request(request: Cursor<'_>, errs: &mut Errors) {
    const MOST_CHOICES: usize = 8;
    named(request.field("name"), names::dns1123_label, errs);
    let (exactly, choices) = (request.field("exactly"), request.field("firstAvailable"));
    match (exactly.exists(), !choices.is_empty()) {
        (false, false) => errs.required(request, "exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errs.invalid(request, apimachinery::field::BadValue::null(), detail);
        }
        (true, false) => device_request(exactly, errs),
        (false, true) => {
            let check = |choice: Cursor<'_>, errs: &mut Errors| {
                named(choice.field("name"), names::dns1123_label, errs);
                device_request(choice, errs);
            };
            each_unique(choices, MOST_CHOICES, name_of, check, errs);
        }
    }
}

/// upstream: validateExactDeviceRequest, validateDeviceSubRequest
fn device_request(request: Cursor<'_>, errs: &mut Errors) {
    required_named(request.field("deviceClassName"), names::dns1123_subdomain, errs);
    each(request.field("selectors"), MOST_SELECTORS, selector, errs);
    let (mode, count) = (request.field("allocationMode"), request.field("count"));
    match mode.str() {
        "All" if count.i64() != 0 => {
            errs.invalid(count, count.i64(), "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count.i64() <= 0 => errs.invalid(count, count.i64(), "must be greater than zero"),
        _ => one_of(mode, &["All", "ExactCount"], errs),
    }
    request.field("tolerations").list().for_each(|one| toleration(one, errs));
}

/// upstream: validateSelector
fn selector(selector: Cursor<'_>, errs: &mut Errors) {
    const LONGEST: usize = 10 * 1024;
    let cel = selector.field("cel");
    if !cel.exists() {
        errs.required(cel, "");
        return;
    }
    let expression = cel.field("expression");
    if expression.str().len() > LONGEST {
        errs.too_long(expression, LONGEST);
    } else if let Some(wrong) = device_mistake(expression.str()) {
        errs.invalid(expression, expression.str(), wrong);
    }
}

/// upstream: validateDeviceToleration
pub(super) fn toleration(toleration: Cursor<'_>, errs: &mut Errors) {
    let (key, value) = (toleration.field("key"), toleration.field("value"));
    if !key.is_empty() {
        validate_label_name(key, errs);
    }
    match toleration.field("operator").str() {
        "Exists" if !value.is_empty() => errs.invalid(value, value.str(), "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => label_value(value, errs),
        _ => required_one_of(toleration.field("operator"), &["Equal", "Exists"], errs),
    }
    let effect = toleration.field("effect");
    if !effect.is_empty() {
        one_of(effect, TAINT_EFFECTS, errs);
    }
}

/// upstream: validateDeviceConstraint
fn constraint(constraint: Cursor<'_>, known: &BTreeSet<String>, errs: &mut Errors) {
    references(constraint.field("requests"), known, errs);
    let attributes = ["matchAttribute", "distinctAttribute"].map(|name| constraint.field(name));
    match attributes.into_iter().find(|attribute| attribute.exists()) {
        Some(attribute) => {
            attribute_name(attribute, attribute.str(), errs);
            if !attribute.str().contains('/') {
                let detail = "a fully qualified name must be a domain and a name separated by a slash";
                errs.invalid(attribute, attribute.str(), detail);
            }
        }
        None => errs.required(
            constraint,
            "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
        ),
    }
}

impl Strategy for DeviceClasses {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        class_spec(obj.field("spec"), Cursor::default(), errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        class_spec(obj.field("spec"), old.field("spec"), errs);
    }
}

/// upstream: validateDeviceClassSpec
fn class_spec(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    each(spec.field("selectors"), MOST_SELECTORS, selector, errs);
    let config = spec.field("config");
    let stored = old.exists() && config.value() == old.field("config").value();
    each(config, MOST_CONFIGURATIONS, |one, errs| configuration(one, stored, errs), errs);
    let name = spec.field("extendedResourceName");
    if name.exists() && !is_extended(name.str()) {
        errs.invalid(name, name.str(), "must be a valid extended resource name");
    }
}
