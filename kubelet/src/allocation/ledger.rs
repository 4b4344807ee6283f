//! A ledger of resources by pod and container that outlives the kubelet: one file below its root folder.
//!
//! The file's form is a contract: upstream's kubelet goes on from what ours wrote, and the other way round.
//!
//! upstream: pkg/kubelet/allocation/state, pkg/kubelet/checkpointmanager

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::ResourceRequirements;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// A ledger that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file is there and cannot be read or written.
    #[error("access the pod resource information checkpoint file {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what a kubelet wrote.
    #[error(
        "could not restore state from checkpoint: {reason}, please drain this node and delete pod resource information \
         checkpoint file {path:?} before restarting Kubelet"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The resources of one pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PodResources {
    /// By container.
    #[serde(deserialize_with = "null_is_empty")]
    pub container_resources: BTreeMap<String, ResourceRequirements>,
    /// Of the pod as a whole, where its definition names any.
    pub pod_level_resources: Option<ResourceRequirements>,
}

fn null_is_empty<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

type Entries = BTreeMap<String, PodResources>;

#[derive(Default, Deserialize, Serialize)]
struct Data {
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    entries: Entries,
}

#[derive(Deserialize, Serialize)]
struct Checkpoint {
    data: String,
    checksum: u64,
}

/// Upstream hashes the text as its debugging printer shows it.
fn checksum(data: &str) -> u64 {
    u64::from(apimachinery::hash::fnv32a(format!("(string){data}").as_bytes()))
}

/// Resources by UID of the pod.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    entries: Mutex<Entries>,
}

impl Ledger {
    /// Reads the file; one that is absent is an empty ledger.
    ///
    /// # Errors
    /// The file is damaged. To start with less than was promised to pods would break that promise.
    pub fn open(path: PathBuf) -> Result<Self, LedgerError> {
        let entries = match std::fs::read(&path) {
            Ok(bytes) => parse(&bytes).map_err(|reason| LedgerError::Corrupt { path: path.clone(), reason })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Entries::new(),
            Err(source) => return Err(LedgerError::Io { path, source }),
        };
        Ok(Self { path, entries: Mutex::new(entries) })
    }

    /// The entry of a pod.
    pub fn pod(&self, uid: &str) -> Option<PodResources> {
        self.entries.lock().get(uid).cloned()
    }

    /// Changes the entry of a pod and writes the file if that made a difference.
    ///
    /// # Errors
    /// The file could not be written; the change stays in memory.
    pub fn change(&self, uid: &str, change: impl FnOnce(&mut PodResources)) -> Result<(), LedgerError> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        let before = entry.clone();
        change(entry);
        if *entry == before && before != PodResources::default() {
            return Ok(());
        }
        self.save(&entries)
    }

    /// Forgets all pods but these.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn keep_only(&self, known: &BTreeSet<String>) -> Result<(), LedgerError> {
        let mut entries = self.entries.lock();
        let before = entries.len();
        entries.retain(|uid, _| known.contains(uid));
        if entries.len() == before { Ok(()) } else { self.save(&entries) }
    }

    /// The new file takes the old one's place at once, so a kubelet that dies here leaves a whole one.
    fn save(&self, entries: &Entries) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::Io { path: self.path.clone(), source };
        let data = serde_json::to_string(&Data { entries: entries.clone() }).map_err(|error| failed(error.into()))?;
        let checkpoint = Checkpoint { checksum: checksum(&data), data };
        let bytes = serde_json::to_vec(&checkpoint).map_err(|error| failed(error.into()))?;
        replace_file(&self.path, &bytes).map_err(failed)
    }
}

fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.new"));
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

fn parse(bytes: &[u8]) -> Result<Entries, String> {
    let checkpoint: Checkpoint = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if checksum(&checkpoint.data) != checkpoint.checksum {
        return Err("checkpoint is corrupted".to_owned());
    }
    let data: Data = serde_json::from_str(&checkpoint.data).map_err(|error| error.to_string())?;
    Ok(data.entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_restart_and_refuses_a_damaged_file() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("allocated_pods_state");
        let ledger = Ledger::open(path.clone()).expect("empty");
        let resources: ResourceRequirements = serde_json::from_str(r#"{"requests":{"cpu":"1"}}"#).expect("valid");
        let insert = |pod: &mut PodResources| {
            pod.container_resources.insert("c".to_owned(), resources.clone());
        };
        ledger.change("u", insert).expect("written");
        let again = Ledger::open(path.clone()).expect("read back");
        assert_eq!(again.pod("u").expect("kept").container_resources["c"], resources);
        again.keep_only(&BTreeSet::new()).expect("written");
        assert_eq!(Ledger::open(path.clone()).expect("read back").pod("u"), None);
        std::fs::write(&path, r#"{"data":"{}","checksum":1}"#).expect("written");
        assert!(Ledger::open(path).is_err());
    }

    #[test]
    fn reads_what_upstream_writes() {
        let data =
            r#"{"entries":{"u":{"ContainerResources":{"c":{"requests":{"cpu":"100m"}}},"PodLevelResources":null}}}"#;
        let file = serde_json::to_vec(&Checkpoint { data: data.to_owned(), checksum: checksum(data) }).expect("valid");
        let entries = parse(&file).expect("valid");
        assert!(entries["u"].container_resources.contains_key("c"));
    }
}
