//! Plugins of a few lines: AlwaysAdmit, AlwaysDeny, AlwaysPullImages, NamespaceExists, DenyServiceExternalIPs and
//! PodTopologyLabels.
//!
//! upstream: plugin/pkg/admission/{admit,deny,alwayspullimages,namespace/exists,network/denyserviceexternalips,podtopologylabels}

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, forbidden, is_main, is_resource};
use crate::objects::{NAMESPACES, NODES, Objects};

/// Lets everything through; also stands for upstream plugins that do nothing while their gate is off.
pub fn always_admit(_: &Context) -> Box<dyn Plugin> {
    Box::new(AlwaysAdmit)
}

/// Refuses everything.
pub fn always_deny(_: &Context) -> Box<dyn Plugin> {
    Box::new(AlwaysDeny)
}

/// Makes every container pull its image, so that credentials are checked.
pub fn always_pull_images(_: &Context) -> Box<dyn Plugin> {
    Box::new(AlwaysPullImages)
}

/// Refuses writes in namespaces that do not exist.
pub fn namespace_exists(context: &Context) -> Box<dyn Plugin> {
    Box::new(NamespaceExists { objects: context.objects.clone() })
}

/// Refuses new `externalIPs` of services.
pub fn deny_external_ips(_: &Context) -> Box<dyn Plugin> {
    Box::new(DenyExternalIps)
}

/// Copies a node's zone and region labels to the pods bound to it.
pub fn pod_topology_labels(context: &Context) -> Box<dyn Plugin> {
    Box::new(PodTopologyLabels { objects: context.objects.clone() })
}

struct AlwaysAdmit;

impl Plugin for AlwaysAdmit {
    fn name(&self) -> &'static str {
        "AlwaysAdmit"
    }

    fn handles(&self, _: Operation) -> bool {
        false
    }
}

struct AlwaysDeny;

#[async_trait]
impl Plugin for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        Err(forbidden(a, object, "admission control is denying all modifications"))
    }
}

struct AlwaysPullImages;

#[async_trait]
impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !is_resource(a, "", "pods") || !matches!(a.subresource, "" | "ephemeralcontainers") {
            return Ok(());
        }
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            let Some(containers) = object.field_mut("spec").get_mut(list).and_then(Value::as_list_mut) else {
                continue;
            };
            for container in containers {
                container.set("imagePullPolicy", "Always");
            }
        }
        Ok(())
    }
}

struct NamespaceExists {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn validate(&self, a: &Attributes<'_>, _: &Value) -> Result<(), ApiError> {
        if a.namespace.is_empty() || is_resource(a, "", "namespaces") {
            return Ok(());
        }
        if self.objects.cached(NAMESPACES, "", a.namespace).is_none() {
            self.objects.get(NAMESPACES, "", a.namespace).await?;
        }
        Ok(())
    }
}

struct DenyExternalIps;

#[async_trait]
impl Plugin for DenyExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if !is_main(a, "", "services") {
            return Ok(());
        }
        let old = a.old.path(&["spec", "externalIPs"]).items();
        let added = object.path(&["spec", "externalIPs"]).items().iter().any(|ip| !old.contains(ip));
        if added {
            return Err(forbidden(a, object, "Use of external IPs is denied by admission control"));
        }
        Ok(())
    }
}

struct PodTopologyLabels {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !is_resource(a, "", "pods") {
            return Ok(());
        }
        let node = match a.subresource {
            "" => object.path(&["spec", "nodeName"]),
            "binding" if object.path(&["target", "kind"]).str_or_empty() == "Node" => object.path(&["target", "name"]),
            _ => return Ok(()),
        };
        let Some(node) = node.as_str().and_then(|name| self.objects.cached(NODES, "", name)) else { return Ok(()) };
        for key in ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"] {
            if let Some(value) = node.path(&["metadata", "labels", key]).as_str() {
                object.field_mut("metadata").field_mut("labels").set(key, value);
            }
        }
        Ok(())
    }
}
