//! DynamicResources: allocation of devices to resource claims is not part of this build. Pods with claims are refused with a
//! reason that says so; for other pods the plugin says what upstream's says, since that is part of the message users see.
//! upstream: plugins/dynamicresources/dynamicresources.go

use std::sync::Arc;

use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Diagnosis, Extensions, FilterScope, Plugin, PostFilter, PostFilterOutcome, PreFilter, PreFilterOutcome,
    Rejection,
};
use crate::model::Pod;

pub(super) const NAME: &str = "DynamicResources";

pub(super) struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.post_filter = Some(self);
    }
}

impl PreFilter for DynamicResources {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, _state: &mut CycleState, pod: &Pod, _nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        if pod.resource_claims {
            let reason = "pod has resource claims, this build of kube-scheduler does not allocate devices";
            return Err(Rejection::unresolvable(reason));
        }
        Ok(PreFilterOutcome::Skip)
    }
}

impl PostFilter for DynamicResources {
    fn name(&self) -> &'static str {
        NAME
    }
    fn post_filter(
        &self,
        _scope: &FilterScope<'_>,
        _state: &CycleState,
        _pod: &Arc<Pod>,
        _diagnosis: &Diagnosis,
    ) -> PostFilterOutcome {
        PostFilterOutcome::Unschedulable { message: "no new claims to deallocate".into(), clear: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn refuses_pods_with_claims() {
        let run =
            |text: &str| DynamicResources.pre_filter(&mut CycleState::default(), &pod(text), &Snapshot::default());
        assert_eq!(run("name: p"), Ok(PreFilterOutcome::Skip));
        assert!(run("resourceClaims: [{name: c, resourceClaimName: x}]").is_err());
    }
}
