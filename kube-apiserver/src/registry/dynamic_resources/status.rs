//! What the scheduler and drivers write into a claim's status.

use std::collections::BTreeSet;

use apimachinery::field::{BadValue, Errors};
use apimachinery::names;
use apimachinery::object_meta;
use apimachinery::quote::json_string;
use apimachinery::value::{Cursor, Value};

use super::claims::references;
use super::{
    binding_conditions, configuration, driver_name, each, each_unique, json_object, pool_name, request_names,
    request_reference, uid,
};
use crate::registry::core::pod_spec::node_selector;
use crate::registry::internal_json::shown_struct;
use crate::registry::validation::{named, required, required_one_of};

const ANY_NUMBER: usize = usize::MAX;

/// A device with the share of it, as one text.
fn device_id(device: Cursor<'_>) -> String {
    let parts = ["driver", "pool", "device", "shareID"].map(|name| device.field(name).str());
    let id = parts[..3].join("/");
    if parts[3].is_empty() { id } else { format!("{id}/{}", parts[3]) }
}

/// As messages show it.
fn shown_id(device: Cursor<'_>) -> BadValue {
    let part = |name: &'static str| json_string(device.value().get(name).str_or_empty());
    let [driver, pool, name, share] = ["driver", "pool", "device", "shareID"].map(part);
    BadValue::json(format!(r#"{{"Driver":{driver},"Pool":{pool},"Device":{name},"ShareID":{share}}}"#))
}

fn allocated(object: Cursor<'_>) -> BTreeSet<String> {
    object.fields(&["status", "allocation", "devices", "results"]).list().map(device_id).collect()
}

/// The status of devices that are not allocated any more goes.
/// upstream: dropDeallocatedStatusDevices
pub(super) fn drop_deallocated(obj: &mut Value, old: &Value) {
    let kept = allocated(Cursor::root(obj));
    let gone: BTreeSet<String> = allocated(Cursor::root(old)).difference(&kept).cloned().collect();
    let Some(Value::List(devices)) = obj.path_mut(&["status", "devices"]) else { return };
    devices.retain(|device| !gone.contains(&device_id(Cursor::root(device))));
    if devices.is_empty() {
        obj.remove_path(&["status", "devices"]);
    }
}

/// upstream: validateResourceClaimStatusUpdate
pub(super) fn validate(obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
    const MOST_CONSUMERS: usize = 256;
    let (status, old_status) = (obj.field("status"), old.field("status"));
    let reserved = status.field("reservedFor");
    let uid_of = |consumer: Cursor<'_>| consumer.field("uid").str().to_owned();
    let check = |consumer: Cursor<'_>, errs: &mut Errors| {
        ["resource", "name", "uid"].into_iter().for_each(|name| required(consumer.field(name), errs));
    };
    each_unique(reserved, MOST_CONSUMERS, uid_of, check, errs);
    let known = allocated(obj);
    each(status.field("devices"), ANY_NUMBER, |one, errs| device_status(one, &known, errs), errs);
    let mut seen = BTreeSet::new();
    for device in status.field("devices").list().filter(|device| !seen.insert(device_id(*device))) {
        errs.duplicate(device, shown_id(device));
    }
    let (allocation, old_allocation) = (status.field("allocation"), old_status.field("allocation"));
    if !reserved.is_empty() {
        if !allocation.exists() {
            errs.forbidden(reserved, "may not be specified when `allocated` is not set");
        } else if obj.fields(&["metadata", "deletionTimestamp"]).exists() {
            let before = old_status.field("reservedFor").value().items();
            if reserved.list().any(|consumer| !before.contains(consumer.value())) {
                let detail =
                    "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
                errs.forbidden(reserved, detail);
            }
        }
    }
    if old_allocation.exists() && allocation.exists() {
        if allocation.value() != old_allocation.value() {
            let shown = shown_struct(allocation, "io.k8s.api.resource.v1.AllocationResult");
            errs.invalid(allocation, shown, object_meta::IMMUTABLE);
        }
    } else if allocation.exists() {
        allocation_result(allocation, &request_names(obj.fields(&["spec", "devices"])), errs);
    }
}

/// upstream: validateAllocationResult
fn allocation_result(allocation: Cursor<'_>, known: &BTreeSet<String>, errs: &mut Errors) {
    const MOST_RESULTS: usize = 32;
    const MOST_CONFIGURATIONS: usize = 64;
    let devices = allocation.field("devices");
    let result = |result: Cursor<'_>, errs: &mut Errors| {
        request_reference(result.field("request"), known, errs);
        driver_name(result.field("driver"), result.field("driver").str(), errs);
        pool_name(result.field("pool"), errs);
        named(result.field("device"), names::dns1123_label, errs);
        binding_conditions(result, errs);
        if result.field("shareID").exists() {
            uid(result.field("shareID"), errs);
        }
    };
    each(devices.field("results"), MOST_RESULTS, result, errs);
    let config = |config: Cursor<'_>, errs: &mut Errors| {
        required_one_of(config.field("source"), &["FromClaim", "FromClass"], errs);
        references(config.field("requests"), known, errs);
        configuration(config, false, errs);
    };
    each(devices.field("config"), MOST_CONFIGURATIONS, config, errs);
    if allocation.field("nodeSelector").exists() {
        node_selector(allocation.field("nodeSelector"), false, errs);
    }
}

/// upstream: validateDeviceStatus
fn device_status(device: Cursor<'_>, known: &BTreeSet<String>, errs: &mut Errors) {
    const MOST_CONDITIONS: usize = 8;
    driver_name(device.field("driver"), device.field("driver").str(), errs);
    pool_name(device.field("pool"), errs);
    named(device.field("device"), names::dns1123_label, errs);
    if device.field("shareID").exists() {
        uid(device.field("shareID"), errs);
    }
    let id = device_id(device);
    if !known.contains(&id) {
        errs.invalid(device, shown_id(device), "must be an allocated device in the claim");
    }
    let conditions = device.field("conditions");
    if conditions.len() > MOST_CONDITIONS {
        errs.too_many(conditions, conditions.len(), MOST_CONDITIONS);
    }
    object_meta::validate_conditions(conditions, errs);
    if !device.field("data").is_empty() {
        json_object(device.field("data"), false, errs);
    }
    network_data(device.field("networkData"), errs);
}

/// upstream: validateNetworkDeviceData
fn network_data(data: Cursor<'_>, errs: &mut Errors) {
    const MOST_ADDRESSES: usize = 16;
    for (name, longest) in [("interfaceName", 256), ("hardwareAddress", 128)] {
        if data.field(name).str().len() > longest {
            errs.too_long(data.field(name), longest);
        }
    }
    let key = |address: Cursor<'_>| address.str().to_owned();
    each_unique(data.field("ips"), MOST_ADDRESSES, key, |ip, errs| named(ip, names::interface_address, errs), errs);
}
