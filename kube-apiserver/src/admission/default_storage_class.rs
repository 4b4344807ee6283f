//! DefaultStorageClass: a claim without class gets the default one.
//!
//! upstream: plugin/pkg/admission/storage/storageclass/setdefault/admission.go

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, is_main};
use crate::objects::{Objects, STORAGE_CLASSES};

const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const BETA_IS_DEFAULT: &str = "storageclass.beta.kubernetes.io/is-default-class";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(DefaultStorageClass { objects: context.objects.clone() })
}

struct DefaultStorageClass {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        let has_class =
            object.path(&["metadata", "annotations"]).has(BETA_CLASS) || object.get("spec").has("storageClassName");
        if !is_main(a, "", "persistentvolumeclaims") || has_class {
            return Ok(());
        }
        let classes = self.objects.list(STORAGE_CLASSES, "");
        if let Some(name) = newest_default(&classes, &[IS_DEFAULT, BETA_IS_DEFAULT]) {
            object.field_mut("spec").set("storageClassName", name);
        }
        Ok(())
    }
}

/// Name of the newest class with one of the annotations set to true; of equally old ones the first by name.
pub fn newest_default<'a>(classes: &'a [Value], annotations: &[&str]) -> Option<&'a str> {
    let text = |class: &'a Value, key: &str| class.path(&["metadata", key]).str_or_empty();
    let mut defaults: Vec<&Value> = classes
        .iter()
        .filter(|class| {
            let own = class.path(&["metadata", "annotations"]);
            annotations.iter().any(|a| own.get(a).str_or_empty() == "true")
        })
        .collect();
    defaults.sort_by(|x, y| {
        let (x_made, y_made) = (text(x, "creationTimestamp"), text(y, "creationTimestamp"));
        y_made.cmp(x_made).then_with(|| text(x, "name").cmp(text(y, "name")))
    });
    defaults.first().map(|class| text(class, "name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_wins_then_the_first_name() {
        let class = |name: &str, made: &str| -> Value {
            let annotations: Value = [("d", "true")].into();
            let meta: Value =
                [("name", Value::from(name)), ("creationTimestamp", made.into()), ("annotations", annotations)].into();
            [("metadata", meta)].into()
        };
        let classes = [
            class("b", "2026-01-02T00:00:00Z"),
            class("a", "2026-01-02T00:00:00Z"),
            class("c", "2026-01-01T00:00:00Z"),
        ];
        assert_eq!(newest_default(&classes, &["d"]), Some("a"));
        assert_eq!(newest_default(&classes, &["x"]), None);
    }
}
