//! PUT of an object, of its status, of another subresource that holds it, or of its scale.
//!
//! upstream: endpoints/handlers/update.go

use apimachinery::schema;
use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;
use http::{Request, Response, StatusCode};

use super::super::decode::{self, Expected};
use super::super::dispatch::Scope;
use super::super::options::{self, Kind};
use super::super::{body, negotiation};
use super::admission::Admission;
use super::managed_fields::{self, ScaleOwners};
use super::{metadata, respond, scale};
use crate::body::Body;
use crate::registry::admit::Operation;
use crate::registry::store::{Updater, ensure_namespace};
use crate::registry::strategy::RequestContext;

/// Answers a PUT.
pub async fn update(scope: Scope, http: Request<Body>) -> Result<Response<Body>, ApiError> {
    if scope.info.subresource == "scale" {
        return update_scale(scope, http).await;
    }
    let output = scope.output(false)?;
    let bytes = body::read(http.into_body()).await?;
    let options = options::write(&scope.query, Kind::Update)?;
    let media = negotiation::input(&scope.headers)?;
    let expected = Expected {
        api_version: &scope.served.api_version,
        kind: &scope.store.resource.kind,
        schema: &scope.served.schema,
        custom: scope.custom_schema(),
        emptied: Some(&scope.emptied),
    };
    let mut object = decode::object(&bytes, media, expected, options.field_validation, &scope.warnings)?;
    drop(bytes);
    scope.default(&mut object);
    scope.store.stored.to_hub(&mut object, &scope.served);
    ensure_namespace(&scope.info.namespace, scope.store.resource.namespaced, &mut object)?;
    metadata::check_name(&object, &scope.info.name, scope.object_namespace())?;
    metadata::dedup_owners(&mut object, &scope.warnings, false);
    let cx = scope.context(Operation::Update, options.dry_run, &options.field_manager);
    let admission = Admission::new(&scope, &options.raw, options.dry_run).authorizing_create();
    let mut put = Put { scope: &scope, cx: &cx, admission: &admission, object };
    let (stored, created) =
        scope.store.update(&scope.state, &cx, &scope.info.name, &mut put, &admission, false).await?;
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    respond::object(&scope, code, stored, &output)
}

struct Put<'a> {
    scope: &'a Scope,
    cx: &'a RequestContext,
    admission: &'a Admission<'a>,
    object: Value,
}

#[async_trait]
impl Updater for Put<'_> {
    fn uid(&self) -> Option<String> {
        self.object.path(&["metadata", "uid"]).as_str().filter(|u| !u.is_empty()).map(str::to_owned)
    }

    async fn updated(&mut self, old: &Value) -> Result<Value, ApiError> {
        let mut object = managed_fields::update(self.scope, self.cx, old, self.object.clone());
        admit(self.admission, &mut object, old).await?;
        metadata::dedup_owners(&mut object, &self.scope.warnings, true);
        Ok(object)
    }
}

/// Runs mutating admission, as a creation where there is no old object.
pub async fn admit(admission: &Admission<'_>, object: &mut Value, old: &Value) -> Result<(), ApiError> {
    let operation = if old.is_null() { Operation::Create } else { Operation::Update };
    admission.admit(operation, object, old).await
}

async fn update_scale(scope: Scope, http: Request<Body>) -> Result<Response<Body>, ApiError> {
    let output = scope.output(false)?;
    let bytes = body::read(http.into_body()).await?;
    let options = options::write(&scope.query, Kind::Update)?;
    let media = negotiation::input(&scope.headers)?;
    let schema = schema::kind(scale::API_VERSION, scale::KIND).expect("the type is in the table");
    let expected = Expected { api_version: scale::API_VERSION, kind: scale::KIND, schema, custom: None, emptied: None };
    let mut wanted = decode::object(&bytes, media, expected, options.field_validation, &scope.warnings)?;
    ensure_namespace(&scope.info.namespace, true, &mut wanted)?;
    metadata::check_name(&wanted, &scope.info.name, scope.object_namespace())?;
    let cx = scope.context(Operation::Update, options.dry_run, &options.field_manager);
    let admission = Admission::new(&scope, &options.raw, options.dry_run).of_kind(scale::API_VERSION, scale::KIND);
    let mut put = PutScale { admission: &admission, wanted };
    let stored = scale::update(&scope, &cx, &mut put, &admission).await?;
    respond::other(&scope, StatusCode::OK, &scale::of(&stored, &scale::Places::of(&scope)), &output)
}

struct PutScale<'a> {
    admission: &'a Admission<'a>,
    wanted: Value,
}

#[async_trait]
impl scale::ScaleUpdater for PutScale<'_> {
    async fn scaled(&mut self, old: &Value, owners: &ScaleOwners<'_>) -> Result<Value, ApiError> {
        let mut wanted = owners.update(old, self.wanted.clone());
        self.admission.admit(Operation::Update, &mut wanted, old).await?;
        Ok(wanted)
    }
}
