//! Expressions of policies, webhooks and device classes: what they may name, and what is wrong with those that are written.
//!
//! Expressions are compiled here when an object is written; `admission::policy` runs them.
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/plugin/cel/{compile,composition}.go,
//! staging/src/k8s.io/dynamic-resource-allocation/cel/compile.go

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::{Decl, Environment, Shape, Type};

/// What an expression has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A condition.
    Bool,
    /// A message.
    Text,
    /// A text, or null for none.
    TextOrNull,
    /// A part of an object, to be merged into it.
    ApplyConfiguration,
    /// A list of operations on an object.
    JsonPatch,
    /// Anything.
    Anything,
}

impl Wanted {
    fn types(self) -> Vec<Type> {
        match self {
            Self::Bool => vec![Type::Bool],
            Self::Text => vec![Type::String],
            Self::TextOrNull => vec![Type::String, Type::Null],
            Self::ApplyConfiguration => vec![Type::object("Object")],
            Self::JsonPatch => vec![Type::list(Type::object("JSONPatch"))],
            Self::Anything => Vec::new(),
        }
    }

    /// Why a result of the type is not what is wanted.
    fn refusal(self, got: &Type) -> Option<String> {
        let types = self.types();
        if types.is_empty() || types.contains(got) {
            return None;
        }
        let names: Vec<String> = types.iter().map(Type::runtime_name).collect();
        Some(match names.as_slice() {
            [one] => format!("must evaluate to {one} but got {}", got.runtime_name()),
            many => format!("must evaluate to one of [{}] but got {}", many.join(" "), got.runtime_name()),
        })
    }
}

/// Which variables an expression has besides the request's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `params`
    pub params: bool,
    /// `authorizer`
    pub authorizer: bool,
}

/// Names a struct type with its fields.
fn object<const N: usize>(name: &str, fields: [(&str, Decl); N]) -> Decl {
    Decl::object(name, fields.map(|(name, decl)| (name.into(), decl)))
}

fn request() -> Decl {
    let kind = |name: &str, last: &str| {
        object(name, [("group", Decl::string()), ("version", Decl::string()), (last, Decl::string())])
    };
    let gvk = || kind("kubernetes.GroupVersionKind", "kind");
    let gvr = || kind("kubernetes.GroupVersionResource", "resource");
    let texts = || Decl::list(Decl::string(), None);
    let user = object(
        "kubernetes.UserInfo",
        [
            ("username", Decl::string()),
            ("uid", Decl::string()),
            ("groups", texts()),
            ("extra", Decl::map(texts(), None)),
        ],
    );
    object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", gvk()),
            ("resource", gvr()),
            ("subResource", Decl::string()),
            ("requestKind", gvk()),
            ("requestResource", gvr()),
            ("requestSubResource", Decl::string()),
            ("name", Decl::string()),
            ("namespace", Decl::string()),
            ("operation", Decl::string()),
            ("userInfo", user),
            ("dryRun", Decl::bool()),
            ("options", Decl::dynamic()),
        ],
    )
}

fn namespace() -> Decl {
    let time = || Decl::new(Shape::Timestamp, Type::Timestamp, 32, 21);
    let texts = || Decl::list(Decl::string(), None);
    let entries = || Decl::map(Decl::string(), None);
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", Decl::string()),
            ("generateName", Decl::string()),
            ("namespace", Decl::string()),
            ("labels", entries()),
            ("annotations", entries()),
            ("UID", Decl::string()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", Decl::int()),
            ("deletionTimestamp", time()),
            ("generation", Decl::int()),
            ("resourceVersion", Decl::string()),
            ("finalizers", texts()),
        ],
    );
    let condition = object(
        "kubernetes.NamespaceCondition",
        [
            ("status", Decl::string()),
            ("type", Decl::string()),
            ("lastTransitionTime", time()),
            ("message", Decl::string()),
            ("reason", Decl::string()),
        ],
    );
    let status =
        object("kubernetes.NamespaceStatus", [("conditions", Decl::list(condition, None)), ("phase", Decl::string())]);
    let spec = object("kubernetes.NamespaceSpec", [("finalizers", texts())]);
    object("kubernetes.Namespace", [("metadata", metadata), ("spec", spec), ("status", status)])
}

static BASE: LazyLock<Environment> = LazyLock::new(|| {
    Environment::new()
        .with("object", Type::Dyn)
        .with("oldObject", Type::Dyn)
        .with_decl("namespaceObject", Arc::new(namespace()))
        .with_decl("request", Arc::new(request()))
});

static DEVICE: LazyLock<Environment> = LazyLock::new(|| {
    let per_domain = |of: Decl| Decl::map(Decl::map(of, Some(32)), Some(32));
    let quantity = Decl::new(Shape::Dyn, Type::object("kubernetes.Quantity"), 0, 1);
    let device = object(
        "kubernetes.DRADevice",
        [
            ("driver", Decl::string()),
            ("attributes", per_domain(Decl::dynamic())),
            ("capacity", per_domain(quantity)),
            ("allowMultipleAllocations", Decl::bool()),
        ],
    );
    Environment::new().with_bindings().with_decl("device", Arc::new(device))
});

/// What is wrong with the selector of a device, if anything is.
pub fn device_mistake(text: &str) -> Option<String> {
    match DEVICE.compile(text) {
        Err(error) => Some(format!("compilation failed: {error}")),
        Ok(program) if matches!(program.result_type(), Type::Bool | Type::Dyn) => None,
        Ok(program) => {
            Some(format!("must evaluate to bool or the unknown type, not {}", program.result_type().runtime_name()))
        }
    }
}

/// Compiles the expressions of one object.
#[derive(Debug, Default)]
pub struct Compiler {
    /// Types of the variables so far, if expressions may have any.
    variables: Option<BTreeMap<String, Type>>,
}

impl Compiler {
    /// For expressions that may speak of `variables`.
    pub fn composing() -> Self {
        Self { variables: Some(BTreeMap::new()) }
    }

    fn environment(&self, names: Names, patches: bool) -> Environment {
        let mut env = BASE.clone();
        if names.params {
            env = env.with("params", Type::Dyn);
        }
        if names.authorizer {
            env = env
                .with("authorizer", Type::object("kubernetes.authorization.Authorizer"))
                .with("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck"));
        }
        if let Some(variables) = &self.variables {
            let types = variables.iter().map(|(name, ty)| (name.as_str(), ty));
            env = env.with_decl("variables", Arc::new(Decl::variables("kubernetes.variables", types)));
        }
        if patches { env.with_patches() } else { env }
    }

    fn check(&self, text: &str, names: Names, wanted: Wanted) -> Result<Type, String> {
        let patches = matches!(wanted, Wanted::ApplyConfiguration | Wanted::JsonPatch);
        let compiled = self.environment(names, patches).compile(text);
        let program = compiled.map_err(|error| format!("compilation failed: {error}"))?;
        match wanted.refusal(program.result_type()) {
            Some(why) => Err(why),
            None => Ok(program.result_type().clone()),
        }
    }

    /// What is wrong with an expression, if anything is.
    pub fn mistake(&self, text: &str, names: Names, wanted: Wanted) -> Option<String> {
        self.check(text, names, wanted).err()
    }

    /// Declares a variable for the expressions to come, and says what is wrong with it. One that does not compile may be
    /// anything.
    pub fn declare(&mut self, name: &str, text: &str, names: Names) -> Option<String> {
        let checked = self.check(text, names, Wanted::Anything);
        let (ty, wrong) = match checked {
            Ok(ty) => (ty, None),
            Err(why) => (Type::Dyn, Some(why)),
        };
        self.variables.get_or_insert_default().insert(name.to_owned(), ty);
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Names = Names { params: true, authorizer: true };

    #[test]
    fn mistakes() {
        let compiler = Compiler::default();
        let cases = [
            ("true", Wanted::Bool, None),
            ("object.x == 1", Wanted::Bool, None),
            ("object.x.y", Wanted::Bool, Some("must evaluate to bool but got dyn")),
            ("1", Wanted::Bool, Some("must evaluate to bool but got int")),
            ("\"a\"", Wanted::Bool, Some("must evaluate to bool but got string")),
            ("request.userInfo.groups.exists(g, g == 'a')", Wanted::Bool, None),
            ("namespaceObject.metadata.labels['a'] == params.b", Wanted::Bool, None),
            ("authorizer.requestResource.check('get').allowed()", Wanted::Bool, None),
            ("null", Wanted::TextOrNull, None),
            ("1", Wanted::TextOrNull, Some("must evaluate to one of [string null_type] but got int")),
            ("duration('1s')", Wanted::Text, Some("must evaluate to string but got google.protobuf.Duration")),
            ("Object{spec: Object.spec{a: 1}}", Wanted::ApplyConfiguration, None),
            ("{'a': 1}", Wanted::ApplyConfiguration, Some("must evaluate to Object but got map(string, int)")),
            ("[JSONPatch{op: 'add', path: '/' + jsonpatch.escapeKey('a/b'), value: 1}]", Wanted::JsonPatch, None),
            ("[]", Wanted::JsonPatch, Some("must evaluate to list(JSONPatch) but got list(dyn)")),
            (
                " x",
                Wanted::Bool,
                Some(
                    "compilation failed: ERROR: <input>:1:2: undeclared reference to 'x' (in container '')\n |  x\n | .^",
                ),
            ),
            (
                "request.none == ''",
                Wanted::Bool,
                Some(
                    "compilation failed: ERROR: <input>:1:8: undefined field 'none'\n | request.none == ''\n | .......^",
                ),
            ),
            (
                "Bad_Value!",
                Wanted::Anything,
                Some(
                    "compilation failed: ERROR: <input>:1:10: Syntax error: extraneous input '!' expecting <EOF>\n | Bad_Value!\n | .........^",
                ),
            ),
        ];
        for (text, wanted, expected) in cases {
            assert_eq!(compiler.mistake(text, ALL, wanted).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn names_are_those_declared() {
        let none = Names::default();
        for (text, name) in [("params.a == 1", "params"), ("variables.a", "variables"), ("Object{} == 1", "Object")] {
            let wrong = Compiler::default().mistake(text, none, Wanted::Anything).unwrap_or_default();
            assert!(wrong.contains(&format!("undeclared reference to '{name}'")), "{text}: {wrong}");
        }
    }

    #[test]
    fn variables_have_types() {
        let mut compiler = Compiler::composing();
        assert_eq!(compiler.declare("a", "1 + 1", ALL), None);
        assert_eq!(compiler.declare("b", "[variables.a]", ALL), None);
        assert!(compiler.declare("broken", "1 +", ALL).is_some());
        let cases = [
            ("variables.b[0] == 2", None),
            ("variables.a", Some("must evaluate to bool but got int")),
            ("variables.broken", Some("must evaluate to bool but got dyn")),
            (
                "variables.c",
                Some("compilation failed: ERROR: <input>:1:10: undefined field 'c'\n | variables.c\n | .........^"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(compiler.mistake(text, ALL, Wanted::Bool).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn selectors_of_devices() {
        const START: &str =
            "'.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
        let cases = [
            ("device.driver == 'a'", None),
            ("device.attributes['a'].b", None),
            ("cel.bind(a, device.attributes['a'], a.b && a.c)", None),
            ("device.capacity['a'].b.isGreaterThan(quantity('1Gi'))", None),
            ("1", Some("must evaluate to bool or the unknown type, not int".to_owned())),
            (
                "",
                Some(format!(
                    "compilation failed: ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {{'[', '{{', '(', {START}"
                )),
            ),
            (
                "bogus(",
                Some(format!(
                    "compilation failed: ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {{'[', '{{', '(', ')', {START}\n | bogus(\n | ......^"
                )),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(device_mistake(text), expected, "{text}");
        }
    }
}
