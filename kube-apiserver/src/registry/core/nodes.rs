//! Nodes.
//! upstream: pkg/registry/core/node, pkg/apis/core/validation/validation.go (ValidateNode, ValidateNodeUpdate)

use std::collections::HashSet;

use apimachinery::field::{Error, Errors};
use apimachinery::names;
use apimachinery::selector::label::validate_label_name;
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::{quantity_of, quantity_value};
use crate::registry::internal_json::shown_struct;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{
    legacy_cidr, metadata, metadata_update, positive, required, required_named, required_one_of, shown,
};

/// The strategy of Nodes.
pub struct Nodes;

const CONFIG_SOURCE: [&str; 2] = ["spec", "configSource"];
const CONFIG_STATUS: [&str; 2] = ["status", "config"];

impl Strategy for Nodes {
    /// A kubelet registers with its status, so unlike elsewhere it is kept. Dynamic configuration is gone.
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        obj.remove_path(&CONFIG_SOURCE);
        obj.remove_path(&CONFIG_STATUS);
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("status", old.get("status").clone());
        if old.path(&CONFIG_SOURCE).is_null() {
            obj.remove_path(&CONFIG_SOURCE);
        }
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
        if old.path(&CONFIG_STATUS).is_null() {
            obj.remove_path(&CONFIG_STATUS);
        }
    }

    fn checks_metadata(&self, _cx: &RequestContext) -> bool {
        true
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        node(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        node(obj, errs);
        changes(obj, old, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        changes(obj, old, errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        warnings(obj.field("spec"))
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        warnings(obj.field("spec"))
    }
}

fn warnings(spec: Cursor<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if spec.field("configSource").exists() {
        warnings.push("spec.configSource: the feature is removed".to_owned());
    }
    if !spec.field("externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    for range in spec.field("podCIDRs").list() {
        warnings.extend(names::cidr_warnings(&range.path(), range.str()));
    }
    warnings
}

/// upstream: ValidateNode
fn node(obj: Cursor<'_>, errs: &mut Errors) {
    let (meta, spec, status) = (obj.field("metadata"), obj.field("spec"), obj.field("status"));
    metadata(meta, false, names::dns1123_subdomain, errs);
    annotations(meta.field("annotations"), errs);
    // Upstream tells these as parts of the metadata.
    taints(meta.field("taints").at(spec.field("taints").value()), errs);
    resources(status, errs);
    let swap = status.field("nodeInfo").field("swap").field("capacity");
    if swap.exists() {
        positive(meta.field("nodeSwapStatus").field("capacity").at(swap.value()), errs);
    }
    declared_features(status.field("declaredFeatures"), errs);
    pod_ranges(spec.field("podCIDRs"), errs);
}

fn pod_ranges(list: Cursor<'_>, errs: &mut Errors) {
    list.list().for_each(|range| legacy_cidr(range, Cursor::default(), errs));
    if list.len() < 2 {
        return;
    }
    let families: Vec<Option<bool>> =
        list.list().map(|range| names::parse_cidr_sloppy(range.str()).map(|(address, _)| address.is_ipv4())).collect();
    if let Some(broken) = list.list().zip(&families).find_map(|(range, family)| family.is_none().then_some(range)) {
        let why = format!(
            "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{}]: <nil> (invalid CIDR address: {})",
            families.iter().position(Option::is_none).unwrap_or_default(),
            broken.str()
        );
        errs.internal(list, why);
    }
    let dual =
        families.iter().all(Option::is_some) && families.contains(&Some(true)) && families.contains(&Some(false));
    if !dual || list.len() > 2 {
        errs.invalid(list, shown(list.value()), "may specify no more than one CIDR for each IP family");
    }
}

/// upstream: validateNodeTaints
fn taints(list: Cursor<'_>, errs: &mut Errors) {
    let mut seen = HashSet::new();
    for taint in list.list() {
        let (key, value, effect) = (taint.field("key"), taint.field("value"), taint.field("effect"));
        validate_label_name(key, errs);
        let wrong = names::label_value(value.str());
        if !wrong.is_empty() {
            errs.invalid(value, value.str(), wrong.join(";"));
        }
        required_one_of(effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], errs);
        if !seen.insert((effect.str(), key.str())) {
            let mut error = Error::duplicate(taint, shown_struct(taint, "io.k8s.api.core.v1.Taint"));
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errs.push(error);
        }
    }
}

/// upstream: ValidateNodeSpecificAnnotations
fn annotations(place: Cursor<'_>, errs: &mut Errors) {
    const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
    const AVOID: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
    let parsed = |key: &str| -> Result<Value, String> {
        super::data::go_json(place.value().get(key).str_or_empty().as_bytes()).map(Value::from)
    };
    if !place.field(TAINTS).is_empty() {
        match parsed(TAINTS) {
            Ok(list) => taints(place.field(TAINTS).at(&list), errs),
            Err(why) => errs.invalid(place, TAINTS, why),
        }
    }
    if !place.field(AVOID).is_empty() {
        match parsed(AVOID) {
            Ok(avoid) => avoided(place.field(AVOID).at(avoid.get("preferAvoidPods")), errs),
            Err(why) => errs.invalid(place.field("AvoidPods"), AVOID, why),
        }
    }
}

fn avoided(list: Cursor<'_>, errs: &mut Errors) {
    for entry in list.list() {
        let controller = entry.field("podSignature").field("podController");
        let place = entry.path().child("PodSignature");
        if !controller.exists() {
            errs.required(place, "");
        } else if !controller.field("controller").bool() {
            errs.invalid(place.child("PodController").child("Controller"), false, "must point to a controller");
        }
    }
}

/// upstream: ValidateNodeResources
fn resources(status: Cursor<'_>, errs: &mut Errors) {
    for list in ["capacity", "allocatable"].map(|list| status.field(list)) {
        for (name, place) in list.map() {
            quantity_value(list.path().child(name), name, &quantity_of(place), errs);
        }
    }
}

/// upstream: validateNodeDeclaredFeatures
fn declared_features(list: Cursor<'_>, errs: &mut Errors) {
    const LONGEST: usize = 253;
    let alphanumeric = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()) && alphanumeric(part))
    };
    let mut before: Option<&str> = None;
    for feature in list.list() {
        let name = feature.str();
        match before {
            Some(other) if other == name => errs.duplicate(feature, name),
            Some(other) if other > name => errs.invalid(feature, name, "list must be sorted alphabetically"),
            _ => {}
        }
        let shown = apimachinery::quote::quote(name);
        if name.len() > LONGEST {
            errs.invalid(
                feature,
                name,
                format!("invalid feature name {shown}: must be no more than {LONGEST} characters"),
            );
        } else if !is_name(name) {
            errs.invalid(feature, name, format!("invalid feature name {shown}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"));
        }
        before = Some(name);
    }
}

/// upstream: ValidateNodeUpdate
fn changes(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    const RANGES: &str = "node updates may not change podCIDR except from \"\" to valid";
    let (meta, spec, status, old_spec) =
        (obj.field("metadata"), obj.field("spec"), obj.field("status"), old.field("spec"));
    metadata_update(meta, old.field("metadata"), errs);
    annotations(meta.field("annotations"), errs);
    resources(status, errs);
    declared_features(status.field("declaredFeatures"), errs);
    let mut seen: Vec<&Value> = Vec::new();
    for address in status.field("addresses").list() {
        if seen.contains(&address.value()) {
            errs.duplicate(address, shown_struct(address, "io.k8s.api.core.v1.NodeAddress"));
        }
        seen.push(address.value());
    }
    let (ranges, before) = (spec.field("podCIDRs"), old_spec.field("podCIDRs"));
    if !before.is_empty() && before.len() != ranges.len() {
        errs.forbidden(ranges, RANGES);
    } else {
        let changed = before.list().zip(ranges.list()).filter(|(before, now)| before.str() != now.str()).count();
        (0..changed).for_each(|_| errs.forbidden(ranges, RANGES));
    }
    let (provider, before) = (spec.field("providerID"), old_spec.field("providerID"));
    if !before.is_empty() && before.str() != provider.str() {
        errs.forbidden(provider, "node updates may not change providerID except from \"\" to valid");
    }
    config_source(spec.field("configSource"), false, errs);
    for source in ["assigned", "active", "lastKnownGood"] {
        config_source(status.field("config").field(source), true, errs);
    }
    taints(meta.field("taints").at(spec.field("taints").value()), errs);
    if spec.field("externalID").str() != old_spec.field("externalID").str() {
        errs.forbidden(spec.field("externalID"), "may not be updated");
    }
}

/// upstream: validateNodeConfigSourceSpec, validateNodeConfigSourceStatus
fn config_source(source: Cursor<'_>, in_status: bool, errs: &mut Errors) {
    if !source.exists() {
        return;
    }
    let map = source.field("configMap");
    if !map.exists() {
        let shown = shown_struct(source, "io.k8s.api.core.v1.NodeConfigSource");
        return errs.invalid(source, shown, "exactly one reference subfield must be non-nil");
    }
    for field in ["uid", "resourceVersion"] {
        if in_status {
            required(map.field(field), errs);
        } else if !map.field(field).is_empty() {
            errs.forbidden(map.field(field), format!("{field} must not be set in spec"));
        }
    }
    required_named(map.field("namespace"), names::dns1123_label, errs);
    required_named(map.field("name"), names::dns1123_subdomain, errs);
    required_named(map.field("kubeletConfigKey"), names::config_map_key, errs);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn nodes() {
        let cases = [
            (
                r#"{"spec": {"podCIDRs": ["10.0.0.0/24", "fd00::/64"], "taints": [{"key": "a", "effect": "NoSchedule"}]}}"#,
                "",
            ),
            (r#"{"spec": {"taints": [{"key": "a"}]}}"#, "metadata.taints[0].effect: Required value"),
            (
                r#"{"spec": {"taints": [{"key": "a", "effect": "NoExecute"}, {"key": "a", "effect": "NoExecute", "value": "b"}]}}"#,
                r#"metadata.taints[1]: Duplicate value: {"Key":"a","Value":"b","Effect":"NoExecute","TimeAdded":null}: taints must be unique by key and effect pair"#,
            ),
            (
                r#"{"spec": {"podCIDRs": ["10.0.0.0/24", "10.1.0.0/24"]}}"#,
                r#"spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one CIDR for each IP family"#,
            ),
            (
                r#"{"status": {"capacity": {"pods": "1500m"}}}"#,
                r#"status.capacity.pods: Invalid value: "1500m": must be an integer"#,
            ),
            (
                r#"{"status": {"declaredFeatures": ["B", "A"]}}"#,
                r#"status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically"#,
            ),
        ];
        for (json, expected) in cases {
            let mut obj = value(json);
            obj.set_path(&["metadata", "name"], "n".into());
            let mut errs = Errors::new();
            node(Cursor::root(&obj), &mut errs);
            assert_eq!(errs.to_aggregate(), expected, "{json}");
        }
    }
}
