//! Objects that the server itself makes sure of: at start, and some of them for as long as it runs.
//!
//! Everything goes through the server's own verbs (`Loopback`), so defaulting, managed fields and storage are
//! those of everybody. Each unit sets its health check when it is done.
//! upstream: pkg/controlplane and the post-start hooks of the bootstrap packages

pub mod api_services;
pub mod cluster_authentication;
pub mod data;
pub mod flow_control;
pub mod identity;
pub mod kubernetes_service;
pub mod namespaces;
pub mod priority_classes;
pub mod rbac;
pub mod records;
pub mod service_cidr;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::ApiError;
use component_base::{Shutdown, task};

use crate::health::{Health, Hook};
use crate::loopback::Loopback;
use crate::options::Options;

/// Pause before a failed unit tries again.
const RETRY: Duration = Duration::from_secs(1);
/// Pause between two checks of objects that must always be there.
const RECHECK: Duration = Duration::from_secs(60);

/// What the units need.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Requests to the server itself.
    pub api: Loopback,
    /// Records of live API servers.
    pub records: Arc<records::Records>,
    /// Health checks to set.
    pub health: Arc<Health>,
    /// The command line.
    pub options: Arc<Options>,
    /// Port that clients use.
    pub port: u16,
    /// Client CA and front proxy settings, as they are published.
    pub authentication: Arc<cluster_authentication::Published>,
    /// Ends the repeating units.
    pub shutdown: Shutdown,
}

impl Bootstrap {
    /// Starts all units; returns at once.
    pub fn start(self) {
        for hook in Self::IMMEDIATE {
            self.health.done(hook);
        }
        task::spawn("bootstrap", async move {
            self.until_done("namespaces", || namespaces::ensure(&self.api)).await;
            self.health.done(Hook::SystemNamespaces);
            tokio::join!(
                self.unit("rbac", Hook::RbacBootstrapRoles, || rbac::reconcile(&self.api)),
                self.unit("priority-classes", Hook::PriorityClasses, || priority_classes::ensure(&self.api)),
                self.unit("flow-control", Hook::FlowControlProducer, || flow_control::ensure(&self.api)),
                self.unit("service-cidr", Hook::ServiceCidr, || service_cidr::ensure(&self.api, &self.options)),
                self.unit("api-services", Hook::AutoregisterCompletion, || {
                    api_services::ensure(&self.api, &self.options.enabled)
                }),
                self.unit("cluster-authentication", Hook::ClusterAuthenticationInfo, || {
                    cluster_authentication::publish(&self.api, &self.authentication)
                }),
                self.unit("identity", Hook::IdentityLease, || identity::renew(&self.api)),
                self.unit("token-tracking", Hook::LegacyTokenTracking, || identity::track_legacy_tokens(&self.api)),
                self.unit("kubernetes-service", Hook::BootstrapController, || { kubernetes_service::reconcile(&self) }),
            );
            for hook in [Hook::Autoregistration, Hook::ApiServiceFirstSync] {
                self.health.done(hook);
            }
            tracing::info!("bootstrap objects are in place");
            self.keep().await;
        });
    }

    /// Checks whose work is part of starting the server, or that stand for nothing here.
    const IMMEDIATE: [Hook; 20] = [
        Hook::AdmissionInitializer,
        Hook::StartInformers,
        Hook::FlowControlConsumer,
        Hook::FlowControlFilter,
        Hook::ObjectCountTracker,
        Hook::ExtensionInformers,
        Hook::ExtensionControllers,
        Hook::CrdInformerSynced,
        Hook::PeerEndpointReconciler,
        Hook::IdentityLeaseCollector,
        Hook::StorageReadiness,
        Hook::ServiceIpRepair,
        Hook::ReloadProxyClientCert,
        Hook::AggregatorInformers,
        Hook::ApiServiceLocalAvailable,
        Hook::ApiServiceRemoteAvailable,
        Hook::ApiServiceRegistration,
        Hook::ApiServiceDiscovery,
        Hook::ApiServiceOpenApi,
        Hook::ApiServiceOpenApiV3,
    ];

    /// Repeats what somebody might undo.
    async fn keep(&self) {
        let mut rounds = 0u32;
        loop {
            tokio::select! {
                () = self.shutdown.wait() => break,
                () = tokio::time::sleep(kubernetes_service::INTERVAL) => {}
            }
            rounds += 1;
            note("kubernetes-service", kubernetes_service::reconcile(self).await);
            if !rounds.is_multiple_of((RECHECK.as_secs() / kubernetes_service::INTERVAL.as_secs()) as u32) {
                continue;
            }
            note("namespaces", namespaces::ensure(&self.api).await);
            note("service-cidr", service_cidr::ensure(&self.api, &self.options).await);
            note("cluster-authentication", cluster_authentication::publish(&self.api, &self.authentication).await);
            note("identity", identity::renew(&self.api).await);
        }
        kubernetes_service::withdraw(self).await;
    }

    async fn unit<F, T>(&self, name: &'static str, hook: Hook, work: F)
    where
        F: Fn() -> T,
        T: Future<Output = Result<(), ApiError>>,
    {
        self.until_done(name, work).await;
        self.health.done(hook);
    }

    async fn until_done<F, T>(&self, name: &'static str, work: F)
    where
        F: Fn() -> T,
        T: Future<Output = Result<(), ApiError>>,
    {
        while let Err(error) = work().await {
            tracing::warn!(
                unit = name,
                error = error.message(),
                "bootstrap objects could not be written, trying again"
            );
            tokio::select! {
                () = self.shutdown.wait() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}

fn note(unit: &str, result: Result<(), ApiError>) {
    if let Err(error) = result {
        tracing::warn!(unit, error = error.message(), "bootstrap objects could not be checked");
    }
}

/// Takes "somebody else made it" for success.
fn created(result: Result<apimachinery::value::Value, ApiError>) -> Result<(), ApiError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_already_exists() => Ok(()),
        Err(error) => Err(error),
    }
}
