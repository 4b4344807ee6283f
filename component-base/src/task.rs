//! Named tasks: every spawned task has a name, and its panic is logged under it.

use std::future::Future;

use futures::FutureExt as _;
use tokio::task::JoinHandle;
use tracing::error;

/// Spawns a task under a name. A panic is logged and ends only this task.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let guarded = async move {
        if let Err(panic) = std::panic::AssertUnwindSafe(future).catch_unwind().await {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panic without a message".to_owned());
            error!(task = name, err = text, "Task panicked");
        }
    };
    tokio::spawn(guarded)
}
