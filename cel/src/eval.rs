//! Runs expressions, counting what it costs. Upstream: cel-go interpreter, interpreter/runtimecost.go

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Call, Comprehension, Entry, Expr, Kind, Literal};
use crate::environment::Program;
use crate::functions;
use crate::functions::authorizer::Authorize;
use crate::overloads::struct_type;
use crate::value::{List, Mapping, Struct, Text, Val};

/// Why an expression has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Something went wrong in it.
    #[error("{0}")]
    Failed(String),
    /// It cost too much.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostExceeded,
}

impl EvalError {
    /// With a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

pub(crate) type Result<'a> = std::result::Result<Val<'a>, EvalError>;

/// A variable of a policy.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: Box<str>,
    /// What it stands for, or why it does not compile.
    pub program: Arc<std::result::Result<Program, String>>,
}

/// What the variables stand for in a run.
pub struct Activation<'a> {
    variables: Vec<(&'static str, Val<'a>)>,
    composed: &'a [Variable],
    known: RefCell<HashMap<usize, Result<'a>>>,
    authorizer: Option<&'a dyn Authorize>,
}

impl<'a> Activation<'a> {
    /// With no variables.
    pub fn new() -> Self {
        Self { variables: Vec::new(), composed: &[], known: RefCell::default(), authorizer: None }
    }

    /// With a variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Val<'a>) -> Self {
        self.variables.push((name, value));
        self
    }

    /// With `variables.NAME`, each computed once when first asked for.
    #[must_use]
    pub fn with_composed(mut self, composed: &'a [Variable]) -> Self {
        self.composed = composed;
        self.variables.push(("variables", Val::Variables));
        self
    }

    /// With one who answers the checks of `authorizer`.
    #[must_use]
    pub fn with_authorizer(mut self, authorizer: &'a dyn Authorize) -> Self {
        self.authorizer = Some(authorizer);
        self
    }
}

impl Default for Activation<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Program {
    /// Evaluates; returns what that cost, too.
    pub fn run<'a>(&self, activation: &Activation<'a>, limit: u64) -> (Result<'a>, u64) {
        let mut evaluator = Evaluator { activation, locals: Vec::new(), cost: 0, limit };
        let result = evaluator.eval(&self.expr);
        (result, evaluator.cost)
    }
}

/// A run.
pub(crate) struct Evaluator<'x, 'a> {
    activation: &'x Activation<'a>,
    locals: Vec<(Arc<str>, Val<'a>)>,
    cost: u64,
    limit: u64,
}

pub(crate) fn fail<'a>(text: impl Into<String>) -> Result<'a> {
    Err(EvalError::new(text))
}

pub(crate) fn no_overload<'a>(function: &str, args: &[Val<'a>]) -> Result<'a> {
    let types: Vec<&str> = args.iter().map(Val::type_name).collect();
    fail(format!("no such overload: {function}({})", types.join(", ")))
}

impl<'a> Evaluator<'_, 'a> {
    pub(crate) fn authorizer(&self) -> Option<&'a dyn Authorize> {
        self.activation.authorizer
    }

    fn charge(&mut self, cost: u64) -> std::result::Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(EvalError::CostExceeded) } else { Ok(()) }
    }

    fn eval(&mut self, expr: &Expr) -> Result<'a> {
        match &expr.kind {
            Kind::Literal(literal) => Ok(constant(literal)),
            Kind::Ident(name) => {
                self.charge(1)?;
                self.variable(name)
            }
            Kind::Select { operand, field, test } => {
                let value = self.eval(operand)?;
                if *test {
                    return self.has(value, field);
                }
                self.charge(1)?;
                self.select(&value, field)
            }
            Kind::Call(call) => self.call(call),
            Kind::List { items, optional } => self.make_list(items, optional),
            Kind::Map(entries) => self.make_map(entries),
            Kind::Struct { name, fields } => {
                let mut made = Vec::with_capacity(fields.len());
                for field in fields {
                    let value = self.eval(&field.value)?;
                    match (field.optional, value) {
                        (false, value) => made.push((field.name.clone(), value)),
                        (true, Val::Optional(Some(inner))) => made.push((field.name.clone(), (*inner).clone())),
                        (true, Val::Optional(None)) => {}
                        (true, other) => {
                            return fail(format!(
                                "cannot initialize optional entry '{}' from non-optional value {other}",
                                field.name
                            ));
                        }
                    }
                }
                self.charge(40)?;
                Ok(Val::Struct(Arc::new(Struct { name: name.clone(), fields: made })))
            }
            Kind::Comprehension(c) => self.repeat(c),
        }
    }

    fn variable(&mut self, name: &str) -> Result<'a> {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some((_, value)) = self.locals.iter().rev().find(|(n, _)| **n == *name) {
            return Ok(value.clone());
        }
        if let Some((_, value)) = self.activation.variables.iter().find(|(n, _)| *n == name) {
            return Ok(value.clone());
        }
        if struct_type(name).is_some() {
            return Ok(Val::Type(name.into()));
        }
        fail(format!("no such attribute(s): {name}"))
    }

    /// `variables.NAME`
    fn composed(&mut self, name: &str) -> Result<'a> {
        let composed = self.activation.composed;
        let Some(at) = composed.iter().position(|v| *v.name == *name) else {
            return fail(format!("no such key: {name}"));
        };
        if let Some(known) = self.activation.known.borrow().get(&at) {
            return known.clone();
        }
        let result = match &*composed[at].program {
            Ok(program) => {
                let (result, cost) = program.run(self.activation, self.limit.saturating_sub(self.cost));
                self.charge(cost)?;
                result.map_err(|error| match error {
                    EvalError::Failed(text) => {
                        EvalError::new(format!("composited variable \"{name}\" fails to evaluate: {text}"))
                    }
                    other => other,
                })
            }
            Err(why) => fail(format!("composited variable \"{name}\" fails to compile: {why}")),
        };
        self.activation.known.borrow_mut().insert(at, result.clone());
        result
    }

    fn select(&mut self, value: &Val<'a>, field: &str) -> Result<'a> {
        match value {
            Val::Map(map) => {
                let found = map.get(&Val::Str(Text::Borrowed(field)));
                found.ok_or_else(|| EvalError::new(format!("no such key: {field}")))
            }
            Val::Variables => self.composed(field),
            Val::Struct(made) => match made.fields.iter().find(|(n, _)| **n == *field) {
                Some((_, value)) => Ok(value.clone()),
                None => fail(format!("no such key: {field}")),
            },
            Val::Optional(None) => Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => Ok(Val::Optional(self.find(inner, field)?.map(Arc::new))),
            Val::List(_) => fail("unsupported index type 'string' in list"),
            _ => fail(format!("no such key: {field}")),
        }
    }

    /// The field, if it is there.
    fn find(&mut self, value: &Val<'a>, field: &str) -> std::result::Result<Option<Val<'a>>, EvalError> {
        match value {
            Val::Map(map) => Ok(map.get(&Val::Str(Text::Borrowed(field)))),
            Val::Variables => self.composed(field).map(Some),
            Val::Struct(made) => Ok(made.fields.iter().find(|(n, _)| **n == *field).map(|(_, v)| v.clone())),
            Val::Optional(Some(inner)) => self.find(inner, field),
            Val::List(_) => Err(EvalError::new("unsupported index type 'string' in list")),
            _ => Ok(None),
        }
    }

    fn has(&mut self, value: Val<'a>, field: &str) -> Result<'a> {
        if let Val::Variables = value {
            return Ok(Val::Bool(self.activation.composed.iter().any(|v| *v.name == *field)));
        }
        Ok(Val::Bool(self.find(&value, field)?.is_some()))
    }

    fn index(&mut self, value: &Val<'a>, index: &Val<'a>, optional: bool) -> Result<'a> {
        let found = match value {
            Val::Map(map) => map.get(index),
            Val::Variables => return self.composed(index.as_str().unwrap_or("")),
            Val::List(list) => {
                let at = whole_index(index)?;
                usize::try_from(at).ok().and_then(|at| list.get(at))
            }
            Val::Optional(None) => return Ok(Val::Optional(None)),
            Val::Optional(Some(inner)) => return self.index(&inner.clone(), index, true),
            Val::Struct(_) => return self.select(value, index.as_str().unwrap_or("")),
            _ => None,
        };
        match (found, optional) {
            (Some(value), false) => Ok(value),
            (Some(value), true) => Ok(Val::some(value)),
            (None, true) => Ok(Val::Optional(None)),
            (None, false) if matches!(value, Val::List(_)) => fail(format!("index out of bounds: {index}")),
            (None, false) => fail(format!("no such key: {index}")),
        }
    }

    fn call(&mut self, call: &Call) -> Result<'a> {
        match (&*call.function, call.args.as_slice()) {
            ("_&&_", [left, right]) => return self.logical(left, right, false),
            ("_||_", [left, right]) => return self.logical(left, right, true),
            ("_?_:_", [condition, yes, no]) => {
                return match self.eval(condition)? {
                    Val::Bool(true) => self.eval(yes),
                    Val::Bool(false) => self.eval(no),
                    _ => fail("no such overload"),
                };
            }
            ("@not_strictly_false", [arg]) => {
                let value = match self.eval(arg) {
                    Err(EvalError::CostExceeded) => return Err(EvalError::CostExceeded),
                    value => value,
                };
                self.charge(1)?;
                return Ok(Val::Bool(!matches!(value, Ok(Val::Bool(false)))));
            }
            ("_?._", [operand, field]) => {
                let value = self.eval(operand)?;
                self.charge(1)?;
                let Kind::Literal(Literal::String(name)) = &field.kind else { return fail("no such overload") };
                return Ok(Val::Optional(self.find(&value, name)?.map(Arc::new)));
            }
            ("_[_]" | "_[?_]", [operand, index]) => {
                let value = self.eval(operand)?;
                let index = self.eval(index)?;
                self.charge(1)?;
                return self.index(&value, &index, &*call.function == "_[?_]");
            }
            _ => {}
        }
        if let Some(target) = &call.target
            && matches!(&*call.function, "or" | "orValue")
            && let [other] = call.args.as_slice()
        {
            return self.alternative(target, other, &call.function);
        }
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for arg in call.target.iter().map(|t| &**t).chain(&call.args) {
            args.push(self.eval(arg)?);
        }
        let result = functions::call(self, &call.function, &args)?;
        self.charge(functions::costs::of_call(&call.function, call.target.is_some(), &args, &result))?;
        Ok(result)
    }

    /// `&&` and `||`: an error counts only if the other side does not decide.
    fn logical(&mut self, left: &Expr, right: &Expr, decides: bool) -> Result<'a> {
        let mut problem = None;
        for side in [left, right] {
            match self.eval(side) {
                Ok(Val::Bool(b)) if b == decides => return Ok(Val::Bool(decides)),
                Ok(Val::Bool(_)) => {}
                Ok(_) => problem = problem.or(Some(EvalError::new("no such overload"))),
                Err(EvalError::CostExceeded) => return Err(EvalError::CostExceeded),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        problem.map_or(Ok(Val::Bool(!decides)), Err)
    }

    /// `optional.or(other)` and `optional.orValue(other)`
    fn alternative(&mut self, target: &Expr, other: &Expr, function: &str) -> Result<'a> {
        let value = self.eval(target)?;
        match value {
            Val::Optional(Some(inner)) if function == "orValue" => Ok((*inner).clone()),
            Val::Optional(Some(_)) => Ok(value),
            Val::Optional(None) => self.eval(other),
            _ => fail("no such overload"),
        }
    }

    fn make_list(&mut self, items: &[Expr], optional: &[usize]) -> Result<'a> {
        let mut made = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let value = self.eval(item)?;
            if !optional.contains(&i) {
                made.push(value);
                continue;
            }
            match value {
                Val::Optional(Some(inner)) => made.push((*inner).clone()),
                Val::Optional(None) => {}
                other => {
                    return fail(format!("cannot initialize optional list element from non-optional value {other}"));
                }
            }
        }
        self.charge(10)?;
        Ok(Val::list(made))
    }

    fn make_map(&mut self, entries: &[Entry]) -> Result<'a> {
        let mut made: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let value = self.eval(&entry.value)?;
            if made.iter().any(|(k, _)| k.same(&key)) {
                return fail(format!("Failed with repeated key: {key}"));
            }
            match (entry.optional, value) {
                (false, value) => made.push((key, value)),
                (true, Val::Optional(Some(inner))) => made.push((key, (*inner).clone())),
                (true, Val::Optional(None)) => {}
                (true, other) => {
                    return fail(format!("cannot initialize optional entry '{key}' from non-optional value {other}"));
                }
            }
        }
        self.charge(30)?;
        Ok(Val::Map(Mapping::Made(Arc::new(made))))
    }

    fn repeat(&mut self, c: &Comprehension) -> Result<'a> {
        let range = self.eval(&c.range)?;
        let depth = self.locals.len();
        let init = self.eval(&c.init);
        let mut accu = init;
        let two = c.var2.is_some();
        let mut members: Box<dyn Iterator<Item = (Val<'a>, Option<Val<'a>>)>> = match &range {
            Val::List(list) => {
                let list: List<'a> = list.clone();
                let length = list.len();
                Box::new((0..length).filter_map(move |i| {
                    let item = list.get(i)?;
                    Some(if two { (Val::Int(i64::try_from(i).ok()?), Some(item)) } else { (item, None) })
                }))
            }
            Val::Map(map) => {
                let entries: Vec<_> = map.iter().collect();
                Box::new(entries.into_iter().map(move |(k, v)| (k, two.then_some(v))))
            }
            other => return fail(format!("no such overload: {}", other.type_name())),
        };
        let result = loop {
            let Some((first, second)) = members.next() else { break Ok(()) };
            self.locals.truncate(depth);
            self.bind(c, &accu, first, second);
            let go_on = match &accu {
                // an error so far is kept unless a later member decides
                Err(EvalError::CostExceeded) => break Err(EvalError::CostExceeded),
                Err(_) => is_quantifier(c),
                Ok(_) => match self.eval(&c.condition) {
                    Ok(Val::Bool(b)) => b,
                    Ok(_) => true,
                    Err(error) => break Err(error),
                },
            };
            if !go_on {
                break Ok(());
            }
            accu = match accu {
                Ok(_) => self.eval(&c.step),
                Err(error) => self.recover(c, error),
            };
        };
        self.locals.truncate(depth);
        result?;
        self.locals.push((c.accu.clone(), accu?));
        let out = self.eval(&c.result);
        self.locals.truncate(depth);
        out
    }

    fn bind(&mut self, c: &Comprehension, accu: &Result<'a>, first: Val<'a>, second: Option<Val<'a>>) {
        if let Ok(value) = accu {
            self.locals.push((c.accu.clone(), value.clone()));
        }
        self.locals.push((c.var.clone(), first));
        if let (Some(name), Some(value)) = (&c.var2, second) {
            self.locals.push((name.clone(), value));
        }
    }

    /// The step of `all` or `exists` after an error: only a member that decides makes it forgotten.
    fn recover(&mut self, c: &Comprehension, error: EvalError) -> Result<'a> {
        let Kind::Call(call) = &c.step.kind else { return Err(error) };
        let decides = &*call.function == "_||_";
        match call.args.get(1).map(|member| self.eval(member)) {
            Some(Ok(Val::Bool(b))) if b == decides => Ok(Val::Bool(decides)),
            Some(Err(EvalError::CostExceeded)) => Err(EvalError::CostExceeded),
            _ => Err(error),
        }
    }
}

/// Whether errors of members may be forgotten: `all` and `exists`.
fn is_quantifier(c: &Comprehension) -> bool {
    matches!(&c.step.kind, Kind::Call(call) if matches!(&*call.function, "_&&_" | "_||_"))
}

fn constant<'a>(literal: &Literal) -> Val<'a> {
    match literal {
        Literal::Null => Val::Null,
        Literal::Bool(b) => Val::Bool(*b),
        Literal::Int(n) => Val::Int(*n),
        Literal::Uint(n) => Val::Uint(*n),
        Literal::Double(f) => Val::Double(*f),
        Literal::String(text) => Val::Str(Text::Shared(text.clone())),
        Literal::Bytes(bytes) => Val::Bytes(bytes.clone()),
    }
}

fn whole_index(index: &Val<'_>) -> std::result::Result<i64, EvalError> {
    match index {
        Val::Int(n) => Ok(*n),
        Val::Uint(n) => i64::try_from(*n).map_err(|_| EvalError::new(format!("unsupported index value {n} in list"))),
        #[expect(clippy::cast_possible_truncation, reason = "whole")]
        Val::Double(f) if f.fract() == 0.0 => Ok(*f as i64),
        Val::Double(f) => Err(EvalError::new(format!("unsupported index value {f} in list"))),
        other => Err(EvalError::new(format!("unsupported index type '{}' in list", other.type_name()))),
    }
}
