//! API services: named VERSION.GROUP, which the core group's `v1.` makes no subdomain.
//!
//! upstream: staging/src/k8s.io/kube-aggregator/pkg/registry/apiservice

use apimachinery::value;
use apimachinery::value::Value;

use super::strategy::{NameRule, RequestContext, Strategy};

/// The strategy of `apiservices`.
pub struct ApiServices;

impl Strategy for ApiServices {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    /// What this server serves itself is available at once.
    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        obj.remove("status");
        if obj.path(&["spec", "service"]).is_null() {
            let available = value!({
                "type": "Available",
                "status": "True",
                "lastTransitionTime": cx.now_text(),
                "reason": "Local",
                "message": "Local APIServices are always available",
            });
            obj.set_path(&["status", "conditions"], Value::List(vec![available]));
        }
    }
}
