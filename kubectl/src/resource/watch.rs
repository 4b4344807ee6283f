//! Waiting for a state of one object: list, watch, list again when the watch ends.
//! Corresponds to client-go/tools/watch (`UntilWithSync`).

use std::time::Duration;

use apimachinery::value::Value;
use http::Method;
use tokio::io::AsyncBufReadExt as _;

use crate::client::{Mapping, Request, Rest};
use crate::failure::{ApiStatus, Failure};

/// What a watcher says about a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on waiting.
    Wait,
    /// This is it.
    Done,
}

/// An object to watch.
pub struct Watched<'a> {
    /// Connection.
    pub rest: &'a Rest,
    /// Resource.
    pub mapping: &'a Mapping,
    /// Namespace, empty for cluster-wide.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
}

impl Watched<'_> {
    fn request(&self) -> Request {
        Request::to(Method::GET, self.mapping, self.namespace, "")
            .query("fieldSelector", format!("metadata.name={}", self.name))
    }

    /// Shows each state to `judge` (`None`: the object is absent) until it is done. Returns the last state.
    pub async fn until(
        &self,
        mut judge: impl FnMut(Option<&Value>) -> anyhow::Result<Verdict>,
    ) -> anyhow::Result<Option<Value>> {
        loop {
            let list = self.rest.value(self.request()).await?;
            let object = list.get("items").items().first().cloned().map(|mut item| {
                item.set("kind", self.mapping.kind.as_str());
                item.set("apiVersion", self.mapping.api_version());
                item
            });
            if judge(object.as_ref())? == Verdict::Done {
                return Ok(object);
            }
            let version = list.path(&["metadata", "resourceVersion"]).str_or_empty().to_owned();
            if let Some(found) = self.follow(&version, &mut judge).await? {
                return Ok(found);
            }
            // The server closed the watch: do not hurry.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Follows one watch; `None` when it ended without a verdict.
    async fn follow(
        &self,
        version: &str,
        judge: &mut impl FnMut(Option<&Value>) -> anyhow::Result<Verdict>,
    ) -> anyhow::Result<Option<Option<Value>>> {
        let request = self.request().query("watch", "true").query("resourceVersion", version);
        let mut lines = self.rest.stream(request).await?.lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.is_empty() {
                continue;
            }
            let event = crate::codec::decode_json(line.as_bytes())?;
            let object = event.get("object");
            match event.get("type").str_or_empty() {
                "BOOKMARK" => {}
                "ERROR" => {
                    let status = ApiStatus::from_value(object).unwrap_or_default();
                    if status.code == 410 {
                        return Ok(None);
                    }
                    return Err(Failure::Status(Box::new(status)).into());
                }
                "DELETED" => {
                    if judge(None)? == Verdict::Done {
                        return Ok(Some(Some(object.clone())));
                    }
                }
                _ => {
                    if judge(Some(object))? == Verdict::Done {
                        return Ok(Some(Some(object.clone())));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The text of a wait that took too long.
pub const TIMED_OUT: &str = "timed out waiting for the condition";
