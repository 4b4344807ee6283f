//! endpointslice-controller: the EndpointSlices of every Service with a selector (upstream: pkg/controller/endpointslice).

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, PostParams};

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::services::{self, LAST_CHANGE_TRIGGER_TIME, TriggerTimes};
use crate::writes::Writes;
use crate::{api, events, selector};
use plan::{MANAGED_BY, MANAGER, Observed, SERVICE_NAME};

const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("endpointslice-controller", "endpoint-slice-controller")?;
    let controller = Slices {
        services: context.informers.reader(),
        pods: crate::pods::slim::reader(&context.informers),
        nodes: context.informers.reader(),
        slices: context.informers.reader(),
        writes: Writes::default(),
        times: TriggerTimes::default(),
        max: usize::try_from(shared.flags.int("max-endpoints-per-slice")).unwrap_or(100).clamp(1, 1000),
        context: context.clone(),
    };
    controller.slices.add_index("service", |slice| {
        let managed = slice.label(MANAGED_BY) == Some(MANAGER);
        let service = slice.label(SERVICE_NAME).filter(|_| managed);
        service.map(|name| format!("{}/{name}", slice.namespace())).into_iter().collect()
    });
    runner::start(controller, &context, shared.flags.int("concurrent-service-endpoint-syncs"));
    Ok(true)
}

struct Slices {
    context: Context,
    services: Reader<Service>,
    pods: Reader<Pod>,
    nodes: Reader<Node>,
    slices: Reader<EndpointSlice>,
    writes: Writes,
    times: TriggerTimes,
    max: usize,
}

#[async_trait]
impl Controller for Slices {
    const NAME: &'static str = "endpointslice-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.services, queue);
        services::on_pod_change(&self.pods, &self.services, queue);
        let slices = queue.clone();
        self.slices.on_event(move |event| {
            for slice in [event.old(), event.new_state()].into_iter().flatten() {
                if let Some(service) = slice.label(SERVICE_NAME).filter(|_| slice.label(MANAGED_BY) == Some(MANAGER)) {
                    slices.add(ObjectKey::new(slice.namespace(), service));
                }
            }
        });
        // A node that appears, goes or changes its zone concerns the Services of its pods.
        let (pods, all, nodes) = (self.pods.clone(), self.services.clone(), queue.clone());
        self.nodes.on_event(move |event| {
            let zone = |node: &Arc<Node>| node.label(ZONE_LABEL).map(str::to_owned);
            if let (Some(old), Some(new)) = (event.old(), event.new_state())
                && zone(old) == zone(new)
            {
                return;
            }
            let name = event.object().name();
            for pod in pods.list().iter().filter(|pod| crate::pods::node(pod) == name) {
                for service in all.list_ns(pod.namespace()) {
                    let wanted = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                    if wanted.is_some_and(|wanted| selector::matches_map(wanted, pod.metadata.labels.as_ref())) {
                        nodes.add(ObjectKey::of(&*service));
                    }
                }
            }
        });
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(service) = self.services.get_key(key) else {
            self.times.forget(key);
            return Ok(Next::OnChange);
        };
        let spec = service.spec.as_ref();
        let wanted =
            spec.filter(|spec| spec.type_.as_deref() != Some("ExternalName")).and_then(|spec| spec.selector.clone());
        let Some(wanted) = wanted else { return Ok(Next::OnChange) };
        let pods: Vec<Arc<Pod>> = self
            .pods
            .list_ns(&key.namespace)
            .into_iter()
            .filter(|pod| selector::matches_map(&wanted, pod.metadata.labels.as_ref()))
            .collect();
        let changed_at = self.times.earliest_change(key, &service, pods.iter().map(|pod| &**pod));
        let slices: Vec<_> = self
            .slices
            .by_index("service", &key.to_string())
            .into_iter()
            .filter(|slice| !slice.is_deleting())
            .collect();
        let zone_of =
            |node: &str| self.nodes.get("", node).map(|node| node.label(ZONE_LABEL).unwrap_or_default().to_owned());
        let observed = Observed { service: &service, pods: &pods, slices: &slices, zone_of: &zone_of, max: self.max };
        let mut plan = plan::plan(&observed);
        for slice in plan.create.iter_mut().chain(&mut plan.update) {
            stamp(slice, changed_at);
        }
        if let Err(error) = self.apply(key, &plan).await {
            let text = format!(
                "Error updating Endpoint Slices for Service {}/{}: {}",
                key.namespace,
                key.name,
                component_base::Chain(&error)
            );
            events::warning(&self.context.recorder, &*service, "FailedToUpdateEndpointSlices", text);
            return Err(error);
        }
        if plan.without_node.is_empty() {
            return Ok(Next::OnChange);
        }
        Err(ReconcileError::Invalid(format!(
            "skipping pods whose node was not found: {}",
            plan.without_node.join(", ")
        )))
    }
}

fn stamp(slice: &mut EndpointSlice, changed_at: Option<jiff::Timestamp>) {
    let annotations = slice.metadata.annotations.get_or_insert_default();
    match changed_at {
        Some(at) => annotations.insert(LAST_CHANGE_TRIGGER_TIME.to_owned(), at.to_string()),
        None => annotations.remove(LAST_CHANGE_TRIGGER_TIME),
    };
    if annotations.is_empty() {
        slice.metadata.annotations = None;
    }
}

impl Slices {
    async fn apply(&self, key: &ObjectKey, plan: &plan::Plan) -> Result<(), ReconcileError> {
        let client: Api<EndpointSlice> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let params = PostParams::default();
        let created = plan.create.iter().map(|slice| async {
            match client.create(&params, slice).await {
                Err(error) if api::is_namespace_terminating(&error) => Ok(()),
                other => self.note(key, other, "create"),
            }
        });
        try_join_all(created).await?;
        let updated = plan
            .update
            .iter()
            .map(|slice| async { self.note(key, client.replace(slice.name(), &params, slice).await, "update") });
        try_join_all(updated).await?;
        for slice in &plan.delete {
            match client.delete(slice.name(), &api::delete_exactly(&slice.metadata)).await {
                Ok(_) => self.writes.deleted(key, &self.slices, slice),
                Err(error) if api::has_code(&error, 404) => {}
                Err(error) => return Err(error).doing(|| format!("cannot delete EndpointSlice {:?}", slice.name())),
            }
        }
        Ok(())
    }

    fn note(
        &self,
        key: &ObjectKey,
        written: Result<EndpointSlice, kube::Error>,
        verb: &str,
    ) -> Result<(), ReconcileError> {
        let written = written.doing(|| format!("cannot {verb} an EndpointSlice"))?;
        self.writes.wrote(key, &self.slices, &written);
        Ok(())
    }
}
