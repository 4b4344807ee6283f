//! Validates values against schemas, with the messages and in the order of kube-openapi's validators. On updates, what was already wrong and did not
//! change is let pass (ratcheting).

use super::{Additional, SchemaType, Structural, formats};
use crate::codec::json::{to_string, write_float};
use crate::field::{BadValue, Error, Errors, Path};
use crate::quote::quote;
use crate::schema::ListType;
use crate::value::{Map, Value};

/// Validates a new object.
pub fn validate(value: &Value, schema: &Structural) -> Errors {
    collect(Validator { schema, path: String::new() }.run(value, None))
}

/// Validates a changed object: errors of values that did not change are left out.
pub fn validate_update(value: &Value, old: &Value, schema: &Structural) -> Errors {
    collect(Validator { schema, path: String::new() }.run(value, Some(old)))
}

fn collect(outcome: Outcome) -> Errors {
    let mut errs = Errors::new();
    errs.extend(outcome.errors);
    errs
}

/// What a validation found.
#[derive(Default)]
struct Outcome {
    errors: Vec<Error>,
    /// How many checks were made; of alternatives that all fail, the one with most is told about.
    checks: u32,
}

impl Outcome {
    fn merge(&mut self, other: Outcome) {
        self.errors.extend(other.errors);
        self.checks += other.checks;
    }

    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

struct Validator<'a> {
    schema: &'a Structural,
    path: String,
}

fn number_text(f: f64) -> String {
    let mut out = Vec::new();
    write_float(f, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// What the value is in JSON schema.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) => "integer",
        Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) | Value::Raw(_) => "object",
    }
}

/// True for a float that is a whole number up to rounding.
fn is_whole(f: f64) -> bool {
    if !f.is_finite() || f.abs() > 9_007_199_254_740_991.0 {
        return false;
    }
    let difference = (f - f.trunc()).abs();
    difference == 0.0 || difference / (f.abs() + f.trunc().abs()) < 1e-9
}

impl Validator<'_> {
    fn at(&self) -> Path {
        let name = self.path.strip_prefix('.').unwrap_or(&self.path);
        if name.is_empty() { Path::nil() } else { Path::root(name) }
    }

    /// `spec.a in body` and the rest of a message.
    fn says(&self, rest: &str) -> String {
        format!("{} in body {rest}", self.path)
    }

    fn invalid(&self, value: impl Into<BadValue>, rest: &str) -> Error {
        Error::invalid(self.at(), value, self.says(rest))
    }

    fn wrong_type(&self, want: &str, got: &str) -> Error {
        Error::type_invalid(self.at(), got, self.says(&format!("must be of type {want}: {}", quote(got))))
    }

    /// An error that is about no field.
    fn general(message: String) -> Error {
        Error::invalid(Path::nil(), "", message)
    }

    fn run(&self, value: &Value, old: Option<&Value>) -> Outcome {
        let mut out = Outcome::default();
        if value.is_null() {
            out.merge(self.check_type(value));
            out.errors.extend(self.check_enum(value));
            return self.ratchet(out, value, old);
        }
        let mut step = |outcome: Outcome| {
            out.merge(outcome);
            out.checks += 1;
        };
        if !self.types().is_empty() || !self.schema.format.is_empty() {
            step(self.check_type(value));
        }
        step(self.combinations(value));
        match value {
            Value::Str(text) => {
                step(Outcome { errors: self.check_string(text).into_iter().collect(), checks: 0 });
                if !self.schema.format.is_empty() && matches!(self.schema.ty, SchemaType::Unset | SchemaType::String) {
                    step(Outcome { errors: self.check_format(text).into_iter().collect(), checks: 0 });
                }
            }
            Value::Int(_) | Value::Float(_) => step(Outcome { errors: self.check_number(value), checks: 1 }),
            Value::List(items) => step(self.check_list(items, old)),
            _ => {}
        }
        step(Outcome { errors: self.check_enum(value).into_iter().collect(), checks: 0 });
        if let Value::Map(map) = value {
            step(self.check_map(map, old));
        }
        out.checks += 1;
        self.ratchet(out, value, old)
    }

    fn ratchet(&self, out: Outcome, value: &Value, old: Option<&Value>) -> Outcome {
        if !out.is_valid() && old == Some(value) { Outcome { errors: Vec::new(), checks: out.checks } } else { out }
    }

    fn types(&self) -> &'static [&'static str] {
        if self.schema.int_or_string {
            return &["integer", "string"];
        }
        match self.schema.ty {
            SchemaType::Unset => &[],
            SchemaType::Object => &["object"],
            SchemaType::Array => &["array"],
            SchemaType::String => &["string"],
            SchemaType::Integer => &["integer"],
            SchemaType::Number => &["number"],
            SchemaType::Boolean => &["boolean"],
        }
    }

    fn check_type(&self, value: &Value) -> Outcome {
        let (types, got, format) = (self.types(), type_of(value), self.schema.format.as_str());
        let good = Outcome { errors: Vec::new(), checks: 1 };
        let wrong = |want: &str| Outcome { errors: vec![self.wrong_type(want, got)], checks: 0 };
        if value.is_null() {
            return if types.is_empty() || self.schema.nullable { good } else { wrong(&types.join(",")) };
        }
        let fits = types.contains(&got)
            || (types.contains(&"number") && got == "integer")
            || (types.contains(&"integer") && matches!(value, Value::Float(f) if is_whole(*f)));
        let text_like = matches!(value, Value::Str(_) | Value::List(_));
        let numeric = types.contains(&"number") || types.contains(&"integer");
        if fits || (text_like && !format.is_empty() && !numeric) {
            return good;
        }
        if text_like || format.is_empty() { wrong(&types.join(",")) } else { wrong(format) }
    }

    fn check_string(&self, text: &str) -> Option<Error> {
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = self.schema.max_length.filter(|max| length > *max) {
            return Some(Error::too_long(self.at(), usize::try_from(max).unwrap_or(0)));
        }
        if let Some(min) = self.schema.min_length.filter(|min| length < *min) {
            return Some(self.invalid(text, &format!("should be at least {min} chars long")));
        }
        let pattern = self.schema.pattern.as_ref()?;
        match &pattern.regex {
            Ok(regex) if regex.is_match(text) => None,
            Ok(_) => Some(self.invalid(text, &format!("should match '{}'", pattern.text))),
            Err(error) => {
                Some(self.invalid(text, &format!("should match '{}, but pattern is invalid: {error}'", pattern.text)))
            }
        }
    }

    fn check_format(&self, text: &str) -> Option<Error> {
        (!formats::fits(&self.schema.format, text)).then(|| self.wrong_type(&self.schema.format, text))
    }

    /// The error for a number, or a bound, that is out of the range of the type.
    fn range_error(&self, value: &Value, what: &str) -> Option<Error> {
        if self.schema.int_or_string {
            return None;
        }
        let format = self.schema.format.as_str();
        let whole = match value {
            Value::Int(n) => Some(*n),
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Value::Float(f) if is_whole(*f) && f.fract() == 0.0 => Some(*f as i64),
            _ => None,
        };
        let bad = match (self.schema.ty, format) {
            (SchemaType::Integer, "int32") => whole.is_none_or(|n| i32::try_from(n).is_err()),
            (SchemaType::Integer, _) => whole.is_none(),
            (SchemaType::Number, "float") => value.as_f64().is_some_and(|f| f.abs() > f64::from(f32::MAX)),
            _ => false,
        };
        let ty = self.schema.ty.as_str();
        bad.then(|| {
            let with = if format.is_empty() { "(default format)".to_owned() } else { format!("with format {format}") };
            Self::general(format!("{what} value must be of type {ty} {with} in {}", self.path))
        })
    }

    fn check_number(&self, value: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        errors.extend(self.range_error(value, "Checked"));
        let data = value.as_f64().unwrap_or(0.0);
        let bad = BadValue::from(value);
        if let Some(factor) = self.schema.multiple_of {
            errors.extend(self.range_error(&Value::Float(factor), "MultipleOf"));
            let whole_factor = matches!(value, Value::Int(_)).then(|| factor.trunc()).unwrap_or(factor);
            let quotient = if factor < 1.0 { 1.0 / factor * data } else { data / factor };
            if whole_factor <= 0.0 {
                let message = format!(
                    "factor MultipleOf declared for {} must be positive: {}",
                    self.path,
                    number_text(whole_factor)
                );
                errors.push(Error::invalid(self.at(), bad.clone(), message));
            } else if !is_whole(quotient) {
                errors.push(self.invalid(bad.clone(), &format!("should be a multiple of {}", number_text(factor))));
            }
        }
        if let Some(min) = self.schema.minimum {
            errors.extend(self.range_error(&Value::Float(min), "Minimum boundary"));
            let (wrong, word) = if self.schema.exclusive_minimum {
                (data <= min, "should be greater than")
            } else {
                (data < min, "should be greater than or equal to")
            };
            if wrong {
                errors.push(self.invalid(bad.clone(), &format!("{word} {}", number_text(min))));
            }
        }
        if let Some(max) = self.schema.maximum {
            errors.extend(self.range_error(&Value::Float(max), "Maximum boundary"));
            let (wrong, word) = if self.schema.exclusive_maximum {
                (data >= max, "should be less than")
            } else {
                (data > max, "should be less than or equal to")
            };
            if wrong {
                errors.push(self.invalid(bad, &format!("{word} {}", number_text(max))));
            }
        }
        errors
    }

    fn check_enum(&self, value: &Value) -> Option<Error> {
        let values = &self.schema.enum_values;
        let same = |v: &Value| v == value || matches!((v.as_f64(), value.as_f64()), (Some(a), Some(b)) if a == b);
        if values.is_empty() || values.iter().any(|v| !value.is_null() && same(v)) {
            return None;
        }
        let texts = values.iter().map(|v| v.as_str().map_or_else(|| to_string(v), str::to_owned));
        Some(Error::not_supported(self.at(), value, texts))
    }

    fn check_list(&self, items: &[Value], old: Option<&Value>) -> Outcome {
        let mut out = Outcome { errors: Vec::new(), checks: 1 };
        if let Some(schema) = self.schema.items.as_deref() {
            for (i, item) in items.iter().enumerate() {
                let validator = Validator { schema, path: format!("{}[{i}]", self.path) };
                out.merge(validator.run(item, old.and_then(|old| self.same_element(item, old))));
            }
        }
        let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(min) = self.schema.min_items.filter(|min| size < *min) {
            out.errors
                .push(self.invalid(BadValue::json(size.to_string()), &format!("should have at least {min} items")));
        }
        if let Some(max) = self.schema.max_items.filter(|max| size > *max) {
            out.errors.push(Error::too_many(self.at(), items.len(), usize::try_from(max).unwrap_or(0)));
        }
        if self.schema.unique_items && (1..items.len()).any(|i| items[..i].contains(&items[i])) {
            out.errors.push(self.invalid("", "shouldn't contain duplicates"));
        }
        out
    }

    /// The element of the old list with the same keys; only those of map lists can be told.
    fn same_element<'v>(&self, item: &Value, old: &'v Value) -> Option<&'v Value> {
        if self.schema.list_type != ListType::Map {
            return None;
        }
        let same = |other: &&Value| self.schema.list_map_keys.iter().all(|k| other.get(k) == item.get(k));
        old.items().iter().find(same)
    }

    fn check_map(&self, map: &Map, old: Option<&Value>) -> Outcome {
        let mut out = Outcome::default();
        let size = i64::try_from(map.len()).unwrap_or(i64::MAX);
        if let Some(min) = self.schema.min_properties.filter(|min| size < *min) {
            let message = format!("should have at least {min} properties");
            out.errors.push(self.invalid(BadValue::json(size.to_string()), &message));
        }
        if let Some(max) = self.schema.max_properties.filter(|max| size > *max) {
            out.errors.push(Error::too_many(self.at(), map.len(), usize::try_from(max).unwrap_or(0)));
        }
        let old_member = |key: &str| old.and_then(|old| old.as_map()?.get(key));
        let extra = map.iter().filter(|(key, _)| !self.schema.properties.contains_key(*key));
        for (key, member) in extra {
            match &self.schema.additional {
                Additional::Allowed(false) => {
                    let message = format!("{}.{key} in body is a forbidden property", self.path);
                    out.errors.push(Error::invalid(self.at(), key, message));
                }
                Additional::Schema(schema) => {
                    let validator = Validator { schema, path: format!("{}.{key}", self.path) };
                    out.merge(validator.run(member, old_member(key)));
                }
                _ => {}
            }
        }
        for (key, schema) in &self.schema.properties {
            if let Some(member) = map.get(key) {
                let validator = Validator { schema, path: super::joined(&self.path, key) };
                out.merge(validator.run(member, old_member(key)));
            }
        }
        for key in self.schema.required.iter().filter(|key| !map.contains_key(key)) {
            let path = format!("{}.{key}", self.path);
            out.errors.push(Error::required(path.strip_prefix('.').unwrap_or(&path), ""));
        }
        out
    }

    /// anyOf, oneOf, allOf and not.
    fn combinations(&self, value: &Value) -> Outcome {
        let mut out = Outcome { errors: Vec::new(), checks: 1 };
        let run = |schema: &Structural| Validator { schema, path: self.path.clone() }.run(value, None);
        let name = quote(&self.path);
        if !self.schema.any_of.is_empty() {
            let (valid, best) = alternatives(self.schema.any_of.iter().map(run));
            if valid == 0 {
                out.errors.push(Self::general(format!("{name} must validate at least one schema (anyOf)")));
            }
            out.merge(best);
        }
        if !self.schema.one_of.is_empty() {
            let (valid, best) = alternatives(self.schema.one_of.iter().map(run));
            if valid != 1 {
                let found = if valid == 0 {
                    "Found none valid".to_owned()
                } else {
                    format!("Found {valid} valid alternatives")
                };
                let message = format!("{name} must validate one and only one schema (oneOf). {found}");
                out.errors.push(Self::general(message));
            }
            if valid <= 1 {
                out.merge(best);
            }
        }
        if !self.schema.all_of.is_empty() {
            let outcomes: Vec<Outcome> = self.schema.all_of.iter().map(run).collect();
            let valid = outcomes.iter().filter(|o| o.is_valid()).count();
            let all = outcomes.len();
            outcomes.into_iter().for_each(|o| out.merge(o));
            if valid != all {
                let none = if valid == 0 && all > 1 { ". None validated" } else { "" };
                out.errors.push(Self::general(format!("{name} must validate all the schemas (allOf){none}")));
            }
        }
        if let Some(not) = &self.schema.not
            && run(not).is_valid()
        {
            out.errors.push(Self::general(format!("{name} must not validate the schema (not)")));
        }
        out
    }
}

/// How many alternatives are valid, and the first valid one or else the one with most checks.
fn alternatives(outcomes: impl Iterator<Item = Outcome>) -> (usize, Outcome) {
    let (mut valid, mut best): (usize, Option<Outcome>) = (0, None);
    for outcome in outcomes {
        if outcome.is_valid() {
            valid += 1;
            if valid == 1 {
                best = Some(outcome);
            }
        } else if valid == 0 && best.as_ref().is_none_or(|b| outcome.checks > b.checks) {
            best = Some(outcome);
        }
    }
    (valid, best.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    fn errors(spec: Value, object: Value) -> String {
        let schema = value!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": spec}}}});
        validate(&value!({"spec": {"a": object}}), &Structural::parse(&schema)).to_aggregate()
    }

    #[test]
    fn messages() {
        let int = || value!({"type": "integer"});
        for (schema, value, want) in [
            (
                int(),
                value!("x"),
                "spec.a: Invalid value: \"string\": spec.a in body must be of type integer: \"string\"",
            ),
            (
                int(),
                value!(1.5),
                "[spec.a: Invalid value: \"number\": spec.a in body must be of type integer: \"number\", \
                 <nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.a]",
            ),
            (int(), value!(1), ""),
            (
                value!({"type": "array", "items": {"type": "integer"}}),
                value!([1, null]),
                "spec.a[1]: Invalid value: \"null\": spec.a[1] in body must be of type integer: \"null\"",
            ),
            (
                value!({"type": "integer", "enum": [1, 2]}),
                value!(3),
                "spec.a: Unsupported value: 3: supported values: \"1\", \"2\"",
            ),
            (
                value!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
                value!(1),
                "spec.a: Invalid value: 1: spec.a in body should be greater than 1",
            ),
            (
                value!({"type": "number", "multipleOf": 0.5}),
                value!(0.75),
                "spec.a: Invalid value: 0.75: spec.a in body should be a multiple of 0.5",
            ),
            (
                value!({"type": "string", "maxLength": 3}),
                value!("xxxx"),
                "spec.a: Too long: may not be more than 3 bytes",
            ),
            (
                value!({"type": "string", "pattern": "^[a-z]+$"}),
                value!("A"),
                "spec.a: Invalid value: \"A\": spec.a in body should match '^[a-z]+$'",
            ),
            (
                value!({"type": "array", "maxItems": 2}),
                value!([1, 2, 3]),
                "spec.a: Too many: 3: must have at most 2 items",
            ),
            (
                value!({"type": "object", "additionalProperties": {"type": "integer"}}),
                value!({"x": "s"}),
                "spec.a.x: Invalid value: \"string\": spec.a.x in body must be of type integer: \"string\"",
            ),
            (
                value!({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 1}]}),
                value!(5),
                "[<nil>: Invalid value: \"\": \"spec.a\" must validate at least one schema (anyOf), \
                 spec.a: Invalid value: 5: spec.a in body should be greater than or equal to 10]",
            ),
            (
                value!({"x-kubernetes-int-or-string": true}),
                value!(true),
                "spec.a: Invalid value: \"boolean\": spec.a in body must be of type integer,string: \"boolean\"",
            ),
            (
                value!({"type": "string", "format": "date-time"}),
                value!("x"),
                "spec.a: Invalid value: \"x\": spec.a in body must be of type date-time: \"x\"",
            ),
        ] {
            assert_eq!(errors(schema.clone(), value), want, "{schema:?}");
        }
    }

    #[test]
    fn unchanged_is_let_pass() {
        let schema =
            Structural::parse(&value!({"type": "object", "properties": {"a": {"type": "integer", "maximum": 10}}}));
        assert_eq!(validate_update(&value!({"a": 50, "b": 1}), &value!({"a": 50}), &schema).len(), 0);
        assert_eq!(validate_update(&value!({"a": 51}), &value!({"a": 50}), &schema).len(), 1);
    }
}
