//! The control groups of all pods and of the classes: created at start, their weights kept current.
//!
//! upstream: pkg/kubelet/cm/qos_container_manager_linux.go, node_container_manager_linux.go

use std::sync::Arc;
use std::time::Duration;

use component_base::Shutdown;
use k8s_openapi::api::core::v1::Pod;

use crate::options::Configuration;
use crate::pod::qos::qos_class;
use crate::pod::resources::{PodLimits, cpu_shares, pod_amount};
use crate::pod::workers::Workers;
use crate::sys::Machine;

const INTERVAL: Duration = Duration::from_secs(60);

/// What all pods together may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    milli_cpu: i64,
    memory_bytes: Option<i64>,
}

impl NodeLimits {
    /// The machine less what is reserved, if that is enforced.
    pub fn new(config: &Configuration, machine: &Machine) -> Self {
        let reserved = |name: &str| -> i64 {
            let lists = [&config.kube_reserved, &config.system_reserved];
            let amounts = lists.into_iter().filter_map(|list| list.get(name));
            amounts.filter_map(|text| apimachinery::quantity::Quantity::parse(text).ok()).map(|q| q.milli_value()).sum()
        };
        let cpus = i64::try_from(machine.cpus).unwrap_or(1);
        let memory = i64::try_from(machine.memory_bytes).unwrap_or(i64::MAX);
        let enforced = config.enforce_node_allocatable.iter().flatten().any(|name| name == "pods");
        Self {
            milli_cpu: (cpus * 1000 - reserved("cpu")).max(0),
            memory_bytes: enforced.then(|| (memory - reserved("memory") / 1000).max(0)),
        }
    }
}

/// Limits of the tiers, in the order in which [`crate::pod::cgroup::PodCgroups::tiers`] names them.
fn tier_limits(node: NodeLimits, pods: &[Arc<Pod>]) -> [PodLimits; 3] {
    let burstable = pods.iter().filter(|pod| qos_class(pod) == "Burstable");
    let requested = burstable.map(|pod| pod_amount(pod, false, "cpu").0).sum();
    let shares = |milli_cpu| PodLimits { cpu_shares: cpu_shares(milli_cpu), ..PodLimits::default() };
    [PodLimits { memory_bytes: node.memory_bytes, ..shares(node.milli_cpu) }, shares(requested), shares(0)]
}

/// Sets the limits once, for the start.
///
/// # Errors
/// A group could not be made.
pub fn apply(workers: &Workers, node: NodeLimits) -> std::io::Result<()> {
    let cx = workers.machinery();
    let limits = tier_limits(node, &workers.active_pods());
    for (name, limits) in cx.cgroups.tiers().iter().zip(limits) {
        cx.kernel.ensure_cgroup(name, &limits)?;
    }
    Ok(())
}

/// Keeps the weights current until `stop`.
pub async fn keep(workers: Workers, node: NodeLimits, stop: Shutdown) {
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        if let Err(error) = apply(&workers, node) {
            tracing::warn!(%error, "control groups of the classes were not updated");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burstable_class_weighs_what_its_pods_ask_for() {
        let pod = |cpu: &str| -> Arc<Pod> {
            let json =
                format!(r#"{{"spec":{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}}}"#);
            Arc::new(serde_json::from_str(&json).expect("valid"))
        };
        let node = NodeLimits { milli_cpu: 2000, memory_bytes: Some(1 << 30) };
        let [all, burstable, best_effort] = tier_limits(node, &[pod("250m"), pod("250m")]);
        assert_eq!((all.cpu_shares, all.memory_bytes), (2048, Some(1 << 30)));
        assert_eq!((burstable.cpu_shares, best_effort.cpu_shares), (512, 2));
    }
}
