//! ControllerRevisions: the templates that a DaemonSet or StatefulSet has had (upstream: pkg/controller/history).

use std::sync::Arc;

use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::api;
use crate::context::Context;
use crate::pods::control::Owner;
use crate::runner::{Doing as _, ReconcileError};
use crate::writes::Writes;

/// Label of pods and revisions with the hash of their template.
pub(crate) const HASH_LABEL: &str = "controller-revision-hash";

/// Revisions of one kind of owner.
pub(crate) struct History {
    context: Context,
    revisions: Reader<ControllerRevision>,
    writes: Arc<Writes>,
}

/// A template as it is kept: a patch that replaces the owner's.
pub(crate) fn data_of(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    if let Some(map) = template.as_object_mut() {
        map.insert("$patch".to_owned(), "replace".into());
    }
    json!({ "spec": { "template": template } })
}

/// The template that a revision keeps.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// The hash by which a revision's pods are known.
pub(crate) fn hash_of(revision: &ControllerRevision) -> &str {
    revision.label(HASH_LABEL).unwrap_or_default()
}

impl History {
    pub(crate) fn new(context: &Context, writes: Arc<Writes>) -> Self {
        let revisions = context.informers.reader::<ControllerRevision>();
        revisions.add_index("owner", |revision| {
            api::controller_of(&revision.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
        });
        Self { context: context.clone(), revisions, writes }
    }

    pub(crate) fn reader(&self) -> &Reader<ControllerRevision> {
        &self.revisions
    }

    fn api(&self, namespace: &str) -> Api<ControllerRevision> {
        Api::namespaced(self.context.client.clone(), namespace)
    }

    /// Revisions of the owner, oldest first.
    pub(crate) fn of(&self, uid: &str) -> Vec<Arc<ControllerRevision>> {
        let mut all = self.revisions.by_index("owner", uid);
        all.sort_by_key(|revision| (revision.revision, api::created(&revision.metadata), revision.name().to_owned()));
        all
    }

    /// The revision of the owner's template: one that is kept already, moved to the front, or a new one. The collision
    /// count makes another name of the same template; it is raised if the name is taken by something else.
    pub(crate) async fn current<K: Owner>(
        &self,
        key: &ObjectKey,
        owner: &K,
        template: &PodTemplateSpec,
        collisions: &mut Option<i32>,
    ) -> Result<Arc<ControllerRevision>, ReconcileError> {
        let data = data_of(template);
        let all = self.of(owner.uid());
        let last = all.last().map_or(0, |revision| revision.revision);
        if let Some(known) = all.iter().rev().find(|revision| revision.data.as_ref().is_some_and(|kept| kept.0 == data))
        {
            return if known.revision == last {
                Ok(Arc::clone(known))
            } else {
                self.move_to_front(key, known, last + 1).await
            };
        }
        loop {
            let made = self.make(owner, template, data.clone(), last + 1, *collisions);
            match self.api(owner.namespace()).create(&PostParams::default(), &made).await {
                Ok(written) => {
                    self.writes.wrote(key, &self.revisions, &written);
                    return Ok(Arc::new(written));
                }
                Err(error) if api::has_code(&error, 409) => {
                    let live = self
                        .api(owner.namespace())
                        .get(made.name())
                        .await
                        .doing(|| "cannot get the revision of the same name".to_owned())?;
                    if live.data == made.data && api::is_controlled_by(&live.metadata, owner.uid()) {
                        return Ok(Arc::new(live));
                    }
                    *collisions = Some(collisions.unwrap_or(0) + 1);
                }
                Err(error) => return Err(error).doing(|| "cannot create a revision".to_owned()),
            }
        }
    }

    fn make<K: Owner>(
        &self,
        owner: &K,
        template: &PodTemplateSpec,
        data: Value,
        revision: i64,
        collisions: Option<i32>,
    ) -> ControllerRevision {
        let mut bytes = data.to_string().into_bytes();
        if let Some(collisions) = collisions {
            bytes.extend_from_slice(collisions.to_string().as_bytes());
        }
        let hash = api::safe_encode(&api::fnv32a(&bytes).to_string());
        let mut labels = template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", owner.name())),
                namespace: owner.meta().namespace.clone(),
                labels: Some(labels),
                annotations: owner.meta().annotations.clone(),
                owner_references: Some(vec![api::controller_reference(owner)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data)),
            revision,
        }
    }

    async fn move_to_front(
        &self,
        key: &ObjectKey,
        known: &ControllerRevision,
        revision: i64,
    ) -> Result<Arc<ControllerRevision>, ReconcileError> {
        let moved = ControllerRevision { revision, ..known.clone() };
        let written = self.api(known.namespace()).replace(known.name(), &PostParams::default(), &moved).await;
        let written = written.doing(|| "cannot update a revision".to_owned())?;
        self.writes.wrote(key, &self.revisions, &written);
        Ok(Arc::new(written))
    }

    /// Deletes the oldest revisions beyond the limit that no pod is of.
    pub(crate) async fn clean_up(
        &self,
        key: &ObjectKey,
        uid: &str,
        limit: i32,
        in_use: impl Fn(&ControllerRevision) -> bool,
    ) -> Result<(), ReconcileError> {
        let idle: Vec<_> = self.of(uid).into_iter().filter(|revision| !in_use(revision)).collect();
        let excess = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for revision in idle.iter().take(excess) {
            match self.api(revision.namespace()).delete(revision.name(), &api::delete_exactly(&revision.metadata)).await
            {
                Ok(_) => self.writes.deleted(key, &self.revisions, &**revision),
                Err(error) if api::has_code(&error, 404) => {}
                Err(error) => return Err(error).doing(|| "cannot delete an old revision".to_owned()),
            }
        }
        Ok(())
    }
}
