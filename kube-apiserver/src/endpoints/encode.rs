//! Objects and lists as bytes on the wire: from cached bytes without a tree where possible.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/response.go and runtime/serializer

use std::sync::Arc;

use apimachinery::codec::{json, protobuf, transcode, yaml};
use apimachinery::schema::{self, Type};
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use bytes::Bytes;

use super::negotiation::{Media, Output};
use crate::registry::resource::Served;
use crate::registry::store::Store;

/// The type of `PartialObjectMetadata`.
fn partial_type() -> &'static Type {
    schema::kind("meta.k8s.io/v1", "PartialObjectMetadata").expect("the type is in the table")
}

/// Which part of an object is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its metadata, as `PartialObjectMetadata` of this apiVersion.
    Metadata(String),
}

/// How objects of a resource are shown: as which version, which part.
#[derive(Clone)]
pub struct View {
    /// Where the objects are from.
    pub store: Arc<Store>,
    /// The version that was asked for.
    pub served: Served,
    /// Which part.
    pub part: Part,
}

impl View {
    /// The whole object.
    pub fn whole(store: &Arc<Store>, served: &Served) -> Self {
        Self { store: Arc::clone(store), served: served.clone(), part: Part::Whole }
    }

    /// apiVersion of what is shown.
    pub fn api_version(&self) -> &str {
        match &self.part {
            Part::Whole => &self.served.api_version,
            Part::Metadata(api_version) => api_version,
        }
    }

    /// Kind of what is shown.
    pub fn kind(&self) -> &str {
        match &self.part {
            Part::Whole => &self.store.resource.kind,
            Part::Metadata(_) => "PartialObjectMetadata",
        }
    }

    /// Kind of a list of what is shown.
    pub fn list_kind(&self) -> String {
        match (&self.part, &self.store.resource.custom) {
            (Part::Whole, Some(custom)) => custom.list_kind.clone(),
            _ => format!("{}List", self.kind()),
        }
    }

    fn schema(&self) -> &Type {
        match &self.part {
            Part::Whole => &self.served.schema,
            Part::Metadata(_) => partial_type(),
        }
    }

    fn as_is(&self) -> bool {
        match self.part {
            Part::Whole => self.store.stored.sends_as_is(&self.served),
            Part::Metadata(_) => !self.store.stored.cached_is_json() && !self.store.strategy.has_internal_form(),
        }
    }

    /// A cached object as a tree of what is shown.
    ///
    /// # Errors
    /// 500 if the bytes do not decode.
    pub fn tree(&self, raw: &[u8]) -> Result<Value, ApiError> {
        Ok(self.shown(self.store.object(raw)?))
    }

    /// A hub object as a tree of what is shown.
    pub fn shown(&self, mut object: Value) -> Value {
        match &self.part {
            Part::Whole => {
                self.store.stored.from_hub(&mut object, &self.served);
                if let Some(custom) = &self.store.resource.custom {
                    custom.show(&self.served.api_version, &mut object);
                }
                object
            }
            Part::Metadata(api_version) => {
                self.store.strategy.as_internal(&mut object);
                let mut out = Value::map();
                out.set("apiVersion", api_version.as_str());
                out.set("kind", "PartialObjectMetadata");
                out.set("metadata", object.get_mut("metadata").map(Value::take).unwrap_or_default());
                out
            }
        }
    }

    /// Appends a cached object as compact JSON. Items of typed lists carry no apiVersion and kind.
    ///
    /// # Errors
    /// 500 if the bytes do not decode.
    pub fn json(&self, raw: &[u8], with_type: bool, out: &mut Vec<u8>) -> Result<(), ApiError> {
        if self.as_is() {
            let (api_version, kind) = if with_type { (self.api_version(), self.kind()) } else { ("", "") };
            let done = match self.part {
                Part::Whole => transcode::json_from_protobuf(raw, &self.served.schema, api_version, kind, out),
                Part::Metadata(_) => {
                    let head = transcode::Head { api_version, kind, resource_version: None };
                    transcode::partial_metadata_json(raw, head, out)
                }
            };
            return done.map_err(ApiError::internal);
        }
        let mut object = self.tree(raw)?;
        if !with_type && !self.store.stored.cached_is_json() {
            object.remove("apiVersion");
            object.remove("kind");
        }
        json::encode(&object, self.schema(), out);
        Ok(())
    }

    /// A cached object as a protobuf message without envelope.
    ///
    /// # Errors
    /// 500 if the bytes do not decode.
    pub fn protobuf(&self, raw: &Bytes) -> Result<Bytes, ApiError> {
        if self.as_is() {
            return match self.part {
                Part::Whole => Ok(raw.clone()),
                Part::Metadata(_) => protobuf::partial_metadata(raw).map(Into::into).map_err(ApiError::internal),
            };
        }
        let mut out = Vec::new();
        protobuf::encode(&self.tree(raw)?, self.schema(), &mut out);
        Ok(out.into())
    }

    /// A cached object in an output form.
    ///
    /// # Errors
    /// 500 if the bytes do not decode.
    pub fn render(&self, raw: &Bytes, output: &Output) -> Result<Vec<u8>, ApiError> {
        let mut out = Vec::new();
        if output.media == Media::Protobuf {
            protobuf::write_envelope(self.api_version(), self.kind(), &self.protobuf(raw)?, &mut out);
            return Ok(out);
        }
        self.json(raw, true, &mut out)?;
        finish_json(out, output)
    }

    /// A hub object in an output form.
    ///
    /// # Errors
    /// 500 if it cannot be written as YAML.
    pub fn render_object(&self, object: Value, output: &Output) -> Result<Vec<u8>, ApiError> {
        render(&self.shown(object), self.schema(), output)
    }
}

/// A tree of a type, with apiVersion and kind, in an output form.
///
/// # Errors
/// 500 if it cannot be written as YAML.
pub fn render(value: &Value, ty: &Type, output: &Output) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::new();
    if output.media == Media::Protobuf && ty.extra.proto {
        let (api_version, kind) = (value.get("apiVersion").str_or_empty(), value.get("kind").str_or_empty());
        protobuf::encode_object(value, ty, api_version, kind, &mut out);
        return Ok(out);
    }
    json::encode(value, ty, &mut out);
    finish_json(out, output)
}

/// Compact JSON in the output form: with a newline, indented, or as YAML.
///
/// # Errors
/// 500 if it cannot be written as YAML.
pub fn finish_json(mut text: Vec<u8>, output: &Output) -> Result<Vec<u8>, ApiError> {
    match output.media {
        Media::Yaml => yaml::from_json(&text).map(String::into_bytes).map_err(ApiError::internal),
        _ if output.pretty => Ok(json::indent(&text)),
        _ => {
            text.push(b'\n');
            Ok(text)
        }
    }
}
