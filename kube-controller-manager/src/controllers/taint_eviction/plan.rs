//! Pure: how long a pod tolerates the NoExecute taints of its node (upstream: pkg/controller/tainteviction).

use std::time::Duration;

use component_base::placement::tolerates;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Taint, Toleration};

/// What is to become of a pod.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Verdict {
    /// It stays.
    Stay,
    /// It goes now.
    Evict,
    /// It goes after this time unless something changes.
    EvictIn(Duration),
}

/// Taints that drive pods away.
pub(super) fn evicting(taints: Option<&Vec<Taint>>) -> Vec<Taint> {
    taints.into_iter().flatten().filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

/// Judges a pod; `first_seen` is when it was first found on the tainted node, for taints without a time.
pub(super) fn judge(tolerations: &[Toleration], taints: &[Taint], first_seen: Timestamp, now: Timestamp) -> Verdict {
    if taints.is_empty() {
        return Verdict::Stay;
    }
    let mut used = Vec::new();
    for taint in taints {
        let matching: Vec<&Toleration> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Verdict::Evict;
        }
        used.extend(matching);
    }
    let Some(seconds) = used.iter().filter_map(|toleration| toleration.toleration_seconds).min() else {
        return Verdict::Stay;
    };
    let Ok(seconds) = u64::try_from(seconds) else { return Verdict::Evict };
    if seconds == 0 {
        return Verdict::Evict;
    }
    let started =
        taints.iter().filter_map(|taint| taint.time_added.as_ref()).map(|time| time.0).max().unwrap_or(first_seen);
    let left = Duration::from_secs(seconds).saturating_sub(component_base::clock::since(now, started));
    if left.is_zero() { Verdict::Evict } else { Verdict::EvictIn(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str) -> Taint {
        Taint { key: key.into(), effect: "NoExecute".into(), ..Taint::default() }
    }

    fn toleration(key: &str, operator: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: Some(key.into()),
            operator: Some(operator.into()),
            toleration_seconds: seconds,
            ..Toleration::default()
        }
    }

    #[test]
    fn verdicts() {
        let at = |seconds: i64| Timestamp::from_second(1000 + seconds).expect("in range");
        for (tolerations, taints, after, expected) in [
            (vec![], vec![], 0, Verdict::Stay),
            (vec![], vec![taint("a")], 0, Verdict::Evict),
            (vec![toleration("a", "Exists", None)], vec![taint("a")], 0, Verdict::Stay),
            (vec![toleration("", "Exists", None)], vec![taint("a"), taint("b")], 0, Verdict::Stay),
            (vec![toleration("a", "Exists", None)], vec![taint("a"), taint("b")], 0, Verdict::Evict),
            (
                vec![toleration("a", "Exists", Some(300))],
                vec![taint("a")],
                100,
                Verdict::EvictIn(Duration::from_secs(200)),
            ),
            (vec![toleration("a", "Exists", Some(300))], vec![taint("a")], 300, Verdict::Evict),
            (vec![toleration("a", "Exists", Some(0))], vec![taint("a")], 0, Verdict::Evict),
            (
                vec![toleration("a", "Exists", Some(300)), toleration("a", "Exists", Some(60))],
                vec![taint("a")],
                0,
                Verdict::EvictIn(Duration::from_secs(60)),
            ),
            (vec![toleration("a", "Equal", None)], vec![taint("a")], 0, Verdict::Stay),
        ] {
            assert_eq!(judge(&tolerations, &taints, at(0), at(after)), expected, "{tolerations:?} {taints:?}");
        }
    }
}
