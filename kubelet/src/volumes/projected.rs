//! `projected`: several sources in one folder: tokens, ConfigMaps, Secrets and fields of the pod.
//!
//! Trust bundles and pod certificates are not handled; a volume that asks for them is an error.
//!
//! upstream: pkg/volume/projected/projected.go

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection, Volume, VolumeProjection};

use super::atomic_writer::{self, Payload, Projection};
use super::config_map::{self, DEFAULT_MODE, Selection};
use super::{Mounted, Request, VolumeError, VolumePlugin, downward_api, empty_dir, ownership, secret};
use crate::pod::view::PodView;

/// The plugin.
pub struct ProjectedVolume;

const NAME: &str = "kubernetes.io/projected";

#[async_trait]
impl VolumePlugin for ProjectedVolume {
    fn handles(&self, volume: &Volume) -> bool {
        volume.projected.is_some()
    }

    async fn set_up(&self, request: &Request<'_>) -> Result<Mounted, VolumeError> {
        let source = request.volume.projected.clone().unwrap_or_default();
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let mut payload = Payload::new();
        for part in source.sources.iter().flatten() {
            payload.extend(read(request, part, mode).await?);
        }
        let path = request.path(NAME);
        empty_dir::make_memory_folder(request, &path, None)?;
        atomic_writer::write(&path, &payload, |folder| ownership::apply(folder, request.fs_group(), true))?;
        Ok(Mounted { path, read_only: true })
    }
}

async fn read(request: &Request<'_>, part: &VolumeProjection, mode: i32) -> Result<Payload, VolumeError> {
    let selection = |items: &Option<Vec<_>>, optional: Option<bool>| Selection {
        items: items.clone().unwrap_or_default(),
        optional: optional == Some(true),
        default_mode: mode,
    };
    if let Some(source) = &part.config_map {
        return config_map::read(request, &source.name, &selection(&source.items, source.optional)).await;
    }
    if let Some(source) = &part.secret {
        return secret::read(request, &source.name, &selection(&source.items, source.optional)).await;
    }
    if let Some(source) = &part.downward_api {
        return downward_api::read(request, source.items.as_deref().unwrap_or_default(), mode);
    }
    if let Some(source) = &part.service_account_token {
        return token(request, source, mode).await;
    }
    Err(VolumeError::Unsupported(match part {
        VolumeProjection { cluster_trust_bundle: Some(_), .. } => "ClusterTrustBundle projection",
        VolumeProjection { pod_certificate: Some(_), .. } => "PodCertificate projection",
        _ => "an empty projection",
    }))
}

/// A token is readable for its user alone when there is just one, or for the pod's group.
async fn token(
    request: &Request<'_>,
    source: &ServiceAccountTokenProjection,
    mode: i32,
) -> Result<Payload, VolumeError> {
    let token = request.tokens.get(request.pod, source).await?;
    let owner = common_user(request.pod).and_then(|user| u32::try_from(user).ok());
    let private = owner.is_some() || request.fs_group().is_some();
    let mode = if private { 0o600 } else { u32::try_from(mode).unwrap_or(0o644) };
    Ok([(source.path.clone(), Projection { data: token.into_bytes(), mode, owner })].into())
}

/// The user that all containers run as, if the definition names one for all of them.
fn common_user(pod: &Pod) -> Option<i64> {
    let of_pod = pod.spec().security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = pod
        .all_containers()
        .into_iter()
        .map(|(_, container)| container.security_context.and_then(|context| context.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}
