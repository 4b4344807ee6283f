//! One request, one answer: paths and queries in, JSON or an [`ApiStatus`] out. Warnings go to standard error.
//! Corresponds to client-go/rest/request.go.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::time::Duration;

use apimachinery::value::Value;
use futures::TryStreamExt as _;
use http_body_util::BodyExt as _;
use kube::client::Body;
use tokio::io::AsyncBufRead;

use super::Mapping;
use crate::cli::quote::quote;
use crate::config::Resolved;
use crate::failure::{ApiStatus, Cause, Failure};

/// The body of an answer as it arrives.
pub type ByteStream = Box<dyn AsyncBufRead + Unpin>;

/// Media types of a server-side table, best first.
const TABLE: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

/// A request to build and send.
#[derive(Clone, Debug)]
pub struct Request {
    method: http::Method,
    path: String,
    query: Vec<(String, String)>,
    accept: String,
    content_type: &'static str,
    body: Vec<u8>,
    /// What messages call the object: resource with group, name.
    subject: (String, String),
}

impl Request {
    /// A request for an absolute path.
    pub fn new(method: http::Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            accept: "application/json".to_owned(),
            content_type: "application/json",
            body: Vec::new(),
            subject: (String::new(), String::new()),
        }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(http::Method::GET, path)
    }

    /// A request for a collection (`name` empty) or an object of a mapped resource.
    pub fn to(method: http::Method, mapping: &Mapping, namespace: &str, name: &str) -> Self {
        let mut request = Self::new(method, mapping.path(namespace, name));
        request.subject = (mapping.group_resource(), name.to_owned());
        request
    }

    /// Appends a path segment.
    #[must_use]
    pub fn below(mut self, segment: &str) -> Self {
        if !segment.is_empty() {
            self.path.push('/');
            self.path.push_str(segment);
        }
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a query parameter unless it is empty.
    #[must_use]
    pub fn maybe(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.query(name, value) }
    }

    /// Asks for a table.
    #[must_use]
    pub fn table(mut self, wanted: bool) -> Self {
        if wanted {
            self.accept = TABLE.to_owned();
        }
        self
    }

    /// Sets the Accept header.
    #[must_use]
    pub fn accept(mut self, accept: &str) -> Self {
        accept.clone_into(&mut self.accept);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.content_type = content_type;
        self.body = body;
        self
    }

    /// Sets a JSON object as the body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        let body = crate::codec::encode_json(value);
        self.body("application/json", body)
    }

    /// Path and query.
    pub fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.query {
            query.append_pair(name, value);
        }
        let joint = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.path, query.finish())
    }
}

/// A connection to one API server as one user.
pub struct Rest {
    client: kube::Client,
    server: String,
    timeout: Option<Duration>,
    warned: RefCell<BTreeSet<String>>,
}

impl Rest {
    /// Prepares the client. Nothing is sent, except that a credential plugin may run.
    pub async fn new(resolved: &Resolved, timeout: Option<Duration>) -> anyhow::Result<Self> {
        let config = kube_config(resolved).await?;
        let server = resolved.cluster.server.trim_end_matches('/').to_owned();
        let client = kube::Client::try_from(config).map_err(|e| anyhow::anyhow!("{}", chain(&e)))?;
        Ok(Self { client, server, timeout, warned: RefCell::default() })
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// How long a request may take, `--request-timeout`.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The client underneath, for upgrades.
    pub fn raw(&self) -> &kube::Client {
        &self.client
    }

    /// How many different warnings the server sent.
    pub fn warning_count(&self) -> usize {
        self.warned.borrow().len()
    }

    fn build(&self, request: &Request) -> anyhow::Result<http::Request<Body>> {
        let builder = http::Request::builder()
            .method(request.method.clone())
            .uri(request.uri())
            .header(http::header::ACCEPT, &request.accept);
        let builder = if request.body.is_empty() {
            builder
        } else {
            builder.header(http::header::CONTENT_TYPE, request.content_type)
        };
        Ok(builder.body(Body::from(request.body.clone()))?)
    }

    /// Sends the request and checks the status code.
    async fn respond(&self, request: &Request) -> anyhow::Result<http::Response<Body>> {
        let sent = self.client.send(self.build(request)?);
        let response = match self.timeout {
            Some(limit) => match tokio::time::timeout(limit, sent).await {
                Ok(answer) => answer,
                Err(_) => {
                    return Err(self.unreachable(
                        request,
                        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned(),
                    ));
                }
            },
            None => sent.await,
        };
        let response = response.map_err(|e| self.unreachable(request, reason(&e, &self.server)))?;
        self.show_warnings(response.headers());
        if response.status().is_success() || response.status().is_informational() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let text = is_text(response.headers());
        let body = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        Err(Failure::Status(Box::new(status_from(request, code, text, &body))).into())
    }

    fn unreachable(&self, request: &Request, reason: String) -> anyhow::Error {
        let host = self.server.split("://").last().unwrap_or_default();
        let method = request.method.as_str();
        let op = format!("{}{}", &method[..1], method[1..].to_lowercase());
        Failure::Connection {
            host: host.split('/').next().unwrap_or_default().to_owned(),
            op,
            url: format!("{}{}", self.server, request.uri()),
            reason,
        }
        .into()
    }

    /// The body of the answer.
    pub async fn bytes(&self, request: Request) -> anyhow::Result<Vec<u8>> {
        let response = self.respond(&request).await?;
        let body = response.into_body().collect().await;
        let body = body.map_err(|e| {
            anyhow::anyhow!("unexpected error when reading response body. Please retry. Original error: {e}")
        })?;
        Ok(body.to_bytes().to_vec())
    }

    /// The body of the answer as JSON.
    pub async fn value(&self, request: Request) -> anyhow::Result<Value> {
        let body = self.bytes(request).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        crate::codec::decode_json(&body)
    }

    /// The body of the answer while it arrives.
    pub async fn stream(&self, request: Request) -> anyhow::Result<ByteStream> {
        let response = self.respond(&request).await?;
        let data = Box::pin(response.into_body().into_data_stream().map_err(std::io::Error::other));
        Ok(Box::new(tokio_util::io::StreamReader::new(data)))
    }

    fn show_warnings(&self, headers: &http::HeaderMap) {
        for header in headers.get_all(http::header::WARNING) {
            let Some(text) = header.to_str().ok().and_then(warning_text) else {
                continue;
            };
            if !self.warned.borrow_mut().insert(text.clone()) {
                continue;
            }
            let colour = std::io::stderr().is_terminal()
                && std::env::var("TERM").is_ok_and(|t| t != "dumb")
                && std::env::var_os("NO_COLOR").is_none();
            if colour {
                eprintln!("\u{1b}[33;1mWarning:\u{1b}[0m {text}");
            } else {
                eprintln!("Warning: {text}");
            }
        }
    }
}

/// The text of a `299 - "…"` header.
fn warning_text(header: &str) -> Option<String> {
    let rest = header.strip_prefix("299 ")?;
    let start = rest.find('"')?;
    let mut text = String::new();
    let mut chars = rest[start + 1..].chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            '"' => return Some(text),
            c => text.push(c),
        }
    }
    None
}

fn is_text(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    kind.is_none_or(|t| t.is_empty() || t.starts_with("text/"))
}

/// The server's Status, or one that stands for an answer without one.
fn status_from(request: &Request, code: u16, text: bool, body: &[u8]) -> ApiStatus {
    if let Ok(value) = crate::codec::decode_json(body)
        && let Some(status) = ApiStatus::from_value(&value)
        && value.get("status").as_str() != Some("Success")
    {
        return status;
    }
    let said = if text {
        String::from_utf8_lossy(&body[..body.len().min(2048)]).trim().to_owned()
    } else {
        "unknown".to_owned()
    };
    let (reason, message) = generic_message(code, &request.method, &said);
    let (resource, name) = &request.subject;
    let verb = request.method.as_str().to_lowercase();
    let message = match (resource.is_empty(), name.is_empty()) {
        (true, _) => message,
        (false, true) => format!("{message} ({verb} {resource})"),
        (false, false) => format!("{message} ({verb} {resource} {name})"),
    };
    ApiStatus {
        code,
        reason: reason.to_owned(),
        message,
        kind: resource.split('.').next().unwrap_or_default().to_owned(),
        name: name.clone(),
        has_details: true,
        causes: vec![Cause { field: String::new(), message: said, reason: "UnexpectedServerResponse".to_owned() }],
        retry_after: 0,
    }
}

fn generic_message(code: u16, method: &http::Method, said: &str) -> (&'static str, String) {
    let (reason, message) = match code {
        400 => ("BadRequest", "the server rejected our request for an unknown reason"),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials"),
        403 => ("Forbidden", said),
        404 => ("NotFound", "the server could not find the requested resource"),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
        406 if said.is_empty() || said == "unknown" => {
            ("NotAcceptable", "the server was unable to respond with a content type that the client supports")
        }
        406 => ("NotAcceptable", said),
        409 if *method == http::Method::POST => ("AlreadyExists", "the server reported a conflict"),
        409 => ("Conflict", "the server reported a conflict"),
        415 => ("UnsupportedMediaType", said),
        422 => ("Invalid", "the server rejected our request due to an error in our request"),
        429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        500.. => {
            let text = format!("an error on the server ({}) has prevented the request from succeeding", quote(said));
            return ("InternalError", text);
        }
        _ => {
            let text = format!("the server responded with the status code {code} but did not return more information");
            return ("", text);
        }
    };
    (reason, message.to_owned())
}

/// Go's text of why a request could not be sent.
fn reason(error: &kube::Error, server: &str) -> String {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            if io.kind() == std::io::ErrorKind::ConnectionRefused {
                return format!("dial tcp {}: connect: connection refused", address(server));
            }
            if let Some(inner) = io.get_ref()
                && let Some(tls) = inner.downcast_ref::<rustls::Error>()
            {
                return tls_reason(tls);
            }
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return tls_reason(tls);
        }
        next = current.source();
    }
    let text = chain(error);
    if text.contains("failed to lookup address") {
        let host = address(server);
        let host = host.rsplit_once(':').map_or(host.as_str(), |(h, _)| h);
        return format!("dial tcp: lookup {host}: no such host");
    }
    text
}

fn tls_reason(error: &rustls::Error) -> String {
    use rustls::CertificateError;
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired) => {
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned()
        }
        other => format!("tls: failed to verify certificate: {other}"),
    }
}

/// `host:port` of a URL, the port made explicit and the name localhost resolved as Go shows it.
fn address(server: &str) -> String {
    let Ok(url) = url::Url::parse(server) else {
        return server.to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    format!("{host}:{}", url.port_or_known_default().unwrap_or(443))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(current) = next {
        let more = current.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        next = current.source();
    }
    text
}

/// kube's configuration out of ours.
async fn kube_config(resolved: &Resolved) -> anyhow::Result<kube::Config> {
    let mut server = resolved.cluster.server.clone();
    if !server.contains("://") {
        let secure = !resolved.cluster.certificate_authority.is_empty()
            || !resolved.cluster.certificate_authority_data.0.is_empty()
            || resolved.cluster.insecure_skip_tls_verify;
        server = format!("{}://{server}", if secure { "https" } else { "http" });
    }
    let mut cluster = serde_json::to_value(&resolved.cluster)?;
    cluster["server"] = server.clone().into();
    if resolved.cluster.insecure_skip_tls_verify
        && let Some(map) = cluster.as_object_mut()
    {
        map.remove("certificate-authority");
        map.remove("certificate-authority-data");
    }
    let mut user = serde_json::to_value(&resolved.user)?;
    if let Some(map) = user.as_object_mut() {
        if !resolved.user.client_certificate_data.0.is_empty() {
            map.remove("client-certificate");
        }
        if !resolved.user.client_key_data.0.is_empty() {
            map.remove("client-key");
        }
    }
    let file = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    let file: kube::config::Kubeconfig = serde_json::from_value(file)?;
    let options = kube::config::KubeConfigOptions::default();
    let mut config =
        kube::Config::from_custom_kubeconfig(file, &options).await.map_err(|e| anyhow::anyhow!("{}", chain(&e)))?;
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(concat!(
            "kubectl/v",
            env!("CARGO_PKG_VERSION"),
            " (linux/amd64) kubernetes/rust"
        )),
    ));
    config.default_retry = false;
    config.write_timeout = None;
    Ok(config)
}
