//! Static pods: every manifest in a folder, or one file.
//!
//! The folder is read again at an interval and when its listing changes within a second; a manifest that cannot be read
//! is reported and skipped, so that one bad file does not stop the others.
//!
//! upstream: pkg/kubelet/config/file.go, common.go

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use apimachinery::{dump, hash};
use k8s_openapi::api::core::v1::{Pod, PodStatus, Toleration};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::{PodSet, SourceName};
use crate::pod::defaults;
use crate::pod::view::{CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE, PodView};

/// How often the folder's listing is compared. Upstream gets told by the kernel; the effect is the same.
const GLANCE: Duration = Duration::from_secs(1);
/// Largest manifest, in bytes.
const MANIFEST_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// A manifest that is no pod.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("read the file")]
    Read(#[source] std::io::Error),
    /// It is too large.
    #[error("the file has more than {MANIFEST_BYTES_MAX} bytes")]
    TooLarge,
    /// It is no YAML or JSON.
    #[error("parse: {0}")]
    Parse(String),
    /// It is not a v1 Pod.
    #[error("not a v1 Pod: {0}")]
    NotAPod(String),
    /// A pod of the node's own must not need the API to start.
    #[error("a static pod may not reference {0}")]
    Forbidden(&'static str),
}

/// Reads static pods.
pub struct FileSource {
    path: PathBuf,
    node: String,
    interval: Duration,
}

impl FileSource {
    /// Reads `path`, which is a folder or a file, for the node `node`.
    pub fn new(path: PathBuf, node: &str, interval: Duration) -> Self {
        Self { path, node: node.to_owned(), interval }
    }

    /// Tells the whole set whenever it may have changed.
    pub async fn run(self, sets: Sender<PodSet>) {
        let mut listing = None;
        let mut due = Instant::now();
        loop {
            let now = self.listing();
            if listing.as_ref() != Some(&now) || Instant::now() >= due {
                listing = Some(now);
                due = Instant::now() + self.interval;
                if sets.send(PodSet { source: SourceName::File, pods: self.read() }).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        if self.path.is_file() {
            return vec![self.path.clone()];
        }
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.path());
        let visible = |path: &PathBuf| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
        let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file() && visible(path)).collect();
        files.sort();
        files
    }

    fn listing(&self) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
        let describe = |path: PathBuf| {
            let meta = fs::metadata(&path).ok();
            (path, meta.as_ref().map_or(0, fs::Metadata::len), meta.and_then(|meta| meta.modified().ok()))
        };
        self.files().into_iter().map(describe).collect()
    }

    fn read(&self) -> Vec<Arc<Pod>> {
        let mut pods = Vec::new();
        for file in self.files() {
            match read_manifest(&file, &self.node) {
                Ok(pod) => pods.push(Arc::new(pod)),
                Err(error) => {
                    tracing::warn!(path = %file.display(), error = %component_base::Chain(&error), "manifest skipped");
                }
            }
        }
        pods
    }
}

fn read_manifest(file: &Path, node: &str) -> Result<Pod, ManifestError> {
    if fs::metadata(file).map_err(ManifestError::Read)?.len() > MANIFEST_BYTES_MAX {
        return Err(ManifestError::TooLarge);
    }
    let text = fs::read_to_string(file).map_err(ManifestError::Read)?;
    static_pod(&text, &file.display().to_string(), node)
}

/// The pod of a manifest, with what makes it a static pod of `node`.
fn static_pod(text: &str, file: &str, node: &str) -> Result<Pod, ManifestError> {
    let value = component_base::config::parse_yaml(text).map_err(|error| ManifestError::Parse(error.to_string()))?;
    // By way of text: from a tree would compile a second decoder of everything a pod may hold.
    let mut pod: Pod =
        serde_json::from_str(&value.to_string()).map_err(|error| ManifestError::NotAPod(error.to_string()))?;
    defaults::apply(&mut pod);
    let uid = match pod.uid() {
        "" => hashed(&pod, file, node),
        own => own.to_owned(),
    };
    let name = format!("{}-{}", pod.name(), node.to_lowercase());
    let meta = &mut pod.metadata;
    meta.name = Some(name);
    meta.namespace = meta.namespace.take().filter(|namespace| !namespace.is_empty()).or(Some("default".to_owned()));
    meta.deletion_grace_period_seconds = None;
    meta.deletion_timestamp = None;
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(CONFIG_HASH.to_owned(), uid.clone());
    annotations.insert(CONFIG_SOURCE.to_owned(), "file".to_owned());
    annotations.insert(CONFIG_SEEN.to_owned(), seen(file));
    meta.uid = Some(uid);
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(node.to_owned());
    let everything = Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    };
    let tolerations = spec.tolerations.get_or_insert_default();
    if !tolerations.contains(&everything) {
        tolerations.push(everything);
    }
    pod.status = Some(PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() });
    refuse_api_objects(&pod)?;
    Ok(pod)
}

/// The UID of a pod with all defaults, which is upstream's: an exchange of the kubelet must not restart what runs.
fn hashed(pod: &Pod, file: &str, node: &str) -> String {
    let value = apimachinery::value::to_value(pod).unwrap_or_default();
    let mut text = dump::internal_pod_for_hash(value);
    text.push_str(&format!("host:{node}file:{file}"));
    hash::fnv128a(text.as_bytes())
}

/// The time of the file stands for when it was first seen, so that reading it again gives the same pod.
fn seen(file: &str) -> String {
    let modified = fs::metadata(file).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    jiff::Timestamp::try_from(modified).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

fn refuse_api_objects(pod: &Pod) -> Result<(), ManifestError> {
    let spec = pod.spec();
    if spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Err(ManifestError::Forbidden("serviceaccounts"));
    }
    for volume in spec.volumes.iter().flatten() {
        if volume.secret.is_some() {
            return Err(ManifestError::Forbidden("secrets"));
        }
        if volume.config_map.is_some() {
            return Err(ManifestError::Forbidden("configmaps"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: c, image: i}\n";

    #[test]
    fn a_manifest_becomes_a_static_pod() {
        let pod = static_pod(MANIFEST, "/m/web.yaml", "Node-1").expect("a pod");
        assert_eq!((pod.name(), pod.namespace()), ("web-node-1", "default"));
        assert!(pod.is_static());
        assert_eq!(pod.uid(), pod.annotation(CONFIG_HASH));
        assert_eq!(pod.uid().len(), 32);
        let again = static_pod(MANIFEST, "/m/web.yaml", "Node-1").expect("a pod");
        assert_eq!(again, pod);
        let changed = static_pod(&MANIFEST.replace("image: i", "image: j"), "/m/web.yaml", "Node-1").expect("a pod");
        assert_ne!(changed.uid(), pod.uid());
    }

    /// Manifests, and the UIDs that upstream's kubelet gives them as /m/web.yaml on the node Node-1.
    const RECORDED: &str = include_str!("../../tests/data/static_pods.tsv");

    #[test]
    fn uids_are_those_of_upstream() {
        for line in RECORDED.lines() {
            let (manifest, uid) = line.split_once('\t').expect("two columns");
            let value = component_base::config::parse_yaml(manifest).expect("YAML");
            let mut pod: Pod = serde_json::from_value(value).expect("a pod");
            defaults::apply(&mut pod);
            assert_eq!(hashed(&pod, "/m/web.yaml", "Node-1"), uid, "{manifest}");
        }
    }

    #[test]
    fn refuses_what_needs_the_api_and_what_is_no_pod() {
        let secret = format!("{MANIFEST}  volumes: [{{name: v, secret: {{secretName: s}}}}]\n");
        assert!(matches!(static_pod(&secret, "f", "n"), Err(ManifestError::Forbidden("secrets"))));
        assert!(static_pod("kind: [", "f", "n").is_err());
        assert!(static_pod("kind: Service\napiVersion: v1", "f", "n").is_err());
    }
}
