//! The HTTPS server on 10259: health, metrics, configuration, and explained scheduling under /debug/scheduling.
//! upstream: cmd/kube-scheduler/app/server.go

use std::sync::Arc;

use component_base::daemon::Configuration as _;
use component_base::serving::{self, HealthChecks, SecureServing, ServingError};
use component_base::{Flags, Shutdown};
use http::StatusCode;

use crate::config::KubeSchedulerConfiguration;
use crate::cycle::Scheduler;

/// Starts serving; does nothing when `--secure-port` is 0.
///
/// # Errors
/// See [`ServingError`].
pub async fn start(
    flags: &Flags,
    config: &KubeSchedulerConfiguration,
    health: Arc<HealthChecks>,
    scheduler: Arc<Scheduler>,
    stop: &Shutdown,
) -> Result<(), ServingError> {
    let Some(serving) = SecureServing::from_flags(flags, stop).await? else { return Ok(()) };
    let router = serving.router(health).prefix("/debug/scheduling", move |request, _| {
        let found = scheduler.explanations.find(pod_in_query(request.uri().query().unwrap_or_default()).as_deref());
        let attempts: Vec<_> = found.iter().map(|attempt| &**attempt).collect();
        let body = serde_json::json!({ "attempts": attempts });
        async move { serving::json(StatusCode::OK, &body) }
    });
    router.show_config("kubescheduler.config.k8s.io", config.to_value());
    serving.start(router, stop.clone()).await
}

fn pod_in_query(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("pod="))?;
    Some(value.replace("%2F", "/").replace("%2f", "/"))
}
