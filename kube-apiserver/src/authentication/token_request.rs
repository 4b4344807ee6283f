//! `serviceaccounts/token`: issues a bound token.
//!
//! upstream: pkg/registry/core/serviceaccount/storage/token.go

use apimachinery::field::{Errors, Path};
use apimachinery::quote::quote;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::service_account::claims::{Bound, ObjectRef};
use crate::registry::{Creater, RequestContext, Subresource};
use crate::state::AppState;

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const MIN_SECONDS: i64 = 10 * 60;
const MAX_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 3600;
/// What old clients' pods ask for; their tokens really live a year, and use after this is noted.
const WARN_ONLY_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest;

impl Subresource for TokenRequest {
    fn creater(&self) -> Option<&dyn Creater> {
        Some(self)
    }
}

#[async_trait]
impl Creater for TokenRequest {
    async fn create(&self, state: &AppState, cx: &RequestContext, obj: Value) -> Result<Value, ApiError> {
        let issuer = state.issuer.as_ref().ok_or_else(|| ApiError::not_found("", "serviceaccounts/token", &cx.name))?;
        let mut request = obj;
        check_metadata(&request, cx)?;
        let account = get(state, "serviceaccounts", &cx.namespace, &cx.name).await?;
        complete(&mut request, cx, state, &account)?;
        let seconds = request.path(&["spec", "expirationSeconds"]).as_i64().unwrap_or(DEFAULT_SECONDS);
        check_seconds(seconds)?;
        let mut bound =
            Bound { namespace: cx.namespace.clone(), serviceaccount: reference(&account), ..Bound::default() };
        bind(state, cx, &request, &mut bound).await?;
        let seconds = shorten(&mut request, cx, state, seconds);
        let audiences: Vec<String> =
            request.path(&["spec", "audiences"]).items().iter().map(|a| a.str_or_empty().to_owned()).collect();
        let now = Timestamp::now();
        let mut lifetime = seconds;
        let extends = state.options.flags.bool("service-account-extend-token-expiration");
        let own = audiences.iter().all(|a| state.options.api_audiences.contains(a));
        if extends && own && bound.pod.is_some() && seconds == WARN_ONLY_SECONDS {
            bound.warnafter = Some(now.as_second() + seconds);
            lifetime = EXTENDED_SECONDS;
        }
        let token = issuer
            .issue(bound, audiences, lifetime, now)
            .ok_or_else(|| ApiError::internal("failed to generate token: signing failed"))?;
        let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let status: Value = [
            ("token", Value::from(token)),
            ("expirationTimestamp", expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
        ]
        .into();
        request.set("status", status);
        Ok(request)
    }
}

fn check_metadata(request: &Value, cx: &RequestContext) -> Result<(), ApiError> {
    let mut errs = Errors::new();
    let path = Path::root("metadata");
    let name = request.path(&["metadata", "name"]).str_or_empty();
    if !name.is_empty() && name != cx.name {
        errs.invalid(path.child("name"), name, "must match the service account name if specified");
    }
    let namespace = request.path(&["metadata", "namespace"]).str_or_empty();
    if errs.is_empty() && !namespace.is_empty() && namespace != cx.namespace {
        errs.invalid(path.child("namespace"), namespace, "must match the service account namespace if specified");
    }
    if errs.is_empty() { Ok(()) } else { Err(ApiError::invalid(GROUP, KIND, &cx.name, &errs)) }
}

/// Fills in what the client left out.
fn complete(request: &mut Value, cx: &RequestContext, state: &AppState, account: &Value) -> Result<(), ApiError> {
    let uid = account.path(&["metadata", "uid"]).str_or_empty();
    let asked = request.path(&["metadata", "uid"]).str_or_empty();
    if !asked.is_empty() && asked != uid {
        let why =
            format!("the UID in the token request ({asked}) does not match the UID of the service account ({uid})");
        return Err(ApiError::conflict(GROUP, KIND, &cx.name, why));
    }
    let metadata = request.field_mut("metadata");
    metadata.set("name", cx.name.as_str());
    metadata.set("namespace", cx.namespace.as_str());
    metadata.set("uid", uid);
    metadata.set("creationTimestamp", cx.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let spec = request.field_mut("spec");
    if spec.get("audiences").items().is_empty() {
        let audiences = state.options.api_audiences.iter().map(|a| a.as_str().into()).collect();
        spec.set("audiences", Value::List(audiences));
    }
    if !spec.has("expirationSeconds") {
        spec.set("expirationSeconds", DEFAULT_SECONDS);
    }
    Ok(())
}

fn check_seconds(seconds: i64) -> Result<(), ApiError> {
    let mut errs = Errors::new();
    let path = Path::root("spec").child("expirationSeconds");
    let shown = apimachinery::field::BadValue::Literal(seconds.to_string());
    if seconds < MIN_SECONDS {
        errs.invalid(path.clone(), shown.clone(), "may not specify a duration less than 10 minutes");
    }
    if seconds > MAX_SECONDS {
        errs.invalid(path, shown, "may not specify a duration larger than 2^32 seconds");
    }
    if errs.is_empty() { Ok(()) } else { Err(ApiError::invalid(GROUP, KIND, "", &errs)) }
}

/// Looks the bound object up and puts it into the claims.
async fn bind(state: &AppState, cx: &RequestContext, request: &Value, bound: &mut Bound) -> Result<(), ApiError> {
    let wanted = request.path(&["spec", "boundObjectRef"]);
    if wanted.is_null() {
        return Ok(());
    }
    let text = |key: &str| wanted.get(key).str_or_empty();
    let (api_version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let object = match (api_version.contains('/'), kind) {
        (false, "Pod") => bind_pod(state, cx, name, bound).await?,
        (false, "Node") => {
            let node = get(state, "nodes", "", name).await?;
            bound.node = Some(reference(&node));
            node
        }
        (false, "Secret") => {
            let secret = get(state, "secrets", &cx.namespace, name).await?;
            bound.secret = Some(reference(&secret));
            secret
        }
        _ => {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let shown = format!("{group}/{version}, Kind={kind}");
            return Err(ApiError::bad_request(format!("cannot bind token to object of type {shown}")));
        }
    };
    let uid = object.path(&["metadata", "uid"]).str_or_empty();
    if !text("uid").is_empty() && text("uid") != uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        );
        return Err(ApiError::conflict("", kind, name, why));
    }
    Ok(())
}

async fn bind_pod(state: &AppState, cx: &RequestContext, name: &str, bound: &mut Bound) -> Result<Value, ApiError> {
    let pod = get(state, "pods", &cx.namespace, name).await?;
    if pod.path(&["spec", "serviceAccountName"]).str_or_empty() != cx.name {
        let account = quote(&cx.name);
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {account} to pod running with different serviceaccount name."
        )));
    }
    bound.pod = Some(reference(&pod));
    if let Some(node) = pod.path(&["spec", "nodeName"]).as_str().filter(|n| !n.is_empty()) {
        bound.node = Some(match get(state, "nodes", "", node).await {
            Ok(found) => reference(&found),
            Err(error) if error.is_not_found() => ObjectRef { name: node.to_owned(), uid: String::new() },
            Err(error) => return Err(error),
        });
    }
    Ok(pod)
}

/// Keeps the lifetime below `--service-account-max-token-expiration`.
fn shorten(request: &mut Value, cx: &RequestContext, state: &AppState, seconds: i64) -> i64 {
    let max =
        i64::try_from(state.options.duration("service-account-max-token-expiration").as_secs()).unwrap_or(i64::MAX);
    if max == 0 || seconds <= max {
        return seconds;
    }
    cx.warnings.add(format!("requested expiration of {seconds} seconds shortened to {max} seconds"));
    request.set_path(&["spec", "expirationSeconds"], max.into());
    max
}

fn reference(object: &Value) -> ObjectRef {
    let text = |key: &str| object.path(&["metadata", key]).str_or_empty().to_owned();
    ObjectRef { name: text("name"), uid: text("uid") }
}

async fn get(state: &AppState, plural: &str, namespace: &str, name: &str) -> Result<Value, ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_request("Name parameter required."));
    }
    match state.registry.store("", plural) {
        Some(store) => store.get(namespace, name).await,
        None => Err(ApiError::not_found("", plural, name)),
    }
}
