//! API services: named VERSION.GROUP, which the core group's `v1.` makes no subdomain.
//!
//! upstream: staging/src/k8s.io/kube-aggregator/pkg/registry/apiservice

use super::strategy::{NameRule, Strategy};

/// The strategy of `apiservices`.
pub struct ApiServices;

impl Strategy for ApiServices {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }
}
