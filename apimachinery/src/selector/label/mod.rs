//! Label selectors: the text form `a=b,c in (d,e),!f`, and the `LabelSelector` objects of the API.

use std::fmt;

use crate::field::{BadValue, Error, Errors, Path};
use crate::names;
use crate::quote::quote;
use crate::value::{Cursor, Value};

mod parse;

pub use parse::{parse, parse_requirements};

/// How a requirement relates its key and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `k in (a,b)`
    In,
    /// `k notin (a,b)`
    NotIn,
    /// `k=a`
    Equals,
    /// `k==a`
    DoubleEquals,
    /// `k!=a`
    NotEquals,
    /// `k>1`
    GreaterThan,
    /// `k<1`
    LessThan,
    /// `k`
    Exists,
    /// `!k`
    DoesNotExist,
}

impl Operator {
    /// The word that messages use.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::In => "in",
            Operator::NotIn => "notin",
            Operator::Equals => "=",
            Operator::DoubleEquals => "==",
            Operator::NotEquals => "!=",
            Operator::GreaterThan => "gt",
            Operator::LessThan => "lt",
            Operator::Exists => "exists",
            Operator::DoesNotExist => "!",
        }
    }
}

/// Why something is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelSelectorError {
    /// The text cannot be read on.
    #[error("{0}")]
    Syntax(String),
    /// A key or value is not allowed.
    #[error("{0}")]
    Invalid(Errors),
    /// An operator of a `LabelSelector` object that is none.
    #[error("{} is not a valid label selector operator", quote(.0))]
    Operator(String),
    /// A requirement inside of a text is wrong.
    #[error("unable to parse requirement: {0}")]
    Requirement(Box<LabelSelectorError>),
}

/// One condition on the labels of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

impl Requirement {
    /// A checked requirement.
    ///
    /// # Errors
    /// If the key, the values or their number are not allowed.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Requirement, LabelSelectorError> {
        let errors = check(key, operator, &values);
        if errors.is_empty() {
            return Ok(Requirement { key: key.to_owned(), operator, values });
        }
        Err(LabelSelectorError::Invalid(errors))
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The operator.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values, in the order given.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// True if an object whose label of this key is `label` is selected.
    pub fn matches(&self, label: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|x| x == v);
        let compare = |f: fn(&i64, &i64) -> bool| {
            let (Some(label), [value]) = (label, &self.values[..]) else { return false };
            matches!((label.parse(), value.parse()), (Ok(l), Ok(v)) if f(&l, &v))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(listed),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => compare(i64::gt),
            Operator::LessThan => compare(i64::lt),
        }
    }
}

/// The path of upstream's messages, which is a nil pointer's child.
fn nil() -> Path {
    Path::root("")
}

fn check_key(key: &str, path: Path) -> Option<Error> {
    let wrong = names::qualified_name(key);
    (!wrong.is_empty()).then(|| Error::invalid(path, key, wrong.join("; ")))
}

fn check(key: &str, operator: Operator, values: &[String]) -> Errors {
    let mut errs = Errors::new();
    errs.extend(check_key(key, nil().child("key")));
    let path = nil().child("values");
    let shown = || BadValue::json(crate::quote::json_value(&Value::List(values.iter().map(Value::from).collect())));
    let count = |wrong: bool, message: &str| wrong.then(|| Error::invalid(&path, shown(), message));
    errs.extend(match operator {
        Operator::In | Operator::NotIn => {
            count(values.is_empty(), "for 'in', 'notin' operators, values set can't be empty")
        }
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
            count(values.len() != 1, "exact-match compatibility requires one single value")
        }
        Operator::Exists | Operator::DoesNotExist => {
            count(!values.is_empty(), "values set must be empty for exists and does not exist")
        }
        Operator::GreaterThan | Operator::LessThan => {
            count(values.len() != 1, "for 'Gt', 'Lt' operators, exactly one value is required")
        }
    });
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        for (i, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
            errs.invalid(path.index(i), value, "for 'Gt', 'Lt' operators, the value must be an integer");
        }
    }
    for (i, value) in values.iter().enumerate() {
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errs.invalid(path.index(i).key(key), value, wrong.join("; "));
        }
    }
    errs
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        values.sort_unstable();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// Requirements that must all hold; without any it selects everything, unless it is [`Selector::nothing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Default for Selector {
    fn default() -> Selector {
        Selector::everything()
    }
}

impl Selector {
    /// Selects everything.
    pub const fn everything() -> Selector {
        Selector { requirements: Vec::new(), nothing: false }
    }

    /// Selects nothing.
    pub const fn nothing() -> Selector {
        Selector { requirements: Vec::new(), nothing: true }
    }

    /// All of `requirements`, sorted by key.
    pub fn new(mut requirements: Vec<Requirement>) -> Selector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector { requirements, nothing: false }
    }

    /// Exactly these labels, which are not checked.
    pub fn from_set<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Selector {
        let equals = |(k, v): (K, V)| Requirement { key: k.into(), operator: Operator::Equals, values: vec![v.into()] };
        Selector::new(labels.into_iter().map(equals).collect())
    }

    /// The selector that a `metav1.LabelSelector` stands for: null selects nothing, an empty one everything.
    ///
    /// # Errors
    /// If a key, value or operator is not allowed.
    pub fn from_value(selector: &Value) -> Result<Selector, LabelSelectorError> {
        if selector.is_null() {
            return Ok(Selector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").entries() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.str_or_empty().to_owned()])?);
        }
        for expression in selector.get("matchExpressions").items() {
            let operator = match expression.get("operator").str_or_empty() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(LabelSelectorError::Operator(other.to_owned())),
            };
            let values = expression.get("values").items().iter().map(|v| v.str_or_empty().to_owned()).collect();
            requirements.push(Requirement::new(expression.get("key").str_or_empty(), operator, values)?);
        }
        Ok(Selector::new(requirements))
    }

    /// True if it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// True if it is known to select nothing.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// True if an object whose labels `get` looks up is selected.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(get(&r.key)))
    }

    /// True if an object with this map of labels is selected; null is no labels.
    pub fn matches_value(&self, labels: &Value) -> bool {
        self.matches(|key| labels.get(key).as_str())
    }

    /// The value that the label `key` must have, if the first requirement on it says so.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|r| r.key == key)?;
        match (requirement.operator, &requirement.values[..]) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }

    /// The same selector with more requirements.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Requirement>) -> Selector {
        if self.nothing {
            return self.clone();
        }
        Selector::new(self.requirements.iter().cloned().chain(more).collect())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

impl std::str::FromStr for Selector {
    type Err = LabelSelectorError;
    fn from_str(text: &str) -> Result<Selector, LabelSelectorError> {
        parse(text)
    }
}

/// What a validation of a `LabelSelector` lets pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelectorRules {
    /// Values that are no label values, for objects that already have some.
    pub allow_invalid_values: bool,
    /// Operators that are not known here.
    pub allow_unknown_operators: bool,
}

/// What is wrong with a `metav1.LabelSelector`.
pub fn validate(selector: Cursor<'_>, rules: SelectorRules, errs: &mut Errors) {
    validate_labels(selector.field("matchLabels"), errs);
    for expression in selector.field("matchExpressions").list() {
        validate_expression(expression, rules, errs);
    }
}

/// What is wrong with one of the `matchExpressions`.
pub fn validate_expression(expression: Cursor<'_>, rules: SelectorRules, errs: &mut Errors) {
    let (operator, values) = (expression.field("operator"), expression.field("values"));
    match operator.str() {
        "In" | "NotIn" if values.is_empty() => {
            errs.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errs.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ if rules.allow_unknown_operators => {}
        other => errs.invalid(operator, other, "not a valid selector operator"),
    }
    validate_label_name(expression.field("key"), errs);
    if !rules.allow_invalid_values {
        for value in values.list() {
            errs.invalid_each(value, value.str(), names::label_value(value.str()));
        }
    }
}

/// What is wrong with a label key.
pub fn validate_label_name(key: Cursor<'_>, errs: &mut Errors) {
    errs.invalid_each(key, key.str(), names::qualified_name(key.str()));
}

/// What is wrong with a map of labels.
pub fn validate_labels(labels: Cursor<'_>, errs: &mut Errors) {
    for (key, value) in labels.map() {
        errs.invalid_each(labels, key, names::qualified_name(key));
        errs.invalid_each(labels, value.str(), names::label_value(value.str()));
    }
}

/// True if a `LabelSelector` holds values that are no label values.
pub fn has_invalid_values(selector: &Value) -> bool {
    let expressions = selector.get("matchExpressions").items().iter();
    let mut values = expressions.flat_map(|e| e.get("values").items());
    values.any(|v| !names::label_value(v.str_or_empty()).is_empty())
}

/// A `metav1.LabelSelector` as Go prints it with `%v` through FormatLabelSelector: the text form, `<none>` if empty.
pub fn format(selector: &Value) -> String {
    match Selector::from_value(selector) {
        Ok(parsed) if parsed.requirements.is_empty() => "<none>".to_owned(),
        Ok(parsed) => parsed.to_string(),
        Err(_) => "<error>".to_owned(),
    }
}
