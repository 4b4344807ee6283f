//! What an authorizer is asked.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/authorization/authorizer/interfaces.go

use apimachinery::quote::quote;
use apimachinery::status::ApiError;

use crate::authentication::user::UserInfo;
use crate::filters::request_info::RequestInfo;

/// One question to the authorizers: may this user do this.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Who asks.
    pub user: UserInfo,
    /// API verb, or lower-case HTTP method for non-resource paths.
    pub verb: String,
    /// False for non-resource paths; then only `verb` and `path` count.
    pub resource_request: bool,
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource.
    pub resource: String,
    /// Subresource or empty.
    pub subresource: String,
    /// Namespace or empty.
    pub namespace: String,
    /// Object name or empty.
    pub name: String,
    /// Path of a non-resource request.
    pub path: String,
    /// Raw field selector.
    pub field_selector: String,
    /// Raw label selector.
    pub label_selector: String,
}

impl Attributes {
    /// The question that a request asks by itself.
    pub fn of_request(user: UserInfo, info: &RequestInfo) -> Self {
        Self {
            user,
            verb: info.verb.clone(),
            resource_request: info.is_resource_request,
            group: info.api_group.clone(),
            version: info.api_version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            path: info.path.clone(),
            field_selector: info.field_selector.clone(),
            label_selector: info.label_selector.clone(),
        }
    }

    /// `resource` or `resource/subresource`.
    pub fn combined_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// True for verbs that change nothing.
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// The 403 for this question.
    pub fn forbidden(&self, reason: &str) -> ApiError {
        let sentence = self.forbidden_message();
        let why = if reason.is_empty() { sentence } else { format!("{sentence}: {reason}") };
        ApiError::forbidden(&self.group, &self.resource, &self.name, why)
    }

    /// The sentence that a 403 carries, without the reason.
    /// upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go: forbiddenMessage
    pub fn forbidden_message(&self) -> String {
        let user = quote(&self.user.name);
        if !self.resource_request {
            return format!("User {user} cannot {} path {}", self.verb, quote(&self.path));
        }
        let what = format!(
            "User {user} cannot {} resource {} in API group {}",
            self.verb,
            quote(&self.combined_resource()),
            quote(&self.group)
        );
        if self.namespace.is_empty() {
            format!("{what} at the cluster scope")
        } else {
            format!("{what} in the namespace {}", quote(&self.namespace))
        }
    }
}
