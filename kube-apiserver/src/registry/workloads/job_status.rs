//! What a status of a job can say, and what it cannot take back. Most is only checked where something changes, so that
//! a status that was wrong before can still be updated otherwise.
//! upstream: pkg/apis/batch/validation/validation.go, getStatusValidationOptions in pkg/registry/batch/job/strategy.go

use std::collections::HashSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::quote::quote;
use apimachinery::value::Cursor;

use super::counters;
use crate::registry::validation::shown;

/// True if the status has a condition that is true.
pub(super) fn is_true(status: Cursor<'_>, kind: &str) -> bool {
    has(status, kind, "True")
}

fn has(status: Cursor<'_>, kind: &str, value: &str) -> bool {
    status.field("conditions").list().any(|c| c.field("type").str() == kind && c.field("status").str() == value)
}

/// The intervals of a list of indexes like `1,3-5`.
/// upstream: validateIndexesFormat
pub(super) fn indexes(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut intervals: Vec<(i64, i64)> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = interval(part, completions)?;
        if let Some((_, previous)) = intervals.last().filter(|(_, previous)| *previous >= first) {
            return Err(format!("non-increasing order, previous: {previous}, current: {first}"));
        }
        intervals.push((first, last));
    }
    Ok(intervals)
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let index = |part: &str| match part.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {}", quote(part))),
        Ok(index) if index >= completions => Err(format!("too large index: {}", quote(part))),
        Ok(index) => Ok(index),
    };
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        let text = quote(text);
        return Err(format!(
            "the fragment {text} violates the requirement that an index interval can have at most two parts separated by '-'"
        ));
    }
    let first = index(parts[0])?;
    let Some(part) = parts.get(1) else { return Ok((first, first)) };
    let last = index(part)?;
    if first >= last {
        return Err(format!("non-increasing order, previous: {first}, current: {last}"));
    }
    Ok((first, last))
}

/// What both versions of a status say about one thing.
struct Change<'a> {
    spec: Cursor<'a>,
    new: Cursor<'a>,
    old: Cursor<'a>,
}

impl Change<'_> {
    fn of(&self, field: &'static str) -> bool {
        self.new.field(field).value() != self.old.field(field).value()
    }

    fn of_condition(&self, kind: &str) -> bool {
        is_true(self.new, kind) != is_true(self.old, kind)
    }
}

/// upstream: ValidateJobUpdateStatus
pub(super) fn change(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let change = Change { spec: obj.field("spec"), new: obj.field("status"), old: old.field("status") };
    counters(change.new, &["active", "succeeded", "failed", "ready", "terminating"], errs);
    uncounted(change.new.field("uncountedTerminatedPods"), errs);
    completion(&change, errs);
    finished(&change, errs);
    indexes_change(&change, errs);
    criteria(&change, errs);
    transitions(&change, errs);
}

fn uncounted(pods: Cursor<'_>, errs: &mut Errors) {
    let mut seen = HashSet::new();
    for uid in ["succeeded", "failed"].iter().flat_map(|list| pods.field(list).list()) {
        if uid.is_empty() {
            errs.invalid(uid, "", "must not be empty");
        } else if !seen.insert(uid.str()) {
            errs.duplicate(uid, uid.str());
        }
    }
}

fn about_conditions(status: Cursor<'_>, why: &str, errs: &mut Errors) {
    errs.invalid(status.field("conditions"), BadValue::Omitted, why);
}

fn completion(change: &Change<'_>, errs: &mut Errors) {
    let status = change.new;
    let (complete, failed) = (is_true(status, "Complete"), is_true(status, "Failed"));
    let (start, end) = (status.field("startTime"), status.field("completionTime"));
    let completes = change.of_condition("Complete");
    if (completes || change.of_condition("Failed")) && complete && failed {
        about_conditions(status, "cannot set Complete=True and Failed=true conditions", errs);
    }
    let target = is_true(status, "FailureTarget");
    if (completes || change.of_condition("FailureTarget")) && complete && target {
        about_conditions(status, "cannot set Complete=True and FailureTarget=true conditions", errs);
    }
    if completes || change.of("completionTime") {
        if end.exists() && !complete {
            errs.invalid(end, end, "cannot set completionTime when there is no Complete=True condition");
        }
        if !end.exists() && complete {
            errs.required(end, "completionTime is required for Complete jobs");
        }
    }
    // Times are RFC 3339 in UTC to the second, so they sort as text.
    if (change.of("startTime") || change.of("completionTime"))
        && start.exists()
        && end.exists()
        && end.str() < start.str()
    {
        errs.invalid(end, end, "must be equal to or after `startTime`");
    }
    if (change.of_condition("Failed") || change.of("failedIndexes")) && failed && !target {
        about_conditions(status, "cannot set Failed=True condition without the FailureTarget=true condition", errs);
    }
    let met = is_true(status, "SuccessCriteriaMet");
    if (completes || change.of_condition("SuccessCriteriaMet")) && complete && !met {
        let why = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        about_conditions(status, why, errs);
    }
}

fn is_finished(status: Cursor<'_>) -> bool {
    is_true(status, "Complete") || is_true(status, "Failed")
}

fn finished(change: &Change<'_>, errs: &mut Errors) {
    let (spec, status) = (change.spec, change.new);
    let finished = is_finished(status);
    let finishes = finished != is_finished(change.old);
    let (active, pods) = (status.field("active"), status.field("uncountedTerminatedPods"));
    if (finishes || change.of("active")) && active.i64() > 0 && finished {
        errs.invalid(active, active.i64(), "active>0 is invalid for finished job");
    }
    let suspended = spec.field("suspend").bool() && spec.field("completions").opt_i64() == Some(0);
    let start = status.field("startTime");
    if (finishes || change.of("startTime")) && !suspended && !start.exists() && finished {
        errs.required(start, "startTime is required for finished job");
    }
    let some = ["succeeded", "failed"].iter().any(|list| !pods.field(list).is_empty());
    if (finishes || change.of("uncountedTerminatedPods")) && finished && some {
        errs.invalid(pods, shown(pods.value()), "must be empty for finished job");
    }
}

fn indexes_change(change: &Change<'_>, errs: &mut Errors) {
    let (spec, status) = (change.spec, change.new);
    let (completed, failed) = (status.field("completedIndexes"), status.field("failedIndexes"));
    let completions = spec.field("completions").opt_i64();
    let per_index = spec.field("backoffLimitPerIndex").exists();
    let check = |place: Cursor<'_>, errs: &mut Errors| {
        if let Some(Err(why)) = completions.map(|completions| indexes(place.str(), completions)) {
            let name = if place.path() == completed.path() { "completedIndexes" } else { "failedIndexes" };
            errs.invalid(place, place.str(), format!("error parsing {name}: {why}"));
        }
    };
    let (completed_changes, failed_changes) = (change.of("completedIndexes"), change.of("failedIndexes"));
    if completed_changes {
        check(completed, errs);
    }
    if failed_changes && per_index && failed.exists() {
        check(failed, errs);
    }
    if completed_changes && !completed.is_empty() && spec.field("completionMode").str() != "Indexed" {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errs.invalid(completed, completed.str(), why);
    }
    if failed_changes && !per_index && failed.exists() {
        let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errs.invalid(failed, failed.str(), why);
    }
    if let Some(completions) = completions.filter(|_| (failed_changes || completed_changes) && failed.exists()) {
        let intervals = |place: Cursor<'_>| -> Vec<(i64, i64)> {
            place.str().split(',').filter_map(|part| interval(part, completions).ok()).collect()
        };
        let (done, lost) = (intervals(completed), intervals(failed));
        let overlap = done.iter().find_map(|a| lost.iter().find(|b| a.0 <= b.1 && b.0 <= a.1).map(|b| a.0.max(b.0)));
        if let Some(index) = overlap {
            let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errs.invalid(failed, failed.str(), why);
        }
    }
    let (terminating, ready, active) = (status.field("terminating"), status.field("ready"), status.field("active"));
    let finishes = is_finished(status) != is_finished(change.old);
    if (finishes || change.of("terminating")) && terminating.i64() > 0 && is_finished(status) {
        errs.invalid(terminating, terminating.i64(), "terminating>0 is invalid for finished job");
    }
    if (change.of("ready") || change.of("active")) && ready.i64() > active.i64() {
        errs.invalid(ready, ready.i64(), "cannot set more ready pods than active");
    }
}

fn criteria(change: &Change<'_>, errs: &mut Errors) {
    let status = change.new;
    let met = is_true(status, "SuccessCriteriaMet");
    if met && is_true(status, "Failed") {
        about_conditions(status, "cannot set SuccessCriteriaMet=True and Failed=true conditions", errs);
    }
    if met && is_true(status, "FailureTarget") {
        about_conditions(status, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions", errs);
    }
    if change.spec.field("successPolicy").exists() && !met && is_true(status, "Complete") {
        let why = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        about_conditions(status, why, errs);
    }
}

fn transitions(change: &Change<'_>, errs: &mut Errors) {
    let (spec, status, old) = (change.spec, change.new, change.old);
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, kind) && !is_true(status, kind) {
            about_conditions(status, &format!("cannot disable the terminal {kind}=True condition"), errs);
        }
    }
    let scales = spec.field("completionMode").str() == "Indexed"
        && spec.field("completions").value() == spec.field("parallelism").value();
    for counter in ["failed", "succeeded"].into_iter().filter(|counter| *counter == "failed" || !scales) {
        let place = status.field(counter);
        if place.i64() < old.field(counter).i64() {
            errs.invalid(place, place.i64(), format!("cannot decrease the {counter} counter"));
        }
    }
    let (end, start) = (status.field("completionTime"), status.field("startTime"));
    if end.exists() && old.field("completionTime").exists() && change.of("completionTime") {
        errs.invalid(end, end, "field is immutable");
    }
    let resumes = is_true(old, "Suspended") && has(status, "Suspended", "False");
    if change.of("startTime") && !resumes && old.field("startTime").exists() && !spec.field("suspend").bool() {
        errs.invalid(start, shown(start.value()), "field is immutable for unsuspended job once set");
    }
    let (met_before, met) = (is_true(old, "SuccessCriteriaMet"), is_true(status, "SuccessCriteriaMet"));
    if met_before && !met {
        about_conditions(status, "cannot disable the SuccessCriteriaMet=True condition", errs);
    }
    if is_true(old, "Complete") && !met_before && met {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        about_conditions(status, why, errs);
    }
}
