//! Running one probe once.
//!
//! upstream: pkg/kubelet/prober/prober.go, pkg/probe

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EnvVar, Probe};
use tokio::net::TcpStream;

use super::grpc;
use crate::http;
use crate::pod::expansion::expand;
use crate::runtime::{Runtime, RuntimeCode};

/// Most output of a command that goes into an event, in bytes.
const OUTPUT_BYTES_MAX: usize = 10 * 1024;

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// Good, but worth telling.
    Warning(String),
    Failure(String),
    /// The probe itself could not be run.
    Unknown(String),
}

pub(super) struct Target<'a> {
    pub runtime: &'a dyn Runtime,
    pub container: &'a Container,
    pub container_id: &'a str,
    pub pod_ip: &'a str,
}

pub(super) async fn run(probe: &Probe, target: &Target<'_>) -> Outcome {
    let timeout = Duration::from_secs(probe.timeout_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(1).max(1));
    if let Some(action) = &probe.exec {
        let env = target.container.env.as_deref().unwrap_or_default();
        let command = action.command.iter().flatten().map(|word| expand_static(word, env)).collect();
        return exec(target, command, timeout).await;
    }
    if let Some(action) = &probe.http_get {
        return match http::Target::of(action, target.container, target.pod_ip, "probe") {
            Ok(to) => http_get(&to, timeout).await,
            Err(error) => Outcome::Unknown(error.to_string()),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(target.pod_ip);
        return match http::resolve_port(&action.port, target.container) {
            Ok(port) => tcp(host, port, timeout).await,
            Err(error) => Outcome::Unknown(error.to_string()),
        };
    }
    if let Some(action) = &probe.grpc {
        let service = action.service.as_deref().unwrap_or_default();
        return match u16::try_from(action.port) {
            Ok(port) => grpc::check(target.pod_ip, port, service, timeout).await,
            Err(_) => Outcome::Unknown(format!("invalid port number: {}", action.port)),
        };
    }
    Outcome::Unknown(format!("missing probe handler for {}", target.container.name))
}

/// Probes see only what the definition says outright, not what comes from other objects.
fn expand_static(word: &str, env: &[EnvVar]) -> String {
    expand(word, &|name| env.iter().find(|variable| variable.name == name).and_then(|variable| variable.value.clone()))
}

async fn exec(target: &Target<'_>, command: Vec<String>, timeout: Duration) -> Outcome {
    match target.runtime.exec_sync(target.container_id, command, timeout).await {
        Ok(output) if output.exit_code == 0 => Outcome::Success,
        Ok(output) => {
            let mut text = output.stdout;
            text.extend_from_slice(&output.stderr);
            text.truncate(OUTPUT_BYTES_MAX);
            Outcome::Failure(String::from_utf8_lossy(&text).into_owned())
        }
        Err(error) if error.code == RuntimeCode::DeadlineExceeded => {
            Outcome::Failure(format!("command timed out: {:?} timed out after {}s", error.message, timeout.as_secs()))
        }
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

async fn http_get(target: &http::Target, timeout: Duration) -> Outcome {
    match http::get(target, timeout).await {
        Ok(answer) if answer.status.is_success() => Outcome::Success,
        Ok(answer) if answer.status.is_redirection() => {
            Outcome::Warning(format!("Probe terminated redirects, Response body: {}", answer.body))
        }
        Ok(answer) => Outcome::Failure(format!("HTTP probe failed with statuscode: {}", answer.status.as_u16())),
        Err(error) => Outcome::Failure(error.to_string()),
    }
}

async fn tcp(host: &str, port: u16, timeout: Duration) -> Outcome {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match tokio::time::timeout(timeout, TcpStream::connect(&address)).await {
        Ok(Ok(_connection)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(http::dial_error(&address, &error)),
        Err(_elapsed) => Outcome::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tcp_probe_tells_open_from_closed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("address").port();
        assert_eq!(tcp("127.0.0.1", port, Duration::from_secs(2)).await, Outcome::Success);
        drop(listener);
        let want = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(tcp("127.0.0.1", port, Duration::from_secs(2)).await, Outcome::Failure(want));
    }
}
