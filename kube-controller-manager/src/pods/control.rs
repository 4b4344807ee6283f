//! Making, deleting, adopting and releasing pods on behalf of an owner, with upstream's events.
//!
//! Upstream: pkg/controller/controller_utils.go (RealPodControl), controller_ref_manager.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use component_base::informer::Object;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api;
use crate::context::Context;
use crate::events;
use crate::runner::{Doing as _, ReconcileError};
use crate::writes::Writes;

/// What can own pods.
pub(crate) trait Owner: Object + k8s_openapi::Metadata<Ty = ObjectMeta> + Clone {}
impl<K: Object + k8s_openapi::Metadata<Ty = ObjectMeta> + DeserializeOwned + Clone> Owner for K {}

/// Pods of one kind of owner.
pub(crate) struct PodControl {
    context: Context,
    pods: Reader<Pod>,
    writes: Arc<Writes>,
    tell: Tell,
}

/// How events name what was done: upstream's StatefulSets have words of their own.
#[derive(Clone, Copy)]
pub(crate) enum Tell {
    Plainly,
    WithSet,
}

impl Tell {
    fn done(self, verb: &str, past: &str, pod: &str, owner: &str) -> String {
        match self {
            Self::Plainly => format!("{past} pod: {pod}"),
            Self::WithSet => format!("{verb} Pod {pod} in StatefulSet {owner} successful"),
        }
    }

    fn failed(self, verb: &str, pod: &str, owner: &str, error: &str) -> String {
        match self {
            Self::Plainly if verb == "create" => format!("Error creating: {error}"),
            Self::Plainly => format!("Error deleting: {error}"),
            Self::WithSet => format!("{verb} Pod {pod} in StatefulSet {owner} failed error: {error}"),
        }
    }
}

impl PodControl {
    pub(crate) fn new(context: &Context, writes: Arc<Writes>) -> Self {
        let pods = crate::pods::slim::reader(&context.informers);
        pods.add_index("owner", |pod| {
            // Pods without an owner are listed by namespace, for adoption.
            let owner = api::controller_of(&pod.metadata).map(|owner| owner.uid.clone());
            vec![owner.unwrap_or_else(|| format!("orphan/{}", pod.namespace()))]
        });
        Self { context: context.clone(), pods, writes, tell: Tell::Plainly }
    }

    /// With other words in its events.
    pub(crate) fn telling(self, tell: Tell) -> Self {
        Self { tell, ..self }
    }

    pub(crate) fn reader(&self) -> &Reader<Pod> {
        &self.pods
    }

    /// Pods that the owner with this UID controls.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<Arc<Pod>> {
        self.pods.by_index("owner", uid)
    }

    fn api(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), namespace)
    }

    /// The owner's pods; on the way it adopts orphans that its selector matches and releases pods that it does not.
    pub(crate) async fn claim<K: Owner>(
        &self,
        key: &ObjectKey,
        owner: &K,
        selects: impl Fn(Option<&BTreeMap<String, String>>) -> bool,
    ) -> Result<Vec<Arc<Pod>>, ReconcileError> {
        let (mine, strangers): (Vec<_>, Vec<_>) =
            self.owned_by(owner.uid()).into_iter().partition(|pod| selects(pod.metadata.labels.as_ref()));
        let mut claimed = mine;
        if owner.is_deleting() {
            return Ok(claimed);
        }
        for pod in strangers {
            self.release(key, owner, &pod).await?;
        }
        let orphans = self.pods.by_index("owner", &format!("orphan/{}", owner.namespace()));
        for pod in orphans.into_iter().filter(|pod| !pod.is_deleting() && selects(pod.metadata.labels.as_ref())) {
            if let Some(adopted) = self.adopt(key, owner, &pod).await? {
                claimed.push(Arc::new(adopted));
            }
        }
        Ok(claimed)
    }

    async fn adopt<K: Owner>(&self, key: &ObjectKey, owner: &K, pod: &Pod) -> Result<Option<Pod>, ReconcileError> {
        let patch = json!({ "metadata": { "ownerReferences": [api::controller_reference(owner)], "uid": pod.uid() } });
        self.patch_owner(key, pod, &patch).await
    }

    async fn release<K: Owner>(&self, key: &ObjectKey, owner: &K, pod: &Pod) -> Result<(), ReconcileError> {
        let patch = json!({
            "metadata": { "ownerReferences": [{ "$patch": "delete", "uid": owner.uid() }], "uid": pod.uid() }
        });
        self.patch_owner(key, pod, &patch).await.map(drop)
    }

    async fn patch_owner(
        &self,
        key: &ObjectKey,
        pod: &Pod,
        patch: &serde_json::Value,
    ) -> Result<Option<Pod>, ReconcileError> {
        let patched =
            self.api(pod.namespace()).patch(pod.name(), &PatchParams::default(), &Patch::Strategic(patch)).await;
        match patched {
            Ok(written) => {
                self.writes.wrote(key, &self.pods, &written);
                Ok(Some(written))
            }
            // Gone, or another pod of the same name: nothing to own.
            Err(error) if api::has_code(&error, 404) || api::has_code(&error, 422) => Ok(None),
            Err(error) => Err(error).doing(|| format!("cannot change the owner of pod {:?}", pod.name())),
        }
    }

    /// Makes pods of a template, first one, then in growing batches; stops at the first batch with a failure.
    pub(crate) async fn create_many<K: Owner>(
        &self,
        key: &ObjectKey,
        owner: &K,
        template: &PodTemplateSpec,
        count: usize,
    ) -> Result<(), ReconcileError> {
        let reference = api::controller_reference(owner);
        let pod = super::from_template(template, owner.namespace(), &reference);
        for size in batches(count) {
            let made = futures::future::join_all((0..size).map(|_| self.create(key, owner, &pod))).await;
            made.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        Ok(())
    }

    /// Makes one pod.
    pub(crate) async fn create<K: Owner>(&self, key: &ObjectKey, owner: &K, pod: &Pod) -> Result<(), ReconcileError> {
        match self.api(owner.namespace()).create(&PostParams::default(), pod).await {
            Ok(made) => {
                self.writes.wrote(key, &self.pods, &made);
                events::normal(
                    &self.context.recorder,
                    owner,
                    "SuccessfulCreate",
                    self.tell.done("create", "Created", made.name(), owner.name()),
                );
                Ok(())
            }
            // The namespace is going away, and the owner with it.
            Err(error) if api::is_namespace_terminating(&error) => Ok(()),
            Err(error) => {
                let message = self.tell.failed("create", pod.name(), owner.name(), &api::message_of(&error));
                events::warning(&self.context.recorder, owner, "FailedCreate", message);
                Err(error).doing(|| "cannot create a pod".to_owned())
            }
        }
    }

    /// Deletes pods at the same time.
    pub(crate) async fn delete_all<K: Owner>(
        &self,
        key: &ObjectKey,
        owner: &K,
        victims: &[Arc<Pod>],
    ) -> Result<(), ReconcileError> {
        let gone = futures::future::join_all(victims.iter().map(|pod| self.delete(key, owner, pod))).await;
        gone.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Deletes one pod; one that is gone already is no failure.
    pub(crate) async fn delete<K: Owner>(&self, key: &ObjectKey, owner: &K, pod: &Pod) -> Result<(), ReconcileError> {
        match self.api(pod.namespace()).delete(pod.name(), &api::delete_exactly(&pod.metadata)).await {
            Ok(_) => {
                self.writes.deleted(key, &self.pods, pod);
                events::normal(
                    &self.context.recorder,
                    owner,
                    "SuccessfulDelete",
                    self.tell.done("delete", "Deleted", pod.name(), owner.name()),
                );
                Ok(())
            }
            Err(error) if api::has_code(&error, 404) || api::has_code(&error, 409) => Ok(()),
            Err(error) => {
                let message = self.tell.failed("delete", pod.name(), owner.name(), &api::message_of(&error));
                events::warning(&self.context.recorder, owner, "FailedDelete", message);
                Err(error).doing(|| format!("cannot delete pod {:?}", pod.name()))
            }
        }
    }
}

/// Sizes of the batches in which pods are made: 1, 2, 4 … so that a template the server refuses costs few requests.
fn batches(mut count: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut next = 1;
    while count > 0 {
        let size = next.min(count);
        sizes.push(size);
        count -= size;
        next *= 2;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::batches;

    #[test]
    fn batches_double() {
        assert_eq!(batches(10), [1, 2, 4, 3]);
        assert!(batches(0).is_empty());
    }
}
