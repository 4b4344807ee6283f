//! Namespaces, config maps, secrets, service accounts, quotas, limit ranges.

use apimachinery::value::Value;
use base64::Engine as _;

use super::Subject;
use super::document::Document;
use super::network::timed_conditions;
use crate::printers::sprint;

fn decoded(data: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(data.str_or_empty()).unwrap_or_default()
}

pub(super) fn config_map(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, true);
    doc.labels_and_annotations(object);
    doc.write(0, "\nData\n====\n");
    for (key, value) in object.get("data").entries() {
        doc.write(0, &format!("{key}:\n----\n{}\n\n", value.str_or_empty()));
    }
    doc.write(0, "\nBinaryData\n====\n");
    for (key, value) in object.get("binaryData").entries() {
        doc.write(0, &format!("{key}: {} bytes\n", decoded(value).len()));
    }
    doc.write(0, "\n");
    true
}

pub(super) fn secret(object: &Value, doc: &mut Document) -> bool {
    let kind = object.get("type").str_or_empty();
    doc.head(object, true);
    doc.labels_and_annotations(object);
    doc.write(0, &format!("\nType:\t{kind}\n"));
    doc.write(0, "\nData\n====\n");
    for (key, value) in object.get("data").entries() {
        let data = decoded(value);
        if key == "token" && kind == "kubernetes.io/service-account-token" {
            doc.field(0, key, &String::from_utf8_lossy(&data));
        } else {
            doc.field(0, key, &format!("{} bytes", data.len()));
        }
    }
    false
}

pub(super) fn service_account(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, true);
    doc.labels_and_annotations(object);
    let names: Vec<&str> =
        object.get("imagePullSecrets").items().iter().map(|s| s.get("name").str_or_empty()).collect();
    const TITLE: &str = "Image pull secrets:";
    if names.is_empty() {
        doc.write(0, &format!("{TITLE}\t<none>\n"));
    }
    for (i, name) in names.into_iter().enumerate() {
        let title = if i == 0 { TITLE } else { "                   " };
        doc.write(0, &format!("{title}\t{name}\n"));
    }
    true
}

pub(super) fn namespace(subject: &Subject, doc: &mut Document) -> bool {
    let object = &subject.object;
    doc.head(object, false);
    doc.labels_and_annotations(object);
    doc.field(0, "Status", object.path(&["status", "phase"]).str_or_empty());
    timed_conditions(object.path(&["status", "conditions"]).items(), doc);
    if let Some(quotas) = &subject.quotas {
        doc.write(0, "\n");
        self::quotas(quotas, doc);
    }
    if let Some(ranges) = &subject.limit_ranges {
        doc.write(0, "\n");
        limit_ranges(ranges, doc);
    }
    false
}

fn quotas(quotas: &[Value], doc: &mut Document) {
    if quotas.is_empty() {
        doc.write(0, "No resource quota.\n");
        return;
    }
    let mut quotas: Vec<&Value> = quotas.iter().collect();
    quotas.sort_by_key(|q| q.path(&["metadata", "name"]).str_or_empty());
    doc.write(0, "Resource Quotas\n");
    for quota in quotas {
        doc.field(1, "Name", quota.path(&["metadata", "name"]).str_or_empty());
        scopes(quota, 1, doc);
        doc.write(1, "Resource\tUsed\tHard\n");
        doc.write(1, "--------\t---\t---\n");
        usage(quota, 1, doc);
    }
}

fn scopes(quota: &Value, level: usize, doc: &mut Document) {
    let mut scopes: Vec<&str> = quota.path(&["spec", "scopes"]).items().iter().map(|s| s.str_or_empty()).collect();
    if scopes.is_empty() {
        return;
    }
    scopes.sort_unstable();
    doc.field(level, "Scopes", &scopes.join(", "));
    for scope in scopes {
        let help = match scope {
            "Terminating" => {
                "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system."
            }
            "NotTerminating" => {
                "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate."
            }
            "BestEffort" => {
                "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service."
            }
            "NotBestEffort" => {
                "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service."
            }
            _ => continue,
        };
        doc.write(level, &format!(" * {help}\n"));
    }
}

fn usage(quota: &Value, level: usize, doc: &mut Document) {
    let used = quota.path(&["status", "used"]);
    for (name, hard) in quota.path(&["status", "hard"]).entries() {
        let used = used.get(name);
        let used = if used.is_null() { "0".to_owned() } else { sprint(used) };
        doc.write(level, &format!("{name}\t{used}\t{}\n", sprint(hard)));
    }
}

pub(super) fn quota(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, true);
    scopes(object, 0, doc);
    doc.write(0, "Resource\tUsed\tHard\n");
    doc.write(0, "--------\t----\t----\n");
    usage(object, 0, doc);
    false
}

fn limit_ranges(ranges: &[Value], doc: &mut Document) {
    if ranges.is_empty() {
        doc.write(0, "No LimitRange resource.\n");
        return;
    }
    doc.write(0, "Resource Limits\n");
    limit_titles(" ", doc);
    for range in ranges {
        limits(range, " ", doc);
    }
}

pub(super) fn limit_range(object: &Value, doc: &mut Document) -> bool {
    doc.head(object, true);
    limit_titles("", doc);
    limits(object, "", doc);
    false
}

fn limit_titles(indent: &str, doc: &mut Document) {
    let titles = "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio\n";
    let rulers = "----\t--------\t---\t---\t---------------\t-------------\t-----------------------\n";
    doc.write(0, &format!("{indent}{titles}"));
    doc.write(0, &format!("{indent}{rulers}"));
}

fn limits(range: &Value, indent: &str, doc: &mut Document) {
    const FIELDS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    for item in range.path(&["spec", "limits"]).items() {
        let mut names: Vec<&str> = FIELDS.iter().flat_map(|f| item.get(f).entries().map(|(k, _)| k)).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let cell = |field: &str| match item.path(&[field, name]) {
                Value::Null => "-".to_owned(),
                value => sprint(value),
            };
            let cells: Vec<String> = FIELDS.iter().map(|f| cell(f)).collect();
            doc.write(0, &format!("{indent}{}\t{name}\t{}\n", item.get("type").str_or_empty(), cells.join("\t")));
        }
    }
}
