//! One HTTP/1.1 request to a kubelet, a pod or a service: connect, send, and pass the answer on; if both sides
//! agree to upgrade, bytes are copied both ways until one of them closes.
//!
//! Knows nothing of the protocols inside (SPDY, websocket): they pass unread.
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use component_base::task;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::Body;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Headers that concern one connection only.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Names or addresses to try, in order.
    pub hosts: Vec<String>,
    /// Port.
    pub port: u16,
    /// TLS, or `None` for plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    /// The name its certificate and the Host header bear, if not the address itself.
    pub name: Option<String>,
}

/// Why a backend could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No address worked; the last failure.
    #[error("dial tcp {host}: {}", go_text(.source))]
    Connect {
        /// The address.
        host: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The request could not be sent, or the answer not read.
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Sends the request to `path_and_query` of the target. The client's own upgrade, if any, is continued.
///
/// # Errors
/// The target cannot be reached or does not speak HTTP.
pub async fn forward(
    target: &Target,
    path_and_query: &str,
    mut request: Request<Body>,
) -> Result<Response<Body>, UpstreamError> {
    let (stream, host) = connect(target).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    task::spawn("proxy-connection", async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to a backend ended");
        }
    });
    let upgrading = request.headers().contains_key(header::UPGRADE);
    let client = upgrading.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    parts.uri = path_and_query.parse().unwrap_or_else(|_| Uri::from_static("/"));
    parts.version = http::Version::HTTP_11;
    strip(&mut parts.headers, upgrading);
    let host = target.name.as_deref().unwrap_or(&host);
    if let Ok(host) = format!("{}:{}", bracketed(host), target.port).parse() {
        parts.headers.insert(header::HOST, host);
    }
    parts.extensions = http::Extensions::new();
    let mut response = sender.send_request(Request::from_parts(parts, body)).await?;
    if let (Some(client), StatusCode::SWITCHING_PROTOCOLS) = (client, response.status()) {
        let backend = hyper::upgrade::on(&mut response);
        task::spawn("proxy-stream", async move { splice(client, backend).await });
        let (parts, _) = response.into_parts();
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers, false);
    parts.version = http::Version::default();
    Ok(Response::from_parts(parts, Body::wrap(body)))
}

async fn splice(client: hyper::upgrade::OnUpgrade, backend: hyper::upgrade::OnUpgrade) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not complete");
            return;
        }
    };
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
        tracing::debug!(%error, "a proxied stream ended");
    }
}

async fn connect(target: &Target) -> Result<(Box<dyn Io>, String), UpstreamError> {
    let mut last = UpstreamError::Connect { host: String::new(), source: std::io::ErrorKind::AddrNotAvailable.into() };
    for host in &target.hosts {
        let attempt = tokio::time::timeout(CONNECT_TIMEOUT, dial(host, target)).await;
        let result = attempt.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        match result {
            Ok(stream) => return Ok((stream, host.clone())),
            Err(source) => last = UpstreamError::Connect { host: format!("{host}:{}", target.port), source },
        }
    }
    Err(last)
}

async fn dial(host: &str, target: &Target) -> std::io::Result<Box<dyn Io>> {
    let stream = match host.parse() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, target.port)).await?,
        Err(_) => TcpStream::connect((host, target.port)).await?,
    };
    stream.set_nodelay(true)?;
    let Some(tls) = &target.tls else { return Ok(Box::new(stream)) };
    let name = target.name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
    Ok(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
}

/// Failures in the words of Go's net package, which clients and their tests know.
fn go_text(error: &std::io::Error) -> String {
    let text = match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused",
        ErrorKind::HostUnreachable => "connect: no route to host",
        ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        ErrorKind::TimedOut => "i/o timeout",
        _ if error.to_string().contains("UnknownIssuer") => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn strip(headers: &mut HeaderMap, upgrading: bool) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if upgrading {
        headers.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
    headers.remove("keep-alive");
    headers.remove(header::AUTHORIZATION);
}
