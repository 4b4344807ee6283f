//! The rules of a schema, compiled.
//!
//! upstream: apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::structural::{Additional, SchemaType, Structural};
use apimachinery::value::Value;
use cel::{Decl, Environment, Program, Shape, Type};

/// Rules of a schema and of those below it.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) rules: Vec<Rule>,
    /// What expressions see of values.
    pub(super) decl: Arc<Decl>,
    /// The schema's type.
    pub(super) ty: SchemaType,
    pub(super) properties: BTreeMap<Box<str>, Rules>,
    pub(super) additional: Option<Box<Rules>>,
    pub(super) items: Option<Box<Rules>>,
    pub(super) all_of: Vec<Rules>,
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) text: Box<str>,
    pub(super) message: Box<str>,
    pub(super) message_expression: Box<str>,
    pub(super) reason: Option<Box<str>>,
    pub(super) field_path: Box<str>,
    pub(super) optional_old: Option<bool>,
    /// `None` if the rule is empty.
    pub(super) program: Option<Result<Program, String>>,
    pub(super) message_program: Option<Result<Program, String>>,
    pub(super) uses_old: bool,
}

impl Rule {
    /// As error messages name it.
    pub(super) fn shown(&self) -> &str {
        let message = self.message.trim();
        if message.is_empty() { self.text.trim() } else { message }
    }

    /// `env` has both variables as they are unless the old one is optional.
    fn new(rule: &Value, decl: &Arc<Decl>, env: &Environment) -> Self {
        let text = |name: &str| rule.get(name).str_or_empty();
        let optional_old = rule.get("optionalOldSelf").as_bool();
        let mut env = Cow::Borrowed(env);
        if optional_old == Some(true) {
            env = Cow::Owned(env.into_owned().with("oldSelf", Type::optional(decl.ty.clone())));
        }
        let compile = |text: &str, want: &Type, failed: &str, other: &str| match env.compile(text) {
            Ok(program) if program.result_type() == want => Ok(program),
            Ok(_) => Err(other.to_owned()),
            Err(error) => Err(format!("{failed}: {error}")),
        };
        let program = (!text("rule").trim().is_empty()).then(|| {
            compile(text("rule"), &Type::Bool, "compilation failed", "cel expression must evaluate to a bool")
        });
        let compiled = matches!(program, Some(Ok(_)));
        let message_program = (compiled && !text("messageExpression").is_empty()).then(|| {
            let other = "messageExpression must evaluate to a string";
            compile(text("messageExpression"), &Type::String, "messageExpression compilation failed", other)
        });
        let uses_old = matches!(&program, Some(Ok(program)) if program.mentions("oldSelf"));
        Self {
            text: text("rule").into(),
            message: text("message").into(),
            message_expression: text("messageExpression").into(),
            reason: rule.get("reason").as_str().map(Into::into),
            field_path: text("fieldPath").into(),
            optional_old,
            program,
            message_program,
            uses_old,
        }
    }
}

/// The rules that stand at one schema.
pub(super) fn rules_at(schema: &Value, decl: &Arc<Decl>) -> Vec<Rule> {
    let written = schema.get("x-kubernetes-validations").items();
    if written.is_empty() {
        return Vec::new();
    }
    let env = Environment::new().with_decl("self", decl.clone()).with_decl("oldSelf", decl.clone());
    written.iter().map(|rule| Rule::new(rule, decl, &env)).collect()
}

impl Rules {
    /// Of a version's `openAPIV3Schema`; `None` if it has no rules.
    pub fn compile(schema: &Value, structural: &Structural) -> Option<Self> {
        if !has_rules(schema) {
            return None;
        }
        let decl = Arc::new(Decl::of_schema(structural, true, "selfType")?);
        Self::of(schema, structural, &decl)
    }

    fn of(schema: &Value, node: &Structural, decl: &Arc<Decl>) -> Option<Self> {
        let mut out = Self {
            rules: rules_at(schema, decl),
            decl: decl.clone(),
            ty: node.ty,
            properties: BTreeMap::new(),
            additional: None,
            items: None,
            all_of: Vec::new(),
        };
        let member = match &decl.shape {
            Shape::List(of) | Shape::Map(of) => Some(of),
            _ => None,
        };
        if let (Some(items), Some(of)) = (&node.items, member) {
            out.items = Self::of(schema.get("items"), items, of).map(Box::new);
        }
        if let (Additional::Schema(inner), Some(of)) = (&node.additional, member) {
            out.additional = Self::of(schema.get("additionalProperties"), inner, of).map(Box::new);
        }
        for (name, property) in schema.get("properties").entries() {
            let Some(inner) = node.properties.get(name) else { continue };
            let own = match cel::escaping::escape(name) {
                Some(ident) => decl.field(&ident).map(|field| field.decl.clone()),
                None => Decl::of_schema(inner, inner.embedded_resource, &format!("selfType.{name}")).map(Arc::new),
            };
            if let Some(rules) = own.and_then(|own| Self::of(property, inner, &own)) {
                out.properties.insert(name.into(), rules);
            }
        }
        out.all_of = schema.get("allOf").items().iter().filter_map(|all| Self::of(all, node, decl)).collect();
        let empty = out.rules.is_empty()
            && out.properties.is_empty()
            && out.additional.is_none()
            && out.items.is_none()
            && out.all_of.is_empty();
        (!empty).then_some(out)
    }
}

/// Whether a rule stands at the schema or below.
fn has_rules(schema: &Value) -> bool {
    if schema.as_map().is_none() {
        return false;
    }
    !schema.get("x-kubernetes-validations").items().is_empty()
        || schema.get("properties").entries().any(|(_, s)| has_rules(s))
        || ["items", "additionalProperties"].iter().any(|name| has_rules(schema.get(name)))
        || schema.get("allOf").items().iter().any(has_rules)
}
