//! etcd, kube-apiserver and, when asked for, kube-controller-manager and kube-scheduler.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::api::Api;
use crate::process::{Process, binary};
use crate::raw::RawClient;
use crate::wait::eventually;

/// How long a daemon may take until it is ready; generous, since debug builds share two cores with other tests.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A daemon of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// Debian's etcd; the first member, where there are more.
    Etcd,
    /// Another member of etcd, from 1 on.
    EtcdMember(usize),
    /// The API server.
    Apiserver,
    /// The controller manager.
    ControllerManager,
    /// The scheduler.
    Scheduler,
}

impl Daemon {
    fn name(self) -> &'static str {
        match self {
            Self::Etcd | Self::EtcdMember(_) => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

/// What is different from the usual control plane.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Further flags of kube-apiserver.
    pub apiserver_flags: Vec<String>,
    /// How many members etcd has.
    pub etcd_members: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { apiserver_flags: Vec::new(), etcd_members: 1 }
    }
}

/// A control plane in a directory of its own.
pub struct ControlPlane {
    directory: TempDir,
    /// Of each member: the port for clients, and that for other members.
    etcd_ports: Vec<[u16; 2]>,
    api_port: u16,
    apiserver_flags: Vec<String>,
    processes: BTreeMap<Daemon, Process>,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver and waits until the API server is ready. `None`, after saying so, where etcd is
    /// not installed.
    ///
    /// # Errors
    /// When certificates cannot be made or a daemon does not become ready.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        Self::start_with(Settings::default()).await
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(settings: Settings) -> anyhow::Result<Option<Self>> {
        if find_etcd().is_none() {
            eprintln!("skipped: etcd is not installed (hack/install-deps.sh run installs it)");
            return Ok(None);
        }
        // The provider is process-wide; a second test in the same process finds it installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let [api_port, a, b, c, d, e, f] = free_ports()?;
        let etcd_ports: Vec<[u16; 2]> = [[a, b], [c, d], [e, f]].into_iter().take(settings.etcd_members).collect();
        let directory = TempDir::with_prefix("kube-test-")?;
        make_certificates(directory.path(), api_port)?;
        let apiserver_flags = settings.apiserver_flags;
        let mut plane = Self { directory, etcd_ports, api_port, apiserver_flags, processes: BTreeMap::new() };
        plane.run(Daemon::Etcd)?;
        for member in 1..plane.etcd_ports.len() {
            plane.run(Daemon::EtcdMember(member))?;
        }
        plane.run(Daemon::Apiserver)?;
        plane.wait_ready().await?;
        Ok(Some(plane))
    }

    /// Starts a daemon, or starts it again after [`Self::kill`].
    ///
    /// # Errors
    /// When the binary is missing or cannot be run.
    pub fn run(&mut self, daemon: Daemon) -> anyhow::Result<()> {
        let program = match daemon {
            Daemon::Etcd | Daemon::EtcdMember(_) => find_etcd().context("etcd is not installed")?,
            other => binary(other.name())?,
        };
        let log = self.path(&format!("{}.log", daemon.name()));
        let process = Process::start(&program, &self.arguments(daemon)?, &log)?;
        self.processes.insert(daemon, process);
        Ok(())
    }

    /// Kills a daemon with SIGKILL.
    pub fn kill(&mut self, daemon: Daemon) {
        self.processes.remove(&daemon);
    }

    /// The process id of a daemon that runs.
    pub fn pid(&self, daemon: Daemon) -> Option<u32> {
        self.processes.get(&daemon).map(Process::pid)
    }

    /// Runs etcdctl against the members; answers what it printed.
    ///
    /// # Errors
    /// When it is not installed or fails.
    pub fn etcdctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.etcd_urls()))
            .args(arguments)
            .output()
            .context("run etcdctl")?;
        anyhow::ensure!(output.status.success(), "etcdctl: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn etcd_urls(&self) -> String {
        let urls: Vec<String> = self.etcd_ports.iter().map(|[port, _]| format!("http://127.0.0.1:{port}")).collect();
        urls.join(",")
    }

    fn etcd_arguments(&self, member: usize) -> anyhow::Result<Vec<String>> {
        let [client, peer] = self.etcd_ports.get(member).context("there is no such member")?;
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let members = self.etcd_ports.iter().enumerate();
        let cluster: Vec<String> = members.map(|(i, [_, peer])| format!("m{i}=http://127.0.0.1:{peer}")).collect();
        Ok(vec![
            format!("--name=m{member}"),
            format!("--data-dir={}", self.etcd_data(member).display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={}", cluster.join(",")),
            "--log-level=error".to_owned(),
        ])
    }

    /// The data directory of a member of etcd.
    pub fn etcd_data(&self, member: usize) -> PathBuf {
        self.path(&format!("etcd-{member}"))
    }

    /// Waits until /readyz of the API server answers 200.
    ///
    /// # Errors
    /// When it does not within a minute, or the server ended.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let client = self.client("admin").await?;
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            let Err(error) = client.request_text(request).await else { return Ok(()) };
            if let Some(end) = self.processes.get_mut(&Daemon::Apiserver).and_then(Process::ended) {
                anyhow::bail!("kube-apiserver ended: {end}");
            }
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "kube-apiserver is not ready: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client with the certificate `client-USER.crt`: admin, controller, scheduler, kubelet or kube-proxy.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn client(&self, user: &str) -> anyhow::Result<kube::Client> {
        Ok(kube::Client::try_from(self.config(user).await?)?)
    }

    /// Plain requests as a user, on connections of their own. Each is sent once: 429, 503 and 504 come back.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn api(&self, user: &str) -> anyhow::Result<Api> {
        let mut config = self.config(user).await?;
        config.default_retry = false;
        Ok(Api::new(kube::Client::try_from(config)?))
    }

    /// Requests as bytes, as a user.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn raw(&self, user: &str) -> anyhow::Result<RawClient> {
        RawClient::new(self.directory.path(), user, self.api_port)
    }

    async fn config(&self, user: &str) -> anyhow::Result<kube::Config> {
        let kubeconfig = kube::config::Kubeconfig::read_from(self.path(&format!("{user}.kubeconfig")))?;
        Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?)
    }

    /// Waits until `condition` holds, asking it with an admin client.
    ///
    /// # Errors
    /// As [`eventually`].
    pub async fn until<T, F>(
        &self,
        limit: Duration,
        what: &str,
        condition: impl Fn(kube::Client) -> F,
    ) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let client = self.client("admin").await?;
        eventually(limit, what, || condition(client.clone())).await
    }

    /// A file in the directory of this control plane.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `https://127.0.0.1:PORT` of the API server.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    fn arguments(&self, daemon: Daemon) -> anyhow::Result<Vec<String>> {
        let file = |name: &str| self.path(name).display().to_string();
        let arguments = match daemon {
            Daemon::Etcd => self.etcd_arguments(0)?,
            Daemon::EtcdMember(member) => self.etcd_arguments(member)?,
            Daemon::Apiserver => vec![
                format!("--etcd-servers={}", self.etcd_urls()),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={}", self.api_port),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", file("sa.key")),
                format!("--service-account-signing-key-file={}", file("sa.key")),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                format!("--client-ca-file={}", file("client-ca.crt")),
                format!("--tls-cert-file={}", file("serving-kube-apiserver.crt")),
                format!("--tls-private-key-file={}", file("serving-kube-apiserver.key")),
                format!("--kubelet-client-certificate={}", file("client-kube-apiserver.crt")),
                format!("--kubelet-client-key={}", file("client-kube-apiserver.key")),
            ]
            .into_iter()
            .chain(self.apiserver_flags.iter().cloned())
            .collect(),
            Daemon::ControllerManager => {
                let [port] = free_ports()?;
                vec![
                    format!("--kubeconfig={}", file("controller.kubeconfig")),
                    format!("--secure-port={port}"),
                    "--bind-address=127.0.0.1".to_owned(),
                    format!("--cert-dir={}", file("controller-certs")),
                    "--leader-elect=false".to_owned(),
                    "--use-service-account-credentials".to_owned(),
                    format!("--service-account-private-key-file={}", file("sa.key")),
                    format!("--root-ca-file={}", file("server-ca.crt")),
                    format!("--cluster-signing-cert-file={}", file("client-ca.crt")),
                    format!("--cluster-signing-key-file={}", file("client-ca.key")),
                ]
            }
            Daemon::Scheduler => {
                let [port] = free_ports()?;
                vec![
                    format!("--kubeconfig={}", file("scheduler.kubeconfig")),
                    format!("--secure-port={port}"),
                    "--bind-address=127.0.0.1".to_owned(),
                    format!("--cert-dir={}", file("scheduler-certs")),
                    "--leader-elect=false".to_owned(),
                ]
            }
        };
        Ok(arguments)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // The last logs of a failing test are what its reader needs.
        if std::thread::panicking() {
            for daemon in [Daemon::Apiserver, Daemon::ControllerManager, Daemon::Scheduler] {
                let log = std::fs::read_to_string(self.path(&format!("{}.log", daemon.name()))).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                for line in &lines[lines.len().saturating_sub(10)..] {
                    eprintln!("{}: {line}", daemon.name());
                }
            }
        }
        self.processes.clear();
    }
}

fn find_etcd() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|candidate| candidate.is_file())
}

/// Ports that were free a moment ago; all are held until the last is found, so they differ.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let listeners: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Certificates and kubeconfigs by the same script that local-up-cluster.sh uses.
fn make_certificates(directory: &Path, api_port: u16) -> anyhow::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hack/lib/certs.sh");
    let commands = r#"set -e; source "$0"
        create_cluster_certs "$1" 127.0.0.1 10.0.0.1 127.0.0.1
        create_service_account_key "$1/sa.key"
        for client in admin controller scheduler kubelet kube-proxy; do write_kubeconfig "$1" "$2" "$client"; done"#;
    let status = Command::new("bash")
        .arg("-c")
        .arg(commands)
        .arg(script)
        .arg(directory)
        .arg(format!("https://127.0.0.1:{api_port}"))
        .status()
        .context("run bash")?;
    anyhow::ensure!(status.success(), "hack/lib/certs.sh failed: {status}");
    Ok(())
}
