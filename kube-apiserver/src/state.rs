//! What every handler can reach: the registry with its stores, admission, identity and permissions.

use std::sync::Arc;

use crate::authentication::Authenticators;
use crate::authentication::service_account::TokenIssuer;
use crate::authorization::Authorizer;
use crate::connect::kubelet::Kubelets;
use crate::options::Options;
use crate::registry::Registry;
use crate::registry::admit::AdmissionChain;
use crate::service_ip::Allocators;

/// The server's shared state; made once at start.
pub struct AppState {
    /// All resources with their storage.
    pub registry: Arc<Registry>,
    /// All admission plugins.
    pub admission: Arc<dyn AdmissionChain>,
    /// May they: for permissions that a request needs besides its own.
    pub authorizer: Arc<Authorizer>,
    /// Whom does a token stand for.
    pub authenticators: Arc<Authenticators>,
    /// Issues service account tokens, if there is a key to sign them.
    pub issuer: Option<Arc<TokenIssuer>>,
    /// Cluster IPs and node ports.
    pub allocators: Arc<Allocators>,
    /// How kubelets are reached.
    pub kubelets: Arc<Kubelets>,
    /// The command line.
    pub options: Arc<Options>,
}

#[cfg(test)]
impl AppState {
    /// A state with the defaults of the flags, for tests of single parts.
    pub(crate) fn for_test(registry: Arc<Registry>, admission: Arc<dyn AdmissionChain>) -> Self {
        use crate::objects::RegistryObjects;
        use crate::options::FLAGS;
        use crate::service_ip::{ClusterIps, NodePorts};
        let args = [
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=none",
            "--service-account-signing-key-file=none",
            "--advertise-address=127.0.0.1",
        ];
        let request = component_base::Flags::parse("kube-apiserver", FLAGS, args.into_iter().map(Into::into));
        let Ok(component_base::flags::Request::Run(flags)) = request else { panic!("the flags are valid") };
        let options = Arc::new(Options::new(*flags).expect("the flags are valid"));
        let objects = Arc::new(RegistryObjects::new(registry.clone()));
        Self {
            allocators: Arc::new(Allocators {
                ips: ClusterIps::new(objects, options.service_ranges.clone()),
                ports: NodePorts::new(registry.etcd().clone(), options.node_ports),
            }),
            registry,
            admission,
            authorizer: Arc::new(Authorizer::default()),
            authenticators: Arc::new(Authenticators::default()),
            issuer: None,
            kubelets: Arc::new(Kubelets::new(&options).expect("no files are named")),
            options,
        }
    }
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppState")
    }
}
