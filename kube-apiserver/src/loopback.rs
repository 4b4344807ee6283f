//! The server's requests to itself: the same verbs and checks as for everybody, without a socket.
//!
//! Requests are made as `system:apiserver` with upstream's user agent, so that managed fields say
//! `kube-apiserver`. Authentication and authorization are skipped: nobody but the server can make one.

use std::sync::Arc;

use apimachinery::codec::json;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use http::{Method, Request, header};
use http_body_util::BodyExt;

use crate::authentication::user::UserInfo;
use crate::body::Body;
use crate::endpoints;
use crate::objects::Kind;
use crate::request::{Incoming, RequestInfo};
use crate::state::AppState;

/// Makes requests to the server it is part of.
#[derive(Clone, Debug)]
pub struct Loopback {
    state: Arc<AppState>,
}

/// What is sent along with a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Field manager, if not that of the user agent.
    pub field_manager: Option<&'a str>,
    /// Take over fields of other managers (server-side apply).
    pub force: bool,
}

impl Loopback {
    /// Requests to this server.
    pub fn new(state: Arc<AppState>) -> Self {
        Self { state }
    }

    /// Creates an object.
    ///
    /// # Errors
    /// What a client would get.
    pub async fn create(
        &self,
        kind: Kind,
        namespace: &str,
        object: &Value,
        options: Options<'_>,
    ) -> Result<Value, ApiError> {
        let path = collection(kind, namespace);
        self.call(Method::POST, &path, "application/json", object, options).await
    }

    /// Replaces an object or its status.
    ///
    /// # Errors
    /// What a client would get.
    pub async fn update(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &Value,
        options: Options<'_>,
    ) -> Result<Value, ApiError> {
        let path = object_path(kind, namespace, name, subresource);
        self.call(Method::PUT, &path, "application/json", object, options).await
    }

    /// Applies a part of an object, or of its status.
    ///
    /// # Errors
    /// What a client would get.
    pub async fn apply(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &Value,
        options: Options<'_>,
    ) -> Result<Value, ApiError> {
        let path = object_path(kind, namespace, name, subresource);
        self.call(Method::PATCH, &path, "application/apply-patch+yaml", object, options).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// What a client would get.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError> {
        let path = object_path(kind, namespace, name, "");
        self.call(Method::DELETE, &path, "application/json", &Value::Null, Options::default()).await
    }

    /// The object as the watch cache has it.
    pub fn cached(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        self.state.registry.store(kind.group, kind.plural)?.cached(namespace, name)
    }

    /// All objects of a namespace (of all, if empty) as the watch cache has them.
    pub fn list(&self, kind: Kind, namespace: &str) -> Vec<Value> {
        let store = self.state.registry.store(kind.group, kind.plural);
        store.map(|s| s.cached_list(namespace)).unwrap_or_default()
    }

    /// The object as etcd has it.
    ///
    /// # Errors
    /// 404, or what storage says.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, ApiError> {
        match self.state.registry.store(kind.group, kind.plural) {
            Some(store) => store.get(namespace, name).await,
            None => Err(ApiError::not_found(kind.group, kind.plural, name)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        media: &str,
        body: &Value,
        options: Options<'_>,
    ) -> Result<Value, ApiError> {
        let mut query = Vec::new();
        if let Some(manager) = options.field_manager {
            query.push(format!("fieldManager={manager}"));
        }
        if options.force {
            query.push("force=true".to_owned());
        }
        let query = query.join("&");
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut bytes = Vec::new();
        if !body.is_null() {
            json::encode_untyped(body, &mut bytes);
        }
        let request = Request::builder()
            .method(&method)
            .uri(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, media)
            .header(header::USER_AGENT, component_base::version::user_agent("kube-apiserver"))
            .body(Body::from(bytes))
            .map_err(ApiError::internal)?;
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        let info = RequestInfo::parse(method.as_str(), &decoded, Some(&query));
        let authorized = Incoming::new(info).authenticated(UserInfo::loopback()).authorized();
        let response = endpoints::serve(self.state.clone(), authorized, request).await;
        let status = response.status();
        let collected = response.into_body().collect().await.map_err(ApiError::internal)?;
        let value = json::decode_untyped(&collected.to_bytes()).map_err(ApiError::internal)?;
        if status.is_success() {
            Ok(value)
        } else {
            Err(ApiError::from_status_value(&value)
                .unwrap_or_else(|| ApiError::internal("an answer that is no Status")))
        }
    }
}

fn collection(kind: Kind, namespace: &str) -> String {
    let version = apimachinery::resources::by_plural(kind.group, kind.plural).map_or("v1", |r| r.version);
    let base =
        if kind.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", kind.group) };
    if namespace.is_empty() {
        format!("{base}/{}", kind.plural)
    } else {
        format!("{base}/namespaces/{namespace}/{}", kind.plural)
    }
}

fn object_path(kind: Kind, namespace: &str, name: &str, subresource: &str) -> String {
    let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("{}/{name}", collection(kind, namespace));
    if subresource.is_empty() { path } else { format!("{path}/{subresource}") }
}
