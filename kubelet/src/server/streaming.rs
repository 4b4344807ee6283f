//! Exec, attach and port forwarding: the runtime prepares a session, this server carries the bytes.
//!
//! SPDY and older websocket clients are passed through as they are; websocket clients of version 5 are translated.
//!
//! upstream: pkg/kubelet/server/server.go: getExec, getAttach, getPortForward; staging/src/k8s.io/kubelet/pkg/cri/streaming

use bytes::Bytes;
use component_base::serving::{ResponseBody, full};
use component_base::task;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::target::{Query, Target};
use super::websocket::{self, Channels};
use super::{Context, Refusal};
use crate::pod::view::PodView;
use crate::runtime::{StreamRequest, observe};

/// Version of the protocol that can end standard input alone.
const V5: &str = "v5.channel.k8s.io";
/// Newest version of the protocol over SPDY that every runtime's library speaks.
const V4: &str = "v4.channel.k8s.io";
const TUNNEL_PREFIX: &str = "SPDY/3.1+";
/// Most bytes of a runtime's refusal that are passed on.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
const STREAM_VERSION: &str = "x-stream-protocol-version";

/// Answers `/exec/…`.
pub async fn exec(cx: Context, request: Request<Incoming>) -> Response<ResponseBody> {
    answer(command_session(cx, request, true).await)
}

/// Answers `/attach/…`.
pub async fn attach(cx: Context, request: Request<Incoming>) -> Response<ResponseBody> {
    answer(command_session(cx, request, false).await)
}

/// Answers `/portForward/…`.
pub async fn port_forward(cx: Context, request: Request<Incoming>) -> Response<ResponseBody> {
    answer(forward_session(cx, request).await)
}

/// Answers `/run/…`: the output of one command.
pub async fn run(cx: Context, request: Request<Incoming>) -> Response<ResponseBody> {
    answer(run_command(cx, request).await)
}

fn answer(result: Result<Response<ResponseBody>, Refusal>) -> Response<ResponseBody> {
    result.unwrap_or_else(Refusal::response)
}

async fn command_session(
    cx: Context,
    request: Request<Incoming>,
    is_exec: bool,
) -> Result<Response<ResponseBody>, Refusal> {
    let target = Target::of_container(request.uri().path()).ok_or_else(|| Refusal::not_found("404 page not found"))?;
    let query = Query::read(request.uri().query());
    let tty = query.flag("tty");
    let channels =
        Channels { stdin: query.flag("input"), stdout: query.flag("output"), stderr: query.flag("error") && !tty, tty };
    if !(channels.stdin || channels.stdout || channels.stderr) {
        return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let container = target.running_container(&cx).await?;
    let prepared = StreamRequest {
        container_id: container.id,
        command: if is_exec { query.all("command") } else { Vec::new() },
        tty,
        stdin: channels.stdin,
        stdout: channels.stdout,
        stderr: channels.stderr,
    };
    let runtime = &cx.workers.machinery().runtime;
    let url = if is_exec { runtime.exec(prepared).await } else { runtime.attach(prepared).await };
    let url = url.map_err(|error| Refusal::internal(error.to_string()))?;
    if offers(request.headers(), V5) {
        return translate(request, &url, channels).await;
    }
    pass_through(request, &url).await
}

async fn forward_session(cx: Context, request: Request<Incoming>) -> Result<Response<ResponseBody>, Refusal> {
    let target = Target::of_pod(request.uri().path()).ok_or_else(|| Refusal::not_found("404 page not found"))?;
    let pod = target.find(&cx)?;
    let query = Query::read(request.uri().query());
    let runtime = &cx.workers.machinery().runtime;
    let observed = observe(runtime.as_ref(), pod.uid()).await.map_err(|error| Refusal::internal(error.to_string()))?;
    let sandbox = observed.sandboxes.iter().find(|sandbox| sandbox.ready);
    let sandbox =
        sandbox.ok_or_else(|| Refusal::not_found(format!("failed to find sandbox of pod {}", pod.display())))?;
    let ports = query.all("port").iter().filter_map(|port| port.parse().ok()).collect();
    let url = runtime.port_forward(&sandbox.id, ports).await;
    let url = url.map_err(|error| Refusal::internal(error.to_string()))?;
    match tunnelled(request.headers()) {
        Some(protocol) => tunnel(request, &url, protocol).await,
        None => pass_through(request, &url).await,
    }
}

async fn run_command(cx: Context, request: Request<Incoming>) -> Result<Response<ResponseBody>, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned()));
    }
    let target = Target::of_container(request.uri().path()).ok_or_else(|| Refusal::not_found("404 page not found"))?;
    let query = Query::read(request.uri().query());
    let command = query.get("cmd").unwrap_or_default();
    let words = command.split(' ').map(str::to_owned).collect();
    let container = target.running_container(&cx).await?;
    let runtime = &cx.workers.machinery().runtime;
    let output = runtime.exec_sync(&container.id, words, std::time::Duration::ZERO).await;
    let output = output.map_err(|error| Refusal::internal(error.to_string()))?;
    if output.exit_code != 0 {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Refusal::internal(format!("command '{command}' exited with {}: {text}", output.exit_code)));
    }
    let mut bytes = output.stdout;
    bytes.extend_from_slice(&output.stderr);
    Ok(full(StatusCode::OK, "text/plain; charset=utf-8", bytes))
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn protocols(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|protocol| protocol.trim().to_owned()).collect()
}

fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    is_websocket(headers) && protocols(headers).iter().any(|offered| offered == protocol)
}

/// The protocol of a SPDY connection inside of a websocket, if the client asks for one.
fn tunnelled(headers: &HeaderMap) -> Option<String> {
    let offered = if is_websocket(headers) { protocols(headers) } else { Vec::new() };
    offered.into_iter().find(|protocol| protocol.starts_with(TUNNEL_PREFIX))
}

/// Hands the client's own upgrade on and joins both connections.
async fn pass_through(mut request: Request<Incoming>, url: &str) -> Result<Response<ResponseBody>, Refusal> {
    let client = hyper::upgrade::on(&mut request);
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let answer = ask_runtime(url, method, headers).await?;
    let response = match answer {
        Answer::Refused(response) => return Ok(response),
        Answer::Upgraded(response, runtime) => {
            task::spawn("streaming", async move {
                match client.await {
                    Ok(client) => join(client, runtime).await,
                    Err(error) => tracing::debug!(%error, "client did not upgrade"),
                }
            });
            response
        }
    };
    Ok(response)
}

async fn join(client: Upgraded, runtime: Upgraded) {
    let (mut client, mut runtime) = (TokioIo::new(client), TokioIo::new(runtime));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut runtime).await {
        tracing::debug!(%error, "streaming session ended");
    }
}

async fn translate(
    mut request: Request<Incoming>,
    url: &str,
    channels: Channels,
) -> Result<Response<ResponseBody>, Refusal> {
    let accepted = accept(request.headers(), V5)?;
    let client = hyper::upgrade::on(&mut request);
    let runtime = match ask_runtime(url, Method::POST, spdy_headers(V4)).await? {
        Answer::Refused(response) => return Ok(response),
        Answer::Upgraded(_, runtime) => runtime,
    };
    task::spawn("streaming", async move {
        match client.await {
            Ok(client) => websocket::remote_command(client, runtime, channels).await,
            Err(error) => tracing::debug!(%error, "client did not upgrade"),
        }
    });
    Ok(accepted)
}

async fn tunnel(
    mut request: Request<Incoming>,
    url: &str,
    protocol: String,
) -> Result<Response<ResponseBody>, Refusal> {
    let accepted = accept(request.headers(), &protocol)?;
    let client = hyper::upgrade::on(&mut request);
    let inner = protocol.trim_start_matches(TUNNEL_PREFIX).to_owned();
    let runtime = match ask_runtime(url, Method::POST, spdy_headers(&inner)).await? {
        Answer::Refused(response) => return Ok(response),
        Answer::Upgraded(_, runtime) => runtime,
    };
    task::spawn("streaming", async move {
        match client.await {
            Ok(client) => websocket::tunnel(client, runtime).await,
            Err(error) => tracing::debug!(%error, "client did not upgrade"),
        }
    });
    Ok(accepted)
}

fn spdy_headers(protocol: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    if let Ok(value) = HeaderValue::from_str(protocol) {
        headers.insert(STREAM_VERSION, value);
    }
    headers
}

/// The answer that makes a connection a websocket.
fn accept(headers: &HeaderMap, protocol: &str) -> Result<Response<ResponseBody>, Refusal> {
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| Refusal::bad_request("no Sec-WebSocket-Key"))?;
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .header(SEC_WEBSOCKET_PROTOCOL, protocol)
        .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
        .map_err(|error| Refusal::internal(error.to_string()))
}

enum Answer {
    Upgraded(Response<ResponseBody>, Upgraded),
    Refused(Response<ResponseBody>),
}

/// Connects to the URL that the runtime gave, with these headers.
async fn ask_runtime(url: &str, method: Method, mut headers: HeaderMap) -> Result<Answer, Refusal> {
    let failed = |error: &dyn std::fmt::Display| Refusal::internal(format!("error dialing the runtime: {error}"));
    // cri-dockerd leaves the scheme out, which makes the host a part of the path for anybody but a browser.
    let url = if url.starts_with("//") { format!("http:{url}") } else { url.to_owned() };
    let uri: Uri = url.parse().map_err(|error| failed(&error))?;
    let authority = uri.authority().ok_or_else(|| failed(&"the URL has no host"))?.clone();
    let stream = TcpStream::connect(authority.as_str()).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    task::spawn("streaming-connection", async move {
        let _ended = connection.with_upgrades().await;
    });
    let host = HeaderValue::from_str(authority.as_str()).map_err(|error| failed(&error))?;
    headers.insert(HOST, host);
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let mut request =
        Request::builder().method(method).uri(path).body(Full::<Bytes>::default()).map_err(|error| failed(&error))?;
    *request.headers_mut() = headers;
    let mut response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Ok(Answer::Refused(full(status, "text/plain; charset=utf-8", body)));
    }
    let upgrade = hyper::upgrade::on(&mut response);
    let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = response.headers().clone();
    let upgraded = upgrade.await.map_err(|error| failed(&error))?;
    Ok(Answer::Upgraded(answer, upgraded))
}
