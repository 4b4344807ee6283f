//! `pods/exec`, `pods/attach` and `pods/portforward`: the client's upgrade is handed to the kubelet.
//!
//! SPDY and websocket clients alike talk to the kubelet itself; this server only finds it and copies bytes.
//! upstream: pkg/registry/core/pod/rest/subresources.go, pkg/registry/core/pod/strategy.go: streamLocation

use std::sync::Arc;

use apimachinery::status::ApiError;
use async_trait::async_trait;
use http::{Request, Response};

use super::log::truth;
use super::{kubelet, pod, upstream};
use crate::body::Body;
use crate::endpoints::{dispatch, responses};
use crate::registry::Subresource;
use crate::request::{Authorized, RequestInfo};
use crate::state::AppState;

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// A command in a container.
    Exec,
    /// The main process of a container.
    Attach,
    /// Ports of a pod.
    PortForward,
}

#[async_trait]
impl Subresource for Stream {
    async fn connect(&self, state: &Arc<AppState>, cx: Authorized, req: Request<Body>) -> Response<Body> {
        let headers = req.headers().clone();
        match self.serve(state, &cx.info, req).await {
            Ok(response) => response,
            Err(error) => responses::error(&error, &headers),
        }
    }
}

impl Stream {
    async fn serve(self, state: &AppState, info: &RequestInfo, req: Request<Body>) -> Result<Response<Body>, ApiError> {
        if !matches!(*req.method(), http::Method::GET | http::Method::POST) {
            return Err(dispatch::method_not_allowed());
        }
        let query = req.uri().query().unwrap_or_default().to_owned();
        let found = pod::get(state, &info.namespace, &info.name).await?;
        let container = match self {
            Self::PortForward => String::new(),
            _ => pod::container(&found, &first(&query, "container"))?,
        };
        let node = found.path(&["spec", "nodeName"]).str_or_empty();
        if node.is_empty() {
            return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", info.name)));
        }
        let target = kubelet::of_node(state, node).await?;
        let path = self.path(info, &container, &query);
        upstream::forward(&target, &path, req)
            .await
            .map_err(|error| ApiError::internal(format!("error dialing backend: {error}")))
    }

    fn path(self, info: &RequestInfo, container: &str, query: &str) -> String {
        let (namespace, name) = (&info.namespace, &info.name);
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        if self == Self::PortForward {
            let ports: Vec<String> = all(query, "ports");
            if !ports.is_empty() {
                out.append_pair("port", &ports.join(","));
            }
            let query = out.finish();
            return with_query(format!("/portForward/{namespace}/{name}"), &query);
        }
        for (ours, theirs) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
            if all(query, ours).first().is_some_and(|v| truth(v)) {
                out.append_pair(theirs, "1");
            }
        }
        if self == Self::Exec {
            for word in all(query, "command") {
                out.append_pair("command", &word);
            }
        }
        let verb = if self == Self::Exec { "exec" } else { "attach" };
        let query = out.finish();
        with_query(format!("/{verb}/{namespace}/{name}/{container}"), &query)
    }
}

fn with_query(path: String, query: &str) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn all(query: &str, key: &str) -> Vec<String> {
    url::form_urlencoded::parse(query.as_bytes()).filter(|(k, _)| k == key).map(|(_, v)| v.into_owned()).collect()
}

fn first(query: &str, key: &str) -> String {
    all(query, key).into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates_options_for_the_kubelet() {
        let info = RequestInfo { namespace: "n".into(), name: "p".into(), ..RequestInfo::default() };
        assert_eq!(
            Stream::Exec.path(&info, "c", "command=ls&command=-l&stdout=true&stdin=false&tty=1"),
            "/exec/n/p/c?output=1&tty=1&command=ls&command=-l"
        );
        assert_eq!(Stream::PortForward.path(&info, "", "ports=80&ports=81"), "/portForward/n/p?port=80%2C81");
        assert_eq!(Stream::Attach.path(&info, "c", ""), "/attach/n/p/c");
    }
}
