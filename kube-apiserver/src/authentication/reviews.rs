//! TokenReview and SelfSubjectReview: whom does a token stand for, and who am I.
//!
//! upstream: pkg/registry/authentication/{tokenreview,selfsubjectreview}

use apimachinery::status::ApiError;
use apimachinery::value::Value;
use async_trait::async_trait;

use super::user::UserInfo;
use crate::registry::{Creater, RequestContext, Subresource};
use crate::state::AppState;

/// `tokenreviews`
#[derive(Clone, Copy, Debug)]
pub struct TokenReview;

/// `selfsubjectreviews`
#[derive(Clone, Copy, Debug)]
pub struct SelfSubjectReview;

impl Subresource for TokenReview {
    fn creater(&self) -> Option<&dyn Creater> {
        Some(self)
    }
}

impl Subresource for SelfSubjectReview {
    fn creater(&self) -> Option<&dyn Creater> {
        Some(self)
    }
}

#[async_trait]
impl Creater for TokenReview {
    async fn create(&self, state: &AppState, _: &RequestContext, obj: Value) -> Result<Value, ApiError> {
        let token = obj.path(&["spec", "token"]).str_or_empty();
        if token.is_empty() {
            return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
        }
        let audiences: Vec<String> =
            obj.path(&["spec", "audiences"]).items().iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let wanted = (!audiences.is_empty()).then_some(audiences.as_slice());
        let status: Value = match state.authenticators.review(token, wanted).await {
            Ok(verified) => {
                let list = verified.audiences.iter().map(|a| a.as_str().into()).collect();
                let mut status: Value = [("authenticated", Value::from(true)), ("user", user(&verified.user))].into();
                if !verified.audiences.is_empty() {
                    status.set("audiences", Value::List(list));
                }
                status
            }
            Err(error) => [("user", Value::map()), ("error", error.into())].into(),
        };
        let mut out = obj;
        out.set("status", status);
        Ok(out)
    }
}

#[async_trait]
impl Creater for SelfSubjectReview {
    async fn create(&self, _: &AppState, cx: &RequestContext, obj: Value) -> Result<Value, ApiError> {
        // a new object: what the client named or labelled is not repeated
        let mut out: Value = [("apiVersion", obj.get("apiVersion").clone()), ("kind", obj.get("kind").clone())].into();
        let now = cx.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        out.field_mut("metadata").set("creationTimestamp", now);
        out.set("status", [("userInfo", user(&cx.user))]);
        Ok(out)
    }
}

fn user(user: &UserInfo) -> Value {
    let list = |items: &[String]| Value::List(items.iter().map(|s| s.as_str().into()).collect());
    let mut out = Value::map();
    if !user.name.is_empty() {
        out.set("username", user.name.as_str());
    }
    if !user.uid.is_empty() {
        out.set("uid", user.uid.as_str());
    }
    if !user.groups.is_empty() {
        out.set("groups", list(&user.groups));
    }
    if !user.extra.is_empty() {
        let mut extra = Value::map();
        for (key, values) in &user.extra {
            extra.set(key, list(values));
        }
        out.set("extra", extra);
    }
    out
}
