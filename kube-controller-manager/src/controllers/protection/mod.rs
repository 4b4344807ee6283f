//! The protection controllers of claims and volumes: a finalizer keeps what is in use
//! (upstream: pkg/controller/volume/{pvcprotection,pvprotection}).

mod claims;
mod volumes;

pub(super) use claims::start as start_claims;
pub(super) use volumes::start as start_volumes;

use component_base::informer::Object;

/// What to do about a finalizer.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Verdict {
    Leave,
    Add,
    Remove,
}

/// An object in use keeps its finalizer; one that is being deleted and is not in use loses it.
fn judge<K: Object>(object: &K, finalizer: &str, in_use: bool) -> Verdict {
    let has = object.meta().finalizers.iter().flatten().any(|known| known == finalizer);
    match (object.is_deleting(), has) {
        (true, true) if !in_use => Verdict::Remove,
        (false, false) => Verdict::Add,
        _ => Verdict::Leave,
    }
}

/// The object's finalizers after the verdict.
fn apply<K: Object>(object: &mut K, finalizer: &str, verdict: Verdict) {
    let finalizers = object.meta_mut().finalizers.get_or_insert_default();
    match verdict {
        Verdict::Leave => {}
        Verdict::Add => finalizers.push(finalizer.to_owned()),
        Verdict::Remove => finalizers.retain(|known| known != finalizer),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PersistentVolumeClaim;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn verdicts() {
        for (deleting, has, in_use, expected) in [
            (false, false, false, Verdict::Add),
            (false, true, true, Verdict::Leave),
            (true, true, true, Verdict::Leave),
            (true, true, false, Verdict::Remove),
            (true, false, false, Verdict::Leave),
        ] {
            let mut claim = PersistentVolumeClaim::default();
            claim.metadata.deletion_timestamp = deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH));
            claim.metadata.finalizers = has.then(|| vec!["f".to_owned()]);
            let verdict = judge(&claim, "f", in_use);
            assert_eq!(verdict, expected);
            apply(&mut claim, "f", verdict);
            assert_eq!(judge(&claim, "f", true), Verdict::Leave);
        }
    }
}
