//! Runs controllers: a queue and workers each, backoff, metrics, health, and the wait for their own writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use component_base::informer::Object;
use component_base::{Chain, ObjectKey, Queue, Reader};
use tracing::{debug, error, info};

use crate::context::Context;
use crate::writes::Writes;

/// How soon to look again whether the informers show a controller's own writes.
const SEEN_POLL: Duration = Duration::from_millis(10);

/// Work queue of a controller.
pub(crate) type Keys = Queue<ObjectKey>;

/// When a key wants to be reconciled without a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// When something changes.
    OnChange,
    /// After this time, or when something changes.
    After(Duration),
}

/// Why a reconciliation failed. It is tried again with backoff.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The API server refused or did not answer.
    #[error("{doing}")]
    Api {
        /// What was being done.
        doing: String,
        /// The answer.
        #[source]
        source: kube::Error,
    },
    /// Something in the object cannot be worked with.
    #[error("{0}")]
    Invalid(String),
}

impl ReconcileError {
    /// The object was changed or deleted by somebody else meanwhile; the next try works on the new state.
    pub(crate) fn is_overtaken(&self) -> bool {
        use component_base::client::{is_conflict, is_not_found};
        matches!(self, Self::Api { source, .. } if is_conflict(source) || is_not_found(source))
    }
}

/// Puts what was being done around an API error.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ReconcileError>;
}

impl<T> Doing<T> for Result<T, kube::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ReconcileError> {
        self.map_err(|source| ReconcileError::Api { doing: what(), source })
    }
}

/// A control loop over keys. Reconcile never learns what changed: it compares what should be with what is.
#[async_trait]
pub(crate) trait Controller: Send + Sync + 'static {
    /// Name as in `--controllers`.
    const NAME: &'static str;

    /// Registers which changes put which keys into the queue.
    fn watches(&self, queue: &Keys);

    /// The controller's memory of its writes, if it waits for them.
    fn writes(&self) -> Option<&Writes> {
        None
    }

    /// Makes the world match the object behind the key.
    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError>;
}

/// Starts a controller. Returns at once; the controller runs until the context's shutdown.
pub(crate) fn start<C: Controller>(controller: C, context: &Context, workers: i64) {
    let controller = Arc::new(controller);
    let queue: Keys = Queue::new(C::NAME);
    controller.watches(&queue);
    let synced = Arc::new(AtomicBool::new(false));
    let is_synced = Arc::clone(&synced);
    context.health.add_ready(C::NAME, move || {
        if is_synced.load(Ordering::Relaxed) { Ok(()) } else { Err("informers are not synced".to_owned()) }
    });
    let workers = usize::try_from(workers).unwrap_or(1).max(1);
    let (informers, stop) = (context.informers.clone(), context.stop.clone());
    component_base::task::spawn(C::NAME, async move {
        tokio::select! {
            () = stop.wait() => return,
            () = informers.synced() => {}
        }
        synced.store(true, Ordering::Relaxed);
        info!(controller = C::NAME, workers, "Started controller");
        for _ in 0..workers {
            component_base::task::spawn(C::NAME, work(Arc::clone(&controller), queue.clone()));
        }
        stop.wait().await;
        queue.shut_down();
    });
}

async fn work<C: Controller>(controller: Arc<C>, queue: Keys) {
    while let Some(key) = queue.get().await {
        if controller.writes().is_some_and(|writes| !writes.are_seen(&key)) {
            queue.add_after(key.clone(), SEEN_POLL);
        } else {
            one::<C>(&controller, &queue, &key).await;
        }
        queue.done(&key);
    }
}

async fn one<C: Controller>(controller: &C, queue: &Keys, key: &ObjectKey) {
    // A panic in one key must not end the worker.
    let attempt = std::panic::AssertUnwindSafe(controller.reconcile(key));
    match futures::FutureExt::catch_unwind(attempt).await {
        Ok(Ok(next)) => {
            queue.forget(key);
            if let Next::After(delay) = next {
                queue.add_after(key.clone(), delay);
            }
        }
        Ok(Err(error)) => {
            if error.is_overtaken() {
                debug!(controller = C::NAME, key = %key, err = %Chain(&error), "Object was changed meanwhile");
            } else {
                error!(controller = C::NAME, key = %key, err = %Chain(&error), "Failed to reconcile");
            }
            queue.add_rate_limited(key.clone());
        }
        Err(_) => {
            error!(controller = C::NAME, key = %key, "Reconciliation panicked");
            queue.add_rate_limited(key.clone());
        }
    }
}

/// Queues the key of every object that changes.
pub(crate) fn on_change<K: Object>(reader: &Reader<K>, queue: &Keys) {
    let queue = queue.clone();
    reader.on_event(move |event| queue.add(ObjectKey::of(&**event.object())));
}

/// Queues the controller (of the given kind) of every object that changes, the old one and the new one.
pub(crate) fn on_owned_change<K: Object>(reader: &Reader<K>, owner_kind: &'static str, queue: &Keys) {
    let queue = queue.clone();
    reader.on_event(move |event| {
        for object in [event.old(), event.new_state()].into_iter().flatten() {
            if let Some(owner) = crate::api::controller_of(object.meta()).filter(|owner| owner.kind == owner_kind) {
                queue.add(ObjectKey::new(object.namespace(), &owner.name));
            }
        }
    });
}
