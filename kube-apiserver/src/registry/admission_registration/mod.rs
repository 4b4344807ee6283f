//! Webhook configurations, admission policies and their bindings.
//!
//! What is absent: whether the author of a policy may read its parameters is not asked.
//! upstream: pkg/registry/admissionregistration, pkg/apis/admissionregistration/validation/validation.go

mod policies;
mod rules;
mod webhooks;

pub use policies::{Policies, PolicyBindings, PolicyKind};
pub use webhooks::WebhookConfigurations;

use std::collections::BTreeSet;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;

use crate::registry::expressions::{Compiler, Names, Wanted};
use crate::registry::validation::named;

const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];

/// Names that end so are for configurations from files only.
/// upstream: static_suffix.go
fn static_name_warnings(obj: Cursor<'_>) -> Vec<String> {
    const SUFFIX: &str = ".static.k8s.io";
    if !obj.field("metadata").field("name").str().ends_with(SUFFIX) {
        return Vec::new();
    }
    let text = format!(
        "metadata.name: names ending with {SUFFIX:?} are reserved for static manifest-based configurations and cannot be managed via the API"
    );
    vec![text]
}

/// upstream: validateMatchConditions
fn match_conditions(conditions: Cursor<'_>, has_params: bool, errs: &mut Errors) {
    const MOST: usize = 64;
    if conditions.len() > MOST {
        errs.too_many(conditions, conditions.len(), MOST);
    }
    let (compiler, names) = (Compiler::default(), Names { params: has_params, authorizer: true });
    let mut seen = BTreeSet::new();
    for condition in conditions.list() {
        let (name, expression) = (condition.field("name"), condition.field("expression"));
        if expression.str().trim().is_empty() {
            errs.required(expression, "");
        } else if let Some(wrong) = compiler.mistake(expression.str().trim(), names, Wanted::Bool) {
            errs.invalid(expression, expression.str().trim(), wrong);
        }
        if name.is_empty() {
            errs.required(name, "");
            continue;
        }
        named(name, names::qualified_name, errs);
        if !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
    }
}

#[cfg(test)]
mod tests;
