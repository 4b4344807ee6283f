//! Asks the control plane's components whether they are healthy, for `componentstatuses`.
//!
//! The components are looked for on this machine, at their usual ports, as upstream does: elsewhere they show as
//! unhealthy although they may run.
//! upstream: pkg/registry/core/componentstatus, pkg/registry/core/rest/storage_core.go: GetServersToValidate

use std::time::Duration;

use apimachinery::value;
use apimachinery::value::Value;
use http::Request;
use http_body_util::{BodyExt, Limited};

use super::proxy::unverified_tls;
use super::upstream::{Target, forward};
use crate::body::Body;
use crate::storage::Etcd;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 10 * 1024;
const LOCALHOST: &str = "127.0.0.1";
const HTTPS: [(&str, u16); 2] = [("controller-manager", 10257), ("scheduler", 10259)];
const STORE: &str = "etcd-0";

/// What a component says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Health {
    healthy: bool,
    message: String,
    error: String,
}

impl Health {
    fn unhealthy(message: impl Into<String>) -> Self {
        Self { healthy: false, message: message.into(), error: String::new() }
    }
}

/// The state of all components as ComponentStatus objects, sorted by name.
pub async fn all(etcd: &Etcd) -> Vec<Value> {
    let [(manager, manager_port), (scheduler, scheduler_port)] = HTTPS;
    let (first, second, third) =
        tokio::join!(ask(manager_port, "/healthz"), ask_store(etcd), ask(scheduler_port, "/healthz"));
    vec![object(manager, first), object(STORE, second), object(scheduler, third)]
}

async fn ask(port: u16, path: &str) -> Health {
    let answer = async {
        let target = Target { hosts: vec![LOCALHOST.to_owned()], port, tls: Some(unverified_tls()), name: None };
        let answer = forward(&target, path, Request::new(Body::empty())).await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|e| e.to_string())?;
        Ok::<_, String>((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    let failed = |error: &str| Health::unhealthy(format!("Get \"https://{LOCALHOST}:{port}{path}\": {error}"));
    match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(Ok((status, body))) if status.is_success() || status.is_redirection() => {
            Health { healthy: true, message: body, error: String::new() }
        }
        Ok(Ok((status, _))) => Health::unhealthy(format!("HTTP probe failed with statuscode: {}", status.as_u16())),
        Ok(Err(error)) => failed(&error),
        Err(_) => failed("context deadline exceeded"),
    }
}

async fn ask_store(etcd: &Etcd) -> Health {
    let error = match tokio::time::timeout(TIMEOUT, etcd.current_revision()).await {
        Ok(Ok(_)) => return Health { healthy: true, message: "ok".to_owned(), error: String::new() },
        Ok(Err(error)) => error.to_string(),
        Err(_) => "context deadline exceeded".to_owned(),
    };
    Health { healthy: false, message: String::new(), error }
}

fn object(name: &str, health: Health) -> Value {
    let mut condition = value!({"type": "Healthy", "status": if health.healthy { "True" } else { "False" }});
    for (field, text) in [("message", health.message), ("error", health.error)] {
        if !text.is_empty() {
            condition.set(field, text);
        }
    }
    value!({
        "apiVersion": "v1",
        "kind": "ComponentStatus",
        "metadata": {"name": name},
        "conditions": Value::List(vec![condition]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_listen_is_unhealthy_in_gos_words() {
        component_base::tls::install_provider();
        let listener = std::net::TcpListener::bind((LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let health = ask(port, "/healthz").await;
        let want =
            format!("Get \"https://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(health, Health::unhealthy(want));
        let object = object("scheduler", health);
        assert_eq!(object.get("conditions").items()[0].get("status").str_or_empty(), "False");
    }
}
