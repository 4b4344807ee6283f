//! Sockets: accept, TLS, HTTP/1.1 and HTTP/2 on one port, upgrades, orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::Router;
use crate::error::Chain;
use crate::shutdown::Shutdown;

const CONNECTIONS_MAX: usize = 4096;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Extension of a request: the client's certificate chain, leaf first; empty if it sent none.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificates(pub Arc<Vec<CertificateDer<'static>>>);

/// Extension of a request: the client's address.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddr(pub SocketAddr);

/// Listens on an address; port 0 picks a free one.
///
/// # Errors
/// When the address cannot be had.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until shutdown; then no new connections are taken and running requests get a few seconds.
pub async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, router: Router, stop: Shutdown) {
    let acceptor = tls.map(TlsAcceptor::from);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, remote) = tokio::select! {
            () = stop.wait() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!(err = %error, "Failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        crate::task::spawn("connection", async move {
            connection(stream, remote, acceptor, router, stop).await;
            drop(slot);
        });
    }
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX) - 1;
    // Time running out means that clients hold on to streams; they are cut with the process.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, slots.acquire_many(all)).await;
}

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    stop: Shutdown,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(err = %error, "Cannot set TCP_NODELAY");
    }
    let Some(acceptor) = acceptor else {
        return http(stream, remote, PeerCertificates::default(), router, stop).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, crate::tls::accept(stream, &acceptor)).await {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let chain = chain.iter().map(|cert| cert.clone().into_owned()).collect();
            http(stream, remote, PeerCertificates(Arc::new(chain)), router, stop).await;
        }
        Ok(Err(error)) => debug!(err = %error, remote = %remote, "TLS handshake error"),
        Err(_) => debug!(remote = %remote, "TLS handshake timeout"),
    }
}

async fn http<S>(stream: S, remote: SocketAddr, certificates: PeerCertificates, router: Router, stop: Shutdown)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(certificates.clone());
        request.extensions_mut().insert(RemoteAddr(remote));
        let router = router.clone();
        async move { Ok::<_, std::convert::Infallible>(router.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(250);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(err = %Chain(&*error), remote = %remote, "Connection ended");
    }
}
