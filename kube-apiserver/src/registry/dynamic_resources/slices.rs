//! ResourceSlices: the devices that a driver offers.

use std::sync::LazyLock;

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::object_meta::IMMUTABLE;
use apimachinery::quantity::Quantity;
use apimachinery::quote::json_value;
use apimachinery::selector::label::validate_label_name;
use apimachinery::value::{Cursor, Value};
use regex::Regex;

use super::{
    TAINT_EFFECTS, attribute_name, binding_conditions, driver_name, each, each_unique, label_value, pool_name,
};
use crate::registry::core::pod_spec::node_selector;
use crate::registry::internal_json::shown_struct;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{named, required_one_of};

/// The strategy of ResourceSlices.
pub struct Slices;

/// Lists in attributes; their feature is off.
const LIST_ATTRIBUTES: [&str; 4] = ["bools", "ints", "strings", "versions"];

impl Strategy for Slices {
    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        stamp_taints(cx, obj);
        crate::registry::ordinary::prepare_create(cx, obj);
        drop_disabled(obj, &Value::Null);
    }

    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        // Upstream counts the generation before it drops fields.
        stamp_taints(cx, obj);
        crate::registry::ordinary::prepare_update(cx, obj, old);
        drop_disabled(obj, old);
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        slice(obj.field("spec"), Cursor::default(), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        slice(obj.field("spec"), old.field("spec"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let driver = obj.field("spec").field("driver").str();
        if driver == driver.to_lowercase() {
            return Vec::new();
        }
        vec![format!("spec.driver: driver names should be lowercase; {driver:?} contains uppercase characters")]
    }

    fn warnings_update(&self, cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        self.warnings_create(cx, obj)
    }
}

/// A taint without a time is from now.
fn stamp_taints(cx: &RequestContext, obj: &mut Value) {
    let Some(Value::List(devices)) = obj.path_mut(&["spec", "devices"]) else { return };
    for device in devices {
        let Some(Value::List(taints)) = device.get_mut("taints") else { continue };
        taints.iter_mut().filter(|t| t.get("timeAdded").is_null()).for_each(|t| t.set("timeAdded", cx.now_text()));
    }
}

/// Fields of features that are off by default, unless the old object has them.
fn drop_disabled(obj: &mut Value, old: &Value) {
    let devices = old.path(&["spec", "devices"]).items();
    let has = |name: &str| devices.iter().any(|device| !device.get(name).is_null());
    let attributes = |device: &Value| device.get("attributes").entries().map(|(_, a)| a.clone()).collect::<Vec<_>>();
    let in_use = |a: &Value| LIST_ATTRIBUTES.iter().any(|name| !a.get(name).is_null());
    let has_lists = devices.iter().any(|device| attributes(device).iter().any(in_use));
    let has_mappings = has("nodeAllocatableResourceMappings");
    let Some(Value::List(devices)) = obj.path_mut(&["spec", "devices"]) else { return };
    for device in devices {
        if !has_mappings {
            device.remove("nodeAllocatableResourceMappings");
        }
        let Some(Value::Map(attributes)) = device.get_mut("attributes") else { continue };
        if !has_lists {
            for (_, attribute) in attributes.iter_mut() {
                LIST_ATTRIBUTES.iter().for_each(|name| drop(attribute.remove(name)));
            }
        }
    }
}

/// upstream: validateResourceSliceSpec
fn slice(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let pool = spec.field("pool");
    driver_name(spec.field("driver"), spec.field("driver").str(), errs);
    resource_pool(pool, errs);
    if old.exists() {
        for (new, before) in [
            (pool.field("name"), old.field("pool").field("name")),
            (spec.field("driver"), old.field("driver")),
            (spec.field("nodeName"), old.field("nodeName")),
        ] {
            if new.value() != before.value() {
                let value = if new.exists() { BadValue::from(new) } else { empty_of(new) };
                errs.invalid(new, value, IMMUTABLE);
            }
        }
    }
    let one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let places = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let set = node_selection(spec, &places, "must be either unset or set to a non-empty string", errs);
    match set.len() {
        0 => errs.required(spec, one),
        1 => {}
        _ => {
            let detail = format!("{one}, but multiple fields are set");
            errs.invalid(spec, format!("{{{}}}", set.join(", ")), detail);
        }
    }
    if spec.field("sharedCounters").exists() && spec.field("devices").exists() {
        errs.invalid(spec, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    devices(spec, old, errs);
    const MOST_SETS: usize = 8;
    each_unique(spec.field("sharedCounters"), MOST_SETS, |set| set.field("name").str().to_owned(), counter_set, errs);
}

/// The zero value of a text that is no pointer, or null.
fn empty_of(place: Cursor<'_>) -> BadValue {
    if place.path().as_str().ends_with("nodeName") { BadValue::null() } else { BadValue::from("") }
}

/// Checks the ways to say which nodes; returns those used, quoted.
fn node_selection(place: Cursor<'_>, fields: &[&str], empty_name: &str, errs: &mut Errors) -> Vec<String> {
    let mut used = Vec::new();
    for name in fields {
        let value = place.value().get(name);
        if value.is_null() {
            continue;
        }
        let path = place.path().child(name);
        match (*name, value) {
            ("nodeName", Value::Str(node)) if node.is_empty() => errs.invalid(&path, "", empty_name),
            ("nodeName", Value::Str(node)) => {
                errs.invalid_each(&path, &**node, names::dns1123_subdomain(node));
                used.push(format!("`{name}`"));
            }
            ("nodeSelector", selector) => {
                let selector = Cursor::with_base(selector, &path);
                node_selector(selector, false, errs);
                if fields.len() == 4 {
                    single_term(selector.field("nodeSelectorTerms"), errs);
                }
                used.push(format!("`{name}`"));
            }
            (_, Value::Bool(true)) => used.push(format!("`{name}`")),
            _ => errs.invalid(&path, false, "must be either unset or set to true"),
        }
    }
    used
}

fn single_term(terms: Cursor<'_>, errs: &mut Errors) {
    if terms.len() == 1 {
        return;
    }
    let all: Vec<String> =
        terms.list().map(|t| shown_struct(t, "io.k8s.api.core.v1.NodeSelectorTerm").to_string()).collect();
    let value = if terms.exists() { BadValue::json(format!("[{}]", all.join(","))) } else { BadValue::null() };
    errs.invalid(terms, value, "must have exactly one node selector term");
}

/// upstream: validateResourcePool
fn resource_pool(pool: Cursor<'_>, errs: &mut Errors) {
    pool_name(pool.field("name"), errs);
    let (count, generation) = (pool.field("resourceSliceCount"), pool.field("generation"));
    if count.i64() <= 0 {
        errs.invalid(count, count.i64(), "must be greater than zero");
    }
    if generation.i64() < 0 {
        errs.invalid(generation, generation.i64(), "must be greater than or equal to zero");
    }
}

fn devices(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let list = spec.field("devices");
    let is_advanced = |device: Cursor<'_>| {
        let lists = |a: &Value| LIST_ATTRIBUTES.iter().any(|name| !a.get(name).is_null());
        !device.field("taints").is_empty()
            || !device.field("consumesCounters").is_empty()
            || device.field("attributes").value().entries().any(|(_, a)| lists(a))
    };
    let most = if list.list().any(is_advanced) { 64 } else { 128 };
    let per_device = spec.field("perDeviceNodeSelection").bool();
    let check = |device: Cursor<'_>, errs: &mut Errors| {
        let before = old.field("devices").list().find(|o| o.field("name").str() == device.field("name").str());
        self::device(device, before, per_device, errs);
    };
    each_unique(list, most, |device| device.field("name").str().to_owned(), check, errs);
}

/// upstream: validateDevice
fn device(device: Cursor<'_>, old: Option<Cursor<'_>>, per_device: bool, errs: &mut Errors) {
    named(device.field("name"), names::dns1123_label, errs);
    sizes(device, errs);
    for (key, attribute) in device.field("attributes").map() {
        attribute_name(device.field("attributes"), key, errs);
        self::attribute(attribute, errs);
    }
    let shared = device.field("allowMultipleAllocations").bool();
    for (key, capacity) in device.field("capacity").map() {
        attribute_name(device.field("capacity"), key, errs);
        let policy = capacity.field("requestPolicy");
        match (policy.exists(), shared) {
            (true, true) => request_policy(capacity.field("value").str(), policy, errs),
            (true, false) => errs.forbidden(policy, "allowMultipleAllocations must be true"),
            _ => {}
        }
    }
    let taints = device.field("taints");
    if old.is_none_or(|old| old.field("taints").value() != taints.value()) {
        const MOST_TAINTS: usize = 16;
        each(taints, MOST_TAINTS, taint, errs);
    }
    consumed_counters(device.field("consumesCounters"), errs);
    device_nodes(device, per_device, errs);
    binding_conditions(device, errs);
}

fn sizes(device: Cursor<'_>, errs: &mut Errors) {
    const MOST: usize = 32;
    const MOST_VALUES: usize = 48;
    let (attributes, capacity) = (device.field("attributes"), device.field("capacity"));
    let entries = attributes.len() + capacity.len();
    if entries > MOST {
        errs.invalid(device, entries, format!("the total number of attributes and capacities must not exceed {MOST}"));
    }
    let values_of = |(_, a): (&str, Cursor<'_>)| LIST_ATTRIBUTES.iter().map(|n| a.field(n).len()).sum::<usize>().max(1);
    let values: usize = attributes.map().map(values_of).sum();
    if values > MOST_VALUES {
        errs.invalid(device, values, format!("the total number of attribute values must not exceed {MOST_VALUES}"));
    }
}

fn device_nodes(device: Cursor<'_>, per_device: bool, errs: &mut Errors) {
    let places = ["nodeName", "nodeSelector", "allNodes"];
    if !per_device {
        if places.iter().any(|name| device.field(name).exists()) {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                          true in the ResourceSlice spec";
            errs.invalid(device, BadValue::null(), detail);
        }
        return;
    }
    let one = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set \
               to true in the ResourceSlice spec";
    let set = node_selection(device, &places, "must not be empty", errs);
    match set.len() {
        0 => errs.required(device, one),
        1 => {}
        _ => errs.invalid(device, format!("{{{}}}", set.join(", ")), one),
    }
}

static SEMANTIC_VERSION: LazyLock<Regex> = LazyLock::new(|| {
    const NUMBER: &str = r"(0|[1-9][0-9]*)";
    const PRE: &str = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";
    const BUILD: &str = r"[0-9a-zA-Z-]+";
    let pattern = format!(r"^{NUMBER}\.{NUMBER}\.{NUMBER}(-{PRE}(\.{PRE})*)?(\+{BUILD}(\.{BUILD})*)?$");
    Regex::new(&pattern).expect("the pattern is valid")
});

/// upstream: validateDeviceAttribute
fn attribute(attribute: Cursor<'_>, errs: &mut Errors) {
    let text = |place: Cursor<'_>, errs: &mut Errors| {
        const LONGEST: usize = 64;
        if place.str().len() > LONGEST {
            errs.too_long(place, LONGEST);
        }
    };
    let version = |place: Cursor<'_>, errs: &mut Errors| {
        if !SEMANTIC_VERSION.is_match(place.str()) {
            errs.invalid(place, place.str(), "must be a string compatible with semver.org spec 2.0.0");
        }
        text(place, errs);
    };
    if attribute.field("string").exists() {
        text(attribute.field("string"), errs);
    }
    if attribute.field("version").exists() {
        version(attribute.field("version"), errs);
    }
    for list in LIST_ATTRIBUTES.map(|name| attribute.field(name)).into_iter().filter(|list| list.exists()) {
        if list.is_empty() {
            errs.invalid(list, list, "must not be empty if specified");
        }
    }
    attribute.field("strings").list().for_each(|one| text(one, errs));
    attribute.field("versions").list().for_each(|one| version(one, errs));
    const FIELDS: [(&str, &str); 8] = [
        ("int", "IntValue"),
        ("bool", "BoolValue"),
        ("string", "StringValue"),
        ("version", "VersionValue"),
        ("ints", "IntValues"),
        ("bools", "BoolValues"),
        ("strings", "StringValues"),
        ("versions", "VersionValues"),
    ];
    let detail = "exactly one value must be specified";
    match FIELDS.iter().filter(|(name, _)| attribute.field(name).exists()).count() {
        0 => errs.invalid(attribute, "", detail),
        1 => {}
        _ => {
            let all = FIELDS.map(|(name, go)| format!("\"{go}\":{}", json_value(attribute.field(name).value())));
            errs.invalid(attribute, BadValue::json(format!("{{{}}}", all.join(","))), detail);
        }
    }
}

/// upstream: validateDeviceTaint
fn taint(taint: Cursor<'_>, errs: &mut Errors) {
    validate_label_name(taint.field("key"), errs);
    if !taint.field("value").is_empty() {
        label_value(taint.field("value"), errs);
    }
    required_one_of(taint.field("effect"), TAINT_EFFECTS, errs);
}

/// upstream: validateCounterSet
fn counter_set(set: Cursor<'_>, errs: &mut Errors) {
    counters(set, "name", errs);
}

fn consumed_counters(list: Cursor<'_>, errs: &mut Errors) {
    const MOST_SETS: usize = 2;
    let key = |one: Cursor<'_>| one.field("counterSet").str().to_owned();
    each_unique(list, MOST_SETS, key, |one, errs| counters(one, "counterSet", errs), errs);
}

/// Named counters of a set whose name is in the field `name`.
fn counters(set: Cursor<'_>, name: &str, errs: &mut Errors) {
    const MOST: usize = 32;
    let path = set.path().child(name);
    match set.value().get(name).str_or_empty() {
        "" => errs.required(&path, ""),
        text => errs.invalid_each(&path, text, names::dns1123_label(text)),
    }
    let counters = set.field("counters");
    match counters.len() {
        0 => errs.required(counters, ""),
        n if n > MOST => errs.too_many(counters, n, MOST),
        _ => {
            for (key, _) in counters.map() {
                errs.invalid_each(counters, key, names::dns1123_label(key));
            }
        }
    }
}

fn quantity(place: Cursor<'_>) -> Option<Quantity> {
    Quantity::parse(place.str()).ok()
}

/// upstream: validateRequestPolicy
fn request_policy(capacity: &str, policy: Cursor<'_>, errs: &mut Errors) {
    let (values, range, default) = (policy.field("validValues"), policy.field("validRange"), policy.field("default"));
    let most = Quantity::parse(capacity).unwrap_or_default();
    match (!values.is_empty(), range.exists()) {
        (true, true) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                          same time";
            errs.forbidden(policy, detail);
        }
        (true, false) => match quantity(default) {
            None => errs.required(default, "required when validValues is defined"),
            Some(default) => valid_values(&default, &most, values, errs),
        },
        (false, true) => match quantity(default) {
            None => errs.required(default, "required when validRange is defined"),
            Some(default) => valid_range(&default, &most, range, errs),
        },
        (false, false) => {}
    }
}

/// upstream: validateRequestPolicyValidValues
fn valid_values(default: &Quantity, most: &Quantity, list: Cursor<'_>, errs: &mut Errors) {
    const MOST_VALUES: usize = 10;
    for (one, next) in list.list().zip(list.list().skip(1)) {
        if quantity(one) > quantity(next) {
            errs.invalid(next, next.str(), "values must be sorted in ascending order");
        }
    }
    let mut found = false;
    let check = |option: Cursor<'_>, errs: &mut Errors| {
        let Some(value) = quantity(option) else { return };
        if value > *most {
            errs.invalid(option, option.str(), format!("option is larger than capacity value: {most}"));
        }
        found |= value == *default;
    };
    let key = |option: Cursor<'_>| quantity(option).map(|q| q.value().to_string()).unwrap_or_default();
    each_unique(list, MOST_VALUES, key, check, errs);
    if !found {
        errs.invalid(list, default.to_string(), "default value is not valid according to the requestPolicy");
    }
}

/// upstream: validateRequestPolicyRange
fn valid_range(default: &Quantity, capacity: &Quantity, range: Cursor<'_>, errs: &mut Errors) {
    let (min_place, max_place, step_place) = (range.field("min"), range.field("max"), range.field("step"));
    let Some(min) = quantity(min_place) else {
        return errs.required(min_place, "required when validRange is defined");
    };
    let max = quantity(max_place);
    let mut refuse = |place: Cursor<'_>, wrong: bool, value: &Quantity, detail: String| {
        if wrong {
            errs.invalid(place, value.to_string(), detail);
        }
    };
    refuse(min_place, min > *capacity, &min, format!("min is larger than capacity value: {capacity}"));
    refuse(min_place, *default < min, default, format!("default is less than min: {min}"));
    if let Some(max) = &max {
        refuse(max_place, min > *max, &min, format!("min is larger than max: {max}"));
        refuse(max_place, max > capacity, max, format!("max is larger than capacity value: {capacity}"));
        refuse(max_place, default > max, default, format!("default is more than max: {max}"));
    }
    let Some(step) = quantity(step_place) else { return };
    let mut one_step = min.clone();
    one_step.add(&step);
    let detail = format!("one step {one_step} is larger than capacity value: {capacity}");
    refuse(step_place, one_step > *capacity, &step, detail);
    for value in std::iter::once(default).chain(&max) {
        let off = step.value() != 0 && (value.value() - min.value()) % step.value() != 0;
        let detail = format!("value is not a multiple of a given step ({step}) from ({min})");
        refuse(step_place, off, value, detail);
    }
}
