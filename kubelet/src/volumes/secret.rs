//! `secret`: keys of a Secret as files, in memory only.
//!
//! upstream: pkg/volume/secret/secret.go

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Volume;

use super::atomic_writer::{self, Payload};
use super::config_map::{DEFAULT_MODE, Selection};
use super::{Mounted, Request, VolumeError, VolumePlugin, empty_dir, ownership};
use crate::pod::view::PodView;

/// The plugin.
pub struct SecretVolume;

const NAME: &str = "kubernetes.io/secret";

#[async_trait]
impl VolumePlugin for SecretVolume {
    fn handles(&self, volume: &Volume) -> bool {
        volume.secret.is_some()
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<Mounted, VolumeError> {
        let source = request.volume.secret.clone().unwrap_or_default();
        let selection = Selection {
            items: source.items.unwrap_or_default(),
            optional: source.optional == Some(true),
            default_mode: source.default_mode.unwrap_or(DEFAULT_MODE),
        };
        let payload = read(request, &source.secret_name.unwrap_or_default(), &selection).await?;
        let path = request.path(NAME);
        empty_dir::make_memory_folder(request, &path, None)?;
        atomic_writer::write(&path, &payload, |folder| ownership::apply(folder, request.fs_group(), true))?;
        Ok(Mounted { path, read_only: true })
    }
}

/// The files that a Secret gives.
pub async fn read(request: &Request<'_>, name: &str, selection: &Selection) -> Result<Payload, VolumeError> {
    let secret = match request.objects.secret(request.pod.namespace(), name).await {
        Ok(secret) => secret,
        Err(error) if error.is_not_found() && selection.optional => return Ok(Payload::new()),
        Err(error) => return Err(error.into()),
    };
    let data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    selection.pick(&data, |key| VolumeError::NoKey { kind: "", what: "secret", key: key.to_owned() })
}
