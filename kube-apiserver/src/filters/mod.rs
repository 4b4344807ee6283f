//! What every request goes through before a resource sees it, in one ordered list.
//!
//! Each stage consumes the type of the one before (`Incoming → Authenticated → Authorized`), so none can
//! be skipped.
//! upstream: staging/src/k8s.io/apiserver/pkg/server/config.go: DefaultBuildHandlerChain

pub mod audit;
pub mod cors;
pub mod flow_control;
pub mod impersonation;
pub mod reject;
pub mod request_info;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apimachinery::status::ApiError;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;

use crate::authentication::Authenticators;
use crate::authorization::{Attributes, Authorizer, Decision};
use crate::body::Body;
use crate::endpoints::websocket::Bare;
use crate::metrics::{RequestMetrics, access};
use crate::request::{Authenticated, Authorized, Incoming, RequestInfo};
use crate::server::{Connection, Handler};
use audit::policy::Stage;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// What stands behind the filters.
pub trait Endpoints: Send + Sync + 'static {
    /// Answers a request that may be served.
    fn serve(&self, request: Authorized, http: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// The filters and what they need.
pub struct Filters<E> {
    /// Who asks.
    pub authenticators: Arc<Authenticators>,
    /// May they.
    pub authorizer: Arc<Authorizer>,
    /// How each impersonator last was allowed to.
    pub last_modes: impersonation::LastModes,
    /// The audit log, if there is a policy and a file.
    pub auditor: Option<Arc<audit::Auditor>>,
    /// Browsers of other origins.
    pub cors: cors::Cors,
    /// Requests in flight.
    pub flow_control: Arc<flow_control::FlowControl>,
    /// Value of the Strict-Transport-Security header.
    pub hsts: Option<HeaderValue>,
    /// Time limit of requests that are not long-running.
    pub request_timeout: Duration,
    /// Share of HTTP/2 requests answered with a request to connect anew, 0 to 0.02.
    pub goaway_chance: f64,
    /// Where admitted requests go.
    pub endpoints: E,
}

impl<E: Endpoints> Handler for Filters<E> {
    async fn handle(self: Arc<Self>, request: Request<Body>, connection: Arc<Connection>) -> Response<Body> {
        let head = request.method() == Method::HEAD;
        let id = audit_id(request.headers());
        let cors = self.cors.headers(request.headers());
        let headers = request.headers().clone();
        // 1. a panic is a 500 of one request, not the end of the connection
        let answered = AssertUnwindSafe(self.timed(request, &connection, &id, cors.is_some())).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            tracing::error!(audit_id = %id, "a request handler panicked");
            let text = "This request caused apiserver to panic. Look in the logs for details.";
            reject::status(&ApiError::internal(text), &headers)
        });
        self.decorate(&mut response, &id, cors);
        if head {
            *response.body_mut() = Body::empty();
        }
        response
    }
}

impl<E: Endpoints> Filters<E> {
    /// 2. request info, 3. preflight of allowed origins, 4. time limit and metrics around everything else.
    async fn timed(&self, request: Request<Body>, connection: &Connection, id: &str, cors: bool) -> Response<Body> {
        if cors && cors::Cors::answers(request.method()) {
            return empty(StatusCode::NO_CONTENT);
        }
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let info = RequestInfo::parse(request.method().as_str(), &path, request.uri().query());
        let query = request.uri().query().unwrap_or_default();
        let metrics = RequestMetrics::begin(&info, request.method(), query);
        let limit = time_limit(query, self.request_timeout);
        let mut incoming = Incoming::new(info);
        let response = if incoming.info.is_long_running() {
            self.authenticated(incoming, request, connection, id).await
        } else {
            incoming.deadline = Some(Instant::now() + limit);
            let handled = self.authenticated(incoming, request, connection, id);
            tokio::time::timeout(limit, handled).await.unwrap_or_else(|_| reject::timed_out())
        };
        metrics.end(response.status());
        response
    }

    /// 5. authentication.
    async fn authenticated(
        &self,
        incoming: Incoming,
        mut request: Request<Body>,
        connection: &Connection,
        id: &str,
    ) -> Response<Body> {
        let begun = Instant::now();
        let user = self.authenticators.authenticate(&connection.client_certs, request.headers_mut()).await;
        access::authenticated(user.as_ref().ok(), begun.elapsed());
        match user {
            Ok(user) => {
                let authenticated = incoming.authenticated(user);
                self.audited(authenticated, request, connection, id).await
            }
            Err(reasons) => {
                tracing::debug!(path = incoming.info.path, reasons, "unable to authenticate the request");
                reject::status(&ApiError::unauthorized("Unauthorized"), request.headers())
            }
        }
    }

    /// 6. audit around what follows.
    async fn audited(
        &self,
        authenticated: Authenticated,
        request: Request<Body>,
        connection: &Connection,
        id: &str,
    ) -> Response<Body> {
        let event = self.auditor.as_ref().and_then(|auditor| {
            let uri = request.uri().path_and_query().map_or("/", |p| p.as_str());
            let peer = connection.peer.ip().to_string();
            audit::Event::begin(auditor, id, uri, &authenticated.user, &authenticated.info, request.headers(), &peer)
        });
        let Some(mut event) = event else {
            return self.impersonated(authenticated, request, &mut None).await;
        };
        event.write(Stage::RequestReceived).await;
        let (parts, body) = request.into_parts();
        let body = event.read_request(body).await;
        let request = Request::from_parts(parts, body);
        let long_running = authenticated.info.is_long_running();
        let mut slot = Some(event);
        let response = self.impersonated(authenticated, request, &mut slot).await;
        let Some(mut event) = slot else { return response };
        event.status(response.status());
        if long_running {
            event.write(Stage::ResponseStarted).await;
            return response;
        }
        let response = event.read_response(response).await;
        event.write(Stage::ResponseComplete).await;
        response
    }

    /// 7. impersonation.
    async fn impersonated(
        &self,
        authenticated: Authenticated,
        mut request: Request<Body>,
        event: &mut Option<audit::Event>,
    ) -> Response<Body> {
        let wanted = match impersonation::wanted(request.headers_mut()) {
            Ok(wanted) => wanted,
            Err(error) => return reject::refusal(&error, request.headers()),
        };
        let Some(wanted) = wanted else {
            return self.limited(authenticated, request, event).await;
        };
        let ask = Attributes::of_request((*authenticated.user).clone(), &authenticated.info);
        match impersonation::authorize(&self.authorizer, &self.last_modes, &ask, &wanted).await {
            Ok(user) => {
                tracing::debug!(requestor = authenticated.user.name, user = user.name, "impersonation");
                if let Some(event) = event {
                    event.impersonated(&user);
                }
                self.limited(authenticated.acting_as(user), request, event).await
            }
            Err(error) => reject::refusal(&error, request.headers()),
        }
    }

    /// 8. a place among the requests in flight, kept until the answer is ready.
    async fn limited(
        &self,
        authenticated: Authenticated,
        request: Request<Body>,
        event: &mut Option<audit::Event>,
    ) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default();
        let (class, place) = self.flow_control.enter(&authenticated.user, &authenticated.info, query).await;
        let mut response = match place {
            Ok(_place) => self.authorized(authenticated, request, event).await,
            Err(flow_control::Full) => reject::too_many_requests(),
        };
        class.mark(&mut response);
        response
    }

    /// 9. authorization, 10. the endpoint, 11. its warnings.
    async fn authorized(
        &self,
        authenticated: Authenticated,
        request: Request<Body>,
        event: &mut Option<audit::Event>,
    ) -> Response<Body> {
        let ask = Attributes::of_request((*authenticated.user).clone(), &authenticated.info);
        let begun = Instant::now();
        let decision = self.authorizer.authorize(&ask).await;
        access::authorized(&decision, begun.elapsed());
        let (allowed, reason) = match decision {
            Decision::Allow(reason) => (true, reason),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => (false, reason),
        };
        if let Some(event) = event {
            event.authorization(if allowed { "allow" } else { "forbid" }, &reason);
        }
        if !allowed {
            return reject::refusal(&ask.forbidden(&reason), request.headers());
        }
        let warnings = authenticated.warnings.clone();
        let mut response = self.endpoints.serve(authenticated.authorized(), request).await;
        if let Some(event) = event {
            event.annotate(warnings.annotations());
        }
        for text in warnings.all() {
            if let Ok(value) = HeaderValue::from_bytes(warning_header(&text).as_bytes()) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }

    /// Headers that every answer has.
    fn decorate(&self, response: &mut Response<Body>, id: &str, cors: Option<HeaderMap>) {
        if response.extensions().get::<Bare>().is_some() {
            return;
        }
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(AUDIT_ID, id);
        }
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        }
        if let Some(hsts) = &self.hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if let Some(cors) = cors {
            headers.extend(cors);
        }
        if self.goaway_chance > 0.0 && rand::random::<f64>() < self.goaway_chance {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// `timeout=` shortens the limit; what is no duration is refused later on.
/// upstream: endpoints/filters/request_deadline.go
fn time_limit(query: &str, most: Duration) -> Duration {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "timeout")
        .and_then(|(_, text)| component_base::flags::parse_duration(&text).ok())
        .and_then(|nanoseconds| u64::try_from(nanoseconds).ok())
        .map(Duration::from_nanos)
        .filter(|wanted| !wanted.is_zero() && *wanted < most)
        .unwrap_or(most)
}

/// The client's audit ID if it is usable, else a new one.
fn audit_id(headers: &HeaderMap) -> String {
    headers
        .get(AUDIT_ID)
        .and_then(|v| v.to_str().ok())
        .filter(|v| !v.is_empty() && v.len() <= 64)
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// `299 - "text"`, quoted as RFC 7234 says.
/// upstream: staging/src/k8s.io/apimachinery/pkg/util/net/http.go: NewWarningHeader
fn warning_header(text: &str) -> String {
    let mut out = String::from("299 - \"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' | '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
