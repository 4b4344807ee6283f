//! Upgrading a request to a WebSocket with a chosen sub-protocol, for exec, attach and port-forward.
//! Corresponds to client-go/transport/websocket.

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Request, Rest};
use crate::failure::ApiStatus;

/// An open connection and the sub-protocol that the server chose.
pub struct WebSocket {
    /// The connection.
    pub stream: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    /// As `v5.channel.k8s.io`.
    pub protocol: String,
}

/// An answer that is no upgrade.
struct Refusal {
    status: http::StatusCode,
    text: String,
}

async fn refusal(response: http::Response<Body>) -> Refusal {
    let status = response.status();
    let body = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let told = crate::codec::decode_json(&body).ok().and_then(|value| ApiStatus::from_value(&value));
    let text = match told {
        Some(told) => told.message,
        None => String::from_utf8_lossy(&body).trim().to_owned(),
    };
    Refusal { status, text: if text.is_empty() { status.to_string() } else { text } }
}

/// Sends `request` as an upgrade offering `protocols`, best first.
pub async fn open_websocket(rest: &Rest, request: &Request, protocols: &[&str]) -> anyhow::Result<WebSocket> {
    let key = generate_key();
    let upgrade = http::Request::get(request.uri())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key)
        .header(SEC_WEBSOCKET_PROTOCOL, protocols.join(", "))
        .body(Body::empty())?;
    let response = rest.raw().send(upgrade).await?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        let refused = refusal(response).await;
        // Upstream then asks by the older protocol's method, and tells what that is answered.
        let asked_again = match refused.status {
            http::StatusCode::FORBIDDEN => {
                let again = http::Request::post(request.uri()).body(Body::empty())?;
                refusal(rest.raw().send(again).await?).await
            }
            _ => refused,
        };
        anyhow::bail!("unable to upgrade connection: {}", asked_again.text);
    }
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(http::HeaderValue::as_bytes);
    if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        anyhow::bail!("unable to upgrade connection: the server answered with a wrong Sec-WebSocket-Accept");
    }
    let protocol = response.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|v| v.to_str().ok());
    let protocol = protocol.unwrap_or_default().to_owned();
    if !protocols.contains(&protocol.as_str()) {
        anyhow::bail!("unable to upgrade connection: the server chose the sub-protocol {protocol:?}");
    }
    let upgraded = hyper::upgrade::on(response).await?;
    let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    Ok(WebSocket { stream, protocol })
}
