//! GET of a collection: a list streamed object by object, or a watch.
//!
//! upstream: endpoints/handlers/get.go: ListResource

use std::sync::Arc;

use apimachinery::codec::{protobuf, transcode};
use apimachinery::status::ApiError;
use bytes::Bytes;
use futures::Stream;
use http::{Request, Response, StatusCode};

use super::super::dispatch::Scope;
use super::super::encode::{Part, View, finish_json};
use super::super::negotiation::{Media, Output};
use super::super::websocket::Socket;
use super::super::{list_options, responses, table, watch_stream};
use super::respond::{go_type, not_acceptable};
use crate::body::{Body, BodyError};
use crate::registry::store::List;
use crate::storage::Entry;

/// Bytes handed to the socket at once.
const CHUNK: usize = 64 * 1024;

/// Answers a GET of a collection; `watch_path`: below `/watch/`.
pub async fn list(scope: Scope, watch_path: bool, mut http: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = scope.output(true)?;
    let info = &scope.info;
    let name = if info.parts.len() > 1 || !info.name.is_empty() { info.name.as_str() } else { "" };
    let listing = list_options::parse(&scope.query, &scope.store.resource, &info.api_group, &info.api_version, name)?;
    if listing.watch || watch_path {
        return watch_stream::watch(scope, listing, output, Socket::of(&mut http)).await;
    }
    let found = scope.store.list(scope.about(), scope.object_namespace(), &listing.list).await?;
    render(&scope, found, &output)
}

/// A list in an output form.
///
/// # Errors
/// 406 for a form that lists do not have.
pub fn render(scope: &Scope, list: List, output: &Output) -> Result<Response<Body>, ApiError> {
    let whole = View::whole(&scope.store, &scope.served);
    let view = match &output.convert {
        None => whole,
        Some(convert) => match convert.kind.as_str() {
            "PartialObjectMetadataList" => View { part: Part::Metadata(convert.api_version()), ..whole },
            "Table" => {
                let body = table::of_list(scope, &list, &convert.version, output)?;
                return Ok(responses::bytes(StatusCode::OK, body, output, &scope.headers));
            }
            other => {
                let go = go_type(scope, "List");
                return Err(not_acceptable(format!(
                    "you requested {other}, but the requested object is a list ({go})"
                )));
            }
        },
    };
    if output.media == Media::Protobuf {
        return protobuf_list(scope, view, list, output);
    }
    let mut pieces = JsonPieces::new(view, list);
    if output.media == Media::Yaml || output.pretty {
        let mut all = Vec::new();
        while pieces.append(&mut all)? {}
        all.pop();
        let body = finish_json(all, output)?;
        return Ok(responses::bytes(StatusCode::OK, body, output, &scope.headers));
    }
    send(scope, pieces, output)
}

/// A body made piece by piece.
trait Pieces: Send + 'static {
    /// Appends the next piece; false after the last one.
    fn append(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError>;
}

/// Small bodies are sent whole, larger ones as they are made.
fn send<P: Pieces>(scope: &Scope, mut pieces: P, output: &Output) -> Result<Response<Body>, ApiError> {
    let mut first = Vec::new();
    while first.len() <= responses::threshold() {
        if !pieces.append(&mut first)? {
            return Ok(responses::bytes(StatusCode::OK, first, output, &scope.headers));
        }
    }
    Ok(responses::stream(first, chunks(pieces), output, &scope.headers))
}

fn chunks<P: Pieces>(pieces: P) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
    futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        let mut out = Vec::with_capacity(CHUNK + CHUNK / 4);
        while out.len() < CHUNK {
            match pieces.append(&mut out) {
                Ok(true) => {}
                Ok(false) => return Some((Ok(out.into()), None)),
                Err(e) => {
                    tracing::error!(error = %e.message(), "cannot encode an object of a list");
                    return Some((Err(e.message().to_owned().into()), None));
                }
            }
        }
        Some((Ok(Bytes::from(out)), Some(pieces)))
    })
}

fn with_meta<R>(list: &List, make: impl FnOnce(&transcode::ListMeta<'_>) -> R) -> R {
    // what is not stored has no revision
    let revision = if list.revision == 0 { String::new() } else { list.revision.to_string() };
    make(&transcode::ListMeta {
        resource_version: &revision,
        continue_token: &list.continue_token,
        remaining_item_count: list.remaining,
    })
}

struct JsonPieces {
    view: View,
    head: Option<Vec<u8>>,
    entries: std::vec::IntoIter<Arc<Entry>>,
    first: bool,
    typed: bool,
}

impl JsonPieces {
    fn new(view: View, list: List) -> Self {
        let mut head = Vec::new();
        with_meta(&list, |meta| transcode::list_start(view.api_version(), &view.list_kind(), meta, &mut head));
        if view.store.resource.custom.is_some() && view.part == Part::Whole && list.continue_token.is_empty() {
            // lists without a Go type always show where they continue
            head = custom_head(&view, list.revision);
        }
        let typed = view.part != Part::Whole || view.store.stored.cached_is_json();
        Self { view, head: Some(head), entries: list.entries.into_iter(), first: true, typed }
    }
}

fn custom_head(view: &View, revision: u64) -> Vec<u8> {
    let (kind, api_version) = (view.list_kind(), view.api_version());
    format!(
        "{{\"apiVersion\":\"{api_version}\",\"kind\":\"{kind}\",\"metadata\":{{\"continue\":\"\",\"resourceVersion\":\"{revision}\"}},\"items\":["
    )
    .into_bytes()
}

impl Pieces for JsonPieces {
    fn append(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if let Some(head) = self.head.take() {
            out.extend_from_slice(&head);
            if self.entries.len() == 0 && matches!(self.view.part, Part::Metadata(_)) {
                // upstream appends to a list that it never makes
                out.truncate(out.len() - 1);
                out.extend_from_slice(b"null}\n");
                return Ok(false);
            }
        }
        let Some(entry) = self.entries.next() else {
            transcode::list_end(out);
            out.push(b'\n');
            return Ok(false);
        };
        if !std::mem::take(&mut self.first) {
            out.push(b',');
        }
        self.view.json(&entry.raw, self.typed, out)?;
        Ok(true)
    }
}

fn protobuf_list(scope: &Scope, view: View, list: List, output: &Output) -> Result<Response<Body>, ApiError> {
    let mut total = 0;
    for entry in &list.entries {
        total += protobuf::list_item_len(&view.protobuf(&entry.raw)?);
    }
    let mut head = Vec::new();
    with_meta(&list, |meta| protobuf::list_start(view.api_version(), &view.list_kind(), meta, total, &mut head));
    send(scope, ProtobufPieces { view, head: Some(head), entries: list.entries.into_iter() }, output)
}

struct ProtobufPieces {
    view: View,
    head: Option<Vec<u8>>,
    entries: std::vec::IntoIter<Arc<Entry>>,
}

impl Pieces for ProtobufPieces {
    fn append(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if let Some(head) = self.head.take() {
            out.extend_from_slice(&head);
        }
        let Some(entry) = self.entries.next() else {
            protobuf::list_end(out);
            return Ok(false);
        };
        protobuf::list_item(&self.view.protobuf(&entry.raw)?, out);
        Ok(true)
    }
}
