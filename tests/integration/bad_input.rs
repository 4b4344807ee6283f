//! Thousands of damaged requests: whatever comes, the server answers, with no 5xx of its own making, without a panic,
//! and without growing. The damage is the same in every run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::{ControlPlane, Daemon, RawClient, resident_mib};

use crate::random::Random;

/// Requests at most, and time at most: slow machines send fewer.
const REQUESTS: usize = 6000;
const TIME: Duration = Duration::from_secs(12);
const CONNECTIONS: usize = 6;
const SEED: u64 = 0x6b75_6265;

/// Errors of upstream's own, known by a part of their text.
const UPSTREAMS_5XX: [&str; 7] = [
    // a resourceVersion that is no number, in a watch
    "strconv.ParseUint",
    // a revision of the future
    "Too large resource version",
    // a larger object than etcd takes
    "etcdserver: request is too large",
    // server-side apply of what the schema does not know
    "failed to create typed patch object",
    "failed to convert new object",
    "resourceVersion should not be set on objects to be created",
    // time is up, for a `timeout=` of nothing
    "request did not complete within",
];

#[derive(Clone)]
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let mut out = format!("{} {}{query} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        out.extend_from_slice(&self.body);
        out
    }

    fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// Sound requests: the samples of all resources, and recorded ones where they are there.
fn sound() -> anyhow::Result<Vec<Request>> {
    let text = include_str!("../testdata/samples.yaml").replace("NAMESPACE", "default");
    let mut all = Vec::new();
    for object in serde_saphyr::from_multiple::<Value>(&text)? {
        let (version, kind) =
            (object["apiVersion"].as_str().context("version")?, object["kind"].as_str().unwrap_or(""));
        let Some(info) = apimachinery::resources::all()
            .iter()
            .find(|info| info.kind == kind && version.rsplit_once('/').map_or("", |(group, _)| group) == info.group)
        else {
            continue;
        };
        let root = if info.group.is_empty() { "/api" } else { "/apis" };
        let namespace = if info.namespaced { "/namespaces/default" } else { "" };
        let collection = format!("{root}/{version}{namespace}/{}", info.plural);
        let name = object["metadata"]["name"].as_str().unwrap_or("x");
        for (method, path) in [("POST", collection.clone()), ("PUT", format!("{collection}/{name}"))] {
            all.push(request(method, &path, "application/json", serde_json::to_vec(&object)?));
        }
        all.push(request("GET", &collection, "application/json", Vec::new()));
        let patch = serde_json::to_vec(&json!({"metadata": {"labels": {"a": "b"}}}))?;
        all.push(request("PATCH", &format!("{collection}/{name}"), "application/strategic-merge-patch+json", patch));
    }
    all.extend(recorded()?);
    Ok(all)
}

fn request(method: &str, path: &str, media: &str, body: Vec<u8>) -> Request {
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers: vec![("content-type".to_owned(), media.to_owned())],
        body,
    }
}

fn recorded() -> anyhow::Result<Vec<Request>> {
    let given = std::env::var_os("KUBE_GOLDEN").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/golden"));
    let folder = given.unwrap_or(beside).join("api");
    let mut all = Vec::new();
    for area in ["negotiation", "resources", "subresources", "admission", "crd", "validation"] {
        let Ok(text) = std::fs::read_to_string(folder.join(format!("{area}.jsonl"))) else { continue };
        for line in text.lines().step_by(5) {
            let case: Value = serde_json::from_str(line)?;
            for step in case["steps"].as_array().into_iter().flatten() {
                let (Some(method), Some(path)) = (step["method"].as_str(), step["path"].as_str()) else { continue };
                if step["watch"].is_object() {
                    continue;
                }
                let body = match (&step["body"], step["raw"].as_str()) {
                    (_, Some(raw)) => raw.as_bytes().to_vec(),
                    (Value::Null, None) => Vec::new(),
                    (body, None) => serde_json::to_vec(body)?,
                };
                let fill = |text: &str| {
                    text.replace("${ns}", "default").replace("${u}", "u").replace(['$', '{', '}', ' '], "")
                };
                let mut request = request(method, &fill(path), "application/json", body);
                request.query = fill(step["query"].as_str().unwrap_or_default());
                for (name, value) in step["headers"].as_object().into_iter().flatten() {
                    request.set_header(name, value.as_str().unwrap_or_default());
                }
                all.push(request);
            }
        }
    }
    Ok(all)
}

/// One to three kinds of damage. Also tells whether the request ends where it says.
fn damaged(request: &Request, random: &mut Random) -> (Vec<u8>, bool) {
    let mut request = request.clone();
    for _ in 0..=random.below(3) {
        match random.below(10) {
            0 | 1 => damage_bytes(&mut request.body, random),
            2 | 3 => damage_tree(&mut request.body, random),
            4 => {
                let all = [
                    "application/json",
                    "application/yaml",
                    "application/vnd.kubernetes.protobuf",
                    "application/cbor",
                    "application/merge-patch+json",
                    "application/json-patch+json",
                    "application/apply-patch+yaml",
                    "application/strategic-merge-patch+json",
                    "text/html",
                    "",
                    ";;;",
                    "application/json; charset=\u{1}x",
                ];
                request.set_header("content-type", random.of(&all));
            }
            5 => {
                let all = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X"];
                request.method = random.of(&all).to_owned();
            }
            6 => damage_path(&mut request.path, random),
            7 => damage_query(&mut request.query, random),
            8 => damage_headers(&mut request, random),
            _ => {
                let mut bytes = request.bytes();
                damage_bytes(&mut bytes, random);
                return (bytes, false);
            }
        }
    }
    let framed = !request.headers.iter().any(|(name, _)| name == "transfer-encoding");
    (request.bytes(), framed)
}

fn damage_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.splice(at..at, (0..8).map(|_| random.next() as u8)).for_each(drop),
        2 => {
            let piece = bytes[at..bytes.len().min(at + 64)].to_vec();
            bytes.splice(at..at, piece).for_each(drop);
        }
        3 => bytes.splice(at..at, b"{\"a\":[".iter().copied().cycle().take(6 * 2000)).for_each(drop),
        4 => bytes.splice(at..at, std::iter::repeat_n(0xff, 40)).for_each(drop),
        _ => {
            for _ in 0..4 {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
        }
    }
}

/// Puts something else in the place of a random node.
fn damage_tree(body: &mut Vec<u8>, random: &mut Random) {
    let Ok(mut tree) = serde_json::from_slice::<Value>(body) else { return damage_bytes(body, random) };
    let mut pointer = String::new();
    let mut at = &tree;
    for _ in 0..random.below(7) {
        match at {
            Value::Object(map) if !map.is_empty() => {
                let Some((name, inner)) = map.iter().nth(random.below(map.len())) else { break };
                pointer.push_str(&format!("/{}", name.replace('~', "~0").replace('/', "~1")));
                at = inner;
            }
            Value::Array(list) if !list.is_empty() => {
                let index = random.below(list.len());
                pointer.push_str(&format!("/{index}"));
                at = &list[index];
            }
            _ => break,
        }
    }
    let Some(node) = tree.pointer_mut(&pointer) else { return };
    *node = match random.below(14) {
        0 => Value::Null,
        1 => json!(-1),
        2 => json!(u64::MAX),
        3 => json!(1e300),
        4 => json!(""),
        5 => json!("\u{0}\u{ffff}\u{202e}"),
        6 => json!("x".repeat(70_000)),
        7 => json!([]),
        8 => json!({}),
        9 => json!([null, {}, [[]], "", 0]),
        10 => json!({"": null, "apiVersion": 1, "kind": [], "metadata": "x"}),
        11 => json!(true),
        12 => json!("../../\n%00"),
        _ => json!([{"name": "a"}, {"name": "a"}, {"name": null}, 7]),
    };
    *body = tree.to_string().into_bytes();
}

fn damage_path(path: &mut String, random: &mut Random) {
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let at = random.below(parts.len());
    let long = "a".repeat(5000);
    let other = random.of(&[
        "",
        "..",
        "%2e%2e",
        "%00",
        "%ff%fe",
        "%",
        "%zz",
        "watch",
        "status",
        "scale",
        "log",
        "exec",
        "proxy",
        "binding",
        "token",
        "*",
        "a:b",
        "A_B",
        ":",
        "~",
        "%2F",
        "namespaces",
        "v1beta9",
        "apis",
        long.as_str(),
        "ephemeralcontainers",
    ]);
    if random.below(2) == 0 {
        other.clone_into(&mut parts[at]);
    } else {
        parts.insert(at, other.to_owned());
    }
    *path = parts.join("/");
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
}

fn damage_query(query: &mut String, random: &mut Random) {
    let name = random.of(&[
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "fieldSelector",
        "labelSelector",
        "timeoutSeconds",
        "watch",
        "sendInitialEvents",
        "allowWatchBookmarks",
        "dryRun",
        "fieldValidation",
        "fieldManager",
        "force",
        "gracePeriodSeconds",
        "propagationPolicy",
        "orphanDependents",
        "pretty",
        "timeout",
        "follow",
        "tailLines",
        "command",
        "includeObject",
    ]);
    let long = "a=b,".repeat(3000);
    let value = random.of(&[
        "",
        "-1",
        "0",
        "1",
        "true",
        "x",
        "%00",
        "%ff",
        "99999999999999999999",
        "a=b",
        "a%20in%20(",
        "metadata.name=x",
        "spec.x!=",
        "!!!",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiIn0",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
        "Exact",
        "NotOlderThan",
        "All",
        "Strict",
        "Orphan",
        "1ns",
        "1h",
        long.as_str(),
        "%",
        "&&=&",
        "Metadata",
    ]);
    query.push_str(&format!("&{name}={value}"));
    if name == "watch" || query.contains("follow") {
        query.push_str("&timeoutSeconds=1");
    }
}

fn damage_headers(request: &mut Request, random: &mut Random) {
    let long = "g".repeat(3000);
    let (name, value) = match random.below(14) {
        0 => ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"),
        1 => ("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v9,*/*;q=x"),
        2 => ("accept", "application/vnd.kubernetes.protobuf"),
        3 => ("accept", ";;,,q=/"),
        4 => ("authorization", "Bearer a.b.c"),
        5 => ("authorization", "Basic \u{1}"),
        6 => ("impersonate-user", "system:admin"),
        7 => ("impersonate-uid", "x"),
        8 => ("impersonate-extra-%zz", "y"),
        9 => ("accept-encoding", "gzip;q=9,br"),
        10 => ("content-encoding", "gzip"),
        11 => ("x-remote-user", long.as_str()),
        12 => ("transfer-encoding", "chunked"),
        _ => {
            request.set_header("connection", "Upgrade");
            request.set_header("sec-websocket-version", "13");
            request.set_header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            request.set_header("sec-websocket-protocol", "v5.channel.k8s.io, x");
            ("upgrade", "websocket")
        }
    };
    request.set_header(name, value);
}

#[tokio::test]
async fn damaged_requests_harm_nobody() -> anyhow::Result<()> {
    let Some(mut plane) = ControlPlane::start().await? else { return Ok(()) };
    let sound = sound()?;
    let client = plane.raw("admin")?;
    let pid = plane.pid(Daemon::Apiserver).context("pid")?;
    let before = resident_mib(pid)?;
    let until = Instant::now() + TIME;
    let senders = (0..CONNECTIONS).map(|index| {
        let (client, sound) = (client.clone(), sound.clone());
        tokio::spawn(async move { send_damaged(&client, &sound, index, until).await })
    });
    let mut failures = Vec::new();
    let mut sent = 0;
    for sender in futures::future::join_all(senders).await {
        let (count, failed) = sender??;
        sent += count;
        failures.extend(failed);
    }
    eprintln!("{sent} requests were sent");
    ensure!(failures.is_empty(), "{} of {sent}:\n{}", failures.len(), failures.join("\n"));
    let log = std::fs::read_to_string(plane.path("kube-apiserver.log"))?;
    let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
    ensure!(panics.is_empty(), "{panics:?}");
    let added = resident_mib(pid)? - before;
    ensure!(added < 400.0, "{added} MiB more");
    plane.wait_ready().await
}

async fn send_damaged(
    client: &RawClient,
    sound: &[Request],
    index: usize,
    until: Instant,
) -> anyhow::Result<(usize, Vec<String>)> {
    let mut random = Random(SEED + index as u64);
    let mut connection = client.connection();
    let mut failures = Vec::new();
    for count in 0..REQUESTS / CONNECTIONS {
        if Instant::now() > until {
            return Ok((count, failures));
        }
        let (request, framed) = damaged(&sound[random.below(sound.len())], &mut random);
        let shown = || String::from_utf8_lossy(&request[..request.len().min(600)]).into_owned();
        let answered = if framed { connection.send(&request).await } else { connection.send_last(&request).await };
        match answered {
            Ok(answer) if answer.status < 500 => {}
            Ok(answer) if UPSTREAMS_5XX.iter().any(|known| answer.body.contains(known)) => {}
            Ok(answer) => failures.push(format!("{} {}\n  {}", answer.status, answer.body, shown())),
            Err(error) => failures.push(format!("{error:#}\n  {}", shown())),
        }
    }
    Ok((REQUESTS / CONNECTIONS, failures))
}

#[tokio::test]
async fn what_is_too_large_or_too_deep_is_refused_in_upstreams_words() -> anyhow::Result<()> {
    let Some(mut plane) = ControlPlane::start().await? else { return Ok(()) };
    let api = plane.api("admin").await?;
    let path = "/api/v1/namespaces/default/configmaps";
    api.post(path, &json!({"metadata": {"name": "one"}})).await?.expect(201)?;

    let large = json!({"metadata": {"name": "large"}, "data": {"k": "x".repeat(3 << 20)}});
    // A client that still sends may lose the answer with the connection; the server must go on.
    if let Ok(answer) = api.post(path, &large).await {
        let answer = answer.expect(413)?;
        ensure!(answer.body["message"] == "Request entity too large: limit is 3145728", "{}", answer.text);
    }

    let operations: Vec<Value> = (0..10_001).map(|_| json!({"op": "test", "path": "/kind", "value": "x"})).collect();
    let patch = serde_json::to_vec(&operations)?;
    let answer = api.send("PATCH", &format!("{path}/one"), "application/json-patch+json", patch).await?.expect(413)?;
    let text = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    ensure!(answer.text.contains(text), "{}", answer.text);

    for depth in [600, 9_000, 100_000] {
        let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let maps = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let yaml_maps: String = (0..depth.min(1500)).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        for (media, body) in [
            ("application/json", format!(r#"{{"metadata":{{"name":"deep"}},"unknown":{lists}}}"#)),
            ("application/json", format!(r#"{{"metadata":{{"name":"deep","annotations":{maps}}}}}"#)),
            ("application/json", lists.clone()),
            ("application/yaml", format!("metadata:\n  name: deep\nunknown: {lists}\n")),
            ("application/yaml", yaml_maps.clone()),
        ] {
            let answer = api.send("POST", path, media, body).await?;
            ensure!(matches!(answer.status, 201 | 400), "{media} {depth}: {} {}", answer.status, answer.text);
            if answer.status == 201 {
                api.delete(&format!("{path}/deep")).await?.expect(200)?;
            }
        }
        for media in ["merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml", "json-patch+json"] {
            let body = format!(r#"{{"metadata":{{"annotations":{{"a":"b"}}}},"unknown":{maps}}}"#);
            let query = format!("{path}/one?fieldManager=m");
            let answer = api.send("PATCH", &query, &format!("application/{media}"), body).await?;
            ensure!(answer.status < 500, "{media} {depth}: {} {}", answer.status, answer.text);
        }
        // field 2 (raw) of runtime.Unknown, nested in itself
        let mut message = Vec::new();
        for _ in 0..depth.min(20_000) {
            let mut outer = vec![0x12];
            let mut length = message.len();
            while length >= 0x80 {
                outer.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend_from_slice(&message[..message.len().min(4000)]);
            message = outer;
        }
        let body = [b"k8s\0".as_slice(), &message].concat();
        let answer = api.send("POST", path, "application/vnd.kubernetes.protobuf", body).await?;
        ensure!((400..500).contains(&answer.status), "protobuf {depth}: {} {}", answer.status, answer.text);
    }
    plane.wait_ready().await
}

/// curl drops an answer whose stream is reset, so the server must not reset those that it answers early.
#[tokio::test]
async fn an_answer_that_needs_no_body_reaches_a_client_that_still_sends_one() -> anyhow::Result<()> {
    let Some(plane) = ControlPlane::start().await? else { return Ok(()) };
    let body = plane.path("body");
    std::fs::write(&body, "a".repeat(100_000))?;
    let file = |name: &str| plane.path(name).display().to_string();
    for round in 0..60 {
        let output = std::process::Command::new("curl")
            .args(["-sS", "--http2", "-H", "Content-Type: application/json", "-X", "POST"])
            .args(["--cacert", &file("server-ca.crt"), "--cert", &file("client-admin.crt")])
            .args(["--key", &file("client-admin.key"), "--data", if round % 2 == 0 { "{}" } else { "@-" }])
            .arg(format!("{}/api/v1/pods", plane.url()))
            .stdin(std::fs::File::open(&body)?)
            .output()
            .context("curl")?;
        let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() && text.contains("MethodNotAllowed"), "round {round}: {text} {error}");
    }
    Ok(())
}
