//! Objects to and from bytes: what is written to etcd, what the cache keeps, what strategies see.
//!
//! At rest: the storage version, in an envelope or as JSON. In the cache: protobuf of the storage version without
//! envelope (JSON for custom resources), with resourceVersion. For strategies: a tree in the hub version.
//! upstream: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/protobuf/protobuf.go

use std::sync::Arc;

use apimachinery::codec::{json, protobuf};
use apimachinery::value::Value;
use bytes::Bytes;
use thiserror::Error;

use super::resource::{Encoding, Resource, Served};
use super::strategy::Strategy;
use crate::storage::Decode;

/// Why stored bytes cannot be read.
#[derive(Debug, Error)]
pub enum StoredError {
    /// The envelope is missing or broken.
    #[error("bad envelope")]
    Envelope,
    /// The object in it does not decode.
    #[error("bad object: {0}")]
    Object(String),
}

/// The codec of one resource.
#[derive(Clone)]
pub struct Stored {
    resource: Arc<Resource>,
    strategy: &'static dyn Strategy,
}

impl Stored {
    /// The codec of a resource.
    pub fn new(resource: Arc<Resource>, strategy: &'static dyn Strategy) -> Self {
        Self { resource, strategy }
    }

    /// True if cached bytes are JSON.
    pub fn cached_is_json(&self) -> bool {
        self.resource.encoding == Encoding::Json && !self.resource.hub.schema.extra.proto
    }

    /// The version of cached bytes.
    pub fn cached(&self) -> &Served {
        match self.resource.encoding {
            Encoding::Protobuf => &self.resource.storage,
            Encoding::Json => &self.resource.hub,
        }
    }

    /// True if cached bytes can be sent as this version without building a tree.
    pub fn sends_as_is(&self, version: &Served) -> bool {
        !self.cached_is_json()
            && !self.strategy.decorates()
            && [&version.api_version, &self.cached().api_version]
                .into_iter()
                .all(|v| v == &self.resource.hub.api_version || !self.strategy.needs_conversion(v))
    }

    /// The bytes to store. The object is in the hub version; its resourceVersion is not stored.
    pub fn encode(&self, object: &Value) -> Vec<u8> {
        let storage = &self.resource.storage;
        let mut object = object.clone();
        object.remove_path(&["metadata", "resourceVersion"]);
        object.remove_path(&["metadata", "selfLink"]);
        self.from_hub(&mut object, storage);
        let mut out = Vec::new();
        match self.resource.encoding {
            Encoding::Protobuf => {
                let mut raw = Vec::new();
                protobuf::encode(&object, &storage.schema, &mut raw);
                protobuf::write_envelope(&storage.api_version, &self.resource.kind, &raw, &mut out);
            }
            Encoding::Json => {
                json::encode(&object, &storage.schema, &mut out);
                out.push(b'\n');
            }
        }
        out
    }

    /// Stored bytes as the cache keeps them.
    ///
    /// # Errors
    /// If they are not what this resource stores.
    pub fn to_cached(&self, value: &[u8], rv: u64) -> Result<Bytes, StoredError> {
        if let Some(raw) = protobuf_body(value)? {
            return protobuf::with_resource_version(raw, &rv.to_string())
                .map(exact)
                .map_err(|e| StoredError::Object(e.to_string()));
        }
        let storage = &self.resource.storage;
        let mut object = json::decode(value, &storage.schema, &json::DecodeOptions::default())
            .map_err(|e| StoredError::Object(e.to_string()))?
            .value;
        self.to_hub(&mut object, storage);
        object.set_path(&["metadata", "resourceVersion"], rv.to_string().into());
        Ok(self.encode_cached(&object))
    }

    fn encode_cached(&self, object: &Value) -> Bytes {
        let mut out = Vec::new();
        if self.cached_is_json() {
            json::encode(object, &self.resource.hub.schema, &mut out);
        } else {
            protobuf::encode(object, &self.cached().schema, &mut out);
        }
        exact(out)
    }

    /// Cached bytes as a tree in the hub version, with apiVersion, kind and resourceVersion.
    ///
    /// # Errors
    /// If the bytes do not decode.
    pub fn to_object(&self, cached: &[u8]) -> Result<Value, StoredError> {
        let mut object = if self.cached_is_json() {
            json::decode(cached, &self.resource.hub.schema, &json::DecodeOptions::default())
                .map_err(|e| StoredError::Object(e.to_string()))?
                .value
        } else {
            protobuf::decode(cached, &self.cached().schema).map_err(|e| StoredError::Object(e.to_string()))?
        };
        self.to_hub(&mut object, self.cached());
        self.strategy.decorate(&mut object);
        Ok(object)
    }

    /// An object of some version in the hub version.
    pub fn to_hub(&self, object: &mut Value, from: &Served) {
        let hub = &self.resource.hub;
        if from.api_version != hub.api_version {
            self.strategy.to_hub(&from.api_version, object);
        }
        object.set("apiVersion", &*hub.api_version);
        object.set("kind", &*self.resource.kind);
    }

    /// A hub object in another version.
    pub fn from_hub(&self, object: &mut Value, to: &Served) {
        if to.api_version != self.resource.hub.api_version {
            self.strategy.from_hub(&to.api_version, object);
        }
        object.set("apiVersion", &*to.api_version);
        object.set("kind", &*self.resource.kind);
    }
}

/// Bytes that take no more memory than they need: caches keep them for long.
fn exact(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// The message in a protobuf envelope; `None` if the value is no envelope (JSON).
fn protobuf_body(value: &[u8]) -> Result<Option<&[u8]>, StoredError> {
    if !value.starts_with(b"k8s\0") {
        return Ok(None);
    }
    let envelope = protobuf::Envelope::parse(value).map_err(|_| StoredError::Envelope)?;
    Ok(Some(envelope.raw))
}

impl Decode for Stored {
    fn decode(&self, value: Vec<u8>, rv: u64) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.to_cached(&value, rv)?)
    }

    fn with_revision(&self, raw: &Bytes, rv: u64) -> Bytes {
        if !self.cached_is_json()
            && let Ok(spliced) = protobuf::with_resource_version(raw, &rv.to_string())
        {
            return exact(spliced);
        }
        match self.to_object(raw) {
            Ok(mut object) => {
                object.set_path(&["metadata", "resourceVersion"], rv.to_string().into());
                self.encode_cached(&object)
            }
            Err(error) => {
                tracing::error!(%error, "cannot decode an object of the cache");
                raw.clone()
            }
        }
    }
}
