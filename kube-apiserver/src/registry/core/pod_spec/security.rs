//! Security contexts of pods and containers.

use std::collections::HashSet;

use apimachinery::field::{Error, Errors};
use apimachinery::names;
use apimachinery::value::Cursor;

use super::mounts::descending;
use super::{Scope, all_containers, windows};
use crate::registry::internal_json::shown_struct;
use crate::registry::validation::{none_or_one_of, one_of};

const LOCALHOST_ONLY: &str = "can only be set when seccomp type is Localhost";

/// Numbers of users and groups.
fn ids(context: Cursor<'_>, fields: &[&'static str], errs: &mut Errors) {
    for field in fields {
        let place = context.field(field);
        let rule = if *field == "runAsUser" { names::user_id } else { names::group_id };
        if let Some(id) = place.opt_i64() {
            errs.invalid_each(place, id, rule(id));
        }
    }
}

/// upstream: validatePodSpecSecurityContext
pub(super) fn pod(scope: &Scope<'_>, errs: &mut Errors) {
    let (spec, context) = (scope.spec, scope.spec.field("securityContext"));
    ids(context, &["fsGroup", "runAsUser", "runAsGroup"], errs);
    for group in context.field("supplementalGroups").list() {
        errs.invalid_each(group, group.i64(), names::group_id(group.i64()));
    }
    if spec.field("shareProcessNamespace").bool() && spec.field("hostPID").bool() {
        let place = context.field("shareProcessNamespace");
        errs.invalid(place, true, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    sysctls(context.field("sysctls"), scope, errs);
    none_or_one_of(context.field("fsGroupChangePolicy"), &["Always", "OnRootMismatch"], errs);
    seccomp(context.field("seccompProfile"), errs);
    windows::options(context.field("windowsOptions"), errs);
    app_armor(context.field("appArmorProfile"), errs);
    none_or_one_of(context.field("supplementalGroupsPolicy"), &["Merge", "Strict"], errs);
    let policies: &[&str] = if scope.rules.any_selinux_policy { &["MountOption", "Recursive"] } else { &["Recursive"] };
    none_or_one_of(context.field("seLinuxChangePolicy"), policies, errs);
}

/// upstream: validateSysctls
fn sysctls(list: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    const RULE: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let mut seen = HashSet::new();
    for name in list.list().map(|sysctl| sysctl.field("name")) {
        if name.is_empty() {
            errs.required(name, "");
        } else if !is_sysctl_name(name.str()) {
            errs.invalid(name, name.str(), RULE);
        } else if seen.contains(name.str()) {
            errs.duplicate(name, name.str());
        }
        if !scope.rules.host_sysctls {
            errs.extend(host_sysctl(name, scope.spec));
        }
        seen.insert(name.str());
    }
}

fn is_sysctl_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if plain(*first) && plain(*last))
            && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

/// A setting of a namespace that the pod shares with the host.
/// upstream: ValidateHostSysctl
pub(super) fn host_sysctl(name: Cursor<'_>, spec: Cursor<'_>) -> Option<Error> {
    let dotted = match name.str().find(['.', '/']) {
        // Names with slashes have dots where the others have slashes.
        Some(first) if name.str().as_bytes()[first] == b'/' => name
            .str()
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.str().to_owned(),
    };
    let ipc =
        dotted == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| dotted.starts_with(p));
    let field = match () {
        () if spec.field("hostNetwork").bool() && dotted.starts_with("net.") => "hostNetwork",
        () if spec.field("hostIPC").bool() && ipc => "hostIPC",
        () => return None,
    };
    Some(Error::invalid(name, name.str(), format!("may not be specified when '{field}' is true")))
}

/// upstream: ValidateSecurityContext
pub(super) fn container(context: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    ids(context, &["runAsUser", "runAsGroup"], errs);
    let mount = context.field("procMount");
    none_or_one_of(mount, &["Default", "Unmasked"], errs);
    if scope.host_users() && mount.str() == "Unmasked" {
        errs.invalid(mount, mount.str(), "`hostUsers` must be false to use `Unmasked`");
    }
    seccomp(context.field("seccompProfile"), errs);
    if context.field("allowPrivilegeEscalation").opt_bool() == Some(false) {
        if context.field("privileged").bool() {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errs.invalid(context, shown_struct(context, "io.k8s.api.core.v1.SecurityContext"), why);
        }
        for _ in context.field("capabilities").field("add").list().filter(|c| c.str() == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errs.invalid(context, shown_struct(context, "io.k8s.api.core.v1.SecurityContext"), why);
        }
    }
    windows::options(context.field("windowsOptions"), errs);
    app_armor(context.field("appArmorProfile"), errs);
}

/// upstream: validateSeccompProfileField
fn seccomp(profile: Cursor<'_>, errs: &mut Errors) {
    if !profile.exists() {
        return;
    }
    let (kind, local) = (profile.field("type"), profile.field("localhostProfile"));
    if kind.is_empty() {
        errs.required(kind, "type is required when seccompProfile is set");
    } else {
        one_of(kind, &["Localhost", "RuntimeDefault", "Unconfined"], errs);
    }
    match (kind.str(), local.exists()) {
        ("Localhost", false) => errs.required(local, "must be set when seccomp type is Localhost"),
        ("Localhost", true) => descending(local, errs),
        (_, true) => errs.invalid(local, shown_struct(profile, "io.k8s.api.core.v1.SeccompProfile"), LOCALHOST_ONLY),
        (_, false) => {}
    }
}

/// upstream: ValidateAppArmorProfileField
fn app_armor(profile: Cursor<'_>, errs: &mut Errors) {
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    const MAX_LENGTH: usize = 4095;
    if !profile.exists() {
        return;
    }
    let (kind, local) = (profile.field("type"), profile.field("localhostProfile"));
    match kind.str() {
        "Localhost" if !local.exists() => errs.required(local, MISSING),
        "Localhost" => {
            if local.str().trim() != local.str() {
                errs.invalid(local, local.str(), "must not be padded with whitespace");
            } else if local.is_empty() {
                errs.required(local, MISSING);
            }
            if local.str().len() > MAX_LENGTH {
                errs.too_long(local, MAX_LENGTH);
            }
        }
        "RuntimeDefault" | "Unconfined" if local.exists() => {
            errs.invalid(local, local.str(), "can only be set when AppArmor type is Localhost");
        }
        "RuntimeDefault" | "Unconfined" => {}
        "" => errs.required(kind, "type is required when appArmorProfile is set"),
        _ => one_of(kind, &["Localhost", "RuntimeDefault", "Unconfined"], errs),
    }
}

/// upstream: validateHostUsers
pub(super) fn host_users(scope: &Scope<'_>, errs: &mut Errors) {
    const WHY: &str = "when `hostUsers` is false";
    let spec = scope.spec;
    if scope.host_users() {
        return;
    }
    if spec.field("hostNetwork").bool() && !scope.rules.host_network_in_user_namespace {
        errs.forbidden(spec.field("hostNetwork"), WHY);
    }
    for (field, shown) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.field(field).bool() {
            errs.forbidden(spec.field(shown), WHY);
        }
    }
    if !scope.rules.devices_in_user_namespace {
        for devices in all_containers(spec).map(|c| c.field("volumeDevices")).filter(|d| !d.is_empty()) {
            errs.forbidden(devices, WHY);
        }
    }
}
