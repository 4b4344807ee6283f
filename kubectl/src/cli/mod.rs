//! The command line: pflag's flag syntax, cobra's command lookup, help layout and suggestions.
//!
//! Knows nothing about Kubernetes. Corresponds to spf13/pflag, spf13/cobra and kubectl/pkg/util/templates.

mod command;
pub mod duration;
mod flags;
mod help;
pub mod pdqsort;
pub mod quote;
mod resolve;

pub use command::{Command, Invocation, RunFuture};
pub(crate) use flags::parse_bool;
pub use flags::{Flag, FlagError, FlagSet, Kind};
pub use help::{flag_usages, help_text, usage_text};
pub use resolve::{Resolved, resolve};
