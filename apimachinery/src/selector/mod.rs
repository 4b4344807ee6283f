//! Label and field selectors: text in, a predicate out. Pure. Correspond to upstream's apimachinery/pkg/labels and pkg/fields.

pub mod field;
pub mod label;
