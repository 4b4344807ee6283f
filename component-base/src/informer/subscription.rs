//! A stream of changes for one consumer, merged per object while the consumer is busy.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Event, Object, ObjectKey, Reader};

struct Pending<K> {
    /// What the consumer last saw.
    old: Option<Arc<K>>,
    /// What there is now.
    new: Option<Arc<K>>,
}

struct Waiting<K> {
    order: VecDeque<ObjectKey>,
    changes: HashMap<ObjectKey, Pending<K>>,
    /// The second half of a change that is a deletion and a creation.
    next: Option<Event<K>>,
}

struct Shared<K> {
    waiting: Mutex<Waiting<K>>,
    wake: Notify,
}

/// See [`Reader::events`].
pub struct Subscription<K> {
    shared: Arc<Shared<K>>,
}

impl<K: Object> Subscription<K> {
    pub(super) fn new(reader: &Reader<K>) -> Self {
        let waiting = Waiting { order: VecDeque::new(), changes: HashMap::new(), next: None };
        let shared = Arc::new(Shared { waiting: Mutex::new(waiting), wake: Notify::new() });
        let weak: Weak<Shared<K>> = Arc::downgrade(&shared);
        reader.on_event_while(move |event| weak.upgrade().is_some_and(|shared| shared.push(event)));
        Self { shared }
    }

    /// The next change. Never ends; the Option is for symmetry with streams.
    pub async fn next(&mut self) -> Option<Event<K>> {
        loop {
            let shared = Arc::clone(&self.shared);
            let notified = shared.wake.notified();
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            notified.await;
        }
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Option<Event<K>> {
        self.shared.waiting.lock().pop()
    }
}

impl<K: Object> Shared<K> {
    fn push(&self, event: &Event<K>) -> bool {
        self.waiting.lock().merge(event);
        self.wake.notify_one();
        true
    }
}

impl<K: Object> Waiting<K> {
    fn merge(&mut self, event: &Event<K>) {
        let key = ObjectKey::of(&**event.object());
        if let Some(pending) = self.changes.get_mut(&key) {
            pending.new = event.new_state().cloned();
            return;
        }
        self.order.push_back(key.clone());
        self.changes.insert(key, Pending { old: event.old().cloned(), new: event.new_state().cloned() });
    }

    fn pop(&mut self) -> Option<Event<K>> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        while let Some(key) = self.order.pop_front() {
            let Some(pending) = self.changes.remove(&key) else { continue };
            match (pending.old, pending.new) {
                (None, None) => {}
                (None, Some(new)) => return Some(Event::Added(new)),
                (Some(old), None) => return Some(Event::Deleted(old)),
                (Some(old), Some(new)) if old.uid() != new.uid() => {
                    self.next = Some(Event::Added(new));
                    return Some(Event::Deleted(old));
                }
                (Some(old), Some(new)) => return Some(Event::Updated { old, new }),
            }
        }
        None
    }
}
