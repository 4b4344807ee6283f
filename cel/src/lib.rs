//! The Common Expression Language as the API server uses it, over [`apimachinery::value::Value`] trees that are never copied.
//!
//! Pure: no IO, no clock. [`Environment`] declares what an expression may name, [`Environment::compile`] parses and checks
//! it, [`Program::run`] evaluates it within a cost limit, [`cost::estimate`] says what it may cost at most.
//! Corresponds to github.com/google/cel-go and apiserver/pkg/cel.

pub mod ast;
mod check;
pub mod cost;
mod decl;
mod environment;
pub mod escaping;
mod eval;
mod functions;
mod lexer;
mod macros;
mod overloads;
mod parser;
mod source;
mod types;
mod value;

pub use decl::{Decl, Field, Shape};
pub use environment::{CompileError, CompileErrorKind, Environment, Program};
pub use eval::{Activation, EvalError, Variable};
pub use functions::authorizer::{Authorize, Question, Verdict};
pub use overloads::struct_type;
pub use source::{Issue, Source};
pub use types::Type;
pub use value::{Text, Val};
