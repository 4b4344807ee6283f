//! Pure: what to do with an object, given the state of its owners.
//!
//! Upstream: pkg/controller/garbagecollector/garbagecollector.go (attemptToDeleteItem).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::graph::{FOREGROUND, ORPHAN};

/// State of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// There, and stays.
    Solid,
    /// Gone.
    Absent,
    /// In foreground deletion: waits for this object.
    Waiting,
}

/// How dependents fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Orphan,
    Foreground,
    Background,
}

impl Policy {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Foreground => "Foreground",
            Self::Background => "Background",
        }
    }
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Take these references (UIDs) away: other owners remain.
    DropOwners(Vec<String>),
    /// Delete it. `unblock` says to first stop blocking owners: a dependent waits for its dependents in turn, which may be a circle.
    Delete {
        policy: Policy,
        unblock: bool,
    },
}

/// Judges an object by its owners. `dependents_wait` tells whether any of its dependents is in foreground deletion.
pub(super) fn judge(
    meta: &ObjectMeta,
    owners: &[(OwnerReference, OwnerState)],
    has_dependents: bool,
    dependents_wait: bool,
) -> Verdict {
    let of =
        |state: OwnerState| owners.iter().filter(move |(_, known)| *known == state).map(|(owner, _)| owner.uid.clone());
    if owners.is_empty() {
        return Verdict::Keep;
    }
    let leaving: Vec<String> = of(OwnerState::Absent).chain(of(OwnerState::Waiting)).collect();
    if of(OwnerState::Solid).next().is_some() {
        return if leaving.is_empty() { Verdict::Keep } else { Verdict::DropOwners(leaving) };
    }
    if of(OwnerState::Waiting).next().is_some() && has_dependents {
        return Verdict::Delete { policy: Policy::Foreground, unblock: dependents_wait };
    }
    let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|known| known == finalizer);
    let policy = if has(ORPHAN) {
        Policy::Orphan
    } else if has(FOREGROUND) {
        Policy::Foreground
    } else {
        Policy::Background
    };
    Verdict::Delete { policy, unblock: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(states: &[OwnerState]) -> Vec<(OwnerReference, OwnerState)> {
        let owner = |number: usize| OwnerReference { uid: format!("o{number}"), ..OwnerReference::default() };
        states.iter().enumerate().map(|(number, state)| (owner(number), *state)).collect()
    }

    #[test]
    fn verdicts() {
        use OwnerState::{Absent, Solid, Waiting};
        let plain = ObjectMeta::default();
        let background = Verdict::Delete { policy: Policy::Background, unblock: false };
        let foreground = |unblock| Verdict::Delete { policy: Policy::Foreground, unblock };
        for (states, has_dependents, wait, expected) in [
            (&[][..], false, false, Verdict::Keep),
            (&[Solid], false, false, Verdict::Keep),
            (&[Solid, Absent], false, false, Verdict::DropOwners(vec!["o1".into()])),
            (&[Solid, Waiting], true, false, Verdict::DropOwners(vec!["o1".into()])),
            (&[Absent], true, false, background),
            (&[Waiting], false, false, Verdict::Delete { policy: Policy::Background, unblock: false }),
            (&[Waiting], true, false, foreground(false)),
            (&[Waiting, Absent], true, true, foreground(true)),
        ] {
            assert_eq!(judge(&plain, &owners(states), has_dependents, wait), expected, "{states:?}");
        }
        let orphan = ObjectMeta { finalizers: Some(vec![ORPHAN.into()]), ..ObjectMeta::default() };
        assert_eq!(
            judge(&orphan, &owners(&[Absent]), true, false),
            Verdict::Delete { policy: Policy::Orphan, unblock: false }
        );
    }
}
