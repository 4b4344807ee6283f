//! serviceaccount-controller: every active namespace has the ServiceAccount `default`
//! (upstream: pkg/controller/serviceaccount/serviceaccounts_controller.go).

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, PostParams};

use super::StartError;
use crate::api;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

const ACCOUNT: &str = "default";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("service-account-controller", "service-account-controller")?;
    let controller = ServiceAccounts {
        namespaces: context.informers.reader(),
        accounts: context.informers.reader(),
        context: context.clone(),
    };
    runner::start(controller, &context, 1);
    Ok(true)
}

struct ServiceAccounts {
    context: Context,
    namespaces: Reader<Namespace>,
    accounts: Reader<ServiceAccount>,
}

#[async_trait]
impl Controller for ServiceAccounts {
    const NAME: &'static str = "serviceaccount-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.namespaces, queue);
        let queue = queue.clone();
        self.accounts.on_event(move |event| {
            if event.new_state().is_none() {
                queue.add(ObjectKey::cluster(event.object().namespace()));
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let active = self.namespaces.get_key(key).filter(|namespace| is_active(namespace));
        if active.is_none() || self.accounts.get(&key.name, ACCOUNT).is_some() {
            return Ok(Next::OnChange);
        }
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(ACCOUNT.to_owned());
        account.metadata.namespace = Some(key.name.to_string());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), &key.name);
        match accounts.create(&PostParams::default(), &account).await {
            Err(error) if api::has_code(&error, 409) || api::is_namespace_terminating(&error) => Ok(Next::OnChange),
            other => other.map(|_| Next::OnChange).doing(|| "cannot create the ServiceAccount".to_owned()),
        }
    }
}

/// Whether things may still be made in the namespace.
pub(super) fn is_active(namespace: &Namespace) -> bool {
    !namespace.is_deleting()
        && namespace.status.as_ref().and_then(|status| status.phase.as_deref()).is_none_or(|phase| phase == "Active")
}
