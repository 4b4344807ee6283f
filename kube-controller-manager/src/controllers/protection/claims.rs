//! persistentvolumeclaim-protection-controller: a claim stays as long as a pod uses it.

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, PostParams};

use super::Verdict;
use crate::context::{Context, Shared};
use crate::controllers::StartError;
use crate::pods;
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

const FINALIZER: &str = "kubernetes.io/pvc-protection";

pub(in crate::controllers) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("pvc-protection-controller", "pvc-protection-controller")?;
    let pods = crate::pods::slim::reader(&context.informers);
    pods.add_index("claim", claims_of);
    let controller = Claims { claims: context.informers.reader(), pods, context: context.clone() };
    runner::start(controller, &context, 1);
    Ok(true)
}

struct Claims {
    context: Context,
    claims: Reader<PersistentVolumeClaim>,
    pods: Reader<Pod>,
}

/// Keys of the claims that a pod names, those of its own ephemeral volumes included.
fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let names = volumes.filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(claim), _) => Some(claim.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", pod.name(), volume.name)),
        _ => None,
    });
    names.map(|name| format!("{}/{name}", pod.namespace())).collect()
}

/// A pod that was never bound or has ended uses nothing.
fn uses(pod: &Pod) -> bool {
    !pods::node(pod).is_empty() && !pods::is_terminal(pod)
}

#[async_trait]
impl Controller for Claims {
    const NAME: &'static str = "persistentvolumeclaim-protection-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.claims, queue);
        let queue = queue.clone();
        self.pods.on_event(move |event| {
            let gone_or_ended = event.new_state().is_none_or(|pod| !uses(pod));
            if gone_or_ended {
                let keys = claims_of(event.object()).into_iter().filter_map(|key| key.parse::<ObjectKey>().ok());
                keys.for_each(|key| queue.add(key));
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let Some(claim) = self.claims.get_key(key) else { return Ok(Next::OnChange) };
        let mut in_use = self.pods.by_index("claim", &key.to_string()).iter().any(|pod| uses(pod));
        if !in_use && super::judge(&*claim, FINALIZER, false) == Verdict::Remove {
            // The informer may be behind: the live pods decide.
            let client: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
            let live = client.list(&kube::api::ListParams::default()).await.doing(|| "cannot list pods".to_owned())?;
            let wanted = key.to_string();
            in_use = live.items.iter().any(|pod| uses(pod) && claims_of(pod).contains(&wanted));
        }
        let verdict = super::judge(&*claim, FINALIZER, in_use);
        if verdict != Verdict::Leave {
            let mut changed = (*claim).clone();
            super::apply(&mut changed, FINALIZER, verdict);
            let client: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), &key.namespace);
            client
                .replace(&key.name, &PostParams::default(), &changed)
                .await
                .doing(|| "cannot change the finalizer".to_owned())?;
        }
        Ok(Next::OnChange)
    }
}
