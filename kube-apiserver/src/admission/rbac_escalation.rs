//! Nobody grants by roles or bindings what they do not hold themselves.
//!
//! Upstream does this in the RBAC registries, on the object after mutating admission; as the last
//! mutating plugin it happens at the same point.
//! upstream: pkg/registry/rbac/*/policybased/storage.go

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::{Value, from_value};
use async_trait::async_trait;

use super::{Attributes, Context, Operation, Plugin, is_main};
use crate::authorization::Authorizer;
use crate::authorization::rbac::escalation::{
    always_allowed, confirm_no_escalation, full_authority, may_bind, may_escalate,
};
use crate::authorization::rbac::{Policy, PolicyRule, RoleRef};

const GROUP: &str = "rbac.authorization.k8s.io";

/// See the module.
pub struct RbacEscalation {
    authorizer: Arc<Authorizer>,
}

impl RbacEscalation {
    /// Makes the check; without RBAC there is nothing to check.
    pub fn new(context: &Context) -> Self {
        Self { authorizer: context.authorizer.clone() }
    }
}

#[async_trait]
impl Plugin for RbacEscalation {
    fn name(&self) -> &'static str {
        "RbacEscalation"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError> {
        if &*a.resource.group != GROUP || always_allowed(a.user) {
            return Ok(());
        }
        let Some(policy) = self.authorizer.rbac() else { return Ok(()) };
        if a.operation == Operation::Update && only_collector_fields(object, a.old) {
            return Ok(());
        }
        let checked = if is_main(a, GROUP, "roles") || is_main(a, GROUP, "clusterroles") {
            self.check_role(a, policy, object).await
        } else {
            self.check_binding(a, policy, object).await
        };
        checked.map_err(|refused| match refused {
            Refused::Why(why) => {
                let name = object.path(&["metadata", "name"]).str_or_empty();
                ApiError::forbidden(GROUP, &a.resource.plural, name, why)
            }
            Refused::Error(error) => error,
        })
    }
}

enum Refused {
    Why(String),
    Error(ApiError),
}

impl RbacEscalation {
    async fn check_role(&self, a: &Attributes<'_>, policy: &Policy, object: &Value) -> Result<(), Refused> {
        if may_escalate(&self.authorizer, a.user, &a.resource.plural, a.namespace, a.name).await {
            return Ok(());
        }
        let rules: Vec<PolicyRule> = rules(object);
        confirm_no_escalation(policy, a.user, a.namespace, &rules).map_err(Refused::Why)?;
        let aggregates = |v: &Value| !v.path(&["aggregationRule", "clusterRoleSelectors"]).items().is_empty();
        if aggregates(object) || aggregates(a.old) {
            confirm_no_escalation(policy, a.user, a.namespace, &full_authority()).map_err(|_| {
                Refused::Why("must have cluster-admin privileges to use the aggregationRule".to_owned())
            })?;
        }
        Ok(())
    }

    async fn check_binding(&self, a: &Attributes<'_>, policy: &Policy, object: &Value) -> Result<(), Refused> {
        let role: RoleRef = from_value(object.get("roleRef")).unwrap_or_default();
        if may_bind(&self.authorizer, a.user, &role, a.namespace).await {
            return Ok(());
        }
        let plural = if role.kind == "Role" { "role" } else { "clusterrole" };
        let rules = policy
            .role_rules(&role, a.namespace)
            .map_err(|_| Refused::Error(ApiError::not_found(GROUP, plural, &role.name)))?;
        confirm_no_escalation(policy, a.user, a.namespace, &rules).map_err(Refused::Why)
    }
}

fn rules(role: &Value) -> Vec<PolicyRule> {
    from_value(role.get("rules")).unwrap_or_default()
}

/// True if an update touches only what the garbage collector needs: owner references and finalizers.
/// upstream: pkg/registry/rbac/helpers.go: IsOnlyMutatingGCFields
fn only_collector_fields(new: &Value, old: &Value) -> bool {
    let strip = |v: &Value| {
        let mut v = v.clone();
        for key in ["ownerReferences", "finalizers", "managedFields"] {
            v.remove_path(&["metadata", key]);
        }
        v
    };
    strip(new) == strip(old)
}
