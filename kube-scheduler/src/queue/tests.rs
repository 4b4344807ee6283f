//! Tests of the queue: order, backoff, hints, gates, events in flight.

use super::*;
use crate::config::{KubeSchedulerConfiguration, build_profiles};
use crate::testing::{FixedListers, handle, node, pod};

fn queue() -> SchedulingQueue {
    let profiles = build_profiles(&KubeSchedulerConfiguration::default(), &handle(FixedListers::default())).unwrap();
    SchedulingQueue::new(Arc::new(profiles), QueueTimes::default())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn fail(queue: &mut SchedulingQueue, mut queued: QueuedPod, plugins: &[&'static str], now: Timestamp) {
    queued.rejectors = plugins.iter().copied().collect();
    queue.requeue_failed(queued, now);
}

fn add(queue: &mut SchedulingQueue, text: &str, now: Timestamp) -> Arc<Pod> {
    let pod = Arc::new(pod(text));
    queue.add(&pod, now);
    pod
}

fn node_added() -> (ClusterEvent, Change) {
    let change = Change::Node { old: None, new: Some(Arc::new(node("n: {}"))) };
    (ClusterEvent::new(EventResource::Node, ActionType::ADD), change)
}

fn name(popped: Option<QueuedPod>) -> Option<String> {
    popped.map(|q| q.pod.name().to_owned())
}

#[test]
fn higher_priority_goes_first_then_the_older() {
    let mut queue = queue();
    add(&mut queue, "name: old", at(0));
    add(&mut queue, "name: new", at(1));
    add(&mut queue, "name: important\npriority: 10", at(2));
    let order: Vec<_> = std::iter::from_fn(|| name(queue.pop(at(3)))).collect();
    assert_eq!(order, ["important", "old", "new"]);
}

#[test]
fn a_rejected_pod_waits_for_a_helpful_event_and_its_backoff() {
    let mut queue = queue();
    add(&mut queue, "name: p\nrequests: {cpu: '1'}", at(0));
    let first = queue.pop(at(0)).unwrap();
    fail(&mut queue, first, &["NodeResourcesFit"], at(0));
    assert_eq!(queue.size(), QueueSize { unschedulable: 1, ..QueueSize::default() });
    assert!(queue.pop(at(9)).is_none());
    // A pod without a place going away frees nothing.
    let gone = Change::Pod { old: Some(Arc::new(pod("name: other"))), new: None };
    let deleted = ClusterEvent::new(EventResource::UnscheduledPod, ActionType::DELETE);
    queue.cluster_changed(deleted, &gone, at(9), |_| true);
    assert_eq!(queue.size().unschedulable, 1);
    let (event, change) = node_added();
    queue.cluster_changed(event, &change, at(9), |_| true);
    assert_eq!(queue.size(), QueueSize { active: 1, ..QueueSize::default() });
    // The next failure backs off two seconds from its time.
    let second = queue.pop(at(9)).unwrap();
    assert_eq!(second.attempts, 2);
    fail(&mut queue, second, &["NodeResourcesFit"], at(10));
    queue.cluster_changed(event, &change, at(11), |_| true);
    assert_eq!(queue.size(), QueueSize { backoff: 1, ..QueueSize::default() });
}

#[test]
fn errors_back_off_and_are_not_popped_early() {
    let mut queue = queue();
    add(&mut queue, "name: p", at(0));
    let queued = queue.pop(at(0)).unwrap();
    fail(&mut queue, queued, &[], at(0));
    assert_eq!(queue.size().backoff, 1);
    assert_eq!(queue.next_wake(), Some(at(1)));
    assert!(queue.pop(at(0)).is_none());
    assert_eq!(name(queue.pop(at(1))), Some("p".into()));
}

#[test]
fn an_event_during_the_attempt_is_not_missed() {
    let mut queue = queue();
    add(&mut queue, "name: p\nrequests: {cpu: '1'}", at(0));
    let queued = queue.pop(at(0)).unwrap();
    let (event, change) = node_added();
    queue.cluster_changed(event, &change, at(0), |_| true);
    assert_eq!(queue.in_flight_events(), 1);
    fail(&mut queue, queued, &["NodeResourcesFit"], at(0));
    assert_eq!((queue.size().backoff, queue.in_flight_events()), (1, 0));
}

#[test]
fn gates_open_by_update() {
    let mut queue = queue();
    let gated = add(&mut queue, "name: p\nschedulingGates: [{name: g}]", at(0));
    assert_eq!(queue.size(), QueueSize { gated: 1, ..QueueSize::default() });
    let (event, change) = node_added();
    queue.cluster_changed(event, &change, at(1), |_| true);
    queue.flush_unschedulable(at(1000));
    assert_eq!(queue.size().gated, 1);
    queue.update(&gated, &Arc::new(pod("name: p")), at(1001));
    assert_eq!(name(queue.pop(at(1001))), Some("p".into()));
}

#[test]
fn waiting_pods_are_retried_after_five_minutes() {
    let mut queue = queue();
    add(&mut queue, "name: p", at(0));
    let queued = queue.pop(at(0)).unwrap();
    fail(&mut queue, queued, &["NodeAffinity"], at(0));
    queue.flush_unschedulable(at(300));
    assert_eq!(queue.size().unschedulable, 1);
    queue.flush_unschedulable(at(301));
    assert_eq!(queue.size().active, 1);
}

#[test]
fn nominations_known_only_here_survive_updates() {
    let mut queue = queue();
    let p = add(&mut queue, "name: p", at(0));
    queue.nominator().add(&p, Nominate::Node("n".into()));
    let newer = Arc::new(pod("name: p\nlabels: {a: b}"));
    queue.update(&p, &newer, at(1));
    assert_eq!(queue.nominator().snapshot().on("n").len(), 1);
    queue.delete(&newer);
    assert!(queue.nominator().snapshot().on("n").is_empty());
}
