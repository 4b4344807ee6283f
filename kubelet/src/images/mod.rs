//! Images: whether one is there, pulling it, backing off when that fails.
//!
//! upstream: pkg/kubelet/images/image_manager.go

pub mod collect;
mod credentials;

use std::collections::HashMap;
use std::sync::Arc;

use component_base::clock;
use component_base::flags::format_duration;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::events::Events;
use crate::pod::backoff::Backoff;
use crate::pod::security::ImageUser;
use crate::pod::status::StartFailure;
use crate::pod::view::PodView;
use crate::runtime::types::{ImageSpec, PodSandboxConfig};
use crate::runtime::{Runtime, RuntimeError};
pub use credentials::Keyring;

/// Images of this node.
pub struct Images {
    runtime: Arc<dyn Runtime>,
    events: Events,
    backoff: Mutex<Backoff>,
    last_errors: Mutex<HashMap<String, String>>,
    pulls: Semaphore,
}

/// What is asked for.
pub struct Wanted<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Configuration of the pod's sandbox, which the runtime wants to know.
    pub sandbox: &'a PodSandboxConfig,
    /// Secrets for pulling.
    pub secrets: &'a [Arc<Secret>],
}

fn failure(reason: &str, message: String) -> StartFailure {
    StartFailure { reason: reason.to_owned(), message }
}

impl Images {
    /// `parallel` is the number of pulls at a time.
    pub fn new(runtime: Arc<dyn Runtime>, events: Events, parallel: usize) -> Self {
        let backoff = Backoff::new(SignedDuration::from_secs(10), SignedDuration::from_secs(300));
        Self {
            runtime,
            events,
            backoff: Mutex::new(backoff),
            last_errors: Mutex::default(),
            pulls: Semaphore::new(parallel.max(1)),
        }
    }

    /// Makes sure that the container's image is on the node; answers its reference.
    ///
    /// # Errors
    /// It is not there and was not pulled, with the waiting reason and message for the status.
    pub async fn ensure(&self, wanted: &Wanted<'_>) -> Result<String, StartFailure> {
        let (pod, container) = (wanted.pod, wanted.container);
        let requested = container.image.clone().unwrap_or_default();
        let policy = container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let spec = ImageSpec {
            image: with_default_tag(&requested),
            annotations: pod.metadata.annotations.clone().unwrap_or_default(),
            ..ImageSpec::default()
        };
        if policy != "Always" {
            let found = self.runtime.image_status(spec.clone()).await.map_err(|error| {
                let message = format!("Failed to inspect image {requested:?}: {error}");
                self.events.container_warning(pod, &container.name, "InspectFailed", &message);
                failure("ImageInspectError", message)
            })?;
            if let Some(image) = found {
                let message =
                    format!("Container image {requested:?} already present on machine and can be accessed by the pod");
                self.events.container(pod, &container.name, "Pulled", message);
                return Ok(image.id);
            }
            if policy == "Never" {
                let message = format!("Container image {requested:?} is not present with pull policy of Never");
                self.events.container_warning(pod, &container.name, "ErrImageNeverPull", &message);
                return Err(failure("ErrImageNeverPull", message));
            }
        }
        self.pull(wanted, &requested, spec).await
    }

    async fn pull(&self, wanted: &Wanted<'_>, requested: &str, spec: ImageSpec) -> Result<String, StartFailure> {
        let (pod, name) = (wanted.pod, wanted.container.name.as_str());
        let key = format!("{}_{requested}", pod.uid());
        if self.backoff.lock().waits_since_update(&key, clock::now()) {
            let mut message = format!("Back-off pulling image {requested:?}");
            self.events.container(pod, name, "BackOff", &message);
            if let Some(last) = self.last_errors.lock().get(&key) {
                message = format!("{message}: {last}");
            }
            return Err(failure("ImagePullBackOff", message));
        }
        self.last_errors.lock().remove(&key);
        self.events.container(pod, name, "Pulling", format!("Pulling image {requested:?}"));
        let asked_at = clock::now();
        let _permit = self.pulls.acquire().await;
        let started_at = clock::now();
        match self.pull_with_credentials(wanted, spec).await {
            Ok(reference) => {
                let end = clock::now();
                let size = self.size_of(&reference).await;
                let message = format!(
                    "Successfully pulled image {requested:?} in {} ({} including waiting). Image size: {size} bytes.",
                    whole_ms(end.duration_since(started_at)),
                    whole_ms(end.duration_since(asked_at)),
                );
                self.events.container(pod, name, "Pulled", message);
                self.backoff.lock().collect(end);
                Ok(reference)
            }
            Err(error) => {
                let message = format!("Failed to pull image {requested:?}: {error}");
                self.events.container_warning(pod, name, "Failed", message);
                let now = clock::now();
                self.backoff.lock().next(&key, now, now);
                let text = error.to_string();
                self.last_errors.lock().insert(key, format!("ErrImagePull: {text}"));
                Err(failure("ErrImagePull", text))
            }
        }
    }

    async fn pull_with_credentials(&self, wanted: &Wanted<'_>, spec: ImageSpec) -> Result<String, RuntimeError> {
        let keyring = Keyring::new(wanted.secrets);
        let credentials = keyring.lookup(&spec.image);
        if credentials.is_empty() {
            return self.runtime.pull_image(spec, None, wanted.sandbox.clone()).await;
        }
        let mut last = None;
        for auth in credentials {
            match self.runtime.pull_image(spec.clone(), Some(auth), wanted.sandbox.clone()).await {
                Ok(reference) => return Ok(reference),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("there was at least one credential, and it failed"))
    }

    async fn size_of(&self, reference: &str) -> u64 {
        let spec = ImageSpec { image: reference.to_owned(), ..ImageSpec::default() };
        self.runtime.image_status(spec).await.ok().flatten().map_or(0, |image| image.size)
    }

    /// The user that the image wants.
    ///
    /// # Errors
    /// The image vanished or the runtime did not answer.
    pub async fn user(&self, image: &str) -> Result<ImageUser, RuntimeError> {
        let spec = ImageSpec { image: with_default_tag(image), ..ImageSpec::default() };
        let image = self.runtime.image_status(spec).await?.unwrap_or_default();
        match image.uid {
            Some(uid) => Ok(ImageUser { uid: Some(uid.value), name: String::new() }),
            None if image.username.is_empty() => Ok(ImageUser { uid: Some(0), name: String::new() }),
            None => Ok(ImageUser { uid: None, name: image.username }),
        }
    }

    /// Forgets what went wrong for a pod that is gone.
    pub fn forget_pod(&self, uid: &str) {
        let prefix = format!("{uid}_");
        self.backoff.lock().forget_prefix(&prefix);
        self.last_errors.lock().retain(|key, _| !key.starts_with(&prefix));
    }
}

fn whole_ms(duration: SignedDuration) -> String {
    format_duration(i64::try_from(duration.as_millis()).unwrap_or(0) * 1_000_000)
}

/// An image without tag and digest means its `latest`.
pub fn with_default_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for (image, want) in [
            ("busybox", "busybox:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("a/b:1", "a/b:1"),
            ("a@sha256:0", "a@sha256:0"),
        ] {
            assert_eq!(with_default_tag(image), want);
        }
    }
}
