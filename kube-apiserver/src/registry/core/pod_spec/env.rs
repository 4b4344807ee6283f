//! Environment variables and where they come from; downward API fields.

use std::collections::HashMap;

use apimachinery::field::{Errors, Path};
use apimachinery::names;
use apimachinery::value::Cursor;

use super::{all_containers, quantity_of};
use crate::registry::validation::{named, none_or_named, required, required_named};

const FIELD_PATHS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// upstream: ValidateEnv
pub(super) fn variables(list: Cursor<'_>, errs: &mut Errors) {
    for variable in list.list() {
        required_named(variable.field("name"), names::relaxed_env_var_name, errs);
        let from = variable.field("valueFrom");
        if from.exists() {
            value_from(from, variable.field("value"), errs);
        }
    }
}

/// upstream: validateEnvVarValueFrom
fn value_from(from: Cursor<'_>, value: Cursor<'_>, errs: &mut Errors) {
    let mut sources = 0;
    let mut source = |name: &'static str| {
        let place = from.field(name);
        sources += usize::from(place.exists());
        place.exists().then_some(place)
    };
    let (field, resource) = (source("fieldRef"), source("resourceFieldRef"));
    let (config_map, secret, file) = (source("configMapKeyRef"), source("secretKeyRef"), source("fileKeyRef"));
    if let Some(field) = field {
        object_field(field, &FIELD_PATHS, errs);
    }
    if let Some(resource) = resource {
        resource_field(resource, false, errs);
    }
    for key in [config_map, secret].into_iter().flatten() {
        named(key.field("name"), names::dns1123_subdomain, errs);
        required_named(key.field("key"), names::config_map_key, errs);
    }
    if let Some(file) = file {
        required_named(file.field("key"), names::relaxed_env_var_name, errs);
        required_named(file.field("volumeName"), names::dns1123_label, errs);
        required(file.field("path"), errs);
        super::mounts::no_backsteps(file.field("path"), errs);
    }
    if sources == 0 {
        let why =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errs.invalid(from, "", why);
    } else if !value.is_empty() {
        errs.invalid(from, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errs.invalid(from, "", "may not have more than one field specified at a time");
    }
}

/// A path as `metadata.labels['key']`: what is before and within the brackets.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(before, _)| !before.is_empty())
}

/// upstream: validateObjectFieldSelector
pub(super) fn object_field(reference: Cursor<'_>, allowed: &[&str], errs: &mut Errors) {
    let (version, place) = (reference.field("apiVersion"), reference.field("fieldPath"));
    if version.is_empty() || place.is_empty() {
        return errs.required(if version.is_empty() { version } else { place }, "");
    }
    let mut wrong = |why: String| errs.invalid(place, place.str(), format!("error converting fieldPath: {why}"));
    if version.str() != "v1" {
        return wrong(format!("unsupported pod version: {}", version.str()));
    }
    match (subscripted(place.str()), place.str()) {
        (Some(("metadata.annotations", key)), _) => {
            let key = key.to_lowercase();
            errs.invalid_each(reference, &key, names::qualified_name(&key));
        }
        (Some(("metadata.labels", key)), _) => errs.invalid_each(reference, key, names::qualified_name(key)),
        (Some(_), path) => wrong(format!("field label does not support subscript: {path}")),
        (None, "spec.host") if allowed.contains(&"spec.nodeName") => {}
        (None, path) if allowed.contains(&path) => {}
        (None, "spec.host") => errs.not_supported(place, "spec.nodeName", sorted(allowed)),
        (None, path)
            if FIELD_PATHS.contains(&path)
                || matches!(
                    path,
                    "metadata.annotations"
                        | "metadata.labels"
                        | "spec.restartPolicy"
                        | "spec.schedulerName"
                        | "status.phase"
                ) =>
        {
            errs.not_supported(place, path, sorted(allowed));
        }
        (None, path) => wrong(format!("field label not supported: {path}")),
    }
}

fn sorted<'a>(list: &[&'a str]) -> Vec<&'a str> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list
}

/// upstream: validateContainerResourceFieldSelector
pub(super) fn resource_field(reference: Cursor<'_>, in_volume: bool, errs: &mut Errors) {
    const ALLOWED: [&str; 6] = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let (container, resource) = (reference.field("containerName"), reference.field("resource"));
    let huge = ["requests.hugepages-", "limits.hugepages-"].iter().any(|prefix| resource.str().starts_with(prefix));
    if in_volume && container.is_empty() {
        errs.required(container, "");
    } else if resource.is_empty() {
        errs.required(resource, "");
    } else if !ALLOWED.contains(&resource.str()) && !huge {
        errs.not_supported(resource, resource.str(), ALLOWED);
    }
    let divisor = quantity_of(reference.field("divisor"));
    if divisor.is_zero() {
        return;
    }
    let divisor = divisor.to_string();
    let is_unit = matches!(
        divisor.as_str(),
        "1" | "1k" | "1M" | "1G" | "1T" | "1P" | "1E" | "1Ki" | "1Mi" | "1Gi" | "1Ti" | "1Pi" | "1Ei"
    );
    let kind = match resource.str() {
        "limits.cpu" | "requests.cpu" if matches!(divisor.as_str(), "1m" | "1") => return,
        "limits.cpu" | "requests.cpu" => {
            let why = "only divisor's values 1m and 1 are supported with the cpu resource";
            return errs.invalid(reference.field("divisor"), resource.str(), why);
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if huge => "hugepages",
        _ => return,
    };
    if !is_unit {
        let why = format!(
            "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the {kind} resource"
        );
        errs.invalid(reference.field("divisor"), resource.str(), why);
    }
}

/// upstream: ValidateEnvFrom
pub(super) fn sources(list: Cursor<'_>, errs: &mut Errors) {
    for source in list.list() {
        none_or_named(source.field("prefix"), names::relaxed_env_var_name, errs);
        let references: Vec<Cursor<'_>> =
            ["configMapRef", "secretRef"].into_iter().map(|f| source.field(f)).filter(|r| r.exists()).collect();
        for reference in &references {
            let name = reference.field("name");
            required_named(name, |name| names::dns1123_subdomain(&names::mask_trailing_dash(name)), errs);
        }
        match references.len() {
            0 => errs.invalid(list, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errs.invalid(list, "", "may not have more than one field specified at a time"),
        }
    }
}

/// upstream: validateFileKeyRefVolumes
pub(super) fn files(spec: Cursor<'_>, errs: &mut Errors) {
    let volumes: HashMap<&str, Cursor<'_>> =
        spec.field("volumes").list().map(|volume| (volume.field("name").str(), volume)).collect();
    for variable in all_containers(spec).flat_map(|container| container.field("env").list()) {
        let reference = variable.field("valueFrom").field("fileKeyRef");
        let name = reference.field("volumeName");
        match volumes.get(name.str()) {
            _ if !reference.exists() => {}
            None => errs.not_found(name, name.str()),
            Some(volume) if volume.field("emptyDir").exists() => {}
            Some(_) => errs.invalid(Path::from(name), name.str(), "referenced volume must be of type emptyDir"),
        }
    }
}
