//! The client's own rate limit (upstream: client-go/util/flowcontrol).

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::queue::Bucket;

/// A token bucket that requests wait for.
#[derive(Debug)]
pub struct Limiter {
    bucket: Mutex<Bucket>,
}

impl Limiter {
    /// `qps` requests per second, `burst` of them at once.
    #[must_use]
    pub fn new(qps: f64, burst: f64) -> Self {
        Self { bucket: Mutex::new(Bucket::new(qps, burst)) }
    }

    /// Waits for a turn.
    pub async fn wait(&self) {
        let delay = self.bucket.lock().reserve(Instant::now());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}
