//! Cron jobs.
//! upstream: pkg/apis/batch/validation/validation.go, pkg/registry/batch/cronjob

use apimachinery::field::Errors;
use apimachinery::value::{Cursor, Value};

use super::jobs::{job_spec, spec_warnings};
use super::schedule::{check, is_time_zone};
use super::{changed, keep_spec, name_warnings};
use crate::registry::core::pod_spec::Rules;
use crate::registry::internal_json::shown_selector;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{not_negative, required_one_of};

/// The strategy of CronJobs.
pub struct CronJobs;

/// Names of jobs end in a time, which takes this much of their 63 characters.
const MAX_NAME: usize = 52;

fn job_of(obj: Cursor<'_>) -> Cursor<'_> {
    obj.field("spec").field("jobTemplate").field("spec")
}

impl Strategy for CronJobs {
    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        keep_spec(obj, old);
    }

    /// What is wrong with a change of the status is not looked for.
    fn checks_metadata(&self, cx: &RequestContext) -> bool {
        !cx.subresource.is_empty()
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        cron_job(obj.field("spec"), Cursor::default(), Rules::template(), errs);
        let name = obj.field("metadata").field("name");
        if name.str().len() > MAX_NAME {
            errs.invalid(name, name.str(), "must be no more than 52 characters");
        }
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let rules = Rules::template().since(job_of(old).field("template"));
        cron_job(obj.field("spec"), old.field("spec"), rules, errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let mut warnings = name_warnings(obj);
        warnings.extend(spec_warnings(job_of(obj), Cursor::default()));
        warnings
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        let mut warnings = if changed(obj, old) { spec_warnings(job_of(obj), job_of(old)) } else { Vec::new() };
        if obj.field("spec").field("schedule").str().contains("TZ") {
            warnings.push("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".to_owned());
        }
        warnings
    }
}

/// upstream: validateCronJobSpec
fn cron_job(spec: Cursor<'_>, old: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let (schedule, zone) = (spec.field("schedule"), spec.field("timeZone"));
    if schedule.is_empty() {
        errs.required(schedule, "");
    } else {
        if let Err(why) = check(schedule.str()) {
            errs.invalid(schedule, schedule.str(), why);
        }
        let (names_zone, named_before) = (schedule.str().contains("TZ"), old.field("schedule").str().contains("TZ"));
        if names_zone && named_before && zone.exists() {
            let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errs.invalid(schedule, schedule.str(), why);
        } else if names_zone && !named_before {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errs.invalid(schedule, schedule.str(), why);
        }
    }
    not_negative(spec.field("startingDeadlineSeconds"), errs);
    if !old.exists() || old.field("timeZone").value() != zone.value() {
        time_zone(zone, errs);
    }
    required_one_of(spec.field("concurrencyPolicy"), &["Allow", "Forbid", "Replace"], errs);
    let job = spec.field("jobTemplate").field("spec");
    job_spec(job, rules, errs);
    let selector = job.field("selector");
    if selector.exists() {
        errs.invalid(selector, shown_selector(selector), "`selector` will be auto-generated");
    }
    if job.field("manualSelector").bool() {
        errs.not_supported(job.field("manualSelector"), true, ["nil", "false"]);
    }
    not_negative(spec.field("successfulJobsHistoryLimit"), errs);
    not_negative(spec.field("failedJobsHistoryLimit"), errs);
}

/// upstream: validateTimeZone
fn time_zone(zone: Cursor<'_>, errs: &mut Errors) {
    let name = zone.str();
    if !zone.exists() {
        return;
    }
    if name.is_empty() {
        return errs.invalid(zone, "", "timeZone must be nil or non-empty string");
    }
    let well_formed = |part: &str| {
        (1..=14).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
    };
    let unknown = format!("unknown time zone {name}");
    if !name.split('/').all(well_formed) {
        return errs.invalid(zone, name, unknown);
    }
    if name.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errs.invalid(zone, name, why);
    }
    if !is_time_zone(name) {
        errs.invalid(zone, name, unknown);
    }
}
