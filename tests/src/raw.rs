//! Requests as bytes over TLS, for what no HTTP client would send; the answers are read just far enough.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer that takes longer than this is a hang.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a body of unknown length is read: it may be a watch.
const STREAM_LIMIT: Duration = Duration::from_millis(300);

/// Opens connections to one API server with a client's certificate.
#[derive(Clone)]
pub struct RawClient {
    port: u16,
    tls: TlsConnector,
}

/// A status code and what could be read of the body.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// The status code, 0 if the connection was closed without an answer.
    pub status: u16,
    /// The body, or its beginning.
    pub body: String,
    /// The connection can be used again.
    reusable: bool,
}

/// A connection that is opened when needed.
pub struct RawConnection {
    client: RawClient,
    stream: Option<TlsStream<TcpStream>>,
}

impl RawClient {
    /// With the certificates in a directory of a control plane.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn new(directory: &Path, user: &str, port: u16) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(directory.join("server-ca.crt"))? {
            roots.add(certificate?)?;
        }
        let chain = CertificateDer::pem_file_iter(directory.join(format!("client-{user}.crt")))?;
        let key = PrivateKeyDer::from_pem_file(directory.join(format!("client-{user}.key")))?;
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.collect::<Result<Vec<_>, _>>()?, key)?;
        Ok(Self { port, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// A connection, not yet opened.
    pub fn connection(&self) -> RawConnection {
        RawConnection { client: self.clone(), stream: None }
    }
}

impl RawConnection {
    /// Sends bytes and reads an answer.
    ///
    /// # Errors
    /// When the server cannot be reached, hangs, or answers with something that is no HTTP.
    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<RawAnswer> {
        let kept = self.stream.take();
        let reused = kept.is_some();
        let mut stream = match kept {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let mut answer = tokio::time::timeout(LIMIT, exchange(&mut stream, request)).await.context("no answer")??;
        if answer.status == 0 && reused {
            // the server closed the kept connection; that was no answer to this request
            stream = self.open().await?;
            answer = tokio::time::timeout(LIMIT, exchange(&mut stream, request)).await.context("no answer")??;
        }
        if answer.reusable {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    /// Sends bytes on a connection of their own, ends it, and reads an answer, if there is one.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_last(&mut self, request: &[u8]) -> anyhow::Result<RawAnswer> {
        let mut stream = self.open().await?;
        let exchanged = async {
            // the server may have closed already
            let _ = stream.write_all(request).await;
            let _ = stream.shutdown().await;
            exchange(&mut stream, &[]).await
        };
        tokio::time::timeout(LIMIT, exchanged).await.context("no answer")?
    }

    async fn open(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.client.port)).await?;
        stream.set_nodelay(true)?;
        Ok(self.client.tls.connect(ServerName::try_from("localhost")?, stream).await?)
    }
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> anyhow::Result<RawAnswer> {
    const CLOSED: RawAnswer = RawAnswer { status: 0, body: String::new(), reusable: false };
    // A server may answer, and close, before it has read everything.
    let sent = async { stream.write_all(request).await.and(stream.flush().await) }.await;
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at + 4;
        }
        let mut chunk = [0; 16 * 1024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) if bytes.is_empty() => return Ok(CLOSED),
            Ok(0) | Err(_) => bail!("half a head: {}", String::from_utf8_lossy(&bytes)),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
    ensure!((100..600).contains(&status), "status {status}");
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length = header("content-length:").and_then(|length| length.parse::<usize>().ok());
    let no_body = request.starts_with(b"HEAD ") || matches!(status, 204 | 304);
    let mut body = bytes.split_off(head_end);
    let complete = match length {
        _ if no_body => true,
        Some(length) => read_until(stream, &mut body, |body| body.len() >= length).await,
        None if status == 101 => false,
        None => read_until(stream, &mut body, |body| body.ends_with(b"0\r\n\r\n")).await,
    };
    let reusable = complete && sent.is_ok() && header("connection:") != Some("close");
    Ok(RawAnswer { status, body: String::from_utf8_lossy(&body).into_owned(), reusable })
}

async fn read_until(stream: &mut TlsStream<TcpStream>, body: &mut Vec<u8>, done: impl Fn(&[u8]) -> bool) -> bool {
    let mut chunk = [0; 16 * 1024];
    while !done(body) {
        match tokio::time::timeout(STREAM_LIMIT, stream.read(&mut chunk)).await {
            Ok(Ok(n)) if n > 0 => body.extend_from_slice(&chunk[..n]),
            _ => return false,
        }
    }
    true
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
