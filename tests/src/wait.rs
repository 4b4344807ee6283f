//! Waiting for a condition with a deadline. Tests never sleep for luck.

use std::future::Future;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Repeats `condition` until it is `Ok` and returns its value.
///
/// # Errors
/// After `limit` the last error of the condition is returned, with `what` said in front of it.
pub async fn eventually<T, F>(limit: Duration, what: &str, mut condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + limit;
    loop {
        match condition().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("after {limit:?}: {what}")));
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}
