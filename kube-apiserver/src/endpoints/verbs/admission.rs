//! The request's admission: what plugins are told, and the guard that the store asks between validation and storing.
//!
//! upstream: registry/rest/{create,update,delete}.go: AdmissionToValidate…

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::super::dispatch::Scope;
use crate::authorization::{Attributes as Question, Decision};
use crate::registry::admit::{Attributes, Operation};
use crate::registry::store::Guard;

/// Admission of one request.
pub struct Admission<'a> {
    scope: &'a Scope,
    api_version: &'a str,
    kind: &'a str,
    options: &'a Value,
    dry_run: bool,
    /// The user must be allowed to create, when an update turns into a creation.
    authorize_create: bool,
}

impl<'a> Admission<'a> {
    /// Admission of a request whose body (or target) is of the resource's kind.
    pub fn new(scope: &'a Scope, options: &'a Value, dry_run: bool) -> Self {
        let (api_version, kind) = (&*scope.served.api_version, &*scope.store.resource.kind);
        Self { scope, api_version, kind, options, dry_run, authorize_create: false }
    }

    /// The body is of another kind (`Scale`, `Binding`).
    #[must_use]
    pub fn of_kind(mut self, api_version: &'a str, kind: &'a str) -> Self {
        (self.api_version, self.kind) = (api_version, kind);
        self
    }

    /// For PUT and PATCH: creating needs a permission of its own.
    #[must_use]
    pub fn authorizing_create(mut self) -> Self {
        self.authorize_create = true;
        self
    }

    fn attributes(&'a self, operation: Operation, name: &'a str, old: &'a Value) -> Attributes<'a> {
        let info = &self.scope.info;
        let own = info.namespace.is_empty() && self.scope.store.resource.is_namespaces();
        let namespace = if own { name } else { &info.namespace };
        Attributes {
            resource: &self.scope.store.resource,
            version: &info.api_version,
            kind: self.kind,
            api_version: self.api_version,
            subresource: &info.subresource,
            namespace,
            name,
            operation,
            options: self.options,
            dry_run: self.dry_run,
            user: &self.scope.user,
            old,
            warnings: &self.scope.warnings,
        }
    }

    fn name(&'a self, object: &'a Value) -> &'a str {
        if self.scope.info.name.is_empty() {
            object.path(&["metadata", "name"]).str_or_empty()
        } else {
            &self.scope.info.name
        }
    }

    /// Runs the mutating plugins.
    ///
    /// # Errors
    /// What a plugin says.
    pub async fn admit(&self, operation: Operation, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        let name = self.name(object).to_owned();
        let attributes = self.attributes(operation, &name, old);
        self.scope.state.admission.admit(&attributes, object).await
    }

    /// Runs the validating plugins.
    ///
    /// # Errors
    /// What a plugin says.
    pub async fn validate(&self, operation: Operation, object: &Value, old: &Value) -> Result<(), ApiError> {
        // a delete of many names none of them
        let name = if operation == Operation::Delete { &self.scope.info.name } else { self.name(object) };
        let attributes = self.attributes(operation, name, old);
        self.scope.state.admission.validate(&attributes, object).await
    }

    async fn may_create(&self) -> Result<(), ApiError> {
        let info = &self.scope.info;
        let question = Question {
            user: (*self.scope.user).clone(),
            verb: "create".to_owned(),
            resource_request: true,
            group: info.api_group.clone(),
            version: info.api_version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            path: info.path.clone(),
            ..Question::default()
        };
        match self.scope.state.authorizer.authorize(&question).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(question.forbidden(&reason)),
        }
    }
}

#[async_trait]
impl Guard for Admission<'_> {
    async fn on_create(&self, object: &Value) -> Result<(), ApiError> {
        if self.authorize_create {
            self.may_create().await?;
        }
        self.validate(Operation::Create, object, &Value::Null).await
    }

    async fn on_update(&self, object: &Value, old: &Value) -> Result<(), ApiError> {
        self.validate(Operation::Update, object, old).await
    }

    async fn on_delete(&self, old: &Value) -> Result<(), ApiError> {
        let mut nothing = Value::Null;
        self.admit_delete(&mut nothing, old).await?;
        self.validate(Operation::Delete, &Value::Null, old).await
    }
}

impl Admission<'_> {
    async fn admit_delete(&self, nothing: &mut Value, old: &Value) -> Result<(), ApiError> {
        let attributes = self.attributes(Operation::Delete, &self.scope.info.name, old);
        self.scope.state.admission.admit(&attributes, nothing).await
    }
}
