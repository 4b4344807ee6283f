//! The stages of a request: `Incoming → Authenticated → Authorized → Admitted`.
//!
//! Each stage consumes the one before, so a filter that is skipped does not compile. Filters make the
//! first three; `Admitted` is made by `registry::admit` and is all that storage accepts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use apimachinery::codec::json;
use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::schema::Type;
use apimachinery::value::Value;
use parking_lot::Mutex;

pub use crate::authentication::user::UserInfo;
pub use crate::filters::request_info::RequestInfo;

/// What is said besides the answer: texts for `Warning` response headers, and annotations of the audit event. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    warnings: Vec<String>,
    annotations: BTreeMap<String, String>,
}

impl Warnings {
    /// Adds a text once.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let list = &mut self.0.lock().warnings;
        if !list.contains(&text) {
            list.push(text);
        }
    }

    /// Adds an annotation of the audit event; what is there already stays.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.0.lock().annotations.entry(key.into()).or_insert_with(|| value.into());
    }

    /// All annotations.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.0.lock().annotations.clone()
    }

    /// All texts in the order they were added.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().warnings.clone()
    }
}

/// An empty list or map: where it is, and how it is written.
type Empty = (Path, &'static str);

/// Empty lists and maps that a body gives and that objects in normal form do not have; clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Emptied(Arc<Mutex<Option<Vec<Empty>>>>);

impl Emptied {
    /// Notes that an object was decoded with such lists and maps in it.
    pub fn kept(&self) {
        self.0.lock().get_or_insert_with(Vec::new);
    }

    /// Brings an object into normal form, which costs nothing unless it is needed.
    pub fn drop_from(&self, object: &mut Value, ty: &Type) {
        if let Some(list) = &mut *self.0.lock() {
            list.extend(json::drop_empty(object, ty));
        }
    }

    /// Makes errors about what is not there show what was given.
    pub fn show_in(&self, errs: &mut Errors) {
        let guard = self.0.lock();
        let Some(list) = guard.as_ref().filter(|list| !list.is_empty()) else { return };
        for error in errs.iter_mut().filter(|error| error.bad_value == BadValue::null()) {
            if let Some((_, text)) = list.iter().find(|(path, _)| *path == error.field) {
                error.bad_value = BadValue::json(*text);
            }
        }
    }
}

/// What was read from the request line and headers, before anyone knows who asks.
#[derive(Debug)]
pub struct Incoming {
    /// What is asked for.
    pub info: RequestInfo,
    /// Warnings that go out with the answer.
    pub warnings: Warnings,
    /// When the request arrived.
    pub received: Instant,
    /// When the server gives up on it; `None` for watches and streams.
    pub deadline: Option<Instant>,
}

impl Incoming {
    /// A request that arrived now.
    pub fn new(info: RequestInfo) -> Self {
        Self { info, warnings: Warnings::default(), received: Instant::now(), deadline: None }
    }

    /// The next stage: the credentials were good (or absent, for the anonymous user).
    pub fn authenticated(self, user: UserInfo) -> Authenticated {
        Authenticated {
            info: self.info,
            user: Arc::new(user),
            warnings: self.warnings,
            received: self.received,
            deadline: self.deadline,
        }
    }
}

/// A request whose user is known.
#[derive(Debug)]
pub struct Authenticated {
    /// What is asked for.
    pub info: RequestInfo,
    /// Who asks.
    pub user: Arc<UserInfo>,
    /// Warnings that go out with the answer.
    pub warnings: Warnings,
    /// When the request arrived.
    pub received: Instant,
    /// When the server gives up on it.
    pub deadline: Option<Instant>,
}

impl Authenticated {
    /// The same request in the name of another user (impersonation).
    #[must_use]
    pub fn acting_as(mut self, user: UserInfo) -> Self {
        self.user = Arc::new(user);
        self
    }

    /// The next stage: an authorizer allowed it.
    pub fn authorized(self) -> Authorized {
        Authorized {
            info: self.info,
            user: self.user,
            warnings: self.warnings,
            received: self.received,
            deadline: self.deadline,
        }
    }
}

/// A request that may be served.
#[derive(Debug)]
pub struct Authorized {
    /// What is asked for.
    pub info: RequestInfo,
    /// Who asks.
    pub user: Arc<UserInfo>,
    /// Warnings that go out with the answer.
    pub warnings: Warnings,
    /// When the request arrived.
    pub received: Instant,
    /// When the server gives up on it.
    pub deadline: Option<Instant>,
}
