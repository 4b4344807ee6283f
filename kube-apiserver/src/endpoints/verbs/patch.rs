//! PATCH: JSON patch, merge patch, strategic merge patch, apply.
//!
//! upstream: endpoints/handlers/patch.go

use apimachinery::codec::json::{self, DecodeError};
use apimachinery::field::{BadValue, Errors, Path};
use apimachinery::patch::json_patch::JsonPatch;
use apimachinery::patch::{merge, strategic};
use apimachinery::quote::quote;
use apimachinery::schema::{self, Type};
use apimachinery::status::{ApiError, Details, Reason};
use apimachinery::value::Value;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};

use super::super::dispatch::Scope;
use super::super::encode::View;
use super::super::options::{self, FieldValidation, Kind, WriteOptions};
use super::super::{body, decode};
use super::admission::Admission;
use super::managed_fields::{self, ScaleOwners};
use super::{metadata, respond, scale, update};
use crate::body::Body;
use crate::registry::admit::Operation;
use crate::registry::store::{Updater, ensure_namespace};
use crate::registry::strategy::RequestContext;

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn patch_type(scope: &Scope) -> Result<PatchType, ApiError> {
    let header = scope.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let media = header.split(';').next().unwrap_or_default().trim();
    let built_in = scope.store.resource.info.is_some();
    match media {
        JSON => Ok(PatchType::Json),
        MERGE => Ok(PatchType::Merge),
        STRATEGIC if built_in => Ok(PatchType::Strategic),
        APPLY => Ok(PatchType::Apply),
        _ if built_in => Err(ApiError::new(415, Reason::UnsupportedMediaType, "415: Unsupported Media Type")
            .with_details(Details::default())),
        _ => Err(ApiError::unsupported_media_type(&[JSON, MERGE, APPLY])),
    }
}

/// Answers a PATCH.
pub async fn patch(scope: Scope, http: Request<Body>) -> Result<Response<Body>, ApiError> {
    let kind = patch_type(&scope)?;
    let output = scope.output(false)?;
    let bytes = body::read(http.into_body()).await?;
    let options = options::write(&scope.query, if kind == PatchType::Apply { Kind::Apply } else { Kind::Patch })?;
    let cx = scope.context(Operation::Update, options.dry_run, &options.field_manager);
    let admission = Admission::new(&scope, &options.raw, options.dry_run);
    let patch = Patch { scope: &scope, kind, bytes, options: &options };
    if scope.info.subresource == "scale" {
        let admission = admission.of_kind(scale::API_VERSION, scale::KIND);
        let mut scaler = PatchScale { patch, admission: &admission };
        let stored = scale::update(&scope, &cx, &mut scaler, &admission).await?;
        return respond::other(&scope, StatusCode::OK, &scale::of(&stored, &scale::Places::of(&scope)), &output);
    }
    let admission = admission.authorizing_create();
    let mut patching = Patching { patch, cx: &cx, admission: &admission };
    let force_create = kind == PatchType::Apply && scope.info.subresource.is_empty();
    let (stored, created) =
        scope.store.update(&scope.state, &cx, &scope.info.name, &mut patching, &admission, force_create).await?;
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    respond::object(&scope, code, stored, &output)
}

struct Patch<'a> {
    scope: &'a Scope,
    kind: PatchType,
    bytes: Bytes,
    options: &'a WriteOptions,
}

impl Patch<'_> {
    fn strict(&self) -> bool {
        self.options.field_validation != FieldValidation::Ignore
    }

    /// Applies the patch to a versioned object of a type; the result is versioned, normalized, not defaulted.
    fn apply(&self, object: &Value, ty: &Type) -> Result<Value, ApiError> {
        match self.kind {
            PatchType::Strategic => self.strategic(object, ty),
            _ => self.textual(object, ty),
        }
    }

    fn textual(&self, object: &Value, ty: &Type) -> Result<Value, ApiError> {
        let mut text = Vec::new();
        json::encode(object, ty, &mut text);
        let (patched, mut strict_errors) = if self.kind == PatchType::Json {
            let patch = JsonPatch::decode(&self.bytes, self.strict())?;
            let strict = if self.strict() { patch.strict_errors() } else { Vec::new() };
            (patch.apply(&text)?, strict)
        } else {
            let strict = if self.strict() { self.checked_object("error decoding patch: ")?.1 } else { Vec::new() };
            (merge::apply(&text, &self.bytes)?, strict)
        };
        let shown = || String::from_utf8_lossy(&patched).into_owned();
        let options = json::DecodeOptions { strict: self.strict(), ..json::DecodeOptions::default() };
        if let Some(custom) = self.scope.custom_schema().filter(|_| ty.extra.unstructured) {
            let (value, errors) =
                crate::extensions::custom::decode(&patched, custom).map_err(|e| does_not_fit(shown(), &e))?;
            strict_errors.extend(errors);
            if self.strict() {
                self.report(strict_errors, shown)?;
            }
            let kind = &self.scope.store.resource.kind;
            crate::extensions::custom::check_type(&value, &self.scope.served.api_version, kind)?;
            return Ok(value);
        }
        self.check_type(&patched).map_err(|why| does_not_fit(shown(), &why))?;
        let decoded = json::decode(&patched, ty, &options).map_err(|e| does_not_fit(shown(), &e.to_string()))?;
        strict_errors.extend(decoded.strict_errors);
        self.report(strict_errors, shown)?;
        Ok(marked(decoded.value, &patched))
    }

    /// A patch may not turn the object into another kind.
    fn check_type(&self, patched: &[u8]) -> Result<(), String> {
        let (api_version, kind) = json::type_meta(patched).map_err(|e| e.to_string())?;
        let resource = &self.scope.store.resource;
        let served = &self.scope.served.api_version;
        let same = kind.is_empty() || *kind == *resource.kind;
        let known = api_version.is_empty() || kind.is_empty() || schema::kind(&api_version, &kind).is_some();
        if resource.info.is_none() || (known && same) || self.scope.info.subresource == "scale" {
            return Ok(());
        }
        if known {
            let (from, to) = (decode::go_name(&api_version, &kind), decode::internal_name(served, &resource.kind));
            return Err(format!("converting ({from}) to ({to}): unknown conversion"));
        }
        Err(format!(
            "no kind {} is registered for version {} in scheme {}",
            quote(&kind),
            quote(&api_version),
            quote(resource.scheme())
        ))
    }

    fn strategic(&self, object: &Value, ty: &Type) -> Result<Value, ApiError> {
        let (patch, mut strict_errors) = self.checked_object("")?;
        if !self.strict() {
            strict_errors.clear();
        }
        let mut text = Vec::new();
        json::encode(object, ty, &mut text);
        let original = json::decode_untyped(&text).map_err(ApiError::internal)?;
        let patched = strategic::apply(&original, &patch, ty)?;
        let mut text = Vec::new();
        json::encode_untyped(&patched, &mut text);
        let shown = || go_map(&patch);
        let options = json::DecodeOptions { strict: self.strict(), ..json::DecodeOptions::default() };
        let why = |error: DecodeError| json::mismatch(&patched, ty).unwrap_or_else(|| error.to_string());
        let decoded = json::decode(&text, ty, &options).map_err(|e| does_not_fit(shown(), &why(e)))?;
        strict_errors.extend(decoded.strict_errors);
        self.report(strict_errors, shown)?;
        Ok(marked(decoded.value, &text))
    }

    /// The patch as an object, and its duplicate keys.
    fn checked_object(&self, prefix: &str) -> Result<(Value, Vec<String>), ApiError> {
        let decoded =
            json::decode_strict_untyped(&self.bytes).map_err(|e| ApiError::bad_request(format!("{prefix}{e}")))?;
        if decoded.value.as_map().is_none() && !decoded.value.is_null() {
            let what = decoded.value.type_name();
            return Err(ApiError::bad_request(format!(
                "{prefix}json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"
            )));
        }
        Ok((decoded.value, decoded.strict_errors))
    }

    fn report(&self, errors: Vec<String>, shown: impl FnOnce() -> String) -> Result<(), ApiError> {
        if errors.is_empty() {
            return Ok(());
        }
        if self.options.field_validation == FieldValidation::Warn {
            errors.into_iter().for_each(|e| self.scope.warnings.add(e));
            return Ok(());
        }
        Err(does_not_fit(shown(), &format!("strict decoding error: {}", errors.join(", "))))
    }
}

/// An empty list of managed fields asks to forget them. Decoding makes no difference between it and none at all, so it
/// is put into the other form of that request: a list of one empty entry.
fn marked(mut object: Value, text: &[u8]) -> Value {
    const EMPTY: &[u8] = b"\"managedFields\":[]";
    let fields = ["metadata", "managedFields"];
    if object.path(&fields).is_null() && text.windows(EMPTY.len()).any(|part| part == EMPTY) {
        object.set_path(&fields, Value::List(vec![Value::map()]));
    }
    object
}

/// 422: the patched object is none.
fn does_not_fit(shown: String, why: &str) -> ApiError {
    let mut errs = Errors::new();
    errs.invalid(Path::root("patch"), BadValue::Str(shown), why);
    ApiError::invalid("", "", "", &errs)
}

/// A tree as Go prints maps with `%+v`.
fn go_map(value: &Value) -> String {
    match value {
        Value::Map(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_map(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::List(list) => format!("[{}]", list.iter().map(go_map).collect::<Vec<_>>().join(" ")),
        Value::Str(text) => text.to_string(),
        Value::Null => "<nil>".to_owned(),
        other => json::to_string(other),
    }
}

struct Patching<'a> {
    patch: Patch<'a>,
    cx: &'a RequestContext,
    admission: &'a Admission<'a>,
}

impl Patching<'_> {
    fn patched(&self, old: &Value) -> Result<Value, ApiError> {
        let scope = self.patch.scope;
        if self.patch.kind == PatchType::Apply {
            return managed_fields::apply(scope, self.cx, old, &self.patch.bytes, self.patch.options);
        }
        if old.is_null() {
            return Err(scope.about().not_found());
        }
        let view = View::whole(&scope.store, &scope.served);
        let mut object = self.patch.apply(&view.shown(old.clone()), &scope.served.schema)?;
        scope.default(&mut object);
        scope.store.stored.to_hub(&mut object, &scope.served);
        Ok(managed_fields::update(scope, self.cx, old, object))
    }
}

#[async_trait]
impl Updater for Patching<'_> {
    async fn updated(&mut self, old: &Value) -> Result<Value, ApiError> {
        let scope = self.patch.scope;
        let mut object = self.patched(old)?;
        let uid = object.path(&["metadata", "uid"]).str_or_empty();
        if old.is_null() && !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(ApiError::conflict(&scope.info.api_group, &scope.info.resource, &scope.info.name, why));
        }
        ensure_namespace(&scope.info.namespace, scope.store.resource.namespaced, &mut object)?;
        metadata::check_name(&object, &scope.info.name, scope.object_namespace())?;
        update::admit(self.admission, &mut object, old).await?;
        metadata::dedup_owners(&mut object, &scope.warnings, true);
        Ok(object)
    }
}

struct PatchScale<'a> {
    patch: Patch<'a>,
    admission: &'a Admission<'a>,
}

#[async_trait]
impl scale::ScaleUpdater for PatchScale<'_> {
    async fn scaled(&mut self, old: &Value, owners: &ScaleOwners<'_>) -> Result<Value, ApiError> {
        let ty = schema::kind(scale::API_VERSION, scale::KIND).expect("the type is in the table");
        let mut wanted = match self.patch.kind {
            PatchType::Apply => owners.apply(old, &self.patch.bytes, self.patch.options)?,
            _ => owners.update(old, self.patch.apply(old, ty)?),
        };
        metadata::check_name(&wanted, &self.patch.scope.info.name, self.patch.scope.object_namespace())?;
        self.admission.admit(Operation::Update, &mut wanted, old).await?;
        Ok(wanted)
    }
}
