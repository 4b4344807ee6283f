//! clusterrole-aggregation-controller: rules of aggregated ClusterRoles (admin, edit, view …) from the roles they select
//! (upstream: pkg/controller/clusterroleaggregation).

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::rbac::v1::{AggregationRule, ClusterRole, PolicyRule};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::selector;
use crate::writes::Writes;

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("clusterrole-aggregation-controller", "clusterrole-aggregation-controller")?;
    let controller =
        Aggregation { roles: context.informers.reader(), writes: Writes::default(), context: context.clone() };
    runner::start(controller, &context, 5);
    Ok(true)
}

struct Aggregation {
    context: Context,
    roles: Reader<ClusterRole>,
    writes: Writes,
}

#[async_trait]
impl Controller for Aggregation {
    const NAME: &'static str = "clusterrole-aggregation-controller";

    fn watches(&self, queue: &Keys) {
        let (roles, queue) = (self.roles.clone(), queue.clone());
        self.roles.on_event(move |_| {
            let aggregated = roles.list().into_iter().filter(|role| role.aggregation_rule.is_some());
            aggregated.for_each(|role| queue.add(ObjectKey::of(&*role)));
        });
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(role) = self.roles.get_key(key) else { return Ok(Next::OnChange) };
        let Some(rule) = &role.aggregation_rule else { return Ok(Next::OnChange) };
        let roles = self.roles.list();
        let wanted = aggregate(role.name(), rule, roles.iter().map(|role| &**role));
        if role.rules.clone().unwrap_or_default() == wanted {
            return Ok(Next::OnChange);
        }
        let apply = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": role.name() },
            "rules": wanted,
        });
        let params = PatchParams::apply("clusterrole-aggregation-controller").force();
        let api: Api<ClusterRole> = Api::all(self.context.client.clone());
        let written = match api.patch(&key.name, &params, &Patch::Apply(&apply)).await {
            // A server without server-side apply.
            Err(error) if crate::api::has_code(&error, 415) => {
                let patch = json!({ "rules": wanted });
                api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await
            }
            other => other,
        };
        let written = written.doing(|| "cannot update the aggregated rules".to_owned())?;
        self.writes.wrote(key, &self.roles, &written);
        Ok(Next::OnChange)
    }
}

/// Rules of all selected roles but the aggregated one itself, each once, roles in order of their names.
fn aggregate<'a>(own: &str, rule: &AggregationRule, roles: impl Iterator<Item = &'a ClusterRole>) -> Vec<PolicyRule> {
    let roles: Vec<&ClusterRole> = roles.filter(|role| role.name() != own).collect();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for chosen in rule.cluster_role_selectors.iter().flatten() {
        let selected = roles.iter().filter(|role| selector::matches(chosen, role.metadata.labels.as_ref()));
        for rule in selected.flat_map(|role| role.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    fn role(name: &str, label: &str, verb: &str) -> ClusterRole {
        let mut role = ClusterRole::default();
        role.metadata.name = Some(name.into());
        role.metadata.labels = Some([(label.to_owned(), "true".to_owned())].into());
        role.rules = Some(vec![PolicyRule { verbs: vec![verb.into()], ..PolicyRule::default() }]);
        role
    }

    #[test]
    fn rules_of_selected_roles_once_each() {
        let chosen = LabelSelector {
            match_labels: Some([("to-edit".to_owned(), "true".to_owned())].into()),
            ..LabelSelector::default()
        };
        let rule = AggregationRule { cluster_role_selectors: Some(vec![chosen]) };
        let roles = [
            role("a", "to-edit", "get"),
            role("b", "other", "list"),
            role("c", "to-edit", "get"),
            role("edit", "to-edit", "x"),
        ];
        let verbs: Vec<String> =
            aggregate("edit", &rule, roles.iter()).into_iter().flat_map(|rule| rule.verbs).collect();
        assert_eq!(verbs, ["get"]);
    }
}
