//! ControllerRevisions: the templates that a DaemonSet or StatefulSet has had (upstream: pkg/controller/history).

use std::sync::Arc;

use apimachinery::codec::json;
use apimachinery::value::to_value;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::Resource as _;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::Resource as _;
use kube::api::{Api, PostParams, Request};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api;
use crate::context::Context;
use crate::pods::control::Owner;
use crate::runner::{Doing as _, ReconcileError};
use crate::templates;
use crate::writes::Writes;

/// Label of pods and revisions with the hash of their template.
pub(crate) const HASH_LABEL: &str = "controller-revision-hash";

/// Whose revisions they are: upstream names them in two ways.
#[derive(Clone, Copy)]
pub(crate) enum Keeper {
    /// By the hash of the template.
    DaemonSet,
    /// By the hash of what the revision keeps.
    StatefulSet,
}

/// Revisions of one kind of owner.
pub(crate) struct History {
    context: Context,
    keeper: Keeper,
    revisions: Reader<ControllerRevision>,
    writes: Arc<Writes>,
}

/// The template that a revision keeps.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    // By way of text: from a tree would compile a second decoder of everything a template may hold.
    serde_json::from_str(&template.to_string()).ok()
}

/// The hash by which a revision's pods are known.
pub(crate) fn hash_of(revision: &ControllerRevision) -> &str {
    revision.label(HASH_LABEL).unwrap_or_default()
}

impl History {
    pub(crate) fn new(context: &Context, keeper: Keeper, writes: Arc<Writes>) -> Self {
        let revisions = context.informers.reader::<ControllerRevision>();
        revisions.add_index("owner", |revision| {
            api::controller_of(&revision.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
        });
        Self { context: context.clone(), keeper, revisions, writes }
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
        let patch = templates::patch(template, self.keeper);
        let data: serde_json::Value = serde_json::from_str(&patch).unwrap_or_default();
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
            let made = self.make(owner, template, &patch, last + 1, *collisions);
            match self.send(&made, Sending::New).await {
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
        patch: &str,
        revision: i64,
        collisions: Option<i32>,
    ) -> ControllerRevision {
        let hash = match self.keeper {
            Keeper::DaemonSet => templates::hash(template, collisions),
            Keeper::StatefulSet => templates::patch_hash(patch, collisions.unwrap_or(0)),
        };
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
            data: Some(RawExtension(serde_json::from_str(patch).unwrap_or_default())),
            revision,
        }
    }

    /// Creates or replaces a revision. What it keeps goes out in the very bytes that upstream writes, since upstream compares
    /// bytes.
    async fn send(&self, revision: &ControllerRevision, sending: Sending) -> Result<ControllerRevision, kube::Error> {
        let url = ControllerRevision::url_path(&(), Some(revision.namespace()));
        let requests = Request::new(url);
        let body = body_of(revision)?;
        let request = match sending {
            Sending::New => requests.create(&PostParams::default(), body),
            Sending::Change => requests.replace(revision.name(), &PostParams::default(), body),
        };
        self.context.client.request(request.map_err(kube::Error::BuildRequest)?).await
    }

    async fn move_to_front(
        &self,
        key: &ObjectKey,
        known: &ControllerRevision,
        revision: i64,
    ) -> Result<Arc<ControllerRevision>, ReconcileError> {
        let moved = ControllerRevision { revision, ..known.clone() };
        let written = self.send(&moved, Sending::Change).await;
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

/// Whether a revision is new.
enum Sending {
    New,
    Change,
}

fn body_of(revision: &ControllerRevision) -> Result<Vec<u8>, kube::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        api_version: &'static str,
        kind: &'static str,
        metadata: &'a ObjectMeta,
        data: Option<Box<RawValue>>,
        revision: i64,
    }
    let data = revision.data.as_ref().map(|data| to_value(&data.0).map(|value| json::to_string(&value)));
    let body = Body {
        api_version: ControllerRevision::API_VERSION,
        kind: ControllerRevision::KIND,
        metadata: &revision.metadata,
        data: data.and_then(Result::ok).and_then(|text| RawValue::from_string(text).ok()),
        revision: revision.revision,
    };
    serde_json::to_vec(&body).map_err(kube::Error::SerdeError)
}
