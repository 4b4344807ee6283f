//! TaintNodesByCondition: a new node is not ready until the node controller says so.
//!
//! upstream: plugin/pkg/admission/nodetaint/admission.go

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, is_main};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Makes the plugin.
pub fn new(_: &Context) -> Box<dyn Plugin> {
    Box::new(TaintNodes)
}

struct TaintNodes;

#[async_trait]
impl Plugin for TaintNodes {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if !is_main(a, "", "nodes") {
            return Ok(());
        }
        let taints = object.field_mut("spec").field_mut("taints").list_mut();
        let there = taints
            .iter()
            .any(|t| t.get("key").str_or_empty() == NOT_READY && t.get("effect").str_or_empty() == "NoSchedule");
        if !there {
            taints.push([("key", NOT_READY), ("effect", "NoSchedule")].into());
        }
        Ok(())
    }
}
