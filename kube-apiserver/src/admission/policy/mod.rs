//! Admission policies: expressions of policies, where bindings put them in force.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy

mod bindings;
pub mod expressions;
mod mutating;
mod validating;

pub use mutating::mutating;
pub use validating::validating;
