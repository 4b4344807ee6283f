//! Watch events into cache and queue. Handlers run inside the watch tasks and never wait.
//! upstream: pkg/scheduler/eventhandlers.go

use std::sync::Arc;

use component_base::informer::{Event, Object, Reader};

use crate::cycle::Scheduler;
use crate::framework::{ActionType, Change, ClusterEvent, EventResource, node_events, pod_events};
use crate::model::{Node, Pod};

/// Subscribes the scheduler to nodes and pods. What the stores hold already is delivered first.
pub fn subscribe(scheduler: &Arc<Scheduler>, nodes: &Reader<Node>, pods: &Reader<Pod>) {
    let to = Arc::clone(scheduler);
    nodes.on_event(move |event| match event {
        Event::Added(node) => to.node_set(None, node),
        Event::Updated { old, new } => to.node_set(Some(old), new),
        Event::Deleted(node) => to.node_gone(node),
    });
    let to = Arc::clone(scheduler);
    pods.on_event(move |event| match event {
        Event::Added(pod) => to.pod_added(pod),
        Event::Updated { old, new } if old.uid != new.uid => {
            to.pod_gone(old);
            to.pod_added(new);
        }
        Event::Updated { old, new } => to.pod_changed(old, new),
        Event::Deleted(pod) => to.pod_gone(pod),
    });
}

/// Subscribes the scheduler to a kind of which only the fact of a change matters to pods.
pub fn subscribe_other<K: Object>(scheduler: &Arc<Scheduler>, reader: &Reader<K>, resource: EventResource) {
    let to = Arc::clone(scheduler);
    reader.on_event(move |event| {
        let action = match event {
            Event::Added(_) => ActionType::ADD,
            Event::Updated { .. } => ActionType::UPDATE_OTHER,
            Event::Deleted(_) => ActionType::DELETE,
        };
        to.changed(ClusterEvent::new(resource, action), &Change::Other);
    });
}

impl Scheduler {
    fn changed(&self, event: ClusterEvent, change: &Change) {
        self.changed_for(event, change, |_| true);
    }

    fn changed_for(&self, event: ClusterEvent, change: &Change, only: impl Fn(&Pod) -> bool) {
        let started = component_base::clock::now();
        self.with_queue(|queue, now| queue.cluster_changed(event, change, now, only));
        let took = component_base::clock::since(component_base::clock::now(), started);
        let label = event.to_string();
        crate::metrics::get().event_handling_duration.with_label_values(&[label.as_str()]).observe(took.as_secs_f64());
    }

    fn node_set(&self, old: Option<&Arc<Node>>, new: &Arc<Node>) {
        self.cache.lock().set_node(new);
        let change = Change::Node { old: old.cloned(), new: Some(Arc::clone(new)) };
        let events = old
            .map_or_else(|| vec![ClusterEvent::new(EventResource::Node, ActionType::ADD)], |old| node_events(new, old));
        for event in events {
            self.changed(event, &change);
        }
    }

    fn node_gone(&self, node: &Arc<Node>) {
        let change = Change::Node { old: Some(Arc::clone(node)), new: None };
        self.changed(ClusterEvent::new(EventResource::Node, ActionType::DELETE), &change);
        self.cache.lock().remove_node(&node.name);
    }

    fn responsible(&self, pod: &Pod) -> bool {
        self.profile(&pod.scheduler_name).is_some()
    }

    fn pod_added(&self, pod: &Arc<Pod>) {
        if pod.is_assigned() {
            self.assigned(pod);
        } else if self.responsible(pod) && !self.cache.lock().is_assumed(&pod.uid) {
            self.with_queue(|queue, now| queue.add(pod, now));
        }
    }

    fn assigned(&self, pod: &Arc<Pod>) {
        self.cache.lock().set_pod(pod);
        let change = Change::Pod { old: None, new: Some(Arc::clone(pod)) };
        self.changed(ClusterEvent::new(EventResource::AssignedPod, ActionType::ADD), &change);
    }

    fn pod_changed(&self, old: &Arc<Pod>, new: &Arc<Pod>) {
        if old.is_assigned() {
            self.cache.lock().set_pod(new);
            let change = Change::Pod { old: Some(Arc::clone(old)), new: Some(Arc::clone(new)) };
            for event in pod_events(new, old) {
                self.changed(event, &change);
            }
        } else if new.is_assigned() {
            self.assigned(new);
            if self.responsible(old) {
                self.with_queue(|queue, _| queue.delete(old));
            }
        } else if self.responsible(old) {
            self.unassigned_changed(old, new);
        }
    }

    fn unassigned_changed(&self, old: &Arc<Pod>, new: &Arc<Pod>) {
        if self.cache.lock().is_assumed(&new.uid) {
            if new.is_deleting() && !old.is_deleting() {
                self.freed(old);
            }
            return;
        }
        self.with_queue(|queue, now| queue.update(old, new, now));
        if !old.nominated_node.is_empty() && old.nominated_node != new.nominated_node {
            self.nomination_over(old);
        }
    }

    fn pod_gone(&self, pod: &Arc<Pod>) {
        if pod.is_assigned() {
            self.cache.lock().remove_pod(&pod.uid);
            self.freed(pod);
            return;
        }
        if !self.responsible(pod) {
            return;
        }
        self.with_queue(|queue, _| queue.delete(pod));
        if self.cache.lock().forget(&pod.uid) {
            self.freed(pod);
        } else if !pod.nominated_node.is_empty() {
            self.nomination_over(pod);
        }
    }

    /// A pod on a node is gone: pods that wait for room may fit.
    fn freed(&self, pod: &Arc<Pod>) {
        let change = Change::Pod { old: Some(Arc::clone(pod)), new: None };
        self.changed(ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE), &change);
    }

    /// A nominated pod no longer holds room: pods of no higher priority may fit.
    fn nomination_over(&self, pod: &Arc<Pod>) {
        let change = Change::Pod { old: Some(Arc::clone(pod)), new: None };
        let event = ClusterEvent::new(EventResource::AssignedPod, ActionType::DELETE);
        self.changed_for(event, &change, |other| other.priority <= pod.priority);
    }
}
