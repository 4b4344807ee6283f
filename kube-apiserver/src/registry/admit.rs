//! The seam between the verbs and admission: what a plugin is told, the chain the verbs call, and the
//! `Admitted` proof that storage asks for.
//!
//! Plugins live in `admission/`; this file knows none of them.
//! upstream: staging/src/k8s.io/apiserver/pkg/admission/{attributes,interfaces}.go

use std::sync::Arc;

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use crate::registry::resource::Resource;
use crate::request::{UserInfo, Warnings};

/// What is about to happen to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object, or of one of its subresources.
    Update,
    /// Removal; the object given to plugins is null, the old one is in the attributes.
    Delete,
    /// A connection such as exec; the object is the options object.
    Connect,
}

impl Operation {
    /// The name in webhooks and audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What admission plugins are told about a write.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// The resource written to.
    pub resource: &'a Arc<Resource>,
    /// API version of the request (`v1`).
    pub version: &'a str,
    /// Kind of the object in the body; differs from the resource's for subresources such as `Scale`.
    pub kind: &'a str,
    /// Group and version of that kind (`autoscaling/v1`).
    pub api_version: &'a str,
    /// Subresource, empty if none.
    pub subresource: &'a str,
    /// Namespace of the request; for namespaces themselves their name.
    pub namespace: &'a str,
    /// Name, empty on a create with generateName.
    pub name: &'a str,
    /// What happens.
    pub operation: Operation,
    /// CreateOptions, UpdateOptions, PatchOptions or DeleteOptions.
    pub options: &'a Value,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// Who does it.
    pub user: &'a Arc<UserInfo>,
    /// The object before the change; null on create.
    pub old: &'a Value,
    /// Where warnings for the client go.
    pub warnings: &'a Warnings,
}

/// All admission plugins in their order.
#[async_trait]
pub trait AdmissionChain: Send + Sync + 'static {
    /// Mutating plugins; the first error ends the request.
    ///
    /// # Errors
    /// What the plugin answers the client.
    async fn admit(&self, a: &Attributes<'_>, object: &mut Value) -> Result<(), ApiError>;

    /// Validating plugins, after validation by the strategy.
    ///
    /// # Errors
    /// What the plugin answers the client.
    async fn validate(&self, a: &Attributes<'_>, object: &Value) -> Result<(), ApiError>;
}

/// A chain without plugins.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

#[async_trait]
impl AdmissionChain for AdmitAll {
    async fn admit(&self, _: &Attributes<'_>, _: &mut Value) -> Result<(), ApiError> {
        Ok(())
    }

    async fn validate(&self, _: &Attributes<'_>, _: &Value) -> Result<(), ApiError> {
        Ok(())
    }
}

/// Proof that an object went through validation and admission. Storage takes nothing else.
#[derive(Debug)]
pub struct Admitted<T>(T);

impl<T> Admitted<T> {
    /// Only the store's verbs call this, after the chain said yes.
    pub(in crate::registry) fn new(object: T) -> Self {
        Self(object)
    }

    /// The object.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The object.
    pub fn into_inner(self) -> T {
        self.0
    }
}
