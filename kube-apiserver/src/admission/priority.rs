//! Priority: pods get the integer priority of their class; only one class may be the default.
//!
//! upstream: plugin/pkg/admission/priority/admission.go

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, forbidden, is_main};
use crate::objects::{Objects, PRIORITY_CLASSES};

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(Priority { objects: context.objects.clone() })
}

struct Priority {
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update | Operation::Delete)
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !is_main(a, "", "pods") {
            return Ok(());
        }
        match a.operation {
            Operation::Create => self.admit_new(a, object),
            Operation::Update => {
                keep(a, object);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError> {
        let writes = matches!(a.operation, Operation::Create | Operation::Update);
        if !writes || !is_main(a, "scheduling.k8s.io", "priorityclasses") {
            return Ok(());
        }
        if object.get("globalDefault").as_bool() != Some(true) {
            return Ok(());
        }
        let Some(default) = self.default_class() else { return Ok(()) };
        let name = default.path(&["metadata", "name"]).str_or_empty();
        let own = object.path(&["metadata", "name"]).str_or_empty();
        if a.operation == Operation::Create || name != own {
            let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
            return Err(forbidden(a, object, why));
        }
        Ok(())
    }
}

impl Priority {
    fn admit_new(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        let wanted = object.path(&["spec", "priorityClassName"]).str_or_empty().to_owned();
        let class = if wanted.is_empty() {
            self.default_class()
        } else {
            let found = self.objects.cached(PRIORITY_CLASSES, "", &wanted);
            Some(found.ok_or_else(|| forbidden(a, object, format!("no PriorityClass with name {wanted} was found")))?)
        };
        let (name, value, policy) = match &class {
            Some(class) => (
                class.path(&["metadata", "name"]).str_or_empty(),
                class.get("value").as_i64().unwrap_or(0),
                class.get("preemptionPolicy").as_str(),
            ),
            None => ("", 0, Some("PreemptLowerPriority")),
        };
        if let Some(given) = object.path(&["spec", "priority"]).as_i64()
            && given != value
        {
            return Err(forbidden(
                a,
                object,
                format!(
                    "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
                ),
            ));
        }
        if let (Some(given), Some(policy)) = (object.path(&["spec", "preemptionPolicy"]).as_str(), policy)
            && given != policy
        {
            return Err(forbidden(
                a,
                object,
                format!(
                    "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
                ),
            ));
        }
        let spec = object.field_mut("spec");
        if !name.is_empty() {
            spec.set("priorityClassName", name);
        }
        spec.set("priority", value);
        if let Some(policy) = policy {
            spec.set("preemptionPolicy", policy);
        }
        Ok(())
    }

    /// The default class with the lowest value.
    fn default_class(&self) -> Option<Value> {
        self.objects
            .list(PRIORITY_CLASSES, "")
            .into_iter()
            .filter(|c| c.get("globalDefault").as_bool() == Some(true))
            .min_by_key(|c| c.get("value").as_i64().unwrap_or(0))
    }
}

/// An update that leaves the computed fields out keeps them.
fn keep(a: &Attributes<'_>, object: &mut Value) {
    for field in ["priority", "preemptionPolicy"] {
        let old = a.old.path(&["spec", field]);
        if object.path(&["spec", field]).is_null() && !old.is_null() {
            object.set_path(&["spec", field], old.clone());
        }
    }
}
