//! A small HTTP client for probes and hooks: one connection per request, bodies bounded, certificates not verified.
//!
//! It speaks to containers, whose certificates nobody vouches for; it is never used to talk to the API.
//!
//! upstream: pkg/probe/http

mod any_certificate;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, HTTPHeader};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Most bytes of an answer's body that are read.
const BODY_BYTES_MAX: usize = 10 * 1024;
const REDIRECTS_MAX: usize = 10;

/// A request that did not get an answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The port is no number and no port of the container has that name.
    #[error("{0}")]
    Port(String),
    /// The URL or a header cannot be written.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// The answer did not come in time.
    #[error("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)")]
    Timeout {
        /// Where to.
        url: String,
    },
    /// The connection failed.
    #[error("Get {url:?}: {message}")]
    Connection {
        /// Where to.
        url: String,
        /// Why.
        message: String,
    },
    /// Too many redirects.
    #[error("Get {url:?}: stopped after 10 redirects")]
    Redirects {
        /// Where to.
        url: String,
    },
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// TLS.
    pub https: bool,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, with a leading slash.
    pub path: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// The beginning of the body.
    pub body: String,
    /// Where a redirect points.
    location: Option<String>,
}

impl Target {
    /// The target of a probe or hook. `agent` names which, in the user agent.
    ///
    /// # Errors
    /// The port is not known.
    pub fn of(action: &HTTPGetAction, container: &Container, pod_ip: &str, agent: &str) -> Result<Self, FetchError> {
        let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_owned());
        let path = action.path.clone().unwrap_or_default();
        let given = action.http_headers.as_deref().unwrap_or_default();
        Ok(Self {
            https: action.scheme.as_deref() == Some("HTTPS"),
            host,
            port: resolve_port(&action.port, container)?,
            path: if path.starts_with('/') { path } else { format!("/{path}") },
            headers: headers(given, agent),
        })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The whole URL.
    pub fn url(&self) -> String {
        format!("{}://{}{}", if self.https { "https" } else { "http" }, self.authority(), self.path)
    }
}

fn headers(given: &[HTTPHeader], agent: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = given.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
    let has = |out: &[(String, String)], name: &str| out.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    if !has(&out, "User-Agent") {
        out.push(("User-Agent".to_owned(), format!("kube-{agent}/1.36")));
    }
    if !has(&out, "Accept") {
        out.push(("Accept".to_owned(), "*/*".to_owned()));
    }
    out.retain(|(name, value)| !(name.eq_ignore_ascii_case("Accept") && value.is_empty()));
    out
}

/// A port by number or by the name that the container gives it.
///
/// # Errors
/// There is no such port.
pub fn resolve_port(port: &IntOrString, container: &Container) -> Result<u16, FetchError> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            match named.map(|port| port.container_port).or_else(|| name.parse().ok()) {
                Some(number) => number,
                None => return Err(FetchError::Port(format!("couldn't find port: {name}"))),
            }
        }
    };
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| FetchError::Port(format!("invalid port number: {number}")))
}

/// Sends one GET and follows redirects on the same host; a redirect to another host is the answer.
///
/// # Errors
/// No answer came within `timeout`.
pub async fn get(target: &Target, timeout: Duration) -> Result<Answer, FetchError> {
    match tokio::time::timeout(timeout, follow(target)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(FetchError::Timeout { url: target.url() }),
    }
}

async fn follow(first: &Target) -> Result<Answer, FetchError> {
    let mut target = first.clone();
    for _hop in 0..REDIRECTS_MAX {
        let answer = once(&target).await?;
        let next = answer.location.as_deref().and_then(|location| redirect(&target, location));
        match next {
            Some(next) if answer.status.is_redirection() && next.host == first.host => target = next,
            _ => return Ok(answer),
        }
    }
    Err(FetchError::Redirects { url: target.url() })
}

fn redirect(from: &Target, location: &str) -> Option<Target> {
    let base = url::Url::parse(&from.url()).ok()?;
    let to = base.join(location).ok()?;
    let query = to.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(Target {
        https: to.scheme() == "https",
        host: to.host_str()?.trim_matches(['[', ']']).to_owned(),
        port: to.port_or_known_default()?,
        path: format!("{}{query}", to.path()),
        headers: from.headers.clone(),
    })
}

async fn once(target: &Target) -> Result<Answer, FetchError> {
    let failed = |message: String| FetchError::Connection { url: target.url(), message };
    let address = target.authority();
    let stream = TcpStream::connect(&address).await.map_err(|error| failed(dial_error(&address, &error)))?;
    if !target.https {
        return exchange(target, stream).await;
    }
    let connector = TlsConnector::from(Arc::new(any_certificate::client_config()));
    let name = rustls_pki_types::ServerName::try_from(target.host.clone())
        .map_err(|error| FetchError::Invalid(error.to_string()))?;
    let stream = connector.connect(name, stream).await.map_err(|error| failed(error.to_string()))?;
    exchange(target, stream).await
}

/// As Go words it, because the text is shown in events.
pub fn dial_error(address: &str, error: &std::io::Error) -> String {
    let reason = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {reason}")
}

async fn exchange<S>(target: &Target, stream: S) -> Result<Answer, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| FetchError::Connection { url: target.url(), message: error.to_string() };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driver = component_base::task::spawn("probe-connection", async move {
        let _closed_by_peer = connection.await;
    });
    let answer = sender.send_request(request(target)?).await.map_err(failed);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            driver.abort();
            return Err(error);
        }
    };
    let status = answer.status();
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // A body beyond the limit, or one that breaks off, does not change the verdict.
    let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    driver.abort();
    Ok(Answer { status, body, location })
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, FetchError> {
    let invalid = |message: String| FetchError::Invalid(message);
    let mut headers = HeaderMap::new();
    for (name, value) in &target.headers {
        let name: HeaderName = name.parse().map_err(|_| invalid(format!("header {name:?}")))?;
        let value = HeaderValue::from_str(value).map_err(|_| invalid(format!("value of header {name}")))?;
        headers.append(name, value);
    }
    if !headers.contains_key(header::HOST) {
        let host = HeaderValue::from_str(&target.authority()).map_err(|_| invalid(target.authority()))?;
        headers.insert(header::HOST, host);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(&target.path)
        .body(Empty::new())
        .map_err(|error| invalid(error.to_string()))?;
    *request.headers_mut() = headers;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_number_and_name() {
        let container: Container =
            serde_json::from_str(r#"{"name":"c","ports":[{"name":"web","containerPort":8080}]}"#).expect("valid");
        let port = |port: IntOrString| resolve_port(&port, &container).map_err(|error| error.to_string());
        assert_eq!(port(IntOrString::Int(80)), Ok(80));
        assert_eq!(port(IntOrString::String("web".into())), Ok(8080));
        assert_eq!(port(IntOrString::String("none".into())), Err("couldn't find port: none".to_owned()));
        assert_eq!(port(IntOrString::Int(0)), Err("invalid port number: 0".to_owned()));
    }

    #[tokio::test]
    async fn gets_an_answer_and_reports_refusal() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("address").port();
        let server = component_base::task::spawn("test-server", async move {
            let (mut socket, _) = listener.accept().await.expect("accepted");
            let mut buffer = [0; 1024];
            let read = socket.read(&mut buffer).await.expect("read");
            assert!(String::from_utf8_lossy(&buffer[..read]).contains("user-agent: kube-probe/1.36"));
            socket.write_all(b"HTTP/1.1 503 no\r\nContent-Length: 4\r\n\r\nbusy").await.expect("written");
        });
        let target =
            Target { https: false, host: "127.0.0.1".into(), port, path: "/".into(), headers: headers(&[], "probe") };
        let answer = get(&target, Duration::from_secs(5)).await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (503, "busy"));
        server.await.expect("served");
        let error = get(&target, Duration::from_secs(5)).await.expect_err("refused").to_string();
        assert_eq!(
            error,
            format!("Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused")
        );
    }
}
