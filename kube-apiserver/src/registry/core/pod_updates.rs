//! What may change about a pod, through itself and each of its subresources.
//! upstream: pkg/apis/core/validation/validation.go (ValidatePodUpdate and the like)

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::quote::quote;
use apimachinery::value::{Cursor, Value};

use crate::registry::core::pod_spec::{Rules, annotation_changes, kept_tolerations, pod_itself};
use crate::registry::internal_json::{difference, shown_struct};
use crate::registry::validation::{metadata, shown};

const MIRROR: &str = "kubernetes.io/config.mirror";

/// upstream: ValidatePodUpdate
pub fn update(pod: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    const MUTABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    let rules = Rules::pod().since(old);
    let (spec, old_spec) = (pod.field("spec"), old.field("spec"));
    itself(pod, old, rules, errs);
    for name in ["containers", "initContainers"] {
        let list = spec.field(name);
        if list.len() != old_spec.field(name).len() {
            return errs.forbidden(list, "pod updates may not add or remove containers");
        }
        for image in list.list().map(|container| container.field("image")) {
            if image.is_empty() {
                errs.required(image, "");
            }
            if image.str().trim() != image.str() {
                errs.invalid(image, image.str(), "must not have leading or trailing whitespace");
            }
        }
    }
    let (deadline, before) = (spec.field("activeDeadlineSeconds"), old_spec.field("activeDeadlineSeconds"));
    if let Some(seconds) = deadline.opt_i64() {
        let most = i64::from(i32::MAX);
        if !(0..=most).contains(&seconds) {
            return errs.invalid(deadline, seconds, names::inclusive_range_error(0, most));
        }
        if before.opt_i64().is_some_and(|before| before < seconds) {
            return errs.invalid(deadline, seconds, "must be less than or equal to previous value");
        }
    } else if before.exists() {
        let why = "must not update from a positive integer to nil value";
        errs.invalid(deadline, shown(&Value::Null), why);
    }
    kept_tolerations(spec.field("tolerations"), old_spec.field("tolerations"), rules, errs);
    let gates = old_spec.field("schedulingGates");
    for name in spec.field("schedulingGates").list().map(|gate| gate.field("name")) {
        if !gates.list().any(|gate| gate.field("name").str() == name.str()) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", name.str());
            errs.forbidden(name, why);
        }
    }
    let mut munged = spec.value().clone();
    munge(&mut munged, old_spec.value());
    if !gates.is_empty() {
        gated(spec, old_spec, &mut munged, errs);
    }
    if without_empty(&munged) != without_empty(old_spec.value()) {
        let diff = difference(old_spec.value(), &munged, "io.k8s.api.core.v1.PodSpec");
        errs.forbidden(spec, format!("pod updates may not change fields other than {MUTABLE}\n{diff}"));
    }
}

/// The rules about a pod as such, and about its annotations.
fn itself(pod: Cursor<'_>, old: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    metadata(pod.field("metadata"), true, names::dns1123_subdomain, errs);
    pod_itself(pod, rules, errs);
    annotations(pod, old, errs);
}

/// What may not change about the annotations.
/// upstream: ValidatePodSpecificAnnotationUpdates
pub(super) fn annotations(pod: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let of = |pod: Cursor<'_>| pod.value().path(&["metadata", "annotations"]).clone();
    let (new_annotations, old_annotations) = (of(pod), of(old));
    let place = pod.field("metadata").field("annotations");
    let path = place.path();
    annotation_changes(Cursor::with_base(&new_annotations, &path), Cursor::with_base(&old_annotations, &path), errs);
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Value::Null => drop(to.remove(field)),
        value => to.set(field, value.clone()),
    }
}

/// Takes what may change from the old spec.
fn munge(spec: &mut Value, old: &Value) {
    for list in ["containers", "initContainers"] {
        let Some(Value::List(containers)) = spec.get_mut(list) else { continue };
        for (container, before) in containers.iter_mut().zip(old.get(list).items()) {
            copy(container, before, "image");
        }
    }
    ["activeDeadlineSeconds", "schedulingGates", "tolerations"].iter().for_each(|field| copy(spec, old, field));
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").as_i64();
    if grace(old).is_some_and(|before| before < 0) && grace(spec) == Some(1) {
        copy(spec, old, "terminationGracePeriodSeconds");
    }
}

/// Of a pod that waits at gates it may still be narrowed where it can go.
fn gated(spec: Cursor<'_>, old: Cursor<'_>, munged: &mut Value, errs: &mut Errors) {
    let (selector, before) = (spec.field("nodeSelector"), old.field("nodeSelector"));
    if before.map().any(|(key, value)| selector.value().get(key) != value.value()) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errs.invalid(selector, shown(selector.value()), why);
    }
    copy(munged, old.value(), "nodeSelector");
    node_affinity(spec.field("affinity").field("nodeAffinity"), old.field("affinity").field("nodeAffinity"), errs);
    let rest = |affinity: &Value| {
        let mut affinity = affinity.clone();
        affinity.remove("nodeAffinity");
        affinity
    };
    if without_empty(&rest(munged.get("affinity"))) == without_empty(&rest(old.field("affinity").value())) {
        copy(munged, old.value(), "affinity");
    }
}

/// upstream: validateNodeAffinityMutation
fn node_affinity(new: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = new.field(REQUIRED).field("nodeSelectorTerms");
    let before = old.field(REQUIRED).field("nodeSelectorTerms");
    if before.is_empty() {
        return;
    }
    if terms.len() != before.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return errs.invalid(terms, shown(terms.value()), why);
    }
    for (term, before) in terms.list().zip(before.list()) {
        let lists = ["matchExpressions", "matchFields"].map(|list| (term.field(list), before.field(list)));
        let was_empty = lists.iter().all(|(_, before)| before.is_empty());
        let grows = lists.iter().any(|(list, _)| !list.is_empty());
        let keeps = lists.iter().all(|(list, before)| list.value().items().starts_with(before.value().items()));
        if (was_empty && grows) || !keeps {
            let why = "only additions are allowed (no mutations or deletions)";
            errs.invalid(term, shown_struct(term, "io.k8s.api.core.v1.NodeSelectorTerm"), why);
        }
    }
}

/// A value without what means the same as nothing.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let mut kept = Value::map();
            for (key, value) in map.iter() {
                let value = without_empty(value);
                if !matches!(&value, Value::List(list) if list.is_empty()) && !value.is_null() {
                    kept.set(key, value);
                }
            }
            kept
        }
        Value::List(list) => Value::List(list.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}

/// upstream: ValidatePodEphemeralContainersUpdate
pub fn ephemeral_containers(pod: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    if old.field("metadata").field("annotations").field(MIRROR).exists() {
        return errs.forbidden("[]", "static pods do not support ephemeral containers");
    }
    itself(pod, old, Rules::pod().since(old), errs);
    let list = pod.field("spec").field("ephemeralContainers");
    for before in old.value().path(&["spec", "ephemeralContainers"]).items() {
        let name = before.get("name").str_or_empty();
        match list.list().find(|container| container.field("name").str() == name) {
            None => errs.forbidden(list, format!("existing ephemeral containers {} may not be removed\n", quote(name))),
            Some(container) if without_empty(container.value()) != without_empty(before) => {
                let diff = difference(before, container.value(), "io.k8s.api.core.v1.EphemeralContainer");
                let why = format!("existing ephemeral containers {} may not be changed\n{diff}", quote(name));
                errs.forbidden(list, why);
            }
            Some(_) => {}
        }
    }
}

/// upstream: ValidatePodResize
pub fn resize(pod: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let (spec, old_spec) = (pod.field("spec"), old.field("spec"));
    if old.field("metadata").field("annotations").field(MIRROR).exists() {
        return errs.forbidden("[]", "static pods cannot be resized");
    }
    if old_spec.field("os").field("name").str() == "windows" {
        return errs.forbidden("[]", "windows pods cannot be resized");
    }
    metadata(pod.field("metadata"), true, names::dns1123_subdomain, errs);
    pod_itself(pod, Rules::pod().since(old), errs);
    let qos = |spec: Cursor<'_>| crate::registry::pod_resources::qos_class(spec.value());
    if qos(spec) != qos(old_spec) {
        let shown = pod.field("status").field("qosClass").str();
        errs.invalid(spec, shown, "Pod QOS Class may not change as a result of resizing");
    }
    for (name, what) in [("containers", "containers"), ("initContainers", "initContainers")] {
        let (list, before) = (spec.field(name), old_spec.field(name));
        if list.len() != before.len() {
            return errs.forbidden(list, format!("{what} may not be added or removed on resize"));
        }
        for (container, before) in list.list().zip(before.list()) {
            if container.field("name").str() != before.field("name").str() {
                let why = format!("{what} may not be renamed or reordered on resize");
                return errs.forbidden(container.field("name"), why);
            }
        }
    }
    let whole = (spec.field("resources"), old_spec.field("resources"));
    if whole.1.exists() && !whole.0.exists() {
        errs.forbidden(whole.0, "pod-level resources cannot be removed");
    }
    for list in ["initContainers", "containers"] {
        for (container, before) in spec.field(list).list().zip(old_spec.field(list).list()) {
            resources_kept(container.field("resources"), before.field("resources"), errs);
        }
    }
    let others = |resources: Cursor<'_>| {
        let mut resources = resources.value().clone();
        for (list, name) in [("limits", "cpu"), ("limits", "memory"), ("requests", "cpu"), ("requests", "memory")] {
            resources.remove_path(&[list, name]);
        }
        for list in ["limits", "requests"] {
            if resources.get(list).is_zero() {
                resources.remove(list);
            }
        }
        // resources that say nothing are as good as none
        if resources.is_zero() { Value::Null } else { without_empty(&resources) }
    };
    let pairs = |list: &'static str| spec.field(list).list().zip(old_spec.field(list).list());
    let differs = |new: Cursor<'_>, old: Cursor<'_>| others(new.field("resources")) != others(old.field("resources"));
    for _ in pairs("containers").filter(|(new, old)| differs(*new, *old)) {
        errs.forbidden(spec, "only cpu and memory resources are mutable");
    }
    for (container, before) in pairs("initContainers") {
        if differs(container, before) {
            errs.forbidden(container, "only cpu and memory resources for init or sidecar containers are mutable");
        }
        let restarts =
            container.field("resizePolicy").list().filter(|p| p.field("restartPolicy").str() == "RestartContainer");
        if container.value() != before.value() && container.field("restartPolicy").str() != "Always" {
            let why = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            restarts.for_each(|_| errs.forbidden(container, why));
        }
    }
}

/// Requests and limits may change but not go.
/// upstream: validateContainerResize
fn resources_kept(resources: Cursor<'_>, before: Cursor<'_>, errs: &mut Errors) {
    for (list, what) in [("requests", "resource requests"), ("limits", "resource limits")] {
        let place = resources.field(list);
        if before.field(list).map().any(|(name, _)| !place.value().has(name)) {
            errs.forbidden(place, format!("{what} cannot be removed"));
        }
    }
}
