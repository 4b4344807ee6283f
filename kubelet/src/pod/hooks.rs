//! What a container runs after its start and before its end.
//!
//! upstream: pkg/kubelet/lifecycle/handlers.go

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use super::view::PodView;
use crate::http;
use crate::runtime::Runtime;

/// A hook over HTTP must answer within this time.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// A hook that failed; the text goes into the container's status.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HookError(pub String);

/// Runs `handler` to its end.
///
/// # Errors
/// The command failed, or the request got no answer.
pub async fn run(
    runtime: &dyn Runtime,
    pod: &Pod,
    container: &Container,
    container_id: &str,
    pod_ip: &str,
    handler: &LifecycleHandler,
) -> Result<(), HookError> {
    let of = || format!("for Container {:?} in Pod {:?} failed", container.name, pod.display());
    if let Some(action) = &handler.exec {
        let command = action.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let failed = |error: String, output: &str| {
            HookError(format!("Exec lifecycle hook ([{shown}]) {} - error: {error}, message: {output:?}", of()))
        };
        return match runtime.exec_sync(container_id, command, Duration::ZERO).await {
            Ok(output) if output.exit_code == 0 => Ok(()),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
                Err(failed(format!("command '{shown}' exited with {}: {}", output.exit_code, text), &text))
            }
            Err(error) => Err(failed(error.to_string(), "")),
        };
    }
    if let Some(action) = &handler.http_get {
        let path = action.path.clone().unwrap_or_default();
        let failed =
            |error: http::FetchError| HookError(format!("HTTP lifecycle hook ({path}) {} - error: {error}", of()));
        let target = http::Target::of(action, container, pod_ip, "lifecycle").map_err(&failed)?;
        return http::get(&target, HTTP_TIMEOUT).await.map(drop).map_err(failed);
    }
    if let Some(action) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err(HookError("Cannot run handler: invalid handler".to_owned()))
}
