//! The second round of mutating admission: when a webhook or policy changed the object, all plugins see it once more, and
//! of webhooks and policies those that asked for it.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/reinvocation.go,
//! pkg/admission/plugin/{webhook,policy}/mutating/reinvocationcontext.go

use std::collections::{BTreeSet, HashMap};

use apimachinery::value::Value;

/// What plugins remember from the first round of one request to the second.
#[derive(Debug, Default)]
pub struct Rounds {
    is_second: bool,
    wants_second: bool,
    memories: HashMap<&'static str, Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The object as the plugin left it.
    last: Option<Value>,
    /// Hooks that were called and want to be called again after later changes.
    called: BTreeSet<String>,
    /// Those of them after which something changed.
    again: BTreeSet<String>,
}

impl Memory {
    fn call_again(&mut self) {
        self.again.append(&mut self.called);
    }
}

impl Rounds {
    /// Goes into the second round; false if nobody wants one.
    pub(super) fn start_second(&mut self) -> bool {
        self.is_second = true;
        self.wants_second
    }

    /// A plugin begins: what other plugins changed since counts for its hooks.
    pub fn begin(&mut self, plugin: &'static str, object: &Value) {
        let memory = self.memories.entry(plugin).or_default();
        if self.is_second && memory.last.as_ref() != Some(object) {
            memory.call_again();
        }
    }

    /// Whether a hook is left out in this round.
    pub fn skips(&self, plugin: &'static str, hook: &str) -> bool {
        self.is_second && !self.memories.get(plugin).is_some_and(|memory| memory.again.contains(hook))
    }

    /// A hook was called: whether it changed the object, and whether it wants to be called again.
    pub fn called(&mut self, plugin: &'static str, hook: String, changed: bool, wants_again: bool) {
        let memory = self.memories.entry(plugin).or_default();
        if changed {
            memory.call_again();
            self.wants_second = true;
        }
        if wants_again {
            memory.called.insert(hook);
        }
    }

    /// A plugin has called all its hooks.
    pub fn end(&mut self, plugin: &'static str, object: &Value) {
        self.memories.entry(plugin).or_default().last = Some(object.clone());
    }
}

#[cfg(test)]
mod tests {
    use apimachinery::value;

    use super::*;

    #[test]
    fn hooks_are_called_again_after_later_changes_only() {
        // (hook, changed, wants again), whether `between` rounds the object changed, hooks of the second round
        type Call = (&'static str, bool, bool);
        type Case<'c> = (&'c [Call], bool, Option<&'c [&'c str]>);
        let cases: [Case<'_>; 5] = [
            (&[("a", false, true), ("b", false, true)], false, None),
            (&[("a", true, true)], false, Some(&[])),
            (&[("a", false, true), ("b", true, true)], false, Some(&["a"])),
            (&[("a", false, false), ("b", true, true)], false, Some(&[])),
            (&[("a", true, true), ("b", true, true)], true, Some(&["a", "b"])),
        ];
        for (calls, between, expected) in cases {
            let mut rounds = Rounds::default();
            rounds.begin("p", &value!(0));
            for (hook, changed, again) in calls {
                assert!(!rounds.skips("p", hook));
                rounds.called("p", (*hook).to_owned(), *changed, *again);
            }
            rounds.end("p", &value!(1));
            assert_eq!(rounds.start_second(), expected.is_some(), "{calls:?}");
            let Some(expected) = expected else { continue };
            rounds.begin("p", &if between { value!(2) } else { value!(1) });
            let called: Vec<&str> = calls.iter().map(|(h, ..)| *h).filter(|h| !rounds.skips("p", h)).collect();
            assert_eq!(called, expected, "{calls:?}");
        }
    }
}
