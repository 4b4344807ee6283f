//! What a controller is given: its own identity, the shared informers, and the settings.

use std::sync::Arc;

use component_base::client::{ClientConfig, ClientError, ServiceAccountClients};
use component_base::clock::Clock;
use component_base::events::Recorder;
use component_base::flags::FeatureGates;
use component_base::serving::HealthChecks;
use component_base::{Flags, Informers, Shutdown};
use kube::Client;

/// What all controllers share.
pub(crate) struct Shared {
    pub(crate) flags: Arc<Flags>,
    pub(crate) gates: Arc<FeatureGates>,
    pub(crate) informers: Informers,
    pub(crate) identities: Identities,
    pub(crate) health: Arc<HealthChecks>,
    pub(crate) stop: Shutdown,
}

/// Makes the client of each controller.
pub(crate) enum Identities {
    /// All act as the daemon's own user, each with its own rate limit.
    Own(Box<ClientConfig>, component_base::client::Transport),
    /// Each acts as a service account in kube-system.
    ServiceAccounts(Box<ServiceAccountClients>),
}

impl Identities {
    fn client(&self, account: &str) -> Result<Client, ClientError> {
        match self {
            Self::Own(config, transport) => {
                let mut config = (**config).clone();
                config.user_agent = format!("{}/system:serviceaccount:kube-system:{account}", config.user_agent);
                config.connect_over(transport.clone())
            }
            Self::ServiceAccounts(clients) => clients.client(account),
        }
    }
}

impl Shared {
    /// The context of one controller: its service account in kube-system, and the source of its events.
    pub(crate) fn context(&self, account: &str, component: &str) -> Result<Context, ClientError> {
        let client = self.identities.client(account)?;
        Ok(Context {
            recorder: Recorder::core(client.clone(), component, ""),
            client,
            informers: self.informers.clone(),
            health: Arc::clone(&self.health),
            stop: self.stop.clone(),
            clock: Clock::system(),
        })
    }
}

/// What one controller has.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) informers: Informers,
    pub(crate) health: Arc<HealthChecks>,
    pub(crate) stop: Shutdown,
    pub(crate) clock: Clock,
}
