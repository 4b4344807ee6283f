//! What plugins of one scheduling attempt hand to each other, keyed by type. upstream: framework/cycle_state.go

use std::any::{Any, TypeId};
use std::sync::Arc;

use crate::model::Node;

trait Slot: Any + Send + Sync {
    fn duplicate(&self) -> Box<dyn Slot>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Clone + Send + Sync + 'static> Slot for T {
    fn duplicate(&self) -> Box<dyn Slot> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The node that was chosen; in the state from Reserve on.
#[derive(Debug, Clone)]
pub struct ChosenNode(pub Arc<Node>);

/// State of one attempt. Cloning copies every value, so that a simulation (preemption) does not touch the original.
#[derive(Default)]
pub struct CycleState {
    slots: Vec<(TypeId, Box<dyn Slot>)>,
    /// Names of plugins whose Filter is skipped in this attempt.
    pub skip_filter: Vec<&'static str>,
    /// Names of plugins whose Score is skipped in this attempt.
    pub skip_score: Vec<&'static str>,
}

impl Clone for CycleState {
    fn clone(&self) -> Self {
        Self {
            slots: self.slots.iter().map(|(id, slot)| (*id, (**slot).duplicate())).collect(),
            skip_filter: self.skip_filter.clone(),
            skip_score: self.skip_score.clone(),
        }
    }
}

impl CycleState {
    /// Stores a value, replacing an earlier one of the same type.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        match self.slots.iter_mut().find(|(known, _)| *known == id) {
            Some((_, slot)) => *slot = Box::new(value),
            None => self.slots.push((id, Box::new(value))),
        }
    }

    /// The value of a type, if a plugin stored one.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        self.slots.iter().find(|(known, _)| *known == id).and_then(|(_, slot)| (**slot).as_any().downcast_ref())
    }

    /// As [`CycleState::get`], to change it.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        let id = TypeId::of::<T>();
        self.slots.iter_mut().find(|(known, _)| *known == id).and_then(|(_, slot)| (**slot).as_any_mut().downcast_mut())
    }
}

impl std::fmt::Debug for CycleState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CycleState").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_one_value_per_type_and_clones_deeply() {
        let mut state = CycleState::default();
        state.insert(1_u32);
        state.insert(2_u32);
        state.insert(String::from("a"));
        let mut copy = state.clone();
        *copy.get_mut::<u32>().unwrap() = 3;
        assert_eq!((state.get::<u32>(), copy.get::<u32>()), (Some(&2), Some(&3)));
        assert_eq!(state.get::<i8>(), None);
    }
}
