//! What one resource does differently from all others: the `Strategy`, and the context its methods see.
//!
//! Every method has a default body; an ordinary resource overrides nothing. Strategies are pure: they see
//! objects in the resource's hub version, never storage, never the clock. What needs other objects
//! (cluster IPs, node ports) is a `Hooks` implementation.
//! upstream: staging/src/k8s.io/apiserver/pkg/registry/rest/{create,update,delete}.go

use std::sync::Arc;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::status::ApiError;
use apimachinery::value::{Cursor, Value};
use async_trait::async_trait;
use http::{Request, Response};

use crate::body::Body;
use crate::registry::admit::Operation;
use crate::registry::resource::Resource;
use crate::registry::{columns, defaulting, ordinary};
use crate::request::{Authorized, Emptied, UserInfo, Warnings};
use crate::state::AppState;

/// Circumstances of a write, for strategies and hooks.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Who writes.
    pub user: Arc<UserInfo>,
    /// Create, update, delete.
    pub operation: Operation,
    /// The resource.
    pub resource: Arc<Resource>,
    /// API group of the request's path.
    pub group: String,
    /// API version of the request's path (`v1`); differs from the hub for a few resources.
    pub version: String,
    /// Subresource, empty if none.
    pub subresource: String,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name, empty on a create that generates it.
    pub name: String,
    /// Now, to the second as stored times are.
    pub now: jiff::Timestamp,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// `fieldManager`, or what the user agent gives.
    pub field_manager: String,
    /// User-Agent header.
    pub user_agent: String,
    /// Where warnings for the client go.
    pub warnings: Warnings,
    /// What messages show of empty lists and maps.
    pub emptied: Emptied,
}

impl RequestContext {
    /// Now, as stored times are written.
    pub fn now_text(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// Which names are allowed.
#[derive(Clone, Copy, Debug)]
pub enum NameRule {
    /// RFC 1123 subdomain, up to 253 characters: the rule of most resources.
    Dns1123Subdomain,
    /// RFC 1123 label, up to 63 characters: namespaces.
    Dns1123Label,
    /// RFC 1035 label: services (before relaxed validation).
    Dns1035Label,
    /// A path segment: no `/`, `%`, `.` or `..`: RBAC.
    PathSegment,
    /// A rule of the kind's own: what is wrong with a name.
    Custom(names::Rule),
}

impl NameRule {
    /// The rule as a function.
    pub fn rule(self) -> names::Rule {
        match self {
            Self::Dns1123Subdomain => names::dns1123_subdomain,
            Self::Dns1123Label => names::dns1123_label,
            Self::Dns1035Label => names::dns1035_label,
            Self::PathSegment => names::path_segment_name,
            Self::Custom(rule) => rule,
        }
    }
}

/// DeleteOptions as the deletion code reads them.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds; `None` means the kind's default.
    pub grace_period_seconds: Option<i64>,
    /// Only delete if the object has this UID.
    pub uid: Option<String>,
    /// Only delete if the object has this resourceVersion.
    pub resource_version: Option<String>,
    /// The deprecated form of `Orphan`.
    pub orphan_dependents: Option<bool>,
    /// `Orphan`, `Background` or `Foreground`.
    pub propagation_policy: Option<String>,
    /// Nothing is stored.
    pub dry_run: bool,
    /// Delete objects that cannot be decoded.
    pub ignore_store_read_error: bool,
    /// The options as they came, for admission.
    pub raw: Value,
}

/// Garbage collection when the client asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultPropagation {
    /// Dependents go in the background.
    Background,
    /// Dependents stay.
    Orphan,
    /// The kind has no dependents: what the client asks for does not matter.
    Unsupported,
}

/// What a resource does differently.
pub trait Strategy: Send + Sync + 'static {
    /// Upstream's defaulting functions, on the hub version; must be idempotent.
    fn default(&self, obj: &mut Value) {
        defaulting::apply_to_object(obj);
    }

    /// Turns an object of a served version that is not the hub into the hub version, and defaults it as that
    /// version's own defaulting does. The default body only replaces apiVersion.
    fn to_hub(&self, _api_version: &str, _obj: &mut Value) {}

    /// Turns a hub object into another served (or the storage) version; apiVersion is set by the caller.
    #[expect(clippy::wrong_self_convention, reason = "the object is converted, not the strategy")]
    fn from_hub(&self, _api_version: &str, _obj: &mut Value) {}

    /// Versions whose fields differ from the hub's, so that `to_hub` and `from_hub` do real work.
    fn needs_conversion(&self, _api_version: &str) -> bool {
        false
    }

    /// Clears what clients may not set on create. Default: drops status, sets generation 1.
    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        ordinary::prepare_create(cx, obj);
    }

    /// Keeps what clients may not change. Default: status from the old object if there is a status
    /// subresource; generation + 1 if anything but metadata and status differs.
    fn prepare_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        ordinary::prepare_update(cx, obj, old);
    }

    /// Default: everything but status and managedFields from the old object.
    fn prepare_status_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        ordinary::prepare_status_update(cx, obj, old);
    }

    /// Updates of further subresources that hold the same kind: `approval`, `finalize`, `resize`,
    /// `ephemeralcontainers`.
    fn prepare_subresource_update(&self, _subresource: &str, cx: &RequestContext, obj: &mut Value, old: &Value) {
        self.prepare_update(cx, obj, old);
    }

    /// True if the validation below checks the metadata too, where its place among the errors or the number of times it is
    /// checked is not that of most kinds.
    fn checks_metadata(&self, _cx: &RequestContext) -> bool {
        false
    }

    /// Checks a new object; metadata is checked by the generic code.
    fn validate_create(&self, _cx: &RequestContext, _obj: Cursor<'_>, _errs: &mut Errors) {}

    /// Checks a change; metadata is checked by the generic code.
    fn validate_update(&self, _cx: &RequestContext, _obj: Cursor<'_>, _old: Cursor<'_>, _errs: &mut Errors) {}

    /// Checks a change of the status.
    fn validate_status_update(&self, _cx: &RequestContext, _obj: Cursor<'_>, _old: Cursor<'_>, _errs: &mut Errors) {}

    /// Checks a change through another subresource.
    fn validate_subresource_update(
        &self,
        _subresource: &str,
        cx: &RequestContext,
        obj: Cursor<'_>,
        old: Cursor<'_>,
        errs: &mut Errors,
    ) {
        self.validate_update(cx, obj, old, errs);
    }

    /// Normalises after validation, before storing (upstream's Canonicalize).
    fn canonicalize(&self, _obj: &mut Value) {}

    /// Warnings about a new object.
    fn warnings_create(&self, _cx: &RequestContext, _obj: Cursor<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Warnings about a change.
    fn warnings_update(&self, _cx: &RequestContext, _obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Which names are allowed.
    fn name_rule(&self) -> NameRule {
        NameRule::Dns1123Subdomain
    }

    /// A PUT to a name that does not exist creates it.
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// A PUT without resourceVersion overwrites.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// Graceful deletion: `None` if the kind has none, else the grace period in seconds to use (0 = at once).
    fn grace_period(&self, _obj: &Value, _options: &DeleteOptions) -> Option<i64> {
        None
    }

    /// What happens to dependents when the client does not say.
    fn default_propagation(&self) -> DefaultPropagation {
        DefaultPropagation::Background
    }

    /// Cells of the table row, in the order of the columns. `None`: the default columns (name, created at).
    fn table_cells(&self, obj: Cursor<'_>, now: jiff::Timestamp) -> Option<Vec<Value>> {
        columns::cells(obj, now)
    }

    /// Conditions of the table row.
    fn table_conditions(&self, _obj: Cursor<'_>) -> Option<Value> {
        None
    }

    /// Takes out of a hub object what upstream's internal version keeps elsewhere: rows show metadata without it.
    fn as_internal(&self, _obj: &mut Value) {}

    /// True if `as_internal` does something.
    fn has_internal_form(&self) -> bool {
        false
    }

    /// What upstream's conversion to the hub version puts into an object that has nothing (bookmarks).
    fn complete_empty(&self, _obj: &mut Value) {}

    /// Value of a selectable field other than metadata.name and metadata.namespace. The default body
    /// follows the path through the object.
    fn field_value(&self, obj: &Value, label: &str) -> Option<String> {
        Some(ordinary::field_value(obj, label))
    }

    /// True if `field_value` does more than follow the path to a string.
    fn computes_fields(&self) -> bool {
        false
    }

    /// Seconds after which objects vanish by themselves (events).
    fn ttl_seconds(&self, _cx: &RequestContext) -> Option<u64> {
        None
    }

    /// Changes what readers see of a stored object (upstream's Decorator), e.g. defaults that are not stored.
    fn decorate(&self, _obj: &mut Value) {}

    /// True if `decorate` or defaulting at read time changes objects, so that they cannot be sent as stored.
    fn decorates(&self) -> bool {
        false
    }

    /// Side effects on other objects.
    fn hooks(&self) -> Option<&dyn Hooks> {
        None
    }

    /// A subresource that is not an update of the same kind: `binding`, `eviction`, `token`, `log`, `exec` …
    fn subresource(&self, _name: &str) -> Option<&dyn Subresource> {
        None
    }
}

/// Side effects of writes on other objects; called around the storage transaction.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Before a new object is prepared, validated and stored. May change it.
    async fn before_create(&self, _state: &AppState, _cx: &RequestContext, _obj: &mut Value) -> Result<(), ApiError> {
        Ok(())
    }

    /// After the attempt to store; `stored` says whether it worked: undo what `before_create` took if not.
    async fn after_create(&self, _state: &AppState, _cx: &RequestContext, _obj: &Value, _stored: bool) {}

    /// Before a change is prepared, validated and stored. May change it. Called again on a retry.
    async fn before_update(
        &self,
        _state: &AppState,
        _cx: &RequestContext,
        _obj: &mut Value,
        _old: &Value,
    ) -> Result<(), ApiError> {
        Ok(())
    }

    /// After the attempt to store a change.
    async fn after_update(&self, _state: &AppState, _cx: &RequestContext, _obj: &Value, _old: &Value, _stored: bool) {}

    /// After an object is gone from storage (never on a dry run).
    async fn after_delete(&self, _state: &AppState, _cx: &RequestContext, _obj: &Value) {}

    /// Handles DELETE entirely instead of the generic code (namespaces with finalizers). `None`: generic code.
    async fn delete(
        &self,
        _state: &AppState,
        _cx: &RequestContext,
        _options: &DeleteOptions,
    ) -> Option<Result<Value, ApiError>> {
        None
    }
}

/// A create-like endpoint: `pods/binding`, `pods/eviction`, `serviceaccounts/token`, and the resources without
/// storage (`subjectaccessreviews` …). Media types, options, body decoding and admission are done by the caller.
#[async_trait]
pub trait Creater: Send + Sync {
    /// Handles the object of the body, already defaulted, mutated by admission, in the version of the request.
    /// Returns the object (or Status) to answer with 201.
    ///
    /// # Errors
    /// What the client gets.
    async fn create(&self, state: &AppState, cx: &RequestContext, obj: Value) -> Result<Value, ApiError>;

    /// Checks of the body before `create`.
    fn validate(&self, _cx: &RequestContext, _obj: Cursor<'_>, _errs: &mut Errors) {}
}

/// How a special subresource is served.
#[async_trait]
pub trait Subresource: Send + Sync {
    /// A create-like subresource; `None` if it is a raw one.
    fn creater(&self) -> Option<&dyn Creater> {
        None
    }

    /// A raw one (log, exec, attach, portforward, proxy): takes the request as it is.
    async fn connect(&self, _state: &Arc<AppState>, _cx: Authorized, _req: Request<Body>) -> Response<Body> {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = http::StatusCode::NOT_IMPLEMENTED;
        answer
    }
}
