//! The TLS listener: accepts connections, serves HTTP/1.1 and HTTP/2 on one port, drains on shutdown.
//!
//! Knows nothing about the API: every request goes to one `Handler` together with what is known of its
//! connection.
//! upstream: staging/src/k8s.io/apiserver/pkg/server/secure_serving.go

mod received;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use component_base::{Shutdown, task};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::body::Body;

/// A client has this long to finish the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(32);
/// A client has this long to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// Requests in flight get this long to end after shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 streams per connection when the flag says 0.
const DEFAULT_STREAMS: u32 = 100;
/// Size of a request's headers, in bytes.
const MAX_HEADER_BYTES: u32 = 1 << 20;

/// What is known of the connection a request came on.
#[derive(Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// The client's certificate chain, leaf first; empty if it showed none. Not verified.
    pub client_certs: Vec<CertificateDer<'static>>,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; must not fail.
    fn handle(
        self: Arc<Self>,
        request: Request<Body>,
        connection: Arc<Connection>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Limits of the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// HTTP/2 streams per connection; 0 means the default.
    pub max_streams: u32,
}

/// Serves until shutdown, then waits for requests in flight.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handler: Arc<H>,
    limits: Limits,
    shutdown: Shutdown,
) {
    let builder = Arc::new(builder(limits));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of descriptors, usually: give others time to close theirs
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let watcher = graceful.watcher();
        let (builder, acceptor, handler) = (builder.clone(), acceptor.clone(), handler.clone());
        task::spawn("connection", async move {
            let Some((stream, connection)) = handshake(stream, peer, &acceptor).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let (handler, connection) = (handler.clone(), connection.clone());
                async move { Ok::<_, Infallible>(handler.handle(request.map(received::body), connection).await) }
            });
            let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(served.into_owned()).await {
                tracing::trace!(%peer, %error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::info!("requests still in flight after the drain timeout");
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(true);
    let streams = if limits.max_streams == 0 { DEFAULT_STREAMS } else { limits.max_streams };
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    builder
}

async fn handshake(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: &TlsAcceptor,
) -> Option<(tokio_rustls::server::TlsStream<TcpStream>, Arc<Connection>)> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, component_base::tls::accept(stream, acceptor)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake error");
            return None;
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake timed out");
            return None;
        }
    };
    let client_certs = stream
        .get_ref()
        .1
        .peer_certificates()
        .map(|chain| chain.iter().map(|c| c.clone().into_owned()).collect())
        .unwrap_or_default();
    Some((stream, Arc::new(Connection { peer, client_certs })))
}
