//! HTTP/2 over TLS to one server: few connections, many streams, reconnect, and HTTP/1.1 for upgrades.
//!
//! Request bodies are small and held in memory, so a request that the server has not begun is sent again on a new
//! connection. A connection whose client certificate was rotated on disk takes no new requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::Body;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::endpoint::{Stamp, TlsOptions};
use super::exec::ExecError;
use super::identity::{TokenError, TokenSource};
use super::limiter::Limiter;
use super::metrics;
use crate::tls::TlsError;

/// Streams per connection; servers permit 100 or more.
const STREAMS_MAX: usize = 90;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
const STAMP_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES_MAX: u32 = 10;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The server cannot be reached.
    #[error("dial tcp {address}")]
    Dial {
        /// Host and port.
        address: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake with {address} failed")]
    Handshake {
        /// Host and port.
        address: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Certificates or keys cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// The program that a kubeconfig names gave no certificate.
    #[error("getting credentials")]
    Exec(#[from] ExecError),
    /// The connection broke.
    #[error("connection to the server failed")]
    Http(#[from] hyper::Error),
    /// The request's body cannot be read.
    #[error("cannot read the request body")]
    RequestBody(#[source] kube::Error),
    /// The request's URL cannot be joined with the server's.
    #[error("invalid request URL")]
    Url(#[source] http::Error),
    /// No token.
    #[error("cannot get a token")]
    Token(#[from] TokenError),
}

/// A shared set of connections with the settings of one client. Clones share the connections.
#[derive(Clone)]
pub struct Transport {
    pool: Arc<Pool>,
    user_agent: Option<HeaderValue>,
    limiter: Option<Arc<Limiter>>,
    tokens: Option<Arc<dyn TokenSource>>,
}

struct Pool {
    server: Uri,
    tls: TlsOptions,
    state: Mutex<PoolState>,
    dialling: tokio::sync::Mutex<()>,
}

struct PoolState {
    connections: Vec<Connection>,
    stamp_checked: Option<Instant>,
    /// The server spoke HTTP/1.1 when asked last.
    http1_only: bool,
}

#[derive(Clone)]
struct Connection {
    sender: http2::SendRequest<Full<Bytes>>,
    streams: Arc<AtomicUsize>,
    stamp: Stamp,
}

enum Dialled {
    Http2(Connection),
    Http1(http1::SendRequest<Full<Bytes>>),
}

/// What was kept of a request, to send it more than once.
#[derive(Clone)]
struct Prepared {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
}

impl Transport {
    pub(super) fn new(server: Uri, tls: TlsOptions) -> Self {
        let state = PoolState { connections: Vec::new(), stamp_checked: None, http1_only: false };
        let pool = Pool { server, tls, state: Mutex::new(state), dialling: tokio::sync::Mutex::new(()) };
        Self { pool: Arc::new(pool), user_agent: None, limiter: None, tokens: None }
    }

    pub(super) fn with_user_agent(mut self, agent: HeaderValue) -> Self {
        self.user_agent = Some(agent);
        self
    }

    pub(super) fn with_limiter(mut self, limiter: Option<Limiter>) -> Self {
        self.limiter = limiter.map(Arc::new);
        self
    }

    pub(super) fn with_tokens(mut self, source: Arc<dyn TokenSource>) -> Self {
        self.tokens = Some(source);
        self
    }

    /// Drops all connections, so that the next request dials anew; running requests end with an error.
    pub fn reset(&self) {
        self.pool.state.lock().connections.clear();
    }

    async fn send(self, request: Request<Body>) -> Result<Response<TransportBody>, TransportError> {
        let mut prepared = self.prepare(request).await?;
        let host = self.pool.server.authority().map_or("", Authority::as_str);
        for attempt in 0.. {
            if let Some(limiter) = &self.limiter {
                let begun = Instant::now();
                limiter.wait().await;
                metrics::limited(&prepared.method, host, begun.elapsed());
            }
            if let Some(tokens) = &self.tokens
                && let Some(value) = tokens.header().await?
            {
                prepared.headers.insert(header::AUTHORIZATION, value);
            }
            let begun = Instant::now();
            let answer = self.pool.send(&prepared).await;
            let status = answer.as_ref().ok().map(Response::status);
            metrics::sent(&prepared.method, host, prepared.body.len(), status, begun.elapsed());
            let response = answer?;
            if response.status() == StatusCode::UNAUTHORIZED && attempt == 0 && self.tokens.is_some() {
                // The token may have been revoked (its service account made anew): ask once for a fresh one.
                if let Some(tokens) = &self.tokens {
                    tokens.invalidate().await;
                }
                continue;
            }
            match retry_after(&response) {
                Some(delay) if attempt < RETRIES_MAX => {
                    metrics::again(&prepared.method, host, response.status());
                    tokio::time::sleep(delay).await;
                }
                _ => return Ok(response),
            }
        }
        unreachable!("the loop ends by returning")
    }

    async fn prepare(&self, request: Request<Body>) -> Result<Prepared, TransportError> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(TransportError::RequestBody)?;
        let mut headers = head.headers;
        if let Some(agent) = &self.user_agent {
            headers.entry(header::USER_AGENT).or_insert_with(|| agent.clone());
        }
        let prefix = self.pool.server.path().trim_end_matches('/');
        let wanted = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = format!("{prefix}{wanted}")
            .parse()
            .map_err(|error: http::uri::InvalidUri| TransportError::Url(error.into()))?;
        Ok(Prepared { method: head.method, path, headers, body })
    }
}

/// How long a server that is too busy asks to wait.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let status = response.status();
    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
        return None;
    }
    let seconds: u64 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

impl Pool {
    async fn send(&self, prepared: &Prepared) -> Result<Response<TransportBody>, TransportError> {
        if prepared.headers.contains_key(header::UPGRADE) {
            return self.send_http1(prepared, self.dial_http1().await?).await;
        }
        // A pooled connection may have died unnoticed: a request that it did not take goes to a new one.
        for _ in 0..3 {
            let connection = match self.pick() {
                Some(connection) => connection,
                None => match self.connect().await? {
                    Dialled::Http2(connection) => connection,
                    Dialled::Http1(sender) => return self.send_http1(prepared, sender).await,
                },
            };
            match self.send_http2(prepared, connection).await {
                Err(error) if error.is_canceled() || error.is_closed() || prepared.method == Method::GET => {
                    tracing::debug!(err = %crate::error::Chain(&error), "Connection is gone, dialling again");
                }
                Err(error) => return Err(error.into()),
                Ok(response) => return Ok(response),
            }
        }
        match self.connect().await? {
            Dialled::Http2(connection) => Ok(self.send_http2(prepared, connection).await?),
            Dialled::Http1(sender) => self.send_http1(prepared, sender).await,
        }
    }

    fn pick(&self) -> Option<Connection> {
        let mut state = self.state.lock();
        state.connections.retain(|connection| !connection.sender.is_closed());
        let stale = state.stamp_checked.is_none_or(|at| at.elapsed() >= STAMP_INTERVAL);
        if stale {
            state.stamp_checked = Some(Instant::now());
            let stamp = self.tls.stamp();
            state.connections.retain(|connection| connection.stamp == stamp);
        }
        state.connections.iter().find(|connection| connection.streams.load(Ordering::Relaxed) < STREAMS_MAX).cloned()
    }

    /// Dials, unless somebody else has just done so.
    async fn connect(&self) -> Result<Dialled, TransportError> {
        let _turn = self.dialling.lock().await;
        if let Some(connection) = self.pick() {
            return Ok(Dialled::Http2(connection));
        }
        let plain = self.server.scheme() != Some(&Scheme::HTTPS);
        if plain || self.state.lock().http1_only {
            return Ok(Dialled::Http1(self.dial_http1().await?));
        }
        let stamp = self.tls.stamp();
        let stream = self.dial_tls(&[b"h2", b"http/1.1"]).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            self.state.lock().http1_only = true;
            return Ok(Dialled::Http1(handshake_http1(stream).await?));
        }
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_header_list_size(64 << 10)
            .handshake(TokioIo::new(stream))
            .await?;
        crate::task::spawn("http2", async move {
            if let Err(error) = driver.await {
                tracing::debug!(err = %crate::error::Chain(&error), "Connection ended");
            }
        });
        let connection = Connection { sender, streams: Arc::default(), stamp };
        self.state.lock().connections.push(connection.clone());
        Ok(Dialled::Http2(connection))
    }

    async fn send_http2(
        &self,
        prepared: &Prepared,
        mut connection: Connection,
    ) -> Result<Response<TransportBody>, hyper::Error> {
        let stream = StreamCount::new(Arc::clone(&connection.streams));
        let mut parts = self.server.clone().into_parts();
        parts.path_and_query = Some(prepared.path.clone());
        let uri = Uri::from_parts(parts).expect("a server URL with another path is a URL");
        let mut request = prepared.request(uri);
        for hop in [header::CONNECTION, header::HOST, header::TRANSFER_ENCODING, header::UPGRADE] {
            request.headers_mut().remove(hop);
        }
        connection.sender.ready().await?;
        let response = connection.sender.send_request(request).await?;
        Ok(response.map(|inner| TransportBody { inner, _stream: Some(stream), _sender: None }))
    }

    async fn send_http1(
        &self,
        prepared: &Prepared,
        mut sender: http1::SendRequest<Full<Bytes>>,
    ) -> Result<Response<TransportBody>, TransportError> {
        let mut request = prepared.request(Uri::from(prepared.path.clone()));
        if let Some(host) = self.server.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        let response = sender.send_request(request).await?;
        // The connection must outlive the body: it is dropped with it.
        Ok(response.map(|inner| TransportBody { inner, _stream: None, _sender: Some(sender) }))
    }

    async fn dial_http1(&self) -> Result<http1::SendRequest<Full<Bytes>>, TransportError> {
        if self.server.scheme() == Some(&Scheme::HTTPS) {
            return handshake_http1(self.dial_tls(&[b"http/1.1"]).await?).await;
        }
        handshake_http1(self.dial_tcp().await?).await
    }

    async fn dial_tcp(&self) -> Result<TcpStream, TransportError> {
        let host = self.server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let default = if self.server.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = self.server.port_u16().unwrap_or(default);
        let dial = |source| TransportError::Dial { address: format!("{host}:{port}"), source };
        let timeout = || dial(std::io::Error::new(std::io::ErrorKind::TimedOut, "i/o timeout"));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)))
            .await
            .map_err(|_| timeout())?
            .map_err(dial)?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(err = %error, "Cannot set TCP_NODELAY");
        }
        Ok(stream)
    }

    async fn dial_tls(&self, alpn: &[&[u8]]) -> Result<tokio_rustls::client::TlsStream<TcpStream>, TransportError> {
        let config = self.tls.with_given_pair().await?.load(alpn)?;
        let host = self.server.host().unwrap_or_default();
        let name = self.tls.name(host)?;
        let stream = self.dial_tcp().await?;
        let address = self.server.authority().map(ToString::to_string).unwrap_or_default();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        tokio::time::timeout(CONNECT_TIMEOUT, handshake)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "TLS handshake timeout")))
            .map_err(|source| TransportError::Handshake { address, source })
    }
}

async fn handshake_http1<S>(stream: S) -> Result<http1::SendRequest<Full<Bytes>>, TransportError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    crate::task::spawn("http1", async move {
        if let Err(error) = driver.with_upgrades().await {
            tracing::debug!(err = %crate::error::Chain(&error), "Connection ended");
        }
    });
    Ok(sender)
}

impl Prepared {
    fn request(&self, uri: Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl tower::Service<Request<Body>> for Transport {
    type Response = Response<TransportBody>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

struct StreamCount(Arc<AtomicUsize>);

impl StreamCount {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer.
pub struct TransportBody {
    inner: Incoming,
    _stream: Option<StreamCount>,
    _sender: Option<http1::SendRequest<Full<Bytes>>>,
}

impl hyper::body::Body for TransportBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
