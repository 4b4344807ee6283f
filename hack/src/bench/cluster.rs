//! The cluster under measurement: certificates, processes, and the conditions that are timed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Debian's etcd, on a memory file system, so that the disk is not what is measured.
    Etcd,
    /// Debian's containerd.
    Containerd,
    /// kube-apiserver
    Apiserver,
    /// kube-controller-manager
    ControllerManager,
    /// kube-scheduler
    Scheduler,
    /// kubelet
    Kubelet,
    /// kube-proxy
    Proxy,
}

impl Component {
    /// The daemons that are measured.
    pub const OURS: [Self; 5] = [Self::Apiserver, Self::ControllerManager, Self::Scheduler, Self::Kubelet, Self::Proxy];

    /// The name of the binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Containerd => "containerd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
        }
    }
}

/// Ports of the namespace that hack/bench.sh made; nothing else listens there.
const ETCD: u16 = 2379;
const API: u16 = 6443;
/// How often a condition is looked at while it is timed.
const INTERVAL: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(120);

/// The processes of one run; killed when it goes out of scope.
pub struct Cluster {
    directory: tempfile::TempDir,
    binaries: PathBuf,
    root: PathBuf,
    processes: BTreeMap<Component, Child>,
}

impl Cluster {
    /// Makes certificates and configuration files in a directory on a memory file system.
    ///
    /// # Errors
    /// When bash or openssl fail.
    pub fn prepare(binaries: &Path, root: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("kb").tempdir_in("/dev/shm")?;
        let cluster = Self {
            directory,
            binaries: binaries.canonicalize().with_context(|| binaries.display().to_string())?,
            root: root.canonicalize()?,
            processes: BTreeMap::new(),
        };
        cluster.script(
            r#"source "$0/hack/lib/certs.sh"; source "$0/hack/lib/runtime.sh"; cd "$1"
            create_cluster_certs "$1" 127.0.0.1 10.0.0.1 127.0.0.1
            create_service_account_key "$1/sa.key"
            for c in admin controller scheduler kubelet kube-proxy; do write_kubeconfig "$1" https://127.0.0.1:6443 $c; done
            CNI_DATA_DIR="$1/cni-data" write_cni_config "$1/cni"
            write_containerd_config "$1/containerd.toml" "$1/c.sock" "$1/croot" "$1/cstate" "$1/cni" k8s.local/pause:1.36
            [ -f "$0/_output/images.tar" ] || "$0/cluster/images/build.sh" "$0/_output/images.tar" >/dev/null"#,
        )?;
        cluster.write_configurations()?;
        Ok(cluster)
    }

    fn script(&self, text: &str) -> anyhow::Result<()> {
        let status = Command::new("bash").args(["-ec", text]).arg(&self.root).arg(self.directory.path()).status()?;
        ensure!(status.success(), "preparing the cluster: {status}");
        Ok(())
    }

    fn write_configurations(&self) -> anyhow::Result<()> {
        let dir = self.directory.path().display();
        let kubelet = format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\naddress: 127.0.0.1\n\
             containerRuntimeEndpoint: unix://{dir}/c.sock\ncgroupDriver: cgroupfs\nfailCgroupV1: false\nfailSwapOn: false\n\
             evictionHard:\n  memory.available: 100Mi\npodLogsDir: {dir}/pods\nresolvConf: \"\"\nauthentication:\n  x509:\n    clientCAFile: {dir}/client-ca.crt\n\
             authorization:\n  mode: Webhook\n"
        );
        std::fs::write(self.path("kubelet.yaml"), kubelet)?;
        let proxy = format!(
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclientConnection:\n  \
             kubeconfig: {dir}/kube-proxy.kubeconfig\nhostnameOverride: 127.0.0.1\nconntrack:\n  maxPerCore: 0\n  \
             tcpEstablishedTimeout: 0s\n  tcpCloseWaitTimeout: 0s\n"
        );
        std::fs::write(self.path("proxy.yaml"), proxy)?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The port of the API server.
    pub fn api_port(&self) -> u16 {
        API
    }

    /// The process id of a component that runs.
    pub fn pid(&self, component: Component) -> Option<u32> {
        self.processes.get(&component).map(Child::id)
    }

    /// Starts a component with its log in the directory of the run.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn start(&mut self, component: Component) -> anyhow::Result<()> {
        let log = std::fs::File::create(self.path(&format!("{}.log", component.name())))?;
        let program = match component {
            Component::Etcd | Component::Containerd => PathBuf::from(component.name()),
            ours => self.binaries.join(ours.name()),
        };
        let child = Command::new(&program)
            .args(self.arguments(component))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| program.display().to_string())?;
        self.processes.insert(component, child);
        Ok(())
    }

    fn arguments(&self, component: Component) -> Vec<String> {
        let dir = self.directory.path().display();
        let text = match component {
            Component::Etcd => format!(
                "--data-dir={dir}/etcd --log-level=error --quota-backend-bytes=8589934592 \
                 --listen-client-urls=http://127.0.0.1:{ETCD} --advertise-client-urls=http://127.0.0.1:{ETCD}"
            ),
            Component::Containerd => format!("--config {dir}/containerd.toml"),
            Component::Apiserver => format!(
                "--etcd-servers=http://127.0.0.1:{ETCD} --bind-address=127.0.0.1 --secure-port={API} \
                 --authorization-mode=Node,RBAC --service-cluster-ip-range=10.0.0.0/24 \
                 --service-account-issuer=https://kubernetes.default.svc --service-account-key-file={dir}/sa.key \
                 --service-account-signing-key-file={dir}/sa.key --client-ca-file={dir}/client-ca.crt \
                 --tls-cert-file={dir}/serving-kube-apiserver.crt --tls-private-key-file={dir}/serving-kube-apiserver.key \
                 --kubelet-client-certificate={dir}/client-kube-apiserver.crt --max-requests-inflight=4000 \
                 --kubelet-client-key={dir}/client-kube-apiserver.key --max-mutating-requests-inflight=2000"
            ),
            Component::ControllerManager => format!(
                "--kubeconfig={dir}/controller.kubeconfig --bind-address=127.0.0.1 --cert-dir={dir}/kcm \
                 --leader-elect=false --use-service-account-credentials --service-account-private-key-file={dir}/sa.key \
                 --root-ca-file={dir}/server-ca.crt --cluster-signing-cert-file={dir}/client-ca.crt \
                 --cluster-signing-key-file={dir}/client-ca.key"
            ),
            Component::Scheduler => format!(
                "--kubeconfig={dir}/scheduler.kubeconfig --bind-address=127.0.0.1 --cert-dir={dir}/scheduler --leader-elect=false"
            ),
            Component::Kubelet => format!(
                "--kubeconfig={dir}/kubelet.kubeconfig --config={dir}/kubelet.yaml --root-dir={dir}/kubelet \
                 --cert-dir={dir}/kubelet/pki --hostname-override=127.0.0.1"
            ),
            Component::Proxy => format!("--config={dir}/proxy.yaml"),
        };
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Starts containerd and imports the images.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub async fn start_runtime(&mut self) -> anyhow::Result<()> {
        self.start(Component::Containerd)?;
        let socket = self.path("c.sock");
        self.until("containerd answers", async || {
            Ok(Command::new("ctr").arg("--address").arg(&socket).arg("version").output()?.status.success())
        })
        .await?;
        self.script(r#"source "$0/hack/lib/runtime.sh"; import_images "$1/c.sock" "$0/_output/images.tar""#)
    }

    /// TLS with the admin's certificate.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn tls(&self) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.path("server-ca.crt"))? {
            roots.add(certificate?)?;
        }
        let chain = CertificateDer::pem_file_iter(self.path("client-admin.crt"))?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(self.path("client-admin.key"))?;
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        Ok(Arc::new(config))
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if condition().await.unwrap_or(false) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{what}: not within {LIMIT:?}; logs in {}",
                self.directory.path().display()
            );
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until etcd takes connections.
    ///
    /// # Errors
    /// After two minutes.
    pub async fn etcd_is_up(&self) -> anyhow::Result<()> {
        self.until("etcd", async || {
            let output = Command::new("curl").args(["-fsS", &format!("http://127.0.0.1:{ETCD}/health")]).output()?;
            Ok(output.status.success())
        })
        .await
    }

    async fn get(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let output = Command::new("curl")
            .args(["-fsS", "--cacert"])
            .arg(self.path("server-ca.crt"))
            .arg("--cert")
            .arg(self.path("client-admin.crt"))
            .arg("--key")
            .arg(self.path("client-admin.key"))
            .arg(format!("https://127.0.0.1:{API}{path}"))
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null))
    }

    /// Waits until /readyz answers ok.
    ///
    /// # Errors
    /// After two minutes.
    pub async fn is_ready(&self) -> anyhow::Result<()> {
        self.until("readyz", async || Ok(self.get("/readyz").await.is_ok())).await
    }

    /// Waits until the node is Ready.
    ///
    /// # Errors
    /// After two minutes.
    pub async fn node_is_ready(&self) -> anyhow::Result<()> {
        self.until("node Ready", async || {
            let node = self.get("/api/v1/nodes/127.0.0.1").await?;
            Ok(condition(&node, "Ready"))
        })
        .await
    }

    /// Creates a Deployment of small web servers in `default`.
    ///
    /// # Errors
    /// When kubectl refuses.
    pub async fn create_deployment(&self, replicas: usize) -> anyhow::Result<()> {
        let status = Command::new(self.binaries.join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.path("admin.kubeconfig"))
            .args(["create", "deployment", "bench", "--image=k8s.local/web:1.36"])
            .arg(format!("--replicas={replicas}"))
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "kubectl create deployment: {status}");
        Ok(())
    }

    /// Waits until a pod of the Deployment has a node.
    ///
    /// # Errors
    /// After two minutes.
    pub async fn first_pod_is_bound(&self) -> anyhow::Result<()> {
        self.until("a pod is bound", async || {
            let pods = self.get("/api/v1/namespaces/default/pods").await?;
            Ok(items(&pods).any(|pod| pod["spec"]["nodeName"].is_string()))
        })
        .await
    }

    /// Waits until `count` pods of the Deployment are Ready.
    ///
    /// # Errors
    /// After two minutes.
    pub async fn pods_are_ready(&self, count: usize) -> anyhow::Result<()> {
        self.until("pods are Ready", async || {
            let pods = self.get("/api/v1/namespaces/default/pods").await?;
            Ok(items(&pods).filter(|pod| condition(pod, "Ready")).count() == count)
        })
        .await
    }
}

fn items(list: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    list["items"].as_array().into_iter().flatten()
}

fn condition(object: &serde_json::Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == kind && c["status"] == "True")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Containers outlive their runtime, so they go first; what cannot be stopped is gone with the namespace.
        if self.processes.contains_key(&Component::Containerd) {
            let _ = self.script(
                r#"for t in $(ctr -a "$1/c.sock" -n k8s.io tasks ls -q); do ctr -a "$1/c.sock" -n k8s.io tasks delete -f "$t" >/dev/null 2>&1 || true; done"#,
            );
        }
        for child in self.processes.values_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
