//! The one place that reads the clock. Pure code takes `now` as an argument instead.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

/// Wall clock time now.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Wall clock time now as the API's `Time`: whole seconds.
#[must_use]
pub fn now_time() -> Time {
    Time(truncate_to_seconds(now()))
}

/// Wall clock time now as the API's `MicroTime`.
#[must_use]
pub fn now_micro() -> MicroTime {
    MicroTime(now())
}

/// Drops the part below one second, as metav1.Time does when it is written.
#[must_use]
pub fn truncate_to_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// `later - earlier`, zero if negative.
#[must_use]
pub fn since(later: Timestamp, earlier: Timestamp) -> Duration {
    let nanos = later.as_nanosecond() - earlier.as_nanosecond();
    u64::try_from(nanos).map_or(Duration::ZERO, Duration::from_nanos)
}

/// A source of time that tests can replace.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock made of a function, for tests.
    pub fn from_fn(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Reads the clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
