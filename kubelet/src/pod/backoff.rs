//! Delays that double from one failure to the next and are forgotten after a quiet time. Pure: `now` is an argument.
//!
//! upstream: staging/src/k8s.io/client-go/util/flowcontrol/backoff.go

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// Delays by key.
#[derive(Debug)]
pub struct Backoff {
    initial: SignedDuration,
    max: SignedDuration,
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: SignedDuration,
    updated_at: Timestamp,
}

impl Backoff {
    /// Delays of `initial`, doubled up to `max`.
    pub fn new(initial: SignedDuration, max: SignedDuration) -> Self {
        Self { initial, max, entries: HashMap::new() }
    }

    /// The delay in force for `key`; zero when there is none.
    pub fn get(&self, key: &str) -> SignedDuration {
        self.entries.get(key).map_or(SignedDuration::ZERO, |entry| entry.delay)
    }

    /// Notes one more failure of `key`, whose last event was at `event`.
    pub fn next(&mut self, key: &str, event: Timestamp, now: Timestamp) {
        let (initial, max) = (self.initial, self.max);
        let entry = self.entries.get(key).copied();
        let delay = match entry {
            Some(entry) if !expired(event, entry.updated_at, max) => (entry.delay * 2).min(max),
            _ => initial,
        };
        self.entries.insert(key.to_owned(), Entry { delay, updated_at: now });
    }

    /// True while `key` must wait, counted from `event` (such as the end of the container's last run).
    pub fn waits_since(&self, key: &str, event: Timestamp, now: Timestamp) -> bool {
        match self.entries.get(key) {
            Some(entry) if !expired(event, entry.updated_at, self.max) => now.duration_since(event) < entry.delay,
            _ => false,
        }
    }

    /// True while `key` must wait, counted from its last failure.
    pub fn waits_since_update(&self, key: &str, now: Timestamp) -> bool {
        match self.entries.get(key) {
            Some(entry) if !expired(now, entry.updated_at, self.max) => {
                now.duration_since(entry.updated_at) < entry.delay
            }
            _ => false,
        }
    }

    /// Forgets what has been quiet for long.
    pub fn collect(&mut self, now: Timestamp) {
        let max = self.max;
        self.entries.retain(|_, entry| now.duration_since(entry.updated_at) <= max * 2);
    }

    /// Forgets every key that starts with `prefix`.
    pub fn forget_prefix(&mut self, prefix: &str) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }
}

/// A delay is forgotten when twice the longest one has gone by since the last failure.
fn expired(event: Timestamp, updated_at: Timestamp, max: SignedDuration) -> bool {
    event.duration_since(updated_at) > max * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    #[test]
    fn doubles_to_the_limit_and_forgets_after_a_quiet_time() {
        let mut backoff = Backoff::new(SignedDuration::from_secs(10), SignedDuration::from_secs(300));
        assert!(!backoff.waits_since("k", at(0), at(0)));
        let mut seen = Vec::new();
        for step in 0..7 {
            backoff.next("k", at(step), at(step));
            seen.push(backoff.get("k").as_secs());
        }
        assert_eq!(seen, [10, 20, 40, 80, 160, 300, 300]);
        assert!(backoff.waits_since("k", at(10), at(309)));
        assert!(!backoff.waits_since("k", at(10), at(310)));
        backoff.next("k", at(1000), at(1000));
        assert_eq!(backoff.get("k").as_secs(), 10);
        backoff.collect(at(5000));
        assert_eq!(backoff.get("k").as_secs(), 0);
    }
}
