//! Packet filters that carry out a plan: iptables and nftables. Each renders text (pure, snapshot-tested) and applies it.
//! To add one: its folder, one variant of [`Mode`] and one line in [`open`].

mod command;
mod hash;
mod iptables;
mod local;
mod nftables;

use std::net::IpAddr;

use async_trait::async_trait;

use crate::model::Family;
use crate::plan::Plan;
use crate::tracker::Changes;

pub use command::{Command, CommandError, run_command};
pub use local::{LocalTraffic, NodePortAddresses, node_addresses};

/// Which packet filter to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// iptables.
    Iptables,
    /// nftables.
    Nftables,
}

impl Mode {
    /// The name in configuration and under /proxyMode.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

/// How rules are to be, apart from services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The family of the rules.
    pub family: Family,
    /// Hide the client's address from all endpoints.
    pub masquerade_all: bool,
    /// Packet mark bit that asks for masquerading.
    pub masquerade_bit: u32,
    /// How to tell traffic of local pods from other traffic.
    pub local: LocalTraffic,
    /// Node ports answer on 127.0.0.1.
    pub localhost_node_ports: bool,
    /// On which addresses node ports answer.
    pub node_ports: NodePortAddresses,
    /// This node's address.
    pub node_ip: IpAddr,
    /// The kernel lets odd TCP packets pass: no rule drops INVALID ones.
    pub conntrack_liberal: bool,
}

impl Settings {
    /// The mark as iptables takes it.
    pub fn mark(&self) -> String {
        format!("0x{:08x}", 1_u32 << self.masquerade_bit)
    }
}

/// Rules could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A tool failed.
    #[error("cannot {action}")]
    Command {
        /// What was to be done.
        action: String,
        /// How it failed.
        #[source]
        source: CommandError,
    },
    /// A tool answered something unexpected.
    #[error("unexpected answer of {tool}: {text}")]
    Answer {
        /// The tool.
        tool: &'static str,
        /// Its answer.
        text: String,
    },
}

/// Which part of the rules has to be written.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All: at start, after a failure, when somebody flushed the rules, and once an hour.
    Full,
    /// The rules of services that changed.
    Partial(&'a Changes),
}

impl Scope<'_> {
    /// Whether a service's own rules have to be written.
    pub fn covers(&self, service: &component_base::ObjectKey) -> bool {
        match self {
            Self::Full => true,
            Self::Partial(changes) => changes.services.contains(service),
        }
    }
}

/// Number of rules, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Rules in the table filter.
    pub filter: usize,
    /// Rules in the table nat.
    pub nat: usize,
    /// Of these, written this time.
    pub nat_written: usize,
}

/// A packet filter in one family.
#[async_trait]
pub trait Backend: Send {
    /// Makes the kernel agree with the plan.
    ///
    /// # Errors
    /// When a tool fails; the next sync must be a full one.
    async fn sync(&mut self, plan: &Plan, scope: Scope<'_>) -> Result<RuleCounts, BackendError>;
    /// Whether nobody has flushed the rules since they were written.
    async fn is_intact(&mut self) -> bool;
}

/// Opens a packet filter.
pub fn open(mode: Mode, settings: Settings) -> Box<dyn Backend> {
    match mode {
        Mode::Iptables => Box::new(iptables::Iptables::new(settings)),
        Mode::Nftables => Box::new(nftables::Nftables::new(settings)),
    }
}

/// Whether this host can have rules of a mode in a family.
pub async fn is_supported(mode: Mode, family: Family) -> Result<(), BackendError> {
    match mode {
        Mode::Iptables => iptables::is_present(family).await,
        Mode::Nftables => nftables::is_present().await,
    }
}

/// Removes every rule that a proxy of this mode has made.
///
/// # Errors
/// When a tool fails; the rest is still removed.
pub async fn clean_up(mode: Mode) -> Result<(), BackendError> {
    match mode {
        Mode::Iptables => {
            let v4 = iptables::clean_up(Family::V4).await;
            let v6 = iptables::clean_up(Family::V6).await;
            v4.and(v6)
        }
        Mode::Nftables => nftables::clean_up().await,
    }
}
