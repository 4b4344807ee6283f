//! Both backends on a real kernel, in network namespaces of their own: a node, two pods behind its bridge, a client outside.
//! Needs root, iproute2, curl, iptables and nft; says so and passes where they are missing.
//!
//! The test binary plays every part: `role_serve` runs in a pod's namespace and answers with the pod's name, `role_sync` runs
//! in the node's and carries out a plan.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use component_base::ObjectKey;
use kube_proxy::backend::{self, LocalTraffic, Mode, NodePortAddresses, Scope, Settings};
use kube_proxy::model::Family;
use kube_proxy::plan::{NodeView, plan};
use kube_proxy::tracker::Tracker;

const NODE_IP: &str = "192.168.77.1";

/// Runs as a pod until it is killed.
#[test]
#[ignore = "a part of the other tests"]
fn role_serve() {
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    let name = std::env::var("ROLE_NAME").unwrap();
    for stream in listener.incoming() {
        use std::io::{Read as _, Write as _};
        let Ok(mut stream) = stream else { continue };
        let from = stream.peer_addr().map(|a| a.ip().to_string()).unwrap_or_default();
        let body = format!("{name} {from}");
        // A client that hangs up early is its own affair.
        let _ = stream.read(&mut [0; 1024]);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    }
}

/// Carries out the services in ROLE_OBJECTS, a YAML list of `{service: …, endpoints: [ips]}`.
#[test]
#[ignore = "a part of the other tests"]
fn role_sync() {
    let mode = if std::env::var("ROLE_MODE").unwrap() == "nftables" { Mode::Nftables } else { Mode::Iptables };
    let objects: serde_json::Value = serde_saphyr::from_str(&std::env::var("ROLE_OBJECTS").unwrap()).unwrap();
    let mut tracker = Tracker::new(Family::V4, "n1");
    for object in objects.as_array().unwrap() {
        let service = serde_json::from_value(object["service"].clone()).unwrap();
        let key = ObjectKey::of::<k8s_openapi::api::core::v1::Service>(&service);
        tracker.set_service(&key, Some(&service));
        tracker.set_slice(&serde_json::from_value(object["slice"].clone()).unwrap(), false);
    }
    let node_ports = match mode {
        Mode::Iptables => NodePortAddresses::new(Family::V4, &[]),
        Mode::Nftables => NodePortAddresses::new(Family::V4, &["192.168.77.0/24".parse().unwrap()]),
    };
    let settings = Settings {
        family: Family::V4,
        masquerade_all: false,
        masquerade_bit: 14,
        local: LocalTraffic::Cidr("10.88.0.0/24".parse().unwrap()),
        localhost_node_ports: mode == Mode::Iptables,
        node_ports,
        node_ip: NODE_IP.parse().unwrap(),
        conntrack_liberal: false,
    };
    let view = NodeView { name: "n1".into(), ip: settings.node_ip, zone: String::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut backend = backend::open(mode, settings);
        let plan = plan(&tracker, &view);
        backend.sync(&plan, Scope::Full).await.unwrap();
        // A second sync over existing rules must work as well, as after a restart.
        backend.sync(&plan, Scope::Full).await.unwrap();
        assert!(backend.is_intact().await);
    });
}

#[test]
fn iptables_leads_to_endpoints() {
    leads_to_endpoints("iptables");
}

#[test]
fn nftables_leads_to_endpoints() {
    leads_to_endpoints("nftables");
}

fn leads_to_endpoints(mode: &str) {
    if let Some(missing) = missing() {
        eprintln!("skipped: {missing}");
        return;
    }
    let net = Network::new(mode);
    net.sync(&[
        service("web", "10.0.0.80", "type: NodePort", 30080, &[("10.88.0.2", "n1"), ("10.88.0.3", "n2")]),
        service("sticky", "10.0.0.81", "sessionAffinity: ClientIP", 0, &[("10.88.0.2", "n1"), ("10.88.0.3", "n2")]),
        service(
            "local",
            "10.0.0.82",
            "type: NodePort\nexternalTrafficPolicy: Local\nexternalIPs: [172.29.0.5]",
            30082,
            &[("10.88.0.2", "n1"), ("10.88.0.3", "n2")],
        ),
        service("none", "10.0.0.83", "type: ClusterIP", 0, &[]),
    ]);
    let names = |from: &str, url: &str, times: usize| -> Vec<String> {
        let mut found: Vec<_> = (0..times)
            .map(|_| net.get(from, url))
            .map(|a| a.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        found.sort();
        found.dedup();
        found
    };
    for (from, url) in
        [("a", "http://10.0.0.80"), ("node", "http://10.0.0.80"), ("client", "http://192.168.77.1:30080")]
    {
        assert_eq!(names(from, url, 24), ["a", "b"], "{mode}: {from} to {url}");
    }
    assert_eq!(names("client", "http://10.0.0.81", 10).len(), 1, "{mode}: a client sticks to its endpoint");
    for url in ["http://192.168.77.1:30082", "http://172.29.0.5"] {
        let answers: Vec<_> = (0..6).map(|_| net.get("client", url)).collect();
        assert_eq!(
            answers, ["a 192.168.77.2"; 6],
            "{mode}: policy Local keeps to this node and keeps the client's address"
        );
    }
    assert_eq!(net.get("a", "http://10.0.0.83"), "curl 7", "{mode}: a service without endpoints refuses at once");
    net.sync(&[service("web", "10.0.0.80", "type: NodePort", 30080, &[("10.88.0.3", "n2")])]);
    assert_eq!(
        names("client", "http://192.168.77.1:30080", 10),
        ["b"],
        "{mode}: an endpoint that is gone gets nothing"
    );
}

fn service(name: &str, ip: &str, spec: &str, node_port: u16, endpoints: &[(&str, &str)]) -> serde_json::Value {
    let mut spec: serde_json::Value = serde_saphyr::from_str(spec).unwrap();
    spec["clusterIP"] = ip.into();
    spec["ports"] = serde_json::json!([{"name": "p", "port": 80, "nodePort": node_port}]);
    let endpoints: Vec<_> =
        endpoints.iter().map(|(ip, node)| serde_json::json!({"addresses": [ip], "nodeName": node})).collect();
    serde_json::json!({
        "service": {"metadata": {"name": name, "namespace": "ns"}, "spec": spec},
        "slice": {
            "metadata": {"name": format!("{name}-1"), "namespace": "ns", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints,
        },
    })
}

fn missing() -> Option<String> {
    let works = |tool: &str, args: &[&str]| {
        Command::new(tool).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    let tools: [(&str, &[&str]); 5] = [
        ("ip", &["netns", "list"]),
        ("curl", &["--version"]),
        ("iptables", &["-t", "nat", "-S"]),
        ("nft", &["list", "tables"]),
        ("sysctl", &["net.ipv4.ip_forward"]),
    ];
    tools
        .iter()
        .find(|(tool, args)| !works(tool, args))
        .map(|(tool, _)| format!("{tool} does not work here (not root?)"))
}

/// Namespaces and the processes in them; removed when dropped.
struct Network {
    prefix: String,
    mode: String,
    servers: Vec<Child>,
}

impl Network {
    fn new(mode: &str) -> Self {
        let prefix = format!("kp{}{}", std::process::id(), &mode[..1]);
        let mut net = Self { prefix, mode: mode.to_owned(), servers: Vec::new() };
        for role in ["node", "a", "b", "client"] {
            net.ip(&["netns", "add", &net.name(role)]);
            net.inside(role, &["ip", "link", "set", "lo", "up"]);
        }
        net.inside("node", &["ip", "link", "add", "cbr0", "type", "bridge"]);
        net.inside("node", &["ip", "addr", "add", "10.88.0.1/24", "dev", "cbr0"]);
        net.inside("node", &["ip", "link", "set", "cbr0", "up"]);
        for (role, ip) in [("a", "10.88.0.2/24"), ("b", "10.88.0.3/24")] {
            net.connect(role, ip, "10.88.0.1");
            net.inside("node", &["ip", "link", "set", &format!("v{role}"), "master", "cbr0"]);
            // A pod that reaches itself through a service goes out and in by the same port.
            net.inside("node", &["ip", "link", "set", &format!("v{role}"), "type", "bridge_slave", "hairpin", "on"]);
        }
        net.connect("client", "192.168.77.2/24", NODE_IP);
        net.inside("node", &["ip", "addr", "add", "192.168.77.1/24", "dev", "vclient"]);
        net.inside("node", &["ip", "route", "add", "10.0.0.0/24", "dev", "vclient"]);
        net.inside("node", &["ip", "route", "add", "172.29.0.0/24", "dev", "cbr0"]);
        net.inside("node", &["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        for role in ["a", "b"] {
            let server = net.role(role, "role_serve").env("ROLE_NAME", role).stdout(Stdio::null()).spawn().unwrap();
            net.servers.push(server);
        }
        for ip in ["10.88.0.2", "10.88.0.3"] {
            let deadline = Instant::now() + Duration::from_secs(20);
            while net.get("node", &format!("http://{ip}:8080")).starts_with("curl") {
                assert!(Instant::now() < deadline, "the server on {ip} does not answer");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        net
    }

    fn name(&self, role: &str) -> String {
        format!("{}{role}", self.prefix)
    }

    fn ip(&self, args: &[&str]) {
        assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
    }

    fn inside(&self, role: &str, command: &[&str]) {
        let name = self.name(role);
        self.ip(&[&["netns", "exec", &name], command].concat());
    }

    fn connect(&self, role: &str, ip: &str, gateway: &str) {
        let (outer, name) = (format!("v{role}"), self.name(role));
        self.inside("node", &["ip", "link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &name]);
        self.inside("node", &["ip", "link", "set", &outer, "up"]);
        self.inside(role, &["ip", "addr", "add", ip, "dev", "eth0"]);
        self.inside(role, &["ip", "link", "set", "eth0", "up"]);
        self.inside(role, &["ip", "route", "add", "default", "via", gateway]);
    }

    fn role(&self, namespace: &str, test: &str) -> Command {
        let mut command = Command::new("ip");
        let name = self.name(namespace);
        command.args(["netns", "exec", &name]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture"]).env("ROLE_MODE", &self.mode);
        command
    }

    fn sync(&self, services: &[serde_json::Value]) {
        let objects = serde_json::to_string(services).unwrap();
        let done = self.role("node", "role_sync").env("ROLE_OBJECTS", objects).output().unwrap();
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// The answer, or `curl <status>`.
    fn get(&self, from: &str, url: &str) -> String {
        let name = self.name(from);
        let got = Command::new("ip").args(["netns", "exec", &name, "curl", "-s", "-m", "3", url]).output().unwrap();
        if got.status.success() {
            return String::from_utf8_lossy(&got.stdout).into_owned();
        }
        format!("curl {}", got.status.code().unwrap_or(-1))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // Killing `ip netns exec` kills the server: it replaced itself by it.
            let _ = server.kill();
            let _ = server.wait();
        }
        for role in ["node", "a", "b", "client"] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(role)]).status();
        }
    }
}
