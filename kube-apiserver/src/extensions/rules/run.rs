//! Runs the rules on an object.
//!
//! upstream: apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go, apiserver/pkg/cel/common/equality.go

use apimachinery::field::{BadValue, Error, ErrorType, Path};
use apimachinery::schema::ListType;
use apimachinery::value::Value;
use cel::{Activation, Decl, EvalError, Val};

use super::compile::{Rule, Rules};
use super::{PER_CALL, PER_OBJECT};

/// How long an evaluated message may be, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;
const NO_BUDGET: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

/// What came of the rules.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is wrong.
    pub errors: Vec<Error>,
    /// What was wrong before and did not change.
    pub warnings: Vec<String>,
}

/// What is known of the old value of a place.
#[derive(Clone, Copy, Default)]
struct Before<'v> {
    /// The old value, for transition rules.
    old: Option<&'v Value>,
    /// The old value as ratcheting finds it.
    same: Option<&'v Value>,
    /// The nearest place above that has an old value: new and old.
    above: Option<(&'v Value, &'v Value)>,
}

struct Run {
    out: Checked,
    budget: u64,
    /// No further rules are run.
    over: bool,
}

impl Rules {
    /// Runs all rules; `old` is the object before a change.
    pub fn check(&self, object: &Value, old: Option<&Value>) -> Checked {
        let mut run = Run { out: Checked::default(), budget: PER_OBJECT, over: false };
        run.node(self, &Path::root(""), object, Before { old, same: old, above: None });
        run.out
    }

    /// The error in place of the rules, if what the schema says is not kept.
    pub fn blocked<'e>(mut errors: impl Iterator<Item = &'e Error>) -> Option<Error> {
        let blocks = |e: &Error| {
            matches!(
                e.type_,
                ErrorType::NotSupported
                    | ErrorType::Required
                    | ErrorType::TooLong
                    | ErrorType::TooMany
                    | ErrorType::TypeInvalid
            )
        };
        let detail = "some validation rules were not checked because the object was invalid; correct the existing errors \
                      to complete validation";
        errors.any(blocks).then(|| Error::invalid(Path::nil(), BadValue::null(), detail))
    }
}

fn at(path: &Path) -> Path {
    if path.as_str().is_empty() { Path::nil() } else { path.clone() }
}

impl Run {
    fn node<'v>(&mut self, rules: &Rules, path: &Path, value: &'v Value, before: Before<'v>) {
        if value.is_null() || self.over {
            return;
        }
        self.rules(rules, path, value, before);
        for all in &rules.all_of {
            self.node(all, path, value, Before { same: None, ..before });
        }
        match value {
            Value::List(items) => {
                let Some(inner) = &rules.items else { return };
                for (i, item) in items.iter().enumerate() {
                    let before = Before {
                        old: before.old.and_then(|old| same_element(&rules.decl, item, old)),
                        ..below(before, value, |old| same_element(&rules.decl, item, old))
                    };
                    self.node(inner, &path.index(i), item, before);
                }
            }
            Value::Map(map) => {
                let granular = !rules.decl.atomic;
                for (key, member) in map.iter() {
                    let mut inside = below(before, value, |old| old.as_map()?.get(key).filter(|_| granular));
                    inside.old = before.old.filter(|_| granular).and_then(|old| old.as_map()?.get(key));
                    if before.above.is_none() && before.same.is_some() && matches!(key, "apiVersion" | "kind") {
                        inside.same = None;
                        inside.above = None;
                    }
                    if let Some(inner) = &rules.additional {
                        self.node(inner, &path.key(key), member, inside);
                    }
                    if let Some(inner) = rules.properties.get(key) {
                        self.node(inner, &path.child(key), member, inside);
                    }
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, rules: &Rules, path: &Path, value: &Value, before: Before<'_>) {
        if rules.rules.is_empty() {
            return;
        }
        let ty = rules.ty.as_str();
        let place = at(path);
        if self.budget == 0 {
            self.out.errors.push(Error::invalid(place, ty, NO_BUDGET));
            self.over = true;
            return;
        }
        for rule in &rules.rules {
            if self.over {
                return;
            }
            let program = match &rule.program {
                None => continue,
                Some(Err(why)) => {
                    self.out.errors.push(Error::invalid(&place, ty, format!("rule compile error: {why}")));
                    continue;
                }
                Some(Ok(program)) => program,
            };
            let optional = rule.optional_old == Some(true);
            if rule.uses_old && before.old.is_none() && !optional {
                continue;
            }
            let activation = activation(&rules.decl, value, before.old, optional);
            let (result, cost) = program.run(&activation, PER_CALL);
            if cost > self.budget && !matches!(result, Err(EvalError::CostExceeded)) {
                self.out.errors.push(Error::invalid(&place, ty, NO_BUDGET));
                self.over = true;
                return;
            }
            self.budget = self.budget.saturating_sub(cost);
            match result {
                Err(error) => self.failed(rule, &place, ty, &error),
                Ok(Val::Bool(true)) => {}
                Ok(_) => self.refused(rules, rule, path, value, before),
            }
        }
    }

    fn failed(&mut self, rule: &Rule, place: &Path, ty: &str, error: &EvalError) {
        let shown = rule.shown();
        let detail = match error {
            EvalError::CostExceeded => {
                self.over = true;
                format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                )
            }
            EvalError::Failed(text) if text.starts_with("no such overload") => format!(
                "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
            ),
            EvalError::Failed(text) => format!("{text} evaluating rule: {shown}"),
        };
        self.out.errors.push(Error::invalid(place, ty, detail));
    }

    /// The rule gave false.
    fn refused(&mut self, rules: &Rules, rule: &Rule, path: &Path, value: &Value, before: Before<'_>) {
        let place = match rule.field_path.as_ref() {
            "" => at(path),
            field => path.child(field.strip_prefix('.').unwrap_or(field)),
        };
        let message = match self.message(rules, rule, value, before) {
            Ok(message) => message,
            Err(detail) => {
                self.over = true;
                let error = Error::invalid(place, rules.ty.as_str(), detail);
                return self.add(rule, error, value, before);
            }
        };
        let detail = message.unwrap_or_else(|| match rule.message.trim() {
            "" => format!("failed rule: {}", rule.shown()),
            message => message.to_owned(),
        });
        let shown = match rules.ty.as_str() {
            "object" | "array" => BadValue::Omitted,
            _ => BadValue::from(value),
        };
        let error = match rule.reason.as_deref() {
            Some("FieldValueForbidden") => Error::forbidden(place, detail),
            Some("FieldValueRequired") => Error::required(place, detail),
            Some("FieldValueDuplicate") => Error::duplicate(place, shown),
            _ => Error::invalid(place, shown, detail),
        };
        self.add(rule, error, value, before);
    }

    /// What was wrong before and did not change is only warned of.
    fn add(&mut self, rule: &Rule, error: Error, value: &Value, before: Before<'_>) {
        let unchanged = match (before.same, before.above) {
            (Some(old), _) => value == old,
            (None, Some((new, old))) => new == old,
            (None, None) => false,
        };
        if unchanged && !rule.uses_old {
            self.out.warnings.push(error.to_string());
        } else {
            self.out.errors.push(error);
        }
    }

    /// The evaluated message; `None` if the plain one is to be used, `Err` if no rule may be run any more.
    fn message(
        &mut self,
        rules: &Rules,
        rule: &Rule,
        value: &Value,
        before: Before<'_>,
    ) -> Result<Option<String>, String> {
        let Some(Ok(program)) = &rule.message_program else { return Ok(None) };
        let activation = activation(&rules.decl, value, before.old, rule.optional_old == Some(true));
        let (result, cost) = program.run(&activation, PER_CALL);
        if matches!(result, Err(EvalError::CostExceeded)) {
            return Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                apimachinery::quote::quote(&rule.message_expression)
            ));
        }
        if cost > self.budget {
            return Err(
                "messageExpression evaluation failed due to running out of cost budget, no further validation \
                        rules will be run"
                    .to_owned(),
            );
        }
        self.budget -= cost;
        let text = match &result {
            Ok(value) => value.as_str().map(|t| t.trim().to_owned()),
            Err(_) => None,
        };
        Ok(text.filter(|t| !t.is_empty() && t.len() <= MAX_MESSAGE && !t.contains('\n')))
    }
}

fn activation<'v>(decl: &'v Decl, value: &'v Value, old: Option<&'v Value>, optional: bool) -> Activation<'v> {
    let activation = Activation::new().with("self", Val::of(value, Some(decl)));
    let old = old.map(|old| Val::of(old, Some(decl)));
    if optional {
        return activation.with("oldSelf", Val::Optional(old.map(Into::into)));
    }
    match old {
        Some(old) => activation.with("oldSelf", old),
        None => activation,
    }
}

/// What is known of the old value one step below.
fn below<'v>(before: Before<'v>, value: &'v Value, step: impl FnOnce(&'v Value) -> Option<&'v Value>) -> Before<'v> {
    match before.same {
        None => before,
        Some(old) => Before { old: None, same: step(old), above: Some((value, old)) },
    }
}

/// The element of the old list with the same keys.
fn same_element<'v>(decl: &Decl, item: &Value, old: &'v Value) -> Option<&'v Value> {
    if decl.list_type != ListType::Map {
        return None;
    }
    old.items().iter().find(|other| decl.list_keys.iter().all(|k| other.get(k) == item.get(k)))
}
