//! Pure: cron schedules as robfig/cron reads them: five fields, names, ranges, steps, and `@hourly` and its like.

use std::time::Duration;

use component_base::flags::parse_duration;
use jiff::civil::Time as Clock;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// A schedule without a date in this time has none.
const YEARS_MAX: i16 = 5;

/// Why a schedule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct ScheduleError(String);

/// When to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Schedule {
    Every(Duration),
    Fields(Box<Fields>),
}

/// Sets of minutes, hours, days, months and weekdays as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
    zone: TimeZone,
}

impl Schedule {
    pub(super) fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let (text, zone) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
            Some(rest) => rest.split_once(' ').map_or((rest, zone), |(name, rest)| (rest, Some(name))),
            None => (text, zone),
        };
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| ScheduleError(format!("unknown time zone {name}")))?,
        };
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(every) = text.strip_prefix("@every ") {
            let nanos = parse_duration(every)
                .map_err(|error| ScheduleError(format!("failed to parse duration {text}: {error}")))?;
            let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(0).max(1);
            return Ok(Self::Every(Duration::from_secs(seconds)));
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(ScheduleError(format!("expected exactly 5 fields, found {}: {text:?}", parts.len())));
        };
        let mut weekday_bits = field(weekdays, 0, 7, &DAYS, 0)?;
        // Sunday is 0 and 7.
        weekday_bits |= weekday_bits >> 7 & 1;
        let is_any = |text: &str| text.starts_with('*') || text.starts_with('?');
        Ok(Self::Fields(Box::new(Fields {
            minutes: field(minutes, 0, 59, &[], 0)?,
            hours: field(hours, 0, 23, &[], 0)?,
            days: field(days, 1, 31, &[], 0)?,
            months: field(months, 1, 12, &MONTHS, 1)?,
            weekdays: weekday_bits,
            any_day: is_any(days),
            any_weekday: is_any(weekdays),
            zone,
        })))
    }

    /// The first time after `after`; None if there is none within five years.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(period) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(SignedDuration::try_from(*period).ok()?).ok()
            }
            Self::Fields(fields) => fields.next(after),
        }
    }
}

fn field(text: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Result<u64, ScheduleError> {
    let mut bits = 0;
    for part in text.split(',') {
        bits |= range(part, min, max, names, first_name)?;
    }
    Ok(bits)
}

fn range(part: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Result<u64, ScheduleError> {
    let failed = |what: &str| ScheduleError(format!("failed to parse {part}: {what}"));
    let number = |text: &str| -> Result<u32, ScheduleError> {
        let lower = text.to_ascii_lowercase();
        if let Some(index) = names.iter().position(|name| *name == lower) {
            return Ok(u32::try_from(index).unwrap_or(0) + first_name);
        }
        text.parse().map_err(|_| failed("not a number"))
    };
    let (base, step) = part.split_once('/').map_or((part, None), |(base, step)| (base, Some(step)));
    let (low, high) = match base {
        "*" | "?" => (min, max),
        _ => match base.split_once('-') {
            Some((low, high)) => (number(low)?, number(high)?),
            None => {
                let low = number(base)?;
                (low, if step.is_some() { max } else { low })
            }
        },
    };
    let step: u32 = step.map_or(Ok(1), str::parse).map_err(|_| failed("not a number"))?;
    if low < min || high > max || low > high || step == 0 {
        return Err(failed("out of range"));
    }
    Ok((low..=high).step_by(usize::try_from(step).unwrap_or(1)).fold(0, |bits, value| bits | 1 << value))
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

impl Fields {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let start = after.to_zoned(self.zone.clone());
        let last_year = start.year() + YEARS_MAX;
        let mut day = start.date();
        let mut from = start.time();
        while day.year() <= last_year {
            if !has(self.months, day.month()) {
                day = day.first_of_month().checked_add(1.month()).ok()?;
                from = Clock::midnight();
                continue;
            }
            if self.has_day(day)
                && let Some(found) = self.in_day(day, from, after)
            {
                return Some(found);
            }
            day = day.tomorrow().ok()?;
            from = Clock::midnight();
        }
        None
    }

    fn has_day(&self, day: jiff::civil::Date) -> bool {
        let by_day = has(self.days, day.day());
        let by_weekday = has(self.weekdays, day.weekday().to_sunday_zero_offset());
        // If both are restricted, either is enough.
        if self.any_day || self.any_weekday { by_day && by_weekday } else { by_day || by_weekday }
    }

    fn in_day(&self, day: jiff::civil::Date, from: Clock, after: Timestamp) -> Option<Timestamp> {
        let hours = (from.hour()..24).filter(|hour| has(self.hours, *hour));
        for hour in hours {
            for minute in (0..60).filter(|minute| has(self.minutes, *minute)) {
                let zoned: Zoned = day.at(hour, minute, 0, 0).to_zoned(self.zone.clone()).ok()?;
                // A time that the clock skips in spring is not run late.
                if zoned.hour() == hour && zoned.minute() == minute && zoned.timestamp() > after {
                    return Some(zoned.timestamp());
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone: Option<&str>, after: &str) -> String {
        let after: Timestamp = after.parse().expect("time");
        let schedule = Schedule::parse(schedule, zone).expect("schedule");
        schedule.next(after).map_or_else(|| "never".to_owned(), |at| at.to_string())
    }

    #[test]
    fn schedules() {
        for (schedule, after, expected) in [
            ("*/5 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"),
            ("0 0 * * *", "2026-01-01T12:00:00Z", "2026-01-02T00:00:00Z"),
            ("30 6-16/4 * * 1-5", "2026-01-02T15:00:00Z", "2026-01-05T06:30:00Z"),
            ("0 0 13 * FRI", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("0 0 1 JAN *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
            ("@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"),
            ("@every 1h30m", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z"),
            ("59 23 31 2 *", "2026-01-01T00:00:00Z", "never"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, None, after), expected, "{schedule}");
        }
        for wrong in ["* * * *", "60 * * * *", "a * * * *", "*/0 * * * *", "5-1 * * * *"] {
            assert!(Schedule::parse(wrong, None).is_err(), "{wrong}");
        }
        assert!(Schedule::parse("* * * * *", Some("Nowhere/City")).is_err());
    }
}
