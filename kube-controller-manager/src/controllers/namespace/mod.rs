//! namespace-controller: empties a namespace that is being deleted and then lets it go (upstream: pkg/controller/namespace).

mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use component_base::informer::{Object as _, Partial};
use component_base::{Chain, ObjectKey, Reader};
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use serde::Deserialize;
use serde_json::json;

use super::StartError;
use crate::api;
use crate::context::{Context, Shared};
use crate::discovery::{self, Resource};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};
use plan::Outcome;

const FINALIZER: &str = "kubernetes";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// How long objects with finalizers of others are given, in seconds.
const FINALIZER_ESTIMATE: i64 = 15;

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("namespace-controller", "namespace-controller")?;
    let controller = Namespaces { namespaces: context.informers.reader(), context: context.clone() };
    runner::start(controller, &context, shared.flags.int("concurrent-namespace-syncs"));
    Ok(true)
}

struct Namespaces {
    context: Context,
    namespaces: Reader<Namespace>,
}

#[derive(Deserialize)]
struct MetadataList {
    items: Option<Vec<Partial>>,
}

#[async_trait]
impl Controller for Namespaces {
    const NAME: &'static str = "namespace-controller";

    fn watches(&self, queue: &Keys) {
        let queue = queue.clone();
        self.namespaces.on_event(move |event| {
            if let Some(namespace) = event.new_state().filter(|namespace| namespace.is_deleting()) {
                queue.add(ObjectKey::of(&**namespace));
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let namespaces: Api<Namespace> = Api::all(self.context.client.clone());
        let found = namespaces.get_opt(&key.name).await.doing(|| "cannot get the namespace".to_owned())?;
        let Some(mut namespace) = found.filter(|namespace| namespace.is_deleting() && !is_finalized(namespace)) else {
            return Ok(Next::OnChange);
        };
        if namespace.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Terminating") {
            namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
            let written = namespaces.replace_status(&key.name, &PostParams::default(), &namespace).await;
            namespace = written.doing(|| "cannot set the phase".to_owned())?;
        }
        let outcome = self.empty(&key.name).await?;
        if plan::update(namespace.status.get_or_insert_default(), &outcome, self.context.clock.now()) {
            let written = namespaces.replace_status(&key.name, &PostParams::default(), &namespace).await;
            namespace = written.doing(|| "cannot update the conditions".to_owned())?;
        }
        if outcome.is_empty() {
            self.finalize(namespace).await?;
            return Ok(Next::OnChange);
        }
        if outcome.estimate > 0 {
            let seconds = u64::try_from(outcome.estimate / 2 + 1).unwrap_or(1);
            return Ok(Next::After(Duration::from_secs(seconds)));
        }
        let failures = outcome.delete_failures.iter().chain(&outcome.discovery_failures);
        Err(ReconcileError::Invalid(failures.cloned().collect::<Vec<_>>().join(", ")))
    }
}

fn is_finalized(namespace: &Namespace) -> bool {
    namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref()).is_none_or(Vec::is_empty)
}

impl Namespaces {
    /// Deletes everything in the namespace, pods first: what they need stays until they are gone.
    async fn empty(&self, namespace: &str) -> Result<Outcome, ReconcileError> {
        let found = discovery::discover(&self.context.client).await.doing(|| "cannot discover resources".to_owned())?;
        let mut outcome = Outcome { discovery_failures: found.failed, ..Outcome::default() };
        let (first, rest): (Vec<Resource>, Vec<Resource>) = found
            .resources
            .into_iter()
            .filter(|resource| resource.namespaced && resource.has_verbs(&["delete"]))
            .partition(|resource| resource.group.is_empty() && resource.plural == "pods");
        for resource in &first {
            self.empty_one(namespace, resource, &mut outcome).await;
        }
        if !outcome.remaining.is_empty() {
            return Ok(outcome);
        }
        for resource in &rest {
            self.empty_one(namespace, resource, &mut outcome).await;
        }
        Ok(outcome)
    }

    async fn empty_one(&self, namespace: &str, resource: &Resource, outcome: &mut Outcome) {
        let result = self.delete_all(namespace, resource).await;
        let left = match (result, self.list(namespace, resource).await) {
            (Ok(()), Ok(left)) => left,
            (Err(error), listed) => {
                outcome.delete_failures.push(failure(namespace, resource, &error));
                listed.unwrap_or_default()
            }
            (_, Err(error)) => {
                outcome.delete_failures.push(failure(namespace, resource, &error));
                return;
            }
        };
        if left.is_empty() {
            return;
        }
        let estimate = left.iter().map(|object| estimate(resource, object)).max().unwrap_or(0);
        outcome.estimate = outcome.estimate.max(estimate);
        outcome.remaining.insert(format!("{}.{}", resource.plural, resource.group), left.len());
        let finalizers = left.iter().flat_map(|object| object.metadata.finalizers.iter().flatten());
        count(finalizers, &mut outcome.finalizers);
        if estimate == 0 {
            let text =
                format!("unexpected items still remain in namespace: {namespace} for gvr: {}", name_of(resource));
            outcome.delete_failures.push(text);
        }
    }

    async fn delete_all(&self, namespace: &str, resource: &Resource) -> Result<(), kube::Error> {
        let body =
            json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" }).to_string();
        if resource.has_verbs(&["deletecollection"]) {
            return self.delete(&resource.path(Some(namespace)), &body).await;
        }
        if !resource.has_verbs(&["list"]) {
            return Ok(());
        }
        for object in self.list(namespace, resource).await? {
            self.delete(&format!("{}/{}", resource.path(Some(namespace)), object.name()), &body).await?;
        }
        Ok(())
    }

    async fn delete(&self, path: &str, body: &str) -> Result<(), kube::Error> {
        let request = Request::delete(path).header(CONTENT_TYPE, "application/json").body(body.as_bytes().to_vec());
        let request = request.map_err(kube::Error::HttpError)?;
        match self.context.client.request_text(request).await {
            Err(error) if api::has_code(&error, 404) || api::has_code(&error, 405) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn list(&self, namespace: &str, resource: &Resource) -> Result<Vec<Partial>, kube::Error> {
        if !resource.has_verbs(&["list"]) {
            return Ok(Vec::new());
        }
        let request = Request::get(resource.path(Some(namespace))).header(ACCEPT, METADATA_LIST).body(Vec::new());
        let request = request.map_err(kube::Error::HttpError)?;
        match self.context.client.request::<MetadataList>(request).await {
            Ok(list) => Ok(list.items.unwrap_or_default()),
            Err(error) if api::has_code(&error, 404) || api::has_code(&error, 405) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn finalize(&self, mut namespace: Namespace) -> Result<(), ReconcileError> {
        let name = namespace.name().to_owned();
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let body = serde_json::to_vec(&namespace).map_err(|error| ReconcileError::Invalid(error.to_string()))?;
        let request = Request::put(format!("/api/v1/namespaces/{name}/finalize"))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let request = request.map_err(|error| ReconcileError::Invalid(error.to_string()))?;
        match self.context.client.request_text(request).await {
            Err(error) if api::has_code(&error, 404) => Ok(()),
            other => other.map(drop).doing(|| "cannot finalize the namespace".to_owned()),
        }
    }
}

fn count<'a>(names: impl Iterator<Item = &'a String>, counts: &mut BTreeMap<String, usize>) {
    for name in names {
        *counts.entry(name.clone()).or_default() += 1;
    }
}

fn estimate(resource: &Resource, object: &Partial) -> i64 {
    let is_pod = resource.group.is_empty() && resource.plural == "pods";
    let grace = if is_pod { object.metadata.deletion_grace_period_seconds.unwrap_or(0).max(1) } else { 0 };
    let finalizers = object.metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
    if finalizers { grace.max(FINALIZER_ESTIMATE) } else { grace }
}

fn name_of(resource: &Resource) -> String {
    format!("{}, Resource={}", resource.api_version(), resource.plural)
}

fn failure(namespace: &str, resource: &Resource, error: &kube::Error) -> String {
    format!("cannot delete {} in namespace {namespace}: {}", name_of(resource), Chain(error))
}
