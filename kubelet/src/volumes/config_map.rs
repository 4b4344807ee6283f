//! `configMap`: keys of a ConfigMap as files.
//!
//! upstream: pkg/volume/configmap/configmap.go

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Volume};

use super::atomic_writer::{self, Payload, Projection};
use super::{Mounted, Request, VolumeError, VolumePlugin, empty_dir, ownership};
use crate::pod::view::PodView;

/// Permission bits of files that the definition gives none.
pub const DEFAULT_MODE: i32 = 0o644;

/// The plugin.
pub struct ConfigMapVolume;

const NAME: &str = "kubernetes.io/configmap";

#[async_trait]
impl VolumePlugin for ConfigMapVolume {
    fn handles(&self, volume: &Volume) -> bool {
        volume.config_map.is_some()
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<Mounted, VolumeError> {
        let source = request.volume.config_map.clone().unwrap_or_default();
        let selection = Selection {
            items: source.items.unwrap_or_default(),
            optional: source.optional == Some(true),
            default_mode: source.default_mode.unwrap_or(DEFAULT_MODE),
        };
        let payload = read(request, &source.name, &selection).await?;
        let path = request.path(NAME);
        empty_dir::make_folder(&path)?;
        atomic_writer::write(&path, &payload, |folder| ownership::apply(folder, request.fs_group(), true))?;
        Ok(Mounted { path, read_only: true })
    }
}

/// Which keys become which files.
pub struct Selection {
    /// Chosen keys; all when empty.
    pub items: Vec<KeyToPath>,
    /// Absent objects and keys are no error.
    pub optional: bool,
    /// Permission bits of files that have none of their own.
    pub default_mode: i32,
}

impl Selection {
    /// Picks from `data`; `missing` makes the error for a key that is absent.
    pub fn pick(
        &self,
        data: &std::collections::BTreeMap<String, Vec<u8>>,
        missing: impl Fn(&str) -> VolumeError,
    ) -> Result<Payload, VolumeError> {
        let project = |data: &[u8], mode: Option<i32>| Projection {
            data: data.to_vec(),
            mode: u32::try_from(mode.unwrap_or(self.default_mode)).unwrap_or(0o644),
            owner: None,
        };
        if self.items.is_empty() {
            return Ok(data.iter().map(|(key, value)| (key.clone(), project(value, None))).collect());
        }
        let mut payload = Payload::new();
        for item in &self.items {
            match data.get(&item.key) {
                Some(value) => {
                    payload.insert(item.path.clone(), project(value, item.mode));
                }
                None if self.optional => {}
                None => return Err(missing(&item.key)),
            }
        }
        Ok(payload)
    }
}

/// The files that a ConfigMap gives.
pub async fn read(request: &Request<'_>, name: &str, selection: &Selection) -> Result<Payload, VolumeError> {
    let map = match request.objects.config_map(request.pod.namespace(), name).await {
        Ok(map) => map,
        Err(error) if error.is_not_found() && selection.optional => return Ok(Payload::new()),
        Err(error) => return Err(error.into()),
    };
    selection.pick(&content(&map), |key| VolumeError::NoKey { kind: "configmap", what: "config", key: key.to_owned() })
}

fn content(map: &ConfigMap) -> std::collections::BTreeMap<String, Vec<u8>> {
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    text.chain(binary).collect()
}
