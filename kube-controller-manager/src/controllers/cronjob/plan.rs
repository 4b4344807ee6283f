//! Pure: which run of a CronJob is due (upstream: pkg/controller/cronjob/utils.go).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;

use super::schedule::Schedule;
use crate::api;

const MANY: i64 = 100;

/// What is due.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Due {
    /// The latest time that was not run yet.
    pub(super) at: Option<Timestamp>,
    /// So many were missed that something must be wrong.
    pub(super) missed_many: bool,
}

/// The latest time between the last run and now, within the starting deadline.
pub(super) fn due(job: &CronJob, schedule: &Schedule, now: Timestamp) -> Due {
    let last = job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
    let mut earliest = last.unwrap_or_else(|| api::created(&job.metadata));
    if let Some(seconds) = job.spec.starting_deadline_seconds {
        earliest = earliest.max(now - SignedDuration::from_secs(seconds));
    }
    let Some(first) = schedule.next(earliest).filter(|first| *first <= now) else { return Due::default() };
    let Some(second) = schedule.next(first).filter(|second| *second <= now) else {
        return Due { at: Some(first), missed_many: false };
    };
    let period = (second.as_second() - first.as_second()).max(1);
    let missed = (now.as_second() - first.as_second()) / period + 1;
    // Jumps close to now by the first period, so that a long outage costs few steps.
    let mut at = first + SignedDuration::from_secs((missed - 2).max(0) * period);
    let mut latest = None;
    while let Some(next) = schedule.next(at).filter(|next| *next <= now) {
        latest = Some(next);
        at = next;
    }
    Due { at: latest.or(Some(second)), missed_many: missed > MANY }
}

/// Name of the Job of one run.
pub(super) fn job_name(cron_job: &str, at: Timestamp) -> String {
    format!("{cron_job}-{}", at.as_second() / 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::batch::v1::CronJobStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn the_latest_missed_run_is_due() {
        let at = |text: &str| text.parse::<Timestamp>().expect("time");
        let schedule = Schedule::parse("0 * * * *", None).expect("schedule");
        let mut job = CronJob::default();
        job.metadata.creation_timestamp = Some(Time(at("2026-01-01T00:30:00Z")));
        assert_eq!(due(&job, &schedule, at("2026-01-01T00:59:00Z")), Due::default());
        assert_eq!(due(&job, &schedule, at("2026-01-01T01:00:01Z")).at, Some(at("2026-01-01T01:00:00Z")));
        assert_eq!(due(&job, &schedule, at("2026-01-01T05:10:00Z")).at, Some(at("2026-01-01T05:00:00Z")));
        let many = due(&job, &schedule, at("2026-01-09T05:10:00Z"));
        assert_eq!(many, Due { at: Some(at("2026-01-09T05:00:00Z")), missed_many: true });
        job.status = Some(CronJobStatus {
            last_schedule_time: Some(Time(at("2026-01-01T05:00:00Z"))),
            ..CronJobStatus::default()
        });
        assert_eq!(due(&job, &schedule, at("2026-01-01T05:10:00Z")), Due::default());
        job.spec.starting_deadline_seconds = Some(60);
        assert_eq!(due(&job, &schedule, at("2026-01-01T06:10:00Z")), Due::default());
        assert_eq!(job_name("x", at("2026-01-01T00:00:00Z")), "x-29453760");
    }
}
