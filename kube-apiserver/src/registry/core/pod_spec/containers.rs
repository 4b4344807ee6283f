//! Containers: ordinary, initial and ephemeral ones.

use std::collections::HashSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;

use super::{Scope, env, mounts, network, probes, resources, security};
use crate::registry::validation::{forbidden, none_or_one_of, one_of, required, required_named, required_one_of};

const RULES_NEED_POLICY: &str = "must specify restartPolicy when restart rules are used";

/// upstream: validateContainers
pub(super) fn ordinary(scope: &Scope<'_>, errs: &mut Errors) {
    let containers = scope.spec.field("containers");
    if containers.is_empty() {
        errs.required(containers, "");
        return;
    }
    let mut names = HashSet::new();
    for container in containers.list() {
        common(container, scope, errs);
        let name = container.field("name");
        if !names.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
        probes::of_container(container, scope, errs);
        restart_policy(container, errs);
    }
    network::host_ports(containers.list(), errs);
}

/// upstream: validateInitContainers
pub(super) fn initial(scope: &Scope<'_>, errs: &mut Errors) {
    const NOT_HERE: &str = "may not be set for init containers without restartPolicy=Always";
    let containers = scope.spec.field("initContainers");
    let mut names: HashSet<&str> = scope.spec.field("containers").list().map(|c| c.field("name").str()).collect();
    for container in containers.list() {
        common(container, scope, errs);
        if container.field("restartPolicy").exists() {
            restart_policy(container, errs);
        } else if !container.field("restartPolicyRules").is_empty() {
            errs.required(container.field("restartPolicy"), RULES_NEED_POLICY);
        }
        let name = container.field("name");
        if names.contains(name.str()) {
            errs.duplicate(name, name.str());
        } else if !name.is_empty() {
            names.insert(name.str());
        }
        // They run one by one, so each has all ports for itself; upstream always names the first.
        network::host_ports(std::iter::once(containers.index(0).at(container.value())), errs);
        let restarts = container.field("restartPolicy").str() == "Always";
        if restarts {
            probes::of_container(container, scope, errs);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                forbidden(container.field(field), NOT_HERE, errs);
            }
        }
        if !restarts && !scope.rules.restart_on_init_resize {
            for policy in container.field("resizePolicy").list().map(|p| p.field("restartPolicy")) {
                if policy.str() == "RestartContainer" {
                    let why = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                    errs.invalid(policy, policy.str(), why);
                }
            }
        }
    }
}

/// True for an init container that ends but says that it restarts when it is resized.
pub(super) fn restarts_on_resize(container: Cursor<'_>) -> bool {
    container.field("restartPolicy").str() != "Always"
        && container.field("resizePolicy").list().any(|p| p.field("restartPolicy").str() == "RestartContainer")
}

/// upstream: validateEphemeralContainers
pub(super) fn ephemeral(scope: &Scope<'_>, errs: &mut Errors) {
    const NOT_HERE: &str = "cannot be set for an Ephemeral Container";
    const FIELDS: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    let lists = ["containers", "initContainers"];
    let others: HashSet<&str> =
        lists.iter().flat_map(|l| scope.spec.field(l).list()).map(|c| c.field("name").str()).collect();
    let mut names = others.clone();
    for container in scope.spec.field("ephemeralContainers").list() {
        common(container, scope, errs);
        image_has_no_space(container, errs);
        let (name, target) = (container.field("name"), container.field("targetContainerName"));
        if !names.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
        if !target.is_empty() && !others.contains(target.str()) {
            errs.not_found(target, target.str());
        }
        for field in FIELDS {
            // Of the fields only resources is a plain struct, which is not set if it is empty.
            let place = container.field(field);
            if place.exists() && !(field == "resources" && place.is_empty()) {
                errs.forbidden(place, NOT_HERE);
            }
        }
        for mount in container.field("volumeMounts").list() {
            for field in ["subPath", "subPathExpr"].map(|f| mount.field(f)).into_iter().filter(|f| !f.is_empty()) {
                errs.forbidden(field, NOT_HERE);
            }
        }
    }
}

/// upstream: validateContainerCommon
fn common(container: Cursor<'_>, scope: &Scope<'_>, errs: &mut Errors) {
    required_named(container.field("name"), names::dns1123_label, errs);
    required(container.field("image"), errs);
    required_one_of(container.field("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"], errs);
    network::ports(container.field("ports"), errs);
    env::variables(container.field("env"), errs);
    env::sources(container.field("envFrom"), errs);
    mounts::volume_mounts(container, scope, errs);
    mounts::volume_devices(container, scope, errs);
    required_one_of(container.field("imagePullPolicy"), &["Always", "IfNotPresent", "Never"], errs);
    resources::of_container(container.field("resources"), scope, errs);
    resize_policy(container.field("resizePolicy"), scope.spec.field("restartPolicy").str(), errs);
    security::container(container.field("securityContext"), scope, errs);
}

/// upstream: validateContainerOnlyForPod
pub(super) fn image_has_no_space(container: Cursor<'_>, errs: &mut Errors) {
    let image = container.field("image");
    if image.str().trim() != image.str() {
        errs.invalid(image, image.str(), "must not have leading or trailing whitespace");
    }
}

/// upstream: validateResizePolicy
fn resize_policy(policies: Cursor<'_>, restart_policy: &str, errs: &mut Errors) {
    let mut seen = HashSet::new();
    for policy in policies.list() {
        let (resource, restart) = (policy.field("resourceName").str(), policy.field("restartPolicy"));
        if !seen.insert(resource) {
            errs.duplicate(policy, resource);
        }
        // Upstream names the list, not the element.
        required_one_of(policies.at(policy.field("resourceName").value()), &["cpu", "memory"], errs);
        required_one_of(policies.at(restart.value()), &["NotRequired", "RestartContainer"], errs);
        if restart_policy == "Never" && restart.str() != "NotRequired" {
            errs.invalid(policies, restart.str(), "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// upstream: validateContainerRestartPolicy
fn restart_policy(container: Cursor<'_>, errs: &mut Errors) {
    let (policy, rules) = (container.field("restartPolicy"), container.field("restartPolicyRules"));
    if !policy.exists() && rules.is_empty() {
        return;
    }
    if !policy.exists() {
        errs.required(policy, RULES_NEED_POLICY);
    }
    none_or_one_of(policy, &["Always", "Never", "OnFailure"], errs);
    if rules.len() > 20 {
        errs.too_many(rules, rules.len(), 20);
    }
    for rule in rules.list() {
        one_of(rule.field("action"), &["Restart", "RestartAllContainers"], errs);
        let codes = rule.field("exitCodes");
        if !codes.exists() {
            errs.required(codes, "must be specified");
            continue;
        }
        one_of(codes.field("operator"), &["In", "NotIn"], errs);
        if codes.field("values").len() > 255 {
            errs.too_many(codes.field("values"), codes.field("values").len(), 255);
        }
    }
}
