//! The server's half of a TLS handshake on a connection that was just accepted.
//!
//! upstream: Go's net/http server, which tells a client that speaks plain HTTP to an HTTPS port so.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What a plain HTTP request begins with: as many bytes as the header of a TLS record has.
const HTTP: [&[u8; 5]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];
const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Makes a TLS connection of an accepted one. The caller bounds the time.
///
/// # Errors
/// When the handshake fails, or the client speaks plain HTTP, which it is told.
pub async fn accept(mut stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<TlsStream<TcpStream>> {
    let mut start = [0; 5];
    let seen = stream.peek(&mut start).await?;
    if seen == start.len() && HTTP.contains(&&start) {
        // What is not read when the connection closes would make the kernel throw the answer away.
        let mut request = [0; 4096];
        let _request = stream.read(&mut request).await?;
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "client sent an HTTP request to an HTTPS server"));
    }
    acceptor.accept(stream).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_client_without_tls_is_told_so() {
        crate::tls::install_provider();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::server::ResolvesServerCertUsingSni::new()));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(accept(stream, &acceptor).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, ANSWER);
    }
}
