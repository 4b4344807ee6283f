//! The gRPC health check: one call, its two small messages written by hand.
//!
//! upstream: pkg/probe/grpc/grpc.go

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::check::Outcome;

const SERVING: u8 = 1;
const UNIMPLEMENTED: &str = "12";

pub(super) async fn check(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let seconds = timeout.as_secs();
    let stream = match tokio::time::timeout(timeout, TcpStream::connect(&address)).await {
        Ok(Ok(stream)) => stream,
        _ => {
            return Outcome::Failure(format!(
                "timeout: failed to connect service {address:?} within {seconds}s: context deadline exceeded"
            ));
        }
    };
    match tokio::time::timeout(timeout, call(stream, &address, service)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failure(format!("error: health rpc probe failed: {error}")),
        Err(_elapsed) => Outcome::Failure(format!("timeout: health rpc did not complete within {seconds}s")),
    }
}

async fn call(stream: TcpStream, address: &str, service: &str) -> Result<Outcome, hyper::Error> {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let driver = component_base::task::spawn("probe-connection", async move {
        let _closed_by_peer = connection.await;
    });
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(encode(service)))
        .expect("every part of the request is valid");
    let result = async {
        let answer = sender.send_request(request).await?;
        let headers = answer.headers().clone();
        let body = answer.into_body().collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = trailers.get("grpc-status").or_else(|| headers.get("grpc-status"));
        let status = status.and_then(|value| value.to_str().ok()).unwrap_or("0").to_owned();
        let message = trailers.get("grpc-message").or_else(|| headers.get("grpc-message"));
        let message = message.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok(judge(&status, &message, &body.to_bytes()))
    }
    .await;
    driver.abort();
    result
}

fn encode(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if let (false, Ok(length)) = (service.is_empty(), u8::try_from(service.len().min(127))) {
        message.put_u8(0x0a);
        message.put_u8(length);
        message.put_slice(service.as_bytes().get(..usize::from(length)).unwrap_or_default());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(0));
    frame.extend_from_slice(&message);
    frame.freeze()
}

fn judge(status: &str, message: &str, body: &[u8]) -> Outcome {
    if status == UNIMPLEMENTED {
        return Outcome::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        ));
    }
    if status != "0" {
        return Outcome::Failure(format!(
            "error: health rpc probe failed: rpc error: code = {status} desc = {message}"
        ));
    }
    // After the five bytes of the frame: field 1, a varint.
    let serving = match body.get(5..) {
        Some([0x08, value, ..]) => *value,
        _ => 0,
    };
    match serving {
        SERVING => Outcome::Success,
        2 => Outcome::Failure("service unhealthy (responded with \"NOT_SERVING\")".to_owned()),
        3 => Outcome::Failure("service unhealthy (responded with \"SERVICE_UNKNOWN\")".to_owned()),
        _ => Outcome::Failure("service unhealthy (responded with \"UNKNOWN\")".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_by_hand() {
        assert_eq!(encode("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(encode("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(judge("0", "", &[0, 0, 0, 0, 2, 8, 1]), Outcome::Success);
        assert!(
            matches!(judge("0", "", &[0, 0, 0, 0, 2, 8, 2]), Outcome::Failure(text) if text.contains("NOT_SERVING"))
        );
        assert!(matches!(judge("12", "", &[]), Outcome::Failure(_)));
    }
}
