//! Field paths and field errors: what validation says about an object. Never looks at objects itself.
//! Corresponds to upstream's apimachinery/pkg/util/validation/field.

use std::fmt;

use crate::quote::{json_value, quote, quote_all};
use crate::value::{Cursor, Value};

/// The way from the root of an object to one of its fields, in its written form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// The path of a top level field.
    pub fn root(name: &str) -> Path {
        Path(name.to_owned())
    }

    /// The place that has no path (a nil pointer in Go).
    pub fn nil() -> Path {
        Path("<nil>".to_owned())
    }

    /// The member `name` of a struct.
    pub fn child(&self, name: &str) -> Path {
        if self.0.is_empty() { Path::root(name) } else { Path(format!("{}.{name}", self.0)) }
    }

    /// The element `index` of a list.
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of a map.
    pub fn key(&self, key: &str) -> Path {
        Path(format!("{}[{key}]", self.0))
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Path {
        path.clone()
    }
}

impl From<&str> for Path {
    fn from(path: &str) -> Path {
        Path(path.to_owned())
    }
}

impl From<String> for Path {
    fn from(path: String) -> Path {
        Path(path)
    }
}

impl From<Cursor<'_>> for Path {
    fn from(place: Cursor<'_>) -> Path {
        place.path()
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A value that refers to something that does not exist.
    NotFound,
    /// A value that must be given and is not.
    Required,
    /// A value that must be unique and is not.
    Duplicate,
    /// A malformed value.
    Invalid,
    /// A value outside of an enumeration.
    NotSupported,
    /// A well-formed value that is not allowed here.
    Forbidden,
    /// Text that is too long.
    TooLong,
    /// Text that is too short.
    TooShort,
    /// A list with too many elements.
    TooMany,
    /// A list with too few elements.
    TooFew,
    /// A failure that is not the user's.
    Internal,
    /// A value of the wrong JSON type.
    TypeInvalid,
}

impl ErrorType {
    /// The machine-readable name, which is the type of a cause in a Status.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooShort => "FieldValueTooShort",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::TooFew => "FieldValueTooFew",
            ErrorType::Internal => "InternalError",
            ErrorType::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(
            self,
            ErrorType::Required | ErrorType::Forbidden | ErrorType::TooLong | ErrorType::TooShort | ErrorType::Internal
        )
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid | ErrorType::TypeInvalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooShort => "Too short",
            ErrorType::TooMany => "Too many",
            ErrorType::TooFew => "Too few",
            ErrorType::Internal => "Internal error",
        })
    }
}

/// The offending value as a message shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// Nothing is shown.
    Omitted,
    /// Text, shown quoted.
    Str(String),
    /// Anything else, shown as it stands: numbers, booleans, JSON text.
    Literal(String),
}

impl BadValue {
    /// JSON text (for structs and lists, in Go's field order).
    pub fn json(text: impl Into<String>) -> BadValue {
        BadValue::Literal(text.into())
    }

    /// What Go shows for a nil pointer, list or map.
    pub fn null() -> BadValue {
        BadValue::Literal("null".to_owned())
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadValue::Omitted => Ok(()),
            BadValue::Str(s) => f.write_str(&quote(s)),
            BadValue::Literal(s) => f.write_str(s),
        }
    }
}

impl From<&str> for BadValue {
    fn from(text: &str) -> BadValue {
        BadValue::Str(text.to_owned())
    }
}

impl From<String> for BadValue {
    fn from(text: String) -> BadValue {
        BadValue::Str(text)
    }
}

impl From<&String> for BadValue {
    fn from(text: &String) -> BadValue {
        BadValue::Str(text.clone())
    }
}

impl From<&Value> for BadValue {
    fn from(value: &Value) -> BadValue {
        match value {
            Value::Str(s) => BadValue::Str(s.to_string()),
            other => BadValue::Literal(json_value(other)),
        }
    }
}

impl From<Cursor<'_>> for BadValue {
    fn from(place: Cursor<'_>) -> BadValue {
        BadValue::from(place.value())
    }
}

macro_rules! literal {
    ($($t:ty),*) => {$(
        impl From<$t> for BadValue {
            fn from(value: $t) -> BadValue {
                BadValue::Literal(value.to_string())
            }
        }
    )*};
}
literal!(i32, i64, u16, u32, u64, usize, f64, bool);

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub type_: ErrorType,
    /// The path, written.
    pub field: Path,
    /// The offending value.
    pub bad_value: BadValue,
    /// More about it; may be empty.
    pub detail: String,
}

impl Error {
    fn new(
        type_: ErrorType,
        field: impl Into<Path>,
        bad_value: impl Into<BadValue>,
        detail: impl Into<String>,
    ) -> Error {
        Error { type_, field: field.into(), bad_value: bad_value.into(), detail: detail.into() }
    }

    /// A value that is not given.
    pub fn required(field: impl Into<Path>, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Required, field, "", detail)
    }

    /// A malformed value.
    pub fn invalid(field: impl Into<Path>, value: impl Into<BadValue>, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Invalid, field, value, detail)
    }

    /// A value of the wrong JSON type.
    pub fn type_invalid(field: impl Into<Path>, value: impl Into<BadValue>, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::TypeInvalid, field, value, detail)
    }

    /// A value outside of `supported`, which is shown in the order given.
    pub fn not_supported<S: AsRef<str>>(
        field: impl Into<Path>,
        value: impl Into<BadValue>,
        supported: impl IntoIterator<Item = S>,
    ) -> Error {
        let list = quote_all(supported);
        let detail = if list.is_empty() { list } else { format!("supported values: {list}") };
        Error::new(ErrorType::NotSupported, field, value, detail)
    }

    /// A value that occurs twice.
    pub fn duplicate(field: impl Into<Path>, value: impl Into<BadValue>) -> Error {
        Error::new(ErrorType::Duplicate, field, value, "")
    }

    /// A value that refers to something that is not there.
    pub fn not_found(field: impl Into<Path>, value: impl Into<BadValue>) -> Error {
        Error::new(ErrorType::NotFound, field, value, "")
    }

    /// A value that is not allowed here.
    pub fn forbidden(field: impl Into<Path>, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Forbidden, field, "", detail)
    }

    /// Text of more than `max` bytes.
    pub fn too_long(field: impl Into<Path>, max: usize) -> Error {
        let detail = format!("may not be more than {max} {}", plural(max, "byte"));
        Error::new(ErrorType::TooLong, field, "<value omitted>", detail)
    }

    /// Text of more than `max` characters.
    pub fn too_long_characters(field: impl Into<Path>, max: usize) -> Error {
        let detail = format!("may not be more than {max} {}", plural(max, "character"));
        Error::new(ErrorType::TooLong, field, "<value omitted>", detail)
    }

    /// Text of fewer than `min` characters.
    pub fn too_short(field: impl Into<Path>, value: impl Into<BadValue>, min: usize) -> Error {
        Error::new(ErrorType::TooShort, field, value, format!("must be at least {min} {}", plural(min, "character")))
    }

    /// A list of `actual` elements where at most `max` are allowed.
    pub fn too_many(field: impl Into<Path>, actual: usize, max: usize) -> Error {
        Error::new(ErrorType::TooMany, field, actual, format!("must have at most {max} {}", plural(max, "item")))
    }

    /// A list of `actual` elements where at least `min` are needed.
    pub fn too_few(field: impl Into<Path>, actual: usize, min: usize) -> Error {
        Error::new(ErrorType::TooFew, field, actual, format!("must have at least {min} {}", plural(min, "item")))
    }

    /// A failure that is not the user's.
    pub fn internal(field: impl Into<Path>, message: impl Into<String>) -> Error {
        Error::new(ErrorType::Internal, field, BadValue::Omitted, message)
    }

    /// The message without the path.
    pub fn body(&self) -> String {
        let mut text = self.type_.to_string();
        if self.type_.shows_value() && self.bad_value != BadValue::Omitted {
            text = format!("{text}: {}", self.bad_value);
        }
        if self.detail.is_empty() { text } else { format!("{text}: {}", self.detail) }
    }
}

fn plural(n: usize, noun: &str) -> String {
    if n == 1 { noun.to_owned() } else { format!("{noun}s") }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// All that is wrong with an object, in the order found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// Nothing wrong yet.
    pub fn new() -> Errors {
        Errors::default()
    }

    /// Adds one.
    pub fn push(&mut self, error: Error) {
        self.0.push(error);
    }

    /// Adds those of `other`.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Error>) {
        self.0.extend(other);
    }

    /// See [`Error::required`].
    pub fn required(&mut self, field: impl Into<Path>, detail: impl Into<String>) {
        self.push(Error::required(field, detail));
    }

    /// See [`Error::invalid`].
    pub fn invalid(&mut self, field: impl Into<Path>, value: impl Into<BadValue>, detail: impl Into<String>) {
        self.push(Error::invalid(field, value, detail));
    }

    /// One [`Error::invalid`] for each message.
    pub fn invalid_each(
        &mut self,
        field: impl Into<Path>,
        value: impl Into<BadValue>,
        messages: impl IntoIterator<Item = String>,
    ) {
        let (field, value) = (field.into(), value.into());
        for message in messages {
            self.push(Error::invalid(&field, value.clone(), message));
        }
    }

    /// See [`Error::type_invalid`].
    pub fn type_invalid(&mut self, field: impl Into<Path>, value: impl Into<BadValue>, detail: impl Into<String>) {
        self.push(Error::type_invalid(field, value, detail));
    }

    /// See [`Error::not_supported`].
    pub fn not_supported<S: AsRef<str>>(
        &mut self,
        field: impl Into<Path>,
        value: impl Into<BadValue>,
        supported: impl IntoIterator<Item = S>,
    ) {
        self.push(Error::not_supported(field, value, supported));
    }

    /// See [`Error::duplicate`].
    pub fn duplicate(&mut self, field: impl Into<Path>, value: impl Into<BadValue>) {
        self.push(Error::duplicate(field, value));
    }

    /// See [`Error::not_found`].
    pub fn not_found(&mut self, field: impl Into<Path>, value: impl Into<BadValue>) {
        self.push(Error::not_found(field, value));
    }

    /// See [`Error::forbidden`].
    pub fn forbidden(&mut self, field: impl Into<Path>, detail: impl Into<String>) {
        self.push(Error::forbidden(field, detail));
    }

    /// See [`Error::too_long`].
    pub fn too_long(&mut self, field: impl Into<Path>, max: usize) {
        self.push(Error::too_long(field, max));
    }

    /// See [`Error::too_long_characters`].
    pub fn too_long_characters(&mut self, field: impl Into<Path>, max: usize) {
        self.push(Error::too_long_characters(field, max));
    }

    /// See [`Error::too_many`].
    pub fn too_many(&mut self, field: impl Into<Path>, actual: usize, max: usize) {
        self.push(Error::too_many(field, actual, max));
    }

    /// See [`Error::too_few`].
    pub fn too_few(&mut self, field: impl Into<Path>, actual: usize, min: usize) {
        self.push(Error::too_few(field, actual, min));
    }

    /// See [`Error::internal`].
    pub fn internal(&mut self, field: impl Into<Path>, message: impl Into<String>) {
        self.push(Error::internal(field, message));
    }

    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }

    /// In the order found, to be changed.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Error> {
        self.0.iter_mut()
    }

    /// Keeps those for which `keep` is true.
    pub fn retain(&mut self, keep: impl FnMut(&Error) -> bool) {
        self.0.retain(keep);
    }

    /// All messages once each: one alone as it is, several as `[a, b]`; empty text if nothing is wrong.
    pub fn to_aggregate(&self) -> String {
        aggregate(self.0.iter().map(ToString::to_string))
    }
}

/// Joins messages as upstream's error aggregate does: duplicates once, one alone as it is, several as `[a, b]`.
pub fn aggregate(messages: impl IntoIterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for message in messages {
        if !seen.contains(&message) {
            seen.push(message);
        }
    }
    if seen.len() == 1 {
        return seen.remove(0);
    }
    if seen.is_empty() { String::new() } else { format!("[{}]", seen.join(", ")) }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_aggregate())
    }
}

impl std::error::Error for Errors {}

impl IntoIterator for Errors {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<Error> for Errors {
    fn from_iter<I: IntoIterator<Item = Error>>(errors: I) -> Errors {
        Errors(errors.into_iter().collect())
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Errors {
        Errors(vec![error])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let path = Path::root("spec").child("containers").index(0).child("ports").key("a.b/c");
        assert_eq!(path.to_string(), "spec.containers[0].ports[a.b/c]");
    }

    #[test]
    fn messages() {
        let name = Path::root("spec").child("containers").index(0).child("name");
        for (error, want) in [
            (Error::required(&name, ""), "spec.containers[0].name: Required value"),
            (Error::required("x", "must be set"), "x: Required value: must be set"),
            (Error::invalid("x", "a\"b", "is bad"), r#"x: Invalid value: "a\"b": is bad"#),
            (Error::invalid("x", -1, "is bad"), "x: Invalid value: -1: is bad"),
            (Error::not_supported("x", "y", ["a", "b"]), r#"x: Unsupported value: "y": supported values: "a", "b""#),
            (Error::duplicate("x", BadValue::json(r#"{"a":1}"#)), r#"x: Duplicate value: {"a":1}"#),
            (Error::forbidden("x", "no"), "x: Forbidden: no"),
            (Error::too_long("x", 1), "x: Too long: may not be more than 1 byte"),
            (Error::too_many("x", 3, 2), "x: Too many: 3: must have at most 2 items"),
            (Error::not_found("x", "y"), r#"x: Not found: "y""#),
            (Error::internal("x", "boom"), "x: Internal error: boom"),
        ] {
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn aggregates() {
        let mut errs = Errors::new();
        assert_eq!(errs.to_aggregate(), "");
        errs.required("a", "");
        errs.required("a", "");
        assert_eq!(errs.to_aggregate(), "a: Required value");
        errs.required("b", "");
        assert_eq!(errs.to_string(), "[a: Required value, b: Required value]");
    }
}
