//! Persistent volumes.
//! upstream: pkg/registry/core/persistentvolume, pkg/apis/core/validation/validation.go (ValidatePersistentVolume),
//! pkg/api/persistentvolume/util.go, pkg/volume/validation

use apimachinery::field::Errors;
use apimachinery::names;
use apimachinery::object_meta::IMMUTABLE;
use apimachinery::quantity::Quantity;
use apimachinery::selector::label;
use apimachinery::value::{Cursor, Value};

use crate::registry::core::claims::not_negative_value;
use crate::registry::core::pod_spec::mounts::no_backsteps;
use crate::registry::core::pod_spec::volumes::{self, Check};
use crate::registry::core::pod_spec::warnings::node_selector_term as term_warnings;
use crate::registry::core::pod_spec::{Rules, node_selector, quantity_of};
use crate::registry::internal_json::{difference, shown_struct};
use crate::registry::storage_group::driver_name;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{
    NOT_POSITIVE, in_range, metadata, named, none_or_named, none_or_one_of, required, required_named, shown,
};

/// The strategy of PersistentVolumes.
pub struct PersistentVolumes;

impl Strategy for PersistentVolumes {
    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        let mut status = Value::map();
        status.set("phase", "Pending");
        status.set("lastPhaseTransitionTime", cx.now_text());
        obj.set("status", status);
    }

    fn prepare_status_update(&self, cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
        const TIME: [&str; 2] = ["status", "lastPhaseTransitionTime"];
        let (new_time, old_time) = (obj.path(&TIME).clone(), old.path(&TIME).clone());
        let same_phase = obj.path(&["status", "phase"]) == old.path(&["status", "phase"]);
        if same_phase && new_time.is_null() && !old_time.is_null() {
            obj.set_path(&TIME, old_time);
        } else if !same_phase && (new_time.is_null() || new_time == old_time) {
            obj.set_path(&TIME, cx.now_text().into());
        }
    }

    fn checks_metadata(&self, cx: &RequestContext) -> bool {
        cx.subresource.is_empty()
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        volume(obj, false, errs);
        mount_options(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let terms = old.fields(&["spec", "nodeAffinity", "required", "nodeSelectorTerms"]);
        let any_values = terms.list().any(|term| label::has_invalid_values(term.value()));
        // What is wrong is told twice, as upstream checks twice.
        volume(obj, any_values, errs);
        mount_options(obj, errs);
        volume(obj, any_values, errs);
        changes(obj.field("spec"), old.field("spec"), errs);
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }

    fn warnings_update(&self, _cx: &RequestContext, obj: Cursor<'_>, _old: Cursor<'_>) -> Vec<String> {
        warnings(obj)
    }
}

/// The types of volumes in the order in which upstream looks at them.
const SOURCES: [(&str, Check); 22] = [
    ("hostPath", volumes::host_path),
    ("gcePersistentDisk", |source, _, errs| volumes::disk(source, "pdName", errs)),
    ("awsElasticBlockStore", |source, _, errs| volumes::disk(source, "volumeID", errs)),
    ("glusterfs", |source, _, errs| {
        required(source.field("endpoints"), errs);
        required(source.field("path"), errs);
        let namespace = source.field("endpointsNamespace");
        if namespace.opt_str() == Some("") {
            let why = "if the endpointnamespace is set, it must be a valid namespace name";
            errs.invalid(namespace, "", why);
        }
        none_or_named(namespace, names::dns1123_label, errs);
    }),
    ("flocker", volumes::flocker),
    ("nfs", volumes::nfs),
    ("rbd", |source, _, errs| {
        required(source.field("monitors"), errs);
        required(source.field("image"), errs);
    }),
    ("quobyte", volumes::quobyte),
    ("cephfs", |source, _, errs| required(source.field("monitors"), errs)),
    ("iscsi", iscsi),
    ("cinder", |source, _, errs| {
        required(source.field("volumeID"), errs);
        secret_names(source.field("secretRef"), errs);
    }),
    ("fc", volumes::fibre_channel),
    ("flexVolume", volumes::flex),
    ("azureFile", |source, _, errs| {
        required(source.field("secretName"), errs);
        required(source.field("shareName"), errs);
        if source.field("secretNamespace").exists() {
            required(source.field("secretNamespace"), errs);
        }
    }),
    ("vsphereVolume", |source, _, errs| required(source.field("volumePath"), errs)),
    ("photonPersistentDisk", |source, _, errs| required(source.field("pdID"), errs)),
    ("portworxVolume", |source, _, errs| required(source.field("volumeID"), errs)),
    ("azureDisk", volumes::azure_disk),
    ("scaleIO", |source, _, errs| {
        ["gateway", "system", "volumeName"].iter().for_each(|field| required(source.field(field), errs));
    }),
    ("local", |source, _, errs| {
        required(source.field("path"), errs);
        no_backsteps(source.field("path"), errs);
    }),
    ("storageos", |source, _, errs| {
        required_named(source.field("volumeName"), names::dns1123_label, errs);
        none_or_named(source.field("volumeNamespace"), names::dns1123_label, errs);
        secret_names(source.field("secretRef"), errs);
    }),
    ("csi", csi),
];

fn secret_names(reference: Cursor<'_>, errs: &mut Errors) {
    if reference.exists() {
        required(reference.field("name"), errs);
        required(reference.field("namespace"), errs);
    }
}

/// upstream: validateISCSIPersistentVolumeSource; the length with the volume's name is checked by the caller
fn iscsi(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    const FORMAT: &str = "must be valid format";
    if source.field("iqn").is_empty() {
        errs.required(source.field("iqn"), "");
    } else {
        volumes::iscsi_name(source.field("iqn"), FORMAT, errs);
    }
    in_range(source.field("lun"), 0, 255, errs);
    let (authenticates, secret) =
        (["chapAuthDiscovery", "chapAuthSession"].iter().any(|f| source.field(f).bool()), source.field("secretRef"));
    if authenticates && !secret.exists() {
        errs.required(secret, "");
    }
    if secret.exists() {
        required(secret.field("name"), errs);
    }
    let initiator = source.field("initiatorName");
    if initiator.exists() {
        volumes::iscsi_name(source.field("initiatorname").at(initiator.value()), FORMAT, errs);
    }
}

/// upstream: validateCSIPersistentVolumeSource
fn csi(source: Cursor<'_>, _rules: Rules, errs: &mut Errors) {
    driver_name(source.field("driver"), source.field("driver").str(), errs);
    required(source.field("volumeHandle"), errs);
    let references =
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];
    for reference in references.map(|name| source.field(name)).into_iter().filter(|r| r.exists()) {
        required_named(reference.field("name"), names::dns1123_subdomain, errs);
        required_named(reference.field("namespace"), names::dns1123_label, errs);
    }
}

/// upstream: ValidatePersistentVolume
fn volume(obj: Cursor<'_>, any_affinity_values: bool, errs: &mut Errors) {
    let (meta, spec) = (obj.field("metadata"), obj.field("spec"));
    metadata(meta, false, names::dns1123_subdomain, errs);
    access_modes(spec.field("accessModes"), errs);
    capacity(spec.field("capacity"), errs);
    none_or_one_of(spec.field("persistentVolumeReclaimPolicy"), &["Delete", "Recycle", "Retain"], errs);
    let affinity = spec.field("nodeAffinity");
    if affinity.field("required").exists() {
        node_selector(affinity.field("required"), any_affinity_values, errs);
    } else if affinity.exists() {
        errs.required(affinity.field("required"), "must specify required node constraints");
    }
    sources(spec, meta.field("name").str(), errs);
    none_or_named(spec.field("storageClassName"), names::dns1123_subdomain, errs);
    none_or_one_of(spec.field("volumeMode"), &["Block", "Filesystem"], errs);
    let class = spec.field("volumeAttributesClassName");
    if class.exists() {
        if class.is_empty() {
            errs.required(class, "an empty string is disallowed");
        } else {
            named(class, names::dns1123_subdomain, errs);
        }
        if !spec.field("csi").exists() {
            errs.required(spec.field("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

/// A volume inside of another object.
/// upstream: ValidatePersistentVolumeSpec with validateInlinePersistentVolumeSpec
pub fn inline(spec: Cursor<'_>, errs: &mut Errors) {
    const NOT_HERE: &str = "may not be specified in the context of inline volumes";
    for place in ["claimRef", "capacity"].map(|name| spec.field(name)).into_iter().filter(|place| !place.is_empty()) {
        errs.forbidden(place, NOT_HERE);
    }
    if !spec.field("csi").exists() {
        errs.required(spec.field("csi"), "has to be specified in the context of inline volumes");
    }
    access_modes(spec.field("accessModes"), errs);
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if !policy.is_empty() && policy.str() != "Retain" {
        errs.forbidden(policy, "may only be Retain in the context of inline volumes");
    }
    if spec.field("nodeAffinity").exists() {
        errs.forbidden(spec.field("nodeAffinity"), NOT_HERE);
    }
    sources(spec, "", errs);
    if !spec.field("storageClassName").is_empty() {
        errs.forbidden(spec.field("storageClassName"), NOT_HERE);
    }
    let mode = spec.field("volumeMode");
    if mode.exists() && mode.str() != "Filesystem" {
        errs.forbidden(mode, "may not specify volumeMode other than Filesystem in the context of inline volumes");
    }
}

fn access_modes(modes: Cursor<'_>, errs: &mut Errors) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    if modes.is_empty() {
        errs.required(modes, "");
    }
    for mode in modes.list().map(|m| m.str()).filter(|m| !MODES.contains(m)) {
        errs.not_supported(modes, mode, MODES);
    }
    let alone = modes.list().any(|m| m.str() == "ReadWriteOncePod");
    if alone && modes.list().any(|m| m.str() != "ReadWriteOncePod" && MODES.contains(&m.str())) {
        errs.forbidden(modes, "may not use ReadWriteOncePod with other access modes");
    }
}

fn capacity(list: Cursor<'_>, errs: &mut Errors) {
    if list.is_empty() {
        errs.required(list, "");
    }
    if !list.field("storage").exists() || list.len() > 1 {
        errs.not_supported(list, shown(list.value()), ["storage"]);
    }
    for (_, place) in list.map() {
        not_negative_value(place, errs);
        let quantity = quantity_of(place);
        if quantity <= Quantity::default() {
            errs.invalid(place, quantity.to_string(), NOT_POSITIVE);
        }
    }
}

fn sources(spec: Cursor<'_>, name: &str, errs: &mut Errors) {
    let mut given = false;
    for (kind, check) in SOURCES {
        let source = spec.field(kind);
        if !source.exists() {
            continue;
        }
        // Some paths of upstream are not those of the fields.
        let (second, checked) = match kind {
            "gcePersistentDisk" => (source, spec.field("persistentDisk").at(source.value())),
            "cephfs" => (spec.field("cephFS"), source),
            _ => (source, source),
        };
        if given && kind != "flexVolume" {
            errs.forbidden(second, "may not specify more than 1 volume type");
            continue;
        }
        given = true;
        if kind == "iscsi" {
            iscsi_portal(source, name, errs);
        }
        check(checked, Rules::template(), errs);
        if kind == "local" && !spec.field("nodeAffinity").exists() {
            errs.required(spec.field("nodeAffinity"), "Local volume requires node affinity");
        }
    }
    if !given {
        errs.required(spec, "must specify a volume type");
    }
    let path = spec.field("hostPath").field("path");
    let is_root = spec.field("hostPath").exists()
        && path.str().starts_with('/')
        && std::path::Path::new(path.str()).components().fold(0_usize, depth) == 0;
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if is_root && policy.str() == "Recycle" {
        errs.forbidden(policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
}

/// How deep below the root a path leads, one component after the other.
fn depth(depth: usize, component: std::path::Component<'_>) -> usize {
    match component {
        std::path::Component::Normal(_) => depth + 1,
        std::path::Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    }
}

fn iscsi_portal(source: Cursor<'_>, name: &str, errs: &mut Errors) {
    let portal = source.field("targetPortal");
    required(portal, errs);
    if source.field("initiatorName").exists() && name.len() + 1 + portal.str().len() > 64 {
        let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errs.invalid(source.field("targetportal"), portal.str(), why);
    }
}

/// upstream: pkg/volume/validation: checkMountOption
fn mount_options(obj: Cursor<'_>, errs: &mut Errors) {
    const ANNOTATION: &str = "volume.beta.kubernetes.io/mount-options";
    const MOUNTED: [&str; 13] = [
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
    ];
    let place = obj.field("metadata").field("annotations").field(ANNOTATION);
    if place.exists() && !MOUNTED.iter().any(|kind| obj.field("spec").field(kind).exists()) {
        errs.forbidden(place, "may not specify mount options for this volume type");
    }
}

/// upstream: ValidatePersistentVolumeUpdate
fn changes(spec: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    let source_of = |spec: Cursor<'_>| {
        let given = SOURCES.iter().map(|(kind, _)| (*kind, spec.field(kind))).filter(|(_, source)| source.exists());
        let mut source = Value::map();
        given.for_each(|(kind, value)| source.set(kind, value.value().clone()));
        source
    };
    const EXPAND: [&str; 2] = ["csi", "controllerExpandSecretRef"];
    let (mut new_source, old_source) = (source_of(spec), source_of(old));
    if !old_source.get("csi").is_null() && old_source.path(&EXPAND).is_null() {
        new_source.remove_path(&EXPAND);
    }
    if new_source != old_source {
        let diff = difference(&old_source, &new_source, "io.k8s.api.core.v1.PersistentVolumeSource");
        let why = format!("spec.persistentvolumesource is immutable after creation\n{diff}");
        errs.forbidden("spec.persistentvolumesource", why);
    }
    let mode = spec.field("volumeMode");
    if mode.value() != old.field("volumeMode").value() {
        errs.invalid("volumeMode", shown(mode.value()), IMMUTABLE);
    }
    let (affinity, before) = (spec.field("nodeAffinity"), old.field("nodeAffinity"));
    if before.exists() && renewed(affinity.value(), before.value()) != *affinity.value() {
        let why = format!("{IMMUTABLE}, except for updating from beta label to GA");
        errs.invalid("nodeAffinity", shown_struct(affinity, "io.k8s.api.core.v1.VolumeNodeAffinity"), why);
    }
    let class = spec.field("volumeAttributesClassName");
    if old.field("volumeAttributesClassName").exists() && !class.exists() {
        errs.forbidden(class, "update from non-nil value to nil is forbidden");
    }
}

/// The old affinity with the labels of today where the new one has them in the place of older ones.
fn renewed(new: &Value, old: &Value) -> Value {
    const LABELS: [(&str, &str); 5] = [
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    const TERMS: [&str; 2] = ["required", "nodeSelectorTerms"];
    let mut old = old.clone();
    let Some(Value::List(terms)) = old.path_mut(&TERMS) else { return old };
    for (term, new_term) in terms.iter_mut().zip(new.path(&TERMS).items()) {
        for list in ["matchExpressions", "matchFields"] {
            let Some(Value::List(expressions)) = term.get_mut(list) else { continue };
            for (expression, new_expression) in expressions.iter_mut().zip(new_term.get(list).items()) {
                let (key, new_key) = (expression.get("key").str_or_empty(), new_expression.get("key").str_or_empty());
                if LABELS.contains(&(key, new_key)) {
                    expression.set("key", new_key.to_owned());
                }
            }
        }
    }
    old
}

/// upstream: pkg/api/persistentvolume/util.go
fn warnings(obj: Cursor<'_>) -> Vec<String> {
    const ANNOTATIONS: [(&str, &str); 2] = [
        (
            "volume.beta.kubernetes.io/storage-class",
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        ("volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ];
    const SOURCES: [(&str, &str, &str); 6] = [
        ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    let spec = obj.field("spec");
    let annotations = obj.field("metadata").field("annotations");
    let mut warnings = Vec::new();
    for (key, message) in ANNOTATIONS {
        if annotations.key(key).exists() {
            warnings.push(format!("{}: {message}", annotations.key(key).path()));
        }
    }
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if policy.str() == "Recycle" {
        let message = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
        warnings.push(format!("{}: {message}", policy.path()));
    }
    for term in spec.fields(&["nodeAffinity", "required", "nodeSelectorTerms"]).list() {
        warnings.extend(term_warnings(term, false));
    }
    for (field, name, message) in SOURCES {
        if spec.field(field).exists() {
            warnings.push(format!("spec.{name}: {message}"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn specs() {
        let cases = [
            (r#"{"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}"#, ""),
            (
                r#"{"accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}"#,
                r#"[spec.capacity: Required value, spec.capacity: Unsupported value: null: supported values: "storage"]"#,
            ),
            (
                r#"{"capacity": {"storage": "-1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}"#,
                r#"[spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity, spec.capacity[storage]: Invalid value: "-1": must be greater than zero]"#,
            ),
            (
                r#"{"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"]}"#,
                "spec: Required value: must specify a volume type",
            ),
            (
                r#"{"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "local": {"path": "/x"}, "nfs": {"server": "s", "path": "/p"}}"#,
                "spec.local: Forbidden: may not specify more than 1 volume type",
            ),
            (
                r#"{"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x/.."}, "persistentVolumeReclaimPolicy": "Recycle"}"#,
                "[spec.hostPath.path: Invalid value: \"/x/..\": must not contain '..', spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/']",
            ),
        ];
        for (spec, expected) in cases {
            let obj = value(&format!(r#"{{"metadata": {{"name": "a"}}, "spec": {spec}}}"#));
            let mut errs = Errors::new();
            volume(Cursor::root(&obj), false, &mut errs);
            assert_eq!(errs.to_aggregate(), expected, "{spec}");
        }
    }

    #[test]
    fn sources_are_immutable() {
        let (old, new) = (value(r#"{"hostPath": {"path": "/x"}}"#), value(r#"{"hostPath": {"path": "/y"}}"#));
        let mut errs = Errors::new();
        changes(Cursor::root(&new), Cursor::root(&old), &mut errs);
        let text = errs.to_aggregate();
        assert!(text.starts_with("spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ -2,7 +2,7 @@\n"), "{text}");
        assert!(text.contains("-  \"Path\": \"/x\",\n+  \"Path\": \"/y\",\n"), "{text}");
    }
}
