//! Amounts of compute resources, as integers: CPU in thousandths, everything else in whole units.
//! upstream: pkg/scheduler/framework/types.go (Resource)

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;

/// Requested or allocatable amounts. Names that the scheduler does not account for (`storage`, `requests.x`) are never kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Extended resources, huge pages and attachable volumes, in whole units.
    pub scalar: BTreeMap<Box<str>, i64>,
}

impl Resources {
    /// The amount of one resource by its API name; 0 when absent.
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            other => self.scalar.get(other).copied().unwrap_or(0),
        }
    }

    /// Adds an amount under an API name; unknown names are dropped.
    pub fn add_named(&mut self, name: &str, amount: i64) {
        match name {
            "cpu" => self.milli_cpu = self.milli_cpu.saturating_add(amount),
            "memory" => self.memory = self.memory.saturating_add(amount),
            "ephemeral-storage" => self.ephemeral_storage = self.ephemeral_storage.saturating_add(amount),
            other if is_scalar_resource(other) => {
                let slot = self.scalar.entry(other.into()).or_default();
                *slot = slot.saturating_add(amount);
            }
            _ => {}
        }
    }

    /// Adds `sign` times the other amounts.
    pub fn add(&mut self, other: &Self, sign: i64) {
        self.milli_cpu += sign * other.milli_cpu;
        self.memory += sign * other.memory;
        self.ephemeral_storage += sign * other.ephemeral_storage;
        for (name, amount) in &other.scalar {
            *self.scalar.entry(name.clone()).or_default() += sign * amount;
        }
    }

    /// True when nothing is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.ephemeral_storage == 0 && self.scalar.is_empty()
    }
}

/// The integer amount of a quantity string for a resource name; 0 when it does not parse (the API server validated it).
pub fn amount(name: &str, quantity: &str) -> i64 {
    let Ok(parsed) = Quantity::parse(quantity) else { return 0 };
    if name == "cpu" { parsed.milli_value() } else { parsed.value() }
}

/// Extended resources: a domain-prefixed name outside kubernetes.io. upstream: v1helper.IsExtendedResourceName
pub fn is_extended_resource(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// Resources kept by name. upstream: pkg/scheduler/util IsScalarResourceName
pub fn is_scalar_resource(name: &str) -> bool {
    is_extended_resource(name)
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}
