//! Events about objects: what happened, said once, merged when it repeats.
//!
//! Recording never waits: events go through a bounded queue and are dropped when it is full.
//! Upstream: client-go/tools/record and client-go/tools/events.

mod correlate;
mod send;

use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::mpsc;

use crate::informer::Object;

/// Events that wait to be sent; upstream's broadcaster holds as many.
const QUEUE_SIZE: usize = 1000;

/// Severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// Nothing to worry about.
    Normal,
    /// Something may be wrong.
    Warning,
}

impl EventType {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Records events of one component. Clones share the queue. Must be made inside a tokio runtime.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Record>,
}

/// One thing that happened.
#[derive(Debug, Clone)]
struct Record {
    regarding: ObjectReference,
    related: Option<ObjectReference>,
    event_type: EventType,
    reason: String,
    action: String,
    message: String,
}

/// Who reports.
#[derive(Debug, Clone)]
struct Reporter {
    component: String,
    /// Host (core/v1) or instance (events.k8s.io).
    instance: String,
}

impl Recorder {
    /// A recorder of core/v1 Events (the API of controllers, kubelet and proxy) for a component on an optional host.
    #[must_use]
    pub fn core(client: kube::Client, component: &str, host: &str) -> Self {
        let (queue, records) = mpsc::channel(QUEUE_SIZE);
        let reporter = Reporter { component: component.to_owned(), instance: host.to_owned() };
        crate::task::spawn("events", send::core(client, reporter, records));
        Self { queue }
    }

    /// A recorder of events.k8s.io/v1 Events (the API of the scheduler): the controller's name and its instance.
    #[must_use]
    pub fn events_v1(client: kube::Client, controller: &str, instance: &str) -> Self {
        let (queue, records) = mpsc::channel(QUEUE_SIZE);
        let reporter = Reporter { component: controller.to_owned(), instance: instance.to_owned() };
        crate::task::spawn("events", send::events_v1(client, reporter, records));
        Self { queue }
    }

    /// A recorder that drops everything, for tests.
    #[must_use]
    pub fn discard() -> Self {
        Self { queue: mpsc::channel(1).0 }
    }

    /// Records an event about an object.
    pub fn event(&self, regarding: ObjectReference, event_type: EventType, reason: &str, message: impl Into<String>) {
        self.eventf(regarding, None, event_type, reason, "", message);
    }

    /// Records an event with an action and a related object (events.k8s.io).
    pub fn eventf(
        &self,
        regarding: ObjectReference,
        related: Option<ObjectReference>,
        event_type: EventType,
        reason: &str,
        action: &str,
        message: impl Into<String>,
    ) {
        let record = Record {
            regarding,
            related,
            event_type,
            reason: reason.into(),
            action: action.into(),
            message: message.into(),
        };
        if self.queue.try_send(record).is_err() {
            tracing::debug!("Event queue is full or closed, event dropped");
        }
    }
}

/// A reference to an object of a known kind.
#[must_use]
pub fn reference<K>(object: &K) -> ObjectReference
where
    K: Object + k8s_openapi::Resource,
{
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}
