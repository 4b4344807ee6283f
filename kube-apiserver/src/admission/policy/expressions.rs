//! Expressions about a request: compiled once, run with the object, the request and who may do what.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/cel, pkg/admission/plugin/webhook/matchconditions

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use apimachinery::codec::json;
use apimachinery::value::Value;
use cel::{Activation, Authorize, Environment, Program, Question, Type, Val, Variable, Verdict};
use futures::FutureExt;

use crate::admission::webhook::request_of;
use crate::admission::{Attributes, is_resource, text_of};
use crate::authorization::{self, Authorizer, Decision};
use crate::objects::{NAMESPACES, Objects};

/// How many compiled expressions are kept.
const KEPT: usize = 2048;
/// What one evaluation may cost.
const PER_CALL: u64 = 1_000_000;

type Compiled = Result<Program, String>;

static COMPILED: LazyLock<Mutex<HashMap<Box<str>, Arc<Compiled>>>> = LazyLock::new(Mutex::default);

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let dynamic = ["object", "oldObject", "request", "namespaceObject", "params", "variables"];
    let authorizer = Environment::new()
        .with("authorizer", Type::object("kubernetes.authorization.Authorizer"))
        .with("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck"));
    dynamic.iter().fold(authorizer, |env, name| env.with(name, Type::Dyn)).with_patches()
});

/// The compiled expression, or why it is none.
fn compile(text: &str) -> Arc<Compiled> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = compiled.get(text) {
        return found.clone();
    }
    let program = Arc::new(ENVIRONMENT.compile(text).map_err(|e| format!("compilation failed: {e}")));
    if compiled.len() >= KEPT {
        compiled.clear();
    }
    compiled.insert(text.into(), program.clone());
    program
}

struct Authorizing<'a> {
    authorizer: &'a Authorizer,
    user: &'a crate::request::UserInfo,
}

impl Authorize for Authorizing<'_> {
    fn authorize(&self, q: &Question) -> Verdict {
        let mut user = self.user.clone();
        if let Some((namespace, name)) = &q.service_account {
            let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
            user = crate::request::UserInfo::new(
                format!("system:serviceaccount:{namespace}:{name}"),
                &[&groups[0], &groups[1], "system:authenticated"],
            );
        }
        let question = authorization::Attributes {
            user,
            verb: q.verb.clone(),
            resource_request: q.path.is_empty(),
            group: q.group.clone(),
            version: if q.path.is_empty() { "*".to_owned() } else { String::new() },
            resource: q.resource.clone(),
            subresource: q.subresource.clone(),
            namespace: q.namespace.clone(),
            name: q.name.clone(),
            path: q.path.clone(),
            field_selector: q.field_selector.clone(),
            label_selector: q.label_selector.clone(),
        };
        match self.authorizer.authorize(&question).now_or_never() {
            Some(Decision::Allow(reason)) => Verdict { allowed: true, reason, error: String::new() },
            Some(Decision::Deny(reason) | Decision::NoOpinion(reason)) => {
                Verdict { allowed: false, reason, error: String::new() }
            }
            None => Verdict { error: "the authorizer did not answer at once".to_owned(), ..Verdict::default() },
        }
    }
}

/// Why an expression gives nothing.
enum Failed {
    Compiling(String),
    Running(String),
}

impl Failed {
    fn shown(self) -> String {
        match self {
            Self::Compiling(why) => format!("compilation error: {why}"),
            Self::Running(why) => why,
        }
    }
}

/// An object as expressions see it: the tree of its JSON.
fn shown(a: &Attributes<'_>, object: &Value) -> Value {
    json::decode_untyped(&text_of(a, object)).unwrap_or_default()
}

/// All that expressions about one request see.
pub struct Scope {
    object: Value,
    old: Value,
    request: Value,
    namespace: Value,
    resource: Question,
    user: Arc<crate::request::UserInfo>,
    authorizer: Arc<Authorizer>,
}

impl Scope {
    /// Of a request; the namespace is looked up.
    pub async fn of(
        a: &Attributes<'_>,
        object: &Value,
        objects: &Arc<dyn Objects>,
        authorizer: &Arc<Authorizer>,
    ) -> Self {
        let namespace = if a.namespace.is_empty() || is_resource(a, "", "namespaces") {
            Value::Null
        } else {
            match objects.cached(NAMESPACES, "", a.namespace) {
                Some(found) => found,
                None => objects.get(NAMESPACES, "", a.namespace).await.unwrap_or_default(),
            }
        };
        let resource = Question {
            group: a.resource.group.to_string(),
            resource: a.resource.plural.to_string(),
            subresource: a.subresource.to_owned(),
            namespace: a.namespace.to_owned(),
            name: a.name.to_owned(),
            ..Question::default()
        };
        Self {
            object: shown(a, object),
            old: shown(a, a.old),
            request: request_of("", a, &Value::Null),
            namespace,
            resource,
            user: a.user.clone(),
            authorizer: authorizer.clone(),
        }
    }

    /// The variables of a policy, compiled.
    pub fn variables(policy: &Value) -> Vec<Variable> {
        let written = policy.path(&["spec", "variables"]).items().iter();
        let variable = |v: &Value| Variable {
            name: v.get("name").str_or_empty().into(),
            program: compile(v.get("expression").str_or_empty()),
        };
        written.map(variable).collect()
    }

    /// From now on expressions see the object so.
    pub fn see(&mut self, a: &Attributes<'_>, object: &Value) {
        self.object = shown(a, object);
    }

    /// Runs one expression; `then` reads the result.
    fn run<T>(
        &self,
        text: &str,
        namespace: &Value,
        params: &Value,
        variables: &[Variable],
        then: impl FnOnce(&Val<'_>) -> T,
    ) -> Result<T, Failed> {
        let compiled = compile(text);
        let program = match &*compiled {
            Ok(program) => program,
            Err(why) => return Err(Failed::Compiling(why.clone())),
        };
        let authorizing = Authorizing { authorizer: &self.authorizer, user: &self.user };
        let activation = Activation::new()
            .with("object", Val::of(&self.object, None))
            .with("oldObject", Val::of(&self.old, None))
            .with("request", Val::of(&self.request, None))
            .with("namespaceObject", Val::of(namespace, None))
            .with("params", Val::of(params, None))
            .with("authorizer", Val::authorizer())
            .with("authorizer.requestResource", Val::request_resource(self.resource.clone()))
            .with_composed(variables)
            .with_authorizer(&authorizing);
        match program.run(&activation, PER_CALL).0 {
            Ok(value) => Ok(then(&value)),
            Err(error) => Err(Failed::Running(format!("expression '{text}' resulted in error: {error}"))),
        }
    }

    /// Runs an expression; `then` reads the result.
    ///
    /// # Errors
    /// `expression '…' resulted in error: …`, or why it does not compile.
    pub fn value<T>(
        &self,
        text: &str,
        params: &Value,
        variables: &[Variable],
        then: impl FnOnce(&Val<'_>) -> T,
    ) -> Result<T, String> {
        self.run(text, &self.namespace, params, variables, then).map_err(|failed| match failed {
            Failed::Compiling(why) | Failed::Running(why) => why,
        })
    }

    fn condition(&self, text: &str, namespace: &Value, params: &Value, variables: &[Variable]) -> Result<bool, String> {
        let other = || Failed::Compiling("must evaluate to bool".to_owned());
        let result = self.run(text, namespace, params, variables, |value| value.as_bool());
        result.and_then(|holds| holds.ok_or_else(other)).map_err(Failed::shown)
    }

    /// A condition.
    ///
    /// # Errors
    /// `expression '…' resulted in error: …`
    pub fn holds(&self, text: &str, params: &Value, variables: &[Variable]) -> Result<bool, String> {
        self.condition(text, &self.namespace, params, variables)
    }

    /// What an annotation of the audit event would say; `None` if the expression gives none.
    ///
    /// # Errors
    /// If it fails or gives no text.
    pub fn annotation(&self, text: &str, params: &Value, variables: &[Variable]) -> Result<Option<String>, String> {
        let result = self.run(text.trim(), &self.namespace, params, variables, |value| match value {
            Val::Null => Ok(None),
            Val::Str(text) => Ok(Some(text.as_str().trim().to_owned()).filter(|t| !t.is_empty())),
            other => Err(format!(
                "valueExpression '{text}' resulted in unsupported return type: {}. Return type must be either string or null.",
                other.type_name()
            )),
        });
        result.map_err(Failed::shown)?
    }

    /// A text; `None` if the expression gives none.
    pub fn text(&self, text: &str, params: &Value, variables: &[Variable]) -> Option<String> {
        let result = self.value(text, params, variables, |value| value.as_str().map(|t| t.trim().to_owned()));
        result.ok().flatten().filter(|t| !t.is_empty() && !t.contains('\n') && t.len() <= 5 * 1024)
    }

    /// Whether all conditions hold; an error counts only if none is false. Conditions do not see the namespace.
    ///
    /// # Errors
    /// Of the conditions that cannot be evaluated.
    pub fn all_hold(&self, conditions: &[Value], params: &Value, variables: &[Variable]) -> Result<bool, String> {
        let mut problems: Vec<String> = Vec::new();
        for condition in conditions {
            let text = condition.get("expression").str_or_empty();
            match self.condition(text, &Value::Null, params, variables) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) if problems.contains(&why) => {}
                Err(why) => problems.push(why),
            }
        }
        match problems.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}
