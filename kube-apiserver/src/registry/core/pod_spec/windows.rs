//! What only exists on Windows, and what does not exist there.

use std::sync::LazyLock;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;
use regex::Regex;

use super::all_containers;
use super::volumes::pattern;
use crate::registry::validation::named;

/// upstream: validateWindowsSecurityContextOptions
pub(super) fn options(options: Cursor<'_>, errs: &mut Errors) {
    const MAX_SPEC: usize = 64 * 1024;
    let (name, spec) = (options.field("gmsaCredentialSpecName"), options.field("gmsaCredentialSpec"));
    if name.exists() {
        named(name, names::dns1123_subdomain, errs);
    }
    if spec.exists() && spec.is_empty() {
        errs.invalid(spec, "", "gmsaCredentialSpec cannot be an empty string");
    } else if spec.str().len() > MAX_SPEC {
        errs.invalid(spec, spec.str(), "gmsaCredentialSpec size must be under 64 KiB");
    }
    if options.field("runAsUserName").exists() {
        user_name(options.field("runAsUserName"), errs);
    }
}

static NETBIOS: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$"#));
static DNS_DOMAIN: LazyLock<Regex> = LazyLock::new(|| {
    let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
    pattern(&format!(r"^{label}(?:\.{label})*$"))
});

fn user_name(place: Cursor<'_>, errs: &mut Errors) {
    const MAX_DOMAIN: usize = 256;
    const MAX_USER: usize = 104;
    let name = place.str();
    let mut wrong = |why: &str| errs.invalid(place, name, format!("runAsUserName{why}"));
    if name.is_empty() {
        return wrong(" cannot be an empty string");
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return wrong(" cannot contain control characters");
    }
    if name.matches('\\').count() > 1 {
        return wrong(" cannot contain more than one backslash");
    }
    let (domain, user) = name.split_once('\\').map_or((None, name), |(domain, user)| (Some(domain), user));
    if let Some(domain) = domain {
        if domain.len() >= MAX_DOMAIN {
            wrong("'s Domain length must be under 256 characters");
        }
        if !NETBIOS.is_match(domain) && !DNS_DOMAIN.is_match(domain) {
            wrong("'s Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        wrong("'s User cannot be empty");
    } else if user.len() > MAX_USER {
        wrong("'s User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        wrong("'s User cannot contain only periods or spaces");
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        wrong("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
}

/// upstream: validateWindowsHostProcessPod
pub(super) fn host_process(spec: Cursor<'_>, errs: &mut Errors) {
    let of =
        |holder: Cursor<'_>| holder.field("securityContext").field("windowsOptions").field("hostProcess").opt_bool();
    let pod = of(spec);
    let (mut count, mut on_host) = (0, 0);
    for container in all_containers(spec) {
        count += 1;
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let place = container.field("securityContext").field("windowsOptions").field("hostProcess");
            let why = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errs.invalid(place, own, why);
        }
        on_host += usize::from(own.or(pod) == Some(true));
    }
    if on_host == 0 {
        return;
    }
    if on_host != count {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errs.invalid(spec, "", why);
    }
    if !spec.field("hostNetwork").bool() {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errs.invalid(spec.field("hostNetwork"), false, why);
    }
}

/// upstream: validateLinux
pub(super) fn not_on_linux(spec: Cursor<'_>, errs: &mut Errors) {
    for holder in std::iter::once(spec).chain(all_containers(spec)) {
        let options = holder.field("securityContext").field("windowsOptions");
        if options.exists() {
            errs.forbidden(options, "windows options cannot be set for a linux pod");
        }
    }
}

/// upstream: validateWindows
pub(super) fn not_on_windows(spec: Cursor<'_>, errs: &mut Errors) {
    const WHY: &str = "cannot be set for a windows pod";
    // In upstream's order; those that are no settings of the security context are marked.
    const POD: [(&str, bool); 15] = [
        ("appArmorProfile", true),
        ("seLinuxOptions", true),
        ("hostUsers", false),
        ("hostPID", false),
        ("hostIPC", false),
        ("seccompProfile", true),
        ("fsGroup", true),
        ("fsGroupChangePolicy", true),
        ("sysctls", true),
        ("shareProcessNamespace", false),
        ("runAsUser", true),
        ("runAsGroup", true),
        ("supplementalGroups", true),
        ("supplementalGroupsPolicy", true),
        ("seLinuxChangePolicy", true),
    ];
    const CONTAINER: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    for (field, in_context) in POD {
        let place = if in_context { spec.field("securityContext").field(field) } else { spec.field(field) };
        let set = match field {
            "hostPID" | "hostIPC" | "sysctls" => !place.is_empty(),
            _ => place.exists(),
        };
        if set {
            errs.forbidden(place, WHY);
        }
    }
    for context in all_containers(spec).map(|container| container.field("securityContext")) {
        for place in CONTAINER.iter().map(|field| context.field(field)).filter(|place| place.exists()) {
            errs.forbidden(place, WHY);
        }
    }
}
