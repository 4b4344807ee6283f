//! Reads and writes of live objects of any kind, by their metadata alone.

use component_base::informer::{Object as _, Partial};
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use serde_json::json;

use crate::api::has_code;
use crate::discovery::Resource;

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

pub(super) struct Live {
    client: Client,
}

impl Live {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) async fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Partial>, kube::Error> {
        let request =
            Request::get(format!("{}/{name}", resource.path(namespace))).header(ACCEPT, METADATA).body(Vec::new());
        match self.client.request(request.map_err(kube::Error::HttpError)?).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if has_code(&error, 404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(resource: &Resource, object: &Partial) -> String {
        let namespace = resource.namespaced.then(|| object.namespace());
        format!("{}/{}", resource.path(namespace), object.name())
    }

    /// Deletes exactly this object. One that is gone already, or was changed so that the verdict may not hold, is left.
    pub(super) async fn delete(&self, resource: &Resource, object: &Partial, policy: &str) -> Result<(), kube::Error> {
        let body = json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": policy,
            "preconditions": { "uid": object.uid(), "resourceVersion": object.resource_version() },
        });
        let request = Request::delete(Self::path(resource, object)).header(CONTENT_TYPE, "application/json");
        let request = request.body(body.to_string().into_bytes()).map_err(kube::Error::HttpError)?;
        match self.client.request_text(request).await {
            Err(error) if has_code(&error, 404) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn patch(&self, resource: &Resource, object: &Partial, change: serde_json::Value) -> Result<(), kube::Error> {
        let mut metadata = change;
        metadata["uid"] = object.uid().into();
        metadata["resourceVersion"] = object.resource_version().into();
        let body = json!({ "metadata": metadata }).to_string().into_bytes();
        let request = Request::patch(Self::path(resource, object))
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .header(ACCEPT, METADATA);
        match self.client.request_text(request.body(body).map_err(kube::Error::HttpError)?).await {
            Err(error) if has_code(&error, 404) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes away the owners that do not pass.
    pub(super) async fn keep_owners(
        &self,
        resource: &Resource,
        object: &Partial,
        keeps: impl Fn(&OwnerReference) -> bool,
    ) -> Result<(), kube::Error> {
        let kept: Vec<&OwnerReference> =
            object.metadata.owner_references.iter().flatten().filter(|owner| keeps(owner)).collect();
        self.patch(resource, object, json!({ "ownerReferences": kept })).await
    }

    /// Stops blocking the deletion of owners.
    pub(super) async fn unblock(&self, resource: &Resource, object: &Partial) -> Result<(), kube::Error> {
        let mut owners = object.metadata.owner_references.clone().unwrap_or_default();
        for owner in &mut owners {
            owner.block_owner_deletion = Some(false);
        }
        self.patch(resource, object, json!({ "ownerReferences": owners })).await
    }

    pub(super) async fn remove_finalizer(
        &self,
        resource: &Resource,
        object: &Partial,
        finalizer: &str,
    ) -> Result<(), kube::Error> {
        let known = object.metadata.finalizers.clone().unwrap_or_default();
        if !known.iter().any(|name| name == finalizer) {
            return Ok(());
        }
        let kept: Vec<&String> = known.iter().filter(|name| *name != finalizer).collect();
        self.patch(resource, object, json!({ "finalizers": kept })).await
    }
}
