//! root-ca-certificate-publisher-controller: the ConfigMap `kube-root-ca.crt` in every namespace
//! (upstream: pkg/controller/certificates/rootcacertpublisher).

use std::collections::BTreeMap;

use async_trait::async_trait;
use component_base::informer::Object as _;
use component_base::{ObjectKey, Reader};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, PostParams};

use super::StartError;
use crate::api;
use crate::context::{Context, Shared};
use crate::runner::{self, Controller, Doing as _, Keys, Next, ReconcileError};

const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
/// What the annotation tells users; clients see this text, so it is upstream's.
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub(super) fn start(shared: &Shared) -> Result<bool, StartError> {
    let context = shared.context("root-ca-cert-publisher", "root-ca-cert-publisher")?;
    let controller = RootCa {
        authority: authority(shared.flags.str("root-ca-file"))?,
        namespaces: context.informers.reader(),
        maps: context.informers.reader_with(component_base::informer::Options::fields(format!("metadata.name={NAME}"))),
        context: context.clone(),
    };
    runner::start(controller, &context, 1);
    Ok(true)
}

/// The file's content, or the pod's own root if no file is named.
fn authority(path: &str) -> Result<String, StartError> {
    if path.is_empty() {
        let own = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
        return Ok(std::fs::read_to_string(own).unwrap_or_default());
    }
    std::fs::read_to_string(path)
        .map_err(|error| StartError::Setup(format!("error reading root-ca-file at {path}: {error}")))
}

struct RootCa {
    context: Context,
    authority: String,
    namespaces: Reader<Namespace>,
    maps: Reader<ConfigMap>,
}

#[async_trait]
impl Controller for RootCa {
    const NAME: &'static str = "root-ca-certificate-publisher-controller";

    fn watches(&self, queue: &Keys) {
        runner::on_change(&self.namespaces, queue);
        let queue = queue.clone();
        self.maps.on_event(move |event| queue.add(ObjectKey::cluster(event.object().namespace())));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, ReconcileError> {
        let namespace = self.namespaces.get_key(key).filter(|namespace| super::serviceaccount::is_active(namespace));
        if namespace.is_none() {
            return Ok(Next::OnChange);
        }
        let maps: Api<ConfigMap> = Api::namespaced(self.context.client.clone(), &key.name);
        let wanted: BTreeMap<String, String> = [(KEY.to_owned(), self.authority.clone())].into();
        let Some(known) = self.maps.get(&key.name, NAME) else {
            let mut map = ConfigMap { data: Some(wanted), ..ConfigMap::default() };
            map.metadata.name = Some(NAME.to_owned());
            map.metadata.annotations = Some([(DESCRIPTION.to_owned(), DESCRIPTION_TEXT.to_owned())].into());
            return match maps.create(&PostParams::default(), &map).await {
                Err(error) if api::has_code(&error, 409) || api::is_namespace_terminating(&error) => Ok(Next::OnChange),
                other => other.map(|_| Next::OnChange).doing(|| "cannot create the ConfigMap".to_owned()),
            };
        };
        if known.data.as_ref() == Some(&wanted) && known.annotation(DESCRIPTION).is_some_and(|text| !text.is_empty()) {
            return Ok(Next::OnChange);
        }
        let mut map = (*known).clone();
        map.data = Some(wanted);
        map.metadata.annotations.get_or_insert_default().insert(DESCRIPTION.to_owned(), DESCRIPTION_TEXT.to_owned());
        maps.replace(NAME, &PostParams::default(), &map).await.doing(|| "cannot update the ConfigMap".to_owned())?;
        Ok(Next::OnChange)
    }
}
