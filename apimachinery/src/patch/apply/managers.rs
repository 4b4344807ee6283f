//! The managers of an object and what they own: `metadata.managedFields` read and written. Corresponds to upstream's
//! apimachinery/pkg/util/managedfields/internal.

use std::collections::BTreeMap;

use super::encoding::FieldsError;
use super::set::FieldSet;
use crate::quote::{json_string, quote};
use crate::value::{Key, Map, Value};

/// Whether a manager applies or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// What makes a manager itself and no other.
#[derive(Clone, Debug)]
pub(super) struct ManagerId {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// Empty for those that apply.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl ManagerId {
    pub(super) fn new(name: &str, operation: Operation, api_version: &str, subresource: &str) -> ManagerId {
        let api_version = if operation == Operation::Apply { "" } else { api_version };
        ManagerId {
            name: name.to_owned(),
            operation,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// The text that upstream sorts by: the entry as JSON.
    pub(super) fn key(&self) -> String {
        let members = [
            ("manager", self.name.as_str()),
            ("operation", self.operation.as_str()),
            ("apiVersion", &self.api_version),
            ("subresource", &self.subresource),
        ];
        let shown: Vec<String> = members
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| format!("\"{name}\":{}", json_string(text)))
            .collect();
        format!("{{{}}}", shown.join(","))
    }

    /// How conflicts name it.
    pub(super) fn shown(&self) -> String {
        let mut out = quote(&self.name);
        if !self.subresource.is_empty() {
            out = format!("{out} with subresource {}", quote(&self.subresource));
        }
        match self.operation {
            Operation::Update => format!("{out} using {}", self.api_version),
            Operation::Apply => out,
        }
    }
}

/// What a manager owns.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) id: ManagerId,
    /// The version that the paths are of.
    pub(super) api_version: String,
    pub(super) set: FieldSet,
    /// RFC 3339, in UTC, whole seconds; "" if not known.
    pub(super) time: String,
}

/// All managers of an object by their key.
pub(super) type Managers = BTreeMap<String, Owned>;

/// Why managed fields cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ManagedFieldsError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {} in managed fields entry {at}", quote(.found))]
    FieldsType { found: String, at: usize },
    #[error("error decoding versioned set: error decoding set: {0}")]
    Fields(#[from] FieldsError),
}

/// Reads `metadata.managedFields`.
pub(super) fn decode(entries: &Value) -> Result<Managers, ManagedFieldsError> {
    let mut managers = Managers::new();
    for (at, entry) in entries.items().iter().enumerate() {
        let text = |key| entry.get(key).str_or_empty();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(ManagedFieldsError::Operation),
        };
        if text("apiVersion").is_empty() {
            return Err(ManagedFieldsError::ApiVersion);
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(ManagedFieldsError::NoFieldsType(at)),
            other => return Err(ManagedFieldsError::FieldsType { found: other.to_owned(), at }),
        }
        let id = ManagerId::new(text("manager"), operation, text("apiVersion"), text("subresource"));
        let owned = Owned {
            api_version: text("apiVersion").to_owned(),
            set: decode_fields(entry.get("fieldsV1"))?,
            time: text("time").to_owned(),
            id,
        };
        managers.insert(owned.id.key(), owned);
    }
    Ok(managers)
}

fn decode_fields(fields: &Value) -> Result<FieldSet, FieldsError> {
    match fields {
        Value::Null => Ok(FieldSet::default()),
        Value::Raw(json) => FieldSet::from_fields_v1(json),
        tree => FieldSet::from_fields_v1(&crate::codec::json::to_string(tree)),
    }
}

/// Writes `metadata.managedFields`; nothing if there are no managers.
pub(super) fn encode(managers: &Managers) -> Option<Value> {
    let mut owners: Vec<&Owned> = managers.values().collect();
    owners.sort_by(|a, b| {
        let key = |o: &Owned| (o.id.operation, o.time.clone(), o.id.name.clone(), o.api_version.clone());
        key(a).cmp(&key(b)).then_with(|| a.id.subresource.cmp(&b.id.subresource))
    });
    let entries: Vec<Value> = owners.into_iter().map(encode_entry).collect();
    (!entries.is_empty()).then_some(Value::List(entries))
}

fn encode_entry(owned: &Owned) -> Value {
    let mut out = Map::new();
    let mut put = |key: &'static str, text: &str| {
        if !text.is_empty() {
            out.insert(Key::Static(key), text);
        }
    };
    put("manager", &owned.id.name);
    put("operation", owned.id.operation.as_str());
    put("apiVersion", &owned.api_version);
    put("time", &owned.time);
    put("subresource", &owned.id.subresource);
    put("fieldsType", "FieldsV1");
    out.insert(Key::Static("fieldsV1"), Value::Raw(owned.set.to_fields_v1().into()));
    Value::Map(out)
}

const MAX_UPDATE_MANAGERS: usize = 10;
const OLD_UPDATES_MANAGER: &str = "ancient-changes";

/// Merges the oldest writers of a version until there are few enough.
pub(super) fn cap(managers: &mut Managers) {
    let mut writers: Vec<(String, String)> = managers
        .iter()
        .filter(|(_, o)| o.id.operation == Operation::Update)
        .map(|(key, o)| (o.time.clone(), key.clone()))
        .collect();
    writers.sort();
    let mut count = writers.len();
    let mut first_of_version: BTreeMap<String, String> = BTreeMap::new();
    for (time, key) in writers {
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let Some(version) = managers.get(&key).map(|o| o.api_version.clone()) else { continue };
        let Some(first) = first_of_version.get(&version) else {
            first_of_version.insert(version, key);
            continue;
        };
        let bucket = ManagerId::new(OLD_UPDATES_MANAGER, Operation::Update, &version, "");
        let bucket_key = bucket.key();
        if !managers.contains_key(&bucket_key)
            && let Some(oldest) = managers.remove(first)
        {
            managers.insert(bucket_key.clone(), Owned { id: bucket, ..oldest });
        }
        let Some(merged) = managers.get(&key).map(|o| o.set.clone()) else { continue };
        if let Some(owned) = managers.get_mut(&bucket_key) {
            owned.set = merged.union(&owned.set);
            owned.time = time;
        }
        managers.remove(&key);
        count -= 1;
    }
}
