//! Topology spread constraints, and label keys that are merged into selectors.

use std::collections::HashSet;

use apimachinery::field::Errors;
use apimachinery::selector::label::{self, SelectorRules, validate_label_name};
use apimachinery::value::Cursor;

use super::Rules;
use crate::registry::validation::{none_or_one_of, one_of, positive};

/// upstream: validateTopologySpreadConstraints
pub(super) fn constraints(list: Cursor<'_>, rules: Rules, errs: &mut Errors) {
    let kind = |c: Cursor<'_>| (c.field("topologyKey").str().to_owned(), c.field("whenUnsatisfiable").str().to_owned());
    for (index, constraint) in list.list().enumerate() {
        positive(constraint.field("maxSkew"), errs);
        if constraint.field("topologyKey").is_empty() {
            errs.required(constraint.field("topologyKey"), "can not be empty");
        }
        let action = constraint.field("whenUnsatisfiable");
        one_of(action, &["DoNotSchedule", "ScheduleAnyway"], errs);
        if list.list().skip(index + 1).any(|other| kind(other) == kind(constraint)) {
            let (key, action) = kind(constraint);
            errs.duplicate(constraint.field("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        let domains = constraint.field("minDomains");
        if domains.exists() {
            positive(domains, errs);
            if action.str() != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action.str());
                errs.invalid(domains, domains.i64(), why);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            none_or_one_of(constraint.field(policy), &["Honor", "Ignore"], errs);
        }
        match rules.old_spread_keys {
            true => old_match_label_keys(constraint, errs),
            false => match_label_keys(constraint, errs),
        }
        if !rules.any_spread_selector {
            label::validate(constraint.field("labelSelector"), SelectorRules::default(), errs);
        }
    }
}

/// Keys of a spread constraint, or of a term of an affinity.
/// upstream: ValidateMatchLabelKeysAndMismatchLabelKeys
pub fn match_label_keys(holder: Cursor<'_>, errs: &mut Errors) {
    let (selector, matching) = (holder.field("labelSelector"), holder.field("matchLabelKeys"));
    let mismatching = holder.field("mismatchLabelKeys");
    for keys in [matching, mismatching].into_iter().filter(|keys| !keys.is_empty()) {
        if selector.exists() {
            keys.list().for_each(|key| validate_label_name(key, errs));
        } else {
            errs.forbidden(keys, "must not be specified when labelSelector is not set");
        }
    }
    // The keys were merged into the expressions already, so only one that occurs a second time is the client's.
    let mut selected: HashSet<&str> = selector.field("matchLabels").map().map(|(key, _)| key).collect();
    for key in selector.field("matchExpressions").list().map(|e| e.field("key").str()) {
        let found = matching.list().enumerate().rfind(|(_, matched)| matched.str() == key);
        if let Some((index, _)) = found
            && selected.contains(key)
        {
            errs.invalid(holder.index(index), key, "exists in both matchLabelKeys and labelSelector");
        }
        selected.insert(key);
    }
    for key in matching.list().filter(|key| mismatching.list().any(|other| other.str() == key.str())) {
        errs.invalid(key, key.str(), "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// What older servers asked of the keys.
/// upstream: ValidateMatchLabelKeysInTopologySpread
fn old_match_label_keys(constraint: Cursor<'_>, errs: &mut Errors) {
    let (selector, keys) = (constraint.field("labelSelector"), constraint.field("matchLabelKeys"));
    if keys.is_empty() {
        return;
    }
    if !selector.exists() {
        errs.forbidden(keys, "must not be specified when labelSelector is not set");
    }
    let labels = selector.field("matchLabels").map().map(|(key, _)| key);
    let selected: HashSet<&str> =
        labels.chain(selector.field("matchExpressions").list().map(|e| e.field("key").str())).collect();
    for key in keys.list() {
        validate_label_name(key, errs);
        if selected.contains(key.str()) {
            errs.invalid(key, key.str(), "exists in both matchLabelKeys and labelSelector");
        }
    }
}
