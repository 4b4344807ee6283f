//! When a job fails or succeeds early.
//! upstream: pkg/apis/batch/validation/validation.go

use std::collections::HashSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::quote::quote_slice;
use apimachinery::value::Cursor;

use super::job_status::indexes;
use crate::registry::validation::{named, not_negative, one_of, shown};

const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_CONDITIONS: usize = 20;
const MAX_INDEXES_TEXT: usize = 64 * 1024;

/// A value that must be given, with those that are valid if it is not.
fn required_choice(place: Cursor<'_>, choices: &[&str], errs: &mut Errors) {
    if place.is_empty() {
        errs.required(place, format!("valid values: {}", quote_slice(choices)));
    } else {
        one_of(place, choices, errs);
    }
}

/// upstream: validatePodFailurePolicy
pub(super) fn failure(spec: Cursor<'_>, errs: &mut Errors) {
    let rules = spec.field("podFailurePolicy").field("rules");
    if rules.len() > MAX_RULES {
        errs.too_many(rules, rules.len(), MAX_RULES);
    }
    let template = spec.field("template").field("spec");
    let containers: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| template.field(list).list())
        .map(|container| container.field("name").str())
        .collect();
    for rule in rules.list() {
        let (action, codes, conditions) =
            (rule.field("action"), rule.field("onExitCodes"), rule.field("onPodConditions"));
        if action.str() == "FailIndex" {
            if !spec.field("backoffLimitPerIndex").exists() {
                errs.invalid(action, "FailIndex", "requires the backoffLimitPerIndex to be set");
            }
        } else {
            required_choice(action, &["Count", "FailIndex", "FailJob", "Ignore"], errs);
        }
        if codes.exists() {
            exit_codes(codes, &containers, errs);
        }
        if conditions.len() > MAX_CONDITIONS {
            errs.too_many(conditions, conditions.len(), MAX_CONDITIONS);
        }
        for condition in conditions.list() {
            named(condition.field("type"), names::qualified_name, errs);
            required_choice(condition.field("status"), &["False", "True", "Unknown"], errs);
        }
        match (codes.exists(), !conditions.is_empty()) {
            (true, true) => {
                let why = "specifying both OnExitCodes and OnPodConditions is not supported";
                errs.invalid(rule, BadValue::Omitted, why);
            }
            (false, false) => {
                let why = "specifying one of OnExitCodes and OnPodConditions is required";
                errs.invalid(rule, BadValue::Omitted, why);
            }
            _ => {}
        }
    }
}

/// upstream: validatePodFailurePolicyRuleOnExitCodes
fn exit_codes(codes: Cursor<'_>, containers: &HashSet<&str>, errs: &mut Errors) {
    let (operator, container, values) = (codes.field("operator"), codes.field("containerName"), codes.field("values"));
    required_choice(operator, &["In", "NotIn"], errs);
    if container.exists() && !containers.contains(container.str()) {
        let why = "must be one of the container or initContainer names in the pod template";
        errs.invalid(container, container.str(), why);
    }
    if values.is_empty() {
        errs.invalid(values, shown(values.value()), "at least one value is required");
    } else if values.len() > MAX_EXIT_CODES {
        errs.too_many(values, values.len(), MAX_EXIT_CODES);
    }
    let mut seen = HashSet::new();
    for value in values.list() {
        if operator.str() == "In" && value.i64() == 0 {
            errs.invalid(value, 0, "must not be 0 for the In operator");
        }
        if !seen.insert(value.i64()) {
            errs.duplicate(value, value.i64());
        }
    }
    if !values.list().map(|value| value.i64()).is_sorted() {
        errs.invalid(values, shown(values.value()), "must be ordered");
    }
}

/// upstream: validateSuccessPolicy
pub(super) fn success(spec: Cursor<'_>, errs: &mut Errors) {
    let rules = spec.field("successPolicy").field("rules");
    let completions = spec.field("completions").i64();
    if rules.is_empty() {
        errs.required(rules, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > MAX_RULES {
        errs.too_many(rules, rules.len(), MAX_RULES);
    }
    for rule in rules.list() {
        let (count, list) = (rule.field("succeededCount"), rule.field("succeededIndexes"));
        if !count.exists() && !list.exists() {
            errs.required(rule, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if list.exists() {
            if list.str().len() > MAX_INDEXES_TEXT {
                errs.too_long(list, MAX_INDEXES_TEXT);
            }
            match indexes(list.str(), completions) {
                Ok(intervals) => total = intervals.iter().map(|(first, last)| last - first + 1).sum(),
                Err(why) => errs.invalid(list, list.str(), format!("error parsing succeededIndexes: {why}")),
            }
        }
        not_negative(count, errs);
        if count.i64() > completions {
            let why = format!("must be less than or equal to {completions} (the number of specified completions)");
            errs.invalid(count, count.i64(), why);
        }
        if list.exists() && count.i64() > total {
            let why = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errs.invalid(count, count.i64(), why);
        }
    }
}
