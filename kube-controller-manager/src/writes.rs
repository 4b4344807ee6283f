//! A controller's memory of its own writes: it acts on a key again only when its informers show what it did.
//!
//! Upstream does the same with expectations and, since 1.36, with resource versions (KEP-5647).

use std::collections::HashMap;
use std::time::Duration;

use component_base::informer::Object;
use component_base::{ObjectKey, Reader};
use parking_lot::Mutex;
use tokio::time::Instant;

/// An informer that is this far behind is not waited for: something else is wrong, and the server refuses stale writes.
const WAIT_MAX: Duration = Duration::from_secs(300);

type IsSeen = Box<dyn Fn() -> bool + Send + Sync>;

struct Pending {
    is_seen: IsSeen,
    until: Instant,
}

/// Writes not yet seen, by the key whose reconciliation made them.
#[derive(Default)]
pub(crate) struct Writes {
    pending: Mutex<HashMap<ObjectKey, Vec<Pending>>>,
}

impl Writes {
    /// An object was created or changed; `written` is the server's answer.
    pub(crate) fn wrote<K: Object>(&self, key: &ObjectKey, reader: &Reader<K>, written: &K) {
        let version = written.resource_version().to_owned();
        if reader.has_seen(&version) {
            return;
        }
        let reader = reader.clone();
        self.push(key, Box::new(move || reader.has_seen(&version)));
    }

    /// An object was deleted, or its deletion has begun.
    pub(crate) fn deleted<K: Object>(&self, key: &ObjectKey, reader: &Reader<K>, deleted: &K) {
        let (reader, at, uid) = (reader.clone(), ObjectKey::of(deleted), deleted.uid().to_owned());
        let gone = move || reader.get_key(&at).is_none_or(|object| object.uid() != uid || object.is_deleting());
        if !gone() {
            self.push(key, Box::new(gone));
        }
    }

    fn push(&self, key: &ObjectKey, is_seen: IsSeen) {
        let pending = Pending { is_seen, until: Instant::now() + WAIT_MAX };
        self.pending.lock().entry(key.clone()).or_default().push(pending);
    }

    /// Whether everything written for the key has been seen.
    pub(crate) fn are_seen(&self, key: &ObjectKey) -> bool {
        let mut all = self.pending.lock();
        let Some(pending) = all.get_mut(key) else { return true };
        let now = Instant::now();
        pending.retain(|write| write.until > now && !(write.is_seen)());
        let seen = pending.is_empty();
        if seen {
            all.remove(key);
        }
        seen
    }
}
