//! The kubelet's server: what the API, metrics collectors and people ask of a node.
//!
//! Every request is authenticated and authorized against the node's subresources before a handler sees it.
//!
//! upstream: pkg/kubelet/server/server.go, auth.go

mod container_logs;
mod metrics;
mod node_logs;
mod pods;
mod spdy;
mod stats;
mod streaming;
mod target;
mod websocket;

use std::sync::Arc;

use component_base::serving::{Attributes, Delegated, HealthChecks, ResponseBody, Router, text};
use http::request::Parts;
use http::{Response, StatusCode};

use crate::pod::workers::Workers;
use crate::sync_loop::RelistHealth;

/// What handlers work with.
#[derive(Clone)]
pub struct Context {
    /// The pods.
    pub workers: Workers,
    /// Name of the node.
    pub node: String,
    /// Serve `/logs/`.
    pub system_logs: bool,
    /// Serve exec, attach, logs and the like.
    pub debugging: bool,
}

/// The health checks of the kubelet.
pub fn health(relist: Arc<RelistHealth>) -> Arc<HealthChecks> {
    let checks = HealthChecks::new();
    checks.add("syncloop", move || relist.check());
    checks
}

/// All paths, guarded by `auth`.
pub fn router(context: Context, health: Arc<HealthChecks>, auth: Option<Arc<Delegated>>) -> Router {
    let node = context.node.clone();
    let with = |context: &Context| context.clone();
    let mut router = Router::new(health).attributes(move |parts| attributes(parts, &node));
    if let Some(auth) = auth {
        router = router.delegate(auth);
    }
    let cx = with(&context);
    router = router.route("/pods", move |_, _| pods::pods(cx.clone()));
    let cx = with(&context);
    router = router.route("/stats/summary", move |_, _| stats::summary(cx.clone()));
    let cx = with(&context);
    router = router.route("/metrics/cadvisor", move |_, _| metrics::containers(cx.clone()));
    let cx = with(&context);
    router = router.route("/metrics/resource", move |_, _| metrics::resource(cx.clone()));
    router = router.route("/metrics/probes", |_, _| async { text(StatusCode::OK, "") });
    if !context.debugging {
        return router;
    }
    let cx = with(&context);
    router = router.route("/runningpods/", move |_, _| pods::running(cx.clone()));
    let cx = with(&context);
    router = router.route("/runningpods", move |_, _| pods::running(cx.clone()));
    let cx = with(&context);
    router = router.prefix("/containerLogs/", move |request, _| container_logs::serve(cx.clone(), request));
    let cx = with(&context);
    router = router.prefix("/exec/", move |request, _| streaming::exec(cx.clone(), request));
    let cx = with(&context);
    router = router.prefix("/attach/", move |request, _| streaming::attach(cx.clone(), request));
    let cx = with(&context);
    router = router.prefix("/portForward/", move |request, _| streaming::port_forward(cx.clone(), request));
    let cx = with(&context);
    router = router.prefix("/run/", move |request, _| streaming::run(cx.clone(), request));
    router = router.prefix("/checkpoint/", |_, _| async {
        text(StatusCode::NOT_FOUND, "checkpointing of containers is not supported by this kubelet\n")
    });
    if context.system_logs {
        router = router.prefix("/logs/", |request, _| node_logs::serve(request));
    }
    router
}

/// What a path stands for: the fine subresource where there is one, and always the node's proxy.
fn attributes(parts: &Parts, node: &str) -> Vec<Attributes> {
    let path = parts.uri.path();
    let below = |prefix: &str| path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    let of = |subresource: &str| Attributes::node(&parts.method, node, subresource);
    for (prefix, subresource) in
        [("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"), ("/checkpoint", "checkpoint")]
    {
        if below(prefix) {
            return vec![of(subresource)];
        }
    }
    let fine = [
        ("/pods", "pods"),
        ("/runningPods", "pods"),
        ("/runningpods", "pods"),
        ("/healthz", "healthz"),
        ("/configz", "configz"),
        ("/statusz", "statusz"),
        ("/flagz", "flagz"),
    ];
    let fine = fine.iter().find(|(prefix, _)| below(prefix)).map(|(_, subresource)| of(subresource));
    fine.into_iter().chain([of("proxy")]).collect()
}

/// A refusal with its text.
pub struct Refusal(pub StatusCode, pub String);

impl Refusal {
    fn not_found(message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, message.into())
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }

    fn internal(message: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, message.into())
    }

    fn response(self) -> Response<ResponseBody> {
        text(self.0, &format!("{}\n", self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_for_subresources_of_the_node() {
        let parts = |path: &str| http::Request::get(path).body(()).expect("valid").into_parts().0;
        let names = |path: &str| -> Vec<String> {
            attributes(&parts(path), "n")
                .into_iter()
                .map(|attributes| match attributes {
                    Attributes::Resource { verb, subresource, .. } => format!("{verb} {subresource}"),
                    Attributes::Path { path, .. } => path,
                })
                .collect()
        };
        assert_eq!(names("/pods"), ["get pods", "get proxy"]);
        assert_eq!(names("/metrics/cadvisor"), ["get metrics"]);
        assert_eq!(names("/exec/a/b/c"), ["get proxy"]);
        assert_eq!(names("/logs/x"), ["get log"]);
        assert_eq!(names("/podsx"), ["get proxy"]);
    }
}
