//! The iptables commands. upstream: pkg/util/iptables/iptables.go

use std::collections::BTreeSet;

use tracing::debug;

use crate::backend::{BackendError, Command, CommandError, run_command};
use crate::model::Family;

/// Seconds to wait for the lock that all users of iptables share.
const LOCK: [&str; 2] = ["-w", "5"];

/// iptables or ip6tables.
pub(super) struct Tool {
    family: Family,
}

impl Tool {
    pub(super) fn new(family: Family) -> Self {
        Self { family }
    }

    fn name(&self, what: &str) -> &'static str {
        match (self.family, what) {
            (Family::V4, "save") => "iptables-save",
            (Family::V4, "restore") => "iptables-restore",
            (Family::V4, _) => "iptables",
            (Family::V6, "save") => "ip6tables-save",
            (Family::V6, "restore") => "ip6tables-restore",
            (Family::V6, _) => "ip6tables",
        }
    }

    async fn run(&self, operation: &'static str, table: &str, chain: &str, args: &[&str]) -> Result<(), CommandError> {
        let fixed = LOCK.into_iter().chain([operation, chain, "-t", table]);
        run_command(Command::new(self.name(""), fixed.chain(args.iter().copied()))).await.map(drop)
    }

    /// Whether the tool works here at all.
    pub(super) async fn probe(&self) -> Result<(), BackendError> {
        let listed = self.run("-S", "nat", "POSTROUTING", &[]).await;
        listed.map_err(|source| BackendError::Command { action: format!("use {}", self.name("")), source })
    }

    /// Makes a chain unless it exists.
    pub(super) async fn ensure_chain(&self, table: &str, chain: &str) -> Result<(), BackendError> {
        match self.run("-N", table, chain, &[]).await {
            // Status 1 means that it exists.
            Err(error) if error.code() != Some(1) => {
                Err(BackendError::Command { action: format!("make the chain {chain} of table {table}"), source: error })
            }
            _ => Ok(()),
        }
    }

    /// Whether a chain exists.
    pub(super) async fn has_chain(&self, table: &str, chain: &str) -> bool {
        self.run("-S", table, chain, &[]).await.is_ok()
    }

    /// Puts a rule in front of a chain unless it is in it.
    pub(super) async fn ensure_rule(&self, table: &str, chain: &str, args: &[&str]) -> Result<(), BackendError> {
        if self.run("-C", table, chain, args).await.is_ok() {
            return Ok(());
        }
        self.run("-I", table, chain, args).await.map_err(|source| BackendError::Command {
            action: format!("add a rule to {chain} of table {table}"),
            source,
        })
    }

    /// Deletes a rule; one that does not exist is fine.
    pub(super) async fn delete_rule(&self, table: &str, chain: &str, args: &[&str]) {
        if let Err(error) = self.run("-D", table, chain, args).await {
            debug!(err = %error, table, chain, "Rule was not deleted");
        }
    }

    /// Deletes an empty chain; one that does not exist is fine.
    pub(super) async fn delete_chain(&self, table: &str, chain: &str) {
        if let Err(error) = self.run("-X", table, chain, &[]).await {
            debug!(err = %error, table, chain, "Chain was not deleted");
        }
    }

    /// Names of all chains of a table.
    pub(super) async fn chains(&self, table: &str) -> Result<BTreeSet<String>, BackendError> {
        let saved = run_command(Command::new(self.name("save"), ["-t", table])).await;
        let saved =
            saved.map_err(|source| BackendError::Command { action: format!("list the table {table}"), source })?;
        let text = String::from_utf8_lossy(&saved);
        let name = |line: &str| Some(line.strip_prefix(':')?.split(' ').next()?.to_owned());
        Ok(text.lines().filter_map(name).collect())
    }

    /// Applies a text of rules without touching chains that it does not name.
    pub(super) async fn restore(&self, text: &[u8]) -> Result<(), BackendError> {
        let args = LOCK.into_iter().chain(["--noflush", "--counters"]);
        let restored = run_command(Command::new(self.name("restore"), args).input(text)).await;
        restored.map(drop).map_err(|source| BackendError::Command { action: "restore iptables rules".into(), source })
    }
}
