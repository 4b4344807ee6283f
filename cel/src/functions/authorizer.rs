//! Questions to the authorizer. Upstream: apiserver/pkg/cel/library/authz.go

use std::sync::Arc;

use apimachinery::names;

use crate::eval::{Evaluator, Result, fail};
use crate::value::Val;

/// A question, as far as it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Question {
    /// Namespace and name, if it is not about the user of the request.
    pub service_account: Option<(String, String)>,
    pub path: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
    pub verb: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong.
    pub error: String,
}

/// What `authorizer` and its methods give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// `authorizer`
    Authorizer(Question),
    /// `authorizer.path(…)`
    Path(Question),
    /// `authorizer.group(…)`
    Group(Question),
    /// `authorizer.group(…).resource(…)`
    Resource(Question),
    /// What `check` gives.
    Decision(Verdict),
}

impl Access {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Access::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Access::Path(_) => "kubernetes.authorization.PathCheck",
            Access::Group(_) => "kubernetes.authorization.GroupCheck",
            Access::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Access::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

/// Who answers.
pub trait Authorize {
    /// Answers one question.
    fn authorize(&self, question: &Question) -> Verdict;
}

impl<'a> Val<'a> {
    /// The variable `authorizer`.
    pub fn authorizer() -> Val<'a> {
        Val::Access(Arc::new(Access::Authorizer(Question::default())))
    }

    /// The variable `authorizer.requestResource`.
    pub fn request_resource(question: Question) -> Val<'a> {
        Val::Access(Arc::new(Access::Resource(question)))
    }
}

fn access<'a>(access: Access) -> Result<'a> {
    Ok(Val::Access(Arc::new(access)))
}

pub(super) fn call<'a>(run: &Evaluator<'_, 'a>, name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let (subject, rest) = match args {
        [Val::Access(subject), rest @ ..] => (&**subject, rest),
        _ => return None,
    };
    let text = || rest.first().and_then(Val::as_str).map(str::to_owned);
    Some(match (subject, name) {
        (Access::Authorizer(_), "path") if text()?.trim().is_empty() => fail("path must not be empty"),
        (Access::Authorizer(q), "path") => access(Access::Path(Question { path: text()?, ..q.clone() })),
        (Access::Authorizer(q), "group") => access(Access::Group(Question { group: text()?, ..q.clone() })),
        (Access::Authorizer(q), "serviceAccount") => {
            let (namespace, account) = (text()?, rest.get(1)?.as_str()?.to_owned());
            if !names::dns1123_subdomain(&account).is_empty() {
                return Some(fail("Invalid service account name"));
            }
            if !names::dns1123_label(&namespace).is_empty() {
                return Some(fail("Invalid service account namespace"));
            }
            access(Access::Authorizer(Question { service_account: Some((namespace, account)), ..q.clone() }))
        }
        (Access::Group(_), "resource") if text()?.trim().is_empty() => fail("resource must not be empty"),
        (Access::Group(q), "resource") => access(Access::Resource(Question { resource: text()?, ..q.clone() })),
        (Access::Resource(q), "subresource") => {
            access(Access::Resource(Question { subresource: text()?, ..q.clone() }))
        }
        (Access::Resource(q), "namespace") => access(Access::Resource(Question { namespace: text()?, ..q.clone() })),
        (Access::Resource(q), "name") => access(Access::Resource(Question { name: text()?, ..q.clone() })),
        (Access::Resource(q), "fieldSelector") => {
            access(Access::Resource(Question { field_selector: text()?, ..q.clone() }))
        }
        (Access::Resource(q), "labelSelector") => {
            access(Access::Resource(Question { label_selector: text()?, ..q.clone() }))
        }
        (Access::Path(q) | Access::Resource(q), "check") => {
            let question = Question { verb: text()?, ..q.clone() };
            match run.authorizer() {
                Some(authorizer) => access(Access::Decision(authorizer.authorize(&question))),
                None => fail("no authorizer"),
            }
        }
        (Access::Decision(verdict), "allowed") => Ok(Val::Bool(verdict.allowed)),
        (Access::Decision(verdict), "reason") => Ok(Val::str(verdict.reason.as_str())),
        (Access::Decision(verdict), "error") => Ok(Val::str(verdict.error.as_str())),
        (Access::Decision(verdict), "errored") => Ok(Val::Bool(!verdict.error.is_empty())),
        _ => return None,
    })
}
