//! Jobs.
//! upstream: pkg/apis/batch/validation/validation.go, pkg/registry/batch/job

use apimachinery::codec::json;
use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::names;
use apimachinery::selector::label::{self, Selector, SelectorRules};
use apimachinery::value::{Cursor, Value};

use super::{changed, failure_policy, job_status, keep_spec, matching_labels, name_warnings, template_warnings};
use crate::registry::admit::Operation;
use crate::registry::core::pod_spec::{self, Rules};
use crate::registry::internal_json::{LABEL_SELECTOR, immutable_struct, shown_selector, shown_struct};
use crate::registry::ordinary;
use crate::registry::strategy::{DefaultPropagation, RequestContext, Strategy};
use crate::registry::validation::{immutable, metadata, metadata_update, none_or_one_of, not_negative};

/// The strategy of Jobs.
pub struct Jobs;

const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
/// Completions above which an indexed job must bound what it tracks.
const MANY_COMPLETIONS: i64 = 100_000;

impl Strategy for Jobs {
    fn default_propagation(&self) -> DefaultPropagation {
        DefaultPropagation::Orphan
    }

    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        ordinary::prepare_create(cx, obj);
        if obj.path(&["spec", "manualSelector"]).as_bool() != Some(true) {
            generate_selector(obj);
        }
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        keep_spec(obj, old);
    }

    fn checks_metadata(&self, cx: &RequestContext) -> bool {
        cx.operation == Operation::Update && cx.subresource.is_empty()
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        job(obj, Rules::template(), SelectorRules::default(), true, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let old_spec = old.field("spec");
        let rules = Rules::template().since(old_spec.field("template"));
        let allow_invalid_values = label::has_invalid_values(old_spec.field("selector").value());
        let selector_rules = SelectorRules { allow_invalid_values, ..SelectorRules::default() };
        let labels = old_spec.field("template").field("metadata").field("labels");
        let labelled = [NAME_LABELS[1], UID_LABELS[1]].iter().all(|label| labels.value().has(label));
        metadata(obj.field("metadata"), true, names::dns1123_subdomain, errs);
        job(obj, rules, selector_rules, labelled, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        // Upstream checks the spec twice, and tells each cause twice.
        selected_spec(obj.field("spec"), rules, selector_rules, errs);
        changes(obj, old, errs);
    }

    fn validate_status_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        job_status::change(obj, old, errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let mut warnings = name_warnings(obj);
        warnings.extend(spec_warnings(obj.field("spec"), Cursor::default()));
        warnings
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        match changed(obj, old) {
            true => spec_warnings(obj.field("spec"), old.field("spec")),
            false => Vec::new(),
        }
    }

    fn field_value(&self, obj: &Value, label: &str) -> Option<String> {
        Some(match label {
            "status.successful" => obj.path(&["status", "succeeded"]).as_i64().unwrap_or(0).to_string(),
            _ => ordinary::field_value(obj, label),
        })
    }

    fn computes_fields(&self) -> bool {
        true
    }
}

/// upstream: WarningsForJobSpec
pub(super) fn spec_warnings(spec: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
    const MANY_AT_ONCE: i64 = 10_000;
    let mut warnings = Vec::new();
    if is_indexed(spec)
        && spec.field("completions").i64() > MANY_COMPLETIONS
        && spec.field("parallelism").i64() > MANY_AT_ONCE
    {
        warnings.push(format!("{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail", spec.path()));
    }
    warnings.extend(template_warnings(spec.field("template"), old.field("template")));
    warnings
}

fn generate_selector(obj: &mut Value) {
    let name = obj.path(&["metadata", "name"]).clone();
    let uid = obj.path(&["metadata", "uid"]).clone();
    let spec = obj.field_mut("spec");
    let labels = spec.field_mut("template").field_mut("metadata").field_mut("labels");
    for (keys, value) in [(NAME_LABELS, &name), (UID_LABELS, &uid)] {
        for key in keys.iter().filter(|key| !labels.map_mut().contains_key(key)).collect::<Vec<_>>() {
            labels.set(key, value.clone());
        }
    }
    let selected = spec.field_mut("selector").field_mut("matchLabels");
    if !selected.has(UID_LABELS[1]) {
        selected.set(UID_LABELS[1], uid);
    }
}

fn is_indexed(spec: Cursor<'_>) -> bool {
    spec.field("completionMode").str() == "Indexed"
}

/// upstream: ValidateJob
fn job(obj: Cursor<'_>, rules: Rules, selector_rules: SelectorRules, labelled: bool, errs: &mut Errors) {
    let (spec, name) = (obj.field("spec"), obj.field("metadata").field("name"));
    generated_selector(obj, labelled, errs);
    selected_spec(spec, rules, selector_rules, errs);
    let completions = spec.field("completions").i64();
    if is_indexed(spec) && completions > 0 {
        let host = format!("{}-{}", name.str(), completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {host}");
            errs.invalid(name, name.str(), why);
        }
    }
}

/// upstream: ValidateJobSpec
fn selected_spec(spec: Cursor<'_>, rules: Rules, selector_rules: SelectorRules, errs: &mut Errors) {
    job_spec(spec, rules, errs);
    let selector = spec.field("selector");
    match selector.exists() {
        true => label::validate(selector, selector_rules, errs),
        false => errs.required(selector, ""),
    }
    if let Ok(parsed) = Selector::from_value(selector.value()) {
        matching_labels(spec.field("template"), &parsed, errs);
    }
}

/// upstream: validateGeneratedSelector
fn generated_selector(obj: Cursor<'_>, labelled: bool, errs: &mut Errors) {
    let (spec, meta) = (obj.field("spec"), obj.field("metadata"));
    let selector = spec.field("selector");
    if spec.field("manualSelector").bool() || !selector.exists() {
        return;
    }
    if meta.field("uid").is_empty() {
        errs.required(meta.field("uid"), "");
    }
    let (name, uid) = (meta.field("name").str(), meta.field("uid").str());
    let mut expected = vec![(UID_LABELS[0], uid), (NAME_LABELS[0], name)];
    if labelled {
        expected.extend([(UID_LABELS[1], uid), (NAME_LABELS[1], name)]);
    }
    let template = spec.field("template").field("metadata");
    for (key, value) in &expected {
        has_label(template, key, value, errs);
    }
    if let Ok(parsed) = Selector::from_value(selector.value())
        && !parsed.matches(|key| expected.iter().find(|(label, _)| *label == key).map(|(_, value)| *value))
    {
        errs.invalid(selector, shown_selector(selector), "`selector` not auto-generated");
    }
}

/// upstream: ValidateHasLabel
fn has_label(meta: Cursor<'_>, key: &str, expected: &str, errs: &mut Errors) {
    let labels = meta.field("labels");
    let path: Path = labels.path().key(key);
    match labels.value().get(key).as_str() {
        None => errs.required(path, format!("must be '{expected}'")),
        Some(value) if value != expected => {
            let shown = BadValue::json(json::to_string(labels.value()));
            errs.invalid(path, shown, format!("must be '{expected}'"));
        }
        Some(_) => {}
    }
}

/// upstream: validateJobSpec
pub(super) fn job_spec(spec: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    const MAX_MANAGER: usize = 63;
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(spec.field(field), errs);
    }
    let (per_index, max_failed) = (spec.field("backoffLimitPerIndex"), spec.field("maxFailedIndexes"));
    if max_failed.exists() && !per_index.exists() {
        errs.required(per_index, "when maxFailedIndexes is specified");
    }
    let manager = spec.field("managedBy");
    if manager.exists() {
        errs.extend(names::domain_prefixed_path(&manager.path(), manager.str()).iter().cloned());
        if manager.str().len() > MAX_MANAGER {
            errs.too_long(manager, MAX_MANAGER);
        }
    }
    none_or_one_of(spec.field("completionMode"), &["NonIndexed", "Indexed"], errs);
    if is_indexed(spec) {
        indexed(spec, errs);
    } else if matches!(spec.field("completionMode").str(), "" | "NonIndexed") {
        for place in [per_index, max_failed].into_iter().filter(|place| place.exists()) {
            errs.invalid(place, place.i64(), "requires indexed completion mode");
        }
    }
    if spec.field("podFailurePolicy").exists() {
        failure_policy::failure(spec, errs);
    }
    let success = spec.field("successPolicy");
    if success.exists() && !is_indexed(spec) {
        errs.invalid(
            success,
            shown_struct(success, "io.k8s.api.batch.v1.SuccessPolicy"),
            "requires indexed completion mode",
        );
    } else if success.exists() {
        failure_policy::success(spec, errs);
    }
    let supported: &[&str] =
        if spec.field("podFailurePolicy").exists() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    none_or_one_of(spec.field("podReplacementPolicy"), supported, errs);
    pod_spec::template(spec.field("template"), rules, errs);
    let restart = spec.field("template").field("spec").field("restartPolicy");
    match restart.str() {
        "Always" | "" => errs.required(restart, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.field("podFailurePolicy").exists() => {
            errs.invalid(restart, "OnFailure", "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => errs.not_supported(restart, other, ["OnFailure", "Never"]),
    }
}

fn indexed(spec: Cursor<'_>, errs: &mut Errors) {
    const MAX_PARALLELISM: i64 = 100_000;
    const MAX_FAILED: i64 = 100_000;
    const MAX_WITH_MANY: i64 = 10_000;
    let (completions, parallelism) = (spec.field("completions"), spec.field("parallelism"));
    let max_failed = spec.field("maxFailedIndexes");
    let limited = |place: Cursor<'_>, most: i64, rest: &str, errs: &mut Errors| {
        if place.i64() > most {
            errs.invalid(place, place.i64(), format!("must be less than or equal to {most}{rest}"));
        }
    };
    if !completions.exists() {
        errs.required(completions, "when completion mode is Indexed");
    }
    limited(parallelism, MAX_PARALLELISM, " when completion mode is Indexed", errs);
    if completions.exists() && max_failed.exists() && max_failed.i64() > completions.i64() {
        errs.invalid(max_failed, max_failed.i64(), "must be less than or equal to completions");
    }
    limited(max_failed, MAX_FAILED, "", errs);
    if completions.i64() > MANY_COMPLETIONS && spec.field("backoffLimitPerIndex").exists() {
        if !max_failed.exists() {
            errs.required(max_failed, format!("must be specified when completions is above {MANY_COMPLETIONS}"));
        }
        let rest = format!(" when completions are above {MANY_COMPLETIONS} and used with backoff limit per index");
        limited(parallelism, MAX_WITH_MANY, &rest, errs);
        limited(max_failed, MAX_WITH_MANY, &rest, errs);
    }
}

/// upstream: ValidateJobSpecUpdate
fn changes(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let (spec, old_spec) = (obj.field("spec"), old.field("spec"));
    let (completions, before) = (spec.field("completions"), old_spec.field("completions"));
    if !is_indexed(spec) {
        immutable(completions, before, errs);
    } else if completions.value() != before.value()
        && completions.exists()
        && completions.i64() != spec.field("parallelism").i64()
    {
        errs.invalid(completions, completions.i64(), "can only be modified in tandem with spec.parallelism");
    }
    immutable_struct(spec.field("selector"), old_spec.field("selector"), LABEL_SELECTOR, errs);
    template_change(spec, old, errs);
    for (field, type_name) in [
        ("completionMode", ""),
        ("podFailurePolicy", "io.k8s.api.batch.v1.PodFailurePolicy"),
        ("backoffLimitPerIndex", ""),
        ("managedBy", ""),
        ("successPolicy", "io.k8s.api.batch.v1.SuccessPolicy"),
    ] {
        immutable_struct(spec.field(field), old_spec.field(field), type_name, errs);
    }
}

/// The template of a suspended job that has no pods may change in where and with what resources pods run.
/// upstream: validatePodTemplateUpdate
fn template_change(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let (old_spec, status) = (old.field("spec"), old.field("status"));
    let suspended = old_spec.field("suspend").bool();
    let never_started = !status.field("startTime").exists();
    let paused = never_started || job_status::is_true(status, "Suspended");
    let template = spec.field("template");
    let mut before = old_spec.field("template").value().clone();
    if suspended && paused && status.field("active").i64() == 0 {
        take_directives(&mut before, template.value());
        take_resources(&mut before, template.value());
        if *template.field("spec").value() != *before.get("spec") {
            let place = spec.field("template").field("spec");
            immutable_struct(place, place.at(before.get("spec")), "io.k8s.api.core.v1.PodSpec", errs);
        }
        return;
    }
    immutable_struct(template, template.at(&before), "io.k8s.api.core.v1.PodTemplateSpec", errs);
}

fn copy(to: &mut Value, from: &Value, path: &[&str]) {
    match from.path(path) {
        Value::Null => drop(to.remove_path(path)),
        value => to.set_path(path, value.clone()),
    }
}

fn take_directives(before: &mut Value, template: &Value) {
    const NODE_AFFINITY: [&str; 3] = ["spec", "affinity", "nodeAffinity"];
    let has_affinity = !template.path(&["spec", "affinity"]).is_null();
    copy(before, template, &NODE_AFFINITY);
    let left = before.path(&["spec", "affinity"]).entries().any(|(_, value)| !value.is_null());
    if has_affinity && before.path(&["spec", "affinity"]).is_null() {
        before.set_path(&["spec", "affinity"], Value::map());
    } else if !has_affinity && !left {
        before.remove_path(&["spec", "affinity"]);
    }
    for path in [["spec", "nodeSelector"], ["spec", "tolerations"], ["spec", "schedulingGates"]] {
        copy(before, template, &path);
    }
    copy(before, template, &["metadata", "annotations"]);
    copy(before, template, &["metadata", "labels"]);
}

fn take_resources(before: &mut Value, template: &Value) {
    for list in ["containers", "initContainers"] {
        let wanted = template.path(&["spec", list]).items();
        let Some(Value::List(containers)) = before.path_mut(&["spec", list]) else { continue };
        if containers.len() != wanted.len() {
            continue;
        }
        for (container, wanted) in containers.iter_mut().zip(wanted) {
            if container.get("name") == wanted.get("name") {
                copy(container, wanted, &["resources"]);
            }
        }
    }
}
