//! Authentication and authorization that ask the API server, with caches; client certificates are verified here.
//!
//! Upstream: apiserver/pkg/server/options (delegating authentication and authorization).

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{Method, header, request::Parts};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::PeerCertificates;
use super::front_proxy::{CONFIG_MAP, FrontProxy};
use crate::error::Chain;
use crate::shutdown::Shutdown;
use crate::tls::{CertPool, CertUser};

const CACHE_MAX: usize = 4096;
const CA_REFRESH: Duration = Duration::from_secs(60);
/// After a lookup that failed.
const CA_RETRY: Duration = Duration::from_secs(5);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
const SUPERUSERS: &str = "system:masters";

/// Who sends a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Name.
    pub name: String,
    /// UID, may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Extra values.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { name: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()], ..Self::default() }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// A path.
    Path {
        /// Lower-case method, in the API's words.
        verb: String,
        /// The path.
        path: String,
    },
    /// A resource, for example `nodes/proxy` of one node.
    Resource {
        /// Verb in the API's words.
        verb: String,
        /// Group, empty for core.
        group: String,
        /// Version.
        version: String,
        /// Plural name.
        resource: String,
        /// Subresource, may be empty.
        subresource: String,
        /// Object's name.
        name: String,
    },
}

impl Attributes {
    /// The path and method of a request.
    #[must_use]
    pub fn path(parts: &Parts) -> Self {
        Self::Path { verb: verb_of(&parts.method).to_owned(), path: parts.uri.path().to_owned() }
    }

    /// A subresource of a node, as the kubelet asks about.
    #[must_use]
    pub fn node(method: &Method, node: &str, subresource: &str) -> Self {
        Self::Resource {
            verb: verb_of(method).to_owned(),
            group: String::new(),
            version: "v1".to_owned(),
            resource: "nodes".to_owned(),
            subresource: subresource.to_owned(),
            name: node.to_owned(),
        }
    }

    pub(super) fn refusal(&self, user: &User) -> String {
        match self {
            Self::Path { verb, path } => format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name),
            Self::Resource { verb, resource, subresource, .. } => {
                format!(
                    "Forbidden (user={}, verb={verb}, resource={resource}, subresource(s)=[{subresource}])\n",
                    user.name
                )
            }
        }
    }
}

fn verb_of(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        "HEAD" => "head",
        _ => "get",
    }
}

/// How long answers of the API server are kept.
#[derive(Debug, Clone, Copy)]
pub struct AuthCacheTtl {
    /// Of TokenReviews.
    pub token: Duration,
    /// Of permissions.
    pub authorized: Duration,
    /// Of refusals.
    pub unauthorized: Duration,
}

impl Default for AuthCacheTtl {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self { token: ten, authorized: ten, unauthorized: ten }
    }
}

/// How requests are judged.
#[derive(Default)]
pub struct DelegatedOptions {
    /// Client for TokenReviews; None refuses all tokens.
    pub token_reviews: Option<kube::Client>,
    /// Client for SubjectAccessReviews; None permits every authenticated user (AlwaysAllow).
    pub access_reviews: Option<kube::Client>,
    /// PEM file of authorities for client certificates; empty for none.
    pub client_ca_file: String,
    /// A trusted front proxy; if None, the cluster may name one.
    pub front_proxy: Option<FrontProxy>,
    /// Whether requests without credentials become `system:anonymous` or are refused.
    pub anonymous: bool,
    /// Paths that need neither; a trailing `*` matches any rest.
    pub always_allow_paths: Vec<String>,
    /// Cache times.
    pub ttl: AuthCacheTtl,
}

struct Cache<K, V> {
    entries: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn new() -> Self {
        Self { entries: Mutex::default() }
    }

    fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock();
        entries.get(key).filter(|(_, until)| *until > Instant::now()).map(|(value, _)| value.clone())
    }

    fn put(&self, key: K, value: V, ttl: Duration) {
        let mut entries = self.entries.lock();
        let now = Instant::now();
        if entries.len() >= CACHE_MAX {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() < CACHE_MAX {
            entries.insert(key, (value, now + ttl));
        }
    }
}

/// Judges requests.
pub struct Delegated {
    options: DelegatedOptions,
    client_ca: ArcSwapOption<CertPool>,
    front_proxy: ArcSwapOption<FrontProxy>,
    tokens: Cache<[u8; 32], Option<User>>,
    decisions: Cache<(User, Attributes), bool>,
}

impl Delegated {
    /// Loads the client CA file, if one is named.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(options: DelegatedOptions) -> Result<Self, crate::tls::TlsError> {
        let pool =
            if options.client_ca_file.is_empty() { None } else { Some(CertPool::from_file(&options.client_ca_file)?) };
        let front_proxy = ArcSwapOption::from_pointee(options.front_proxy.clone());
        Ok(Self {
            options,
            client_ca: ArcSwapOption::from_pointee(pool),
            front_proxy,
            tokens: Cache::new(),
            decisions: Cache::new(),
        })
    }

    /// Keeps the client CA and the front proxy current: from the files, or from the cluster's ConfigMap through `lookup`.
    /// `found`: the first lookup, which is the caller's, brought an answer.
    pub(super) async fn follow_authorities(&self, lookup: Option<kube::Client>, found: bool, stop: Shutdown) {
        let mut wait = if found { CA_REFRESH } else { CA_RETRY };
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.refresh_authorities(lookup.as_ref()).await {
                Ok(()) => CA_REFRESH,
                Err(error) => {
                    debug!(err = %Chain(&error), "Cannot look up the client CA in the cluster");
                    CA_RETRY
                }
            };
        }
    }

    /// Once. What cannot be had stays as it is.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub(super) async fn refresh_authorities(&self, lookup: Option<&kube::Client>) -> Result<(), LookupError> {
        let file = &self.options.client_ca_file;
        let asks_cluster = file.is_empty() || self.options.front_proxy.is_none();
        let published = match lookup.filter(|_| asks_cluster) {
            Some(client) => published_authorities(client).await,
            None => Ok(BTreeMap::new()),
        };
        let (published, outcome) = match published {
            Ok(published) => (published, Ok(())),
            Err(error) => (BTreeMap::new(), Err(error)),
        };
        let client_ca = match file.is_empty() {
            true => published.get("client-ca-file").map(|pem| CertPool::from_pem(pem.as_bytes())),
            false => Some(CertPool::from_file(file)),
        };
        match client_ca {
            Some(Ok(pool)) => self.client_ca.store(Some(Arc::new(pool))),
            Some(Err(error)) => warn!(err = %Chain(&error), "Cannot load the client CA"),
            None => {}
        }
        if self.options.front_proxy.is_none()
            && let Some(proxy) = FrontProxy::from_config_map(&published)
        {
            self.front_proxy.store(Some(Arc::new(proxy)));
        }
        outcome
    }

    pub(super) fn always_allows(&self, path: &str) -> bool {
        self.options.always_allow_paths.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == allowed,
        })
    }

    /// Who sends a request; None if its credentials are bad, or missing where they are needed.
    pub async fn authenticate(&self, parts: &Parts) -> Option<User> {
        if let Some(user) = self.by_front_proxy(parts).or_else(|| self.by_certificate(parts)) {
            return Some(user);
        }
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Some(token) = value.strip_prefix("Bearer ").map(str::trim).filter(|token| !token.is_empty()) {
            return self.by_token(token).await;
        }
        self.options.anonymous.then(User::anonymous)
    }

    fn by_front_proxy(&self, parts: &Parts) -> Option<User> {
        let chain = &parts.extensions.get::<PeerCertificates>()?.0;
        self.front_proxy.load_full()?.authenticate(chain, &parts.headers)
    }

    fn by_certificate(&self, parts: &Parts) -> Option<User> {
        let chain = &parts.extensions.get::<PeerCertificates>()?.0;
        let pool = self.client_ca.load_full()?;
        let leaf = chain.first()?;
        if let Err(error) = pool.verify(chain, crate::clock::now()) {
            debug!(err = %error, "Refused a client certificate");
            return None;
        }
        let user = CertUser::from_der(leaf).ok()?;
        let mut groups = user.groups;
        groups.push("system:authenticated".to_owned());
        Some(User { name: user.name, uid: user.uid, groups, extra: BTreeMap::new() })
    }

    async fn by_token(&self, token: &str) -> Option<User> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.tokens.get(&key) {
            return known;
        }
        let api: Api<TokenReview> = Api::all(self.options.token_reviews.clone()?);
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = match api.create(&PostParams::default(), &review).await {
            Ok(answer) => answer.status.unwrap_or_default(),
            Err(error) => {
                warn!(err = %Chain(&error), "Failed to review a token");
                return None;
            }
        };
        let user = status.user.filter(|_| status.authenticated == Some(true)).map(|info| User {
            name: info.username.unwrap_or_default(),
            uid: info.uid.unwrap_or_default(),
            groups: info.groups.unwrap_or_default(),
            extra: info.extra.unwrap_or_default(),
        });
        self.tokens.put(key, user.clone(), self.options.ttl.token);
        user
    }

    /// Whether the user may.
    ///
    /// # Errors
    /// A message when the API server cannot be asked.
    pub async fn authorize(&self, user: &User, attributes: &Attributes) -> Result<bool, String> {
        if user.groups.iter().any(|group| group == SUPERUSERS) {
            return Ok(true);
        }
        let Some(client) = self.options.access_reviews.clone() else { return Ok(true) };
        let key = (user.clone(), attributes.clone());
        if let Some(known) = self.decisions.get(&key) {
            return Ok(known);
        }
        let api: Api<SubjectAccessReview> = Api::all(client);
        let answer = api.create(&PostParams::default(), &review_of(user, attributes)).await.map_err(|error| {
            warn!(err = %Chain(&error), "Failed to review access");
            format!("Authorization error ({})", attributes.refusal(user).trim_end())
        })?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        let ttl = if allowed { self.options.ttl.authorized } else { self.options.ttl.unauthorized };
        self.decisions.put(key, allowed, ttl);
        Ok(allowed)
    }
}

/// The cluster does not say whom to trust.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The API server refuses or cannot be reached.
    #[error("cannot read ConfigMap kube-system/{CONFIG_MAP}")]
    Request(#[from] kube::Error),
    /// It does not answer.
    #[error("no answer to the request for ConfigMap kube-system/{CONFIG_MAP}")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// Whom kube-apiserver tells other servers to trust; empty if it tells nothing.
async fn published_authorities(client: &kube::Client) -> Result<BTreeMap<String, String>, LookupError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    let map = tokio::time::timeout(LOOKUP_TIMEOUT, api.get_opt(CONFIG_MAP)).await??;
    Ok(map.and_then(|map| map.data).unwrap_or_default())
}

fn review_of(user: &User, attributes: &Attributes) -> SubjectAccessReview {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
        groups: Some(user.groups.clone()),
        extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
        ..SubjectAccessReviewSpec::default()
    };
    match attributes.clone() {
        Attributes::Path { verb, path } => {
            spec.non_resource_attributes = Some(NonResourceAttributes { verb: Some(verb), path: Some(path) });
        }
        Attributes::Resource { verb, group, version, resource, subresource, name } => {
            spec.resource_attributes = Some(ResourceAttributes {
                verb: Some(verb),
                group: Some(group),
                version: Some(version),
                resource: Some(resource),
                subresource: Some(subresource).filter(|text| !text.is_empty()),
                name: Some(name).filter(|text| !text.is_empty()),
                ..ResourceAttributes::default()
            });
        }
    }
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}
