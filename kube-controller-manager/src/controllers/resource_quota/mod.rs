//! resourcequota-controller: counts what a namespace uses, so that what was deleted is given back
//! (upstream: pkg/controller/resourcequota, pkg/quota/v1).

mod usage;

use std::collections::BTreeMap;
use std::time::Duration;

use apimachinery::quantity::Quantity;
use async_trait::async_trait;
use component_base::informer::{Object, Partial};
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::api::{Api, PostParams};
use parking_lot::Mutex;

use super::StartError;
use crate::context::{Context, Shared};
use crate::discovery::{self, Resource};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::writes::Writes;
use usage::Amounts;

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("resourcequota-controller", "resourcequota-controller")?;
    let controller = Quotas {
        quotas: context.informers.reader(),
        pods: crate::pods::slim::reader(&context.informers),
        claims: context.informers.reader(),
        services: context.informers.reader(),
        writes: Writes::default(),
        resources: Mutex::default(),
        period: shared.flags.duration("resource-quota-sync-period"),
        context: context.clone(),
    };
    runner::start(controller, &context, shared.flags.int("concurrent-resource-quota-syncs"));
    Ok(true)
}

struct Quotas {
    context: Context,
    quotas: Reader<ResourceQuota>,
    pods: Reader<Pod>,
    claims: Reader<PersistentVolumeClaim>,
    services: Reader<Service>,
    writes: Writes,
    /// What the server serves, asked for once a limit on counts needs it.
    resources: Mutex<Vec<Resource>>,
    period: Duration,
}

/// Queues the quotas of a namespace in which an object went or ended.
fn on_release<K: Object>(
    reader: &Reader<K>,
    quotas: &Reader<ResourceQuota>,
    queue: &Keys,
    released: fn(&K, &K) -> bool,
) {
    let (quotas, queue) = (quotas.clone(), queue.clone());
    reader.on_event(move |event| {
        let goes = match (event.old(), event.new_state()) {
            (Some(old), Some(new)) => released(old, new),
            (_, new) => new.is_none(),
        };
        if goes {
            quotas.list_ns(event.object().namespace()).iter().for_each(|quota| queue.add(ObjectKey::of(&**quota)));
        }
    });
}

#[async_trait]
impl Controller for Quotas {
    const NAME: &'static str = "resourcequota-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.quotas, queue);
        let ended = |old: &Pod, new: &Pod| !crate::pods::is_terminal(old) && crate::pods::is_terminal(new);
        on_release(&self.pods, &self.quotas, queue, ended);
        on_release(&self.claims, &self.quotas, queue, |old, new| old.spec != new.spec);
        on_release(&self.services, &self.quotas, queue, |old, new| old.spec != new.spec);
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(quota) = self.quotas.get_key(key).filter(|quota| !quota.is_deleting()) else {
            return Ok(Next::OnChange);
        };
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let used = self.used(&quota, &hard).await?;
        let status = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
        if quota.status.as_ref() != Some(&status) {
            let fresh = ResourceQuota { status: Some(status), ..(*quota).clone() };
            let client: Api<ResourceQuota> = Api::namespaced(self.context.client.clone(), &key.namespace);
            let written = client.replace_status(&key.name, &PostParams::default(), &fresh).await;
            let written = written.doing(|| "cannot update the usage".to_owned())?;
            self.writes.wrote(key, &self.quotas, &written);
        }
        Ok(Next::After(self.period))
    }
}

impl Quotas {
    async fn used(
        &self,
        quota: &ResourceQuota,
        hard: &BTreeMap<String, ApiQuantity>,
    ) -> Result<BTreeMap<String, ApiQuantity>, ReconcileError> {
        let namespace = quota.namespace();
        let pods = self.pods.list_ns(namespace);
        let mut amounts: Amounts =
            usage::of_pods(pods.iter().map(|pod| &**pod).filter(|pod| usage::covers(quota, pod)));
        let claims = self.claims.list_ns(namespace);
        amounts.extend(usage::of_claims(claims.iter().map(|claim| &**claim)));
        amounts.extend(self.of_services(namespace));
        let known = quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default();
        let mut used = BTreeMap::new();
        for key in hard.keys() {
            let amount = match (amounts.get(key), usage::counted(key)) {
                (Some(amount), _) => Some(amount.to_string()),
                (None, Some((plural, group))) => {
                    self.count(namespace, plural, group).await?.map(|count| count.to_string())
                }
                (None, None) => None,
            };
            // Of what cannot be counted here, the last known usage stays.
            let fallback = || known.get(key).map_or_else(|| "0".to_owned(), |known| known.0.clone());
            let countable = amount.is_some() || usage::counted(key).is_none();
            let text = amount.unwrap_or_else(|| if countable { "0".to_owned() } else { fallback() });
            used.insert(key.clone(), ApiQuantity(text));
        }
        Ok(used)
    }

    fn of_services(&self, namespace: &str) -> Amounts {
        let services = self.services.list_ns(namespace);
        let (mut ports, mut balancers) = (0, 0);
        for spec in services.iter().filter_map(|service| service.spec.as_ref()) {
            let kind = spec.type_.as_deref().unwrap_or_default();
            let has_ports =
                kind == "NodePort" || (kind == "LoadBalancer" && spec.allocate_load_balancer_node_ports != Some(false));
            ports += if has_ports { spec.ports.as_ref().map_or(0, Vec::len) } else { 0 };
            balancers += usize::from(kind == "LoadBalancer");
        }
        let amount = |count: usize| Quantity::parse(&count.to_string()).unwrap_or_default();
        [("services.nodeports", ports), ("services.loadbalancers", balancers)]
            .map(|(key, count)| (key.to_owned(), amount(count)))
            .into()
    }

    /// Objects of a resource in the namespace; None if the resource is not served.
    async fn count(&self, namespace: &str, plural: &str, group: &str) -> Result<Option<usize>, ReconcileError> {
        let find = |all: &[Resource]| {
            all.iter()
                .find(|resource| resource.plural == plural && resource.group == group && resource.namespaced)
                .cloned()
        };
        let mut resource = find(&self.resources.lock());
        if resource.is_none() {
            let found =
                discovery::discover(&self.context.client).await.doing(|| "cannot discover resources".to_owned())?;
            resource = find(&found.resources);
            *self.resources.lock() = found.resources;
        }
        let Some(resource) = resource else { return Ok(None) };
        let reader: Reader<Partial> = self.context.informers.metadata_reader(&resource.path(None));
        reader.synced().await;
        Ok(Some(reader.list_ns(namespace).len()))
    }
}
