//! `downwardAPI`: fields of the pod as files.
//!
//! upstream: pkg/volume/downwardapi/downwardapi.go

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Volume};

use super::atomic_writer::{self, Payload, Projection};
use super::config_map::DEFAULT_MODE;
use super::{Mounted, Request, VolumeError, VolumePlugin, empty_dir, ownership};
use crate::pod::fields::{field_value, resource_value};

/// The plugin.
pub struct DownwardApiVolume;

const NAME: &str = "kubernetes.io/downward-api";

#[async_trait]
impl VolumePlugin for DownwardApiVolume {
    fn handles(&self, volume: &Volume) -> bool {
        volume.downward_api.is_some()
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<Mounted, VolumeError> {
        let source = request.volume.downward_api.clone().unwrap_or_default();
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let payload = read(request, source.items.as_deref().unwrap_or_default(), mode)?;
        let path = request.path(NAME);
        empty_dir::make_memory_folder(request, &path, None)?;
        atomic_writer::write(&path, &payload, |folder| ownership::apply(folder, request.fs_group(), true))?;
        Ok(Mounted { path, read_only: true })
    }
}

/// The files that the pod's fields give.
pub fn read(request: &Request<'_>, items: &[DownwardAPIVolumeFile], default_mode: i32) -> Result<Payload, VolumeError> {
    let mut payload = Payload::new();
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            field_value(request.pod, &field.field_path, request.around)?
        } else if let Some(selector) = &item.resource_field_ref {
            resource_value(request.pod, None, selector, request.around)?
        } else {
            continue;
        };
        let mode = u32::try_from(item.mode.unwrap_or(default_mode)).unwrap_or(0o644);
        payload.insert(item.path.clone(), Projection { data: text.into_bytes(), mode, owner: None });
    }
    Ok(payload)
}
