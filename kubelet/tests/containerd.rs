//! A standalone kubelet on a real containerd, in a network namespace of its own: a static pod from its start to its end,
//! with a kubelet that is killed in between.
//!
//! Needs root, containerd, runc, the CNI plugins and curl; says so and passes where one is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(40);
const MANIFEST: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  terminationGracePeriodSeconds: 2
  initContainers:
  - name: init
    image: k8s.local/web:1.36
    command: [/bin/sh, -c, "echo hello from $(WHO) > /data/index.html"]
    env: [{name: WHO, value: init}]
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: web
    image: k8s.local/web:1.36
    volumeMounts:
    - {name: data, mountPath: /www}
    - {name: data, mountPath: /one.html, subPath: index.html}
    - {name: memory, mountPath: /memory}
    resources: {limits: {cpu: 500m, memory: 64Mi}}
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
  volumes:
  - {name: data, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
"#;

fn missing() -> Option<&'static str> {
    if !rustix_is_root() {
        return Some("root");
    }
    let tools = ["containerd", "runc", "ctr", "ip", "nsenter", "curl", "busybox", "rustc"];
    let found = |tool: &str| {
        let out = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
        out.is_ok_and(|out| out.status.success())
    };
    let cni = ["/usr/lib/cni/bridge", "/opt/cni/bin/bridge"].iter().any(|path| Path::new(path).exists());
    tools.into_iter().find(|tool| !found(tool)).or_else(|| (!cni).then_some("CNI plugins"))
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// Everything that the test starts; dropped in reverse.
struct World {
    folder: PathBuf,
    netns: String,
    containerd: Option<Child>,
    kubelet: Option<Child>,
}

impl World {
    fn new() -> Self {
        let id = std::process::id();
        let folder = PathBuf::from(format!("/tmp/kubelet-test-{id}"));
        fs::create_dir_all(folder.join("manifests")).expect("a folder");
        let world = Self { folder, netns: format!("kubelet-test-{id}"), containerd: None, kubelet: None };
        world.must("ip", &["netns", "add", &world.netns]);
        world.must("ip", &["-n", &world.netns, "link", "set", "lo", "up"]);
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn must(&self, program: &str, args: &[&str]) -> String {
        let out = Command::new(program).args(args).output().expect("the program is there");
        assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/var/run/netns/{}", self.netns)).arg(program);
        command
    }

    fn start(&self, program: &str, args: &[&str], log: &str) -> Child {
        let log = fs::File::create(self.folder.join(log)).expect("a log");
        let mut command = self.inside(program);
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        command.spawn().expect("started")
    }

    fn start_containerd(&mut self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").display().to_string();
        let network = format!(
            r#"{{"cniVersion":"0.4.0","name":"test","plugins":[{{"type":"bridge","bridge":"kt0","isGateway":true,"hairpinMode":true,
            "ipam":{{"type":"host-local","dataDir":"{}","ranges":[[{{"subnet":"10.98.0.0/16"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}}}]}}"#,
            self.path("cni-data")
        );
        fs::create_dir_all(self.folder.join("cni")).expect("a folder");
        fs::write(self.folder.join("cni/10-test.conflist"), network).expect("written");
        let images = self.path("images.tar");
        self.must(&format!("{root}/cluster/images/build.sh"), &[&images]);
        let (config, socket) = (self.path("containerd.toml"), self.path("containerd.sock"));
        let script = format!(
            "source {root}/hack/lib/runtime.sh; write_containerd_config {config} {socket} {} {} {} k8s.local/pause:1.36",
            self.path("root"),
            self.path("state"),
            self.path("cni")
        );
        self.must("bash", &["-c", &script]);
        self.containerd = Some(self.start("containerd", &["--config", &config], "containerd.log"));
        self.wait("containerd", || {
            let out = Command::new("ctr").args(["--address", &socket, "version"]).output().expect("ctr");
            out.status.success().then_some(())
        });
        self.must("ctr", &["--address", &socket, "-n", "k8s.io", "images", "import", &images]);
    }

    fn start_kubelet(&mut self) {
        let config = format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\naddress: 127.0.0.1\n\
             containerRuntimeEndpoint: unix://{}\nstaticPodPath: {}\npodLogsDir: {}\nfailCgroupV1: false\nfailSwapOn: false\n\
             cgroupRoot: /{}\nclusterDNS: [10.0.0.10]\nauthentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}\n\
             authorization: {{mode: AlwaysAllow}}\nimageGCHighThresholdPercent: 100\nimageGCLowThresholdPercent: 99\n",
            self.path("containerd.sock"),
            self.path("manifests"),
            self.path("log/pods"),
            self.netns,
        );
        fs::write(self.folder.join("kubelet.yaml"), config).expect("written");
        let (config, root, certs) = (self.path("kubelet.yaml"), self.path("kubelet"), self.path("pki"));
        let args =
            ["--config", &config, "--root-dir", &root, "--cert-dir", &certs, "--hostname-override", "node", "-v=4"];
        self.kubelet = Some(self.start(env!("CARGO_BIN_EXE_kubelet"), &args, "kubelet.log"));
    }

    fn kill_kubelet(&mut self) {
        if let Some(mut kubelet) = self.kubelet.take() {
            kubelet.kill().expect("killed");
            kubelet.wait().expect("gone");
        }
    }

    fn get(&self, path: &str) -> Option<String> {
        let url = format!("https://127.0.0.1:10250{path}");
        let out = self.inside("curl").args(["-sk", "--max-time", "5", &url]).output().expect("curl");
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn post(&self, path: &str) -> String {
        let url = format!("https://127.0.0.1:10250{path}");
        let out = self.inside("curl").args(["-sk", "-X", "POST", "--max-time", "5", &url]).output().expect("curl");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn pod(&self) -> Option<Value> {
        let pods: Value = serde_json::from_str(&self.get("/pods")?).ok()?;
        pods["items"].as_array()?.first().cloned()
    }

    fn ready_pod(&self) -> Option<Value> {
        self.pod().filter(|pod| pod["status"]["containerStatuses"][0]["ready"] == true)
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            let log = || fs::read_to_string(self.folder.join("kubelet.log")).unwrap_or_default();
            assert!(Instant::now() < end, "{what} did not come about; the kubelet's log:\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_kubelet();
        let socket = self.path("containerd.sock");
        let ctr = |args: &[&str]| {
            let _best_effort = Command::new("ctr").args(["--address", &socket, "-n", "k8s.io"]).args(args).output();
        };
        let tasks = Command::new("ctr").args(["--address", &socket, "-n", "k8s.io", "tasks", "ls", "-q"]).output();
        for task in tasks.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default().lines() {
            ctr(&["tasks", "kill", "-s", "KILL", task]);
            ctr(&["tasks", "delete", "-f", task]);
        }
        if let Some(mut containerd) = self.containerd.take() {
            let _gone = containerd.kill();
            let _gone = containerd.wait();
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mut mounts: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        mounts.retain(|mount| Path::new(mount).starts_with(&self.folder));
        for mount in mounts.iter().rev() {
            let _best_effort = Command::new("umount").args(["-l", mount]).output();
        }
        let _best_effort = Command::new("ip").args(["netns", "del", &self.netns]).output();
        let find =
            format!("find /sys/fs/cgroup -depth -type d -path '*/{}*' -exec rmdir {{}} + 2>/dev/null", self.netns);
        let _best_effort = Command::new("sh").args(["-c", &find]).output();
        let _best_effort = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_static_pod_lives_through_a_killed_kubelet_and_leaves_nothing_behind() {
    if let Some(what) = missing() {
        eprintln!("skipped: {what} is missing");
        return;
    }
    let mut world = World::new();
    world.start_containerd();
    fs::write(world.folder.join("manifests/web.yaml"), MANIFEST).expect("written");
    world.start_kubelet();

    let pod = world.wait("a ready pod", || world.ready_pod());
    let uid = pod["metadata"]["uid"].as_str().expect("a UID").to_owned();
    let container = pod["status"]["containerStatuses"][0]["containerID"].clone();
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    let ip = pod["status"]["podIP"].as_str().expect("an address").to_owned();
    let page = world.inside("curl").args(["-s", &format!("http://{ip}:8080/")]).output().expect("curl");
    assert_eq!(String::from_utf8_lossy(&page.stdout), "hello from init\n");

    assert_eq!(world.post("/run/default/web-node/web?cmd=cat%20/one.html"), "hello from init\n");
    let log = world.get("/containerLogs/default/web-node/web?tailLines=1").expect("a log");
    assert_eq!(log, "listening on 8080\n");
    let none = world.get("/containerLogs/default/web-node/web?previous=true").expect("an answer");
    assert_eq!(none, "previous terminated container \"web\" in pod \"web-node\" not found\n");

    world.kill_kubelet();
    world.start_kubelet();
    let again = world.wait("the pod after a restart", || world.ready_pod());
    assert_eq!(again["metadata"]["uid"], uid.as_str());
    assert_eq!(again["status"]["containerStatuses"][0]["containerID"], container, "the container was left alone");
    assert_eq!(again["status"]["containerStatuses"][0]["restartCount"], 0);

    fs::remove_file(world.folder.join("manifests/web.yaml")).expect("removed");
    let socket = world.path("containerd.sock");
    world.wait("an empty node", || {
        let left = world.must("ctr", &["--address", &socket, "-n", "k8s.io", "containers", "ls", "-q"]);
        let folder = world.folder.join("kubelet/pods").join(&uid);
        (left.trim().is_empty() && !folder.exists()).then_some(())
    });
    assert!(!Path::new(&format!("/sys/fs/cgroup/cpu/{}/kubepods/burstable/pod{uid}", world.netns)).exists());
}
