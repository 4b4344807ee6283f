//! A watch over a websocket: one message for each event, for browsers.
//!
//! Only sends: what the client says is read to notice that it is gone.
//! upstream: endpoints/handlers/watch.go: HandleWS; golang.org/x/net/websocket

use bytes::Bytes;
use component_base::task;
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::negotiation::Media;
use crate::body::{Body, BodyError};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// A close frame that says that all is well (1000).
const CLOSE: [u8; 4] = [0x88, 2, 0x03, 0xe8];

/// An answer that has no headers but its own: the connection is no longer HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

/// The client's side of a connection that becomes a websocket.
pub struct Socket {
    upgrade: hyper::upgrade::OnUpgrade,
    headers: HeaderMap,
}

impl Socket {
    /// Of a request that asks for a websocket.
    pub fn of(http: &mut Request<Body>) -> Option<Self> {
        let has = |name: header::HeaderName, word: &str| {
            http.headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .is_some_and(|v| v.to_ascii_lowercase().contains(word))
        };
        let asked = has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade");
        asked.then(|| Self { headers: http.headers().clone(), upgrade: hyper::upgrade::on(http) })
    }

    /// Switches protocols and sends the frames of a watch, or refuses.
    pub fn answer<S>(self, frames: S, media: Media) -> Response<Body>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
    {
        let accept = match handshake(&self.headers) {
            Ok(accept) => accept,
            Err((status, text)) => return bare(status, Body::full(text)),
        };
        let upgrade = self.upgrade;
        task::spawn("websocket-watch", async move {
            match upgrade.await {
                Ok(connection) => {
                    if let Err(error) = send(TokioIo::new(connection), frames, media).await {
                        tracing::debug!(%error, "a websocket ended");
                    }
                }
                Err(error) => tracing::debug!(%error, "an upgrade did not complete"),
            }
        });
        let mut response = bare(StatusCode::SWITCHING_PROTOCOLS, Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = self.headers.get(header::SEC_WEBSOCKET_PROTOCOL) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        response
    }
}

fn bare(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.extensions_mut().insert(Bare);
    response
}

/// The answer to the client's key, or why there is none.
fn handshake(headers: &HeaderMap) -> Result<HeaderValue, (StatusCode, &'static str)> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let key = text(header::SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "mismatch challenge/response"));
    }
    if text(header::SEC_WEBSOCKET_VERSION) != "13" {
        return Err((StatusCode::BAD_REQUEST, "missing or bad WebSocket Version"));
    }
    if text(header::SEC_WEBSOCKET_PROTOCOL).contains(',') {
        return Err((StatusCode::BAD_REQUEST, "missing or bad WebSocket-Protocol"));
    }
    // whoever has no origin is no browser, and has better ways to watch
    if http::Uri::try_from(text(header::ORIGIN)).is_err() || text(header::ORIGIN) == "null" {
        return Err((StatusCode::FORBIDDEN, ""));
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| (StatusCode::BAD_REQUEST, ""))
}

async fn send<I, S>(connection: I, frames: S, media: Media) -> std::io::Result<()>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
    S: Stream<Item = Result<Bytes, BodyError>> + Send,
{
    let (mut reader, mut writer) = tokio::io::split(connection);
    let mut frames = std::pin::pin!(frames);
    let mut ignored = [0; 512];
    loop {
        tokio::select! {
            read = reader.read(&mut ignored) => {
                // a close frame has 8 in its low bits; anything else the client may not say here
                if read? == 0 || ignored[0] & 0x0f == 8 {
                    break;
                }
            }
            frame = frames.next() => {
                let Some(Ok(bytes)) = frame else { break };
                let mut out = Vec::with_capacity(bytes.len() + 16);
                messages(&bytes, media, &mut out);
                writer.write_all(&out).await?;
            }
        }
    }
    writer.write_all(&CLOSE).await?;
    writer.shutdown().await
}

/// The events of a piece of a watch as messages.
fn messages(bytes: &[u8], media: Media, out: &mut Vec<u8>) {
    if media != Media::Protobuf {
        bytes.split_inclusive(|b| *b == b'\n').for_each(|line| message(TEXT, line, out));
        return;
    }
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX).min(tail.len());
        message(BINARY, &tail[..length], out);
        rest = &tail[length..];
    }
}

fn message(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        middle @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_for_each_event() {
        let mut out = Vec::new();
        messages(b"{}\n{1}\n", Media::Json, &mut out);
        assert_eq!(out, b"\x81\x03{}\n\x81\x04{1}\n");
        out.clear();
        messages(b"\0\0\0\x02ab\0\0\0\x01c", Media::Protobuf, &mut out);
        assert_eq!(out, b"\x82\x02ab\x82\x01c");
    }

    #[test]
    fn refuses_what_is_no_handshake() {
        let mut headers = HeaderMap::new();
        assert_eq!(handshake(&headers).unwrap_err().1, "mismatch challenge/response");
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        assert_eq!(handshake(&headers).unwrap_err().0, StatusCode::FORBIDDEN);
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://localhost"));
        assert_eq!(handshake(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
