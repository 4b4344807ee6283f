//! Services as the endpoint controllers see them: which pods belong to which, ports, and when a change began.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use component_base::informer::{Event, Object as _};
use component_base::{ObjectKey, Reader};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use parking_lot::Mutex;

use crate::runner::Keys;
use crate::{pods, selector};

pub(crate) const LAST_CHANGE_TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// Whether the pod has an address to offer.
pub(crate) fn may_be_endpoint(pod: &Pod, include_terminating: bool) -> bool {
    let status = pod.status.as_ref();
    let has_address = status.is_some_and(|status| {
        status.pod_ip.as_deref().is_some_and(|ip| !ip.is_empty())
            || status.pod_ips.as_ref().is_some_and(|ips| !ips.is_empty())
    });
    !pods::is_terminal(pod) && has_address && (include_terminating || !pod.is_deleting())
}

/// The pod's hostname, if the Service is its subdomain.
pub(crate) fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let host = spec.hostname.clone().filter(|host| !host.is_empty())?;
    (spec.subdomain.as_deref() == Some(service.name()) && service.namespace() == pod.namespace()).then_some(host)
}

/// Addresses of the pod of one family, in canonical form.
pub(crate) fn addresses(pod: &Pod, ipv6: bool) -> Vec<String> {
    let ips = pod.status.as_ref().and_then(|status| status.pod_ips.as_ref());
    let parsed = ips.into_iter().flatten().filter_map(|ip| ip.ip.parse::<IpAddr>().ok());
    parsed.filter(|ip| ip.is_ipv6() == ipv6).map(|ip| ip.to_string()).collect()
}

/// The number of the pod's port that a Service's port leads to.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match port.target_port.as_ref() {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars =
        spec.init_containers.iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let protocol = |text: Option<&String>| text.map_or("TCP", String::as_str).to_owned();
    let find = |container: &Container| {
        let ports = container.ports.iter().flatten();
        let mut matching = ports.filter(|known| {
            known.name.as_ref() == Some(name) && protocol(known.protocol.as_ref()) == protocol(port.protocol.as_ref())
        });
        matching.next().map(|known| known.container_port)
    };
    spec.containers.iter().chain(sidecars).find_map(find)
}

/// Whether the Service has no cluster address.
pub(crate) fn is_headless(service: &Service) -> bool {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    address.is_empty() || address == "None"
}

/// Queues the Services whose selector matches a pod that changed in a way that matters to endpoints.
pub(crate) fn on_pod_change(pods: &Reader<Pod>, services: &Reader<Service>, queue: &Keys) {
    let (services, queue) = (services.clone(), queue.clone());
    pods.on_event(move |event| {
        if let Event::Updated { old, new } = event
            && !matters(old, new)
        {
            return;
        }
        let namespace = event.object().namespace();
        for service in services.list_ns(namespace) {
            let Some(wanted) = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { continue };
            let matches = |pod: &Pod| selector::matches_map(wanted, pod.metadata.labels.as_ref());
            if event.old().is_some_and(|pod| matches(pod)) || event.new_state().is_some_and(|pod| matches(pod)) {
                queue.add(ObjectKey::of(&*service));
            }
        }
    });
}

fn matters(old: &Pod, new: &Pod) -> bool {
    let addresses = |pod: &Pod| pod.status.as_ref().map(|status| (status.pod_ip.clone(), status.pod_ips.clone()));
    let host = |pod: &Pod| {
        pod.spec.as_ref().map(|spec| (spec.hostname.clone(), spec.subdomain.clone(), spec.node_name.clone()))
    };
    old.metadata.labels != new.metadata.labels
        || old.is_deleting() != new.is_deleting()
        || pods::is_terminal(old) != pods::is_terminal(new)
        || pods::is_ready(old) != pods::is_ready(new)
        || addresses(old) != addresses(new)
        || host(old) != host(new)
}

/// Remembers when the changes began that lead to a write, for the latency annotation.
/// Upstream: endpointslice/trigger_time_tracker.go.
#[derive(Default)]
pub(crate) struct TriggerTimes {
    known: Mutex<HashMap<ObjectKey, Known>>,
}

#[derive(Default)]
struct Known {
    service: Option<Timestamp>,
    pods: BTreeMap<String, Timestamp>,
}

impl TriggerTimes {
    /// The earliest change since the last call for this Service; None if nothing changed that has a time.
    pub(crate) fn earliest_change<'a>(
        &self,
        key: &ObjectKey,
        service: &Service,
        pods: impl Iterator<Item = &'a Pod>,
    ) -> Option<Timestamp> {
        let created = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let fresh: BTreeMap<String, Timestamp> =
            pods.filter_map(|pod| Some((pod.name().to_owned(), ready_change(pod)?))).collect();
        let mut known = self.known.lock();
        let first = !known.contains_key(key);
        let entry = known.entry(key.clone()).or_default();
        let changed =
            fresh.iter().filter(|(name, at)| entry.pods.get(*name).is_none_or(|known| known < at)).map(|(_, at)| *at);
        let earliest = changed.min();
        let service_changed = created.filter(|at| first || entry.service.is_none_or(|known| known < *at));
        entry.service = created;
        entry.pods = fresh;
        earliest.into_iter().chain(service_changed).min()
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.known.lock().remove(key);
    }
}

fn ready_change(pod: &Pod) -> Option<Timestamp> {
    pods::condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0)
}
