//! The tree an expression is parsed into. Macros are expanded as cel-go expands them, so that costs agree.

use std::sync::Arc;

/// A node with its number and the place it came from.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Unique within the expression; types are kept by it.
    pub id: usize,
    /// Where it begins, in code points.
    pub at: usize,
    /// What it is.
    pub kind: Kind,
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`
    Bool(bool),
    /// `1`
    Int(i64),
    /// `1u`
    Uint(u64),
    /// `1.0`
    Double(f64),
    /// `"a"`
    String(Arc<str>),
    /// `b"a"`
    Bytes(Arc<[u8]>),
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A constant.
    Literal(Literal),
    /// A variable.
    Ident(Arc<str>),
    /// `operand.field`, or `has(operand.field)`.
    Select {
        /// What is looked into.
        operand: Box<Expr>,
        /// The member.
        field: Arc<str>,
        /// True for `has`.
        test: bool,
    },
    /// A call of a function, method or operator.
    Call(Call),
    /// `[a, ?b]`
    List {
        /// The members.
        items: Vec<Expr>,
        /// Which of them are left out when absent.
        optional: Vec<usize>,
    },
    /// `{a: b, ?c: d}`
    Map(Vec<Entry>),
    /// `Name{a: b}`
    Struct {
        /// Name of the type.
        name: Arc<str>,
        /// Its fields.
        fields: Vec<FieldInit>,
    },
    /// A loop made by a macro.
    Comprehension(Box<Comprehension>),
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the function.
    pub function: Arc<str>,
    /// The receiver of a method.
    pub target: Option<Box<Expr>>,
    /// The arguments.
    pub args: Vec<Expr>,
}

/// An entry of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Number of the entry itself.
    pub id: usize,
    /// Key.
    pub key: Expr,
    /// Value.
    pub value: Expr,
    /// True for `?key: value`.
    pub optional: bool,
}

/// A field of a struct literal.
#[derive(Clone, Debug)]
pub struct FieldInit {
    /// Number of the entry itself.
    pub id: usize,
    /// Where its colon is.
    pub at: usize,
    /// Name.
    pub name: Arc<str>,
    /// Value.
    pub value: Expr,
    /// True for `?name: value`.
    pub optional: bool,
}

/// A loop.
#[derive(Clone, Debug)]
pub struct Comprehension {
    /// What is gone through.
    pub range: Expr,
    /// Name of the member, or of its key if there are two.
    pub var: Arc<str>,
    /// Name of the member's value.
    pub var2: Option<Arc<str>>,
    /// Name of the result so far.
    pub accu: Arc<str>,
    /// What it begins with.
    pub init: Expr,
    /// The loop goes on as long as this is true.
    pub condition: Expr,
    /// What becomes of the result.
    pub step: Expr,
    /// What is made of it in the end.
    pub result: Expr,
}

impl Expr {
    /// The name, if this is an identifier.
    pub fn ident(&self) -> Option<&Arc<str>> {
        if let Kind::Ident(name) = &self.kind { Some(name) } else { None }
    }

    /// Calls `see` with this node and all below it.
    pub fn walk<'e>(&'e self, see: &mut dyn FnMut(&'e Expr)) {
        see(self);
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => operand.walk(see),
            Kind::Call(call) => call.target.iter().map(|t| &**t).chain(&call.args).for_each(|e| e.walk(see)),
            Kind::List { items, .. } => items.iter().for_each(|e| e.walk(see)),
            Kind::Map(entries) => entries.iter().for_each(|e| {
                e.key.walk(see);
                e.value.walk(see);
            }),
            Kind::Struct { fields, .. } => fields.iter().for_each(|f| f.value.walk(see)),
            Kind::Comprehension(c) => {
                [&c.range, &c.init, &c.condition, &c.step, &c.result].into_iter().for_each(|e| e.walk(see));
            }
        }
    }
}
