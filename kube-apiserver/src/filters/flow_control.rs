//! Bounds the number of requests in flight: so many that read, so many that write.
//!
//! Long-running requests and members of `system:masters` are exempt. A request that finds no place waits in
//! a bounded queue for a bounded time, then gets a 429. Fair queues by FlowSchema are not implemented; the
//! configuration objects exist.
//! upstream: staging/src/k8s.io/apiserver/pkg/server/filters/maxinflight.go

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apimachinery::status::ApiError;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::authentication::user::MASTERS;
use crate::request::{RequestInfo, UserInfo};

/// A request waits this long for a place.
const MAX_WAIT: Duration = Duration::from_secs(15);
/// Requests waiting at most, per kind.
const MAX_QUEUE: usize = 1600;

/// The two pools of places.
#[derive(Debug)]
pub struct FlowControl {
    reading: Option<Pool>,
    mutating: Option<Pool>,
}

#[derive(Debug)]
struct Pool {
    places: Semaphore,
    waiting: AtomicUsize,
}

impl FlowControl {
    /// Limits of `--max-requests-inflight` and `--max-mutating-requests-inflight`; 0 is unlimited.
    pub fn new(reading: usize, mutating: usize) -> Self {
        let pool = |n: usize| (n > 0).then(|| Pool { places: Semaphore::new(n), waiting: AtomicUsize::new(0) });
        Self { reading: pool(reading), mutating: pool(mutating) }
    }

    /// Waits for a place; the permit gives it back when dropped. `Ok(None)`: exempt.
    ///
    /// # Errors
    /// 429 if the queue is full or the wait too long.
    pub async fn enter(&self, user: &UserInfo, info: &RequestInfo) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        if info.is_long_running() || user.in_group(MASTERS) {
            return Ok(None);
        }
        let reads = matches!(info.verb.as_str(), "get" | "list" | "watch" | "head" | "options");
        let Some(pool) = (if reads { &self.reading } else { &self.mutating }) else { return Ok(None) };
        if let Ok(permit) = pool.places.try_acquire() {
            return Ok(Some(permit));
        }
        pool.wait().await.map(Some)
    }
}

impl Pool {
    async fn wait(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_QUEUE {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many());
        }
        let acquired = tokio::time::timeout(MAX_WAIT, self.places.acquire()).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        match acquired {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(too_many()),
        }
    }
}

fn too_many() -> ApiError {
    ApiError::too_many_requests("Too many requests, please try again later.", 1)
}
