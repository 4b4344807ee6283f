//! Rules about pod specs, for pods and for everything that holds a pod template.
//! upstream: pkg/apis/core/validation/validation.go (ValidatePodSpec and what it calls)

mod affinity;
mod annotations;
mod claim_template;
mod containers;
pub mod disabled;
mod env;
pub mod mounts;
mod network;
mod probes;
mod projected;
mod resources;
mod security;
pub mod spread;
mod system;
mod tolerations;
pub mod volumes;
pub mod warnings;
mod windows;

use std::collections::{BTreeSet, HashMap};

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::object_meta::validate_annotations;
use apimachinery::selector::label::{self, SelectorRules, validate_labels};
use apimachinery::value::Cursor;

pub use affinity::{node_selector, node_selector_term};
pub use annotations::{changes as annotation_changes, pod as pod_annotations};
pub use claim_template::{ClaimRules, claim_spec};
pub use projected::signer_name;
pub use resources::{
    container_resource_name, container_resources, is_extended, is_standard, quantity_of, quantity_value, resource_name,
};
pub use tolerations::{kept_tolerations, tolerations};

use crate::registry::validation::{in_range, none_or_named, required, required_one_of};

/// What the rules let pass because an object that exists has it already, and what kind of object the spec is part of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The spec is that of a pod, not of a template.
    pub is_pod: bool,
    any_deletion_cost: bool,
    any_selector_values: bool,
    any_node_affinity_values: bool,
    any_spread_selector: bool,
    old_spread_keys: bool,
    broken_huge_pages: bool,
    any_token_path: bool,
    host_sysctls: bool,
    restart_on_init_resize: bool,
    devices_in_user_namespace: bool,
    host_network_in_user_namespace: bool,
    compared_tolerations: bool,
    any_selinux_policy: bool,
}

impl Rules {
    /// For a template of an object that is created.
    pub fn template() -> Rules {
        Rules::default()
    }

    /// For a pod that is created.
    pub fn pod() -> Rules {
        Rules { is_pod: true, ..Rules::default() }
    }

    /// As these, but what `old`, a pod or a template, has already may stay.
    pub fn since(self, old: Cursor<'_>) -> Rules {
        if !old.exists() {
            return self;
        }
        let spec = old.field("spec");
        let fails = |check: &dyn Fn(&mut Errors)| {
            let mut errs = Errors::new();
            check(&mut errs);
            !errs.is_empty()
        };
        let user_namespace = spec.field("hostUsers").opt_bool() == Some(false);
        let tolerations = spec.field("tolerations");
        Rules {
            any_deletion_cost: fails(&|errs| {
                annotations::deletion_cost(old.field("metadata").field("annotations"), errs)
            }),
            any_selector_values: affinity::has_invalid_selector_values(spec),
            any_node_affinity_values: affinity::has_invalid_node_values(spec),
            any_spread_selector: spec
                .field("topologySpreadConstraints")
                .list()
                .any(|c| fails(&|errs| label::validate(c.field("labelSelector"), SelectorRules::default(), errs))),
            old_spread_keys: spec
                .field("topologySpreadConstraints")
                .list()
                .any(|c| fails(&|errs| spread::match_label_keys(c, errs))),
            broken_huge_pages: resources::has_broken_huge_pages(spec),
            any_token_path: projected::has_odd_token_path(spec),
            host_sysctls: spec
                .field("securityContext")
                .field("sysctls")
                .list()
                .any(|s| security::host_sysctl(s.field("name"), spec).is_some()),
            restart_on_init_resize: spec.field("initContainers").list().any(containers::restarts_on_resize),
            devices_in_user_namespace: user_namespace
                && all_containers(spec).any(|c| !c.field("volumeDevices").is_empty()),
            host_network_in_user_namespace: user_namespace && spec.field("hostNetwork").bool(),
            any_selinux_policy: spec.field("securityContext").field("seLinuxChangePolicy").exists(),
            compared_tolerations: tolerations.list().any(|t| matches!(t.field("operator").str(), "Lt" | "Gt")),
            ..self
        }
    }
}

/// What rules about one part of a spec need of the rest.
pub(super) struct Scope<'a> {
    pub(super) spec: Cursor<'a>,
    pub(super) rules: Rules,
    pub(super) volumes: HashMap<&'a str, Cursor<'a>>,
    pub(super) claims: BTreeSet<&'a str>,
}

impl Scope<'_> {
    pub(super) fn host_users(&self) -> bool {
        self.spec.field("hostUsers").opt_bool() != Some(false)
    }

    pub(super) fn os(&self) -> Option<&str> {
        self.spec.field("os").exists().then(|| self.spec.field("os").field("name").str())
    }
}

/// All containers of a spec: initial, ordinary, ephemeral.
pub fn all_containers<'a>(spec: Cursor<'a>) -> impl Iterator<Item = Cursor<'a>> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| spec.field(list).list())
}

/// What is wrong with a new pod.
/// upstream: ValidatePodCreate
pub fn new_pod(pod: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    pod_itself(pod, rules, errs);
    let spec = pod.field("spec");
    if !spec.field("ephemeralContainers").is_empty() {
        errs.forbidden(spec.field("ephemeralContainers"), "cannot be set on create");
    }
    if !spec.field("nodeName").is_empty() && !spec.field("schedulingGates").is_empty() {
        errs.forbidden(spec.field("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    annotations::seccomp_matches(pod.field("metadata").field("annotations"), spec, errs);
    annotations::app_armor_matches(pod.field("metadata").field("annotations"), spec, errs);
}

/// What is wrong with a pod, whether new or changed.
/// upstream: validatePodMetadataAndSpec
pub fn pod_itself(pod: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let (meta, spec) = (pod.field("metadata"), pod.field("spec"));
    annotations::pod(meta.field("annotations"), spec, rules, errs);
    pod_spec(spec, meta, rules, errs);
    if spec.field("serviceAccountName").is_empty() {
        let sources = spec.field("volumes").list().flat_map(|v| v.field("projected").field("sources").list());
        for token in sources.map(|s| s.field("serviceAccountToken")).filter(|t| t.exists()) {
            errs.forbidden(token, "must not be specified when serviceAccountName is not set");
        }
    }
    for list in ["containers", "initContainers"] {
        spec.field(list).list().for_each(|container| containers::image_has_no_space(container, errs));
    }
}

/// What is wrong with a pod template.
/// upstream: ValidatePodTemplateSpec
pub fn template(template: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let (meta, spec) = (template.field("metadata"), template.field("spec"));
    // Upstream leaves the step to the metadata out of the path.
    let annotated = template.field("annotations").at(meta.field("annotations").value());
    validate_labels(template.field("labels").at(meta.field("labels").value()), errs);
    validate_annotations(annotated, errs);
    annotations::pod(annotated, spec, rules, errs);
    pod_spec(spec, Cursor::default(), rules, errs);
    annotations::seccomp_matches(annotated, spec, errs);
    annotations::app_armor_matches(annotated, spec, errs);
    if !spec.field("ephemeralContainers").is_empty() {
        errs.forbidden(spec.field("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// What is wrong with a pod spec; `meta` is that of the pod, absent for a template.
/// upstream: ValidatePodSpec
pub fn pod_spec(spec: Cursor<'_>, meta: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    if !spec.field("terminationGracePeriodSeconds").exists() {
        errs.required(spec.field("terminationGracePeriodSeconds"), "");
    }
    let volumes = volumes::all(spec.field("volumes"), meta, rules, errs);
    let claims = spec.field("resourceClaims").list().map(|c| c.field("name").str()).filter(|n| !n.is_empty()).collect();
    let scope = Scope { spec, rules, volumes, claims };
    resources::claims(spec.field("resourceClaims"), meta, errs);
    containers::ordinary(&scope, errs);
    containers::initial(&scope, errs);
    containers::ephemeral(&scope, errs);
    resources::of_pod(&scope, errs);
    network::host_network_ports(&scope, errs);
    required_one_of(spec.field("restartPolicy"), &["Always", "OnFailure", "Never"], errs);
    required_one_of(spec.field("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], errs);
    validate_labels(spec.field("nodeSelector"), errs);
    security::pod(&scope, errs);
    affinity::all(spec.field("affinity"), rules, errs);
    network::dns_config(spec, errs);
    for gate in spec.field("readinessGates").list() {
        crate::registry::validation::named(gate.field("conditionType"), names::qualified_name, errs);
    }
    system::scheduling_gates(spec.field("schedulingGates"), errs);
    spread::constraints(spec.field("topologySpreadConstraints"), rules, errs);
    windows::host_process(spec, errs);
    security::host_users(&scope, errs);
    network::host_name_override(spec, errs);
    none_or_named(spec.field("serviceAccountName"), names::dns1123_subdomain, errs);
    none_or_named(spec.field("nodeName"), names::dns1123_subdomain, errs);
    if spec.field("activeDeadlineSeconds").exists() {
        in_range(spec.field("activeDeadlineSeconds"), 1, i64::from(i32::MAX), errs);
    }
    none_or_named(spec.field("hostname"), names::dns1123_label, errs);
    none_or_named(spec.field("subdomain"), names::dns1123_label, errs);
    tolerations(spec.field("tolerations"), rules, errs);
    network::host_aliases(spec.field("hostAliases"), errs);
    none_or_named(spec.field("priorityClassName"), names::dns1123_subdomain, errs);
    if spec.field("runtimeClassName").exists() {
        crate::registry::validation::named(spec.field("runtimeClassName"), names::dns1123_subdomain, errs);
    }
    if spec.field("preemptionPolicy").exists() {
        required_one_of(spec.field("preemptionPolicy"), &["PreemptLowerPriority", "Never"], errs);
    }
    resources::overhead(&scope, errs);
    system::operating_system(spec, errs);
    system::scheduling_group(spec.field("schedulingGroup"), errs);
    env::files(spec, errs);
}

/// Complains about each of the fields that is absent.
pub(super) fn required_all(place: Cursor<'_>, fields: &[&'static str], errs: &mut Errors) {
    fields.iter().for_each(|field| required(place.field(field), errs));
}
