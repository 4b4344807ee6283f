//! endpoints-controller: the old Endpoints object of every Service with a selector (upstream: pkg/controller/endpoint).

mod plan;

use std::sync::Arc;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams};

use super::StartError;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use crate::services::{self, HEADLESS_LABEL, LAST_CHANGE_TRIGGER_TIME, TriggerTimes};
use crate::writes::Writes;
use crate::{api, events, selector};

const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("endpoint-controller", "endpoint-controller")?;
    let controller = EndpointsController {
        services: context.informers.reader(),
        pods: crate::pods::slim::reader(&context.informers),
        endpoints: context.informers.reader(),
        writes: Writes::default(),
        times: TriggerTimes::default(),
        context: context.clone(),
    };
    runner::start(controller, &context, shared.flags.int("concurrent-endpoint-syncs"));
    Ok(true)
}

struct EndpointsController {
    context: Context,
    services: Reader<Service>,
    pods: Reader<Pod>,
    endpoints: Reader<Endpoints>,
    writes: Writes,
    times: TriggerTimes,
}

#[async_trait]
impl Controller for EndpointsController {
    const NAME: &'static str = "endpoints-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.services, queue);
        runner::on_change(&self.endpoints, queue);
        services::on_pod_change(&self.pods, &self.services, queue);
    }

    fn writes(&self) -> Option<&Writes> {
        Some(&self.writes)
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let client: Api<Endpoints> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let Some(service) = self.services.get_key(key) else {
            self.times.forget(key);
            return self.delete_leftover(key, &client).await;
        };
        let spec = service.spec.clone().unwrap_or_default();
        let Some(wanted) = spec.selector.filter(|_| spec.type_.as_deref() != Some("ExternalName")) else {
            return Ok(Next::OnChange);
        };
        let pods: Vec<Arc<Pod>> = self
            .pods
            .list_ns(&key.namespace)
            .into_iter()
            .filter(|pod| selector::matches_map(&wanted, pod.metadata.labels.as_ref()))
            .collect();
        let changed_at = self.times.earliest_change(key, &service, pods.iter().map(|pod| &**pod));
        let known = self.endpoints.get_key(key);
        let mut subsets = plan::subsets(&service, &pods);
        let truncated = plan::truncate(&mut subsets);
        let labels = labels_for(&service);
        if let Some(known) = &known
            && plan::repack(known.subsets.as_deref().unwrap_or_default()) == plan::repack(&subsets)
            && known.metadata.labels.as_ref() == Some(&labels)
            && known.annotation(OVER_CAPACITY).is_some() == truncated
        {
            return Ok(Next::OnChange);
        }
        let fresh = ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        };
        let metadata = known.as_ref().map_or(fresh, |known| known.metadata.clone());
        let mut wanted = Endpoints { metadata, subsets: Some(subsets).filter(|subsets| !subsets.is_empty()) };
        wanted.metadata.labels = Some(labels);
        annotate(&mut wanted.metadata, changed_at, truncated);
        self.write(key, &client, &wanted, known.is_some()).await
    }
}

impl EndpointsController {
    /// Endpoints of a Service that went while nobody looked; those that others made stay.
    async fn delete_leftover(&self, key: &ObjectKey, client: &Api<Endpoints>) -> Result<Next, ReconcileError> {
        let Some(known) = self.endpoints.get_key(key) else { return Ok(Next::OnChange) };
        let ours = known.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(MANAGED_BY));
        if !ours || known.is_deleting() {
            return Ok(Next::OnChange);
        }
        match client.delete(&key.name, &DeleteParams::default()).await {
            Err(error) if !api::has_code(&error, 404) => Err(error).doing(|| "cannot delete the Endpoints".to_owned()),
            _ => Ok(Next::OnChange),
        }
    }

    async fn write(
        &self,
        key: &ObjectKey,
        client: &Api<Endpoints>,
        wanted: &Endpoints,
        exists: bool,
    ) -> Result<Next, ReconcileError> {
        let params = PostParams::default();
        let written = if exists {
            client.replace(&key.name, &params, wanted).await
        } else {
            client.create(&params, wanted).await
        };
        match written {
            Ok(written) => {
                self.writes.wrote(key, &self.endpoints, &written);
                Ok(Next::OnChange)
            }
            Err(error) if !exists && api::is_namespace_terminating(&error) => Ok(Next::OnChange),
            Err(error) => {
                let text = api::message_of(&error);
                if !exists {
                    let message =
                        format!("Failed to create endpoint for service {}/{}: {text}", key.namespace, key.name);
                    events::warning(&self.context.recorder, wanted, "FailedToCreateEndpoint", message);
                } else if !api::has_code(&error, 409) {
                    let message = format!("Failed to update endpoint {}/{}: {text}", key.namespace, key.name);
                    events::warning(&self.context.recorder, wanted, "FailedToUpdateEndpoint", message);
                }
                Err(error).doing(|| "cannot write the Endpoints".to_owned())
            }
        }
    }
}

fn labels_for(service: &Service) -> std::collections::BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    if services::is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS_LABEL);
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn annotate(meta: &mut ObjectMeta, changed_at: Option<jiff::Timestamp>, truncated: bool) {
    let annotations = meta.annotations.get_or_insert_default();
    match changed_at {
        Some(at) => annotations.insert(LAST_CHANGE_TRIGGER_TIME.to_owned(), at.to_string()),
        None => annotations.remove(LAST_CHANGE_TRIGGER_TIME),
    };
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if annotations.is_empty() {
        meta.annotations = None;
    }
}
