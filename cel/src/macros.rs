//! Macros: `has`, the loops over one and two variables, and those of optionals.
//! Upstream: cel-go parser/macro.go, ext/comprehensions.go, cel/library.go

use std::sync::Arc;

use crate::ast::{Call, Comprehension, Expr, Kind, Literal};
use crate::parser::Parser;

/// Name of a loop's result.
pub(crate) const ACCU: &str = "@result";

/// A call of a function, or what the macro of its name becomes.
pub(crate) fn expand_function(p: &mut Parser, at: usize, name: Arc<str>, mut args: Vec<Expr>) -> Option<Expr> {
    if &*name == "has" && args.len() == 1 {
        let arg = args.remove(0);
        let place = arg.at;
        let Kind::Select { operand, field, test: false } = arg.kind else {
            p.issue(place, "invalid argument to has() macro");
            return None;
        };
        return Some(p.node(at, Kind::Select { operand, field, test: true }));
    }
    Some(p.node(at, Kind::Call(Call { function: name, target: None, args })))
}

/// A call of a method, or what the macro of its name becomes.
pub(crate) fn expand_method(p: &mut Parser, at: usize, target: Expr, name: Arc<str>, args: Vec<Expr>) -> Option<Expr> {
    let two = matches!((&*name, args.len()), ("all" | "exists" | "existsOne" | "exists_one", 3))
        || matches!((&*name, args.len()), ("transformList" | "transformMap" | "transformMapEntry", 3 | 4));
    let one = matches!((&*name, args.len()), ("all" | "exists" | "exists_one" | "existsOne" | "filter", 2))
        || matches!((&*name, args.len()), ("map", 2 | 3));
    if p.bindings && (&*name, args.len()) == ("bind", 3) && target.ident().is_some_and(|i| &**i == "cel") {
        return bind(p, at, args);
    }
    if (&*name, args.len()) == ("sortBy", 2) {
        return sort_by(p, at, target, args);
    }
    if matches!((&*name, args.len()), ("optMap" | "optFlatMap", 2)) {
        return opt_map(p, at, target, &*name == "optMap", args);
    }
    if !one && !two {
        let call = Call { function: name, target: Some(Box::new(target)), args };
        return Some(p.node(at, Kind::Call(call)));
    }
    let mut args = args.into_iter();
    let complaint = if matches!(&*name, "map" | "filter") {
        "argument is not an identifier"
    } else {
        "argument must be a simple name"
    };
    let var = simple_name(p, args.next()?, complaint)?;
    let var2 = if two { Some(args.next()?) } else { None };
    let var2 = match var2 {
        Some(arg) => {
            let place = arg.at;
            let second = simple_name(p, arg, complaint)?;
            if second == var {
                p.issue(place, format!("duplicate variable name: {second}"));
                return None;
            }
            Some(second)
        }
        None => None,
    };
    Some(repeat(p, at, target, &name, var, var2, args.collect()))
}

fn simple_name(p: &mut Parser, arg: Expr, complaint: &str) -> Option<Arc<str>> {
    match arg.kind {
        Kind::Ident(name) if !name.starts_with('.') => {
            if &*name == ACCU || &*name == "__result__" {
                p.issue(arg.at, "iteration variable overwrites accumulator variable");
                return None;
            }
            Some(name)
        }
        _ => {
            p.issue(arg.at, complaint);
            None
        }
    }
}

fn accu(p: &mut Parser, at: usize) -> Expr {
    p.node(at, Kind::Ident(ACCU.into()))
}

fn literal(p: &mut Parser, at: usize, literal: Literal) -> Expr {
    p.node(at, Kind::Literal(literal))
}

fn list_of(p: &mut Parser, at: usize, items: Vec<Expr>) -> Expr {
    p.node(at, Kind::List { items, optional: Vec::new() })
}

fn repeat(
    p: &mut Parser,
    at: usize,
    range: Expr,
    name: &str,
    var: Arc<str>,
    var2: Option<Arc<str>>,
    mut rest: Vec<Expr>,
) -> Expr {
    let last = rest.pop().unwrap_or(Expr { id: 0, at, kind: Kind::Literal(Literal::Null) });
    let filter = rest.pop();
    let (init, condition, step, result);
    match name {
        "all" => {
            init = literal(p, at, Literal::Bool(true));
            let so_far = accu(p, at);
            condition = p.call(at, "@not_strictly_false", vec![so_far]);
            let so_far = accu(p, at);
            step = p.call(at, "_&&_", vec![so_far, last]);
            result = accu(p, at);
        }
        "exists" => {
            init = literal(p, at, Literal::Bool(false));
            let so_far = accu(p, at);
            let not = p.call(at, "!_", vec![so_far]);
            condition = p.call(at, "@not_strictly_false", vec![not]);
            let so_far = accu(p, at);
            step = p.call(at, "_||_", vec![so_far, last]);
            result = accu(p, at);
        }
        "exists_one" | "existsOne" => {
            init = literal(p, at, Literal::Int(0));
            condition = literal(p, at, Literal::Bool(true));
            let (so_far, one) = (accu(p, at), literal(p, at, Literal::Int(1)));
            let more = p.call(at, "_+_", vec![so_far, one]);
            let same = accu(p, at);
            step = p.call(at, "_?_:_", vec![last, more, same]);
            let (so_far, one) = (accu(p, at), literal(p, at, Literal::Int(1)));
            result = p.call(at, "_==_", vec![so_far, one]);
        }
        "transformMap" | "transformMapEntry" => {
            init = p.node(at, Kind::Map(Vec::new()));
            condition = literal(p, at, Literal::Bool(true));
            let mut args = vec![accu(p, at)];
            if name == "transformMap" {
                args.push(p.node(at, Kind::Ident(var.clone())));
            }
            args.push(last);
            let more = p.call(at, "cel.@mapInsert", args);
            step = when(p, at, filter, more);
            result = accu(p, at);
        }
        _ => {
            init = list_of(p, at, Vec::new());
            condition = literal(p, at, Literal::Bool(true));
            let (filter, item) = match name {
                "filter" => (Some(last), p.node(at, Kind::Ident(var.clone()))),
                _ => (filter, last),
            };
            let item = list_of(p, at, vec![item]);
            let so_far = accu(p, at);
            let more = p.call(at, "_+_", vec![so_far, item]);
            step = when(p, at, filter, more);
            result = accu(p, at);
        }
    }
    let whole = Comprehension { range, var, var2, accu: ACCU.into(), init, condition, step, result };
    p.node(at, Kind::Comprehension(Box::new(whole)))
}

fn when(p: &mut Parser, at: usize, filter: Option<Expr>, more: Expr) -> Expr {
    match filter {
        Some(filter) => {
            let same = accu(p, at);
            p.call(at, "_?_:_", vec![filter, more, same])
        }
        None => more,
    }
}

/// `result`, in which `var` stands for `init`: a loop over nothing.
fn bound(p: &mut Parser, at: usize, var: Arc<str>, init: Expr, result: Expr) -> Expr {
    let range = list_of(p, at, Vec::new());
    let condition = literal(p, at, Literal::Bool(false));
    let step = p.node(at, Kind::Ident(var.clone()));
    let whole = Comprehension { range, var: "#unused".into(), var2: None, accu: var, init, condition, step, result };
    p.node(at, Kind::Comprehension(Box::new(whole)))
}

/// `cel.bind(name, value, expression)`
fn bind(p: &mut Parser, at: usize, args: Vec<Expr>) -> Option<Expr> {
    let mut args = args.into_iter();
    let (var, init, result) = (args.next()?, args.next()?, args.next()?);
    let Kind::Ident(name) = var.kind else {
        p.issue(var.at, "cel.bind() variable names must be simple identifiers");
        return None;
    };
    Some(bound(p, at, name, init, result))
}

/// `target.sortBy(v, key)`: sorted by a list of the keys.
fn sort_by(p: &mut Parser, at: usize, target: Expr, args: Vec<Expr>) -> Option<Expr> {
    const INPUT: &str = "@__sortBy_input__";
    if !matches!(
        target.kind,
        Kind::List { .. } | Kind::Select { .. } | Kind::Ident(_) | Kind::Comprehension(_) | Kind::Call(_)
    ) {
        let what = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
        p.issue(target.at, what);
        return None;
    }
    let input = p.node(at, Kind::Ident(INPUT.into()));
    let keys = expand_method(p, at, input, "map".into(), args)?;
    let input = Box::new(p.node(at, Kind::Ident(INPUT.into())));
    let call = Call { function: "@sortByAssociatedKeys".into(), target: Some(input), args: vec![keys] };
    let sorted = p.node(at, Kind::Call(call));
    Some(bound(p, at, INPUT.into(), target, sorted))
}

/// `target.optMap(v, e)`: the target is mentioned twice, as upstream does.
fn opt_map(p: &mut Parser, at: usize, target: Expr, wrap: bool, args: Vec<Expr>) -> Option<Expr> {
    let mut args = args.into_iter();
    let var = args.next()?;
    let place = var.at;
    let Kind::Ident(var) = var.kind else {
        let name = if wrap { "optMap()" } else { "optFlatMap()" };
        p.issue(place, format!("{name} variable name must be a simple identifier"));
        return None;
    };
    let mapped = args.next()?;
    let again = renumbered(p, &target);
    let method = |p: &mut Parser, target: Expr, name: &str| {
        p.node(at, Kind::Call(Call { function: name.into(), target: Some(Box::new(target)), args: Vec::new() }))
    };
    let test = method(p, target, "hasValue");
    let init = method(p, again, "value");
    let mut some = bound(p, at, var, init, mapped);
    if wrap {
        some = p.call(at, "optional.of", vec![some]);
    }
    let none = p.call(at, "optional.none", Vec::new());
    Some(p.call(at, "_?_:_", vec![test, some, none]))
}

/// The same tree with numbers of its own.
fn renumbered(p: &mut Parser, expr: &Expr) -> Expr {
    let mut copy = expr.clone();
    renumber(p, &mut copy);
    copy
}

fn renumber(p: &mut Parser, expr: &mut Expr) {
    expr.id = p.id();
    match &mut expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select { operand, .. } => renumber(p, operand),
        Kind::Call(call) => {
            call.target.iter_mut().for_each(|t| renumber(p, t));
            call.args.iter_mut().for_each(|a| renumber(p, a));
        }
        Kind::List { items, .. } => items.iter_mut().for_each(|e| renumber(p, e)),
        Kind::Map(entries) => entries.iter_mut().for_each(|e| {
            e.id = p.id();
            renumber(p, &mut e.key);
            renumber(p, &mut e.value);
        }),
        Kind::Struct { fields, .. } => fields.iter_mut().for_each(|f| {
            f.id = p.id();
            renumber(p, &mut f.value);
        }),
        Kind::Comprehension(c) => {
            let Comprehension { range, init, condition, step, result, .. } = &mut **c;
            [range, init, condition, step, result].into_iter().for_each(|e| renumber(p, e));
        }
    }
}
