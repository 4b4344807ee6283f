//! Objects to text. Pure: from values and options to strings.
//! Corresponds to cli-runtime/pkg/printers and kubectl/pkg/cmd/get (printers).

mod custom_columns;
mod flags;
mod gosyntax;
mod gotemplate;
mod json;
pub mod jsonpath;
mod kyaml;
mod name;
mod sort;
mod table;
mod tabwriter;

pub use apimachinery::gofmt::{format_float, sprint};
pub use custom_columns::CustomColumns;
pub use flags::{GenericPrinter, PrintFlags, Printed, human_output, print_flags};
pub use json::{indent4, typed_json, typed_value};
pub use jsonpath::{JsonPath, relaxed_expression};
pub(crate) use kyaml::encode as kyaml;
pub use name::name_line;
pub use sort::{sort_objects, sort_table};
pub use table::{TableOptions, TablePrinter, format_labels};
pub use tabwriter::TabWriter;
