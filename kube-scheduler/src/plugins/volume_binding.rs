//! VolumeBinding: bound claims tie a pod to nodes that reach their volumes; unbound ones that wait for a consumer are bound,
//! or provisioned, for the chosen node before the pod is bound. Storage capacity tracking is not part of this build.
//! upstream: plugins/volumebinding/{volume_binding,binder}.go

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::actions::Actions;
use crate::cache::{NodeInfo, Snapshot};
use crate::config::VolumeBindingArgs;
use crate::framework::{
    ActionType, BindFuture, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter,
    Handle, Listers, Plugin, PreBind, PreFilter, PreFilterOutcome, Reasons, Rejection, Reserve, Verdict,
};
use crate::model::{Claim, Node, PersistentVolume, Pod};

use super::volumes::{self, SELECTED_NODE};

pub(super) const NAME: &str = "VolumeBinding";

/// How often to look whether claims are bound.
const POLL_PERIOD: Duration = Duration::from_millis(500);

pub(super) struct VolumeBinding {
    listers: Arc<dyn Listers>,
    actions: Option<Arc<dyn Actions>>,
    timeout: Duration,
    /// Volumes promised to claims but not bound yet, by name: other pods must not choose them.
    promised: Mutex<BTreeMap<String, String>>,
}

/// The claims of a pod.
#[derive(Clone)]
struct PodClaims {
    bound: Vec<Arc<Claim>>,
    /// Smallest first.
    unbound: Vec<Arc<Claim>>,
    volumes: Vec<Arc<PersistentVolume>>,
}

/// What a node would do with the unbound claims.
#[derive(Clone, Default)]
struct Decision {
    bind: Vec<(Arc<Claim>, Arc<PersistentVolume>)>,
    provision: Vec<Arc<Claim>>,
}

impl VolumeBinding {
    pub(super) fn new(args: &VolumeBindingArgs, handle: &Handle) -> Self {
        Self {
            listers: Arc::clone(&handle.listers),
            actions: handle.actions.clone(),
            timeout: Duration::from_secs(u64::try_from(args.bind_timeout_seconds).unwrap_or(600)),
            promised: Mutex::default(),
        }
    }

    fn decide(&self, claims: &PodClaims, node: &Node) -> Result<Decision, Reasons> {
        let mut reasons = Reasons::new();
        for claim in &claims.bound {
            match self.listers.volume(&claim.volume_name) {
                None => {
                    reasons.push("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".into())
                }
                Some(volume) if !volumes::reaches(&volume, node) => {
                    reasons.push("node(s) didn't match PersistentVolume's node affinity".into());
                }
                Some(_) => continue,
            }
            break;
        }
        let mut decision = Decision::default();
        let mut taken: BTreeSet<String> = self.promised.lock().keys().cloned().collect();
        for claim in &claims.unbound {
            let selected = volumes::annotation(claim, SELECTED_NODE);
            if selected.is_some_and(|selected| selected != node.name) {
                reasons.push("node(s) didn't find available persistent volumes to bind".into());
                break;
            }
            let found = volumes::matching(claim, &claims.volumes, node, &taken).filter(|_| selected.is_none());
            if let Some(volume) = found {
                taken.insert(volumes::volume_name(volume).to_owned());
                decision.bind.push((Arc::clone(claim), Arc::clone(volume)));
                continue;
            }
            let class = self.listers.class(volumes::class(claim));
            if !class.is_some_and(|class| volumes::can_provision(&class, node)) {
                reasons.push("node(s) didn't find available persistent volumes to bind".into());
                break;
            }
            decision.provision.push(Arc::clone(claim));
        }
        if reasons.is_empty() { Ok(decision) } else { Err(reasons) }
    }

    /// Writes the decision and waits until the claims are bound.
    async fn carry_out(&self, decision: &Decision, pod: &Pod, node: &str) -> Result<(), Rejection> {
        let Some(actions) = &self.actions else { return Err(Rejection::error("no connection to the API server")) };
        for (claim, volume) in &decision.bind {
            actions.reserve_volume(volume, claim).await.map_err(Rejection::error)?;
        }
        for claim in &decision.provision {
            actions.select_node(claim, node).await.map_err(Rejection::error)?;
        }
        let claims: Vec<_> = decision.bind.iter().map(|(claim, _)| claim).chain(&decision.provision).collect();
        let bound = async {
            loop {
                let mut pending = 0;
                for claim in &claims {
                    let Some(current) = self.listers.claim(pod.namespace(), volumes::name(claim)) else {
                        return Err(Rejection::error(format!(
                            "persistentvolumeclaim {:?} not found",
                            volumes::name(claim)
                        )));
                    };
                    pending += usize::from(!volumes::is_bound(&current));
                }
                if pending == 0 {
                    return Ok(());
                }
                tokio::time::sleep(POLL_PERIOD).await;
            }
        };
        let bound = tokio::time::timeout(self.timeout, bound).await;
        bound.map_err(|_elapsed| Rejection::error("binding volumes: context deadline exceeded"))?
    }
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.reserve = Some(self.clone());
        extensions.pre_bind = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreFilter for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, _nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        let claims = volumes::claims(&*self.listers, pod)?;
        if claims.is_empty() {
            return Ok(PreFilterOutcome::Skip);
        }
        let (bound, mut unbound): (Vec<_>, Vec<_>) = claims.into_iter().partition(|c| volumes::is_bound(c));
        let waits = |c: &Arc<Claim>| {
            c.volume_name.is_empty() && volumes::waits_for_consumer(self.listers.class(volumes::class(c)).as_deref())
        };
        if !unbound.iter().all(waits) {
            return Err(Rejection::unresolvable("pod has unbound immediate PersistentVolumeClaims"));
        }
        unbound.sort_by_key(|c| c.capacity);
        let volumes = if unbound.is_empty() { Vec::new() } else { self.listers.volumes() };
        state.insert(PodClaims { bound, unbound, volumes });
        Ok(PreFilterOutcome::All)
    }
}

impl Filter for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, state: &CycleState, _pod: &Pod, node: &NodeInfo) -> Verdict {
        let Some(claims) = state.get::<PodClaims>() else { return FITS };
        self.decide(claims, &node.node).map(drop).map_err(Rejection::Unresolvable)
    }
}

/// The chosen node, kept from Filter's state to PreBind.
#[derive(Clone)]
struct Chosen(Decision);

impl Reserve for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }
    fn reserve(&self, state: &mut CycleState, pod: &Pod, node: &str) -> Verdict {
        let Some(claims) = state.get::<PodClaims>().filter(|c| !c.unbound.is_empty()) else { return FITS };
        let Some(info) = state.get::<crate::framework::ChosenNode>().filter(|n| n.0.name == node) else {
            return Err(Rejection::error(format!("node {node:?} is not known")));
        };
        let decision = self.decide(claims, &info.0).map_err(Rejection::Unresolvable)?;
        let mut promised = self.promised.lock();
        for (_, volume) in &decision.bind {
            promised.insert(volumes::volume_name(volume).to_owned(), pod.uid.to_string());
        }
        drop(promised);
        state.insert(Chosen(decision));
        FITS
    }
    fn unreserve(&self, _state: &mut CycleState, pod: &Pod, _node: &str) {
        self.promised.lock().retain(|_, owner| **owner != *pod.uid);
    }
}

impl PreBind for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_bind<'a>(&'a self, state: &'a CycleState, pod: &'a Pod, node: &'a str) -> BindFuture<'a> {
        Box::pin(async move {
            let Some(Chosen(decision)) = state.get() else { return FITS };
            let done = self.carry_out(decision, pod, node).await;
            self.promised.lock().retain(|_, owner| **owner != *pod.uid);
            done
        })
    }
}

impl EnqueueExtensions for VolumeBinding {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        let add_or_update = ActionType::ADD.or(ActionType::UPDATE);
        vec![
            ClusterEvent::new(EventResource::StorageClass, add_or_update),
            ClusterEvent::new(EventResource::PersistentVolumeClaim, add_or_update),
            ClusterEvent::new(EventResource::PersistentVolume, add_or_update),
            ClusterEvent::new(EventResource::Node, ActionType::ADD.or(ActionType::NODE_LABEL)),
            ClusterEvent::new(EventResource::CsiNode, add_or_update),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedListers, handle, node_info, pod, snapshot};

    fn object<K: serde::de::DeserializeOwned>(yaml: &str) -> Arc<K> {
        let value: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn claim(name: &str, extra: &str) -> Arc<Claim> {
        object(&format!(
            "metadata: {{name: {name}, namespace: default, uid: u-{name}, annotations: {{x: x{}}}}}\n\
             spec: {{storageClassName: local, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}{}}}\n\
             status: {{phase: Pending}}",
            if extra.contains("volumeName") { ", pv.kubernetes.io/bind-completed: 'yes'" } else { "" },
            if extra.is_empty() { String::new() } else { format!(", {extra}") },
        ))
    }

    fn volume(name: &str, node: &str, size: &str) -> Arc<PersistentVolume> {
        object(&format!(
            "metadata: {{name: {name}}}\nspec: {{storageClassName: local, accessModes: [ReadWriteOnce], capacity: {{storage: {size}}}, \
             nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchFields: [{{key: metadata.name, operator: In, values: [{node}]}}]}}]}}}}}}\n\
             status: {{phase: Available}}"
        ))
    }

    fn listers(claims: Vec<Arc<Claim>>, volumes: Vec<Arc<PersistentVolume>>, provisioner: &str) -> FixedListers {
        let class = object(&format!(
            "metadata: {{name: local}}\nprovisioner: {provisioner}\nvolumeBindingMode: WaitForFirstConsumer"
        ));
        FixedListers { claims, volumes, classes: vec![class], ..FixedListers::default() }
    }

    fn verdicts(listers: FixedListers, p: &str) -> Vec<String> {
        let plugin = VolumeBinding::new(&VolumeBindingArgs::default(), &handle(listers));
        let nodes = [node_info("a: {}", &[]), node_info("b: {}", &[])];
        let mut state = CycleState::default();
        let p = pod(p);
        match plugin.pre_filter(&mut state, &p, &snapshot(&nodes)) {
            Err(rejection) => vec![rejection.message()],
            Ok(PreFilterOutcome::Skip) => vec!["skip".into()],
            Ok(_) => nodes
                .iter()
                .map(|n| plugin.filter(&state, &p, n).map_or_else(|r| r.message(), |()| "ok".into()))
                .collect(),
        }
    }

    const USES: &str = "volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]";
    const NONE: &str = "node(s) didn't find available persistent volumes to bind";

    #[test]
    fn filters_like_upstream() {
        let missing = "persistentvolumeclaim \"c\" not found";
        assert_eq!(verdicts(FixedListers::default(), USES), [missing]);
        assert_eq!(verdicts(FixedListers::default(), "name: p"), ["skip"]);
        let immediate = FixedListers { claims: vec![claim("c", "")], ..FixedListers::default() };
        assert_eq!(verdicts(immediate, USES), ["pod has unbound immediate PersistentVolumeClaims"]);
        let local = || listers(vec![claim("c", "")], vec![volume("v1", "b", "2Gi")], "kubernetes.io/no-provisioner");
        assert_eq!(verdicts(local(), USES), [NONE, "ok"]);
        let small = listers(vec![claim("c", "")], vec![volume("v1", "b", "1Mi")], "kubernetes.io/no-provisioner");
        assert_eq!(verdicts(small, USES), [NONE, NONE]);
        assert_eq!(verdicts(listers(vec![claim("c", "")], vec![], "example.com/x"), USES), ["ok", "ok"]);
        let bound = listers(vec![claim("c", "volumeName: v1")], vec![volume("v1", "a", "1Gi")], "x");
        assert_eq!(verdicts(bound, USES), ["ok", "node(s) didn't match PersistentVolume's node affinity"]);
        let gone = listers(vec![claim("c", "volumeName: v9")], vec![], "x");
        assert_eq!(
            verdicts(gone, USES)[0],
            "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
        );
    }

    #[test]
    fn a_promised_volume_is_not_given_away_twice() {
        let both = || {
            listers(
                vec![claim("c", ""), claim("d", "")],
                vec![volume("v1", "a", "2Gi")],
                "kubernetes.io/no-provisioner",
            )
        };
        let plugin = VolumeBinding::new(&VolumeBindingArgs::default(), &handle(both()));
        let node = node_info("a: {}", &[]);
        let nodes = snapshot(&[Arc::clone(&node)]);
        let first = pod(&format!("name: first\n{USES}"));
        let mut state = CycleState::default();
        plugin.pre_filter(&mut state, &first, &nodes).unwrap();
        state.insert(crate::framework::ChosenNode(Arc::clone(&node.node)));
        plugin.reserve(&mut state, &first, "a").unwrap();
        let second = pod("name: second\nvolumes: [{name: v, persistentVolumeClaim: {claimName: d}}]");
        let mut other = CycleState::default();
        plugin.pre_filter(&mut other, &second, &nodes).unwrap();
        assert_eq!(plugin.filter(&other, &second, &node), Err(Rejection::unresolvable(NONE)));
        plugin.unreserve(&mut state, &first, "a");
        assert_eq!(plugin.filter(&other, &second, &node), Ok(()));
    }
}
