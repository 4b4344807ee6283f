//! StorageObjectInUseProtection: claims and volumes get the finalizer that keeps them while in use.
//!
//! upstream: plugin/pkg/admission/storage/storageobjectinuseprotection/admission.go

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, is_main};

const FINALIZERS: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

/// Makes the plugin.
pub fn new(_: &Context) -> Box<dyn Plugin> {
    Box::new(StorageInUse)
}

struct StorageInUse;

#[async_trait]
impl Plugin for StorageInUse {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        let Some((.., finalizer)) = FINALIZERS.iter().find(|(group, plural, _)| is_main(a, group, plural)) else {
            return Ok(());
        };
        let there = object.path(&["metadata", "finalizers"]).items().iter().any(|f| f.as_str() == Some(finalizer));
        if !there {
            object.field_mut("metadata").field_mut("finalizers").list_mut().push((*finalizer).into());
        }
        Ok(())
    }
}
