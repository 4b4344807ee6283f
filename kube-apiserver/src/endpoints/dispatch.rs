//! Which code answers a resource request: by group, version, resource, subresource and method.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/installer.go

use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::{ApiError, Details, Reason};
use apimachinery::structural::Structural;
use apimachinery::value::Value;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use jiff::Timestamp;

use super::negotiation::{self, Endpoint, Output};
use super::query::Query;
use super::{responses, verbs};
use crate::body::Body;
use crate::registry::admit::Operation;
use crate::registry::errors::{self, About};
use crate::registry::resource::Served;
use crate::registry::store::Store;
use crate::registry::strategy::{RequestContext, Subresource};
use crate::registry::{Found, Virtual};
use crate::request::{Authorized, Emptied, RequestInfo, UserInfo, Warnings};
use crate::state::AppState;

/// Writes get less time than requests in general, so that the client hears of it.
/// upstream: endpoints/handlers/rest.go: requestTimeoutUpperBound
const WRITE_LIMIT: Duration = Duration::from_secs(34);

/// A request to a resource with storage, resolved.
pub struct Scope {
    /// Everything.
    pub state: Arc<AppState>,
    /// The resource's store.
    pub store: Arc<Store>,
    /// The version asked for.
    pub served: Served,
    /// What was asked for.
    pub info: RequestInfo,
    /// Who asks.
    pub user: Arc<UserInfo>,
    /// Warnings for the client.
    pub warnings: Warnings,
    /// Empty lists and maps of the body.
    pub emptied: Emptied,
    /// The request's headers.
    pub headers: HeaderMap,
    /// Its query parameters.
    pub query: Query,
    /// Path of the request.
    pub path: String,
}

impl Scope {
    /// For errors about storage.
    pub fn about(&self) -> About<'_> {
        About { group: &self.info.api_group, resource: &self.info.resource, name: &self.info.name }
    }

    /// What the endpoint can do, for negotiation.
    pub fn endpoint(&self, list: bool) -> Endpoint {
        let crd_status = &*self.store.resource.group == "apiextensions.k8s.io" && !self.info.subresource.is_empty();
        let tables = !crd_status;
        Endpoint { tables, list, protobuf: !self.is_json_only(), routed: self.store.resource.info.is_some() }
    }

    /// The schema of the version asked for, if this is a custom resource.
    pub fn custom_schema(&self) -> Option<&Structural> {
        self.store.resource.custom.as_ref()?.schema(&self.served.api_version)
    }

    /// Fills in defaults of an object in the version asked for.
    pub fn default(&self, object: &mut Value) {
        match self.custom_schema() {
            Some(schema) => crate::extensions::custom::default(object, schema),
            None => {
                self.store.strategy.default(object);
                self.emptied.drop_from(object, &self.served.schema);
            }
        }
    }

    fn is_json_only(&self) -> bool {
        self.store.stored.cached_is_json()
    }

    /// What the answer is to look like.
    ///
    /// # Errors
    /// 406.
    pub fn output(&self, list: bool) -> Result<Output, ApiError> {
        negotiation::output(&self.headers, &self.query, self.endpoint(list))
    }

    /// Namespace that objects of this request live in: empty for cluster-scoped ones.
    pub fn object_namespace(&self) -> &str {
        if self.store.resource.namespaced { &self.info.namespace } else { "" }
    }

    /// The circumstances of a write.
    pub fn context(&self, operation: Operation, dry_run: bool, field_manager: &str) -> RequestContext {
        let user_agent = self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let manager = if field_manager.is_empty() { manager_of(user_agent) } else { field_manager.to_owned() };
        RequestContext {
            user: Arc::clone(&self.user),
            operation,
            resource: Arc::clone(&self.store.resource),
            group: self.info.api_group.clone(),
            version: self.info.api_version.clone(),
            subresource: self.info.subresource.clone(),
            namespace: self.object_namespace().to_owned(),
            name: self.info.name.clone(),
            now: now(),
            dry_run,
            field_manager: manager,
            user_agent: user_agent.to_owned(),
            warnings: self.warnings.clone(),
            emptied: self.emptied.clone(),
        }
    }
}

/// Now, to the second.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The manager that a user agent gives: what is before the first slash, printable, at most 128 bytes.
fn manager_of(user_agent: &str) -> String {
    const MAX: usize = 128;
    let mut out = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars() {
        if !apimachinery::quote::is_printable(c) {
            continue;
        }
        if out.len() + c.len_utf8() > MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// Answers an authorized request for a resource.
pub async fn serve(state: Arc<AppState>, request: Authorized, http: Request<Body>) -> Response<Body> {
    let headers = http.headers().clone();
    match route(state, request, http).await {
        Ok(response) => response,
        Err(error) => responses::error(&error, &headers),
    }
}

async fn route(state: Arc<AppState>, request: Authorized, http: Request<Body>) -> Result<Response<Body>, ApiError> {
    let info = &request.info;
    if !info.is_long_running() {
        check_timeout(&http)?;
    }
    let found = state.registry.find(&info.api_group, &info.api_version, &info.resource);
    let (store, served) = match found {
        Some(Found::Stored(store, served)) => (store, served),
        Some(Found::Asked(store, served)) if info.parts.len() <= 2 => {
            if let Some(warning) = deprecation(&served, &store.resource.kind) {
                request.warnings.add(warning);
            }
            let scope = scope(&state, store, served, request, &http);
            return verbs::components(scope, http.method()).await;
        }
        Some(Found::Asked(..)) => return Err(not_found()),
        Some(Found::Virtual(resource)) => return verbs::create_virtual(state, resource, request, http).await,
        None if state.registry.serves(&info.api_group, &info.api_version) => return Err(not_found()),
        None if state.options.enabled.groups().any(|g| g.name == info.api_group) => return Err(not_found()),
        None => return Ok(responses::page_not_found()),
    };
    if !scope_fits(&store, info) {
        return Err(not_found());
    }
    let custom = store.resource.custom.as_ref().and_then(|custom| custom.deprecation(&served.api_version));
    if let Some(warning) = custom.or_else(|| deprecation(&served, &store.resource.kind)) {
        request.warnings.add(warning);
    }
    if !info.subresource.is_empty() {
        return subresource(state, store, served, request, http).await;
    }
    let scope = scope(&state, store, served, request, &http);
    let method = http.method().clone();
    let named = scope.info.parts.len() > 1;
    if scope.info.parts.len() > 2 {
        return Err(not_found());
    }
    let watch_path = scope.info.verb == "watch" && scope.path.split('/').any(|p| p == "watch");
    let has = |verb: &str| scope.store.resource.info.is_none_or(|i| i.verbs.contains(&verb));
    let may_delete_all = has("deletecollection");
    let in_namespace = !scope.store.resource.namespaced || !scope.info.namespace.is_empty();
    match (&method, named) {
        (&Method::GET, false) => verbs::list(scope, watch_path, http).await,
        (&Method::GET, true) if watch_path => verbs::list(scope, true, http).await,
        (&Method::GET, true) if in_namespace => verbs::get(scope).await,
        (&Method::POST, false) if in_namespace => in_time(|| verbs::create(scope, http)).await,
        (&Method::DELETE, false) if in_namespace && may_delete_all => verbs::delete_collection(scope, http).await,
        (&Method::PUT, true) if in_namespace => in_time(|| verbs::update(scope, http)).await,
        (&Method::PATCH, true) if in_namespace => in_time(|| verbs::patch(scope, http)).await,
        (&Method::DELETE, true) if in_namespace => in_time(|| verbs::delete(scope, http)).await,
        (_, true) if !in_namespace => Err(not_found()),
        _ => Err(method_not_allowed()),
    }
}

/// A write of one object, which is given up after [`WRITE_LIMIT`]. The future is made here and kept on the heap: writes
/// nest (a Service writes IPAddresses), and theirs are large.
fn in_time<F>(write: impl FnOnce() -> F) -> BoxFuture<'static, Result<Response<Body>, ApiError>>
where
    F: Future<Output = Result<Response<Body>, ApiError>> + Send + 'static,
{
    let write = Box::pin(write());
    Box::pin(async move {
        tokio::time::timeout(WRITE_LIMIT, write).await.unwrap_or_else(|_| Err(errors::ran_out_of_time()))
    })
}

/// `timeout=` must be a duration; how long the request may take is for the filters.
fn check_timeout(http: &Request<Body>) -> Result<(), ApiError> {
    let query = Query::parse(http.uri().query().unwrap_or_default());
    match query.get("timeout") {
        Some(text) if !text.is_empty() => component_base::flags::parse_duration(text)
            .map(drop)
            .map_err(|e| ApiError::bad_request(format!("invalid timeout specified in the request URL - {e}"))),
        _ => Ok(()),
    }
}

fn scope(state: &Arc<AppState>, store: Arc<Store>, served: Served, request: Authorized, http: &Request<Body>) -> Scope {
    Scope {
        state: Arc::clone(state),
        store,
        served,
        info: request.info,
        user: request.user,
        warnings: request.warnings,
        emptied: Emptied::default(),
        headers: http.headers().clone(),
        query: Query::parse(http.uri().query().unwrap_or_default()),
        path: http.uri().path().to_owned(),
    }
}

/// The warning that every request to a deprecated version gets.
/// upstream: staging/src/k8s.io/apiserver/pkg/endpoints/deprecation, zz_generated.prerelease-lifecycle.go
fn deprecation(served: &Served, kind: &str) -> Option<String> {
    let (since, instead) = match (&*served.api_version, kind) {
        ("v1", "Endpoints") => ("v1.33+", "; use discovery.k8s.io/v1 EndpointSlice"),
        ("v1", "ComponentStatus") => ("v1.19+", ""),
        _ => return None,
    };
    Some(format!("{} {kind} is deprecated in {since}{instead}", served.api_version))
}

/// A namespaced resource has no cluster-scoped objects, and the other way round.
fn scope_fits(store: &Store, info: &RequestInfo) -> bool {
    let resource = &store.resource;
    resource.namespaced || info.namespace.is_empty() || resource.is_namespaces()
}

async fn subresource(
    state: Arc<AppState>,
    store: Arc<Store>,
    served: Served,
    request: Authorized,
    http: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    let name = request.info.subresource.clone();
    if let Some(special) = store.strategy.subresource(&name).or_else(|| connecting(&store, &name)) {
        return special_subresource(special, state, store, served, request, http).await;
    }
    let known = store.resource.subresource(&name);
    let method = http.method().clone();
    let scope = scope(&state, store, served, request, &http);
    let Some(verbs) = known else {
        // a custom resource may have it in another version or not at all: it is the object that is missing there
        let custom = scope.store.resource.custom.is_some() && matches!(name.as_str(), "status" | "scale");
        return Err(if custom { scope.about().not_found() } else { not_found() });
    };
    let has = |verb: &str| verbs.contains(&verb);
    match method {
        Method::GET if has("get") => verbs::get(scope).await,
        Method::PUT if has("update") => in_time(|| verbs::update(scope, http)).await,
        Method::PATCH if has("patch") => in_time(|| verbs::patch(scope, http)).await,
        _ => Err(method_not_allowed()),
    }
}

/// The subresources of core resources that lead elsewhere.
fn connecting(store: &Store, name: &str) -> Option<&'static dyn Subresource> {
    store.resource.group.is_empty().then(|| crate::connect::subresource(&store.resource.plural, name)).flatten()
}

async fn special_subresource(
    special: &'static dyn Subresource,
    state: Arc<AppState>,
    store: Arc<Store>,
    served: Served,
    request: Authorized,
    http: Request<Body>,
) -> Result<Response<Body>, ApiError> {
    match special.creater() {
        Some(creater) if http.method() == Method::POST => {
            let scope = scope(&state, store, served, request, &http);
            in_time(|| verbs::create_subresource(scope, creater, http)).await
        }
        Some(_) => Err(method_not_allowed()),
        None => Ok(special.connect(&state, request, http).await),
    }
}

/// A resource without storage.
pub fn virtual_scope(resource: &Virtual, info: &RequestInfo) -> bool {
    resource.namespaced != info.namespace.is_empty() && info.parts.len() == 1
}

/// The 404 of a path below a known group version that leads nowhere.
pub fn not_found() -> ApiError {
    plain(StatusCode::NOT_FOUND, Reason::NotFound, "the server could not find the requested resource")
}

/// The 405 of a path that exists.
pub fn method_not_allowed() -> ApiError {
    plain(
        StatusCode::METHOD_NOT_ALLOWED,
        Reason::MethodNotAllowed,
        "the server does not allow this method on the requested resource",
    )
}

fn plain(code: StatusCode, reason: Reason, message: &str) -> ApiError {
    ApiError::new(code.as_u16(), reason, message).with_details(Details::default())
}
