//! Claims within pod specs: the template of an ephemeral volume.

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::selector::label::{self, SelectorRules};
use apimachinery::value::Cursor;

use super::quantity_of;
use crate::registry::validation::{NOT_POSITIVE, none_or_named, none_or_one_of, template_metadata};

/// upstream: validateEphemeralVolumeSource
pub(super) fn of_ephemeral(source: Cursor<'_>, errs: &mut Errors) {
    let template = source.field("volumeClaimTemplate");
    if !template.exists() {
        return errs.required(template, "");
    }
    template_metadata(template.field("metadata"), errs);
    claim_spec(template.field("spec"), ClaimRules::default(), errs);
}

/// What the rules let pass because a claim that exists has it already.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimRules {
    any_selector_values: bool,
    any_source_group: bool,
}

impl ClaimRules {
    /// For a claim that had this spec before.
    /// upstream: ValidationOptionsForPersistentVolumeClaim
    pub fn since(old: Cursor<'_>) -> ClaimRules {
        let mut errs = Errors::new();
        label::validate(old.field("selector"), SelectorRules::default(), &mut errs);
        ClaimRules {
            any_selector_values: !errs.is_empty(),
            any_source_group: ["dataSource", "dataSourceRef"].iter().any(|s| old.field(s).field("apiGroup").exists()),
        }
    }
}

/// upstream: ValidatePersistentVolumeClaimSpec
pub fn claim_spec(spec: Cursor<'_>, rules: ClaimRules, errs: &mut Errors) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let modes = spec.field("accessModes");
    if modes.is_empty() {
        errs.required(modes, "at least 1 access mode is required");
    }
    let values = SelectorRules { allow_invalid_values: rules.any_selector_values, ..SelectorRules::default() };
    label::validate(spec.field("selector"), values, errs);
    for mode in modes.list().map(|m| m.str()).filter(|m| !MODES.contains(m)) {
        errs.not_supported(modes, mode, MODES);
    }
    let has = |wanted: &dyn Fn(&str) -> bool| modes.list().any(|m| MODES.contains(&m.str()) && wanted(m.str()));
    if has(&|m| m == "ReadWriteOncePod") && has(&|m| m != "ReadWriteOncePod") {
        errs.forbidden(modes, "may not use ReadWriteOncePod with other access modes");
    }
    let wanted = spec.field("resources").field("requests").field("storage");
    // Upstream leaves the step to the requests out of the path.
    let place = spec.field("resources").key("storage");
    if !wanted.exists() {
        errs.required(place, "");
    } else if quantity_of(wanted) <= apimachinery::quantity::Quantity::default() {
        errs.invalid(place, quantity_of(wanted).to_string(), NOT_POSITIVE);
    }
    none_or_named(spec.field("storageClassName"), names::dns1123_subdomain, errs);
    none_or_one_of(spec.field("volumeMode"), &["Block", "Filesystem"], errs);
    let (source, reference) = (spec.field("dataSource"), spec.field("dataSourceRef"));
    data_source(source, rules, errs);
    data_source(reference, rules, errs);
    let remote = reference.field("namespace");
    none_or_named(remote, names::dns1123_label, errs);
    let differs = ["apiGroup", "kind", "name"].iter().any(|f| source.field(f).value() != reference.field(f).value());
    let both = source.exists() && reference.exists();
    // The bad value is the path itself, as its Go struct has no visible fields.
    let shown = || apimachinery::field::BadValue::json("{}");
    if both && !remote.is_empty() {
        errs.invalid(spec, shown(), "may not be specified when dataSourceRef.namespace is specified");
    } else if both && differs {
        errs.invalid(spec, shown(), "must match dataSourceRef");
    }
    none_or_named(spec.field("volumeAttributesClassName"), names::dns1123_subdomain, errs);
}

/// upstream: validateDataSource
fn data_source(source: Cursor<'_>, rules: ClaimRules, errs: &mut Errors) {
    if !source.exists() {
        return;
    }
    super::required_all(source, &["name", "kind"], errs);
    let (group, kind) = (source.field("apiGroup"), source.field("kind").str());
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errs.invalid(source, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !rules.any_source_group {
        none_or_named(group, names::dns1123_subdomain, errs);
    }
}
