//! Volumes and their sources.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::value::Cursor;
use regex::Regex;

use super::mounts::{descending, no_backsteps, not_reserved};
use super::{Rules, claim_template, env, projected, quantity_of, required_all};
use crate::registry::storage_group::driver_name;
use crate::registry::validation::{
    in_range, named, none_or_named, none_or_one_of, one_of, required, required_named, required_one_of, shown,
};

/// Message about file modes.
const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// What is wrong with the volumes; those by name that are right.
/// upstream: ValidateVolumes
pub(super) fn all<'a>(
    list: Cursor<'a>,
    meta: Cursor<'a>,
    rules: Rules,
    errs: &mut Errors,
) -> HashMap<&'a str, Cursor<'a>> {
    let pod = meta.field("name").str();
    let claim_of = |volume: Cursor<'_>| format!("{pod}-{}", volume.field("name").str());
    let created: HashSet<String> = match pod {
        "" => HashSet::new(),
        _ => list.list().filter(|v| v.field("ephemeral").exists()).map(claim_of).collect(),
    };
    let mut right = HashMap::new();
    for volume in list.list() {
        let name = volume.field("name");
        let mut wrong = Errors::new();
        source(volume, pod, rules, &mut wrong);
        required_named(name, names::dns1123_label, &mut wrong);
        if right.contains_key(name.str()) {
            wrong.duplicate(name, name.str());
        }
        if wrong.is_empty() {
            right.insert(name.str(), volume);
        }
        errs.extend(wrong.iter().cloned());
        let claim = volume.field("persistentVolumeClaim").field("claimName");
        if created.contains(claim.str()) {
            errs.invalid(claim, claim.str(), "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    right
}

/// What must be right about a source.
pub type Check = fn(Cursor<'_>, Rules, &mut Errors);

/// The kinds of sources in upstream's order, and what must be right about each.
const SOURCES: [(&str, Check); 30] = [
    ("emptyDir", empty_dir),
    ("hostPath", host_path),
    ("gitRepo", |source, _, errs| {
        required(source.field("repository"), errs);
        descending(source.field("directory"), errs);
    }),
    ("gcePersistentDisk", |source, _, errs| disk(source, "pdName", errs)),
    ("awsElasticBlockStore", |source, _, errs| disk(source, "volumeID", errs)),
    ("secret", |source, _, errs| keys(source, "secretName", errs)),
    ("nfs", nfs),
    ("iscsi", iscsi),
    ("glusterfs", |source, _, errs| required_all(source, &["endpoints", "path"], errs)),
    ("flocker", flocker),
    ("persistentVolumeClaim", |source, _, errs| required(source.field("claimName"), errs)),
    ("rbd", |source, _, errs| required_all(source, &["monitors", "image"], errs)),
    ("cinder", |source, _, errs| {
        required(source.field("volumeID"), errs);
        secret_reference(source, errs);
    }),
    ("cephfs", |source, _, errs| required(source.field("monitors"), errs)),
    ("quobyte", quobyte),
    ("downwardAPI", downward_api),
    ("fc", fibre_channel),
    ("flexVolume", flex),
    ("configMap", |source, _, errs| keys(source, "name", errs)),
    ("azureFile", |source, _, errs| required_all(source, &["secretName", "shareName"], errs)),
    ("vsphereVolume", |source, _, errs| required(source.field("volumePath"), errs)),
    ("photonPersistentDisk", |source, _, errs| required(source.field("pdID"), errs)),
    ("portworxVolume", |source, _, errs| required(source.field("volumeID"), errs)),
    ("azureDisk", azure_disk),
    ("storageos", |source, _, errs| {
        required_named(source.field("volumeName"), names::dns1123_label, errs);
        none_or_named(source.field("volumeNamespace"), names::dns1123_label, errs);
        secret_reference(source, errs);
    }),
    ("projected", projected::all),
    ("scaleIO", |source, _, errs| required_all(source, &["gateway", "system", "volumeName"], errs)),
    ("csi", csi),
    ("ephemeral", |source, _, errs| claim_template::of_ephemeral(source, errs)),
    ("image", image),
];

/// upstream: validateVolumeSource
fn source(volume: Cursor<'_>, pod: &str, rules: Rules, errs: &mut Errors) {
    let mut given = false;
    let name = volume.field("name");
    for (kind, check) in SOURCES {
        let place = volume.field(kind);
        if !place.exists() {
            continue;
        }
        // Some paths of upstream are not those of the fields.
        let (second, checked) = match kind {
            "gcePersistentDisk" => (place, volume.field("persistentDisk").at(place.value())),
            "cephfs" => (volume.field("cephFS"), place),
            "downwardAPI" => (volume.field("downwarAPI"), place),
            _ => (place, place),
        };
        if given {
            errs.forbidden(second, "may not specify more than 1 volume type");
        } else {
            check(checked, rules, errs);
            if kind == "ephemeral" && !pod.is_empty() && !name.is_empty() {
                let claim = format!("{pod}-{}", name.str());
                for message in names::dns1123_subdomain(&claim) {
                    errs.invalid(name, name.str(), format!("PVC name {claim:?}: {message}"));
                }
            }
        }
        given = true;
        let initiator = place.field("initiatorName");
        if kind == "iscsi" && initiator.exists() && name.str().len() + 1 + place.field("targetPortal").str().len() > 64
        {
            let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
            errs.invalid(name, name.str(), why);
        }
    }
    if !given {
        errs.required(volume, "must specify a volume type");
    }
}

fn empty_dir(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    let limit = source.field("sizeLimit");
    if quantity_of(limit).is_negative() {
        errs.forbidden(limit, "SizeLimit field must be a valid resource quantity");
    }
}

/// A path of the host.
pub fn host_path(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    const TYPES: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if source.field("path").is_empty() {
        return errs.required(source.field("path"), "");
    }
    no_backsteps(source.field("path"), errs);
    none_or_one_of(source.field("type"), &TYPES, errs);
}

/// A disk with partitions, and the field that says which.
pub fn disk(source: Cursor<'_>, id: &'static str, errs: &mut Errors) {
    required(source.field(id), errs);
    let partition = source.field("partition");
    if !(0..=255).contains(&partition.i64()) {
        errs.invalid(partition, partition.i64(), names::inclusive_range_error(1, 255));
    }
}

/// Permissions of a file.
pub(super) fn mode(place: Cursor<'_>, errs: &mut Errors) {
    if !(0..=0o777).contains(&place.i64()) {
        errs.invalid(place, place.i64(), MODE);
    }
}

fn keys(source: Cursor<'_>, name: &'static str, errs: &mut Errors) {
    required(source.field(name), errs);
    mode(source.field("defaultMode"), errs);
    source.field("items").list().for_each(|item| key_to_path(item, errs));
}

/// upstream: validateKeyToPath
pub(super) fn key_to_path(item: Cursor<'_>, errs: &mut Errors) {
    required_all(item, &["key", "path"], errs);
    not_reserved(item.field("path"), errs);
    mode(item.field("mode"), errs);
}

/// upstream: validateNFSVolumeSource
pub fn nfs(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    required_all(source, &["server", "path"], errs);
    let path = source.field("path");
    if !path.str().starts_with('/') {
        errs.invalid(path, path.str(), "must be an absolute path");
    }
}

fn secret_reference(source: Cursor<'_>, errs: &mut Errors) {
    if source.field("secretRef").exists() {
        required(source.field("secretRef").field("name"), errs);
    }
}

const ISCSI_KINDS: &str = "must be valid format starting with iqn, eui, or naa";

static IQN: LazyLock<Regex> = LazyLock::new(|| pattern(r"iqn\.[0-9]{4}-[0-9]{2}\.([0-9A-Za-z.-]+)(:[^,;*&$|\s]+)$"));
static EUI: LazyLock<Regex> = LazyLock::new(|| pattern("^eui.[0-9A-Za-z]{16}$"));
static NAA: LazyLock<Regex> = LazyLock::new(|| pattern("^naa.[0-9A-Za-z]{32}$"));

pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of our own")
}

fn iscsi(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    required(source.field("targetPortal"), errs);
    let iqn = source.field("iqn");
    if iqn.is_empty() {
        errs.required(iqn, "");
    } else {
        iscsi_name(iqn, ISCSI_KINDS, errs);
    }
    in_range(source.field("lun"), 0, 255, errs);
    let authenticates = ["chapAuthDiscovery", "chapAuthSession"].iter().any(|field| source.field(field).bool());
    if authenticates && !source.field("secretRef").exists() {
        errs.required(source.field("secretRef"), "");
    }
    let initiator = source.field("initiatorName");
    if initiator.exists() {
        iscsi_name(source.field("initiatorname").at(initiator.value()), ISCSI_KINDS, errs);
    }
}

/// The name of a target or initiator; `unknown` is what to say of one of no known kind.
pub fn iscsi_name(place: Cursor<'_>, unknown: &str, errs: &mut Errors) {
    let name = place.str();
    let right = match name.get(..3) {
        Some("iqn") => IQN.is_match(name),
        Some("eui") => EUI.is_match(name),
        Some("naa") => NAA.is_match(name),
        _ => return errs.invalid(place, name, unknown),
    };
    if !right {
        errs.invalid(place, name, "must be valid format");
    }
}

/// upstream: validateFlockerVolumeSource
pub fn flocker(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    let (name, id) = (source.field("datasetName"), source.field("datasetUUID"));
    if name.is_empty() && id.is_empty() {
        errs.required(source, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !id.is_empty() {
        errs.invalid(source, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.str().contains('/') {
        errs.invalid(name, name.str(), "must not contain '/'");
    }
}

/// upstream: validateQuobyteVolumeSource
pub fn quobyte(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let (registry, tenant) = (source.field("registry"), source.field("tenant"));
    if registry.is_empty() {
        errs.required(registry, PAIRS);
    } else if tenant.str().len() >= 65 {
        errs.required(tenant, "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.str().split(',').filter(|pair| !is_host_and_port(pair)) {
            errs.invalid(registry, registry.str(), PAIRS);
        }
    }
    required(source.field("volume"), errs);
}

/// As Go's net.SplitHostPort: one colon outside of brackets.
fn is_host_and_port(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, port)) => port.starts_with(':') && port.matches(':').count() == 1,
        None => text.matches(':').count() == 1 && !text.contains(['[', ']']),
    }
}

fn downward_api(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    mode(source.field("defaultMode"), errs);
    // Upstream leaves the step to the item out of the paths.
    source.field("items").list().for_each(|item| downward_api_file(source.at(item.value()), errs));
}

/// upstream: validateDownwardAPIVolumeFile
pub(super) fn downward_api_file(file: Cursor<'_>, errs: &mut Errors) {
    const FIELD_PATHS: [&str; 5] =
        ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
    let (field, resource) = (file.field("fieldRef"), file.field("resourceFieldRef"));
    required(file.field("path"), errs);
    not_reserved(file.field("path"), errs);
    if field.exists() {
        env::object_field(field, &FIELD_PATHS, errs);
        if resource.exists() {
            errs.invalid(file, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if resource.exists() {
        env::resource_field(resource, true, errs);
    } else {
        errs.required(file, "one of fieldRef and resourceFieldRef is required");
    }
    mode(file.field("mode"), errs);
}

/// upstream: validateFCVolumeSource
pub fn fibre_channel(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    let (targets, ids, lun) = (source.field("targetWWNs"), source.field("wwids"), source.field("lun"));
    if targets.is_empty() && ids.is_empty() {
        errs.required(targets, "must specify either targetWWNs or wwids, but not both");
    }
    if targets.is_empty() {
        return;
    }
    if !ids.is_empty() {
        errs.invalid(targets, shown(targets.value()), "targetWWNs and wwids can not be specified simultaneously");
    }
    if !lun.exists() {
        errs.required(lun, "lun is required if targetWWNs is specified");
    } else {
        in_range(lun, 0, 255, errs);
    }
}

/// upstream: validateFlexVolumeSource
pub fn flex(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    required(source.field("driver"), errs);
    for (key, place) in source.field("options").map() {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            errs.invalid(place, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

/// upstream: validateAzureDisk
pub fn azure_disk(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    required_all(source, &["diskName", "diskURI"], errs);
    none_or_one_of(source.field("cachingMode"), &["None", "ReadOnly", "ReadWrite"], errs);
    none_or_one_of(source.field("kind"), &["Dedicated", "Managed", "Shared"], errs);
    let uri = source.field("diskURI");
    match source.field("kind").opt_str() {
        Some("Managed") if !uri.str().starts_with("/subscriptions/") => one_of(
            uri,
            &["/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"],
            errs,
        ),
        Some(other) if other != "Managed" && !uri.str().starts_with("https://") => {
            one_of(uri, &["https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"], errs);
        }
        _ => {}
    }
}

/// upstream: validateCSIVolumeSource
fn csi(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    driver_name(source.field("driver"), source.field("driver").str(), errs);
    let secret = source.field("nodePublishSecretRef");
    if secret.exists() {
        let name = secret.field("name");
        if name.is_empty() {
            errs.required(name, "");
        } else {
            named(source.field("name").at(name.value()), names::dns1123_subdomain, errs);
        }
    }
}

/// upstream: validateImageVolumeSource
fn image(source: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    if rules.is_pod {
        required(source.field("reference"), errs);
    }
    required_one_of(source.field("pullPolicy"), &["Always", "IfNotPresent", "Never"], errs);
}
