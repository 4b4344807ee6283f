//! Numbers over time: how long a ratio was in which bucket, and the moments of a demand. Pure.
//!
//! upstream: component-base/metrics/prometheusextension, apiserver/pkg/util/flowcontrol/fairqueuing/integrator.go

use std::time::Instant;

/// A histogram of a ratio, weighted by time: every nanosecond counts as one observation.
#[derive(Clone, Debug)]
pub struct Timed {
    bounds: &'static [f64],
    /// Nanoseconds per bucket; the last is for what is above all bounds.
    nanoseconds: Vec<u64>,
    sum: f64,
    value: usize,
    of: usize,
    since: Instant,
}

impl Timed {
    /// A ratio that is 0 from now on; `bounds` are the upper ends of the buckets.
    pub fn new(bounds: &'static [f64], now: Instant) -> Self {
        Self { bounds, nanoseconds: vec![0; bounds.len() + 1], sum: 0.0, value: 0, of: 1, since: now }
    }

    /// The number that is related to a limit.
    pub fn value(&self) -> usize {
        self.value
    }

    /// From now on it is another number.
    pub fn set(&mut self, value: usize, now: Instant) {
        self.advance(now);
        self.value = value;
    }

    /// From now on it is greater.
    pub fn add(&mut self, more: usize, now: Instant) {
        self.set(self.value + more, now);
    }

    /// From now on it is less.
    pub fn sub(&mut self, less: usize, now: Instant) {
        self.set(self.value.saturating_sub(less), now);
    }

    /// From now on it is related to another limit; 0 counts as 1.
    pub fn relate_to(&mut self, of: usize, now: Instant) {
        self.advance(now);
        self.of = of.max(1);
    }

    /// Counts the time until now.
    pub fn advance(&mut self, now: Instant) {
        let nanoseconds = u64::try_from(now.saturating_duration_since(self.since).as_nanos()).unwrap_or(u64::MAX);
        let ratio = self.value as f64 / self.of as f64;
        let bucket = self.bounds.partition_point(|bound| *bound < ratio);
        self.nanoseconds[bucket] += nanoseconds;
        self.sum += ratio * nanoseconds as f64;
        self.since = self.since.max(now);
    }

    /// Upper ends of buckets with all the nanoseconds up to there, all nanoseconds, and the integral.
    pub fn cumulated(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut total = 0;
        let mut up_to = |count: &u64| {
            total += *count;
            total
        };
        let buckets = self.bounds.iter().copied().zip(self.nanoseconds.iter().map(&mut up_to)).collect();
        (buckets, self.nanoseconds.iter().sum(), self.sum)
    }
}

/// The moments of a number over a span of time.
#[derive(Clone, Debug)]
pub struct Integrator {
    value: usize,
    highest: usize,
    since: Instant,
    seconds: f64,
    integral: f64,
    integral_of_squares: f64,
}

/// What was seen of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Its highest value.
    pub highest: usize,
    /// Its average and standard deviation; none if no time went by.
    pub moments: Option<(f64, f64)>,
}

impl Integrator {
    /// A number that is 0 from now on.
    pub fn new(now: Instant) -> Self {
        Self { value: 0, highest: 0, since: now, seconds: 0.0, integral: 0.0, integral_of_squares: 0.0 }
    }

    /// From now on it is another number.
    pub fn set(&mut self, value: usize, now: Instant) {
        self.advance(now);
        self.value = value;
        self.highest = self.highest.max(value);
    }

    fn advance(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        let value = self.value as f64;
        self.since = self.since.max(now);
        self.seconds += seconds;
        self.integral += value * seconds;
        self.integral_of_squares += value * value * seconds;
    }

    /// What was seen until now; a new span begins.
    pub fn take(&mut self, now: Instant) -> Seen {
        self.advance(now);
        let moments = (self.seconds > 0.0).then(|| {
            let average = self.integral / self.seconds;
            let variance = self.integral_of_squares / self.seconds - average * average;
            (average, variance.max(0.0).sqrt())
        });
        let seen = Seen { highest: self.highest, moments };
        *self = Self { value: self.value, highest: self.value, ..Self::new(self.since) };
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_is_counted_in_the_bucket_of_the_ratio() {
        let start = Instant::now();
        let at = |nanoseconds| start + Duration::from_nanos(nanoseconds);
        let mut timed = Timed::new(&[0.0, 0.5, 1.0], start);
        timed.relate_to(4, start);
        timed.set(2, at(10));
        timed.set(8, at(15));
        timed.advance(at(16));
        assert_eq!(timed.cumulated(), (vec![(0.0, 10), (0.5, 15), (1.0, 15)], 16, 0.5 * 5.0 + 2.0));
    }

    #[test]
    fn moments_are_weighted_by_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut integrator = Integrator::new(start);
        integrator.set(4, at(1));
        integrator.set(1, at(2));
        let seen = integrator.take(at(2));
        assert_eq!((seen.highest, seen.moments), (4, Some((2.0, 2.0))));
        let seen = integrator.take(at(2));
        assert_eq!(seen, Seen { highest: 1, moments: None });
    }
}
