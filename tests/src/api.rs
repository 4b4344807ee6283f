//! Plain requests to an API server: the answer is what was sent, whatever its status, and a watch is read event by
//! event.

use std::time::Duration;

use anyhow::Context;
use futures::io::Lines;
use futures::{AsyncBufRead, AsyncBufReadExt, StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// A watch's next event comes within this, or the test fails.
const EVENT_LIMIT: Duration = Duration::from_secs(30);

/// Sends requests.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, null where it is no JSON.
    pub body: Value,
    /// The body as it is.
    pub text: String,
}

impl Api {
    /// Requests through a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends a request with a body of some media type; an empty text is no body.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        media: &str,
        body: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Answer> {
        let body: Vec<u8> = body.into();
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", media).body(Body::from(body))?;
        let response = self.client.send(request).await.with_context(|| format!("{method} {path}"))?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.with_context(|| format!("the answer to {method} {path}"))?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, text })
    }

    /// GET.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, "application/json", "").await
    }

    /// POST of an object.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post(&self, path: &str, object: &Value) -> anyhow::Result<Answer> {
        self.send("POST", path, "application/json", serde_json::to_vec(object)?).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.send("DELETE", path, "application/json", "").await
    }

    /// Opens a watch: the path with its query, which says `watch=true`.
    ///
    /// # Errors
    /// When the watch is refused.
    pub async fn watch(&self, path: &str) -> anyhow::Result<Events> {
        let request = http::Request::get(path).body(Vec::new())?;
        let stream = self.client.request_stream(request).await.with_context(|| format!("watch {path}"))?;
        let lines: Box<dyn AsyncBufRead + Send + Unpin> = Box::new(Box::pin(stream));
        Ok(Events { lines: lines.lines() })
    }
}

impl Answer {
    /// The answer, if its status is the expected one.
    ///
    /// # Errors
    /// With the body, if it is another.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        anyhow::ensure!(self.status == status, "{status} was expected: {} {}", self.status, self.text);
        Ok(self)
    }

    /// A string at a JSON pointer, empty if there is none.
    pub fn text_at(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// The events of a watch.
pub struct Events {
    lines: Lines<Box<dyn AsyncBufRead + Send + Unpin>>,
}

impl Events {
    /// The next event, or `None` at the end of the watch.
    ///
    /// # Errors
    /// When none comes within half a minute, or the connection breaks.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        let line = tokio::time::timeout(EVENT_LIMIT, self.lines.next()).await.context("no event came")?;
        line.transpose()?.map(|line| serde_json::from_str(&line).with_context(|| line.clone())).transpose()
    }

    /// The next event that is no bookmark, as `TYPE NAME` (of an error: `ERROR CODE`), or `None` at the end.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_name(&mut self) -> anyhow::Result<Option<String>> {
        while let Some(event) = self.next().await? {
            match event["type"].as_str().unwrap_or_default() {
                "BOOKMARK" => {}
                "ERROR" => return Ok(Some(format!("ERROR {}", event["object"]["code"]))),
                kind => {
                    let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
                    return Ok(Some(format!("{kind} {name}")));
                }
            }
        }
        Ok(None)
    }

    /// Everything until the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn rest(self) -> anyhow::Result<Vec<String>> {
        Ok(self.lines.try_collect().await?)
    }
}
