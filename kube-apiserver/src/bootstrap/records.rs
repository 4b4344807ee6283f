//! Records of live API servers under `/masterleases/IP`, each with an etcd lease of a few seconds.
//!
//! The value is an Endpoints object, as upstream writes it, so that both count each other's servers.
//! upstream: pkg/controlplane/reconcilers/lease.go

use apimachinery::codec::protobuf;
use apimachinery::schema;
use apimachinery::status::ApiError;
use apimachinery::value::Value;

use crate::storage::etcd::prefix_end;
use crate::storage::lease::Leases;
use crate::storage::{Etcd, StorageError};

/// Reads and writes the records.
#[derive(Debug)]
pub struct Records {
    etcd: Etcd,
    leases: Leases,
}

impl Records {
    /// Records in this etcd.
    pub fn new(etcd: Etcd) -> Self {
        Self { leases: Leases::new(etcd.clone()), etcd }
    }

    /// Says that the server at this address lives for another `ttl` seconds.
    ///
    /// # Errors
    /// What etcd says.
    pub async fn report(&self, address: &str, ttl: u64) -> Result<(), ApiError> {
        let key = self.key(address);
        let lease = self.leases.get(ttl).await.map_err(internal)?;
        let (existing, _) = self.etcd.get(&key).await.map_err(internal)?;
        let revision = existing.map_or(0, |kv| kv.mod_revision);
        // losing a race against another writer of the same address means that the record is fresh
        self.etcd.update(&key, record(address), revision, lease).await.map_err(internal)?;
        Ok(())
    }

    /// Takes the server at this address out.
    ///
    /// # Errors
    /// What etcd says.
    pub async fn remove(&self, address: &str) -> Result<(), ApiError> {
        let key = self.key(address);
        let (existing, _) = self.etcd.get(&key).await.map_err(internal)?;
        if let Some(kv) = existing {
            self.etcd.delete(&key, kv.mod_revision).await.map_err(internal)?;
        }
        Ok(())
    }

    /// Addresses of all live servers, sorted.
    ///
    /// # Errors
    /// What etcd says.
    pub async fn all(&self) -> Result<Vec<String>, ApiError> {
        let prefix = self.key("");
        let page = self.etcd.range(&prefix, &prefix_end(&prefix), 0, 0).await.map_err(internal)?;
        let mut out: Vec<String> = page
            .kvs
            .iter()
            .filter_map(|kv| std::str::from_utf8(&kv.key).ok()?.strip_prefix(&prefix).map(str::to_owned))
            .collect();
        out.sort();
        Ok(out)
    }

    fn key(&self, address: &str) -> String {
        format!("{}/masterleases/{address}", self.etcd.prefix())
    }
}

fn record(address: &str) -> Vec<u8> {
    let ip: Value = [("ip", address)].into();
    let subset: Value = [("addresses", Value::List(vec![ip]))].into();
    let endpoints: Value = [("metadata", Value::map()), ("subsets", Value::List(vec![subset]))].into();
    let ty = schema::kind("v1", "Endpoints").expect("the type is in the table");
    let mut out = Vec::new();
    protobuf::encode_object(&endpoints, ty, "v1", "Endpoints", &mut out);
    out
}

fn internal(error: StorageError) -> ApiError {
    ApiError::internal(component_base::Chain(&error))
}
