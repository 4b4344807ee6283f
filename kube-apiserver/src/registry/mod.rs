//! The resources: one generic store for all, and per resource what it does differently.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/registry and pkg/registry

pub mod admit;
pub mod columns;
pub mod core;
pub mod defaulting;
pub mod networking;
pub mod ordinary;
pub mod pod_resources;
pub mod rbac;
pub mod resource;
pub mod strategy;
pub mod validation;

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::resources::ResourceInfo;
use parking_lot::RwLock;

pub use admit::{AdmissionChain, Admitted, Attributes, Operation};
pub use ordinary::Ordinary;
pub use resource::Resource;
pub use strategy::{Creater, DeleteOptions, Hooks, NameRule, RequestContext, Strategy, Subresource};

/// The strategy of a resource: one line for each that does something special.
pub fn strategy(info: &'static ResourceInfo) -> &'static dyn Strategy {
    match (info.group, info.plural) {
        ("", "services") => &core::services::Services,
        ("networking.k8s.io", "ingressclasses") => &networking::IngressClasses,
        ("networking.k8s.io", "ingresses") => &networking::Ingresses,
        ("networking.k8s.io", "ipaddresses") => &networking::IpAddresses,
        ("networking.k8s.io", "networkpolicies") => &networking::NetworkPolicies,
        ("networking.k8s.io", "servicecidrs") => &networking::ServiceCidrs,
        ("rbac.authorization.k8s.io", "clusterroles" | "roles") => &rbac::Roles,
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => &rbac::Bindings,
        _ => &Ordinary,
    }
}

/// All resources with their stores.
#[derive(Debug, Default)]
pub struct Registry {
    stores: RwLock<HashMap<(String, String), Arc<()>>>,
}
