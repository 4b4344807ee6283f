//! Credentials from a program that a kubeconfig names: tokens and client certificates, asked for anew when they expire or
//! the server refuses them.
//!
//! Upstream: client-go/plugin/pkg/client/auth/exec. Absent: the plugin policy, and the hint of how to install the program is
//! part of the error.

use std::fmt;
use std::io::IsTerminal as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use http::HeaderValue;
use jiff::Timestamp;
use kube::config::{Cluster, ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::endpoint::Pem;
use super::identity::{TokenError, TokenSource};

const API_VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
const INFO_VARIABLE: &str = "KUBERNETES_EXEC_INFO";
/// Where a kubeconfig's cluster keeps what is meant for such programs.
const CLUSTER_EXTENSION: &str = "client.authentication.k8s.io/exec";

/// Why a program gave no credentials; texts as upstream's.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It asks for a version of the API that there is not.
    #[error("exec plugin: invalid apiVersion {0:?}")]
    ApiVersion(String),
    /// It names no program.
    #[error("command must be specified for the user to use exec authentication plugin")]
    NoCommand,
    /// v1 wants the mode to be said.
    #[error("interactiveMode must be specified for the user to use exec authentication plugin")]
    NoMode,
    /// The mode is Always, and there is nobody to ask.
    #[error("exec plugin cannot support interactive mode: standard input is not a terminal")]
    NoTerminal,
    /// It cannot be run.
    #[error("exec: executable {command} not found or not runnable{hint}")]
    Run {
        /// The program.
        command: String,
        /// How to install it, if the kubeconfig says so.
        hint: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It failed.
    #[error("exec: executable {0} failed with exit code {1}")]
    Failed(String, i32),
    /// Its answer is no ExecCredential.
    #[error("decoding stdout")]
    Decode(#[source] serde_json::Error),
    /// Its answer is of another version.
    #[error("exec plugin is configured to use API version {0}, plugin returned version {1}")]
    OtherVersion(String, String),
    /// Its answer has no status.
    #[error("exec plugin didn't return a status field")]
    NoStatus,
    /// Its answer has no credentials.
    #[error("exec plugin didn't return a token or cert/key pair")]
    Empty,
    /// Its answer has half a pair.
    #[error("exec plugin returned only certificate or key, not both")]
    HalfPair,
}

/// A program and what it said last.
pub struct ExecCredentials {
    config: ExecConfig,
    api_version: String,
    /// For programs that want to know the cluster.
    cluster: Value,
    cached: tokio::sync::Mutex<Option<Credentials>>,
    /// Counts the certificates: connections made with an earlier one take no new requests.
    generation: AtomicU64,
}

#[derive(Clone, Default, PartialEq)]
struct Credentials {
    token: Option<String>,
    pair: Option<(String, String)>,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    api_version: String,
    status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl ExecCredentials {
    /// Nothing is run before the first request.
    ///
    /// # Errors
    /// When the kubeconfig's words about the program are wrong.
    pub fn new(config: ExecConfig, cluster: &Cluster) -> Result<Self, ExecError> {
        let api_version = config.api_version.clone().unwrap_or_default();
        if !API_VERSIONS.contains(&api_version.as_str()) {
            return Err(ExecError::ApiVersion(api_version));
        }
        if config.command.as_deref().is_none_or(str::is_empty) {
            return Err(ExecError::NoCommand);
        }
        if config.interactive_mode.is_none() && api_version == API_VERSIONS[0] {
            return Err(ExecError::NoMode);
        }
        let cluster = if config.provide_cluster_info { told_cluster(cluster) } else { Value::Null };
        Ok(Self { config, api_version, cluster, cached: tokio::sync::Mutex::default(), generation: AtomicU64::new(0) })
    }

    /// Changes when the client certificate does.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The client certificate and its key, if the program gives such.
    pub(super) async fn pair(&self) -> Result<Option<(Pem, Pem)>, ExecError> {
        let pair = self.current().await?.pair;
        Ok(pair.map(|(cert, key)| (Pem::Inline(cert.into_bytes()), Pem::Inline(key.into_bytes()))))
    }

    /// What the program said last, if that is still good.
    async fn current(&self) -> Result<Credentials, ExecError> {
        // The lock is held while the program runs: it may ask somebody, who is to be asked once.
        let mut cached = self.cached.lock().await;
        let now = crate::clock::now();
        if let Some(known) = cached.as_ref().filter(|known| known.expires.is_none_or(|at| now <= at)) {
            return Ok(known.clone());
        }
        let fresh = self.run().await?;
        if cached.as_ref().is_none_or(|known| known.pair != fresh.pair) {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        *cached = Some(fresh.clone());
        Ok(fresh)
    }

    async fn run(&self) -> Result<Credentials, ExecError> {
        let interactive = self.is_interactive(std::io::stdin().is_terminal())?;
        let name = self.config.command.clone().unwrap_or_default();
        let mut command = tokio::process::Command::new(&name);
        command.args(self.config.args.iter().flatten()).env(INFO_VARIABLE, self.info(interactive).to_string());
        for variable in self.config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        command.stdin(if interactive { Stdio::inherit() } else { Stdio::null() }).stderr(Stdio::inherit());
        let output = command.stdout(Stdio::piped()).kill_on_drop(true).output().await.map_err(|source| {
            let hint = self.config.install_hint.iter().map(|hint| format!("\n\n{hint}")).collect();
            ExecError::Run { command: name.clone(), hint, source }
        })?;
        if !output.status.success() {
            return Err(ExecError::Failed(name, output.status.code().unwrap_or(-1)));
        }
        self.read(&output.stdout)
    }

    fn is_interactive(&self, terminal: bool) -> Result<bool, ExecError> {
        match self.config.interactive_mode {
            Some(ExecInteractiveMode::Never) => Ok(false),
            Some(ExecInteractiveMode::IfAvailable) | None => Ok(terminal),
            Some(ExecInteractiveMode::Always) if terminal => Ok(true),
            Some(ExecInteractiveMode::Always) => Err(ExecError::NoTerminal),
        }
    }

    /// What the program is told.
    fn info(&self, interactive: bool) -> Value {
        let mut info = json!({
            "kind": "ExecCredential",
            "apiVersion": self.api_version,
            "spec": { "interactive": interactive },
        });
        if !self.cluster.is_null() {
            info["spec"]["cluster"] = self.cluster.clone();
        }
        info
    }

    fn read(&self, stdout: &[u8]) -> Result<Credentials, ExecError> {
        let answer: Answer = serde_json::from_slice(stdout).map_err(ExecError::Decode)?;
        if answer.api_version != self.api_version {
            return Err(ExecError::OtherVersion(self.api_version.clone(), answer.api_version));
        }
        let status = answer.status.ok_or(ExecError::NoStatus)?;
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let pair = match (some(status.client_certificate_data), some(status.client_key_data)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(ExecError::HalfPair),
        };
        let token = some(status.token);
        if token.is_none() && pair.is_none() {
            return Err(ExecError::Empty);
        }
        Ok(Credentials { token, pair, expires: status.expiration_timestamp })
    }
}

/// The cluster as the program is told of it.
fn told_cluster(cluster: &Cluster) -> Value {
    let mut told = json!({ "server": cluster.server.as_deref().unwrap_or_default() });
    let authorities = Pem::of(cluster.certificate_authority.clone(), cluster.certificate_authority_data.clone());
    if let Some(pem) = authorities.ok().flatten().and_then(|pem| pem.read().ok()) {
        told["certificate-authority-data"] = base64::engine::general_purpose::STANDARD.encode(pem).into();
    }
    let texts = [("tls-server-name", &cluster.tls_server_name), ("proxy-url", &cluster.proxy_url)];
    for (name, text) in texts {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            told[name] = text.into();
        }
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        told["insecure-skip-tls-verify"] = true.into();
    }
    let extension = cluster.extensions.iter().flatten().find(|extension| extension.name == CLUSTER_EXTENSION);
    if let Some(extension) = extension {
        told["config"] = extension.extension.clone();
    }
    told
}

impl fmt::Debug for ExecCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecCredentials").field("command", &self.config.command).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenSource for ExecCredentials {
    async fn header(&self) -> Result<Option<HeaderValue>, TokenError> {
        let Some(token) = self.current().await.map_err(TokenError::Exec)?.token else { return Ok(None) };
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    async fn invalidate(&self) {
        if let Some(known) = self.cached.lock().await.as_mut() {
            known.expires = Some(Timestamp::UNIX_EPOCH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(mode: &str, script: &str) -> ExecConfig {
        let text = json!({
            "apiVersion": API_VERSIONS[0], "command": "/bin/sh", "args": ["-c", script], "interactiveMode": mode,
            "env": [{"name": "WHO", "value": "me"}], "provideClusterInfo": true,
        });
        serde_json::from_value(text).unwrap()
    }

    fn program(script: &str) -> ExecCredentials {
        let cluster = Cluster { server: Some("https://x".into()), ..Cluster::default() };
        ExecCredentials::new(config("Never", script), &cluster).unwrap()
    }

    fn answer(status: &str) -> String {
        format!(r#"echo '{{"kind":"ExecCredential","apiVersion":"{}","status":{status}}}'"#, API_VERSIONS[0])
    }

    #[tokio::test]
    async fn tokens_are_kept_until_they_expire_or_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("count");
        let script = format!(
            r#"echo x >> {0}; n=$(wc -l < {0}); test -n "$KUBERNETES_EXEC_INFO" || exit 1
            echo "{{\"apiVersion\":\"{1}\",\"status\":{{\"token\":\"$WHO$n\",\"expirationTimestamp\":\"2999-01-01T00:00:00Z\"}}}}""#,
            count.display(),
            API_VERSIONS[0]
        );
        let source = program(&script);
        for expected in ["Bearer me1", "Bearer me1"] {
            assert_eq!(source.header().await.unwrap().unwrap(), expected);
        }
        source.invalidate().await;
        assert_eq!(source.header().await.unwrap().unwrap(), "Bearer me2");
    }

    #[tokio::test]
    async fn another_certificate_is_another_generation() {
        let pair = |n| {
            format!(
                r#"{{"clientCertificateData":"c{n}","clientKeyData":"k","expirationTimestamp":"2000-01-01T00:00:00Z"}}"#
            )
        };
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("flag");
        let script = format!(
            "if test -e {0}; then {1}; else touch {0}; {2}; fi",
            flag.display(),
            answer(&pair(2)),
            answer(&pair(1))
        );
        let source = program(&script);
        assert_eq!(source.header().await.unwrap(), None);
        let first = source.generation();
        assert!(source.pair().await.unwrap().is_some());
        assert!(source.generation() > first, "it had expired, and the program gave another");
    }

    #[tokio::test]
    async fn bad_answers_are_told() {
        for (script, expected) in [
            (answer("{}"), "exec plugin didn't return a token or cert/key pair"),
            (answer(r#"{"clientKeyData":"k"}"#), "exec plugin returned only certificate or key, not both"),
            (answer("null"), "exec plugin didn't return a status field"),
            ("exit 3".to_owned(), "exec: executable /bin/sh failed with exit code 3"),
            (
                r#"echo '{"apiVersion":"x/v1","status":{"token":"t"}}'"#.to_owned(),
                "exec plugin is configured to use API version client.authentication.k8s.io/v1, plugin returned version x/v1",
            ),
        ] {
            assert_eq!(program(&script).current().await.err().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn modes() {
        let with = |mode| ExecCredentials::new(config(mode, ""), &Cluster::default()).unwrap();
        assert!(!with("Never").is_interactive(true).unwrap());
        assert!(with("IfAvailable").is_interactive(true).unwrap());
        assert!(!with("IfAvailable").is_interactive(false).unwrap());
        assert!(with("Always").is_interactive(false).is_err());
        let info = program("").info(false);
        assert_eq!(info["spec"]["cluster"]["server"], "https://x");
    }
}
