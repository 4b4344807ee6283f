//! What can go wrong in a command and how it is told to the user.
//!
//! Errors travel as `anyhow::Error`; the variants here are those that the last stage must recognise. Corresponds to
//! kubectl/pkg/cmd/util/helpers.go (`CheckErr`) and apimachinery/pkg/util/errors.

use std::fmt;

use apimachinery::value::Value;

use crate::cli::quote::quote;

/// A `metav1.Status` of failure that the server sent, or that stands for an answer without one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiStatus {
    /// HTTP code.
    pub code: u16,
    /// Reason, as `NotFound`.
    pub reason: String,
    /// Text for people.
    pub message: String,
    /// `details.kind`.
    pub kind: String,
    /// `details.name`.
    pub name: String,
    /// Whether `details` was present.
    pub has_details: bool,
    /// `details.causes`: field, message, reason.
    pub causes: Vec<Cause>,
    /// `details.retryAfterSeconds`.
    pub retry_after: i64,
}

/// One cause of a [`ApiStatus`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cause {
    /// Field path.
    pub field: String,
    /// Text.
    pub message: String,
    /// Type of the cause.
    pub reason: String,
}

impl ApiStatus {
    /// Reads a `Status` object; `None` if `value` is none.
    pub fn from_value(value: &Value) -> Option<Self> {
        if value.get("kind").as_str() != Some("Status") {
            return None;
        }
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let details = value.get("details");
        let causes = details.get("causes").as_list().map(|list| {
            let cause = |c: &Value| Cause {
                field: text(c.get("field")),
                message: text(c.get("message")),
                reason: text(c.get("reason")),
            };
            list.iter().map(cause).collect()
        });
        Some(Self {
            code: value.get("code").as_i64().and_then(|c| u16::try_from(c).ok()).unwrap_or(0),
            reason: text(value.get("reason")),
            message: text(value.get("message")),
            kind: text(details.get("kind")),
            name: text(details.get("name")),
            has_details: !details.is_null(),
            causes: causes.unwrap_or_default(),
            retry_after: details.get("retryAfterSeconds").as_i64().unwrap_or(0),
        })
    }
}

/// The failures that the end of a command tells apart.
#[derive(Debug)]
pub enum Failure {
    /// The server refused.
    Status(Box<ApiStatus>),
    /// The server could not be reached: its address and Go's text of why.
    Connection {
        /// `host:port`.
        host: String,
        /// Upper-case first method name, as Go's url.Error: `Get`.
        op: String,
        /// Full URL.
        url: String,
        /// Go's text.
        reason: String,
    },
    /// Discovery knows no such resource: group, version, resource.
    NoResource {
        /// Resource as the user wrote it.
        resource: String,
        /// Group, may be empty.
        group: String,
        /// Version, may be empty.
        version: String,
    },
    /// Discovery knows no such kind.
    NoKind {
        /// Kind.
        kind: String,
        /// `group/version`s that were searched.
        versions: String,
    },
    /// Several errors.
    Many(Vec<anyhow::Error>),
    /// The kubeconfig is not valid.
    Configuration(Vec<String>),
    /// Everything has been said; only the exit code is left.
    Exit(i32),
    /// A message that is printed as it is, with an exit code.
    Coded(String, i32),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.write_str(&status.message),
            Self::Connection { op, url, reason, .. } => write!(f, "{op} {}: {reason}", quote(url)),
            Self::NoResource { resource, group, version } => {
                write!(f, "no matches for {}", partial_resource(resource, group, version))
            }
            Self::NoKind { kind, versions } => {
                write!(f, "no matches for kind {}", quote(kind))?;
                match versions.is_empty() {
                    true => Ok(()),
                    false => write!(f, " in version {}", quote(versions)),
                }
            }
            Self::Many(errors) => match errors.as_slice() {
                [one] => write!(f, "{one}"),
                many => {
                    let mut seen: Vec<String> = Vec::new();
                    for error in many {
                        let text = error.to_string();
                        if !seen.contains(&text) {
                            seen.push(text);
                        }
                    }
                    match seen.as_slice() {
                        [one] => f.write_str(one),
                        many => write!(f, "[{}]", many.join(", ")),
                    }
                }
            },
            Self::Configuration(errors) => match errors.as_slice() {
                [one] => write!(f, "invalid configuration: {one}"),
                many => write!(f, "invalid configuration: [{}]", many.join(", ")),
            },
            Self::Exit(_) => f.write_str("exit"),
            Self::Coded(message, _) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

fn partial_resource(resource: &str, group: &str, version: &str) -> String {
    format!("{group}/{version}, Resource={resource}")
}

/// The status inside an error, if it is one.
pub fn status_of(error: &anyhow::Error) -> Option<&ApiStatus> {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Status(status)) => Some(status),
        Some(Failure::Many(errors)) if errors.len() == 1 => status_of(&errors[0]),
        _ => None,
    }
}

/// Whether the error is a status with this reason.
pub fn has_reason(error: &anyhow::Error, reason: &str) -> bool {
    status_of(error).is_some_and(|s| s.reason == reason)
}

/// Whether the server said NotFound.
pub fn is_not_found(error: &anyhow::Error) -> bool {
    has_reason(error, "NotFound") || status_of(error).is_some_and(|s| s.reason.is_empty() && s.code == 404)
}

/// Joins errors: none is success, one stays itself.
pub fn aggregate(mut errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(Failure::Many(errors).into()),
    }
}

/// Names the file in the error, as cmdutil.AddSourceToErr.
pub fn with_source(verb: &str, source: &str, error: anyhow::Error) -> anyhow::Error {
    if source.is_empty() {
        return error;
    }
    if let Some(status) = status_of(&error) {
        let mut status = status.clone();
        status.message = format!("error when {verb} {}: {}", quote(source), status.message);
        return Failure::Status(Box::new(status)).into();
    }
    anyhow::anyhow!("error when {verb} {}: {error}", quote(source))
}

/// Puts `prefix` before the message, keeping what the error is.
pub fn with_prefix(prefix: &str, error: anyhow::Error) -> anyhow::Error {
    if let Some(status) = status_of(&error) {
        let mut status = status.clone();
        status.message = format!("{prefix}{}", status.message);
        return Failure::Status(Box::new(status)).into();
    }
    anyhow::anyhow!("{prefix}{error}")
}

/// What to print on standard error, and the exit code.
pub fn report(error: &anyhow::Error) -> (String, i32) {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Exit(code)) => (String::new(), *code),
        Some(Failure::Coded(message, code)) => (message.clone(), *code),
        Some(Failure::Many(errors)) if errors.len() == 1 => report(&errors[0]),
        Some(Failure::Many(errors)) => {
            let mut text = String::new();
            for error in flatten(errors) {
                text.push_str(&format!("{}\n", message_for(error)));
            }
            (text, 1)
        }
        Some(Failure::Status(status)) if status.reason == "Invalid" => (invalid_text(status), 1),
        Some(Failure::Configuration(errors)) => (configuration_text(errors), 1),
        Some(Failure::NoResource { resource, group, version }) => (no_resource_text(resource, group, version), 1),
        _ => {
            let text = standard_message(error).unwrap_or_else(|| {
                let text = error.to_string();
                if text.starts_with("error: ") { text } else { format!("error: {text}") }
            });
            (text, 1)
        }
    }
}

fn flatten(errors: &[anyhow::Error]) -> Vec<&anyhow::Error> {
    let mut flat = Vec::new();
    for error in errors {
        match error.downcast_ref::<Failure>() {
            Some(Failure::Many(inner)) => flat.extend(flatten(inner)),
            _ => flat.push(error),
        }
    }
    flat
}

fn configuration_text(errors: &[String]) -> String {
    match errors {
        [one] if one.starts_with("context was not found") => format!("Error in configuration: {one}"),
        [one] => format!("error: {one}"),
        many => {
            let mut text = String::from("Error in configuration: \n");
            for error in many {
                text.push_str(&format!("* {error}\n"));
            }
            text
        }
    }
}

fn invalid_text(status: &ApiStatus) -> String {
    let mut text = String::from("The request is invalid");
    if !status.has_details {
        if !status.message.is_empty() {
            text.push_str(&format!(": {}", status.message));
        }
        return text;
    }
    if !status.kind.is_empty() || !status.name.is_empty() {
        text = format!("The {} {} is invalid", status.kind, quote(&status.name));
    } else if !status.message.is_empty() && status.causes.is_empty() {
        text.push_str(&format!(": {}", status.message));
    }
    let mut lines: Vec<String> = Vec::new();
    for cause in &status.causes {
        let line = format!("{}: {}", cause.field, cause.message);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    match lines.as_slice() {
        [] => text,
        [one] => format!("{text}: {one}"),
        many => {
            let mut all = format!("{text}: \n");
            for line in many {
                all.push_str(&format!("* {line}\n"));
            }
            all
        }
    }
}

fn no_resource_text(resource: &str, group: &str, version: &str) -> String {
    let mut text = format!("the server doesn't have a resource type {}", quote(resource));
    match (group.is_empty(), version.is_empty()) {
        (true, true) => {}
        (false, true) => text.push_str(&format!(" in group {}", quote(group))),
        (true, false) => text.push_str(&format!(" in version {}", quote(version))),
        (false, false) => {
            text.push_str(&format!(" in group {} and version {}", quote(group), quote(version)));
        }
    }
    text
}

/// The text for one error of a list.
pub fn message_for(error: &anyhow::Error) -> String {
    standard_message(error).unwrap_or_else(|| error.to_string())
}

fn standard_message(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<Failure>()? {
        Failure::Status(status) if status.reason == "Unauthorized" => {
            Some(format!("error: You must be logged in to the server ({})", status.message))
        }
        Failure::Status(status) if !status.reason.is_empty() => {
            Some(format!("Error from server ({}): {}", status.reason, status.message))
        }
        Failure::Status(status) => Some(format!("Error from server: {}", status.message)),
        Failure::Connection { host, reason, .. } if reason.contains("connection refused") => {
            Some(format!("The connection to the server {host} was refused - did you specify the right host or port?"))
        }
        Failure::Connection { reason, .. } => Some(format!("Unable to connect to the server: {reason}")),
        _ => None,
    }
}
