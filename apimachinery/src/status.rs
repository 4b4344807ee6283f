//! API errors: what becomes a `metav1.Status` in an answer. The one place where reasons, codes and their standard messages are
//! written. Corresponds to upstream's apimachinery/pkg/api/errors.

use std::fmt;

use crate::field::{Error, Errors};
use crate::quote::quote;
use crate::value::{Key, Map, Value};

/// Why a request failed, in a word that clients act on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// No reason is known.
    #[default]
    Unknown,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409: the name is taken.
    AlreadyExists,
    /// 409: the object is not in the expected state.
    Conflict,
    /// 410
    Gone,
    /// 422
    Invalid,
    /// 500: try again.
    ServerTimeout,
    /// 500: stored data cannot be read.
    StoreReadError,
    /// 504
    Timeout,
    /// 429
    TooManyRequests,
    /// 400
    BadRequest,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 500
    InternalError,
    /// 410: the revision is compacted.
    Expired,
    /// 503
    ServiceUnavailable,
    /// A reason of somebody else's (a webhook's).
    Other(Box<str>),
}

const REASONS: &[(Reason, &str)] = &[
    (Reason::Unknown, ""),
    (Reason::Unauthorized, "Unauthorized"),
    (Reason::Forbidden, "Forbidden"),
    (Reason::NotFound, "NotFound"),
    (Reason::AlreadyExists, "AlreadyExists"),
    (Reason::Conflict, "Conflict"),
    (Reason::Gone, "Gone"),
    (Reason::Invalid, "Invalid"),
    (Reason::ServerTimeout, "ServerTimeout"),
    (Reason::StoreReadError, "StorageReadError"),
    (Reason::Timeout, "Timeout"),
    (Reason::TooManyRequests, "TooManyRequests"),
    (Reason::BadRequest, "BadRequest"),
    (Reason::MethodNotAllowed, "MethodNotAllowed"),
    (Reason::NotAcceptable, "NotAcceptable"),
    (Reason::RequestEntityTooLarge, "RequestEntityTooLarge"),
    (Reason::UnsupportedMediaType, "UnsupportedMediaType"),
    (Reason::InternalError, "InternalError"),
    (Reason::Expired, "Expired"),
    (Reason::ServiceUnavailable, "ServiceUnavailable"),
];

impl Reason {
    /// The word on the wire; empty if unknown.
    pub fn as_str(&self) -> &str {
        match self {
            Reason::Other(text) => text,
            known => REASONS.iter().find(|(r, _)| r == known).map_or("", |(_, text)| text),
        }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Reason {
        REASONS
            .iter()
            .find(|(_, known)| *known == text)
            .map_or_else(|| Reason::Other(text.into()), |(reason, _)| reason.clone())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of several reasons for a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// A machine-readable type (on the wire: `reason`).
    pub type_: String,
    /// For people.
    pub message: String,
    /// The field that caused it.
    pub field: String,
}

impl From<&Error> for Cause {
    fn from(error: &Error) -> Cause {
        Cause { type_: error.type_.as_str().to_owned(), message: error.body(), field: error.field.to_string() }
    }
}

/// What the failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Resource name (plural), or kind for failed validation.
    pub kind: String,
    /// UID of the object.
    pub uid: String,
    /// Causes, in order.
    pub causes: Vec<Cause>,
    /// Seconds after which to try again; 0 if not said.
    pub retry_after_seconds: i32,
}

fn put_text(map: &mut Map, key: &'static str, text: &str) {
    if !text.is_empty() {
        map.insert(Key::Static(key), text);
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        put_text(&mut out, "reason", &self.type_);
        put_text(&mut out, "message", &self.message);
        put_text(&mut out, "field", &self.field);
        Value::Map(out)
    }

    fn from_value(value: &Value) -> Cause {
        let text = |key| value.get(key).str_or_empty().to_owned();
        Cause { type_: text("reason"), message: text("message"), field: text("field") }
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        put_text(&mut out, "name", &self.name);
        put_text(&mut out, "group", &self.group);
        put_text(&mut out, "kind", &self.kind);
        put_text(&mut out, "uid", &self.uid);
        if !self.causes.is_empty() {
            out.insert(Key::Static("causes"), Value::List(self.causes.iter().map(Cause::to_value).collect()));
        }
        if self.retry_after_seconds != 0 {
            out.insert(Key::Static("retryAfterSeconds"), i64::from(self.retry_after_seconds));
        }
        Value::Map(out)
    }

    fn from_value(value: &Value) -> Details {
        let text = |key| value.get(key).str_or_empty().to_owned();
        let seconds = value.get("retryAfterSeconds").as_i64().and_then(|s| i32::try_from(s).ok());
        Details {
            name: text("name"),
            group: text("group"),
            kind: text("kind"),
            uid: text("uid"),
            causes: value.get("causes").items().iter().map(Cause::from_value).collect(),
            retry_after_seconds: seconds.unwrap_or(0),
        }
    }
}

/// A failed request. Boxed inside, so a `Result` stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inner {
    code: u16,
    reason: Reason,
    message: String,
    details: Option<Details>,
    continue_token: String,
}

/// `resource.group`, or `resource` of the core group.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn about(group: &str, kind: &str, name: &str) -> Details {
    Details { name: name.to_owned(), group: group.to_owned(), kind: kind.to_owned(), ..Details::default() }
}

fn retry_in(seconds: i32) -> Details {
    Details { retry_after_seconds: seconds, ..Details::default() }
}

impl ApiError {
    /// An error with these parts and no details.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> ApiError {
        ApiError(Box::new(Inner { code, reason, message: message.into(), ..Inner::default() }))
    }

    /// The same error with `details`.
    pub fn with_details(mut self, details: Details) -> ApiError {
        self.0.details = Some(details);
        self
    }

    /// The same error with a token to continue a list with, in its metadata.
    pub fn with_continue(mut self, token: &str) -> ApiError {
        token.clone_into(&mut self.0.continue_token);
        self
    }

    /// 404 for an object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> ApiError {
        let message = format!("{} {} not found", qualified(group, resource), quote(name));
        ApiError::new(404, Reason::NotFound, message).with_details(about(group, resource, name))
    }

    /// 409 because the name is taken.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> ApiError {
        let message = format!("{} {} already exists", qualified(group, resource), quote(name));
        ApiError::new(409, Reason::AlreadyExists, message).with_details(about(group, resource, name))
    }

    /// 409 because no generated name was free.
    pub fn generate_name_conflict(group: &str, resource: &str, name: &str, retry_after_seconds: i32) -> ApiError {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource),
            quote(name)
        );
        let details = Details { retry_after_seconds, ..about(group, resource, name) };
        ApiError::new(409, Reason::AlreadyExists, message).with_details(details)
    }

    /// 401; an empty `message` becomes the standard one.
    pub fn unauthorized(message: &str) -> ApiError {
        ApiError::new(401, Reason::Unauthorized, if message.is_empty() { "not authorized" } else { message })
    }

    /// 403 for an object, a resource (`name` empty) or neither (`resource` empty too).
    pub fn forbidden(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> ApiError {
        let what = qualified(group, resource);
        let message = match (what.as_str(), name) {
            ("", _) => format!("forbidden: {why}"),
            (what, "") => format!("{what} is forbidden: {why}"),
            (what, name) => format!("{what} {} is forbidden: {why}", quote(name)),
        };
        ApiError::new(403, Reason::Forbidden, message).with_details(about(group, resource, name))
    }

    /// 409 because the object is not in the expected state.
    pub fn conflict(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> ApiError {
        let message = format!("Operation cannot be fulfilled on {} {}: {why}", qualified(group, resource), quote(name));
        ApiError::new(409, Reason::Conflict, message).with_details(about(group, resource, name))
    }

    /// 409 because other managers own fields that are applied.
    pub fn apply_conflict(causes: Vec<Cause>, message: impl Into<String>) -> ApiError {
        ApiError::new(409, Reason::Conflict, message).with_details(Details { causes, ..Details::default() })
    }

    /// 410 with the old reason.
    pub fn gone(message: impl Into<String>) -> ApiError {
        ApiError::new(410, Reason::Gone, message)
    }

    /// 410: a resource version or continue token that is too old.
    pub fn expired(message: impl Into<String>) -> ApiError {
        ApiError::new(410, Reason::Expired, message)
    }

    /// 422: the object of this kind does not pass validation.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &Errors) -> ApiError {
        let what = format!("{} {} is invalid", qualified(group, kind), quote(name));
        let message = if errors.is_empty() { what } else { format!("{what}: {errors}") };
        let causes = errors.iter().map(Cause::from).collect();
        ApiError::new(422, Reason::Invalid, message).with_details(Details { causes, ..about(group, kind, name) })
    }

    /// 400
    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(400, Reason::BadRequest, message)
    }

    /// 429 with a message of one's own.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> ApiError {
        ApiError::new(429, Reason::TooManyRequests, message).with_details(retry_in(retry_after_seconds))
    }

    /// 429 that does not say when to come back.
    pub fn too_many_requests_dropped(message: &str) -> ApiError {
        ApiError::new(429, Reason::TooManyRequests, format!("Too many requests: {message}"))
    }

    /// 503
    pub fn service_unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(503, Reason::ServiceUnavailable, message)
    }

    /// 405
    pub fn method_not_supported(group: &str, resource: &str, action: &str) -> ApiError {
        let message = format!("{action} is not supported on resources of kind {}", quote(&qualified(group, resource)));
        ApiError::new(405, Reason::MethodNotAllowed, message).with_details(about(group, resource, ""))
    }

    /// 500 that is worth trying again.
    pub fn server_timeout(group: &str, resource: &str, operation: &str, retry_after_seconds: i32) -> ApiError {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            qualified(group, resource)
        );
        let details = Details { retry_after_seconds, ..about(group, resource, operation) };
        ApiError::new(500, Reason::ServerTimeout, message).with_details(details)
    }

    /// 500
    pub fn internal(why: impl fmt::Display) -> ApiError {
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        ApiError::new(500, Reason::InternalError, format!("Internal error occurred: {why}"))
            .with_details(Details { causes: vec![cause], ..Details::default() })
    }

    /// 504
    pub fn timeout(message: &str, retry_after_seconds: i32) -> ApiError {
        ApiError::new(504, Reason::Timeout, format!("Timeout: {message}")).with_details(retry_in(retry_after_seconds))
    }

    /// 413
    pub fn too_large(message: &str) -> ApiError {
        let message = format!("Request entity too large: {message}");
        ApiError::new(413, Reason::RequestEntityTooLarge, message)
    }

    /// 406: none of the media types that the client accepts can be made; `supported` in order.
    pub fn not_acceptable(supported: &[&str]) -> ApiError {
        let message = format!("only the following media types are accepted: {}", supported.join(", "));
        ApiError::new(406, Reason::NotAcceptable, message)
    }

    /// 415: the body is of none of the media types that are understood.
    pub fn unsupported_media_type(supported: &[&str]) -> ApiError {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            supported.join(", ")
        );
        ApiError::new(415, Reason::UnsupportedMediaType, message)
    }

    /// The error of an answer without a Status in it, or of a path that leads nowhere. `verb` is an HTTP method.
    pub fn generic(code: u16, verb: &str, group: &str, resource: &str, name: &str, server_message: &str) -> ApiError {
        let (reason, mut message) = generic_text(code, verb, server_message);
        let what = qualified(group, resource);
        let verb = verb.to_ascii_lowercase();
        match (what.as_str(), name) {
            ("", _) => {}
            (what, "") => message = format!("{message} ({verb} {what})"),
            (what, name) => message = format!("{message} ({verb} {what} {name})"),
        }
        ApiError::new(code, reason, message).with_details(about(group, resource, name))
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The reason.
    pub fn reason(&self) -> &Reason {
        &self.0.reason
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The message, to add to it.
    pub fn message_mut(&mut self) -> &mut String {
        &mut self.0.message
    }

    /// The details, if any.
    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// The details, made empty if absent.
    pub fn details_mut(&mut self) -> &mut Details {
        self.0.details.get_or_insert_with(Details::default)
    }

    /// With other advice when to try again; 0 is none.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: i32) -> Self {
        self.details_mut().retry_after_seconds = seconds;
        self
    }

    /// Seconds after which to try again, if said.
    pub fn retry_after_seconds(&self) -> Option<i32> {
        self.details().map(|d| d.retry_after_seconds).filter(|s| *s > 0)
    }

    /// The `metav1.Status` object (`v1`), in normal form.
    pub fn to_status_value(&self) -> Value {
        let mut out = Map::new();
        out.insert(Key::Static("kind"), "Status");
        out.insert(Key::Static("apiVersion"), "v1");
        if !self.0.continue_token.is_empty() {
            let entry = (Key::Static("continue"), Value::str(self.0.continue_token.as_str()));
            out.insert(Key::Static("metadata"), Map::from_entries(vec![entry]));
        }
        out.insert(Key::Static("status"), "Failure");
        put_text(&mut out, "message", &self.0.message);
        put_text(&mut out, "reason", self.0.reason.as_str());
        if let Some(details) = &self.0.details {
            out.insert(Key::Static("details"), details.to_value());
        }
        if self.0.code != 0 {
            out.insert(Key::Static("code"), i64::from(self.0.code));
        }
        Value::Map(out)
    }

    /// The error that a `metav1.Status` object tells of; nothing if it tells of success or is no Status.
    pub fn from_status_value(status: &Value) -> Option<ApiError> {
        if status.get("kind").as_str() != Some("Status") || status.get("status").as_str() == Some("Success") {
            return None;
        }
        let code = status.get("code").as_i64().and_then(|c| u16::try_from(c).ok()).unwrap_or(0);
        let reason = Reason::from(status.get("reason").str_or_empty());
        let error = ApiError::new(code, reason, status.get("message").str_or_empty());
        let details = status.get("details");
        Some(if details.is_null() { error } else { error.with_details(Details::from_value(details)) })
    }

    /// True for 404 with reason NotFound.
    pub fn is_not_found(&self) -> bool {
        self.0.reason == Reason::NotFound
    }

    /// True if the name was taken.
    pub fn is_already_exists(&self) -> bool {
        self.0.reason == Reason::AlreadyExists
    }

    /// True if the object was not in the expected state.
    pub fn is_conflict(&self) -> bool {
        self.0.reason == Reason::Conflict
    }
}

fn generic_text(code: u16, verb: &str, server_message: &str) -> (Reason, String) {
    let server = || server_message.to_owned();
    let (reason, text) = match code {
        409 if verb == "POST" => (Reason::AlreadyExists, "the server reported a conflict"),
        409 => (Reason::Conflict, "the server reported a conflict"),
        404 => (Reason::NotFound, "the server could not find the requested resource"),
        400 => (Reason::BadRequest, "the server rejected our request for an unknown reason"),
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials"),
        403 => return (Reason::Forbidden, server()),
        406 if server_message.is_empty() || server_message == "unknown" => {
            (Reason::NotAcceptable, "the server was unable to respond with a content type that the client supports")
        }
        406 => return (Reason::NotAcceptable, server()),
        415 => return (Reason::UnsupportedMediaType, server()),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request"),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request"),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        429 => {
            (Reason::TooManyRequests, "the server has received too many requests and has asked us to try again later")
        }
        500.. => {
            let text =
                format!("an error on the server ({}) has prevented the request from succeeding", quote(server_message));
            return (Reason::InternalError, text);
        }
        _ => {
            let text = format!("the server responded with the status code {code} but did not return more information");
            return (Reason::Unknown, text);
        }
    };
    (reason, text.to_owned())
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let mut errs = Errors::new();
        errs.required("spec.x", "");
        for (error, code, want) in [
            (ApiError::not_found("", "pods", "a"), 404, r#"pods "a" not found"#),
            (ApiError::already_exists("apps", "deployments", "a"), 409, r#"deployments.apps "a" already exists"#),
            (ApiError::forbidden("", "pods", "", "no"), 403, "pods is forbidden: no"),
            (ApiError::forbidden("", "", "", "no"), 403, "forbidden: no"),
            (ApiError::conflict("", "pods", "a", "x"), 409, r#"Operation cannot be fulfilled on pods "a": x"#),
            (
                ApiError::invalid("apps", "Deployment", "a", &errs),
                422,
                r#"Deployment.apps "a" is invalid: spec.x: Required value"#,
            ),
            (ApiError::generic(404, "GET", "", "", "", ""), 404, "the server could not find the requested resource"),
            (ApiError::unauthorized(""), 401, "not authorized"),
        ] {
            assert_eq!((error.code(), error.message()), (code, want));
        }
    }

    #[test]
    fn status_objects() {
        let mut errs = Errors::new();
        errs.required("spec.x", "");
        for error in [
            ApiError::invalid("apps", "Deployment", "a", &errs),
            ApiError::unauthorized(""),
            ApiError::too_many_requests("slow down", 3),
        ] {
            assert_eq!(ApiError::from_status_value(&error.to_status_value()), Some(error));
        }
        let status = ApiError::not_found("", "pods", "a").to_status_value();
        assert_eq!(status.path(&["details", "kind"]).as_str(), Some("pods"));
    }

    #[test]
    fn causes_carry_the_body_without_the_path() {
        let mut errs = Errors::new();
        errs.invalid("spec.x", 1, "is bad");
        let error = ApiError::invalid("", "Pod", "a", &errs);
        let cause = &error.details().expect("has details").causes[0];
        assert_eq!(
            (cause.type_.as_str(), cause.message.as_str(), cause.field.as_str()),
            ("FieldValueInvalid", "Invalid value: 1: is bad", "spec.x")
        );
    }
}
