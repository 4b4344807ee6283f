//! Validation rules of custom resources: expressions compiled with the schema, run on objects.
//!
//! upstream: apiextensions-apiserver/pkg/apiserver/schema/cel

mod compile;
mod definition;
mod run;
#[cfg(test)]
mod tests;

pub(super) use compile::Rules;
pub(super) use definition::check as check_definition;

/// What one evaluation may cost.
const PER_CALL: u64 = 1_000_000;
/// What all rules of an object may cost together.
const PER_OBJECT: u64 = 10_000_000;
