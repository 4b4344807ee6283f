//! JSON text into a [`Value`] in normal form, guided by a type.

use std::borrow::Cow;

use super::parser::{Fail, Parser, Res, Step};
use super::syntax;
use crate::codec::{base64, special};
use crate::schema::{Field, Form, Shape, Type};
use crate::time::Timestamp;
use crate::value::{Key, Map, Value};

/// Trees nest at most this deep. Go's limit is 10,000; beyond this depth the same error is given, since trees are walked by recursion.
const MAX_DEPTH: usize = 512;

/// How to decode.
#[derive(Clone, Copy, Debug)]
pub struct DecodeOptions {
    /// Note unknown and duplicate fields.
    pub strict: bool,
    /// Containers may nest this deep.
    pub max_depth: usize,
    /// Leave empty lists and maps where normal form has nothing: see [`super::drop_empty`].
    pub keep_empty: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions { strict: false, max_depth: MAX_DEPTH, keep_empty: false }
    }
}

impl DecodeOptions {
    /// Strict decoding.
    pub const STRICT: DecodeOptions = DecodeOptions { strict: true, max_depth: MAX_DEPTH, keep_empty: false };
}

/// A decoded value.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The value.
    pub value: Value,
    /// What strict decoding found: `unknown field "spec.foo"`, `duplicate field "x"`; at most 100.
    pub strict_errors: Vec<String>,
    /// There are lists or maps in it that normal form does not have.
    pub kept_empty: bool,
}

/// Why a text could not be decoded, in the words clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No JSON.
    #[error("{0}")]
    Syntax(String),
    /// JSON that does not fit the type.
    #[error("{0}")]
    Type(String),
}

/// Decodes a value of a type.
pub fn decode(text: &[u8], ty: &Type, options: &DecodeOptions) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder {
        parser: Parser::new(text, options.strict, options.max_depth),
        context: Vec::new(),
        keep_empty: options.keep_empty,
        kept_empty: false,
    };
    let result = decoder.root(ty);
    let kept_empty = decoder.kept_empty;
    finish(decoder.parser, result).map(|decoded| Decoded { kept_empty, ..decoded })
}

/// Decodes a value without a schema.
pub fn decode_untyped(text: &[u8]) -> Result<Value, DecodeError> {
    let mut parser = Parser::new(text, false, MAX_DEPTH);
    let result = parser.any();
    finish(parser, result).map(|d| d.value)
}

/// Decodes a value without a schema and notes duplicate keys.
pub fn decode_strict_untyped(text: &[u8]) -> Result<Decoded, DecodeError> {
    let mut parser = Parser::new(text, true, MAX_DEPTH);
    let result = parser.any();
    finish(parser, result)
}

fn finish(mut parser: Parser<'_>, result: Res<Value>) -> Result<Decoded, DecodeError> {
    let result = result.and_then(|value| parser.end().map(|()| value));
    if result.is_ok() && parser.saved.is_none() {
        let value = result.unwrap_or_default();
        return Ok(Decoded { value, strict_errors: parser.strict_errors.0, kept_empty: false });
    }
    syntax::check(parser.text).map_err(DecodeError::Syntax)?;
    Err(match (result, parser.saved) {
        (Err(Fail::Hard(message)), _) | (Ok(_), Some(message)) => DecodeError::Type(message),
        // The syntax is good: only the depth can have been refused.
        _ => DecodeError::Syntax("exceeded max depth".to_owned()),
    })
}

/// The apiVersion and kind of an object, with the messages upstream gives when they cannot be read.
pub fn type_meta(text: &[u8]) -> Result<(String, String), DecodeError> {
    const TARGET: &str =
        r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let mut parser = Parser::new(text, false, MAX_DEPTH);
    let result = read_type_meta(&mut parser, TARGET);
    match (result, parser.saved) {
        (Ok(meta), None) if syntax_of_rest(&mut Parser::new(text, false, MAX_DEPTH)) => Ok(meta),
        (_, saved) => {
            syntax::check(text).map_err(DecodeError::Syntax)?;
            Err(DecodeError::Type(saved.unwrap_or_default()))
        }
    }
}

fn syntax_of_rest(parser: &mut Parser<'_>) -> bool {
    parser.skip().is_ok() && parser.end().is_ok()
}

fn read_type_meta(parser: &mut Parser<'_>, target: &str) -> Res<(String, String)> {
    let (mut version, mut kind) = (String::new(), String::new());
    let c = parser.peek()?;
    if c != b'{' {
        let got = skip_named(parser)?;
        if got != "null" {
            parser.saved = Some(format!("json: cannot unmarshal {got} into Go value of type {target}"));
        }
        return Ok((version, kind));
    }
    parser.enter()?;
    let mut first = true;
    while parser.more(first, b'}')? {
        first = false;
        let key = parser.key()?;
        // Go's own decoder, which reads these two, does not mind the case of names.
        let slot = match &*key {
            k if k.eq_ignore_ascii_case("apiVersion") => &mut version,
            k if k.eq_ignore_ascii_case("kind") => &mut kind,
            _ => {
                parser.skip()?;
                continue;
            }
        };
        let name = if key.eq_ignore_ascii_case("kind") { "kind" } else { "apiVersion" };
        if parser.peek()? == b'"' {
            *slot = parser.string()?.into_owned();
            continue;
        }
        let got = skip_named(parser)?;
        if got != "null" {
            parser.saved.get_or_insert_with(|| {
                format!("json: cannot unmarshal {got} into Go struct field .{name} of type string")
            });
        }
    }
    parser.leave();
    Ok((version, kind))
}

/// Walks over a value and says what it is, as type errors do.
fn skip_named(parser: &mut Parser<'_>) -> Res<&'static str> {
    let name = match parser.peek()? {
        b'{' => "object",
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        b'n' => "null",
        _ => "number",
    };
    parser.skip()?;
    Ok(name)
}

struct Decoder<'a, 't> {
    parser: Parser<'a>,
    /// The struct fields on the way here.
    context: Vec<(&'t Type, &'t Field)>,
    keep_empty: bool,
    kept_empty: bool,
}

impl<'a, 't> Decoder<'a, 't> {
    fn root(&mut self, ty: &'t Type) -> Res<Value> {
        match &ty.form {
            Form::Struct => match self.parser.peek()? {
                b'{' => self.structure(ty),
                b'n' => self.parser.null().map(|()| Value::map()),
                _ => {
                    let got = skip_named(&mut self.parser)?;
                    self.parser.saved = Some(self.type_error(got, &package_name(ty)));
                    Ok(Value::Null)
                }
            },
            Form::Named(shape) => self.value(shape),
        }
    }

    /// `text` as an error of the current field.
    fn type_error(&self, got: &str, target: &str) -> String {
        let Some((ty, _)) = self.context.last() else {
            return format!("json: cannot unmarshal {got} into Go value of type {target}");
        };
        let mut path = String::new();
        for (_, field) in &self.context {
            for part in [field.embedded, &field.json_name] {
                if !part.is_empty() {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(part);
                }
            }
        }
        format!("json: cannot unmarshal {got} into Go struct field {}.{path} of type {target}", ty.go_name())
    }

    /// The value here does not fit: it is skipped and the error kept, unless there is one already.
    fn mismatch(&mut self, shape: &Shape) -> Res<Value> {
        let got = skip_named(&mut self.parser)?;
        self.save(got, shape);
        Ok(Value::Null)
    }

    fn save(&mut self, got: &str, shape: &Shape) {
        if self.parser.saved.is_none() {
            let target = self.go_type(shape);
            self.parser.saved = Some(self.type_error(got, &target));
        }
    }

    /// How Go names the type of a shape.
    fn go_type(&self, shape: &Shape) -> String {
        let field = self.context.last().map(|(_, f)| *f);
        if let (Some(field), Shape::List(_) | Shape::Map(_)) = (field, shape)
            && let Some(alias) = field.alias
            && std::mem::discriminant(shape) == std::mem::discriminant(&field.shape)
        {
            return package_name(alias);
        }
        let named = field.and_then(|f| f.named);
        match shape {
            Shape::Bool => named.map_or("bool".into(), package_name),
            Shape::Int32 => named.map_or("int32".into(), package_name),
            Shape::Int64 => named.map_or("int64".into(), package_name),
            Shape::Uint32 => "uint32".into(),
            Shape::Uint64 => "uint64".into(),
            Shape::Float32 => "float32".into(),
            Shape::Float64 => "float64".into(),
            Shape::String => named.map_or("string".into(), package_name),
            Shape::Bytes => "[]uint8".into(),
            Shape::Struct(ty) => package_name(ty),
            Shape::List(element) => format!("[]{}", self.go_type(element)),
            Shape::Map(element) => {
                let key = field.and_then(|f| f.key_named).map_or("string".into(), package_name);
                format!("map[{key}]{}", self.go_type(element))
            }
            Shape::Nullable(element) => format!("*{}", self.go_type(element)),
            Shape::Any => "interface {}".into(),
            Shape::Time => "v1.Time".into(),
            Shape::MicroTime => "v1.MicroTime".into(),
            Shape::Duration => "v1.Duration".into(),
            Shape::Quantity => "resource.Quantity".into(),
            Shape::IntOrString => "intstr.IntOrString".into(),
            Shape::RawExtension => "runtime.RawExtension".into(),
            Shape::Unknown => "runtime.Unknown".into(),
            Shape::FieldsV1 => "v1.FieldsV1".into(),
            Shape::Json => "v1.JSON".into(),
            Shape::WrappedStrings => "v1.ExtraValue".into(),
            Shape::SchemaOrBool(_) => "v1.JSONSchemaPropsOrBool".into(),
            Shape::SchemaOrArray(_) => "v1.JSONSchemaPropsOrArray".into(),
            Shape::SchemaOrStrings(_) => "v1.JSONSchemaPropsOrStringArray".into(),
            Shape::TimeOrMetaDuration => "v1.TimeOrMetaDuration".into(),
        }
    }

    /// A value of a shape. Null stands for JSON null and for what did not fit.
    fn value(&mut self, shape: &'t Shape) -> Res<Value> {
        let c = self.parser.peek()?;
        if c == b'n' && !matches!(shape, Shape::Duration | Shape::SchemaOrBool(_) | Shape::IntOrString) {
            self.parser.null()?;
            return Ok(Value::Null);
        }
        match (shape, c) {
            (Shape::String, b'"') => Ok(Value::Str(self.parser.string()?.into())),
            (Shape::Bool, b't' | b'f') => Ok(Value::Bool(self.parser.boolean()?)),
            (
                Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 | Shape::Float32 | Shape::Float64,
                b'-' | b'0'..=b'9',
            ) => self.number(shape),
            (Shape::Struct(ty), b'{') => self.structure(ty),
            (Shape::List(element), b'[') => self.list(element),
            (Shape::WrappedStrings, b'[') => self.list(&Shape::String),
            (Shape::Map(element), b'{') => self.map(element),
            (Shape::Nullable(element), _) => self.value(element),
            (Shape::Bytes, b'"') => self.bytes(),
            (Shape::Any, _) => self.parser.any(),
            (Shape::RawExtension | Shape::Unknown | Shape::FieldsV1 | Shape::Json, _) => {
                Ok(Value::Raw(String::from_utf8_lossy(self.parser.skip()?).into()))
            }
            (Shape::Time, _) => self.time(Timestamp::parse, special::time_text),
            (Shape::MicroTime, _) => self.time(Timestamp::parse_micro, special::micro_text),
            (Shape::Duration, _) => self.duration(),
            (Shape::Quantity, _) => self.quantity(),
            (Shape::IntOrString, _) => self.int_or_string(),
            (Shape::SchemaOrBool(_) | Shape::SchemaOrArray(_) | Shape::SchemaOrStrings(_), _) => {
                self.schema_or(shape, c)
            }
            (Shape::TimeOrMetaDuration, b'"') => self.duration(),
            (Shape::TimeOrMetaDuration, _) => self.number(&Shape::Int64),
            _ => self.mismatch(shape),
        }
    }

    fn number(&mut self, shape: &Shape) -> Res<Value> {
        if !matches!(self.parser.peek()?, b'-' | b'0'..=b'9') {
            return self.mismatch(shape);
        }
        let text = self.parser.number()?;
        let value = match shape {
            Shape::Int32 => text.parse::<i32>().ok().map(|n| Value::Int(i64::from(n))),
            Shape::Int64 => text.parse::<i64>().ok().map(Value::Int),
            Shape::Uint32 => text.parse::<u32>().ok().map(|n| Value::Int(i64::from(n))),
            Shape::Uint64 => text.parse::<u64>().ok().map(|n| Value::Int(n.cast_signed())),
            Shape::Float32 => text.parse::<f32>().ok().filter(|f| f.is_finite()).map(|f| Value::Float(f64::from(f))),
            _ => text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::Float),
        };
        match value {
            Some(value) => Ok(value),
            None => {
                self.save(&format!("number {text}"), shape);
                Ok(Value::Null)
            }
        }
    }

    fn bytes(&mut self) -> Res<Value> {
        let text = self.parser.string()?;
        match base64::decode(text.as_bytes()) {
            Ok(bytes) => Ok(Value::from(base64::encode(&bytes))),
            Err(error) => {
                self.parser.saved.get_or_insert_with(|| error.to_string());
                Ok(Value::Null)
            }
        }
    }

    /// The string here; anything else stops the reading, since it is asked for by a type that reads itself.
    fn own_string(&mut self) -> Res<Cow<'a, str>> {
        if self.parser.peek()? == b'"' {
            return self.parser.string();
        }
        let got = skip_named(&mut self.parser)?;
        Err(Fail::Hard(self.type_error(got, "string")))
    }

    fn time(
        &mut self,
        parse: fn(&str) -> Result<Timestamp, crate::time::TimeError>,
        text: fn(Timestamp) -> Option<String>,
    ) -> Res<Value> {
        let source = self.own_string()?;
        let time = parse(&source).map_err(|e| Fail::Hard(e.to_string()))?;
        match text(time) {
            Some(canonical) if canonical == *source => Ok(Value::Str(source.into())),
            Some(canonical) => Ok(Value::from(canonical)),
            None => Ok(Value::from(crate::time::ZERO_TEXT)),
        }
    }

    fn duration(&mut self) -> Res<Value> {
        let text = if self.parser.peek()? == b'n' {
            self.parser.null()?;
            Cow::Borrowed("")
        } else {
            self.own_string()?
        };
        special::duration_text(&text).map(Value::Str).map_err(Fail::Hard)
    }

    /// Quantities look at the text of the value itself: numbers are as good as strings, and escapes are not undone.
    fn quantity(&mut self) -> Res<Value> {
        let text = String::from_utf8_lossy(self.parser.skip()?);
        let inside = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(&text);
        special::quantity_text(inside).map(Value::Str).map_err(Fail::Hard)
    }

    fn int_or_string(&mut self) -> Res<Value> {
        match self.parser.peek()? {
            b'"' => Ok(Value::Str(self.parser.string()?.into())),
            b'n' => {
                self.parser.null()?;
                Ok(Value::Null)
            }
            b'-' | b'0'..=b'9' => {
                let text = self.parser.number()?;
                let number = text.parse::<i32>();
                number.map(Value::from).map_err(|_| Fail::Hard(self.type_error(&format!("number {text}"), "int32")))
            }
            _ => {
                let got = skip_named(&mut self.parser)?;
                Err(Fail::Hard(self.type_error(got, "int32")))
            }
        }
    }

    /// The three types that are a schema or something else. They read themselves, so nothing inside is noted as unknown.
    fn schema_or(&mut self, shape: &'t Shape, c: u8) -> Res<Value> {
        let strict = std::mem::replace(&mut self.parser.strict, false);
        let value = match (shape, c) {
            (Shape::SchemaOrBool(ty) | Shape::SchemaOrArray(ty) | Shape::SchemaOrStrings(ty), b'{') => {
                self.structure(ty)
            }
            (Shape::SchemaOrBool(_), b't' | b'f') => self.parser.boolean().map(Value::Bool),
            (Shape::SchemaOrBool(_), b'n') => self.parser.null().map(|()| Value::Null),
            (Shape::SchemaOrBool(_), _) => {
                self.parser.skip()?;
                Err(Fail::Hard("boolean or JSON schema expected".to_owned()))
            }
            (Shape::SchemaOrArray(ty), b'[') => self.struct_list(ty),
            (Shape::SchemaOrStrings(_), b'[') => self.list(&Shape::String),
            _ => self.parser.skip().map(|_| Value::List(Vec::new())),
        };
        self.parser.strict = strict;
        value
    }

    fn struct_list(&mut self, ty: &'t Type) -> Res<Value> {
        self.parser.enter()?;
        let mut items = Vec::new();
        while self.parser.more(items.is_empty(), b']')? {
            let item = match self.parser.peek()? {
                b'{' => self.structure(ty)?,
                b'n' => self.parser.null().map(|()| Value::map())?,
                _ => {
                    let got = skip_named(&mut self.parser)?;
                    return Err(Fail::Hard(self.type_error(got, &package_name(ty))));
                }
            };
            items.push(item);
        }
        self.parser.leave();
        Ok(Value::List(items))
    }

    fn list(&mut self, element: &'t Shape) -> Res<Value> {
        self.parser.enter()?;
        let mut items = Vec::new();
        while self.parser.more(items.is_empty(), b']')? {
            self.parser.push(Step::Index(items.len()));
            let item = self.value(element)?;
            self.parser.pop();
            items.push(element_of(element, item));
        }
        self.parser.leave();
        Ok(Value::List(items))
    }

    fn map(&mut self, element: &'t Shape) -> Res<Value> {
        self.parser.enter()?;
        let mut entries: Vec<(Key, Value)> = Vec::new();
        let mut first = true;
        while self.parser.more(first, b'}')? {
            first = false;
            let key = self.parser.key()?;
            self.parser.push(Step::Key(key.clone()));
            let value = self.value(element)?;
            self.parser.pop();
            entries.push((Key::Owned(key.into()), element_of(element, value)));
        }
        self.parser.leave();
        self.parser.note_duplicates(&entries);
        Ok(Value::Map(Map::from_entries(entries)))
    }

    fn structure(&mut self, ty: &'t Type) -> Res<Value> {
        self.parser.enter()?;
        let mut entries: Vec<(Key, Value)> = Vec::with_capacity(ty.fields.len().min(8));
        let (mut seen, mut first) = (0u128, true);
        while self.parser.more(first, b'}')? {
            first = false;
            let key = self.parser.key()?;
            let Some(index) = ty.field_index(&key).filter(|index| is_read_by_type(ty, &ty.fields[*index])) else {
                self.other_field(ty, key, &mut entries)?;
                continue;
            };
            let field = &ty.fields[index];
            let bit = 1u128.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or(0);
            let again = seen & bit != 0;
            seen |= bit;
            if again && self.parser.strict {
                self.parser.strict_error("duplicate field", &key);
            }
            self.parser.push(Step::Key(key));
            self.context.push((ty, field));
            let value = if field.pointer && self.parser.peek()? == b'n' {
                self.parser.null()?;
                Value::Null
            } else {
                self.value(&field.shape)?
            };
            self.context.pop();
            self.parser.pop();
            if again {
                store_again(&mut entries, field, value);
            } else if self.keep_empty && shown_empty(field, &value).is_some() {
                self.kept_empty = true;
                entries.push((Key::from(&field.json_name), value));
            } else if let Some(value) = normal(field, value) {
                entries.push((Key::from(&field.json_name), value));
            }
        }
        self.parser.leave();
        Ok(Value::Map(Map::from_entries(entries)))
    }

    /// A field that is unknown, or that is read as it is.
    fn other_field(&mut self, ty: &Type, key: Cow<'a, str>, entries: &mut Vec<(Key, Value)>) -> Res<()> {
        if ty.extra.preserve_unknown || ty.extra.unstructured {
            self.parser.push(Step::Key(key.clone()));
            let value = self.parser.any()?;
            self.parser.pop();
            entries.push((Key::Owned(key.into()), value));
            return Ok(());
        }
        if self.parser.strict {
            self.parser.strict_error("unknown field", &key);
        }
        self.parser.skip().map(drop)
    }
}

/// Of unstructured objects only the metadata has a form; what else is in them is for the schema to judge, nulls included.
fn is_read_by_type(ty: &Type, field: &Field) -> bool {
    !ty.extra.unstructured || matches!(&field.shape, Shape::Struct(inner) if !inner.extra.unstructured)
}

/// `v1.PodSpec` of `io.k8s.api.core.v1.PodSpec`.
pub(super) fn package_name(ty: &Type) -> String {
    let mut segments = ty.name.rsplitn(3, '.');
    let (name, package) = (segments.next().unwrap_or(""), segments.next().unwrap_or(""));
    format!("{package}.{name}")
}

/// An element of a list or map: null is the zero value unless the element can be null.
pub(crate) fn element_of(shape: &Shape, value: Value) -> Value {
    if !value.is_null() {
        return value;
    }
    match shape {
        Shape::String => Value::from(""),
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Uint32 | Shape::Uint64 | Shape::IntOrString => Value::Int(0),
        Shape::Float32 | Shape::Float64 => Value::Float(0.0),
        Shape::Struct(_) => Value::map(),
        Shape::Quantity => Value::from("0"),
        Shape::Duration => Value::from("0s"),
        Shape::SchemaOrBool(_) => Value::Bool(false),
        _ => Value::Null,
    }
}

/// The value of a field in normal form; none if it is left out.
pub(crate) fn normal(field: &Field, value: Value) -> Option<Value> {
    if value.is_null() {
        // Reading null into one that is a value leaves its zero value; into a pointer, nil.
        return None;
    }
    if field.pointer {
        return Some(value);
    }
    let zero = match (&value, &field.shape) {
        (Value::Str(s), Shape::String) => s.is_empty(),
        (Value::Str(s), Shape::Quantity) => **s == *"0",
        (Value::Str(s), Shape::Duration) => **s == *"0s",
        (Value::Str(s), Shape::Time | Shape::MicroTime) => **s == *crate::time::ZERO_TEXT,
        (Value::Bool(b), _) => !b,
        (Value::Int(n), _) => *n == 0,
        (Value::Float(f), _) => *f == 0.0,
        (Value::Map(m), Shape::Struct(_)) => m.is_empty(),
        _ => shown_empty(field, &value).is_some(),
    };
    (!zero).then_some(value)
}

/// The text of an empty list or map that normal form does not have.
pub(super) fn shown_empty(field: &Field, value: &Value) -> Option<&'static str> {
    if !field.omitempty || field.pointer {
        return None;
    }
    match (value, &field.shape) {
        (Value::Map(map), Shape::Map(_)) if map.is_empty() => Some("{}"),
        (Value::List(list), Shape::List(_)) if list.is_empty() => Some("[]"),
        _ => None,
    }
}

/// Stores a field that came before: structs and maps merge, null leaves values as they are, anything else replaces.
fn store_again(entries: &mut Vec<(Key, Value)>, field: &Field, value: Value) {
    let at = entries.iter().position(|(k, _)| *k == *field.json_name);
    let nil_able = field.pointer || matches!(field.shape, Shape::List(_) | Shape::Map(_) | Shape::Bytes);
    match (at, value) {
        (None, value) => {
            entries.extend(normal(field, value).map(|v| (Key::from(&field.json_name), v)));
        }
        (Some(at), Value::Null) if nil_able => {
            entries.remove(at);
        }
        (Some(_), Value::Null) => {}
        (Some(at), Value::Map(new)) if matches!(entries[at].1, Value::Map(_)) => merge(entries[at].1.map_mut(), new),
        (Some(at), value) => match normal(field, value) {
            Some(value) => entries[at].1 = value,
            None => drop(entries.remove(at)),
        },
    }
}

fn merge(into: &mut Map, from: Map) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
