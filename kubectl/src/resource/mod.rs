//! The objects that a command is about, from arguments, selectors or files.
//! Corresponds to cli-runtime/pkg/resource.

mod builder;
mod helper;
mod info;
mod manifest;
mod watch;

pub use builder::{Builder, Found, has_names};
pub use helper::Helper;
pub use info::{Info, group_kind_of, is_list, list_items};
pub use manifest::{FilenameOptions, decode_documents};
pub use watch::{TIMED_OUT, Verdict, Watched};
