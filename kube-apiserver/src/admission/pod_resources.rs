//! What a pod asks for in sum, as limits and quotas count it.
//!
//! upstream: staging/src/k8s.io/component-helpers/resource/helpers.go

use std::collections::BTreeMap;

use apimachinery::quantity::Quantity;
use apimachinery::value::Value;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// Reads a map of quantities; what cannot be read is left out (validation complains of it).
pub fn amounts(value: &Value) -> Amounts {
    let parsed = value.entries().filter_map(|(name, text)| {
        let text = text.as_str().map_or_else(|| text.as_i64().unwrap_or(0).to_string(), str::to_owned);
        Some((name.to_owned(), Quantity::parse(&text).ok()?))
    });
    parsed.collect()
}

/// Adds amounts.
pub fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match to.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => {
                to.insert(name.clone(), amount.clone());
            }
        }
    }
}

/// Raises amounts to at least these.
fn raise(to: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        if to.get(name).is_none_or(|own| own < amount) {
            to.insert(name.clone(), amount.clone());
        }
    }
}

/// Which half of the resources, and whether the runtime's overhead counts.
#[derive(Clone, Copy, Debug)]
pub struct Which {
    /// `requests` or `limits`
    pub half: &'static str,
    /// Count `spec.overhead`.
    pub overhead: bool,
}

/// The sum of the containers, but at least what the largest init container needs.
pub fn of_pod(pod: &Value, which: Which) -> Amounts {
    let spec = pod.get("spec");
    let of = |container: &Value| amounts(container.path(&["resources", which.half]));
    let mut sum = Amounts::new();
    for container in spec.get("containers").items() {
        add(&mut sum, &of(container));
    }
    let (mut sidecars, mut largest) = (Amounts::new(), Amounts::new());
    for container in spec.get("initContainers").items() {
        let mut own = of(container);
        if container.get("restartPolicy").as_str() == Some("Always") {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            own.clone_from(&sidecars);
        } else {
            add(&mut own, &sidecars);
        }
        raise(&mut largest, &own);
    }
    raise(&mut sum, &largest);
    let of_pod = amounts(spec.path(&["resources", which.half]));
    sum.extend(
        of_pod
            .into_iter()
            .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-")),
    );
    if which.overhead {
        let overhead = amounts(spec.get("overhead"));
        if which.half == "requests" {
            add(&mut sum, &overhead);
        } else {
            let limited =
                overhead.into_iter().filter(|(name, _)| sum.get(name).is_some_and(|own| !own.is_zero())).collect();
            add(&mut sum, &limited);
        }
    }
    sum
}
