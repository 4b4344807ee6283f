//! The iptables backend. Chains, rules, comments and their order are upstream's, so that either proxy takes over from the other.
//! upstream: pkg/proxy/iptables/proxier.go, pkg/util/iptables

mod jumps;
mod names;
mod render;
mod tool;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tracing::{debug, warn};

use crate::model::Family;
use crate::plan::Plan;

use super::{Backend, BackendError, RuleCounts, Scope, Settings, node_addresses};

use jumps::{CANARY, CLEANUP_FILTER, CLEANUP_NAT, JUMPS, KUBELET_JUMPS};
use tool::Tool;

/// In large clusters chains that are no longer used are removed only so often.
const CLEANUP_PERIOD: Duration = Duration::from_secs(30);

/// iptables in one family.
pub(super) struct Iptables {
    settings: Settings,
    tool: Tool,
    last_cleanup: Option<Instant>,
    has_canary: bool,
}

impl Iptables {
    pub(super) fn new(settings: Settings) -> Self {
        Self { tool: Tool::new(settings.family), settings, last_cleanup: None, has_canary: false }
    }

    async fn ensure_jumps(&self) -> Result<(), BackendError> {
        for jump in JUMPS.iter().chain(KUBELET_JUMPS) {
            self.tool.ensure_chain(jump.table, jump.to).await?;
            self.tool.ensure_rule(jump.table, jump.from, &jump.args()).await?;
        }
        Ok(())
    }

    async fn plant_canary(&mut self) {
        for table in ["mangle", "nat", "filter"] {
            if let Err(error) = self.tool.ensure_chain(table, CANARY).await {
                warn!(err = %component_base::Chain(&error), table, "Could not set up iptables canary");
                return;
            }
        }
        self.has_canary = true;
    }

    /// Chains of services in the kernel, or none when this is not the time to look.
    async fn existing_chains(&mut self, large: bool) -> BTreeSet<String> {
        let recent = self.last_cleanup.is_some_and(|at| at.elapsed() < CLEANUP_PERIOD);
        if large && recent {
            return BTreeSet::new();
        }
        match self.tool.chains("nat").await {
            Ok(chains) => {
                self.last_cleanup = Some(Instant::now());
                chains.into_iter().filter(|chain| names::is_service_chain(chain)).collect()
            }
            Err(error) => {
                warn!(err = %component_base::Chain(&error), "Failed to execute iptables-save: stale chains will not be deleted");
                BTreeSet::new()
            }
        }
    }
}

#[async_trait]
impl Backend for Iptables {
    async fn sync(&mut self, plan: &Plan, scope: Scope<'_>) -> Result<RuleCounts, BackendError> {
        if matches!(scope, Scope::Full) {
            self.ensure_jumps().await?;
        }
        let existing = self.existing_chains(plan.large).await;
        let addresses = node_addresses();
        let rendered =
            render::render(plan, &self.settings, scope, &existing, &self.settings.node_ports.select(&addresses));
        debug!(
            filter_rules = rendered.counts.filter,
            nat_rules = rendered.counts.nat_written,
            family = plan.family.as_str(),
            "Reloading service iptables data"
        );
        self.tool.restore(rendered.text.as_bytes()).await?;
        if !self.has_canary {
            self.plant_canary().await;
        }
        Ok(rendered.counts)
    }

    async fn is_intact(&mut self) -> bool {
        if !self.has_canary {
            return true;
        }
        let mut intact = true;
        for table in ["mangle", "nat", "filter"] {
            intact &= self.tool.has_chain(table, CANARY).await;
        }
        self.has_canary = intact;
        intact
    }
}

/// Whether iptables works in a family.
pub(super) async fn is_present(family: Family) -> Result<(), BackendError> {
    Tool::new(family).probe().await
}

/// Removes every rule and chain of a proxy.
pub(super) async fn clean_up(family: Family) -> Result<(), BackendError> {
    let tool = Tool::new(family);
    if tool.probe().await.is_err() {
        return Ok(());
    }
    for jump in JUMPS {
        tool.delete_rule(jump.table, jump.from, &jump.args()).await;
    }
    let mut result = Ok(());
    for (table, own) in [("nat", CLEANUP_NAT), ("filter", CLEANUP_FILTER)] {
        let removed = async {
            let chains = tool.chains(table).await?;
            let ours = |chain: &&String| own.contains(&chain.as_str()) || names::is_service_chain(chain);
            tool.restore(render::removal(table, chains.iter().filter(ours)).as_bytes()).await
        };
        result = result.and(removed.await);
    }
    tool.delete_chain("mangle", CANARY).await;
    result
}
