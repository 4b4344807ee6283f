//! What the daemon's HTTPS server shows.

use std::sync::Arc;

use component_base::serving::{HealthChecks, SecureServing, ServingError};
use component_base::{Flags, Shutdown};

/// Starts to serve; Ok without doing anything if `--secure-port=0`.
pub(crate) async fn start(flags: &Flags, health: Arc<HealthChecks>, stop: &Shutdown) -> Result<(), ServingError> {
    let Some(serving) = SecureServing::from_flags(flags, stop).await? else { return Ok(()) };
    let router = serving.router(health);
    router.show_config("kubecontrollermanager.config.k8s.io", configz(flags));
    serving.start(router, stop.child()).await
}

/// The values of the flags under their own names: what runs, in readable form.
fn configz(flags: &Flags) -> serde_json::Value {
    let shown = [
        "controllers",
        "leader-elect",
        "kube-api-qps",
        "kube-api-burst",
        "cluster-name",
        "use-service-account-credentials",
    ];
    shown
        .iter()
        .map(|name| ((*name).to_owned(), serde_json::Value::from(flags.text(name))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
