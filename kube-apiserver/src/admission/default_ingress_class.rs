//! DefaultIngressClass: an ingress without class gets the default one.
//!
//! upstream: plugin/pkg/admission/network/defaultingressclass/admission.go

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::default_storage_class::newest_default;
use super::{Attributes, Context, Operation, Plugin, is_main};
use crate::objects::{INGRESS_CLASSES, Objects};

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(DefaultIngressClass { objects: context.objects.clone() })
}

struct DefaultIngressClass {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        let has_class = object.get("spec").has("ingressClassName")
            || object.path(&["metadata", "annotations"]).has("kubernetes.io/ingress.class");
        if !is_main(a, "networking.k8s.io", "ingresses") || has_class {
            return Ok(());
        }
        let classes = self.objects.list(INGRESS_CLASSES, "");
        if let Some(name) = newest_default(&classes, &["ingressclass.kubernetes.io/is-default-class"]) {
            object.field_mut("spec").set("ingressClassName", name);
        }
        Ok(())
    }
}
