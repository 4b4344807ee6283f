//! Annotations of pods that mean something.

use apimachinery::field::{Errors, Path};
use apimachinery::value::{Cursor, Value};

use super::mounts::descending;
use super::{Rules, all_containers, tolerations};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";

/// upstream: ValidatePodSpecificAnnotations
pub fn pod(annotations: Cursor<'_>, spec: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let mirror = annotations.key(MIRROR);
    if mirror.exists() && spec.field("nodeName").is_empty() {
        errs.invalid(mirror, mirror.str(), "must set spec.nodeName if mirror pod annotation is set");
    }
    if !annotations.field(TOLERATIONS).is_empty() {
        match serde_json::from_str::<Value>(annotations.field(TOLERATIONS).str()) {
            Ok(list) => {
                let path = annotations.path().child(TOLERATIONS);
                tolerations(Cursor::with_base(&list, &path), rules, errs);
            }
            Err(error) => errs.invalid(annotations, TOLERATIONS, error.to_string()),
        }
    }
    if !rules.any_deletion_cost {
        deletion_cost(annotations, errs);
    }
    for (key, place) in annotations.map() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(annotations.path().child(key), place.str(), errs);
        }
    }
    for (key, profile) in annotations.map() {
        let Some(container) = key.strip_prefix(APP_ARMOR) else { continue };
        if !all_containers(spec).any(|c| c.field("name").str() == container) {
            errs.invalid(annotations.key(key), container, "container not found");
        }
        let profile = profile.str();
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
            let why = format!("invalid AppArmor profile name: {}", apimachinery::quote::quote(profile));
            errs.invalid(annotations.key(key), profile, why);
        }
    }
}

/// upstream: GetDeletionCostFromPodAnnotations
pub(super) fn deletion_cost(annotations: Cursor<'_>, errs: &mut Errors) {
    let cost = annotations.key(DELETION_COST);
    let text = cost.str();
    let starts_well = text == "0" || text.starts_with(|c: char| c == '-' || ('1'..='9').contains(&c));
    if cost.exists() && !(starts_well && text.parse::<i32>().is_ok()) {
        errs.invalid(cost, text, "must be a 32bit integer");
    }
}

/// upstream: ValidateSeccompProfile
fn seccomp(path: Path, profile: &str, errs: &mut Errors) {
    match profile.strip_prefix("localhost/") {
        Some(local) => descending(Cursor::with_base(&Value::str(local), &path), errs),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => errs.invalid(path, profile, "must be a valid seccomp profile"),
    }
}

/// What a profile and an annotation about the same thing disagree on: the field that differs.
fn differs(profile: Cursor<'_>, annotation: &str, defaults: &[&str]) -> Option<&'static str> {
    let agrees = match profile.field("type").str() {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => defaults.contains(&annotation),
        "Localhost" => match annotation.strip_prefix("localhost/") {
            Some(local) if profile.field("localhostProfile").opt_str() != Some(local) => {
                return Some("localhostProfile");
            }
            local => local.is_some(),
        },
        _ => true,
    };
    (!agrees).then_some("type")
}

fn complain(kind: &str, profile: Cursor<'_>, field: &'static str, errs: &mut Errors) {
    let what = if field == "type" { "type" } else { "profile" };
    errs.forbidden(profile.field(field), format!("{kind} {what} in annotation and field must match"));
}

/// upstream: validateSeccompAnnotationsAndFields
pub(super) fn seccomp_matches(annotations: Cursor<'_>, spec: Cursor<'_>, errs: &mut Errors) {
    let pod = (spec, SECCOMP_POD.to_owned());
    let containers = all_containers(spec).map(|c| (c, format!("{SECCOMP_CONTAINER}{}", c.field("name").str())));
    for (holder, key) in std::iter::once(pod).chain(containers) {
        let profile = holder.field("securityContext").field("seccompProfile");
        if profile.exists()
            && let Some(annotation) = annotations.value().get(&key).as_str()
            && let Some(field) = differs(profile, annotation, &["runtime/default", "docker/default"])
        {
            complain("seccomp", profile, field, errs);
        }
    }
}

/// upstream: validateAppArmorAnnotationsAndFieldsMatchOnCreate
pub(super) fn app_armor_matches(annotations: Cursor<'_>, spec: Cursor<'_>, errs: &mut Errors) {
    if spec.field("os").field("name").str() == "windows" {
        return;
    }
    let of_pod = spec.field("securityContext").field("appArmorProfile");
    for container in all_containers(spec) {
        let own = container.field("securityContext").field("appArmorProfile");
        let profile = if own.exists() { own } else { own.at(of_pod.value()) };
        let key = format!("{APP_ARMOR}{}", container.field("name").str());
        if profile.exists()
            && let Some(annotation) = annotations.value().get(&key).as_str()
            && let Some(field) = differs(profile, annotation, &["runtime/default"])
        {
            complain("apparmor", profile, field, errs);
        }
    }
}

/// True if an annotation says the same as the profile of a pod.
pub(super) fn app_armor_agrees(profile: Cursor<'_>, annotation: &Value) -> bool {
    annotation.as_str().is_some_and(|annotation| differs(profile, annotation, &["runtime/default"]).is_none())
}

/// Annotations that cannot change once a pod exists.
/// upstream: ValidatePodSpecificAnnotationUpdates
pub fn changes(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let about = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        key if key.starts_with(APP_ARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, _) in old.map().filter(|(key, value)| new.value().get(key) != value.value()) {
        if let Some(what) = about(key) {
            errs.forbidden(new.key(key), format!("may not remove or update {what}"));
        }
    }
    for (key, _) in new.map().filter(|(key, _)| !old.value().has(key)) {
        if let Some(what) = about(key) {
            errs.forbidden(new.key(key), format!("may not add {what}"));
        }
    }
}
