//! The node's lease: a small object that says every few seconds that the node lives.
//!
//! upstream: staging/src/k8s.io/component-helpers/apimachinery/lease/controller.go

use std::time::Duration;

use component_base::{Shutdown, clock};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

const NAMESPACE: &str = "kube-node-lease";
/// The lease is renewed in this part of its duration.
const RENEW_FRACTION: u32 = 4;
const RETRY: Duration = Duration::from_secs(1);

/// Renews the lease of `node` until `stop`.
pub async fn keep(client: Client, node: String, duration_seconds: i32, stop: Shutdown) {
    let interval = Duration::from_secs(u64::try_from(duration_seconds).unwrap_or(40)) / RENEW_FRACTION;
    let mut keeper = Keeper { client, node, duration_seconds, last: None };
    loop {
        let wait = match keeper.renew().await {
            Ok(()) => interval,
            Err(error) => {
                tracing::warn!(node = keeper.node, %error, "lease was not renewed");
                keeper.last = None;
                RETRY
            }
        };
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Keeper {
    client: Client,
    node: String,
    duration_seconds: i32,
    last: Option<Lease>,
}

impl Keeper {
    async fn renew(&mut self) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let current = match self.last.take() {
            Some(lease) => Some(lease),
            None => leases.get_opt(&self.node).await?,
        };
        let params = PostParams::default();
        let renewed = match current {
            Some(mut lease) => {
                self.fill(&mut lease);
                if lease.metadata.owner_references.as_ref().is_none_or(Vec::is_empty) {
                    lease.metadata.owner_references = self.owner().await;
                }
                leases.replace(&self.node, &params, &lease).await?
            }
            None => {
                let mut lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(self.node.clone()),
                        namespace: Some(NAMESPACE.to_owned()),
                        owner_references: self.owner().await,
                        ..ObjectMeta::default()
                    },
                    spec: None,
                };
                self.fill(&mut lease);
                leases.create(&params, &lease).await?
            }
        };
        self.last = Some(renewed);
        Ok(())
    }

    fn fill(&self, lease: &mut Lease) {
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(self.node.clone());
        spec.lease_duration_seconds = Some(self.duration_seconds);
        spec.renew_time = Some(clock::now_micro());
    }

    /// The lease goes when the node goes.
    async fn owner(&self) -> Option<Vec<OwnerReference>> {
        let node = Api::<Node>::all(self.client.clone()).get_opt(&self.node).await.ok().flatten()?;
        Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.node.clone(),
            uid: node.metadata.uid?,
            ..OwnerReference::default()
        }])
    }
}
