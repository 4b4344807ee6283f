//! What an expression may cost at least and at most, from what is known of its variables.
//! Upstream: cel-go checker/cost.go, apiserver/pkg/cel/library/cost.go

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Call, Comprehension, Expr, Kind, Literal};
use crate::check::Checked;
use crate::decl::{Decl, Shape};
use crate::functions::costs::CHECK;
use crate::macros::ACCU;
use crate::overloads::{self, Overload};
use crate::types::Type;

/// Traversing a string costs this for each character.
const TRAVERSAL: f64 = 0.1;
/// Matching with a regular expression costs this for each of its characters.
const REGEX: f64 = 0.25;

/// A range of costs or sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl Estimate {
    /// Exactly.
    pub const fn exactly(n: u64) -> Self {
        Self { min: n, max: n }
    }

    const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    /// Both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// Each times the other.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn scaled(self, factor: f64) -> Self {
        Self { min: scaled(self.min, factor), max: scaled(self.max, factor) }
    }

    fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

fn scaled(n: u64, factor: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
    {
        (n as f64 * factor).ceil() as u64
    }
}

/// What it costs to look at all of a text.
fn traversed(size: Estimate) -> Estimate {
    size.scaled(TRAVERSAL)
}

/// Estimates a checked expression; `declared` tells of variables whose sizes are known.
pub(crate) fn estimate(expr: &Expr, checked: &Checked, declared: &HashMap<Arc<str>, Arc<Decl>>) -> Estimate {
    Coster::new(checked, declared).cost(expr)
}

/// Sizes of the members of a container.
#[derive(Clone, Copy, Debug)]
struct Members {
    is_list: bool,
    key: Estimate,
    value: Estimate,
}

#[derive(Clone, Debug)]
struct Local {
    name: Arc<str>,
    path: Vec<Arc<str>>,
    size: Option<Estimate>,
    members: Option<Members>,
}

struct Coster<'c> {
    checked: &'c Checked,
    declared: &'c HashMap<Arc<str>, Arc<Decl>>,
    paths: HashMap<usize, Vec<Arc<str>>>,
    sizes: HashMap<usize, Estimate>,
    members: HashMap<usize, Members>,
    locals: Vec<Local>,
}

/// An operand: how large, and what its members are.
struct Operand {
    size: Option<Estimate>,
    ty: Type,
    path: Vec<Arc<str>>,
}

impl Operand {
    fn size(&self) -> Estimate {
        self.size.unwrap_or(Estimate::UNKNOWN)
    }
}

/// Cost and, if known, size of the result.
type CallCost = (Estimate, Option<Estimate>);

impl<'c> Coster<'c> {
    fn new(checked: &'c Checked, declared: &'c HashMap<Arc<str>, Arc<Decl>>) -> Self {
        Self {
            checked,
            declared,
            paths: HashMap::new(),
            sizes: HashMap::new(),
            members: HashMap::new(),
            locals: Vec::new(),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|l| *l.name == *name)
    }

    fn path(&self, expr: &Expr) -> Vec<Arc<str>> {
        if let Some(local) = expr.ident().and_then(|name| self.local(name)) {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn longer_path(&self, expr: &Expr, last: &str) -> Vec<Arc<str>> {
        let mut path = self.path(expr);
        path.push(last.into());
        path
    }

    fn path_size(&self, path: &[Arc<str>]) -> Option<Estimate> {
        let (root, rest) = path.split_first()?;
        // upstream's estimator begins at the schema of `self`, whatever the root is called
        let mut decl: &Decl = self.declared.get(root).or_else(|| self.declared.get("self"))?;
        for step in rest {
            decl = match (&**step, &decl.shape) {
                ("@items" | "@values", Shape::List(of) | Shape::Map(of)) => of,
                ("@keys", Shape::Map(_)) => return Some(Estimate::exactly(0)),
                (name, _) => &decl.field(name)?.decl,
            };
        }
        Some(Estimate { min: 0, max: decl.max_elements.unsigned_abs() })
    }

    fn size(&mut self, expr: &Expr) -> Option<Estimate> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        let literal = match &expr.kind {
            Kind::Literal(Literal::String(text)) => Some(text.chars().count()),
            Kind::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List { items, .. } => Some(items.len()),
            Kind::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(size) = literal {
            return Some(Estimate::exactly(size as u64));
        }
        if let Some(size) = self.path_size(&self.path(expr)) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.checked.of(expr)) {
            return Some(Estimate::exactly(1));
        }
        expr.ident().and_then(|name| self.local(name)).and_then(|local| local.size)
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Estimate {
        self.size(expr).unwrap_or(Estimate::UNKNOWN)
    }

    fn members(&self, expr: &Expr) -> Option<Members> {
        let known = self.members.get(&expr.id).copied();
        known.or_else(|| expr.ident().and_then(|name| self.local(name)).and_then(|local| local.members))
    }

    fn operand(&mut self, expr: &Expr) -> Operand {
        let mut path = self.path(expr);
        if path.first().is_some_and(|p| **p == *ACCU) {
            path.clear();
        }
        Operand { size: self.size(expr), ty: self.checked.of(expr).clone(), path }
    }

    fn cost(&mut self, expr: &Expr) -> Estimate {
        match &expr.kind {
            Kind::Literal(_) => Estimate::default(),
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |l| l.path.clone());
                self.paths.insert(expr.id, path);
                Estimate::exactly(1)
            }
            Kind::Select { operand, test: true, .. } => self.cost(operand),
            Kind::Select { operand, field, .. } => {
                let mut sum = self.cost(operand);
                if matches!(self.checked.of(operand), Type::Map(_) | Type::Struct(_) | Type::Param(_)) {
                    sum = sum.plus(Estimate::exactly(1));
                }
                let path = self.longer_path(operand, field);
                self.paths.insert(expr.id, path);
                sum
            }
            Kind::Call(call) => self.cost_call(expr, call),
            Kind::List { items, .. } => self.cost_list(expr, items),
            Kind::Map(entries) => {
                let parts: Vec<(&Expr, &Expr)> = entries.iter().map(|e| (&e.key, &e.value)).collect();
                self.cost_map(expr, &parts)
            }
            Kind::Struct { fields, .. } => {
                fields.iter().fold(Estimate::exactly(40), |sum, f| sum.plus(self.cost(&f.value)))
            }
            Kind::Comprehension(c) if is_bind(c) => self.cost_bind(expr, c),
            Kind::Comprehension(c) => self.cost_loop(expr, c),
        }
    }

    fn cost_list(&mut self, expr: &Expr, items: &[Expr]) -> Estimate {
        let mut sum = Estimate::exactly(10);
        let mut value = Estimate { min: if items.is_empty() { 0 } else { u64::MAX }, max: 0 };
        for item in items {
            sum = sum.plus(self.cost(item));
            value = value.union(self.size_or_unknown(item));
        }
        self.members.insert(expr.id, Members { is_list: true, key: Estimate::exactly(1), value });
        sum
    }

    fn cost_map(&mut self, expr: &Expr, entries: &[(&Expr, &Expr)]) -> Estimate {
        let mut sum = Estimate::exactly(30);
        let none = Estimate { min: if entries.is_empty() { 0 } else { u64::MAX }, max: 0 };
        let (mut key, mut value) = (none, none);
        for (k, v) in entries {
            sum = sum.plus(self.cost(k)).plus(self.cost(v));
            key = key.union(self.size_or_unknown(k));
            value = value.union(self.size_or_unknown(v));
        }
        self.members.insert(expr.id, Members { is_list: false, key, value });
        sum
    }

    fn cost_bind(&mut self, expr: &Expr, c: &Comprehension) -> Estimate {
        let mut sum = self.cost(&c.range).plus(self.cost(&c.init));
        self.push_local(&c.accu, &c.init);
        sum = sum.plus(self.cost(&c.result));
        let (size, members) = (self.size(&c.result), self.members(&c.result));
        self.locals.pop();
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        if let Some(members) = members {
            self.members.insert(expr.id, members);
        }
        sum
    }

    fn push_local(&mut self, name: &Arc<str>, expr: &Expr) {
        let local =
            Local { name: name.clone(), path: self.path(expr), size: self.size(expr), members: self.members(expr) };
        self.locals.push(local);
    }

    fn push_member(&mut self, name: &Arc<str>, range: &Expr, key: bool) {
        let members = self.members(range);
        let is_list = members.map_or(matches!(self.checked.of(range), Type::List(_)), |m| m.is_list);
        let size = members.map(|m| if key { m.key } else { m.value });
        let last = match (key, is_list) {
            (true, true) => "@indices",
            (true, false) => "@keys",
            (false, true) => "@items",
            (false, false) => "@values",
        };
        let path = self.longer_path(range, last);
        self.locals.push(Local { name: name.clone(), path, size, members: None });
    }

    fn cost_loop(&mut self, expr: &Expr, c: &Comprehension) -> Estimate {
        let mut sum = self.cost(&c.range).plus(self.cost(&c.init));
        self.push_local(&c.accu, &c.init);
        let depth = self.locals.len();
        match &c.var2 {
            Some(var2) => {
                self.push_member(&c.var, &c.range, true);
                self.push_member(var2, &c.range, false);
            }
            None => {
                let is_list =
                    self.members(&c.range).map_or(matches!(self.checked.of(&c.range), Type::List(_)), |m| m.is_list);
                self.push_member(&c.var, &c.range, !is_list);
            }
        }
        let each = self.cost(&c.condition).plus(self.cost(&c.step));
        self.locals.truncate(depth);
        sum = sum.plus(self.cost(&c.result));
        self.locals.pop();
        let count = self.size_or_unknown(&c.range);
        sum = sum.plus(count.times(each));
        match &c.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&c.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List { .. } | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                if let Some(members) = self.members(&c.step) {
                    self.members.insert(expr.id, members);
                }
            }
            _ => {}
        }
        sum
    }

    fn cost_call(&mut self, expr: &Expr, call: &Call) -> Estimate {
        if let ("dyn", [arg]) = (&*call.function, call.args.as_slice()) {
            let cost = self.cost(arg).plus(Estimate::exactly(1));
            if let Some(size) = self.size(arg) {
                self.sizes.insert(expr.id, size);
            }
            if let Some(members) = self.members(arg) {
                self.members.insert(expr.id, members);
            }
            return cost;
        }
        let mut costs = Vec::with_capacity(call.args.len());
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            costs.push(self.cost(arg));
            args.push(self.operand(arg));
        }
        let (mut sum, mut target) = (Estimate::default(), None);
        if let Some(receiver) = &call.target {
            sum = self.cost(receiver);
            target = Some(self.operand(receiver));
        }
        let all = |costs: &[Estimate]| costs.iter().fold(Estimate::default(), |s, c| s.plus(*c));
        if &*call.function == "_?._" {
            return sum.plus(all(&costs)).plus(Estimate::exactly(1));
        }
        let known = overloads::overloads(&call.function, true).unwrap_or_default();
        let chosen = self.checked.overloads.get(&expr.id).cloned().unwrap_or_default();
        if chosen.is_empty() {
            return Estimate::default();
        }
        let mut cost = Estimate { min: u64::MAX, max: 0 };
        let mut result: Option<Estimate> = None;
        for overload in chosen.iter().filter_map(|i| known.get(*i)) {
            let (own, size) = self.overload_cost(expr, call, overload, target.as_ref(), &args, &costs);
            cost = cost.union(own);
            if let Some(size) = size {
                result = Some(result.map_or(size, |r| r.union(size)));
            }
            if &*call.function == "_[_]" && !call.args.is_empty() {
                let place = match overload.args.first() {
                    Some(Type::List(_)) => Some("@items"),
                    Some(Type::Map(_)) => Some("@values"),
                    _ => None,
                };
                if let Some(place) = place {
                    result = self.members(&call.args[0]).map(|m| m.value);
                    let path = self.longer_path(&call.args[0], place);
                    self.paths.insert(expr.id, path);
                }
            }
            if result.is_none() {
                result = self.size(expr);
            }
        }
        if let Some(size) = result {
            self.sizes.insert(expr.id, size);
        }
        sum.plus(cost)
    }

    fn overload_cost(
        &mut self,
        expr: &Expr,
        call: &Call,
        overload: &Overload,
        target: Option<&Operand>,
        args: &[Operand],
        costs: &[Estimate],
    ) -> CallCost {
        let sum = costs.iter().fold(Estimate::default(), |s, c| s.plus(*c));
        if let Some((cost, size)) = self.library_cost(&Called { call, overload, target, args }) {
            return (cost.plus(sum), size);
        }
        let one = Estimate::exactly(1);
        let first = overload.args.first();
        let text = matches!(first, Some(Type::String | Type::Bytes));
        match (&*call.function, target, args) {
            ("format", Some(target), _) => (target.size().scaled(TRAVERSAL).plus(sum), None),
            ("bytes", _, [arg]) if matches!(first, Some(Type::String)) => {
                let size = arg.size();
                let result = Estimate { min: size.min, max: size.max.saturating_mul(4) };
                (size.scaled(TRAVERSAL).plus(sum), Some(result))
            }
            ("string", _, [arg]) if matches!(first, Some(Type::Bytes)) => {
                let size = arg.size();
                (size.scaled(TRAVERSAL).plus(sum), Some(Estimate { min: size.min / 4, max: size.max }))
            }
            ("strings.quote", _, [arg]) => {
                let size = arg.size();
                let max = size.max.saturating_mul(2).saturating_add(2);
                (size.scaled(TRAVERSAL).plus(sum), Some(Estimate { min: size.min.saturating_add(2), max }))
            }
            ("startsWith" | "endsWith", _, [arg]) => (arg.size().scaled(TRAVERSAL).plus(sum), None),
            ("@in", _, [_, list]) if matches!(overload.args.get(1), Some(Type::List(_))) => {
                (list.size().plus(sum), None)
            }
            ("matches", Some(target), [pattern]) => {
                let text = target.size().plus(one).scaled(TRAVERSAL);
                (text.times(pattern.size().scaled(REGEX)).plus(sum), None)
            }
            ("contains", Some(target), [part]) => {
                (target.size().scaled(TRAVERSAL).times(part.size().scaled(TRAVERSAL)).plus(sum), None)
            }
            ("_&&_" | "_||_", _, _) => {
                let left = costs.first().copied().unwrap_or_default();
                (Estimate { min: left.min, max: sum.max }, None)
            }
            ("_?_:_", _, [_, yes, no]) => {
                let size = yes.size().union(no.size());
                if let (Some(a), Some(b)) = (self.members(&call.args[1]), self.members(&call.args[2])) {
                    self.members.insert(expr.id, joined(a, b));
                }
                (costs[0].plus(costs[1].union(costs[2])), Some(size))
            }
            ("_+_", _, [left, right]) if text || matches!(first, Some(Type::List(_))) => {
                let size = left.size().plus(right.size());
                if let (Some(a), Some(b)) = (self.members(&call.args[0]), self.members(&call.args[1])) {
                    self.members.insert(expr.id, joined(a, b));
                }
                let own = if text { size.scaled(TRAVERSAL) } else { one };
                (own.plus(sum), Some(size))
            }
            ("_<_" | "_<=_" | "_>_" | "_>=_", _, [left, right]) if text => (compared(left, right).plus(sum), None),
            ("_==_" | "_!=_", _, [left, right]) => (compared(left, right).plus(sum), None),
            _ => (one.plus(sum), None),
        }
    }

    /// The member of a list as an operand of its own.
    fn element(&self, list: &Operand) -> Option<Operand> {
        let Type::List(of) = &list.ty else { return None };
        let mut path = list.path.clone();
        if !path.is_empty() {
            path.push("@items".into());
        }
        Some(Operand { size: self.path_size(&path), ty: (**of).clone(), path })
    }

    /// Costs of the Kubernetes libraries, and of those for sets and lists.
    fn library_cost(&self, called: &Called<'_>) -> Option<CallCost> {
        if UNIT.contains(&&*called.call.function) {
            return Some((Estimate::exactly(1), None));
        }
        called
            .authorizer_cost()
            .or_else(|| self.member_cost(called))
            .or_else(|| called.text_cost())
            .or_else(|| called.parse_cost())
            .or_else(|| called.equality_cost())
            .or_else(|| called.list_cost())
    }

    /// Functions that look at each member of a list.
    fn member_cost(&self, called: &Called<'_>) -> Option<CallCost> {
        let one = Estimate::exactly(1);
        match &*called.call.function {
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let target = called.target?;
                let Some(item) = self.element(target) else { return Some((traversed(target.size()), None)) };
                let each = match item.ty {
                    Type::String | Type::Bytes => one.plus(traversed(item.size())),
                    _ => one,
                };
                Some((target.size().times(each), None))
            }
            "join" => {
                let count = called.target?.size();
                let mut size = self.element(called.target?).map_or(Estimate::default(), |e| count.times(e.size()));
                if let Some(by) = called.arg(0) {
                    let gaps = Estimate { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
                    size = size.plus(by.times(gaps));
                }
                Some((traversed(size), Some(size)))
            }
            _ => None,
        }
    }
}

/// Functions of the libraries that cost 1 whatever they are called with.
const UNIT: [&str; 38] = [
    "serviceAccount",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "allowed",
    "reason",
    "error",
    "errored",
    "masked",
    "prefixLength",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "format.named",
    "sign",
    "asInteger",
    "isInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "major",
    "minor",
    "patch",
    "getScheme",
    "getHostname",
    "getHost",
    "getPort",
    "getEscapedPath",
    "getQuery",
];

/// A call of one overload with what is known of its operands.
struct Called<'c> {
    call: &'c Call,
    overload: &'c Overload,
    target: Option<&'c Operand>,
    args: &'c [Operand],
}

impl Called<'_> {
    fn arg(&self, i: usize) -> Option<Estimate> {
        self.args.get(i).map(Operand::size)
    }

    /// The argument if it is a literal number, else `other`.
    fn number(&self, i: usize, other: u64) -> u64 {
        match self.call.args.get(i).map(|a| &a.kind) {
            Some(Kind::Literal(Literal::Int(n))) => n.unsigned_abs(),
            _ => other,
        }
    }

    fn authorizer_cost(&self) -> Option<CallCost> {
        match &*self.call.function {
            "check" => Some((Estimate::exactly(CHECK), None)),
            "fieldSelector" | "labelSelector" => {
                let size = self.arg(0)?;
                let requirements = size.scaled(0.5).scaled(50.0);
                Some((Estimate::exactly(10).plus(traversed(size)).plus(requirements), None))
            }
            _ => None,
        }
    }

    fn text_cost(&self) -> Option<CallCost> {
        let target = || self.target.map(Operand::size);
        Some(match &*self.call.function {
            "url" | "jsonpatch.escapeKey" => (traversed(self.arg(0)?), self.arg(0)),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => (traversed(target()?), target()),
            "replace" => {
                let size = target()?;
                (size.scaled(2.0 * TRAVERSAL), Some(replaced(size, self.arg(0)?, self.arg(1)?)))
            }
            "split" => {
                let size = target()?;
                (size.scaled(2.0 * TRAVERSAL), Some(Estimate { min: 0, max: self.number(1, size.max) }))
            }
            "find" | "findAll" => {
                let size = target()?;
                let cost = traversed(size.plus(Estimate::exactly(1))).times(self.arg(0)?.scaled(REGEX));
                (cost, Some(Estimate { min: 0, max: size.max }))
            }
            "validate" => (traversed(self.arg(0)?).scaled(128.0 * REGEX), None),
            _ => return None,
        })
    }

    /// Functions that read a text as something else, and those of what they gave.
    fn parse_cost(&self) -> Option<CallCost> {
        let one = Estimate::exactly(1);
        Some(match &*self.call.function {
            "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                (traversed(self.arg(0)?), None)
            }
            "ip" => match self.target {
                Some(_) => (one, None),
                None => (traversed(self.arg(0)?), None),
            },
            "ip.isCanonical" => (self.arg(0)?.scaled(2.0 * TRAVERSAL), None),
            "containsIP" | "containsCIDR" => {
                let address = Estimate { min: 4, max: 16 };
                let mut cost = traversed(address.plus(address));
                if &*self.call.function == "containsCIDR" {
                    cost = cost.plus(traversed(address)).plus(one);
                }
                if matches!(self.overload.args.get(1), Some(Type::String)) {
                    cost = cost.plus(traversed(self.arg(0)?));
                }
                (cost, None)
            }
            _ => return None,
        })
    }

    /// `==` of the libraries' own types.
    fn equality_cost(&self) -> Option<CallCost> {
        if &*self.call.function != "_==_" {
            return None;
        }
        match (&self.args.first()?.ty, &self.args.get(1)?.ty) {
            (Type::Opaque(a, p), Type::Opaque(b, _)) if a == b && p.is_empty() => Some((Estimate::exactly(1), None)),
            (Type::Struct(a), Type::Struct(b)) if a == b && a.starts_with("kubernetes.") => {
                let max = match &**a {
                    "kubernetes.NamedFormat" => 7,
                    "kubernetes.URL" => self.arg(1).map_or(1, |s| scaled(s.max, TRAVERSAL)),
                    _ => 1,
                };
                Some((Estimate { min: 1, max }, None))
            }
            _ => None,
        }
    }

    fn list_cost(&self) -> Option<CallCost> {
        let one = Estimate::exactly(1);
        let target = || self.target.map(Operand::size);
        let made = |factor: f64, size: Estimate| Some((size.scaled(factor).plus(Estimate::exactly(11)), Some(size)));
        match &*self.call.function {
            "sets.contains" | "sets.intersects" => Some((self.arg(0)?.times(self.arg(1)?).plus(one), None)),
            "sets.equivalent" => Some((self.arg(0)?.times(self.arg(1)?).scaled(2.0).plus(one), None)),
            "slice" => {
                let end = self.number(1, target()?.max);
                made(1.0, Estimate::exactly(end.saturating_sub(self.number(0, 0))))
            }
            "flatten" => {
                let depth = if self.args.is_empty() { 1 } else { self.number(0, u64::MAX) };
                made(depth as f64, target()?)
            }
            "lists.range" => made(1.0, Estimate::exactly(self.number(0, u64::MAX))),
            "reverse" => made(1.0, target()?),
            "distinct" => made(2.0, target()?.times(target()?)),
            name @ ("sort" | "@sortByAssociatedKeys") => {
                let keys = if name == "sort" { self.target? } else { self.args.first()? };
                let text = matches!(&keys.ty, Type::List(of) if matches!(**of, Type::String | Type::Bytes));
                made(if text { 2.1 } else { 2.0 }, keys.size().times(keys.size()))
            }
            _ => None,
        }
    }
}

fn joined(a: Members, b: Members) -> Members {
    Members { is_list: a.is_list, key: a.key.union(b.key), value: a.value.union(b.value) }
}

fn compared(left: &Operand, right: &Operand) -> Estimate {
    let max = left.size().max.min(right.size().max);
    Estimate { min: u64::from(max > 0), max }.scaled(TRAVERSAL)
}

/// How long a text becomes when each `old` in it is replaced.
fn replaced(size: Estimate, old: Estimate, new: Estimate) -> Estimate {
    let ceil = |a: u64, b: u64| scaled(a, 1.0 / b as f64);
    let (max_count, max_kept) = if old.min == 0 {
        (size.max.saturating_add(1), size.max)
    } else if new.max <= old.min {
        (0, size.max)
    } else {
        (ceil(size.max, old.min), 0)
    };
    let (min_count, min_kept) = if old.max == 0 {
        (size.min.saturating_add(1), size.min)
    } else if old.max <= new.min {
        (0, size.min)
    } else {
        (ceil(size.min, old.max), 0)
    };
    Estimate { min: min_count, max: max_count }.times(new).plus(Estimate { min: min_kept, max: max_kept })
}

fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        other => other.unwrapped().is_some_and(is_scalar),
    }
}

fn is_bind(c: &Comprehension) -> bool {
    matches!(&c.range.kind, Kind::List { items, .. } if items.is_empty())
        && matches!(c.condition.kind, Kind::Literal(Literal::Bool(false)))
        && *c.accu != *ACCU
}
