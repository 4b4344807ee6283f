//! Storage classes, CSI drivers and nodes, capacities, attachments and attributes classes.
//! upstream: pkg/registry/storage, pkg/apis/storage/validation/validation.go

use std::collections::{BTreeMap, BTreeSet};

use apimachinery::field::{Errors, Path};
use apimachinery::names;
use apimachinery::object_meta::IMMUTABLE;
use apimachinery::quantity::Quantity;
use apimachinery::selector::label::{self, SelectorRules};
use apimachinery::value::{Cursor, Value};

use crate::registry::core::persistent_volumes;
use crate::registry::internal_json::{immutable_spec, shown_selector, shown_struct};
use crate::registry::ordinary;
use crate::registry::strategy::{RequestContext, Strategy};
use crate::registry::validation::{
    given_one_of, immutable, immutable_text, metadata_again, metadata_update, named, none_or_one_of, not_negative,
    required, shown,
};

/// The strategy of CSIDrivers.
pub struct CsiDrivers;
/// The strategy of CSINodes.
pub struct CsiNodes;
/// The strategy of CSIStorageCapacities.
pub struct StorageCapacities;
/// The strategy of StorageClasses.
pub struct StorageClasses;
/// The strategy of VolumeAttachments.
pub struct VolumeAttachments;
/// The strategy of VolumeAttributesClasses.
pub struct VolumeAttributesClasses;

impl Strategy for StorageClasses {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        provisioner(obj.field("provisioner"), errs);
        parameters(obj.field("parameters"), true, errs);
        let policy = obj.field("reclaimPolicy");
        if !policy.is_empty() {
            none_or_one_of(policy, &["Delete", "Retain"], errs);
        }
        given_one_of(obj.field("volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"], errs);
        topologies(obj.field("allowedTopologies"), errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        self.validate_create(cx, obj, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        immutable(obj.field("parameters"), old.field("parameters"), errs);
        immutable_text(obj.field("provisioner"), old.field("provisioner"), errs);
        immutable(obj.field("reclaimPolicy"), old.field("reclaimPolicy"), errs);
        immutable(obj.field("volumeBindingMode"), old.field("volumeBindingMode"), errs);
    }
}

fn provisioner(place: Cursor<'_>, errs: &mut Errors) {
    required(place, errs);
    if !place.is_empty() {
        let lower = place.str().to_lowercase();
        errs.invalid_each(place, lower.as_str(), names::qualified_name(&lower));
    }
}

fn parameters(place: Cursor<'_>, may_be_empty: bool, errs: &mut Errors) {
    const MOST: usize = 512;
    const LARGEST: usize = 256 * 1024;
    if place.len() > MOST {
        errs.too_long(place, MOST);
        return;
    }
    let mut size = 0;
    for (key, value) in place.map() {
        if key.is_empty() {
            errs.invalid(place, key, "field can not be empty.");
        }
        size += key.len() + value.str().len();
    }
    if size > LARGEST {
        errs.too_long(place, LARGEST);
    }
    if !may_be_empty && place.is_empty() {
        errs.required(place, "must contain at least one key/value pair");
    }
}

/// upstream: validateAllowedTopologies, ValidateTopologySelectorTerm
fn topologies(list: Cursor<'_>, errs: &mut Errors) {
    // Upstream's list of what it saw starts with as many empty terms as there are terms.
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = vec![BTreeMap::new(); list.len()];
    for term in list.list() {
        let expressions = term.field("matchLabelExpressions");
        let mut keys = BTreeMap::new();
        for expression in expressions.list() {
            let (key, values) = (expression.field("key"), expression.field("values"));
            if values.is_empty() {
                errs.required(values, "");
            }
            let mut unique = BTreeSet::new();
            for value in values.list() {
                if !unique.insert(value.str()) {
                    errs.duplicate(value, value.str());
                }
            }
            named(key, names::qualified_name, errs);
            if keys.insert(key.str(), unique).is_some() {
                errs.duplicate(key, key.str());
            }
        }
        seen.iter().filter(|earlier| **earlier == keys).for_each(|_| errs.duplicate(expressions, ""));
        seen.push(keys);
    }
}

impl Strategy for CsiDrivers {
    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn prepare_create(&self, cx: &RequestContext, obj: &mut Value) {
        ordinary::prepare_create(cx, obj);
        obj.remove_path(&["spec", "preventPodSchedulingIfMissing"]);
    }

    /// New drivers have no generation; changes count from there.
    fn prepare_update(&self, _cx: &RequestContext, obj: &mut Value, old: &Value) {
        if old.path(&["spec", "preventPodSchedulingIfMissing"]).is_null() {
            obj.remove_path(&["spec", "preventPodSchedulingIfMissing"]);
        }
        if obj.get("spec") != old.get("spec") {
            let generation = old.path(&["metadata", "generation"]).as_i64().unwrap_or(0);
            obj.set_path(&["metadata", "generation"], Value::Int(generation + 1));
        }
    }

    fn warnings_create(&self, _cx: &RequestContext, obj: Cursor<'_>) -> Vec<String> {
        let spec = obj.field("spec");
        if spec.field("tokenRequests").is_empty() || spec.field("serviceAccountTokenInSecrets").exists() {
            return Vec::new();
        }
        let text = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent \
                    possible logging of tokens in volume attributes";
        vec![text.to_owned()]
    }

    fn warnings_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>) -> Vec<String> {
        let requests = |object: Cursor<'_>| object.value().path(&["spec", "tokenRequests"]).clone();
        if requests(obj) == requests(old) { Vec::new() } else { self.warnings_create(cx, obj) }
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        csi_driver(obj.field("spec"), errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        let (spec, old) = (obj.field("spec"), old.field("spec"));
        csi_driver(spec, errs);
        // The path is upstream's, with its two letters too many.
        if spec.field("attachRequired").value() != old.field("attachRequired").value() {
            errs.invalid("spec.attachedRequired", shown(spec.field("attachRequired").value()), IMMUTABLE);
        }
        immutable(spec.field("volumeLifecycleModes"), old.field("volumeLifecycleModes"), errs);
    }
}

fn csi_driver(spec: Cursor<'_>, errs: &mut Errors) {
    /// Ten minutes, in seconds.
    const SHORTEST: i64 = 600;
    none_or_one_of(spec.field("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"], errs);
    let requests = spec.field("tokenRequests");
    let mut audiences = BTreeSet::new();
    for request in requests.list() {
        let (audience, expiration) = (request.field("audience"), request.field("expirationSeconds"));
        if !audiences.insert(audience.str()) {
            errs.duplicate(audience, audience.str());
            continue;
        }
        if expiration.exists() && expiration.i64() < SHORTEST {
            errs.invalid(expiration, expiration, "may not specify a duration less than 10 minutes");
        }
        if expiration.i64() > 1 << 32 {
            errs.invalid(expiration, expiration, "may not specify a duration larger than 2^32 seconds");
        }
    }
    let modes = spec.field("volumeLifecycleModes");
    for mode in modes.list().filter(|mode| !matches!(mode.str(), "Persistent" | "Ephemeral")) {
        errs.not_supported(modes, mode.str(), ["Persistent", "Ephemeral"]);
    }
    let period = spec.field("nodeAllocatableUpdatePeriodSeconds");
    if period.exists() && period.i64() < 10 {
        errs.invalid(period, period, "must be greater than or equal to 10 seconds");
    }
    let in_secrets = spec.field("serviceAccountTokenInSecrets");
    if in_secrets.exists() && requests.is_empty() {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errs.invalid(in_secrets, in_secrets, detail);
    }
}

impl Strategy for CsiNodes {
    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        csi_node(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        csi_node(obj, errs);
        let drivers = obj.field("spec").field("drivers");
        let without_count = |driver: Cursor<'_>| {
            let mut driver = driver.value().clone();
            driver.remove("allocatable");
            driver
        };
        for before in old.field("spec").field("drivers").list() {
            for driver in drivers.list().filter(|d| d.field("name").str() == before.field("name").str()) {
                let driver = without_count(driver);
                if driver != without_count(before) {
                    let shown = shown_struct(Cursor::root(&driver), "io.k8s.api.storage.v1.CSINodeDriver");
                    errs.invalid(drivers, shown, IMMUTABLE);
                }
            }
        }
    }
}

/// The name of a driver: a domain in any case of letters, at most 63 characters.
/// upstream: pkg/apis/core/validation/validation.go: ValidateCSIDriverName
pub fn driver_name(path: impl Into<Path>, name: &str, errs: &mut Errors) {
    const LONGEST: usize = 63;
    let path = path.into();
    if name.is_empty() {
        return errs.required(path, "");
    }
    if name.len() > LONGEST {
        errs.too_long(&path, LONGEST);
    }
    errs.invalid_each(path, name, names::dns1123_subdomain(&name.to_lowercase()));
}

fn csi_node(obj: Cursor<'_>, errs: &mut Errors) {
    const LONGEST_ID: usize = 256;
    let mut seen = BTreeSet::new();
    for driver in obj.field("spec").field("drivers").list() {
        let (name, id) = (driver.field("name"), driver.field("nodeID"));
        driver_name(name, name.str(), errs);
        required(id, errs);
        if id.str().len() > LONGEST_ID {
            errs.invalid(id, id.str(), format!("must be {LONGEST_ID} characters or less"));
        }
        not_negative(driver.field("allocatable").field("count"), errs);
        if !seen.insert(name.str()) {
            errs.duplicate(name, name.str());
        }
        let mut keys = BTreeSet::new();
        for key in driver.field("topologyKeys").list() {
            if key.is_empty() {
                errs.required(driver, "");
            }
            if !keys.insert(key.str()) {
                errs.duplicate(driver, key.str());
            }
            errs.invalid_each(driver, key.str(), names::qualified_name(key.str()));
        }
    }
}

impl Strategy for StorageCapacities {
    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        storage_capacity(obj, SelectorRules::default(), errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        let topology = obj.field("nodeTopology");
        let had_invalid = label::has_invalid_values(old.field("nodeTopology").value());
        let rules = SelectorRules { allow_invalid_values: had_invalid, ..SelectorRules::default() };
        storage_capacity(obj, rules, errs);
        metadata_update(obj.field("metadata"), old.field("metadata"), errs);
        if topology.value() != old.field("nodeTopology").value() {
            errs.invalid(topology, shown_selector(topology), IMMUTABLE);
        }
        immutable_text(obj.field("storageClassName"), old.field("storageClassName"), errs);
    }
}

/// upstream: ValidateCSIStorageCapacity
fn storage_capacity(obj: Cursor<'_>, rules: SelectorRules, errs: &mut Errors) {
    label::validate(obj.field("nodeTopology"), rules, errs);
    named(obj.field("storageClassName"), names::dns1123_subdomain, errs);
    let capacity = obj.field("capacity");
    if Quantity::parse(capacity.str()).is_ok_and(|q| q.is_negative()) {
        errs.invalid(capacity, capacity.str(), apimachinery::object_meta::NOT_NEGATIVE);
    }
}

impl Strategy for VolumeAttachments {
    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        attachment(obj, errs);
    }

    fn validate_update(&self, _cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        attachment(obj, errs);
        immutable_spec(obj, old, "io.k8s.api.storage.v1.VolumeAttachmentSpec", errs);
    }

    fn validate_status_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        self.validate_update(cx, obj, old, errs);
    }
}

fn attachment(obj: Cursor<'_>, errs: &mut Errors) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    const LARGEST_METADATA: usize = 256 * 1024;
    const LONGEST_MESSAGE: usize = 1024;
    let spec = obj.field("spec");
    driver_name(spec.field("attacher"), spec.field("attacher").str(), errs);
    let source = spec.field("source");
    let volume = source.field("persistentVolumeName");
    match (source.field("inlineVolumeSpec").exists(), volume.exists()) {
        (false, false) => errs.required(source, ONE),
        (true, true) => errs.forbidden(source, ONE),
        (true, false) => persistent_volumes::inline(source.field("inlineVolumeSpec"), errs),
        (false, true) if volume.is_empty() => errs.required(volume, "must specify non empty persistentVolumeName"),
        _ => {}
    }
    named(spec.field("nodeName"), names::dns1123_subdomain, errs);
    let status = obj.field("status");
    let metadata = status.field("attachmentMetadata");
    if metadata.map().map(|(key, value)| key.len() + value.str().len()).sum::<usize>() > LARGEST_METADATA {
        errs.too_long(metadata, LARGEST_METADATA);
    }
    for error in ["attachError", "detachError"].map(|name| status.field(name)) {
        if error.field("message").str().len() > LONGEST_MESSAGE {
            errs.too_long(error.field("message"), LARGEST_METADATA);
        }
        let code = error.field("errorCode");
        if code.i64() < 0 {
            errs.invalid(code, code, names::inclusive_range_error(0, i64::from(i32::MAX)));
        }
    }
    if volume.exists() {
        named(volume, names::dns1123_subdomain, errs);
    }
}

impl Strategy for VolumeAttributesClasses {
    fn validate_create(&self, _cx: &RequestContext, obj: Cursor<'_>, errs: &mut Errors) {
        attributes_class(obj, errs);
    }

    fn validate_update(&self, cx: &RequestContext, obj: Cursor<'_>, old: Cursor<'_>, errs: &mut Errors) {
        for field in ["driverName", "parameters"] {
            if obj.field(field).value() != old.field(field).value() {
                errs.forbidden(obj.field(field), format!("updates to {field} are forbidden."));
            }
        }
        metadata_again(cx, obj, names::dns1123_subdomain, errs);
        attributes_class(obj, errs);
    }
}

fn attributes_class(obj: Cursor<'_>, errs: &mut Errors) {
    provisioner(obj.field("driverName"), errs);
    parameters(obj.field("parameters"), false, errs);
}
