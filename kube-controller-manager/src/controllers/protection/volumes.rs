//! persistentvolume-protection-controller: a volume stays as long as it is bound.

use async_trait::async_trait;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, PostParams};

use super::Verdict;
use crate::context::{Context, Shared};
use crate::controllers::StartError;
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

const FINALIZER: &str = "kubernetes.io/pv-protection";

pub(in crate::controllers) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("pv-protection-controller", "pv-protection-controller")?;
    runner::start(Volumes { volumes: context.informers.reader(), context: context.clone() }, &context, 1);
    Ok(true)
}

struct Volumes {
    context: Context,
    volumes: Reader<PersistentVolume>,
}

#[async_trait]
impl Controller for Volumes {
    const NAME: &'static str = "persistentvolume-protection-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.volumes, queue);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(volume) = self.volumes.get_key(key) else { return Ok(Next::OnChange) };
        let bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let verdict = super::judge(&*volume, FINALIZER, bound);
        if verdict != Verdict::Leave {
            let mut changed = (*volume).clone();
            super::apply(&mut changed, FINALIZER, verdict);
            let client: Api<PersistentVolume> = Api::all(self.context.client.clone());
            client
                .replace(&key.name, &PostParams::default(), &changed)
                .await
                .doing(|| "cannot change the finalizer".to_owned())?;
        }
        Ok(Next::OnChange)
    }
}
