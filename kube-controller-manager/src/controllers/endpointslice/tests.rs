//! Data-driven tests of the slicing.

use std::sync::Arc;

use component_base::informer::Object as _;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodIP, PodSpec, PodStatus, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::plan::{Observed, Plan, plan};

fn service() -> Service {
    let mut service = Service::default();
    service.metadata.name = Some("web".into());
    service.metadata.namespace = Some("default".into());
    service.metadata.uid = Some("s".into());
    service.spec = Some(ServiceSpec {
        cluster_ip: Some("10.0.0.1".into()),
        ip_families: Some(vec!["IPv4".into()]),
        ports: Some(vec![ServicePort { name: Some("http".into()), port: 80, ..ServicePort::default() }]),
        ..ServiceSpec::default()
    });
    service
}

fn pod(number: usize, is_ready: bool) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some(format!("p{number:03}"));
    pod.metadata.namespace = Some("default".into());
    pod.metadata.uid = Some(format!("u{number}"));
    pod.spec = Some(PodSpec { node_name: Some("n1".into()), ..PodSpec::default() });
    let ip = format!("10.1.{}.{}", number / 250, number % 250);
    let ready = PodCondition {
        type_: "Ready".into(),
        status: if is_ready { "True" } else { "False" }.into(),
        ..PodCondition::default()
    };
    pod.status =
        Some(PodStatus { pod_ips: Some(vec![PodIP { ip }]), conditions: Some(vec![ready]), ..PodStatus::default() });
    pod
}

/// A server that keeps slices.
struct World {
    service: Service,
    pods: Vec<Arc<Pod>>,
    slices: Vec<Arc<EndpointSlice>>,
    made: usize,
}

impl World {
    fn new(pods: usize) -> Self {
        Self {
            service: service(),
            pods: (0..pods).map(|number| Arc::new(pod(number, true))).collect(),
            slices: Vec::new(),
            made: 0,
        }
    }

    fn step(&mut self) -> Plan {
        let zone_of = |node: &str| (node == "n1").then(|| "z1".to_owned());
        let observed =
            Observed { service: &self.service, pods: &self.pods, slices: &self.slices, zone_of: &zone_of, max: 10 };
        let plan = plan(&observed);
        for slice in &plan.create {
            let mut slice = slice.clone();
            slice.metadata.name = Some(format!("web-{}", self.made));
            self.made += 1;
            self.slices.push(Arc::new(slice));
        }
        for slice in &plan.update {
            self.slices.retain(|known| known.name() != slice.name());
            self.slices.push(Arc::new(slice.clone()));
        }
        for slice in &plan.delete {
            self.slices.retain(|known| known.name() != slice.name());
        }
        plan
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> =
            self.slices.iter().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect();
        sizes.sort_unstable();
        sizes
    }
}

fn counts(plan: &Plan) -> (usize, usize, usize) {
    (plan.create.len(), plan.update.len(), plan.delete.len())
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let mut world = World::new(0);
    assert_eq!(counts(&world.step()), (1, 0, 0));
    assert_eq!(counts(&world.step()), (0, 0, 0));
    world.pods = vec![Arc::new(pod(0, true))];
    assert_eq!(counts(&world.step()), (0, 1, 0));
    assert_eq!(world.sizes(), [1]);
    world.pods.clear();
    assert_eq!(counts(&world.step()), (0, 1, 0));
    assert_eq!(world.sizes(), [0]);
}

#[test]
fn slices_are_filled_and_left_alone() {
    let mut world = World::new(25);
    assert_eq!(counts(&world.step()), (3, 0, 0));
    assert_eq!(world.sizes(), [5, 10, 10]);
    assert_eq!(counts(&world.step()), (0, 0, 0));
    world.pods.push(Arc::new(pod(25, true)));
    assert_eq!(counts(&world.step()), (0, 1, 0));
    assert_eq!(world.sizes(), [6, 10, 10]);
    // A pod that goes and one that comes share one update.
    world.pods.remove(0);
    world.pods.push(Arc::new(pod(26, true)));
    assert_eq!(counts(&world.step()), (0, 1, 0));
    // Readiness alone changes one slice.
    world.pods[3] = Arc::new(pod(4, false));
    assert_eq!(counts(&world.step()), (0, 1, 0));
    assert_eq!(counts(&world.step()), (0, 0, 0));
}

#[test]
fn conditions_ports_and_labels() {
    let mut world = World::new(1);
    world.service.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
    world.step();
    let slice = &world.slices[0];
    assert_eq!(slice.label("kubernetes.io/service-name"), Some("web"));
    assert_eq!(slice.label("app"), Some("web"));
    assert_eq!(slice.label("endpointslice.kubernetes.io/managed-by"), Some("endpointslice-controller.k8s.io"));
    let port = &slice.ports.as_ref().expect("ports")[0];
    assert_eq!((port.name.as_deref(), port.port, port.protocol.as_deref()), (Some("http"), Some(80), Some("TCP")));
    let endpoint = &slice.endpoints.as_ref().expect("endpoints")[0];
    assert_eq!(endpoint.zone.as_deref(), Some("z1"));
    assert_eq!(endpoint.conditions.as_ref().and_then(|conditions| conditions.ready), Some(true));
    world.service.metadata.labels = None;
    assert_eq!(counts(&world.step()), (0, 1, 0));
}

#[test]
fn hints_follow_the_traffic_distribution() {
    let mut world = World::new(2);
    world.step();
    world.service.spec.get_or_insert_default().traffic_distribution = Some("PreferClose".into());
    assert_eq!(counts(&world.step()), (0, 1, 0));
    let hints = world.slices[0].endpoints.as_ref().and_then(|all| all[0].hints.clone()).expect("hints");
    assert_eq!(hints.for_zones.expect("zones")[0].name, "z1");
    assert_eq!(counts(&world.step()), (0, 0, 0));
    world.service.spec.get_or_insert_default().traffic_distribution = None;
    assert_eq!(counts(&world.step()), (0, 1, 0));
}

#[test]
fn a_pod_on_an_unknown_node_is_left_out() {
    let mut world = World::new(1);
    let mut lost = pod(1, true);
    lost.spec.get_or_insert_default().node_name = Some("gone".into());
    world.pods.push(Arc::new(lost));
    let plan = world.step();
    assert_eq!(plan.without_node, ["p001"]);
    assert_eq!(world.sizes(), [1]);
}
