//! CreateOptions, UpdateOptions, PatchOptions, DeleteOptions: from the query (or, for DELETE, the body), and their checks.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::object_meta;
use apimachinery::status::ApiError;
use apimachinery::value;
use apimachinery::value::Value;

use super::query::Query;
use crate::registry::DeleteOptions;

/// What happens with unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing.
    Ignore,
    /// A warning.
    #[default]
    Warn,
    /// The request fails.
    Strict,
}

/// Options of a write other than a deletion.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Who owns what is set.
    pub field_manager: String,
    /// Unknown and duplicate fields.
    pub field_validation: FieldValidation,
    /// Take over conflicting fields (apply only).
    pub force: bool,
    /// As an object, for admission.
    pub raw: Value,
}

/// Which options object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// POST
    Create,
    /// PUT
    Update,
    /// PATCH with a patch
    Patch,
    /// PATCH with an apply configuration
    Apply,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

/// Reads and checks the options of a POST, PUT or PATCH.
///
/// # Errors
/// 422.
pub fn write(query: &Query, kind: Kind) -> Result<WriteOptions, ApiError> {
    let dry_run = query.all("dryRun");
    let manager = query.text("fieldManager");
    let validation = query.text("fieldValidation");
    let force = if matches!(kind, Kind::Patch | Kind::Apply) { query.opt_flag("force") } else { None };
    let mut errs = Errors::new();
    match kind {
        Kind::Apply if manager.is_empty() => errs.required(Path::root("fieldManager"), "is required for apply patch"),
        Kind::Patch if force.is_some() => {
            errs.forbidden(Path::root("force"), "may not be specified for non-apply patch");
        }
        _ => {}
    }
    object_meta::validate_field_manager(&manager, &Path::root("fieldManager"), &mut errs);
    object_meta::validate_dry_run(&dry_run, &mut errs);
    object_meta::validate_field_validation(&validation, &mut errs);
    refuse(kind.name(), &errs)?;
    let mut raw = value!({"apiVersion": "meta.k8s.io/v1", "kind": kind.name()});
    if !dry_run.is_empty() {
        raw.set("dryRun", dry_run.clone());
    }
    for (name, text) in [("fieldManager", &manager), ("fieldValidation", &validation)] {
        if !text.is_empty() {
            raw.set(name, text.as_str());
        }
    }
    if let Some(force) = force {
        raw.set("force", force);
    }
    Ok(WriteOptions {
        dry_run: !dry_run.is_empty(),
        field_manager: manager,
        field_validation: match validation.as_str() {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => FieldValidation::Warn,
        },
        force: force.unwrap_or(false),
        raw,
    })
}

/// DeleteOptions from the query.
///
/// # Errors
/// 400 for a malformed number.
pub fn delete_from_query(query: &Query) -> Result<Value, ApiError> {
    let mut raw = value!({"apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions"});
    if let Some(seconds) = query.opt_int("gracePeriodSeconds")? {
        raw.set("gracePeriodSeconds", seconds);
    }
    if let Some(orphan) = query.opt_flag("orphanDependents") {
        raw.set("orphanDependents", orphan);
    }
    if let Some(policy) = query.get("propagationPolicy") {
        raw.set("propagationPolicy", policy);
    }
    let dry_run = query.all("dryRun");
    if !dry_run.is_empty() {
        raw.set("dryRun", dry_run);
    }
    for name in ["uid", "resourceVersion"] {
        let text = query.text(name);
        if !text.is_empty() {
            raw.field_mut("preconditions").set(name, text);
        }
    }
    Ok(raw)
}

/// Checks DeleteOptions and reads them.
///
/// # Errors
/// 422.
pub fn delete(mut raw: Value) -> Result<DeleteOptions, ApiError> {
    raw.set("apiVersion", "meta.k8s.io/v1");
    raw.set("kind", "DeleteOptions");
    raw.remove("ignoreStoreReadErrorWithClusterBreakingPotential");
    let orphan_dependents = raw.get("orphanDependents").as_bool();
    let policy = raw.get("propagationPolicy").as_str().map(str::to_owned);
    let mut errs = Errors::new();
    if let Some(policy) = &policy {
        let path = Path::root("propagationPolicy");
        if orphan_dependents.is_some() {
            errs.invalid(path.clone(), policy, "orphanDependents and deletionPropagation cannot be both set");
        }
        if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
            errs.not_supported(path, BadValue::from(policy), ["Foreground", "Background", "Orphan", "nil"]);
        }
    }
    let dry_run: Vec<&str> = raw.get("dryRun").items().iter().map(Value::str_or_empty).collect();
    object_meta::validate_dry_run(&dry_run, &mut errs);
    refuse("DeleteOptions", &errs)?;
    Ok(delete_unchecked(raw))
}

/// Reads DeleteOptions that nobody checks: those within an eviction.
pub fn delete_unchecked(raw: Value) -> DeleteOptions {
    let preconditions = raw.get("preconditions");
    DeleteOptions {
        grace_period_seconds: raw.get("gracePeriodSeconds").as_i64(),
        uid: preconditions.get("uid").as_str().map(str::to_owned),
        resource_version: preconditions.get("resourceVersion").as_str().map(str::to_owned),
        orphan_dependents: raw.get("orphanDependents").as_bool(),
        propagation_policy: raw.get("propagationPolicy").as_str().map(str::to_owned),
        dry_run: !raw.get("dryRun").items().is_empty(),
        ignore_store_read_error: false,
        raw,
    }
}

/// 422 for an options object.
///
/// # Errors
/// If there are errors.
pub fn refuse(kind: &str, errs: &Errors) -> Result<(), ApiError> {
    if errs.is_empty() { Ok(()) } else { Err(ApiError::invalid("meta.k8s.io", kind, "", errs)) }
}
