//! What a pod asks for: sums over its containers, and its quality of service.
//! Corresponds to component-helpers/resource and kubectl/pkg/util/{qos,resource}.

use std::collections::BTreeMap;

use apimachinery::quantity::{Format, Quantity};
use apimachinery::value::Value;

use crate::printers::sprint;

/// Amounts by resource name.
pub(super) type Amounts = BTreeMap<String, Quantity>;

fn amounts(list: &Value) -> Amounts {
    let parse = |(name, value): (&str, &Value)| Some((name.to_owned(), Quantity::parse(&sprint(value)).ok()?));
    list.entries().filter_map(parse).collect()
}

/// Adds the amounts of `more` to `sum`.
pub(super) fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match sum.get_mut(name) {
            Some(present) => present.add(amount),
            None => {
                sum.insert(name.clone(), amount.clone());
            }
        }
    }
}

fn raise(sum: &mut Amounts, floor: &Amounts) {
    for (name, amount) in floor {
        if sum.get(name).is_none_or(|present| present < amount) {
            sum.insert(name.clone(), amount.clone());
        }
    }
}

/// Requests (`field` = `requests`) or limits of a whole pod.
pub(super) fn total(pod: &Value, field: &str) -> Amounts {
    let spec = pod.get("spec");
    let of = |container: &Value| amounts(container.path(&["resources", field]));
    let mut sum = Amounts::new();
    for container in spec.get("containers").items() {
        add(&mut sum, &of(container));
    }
    let mut init = Amounts::new();
    let mut sidecars = Amounts::new();
    for container in spec.get("initContainers").items() {
        let mut wanted = of(container);
        if container.get("restartPolicy").str_or_empty() == "Always" {
            add(&mut sum, &wanted);
            add(&mut sidecars, &wanted);
            wanted = sidecars.clone();
        } else {
            add(&mut wanted, &sidecars);
        }
        raise(&mut init, &wanted);
    }
    raise(&mut sum, &init);
    for (name, amount) in amounts(spec.path(&["resources", field])) {
        sum.insert(name, amount);
    }
    let overhead = amounts(spec.get("overhead"));
    if field == "requests" {
        add(&mut sum, &overhead);
    } else {
        for (name, amount) in overhead {
            if let Some(present) = sum.get_mut(&name) {
                present.add(&amount);
            }
        }
    }
    sum
}

/// An amount, zero if absent.
pub(super) fn amount(amounts: &Amounts, name: &str) -> Quantity {
    amounts.get(name).cloned().unwrap_or_else(|| Quantity::new(0, Format::DecimalSi))
}

/// The quality of service class: what the status says, else what the rules give.
pub(super) fn qos(pod: &Value) -> String {
    let said = pod.path(&["status", "qosClass"]).str_or_empty();
    if !said.is_empty() {
        return said.to_owned();
    }
    let mut any = false;
    let mut guaranteed = true;
    let spec = pod.get("spec");
    for container in spec.get("containers").items().iter().chain(spec.get("initContainers").items()) {
        let (requests, limits) =
            (amounts(container.path(&["resources", "requests"])), amounts(container.path(&["resources", "limits"])));
        for name in ["cpu", "memory"] {
            let limit = limits.get(name).filter(|q| !q.is_zero());
            let request = requests.get(name).filter(|q| !q.is_zero());
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|r| Some(r) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort".to_owned(),
        (true, true) => "Guaranteed".to_owned(),
        (true, false) => "Burstable".to_owned(),
    }
}

/// The value of a resource field reference of a container.
pub(crate) fn field(container: &Value, reference: &Value) -> String {
    let resource = reference.get("resource").str_or_empty();
    let Some((list, name)) = resource.split_once('.') else {
        return String::new();
    };
    let divisor = reference.get("divisor");
    let divisor = match Quantity::parse(&sprint(divisor)) {
        Ok(divisor) if !divisor.is_zero() => divisor,
        _ => Quantity::new(1, Format::DecimalSi),
    };
    let present = amount(&amounts(container.path(&["resources", list])), name);
    if name == "cpu" {
        let (value, by) = (present.milli_value(), divisor.milli_value().max(1));
        return ((value + by - 1) / by).to_string();
    }
    let (value, by) = (present.value(), divisor.value().max(1));
    ((value + by - 1) / by).to_string()
}
