//! PersistentVolumeClaimResize: only bound claims whose class allows it may grow.
//!
//! upstream: plugin/pkg/admission/storage/persistentvolume/resize/admission.go

use std::sync::Arc;

use apimachinery::quantity::Quantity;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, forbidden, is_main};
use crate::objects::{Objects, STORAGE_CLASSES};

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(VolumeClaimResize { objects: context.objects.clone() })
}

struct VolumeClaimResize {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for VolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        if !is_main(a, "", "persistentvolumeclaims") || size(object) <= size(a.old) {
            return Ok(());
        }
        if a.old.path(&["status", "phase"]).str_or_empty() != "Bound" {
            return Err(forbidden(a, object, "Only bound persistent volume claims can be expanded"));
        }
        if !self.class_allows(object, a.old) {
            return Err(forbidden(
                a,
                object,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
            ));
        }
        Ok(())
    }
}

impl VolumeClaimResize {
    fn class_allows(&self, new: &Value, old: &Value) -> bool {
        let name = class(new);
        if name.is_empty() || name != class(old) {
            return false;
        }
        self.objects
            .cached(STORAGE_CLASSES, "", name)
            .is_some_and(|c| c.get("allowVolumeExpansion").as_bool() == Some(true))
    }
}

fn size(claim: &Value) -> Quantity {
    let text = claim.path(&["spec", "resources", "requests", "storage"]).str_or_empty();
    Quantity::parse(text).unwrap_or_default()
}

fn class(claim: &Value) -> &str {
    let annotation = claim.path(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    annotation.as_str().unwrap_or_else(|| claim.path(&["spec", "storageClassName"]).str_or_empty())
}
