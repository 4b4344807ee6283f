//! Core resources whose strategies are a few lines: nodes, volumes and claims, events, limit ranges, service accounts.
//! upstream: pkg/registry/core/{event,limitrange,node,persistentvolume,persistentvolumeclaim,serviceaccount}

use apimachinery::value::Value;

use crate::registry::strategy::{RequestContext, Strategy};

/// The strategy of LimitRanges.
pub struct LimitRanges;
/// The strategy of Nodes.
pub struct Nodes;
/// The strategy of PersistentVolumes.
pub struct PersistentVolumes;
/// The strategy of PersistentVolumeClaims.
pub struct PersistentVolumeClaims;
/// The strategy of ServiceAccounts.
pub struct ServiceAccounts;

impl Strategy for LimitRanges {
    fn allow_create_on_update(&self) -> bool {
        true
    }
}

impl Strategy for Nodes {
    /// A kubelet registers with its status, so unlike elsewhere it is kept.
    fn prepare_create(&self, _cx: &RequestContext, _obj: &mut Value) {}
}

impl Strategy for PersistentVolumes {
    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        let mut status = Value::map();
        status.set("phase", "Pending");
        status.set("lastPhaseTransitionTime", time(cx));
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
            obj.set_path(&TIME, time(cx));
        }
    }
}

/// Now, as stored times are.
fn time(cx: &RequestContext) -> Value {
    Value::str(cx.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

impl Strategy for PersistentVolumeClaims {
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        let mut status = Value::map();
        status.set("phase", "Pending");
        obj.set("status", status);
        normalize_data_source(obj.field_mut("spec"), None);
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("status", old.get("status").clone());
        normalize_data_source(obj.field_mut("spec"), Some(old.get("spec")));
    }

    fn prepare_status_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        obj.set("spec", old.get("spec").clone());
    }
}

/// `dataSource` and `dataSourceRef` say the same; the older one cannot hold what the newer one can.
/// upstream: pkg/api/persistentvolumeclaim/util.go
fn normalize_data_source(spec: &mut Value, old: Option<&Value>) {
    let was_used = old.is_some_and(|old| !old.get("dataSource").is_null() || !old.get("dataSourceRef").is_null());
    let source = spec.get("dataSource");
    let kind = source.get("kind").str_or_empty();
    let group = source.get("apiGroup").str_or_empty();
    let known = (kind == "PersistentVolumeClaim" && group.is_empty())
        || (kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io");
    if !was_used && !source.is_null() && !known && spec.get("dataSourceRef").is_null() {
        spec.remove("dataSource");
    }
    let reference_is_local = spec.path(&["dataSourceRef", "namespace"]).is_zero();
    if !spec.get("dataSource").is_null() && spec.get("dataSourceRef").is_null() {
        let source = spec.get("dataSource").clone();
        spec.set("dataSourceRef", source);
    } else if !spec.get("dataSourceRef").is_null() && spec.get("dataSource").is_null() && reference_is_local {
        let mut source = spec.get("dataSourceRef").clone();
        source.remove("namespace");
        spec.set("dataSource", source);
    }
}

impl Strategy for ServiceAccounts {
    fn prepare_create(&self, _cx: &RequestContext, obj: &mut Value) {
        clean_secrets(obj);
    }

    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, _old: &Value) {
        clean_secrets(obj);
    }
}

/// Of references to secrets only the name counts.
fn clean_secrets(obj: &mut Value) {
    if let Some(Value::List(secrets)) = obj.get_mut("secrets") {
        for secret in secrets {
            let name = secret.get("name").clone();
            *secret = Value::map();
            if !name.is_null() {
                secret.set("name", name);
            }
        }
    }
}
