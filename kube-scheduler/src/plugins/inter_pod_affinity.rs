//! InterPodAffinity: near some pods, away from others. upstream: plugins/interpodaffinity/{plugin,filtering,scoring}.go

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::cache::{NodeInfo, Snapshot};
use crate::config::InterPodAffinityArgs;
use crate::framework::{
    ActionType, Change, ClusterEvent, CycleState, EnqueueExtensions, EventResource, Extensions, FITS, Filter, Handle,
    Listers, MAX_NODE_SCORE, Plugin, PreFilter, PreFilterOutcome, PreScore, PreScoreOutcome, Rejection, Score, Verdict,
};
use crate::model::{AffinityTerm, Labels, Node, Pod, WeightedTerm};

pub(super) const NAME: &str = "InterPodAffinity";

pub(super) struct InterPodAffinity {
    hard_weight: i32,
    ignore_existing_preferences: bool,
    listers: Arc<dyn Listers>,
}

/// How often a term matched, by topology key and value.
type Counts = HashMap<(Box<str>, String), i64>;

#[derive(Clone, Default)]
struct Matches {
    /// Existing pods that want to be away from the new one.
    existing_anti: Counts,
    affinity: Counts,
    anti_affinity: Counts,
    required: Vec<AffinityTerm>,
    required_anti: Vec<AffinityTerm>,
    namespace_labels: Option<Labels>,
}

#[derive(Clone, Default)]
struct TopologyScores(HashMap<Box<str>, HashMap<String, i64>>);

impl InterPodAffinity {
    pub(super) fn new(args: &InterPodAffinityArgs, handle: &Handle) -> Self {
        Self {
            hard_weight: args.hard_pod_affinity_weight,
            ignore_existing_preferences: args.ignore_preferred_terms_of_existing_pods,
            listers: Arc::clone(&handle.listers),
        }
    }

    /// Replaces a term's namespace selector by the names it matches now, so that matching needs no namespace labels.
    fn resolved(&self, term: &AffinityTerm) -> AffinityTerm {
        let mut term = term.clone();
        if term.namespace_selector.is_empty() || term.namespace_selector.is_nothing() {
            return term;
        }
        let none = Labels::new();
        let matching: BTreeSet<String> = self
            .listers
            .namespaces()
            .iter()
            .filter(|n| term.namespace_selector.matches(n.metadata.labels.as_ref().unwrap_or(&none)))
            .filter_map(|n| n.metadata.name.clone())
            .collect();
        term.namespaces.extend(matching);
        term.namespace_selector = crate::model::LabelMatcher::nothing();
        term
    }

    fn weighted(&self, terms: &[WeightedTerm]) -> Vec<WeightedTerm> {
        terms.iter().map(|t| WeightedTerm { weight: t.weight, term: self.resolved(&t.term) }).collect()
    }
}

fn count(counts: &mut Counts, node: &Node, key: &str, by: i64) {
    let Some(value) = node.labels.get(key) else { return };
    let pair = (key.into(), value.clone());
    let total = counts.entry(pair.clone()).or_default();
    *total += by;
    if *total == 0 {
        counts.remove(&pair);
    }
}

fn matches_all(terms: &[AffinityTerm], pod: &Pod) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.matches(pod, None))
}

fn required_anti(pod: &Pod) -> &[AffinityTerm] {
    pod.affinity.as_ref().map_or(&[], |a| &a.required_anti)
}

impl Matches {
    /// Counts an existing (or simulated) pod on a node, or takes it out again.
    fn update(&mut self, pod: &Pod, other: &Pod, node: &Node, by: i64) {
        for term in required_anti(other) {
            if term.matches(pod, self.namespace_labels.as_ref()) {
                count(&mut self.existing_anti, node, &term.topology_key, by);
            }
        }
        self.update_own(other, node, by);
    }

    fn update_own(&mut self, other: &Pod, node: &Node, by: i64) {
        if matches_all(&self.required, other) {
            for term in &self.required {
                count(&mut self.affinity, node, &term.topology_key, by);
            }
        }
        for term in &self.required_anti {
            if term.matches(other, None) {
                count(&mut self.anti_affinity, node, &term.topology_key, by);
            }
        }
    }

    fn near(&self, pod: &Pod, node: &Node) -> bool {
        let mut found = true;
        for term in &self.required {
            let Some(value) = node.labels.get(&*term.topology_key) else { return false };
            found &= self.affinity.get(&(term.topology_key.clone(), value.clone())).is_some_and(|n| *n > 0);
        }
        // The first pod of a group that wants to be near its own kind may start anywhere.
        found || (self.affinity.is_empty() && matches_all(&self.required, pod))
    }

    fn away(&self, node: &Node) -> bool {
        let there = |term: &AffinityTerm| {
            let value = node.labels.get(&*term.topology_key)?;
            self.anti_affinity.get(&(term.topology_key.clone(), value.clone()))
        };
        self.anti_affinity.is_empty() || !self.required_anti.iter().filter_map(there).any(|n| *n > 0)
    }

    fn tolerated(&self, node: &Node) -> bool {
        !self.existing_anti.iter().any(|((key, value), n)| *n > 0 && node.labels.get(&**key) == Some(value))
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.pre_filter = Some(self.clone());
        extensions.filter = Some(self.clone());
        extensions.pre_score = Some(self.clone());
        extensions.score = Some(self.clone());
        extensions.enqueue = Some(self);
    }
}

impl PreFilter for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_filter(&self, state: &mut CycleState, pod: &Pod, nodes: &Snapshot) -> Result<PreFilterOutcome, Rejection> {
        let own = pod.affinity.as_deref();
        let resolve = |terms: &[AffinityTerm]| terms.iter().map(|t| self.resolved(t)).collect();
        let mut matches = Matches {
            required: own.map(|a| resolve(&a.required)).unwrap_or_default(),
            required_anti: own.map(|a| resolve(&a.required_anti)).unwrap_or_default(),
            ..Matches::default()
        };
        let mut others = nodes.with_required_anti_affinity().peekable();
        if others.peek().is_some() {
            matches.namespace_labels = self.listers.namespace_labels(pod.namespace());
        }
        for info in others {
            for other in info.pods.iter() {
                for term in required_anti(other) {
                    if term.matches(pod, matches.namespace_labels.as_ref()) {
                        count(&mut matches.existing_anti, &info.node, &term.topology_key, 1);
                    }
                }
            }
        }
        let has_terms = !matches.required.is_empty() || !matches.required_anti.is_empty();
        if has_terms {
            for info in nodes.nodes() {
                for other in &info.pods {
                    matches.update_own(other, &info.node, 1);
                }
            }
        } else if matches.existing_anti.is_empty() {
            return Ok(PreFilterOutcome::Skip);
        }
        state.insert(matches);
        Ok(PreFilterOutcome::All)
    }
    fn recount(&self, state: &mut CycleState, pod: &Pod, other: &Pod, node: &NodeInfo, by: i64) {
        if let Some(matches) = state.get_mut::<Matches>() {
            matches.update(pod, other, &node.node, by);
        }
    }
}

impl Filter for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn filter(&self, state: &CycleState, pod: &Pod, node: &NodeInfo) -> Verdict {
        let Some(matches) = state.get::<Matches>() else { return FITS };
        if !matches.near(pod, &node.node) {
            return Err(Rejection::unresolvable("node(s) didn't match pod affinity rules"));
        }
        if !matches.away(&node.node) {
            return Err(Rejection::unschedulable("node(s) didn't match pod anti-affinity rules"));
        }
        if !matches.tolerated(&node.node) {
            return Err(Rejection::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        FITS
    }
}

impl TopologyScores {
    fn count(&mut self, term: &AffinityTerm, weight: i32, pod: &Pod, namespace: Option<&Labels>, node: &Node) {
        if let Some(value) = node.labels.get(&*term.topology_key)
            && term.matches(pod, namespace)
        {
            *self.0.entry(term.topology_key.clone()).or_default().entry(value.clone()).or_default() +=
                i64::from(weight);
        }
    }
}

impl PreScore for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &Pod,
        _feasible: &[Arc<NodeInfo>],
        all: &Snapshot,
    ) -> Result<PreScoreOutcome, Rejection> {
        let own = pod.affinity.as_deref();
        let near = own.map(|a| self.weighted(&a.preferred)).unwrap_or_default();
        let away = own.map(|a| self.weighted(&a.preferred_anti)).unwrap_or_default();
        let wishes = !near.is_empty() || !away.is_empty();
        if self.ignore_existing_preferences && !wishes {
            return Ok(PreScoreOutcome::Skip);
        }
        let mut others = all.with_affinity().peekable();
        let namespace = others.peek().and_then(|_| self.listers.namespace_labels(pod.namespace()));
        let mut scores = TopologyScores::default();
        for info in others {
            for other in info.pods.iter() {
                let Some(terms) = other.affinity.as_deref() else { continue };
                let mut theirs =
                    |t: &AffinityTerm, weight| scores.count(t, weight, pod, namespace.as_ref(), &info.node);
                if self.hard_weight > 0 {
                    terms.required.iter().for_each(|t| theirs(t, self.hard_weight));
                }
                terms.preferred.iter().for_each(|t| theirs(&t.term, t.weight));
                terms.preferred_anti.iter().for_each(|t| theirs(&t.term, -t.weight));
            }
        }
        if wishes {
            for info in all.nodes() {
                for other in &info.pods {
                    near.iter().for_each(|t| scores.count(&t.term, t.weight, other, None, &info.node));
                    away.iter().for_each(|t| scores.count(&t.term, -t.weight, other, None, &info.node));
                }
            }
        }
        if scores.0.is_empty() {
            return Ok(PreScoreOutcome::Skip);
        }
        state.insert(scores);
        Ok(PreScoreOutcome::Score)
    }
}

impl Score for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn score(&self, state: &CycleState, _pod: &Pod, node: &NodeInfo) -> Result<i64, Rejection> {
        let scores = state.get::<TopologyScores>().ok_or_else(|| Rejection::error("no state from PreScore"))?;
        let labels = &node.node.labels;
        let known = scores.0.iter().filter_map(|(key, values)| values.get(labels.get(&**key)?));
        Ok(known.sum())
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the score is defined in floating point"
    )]
    fn normalize(&self, _state: &CycleState, _nodes: &[Arc<NodeInfo>], scores: &mut [i64]) {
        let min = scores.iter().copied().min().unwrap_or(0);
        let span = scores.iter().copied().max().unwrap_or(0) - min;
        for score in scores {
            let share = if span > 0 { (*score - min) as f64 / span as f64 } else { 0.0 };
            *score = (MAX_NODE_SCORE as f64 * share) as i64;
        }
    }
}

impl EnqueueExtensions for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }
    fn events(&self) -> Vec<ClusterEvent> {
        vec![
            ClusterEvent::new(EventResource::Pod, ActionType::ADD.or(ActionType::POD_LABEL).or(ActionType::DELETE)),
            ClusterEvent::new(EventResource::Node, ActionType::ADD.or(ActionType::NODE_LABEL)),
        ]
    }
    fn may_help(&self, pod: &Pod, _event: &ClusterEvent, change: &Change) -> bool {
        let own = pod.affinity.as_deref();
        let required = own.map_or(&[][..], |a| &a.required);
        let anti = own.map_or(&[][..], |a| &a.required_anti);
        match change {
            Change::Pod { old, new } => pod_change_may_help(pod, required, anti, old.as_deref(), new.as_deref()),
            Change::Node { old, new: Some(new) } => {
                let value = |node: &Node, term: &AffinityTerm| node.labels.get(&*term.topology_key).cloned();
                let Some(old) = old else {
                    return required.iter().any(|t| value(new, t).is_some()) || !anti.is_empty();
                };
                let joined = |t: &AffinityTerm| value(new, t).is_some() && value(old, t) != value(new, t);
                let left = |t: &AffinityTerm| value(old, t).is_some() && value(old, t) != value(new, t);
                required.iter().any(joined) || anti.iter().any(left)
            }
            Change::Node { .. } | Change::Other => false,
        }
    }
}

fn pod_change_may_help(
    pod: &Pod,
    required: &[AffinityTerm],
    anti: &[AffinityTerm],
    old: Option<&Pod>,
    new: Option<&Pod>,
) -> bool {
    if old.is_some() && new.is_some_and(|new| new.uid == pod.uid) {
        return true;
    }
    if [old, new].into_iter().flatten().any(|other| !other.has_place()) {
        return false;
    }
    match (old, new) {
        (Some(old), Some(new)) => {
            (!matches_all(required, old) && matches_all(required, new))
                || (matches_all(anti, old) && !matches_all(anti, new))
        }
        (None, Some(new)) => matches_all(required, new),
        (Some(old), None) => matches_all(anti, old) || matches_all(required_anti(old), pod),
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedListers, handle, node_info, pod, snapshot};

    fn plugin() -> InterPodAffinity {
        InterPodAffinity::new(&InterPodAffinityArgs::default(), &handle(FixedListers::default()))
    }

    fn required(kind: &str, app: &str) -> String {
        format!(
            "{kind}: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: zone, labelSelector: {{matchLabels: {{app: {app}}}}}}}]}}"
        )
    }

    fn verdicts(p: &Pod, nodes: &[Arc<NodeInfo>]) -> Vec<String> {
        let mut state = CycleState::default();
        if plugin().pre_filter(&mut state, p, &snapshot(nodes)) == Ok(PreFilterOutcome::Skip) {
            return vec!["skip".into()];
        }
        nodes.iter().map(|n| plugin().filter(&state, p, n).map_or_else(|r| r.message(), |()| "ok".into())).collect()
    }

    #[test]
    fn filters_like_upstream() {
        let nodes = [
            node_info("a: {labels: {zone: z1}}", &["name: 1\nlabels: {app: db}"]),
            node_info("b: {labels: {zone: z2}}", &[]),
            node_info("c: {}", &[]),
        ];
        let not_near = "node(s) didn't match pod affinity rules";
        let near = pod(&format!("affinity: {{{}}}", required("podAffinity", "db")));
        assert_eq!(verdicts(&near, &nodes), ["ok", not_near, not_near]);
        let away = pod(&format!("affinity: {{{}}}", required("podAntiAffinity", "db")));
        assert_eq!(verdicts(&away, &nodes), ["node(s) didn't match pod anti-affinity rules", "ok", "ok"]);
        let first = pod(&format!("labels: {{app: web}}\naffinity: {{{}}}", required("podAffinity", "web")));
        assert_eq!(verdicts(&first, &nodes), ["ok", "ok", not_near]);
        assert_eq!(verdicts(&pod("name: plain"), &nodes), ["skip"]);
    }

    #[test]
    fn existing_pods_keep_others_away() {
        let loner = format!("name: 1\nlabels: {{app: web}}\naffinity: {{{}}}", required("podAntiAffinity", "web"));
        let nodes = [node_info("a: {labels: {zone: z1}}", &[&loner]), node_info("b: {labels: {zone: z2}}", &[])];
        let web = pod("name: 2\nlabels: {app: web}");
        assert_eq!(verdicts(&web, &nodes), ["node(s) didn't satisfy existing pods anti-affinity rules", "ok"]);
        let mut state = CycleState::default();
        plugin().pre_filter(&mut state, &web, &snapshot(&nodes)).unwrap();
        plugin().recount(&mut state, &web, &nodes[0].pods[0], &nodes[0], -1);
        assert!(plugin().filter(&state, &web, &nodes[0]).is_ok());
    }

    #[test]
    fn preferences_score() {
        let nodes = [
            node_info("a: {labels: {zone: z1}}", &["name: 1\nlabels: {app: db}"]),
            node_info("b: {labels: {zone: z2}}", &["name: 2\nlabels: {app: noisy}"]),
            node_info("c: {labels: {zone: z3}}", &[]),
        ];
        let prefer = |kind: &str, app: &str| {
            format!(
                "{kind}: {{preferredDuringSchedulingIgnoredDuringExecution: [{{weight: 10, podAffinityTerm: {{topologyKey: zone, labelSelector: {{matchLabels: {{app: {app}}}}}}}}}]}}"
            )
        };
        let p = pod(&format!("affinity: {{{}, {}}}", prefer("podAffinity", "db"), prefer("podAntiAffinity", "noisy")));
        let mut state = CycleState::default();
        plugin().pre_score(&mut state, &p, &nodes, &snapshot(&nodes)).unwrap();
        let mut scores: Vec<_> = nodes.iter().map(|n| plugin().score(&state, &p, n).unwrap()).collect();
        plugin().normalize(&state, &nodes, &mut scores);
        assert_eq!(scores, [100, 0, 50]);
    }
}
