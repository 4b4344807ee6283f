//! Operating system, scheduling gates and scheduling groups of a pod spec.

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::value::Cursor;

use super::windows;
use crate::registry::validation::named;

/// upstream: validateSchedulingGates
pub(super) fn scheduling_gates(gates: Cursor<'_>, errs: &mut Errors) {
    let mut seen = Vec::new();
    for gate in gates.list() {
        let name = gate.field("name").str();
        errs.invalid_each(gate, name, names::qualified_name(name));
        if seen.contains(&name) {
            errs.duplicate(gate, name);
        }
        seen.push(name);
    }
}

/// upstream: validateSchedulingGroup
pub(super) fn scheduling_group(group: Cursor<'_>, errs: &mut Errors) {
    let name = group.field("podGroupName");
    if name.exists() {
        named(name, names::dns1123_subdomain, errs);
    } else if group.exists() {
        errs.invalid(name, BadValue::null(), "must specify one of: `podGroupName`");
    }
}

/// upstream: validateOS
pub(super) fn operating_system(spec: Cursor<'_>, errs: &mut Errors) {
    let os = spec.field("os");
    if !os.exists() {
        return;
    }
    match os.field("name").str() {
        "" => errs.required(os.field("name"), ""),
        "linux" => windows::not_on_linux(spec, errs),
        "windows" => windows::not_on_windows(spec, errs),
        other => errs.not_supported(os, other, ["linux", "windows"]),
    }
}
