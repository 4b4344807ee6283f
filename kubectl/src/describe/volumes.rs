//! Volumes of pods.

use apimachinery::value::Value;

use super::document::Document;
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

/// Field of a volume, text of its type, and its fields by title.
type Source = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Sources that are a list of fields: type text, then title and field name.
const PLAIN: &[Source] = &[
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[("ClaimName", "claimName"), ("ReadOnly", "?readOnly")],
    ),
    (
        "nfs",
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        &[("Server", "server"), ("Path", "path"), ("ReadOnly", "?readOnly")],
    ),
    ("configMap", "ConfigMap (a volume populated by a ConfigMap)", &[("Name", "name"), ("Optional", "?optional")]),
    ("secret", "Secret (a volume populated by a Secret)", &[("SecretName", "secretName"), ("Optional", "?optional")]),
    ("image", "Image (a container image or OCI artifact)", &[("Reference", "reference"), ("PullPolicy", "pullPolicy")]),
];

fn describe(kind: &str, source: &Value, doc: &mut Document) {
    if let Some((_, title, fields)) = PLAIN.iter().find(|(k, _, _)| *k == kind) {
        doc.field(2, "Type", title);
        for (title, field) in *fields {
            let text = match field.strip_prefix('?') {
                Some(field) => source.get(field).as_bool().unwrap_or(false).to_string(),
                None => source.get(field).str_or_empty().to_owned(),
            };
            doc.field(2, title, &text);
        }
        return;
    }
    match kind {
        "hostPath" => {
            doc.field(2, "Type", "HostPath (bare host directory volume)");
            doc.field(2, "Path", source.get("path").str_or_empty());
            doc.field(2, "HostPathType", source.get("type").as_str().unwrap_or("<none>"));
        }
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
        "csi" => {
            doc.field(2, "Type", "CSI (a Container Storage Interface (CSI) volume source)");
            doc.field(2, "Driver", source.get("driver").str_or_empty());
            doc.field(2, "FSType", source.get("fsType").str_or_empty());
            doc.field(2, "ReadOnly", &source.get("readOnly").as_bool().unwrap_or(false).to_string());
            let mut title = "VolumeAttributes";
            for (key, value) in source.get("volumeAttributes").entries() {
                doc.field(2, title, &format!("{key}={}", value.str_or_empty()));
                title = "    ";
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
