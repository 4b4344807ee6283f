//! What is wrong with the rules of a definition: they do not compile, or may cost too much.
//!
//! upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation/{validation,cel_validation}.go

use std::sync::Arc;

use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::quote::json_string;
use apimachinery::structural::Structural;
use apimachinery::value::Value;
use cel::Decl;

use super::compile::rules_at;

/// What one rule may cost on all values of an object.
const RULE_LIMIT: u64 = 10_000_000;
/// What all rules of a schema may cost.
const SCHEMA_LIMIT: u64 = 100_000_000;
const HINT: &str = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";

/// Checks the rules of `openAPIV3Schema`, which must be sound otherwise.
pub fn check(schema: &Value, path: &Path, errs: &mut Errors) {
    let mut check = Check { errs, total: 0, expensive: Vec::new() };
    let scope = Scope { decl: None, cardinality: Some(1), uncorrelatable: None, is_root: true };
    check.walk(schema, path, &scope);
    let Check { errs, total, expensive } = check;
    if total > SCHEMA_LIMIT {
        for (_, place) in expensive {
            errs.forbidden(
                place,
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
            );
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errs.forbidden(path, exceeds(name, total, SCHEMA_LIMIT));
    }
}

/// Where a schema stands.
#[derive(Clone)]
struct Scope {
    /// The declaration, where a schema above has rules.
    decl: Option<Arc<Decl>>,
    /// How many values of it an object has at most; `None` if nothing bounds them.
    cardinality: Option<u64>,
    /// The list above whose members cannot be told apart.
    uncorrelatable: Option<Path>,
    is_root: bool,
}

struct Check<'e> {
    errs: &'e mut Errors,
    total: u64,
    expensive: Vec<(u64, Path)>,
}

fn exceeds(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        f if f > 100.0 => "more than 100x".to_owned(),
        f if f < 1.5 => format!("{f:.6}x"),
        f => format!("{f:.1}x"),
    };
    format!("{name} exceeds budget by factor of {factor} {HINT}")
}

/// How many members a value of the schema has at most.
fn max_members(schema: &Value) -> Option<u64> {
    let bound = |name: &str| schema.get(name).as_i64().map(|n| u64::try_from(n).unwrap_or(0));
    match schema.get("type").str_or_empty() {
        "object" if !schema.get("additionalProperties").is_null() => bound("maxProperties"),
        "array" => bound("maxItems"),
        _ => Some(1),
    }
}

/// A rule as upstream's internal type prints.
fn shown(rule: &Value) -> BadValue {
    let text = |name: &str| json_string(rule.get(name).str_or_empty());
    let reason = rule.get("reason").as_str().map_or_else(|| "null".to_owned(), json_string);
    let optional = rule.get("optionalOldSelf").as_bool().map_or_else(|| "null".to_owned(), |b| b.to_string());
    BadValue::json(format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{reason},\"FieldPath\":{},\"OptionalOldSelf\":{optional}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        text("fieldPath"),
    ))
}

impl Check<'_> {
    fn walk(&mut self, schema: &Value, path: &Path, scope: &Scope) {
        if schema.as_map().is_none() {
            return;
        }
        let has_rules = !schema.get("x-kubernetes-validations").items().is_empty();
        let mut scope = scope.clone();
        if has_rules && scope.decl.is_none() {
            let structural = Structural::parse(schema);
            let resource = scope.is_root || structural.embedded_resource;
            scope.decl = Decl::of_schema(&structural, resource, "selfType").map(Arc::new);
            if scope.decl.is_none() {
                let place = path.child("x-kubernetes-validations");
                let why = "internal error: failed to construct type information for x-kubernetes-validations rules: unable \
                           to convert structural schema to CEL declarations";
                return self.errs.internal(place, why);
            }
        }
        let inside = |decl: Option<Arc<Decl>>| Scope {
            decl,
            cardinality: scope.cardinality.zip(max_members(schema)).map(|(a, b)| a.saturating_mul(b)),
            uncorrelatable: scope.uncorrelatable.clone(),
            is_root: false,
        };
        let member = || match scope.decl.as_ref().map(|d| &d.shape) {
            Some(cel::Shape::List(of) | cel::Shape::Map(of)) => Some(of.clone()),
            _ => None,
        };
        let atomic = schema.get("x-kubernetes-map-type").as_str() == Some("atomic");
        let fixed = |mut inner: Scope| {
            if atomic && inner.uncorrelatable.is_none() {
                inner.uncorrelatable = Some(path.clone());
            }
            inner
        };
        self.walk(schema.get("additionalProperties"), &path.child("additionalProperties"), &fixed(inside(member())));
        for (name, property) in schema.get("properties").entries() {
            let decl = scope.decl.as_ref().and_then(|decl| {
                let ident = cel::escaping::escape(name)?;
                decl.field(&ident).map(|field| field.decl.clone())
            });
            self.walk(property, &path.child("properties").key(name), &fixed(inside(decl)));
        }
        let mut inner = inside(member());
        if schema.get("x-kubernetes-list-type").as_str() != Some("map") && inner.uncorrelatable.is_none() {
            inner.uncorrelatable = Some(path.clone());
        }
        self.walk(schema.get("items"), &path.child("items"), &inner);
        if let (true, Some(decl)) = (has_rules, scope.decl.clone()) {
            self.rules(schema, path, &scope, &decl);
        }
    }

    fn rules(&mut self, schema: &Value, path: &Path, scope: &Scope, decl: &Arc<Decl>) {
        let whole = u64::try_from(3 * 1024 * 1024 / (decl.min_size + 1)).unwrap_or(1);
        let cardinality = scope.cardinality.unwrap_or(whole);
        let written = schema.get("x-kubernetes-validations").items();
        for (i, (rule, text)) in rules_at(schema, decl).iter().zip(written).enumerate() {
            let here = path.child("x-kubernetes-validations").index(i);
            if let Some(Ok(program)) = &rule.program {
                let cost = program.estimate().max.saturating_mul(cardinality);
                self.cost(here.child("rule"), "estimated rule cost", cost);
            }
            if let Some(Err(why)) = &rule.program {
                self.errs.invalid(here.child("rule"), shown(text), why.as_str());
            }
            match &rule.message_program {
                Some(Ok(program)) => {
                    let cost = program.estimate().max;
                    self.cost(here.child("messageExpression"), "estimated messageExpression cost", cost);
                }
                Some(Err(why)) => self.errs.invalid(here.child("messageExpression"), shown(text), why.as_str()),
                None => {}
            }
            match (&scope.uncorrelatable, rule.uses_old, rule.optional_old) {
                (Some(above), true, _) => {
                    let detail =
                        format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
                    self.errs.invalid(here.child("rule"), &*rule.text, detail);
                }
                (_, false, Some(optional)) => {
                    let detail = "may not be set if oldSelf is not used in rule";
                    self.errs.invalid(here.child("optionalOldSelf"), optional, detail);
                }
                _ => {}
            }
        }
    }

    fn cost(&mut self, place: Path, name: &str, cost: u64) {
        if cost > RULE_LIMIT {
            self.errs.forbidden(&place, exceeds(name, cost, RULE_LIMIT));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            self.expensive.push((cost, place));
            self.expensive.sort_by_key(|one| std::cmp::Reverse(one.0));
            self.expensive.truncate(4);
        }
    }
}
