//! Rate limits of a work queue: exponential backoff per key and a token bucket over all keys; the longer wait counts.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Key;

/// Exponential backoff per key.
pub struct ItemBackoff<K> {
    base: Duration,
    max: Duration,
    failures: HashMap<K, u32>,
}

impl<K: Key> ItemBackoff<K> {
    /// The first wait is `base`, every further one doubles, up to `max`.
    #[must_use]
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: HashMap::new() }
    }

    fn when(&mut self, key: &K) -> Duration {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let factor = 1u32.checked_shl(*failures).unwrap_or(u32::MAX);
        *failures += 1;
        self.base.checked_mul(factor).unwrap_or(self.max).min(self.max)
    }
}

/// A token bucket: `burst` tokens, refilled at `rate` per second. Callers wait; tokens may be owed.
#[derive(Debug)]
pub struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, tokens: burst, at: None }
    }

    fn refill(&mut self, now: Instant) {
        if let Some(at) = self.at {
            self.tokens = (self.tokens + now.saturating_duration_since(at).as_secs_f64() * self.rate).min(self.burst);
        }
        self.at = Some(now);
    }

    /// Takes one token and says how long to wait for it.
    pub fn reserve(&mut self, now: Instant) -> Duration {
        self.refill(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / self.rate) }
    }

    /// Takes one token if there is one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        self.refill(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return true;
        }
        false
    }
}

/// The limits of one queue.
pub struct RateLimit<K> {
    item: ItemBackoff<K>,
    bucket: Option<Bucket>,
}

impl<K: Key> RateLimit<K> {
    /// Backoff per key and, optionally, a bucket over all keys.
    #[must_use]
    pub fn new(item: ItemBackoff<K>, bucket: Option<Bucket>) -> Self {
        Self { item, bucket }
    }

    /// Backoff per key alone.
    #[must_use]
    pub fn exponential(base: Duration, max: Duration) -> Self {
        Self { item: ItemBackoff::new(base, max), bucket: None }
    }

    pub(super) fn when(&mut self, key: &K, now: Instant) -> Duration {
        let item = self.item.when(key);
        let bucket = self.bucket.as_mut().map_or(Duration::ZERO, |bucket| bucket.reserve(now));
        item.max(bucket)
    }

    pub(super) fn forget(&mut self, key: &K) {
        self.item.failures.remove(key);
    }

    pub(super) fn failures(&self, key: &K) -> u32 {
        self.item.failures.get(key).copied().unwrap_or(0)
    }
}

impl<K: Key> Default for RateLimit<K> {
    fn default() -> Self {
        Self {
            item: ItemBackoff::new(Duration::from_millis(5), Duration::from_secs(1000)),
            bucket: Some(Bucket::new(10.0, 100.0)),
        }
    }
}
