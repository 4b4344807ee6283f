//! Leader election with a coordination Lease: at most one of several processes works at a time.
//!
//! Upstream: client-go/tools/leaderelection. A lease is considered free when it was not renewed for its duration by this
//! process' own clock, so clocks of different machines need not agree.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Api, PostParams};
use rand::Rng as _;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::client::is_not_found;
use crate::error::Chain;
use crate::events::{EventType, Recorder, reference};
use crate::shutdown::Shutdown;

/// client-go waits up to 1.2 retry periods longer between attempts.
const JITTER: f64 = 1.2;

/// Settings of one election.
#[derive(Debug, Clone)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are; must be unique.
    pub identity: String,
    /// How long others wait before they take over.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    /// Time between attempts.
    pub retry_period: Duration,
}

impl LeaseConfig {
    /// Upstream's times: 15 s, 10 s, 2 s; the identity is the host's name and a random part.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: format!("{}_{}", host.trim(), uuid::Uuid::new_v4()),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// From the flags `leader-elect-*`.
    #[must_use]
    pub fn from_flags(flags: &crate::Flags) -> Self {
        Self {
            lease_duration: flags.duration("leader-elect-lease-duration"),
            renew_deadline: flags.duration("leader-elect-renew-deadline"),
            retry_period: flags.duration("leader-elect-retry-period"),
            ..Self::new(flags.str("leader-elect-resource-namespace"), flags.str("leader-elect-resource-name"))
        }
    }
}

/// What is known of the lease, and since when by our clock.
struct Observed {
    lease: Lease,
    at: Instant,
}

/// Takes part in an election.
pub struct LeaderElector {
    api: Api<Lease>,
    config: LeaseConfig,
    recorder: Recorder,
    observed: Option<Observed>,
}

impl LeaderElector {
    /// An elector that has not asked yet.
    #[must_use]
    pub fn new(client: kube::Client, config: LeaseConfig, recorder: Recorder) -> Self {
        let api = Api::namespaced(client, &config.namespace);
        Self { api, config, recorder, observed: None }
    }

    /// Waits until this process leads; false if told to stop before.
    pub async fn acquire(&mut self, stop: &Shutdown) -> bool {
        info!(lease = self.lock_name(), "Attempting to acquire leader lease");
        loop {
            if self.try_hold().await {
                info!(lease = self.lock_name(), "Successfully acquired lease");
                self.record("became leader");
                return true;
            }
            let wait = self.config.retry_period.mul_f64(rand::rng().random_range(1.0..1.0 + JITTER));
            tokio::select! {
                () = stop.wait() => return false,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Renews until the lease is lost or this process is told to stop; in the latter case the lease is given up.
    pub async fn hold(&mut self, stop: &Shutdown) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = stop.wait() => return self.release().await,
                () = tokio::time::sleep(self.config.retry_period) => {}
            }
            let attempt = tokio::time::timeout(self.config.renew_deadline, self.try_hold()).await;
            if attempt == Ok(true) {
                renewed = Instant::now();
            } else if renewed.elapsed() >= self.config.renew_deadline {
                error!(lease = self.lock_name(), "Failed to renew lease");
                self.record("stopped leading");
                return;
            }
        }
    }

    async fn try_hold(&mut self) -> bool {
        match self.try_hold_inner().await {
            Ok(held) => held,
            Err(error) => {
                warn!(lease = self.lock_name(), err = %Chain(&error), "Error retrieving or updating the lease");
                false
            }
        }
    }

    async fn try_hold_inner(&mut self) -> Result<bool, kube::Error> {
        let now = crate::clock::now_micro();
        let current = match self.api.get(&self.config.name).await {
            Ok(lease) => lease,
            Err(error) if is_not_found(&error) => {
                let fresh = self.claim(Lease::default(), true, now);
                let made = self.api.create(&PostParams::default(), &fresh).await?;
                self.observe(made);
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        self.observe(current.clone());
        let holder = holder_of(&current);
        let ours = holder == self.config.identity;
        if !ours && !holder.is_empty() && self.is_valid() {
            debug!(lease = self.lock_name(), holder, "Lease is held by somebody else and has not yet expired");
            return Ok(false);
        }
        let claimed = self.claim(current, !ours, now);
        let updated = self.api.replace(&self.config.name, &PostParams::default(), &claimed).await?;
        self.observe(updated);
        Ok(true)
    }

    fn observe(&mut self, lease: Lease) {
        let same = self.observed.as_ref().is_some_and(|observed| observed.lease.spec == lease.spec);
        if !same {
            self.observed = Some(Observed { lease, at: Instant::now() });
        }
    }

    fn is_valid(&self) -> bool {
        self.observed.as_ref().is_some_and(|observed| {
            let seconds = observed.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
            let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            observed.at.elapsed() < duration
        })
    }

    fn claim(
        &self,
        mut lease: Lease,
        takes_over: bool,
        now: k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime,
    ) -> Lease {
        lease.metadata.name = Some(self.config.name.clone());
        lease.metadata.namespace = Some(self.config.namespace.clone());
        let mut spec = lease.spec.take().unwrap_or_default();
        if takes_over {
            let known = spec.holder_identity.is_some();
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + i32::from(known));
        }
        spec.holder_identity = Some(self.config.identity.clone());
        spec.lease_duration_seconds = i32::try_from(self.config.lease_duration.as_secs()).ok();
        spec.renew_time = Some(now);
        lease.spec = Some(spec);
        lease
    }

    async fn release(&mut self) {
        let Some(observed) = self.observed.take().filter(|observed| holder_of(&observed.lease) == self.config.identity)
        else {
            return;
        };
        let mut lease = observed.lease;
        let now = crate::clock::now_micro();
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: transitions,
            ..LeaseSpec::default()
        });
        // Best effort: without it the others wait for the lease to run out.
        let limit = self.config.renew_deadline;
        let params = PostParams::default();
        if let Ok(Err(error)) = tokio::time::timeout(limit, self.api.replace(&self.config.name, &params, &lease)).await
        {
            warn!(lease = self.lock_name(), err = %Chain(&error), "Failed to release the lease");
        }
    }

    fn record(&self, what: &str) {
        if let Some(observed) = &self.observed {
            let message = format!("{} {what}", self.config.identity);
            self.recorder.event(reference(&observed.lease), EventType::Normal, "LeaderElection", message);
        }
    }

    fn lock_name(&self) -> String {
        format!("{}/{}", self.config.namespace, self.config.name)
    }
}

fn holder_of(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}
