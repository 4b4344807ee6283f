//! What an expression may name, and expressions made ready to run. Upstream: cel-go cel/env.go, apiserver/pkg/cel/environment

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Expr, Kind, Literal};
use crate::check::{self, Checked};
use crate::cost::{self, Estimate};
use crate::decl::Decl;
use crate::overloads::JSON_PATCH;
use crate::source::{Issue, Source};
use crate::types::Type;
use crate::{functions, parser};

/// Declared variables and types of objects.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: HashMap<Arc<str>, Type>,
    declared: HashMap<Arc<str>, Arc<Decl>>,
    pub(crate) structs: HashMap<Arc<str>, Arc<Decl>>,
    pub(crate) patching: bool,
    bindings: bool,
}

/// An expression that does not compile.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// What kind of error it is.
    pub kind: CompileErrorKind,
    /// Upstream's text, with the lines and marks.
    pub message: String,
}

/// Kinds of errors of compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileErrorKind {
    /// It is no expression, or its types do not fit.
    Invalid,
    /// It is one of another type than wanted.
    ResultType,
}

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) expr: Expr,
    pub(crate) checked: Checked,
    declared: HashMap<Arc<str>, Arc<Decl>>,
    /// As written.
    pub text: Box<str>,
}

impl Environment {
    /// With the libraries and no variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a variable by its type alone.
    #[must_use]
    pub fn with(mut self, name: &str, ty: Type) -> Self {
        self.variables.insert(name.into(), ty);
        self
    }

    /// Declares a variable with all that is known of it.
    #[must_use]
    pub fn with_decl(mut self, name: &str, decl: Arc<Decl>) -> Self {
        decl.collect(&mut self.structs);
        self.variables.insert(name.into(), decl.ty.clone());
        self.declared.insert(name.into(), decl);
        self
    }

    /// Lets expressions make objects (`Object{…}`) and JSON patches.
    #[must_use]
    pub fn with_patches(mut self) -> Self {
        self.patching = true;
        self
    }

    /// Gives expressions the macro `cel.bind(name, value, expression)`.
    #[must_use]
    pub fn with_bindings(mut self) -> Self {
        self.bindings = true;
        self
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    pub(crate) fn struct_named(&self, name: &str) -> Option<Type> {
        let patch = self.patching && (name == JSON_PATCH || name == "Object" || name.starts_with("Object."));
        (patch || self.structs.contains_key(name)).then(|| Type::object(name))
    }

    /// Parses and checks.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn compile(&self, text: &str) -> Result<Program, CompileError> {
        let source = Source::new(text);
        let invalid =
            |issues: Vec<Issue>| CompileError { kind: CompileErrorKind::Invalid, message: source.display(&issues) };
        let (mut expr, ids) = parser::parse(text, self.bindings).map_err(invalid)?;
        let checked = check::check(self, &mut expr, ids).map_err(invalid)?;
        let issues = literal_issues(&expr);
        if !issues.is_empty() {
            return Err(invalid(issues));
        }
        Ok(Program { expr, checked, declared: self.declared.clone(), text: text.into() })
    }
}

impl Program {
    /// The type of the result.
    pub fn result_type(&self) -> &Type {
        self.checked.of(&self.expr)
    }

    /// Whether the expression mentions a variable.
    pub fn mentions(&self, name: &str) -> bool {
        let mut found = false;
        self.expr.walk(&mut |e| found |= e.ident().is_some_and(|n| **n == *name));
        found
    }

    /// What running may cost.
    pub fn estimate(&self) -> Estimate {
        cost::estimate(&self.expr, &self.checked, &self.declared)
    }
}

/// Literal regexes, durations and times that are none. Upstream: cel-go cel/validator.go
fn literal_issues(expr: &Expr) -> Vec<Issue> {
    let mut issues = Vec::new();
    expr.walk(&mut |e| {
        let Kind::Call(call) = &e.kind else { return };
        let Some(arg) = call.args.last() else { return };
        let Kind::Literal(Literal::String(text)) = &arg.kind else { return };
        let what = match &*call.function {
            "matches" if functions::regexes::compile(text).is_err() => "matches",
            "duration" if functions::time::parse_duration(text).is_none() => "duration",
            "timestamp" if functions::time::parse_timestamp(text).is_none() => "timestamp",
            _ => return,
        };
        issues.push(Issue { at: arg.at, message: format!("invalid {what} argument") });
    });
    issues
}
