//! Volume mounts and devices of containers, and paths within volumes.

use std::collections::{HashMap, HashSet};

use apimachinery::field::Errors;
use apimachinery::value::Cursor;

use super::Scope;
use crate::registry::validation::{one_of, required};

/// Names to paths, as the last entry of each name says.
fn by_name<'a>(list: Cursor<'a>, path: &'static str) -> HashMap<&'a str, &'a str> {
    list.list().map(|entry| (entry.field("name").str(), entry.field(path).str())).collect()
}

/// upstream: ValidateVolumeMounts
pub(super) fn volume_mounts(container: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    let list = container.field("volumeMounts");
    let devices = by_name(container.field("volumeDevices"), "devicePath");
    let mut seen = HashSet::new();
    for mount in list.list() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        required(name, errs);
        if !scope.volumes.contains_key(name.str()) {
            errs.not_found(name, name.str());
        }
        required(path, errs);
        if !seen.insert(path.str()) {
            errs.invalid(path, path.str(), "must be unique");
        }
        if devices.contains_key(name.str()) {
            errs.invalid(name, name.str(), "must not already exist in volumeDevices");
        }
        if devices.values().any(|device| *device == path.str()) {
            errs.invalid(path, path.str(), "must not already exist as a path in volumeDevices");
        }
        // Upstream leaves the index out of the paths that follow.
        let at_list = |field: &'static str| list.field(field).at(mount.field(field).value());
        let (sub, expression) = (mount.field("subPath"), mount.field("subPathExpr"));
        if !sub.is_empty() {
            descending(at_list("subPath"), errs);
        }
        if !expression.is_empty() {
            if !sub.is_empty() {
                errs.invalid(expression, expression.str(), "subPathExpr and subPath are mutually exclusive");
            }
            descending(at_list("subPathExpr"), errs);
        }
        let propagation = at_list("mountPropagation");
        if propagation.exists() {
            one_of(propagation, &["Bidirectional", "HostToContainer", "None"], errs);
            let privileged = container.field("securityContext").field("privileged").bool();
            if propagation.str() == "Bidirectional" && !privileged {
                errs.forbidden(
                    propagation,
                    "Bidirectional mount propagation is available only to privileged containers",
                );
            }
        }
        recursive_read_only(at_list("recursiveReadOnly"), mount, errs);
    }
}

/// upstream: validateMountRecursiveReadOnly
fn recursive_read_only(place: Cursor<'_>, mount: Cursor<'_>, errs: &mut Errors) {
    match place.str() {
        _ if !place.exists() => {}
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.field("readOnly").bool() {
                errs.forbidden(place, "may only be specified when readOnly is true");
            }
            if mount.field("mountPropagation").opt_str().is_some_and(|p| p != "None") {
                errs.forbidden(place, "may only be specified when mountPropagation is None or not specified");
            }
        }
        other => errs.not_supported(place, other, ["Disabled", "Enabled", "IfPossible"]),
    }
}

/// upstream: ValidateVolumeDevices
pub(super) fn volume_devices(container: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    let mounts = by_name(container.field("volumeMounts"), "mountPath");
    let (mut paths, mut names) = (HashSet::new(), HashSet::new());
    for device in container.field("volumeDevices").list() {
        let (name, path) = (device.field("name"), device.field("devicePath"));
        required(name, errs);
        if names.contains(name.str()) {
            errs.invalid(name, name.str(), "must be unique");
        }
        match scope.volumes.get(name.str()) {
            None => errs.not_found(name, name.str()),
            Some(volume) if ["persistentVolumeClaim", "ephemeral"].iter().any(|s| volume.field(s).exists()) => {}
            Some(_) => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errs.invalid(name, name.str(), why);
            }
        }
        required(path, errs);
        if paths.contains(path.str()) {
            errs.invalid(path, path.str(), "must be unique");
        }
        if has_backsteps(path.str()) {
            errs.invalid(path, path.str(), "can not contain backsteps ('..')");
        } else {
            paths.insert(path.str());
        }
        if mounts.contains_key(name.str()) {
            errs.invalid(name, name.str(), "must not already exist in volumeMounts");
        }
        if mounts.values().any(|mount| *mount == path.str()) {
            errs.invalid(path, path.str(), "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            names.insert(name.str());
        }
    }
}

fn has_backsteps(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// upstream: validatePathNoBacksteps
pub fn no_backsteps(path: Cursor<'_>, errs: &mut Errors) {
    if has_backsteps(path.str()) {
        errs.invalid(path, path.str(), "must not contain '..'");
    }
}

/// upstream: validateLocalDescendingPath
pub(super) fn descending(path: Cursor<'_>, errs: &mut Errors) {
    if path.str().starts_with('/') {
        errs.invalid(path, path.str(), "must be a relative path");
    }
    no_backsteps(path, errs);
}

/// upstream: ValidateLocalNonReservedPath
pub(super) fn not_reserved(path: Cursor<'_>, errs: &mut Errors) {
    descending(path, errs);
    if path.str().starts_with("..") && !path.str().starts_with("../") {
        errs.invalid(path, path.str(), "must not start with '..'");
    }
}
