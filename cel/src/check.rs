//! Gives every node a type and every call its overloads; resolves qualified names in place.
//! Upstream: cel-go checker/checker.go

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Call, Comprehension, Entry, Expr, FieldInit, Kind, Literal};
use crate::environment::Environment;
use crate::overloads::{self, JSON_PATCH, struct_type};
use crate::source::Issue;
use crate::types::{Bindings, Type, joined, most_general};

/// What checking found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    /// Types by number of node.
    pub types: Vec<Type>,
    /// Overloads by number of node: indices into the overloads of the called function.
    pub overloads: HashMap<usize, Vec<usize>>,
}

impl Checked {
    pub(crate) fn of(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id).unwrap_or(&Type::Dyn)
    }
}

/// Checks; the tree is changed where names are qualified.
///
/// # Errors
/// What does not fit.
pub(crate) fn check(env: &Environment, expr: &mut Expr, ids: usize) -> Result<Checked, Vec<Issue>> {
    let mut checker = Checker {
        env,
        scopes: Vec::new(),
        bindings: Bindings::default(),
        fresh: 0,
        out: Checked { types: vec![Type::Dyn; ids], overloads: HashMap::new() },
        issues: Vec::new(),
    };
    checker.check(expr);
    let Checker { bindings, mut out, issues, .. } = checker;
    if !issues.is_empty() {
        return Err(issues);
    }
    for ty in &mut out.types {
        *ty = bindings.apply(ty, true);
    }
    Ok(out)
}

struct Checker<'e> {
    env: &'e Environment,
    scopes: Vec<(Arc<str>, Type)>,
    bindings: Bindings,
    fresh: usize,
    out: Checked,
    issues: Vec<Issue>,
}

/// `a.b.c` as a name.
fn qualified(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.to_string()),
        Kind::Select { operand, field, test: false } => Some(format!("{}.{field}", qualified(operand)?)),
        _ => None,
    }
}

impl Checker<'_> {
    fn issue(&mut self, at: usize, message: String) {
        self.issues.push(Issue { at, message });
    }

    fn mismatch(&mut self, at: usize, want: &Type, found: &Type) {
        self.issue(at, format!("expected type '{want}' but found '{found}'"));
    }

    fn set(&mut self, expr: &Expr, ty: Type) {
        self.out.types[expr.id] = ty;
    }

    fn of(&self, expr: &Expr) -> Type {
        self.out.types[expr.id].clone()
    }

    fn new_var(&mut self) -> Type {
        self.fresh += 1;
        Type::Param(format!("_var{}", self.fresh - 1).into())
    }

    fn lookup(&self, name: &str) -> Option<Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        let local = self.scopes.iter().rev().find(|(n, _)| **n == *name).map(|(_, ty)| ty.clone());
        local.or_else(|| self.env.variable(name).cloned()).or_else(|| {
            let ty = self.env.struct_named(name).or_else(|| struct_type(name))?;
            Some(Type::Type(Some(Arc::new(ty))))
        })
    }

    fn check(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            Kind::Literal(literal) => {
                let ty = match literal {
                    Literal::Null => Type::Null,
                    Literal::Bool(_) => Type::Bool,
                    Literal::Int(_) => Type::Int,
                    Literal::Uint(_) => Type::Uint,
                    Literal::Double(_) => Type::Double,
                    Literal::String(_) => Type::String,
                    Literal::Bytes(_) => Type::Bytes,
                };
                self.set(expr, ty);
            }
            Kind::Ident(name) => {
                let ty = self.lookup(name);
                if ty.is_none() {
                    let message = format!("undeclared reference to '{name}' (in container '')");
                    self.issue(expr.at, message);
                }
                self.set(expr, ty.unwrap_or(Type::Error));
            }
            Kind::Select { .. } => self.check_select(expr),
            Kind::Call(_) => self.check_call(expr),
            Kind::List { items, optional } => {
                let (id, ty) = (expr.id, Self::check_items(self, items, optional));
                self.out.types[id] = Type::list(ty);
            }
            Kind::Map(entries) => {
                let (id, ty) = (expr.id, Self::check_entries(self, entries));
                self.out.types[id] = ty;
            }
            Kind::Struct { name, fields } => {
                let (id, at) = (expr.id, expr.at);
                let ty = self.check_struct(at, &name.clone(), fields);
                self.out.types[id] = ty;
            }
            Kind::Comprehension(c) => {
                let id = expr.id;
                let ty = self.check_loop(c);
                self.out.types[id] = ty;
            }
        }
    }

    fn check_select(&mut self, expr: &mut Expr) {
        if let Some(name) = qualified(expr)
            && let Some(ty) = self.lookup(&name)
        {
            expr.kind = Kind::Ident(name.into());
            self.set(expr, ty);
            return;
        }
        let at = expr.at;
        let Kind::Select { operand, field, test } = &mut expr.kind else { return };
        let (field, test) = (field.clone(), *test);
        let ty = self.select_field(at, operand, &field, false);
        let ty = if test { Type::Bool } else { self.bindings.apply(&ty, false) };
        self.set(expr, ty);
    }

    fn select_field(&mut self, at: usize, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let whole = self.bindings.apply(&self.of(operand), false);
        let target = whole.unwrapped().unwrap_or(&whole).clone();
        let result = match &target {
            Type::Map(kv) => kv.1.clone(),
            Type::Struct(name) => self.field_type(at, name, field),
            Type::Param(_) => {
                self.bindings.assign(&Type::Dyn, &target);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.issue(at, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if whole.unwrapped().is_some() || optional { Type::optional(result) } else { result }
    }

    fn field_type(&mut self, at: usize, name: &str, field: &str) -> Type {
        if self.env.patching && (name == JSON_PATCH || name == "Object" || name.starts_with("Object.")) {
            return match (name, field) {
                (JSON_PATCH, "op" | "path" | "from") => Type::String,
                (JSON_PATCH, "value") => Type::Dyn,
                (JSON_PATCH, _) => {
                    self.issue(at, format!("undefined field '{field}'"));
                    Type::Error
                }
                _ => Type::Dyn,
            };
        }
        let Some(decl) = self.env.structs.get(name) else {
            self.issue(at, format!("unexpected failed resolution of '{name}'"));
            return Type::Error;
        };
        match decl.field(field) {
            Some(found) => found.decl.ty.clone(),
            None => {
                self.issue(at, format!("undefined field '{field}'"));
                Type::Error
            }
        }
    }

    fn check_call(&mut self, expr: &mut Expr) {
        let (at, id) = (expr.at, expr.id);
        let Kind::Call(call) = &mut expr.kind else { return };
        if &*call.function == "_?._" {
            let ty = self.check_optional_select(at, call);
            self.out.types[id] = ty;
            return;
        }
        call.args.iter_mut().for_each(|arg| self.check(arg));
        if let Some(target) = call.target.as_deref_mut() {
            let name = qualified(target).map(|prefix| format!("{prefix}.{}", call.function));
            let function = name.filter(|n| overloads::overloads(n, self.env.patching).is_some());
            if let Some(name) = function {
                (call.function, call.target) = (name.into(), None);
            } else {
                self.check(target);
            }
        }
        let ty = self.resolve(at, id, call);
        self.out.types[id] = ty;
    }

    fn check_optional_select(&mut self, at: usize, call: &mut Call) -> Type {
        let [operand, field] = call.args.as_mut_slice() else { return Type::Error };
        let Kind::Literal(Literal::String(name)) = &field.kind else { return Type::Error };
        let name = name.clone();
        self.out.types[field.id] = Type::String;
        let ty = self.select_field(at, operand, &name, true);
        self.bindings.apply(&ty, false)
    }

    fn resolve(&mut self, at: usize, id: usize, call: &Call) -> Type {
        let name = &*call.function;
        let Some(overloads) = overloads::overloads(name, self.env.patching) else {
            self.issue(at, format!("undeclared reference to '{name}' (in container '')"));
            return Type::Error;
        };
        let mut args: Vec<Type> = call.target.iter().map(|t| self.of(t)).collect();
        args.extend(call.args.iter().map(|a| self.of(a)));
        if matches!(name, "_&&_" | "_||_") {
            self.out.overloads.insert(id, vec![0]);
            return self.all_bool(call, &args);
        }
        let mut result: Option<Type> = None;
        for (index, overload) in overloads.iter().enumerate() {
            if overload.member != call.target.is_some() || overload.args.len() != args.len() {
                continue;
            }
            let mut fresh = Bindings::default();
            for param in &overload.params {
                let var = self.new_var();
                fresh.bind(param.clone(), var);
            }
            let wanted: Vec<Type> = overload.args.iter().map(|t| fresh.apply(t, false)).collect();
            if !self.bindings.assign_all(&args, &wanted) {
                continue;
            }
            self.out.overloads.entry(id).or_default().push(index);
            let ty = self.bindings.apply(&fresh.apply(&overload.result, false), false);
            result = Some(match result {
                None => ty,
                Some(before) if before.is_dyn() || before == ty => before,
                Some(_) => Type::Dyn,
            });
        }
        result.unwrap_or_else(|| {
            args.iter_mut().for_each(|t| *t = self.bindings.apply(t, true));
            let signature = match (&call.target, args.as_slice()) {
                (Some(_), [target, rest @ ..]) => format!("{target}.({})", joined(rest)),
                _ => format!("({})", joined(&args)),
            };
            self.issue(at, format!("found no matching overload for '{name}' applied to '{signature}'"));
            Type::Error
        })
    }

    fn all_bool(&mut self, call: &Call, args: &[Type]) -> Type {
        let mut result = Type::Bool;
        for (arg, ty) in call.args.iter().zip(args) {
            if !self.bindings.assign(ty, &Type::Bool) {
                self.mismatch(arg.at, &Type::Bool, ty);
                result = Type::Error;
            }
        }
        result
    }

    /// The type of an optional member's content.
    fn unwrap_optional(&mut self, expr: &Expr, ty: Type) -> Type {
        match ty.unwrapped() {
            Some(inner) => inner.clone(),
            None => {
                if !ty.is_dyn() {
                    self.mismatch(expr.at, &Type::optional(ty.clone()), &ty);
                }
                ty
            }
        }
    }

    fn join(&mut self, expr: &Expr, before: Option<Type>, ty: Type) -> Option<Type> {
        let Some(before) = before else { return Some(ty) };
        if self.bindings.assign(&before, &ty) {
            return Some(most_general(&before, &ty).clone());
        }
        self.mismatch(expr.at, &before, &ty);
        Some(Type::Error)
    }

    fn check_items(&mut self, items: &mut [Expr], optional: &[usize]) -> Type {
        let mut all = None;
        for (i, item) in items.iter_mut().enumerate() {
            self.check(item);
            let mut ty = self.of(item);
            if optional.contains(&i) {
                ty = self.unwrap_optional(item, ty);
            }
            all = self.join(item, all, ty);
        }
        all.unwrap_or_else(|| self.new_var())
    }

    fn check_entries(&mut self, entries: &mut [Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(&mut entry.key);
            let ty = self.of(&entry.key);
            keys = self.join(&entry.key, keys, ty);
            self.check(&mut entry.value);
            let mut ty = self.of(&entry.value);
            if entry.optional {
                ty = self.unwrap_optional(&entry.value, ty);
            }
            values = self.join(&entry.value, values, ty);
        }
        let keys = keys.unwrap_or_else(|| self.new_var());
        let values = values.unwrap_or_else(|| self.new_var());
        Type::map(keys, values)
    }

    fn check_struct(&mut self, at: usize, name: &str, fields: &mut [FieldInit]) -> Type {
        let Some(found) = self.lookup(name) else {
            self.issue(at, format!("undeclared reference to '{name}' (in container '')"));
            return Type::Error;
        };
        let mut result = Type::Error;
        match &found {
            Type::Type(Some(of)) => match &**of {
                Type::Struct(_) => result = (**of).clone(),
                other => self.issue(at, format!("'{other}' is not a message type")),
            },
            other => self.issue(at, format!("'{other}' is not a type")),
        }
        for field in fields {
            self.check(&mut field.value);
            let wanted = match &result {
                Type::Struct(name) => self.field_type(field.at, &name.clone(), &field.name),
                _ => Type::Error,
            };
            let mut ty = self.of(&field.value);
            if field.optional {
                ty = self.unwrap_optional(&field.value, ty);
            }
            if !self.bindings.assign(&wanted, &ty) {
                let message =
                    format!("expected type of field '{}' is '{wanted}' but provided type is '{ty}'", field.name);
                self.issue(field.at, message);
            }
        }
        result
    }

    fn check_loop(&mut self, c: &mut Comprehension) -> Type {
        self.check(&mut c.range);
        self.check(&mut c.init);
        let range = self.bindings.apply(&self.of(&c.range), false);
        let accu = self.of(&c.init);
        let depth = self.scopes.len();
        self.scopes.push((c.accu.clone(), accu.clone()));
        let two = c.var2.is_some();
        let (first, second) = match &range {
            Type::List(of) if two => (Type::Int, (**of).clone()),
            Type::List(of) => ((**of).clone(), Type::Dyn),
            Type::Map(kv) => (kv.0.clone(), kv.1.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.bindings.assign(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(c.range.at, message);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((c.var.clone(), first));
        if let Some(var2) = &c.var2 {
            self.scopes.push((var2.clone(), second));
        }
        self.check(&mut c.condition);
        self.assert(&c.condition, &Type::Bool);
        self.check(&mut c.step);
        self.assert(&c.step, &accu);
        self.scopes.truncate(depth + 1);
        self.check(&mut c.result);
        self.scopes.truncate(depth);
        self.bindings.apply(&self.of(&c.result), false)
    }

    fn assert(&mut self, expr: &Expr, want: &Type) {
        let ty = self.of(expr);
        if !self.bindings.assign(want, &ty) {
            self.mismatch(expr.at, want, &ty);
        }
    }
}
