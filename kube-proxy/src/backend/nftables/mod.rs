//! The nftables backend: one table per family, `kube-proxy`, with upstream's chains, maps and sets. Every sync is one
//! transaction; only what changed is written. upstream: pkg/proxy/nftables/proxier.go

mod base;
mod elements;
mod names;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tracing::{debug, warn};

use crate::model::Family;
use crate::plan::Plan;

use super::{Backend, BackendError, Command, RuleCounts, Scope, Settings, node_addresses, run_command};

use elements::Elements;
use render::Previous;

/// Chains are deleted only so long after the maps stopped leading to them: the kernel frees those references late.
const STALE_CHAIN_AGE: Duration = Duration::from_secs(1);

/// nftables in one family.
pub(super) struct Nftables {
    settings: Settings,
    elements: Elements,
    /// Chains and affinity sets of services in the kernel.
    known: Known,
    stale: BTreeMap<String, Instant>,
    started: bool,
}

#[derive(Default, Clone)]
struct Known {
    chains: BTreeSet<String>,
    affinity_sets: BTreeSet<String>,
}

impl Nftables {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            elements: Elements::default(),
            known: Known::default(),
            stale: BTreeMap::new(),
            started: false,
        }
    }

    fn table(&self) -> String {
        format!("{} {}", nft_family(self.settings.family), base::TABLE)
    }

    /// Deletes chains that were emptied long enough ago; what cannot be deleted is tried again later.
    async fn delete_stale_chains(&mut self) {
        let ripe: Vec<String> = self
            .stale
            .iter()
            .filter(|(_, since)| since.elapsed() >= STALE_CHAIN_AGE)
            .map(|(chain, _)| chain.clone())
            .collect();
        if ripe.is_empty() {
            return;
        }
        let table = self.table();
        let text: String = ripe.iter().map(|chain| format!("delete chain {table} {chain}\n")).collect();
        match run_transaction(&text).await {
            Ok(()) => {
                for chain in ripe {
                    self.stale.remove(&chain);
                    self.known.chains.remove(&chain);
                }
            }
            Err(error) => {
                warn!(err = %component_base::Chain(&error), "Unable to delete stale chains; will retry later");
                let family = self.settings.family.as_str();
                crate::metrics::get().nftables_cleanup_failures.with_label_values(&[family]).inc();
            }
        }
    }

    /// What a predecessor left in the table.
    async fn list_known(&self) -> Known {
        let family = nft_family(self.settings.family);
        match run_command(Command::new("nft", ["-t", "list", "table", family, base::TABLE])).await {
            Ok(listing) => parse_listing(&String::from_utf8_lossy(&listing)),
            // There is no table yet.
            Err(_) => Known::default(),
        }
    }
}

#[async_trait]
impl Backend for Nftables {
    async fn sync(&mut self, plan: &Plan, scope: Scope<'_>) -> Result<RuleCounts, BackendError> {
        if matches!(scope, Scope::Full) {
            self.known = self.list_known().await;
        }
        self.delete_stale_chains().await;
        let node_port_ips = self.settings.node_ports.select(&node_addresses());
        let previous = Previous {
            elements: &self.elements,
            chains: &self.known.chains,
            affinity_sets: &self.known.affinity_sets,
            fresh_base_chains: !self.started,
        };
        let rendered = render::render(plan, &self.settings, scope, &previous, &node_port_ips);
        debug!(services = plan.services.len(), endpoints = plan.endpoints, "Reloading service nftables data");
        let applied = run_transaction(&rendered.text).await;
        if applied.is_err() {
            self.stale.clear();
            let family = self.settings.family.as_str();
            crate::metrics::get().nftables_sync_failures.with_label_values(&[family]).inc();
        }
        applied?;
        self.started = true;
        self.elements = rendered.elements;
        let now = Instant::now();
        self.stale.retain(|chain, _| !rendered.chains.contains(chain));
        for chain in self.known.chains.difference(&rendered.chains) {
            self.stale.entry(chain.clone()).or_insert(now);
        }
        self.known.chains.extend(rendered.chains);
        self.known.affinity_sets = rendered.affinity_sets;
        Ok(RuleCounts::default())
    }

    async fn is_intact(&mut self) -> bool {
        if !self.started {
            return true;
        }
        // Upstream does not look; one cheap question an interval finds a flushed ruleset.
        let family = nft_family(self.settings.family);
        run_command(Command::new("nft", ["list", "chain", family, base::TABLE, base::SERVICES])).await.is_ok()
    }
}

fn nft_family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

async fn run_transaction(text: &str) -> Result<(), BackendError> {
    let applied = run_command(Command::new("nft", ["-f", "-"]).input(text.as_bytes())).await;
    applied
        .map(drop)
        .map_err(|source| BackendError::Command { action: "apply the nftables transaction".into(), source })
}

/// Names of the service chains and affinity sets in a listing of the table.
fn parse_listing(listing: &str) -> Known {
    let named = |line: &str, what: &str| Some(line.trim().strip_prefix(what)?.strip_suffix(" {")?.to_owned());
    Known {
        chains: listing.lines().filter_map(|l| named(l, "chain ")).filter(|c| names::is_service_chain(c)).collect(),
        affinity_sets: listing.lines().filter_map(|l| named(l, "set ")).filter(|s| names::is_affinity_set(s)).collect(),
    }
}

/// Whether nft works here.
pub(super) async fn is_present() -> Result<(), BackendError> {
    let listed = run_command(Command::new("nft", ["list", "tables"])).await;
    listed.map(drop).map_err(|source| BackendError::Command { action: "use nft".into(), source })
}

/// Removes the tables.
pub(super) async fn clean_up() -> Result<(), BackendError> {
    if is_present().await.is_err() {
        return Ok(());
    }
    let mut result = Ok(());
    for family in [Family::V4, Family::V6] {
        // Adding first makes deleting a table that does not exist no error.
        let table = format!("{} {}", nft_family(family), base::TABLE);
        result = result.and(run_transaction(&format!("add table {table}\ndelete table {table}\n")).await);
    }
    result
}

#[cfg(test)]
mod tests {
    #[test]
    fn finds_what_a_predecessor_left() {
        let listing = "table ip kube-proxy {\n\tcomment \"rules for kube-proxy\"\n\tset cluster-ips {\n\t}\n\tset affinity-X-ns/s/tcp/p__10.0.0.1/80 {\n\t}\n\tchain services {\n\t}\n\tchain service-X-ns/s/tcp/p {\n\t}\n}\n";
        let known = super::parse_listing(listing);
        assert_eq!(known.chains.into_iter().collect::<Vec<_>>(), ["service-X-ns/s/tcp/p"]);
        assert_eq!(known.affinity_sets.into_iter().collect::<Vec<_>>(), ["affinity-X-ns/s/tcp/p__10.0.0.1/80"]);
    }
}
