//! A watch as a stream of frames: events encoded once for all watchers of the same form, bookmarks, the end.
//!
//! upstream: endpoints/handlers/watch.go; storage/cacher/cache_watcher.go

use std::pin::Pin;
use std::time::Duration;

use apimachinery::codec::{json, protobuf};
use apimachinery::schema;
use apimachinery::status::{ApiError, Reason};
use apimachinery::value;
use apimachinery::value::Value;
use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::time::{Instant, Sleep};

use super::dispatch::Scope;
use super::encode::{Part, View};
use super::list_options::Listing;
use super::negotiation::{self, Media, Output};
use super::websocket::Socket;
use super::{responses, table};
use crate::body::{Body, BodyError};
use crate::registry::store::{self, ObjectEvent, ObjectEventKind, ObjectWatch, WatchOptions, parse_revision};
use crate::storage::WatchEnd;

/// A watch without timeoutSeconds lasts at least this long, and at most twice as long.
const MIN_TIMEOUT: Duration = Duration::from_secs(1800);
/// Watchers that take bookmarks get one this often.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// And one this long before the end.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Room for so many events is kept from one time to the next.
const KEPT_EVENTS: usize = 8;
/// Bytes handed to the socket at once.
const CHUNK: usize = 32 * 1024;

/// Answers a watch, over a websocket if the client wants one.
pub async fn watch(
    scope: Scope,
    listing: Listing,
    output: Output,
    socket: Option<Socket>,
) -> Result<Response<Body>, ApiError> {
    let form = Form::new(&scope, &output)?;
    let revision = parse_revision(&listing.list.resource_version, "")?;
    let timeout = match listing.timeout_seconds {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.unsigned_abs()),
        _ => MIN_TIMEOUT.mul_f64(1.0 + rand::random::<f64>()),
    };
    let unset = matches!(listing.list.resource_version.as_str(), "" | "0");
    let options = WatchOptions {
        selection: listing.list.selection,
        revision,
        initial_events: listing.initial_events.unwrap_or(unset),
        consistent: listing.list.resource_version.is_empty(),
    };
    let announces_state = listing.bookmarks && listing.initial_events == Some(true) && options.initial_events;
    let deadline = Instant::now() + timeout;
    let starting = scope.store.watch(scope.about(), scope.object_namespace(), options);
    let started = tokio::time::timeout_at(deadline, starting)
        .await
        .unwrap_or_else(|_| Err(ApiError::new(500, Reason::InternalError, "context deadline exceeded")));
    let state = match started {
        Ok(watch) => State::Running(Box::new(Running {
            scope,
            form,
            watch,
            bookmarks: listing.bookmarks,
            announce: announces_state,
            deadline,
            next_bookmark: Instant::now() + jittered(BOOKMARK_EVERY),
            last_bookmark_near_end: false,
            phase: Phase::Initial,
            headers_sent: false,
            alarm: Box::pin(tokio::time::sleep_until(deadline)),
            events: Vec::new(),
        })),
        Err(error) => State::Failed(form, error),
    };
    let chunks = futures::stream::unfold(state, step);
    if let Some(socket) = socket {
        return Ok(socket.answer(chunks, output.media));
    }
    let mut response = Response::new(Body::stream(chunks));
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(http::header::CONTENT_TYPE, responses::content_type(&output, true));
    Ok(response)
}

fn jittered(base: Duration) -> Duration {
    base.mul_f64(0.9 + rand::random::<f64>() * 0.1)
}

enum State {
    Running(Box<Running>),
    Failed(Form, ApiError),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Sending the state.
    Initial,
    /// Sending events.
    Events,
}

struct Running {
    scope: Scope,
    form: Form,
    watch: ObjectWatch,
    bookmarks: bool,
    /// The end of the state is to be marked.
    announce: bool,
    deadline: Instant,
    next_bookmark: Instant,
    last_bookmark_near_end: bool,
    phase: Phase,
    /// Tables: the columns were sent.
    headers_sent: bool,
    /// Rings for bookmarks and at the end. Setting it costs more than an event, so it is kept from one to the next.
    alarm: Pin<Box<Sleep>>,
    /// Events that were read; kept for its room, unless that is large.
    events: Vec<ObjectEvent>,
}

async fn step(state: State) -> Option<(Result<Bytes, BodyError>, State)> {
    match state {
        State::Done => None,
        State::Failed(form, error) => {
            let mut out = Vec::new();
            form.frame_error(&error, &mut out);
            Some((Ok(out.into()), State::Done))
        }
        State::Running(mut running) => match running.next().await {
            Some(Ok(bytes)) => Some((Ok(bytes), State::Running(running))),
            Some(Err(error)) => {
                let mut out = Vec::new();
                running.form.frame_error(&error, &mut out);
                Some((Ok(out.into()), State::Done))
            }
            None => None,
        },
    }
}

impl Running {
    /// The next bytes, an error event to end with, or the end.
    async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        if self.phase == Phase::Initial {
            match self.initial() {
                Ok(Some(bytes)) => return Some(Ok(bytes)),
                Ok(None) => self.phase = Phase::Events,
                Err(e) => return Some(Err(e)),
            }
        }
        loop {
            match self.pending() {
                Ok(Some(bytes)) => return Some(Ok(bytes)),
                Ok(None) => {}
                Err(Ended::Quietly) => return None,
                Err(Ended::With(error)) => return Some(Err(error)),
            }
            let wake = self.next_wake();
            if self.alarm.deadline() != wake {
                self.alarm.as_mut().reset(wake);
            }
            tokio::select! {
                biased;
                () = self.watch.changed() => {}
                () = self.alarm.as_mut() => {}
            }
            if Instant::now() >= self.deadline {
                return None;
            }
        }
    }

    fn initial(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut out = Vec::new();
        while let Some(event) = self.watch.next_initial() {
            self.frame(&event, &mut out)?;
            if out.len() >= CHUNK {
                return Ok(Some(out.into()));
            }
        }
        if self.announce {
            self.announce = false;
            let revision = self.watch.state_revision();
            self.form.frame_bookmark(&self.scope, revision, true, &mut out);
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    fn pending(&mut self) -> Result<Option<Bytes>, Ended> {
        let mut events = std::mem::take(&mut self.events);
        let complete = self.watch.take_ready(&mut events).map_err(|end| match end {
            WatchEnd::Dropped => Ended::Quietly,
            WatchEnd::Expired | WatchEnd::TooOld { .. } => Ended::With(store::expired()),
        })?;
        let framed = self.frames(&events);
        if events.capacity() <= KEPT_EVENTS {
            events.clear();
            self.events = events;
        }
        if let Some(bytes) = framed.map_err(Ended::With)? {
            return Ok(Some(bytes));
        }
        let now = Instant::now();
        if !self.bookmark_due(now) {
            return Ok(None);
        }
        let mut out = Vec::new();
        self.form.frame_bookmark(&self.scope, complete, false, &mut out);
        self.next_bookmark = now + jittered(BOOKMARK_EVERY);
        Ok(Some(out.into()))
    }

    /// The events as bytes: one alone is not copied.
    fn frames(&mut self, events: &[ObjectEvent]) -> Result<Option<Bytes>, ApiError> {
        match events {
            [] => Ok(None),
            [event] if matches!(self.form.shape, Shape::Objects(_)) => self.form.shared_frame(event).map(Some),
            _ => {
                let mut out = Vec::new();
                events.iter().try_for_each(|event| self.frame(event, &mut out))?;
                Ok(Some(out.into()))
            }
        }
    }

    fn bookmark_due(&mut self, now: Instant) -> bool {
        if !self.bookmarks {
            return false;
        }
        let near_end = now + BOOKMARK_BEFORE_END >= self.deadline;
        if near_end && !self.last_bookmark_near_end {
            self.last_bookmark_near_end = true;
            return true;
        }
        now >= self.next_bookmark
    }

    fn next_wake(&self) -> Instant {
        if !self.bookmarks {
            return self.deadline;
        }
        let near_end = self.deadline.checked_sub(BOOKMARK_BEFORE_END).unwrap_or(self.deadline);
        let soon = Instant::now() + Duration::from_millis(10);
        let bookmark = if self.last_bookmark_near_end { self.deadline } else { near_end.min(self.next_bookmark) };
        bookmark.max(soon).min(self.deadline)
    }

    fn frame(&mut self, event: &ObjectEvent, out: &mut Vec<u8>) -> Result<(), ApiError> {
        if let Shape::Table { version, include } = &self.form.shape {
            let mut object = Vec::new();
            table::of_event(&self.scope, &event.entry.raw, *include, version, !self.headers_sent, &mut object)?;
            self.headers_sent = true;
            json_frame(name(event.kind), &object, out);
            return Ok(());
        }
        out.extend_from_slice(&self.form.shared_frame(event)?);
        Ok(())
    }
}

enum Ended {
    Quietly,
    With(ApiError),
}

fn name(kind: ObjectEventKind) -> &'static str {
    match kind {
        ObjectEventKind::Added => "ADDED",
        ObjectEventKind::Modified => "MODIFIED",
        ObjectEventKind::Deleted => "DELETED",
    }
}

enum Shape {
    Objects(View),
    Table { version: String, include: table::Include },
}

/// How events look.
struct Form {
    media: Media,
    shape: Shape,
    /// Tells forms of the same resource apart.
    base: u64,
}

impl Form {
    fn new(scope: &Scope, output: &Output) -> Result<Self, ApiError> {
        negotiation::stream(output)?;
        let whole = View::whole(&scope.store, &scope.served);
        let version =
            scope.store.resource.served.iter().position(|s| s.api_version == scope.served.api_version).unwrap_or(0);
        let (shape, part) = match &output.convert {
            None => (Shape::Objects(whole), 0),
            Some(convert) if convert.kind == "Table" => {
                (Shape::Table { version: convert.version.clone(), include: table::include(scope)? }, 3)
            }
            Some(convert) => {
                let part = if convert.version == "v1" { 1 } else { 2 };
                (Shape::Objects(View { part: Part::Metadata(convert.api_version()), ..whole }), part)
            }
        };
        let media = output.media;
        let base = (version as u64) << 8 | part << 4 | u64::from(media == Media::Protobuf) << 3;
        Ok(Self { media, shape, base })
    }

    fn id(&self, kind: ObjectEventKind) -> u64 {
        self.base
            | match kind {
                ObjectEventKind::Added => 0,
                ObjectEventKind::Modified => 1,
                ObjectEventKind::Deleted => 2,
            }
    }

    /// The frame of an object, made once for all watchers of this form.
    fn shared_frame(&self, event: &ObjectEvent) -> Result<Bytes, ApiError> {
        match &event.shared {
            Some(shared) => shared.encoded(self.id(event.kind), || self.object_frame(event)),
            None => self.object_frame(event),
        }
    }

    fn object_frame(&self, event: &ObjectEvent) -> Result<Bytes, ApiError> {
        let Shape::Objects(view) = &self.shape else { return Err(ApiError::internal("tables have no object frames")) };
        let mut out = Vec::with_capacity(event.entry.raw.len() * 2);
        let kind = name(event.kind);
        if self.media == Media::Protobuf {
            let mut enveloped = Vec::new();
            let message = view.protobuf(&event.entry.raw)?;
            protobuf::write_envelope(view.api_version(), view.kind(), &message, &mut enveloped);
            protobuf::watch_frame(kind, &enveloped, &mut out);
        } else {
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"object\":");
            view.json(&event.entry.raw, true, &mut out)?;
            out.extend_from_slice(b"}\n");
        }
        Ok(out.into())
    }

    /// A bookmark is an empty object of the kind with a resourceVersion.
    fn frame_bookmark(&self, scope: &Scope, revision: u64, ends_state: bool, out: &mut Vec<u8>) {
        let mut object = value!({"metadata": {"resourceVersion": revision.to_string()}});
        if ends_state {
            object.set_path(&["metadata", "annotations", "k8s.io/initial-events-end"], "true".into());
        }
        let whole = View::whole(&scope.store, &scope.served);
        if !matches!(&self.shape, Shape::Objects(View { part: Part::Metadata(_), .. })) {
            scope.store.strategy.complete_empty(&mut object);
        }
        let (shown, schema) = match &self.shape {
            Shape::Objects(view) => {
                object.set("apiVersion", view.api_version());
                object.set("kind", view.kind());
                let schema = match view.part {
                    Part::Whole => view.served.schema.clone(),
                    Part::Metadata(_) => metadata_type(),
                };
                (object, schema)
            }
            Shape::Table { .. } => {
                object.set("apiVersion", whole.api_version());
                object.set("kind", whole.kind());
                (object, whole.served.schema.clone())
            }
        };
        self.frame_value("BOOKMARK", &shown, &schema, out);
    }

    fn frame_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        let ty = schema::kind("v1", "Status").expect("the type is in the table");
        self.frame_value("ERROR", &error.to_status_value(), ty, out);
    }

    fn frame_value(&self, kind: &str, object: &Value, ty: &schema::Type, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        if self.media == Media::Protobuf && ty.extra.proto {
            let (api_version, object_kind) =
                (object.get("apiVersion").str_or_empty(), object.get("kind").str_or_empty());
            protobuf::encode_object(object, ty, api_version, object_kind, &mut bytes);
            protobuf::watch_frame(kind, &bytes, out);
        } else {
            json::encode(object, ty, &mut bytes);
            json_frame(kind, &bytes, out);
        }
    }
}

fn metadata_type() -> schema::TypeRef {
    schema::Ref::Static(schema::kind("meta.k8s.io/v1", "PartialObjectMetadata").expect("the type is in the table"))
}

fn json_frame(kind: &str, object: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}
