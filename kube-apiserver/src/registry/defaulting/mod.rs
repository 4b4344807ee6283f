//! Defaulting: what upstream fills in when it decodes an object of a served version.
//!
//! A default belongs to a type, wherever the type occurs, so there is no traversal per resource: [`apply`] walks the object
//! along its schema and, at each struct, first runs the type's function from the lists below, then fills in the plain
//! defaults of the table, then descends. Functions are pure and idempotent, and see a normalized value (absent is zero).
//! upstream: pkg/apis/*/v1/defaults.go and zz_generated.defaults.go

mod core;
mod groups;
mod workloads;

use std::collections::HashMap;
use std::sync::LazyLock;

use apimachinery::schema::{self, Field, Shape, Type};
use apimachinery::value::Value;

/// Defaults of one type.
type Function = fn(&mut Value);
/// A type's OpenAPI name and its function.
type Entry = (&'static str, Function);

/// Fills in the defaults of an object of a static type.
pub fn apply(object: &mut Value, ty: &'static Type) {
    if let Some(plan) = PLANS.get(&key(ty)) {
        walk(object, plan);
    }
}

/// Fills in the defaults of an object by its apiVersion and kind; kinds outside the static table have none here.
pub fn apply_to_object(object: &mut Value) {
    let kind = object.get("kind").str_or_empty();
    if let Some(ty) = schema::kind(object.get("apiVersion").str_or_empty(), kind) {
        apply(object, ty);
    }
}

/// What is to be done at a struct of one type.
#[derive(Default)]
struct Plan {
    function: Option<Function>,
    plain: Vec<(&'static str, Value)>,
    /// Members whose own types have defaults.
    members: Vec<Member>,
}

struct Member {
    name: &'static str,
    ty: usize,
    nesting: Nesting,
    /// A struct that is not behind a pointer exists even where it is absent.
    always: bool,
}

#[derive(Clone, Copy)]
enum Nesting {
    Struct,
    List,
    Map,
}

/// Only types that have defaults, or members that have, are in here; keyed by the address of the static type.
static PLANS: LazyLock<HashMap<usize, Plan>> = LazyLock::new(plans);

fn key(ty: &Type) -> usize {
    std::ptr::from_ref(ty).addr()
}

fn plans() -> HashMap<usize, Plan> {
    let functions: HashMap<&str, Function> =
        [core::FUNCTIONS, workloads::FUNCTIONS, groups::FUNCTIONS].into_iter().flatten().copied().collect();
    let mut plans: HashMap<usize, Plan> = HashMap::new();
    for ty in schema::types() {
        let function = functions.get(&*ty.name).copied();
        let plain: Vec<_> = ty.fields.iter().filter_map(plain_default).collect();
        if function.is_some() || !plain.is_empty() {
            plans.insert(key(ty), Plan { function, plain, members: Vec::new() });
        }
    }
    // A type becomes interesting when a member of it is; the longest way through the types bounds the rounds.
    loop {
        let before = plans.len();
        for ty in schema::types() {
            if !plans.contains_key(&key(ty))
                && ty.fields.iter().any(|f| member(f).is_some_and(|m| plans.contains_key(&m.ty)))
            {
                plans.insert(key(ty), Plan::default());
            }
        }
        if plans.len() == before {
            break;
        }
    }
    for ty in schema::types() {
        let members = ty.fields.iter().filter_map(member).filter(|m| plans.contains_key(&m.ty)).collect();
        if let Some(plan) = plans.get_mut(&key(ty)) {
            plan.members = members;
        }
    }
    plans
}

/// The published default of a field, if it says more than the zero value does.
fn plain_default(field: &'static Field) -> Option<(&'static str, Value)> {
    if field.default.is_empty() {
        return None;
    }
    let value: Value = serde_json::from_str(&field.default).ok()?;
    let says_something = field.pointer && !value.is_null() && value.as_map().is_none();
    (says_something || !value.is_zero()).then(|| (name(field), value))
}

fn name(field: &'static Field) -> &'static str {
    &field.json_name
}

fn member(field: &'static Field) -> Option<Member> {
    let (ty, nesting) = struct_of(&field.shape)?;
    let always = !field.pointer && matches!(nesting, Nesting::Struct);
    Some(Member { name: name(field), ty, nesting, always })
}

fn struct_of(shape: &Shape) -> Option<(usize, Nesting)> {
    match shape {
        Shape::Struct(ty) => Some((key(ty), Nesting::Struct)),
        Shape::List(item) => struct_of(item).map(|(ty, _)| (ty, Nesting::List)),
        Shape::Map(item) => struct_of(item).map(|(ty, _)| (ty, Nesting::Map)),
        Shape::Nullable(item) => struct_of(item),
        _ => None,
    }
}

fn walk(object: &mut Value, plan: &Plan) {
    if let Some(function) = plan.function {
        function(object);
    }
    for (name, default) in &plan.plain {
        set(object, name, default.clone());
    }
    for member in &plan.members {
        let inner = &PLANS[&member.ty];
        match (member.nesting, object.get_mut(member.name)) {
            (Nesting::Struct, Some(value)) if !value.is_null() => walk(value, inner),
            (Nesting::Struct, _) if member.always => {
                let mut value = Value::map();
                walk(&mut value, inner);
                if !value.is_zero() {
                    object.set(member.name, value);
                }
            }
            (Nesting::List, Some(Value::List(items))) => items.iter_mut().for_each(|item| walk(item, inner)),
            (Nesting::Map, Some(Value::Map(entries))) => entries.iter_mut().for_each(|(_, item)| walk(item, inner)),
            _ => {}
        }
    }
}

/// Sets a member that is absent.
fn set(object: &mut Value, name: &str, default: impl Into<Value>) {
    if object.get(name).is_null() {
        object.set(name, default);
    }
}

/// As [`set`], but an empty member counts as absent.
fn set_empty(object: &mut Value, name: &str, default: Value) {
    if object.get(name).entries().next().is_none() {
        object.set(name, default);
    }
}

/// Runs `f` on a member that is a map.
fn with(object: &mut Value, name: &str, f: impl FnOnce(&mut Value)) {
    if let Some(member @ Value::Map(_)) = object.get_mut(name) {
        f(member);
    }
}

/// Adds to the map `to` the entries of the map `from` that it lacks.
fn fill(object: &mut Value, to: &str, from: &str) {
    let Some(source) = object.get(from).as_map().cloned() else { return };
    let target = object.field_mut(to).map_mut();
    for (key, value) in source.iter() {
        if target.get(key).is_none() {
            target.insert(key, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_of_a_type_of_the_table() {
        for (name, _) in [core::FUNCTIONS, workloads::FUNCTIONS, groups::FUNCTIONS].into_iter().flatten() {
            assert!(schema::type_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_deployment_gets_what_its_parts_get() {
        let mut object: Value = serde_json::from_str(
            r#"{"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"hostNetwork": true,
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}],
                "readinessProbe": {"grpc": {"port": 1}}}]}}}}"#,
        )
        .expect("JSON");
        apply_to_object(&mut object);
        let spec = object.path(&["spec", "template", "spec"]);
        assert_eq!(object.path(&["spec", "replicas"]).as_i64(), Some(1));
        assert_eq!(spec.get("restartPolicy").as_str(), Some("Always"));
        assert!(spec.get("enableServiceLinks").is_null(), "templates do not get what pods get");
        let container = spec.get("containers").index(0);
        assert_eq!(container.get("imagePullPolicy").as_str(), Some("Always"));
        assert_eq!(container.get("ports").index(0).get("protocol").as_str(), Some("TCP"));
        assert_eq!(container.path(&["readinessProbe", "grpc", "service"]).as_str(), Some(""));
        assert_eq!(container.path(&["readinessProbe", "periodSeconds"]).as_i64(), Some(10));
        let once = object.clone();
        apply_to_object(&mut object);
        assert_eq!(object, once, "defaulting is idempotent");
    }
}
