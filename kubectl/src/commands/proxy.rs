//! `kubectl proxy`: the API server behind a local port. Corresponds to kubectl/pkg/cmd/proxy and kubectl/pkg/proxy.

use std::convert::Infallible;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use regex::Regex;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::{Command, FlagSet, Invocation};
use crate::client::Rest;
use crate::klog;

/// The port if none is given.
const PORT: i64 = 8001;

/// The command.
pub static COMMAND: Command = Command {
    name: "proxy",
    args: "[--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix]",
    short: "Run a proxy to the Kubernetes API server",
    long: "Creates a proxy server or application-level gateway between localhost and the Kubernetes API server. It also allows serving static content over specified HTTP path. All incoming data enters through one port and gets forwarded to the remote Kubernetes API server port, except for the path matching the static content path.",
    example: "# All of the API\nkubectl proxy --api-prefix=/\n\n# On a free port, which is printed\nkubectl proxy --port=0",
    flags,
    run: Some(|inv| Box::pin(run(inv))),
    ..Command::EMPTY
};

fn flags(flags: &mut FlagSet) {
    flags.string("www", "w", "", "Also serve static files from the given directory under the specified prefix.");
    flags.string(
        "www-prefix",
        "P",
        "/static/",
        "Prefix to serve static files under, if static file directory is specified.",
    );
    flags.string("api-prefix", "", "/", "Prefix to serve the proxied API under.");
    flags.string("accept-paths", "", "^.*", "Regular expression for paths that the proxy should accept.");
    flags.string("reject-paths", "", "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach", "Regular expression for paths that the proxy should reject. Paths specified here will be rejected even accepted by --accept-paths.");
    flags.string(
        "accept-hosts",
        "",
        r"^localhost$,^127\.0\.0\.1$,^\[::1\]$",
        "Regular expression for hosts that the proxy should accept.",
    );
    flags.string("reject-methods", "", "^$", "Regular expression for HTTP methods that the proxy should reject (example --reject-methods='POST,PUT,PATCH'). ");
    flags.int("port", 64, PORT, "The port on which to run the proxy. Set to 0 to pick a random port.").letter('p');
    flags.string("address", "", "127.0.0.1", "The IP address on which to serve on.");
    flags.bool("disable-filter", "", false, "If true, disable request filtering in the proxy. This is dangerous, and can leave you vulnerable to XSRF attacks, when used with an accessible port.");
    flags.string("unix-socket", "u", "", "Unix socket on which to run the proxy.");
    flags.duration(
        "keepalive",
        "0s",
        "keepalive specifies the keep-alive period for an active network connection. Set to 0 to disable keepalive.",
    );
    flags.bool(
        "append-server-path",
        "",
        false,
        "If true, enables automatic path appending of the kube context server path to each request.",
    );
}

/// Which requests pass.
struct Filter {
    accepted_paths: Vec<Regex>,
    rejected_paths: Vec<Regex>,
    accepted_hosts: Vec<Regex>,
    rejected_methods: Vec<Regex>,
}

impl Filter {
    fn from_flags(flags: &FlagSet) -> anyhow::Result<Self> {
        let list = |name: &str| -> anyhow::Result<Vec<Regex>> {
            let parts = flags.str(name).split(',').filter(|p| !p.is_empty());
            let compiled: Result<Vec<Regex>, _> = parts.map(Regex::new).collect();
            compiled.map_err(|e| anyhow::anyhow!("Error compiling re: {e}"))
        };
        Ok(Self {
            accepted_paths: list("accept-paths")?,
            rejected_paths: list("reject-paths")?,
            accepted_hosts: list("accept-hosts")?,
            rejected_methods: list("reject-methods")?,
        })
    }

    fn passes(&self, method: &str, path: &str, host: &str) -> bool {
        let any = |list: &[Regex], text: &str| list.iter().any(|r| r.is_match(text));
        !any(&self.rejected_paths, path)
            && !any(&self.rejected_methods, method)
            && any(&self.accepted_paths, path)
            && any(&self.accepted_hosts, host)
    }
}

/// What every connection shares.
struct Proxy {
    rest: Rc<Rest>,
    filter: Option<Filter>,
    api_prefix: String,
    files: Option<(String, PathBuf)>,
}

fn with_slash(text: &str) -> String {
    if text.ends_with('/') { text.to_owned() } else { format!("{text}/") }
}

async fn run(inv: Invocation) -> anyhow::Result<()> {
    let flags = &inv.flags;
    let socket = flags.str("unix-socket");
    anyhow::ensure!(
        socket.is_empty() || flags.get_int("port") == PORT,
        "cannot set --unix-socket and --port at the same time"
    );
    let filter = match flags.get_bool("disable-filter") {
        false => Some(Filter::from_flags(flags)?),
        true => {
            if socket.is_empty() {
                klog::warning(
                    "proxy.go:177",
                    "Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious",
                );
            }
            None
        }
    };
    let folder = flags.str("www");
    if !folder.is_empty() && !Path::new(folder).is_dir() {
        klog::warning("proxy.go:202", &format!("Static file directory {folder} is not a directory"));
    }
    let files = (!folder.is_empty()).then(|| (with_slash(flags.str("www-prefix")), PathBuf::from(folder)));
    let rest = inv.ctx.rest().await?;
    let proxy = Rc::new(Proxy { rest, filter, api_prefix: with_slash(flags.str("api-prefix")), files });
    if socket.is_empty() {
        let address = format!("{}:{}", flags.str("address"), flags.get_int("port"));
        let listener = tokio::net::TcpListener::bind(&address).await;
        let listener = listener.map_err(|e| anyhow::anyhow!("listen tcp {address}: {e}"))?;
        inv.ctx.out(&format!("Starting to serve on {}\n", listener.local_addr()?));
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::task::spawn_local(serve(Rc::clone(&proxy), stream));
        }
    }
    if std::fs::metadata(socket).is_ok_and(|m| m.file_type().is_socket()) {
        std::fs::remove_file(socket)?;
    }
    let listener = tokio::net::UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    inv.ctx.out(&format!("Starting to serve on {socket}\n"));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(serve(Rc::clone(&proxy), stream));
    }
}

async fn serve(proxy: Rc<Proxy>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = hyper::service::service_fn(|request| {
        let proxy = Rc::clone(&proxy);
        async move { Ok::<_, Infallible>(proxy.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A client that goes away is not worth a word.
    let _ = connection.await;
}

fn plain(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{text}\n").into_bytes()));
    *response.status_mut() = code;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The host without its port.
fn host(request: &Request<Incoming>) -> String {
    let text = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => host.to_owned(),
        _ => text.to_owned(),
    }
}

impl Proxy {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if let Some((prefix, folder)) = &self.files
            && let Some(file) = path.strip_prefix(prefix.as_str())
        {
            return serve_file(folder, file);
        }
        let Some(rest) = path.strip_prefix(&self.api_prefix) else {
            return plain(StatusCode::NOT_FOUND, "404 page not found");
        };
        let target = if self.api_prefix.starts_with("/api") { path.clone() } else { format!("/{rest}") };
        let passes = |f: &Filter| f.passes(request.method().as_str(), &target, &host(&request));
        if self.filter.as_ref().is_some_and(|f| !passes(f)) {
            return plain(StatusCode::FORBIDDEN, "Forbidden");
        }
        match self.forward(request, &target).await {
            Ok(response) => response,
            Err(error) => {
                klog::error("proxy_server.go:147", &format!("Error while proxying request: {error}"));
                plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
            }
        }
    }

    async fn forward(&self, mut request: Request<Incoming>, target: &str) -> anyhow::Result<Response<Body>> {
        let query = request.uri().query().map_or(String::new(), |q| format!("?{q}"));
        let upgrading = request.headers().contains_key(header::UPGRADE);
        let client_side = upgrading.then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("{target}{query}").parse()?;
        parts.headers.remove(header::HOST);
        if !upgrading {
            parts.headers.remove(header::CONNECTION);
        }
        let body = Body::from(body.collect().await?.to_bytes());
        let mut response = self.rest.raw().send(Request::from_parts(parts, body)).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(client_side) = client_side
        {
            let server_side = hyper::upgrade::on(&mut response);
            tokio::task::spawn_local(async move {
                let (Ok(client), Ok(server)) = (client_side.await, server_side.await) else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
            });
            let (parts, _) = response.into_parts();
            return Ok(Response::from_parts(parts, Body::empty()));
        }
        let headers = response.headers_mut();
        for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
            headers.remove(name);
        }
        Ok(response)
    }
}

fn serve_file(folder: &Path, name: &str) -> Response<Body> {
    let inside = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    let mut path = folder.join(name);
    if path.is_dir() {
        path.push("index.html");
    }
    match std::fs::read(&path) {
        Ok(content) if inside => {
            let mut response = Response::new(Body::from(content));
            let kind = match path.extension().and_then(|e| e.to_str()) {
                Some("html") => "text/html; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                Some("js") => "text/javascript; charset=utf-8",
                Some("json") => "application/json",
                Some("txt") => "text/plain; charset=utf-8",
                _ => "application/octet-stream",
            };
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        }
        _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
    }
}
