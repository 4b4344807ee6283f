//! NamespaceLifecycle: nothing new in a namespace that is absent or going away; some namespaces are immortal.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go

use std::sync::Arc;

use apimachinery::status::{ApiError, Cause};
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, forbidden, is_resource};
use crate::objects::{NAMESPACES, Objects};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(NamespaceLifecycle { objects: context.objects.clone() })
}

struct NamespaceLifecycle {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        let namespaces = is_resource(a, "", "namespaces");
        if a.operation == Operation::Delete && namespaces && IMMORTAL.contains(&a.name) {
            return Err(forbidden(a, object, "this namespace may not be deleted"));
        }
        let review = is_resource(a, "authorization.k8s.io", "localsubjectaccessreviews");
        if namespaces || a.namespace.is_empty() || a.operation == Operation::Delete || review {
            return Ok(());
        }
        // the cache says no only for a moment after creation: ask etcd before refusing
        let namespace = match self.objects.cached(NAMESPACES, "", a.namespace) {
            Some(namespace) => namespace,
            None => self.objects.get(NAMESPACES, "", a.namespace).await?,
        };
        let terminating = namespace.path(&["status", "phase"]).str_or_empty() == "Terminating";
        if a.operation == Operation::Create && terminating {
            return Err(terminating_error(a, object));
        }
        Ok(())
    }
}

fn terminating_error(a: &Attributes<'_>, object: &Value) -> ApiError {
    let text = format!("unable to create new content in namespace {} because it is being terminated", a.namespace);
    let mut error = forbidden(a, object, text);
    error.details_mut().causes.push(Cause {
        type_: "NamespaceTerminating".to_owned(),
        message: format!("namespace {} is being terminated", a.namespace),
        field: "metadata.namespace".to_owned(),
    });
    error
}
