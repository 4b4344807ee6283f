//! Volumes of pods.

use apimachinery::value::Value;

use super::document::{Document, LONGEST_ANNOTATION, shorten};
use crate::printers::sprint;

/// The volumes section.
pub(super) fn volumes(volumes: &Value, doc: &mut Document, space: &str) {
    if volumes.items().is_empty() {
        doc.write(0, &format!("{space}Volumes:\t<none>\n"));
        return;
    }
    doc.write(0, &format!("{space}Volumes:\n"));
    for volume in volumes.items() {
        let indent = if space.is_empty() { "" } else { " " };
        doc.write(1, &format!("{indent}{}:\n", volume.get("name").str_or_empty()));
        let source = volume.entries().find(|(key, _)| *key != "name");
        match source {
            Some((kind, source)) => describe(kind, source, doc),
            None => doc.write(1, "<unknown>\n"),
        }
    }
}

/// How upstream shows a field of a source.
#[derive(Clone, Copy)]
enum Shown {
    /// Text, nothing if absent.
    Text,
    /// A boolean, `false` if absent.
    Flag,
    /// A number, `0` if absent.
    Number,
    /// A list in brackets.
    List,
    /// A list with commas.
    Joined,
    /// A map in Go's notation.
    Map,
    /// A reference in the notation of its Go type: the local one of a pod, with a namespace that of a volume.
    Reference,
    /// Any value, or this text if absent.
    Or(&'static str),
}
use Shown::{Flag, Joined, List, Map, Number, Or, Reference, Text};

/// Field of a volume, text of its type, and its fields by title.
type Source = (&'static str, &'static str, &'static [(&'static str, &'static str, Shown)]);

/// Sources that are a list of fields: type text, then title and field name.
const PLAIN: &[Source] = &[
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[("ClaimName:", "claimName", Text), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "nfs",
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        &[("Server:", "server", Text), ("Path:", "path", Text), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "configMap",
        "ConfigMap (a volume populated by a ConfigMap)",
        &[("Name:", "name", Text), ("Optional:", "optional", Flag)],
    ),
    (
        "secret",
        "Secret (a volume populated by a Secret)",
        &[("SecretName:", "secretName", Text), ("Optional:", "optional", Flag)],
    ),
    (
        "image",
        "Image (a container image or OCI artifact)",
        &[("Reference:", "reference", Text), ("PullPolicy:", "pullPolicy", Text)],
    ),
    (
        "hostPath",
        "HostPath (bare host directory volume)",
        &[("Path:", "path", Text), ("HostPathType:", "type", Or("<none>"))],
    ),
    ("local", "LocalVolume (a persistent volume backed by local storage on a node)", &[("Path:", "path", Text)]),
    (
        "gcePersistentDisk",
        "GCEPersistentDisk (a Persistent Disk resource in Google Compute Engine)",
        &[
            ("PDName:", "pdName", Text),
            ("FSType:", "fsType", Text),
            ("Partition:", "partition", Number),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "awsElasticBlockStore",
        "AWSElasticBlockStore (a Persistent Disk resource in AWS)",
        &[
            ("VolumeID:", "volumeID", Text),
            ("FSType:", "fsType", Text),
            ("Partition:", "partition", Number),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "gitRepo",
        "GitRepo (a volume that is pulled from git when the pod is created)",
        &[("Repository:", "repository", Text), ("Revision:", "revision", Text)],
    ),
    (
        "quobyte",
        "Quobyte (a Quobyte mount on the host that shares a pod's lifetime)",
        &[("Registry:", "registry", Text), ("Volume:", "volume", Text), ("ReadOnly:", "readOnly", Flag)],
    ),
    ("portworxVolume", "PortworxVolume (a Portworx Volume resource)", &[("VolumeID:", "volumeID", Text)]),
    (
        "iscsi",
        "ISCSI (an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod)",
        &[
            ("TargetPortal:", "targetPortal", Text),
            ("IQN:", "iqn", Text),
            ("Lun:", "lun", Number),
            ("ISCSIInterface", "iscsiInterface", Text),
            ("FSType:", "fsType", Text),
            ("ReadOnly:", "readOnly", Flag),
            ("Portals:", "portals", List),
            ("DiscoveryCHAPAuth:", "chapAuthDiscovery", Flag),
            ("SessionCHAPAuth:", "chapAuthSession", Flag),
            ("SecretRef:", "secretRef", Reference),
            ("InitiatorName:", "initiatorName", Or("<none>")),
        ],
    ),
    (
        "rbd",
        "RBD (a Rados Block Device mount on the host that shares a pod's lifetime)",
        &[
            ("CephMonitors:", "monitors", List),
            ("RBDImage:", "image", Text),
            ("FSType:", "fsType", Text),
            ("RBDPool:", "pool", Text),
            ("RadosUser:", "user", Text),
            ("Keyring:", "keyring", Text),
            ("SecretRef:", "secretRef", Reference),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "azureDisk",
        "AzureDisk (an Azure Data Disk mount on the host and bind mount to the pod)",
        &[
            ("DiskName:", "diskName", Text),
            ("DiskURI:", "diskURI", Text),
            ("Kind: ", "kind", Text),
            ("FSType:", "fsType", Text),
            ("CachingMode:", "cachingMode", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "vsphereVolume",
        "vSphereVolume (a Persistent Disk resource in vSphere)",
        &[
            ("VolumePath:", "volumePath", Text),
            ("FSType:", "fsType", Text),
            ("StoragePolicyName:", "storagePolicyName", Text),
        ],
    ),
    (
        "photonPersistentDisk",
        "PhotonPersistentDisk (a Persistent Disk resource in photon platform)",
        &[("PdID:", "pdID", Text), ("FSType:", "fsType", Text)],
    ),
    (
        "cinder",
        "Cinder (a Persistent Disk resource in OpenStack)",
        &[
            ("VolumeID:", "volumeID", Text),
            ("FSType:", "fsType", Text),
            ("ReadOnly:", "readOnly", Flag),
            ("SecretRef:", "secretRef", Reference),
        ],
    ),
    (
        "cephfs",
        "CephFS (a CephFS mount on the host that shares a pod's lifetime)",
        &[
            ("Monitors:", "monitors", List),
            ("Path:", "path", Text),
            ("User:", "user", Text),
            ("SecretFile:", "secretFile", Text),
            ("SecretRef:", "secretRef", Reference),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "storageos",
        "StorageOS (a StorageOS Persistent Disk resource)",
        &[
            ("VolumeName:", "volumeName", Text),
            ("VolumeNamespace:", "volumeNamespace", Text),
            ("FSType:", "fsType", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "fc",
        "FC (a Fibre Channel disk)",
        &[
            ("TargetWWNs:", "targetWWNs", Joined),
            ("LUN:", "lun", Or("<none>")),
            ("FSType:", "fsType", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "flexVolume",
        "FlexVolume (a generic volume resource that is provisioned/attached using an exec based plugin)",
        &[
            ("Driver:", "driver", Text),
            ("FSType:", "fsType", Text),
            ("SecretRef:", "secretRef", Reference),
            ("ReadOnly:", "readOnly", Flag),
            ("Options:", "options", Map),
        ],
    ),
    (
        "flocker",
        "Flocker (a Flocker volume mounted by the Flocker agent)",
        &[("DatasetName:", "datasetName", Text), ("DatasetUUID:", "datasetUUID", Text)],
    ),
];

const GLUSTERFS: &str = "Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime)";
const AZURE_FILE: &str = "AzureFile (an Azure File Service mount on the host and bind mount to the pod)";
const SCALE_IO: &str = "ScaleIO (a persistent volume backed by a block device in ScaleIO)";
const CSI: &str = "CSI (a Container Storage Interface (CSI) volume source)";

/// Sources that show less in a pod than in a persistent volume.
const IN_POD: &[Source] = &[
    (
        "glusterfs",
        GLUSTERFS,
        &[("EndpointsName:", "endpoints", Text), ("Path:", "path", Text), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "azureFile",
        AZURE_FILE,
        &[("SecretName:", "secretName", Text), ("ShareName:", "shareName", Text), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "scaleIO",
        SCALE_IO,
        &[
            ("Gateway:", "gateway", Text),
            ("System:", "system", Text),
            ("Protection Domain:", "protectionDomain", Text),
            ("Storage Pool:", "storagePool", Text),
            ("Storage Mode:", "storageMode", Text),
            ("VolumeName:", "volumeName", Text),
            ("FSType:", "fsType", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    ("csi", CSI, &[("Driver:", "driver", Text), ("FSType:", "fsType", Text), ("ReadOnly:", "readOnly", Flag)]),
];

/// Sources that show more in a persistent volume than in a pod.
const PERSISTENT: &[Source] = &[
    (
        "glusterfs",
        GLUSTERFS,
        &[
            ("EndpointsName:", "endpoints", Text),
            ("EndpointsNamespace:", "endpointsNamespace", Or("<unset>")),
            ("Path:", "path", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "azureFile",
        AZURE_FILE,
        &[
            ("SecretName:", "secretName", Text),
            ("SecretNamespace:", "secretNamespace", Text),
            ("ShareName:", "shareName", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "scaleIO",
        SCALE_IO,
        &[
            ("Gateway:", "gateway", Text),
            ("System:", "system", Text),
            ("Protection Domain:", "protectionDomain", Text),
            ("Storage Pool:", "storagePool", Text),
            ("Storage Mode:", "storageMode", Text),
            ("VolumeName:", "volumeName", Text),
            ("SecretName:", "secretRef.name", Text),
            ("SecretNamespace:", "secretRef.namespace", Text),
            ("FSType:", "fsType", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "csi",
        CSI,
        &[
            ("Driver:", "driver", Text),
            ("FSType:", "fsType", Text),
            ("VolumeHandle:", "volumeHandle", Text),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
];

fn shown(value: &Value, shown: Shown, persistent: bool) -> String {
    match shown {
        Or(text) if value.is_null() => text.to_owned(),
        Flag if value.is_null() => "false".to_owned(),
        Number if value.is_null() => "0".to_owned(),
        List if value.is_null() => "[]".to_owned(),
        Map if value.is_null() => "map[]".to_owned(),
        Text => value.str_or_empty().to_owned(),
        Joined => Vec::from_iter(value.items().iter().map(Value::str_or_empty)).join(", "),
        Reference if value.is_null() => "nil".to_owned(),
        Reference if persistent => {
            let text = |key: &str| value.get(key).str_or_empty();
            format!("&SecretReference{{Name:{},Namespace:{},}}", text("name"), text("namespace"))
        }
        Reference => format!("&LocalObjectReference{{Name:{},}}", value.get("name").str_or_empty()),
        _ => sprint(value),
    }
}

/// The source of a persistent volume: the member of its spec that names one.
pub(super) fn persistent_source(spec: &Value, doc: &mut Document) {
    let source = spec.entries().find(|(kind, _)| plain(kind, true).is_some());
    match source {
        Some((kind, source)) => fields(kind, source, true, doc),
        None => doc.write(1, "<unknown>\n"),
    }
}

fn plain(kind: &str, persistent: bool) -> Option<&'static Source> {
    let special = if persistent { PERSISTENT } else { IN_POD };
    PLAIN.iter().chain(special).find(|(name, _, _)| *name == kind)
}

fn fields(kind: &str, source: &Value, persistent: bool, doc: &mut Document) {
    let Some((_, title, fields)) = plain(kind, persistent) else {
        return;
    };
    doc.field(2, "Type", title);
    for (title, field, form) in *fields {
        let value = source.path(&Vec::from_iter(field.split('.')));
        doc.write(2, &format!("{title}\t{}\n", shown(value, *form, persistent)));
    }
    if kind == "csi" {
        doc.write(2, "VolumeAttributes:\t");
        let attributes = source.get("volumeAttributes").entries();
        doc.values(
            2,
            attributes.map(|(key, value)| shorten(&format!("{key}={}", value.str_or_empty()), LONGEST_ANNOTATION)),
        );
    }
}

fn describe(kind: &str, source: &Value, doc: &mut Document) {
    if plain(kind, false).is_some() {
        fields(kind, source, false, doc);
        return;
    }
    match kind {
        "emptyDir" => {
            doc.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
            doc.field(2, "Medium", source.get("medium").str_or_empty());
            let limit = source.get("sizeLimit");
            let set = !limit.is_null() && sprint(limit) != "0";
            doc.field(2, "SizeLimit", &if set { sprint(limit) } else { "<unset>".to_owned() });
        }
        "projected" => projected(source, doc),
        "downwardAPI" => {
            doc.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
            doc.write(2, "Items:\n");
            for item in source.get("items").items() {
                let path = item.get("path").str_or_empty();
                for from in [&["fieldRef", "fieldPath"], &["resourceFieldRef", "resource"]] {
                    if let Some(field) = item.path(from).as_str() {
                        doc.write(3, &format!("{field} -> {path}\n"));
                    }
                }
            }
        }
        "ephemeral" => {
            const TITLE: &str =
                "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)";
            doc.field(2, "Type", TITLE);
            let template = source.get("volumeClaimTemplate");
            if !template.is_null() {
                doc.nest(2, |doc| super::storage::claim_fields(template, false, doc));
            }
        }
        _ => doc.write(1, "<unknown>\n"),
    }
}

fn projected(source: &Value, doc: &mut Document) {
    doc.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
    for source in source.get("sources").items() {
        let optional = |field: &str| source.path(&[field, "optional"]).as_bool().unwrap_or(false).to_string();
        let name = |field: &str| source.path(&[field, "name"]).str_or_empty().to_owned();
        if source.has("secret") {
            doc.field(2, "SecretName", &name("secret"));
            doc.field(2, "Optional", &optional("secret"));
        } else if source.has("downwardAPI") {
            doc.field(2, "DownwardAPI", "true");
        } else if source.has("configMap") {
            doc.field(2, "ConfigMapName", &name("configMap"));
            doc.field(2, "Optional", &optional("configMap"));
        } else if source.has("serviceAccountToken") {
            let seconds = source.path(&["serviceAccountToken", "expirationSeconds"]).as_i64().unwrap_or(0);
            doc.field(2, "TokenExpirationSeconds", &seconds.to_string());
        }
    }
}
