//! Whether a pod that was assigned to this node may start here: the node's last word. Pure.
//!
//! The scheduler has counted already; this catches pods that went past it and races between two schedulers.
//!
//! upstream: pkg/kubelet/lifecycle/predicate.go

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::quantity::Quantity;
use k8s_openapi::api::core::v1::Pod;

use super::resources::pod_amount;
use super::view::PodView;

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Such as `OutOfcpu`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Compares the pod's requests with what `others` leave of `allocatable`, and its selector with the node's labels.
///
/// # Errors
/// The pod may not start.
pub fn admit(
    pod: &Pod,
    others: &[Arc<Pod>],
    allocatable: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Result<(), Rejection> {
    if !pod.is_static() && !selector_matches(pod, labels) {
        return Err(Rejection {
            reason: "NodeAffinity".to_owned(),
            message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".to_owned(),
        });
    }
    let others: Vec<&Arc<Pod>> = others.iter().filter(|other| other.uid() != pod.uid()).collect();
    let amount = |name: &str| allocatable.get(name).and_then(|text| Quantity::parse(text).ok());
    if let Some(capacity) = amount("pods").map(|pods| pods.value()) {
        let used = i64::try_from(others.len()).unwrap_or(i64::MAX);
        if used + 1 > capacity {
            return Err(out_of("pods", 1, used, capacity));
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        let Some(capacity) = amount(name) else { continue };
        let in_thousandths = name == "cpu";
        let unit = |milli: i64| if in_thousandths { milli } else { milli / 1000 };
        let requested = unit(pod_amount(pod, false, name).0);
        let used: i64 = others.iter().map(|other| unit(pod_amount(other, false, name).0)).sum();
        let capacity = if in_thousandths { capacity.milli_value() } else { capacity.value() };
        if requested > 0 && requested > capacity - used {
            return Err(out_of(name, requested, used, capacity));
        }
    }
    Ok(())
}

fn out_of(name: &str, requested: i64, used: i64, capacity: i64) -> Rejection {
    Rejection {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}

fn selector_matches(pod: &Pod, labels: &BTreeMap<String, String>) -> bool {
    pod.spec().node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, spec: &str) -> Arc<Pod> {
        let json = format!(r#"{{"metadata":{{"uid":"{uid}"}},"spec":{spec}}}"#);
        Arc::new(serde_json::from_str(&json).expect("valid"))
    }

    #[test]
    fn counts_what_others_use() {
        let one = |uid, cpu: &str| {
            pod(uid, &format!(r#"{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}"}}}}}}]}}"#))
        };
        let allocatable: BTreeMap<String, String> =
            [("cpu", "2"), ("pods", "2")].map(|(name, amount)| (name.to_owned(), amount.to_owned())).into();
        let labels = BTreeMap::new();
        let others = [one("a", "1500m")];
        assert_eq!(admit(&one("b", "500m"), &others, &allocatable, &labels), Ok(()));
        let refused = admit(&one("b", "501m"), &others, &allocatable, &labels).expect_err("too much");
        assert_eq!(refused.reason, "OutOfcpu");
        assert_eq!(
            refused.message,
            "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000"
        );
        let full = [one("a", "0"), one("c", "0")];
        assert_eq!(admit(&one("b", "0"), &full, &allocatable, &labels).expect_err("full").reason, "OutOfpods");
    }

    #[test]
    fn the_selector_must_match() {
        let pod = pod("a", r#"{"containers":[],"nodeSelector":{"disk":"ssd"}}"#);
        assert!(admit(&pod, &[], &BTreeMap::new(), &BTreeMap::new()).is_err());
        let labels = [("disk".to_owned(), "ssd".to_owned())].into();
        assert_eq!(admit(&pod, &[], &BTreeMap::new(), &labels), Ok(()));
    }
}
