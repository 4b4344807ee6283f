//! The in-tree plugins, one file each. To add one: its file and one line in [`registry`].
//! upstream: pkg/scheduler/framework/plugins/registry.go

mod default_binder;
mod default_preemption;
mod dynamic_resources;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod priority_sort;
mod scheduling_gates;
mod scoring;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;
mod volumes;

use std::sync::Arc;

use crate::config::PluginArgs;
use crate::framework::{Handle, Plugin};

/// A plugin could not be built.
#[derive(Debug, thiserror::Error)]
#[error("initializing plugin {plugin:?}: {reason}")]
pub struct BuildError {
    /// The plugin.
    pub plugin: &'static str,
    /// What is wrong with its arguments.
    pub reason: String,
}

type Factory = fn(&PluginArgs, &Handle) -> Result<Arc<dyn Registered>, BuildError>;

/// A plugin as a trait object that can register itself.
pub trait Registered: Send + Sync {
    /// See [`Plugin::register`].
    fn register(self: Arc<Self>, extensions: &mut crate::framework::Extensions);
}

impl<P: Plugin> Registered for P {
    fn register(self: Arc<Self>, extensions: &mut crate::framework::Extensions) {
        Plugin::register(self, extensions);
    }
}

/// One plugin of the registry.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Enabled unless configuration says otherwise.
    pub default: bool,
    /// Weight of its score when enabled by default; 0 when it does not score.
    pub weight: i32,
    /// Builds it.
    pub build: Factory,
}

/// All plugins, in their default order.
pub fn registry() -> Vec<Entry> {
    fn entry(name: &'static str, weight: i32, build: Factory) -> Entry {
        Entry { name, default: true, weight, build }
    }
    vec![
        entry(scheduling_gates::NAME, 0, |_, _| Ok(Arc::new(scheduling_gates::SchedulingGates))),
        entry(priority_sort::NAME, 0, |_, _| Ok(Arc::new(priority_sort::PrioritySort))),
        entry(node_unschedulable::NAME, 0, |_, _| Ok(Arc::new(node_unschedulable::NodeUnschedulable))),
        entry(node_name::NAME, 0, |_, _| Ok(Arc::new(node_name::NodeName))),
        entry(taint_toleration::NAME, 3, |_, _| Ok(Arc::new(taint_toleration::TaintToleration))),
        entry(node_affinity::NAME, 2, |args, _| Ok(Arc::new(node_affinity::NodeAffinity::new(&args.node_affinity)))),
        entry(node_ports::NAME, 0, |_, _| Ok(Arc::new(node_ports::NodePorts))),
        entry(node_resources_fit::NAME, 1, |args, _| {
            Ok(Arc::new(node_resources_fit::NodeResourcesFit::new(&args.fit)))
        }),
        entry(volume_restrictions::NAME, 0, |_, handle| {
            Ok(Arc::new(volume_restrictions::VolumeRestrictions::new(handle)))
        }),
        entry(node_volume_limits::NAME, 0, |_, handle| Ok(Arc::new(node_volume_limits::NodeVolumeLimits::new(handle)))),
        entry(volume_binding::NAME, 0, |args, handle| {
            Ok(Arc::new(volume_binding::VolumeBinding::new(&args.volume_binding, handle)))
        }),
        entry(volume_zone::NAME, 0, |_, handle| Ok(Arc::new(volume_zone::VolumeZone::new(handle)))),
        entry(pod_topology_spread::NAME, 2, |args, handle| {
            Ok(Arc::new(pod_topology_spread::PodTopologySpread::new(&args.spread, handle)))
        }),
        entry(inter_pod_affinity::NAME, 2, |args, handle| {
            Ok(Arc::new(inter_pod_affinity::InterPodAffinity::new(&args.inter_pod_affinity, handle)))
        }),
        entry(dynamic_resources::NAME, 0, |_, _| Ok(Arc::new(dynamic_resources::DynamicResources))),
        entry(default_preemption::NAME, 0, |args, handle| {
            Ok(Arc::new(default_preemption::DefaultPreemption::new(&args.preemption, handle)))
        }),
        entry(node_resources_balanced::NAME, 1, |args, _| {
            Ok(Arc::new(node_resources_balanced::BalancedAllocation::new(&args.balanced)))
        }),
        entry(image_locality::NAME, 1, |_, _| Ok(Arc::new(image_locality::ImageLocality))),
        entry(default_binder::NAME, 0, |_, handle| Ok(Arc::new(default_binder::DefaultBinder::new(handle)))),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn every_file_is_registered_once() {
        let names: Vec<_> = super::registry().iter().map(|e| e.name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/plugins")).unwrap().count();
        // mod.rs and the two modules shared by plugins (scoring, volumes) are no plugins.
        assert!(names.len() + 3 >= files, "{files} files, {} plugins", names.len());
    }
}
