//! Types of expressions, and when one may stand for another. Upstream: cel-go common/types/types.go, checker/types.go

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Anything; checked when run.
    Dyn,
    /// What has no type because something is wrong with it.
    Error,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `uint`
    Uint,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Duration`
    Duration,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `list(T)`
    List(Arc<Type>),
    /// `map(K, V)`
    Map(Arc<(Type, Type)>),
    /// A type of a library, such as `optional_type(T)` or `kubernetes.URL`.
    Opaque(Arc<str>, Vec<Type>),
    /// An object with declared fields.
    Struct(Arc<str>),
    /// The type of a type.
    Type(Option<Arc<Type>>),
    /// Not known yet.
    Param(Arc<str>),
}

impl Type {
    /// `list(of)`
    pub fn list(of: Type) -> Self {
        Type::List(Arc::new(of))
    }

    /// `map(key, value)`
    pub fn map(key: Type, value: Type) -> Self {
        Type::Map(Arc::new((key, value)))
    }

    /// `optional_type(of)`
    pub fn optional(of: Type) -> Self {
        Type::Opaque("optional_type".into(), vec![of])
    }

    /// A library's type.
    pub fn opaque(name: &str) -> Self {
        Type::Opaque(name.into(), Vec::new())
    }

    /// An object's type.
    pub fn object(name: &str) -> Self {
        Type::Struct(name.into())
    }

    /// What an optional holds.
    pub fn unwrapped(&self) -> Option<&Type> {
        match self {
            Type::Opaque(name, params) if &**name == "optional_type" => params.first(),
            _ => None,
        }
    }

    /// As cel-go prints it outside of complaints of the checker: by the names that values give their types.
    pub fn runtime_name(&self) -> String {
        let inside = |types: &[Type]| types.iter().map(Type::runtime_name).collect::<Vec<_>>().join(", ");
        match self {
            Type::Null => "null_type".into(),
            Type::Error => "error".into(),
            Type::Duration => "google.protobuf.Duration".into(),
            Type::Timestamp => "google.protobuf.Timestamp".into(),
            Type::List(of) => format!("list({})", of.runtime_name()),
            Type::Map(kv) => format!("map({}, {})", kv.0.runtime_name(), kv.1.runtime_name()),
            Type::Opaque(name, params) if !params.is_empty() => format!("{name}({})", inside(params)),
            Type::Type(Some(of)) => format!("type({})", of.runtime_name()),
            Type::Param(name) => format!("<{name}>"),
            other => other.to_string(),
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => f.write_str("dyn"),
            Type::Error => f.write_str("!error!"),
            Type::Null => f.write_str("null"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Uint => f.write_str("uint"),
            Type::Double => f.write_str("double"),
            Type::String => f.write_str("string"),
            Type::Bytes => f.write_str("bytes"),
            Type::Duration => f.write_str("duration"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::List(of) => write!(f, "list({of})"),
            Type::Map(kv) => write!(f, "map({}, {})", kv.0, kv.1),
            Type::Opaque(name, params) if params.is_empty() => f.write_str(name),
            Type::Opaque(name, params) => write!(f, "{name}({})", joined(params)),
            Type::Struct(name) | Type::Param(name) => f.write_str(name),
            Type::Type(None) => f.write_str("type"),
            Type::Type(Some(of)) => write!(f, "type({of})"),
        }
    }
}

pub(crate) fn joined(types: &[Type]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is known of type parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings(HashMap<Arc<str>, Type>);

impl Bindings {
    pub(crate) fn bind(&mut self, name: Arc<str>, to: Type) {
        self.0.insert(name, to);
    }

    fn find(&self, ty: &Type) -> Option<&Type> {
        if let Type::Param(name) = ty { self.0.get(name) } else { None }
    }

    /// `t1` is a fit for `t2`; keeps what was learned only if so.
    pub(crate) fn assign(&mut self, t1: &Type, t2: &Type) -> bool {
        let mut copy = self.clone();
        let fits = copy.fits(t1, t2);
        if fits {
            *self = copy;
        }
        fits
    }

    pub(crate) fn assign_all(&mut self, l1: &[Type], l2: &[Type]) -> bool {
        let mut copy = self.clone();
        let fits = copy.all_fit(l1, l2);
        if fits {
            *self = copy;
        }
        fits
    }

    fn all_fit(&mut self, l1: &[Type], l2: &[Type]) -> bool {
        l1.len() == l2.len() && l1.iter().zip(l2).all(|(a, b)| self.fits(a, b))
    }

    fn fits(&mut self, t1: &Type, t2: &Type) -> bool {
        if matches!(t2, Type::Param(_)) {
            let (valid, bound) = self.substitutes(t1, t2);
            if valid || bound {
                return valid;
            }
        }
        if matches!(t1, Type::Param(_)) {
            return self.substitutes(t2, t1).0;
        }
        if t1.is_dyn_or_error() || t2.is_dyn_or_error() {
            return true;
        }
        match (t1, t2) {
            (Type::Null, other) | (other, Type::Null) => {
                matches!(other, Type::Null | Type::Opaque(..) | Type::Struct(_) | Type::Duration | Type::Timestamp)
            }
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => self.fits(a, b),
            (Type::Map(a), Type::Map(b)) => self.fits(&a.0, &b.0) && self.fits(&a.1, &b.1),
            (Type::Opaque(a, p), Type::Opaque(b, q)) => a == b && self.all_fit(p, q),
            _ => t1 == t2,
        }
    }

    /// Whether `t1` may stand for the parameter `t2`, and whether that is bound.
    fn substitutes(&mut self, t1: &Type, t2: &Type) -> (bool, bool) {
        if t1 == t2 {
            return (true, true);
        }
        let Type::Param(name) = t2 else { return (false, false) };
        if let Some(bound) = self.0.get(name).cloned() {
            if *t1 == bound {
                return (true, true);
            }
            if self.fits(t1, &bound) {
                let general = most_general(t1, &bound).clone();
                if self.is_free_of(t2, &general) {
                    self.0.insert(name.clone(), general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.is_free_of(t2, t1) {
            self.0.insert(name.clone(), t1.clone());
            return (true, false);
        }
        (false, false)
    }

    fn is_free_of(&self, t: &Type, within: &Type) -> bool {
        if t == within {
            return false;
        }
        match within {
            Type::Param(_) => self.find(within).is_none_or(|bound| self.is_free_of(t, bound)),
            Type::List(of) => self.is_free_of(t, of),
            Type::Map(kv) => self.is_free_of(t, &kv.0) && self.is_free_of(t, &kv.1),
            Type::Opaque(_, params) => params.iter().all(|p| self.is_free_of(t, p)),
            Type::Type(Some(of)) => self.is_free_of(t, of),
            _ => true,
        }
    }

    /// The type with bound parameters replaced; unbound ones become dyn if `free_to_dyn`.
    pub(crate) fn apply(&self, ty: &Type, free_to_dyn: bool) -> Type {
        if let Some(bound) = self.find(ty) {
            return self.apply(bound, free_to_dyn);
        }
        match ty {
            Type::Param(_) if free_to_dyn => Type::Dyn,
            Type::List(of) => Type::list(self.apply(of, free_to_dyn)),
            Type::Map(kv) => Type::map(self.apply(&kv.0, free_to_dyn), self.apply(&kv.1, free_to_dyn)),
            Type::Opaque(name, params) if !params.is_empty() => {
                Type::Opaque(name.clone(), params.iter().map(|p| self.apply(p, free_to_dyn)).collect())
            }
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(self.apply(of, free_to_dyn)))),
            _ => ty.clone(),
        }
    }
}

/// The more general of two types that fit.
pub(crate) fn most_general<'t>(t1: &'t Type, t2: &'t Type) -> &'t Type {
    if less_specific(t1, t2) { t1 } else { t2 }
}

fn less_specific(t1: &Type, t2: &Type) -> bool {
    if matches!(t1, Type::Dyn | Type::Param(_)) {
        return true;
    }
    if matches!(t2, Type::Dyn | Type::Param(_)) {
        return false;
    }
    match (t1, t2) {
        (Type::Opaque(a, p), Type::Opaque(b, q)) => {
            a == b && p.len() == q.len() && p.iter().zip(q).all(|(x, y)| less_specific(x, y))
        }
        (Type::List(a), Type::List(b)) => less_specific(a, b),
        (Type::Map(a), Type::Map(b)) => less_specific(&a.0, &b.0) && less_specific(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        _ => t1 == t2,
    }
}
