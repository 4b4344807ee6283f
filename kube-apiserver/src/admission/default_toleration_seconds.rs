//! DefaultTolerationSeconds: pods outlive an unreachable node for a while, unless they say otherwise.
//!
//! upstream: plugin/pkg/admission/defaulttolerationseconds/admission.go

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, is_main};

/// Makes the plugin.
pub fn new(context: &Context) -> Box<dyn Plugin> {
    Box::new(DefaultTolerationSeconds {
        taints: [
            ("node.kubernetes.io/not-ready", context.not_ready_toleration_seconds),
            ("node.kubernetes.io/unreachable", context.unreachable_toleration_seconds),
        ],
    })
}

struct DefaultTolerationSeconds {
    taints: [(&'static str, i64); 2],
}

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !is_main(a, "", "pods") {
            return Ok(());
        }
        for (key, seconds) in self.taints {
            if tolerates(object.path(&["spec", "tolerations"]).items(), key) {
                continue;
            }
            let toleration: Value = [
                ("key", Value::from(key)),
                ("operator", "Exists".into()),
                ("effect", "NoExecute".into()),
                ("tolerationSeconds", seconds.into()),
            ]
            .into();
            object.field_mut("spec").field_mut("tolerations").list_mut().push(toleration);
        }
        Ok(())
    }
}

fn tolerates(tolerations: &[Value], key: &str) -> bool {
    tolerations.iter().any(|t| {
        let own = t.get("key").str_or_empty();
        let effect = t.get("effect").str_or_empty();
        (own == key || own.is_empty()) && matches!(effect, "NoExecute" | "")
    })
}
